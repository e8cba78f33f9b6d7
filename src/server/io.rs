//! The I/O a turn uses: sockets, a clock and a log. The shell's are real; tests use buffers and virtual time.

use std::time::Duration;

use crate::conn::transmit::Transmit;
use crate::domain::ids::ConnectionId;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// This many bytes were read; fewer than the buffer takes means that the socket is empty for now.
    Bytes(usize),
    /// The peer has closed its sending direction.
    End,
    /// Nothing to read now.
    Empty,
    /// The read was interrupted: read again.
    Again,
    /// The connection is broken.
    Gone,
}

/// Sockets, clock and log.
pub trait Io: Transmit {
    /// Reads the monotonic clock, the same one as in the `now` of a [turn](super::Server::turn): the time since the
    /// server's start. A turn reads it every few dozen steps, to stay within its budgets.
    fn monotonic(&mut self) -> Duration;

    /// Reads available bytes, without blocking.
    fn receive(&mut self, from: ConnectionId, into: &mut [u8]) -> Received;

    /// Drops the socket of a closed connection; its id may be reused from here on.
    fn close(&mut self, id: ConnectionId);

    /// Writes a line of the journal, without blocking.
    fn log(&mut self, line: &str);
}
