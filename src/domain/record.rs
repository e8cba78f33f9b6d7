//! Records: what a store on disk keeps. `record_codec.rs` has their bytes.

use std::net::IpAddr;
use std::num::NonZeroU64;

use super::ban::Ban;
use super::message_keys::Person;
use super::position::Position;
use super::rules::Rules;
use super::time::Timestamp;

/// Where a message with an `id` is kept: as the message at a position, or as a whisper with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidAt {
    /// In a room.
    Position(Position),
    /// In private: a number, which no other whisper in the store has.
    Whisper(u64),
}

impl From<Position> for SaidAt {
    fn from(position: Position) -> Self {
        Self::Position(position)
    }
}

/// A message with an `id` that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptId {
    /// Where it is kept.
    pub at: SaidAt,
    /// When it was said, in seconds since 1970.
    pub second: u64,
    /// The fingerprint of its text.
    pub fingerprint: u64,
    /// Its author.
    pub sender: Person,
    /// The person it was whispered to.
    pub to: Option<Person>,
    /// The `id`.
    pub id: Box<str>,
}

impl KeptId {
    /// Its record.
    pub fn record(&self) -> Record<'_> {
        Record::Said {
            at: self.at,
            second: self.second,
            fingerprint: self.fingerprint,
            sender: self.sender.clone(),
            to: self.to.clone(),
            id: &self.id,
        }
    }
}

/// The key of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// [`Record::Room`], by epoch.
    Room(u64),
    /// [`Record::Newest`], by epoch.
    Newest(u64),
    /// [`Record::Rules`], by epoch.
    Rules(u64),
    /// [`Record::Message`], or [`Record::Deleted`].
    Message(Position),
    /// [`Record::Said`].
    Said(SaidAt),
    /// [`Record::Family`].
    Family(&'a str),
    /// [`Record::Mark`], by name.
    Mark(&'a str),
    /// [`Record::Floor`].
    Floor,
    /// [`Record::Event`], by id.
    Event(u64),
    /// [`Record::Latest`], by channel.
    Latest(&'a str),
    /// [`Record::Figures`].
    Figures,
    /// [`Record::EventBase`].
    EventBase,
    /// [`Record::Secret`].
    Secret,
    /// [`Record::Ban`], by the room if it is only from one, and the key of the name.
    Ban(&'a str, &'a str),
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A room.
    Room {
        /// The epoch of its positions, which no other room has.
        epoch: u64,
        /// Its limit of users.
        max_users: u32,
        /// Whether it is kept while it is empty.
        is_kept: bool,
        /// When it was created.
        created_at: Timestamp,
        /// Who created it, if that is known: the address, and the name in the bearer token if there was one.
        creator: Option<(IpAddr, Option<&'a str>)>,
        /// Its name.
        name: &'a str,
    },
    /// The rules of a room, if they are not the usual ones.
    Rules {
        /// The epoch of the room.
        epoch: u64,
        /// Its rules.
        rules: Rules,
    },
    /// The position of the newest message of a room, kept or not.
    Newest(Position),
    /// A message of a room.
    Message {
        /// Its position.
        position: Position,
        /// When it was ordered.
        timestamp: Timestamp,
        /// Whether its author is a guest.
        is_guest: bool,
        /// The name of its author.
        username: &'a str,
        /// Its text.
        content: &'a str,
    },
    /// What is left of a message of a room that was deleted.
    Deleted {
        /// Its position.
        position: Position,
        /// When it was ordered.
        timestamp: Timestamp,
        /// The number of the newest message of the room when it was deleted.
        newest: NonZeroU64,
    },
    /// An acknowledged message with an `id`.
    Said {
        /// Where it is kept.
        at: SaidAt,
        /// When it was said, in seconds since 1970.
        second: u64,
        /// The fingerprint of its text.
        fingerprint: u64,
        /// Its author.
        sender: Person,
        /// The person it was whispered to.
        to: Option<Person>,
        /// The `id`.
        id: &'a str,
    },
    /// A family of tokens that was logged out.
    Family {
        /// The family.
        family: &'a str,
        /// When its last token expires, in seconds since 1970.
        until: u64,
        /// The last second in which one of its tokens was issued, since 1970.
        second: u64,
    },
    /// No token of this name that was issued up to this second is good.
    Mark {
        /// The name.
        name: &'a str,
        /// The second, since 1970.
        second: u64,
    },
    /// No token at all that was issued up to this second, since 1970, is good.
    Floor(u64),
    /// An event that is kept for those who resume.
    Event {
        /// Its id.
        id: u64,
        /// The name of its channel.
        name: &'a str,
        /// Its data, as JSON.
        data: &'a str,
    },
    /// The latest event of a channel of one's own.
    Latest {
        /// The name of its channel.
        name: &'a str,
        /// Its id.
        id: u64,
        /// Its data, as JSON.
        data: &'a str,
    },
    /// The figures that a back end has posted, as a JSON object.
    Figures(&'a str),
    /// The id before the first event of this store.
    EventBase(u64),
    /// The secret from which those of this server are derived.
    Secret([u8; 32]),
    /// Somebody is banned, or is not any more.
    Ban {
        /// The room, or nothing for all.
        room: &'a str,
        /// The key of the name.
        key: &'a str,
        /// The ban.
        ban: Ban,
    },
}

impl<'a> Record<'a> {
    /// Its key.
    pub fn key(&self) -> Key<'a> {
        match self {
            Self::Room { epoch, .. } => Key::Room(*epoch),
            Self::Rules { epoch, .. } => Key::Rules(*epoch),
            Self::Newest(position) => Key::Newest(position.epoch),
            Self::Message { position, .. } | Self::Deleted { position, .. } => {
                Key::Message(*position)
            }
            Self::Said { at, .. } => Key::Said(*at),
            Self::Family { family, .. } => Key::Family(family),
            Self::Mark { name, .. } => Key::Mark(name),
            Self::Floor(_) => Key::Floor,
            Self::Event { id, .. } => Key::Event(*id),
            Self::Latest { name, .. } => Key::Latest(name),
            Self::Figures(_) => Key::Figures,
            Self::EventBase(_) => Key::EventBase,
            Self::Secret(_) => Key::Secret,
            Self::Ban { room, key, .. } => Key::Ban(room, key),
        }
    }
}
