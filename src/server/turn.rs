//! One turn of the loop: everything between two polls. Shell, tests, simulation, fuzzers and benches all call it.
//!
//! In this order: read, handle deadlines, send, free. So all output of a turn leaves in one batch per room, and no slot
//! is freed while work of the same turn may still name it. Each part has a budget of time and work; the rest waits for
//! the next turn.

use zeroize::Zeroize as _;

use super::Server;
use super::io::{Io, Received};
use super::read_queue::note_reply;
use crate::config::{
    OUTBOX_HIGH_WATER_BYTES, READ_BYTES, READ_BYTES_MIN, REPLIES_PER_TURN_BYTES, STEPS_PER_CLOCK,
    TURN_PART,
};
use crate::conn::{Mark, Phase};
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;

impl Server {
    /// Runs one turn that begins at `now`. Returns true if work is left, so that the next turn must follow without
    /// waiting. Afterwards the caller takes the jobs with [`Self::poll_job`].
    pub fn turn(&mut self, now: Now, io: &mut impl Io) -> bool {
        self.notice_clock(now);
        self.answer_stored(now);
        self.take_news(now);
        let mut late = self.read(io, now);
        self.post_more(now);
        self.handle_timeout(now);
        self.audit_moves(now.into());
        self.flush_audit(now);
        // Before sending: a client that has its response can rely on the line being in the log.
        self.write_log(io);
        if self.counters.has_unsent() {
            // The response time ends when the response is sent.
            late = late.later(io.monotonic());
        }
        self.flush(late, io);
        self.free(io);
        self.write_log(io);
        let took = io.monotonic().saturating_sub(now.monotonic);
        self.counters.turn(took);
        self.check();
        self.has_work()
    }

    /// Whether the next turn has work even if no event comes.
    pub fn has_work(&self) -> bool {
        self.connections.has_work()
            || self.chat.has_work()
            || self.streams.has_work()
            || !self.jobs.is_empty()
            || !self.stored.is_empty()
            || self.has_posts()
            || self.sign_ins.checks.has_next()
    }

    /// The socket is readable: it is read in the next turn or a later one.
    pub fn readable(&mut self, id: ConnectionId) {
        self.read_again(id);
    }

    /// The end of the stream or an error was signalled: the socket is read until a read reports it.
    pub fn ending(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.set(Mark::Ending, true);
            self.read_again(id);
        }
    }

    pub(super) fn read_again(&mut self, id: ConnectionId) {
        self.connections.read_again(id);
    }

    /// Reads once from each connection in the read queue, modest ones first. Returns the last clock reading.
    fn read(&mut self, io: &mut impl Io, mut now: Now) -> Now {
        let (modest, demanding) = self.connections.read_queue.len();
        if modest + demanding == 0 {
            return now;
        }
        // The more connections, the smaller each read, so that light senders do not wait for heavy ones.
        let share = (READ_BYTES / (modest + demanding)).max(READ_BYTES_MIN);
        let until = now.monotonic + TURN_PART;
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() {
            // Zeroed lazily by the operating system: pages that were never written are not resident.
            buffer = vec![0; READ_BYTES];
        }
        for step in 1..=modest + demanding {
            let is_modest = step <= modest;
            // At least one demanding connection per turn, so that none starves.
            let is_over = self.is_turn_full() || now.monotonic >= until;
            if is_over && (is_modest || step > modest + 1) {
                continue;
            }
            let queue = &mut self.connections.read_queue;
            let next = match is_modest {
                true => queue.pop_modest(),
                false => queue.pop_demanding(),
            };
            if let Some(id) = next {
                self.read_once(id, &mut buffer[..share], io, now);
            }
            if step.is_multiple_of(STEPS_PER_CLOCK) {
                now = now.later(io.monotonic());
            }
        }
        self.buffer = buffer;
        now
    }

    fn read_once(&mut self, id: ConnectionId, buffer: &mut [u8], io: &mut impl Io, now: Now) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.set(Mark::ToRead, false);
        }
        if !self.may_read(id) {
            return;
        }
        match io.receive(id, buffer) {
            Received::End => self.end_of_stream(id, now),
            Received::Gone => self.closed(id, now),
            Received::Empty => {}
            Received::Again => self.read_again(id),
            Received::Bytes(count) => {
                let bytes = &mut buffer[..count];
                let phase = &self.connections[id].phase;
                let may_hold_password = matches!(phase, Phase::Http(_));
                let replied = self.connections.replied_bytes;
                self.receive(id, bytes, now);
                if may_hold_password {
                    bytes.zeroize();
                }
                let replied = self.connections.replied_bytes - replied;
                let is_full = count == buffer.len();
                let connection = &mut self.connections[id];
                note_reply(connection, replied);
                // A short read has emptied the socket (epoll(7)); later input raises a new event.
                if is_full || connection.is(Mark::Ending) {
                    self.read_again(id);
                }
            }
        }
    }

    /// Whether the connection may be read now; if not, a read is scheduled for when it may.
    fn may_read(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        let is_waiting = match &connection.phase {
            Phase::Http(http) if http.job.is_some() => true,
            Phase::WebSocket(websocket) if websocket.is_parked => true,
            Phase::Lingering => false,
            // What was said is being stored, and then the connections are closed.
            Phase::WebSocket(_) if self.closes_at.is_some() => return false,
            // Paused: earlier input is not answered yet.
            _ => connection.is(Mark::Paused) || connection.queued_bytes() > OUTBOX_HIGH_WATER_BYTES,
        };
        if is_waiting {
            connection.set(Mark::Paused, true);
            return false;
        }
        if self.chat.is_congested(id) {
            self.connections.read_queue.push_congested(id);
            return false;
        }
        true
    }

    /// Whether this turn's reply budget, [`REPLIES_PER_TURN_BYTES`], is spent.
    pub(super) fn is_turn_full(&self) -> bool {
        self.connections.replied_bytes > REPLIES_PER_TURN_BYTES
    }

    fn write_log(&mut self, io: &mut impl Io) {
        while let Some(line) = self.journal.poll_line() {
            io.log(&line);
        }
    }

    /// Drops the sockets of closed connections, within a budget of time: closing many with unsent bytes takes long too.
    fn free(&mut self, io: &mut impl Io) {
        let mut until = None;
        let mut freed = 0;
        while let Some(id) = self.connections.poll_freed(&self.config) {
            io.close(id);
            freed += 1;
            if freed % STEPS_PER_CLOCK == 0 {
                let now = io.monotonic();
                if now >= *until.get_or_insert(now + TURN_PART) {
                    break;
                }
            }
        }
        if self.connections.forget() {
            let (rooms, _) = self.chat.rooms_mut();
            rooms.forget_people();
            self.sign_ins.shrink();
        }
    }
}
