//! How rooms begin: opened by the backend for a join or for `POST /rooms`.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::crowd::Crowd;
use super::error::ErrorCode;
use super::event::{Effect, Effects, Maker};
use super::facts::OpenedRoom;
use super::ids::{ConnectionId, RoomId, Serial};
use super::names::{is_valid_room_name, nfc};
use super::owners::Creator;
use super::place::Place;
use super::room::Room;
use super::rooms::{Joined, NotCreated, RoomManager};
use super::time::Now;
use super::wishes::{Creation, Join, Opening, Wish};
use crate::config::{ROOM_CREATION_REFILL, ROOM_CREATIONS, ROOM_USERS_MAX};

impl RoomManager {
    /// Creates a room for `POST /rooms`, which is kept while it is empty. [`Effect::Created`] answers under the caller's
    /// serial. Only what is begun uses the creator's allowance.
    ///
    /// # Errors
    /// `bad_room_name`, `bad_request` (a limit that is not 1 to 1,000,000), `room_exists`, `too_many_rooms` (in all, or
    /// of this creator), `storage_unavailable` (too many wishes are under way); or the time to wait.
    pub fn create_room(
        &mut self,
        serial: Serial,
        creator: Creator,
        name: &str,
        max_users: Option<u32>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), NotCreated> {
        let name = &*nfc(name);
        if !is_valid_room_name(name) {
            return Err(ErrorCode::BadRoomName.into());
        }
        if max_users.is_some_and(|max| !(1..=ROOM_USERS_MAX).contains(&max)) {
            return Err(ErrorCode::BadRequest.into());
        }
        if self.by_name.contains_key(name) {
            return Err(ErrorCode::RoomExists.into());
        }
        if self.opening.contains_key(name) {
            // Elsewhere it may turn out that there is none.
            let code = match self.is_shared {
                true => ErrorCode::BackendUnavailable,
                false => ErrorCode::RoomExists,
            };
            return Err(code.into());
        }
        let going = self.make_way(Some(&creator), now)?;
        self.creations
            .take(
                creator.payer(),
                ROOM_CREATIONS,
                ROOM_CREATION_REFILL,
                now.monotonic,
            )
            .map_err(NotCreated::Throttled)?;
        going.into_iter().for_each(|place| self.evict(place));
        self.kept.add(Some(&creator));
        let creation = (serial, Rc::new(creator));
        self.open(name, max_users, Some(creation), Vec::new(), false, effects);
        Ok(())
    }

    /// Opens the room of a join, or adds the join to an opening under way.
    pub(super) fn open_to_join(
        &mut self,
        join: Join,
        name: &str,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Joined, ErrorCode> {
        let connection = join.origin.connection;
        self.people
            .user_of(connection)
            .ok_or(ErrorCode::Unauthorized)?;
        let name = &*nfc(name);
        if !is_valid_room_name(name) {
            return Err(ErrorCode::BadRoomName);
        }
        // Another node may have it.
        let only_existing = self.is_shared && !self.limits.auto_rooms;
        if !self.limits.auto_rooms && !self.is_shared {
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
            None => {
                let going = self.make_way(None, now)?;
                going.into_iter().for_each(|place| self.evict(place));
                self.open(name, None, None, vec![join], only_existing, effects)
            }
        };
        self.joining.insert(connection, serial);
        Ok(Joined::Later)
    }

    /// Opens the room where people come in, if there is one and it is not there. Returns whether there is no more to do.
    pub fn open_lobby(&mut self, now: Now, effects: &mut Effects) -> bool {
        let Some(name) = self.limits.lobby().map(str::to_owned) else {
            return true;
        };
        if let Some(id) = self.id_of(&name) {
            self.unlist_evictable(id);
            self.rooms[id.index()].stays = true;
            return true;
        }
        if !self.opening.contains_key(&*name)
            && let Ok(going) = self.make_way(None, now)
        {
            going.into_iter().for_each(|place| self.evict(place));
            self.open(&name, None, None, Vec::new(), false, effects);
        }
        false
    }

    /// What has to be evicted before a room is opened. A room that is being opened has its place already, so that the
    /// limits hold whenever the answers come.
    fn make_way(&self, creator: Option<&Creator>, now: Now) -> Result<BTreeSet<Place>, ErrorCode> {
        let going = self.in_the_way(creator, now);
        let going = going.ok_or(ErrorCode::TooManyRooms)?;
        match self.wishes.has_room_for(0) {
            true => Ok(going),
            false => Err(ErrorCode::StorageUnavailable),
        }
    }

    /// Opens a room only if there is one, for requests that read it.
    pub(super) fn open_existing(
        &mut self,
        name: &str,
        joins: Vec<Join>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Serial, ErrorCode> {
        let going = self.make_way(None, now)?;
        going.into_iter().for_each(|place| self.evict(place));
        Ok(self.open(name, None, None, joins, true, effects))
    }

    fn open(
        &mut self,
        name: &str,
        max_users: Option<u32>,
        creation: Option<Creation>,
        joins: Vec<Join>,
        only_existing: bool,
        effects: &mut Effects,
    ) -> Serial {
        let name: Rc<str> = name.into();
        let creator = creation.as_ref().map(|(_, creator)| creator.clone());
        let is_lobby = self.limits.lobby() == Some(&*name);
        let serial = self.wishes.add(Wish::Open {
            name: name.clone(),
            creation,
            joins,
            readers: Vec::new(),
            only_existing,
        });
        self.opening.insert(name.clone(), serial);
        let opening = Opening {
            serial,
            name,
            max_users: max_users.unwrap_or(self.limits.room_users),
            is_kept: creator.is_some() || is_lobby,
            creator,
            only_existing,
        };
        match self.going.get_mut(&opening.name) {
            Some(waiting) => *waiting = Some(opening),
            None => effects.push_back(Effect::Open(opening)),
        }
        serial
    }

    /// The backend has opened a room, or refused: the waiting joins and the creator get their answers.
    pub(super) fn opened(
        &mut self,
        serial: Serial,
        opened: Result<(OpenedRoom, Option<Crowd>), ErrorCode>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(Wish::Open {
            name,
            creation,
            joins,
            readers,
            only_existing,
        }) = self.wishes.take(serial)
        else {
            return;
        };
        self.opening.remove(&name);
        let creator = creation.as_ref().map(|(_, creator)| creator.clone());
        if creator.is_some() {
            self.kept.remove(creator.as_deref());
        }
        for serial in readers {
            let opened = opened.as_ref().map(|_| ()).map_err(|code| *code);
            effects.push_back(Effect::ToRead(serial, opened));
        }
        // It was to be read, and meanwhile somebody wants to join it.
        let is_to_be_made = only_existing && self.limits.auto_rooms && !joins.is_empty();
        if is_to_be_made && opened.as_ref().err() == Some(&ErrorCode::RoomNotFound) {
            let waiting: Vec<ConnectionId> =
                joins.iter().map(|join| join.origin.connection).collect();
            let serial = self.open(&name, None, None, joins, false, effects);
            self.joining
                .extend(waiting.into_iter().map(|id| (id, serial)));
            return;
        }
        if opened.as_ref().is_ok_and(|(opened, _)| opened.is_made) {
            let by = self.maker(creator.as_deref(), &joins);
            effects.push_back(Effect::Made(name.clone(), by));
        }
        let added = opened.map(|(opened, crowd)| {
            let id = self.add_room(name, creator, opened, now);
            self.rooms[id.index()].crowd = crowd;
            self.drop_aged(id, now, effects);
            id
        });
        if let Some((serial, _)) = creation {
            let info = added.map(|id| self.rooms[id.index()].info());
            effects.push_back(Effect::Created(serial, info));
        }
        for join in joins {
            let connection = join.origin.connection;
            self.joining.remove(&connection);
            if let Ok(id) = added
                && self.is_shared
            {
                self.sit_or_refuse(id, join, now, effects);
                continue;
            }
            let entered =
                added.and_then(|id| self.enter_room(connection, id, join.since, now, effects));
            if let Err(code) = entered {
                effects.push_back(Effect::refusal(join.origin, code, join.message_id));
            }
            effects.push_back(Effect::Resume(connection));
        }
    }

    /// Whoever has made a room.
    fn maker(&self, creator: Option<&Creator>, joins: &[Join]) -> Maker {
        if let Some(creator) = creator {
            return Maker::Request(creator.user().map(Rc::from), creator.address());
        }
        let connection = joins.first().map(|join| join.origin.connection);
        let user = connection.and_then(|id| Some((id, self.people.user_of(id)?)));
        user.map_or(Maker::Server, |(id, user)| {
            Maker::Connection(id, self.people.name(user).clone())
        })
    }

    /// A shared room is open: a join asks for a seat in it.
    fn sit_or_refuse(&mut self, id: RoomId, join: Join, now: Now, effects: &mut Effects) {
        let connection = join.origin.connection;
        let entered = match self.needs_seat(connection, id) {
            Ok(true) => return self.ask_to_sit(id, join, now, effects),
            Ok(false) => self.enter_room(connection, id, join.since, now, effects),
            Err(code) => Err(code),
        };
        if let Err(code) = entered {
            effects.push_back(Effect::refusal(join.origin, code, join.message_id));
        }
        effects.push_back(Effect::Resume(connection));
    }

    /// Cancels the pending join of a connection, and returns it.
    pub(super) fn stop_joining(&mut self, connection: ConnectionId) -> Option<Join> {
        let serial = self.joining.remove(&connection)?;
        let Some(Wish::Open { joins, .. } | Wish::Seat { joins, .. }) = self.wishes.get_mut(serial)
        else {
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

    /// Removes the marks of guests' messages where nobody is marked: they may have been stored by a server with accounts.
    pub(super) fn unmark(&self, opened: &mut OpenedRoom) {
        if !self.marks_guests {
            let of_guests = opened.messages.iter_mut().filter(|one| one.guest);
            of_guests.for_each(|message| Rc::make_mut(message).guest = false);
        }
    }

    pub(super) fn add_room(
        &mut self,
        name: Rc<str>,
        creator: Option<Rc<Creator>>,
        mut opened: OpenedRoom,
        now: Now,
    ) -> RoomId {
        self.unmark(&mut opened);
        let mut room = Room::new(name.clone(), opened);
        room.stays = self.limits.lobby() == Some(&*name);
        // The backend may know the room already, and not as a kept one.
        if room.is_kept {
            self.kept.add(creator.as_deref());
            room.creator = creator;
        }
        self.history_bytes += room.history.bytes();
        let id = RoomId(self.rooms.insert(room) as u32);
        self.in_order.insert(name.clone());
        self.by_name.insert(name, id);
        self.mark_used(id, now);
        self.trim_histories();
        id
    }
}
