//! What a node asks of the engine, until the reply comes.

use std::rc::Rc;
use std::time::Duration;

use crate::domain::drafts::Draft;
use crate::domain::ids::Serial;
use crate::domain::wishes::Publication;

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
    /// Who is in a room.
    Crowd(Rc<str>),
    /// A seat in a room.
    Seat(Serial, Rc<str>),
    /// That a seat is given up.
    Leave(Rc<str>, Rc<str>),
    /// A name.
    Claim(Serial),
    /// That a name is given up.
    Unclaim,
    /// That a whisper is brought to the nodes of its people; whether it may be sent again.
    Whisper(Serial, bool),
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
    /// The names of all rooms.
    Rooms,
    /// What is shown of some rooms; whether these are the last.
    List(bool),
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
}

impl Ask {
    /// Whether it is asked again over a new connection, because to do it twice is the same as once.
    pub fn is_repeatable(&self) -> bool {
        matches!(
            self,
            Self::Publish(_)
                | Self::Open(_)
                | Self::Seat(..)
                | Self::Leave(..)
                | Self::Claim(_)
                | Self::Unclaim
                | Self::Whisper(_, true)
                | Self::KeepTicket(_)
                | Self::Revoke(_)
                | Self::Bye
        )
    }

    /// Whether it has to be done, however late: what it undoes would stay for good.
    pub fn is_owed(&self) -> bool {
        matches!(
            self,
            Self::Leave(..) | Self::Unclaim | Self::Revoke(_) | Self::Bye
        )
    }
}
