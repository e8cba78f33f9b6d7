//! Rooms at a node: opened, followed, and loaded anew when the engine has lost something.

use std::rc::Rc;

use super::Node;
use super::acts::read_settings;
use super::ask::Ask;
use super::mirror::{Deleted, Message, Mirror, Missing, State};
use super::news::News;
use super::scripts::Script;
use crate::config::{
    ENGINE_KEPT_SECS, HISTORY_MESSAGES_MAX, KEPT_ROOM_IDLE_FOR, KEPT_ROOM_UNUSED_FOR, Level,
    PRESENCE_NAMES_MAX, ROOM_SILENCE, ROOMS_CHECKED_AT_ONCE,
};
use crate::domain::crowd::Crowd;
use crate::domain::error::ErrorCode;
use crate::domain::event::ChatMessage;
use crate::domain::facts::OpenedRoom;
use crate::domain::ids::Serial;
use crate::domain::position::Position;
use crate::domain::random::split_mix;
use crate::domain::time::{Now, Timestamp};
use crate::domain::wishes::Opening;
use crate::wire::resp::{Command, Reply, read_hex};

impl Node {
    /// Takes a room to open.
    pub fn open(&mut self, opening: &Opening, now: Now) {
        let room = opening.name.clone();
        let missing = match (opening.only_existing, opening.creator.is_some()) {
            (true, _) => Missing::Refuse,
            (false, true) => Missing::MakeNew,
            (false, false) => Missing::Make,
        };
        let mut mirror = Mirror::new(
            opening.serial,
            opening.max_users,
            opening.is_kept,
            now.monotonic,
        );
        mirror.missing = missing;
        mirror.proposed = split_mix(&mut self.random);
        mirror.generation = mirror.proposed;
        self.mirrors.insert(room.clone(), mirror);
        if self.link.is_subscribed {
            self.subscribe(&[self.keys.of("r", &room)]);
        }
        self.ask_to_open(&room, now);
    }

    fn ask_to_open(&mut self, room: &Rc<str>, now: Now) {
        if let Some(command) = self.open_command(room) {
            self.ask_at_once(Ask::Open(room.clone()), command, now);
        }
    }

    /// The command that opens a room, for the engine of this connection.
    fn open_command(&mut self, room: &Rc<str>) -> Option<Vec<u8>> {
        let renewed = split_mix(&mut self.random);
        let mirror = self.mirrors.get(room)?;
        let mut command = self.room_command(Script::Open, 8, &["m", "h", "p", "x"], room);
        command.text(&self.keys.single("rooms"));
        command.text(&self.keys.single("idle"));
        command.text(&self.keys.seats(&self.id, room));
        command.text(&self.keys.of("z", room));
        command.text(self.keys.prefix());
        command.number(self.keys.tag(room).into()).text(room);
        command.number(mirror.missing as u64);
        command.number(mirror.max_users.into());
        command.number(mirror.is_kept.into()).hex(mirror.proposed);
        for limit in [
            self.rooms_max as u64,
            ENGINE_KEPT_SECS,
            KEPT_ROOM_IDLE_FOR.as_millis() as u64,
            KEPT_ROOM_UNUSED_FOR.as_millis() as u64,
            PRESENCE_NAMES_MAX as u64,
            HISTORY_MESSAGES_MAX as u64,
        ] {
            command.number(limit);
        }
        command.text(&self.link.run).hex(renewed);
        match mirror.is_open() {
            true => command.hex(mirror.epoch),
            false => command.text(""),
        };
        Some(command.finish())
    }

    /// Rooms that are to be opened were asked for at another engine, or at an earlier run of it: they are asked for at this one.
    /// Messages were said in rooms that may have another epoch since.
    pub(super) fn readdress_requests(&mut self) {
        for mut request in std::mem::take(&mut self.link.queue) {
            let command = match &request.ask {
                Ask::Open(room) => self.open_command(&room.clone()),
                Ask::Publish(said) => Some(self.publish_command(said, request.was_sent)),
                _ => None,
            };
            if let Some(command) = command {
                self.link.take_bytes(&request);
                request.command = command;
                self.link.add_bytes(&request);
            }
            self.link.queue.push_back(request);
        }
    }

    /// Asks also while everything is being asked for anew: that ends only when rooms are loaded.
    fn ask_at_once(&mut self, ask: Ask, command: Vec<u8>, now: Now) {
        let is_setting_up = matches!(self.link.state, super::link::State::Setup(_))
            && (self.link.setup_left > 0 || self.is_reloading());
        // Before that it may be no engine for us.
        let is_known = !self.link.run.is_empty();
        match is_setting_up && is_known {
            true => self.set_up_as(ask, command, now),
            false => self.ask(ask, command, now),
        }
    }

    /// Takes the reply to an opening.
    pub(super) fn opened(&mut self, room: &Rc<str>, reply: &Reply, now: Now) {
        match reply.text_at(0) {
            Some("ok") => self.take_room(room, reply, now),
            Some("exists") => self.refuse_opening(room, ErrorCode::RoomExists),
            Some("limit") => self.refuse_opening(room, ErrorCode::TooManyRooms),
            Some("none") => self.refuse_opening(room, ErrorCode::RoomNotFound),
            // If it is opened again meanwhile, this is not the answer to that.
            Some("removed") => self.room_removed(room),
            _ => self.refuse_opening(room, ErrorCode::BackendUnavailable),
        }
        self.end_setup_if_done(now);
    }

    pub(super) fn refuse_opening(&mut self, room: &Rc<str>, code: ErrorCode) {
        let Some(mirror) = self.mirrors.get_mut(room) else {
            return;
        };
        match mirror.state {
            State::Opening(serial) => {
                self.report(News::Failed(serial, code));
                self.drop_mirror(room, code);
            }
            // It stays as it is, and is compared again soon.
            _ => {
                mirror.state = State::Live;
                let again = std::mem::take(&mut mirror.again);
                for request in again {
                    self.refuse(request, ErrorCode::BackendUnavailable);
                }
            }
        }
    }

    /// Follows a room no more. What waits in it is refused.
    pub(super) fn drop_mirror(&mut self, room: &Rc<str>, code: ErrorCode) {
        let Some(mut mirror) = self.mirrors.remove(room) else {
            return;
        };
        for ((epoch, seq), serial) in mirror.forget_held() {
            self.acknowledge(serial, Position { epoch, seq });
        }
        for request in std::mem::take(&mut mirror.again) {
            self.refuse(request, code);
        }
        if self.link.is_subscribed {
            let mut command = Command::new("UNSUBSCRIBE");
            command.text(&self.keys.of("r", room));
            self.link.push_bytes(&command.finish());
        }
    }

    /// The server follows a room no more.
    pub fn close(&mut self, room: &Rc<str>) {
        self.drop_mirror(room, ErrorCode::BackendUnavailable);
    }

    fn take_room(&mut self, room: &Rc<str>, reply: &Reply, now: Now) {
        let Some((mut opened, crowd, mark)) = read_room(room, reply) else {
            return self.refuse_opening(room, ErrorCode::BackendUnavailable);
        };
        let revision = reply.number_at(9).unwrap_or(0);
        let Some(mirror) = self.mirrors.get_mut(room) else {
            return;
        };
        mirror.heard = now.monotonic;
        let before = std::mem::replace(&mut mirror.revision, revision);
        let first = opened.newest + 1 - opened.messages.len() as u64;
        let is_same =
            mirror.is_open() && mirror.epoch == opened.epoch && mirror.newest <= opened.newest;
        if is_same && mirror.newest + 1 >= first {
            // Nothing is lost: only what is new is told.
            let (newest, mark_before) = (mirror.newest, mirror.mark.clone());
            let answered = mirror.loaded(opened.epoch, newest, mark_before);
            self.acknowledge_all(answered);
            if revision != before {
                self.take_changes(room, &opened, newest);
            }
            self.offer_new(room, &opened, newest, &mark, now);
            self.report(News::Crowd(room.clone(), crowd));
        } else {
            let is_first = !mirror.is_open();
            // It has the epoch that was proposed for one that is not there.
            opened.is_made = is_first && mirror.proposed == opened.epoch;
            let serial = match mirror.state {
                State::Opening(serial) => serial,
                _ => Serial(0),
            };
            (mirror.max_users, mirror.is_kept) = (opened.max_users, opened.is_kept);
            mirror.rules = opened.rules;
            let answered = mirror.loaded(opened.epoch, opened.newest, mark);
            self.acknowledge_all(answered);
            if !is_first {
                self.figures.epochs += 1;
                self.note(
                    Level::Warn,
                    "rooms_renewed",
                    vec![("room", room.to_string())],
                );
            }
            self.report(match is_first {
                true => News::Opened(serial, opened, crowd),
                false => News::Reloaded(room.clone(), opened, crowd),
            });
        }
        if let Some(other) = reply.text_at(11).filter(|other| !other.is_empty()) {
            self.report(News::MadeWay(other.into()));
        }
        self.drain(room);
        let mut seats = Vec::new();
        for name in reply.items().get(8).map(Reply::items).unwrap_or_default() {
            if let Some(name) = name.text() {
                seats.push(name.into());
            }
        }
        self.report(News::Reseat(room.clone(), seats));
        self.publish_again(room, now);
    }

    /// Takes the rules of a room, and which of the messages up to `newest` were deleted: some of it is news here.
    fn take_changes(&mut self, room: &Rc<str>, opened: &OpenedRoom, newest: u64) {
        self.set(room, (opened.max_users, opened.is_kept, opened.rules));
        for message in &opened.messages {
            if let Some(at) = message.deleted_at
                && message.position.seq <= newest
            {
                self.report(News::Deleted(room.clone(), message.position, at));
            }
        }
    }

    /// Takes the messages of a room after `newest`; `mark` is that of the last one.
    fn offer_new(
        &mut self,
        room: &Rc<str>,
        opened: &OpenedRoom,
        newest: u64,
        mark: &str,
        now: Now,
    ) {
        for message in &opened.messages {
            let seq = message.position.seq;
            if seq <= newest {
                continue;
            }
            self.figures.filled += 1;
            let mark = if seq == opened.newest { mark } else { "" };
            let entry = Message {
                mark: mark.into(),
                is_guest: message.guest,
                username: (*message.username).into(),
                content: message.content.clone(),
                timestamp: message.timestamp,
                deleted_at: message.deleted_at,
            };
            self.offer(room, (opened.epoch, seq), entry, None, now);
        }
    }

    /// Sends again what was refused because the engine did not have the room.
    fn publish_again(&mut self, room: &Rc<str>, now: Now) {
        let Some(mirror) = self.mirrors.get_mut(room) else {
            return;
        };
        for mut request in std::mem::take(&mut mirror.again) {
            if let Ask::Publish(said) = &request.ask {
                request.command = self.publish_command(said, true);
            }
            self.link.push(request, now.monotonic);
        }
    }

    /// Loads a room anew. What was refused meanwhile is published after it.
    pub fn reload(&mut self, room: &Rc<str>, now: Now) {
        let Some(mirror) = self.mirrors.get_mut(room) else {
            return;
        };
        if matches!(mirror.state, State::Live | State::Filling) {
            mirror.state = State::Reloading;
            mirror.missing = Missing::Make;
            mirror.proposed = split_mix(&mut self.random);
            self.ask_to_open(room, now);
        }
    }

    pub(super) fn ask_to_fill(&mut self, room: &Rc<str>, now: Now) {
        let mut command = self.room_command(Script::Fill, 3, &["m", "h", "x"], room);
        command.number(self.mirrors[room].newest + 1);
        self.ask_at_once(Ask::Fill(room.clone()), command.finish(), now);
    }

    /// Takes messages that were missing.
    pub(super) fn filled(&mut self, room: &Rc<str>, reply: &Reply, now: Now) {
        let Some(mirror) = self.mirrors.get_mut(room) else {
            return;
        };
        if !matches!(mirror.state, State::Filling) {
            return;
        }
        mirror.state = State::Live;
        let epoch = reply.text_at(0).and_then(read_hex);
        let entries = reply.items().get(2).map(Reply::items).unwrap_or_default();
        let deleted = reply.items().get(3).map(Message::read_deleted);
        let mut deleted = deleted.unwrap_or_default();
        let (epoch, newest) = match (epoch, reply.number_at(1)) {
            (Some(epoch), Some(newest)) if epoch == mirror.epoch => (epoch, newest),
            _ => return self.reload(room, now),
        };
        // Some, or all, may have come meanwhile.
        let first = mirror.newest + 1;
        let entries = entries.iter().filter_map(Message::of_entry);
        let mut entries = entries.skip_while(|(number, _)| *number < first);
        for number in first..=newest {
            let message = match take_deleted(&mut deleted, number) {
                Some(message) => message,
                None => match entries.next() {
                    Some((other, message)) if other == number => message,
                    _ => return self.reload(room, now),
                },
            };
            self.figures.filled += 1;
            self.offer(room, (epoch, number), message, None, now);
        }
    }

    pub(super) fn check_command(&mut self, room: &Rc<str>) -> Vec<u8> {
        let epoch = split_mix(&mut self.random);
        let mirror = &self.mirrors[room];
        let mut command = self.room_command(Script::Check, 4, &["m", "h", "x", "z"], room);
        command.hex(mirror.epoch).number(mirror.newest);
        command.text(&mirror.mark);
        command.hex(epoch).text(&self.keys.of("r", room));
        command.number(ENGINE_KEPT_SECS).text(&self.link.run);
        command.number(mirror.revision).finish()
    }

    /// Compares rooms of which nothing was heard for a while.
    pub(super) fn check_silent(&mut self, now: Now) {
        let is_silent = |mirror: &Mirror| {
            matches!(mirror.state, State::Live) && mirror.heard + ROOM_SILENCE <= now.monotonic
        };
        let silent = self.mirrors.iter().filter(|(_, mirror)| is_silent(mirror));
        let silent: Vec<Rc<str>> = silent
            .map(|(room, _)| room.clone())
            .take(ROOMS_CHECKED_AT_ONCE)
            .collect();
        let is_all = silent.len() < ROOMS_CHECKED_AT_ONCE;
        for room in silent {
            let command = self.check_command(&room);
            if let Some(mirror) = self.mirrors.get_mut(&room) {
                mirror.heard = now.monotonic;
            }
            self.ask(Ask::Check(room, false), command, now);
        }
        let wait = if is_all {
            ROOM_SILENCE
        } else {
            ROOM_SILENCE / 10
        };
        self.check_due = now.monotonic + wait;
    }

    /// Takes the result of a comparison.
    pub(super) fn checked(&mut self, room: &Rc<str>, reply: &Reply, now: Now) {
        let Some(mirror) = self.mirrors.get_mut(room) else {
            return;
        };
        mirror.heard = now.monotonic;
        match reply.text_at(0) {
            Some("same") => {}
            Some("removed") => self.room_removed(room),
            Some("behind") if matches!(mirror.state, State::Live) => {
                mirror.state = State::Filling;
                self.ask_to_fill(room, now);
            }
            Some("behind") => {}
            _ => self.reload(room, now),
        }
    }
}

/// Names and marks of users, as the engine keeps them.
pub(super) fn read_names(reply: &Reply) -> Vec<(Rc<str>, bool)> {
    let mut names = Vec::new();
    for (name, kind) in reply.pairs() {
        if let Some((name, kind)) = name.text().zip(kind.text()) {
            names.push((name.into(), kind.ends_with('g')));
        }
    }
    names
}

/// Takes a message out of those that were deleted.
fn take_deleted(deleted: &mut Deleted, number: u64) -> Option<Message> {
    let place = deleted.iter().position(|(other, _)| *other == number)?;
    Some(deleted.swap_remove(place).1)
}

/// Reads a room that was opened, who is there, and the mark of its newest message.
fn read_room(room: &Rc<str>, reply: &Reply) -> Option<(OpenedRoom, Crowd, Box<str>)> {
    let [
        _,
        epoch,
        newest,
        settings,
        created,
        count,
        names,
        entries,
        _,
        _,
        deleted,
        _,
    ] = reply.items()
    else {
        return None;
    };
    let (max_users, is_kept, rules) = read_settings(settings.text()?)?;
    let mut deleted = Message::read_deleted(deleted);
    let epoch = read_hex(epoch.text()?)?;
    let newest = newest.number()?;
    let mut messages = Vec::new();
    let mut mark: Option<Box<str>> = None;
    let mut entries = entries.items().iter().filter_map(Message::of_entry);
    let mut entry = entries.next();
    // Newest first. What is behind a hole cannot be shown, unless a message was deleted there.
    for number in (1..=newest).rev().take(rules.history_messages as usize) {
        let message = match entry.take_if(|(other, _)| *other == number) {
            Some((_, message)) => {
                entry = entries.next();
                Some(message)
            }
            None => take_deleted(&mut deleted, number),
        };
        let Some(message) = message else {
            break;
        };
        mark.get_or_insert(message.mark);
        messages.push(Rc::new(ChatMessage {
            room: room.clone(),
            username: message.username.into(),
            content: message.content,
            timestamp: message.timestamp,
            position: Position { epoch, seq: number },
            guest: message.is_guest,
            deleted_at: message.deleted_at,
        }));
    }
    messages.reverse();
    let opened = OpenedRoom {
        epoch,
        max_users,
        is_kept,
        rules,
        created_at: Timestamp::from_secs(created.number()? / 1000),
        newest,
        messages,
        is_made: false,
    };
    let crowd = Crowd::new(count.number()?.try_into().ok()?, read_names(names));
    Some((opened, crowd, mark.unwrap_or_default()))
}
