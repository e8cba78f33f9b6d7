//! The event log: recent events by id, for subscribers that resume, and the places of channels of one's own.

use std::collections::VecDeque;
use std::rc::Rc;

use super::changes::Changes;
use super::channels::{Kind, Kinds};
use super::record::{Key, Record};
use super::working_set::{KeptEvent, WorkingSet};
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

/// The events that the engine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptEvents {
    /// The number of the newest; `None` if there was none yet.
    pub newest: Option<u64>,
    /// Those that are kept.
    pub events: Vec<KeptEvent>,
    /// The latest of each channel of one's own.
    pub latest: Vec<KeptEvent>,
    /// The posted figures, as JSON, if there are any.
    pub figures: Option<Box<str>>,
}

/// The last event ID of a client, if it is one of ours: a number behind `base` and up to `newest`. Where ids begin at 1, 0 is
/// the beginning. Elsewhere the id before the first one may be of an earlier run.
pub fn id_of_ours(requested: &str, base: u64, newest: u64) -> Option<u64> {
    let is_number = !requested.is_empty() && requested.bytes().all(|byte| byte.is_ascii_digit());
    let number = requested.parse::<u64>().ok().filter(|_| is_number)?;
    let oldest = if base == 0 { 0 } else { base + 1 };
    (oldest..=newest).contains(&number).then_some(number)
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
/// those who resume or is being stored, or somebody subscribes to the channel. After that the channel stays known, with its latest event,
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
    /// Drafts that are being stored, by index of the kind.
    under_way: Vec<u32>,
    /// Removes from the store what is forgotten; `None` if there is no store.
    forgotten: Option<Changes>,
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
            under_way: vec![0; Kind::SAMPLED.len()],
            forgotten: None,
        }
    }

    /// Takes the events that were loaded; from now on there is a store. If it has never had an event, ids begin as they
    /// would without one.
    pub fn load(&mut self, kept: &mut WorkingSet) {
        self.forgotten = Some(Changes::default());
        let Some(newest) = kept.newest_event() else {
            return;
        };
        self.newest = newest;
        self.base = kept.event_base.unwrap_or(newest);
        for event in std::mem::take(&mut kept.latest) {
            if let Some(sample) = self.load_event(event) {
                let place = sample.kind.index();
                self.latest[place] = Some(sample);
            }
        }
        for event in std::mem::take(&mut kept.events) {
            match self.load_event(event) {
                Some(sample) => self.kept.push_back(sample),
                // Nobody may take what is left for all of it.
                None => self.kept.clear(),
            }
        }
    }

    /// `None` for a channel that has no place left.
    fn load_event(&mut self, event: KeptEvent) -> Option<Sample> {
        let sampled = Kind::SAMPLED.into_iter();
        let mut sampled = sampled.filter(|kind| kind.name() == Some(&*event.name));
        let kind = match sampled.next().or_else(|| self.find(&event.name)) {
            Some(kind) => kind,
            None if self.own.len() < OWN_CHANNELS_MAX => self.add_place(&event.name),
            None => return None,
        };
        Some(Sample {
            id: event.id,
            kind,
            data: event.data,
        })
    }

    /// Puts the records of every event.
    pub fn keep_all(&self, changes: &mut Changes) {
        changes.put(&Record::EventBase(self.base));
        for sample in &self.kept {
            changes.put(&Record::Event {
                id: sample.id,
                name: self.name(sample.kind),
                data: &sample.data,
            });
        }
        for sample in self.latest.iter().skip(Kind::SAMPLED.len()).flatten() {
            changes.put(&Record::Latest {
                name: self.name(sample.kind),
                id: sample.id,
                data: &sample.data,
            });
        }
    }

    /// Takes an event of another server, if it is the next one. `None` if it is not.
    pub fn take(&mut self, event: KeptEvent, held: Kinds) -> Option<Sample> {
        if event.id != self.newest + 1 {
            return None;
        }
        let kind = self.kind_of(&event.name, held);
        let Some(kind) = kind else {
            // There is no place for its channel: nobody may take what is left for all of it.
            self.newest += 1;
            self.kept.clear();
            return None;
        };
        Some(self.append(kind, (*event.data).to_owned()))
    }

    fn kind_of(&mut self, name: &str, held: Kinds) -> Option<Kind> {
        let mut sampled = Kind::SAMPLED.into_iter();
        if let Some(kind) = sampled.find(|kind| kind.name() == Some(name)) {
            return Some(kind);
        }
        self.enter(&[name], held, OWN_CHANNELS_MAX)?;
        self.find(name)
    }

    /// Takes all events of the servers with which this one shares them: what it has is of another time.
    pub fn replace(&mut self, newest: u64, events: Vec<KeptEvent>, latest: Vec<KeptEvent>) {
        self.kept.clear();
        for event in latest {
            if let Some(sample) = self.load_event(event) {
                let place = sample.kind.index();
                self.latest[place] = Some(sample);
            }
        }
        for event in events {
            match self.load_event(event) {
                Some(sample) => self.kept.push_back(sample),
                None => self.kept.clear(),
            }
        }
        while self.kept.len() > EVENTS_KEPT {
            self.kept.pop_front();
        }
        let is_whole = |kept: &VecDeque<Sample>| {
            let pairs = kept.iter().zip(kept.iter().skip(1));
            pairs.into_iter().all(|(one, next)| one.id + 1 == next.id)
                && kept.back().is_none_or(|last| last.id == newest)
        };
        if !is_whole(&self.kept) {
            self.kept.clear();
        }
        self.newest = newest;
        self.base = self.kept.front().map_or(newest, |first| first.id - 1);
        for sample in &self.kept {
            self.latest[sample.kind.index()] = Some(sample.clone());
        }
    }

    /// The events that are kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Sample> {
        self.kept.iter()
    }

    /// The id before the first event.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Takes what removes from the store what was forgotten.
    pub fn take_forgotten(&mut self) -> Changes {
        let forgotten = self.forgotten.as_mut();
        forgotten.map(std::mem::take).unwrap_or_default()
    }

    /// A draft of this kind is being stored, and keeps the place of its channel.
    pub fn begin(&mut self, kind: Kind) {
        self.under_way[kind.index()] += 1;
    }

    /// It is stored, or was not.
    pub fn end(&mut self, kind: Kind) {
        self.under_way[kind.index()] -= 1;
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
        let drafts = self.under_way.iter().enumerate();
        let drafts = drafts.filter(|(_, count)| **count > 0);
        let drafts = drafts.map(|(index, _)| Kind::of_index(index));
        held.and(kept.chain(drafts).collect())
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
            return self.add_place(name);
        }
        let newest_of = |kind: &Kind| self.latest[kind.index()].as_ref().map(|sample| sample.id);
        let free = self.places().filter(|kind| !taken.has(*kind));
        let kind = free.min_by_key(newest_of).expect("there is a free place");
        self.latest[kind.index()] = None;
        let place = kind.index() - Kind::SAMPLED.len();
        if let Some(forgotten) = &mut self.forgotten {
            forgotten.remove(&Key::Latest(&self.own[place]));
        }
        self.own[place] = name.into();
        kind
    }

    fn add_place(&mut self, name: &str) -> Kind {
        self.own.push(name.into());
        self.latest.push(None);
        self.under_way.push(0);
        Kind::Own(self.own.len() as u8 - 1)
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
        let ours = id_of_ours(requested, self.base, self.newest);
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
mod tests;
