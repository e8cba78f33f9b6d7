//! A whole server as a node, and the bytes on their way between it and the engine.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sarang::config::{Cluster, Config};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::Credentials;
use sarang::domain::ids::ConnectionId;
use sarang::domain::metrics::Machine;
use sarang::domain::time::Now;
use sarang::server::Server;
use sarang::server::jobs::{Done, Job};
use sarang::server::node::Dial;
use sarang::wire::jwt::Key;

use crate::engine::{Client, Engine};
use crate::sockets::{Socket, Sockets};

/// Connections to an engine, be it the model or a real one.
pub trait Transport {
    fn connect(&mut self) -> Client;
    /// The node has closed its connection.
    fn disconnect(&mut self, client: Client);
    /// The engine gets bytes. `unix` is the wall clock of the model.
    fn receive(&mut self, client: Client, bytes: &[u8], unix: Duration);
    /// Takes what the engine has sent.
    fn take_output(&mut self, client: Client) -> Vec<u8>;
    /// Whether the connection is closed, by whichever side.
    fn is_closed(&self, client: Client) -> bool;
}

impl Transport for Engine {
    fn connect(&mut self) -> Client {
        Self::connect(self)
    }

    fn disconnect(&mut self, client: Client) {
        Self::disconnect(self, client);
    }

    fn receive(&mut self, client: Client, bytes: &[u8], unix: Duration) {
        Self::receive(self, client, bytes, unix);
    }

    fn take_output(&mut self, client: Client) -> Vec<u8> {
        Self::take_output(self, client)
    }

    fn is_closed(&self, client: Client) -> bool {
        Self::is_closed(self, client)
    }
}

/// Bytes that arrive at a time.
type Way = VecDeque<(Duration, Vec<u8>)>;

/// A node: a server, its sockets, and its connection to the engine.
pub struct Node {
    pub server: Server,
    pub sockets: Sockets,
    link: Option<Client>,
    /// When a connection that is being made stands.
    dialing: Option<Duration>,
    to_engine: Way,
    from_engine: Way,
    /// What was sent over connections that are given up, and the engine has not read yet.
    orphans: Vec<(Client, Way)>,
    /// Nothing is done until then: the process is stopped.
    pub stopped_until: Duration,
    /// No byte gets through until then.
    pub cut_until: Duration,
    /// Until then nothing that the engine says gets through, while it hears all.
    pub deaf_until: Duration,
    /// When the process was started.
    started: Duration,
}

/// The secret of all nodes, which signs tokens.
pub fn key() -> Key {
    Key::new(None, &[2; 32]).expect("is long enough")
}

fn credentials() -> Credentials {
    let accounts = Accounts::parse(DEMO_ACCOUNTS, [1; 32]).expect("reads");
    let key = key();
    Credentials {
        accounts: accounts.into(),
        keys: vec![key],
        api_keys: ApiKeys::default(),
    }
}

/// The configuration of a node in the demo.
pub fn config() -> Config {
    Config {
        cluster: Some(Cluster::parse("redis://127.0.0.1:6379").expect("is one")),
        hosts: vec!["x".into()],
        messages_per_second: 0,
        ..Config::default()
    }
}

impl Node {
    /// A node that starts now, with random bytes of its own.
    pub fn start(config: Config, seed: u64, clock: Duration) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let now = Now {
            monotonic: Duration::ZERO,
            unix: clock,
        };
        Self {
            server: Server::with_cluster(config, credentials(), &bytes, now),
            sockets: Sockets::default(),
            link: None,
            dialing: None,
            to_engine: VecDeque::new(),
            from_engine: VecDeque::new(),
            orphans: Vec::new(),
            stopped_until: Duration::ZERO,
            cut_until: Duration::ZERO,
            deaf_until: Duration::ZERO,
            started: clock,
        }
    }

    /// The clocks of the process. The monotonic one begins with it.
    pub fn now(&self, clock: Duration) -> Now {
        Now {
            monotonic: clock - self.started,
            unix: clock,
        }
    }

    /// A new connection.
    pub fn connect(&mut self, clock: Duration) -> Option<ConnectionId> {
        let id = self
            .server
            .accept(IpAddr::V4(Ipv4Addr::LOCALHOST), self.now(clock))?;
        self.sockets.dropped.remove(&id);
        self.sockets.all.insert(id, Socket::default());
        Some(id)
    }

    /// A client sends bytes.
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(socket) = self.sockets.all.get_mut(&id) {
            socket.sent.extend_from_slice(bytes);
            self.server.readable(id);
        }
    }

    /// A client goes away.
    pub fn hang_up(&mut self, id: ConnectionId) {
        if let Some(socket) = self.sockets.all.get_mut(&id) {
            socket.has_ended = true;
            self.server.ending(id);
        }
    }

    /// What the loop of the process does: reads the engine, runs turns, writes to the engine. `delay` is what a byte takes.
    pub fn step(&mut self, engine: &mut impl Transport, delay: Duration, clock: Duration) {
        if self.stopped_until > clock {
            return;
        }
        let now = self.now(clock);
        self.sockets.monotonic = now.monotonic;
        if self.dialing.is_some_and(|at| at <= clock) && self.cut_until <= clock {
            self.dialing = None;
            self.link = Some(engine.connect());
            self.server.engine_connected(now);
        }
        if self.link.is_some_and(|link| engine.is_closed(link)) && self.from_engine.is_empty() {
            self.drop_link(engine);
            self.server.engine_lost("closed", now);
        }
        while self.from_engine.front().is_some_and(|(at, _)| *at <= clock)
            && let Some((_, bytes)) = self.from_engine.pop_front()
        {
            self.server.engine_received(&bytes, now);
        }
        for _ in 0..64 {
            while let Some((serial, job)) = self.server.poll_job() {
                if matches!(job, Job::SampleMachine) {
                    let done = Done::MachineSampled(Machine::default());
                    self.server.finished(serial, done, now);
                }
            }
            if !self.server.turn(now, &mut self.sockets) {
                break;
            }
        }
        while let Some(dial) = self.server.poll_dial() {
            self.drop_link(engine);
            self.dialing = matches!(dial, Dial::Open(_)).then(|| clock + delay);
        }
        if let Some(out) = self.server.engine_output(now)
            && self.link.is_some()
            && !out.is_empty()
        {
            let bytes = std::mem::take(out);
            self.to_engine.push_back((clock + delay, bytes));
        }
    }

    /// The network: bytes that are due reach the engine, and what it answers is on its way.
    pub fn carry(&mut self, engine: &mut impl Transport, delay: Duration, clock: Duration) {
        if self.cut_until > clock {
            return;
        }
        // Before or after what comes over a new one.
        let is_before = clock.as_micros().is_multiple_of(2);
        if is_before {
            self.carry_orphans(engine, clock);
        }
        self.carry_link(engine, delay, clock);
        if !is_before {
            self.carry_orphans(engine, clock);
        }
    }

    fn carry_link(&mut self, engine: &mut impl Transport, delay: Duration, clock: Duration) {
        let Some(link) = self.link else {
            return;
        };
        while self.to_engine.front().is_some_and(|(at, _)| *at <= clock)
            && let Some((_, bytes)) = self.to_engine.pop_front()
        {
            engine.receive(link, &bytes, clock);
        }
        // It may have waited for replicas.
        engine.receive(link, &[], clock);
        if self.deaf_until > clock {
            return;
        }
        let bytes = engine.take_output(link);
        if !bytes.is_empty() {
            // In order.
            let last = self
                .from_engine
                .back()
                .map_or(Duration::ZERO, |(at, _)| *at);
            self.from_engine
                .push_back(((clock + delay).max(last), bytes));
        }
    }

    fn drop_link(&mut self, engine: &mut impl Transport) {
        let sent = std::mem::take(&mut self.to_engine);
        if let Some(link) = self.link.take() {
            match sent.is_empty() || engine.is_closed(link) {
                true => engine.disconnect(link),
                // It will read that all the same.
                false => self.orphans.push((link, sent)),
            }
        }
        self.from_engine.clear();
    }

    /// The engine reads what was sent over connections that are given up, unless it was made to close them.
    fn carry_orphans(&mut self, engine: &mut impl Transport, clock: Duration) {
        for (link, mut sent) in std::mem::take(&mut self.orphans) {
            if engine.is_closed(link) {
                continue;
            }
            while sent.front().is_some_and(|(at, _)| *at <= clock)
                && let Some((_, bytes)) = sent.pop_front()
            {
                engine.receive(link, &bytes, clock);
            }
            match sent.is_empty() {
                true => engine.disconnect(link),
                false => self.orphans.push((link, sent)),
            }
        }
    }

    /// The process is killed: its sockets are gone.
    pub fn kill(&mut self, engine: &mut impl Transport) {
        self.drop_link(engine);
    }

    /// The connection to the engine breaks.
    pub fn cut(&mut self, engine: &mut impl Transport, clock: Duration) {
        if self.link.is_some() {
            self.drop_link(engine);
            let now = self.now(clock);
            self.server.engine_lost("reset", now);
        }
    }

    /// Its connection to the engine.
    pub fn link(&self) -> Option<Client> {
        self.link
    }

    /// Whether bytes are on their way between it and the engine, or a connection is being made.
    pub fn is_exchanging(&self) -> bool {
        let is_connecting = self.dialing.is_some();
        is_connecting || !self.to_engine.is_empty() || !self.from_engine.is_empty()
    }

    /// Whether it has a connection to the engine.
    pub fn has_link(&self) -> bool {
        self.link.is_some()
    }

    /// Whether it samples for all.
    pub fn samples(&self) -> bool {
        self.server.samples_for_all()
    }

    /// Whether it answers `/readyz` with 200.
    pub fn is_ready(&mut self, engine: &mut impl Transport, clock: Duration) -> bool {
        let Some(id) = self.connect(clock) else {
            return false;
        };
        self.send(
            id,
            b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        self.step(engine, Duration::ZERO, clock);
        let answer = self.sockets.get(id).map(|socket| socket.bytes.clone());
        answer.unwrap_or_default().starts_with(b"HTTP/1.1 200 ")
    }
}
