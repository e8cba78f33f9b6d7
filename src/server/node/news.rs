//! What a node tells the rest of the server.

use std::num::NonZeroU64;
use std::rc::Rc;

use crate::config::Level;
use crate::domain::crowd::Crowd;
use crate::domain::drafts::Told;
use crate::domain::error::ErrorCode;
use crate::domain::event::RoomPage;
use crate::domain::event_log::KeptEvents;
use crate::domain::facts::{Fact, OpenedRoom};
use crate::domain::ids::Serial;
use crate::domain::message_keys::Person;
use crate::domain::position::Position;
use crate::domain::rules::Rules;
use crate::domain::wishes::Whispered;
use crate::domain::working_set::KeptEvent;

/// What another node has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerFigures {
    /// Responses.
    pub requests: u64,
    /// Those of them with status 400 or above.
    pub errors: u64,
    /// The sum of the times from request to response, in microseconds.
    pub micros: u64,
    /// Open event streams.
    pub subscribers: u64,
}

/// A name that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// The serial of the handshake that waits for it.
    pub serial: Serial,
    /// The key of the name.
    pub key: Rc<str>,
    /// Who asks for it.
    pub person: Person,
    /// Whether it was granted before, and is asked for again.
    pub is_renewal: bool,
}

/// What the engine has refused to undo: it is undone later, unless it is in use again.
#[derive(Debug, PartialEq, Eq)]
pub enum Owed {
    /// The seat of a user in a room.
    Seat(Rc<str>, Rc<str>),
    /// A name, by its key.
    Name(Rc<str>, Person),
}

/// What a name may be taken as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is this user's here.
    Granted,
    /// It is of somebody who signed in.
    Taken,
    /// Another guest has it.
    Held,
    /// The engine did not answer.
    Unknown,
    /// The engine was not asked.
    Unasked,
}

/// What the engine has said, or what follows from it.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// A message of a room, the next one. The id in its key is none.
    Message(Rc<str>, Fact),
    /// A message of this server was kept, and is not told for the first time by this.
    Acknowledged(Serial, Position),
    /// A wish of the rooms failed.
    Failed(Serial, ErrorCode),
    /// A room is open.
    Opened(Serial, OpenedRoom, Crowd),
    /// A room has lost its past, or too much was missed.
    Reloaded(Rc<str>, OpenedRoom, Crowd),
    /// Who is in a room now.
    Crowd(Rc<str>, Crowd),
    /// A seat is given: whether the user was nowhere in the room before, and how many there are now.
    Seated(Serial, bool, usize),
    /// A seat was not asked for, because there is no engine.
    Unseated(Serial),
    /// This is to be undone now.
    Owed(Owed),
    /// A user has come to a room, at any node.
    Joined(Rc<str>, Rc<str>, bool, usize),
    /// A user has left a room.
    Left(Rc<str>, Rc<str>, usize),
    /// The number of users of a room has changed.
    Counted(Rc<str>, usize),
    /// A message was deleted, when this was the number of the newest one.
    Deleted(Rc<str>, Position, NonZeroU64),
    /// A room has this limit of users, is kept or not, and has these rules.
    Changed(Rc<str>, u32, bool, Rules),
    /// A room was removed.
    Removed(Rc<str>),
    /// What a moderator has asked for is done, or is not.
    Acted(Serial, Result<(), ErrorCode>),
    /// A room had to make way for another.
    Gone(Rc<str>),
    /// That was one which this node has made.
    MadeWay(Rc<str>),
    /// The seats of this room are to be asked for again. The engine knows of these ones.
    Reseat(Rc<str>, Vec<Rc<str>>),
    /// All seats and names are to be asked for again: the lease was over.
    Anew,
    /// This part of the seats and names is to be asked for again, so that the engine keeps them.
    Renew(u64),
    /// All names are to be asked for again: the engine may have lost some, and that somebody has signed in under one may have been
    /// missed.
    Reclaim,
    /// A whisper of this server was brought to whom it is for; `false` if that was so before.
    Whispered(Serial, bool),
    /// A whisper of another node.
    Whisper(Whispered),
    /// A name was asked for.
    Claimed(Box<Claim>, Claimed),
    /// Guests whose names have this key make way for somebody who signed in at another node.
    CloseGuests(Box<str>),
    /// Whether a ticket is kept.
    TicketKept(Serial, bool),
    /// A ticket was redeemed: what was kept with it, if there was one; `Err` if the engine did not answer.
    Redeemed(Serial, Result<Option<Box<str>>, ()>),
    /// An event of this server is numbered, or is not.
    Told(Told),
    /// An event: its number, its channel, the figures that were posted with it, its data.
    Event(KeptEvent, Option<Box<str>>),
    /// All events.
    Events(KeptEvents),
    /// Whether what was revoked is kept.
    Kept(Serial, Result<(), ErrorCode>),
    /// The engine has refused to keep what was revoked here.
    Unrevoked,
    /// What was revoked elsewhere: changes, or all records there are, which is told.
    Revoked(Vec<(Vec<u8>, Vec<u8>)>, bool),
    /// A sign-in failed at another node: at this account, from this address.
    SignInFailed(Rc<str>, std::net::IpAddr),
    /// A page of the rooms of all nodes, by its number.
    Rooms(u64, Result<RoomPage, ErrorCode>),
    /// Names of people at all nodes, and whether there are more.
    Names(Serial, Result<(Vec<Rc<str>>, bool), ErrorCode>),
    /// Another node asks something: its name, the number of the question, the question.
    Asked(Box<str>, u64, Box<str>),
    /// What other nodes have answered, and whether all that have heard the question have; `Err` if nobody may have heard it.
    Answers(Serial, Result<(Vec<Box<str>>, bool), ErrorCode>),
    /// The whole audit, by number, and the greatest number that was given out.
    AuditLoaded(Vec<(u64, Box<str>)>, u64),
    /// The audit cannot be loaded for now.
    AuditUnknown,
    /// The next event of the audit: its number, and its line.
    Audit(u64, Box<str>),
    /// What the other nodes have counted, whether this node samples for all, and the number of nodes.
    Peers(Vec<(Box<str>, PeerFigures)>, bool, usize),
    /// How many people there are at all nodes.
    People(usize),
    /// Somebody waits for samples.
    Wake,
    /// The secret that all nodes share.
    Secret([u8; 32]),
    /// For the log.
    Note(Level, &'static str, Vec<(&'static str, String)>),
}
