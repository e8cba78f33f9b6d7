//! Who makes a request.

use std::rc::Rc;

use super::permissions::Permissions;
use super::tokens::Identity;

/// Who has sent a request with a bearer token, or with a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A user.
    Somebody(Identity),
    /// A back end, by an API key: a moderator, but no user.
    Key {
        /// The name of the key.
        name: Rc<str>,
    },
}

impl Caller {
    /// The user, unless it is a key.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Somebody(identity) => Some(identity),
            Self::Key { .. } => None,
        }
    }

    /// The name in which the caller speaks, unless another is named.
    pub fn speaker(&self) -> Rc<str> {
        match self {
            Self::Somebody(identity) => identity.username.clone(),
            Self::Key { name } => name.clone(),
        }
    }

    /// The name under which it is noted what the caller does: of a key `key:` and its name.
    pub fn actor(&self) -> Rc<str> {
        match self {
            Self::Somebody(identity) => identity.username.clone(),
            Self::Key { name } => format!("key:{name}").into(),
        }
    }

    /// What the caller may do.
    pub fn permissions(&self) -> Rc<Permissions> {
        match self {
            Self::Somebody(identity) => identity.permissions.clone(),
            Self::Key { .. } => Permissions::moderator(),
        }
    }
}
