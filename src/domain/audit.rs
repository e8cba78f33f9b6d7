//! The audit log: what happened, for moderators, with a sequence of ids of its own.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;

use super::event_log::{Gap, id_of_ours};
use super::time::Timestamp;
use crate::config::AUDIT_EVENTS_KEPT;

/// The actor of what the server does by itself, and of what is done without a name.
pub const NOBODY: &str = "";

/// What happened.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// What was done.
    pub action: &'static str,
    /// When.
    pub time: Timestamp,
    /// Who has done it: a user, `key:` and the name of an API key, or [`NOBODY`].
    pub actor: &'a str,
    /// From where; `None` if it was the server.
    pub address: Option<IpAddr>,
    /// To whom or what: a user or a room.
    pub subject: &'a str,
    /// The room, if the subject is a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<&'a str>,
    /// The position of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// When a ban ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Option<Timestamp>>,
    /// The close code of a refused handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Whether the actor is a guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<bool>,
    /// What was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Value>,
}

impl<'a> Entry<'a> {
    /// Somebody has done something to themselves at a time; the rest is for the caller to fill in.
    pub fn new(action: &'static str, actor: &'a str, time: Timestamp) -> Self {
        Self {
            action,
            time,
            actor,
            address: None,
            subject: actor,
            room: None,
            position: None,
            reason: None,
            until: None,
            code: None,
            guest: None,
            changes: None,
        }
    }
}

/// An entry as it is kept: its id and its JSON.
pub type Kept = (u64, Rc<str>);

/// The last [`AUDIT_EVENTS_KEPT`] entries.
#[derive(Debug)]
pub struct AuditLog {
    /// The id before the first entry.
    base: u64,
    newest: u64,
    kept: VecDeque<Kept>,
}

impl AuditLog {
    /// A log without entries; the id of the first one is `first_id`, at least 1.
    pub fn new(first_id: u64) -> Self {
        let base = first_id.saturating_sub(1);
        Self {
            base,
            newest: base,
            kept: VecDeque::new(),
        }
    }

    /// Appends an entry, and returns it.
    pub fn append(&mut self, json: String) -> Kept {
        self.take(self.newest + 1, json.into())
    }

    /// Takes an entry with an id above all others.
    pub fn take(&mut self, id: u64, json: Rc<str>) -> Kept {
        self.newest = id;
        if self.kept.len() == AUDIT_EVENTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((id, json.clone()));
        (id, json)
    }

    /// Takes all entries that are kept elsewhere, up to the newest.
    pub fn replace(&mut self, newest: u64, kept: Vec<Kept>) {
        self.kept = kept.into();
        self.newest = newest;
        self.base = self.kept.front().map_or(newest, |(first, _)| first - 1);
    }

    /// The id of the newest entry.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// What a new subscriber is sent at once: nothing, or what came after its last event ID.
    pub fn backlog(&self, last_event_id: Option<&str>) -> (Option<Gap>, Vec<Kept>) {
        let Some(requested) = last_event_id else {
            return (None, Vec::new());
        };
        let ours = id_of_ours(requested, self.base, self.newest);
        let oldest = self.newest + 1 - self.kept.len() as u64;
        let seen = ours.filter(|seen| *seen + 1 >= oldest);
        let gap = Gap {
            oldest: oldest.min(self.newest),
            newest: self.newest,
            is_restart: ours.is_none(),
        };
        let missed = self.kept.iter().filter(|(id, _)| *id > seen.unwrap_or(0));
        (seen.is_none().then_some(gap), missed.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(log: &AuditLog, last_event_id: &str) -> (bool, Vec<u64>) {
        let (gap, missed) = log.backlog(Some(last_event_id));
        let ids = missed.into_iter().map(|(id, _)| id);
        (gap.is_some(), ids.collect())
    }

    #[test]
    fn who_resumes_gets_what_came_since_or_a_gap_and_all_that_is_kept() {
        let mut log = AuditLog::new(1);
        for n in 0..3 {
            log.append(n.to_string());
        }
        assert_eq!(log.backlog(None), (None, Vec::new()));
        assert_eq!(ids(&log, "1"), (false, vec![2, 3]));
        assert_eq!(ids(&log, "3"), (false, vec![]));
        assert_eq!(ids(&log, "4"), (true, vec![1, 2, 3]));
        assert_eq!(ids(&log, "x"), (true, vec![1, 2, 3]));
        for n in 0..AUDIT_EVENTS_KEPT {
            log.append(n.to_string());
        }
        let (has_gap, all) = ids(&log, "1");
        assert_eq!((has_gap, all.len()), (true, AUDIT_EVENTS_KEPT));
        assert_eq!(log.newest(), 3 + AUDIT_EVENTS_KEPT as u64);
    }

    #[test]
    fn an_entry_has_only_what_there_is_to_say() {
        let mut entry = Entry::new("joined", "kim", Timestamp(0));
        entry.subject = "tech";
        let json = serde_json::to_string(&entry).expect("can be written");
        let expected = r#"{"action":"joined","time":"1970-01-01T00:00:00Z","actor":"kim","address":null,"subject":"tech"}"#;
        assert_eq!(json, expected);
    }
}
