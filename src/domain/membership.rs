//! Entering and leaving the server and its rooms.

use std::rc::Rc;

use super::error::ErrorCode;
use super::event::{Effect, Effects, Event};
use super::ids::{ConnectionId, HolderId, Origin, RoomId, UserId};
use super::permissions::Permissions;
use super::position::Position;
use super::room::{Entered, Left, Room};
use super::rooms::{Joined, RoomManager};
use super::time::{Now, Timestamp};
use super::wishes::Join;

/// When the others in its rooms are told that a connection is gone, if it was its user's last one there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Its user, or the server on the ground of who the user is, has ended it: at once.
    AtOnce,
    /// It has closed, and its user may be back: after [`RoomManager::presence_grace`].
    Closed,
}

impl RoomManager {
    /// Opens the session of a connection, and welcomes its user. `expires_at` is when an account's token ends; `None`
    /// for a guest without a key.
    pub fn enter(
        &mut self,
        connection: ConnectionId,
        username: &str,
        expires_at: Option<Timestamp>,
        effects: &mut Effects,
    ) {
        let user = self
            .people
            .enter(connection, username, expires_at.is_some());
        self.welcome(connection, user, expires_at, effects);
    }

    /// The same for a guest with a key.
    pub fn enter_holder(
        &mut self,
        connection: ConnectionId,
        username: &str,
        holder: HolderId,
        effects: &mut Effects,
    ) {
        let user = self.people.enter_holder(connection, username, holder);
        self.welcome(connection, user, None, effects);
    }

    fn welcome(
        &self,
        connection: ConnectionId,
        user: UserId,
        expires_at: Option<Timestamp>,
        effects: &mut Effects,
    ) {
        effects.push_back(Effect::Answer(
            connection,
            Event::Welcome {
                username: self.people.name(user).clone(),
                expires_at,
                guest: self.is_marked(user),
                admin: self.permissions(connection).is_moderator,
            },
        ));
        effects.push_back(Effect::Entered(connection, user));
    }

    /// Sets what a connection may do, before it enters or later; for [`Permissions::usual`] that is not needed.
    pub fn set_permissions(&mut self, connection: ConnectionId, permissions: Rc<Permissions>) {
        match *permissions == Permissions::default() {
            true => self.permissions.remove(&connection),
            false => self.permissions.insert(connection, permissions),
        };
    }

    /// What a connection may do.
    pub fn permissions(&self, connection: ConnectionId) -> Rc<Permissions> {
        let own = self.permissions.get(&connection);
        own.map_or_else(Permissions::usual, Rc::clone)
    }

    /// A connection has closed: it leaves every room, and cancels a pending join.
    pub fn exit(&mut self, connection: ConnectionId, exit: Exit, now: Now, effects: &mut Effects) {
        self.stop_joining(connection);
        self.permissions.remove(&connection);
        while let Some(&room) = self.people.rooms(connection).last() {
            self.remove_member(connection, room, exit, now, effects);
        }
        if let Some(user) = self.people.exit(connection) {
            effects.push_back(Effect::Exited(connection, user));
        }
    }

    /// A connection joins a room, which is opened if there is none of this name. With `since`, a position, the answer
    /// has the messages after it, or the last messages if some are gone. A later refusal has the command's
    /// `message_id`.
    ///
    /// # Errors
    /// `forbidden`, `already_in_room`, `room_full`, `too_many_rooms`, `room_not_found` (without auto-rooms), `bad_room_name`.
    pub fn join_room(
        &mut self,
        origin: Origin,
        name: &str,
        (since, message_id): (Option<&str>, Option<&str>),
        now: Now,
        effects: &mut Effects,
    ) -> Result<Joined, ErrorCode> {
        if !self.permissions(origin.connection).may_enter(name) {
            return Err(ErrorCode::Forbidden);
        }
        let since = since.and_then(Position::parse);
        match self.id_of(name) {
            Some(id) if self.needs_seat(origin.connection, id)? => {
                let join = Join {
                    origin,
                    since,
                    message_id: message_id.map(Into::into),
                };
                self.ask_to_sit(id, join, now, effects);
                Ok(Joined::Later)
            }
            Some(id) => {
                self.enter_room(origin.connection, id, since, now, effects)?;
                Ok(Joined::Now)
            }
            None => {
                let message_id = message_id.map(Into::into);
                let join = Join {
                    origin,
                    since,
                    message_id,
                };
                self.open_to_join(join, name, now, effects)
            }
        }
    }

    /// Who a connection is that may enter a room.
    fn newcomer(&self, connection: ConnectionId, id: RoomId) -> Result<UserId, ErrorCode> {
        let user = self
            .people
            .user_of(connection)
            .ok_or(ErrorCode::Unauthorized)?;
        if self.rooms[id.index()].gone.is_some() {
            return Err(ErrorCode::RoomNotFound);
        }
        if self.people.rooms(connection).contains(&id) {
            return Err(ErrorCode::AlreadyInRoom);
        }
        match self.is_in_too_many(connection) {
            true => Err(ErrorCode::TooManyRooms),
            false => Ok(user),
        }
    }

    /// Whether a seat has to be asked for before a connection enters a room: it is shared, and the user is not in it here.
    pub(super) fn needs_seat(
        &self,
        connection: ConnectionId,
        id: RoomId,
    ) -> Result<bool, ErrorCode> {
        if !self.is_shared {
            return Ok(false);
        }
        let user = self.newcomer(connection, id)?;
        if !self.wishes.has_room_for(0) {
            return Err(ErrorCode::BackendUnavailable);
        }
        Ok(!self.rooms[id.index()].has(user))
    }

    /// Enters a room. If it is shared the user has a seat in it.
    pub(super) fn enter_room(
        &mut self,
        connection: ConnectionId,
        id: RoomId,
        since: Option<Position>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let user = self.newcomer(connection, id)?;
        if self
            .ban_from(connection, &self.rooms[id.index()].name, now)
            .is_some()
        {
            return Err(ErrorCode::Forbidden);
        }
        if !self.is_shared {
            let namesakes = self.people.leaving_namesakes(user);
            if self.rooms[id.index()].is_full_for(user, &namesakes) {
                return Err(ErrorCode::RoomFull);
            }
            for namesake in namesakes {
                self.let_namesake_leave(id, namesake, now, effects);
            }
            if let Some(since) = since {
                self.renew_if_behind(id, since, now, effects);
            }
        }
        self.unlist_evictable(id);
        self.graces.remove(id, user);
        let entered = self.rooms[id.index()].add(user);
        self.people.add_room(connection, id);
        self.mark_used(id, now);
        match entered {
            Entered::First => self.announce_entry(id, user, now, effects),
            Entered::Again => self.people.remove_leaving(user),
            Entered::Back => {
                self.people.remove_leaving(user);
                self.announce_entry(id, user, now, effects);
            }
            Entered::Another => {}
        }
        let event = self.room_joined(&self.rooms[id.index()], user, since);
        effects.push_back(Effect::Answer(connection, event));
        effects.push_back(Effect::Subscribe(connection, id));
        Ok(())
    }

    /// Others know users by name: another user with the name of one who enters, who is in grace or whose messages are under
    /// way, leaves first.
    pub(super) fn let_namesake_leave(
        &mut self,
        id: RoomId,
        namesake: UserId,
        now: Now,
        effects: &mut Effects,
    ) {
        if !self.rooms[id.index()].remove_absent(namesake) {
            return;
        }
        self.graces.remove(id, namesake);
        self.announce_exit(id, namesake, now, effects);
        if !self.rooms[id.index()].has_wishes_of(namesake) {
            self.people.remove_leaving(namesake);
        }
    }

    fn announce_entry(&mut self, id: RoomId, user: UserId, now: Now, effects: &mut Effects) {
        // In a shared room the engine tells who comes.
        if self.is_shared {
            return;
        }
        let event = Event::UserJoined {
            room: self.rooms[id.index()].name.clone(),
            username: self.people.name(user).clone(),
            guest: self.is_marked(user),
        };
        self.announce_presence(id, event, now, effects);
    }

    /// The answer to a join.
    pub(super) fn room_joined(&self, room: &Room, user: UserId, since: Option<Position>) -> Event {
        let missed = since.and_then(|since| room.missed(since));
        let (history, recovered) = match missed {
            Some(missed) => (missed, true),
            None => (room.recent(), false),
        };
        Event::RoomJoined {
            room: room.name.clone(),
            history,
            online_users: self.names_except(room, Some(user)),
            guests: self.guests_except(room, Some(user)),
            online_count: room.count(),
            position: room.history.position(),
            recovered,
        }
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
        self.remove_member(connection, room, Exit::AtOnce, now, effects);
        let name = self.rooms[room.index()].name.clone();
        let left = Event::RoomLeft {
            room: name,
            reason: None,
            until: None,
        };
        effects.push_back(Effect::Answer(connection, left));
        Ok(())
    }

    /// A connection that is in a room has to leave it.
    pub(super) fn leave_at_once(
        &mut self,
        connection: ConnectionId,
        id: RoomId,
        now: Now,
        effects: &mut Effects,
    ) {
        self.remove_member(connection, id, Exit::AtOnce, now, effects);
    }

    fn remove_member(
        &mut self,
        connection: ConnectionId,
        id: RoomId,
        exit: Exit,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(user) = self.people.user_of(connection) else {
            return;
        };
        if !self.people.remove_room(connection, id) {
            return;
        }
        let name = self.people.name(user).clone();
        let room = self.rooms[id.index()].name.clone();
        effects.push_back(Effect::Unsubscribe(connection, id));
        effects.push_back(Effect::Left(connection, name, room));
        let has_grace = exit == Exit::Closed && self.has_graces();
        match self.rooms[id.index()].remove(user, has_grace) {
            Left::Last => self.announce_exit(id, user, now, effects),
            Left::Leaving => {
                self.people.add_leaving(user);
                if has_grace {
                    self.begin_grace(id, user, now, effects);
                }
            }
            Left::Another => {}
        }
    }

    /// Announces that a user has left a room.
    pub(super) fn announce_exit(
        &mut self,
        id: RoomId,
        user: UserId,
        now: Now,
        effects: &mut Effects,
    ) {
        let room = &self.rooms[id.index()];
        if self.is_shared {
            let (room, name) = (room.name.clone(), self.people.name(user).clone());
            effects.push_back(Effect::GiveUpSeat(room, name));
            return self.list_evictable(id);
        }
        let event = Event::UserLeft {
            room: room.name.clone(),
            username: self.people.name(user).clone(),
            guest: self.is_marked(user),
        };
        self.list_evictable(id);
        self.announce_presence(id, event, now, effects);
    }
}
