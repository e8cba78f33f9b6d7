//! The event log: recent events by id, for subscribers that resume, and the places of channels of one's own.

use std::collections::VecDeque;
use std::rc::Rc;

use super::channels::{Kind, Kinds};
use crate::config::{EVENTS_KEPT, OWN_CHANNELS_MAX};

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
    /// The id of the oldest event that is kept; before the first event, the id before it.
    pub oldest: u64,
    /// The id of the newest event; before the first event, the id before it.
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
///
/// A channel of one's own has a place among [`OWN_CHANNELS_MAX`]. It is in use while an event of the channel is kept for
/// those who resume, or somebody subscribes to the channel. After that the channel stays known, with its latest event,
/// until another one needs the place.
#[derive(Debug)]
pub struct EventLog {
    /// The id before the first event.
    base: u64,
    newest: u64,
    kept: VecDeque<Sample>,
    /// By index of the kind.
    latest: Vec<Option<Sample>>,
    /// The names of the channels of one's own, by place.
    own: Vec<Box<str>>,
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
            latest: vec![None; Kind::SAMPLED.len()],
            own: Vec::new(),
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

    /// The name of the events of this kind.
    pub fn name(&self, kind: Kind) -> &str {
        match kind {
            Kind::Own(place) => &self.own[usize::from(place)],
            sampled => sampled.name().unwrap_or_default(),
        }
    }

    /// The kind of the events of a channel of one's own, if it has a place.
    pub fn find(&self, name: &str) -> Option<Kind> {
        let place = self.own.iter().position(|own| **own == *name)?;
        Some(Kind::Own(place as u8))
    }

    /// The places of channels of one's own, as kinds.
    fn places(&self) -> impl Iterator<Item = Kind> + use<> {
        (0..self.own.len()).map(|place| Kind::Own(place as u8))
    }

    /// The kinds whose places are in use; somebody subscribes to those `held`.
    fn in_use(&self, held: Kinds) -> Kinds {
        let kept = self.kept.iter().map(|sample| sample.kind);
        held.and(kept.collect())
    }

    /// The number of channels of one's own that are in use; somebody subscribes to those `held`.
    pub fn own_channels(&self, held: Kinds) -> usize {
        let in_use = self.in_use(held);
        self.places().filter(|kind| in_use.has(*kind)).count()
    }

    /// Whether there are places for these channels.
    fn has_places(&self, names: &[&str], held: Kinds, awaited_max: usize) -> bool {
        let in_use = self.in_use(held);
        let found = names.iter().map(|name| self.find(name));
        let needed = found.filter(|found| found.is_none_or(|kind| !in_use.has(kind)));
        let (mut count, mut silent) = (0, 0);
        for found in needed {
            count += 1;
            silent += usize::from(found.is_none_or(|kind| self.latest[kind.index()].is_none()));
        }
        let used = || self.places().filter(|kind| in_use.has(*kind));
        let awaited = used().filter(|kind| self.latest[kind.index()].is_none());
        count + used().count() <= OWN_CHANNELS_MAX
            && (silent == 0 || silent + awaited.count() <= awaited_max)
    }

    /// The kinds of the events of these channels of one's own, each named once. A channel that has no place takes a free
    /// one, or that of the channel out of use whose latest event is oldest. `held` are the kinds that somebody subscribes
    /// to. `None` if there are too few places, or if more than `awaited_max` channels would be in use to which nobody has
    /// posted yet; then nothing changes.
    pub fn enter(&mut self, names: &[&str], held: Kinds, awaited_max: usize) -> Option<Kinds> {
        if !self.has_places(names, held, awaited_max) {
            return None;
        }
        let known: Kinds = names.iter().filter_map(|name| self.find(name)).collect();
        let mut taken = self.in_use(held).and(known);
        let mut kinds = known;
        for name in names {
            let kind = self
                .find(name)
                .unwrap_or_else(|| self.take_place(name, taken));
            taken.insert(kind);
            kinds.insert(kind);
        }
        Some(kinds)
    }

    /// Gives a place that is not taken to a channel.
    fn take_place(&mut self, name: &str, taken: Kinds) -> Kind {
        if self.own.len() < OWN_CHANNELS_MAX {
            self.own.push(name.into());
            self.latest.push(None);
            return Kind::Own(self.own.len() as u8 - 1);
        }
        let newest_of = |kind: &Kind| self.latest[kind.index()].as_ref().map(|sample| sample.id);
        let free = self.places().filter(|kind| !taken.has(*kind));
        let kind = free.min_by_key(newest_of).expect("there is a free place");
        self.latest[kind.index()] = None;
        self.own[kind.index() - Kind::SAMPLED.len()] = name.into();
        kind
    }

    /// Appends an event; above [`EVENTS_KEPT`] the oldest is dropped.
    pub fn append(&mut self, kind: Kind, data: String) -> Sample {
        self.newest += 1;
        let sample = Sample {
            id: self.newest,
            kind,
            data: data.into(),
        };
        self.latest[kind.index()] = Some(sample.clone());
        if self.kept.len() == EVENTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(sample.clone());
        sample
    }

    /// Forgets which events the server itself sampled last: a new subscriber is not sent them any more. For who resumes
    /// they are kept, as all others.
    pub fn forget_latest_sampled(&mut self) {
        for kind in Kind::SAMPLED {
            self.latest[kind.index()] = None;
        }
    }

    /// The latest event of each of these kinds, oldest first.
    pub fn latest(&self, kinds: Kinds) -> Vec<Sample> {
        let latest = self.latest.iter().flatten();
        let of_kinds = latest.filter(|sample| kinds.has(sample.kind));
        let mut samples: Vec<_> = of_kinds.cloned().collect();
        samples.sort_unstable_by_key(|sample| sample.id);
        samples
    }

    /// What a new subscriber to these kinds is sent at once: the events after its last event ID, or the latest of each
    /// kind if it has none.
    pub fn backlog(&self, kinds: Kinds, last_event_id: Option<&str>) -> Backlog {
        let Some(requested) = last_event_id else {
            return Backlog {
                gap: None,
                samples: self.latest(kinds),
            };
        };
        let is_number =
            !requested.is_empty() && requested.bytes().all(|byte| byte.is_ascii_digit());
        let number = requested.parse::<u64>().ok().filter(|_| is_number);
        // Where ids begin at 1, 0 is the beginning. Elsewhere the id before the first one may be of an earlier run.
        let oldest_of_ours = if self.base == 0 { 0 } else { self.base + 1 };
        let ours = number.filter(|number| (oldest_of_ours..=self.newest).contains(number));
        let oldest = self.newest + 1 - self.kept.len() as u64;
        let seen = ours.filter(|seen| *seen + 1 >= oldest);
        let samples = self
            .kept
            .iter()
            .filter(|sample| kinds.has(sample.kind) && sample.id > seen.unwrap_or(0));
        let gap = Gap {
            oldest: oldest.min(self.newest),
            newest: self.newest,
            is_restart: ours.is_none(),
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
    use crate::domain::channels::Channel;

    /// The gap of a subscriber to everything.
    fn gap(log: &EventLog, requested: impl ToString) -> Option<(u64, u64, bool)> {
        let gap = log.backlog(Kinds::ALL, Some(&requested.to_string())).gap;
        gap.map(|gap| (gap.oldest, gap.newest, gap.is_restart))
    }

    #[test]
    fn an_id_with_a_sign_is_none_of_ours() {
        let mut log = EventLog::new(1);
        log.append(Kind::Api, "{}".into());
        assert_eq!(gap(&log, "1"), None);
        assert_eq!(gap(&log, "+1"), Some((1, 1, true)));
    }

    #[test]
    fn ids_begin_where_they_are_told_to_and_those_of_an_earlier_life_are_a_gap() {
        let mut log = EventLog::new(1_000);
        assert_eq!((log.newest(), log.count()), (999, 0));
        // Also the one before the first: the clock of the earlier run may have been ahead.
        for requested in [0, 998, 999, 1_000, u64::MAX] {
            assert_eq!(gap(&log, requested), Some((999, 999, true)), "{requested}");
        }
        for id in 1_000..1_300 {
            assert_eq!(log.append(Kind::Api, "{}".into()).id, id);
            if id == 1_000 {
                assert_eq!(gap(&log, 999), Some((1_000, 1_000, true)));
                assert_eq!(gap(&log, 1_000), None);
            }
        }
        assert_eq!((log.newest(), log.count()), (1_299, 300));
        assert_eq!(gap(&log, 500), Some((1_100, 1_299, true)));
        assert_eq!(gap(&log, 1_300), Some((1_100, 1_299, true)));
        assert_eq!(gap(&log, 1_098), Some((1_100, 1_299, false)));
        assert_eq!(gap(&log, 1_099), None);
    }

    #[test]
    fn an_id_that_an_empty_log_cannot_have_given_is_a_gap() {
        let log = EventLog::new(1);
        assert_eq!(
            gap(&log, 0),
            None,
            "whoever has seen nothing missed nothing"
        );
        for requested in ["1", "57", "x", "18446744073709551616"] {
            assert_eq!(gap(&log, requested), Some((0, 0, true)), "{requested}");
        }
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
            let backlog = log.backlog(Kinds::ALL, Some(requested));
            let gap = backlog.gap.map(|gap| (gap.oldest, gap.newest));
            assert_eq!(gap, Some((oldest, newest)), "{requested}");
            assert_eq!(backlog.samples.len(), EVENTS_KEPT);
        }
        assert_eq!(gap(&log, oldest - 1), None);
    }

    #[test]
    fn a_new_subscriber_gets_the_latest_of_each_kind() {
        let mut log = EventLog::new(1);
        let deploys = log.enter(&["deploys"], Kinds::NONE, OWN_CHANNELS_MAX);
        let own = Kind::Own(0);
        assert_eq!(deploys, Some(Kinds::from_iter([own])));
        for kind in [
            own,
            Kind::System,
            Kind::Api,
            own,
            Kind::Business,
            Kind::System,
        ] {
            log.append(kind, "{}".into());
        }
        let kinds = |of: Kinds| {
            let latest = log.backlog(of, None).samples;
            latest
                .into_iter()
                .map(|sample| sample.kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            kinds(Channel::Dashboard.kinds()),
            [Kind::Api, Kind::Business, Kind::System]
        );
        assert_eq!(kinds(Channel::Api.kinds()), [Kind::Api]);
        assert_eq!(
            kinds(Kinds::ALL),
            [Kind::Api, own, Kind::Business, Kind::System]
        );
        log.forget_latest_sampled();
        let ids: Vec<u64> = log.latest(Kinds::ALL).iter().map(|one| one.id).collect();
        assert_eq!(ids, [4], "what was posted has not become untrue");
        assert_eq!(log.backlog(Kinds::ALL, Some("3")).samples.len(), 3);
    }

    /// A log with channels `0`, `1` …, each with one event, and the last of them followed by enough others that all of
    /// them are out of use.
    fn log_with_past_channels() -> EventLog {
        let mut log = EventLog::new(1);
        for place in 0..OWN_CHANNELS_MAX {
            let entered = log.enter(&[&place.to_string()], Kinds::NONE, OWN_CHANNELS_MAX);
            let kind = Kind::Own(place as u8);
            assert_eq!(entered, Some(Kinds::from_iter([kind])));
            log.append(kind, "{}".into());
        }
        assert!(!log.has_places(&["more"], Kinds::NONE, OWN_CHANNELS_MAX));
        assert!(log.has_places(&["0", "63"], Kinds::NONE, OWN_CHANNELS_MAX));
        for _ in 0..EVENTS_KEPT {
            log.append(Kind::System, "{}".into());
        }
        log
    }

    #[test]
    fn a_place_that_is_out_of_use_goes_to_who_needs_it_and_until_then_its_latest_event_stays() {
        let mut log = log_with_past_channels();
        let own = |places: &[u8]| places.iter().map(|place| Kind::Own(*place)).collect();
        assert_eq!(log.latest(own(&[0, 1, 2])).len(), 3);
        // Somebody subscribes to the first: the second makes way, then, as it is asked for again, the third.
        let held: Kinds = own(&[0]);
        let entered = log.enter(&["more", "1"], held, OWN_CHANNELS_MAX);
        assert_eq!(entered, Some(own(&[1, 2])));
        assert_eq!(
            (log.name(Kind::Own(1)), log.name(Kind::Own(2))),
            ("1", "more")
        );
        assert_eq!(log.latest(own(&[0, 1, 2])).len(), 2);
    }

    #[test]
    fn places_in_use_are_not_given_away() {
        let mut log = log_with_past_channels();
        let all_but_one: Kinds = (1..OWN_CHANNELS_MAX as u8).map(Kind::Own).collect();
        assert_eq!(log.enter(&["a", "b"], all_but_one, OWN_CHANNELS_MAX), None);
        assert!(log.find("0").is_some(), "nothing has changed");
        let entered = log.enter(&["a", "63"], all_but_one, OWN_CHANNELS_MAX);
        let expected = Kinds::from_iter([Kind::Own(0), Kind::Own(63)]);
        assert_eq!(entered, Some(expected));
    }

    #[test]
    fn channels_nobody_has_posted_to_can_be_limited_on_their_own() {
        let mut log = EventLog::new(1);
        let first = log.enter(&["a", "b"], Kinds::NONE, 2).expect("two");
        assert_eq!(log.enter(&["c"], first, 2), None);
        let kind = log.find("a").expect("is there");
        log.append(kind, "{}".into());
        let third = log.enter(&["c"], first, 2).expect("one has events now");
        assert_eq!(log.enter(&["a", "d"], first.and(third), 2), None);
        assert!(log.enter(&["a"], first.and(third), 0).is_some());
        // Nobody subscribes to `b` any more: it is as unknown as `d`.
        let (a, c) = (Kinds::from_iter([kind]), third);
        assert!(log.has_places(&["d"], a.and(c), 2));
        assert!(!log.has_places(&["b", "d"], a.and(c), 2));
    }
}
