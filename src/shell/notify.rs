//! Tells systemd how the server is: ready, reloading, stopping, alive (sd_notify(3)). Nothing happens without the variable
//! `NOTIFY_SOCKET`. A message that the socket does not take at once is lost: the loop never waits for a supervisor.

use std::env;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with,
};
use rustix::time::{ClockId, clock_gettime};

use crate::config::DRAIN_TIMEOUT;

/// The time that systemd gives a service to stop by default (`DefaultTimeoutStopSec`); a longer stop asks for more.
const TIMEOUT_STOP: Duration = Duration::from_secs(90);

/// The supervisor, if there is one.
pub struct Supervisor {
    to: Option<(OwnedFd, SocketAddrUnix)>,
    /// Between two signs of life: half of the time after which the supervisor would end the process.
    watchdog: Option<Duration>,
    /// When the next one is due, since the server's start.
    sign_due: Duration,
    is_stopping: bool,
    is_reloading: bool,
}

impl Supervisor {
    /// The supervisor that the environment names.
    pub fn from_environment() -> Self {
        let variable = |name| env::var(name).ok();
        let is_ours = |pid: String| pid.parse() == Ok(std::process::id());
        let watchdog = variable("WATCHDOG_USEC")
            .filter(|_| variable("WATCHDOG_PID").is_none_or(is_ours))
            .and_then(|text| text.parse().ok())
            .map(|micros: u64| Duration::from_micros(micros) / 2)
            .filter(|every| !every.is_zero());
        Self {
            to: variable("NOTIFY_SOCKET").and_then(|name| open(&name)),
            watchdog,
            sign_due: Duration::ZERO,
            is_stopping: false,
            is_reloading: false,
        }
    }

    /// The server listens.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The files are read again: of a service of `Type=notify-reload` the supervisor waits for the end of it.
    pub fn reloading(&mut self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.is_reloading = true;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// They are read.
    pub fn reloaded(&mut self) {
        if std::mem::take(&mut self.is_reloading) {
            self.send("READY=1");
        }
    }

    /// The server is to stop, after a delay.
    pub fn stopping(&mut self, delay: Duration) {
        if std::mem::replace(&mut self.is_stopping, true) {
            return;
        }
        let most = delay + 2 * DRAIN_TIMEOUT;
        self.send(&match most > TIMEOUT_STOP {
            true => format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", most.as_micros()),
            false => "STOPPING=1".into(),
        });
    }

    /// Gives a sign of life if one is due. The loop itself does it, so a loop that stands still is noticed.
    pub fn live(&mut self, now: Duration) {
        if let Some(every) = self.watchdog
            && self.sign_due <= now
        {
            self.sign_due = now + every;
            self.send("WATCHDOG=1");
        }
    }

    /// When the next sign of life is due, since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.watchdog.map(|_| self.sign_due)
    }

    fn send(&self, message: &str) {
        if let Some((socket, to)) = &self.to {
            // The supervisor may be gone, or busy.
            _ = sendto(socket, message.as_bytes(), SendFlags::empty(), to);
        }
    }
}

/// A socket for the supervisor's, whose name is a path or, after an `@`, an abstract one.
fn open(name: &str) -> Option<(OwnedFd, SocketAddrUnix)> {
    let to = match name.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        None => SocketAddrUnix::new(name),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None);
    Some((socket.ok()?, to.ok()?))
}
