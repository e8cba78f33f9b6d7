//! Facts: the answers of the backend. It alone numbers and timestamps messages, and knows the history of a room.

use std::num::NonZeroU64;
use std::rc::Rc;

use super::crowd::Crowd;
use super::error::ErrorCode;
use super::event::ChatMessage;
use super::ids::{RoomKey, Serial};
use super::position::Position;
use super::rules::Rules;
use super::time::Timestamp;
use super::wishes::{Opening, Publication};

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
    /// If it was deleted before it came here, the number of the newest message of the room then: it has no author and no text.
    pub deleted_at: Option<NonZeroU64>,
}

impl Fact {
    /// A message of this node, at this position.
    pub fn of(publication: Publication, position: Position, timestamp: Timestamp) -> Self {
        Self {
            serial: Some(publication.serial),
            room: publication.room,
            username: publication.username,
            is_guest: publication.is_guest,
            content: publication.content,
            timestamp,
            position,
            deleted_at: None,
        }
    }
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
    /// Its other rules.
    pub rules: Rules,
    /// When it was created.
    pub created_at: Timestamp,
    /// The sequence number of its newest message, 0 before the first.
    pub newest: u64,
    /// Its last messages, oldest first, without a gap up to `newest`. Those of guests are marked, also in the demo.
    pub messages: Vec<Rc<ChatMessage>>,
    /// Whether it was made by this, and was not there before.
    pub is_made: bool,
}

impl OpenedRoom {
    /// A new room.
    pub fn new(opening: &Opening, epoch: u64, created_at: Timestamp) -> Self {
        Self {
            epoch,
            max_users: opening.max_users,
            is_kept: opening.is_kept,
            rules: Rules::default(),
            created_at,
            newest: 0,
            messages: Vec::new(),
            is_made: true,
        }
    }

    /// Gives the room another epoch.
    pub fn renew(&mut self, epoch: u64) {
        self.epoch = epoch;
        for message in &mut self.messages {
            Rc::make_mut(message).position.epoch = epoch;
        }
    }

    /// The position of its newest message.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            seq: self.newest,
        }
    }
}

/// An answer of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A message was committed.
    Published(Fact),
    /// A message was stored, as this position. It is broadcast apart from this, or was before.
    Acknowledged(Serial, Position),
    /// A room is open.
    Opened(Serial, OpenedRoom),
    /// A room that is shared with other nodes is open, and who is in it.
    OpenedShared(Serial, OpenedRoom, Crowd),
    /// A wish failed, and why. The message may have been stored all the same: sending it again with its `id` is safe.
    Failed(Serial, ErrorCode),
}
