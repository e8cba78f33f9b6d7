//! The end of a turn: what is sent, in which order, and within which budgets.

use super::Server;
use super::connections::Connections;
use super::fan_out::{FanOut, Sending, Troubled};
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
        self.connections.replied_bytes = 0;
        let now = self.serve_resumed(now, io);
        self.connections.replied_bytes = 0;
        let api = self.streams.api();
        let sent = (self.counters).take_sent(now.monotonic, |time| api.observe(time));
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
        let (fan_outs, troubled) = self.chat.fan_outs_and_troubled();
        for fan_out in fan_outs {
            let outbox = self.config.outbox_bytes;
            now = run_slice(fan_out, troubled, outbox, &mut self.connections, now, io);
        }
        self.chat.passed();
        let (fan_out, troubled) = self.streams.fan_out_and_troubled();
        let outbox = EVENT_OUTBOX_BYTES;
        run_slice(fan_out, troubled, outbox, &mut self.connections, now, io)
    }

    /// Serves the remaining input of connections whose wait has ended, at least one and the rest within a budget of time
    /// and of replies; each once, also if its input is not used up. Returns the last clock reading.
    fn serve_resumed(&mut self, mut now: Now, io: &mut impl Io) -> Now {
        let until = now.monotonic + TURN_PART;
        for step in 1..=self.connections.resumed_count() {
            if step > 1 && (self.is_turn_full() || now.monotonic >= until) {
                break;
            }
            if let Some(id) = self.connections.pop_resumed() {
                self.serve_one_resumed(id, now);
            }
            if step.is_multiple_of(STEPS_PER_CLOCK) {
                now = now.later(io.monotonic());
            }
        }
        now
    }

    fn serve_one_resumed(&mut self, id: ConnectionId, now: Now) {
        if self.chat.is_congested(id) {
            return self.connections.resume(id);
        }
        self.unpause(id);
        self.serve_rest(id, now);
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

    /// Charges the queued bytes to the ledger, and records the largest outbox, so far and of this period.
    fn note_high_water(&mut self) {
        let blocked = self.chat.troubled.blocked.drain(..);
        let waiting = blocked.chain(self.connections.listed().iter().copied());
        let bytes = waiting
            .filter_map(|id| self.connections.get(id))
            .inspect(|connection| connection.charge_queued(self.connections.ledger()))
            .map(Connection::queued_bytes)
            .max();
        let bytes = bytes.unwrap_or(0);
        let most = &mut self.counters.outbox_high_water_bytes;
        *most = bytes.max(*most);
        self.streams.api().note_outbox(bytes);
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
        self.connections.begin_lists();
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
        let has_room = connection.queued_bytes() <= OUTBOX_HIGH_WATER_BYTES;
        // What is to be served in the next turn is not served now.
        if connection.is(Mark::Paused) && !connection.is(Mark::ToServe) && has_room {
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
        self.end_forwarded(id);
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

/// Runs a slice of a fan-out, if it has something to send; returns the last clock reading.
fn run_slice(
    fan_out: &mut FanOut,
    troubled: &mut Troubled,
    outbox_bytes_max: usize,
    connections: &mut Connections,
    now: Now,
    io: &mut impl Io,
) -> Now {
    if !fan_out.is_active() {
        return now;
    }
    let (connections, ledger) = connections.slab_and_ledger();
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
    now.later(sending.now)
}
