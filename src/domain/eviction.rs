//! Which rooms make way for new ones. Nothing here visits all rooms.

use std::collections::BTreeSet;

use super::ids::RoomId;
use super::owners::Creator;
use super::place::{EvictionClass, Place};
use super::room::Room;
use super::rooms::RoomManager;
use super::time::Now;

impl RoomManager {
    /// Notes a use of a room: that it was created, joined, or that something was said in it.
    pub(super) fn mark_used(&mut self, id: RoomId, now: Now) {
        self.unlist_evictable(id);
        self.uses += 1;
        let room = &mut self.rooms[id.index()];
        room.last_used = self.uses;
        room.last_used_at = now.monotonic;
        self.list_evictable(id);
    }

    /// Lists the room as evictable, if nothing prevents that any more.
    pub(super) fn list_evictable(&mut self, id: RoomId) {
        let room = &self.rooms[id.index()];
        if let Some(place) = room.place(id) {
            self.evictable.insert(place);
            if let Some(creator) = &room.creator {
                self.kept.set_evictable(creator, place, true);
            }
        }
    }

    /// Must be called before anything changes that [`Room::place`](super::room::Room::place) depends on.
    pub(super) fn unlist_evictable(&mut self, id: RoomId) {
        let room = &self.rooms[id.index()];
        if let Some(place) = room.place(id) {
            self.evictable.remove(&place);
            if let Some(creator) = &room.creator {
                self.kept.set_evictable(creator, place, false);
            }
        }
    }

    /// The rooms that must be evicted before another is opened, for a join or by this creator. `None` if there are not
    /// enough that may be evicted: the new room is refused.
    ///
    /// An owner who holds a whole share makes way first, then kept rooms for kept ones, then any room for any.
    pub(super) fn in_the_way(
        &self,
        creator: Option<&Creator>,
        now: Now,
    ) -> Option<BTreeSet<Place>> {
        let mut going = BTreeSet::new();
        for owner in creator.into_iter().flat_map(Creator::owners) {
            if self.kept.count_of(&owner) >= self.limits.kept_per_owner() {
                let own = self.kept.evictable_of(&owner)?;
                going.insert(self.first(own, EvictionClass::KeptSilent, now)?);
            }
        }
        let needed_from = if creator.is_some() && self.kept.count() >= self.limits.kept() {
            EvictionClass::KeptSilent
        } else if self.rooms.len() + self.opening.len() >= self.limits.rooms {
            EvictionClass::Silent
        } else {
            return Some(going);
        };
        if going.is_empty() {
            going.insert(self.first(&self.evictable, needed_from, now)?);
        }
        Some(going)
    }

    /// The room to be evicted first, of this class or a later one.
    fn first(&self, places: &BTreeSet<Place>, from: EvictionClass, now: Now) -> Option<Place> {
        let classes = EvictionClass::ALL.iter().filter(|class| **class >= from);
        let mut firsts = classes.filter_map(|class| {
            let least = Place {
                class: *class,
                last_used: 0,
                id: RoomId(0),
            };
            let place = places.range(least..).next()?;
            (place.class == *class).then_some(*place)
        });
        // Within a class the first is unused for the longest time.
        firsts.find(|place| {
            let unused_since = self.rooms[place.id.index()].last_used_at;
            unused_since + place.class.patience() <= now.monotonic
        })
    }

    /// Evicts a room, with its history. Members in grace leave, and nobody is there to be told.
    pub(super) fn evict(&mut self, place: Place) {
        self.unlist_evictable(place.id);
        let room = self.drop_room(place.id);
        self.note_evicted(&room);
        self.by_name.remove(&room.name);
        self.in_order.remove(&room.name);
        match self.is_shared {
            true => self.closed.push(room.name.clone()),
            false => self.evicted.push(room.name.clone()),
        }
    }

    /// Takes a room out that nobody uses and that is not listed as evictable.
    pub(super) fn drop_room(&mut self, id: RoomId) -> Room {
        let mut room = self.rooms.remove(id.index());
        debug_assert!(room.is_evictable(), "a room in use stays");
        for user in room.take_users() {
            self.graces.remove(id, user);
            self.people.remove_leaving(user);
        }
        if let Some(due) = room.age_due {
            self.ages_due.remove(&(due, id));
        }
        self.history_bytes -= room.history.bytes();
        if room.is_kept {
            self.kept.remove(room.creator.as_deref());
        }
        room
    }
}

#[cfg(test)]
mod tests;
