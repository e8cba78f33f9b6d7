//! The messages that the clients of `server_operations` send, and what all clients together know from received ones.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use serde_json::{Value, json};

use super::requests::{NAMES, ROOMS, pick};

/// How many tokens and tickets are remembered.
const KEPT: usize = 4;

/// A message of a chat client.
#[derive(Debug, Arbitrary)]
#[allow(missing_docs, reason = "the names are the wire's")]
pub enum Say {
    Join { room: u8, since: Option<u8> },
    Chat { room: u8, id: Option<u8>, chars: u8 },
    Whisper { to: u8, id: Option<u8> },
    Leave { room: u8 },
    RoomList,
    Auth { ticket: u8 },
    Ping,
    Binary,
    Fragment { is_first: bool, is_last: bool },
    Close,
}

/// The WebSocket frame for a message.
#[derive(Debug)]
pub enum Message {
    /// A text.
    Text(Value),
    /// Another frame.
    Frame(Vec<u8>),
}

impl Message {
    /// Its frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Text(value) => frame(0x81, value.to_string().as_bytes()),
            Self::Frame(bytes) => bytes.clone(),
        }
    }
}

/// What all clients together know.
#[derive(Debug, Default)]
pub struct Known {
    /// The tokens that were issued last.
    pub tokens: Vec<String>,
    /// The tickets that were issued last.
    pub tickets: Vec<String>,
    /// The latest epoch of a room.
    pub epochs: BTreeMap<String, String>,
    /// Each message by its room and position.
    messages: BTreeMap<(String, String), Value>,
    /// The place of each message, by its content and epoch: after a room's past is lost, a message may be sent again.
    places: BTreeMap<(String, String), (String, String)>,
    /// The room in which each content is sent, and its author, if that is known.
    said: BTreeMap<String, (String, String)>,
    /// Contents that may be delivered after their author has left: the author was told that they failed, but they were kept.
    pub orphans: BTreeSet<String>,
    /// Contents that were said over a connection that was over, and must not be heard.
    pub dead: BTreeSet<String>,
    /// How many contents were made so far.
    count: u64,
}

/// The epoch and the number of a position.
pub fn read_position(message: &Value) -> (String, u64) {
    let position = message["position"].as_str().expect("is text");
    let (epoch, seq) = position.split_once(':').expect("has two parts");
    (epoch.to_owned(), seq.parse().expect("is a number"))
}

impl Known {
    /// Records that a user sends this content to a room.
    pub fn note_said(&mut self, content: &str, room: &str, name: &str) {
        let said = (room.to_owned(), name.to_owned());
        self.said.entry(content.to_owned()).or_insert(said);
    }

    /// The room to which a content is sent.
    pub fn room_of(&self, content: &str) -> Option<&str> {
        self.said.get(content).map(|(room, _)| room.as_str())
    }

    /// Whether a message is in a room's history.
    pub fn is_told(&self, content: &str) -> bool {
        let first = (content.to_owned(), String::new());
        let next = self.places.range(first..).next();
        next.is_some_and(|((other, _), _)| other == content)
    }

    /// Records a message: it must be the same for every client at all times, have one place, and have been sent there.
    pub fn note(&mut self, chat: &Value) {
        let text = |name: &str| chat[name].as_str().expect("is text").to_owned();
        let place = (text("room"), text("position"));
        assert!(
            !self.dead.contains(&text("content")),
            "said after the end, and heard"
        );
        let first = self
            .messages
            .entry(place.clone())
            .or_insert_with(|| chat.clone());
        assert_eq!(first, chat);
        let content = (text("content"), read_position(chat).0);
        assert_eq!(
            self.places.entry(content).or_insert(place.clone()),
            &place,
            "nothing is said twice"
        );
        let (room, name) = &self.said[&text("content")];
        assert_eq!(room, &place.0, "it was not said here");
        assert!(name.is_empty() || *name == text("username"));
    }

    /// Records what a response contained.
    pub fn learn(&mut self, status: u16, body: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return;
        };
        assert_eq!(
            value["error"]["code"].is_string(),
            status >= 400,
            "{status} {value}"
        );
        for (name, kept) in [
            ("access_token", &mut self.tokens),
            ("ticket", &mut self.tickets),
        ] {
            if let Some(text) = value[name].as_str() {
                keep(kept, text);
            }
        }
    }

    /// A token is the newest one from here on.
    pub fn remember(&mut self, token: &str) {
        keep(&mut self.tokens, token);
    }

    /// The ticket that this message shows.
    pub fn ticket_of(&self, say: &Say) -> Option<&String> {
        match say {
            Say::Auth { ticket } => self.tickets.get(usize::from(*ticket) % KEPT),
            _ => None,
        }
    }

    /// The JSON of this message.
    pub fn compose(&mut self, say: &Say) -> Message {
        let since = |room: u8, seq: u8| {
            let epoch = self.epochs.get(pick(&ROOMS, room));
            format!("{}:{seq}", epoch.map_or("0", String::as_str))
        };
        let mut message = match say {
            Say::Join { room, since: None } => json!({"type": "join", "room": pick(&ROOMS, *room)}),
            Say::Join {
                room,
                since: Some(seq),
            } => {
                json!({"type": "join", "room": pick(&ROOMS, *room), "since": since(*room, *seq)})
            }
            Say::Chat { room, chars, .. } => {
                self.count += 1;
                let content = match chars % 16 {
                    too_many @ 9.. => "긴".repeat(too_many.into()),
                    _ => format!("m{}", self.count),
                };
                json!({"type": "chat", "room": pick(&ROOMS, *room), "content": content})
            }
            Say::Whisper { to, .. } => {
                json!({"type": "whisper", "to": pick(&NAMES, *to), "content": "w"})
            }
            Say::Leave { room } => json!({"type": "leave", "room": pick(&ROOMS, *room)}),
            Say::RoomList => json!({"type": "room_list"}),
            Say::Auth { ticket } => {
                let ticket = self.tickets.get(usize::from(*ticket) % KEPT);
                json!({"type": "auth", "ticket": ticket.map_or("none", String::as_str)})
            }
            Say::Ping => return Message::Frame(frame(0x89, b"p")),
            Say::Binary => return Message::Frame(frame(0x82, b"b")),
            Say::Fragment { is_first, is_last } => {
                let first = u8::from(*is_first) | u8::from(*is_last) << 7;
                return Message::Frame(frame(first, b"{}"));
            }
            Say::Close => return Message::Frame(frame(0x88, &1000u16.to_be_bytes())),
        };
        if let Say::Chat { id: Some(id), .. } | Say::Whisper { id: Some(id), .. } = say {
            message["id"] = id.to_string().into();
        }
        Message::Text(message)
    }
}

fn keep(kept: &mut Vec<String>, text: &str) {
    kept.truncate(KEPT - 1);
    kept.insert(0, text.to_owned());
}

/// A client's frame, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len())
        .ok()
        .filter(|length| *length < 126);
    let length = length.expect("clients say little");
    let mut frame = vec![first, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}
