//! WebSocket (RFC 6455): the server's part of the opening handshake, and the encoder of frames. Frames of clients are
//! read by [`FrameReader`](super::frame_reader::FrameReader).
//!
//! A frame is encoded once for all receivers, because a server's frames are not masked.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD as BASE64};
use sha1::{Digest as _, Sha1};

pub use super::close_code::CloseCode;

/// The GUID a server appends to the client's key (RFC 6455 section 1.3).
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest reason in a close frame (RFC 6455 section 5.5), in bytes.
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// The subprotocol of the chat, and of the echo for those who insist on one (RFC 6455 section 1.9).
pub const SUBPROTOCOL: &str = "sarang.v1";

/// The first byte of a final text frame.
pub const TEXT: u8 = 0x81;
/// The first byte of a final binary frame.
pub const BINARY: u8 = 0x82;
/// The first byte of a close frame.
const CLOSE: u8 = 0x88;
/// The first byte of a ping frame.
const PING: u8 = 0x89;
/// The first byte of a pong frame.
const PONG: u8 = 0x8a;

/// The `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
pub fn accept_value(key: &str) -> String {
    BASE64.encode(
        Sha1::new()
            .chain_update(key)
            .chain_update(ACCEPT_GUID)
            .finalize(),
    )
}

/// The decoder of keys. The last character of 16 bytes has four unused bits; the example of RFC 6455 section 1.3 has
/// them zero, that of section 4.1 (`AQIDBAUGBwgJCgsMDQ4PEC==`) has not.
const KEYS: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// Whether a `Sec-WebSocket-Key` is 16 bytes in base64 (RFC 6455 section 4.2.1).
pub fn is_valid_key(key: &str) -> bool {
    key.len() == 24 && KEYS.decode(key).is_ok_and(|nonce| nonce.len() == 16)
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
    encode_close_because(code, reason, out);
}

/// Appends a close frame with this reason, or as much of it as fits.
pub fn encode_close_because(code: u16, reason: &str, out: &mut Vec<u8>) {
    let mut payload = code.to_be_bytes().to_vec();
    let most = reason.len().min(CLOSE_REASON_BYTES_MAX);
    let mut ends = (0..=most).rev();
    let end = ends.find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    encode(CLOSE, &payload, out);
}

/// Appends the reply to a peer's close frame, whose `payload` is well formed (RFC 6455 section 5.5.1): the same code
/// and reason, or [`CloseCode::INVALID_CODE`] if an endpoint may not send that code.
pub fn encode_close_answer(payload: &[u8], out: &mut Vec<u8>) {
    match payload.first_chunk() {
        Some(code) if !CloseCode::may_be_sent(u16::from_be_bytes(*code)) => {
            encode_close(CloseCode::INVALID_CODE, out)
        }
        _ => encode(CLOSE, payload, out),
    }
}

/// Appends a pong with the payload of its ping (RFC 6455 section 5.5.3).
pub fn encode_pong(payload: &[u8], out: &mut Vec<u8>) {
    encode(PONG, payload, out);
}

/// Appends an empty ping.
pub fn encode_ping(out: &mut Vec<u8>) {
    encode(PING, &[], out);
}

/// The length of the unmasked frame at the start of `bytes`, header and payload; that of `bytes` if it is cut short.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_the_one_of_rfc_6455_section_1_3() {
        assert_eq!(
            accept_value("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn a_key_is_16_bytes_whatever_its_unused_bits() {
        for good in [
            "dGhlIHNhbXBsZSBub25jZQ==",
            "AQIDBAUGBwgJCgsMDQ4PEC==",
            "AQIDBAUGBwgJCgsMDQ4PEA==",
            "//////////////////////==",
        ] {
            assert!(is_valid_key(good), "{good}");
        }
        for bad in [
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZSEhISE=",
            "dGhlIHNhbXBsZSBub25jZSEh",
            "dGhlIHNhbXBsZSBub25jZSE=",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25j====",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub25j-_==",
            "dGhlIHNhbXBsZSBub25j!!==",
            "dGhlIHNhbXBs ZSBub25jZQ==",
        ] {
            assert!(!is_valid_key(bad), "{bad}");
        }
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
    fn a_close_is_answered_by_its_own_payload_unless_its_code_may_not_be_sent() {
        let answer = |payload: &[u8]| {
            let mut out = Vec::new();
            encode_close_answer(payload, &mut out);
            out
        };
        assert_eq!(answer(b""), [CLOSE, 0]);
        assert_eq!(answer(b"\x03\xe8"), *b"\x88\x02\x03\xe8");
        assert_eq!(answer(b"\x03\xf6why"), *b"\x88\x05\x03\xf6why");
        assert_eq!(answer(b"\x0b\xb8"), *b"\x88\x02\x0b\xb8");
        for payload in [
            b"\x03\xed",
            b"\x03\xe7",
            b"\x00\x00",
            b"\x13\x88",
            b"\xff\xff",
        ] {
            assert_eq!(answer(payload), *b"\x88\x14\x03\xeaProtocol violation");
        }
    }

    #[test]
    fn a_pong_has_the_payload_of_its_ping() {
        let mut out = Vec::new();
        encode_pong(b"ping", &mut out);
        assert_eq!(out, *b"\x8a\x04ping");
    }
}
