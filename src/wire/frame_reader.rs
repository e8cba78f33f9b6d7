//! Reads a client's WebSocket frames (RFC 6455 section 5) in the buffer into which they were received.
//!
//! Each byte is processed once: a message that is complete in the buffer is unmasked in place and borrowed from there.
//! Only a message split over reads or fragments is copied. The memory for it grows with the bytes received, never with
//! the length a header announces. Between messages a reader owns no memory.

use std::borrow::Cow;
use std::mem;

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::close_code::CloseCode;
use super::frame::{Frame, FrameLimits, HeaderStart};
use super::text::Text;
use crate::ledger::{Charge, Ledger};

#[cfg(test)]
mod tests;

/// A message or a control frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'b> {
    /// A complete text message.
    Text(Cow<'b, str>),
    /// A complete binary message.
    Binary(Cow<'b, [u8]>),
    /// A complete message with RSV1 in its first frame: the negotiated extension defines the payload (RFC 7692 section
    /// 6), so that of a text message is not validated as UTF-8.
    Compressed {
        /// Whether it is a text message, else a binary one.
        is_text: bool,
        /// The unmasked payload, still compressed.
        payload: Cow<'b, [u8]>,
    },
    /// A ping, to be answered with a pong of the same payload (RFC 6455 section 5.5.2).
    Ping(Cow<'b, [u8]>),
    /// A pong.
    Pong,
    /// A close frame: empty, or a code and a reason in UTF-8. The code may be one that an endpoint may not send.
    Close(Cow<'b, [u8]>),
}

/// Reads messages from a stream of client frames that arrives in any pieces. An idle reader takes 8 bytes.
#[derive(Debug, Default)]
pub struct FrameReader {
    under_way: Option<Box<UnderWay>>,
}

/// The state that exists only in the middle of a frame or a message, or while input is kept.
#[derive(Debug, Default)]
struct UnderWay {
    header: HeaderStart,
    /// The frame whose payload is incomplete.
    frame: Option<Frame>,
    /// Whether the stream is between the fragments of a message (RFC 6455 section 5.4).
    is_in_message: bool,
    message: Option<Message>,
    /// The payload received so far of an incomplete control frame.
    control: Vec<u8>,
    /// Input kept to be read later.
    unread: Unread,
    charge: Charge,
}

/// Kept input. Its first part may have been read since: what is left is not copied each time some of it is read.
#[derive(Debug, Default)]
pub struct Unread {
    bytes: Vec<u8>,
    read: usize,
}

impl Unread {
    /// The bytes that are not read.
    pub fn rest(&mut self) -> &mut [u8] {
        &mut self.bytes[self.read..]
    }

    fn is_empty(&self) -> bool {
        self.read == self.bytes.len()
    }
}

impl UnderWay {
    fn is_at_rest(&self) -> bool {
        self.header.is_empty()
            && self.frame.is_none()
            && !self.is_in_message
            && self.unread.is_empty()
    }

    fn buffered_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Message::capacity);
        message + self.control.capacity() + self.unread.bytes.capacity()
    }
}

impl FrameReader {
    /// The next message or control frame; `None` when the input is used up. The bytes read are removed from the input.
    ///
    /// # Errors
    /// The close code with which to fail the connection (RFC 6455 section 7.1.7): 1002, 1007 or 1009, at the first byte
    /// that violates the protocol. The reader must not be used for messages after that.
    pub fn next<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: FrameLimits,
    ) -> Result<Option<Incoming<'b>>, CloseCode> {
        while let Some(mut frame) = self.next_frame(input, limits)? {
            let payload = frame.take_payload(input);
            let payload = frame.unmask(payload);
            let incoming = match frame.opcode {
                OpCode::Data(data) => self.take_data(frame, data, payload)?,
                OpCode::Control(control) => self.take_control(frame, control, payload)?,
            };
            if incoming.is_some() {
                return Ok(incoming);
            }
        }
        self.hibernate();
        Ok(None)
    }

    /// Reads and drops frames after our own close frame. True when the peer's close frame is complete or a header is
    /// invalid: there is nothing more to wait for.
    pub fn discard(&mut self, mut input: &mut [u8]) -> bool {
        loop {
            let Ok(next) = self.next_frame(&mut input, FrameLimits::DISCARDED) else {
                return true;
            };
            let Some(mut frame) = next else {
                self.hibernate();
                return false;
            };
            frame.take_payload(&mut input);
            if frame.remaining > 0 {
                self.wake().frame = Some(frame);
            } else if frame.opcode == OpCode::Control(Control::Close) {
                return true;
            } else if matches!(frame.opcode, OpCode::Data(_)) {
                self.set_in_message(!frame.is_final);
            }
        }
    }

    /// Drops the message being received, and passes the kept input to [`Self::discard`].
    pub fn start_discarding(&mut self) -> bool {
        let Some(under_way) = &mut self.under_way else {
            return false;
        };
        let mut unread = mem::take(&mut under_way.unread);
        **under_way = UnderWay {
            header: under_way.header,
            frame: under_way.frame,
            is_in_message: under_way.is_in_message,
            ..UnderWay::default()
        };
        self.discard(unread.rest())
    }

    /// Keeps input that cannot be read yet, behind input kept earlier, for [`Self::take_unread`].
    pub fn keep_unread(&mut self, input: &[u8]) {
        match input {
            [] => self.hibernate(),
            _ => self.wake().unread.bytes.extend_from_slice(input),
        }
    }

    /// Puts kept input back of which all but the last `left` bytes were read.
    pub fn put_back_unread(&mut self, mut unread: Unread, left: usize) {
        match left {
            0 => self.hibernate(),
            _ => {
                unread.read = unread.bytes.len() - left;
                self.wake().unread = unread;
            }
        }
    }

    /// Whether input is kept, which has to be read before any new input.
    pub fn has_unread(&self) -> bool {
        let under_way = self.under_way.as_ref();
        under_way.is_some_and(|under_way| !under_way.unread.is_empty())
    }

    /// The kept input, to be read before any new input. What is left of it goes to [`Self::put_back_unread`].
    pub fn take_unread(&mut self) -> Unread {
        let under_way = self.under_way.as_mut();
        under_way.map_or_else(Unread::default, |under_way| {
            mem::take(&mut under_way.unread)
        })
    }

    /// The memory of incomplete messages and kept input, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        let under_way = self.under_way.as_ref();
        under_way.map_or(0, |under_way| under_way.buffered_bytes())
    }

    /// Charges the memory it takes to the ledger.
    pub fn charge(&self, ledger: &Ledger) {
        if let Some(under_way) = &self.under_way {
            let bytes = size_of::<UnderWay>() + under_way.buffered_bytes();
            under_way.charge.set(ledger, bytes);
        }
    }

    /// Whether it owns no memory: it is between messages and keeps no input.
    pub fn is_hibernating(&self) -> bool {
        self.under_way.is_none()
    }

    fn wake(&mut self) -> &mut UnderWay {
        self.under_way.get_or_insert_default()
    }

    fn hibernate(&mut self) {
        self.under_way.take_if(|under_way| under_way.is_at_rest());
    }

    fn set_in_message(&mut self, is_in_message: bool) {
        if is_in_message || self.under_way.is_some() {
            self.wake().is_in_message = is_in_message;
        }
    }

    /// The frame whose payload comes next in the input: the one being received, or a new one. `None` if the input ends
    /// within the header.
    fn next_frame(
        &mut self,
        input: &mut &mut [u8],
        limits: FrameLimits,
    ) -> Result<Option<Frame>, CloseCode> {
        if input.is_empty() {
            return Ok(None);
        }
        let Some(under_way) = &mut self.under_way else {
            let mut header = HeaderStart::default();
            let next = header.read(input);
            if next.is_none() {
                self.wake().header = header;
            }
            return next.map(|next| next.check(limits, None)).transpose();
        };
        if let Some(frame) = under_way.frame.take() {
            return Ok(Some(frame));
        }
        let next = under_way.header.read(input);
        let bytes = under_way.message.as_ref().map_or(0, Message::len);
        let message = under_way.is_in_message.then_some(bytes);
        next.map(|next| next.check(limits, message)).transpose()
    }

    fn take_data<'b>(
        &mut self,
        frame: Frame,
        data: Data,
        payload: &'b [u8],
    ) -> Result<Option<Incoming<'b>>, CloseCode> {
        let is_whole = frame.is_final && frame.remaining == 0;
        let kept = self.under_way.as_mut();
        if is_whole && kept.is_none_or(|under_way| under_way.message.is_none()) {
            return borrow_message(frame, data, payload).map(Some);
        }
        let under_way = self.wake();
        let message = under_way
            .message
            .get_or_insert_with(|| Message::new(frame, data));
        message.push(payload)?;
        if frame.remaining > 0 {
            under_way.frame = Some(frame);
            return Ok(None);
        }
        under_way.is_in_message = !frame.is_final;
        let message = under_way.message.take_if(|_| frame.is_final);
        message.map(Message::finish).transpose()
    }

    fn take_control<'b>(
        &mut self,
        frame: Frame,
        control: Control,
        payload: &'b [u8],
    ) -> Result<Option<Incoming<'b>>, CloseCode> {
        let Some(payload) = self.whole_control(frame, payload) else {
            return Ok(None);
        };
        match control {
            Control::Ping => Ok(Some(Incoming::Ping(payload))),
            Control::Pong => Ok(Some(Incoming::Pong)),
            Control::Close => {
                check_close(&payload)?;
                Ok(Some(Incoming::Close(payload)))
            }
            Control::Reserved(_) => Err(CloseCode::PROTOCOL_ERROR),
        }
    }

    /// The payload of a control frame, if it is complete.
    fn whole_control<'b>(&mut self, frame: Frame, payload: &'b [u8]) -> Option<Cow<'b, [u8]>> {
        let kept = self.under_way.as_ref();
        let is_begun = kept.is_some_and(|under_way| !under_way.control.is_empty());
        if frame.remaining == 0 && !is_begun {
            return Some(payload.into());
        }
        let under_way = self.wake();
        under_way.control.extend_from_slice(payload);
        if frame.remaining > 0 {
            under_way.frame = Some(frame);
            return None;
        }
        Some(mem::take(&mut under_way.control).into())
    }
}

/// A message that is complete in the buffer, borrowed from there.
fn borrow_message(frame: Frame, data: Data, payload: &[u8]) -> Result<Incoming<'_>, CloseCode> {
    let is_text = data == Data::Text;
    Ok(match (frame.has_rsv1, is_text) {
        (true, _) => Incoming::Compressed {
            is_text,
            payload: payload.into(),
        },
        (false, true) => {
            let text = str::from_utf8(payload).map_err(|_| CloseCode::INVALID_TEXT)?;
            Incoming::Text(text.into())
        }
        (false, false) => Incoming::Binary(payload.into()),
    })
}

/// A close frame has no payload, or a code and a reason (RFC 6455 section 5.5.1).
fn check_close(payload: &[u8]) -> Result<(), CloseCode> {
    match payload {
        [] => Ok(()),
        [_] => Err(CloseCode::PROTOCOL_ERROR),
        [_, _, reason @ ..] => str::from_utf8(reason)
            .map(drop)
            .map_err(|_| CloseCode::INVALID_TEXT),
    }
}

/// The payload received so far of an incomplete message.
#[derive(Debug)]
enum Message {
    Text(Text),
    Binary(Vec<u8>),
    Compressed { is_text: bool, payload: Vec<u8> },
}

impl Message {
    fn new(frame: Frame, data: Data) -> Self {
        let is_text = data == Data::Text;
        match (frame.has_rsv1, is_text) {
            (true, _) => Self::Compressed {
                is_text,
                payload: Vec::new(),
            },
            (false, true) => Self::Text(Text::default()),
            (false, false) => Self::Binary(Vec::new()),
        }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), CloseCode> {
        match self {
            Self::Text(text) => text.push(piece).map_err(|_| CloseCode::INVALID_TEXT)?,
            Self::Binary(payload) | Self::Compressed { payload, .. } => {
                payload.extend_from_slice(piece)
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Incoming<'static>, CloseCode> {
        Ok(match self {
            Self::Text(text) => {
                let text = text.finish().map_err(|_| CloseCode::INVALID_TEXT)?;
                Incoming::Text(text.into())
            }
            Self::Binary(payload) => Incoming::Binary(payload.into()),
            Self::Compressed { is_text, payload } => Incoming::Compressed {
                is_text,
                payload: payload.into(),
            },
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(payload) | Self::Compressed { payload, .. } => payload.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(payload) | Self::Compressed { payload, .. } => payload.capacity(),
        }
    }
}
