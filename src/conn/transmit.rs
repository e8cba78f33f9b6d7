//! Where bytes leave: sockets in the server, memory in tests and simulations.

use std::io::IoSlice;

use crate::domain::ids::ConnectionId;

/// What became of bytes that were to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many were taken; fewer than given means that the socket is full for now.
    Bytes(usize),
    /// The connection is broken.
    Gone,
}

/// Where bytes leave: sockets in the server, memory in tests and simulations.
pub trait Transmit {
    /// Sends the beginning of `bytes`, as much as is taken without waiting.
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent;
    /// The same for the concatenation of `slices`.
    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent;
    /// Ends our direction of the connection.
    fn shutdown(&mut self, to: ConnectionId);
}
