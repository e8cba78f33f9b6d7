//! What a node asks of the engine, until the reply comes.

use std::rc::Rc;
use std::time::Duration;

use super::news::{Claim, Owed};
use crate::domain::drafts::Draft;
use crate::domain::ids::Serial;
use crate::domain::position::Position;
use crate::domain::rules::Rules;
use crate::domain::wishes::{Publication, Whispered};

/// A request, kept until it is answered.
#[derive(Debug)]
pub struct Request {
    /// What it is.
    pub ask: Ask,
    /// The command.
    pub command: Vec<u8>,
    /// When it is refused, since the server's start; never if nothing else would do.
    pub deadline: Option<Duration>,
    /// When it was sent.
    pub sent_at: Duration,
    /// Whether it was ever sent, so that the engine may have done it.
    pub was_sent: bool,
}

impl Request {
    /// One that is asked now.
    pub fn new(ask: Ask, command: Vec<u8>, deadline: Option<Duration>, now: Duration) -> Self {
        Self {
            ask,
            command,
            deadline,
            sent_at: now,
            was_sent: false,
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub enum Ask {
    /// Nobody waits for it any more.
    Nothing,
    /// A step of the setup of a connection.
    Setup(Step),
    /// That a message is ordered and kept.
    Publish(Box<Said>),
    /// A room, for the first time or anew.
    Open(Rc<str>),
    /// Messages that are missing.
    Fill(Rc<str>),
    /// Whether a room is as it is here; in the setup of a connection if true.
    Check(Rc<str>, bool),
    /// What a moderator does to a room.
    Act(Box<Act>),
    /// Who is in a room.
    Crowd(Rc<str>),
    /// A seat in a room.
    Seat(Serial, Rc<str>),
    /// That a seat is given up.
    Leave(Rc<str>, Rc<str>),
    /// A name.
    Claim(Box<Claim>),
    /// That a name is given up.
    Unclaim(Box<Owed>),
    /// That a whisper is brought to the nodes of its people.
    Whisper(Box<Brought>),
    /// The same, after its sender was told that nobody knows: if it was brought to the others, people here get it too.
    LateWhisper(Box<Brought>),
    /// That a ticket is kept.
    KeepTicket(Serial),
    /// The identity of a ticket.
    RedeemTicket(Serial),
    /// That an event is numbered and kept.
    Tell(Option<Serial>, Box<Draft>),
    /// That revocations are kept.
    Revoke(Option<Serial>),
    /// All events.
    Events,
    /// The secret that all nodes share, which the engine may have lost.
    Secret,
    /// A sign of life, by number.
    Beat(u64),
    /// That people of a dead node are taken out.
    Sweep(Box<str>),
    /// The names of a page of the rooms, by its number.
    Rooms(u64),
    /// What is shown of some of them.
    List(u64),
    /// People who are here.
    Names(Box<NamesAfter>),
    /// That lines are in the audit.
    Audit(Box<Lines>),
    /// The whole audit.
    Audits,
    /// How many nodes have heard a question, by its number.
    Question(u64),
    /// How many people are here.
    Count,
    /// Replicas that have what was published.
    Wait,
    /// That the people of this node are taken out, at its end.
    Bye,
}

/// A step of the setup of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The version of the protocol, and who we are.
    Hello,
    /// Where the primary is, of a sentinel.
    Primary,
    /// What the engine is.
    Info,
    /// The database, the scripts, and the end of old connections.
    Plain,
    /// The end of an old connection, which may be gone.
    Kill,
    /// The secret that all nodes share.
    Secret,
    /// All that was revoked.
    Revocations,
    /// The events.
    Events,
    /// The first sign of life, by number.
    Beat(u64),
}

/// A message on its way.
#[derive(Debug)]
pub struct Said {
    /// The message.
    pub publication: Publication,
    /// The name of its room.
    pub room: Rc<str>,
    /// Its mark.
    pub mark: Box<str>,
    /// The number in its mark: messages of this node are sent in this order.
    pub number: u64,
    /// The number of the newest message of the room that was known when it was first sent.
    pub after: u64,
    /// That of the mirror of the room: it goes to no later room of this name.
    pub generation: u64,
}

/// What a moderator does to a room, on its way.
#[derive(Debug)]
pub struct Act {
    /// The serial of the request.
    pub serial: Serial,
    /// The name of the room.
    pub room: Rc<str>,
    /// What is done.
    pub deed: Deed,
    /// Whether the engine may have done it before, over a connection that is gone.
    pub is_again: bool,
}

/// What is done to a room.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// The message at this position is deleted.
    Delete(Position),
    /// It has this limit of users, is kept or not, and has these rules.
    Change(u32, bool, Rules),
    /// It is removed.
    Remove,
}

/// The people after one of them, that are asked for.
#[derive(Debug)]
pub struct NamesAfter {
    /// The serial of the request.
    pub serial: Serial,
    /// The name before them.
    pub after: Option<Rc<str>>,
    /// So many at most.
    pub limit: usize,
}

/// Lines of the audit on their way.
#[derive(Debug)]
pub struct Lines {
    /// What is to be written.
    pub lines: Vec<String>,
    /// By it they are known when they are sent again.
    pub mark: Box<str>,
}

/// A whisper on its way.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The serial of its wish.
    pub serial: Serial,
    /// The whisper.
    pub whisper: Whispered,
    /// Its mark.
    pub mark: Box<str>,
    /// Whether it may be sent again, because it has an `id`.
    pub has_id: bool,
}

impl Ask {
    /// Takes it, because its time is over; what is left is for the reply that may still come.
    pub fn expire(&mut self) -> Self {
        let rest = match self {
            Self::Whisper(brought) => Self::LateWhisper(brought.clone()),
            _ => Self::Nothing,
        };
        std::mem::replace(self, rest)
    }

    /// Whether it is asked again over a new connection, because to do it twice is the same as once.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::Publish(_)
            | Self::Open(_)
            | Self::Act(_)
            | Self::Audit(_)
            | Self::Seat(..)
            | Self::Leave(..)
            | Self::Claim(_)
            | Self::Unclaim(_)
            | Self::KeepTicket(_)
            | Self::Revoke(_)
            | Self::Bye => true,
            Self::Whisper(brought) | Self::LateWhisper(brought) => brought.has_id,
            _ => false,
        }
    }

    /// Whether it has to be done, however late: what it undoes would stay for good. There are as many of them at most as people
    /// had seats and names when the engine was last heard.
    pub fn is_owed(&self) -> bool {
        matches!(self, Self::Leave(..) | Self::Unclaim(_) | Self::Bye)
    }
}
