//! Floor 3, the server: every connection and every room, as one value without I/O.
//!
//! The shell reports events ([`Server::accept`], [`Server::readable`], [`Server::ending`], [`Server::writable`],
//! [`Server::finished`]) and runs a [`Server::turn`] with sockets and a clock. Work that takes time leaves as a job
//! ([`Server::poll_job`]). So a whole server runs in a test, a fuzzer or a simulation, on virtual time.

mod acts;
mod addresses;
pub mod answer;
pub mod assets;
mod audit;
pub mod backend;
mod ceiling;
pub mod chat;
mod closing;
mod commands;
pub mod connections;
mod cors;
mod counters;
mod creations;
pub mod deadlines;
pub mod disk;
mod dispatch;
mod event_requests;
mod exposition;
pub mod fan_out;
mod flush;
mod forwarding;
mod gauges;
mod handshake;
pub mod histogram;
pub mod hosts;
pub mod io;
pub mod jobs;
mod logins;
mod moderation;
pub mod node;
mod notes;
pub mod password_checks;
pub mod peers;
mod proxied;
mod read_queue;
mod requests;
mod rest;
pub mod routes;
mod selections;
mod sharing;
mod sign_in;
pub mod sign_ins;
mod storing;
pub mod streams;
mod subscribers;
mod turn;
pub mod waiting;
mod watchers;
mod watching;
mod whispers;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::{
    CLOCK_SET_FROM_SECS, Config, DEADLINES_PER_TURN, FIRST_EVENT_ID_MAX, Level, RANDOM_EVENT_ID_MAX,
};
use crate::conn::{Connection, Mark, Phase};
use crate::domain::credentials::Credentials;
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::membership::Exit;
use crate::domain::random::Random;
use crate::domain::rooms::RoomManager;
use crate::domain::time::Now;
use crate::journal::Journal;
use crate::wire::close_code::CloseCode;
use crate::wire::response::HttpDate;
use acts::Moderation;
use backend::{Backend, Memory};
use chat::Chat;
use connections::Connections;
use counters::Counters;
pub use counters::ShellFacts;
use deadlines::ticks;
use disk::Answered;
use jobs::{Done, Job, Jobs};
use peers::Sharing;
use sign_ins::SignIns;
use streams::Streams;
use waiting::WaitingRequests;

/// The whole server, except its sockets.
#[derive(Debug)]
pub struct Server {
    config: Config,
    /// All connections, and the work lists of this turn.
    connections: Connections,
    /// Rooms and their messages.
    chat: Chat,
    /// Metrics and their subscribers.
    streams: Streams,
    /// Accounts, tokens, tickets and sessions.
    sign_ins: SignIns,
    /// Jobs the shell has not taken yet.
    jobs: Jobs,
    /// Requests and commands that wait for a job's result.
    waiting: WaitingRequests,
    /// What moderators have asked for, and is not answered yet.
    moderation: Moderation,
    /// What concerns the other nodes, if there are any.
    sharing: Sharing,
    /// Answers of the disk that are not carried out yet, in order.
    stored: VecDeque<Answered>,
    counters: Counters,
    /// Lines for stderr.
    pub journal: Journal,
    /// The cached Date field of responses (RFC 9110 section 6.6.1).
    date: HttpDate,
    /// The buffer of one read.
    buffer: Vec<u8>,
    /// Scratch space: a response head or a frame being encoded.
    frame: Vec<u8>,
    /// The start, if the clock was not set then, and has not been since.
    unset_since: Option<Now>,
    /// Calls until the invariants are asserted again (debug builds only).
    unchecked: usize,
    /// When it was created, since 1970; `None` if the clock was not set then.
    started: Option<Duration>,
    /// When the room where people come in is opened, or looked for, again, since the server's start.
    next_lobby: Option<Duration>,
    /// When draining begins, since the server's start, if it is to stop.
    drains_at: Option<Duration>,
    /// When the connections are closed, since the server's start, if a drain waits for the store.
    closes_at: Option<Duration>,
    /// When the drain ends, since the server's start, whatever the peers do.
    ends_at: Option<Duration>,
    /// Whether it has ended so, or by a signal.
    is_cut_short: bool,
}

impl Server {
    /// A server without connections, with the in-memory backend. `seed` determines room epochs, tickets, token ids and
    /// simulated figures; `now` determines the first event id.
    pub fn new(config: Config, credentials: Credentials, seed: &[u8; 32], now: Now) -> Self {
        let epochs = Random::new(seed).number();
        let backend = Backend::Memory(Memory::new(epochs));
        Self::with_backend(config, credentials, seed, now, backend)
    }

    /// Like [`Self::new`], with the given backend.
    pub fn with_backend(
        config: Config,
        credentials: Credentials,
        seed: &[u8; 32],
        now: Now,
        backend: Backend,
    ) -> Self {
        let mut seeds = Random::new(seed);
        let (mut of_sign_ins, mut of_streams) = ([0; 32], [0; 32]);
        // [`Self::new`] takes the epochs' seed from the first number.
        seeds.number();
        of_sign_ins.copy_from_slice(&seeds.bytes());
        of_streams.copy_from_slice(&seeds.bytes());
        let (token_ttl_secs, ticket_ttl) = (config.token_ttl_secs, config.ticket_ttl);
        let grace = config.presence_grace;
        let mut chat = Chat::new(config.rooms.clone(), config.outbox_bytes, backend);
        let (rooms, _) = chat.rooms_mut();
        rooms.marks_guests = !config.is_demo();
        rooms.presence_grace = grace;
        let mut sign_ins =
            SignIns::new(credentials, token_ttl_secs, ticket_ttl, grace, &of_sign_ins);
        sign_ins.auth_mut().accept_audience(config.audience.clone());
        Self {
            connections: Connections::default(),
            chat,
            streams: Streams::new(
                first_event_id(&config, seeds.number(), now),
                config.heartbeat,
                config.is_demo(),
                &of_streams,
            ),
            sign_ins,
            jobs: Jobs::default(),
            waiting: WaitingRequests::default(),
            moderation: Moderation::default(),
            sharing: Sharing::default(),
            stored: VecDeque::new(),
            counters: Counters::default(),
            journal: Journal::new(config.log, config.log_format),
            date: HttpDate::default(),
            buffer: Vec::new(),
            frame: Vec::new(),
            unset_since: (now.unix.as_secs() < CLOCK_SET_FROM_SECS).then_some(now),
            unchecked: 0,
            started: (now.unix.as_secs() >= CLOCK_SET_FROM_SECS).then_some(now.unix),
            next_lobby: None,
            drains_at: None,
            closes_at: None,
            ends_at: None,
            is_cut_short: false,
            config,
        }
    }

    /// Accepts a connection from an address. `None` at a limit or while draining: the caller answers 503 and drops it.
    pub fn accept(&mut self, address: IpAddr, now: Now) -> Option<ConnectionId> {
        if self.connections.is_draining {
            return None;
        }
        match self
            .connections
            .accept(address, &self.config, now.monotonic)
        {
            Ok(id) => {
                self.note(Level::Debug, "connected", id, &[], now);
                self.check();
                Some(id)
            }
            Err(limit) => {
                self.note_refused(limit, address, now);
                None
            }
        }
    }

    /// Handles bytes received from the peer. WebSocket payloads are unmasked in place.
    pub fn receive(&mut self, id: ConnectionId, bytes: &mut [u8], now: Now) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        // A lingering peer's input proves nothing: only accepting queued bytes keeps it alive.
        if !matches!(connection.phase, Phase::Lingering) {
            connection.heard = ticks(now.monotonic);
        }
        match &connection.phase {
            Phase::Http(_) => self.serve_requests(id, bytes, now),
            Phase::WebSocket(_) => self.receive_messages(id, bytes, now),
            Phase::Closing(_) => self.discard(id, bytes, now),
            Phase::EventStream(_) | Phase::Lingering | Phase::Closed => {}
        }
        self.check();
    }

    /// The peer has closed its sending direction (TCP FIN).
    pub fn end_of_stream(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.set(Mark::HalfClosed, true);
        match connection.phase {
            // Queued responses are sent first.
            Phase::Http(_) | Phase::Lingering if connection.queued_bytes() > 0 => {
                self.connections.list(id);
            }
            Phase::WebSocket(_) if connection.queued_bytes() > 0 => {
                self.depart(id, now);
            }
            Phase::Http(ref http) if http.has_part_of_proxy_header() => {
                self.refuse_proxy_header(id, "it is cut short", now);
            }
            _ => self.closed(id, now),
        }
        self.check();
    }

    /// Ends a connection that is broken or finished. Its slot is freed at the end of the turn.
    pub fn closed(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if matches!(connection.phase, Phase::Closed) {
            return;
        }
        self.note(Level::Debug, "disconnected", id, &[], now);
        self.leave(id, Exit::Closed, now);
        self.connections.close(id);
        self.check();
    }

    /// The socket is writable again.
    pub fn writable(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.unblock() {
            // A peer that accepts bytes is alive, even while its input is not read.
            connection.heard = ticks(now.monotonic);
            self.connections.list(id);
        }
        self.check();
    }

    /// The next job for the shell, if any. Its result goes to [`Self::finished`] under the same serial.
    pub fn poll_job(&mut self) -> Option<(Serial, Job)> {
        match self.chat.poll_job() {
            Some(job) => Some((self.jobs.next_serial(), job)),
            None => self.jobs.pop().or_else(|| self.next_check()),
        }
    }

    /// Takes the result of a job. The connection that caused the job may have closed since.
    pub fn finished(&mut self, serial: Serial, done: Done, now: Now) {
        match done {
            Done::PasswordChecked(is_accepted) => self.password_checked(serial, is_accepted, now),
            Done::CredentialsRead(read) => self.credentials_read(read, now),
            Done::MachineSampled(machine) => {
                let gauges = self.gauges();
                for draft in self.streams.sampled(machine, &gauges, now) {
                    self.tell(None, draft, now);
                }
            }
            Done::TicketRedeemed(redeemed) => self.ticket_redeemed(serial, redeemed, now),
            Done::Answered(outcome) => {
                self.chat.answered(outcome, &mut self.connections, now);
                self.settle(now);
            }
            Done::Stored(result) => self.stored(result, now),
            Done::BackedUp(result) => self.note_backup(&result, now),
        }
        self.check();
    }

    /// Connections in the table, including closed ones that are not freed yet.
    pub fn connection_count(&self) -> usize {
        self.connections.count()
    }

    /// Bytes queued in the connection's outbox; 0 if there is no such connection.
    pub fn queued_bytes(&self, id: ConnectionId) -> usize {
        let connection = self.connections.get(id);
        connection.map_or(0, Connection::queued_bytes)
    }

    /// Open event streams.
    pub fn subscriber_count(&self) -> usize {
        self.streams.subscriber_count()
    }

    /// Replaces the totals that only the shell knows.
    pub fn observe(&mut self, facts: ShellFacts) {
        self.counters.shell = facts;
    }

    /// Requests and commands that wait for a job's result.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// The rooms.
    pub fn rooms(&self) -> &RoomManager {
        self.chat.rooms()
    }

    /// When [`Self::handle_timeout`] is next due, as time since the server's start. Any call may change it.
    pub fn next_timeout(&self) -> Option<Duration> {
        let streams = self.streams.next_timeout();
        streams
            .into_iter()
            .chain(self.next_timeout_of_others())
            .min()
    }

    /// When anything but event streams and samples is next due.
    fn next_timeout_of_others(&self) -> Option<Duration> {
        [
            self.connections.next_timeout(),
            self.chat.next_timeout(),
            self.sign_ins.auth().sessions.next_timeout(),
            self.sign_ins.checks.next_timeout(),
            self.journal.next_timeout(),
            self.next_stop(),
            self.chat.next_rewrite(),
            self.next_engine_timeout(),
            self.next_posting_timeout(),
            self.next_lobby,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether nothing is due but the next sample of a server that nobody listens to.
    pub fn is_idle(&self) -> bool {
        self.streams.is_idle() && self.next_timeout_of_others().is_none()
    }

    /// Handles everything due; at most [`DEADLINES_PER_TURN`] session ends and as many connection deadlines per call.
    pub fn handle_timeout(&mut self, now: Now) {
        self.journal.handle_timeout(now);
        self.handle_engine_timeout(now);
        self.handle_stop(now);
        self.rewrite_if_due(now);
        self.open_lobby_if_due(now);
        self.chat.handle_timeout(&mut self.connections, now);
        let has_to_read = self.chat.tell_watchers_if_due(now);
        self.list_for_watchers_if(has_to_read, now);
        self.streams.handle_timeout(&mut self.jobs, now);
        self.draw_parked_logins(now);
        while let Some(id) = self.connections.overdue_parked(now.monotonic) {
            self.give_up_parked(id, now);
        }
        for _ in 0..DEADLINES_PER_TURN {
            let Some(id) = self.sign_ins.auth().sessions.due(now.monotonic) else {
                break;
            };
            self.end_session(id, CloseCode::TOKEN_EXPIRED, now);
        }
        for _ in 0..DEADLINES_PER_TURN {
            let Some(id) = self.connections.poll_deadline(now.monotonic) else {
                break;
            };
            self.deadline(id, now);
        }
        self.check();
    }

    /// Carries out the domain's effects, then answers the requests that have waited for them, which may have effects.
    fn settle(&mut self, now: Now) {
        loop {
            self.chat.settle(&mut self.connections, now);
            self.answer_created(now);
            self.answer_readers(now);
            self.answer_posts(now);
            self.answer_removed(now);
            if self.chat.is_settled() {
                return;
            }
        }
    }

    /// Asserts the invariants of every part, in debug builds. The check visits every connection and room, so with many
    /// connections it runs only once in `connections / 8 + 1` calls.
    fn check(&mut self) {
        if !cfg!(debug_assertions) {
            return;
        }
        if self.unchecked > 0 {
            self.unchecked -= 1;
            return;
        }
        self.unchecked = self.connections.count() / 8;
        self.connections.check(&self.config);
        self.chat.check();
        self.streams.check();
        self.sign_ins.check();
        self.waiting.check();
    }
}

/// The first event id: 1 in the demo, otherwise the milliseconds since 1970, so that an id from before a restart is
/// always older than every kept event. Where the clock is not set, and starts at the same time with each start of the
/// machine, it is random, so that an id of an earlier run is outside of the events kept.
fn first_event_id(config: &Config, random: u64, now: Now) -> u64 {
    let milliseconds = u64::try_from(now.unix.as_millis()).unwrap_or(u64::MAX);
    match now.unix.as_secs() {
        _ if config.is_demo() => 1,
        ..CLOCK_SET_FROM_SECS => 1 + random % RANDOM_EVENT_ID_MAX,
        _ => milliseconds.min(FIRST_EVENT_ID_MAX),
    }
}
