//! Floor 1, the domain: rooms, people and what they say to each other. No bytes, no sockets, no clock, no entropy.
//!
//! A call into the domain changes its state and pushes [`Effect`]s: what has to happen outside, as values. The server
//! carries them out (`server/settle.rs`), a test compares them.

pub mod accounts;
pub mod acknowledged;
pub mod auth;
pub mod event_log;
pub mod history;
mod messages;
pub mod metrics;
pub mod people;
mod presence;
pub mod random;
pub mod room;
pub mod rooms;
pub mod sessions;
pub mod throttle;
pub mod tickets;
pub mod tokens;

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

pub use history::Position;

/// One connection: its index in the server's slab. Reused after the connection was freed at the end of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// One room, for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub u32);

/// One user, for as long as a connection of theirs is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

impl ConnectionId {
    /// The index into whatever is kept per connection.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl RoomId {
    /// The index into whatever is kept per room.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl UserId {
    /// The index into whatever is kept per user.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The two clocks, read once a turn by the shell and passed down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since the server's start; never goes back. For deadlines and rates.
    pub monotonic: Duration,
    /// Since 1970-01-01T00:00:00Z; may jump. For timestamps only.
    pub unix: Duration,
}

/// A point of wall-clock time in whole seconds, written as RFC 3339 UTC ending in `Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The last second a four-digit year can name, 9999-12-31T23:59:59Z; a clock beyond it is shown as this.
    const LAST: u64 = 253_402_300_799;

    /// So many seconds after 1970-01-01T00:00:00Z.
    pub fn from_secs(secs: u64) -> Self {
        Self(secs.min(Self::LAST))
    }
}

impl From<Now> for Timestamp {
    fn from(now: Now) -> Self {
        Self::from_secs(now.unix.as_secs())
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = std::time::UNIX_EPOCH + Duration::from_secs(self.0);
        humantime::format_rfc3339_seconds(time).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

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

/// Why a request was refused. The names on the wire never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is explained by its sentence below")]
pub enum ErrorCode {
    BadJson,
    BadRequest,
    UnknownType,
    NotInRoom,
    AlreadyInRoom,
    RoomFull,
    RoomNotFound,
    RoomExists,
    BadRoomName,
    UserNotFound,
    ContentTooLong,
    RateLimited,
    Unauthorized,
    TooManyRooms,
}

impl ErrorCode {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    /// The sentence for people who read Korean.
    pub fn korean(self) -> &'static str {
        self.texts().1
    }

    /// The sentence for people who read English.
    pub fn english(self) -> &'static str {
        self.texts().2
    }

    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::BadJson => (
                "bad_json",
                "올바른 JSON이 아닙니다",
                "That is not valid JSON",
            ),
            Self::BadRequest => (
                "bad_request",
                "잘못된 요청입니다",
                "A field is missing or not as it should be",
            ),
            Self::UnknownType => (
                "unknown_type",
                "알 수 없는 메시지 종류입니다",
                "There is no message of that type",
            ),
            Self::NotInRoom => (
                "not_in_room",
                "이 방에 들어가 있지 않습니다",
                "You are not in that room",
            ),
            Self::AlreadyInRoom => (
                "already_in_room",
                "이미 이 방에 있습니다",
                "You are in that room already",
            ),
            Self::RoomFull => ("room_full", "방이 가득 찼습니다", "The room is full"),
            Self::RoomNotFound => (
                "room_not_found",
                "그런 방이 없습니다",
                "There is no such room",
            ),
            Self::RoomExists => (
                "room_exists",
                "같은 이름의 방이 이미 있습니다",
                "A room of that name exists already",
            ),
            Self::BadRoomName => (
                "bad_room_name",
                "방 이름은 제어 문자 없이 1~64자여야 합니다",
                "A room name has 1 to 64 characters, none of them a control character",
            ),
            Self::UserNotFound => (
                "user_not_found",
                "그런 사용자가 접속해 있지 않습니다",
                "That user is not here",
            ),
            Self::ContentTooLong => (
                "content_too_long",
                "메시지가 너무 깁니다",
                "The message is too long",
            ),
            Self::RateLimited => (
                "rate_limited",
                "메시지를 너무 자주 보냈습니다",
                "Too many messages in a short time",
            ),
            Self::Unauthorized => ("unauthorized", "인증이 필요합니다", "Please sign in first"),
            Self::TooManyRooms => (
                "too_many_rooms",
                "방이 너무 많습니다",
                "There are too many rooms",
            ),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_as_it_is_named_and_has_a_sentence_in_each_language() {
        let codes = [
            ErrorCode::BadJson,
            ErrorCode::BadRequest,
            ErrorCode::UnknownType,
            ErrorCode::NotInRoom,
            ErrorCode::AlreadyInRoom,
            ErrorCode::RoomFull,
            ErrorCode::RoomNotFound,
            ErrorCode::RoomExists,
            ErrorCode::BadRoomName,
            ErrorCode::UserNotFound,
            ErrorCode::ContentTooLong,
            ErrorCode::RateLimited,
            ErrorCode::Unauthorized,
            ErrorCode::TooManyRooms,
        ];
        let mut sentences = std::collections::BTreeSet::new();
        for code in codes {
            let written = serde_json::to_string(&code).expect("is written");
            assert_eq!(written, format!("\"{}\"", code.name()));
            let is_korean = |c| ('가'..='힣').contains(&c);
            assert!(code.korean().contains(is_korean), "{written}");
            assert!(
                code.english().is_ascii() && code.english().contains(' '),
                "{written}"
            );
            sentences.extend([code.korean(), code.english()]);
        }
        assert_eq!(sentences.len(), 2 * codes.len());
    }

    #[test]
    fn a_time_is_written_in_rfc_3339_and_stops_at_the_last_year() {
        let written = |unix| {
            let now = Now {
                monotonic: Duration::ZERO,
                unix,
            };
            serde_json::to_string(&Timestamp::from(now)).expect("is written")
        };
        let half = Duration::from_millis(1_705_314_600_999);
        assert_eq!(written(half), "\"2024-01-15T10:30:00Z\"");
        assert_eq!(written(Duration::ZERO), "\"1970-01-01T00:00:00Z\"");
        assert_eq!(written(Duration::MAX), "\"9999-12-31T23:59:59Z\"");
    }

    #[test]
    fn a_whisper_is_no_answer_and_an_index_is_its_number() {
        let whisper = Event::Whisper {
            from: "a".into(),
            to: "b".into(),
            content: "c".into(),
            timestamp: Timestamp(0),
        };
        assert!(!whisper.is_answer());
        assert!(Event::RoomLeft { room: "r".into() }.is_answer());
        assert_eq!(ConnectionId(7).index(), 7);
        assert_eq!((RoomId(8).index(), UserId(9).index()), (8, 9));
    }
}
