//! A ban: who may not be here, or in a room, until when and why.

use std::rc::Rc;

use serde::Serialize;

use super::time::{Now, Timestamp};
use crate::config::LIFTED_BAN_KEPT;

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// When it was last changed, in milliseconds since 1970.
    pub at: u64,
    /// When it ends, in seconds since 1970; `None` never.
    pub until: Option<u64>,
    /// Whether it was lifted.
    pub is_lifted: bool,
    /// The name, as the moderator has written it.
    pub username: Rc<str>,
    /// Who has banned them, or lifted the ban.
    pub by: Rc<str>,
    /// Why.
    pub reason: Rc<str>,
}

/// A ban as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBan {
    /// The room, or nothing for all.
    pub room: Rc<str>,
    /// The key of the name.
    pub key: Rc<str>,
    /// The ban.
    pub ban: Ban,
}

/// A ban as `GET /bans` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BanInfo {
    /// The name.
    pub username: Rc<str>,
    /// The room, if it is only from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Rc<str>>,
    /// When it ends; `None` never.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: Rc<str>,
    /// Who has banned them.
    pub by: Rc<str>,
    /// When.
    pub at: Timestamp,
}

/// A page of the bans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BanList {
    /// The bans.
    pub bans: Vec<BanInfo>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Ban {
    /// Of two changes of one ban the one with the greater rank counts: the later one, and of two in the same millisecond the
    /// same one wherever they come together.
    pub fn rank(&self) -> impl Ord {
        let Self {
            at,
            is_lifted,
            until,
            ..
        } = *self;
        (at, is_lifted, until, self.by.clone(), self.reason.clone())
    }

    /// Whether it holds.
    pub fn holds(&self, now: Now) -> bool {
        let is_over = self.until.is_some_and(|until| until <= now.unix.as_secs());
        !self.is_lifted && !is_over
    }

    /// When it ends.
    pub fn ends(&self) -> Option<Timestamp> {
        self.until.map(Timestamp::from_secs)
    }

    /// Whether it matters any more.
    pub fn is_useless(&self, now: Now) -> bool {
        let forgotten_at = self.at.saturating_add(LIFTED_BAN_KEPT.as_millis() as u64);
        !self.holds(now) && forgotten_at <= now.unix.as_millis() as u64
    }
}
