//! A server without sockets and clients: sent bytes are counted and dropped, so that the memory and time of a
//! connection are those of the server alone. `tests/value/scale.rs` uses it too.

#![allow(dead_code, reason = "the bench and the test each use a part of it")]

use std::error::Error;
use std::fs;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sarang::config::{Config, RoomLimits};
use sarang::conn::transmit::{Sent, Transmit};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::Credentials;
use sarang::domain::ids::{ConnectionId, Serial};
use sarang::domain::metrics::Machine;
use sarang::domain::time::Now;
use sarang::server::Server;
use sarang::server::io::{Io, Received};
use sarang::server::jobs::{Done, Job};
use sarang::wire::jwt::Key;

/// The clock, and all sockets, which take all bytes given.
#[derive(Debug)]
pub struct Counted {
    pub sends: u64,
    pub bytes: u64,
    /// If `Some`, each send is recorded: its receiver, and the address of its bytes.
    pub noted: Option<Vec<(ConnectionId, *const u8)>>,
    /// The bytes of one client that the server has not read.
    sent: (ConnectionId, Vec<u8>),
    now: Now,
}

impl Io for Counted {
    fn monotonic(&mut self) -> Duration {
        self.now.monotonic
    }

    fn receive(&mut self, from: ConnectionId, into: &mut [u8]) -> Received {
        let (sender, bytes) = &mut self.sent;
        if *sender != from || bytes.is_empty() {
            return Received::Empty;
        }
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        bytes.drain(..count);
        Received::Bytes(count)
    }

    fn close(&mut self, _: ConnectionId) {}

    fn log(&mut self, _: &str) {}
}

impl Transmit for Counted {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        self.sends += 1;
        self.bytes += bytes.len() as u64;
        if let Some(noted) = &mut self.noted {
            noted.push((to, bytes.as_ptr()));
        }
        Sent::Bytes(bytes.len())
    }

    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.send(to, &[]);
        self.bytes += length as u64;
        Sent::Bytes(length)
    }

    fn shutdown(&mut self, _: ConnectionId) {}
}

/// A server, its sockets and its time.
pub struct World {
    pub server: Server,
    pub wire: Counted,
    pub now: Now,
    /// Whether each connection has an address of its own, which is then counted; else all come from one proxy.
    pub has_addresses: bool,
    connected: u32,
}

/// A configuration without limits except that of rooms.
pub fn config(rooms: usize) -> Config {
    let config = Config::default();
    Config {
        connections: usize::MAX,
        messages_per_second: 0,
        rooms: RoomLimits {
            rooms,
            room_users: sarang::config::ROOM_USERS_MAX,
            ..config.rooms
        },
        ..config
    }
}

impl World {
    pub fn new(config: Config) -> Self {
        let credentials = Credentials {
            accounts: Accounts::parse(DEMO_ACCOUNTS, [1; 32])
                .expect("the demo's accounts read")
                .into(),
            keys: vec![Key::new(None, &[2; 32]).expect("32 bytes are long enough")],
            api_keys: ApiKeys::default(),
        };
        let now = Now {
            monotonic: Duration::ZERO,
            unix: Duration::from_secs(1_705_314_600),
        };
        Self {
            server: Server::new(config, credentials, &[7; 32], now),
            wire: Counted {
                sends: 0,
                bytes: 0,
                noted: None,
                sent: (ConnectionId(0), Vec::new()),
                now,
            },
            now,
            has_addresses: false,
            connected: 0,
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.unix += time;
    }

    /// Runs turns until there is nothing more to do at once.
    pub fn turn(&mut self) {
        while self.one_turn() {}
    }

    /// Runs turns until there is nothing to do and no deadline is due.
    pub fn settle(&mut self) {
        self.turn();
        while let Some(at) = self.server.next_timeout()
            && at <= self.now.monotonic
        {
            self.turn();
        }
    }

    /// Runs one turn; whether there is more to do at once.
    pub fn one_turn(&mut self) -> bool {
        while let Some((_, job)) = self.poll_job() {
            drop(job);
        }
        self.wire.now = self.now;
        self.server.turn(self.now, &mut self.wire)
    }

    /// The next job except samples of the machine, which are answered at once.
    pub fn poll_job(&mut self) -> Option<(Serial, Job)> {
        loop {
            match self.server.poll_job()? {
                (serial, Job::SampleMachine) => {
                    let done = Done::MachineSampled(Machine::default());
                    self.server.finished(serial, done, self.now);
                }
                other => return Some(other),
            }
        }
    }

    /// A new connection.
    pub fn connect(&mut self) -> ConnectionId {
        self.connected += 1;
        let address = match self.has_addresses {
            true => Ipv4Addr::from(0x0a00_0000 + self.connected),
            false => Ipv4Addr::LOCALHOST,
        };
        self.server
            .accept(IpAddr::V4(address), self.now)
            .expect("there is no limit")
    }

    /// Bytes of a client, to be read in the next turn. Unread bytes of another client are read first.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        while !self.wire.sent.1.is_empty() && self.wire.sent.0 != id {
            self.one_turn();
        }
        self.wire.sent.0 = id;
        self.wire.sent.1.extend_from_slice(bytes);
        self.server.readable(id);
    }

    /// A client sends bytes, and the turns that follow are run.
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.receive(id, bytes);
        self.turn();
    }

    /// A client sends a text message over its WebSocket.
    pub fn say(&mut self, id: ConnectionId, json: &str) {
        self.send(id, &frame(0x81, json.as_bytes()));
    }

    pub fn guest(&mut self, name: &str) -> ConnectionId {
        let id = self.connect();
        let request = format!(
            "GET /ws?username={name} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.send(id, request.as_bytes());
        id
    }

    pub fn member(&mut self, name: &str, room: &str) -> ConnectionId {
        let id = self.guest(name);
        self.say(id, &format!(r#"{{"type":"join","room":"{room}"}}"#));
        id
    }

    pub fn subscriber(&mut self, channel: &str) -> ConnectionId {
        let id = self.connect();
        self.get(id, &format!("/sse/{channel}"));
        id
    }

    /// A request on a connection that stays open.
    pub fn get(&mut self, id: ConnectionId, target: &str) {
        self.send(
            id,
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes(),
        );
    }

    pub fn post(&mut self, id: ConnectionId, target: &str, json: &str) {
        let length = json.len();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        );
        self.send(id, request.as_bytes());
    }

    pub fn disconnect(&mut self, id: ConnectionId) {
        self.server.closed(id, self.now);
        self.turn();
    }

    /// The number of sends that `work` causes.
    pub fn sends(&mut self, work: impl FnOnce(&mut Self)) -> u64 {
        let before = self.wire.sends;
        work(self);
        self.wire.sends - before
    }
}

/// A frame of a client with a masking key of zero.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..=125) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend((payload.len() as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A frame of a client with a masking key that changes every byte.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = frame(first, payload);
    let start = frame.len() - payload.len();
    frame[start - 4..start].copy_from_slice(&MASK);
    for (byte, mask) in frame[start..].iter_mut().zip(MASK.iter().cycle()) {
        *byte ^= mask;
    }
    frame
}

/// The resident memory that this process does not share, in bytes (proc(5): `/proc/pid/statm` is in pages).
pub fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let mut pages = statm.split(' ').skip(1).map(str::parse::<u64>);
    let (Some(resident), Some(shared)) = (pages.next(), pages.next()) else {
        return Err("/proc/self/statm has fewer fields than it should".into());
    };
    Ok((resident? - shared?) * rustix::param::page_size() as u64)
}
