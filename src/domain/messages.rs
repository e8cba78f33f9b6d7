//! Messages: in rooms, where they enter the history, and in private.

use super::acknowledged::{Claim, Destination, MessageKey, PendingId};
use super::error::ErrorCode;
use super::event::{Effect, Effects, Event};
use super::ids::{Origin, UserId};
use super::rooms::RoomManager;
use super::time::{Now, Timestamp};
use super::wishes::{Publication, Wish};

impl RoomManager {
    /// A message in a room: becomes a wish for the backend to order and store it. If its `id` was acknowledged before,
    /// it is only acknowledged again.
    ///
    /// # Errors
    /// `not_in_room`, `bad_request` (no text), `content_too_long`, `id_reused`, `storage_unavailable` (too many wishes
    /// are under way).
    pub fn chat(
        &mut self,
        origin: Origin,
        room: &str,
        content: &str,
        id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let room = self.joined(origin.connection, room)?;
        self.check_content(content)?;
        let user = self
            .people
            .user_of(origin.connection)
            .ok_or(ErrorCode::Unauthorized)?;
        if !self.wishes.has_room_for(content.len()) {
            return Err(ErrorCode::StorageUnavailable);
        }
        let key = self.key(room);
        let claimed = match id {
            None => Ok(None),
            Some(id) => {
                let destination = Destination::Room(key);
                self.claim(origin, user, destination, content, id, now, effects)
            }
        };
        let pending = match claimed {
            Ok(pending) => pending,
            Err(refused) => return refused,
        };
        let serial = self.wishes.add(Wish::Publish {
            origin,
            room: key,
            user,
            pending,
            bytes: content.len(),
        });
        self.rooms[room.index()].add_wish(user);
        effects.push_back(Effect::Publish(Publication {
            serial,
            room: key,
            username: self.people.name(user).clone(),
            content: content.into(),
            message_id: id.map(Into::into),
        }));
        Ok(())
    }

    /// Enters a message with an `id` as under way. `Err` is the result of the command if the `id` is not new.
    #[allow(
        clippy::too_many_arguments,
        reason = "a message, and what every command has"
    )]
    fn claim(
        &mut self,
        origin: Origin,
        user: UserId,
        destination: Destination,
        content: &str,
        id: &str,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<PendingId>, Result<(), ErrorCode>> {
        let key = MessageKey {
            sender: self.people.sender(user),
            destination,
            id: id.into(),
        };
        match self.acknowledged.claim(key, content, origin, now.monotonic) {
            Claim::New(pending) => Ok(Some(pending)),
            Claim::UnderWay => Err(Ok(())),
            Claim::OtherContent => Err(Err(ErrorCode::IdReused)),
            Claim::Done(position) => {
                let id = id.into();
                let ack = Event::Ack { id, position };
                effects.push_back(Effect::Answer(origin.connection, ack));
                Err(Ok(()))
            }
        }
    }

    /// A private message to every connection of its target, echoed to every connection of its sender.
    ///
    /// # Errors
    /// `user_not_found`, `bad_request` (no text), `content_too_long`, `id_reused`.
    pub fn whisper(
        &mut self,
        origin: Origin,
        to: &str,
        content: &str,
        id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let from = self
            .people
            .user_of(origin.connection)
            .ok_or(ErrorCode::Unauthorized)?;
        self.check_content(content)?;
        let claimed = match id {
            None => Ok(None),
            Some(id) => {
                let destination = Destination::Person(to.into());
                self.claim(origin, from, destination, content, id, now, effects)
            }
        };
        let pending = match claimed {
            Ok(pending) => pending,
            Err(refused) => return refused,
        };
        let Some(target) = self.people.find(to) else {
            if let Some(pending) = pending {
                self.acknowledged.failed(pending);
            }
            return Err(ErrorCode::UserNotFound);
        };
        let event = Event::Whisper {
            from: self.people.name(from).clone(),
            to: self.people.name(target).clone(),
            content: content.into(),
            timestamp: Timestamp::from(now),
        };
        effects.push_back(Effect::Whisper {
            by: origin.connection,
            from,
            to: target,
            event,
        });
        if let Some(pending) = pending {
            self.acknowledge(pending, None, now, effects);
        }
        Ok(())
    }

    fn check_content(&self, content: &str) -> Result<(), ErrorCode> {
        let max = self.limits.content_chars;
        if content.is_empty() {
            return Err(ErrorCode::BadRequest);
        }
        // A text has at most as many characters as bytes, so most need no counting.
        if content.len() > max && content.chars().count() > max {
            return Err(ErrorCode::ContentTooLong);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{A, B, C, origin, two_users};

    /// The connections of those who got a whisper, and those that got an acknowledgement.
    fn receivers(manager: &RoomManager, effects: &Effects) -> (Vec<u32>, Vec<u32>) {
        let (mut whispers, mut acks) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Whisper { from, to, .. } => {
                    let echoed = Some(from).filter(|from| *from != to);
                    let users = [to].into_iter().chain(echoed);
                    let all = users.flat_map(|user| manager.people.connections(*user));
                    whispers.extend(all.map(|to| to.0));
                }
                Effect::Answer(to, Event::Ack { .. }) => acks.push(to.0),
                Effect::Reply(to, Event::Ack { .. }) => acks.push(to.connection.0),
                other => panic!("unexpected: {other:?}"),
            }
        }
        (whispers, acks)
    }

    #[test]
    fn something_is_said_by_who_is_in_the_room_and_is_neither_nothing_nor_too_much() {
        let mut manager = two_users();
        for (connection, content, expected) in [
            (A, "가나다", Ok(())),
            (A, "abc", Ok(())),
            (A, "", Err(ErrorCode::BadRequest)),
            (A, "가나다라", Err(ErrorCode::ContentTooLong)),
            (A, "abcde", Err(ErrorCode::ContentTooLong)),
            (B, "abc", Err(ErrorCode::NotInRoom)),
        ] {
            let mut effects = Effects::new();
            let done = manager.chat(
                origin(connection),
                "r",
                content,
                None,
                Now::default(),
                &mut effects,
            );
            assert_eq!(done, expected, "{content}");
            let is_published = matches!(effects.pop_front(), Some(Effect::Publish(_)));
            assert_eq!(is_published, expected.is_ok(), "{content}");
        }
    }

    #[test]
    fn a_whisper_reaches_every_connection_of_both_once_and_its_id_counts_once() {
        let mut manager = two_users();
        for (from, to, id, whispers, acks) in [
            (C, "kim", None, &[0, 1, 2][..], &[][..]),
            (A, "kim", None, &[0, 1], &[]),
            (A, "lee", Some("1"), &[2, 0, 1], &[0]),
            (B, "lee", Some("1"), &[], &[1]),
            (C, "kim", Some("1"), &[0, 1, 2], &[2]),
        ] {
            let mut effects = Effects::new();
            let done = manager.whisper(origin(from), to, "hi!", id, Now::default(), &mut effects);
            assert_eq!(done, Ok(()));
            assert_eq!(
                receivers(&manager, &effects),
                (whispers.to_vec(), acks.to_vec())
            );
        }
        let nobody = manager.whisper(
            origin(A),
            "park",
            "hi",
            None,
            Now::default(),
            &mut Effects::new(),
        );
        assert_eq!(nobody, Err(ErrorCode::UserNotFound));
    }
}
