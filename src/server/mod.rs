//! Floor 3, the server: every connection and every room, as one value without I/O.
//!
//! The shell tells it what happened ([`Server::accept`], [`Server::receive`], [`Server::end_of_stream`],
//! [`Server::closed`], [`Server::writable`], [`Server::handle_timeout`]) and asks what is to be done
//! ([`Server::flush`], [`Server::poll_readable`], [`Server::poll_freed`], [`Server::next_timeout`]). So a whole server
//! runs in a test, a fuzzer or a simulation, on virtual time.

mod addresses;
pub mod assets;
pub mod backend;
mod ceiling;
pub mod closing;
pub mod commands;
mod counters;
pub mod deadlines;
mod events;
pub mod fan_out;
mod flush;
mod notes;
pub mod requests;
pub mod routes;
pub mod settle;
pub mod sign_in;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use slab::Slab;

use crate::config::{
    Config, HEAD_TIMEOUT, Level, OUTBOX_HIGH_WATER_BYTES, REPLIES_PER_TURN_BYTES, TABLE_KEPT,
};
use crate::conn::http::Http;
use crate::conn::{Connection, Phase};
use crate::domain::auth::{Auth, Credentials};
use crate::domain::ids::ConnectionId;
use crate::domain::metrics::Metrics;
use crate::domain::rooms::{Effects, RoomManager};
use crate::domain::time::Now;
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::wire::websocket::CloseCode;
use addresses::Addresses;
use backend::Memory;
use counters::Counters;
pub use counters::ShellFacts;
use deadlines::{Deadlines, ticks};
use fan_out::{FanOut, Troubled};
use sign_in::{Login, PasswordCheck};

/// The whole server but its sockets.
#[derive(Debug)]
pub struct Server {
    config: Config,
    connections: Slab<Connection>,
    /// Who comes from where.
    addresses: Addresses,
    rooms: RoomManager,
    auth: Auth,
    /// Attempts to sign in that wait for their password check, by job.
    logins: HashMap<u64, Login>,
    jobs: VecDeque<PasswordCheck>,
    last_job: u64,
    /// Connections whose next request may be served.
    resumed: Vec<ConnectionId>,
    backend: Memory,
    /// What is said in rooms.
    fan_out: FanOut,
    /// What is told to event streams.
    events: FanOut,
    metrics: Metrics,
    counters: Counters,
    /// What is worth a line on stderr.
    pub journal: Journal,
    /// Memory held for peers.
    ledger: Ledger,
    deadlines: Deadlines,
    effects: Effects,
    /// Connections with something new in their outbox.
    listed: Vec<ConnectionId>,
    /// Those of the next turn, because this one has answered enough.
    deferred: Vec<ConnectionId>,
    /// Connections that may be read again.
    readable: Vec<ConnectionId>,
    /// Connections that may be read when the fan-out has made progress.
    held: Vec<ConnectionId>,
    /// Connections whose socket the shell may drop at the end of the turn.
    freed: Vec<ConnectionId>,
    troubled: Troubled,
    /// The same of event streams.
    lagging: Troubled,
    scratch: Vec<u8>,
    frame: Vec<u8>,
    /// Bytes queued for single peers in this turn.
    replied_bytes: usize,
    /// Bytes written from outboxes in this turn.
    written_bytes: usize,
    is_draining: bool,
}

impl Server {
    /// A server without connections. The seed decides epochs, tickets and token ids.
    pub fn new(config: Config, credentials: Credentials, seed: &[u8; 32]) -> Self {
        let mut auth = Auth::new(credentials, config.token_ttl_secs, config.ticket_ttl, seed);
        let epochs = auth.random().number();
        Self {
            connections: Slab::new(),
            addresses: Addresses::default(),
            rooms: RoomManager::new(config.rooms.clone(), epochs),
            auth,
            logins: HashMap::new(),
            jobs: VecDeque::new(),
            last_job: 0,
            resumed: Vec::new(),
            backend: Memory,
            fan_out: FanOut::default(),
            events: FanOut::default(),
            metrics: Metrics::new(),
            counters: Counters::default(),
            journal: Journal::new(config.log),
            ledger: Ledger::default(),
            deadlines: Deadlines::default(),
            effects: Effects::new(),
            listed: Vec::new(),
            deferred: Vec::new(),
            readable: Vec::new(),
            held: Vec::new(),
            freed: Vec::new(),
            troubled: Troubled::default(),
            lagging: Troubled::default(),
            scratch: Vec::new(),
            frame: Vec::new(),
            replied_bytes: 0,
            written_bytes: 0,
            is_draining: false,
            config,
        }
    }

    /// A new connection from an address; `None` at a limit or when draining: answer 503 and drop it.
    pub fn accept(&mut self, address: IpAddr, now: Now) -> Option<ConnectionId> {
        if self.is_draining {
            return None;
        }
        if self.connections.len() >= self.config.connections {
            self.note_refused("connections", address, now);
            return None;
        }
        let id = ConnectionId(self.connections.vacant_key() as u32);
        if !self
            .addresses
            .add(id, address, self.config.connections_per_address)
        {
            self.note_refused("connections_per_address", address, now);
            return None;
        }
        let mut connection = Connection::new(Http::new(self.config.echo));
        connection.heard = ticks(now.monotonic);
        self.deadlines
            .set(id, &mut connection, now.monotonic + HEAD_TIMEOUT);
        self.counters.add_connection(&connection.phase);
        self.connections.insert(connection);
        self.note(Level::Debug, "connected", id, &[], now);
        Some(id)
    }

    /// Bytes came from a peer.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8], now: Now) {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        // Whose bytes are discarded is alive as long as it takes what it is owed.
        if !matches!(connection.phase, Phase::Lingering) {
            connection.heard = ticks(now.monotonic);
        }
        match &mut connection.phase {
            Phase::Http(http) => {
                http.push(bytes);
                self.serve_requests(id, now);
            }
            Phase::WebSocket(_) => self.receive_messages(id, bytes, now),
            Phase::Closing(walker) => {
                walker.advance(bytes);
                if walker.saw_close() || walker.is_bad_header() {
                    self.linger(id, now);
                }
            }
            Phase::EventStream(_) | Phase::Lingering | Phase::Closed => {}
        }
    }

    /// The peer has ended its direction.
    pub fn end_of_stream(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        connection.is_half_closed = true;
        match connection.phase {
            // The responses it still waits for go out first.
            Phase::Http(_) | Phase::Lingering if connection.queued_bytes() > 0 => self.list(id),
            Phase::WebSocket(_) if connection.queued_bytes() > 0 => {
                self.depart(id, now);
            }
            _ => self.closed(id, now),
        }
    }

    /// The connection is broken, or has served its purpose.
    pub fn closed(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        if matches!(connection.phase, Phase::Closed) {
            return;
        }
        self.note(Level::Debug, "disconnected", id, &[], now);
        self.leave(id, now);
        self.set_phase(id, Phase::Closed);
        self.connections[id.index()].drop_outbox();
        self.freed.push(id);
    }

    /// A socket takes bytes again.
    pub fn writable(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        if connection.unblock() {
            // A peer that takes bytes is alive, even while nothing is read from it.
            connection.heard = ticks(now.monotonic);
            self.list(id);
        }
    }

    /// Whether more may be read from a peer now; if not, [`Self::poll_readable`] names it when it may.
    pub fn may_read(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return false;
        };
        let is_waiting = match &connection.phase {
            Phase::Http(http) if http.job.is_some() => true,
            Phase::Lingering => false,
            // One that is paused has sent more than was answered.
            _ => connection.is_paused || connection.queued_bytes() > OUTBOX_HIGH_WATER_BYTES,
        };
        if is_waiting {
            connection.is_paused = true;
            return false;
        }
        if self.fan_out.is_congested(self.rooms.people().rooms(id)) {
            self.held.push(id);
            return false;
        }
        true
    }

    /// Bytes that answered single peers in this turn.
    pub fn replied_bytes(&self) -> usize {
        self.replied_bytes
    }

    /// Whether the rest is to be read, and answered, in the next turn.
    pub fn is_turn_full(&self) -> bool {
        self.replied_bytes > REPLIES_PER_TURN_BYTES
    }

    /// Whether what comes from a peer is HTTP, which may hold a password.
    pub fn speaks_http(&self, id: ConnectionId) -> bool {
        self.connections
            .get(id.index())
            .is_some_and(|connection| matches!(connection.phase, Phase::Http(_)))
    }

    /// Replaces accounts and secrets. Whoever lost theirs is signed out, and a guest whose name belongs to an account
    /// from here on gives way.
    pub fn reload(&mut self, credentials: Credentials, now: Now) {
        for name in self.auth.reload(credentials, now) {
            for id in self.auth.sessions.of_name(&name) {
                self.end_session(id, CloseCode::SESSION_ENDED, now);
            }
        }
        for name in self.auth.account_names() {
            self.close_guests(&name, now);
        }
    }

    /// A connection that may be read again.
    pub fn poll_readable(&mut self) -> Option<ConnectionId> {
        self.readable.pop()
    }

    /// A connection that is over: its socket is to be dropped. Only at the end of a turn, so that nothing that still
    /// names it can mean another.
    pub fn poll_freed(&mut self) -> Option<ConnectionId> {
        let id = self.freed.pop()?;
        let connection = self.connections.remove(id.index());
        self.counters.remove_connection(&connection.phase);
        self.addresses.remove(id);
        if self.connections.is_empty() && self.connections.capacity() > TABLE_KEPT {
            self.connections = Slab::new();
            self.rooms.forget_people();
        }
        Some(id)
    }

    /// Connections that are not freed.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Bytes that wait for a peer.
    pub fn queued_bytes(&self, id: ConnectionId) -> usize {
        let connection = self.connections.get(id.index());
        connection.map_or(0, Connection::queued_bytes)
    }

    /// What the shell has seen, and how long the last turn took.
    pub fn observe(&mut self, facts: ShellFacts, turn: Duration) {
        self.counters.shell = facts;
        self.counters.turn(turn);
    }

    /// The rooms.
    pub fn rooms(&self) -> &RoomManager {
        &self.rooms
    }

    /// When [`Self::handle_timeout`] has something to do, since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        [
            self.deadlines.next(),
            self.rooms.next_timeout(),
            self.auth.sessions.next_timeout(),
            self.metrics.next_timeout(),
            self.journal.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.journal.handle_timeout(now);
        self.rooms.handle_timeout(now, &mut self.effects);
        self.settle(now);
        self.end_sessions(now);
        while let Some((tick, ids)) = self.deadlines.pop(now.monotonic) {
            for id in ids {
                let Some(connection) = self.connections.get_mut(id.index()) else {
                    continue;
                };
                if self.deadlines.strikes(id, connection, tick) {
                    self.deadline(id, now);
                }
            }
        }
    }
}
