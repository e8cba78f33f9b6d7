//! WebSocket frames written and read by hand, for bytes that a correct client library would never send.

use super::{Http, Response, Server};

pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CONTINUATION: u8 = 0x0;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;
pub const FIN: u8 = 0x80;

/// The example key of RFC 6455, section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

/// A masked frame with this complete first byte.
pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let payload = payload.as_ref();
    let mut bytes = header(first, 0x80, payload.len() as u64);
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

/// First byte, mask bit and length.
pub fn header(first: u8, mask_bit: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(mask_bit | length as u8),
        126..=0xffff => {
            bytes.push(mask_bit | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}

pub fn text(payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FIN | TEXT, payload)
}

pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FIN | CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// The request of an opening handshake; `fields` are complete lines.
pub fn opening(target: &str, host: &str, fields: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
}

impl Server {
    /// A connection after its opening handshake; the test makes all its frames.
    pub fn upgraded(&self, target: &str) -> Http {
        let mut http = self.connect();
        http.send(opening(target, &self.host(), ""));
        http.expect_upgrade();
        http
    }
}

impl Http {
    pub fn expect_upgrade(&mut self) -> Response {
        let response = self.head();
        assert_eq!(response.status, 101, "{response:?}");
        response
    }

    /// The next frame, which must be valid for a server.
    pub fn frame(&mut self) -> Frame {
        let start = self.take(2);
        assert_eq!(start[1] & 0x80, 0, "a frame of the server is masked");
        let length = match start[1] {
            126 => self.take(2).iter().fold(0, |sum, b| sum << 8 | *b as usize),
            127 => self.take(8).iter().fold(0, |sum, b| sum << 8 | *b as usize),
            short => short as usize,
        };
        Frame {
            first: start[0],
            payload: self.take(length),
        }
    }

    pub fn expect_frame(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        let expected = Frame {
            first,
            payload: payload.as_ref().to_vec(),
        };
        let frame = self.frame();
        assert!(
            frame == expected,
            "expected {} but got {}",
            expected.shown(),
            frame.shown()
        );
    }

    /// Reads to the close frame, returns its code and reason, and sees the connection end.
    pub fn expect_close(&mut self, code: u16) -> String {
        let frame = loop {
            let frame = self.frame();
            if frame.first == FIN | CLOSE {
                break frame;
            }
        };
        assert_eq!(
            frame.close_code(),
            Some(code),
            "another close code in {}",
            frame.shown()
        );
        // The server closes the TCP connection first, once the client has answered the close frame.
        self.send_if_open(close(code, ""));
        self.expect_end();
        String::from_utf8(frame.payload[2..].to_vec()).expect("a close reason is UTF-8")
    }
}

impl Frame {
    pub fn close_code(&self) -> Option<u16> {
        let code = self.payload.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*code))
    }

    fn shown(&self) -> String {
        let start = &self.payload[..self.payload.len().min(80)];
        format!(
            "first byte {:#04x}, {} bytes {:?}",
            self.first,
            self.payload.len(),
            String::from_utf8_lossy(start)
        )
    }
}
