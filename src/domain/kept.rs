//! The rooms created by `POST /rooms`, which are kept while they are empty, and what each owner holds of them.

use std::collections::{BTreeSet, HashMap};

use super::owners::{Creator, Owner};
use super::place::Place;

/// All kept rooms: those that are open, and those that are being opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeptRooms {
    count: usize,
    /// Only owners that hold rooms: at most two for each kept room.
    by_owner: HashMap<Owner, Holding>,
}

/// What one owner holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Holding {
    count: usize,
    /// Rooms of this owner that may be evicted.
    evictable: BTreeSet<Place>,
}

impl KeptRooms {
    /// The number of kept rooms.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The number of kept rooms of an owner.
    pub fn count_of(&self, owner: &Owner) -> usize {
        self.by_owner.get(owner).map_or(0, |holding| holding.count)
    }

    /// The largest number of kept rooms of one owner.
    pub fn largest(&self) -> usize {
        let counts = self.by_owner.values().map(|holding| holding.count);
        counts.max().unwrap_or(0)
    }

    /// The rooms of an owner that may be evicted.
    pub fn evictable_of(&self, owner: &Owner) -> Option<&BTreeSet<Place>> {
        self.by_owner.get(owner).map(|holding| &holding.evictable)
    }

    /// Counts a room. Its creator is not known if it was created by another process, and opened here by a join.
    pub fn add(&mut self, creator: Option<&Creator>) {
        self.count += 1;
        for owner in creator.into_iter().flat_map(Creator::owners) {
            self.by_owner.entry(owner).or_default().count += 1;
        }
    }

    /// The room is gone, or could not be opened.
    pub fn remove(&mut self, creator: Option<&Creator>) {
        self.count -= 1;
        for owner in creator.into_iter().flat_map(Creator::owners) {
            if let Some(holding) = self.by_owner.get_mut(&owner) {
                holding.count -= 1;
                if holding.count == 0 {
                    self.by_owner.remove(&owner);
                }
            }
        }
    }

    /// A counted room may be evicted from now on, or no longer.
    pub fn set_evictable(&mut self, creator: &Creator, place: Place, is_evictable: bool) {
        for owner in creator.owners() {
            if let Some(holding) = self.by_owner.get_mut(&owner) {
                match is_evictable {
                    true => holding.evictable.insert(place),
                    false => holding.evictable.remove(&place),
                };
            }
        }
    }
}
