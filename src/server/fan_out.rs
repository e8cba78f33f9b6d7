//! The fan-out: frames broadcast in a room (or events of a selection), encoded once, sent with one write per
//! receiver.
//!
//! A topic is a stream of frames. What is broadcast during a turn is appended to `pending`; at the end of the turn that
//! becomes one batch, and a pass sends it to one subscriber after the other. The offset of each subscriber in the
//! stream is known, so a subscriber that joins during a pass begins there, and one that gets another frame catches up
//! first: every connection receives everything in order.
//!
//! A pass over many subscribers is done in slices, so that the loop polls its sockets in between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use super::io::Io;
use crate::config::{
    ROOM_PENDING_HIGH_WATER_BYTES, SPARE_BUFFER_BYTES_MAX, STEPS_PER_CLOCK, TABLE_KEPT,
};
use crate::conn::outbox::Batch;
use crate::conn::{Connection, EventStream};
use crate::domain::ids::{ConnectionId, RoomId};
use crate::ledger::Ledger;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

/// The topic of a subscription: a room or, in fan-outs of their own, a selection of events or a user who is whispered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic(u32);

impl From<RoomId> for Topic {
    fn from(room: RoomId) -> Self {
        Self(room.0)
    }
}

impl From<EventStream> for Topic {
    fn from(stream: EventStream) -> Self {
        Self(2 * u32::from(stream.selection) + u32::from(stream.is_chunked))
    }
}

impl Topic {
    /// The topic with this index in the table of topics.
    pub fn numbered(index: usize) -> Self {
        Self(index as u32)
    }

    /// Its index in the table of topics.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The streams of all topics.
#[derive(Debug, Default)]
pub struct FanOut {
    /// Deliveries, frames times receivers, since the start.
    pub deliveries: u64,
    streams: Vec<Stream>,
    /// Topics with something to send, each once.
    active: VecDeque<Topic>,
    /// Topics that the last [`Self::run`] has left with nothing to send.
    idle: Vec<Topic>,
    /// Bytes that are not sent to every subscriber yet: those in passes, and those that are not in a pass yet.
    unsent_bytes: usize,
    /// A spare buffer for the next batch.
    spare: Vec<u8>,
}

#[derive(Debug, Default)]
struct Stream {
    /// In the order of ids, so that a subscriber added or removed during a pass moves no other.
    subscribers: BTreeSet<ConnectionId>,
    /// Offsets of the subscribers that are ahead of the pass and its cursor.
    ahead: BTreeMap<ConnectionId, u64>,
    pass: Option<Pass>,
    /// Frames that are not in a pass yet.
    pending: Vec<u8>,
    /// The offset at which `pending` begins: everything before is in the pass or was sent.
    pending_at: u64,
    is_active: bool,
}

/// A batch being sent: the subscribers before `next` have it.
#[derive(Debug)]
struct Pass {
    batch: Rc<Batch>,
    begin: u64,
    next: ConnectionId,
}

/// What a pass uses.
pub struct Sending<'a, T> {
    /// Sends left in this turn.
    pub sends: usize,
    /// The last clock reading, as time since the server's start.
    pub now: Duration,
    /// When the time of this part of the turn is spent.
    pub until: Duration,
    /// The limit of an outbox, in bytes.
    pub outbox_bytes_max: usize,
    /// All connections.
    pub connections: &'a mut Slab<Connection>,
    /// Sockets and clock.
    pub io: &'a mut T,
    /// Connections that are slow, blocked or broken after a pass.
    pub troubled: &'a mut Troubled,
    /// The ledger, charged with each batch that stays in an outbox.
    pub ledger: &'a Ledger,
}

impl<T: Io> Sending<'_, T> {
    /// Reads the clock every [`STEPS_PER_CLOCK`] sends, and ends the slice when its time is spent.
    fn check_clock(&mut self) {
        if self.sends.is_multiple_of(STEPS_PER_CLOCK) {
            self.now = self.io.monotonic();
            if self.now >= self.until {
                self.sends = 0;
            }
        }
    }
}

/// Connections that are slow, blocked or broken after a pass.
#[derive(Debug, Default)]
pub struct Troubled {
    /// Their outbox is over its limit.
    pub slow: Vec<ConnectionId>,
    /// Their socket is blocked.
    pub blocked: Vec<ConnectionId>,
    /// Their socket is broken.
    pub gone: Vec<ConnectionId>,
}

impl FanOut {
    /// Subscribes a connection to what is broadcast under the topic from here on.
    pub fn subscribe(&mut self, id: ConnectionId, topic: impl Into<Topic>) {
        let stream = self.stream(topic.into());
        stream.subscribers.insert(id);
        stream.skip(id);
    }

    /// Subscribes many connections at once, sorted by id, to a topic that has no subscribers and nothing to send. The
    /// whole set is built in one go: for 8,000 connections that takes a tenth of the time.
    pub fn open(&mut self, topic: Topic, ids: &[ConnectionId]) {
        let stream = self.stream(topic);
        debug_assert!(stream.subscribers.is_empty() && !stream.is_active);
        stream.subscribers = ids.iter().copied().collect();
    }

    /// Frees a topic that has nothing to send, with its subscriptions.
    pub fn close(&mut self, topic: Topic) {
        let stream = self.stream(topic);
        debug_assert!(!stream.is_active, "it has nothing to send");
        *stream = Stream::default();
    }

    /// Frees the table of topics, which must all be closed, if it is larger than [`TABLE_KEPT`].
    pub fn forget(&mut self) {
        if self.streams.len() > TABLE_KEPT {
            debug_assert!(self.active.is_empty());
            self.streams = Vec::new();
        }
    }

    /// The stream of a topic, created on first use.
    fn stream(&mut self, topic: Topic) -> &mut Stream {
        if self.streams.len() <= topic.index() {
            self.streams.resize_with(topic.index() + 1, Stream::default);
        }
        &mut self.streams[topic.index()]
    }

    /// Unsubscribes a connection; what was broadcast before is still delivered.
    pub fn unsubscribe(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        topic: impl Into<Topic>,
    ) {
        let Some(stream) = self.streams.get_mut(topic.into().index()) else {
            return;
        };
        stream.catch_up(id, connection);
        stream.subscribers.remove(&id);
        stream.ahead.remove(&id);
        if stream.subscribers.is_empty() {
            self.unsent_bytes -= stream.pending.len();
            stream.pending_at = stream.end();
            stream.pending = Vec::new();
        }
    }

    /// The number of subscribers of a topic.
    pub fn subscribers(&self, topic: impl Into<Topic>) -> usize {
        self.streams
            .get(topic.into().index())
            .map_or(0, |stream| stream.subscribers.len())
    }

    /// Appends an encoded frame to a topic's stream.
    pub fn broadcast(&mut self, topic: impl Into<Topic>, frame: &[u8]) {
        let topic = topic.into();
        let Some(stream) = self.streams.get_mut(topic.index()) else {
            return;
        };
        if stream.subscribers.is_empty() {
            return;
        }
        if stream.pending.capacity() == 0 {
            stream.pending = std::mem::take(&mut self.spare);
        }
        stream.pending.extend_from_slice(frame);
        self.unsent_bytes += frame.len();
        self.deliveries += stream.subscribers.len() as u64;
        if !stream.is_active {
            stream.is_active = true;
            self.active.push_back(topic);
        }
    }

    /// Queues in a connection's outbox what was broadcast in its rooms so far, so that what is queued next comes after
    /// it.
    pub fn catch_up(&mut self, id: ConnectionId, connection: &mut Connection, rooms: &[RoomId]) {
        if self.active.is_empty() {
            return;
        }
        for room in rooms {
            self.catch_up_on(id, connection, *room);
        }
    }

    /// Queues in a connection's outbox what was broadcast under a topic so far.
    pub fn catch_up_on(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        topic: impl Into<Topic>,
    ) {
        if let Some(stream) = self.streams.get_mut(topic.into().index()) {
            stream.catch_up(id, connection);
        }
    }

    /// Moves a subscriber to the end of the topic's stream without sending what is in between.
    pub fn skip(&mut self, id: ConnectionId, topic: impl Into<Topic>) {
        self.streams[topic.into().index()].skip(id);
    }

    /// Whether one of these rooms has more than [`ROOM_PENDING_HIGH_WATER_BYTES`] that are not in a pass yet.
    pub fn is_congested(&self, rooms: &[RoomId]) -> bool {
        rooms
            .iter()
            .any(|room| self.pending_bytes(*room) > ROOM_PENDING_HIGH_WATER_BYTES)
    }

    /// Whether more than `bytes` of a topic are not in a pass yet, or wait in the outbox of one of its subscribers.
    pub fn is_behind(
        &self,
        topic: impl Into<Topic>,
        bytes: usize,
        queued: impl Fn(ConnectionId) -> usize,
    ) -> bool {
        let Some(stream) = self.streams.get(topic.into().index()) else {
            return false;
        };
        stream.pending.len() > bytes || stream.subscribers.iter().any(|id| queued(*id) > bytes)
    }

    /// Bytes of a topic that are not in a pass yet.
    pub fn pending_bytes(&self, topic: impl Into<Topic>) -> usize {
        let stream = self.streams.get(topic.into().index());
        stream.map_or(0, |stream| stream.pending.len())
    }

    /// Bytes of all topics that are not sent to every subscriber yet.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// The next of the topics that the last [`Self::run`] has left with nothing to send.
    pub fn poll_idle(&mut self) -> Option<Topic> {
        self.idle.pop()
    }

    /// Whether a topic has something to send.
    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        let active = self.streams.iter().filter(|stream| stream.is_active);
        assert_eq!(active.count(), self.active.len(), "each active topic once");
        let unsent = self.streams.iter().map(Stream::unsent_bytes).sum::<usize>();
        assert_eq!(unsent, self.unsent_bytes, "every unsent byte is counted");
        for stream in &self.streams {
            stream.check();
        }
    }

    /// Asserts that a topic, with something to send, has these subscribers.
    pub fn check_subscribers(&self, topic: Topic, ids: &[ConnectionId]) {
        let stream = &self.streams[topic.index()];
        assert!(
            stream.is_active,
            "a topic exists while it has something to send"
        );
        assert!(stream.subscribers.iter().eq(ids), "as many as there are");
    }

    /// Sends within the budget of this turn, one topic after the other.
    pub fn run<T: Io>(&mut self, sending: &mut Sending<'_, T>) {
        self.idle.clear();
        while sending.sends > 0 {
            let Some(topic) = self.active.pop_front() else {
                return;
            };
            let stream = &mut self.streams[topic.index()];
            if stream.pass.is_none() {
                stream.begin_pass();
            }
            let is_done = stream.run_pass(sending);
            if is_done {
                self.unsent_bytes -= stream.passing_bytes();
                if let Some(buffer) = stream.end_pass(sending.ledger) {
                    self.spare = buffer;
                }
            }
            if stream.pass.is_some() || !stream.pending.is_empty() {
                self.active.push_back(topic);
            } else {
                stream.is_active = false;
                self.idle.push(topic);
            }
        }
    }
}

impl Stream {
    fn check(&self) {
        let has_something = self.pass.is_some() || !self.pending.is_empty();
        assert!(
            !has_something || self.is_active,
            "a topic with unsent frames is active"
        );
        for (id, seen) in &self.ahead {
            assert!(self.subscribers.contains(id) && *seen <= self.end());
        }
        if let Some(pass) = &self.pass {
            let length = pass.batch.bytes.len() as u64;
            // What was pending when the last subscriber left in the middle of a pass was dropped.
            assert!(pass.begin + length <= self.pending_at);
        }
    }

    fn end(&self) -> u64 {
        self.pending_at + self.pending.len() as u64
    }

    /// Bytes in the pass.
    fn passing_bytes(&self) -> usize {
        self.pass.as_ref().map_or(0, |pass| pass.batch.bytes.len())
    }

    fn unsent_bytes(&self) -> usize {
        self.passing_bytes() + self.pending.len()
    }

    fn begin_pass(&mut self) {
        let begin = self.pending_at;
        self.pending_at = self.end();
        let batch = Rc::new(Batch::new(std::mem::take(&mut self.pending)));
        self.pass = Some(Pass {
            batch,
            begin,
            next: ConnectionId(0),
        });
    }

    /// Continues the pass; returns whether it has reached every subscriber.
    fn run_pass<T: Io>(&mut self, sending: &mut Sending<'_, T>) -> bool {
        let Some(pass) = &mut self.pass else {
            return true;
        };
        for &id in self.subscribers.range(pass.next..) {
            if sending.sends == 0 {
                pass.next = id;
                return false;
            }
            let seen = match self.ahead.is_empty() {
                true => pass.begin,
                false => self.ahead.get(&id).copied().unwrap_or(pass.begin),
            };
            if seen >= self.pending_at {
                continue;
            }
            sending.sends -= 1;
            let range = (seen - pass.begin) as usize..pass.batch.bytes.len();
            let connection = &mut sending.connections[id.index()];
            if !connection.deliver(id, &pass.batch, range, sending.io) {
                sending.troubled.gone.push(id);
            } else if connection.queued_bytes() > 0 {
                sending.troubled.blocked.push(id);
                if connection.is_over(sending.outbox_bytes_max) {
                    sending.troubled.slow.push(id);
                }
            }
            sending.check_clock();
        }
        true
    }

    /// Ends the pass; returns its buffer if no outbox shares it.
    fn end_pass(&mut self, ledger: &Ledger) -> Option<Vec<u8>> {
        self.ahead.retain(|_, seen| *seen > self.pending_at);
        let mut buffer = match Rc::try_unwrap(self.pass.take()?.batch) {
            Ok(batch) => batch.bytes,
            Err(batch) => {
                batch.charge(ledger);
                return None;
            }
        };
        buffer.clear();
        (buffer.capacity() <= SPARE_BUFFER_BYTES_MAX).then_some(buffer)
    }

    /// The offset up to which a subscriber has received the stream.
    fn seen(&self, id: ConnectionId) -> u64 {
        let passed = match &self.pass {
            Some(pass) if id >= pass.next => pass.begin,
            _ => self.pending_at,
        };
        self.ahead
            .get(&id)
            .map_or(passed, |ahead| passed.max(*ahead))
    }

    /// Marks everything up to now as received, or not to be sent, for a subscriber.
    fn skip(&mut self, id: ConnectionId) {
        let end = self.end();
        if self.subscribers.contains(&id) && self.seen(id) < end {
            self.ahead.insert(id, end);
        }
    }

    fn catch_up(&mut self, id: ConnectionId, connection: &mut Connection) {
        let seen = self.seen(id);
        if seen == self.end() || !self.subscribers.contains(&id) {
            return;
        }
        if let Some(pass) = self.pass.as_ref().filter(|_| seen < self.pending_at) {
            let range = (seen - pass.begin) as usize..pass.batch.bytes.len();
            connection.push_shared(&pass.batch, range);
        }
        let from = seen.max(self.pending_at) - self.pending_at;
        connection.push_broadcast(&self.pending[from as usize..]);
        self.skip(id);
    }
}
