//! The end of a turn: what leaves, in which order, and how much of it now.

use super::Server;
use super::fan_out::Sending;
use crate::config::{
    EVENT_OUTBOX_BYTES, LINGER_TIMEOUT, OUTBOX_HIGH_WATER_BYTES, SENDS_PER_TURN,
    WRITES_PER_TURN_BYTES,
};
use crate::conn::outbox::Flushed;
use crate::conn::transmit::Transmit;
use crate::conn::{Connection, Phase};
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;

impl Server {
    /// Sends what is to be sent: a slice of the fan-out, then whatever waits for single peers. True when there is more
    /// to do at once.
    pub fn flush(&mut self, transmit: &mut impl Transmit, now: Now) -> bool {
        self.fan_out.run(&mut Sending {
            sends: SENDS_PER_TURN,
            outbox_bytes_max: self.config.outbox_bytes,
            connections: &mut self.connections,
            transmit,
            troubled: &mut self.troubled,
            ledger: &self.ledger,
        });
        self.events.run(&mut Sending {
            sends: SENDS_PER_TURN,
            outbox_bytes_max: EVENT_OUTBOX_BYTES,
            connections: &mut self.connections,
            transmit,
            troubled: &mut self.lagging,
            ledger: &self.ledger,
        });
        self.note_high_water();
        while let Some(id) = self.troubled.gone.pop() {
            self.closed(id, now);
        }
        self.close_slow_consumers(transmit, now);
        self.relieve_subscribers(now);
        while let Some(id) = self.resumed.pop() {
            if self.connections.contains(id.index()) {
                self.serve_requests(id, now);
            }
        }
        self.replied_bytes = 0;
        let mut at = 0;
        while let Some(&id) = self.listed.get(at) {
            at += 1;
            self.flush_one(id, transmit, now);
        }
        self.listed.clear();
        self.listed.append(&mut self.deferred);
        self.replied_bytes = 0;
        self.written_bytes = 0;
        self.keep_ceiling(now);
        let sent = self.counters.take_sent(now.monotonic);
        self.metrics.count(sent);
        self.readable.append(&mut self.held);
        self.fan_out.is_active()
            || self.events.is_active()
            || !self.readable.is_empty()
            || !self.resumed.is_empty()
            || !self.listed.is_empty()
            || !self.jobs.is_empty()
    }

    /// Notes what waits for whom, and the most that ever waited for one peer.
    fn note_high_water(&mut self) {
        let waiting = self
            .troubled
            .blocked
            .drain(..)
            .chain(self.listed.iter().copied());
        let bytes = waiting
            .filter_map(|id| self.connections.get(id.index()))
            .inspect(|connection| connection.account_queued(&self.ledger))
            .map(Connection::queued_bytes)
            .max();
        let most = &mut self.counters.outbox_high_water_bytes;
        *most = bytes.unwrap_or(0).max(*most);
    }

    fn flush_one(&mut self, id: ConnectionId, transmit: &mut impl Transmit, now: Now) {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        connection.is_listed = false;
        let queued = connection.queued_bytes();
        let is_long = queued > OUTBOX_HIGH_WATER_BYTES && !connection.is_blocked();
        if is_long && self.written_bytes > WRITES_PER_TURN_BYTES {
            return self.defer(id);
        }
        let flushed = connection.flush(id, transmit);
        self.written_bytes += queued - connection.queued_bytes();
        match flushed {
            Flushed::Gone => return self.closed(id, now),
            Flushed::Blocked => {
                connection.account_queued(&self.ledger);
                self.watch(id, now);
            }
            Flushed::Empty => {}
        }
        let is_turn_full = self.is_turn_full();
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        if connection.is_paused && connection.queued_bytes() <= OUTBOX_HIGH_WATER_BYTES {
            if is_turn_full {
                return self.defer(id);
            }
            connection.is_paused = false;
            self.readable.push(id);
            // What came in the same read as that whose answers were in the way.
            match connection.phase {
                Phase::Http(_) => self.serve_requests(id, now),
                _ => self.resume_messages(id, now),
            }
            if self.connections[id.index()].queued_bytes() > 0 {
                return;
            }
        }
        if flushed == Flushed::Empty {
            self.flushed(id, transmit, now);
        }
    }

    /// Nothing waits for this peer any more.
    fn flushed(&mut self, id: ConnectionId, transmit: &mut impl Transmit, now: Now) {
        let connection = &mut self.connections[id.index()];
        match (&connection.phase, connection.is_half_closed) {
            (Phase::Http(_) | Phase::Lingering, true) => self.closed(id, now),
            (Phase::Lingering, false) => {
                transmit.shutdown(id);
                self.deadlines
                    .set(id, connection, now.monotonic + LINGER_TIMEOUT);
            }
            _ => {}
        }
    }

    /// Has a connection's outbox flushed at the end of the next turn.
    fn defer(&mut self, id: ConnectionId) {
        self.connections[id.index()].is_listed = true;
        self.deferred.push(id);
    }

    /// Has a connection's outbox flushed at the end of the turn.
    pub(super) fn list(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.index()];
        if !connection.is_listed {
            connection.is_listed = true;
            self.listed.push(id);
        }
    }
}
