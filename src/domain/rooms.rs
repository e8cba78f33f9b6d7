//! All rooms and everybody in them: what each request does, as effects.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use super::acknowledged::Acknowledged;
use super::error::ErrorCode;
use super::event::{Effect, Event, RoomInfo};
use super::ids::{ConnectionId, RoomId};
use super::people::People;
use super::position::Position;
use super::room::{Room, is_valid_room_name};
use super::time::{Now, Timestamp};
use crate::config::{ROOM_USERS_MAX, RoomLimits};

/// The effects of what was done, in the order they have to be carried out.
pub type Effects = VecDeque<Effect>;

/// Rooms by name, people by name, and who is where.
#[derive(Debug)]
pub struct RoomManager {
    pub(super) limits: RoomLimits,
    /// The state of the epochs' generator.
    seed: u64,
    pub(super) rooms: Slab<Room>,
    by_name: HashMap<Rc<str>, RoomId>,
    pub(super) people: People,
    pub(super) acknowledged: Acknowledged,
    pub(super) history_bytes: usize,
    uses: u64,
    /// Rooms that may make way for others, empty and not created on purpose, by their last use.
    makeshift: BTreeSet<(u64, RoomId)>,
    pub(super) is_presence_told: bool,
    /// Rooms whose number of users is to be told, by time.
    pub(super) counts_due: BTreeSet<(Duration, RoomId)>,
}

impl RoomManager {
    /// No rooms. The seed decides the epochs of the rooms to come.
    pub fn new(limits: RoomLimits, seed: u64) -> Self {
        Self {
            limits,
            seed,
            rooms: Slab::new(),
            by_name: HashMap::new(),
            people: People::default(),
            acknowledged: Acknowledged::default(),
            history_bytes: 0,
            uses: 0,
            makeshift: BTreeSet::new(),
            is_presence_told: true,
            counts_due: BTreeSet::new(),
        }
    }

    /// Everybody who is connected.
    pub fn people(&self) -> &People {
        &self.people
    }

    /// Frees the tables of those who were here; nobody is now.
    pub fn forget_people(&mut self) {
        debug_assert_eq!(self.people.count(), 0);
        self.people = People::default();
    }

    /// A connection becomes a session of this user and is welcomed.
    pub fn enter(
        &mut self,
        connection: ConnectionId,
        username: &str,
        expires_at: Option<Timestamp>,
        effects: &mut Effects,
    ) {
        self.people.enter(connection, username);
        effects.push_back(Effect::Tell(
            connection,
            Event::Welcome {
                username: username.into(),
                expires_at,
            },
        ));
    }

    /// A connection is gone: it leaves every room it is in.
    pub fn exit(&mut self, connection: ConnectionId, now: Now, effects: &mut Effects) {
        while let Some(&room) = self.people.rooms(connection).last() {
            self.remove_member(connection, room, now, effects);
        }
        self.people.exit(connection);
    }

    /// Creates a room on purpose: it stays while it is empty.
    ///
    /// # Errors
    /// `bad_room_name`, `bad_request` (a limit that is not 1 to 1,000,000), `room_exists`, `too_many_rooms`.
    pub fn create_room(
        &mut self,
        name: &str,
        max_users: Option<u32>,
        now: Now,
    ) -> Result<RoomInfo, ErrorCode> {
        let id = self.add_room(name, max_users, true, now)?;
        Ok(self.rooms[id.index()].info())
    }

    /// A connection enters a room, which is created when there is none of that name. With `since` it is told what it
    /// missed, or the last messages when that is not possible.
    ///
    /// # Errors
    /// `already_in_room`, `room_full`, `too_many_rooms`, `room_not_found` (without auto-rooms), `bad_room_name`.
    pub fn join_room(
        &mut self,
        connection: ConnectionId,
        name: &str,
        since: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let user = self
            .people
            .user_of(connection)
            .ok_or(ErrorCode::Unauthorized)?;
        let id = match self.by_name.get(name) {
            Some(&id) => id,
            None if !is_valid_room_name(name) => return Err(ErrorCode::BadRoomName),
            None if !self.limits.auto_rooms => return Err(ErrorCode::RoomNotFound),
            None if self.in_too_many(connection) => return Err(ErrorCode::TooManyRooms),
            None => self.add_room(name, None, false, now)?,
        };
        if self.people.rooms(connection).contains(&id) {
            return Err(ErrorCode::AlreadyInRoom);
        }
        if self.in_too_many(connection) {
            return Err(ErrorCode::TooManyRooms);
        }
        let room = &mut self.rooms[id.index()];
        if room.is_full_for(user) {
            return Err(ErrorCode::RoomFull);
        }
        self.makeshift.remove(&(room.last_used, id));
        let is_first = room.add(user);
        self.people.add_room(connection, id);
        self.mark_used(id);
        if is_first {
            let event = |room: &Room| Event::UserJoined {
                room: room.name.clone(),
                username: self.people.name(user).clone(),
            };
            let event = event(&self.rooms[id.index()]);
            self.tell_presence(id, event, now, effects);
        }
        let room = &self.rooms[id.index()];
        let missed = since
            .and_then(Position::parse)
            .and_then(|since| room.history.after(since));
        let (history, recovered) = match missed {
            Some(messages) => (messages.cloned().map(Event::Chat).collect(), true),
            None => (room.recent(), false),
        };
        let event = Event::RoomJoined {
            room: room.name.clone(),
            history,
            online_users: room
                .users_except(Some(user))
                .map(|user| self.people.name(user).clone())
                .collect(),
            online_count: room.count(),
            position: room.history.position(),
            recovered,
        };
        effects.push_back(Effect::Tell(connection, event));
        effects.push_back(Effect::Subscribe(connection, id));
        Ok(())
    }

    /// A connection leaves a room.
    ///
    /// # Errors
    /// `not_in_room`.
    pub fn leave_room(
        &mut self,
        connection: ConnectionId,
        name: &str,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let room = self.joined(connection, name)?;
        self.remove_member(connection, room, now, effects);
        let name = self.rooms[room.index()].name.clone();
        effects.push_back(Effect::Tell(connection, Event::RoomLeft { room: name }));
        Ok(())
    }

    /// Tells everybody in a room, save one connection.
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

    /// A room as `GET /rooms/{name}` shows it, with the names of those who are in it (200 at most).
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

    /// How many rooms there are.
    pub fn count(&self) -> usize {
        self.rooms.len()
    }

    /// Every room, in the order of their slots.
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

    fn in_too_many(&self, connection: ConnectionId) -> bool {
        self.people.rooms(connection).len() >= self.limits.rooms_per_connection
    }

    fn add_room(
        &mut self,
        name: &str,
        max_users: Option<u32>,
        is_kept: bool,
        now: Now,
    ) -> Result<RoomId, ErrorCode> {
        if !is_valid_room_name(name) {
            return Err(ErrorCode::BadRoomName);
        }
        if max_users.is_some_and(|max| !(1..=ROOM_USERS_MAX).contains(&max)) {
            return Err(ErrorCode::BadRequest);
        }
        if self.by_name.contains_key(name) {
            return Err(ErrorCode::RoomExists);
        }
        if self.rooms.len() >= self.limits.rooms && !self.evict_a_room() {
            return Err(ErrorCode::TooManyRooms);
        }
        let name: Rc<str> = name.into();
        let max_users = max_users.unwrap_or(self.limits.room_users);
        let epoch = next_random(&mut self.seed);
        let mut room = Room::new(name.clone(), max_users, epoch, Timestamp::from(now));
        room.is_kept = is_kept;
        let id = RoomId(self.rooms.insert(room) as u32);
        self.by_name.insert(name, id);
        self.mark_used(id);
        Ok(id)
    }

    /// At the limit of rooms, the one that has been empty and unused for longest makes way, unless it was created on
    /// purpose.
    fn evict_a_room(&mut self) -> bool {
        let Some((_, id)) = self.makeshift.pop_first() else {
            return false;
        };
        let room = self.rooms.remove(id.index());
        self.history_bytes -= room.history.bytes();
        self.by_name.remove(&room.name);
        true
    }

    pub(super) fn mark_used(&mut self, id: RoomId) {
        self.uses += 1;
        let room = &mut self.rooms[id.index()];
        let before = std::mem::replace(&mut room.last_used, self.uses);
        if room.makes_way() {
            self.makeshift.remove(&(before, id));
            self.makeshift.insert((self.uses, id));
        }
    }

    fn remove_member(
        &mut self,
        connection: ConnectionId,
        id: RoomId,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(user) = self.people.user_of(connection) else {
            return;
        };
        if !self.people.remove_room(connection, id) {
            return;
        }
        effects.push_back(Effect::Unsubscribe(connection, id));
        let room = &mut self.rooms[id.index()];
        if room.remove(user) {
            let event = Event::UserLeft {
                room: room.name.clone(),
                username: self.people.name(user).clone(),
            };
            if room.makes_way() {
                self.makeshift.insert((room.last_used, id));
            }
            self.tell_presence(id, event, now, effects);
        }
    }
}

/// `SplitMix64`: enough for epochs, which have to differ and need not be secret.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::domain::event::Draft;

    /// The rooms that may make way, found by looking at all of them.
    fn empty_rooms(manager: &RoomManager) -> BTreeSet<(u64, RoomId)> {
        let empty = manager.rooms.iter().filter(|(_, room)| room.makes_way());
        empty
            .map(|(index, room)| (room.last_used, RoomId(index as u32)))
            .collect()
    }

    #[test]
    fn the_room_that_makes_way_is_known_without_looking_at_the_others() {
        let limits = RoomLimits {
            rooms: 6,
            rooms_per_connection: 3,
            room_users: 2,
            ..Config::default().rooms
        };
        let mut manager = RoomManager::new(limits, 1);
        let (mut effects, mut seed, mut evicted) = (Effects::new(), 7, 0);
        for connection in 0..4 {
            manager.enter(
                ConnectionId(connection),
                &connection.to_string(),
                None,
                &mut effects,
            );
        }
        for _ in 0..5_000 {
            let random = next_random(&mut seed);
            let connection = ConnectionId((random % 4) as u32);
            let name = format!("room{}", (random >> 8) % 9);
            let oldest = empty_rooms(&manager).first().copied();
            let (uses, is_known) = (manager.uses, manager.find(&name).is_ok());
            let was_full = manager.count() == manager.limits.rooms;
            effects.clear();
            // Refused when it is full, known, or nobody is in it: all of that happens.
            _ = match (random >> 16) % 64 {
                0..32 => manager.join_room(connection, &name, None, Now::default(), &mut effects),
                32..62 => manager.leave_room(connection, &name, Now::default(), &mut effects),
                62 => {
                    manager.exit(connection, Now::default(), &mut effects);
                    manager.enter(connection, "again", None, &mut effects);
                    Ok(())
                }
                _ if random >> 60 == 0 => {
                    manager.create_room(&name, None, Now::default()).map(|_| ())
                }
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
            assert_eq!(manager.makeshift, empty_rooms(&manager));
        }
        assert!(evicted > 100, "{evicted}");
    }

    #[test]
    fn epochs_are_those_of_split_mix_64() {
        let mut state = 0;
        assert_eq!(next_random(&mut state), 0xe220_a839_7b1d_cdaf);
        assert_eq!(next_random(&mut state), 0x6e78_9e6a_a1b9_65f4);
    }

    const A: ConnectionId = ConnectionId(0);

    /// Nobody but one connection, with these limits.
    fn manager(limits: impl FnOnce(&mut RoomLimits)) -> RoomManager {
        let mut config = Config::default().rooms;
        limits(&mut config);
        let mut manager = RoomManager::new(config, 1);
        manager.enter(A, "kim", None, &mut Effects::new());
        manager
    }

    fn join(manager: &mut RoomManager, room: &str) -> Result<(), ErrorCode> {
        manager.join_room(A, room, None, Now::default(), &mut Effects::new())
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
    fn the_empty_room_used_longest_ago_makes_way_with_its_history() {
        let mut manager = manager(|limits| limits.rooms = 2);
        for room in ["a", "b"] {
            assert_eq!(join(&mut manager, room), Ok(()));
            let draft = Draft {
                room: manager.joined(A, room).expect("is in it"),
                username: "kim".into(),
                content: room.repeat(9).into(),
                acknowledge: None,
            };
            manager.committed(draft, Now::default(), &mut Effects::new());
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
            ("b", 0, Some(ErrorCode::BadRequest)),
            ("b", ROOM_USERS_MAX + 1, Some(ErrorCode::BadRequest)),
            ("b", ROOM_USERS_MAX, None),
            ("c", 1, None),
            ("c", 1, Some(ErrorCode::RoomExists)),
        ] {
            let created = manager.create_room(name, Some(max_users), Now::default());
            assert_eq!(created.err(), expected, "{name} {max_users}");
        }
        let rooms = manager
            .list()
            .into_iter()
            .map(|room| (room.users, room.max_users));
        assert!(rooms.eq([(0, 100), (0, ROOM_USERS_MAX), (0, 1)]));
    }
}
