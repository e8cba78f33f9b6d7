//! Part 3, event streams: metrics, their subscribers, and what each is sent.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::connections::Connections;
use super::fan_out::{FanOut, Troubled};
use super::jobs::{Job, Jobs};
use crate::config::{EVENT_OUTBOX_BYTES, EVENT_RETRY_MILLISECONDS, POSTED_FIGURES_MAX};
use crate::conn::{EventStream, Phase};
use crate::domain::event_log::{Channel, Gap, Sample};
use crate::domain::ids::ConnectionId;
use crate::domain::metrics::{Gauges, Machine, Metrics, Traffic};
use crate::domain::random::Random;
use crate::domain::time::{Now, Timestamp};
use crate::domain::tokens::Identity;
use crate::wire::event_stream::{
    LAST_CHUNK, encode_chunk, encode_comment, encode_event, encode_notice, encode_retry,
};

/// A new subscription.
#[derive(Debug)]
pub struct Subscription {
    /// The channel, and whether the stream is chunked.
    pub stream: EventStream,
    /// The last event ID, as the client sent it.
    pub last_event_id: Option<String>,
    /// The identity whose token ends the stream when it expires.
    pub identity: Option<Identity>,
}

/// Blocks of a stream for one subscriber, each in a chunk of its own if the stream is chunked.
struct Blocks {
    is_chunked: bool,
    block: Vec<u8>,
    out: Vec<u8>,
}

impl Blocks {
    fn new(is_chunked: bool) -> Self {
        Self {
            is_chunked,
            block: Vec::new(),
            out: Vec::new(),
        }
    }

    fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.block.clear();
        encode(&mut self.block);
        match self.is_chunked {
            true => encode_chunk(&self.block, &mut self.out),
            false => self.out.extend_from_slice(&self.block),
        }
    }

    fn push_sample(&mut self, sample: &Sample) {
        self.push(|out| encode_event(sample.kind.name(), &sample.data, sample.id, out));
    }
}

/// Metrics and their subscribers.
#[derive(Debug)]
pub struct Streams {
    metrics: Metrics,
    fan_out: FanOut,
    /// The source of simulated figures.
    random: Random,
    /// Subscribers that are slow, blocked or broken after a pass.
    pub(super) troubled: Troubled,
    /// Whether a [`Job::SampleMachine`] is under way.
    is_sampling: bool,
    frame: Vec<u8>,
    chunk: Vec<u8>,
}

impl Streams {
    /// No subscribers. `first_event_id` is the id of the first event; `seed` determines the simulated figures.
    pub fn new(first_event_id: u64, seed: &[u8; 32]) -> Self {
        Self {
            metrics: Metrics::new(first_event_id),
            fan_out: FanOut::default(),
            random: Random::new(seed),
            troubled: Troubled::default(),
            is_sampling: false,
            frame: Vec::new(),
            chunk: Vec::new(),
        }
    }

    /// Events created since the start.
    pub fn events(&self) -> u64 {
        self.metrics.log.count()
    }

    /// Deliveries, events times subscribers, since the start.
    pub fn deliveries(&self) -> u64 {
        self.fan_out.deliveries
    }

    /// Counts responses that were sent.
    pub fn count(&mut self, traffic: Traffic) {
        self.metrics.count(traffic);
    }

    /// What a pass over the subscribers uses, beside the connections.
    pub(super) fn fan_out_and_troubled(&mut self) -> (&mut FanOut, &mut Troubled) {
        (&mut self.fan_out, &mut self.troubled)
    }

    /// Whether the next turn has work even if no event comes.
    pub fn has_work(&self) -> bool {
        self.fan_out.is_active()
    }

    /// Opens an event stream: sends the events the subscriber missed, or the latest event of each kind, and then every
    /// later one.
    pub fn open(
        &mut self,
        id: ConnectionId,
        stream: EventStream,
        last_event_id: Option<String>,
        connections: &mut Connections,
        now: Duration,
    ) {
        let backlog = self
            .metrics
            .log
            .backlog(stream.channel, last_event_id.as_deref());
        let mut blocks = Blocks::new(stream.is_chunked);
        blocks.push(|out| encode_retry(EVENT_RETRY_MILLISECONDS, out));
        if let Some(gap) = backlog.gap {
            let data = gap_data(last_event_id.unwrap_or_default(), &gap);
            blocks.push(|out| encode_notice("gap", &data.to_string(), out));
        }
        for sample in &backlog.samples {
            blocks.push_sample(sample);
        }
        connections.set_phase(id, Phase::EventStream(stream));
        connections.clear_deadline(id);
        let outbox = connections[id].outbox();
        outbox.push_events(&blocks.out);
        outbox.exempt(blocks.out.len());
        self.fan_out.subscribe(id, stream);
        self.metrics.wake(now);
        connections.list(id);
    }

    /// Unsubscribes a connection; the last chunk of a chunked stream is queued.
    pub fn close(
        &mut self,
        id: ConnectionId,
        stream: EventStream,
        connections: &mut Connections,
        now: Duration,
    ) {
        let connection = &mut connections[id];
        self.fan_out.unsubscribe(id, connection, stream);
        if stream.is_chunked {
            connection.outbox().push_events(LAST_CHUNK);
        }
        if self.subscriber_count() == 0 {
            self.metrics.rest(now);
        }
    }

    /// Conflates the outbox of a slow subscriber: of its unsent events only the latest of each kind stays.
    pub fn relieve(
        &mut self,
        id: ConnectionId,
        stream: EventStream,
        connections: &mut Connections,
    ) {
        let ledger = connections.ledger().clone();
        let connection = &mut connections[id];
        // An event that was sent, even in part, is not sent again.
        let unsent = connection.outbox().first_unsent_id().unwrap_or(u64::MAX);
        let mut blocks = Blocks::new(stream.is_chunked);
        for sample in self.metrics.log.latest(stream.channel) {
            if sample.id >= unsent {
                blocks.push_sample(&sample);
            }
        }
        connection.outbox().discard_unsent();
        connection.outbox().push_events(&blocks.out);
        connection.charge_queued(&ledger);
        debug_assert!(connection.queued_bytes() < 2 * EVENT_OUTBOX_BYTES);
    }

    /// Subscribers of a channel.
    pub fn subscribers_of(&self, channel: Channel) -> usize {
        let of = |is_chunked| EventStream {
            channel,
            is_chunked,
        };
        self.fan_out.subscribers(of(false)) + self.fan_out.subscribers(of(true))
    }

    /// Open event streams.
    pub fn subscriber_count(&self) -> usize {
        Channel::ALL
            .into_iter()
            .map(|channel| self.subscribers_of(channel))
            .sum()
    }

    /// When [`Self::handle_timeout`] is next due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        match self.is_sampling {
            true => self.metrics.next_heartbeat(),
            false => self.metrics.next_timeout(),
        }
    }

    /// Asks for a sample of the machine when events are due, and sends the heartbeat when it is due. Nothing is sampled
    /// without subscribers.
    pub fn handle_timeout(&mut self, jobs: &mut Jobs, now: Now) {
        if !self.is_sampling && self.metrics.wants_machine(now.monotonic) {
            self.is_sampling = true;
            jobs.push(Job::SampleMachine);
        }
        if self.metrics.take_heartbeat(now.monotonic) {
            self.frame.clear();
            let time = Timestamp::from(now);
            encode_comment(format_args!("heartbeat {time}"), &mut self.frame);
            self.broadcast(|_| true);
        }
        self.metrics.rest_if_idle(now.monotonic);
    }

    /// Takes a sample of the machine: creates and sends the events that are due.
    pub fn sampled(&mut self, machine: Machine, active_users: usize, now: Duration) {
        self.is_sampling = false;
        let gauges = self.gauges(active_users);
        let samples = self
            .metrics
            .due_samples(Some(machine), &gauges, &mut self.random, now);
        for sample in &samples {
            self.send_sample(sample);
        }
    }

    /// Keeps and sends the figures a back end posted. Returns the event's id, or `None` when there would be more than
    /// [`POSTED_FIGURES_MAX`] figures.
    pub fn post(&mut self, figures: Map<String, Value>, active_users: usize) -> Option<u64> {
        if !self.metrics.has_room_for(&figures, POSTED_FIGURES_MAX) {
            return None;
        }
        let gauges = self.gauges(active_users);
        let sample = self.metrics.post(figures, &gauges);
        self.send_sample(&sample);
        Some(sample.id)
    }

    fn gauges(&self, active_users: usize) -> Gauges {
        Gauges {
            active_users,
            subscribers: self.subscriber_count(),
        }
    }

    /// Broadcasts an event on every channel it belongs to, encoded once.
    fn send_sample(&mut self, sample: &Sample) {
        self.frame.clear();
        encode_event(sample.kind.name(), &sample.data, sample.id, &mut self.frame);
        self.broadcast(|channel| channel.has(sample.kind));
    }

    /// Broadcasts the encoded block on the selected channels, as it is and as a chunk.
    fn broadcast(&mut self, is_receiver: impl Fn(Channel) -> bool) {
        self.chunk.clear();
        encode_chunk(&self.frame, &mut self.chunk);
        for channel in Channel::ALL
            .into_iter()
            .filter(|channel| is_receiver(*channel))
        {
            for (is_chunked, bytes) in [(false, &self.frame), (true, &self.chunk)] {
                let stream = EventStream {
                    channel,
                    is_chunked,
                };
                self.fan_out.broadcast(stream, bytes);
            }
        }
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        self.fan_out.check();
    }
}

/// The data of a `gap` event: the requested id, as a number if it is one, and the ids that are kept.
fn gap_data(requested: String, gap: &Gap) -> Value {
    let is_number = !requested.is_empty() && requested.bytes().all(|byte| byte.is_ascii_digit());
    let number = requested.parse::<u64>().ok().filter(|_| is_number);
    let requested = number.map_or(Value::String(requested), Value::from);
    json!({
        "requested": requested, "oldest": gap.oldest, "newest": gap.newest, "restarted": gap.is_restart,
    })
}
