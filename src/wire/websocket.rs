//! WebSocket (RFC 6455): the opening handshake's answer, frames out, messages in.
//!
//! Frames out are encoded here, once for all receivers: a server's frames carry no mask. Messages in are read by
//! tungstenite's `WebSocketContext`, which owns no stream and, here, no memory between messages.

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest as _, Sha1};
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

pub use super::close_code::CloseCode;
use super::walker::Walker;
use crate::ledger::{Held, Ledger};

/// What a server appends to the client's key (RFC 6455 section 1.3).
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest reason beside the code in a close frame (RFC 6455 section 5.5), in bytes.
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// A final text frame's first byte.
pub const TEXT: u8 = 0x81;
/// A final binary frame's first byte.
pub const BINARY: u8 = 0x82;
/// A close frame's first byte.
const CLOSE: u8 = 0x88;
/// A ping frame's first byte.
const PING: u8 = 0x89;

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
pub fn accept_value(key: &str) -> String {
    BASE64.encode(
        Sha1::new()
            .chain_update(key)
            .chain_update(ACCEPT_GUID)
            .finalize(),
    )
}

/// Whether a `Sec-WebSocket-Key` is 16 bytes in base64 (RFC 6455 section 4.2.1).
pub fn is_valid_key(key: &str) -> bool {
    key.len() == 24 && BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

/// Appends one unmasked frame (RFC 6455 section 5.2). `first` is [`TEXT`] or [`BINARY`].
pub fn encode(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    let length = payload.len();
    match length {
        0..=125 => out.extend_from_slice(&[first, length as u8]),
        126..=65_535 => {
            let [high, low] = (length as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Appends a close frame.
pub fn encode_close(CloseCode(code, reason): CloseCode, out: &mut Vec<u8>) {
    debug_assert!(reason.len() <= CLOSE_REASON_BYTES_MAX);
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    encode(CLOSE, &payload, out);
}

/// Appends an empty ping.
pub fn encode_ping(out: &mut Vec<u8>) {
    encode(PING, &[], out);
}

/// The length of our own frame that begins here, header and payload; the rest of the slice when it is cut short.
pub fn frame_len(bytes: &[u8]) -> usize {
    let length = match *bytes {
        [_, 126, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
        [_, 127, a, b, c, d, e, f, g, h, ..] => {
            10 + u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize
        }
        [_, length, ..] => 2 + usize::from(length),
        _ => bytes.len(),
    };
    length.min(bytes.len())
}

/// What a client sent.
#[derive(Debug)]
pub enum Incoming {
    /// A text or binary message, whole.
    Message(Message),
    /// A ping or pong; a ping has been answered.
    Control,
    /// The closing handshake is complete on our side: our close frame is among the replies.
    Closed,
}

/// The largest message and the read buffer, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverLimits {
    /// A message, and each frame of it.
    pub message_bytes: usize,
    /// What tungstenite reads at a time.
    pub read_bytes: usize,
}

/// Reads messages from a stream of client frames, in whatever pieces they come.
///
/// Between messages it hibernates: it holds nothing, and an idle connection costs 8 bytes here.
#[derive(Debug, Default)]
pub struct Receiver {
    awake: Option<Box<Awake>>,
}

#[derive(Debug)]
struct Awake {
    context: WebSocketContext,
    walker: Walker,
    /// Bytes that were walked over and not read.
    rest: Vec<u8>,
    limits: ReceiverLimits,
    held: Held,
}

impl Awake {
    fn new(limits: ReceiverLimits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(limits.read_bytes)
            .write_buffer_size(0)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes));
        Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            walker: Walker::default(),
            rest: Vec::new(),
            limits,
            held: Held::default(),
        }
    }

    /// The message under way as far as it may become one, and what waits behind it, in bytes.
    fn buffered_bytes(&self) -> usize {
        let message = usize::try_from(self.walker.message_bytes()).unwrap_or(usize::MAX);
        message.min(self.limits.message_bytes) + self.rest.len()
    }
}

/// One read's worth of bytes on its way through a [`Receiver`].
#[derive(Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    replies: Vec<u8>,
}

impl Input<'_> {
    /// What answered itself since the last call: pongs, a close frame.
    pub fn take_replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.replies)
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.read(buffer)
    }
}

impl Write for Input<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.replies.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Receiver {
    /// Takes the next bytes of the stream.
    pub fn begin<'a>(&mut self, limits: ReceiverLimits, bytes: &'a [u8]) -> Input<'a> {
        let mut readable = 0;
        if !bytes.is_empty() {
            readable = self
                .awake
                .get_or_insert_with(|| Box::new(Awake::new(limits)))
                .walker
                .advance(bytes);
        }
        Input {
            bytes: &bytes[..readable],
            replies: Vec::new(),
        }
    }

    /// Keeps the rest of the input for [`Self::take_rest`].
    pub fn keep_rest(&mut self, input: &Input<'_>) {
        if let Some(awake) = &mut self.awake {
            awake.rest = input.bytes.to_vec();
        }
    }

    /// What was kept, to be read as the next input.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.awake
            .as_mut()
            .map(|awake| std::mem::take(&mut awake.rest))
            .unwrap_or_default()
    }

    /// Goes on with bytes that were taken with [`Self::take_rest`].
    pub fn resume<'a>(&self, bytes: &'a [u8]) -> Input<'a> {
        Input {
            bytes,
            replies: Vec::new(),
        }
    }

    /// The next message in the input; `None` when it is used up.
    ///
    /// # Errors
    /// The close code with which the connection has to be failed (RFC 6455 section 7.1.7). Nothing more is read then.
    pub fn next(&mut self, input: &mut Input<'_>) -> Result<Option<Incoming>, CloseCode> {
        let Some(awake) = &mut self.awake else {
            return Ok(None);
        };
        match awake.context.read(input) {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                Ok(Some(Incoming::Message(message)))
            }
            Ok(_) => Ok(Some(Incoming::Control)),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if awake.walker.is_bad_text() {
                    return Err(CloseCode::INVALID_TEXT);
                }
                if awake.walker.is_bad_header() {
                    return Err(CloseCode::PROTOCOL_ERROR);
                }
                if awake.walker.is_at_rest() {
                    self.awake = None;
                }
                Ok(None)
            }
            Err(Error::ConnectionClosed) => {
                if awake.walker.close_code() == CloseCode::BAD_GATEWAY.0 {
                    // Pongs have left with earlier calls: only tungstenite's close frame is here.
                    input.replies.clear();
                    encode_close(CloseCode::BAD_GATEWAY, &mut input.replies);
                }
                Ok(Some(Incoming::Closed))
            }
            Err(Error::Utf8(_)) => Err(CloseCode::INVALID_TEXT),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                Err(CloseCode::MESSAGE_TOO_BIG)
            }
            Err(_) => Err(CloseCode::PROTOCOL_ERROR),
        }
    }

    /// Ends it; where the stream stands.
    pub fn take_walker(&mut self) -> Walker {
        self.awake
            .take()
            .map(|awake| awake.walker)
            .unwrap_or_default()
    }

    /// Bytes that came and wait for the end of their message, or to be read.
    pub fn buffered_bytes(&self) -> usize {
        self.awake
            .as_ref()
            .map_or(0, |awake| awake.buffered_bytes())
    }

    /// Enters the memory it takes in the ledger.
    pub fn account(&self, ledger: &Ledger) {
        if let Some(awake) = &self.awake {
            let idle = size_of::<Awake>() + awake.limits.read_bytes;
            awake.held.set(ledger, idle + awake.buffered_bytes());
        }
    }

    /// Whether it holds nothing.
    pub fn is_hibernating(&self) -> bool {
        self.awake.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ReceiverLimits = ReceiverLimits {
        message_bytes: 1000,
        read_bytes: 64,
    };

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        assert!(payload.len() < 126);
        let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    }

    fn read_all(
        receiver: &mut Receiver,
        bytes: &[u8],
        replies: &mut Vec<u8>,
    ) -> Result<Vec<String>, CloseCode> {
        let mut texts = Vec::new();
        let mut input = receiver.begin(LIMITS, bytes);
        while let Some(incoming) = {
            let next = receiver.next(&mut input);
            replies.extend(input.take_replies());
            next?
        } {
            match incoming {
                Incoming::Message(message) => texts.push(message.to_string()),
                Incoming::Control => texts.push("control".into()),
                Incoming::Closed => return Ok([texts, vec!["closed".into()]].concat()),
            }
        }
        Ok(texts)
    }

    #[test]
    fn the_accept_value_is_the_one_of_rfc_6455_section_1_3() {
        assert_eq!(
            accept_value("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert!(is_valid_key("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!is_valid_key("dGhlIHNhbXBsZSBub25jZQ"));
        assert!(!is_valid_key("dGhlIHNhbXBsZSBub25jZSEhISE="));
        assert!(!is_valid_key("dGhlIHNhbXBsZSBub25jZSEh"));
    }

    #[test]
    fn a_frame_of_ours_has_the_shortest_header_and_tells_its_length() {
        for (length, header) in [
            (0, &[TEXT, 0][..]),
            (125, &[TEXT, 125]),
            (126, &[TEXT, 126, 0, 126]),
            (65_535, &[TEXT, 126, 0xff, 0xff]),
            (65_536, &[TEXT, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            encode(TEXT, &vec![b'x'; length], &mut out);
            assert_eq!(&out[..header.len()], header);
            let whole = out.len();
            assert_eq!(whole, header.len() + length);
            assert_eq!(frame_len(&out[..whole - length / 2]), whole - length / 2);
            out.extend_from_slice(b"next");
            assert_eq!(frame_len(&out), whole);
        }
        assert_eq!(frame_len(&[TEXT]), 1);
        let mut out = Vec::new();
        encode_ping(&mut out);
        encode_close(CloseCode(4001, "x"), &mut out);
        assert_eq!(out, [PING, 0, CLOSE, 3, 0x0f, 0xa1, b'x']);
    }

    #[test]
    fn what_was_kept_of_an_input_is_read_later() {
        let mut receiver = Receiver::default();
        let bytes = [masked(TEXT, b"one"), masked(TEXT, b"two")].concat();
        let mut input = receiver.begin(
            ReceiverLimits {
                read_bytes: 9,
                ..LIMITS
            },
            &bytes,
        );
        assert!(matches!(
            receiver.next(&mut input),
            Ok(Some(Incoming::Message(_)))
        ));
        receiver.keep_rest(&input);
        let rest = receiver.take_rest();
        assert!(!rest.is_empty() && receiver.take_rest().is_empty());
        let mut input = receiver.resume(&rest);
        let next = receiver.next(&mut input);
        assert!(
            matches!(&next, Ok(Some(Incoming::Message(two))) if two.to_string() == "two"),
            "{next:?}"
        );
    }

    #[test]
    fn the_walker_knows_where_a_message_under_way_stands() {
        let mut receiver = Receiver::default();
        let bytes = masked(TEXT, b"one");
        assert_eq!(
            read_all(&mut receiver, &bytes[..5], &mut Vec::new()),
            Ok(vec![])
        );
        assert!(!receiver.take_walker().is_at_rest());
        assert!(receiver.take_walker().is_at_rest());
    }

    #[test]
    fn it_hibernates_between_messages_and_only_there() {
        let mut receiver = Receiver::default();
        let mut replies = Vec::new();
        let bytes = [masked(TEXT, "하나".as_bytes()), masked(TEXT, b"two")].concat();
        assert_eq!(
            read_all(&mut receiver, &bytes, &mut replies),
            Ok(vec!["하나".into(), "two".into()])
        );
        assert!(receiver.is_hibernating());
        assert_eq!(
            read_all(&mut receiver, &bytes[..5], &mut replies),
            Ok(vec![])
        );
        assert!(!receiver.is_hibernating());
        assert_eq!(
            read_all(&mut receiver, &bytes[5..], &mut replies),
            Ok(vec!["하나".into(), "two".into()])
        );
        assert!(receiver.is_hibernating());
        assert!(replies.is_empty());
    }

    #[test]
    fn a_ping_between_fragments_is_answered_at_once() {
        let mut receiver = Receiver::default();
        let mut replies = Vec::new();
        let bytes = [
            masked(0x01, b"frag"),
            masked(PING, b"x"),
            masked(0x80, b"ment"),
        ]
        .concat();
        assert_eq!(
            read_all(&mut receiver, &bytes, &mut replies),
            Ok(vec!["control".into(), "fragment".into()])
        );
        assert_eq!(replies, [0x8a, 1, b'x']);
    }

    #[test]
    fn a_close_is_answered_with_its_own_code_after_the_pong() {
        let mut receiver = Receiver::default();
        let mut replies = Vec::new();
        let bytes = [masked(PING, b""), masked(CLOSE, &1000u16.to_be_bytes())].concat();
        let expected = vec!["control".into(), "control".into(), "closed".into()];
        assert_eq!(read_all(&mut receiver, &bytes, &mut replies), Ok(expected));
        assert_eq!(replies, [0x8a, 0, 0x88, 2, 0x03, 0xe8]);
    }

    #[test]
    fn a_code_registered_after_the_rfc_is_answered_too() {
        let mut receiver = Receiver::default();
        let mut replies = Vec::new();
        let bytes = [masked(PING, b"p"), masked(CLOSE, &1014u16.to_be_bytes())].concat();
        let expected = vec!["control".into(), "control".into(), "closed".into()];
        assert_eq!(read_all(&mut receiver, &bytes, &mut replies), Ok(expected));
        assert_eq!(replies, [0x8a, 1, b'p', 0x88, 2, 0x03, 0xf6]);
    }

    #[test]
    fn failures_have_the_close_code_of_rfc_6455_section_7_4_1() {
        for (bytes, code) in [
            (masked(0x83, b""), CloseCode::PROTOCOL_ERROR),
            (masked(0xc1, b""), CloseCode::PROTOCOL_ERROR),
            (masked(0x80, b""), CloseCode::PROTOCOL_ERROR),
            (masked(0x09, b""), CloseCode::PROTOCOL_ERROR),
            (vec![TEXT, 1, b'x'], CloseCode::PROTOCOL_ERROR),
            (
                vec![TEXT, 0xfe, 0, 1, 0, 0, 0, 0, b'x'],
                CloseCode::PROTOCOL_ERROR,
            ),
            (masked(TEXT, b"\xff"), CloseCode::INVALID_TEXT),
            (
                vec![TEXT, 0xfe, 0x10, 0, 0, 0, 0, 0],
                CloseCode::MESSAGE_TOO_BIG,
            ),
        ] {
            assert_eq!(
                read_all(&mut Receiver::default(), &bytes, &mut Vec::new()),
                Err(code),
                "{bytes:x?}"
            );
        }
    }
}
