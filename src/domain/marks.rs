//! Marks of names: no token of a name that was issued up to its mark is good.
//!
//! A mark costs as much for a thousand tokens as for one, and has no end: the tokens of a removed account stay refused
//! whatever their `exp` says. It is kept in memory only.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::issuer::Issued;
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
}

impl Marks {
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
        self.by_name.insert(name.clone(), (self.count, mark));
        self.by_age.insert(self.count, name.clone());
        self.make_room()
    }

    /// Like [`Self::set`], for all of these names, which are sorted.
    pub fn set_all(&mut self, names: &Names, mark: Mark) -> bool {
        if names.len() > ONE_BY_ONE_MAX {
            self.count += 1;
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
            self.floor = Some(self.floor.map_or(mark, |floor| floor.max(mark)));
            is_raised = true;
        }
        is_raised
    }

    fn drop_oldest(&mut self) -> Option<Mark> {
        let of_one = self.by_age.first_key_value().map(|(number, _)| *number);
        let of_set = self.sets.first_key_value().map(|(number, _)| *number);
        if of_one.unwrap_or(u64::MAX) < of_set.unwrap_or(u64::MAX) {
            let (_, name) = self.by_age.pop_first()?;
            return self.by_name.remove(&name).map(|(_, mark)| mark);
        }
        // The mark of one of them would hold for everybody, so the others need none.
        let (_, (names, mark)) = self.sets.pop_first()?;
        self.in_sets -= names.len();
        Some(mark)
    }

    /// The clock was not set until now, and has jumped by this many seconds: marks that were set meanwhile are moved to
    /// where they would be on the clock of everybody else.
    pub fn clock_set(&mut self, jump: u64) {
        let of_names = self.by_name.values_mut().map(|(_, mark)| mark);
        let of_sets = self.sets.values_mut().map(|(_, mark)| mark);
        for mark in of_names.chain(of_sets).chain(&mut self.floor) {
            if mark.second < CLOCK_SET_FROM_SECS {
                mark.second = mark.second.saturating_add(jump);
            }
        }
    }

    /// Whether a token of this name is covered.
    pub fn covers(&self, name: &str, issued: Issued) -> bool {
        let of_name = self.by_name.get(name).map(|(_, mark)| *mark);
        let mut marks = [of_name, self.floor].into_iter().flatten();
        let has = |names: &[Arc<str>]| names.binary_search_by(|other| (**other).cmp(name)).is_ok();
        let mut sets = self.sets.values();
        marks.any(|mark| mark.covers(issued))
            || sets.any(|(names, mark)| mark.covers(issued) && has(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(beginning: &str, count: usize) -> Names {
        let names = (0..count).map(|n| format!("{beginning}{n:06}").into());
        names.collect()
    }

    fn at(place: u64, second: u64) -> Mark {
        Mark { place, second }
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
}
