//! A server without I/O on virtual time, with clients that are buffers: whole conversations in microseconds.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sarang::config::Config;
use sarang::conn::transmit::{Sent, Transmit};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::auth::Credentials;
use sarang::domain::ids::ConnectionId;
use sarang::domain::metrics::Machine;
use sarang::domain::time::Now;
use sarang::server::Server;
use sarang::wire::jwt::Key;
use serde_json::{Value, json};

/// What a client's socket has taken from the server.
#[derive(Debug)]
pub struct Wire {
    /// Bytes that were not looked at yet.
    pub bytes: Vec<u8>,
    /// How many more bytes the socket takes.
    pub room: usize,
    /// The server has ended its direction.
    pub is_shut: bool,
}

/// All sockets.
#[derive(Debug, Default)]
pub struct Wires(pub BTreeMap<ConnectionId, Wire>);

impl Transmit for Wires {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        let Some(wire) = self.0.get_mut(&to) else {
            return Sent::Gone;
        };
        assert!(!wire.is_shut, "nothing is sent after the end");
        let count = bytes.len().min(wire.room);
        wire.bytes.extend_from_slice(&bytes[..count]);
        wire.room -= count;
        Sent::Bytes(count)
    }

    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let all: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        self.send(to, &all)
    }

    fn shutdown(&mut self, to: ConnectionId) {
        if let Some(wire) = self.0.get_mut(&to) {
            wire.is_shut = true;
        }
    }
}

/// The demo's account and a secret.
fn credentials() -> Credentials {
    let accounts = Accounts::parse(DEMO_ACCOUNTS, [1; 32]).expect("reads");
    let key = Key::new(None, &[2; 32]).expect("is long enough");
    Credentials {
        accounts,
        keys: vec![key],
    }
}

/// A server and its clients.
pub struct World {
    pub server: Server,
    pub wires: Wires,
    pub now: Now,
    /// How often the machine was sampled.
    pub samples: usize,
}

impl World {
    pub fn new(config: Config) -> Self {
        let now = Now {
            monotonic: Duration::ZERO,
            unix: Duration::from_secs(1_705_314_600),
        };
        Self {
            server: Server::new(config, credentials(), &[7; 32]),
            wires: Wires::default(),
            now,
            samples: 0,
        }
    }

    /// A new connection on which nothing was said.
    pub fn connect(&mut self) -> ConnectionId {
        let id = self
            .server
            .accept(IpAddr::V4(Ipv4Addr::LOCALHOST), self.now)
            .expect("is under the limit");
        self.wires.0.insert(
            id,
            Wire {
                bytes: Vec::new(),
                room: usize::MAX,
                is_shut: false,
            },
        );
        id
    }

    /// A guest who is welcome.
    pub fn guest(&mut self, name: &str) -> ConnectionId {
        let id = self.connect();
        let request = format!(
            "GET /ws?username={name} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.server.receive(id, request.as_bytes(), self.now);
        self.turn();
        let head = b"\r\n\r\n";
        let wire = self.wire(id);
        let end = wire
            .bytes
            .windows(4)
            .position(|bytes| bytes == head)
            .expect("has answered")
            + 4;
        assert!(wire.bytes.starts_with(b"HTTP/1.1 101 "));
        wire.bytes.drain(..end);
        assert_eq!(
            self.told(id),
            [json!({"type": "welcome", "username": name, "expires_at": null})]
        );
        id
    }

    /// A guest in a room.
    pub fn member(&mut self, name: &str, room: &str) -> ConnectionId {
        let id = self.guest(name);
        self.say(id, json!({"type": "join", "room": room}));
        self.turn();
        assert_eq!(self.told(id)[0]["type"], "room_joined");
        id
    }

    pub fn wire(&mut self, id: ConnectionId) -> &mut Wire {
        self.wires.0.get_mut(&id).expect("has a socket")
    }

    /// A client says something; the server carries it out, and sends nothing before the turn ends.
    pub fn say(&mut self, id: ConnectionId, message: Value) {
        self.server
            .receive(id, &text_frame(&message.to_string()), self.now);
    }

    /// The end of a turn: everything is sent that can be, whoever is over is freed.
    pub fn turn(&mut self) {
        while self.half_turn() {}
    }

    /// One slice of the end of a turn; whether there is more to do.
    pub fn half_turn(&mut self) -> bool {
        let mut has_more = self.server.flush(&mut self.wires, self.now);
        while self.server.poll_readable().is_some() {
            has_more = true;
        }
        while let Some(id) = self.server.poll_freed() {
            self.wires.0.remove(&id);
        }
        has_more
    }

    /// Time passes; what is due on the way is done when it is due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        loop {
            let next = self
                .server
                .next_timeout()
                .unwrap_or(end)
                .clamp(self.now.monotonic, end);
            self.now.unix += next - self.now.monotonic;
            self.now.monotonic = next;
            self.server.handle_timeout(self.now);
            let machine = self.server.wants_machine(self.now).then(Machine::default);
            self.samples += usize::from(machine.is_some());
            self.server.sampled(machine, self.now);
            self.turn();
            if next == end {
                return;
            }
        }
    }

    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.wires.0.contains_key(&id)
    }

    /// The messages a client was told since it last looked. Control frames are `{"close": code}` and `{"ping": true}`.
    pub fn told(&mut self, id: ConnectionId) -> Vec<Value> {
        let bytes = std::mem::take(&mut self.wire(id).bytes);
        let (messages, rest) = read_frames(&bytes);
        self.wire(id).bytes = rest.to_vec();
        messages
    }
}

/// Whole frames of the server as values, and what is left.
pub fn read_frames(mut bytes: &[u8]) -> (Vec<Value>, &[u8]) {
    let mut messages = Vec::new();
    loop {
        let (header, length) = match *bytes {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, 127, ..] if bytes.len() >= 10 => (
                10,
                u64::from_be_bytes(bytes[2..10].try_into().expect("is 8 bytes")) as usize,
            ),
            [_, length, ..] if length < 126 => (2, usize::from(length)),
            _ => return (messages, bytes),
        };
        if bytes.len() < header + length {
            return (messages, bytes);
        }
        let payload = &bytes[header..header + length];
        messages.push(match bytes[0] {
            0x81 => serde_json::from_slice(payload).expect("is JSON"),
            0x88 => json!({"close": u16::from_be_bytes([payload[0], payload[1]])}),
            0x89 => json!({"ping": true}),
            0x8a => json!({"pong": true}),
            other => panic!("a frame of kind {other:#x}"),
        });
        bytes = &bytes[header + length..];
    }
}

/// A client's text frame, masked with zeros.
pub fn text_frame(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// A client's frame, masked with zeros.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}
