//! The order of reads: modest connections, with short replies, before demanding ones, with long replies.

use std::collections::{BTreeSet, VecDeque};

use crate::config::{DEMANDING_READS, DEMANDING_REPLY_BYTES};
use crate::conn::{Connection, Mark};
use crate::domain::ids::ConnectionId;

/// Connections that may be readable, each queued once.
#[derive(Debug, Default)]
pub struct ReadQueue {
    /// Connections with short replies.
    modest: VecDeque<ConnectionId>,
    /// Connections whose last reads caused long replies.
    demanding: VecDeque<ConnectionId>,
    /// Connections in congested rooms, read when the fan-out has made progress.
    congested: Vec<ConnectionId>,
}

impl ReadQueue {
    /// Schedules a read in this turn or a later one.
    pub fn push(&mut self, id: ConnectionId, connection: &mut Connection) {
        if connection.replace(Mark::ToRead, true) {
            return;
        }
        match connection.demanding_reads {
            0 => self.modest.push_back(id),
            _ => self.demanding.push_back(id),
        }
    }

    /// Schedules a read for when the connection's rooms have less to send.
    pub fn push_congested(&mut self, id: ConnectionId) {
        self.congested.push(id);
    }

    /// Takes the connections that waited for their rooms.
    pub fn take_congested(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.congested)
    }

    /// The next modest connection.
    pub fn pop_modest(&mut self) -> Option<ConnectionId> {
        self.modest.pop_front()
    }

    /// The next demanding connection.
    pub fn pop_demanding(&mut self) -> Option<ConnectionId> {
        self.demanding.pop_front()
    }

    /// The number of modest and of demanding connections.
    pub fn len(&self) -> (usize, usize) {
        (self.modest.len(), self.demanding.len())
    }

    /// Whether no connection is to be read.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0) && self.congested.is_empty()
    }

    /// Asserts that each marked connection is queued. The id of a freed connection may also be queued until it is its
    /// turn.
    pub fn check(&self, marked: impl Iterator<Item = ConnectionId>) {
        let all = self.modest.iter().chain(&self.demanding);
        let all: BTreeSet<ConnectionId> = all.copied().collect();
        for id in marked {
            assert!(all.contains(&id), "each marked connection is queued");
        }
    }
}

/// Records how many bytes of replies one read of a connection caused.
pub fn note_reply(connection: &mut Connection, bytes: usize) {
    connection.demanding_reads = match bytes > DEMANDING_REPLY_BYTES {
        true => DEMANDING_READS,
        false => connection.demanding_reads.saturating_sub(1),
    };
}
