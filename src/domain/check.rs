//! The invariants of rooms and users, asserted in debug builds after each entry point.

use std::collections::BTreeMap;

use super::ids::{RoomId, UserId};
use super::kept::KeptRooms;
use super::names::key as key_of;
use super::permissions::Permissions;
use super::rooms::RoomManager;
use super::wishes::Wish;
use crate::config::MEMBERS_IN_GRACE_MAX;

impl RoomManager {
    /// Asserts the invariants. Visits every room, user and wish.
    pub fn check(&self) {
        self.check_rooms();
        self.check_wishes();
        self.check_leaving();
        self.check_guests();
        for (connection, permissions) in &self.permissions {
            assert!(self.people.user_of(*connection).is_some(), "has entered");
            assert_ne!(
                **permissions,
                Permissions::default(),
                "the usual ones are not kept"
            );
        }
    }

    /// Nobody shares a name, in any spelling, with a guest who holds it.
    fn check_guests(&self) {
        let mut holders = BTreeMap::new();
        for user in self
            .people
            .users()
            .filter(|user| !self.people.is_account(*user))
        {
            let holder = self.people.holder(user);
            let name = key_of(self.people.name(user));
            let first = *holders.entry(name).or_insert(holder);
            assert_eq!(first, holder, "a held name is not shared");
        }
    }

    fn check_rooms(&self) {
        let gone = self.rooms.iter().filter(|(_, room)| room.gone.is_some());
        let named = self.rooms.len() - gone.count();
        assert_eq!(named, self.by_name.len(), "a room has one name");
        assert_eq!(named, self.in_order.len(), "and is listed by it");
        let is_exceeded = self.rooms.len() + self.opening.len() > self.limits.rooms;
        assert!(!is_exceeded, "a room that is being opened has its place");
        let mut bytes = 0;
        let mut evictable = 0;
        let mut ages = 0;
        let mut kept = KeptRooms::default();
        for (index, room) in &self.rooms {
            let id = RoomId(index as u32);
            match room.gone {
                None => assert_eq!(self.by_name.get(&room.name), Some(&id)),
                Some(_) => self.check_gone(id),
            }
            let is_due = |due| self.ages_due.contains(&(due, id));
            assert!(room.age_due.is_none_or(is_due), "its messages age");
            ages += usize::from(room.age_due.is_some());
            bytes += room.history.bytes();
            let place = room.place(id);
            if let Some(place) = &place {
                evictable += 1;
                assert!(self.evictable.contains(place));
            }
            if room.is_kept {
                kept.add(room.creator.as_deref());
            }
            if let (Some(place), Some(creator)) = (place, &room.creator) {
                assert!(room.is_kept, "only kept rooms are somebody's");
                kept.set_evictable(creator, place, true);
            }
        }
        for wish in self.wishes.iter() {
            if let Wish::Open {
                creation: Some((_, creator)),
                ..
            } = wish
            {
                kept.add(Some(creator));
            }
        }
        assert_eq!(kept, self.kept, "kept rooms by owner");
        let share = self.limits.kept_per_owner();
        assert!(kept.largest() <= share, "nobody holds more than a share");
        assert_eq!(bytes, self.history_bytes, "all histories together");
        assert_eq!(evictable, self.evictable.len(), "evictable rooms");
        assert_eq!(ages, self.ages_due.len(), "a room ages once");
    }

    /// A removed room is there only for what is under way in it.
    fn check_gone(&self, id: RoomId) {
        let room = &self.rooms[id.index()];
        assert!(!room.is_evictable(), "a removed room goes");
        assert_ne!(self.by_name.get(&room.name), Some(&id));
        assert!(
            room.own_users()
                .all(|user| room.is_absent(user) && room.has_wishes_of(user)),
            "nobody is in a removed room"
        );
        assert!(!self.has_store() || self.going.contains_key(&room.name));
    }

    /// Each message under way is counted in its room, which still exists, and is entered under its `id` if it has one.
    fn check_wishes(&self) {
        let mut under_way: BTreeMap<(RoomId, UserId), u32> = BTreeMap::new();
        let mut posts: BTreeMap<RoomId, u32> = BTreeMap::new();
        let (mut pending, mut joins, mut openings) = (0, 0, 0);
        for wish in self.wishes.iter() {
            match wish {
                Wish::Publish {
                    room,
                    user,
                    pending: is_pending,
                    ..
                } => {
                    // One that is shared may have lost its past since.
                    let is_same = self.key(room.id) == *room || self.is_shared;
                    assert!(is_same, "a room with wishes stays");
                    match user {
                        Some(user) => *under_way.entry((room.id, *user)).or_default() += 1,
                        None => *posts.entry(room.id).or_default() += 1,
                    }
                    pending += usize::from(is_pending.is_some());
                }
                Wish::Open {
                    name, joins: all, ..
                } => {
                    assert!(self.opening.contains_key(name) && !self.by_name.contains_key(name));
                    openings += 1;
                    joins += all.len();
                }
                Wish::Seat { joins: all, .. } => joins += all.len(),
                Wish::Whisper { .. } => {}
            }
        }
        let counted = self.rooms.iter().flat_map(|(index, room)| {
            let id = RoomId(index as u32);
            room.authors()
                .iter()
                .map(move |(user, count)| ((id, *user), *count))
        });
        assert!(
            under_way.into_iter().eq(counted),
            "messages under way by room"
        );
        let counted = self.rooms.iter().filter(|(_, room)| room.posts > 0);
        let counted = counted.map(|(index, room)| (RoomId(index as u32), room.posts));
        assert!(posts.into_iter().eq(counted), "posts under way by room");
        assert_eq!(pending, self.acknowledged.pending());
        assert_eq!((openings, joins), (self.opening.len(), self.joining.len()));
    }

    fn check_leaving(&self) {
        let mut leaving: BTreeMap<UserId, u32> = BTreeMap::new();
        for (_, room) in &self.rooms {
            for user in room.leaving() {
                *leaving.entry(user).or_default() += 1;
            }
        }
        assert_eq!(&leaving, self.people.leaving());
        self.people.check();
        self.graces.check();
        assert!(self.graces.len() <= MEMBERS_IN_GRACE_MAX);
        for (room, user) in self.graces.iter() {
            assert!(self.rooms[room.index()].is_absent(user), "is not in grace");
        }
    }
}
