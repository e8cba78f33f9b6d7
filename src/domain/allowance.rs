//! Allowances: how often something may be done in a row, by a user or an address, and how soon again.

use std::hash::Hash;
use std::time::Duration;

use super::expiring::Expiring;
use crate::config::THROTTLED_MAX;

/// Takes one of an allowance that is whole again at `whole_at`, of `size` takes in a row and one more after each
/// `refill` (the generic cell rate algorithm). Returns when it is whole again after that.
///
/// # Errors
/// None is left: the time until one is.
pub fn take(
    whole_at: Duration,
    size: u32,
    refill: Duration,
    now: Duration,
) -> Result<Duration, Duration> {
    let whole_at = whole_at.max(now) + refill;
    match whole_at.saturating_sub(now + refill * size) {
        Duration::ZERO => Ok(whole_at),
        wait => Err(wait),
    }
}

/// An allowance for each key.
///
/// Kept as the time at which the allowance is whole again, for at most [`THROTTLED_MAX`] keys. At that limit the key
/// whose allowance is whole again first makes way: whoever has none left is never forgotten for somebody who has.
#[derive(Debug)]
pub struct Allowances<K> {
    whole_at: Expiring<K>,
}

impl<K: Clone + Hash + Ord> Default for Allowances<K> {
    fn default() -> Self {
        Self {
            whole_at: Expiring::new(THROTTLED_MAX),
        }
    }
}

impl<K: Clone + Hash + Ord> Allowances<K> {
    /// The time until one more may be taken; zero if one may be taken now. Takes nothing.
    pub fn wait(&self, key: &K, size: u32, refill: Duration, now: Duration) -> Duration {
        take(self.whole_at(key, now), size, refill, now)
            .err()
            .unwrap_or_default()
    }

    /// Takes one.
    ///
    /// # Errors
    /// None is left: the time until one is. Nothing is taken.
    pub fn take(
        &mut self,
        key: K,
        size: u32,
        refill: Duration,
        now: Duration,
    ) -> Result<(), Duration> {
        let whole_at = take(self.whole_at(&key, now), size, refill, now)?;
        self.whole_at.set(key, whole_at, now);
        Ok(())
    }

    /// Takes one, also if none is left: then the key waits longer for its next. It owes `size` at most.
    pub fn charge(&mut self, key: K, size: u32, refill: Duration, now: Duration) {
        let most = now + refill * size * 2;
        let whole_at = (self.whole_at(&key, now).max(now) + refill).min(most);
        self.whole_at.set(key, whole_at, now);
    }

    /// Takes back what was taken: it does not count.
    pub fn give_back(&mut self, key: K, refill: Duration, now: Duration) {
        if let Some(whole_at) = self.whole_at.end(&key, now) {
            let whole_at = whole_at.saturating_sub(refill).max(now);
            self.whole_at.set(key, whole_at, now);
        }
    }

    /// How many were taken and are not refilled yet.
    pub fn taken(&self, key: &K, refill: Duration, now: Duration) -> u32 {
        let missing = self.whole_at(key, now) - now;
        missing.as_nanos().div_ceil(refill.as_nanos()) as u32
    }

    fn whole_at(&self, key: &K, now: Duration) -> Duration {
        self.whole_at.end(key, now).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);
    const REFILL: Duration = Duration::from_secs(6);

    #[test]
    fn so_many_are_taken_in_a_row_and_one_more_after_each_refill() {
        let mut allowances = Allowances::default();
        let mut take = |now| allowances.take("a", 3, REFILL, now);
        assert!((0..3).all(|_| take(NOW).is_ok()));
        assert_eq!(take(NOW), Err(REFILL));
        let half = REFILL / 2;
        assert_eq!(take(NOW + half), Err(half));
        assert_eq!(take(NOW + REFILL), Ok(()));
        assert_eq!(take(NOW + REFILL), Err(REFILL));
        // It never grows beyond its size.
        let later = NOW + 100 * REFILL;
        assert_eq!((0..9).filter(|_| take(later).is_ok()).count(), 3);
    }

    #[test]
    fn looking_takes_nothing_and_one_key_is_not_another() {
        let mut allowances = Allowances::default();
        for _ in 0..9 {
            assert_eq!(allowances.wait(&"a", 1, REFILL, NOW), Duration::ZERO);
        }
        assert_eq!(allowances.take("a", 1, REFILL, NOW), Ok(()));
        assert_eq!(allowances.wait(&"a", 1, REFILL, NOW), REFILL);
        assert_eq!(allowances.wait(&"b", 1, REFILL, NOW), Duration::ZERO);
    }

    #[test]
    fn what_is_given_back_may_be_taken_again_and_no_more() {
        let mut allowances = Allowances::default();
        while allowances.take("a", 3, REFILL, NOW).is_ok() {}
        assert_eq!(allowances.taken(&"a", REFILL, NOW), 3);
        allowances.give_back("a", REFILL, NOW);
        assert_eq!(allowances.taken(&"a", REFILL, NOW), 2);
        assert_eq!(allowances.take("a", 3, REFILL, NOW), Ok(()));
        assert_eq!(allowances.take("a", 3, REFILL, NOW), Err(REFILL));
        // What was refilled meanwhile is not given back on top.
        allowances.give_back("a", REFILL, NOW + 3 * REFILL);
        allowances.give_back("b", REFILL, NOW);
        let later = NOW + 3 * REFILL;
        let taken = (0..9).filter(|_| allowances.take("a", 3, REFILL, later).is_ok());
        assert_eq!(taken.count(), 3);
        assert_eq!(allowances.taken(&"b", REFILL, NOW), 0);
    }

    #[test]
    fn what_is_charged_when_none_is_left_makes_the_next_wait_longer_up_to_a_bound() {
        let mut allowances = Allowances::default();
        while allowances.take("a", 3, REFILL, NOW).is_ok() {}
        allowances.charge("a", 3, REFILL, NOW);
        assert_eq!(allowances.wait(&"a", 3, REFILL, NOW), 2 * REFILL);
        allowances.give_back("a", REFILL, NOW);
        assert_eq!(allowances.wait(&"a", 3, REFILL, NOW), REFILL);
        for _ in 0..9 {
            allowances.charge("a", 3, REFILL, NOW);
        }
        assert_eq!(allowances.wait(&"a", 3, REFILL, NOW), 4 * REFILL);
        allowances.charge("b", 3, REFILL, NOW);
        assert_eq!(allowances.taken(&"b", REFILL, NOW), 1);
    }

    #[test]
    fn a_flood_of_keys_does_not_give_the_spent_one_its_allowance_back() {
        let mut allowances = Allowances::default();
        while allowances.take(u32::MAX, 20, REFILL, NOW).is_ok() {}
        for n in 0..2 * THROTTLED_MAX as u32 {
            assert_eq!(allowances.take(n, 20, REFILL, NOW), Ok(()));
        }
        assert_eq!(allowances.whole_at.len(), THROTTLED_MAX);
        assert_eq!(allowances.wait(&u32::MAX, 20, REFILL, NOW), REFILL);
    }
}
