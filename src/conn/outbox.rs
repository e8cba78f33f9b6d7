//! The outbox of one connection: bytes to write to its peer, owned or shared with other connections.
//!
//! It exists only while there is something to write. A broadcast is not copied per receiver: it is one buffer, and the
//! outbox of each receiver that lags has a reference to it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

use super::transmit::{Sent, Transmit};
use crate::config::SLICES_PER_WRITE;
use crate::domain::ids::ConnectionId;
use crate::ledger::{Charge, Ledger};
use crate::wire::event_stream::{first_id, rest_of_event};
use crate::wire::websocket::frame_len;

/// Static content of at most this many bytes is copied into the last chunk.
const COPIED_BYTES_MAX: usize = 512;

/// A broadcast, encoded once for all its receivers. It is charged to the ledger once, when an outbox keeps it.
#[derive(Debug)]
pub struct Batch {
    /// The encoded frames or events.
    pub bytes: Vec<u8>,
    charge: Charge,
}

impl Batch {
    /// A batch that is in no outbox yet.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            charge: Charge::default(),
        }
    }

    /// Charges it to the ledger, once an outbox keeps it.
    pub fn charge(&self, ledger: &Ledger) {
        self.charge.set(ledger, self.bytes.capacity());
    }
}

/// Bytes to write to one peer, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// The bytes of its owned chunks; a partly written chunk counts in full.
    own_bytes: usize,
    charge: Charge,
    /// Bytes of replies to the peer's own requests, which do not count against a slow consumer.
    exempt_bytes: usize,
    /// The socket took only part of a write; the poll reports when it is writable again.
    is_blocked: bool,
}

#[derive(Debug)]
struct Chunk {
    data: Data,
    /// Where it begins: at the start of a frame, of an event or of a part of a response.
    begin: usize,
    /// Where the unwritten part starts.
    start: usize,
    end: usize,
    content: Content,
}

/// The content of a chunk, which determines where the chunk may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Part of an HTTP response: it may not be cut.
    Http,
    /// Whole WebSocket frames: it may be cut between two frames.
    Frames,
    /// Whole events of an event stream: it may be cut between two events.
    Events,
}

#[derive(Debug)]
enum Data {
    Own(Vec<u8>),
    Shared(Rc<Batch>),
    Static(&'static [u8]),
}

impl Chunk {
    fn new(data: Data, range: Range<usize>, content: Content) -> Self {
        Self {
            data,
            begin: range.start,
            start: range.start,
            end: range.end,
            content,
        }
    }

    fn all(&self) -> &[u8] {
        match &self.data {
            Data::Own(bytes) => bytes,
            Data::Shared(batch) => &batch.bytes,
            Data::Static(bytes) => bytes,
        }
    }

    fn rest(&self) -> &[u8] {
        &self.all()[self.start..self.end]
    }

    /// The memory that is freed with it, in bytes.
    fn own_bytes(&self) -> usize {
        match &self.data {
            Data::Own(bytes) => bytes.len(),
            Data::Shared(_) | Data::Static(_) => 0,
        }
    }
}

/// The result of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is written.
    Empty,
    /// The socket is full.
    Blocked,
    /// The connection is broken.
    Gone,
}

impl Outbox {
    /// Bytes to write.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges the memory it owns, which is all but the shared batches, to the ledger.
    pub fn charge(&self, ledger: &Ledger) {
        let places = self.chunks.capacity() * size_of::<Chunk>();
        self.charge
            .set(ledger, size_of::<Self>() + places + self.own_bytes);
    }

    /// Whether it has more than `bytes_max` to write, not counting exempt bytes.
    pub fn is_over(&self, bytes_max: usize) -> bool {
        self.bytes > bytes_max.saturating_add(self.exempt_bytes)
    }

    /// Whether an HTTP response is being written.
    pub fn holds_response(&self) -> bool {
        let front = self.chunks.front();
        front.is_some_and(|chunk| chunk.content == Content::Http)
    }

    /// Exempts this many more bytes from the limit of [`Self::is_over`].
    pub fn exempt(&mut self, bytes: usize) {
        self.exempt_bytes += bytes;
    }

    /// Whether nothing can be written until the socket becomes writable.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Notes whether the socket is full.
    pub fn set_blocked(&mut self, is_blocked: bool) {
        self.is_blocked = is_blocked;
    }

    /// Appends whole WebSocket frames for this peer alone.
    pub fn push_frames(&mut self, bytes: &[u8]) {
        self.push_own(bytes, Content::Frames);
    }

    /// Appends part of an HTTP response.
    pub fn push_http(&mut self, bytes: &[u8]) {
        self.push_own(bytes, Content::Http);
    }

    /// Appends static content, part of an HTTP response. Short content is copied: one more slice in a vectored write
    /// costs more.
    pub fn push_static(&mut self, bytes: &'static [u8]) {
        if bytes.len() <= COPIED_BYTES_MAX {
            return self.push_http(bytes);
        }
        self.push(Chunk::new(
            Data::Static(bytes),
            0..bytes.len(),
            Content::Http,
        ));
    }

    /// Appends events for this peer alone.
    pub fn push_events(&mut self, bytes: &[u8]) {
        self.push_own(bytes, Content::Events);
    }

    /// Appends a range of a batch.
    pub fn push_shared(&mut self, batch: &Rc<Batch>, range: Range<usize>, content: Content) {
        self.push(Chunk::new(Data::Shared(batch.clone()), range, content));
    }

    /// Appends a range of a batch of which the first `count` bytes are already sent.
    pub fn push_shared_begun(
        &mut self,
        batch: &Rc<Batch>,
        range: Range<usize>,
        count: usize,
        content: Content,
    ) {
        let mut chunk = Chunk::new(Data::Shared(batch.clone()), range, content);
        chunk.start += count;
        self.push(chunk);
    }

    fn push_own(&mut self, bytes: &[u8], content: Content) {
        if let Some(Chunk {
            data: Data::Own(last),
            end,
            content: same,
            ..
        }) = self.chunks.back_mut()
            && *same == content
        {
            last.extend_from_slice(bytes);
            *end += bytes.len();
            self.bytes += bytes.len();
            self.own_bytes += bytes.len();
        } else {
            self.push(Chunk::new(
                Data::Own(bytes.to_vec()),
                0..bytes.len(),
                content,
            ));
        }
    }

    fn push(&mut self, chunk: Chunk) {
        if chunk.start < chunk.end {
            self.bytes += chunk.end - chunk.start;
            self.own_bytes += chunk.own_bytes();
            self.chunks.push_back(chunk);
        }
    }

    /// The ID of the first event of which nothing is written yet.
    pub fn first_unsent_id(&self) -> Option<u64> {
        self.chunks.iter().find_map(|chunk| {
            let written = chunk.start - chunk.begin;
            let rest = rest_of_event(&chunk.all()[chunk.begin..chunk.end], written);
            first_id(&chunk.all()[chunk.start + rest..chunk.end])
        })
    }

    /// Drops every frame and event of which nothing is written yet, so that the next push follows the one under way.
    pub fn discard_unsent(&mut self) {
        // Only the front chunk can be partly written.
        let mut is_front = true;
        self.chunks.retain_mut(|chunk| {
            let is_begun = is_front && chunk.start > chunk.begin;
            is_front = false;
            match chunk.content {
                Content::Http => return true,
                _ if !is_begun => return false,
                Content::Frames => {
                    let mut end = chunk.begin;
                    while end < chunk.start {
                        end += frame_len(&chunk.all()[end..chunk.end]);
                    }
                    chunk.end = end;
                }
                Content::Events => {
                    let written = chunk.start - chunk.begin;
                    let rest = rest_of_event(&chunk.all()[chunk.begin..chunk.end], written);
                    chunk.end = chunk.start + rest;
                }
            }
            // The next push appends to these bytes.
            if let Data::Own(bytes) = &mut chunk.data {
                bytes.truncate(chunk.end);
            }
            chunk.start < chunk.end
        });
        self.bytes = self
            .chunks
            .iter()
            .map(|chunk| chunk.end - chunk.start)
            .sum();
        self.own_bytes = self.chunks.iter().map(Chunk::own_bytes).sum();
        self.chunks.shrink_to_fit();
        self.exempt_bytes = self.exempt_bytes.min(self.bytes);
    }

    /// Writes as much as the socket takes, in order and with as few writes as possible.
    pub fn flush(&mut self, to: ConnectionId, transmit: &mut impl Transmit) -> Flushed {
        while !self.chunks.is_empty() {
            let offered: usize;
            let sent = if let [chunk] = self.chunks.make_contiguous() {
                offered = chunk.rest().len();
                transmit.send(to, chunk.rest())
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
                let used = slices
                    .iter_mut()
                    .zip(&self.chunks)
                    .map(|(slice, chunk)| *slice = IoSlice::new(chunk.rest()));
                let count = used.count();
                offered = slices[..count].iter().map(|slice| slice.len()).sum();
                transmit.send_vectored(to, &slices[..count])
            };
            match sent {
                Sent::Bytes(count) => {
                    self.advance(count);
                    if count < offered {
                        self.is_blocked = true;
                        return Flushed::Blocked;
                    }
                }
                Sent::Gone => return Flushed::Gone,
            }
        }
        Flushed::Empty
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        self.exempt_bytes = self.exempt_bytes.min(self.bytes);
        while let Some(chunk) = self.chunks.front_mut() {
            let rest = chunk.end - chunk.start;
            if count < rest {
                chunk.start += count;
                return;
            }
            count -= rest;
            self.own_bytes -= chunk.own_bytes();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::websocket::{CloseCode, TEXT, encode, encode_close};

    /// A socket that takes a number of bytes and is then full.
    struct Pipe {
        taken: Vec<u8>,
        room: usize,
    }

    impl Transmit for Pipe {
        fn send(&mut self, _: ConnectionId, bytes: &[u8]) -> Sent {
            let count = bytes.len().min(self.room);
            self.taken.extend_from_slice(&bytes[..count]);
            self.room -= count;
            Sent::Bytes(count)
        }

        fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
            let all: Vec<u8> = slices
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .collect();
            self.send(to, &all)
        }

        fn shutdown(&mut self, _: ConnectionId) {}
    }

    fn frames(texts: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        texts
            .iter()
            .for_each(|text| encode(TEXT, text.as_bytes(), &mut out));
        out
    }

    #[test]
    fn what_waits_is_written_in_order_whatever_the_socket_takes() {
        let batch = Rc::new(Batch::new(frames(&["하나", "둘"])));
        let shared = &batch.bytes;
        let mut expected = b"HTTP".to_vec();
        expected.extend_from_slice(&frames(&["own"]));
        expected.extend_from_slice(shared);
        expected.extend_from_slice(b"static");
        for room in 1..=expected.len() {
            let mut outbox = Outbox::default();
            outbox.push_http(b"HTTP");
            outbox.push_frames(&frames(&["own"]));
            outbox.push_shared(&batch, 0..shared.len(), Content::Frames);
            outbox.push_static(b"static");
            assert_eq!(outbox.bytes(), expected.len());
            let mut pipe = Pipe {
                taken: Vec::new(),
                room,
            };
            while outbox.flush(ConnectionId(0), &mut pipe) == Flushed::Blocked {
                pipe.room = room;
            }
            assert_eq!(pipe.taken, expected);
            assert_eq!(outbox.bytes(), 0);
        }
    }

    #[test]
    fn what_is_queued_after_a_discard_follows_what_was_under_way() {
        let own = frames(&["first", "second", "third"]);
        let second = frames(&["first"]).len();
        let third = second + frames(&["second"]).len();
        for room in 0..own.len() {
            let mut outbox = Outbox::default();
            outbox.push_frames(&own);
            let mut pipe = Pipe {
                taken: Vec::new(),
                room,
            };
            outbox.flush(ConnectionId(0), &mut pipe);
            outbox.discard_unsent();
            outbox.push_frames(&frames(&["last"]));
            pipe.room = usize::MAX;
            assert_eq!(outbox.flush(ConnectionId(0), &mut pipe), Flushed::Empty);
            let kept = [0, second, third, own.len()]
                .into_iter()
                .find(|end| *end >= room)
                .expect("room is inside");
            let expected = [&own[..kept], &frames(&["last"])].concat();
            assert_eq!(pipe.taken, expected, "after {room} bytes");
        }
    }

    #[test]
    fn a_discarded_queue_ends_with_the_frame_under_way_then_the_close_frame() {
        let batch = Rc::new(Batch::new(frames(&["first", "second", "third"])));
        let shared = &batch.bytes;
        let second = frames(&["first"]).len();
        let third = second + frames(&["second"]).len();
        for room in 0..shared.len() {
            let mut outbox = Outbox::default();
            outbox.push_shared(&batch, 0..shared.len(), Content::Frames);
            outbox.push_frames(&frames(&["later"]));
            let mut pipe = Pipe {
                taken: Vec::new(),
                room,
            };
            outbox.flush(ConnectionId(0), &mut pipe);
            outbox.discard_unsent();
            let mut close = Vec::new();
            encode_close(CloseCode::SLOW_CONSUMER, &mut close);
            outbox.push_frames(&close);
            pipe.room = usize::MAX;
            assert_eq!(outbox.flush(ConnectionId(0), &mut pipe), Flushed::Empty);
            let kept = [0, second, third, shared.len()]
                .into_iter()
                .find(|end| *end >= room)
                .expect("room is inside");
            assert_eq!(
                pipe.taken,
                [&shared[..kept], &close[..]].concat(),
                "after {room} bytes"
            );
        }
    }
}
