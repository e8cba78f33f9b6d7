//! A server on virtual time, with sockets that are buffers, driven as the shell drives it.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use sarang::config::Config;
use sarang::conn::transmit::{Sent, Transmit};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::auth::Credentials;
use sarang::domain::ids::ConnectionId;
use sarang::domain::metrics::Machine;
use sarang::domain::time::Now;
use sarang::server::Server;
use sarang::server::sign_in::PasswordCheck;
use sarang::wire::jwt::Key;

/// More turns in a row than this are a loop that does not end.
const TURNS_MAX: usize = 10_000;

/// A socket.
#[derive(Debug, Default)]
pub struct Wire {
    /// What the server sent.
    pub sent: Vec<u8>,
    /// How much more it takes; `None` is anything.
    pub room: Option<usize>,
    /// What the server has not read.
    pub inbound: Vec<u8>,
    /// The client has ended its direction.
    pub is_ended: bool,
    /// The server has ended its direction.
    pub is_shut: bool,
    /// There may be something to read that was not tried.
    is_ready: bool,
}

#[derive(Debug, Default)]
struct Wires(BTreeMap<ConnectionId, Wire>);

impl Transmit for Wires {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        let Some(wire) = self.0.get_mut(&to) else {
            return Sent::Gone;
        };
        assert!(!wire.is_shut, "nothing is sent after the end");
        let count = bytes.len().min(wire.room.unwrap_or(usize::MAX));
        wire.sent.extend_from_slice(&bytes[..count]);
        wire.room = wire.room.map(|room| room - count);
        Sent::Bytes(count)
    }

    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.send(to, &all)
    }

    fn shutdown(&mut self, to: ConnectionId) {
        if let Some(wire) = self.0.get_mut(&to) {
            wire.is_shut = true;
        }
    }
}

/// The demo's account, unless it was removed, and one secret.
pub fn credentials(has_account: bool) -> Credentials {
    let text = if has_account { DEMO_ACCOUNTS } else { "" };
    Credentials {
        accounts: Accounts::parse(text, [1; 32]).expect("reads"),
        keys: vec![Key::new(None, &[2; 32]).expect("is long enough")],
    }
}

/// What is no demo.
pub fn configured() -> Option<PathBuf> {
    Some("users".into())
}

/// A server and its sockets.
pub struct World {
    /// The server.
    pub server: Server,
    wires: Wires,
    /// Sockets the server has dropped, with what they had sent; to be taken by whoever drives this.
    pub dropped: Vec<(ConnectionId, Wire)>,
    /// Both clocks.
    pub now: Now,
    /// Password checks that are under way.
    pub checks: Vec<PasswordCheck>,
    /// Nothing has happened since the last turn.
    pub is_settled: bool,
}

impl World {
    /// A server without connections.
    pub fn new(config: Config) -> Self {
        Self {
            server: Server::new(config, credentials(true), &[7; 32]),
            wires: Wires::default(),
            dropped: Vec::new(),
            now: Now {
                monotonic: Duration::ZERO,
                unix: Duration::from_secs(1_705_314_600),
            },
            checks: Vec::new(),
            is_settled: false,
        }
    }

    /// A new connection from one of a few addresses; 0 is loopback.
    pub fn connect(&mut self, address: u8) -> Option<ConnectionId> {
        let address = match address {
            0 => Ipv4Addr::LOCALHOST,
            other => Ipv4Addr::new(192, 0, 2, other),
        };
        let id = self.server.accept(IpAddr::V4(address), self.now)?;
        let replaced = self.wires.0.insert(id, Wire::default());
        assert!(replaced.is_none(), "an id is free when its socket is");
        Some(id)
    }

    /// A socket, while it is open.
    pub fn wire(&mut self, id: ConnectionId) -> Option<&mut Wire> {
        self.wires.0.get_mut(&id)
    }

    /// A client sends bytes, or ends its direction.
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8], is_end: bool) {
        if let Some(wire) = self.wire(id).filter(|wire| !wire.is_ended) {
            wire.inbound.extend_from_slice(bytes);
            wire.is_ended = is_end;
            wire.is_ready = true;
        }
    }

    /// A client takes more.
    pub fn take(&mut self, id: ConnectionId, room: Option<usize>) {
        let now = self.now;
        if let Some(wire) = self.wire(id) {
            wire.room = room.map(|room| room + wire.room.unwrap_or(0));
            self.server.writable(id, now);
        }
    }

    /// A connection breaks.
    pub fn reset(&mut self, id: ConnectionId) {
        self.server.closed(id, self.now);
    }

    /// Turns, until there is nothing to do.
    pub fn turn(&mut self) {
        for _ in 0..TURNS_MAX {
            self.read_ready();
            self.server.handle_timeout(self.now);
            let machine = self.server.wants_machine(self.now).then(Machine::default);
            self.server.sampled(machine, self.now);
            while let Some(check) = self.server.poll_job() {
                self.checks.push(check);
            }
            let mut has_more = self.server.flush(&mut self.wires, self.now);
            while let Some(id) = self.server.poll_readable() {
                if let Some(wire) = self.wires.0.get_mut(&id) {
                    wire.is_ready = true;
                }
            }
            while let Some(id) = self.server.poll_freed() {
                let wire = self.wires.0.remove(&id).expect("is freed once");
                self.dropped.push((id, wire));
            }
            has_more |= self.wires.0.values().any(|wire| wire.is_ready);
            if !has_more {
                self.is_settled = true;
                return;
            }
        }
        panic!("{TURNS_MAX} turns, and still there is something to do");
    }

    fn read_ready(&mut self) {
        let ready = self.wires.0.iter().filter(|(_, wire)| wire.is_ready);
        let ready: Vec<ConnectionId> = ready.map(|(id, _)| *id).collect();
        for id in ready {
            if self.server.is_turn_full() {
                return;
            }
            let Some(wire) = self.wires.0.get_mut(&id) else {
                continue;
            };
            wire.is_ready = false;
            if !self.server.may_read(id) {
                continue;
            }
            let inbound = std::mem::take(&mut wire.inbound);
            if !inbound.is_empty() {
                wire.is_ready = wire.is_ended;
                self.server.receive(id, &inbound, self.now);
            } else if wire.is_ended {
                self.server.end_of_stream(id, self.now);
            }
        }
    }

    /// Time passes; what is due on the way is done when it is due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        loop {
            let next = self.server.next_timeout().unwrap_or(end);
            let next = next.clamp(self.now.monotonic, end);
            self.now.unix = self.now.unix.saturating_add(next - self.now.monotonic);
            self.now.monotonic = next;
            self.turn();
            if next == end {
                return;
            }
        }
    }

    /// The worker has checked a password; it may be so slow that nobody waits any more.
    pub fn finish_check(&mut self, index: usize, is_accepted: bool) {
        if !self.checks.is_empty() {
            let check = self.checks.remove(index % self.checks.len());
            self.server.finished(check.job, is_accepted, self.now);
        }
    }

    /// When everybody has gone nothing is kept of them.
    pub fn assert_empty(&mut self) {
        while !self.checks.is_empty() {
            self.finish_check(0, true);
        }
        // Beyond any token: a session nobody closed would strike now.
        self.pass(Duration::from_secs(7_200));
        let server = &self.server;
        assert_eq!(server.connection_count(), 0);
        assert_eq!(server.subscriber_count(), 0);
        assert_eq!(server.rooms().people().count(), 0);
        assert!(server.rooms().list().iter().all(|room| room.users == 0));
        assert_eq!(server.next_timeout(), None, "nothing is awaited");
        assert!(self.wires.0.is_empty());
    }
}
