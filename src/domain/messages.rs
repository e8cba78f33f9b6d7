//! What is said: in rooms, where it becomes history, and in private.

use std::rc::Rc;

use super::error::ErrorCode;
use super::event::{ChatMessage, Draft, Effect, Event};
use super::ids::ConnectionId;
use super::rooms::{Effects, RoomManager};
use super::time::{Now, Timestamp};
use crate::config::HISTORY_TOTAL_BYTES_MAX;

impl RoomManager {
    /// Somebody says something in a room: a wish for the backend to order and keep it, or, when the same `id` was
    /// acknowledged before, the same acknowledgement again.
    ///
    /// # Errors
    /// `not_in_room`, `bad_request` (nothing said), `content_too_long`.
    pub fn chat(
        &mut self,
        connection: ConnectionId,
        room: &str,
        content: &str,
        id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let room = self.joined(connection, room)?;
        self.check_content(content)?;
        if self.acknowledge_again(connection, id, now, effects) {
            return Ok(());
        }
        let user = self
            .people
            .user_of(connection)
            .ok_or(ErrorCode::Unauthorized)?;
        effects.push_back(Effect::Publish(Draft {
            room,
            username: self.people.name(user).clone(),
            content: content.into(),
            acknowledge: id.map(|id| (connection, id.into())),
        }));
        Ok(())
    }

    /// The backend has ordered and kept a message: it is history now, and everybody in the room is told.
    pub fn committed(&mut self, draft: Draft, now: Now, effects: &mut Effects) {
        let Some(room) = self.rooms.get_mut(draft.room.index()) else {
            return;
        };
        let position = room.history.next_position();
        let message = Rc::new(ChatMessage {
            room: room.name.clone(),
            username: draft.username.clone(),
            content: draft.content,
            timestamp: Timestamp::from(now),
            position,
        });
        self.history_bytes -= room.history.bytes();
        room.history.append(message.clone());
        room.trim_history();
        self.history_bytes += room.history.bytes();
        self.mark_used(draft.room);
        self.trim_histories();
        self.send_to_room(draft.room, Event::Chat(message), None, effects);
        if let Some((connection, id)) = draft.acknowledge {
            self.acknowledged
                .insert(draft.username, id.clone(), Some(position), now.monotonic);
            effects.push_back(Effect::Tell(
                connection,
                Event::Ack {
                    id,
                    position: Some(position),
                },
            ));
        }
    }

    /// A private message to every connection of its target, echoed to every connection of its sender.
    ///
    /// # Errors
    /// `user_not_found`, `bad_request` (nothing said), `content_too_long`.
    pub fn whisper(
        &mut self,
        connection: ConnectionId,
        to: &str,
        content: &str,
        id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let from = self
            .people
            .user_of(connection)
            .ok_or(ErrorCode::Unauthorized)?;
        self.check_content(content)?;
        if self.acknowledge_again(connection, id, now, effects) {
            return Ok(());
        }
        let target = self.people.find(to).ok_or(ErrorCode::UserNotFound)?;
        let name = self.people.name(from).clone();
        let event = Event::Whisper {
            from: name.clone(),
            to: self.people.name(target).clone(),
            content: content.into(),
            timestamp: Timestamp::from(now),
        };
        let echoes = if target == from {
            &[]
        } else {
            self.people.connections(from)
        };
        let receivers = [self.people.connections(target), echoes].concat();
        effects.push_back(Effect::TellEach(receivers, event));
        if let Some(id) = id {
            self.acknowledged
                .insert(name, id.into(), None, now.monotonic);
            effects.push_back(Effect::Tell(
                connection,
                Event::Ack {
                    id: id.into(),
                    position: None,
                },
            ));
        }
        Ok(())
    }

    fn check_content(&self, content: &str) -> Result<(), ErrorCode> {
        let max = self.limits.content_chars;
        if content.is_empty() {
            return Err(ErrorCode::BadRequest);
        }
        // A text never has more characters than bytes: most need no counting.
        if content.len() > max && content.chars().count() > max {
            return Err(ErrorCode::ContentTooLong);
        }
        Ok(())
    }

    fn acknowledge_again(
        &mut self,
        connection: ConnectionId,
        id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> bool {
        let (Some(id), Some(user)) = (id, self.people.user_of(connection)) else {
            return false;
        };
        let username = self.people.name(user);
        let Some(position) = self.acknowledged.find(username, id, now.monotonic) else {
            return false;
        };
        effects.push_back(Effect::Tell(
            connection,
            Event::Ack {
                id: id.into(),
                position,
            },
        ));
        true
    }

    /// Over the limit of all histories together, the room that was used longest ago forgets first, until there is some
    /// room again, so that the search is rare.
    fn trim_histories(&mut self) {
        if self.history_bytes <= HISTORY_TOTAL_BYTES_MAX {
            return;
        }
        let enough = HISTORY_TOTAL_BYTES_MAX - HISTORY_TOTAL_BYTES_MAX / 16;
        while self.history_bytes > enough {
            let used = self
                .rooms
                .iter_mut()
                .filter(|(_, room)| !room.history.is_empty());
            let Some((_, room)) = used.min_by_key(|(_, room)| room.last_used) else {
                return;
            };
            self.history_bytes -= room.history.bytes();
            while !room.history.is_empty() && self.history_bytes + room.history.bytes() > enough {
                room.history.drop_oldest();
            }
            self.history_bytes += room.history.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, HISTORY_ON_ENTRY};
    use crate::domain::ids::RoomId;

    /// Says something in a room of this number.
    fn commit(manager: &mut RoomManager, room: usize, content: &str) {
        let draft = Draft {
            room: RoomId(room as u32),
            username: "u".into(),
            content: content.into(),
            acknowledge: None,
        };
        manager.committed(draft, Now::default(), &mut Effects::new());
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

    /// So many rooms, in which nothing was said.
    fn rooms(count: usize) -> RoomManager {
        let mut manager = RoomManager::new(Config::default().rooms, 1);
        for n in 0..count {
            let created = manager.create_room(&n.to_string(), None, Now::default());
            assert!(created.is_ok());
        }
        manager
    }

    #[test]
    fn over_the_limit_of_all_histories_the_room_used_longest_ago_forgets_as_much_as_has_to_be() {
        let mut manager = rooms(1);
        commit(&mut manager, 0, "");
        // Of such messages 256 fit exactly, and 240 are left when it has been too much.
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

    const A: ConnectionId = ConnectionId(0);
    const B: ConnectionId = ConnectionId(1);
    const C: ConnectionId = ConnectionId(2);

    /// `kim` with two connections and `lee` with one, of which `kim`'s first is in the room `r`.
    fn company() -> RoomManager {
        let mut limits = Config::default().rooms;
        limits.content_chars = 3;
        let mut manager = RoomManager::new(limits, 1);
        let mut effects = Effects::new();
        for (connection, name) in [(A, "kim"), (B, "kim"), (C, "lee")] {
            manager.enter(connection, name, None, &mut effects);
        }
        let joined = manager.join_room(A, "r", None, Now::default(), &mut effects);
        assert_eq!(joined, Ok(()));
        manager
    }

    /// Who was told a whisper, and who an acknowledgement.
    fn told(effects: &Effects) -> (Vec<u32>, Vec<u32>) {
        let (mut whispers, mut acks) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::TellEach(all, Event::Whisper { .. }) => {
                    whispers.extend(all.iter().map(|to| to.0));
                }
                Effect::Tell(to, Event::Ack { .. }) => acks.push(to.0),
                other => panic!("unexpected: {other:?}"),
            }
        }
        (whispers, acks)
    }

    #[test]
    fn something_is_said_by_who_is_in_the_room_and_is_neither_nothing_nor_too_much() {
        let mut manager = company();
        for (connection, content, expected) in [
            (A, "가나다", Ok(())),
            (A, "abc", Ok(())),
            (A, "", Err(ErrorCode::BadRequest)),
            (A, "가나다라", Err(ErrorCode::ContentTooLong)),
            (A, "abcde", Err(ErrorCode::ContentTooLong)),
            (B, "abc", Err(ErrorCode::NotInRoom)),
        ] {
            let mut effects = Effects::new();
            let done = manager.chat(connection, "r", content, None, Now::default(), &mut effects);
            assert_eq!(done, expected, "{content}");
            let is_published = matches!(effects.pop_front(), Some(Effect::Publish(_)));
            assert_eq!(is_published, expected.is_ok(), "{content}");
        }
    }

    #[test]
    fn a_whisper_reaches_every_connection_of_both_once_and_its_id_counts_once() {
        let mut manager = company();
        for (from, to, id, whispers, acks) in [
            (C, "kim", None, &[0, 1, 2][..], &[][..]),
            (A, "kim", None, &[0, 1], &[]),
            (A, "lee", Some("1"), &[2, 0, 1], &[0]),
            (B, "lee", Some("1"), &[], &[1]),
            (C, "kim", Some("1"), &[0, 1, 2], &[2]),
        ] {
            let mut effects = Effects::new();
            let done = manager.whisper(from, to, "hi!", id, Now::default(), &mut effects);
            assert_eq!(done, Ok(()));
            assert_eq!(told(&effects), (whispers.to_vec(), acks.to_vec()));
        }
        let nobody = manager.whisper(A, "park", "hi", None, Now::default(), &mut Effects::new());
        assert_eq!(nobody, Err(ErrorCode::UserNotFound));
    }
}
