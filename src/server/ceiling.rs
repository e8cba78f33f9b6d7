//! The ceiling over all buffers together: what waits for peers, and what came from them and is not whole yet.
//!
//! Each connection has limits of its own, but a crowd of peers who each stay just under theirs could still fill the
//! memory. Above the ceiling those for whom the most is held go first, so a peer who reads and writes as it should,
//! and for whom nearly nothing is held, is never among them.

use super::Server;
use crate::config::{ECHO_BUFFER_BYTES, Level};
use crate::conn::Phase;
use crate::conn::refusal::Refusal;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::wire::websocket::CloseCode;

impl Server {
    /// Memory held for all peers together, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.ledger.total()
    }

    /// Above [`Config::buffer_bytes`](crate::config::Config::buffer_bytes), ends the connections for which the most is
    /// held, until there is some room again, so that the search is rare.
    pub(super) fn keep_ceiling(&mut self, now: Now) {
        let echo = if self.config.echo {
            ECHO_BUFFER_BYTES
        } else {
            0
        };
        let max = self.config.buffer_bytes.saturating_add(echo);
        if self.ledger.total() <= max {
            return;
        }
        let enough = max - max / 16;
        let mut holders: Vec<(usize, ConnectionId)> = self
            .connections
            .iter()
            .map(|(index, connection)| (connection.buffered_bytes(), ConnectionId(index as u32)))
            .filter(|(bytes, _)| *bytes > 0)
            .collect();
        holders.sort_unstable();
        while self.ledger.total() > enough
            && let Some((bytes, id)) = holders.pop()
        {
            self.shed(id, bytes, now);
        }
    }

    /// Takes back what is held for one connection; all but an event stream end with it.
    fn shed(&mut self, id: ConnectionId, bytes: usize, now: Now) {
        self.counters.shed += 1;
        let total = self.ledger.total();
        self.note(
            Level::Warn,
            "buffers_full",
            id,
            &[("bytes", &bytes), ("total_bytes", &total)],
            now,
        );
        let connection = &self.connections[id.index()];
        let is_received = connection.queued_bytes() < bytes / 2;
        match connection.phase {
            Phase::EventStream(_) => self.relieve(id),
            Phase::WebSocket(_) => self.close_websocket(id, CloseCode::SLOW_CONSUMER, now),
            Phase::Http(_) if is_received => self.refuse(id, Refusal::UNAVAILABLE, now),
            _ => self.closed(id, now),
        }
        self.connections[id.index()].account_queued(&self.ledger);
    }
}
