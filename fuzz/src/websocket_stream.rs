//! A stream of WebSocket frames in any pieces: our receiver, which forgets everything between messages, against one
//! `WebSocketContext` of tungstenite's that reads the whole stream.

use std::io::{self, ErrorKind, Read, Write};

use sarang::wire::websocket::{CloseCode, Incoming, Receiver, ReceiverLimits};
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

use super::pieces::{pieces, split};

/// So small that short inputs reach it.
const MESSAGE_BYTES_MAX: usize = 300;
const LIMITS: ReceiverLimits = ReceiverLimits {
    message_bytes: MESSAGE_BYTES_MAX,
    read_bytes: 64,
};

/// A close code that tungstenite does not know (RFC 6455 section 11.7, registered later).
const BAD_GATEWAY: u16 = 1014;

/// How a stream ends: it may go on, a close frame came, or it is failed with a code.
#[derive(Debug, PartialEq)]
enum End {
    Open,
    Closed,
    Failed(u16),
}

/// What a stream of frames comes to.
#[derive(Debug)]
struct Outcome {
    /// `None` for a control frame.
    messages: Vec<Option<Message>>,
    replies: Vec<u8>,
    end: End,
}

/// Fuzzes [`Receiver`].
pub fn run(data: &[u8]) {
    let (stream, lengths) = split(data);
    let readable = before_bad_header(stream);
    let mut expected = expect(readable);
    if readable.len() < stream.len() && expected.end == End::Open {
        // tungstenite notices it later, or not at all.
        expected.end = End::Failed(CloseCode::PROTOCOL_ERROR.0);
    }
    let is_bad_text = has_bad_text(readable);
    // With pauses between messages, as when the peer does not read our answers.
    for is_paused in [false, true] {
        let (outcome, is_hibernating) = receive(stream, lengths, is_paused);
        if outcome.end == End::Failed(CloseCode::INVALID_TEXT.0) {
            // Ours may fail earlier, in the middle of a frame, but not for nothing.
            assert!(is_bad_text);
            assert!(expected.messages.starts_with(&outcome.messages));
            assert!(expected.replies.starts_with(&outcome.replies));
            continue;
        }
        assert_eq!(outcome.messages, expected.messages);
        assert_eq!(outcome.replies, expected.replies);
        assert_eq!(outcome.end, expected.end);
        if outcome.end == End::Open {
            assert!(!is_bad_text);
            assert_eq!(is_hibernating, is_between_messages(stream));
        }
    }
}

fn receive(stream: &[u8], lengths: &[u8], is_paused: bool) -> (Outcome, bool) {
    let mut receiver = Receiver::default();
    let mut outcome = Outcome {
        messages: Vec::new(),
        replies: Vec::new(),
        end: End::Open,
    };
    for piece in pieces(stream, lengths) {
        let mut rest;
        let mut input = receiver.begin(LIMITS, piece);
        loop {
            let next = receiver.next(&mut input);
            outcome.replies.extend(input.take_replies());
            match next {
                Ok(None) => break,
                Ok(Some(Incoming::Message(message))) => outcome.messages.push(Some(message)),
                Ok(Some(Incoming::Control)) => outcome.messages.push(None),
                Ok(Some(Incoming::Closed)) => outcome.end = End::Closed,
                Err(code) => outcome.end = End::Failed(code.0),
            }
            if outcome.end != End::Open {
                return (outcome, false);
            }
            if is_paused {
                receiver.keep_rest(&input);
                rest = receiver.take_rest();
                input = receiver.resume(&rest);
            }
        }
    }
    let is_hibernating = receiver.is_hibernating();
    (outcome, is_hibernating)
}

/// The whole stream, at whose end there is nothing yet.
struct Whole<'a> {
    bytes: &'a [u8],
    replies: Vec<u8>,
}

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.bytes.is_empty() {
            true => Err(ErrorKind::WouldBlock.into()),
            false => self.bytes.read(buffer),
        }
    }
}

impl Write for Whole<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.replies.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn expect(bytes: &[u8]) -> Outcome {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let replies = Vec::new();
    let mut whole = Whole { bytes, replies };
    let mut messages = Vec::new();
    let end = loop {
        let replied = whole.replies.len();
        match context.read(&mut whole) {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => messages.push(Some(message)),
            Ok(_) => messages.push(None),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break End::Open,
            Err(Error::ConnectionClosed) => {
                if close_code(bytes) == Some(BAD_GATEWAY) {
                    // It is answered like any other.
                    whole.replies.truncate(replied);
                    whole.replies.extend([0x88, 2, 0x03, 0xf6]);
                }
                break End::Closed;
            }
            Err(Error::Utf8(_)) => break End::Failed(CloseCode::INVALID_TEXT.0),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                break End::Failed(CloseCode::MESSAGE_TOO_BIG.0);
            }
            Err(_) => break End::Failed(CloseCode::PROTOCOL_ERROR.0),
        }
    };
    Outcome {
        messages,
        replies: whole.replies,
        end,
    }
}

/// A frame, as far as it has come (RFC 6455 section 5.2).
struct Frame {
    opcode: u8,
    is_final: bool,
    /// Whether a client may send it somewhere.
    is_allowed: bool,
    payload: Vec<u8>,
    is_whole: bool,
}

/// The next frame and what follows; `None` before its header is whole.
fn read_frame(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let (length, at) = match second & 0x7f {
        126 => (number(bytes.get(2..4)?), 4),
        127 => (number(bytes.get(2..10)?), 10),
        length => (u64::from(length), 2),
    };
    let (mask, at) = match second & 0x80 {
        0 => ([0; 4], at),
        _ => (bytes.get(at..at + 4)?.try_into().ok()?, at + 4),
    };
    let rest = &bytes[at..];
    let taken = usize::try_from(length).map_or(rest.len(), |length| length.min(rest.len()));
    let payload = rest[..taken].iter().zip(mask.iter().cycle());
    let frame = Frame {
        opcode: first & 0x0f,
        is_final: first & 0x80 != 0,
        is_allowed: first & 0x70 == 0
            && second & 0x80 != 0
            && matches!(first & 0x0f, 0..=2 | 8..=10)
            && (first & 0x08 == 0 || (first & 0x80 != 0 && length <= 125))
            && match second & 0x7f {
                126 => length > 125,
                127 => length > 65_535 && length >> 63 == 0,
                _ => true,
            },
        payload: payload.map(|(byte, mask)| byte ^ mask).collect(),
        is_whole: taken as u64 == length,
    };
    Some((frame, &rest[taken..]))
}

/// The stream up to the first frame that may not stand where it does.
fn before_bad_header(stream: &[u8]) -> &[u8] {
    let mut bytes = stream;
    let mut is_in_message = false;
    while let Some((frame, rest)) = read_frame(bytes) {
        let is_data = frame.opcode < 8;
        if !frame.is_allowed || (is_data && (frame.opcode == 0) != is_in_message) {
            break;
        }
        if is_data {
            is_in_message = !frame.is_final;
        }
        bytes = rest;
        if !frame.is_whole {
            break;
        }
    }
    let has_bad = read_frame(bytes).is_some();
    &stream[..stream.len() - if has_bad { bytes.len() } else { 0 }]
}

/// The code of the first close frame.
fn close_code(mut bytes: &[u8]) -> Option<u16> {
    while let Some((frame, rest)) = read_frame(bytes) {
        if frame.opcode == 8 {
            return frame.payload.first_chunk().copied().map(u16::from_be_bytes);
        }
        bytes = rest;
    }
    None
}

/// Whether some text of the stream, as far as it has come, cannot become UTF-8.
fn has_bad_text(mut bytes: &[u8]) -> bool {
    let mut message: Option<(bool, Vec<u8>)> = None;
    while let Some((frame, rest)) = read_frame(bytes) {
        bytes = rest;
        if frame.opcode >= 8 {
            // The reason in a close frame is text, too.
            let reason = frame
                .payload
                .get(2..)
                .filter(|_| frame.opcode == 8 && frame.is_whole);
            if reason.is_some_and(|reason| std::str::from_utf8(reason).is_err()) {
                return true;
            }
            continue;
        }
        let (is_text, text) = message.get_or_insert_with(|| (frame.opcode == 1, Vec::new()));
        text.extend(frame.payload);
        let is_last = frame.is_final && frame.is_whole;
        let is_bad = match std::str::from_utf8(text) {
            Ok(_) => false,
            Err(error) => error.error_len().is_some() || is_last,
        };
        if *is_text && is_bad {
            return true;
        }
        if is_last {
            message = None;
        }
    }
    false
}

/// Whether the stream ends between two messages.
fn is_between_messages(mut bytes: &[u8]) -> bool {
    let mut is_open = false;
    while let Some((frame, rest)) = read_frame(bytes) {
        if !frame.is_whole {
            return false;
        }
        if frame.opcode < 8 {
            is_open = !frame.is_final;
        }
        bytes = rest;
    }
    bytes.is_empty() && !is_open
}
