//! Marks of names: no token of a name that was issued up to its mark is good.
//!
//! A mark costs as much for a thousand tokens as for one, and has no end: the tokens of a removed account stay refused
//! whatever their `exp` says.
//!
//! After a restart all earlier tokens were issued elsewhere, so of a mark only the second counts. It is kept late enough for
//! every token that was issued before, also if the clock was ahead then; so a token that was issued in that second after the
//! mark may be refused, too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::changes::Changes;
use super::issuer::Issued;
use super::record::{Key, Record};
use crate::config::{CLOCK_SET_FROM_SECS, REVOKED_NAMES_MAX};

/// Up to this many names at once get marks one by one. So there are at most a few sets to look through.
const ONE_BY_ONE_MAX: usize = REVOKED_NAMES_MAX / 16;

/// Sorted names, shared with whoever else knows them.
pub type Names = Arc<[Arc<str>]>;

/// A point in the order of issue of our tokens, and in time for all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The place of the last token of ours that is covered.
    pub place: u64,
    /// The last second in which covered tokens were issued elsewhere, since 1970. A token issued elsewhere after the
    /// mark but in the same second is covered, too.
    pub second: u64,
    /// The same for tokens of ours, after a restart.
    pub kept_second: u64,
}

impl Mark {
    fn covers(self, issued: Issued) -> bool {
        match issued {
            Issued::Here(place) => place <= self.place,
            Issued::Elsewhere(second) => second <= self.second,
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            place: self.place.max(other.place),
            second: self.second.max(other.second),
            kept_second: self.kept_second.max(other.kept_second),
        }
    }
}

/// The marks of at most [`REVOKED_NAMES_MAX`] names.
#[derive(Debug, Default)]
pub struct Marks {
    /// Names with a mark of their own, and the number of its setting.
    by_name: HashMap<Arc<str>, (u64, Mark)>,
    /// The same names by that number.
    by_age: BTreeMap<u64, Arc<str>>,
    /// Sorted names that were given one mark together, by the number of the setting: putting a set of names in is one
    /// step, however many they are.
    sets: BTreeMap<u64, (Names, Mark)>,
    /// Names in [`Self::sets`].
    in_sets: usize,
    /// Settings since the start.
    count: u64,
    /// A mark that holds for every name, if one had to be dropped.
    floor: Option<Mark>,
    /// What the store is to change; `None` if there is no store.
    changes: Option<Changes>,
}

impl Marks {
    /// Takes the marks that were loaded; from now on there is a store.
    pub fn load(&mut self, names: Vec<(Box<str>, u64)>, floor: Option<u64>) {
        let kept = |second| Mark {
            // It covers no token that is issued from now on.
            place: 0,
            second,
            kept_second: second,
        };
        self.floor = floor.map(kept);
        for (name, second) in names {
            self.set(&name.into(), kept(second));
        }
        self.changes = Some(Changes::default());
    }

    /// Takes marks of other servers, beside those that there are.
    pub fn merge(&mut self, names: Vec<(Box<str>, u64)>, floor: Option<u64>) {
        let kept = |second| Mark {
            place: 0,
            second,
            kept_second: second,
        };
        if let Some(floor) = floor.map(kept) {
            self.floor = Some(self.floor.map_or(floor, |before| before.max(floor)));
        }
        for (name, second) in names {
            self.set(&name.into(), kept(second));
        }
    }

    /// Takes what the store is to change.
    pub fn take_changes(&mut self) -> Changes {
        self.changes
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Puts the records of all marks.
    pub fn keep_all(&self, changes: &mut Changes) {
        for (names, mark) in self.sets.values() {
            for name in names.iter() {
                put(name, self.all_of(name, *mark), changes);
            }
        }
        for (name, (_, mark)) in &self.by_name {
            // What it was in a set with is older.
            put(name, self.all_of(name, *mark), changes);
        }
        if let Some(floor) = self.floor {
            changes.put(&Record::Floor(floor.kept_second));
        }
    }

    /// This mark of a name, with those that it has in sets.
    fn all_of(&self, name: &str, mark: Mark) -> Mark {
        let sets = self.sets.values();
        let of_name = sets.filter(|(names, _)| has(names, name));
        of_name.fold(mark, |mark, (_, other)| mark.max(*other))
    }

    fn note_set(&mut self, name: &str, mark: Mark) {
        if self.changes.is_some() {
            let mark = self.all_of(name, mark);
            if let Some(changes) = &mut self.changes {
                put(name, mark, changes);
            }
        }
    }

    /// The name has one mark less.
    fn note_dropped(&mut self, name: &str) {
        let is_marked = self.by_name.contains_key(name)
            || self.sets.values().any(|(names, _)| has(names, name));
        if let (Some(changes), false) = (&mut self.changes, is_marked) {
            changes.remove(&Key::Mark(name));
        }
    }

    /// Sets the mark of a name. It never goes back: a clock that was set back makes no token good again. Returns whether
    /// the oldest mark had to make way: then it holds for everybody, because it is no longer known for whom it was.
    pub fn set(&mut self, name: &Arc<str>, mark: Mark) -> bool {
        self.count += 1;
        let mark = match self.by_name.get(name) {
            Some((number, before)) => {
                self.by_age.remove(number);
                mark.max(*before)
            }
            None => mark,
        };
        self.note_set(name, mark);
        self.by_name.insert(name.clone(), (self.count, mark));
        self.by_age.insert(self.count, name.clone());
        self.make_room()
    }

    /// Like [`Self::set`], for all of these names, which are sorted.
    pub fn set_all(&mut self, names: &Names, mark: Mark) -> bool {
        if names.len() > ONE_BY_ONE_MAX {
            self.count += 1;
            for name in names.iter() {
                let before = self.by_name.get(name).map(|(_, before)| *before);
                self.note_set(name, before.map_or(mark, |before| mark.max(before)));
            }
            self.sets.insert(self.count, (names.clone(), mark));
            self.in_sets += names.len();
            return self.make_room();
        }
        names
            .iter()
            .fold(false, |is_raised, name| self.set(name, mark) | is_raised)
    }

    /// Drops the oldest marks while there are too many names; returns whether there were.
    fn make_room(&mut self) -> bool {
        let mut is_raised = false;
        while self.by_name.len() + self.in_sets > REVOKED_NAMES_MAX {
            let Some(mark) = self.drop_oldest() else {
                break;
            };
            let floor = self.floor.map_or(mark, |floor| floor.max(mark));
            self.floor = Some(floor);
            if let Some(changes) = &mut self.changes {
                changes.put(&Record::Floor(floor.kept_second));
            }
            is_raised = true;
        }
        is_raised
    }

    fn drop_oldest(&mut self) -> Option<Mark> {
        let of_one = self.by_age.first_key_value().map(|(number, _)| *number);
        let of_set = self.sets.first_key_value().map(|(number, _)| *number);
        if of_one.unwrap_or(u64::MAX) < of_set.unwrap_or(u64::MAX) {
            let (_, name) = self.by_age.pop_first()?;
            let dropped = self.by_name.remove(&name);
            self.note_dropped(&name);
            return dropped.map(|(_, mark)| mark);
        }
        // The mark of one of them would hold for everybody, so the others need none.
        let (_, (names, mark)) = self.sets.pop_first()?;
        self.in_sets -= names.len();
        if self.changes.is_some() {
            names.iter().for_each(|name| self.note_dropped(name));
        }
        Some(mark)
    }

    /// The clock was not set until now, and has jumped by this many seconds: marks that were set meanwhile are moved to
    /// where they would be on the clock of everybody else.
    pub fn clock_set(&mut self, jump: u64) {
        let of_names = self.by_name.values_mut().map(|(_, mark)| mark);
        let of_sets = self.sets.values_mut().map(|(_, mark)| mark);
        for mark in of_names.chain(of_sets).chain(&mut self.floor) {
            for second in [&mut mark.second, &mut mark.kept_second] {
                if *second < CLOCK_SET_FROM_SECS {
                    *second = second.saturating_add(jump);
                }
            }
        }
        if let Some(mut changes) = self.changes.take() {
            self.keep_all(&mut changes);
            self.changes = Some(changes);
        }
    }

    /// Whether a token of this name is covered.
    pub fn covers(&self, name: &str, issued: Issued) -> bool {
        let of_name = self.by_name.get(name).map(|(_, mark)| *mark);
        let mut marks = [of_name, self.floor].into_iter().flatten();
        let mut sets = self.sets.values();
        marks.any(|mark| mark.covers(issued))
            || sets.any(|(names, mark)| mark.covers(issued) && has(names, name))
    }
}

/// Whether a name is among sorted ones.
fn has(names: &[Arc<str>], name: &str) -> bool {
    names.binary_search_by(|other| (**other).cmp(name)).is_ok()
}

fn put(name: &str, mark: Mark, changes: &mut Changes) {
    changes.put(&Record::Mark {
        name,
        second: mark.kept_second,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::changes::Change;

    fn names(beginning: &str, count: usize) -> Names {
        let names = (0..count).map(|n| format!("{beginning}{n:06}").into());
        names.collect()
    }

    fn at(place: u64, second: u64) -> Mark {
        Mark {
            place,
            second,
            kept_second: second,
        }
    }

    #[test]
    fn a_mark_covers_what_was_issued_up_to_it_for_its_name_and_never_goes_back() {
        let mut marks = Marks::default();
        let kim = Arc::from("kim");
        assert!(!marks.covers("kim", Issued::Elsewhere(0)));
        assert!(!marks.set(&kim, at(3, 1_000)));
        // A clock that was set back.
        assert!(!marks.set(&kim, at(4, 900)));
        for (issued, is_covered) in [
            (Issued::Here(4), true),
            (Issued::Here(5), false),
            (Issued::Elsewhere(0), true),
            (Issued::Elsewhere(1_000), true),
            (Issued::Elsewhere(1_001), false),
        ] {
            assert_eq!(marks.covers("kim", issued), is_covered, "{issued:?}");
            assert!(!marks.covers("lee", issued), "{issued:?}");
        }
        assert_eq!((marks.by_name.len(), marks.by_age.len()), (1, 1));
    }

    #[test]
    fn a_mark_of_an_unset_clock_is_moved_and_one_of_a_set_clock_is_not() {
        let mut marks = Marks::default();
        let count = ONE_BY_ONE_MAX + 1;
        marks.set(&"kim".into(), at(3, 100));
        marks.set(&"lee".into(), at(3, CLOCK_SET_FROM_SECS));
        marks.set_all(&names("a", count), at(3, 200));
        marks.clock_set(CLOCK_SET_FROM_SECS);
        for (name, last) in [("kim", 100), ("lee", 0), ("a000001", 200)] {
            let last = CLOCK_SET_FROM_SECS + last;
            assert!(marks.covers(name, Issued::Elsewhere(last)), "{name}");
            assert!(!marks.covers(name, Issued::Elsewhere(last + 1)), "{name}");
        }
    }

    #[test]
    fn at_the_limit_the_oldest_mark_holds_for_everybody() {
        let mut marks = Marks::default();
        let name = |n: usize| Arc::from(n.to_string());
        for n in 0..REVOKED_NAMES_MAX {
            assert!(!marks.set(&name(n), at(n as u64, n as u64)));
        }
        // Set again, it is no longer the oldest, and nothing has to make way.
        assert!(!marks.set(&name(0), at(0, 0)));
        assert!(!marks.covers("kim", Issued::Here(1)));
        assert!(marks.set(&name(REVOKED_NAMES_MAX), at(u64::MAX, u64::MAX)));
        assert!(marks.covers("kim", Issued::Here(1)));
        assert!(marks.covers("kim", Issued::Elsewhere(1)));
        assert!(!marks.covers("kim", Issued::Here(2)));
        assert!(marks.covers("0", Issued::Here(0)) && marks.covers("2", Issued::Here(2)));
        assert_eq!(marks.by_name.len(), REVOKED_NAMES_MAX);
        assert_eq!(marks.by_age.len(), REVOKED_NAMES_MAX);
    }

    #[test]
    fn many_names_at_once_are_as_good_as_one_by_one() {
        for count in [1, ONE_BY_ONE_MAX, ONE_BY_ONE_MAX + 1] {
            let mut marks = Marks::default();
            assert!(!marks.set_all(&names("a", count), at(3, 1_000)));
            for n in [0, count / 2, count - 1] {
                assert!(marks.covers(&format!("a{n:06}"), Issued::Here(3)), "{n}");
                assert!(!marks.covers(&format!("a{n:06}"), Issued::Here(4)), "{n}");
            }
            assert!(!marks.covers(&format!("a{count:06}"), Issued::Here(3)));
            assert!(!marks.covers("", Issued::Here(3)));
        }
        // The oldest makes way, whether it was set alone or with others.
        let mut marks = Marks::default();
        let half = REVOKED_NAMES_MAX / 2;
        assert!(!marks.set(&"first".into(), at(1, 1)));
        assert!(!marks.set_all(&names("a", half), at(2, 2)));
        assert!(!marks.set_all(&names("b", half - 1), at(3, 3)));
        assert!(!marks.covers("kim", Issued::Here(0)));
        assert!(marks.set(&"last".into(), at(4, 4)));
        assert!(marks.covers("kim", Issued::Here(1)) && !marks.covers("kim", Issued::Here(2)));
        assert!(marks.set(&"last but one".into(), at(4, 4)));
        assert!(marks.covers("kim", Issued::Here(2)) && !marks.covers("kim", Issued::Here(3)));
        assert!(marks.covers("b000000", Issued::Here(3)));
        assert_eq!((marks.by_name.len(), marks.in_sets), (2, half - 1));
    }

    #[test]
    fn a_name_in_two_sets_is_kept_with_the_later_second_of_both() {
        let mut marks = Marks::default();
        marks.load(Vec::new(), None);
        let names = names("a", ONE_BY_ONE_MAX + 1);
        // The clock was set back in between.
        marks.set_all(&names, at(3, 200));
        marks.set_all(&names, at(4, 100));
        let mut anew = Changes::default();
        marks.keep_all(&mut anew);
        for changes in [marks.take_changes(), anew] {
            let last: HashMap<&[u8], &[u8]> = changes
                .iter()
                .filter_map(|change| match change {
                    Change::Put(key, value) => Some((key, value)),
                    Change::Remove(_) => None,
                })
                .collect();
            assert_eq!(last.len(), names.len());
            assert!(last.values().all(|value| *value == 200_u64.to_be_bytes()));
        }
    }
}
