//! The ceiling over all buffers together: outboxes, and input that is not complete yet.
//!
//! Each connection has limits of its own, but many peers just below them could still fill the memory. Above the ceiling
//! the connections with the largest buffers are ended first, so a peer that reads and writes normally, with nearly
//! empty buffers, is never among them.

use super::Server;
use crate::config::{ECHO_BUFFER_BYTES, Level};
use crate::conn::Phase;
use crate::conn::http::Awaited;
use crate::conn::refusal::Refusal;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::wire::close_code::CloseCode;

impl Server {
    /// Buffer memory of all connections, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.connections.ledger().total()
    }

    /// Above [`Config::buffer_bytes`](crate::config::Config::buffer_bytes), ends the connections with the largest
    /// buffers until a sixteenth of it is free, so that the search is rare.
    pub(super) fn keep_ceiling(&mut self, now: Now) {
        let echo = if self.config.echo {
            ECHO_BUFFER_BYTES
        } else {
            0
        };
        let max = self.config.buffer_bytes.saturating_add(echo);
        if self.buffered_bytes() <= max {
            return;
        }
        let enough = max - max / 16;
        let mut holders: Vec<(usize, ConnectionId)> = self
            .connections
            .iter()
            .map(|(id, connection)| (connection.buffered_bytes(), id))
            .filter(|(bytes, _)| *bytes > 0)
            .collect();
        holders.sort_unstable();
        while self.buffered_bytes() > enough
            && let Some((bytes, id)) = holders.pop()
        {
            self.shed(id, bytes, now);
        }
    }

    /// Frees the buffers of one connection: an event stream is conflated, any other connection ends.
    fn shed(&mut self, id: ConnectionId, bytes: usize, now: Now) {
        self.counters.shed += 1;
        let total = self.buffered_bytes();
        self.note(
            Level::Warn,
            "buffers_full",
            id,
            &[("bytes", &bytes), ("total_bytes", &total)],
            now,
        );
        let connection = &self.connections[id];
        let is_received = connection.queued_bytes() < bytes / 2;
        match connection.phase {
            Phase::EventStream(_) => self.relieve(id, now),
            Phase::WebSocket(_) => self.close_websocket(id, CloseCode::SLOW_CONSUMER, now),
            Phase::Http(ref http) if is_received && http.awaits() != Awaited::ProxyHeader => {
                self.refuse_unfinished(id, Refusal::UNAVAILABLE, now)
            }
            _ => self.closed(id, now),
        }
        self.connections[id].charge_queued(self.connections.ledger());
    }
}
