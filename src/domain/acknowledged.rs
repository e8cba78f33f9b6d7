//! Which messages with an `id` were acknowledged, so that a resent one is acknowledged again and not said twice.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use hashbrown::HashTable;

use super::position::Position;
use crate::config::{ACKNOWLEDGED_FOR, ACKNOWLEDGED_MAX};

/// The acknowledged ids of the last five minutes, in the order they came, with an index.
#[derive(Debug, Default)]
pub struct Acknowledged {
    entries: VecDeque<Entry>,
    /// How many entries were forgotten: entry number `n` stands at `entries[n - forgotten]`.
    forgotten: u64,
    by_key: HashTable<u64>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    username: Rc<str>,
    id: Box<str>,
    /// `None` for a whisper, which has no place in a history.
    position: Option<Position>,
}

impl Acknowledged {
    /// What `id` of this user was acknowledged with, if it was within the last five minutes.
    pub fn find(&mut self, username: &str, id: &str, now: Duration) -> Option<Option<Position>> {
        self.forget_before(now.saturating_sub(ACKNOWLEDGED_FOR));
        let hash = self.hasher.hash_one((username, id));
        let number = *self.by_key.find(hash, |number| {
            let entry = &self.entries[(number - self.forgotten) as usize];
            &*entry.username == username && &*entry.id == id
        })?;
        Some(self.entries[(number - self.forgotten) as usize].position)
    }

    /// Keeps an acknowledged id; at [`ACKNOWLEDGED_MAX`] the oldest is forgotten early.
    pub fn insert(
        &mut self,
        username: Rc<str>,
        id: Box<str>,
        position: Option<Position>,
        now: Duration,
    ) {
        while self.entries.len() >= ACKNOWLEDGED_MAX {
            self.forget_oldest();
        }
        let hash = self.hasher.hash_one((&*username, &*id));
        let number = self.forgotten + self.entries.len() as u64;
        self.entries.push_back(Entry {
            at: now,
            username,
            id,
            position,
        });
        let Self {
            entries,
            forgotten,
            by_key,
            hasher,
        } = self;
        by_key.insert_unique(hash, number, |number| {
            let entry = &entries[(number - *forgotten) as usize];
            hasher.hash_one((&*entry.username, &*entry.id))
        });
    }

    fn forget_before(&mut self, time: Duration) {
        while self.entries.front().is_some_and(|entry| entry.at < time) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        let hash = self.hasher.hash_one((&*entry.username, &*entry.id));
        let number = self.forgotten;
        self.forgotten += 1;
        if let Ok(found) = self
            .by_key
            .find_entry(hash, |candidate| *candidate == number)
        {
            found.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_five_minutes_and_per_user() {
        let mut acknowledged = Acknowledged::default();
        let position = Some(Position { epoch: 1, seq: 1 });
        let start = Duration::from_secs(1000);
        acknowledged.insert("김".into(), "a".into(), position, start);
        assert_eq!(
            acknowledged.find("김", "a", start + ACKNOWLEDGED_FOR),
            Some(position)
        );
        assert_eq!(acknowledged.find("이", "a", start), None);
        assert_eq!(acknowledged.find("김", "a", start), Some(position));
        assert_eq!(acknowledged.find("김", "b", start), None);
        assert_eq!(
            acknowledged.find("김", "a", start + ACKNOWLEDGED_FOR + Duration::from_secs(1)),
            None
        );
    }

    #[test]
    fn at_the_limit_the_oldest_is_forgotten_and_the_others_are_found() {
        let mut acknowledged = Acknowledged::default();
        for n in 0..=ACKNOWLEDGED_MAX {
            acknowledged.insert("u".into(), n.to_string().into(), None, Duration::ZERO);
        }
        assert_eq!(acknowledged.find("u", "0", Duration::ZERO), None);
        assert_eq!(acknowledged.find("u", "1", Duration::ZERO), Some(None));
        assert_eq!(
            acknowledged.find("u", &ACKNOWLEDGED_MAX.to_string(), Duration::ZERO),
            Some(None)
        );
        assert_eq!(acknowledged.entries.len(), ACKNOWLEDGED_MAX);
        assert_eq!(acknowledged.by_key.len(), ACKNOWLEDGED_MAX);
    }

    #[test]
    fn ids_are_found_after_older_ones_were_forgotten_and_the_index_has_grown() {
        let mut acknowledged = Acknowledged::default();
        let later = ACKNOWLEDGED_FOR * 2;
        for (now, count) in [(Duration::ZERO, 10), (later, 1_000)] {
            for n in 0..count {
                assert_eq!(acknowledged.find("u", &n.to_string(), now), None);
                acknowledged.insert("u".into(), n.to_string().into(), None, now);
            }
            for n in 0..count {
                assert_eq!(acknowledged.find("u", &n.to_string(), now), Some(None));
            }
        }
        assert_eq!(acknowledged.forgotten, 10);
    }
}
