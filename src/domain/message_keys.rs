//! What identifies a message with an `id`: who said it, where or to whom, and the `id`.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::ids::{HolderId, RoomKey};
use crate::config::MESSAGE_ID_BYTES_MAX;

/// Whether a message may have this `id`: at most [`MESSAGE_ID_BYTES_MAX`] bytes.
pub fn is_message_id(id: &str) -> bool {
    id.len() <= MESSAGE_ID_BYTES_MAX
}

/// A sender or a receiver. A guest and somebody who signed in under the same name are different people, and so are guests
/// with different keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// The name.
    pub name: Rc<str>,
    /// Whether they signed in.
    pub is_account: bool,
    /// The key of a guest who has one.
    pub holder: Option<HolderId>,
}

impl Person {
    /// Whoever has an account of this name.
    pub fn account(name: &Rc<str>) -> Self {
        Self {
            name: name.clone(),
            is_account: true,
            holder: None,
        }
    }
}

/// The destination of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A room, in its current epoch.
    Room(RoomKey),
    /// A user, in private.
    Person(Person),
}

impl Hash for Destination {
    /// Everybody who ever had a name has the same hash, so that a search for whoever had it finds them all
    /// ([`claim_of_absent`](super::acknowledged::Acknowledged::claim_of_absent)).
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Room(key) => key.hash(state),
            Self::Person(person) => person.name.hash(state),
        }
    }
}

/// The key of a message: sender, destination, and the sender's `id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageKey {
    /// The sender.
    pub sender: Person,
    /// The destination.
    pub destination: Destination,
    /// The `id` chosen by the sender.
    pub id: Box<str>,
}
