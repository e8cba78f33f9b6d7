//! The trait through which connections send: sockets in the server, memory in tests and simulations.

use std::io::IoSlice;

use crate::domain::ids::ConnectionId;

/// The result of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// This many bytes were taken; fewer than given means that the socket is full.
    Bytes(usize),
    /// The connection is broken.
    Gone,
}

/// Sends without blocking: to sockets in the server, to memory in tests and simulations.
pub trait Transmit {
    /// Sends as many of the first `bytes` as the socket takes.
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent;
    /// As [`Self::send`], for the concatenation of `slices`.
    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent;
    /// Closes our sending direction of the connection.
    fn shutdown(&mut self, to: ConnectionId);
}
