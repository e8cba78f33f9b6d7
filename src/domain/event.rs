//! What connections are told, and what else has to happen outside the domain, as values.

use std::rc::Rc;

use serde::Serialize;

use super::error::ErrorCode;
use super::ids::{ConnectionId, RoomId};
use super::position::Position;
use super::time::Timestamp;

/// A chat message in a room's history: a fact, with its place in the order.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ChatMessage {
    /// The room's name.
    pub room: Rc<str>,
    /// Who said it.
    pub username: Rc<str>,
    /// What was said.
    pub content: Box<str>,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// Where it stands in the room's history.
    pub position: Position,
}

/// What somebody wants to be said in a room: a wish, until the backend has ordered and kept it.
#[derive(Debug, PartialEq, Eq)]
pub struct Draft {
    /// The room it is for.
    pub room: RoomId,
    /// Who says it.
    pub username: Rc<str>,
    /// What is said.
    pub content: Box<str>,
    /// The connection it came from and the `id` its sender wants acknowledged.
    pub acknowledge: Option<(ConnectionId, Box<str>)>,
}

/// A room as `GET /rooms` and `room_list` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomInfo {
    /// The room's name.
    pub name: Rc<str>,
    /// The most users it takes.
    pub max_users: u32,
    /// Users in it now (users, not connections).
    pub users: usize,
    /// Messages ever said in it (of this epoch).
    pub messages: u64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// What a connection is told. Serialized, it is the JSON of SPEC section 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(
    missing_docs,
    reason = "the fields are the wire's, described in README.md"
)]
pub enum Event {
    /// The first message of a session.
    Welcome {
        username: Rc<str>,
        expires_at: Option<Timestamp>,
    },
    /// The answer to `join`.
    RoomJoined {
        room: Rc<str>,
        history: Vec<Event>,
        online_users: Vec<Rc<str>>,
        online_count: usize,
        position: Position,
        recovered: bool,
    },
    /// The answer to `leave`.
    RoomLeft { room: Rc<str> },
    /// A user's first connection entered a room.
    UserJoined { room: Rc<str>, username: Rc<str> },
    /// A user's last connection left a room.
    UserLeft { room: Rc<str>, username: Rc<str> },
    /// The number of users of a room too large to tell each entry and exit.
    RoomUsers { room: Rc<str>, count: usize },
    /// A message in a room.
    Chat(Rc<ChatMessage>),
    /// A private message.
    Whisper {
        from: Rc<str>,
        to: Rc<str>,
        content: Box<str>,
        timestamp: Timestamp,
    },
    /// The answer to `room_list`.
    RoomList { rooms: Vec<RoomInfo> },
    /// A message with an `id` is in history (a whisper: was delivered, and has no position).
    Ack {
        id: Box<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
    },
    /// A request was refused; the connection stays up.
    Error {
        code: ErrorCode,
        message: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Box<str>>,
    },
}

impl Event {
    /// The refusal of a request that had this `id`. Over WebSocket the message is always Korean: programs and pages go
    /// by the code.
    pub fn error(code: ErrorCode, id: Option<Box<str>>) -> Self {
        Self::Error {
            code,
            message: code.korean(),
            id,
        }
    }

    /// Whether it answers a request of the very connection that is told.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Whisper { .. })
    }
}

/// What has to happen outside the domain, as a value.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell one connection.
    Tell(ConnectionId, Event),
    /// Tell each of these, who may be many: the connections of two users.
    TellEach(Vec<ConnectionId>, Event),
    /// Tell every connection in a room, save one.
    Broadcast {
        /// The room.
        room: RoomId,
        /// What to tell.
        event: Event,
        /// The connection that is not told.
        exclude: Option<ConnectionId>,
    },
    /// From here on the connection gets what is broadcast in the room.
    Subscribe(ConnectionId, RoomId),
    /// From here on it does not.
    Unsubscribe(ConnectionId, RoomId),
    /// Have the backend order and keep a message; [`rooms::RoomManager::committed`] is called when it has.
    Publish(Draft),
}
