//! Requests and WebSocket commands that wait for a job's result. Each connection has at most one, and serves nothing
//! behind it until it is answered.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::answer::Exchange;
use super::peers::WaitsForName;
use super::sign_ins::Pending;
use super::streams::Subscription;
use crate::domain::ids::{ConnectionId, Origin, Serial};
use crate::domain::permissions::Permissions;
use crate::wire::http::Request;
use crate::wire::response::Response;

/// A waiting request.
#[derive(Debug)]
pub struct Waiting {
    /// Its connection, if that still [awaits](super::connections::Connections::awaits) this serial.
    pub connection: ConnectionId,
    /// What its response depends on.
    pub exchange: Exchange,
    /// What it waits for.
    pub what: What,
}

/// What a request waits for.
#[derive(Debug)]
pub enum What {
    /// A password check.
    Password(Pending),
    /// The creation of a room.
    Room,
    /// The audit log of all nodes; then the event stream begins.
    Audit(Response, Subscription),
    /// What a moderator asks for.
    Act,
    /// The id of the event that it tells.
    Event,
    /// That what it has changed is kept.
    Kept,
    /// The identity of a ticket; with it the request is served.
    Ticket(Box<Request>),
    /// That this ticket is kept for all nodes.
    TicketKept(String),
    /// The list of the rooms of all nodes, of those that may be entered with these permissions.
    RoomList(Rc<Permissions>),
    /// A room of another node; then the request is served.
    Reading(Box<Request>),
    /// A name; then the handshake goes on.
    Name(WaitsForName),
}

/// A WebSocket command that presented a ticket to extend its session.
#[derive(Debug)]
pub struct Extension {
    /// The WebSocket.
    pub origin: Origin,
    /// The `id` of its command.
    pub message_id: Option<Box<str>>,
}

/// All waiting requests and extensions, by the serial of their job.
#[derive(Debug, Default)]
pub struct WaitingRequests {
    requests: HashMap<Serial, Waiting>,
    extensions: HashMap<Serial, Extension>,
    /// The serials in `extensions`, by WebSocket.
    extending: BTreeMap<Origin, Serial>,
}

impl WaitingRequests {
    /// Adds a waiting request.
    pub fn insert(&mut self, serial: Serial, waiting: Waiting) {
        self.requests.insert(serial, waiting);
    }

    /// Removes the request with this serial.
    pub fn take(&mut self, serial: Serial) -> Option<Waiting> {
        self.requests.remove(&serial)
    }

    /// The same, if that is wanted.
    pub fn take_if(&mut self, serial: Serial, is_wanted: bool) -> Option<Waiting> {
        is_wanted.then(|| self.take(serial))?
    }

    /// Has the connection of every waiting request close after its response.
    pub fn close_after_responses(&mut self) {
        for waiting in self.requests.values_mut() {
            waiting.exchange.framing.keep_alive = false;
        }
    }

    /// What the response to the request with this serial depends on.
    pub fn exchange(&self, serial: Serial) -> Option<&Exchange> {
        let waiting = self.requests.get(&serial)?;
        Some(&waiting.exchange)
    }

    /// What the request with this serial waits for.
    pub fn what_mut(&mut self, serial: Serial) -> Option<&mut What> {
        let waiting = self.requests.get_mut(&serial)?;
        Some(&mut waiting.what)
    }

    /// The number of waiting requests and extensions.
    pub fn len(&self) -> usize {
        self.requests.len() + self.extensions.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a waiting extension.
    pub fn insert_extension(&mut self, serial: Serial, extension: Extension) {
        self.extending.insert(extension.origin, serial);
        self.extensions.insert(serial, extension);
    }

    /// Removes the extension with this serial.
    pub fn take_extension(&mut self, serial: Serial) -> Option<Extension> {
        let extension = self.extensions.remove(&serial)?;
        self.extending.remove(&extension.origin);
        Some(extension)
    }

    /// Removes the extension of this WebSocket, if there is one.
    pub fn take_extension_of(&mut self, origin: Origin) -> Option<Extension> {
        let serial = self.extending.remove(&origin)?;
        self.extensions.remove(&serial)
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        assert_eq!(self.extensions.len(), self.extending.len());
    }
}
