//! Rooms that are shared with other nodes: seats are asked for, who is there is told by the engine, and a room that has lost its
//! past is loaded anew.

use std::rc::Rc;
use std::time::Duration;

use super::crowd::Crowd;
use super::error::ErrorCode;
use super::event::{Effect, Effects, Event};
use super::facts::OpenedRoom;
use super::history::History;
use super::ids::{RoomId, RoomKey, Serial, UserId};
use super::message_keys::Person;
use super::rooms::RoomManager;
use super::time::Now;
use super::wishes::{Join, Wish};
use crate::config::ROOM_FOLLOWED_FOR;

impl RoomManager {
    /// Shares all rooms with other nodes from now on.
    pub fn share(&mut self) {
        self.is_shared = true;
    }

    /// Whether rooms are shared with other nodes.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Asks for a seat for a join, or adds the join to those that wait for the seat of the same user.
    pub(super) fn ask_to_sit(&mut self, id: RoomId, join: Join, now: Now, effects: &mut Effects) {
        let connection = join.origin.connection;
        let Some(user) = self.people.user_of(connection) else {
            return;
        };
        let person = self.people.person(user);
        let key = (id, person.name.clone());
        let pending = self.seating.get(&key).copied();
        let pending = pending.filter(|serial| {
            let wish = self.wishes.get_mut(*serial);
            matches!(wish, Some(Wish::Seat { person: of, is_renewal: false, .. }) if *of == person)
        });
        if let Some(serial) = pending {
            if let Some(Wish::Seat { joins, .. }) = self.wishes.get_mut(serial) {
                joins.push(join);
            }
            self.joining.insert(connection, serial);
            return;
        }
        for namesake in self.people.leaving_namesakes(user) {
            self.let_namesake_leave(id, namesake, now, effects);
        }
        let serial = self.wish_for_seat(id, person, vec![join], false, effects);
        self.joining.insert(connection, serial);
    }

    fn wish_for_seat(
        &mut self,
        id: RoomId,
        person: Person,
        joins: Vec<Join>,
        is_renewal: bool,
        effects: &mut Effects,
    ) -> Serial {
        let (room, name, is_guest) = (self.key(id), person.name.clone(), !person.is_account);
        let serial = self.wishes.add(Wish::Seat {
            room,
            person,
            joins,
            is_renewal,
        });
        self.seating.insert((id, name.clone()), serial);
        self.unlist_evictable(id);
        self.rooms[id.index()].awaited += 1;
        effects.push_back(Effect::Seat {
            serial,
            room: self.rooms[id.index()].name.clone(),
            name,
            is_guest,
        });
        serial
    }

    /// Takes back a wish for a seat: its room, who it is for, and the joins that wait for it.
    fn take_seat(&mut self, serial: Serial) -> Option<(RoomId, Person, Vec<Join>, bool)> {
        self.wishes.get_mut(serial)?;
        let Some(Wish::Seat {
            room: RoomKey { id, .. },
            person,
            joins,
            is_renewal,
        }) = self.wishes.take(serial)
        else {
            return None;
        };
        let key = (id, person.name.clone());
        if self.seating.get(&key) == Some(&serial) {
            self.seating.remove(&key);
        }
        self.rooms[id.index()].awaited -= 1;
        self.list_evictable(id);
        for join in &joins {
            self.joining.remove(&join.origin.connection);
        }
        Some((id, person, joins, is_renewal))
    }

    /// A seat was given. `is_first` if the user was nowhere in the room before; there are `users` now.
    pub fn seated(
        &mut self,
        serial: Serial,
        is_first: bool,
        users: usize,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some((id, person, joins, _)) = self.take_seat(serial) else {
            return;
        };
        if is_first {
            self.has_joined(id, &person.name, !person.is_account, users, now, effects);
        }
        for join in joins {
            let connection = join.origin.connection;
            if let Err(code) = self.enter_room(connection, id, join.since, now, effects) {
                effects.push_back(Effect::refusal(join.origin, code, join.message_id));
            }
            effects.push_back(Effect::Resume(connection));
        }
        self.release_unused(id, &person.name, effects);
    }

    /// A seat was refused, or nobody knows whether it was given.
    pub(super) fn not_seated(
        &mut self,
        serial: Serial,
        code: ErrorCode,
        now: Now,
        effects: &mut Effects,
    ) {
        if let Some((id, name)) = self.refuse_seat(serial, code, now, effects)
            && code != ErrorCode::RoomFull
        {
            self.release_unused(id, &name, effects);
        }
    }

    /// A seat was not asked for, because there is no engine.
    pub fn unseated(&mut self, serial: Serial, now: Now, effects: &mut Effects) {
        self.refuse_seat(serial, ErrorCode::BackendUnavailable, now, effects);
    }

    /// Tells everybody who waits for a seat that they have none. Returns the room and the name, if they had none before.
    fn refuse_seat(
        &mut self,
        serial: Serial,
        code: ErrorCode,
        now: Now,
        effects: &mut Effects,
    ) -> Option<(RoomId, Rc<str>)> {
        let (id, person, joins, is_renewal) = self.take_seat(serial)?;
        for join in joins {
            effects.push_back(Effect::refusal(join.origin, code, join.message_id));
            effects.push_back(Effect::Resume(join.origin.connection));
        }
        if !is_renewal {
            return Some((id, person.name));
        }
        match code {
            // While this node was away others took the place.
            ErrorCode::RoomFull => self.put_out(id, &person.name, code, now, effects),
            _ => _ = self.unseated.insert(id),
        }
        None
    }

    /// Gives up a seat that nobody sits on: who has asked for it is gone.
    pub fn release_unused(&mut self, id: RoomId, name: &Rc<str>, effects: &mut Effects) {
        let room = &self.rooms[id.index()];
        let is_used = room.own_users().any(|user| self.people.name(user) == name);
        if !is_used && !self.seating.contains_key(&(id, name.clone())) {
            effects.push_back(Effect::GiveUpSeat(room.name.clone(), name.clone()));
        }
    }

    /// Has the connections of a user leave a room in which there is no place for them any more.
    fn put_out(
        &mut self,
        id: RoomId,
        name: &Rc<str>,
        code: ErrorCode,
        now: Now,
        effects: &mut Effects,
    ) {
        let room = self.rooms[id.index()].name.clone();
        let users: Vec<UserId> = self.rooms[id.index()].own_users().collect();
        for user in users {
            if self.people.name(user) != name {
                continue;
            }
            for connection in self.people.connections(user).to_vec() {
                if self.people.rooms(connection).contains(&id) {
                    let left = self.leave_room(connection, &room, now, effects);
                    debug_assert_eq!(left, Ok(()));
                    effects.push_back(Effect::Answer(connection, Event::error(code, None)));
                }
            }
        }
    }

    /// Asks again for the seats of everybody who is in a room here.
    pub fn renew_seats(&mut self, id: RoomId, effects: &mut Effects) {
        let users: Vec<UserId> = self.rooms[id.index()].own_users().collect();
        for user in users {
            let person = self.people.person(user);
            if !self.seating.contains_key(&(id, person.name.clone())) {
                self.wish_for_seat(id, person, Vec::new(), true, effects);
            }
        }
    }

    /// Gives up the seats that the engine knows of and nobody sits on: it has lost that they were given up.
    pub fn release_strange(&mut self, id: RoomId, seats: &[Rc<str>], effects: &mut Effects) {
        for name in seats {
            self.release_unused(id, name, effects);
        }
    }

    /// Asks again for the seats that the engine has refused to renew.
    pub fn renew_unseated(&mut self, effects: &mut Effects) {
        for id in std::mem::take(&mut self.unseated) {
            if self.rooms.contains(id.index()) {
                self.renew_seats(id, effects);
            }
        }
    }

    /// Asks again for all seats in these rooms.
    pub fn renew_seats_in(&mut self, is_meant: impl Fn(RoomId) -> bool, effects: &mut Effects) {
        let rooms = self.rooms.iter().map(|(slot, _)| RoomId(slot as u32));
        for id in rooms.filter(|id| is_meant(*id)).collect::<Vec<_>>() {
            self.renew_seats(id, effects);
        }
    }

    /// The room of this name that is open here.
    pub fn open_room(&self, name: &str) -> Option<RoomId> {
        self.by_name.get(name).copied()
    }

    /// A user has come to a room, at any node.
    pub fn has_joined(
        &mut self,
        id: RoomId,
        name: &Rc<str>,
        is_guest: bool,
        users: usize,
        now: Now,
        effects: &mut Effects,
    ) {
        let room = &mut self.rooms[id.index()];
        let Some(crowd) = &mut room.crowd else {
            return;
        };
        let is_news = crowd.joined(name, is_guest, users);
        if crowd.is_incomplete() {
            effects.push_back(Effect::AskForCrowd(room.name.clone()));
        }
        if is_news {
            let event = Event::UserJoined {
                room: room.name.clone(),
                username: name.clone(),
                guest: is_guest && self.marks_guests,
            };
            self.announce_presence(id, event, now, effects);
        }
    }

    /// A user has left a room, at any node.
    pub fn has_left(
        &mut self,
        id: RoomId,
        name: &Rc<str>,
        users: usize,
        now: Now,
        effects: &mut Effects,
    ) {
        let room = &mut self.rooms[id.index()];
        let Some(crowd) = &mut room.crowd else {
            return;
        };
        let was_many = crowd.count() > crowd.names().count();
        let known = crowd.left(name, users);
        let is_incomplete = crowd.is_incomplete();
        if known.is_some() || was_many {
            let event = Event::UserLeft {
                room: room.name.clone(),
                username: name.clone(),
                guest: known == Some(true) && self.marks_guests,
            };
            self.announce_presence(id, event, now, effects);
        }
        if is_incomplete {
            effects.push_back(Effect::AskForCrowd(self.rooms[id.index()].name.clone()));
        }
    }

    /// The number of users of a room has changed, by many at once.
    pub fn has_counted(&mut self, id: RoomId, users: usize, now: Now, effects: &mut Effects) {
        let room = &mut self.rooms[id.index()];
        let Some(crowd) = &mut room.crowd else {
            return;
        };
        crowd.counted(users);
        if crowd.is_incomplete() {
            effects.push_back(Effect::AskForCrowd(room.name.clone()));
        }
        self.announce_count(id, now, effects);
    }

    /// Takes who is in a room, of which nothing, or too little, was known. Who was known to be there or not is told to have left or
    /// come.
    pub fn take_crowd(&mut self, id: RoomId, crowd: Crowd, now: Now, effects: &mut Effects) {
        let before = self.rooms[id.index()].crowd.replace(crowd.clone());
        let before = before.unwrap_or_default();
        if crowd.count() > crowd.names().count() {
            return self.announce_count(id, now, effects);
        }
        let is_in = |crowd: &Crowd, name: &Rc<str>| crowd.names().any(|(other, _)| other == name);
        let room = self.rooms[id.index()].name.clone();
        let marks = self.marks_guests;
        let gone = before.names().filter(|(name, _)| !is_in(&crowd, name));
        let gone = gone.map(|(name, is_guest)| Event::UserLeft {
            room: room.clone(),
            username: name.clone(),
            guest: is_guest && marks,
        });
        let come = crowd.names().filter(|(name, _)| !is_in(&before, name));
        let come = come.map(|(name, is_guest)| Event::UserJoined {
            room: room.clone(),
            username: name.clone(),
            guest: is_guest && marks,
        });
        for event in gone.chain(come).collect::<Vec<_>>() {
            self.announce_presence(id, event, now, effects);
        }
    }

    /// A room has lost its past, or too much of it was missed here: takes what there is, and tells every member.
    pub fn reloaded(
        &mut self,
        id: RoomId,
        mut opened: OpenedRoom,
        crowd: Crowd,
        now: Now,
        effects: &mut Effects,
    ) {
        self.unmark(&mut opened);
        self.unlist_evictable(id);
        let room = &mut self.rooms[id.index()];
        self.history_bytes -= room.history.bytes();
        room.history = History::with(opened.epoch, opened.newest, opened.messages);
        self.history_bytes += room.history.bytes();
        room.crowd = Some(crowd);
        self.list_evictable(id);
        let settings = (opened.max_users, opened.is_kept);
        self.changed(id, settings, opened.rules, now, effects);
        self.mark_used(id, now);
        self.trim_histories();
        let users: Vec<UserId> = self.rooms[id.index()].own_users().collect();
        for user in users {
            for connection in self.people.connections(user) {
                if self.people.rooms(*connection).contains(&id) {
                    let event = self.room_joined(&self.rooms[id.index()], user, None);
                    effects.push_back(Effect::Answer(*connection, event));
                }
            }
        }
    }

    /// A room that had to make way for another at another node. Returns whether it is of no use here either, and so is gone.
    pub fn forget(&mut self, id: RoomId) -> bool {
        let place = self.rooms[id.index()].place(id);
        if let Some(place) = place {
            self.evict(place);
        }
        place.is_some()
    }

    /// Closes rooms in which nobody has been here for [`ROOM_FOLLOWED_FOR`]: they stay with the engine.
    pub fn close_unused(&mut self, now: Now) {
        let is_over = |id: RoomId| {
            let used = self.rooms[id.index()].last_used_at;
            used + ROOM_FOLLOWED_FOR <= now.monotonic
        };
        let unused: Vec<_> = self
            .evictable
            .iter()
            .filter(|place| is_over(place.id))
            .copied()
            .collect();
        unused.into_iter().for_each(|place| self.evict(place));
    }

    /// Takes the names of rooms that were closed.
    pub fn take_closed(&mut self) -> Vec<Rc<str>> {
        std::mem::take(&mut self.closed)
    }

    /// Whether rooms may have to be closed at [`ROOM_FOLLOWED_FOR`].
    pub fn has_unused(&self) -> bool {
        self.is_shared && !self.evictable.is_empty()
    }

    /// Asks for a room to be opened, if there is one, for a request that reads it. The outcome is [`Effect::ToRead`].
    ///
    /// # Errors
    /// `bad_room_name`, `too_many_rooms`, `storage_unavailable`.
    pub fn open_to_read(
        &mut self,
        serial: Serial,
        name: &str,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let name = &*super::names::nfc(name);
        if !super::names::is_valid_room_name(name) {
            return Err(ErrorCode::RoomNotFound);
        }
        let under_way = self.opening.get(name).copied();
        let under_way = match under_way {
            Some(serial) => serial,
            None => self.open_existing(name, Vec::new(), now, effects)?,
        };
        if let Some(Wish::Open { readers, .. }) = self.wishes.get_mut(under_way) {
            readers.push(serial);
        }
        Ok(())
    }

    /// The time at which rooms may have to be closed next.
    pub fn next_closing(&self, now: Duration) -> Option<Duration> {
        self.has_unused().then(|| now + ROOM_FOLLOWED_FOR / 4)
    }
}
