//! Sockets that are buffers, on a clock that advances with each send, for the unit tests of passes.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::time::Duration;

use crate::conn::transmit::{Sent, Transmit};
use crate::domain::ids::ConnectionId;
use crate::server::io::{Io, Received};

/// The socket of a peer.
#[derive(Debug, Default)]
pub struct Socket {
    /// The bytes it has accepted.
    pub sent: Vec<u8>,
    /// The bytes it still accepts; `None` is no limit.
    pub room: Option<usize>,
}

/// All sockets, and the clock.
#[derive(Debug, Default)]
pub struct Sockets {
    /// By connection.
    pub all: Vec<Socket>,
    /// Connections that are broken.
    pub broken: BTreeSet<ConnectionId>,
    /// The number of sends so far.
    pub sends: usize,
    /// What each send costs in time.
    pub send_time: Duration,
    /// The time since the start.
    pub now: Duration,
}

impl Transmit for Sockets {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        self.sends += 1;
        self.now += self.send_time;
        if self.broken.contains(&to) {
            return Sent::Gone;
        }
        let socket = &mut self.all[to.index()];
        let count = bytes.len().min(socket.room.unwrap_or(usize::MAX));
        socket.sent.extend_from_slice(&bytes[..count]);
        socket.room = socket.room.map(|room| room - count);
        Sent::Bytes(count)
    }

    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.send(to, &all)
    }

    fn shutdown(&mut self, _: ConnectionId) {}
}

impl Io for Sockets {
    fn monotonic(&mut self) -> Duration {
        self.now
    }

    fn receive(&mut self, _: ConnectionId, _: &mut [u8]) -> Received {
        Received::Empty
    }

    fn close(&mut self, _: ConnectionId) {}

    fn log(&mut self, _: &str) {}
}

/// Knuth's MMIX generator, for random operations.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as u32 % sides
    }
}
