//! Allowances: for each key a bucket of so many uses in a row, into which one more comes back at a time.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use crate::config::THROTTLED_MAX;

/// The allowances of many keys, such as users or addresses. A key without an entry has its whole allowance.
#[derive(Debug)]
pub struct Allowances<K> {
    /// When each key has its whole allowance again.
    whole_at: HashMap<K, Duration>,
    /// The same, by time.
    by_time: BTreeSet<(Duration, K)>,
}

impl<K> Default for Allowances<K> {
    fn default() -> Self {
        Self {
            whole_at: HashMap::new(),
            by_time: BTreeSet::new(),
        }
    }
}

impl<K: Clone + Hash + Ord> Allowances<K> {
    /// Takes one of `size` uses, of which one comes back every `refill`. At [`THROTTLED_MAX`] keys the one that has its
    /// whole allowance soonest is forgotten. `now` is the time since the server's start.
    ///
    /// # Errors
    /// The time to wait, if none is left.
    pub fn take(
        &mut self,
        key: K,
        size: u32,
        refill: Duration,
        now: Duration,
    ) -> Result<(), Duration> {
        let before = self.whole_at.get(&key).copied();
        let whole_at = before.unwrap_or(now).max(now) + refill;
        let wait = whole_at.saturating_sub(now + refill * size);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        match before {
            Some(before) => _ = self.by_time.remove(&(before, key.clone())),
            None => self.forget(now),
        }
        self.whole_at.insert(key.clone(), whole_at);
        self.by_time.insert((whole_at, key));
        Ok(())
    }

    /// Makes room for one key: drops those that have their whole allowance, at the limit one more.
    fn forget(&mut self, now: Duration) {
        while let Some((whole_at, _)) = self.by_time.first()
            && (*whole_at <= now || self.by_time.len() >= THROTTLED_MAX)
            && let Some((_, key)) = self.by_time.pop_first()
        {
            self.whole_at.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFILL: Duration = Duration::from_secs(2);
    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn so_many_uses_are_allowed_in_a_row_and_one_more_at_a_time() {
        let mut allowances = Allowances::default();
        let mut take = |key: &'static str, now| allowances.take(key, 3, REFILL, now);
        assert!((0..3).all(|_| take("a", NOW).is_ok()));
        assert_eq!(take("a", NOW), Err(REFILL));
        // A refused use costs nothing, and other keys are not affected.
        assert_eq!(take("a", NOW + REFILL / 2), Err(REFILL / 2));
        assert_eq!(take("b", NOW), Ok(()));
        assert_eq!(take("a", NOW + REFILL), Ok(()));
        assert_eq!(take("a", NOW + REFILL), Err(REFILL));
        let later = NOW + 10 * REFILL;
        assert!((0..3).all(|_| take("a", later).is_ok()));
        assert_eq!(take("a", later), Err(REFILL));
    }

    #[test]
    fn the_keys_are_bounded_and_only_those_that_are_nearly_whole_are_forgotten() {
        let mut allowances = Allowances::default();
        assert!((0..3).all(|_| allowances.take(0, 3, REFILL, NOW).is_ok()));
        for key in 1..2 * THROTTLED_MAX {
            assert_eq!(allowances.take(key, 3, REFILL, NOW), Ok(()));
            assert!(allowances.whole_at.len() <= THROTTLED_MAX);
        }
        assert_eq!(allowances.whole_at.len(), allowances.by_time.len());
        assert_eq!(allowances.take(0, 3, REFILL, NOW), Err(REFILL));
        // Those that are whole go when another key comes.
        assert_eq!(allowances.take(7, 3, REFILL, NOW + 5 * REFILL), Ok(()));
        assert_eq!(allowances.whole_at.len(), 1);
    }
}
