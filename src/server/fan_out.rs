//! The fan-out: what is said in a room (or told on a channel of metrics), encoded once, to everybody with one write each.
//!
//! A room is a stream of frames. What is broadcast during a turn is appended to `pending`; at the end of the turn that
//! becomes one batch, and a pass sends it to one subscriber after the other. Of each subscriber it is known up to which
//! offset it has seen the stream, so whoever joins in the middle begins there, and whoever is to be told something else
//! catches up first: every peer gets everything in the order in which it happened.
//!
//! A pass over many subscribers is done in slices, so that the loop looks at its sockets in between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use slab::Slab;

use crate::config::{ROOM_PENDING_HIGH_WATER_BYTES, SPARE_BUFFER_BYTES_MAX};
use crate::conn::outbox::{Batch, Content};
use crate::conn::transmit::Transmit;
use crate::conn::{Connection, EventStream};
use crate::domain::ids::{ConnectionId, RoomId};
use crate::ledger::Ledger;

/// What one subscribes to: a room, or (in a fan-out of their own) a channel of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic(u32);

impl From<RoomId> for Topic {
    fn from(room: RoomId) -> Self {
        Self(room.0)
    }
}

impl From<EventStream> for Topic {
    fn from(stream: EventStream) -> Self {
        Self(2 * stream.channel.index() as u32 + u32::from(stream.is_chunked))
    }
}

impl Topic {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The streams of all topics.
#[derive(Debug, Default)]
pub struct FanOut {
    /// Messages times their receivers, since the start.
    pub deliveries: u64,
    streams: Vec<Stream>,
    /// Topics that have something to send, each once.
    active: VecDeque<Topic>,
    /// A buffer for the next batch.
    spare: Vec<u8>,
}

#[derive(Debug, Default)]
struct Stream {
    /// In the order of connections, so that whoever comes or goes in the middle of a pass moves nobody else.
    subscribers: BTreeSet<ConnectionId>,
    /// Those who have seen more than the pass and its cursor tell, with the offset up to which they have.
    ahead: BTreeMap<ConnectionId, u64>,
    pass: Option<Pass>,
    /// Frames that no pass sends yet.
    pending: Vec<u8>,
    /// The offset at which `pending` begins: everything before is in the pass or was sent.
    pending_at: u64,
    is_active: bool,
}

/// One batch on its way to the subscribers: those before `next` have it.
#[derive(Debug)]
struct Pass {
    batch: Rc<Batch>,
    begin: u64,
    next: ConnectionId,
}

/// What a pass works with.
pub struct Sending<'a, T> {
    /// Sends left in this turn.
    pub sends: usize,
    /// The limit of an outbox, in bytes.
    pub outbox_bytes_max: usize,
    /// All connections.
    pub connections: &'a mut Slab<Connection>,
    /// Where bytes leave.
    pub transmit: &'a mut T,
    /// Connections that were found wanting.
    pub troubled: &'a mut Troubled,
    /// Where a batch is entered for which somebody waits.
    pub ledger: &'a Ledger,
}

/// Connections that a pass found wanting.
#[derive(Debug, Default)]
pub struct Troubled {
    /// More waits for them than may.
    pub slow: Vec<ConnectionId>,
    /// Their socket takes nothing now.
    pub blocked: Vec<ConnectionId>,
    /// They are broken.
    pub gone: Vec<ConnectionId>,
}

impl FanOut {
    /// From here on the connection gets what is broadcast under the topic.
    pub fn subscribe(&mut self, id: ConnectionId, topic: impl Into<Topic>) {
        let topic = topic.into();
        if self.streams.len() <= topic.index() {
            self.streams.resize_with(topic.index() + 1, Stream::default);
        }
        let stream = &mut self.streams[topic.index()];
        stream.subscribers.insert(id);
        stream.skip(id);
    }

    /// From here on the connection does not get it; what was broadcast before is still delivered.
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
            stream.pending_at = stream.end();
            stream.pending = Vec::new();
        }
    }

    /// How many subscribe to a topic.
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
        self.deliveries += stream.subscribers.len() as u64;
        if !stream.is_active {
            stream.is_active = true;
            self.active.push_back(topic);
        }
    }

    /// Puts into a connection's outbox whatever its rooms have broadcast so far, so that what is told to it next comes
    /// after.
    pub fn catch_up(&mut self, id: ConnectionId, connection: &mut Connection, rooms: &[RoomId]) {
        for room in rooms {
            if let Some(stream) = self.streams.get_mut(room.index()) {
                stream.catch_up(id, connection);
            }
        }
    }

    /// Moves a subscriber to the end of its room's stream without sending what is in between.
    pub fn skip(&mut self, id: ConnectionId, topic: impl Into<Topic>) {
        self.streams[topic.into().index()].skip(id);
    }

    /// Whether one of these rooms has so much to send that its members should not say more now.
    pub fn is_congested(&self, rooms: &[RoomId]) -> bool {
        let streams = rooms
            .iter()
            .filter_map(|room| self.streams.get(room.index()));
        streams
            .into_iter()
            .any(|stream| stream.pending.len() > ROOM_PENDING_HIGH_WATER_BYTES)
    }

    /// Whether something is to be sent.
    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Sends to as many subscribers as may be in this turn, one topic after the other.
    pub fn run<T: Transmit>(&mut self, sending: &mut Sending<'_, T>) {
        while sending.sends > 0 {
            let Some(topic) = self.active.pop_front() else {
                return;
            };
            let stream = &mut self.streams[topic.index()];
            if stream.pass.is_none() {
                stream.begin_pass();
            }
            let is_done = stream.run_pass(sending);
            if is_done && let Some(buffer) = stream.end_pass(sending.ledger) {
                self.spare = buffer;
            }
            if stream.pass.is_some() || !stream.pending.is_empty() {
                self.active.push_back(topic);
            } else {
                stream.is_active = false;
            }
        }
    }
}

impl Stream {
    fn end(&self) -> u64 {
        self.pending_at + self.pending.len() as u64
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

    /// Goes on with the pass; whether it has reached everybody.
    fn run_pass<T: Transmit>(&mut self, sending: &mut Sending<'_, T>) -> bool {
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
            if !connection.deliver(id, &pass.batch, range, sending.transmit) {
                sending.troubled.gone.push(id);
            } else if connection.queued_bytes() > 0 {
                sending.troubled.blocked.push(id);
                if connection.is_over(sending.outbox_bytes_max) {
                    sending.troubled.slow.push(id);
                }
            }
        }
        true
    }

    /// Ends the pass; its buffer, if nobody lags.
    fn end_pass(&mut self, ledger: &Ledger) -> Option<Vec<u8>> {
        self.ahead.retain(|_, seen| *seen > self.pending_at);
        let mut buffer = match Rc::try_unwrap(self.pass.take()?.batch) {
            Ok(batch) => batch.bytes,
            Err(batch) => {
                batch.account(ledger);
                return None;
            }
        };
        buffer.clear();
        (buffer.capacity() <= SPARE_BUFFER_BYTES_MAX).then_some(buffer)
    }

    /// The offset up to which a subscriber has the stream.
    fn seen(&self, id: ConnectionId) -> u64 {
        let told = match &self.pass {
            Some(pass) if id >= pass.next => pass.begin,
            _ => self.pending_at,
        };
        self.ahead.get(&id).map_or(told, |ahead| told.max(*ahead))
    }

    /// Notes that a subscriber has, or need not have, everything up to now.
    fn skip(&mut self, id: ConnectionId) {
        let end = self.end();
        if self.seen(id) < end {
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
            connection
                .outbox()
                .push_shared(&pass.batch, range, Content::Frames);
        }
        let from = seen.max(self.pending_at) - self.pending_at;
        connection
            .outbox()
            .push_frames(&self.pending[from as usize..]);
        self.skip(id);
    }
}
