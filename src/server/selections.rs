//! Selections of events: what the subscribers of one channel, or of the same several, are sent.
//!
//! Each selection that has subscribers is two topics of a fan-out, one for each framing. So an event costs one look at
//! each selection and one write for each receiver, however many channels a stream has.

use super::fan_out::FanOut;
use crate::config::SELECTIONS_MAX;
use crate::conn::EventStream;
use crate::domain::channels::{Channel, Kinds};

/// The selections, by index: first the channels that every server has, in the order of [`Channel::ALL`], then at most
/// [`SELECTIONS_MAX`] others. One of these without subscribers stays until another one needs its index.
#[derive(Debug)]
pub struct Selections(Vec<Kinds>);

/// The streams of a selection.
fn streams(index: usize) -> [EventStream; 2] {
    [false, true].map(|is_chunked| EventStream {
        selection: index as u16,
        is_chunked,
    })
}

/// Streams of a selection that are open.
fn subscribers(index: usize, fan_out: &FanOut) -> usize {
    let counts = streams(index).map(|stream| fan_out.subscribers(stream));
    counts.into_iter().sum()
}

impl Selections {
    /// Only the channels that every server has.
    pub fn new() -> Self {
        Self(Channel::ALL.map(Channel::kinds).to_vec())
    }

    /// The events that a stream sends.
    pub fn kinds(&self, stream: EventStream) -> Kinds {
        self.0[usize::from(stream.selection)]
    }

    /// Every stream that sends some of these events, whether it has subscribers or not.
    pub fn streams_of(
        &self,
        is_receiver: impl Fn(Kinds) -> bool,
    ) -> impl Iterator<Item = EventStream> {
        let selections = self.0.iter().enumerate();
        let receivers = selections.filter(move |(_, kinds)| is_receiver(**kinds));
        receivers.flat_map(|(index, _)| streams(index))
    }

    /// The kinds that somebody has selected one by one.
    pub fn held(&self, fan_out: &FanOut) -> Kinds {
        let others = self
            .others()
            .filter(|index| subscribers(*index, fan_out) > 0);
        others.fold(Kinds::NONE, |held, index| held.and(self.0[index]))
    }

    /// The index of a selection. It stays its own as long as it has subscribers. `None` if it is not among those that
    /// have some, and these are `max` already, beside the channels that every server has.
    pub fn enter(&mut self, kinds: Kinds, max: usize, fan_out: &FanOut) -> Option<u16> {
        let is_used = |index: &usize| subscribers(*index, fan_out) > 0;
        let is_known = |index: &usize| *index < Channel::ALL.len() || is_used(index);
        let mut same = (0..self.0.len()).filter(|index| self.0[*index] == kinds);
        if let Some(index) = same.find(is_known) {
            return Some(index as u16);
        }
        let used = self.others().filter(is_used).count();
        if used >= max.min(SELECTIONS_MAX) {
            return None;
        }
        let free = self.others().find(|index| !is_used(index));
        let index = free.unwrap_or(self.0.len());
        match self.0.get_mut(index) {
            Some(free) => *free = kinds,
            None => self.0.push(kinds),
        }
        Some(index as u16)
    }

    /// Open streams of a channel that every server has; those that select it with others do not count.
    pub fn subscribers_of(&self, channel: Channel, fan_out: &FanOut) -> usize {
        subscribers(channel.index(), fan_out)
    }

    /// Open streams of anything else.
    pub fn other_subscribers(&self, fan_out: &FanOut) -> usize {
        self.others().map(|index| subscribers(index, fan_out)).sum()
    }

    /// The indexes of the selections that not every server has.
    fn others(&self) -> std::ops::Range<usize> {
        Channel::ALL.len()..self.0.len()
    }

    /// Asserts the invariants.
    pub fn check(&self, fan_out: &FanOut) {
        assert!(self.others().len() <= SELECTIONS_MAX);
        let used = self
            .others()
            .filter(|index| subscribers(*index, fan_out) > 0);
        let mut kinds: Vec<Kinds> = Channel::ALL.map(Channel::kinds).to_vec();
        for index in used {
            assert!(!kinds.contains(&self.0[index]), "each selection once");
            kinds.push(self.0[index]);
        }
    }
}
