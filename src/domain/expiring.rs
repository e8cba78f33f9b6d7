//! A bounded table of keys, each with the time at which it ends.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// Ended keys that are dropped with each change: more than it adds, so that they go, and few, so that none takes long.
const SWEPT_PER_CHANGE: usize = 4;

/// Keys and when each of them ends, as time since the server's start. At the limit the key that ends first makes way
/// for a new one.
#[derive(Debug)]
pub struct Expiring<K> {
    ends: HashMap<K, Duration>,
    by_end: BTreeSet<(Duration, K)>,
    max: usize,
}

impl<K: Clone + Hash + Ord> Expiring<K> {
    /// A table of at most `max` keys, at least one.
    pub fn new(max: usize) -> Self {
        Self {
            ends: HashMap::new(),
            by_end: BTreeSet::new(),
            max,
        }
    }

    /// When a key ends; `None` if it has ended or was never there.
    pub fn end<Q>(&self, key: &Q, now: Duration) -> Option<Duration>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.ends.get(key).copied().filter(|end| *end > now)
    }

    /// Adds a key, or moves its end.
    pub fn set(&mut self, key: K, end: Duration, now: Duration) {
        for _ in 0..SWEPT_PER_CHANGE {
            if self.by_end.first().is_some_and(|(end, _)| *end <= now) {
                self.drop_first();
            }
        }
        if let Some(before) = self.ends.get(&key) {
            self.by_end.remove(&(*before, key.clone()));
        } else if self.ends.len() >= self.max {
            self.drop_first();
        }
        self.by_end.insert((end, key.clone()));
        self.ends.insert(key, end);
    }

    fn drop_first(&mut self) {
        if let Some((_, key)) = self.by_end.pop_first() {
            self.ends.remove(&key);
        }
    }

    /// The number of keys, ended ones that were not dropped yet included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn at(seconds: u64) -> Duration {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn a_key_is_there_until_its_end_which_may_move() {
        let mut table = Expiring::new(9);
        table.set("a", at(5), NOW);
        assert_eq!(table.end("a", at(4)), Some(at(5)));
        assert_eq!((table.end("a", at(5)), table.end("b", NOW)), (None, None));
        table.set("a", at(7), at(4));
        assert_eq!((table.end("a", at(6)), table.len()), (Some(at(7)), 1));
    }

    #[test]
    fn at_the_limit_the_key_that_ends_first_makes_way_and_never_the_new_one() {
        let mut table = Expiring::new(2);
        for (key, end) in [("a", 9), ("b", 8), ("b", 7), ("c", 1)] {
            table.set(key, at(end), NOW);
        }
        assert_eq!(table.end("b", NOW), None);
        assert_eq!(table.end("a", NOW), Some(at(9)));
        assert_eq!(table.end("c", NOW), Some(at(1)));
        assert_eq!((table.len(), table.by_end.len()), (2, 2));
    }

    #[test]
    fn what_has_ended_is_dropped_a_little_at_a_time() {
        let mut table = Expiring::new(1_000);
        for n in 0..100 {
            table.set(n, at(1), NOW);
        }
        table.set(100, at(9), at(1));
        assert_eq!(table.len(), 101 - SWEPT_PER_CHANGE);
        for n in 101..140 {
            table.set(n, at(9), at(1));
        }
        assert_eq!((table.len(), table.by_end.len()), (40, 40));
    }
}
