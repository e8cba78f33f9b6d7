//! Floor 4, the shell: all I/O, clocks and entropy. It moves bytes between the sockets and the [`Server`], and makes no
//! decisions.
//!
//! The loop: poll for readiness, pass it to the server, accept connections, run jobs, and run the server's turn.

pub mod accounts;
#[cfg(feature = "durable")]
mod backup;
mod binding;
pub mod check;
pub mod config_file;
mod dial;
mod handed_over;
mod listener;
mod log;
mod machine;
mod notify;
mod outside;
mod sockets;
mod startup;
#[cfg(feature = "durable")]
mod store;
#[cfg(not(feature = "durable"))]
#[path = "no_store.rs"]
mod store;
#[cfg(feature = "durable")]
mod store_file;
#[cfg(feature = "durable")]
mod store_folder;
mod unix_socket;
pub mod user;
mod users_file;
mod workers;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook_mio::v1_0::Signals;

use crate::config::listen::Listen;
use crate::config::{
    ACCEPTS_PER_TURN, Config, DEMO_LOBBY, EVENTS_PER_TURN, LISTENERS_MAX, Level, RESIDENT_EVERY,
};
use crate::domain::credentials::Credentials;
use crate::domain::derived::{Purpose, derive};
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::time::Now;
use crate::journal::Field;
use crate::options::StoreCommand;
use crate::server::jobs::{Done, Job};
use crate::server::{Server, ShellFacts};
use accounts::{Files, entropy};
use binding::Bound;
use dial::Dialer;
use listener::{Arrival, Listeners, refuse};
use machine::{Sampler, resident_bytes};
use notify::Supervisor;
use outside::Outside;
use store::{Opened, Store};
use workers::{Task, Worker};

/// SIGHUP: reads the files of accounts and secrets again.
const HANGUP: i32 = 1;
/// SIGINT and SIGTERM: drain the server.
const STOPS: [i32; 2] = [2, 15];
/// SIGUSR1: make a copy of the store, if there is one.
const BACK_UP: i32 = 10;
/// SIGUSR2, and SIGUSR1 without a store: some tools send them to ask for what does not exist here, and by default they end
/// a process.
const IGNORED: i32 = 12;

/// The token of the first listener; those of the others follow.
const FIRST_LISTENER: usize = usize::MAX - LISTENERS_MAX;
const SIGNAL: Token = Token(FIRST_LISTENER - 1);
const WORKER: Token = Token(FIRST_LISTENER - 2);
const ENGINE: Token = Token(FIRST_LISTENER - 3);

/// In the demo each node verifies the tokens of the others by this. It is no secret, and neither is the demo's password.
const DEMO_SECRET: &[u8; 32] = b"the demo of sarang, many nodes  ";

/// Runs a server until a signal stops it.
///
/// # Errors
/// A message: a file is invalid, the address cannot be listened on, or the system refuses something the loop needs.
pub fn run(mut config: Config) -> Result<(), String> {
    // First of all: their numbers must not be taken by descriptors of our own.
    let handed_over = handed_over::take()?;
    let fail = |error| format!("the event loop cannot be set up: {error}");
    // From here on signals end nothing by themselves.
    let signals = STOPS.iter().chain(&[HANGUP, BACK_UP, IGNORED]);
    let signals = Signals::new(signals).map_err(fail)?;
    let stored = match &config.data {
        Some(folder) => Some(store::open(folder, entropy()?)?),
        None => None,
    };
    let kept = stored.as_ref().and_then(|opened| opened.kept.secret);
    let secret = match kept {
        Some(secret) => derive(&secret, Purpose::Tokens),
        None => entropy()?,
    };
    let secret = match (&config.cluster, config.is_demo()) {
        (Some(_), true) => derive(DEMO_SECRET, Purpose::Tokens),
        _ => secret,
    };
    if config.is_demo() {
        config.rooms.lobby.get_or_insert(DEMO_LOBBY.into());
    }
    dial::prepare(&mut config)?;
    let files = Files::new(&config, secret);
    let credentials = files.load()?;
    let listeners = open_listeners(&mut config, handed_over)?;
    let mut shell =
        Shell::new(config, credentials, files, listeners, signals, stored).map_err(fail)?;
    let ended = shell.run();
    if let Some(store) = shell.store.take() {
        store.finish();
    }
    ended.map_err(|error| format!("the event loop failed: {error}"))
}

/// Carries out `sarang backup` or `sarang restore`. Returns what it has to say.
///
/// # Errors
/// A sentence.
pub fn store_command(command: &StoreCommand) -> Result<String, String> {
    #[cfg(feature = "durable")]
    return backup::run(command);
    #[cfg(not(feature = "durable"))]
    return Err(format!("{}: {}", command.folder.display(), store::NONE));
}

/// Opens the sockets to listen on: those of the configuration and those that were handed over, which are added to it; if
/// there are none, that of the default address.
fn open_listeners(config: &mut Config, handed_over: Vec<Bound>) -> Result<Listeners, String> {
    if config.listen.is_empty() && handed_over.is_empty() {
        config.listen.push(Listen::default());
    }
    let given = config.listen.clone();
    for Bound { at, .. } in &handed_over {
        if config.is_demo() && !at.is_local() {
            return Err(format!(
                "a socket on {at} was handed over: without accounts every client that reaches it could use any name, so \
                the demo listens on loopback only; first `sarang user add NAME --users people`, then start it with \
                --users people"
            ));
        }
        config.listen.push(at.clone());
    }
    config.check_proxies()?;
    let sockets = binding::open(&given, config.unix_mode, handed_over)?;
    Listeners::new(sockets).map_err(|error| format!("cannot listen: {error}"))
}

struct Shell {
    server: Server,
    supervisor: Supervisor,
    drain_delay: Duration,
    outside: Outside,
    worker: Worker,
    store: Option<Store>,
    /// The connection to the engine, if there is one.
    dialer: Option<Dialer>,
    machine: Sampler,
    /// The resident memory of this process in bytes, and when it was read.
    resident: (Option<u64>, Option<Duration>),
    poll: Poll,
    listeners: Option<Listeners>,
    signals: Signals,
}

impl Shell {
    fn new(
        config: Config,
        credentials: Credentials,
        files: Files,
        mut listeners: Listeners,
        mut signals: Signals,
        stored: Option<Opened>,
    ) -> io::Result<Self> {
        let descriptors = startup::raise_descriptor_limit();
        let poll = Poll::new()?;
        listeners.register(poll.registry(), FIRST_LISTENER)?;
        poll.registry()
            .register(&mut signals, SIGNAL, Interest::READABLE)?;
        let remarks = files.remarks();
        let waker = Arc::new(Waker::new(poll.registry(), WORKER)?);
        let worker = Worker::new(waker.clone(), files);
        let seed = entropy().map_err(io::Error::other)?;
        let mut outside = Outside::new(config.log_format);
        let now = outside.now();
        let (drain_delay, connections) = (config.drain_delay, config.connections);
        let said = startup::announcement(listeners.addresses(), config.is_demo());
        let mut remarked = Vec::new();
        let dialer = config.cluster.is_some().then(|| Dialer::new(ENGINE));
        let (store, mut server) = match stored {
            Some(opened) => {
                let store = Store::new(opened.store, waker);
                remarked = opened.remarks;
                let server = Server::with_store(config, credentials, &seed, now, opened.kept);
                (Some(store), server)
            }
            #[cfg(feature = "cluster")]
            None if dialer.is_some() => {
                (None, Server::with_cluster(config, credentials, &seed, now))
            }
            None => (None, Server::new(config, credentials, &seed, now)),
        };
        let journal = &mut server.journal;
        startup::note_descriptors(journal, descriptors, connections, now);
        server.open_lobby(now);
        server.note_clock(now);
        server.note_files(&remarks, now);
        for remark in remarked {
            let about = remark.about.iter();
            let about: Vec<(&str, &dyn Field)> = about
                .map(|(name, value)| (*name, value as &dyn Field))
                .collect();
            let journal = &mut server.journal;
            journal.record(remark.level, remark.event, &about, now);
        }
        if let Err(error) = startup::print(&said) {
            let (journal, reason) = (&mut server.journal, error.to_string());
            journal.record(Level::Warn, "stdout_failed", &[("reason", &reason)], now);
        }
        Ok(Self {
            server,
            supervisor: Supervisor::from_environment(),
            drain_delay,
            outside,
            worker,
            store,
            dialer,
            machine: Sampler::new(),
            resident: (None, None),
            poll,
            listeners: Some(listeners),
            signals,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let now = self.outside.now();
        let address = self.listeners.as_ref().map(ToString::to_string);
        let address = address.unwrap_or_default();
        let journal = &mut self.server.journal;
        journal.record(Level::Info, "started", &[("address", &address)], now);
        self.supervisor.ready(&format!("listening on {address}"));
        // The first turn writes that line.
        let mut has_more = true;
        loop {
            self.wait(&mut events, has_more)?;
            let now = self.outside.now();
            self.read_own_memory(now);
            self.supervisor.live(now.monotonic);
            self.take_events(&events, now);
            if self.server.is_draining() {
                // Dropping them closes them: from here on the system refuses new connections.
                self.listeners = None;
            }
            self.accept(now);
            if let Some(dialer) = &mut self.dialer {
                dialer.receive(&mut self.server, now);
            }
            if !self.server.is_reloading() {
                self.supervisor.reloaded();
            }
            let is_over = self.server.is_over();
            if is_over {
                let left = self.server.connection_count();
                let journal = &mut self.server.journal;
                journal.record(Level::Info, "stopped", &[("connections", &left)], now);
            }
            self.server.turn(now, &mut self.outside);
            if is_over {
                return Ok(());
            }
            // What this turn has read is handed to the threads before the loop waits.
            self.carry_out_jobs(now);
            let has_replies = self.talk_to_engine(now);
            // The last turn writes that line.
            has_more =
                self.server.has_work() | self.take_freed() | self.server.is_over() | has_replies;
        }
    }

    /// Writes what there is for the engine. Whether there is more to read from it.
    fn talk_to_engine(&mut self, now: Now) -> bool {
        let Some(dialer) = &mut self.dialer else {
            return false;
        };
        dialer.send(&mut self.server, self.poll.registry(), now);
        dialer.has_more()
    }

    /// Resumes accepting if sockets were closed, which freed descriptors. Whether there may be connections to accept.
    fn take_freed(&mut self) -> bool {
        let has_freed = std::mem::take(&mut self.outside.has_freed);
        if has_freed && self.server.connection_count() == 0 {
            self.outside.sockets.forget();
        }
        let Some(listeners) = &mut self.listeners else {
            return false;
        };
        if has_freed {
            listeners.descriptor_freed();
        }
        listeners.is_ready()
    }

    fn wait(&mut self, events: &mut Events, has_more: bool) -> io::Result<()> {
        let paused_until = self.listeners.as_ref().and_then(Listeners::paused_until);
        let next = [
            self.server.next_timeout(),
            paused_until,
            self.supervisor.next_timeout(),
        ]
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
                SIGNAL => self.take_signals(now),
                ENGINE => {
                    if let Some(dialer) = &mut self.dialer {
                        dialer.ready(event);
                    }
                }
                WORKER => {
                    while let Some((serial, done)) = self.poll_result() {
                        self.server.finished(serial, done, now);
                    }
                }
                Token(listener @ FIRST_LISTENER..) => {
                    if let Some(listeners) = &mut self.listeners {
                        listeners.set_ready(listener - FIRST_LISTENER);
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

    /// The next result of a thread.
    fn poll_result(&self) -> Option<(Serial, Done)> {
        let of_store = || self.store.as_ref()?.poll_result();
        self.worker.poll_result().or_else(of_store)
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
            self.supervisor.reloading();
            self.server.reload();
        }
        if signals.contains(&BACK_UP)
            && let Some(store) = &mut self.store
        {
            store.back_up();
        }
        for _ in signals.iter().filter(|signal| STOPS.contains(signal)) {
            self.supervisor.stopping(self.drain_delay);
            self.server.stop(now);
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
                Job::Store(batch) => {
                    if let Some(store) = &mut self.store {
                        store.commit(serial, batch);
                    }
                    continue;
                }
                Job::Rewrite(batch) => {
                    if let Some(store) = &mut self.store {
                        store.rewrite(serial, batch);
                    }
                    continue;
                }
                // The backends of one machine never ask for these.
                Job::RedeemTicket(_) | Job::Publish(_) | Job::Open(_) => continue,
            };
            let failed = match &task {
                Task::Check(..) => Some(Done::PasswordChecked(false)),
                Task::Read(..) => Some(Done::CredentialsRead(Err("no thread for it".into()))),
                Task::Drop(_) => None,
            };
            if let Err(error) = self.worker.submit(task) {
                let journal = &mut self.server.journal;
                let reason = error.to_string();
                journal.note(Level::Error, "no_worker", &[("reason", &reason)], now);
                if let Some(done) = failed {
                    self.server.finished(serial, done, now);
                }
            }
        }
    }

    fn accept(&mut self, now: Now) {
        let Some(listeners) = &mut self.listeners else {
            return;
        };
        listeners.wake(now.monotonic);
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(arrival) = listeners.accept(now.monotonic) else {
                return;
            };
            let (mut stream, peer) = match arrival {
                Arrival::Peer(stream, peer) => (stream, peer),
                Arrival::Surplus(stream, peer) => {
                    self.server.note_refused("descriptors", peer, now);
                    let server = &self.server;
                    refuse(stream, |bytes| server.refusal_of_a_connection(bytes, now));
                    listeners.restore_spare();
                    continue;
                }
                Arrival::Aborted | Arrival::Empty => continue,
                Arrival::Failed(error) => {
                    let journal = &mut self.server.journal;
                    let reason = error.to_string();
                    journal.note(Level::Error, "accept_failed", &[("reason", &reason)], now);
                    continue;
                }
            };
            let Some(id) = self.server.accept(peer, now) else {
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
}
