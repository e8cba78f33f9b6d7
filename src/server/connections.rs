//! All connections: their addresses, phases and deadlines, and the work lists of the turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use slab::Slab;

use super::addresses::Addresses;
use super::deadlines::{Deadlines, NEVER, ticks};
use super::read_queue::ReadQueue;
use crate::config::listen::UNIX_PEER;
use crate::config::{BACKEND_PATIENCE, Config, HEAD_TIMEOUT, TABLE_KEPT};
use crate::conn::http::{Awaited, Http};
use crate::conn::{Connection, Mark, Phase};
use crate::domain::ids::{ConnectionId, Origin, Serial};
use crate::ledger::Ledger;

/// The labels of connections in `GET /metrics`.
pub const PHASE_LABELS: [&str; 4] = ["closing", "event_stream", "http", "websocket"];

/// The index of a phase in [`PHASE_LABELS`].
fn phase_index(phase: &Phase) -> usize {
    match phase {
        Phase::Closing(_) | Phase::Lingering | Phase::Closed => 0,
        Phase::EventStream(_) => 1,
        Phase::Http(_) => 2,
        Phase::WebSocket(_) => 3,
    }
}

/// Every connection.
#[derive(Debug, Default)]
pub struct Connections {
    slab: Slab<Connection>,
    addresses: Addresses,
    deadlines: Deadlines,
    /// Buffer memory of all connections.
    ledger: Ledger,
    /// Connections by phase, as in [`PHASE_LABELS`].
    phase_counts: [u64; PHASE_LABELS.len()],
    /// The number of WebSockets opened so far, wrapping.
    generation: u32,
    /// Connections that may be readable.
    pub(super) read_queue: ReadQueue,
    /// Flushed this turn: their outbox has new bytes.
    listed: Vec<ConnectionId>,
    /// Flushed next turn: this turn's budget is spent.
    deferred: Vec<ConnectionId>,
    /// Their next request or command may be served. Each marked connection once; the id of a freed one may also be here.
    resumed: VecDeque<ConnectionId>,
    /// Resumed next turn: their share of this turn is used.
    postponed: Vec<ConnectionId>,
    /// Closed: their socket is dropped at the end of this turn, or of a later one.
    freed: Vec<ConnectionId>,
    /// Parked WebSockets, whose last command waits for an answer, by the time at which the wait is given up.
    parked: BTreeSet<(Duration, ConnectionId)>,
    /// The times in `parked`, by connection.
    parked_until: BTreeMap<ConnectionId, Duration>,
    /// Bytes queued in this turn for single connections, not by the fan-out.
    pub(super) replied_bytes: usize,
    /// Whether new connections are refused.
    pub(super) is_draining: bool,
}

impl Index<ConnectionId> for Connections {
    type Output = Connection;

    fn index(&self, id: ConnectionId) -> &Connection {
        &self.slab[id.index()]
    }
}

impl IndexMut<ConnectionId> for Connections {
    fn index_mut(&mut self, id: ConnectionId) -> &mut Connection {
        &mut self.slab[id.index()]
    }
}

impl Connections {
    /// Adds a connection from an address.
    ///
    /// # Errors
    /// The name of the limit that was reached.
    pub fn accept(
        &mut self,
        address: IpAddr,
        config: &Config,
        now: Duration,
    ) -> Result<ConnectionId, &'static str> {
        if self.slab.len() >= config.connections {
            return Err("connections");
        }
        let id = ConnectionId(self.slab.vacant_key() as u32);
        if !self.addresses.add(id, address, config) {
            return Err("connections_per_address");
        }
        let is_proxied = config.proxy_protocol && self.addresses.proxy(id, config).is_some();
        let mut connection = Connection::new(match is_proxied {
            true => Http::behind_proxy(),
            false => Http::default(),
        });
        connection.heard = ticks(now);
        connection.set(Mark::OverUnix, address == UNIX_PEER);
        self.deadlines.set(id, &mut connection, now + HEAD_TIMEOUT);
        self.phase_counts[phase_index(&connection.phase)] += 1;
        self.slab.insert(connection);
        Ok(id)
    }

    /// The connection with this id, if there is one.
    pub fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.slab.get(id.index())
    }

    /// Like [`Self::get`], mutable.
    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slab.get_mut(id.index())
    }

    /// The number of connections.
    pub fn count(&self) -> usize {
        self.slab.len()
    }

    /// All connections, by id.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.slab
            .iter()
            .map(|(index, connection)| (ConnectionId(index as u32), connection))
    }

    /// Connections by phase, as in [`PHASE_LABELS`].
    pub fn phase_counts(&self) -> [u64; PHASE_LABELS.len()] {
        self.phase_counts
    }

    /// The address of the client whose request is under way, if the peer is a trusted proxy, else of the peer; 127.0.0.1
    /// if it is not kept.
    pub fn address(&self, id: ConnectionId) -> IpAddr {
        self.addresses.of(id)
    }

    /// The address of the peer, if it is that of a trusted proxy.
    pub fn proxy(&self, id: ConnectionId, config: &Config) -> Option<IpAddr> {
        self.addresses.proxy(id, config)
    }

    /// Whether the peer has connected to a unix socket.
    pub fn is_unix(&self, id: ConnectionId) -> bool {
        self.get(id)
            .is_some_and(|connection| connection.is(Mark::OverUnix))
    }

    /// The proxy tells the address of the connection; false at the limit of that address.
    pub fn replace_address(&mut self, id: ConnectionId, told: IpAddr, config: &Config) -> bool {
        self.addresses.replace(id, told, config)
    }

    /// A request of this client begins on the connection of a trusted proxy; false at the limit of its address.
    pub fn begin_request(&mut self, id: ConnectionId, client: IpAddr, config: &Config) -> bool {
        self.addresses.begin_request(id, client, config)
    }

    /// The request of a trusted proxy is over, if there was one.
    pub fn end_request(&mut self, id: ConnectionId, config: &Config) {
        self.addresses.end_request(id, config);
    }

    /// Buffer memory of all connections.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What a fan-out pass uses.
    pub(super) fn slab_and_ledger(&mut self) -> (&mut Slab<Connection>, &Ledger) {
        (&mut self.slab, &self.ledger)
    }

    /// Moves a connection to another phase.
    pub fn set_phase(&mut self, id: ConnectionId, phase: Phase) {
        self.unpark(id);
        let connection = &mut self.slab[id.index()];
        self.phase_counts[phase_index(&connection.phase)] -= 1;
        self.phase_counts[phase_index(&phase)] += 1;
        connection.phase = phase;
    }

    /// The generation of a WebSocket that is opened now.
    pub fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }

    /// The name of a WebSocket beyond this turn; the generation is 0 in other phases.
    pub fn origin(&self, connection: ConnectionId) -> Origin {
        let generation = match &self[connection].phase {
            Phase::WebSocket(websocket) => websocket.generation,
            _ => 0,
        };
        Origin {
            connection,
            generation,
        }
    }

    /// Whether this WebSocket is still open.
    pub fn is_open(&self, origin: Origin) -> bool {
        let connection = self.get(origin.connection);
        connection.is_some_and(|connection| match &connection.phase {
            Phase::WebSocket(websocket) => websocket.generation == origin.generation,
            _ => false,
        })
    }

    /// Sets a connection's deadline, as time since the server's start.
    pub fn set_deadline(&mut self, id: ConnectionId, at: Duration) {
        self.deadlines.set(id, &mut self.slab[id.index()], at);
    }

    /// Removes a connection's deadline.
    pub fn clear_deadline(&mut self, id: ConnectionId) {
        self.slab[id.index()].due = NEVER;
    }

    /// The next connection whose deadline has passed.
    pub fn poll_deadline(&mut self, now: Duration) -> Option<ConnectionId> {
        while let Some((tick, id)) = self.deadlines.pop(now) {
            let Some(connection) = self.slab.get_mut(id.index()) else {
                continue;
            };
            if self.deadlines.strikes(id, connection, tick) {
                return Some(id);
            }
        }
        None
    }

    /// When the next deadline or parked command is due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        let parked = self.parked.first().map(|(until, _)| *until);
        self.deadlines.next().into_iter().chain(parked).min()
    }

    /// Lists a connection: its outbox is flushed at the end of this turn.
    pub fn list(&mut self, id: ConnectionId) {
        if !self.slab[id.index()].replace(Mark::Listed, true) {
            self.listed.push(id);
        }
    }

    /// Defers a connection: its outbox is flushed at the end of the next turn.
    pub fn defer(&mut self, id: ConnectionId) {
        if !self.slab[id.index()].replace(Mark::Listed, true) {
            self.deferred.push(id);
        }
    }

    /// Connections to flush, in the order in which they were listed.
    pub(super) fn listed(&self) -> &[ConnectionId] {
        &self.listed
    }

    /// Begins the lists of the next turn, with the deferred and the postponed connections.
    pub(super) fn begin_lists(&mut self) {
        self.listed.clear();
        self.listed.append(&mut self.deferred);
        self.resumed.extend(self.postponed.drain(..));
    }

    /// Schedules the remaining input of a connection to be served, and reading to resume.
    pub fn resume(&mut self, id: ConnectionId) {
        if !self.slab[id.index()].replace(Mark::ToServe, true) {
            self.resumed.push_back(id);
        }
    }

    /// As [`Self::resume`], in the next turn.
    pub fn postpone(&mut self, id: ConnectionId) {
        if !self.slab[id.index()].replace(Mark::ToServe, true) {
            self.postponed.push(id);
        }
    }

    /// The number of resumed connections.
    pub(super) fn resumed_count(&self) -> usize {
        self.resumed.len()
    }

    /// The connection that was resumed first; `None` also if it was freed since.
    pub(super) fn pop_resumed(&mut self) -> Option<ConnectionId> {
        let id = self.resumed.pop_front()?;
        let connection = self.get_mut(id)?;
        connection.replace(Mark::ToServe, false).then_some(id)
    }

    /// Schedules a read in this turn or a later one.
    pub fn read_again(&mut self, id: ConnectionId) {
        if let Some(connection) = self.slab.get_mut(id.index()) {
            self.read_queue.push(id, connection);
        }
    }

    /// Whether the next turn has work even if no event comes.
    pub(super) fn has_work(&self) -> bool {
        !self.listed.is_empty()
            || !self.resumed.is_empty()
            || !self.read_queue.is_empty()
            || !self.freed.is_empty()
    }

    /// Parks a WebSocket whose last command waits for an answer: later ones wait too, for at most [`BACKEND_PATIENCE`].
    pub fn park(&mut self, id: ConnectionId, now: Duration) {
        if let Phase::WebSocket(websocket) = &mut self[id].phase {
            websocket.is_parked = true;
            let until = now + BACKEND_PATIENCE;
            self.parked.insert((until, id));
            self.parked_until.insert(id, until);
        }
    }

    /// Ends the wait of a parked WebSocket, if it is parked.
    pub fn unpark(&mut self, id: ConnectionId) {
        let Some(until) = self.parked_until.remove(&id) else {
            return;
        };
        self.parked.remove(&(until, id));
        if let Phase::WebSocket(websocket) = &mut self[id].phase {
            websocket.is_parked = false;
            self.resume(id);
        }
    }

    /// A WebSocket that was parked for longer than [`BACKEND_PATIENCE`].
    pub fn overdue_parked(&self, now: Duration) -> Option<ConnectionId> {
        let (until, id) = self.parked.first()?;
        (*until <= now).then_some(*id)
    }

    /// Whether the connection's current request waits under this serial.
    pub fn awaits(&self, id: ConnectionId, serial: Serial) -> bool {
        let connection = self.get(id);
        connection.is_some_and(
            |connection| matches!(&connection.phase, Phase::Http(http) if http.awaits_job(serial)),
        )
    }

    /// Closes a connection: its socket is dropped at the end of the turn.
    pub fn close(&mut self, id: ConnectionId) {
        self.set_phase(id, Phase::Closed);
        self.slab[id.index()].drop_outbox();
        self.freed.push(id);
    }

    /// Frees the next closed connection. Only at the end of a turn, so that an id used during the turn cannot mean a
    /// newer connection.
    pub(super) fn poll_freed(&mut self, config: &Config) -> Option<ConnectionId> {
        let id = self.freed.pop()?;
        let connection = self.slab.remove(id.index());
        self.phase_counts[phase_index(&connection.phase)] -= 1;
        self.addresses.remove(id, config);
        Some(id)
    }

    /// Frees the table if it is empty and larger than [`TABLE_KEPT`]; returns whether it did.
    pub(super) fn forget(&mut self) -> bool {
        let is_large = self.slab.is_empty() && self.slab.capacity() > TABLE_KEPT;
        if is_large {
            self.slab = Slab::new();
        }
        is_large
    }

    /// Asserts the invariants.
    pub fn check(&self, config: &Config) {
        self.addresses.check(config, |id| self.get(id).is_some());
        let mut phase_counts = [0; PHASE_LABELS.len()];
        let (mut listed, mut to_serve) = (0, 0);
        for (id, connection) in self.iter() {
            phase_counts[phase_index(&connection.phase)] += 1;
            listed += usize::from(connection.is(Mark::Listed));
            to_serve += usize::from(connection.is(Mark::ToServe));
            let is_over = matches!(connection.phase, Phase::Closed);
            assert!(
                is_over || connection.checked_at <= connection.due,
                "checked in time"
            );
            let is_answered = match &connection.phase {
                Phase::Http(http) => matches!(http.awaits(), Awaited::Request | Awaited::Head),
                _ => false,
            };
            assert!(
                !is_answered || connection.queued_bytes() > 0 || !self.addresses.has_client(id),
                "a request that is over has no client"
            );
        }
        assert_eq!(phase_counts, self.phase_counts, "connections by phase");
        let places = self.listed.len() + self.deferred.len();
        assert!(listed <= places, "each marked connection is listed");
        assert!(
            to_serve <= self.resumed.len() + self.postponed.len(),
            "each marked connection is resumed"
        );
        assert_eq!(self.parked.len(), self.parked_until.len());
        for (id, until) in &self.parked_until {
            let phase = &self[*id].phase;
            assert!(matches!(phase, Phase::WebSocket(websocket) if websocket.is_parked));
            assert!(self.parked.contains(&(*until, *id)));
        }
        let queued = self.iter().filter(|(_, one)| one.is(Mark::ToRead));
        self.read_queue.check(queued.map(|(id, _)| id));
    }
}
