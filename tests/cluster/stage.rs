//! Nodes on an engine that they share, step by step: every step ends when nothing is on its way any more. What everybody is told is
//! written down, without what an engine draws by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use sarang::config::Config;
use serde_json::Value;

use crate::actors::{Actor, Reader};
use crate::nodes::Node;
use crate::peer::Said;
use crate::shared::Shared;

/// When every story begins, since 1970.
const BEGINNING: Duration = Duration::from_secs(1_705_314_600);
/// Time passes so much at once, for the nodes.
const STEP: Duration = Duration::from_millis(100);
/// Exchanges after which nothing more is on its way.
const ROUNDS_MAX: usize = 1_000;

/// What was done, and what everybody was told of it.
#[derive(Debug, Default)]
pub struct Transcript {
    pub lines: Vec<String>,
    /// Epochs in the order in which they were told, because nodes draw them in the order of their tables.
    epochs: BTreeMap<String, usize>,
}

impl Transcript {
    fn position(&mut self, position: &str) -> String {
        let (epoch, number) = position.split_once(':').expect("a position has an epoch");
        let next = self.epochs.len() + 1;
        let epoch = *self.epochs.entry(epoch.into()).or_insert(next);
        format!("epoch {epoch}:{number}")
    }

    /// A value without what differs: times and the order of people are the engine's.
    fn plain(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                let is_chat = members.get("type").is_some_and(|kind| kind == "chat");
                for (name, member) in members {
                    match (name.as_str(), &mut *member) {
                        ("position", Value::String(position)) => {
                            *member = self.position(position).into();
                        }
                        ("created_at", _) => *member = "at a time".into(),
                        ("timestamp", _) if is_chat => *member = "at a time".into(),
                        ("online_users" | "guests", Value::Array(names)) => {
                            names.sort_by_key(Value::to_string);
                        }
                        (_, member) => self.plain(member),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.plain(item)),
            _ => {}
        }
    }

    /// Writes down what somebody was told in a step: in order for each room, and of people who come or go at once for each of
    /// them.
    fn write(&mut self, who: &str, mut told: Vec<Value>) {
        told.sort_by_key(|message| message["room"].as_str().unwrap_or_default().to_owned());
        let is_presence = |message: &Value| {
            let kind = message["type"].as_str().unwrap_or_default();
            ["user_joined", "user_left"].contains(&kind)
        };
        let is_alike = |one: &Value, next: &Value| {
            is_presence(one) && is_presence(next) && one["room"] == next["room"]
        };
        for run in told.chunk_by_mut(is_alike) {
            run.sort_by_key(|message| message["username"].to_string());
        }
        for mut message in told {
            self.plain(&mut message);
            self.lines.push(format!("    {who}: {message}"));
        }
    }
}

pub struct Stage<E> {
    pub engine: E,
    pub nodes: Vec<Node>,
    /// The names of the nodes at the engine.
    names: Vec<String>,
    pub actors: Vec<Actor>,
    pub readers: Vec<Reader>,
    pub clock: Duration,
    pub transcript: Transcript,
    config: Config,
    started: u64,
}

impl<E: Shared> Stage<E> {
    pub fn new(engine: E, config: Config, seed: u64, nodes: usize, actors: Vec<Actor>) -> Self {
        let mut stage = Self {
            engine,
            nodes: Vec::new(),
            names: Vec::new(),
            actors,
            readers: Vec::new(),
            clock: BEGINNING,
            transcript: Transcript::default(),
            config,
            started: seed << 16,
        };
        for number in 0..nodes {
            stage.start_node(number);
        }
        stage
    }

    /// A node starts, in the place of another one or behind all.
    fn start_node(&mut self, number: usize) {
        let before = self.registered();
        self.started += 1;
        let node = Node::start(self.config.clone(), self.started, self.clock);
        match self.nodes.get_mut(number) {
            Some(place) => *place = node,
            None => self.nodes.push(node),
        }
        self.settle();
        let mut new = self.registered();
        new.retain(|name| !before.contains(name));
        assert_eq!(new.len(), 1, "a node is known once it has started");
        match self.names.get_mut(number) {
            Some(place) => *place = new.remove(0),
            None => self.names.push(new.remove(0)),
        }
    }

    /// The names of the nodes that the engine knows.
    fn registered(&mut self) -> Vec<String> {
        let Said::List(_, names) = self.engine.operate(&["ZRANGE", "sg:nodes", "0", "-1"]) else {
            panic!("an engine lists the nodes");
        };
        let names = names.into_iter().map(|name| match name {
            Said::Bulk(name) => name,
            other => panic!("no name: {other:?}"),
        });
        names.collect()
    }

    /// One exchange of all nodes with the engine, one after the other. Returns whether more is on its way.
    pub fn exchange(&mut self) -> bool {
        for node in &mut self.nodes {
            node.step(&mut self.engine, Duration::ZERO, self.clock);
        }
        for node in &mut self.nodes {
            node.carry(&mut self.engine, Duration::ZERO, self.clock);
        }
        self.nodes.iter().any(Node::is_exchanging)
    }

    /// Exchanges until nothing is on its way between clients, nodes and the engine.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.exchange() && !self.read() {
                return;
            }
        }
        panic!("something is on its way for ever");
    }

    /// Everybody reads. Returns whether somebody has answered something.
    fn read(&mut self) -> bool {
        let mut has_answered = false;
        for actor in &mut self.actors {
            if let Some((number, _)) = actor.at {
                has_answered |= actor.read(&mut self.nodes[number]);
            }
        }
        for reader in &mut self.readers {
            if let Some((number, _)) = reader.at {
                reader.read(&mut self.nodes[number]);
            }
        }
        has_answered
    }

    /// Time passes for the nodes.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock + time;
        while self.clock < end {
            self.clock += STEP;
            self.settle();
        }
    }

    /// Writes down what was done, and what everybody was told.
    pub fn write(&mut self, done: String) {
        self.transcript.lines.push(done);
        for (number, actor) in self.actors.iter_mut().enumerate() {
            let who = format!("{} ({number})", actor.name);
            self.transcript.write(&who, std::mem::take(&mut actor.told));
        }
        for (number, reader) in self.readers.iter_mut().enumerate() {
            for line in std::mem::take(&mut reader.told).lines() {
                let line = format!("    reader {number}: {line}");
                self.transcript.lines.push(line);
            }
        }
    }

    /// An HTTP exchange with a node: the status, and the body if it is JSON.
    pub fn request(&mut self, node: usize, request: &str) -> (String, Value) {
        let id = self.nodes[node].connect(self.clock).expect("is accepted");
        self.nodes[node].send(id, request.as_bytes());
        self.settle();
        let socket = self.nodes[node].sockets.get(id);
        let bytes = socket.map(|socket| std::mem::take(&mut socket.bytes));
        let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        self.nodes[node].hang_up(id);
        self.settle();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.lines().next().unwrap_or("no answer yet");
        (
            status.into(),
            serde_json::from_str(body).unwrap_or_default(),
        )
    }

    /// The same, and the answer is written down.
    pub fn ask(&mut self, node: usize, request: &str) {
        let (status, mut body) = self.request(node, request);
        self.transcript.plain(&mut body);
        let line = request.lines().next().unwrap_or_default();
        let line = format!("  {line} at {node}: {status} {body}");
        self.transcript.lines.push(line);
    }

    pub fn post(&mut self, node: usize, target: &str, token: &str, body: &str) {
        self.ask(node, &posting(target, token, body));
    }

    /// The engine closes the connection of a node.
    pub fn kill_link(&mut self, node: usize) {
        let Some(link) = self.nodes[node].link() else {
            return;
        };
        if !self.engine.is_closed(link) {
            let number = self.engine.number(link);
            let killed = self.engine.operate(&["CLIENT", "KILL", "ID", &number]);
            assert_eq!(killed, Said::Integer("1".into()), "{number}");
            assert!(self.engine.is_closed(link), "{number}");
        }
    }

    /// A node is killed, and another one starts. The engine is told at once that the lease is over: its clock is its own.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node].kill(&mut self.engine);
        for actor in &mut self.actors {
            if actor.at.is_some_and(|(at, _)| at == node) {
                actor.lose();
            }
        }
        for reader in &mut self.readers {
            reader.at.take_if(|(at, _)| *at == node);
        }
        let name = self.names[node].clone();
        self.engine.operate(&["ZADD", "sg:nodes", "XX", "1", &name]);
        if self.engine.operate(&["GET", "sg:lead"]) == Said::Bulk(name) {
            self.engine.operate(&["DEL", "sg:lead"]);
        }
        self.start_node(node);
    }
}

/// A request with a body.
pub fn posting(target: &str, token: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
