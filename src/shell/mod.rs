//! Floor 4, the shell: all I/O, clocks and entropy. It moves bytes between the sockets and the [`Server`], and makes no
//! decisions.
//!
//! The loop: poll for readiness, pass it to the server, accept connections, run jobs, and run the server's turn.

pub mod accounts;
mod listener;
mod log;
mod machine;
mod outside;
mod sockets;
pub mod user;
mod users_file;
mod workers;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook_mio::v1_0::Signals;

use crate::config::listen::Listen;
use crate::config::{
    ACCEPTS_PER_TURN, Config, DRAIN_TIMEOUT, EVENTS_PER_TURN, Level, RESIDENT_EVERY,
};
use crate::domain::credentials::Credentials;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::server::jobs::{Done, Job};
use crate::server::{Server, ShellFacts};
use accounts::{Files, entropy};
use listener::{Arrival, Listener, refuse};
use machine::{Sampler, resident_bytes};
use outside::Outside;
use workers::{Task, Worker};

/// SIGHUP: reads the files of accounts and secrets again.
const HANGUP: i32 = 1;
/// SIGINT and SIGTERM: drain the server.
const STOPS: [i32; 2] = [2, 15];

const LISTENER: Token = Token(usize::MAX);
const SIGNAL: Token = Token(usize::MAX - 1);
const WORKER: Token = Token(usize::MAX - 2);

/// Runs a server until a signal stops it.
///
/// # Errors
/// A message: a file is invalid, the address cannot be listened on, or the system refuses something the loop needs.
pub fn run(config: Config) -> Result<(), String> {
    let at = config
        .listen
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let files = Files::new(&config, entropy()?);
    let credentials = files.load()?;
    let mut shell = Shell::new(config, credentials, files)
        .map_err(|error| format!("cannot listen on {at}: {error}"))?;
    shell
        .announce()
        .map_err(|error| format!("cannot write to stdout: {error}"))?;
    shell
        .run()
        .map_err(|error| format!("the event loop failed: {error}"))
}

struct Shell {
    is_demo: bool,
    server: Server,
    outside: Outside,
    worker: Worker,
    machine: Sampler,
    /// The resident memory of this process in bytes, and when it was read.
    resident: (Option<u64>, Option<Duration>),
    poll: Poll,
    listener: Option<Listener>,
    address: SocketAddr,
    signals: Signals,
    drain_until: Option<Duration>,
}

impl Shell {
    fn new(config: Config, credentials: Credentials, files: Files) -> io::Result<Self> {
        raise_descriptor_limit();
        let Some(Listen::Tcp(address)) = config.listen.first() else {
            return Err(io::Error::other("only a TCP port can be listened on"));
        };
        let mut listener = Listener::bind(*address)?;
        let address = listener.address()?;
        let poll = Poll::new()?;
        listener.register(poll.registry(), LISTENER)?;
        let mut signals = Signals::new(STOPS.iter().chain([&HANGUP]))?;
        poll.registry()
            .register(&mut signals, SIGNAL, Interest::READABLE)?;
        let worker = Worker::new(Waker::new(poll.registry(), WORKER)?, files);
        let seed = entropy().map_err(io::Error::other)?;
        let mut outside = Outside::new();
        Ok(Self {
            is_demo: config.is_demo(),
            server: Server::new(config, credentials, &seed, outside.now()),
            outside,
            worker,
            machine: Sampler::new(),
            resident: (None, None),
            poll,
            listener: Some(listener),
            address,
            signals,
            drain_until: None,
        })
    }

    /// Prints the address it listens on, and flushes it for readers of a pipe.
    fn announce(&self) -> io::Result<()> {
        let address = self.address;
        let mut out = io::stdout().lock();
        writeln!(out, "listening on http://{address}")?;
        if self.is_demo {
            writeln!(
                out,
                "demo mode: open http://{address} in a browser and come in under any name, or sign in as admin"
            )?;
            writeln!(out, "           with the password secret; Ctrl-C stops it")?;
        }
        out.flush()
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let now = self.outside.now();
        let address = self.address;
        let journal = &mut self.server.journal;
        journal.record(Level::Info, "started", &[("address", &address)], now);
        // The first turn writes that line.
        let mut has_more = true;
        loop {
            self.wait(&mut events, has_more)?;
            let now = self.outside.now();
            self.read_own_memory(now);
            self.take_events(&events, now);
            self.accept(now);
            self.carry_out_jobs(now);
            let is_over = self.is_over(now);
            if is_over {
                let left = self.server.connection_count();
                let journal = &mut self.server.journal;
                journal.record(Level::Info, "stopped", &[("connections", &left)], now);
            }
            has_more = self.server.turn(now, &mut self.outside);
            if is_over {
                return Ok(());
            }
            has_more |= self.take_freed();
        }
    }

    /// Resumes accepting if sockets were closed, which freed descriptors. Whether there may be connections to accept.
    fn take_freed(&mut self) -> bool {
        let has_freed = std::mem::take(&mut self.outside.has_freed);
        if has_freed && self.server.connection_count() == 0 {
            self.outside.sockets.forget();
        }
        let Some(listener) = &mut self.listener else {
            // Draining is over with the last connection.
            return has_freed;
        };
        if has_freed {
            listener.descriptor_freed();
        }
        listener.is_ready
    }

    fn wait(&mut self, events: &mut Events, has_more: bool) -> io::Result<()> {
        let paused_until = self
            .listener
            .as_ref()
            .and_then(|listener| listener.paused_until);
        let next = [self.server.next_timeout(), paused_until, self.drain_until]
            .into_iter()
            .flatten()
            .min();
        let timeout = match has_more {
            true => Some(Duration::ZERO),
            false => next.map(|at| at.saturating_sub(self.outside.last_monotonic())),
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    fn take_events(&mut self, events: &Events, now: Now) {
        for event in events {
            match event.token() {
                LISTENER => {
                    if let Some(listener) = &mut self.listener {
                        listener.is_ready = true;
                    }
                }
                SIGNAL => self.take_signals(now),
                WORKER => {
                    while let Some((serial, done)) = self.worker.poll_result() {
                        self.server.finished(serial, done, now);
                    }
                }
                Token(index) => {
                    let id = ConnectionId(index as u32);
                    if event.is_writable() {
                        self.server.writable(id, now);
                    }
                    if event.is_read_closed() || event.is_error() {
                        self.server.ending(id);
                    } else if event.is_readable() {
                        self.server.readable(id);
                    }
                }
            }
        }
    }

    /// Passes the traffic counters and the resident memory to the server. The latter is read if it is older than
    /// [`RESIDENT_EVERY`]; any request wakes the loop, so a request always sees a recent value.
    fn read_own_memory(&mut self, now: Now) {
        let is_old = |read| read + RESIDENT_EVERY <= now.monotonic;
        if self.resident.1.is_none_or(is_old) {
            let bytes = resident_bytes().or(self.resident.0);
            self.resident = (bytes, Some(now.monotonic));
        }
        self.server.observe(ShellFacts {
            received_bytes: self.outside.received_bytes,
            sent_bytes: self.outside.sent_bytes,
            resident_bytes: self.resident.0,
        });
    }

    fn take_signals(&mut self, now: Now) {
        let signals: Vec<i32> = self.signals.pending().collect();
        if signals.contains(&HANGUP) {
            self.server.reload();
        }
        for _ in signals.iter().filter(|signal| STOPS.contains(signal)) {
            self.drain(now);
        }
    }

    /// Runs the server's jobs here or on the worker.
    fn carry_out_jobs(&mut self, now: Now) {
        while let Some((serial, job)) = self.server.poll_job() {
            let task = match job {
                Job::SampleMachine => {
                    let done = Done::MachineSampled(self.machine.sample());
                    self.server.finished(serial, done, now);
                    continue;
                }
                Job::CheckPassword(check) => Task::Check(serial, check),
                Job::ReadCredentials(in_force) => Task::Read(serial, in_force),
                Job::DropAccounts(accounts) => Task::Drop(accounts),
                // The in-memory backend never asks for these.
                Job::RedeemTicket(_) | Job::Publish(_) | Job::Open(_) => continue,
            };
            let failed = match &task {
                Task::Check(..) => Some(Done::PasswordChecked(false)),
                Task::Read(..) => Some(Done::CredentialsRead(Err("no thread for it".into()))),
                Task::Drop(_) => None,
            };
            if let Err(error) = self.worker.submit(task) {
                let journal = &mut self.server.journal;
                let reason: &dyn Display = &error;
                journal.note(Level::Error, "no_worker", &[("reason", reason)], now);
                if let Some(done) = failed {
                    self.server.finished(serial, done, now);
                }
            }
        }
    }

    fn accept(&mut self, now: Now) {
        let Some(listener) = &mut self.listener else {
            return;
        };
        listener.wake(now.monotonic);
        for _ in 0..ACCEPTS_PER_TURN {
            if !listener.is_ready {
                return;
            }
            let (mut stream, peer) = match listener.accept(now.monotonic) {
                Arrival::Peer(stream, peer) => (stream, peer),
                Arrival::Surplus(stream, peer) => {
                    self.server.note_refused("descriptors", peer.ip(), now);
                    let server = &self.server;
                    refuse(stream, |bytes| server.refusal_of_a_connection(bytes, now));
                    listener.restore_spare();
                    continue;
                }
                Arrival::Aborted => continue,
                Arrival::Empty => return,
                Arrival::Failed(error) => {
                    let journal = &mut self.server.journal;
                    let reason: &dyn Display = &error;
                    return journal.note(Level::Error, "accept_failed", &[("reason", reason)], now);
                }
            };
            let Some(id) = self.server.accept(peer.ip(), now) else {
                let server = &self.server;
                refuse(stream, |bytes| server.refusal_of_a_connection(bytes, now));
                continue;
            };
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            match registry.register(&mut stream, Token(id.index()), interest) {
                Ok(()) => self.outside.sockets.insert(id, stream),
                Err(_) => self.server.closed(id, now),
            }
        }
    }

    /// Stops accepting and drains the connections; a second signal ends the process at once.
    fn drain(&mut self, now: Now) {
        if self.server.is_draining() {
            self.drain_until = Some(now.monotonic);
            return;
        }
        // Dropping the listener closes it: from here on the system refuses new connections.
        self.listener = None;
        self.server.drain(now);
        self.drain_until = Some(now.monotonic + DRAIN_TIMEOUT);
    }

    fn is_over(&self, now: Now) -> bool {
        self.drain_until
            .is_some_and(|until| until <= now.monotonic || self.server.connection_count() == 0)
    }
}

/// Raises the limit of descriptors to the hard limit. A failure does not keep the server from starting.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}
