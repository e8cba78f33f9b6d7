//! The rules of a room that a moderator may set: how long its history is, and who may write.

use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize};

use super::error::ErrorCode;
use crate::config::{HISTORY_MESSAGES_MAX, ROOM_USERS_MAX, RULE_SECONDS_MAX};

/// Who may write in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writers {
    /// Every member.
    #[default]
    Everyone,
    /// Members who signed in.
    SignedIn,
    /// Moderators, and a back end.
    Moderators,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NewRules {
    /// The limit of users, 1 to [`ROOM_USERS_MAX`].
    pub max_users: Option<u32>,
    /// Whether it is kept while it is empty.
    pub kept: Option<bool>,
    /// [`Rules::history_messages`].
    pub history_messages: Option<u32>,
    /// [`Rules::history_seconds`]; `Some(None)` for no end.
    #[serde(default, deserialize_with = "present")]
    pub history_seconds: Option<Option<u32>>,
    /// [`Rules::write`].
    pub write: Option<Writers>,
}

/// Tells `null` from a field that is missing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<NewRules> {
        let rules: NewRules = serde_json::from_str(json).ok()?;
        rules.check().ok().map(|()| rules)
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_an_end_away() {
        let of = |json: &str, rules| read(json).map(|new| new.change(rules));
        let first = Rules::default();
        assert_eq!(of("{}", first), Some(first));
        let timed = of(r#"{"history_seconds":60,"write":"moderators"}"#, first);
        let timed = timed.expect("is good");
        assert_eq!(timed.history_seconds, NonZeroU32::new(60));
        assert_eq!(timed.write, Writers::Moderators);
        assert_eq!(
            of(r#"{"history_messages":0}"#, timed).map(|new| new.history_seconds),
            Some(NonZeroU32::new(60))
        );
        let endless = of(r#"{"history_seconds":null}"#, timed).expect("is good");
        assert_eq!(
            (endless.history_seconds, endless.write),
            (None, Writers::Moderators)
        );
    }

    #[test]
    fn what_is_beyond_the_limits_is_refused() {
        for bad in [
            r#"{"max_users":0}"#,
            r#"{"max_users":1000001}"#,
            r#"{"max_users":-1}"#,
            r#"{"history_messages":1001}"#,
            r#"{"history_seconds":0}"#,
            r#"{"history_seconds":315360001}"#,
            r#"{"write":"nobody"}"#,
            r#"{"kept":1}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let most = r#"{"max_users":1000000,"history_messages":1000,"history_seconds":315360000,"kept":true}"#;
        assert!(read(most).is_some());
    }
}
