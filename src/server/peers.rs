//! What a node keeps of the others, and of its own people for them.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::answer::Redeemed;
use super::node::news::PeerFigures;
use crate::domain::event::{Page, RoomPage};
use crate::domain::ids::{ConnectionId, Origin, Serial};
use crate::domain::message_keys::Person;
use crate::wire::close_code::CloseCode;
use crate::wire::http::Request;

/// Somebody under a name, by the key of the name.
pub type Named = (Rc<str>, Person);

/// Who waits for the list of rooms.
#[derive(Debug)]
pub enum Reader {
    /// A WebSocket, and the `id` of its command.
    Socket(Origin, Option<Box<str>>),
    /// A request.
    Request(Serial),
    /// Those that watch the list.
    Watchers,
}

/// A page of the rooms that is being read.
#[derive(Debug)]
pub struct Reading {
    /// The number by which the node knows it.
    pub number: u64,
    /// Which one it is.
    pub page: Page,
    /// Who waits for it.
    pub readers: Vec<Reader>,
}

/// A name of somebody here.
#[derive(Debug, Default)]
pub struct Name {
    /// Connections, and handshakes that wait for it.
    pub count: u32,
    /// Whether the engine has granted it, when it was last asked.
    pub is_granted: bool,
    /// Whether the engine may have it as one of this node.
    pub may_be_held: bool,
}

/// An opening handshake that waits for its name.
#[derive(Debug)]
pub struct WaitsForName {
    /// The request.
    pub request: Box<Request>,
    /// What its ticket was worth, if it had one.
    pub redeemed: Option<Redeemed>,
}

/// What a node keeps of the others, and of its own people for them.
#[derive(Debug, Default)]
pub struct Sharing {
    /// The names of people here.
    pub names: HashMap<Named, Name>,
    /// Audit entries that the engine has not been given yet, as JSON.
    pub audited: Vec<String>,
    /// Whether the audit log of all nodes is known here.
    pub follows_audit: bool,
    /// Requests that wait for it.
    pub audit_waiters: Vec<Serial>,
    /// Whether a name could not be asked for again.
    pub has_unclaimed: bool,
    /// Whether the engine has refused to keep what was revoked here.
    pub has_unrevoked: bool,
    /// Why the handshake that goes on now is refused.
    pub refused: Option<CloseCode>,
    /// The first page of the rooms, how many were asked for, and when it was made.
    pub rooms: Option<(Duration, usize, RoomPage)>,
    /// The pages that are read, in the order in which they were asked for.
    pub pages: VecDeque<Reading>,
    /// Who waits for them.
    pub readers: usize,
    /// What the others had counted when it was last heard.
    pub peers: Vec<(Box<str>, PeerFigures)>,
    /// People at all nodes.
    pub people: usize,
    /// When rooms that are not used here are closed.
    pub closes_at: Option<Duration>,
    /// While stopping: the WebSockets that are closed one after the other, the time between two, and when the next is due.
    pub going: VecDeque<ConnectionId>,
    /// See there.
    pub step: Duration,
    /// See there.
    pub next_goes_at: Option<Duration>,
}
