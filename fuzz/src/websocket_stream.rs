//! A stream of WebSocket frames in any pieces: our reader, which keeps no state between messages, against a model that
//! sees the whole stream at once, and both against one `WebSocketContext` of tungstenite's.

use std::io::{self, ErrorKind, Read, Write};

use sarang::wire::frame::FrameLimits;
use sarang::wire::frame_reader::{FrameReader, Incoming, Unread};
use sarang::wire::websocket::{CloseCode, encode_close_answer, encode_pong};
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

use super::pieces::{pieces, split};

/// So small that short inputs reach the limit.
const MESSAGE_BYTES_MAX: usize = 300;

/// How a stream ends: it may go on, a close frame came, or it is failed with a code.
#[derive(Clone, Debug, PartialEq)]
enum End {
    Open,
    Closed,
    Failed(u16),
}

/// A message; control frames show in the replies.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Compressed(bool, Vec<u8>),
}

/// The result of a stream of frames.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    said: Vec<Said>,
    replies: Vec<u8>,
    end: End,
}

impl Outcome {
    fn new() -> Self {
        Self {
            said: Vec::new(),
            replies: Vec::new(),
            end: End::Open,
        }
    }
}

/// Fuzzes [`FrameReader`].
pub fn run(data: &[u8]) {
    let (stream, lengths) = split(data);
    for allows_rsv1 in [false, true] {
        let expected = model(stream, allows_rsv1);
        if !allows_rsv1 {
            compare(&expected, &tungstenite(stream), stream);
        }
        // With pauses between messages, as when the peer does not read our answers.
        for is_paused in [false, true] {
            let (outcome, is_hibernating) = receive(stream, lengths, allows_rsv1, is_paused);
            assert_eq!(outcome, expected);
            if outcome.end == End::Open {
                assert_eq!(is_hibernating, is_between_messages(stream));
            }
        }
    }
    discard(stream, lengths);
}

fn receive(stream: &[u8], lengths: &[u8], allows_rsv1: bool, is_paused: bool) -> (Outcome, bool) {
    let limits = FrameLimits {
        message_bytes: MESSAGE_BYTES_MAX,
        allows_rsv1,
    };
    let mut reader = FrameReader::default();
    let mut outcome = Outcome::new();
    for piece in pieces(stream, lengths) {
        let mut piece = piece.to_vec();
        let mut unread = Unread::default();
        let mut input = &mut piece[..];
        if is_paused {
            reader.keep_unread(input);
            unread = reader.take_unread();
            input = unread.rest();
        }
        loop {
            match reader.next(&mut input, limits) {
                Ok(None) => break,
                Ok(Some(incoming)) => outcome.take(incoming),
                Err(CloseCode(code, _)) => outcome.end = End::Failed(code),
            }
            if outcome.end != End::Open {
                return (outcome, false);
            }
            if is_paused {
                let left = input.len();
                reader.put_back_unread(unread, left);
                unread = reader.take_unread();
                input = unread.rest();
            }
        }
        assert!(reader.buffered_bytes() <= 3 * MESSAGE_BYTES_MAX);
    }
    (outcome, reader.is_hibernating())
}

impl Outcome {
    fn take(&mut self, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Text(text) => self.said.push(Said::Text(text.into())),
            Incoming::Binary(payload) => self.said.push(Said::Binary(payload.into())),
            Incoming::Compressed { is_text, payload } => {
                self.said.push(Said::Compressed(is_text, payload.into()))
            }
            Incoming::Ping(payload) => encode_pong(&payload, &mut self.replies),
            Incoming::Pong => {}
            Incoming::Close(payload) => {
                encode_close_answer(&payload, &mut self.replies);
                self.end = End::Closed;
            }
        }
    }
}

/// After our own close frame: the connection is over exactly when the peer's has come, or an invalid header.
fn discard(stream: &[u8], lengths: &[u8]) {
    let mut reader = FrameReader::default();
    let mut at = 0;
    let is_over = pieces(stream, lengths).any(|piece| {
        at += piece.len();
        assert_eq!(reader.buffered_bytes(), 0);
        reader.discard(&mut piece.to_vec())
    });
    assert_eq!(is_over, has_end(stream));
    assert!(!is_over || has_end(&stream[..at]));
}

/// Whether a stream has a complete close frame or an invalid header.
fn has_end(mut bytes: &[u8]) -> bool {
    let mut is_in_message = false;
    while let Some((frame, rest)) = read_frame(bytes) {
        if !frame.is_allowed(false, is_in_message) || (frame.opcode == 8 && frame.is_whole) {
            return true;
        }
        if frame.opcode < 8 {
            is_in_message = !frame.is_final;
        }
        bytes = rest;
    }
    false
}

/// The result of the stream by RFC 6455.
fn model(mut bytes: &[u8], allows_rsv1: bool) -> Outcome {
    let mut outcome = Outcome::new();
    let mut message: Option<(Frame, Vec<u8>)> = None;
    while outcome.end == End::Open
        && let Some((frame, rest)) = read_frame(bytes)
    {
        bytes = rest;
        let said = message.as_ref().map_or(0, |(_, payload)| payload.len()) as u64;
        outcome.end = match frame.opcode {
            _ if !frame.is_allowed(allows_rsv1, message.is_some()) => End::Failed(1002),
            8..=10 if !frame.is_whole => End::Open,
            8 => answer_close(&frame.payload, &mut outcome.replies),
            9 => {
                encode_pong(&frame.payload, &mut outcome.replies);
                End::Open
            }
            10 => End::Open,
            _ if said + frame.length > MESSAGE_BYTES_MAX as u64 => End::Failed(1009),
            _ => {
                let is_last = frame.is_final && frame.is_whole;
                let payload = frame.payload.clone();
                let (first, whole) = message.get_or_insert_with(|| (frame, Vec::new()));
                whole.extend(payload);
                let said = judge(first, whole, is_last);
                if is_last {
                    message = None;
                }
                match said {
                    Ok(said) => {
                        outcome.said.extend(said);
                        End::Open
                    }
                    Err(()) => End::Failed(1007),
                }
            }
        };
    }
    outcome
}

/// A message as far as it has come: its content after the last frame, an error when it cannot be text.
fn judge(first: &Frame, payload: &[u8], is_last: bool) -> Result<Option<Said>, ()> {
    let is_text = first.opcode == 1;
    let said = match (first.has_rsv1, is_text) {
        (true, _) => Said::Compressed(is_text, payload.to_vec()),
        (false, false) => Said::Binary(payload.to_vec()),
        (false, true) => match std::str::from_utf8(payload) {
            Ok(text) => Said::Text(text.to_owned()),
            Err(error) if error.error_len().is_none() && !is_last => return Ok(None),
            Err(_) => return Err(()),
        },
    };
    Ok(is_last.then_some(said))
}

fn answer_close(payload: &[u8], replies: &mut Vec<u8>) -> End {
    match payload {
        [_] => return End::Failed(1002),
        [_, _, reason @ ..] if std::str::from_utf8(reason).is_err() => return End::Failed(1007),
        [high, low, ..] => match u16::from_be_bytes([*high, *low]) {
            1000..=1003 | 1007..=1014 | 3000..=4999 => {
                replies.extend([0x88, payload.len() as u8]);
                replies.extend(payload);
            }
            _ => replies.extend(b"\x88\x14\x03\xeaProtocol violation"),
        },
        [] => replies.extend([0x88, 0]),
    }
    End::Closed
}

/// tungstenite accepts lengths in more bytes than needed, and checks a header and a message only when the whole payload
/// has come: up to there it sees the same.
fn compare(expected: &Outcome, other: &Outcome, stream: &[u8]) {
    if let End::Failed(_) = expected.end {
        assert!(other.said.starts_with(&expected.said));
        assert!(other.replies.starts_with(&expected.replies));
        return;
    }
    assert_eq!((&other.said, &other.end), (&expected.said, &expected.end));
    // tungstenite does not know this code, which IANA registered later: it is no protocol violation.
    let is_closed = expected.end == End::Closed;
    let is_bad_gateway = is_closed && expected.replies.windows(2).any(|code| code == [3, 0xf6]);
    if !is_bad_gateway {
        assert_eq!(other.replies, expected.replies, "{stream:02x?}");
    }
}

/// The whole stream, then no more input.
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

fn tungstenite(bytes: &[u8]) -> Outcome {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let replies = Vec::new();
    let mut whole = Whole { bytes, replies };
    let mut said = Vec::new();
    let end = loop {
        match context.read(&mut whole) {
            Ok(Message::Text(text)) => said.push(Said::Text(text.to_string())),
            Ok(Message::Binary(payload)) => said.push(Said::Binary(payload.to_vec())),
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break End::Open,
            Err(Error::ConnectionClosed) => break End::Closed,
            Err(Error::Utf8(_)) => break End::Failed(CloseCode::INVALID_TEXT.0),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                break End::Failed(CloseCode::MESSAGE_TOO_BIG.0);
            }
            Err(_) => break End::Failed(CloseCode::PROTOCOL_ERROR.0),
        }
    };
    let replies = whole.replies;
    Outcome { said, replies, end }
}

/// A frame, as far as it has come (RFC 6455 section 5.2).
struct Frame {
    opcode: u8,
    is_final: bool,
    has_rsv1: bool,
    /// Whether its header is well formed.
    is_well_formed: bool,
    length: u64,
    payload: Vec<u8>,
    is_whole: bool,
}

impl Frame {
    /// Whether a client may send a frame with this header at this point.
    fn is_allowed(&self, allows_rsv1: bool, is_in_message: bool) -> bool {
        let is_rsv1_good = !self.has_rsv1 || (allows_rsv1 && matches!(self.opcode, 1 | 2));
        let is_data = self.opcode < 8;
        let is_in_place = !is_data || (self.opcode == 0) == is_in_message;
        self.is_well_formed && is_rsv1_good && is_in_place
    }
}

/// The next frame and the bytes after it; `None` before its header is complete.
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
        has_rsv1: first & 0x40 != 0,
        length,
        is_well_formed: first & 0x30 == 0
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
