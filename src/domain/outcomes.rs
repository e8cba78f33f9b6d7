//! Answers of the backend: a message enters the history and is broadcast, or its author learns that it failed.

use std::rc::Rc;

use super::acknowledged::PendingId;
use super::error::ErrorCode;
use super::event::{ChatMessage, Effect, Effects, Event};
use super::facts::{Fact, Outcome};
use super::ids::{RoomId, RoomKey, Serial, UserId, Waiter};
use super::position::Position;
use super::record::SaidAt;
use super::room::Answered;
use super::rooms::RoomManager;
use super::time::Now;
use super::wishes::Wish;
use crate::config::HISTORY_TOTAL_BYTES_MAX;

impl RoomManager {
    /// Takes an answer of the backend.
    pub fn answered(&mut self, outcome: Outcome, now: Now, effects: &mut Effects) {
        match outcome {
            Outcome::Published(fact) => self.published(fact, now, effects),
            Outcome::Acknowledged(serial, position) => {
                self.finish_publication(Some(serial), position, now, effects);
            }
            Outcome::Opened(serial, room) => self.opened(serial, Ok((room, None)), now, effects),
            Outcome::OpenedShared(serial, room, crowd) => {
                self.opened(serial, Ok((room, Some(crowd))), now, effects);
            }
            Outcome::Failed(serial, code) => self.failed(serial, code, now, effects),
        }
    }

    /// A message was committed: it enters the history and is broadcast, then acknowledged, then the exit of its author
    /// is announced if they have left.
    fn published(&mut self, fact: Fact, now: Now, effects: &mut Effects) {
        let (serial, position) = (fact.serial, fact.position);
        self.append(fact, now, effects);
        self.finish_publication(serial, position, now, effects);
    }

    /// A message of this server is stored: it is acknowledged, then the exit of its author is announced if they have left.
    fn finish_publication(
        &mut self,
        serial: Option<Serial>,
        position: Position,
        now: Now,
        effects: &mut Effects,
    ) {
        let wish = serial.and_then(|serial| self.wishes.take(serial));
        let Some(Wish::Publish {
            waiter,
            room,
            user,
            pending,
            ..
        }) = wish
        else {
            return;
        };
        match (pending, waiter) {
            (Some(pending), _) => {
                let stored = self.has_store().then(|| position.into());
                self.acknowledge(pending, (Some(position), stored), now, effects);
            }
            (None, Waiter::Request(serial, part)) => {
                effects.push_back(Effect::Posted(serial, part, Ok(Some(position))));
            }
            // Without an `id` a WebSocket is told by the message itself.
            (None, Waiter::Socket(_)) => {}
        }
        self.finish_wish(room, user, now, effects);
    }

    fn append(&mut self, fact: Fact, now: Now, effects: &mut Effects) {
        let RoomKey { id, epoch } = fact.room;
        let Some(room) = self.rooms.get_mut(id.index()) else {
            return;
        };
        if room.history.position().epoch != epoch {
            return;
        }
        let message = Rc::new(ChatMessage {
            room: room.name.clone(),
            username: fact.username,
            content: fact.content,
            timestamp: fact.timestamp,
            position: fact.position,
            guest: fact.is_guest && self.marks_guests,
            deleted_at: fact.deleted_at,
        });
        // The first message changes the room's place.
        self.unlist_evictable(id);
        let room = &mut self.rooms[id.index()];
        let (before, first) = (room.history.bytes(), room.history.first());
        // A message that is not the next one was broadcast already.
        if !room.history.append(message.clone()) {
            return self.list_evictable(id);
        }
        room.trim_history();
        self.history_bytes = self.history_bytes - before + room.history.bytes();
        self.note_dropped(id, first);
        if self.rooms[id.index()].rules.history_seconds.is_some() {
            self.drop_aged(id, now, effects);
        }
        self.mark_used(id, now);
        self.trim_histories();
        self.send_to_room(id, Event::of_message(&message), None, effects);
    }

    pub(super) fn acknowledge(
        &mut self,
        pending: PendingId,
        (position, stored): (Option<Position>, Option<SaidAt>),
        now: Now,
        effects: &mut Effects,
    ) {
        let (id, waiters) = self.acknowledged.done(pending, position, stored, now);
        for waiter in waiters {
            effects.push_back(Effect::acknowledged(waiter, position, id.clone()));
        }
    }

    /// A wish failed: the connections that wait for it are refused, and may send the message again.
    fn failed(&mut self, serial: Serial, code: ErrorCode, now: Now, effects: &mut Effects) {
        match self.wishes.get_mut(serial) {
            Some(Wish::Open { .. }) => return self.opened(serial, Err(code), now, effects),
            Some(Wish::Seat { .. }) => return self.not_seated(serial, code, now, effects),
            _ => {}
        }
        match self.wishes.take(serial) {
            None | Some(Wish::Open { .. } | Wish::Seat { .. }) => {}
            Some(Wish::Whisper {
                waiter, message_id, ..
            }) => effects.push_back(Effect::refused(waiter, code, message_id)),
            Some(Wish::Publish {
                waiter,
                room,
                user,
                pending,
                ..
            }) => {
                self.refuse(waiter, pending, code, effects);
                self.finish_wish(room, user, now, effects);
            }
        }
    }

    /// Refuses a message under way, to all who have sent it.
    fn refuse(
        &mut self,
        waiter: Waiter,
        pending: Option<PendingId>,
        code: ErrorCode,
        effects: &mut Effects,
    ) {
        match pending {
            None => effects.push_back(Effect::refused(waiter, code, None)),
            Some(pending) => {
                let (id, waiters) = self.acknowledged.failed(pending);
                let refusals = waiters
                    .into_iter()
                    .map(|waiter| Effect::refused(waiter, code, Some(id.clone())));
                effects.extend(refusals);
            }
        }
    }

    /// A message is answered: its author may leave, and its room be evicted.
    fn finish_wish(
        &mut self,
        room: RoomKey,
        user: Option<UserId>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(user) = user else {
            self.rooms[room.id.index()].posts -= 1;
            self.list_evictable(room.id);
            return self.drop_if_gone(room.id, effects);
        };
        let is_in_grace = self.graces.contains(room.id, user);
        match self.rooms[room.id.index()].remove_wish(user, is_in_grace) {
            Answered::Nothing => {}
            Answered::Last => {
                self.announce_exit(room.id, user, now, effects);
                self.people.remove_leaving(user);
            }
            Answered::Rest => self.people.remove_leaving(user),
        }
        self.list_evictable(room.id);
        self.drop_if_gone(room.id, effects);
    }

    /// Above the limit of all histories together, the least recently used rooms drop their oldest messages, until a
    /// sixteenth of it is free, so that the search is rare.
    pub(super) fn trim_histories(&mut self) {
        if self.history_bytes <= HISTORY_TOTAL_BYTES_MAX {
            return;
        }
        let enough = HISTORY_TOTAL_BYTES_MAX - HISTORY_TOTAL_BYTES_MAX / 16;
        while self.history_bytes > enough {
            let used = self
                .rooms
                .iter_mut()
                .filter(|(_, room)| !room.history.is_empty());
            let Some((slot, room)) = used.min_by_key(|(_, room)| room.last_used) else {
                return;
            };
            let first = room.history.first();
            self.history_bytes -= room.history.bytes();
            while !room.history.is_empty() && self.history_bytes + room.history.bytes() > enough {
                room.history.drop_oldest();
            }
            self.history_bytes += room.history.bytes();
            self.note_dropped(RoomId(slot as u32), first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, HISTORY_ON_ENTRY};
    use crate::domain::ids::{ConnectionId, RoomId};
    use crate::domain::membership::Exit;
    use crate::domain::rooms::Joined;
    use crate::domain::testing::{A, B, C, creator, opened, origin, published, settle, two_users};
    use crate::domain::time::Timestamp;
    use crate::domain::wishes::Publication;

    /// Commits a message in the room with this number.
    fn commit(manager: &mut RoomManager, room: usize, content: &str) {
        let key = manager.key(RoomId(room as u32));
        let seq = manager.rooms[room].history.position().seq + 1;
        let fact = Fact {
            serial: None,
            room: key,
            username: "u".into(),
            is_guest: true,
            content: content.into(),
            timestamp: Timestamp(0),
            position: Position {
                epoch: key.epoch,
                seq,
            },
            deleted_at: None,
        };
        let outcome = Outcome::Published(fact);
        manager.answered(outcome, Now::default(), &mut Effects::new());
    }

    fn lens(manager: &RoomManager) -> Vec<usize> {
        let bytes: usize = manager
            .rooms
            .iter()
            .map(|(_, room)| room.history.bytes())
            .sum();
        assert_eq!(bytes, manager.history_bytes);
        manager
            .rooms
            .iter()
            .map(|(_, room)| room.history.len())
            .collect()
    }

    /// This many rooms without messages.
    fn rooms(count: usize) -> RoomManager {
        let mut manager = RoomManager::new(Config::default().rooms);
        for n in 0..count {
            let mut effects = Effects::new();
            let (name, now) = (n.to_string(), Now::default());
            let created = manager.create_room(Serial(1), creator(), &name, None, now, &mut effects);
            assert!(created.is_ok());
            settle(&mut manager, &mut effects, now);
        }
        manager
    }

    #[test]
    fn over_the_limit_of_all_histories_the_room_used_longest_ago_forgets_as_much_as_has_to_be() {
        let mut manager = rooms(1);
        commit(&mut manager, 0, "");
        // Exactly 256 messages of this length fit; above that 240 are left.
        let content = "x".repeat(HISTORY_TOTAL_BYTES_MAX / 256 - manager.history_bytes);
        let mut manager = rooms(7);
        for n in 0..256 {
            commit(&mut manager, n / HISTORY_ON_ENTRY, &content);
        }
        assert_eq!(lens(&manager), [50, 50, 50, 50, 50, 6, 0]);
        commit(&mut manager, 6, &content);
        assert_eq!(lens(&manager), [33, 50, 50, 50, 50, 6, 1]);
        for _ in 0..34 {
            commit(&mut manager, 6, &content);
        }
        assert_eq!(lens(&manager), [0, 49, 50, 50, 50, 6, 35]);
    }

    #[test]
    fn a_room_that_was_used_lately_keeps_what_it_has() {
        let mut manager = rooms(2);
        let content = "x".repeat(HISTORY_TOTAL_BYTES_MAX / 3);
        for (room, expected) in [(0, [1, 0]), (1, [1, 1]), (0, [2, 0]), (1, [1, 1])] {
            commit(&mut manager, room, &content);
            assert_eq!(lens(&manager), expected, "{room}");
        }
    }

    /// The messages under way, in order.
    fn under_way(effects: &mut Effects) -> Vec<Publication> {
        let all = effects.drain(..);
        all.filter_map(|effect| match effect {
            Effect::Publish(publication) => Some(publication),
            _ => None,
        })
        .collect()
    }

    /// The connection and the `id` (or code) of each acknowledgement and refusal.
    fn replies(effects: &Effects) -> Vec<(u32, String)> {
        let replies = effects.iter().filter_map(|effect| match effect {
            Effect::Reply(to, Event::Ack { id, .. }) => Some((to.connection.0, id.to_string())),
            Effect::Reply(to, Event::Error { code, .. }) => {
                Some((to.connection.0, code.name().to_owned()))
            }
            _ => None,
        });
        replies.collect()
    }

    fn say(manager: &mut RoomManager, from: ConnectionId, id: &str, effects: &mut Effects) {
        let said = manager.chat(origin(from), "r", "hi!", Some(id), Now::default(), effects);
        assert_eq!(said, Ok(()));
    }

    #[test]
    fn a_message_sent_again_while_it_is_under_way_is_said_once_and_acknowledged_to_both() {
        let mut manager = two_users();
        let mut effects = Effects::new();
        let joined = manager.join_room(origin(B), "r", (None, None), Now::default(), &mut effects);
        assert_eq!(joined, Ok(Joined::Now));
        say(&mut manager, A, "1", &mut effects);
        say(&mut manager, B, "1", &mut effects);
        let mut said = under_way(&mut effects);
        assert_eq!(said.len(), 1);
        let outcome = published(said.remove(0), 1);
        manager.answered(outcome, Now::default(), &mut effects);
        assert_eq!(replies(&effects), [(0, "1".into()), (1, "1".into())]);
        manager.check();
    }

    #[test]
    fn a_message_that_failed_is_refused_and_may_be_said_again() {
        let mut manager = two_users();
        let mut effects = Effects::new();
        say(&mut manager, A, "1", &mut effects);
        let serial = under_way(&mut effects)[0].serial;
        for _ in 0..2 {
            let outcome = Outcome::Failed(serial, ErrorCode::StorageUnavailable);
            manager.answered(outcome, Now::default(), &mut effects);
            assert_eq!(replies(&effects), [(0, "storage_unavailable".into())]);
        }
        effects.clear();
        say(&mut manager, A, "1", &mut effects);
        assert_eq!(under_way(&mut effects).len(), 1);
        manager.check();
    }

    /// Who was announced in a room, and whether as entering.
    fn announced(effects: &mut Effects) -> Vec<(bool, String)> {
        let announced = effects.drain(..).filter_map(|effect| match effect {
            Effect::Broadcast { event, .. } => Some(event),
            _ => None,
        });
        let announced = announced.filter_map(|event| match event {
            Event::UserJoined { username, .. } => Some((true, username.to_string())),
            Event::UserLeft { username, .. } => Some((false, username.to_string())),
            _ => None,
        });
        announced.collect()
    }

    #[test]
    fn an_author_who_leaves_has_left_before_another_user_with_the_same_name_enters() {
        for is_account in [true, false] {
            let (mut manager, mut effects) = (two_users(), Effects::new());
            let now = Now::default();
            let (first, second) = (ConnectionId(3), ConnectionId(4));
            let enter = |manager: &mut RoomManager, connection, is_account: bool| {
                let mut effects = Effects::new();
                let expires_at = is_account.then_some(Timestamp(9));
                manager.enter(connection, "park", expires_at, &mut effects);
                let joined =
                    manager.join_room(origin(connection), "r", (None, None), now, &mut effects);
                assert_eq!(joined, Ok(Joined::Now));
                effects
            };
            enter(&mut manager, first, !is_account);
            say(&mut manager, first, "1", &mut effects);
            let said = under_way(&mut effects).remove(0);
            manager.exit(first, Exit::Closed, now, &mut effects);
            assert_eq!(announced(&mut effects), []);
            let park = || "park".to_owned();
            let mut effects = enter(&mut manager, second, is_account);
            let news = [(false, park()), (true, park())];
            assert_eq!(announced(&mut effects), news);
            assert_eq!(
                manager.get_room_info("r").map(|(info, _)| info.users),
                Ok(2)
            );
            // Who comes meanwhile is not taken for them.
            let third = ConnectionId(5);
            manager.enter(third, "choi", None, &mut effects);
            let joined = manager.join_room(origin(third), "r", (None, None), now, &mut effects);
            assert_eq!(joined, Ok(Joined::Now));
            announced(&mut effects);
            manager.exit(third, Exit::Closed, now, &mut effects);
            assert_eq!(announced(&mut effects), [(false, "choi".to_owned())]);
            for connection in [A, second] {
                manager.exit(connection, Exit::Closed, now, &mut effects);
            }
            manager.check();
            effects.clear();
            // Their message is said all the same, and nobody leaves again.
            manager.answered(published(said, 1), now, &mut effects);
            assert_eq!(replies(&effects), [(3, "1".into())]);
            assert_eq!(announced(&mut effects), []);
            manager.check();
        }
    }

    #[test]
    fn what_guests_said_before_a_room_was_opened_is_marked_only_where_it_is_asked_for() {
        for marks_guests in [true, false] {
            let (mut manager, mut effects) = (two_users(), Effects::new());
            manager.marks_guests = marks_guests;
            let joined =
                manager.join_room(origin(C), "s", (None, None), Now::default(), &mut effects);
            assert_eq!(joined, Ok(Joined::Later));
            let Some(Effect::Open(opening)) = effects.pop_front() else {
                panic!("the room is opened");
            };
            let Outcome::Opened(serial, mut room) = opened(&opening) else {
                panic!("it is opened");
            };
            for (seq, guest) in [(1, true), (2, false)] {
                let epoch = room.epoch;
                room.messages.push(Rc::new(ChatMessage {
                    room: "s".into(),
                    username: "u".into(),
                    content: "hi".into(),
                    timestamp: Timestamp(0),
                    position: Position { epoch, seq },
                    guest,
                    deleted_at: None,
                }));
            }
            room.newest = 2;
            manager.answered(Outcome::Opened(serial, room), Now::default(), &mut effects);
            let room = manager.find("s").expect("is open");
            let marks = room.history.last(2).map(|message| message.guest);
            assert!(marks.eq([marks_guests, false]));
        }
    }

    #[test]
    fn an_author_leaves_after_their_last_words_and_the_room_stays_until_then() {
        let mut manager = two_users();
        let mut effects = Effects::new();
        say(&mut manager, A, "1", &mut effects);
        let said = under_way(&mut effects).remove(0);
        manager.exit(A, Exit::Closed, Now::default(), &mut effects);
        manager.exit(B, Exit::Closed, Now::default(), &mut effects);
        manager.check();
        assert_eq!(manager.people().find("kim"), None);
        assert!(manager.evictable.is_empty());
        effects.clear();
        manager.answered(published(said, 1), Now::default(), &mut effects);
        let kinds: Vec<&str> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Broadcast { event, .. } => match event {
                    Event::Chat(_) => "chat",
                    Event::UserLeft { .. } => "left",
                    _ => "other",
                },
                _ => "reply",
            })
            .collect();
        assert_eq!(kinds, ["chat", "reply", "left"]);
        assert_eq!(manager.evictable.len(), 1);
        manager.check();
    }
}
