//! Who is told something in a story that is told on several engines: clients of rooms, and readers of events. They keep all of it.

use std::collections::BTreeMap;

use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::nodes::Node;
use crate::sockets::{PONG, opening, take_frames, text_frame};

/// A client's close frame with the code 1000, masked with zeros.
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// A message with an `id`.
#[derive(Clone, Debug)]
pub struct Identified {
    pub kind: &'static str,
    /// The room, or the name of who is whispered to.
    pub place: String,
    pub content: String,
    pub id: String,
}

/// A client of rooms.
#[derive(Debug)]
pub struct Actor {
    pub name: String,
    /// Behind the name in its opening handshake: a guest's key.
    key: &'static str,
    /// Whether it comes with a ticket.
    pub is_account: bool,
    pub token: Option<String>,
    /// The node and the connection there.
    pub at: Option<(usize, ConnectionId)>,
    pub is_open: bool,
    /// By room the position of the newest message it was told.
    pub newest: BTreeMap<String, String>,
    pub last: Option<Identified>,
    count: u64,
    /// What it was told in this step.
    pub told: Vec<Value>,
}

impl Actor {
    pub fn new(name: &str, key: &'static str, is_account: bool) -> Self {
        Self {
            name: name.into(),
            key,
            is_account,
            token: None,
            at: None,
            is_open: false,
            newest: BTreeMap::new(),
            last: None,
            count: 0,
            told: Vec::new(),
        }
    }

    /// Connects to a node, with a ticket if it has got one.
    pub fn connect(&mut self, at: (usize, ConnectionId), node: &mut Node, ticket: Option<&str>) {
        self.at = Some(at);
        self.is_open = false;
        let ticket = ticket.map(|ticket| format!("&ticket={ticket}"));
        let query = format!("{}{}{}", self.name, self.key, ticket.unwrap_or_default());
        node.send(at.1, opening(&query).as_bytes());
    }

    /// Its connection is gone.
    pub fn lose(&mut self) {
        self.at = None;
        self.is_open = false;
    }

    /// Goes away without a word, or says so first.
    pub fn go(&mut self, is_polite: bool, node: &mut Node) {
        let Some((_, id)) = self.at else {
            return;
        };
        match is_polite {
            true => node.send(id, &CLOSE),
            false => {
                node.hang_up(id);
                self.lose();
            }
        }
    }

    pub fn send(&self, message: &Value, node: &mut Node) {
        if let Some((_, id)) = self.at {
            node.send(id, &text_frame(message));
        }
    }

    /// Joins a room, from where it was before if it is to resume.
    pub fn join(&self, room: &str, resumes: bool, node: &mut Node) {
        let mut message = json!({"type": "join", "room": room});
        if let Some(position) = self.newest.get(room).filter(|_| resumes) {
            message["since"] = position.as_str().into();
        }
        self.send(&message, node);
    }

    /// Says something in a room, or whispers it to somebody.
    pub fn say(&mut self, kind: &'static str, place: &str, has_id: bool, node: &mut Node) {
        self.count += 1;
        let said = Identified {
            kind,
            place: place.into(),
            content: format!("{} says {}", self.name, self.count),
            id: format!("{}-{}", self.name, self.count),
        };
        let mut message = said.message();
        match has_id {
            true => self.last = Some(said),
            false => message["id"] = Value::Null,
        }
        self.send(&message, node);
    }

    /// Reads what the server has sent. Returns whether it has answered something.
    pub fn read(&mut self, node: &mut Node) -> bool {
        let Some((_, id)) = self.at else {
            return false;
        };
        let Some(socket) = node.sockets.get(id) else {
            self.told.push(json!({"close": "without a word"}));
            self.lose();
            return false;
        };
        if !self.is_open {
            let end = socket.bytes.windows(4).position(|at| at == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = socket.bytes.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head).into_owned();
                let status = head.lines().next().unwrap_or_default();
                self.told.push(json!({"status": status}));
                self.is_open = head.starts_with("HTTP/1.1 101 ");
            }
        }
        let messages = match self.is_open {
            true => take_frames(&mut socket.bytes),
            false => Vec::new(),
        };
        // A close frame is answered, as every client does.
        let is_over = socket.is_over || messages.iter().any(|message| message["close"].is_u64());
        let mut has_answered = is_over;
        for message in messages {
            if message["ping"] == true {
                node.send(id, &PONG);
                has_answered = true;
            }
            self.learn(&message);
            self.told.push(message);
        }
        if is_over {
            self.told.push(json!({"close": "over"}));
            node.hang_up(id);
            self.lose();
        }
        has_answered
    }

    fn learn(&mut self, message: &Value) {
        let is_newer = ["room_joined", "chat"].contains(&message["type"].as_str().unwrap_or(""));
        if let (true, Some(room), Some(position)) = (
            is_newer,
            message["room"].as_str(),
            message["position"].as_str(),
        ) {
            self.newest.insert(room.into(), position.into());
        }
    }
}

impl Identified {
    pub fn message(&self) -> Value {
        let place = match self.kind {
            "chat" => "room",
            _ => "to",
        };
        json!({"type": self.kind, place: self.place, "content": self.content, "id": self.id})
    }
}

/// A reader of events, who goes on at another node from where it was.
#[derive(Debug, Default)]
pub struct Reader {
    pub at: Option<(usize, ConnectionId)>,
    newest: Option<String>,
    /// What it was told in this step.
    pub told: String,
}

impl Reader {
    pub fn connect(&mut self, at: (usize, ConnectionId), node: &mut Node) {
        self.at = Some(at);
        let newest = self.newest.iter();
        let resumed: String = newest
            .map(|id| format!("Last-Event-ID: {id}\r\n"))
            .collect();
        // Without chunks.
        let request = format!("GET /sse/all HTTP/1.0\r\nHost: x\r\n{resumed}\r\n");
        node.send(at.1, request.as_bytes());
    }

    pub fn go(&mut self, node: &mut Node) {
        if let Some((_, id)) = self.at.take() {
            node.hang_up(id);
        }
    }

    pub fn read(&mut self, node: &mut Node) {
        let Some((_, id)) = self.at else {
            return;
        };
        let Some(socket) = node.sockets.get(id) else {
            self.told += "over\n";
            self.at = None;
            return;
        };
        let text = String::from_utf8_lossy(&std::mem::take(&mut socket.bytes)).into_owned();
        let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        self.newest = ids.next_back().map(str::to_owned).or(self.newest.take());
        self.told += &text;
    }
}
