//! Rooms and a store on disk: what is loaded at the start, what is removed later, and everything for a new file.
//!
//! New messages and rooms are stored by the backend, which numbers them, with their `id`s. Here is noted what the store need
//! not have any more, and the `id`s of whispers.

use std::collections::HashMap;
use std::time::Duration;

use super::changes::Changes;
use super::event::{Effect, Effects};
use super::ids::{RoomId, RoomKey};
use super::message_keys::Destination;
use super::owners::Creator;
use super::position::Position;
use super::random::split_mix;
use super::record::{KeptId, Key, Record, SaidAt};
use super::room::Room;
use super::rooms::RoomManager;
use super::time::Now;
use super::working_set::{KeptRoom, WorkingSet};
use crate::config::{ACKNOWLEDGED_FOR, CLOCK_SET_FROM_SECS};

impl RoomManager {
    /// Takes the rooms and `id`s that were loaded; from now on there is a store. `seed` determines later epochs.
    /// Returns the rooms with their positions, and the number of rooms that were dropped because there may be only so many.
    pub fn load(
        &mut self,
        kept: &mut WorkingSet,
        seed: u64,
        now: Now,
    ) -> (Vec<(RoomId, Position)>, usize) {
        self.epochs = seed;
        self.changes = Some(std::mem::take(&mut kept.stale));
        self.acknowledged.note_changes();
        self.bans.load(std::mem::take(&mut kept.bans));
        let mut loaded = std::mem::take(&mut kept.rooms);
        let surplus = loaded.len().saturating_sub(self.limits.rooms);
        for KeptRoom { name, room, .. } in loaded.drain(..surplus) {
            self.note_evicted(&Room::new(name, room));
        }
        let mut positions = Vec::with_capacity(loaded.len());
        for kept in loaded {
            let position = kept.room.position();
            positions.push((self.load_room(kept, now), position));
        }
        let by_epoch = positions.iter().map(|(id, position)| (position.epoch, *id));
        let by_epoch = by_epoch.collect();
        for id in std::mem::take(&mut kept.ids) {
            self.load_id(&id, &by_epoch, now);
        }
        (positions, surplus)
    }

    fn load_room(&mut self, kept: KeptRoom, now: Now) -> RoomId {
        let KeptRoom {
            name,
            mut room,
            creator,
        } = kept;
        let share = self.limits.kept_per_owner();
        let is_over = |creator: &Creator| {
            let mut owners = creator.owners();
            owners.any(|owner| self.kept.count_of(&owner) >= share)
        };
        // The limits may be lower than when it was created.
        room.is_kept &= self.kept.count() < self.limits.kept();
        let creator = creator.filter(|creator| room.is_kept && !is_over(creator));
        let first = room.newest + 1 - room.messages.len() as u64;
        let id = self.add_room(name, creator.map(Into::into), room, now);
        let room = &mut self.rooms[id.index()];
        room.is_loaded = true;
        let before = room.history.bytes();
        room.trim_history();
        self.history_bytes = self.history_bytes - before + room.history.bytes();
        self.note_dropped(id, first);
        // Nobody is here yet, and no other node has the room.
        self.drop_aged(id, now, &mut Effects::new());
        id
    }

    fn load_id(&mut self, id: &KeptId, rooms: &HashMap<u64, RoomId>, now: Now) {
        if let SaidAt::Whisper(number) = id.at {
            self.last_whisper = self.last_whisper.max(number);
        }
        let age = now.unix.as_secs().saturating_sub(id.second);
        // If the clock is not set nobody knows how old it is.
        let is_clock_set = now.unix.as_secs() >= CLOCK_SET_FROM_SECS;
        let age = Duration::from_secs(if is_clock_set { age } else { 0 });
        let destination = match (id.at, &id.to) {
            (SaidAt::Position(Position { epoch, .. }), _) => {
                let room = rooms.get(&epoch);
                room.map(|id| Destination::Room(RoomKey { id: *id, epoch }))
            }
            (SaidAt::Whisper(_), Some(to)) => Some(Destination::Person(to.clone())),
            (SaidAt::Whisper(_), None) => None,
        };
        match destination {
            Some(destination) if age <= ACKNOWLEDGED_FOR => {
                let until = now.monotonic + ACKNOWLEDGED_FOR - age;
                self.acknowledged.restore(destination, id, until);
            }
            _ => self.note_removed(&Key::Said(id.at)),
        }
    }

    /// The key of the fingerprints of messages with an `id`. A store keeps them, so with one it is always the same.
    pub fn set_fingerprint_key(&mut self, key: [u8; 16]) {
        self.acknowledged.set_fingerprint_key(key);
    }

    /// The memory of all messages, in bytes.
    pub fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    /// Whether there is a store.
    pub(super) fn has_store(&self) -> bool {
        self.changes.is_some()
    }

    /// Where the `id` of the next whisper is stored, if there is a store. It is stored at once, but nobody waits for it: the
    /// whisper is delivered already.
    pub(super) fn next_whisper(&mut self) -> Option<SaidAt> {
        self.has_store().then(|| {
            self.last_whisper += 1;
            self.are_changes_urgent = true;
            SaidAt::Whisper(self.last_whisper)
        })
    }

    /// Whether [`Self::take_changes`] has what must be stored without waiting for something else.
    pub fn are_changes_urgent(&mut self) -> bool {
        std::mem::take(&mut self.are_changes_urgent)
    }

    /// Takes what the store is to change beside what the backend stores.
    pub fn take_changes(&mut self) -> Option<Changes> {
        let changes = self.changes.as_mut()?;
        changes.append(&self.acknowledged.take_changes());
        (!changes.is_empty()).then(|| std::mem::take(changes))
    }

    /// Puts the records of every room, its messages, and the `id`s.
    pub fn keep_all(&self, now: Now, changes: &mut Changes) {
        let kept = self.rooms.iter().filter(|(_, room)| room.gone.is_none());
        for (_, room) in kept {
            keep_room(room, changes);
        }
        self.acknowledged.keep_all(now, changes);
        self.bans.keep_all(changes);
    }

    pub(super) fn note_removed(&mut self, key: &Key<'_>) {
        if let Some(changes) = &mut self.changes {
            changes.remove(key);
        }
    }

    /// The room keeps fewer messages than before: `first` was the oldest.
    pub(super) fn note_dropped(&mut self, id: RoomId, first: u64) {
        let Some(changes) = &mut self.changes else {
            return;
        };
        let history = &self.rooms[id.index()].history;
        let epoch = history.position().epoch;
        for seq in first..history.first() {
            changes.remove(&Key::Message(Position { epoch, seq }));
        }
    }

    /// The room is gone.
    pub(super) fn note_evicted(&mut self, room: &Room) {
        if let Some(changes) = &mut self.changes {
            changes.remove_room(room);
        }
    }

    /// A client has seen more of a room than the store had at the start: the disk has lost what it had confirmed. The room
    /// gets a new epoch, so that nobody takes what is said from now on for what they have seen. Only the past that was
    /// loaded can have been lost, so a client can do this once for each room and start.
    pub(super) fn renew_if_behind(
        &mut self,
        id: RoomId,
        since: Position,
        now: Now,
        effects: &mut Effects,
    ) {
        let room = &self.rooms[id.index()];
        let position = room.history.position();
        if !room.is_loaded
            || since.epoch != position.epoch
            || since.seq <= position.seq
            || !room.authors().is_empty()
            || room.posts > 0
        {
            return;
        }
        let epoch = split_mix(&mut self.epochs);
        let Some(changes) = &mut self.changes else {
            return;
        };
        changes.remove_room(room);
        let room = &mut self.rooms[id.index()];
        room.is_loaded = false;
        room.history.renew(epoch);
        keep_room(room, changes);
        let before = RoomKey {
            id,
            epoch: position.epoch,
        };
        self.acknowledged.renew(before, epoch, now);
        let position = self.rooms[id.index()].history.position();
        effects.push_back(Effect::Renewed(id, position));
    }
}

impl Changes {
    /// Removes a room with its messages.
    pub(super) fn remove_room(&mut self, room: &Room) {
        let Position { epoch, seq } = room.history.position();
        self.remove(&Key::Room(epoch));
        self.remove(&Key::Newest(epoch));
        self.remove(&Key::Rules(epoch));
        for seq in room.history.first()..=seq {
            self.remove(&Key::Message(Position { epoch, seq }));
        }
    }
}

impl Room {
    /// Its record, without its rules.
    pub(super) fn record(&self) -> Record<'_> {
        let creator = self.creator.as_deref();
        Record::Room {
            epoch: self.history.position().epoch,
            max_users: self.max_users,
            is_kept: self.is_kept,
            created_at: self.created_at,
            creator: creator.map(|creator| (creator.address(), creator.user())),
            name: &self.name,
        }
    }
}

fn keep_room(room: &Room, changes: &mut Changes) {
    let position = room.history.position();
    changes.put(&room.record());
    changes.put_rules(position.epoch, room.rules);
    changes.put(&Record::Newest(position));
    for message in room.history.iter() {
        changes.put(&message.record());
    }
}
