//! What the server counts, and how it is shown in the Prometheus exposition format (text version 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Server;
use crate::conn::Phase;
use crate::domain::event_log::Channel;
use crate::domain::ids::ConnectionId;
use crate::domain::metrics::Traffic;

/// Upper bounds of the histogram of turns, in microseconds.
const TURN_BUCKETS_MICROS: [u64; 10] =
    [10, 50, 100, 250, 500, 1_000, 5_000, 10_000, 50_000, 250_000];

/// What connections are shown as.
const KINDS: [&str; 4] = ["closing", "event_stream", "http", "websocket"];

/// The place of a phase in [`KINDS`].
fn kind(phase: &Phase) -> usize {
    match phase {
        Phase::Closing(_) | Phase::Lingering | Phase::Closed => 0,
        Phase::EventStream(_) => 1,
        Phase::Http(_) => 2,
        Phase::WebSocket(_) => 3,
    }
}

/// Counts since the start, and of connections now.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections by [`KINDS`].
    pub connections: [u64; KINDS.len()],
    /// Responses by status.
    pub responses: BTreeMap<u16, u64>,
    /// Chat messages committed.
    pub messages: u64,
    /// Sign-ins by outcome.
    pub logins: BTreeMap<&'static str, u64>,
    /// WebSockets closed by us, by code.
    pub closes: BTreeMap<u16, u64>,
    /// The most bytes that ever waited for one peer.
    pub outbox_high_water_bytes: usize,
    /// Times a lagging subscriber's queue was cut down to the latest values.
    pub streams_relieved: u64,
    /// Connections refused because there were too many, or no descriptor for them.
    pub refused_connections: u64,
    /// Times the buffers of a connection were given up because all together were over their limit.
    pub shed: u64,
    /// Subscribers dropped because they took nothing.
    pub streams_stalled: u64,
    /// What the shell has seen.
    pub shell: ShellFacts,
    /// Turns by duration: each bucket, and those above all.
    turns: [u64; TURN_BUCKETS_MICROS.len() + 1],
    turn_time: Duration,
    /// Responses that were queued in this turn, for their times.
    unsent: Traffic,
    unsent_since: Duration,
}

/// What only the shell knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShellFacts {
    /// Bytes read from all sockets.
    pub received_bytes: u64,
    /// Bytes written to all sockets.
    pub sent_bytes: u64,
    /// Memory the process has resident.
    pub resident_bytes: u64,
}

impl Counters {
    /// Counts a connection that is there now.
    pub fn add_connection(&mut self, phase: &Phase) {
        self.connections[kind(phase)] += 1;
    }

    /// Counts one connection less.
    pub fn remove_connection(&mut self, phase: &Phase) {
        self.connections[kind(phase)] -= 1;
    }

    /// Counts a response to a request that came at `since`.
    pub fn respond(&mut self, status: u16, since: Duration) {
        *self.responses.entry(status).or_default() += 1;
        self.unsent.requests += 1;
        self.unsent.errors += u64::from(status >= 400);
        self.unsent_since += since;
    }

    /// The responses queued in this turn, which leave now.
    pub fn take_sent(&mut self, now: Duration) -> Traffic {
        let mut traffic = std::mem::take(&mut self.unsent);
        let since = std::mem::take(&mut self.unsent_since);
        let count = u32::try_from(traffic.requests).unwrap_or(u32::MAX);
        traffic.time = (now * count).saturating_sub(since);
        traffic
    }

    /// Counts a turn of the loop.
    pub fn turn(&mut self, duration: Duration) {
        let micros = duration.as_micros() as u64;
        let bucket = TURN_BUCKETS_MICROS
            .iter()
            .position(|bound| micros <= *bound);
        self.turns[bucket.unwrap_or(TURN_BUCKETS_MICROS.len())] += 1;
        self.turn_time += duration;
    }
}

/// A page of metrics under construction.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a String cannot fail, here and below.
        _ = writeln!(
            self.0,
            "# HELP sarang_{name} {help}\n# TYPE sarang_{name} {kind}"
        );
    }

    fn value(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        _ = writeln!(self.0, "sarang_{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.value(name, "", value);
    }

    fn labelled<L: std::fmt::Display>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        label: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) {
        self.family(name, kind, help);
        for (text, value) in values {
            self.value(name, &format!("{{{label}=\"{text}\"}}"), value);
        }
    }
}

impl Server {
    /// A connection goes on to another phase. It is counted here, so that the page of metrics looks at no connection.
    pub(super) fn set_phase(&mut self, id: ConnectionId, phase: Phase) {
        let connection = &mut self.connections[id.index()];
        self.counters.remove_connection(&connection.phase);
        self.counters.add_connection(&phase);
        connection.phase = phase;
    }

    /// The page of `GET /metrics`.
    pub(super) fn exposition(&self) -> String {
        let mut page = Page::default();
        self.show_connections(&mut page);
        self.show_traffic(&mut page);
        show_outcomes(&mut page, &self.counters);
        let help = "Bytes queued for and half received from all connections.";
        page.single("buffer_bytes", "gauge", help, self.buffered_bytes());
        show_pressure(&mut page, &self.counters);
        show_turns(&mut page, &self.counters);
        page.0
    }

    fn show_traffic(&self, page: &mut Page) {
        let counters = &self.counters;
        page.single("rooms", "gauge", "Rooms.", self.rooms.count());
        page.single(
            "users",
            "gauge",
            "People connected.",
            self.rooms.people().count(),
        );
        page.single(
            "messages_total",
            "counter",
            "Chat messages committed.",
            counters.messages,
        );
        let deliveries = [
            ("chat", self.fan_out.deliveries),
            ("event", self.events.deliveries),
        ];
        let family = (
            "deliveries_total",
            "counter",
            "Messages and events times those they were broadcast to.",
        );
        page.labelled(family, "kind", deliveries);
        page.single(
            "events_total",
            "counter",
            "Events of the metrics streams.",
            self.metrics.log.newest(),
        );
        let bytes = [
            ("received", counters.shell.received_bytes),
            ("sent", counters.shell.sent_bytes),
        ];
        page.labelled(
            ("bytes_total", "counter", "Bytes over all sockets."),
            "direction",
            bytes,
        );
    }

    fn show_connections(&self, page: &mut Page) {
        let kinds = KINDS.into_iter().zip(self.counters.connections);
        page.labelled(
            ("connections", "gauge", "Open connections by kind."),
            "kind",
            kinds,
        );
        let channels =
            Channel::ALL.map(|channel| (channel.name(), self.subscribers_of(channel) as u64));
        page.labelled(
            ("subscribers", "gauge", "Event streams by channel."),
            "channel",
            channels,
        );
    }
}

fn show_pressure(page: &mut Page, counters: &Counters) {
    let help = "Connections refused: too many, or no descriptor left.";
    page.single(
        "connections_refused_total",
        "counter",
        help,
        counters.refused_connections,
    );
    let help =
        "Connections whose buffers were given up because all together were over their limit.";
    page.single("buffers_shed_total", "counter", help, counters.shed);
    let help = "Most bytes that ever waited for one peer.";
    page.single(
        "outbox_high_water_bytes",
        "gauge",
        help,
        counters.outbox_high_water_bytes,
    );
    let help = "Times a lagging subscriber was cut down to the latest values.";
    page.single(
        "event_streams_relieved_total",
        "counter",
        help,
        counters.streams_relieved,
    );
    let help = "Subscribers dropped because they took nothing for a minute.";
    page.single(
        "event_streams_stalled_total",
        "counter",
        help,
        counters.streams_stalled,
    );
    page.single(
        "resident_memory_bytes",
        "gauge",
        "Memory of the process.",
        counters.shell.resident_bytes,
    );
}

fn show_outcomes(page: &mut Page, counters: &Counters) {
    let family = ("responses_total", "counter", "HTTP responses by status.");
    page.labelled(
        family,
        "status",
        counters
            .responses
            .iter()
            .map(|(status, count)| (*status, *count)),
    );
    let family = (
        "closes_total",
        "counter",
        "WebSockets closed by the server, by close code (4008: slow consumers).",
    );
    page.labelled(
        family,
        "code",
        counters.closes.iter().map(|(code, count)| (*code, *count)),
    );
    let family = ("logins_total", "counter", "Attempts to sign in by outcome.");
    page.labelled(
        family,
        "outcome",
        counters
            .logins
            .iter()
            .map(|(outcome, count)| (*outcome, *count)),
    );
}

fn show_turns(page: &mut Page, counters: &Counters) {
    page.family(
        "turn_duration_seconds",
        "histogram",
        "Duration of a turn of the event loop.",
    );
    let mut count = 0;
    for (bound, turns) in TURN_BUCKETS_MICROS.iter().zip(&counters.turns) {
        count += turns;
        let label = format!("{{le=\"{}\"}}", *bound as f64 / 1e6);
        page.value("turn_duration_seconds_bucket", &label, count);
    }
    let all: u64 = counters.turns.iter().sum();
    page.value("turn_duration_seconds_bucket", "{le=\"+Inf\"}", all);
    page.value(
        "turn_duration_seconds_sum",
        "",
        counters.turn_time.as_secs_f64(),
    );
    page.value("turn_duration_seconds_count", "", all);
}
