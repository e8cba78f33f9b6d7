//! The sockets, by connection: 8 bytes each in a release build.

use std::io::{ErrorKind, IoSlice, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use crate::config::{DEMANDING_READS, DEMANDING_REPLY_BYTES, TABLE_KEPT};
use crate::conn::transmit::{Sent, Transmit};
use crate::domain::ids::ConnectionId;

/// Every open socket.
#[derive(Debug, Default)]
pub struct Sockets {
    table: Vec<Option<Socket>>,
    /// Bytes read since the start.
    pub received_bytes: u64,
    /// The same for those written.
    pub sent_bytes: u64,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    /// In the list of those to read.
    is_queued: bool,
    /// The end of the stream or an error has come: read until it shows.
    is_ending: bool,
    /// For so many reads it is one of those who ask for much.
    demanding_reads: u8,
}

impl Sockets {
    /// Keeps the socket of a new connection.
    pub fn insert(&mut self, id: ConnectionId, stream: TcpStream) {
        if self.table.len() <= id.index() {
            self.table.resize_with(id.index() + 1, || None);
        }
        self.table[id.index()] = Some(Socket {
            stream,
            is_queued: false,
            is_ending: false,
            demanding_reads: 0,
        });
    }

    /// Closes a socket.
    pub fn remove(&mut self, id: ConnectionId) {
        if let Some(place) = self.table.get_mut(id.index()) {
            *place = None;
        }
    }

    /// Frees the table when it is large; nobody is connected.
    pub fn forget(&mut self) {
        if self.table.len() > TABLE_KEPT {
            self.table = Vec::new();
        }
    }

    /// The socket to read from.
    pub fn stream(&mut self, id: ConnectionId) -> Option<&mut TcpStream> {
        self.socket(id).map(|socket| &mut socket.stream)
    }

    /// Notes that a connection is listed; false when it was already, or has no socket.
    pub fn mark_queued(&mut self, id: ConnectionId) -> bool {
        self.socket(id)
            .is_some_and(|socket| !std::mem::replace(&mut socket.is_queued, true))
    }

    /// Notes that a connection is listed no more.
    pub fn clear_queued(&mut self, id: ConnectionId) {
        if let Some(socket) = self.socket(id) {
            socket.is_queued = false;
        }
    }

    /// Notes that the stream's end is near.
    pub fn mark_ending(&mut self, id: ConnectionId) {
        if let Some(socket) = self.socket(id) {
            socket.is_ending = true;
        }
    }

    /// Whether the stream's end is near.
    pub fn is_ending(&mut self, id: ConnectionId) -> bool {
        self.socket(id).is_some_and(|socket| socket.is_ending)
    }

    /// Notes how much was asked for by what was just read.
    pub fn note_reply(&mut self, id: ConnectionId, bytes: usize) {
        if let Some(socket) = self.socket(id) {
            socket.demanding_reads = match bytes > DEMANDING_REPLY_BYTES {
                true => DEMANDING_READS,
                false => socket.demanding_reads.saturating_sub(1),
            };
        }
    }

    /// Whether it is one of those who ask for much.
    pub fn is_demanding(&mut self, id: ConnectionId) -> bool {
        self.socket(id)
            .is_some_and(|socket| socket.demanding_reads > 0)
    }

    fn count(&mut self, sent: Sent) -> Sent {
        if let Sent::Bytes(count) = sent {
            self.sent_bytes += count as u64;
        }
        sent
    }

    fn socket(&mut self, id: ConnectionId) -> Option<&mut Socket> {
        self.table.get_mut(id.index())?.as_mut()
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

impl Transmit for Sockets {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        let sent = self
            .stream(to)
            .map_or(Sent::Gone, |stream| sent(stream.write(bytes)));
        self.count(sent)
    }

    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let sent = self
            .stream(to)
            .map_or(Sent::Gone, |stream| sent(stream.write_vectored(slices)));
        self.count(sent)
    }

    fn shutdown(&mut self, to: ConnectionId) {
        if let Some(stream) = self.stream(to) {
            // A peer that is gone already needs none.
            _ = stream.shutdown(Shutdown::Write);
        }
    }
}
