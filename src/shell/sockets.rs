//! The table of sockets, indexed by connection: 4 bytes each in a release build.

use std::io::{ErrorKind, IoSlice, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use crate::config::TABLE_KEPT;
use crate::conn::transmit::Sent;
use crate::domain::ids::ConnectionId;

/// Every open socket.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Option<TcpStream>>);

impl Sockets {
    /// Keeps the socket of a new connection.
    pub fn insert(&mut self, id: ConnectionId, stream: TcpStream) {
        if self.0.len() <= id.index() {
            self.0.resize_with(id.index() + 1, || None);
        }
        self.0[id.index()] = Some(stream);
    }

    /// Closes a socket.
    pub fn remove(&mut self, id: ConnectionId) {
        if let Some(place) = self.0.get_mut(id.index()) {
            *place = None;
        }
    }

    /// Frees a large table. There must be no open socket.
    pub fn forget(&mut self) {
        if self.0.len() > TABLE_KEPT {
            self.0 = Vec::new();
        }
    }

    /// The socket of a connection.
    pub fn stream(&mut self, id: ConnectionId) -> Option<&mut TcpStream> {
        self.0.get_mut(id.index())?.as_mut()
    }

    /// Writes without blocking.
    pub fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        let stream = self.stream(to);
        stream.map_or(Sent::Gone, |stream| sent(stream.write(bytes)))
    }

    /// As [`Self::send`], for the concatenation of `slices`.
    pub fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let stream = self.stream(to);
        stream.map_or(Sent::Gone, |stream| sent(stream.write_vectored(slices)))
    }

    /// Closes our sending direction of a connection.
    pub fn shutdown(&mut self, to: ConnectionId) {
        if let Some(stream) = self.stream(to) {
            // An error means that the connection is closed already.
            _ = stream.shutdown(Shutdown::Write);
        }
    }
}

fn sent(result: std::io::Result<usize>) -> Sent {
    match result {
        Ok(count) => Sent::Bytes(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Sent::Bytes(0)
        }
        Err(_) => Sent::Gone,
    }
}
