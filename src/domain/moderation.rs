//! What moderators do to rooms and people: messages are deleted, rules changed, rooms removed, people put out.
//!
//! What a store is to change is noted in order with everything else that changes ([`RoomManager::take_changes`]): a message
//! that is deleted may be dropped, and a room that is changed evicted, before the store has heard of it. The server answers
//! when all that was noted is kept.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::rc::Rc;

use super::ban::Ban;
use super::error::ErrorCode;
use super::event::{Effect, Effects, Event, Page, RoomRules, UserInfo, UserList};
use super::ids::{ConnectionId, RoomId, Serial, UserId};
use super::names::{key, nfc};
use super::position::Position;
use super::room::Left;
use super::rooms::RoomManager;
use super::rules::{NewRules, Rules};
use super::time::{Now, Timestamp};

/// What is told to somebody who is put out without a reason.
const KICKED: &str = "kicked";

/// Why somebody leaves a room that they have not asked to leave.
#[derive(Clone, Debug)]
pub struct PutOut {
    /// What they are told.
    pub reason: Rc<str>,
    /// For a ban, when it ends.
    pub until: Option<Option<Timestamp>>,
}

impl PutOut {
    /// Without a ban, and with a reason if the moderator gives one.
    pub fn kick(reason: Option<&Rc<str>>) -> Self {
        Self {
            reason: reason.cloned().unwrap_or_else(|| KICKED.into()),
            until: None,
        }
    }
}

impl RoomManager {
    /// Deletes a message: nothing is left of it but its position. Every member is told, once.
    ///
    /// # Errors
    /// `room_not_found`, or `not_found` for a message that is not kept.
    pub fn delete_message(
        &mut self,
        room: &str,
        position: Position,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let id = self.id_of(room).ok_or(ErrorCode::RoomNotFound)?;
        let newest = self.rooms[id.index()].history.position().seq;
        let is_kept = self.rooms[id.index()].history.get(position).is_some();
        let newest = NonZeroU64::new(newest).filter(|_| is_kept);
        self.deleted(id, position, newest.ok_or(ErrorCode::NotFound)?, effects);
        // Also if it was deleted before: the store may not have it yet.
        if let Some(message) = self.rooms[id.index()].history.get(position)
            && let Some(changes) = &mut self.changes
        {
            changes.put(&message.record());
        }
        Ok(())
    }

    /// A message was deleted, here or at another node, when `newest` was the number of the newest message of its room.
    pub fn deleted(
        &mut self,
        id: RoomId,
        position: Position,
        newest: NonZeroU64,
        effects: &mut Effects,
    ) {
        let room = &mut self.rooms[id.index()];
        let before = room.history.bytes();
        if !room.history.take_deleted(position, newest) {
            return;
        }
        self.history_bytes = self.history_bytes - before + room.history.bytes();
        let room = room.name.clone();
        self.send_to_room(id, Event::Deleted { room, position }, None, effects);
    }

    /// Changes the rules of a room that is open, whose limits were checked.
    ///
    /// # Errors
    /// `room_not_found`; `too_many_rooms` if no more may be kept.
    pub fn change_room(
        &mut self,
        name: &str,
        new: &NewRules,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let id = self.id_of(name).ok_or(ErrorCode::RoomNotFound)?;
        let room = &self.rooms[id.index()];
        let is_kept = new.kept.unwrap_or(room.is_kept);
        if is_kept && !room.is_kept && self.kept.count() >= self.limits.kept() {
            return Err(ErrorCode::TooManyRooms);
        }
        let max_users = new.max_users.unwrap_or(room.max_users);
        let rules = new.change(room.rules);
        self.changed(id, (max_users, is_kept), rules, now, effects);
        if let Some(changes) = &mut self.changes {
            let room = &self.rooms[id.index()];
            changes.put(&room.record());
            changes.put_rules(room.history.position().epoch, rules);
        }
        Ok(())
    }

    /// The rules of a room were changed, here or at another node.
    pub fn changed(
        &mut self,
        id: RoomId,
        (max_users, is_kept): (u32, bool),
        rules: Rules,
        now: Now,
        effects: &mut Effects,
    ) {
        self.unlist_evictable(id);
        let room = &mut self.rooms[id.index()];
        match (room.is_kept, is_kept) {
            (true, false) => {
                let creator = room.creator.take();
                self.kept.remove(creator.as_deref());
            }
            (false, true) => self.kept.add(None),
            _ => {}
        }
        (room.max_users, room.is_kept, room.rules) = (max_users, is_kept, rules);
        let (before, first) = (room.history.bytes(), room.history.first());
        room.trim_history();
        self.history_bytes = self.history_bytes - before + room.history.bytes();
        self.note_dropped(id, first);
        self.drop_aged(id, now, effects);
        self.list_evictable(id);
    }

    /// Removes a room: its members are told, and its history is gone. [`Effect::Removed`] follows when no message in it is under
    /// way any more.
    ///
    /// # Errors
    /// `room_not_found`.
    pub fn remove_room(
        &mut self,
        name: &str,
        removal: Option<Serial>,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let id = self.id_of(name).ok_or(ErrorCode::RoomNotFound)?;
        self.removed(id, removal, effects);
        Ok(())
    }

    /// A room is removed, here or at another node.
    pub fn removed(&mut self, id: RoomId, removal: Option<Serial>, effects: &mut Effects) {
        self.unlist_evictable(id);
        let name = self.rooms[id.index()].name.clone();
        self.by_name.remove(&name);
        self.in_order.remove(&name);
        let users: Vec<UserId> = self.rooms[id.index()].own_users().collect();
        for user in users {
            self.remove_user(id, user, effects);
        }
        self.rooms[id.index()].gone = Some(removal);
        // A store must not have two rooms of one name: the next one waits.
        if self.has_store() {
            self.going.insert(name, None);
        }
        self.drop_if_gone(id, effects);
    }

    fn remove_user(&mut self, id: RoomId, user: UserId, effects: &mut Effects) {
        let room = self.rooms[id.index()].name.clone();
        let name = self.people.name(user).clone();
        self.graces.remove(id, user);
        for connection in self.people.connections(user).to_vec() {
            if !self.people.remove_room(connection, id) {
                continue;
            }
            let (name, room) = (name.clone(), room.clone());
            effects.push_back(Effect::Unsubscribe(connection, id));
            effects.push_back(Effect::Left(connection, name, room.clone()));
            effects.push_back(Effect::Answer(
                connection,
                Event::RoomLeft {
                    room,
                    reason: Some("room_removed".into()),
                    until: None,
                },
            ));
            if self.rooms[id.index()].remove(user, false) == Left::Leaving {
                self.people.add_leaving(user);
            }
        }
        if self.is_shared {
            effects.push_back(Effect::GiveUpSeat(room, name));
        }
        // Last: whoever was only in grace here is not known any more.
        if self.rooms[id.index()].remove_absent_without_wishes(user) {
            self.people.remove_leaving(user);
        }
    }

    /// Drops a room that was removed, unless something in it is under way.
    pub(super) fn drop_if_gone(&mut self, id: RoomId, effects: &mut Effects) {
        let room = &self.rooms[id.index()];
        let Some(removal) = room.gone.filter(|_| room.is_evictable()) else {
            return;
        };
        let room = self.drop_room(id);
        self.note_evicted(&room);
        effects.push_back(Effect::Removed(removal));
        if let Some(opening) = self.going.remove(&room.name).flatten() {
            effects.push_back(Effect::Open(opening));
        }
    }

    /// Has everybody whose name has the key of this one leave a room. Returns whether somebody was in it.
    pub fn put_out_of_room(
        &mut self,
        username: &str,
        room: &str,
        put_out: &PutOut,
        now: Now,
        effects: &mut Effects,
    ) -> bool {
        let Some(id) = self.id_of(room) else {
            return false;
        };
        let room = self.rooms[id.index()].name.clone();
        let mut is_there = false;
        for connection in self.connections_of(username) {
            if !self.people.rooms(connection).contains(&id) {
                continue;
            }
            is_there = true;
            self.leave_at_once(connection, id, now, effects);
            let event = Event::RoomLeft {
                room: room.clone(),
                reason: Some(put_out.reason.clone()),
                until: put_out.until,
            };
            effects.push_back(Effect::Answer(connection, event));
        }
        is_there
    }

    /// All connections of everybody whose name has the key of this one.
    pub fn connections_of(&self, username: &str) -> Vec<ConnectionId> {
        let alike = self.people.alike(&key(username));
        let connections = alike.flat_map(|user| self.people.connections(user));
        connections.copied().collect()
    }

    /// The ban of the user of a connection from a room, if it holds. Moderators are not kept out.
    pub fn ban_from(&self, connection: ConnectionId, room: &str, now: Now) -> Option<&Ban> {
        let own = self.permissions.get(&connection);
        if own.is_some_and(|own| own.is_moderator) {
            return None;
        }
        let user = self.people.user_of(connection)?;
        self.bans.of(self.people.name(user), Some(room), now)
    }

    /// A room with its rules.
    ///
    /// # Errors
    /// `room_not_found`.
    pub fn room_rules(&self, name: &str) -> Result<RoomRules, ErrorCode> {
        let room = self.find(name)?;
        Ok(RoomRules {
            info: room.info(),
            kept: room.is_kept,
            rules: room.rules,
        })
    }

    /// A page of the users who are here, by name.
    pub fn users(&self, page: &Page) -> UserList {
        let after = page.after.as_deref().map(nfc);
        let mut all = self.people.after(after.as_deref());
        let users: Vec<UserId> = all.by_ref().take(page.limit).collect();
        let has_more = all.next().is_some();
        let next = users.last().filter(|_| has_more);
        UserList {
            next: next.map(|user| self.people.name(*user).clone()),
            users: users.into_iter().map(|user| self.shown(user)).collect(),
        }
    }

    /// The user of this name, if they are here.
    pub fn user_info(&self, name: &str) -> Option<UserInfo> {
        self.people.find(name).map(|user| self.shown(user))
    }

    fn shown(&self, user: UserId) -> UserInfo {
        let connections = self.people.connections(user);
        let rooms = connections.iter().flat_map(|id| self.people.rooms(*id));
        let rooms: BTreeSet<&Rc<str>> = rooms.map(|id| &self.rooms[id.index()].name).collect();
        UserInfo {
            username: self.people.name(user).clone(),
            guest: !self.people.is_account(user),
            rooms: rooms.into_iter().cloned().collect(),
            connections: connections.len(),
            since: self.people.since(user),
        }
    }
}
