//! Nodes, members, and the engine, on virtual time: one seed is one story.

use std::time::Duration;

use sarang::config::Config;
use serde_json::json;

use crate::engine::Engine;
use crate::member::Member;
use crate::nodes::{Node, config, key};

/// A source of random numbers: SplitMix64.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below another one.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Whether something happens that does so once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// When every story begins, since 1970.
const BEGINNING: Duration = Duration::from_secs(1_705_314_600);
/// A step of the world.
const STEP: Duration = Duration::from_millis(5);
/// The rooms.
pub const ROOMS: [&str; 3] = ["tech", "사랑방", "random"];

/// Everything.
pub struct World {
    pub engine: Engine,
    pub nodes: Vec<Node>,
    pub members: Vec<Member>,
    pub clock: Duration,
    pub chance: Chance,
    /// The engine does nothing until then.
    pub paused_until: Duration,
    /// The longest delay of a byte on its way.
    pub delay_max: Duration,
    started: u64,
    config: Config,
}

impl World {
    pub fn new(seed: u64, nodes: usize, members: usize) -> Self {
        Self::with(config(), seed, nodes, members)
    }

    /// The same, with another configuration.
    pub fn with(config: Config, seed: u64, nodes: usize, members: usize) -> Self {
        let mut engine = Engine::new(seed);
        // Redis 7.0 sends a push to oneself before the reply, Valkey 8 after it.
        engine.set_early_pushes(seed.is_multiple_of(2));
        let mut world = Self {
            engine,
            nodes: Vec::new(),
            members: (0..members)
                .map(|n| Member::new(&format!("m{n}")))
                .collect(),
            clock: BEGINNING,
            chance: Chance::new(seed),
            paused_until: Duration::ZERO,
            delay_max: Duration::from_millis(10),
            started: seed << 16,
            config,
        };
        for _ in 0..nodes {
            let node = world.start_node();
            world.nodes.push(node);
        }
        world.pass(Duration::from_secs(2));
        world
    }

    /// A node that starts now.
    pub fn start_node(&mut self) -> Node {
        self.started += 1;
        Node::start(self.config.clone(), self.started, self.clock)
    }

    /// One step: the network, the processes, the clients.
    pub fn step(&mut self) {
        self.clock += STEP;
        for number in 0..self.nodes.len() {
            let delay =
                Duration::from_micros(self.chance.below(self.delay_max.as_micros() as u64 + 1));
            let node = &mut self.nodes[number];
            if self.paused_until <= self.clock {
                node.carry(&mut self.engine, delay, self.clock);
            }
            node.step(&mut self.engine, delay, self.clock);
        }
        for member in &mut self.members {
            if let Some((number, _)) = member.at {
                member.read(&mut self.nodes[number]);
            }
        }
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock + time;
        while self.clock < end {
            self.step();
        }
    }

    /// Passes time until something holds.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..40_000 {
            if holds(self) {
                return;
            }
            self.step();
        }
        panic!("after 200 s not yet: {what}");
    }

    /// A member does something with its node.
    pub fn act(&mut self, member: usize, act: impl FnOnce(&mut Member, &mut Node, Duration)) {
        let member = &mut self.members[member];
        if let Some((number, _)) = member.at {
            act(member, &mut self.nodes[number], self.clock);
        }
    }

    /// A member connects to a node, and joins a room when it is there.
    pub fn enter(&mut self, member: usize, node: usize, room: &str) {
        let clock = self.clock;
        self.members[member].connect(node, &mut self.nodes[node], clock);
        self.pass(Duration::from_millis(200));
        self.act(member, |member, node, clock| member.join(room, node, clock));
        let room = room.to_owned();
        self.until("is in the room", |world| {
            world.members[member].rooms[&room].is_in
        });
    }

    /// Whether everybody who wants to be somewhere is there, and nothing waits for an acknowledgement.
    pub fn is_settled(&self) -> bool {
        self.members.iter().all(|member| member.lacks().is_none())
    }
}

/// An HTTP exchange with a node: the answer's head and body.
impl World {
    pub fn request(&mut self, node: usize, request: &str) -> (String, serde_json::Value) {
        let (head, body) = self.exchange(node, request);
        (head, serde_json::from_str(&body).unwrap_or_default())
    }

    /// The same, with the body as it is.
    pub fn exchange(&mut self, node: usize, request: &str) -> (String, String) {
        let clock = self.clock;
        let id = self.nodes[node].connect(clock).expect("is accepted");
        self.nodes[node].send(id, request.as_bytes());
        for _ in 0..2_000 {
            self.step();
            let bytes = self.nodes[node]
                .sockets
                .get(id)
                .map(|socket| socket.bytes.clone());
            let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && is_whole(head, body)
            {
                self.nodes[node].hang_up(id);
                return (head.to_owned(), body.to_owned());
            }
        }
        panic!("no answer to {request}");
    }

    pub fn get(&mut self, node: usize, target: &str) -> (String, serde_json::Value) {
        self.request(node, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    pub fn post(
        &mut self,
        node: usize,
        target: &str,
        token: &str,
        body: &str,
    ) -> (String, serde_json::Value) {
        let length = body.len();
        self.request(
            node,
            &format!(
                "POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            ),
        )
    }
    /// What a moderator asks for: the status, and the body.
    pub fn moderate(
        &mut self,
        node: usize,
        method: &str,
        target: &str,
        body: &serde_json::Value,
    ) -> (u16, serde_json::Value) {
        let at = self.clock.as_secs();
        let claims =
            json!({"sub": "boss", "iat": at, "exp": at + 600, "jti": "boss", "admin": true});
        let token = key().sign(&claims);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let length = body.len();
        let (head, body) = self.request(
            node,
            &format!(
                "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            ),
        );
        let status = head.split(' ').nth(1).expect("a status");
        (status.parse().expect("is a number"), body)
    }
}

/// Whether all of a body has come, if its length is known.
fn is_whole(head: &str, body: &str) -> bool {
    let lower = head.to_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| {
        length
            .parse()
            .is_ok_and(|length: usize| body.len() >= length)
    })
}
