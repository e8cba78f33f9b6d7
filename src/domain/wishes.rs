//! Wishes: requests to the backend that are not answered yet.
//!
//! Only the backend numbers messages and opens rooms. A wish leaves as a value with a serial, and the connections that
//! wait for its answer are kept in a table under that serial until the answer comes, however late.

use std::rc::Rc;

use slab::Slab;

use super::acknowledged::PendingId;
use super::ids::{Origin, RoomKey, Serial, UserId, Waiter};
use super::message_keys::Person;
use super::owners::Creator;
use super::position::Position;
use super::time::Timestamp;
use crate::config::{WISHES_BYTES_MAX, WISHES_MAX};

/// A message to be ordered, timestamped and stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Publication {
    /// The serial of its answer.
    pub serial: Serial,
    /// Its room.
    pub room: RoomKey,
    /// The name of its author.
    pub username: Rc<str>,
    /// Whether its author is a guest, not somebody who signed in.
    pub is_guest: bool,
    /// Its text.
    pub content: Box<str>,
    /// The `id` with which its author may send it again.
    pub message_id: Option<Box<str>>,
    /// Its author and the fingerprint of its text, if it has an `id`.
    pub said_by: Option<(Person, u64)>,
}

/// A room to be created, or loaded if it is stored already.
#[derive(Debug, PartialEq, Eq)]
pub struct Opening {
    /// The serial of its answer.
    pub serial: Serial,
    /// The room's name.
    pub name: Rc<str>,
    /// Its limit of users, if it is new.
    pub max_users: u32,
    /// Created by `POST /rooms`: it is kept while it is empty.
    pub is_kept: bool,
    /// Whether it is only to be loaded, and not created if there is none. Only where rooms are shared with other nodes.
    pub only_existing: bool,
    /// Who creates it, if it came from there.
    pub creator: Option<Rc<Creator>>,
}

/// A whisper on its way between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whispered {
    /// The name of its sender.
    pub from: Rc<str>,
    /// Whether that is a guest.
    pub is_guest: bool,
    /// The name of its target.
    pub to: Rc<str>,
    /// Its text.
    pub content: Box<str>,
    /// When it was sent.
    pub timestamp: Timestamp,
}

/// A join that waits for its room.
#[derive(Clone, Debug)]
pub(super) struct Join {
    /// The WebSocket that joins.
    pub origin: Origin,
    /// The position from which it resumes.
    pub since: Option<Position>,
    /// The `id` of the command.
    pub message_id: Option<Box<str>>,
}

/// The serial of a `POST /rooms`, and who has sent it.
pub(super) type Creation = (Serial, Rc<Creator>);

/// A wish under way, with what its answer needs.
#[derive(Debug)]
pub(super) enum Wish {
    /// A message is under way.
    Publish {
        waiter: Waiter,
        room: RoomKey,
        /// Its author, who stays a user of the room until it is answered; `None` if it is a back end's, or a moderator's in a
        /// name.
        user: Option<UserId>,
        /// The entry of its `id`, if it has one.
        pending: Option<PendingId>,
        bytes: usize,
    },
    /// A room is being opened.
    Open {
        name: Rc<str>,
        /// The `POST /rooms`, if it came from one.
        creation: Option<Creation>,
        /// Joins that wait for it.
        joins: Vec<Join>,
        /// Requests that wait to read it, by their serials.
        readers: Vec<Serial>,
        /// [`Opening::only_existing`].
        only_existing: bool,
    },
    /// A seat in a room that is shared with other nodes is asked for.
    Seat {
        room: RoomKey,
        /// Who it is for.
        person: Person,
        /// Joins that wait for it.
        joins: Vec<Join>,
        /// Whether the seat was given before.
        is_renewal: bool,
    },
    /// A whisper is brought to the nodes of its people.
    Whisper {
        waiter: Waiter,
        /// The `id` with which its sender may send it again.
        message_id: Option<Box<str>>,
        whisper: Whispered,
    },
}

/// The wishes under way: at most [`WISHES_MAX`], with [`WISHES_BYTES_MAX`] of content.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    table: Slab<(u32, Wish)>,
    /// The number of wishes so far, wrapping. It tells apart wishes that have used the same slot.
    count: u32,
    bytes: usize,
}

impl Wishes {
    /// Whether one more wish with this many bytes of content is within the limits.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.table.len() < WISHES_MAX && self.bytes + bytes <= WISHES_BYTES_MAX
    }

    pub fn add(&mut self, wish: Wish) -> Serial {
        self.count = self.count.wrapping_add(1);
        self.bytes += wish.bytes();
        let slot = self.table.insert((self.count, wish));
        Serial(u64::from(self.count) << 32 | slot as u64)
    }

    /// The wish with this serial, if it is not answered yet.
    pub fn get_mut(&mut self, serial: Serial) -> Option<&mut Wish> {
        let (count, wish) = self.table.get_mut(slot(serial))?;
        (*count == count_of(serial)).then_some(wish)
    }

    /// Removes a wish that is answered; `None` if it was answered before.
    pub fn take(&mut self, serial: Serial) -> Option<Wish> {
        self.get_mut(serial)?;
        let (_, wish) = self.table.remove(slot(serial));
        self.bytes -= wish.bytes();
        Some(wish)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Wish> {
        self.table.iter().map(|(_, (_, wish))| wish)
    }
}

impl Wish {
    fn bytes(&self) -> usize {
        match self {
            Self::Publish { bytes, .. } => *bytes,
            Self::Open { .. } | Self::Seat { .. } => 0,
            Self::Whisper { whisper, .. } => whisper.content.len(),
        }
    }
}

fn slot(serial: Serial) -> usize {
    (serial.0 & u64::from(u32::MAX)) as usize
}

fn count_of(serial: Serial) -> u32 {
    (serial.0 >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ConnectionId, RoomId};

    fn wish(bytes: usize) -> Wish {
        let id = RoomId(0);
        Wish::Publish {
            waiter: Waiter::Socket(Origin {
                connection: ConnectionId(0),
                generation: 1,
            }),
            room: RoomKey { id, epoch: 0 },
            user: Some(UserId(0)),
            pending: None,
            bytes,
        }
    }

    #[test]
    fn a_serial_names_one_wish_and_no_later_one_in_its_slot() {
        let mut wishes = Wishes::default();
        let first = wishes.add(wish(1));
        assert!(wishes.take(first).is_some());
        let second = wishes.add(wish(2));
        assert_eq!(slot(first), slot(second));
        assert!(wishes.take(first).is_none() && wishes.get_mut(first).is_none());
        assert!(wishes.take(second).is_some() && wishes.take(second).is_none());
    }

    #[test]
    fn wishes_are_bounded_by_number_and_by_bytes() {
        let mut wishes = Wishes::default();
        assert!(wishes.has_room_for(WISHES_BYTES_MAX));
        assert!(!wishes.has_room_for(WISHES_BYTES_MAX + 1));
        let large = wishes.add(wish(WISHES_BYTES_MAX));
        assert!(wishes.has_room_for(0) && !wishes.has_room_for(1));
        wishes.take(large);
        for _ in 0..WISHES_MAX {
            assert!(wishes.has_room_for(1));
            wishes.add(wish(1));
        }
        assert!(!wishes.has_room_for(1));
    }
}
