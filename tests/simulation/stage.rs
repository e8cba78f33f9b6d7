//! What a client acts on: the network, the agenda, the model, and what time it is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use sarang::domain::time::Now;

use super::backend::Backend;
use super::files::Change;
use super::model::Model;
use super::network::{Manner, Network, Wire};
use super::seed::Seed;

/// What is to be done at some time.
#[derive(Clone, Debug)]
pub enum Todo {
    /// A client does something.
    Act(usize),
    /// Bytes on a wire arrive.
    Deliver(Wire),
    /// A slow client reads.
    Take(Wire),
    /// A client's connection must be over by now, if it still is the same.
    Judge(usize, Wire),
    /// A job is done.
    Finish(u64),
    /// The wall clock jumps by so many seconds.
    Jump(i64),
    /// The operator changes the files, and has them read again.
    Reload(Change),
    /// Everything is compared.
    Inspect,
}

/// What is to be done, by time.
#[derive(Debug, Default)]
pub struct Agenda {
    todos: BTreeMap<(Duration, u64), Todo>,
    count: u64,
    /// Times are multiples of this, so that much happens in one turn.
    quantum: Duration,
}

impl Agenda {
    pub fn new(quantum: Duration) -> Self {
        Self {
            quantum,
            ..Self::default()
        }
    }

    pub fn add(&mut self, at: Duration, todo: Todo) {
        self.count += 1;
        let quantum = self.quantum.as_nanos().max(1);
        let at = Duration::from_nanos((at.as_nanos().div_ceil(quantum) * quantum) as u64);
        self.todos.insert((at, self.count), todo);
    }

    pub fn next(&self) -> Option<Duration> {
        self.todos.first_key_value().map(|((at, _), _)| *at)
    }

    pub fn pop(&mut self, now: Duration) -> Option<Todo> {
        let entry = self.todos.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

/// Everything but the server and the clients.
pub struct Stage {
    pub network: Network,
    pub agenda: Agenda,
    pub model: Model,
    /// Where the server's wishes go, if they leave it.
    pub backend: Option<Backend>,
    pub seed: Seed,
    /// When clients stop beginning anything.
    pub end: Duration,
    /// Tickets on their way to those who will show them.
    pub handed_out: Vec<(usize, String)>,
}

impl Stage {
    /// What the clocks show.
    pub fn now(&self) -> Now {
        self.network.now
    }

    pub fn at(&self) -> Duration {
        self.network.now.monotonic
    }

    pub fn unix_secs(&self) -> u64 {
        self.now().unix.as_secs()
    }

    pub fn connect(&mut self, owner: usize, manner: Manner) -> Wire {
        self.network.connect(owner, manner)
    }

    pub fn send(&mut self, wire: Wire, bytes: &[u8]) {
        if self.network.say(wire, bytes) {
            self.agenda.add(self.at(), Todo::Deliver(wire));
        }
    }

    /// Ends our direction, after what was sent.
    pub fn finish(&mut self, wire: Wire) {
        if self.network.end(wire) {
            self.agenda.add(self.at(), Todo::Deliver(wire));
        }
    }

    pub fn act_in(&mut self, client: usize, low: u64, high: u64) {
        let at = self.at() + self.seed.millis(low, high);
        self.agenda.add(at, Todo::Act(client));
    }

    pub fn judge_at(&mut self, client: usize, wire: Wire, at: Duration) {
        self.agenda.add(at, Todo::Judge(client, wire));
    }

    /// Whoever redeems tickets outside of the server knows of each.
    pub fn note_ticket(&mut self, ticket: &str, token: &str) {
        let until = self.at() + self.model.config.ticket_ttl;
        let identity = self.model.register.identity(token, self.unix_secs());
        if let (Some(backend), Some(identity)) = (&mut self.backend, identity) {
            backend.issued(ticket, identity, until);
        }
    }

    pub fn is_over(&self, wire: Wire) -> bool {
        self.network.sockets[wire.0].is_over()
    }

    /// An address that counts, shared by few.
    pub fn address(&mut self) -> IpAddr {
        IpAddr::from([10, 0, self.seed.below(4) as u8, self.seed.below(40) as u8])
    }
}

/// A client's frame (RFC 6455 section 5.2), masked.
pub fn frame(first: u8, payload: &[u8], seed: &mut Seed, out: &mut Vec<u8>) {
    out.push(first);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            out.push(0xfe);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend((length as u64).to_be_bytes());
        }
    }
    let mask = (seed.number() as u32).to_be_bytes();
    out.extend(mask);
    let masked = payload
        .iter()
        .enumerate()
        .map(|(at, byte)| byte ^ mask[at % 4]);
    out.extend(masked);
}

/// Percent-encoded, all of it that needs to be.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// An opening handshake.
pub fn handshake(query: &str) -> String {
    format!(
        "GET /ws?{query} HTTP/1.1\r\nHost: sarang\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// What answers that key (RFC 6455 section 1.3).
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request with a body of JSON.
pub fn post(path: &str, body: &str, token: Option<&str>) -> String {
    let authorization = bearer(token);
    format!(
        "POST {path} HTTP/1.1\r\nHost: sarang\r\n{authorization}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The same with the body in chunks of so many characters, an extension and a trailer field (RFC 9112 section 7.1).
pub fn post_in_chunks(path: &str, body: &str, token: Option<&str>, size: usize) -> String {
    let mut request = post(path, "", token).replacen(
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        1,
    );
    let characters: Vec<char> = body.chars().collect();
    for chunk in characters.chunks(size) {
        let chunk: String = chunk.iter().collect();
        request += &format!("{:x};size={size}\r\n{chunk}\r\n", chunk.len());
    }
    request + "0\r\nSize: 1\r\n\r\n"
}

pub fn get(path: &str, token: Option<&str>) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: sarang\r\n{}\r\n",
        bearer(token)
    )
}

fn bearer(token: Option<&str>) -> String {
    token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    })
}
