//! Messages with an `id`: one that is sent again is acknowledged again, not published twice.
//!
//! An `id` belongs to a sender and a destination: the same `id` in another room, or to another user, is another
//! message. It is entered with the wish, with a fingerprint of the content, and removed when the wish fails.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::ids::Origin;
use super::message_keys::{Destination, MessageKey, Person};
use super::position::Position;
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

type Waiters = SmallVec<[Origin; 1]>;

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
    at: Duration,
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
}

impl Acknowledged {
    /// Looks up a message, and enters it as under way if it is new.
    pub fn claim(
        &mut self,
        key: MessageKey,
        content: &str,
        origin: Origin,
        now: Duration,
    ) -> Claim {
        self.forget_before(now.saturating_sub(ACKNOWLEDGED_FOR));
        let fingerprint = self.hasher.hash_one(content);
        match self.find(&key) {
            Some(Slot::Pending(slot)) => {
                let pending = &mut self.pending[slot as usize];
                if pending.fingerprint != fingerprint {
                    return Claim::OtherContent;
                }
                pending.waiters.push(origin);
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
                    waiters: SmallVec::from_elem(origin, 1),
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
        self.forget_before(now.saturating_sub(ACKNOWLEDGED_FOR));
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
        let fingerprint = self.hasher.hash_one(content);
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

    /// The message was committed or delivered: returns its `id` and the connections to acknowledge it to. Above
    /// [`ACKNOWLEDGED_PER_USER_MAX`] the sender's oldest entry is forgotten, above [`ACKNOWLEDGED_MAX`] the oldest of
    /// all.
    pub fn done(
        &mut self,
        id: PendingId,
        position: Option<Position>,
        now: Duration,
    ) -> (Box<str>, Waiters) {
        let pending = self.remove_pending(id);
        let answered = (pending.key.id.clone(), pending.waiters);
        if self.done.len() >= ACKNOWLEDGED_MAX
            && let Some((&oldest, _)) = self.done.first_key_value()
        {
            self.forget(oldest);
        }
        self.last_number += 1;
        let number = self.last_number;
        let share = self.of_user.entry(pending.key.sender.clone()).or_default();
        share.push_back(number);
        let over = (share.len() > ACKNOWLEDGED_PER_USER_MAX).then(|| share[0]);
        let hash = self.hasher.hash_one(&pending.key);
        let done = Done {
            key: pending.key,
            fingerprint: pending.fingerprint,
            position,
            at: now,
        };
        self.done.insert(number, done);
        self.add_to_index(hash, Slot::Done(number));
        if let Some(oldest) = over {
            self.forget(oldest);
        }
        answered
    }

    /// The message failed: it may be sent again. Returns its `id` and the connections to refuse.
    pub fn failed(&mut self, id: PendingId) -> (Box<str>, Waiters) {
        let pending = self.remove_pending(id);
        (pending.key.id, pending.waiters)
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

    fn forget_before(&mut self, time: Duration) {
        while let Some((&number, oldest)) = self.done.first_key_value()
            && oldest.at < time
        {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        self.remove_from_index(Slot::Done(number));
        let Some(done) = self.done.remove(&number) else {
            return;
        };
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
mod tests {
    use super::*;
    use crate::domain::ids::{ConnectionId, HolderId, RoomId, RoomKey};

    const START: Duration = Duration::from_secs(1000);
    const POSITION: Option<Position> = Some(Position { epoch: 1, seq: 1 });
    const ROOM: Destination = Destination::Room(RoomKey {
        id: RoomId(1),
        epoch: 7,
    });

    fn origin(n: u32) -> Origin {
        Origin {
            connection: ConnectionId(n),
            generation: n,
        }
    }

    fn person(name: &str, is_account: bool) -> Person {
        Person {
            name: name.into(),
            is_account,
            holder: None,
        }
    }

    fn key(name: &str, destination: Destination, id: &str) -> MessageKey {
        let sender = person(name, false);
        let id = id.into();
        MessageKey {
            sender,
            destination,
            id,
        }
    }

    /// Publishes a message with this `id`, and acknowledges it at once.
    fn say(acknowledged: &mut Acknowledged, key: MessageKey, now: Duration) -> Claim {
        let claim = acknowledged.claim(key, "hi", origin(1), now);
        if let Claim::New(id) = claim {
            acknowledged.done(id, POSITION, now);
        }
        claim
    }

    fn is_new(claim: &Claim) -> bool {
        matches!(claim, Claim::New(_))
    }

    #[test]
    fn an_id_is_remembered_for_five_minutes() {
        let mut acknowledged = Acknowledged::default();
        let mut say = |now| say(&mut acknowledged, key("김", ROOM, "a"), now);
        assert!(is_new(&say(START)));
        assert_eq!(say(START + ACKNOWLEDGED_FOR), Claim::Done(POSITION));
        let later = START + ACKNOWLEDGED_FOR + Duration::from_secs(1);
        assert!(is_new(&say(later)));
    }

    #[test]
    fn another_person_another_place_and_another_id_are_other_messages() {
        let mut acknowledged = Acknowledged::default();
        let mut account = key("김", ROOM, "a");
        account.sender.is_account = true;
        let [mut holder, mut other] = [key("김", ROOM, "a"), key("김", ROOM, "a")];
        holder.sender.holder = Some(HolderId([1; 16]));
        other.sender.holder = Some(HolderId([2; 16]));
        let again = RoomKey {
            id: RoomId(1),
            epoch: 8,
        };
        for key in [
            key("김", ROOM, "a"),
            key("이", ROOM, "a"),
            account,
            holder,
            other,
            key("김", Destination::Room(again), "a"),
            key("김", Destination::Person(person("이", false)), "a"),
            key("김", Destination::Person(person("이", true)), "a"),
            key("김", Destination::Person(person("박", false)), "a"),
            key("김", ROOM, "b"),
        ] {
            assert!(
                is_new(&say(&mut acknowledged, key.clone(), START)),
                "{key:?}"
            );
            assert_eq!(say(&mut acknowledged, key, START), Claim::Done(POSITION));
        }
    }

    #[test]
    fn a_whisper_to_somebody_who_has_gone_is_known_whoever_had_the_name() {
        let mut acknowledged = Acknowledged::default();
        for n in 0..3 {
            let mut target = person("이", n == 0);
            target.holder = (n > 1).then_some(HolderId([n; 16]));
            let key = key("김", Destination::Person(target), "a");
            let claim = acknowledged.claim(key, &n.to_string(), origin(1), START);
            let Claim::New(id) = claim else {
                panic!("unexpected: {claim:?}");
            };
            acknowledged.done(id, None, START);
        }
        let mut ask = |from, to, id, content| {
            let from = person(from, false);
            acknowledged.claim_of_absent(from, to, id, content, START)
        };
        for content in ["0", "1", "2"] {
            assert_eq!(ask("김", "이", "a", content), Some(Claim::Done(None)));
        }
        assert_eq!(ask("김", "이", "a", "3"), Some(Claim::OtherContent));
        for (from, to, id) in [("박", "이", "a"), ("김", "박", "a"), ("김", "이", "b")] {
            assert_eq!(ask(from, to, id, "0"), None);
        }
    }

    #[test]
    fn an_id_with_other_content_is_refused_under_way_and_when_done() {
        let mut acknowledged = Acknowledged::default();
        let mut claim = |content| {
            let key = key("김", ROOM, "a");
            acknowledged.claim(key, content, origin(1), START)
        };
        assert!(is_new(&claim("one")));
        assert_eq!(claim("two"), Claim::OtherContent);
        acknowledged.done(PendingId(0), POSITION, START);
        let claim = acknowledged.claim(key("김", ROOM, "a"), "two", origin(1), START);
        assert_eq!(claim, Claim::OtherContent);
    }

    #[test]
    fn everybody_who_sent_it_while_it_was_under_way_is_told() {
        let mut acknowledged = Acknowledged::default();
        for (n, expected) in [(1, true), (2, false), (3, false)] {
            let key = key("김", ROOM, "a");
            let claim = acknowledged.claim(key, "hi", origin(n), START);
            assert_eq!(is_new(&claim), expected);
        }
        let (id, waiters) = acknowledged.done(PendingId(0), POSITION, START);
        assert_eq!((&*id, &waiters[..]), ("a", &[1, 2, 3].map(origin)[..]));
        assert_eq!(acknowledged.pending(), 0);
    }

    #[test]
    fn what_failed_may_be_said_again() {
        let mut acknowledged = Acknowledged::default();
        let claim = acknowledged.claim(key("김", ROOM, "a"), "hi", origin(1), START);
        assert_eq!(claim, Claim::New(PendingId(0)));
        let (id, waiters) = acknowledged.failed(PendingId(0));
        assert_eq!((&*id, waiters.len()), ("a", 1));
        assert!(is_new(&say(&mut acknowledged, key("김", ROOM, "a"), START)));
    }

    #[test]
    fn one_user_with_many_ids_pushes_out_only_their_own() {
        let mut acknowledged = Acknowledged::default();
        assert!(is_new(&say(&mut acknowledged, key("이", ROOM, "a"), START)));
        for n in 0..ACKNOWLEDGED_MAX + 10 {
            let key = key("김", ROOM, &n.to_string());
            assert!(is_new(&say(&mut acknowledged, key, START)));
        }
        assert_eq!(acknowledged.done.len(), ACKNOWLEDGED_PER_USER_MAX + 1);
        assert_eq!(acknowledged.index.len(), acknowledged.done.len());
        let mut say =
            |name, id: usize| say(&mut acknowledged, key(name, ROOM, &id.to_string()), START);
        let last = ACKNOWLEDGED_MAX + 9;
        assert_eq!(say("김", last), Claim::Done(POSITION));
        assert!(is_new(&say("김", last - ACKNOWLEDGED_PER_USER_MAX)));
        let theirs = acknowledged.claim(key("이", ROOM, "a"), "hi", origin(1), START);
        assert_eq!(theirs, Claim::Done(POSITION));
    }

    #[test]
    fn above_the_limit_of_all_the_oldest_is_forgotten() {
        let mut acknowledged = Acknowledged::default();
        for n in 0..=ACKNOWLEDGED_MAX {
            let key = key(&(n % 100).to_string(), ROOM, &n.to_string());
            assert!(is_new(&say(&mut acknowledged, key, START)));
        }
        assert_eq!(acknowledged.done.len(), ACKNOWLEDGED_MAX);
        assert_eq!(acknowledged.index.len(), ACKNOWLEDGED_MAX);
        assert_eq!(
            say(&mut acknowledged, key("1", ROOM, "1"), START),
            Claim::Done(POSITION)
        );
        assert!(is_new(&say(&mut acknowledged, key("0", ROOM, "0"), START)));
    }

    #[test]
    fn nothing_is_left_of_users_whose_ids_are_forgotten() {
        let mut acknowledged = Acknowledged::default();
        for n in 0..1_000 {
            say(&mut acknowledged, key(&n.to_string(), ROOM, "a"), START);
        }
        let later = START + ACKNOWLEDGED_FOR * 2;
        say(&mut acknowledged, key("x", ROOM, "a"), later);
        assert_eq!(
            (acknowledged.done.len(), acknowledged.of_user.len()),
            (1, 1)
        );
        assert_eq!(acknowledged.index.len(), 1);
    }
}
