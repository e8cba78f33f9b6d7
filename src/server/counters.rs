//! The counters shown by `GET /metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::histogram::{Histogram, TURN_MICROS};
use crate::domain::api_figures::Traffic;
use crate::wire::close_code::CloseCode;

/// Counts since the start.
#[derive(Debug)]
pub struct Counters {
    /// Responses by status.
    pub responses: BTreeMap<u16, u64>,
    /// Sign-ins by outcome.
    pub logins: BTreeMap<&'static str, u64>,
    /// WebSockets closed by the server, by close code.
    pub closes: BTreeMap<u16, u64>,
    /// The largest outbox so far, in bytes.
    pub outbox_high_water_bytes: usize,
    /// Times a slow subscriber's outbox was conflated to the latest events.
    pub streams_relieved: u64,
    /// PROXY protocol headers that were understood.
    pub proxy_headers: u64,
    /// Connections closed because theirs was malformed, missing or late.
    pub proxy_headers_refused: u64,
    /// Requests of proxies, and of peers that claim to be some, by what became of the address of their client.
    pub forwarded: Forwarded,
    /// Connections refused at a limit, or because no file descriptor was left.
    pub refused_connections: u64,
    /// Times the buffers of a connection were freed because all together were over their limit.
    pub shed: u64,
    /// Subscribers dropped because they took no byte for a minute.
    pub streams_stalled: u64,
    /// Totals reported by the shell.
    pub shell: ShellFacts,
    /// Turns by duration, in microseconds.
    pub turns: Histogram,
    /// Responses queued in this turn, whose time is not known yet.
    unsent: Traffic,
    /// When the request of each of them arrived. Cleared each turn; the reply budget of a turn bounds it.
    unsent_since: Vec<Duration>,
}

/// Requests by what became of the address of their client.
#[derive(Debug, Default)]
pub struct Forwarded {
    /// From a trusted proxy, which has named a client.
    pub taken: u64,
    /// From a trusted proxy, which has named none, so that the address is its own.
    pub missing: u64,
    /// From a trusted proxy, whose two fields lead to different addresses, so that the address is its own.
    pub differing: u64,
    /// From a peer that is no trusted proxy, so that its fields do not count.
    pub ignored: u64,
}

/// Totals that only the shell knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShellFacts {
    /// Bytes read from all sockets.
    pub received_bytes: u64,
    /// Bytes written to all sockets.
    pub sent_bytes: u64,
    /// Resident memory of the process, in bytes; `None` if the system does not report it.
    pub resident_bytes: Option<u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            responses: BTreeMap::new(),
            logins: BTreeMap::new(),
            closes: BTreeMap::new(),
            outbox_high_water_bytes: 0,
            streams_relieved: 0,
            proxy_headers: 0,
            proxy_headers_refused: 0,
            forwarded: Forwarded::default(),
            refused_connections: 0,
            shed: 0,
            streams_stalled: 0,
            shell: ShellFacts::default(),
            turns: Histogram::new(&TURN_MICROS),
            unsent: Traffic::default(),
            unsent_since: Vec::new(),
        }
    }
}

impl Counters {
    /// Counts a response to a request that arrived at `since`.
    pub fn respond(&mut self, status: u16, since: Duration) {
        *self.responses.entry(status).or_default() += 1;
        self.unsent.requests += 1;
        self.unsent.errors += u64::from(status >= 400);
        self.unsent_since.push(since);
    }

    /// Whether responses were queued in this turn.
    pub fn has_unsent(&self) -> bool {
        self.unsent.requests > 0
    }

    /// Takes the responses queued in this turn, which are sent now, with the sum of their times. Each time is passed on.
    pub fn take_sent(&mut self, now: Duration, mut observe: impl FnMut(Duration)) -> Traffic {
        let mut traffic = std::mem::take(&mut self.unsent);
        for since in self.unsent_since.drain(..) {
            let time = now.saturating_sub(since);
            observe(time);
            traffic.time += time;
        }
        traffic
    }

    /// WebSockets that the server has closed with this code.
    pub fn closed_with(&self, code: CloseCode) -> u64 {
        self.closes.get(&code.0).copied().unwrap_or(0)
    }

    /// Counts a turn of the loop.
    pub fn turn(&mut self, duration: Duration) {
        self.turns.observe(duration.as_micros() as u64);
    }
}
