//! Sockets as byte pipes: what a peer sends arrives in random pieces, and its window takes only so much.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::IpAddr;
use std::time::Duration;

use sarang::conn::transmit::{Sent, Transmit};
use sarang::domain::ids::ConnectionId;
use sarang::domain::time::Now;
use sarang::server::io::{Io, Received};

use super::proxies;
use super::seed::Seed;

/// A connection of a client, for the whole run; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wire(pub usize);

/// The owner of a wire over which the simulation itself asks something.
pub const NOBODY: usize = usize::MAX;

/// How what a client sends arrives.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    Whole,
    /// In pieces of at most so many bytes, so many milliseconds apart at most.
    Pieces(usize, u64),
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// Everything as soon as it has come.
    Prompt,
    /// So many bytes at a time, so far apart.
    Slow(usize, Duration),
    /// Nothing.
    Stalled,
}

/// What a client is like on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub address: IpAddr,
    pub pace: Pace,
    pub reading: Reading,
    pub window: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    pub readable: bool,
    pub writable: bool,
    pub hung_up: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Socket {
    pub owner: usize,
    pub manner: Manner,
    /// While the server has it.
    pub id: Option<ConnectionId>,
    /// Sent, but not arrived.
    outgoing: VecDeque<u8>,
    /// Arrived, but not read.
    arrived: VecDeque<u8>,
    ends: bool,
    has_ended: bool,
    pub is_reset: bool,
    /// Waits for the client.
    pub down: Vec<u8>,
    /// The last send took less than it was given.
    pub is_blocked: bool,
    pub was_blocked: bool,
    pub blocked_at: Duration,
    /// The server has ended its direction, or dropped the socket.
    pub is_shut: bool,
    pub is_dropped: bool,
    /// The client was told of the end.
    pub is_told: bool,
    /// A slow client will read.
    pub is_taking: bool,
    /// It was one too many.
    pub was_refused: bool,
    readiness: Readiness,
    has_readiness: bool,
    pub is_delivering: bool,
    /// When the server last read something.
    pub heard_at: Duration,
    /// When the client last took something.
    pub took_at: Duration,
    /// How much the client has said, and how much of it the server has read.
    pub said_bytes: u64,
    pub read_bytes: u64,
}

impl Socket {
    /// Whether everything the client has sent was read.
    pub fn is_read(&self) -> bool {
        self.outgoing.is_empty() && self.arrived.is_empty()
    }

    /// Whether something has come that the server has not read, though nothing it sent waits for the client.
    pub fn is_left_unread(&self) -> bool {
        !self.arrived.is_empty() && self.id.is_some() && !self.is_blocked && self.down.is_empty()
    }

    /// Whether the server will send nothing more.
    pub fn is_over(&self) -> bool {
        self.is_shut || self.is_dropped
    }
}

/// All sockets, and the clocks.
#[derive(Debug, Default)]
pub struct Network {
    pub sockets: Vec<Socket>,
    by_id: Vec<Option<Wire>>,
    pub backlog: VecDeque<Wire>,
    /// Sockets with readiness for the next turn.
    eventful: Vec<Wire>,
    /// Sockets that got bytes or an end in this turn.
    pub touched: Vec<Wire>,
    /// Sockets that a send found full.
    pub blocked: Vec<Wire>,
    /// What the server's clocks show.
    pub now: Now,
    /// Connections whose socket the server has dropped in this turn.
    pub closed: Vec<Wire>,
    /// Whether some clients come through proxies.
    pub has_proxies: bool,
    /// Whether these tell each client's address in front of its connection, not in its requests.
    pub has_headers: bool,
    /// Of every byte sent, with its time and wire.
    pub transcript: u64,
    pub sent_bytes: u64,
}

/// A window so small that a send into it is slow, in bytes.
const NARROW: usize = 1_000;
/// What one read costs.
const READ_TIME: Duration = Duration::from_micros(2);
/// What the peer's kernel keeps for the server to read, in bytes.
const ARRIVED_MAX: usize = 256 * 1024;

impl Network {
    pub fn new(now: Now, has_proxies: bool, has_headers: bool) -> Self {
        Self {
            now,
            has_proxies,
            has_headers,
            ..Self::default()
        }
    }

    pub fn trace(&self, wire: Wire, what: impl std::fmt::Display) {
        static TRACED: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
        let traced = TRACED.get_or_init(|| std::env::var("SARANG_WIRE").ok()?.parse().ok());
        if *traced == Some(wire.0) {
            eprintln!("{:?} {wire:?}: {what}", self.now.monotonic);
        }
    }

    pub fn socket(&mut self, wire: Wire) -> &mut Socket {
        &mut self.sockets[wire.0]
    }

    pub fn connect(&mut self, owner: usize, manner: Manner) -> Wire {
        let wire = Wire(self.sockets.len());
        self.sockets.push(Socket {
            owner,
            manner,
            id: None,
            outgoing: VecDeque::new(),
            arrived: VecDeque::new(),
            ends: false,
            has_ended: false,
            is_reset: false,
            down: Vec::new(),
            is_blocked: false,
            was_blocked: false,
            blocked_at: Duration::ZERO,
            is_shut: false,
            is_dropped: false,
            is_told: false,
            is_taking: false,
            was_refused: false,
            readiness: Readiness::default(),
            has_readiness: false,
            is_delivering: false,
            heard_at: self.now.monotonic,
            took_at: Duration::ZERO,
            said_bytes: 0,
            read_bytes: 0,
        });
        if self.has_headers && self.proxy(wire).is_some() {
            let header = proxies::header(manner.address);
            let socket = self.socket(wire);
            socket.said_bytes += header.len() as u64;
            socket.arrived.extend(header);
        }
        self.backlog.push_back(wire);
        wire
    }

    /// The proxy that stands before the server.
    pub fn proxy(&self, wire: Wire) -> Option<IpAddr> {
        let address = self.sockets[wire.0].manner.address;
        proxies::of(address).filter(|_| self.has_proxies)
    }

    /// A client sends something; true when its delivery has to be put on the agenda.
    pub fn say(&mut self, wire: Wire, bytes: &[u8]) -> bool {
        let bytes = &match self.proxy(wire) {
            Some(_) if !self.has_headers => {
                proxies::passed_on(bytes, self.sockets[wire.0].manner.address)
            }
            _ => bytes.into(),
        };
        let socket = self.socket(wire);
        if socket.is_reset || socket.ends {
            return false;
        }
        socket.outgoing.extend(bytes.iter());
        socket.said_bytes += bytes.len() as u64;
        self.trace(
            wire,
            format_args!("says {:?}", String::from_utf8_lossy(bytes)),
        );
        let socket = self.socket(wire);
        !std::mem::replace(&mut socket.is_delivering, true)
    }

    /// A client ends its direction, after what it has sent.
    pub fn end(&mut self, wire: Wire) -> bool {
        let socket = self.socket(wire);
        if socket.is_reset || std::mem::replace(&mut socket.ends, true) {
            return false;
        }
        let first = !std::mem::replace(&mut socket.is_delivering, true);
        self.trace(wire, "ends");
        first
    }

    /// A client resets the connection: what was under way is lost.
    pub fn reset(&mut self, wire: Wire) {
        let socket = self.socket(wire);
        socket.is_reset = true;
        socket.outgoing.clear();
        socket.arrived.clear();
        socket.down.clear();
        // An error shows as readable and writable (epoll(7)).
        self.notify(wire, |readiness| {
            readiness.hung_up = true;
            readiness.writable = true;
        });
        self.trace(wire, "resets");
    }

    /// A piece of what was sent arrives; when the next does.
    pub fn deliver(&mut self, wire: Wire, seed: &mut Seed) -> Option<Duration> {
        let socket = self.socket(wire);
        socket.is_delivering = false;
        if socket.is_reset || socket.is_dropped {
            socket.outgoing.clear();
            return None;
        }
        let (piece, delay) = match socket.manner.pace {
            Pace::Whole => (usize::MAX, Duration::from_millis(1)),
            Pace::Pieces(max, millis) => (1 + seed.below(max), seed.millis(0, millis)),
        };
        let room = ARRIVED_MAX.saturating_sub(socket.arrived.len());
        let count = piece.min(socket.outgoing.len()).min(room);
        let piece: Vec<u8> = socket.outgoing.drain(..count).collect();
        socket.arrived.extend(piece);
        let is_done = socket.outgoing.is_empty();
        let ends = is_done && socket.ends && !std::mem::replace(&mut socket.has_ended, socket.ends);
        self.notify(wire, |readiness| {
            readiness.readable |= count > 0;
            readiness.hung_up |= ends;
        });
        if is_done {
            return None;
        }
        self.socket(wire).is_delivering = true;
        Some(delay)
    }

    /// A client takes what waits for it, at most so much.
    pub fn take(&mut self, wire: Wire, max: usize) -> Vec<u8> {
        let now = self.now.monotonic;
        let socket = self.socket(wire);
        let count = socket.down.len().min(max);
        if count > 0 {
            socket.took_at = now;
        }
        let taken = socket.down.drain(..count).collect();
        if count > 0 && std::mem::take(&mut socket.is_blocked) {
            self.notify(wire, |readiness| readiness.writable = true);
        }
        taken
    }

    /// Has the server see something in its next turn.
    pub fn notify(&mut self, wire: Wire, note: impl FnOnce(&mut Readiness)) {
        let socket = &mut self.sockets[wire.0];
        note(&mut socket.readiness);
        if !std::mem::replace(&mut socket.has_readiness, true) {
            self.eventful.push(wire);
        }
    }

    /// Whether the next turn has something to do at once.
    pub fn is_eventful(&self) -> bool {
        !self.eventful.is_empty() || !self.backlog.is_empty()
    }

    /// What a turn is woken with.
    pub fn take_events(&mut self) -> Vec<(Wire, Readiness)> {
        let mut events = Vec::new();
        for wire in std::mem::take(&mut self.eventful) {
            let socket = &mut self.sockets[wire.0];
            if socket.id.is_none() && !socket.is_dropped {
                // Not accepted yet: what has come shows when it is registered.
                self.eventful.push(wire);
                continue;
            }
            socket.has_readiness = false;
            events.push((wire, std::mem::take(&mut socket.readiness)));
        }
        events
    }

    pub fn accepted(&mut self, wire: Wire, id: ConnectionId) {
        if self.by_id.len() <= id.index() {
            self.by_id.resize(id.index() + 1, None);
        }
        assert_eq!(
            self.by_id[id.index()],
            None,
            "a place is free before it is used again"
        );
        self.by_id[id.index()] = Some(wire);
        let now = self.now.monotonic;
        let socket = self.socket(wire);
        socket.id = Some(id);
        socket.heard_at = now;
        let has_arrived = !socket.arrived.is_empty();
        // A new socket is writable, and says so.
        self.notify(wire, |readiness| {
            readiness.writable = true;
            readiness.readable |= has_arrived;
        });
    }

    pub fn wire(&self, id: ConnectionId) -> Option<Wire> {
        self.by_id.get(id.index()).copied().flatten()
    }

    /// Time passes while something is done.
    fn spend(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.unix += time;
    }

    /// What one send costs: some microseconds, or some hundreds into a window that is nearly always full.
    fn spend_on_sending(&mut self, window: usize) {
        let chance = self.transcript >> 40;
        let micros = match window <= NARROW {
            true => 150 + chance % 350,
            false => 3 + chance % 5,
        };
        self.spend(Duration::from_micros(micros));
    }

    fn note(&mut self, wire: Wire, bytes: &[u8]) {
        let mut hash = self.transcript;
        let mut add = |word: u64| {
            hash = (hash ^ word)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        };
        add(self.now.monotonic.as_nanos() as u64);
        add(wire.0 as u64);
        let words = bytes.chunks_exact(8);
        let mut rest = [0; 8];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        for word in words {
            add(u64::from_le_bytes(word.try_into().expect("is 8 bytes")));
        }
        add(u64::from_le_bytes(rest));
        add(bytes.len() as u64);
        self.transcript = hash;
        self.sent_bytes += bytes.len() as u64;
    }
}

impl Transmit for Network {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        let Some(wire) = self.wire(to) else {
            return Sent::Gone;
        };
        self.spend_on_sending(self.sockets[wire.0].manner.window);
        let now = self.now.monotonic;
        let socket = self.socket(wire);
        if socket.is_reset {
            return Sent::Gone;
        }
        assert!(!socket.is_shut, "nothing is sent after the end");
        let room = socket.manner.window.saturating_sub(socket.down.len());
        let count = bytes.len().min(room);
        socket.down.extend_from_slice(&bytes[..count]);
        if count < bytes.len() {
            if !socket.is_blocked {
                socket.blocked_at = now;
            }
            socket.is_blocked = true;
            socket.was_blocked = true;
            self.blocked.push(wire);
        }
        self.touched.push(wire);
        self.note(wire, &bytes[..count]);
        self.trace(
            wire,
            format_args!(
                "is sent {count} of {}: {:?}",
                bytes.len(),
                String::from_utf8_lossy(&bytes[..count])
            ),
        );
        Sent::Bytes(count)
    }

    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let mut all = Vec::new();
        slices.iter().for_each(|slice| all.extend_from_slice(slice));
        self.send(to, &all)
    }

    fn shutdown(&mut self, to: ConnectionId) {
        if let Some(wire) = self.wire(to) {
            self.socket(wire).is_shut = true;
            self.touched.push(wire);
            self.note(wire, b"end");
            self.trace(wire, "is ended");
        }
    }
}

impl Io for Network {
    fn monotonic(&mut self) -> Duration {
        self.now.monotonic
    }

    fn receive(&mut self, from: ConnectionId, into: &mut [u8]) -> Received {
        self.spend(READ_TIME);
        let now = self.now.monotonic;
        let wire = self.wire(from).expect("only what is open is read");
        let socket = self.socket(wire);
        if socket.is_reset {
            return Received::Gone;
        }
        if socket.arrived.is_empty() {
            return match socket.has_ended {
                true => Received::End,
                false => Received::Empty,
            };
        }
        socket.heard_at = now;
        let count = socket.arrived.len().min(into.len());
        socket.read_bytes += count as u64;
        for (byte, arrived) in into.iter_mut().zip(socket.arrived.drain(..count)) {
            *byte = arrived;
        }
        self.trace(wire, format_args!("is read {count} bytes"));
        Received::Bytes(count)
    }

    fn close(&mut self, id: ConnectionId) {
        let wire = self.by_id[id.index()]
            .take()
            .expect("the server drops what it has");
        let socket = self.socket(wire);
        socket.id = None;
        socket.is_dropped = true;
        self.touched.push(wire);
        self.closed.push(wire);
        self.trace(wire, "is dropped");
    }

    fn log(&mut self, line: &str) {
        assert!(
            line.ends_with('\n') || !line.is_empty(),
            "a line says something"
        );
    }
}
