//! Event streams: who subscribes, what they are sent, and what they post.

use serde_json::{Map, Value, json};

use super::Server;
use super::deadlines::{NEVER, silence_left, ticks};
use super::routes::{Answer, Context, check_json, check_origin, json_response};
use crate::config::{
    EVENT_OUTBOX_BYTES, EVENT_RETRY_MILLISECONDS, EVENT_STALL_TIMEOUT, Level, POSTED_BYTES_MAX,
    POSTED_FIGURES_MAX,
};
use crate::conn::refusal::Refusal;
use crate::conn::{EventStream, Phase};
use crate::domain::error::ErrorCode;
use crate::domain::event_log::{Channel, Sample};
use crate::domain::ids::ConnectionId;
use crate::domain::metrics::{Facts, Machine};
use crate::domain::time::{Now, Timestamp};
use crate::domain::tokens::Identity;
use crate::wire::event_stream::{
    LAST_CHUNK, encode_chunk, encode_comment, encode_event, encode_notice, encode_retry,
};
use crate::wire::http::{Method, Request};
use crate::wire::response::Response;

/// Somebody who subscribes.
#[derive(Debug)]
pub struct Subscription {
    /// To what.
    pub stream: EventStream,
    /// What was seen last.
    pub last_event_id: Option<String>,
    /// Whose token ends it.
    pub identity: Option<Identity>,
}

/// Blocks of a stream for one subscriber, each in a chunk of its own where there are chunks.
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
}

/// `GET /sse/{channel}`.
pub(super) fn subscribe(
    request: &Request,
    channel: Channel,
    identity: Option<Identity>,
) -> Result<Answer, Refusal> {
    // An empty one means that none was seen (WHATWG HTML section 9.2.4).
    let last_event_id = match request.fields.last_event_id.as_deref() {
        Some(id) => Some(id.to_owned()),
        None => request.parameter("last_event_id")?,
    };
    let last_event_id = last_event_id.filter(|id| !id.is_empty());
    let mut response = Response::with(200, "text/event-stream; charset=utf-8", Vec::new())
        .field("Cache-Control", "no-store")
        .field("X-Accel-Buffering", "no")
        .field("X-Content-Type-Options", "nosniff");
    response.is_stream = true;
    let stream = EventStream {
        channel,
        is_chunked: request.is_http11,
    };
    if request.method == Method::Head {
        return Ok(Answer::Response(response));
    }
    Ok(Answer::EventStream(
        response,
        Subscription {
            stream,
            last_event_id,
            identity,
        },
    ))
}

/// `POST /events/business`: the figures of a back end.
pub(super) fn posted(context: &Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    check_json(request)?;
    if request.body.len() > POSTED_BYTES_MAX {
        return Err(Refusal::from(ErrorCode::ContentTooLarge));
    }
    let value: Value = serde_json::from_slice(&request.body).map_err(|_| ErrorCode::BadJson)?;
    match value {
        Value::Object(figures) => Ok(Answer::Figures(figures)),
        _ => Err(ErrorCode::BadRequest.into()),
    }
}

impl Server {
    /// The connection is an event stream from here on.
    pub(super) fn open_event_stream(
        &mut self,
        id: ConnectionId,
        subscription: Subscription,
        now: Now,
    ) {
        let Subscription {
            stream,
            last_event_id,
            identity,
        } = subscription;
        let backlog = self
            .metrics
            .log
            .backlog(stream.channel, last_event_id.as_deref());
        let mut blocks = Blocks::new(stream.is_chunked);
        blocks.push(|out| encode_retry(EVENT_RETRY_MILLISECONDS, out));
        if let Some((oldest, newest)) = backlog.gap {
            let requested = last_event_id.unwrap_or_default();
            let is_number =
                !requested.is_empty() && requested.bytes().all(|byte| byte.is_ascii_digit());
            let number = requested.parse::<u64>().ok().filter(|_| is_number);
            let requested = number.map_or(Value::String(requested), Value::from);
            let data = json!({"requested": requested, "oldest": oldest, "newest": newest});
            blocks.push(|out| encode_notice("gap", &data.to_string(), out));
        }
        for sample in &backlog.samples {
            blocks.push(|out| encode_event(sample.kind.name(), &sample.data, sample.id, out));
        }
        self.set_phase(id, Phase::EventStream(stream));
        let connection = &mut self.connections[id.index()];
        connection.due = NEVER;
        connection.outbox().push_events(&blocks.out);
        connection.outbox().excuse(blocks.out.len());
        self.events.subscribe(id, stream);
        if let Some(identity) = identity {
            self.auth.sessions.open(id, identity, now);
        }
        self.metrics.wake(now.monotonic);
        self.list(id);
        if self.is_draining {
            self.depart(id, now);
        }
    }

    /// A subscriber has gone.
    pub(super) fn close_event_stream(&mut self, id: ConnectionId, stream: EventStream, now: Now) {
        let connection = &mut self.connections[id.index()];
        self.events.unsubscribe(id, connection, stream);
        if stream.is_chunked {
            connection.outbox().push_events(LAST_CHUNK);
        }
        if self.subscriber_count() == 0 {
            self.metrics.rest(now.monotonic);
        }
    }

    /// Subscribers of a channel.
    pub(super) fn subscribers_of(&self, channel: Channel) -> usize {
        [false, true]
            .into_iter()
            .map(|is_chunked| {
                self.events.subscribers(EventStream {
                    channel,
                    is_chunked,
                })
            })
            .sum()
    }

    /// Event streams that are open.
    pub fn subscriber_count(&self) -> usize {
        Channel::ALL
            .into_iter()
            .map(|channel| self.subscribers_of(channel))
            .sum()
    }

    /// Whether the machine is to be sampled now. Nothing is while nobody listens.
    pub fn wants_machine(&self, now: Now) -> bool {
        self.metrics.wants_machine(now.monotonic)
    }

    /// Tells what is due: events, with a sample of the machine if one was wanted, and the heartbeat.
    pub fn sampled(&mut self, machine: Option<Machine>, now: Now) {
        let facts = self.facts();
        let samples = self
            .metrics
            .due_samples(machine, &facts, self.auth.random(), now.monotonic);
        for sample in &samples {
            self.publish(sample);
        }
        if self.metrics.take_heartbeat(now.monotonic) {
            self.frame.clear();
            encode_comment(
                format_args!("heartbeat {}", Timestamp::from(now)),
                &mut self.frame,
            );
            self.tell_streams(|_| true);
        }
        self.metrics.rest_if_idle(now.monotonic);
    }

    /// Tells and keeps the figures of a back end.
    pub(super) fn take_figures(
        &mut self,
        figures: Map<String, Value>,
    ) -> Result<Response, Refusal> {
        if !self.metrics.has_room_for(&figures, POSTED_FIGURES_MAX) {
            return Err(Refusal::from(ErrorCode::ContentTooLarge));
        }
        let facts = self.facts();
        let sample = self.metrics.post(figures, &facts);
        self.publish(&sample);
        Ok(json_response(200, &json!({"id": sample.id})))
    }

    fn facts(&self) -> Facts {
        Facts {
            active_users: self.rooms.people().count(),
            subscribers: self.subscriber_count(),
        }
    }

    /// Sends an event to every channel it belongs to, encoded once.
    fn publish(&mut self, sample: &Sample) {
        self.frame.clear();
        encode_event(sample.kind.name(), &sample.data, sample.id, &mut self.frame);
        self.tell_streams(|channel| channel.has(sample.kind));
    }

    /// Sends what is encoded to the streams of some channels: once as it is, once as a chunk.
    fn tell_streams(&mut self, is_told: impl Fn(Channel) -> bool) {
        self.scratch.clear();
        encode_chunk(&self.frame, &mut self.scratch);
        for channel in Channel::ALL.into_iter().filter(|channel| is_told(*channel)) {
            self.events.broadcast(
                EventStream {
                    channel,
                    is_chunked: false,
                },
                &self.frame,
            );
            self.events.broadcast(
                EventStream {
                    channel,
                    is_chunked: true,
                },
                &self.scratch,
            );
        }
    }

    /// Deals with subscribers who lag: only the latest values wait for them, and not for ever.
    pub(super) fn relieve_subscribers(&mut self, now: Now) {
        while let Some(id) = self.lagging.slow.pop() {
            self.relieve(id);
        }
        while let Some(id) = self.lagging.blocked.pop() {
            if let Some(connection) = self.connections.get(id.index()) {
                connection.account_queued(&self.ledger);
            }
            self.watch(id, now);
        }
        while let Some(id) = self.lagging.gone.pop() {
            self.closed(id, now);
        }
    }

    /// Only the latest values wait for a subscriber from here on.
    pub(super) fn relieve(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        let Phase::EventStream(stream) = connection.phase else {
            return;
        };
        self.counters.streams_relieved += 1;
        // What it has, or half has, is not sent again.
        let unsent = connection.outbox().first_unsent_id().unwrap_or(u64::MAX);
        let mut blocks = Blocks::new(stream.is_chunked);
        for sample in self.metrics.log.latest(stream.channel) {
            if sample.id >= unsent {
                blocks.push(|out| encode_event(sample.kind.name(), &sample.data, sample.id, out));
            }
        }
        connection.outbox().discard_unsent();
        connection.outbox().push_events(&blocks.out);
        connection.account_queued(&self.ledger);
        debug_assert!(connection.queued_bytes() < 2 * EVENT_OUTBOX_BYTES);
    }

    /// A subscriber takes nothing now: it has some time to take something again.
    pub(super) fn watch(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        if matches!(connection.phase, Phase::EventStream(_)) && connection.due == NEVER {
            connection.heard = ticks(now.monotonic);
            self.deadlines
                .set(id, connection, now.monotonic + EVENT_STALL_TIMEOUT);
        }
    }

    /// A watched subscriber's time is over.
    pub(super) fn judge_subscriber(&mut self, id: ConnectionId, now: Now) {
        let connection = &mut self.connections[id.index()];
        if !connection.is_blocked() {
            connection.due = NEVER;
        } else if let Some(left) = silence_left(connection, EVENT_STALL_TIMEOUT, now.monotonic) {
            self.deadlines.set(id, connection, now.monotonic + left);
        } else {
            self.counters.streams_stalled += 1;
            self.note(Level::Info, "subscriber_dropped", id, &[], now);
            self.closed(id, now);
        }
    }
}
