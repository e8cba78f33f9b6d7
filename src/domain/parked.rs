//! Sign-in attempts that wait until a limit allows them. When it does, those that wait are drawn at random, the ones with
//! the fewest failures first: so an owner has the odds of each guess that waits, instead of losing every race against
//! whoever sends the most.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::random::Random;
use crate::config::LOGIN_PARKED_MAX;

/// What waits, at most [`LOGIN_PARKED_MAX`], and when the next draw is due.
#[derive(Debug)]
pub struct Parked<T> {
    all: Vec<Entry<T>>,
    due: Option<Duration>,
}

/// An attempt that waits.
#[derive(Debug, PartialEq)]
pub struct Entry<T> {
    /// The attempt.
    pub item: T,
    /// Its account.
    pub account: Rc<str>,
    /// The network it is counted for.
    pub network: IpAddr,
    /// When it is refused.
    pub until: Duration,
    /// What its client is told to wait when it is refused; `None` if it waits for a place in the queue of checks.
    pub retry_after: Option<Duration>,
    /// Whether its password is checked early, or was.
    pub is_early: bool,
}

impl<T> Default for Parked<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            due: None,
        }
    }
}

impl<T: PartialEq> Parked<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// When the next draw is due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.due.filter(|_| !self.all.is_empty())
    }

    /// Has a draw at this time, or before.
    pub fn draw_at(&mut self, at: Duration) {
        if !self.all.is_empty() {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    /// Whether an attempt at this account, or from this network, waits: a newcomer does not overtake it.
    pub fn competes(&self, account: &str, network: IpAddr) -> bool {
        let mut all = self.all.iter();
        all.any(|entry| entry.network == network || *entry.account == *account)
    }

    /// Adds an attempt. At the limit one makes way, and is returned: of the network with the most attempts, and there of
    /// the account with the most, one at random. So a flood keeps no newcomer out.
    pub fn push(&mut self, entry: Entry<T>, random: &mut Random) -> Option<Entry<T>> {
        let displaced = (self.all.len() >= LOGIN_PARKED_MAX).then(|| self.displace(random));
        let until = entry.until;
        self.all.push(entry);
        self.draw_at(until);
        displaced
    }

    fn displace(&mut self, random: &mut Random) -> Entry<T> {
        let mut of_networks: BTreeMap<IpAddr, usize> = BTreeMap::new();
        let mut of_pairs: BTreeMap<(IpAddr, &str), usize> = BTreeMap::new();
        for Entry {
            account, network, ..
        } in &self.all
        {
            *of_networks.entry(*network).or_default() += 1;
            *of_pairs.entry((*network, account)).or_default() += 1;
        }
        let counts = self.all.iter().map(|entry| {
            let of_pair = of_pairs[&(entry.network, &*entry.account)];
            (of_networks[&entry.network], of_pair)
        });
        let counts: Vec<(usize, usize)> = counts.collect();
        let most = counts.iter().max();
        let places = (0..counts.len()).filter(|place| Some(&counts[*place]) == most);
        let places: Vec<usize> = places.collect();
        let place = places[(random.number() % places.len() as u64) as usize];
        self.all.swap_remove(place)
    }

    /// Removes one that need not wait any more; false if it does not wait.
    pub fn remove(&mut self, item: &T) -> bool {
        let place = self.all.iter().position(|entry| entry.item == *item);
        place.map(|place| self.all.swap_remove(place)).is_some()
    }

    /// Takes all in the order of a draw that is due now: by their failures, those with equally many at random. Those that
    /// go on waiting are pushed back with [`Self::keep`]. Empty if no draw is due.
    pub fn draw(
        &mut self,
        failures: impl Fn(&Entry<T>) -> u32,
        random: &mut Random,
        now: Duration,
    ) -> Vec<Entry<T>> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.due = None;
        let all = std::mem::take(&mut self.all);
        let ranked = all
            .into_iter()
            .map(|entry| ((failures(&entry), random.number()), entry));
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Has an attempt that was drawn go on waiting; the next draw is due at its end or at `draw_at`.
    pub fn keep(&mut self, entry: Entry<T>, draw_at: Option<Duration>) {
        let due = draw_at.map_or(entry.until, |at| at.min(entry.until));
        self.all.push(entry);
        self.draw_at(due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn entry(n: u32, account: &str, host: u8) -> Entry<u32> {
        Entry {
            item: n,
            account: account.into(),
            network: IpAddr::from([192, 0, 2, host]),
            until: NOW + Duration::from_secs(6),
            retry_after: None,
            is_early: false,
        }
    }

    fn random(seed: u8) -> Random {
        Random::new(&[seed; 32])
    }

    #[test]
    fn those_with_the_fewest_failures_are_drawn_first_and_equals_at_random() {
        let first = |seed| {
            let (mut parked, mut random) = (Parked::default(), random(seed));
            for n in 0..10 {
                parked.push(entry(n, "kim", 1), &mut random);
            }
            parked.draw_at(NOW);
            let order = parked.draw(|entry| u32::from(entry.item < 6), &mut random, NOW);
            let items: Vec<u32> = order.iter().map(|entry| entry.item).collect();
            assert!(items[..4].iter().all(|n| *n >= 6), "{items:?}");
            assert!(items[4..].iter().all(|n| *n < 6), "{items:?}");
            items[0]
        };
        let firsts: std::collections::BTreeSet<u32> = (0..40).map(first).collect();
        assert_eq!(firsts.into_iter().collect::<Vec<_>>(), [6, 7, 8, 9]);
    }

    #[test]
    fn a_draw_is_due_at_the_earliest_time_asked_for_and_never_when_none_waits() {
        let (mut parked, mut random) = (Parked::default(), random(1));
        parked.draw_at(NOW);
        assert_eq!(parked.next_timeout(), None);
        parked.push(entry(1, "kim", 1), &mut random);
        let until = NOW + Duration::from_secs(6);
        assert_eq!(parked.next_timeout(), Some(until));
        assert!(parked.draw(|_| 0, &mut random, NOW).is_empty());
        let at = NOW + Duration::from_secs(2);
        parked.draw_at(at);
        for entry in parked.draw(|_| 0, &mut random, at) {
            parked.keep(entry, Some(at + Duration::from_secs(1)));
        }
        assert_eq!(parked.next_timeout(), Some(NOW + Duration::from_secs(3)));
        assert!(parked.remove(&1) && !parked.remove(&1) && parked.is_empty());
        assert_eq!(parked.next_timeout(), None);
    }

    #[test]
    fn at_the_limit_one_of_the_largest_makes_way_and_any_of_equals() {
        let gone = |seed, place: fn(usize) -> (String, u8)| {
            let (mut parked, mut random) = (Parked::default(), random(seed));
            for n in 0..LOGIN_PARKED_MAX {
                let (account, host) = place(n);
                let displaced = parked.push(entry(n as u32, &account, host), &mut random);
                assert_eq!(displaced, None);
            }
            let displaced = parked.push(entry(u32::MAX, "lee", 255), &mut random);
            assert_eq!(parked.len(), LOGIN_PARKED_MAX);
            assert!(parked.competes("lee", IpAddr::from([192, 0, 2, 254])));
            displaced.expect("one makes way").item
        };
        // One network has three, two of them at one account; the others have two at one account each.
        let place = |n: usize| match n {
            0..2 => ("kim".to_owned(), 0),
            2 => ("choi".to_owned(), 0),
            _ => ("park".to_owned(), 1 + (n / 2) as u8),
        };
        assert!((0..20).all(|seed| gone(seed, place) < 2));
        // All from one network, each at another account.
        let any = (0..20).map(|seed| gone(seed, |n| (n.to_string(), 1)));
        let any: std::collections::BTreeSet<u32> = any.collect();
        assert!(any.len() > 10, "{any:?}");
    }
}
