//! Facts: the answers of the backend. It alone numbers and timestamps messages, and knows the history of a room.

use std::rc::Rc;

use super::error::ErrorCode;
use super::event::ChatMessage;
use super::ids::{RoomKey, Serial};
use super::position::Position;
use super::time::Timestamp;

/// A committed message: ordered and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The wish it answers; `None` for a message sent on another node.
    pub serial: Option<Serial>,
    /// The room.
    pub room: RoomKey,
    /// The name of its author.
    pub username: Rc<str>,
    /// Whether its author is a guest, not somebody who signed in.
    pub is_guest: bool,
    /// Its text.
    pub content: Box<str>,
    /// When it was ordered.
    pub timestamp: Timestamp,
    /// Its position in the room's history.
    pub position: Position,
}

/// A room as the backend has opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedRoom {
    /// The epoch of its positions.
    pub epoch: u64,
    /// Its limit of users.
    pub max_users: u32,
    /// Whether it was created by `POST /rooms`, and is kept while it is empty.
    pub is_kept: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// The sequence number of its newest message, 0 before the first.
    pub newest: u64,
    /// Its last messages, oldest first, without a gap up to `newest`. Those of guests are marked, also in the demo.
    pub messages: Vec<Rc<ChatMessage>>,
}

/// An answer of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A message was committed.
    Published(Fact),
    /// A room is open.
    Opened(Serial, OpenedRoom),
    /// A wish failed, and why. The message may have been stored all the same: sending it again with its `id` is safe.
    Failed(Serial, ErrorCode),
}
