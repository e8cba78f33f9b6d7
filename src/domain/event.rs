//! Events for connections, and other effects outside the domain, as values.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::ops::Not;
use std::rc::Rc;

use serde::Serialize;

use super::ban::{Ban, BanList};
use super::error::ErrorCode;
use super::ids::{ConnectionId, Origin, RoomId, Serial, UserId, Waiter};
use super::message_keys::Person;
use super::position::Position;
use super::rules::Rules;
use super::time::Timestamp;
use super::wishes::{Opening, Publication, Whispered};

/// A committed chat message, with its position in the room's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChatMessage {
    /// The room's name.
    pub room: Rc<str>,
    /// The name of its author.
    pub username: Rc<str>,
    /// Its text.
    pub content: Box<str>,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// Its position in the room's history.
    pub position: Position,
    /// Whether it is marked as a guest's. In the demo none is.
    #[serde(skip_serializing_if = "Not::not")]
    pub guest: bool,
    /// If it was deleted, the number of the newest message of the room then: nothing else is left of it but its position.
    #[serde(skip)]
    pub deleted_at: Option<NonZeroU64>,
}

impl ChatMessage {
    /// What is left of it when it is deleted, while `newest` is the number of the newest message of its room.
    pub fn deleted(&self, newest: NonZeroU64) -> Self {
        Self {
            room: self.room.clone(),
            username: "".into(),
            content: "".into(),
            timestamp: self.timestamp,
            position: self.position,
            guest: false,
            deleted_at: Some(newest),
        }
    }
}

/// A room as `GET /rooms` and `room_list` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomInfo {
    /// The room's name.
    pub name: Rc<str>,
    /// Its limit of users.
    pub max_users: u32,
    /// The number of users in it (not of connections).
    pub users: usize,
    /// The number of messages committed in this epoch.
    pub messages: u64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A user as `GET /users` shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserInfo {
    /// Their name.
    pub username: Rc<str>,
    /// Whether they are a guest.
    pub guest: bool,
    /// The rooms that they are in, by name.
    pub rooms: Vec<Rc<str>>,
    /// The number of their connections.
    pub connections: usize,
    /// When the first of them came.
    pub since: Timestamp,
}

/// A page of the users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserList {
    /// The users.
    pub users: Vec<UserInfo>,
    /// The name after which the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Rc<str>>,
}

/// A room with its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomRules {
    /// What everybody is shown.
    #[serde(flatten)]
    pub info: RoomInfo,
    /// Whether it is kept while it is empty.
    pub kept: bool,
    /// Its other rules.
    #[serde(flatten)]
    pub rules: Rules,
}

/// A page of a list of rooms: they, and the name after which the next page begins, if there is one.
pub type RoomPage = (Vec<RoomInfo>, Option<Rc<str>>);

/// Which page of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// It begins after this one.
    pub after: Option<Rc<str>>,
    /// So many are in it, at most.
    pub limit: usize,
}

/// An event for a connection. Serialized, it is the JSON of SPEC section 3.
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
        #[serde(skip_serializing_if = "Not::not")]
        guest: bool,
        #[serde(skip_serializing_if = "Not::not")]
        admin: bool,
    },
    /// The answer to `join`.
    RoomJoined {
        room: Rc<str>,
        history: Vec<Event>,
        online_users: Vec<Rc<str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        guests: Option<Vec<Rc<str>>>,
        online_count: usize,
        position: Position,
        recovered: bool,
    },
    /// The answer to `leave`, or a user has to leave a room, and why.
    RoomLeft {
        room: Rc<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Rc<str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Option<Timestamp>>,
    },
    /// A user's first connection entered a room.
    UserJoined {
        room: Rc<str>,
        username: Rc<str>,
        #[serde(skip_serializing_if = "Not::not")]
        guest: bool,
    },
    /// A user's last connection left a room.
    UserLeft {
        room: Rc<str>,
        username: Rc<str>,
        #[serde(skip_serializing_if = "Not::not")]
        guest: bool,
    },
    /// The number of users of a room too large to announce each entry and exit.
    RoomUsers { room: Rc<str>, count: usize },
    /// A message in a room.
    Chat(Rc<ChatMessage>),
    /// A message was deleted; in a history it stands in the place of that message.
    Deleted { room: Rc<str>, position: Position },
    /// A private message.
    Whisper {
        from: Rc<str>,
        to: Rc<str>,
        content: Box<str>,
        timestamp: Timestamp,
        #[serde(skip_serializing_if = "Not::not")]
        guest: bool,
    },
    /// The answer to `room_list`.
    RoomList {
        rooms: Vec<RoomInfo>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<Rc<str>>,
    },
    /// What has changed in the list of rooms, for those that watch it; or that it has to be asked for anew.
    Rooms {
        #[serde(skip_serializing_if = "Option::is_none")]
        changed: Option<Vec<RoomInfo>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        removed: Option<Vec<Rc<str>>>,
        #[serde(skip_serializing_if = "Not::not")]
        reload: bool,
    },
    /// The answer to `history`.
    History {
        room: Rc<str>,
        messages: Vec<Event>,
        more: bool,
        position: Position,
        recovered: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Box<str>>,
    },
    /// A user is banned: the connection is closed.
    Banned {
        reason: Rc<str>,
        until: Option<Timestamp>,
    },
    /// A user is put out: the connection is closed.
    Kicked { reason: Rc<str> },
    /// The answer to `users`.
    Users {
        #[serde(flatten)]
        list: UserList,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Box<str>>,
    },
    /// The answer to `user`.
    User {
        #[serde(flatten)]
        user: UserInfo,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Box<str>>,
    },
    /// The answer to `bans`.
    Bans {
        #[serde(flatten)]
        list: BanList,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Box<str>>,
    },
    /// The answer to `set_room`.
    Room {
        #[serde(flatten)]
        room: RoomRules,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Box<str>>,
    },
    /// A message with an `id` was committed (a whisper: was delivered, and has no position).
    Ack {
        id: Box<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
    },
    /// A command was refused; the connection stays open.
    Error {
        code: ErrorCode,
        message: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Rc<str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Option<Timestamp>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Box<str>>,
    },
}

impl Event {
    /// What is shown of a message of a history.
    pub fn of_message(message: &Rc<ChatMessage>) -> Self {
        match message.deleted_at {
            None => Self::Chat(message.clone()),
            Some(_) => Self::Deleted {
                room: message.room.clone(),
                position: message.position,
            },
        }
    }

    /// The list of rooms has to be asked for anew.
    pub fn rooms_to_reload() -> Self {
        Self::Rooms {
            changed: None,
            removed: None,
            reload: true,
        }
    }

    /// The refusal of a command with this `id`. Over WebSocket the message is always Korean: clients go by the code.
    pub fn error(code: ErrorCode, id: Option<Box<str>>) -> Self {
        Self::Error {
            code,
            message: code.korean(),
            reason: None,
            until: None,
            id,
        }
    }

    /// The refusal of a command of somebody who is banned.
    pub fn banned_error(ban: &Ban, id: Option<Box<str>>) -> Self {
        Self::Error {
            code: ErrorCode::Forbidden,
            message: ErrorCode::Forbidden.korean(),
            reason: Some(ban.reason.clone()),
            until: Some(ban.ends()),
            id,
        }
    }
}

/// Who makes a room, or lets it go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A WebSocket that has joined it, and the name of its user.
    Connection(ConnectionId, Rc<str>),
    /// A request: the name in its bearer token, if it has one, and its address.
    Request(Option<Rc<str>>, IpAddr),
    /// The server.
    Server,
}

/// Something to be done outside the domain, as a value.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Answer a command of this connection, in the same turn. Answers are exempt from the limit of the outbox.
    Answer(ConnectionId, Event),
    /// Answer a command of this WebSocket in a later turn, if it is still open.
    Reply(Origin, Event),
    /// A message of the request with this serial, by its number there, is kept at this position (a whisper has none), or is
    /// refused.
    Posted(Serial, u16, Result<Option<Position>, ErrorCode>),
    /// Deliver a whisper to every connection of its target and of its sender, who may be the same.
    Whisper {
        /// The connection it was sent over.
        by: ConnectionId,
        /// The sender.
        from: UserId,
        /// The target.
        to: UserId,
        /// The event.
        event: Event,
    },
    /// The connection is one of the user's from here on.
    Entered(ConnectionId, UserId),
    /// It was one of the user's up to here.
    Exited(ConnectionId, UserId),
    /// Broadcast to every connection in a room, except one.
    Broadcast {
        /// The room.
        room: RoomId,
        /// The event.
        event: Event,
        /// The connection that does not get it.
        exclude: Option<ConnectionId>,
    },
    /// Subscribe the connection to the room's broadcasts.
    Subscribe(ConnectionId, RoomId),
    /// Unsubscribe it.
    Unsubscribe(ConnectionId, RoomId),
    /// It was its user's in a room up to here: their name, and that of the room. When this is carried out both may be gone.
    Left(ConnectionId, Rc<str>, Rc<str>),
    /// Have the backend order and store a message. The outcome goes to
    /// [`RoomManager::answered`](super::rooms::RoomManager::answered).
    Publish(Publication),
    /// Have the backend open a room. The outcome goes to the same method.
    Open(Opening),
    /// Ask for a seat in a room that is shared with other nodes. The outcome goes to
    /// [`RoomManager::seated`](super::rooms::RoomManager::seated), or is a failure.
    Seat {
        /// The serial of the wish.
        serial: Serial,
        /// The name of the room.
        room: Rc<str>,
        /// The name of the user.
        name: Rc<str>,
        /// Whether that is a guest.
        is_guest: bool,
    },
    /// Give up a seat: the names of the room and of the user.
    GiveUpSeat(Rc<str>, Rc<str>),
    /// Ask who is in a room of this name.
    AskForCrowd(Rc<str>),
    /// Bring a whisper to the nodes of its people.
    Whispering {
        /// The serial of the wish.
        serial: Serial,
        /// The whisper.
        whisper: Whispered,
        /// Its sender, its `id` and the fingerprint of its text, if it has an `id`.
        said: Option<(Person, Box<str>, u64)>,
    },
    /// Deliver a whisper to every connection of a user; one of them may have sent it.
    WhisperTo {
        /// The connection that is not read while there is much to send to the user.
        by: Option<ConnectionId>,
        /// The user.
        user: UserId,
        /// The event.
        event: Event,
    },
    /// A room was made: its name, and who has made it.
    Made(Rc<str>, Maker),
    /// A room that the request with this serial wants to read is open, or is not.
    ToRead(Serial, Result<(), ErrorCode>),
    /// The room has another epoch than the backend knows, with its messages up to this position.
    Renewed(RoomId, Position),
    /// Carry out the next commands of a parked connection.
    Resume(ConnectionId),
    /// The room whose removal was asked for with this serial is gone.
    Removed(Option<Serial>),
    /// Messages of a room before this position are not kept any more. Only where rooms are shared with other nodes.
    Trimmed(Rc<str>, Position),
    /// Answer the `POST /rooms` with this serial.
    Created(Serial, Result<RoomInfo, ErrorCode>),
}

impl Effect {
    /// The refusal of a command in a later turn.
    pub fn refusal(origin: Origin, code: ErrorCode, id: Option<Box<str>>) -> Self {
        Self::Reply(origin, Event::error(code, id))
    }

    /// Tells whoever waits for a message with this `id` that it is refused.
    pub fn refused(waiter: Waiter, code: ErrorCode, id: Option<Box<str>>) -> Self {
        match waiter {
            Waiter::Socket(origin) => Self::refusal(origin, code, id),
            Waiter::Request(serial, part) => Self::Posted(serial, part, Err(code)),
        }
    }

    /// Tells whoever waits for a message with this `id` that it is kept.
    pub fn acknowledged(waiter: Waiter, position: Option<Position>, id: Box<str>) -> Self {
        match waiter {
            Waiter::Socket(origin) => Self::Reply(origin, Event::Ack { id, position }),
            Waiter::Request(serial, part) => Self::Posted(serial, part, Ok(position)),
        }
    }
}

/// Effects, in the order in which they have to be carried out.
pub type Effects = VecDeque<Effect>;
