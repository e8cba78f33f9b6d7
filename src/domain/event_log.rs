//! The event log: recent events by id, for subscribers that resume.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{API_EVERY, BUSINESS_EVERY, EVENTS_KEPT, SYSTEM_EVERY};

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The machine: processor, memory, disk.
    System,
    /// This server's traffic.
    Api,
    /// Users, and figures a back end posts.
    Business,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::System, Self::Api, Self::Business];

    /// The event's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system_metrics",
            Self::Api => "api_metrics",
            Self::Business => "business_metrics",
        }
    }

    /// The period of these events.
    pub fn every(self) -> Duration {
        match self {
            Self::System => SYSTEM_EVERY,
            Self::Api => API_EVERY,
            Self::Business => BUSINESS_EVERY,
        }
    }
}

/// A channel to subscribe to.
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
    /// All channels, by index.
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

    /// Its index in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether events of this kind belong to it.
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
    /// Its sequence number over all channels, without gaps.
    pub id: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its data, as JSON.
    pub data: Rc<str>,
}

/// Events between the last event ID and the next event are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The id of the oldest event that is kept.
    pub oldest: u64,
    /// The id of the newest event.
    pub newest: u64,
    /// The last event ID is not of this run of the server: it is from before a restart, or not one of its ids.
    pub is_restart: bool,
}

/// The events a new subscriber is sent at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The gap before the first of the events, if there is one.
    pub gap: Option<Gap>,
    /// Events, oldest first.
    pub samples: Vec<Sample>,
}

/// The recent events, with one sequence of ids over all channels.
#[derive(Debug)]
pub struct EventLog {
    /// The id before the first event.
    base: u64,
    newest: u64,
    kept: VecDeque<Sample>,
    latest: [Option<Sample>; 3],
}

impl EventLog {
    /// A log without events; the id of the first one is `first_id`, at least 1. JavaScript represents ids exactly below
    /// 2^53.
    pub fn new(first_id: u64) -> Self {
        let base = first_id.saturating_sub(1);
        Self {
            base,
            newest: base,
            kept: VecDeque::new(),
            latest: [None, None, None],
        }
    }

    /// The id of the newest event; before the first one, the id before it.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The number of events so far.
    pub fn count(&self) -> u64 {
        self.newest - self.base
    }

    /// Appends an event; above [`EVENTS_KEPT`] the oldest is dropped.
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

    /// Drops all events; ids continue.
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

    /// What a new subscriber of a channel is sent at once: the events after its last event ID, or the latest of each
    /// kind if it has none.
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
        let number = requested.parse::<u64>().ok().filter(|_| is_number);
        let seen = number.filter(|seen| *seen <= self.newest && *seen + 1 >= oldest);
        let samples = self
            .kept
            .iter()
            .filter(|sample| channel.has(sample.kind) && sample.id > seen.unwrap_or(0));
        let gap = Gap {
            oldest: oldest.min(self.newest),
            newest: self.newest,
            is_restart: !(self.base..=self.newest).contains(&number.unwrap_or(u64::MAX)),
        };
        Backlog {
            gap: seen.is_none().then_some(gap),
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
        let mut log = EventLog::new(1);
        log.append(Kind::Api, "{}".into());
        assert_eq!(log.backlog(Channel::All, Some("1")).gap, None);
        let gap = Gap {
            oldest: 1,
            newest: 1,
            is_restart: true,
        };
        assert_eq!(log.backlog(Channel::All, Some("+1")).gap, Some(gap));
    }

    #[test]
    fn ids_begin_where_they_are_told_to_and_those_of_an_earlier_life_are_a_gap() {
        let mut log = EventLog::new(1_000);
        assert_eq!((log.newest(), log.count()), (999, 0));
        let gap = |log: &EventLog, requested: u64| {
            let gap = log.backlog(Channel::All, Some(&requested.to_string())).gap;
            gap.map(|gap| (gap.oldest, gap.newest, gap.is_restart))
        };
        // A subscriber that has seen the id before the first event has missed nothing.
        assert_eq!(gap(&log, 999), None);
        assert_eq!(gap(&log, 998), Some((999, 999, true)));
        for id in 1_000..1_300 {
            assert_eq!(log.append(Kind::Api, "{}".into()).id, id);
        }
        assert_eq!((log.newest(), log.count()), (1_299, 300));
        assert_eq!(gap(&log, 500), Some((1_100, 1_299, true)));
        assert_eq!(gap(&log, 1_300), Some((1_100, 1_299, true)));
        assert_eq!(gap(&log, 1_098), Some((1_100, 1_299, false)));
        assert_eq!(gap(&log, 1_099), None);
    }

    #[test]
    fn what_is_gone_from_another_life_or_no_number_is_a_gap_and_all_that_is_kept() {
        let mut log = EventLog::new(1);
        for _ in 0..2 * EVENTS_KEPT {
            log.append(Kind::System, "{}".into());
        }
        let newest = log.newest();
        let oldest = newest - EVENTS_KEPT as u64 + 1;
        for requested in [
            "1",
            "x",
            "",
            "-1",
            "+5",
            "99999999999999999999",
            &(newest + 1).to_string(),
            &(oldest - 2).to_string(),
        ] {
            let backlog = log.backlog(Channel::All, Some(requested));
            let gap = backlog.gap.map(|gap| (gap.oldest, gap.newest));
            assert_eq!(gap, Some((oldest, newest)), "{requested}");
            assert_eq!(backlog.samples.len(), EVENTS_KEPT);
        }
        assert_eq!(
            log.backlog(Channel::All, Some(&(oldest - 1).to_string()))
                .gap,
            None
        );
    }

    #[test]
    fn a_new_subscriber_gets_the_latest_of_each_kind() {
        let mut log = EventLog::new(1);
        for kind in [Kind::System, Kind::Api, Kind::Business, Kind::System] {
            log.append(kind, "{}".into());
        }
        let kinds = |channel| {
            let latest = log.backlog(channel, None).samples;
            latest
                .into_iter()
                .map(|sample| sample.kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            kinds(Channel::Dashboard),
            [Kind::Api, Kind::Business, Kind::System]
        );
        assert_eq!(kinds(Channel::Api), [Kind::Api]);
    }
}
