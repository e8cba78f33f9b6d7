//! The end of a turn: what is sent, in which order, and within which budgets.

use super::Server;
use super::fan_out::Sending;
use super::io::Io;
use crate::config::{
    EVENT_OUTBOX_BYTES, LINGER_TIMEOUT, OUTBOX_HIGH_WATER_BYTES, SENDS_PER_TURN, STEPS_PER_CLOCK,
    TURN_PART, WRITES_PER_TURN_BYTES,
};
use crate::conn::outbox::Flushed;
use crate::conn::{Connection, Mark, Phase};
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;

impl Server {
    /// Sends the output of the turn: a slice of each fan-out, then the outboxes of the listed connections.
    pub(super) fn flush(&mut self, now: Now, io: &mut impl Io) {
        let now = self.run_passes(now, io);
        self.note_high_water();
        while let Some(id) = self.chat.troubled.gone.pop() {
            self.closed(id, now);
        }
        self.close_slow_consumers(now);
        self.relieve_subscribers(now);
        self.serve_resumed(now);
        self.connections.replied_bytes = 0;
        let sent = self.counters.take_sent(now.monotonic);
        self.streams.count(sent);
        self.flush_listed(now, io);
        self.connections.replied_bytes = 0;
        self.keep_ceiling(now);
        for id in self.connections.read_queue.take_congested() {
            self.read_again(id);
        }
    }

    /// Runs a slice of each fan-out that has something to send; returns the last clock reading.
    fn run_passes(&mut self, now: Now, io: &mut impl Io) -> Now {
        let mut now = now;
        let (connections, ledger) = self.connections.slab_and_ledger();
        for (parts, outbox_bytes_max) in [
            (self.chat.fan_out_and_troubled(), self.config.outbox_bytes),
            (self.streams.fan_out_and_troubled(), EVENT_OUTBOX_BYTES),
        ] {
            let (fan_out, troubled) = parts;
            if !fan_out.is_active() {
                continue;
            }
            let mut sending = Sending {
                sends: SENDS_PER_TURN,
                now: now.monotonic,
                until: now.monotonic + TURN_PART,
                outbox_bytes_max,
                connections,
                io,
                troubled,
                ledger,
            };
            fan_out.run(&mut sending);
            now = now.later(sending.now);
        }
        now
    }

    /// Serves the remaining input of connections whose wait has ended.
    fn serve_resumed(&mut self, now: Now) {
        while let Some(id) = self.connections.poll_resumed() {
            if self.connections.get(id).is_some() {
                self.unpause(id);
                self.serve_rest(id, now);
            }
        }
    }

    /// Serves input that was received behind an unanswered request or command.
    fn serve_rest(&mut self, id: ConnectionId, now: Now) {
        match self.connections[id].phase {
            Phase::Http(_) => self.serve_requests(id, &[], now),
            _ => self.resume_messages(id, now),
        }
    }

    /// Resumes reading from a connection, if it was paused.
    fn unpause(&mut self, id: ConnectionId) {
        if self.connections[id].replace(Mark::Paused, false) {
            self.read_again(id);
        }
    }

    /// Charges the queued bytes to the ledger, and records the largest outbox so far.
    fn note_high_water(&mut self) {
        let blocked = self.chat.troubled.blocked.drain(..);
        let waiting = blocked.chain(self.connections.listed().iter().copied());
        let bytes = waiting
            .filter_map(|id| self.connections.get(id))
            .inspect(|connection| connection.charge_queued(self.connections.ledger()))
            .map(Connection::queued_bytes)
            .max();
        let most = &mut self.counters.outbox_high_water_bytes;
        *most = bytes.unwrap_or(0).max(*most);
    }

    /// Writes the listed outboxes. Those beyond the turn's budget are deferred to the next turn.
    fn flush_listed(&mut self, mut now: Now, io: &mut impl Io) {
        let until = now.monotonic + TURN_PART;
        let (mut at, mut written) = (0, 0);
        while let Some(&id) = self.connections.listed().get(at) {
            if at > 0 && at.is_multiple_of(STEPS_PER_CLOCK) {
                now = now.later(io.monotonic());
            }
            at += 1;
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            connection.set(Mark::Listed, false);
            let is_long = connection.queued_bytes() > OUTBOX_HIGH_WATER_BYTES;
            let has_to_wait =
                is_long && !connection.is_blocked() && written > WRITES_PER_TURN_BYTES;
            if has_to_wait || now.monotonic >= until {
                self.connections.defer(id);
            } else {
                written += self.flush_one(id, io, now);
            }
        }
        self.connections.begin_list();
    }

    /// Writes one outbox; returns the number of bytes the socket took.
    fn flush_one(&mut self, id: ConnectionId, io: &mut impl Io, now: Now) -> usize {
        let connection = &mut self.connections[id];
        let queued = connection.queued_bytes();
        let may_be_slow = connection.replace(Mark::Slow, false);
        let flushed = connection.flush(id, io);
        let written = queued - connection.queued_bytes();
        match flushed {
            Flushed::Gone => {
                self.closed(id, now);
                return written;
            }
            Flushed::Blocked => {
                self.connections[id].charge_queued(self.connections.ledger());
                self.watch(id, now);
                if may_be_slow && self.close_if_slow(id, now) {
                    return written;
                }
            }
            Flushed::Empty => {}
        }
        let is_turn_full = self.is_turn_full();
        let connection = &self.connections[id];
        if connection.is(Mark::Paused) && connection.queued_bytes() <= OUTBOX_HIGH_WATER_BYTES {
            if is_turn_full {
                self.connections.defer(id);
                return written;
            }
            self.unpause(id);
            self.serve_rest(id, now);
            if self.connections[id].queued_bytes() > 0 {
                return written;
            }
        }
        if flushed == Flushed::Empty {
            self.flushed(id, io, now);
        }
        written
    }

    /// The outbox is empty: closes a half-closed connection, or shuts down our direction of a lingering one.
    fn flushed(&mut self, id: ConnectionId, io: &mut impl Io, now: Now) {
        let connection = &self.connections[id];
        match (&connection.phase, connection.is(Mark::HalfClosed)) {
            (Phase::Http(_) | Phase::Lingering, true) => self.closed(id, now),
            (Phase::Lingering, false) => {
                io.shutdown(id);
                self.connections
                    .set_deadline(id, now.monotonic + LINGER_TIMEOUT);
            }
            _ => {}
        }
    }
}
