//! Part 3, event streams: metrics, their subscribers, and what each is sent.

mod audit;
mod shared;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::connections::Connections;
use super::fan_out::{FanOut, Troubled};
use super::jobs::{Job, Jobs};
use super::selections::Selections;
use crate::config::{
    EVENT_OUTBOX_BYTES, EVENT_RETRY_MILLISECONDS, OWN_CHANNELS_MAX, SELECTIONS_MAX, STRANGERS_PARTS,
};
use crate::conn::refusal::Refusal;
use crate::conn::{EventStream, Phase};
use crate::domain::api_figures::{ApiFigures, Gauges, Traffic};
use crate::domain::audit::AuditLog;
use crate::domain::caller::Caller;
use crate::domain::changes::Changes;
use crate::domain::channels::{Channel, Kinds, Wanted};
use crate::domain::drafts::Draft;
use crate::domain::event_log::{EventLog, Gap, Sample};
use crate::domain::figures::TooMany;
use crate::domain::ids::ConnectionId;
use crate::domain::metrics::{Machine, Metrics};
use crate::domain::random::Random;
use crate::domain::time::{Now, Timestamp};
use crate::domain::working_set::WorkingSet;
use crate::wire::event_stream::{
    LAST_CHUNK, encode_chunk, encode_comment, encode_event, encode_notice, encode_retry,
};

/// A new subscription.
#[derive(Debug)]
pub struct Subscription {
    /// The channels.
    pub wanted: Wanted,
    /// Whether the stream uses chunked transfer coding.
    pub is_chunked: bool,
    /// The last event ID, as the client sent it.
    pub last_event_id: Option<String>,
    /// Who has subscribed. The token of a user ends the stream when it expires.
    pub caller: Option<Caller>,
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

    fn push_sample(&mut self, sample: &Sample, log: &EventLog) {
        self.push(|out| encode_sample(sample, log, out));
    }
}

fn encode_sample(sample: &Sample, log: &EventLog, out: &mut Vec<u8>) {
    encode_event(log.name(sample.kind), &sample.data, sample.id, out);
}

/// Metrics and their subscribers.
#[derive(Debug)]
pub struct Streams {
    metrics: Metrics,
    audit: AuditLog,
    fan_out: FanOut,
    /// What the subscribers are sent.
    selections: Selections,
    /// The source of simulated figures.
    random: Random,
    /// Subscribers that are slow, blocked or broken after a pass.
    pub(super) troubled: Troubled,
    /// Whether a [`Job::SampleMachine`] is under way, or events of the last one are being stored.
    is_sampling: bool,
    /// Sampled events that are being stored.
    drafts: usize,
    /// Whether events are shared with other servers.
    is_shared: bool,
    /// Event streams of the other servers.
    others: usize,
    /// The responses of this server alone.
    own: Traffic,
    frame: Vec<u8>,
    chunk: Vec<u8>,
}

impl Streams {
    /// No subscribers. `first_event_id` is the id of the first event; a heartbeat is sent every
    /// `heartbeat`; `seed` determines the figures that are simulated in
    /// the demo.
    pub fn new(first_event_id: u64, heartbeat: Duration, is_demo: bool, seed: &[u8; 32]) -> Self {
        Self {
            metrics: Metrics::new(first_event_id, heartbeat, is_demo),
            audit: AuditLog::new(first_event_id),
            fan_out: FanOut::default(),
            selections: Selections::new(),
            random: Random::new(seed),
            troubled: Troubled::default(),
            is_sampling: false,
            drafts: 0,
            is_shared: false,
            others: 0,
            own: Traffic::default(),
            frame: Vec::new(),
            chunk: Vec::new(),
        }
    }

    /// Events created since the start.
    pub fn events(&self) -> u64 {
        self.metrics.log.count()
    }

    /// Channels of one's own that are in use.
    pub fn own_channels(&self) -> usize {
        self.metrics
            .log
            .own_channels(self.selections.held(&self.fan_out))
    }

    /// Deliveries, events times subscribers, since the start.
    pub fn deliveries(&self) -> u64 {
        self.fan_out.deliveries
    }

    /// Counts responses that were sent.
    pub fn count(&mut self, traffic: Traffic) {
        self.own.requests += traffic.requests;
        self.own.errors += traffic.errors;
        self.own.time += traffic.time;
        self.metrics.api().count(traffic);
    }

    /// What is measured for `api_metrics`.
    pub fn api(&mut self) -> &mut ApiFigures {
        self.metrics.api()
    }

    /// What a pass over the subscribers uses, beside the connections.
    pub(super) fn fan_out_and_troubled(&mut self) -> (&mut FanOut, &mut Troubled) {
        (&mut self.fan_out, &mut self.troubled)
    }

    /// Whether the next turn has work even if no event comes.
    pub fn has_work(&self) -> bool {
        self.fan_out.is_active()
    }

    /// The index of the selection of these channels, which stays its own if a stream of it is opened at once. Strangers
    /// show no token where others need one: what nobody with a token has asked for has places for only a part of them.
    ///
    /// # Errors
    /// 503: too many channels, or too many selections.
    pub fn select(&mut self, wanted: &Wanted, is_stranger: bool) -> Result<u16, Refusal> {
        let part = if is_stranger { STRANGERS_PARTS } else { 1 };
        let names: Vec<&str> = wanted.own.iter().map(|name| &**name).collect();
        let held = self.selections.held(&self.fan_out);
        let log = &mut self.metrics.log;
        let own = log.enter(&names, held, OWN_CHANNELS_MAX / part);
        let kinds = own.ok_or(Refusal::TOO_MANY_CHANNELS)?.and(wanted.kinds);
        self.selections
            .enter(kinds, SELECTIONS_MAX / part, &self.fan_out)
            .ok_or(Refusal::TOO_MANY_SELECTIONS)
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
        let mut blocks = Blocks::new(stream.is_chunked);
        blocks.push(|out| encode_retry(EVENT_RETRY_MILLISECONDS, out));
        match Self::is_audit(stream) {
            true => self.push_audit_backlog(last_event_id, &mut blocks),
            false => self.push_backlog(stream, last_event_id, &mut blocks),
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

    /// Appends what a new subscriber has missed, or the latest event of each kind.
    fn push_backlog(
        &self,
        stream: EventStream,
        last_event_id: Option<String>,
        blocks: &mut Blocks,
    ) {
        let log = &self.metrics.log;
        let backlog = log.backlog(self.selections.kinds(stream), last_event_id.as_deref());
        if let Some(gap) = backlog.gap {
            let data = gap_data(last_event_id.unwrap_or_default(), &gap);
            blocks.push(|out| encode_notice("gap", &data.to_string(), out));
        }
        for sample in &backlog.samples {
            blocks.push_sample(sample, log);
        }
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
        if self.subscriber_count() == 0 && self.others == 0 {
            self.metrics.rest(now);
        }
    }

    /// Conflates the outbox of a slow subscriber: of its unsent events only the latest of each kind stay, and of these
    /// the newest, up to half of [`EVENT_OUTBOX_BYTES`], so that it is not over its limit again at once.
    pub fn relieve(
        &mut self,
        id: ConnectionId,
        stream: EventStream,
        connections: &mut Connections,
    ) {
        let ledger = connections.ledger().clone();
        let connection = &mut connections[id];
        // What a pass has not brought it yet is among the latest events, and must not be sent once more.
        self.fan_out.catch_up_on(id, connection, stream);
        // An event that was sent, even in part, is not sent again.
        let unsent = connection.outbox().first_unsent_id().unwrap_or(u64::MAX);
        let log = &self.metrics.log;
        let latest = log.latest(self.selections.kinds(stream));
        let (mut events, mut bytes) = (Vec::new(), 0);
        for sample in latest.iter().rev().take_while(|one| one.id >= unsent) {
            let mut blocks = Blocks::new(stream.is_chunked);
            blocks.push_sample(sample, log);
            bytes += blocks.out.len();
            if bytes > EVENT_OUTBOX_BYTES / 2 && !events.is_empty() {
                break;
            }
            events.push(blocks.out);
        }
        connection.outbox().discard_unsent();
        for event in events.iter().rev() {
            connection.outbox().push_events(event);
        }
        connection.charge_queued(&ledger);
        debug_assert!(connection.queued_bytes() < 2 * EVENT_OUTBOX_BYTES);
    }

    /// Open event streams by what they send: a channel that every server has, or anything else.
    pub fn subscribers(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let of = |channel| self.selections.subscribers_of(channel, &self.fan_out);
        let channels = Channel::ALL.map(|channel| (channel.name(), of(channel)));
        let other = self.selections.other_subscribers(&self.fan_out);
        channels.into_iter().chain([("other", other)])
    }

    /// Open event streams of this server.
    pub fn own_subscribers(&self) -> usize {
        self.subscriber_count()
    }

    /// Open event streams.
    pub fn subscriber_count(&self) -> usize {
        self.subscribers().map(|(_, count)| count).sum()
    }

    /// When [`Self::handle_timeout`] is next due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        match self.is_sampling {
            true => self.metrics.next_heartbeat(),
            false => self.metrics.next_timeout(),
        }
    }

    /// Whether nobody listens: nothing is due but the next sample of an idle server.
    pub fn is_idle(&self) -> bool {
        self.metrics.is_idle()
    }

    /// Asks for a sample of the machine when samples are due, and sends the heartbeat when it is due.
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

    /// Takes a sample of the machine: creates the events that are due. Each must end with [`Self::told`] or
    /// [`Self::untold`]; until then nothing more is sampled, so that samples do not pile up before a slow disk.
    pub fn sampled(&mut self, machine: Machine, gauges: &Gauges, now: Now) -> Vec<Draft> {
        let drafts = self
            .metrics
            .due_samples(Some(machine), gauges, &mut self.random, now);
        self.drafts = drafts.len();
        self.is_sampling = self.drafts > 0;
        drafts
    }

    /// Takes the figures a back end posted: an event, as of [`Self::sampled`].
    ///
    /// # Errors
    /// Too many figures.
    pub fn post(
        &mut self,
        figures: Map<String, Value>,
        active_users: usize,
        now: Now,
    ) -> Result<Draft, TooMany> {
        self.metrics.post(figures, active_users, now)
    }

    /// The recent samples as JSON, for a page that then opens an event stream from the newest event on.
    pub fn series(&mut self) -> &str {
        self.metrics.series_json()
    }

    /// Takes an event of a channel of one's own, as of [`Self::sampled`]. `None` if there are too many channels.
    pub fn tell(&mut self, channel: &str, data: &Map<String, Value>) -> Option<Draft> {
        let held = self.selections.held(&self.fan_out);
        let log = &mut self.metrics.log;
        log.enter(&[channel], held, OWN_CHANNELS_MAX)?;
        let kind = log.find(channel)?;
        Some(self.metrics.tell(kind, data))
    }

    /// The id of the newest event.
    pub fn newest_id(&self) -> u64 {
        self.metrics.log.newest()
    }

    /// An event is stored, as the next one: keeps and sends it.
    pub fn told(&mut self, draft: Draft, is_sampled: bool) {
        self.end_sampling(is_sampled);
        let sample = self.metrics.told(draft);
        self.send_sample(&sample);
    }

    /// An event could not be stored: it is not sent.
    pub fn untold(&mut self, draft: &Draft, is_sampled: bool) {
        self.end_sampling(is_sampled);
        self.metrics.untold(draft, is_sampled);
    }

    fn end_sampling(&mut self, is_sampled: bool) {
        if is_sampled {
            self.drafts -= 1;
            self.is_sampling = self.drafts > 0;
        }
    }

    /// Takes what was kept; from now on there is a store. Returns whether it has had an event.
    pub fn load(&mut self, kept: &mut WorkingSet) -> bool {
        let has_base = kept.event_base.is_some();
        self.metrics.load(kept);
        has_base
    }

    /// Puts the records of everything that is kept.
    pub fn keep_all(&self, changes: &mut Changes) {
        self.metrics.keep_all(changes);
    }

    /// Takes what the store need not have any more.
    pub fn take_forgotten(&mut self) -> Changes {
        self.metrics.log.take_forgotten()
    }

    /// Open event streams, at all servers if there are several.
    pub fn all_subscribers(&self) -> usize {
        self.subscriber_count() + self.others
    }

    /// Broadcasts an event in every selection it belongs to, encoded once.
    fn send_sample(&mut self, sample: &Sample) {
        self.frame.clear();
        encode_sample(sample, &self.metrics.log, &mut self.frame);
        self.broadcast(|kinds| kinds.has(sample.kind));
    }

    /// Whether anybody is subscribed to one of these.
    fn has_subscribers(&self, is_receiver: impl Fn(Kinds) -> bool) -> bool {
        let mut streams = self.selections.streams_of(is_receiver);
        streams.any(|stream| self.fan_out.subscribers(stream) > 0)
    }

    /// Broadcasts the encoded block in some selections, as it is and as a chunk.
    fn broadcast(&mut self, is_receiver: impl Fn(Kinds) -> bool) {
        self.chunk.clear();
        encode_chunk(&self.frame, &mut self.chunk);
        for stream in self.selections.streams_of(is_receiver) {
            let bytes = match stream.is_chunked {
                true => &self.chunk,
                false => &self.frame,
            };
            self.fan_out.broadcast(stream, bytes);
        }
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        self.fan_out.check();
        self.selections.check(&self.fan_out);
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
