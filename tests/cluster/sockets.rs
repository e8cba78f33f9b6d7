//! Sockets that are buffers, and the frames on them.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::time::Duration;

use sarang::conn::transmit::{Sent, Transmit};
use sarang::domain::ids::ConnectionId;
use sarang::server::io::{Io, Received};
use serde_json::{Value, json};

/// A client's socket.
#[derive(Debug, Default)]
pub struct Socket {
    /// Bytes the client has sent and the server has not read.
    pub sent: Vec<u8>,
    /// The client has gone.
    pub has_ended: bool,
    /// Bytes from the server that the client has not taken.
    pub bytes: Vec<u8>,
    /// The server has ended it.
    pub is_over: bool,
}

/// All sockets of a server, and its clock.
#[derive(Debug, Default)]
pub struct Sockets {
    pub all: BTreeMap<ConnectionId, Socket>,
    /// Those that the server has dropped, with what was not taken.
    pub dropped: BTreeMap<ConnectionId, Socket>,
    pub monotonic: Duration,
    pub log: Vec<String>,
}

impl Sockets {
    pub fn get(&mut self, id: ConnectionId) -> Option<&mut Socket> {
        self.all.get_mut(&id).or_else(|| self.dropped.get_mut(&id))
    }
}

impl Transmit for Sockets {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        match self.all.get_mut(&to) {
            Some(socket) => {
                socket.bytes.extend_from_slice(bytes);
                Sent::Bytes(bytes.len())
            }
            None => Sent::Gone,
        }
    }

    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let all: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        self.send(to, &all)
    }

    fn shutdown(&mut self, to: ConnectionId) {
        if let Some(socket) = self.all.get_mut(&to) {
            socket.is_over = true;
            socket.has_ended = true;
        }
    }
}

impl Io for Sockets {
    fn monotonic(&mut self) -> Duration {
        self.monotonic
    }

    fn receive(&mut self, from: ConnectionId, into: &mut [u8]) -> Received {
        let Some(socket) = self.all.get_mut(&from) else {
            return Received::Gone;
        };
        if socket.sent.is_empty() {
            return if socket.has_ended {
                Received::End
            } else {
                Received::Empty
            };
        }
        let count = socket.sent.len().min(into.len());
        into[..count].copy_from_slice(&socket.sent[..count]);
        socket.sent.drain(..count);
        Received::Bytes(count)
    }

    fn close(&mut self, id: ConnectionId) {
        if let Some(mut socket) = self.all.remove(&id) {
            socket.is_over = true;
            self.dropped.insert(id, socket);
        }
    }

    fn log(&mut self, line: &str) {
        self.log.push(line.to_owned());
    }
}

/// Takes the complete frames from the server as values; `{"close": code}` for a close frame.
pub fn take_frames(bytes: &mut Vec<u8>) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let (header, length) = match **bytes {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, 127, a, b, c, d, e, f, g, h, ..] => {
                (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize)
            }
            [_, length, ..] if length < 126 => (2, usize::from(length)),
            _ => return messages,
        };
        if bytes.len() < header + length {
            return messages;
        }
        let first = bytes[0];
        let payload: Vec<u8> = bytes.drain(..header + length).skip(header).collect();
        match first {
            0x81 => messages.push(serde_json::from_slice(&payload).expect("is JSON")),
            0x88 => messages.push(json!({"close": u16::from_be_bytes([payload[0], payload[1]])})),
            0x89 => messages.push(json!({"ping": true})),
            0x8a => {}
            other => panic!("a frame of kind {other:#x}"),
        }
    }
}

/// A client's text frame, masked with zeros.
pub fn text_frame(message: &Value) -> Vec<u8> {
    let payload = message.to_string().into_bytes();
    let mut frame = vec![0x81];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A client's pong, masked with zeros.
pub const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// The opening handshake of a guest; `&key=…` may follow the name.
pub fn opening(name: &str) -> String {
    format!(
        "GET /ws?username={name} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}
