//! What the engine of a cluster may say: any bytes, in any pieces, while a guest comes, joins a room and talks. Whatever it says, the
//! server goes on.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sarang::config::{Cluster, Config};
use sarang::conn::transmit::{Sent, Transmit};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::Credentials;
use sarang::domain::ids::ConnectionId;
use sarang::domain::metrics::Machine;
use sarang::domain::time::Now;
use sarang::server::Server;
use sarang::server::io::{Io, Received};
use sarang::server::jobs::{Done, Job};
use sarang::wire::jwt::Key;

/// What the guest sends: an opening handshake, and frames that are masked with zeros.
const GUEST: &[&str] = &[
    "GET /ws?username=kim HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    r#"{"type":"join","room":"r"}"#,
    r#"{"type":"chat","room":"r","content":"hi","id":"1"}"#,
    r#"{"type":"whisper","to":"kim","content":"hi"}"#,
    r#"{"type":"room_list"}"#,
];

/// The socket of the guest, which takes everything.
#[derive(Default)]
pub struct Socket {
    sent: Vec<u8>,
    now: Duration,
}

impl Transmit for Socket {
    fn send(&mut self, _: ConnectionId, bytes: &[u8]) -> Sent {
        Sent::Bytes(bytes.len())
    }

    fn send_vectored(&mut self, _: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown(&mut self, _: ConnectionId) {}
}

impl Io for Socket {
    fn monotonic(&mut self) -> Duration {
        self.now
    }

    fn receive(&mut self, _: ConnectionId, into: &mut [u8]) -> Received {
        let count = self.sent.len().min(into.len());
        into[..count].copy_from_slice(&self.sent[..count]);
        self.sent.drain(..count);
        match count {
            0 => Received::Empty,
            count => Received::Bytes(count),
        }
    }

    fn close(&mut self, _: ConnectionId) {}

    fn log(&mut self, _: &str) {}
}

/// A server that is connected to an engine, and a guest.
pub struct Node {
    pub server: Server,
    socket: Socket,
    now: Now,
    guest: Option<ConnectionId>,
    said: usize,
}

impl Node {
    pub fn start() -> Self {
        let now = Now {
            monotonic: Duration::ZERO,
            unix: Duration::from_secs(1_705_314_600),
        };
        let config = Config {
            cluster: Cluster::parse("redis://127.0.0.1:6379").ok(),
            ..Config::default()
        };
        let credentials = Credentials {
            accounts: Accounts::parse(DEMO_ACCOUNTS, [1; 32])
                .expect("reads")
                .into(),
            keys: vec![Key::new(None, &[2; 32]).expect("is long enough")],
            api_keys: ApiKeys::default(),
        };
        let mut node = Self {
            server: Server::with_cluster(config, credentials, &[7; 32], now),
            socket: Socket::default(),
            now,
            guest: None,
            said: 0,
        };
        node.guest = node
            .server
            .accept(IpAddr::V4(Ipv4Addr::LOCALHOST), node.now);
        node
    }

    /// A turn, after the guest has sent the next of what it has to say. Returns what is for the engine.
    pub fn turn(&mut self) -> Vec<u8> {
        self.now.monotonic += Duration::from_millis(300);
        self.now.unix += Duration::from_millis(300);
        self.socket.now = self.now.monotonic;
        if let (Some(guest), Some(text)) = (self.guest, GUEST.get(self.said)) {
            self.said += 1;
            match text.strip_prefix('{') {
                None => self.socket.sent.extend_from_slice(text.as_bytes()),
                Some(_) => {
                    self.socket
                        .sent
                        .extend([0x81, 0x80 | text.len() as u8, 0, 0, 0, 0]);
                    self.socket.sent.extend_from_slice(text.as_bytes());
                }
            }
            self.server.readable(guest);
        }
        for _ in 0..8 {
            while let Some((serial, job)) = self.server.poll_job() {
                if matches!(job, Job::SampleMachine) {
                    let done = Done::MachineSampled(Machine::default());
                    self.server.finished(serial, done, self.now);
                }
            }
            if !self.server.turn(self.now, &mut self.socket) {
                break;
            }
        }
        if self.server.poll_dial().is_some() {
            self.server.engine_connected(self.now);
        }
        let out = self.server.engine_output(self.now);
        out.map(std::mem::take).unwrap_or_default()
    }

    pub fn hear(&mut self, bytes: &[u8]) {
        self.server.engine_received(bytes, self.now);
    }
}

/// Each piece comes after its length, two bytes.
pub fn run(data: &[u8]) {
    let mut node = Node::start();
    node.turn();
    let mut rest = data;
    while let [high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (piece, behind) = behind.split_at(length);
        node.hear(piece);
        node.turn();
        rest = behind;
    }
    for _ in 0..20 {
        node.turn();
    }
}
