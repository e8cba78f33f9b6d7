//! What moderators do to rooms of all nodes: a message is deleted, rules are changed, a room is removed.
//!
//! The engine numbers the changes of a room. Every node, also the one that has asked, carries them out in their order; one that has
//! missed some finds another number when it compares the room, and loads it anew.

use std::num::NonZeroU64;
use std::rc::Rc;

use super::Node;
use super::ask::{Act, Ask, Deed};
use super::mirror::{Message, State};
use super::news::News;
use super::scripts::Script;
use crate::config::{ENGINE_KEPT_SECS, HISTORY_MESSAGES_MAX};
use crate::domain::error::ErrorCode;
use crate::domain::ids::Serial;
use crate::domain::position::Position;
use crate::domain::rules::{Rules, Writers};
use crate::domain::time::{Now, Timestamp};
use crate::wire::resp::{Command, Reply};

/// The limit of users of a room, whether it is kept, and its rules.
pub(super) type Settings = (u32, bool, Rules);

impl Node {
    /// Deletes a message of a room at all nodes. [`News::Acted`] answers: `not_found` if there is no such message.
    pub fn delete_message(&mut self, serial: Serial, room: &Rc<str>, position: Position, now: Now) {
        let mut command = self.room_command(Script::Delete, 3, &["m", "h", "x"], room);
        command.hex(position.epoch).number(position.seq);
        command.text(&self.keys.of("r", room));
        command.number(HISTORY_MESSAGES_MAX as u64);
        command.number(ENGINE_KEPT_SECS);
        self.act(serial, room, Deed::Delete(position), &command, now);
    }

    /// Changes the rules of a room at all nodes. [`News::Acted`] answers: `room_not_found` if there is none.
    pub fn change_room(
        &mut self,
        serial: Serial,
        room: &Rc<str>,
        max_users: u32,
        is_kept: bool,
        rules: Rules,
        now: Now,
    ) {
        let mut command = self.room_command(Script::Set, 4, &["m", "h", "p"], room);
        command.text(&self.keys.single("idle"));
        command.text(&self.keys.reference(room));
        command.text(&self.keys.of("r", room));
        command.number(max_users.into()).number(is_kept.into());
        command.text(&write_rules(rules));
        command.number(rules.history_messages.into());
        command.number(ENGINE_KEPT_SECS);
        let deed = Deed::Change(max_users, is_kept, rules);
        self.act(serial, room, deed, &command, now);
    }

    /// Removes a room at all nodes. [`News::Acted`] answers: `room_not_found` if there is none.
    pub fn remove_room(&mut self, serial: Serial, room: &Rc<str>, now: Now) {
        let kinds = ["m", "h", "p", "x", "z"];
        let mut command = self.room_command(Script::Remove, 8, &kinds, room);
        for name in ["rooms", "idle", "nodes"] {
            command.text(&self.keys.single(name));
        }
        command.text(room).text(&self.keys.reference(room));
        command.text(&self.keys.of("r", room));
        command.text(&self.keys.all_seats(room));
        command.number(ENGINE_KEPT_SECS);
        self.act(serial, room, Deed::Remove, &command, now);
    }

    /// Has the engine keep only the messages of a room from this position on.
    pub fn trim(&mut self, room: &Rc<str>, first: Position, now: Now) {
        let mut command = self.room_command(Script::Trim, 2, &["m", "h"], room);
        command.hex(first.epoch).number(first.seq);
        self.ask(Ask::Nothing, command.finish(), now);
    }

    /// Begins a command about a room: its own keys of these kinds.
    pub(super) fn room_command(
        &self,
        script: Script,
        keys: u64,
        kinds: &[&str],
        room: &str,
    ) -> Command {
        let mut command = self.call(script, keys);
        for kind in kinds {
            command.text(&self.keys.of(kind, room));
        }
        command
    }

    fn act(&mut self, serial: Serial, room: &Rc<str>, deed: Deed, command: &Command, now: Now) {
        let act = Act {
            serial,
            room: room.clone(),
            deed,
            is_again: false,
        };
        self.ask(Ask::Act(Box::new(act)), command.finish(), now);
    }

    /// Takes the answer. What it tells is the same as what all nodes are told, and may come before it.
    pub(super) fn acted(&mut self, act: &Act, reply: &Reply, now: Now) {
        let room = &act.room;
        let code = match (reply.text_at(0), act.deed) {
            (Some("ok"), Deed::Delete(position)) => {
                let newest = reply.number_at(1).and_then(NonZeroU64::new);
                if let Some((newest, revision)) = newest.zip(reply.number_at(2)) {
                    self.message_deleted(room, position, newest.get(), revision, now);
                }
                None
            }
            (Some("ok"), Deed::Change(max_users, is_kept, rules)) => {
                if let Some(revision) = reply.number_at(1) {
                    self.room_changed(room, (max_users, is_kept, rules), revision, now);
                }
                None
            }
            (Some("ok"), Deed::Remove) => {
                self.room_removed(room);
                None
            }
            (Some("known"), _) => None,
            (Some("none"), Deed::Delete(_)) => Some(ErrorCode::NotFound),
            // The answer to this very request was lost.
            (Some("none"), Deed::Remove) if act.is_again => None,
            (Some("none"), _) => Some(ErrorCode::RoomNotFound),
            _ => Some(ErrorCode::BackendUnavailable),
        };
        self.report(News::Acted(act.serial, code.map_or(Ok(()), Err)));
    }

    /// Whether a change of a room is news here. If one before it was missed, the room is loaded anew.
    fn is_next_change(&mut self, room: &Rc<str>, revision: u64, now: Now) -> bool {
        let Some(mirror) = self.mirrors.get_mut(room) else {
            return false;
        };
        // A room that is being loaded comes with all of them.
        if !mirror.is_following() || revision <= mirror.revision {
            return false;
        }
        if revision > mirror.revision + 1 {
            self.reload(room, now);
            return false;
        }
        mirror.revision = revision;
        true
    }

    /// A message was deleted, when `newest` was the number of the newest one.
    pub(super) fn message_deleted(
        &mut self,
        room: &Rc<str>,
        position: Position,
        newest: u64,
        revision: u64,
        now: Now,
    ) {
        let Some(newest) = NonZeroU64::new(newest) else {
            return;
        };
        if !self.is_next_change(room, revision, now) {
            return;
        }
        let Position { epoch, seq } = position;
        match self.mirrors.get(room) {
            Some(mirror) if mirror.epoch == epoch && seq <= mirror.newest => {
                self.report(News::Deleted(room.clone(), position, newest));
            }
            // It has not come yet.
            _ => {
                let message = Message::deleted("", Timestamp::from(now), newest);
                self.offer(room, (epoch, seq), message, None, now);
            }
        }
    }

    /// The rules of a room were changed.
    pub(super) fn room_changed(
        &mut self,
        room: &Rc<str>,
        settings: Settings,
        revision: u64,
        now: Now,
    ) {
        if self.is_next_change(room, revision, now) {
            self.set(room, settings);
        }
    }

    /// A room has these settings.
    pub(super) fn set(&mut self, room: &Rc<str>, (max_users, is_kept, rules): Settings) {
        if let Some(mirror) = self.mirrors.get_mut(room) {
            (mirror.max_users, mirror.is_kept, mirror.rules) = (max_users, is_kept, rules);
            self.report(News::Changed(room.clone(), max_users, is_kept, rules));
        }
    }

    /// A room was removed: who asks for it from now on asks for another one.
    pub(super) fn room_removed(&mut self, room: &Rc<str>) {
        let mirror = self.mirrors.get(room);
        // One that is opened is so after this.
        if mirror.is_some_and(|mirror| !matches!(mirror.state, State::Opening(_))) {
            self.drop_mirror(room, ErrorCode::RoomNotFound);
            self.report(News::Removed(room.clone()));
        }
    }
}

/// Rules as the engine keeps them.
fn write_rules(rules: Rules) -> String {
    let seconds = rules.history_seconds.map_or(0, |seconds| seconds.get());
    let write = match rules.write {
        Writers::Everyone => "e",
        Writers::SignedIn => "s",
        Writers::Moderators => "m",
    };
    format!("{} {seconds} {write}", rules.history_messages)
}

/// Reads the limit of users, whether a room is kept, and its rules.
#[inline(never)]
pub(super) fn read_settings(text: &str) -> Option<Settings> {
    let mut parts = text.split(' ');
    let mut number = || parts.next()?.parse::<u32>().ok();
    let (max_users, kept, history_messages) = (number()?, number()?, number()?);
    let history_seconds = number()?.try_into().ok();
    let write = match parts.next()? {
        "e" => Writers::Everyone,
        "s" => Writers::SignedIn,
        "m" => Writers::Moderators,
        _ => return None,
    };
    let rules = Rules {
        history_messages,
        history_seconds,
        write,
    };
    Some((max_users, kept == 1, rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_were_written() {
        for write in [Writers::Everyone, Writers::SignedIn, Writers::Moderators] {
            for (history_messages, seconds) in [(0, 0), (1_000, 60)] {
                let history_seconds = seconds.try_into().ok();
                let rules = Rules {
                    history_messages,
                    history_seconds,
                    write,
                };
                let settings = format!("7 1 {}", write_rules(rules));
                assert_eq!(read_settings(&settings), Some((7, true, rules)));
            }
        }
        for bad in [
            "",
            "1",
            "7 1",
            "7 1 1 0",
            "7 1 1 0 x",
            "7 1 -1 0 e",
            "7 x 1 0 e",
        ] {
            assert_eq!(read_settings(bad), None, "{bad}");
        }
    }
}
