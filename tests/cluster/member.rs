//! A client: joins rooms at some node, talks, resumes at another one, and keeps what it was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::nodes::Node;
use crate::sockets::{PONG, opening, take_frames, text_frame};

/// A position, as its epoch and number.
pub type Place = (String, u64);

/// Reads `EPOCH:SEQ`.
pub fn place(value: &Value) -> Option<Place> {
    let (epoch, seq) = value.as_str()?.split_once(':')?;
    Some((epoch.into(), seq.parse().ok()?))
}

/// What a member knows of a room.
#[derive(Debug, Default)]
pub struct Room {
    pub is_in: bool,
    /// The position of the newest message it was told.
    pub newest: Option<Place>,
    /// Whether its past was lost since.
    pub online: BTreeSet<String>,
    /// Messages by position, and who said them.
    pub seen: BTreeMap<Place, (String, String)>,
    /// Messages that it was told are deleted.
    pub deleted: BTreeSet<Place>,
    /// Times it was told that something is lost.
    pub losses: usize,
}

/// A client.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    /// The node and the connection there.
    pub at: Option<(usize, ConnectionId)>,
    pub is_open: bool,
    /// How often it was welcomed.
    pub welcomes: usize,
    /// The code of the last close frame.
    pub closed: Option<u64>,
    pub rooms: HashMap<String, Room>,
    /// Messages without an acknowledgement, by `id`: room, text, when they were sent last.
    pub unacked: BTreeMap<String, (String, String, Duration)>,
    pub acked: BTreeMap<String, (String, String, Place)>,
    count: u64,
    pub errors: BTreeMap<String, usize>,
    /// When a join was sent that has no answer.
    pub joins: HashMap<String, Duration>,
    /// How often somebody was told to have left.
    pub leavings: BTreeMap<String, usize>,
    /// Whispers it got, by connection and text: who moves to another node gets an echo there, too.
    pub whispers: BTreeMap<(Option<(usize, ConnectionId)>, String), usize>,
    /// What moderators have done to it, as it was told.
    pub notices: Vec<Value>,
}

impl Member {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            at: None,
            is_open: false,
            welcomes: 0,
            closed: None,
            rooms: HashMap::new(),
            unacked: BTreeMap::new(),
            acked: BTreeMap::new(),
            count: 0,
            errors: BTreeMap::new(),
            joins: HashMap::new(),
            leavings: BTreeMap::new(),
            whispers: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    /// What it still waits for, if anything.
    pub fn lacks(&self) -> Option<String> {
        let outside = self.rooms.iter().filter(|(_, room)| !room.is_in);
        let outside: Vec<&String> = outside.map(|(name, _)| name).collect();
        let is_fine = self.at.is_some()
            && self.unacked.is_empty()
            && self.joins.is_empty()
            && outside.is_empty();
        (!is_fine).then(|| {
            let Self {
                name,
                at,
                is_open,
                unacked,
                joins,
                errors,
                ..
            } = self;
            format!("{name} at {at:?} {is_open} unacked {unacked:?} joins {joins:?} outside {outside:?} errors {errors:?}")
        })
    }

    /// Connects to a node.
    pub fn connect(&mut self, number: usize, node: &mut Node, clock: Duration) {
        self.is_open = false;
        self.at = node.connect(clock).map(|id| (number, id));
        if let Some((_, id)) = self.at {
            node.send(id, opening(&self.name).as_bytes());
        }
    }

    /// Its connection is gone.
    pub fn lose(&mut self) {
        self.at = None;
        self.is_open = false;
        self.joins.clear();
        for room in self.rooms.values_mut() {
            room.is_in = false;
        }
    }

    fn send(&self, node: &mut Node, message: &Value) {
        if let Some((_, id)) = self.at {
            node.send(id, &text_frame(message));
        }
    }

    /// Joins a room, from where it was before.
    pub fn join(&mut self, room: &str, node: &mut Node, clock: Duration) {
        let entry = self.rooms.entry(room.into()).or_default();
        if entry.is_in || self.joins.contains_key(room) || !self.is_open {
            return;
        }
        let mut message = json!({"type": "join", "room": room});
        if let Some((epoch, seq)) = &entry.newest {
            message["since"] = format!("{epoch}:{seq}").into();
        }
        self.joins.insert(room.into(), clock);
        self.send(node, &message);
    }

    /// Says something in a room that it is in.
    pub fn say(&mut self, room: &str, node: &mut Node, clock: Duration) {
        if !self.rooms.get(room).is_some_and(|room| room.is_in) {
            return;
        }
        self.count += 1;
        let (id, text) = (
            format!("{}-{}", self.name, self.count),
            format!("{} says {}", self.name, self.count),
        );
        self.unacked
            .insert(id.clone(), (room.into(), text.clone(), clock));
        self.send(
            node,
            &json!({"type": "chat", "room": room, "content": text, "id": id}),
        );
    }

    /// Sends again what has no acknowledgement, in order.
    pub fn say_again(&mut self, node: &mut Node, clock: Duration) {
        let late: Vec<String> = self.unacked.keys().cloned().collect();
        for id in late {
            let Some((room, text, sent)) = self.unacked.get_mut(&id) else {
                continue;
            };
            let is_in = self.rooms.get(room).is_some_and(|room| room.is_in);
            if is_in && *sent + Duration::from_secs(8) <= clock {
                *sent = clock;
                let message = json!({"type": "chat", "room": room, "content": text, "id": id});
                self.send(node, &message);
            }
        }
    }

    /// Sends any message.
    pub fn send_raw(&self, node: &mut Node, message: &Value) {
        self.send(node, message);
    }

    /// Whispers to somebody.
    pub fn whisper(&mut self, to: &str, node: &mut Node) {
        self.count += 1;
        let text = format!("{} whispers {}", self.name, self.count);
        self.send(node, &json!({"type": "whisper", "to": to, "content": text}));
    }

    /// Reads what the server has sent.
    pub fn read(&mut self, node: &mut Node) {
        let Some((_, id)) = self.at else {
            return;
        };
        let Some(socket) = node.sockets.get(id) else {
            return self.lose();
        };
        if !self.is_open {
            let end = socket
                .bytes
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = socket.bytes.drain(..end + 4).collect();
                self.is_open = head.starts_with(b"HTTP/1.1 101 ");
                if !self.is_open {
                    return self.lose();
                }
            }
        }
        let messages = if self.is_open {
            take_frames(&mut socket.bytes)
        } else {
            Vec::new()
        };
        // A close frame is answered, as every client does.
        let is_over = socket.is_over || messages.iter().any(|message| message["close"].is_u64());
        for message in messages {
            if message["ping"] == true {
                node.send(id, &PONG);
            }
            self.take(&message);
        }
        if is_over {
            node.hang_up(id);
            self.lose();
        }
    }

    fn take(&mut self, message: &Value) {
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        match message["type"].as_str() {
            Some("welcome") => self.welcomes += 1,
            Some("room_joined") => self.joined(&text("room"), message),
            Some("chat") => self.heard(message),
            Some("deleted") => self.told_deleted(message),
            Some("kicked" | "banned") => self.notices.push(message.clone()),
            Some("room_left") => {
                self.rooms.entry(text("room")).or_default().is_in = false;
                self.notices.push(message.clone());
            }
            Some("user_joined") => {
                let room = self.rooms.entry(text("room")).or_default();
                room.online.insert(text("username"));
            }
            Some("user_left") => {
                let room = self.rooms.entry(text("room")).or_default();
                room.online.remove(&text("username"));
                *self.leavings.entry(text("username")).or_default() += 1;
            }
            Some("ack") => {
                let id = text("id");
                let said = self.unacked.remove(&id);
                if let (Some((room, text, _)), Some(place)) = (said, place(&message["position"])) {
                    self.acked.insert(id, (room, text, place));
                }
            }
            Some("whisper") => *self.whispers.entry((self.at, text("content"))).or_default() += 1,
            Some("error") => {
                *self.errors.entry(text("code")).or_default() += 1;
                if text("id").is_empty() {
                    // A join was refused.
                    self.joins.clear();
                }
            }
            _ if message["close"].is_u64() => self.closed = message["close"].as_u64(),
            _ => {}
        }
    }

    fn joined(&mut self, name: &str, message: &Value) {
        self.joins.remove(name);
        let room = self.rooms.entry(name.into()).or_default();
        let now = place(&message["position"]).expect("has a position");
        let is_recovered = message["recovered"] == true;
        if is_recovered {
            let before = room.newest.clone().expect("only a position is resumed");
            assert_eq!(before.0, now.0, "{} resumes in one epoch", self.name);
            let history = message["history"].as_array().into_iter().flatten();
            let places = history.filter_map(|message| place(&message["position"]));
            let missed = places.filter(|place| place.1 > before.1).count() as u64;
            assert_eq!(
                before.1 + missed,
                now.1,
                "{} gets all that was missed in {name}",
                self.name
            );
        } else if room.newest.as_ref().is_some_and(|before| *before != now) {
            room.losses += 1;
        }
        room.is_in = true;
        let online = message["online_users"].as_array().into_iter().flatten();
        room.online = online
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        room.online.insert(self.name.clone());
        let history = message["history"].as_array().cloned().unwrap_or_default();
        if !is_recovered {
            room.newest = None;
        }
        for message in &history {
            match message["type"] == "deleted" {
                true => self.told_deleted(message),
                false => self.heard(message),
            }
        }
        let room = self.rooms.entry(name.into()).or_default();
        room.newest = Some(now);
    }

    /// A message is deleted: in its place in a history, or one that was told before.
    fn told_deleted(&mut self, message: &Value) {
        let at = place(&message["position"]).expect("has a position");
        let name = message["room"].as_str().unwrap_or_default();
        let room = self.rooms.entry(name.into()).or_default();
        if room.newest.as_ref().is_none_or(|newest| newest.1 < at.1) {
            room.newest = Some(at.clone());
        }
        room.deleted.insert(at);
    }

    fn heard(&mut self, message: &Value) {
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let at = place(&message["position"]).expect("has a position");
        let name = text("room");
        let room = self.rooms.entry(name.clone()).or_default();
        if let Some((epoch, seq)) = &room.newest {
            let next = (epoch.clone(), seq + 1);
            assert_eq!(
                at, next,
                "{} hears {name} in order and without a hole",
                self.name
            );
        }
        room.newest = Some(at.clone());
        let said = (text("username"), text("content"));
        let before = room.seen.insert(at.clone(), said.clone());
        assert!(
            before.is_none_or(|before| before == said),
            "{at:?} is one message"
        );
    }
}
