//! Floor 2, one peer: what it speaks and what waits for it. A connection knows no other.

pub mod http;
pub mod outbox;
pub mod refusal;
pub mod transmit;
pub mod websocket;

use std::ops::Range;
use std::rc::Rc;

use crate::domain::event_log::Channel;
use crate::domain::ids::ConnectionId;
use crate::ledger::Ledger;
use crate::wire::walker::Walker;
use http::Http;
use outbox::{Batch, Content, Flushed, Outbox};
use transmit::{Sent, Transmit};
use websocket::WebSocket;

/// One connection. An idle WebSocket is nothing but this.
#[derive(Debug)]
pub struct Connection {
    /// What it speaks.
    pub phase: Phase,
    outbox: Option<Box<Outbox>>,
    /// When its deadline strikes, in ticks.
    pub due: u32,
    /// When the deadlines look at it next, in ticks; never later than `due`.
    pub queued: u32,
    /// When something last came from it, in ticks.
    pub heard: u32,
    /// Whether it is in the list of those to flush.
    pub is_listed: bool,
    /// Whether reading waits until its outbox is below the high-water mark.
    pub is_paused: bool,
    /// Whether the peer has ended its direction.
    pub is_half_closed: bool,
}

/// An event stream: what it tells, and whether in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventStream {
    /// What it tells.
    pub channel: Channel,
    /// Whether in chunks (HTTP/1.1).
    pub is_chunked: bool,
}

/// The life of a connection; it only goes down this list.
#[derive(Debug)]
pub enum Phase {
    /// Requests and responses.
    Http(Box<Http>),
    /// Messages both ways.
    WebSocket(WebSocket),
    /// Events one way.
    EventStream(EventStream),
    /// Our close frame is queued or sent; the peer's is awaited.
    Closing(Box<Walker>),
    /// What is queued goes out, then our direction ends; what comes is discarded until the peer's direction ends.
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
            queued: u32::MAX,
            heard: 0,
            is_listed: false,
            is_paused: false,
            is_half_closed: false,
        }
    }

    /// What waits for the peer; made when it is first needed.
    pub fn outbox(&mut self) -> &mut Outbox {
        self.outbox.get_or_insert_default()
    }

    /// Bytes that wait for the peer.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// Whether more waits for the peer than may, beside answers to its own requests.
    pub fn is_over(&self, bytes_max: usize) -> bool {
        self.outbox
            .as_ref()
            .is_some_and(|outbox| outbox.is_over(bytes_max))
    }

    /// Whether the socket has to become writable before anything can be written.
    pub fn is_blocked(&self) -> bool {
        self.outbox
            .as_ref()
            .is_some_and(|outbox| outbox.is_blocked())
    }

    /// Bytes that wait for the peer, or came from it and wait for their end.
    pub fn buffered_bytes(&self) -> usize {
        let received = match &self.phase {
            Phase::Http(http) => http.buffered_bytes(),
            Phase::WebSocket(websocket) => websocket.receiver.buffered_bytes(),
            _ => 0,
        };
        self.queued_bytes() + received
    }

    /// Enters what waits for the peer in the ledger.
    pub fn account_queued(&self, ledger: &Ledger) {
        if let Some(outbox) = &self.outbox {
            outbox.account(ledger);
        }
    }

    /// Enters what came from the peer and waits for its end.
    pub fn account_received(&self, ledger: &Ledger) {
        match &self.phase {
            Phase::Http(http) => http.account(ledger),
            Phase::WebSocket(websocket) => websocket.receiver.account(ledger),
            _ => {}
        }
    }

    /// Whether an HTTP response waits for the peer to take it.
    pub fn owes_response(&self) -> bool {
        self.outbox
            .as_ref()
            .is_some_and(|outbox| outbox.holds_response())
    }

    /// Forgets whatever waits.
    pub fn drop_outbox(&mut self) {
        self.outbox = None;
    }

    /// Sends a slice of a broadcast at once when nothing waits, else queues it. False when the connection is broken.
    #[inline]
    pub fn deliver(
        &mut self,
        to: ConnectionId,
        batch: &Rc<Batch>,
        range: Range<usize>,
        transmit: &mut impl Transmit,
    ) -> bool {
        let content = match self.phase {
            Phase::EventStream(_) => Content::Events,
            _ => Content::Frames,
        };
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

    /// Writes what waits. The outbox is freed when nothing does.
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

    /// The socket takes bytes again; true when some wait.
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
