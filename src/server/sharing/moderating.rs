//! What moderators ask for where rooms are shared with other nodes.

use std::rc::Rc;

use crate::conn::act::{Act, Target};
use crate::domain::audit::Entry;
use crate::domain::ban::KeptBan;
use crate::domain::error::ErrorCode;
use crate::domain::event::{UserInfo, UserList};
use crate::domain::ids::Serial;
use crate::domain::moderation::PutOut;
use crate::domain::rules::NewRules;
use crate::domain::time::{Now, Timestamp};
use crate::server::Server;
use crate::server::acts::{Actor, Answered, Asked};

/// Between the fields of a question or an answer: no name or reason has it.
const FIELD: char = '\u{1f}';
/// Between the users of an answer.
const USER: char = '\u{1e}';

impl Server {
    /// Has all nodes carry out an act. Returns it if this node alone can.
    pub(in crate::server) fn act_shared(
        &mut self,
        serial: Serial,
        actor: &Actor,
        act: Act,
        now: Now,
    ) -> Option<Act> {
        if !self.is_shared() {
            return Some(act);
        }
        // Nothing is done here alone.
        if self.is_engine_down() {
            self.answer_act(serial, Err(ErrorCode::BackendUnavailable), now);
            return None;
        }
        match act {
            Act::Publish { ref room, .. } | Act::SetRoom(ref room, _)
                if self.chat.rooms().find(room).is_err() =>
            {
                let room = room.clone();
                self.open_to_act(serial, &room, actor, act, now);
            }
            Act::SetRoom(room, rules) => self.set_shared_room(serial, actor, &room, &rules, now),
            Act::RemoveRoom(room) => {
                let noted = Asked::Noted(actor.clone(), "room_removed", room.clone(), None, None);
                self.moderation.asked.insert(serial, noted);
                if let Some(node) = self.chat.backend_mut().node_mut() {
                    node.remove_room(serial, &room, now);
                }
            }
            Act::Delete(room, position) => {
                let (actor, at) = (actor.clone(), Some(position.to_string()));
                let noted = Asked::Noted(actor, "message_deleted", room.clone(), at, None);
                self.moderation.asked.insert(serial, noted);
                if let Some(node) = self.chat.backend_mut().node_mut() {
                    node.delete_message(serial, &room, position, now);
                }
            }
            Act::Kick(target) => self.kick_everywhere(serial, actor.clone(), target, now),
            Act::User(user) => {
                let text = format!("u{FIELD}{user}");
                let own = self.chat.rooms().user_info(&user);
                self.ask_all(serial, Asked::User(own), &text, now);
            }
            Act::Users(page) => {
                if let Some(node) = self.chat.backend_mut().node_mut() {
                    node.names_after(serial, page.after.as_deref(), page.limit, now);
                }
            }
            act => return Some(act),
        }
        None
    }

    /// Opens the room of an act first.
    fn open_to_act(&mut self, serial: Serial, room: &str, actor: &Actor, act: Act, now: Now) {
        let (rooms, effects) = self.chat.rooms_mut();
        match rooms.open_to_read(serial, room, now, effects) {
            Ok(()) => _ = self.moderation.parked.insert(serial, (actor.clone(), act)),
            Err(code) => self.answer_act(serial, Err(code), now),
        }
        self.settle(now);
    }

    /// The room of an act is open, or is not. False if no act waits for it.
    pub(super) fn go_on_acting(
        &mut self,
        serial: Serial,
        opened: Result<(), ErrorCode>,
        now: Now,
    ) -> bool {
        let Some((actor, act)) = self.moderation.parked.remove(&serial) else {
            return false;
        };
        match opened {
            Ok(()) => self.act(serial, actor, act, now),
            Err(code) => self.answer_act(serial, Err(code), now),
        }
        true
    }

    fn set_shared_room(
        &mut self,
        serial: Serial,
        actor: &Actor,
        name: &Rc<str>,
        new: &NewRules,
        now: Now,
    ) {
        let changes = serde_json::to_value(new).ok();
        let Ok(room) = self.chat.rooms().find(name) else {
            return self.answer_act(serial, Err(ErrorCode::RoomNotFound), now);
        };
        let max_users = new.max_users.unwrap_or(room.max_users);
        let is_kept = new.kept.unwrap_or(room.is_kept);
        let rules = new.change(room.rules);
        let noted = Asked::Noted(actor.clone(), "room_changed", name.clone(), None, changes);
        self.moderation.asked.insert(serial, noted);
        self.moderation.rooms.insert(serial, name.clone());
        if let Some(node) = self.chat.backend_mut().node_mut() {
            node.change_room(serial, name, max_users, is_kept, rules, now);
        }
    }

    fn kick_everywhere(&mut self, serial: Serial, actor: Actor, target: Target, now: Now) {
        let was_here = self.put_out_here(&target, now);
        let Target { user, room, reason } = &target;
        let text = |text: &Option<Rc<str>>| text.as_deref().unwrap_or_default().to_owned();
        let question = ["k", user, &text(room), &text(reason)].join(&FIELD.to_string());
        let asked = Asked::Kick(actor, target, was_here);
        self.ask_all(serial, asked, &question, now);
    }

    fn ask_all(&mut self, serial: Serial, asked: Asked, question: &str, now: Now) {
        self.moderation.asked.insert(serial, asked);
        if let Some(node) = self.chat.backend_mut().node_mut() {
            node.ask_all(serial, question, now);
        }
    }

    /// The engine has done what it was asked for.
    pub(in crate::server) fn note_done(&mut self, serial: Serial, is_done: bool, now: Now) {
        let asked = self.moderation.asked.remove(&serial).filter(|_| is_done);
        if let Some(Asked::Noted(actor, action, room, position, changes)) = asked {
            let complete = |entry: &mut Entry<'_>| {
                entry.position = position;
                entry.changes = changes;
            };
            self.audit_act(&actor, action, &room, complete, now);
        }
    }

    /// Another node asks something.
    pub(super) fn asked(&mut self, node: &str, number: u64, question: &str, now: Now) {
        let mut fields = question.split(FIELD);
        let answer = match fields.next() {
            Some("k") => {
                let mut field = || fields.next().unwrap_or_default();
                let some = |text: &str| Some(text).filter(|text| !text.is_empty()).map(Rc::from);
                let target = Target {
                    user: field().into(),
                    room: some(field()),
                    reason: some(field()),
                };
                let is_here = self.put_out_here(&target, now);
                if is_here { "1" } else { "" }.to_owned()
            }
            Some("u") => {
                let rooms = self.chat.rooms();
                let users = fields.filter_map(|name| rooms.user_info(name));
                let users: Vec<String> = users.map(|user| write_user(&user)).collect();
                users.join(&USER.to_string())
            }
            _ => String::new(),
        };
        if let Some(asker) = self.chat.backend_mut().node_mut() {
            asker.answer(node, number, &answer, now);
        }
    }

    /// The other nodes have answered, and whether all have.
    pub(super) fn answers(
        &mut self,
        serial: Serial,
        answers: Result<(Vec<Box<str>>, bool), ErrorCode>,
        now: Now,
    ) {
        let unknown = Err(ErrorCode::BackendUnavailable);
        let is_heard = answers.is_ok();
        let (answers, is_complete) = answers.unwrap_or_default();
        let nobody = if is_complete {
            Err(ErrorCode::UserNotFound)
        } else {
            unknown
        };
        let of_others = || {
            answers
                .iter()
                .flat_map(|answer| answer.split(USER))
                .filter_map(read_user)
        };
        let answer = match self.moderation.asked.remove(&serial) {
            None | Some(Asked::Noted(..)) => return,
            Some(Asked::Kick(actor, target, was_here)) => {
                let is_there = was_here || answers.iter().any(|answer| **answer == *"1");
                if is_there {
                    self.audit_target(&actor, "kicked", &target, None, now);
                }
                match is_there && is_heard {
                    true => Ok(Answered::Done),
                    false => nobody,
                }
            }
            Some(_) if !is_heard => Err(ErrorCode::BackendUnavailable),
            Some(Asked::User(own)) => {
                let found = own.into_iter().chain(of_others()).reduce(together);
                found.map_or(nobody, |user| Ok(Answered::User(user)))
            }
            Some(Asked::Users(mut users, next)) => {
                for other in of_others() {
                    let same = users.iter_mut().find(|(name, _)| *name == other.username);
                    if let Some((_, user)) = same {
                        *user = Some(match user.take() {
                            Some(user) => together(user, other),
                            None => other,
                        });
                    }
                }
                let users = users.into_iter().filter_map(|(_, user)| user).collect();
                Ok(Answered::Users(UserList { users, next }))
            }
        };
        self.answer_act(serial, answer, now);
    }

    /// The names of a page of users at all nodes.
    pub(super) fn names(
        &mut self,
        serial: Serial,
        names: Result<(Vec<Rc<str>>, bool), ErrorCode>,
        now: Now,
    ) {
        let (names, has_more) = match names {
            Ok(names) => names,
            Err(code) => return self.answer_act(serial, Err(code), now),
        };
        let next = names.last().filter(|_| has_more).cloned();
        let mut question = "u".to_owned();
        for name in &names {
            question.push(FIELD);
            question.push_str(name);
        }
        let rooms = self.chat.rooms();
        let own = names.into_iter().map(|name| {
            let user = rooms.user_info(&name);
            (name, user)
        });
        let asked = Asked::Users(own.collect(), next);
        self.ask_all(serial, asked, &question, now);
    }

    /// Bans of other nodes.
    pub(super) fn banned_elsewhere(&mut self, bans: Vec<KeptBan>, now: Now) {
        let (rooms, _) = self.chat.rooms_mut();
        // The engine has kept what is older: it gets the newer one.
        self.sharing.has_unrevoked |= rooms.bans.has_later(&bans);
        for KeptBan { room, ban, .. } in rooms.bans.merge(bans, now) {
            let room = Some(room).filter(|room| !room.is_empty());
            self.enforce(&ban.username.clone(), room.as_ref(), &ban, now);
        }
    }

    /// Gives the engine what is to be noted in the audit log, as far as it takes something.
    pub(in crate::server) fn flush_audit(&mut self, now: Now) {
        if self.sharing.audited.is_empty() {
            return;
        }
        if let Some(node) = self
            .chat
            .backend_mut()
            .node_mut()
            .filter(|node| node.is_up())
        {
            node.tell_audit(&std::mem::take(&mut self.sharing.audited), now);
        }
    }

    /// Asks for the audit log of all nodes, for a request that waits for it.
    pub(in crate::server) fn follow_audit(&mut self, serial: Serial, now: Now) {
        self.sharing.audit_waiters.push(serial);
        if let Some(node) = self.chat.backend_mut().node_mut() {
            node.follow_audit(now);
        }
    }

    /// The audit log of all nodes cannot be read for now.
    pub(super) fn refuse_audit_waiters(&mut self, now: Now) {
        for serial in std::mem::take(&mut self.sharing.audit_waiters) {
            if let Some(waiting) = self.waiting.take(serial) {
                let refused = Err(ErrorCode::BackendUnavailable.into());
                self.answer_waiting(serial, &waiting, refused, now);
            }
        }
    }

    /// The audit log of all nodes, up to the newest entry.
    pub(super) fn audit_loaded(&mut self, kept: Vec<(u64, Box<str>)>, newest: u64, now: Now) {
        let kept: Vec<_> = kept
            .into_iter()
            .map(|(id, json)| (id, Rc::from(json)))
            .collect();
        let before = self.streams.audit_log().newest();
        let is_first = !std::mem::replace(&mut self.sharing.follows_audit, true);
        let news: Vec<_> = kept
            .iter()
            .filter(|(id, _)| *id > before)
            .cloned()
            .collect();
        // Before the first entry of all there was none that could be missed.
        let is_after = |before: u64| news.first().is_some_and(|(first, _)| *first > before + 1);
        let has_gap = !is_first && before > 0 && is_after(before);
        // An engine that is empty now was not when the last entry came.
        let newest = if is_first { newest } else { newest.max(before) };
        self.streams.audit_log().replace(newest, kept);
        if has_gap {
            self.streams.send_audit_gap(before);
        }
        if !is_first {
            news.iter().for_each(|entry| self.streams.send_audit(entry));
        }
        for serial in std::mem::take(&mut self.sharing.audit_waiters) {
            self.begin_audit_stream(serial, now);
        }
    }

    /// An entry of the audit log of all nodes.
    pub(super) fn audit_told(&mut self, id: u64, json: &str) {
        if id > self.streams.audit_log().newest() {
            let kept = self.streams.audit_log().take(id, json.into());
            self.streams.send_audit(&kept);
        }
    }

    fn put_out_here(&mut self, target: &Target, now: Now) -> bool {
        let put_out = PutOut::kick(target.reason.as_ref());
        match &target.room {
            Some(_) => self.put_out_of_room(target, &put_out, now),
            None => self.put_out(&target.user, &put_out, now),
        }
    }
}

/// A user at two nodes.
fn together(one: UserInfo, other: UserInfo) -> UserInfo {
    let mut rooms = [one.rooms, other.rooms].concat();
    rooms.sort_unstable();
    rooms.dedup();
    UserInfo {
        username: one.username,
        guest: one.guest,
        rooms,
        connections: one.connections + other.connections,
        since: one.since.min(other.since),
    }
}

fn write_user(user: &UserInfo) -> String {
    let UserInfo {
        username,
        guest,
        rooms,
        connections,
        since,
    } = user;
    let mut text = format!(
        "{username}{FIELD}{guest}{FIELD}{connections}{FIELD}{}",
        since.0
    );
    for room in rooms {
        text.push(FIELD);
        text.push_str(room);
    }
    text
}

fn read_user(text: &str) -> Option<UserInfo> {
    let mut fields = text.split(FIELD);
    Some(UserInfo {
        username: fields.next()?.into(),
        guest: fields.next()?.parse().ok()?,
        connections: fields.next()?.parse().ok()?,
        since: Timestamp::from_secs(fields.next()?.parse().ok()?),
        rooms: fields.map(Rc::from).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_reads_back_as_written_and_is_one_at_two_nodes() {
        let user = |rooms: &[&str], since| UserInfo {
            username: "홍길동".into(),
            guest: true,
            rooms: rooms.iter().map(|room| Rc::from(*room)).collect(),
            connections: 2,
            since: Timestamp(since),
        };
        for user in [user(&[], 5), user(&["a b", "c"], 1_705_314_600)] {
            assert_eq!(read_user(&write_user(&user)), Some(user));
        }
        let both = together(user(&["a", "c"], 7), user(&["b", "c"], 5));
        let expected = UserInfo {
            connections: 4,
            ..user(&["a", "b", "c"], 5)
        };
        assert_eq!(both, expected);
        assert_eq!(read_user(""), None);
    }
}
