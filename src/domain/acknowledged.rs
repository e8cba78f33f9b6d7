//! Messages with an `id`: one that is sent again is acknowledged again, not published twice.
//!
//! An `id` belongs to a sender and a destination: the same `id` in another room, or to another user, is another
//! message. It is entered with the wish, with a fingerprint of the content, and removed when the wish fails.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher as _, RandomState};
use std::time::Duration;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use slab::Slab;
use smallvec::SmallVec;

use super::changes::Changes;
use super::ids::{RoomKey, Waiter};
use super::message_keys::{Destination, MessageKey, Person};
use super::position::Position;
use super::record::{KeptId, Key, Record, SaidAt};
use super::time::Now;
use crate::config::{ACKNOWLEDGED_FOR, ACKNOWLEDGED_MAX, ACKNOWLEDGED_PER_USER_MAX};

/// A message under way, in [`Acknowledged`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingId(u32);

/// The state of a message with an `id`.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// New: it may be published, and is entered as under way.
    New(PendingId),
    /// Under way: the sender is answered when it is done.
    UnderWay,
    /// Acknowledged, with this position (a whisper has none).
    Done(Option<Position>),
    /// The `id` was used for other content.
    OtherContent,
}

type Waiters = SmallVec<[Waiter; 1]>;

#[derive(Debug)]
struct Pending {
    key: MessageKey,
    fingerprint: u64,
    waiters: Waiters,
}

#[derive(Debug)]
struct Done {
    key: MessageKey,
    fingerprint: u64,
    position: Option<Position>,
    /// Where it is stored, if it is.
    stored: Option<SaidAt>,
    /// When it is forgotten, since the server's start.
    until: Duration,
}

impl Done {
    /// Its record, if it is stored.
    fn record(&self, now: Now) -> Option<Record<'_>> {
        let left = self.until.saturating_sub(now.monotonic);
        let said = (now.unix + left).saturating_sub(ACKNOWLEDGED_FOR);
        let to = match &self.key.destination {
            Destination::Room(_) => None,
            Destination::Person(person) => Some(person.clone()),
        };
        Some(Record::Said {
            at: self.stored?,
            second: said.as_secs(),
            fingerprint: self.fingerprint,
            sender: self.key.sender.clone(),
            to,
            id: &self.key.id,
        })
    }
}

/// Where a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Pending(u32),
    /// By number, in the order of acknowledgement.
    Done(u64),
}

/// The messages under way, and those acknowledged in the last [`ACKNOWLEDGED_FOR`].
#[derive(Debug, Default)]
pub struct Acknowledged {
    pending: Slab<Pending>,
    done: BTreeMap<u64, Done>,
    last_number: u64,
    /// The numbers of each sender's messages, oldest first.
    of_user: HashMap<Person, VecDeque<u64>>,
    index: HashTable<Slot>,
    hasher: RandomState,
    /// The key of the fingerprints. A store keeps them, so with one it is always the same.
    fingerprint_key: [u8; 16],
    /// What the store is to change; `None` if there is no store.
    changes: Option<Changes>,
}

impl Acknowledged {
    /// Fingerprints are made with this key from now on.
    pub fn set_fingerprint_key(&mut self, key: [u8; 16]) {
        self.fingerprint_key = key;
    }

    /// There is a store: what it is to change is noted from now on.
    pub fn note_changes(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// Looks up a message, and enters it as under way if it is new.
    pub fn claim(
        &mut self,
        key: MessageKey,
        content: &str,
        waiter: Waiter,
        now: Duration,
    ) -> Claim {
        self.forget_until(now);
        let fingerprint = self.fingerprint(content);
        match self.find(&key) {
            Some(Slot::Pending(slot)) => {
                let pending = &mut self.pending[slot as usize];
                if pending.fingerprint != fingerprint {
                    return Claim::OtherContent;
                }
                pending.waiters.push(waiter);
                Claim::UnderWay
            }
            Some(Slot::Done(number)) => match &self.done[&number] {
                done if done.fingerprint != fingerprint => Claim::OtherContent,
                done => Claim::Done(done.position),
            },
            None => {
                let hash = self.hasher.hash_one(&key);
                let slot = self.pending.insert(Pending {
                    key,
                    fingerprint,
                    waiters: SmallVec::from_elem(waiter, 1),
                }) as u32;
                self.add_to_index(hash, Slot::Pending(slot));
                Claim::New(PendingId(slot))
            }
        }
    }

    /// Looks up a whisper whose target is not here: with the same content to whoever had the name, else with other content;
    /// `None` if there is neither.
    pub fn claim_of_absent(
        &mut self,
        sender: Person,
        to: &str,
        id: &str,
        content: &str,
        now: Duration,
    ) -> Option<Claim> {
        self.forget_until(now);
        let anybody = Destination::Person(Person {
            name: to.into(),
            is_account: false,
            holder: None,
        });
        let key = MessageKey {
            sender,
            destination: anybody,
            id: id.into(),
        };
        let fingerprint = self.fingerprint(content);
        let hash = self.hasher.hash_one(&key);
        let mut found = None;
        for slot in self.index.iter_hash(hash) {
            // A whisper is delivered at once, so none is under way.
            let Slot::Done(number) = slot else {
                continue;
            };
            let done = &self.done[number];
            let is_to_name =
                matches!(&done.key.destination, Destination::Person(person) if &*person.name == to);
            if !is_to_name || done.key.sender != key.sender || done.key.id != key.id {
                continue;
            }
            if done.fingerprint == fingerprint {
                return Some(Claim::Done(done.position));
            }
            found = Some(Claim::OtherContent);
        }
        found
    }

    /// The author and the fingerprint of a message under way.
    pub fn said_by(&self, PendingId(slot): PendingId) -> (Person, u64) {
        let pending = &self.pending[slot as usize];
        (pending.key.sender.clone(), pending.fingerprint)
    }

    /// Enters a message that was acknowledged before the start, until `until`.
    pub fn restore(&mut self, destination: Destination, kept: &KeptId, until: Duration) {
        let position = match kept.at {
            SaidAt::Position(position) => Some(position),
            SaidAt::Whisper(_) => None,
        };
        let key = MessageKey {
            sender: kept.sender.clone(),
            destination,
            id: kept.id.clone(),
        };
        self.enter(Done {
            key,
            fingerprint: kept.fingerprint,
            position,
            stored: Some(kept.at),
            until,
        });
    }

    /// The message was committed or delivered: returns its `id` and who waits for it. Above
    /// [`ACKNOWLEDGED_PER_USER_MAX`] the sender's oldest entry is forgotten, above [`ACKNOWLEDGED_MAX`] the oldest of
    /// all.
    pub fn done(
        &mut self,
        id: PendingId,
        position: Option<Position>,
        stored: Option<SaidAt>,
        now: Now,
    ) -> (Box<str>, Waiters) {
        let pending = self.remove_pending(id);
        let answered = (pending.key.id.clone(), pending.waiters);
        let done = Done {
            key: pending.key,
            fingerprint: pending.fingerprint,
            position,
            stored,
            until: now.monotonic + ACKNOWLEDGED_FOR,
        };
        // That of a message in a room was stored with it.
        if let (Some(SaidAt::Whisper(_)), Some(changes)) = (stored, &mut self.changes) {
            done.record(now)
                .iter()
                .for_each(|record| changes.put(record));
        }
        self.enter(done);
        answered
    }

    fn enter(&mut self, done: Done) {
        if self.done.len() >= ACKNOWLEDGED_MAX
            && let Some((&oldest, _)) = self.done.first_key_value()
        {
            self.forget(oldest);
        }
        self.last_number += 1;
        let number = self.last_number;
        let share = self.of_user.entry(done.key.sender.clone()).or_default();
        share.push_back(number);
        let over = (share.len() > ACKNOWLEDGED_PER_USER_MAX).then(|| share[0]);
        let hash = self.hasher.hash_one(&done.key);
        self.done.insert(number, done);
        self.add_to_index(hash, Slot::Done(number));
        if let Some(oldest) = over {
            self.forget(oldest);
        }
    }

    /// The message failed: it may be sent again. Returns its `id` and who waits for it.
    pub fn failed(&mut self, id: PendingId) -> (Box<str>, Waiters) {
        let pending = self.remove_pending(id);
        (pending.key.id, pending.waiters)
    }

    /// Takes what the store is to change: the `id`s of whispers, and what was forgotten.
    pub fn take_changes(&mut self) -> Changes {
        self.changes
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Puts the records of everything that is acknowledged.
    pub fn keep_all(&self, now: Now, changes: &mut Changes) {
        let records = self.done.values().filter_map(|done| done.record(now));
        records.for_each(|record| changes.put(&record));
    }

    /// A room has another epoch: its messages are known by their new positions.
    pub fn renew(&mut self, before: RoomKey, epoch: u64, now: Now) {
        let destination = Destination::Room(before);
        let of_room = self.done.iter();
        let of_room = of_room.filter(|(_, done)| done.key.destination == destination);
        let numbers: Vec<u64> = of_room.map(|(number, _)| *number).collect();
        for number in numbers {
            self.remove_from_index(Slot::Done(number));
            let Some(done) = self.done.get_mut(&number) else {
                continue;
            };
            let stale = done.stored;
            done.key.destination = Destination::Room(RoomKey { epoch, ..before });
            done.position
                .iter_mut()
                .for_each(|position| position.epoch = epoch);
            done.stored = done.position.map(Into::into);
            let hash = self.hasher.hash_one(&done.key);
            if let (Some(record), Some(changes)) = (done.record(now), &mut self.changes) {
                changes.put(&record);
            }
            self.forget_stored(stale);
            self.add_to_index(hash, Slot::Done(number));
        }
    }

    fn forget_stored(&mut self, stored: Option<SaidAt>) {
        if let (Some(at), Some(changes)) = (stored, &mut self.changes) {
            changes.remove(&Key::Said(at));
        }
    }

    /// The fingerprint of a text.
    pub fn fingerprint(&self, content: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.fingerprint_key);
        hasher.write(content.as_bytes());
        hasher.finish()
    }

    /// Messages that are under way.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn find(&self, key: &MessageKey) -> Option<Slot> {
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |slot| self.key(*slot) == key);
        found.copied()
    }

    fn key(&self, slot: Slot) -> &MessageKey {
        match slot {
            Slot::Pending(slot) => &self.pending[slot as usize].key,
            Slot::Done(number) => &self.done[&number].key,
        }
    }

    fn add_to_index(&mut self, hash: u64, slot: Slot) {
        let Self {
            pending,
            done,
            index,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, slot, |slot| match slot {
            Slot::Pending(slot) => hasher.hash_one(&pending[*slot as usize].key),
            Slot::Done(number) => hasher.hash_one(&done[number].key),
        });
    }

    fn remove_from_index(&mut self, slot: Slot) {
        let hash = self.hasher.hash_one(self.key(slot));
        if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
    }

    fn remove_pending(&mut self, PendingId(slot): PendingId) -> Pending {
        self.remove_from_index(Slot::Pending(slot));
        self.pending.remove(slot as usize)
    }

    fn forget_until(&mut self, now: Duration) {
        while let Some((&number, oldest)) = self.done.first_key_value()
            && oldest.until < now
        {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        self.remove_from_index(Slot::Done(number));
        let Some(done) = self.done.remove(&number) else {
            return;
        };
        self.forget_stored(done.stored);
        if let Some(share) = self.of_user.get_mut(&done.key.sender) {
            // The oldest of all is the oldest of its sender.
            debug_assert_eq!(share.front(), Some(&number));
            share.pop_front();
            if share.is_empty() {
                self.of_user.remove(&done.key.sender);
            }
        }
    }
}

#[cfg(test)]
mod tests;
