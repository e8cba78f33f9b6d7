//! The event log: what was told lately, by id, for those who resume.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{API_EVERY, BUSINESS_EVERY, EVENTS_KEPT, SYSTEM_EVERY};

/// What an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The machine.
    System,
    /// This server's traffic.
    Api,
    /// People, and figures a back end posts.
    Business,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::System, Self::Api, Self::Business];

    /// The event's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system_metrics",
            Self::Api => "api_metrics",
            Self::Business => "business_metrics",
        }
    }

    /// How much time lies between two of them.
    pub fn every(self) -> Duration {
        match self {
            Self::System => SYSTEM_EVERY,
            Self::Api => API_EVERY,
            Self::Business => BUSINESS_EVERY,
        }
    }
}

/// What one subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the paths' under /sse")]
pub enum Channel {
    Dashboard,
    All,
    System,
    Api,
    Business,
}

impl Channel {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 5] = [
        Self::Dashboard,
        Self::All,
        Self::System,
        Self::Api,
        Self::Business,
    ];

    /// The channel of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }

    /// Its name in `/sse/…`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dashboard => "dashboard",
            Self::All => "all",
            Self::System => "system",
            Self::Api => "api",
            Self::Business => "business",
        }
    }

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether events of this kind go to it.
    pub fn has(self, kind: Kind) -> bool {
        match self {
            Self::Dashboard | Self::All => true,
            Self::System => kind == Kind::System,
            Self::Api => kind == Kind::Api,
            Self::Business => kind == Kind::Business,
        }
    }
}

/// An event that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its place among all events; the first is 1.
    pub id: u64,
    /// What it tells of.
    pub kind: Kind,
    /// Its JSON.
    pub data: Rc<str>,
}

/// What somebody who subscribes is sent at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Events between what was seen and what follows are gone: (oldest, newest) that is kept.
    pub gap: Option<(u64, u64)>,
    /// Events, oldest first.
    pub samples: Vec<Sample>,
}

/// The last events, with one sequence for all channels.
#[derive(Debug, Default)]
pub struct EventLog {
    newest: u64,
    kept: VecDeque<Sample>,
    latest: [Option<Sample>; 3],
}

impl EventLog {
    /// The id of the newest event, 0 before the first.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Appends an event; above [`EVENTS_KEPT`] the oldest is forgotten.
    pub fn append(&mut self, kind: Kind, data: String) -> Sample {
        self.newest += 1;
        let sample = Sample {
            id: self.newest,
            kind,
            data: data.into(),
        };
        self.latest[kind as usize] = Some(sample.clone());
        if self.kept.len() == EVENTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(sample.clone());
        sample
    }

    /// Forgets all events; the ids go on.
    pub fn forget(&mut self) {
        self.kept.clear();
        self.latest = [None, None, None];
    }

    /// The latest event of each kind of a channel, oldest first.
    pub fn latest(&self, channel: Channel) -> Vec<Sample> {
        let mut samples: Vec<_> = self
            .latest
            .iter()
            .flatten()
            .filter(|one| channel.has(one.kind))
            .cloned()
            .collect();
        samples.sort_by_key(|sample| sample.id);
        samples
    }

    /// What somebody is sent at once who subscribes to a channel, having seen the event of this id, if any.
    pub fn backlog(&self, channel: Channel, last_event_id: Option<&str>) -> Backlog {
        let Some(requested) = last_event_id else {
            return Backlog {
                gap: None,
                samples: self.latest(channel),
            };
        };
        let oldest = self.newest + 1 - self.kept.len() as u64;
        let is_number =
            !requested.is_empty() && requested.bytes().all(|byte| byte.is_ascii_digit());
        let seen = requested
            .parse()
            .ok()
            .filter(|seen| is_number && *seen <= self.newest && *seen + 1 >= oldest);
        let samples = self
            .kept
            .iter()
            .filter(|sample| channel.has(sample.kind) && sample.id > seen.unwrap_or(0));
        let gap = seen
            .is_none()
            .then_some((oldest.min(self.newest), self.newest));
        Backlog {
            gap,
            samples: samples.cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_found_by_its_name_and_stands_at_its_index() {
        for (index, name) in ["dashboard", "all", "system", "api", "business"]
            .into_iter()
            .enumerate()
        {
            let channel = Channel::find(name).expect("is there");
            assert_eq!((channel.name(), channel.index()), (name, index));
            assert_eq!(Channel::ALL[index], channel);
        }
        assert_eq!(Channel::find("System"), None);
    }

    #[test]
    fn a_kind_goes_to_its_own_channel_and_to_those_that_have_all() {
        for (kind, name, channel) in [
            (Kind::System, "system_metrics", Channel::System),
            (Kind::Api, "api_metrics", Channel::Api),
            (Kind::Business, "business_metrics", Channel::Business),
        ] {
            assert_eq!(kind.name(), name);
            for other in Channel::ALL {
                let has_all = matches!(other, Channel::Dashboard | Channel::All);
                assert_eq!(other.has(kind), has_all || other == channel, "{other:?}");
            }
        }
    }

    #[test]
    fn an_id_with_a_sign_is_none_of_ours() {
        let mut log = EventLog::default();
        log.append(Kind::Api, "{}".into());
        assert_eq!(log.backlog(Channel::All, Some("1")).gap, None);
        assert_eq!(log.backlog(Channel::All, Some("+1")).gap, Some((1, 1)));
    }
}
