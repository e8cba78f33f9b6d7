//! All rooms and their members: what each command does, as effects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use super::acknowledged::Acknowledged;
use super::error::ErrorCode;
use super::event::{Effect, Effects, Event, RoomInfo};
use super::ids::{ConnectionId, RoomId, RoomKey, Serial};
use super::people::People;
use super::room::Room;
use super::wishes::Wishes;
use crate::config::RoomLimits;

/// Rooms by name, users by name, and the members of each room.
#[derive(Debug)]
pub struct RoomManager {
    pub(super) limits: RoomLimits,
    pub(super) rooms: Slab<Room>,
    pub(super) by_name: HashMap<Rc<str>, RoomId>,
    pub(super) people: People,
    /// Wishes the backend has not answered.
    pub(super) wishes: Wishes,
    /// Rooms that are being opened, by name.
    pub(super) opening: HashMap<Rc<str>, Serial>,
    /// Connections whose join waits for a room to be opened.
    pub(super) joining: BTreeMap<ConnectionId, Serial>,
    pub(super) acknowledged: Acknowledged,
    /// Whether what guests say is marked: wherever accounts exist, so not in the demo.
    pub marks_guests: bool,
    pub(super) history_bytes: usize,
    pub(super) uses: u64,
    /// Rooms that may be evicted, by their last use.
    pub(super) evictable: BTreeSet<(u64, RoomId)>,
    pub(super) is_presence_announced: bool,
    /// Rooms whose number of users is to be announced, by time.
    pub(super) counts_due: BTreeSet<(Duration, RoomId)>,
}

/// The outcome of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The answer is among the effects.
    Now,
    /// The room is being opened: [`Effect::Resume`] follows the answer.
    Later,
}

impl RoomManager {
    /// A manager without rooms.
    pub fn new(limits: RoomLimits) -> Self {
        Self {
            limits,
            rooms: Slab::new(),
            by_name: HashMap::new(),
            people: People::default(),
            wishes: Wishes::default(),
            opening: HashMap::new(),
            joining: BTreeMap::new(),
            acknowledged: Acknowledged::default(),
            marks_guests: false,
            history_bytes: 0,
            uses: 0,
            evictable: BTreeSet::new(),
            is_presence_announced: true,
            counts_due: BTreeSet::new(),
        }
    }

    /// The connected users.
    pub fn people(&self) -> &People {
        &self.people
    }

    /// Frees the tables of users if no user is left.
    pub fn forget_people(&mut self) {
        if self.people.is_empty() {
            self.people = People::default();
        }
    }

    /// Broadcasts an event to all members of a room, except one connection.
    pub fn send_to_room(
        &self,
        room: RoomId,
        event: Event,
        exclude: Option<ConnectionId>,
        effects: &mut Effects,
    ) {
        effects.push_back(Effect::Broadcast {
            room,
            event,
            exclude,
        });
    }

    /// A room as `GET /rooms/{name}` shows it, with the names of its members
    /// ([`PRESENCE_NAMES_MAX`](crate::config::PRESENCE_NAMES_MAX) at most).
    ///
    /// # Errors
    /// `room_not_found`.
    pub fn get_room_info(&self, name: &str) -> Result<(RoomInfo, Vec<Rc<str>>), ErrorCode> {
        let room = self.find(name)?;
        let names = room
            .users_except(None)
            .map(|user| self.people.name(user).clone())
            .collect();
        Ok((room.info(), names))
    }

    /// The room of this name.
    ///
    /// # Errors
    /// `room_not_found`.
    pub fn find(&self, name: &str) -> Result<&Room, ErrorCode> {
        let id = self.by_name.get(name).ok_or(ErrorCode::RoomNotFound)?;
        Ok(&self.rooms[id.index()])
    }

    /// The number of rooms.
    pub fn count(&self) -> usize {
        self.rooms.len()
    }

    /// All rooms, by slot.
    pub fn list(&self) -> Vec<RoomInfo> {
        self.rooms.iter().map(|(_, room)| room.info()).collect()
    }

    pub(super) fn joined(&self, connection: ConnectionId, name: &str) -> Result<RoomId, ErrorCode> {
        let id = *self.by_name.get(name).ok_or(ErrorCode::NotInRoom)?;
        if self.people.rooms(connection).contains(&id) {
            Ok(id)
        } else {
            Err(ErrorCode::NotInRoom)
        }
    }

    pub(super) fn is_in_too_many(&self, connection: ConnectionId) -> bool {
        self.people.rooms(connection).len() >= self.limits.rooms_per_connection
    }

    /// The key of a room, as wishes and facts name it.
    pub(super) fn key(&self, id: RoomId) -> RoomKey {
        let epoch = self.rooms[id.index()].history.position().epoch;
        RoomKey { id, epoch }
    }

    pub(super) fn mark_used(&mut self, id: RoomId) {
        self.uses += 1;
        let room = &mut self.rooms[id.index()];
        let before = std::mem::replace(&mut room.last_used, self.uses);
        if room.is_evictable() {
            self.evictable.remove(&(before, id));
            self.evictable.insert((self.uses, id));
        }
    }

    /// Something that kept a room from eviction has ended.
    pub(super) fn note_evictable(&mut self, id: RoomId) {
        let room = &self.rooms[id.index()];
        if room.is_evictable() {
            self.evictable.insert((room.last_used, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ROOM_USERS_MAX};
    use crate::domain::testing::{origin, settle};
    use crate::domain::time::Now;

    /// The evictable rooms, found by a search of all rooms.
    fn empty_rooms(manager: &RoomManager) -> BTreeSet<(u64, RoomId)> {
        let empty = manager.rooms.iter().filter(|(_, room)| room.is_evictable());
        empty
            .map(|(index, room)| (room.last_used, RoomId(index as u32)))
            .collect()
    }

    /// A simple generator of pseudo-random numbers.
    fn next_random(state: &mut u64) -> u64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        *state >> 20 ^ *state << 44
    }

    /// Joins a room; returns the final answer.
    fn join_as(manager: &mut RoomManager, id: ConnectionId, room: &str) -> Result<(), ErrorCode> {
        let mut effects = Effects::new();
        manager.join_room(origin(id), room, (None, None), Now::default(), &mut effects)?;
        let refused = settle(manager, &mut effects, Now::default())
            .into_iter()
            .find_map(|effect| match effect {
                Effect::Reply(_, Event::Error { code, .. }) => Some(code),
                _ => None,
            });
        refused.map_or(Ok(()), Err)
    }

    fn create(manager: &mut RoomManager, name: &str, max: Option<u32>) -> Result<(), ErrorCode> {
        let mut effects = Effects::new();
        let serial = Serial(9);
        manager.create_room(serial, name, max, &mut effects)?;
        match settle(manager, &mut effects, Now::default()).pop() {
            Some(Effect::Created(answered, info)) if answered == serial => info.map(|_| ()),
            other => panic!("unexpected: {other:?}"),
        }
    }

    #[test]
    fn the_room_that_is_evicted_is_known_without_looking_at_the_others() {
        let limits = RoomLimits {
            rooms: 6,
            rooms_per_connection: 3,
            room_users: 2,
            ..Config::default().rooms
        };
        let mut manager = RoomManager::new(limits);
        let (mut effects, mut seed, mut evicted) = (Effects::new(), 7, 0);
        for n in 0..4 {
            manager.enter(ConnectionId(n), &n.to_string(), None, &mut effects);
        }
        for _ in 0..5_000 {
            let random = next_random(&mut seed);
            let connection = ConnectionId((random % 4) as u32);
            let name = format!("room{}", (random >> 8) % 9);
            let oldest = empty_rooms(&manager).first().copied();
            let (uses, is_known) = (manager.uses, manager.find(&name).is_ok());
            let was_full = manager.count() == manager.limits.rooms;
            effects.clear();
            // Some are refused: a full room, a second join, a leave without a join.
            _ = match (random >> 16) % 64 {
                0..32 => join_as(&mut manager, connection, &name),
                32..62 => manager.leave_room(connection, &name, Now::default(), &mut effects),
                62 => {
                    manager.exit(connection, Now::default(), &mut effects);
                    manager.enter(connection, "again", None, &mut effects);
                    Ok(())
                }
                _ if (random >> 24).is_multiple_of(16) => create(&mut manager, &name, None),
                _ => Ok(()),
            };
            if was_full && !is_known && manager.find(&name).is_ok() {
                let (last_used, id) = oldest.expect("one was empty");
                assert!(last_used <= uses);
                assert!(
                    manager.rooms[id.index()].last_used > uses,
                    "its slot has the new room"
                );
                evicted += 1;
            }
            assert_eq!(manager.evictable, empty_rooms(&manager));
            manager.check();
        }
        assert!(evicted > 100, "{evicted}");
    }

    const A: ConnectionId = ConnectionId(0);

    /// A manager with one connection, and these limits.
    fn manager(limits: impl FnOnce(&mut RoomLimits)) -> RoomManager {
        let mut config = Config::default().rooms;
        limits(&mut config);
        let mut manager = RoomManager::new(config);
        manager.enter(A, "kim", None, &mut Effects::new());
        manager
    }

    fn join(manager: &mut RoomManager, room: &str) -> Result<(), ErrorCode> {
        join_as(manager, A, room)
    }

    fn leave(manager: &mut RoomManager, room: &str) {
        let left = manager.leave_room(A, room, Now::default(), &mut Effects::new());
        assert_eq!(left, Ok(()));
    }

    #[test]
    fn a_join_that_is_refused_leaves_no_room_behind() {
        let mut strict = manager(|limits| limits.auto_rooms = false);
        assert_eq!(join(&mut strict, ""), Err(ErrorCode::BadRoomName));
        assert_eq!(join(&mut strict, "a"), Err(ErrorCode::RoomNotFound));
        assert_eq!(strict.count(), 0);
        let mut narrow = manager(|limits| limits.rooms_per_connection = 2);
        assert_eq!(join(&mut narrow, ""), Err(ErrorCode::BadRoomName));
        assert_eq!(join(&mut narrow, "a"), Ok(()));
        assert_eq!(join(&mut narrow, "b"), Ok(()));
        assert_eq!(join(&mut narrow, "c"), Err(ErrorCode::TooManyRooms));
        assert_eq!(narrow.count(), 2);
    }

    #[test]
    fn the_empty_room_used_longest_ago_is_evicted_with_its_history() {
        let mut manager = manager(|limits| limits.rooms = 2);
        for room in ["a", "b"] {
            assert_eq!(join(&mut manager, room), Ok(()));
            let mut effects = Effects::new();
            let content = room.repeat(9);
            let said = manager.chat(
                origin(A),
                room,
                &content,
                None,
                Now::default(),
                &mut effects,
            );
            assert_eq!(said, Ok(()));
            settle(&mut manager, &mut effects, Now::default());
        }
        let of_one = manager.history_bytes / 2;
        assert_eq!(join(&mut manager, "c"), Err(ErrorCode::TooManyRooms));
        leave(&mut manager, "a");
        assert_eq!(join(&mut manager, "a"), Ok(()));
        leave(&mut manager, "b");
        leave(&mut manager, "a");
        assert_eq!(join(&mut manager, "c"), Ok(()));
        assert!(manager.find("a").is_ok() && manager.find("b").is_err());
        assert_eq!(manager.history_bytes, of_one);
    }

    #[test]
    fn who_exits_is_nowhere_and_the_rooms_that_stay_are_listed() {
        let mut manager = manager(|_| ());
        assert_eq!(join(&mut manager, "a"), Ok(()));
        assert_eq!(manager.people().rooms(A).len(), 1);
        manager.exit(A, Now::default(), &mut Effects::new());
        assert!(manager.people().rooms(A).is_empty());
        assert_eq!(manager.people().find("kim"), None);
        for (name, max_users, expected) in [
            ("b", 0, Err(ErrorCode::BadRequest)),
            ("b", ROOM_USERS_MAX + 1, Err(ErrorCode::BadRequest)),
            ("b", ROOM_USERS_MAX, Ok(())),
            ("c", 1, Ok(())),
            ("c", 1, Err(ErrorCode::RoomExists)),
        ] {
            let created = create(&mut manager, name, Some(max_users));
            assert_eq!(created, expected, "{name} {max_users}");
        }
        let rooms = manager
            .list()
            .into_iter()
            .map(|room| (room.users, room.max_users));
        assert!(rooms.eq([(0, 100), (0, ROOM_USERS_MAX), (0, 1)]));
    }
}
