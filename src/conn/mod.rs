//! Floor 2: one connection, its protocol and its outbox. A connection does not know any other.

pub mod act;
pub mod broken_json;
pub mod command;
pub mod event_json;
pub mod http;
pub mod input;
pub mod outbox;
pub mod refusal;
pub mod transmit;
pub mod websocket;

use std::ops::Range;
use std::rc::Rc;

use crate::config::NEWCOMER_READS;
use crate::domain::ids::ConnectionId;
use crate::ledger::Ledger;
use crate::wire::frame_reader::FrameReader;
use http::Http;
use outbox::{Batch, Content, Flushed, Outbox};
use transmit::{Sent, Transmit};
use websocket::WebSocket;

/// One connection. An idle WebSocket has no other memory.
#[derive(Debug)]
pub struct Connection {
    /// The protocol it speaks, and how far it is in its life.
    pub phase: Phase,
    outbox: Option<Box<Outbox>>,
    /// When its deadline expires, in ticks.
    pub due: u32,
    /// When its deadline is checked next, in ticks; never later than `due`.
    pub checked_at: u32,
    /// When bytes were last received from it, in ticks.
    pub heard: u32,
    marks: u8,
    /// The number of reads for which it still counts as demanding.
    pub demanding_reads: u8,
}

/// Flags of a connection, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is in the list of connections to flush.
    Listed = 1,
    /// It is not read until its outbox is below the high-water mark, its command is answered, or its remaining input is
    /// served.
    Paused = 2,
    /// The peer has closed its sending direction.
    HalfClosed = 4,
    /// It is in the list of connections to read.
    ToRead = 8,
    /// The poll reported the end of the stream or an error: it is read until the read reports it too.
    Ending = 16,
    /// Its outbox is over the limit: it is closed unless its socket takes the bytes when they are written.
    Slow = 32,
    /// It is in the list of connections whose remaining input is to be served.
    ToServe = 64,
    /// It has come over a unix socket.
    OverUnix = 128,
}

/// An event stream: which events it sends, and its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventStream {
    /// The index of its selection of events.
    pub selection: u16,
    /// Whether it uses chunked transfer coding, as HTTP/1.1 has it.
    pub is_chunked: bool,
}

/// The life of a connection; it moves only down this list.
#[derive(Debug)]
pub enum Phase {
    /// Requests and responses.
    Http(Box<Http>),
    /// Messages both ways.
    WebSocket(WebSocket),
    /// Events one way.
    EventStream(EventStream),
    /// Our close frame is in the outbox or sent; the peer's is awaited (RFC 6455 section 7.1.1).
    Closing(FrameReader),
    /// The outbox is written, then our sending direction is closed; input is discarded until the peer closes its own.
    Lingering,
    /// To be freed at the end of the turn.
    Closed,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(http: Http) -> Self {
        Self {
            phase: Phase::Http(Box::new(http)),
            outbox: None,
            due: u32::MAX,
            checked_at: u32::MAX,
            heard: 0,
            marks: 0,
            demanding_reads: NEWCOMER_READS,
        }
    }

    /// Whether the flag is set.
    pub fn is(&self, mark: Mark) -> bool {
        self.marks & mark as u8 != 0
    }

    /// Sets or clears the flag.
    pub fn set(&mut self, mark: Mark, is_true: bool) {
        match is_true {
            true => self.marks |= mark as u8,
            false => self.marks &= !(mark as u8),
        }
    }

    /// Sets or clears the flag, and returns whether it was set before.
    pub fn replace(&mut self, mark: Mark, is_true: bool) -> bool {
        let before = self.is(mark);
        self.set(mark, is_true);
        before
    }

    /// The outbox, created on first use.
    pub fn outbox(&mut self) -> &mut Outbox {
        self.outbox.get_or_insert_default()
    }

    /// Bytes in the outbox.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// Whether the outbox has more than `bytes_max`, not counting the replies to the peer's own requests.
    pub fn is_over(&self, bytes_max: usize) -> bool {
        self.outbox
            .as_ref()
            .is_some_and(|outbox| outbox.is_over(bytes_max))
    }

    /// Whether nothing can be written until the socket becomes writable.
    pub fn is_blocked(&self) -> bool {
        self.outbox
            .as_ref()
            .is_some_and(|outbox| outbox.is_blocked())
    }

    /// Bytes in the outbox, and bytes received of incomplete or unserved requests and messages.
    pub fn buffered_bytes(&self) -> usize {
        let received = match &self.phase {
            Phase::Http(http) => http.buffered_bytes(),
            Phase::WebSocket(websocket) => websocket.reader.buffered_bytes(),
            _ => 0,
        };
        self.queued_bytes() + received
    }

    /// Charges the outbox to the ledger.
    pub fn charge_queued(&self, ledger: &Ledger) {
        if let Some(outbox) = &self.outbox {
            outbox.charge(ledger);
        }
    }

    /// Charges the buffers of received bytes to the ledger.
    pub fn charge_received(&self, ledger: &Ledger) {
        match &self.phase {
            Phase::Http(http) => http.charge(ledger),
            Phase::WebSocket(websocket) => websocket.reader.charge(ledger),
            _ => {}
        }
    }

    /// Whether an HTTP response is not written completely.
    pub fn owes_response(&self) -> bool {
        self.outbox
            .as_ref()
            .is_some_and(|outbox| outbox.holds_response())
    }

    /// Drops the outbox and everything in it.
    pub fn drop_outbox(&mut self) {
        self.outbox = None;
    }

    /// Sends a slice of a broadcast at once if the outbox is empty, else appends it. False if the connection is broken.
    #[inline]
    pub fn deliver(
        &mut self,
        to: ConnectionId,
        batch: &Rc<Batch>,
        range: Range<usize>,
        transmit: &mut impl Transmit,
    ) -> bool {
        let content = self.broadcast_content();
        if let Some(outbox) = &mut self.outbox {
            outbox.push_shared(batch, range, content);
            return true;
        }
        match transmit.send(to, &batch.bytes[range.clone()]) {
            Sent::Bytes(count) if count == range.len() => true,
            Sent::Bytes(count) => {
                let outbox = self.outbox();
                outbox.push_shared_begun(batch, range, count, content);
                outbox.set_blocked(true);
                true
            }
            Sent::Gone => false,
        }
    }

    /// Appends a slice of a broadcast to the outbox.
    pub fn push_shared(&mut self, batch: &Rc<Batch>, range: Range<usize>) {
        let content = self.broadcast_content();
        self.outbox().push_shared(batch, range, content);
    }

    /// Appends broadcast frames or events to the outbox, as a copy.
    pub fn push_broadcast(&mut self, bytes: &[u8]) {
        match self.broadcast_content() {
            Content::Events => self.outbox().push_events(bytes),
            _ => self.outbox().push_frames(bytes),
        }
    }

    /// The content of what is broadcast to this connection.
    fn broadcast_content(&self) -> Content {
        match self.phase {
            Phase::EventStream(_) => Content::Events,
            _ => Content::Frames,
        }
    }

    /// Writes the outbox, and frees it once it is empty.
    pub fn flush(&mut self, to: ConnectionId, transmit: &mut impl Transmit) -> Flushed {
        let Some(outbox) = &mut self.outbox else {
            return Flushed::Empty;
        };
        if outbox.is_blocked() {
            return Flushed::Blocked;
        }
        let flushed = outbox.flush(to, transmit);
        if flushed == Flushed::Empty {
            self.outbox = None;
        }
        flushed
    }

    /// Notes that the socket is writable again. True if the outbox has bytes to write.
    pub fn unblock(&mut self) -> bool {
        self.outbox
            .as_mut()
            .map(|outbox| outbox.set_blocked(false))
            .is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_stays_small() {
        assert!(
            size_of::<Connection>() <= 48,
            "{} bytes",
            size_of::<Connection>()
        );
    }
}
