//! How rooms begin and end: opened by the backend for a join or by `POST /rooms`, and evicted at the limit of rooms.

use std::rc::Rc;

use super::error::ErrorCode;
use super::event::{Effect, Effects};
use super::facts::OpenedRoom;
use super::ids::{ConnectionId, RoomId, Serial};
use super::names::is_valid_room_name;
use super::room::Room;
use super::rooms::{Joined, RoomManager};
use super::time::Now;
use super::wishes::{Join, Opening, Wish};
use crate::config::ROOM_USERS_MAX;

impl RoomManager {
    /// Creates a room for `POST /rooms`: it is never evicted. [`Effect::Created`] answers under the caller's serial.
    ///
    /// # Errors
    /// `bad_room_name`, `bad_request` (a limit that is not 1 to 1,000,000), `room_exists`, `too_many_rooms`,
    /// `storage_unavailable` (too many wishes are under way).
    pub fn create_room(
        &mut self,
        creator: Serial,
        name: &str,
        max_users: Option<u32>,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        if !is_valid_room_name(name) {
            return Err(ErrorCode::BadRoomName);
        }
        if max_users.is_some_and(|max| !(1..=ROOM_USERS_MAX).contains(&max)) {
            return Err(ErrorCode::BadRequest);
        }
        if self.by_name.contains_key(name) || self.opening.contains_key(name) {
            return Err(ErrorCode::RoomExists);
        }
        self.open(name, max_users, Some(creator), Vec::new(), effects)?;
        Ok(())
    }

    /// Opens the room of a join, or adds the join to an opening under way.
    pub(super) fn open_to_join(
        &mut self,
        join: Join,
        name: &str,
        effects: &mut Effects,
    ) -> Result<Joined, ErrorCode> {
        let connection = join.origin.connection;
        self.people
            .user_of(connection)
            .ok_or(ErrorCode::Unauthorized)?;
        if !is_valid_room_name(name) {
            return Err(ErrorCode::BadRoomName);
        }
        if !self.limits.auto_rooms {
            return Err(ErrorCode::RoomNotFound);
        }
        if self.is_in_too_many(connection) {
            return Err(ErrorCode::TooManyRooms);
        }
        let serial = match self.opening.get(name) {
            Some(&serial) => {
                if let Some(Wish::Open { joins, .. }) = self.wishes.get_mut(serial) {
                    joins.push(join);
                }
                serial
            }
            None => self.open(name, None, None, vec![join], effects)?,
        };
        self.joining.insert(connection, serial);
        Ok(Joined::Later)
    }

    fn open(
        &mut self,
        name: &str,
        max_users: Option<u32>,
        creator: Option<Serial>,
        joins: Vec<Join>,
        effects: &mut Effects,
    ) -> Result<Serial, ErrorCode> {
        if self.rooms.len() >= self.limits.rooms && self.evictable.is_empty() {
            return Err(ErrorCode::TooManyRooms);
        }
        if !self.wishes.has_room_for(0) {
            return Err(ErrorCode::StorageUnavailable);
        }
        let name: Rc<str> = name.into();
        let serial = self.wishes.add(Wish::Open {
            name: name.clone(),
            creator,
            joins,
        });
        self.opening.insert(name.clone(), serial);
        effects.push_back(Effect::Open(Opening {
            serial,
            name,
            max_users: max_users.unwrap_or(self.limits.room_users),
            is_kept: creator.is_some(),
        }));
        Ok(serial)
    }

    /// The backend has opened a room, or refused: the waiting joins and the creator get their answers.
    pub(super) fn opened(
        &mut self,
        serial: Serial,
        opened: Result<OpenedRoom, ErrorCode>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(Wish::Open {
            name,
            creator,
            joins,
        }) = self.wishes.take(serial)
        else {
            return;
        };
        self.opening.remove(&name);
        let added = opened.and_then(|opened| self.add_room(name, opened));
        if let Some(creator) = creator {
            let info = added.map(|id| self.rooms[id.index()].info());
            effects.push_back(Effect::Created(creator, info));
        }
        for join in joins {
            let connection = join.origin.connection;
            self.joining.remove(&connection);
            let entered =
                added.and_then(|id| self.enter_room(connection, id, join.since, now, effects));
            if let Err(code) = entered {
                effects.push_back(Effect::refusal(join.origin, code, join.message_id));
            }
            effects.push_back(Effect::Resume(connection));
        }
    }

    /// Cancels the pending join of a connection, and returns it.
    pub(super) fn stop_joining(&mut self, connection: ConnectionId) -> Option<Join> {
        let serial = self.joining.remove(&connection)?;
        let Some(Wish::Open { joins, .. }) = self.wishes.get_mut(serial) else {
            return None;
        };
        let place = joins
            .iter()
            .position(|join| join.origin.connection == connection)?;
        Some(joins.remove(place))
    }

    /// A join has timed out: it is refused; the opening goes on for the others.
    pub fn give_up_joining(&mut self, connection: ConnectionId, effects: &mut Effects) {
        if let Some(join) = self.stop_joining(connection) {
            let code = ErrorCode::BackendUnavailable;
            effects.push_back(Effect::refusal(join.origin, code, join.message_id));
            effects.push_back(Effect::Resume(connection));
        }
    }

    fn add_room(&mut self, name: Rc<str>, mut opened: OpenedRoom) -> Result<RoomId, ErrorCode> {
        if self.rooms.len() >= self.limits.rooms && !self.evict_a_room() {
            return Err(ErrorCode::TooManyRooms);
        }
        // They may have been stored by a server with accounts.
        if !self.marks_guests {
            let of_guests = opened.messages.iter_mut().filter(|one| one.guest);
            of_guests.for_each(|message| Rc::make_mut(message).guest = false);
        }
        let room = Room::new(name.clone(), opened);
        self.history_bytes += room.history.bytes();
        let id = RoomId(self.rooms.insert(room) as u32);
        self.by_name.insert(name, id);
        self.mark_used(id);
        self.trim_histories();
        Ok(id)
    }

    /// At the limit of rooms, evicts the least recently used empty room that was not created by `POST /rooms`.
    fn evict_a_room(&mut self) -> bool {
        let Some((_, id)) = self.evictable.pop_first() else {
            return false;
        };
        let room = self.rooms.remove(id.index());
        debug_assert!(room.authors().is_empty(), "a room with wishes stays");
        self.history_bytes -= room.history.bytes();
        self.by_name.remove(&room.name);
        true
    }
}
