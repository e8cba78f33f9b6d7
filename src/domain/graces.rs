//! Members of rooms whose last connection there has closed, and when that is told: a reload, or a short cut of the network,
//! is told to nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ids::{RoomId, UserId};

/// A user in a room.
type Member = (RoomId, UserId);

/// The members in grace, in the order in which their graces end. The caller bounds their number.
#[derive(Debug, Default)]
pub(super) struct Graces {
    ends: BTreeMap<Member, Duration>,
    by_end: BTreeSet<(Duration, Member)>,
}

impl Graces {
    /// Begins a grace that ends at a time since the server's start.
    pub fn begin(&mut self, room: RoomId, user: UserId, end: Duration) {
        let member = (room, user);
        self.remove(room, user);
        self.ends.insert(member, end);
        self.by_end.insert((end, member));
    }

    /// Removes a member who is back, or has left; false if they are not in grace.
    pub fn remove(&mut self, room: RoomId, user: UserId) -> bool {
        let member = (room, user);
        let end = self.ends.remove(&member);
        end.is_some_and(|end| self.by_end.remove(&(end, member)))
    }

    /// Removes the member whose grace ends first.
    pub fn pop_first(&mut self) -> Option<Member> {
        let (_, member) = self.by_end.pop_first()?;
        self.ends.remove(&member);
        Some(member)
    }

    /// When the first grace ends, as time since the server's start.
    pub fn first_end(&self) -> Option<Duration> {
        self.by_end.first().map(|(end, _)| *end)
    }

    pub fn contains(&self, room: RoomId, user: UserId) -> bool {
        self.ends.contains_key(&(room, user))
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        assert_eq!(self.ends.len(), self.by_end.len());
        for (end, member) in &self.by_end {
            assert_eq!(self.ends.get(member), Some(end), "a grace ends once");
        }
    }

    /// Every member in grace.
    pub fn iter(&self) -> impl Iterator<Item = Member> {
        self.ends.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graces_end_in_order_and_one_that_begins_again_ends_once() {
        let mut graces = Graces::default();
        let (room, other) = (RoomId(1), RoomId(2));
        let second = Duration::from_secs(1);
        graces.begin(room, UserId(1), second);
        graces.begin(room, UserId(2), 2 * second);
        graces.begin(other, UserId(1), 3 * second);
        graces.begin(room, UserId(1), 4 * second);
        graces.check();
        assert_eq!((graces.len(), graces.first_end()), (3, Some(2 * second)));
        assert!(graces.remove(other, UserId(1)) && !graces.remove(other, UserId(1)));
        assert!(graces.contains(room, UserId(1)) && !graces.contains(other, UserId(1)));
        assert_eq!(graces.pop_first(), Some((room, UserId(2))));
        assert_eq!(graces.pop_first(), Some((room, UserId(1))));
        assert_eq!((graces.pop_first(), graces.first_end()), (None, None));
        graces.check();
    }
}
