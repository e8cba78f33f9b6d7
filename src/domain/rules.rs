//! The rules of a room that a moderator may set: how long its history is, and who may write.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::error::ErrorCode;
use crate::config::{HISTORY_MESSAGES_MAX, ROOM_USERS_MAX, RULE_SECONDS_MAX};

/// Who may write in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum Writers {
    /// Every member.
    #[default]
    Everyone,
    /// Members who signed in.
    SignedIn,
    /// Moderators, and a back end.
    Moderators,
}

/// What is derived for an enum is a syntax error for what is no string.
impl TryFrom<String> for Writers {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match &*name {
            "everyone" => Ok(Self::Everyone),
            "signed_in" => Ok(Self::SignedIn),
            "moderators" => Ok(Self::Moderators),
            _ => Err("nobody is called so"),
        }
    }
}

/// The rules of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// How many messages are kept, [`HISTORY_MESSAGES_MAX`] at most.
    pub history_messages: u32,
    /// For how long they are kept, in seconds; `None` as long as there is room.
    pub history_seconds: Option<NonZeroU32>,
    /// Who may write.
    pub write: Writers,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            history_messages: HISTORY_MESSAGES_MAX as u32,
            history_seconds: None,
            write: Writers::Everyone,
        }
    }
}

/// What is to be changed about a room; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewRules {
    /// The limit of users, 1 to [`ROOM_USERS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_users: Option<u32>,
    /// Whether it is kept while it is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<bool>,
    /// [`Rules::history_messages`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_messages: Option<u32>,
    /// [`Rules::history_seconds`]; `Some(None)` for no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_seconds: Option<Option<u32>>,
    /// [`Rules::write`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<Writers>,
}

impl NewRules {
    /// Checks the limits.
    ///
    /// # Errors
    /// `bad_request`.
    pub fn check(&self) -> Result<(), ErrorCode> {
        let users = self.max_users.unwrap_or(1);
        let messages = self.history_messages.unwrap_or(0);
        let seconds = self.history_seconds.flatten().unwrap_or(1);
        let is_good = (1..=ROOM_USERS_MAX).contains(&users)
            && messages as usize <= HISTORY_MESSAGES_MAX
            && (1..=RULE_SECONDS_MAX).contains(&seconds);
        match is_good {
            true => Ok(()),
            false => Err(ErrorCode::BadRequest),
        }
    }

    /// The rules after this change.
    pub fn change(&self, rules: Rules) -> Rules {
        let seconds = self
            .history_seconds
            .map(|seconds| seconds.and_then(NonZeroU32::new));
        Rules {
            history_messages: self.history_messages.unwrap_or(rules.history_messages),
            history_seconds: seconds.unwrap_or(rules.history_seconds),
            write: self.write.unwrap_or(rules.write),
        }
    }
}
