//! What is said: in rooms, where it becomes history, and in private.

use std::rc::Rc;

use super::rooms::{Effects, RoomManager};
use super::{ChatMessage, ConnectionId, Draft, Effect, ErrorCode, Event, Now, Timestamp};
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
