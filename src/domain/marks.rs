//! Marks of names: no token of a name that was issued up to its mark is good.
//!
//! A mark costs as much for a thousand tokens as for one, and has no end: the tokens of a removed account stay refused
//! whatever their `exp` says. It is kept in memory only.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::issuer::Issued;
use crate::config::REVOKED_NAMES_MAX;

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
    /// With the number of the setting.
    by_name: HashMap<Arc<str>, (u64, Mark)>,
    by_age: BTreeMap<u64, Arc<str>>,
    /// Marks set since the start.
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
        self.by_name.len() > REVOKED_NAMES_MAX && self.drop_oldest()
    }

    fn drop_oldest(&mut self) -> bool {
        let oldest = self.by_age.pop_first();
        let dropped = oldest.and_then(|(_, name)| self.by_name.remove(&name));
        let Some((_, mark)) = dropped else {
            return false;
        };
        self.floor = Some(self.floor.map_or(mark, |floor| floor.max(mark)));
        true
    }

    /// Whether a token of this name is covered.
    pub fn covers(&self, name: &str, issued: Issued) -> bool {
        let of_name = self.by_name.get(name).map(|(_, mark)| *mark);
        let marks = [of_name, self.floor];
        marks.into_iter().flatten().any(|mark| mark.covers(issued))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
