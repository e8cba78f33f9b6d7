//! What moderators and back ends ask for, over HTTP and over WebSocket: carried out once, answered to whoever has asked.

mod pacing;
mod posting;
mod requests;
mod who;

use std::rc::Rc;

pub use requests::read;

use super::Server;
use super::acts::{Actor, Answered, Command};
use super::answer::Exchange;
use super::waiting::What;
use crate::config::ACTS_MAX;
use crate::conn::Phase;
use crate::conn::act::{Act, Target};
use crate::conn::refusal::Refusal;
use crate::domain::audit::Entry;
use crate::domain::ban::Ban;
use crate::domain::bans::NewBan;
use crate::domain::caller::Caller;
use crate::domain::changes::Changes;
use crate::domain::error::ErrorCode;
use crate::domain::event::{Effect, Event};
use crate::domain::ids::{ConnectionId, Origin, Serial};
use crate::domain::moderation::PutOut;
use crate::domain::names::{self, key};
use crate::domain::rules::NewRules;
use crate::domain::time::{Now, Timestamp};
use crate::wire::close_code::CloseCode;

/// What is told to somebody who is banned without a reason.
const BANNED: &str = "banned";

impl Server {
    /// Carries out the act of a request, which waits for the answer.
    pub(super) fn act_for_request(
        &mut self,
        id: ConnectionId,
        (caller, act): (&Caller, Act),
        exchange: Exchange,
        now: Now,
    ) {
        let actor = Actor {
            name: caller.actor(),
            speaker: caller.speaker(),
            address: self.connections.address(id),
        };
        let serial = self.jobs.next_serial();
        self.wait_for(serial, id, exchange, What::Act);
        self.act(serial, actor, act, now);
    }

    /// Carries out the act of a command.
    ///
    /// # Errors
    /// `rate_limited` at [`ACTS_MAX`].
    pub(super) fn act_for_socket(
        &mut self,
        origin: Origin,
        message_id: Option<&str>,
        (actor, act): (Actor, Act),
        now: Now,
    ) -> Result<(), ErrorCode> {
        if self.moderation.commands.len() >= ACTS_MAX {
            return Err(ErrorCode::RateLimited);
        }
        let serial = self.jobs.next_serial();
        let message_id = message_id.map(Into::into);
        let command = Command { origin, message_id };
        self.moderation.commands.insert(serial, command);
        self.act(serial, actor, act, now);
        Ok(())
    }

    pub(super) fn act(&mut self, serial: Serial, actor: Actor, act: Act, now: Now) {
        let Some(act) = self.act_shared(serial, &actor, act, now) else {
            return;
        };
        match act {
            Act::Publish {
                room,
                messages,
                is_batch,
            } => self.begin_posting(serial, &room, messages, is_batch, now),
            Act::Notify(user, post) => self.notify(serial, &user, &post, now),
            Act::Users(page) => {
                let list = self.chat.rooms().users(&page);
                self.answer_act(serial, Ok(Answered::Users(list)), now);
            }
            Act::User(user) => {
                let found = self.chat.rooms().user_info(&user).map(Answered::User);
                self.answer_act(serial, found.ok_or(ErrorCode::UserNotFound), now);
            }
            Act::Kick(target) => {
                let is_here = self.kick(&actor, &target, now);
                let answer = is_here.then_some(Answered::Done);
                self.answer_act(serial, answer.ok_or(ErrorCode::UserNotFound), now);
            }
            Act::Ban(target, seconds) => self.ban(serial, &actor, &target, seconds, now),
            Act::Unban(target) => self.unban(serial, &actor, &target, now),
            Act::Bans(page) => {
                let bans = &self.chat.rooms().bans;
                let page = bans.page(page.after.as_deref(), page.limit, now);
                self.answer_act(serial, Ok(Answered::Bans(page)), now);
            }
            Act::Revoke(user) => {
                self.audit_act(&actor, "revoked", &user, |_| {}, now);
                self.revoke_user(&user, now);
                let kept = self.keep_revocations(Some(serial), now);
                self.answer_if_kept(serial, kept, now);
            }
            Act::SetRoom(room, rules) => self.set_room(serial, &actor, &room, &rules, now),
            Act::RemoveRoom(room) => self.remove_room(serial, &actor, &room, now),
            Act::Delete(room, position) => {
                let (rooms, effects) = self.chat.rooms_mut();
                let deleted = rooms.delete_message(&room, position, effects);
                if deleted.is_ok() {
                    let at = Some(position.to_string());
                    let complete = |entry: &mut Entry<'_>| entry.position = at;
                    self.audit_act(&actor, "message_deleted", &room, complete, now);
                }
                self.keep_act(serial, deleted, now);
            }
        }
        self.settle(now);
    }

    fn remove_room(&mut self, serial: Serial, actor: &Actor, room: &str, now: Now) {
        let (rooms, effects) = self.chat.rooms_mut();
        if let Err(code) = rooms.remove_room(room, Some(serial), effects) {
            return self.answer_act(serial, Err(code), now);
        }
        // Its members leave it first.
        self.chat.settle(&mut self.connections, now);
        self.audit_act(actor, "room_removed", room, |_| {}, now);
    }

    fn set_room(
        &mut self,
        serial: Serial,
        actor: &Actor,
        room: &Rc<str>,
        rules: &NewRules,
        now: Now,
    ) {
        let (rooms, effects) = self.chat.rooms_mut();
        let changed = rooms.change_room(room, rules, now, effects);
        if changed.is_ok() {
            self.chat.note_list_changed();
            let changes = serde_json::to_value(rules).ok();
            self.audit_act(
                actor,
                "room_changed",
                room,
                |entry| entry.changes = changes,
                now,
            );
            self.moderation.rooms.insert(serial, room.clone());
        }
        self.keep_act(serial, changed, now);
    }

    /// Answers an act when all that has changed until now is kept.
    fn keep_act(&mut self, serial: Serial, done: Result<(), ErrorCode>, now: Now) {
        // The disk gets what the rooms have noted, in its order.
        self.chat.settle(&mut self.connections, now);
        self.keep_changes(serial, done.map(|()| Changes::default()), now);
    }

    fn keep_changes(&mut self, serial: Serial, changes: Result<Changes, ErrorCode>, now: Now) {
        let kept = match (changes, self.chat.backend_mut().disk_mut()) {
            (Err(code), _) => Some(Err(code)),
            (Ok(changes), Some(disk)) => {
                // In the order of all other changes of rooms, such as their eviction: it concerns only what is stored.
                disk.keep_rest(&changes, false);
                disk.keep(Some(serial), Changes::default(), now)
            }
            (Ok(_), None) => Some(Ok(())),
        };
        self.answer_if_kept(serial, kept, now);
    }

    fn answer_if_kept(&mut self, serial: Serial, kept: Option<Result<(), ErrorCode>>, now: Now) {
        if let Some(kept) = kept {
            self.acted(serial, kept, now);
        }
    }

    /// What an act has changed is kept, or is not.
    pub(super) fn acted(&mut self, serial: Serial, kept: Result<(), ErrorCode>, now: Now) {
        self.note_done(serial, kept.is_ok(), now);
        let room = self.moderation.rooms.remove(&serial);
        let answer = kept.and_then(|()| match room {
            None => Ok(Answered::Done),
            Some(room) => self.chat.rooms().room_rules(&room).map(Answered::Room),
        });
        self.answer_act(serial, answer, now);
    }

    /// Rooms that were removed are gone from the store when their removals are answered.
    pub(super) fn answer_removed(&mut self, now: Now) {
        for serial in self.chat.noticed.take_removed() {
            self.keep_act(serial, Ok(()), now);
        }
    }

    /// Answers whoever has asked for an act.
    pub(super) fn answer_act(
        &mut self,
        serial: Serial,
        answer: Result<Answered, ErrorCode>,
        now: Now,
    ) {
        if let Some(command) = self.moderation.commands.remove(&serial) {
            let Command { origin, message_id } = command;
            let event = match answer {
                Ok(answer) => answer.event(message_id),
                Err(code) => Some(Event::error(code, message_id)),
            };
            if let Some(event) = event {
                let (_, effects) = self.chat.rooms_mut();
                effects.push_back(Effect::Reply(origin, event));
            }
        } else if let Some(waiting) = self.waiting.take(serial) {
            let answer = answer.map(Answered::response).map_err(Refusal::from);
            self.answer_waiting(serial, &waiting, answer, now);
        }
    }

    /// Has a user leave a room, or closes all connections of theirs here. Returns whether they were there.
    pub(super) fn kick(&mut self, actor: &Actor, target: &Target, now: Now) -> bool {
        let put_out = PutOut::kick(target.reason.as_ref());
        let is_here = match &target.room {
            Some(_) => self.put_out_of_room(target, &put_out, now),
            None => self.put_out(&target.user, &put_out, now),
        };
        if is_here {
            self.audit_target(actor, "kicked", target, None, now);
        }
        is_here
    }

    /// Notes what is done to a user.
    pub(super) fn audit_target(
        &mut self,
        actor: &Actor,
        action: &'static str,
        target: &Target,
        until: Option<Option<Timestamp>>,
        now: Now,
    ) {
        let mut entry = Entry::new(action, &actor.name, now.into());
        entry.address = Some(actor.address);
        entry.subject = &target.user;
        entry.room = target.room.as_deref();
        entry.reason = target.reason.as_deref();
        entry.until = until;
        self.audit(&entry);
    }

    pub(super) fn put_out_of_room(&mut self, target: &Target, put_out: &PutOut, now: Now) -> bool {
        let Some(room) = &target.room else {
            return false;
        };
        let (rooms, effects) = self.chat.rooms_mut();
        let is_there = rooms.put_out_of_room(&target.user, room, put_out, now, effects);
        self.settle(now);
        is_there
    }

    /// Closes every connection of a user here.
    pub(super) fn put_out(&mut self, user: &str, put_out: &PutOut, now: Now) -> bool {
        let connections = self.chat.rooms().connections_of(user);
        for id in &connections {
            self.close_put_out(*id, put_out, now);
        }
        !connections.is_empty()
    }

    /// Tells somebody why, and closes their WebSocket.
    pub(super) fn close_put_out(&mut self, id: ConnectionId, put_out: &PutOut, now: Now) {
        let is_open = self
            .connections
            .get(id)
            .is_some_and(|connection| matches!(connection.phase, Phase::WebSocket(_)));
        if !is_open {
            return;
        }
        let reason = put_out.reason.clone();
        let event = match put_out.until {
            None => Event::Kicked { reason },
            Some(until) => Event::Banned { reason, until },
        };
        let (_, effects) = self.chat.rooms_mut();
        effects.push_back(Effect::Answer(id, event));
        self.settle(now);
        self.close_websocket_because(id, CloseCode::PUT_OUT, &put_out.reason, now);
    }

    fn ban(
        &mut self,
        serial: Serial,
        actor: &Actor,
        target: &Target,
        seconds: Option<u32>,
        now: Now,
    ) {
        let (rooms, _) = self.chat.rooms_mut();
        let banned = rooms.bans.ban(
            NewBan {
                username: &target.user,
                room: target.room.as_deref(),
                seconds,
                reason: target.reason.as_deref().unwrap_or(BANNED),
                by: &actor.name,
            },
            now,
        );
        let Some(until) = banned else {
            return self.answer_act(serial, Err(ErrorCode::Unavailable), now);
        };
        self.audit_target(actor, "banned", target, Some(until), now);
        let rooms = self.chat.rooms();
        if let Some(ban) = rooms
            .bans
            .of(&target.user, target.room.as_deref(), now)
            .cloned()
        {
            self.enforce(&target.user, target.room.as_ref(), &ban, now);
        }
        self.keep_bans(serial, now);
    }

    fn unban(&mut self, serial: Serial, actor: &Actor, target: &Target, now: Now) {
        let (rooms, _) = self.chat.rooms_mut();
        let room = target.room.as_deref();
        if !rooms.bans.lift(&target.user, room, &actor.name, now) {
            return self.answer_act(serial, Err(ErrorCode::NotFound), now);
        }
        self.audit_target(actor, "unbanned", target, None, now);
        self.keep_bans(serial, now);
    }

    fn keep_bans(&mut self, serial: Serial, now: Now) {
        let (rooms, _) = self.chat.rooms_mut();
        let changes = rooms.bans.take_changes();
        if let Some(node) = self.chat.backend_mut().node_mut() {
            return node.revoke(Some(serial), &changes, now);
        }
        self.keep_changes(serial, Ok(changes), now);
    }

    /// Puts somebody out who is banned from now on. Their event streams end too, if they are banned from everywhere.
    pub(super) fn enforce(&mut self, user: &str, room: Option<&Rc<str>>, ban: &Ban, now: Now) {
        let put_out = PutOut {
            reason: ban.reason.clone(),
            until: Some(ban.ends()),
        };
        if let Some(room) = room {
            let target = Target {
                user: user.into(),
                room: Some(room.clone()),
                reason: None,
            };
            self.put_out_of_room(&target, &put_out, now);
            return;
        }
        let key = key(user).into_owned();
        let sessions = &self.sign_ins.auth().sessions;
        let streams = sessions.chosen(|identity| names::key(&identity.username) == key);
        self.put_out(user, &put_out, now);
        for id in streams {
            if let Some(connection) = self.connections.get(id)
                && matches!(connection.phase, Phase::EventStream(_))
            {
                self.end_session(id, CloseCode::PUT_OUT, now);
            }
        }
    }
}
