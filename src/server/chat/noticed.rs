//! What the domain has decided and the server has to answer or to note: outcomes of requests, comings and goings.

use std::net::IpAddr;
use std::rc::Rc;

use crate::domain::error::ErrorCode;
use crate::domain::event::{Effect, Maker, RoomInfo};
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::position::Position;

/// The outcome of a `POST /rooms`, with the serial of the request.
pub type Created = (Serial, Result<RoomInfo, ErrorCode>);

/// The outcome of opening a room that a request wants to read, with the serial of the request.
pub type ToRead = (Serial, Result<(), ErrorCode>);

/// A message of a request: its serial, its number there, and its position, or why it is refused.
pub type Posted = (Serial, u16, Result<Option<Position>, ErrorCode>);

/// Somebody has come to a room or left it, or a room was made or is gone.
#[derive(Debug)]
pub struct Move {
    /// What has happened.
    pub action: &'static str,
    /// The connection, if there is one.
    pub connection: Option<ConnectionId>,
    /// The address of a request.
    pub address: Option<IpAddr>,
    /// Who that is; nobody if the server has done it.
    pub actor: Rc<str>,
    /// The name of the room.
    pub room: Rc<str>,
}

/// What the server has not taken yet.
#[derive(Debug, Default)]
pub struct Noticed {
    created: Vec<Created>,
    to_read: Vec<ToRead>,
    posted: Vec<Posted>,
    removed: Vec<Serial>,
    /// Comings and goings.
    pub(super) moves: Vec<Move>,
}

impl Noticed {
    /// Takes an effect that is for the server; any other one comes back.
    pub fn take(&mut self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Created(serial, info) => self.created.push((serial, info)),
            Effect::ToRead(serial, opened) => self.to_read.push((serial, opened)),
            Effect::Posted(serial, part, answer) => self.posted.push((serial, part, answer)),
            Effect::Removed(serial) => self.removed.extend(serial),
            Effect::Left(connection, actor, room) => self.moves.push(Move {
                address: None,
                action: "left",
                connection: Some(connection),
                actor,
                room,
            }),
            Effect::Made(room, by) => self.note_room("room_created", by, room),
            other => return Some(other),
        }
        None
    }

    /// Notes what has happened to a room.
    pub fn note_room(&mut self, action: &'static str, by: Maker, room: Rc<str>) {
        let (connection, actor, address) = match by {
            Maker::Connection(id, name) => (Some(id), name, None),
            Maker::Request(name, address) => (None, name.unwrap_or_default(), Some(address)),
            Maker::Server => (None, "".into(), None),
        };
        self.moves.push(Move {
            action,
            connection,
            address,
            actor,
            room,
        });
    }

    /// The next outcome of a `POST /rooms` that is to be answered.
    pub fn poll_created(&mut self) -> Option<Created> {
        self.created.pop()
    }

    /// The next request whose room is open, or is not.
    pub fn poll_to_read(&mut self) -> Option<ToRead> {
        self.to_read.pop()
    }

    /// The messages of requests that are kept, or refused, since the last call.
    pub fn take_posted(&mut self) -> Vec<Posted> {
        std::mem::take(&mut self.posted)
    }

    /// The requests whose rooms were removed since the last call.
    pub fn take_removed(&mut self) -> Vec<Serial> {
        std::mem::take(&mut self.removed)
    }

    /// The comings and goings since the last call.
    pub fn take_moves(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.moves)
    }

    /// Whether every outcome is taken.
    pub fn is_settled(&self) -> bool {
        self.created.is_empty()
            && self.to_read.is_empty()
            && self.posted.is_empty()
            && self.removed.is_empty()
    }
}
