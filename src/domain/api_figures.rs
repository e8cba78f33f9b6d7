//! The data of `api_metrics`: what the server itself does, measured over the time since the last one.

use std::time::Duration;

use serde::Serialize;

use super::response_times::ResponseTimes;

/// Requests over a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Responses sent.
    pub requests: u64,
    /// Those of them with status 400 or above.
    pub errors: u64,
    /// The sum of the times from request to response.
    pub time: Duration,
}

/// What the server is busy with now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Users connected now, at all nodes if there are several.
    pub active_users: usize,
    /// Event streams open now, at all nodes if there are several.
    pub subscribers: usize,
    /// Rooms.
    pub rooms: usize,
    /// Users connected to this server.
    pub users: usize,
    /// Open WebSockets.
    pub websockets: u64,
    /// Open event streams.
    pub event_streams: u64,
    /// Open connections of all kinds.
    pub connections: u64,
    /// The store on disk; `None` if there is none.
    pub store: Option<StoreGauges>,
    /// Whether the engine that the nodes share takes what is said; `None` without one.
    pub is_engine_up: Option<bool>,
    /// Counts since the start.
    pub totals: Totals,
}

/// The store on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreGauges {
    /// Whether it takes what is said.
    pub is_up: bool,
    /// Messages, rooms, events and logouts that wait for the batch under way.
    pub queued: usize,
}

/// Counts since the start of the server; what happened in a period is the difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Chat messages committed.
    pub messages: u64,
    /// Messages and events times those they were broadcast to.
    pub deliveries: u64,
    /// Requests and connections refused.
    pub refused: u64,
    /// Peers closed because they read too slowly.
    pub slow_consumers: u64,
    /// Commits of the store.
    pub commits: u64,
    /// The sum of their durations, in microseconds.
    pub commit_micros: u64,
}

/// What `api_metrics` is made of.
#[derive(Debug, Default)]
pub struct ApiFigures {
    /// All requests, those of other nodes included.
    traffic: Traffic,
    /// As of the last sample.
    reported: Traffic,
    /// As of the last sample.
    totals: Totals,
    /// When the last sample was taken, since the server's start.
    since: Duration,
    /// The largest outbox since the last sample, in bytes.
    outbox_peak_bytes: usize,
    times: ResponseTimes,
}

/// The data of `api_metrics`. Of several nodes `requests` to `subscribers` are of all of them, and all others of the one
/// that samples, `node`.
#[derive(Serialize)]
struct Data<'a> {
    requests: u64,
    avg_response_ms: f64,
    error_rate: f64,
    total_requests: u64,
    total_error_rate: f64,
    subscribers: usize,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    rooms: usize,
    users: usize,
    websockets: u64,
    event_streams: u64,
    connections: u64,
    messages: u64,
    deliveries: u64,
    seconds: f64,
    outbox_peak_bytes: usize,
    refused: u64,
    slow_consumers: u64,
    store_up: Option<bool>,
    store_queue: Option<usize>,
    store_commit_ms: Option<f64>,
    engine_up: Option<bool>,
    /// The server that was sampled, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
}

/// The names in the data whose values are numbers.
pub const NUMBERS: [&str; 22] = [
    "requests",
    "avg_response_ms",
    "error_rate",
    "total_requests",
    "total_error_rate",
    "subscribers",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "rooms",
    "users",
    "websockets",
    "event_streams",
    "connections",
    "messages",
    "deliveries",
    "seconds",
    "outbox_peak_bytes",
    "refused",
    "slow_consumers",
    "store_queue",
    "store_commit_ms",
];

fn three_decimals(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

/// The mean of so many values, with three decimals; `None` without values.
fn mean(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| three_decimals(sum / count as f64))
}

/// `part` of `whole` in percent, with one decimal; 0 if `whole` is 0.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        (part as f64 * 1_000.0 / whole as f64).round() / 10.0
    }
}

impl ApiFigures {
    /// Counts responses, also those of other nodes.
    pub fn count(&mut self, traffic: Traffic) {
        self.traffic.requests += traffic.requests;
        self.traffic.errors += traffic.errors;
        self.traffic.time += traffic.time;
    }

    /// Notes the time of a response of this server.
    pub fn observe(&mut self, time: Duration) {
        self.times.observe(time);
    }

    /// Notes an outbox of so many bytes.
    pub fn note_outbox(&mut self, bytes: usize) {
        self.outbox_peak_bytes = self.outbox_peak_bytes.max(bytes);
    }

    /// The data of a sample; another period begins.
    pub fn sample(&mut self, gauges: &Gauges, node: Option<&str>, now: Duration) -> String {
        let (all, totals) = (self.traffic, gauges.totals);
        let reported = std::mem::replace(&mut self.reported, all);
        let before = std::mem::replace(&mut self.totals, totals);
        let since = std::mem::replace(&mut self.since, now);
        let times = std::mem::take(&mut self.times);
        let requests = all.requests - reported.requests;
        let millis = (all.time - reported.time).as_secs_f64() * 1000.0;
        let commits = totals.commits - before.commits;
        let commit_micros = totals.commit_micros - before.commit_micros;
        let data = Data {
            requests,
            avg_response_ms: mean(millis, requests).unwrap_or(0.0),
            error_rate: percent(all.errors - reported.errors, requests),
            total_requests: all.requests,
            total_error_rate: percent(all.errors, all.requests),
            subscribers: gauges.subscribers,
            p50_ms: times.percentile(50),
            p95_ms: times.percentile(95),
            p99_ms: times.percentile(99),
            rooms: gauges.rooms,
            users: gauges.users,
            websockets: gauges.websockets,
            event_streams: gauges.event_streams,
            connections: gauges.connections,
            messages: totals.messages - before.messages,
            deliveries: totals.deliveries - before.deliveries,
            // Whoever divides by it gets a number.
            seconds: three_decimals(now.saturating_sub(since).as_secs_f64()).max(0.001),
            outbox_peak_bytes: std::mem::take(&mut self.outbox_peak_bytes),
            refused: totals.refused - before.refused,
            slow_consumers: totals.slow_consumers - before.slow_consumers,
            store_up: gauges.store.map(|store| store.is_up),
            store_queue: gauges.store.map(|store| store.queued),
            store_commit_ms: mean(commit_micros as f64 / 1_000.0, commits),
            engine_up: gauges.is_engine_up,
            node,
        };
        serde_json::to_string(&data).expect("writing our own values into memory cannot fail")
    }
}

#[cfg(test)]
mod tests;
