//! What the server is busy with, for `api_metrics`.

use super::Server;
use super::connections::PHASE_LABELS;
use super::counters::Counters;
use super::node::Node;
use crate::domain::api_figures::{Gauges, StoreGauges, Totals};
use crate::wire::close_code::CloseCode;

/// Close codes of WebSockets that are refused for who they are, or at a limit.
const REFUSED: [CloseCode; 5] = [
    CloseCode::INVALID_TICKET,
    CloseCode::FORBIDDEN_ORIGIN,
    CloseCode::NAME_TAKEN,
    CloseCode::TOO_MANY_CONNECTIONS,
    CloseCode::RATE_LIMITED,
];

impl Server {
    /// What the server is busy with now, and what it has counted.
    pub(super) fn gauges(&self) -> Gauges {
        let phases = self.connections.phase_counts();
        let of = |label| {
            let labelled = PHASE_LABELS.into_iter().zip(phases);
            let mut labelled = labelled.filter(|(name, _)| *name == label);
            labelled.next().map_or(0, |(_, count)| count)
        };
        let (rooms, disk) = (self.chat.rooms(), self.chat.backend().disk());
        let store = disk.map(|disk| StoreGauges {
            is_up: disk.is_up(),
            queued: disk.queued(),
        });
        let commits = disk.map(|disk| &disk.figures().commits);
        Gauges {
            active_users: self.active_users(),
            subscribers: self.streams.all_subscribers(),
            rooms: rooms.count(),
            users: rooms.people().count(),
            websockets: of("websocket"),
            event_streams: of("event_stream"),
            connections: phases.iter().sum(),
            store,
            is_engine_up: self.chat.backend().node().map(Node::is_up),
            totals: Totals {
                messages: self.chat.messages(),
                deliveries: self.chat.deliveries() + self.streams.deliveries(),
                refused: refused(&self.counters),
                slow_consumers: self.counters.closed_with(CloseCode::SLOW_CONSUMER),
                commits: commits.map_or(0, |commits| commits.count()),
                commit_micros: commits.map_or(0, |commits| commits.sum()),
            },
        }
    }
}

/// Requests answered with a status of 400 to 499, connections refused at a limit, and WebSockets closed with one of
/// [`REFUSED`].
fn refused(counters: &Counters) -> u64 {
    let requests: u64 = counters
        .responses
        .range(400..500)
        .map(|(_, count)| count)
        .sum();
    let closes = REFUSED.map(|code| counters.closed_with(code));
    requests + counters.refused_connections + closes.iter().sum::<u64>()
}
