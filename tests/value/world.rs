//! A server without I/O on virtual time, with clients that are buffers: whole conversations in microseconds.

#[path = "../wire/support/described.rs"]
#[allow(dead_code, reason = "only messages are read here")]
mod described;

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sarang::config::Config;
use sarang::conn::transmit::{Sent, Transmit};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::Credentials;
use sarang::domain::ids::{ConnectionId, Serial};
use sarang::domain::metrics::Machine;
use sarang::domain::time::Now;
use sarang::domain::working_set::WorkingSet;
use sarang::server::Server;
use sarang::server::backend::{Backend, Remote};
use sarang::server::io::{Io, Received};
use sarang::server::jobs::{Done, Job};
use sarang::wire::jwt::Key;
use serde_json::{Value, json};

use crate::stored::{COMMITTED, Disk};

/// A client's socket.
#[derive(Debug)]
pub struct Wire {
    /// Bytes the client has sent and the server has not read.
    pub sent: Vec<u8>,
    /// The client has ended its direction.
    pub has_ended: bool,
    /// Bytes from the server that the test has not taken yet.
    pub bytes: Vec<u8>,
    /// How many more bytes the socket accepts.
    pub room: usize,
    /// The server has ended its direction.
    pub is_shut: bool,
}

/// All sockets, and the clock.
#[derive(Debug, Default)]
pub struct Wires {
    wires: BTreeMap<ConnectionId, Wire>,
    /// Sockets the server has dropped.
    dropped: BTreeMap<ConnectionId, Wire>,
    now: Now,
    /// What each send costs in time.
    pub send_time: Duration,
    /// How long it takes to drop a socket.
    pub close_time: Duration,
    /// The number of sends.
    pub sends: usize,
    /// The lines of the journal.
    pub log: Vec<String>,
}

impl Wires {
    fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.unix += time;
    }
}

impl Transmit for Wires {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        self.sends += 1;
        self.pass(self.send_time);
        let Some(wire) = self.wires.get_mut(&to) else {
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
        if let Some(wire) = self.wires.get_mut(&to) {
            wire.is_shut = true;
        }
    }
}

impl Io for Wires {
    fn monotonic(&mut self) -> Duration {
        self.now.monotonic
    }

    fn receive(&mut self, from: ConnectionId, into: &mut [u8]) -> Received {
        let wire = self
            .wires
            .get_mut(&from)
            .expect("only what is open is read");
        if wire.sent.is_empty() {
            return match wire.has_ended {
                true => Received::End,
                false => Received::Empty,
            };
        }
        let count = wire.sent.len().min(into.len());
        into[..count].copy_from_slice(&wire.sent[..count]);
        wire.sent.drain(..count);
        Received::Bytes(count)
    }

    fn close(&mut self, id: ConnectionId) {
        self.pass(self.close_time);
        if let Some(wire) = self.wires.remove(&id) {
            self.dropped.insert(id, wire);
        }
    }

    fn log(&mut self, line: &str) {
        self.log.push(line.to_owned());
    }
}

/// The key of a back end.
pub const KEY: &str = "the-key-of-a-back-end-in-the-tests-of-values";

/// The demo account, a secret and a key.
fn credentials() -> Credentials {
    let accounts = Accounts::parse(DEMO_ACCOUNTS, [1; 32]).expect("reads");
    let key = Key::new(None, &[2; 32]).expect("is long enough");
    Credentials {
        accounts: accounts.into(),
        keys: vec![key],
        api_keys: ApiKeys::parse(&format!("shop:{KEY}\n")).expect("reads"),
    }
}

/// The configuration that also serves the host of the clients' requests, `x`.
fn with_host(mut config: Config) -> Config {
    config.hosts.push("x".to_owned());
    config
}

/// A server and its clients.
pub struct World {
    pub server: Server,
    pub wires: Wires,
    pub now: Now,
    /// How often the machine was sampled.
    pub samples: usize,
    /// The jobs the server has asked for, without samples.
    pub jobs: VecDeque<(Serial, Job)>,
    /// A disk that commits each batch at once; without it batches are among the jobs.
    pub disk: Option<Disk>,
}

impl World {
    pub fn new(config: Config) -> Self {
        let now = Now {
            monotonic: Duration::ZERO,
            unix: Duration::from_secs(1_705_314_600),
        };
        Self {
            server: Server::new(with_host(config), credentials(), &[7; 32], now),
            wires: Wires::default(),
            now,
            samples: 0,
            jobs: VecDeque::new(),
            disk: None,
        }
    }

    /// A world that starts at this time of the wall clock, with other random bytes.
    pub fn starting(config: Config, seed: u8, unix: Duration) -> Self {
        let mut world = Self::new(config.clone());
        world.now.unix = unix;
        world.server = Server::new(with_host(config), credentials(), &[seed; 32], world.now);
        world
    }

    /// A world with other random bytes.
    pub fn seeded(seed: u8) -> Self {
        let mut world = Self::new(Config::default());
        let config = with_host(Config::default());
        world.server = Server::new(config, credentials(), &[seed; 32], world.now);
        world
    }

    /// A world whose backend requests leave as jobs.
    pub fn with_remote_backend(config: Config) -> Self {
        let mut world = Self::new(config.clone());
        let backend = Backend::Remote(Remote::default());
        let (credentials, seed) = (credentials(), [7; 32]);
        world.server =
            Server::with_backend(with_host(config), credentials, &seed, world.now, backend);
        world
    }

    /// A world whose store has kept this.
    pub fn with_store(config: Config, kept: WorkingSet, unix: Duration) -> Self {
        let mut world = Self::new(config.clone());
        world.now.unix = unix;
        let credentials = credentials();
        // Each start has random bytes of its own.
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&kept.batch.to_le_bytes());
        world.server = Server::with_store(with_host(config), credentials, &seed, world.now, kept);
        world
    }

    /// A world with a disk that commits each batch at once.
    pub fn with_disk(config: Config, disk: Disk, unix: Duration) -> Self {
        let mut world = Self::with_store(config, disk.load(), unix);
        world.disk = Some(disk);
        world
    }

    /// A new connection that has sent nothing.
    pub fn connect(&mut self) -> ConnectionId {
        self.connect_from(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// The same from another address.
    pub fn connect_from(&mut self, address: IpAddr) -> ConnectionId {
        let id = self
            .server
            .accept(address, self.now)
            .expect("is under the limit");
        self.wires.dropped.remove(&id);
        self.wires.wires.insert(
            id,
            Wire {
                sent: Vec::new(),
                has_ended: false,
                bytes: Vec::new(),
                room: usize::MAX,
                is_shut: false,
            },
        );
        id
    }

    /// A client sends bytes: they are read in the next turn.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(wire) = self.wires.wires.get_mut(&id) {
            wire.sent.extend_from_slice(bytes);
            self.server.readable(id);
        }
    }

    /// A client sends bytes, which are read at once, in the middle of a turn.
    pub fn receive_at_once(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.server.receive(id, &mut bytes.to_vec(), self.now);
    }

    /// A client ends its direction.
    pub fn end(&mut self, id: ConnectionId) {
        self.wire(id).has_ended = true;
        self.server.ending(id);
    }

    /// A guest that has been welcomed; `&key=…` may follow the name.
    pub fn guest(&mut self, name: &str) -> ConnectionId {
        let id = self.connect();
        self.receive(id, opening(name).as_bytes());
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
        let (name, _) = name.split_once('&').unwrap_or((name, ""));
        let mut welcome = json!({"type": "welcome", "username": name, "expires_at": null});
        if self.server.rooms().marks_guests {
            welcome["guest"] = true.into();
        }
        assert_eq!(self.told(id), [welcome]);
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
        let Wires { wires, dropped, .. } = &mut self.wires;
        let wire = wires.get_mut(&id).or_else(|| dropped.get_mut(&id));
        wire.expect("had a socket")
    }

    /// A client sends a message: it is carried out in the next turn.
    pub fn say(&mut self, id: ConnectionId, message: Value) {
        self.receive(id, &text_frame(&message.to_string()));
    }

    /// The same at once, in the middle of a turn.
    pub fn say_at_once(&mut self, id: ConnectionId, message: Value) {
        self.receive_at_once(id, &text_frame(&message.to_string()));
    }

    /// Turns, until there is nothing more to do at once.
    pub fn turn(&mut self) {
        while self.one_turn() {}
    }

    /// One turn; whether there is more to do at once.
    pub fn one_turn(&mut self) -> bool {
        self.take_jobs();
        self.wires.now = self.now;
        let has_more = self.server.turn(self.now, &mut self.wires);
        self.now = self.wires.now;
        has_more
    }

    pub fn take_jobs(&mut self) {
        while let Some((serial, job)) = self.server.poll_job() {
            match job {
                Job::SampleMachine => {
                    self.samples += 1;
                    let done = Done::MachineSampled(Machine::default());
                    self.server.finished(serial, done, self.now);
                }
                Job::Store(batch) if self.disk.is_some() => {
                    self.disk.iter_mut().for_each(|disk| disk.commit(&batch));
                    let done = Done::Stored(Ok(COMMITTED));
                    self.server.finished(serial, done, self.now);
                }
                job => self.jobs.push_back((serial, job)),
            }
        }
    }

    /// Answers every password check that was asked for.
    pub fn check_passwords(&mut self, is_accepted: bool) {
        self.take_jobs();
        for (serial, job) in std::mem::take(&mut self.jobs) {
            assert!(matches!(job, Job::CheckPassword(_)), "{job:?}");
            let done = Done::PasswordChecked(is_accepted);
            self.server.finished(serial, done, self.now);
        }
    }

    /// Time passes; what is due on the way is done when it is due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        self.turn();
        loop {
            let next = self
                .server
                .next_timeout()
                .unwrap_or(end)
                .clamp(self.now.monotonic, end);
            self.now.unix += next - self.now.monotonic;
            self.now.monotonic = next;
            self.turn();
            if next == end {
                return;
            }
        }
    }

    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.wires.wires.contains_key(&id)
    }

    /// The messages a client was sent since the last call. Control frames are `{"close": code}` and `{"ping": true}`.
    pub fn told(&mut self, id: ConnectionId) -> Vec<Value> {
        let bytes = std::mem::take(&mut self.wire(id).bytes);
        let (messages, rest) = read_frames(&bytes);
        self.wire(id).bytes = rest.to_vec();
        messages
    }
}

/// The opening handshake of a guest.
pub fn opening(name: &str) -> String {
    format!(
        "GET /ws?username={name} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Complete frames from the server as values, and the bytes that are left.
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
            0x81 => {
                let message = serde_json::from_slice(payload).expect("is JSON");
                described::assert_message(&message);
                message
            }
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
