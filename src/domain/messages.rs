//! Messages: in rooms, where they enter the history, and in private.

use std::rc::Rc;

use super::acknowledged::{Claim, PendingId};
use super::error::ErrorCode;
use super::event::{Effect, Effects, Event};
use super::ids::{ConnectionId, Origin, RoomId, UserId, Waiter};
use super::message_keys::{Destination, MessageKey, Person};
use super::names::nfc;
use super::rooms::RoomManager;
use super::rules::Writers;
use super::time::{Now, Timestamp};
use super::wishes::{Publication, Whispered, Wish};

/// Who says something in a room.
struct Author {
    waiter: Waiter,
    name: Rc<str>,
    is_guest: bool,
    /// The member; `None` if it is said in a name.
    user: Option<UserId>,
}

impl RoomManager {
    /// A message in a room: becomes a wish for the backend to order and store it. If its `id` was acknowledged before,
    /// it is only acknowledged again.
    ///
    /// # Errors
    /// `not_in_room`, `forbidden`, `bad_request` (no text), `content_too_long`, `id_reused`, `storage_unavailable` (too many wishes
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
        let user = self
            .people
            .user_of(origin.connection)
            .ok_or(ErrorCode::Unauthorized)?;
        if !self.may_write(origin.connection, user, room) {
            return Err(ErrorCode::Forbidden);
        }
        self.check_content(content)?;
        let author = Author {
            waiter: Waiter::Socket(origin),
            name: self.people.name(user).clone(),
            is_guest: !self.people.is_account(user),
            user: Some(user),
        };
        self.say(author, room, content, id, now, effects)
    }

    /// A message of a back end, or of a moderator in a name: as [`Self::chat`], without being in the room. The name is a user
    /// name, and the text was checked ([`Self::check_content`]).
    ///
    /// # Errors
    /// `room_not_found`, `id_reused`, `storage_unavailable`.
    pub fn post(
        &mut self,
        (waiter, name): (Waiter, &Rc<str>),
        room: &str,
        content: &str,
        id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let room = self.id_of(room).ok_or(ErrorCode::RoomNotFound)?;
        let author = Author {
            waiter,
            name: name.clone(),
            is_guest: false,
            user: None,
        };
        self.say(author, room, content, id, now, effects)
    }

    fn say(
        &mut self,
        author: Author,
        room: RoomId,
        content: &str,
        id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let Author {
            waiter,
            name,
            is_guest,
            user,
        } = author;
        if !self.wishes.has_room_for(content.len()) {
            return Err(ErrorCode::StorageUnavailable);
        }
        let key = self.key(room);
        let claimed = match id {
            None => Ok(None),
            Some(id) => {
                let sender = match user {
                    Some(user) => self.people.person(user),
                    None => Person::account(&name),
                };
                let destination = Destination::Room(key);
                self.claim(waiter, sender, destination, content, id, now, effects)
            }
        };
        let pending = match claimed {
            Ok(pending) => pending,
            Err(refused) => return refused,
        };
        let said_by = pending.map(|pending| self.acknowledged.said_by(pending));
        let serial = self.wishes.add(Wish::Publish {
            waiter,
            room: key,
            user,
            pending,
            bytes: content.len(),
        });
        match user {
            Some(user) => self.rooms[room.index()].add_wish(user),
            None => {
                self.unlist_evictable(room);
                self.rooms[room.index()].posts += 1;
            }
        }
        effects.push_back(Effect::Publish(Publication {
            serial,
            room: key,
            username: name,
            is_guest,
            content: content.into(),
            message_id: id.map(Into::into),
            said_by,
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
        waiter: Waiter,
        sender: Person,
        destination: Destination,
        content: &str,
        id: &str,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<PendingId>, Result<(), ErrorCode>> {
        let key = MessageKey {
            sender,
            destination,
            id: id.into(),
        };
        let claim = self.acknowledged.claim(key, content, waiter, now.monotonic);
        Self::answer_claim(claim, waiter, id, effects)
    }

    fn answer_claim(
        claim: Claim,
        waiter: Waiter,
        id: &str,
        effects: &mut Effects,
    ) -> Result<Option<PendingId>, Result<(), ErrorCode>> {
        match claim {
            Claim::New(pending) => Ok(Some(pending)),
            Claim::UnderWay => Err(Ok(())),
            Claim::OtherContent => Err(Err(ErrorCode::IdReused)),
            Claim::Done(position) => {
                let id = id.into();
                effects.push_back(match waiter {
                    Waiter::Socket(origin) => {
                        Effect::Answer(origin.connection, Event::Ack { id, position })
                    }
                    Waiter::Request(serial, part) => Effect::Posted(serial, part, Ok(position)),
                });
                Err(Ok(()))
            }
        }
    }

    /// Enters a whisper with an `id` as under way, for the guest or the account of this name who is here. If nobody is,
    /// nothing is entered: it can only be one sent again, whose target has gone since.
    #[allow(
        clippy::too_many_arguments,
        reason = "a message, and what every command has"
    )]
    fn claim_whisper(
        &mut self,
        waiter: Waiter,
        sender: Person,
        (to, target): (&str, Option<UserId>),
        content: &str,
        id: &str,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<PendingId>, Result<(), ErrorCode>> {
        if let Some(target) = target {
            let destination = Destination::Person(self.people.person(target));
            return self.claim(waiter, sender, destination, content, id, now, effects);
        }
        let claim = self
            .acknowledged
            .claim_of_absent(sender, to, id, content, now.monotonic);
        match claim {
            Some(claim) => Self::answer_claim(claim, waiter, id, effects),
            None => Ok(None),
        }
    }

    /// A private message to every connection of its target, whose name may be composed in any way, echoed to every
    /// connection of its sender.
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
        let to = &*nfc(to);
        let waiter = Waiter::Socket(origin);
        let sender = self.people.person(from);
        if self.is_shared {
            return self.whisper_to_all_nodes((waiter, sender), (to, content), id, now, effects);
        }
        let target = self.people.find(to);
        let claimed = match id {
            None => Ok(None),
            Some(id) => self.claim_whisper(waiter, sender, (to, target), content, id, now, effects),
        };
        let pending = match claimed {
            Ok(pending) => pending,
            Err(refused) => return refused,
        };
        let target = target.ok_or(ErrorCode::UserNotFound)?;
        let event = Event::Whisper {
            from: self.people.name(from).clone(),
            to: self.people.name(target).clone(),
            content: content.into(),
            timestamp: Timestamp::from(now),
            guest: self.is_marked(from),
        };
        effects.push_back(Effect::Whisper {
            by: origin.connection,
            from,
            to: target,
            event,
        });
        if let Some(pending) = pending {
            let stored = self.next_whisper();
            self.acknowledge(pending, (None, stored), now, effects);
        }
        Ok(())
    }

    /// A whisper of a back end, or of a moderator in a name, as [`Self::whisper`].
    ///
    /// # Errors
    /// `user_not_found`, `id_reused`, `backend_unavailable`.
    pub fn notify(
        &mut self,
        (waiter, name): (Waiter, &Rc<str>),
        to: &str,
        content: &str,
        id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let to = &*nfc(to);
        let sender = Person::account(name);
        if self.is_shared {
            return self.whisper_to_all_nodes((waiter, sender), (to, content), id, now, effects);
        }
        let target = self.people.find(to);
        let claimed = match id {
            None => Ok(None),
            Some(id) => self.claim_whisper(waiter, sender, (to, target), content, id, now, effects),
        };
        let pending = match claimed {
            Ok(pending) => pending,
            Err(refused) => return refused,
        };
        let target = target.ok_or(ErrorCode::UserNotFound)?;
        let whisper = Whispered {
            from: name.clone(),
            is_guest: false,
            to: self.people.name(target).clone(),
            content: content.into(),
            timestamp: Timestamp::from(now),
        };
        self.deliver_whisper(&whisper, None, effects);
        match (pending, waiter) {
            (Some(pending), _) => {
                let stored = self.next_whisper();
                self.acknowledge(pending, (None, stored), now, effects);
            }
            (None, Waiter::Request(serial, part)) => {
                effects.push_back(Effect::Posted(serial, part, Ok(None)));
            }
            (None, Waiter::Socket(_)) => {}
        }
        Ok(())
    }

    /// Whether somebody may write in a room that they are in.
    fn may_write(&self, connection: ConnectionId, user: UserId, room: RoomId) -> bool {
        let room = &self.rooms[room.index()];
        let own = self.permissions.get(&connection);
        let is_moderator = own.is_some_and(|own| own.is_moderator);
        let is_writer = match room.rules.write {
            Writers::Everyone => true,
            Writers::SignedIn => self.people.is_account(user),
            Writers::Moderators => false,
        };
        is_moderator || is_writer && own.is_none_or(|own| own.may_write(&room.name))
    }

    /// Checks the text of a message.
    ///
    /// # Errors
    /// `bad_request` (no text), `content_too_long`.
    pub fn check_content(&self, content: &str) -> Result<(), ErrorCode> {
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
    use crate::domain::membership::Exit;
    use crate::domain::rooms::Joined;
    use crate::domain::testing::{A, B, C, origin, settle, two_users};

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

    /// The users `kim` (a guest in the room `r`) and `lee`, who signed in, whisper and talk: what is marked of it.
    fn marks(marks_guests: bool) -> Vec<(String, bool)> {
        let mut manager = two_users();
        manager.marks_guests = marks_guests;
        let (now, mut effects) = (Now::default(), Effects::new());
        manager.exit(C, Exit::Closed, now, &mut effects);
        manager.enter(C, "lee", Some(Timestamp(9)), &mut effects);
        let joined = manager.join_room(origin(C), "r", (None, None), now, &mut effects);
        assert_eq!(joined, Ok(Joined::Now));
        for (from, to) in [(A, "lee"), (C, "kim")] {
            let said = manager.chat(origin(from), "r", "hi", None, now, &mut effects);
            let whispered = manager.whisper(origin(from), to, "hi", None, now, &mut effects);
            assert_eq!((said, whispered), (Ok(()), Ok(())));
        }
        let marks = settle(&mut manager, &mut effects, now).into_iter();
        marks
            .filter_map(|effect| match effect {
                Effect::Whisper {
                    event: Event::Whisper { from, guest, .. },
                    ..
                } => Some((from.to_string(), guest)),
                Effect::Broadcast {
                    event: Event::Chat(message),
                    ..
                } => Some((message.username.to_string(), message.guest)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_a_guest_says_is_marked_if_that_is_asked_for_and_nothing_else_is() {
        for is_asked in [true, false] {
            let marks = marks(is_asked);
            assert_eq!(marks.len(), 4);
            for (name, mark) in marks {
                assert_eq!(mark, is_asked && name == "kim", "{name}");
            }
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
