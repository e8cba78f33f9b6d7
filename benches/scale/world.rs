//! A server without sockets and without clients: what is sent is counted and forgotten, so that whatever memory and
//! time a connection costs is the server's. `tests/scale.rs` uses it too.

#![allow(dead_code, reason = "the bench and the test each use a part of it")]

use std::error::Error;
use std::fs;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sarang::config::{Config, RoomLimits};
use sarang::conn::transmit::{Sent, Transmit};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::auth::Credentials;
use sarang::domain::ids::ConnectionId;
use sarang::domain::time::Now;
use sarang::server::Server;
use sarang::wire::jwt::Key;

/// Every socket: takes all it is given.
#[derive(Debug, Default)]
pub struct Counted {
    pub sends: u64,
    pub bytes: u64,
    /// To whom, in order, and where what was sent lay in memory, if somebody wants to know.
    pub noted: Option<Vec<(ConnectionId, *const u8)>>,
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
    /// Whether each connection comes from an address of its own, which is then counted; else all from a proxy.
    pub has_addresses: bool,
    connected: u32,
}

/// No limit but that of rooms.
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
            accounts: Accounts::parse(DEMO_ACCOUNTS, [1; 32]).expect("the demo's accounts read"),
            keys: vec![Key::new(None, &[2; 32]).expect("32 bytes are long enough")],
        };
        Self {
            server: Server::new(config, credentials, &[7; 32]),
            wire: Counted::default(),
            now: Now {
                monotonic: Duration::ZERO,
                unix: Duration::from_secs(1_705_314_600),
            },
            has_addresses: false,
            connected: 0,
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.unix += time;
    }

    /// The end of a turn, and of those that follow from it.
    pub fn turn(&mut self) {
        while self.server.flush(&mut self.wire, self.now) {
            while self.server.poll_readable().is_some() {}
        }
        while self.server.poll_freed().is_some() {}
    }

    /// A connection on which nothing was said.
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

    /// A client sends something, and the turn ends.
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.server.receive(id, bytes, self.now);
        self.turn();
    }

    /// A client says something over its WebSocket.
    pub fn say(&mut self, id: ConnectionId, json: &str) {
        self.send(id, &frame(0x81, json.as_bytes()));
    }

    pub fn guest(&mut self, name: &str) -> ConnectionId {
        let id = self.connect();
        let request = format!(
            "GET /ws?username={name} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
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
            format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        );
    }

    pub fn post(&mut self, id: ConnectionId, target: &str, json: &str) {
        let length = json.len();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        );
        self.send(id, request.as_bytes());
    }

    pub fn disconnect(&mut self, id: ConnectionId) {
        self.server.closed(id, self.now);
        self.turn();
    }

    /// How many sends something costs.
    pub fn sends(&mut self, work: impl FnOnce(&mut Self)) -> u64 {
        let before = self.wire.sends;
        work(self);
        self.wire.sends - before
    }
}

/// A client's frame, masked with zeros.
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

/// Memory of its own that this process has resident, in bytes (proc(5), `/proc/pid/statm`, in pages).
pub fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let mut pages = statm.split(' ').skip(1).map(str::parse::<u64>);
    let (Some(resident), Some(shared)) = (pages.next(), pages.next()) else {
        return Err("/proc/self/statm has fewer fields than it should".into());
    };
    Ok((resident? - shared?) * rustix::param::page_size() as u64)
}
