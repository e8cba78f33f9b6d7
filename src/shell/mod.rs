//! Floor 4, the shell: the only I/O, the only clock, the only entropy. It moves bytes between sockets and the
//! [`Server`], and decides nothing.
//!
//! A turn of the loop: wait for readiness, read the clock once, accept, read, do what is due, send, free. The order
//! matters: everything that comes in one turn goes out in one batch per room, and nothing is freed while something of
//! the same turn may still name it.

pub mod accounts;
mod listener;
mod log;
mod machine;
mod sockets;
mod workers;

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::{Events, Interest, Poll, Token, Waker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook_mio::v1_0::Signals;
use zeroize::Zeroize as _;

use crate::config::{
    ACCEPTS_PER_TURN, Config, DRAIN_TIMEOUT, EVENTS_PER_TURN, Level, READ_BYTES, READ_BYTES_MIN,
    RESIDENT_EVERY,
};
use crate::domain::auth::Credentials;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::server::{Server, ShellFacts};
use accounts::entropy;
use listener::{Arrival, Listener, refuse};
use log::Log;
use machine::{Sampler, resident_bytes};
use sockets::Sockets;
use workers::Worker;

/// SIGHUP: the files are read again.
const HANGUP: i32 = 1;
/// SIGINT, SIGTERM: the server drains.
const STOPS: [i32; 2] = [2, 15];

const LISTENER: Token = Token(usize::MAX);
const SIGNAL: Token = Token(usize::MAX - 1);
const WORKER: Token = Token(usize::MAX - 2);

/// Runs a server until it is told to stop.
///
/// # Errors
/// A sentence: the address cannot be listened on, or the system refuses something the loop needs.
pub fn run(config: Config) -> Result<(), String> {
    let at = config.listen;
    let secret = entropy()?;
    let credentials = accounts::load(&config, &secret)?;
    let mut shell = Shell::new(config, credentials, secret)
        .map_err(|error| format!("cannot listen on {at}: {error}"))?;
    shell
        .announce()
        .map_err(|error| format!("cannot write to stdout: {error}"))?;
    shell
        .run()
        .map_err(|error| format!("the event loop failed: {error}"))
}

struct Shell {
    config: Config,
    /// What tokens are signed with where no secrets file is configured.
    secret: [u8; 32],
    server: Server,
    worker: Worker,
    machine: Sampler,
    /// Our own memory, and when it was read.
    resident: (u64, Option<Duration>),
    poll: Poll,
    listener: Option<Listener>,
    log: Log,
    address: SocketAddr,
    signals: Signals,
    sockets: Sockets,
    /// Connections that may have more to read than was read.
    ready: VecDeque<ConnectionId>,
    /// Those of them who ask for much.
    demanding: VecDeque<ConnectionId>,
    buffer: Vec<u8>,
    started: Instant,
    drain_until: Option<Duration>,
}

impl Shell {
    fn new(config: Config, credentials: Credentials, secret: [u8; 32]) -> io::Result<Self> {
        raise_descriptor_limit();
        let mut listener = Listener::bind(config.listen)?;
        let address = listener.address()?;
        let poll = Poll::new()?;
        listener.register(poll.registry(), LISTENER)?;
        let mut signals = Signals::new(STOPS.iter().chain([&HANGUP]))?;
        poll.registry()
            .register(&mut signals, SIGNAL, Interest::READABLE)?;
        let worker = Worker::new(Waker::new(poll.registry(), WORKER)?);
        let seed = entropy().map_err(io::Error::other)?;
        Ok(Self {
            server: Server::new(config.clone(), credentials, &seed),
            config,
            secret,
            worker,
            machine: Sampler::new(),
            resident: (0, None),
            poll,
            listener: Some(listener),
            log: Log::default(),
            address,
            signals,
            sockets: Sockets::default(),
            ready: VecDeque::new(),
            demanding: VecDeque::new(),
            buffer: vec![0; READ_BYTES],
            started: Instant::now(),
            drain_until: None,
        })
    }

    /// Says where it listens, at once, also into a pipe.
    fn announce(&self) -> io::Result<()> {
        let address = self.address;
        let mut out = io::stdout().lock();
        writeln!(out, "listening on http://{address}")?;
        if self.config.is_demo() {
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
        let mut has_more = false;
        let now = self.now();
        let journal = &mut self.server.journal;
        journal.tell(Level::Info, "started", &[("address", &self.address)], now);
        self.write_log();
        loop {
            self.wait(&mut events, has_more)?;
            let now = self.now();
            let woken = now.monotonic;
            self.read_own_memory(now);
            self.take_events(&events, now);
            self.accept(now);
            self.read_ready(now);
            self.server.handle_timeout(now);
            let machine = self
                .server
                .wants_machine(now)
                .then(|| self.machine.sample());
            self.server.sampled(machine, now);
            self.submit_jobs(now);
            // Before the responses leave: who has one can rely on what it tells standing there.
            self.write_log();
            // Read anew, so that responses are timed to the moment they leave.
            let now = self.now();
            has_more = self.server.flush(&mut self.sockets, now);
            while let Some(id) = self.server.poll_readable() {
                self.queue(id);
            }
            while let Some(id) = self.server.poll_freed() {
                self.sockets.remove(id);
                if let Some(listener) = &mut self.listener {
                    listener.descriptor_freed();
                }
            }
            if self.server.connection_count() == 0 {
                self.sockets.forget();
            }
            let is_accepting = |listener: &Listener| listener.is_ready;
            has_more |= self.listener.as_ref().is_some_and(is_accepting);
            has_more |= !self.ready.is_empty() || !self.demanding.is_empty();
            let facts = ShellFacts {
                received_bytes: self.sockets.received_bytes,
                sent_bytes: self.sockets.sent_bytes,
                resident_bytes: self.resident.0,
            };
            self.server.observe(facts, self.started.elapsed() - woken);
            let is_over = self.is_over(now);
            if is_over {
                let left = self.server.connection_count();
                let journal = &mut self.server.journal;
                journal.tell(Level::Info, "stopped", &[("connections", &left)], now);
            }
            self.write_log();
            if is_over {
                return Ok(());
            }
        }
    }

    fn wait(&mut self, events: &mut Events, has_more: bool) -> io::Result<()> {
        let next = [
            self.server.next_timeout(),
            self.listener
                .as_ref()
                .and_then(|listener| listener.again_at),
            self.drain_until,
        ]
        .into_iter()
        .flatten()
        .min();
        let timeout = match has_more {
            true => Some(Duration::ZERO),
            false => next.map(|at| at.saturating_sub(self.started.elapsed())),
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            monotonic: self.started.elapsed(),
            unix,
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
                    while let Some((job, is_accepted)) = self.worker.poll_result() {
                        self.server.finished(job, is_accepted, now);
                    }
                }
                Token(index) => {
                    let id = ConnectionId(index as u32);
                    if event.is_writable() {
                        self.server.writable(id, now);
                    }
                    if event.is_read_closed() || event.is_error() {
                        self.sockets.mark_ending(id);
                    }
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        self.queue(id);
                    }
                }
            }
        }
    }

    /// Reads how much memory we have, now and then: whoever asks wakes the loop, and finds it fresh.
    fn read_own_memory(&mut self, now: Now) {
        if self
            .resident
            .1
            .is_none_or(|read| read + RESIDENT_EVERY <= now.monotonic)
        {
            let bytes = resident_bytes().unwrap_or(self.resident.0);
            self.resident = (bytes, Some(now.monotonic));
        }
    }

    fn take_signals(&mut self, now: Now) {
        let signals: Vec<i32> = self.signals.pending().collect();
        if signals.contains(&HANGUP) {
            self.reload(now);
        }
        for _ in signals.iter().filter(|signal| STOPS.contains(signal)) {
            self.drain(now);
        }
    }

    /// Reads accounts and secrets again; those in force stay so when there is something wrong with the new.
    fn reload(&mut self, now: Now) {
        match accounts::reload(&self.config, &self.secret) {
            Ok(credentials) => {
                self.server.reload(credentials, now);
                self.server.journal.tell(Level::Info, "reloaded", &[], now);
            }
            Err(sentence) => self.server.journal.tell(
                Level::Warn,
                "reload_failed",
                &[("reason", &sentence), ("in_force", &"what was before")],
                now,
            ),
        }
    }

    /// Has passwords checked.
    fn submit_jobs(&mut self, now: Now) {
        while let Some(check) = self.server.poll_job() {
            let job = check.job;
            if let Err(error) = self.worker.submit(check) {
                self.server.journal.note(
                    Level::Error,
                    "no_thread_for_passwords",
                    &[("reason", &error)],
                    now,
                );
                self.server.finished(job, false, now);
            }
        }
    }

    /// Writes what is worth a line.
    fn write_log(&mut self) {
        while let Some(line) = self.server.journal.poll_line() {
            self.log.write(&line);
        }
    }

    /// Has a connection read in this turn or the next.
    fn queue(&mut self, id: ConnectionId) {
        if self.sockets.mark_queued(id) {
            match self.sockets.is_demanding(id) {
                true => self.demanding.push_back(id),
                false => self.ready.push_back(id),
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
                    let refusal = self.server.refusal_of_a_connection(now);
                    refuse(stream, &refusal, &mut self.buffer);
                    listener.restore_spare();
                    continue;
                }
                Arrival::Nobody => continue,
                Arrival::Empty => return,
                Arrival::Failed(error) => {
                    let journal = &mut self.server.journal;
                    let reason: &dyn Display = &error;
                    return journal.note(Level::Error, "accept_failed", &[("reason", reason)], now);
                }
            };
            let Some(id) = self.server.accept(peer.ip(), now) else {
                let refusal = self.server.refusal_of_a_connection(now);
                refuse(stream, &refusal, &mut self.buffer);
                continue;
            };
            let interest = Interest::READABLE | Interest::WRITABLE;
            match self
                .poll
                .registry()
                .register(&mut stream, Token(id.index()), interest)
            {
                Ok(()) => self.sockets.insert(id, stream),
                Err(_) => self.server.closed(id, now),
            }
        }
    }

    /// Reads once from every connection that may have something: first from those who ask for little.
    fn read_ready(&mut self, now: Now) {
        // The more there are the less of each, so that whoever sends little does not wait for those who send much.
        let count = self.ready.len() + self.demanding.len();
        let share = (READ_BYTES / count.max(1)).max(READ_BYTES_MIN);
        for _ in 0..self.ready.len() {
            if self.server.is_turn_full() {
                break;
            }
            if let Some(id) = self.ready.pop_front() {
                self.read_once(id, share, now);
            }
        }
        for turn in 0..self.demanding.len() {
            // One at least, so that the others cannot keep them waiting for ever.
            if turn > 0 && self.server.is_turn_full() {
                break;
            }
            if let Some(id) = self.demanding.pop_front() {
                self.read_once(id, share, now);
            }
        }
    }

    fn read_once(&mut self, id: ConnectionId, share: usize, now: Now) {
        self.sockets.clear_queued(id);
        if !self.server.may_read(id) {
            return;
        }
        let Some(stream) = self.sockets.stream(id) else {
            return;
        };
        match stream.read(&mut self.buffer[..share]) {
            Ok(0) => self.server.end_of_stream(id, now),
            Ok(count) => {
                self.sockets.received_bytes += count as u64;
                let may_hold_password = self.server.speaks_http(id);
                let replied = self.server.replied_bytes();
                self.server.receive(id, &self.buffer[..count], now);
                let replied = self.server.replied_bytes() - replied;
                self.sockets.note_reply(id, replied);
                if may_hold_password {
                    self.buffer[..count].zeroize();
                }
                // A short read has emptied the socket (epoll(7)); what comes later is a new event.
                if count == share || self.sockets.is_ending(id) {
                    self.queue(id);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => self.queue(id),
            Err(_) => self.server.closed(id, now),
        }
    }

    /// Stops accepting and lets everybody go; a second signal ends it at once.
    fn drain(&mut self, now: Now) {
        if self.server.is_draining() {
            self.drain_until = Some(now.monotonic);
            return;
        }
        // Dropping it closes it: a new connection is refused by the system from here on.
        self.listener = None;
        self.server.drain(now);
        self.drain_until = Some(now.monotonic + DRAIN_TIMEOUT);
    }

    fn is_over(&self, now: Now) -> bool {
        self.drain_until
            .is_some_and(|until| until <= now.monotonic || self.server.connection_count() == 0)
    }
}

/// As many descriptors as the system lets us have; fewer is no reason not to start.
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
