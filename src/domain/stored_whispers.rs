//! Whispers where there is a store: a wish, then delivered.

use super::acknowledged::PendingId;
use super::error::ErrorCode;
use super::event::{Effect, Effects, Event};
use super::ids::{Origin, Serial, UserId};
use super::message_keys::Person;
use super::record::{Key, SaidAt};
use super::rooms::RoomManager;
use super::time::{Now, Timestamp};
use super::wishes::{Whisper, WhisperId, WhisperWish, Wish};

impl RoomManager {
    /// A whisper where there is a store: it is delivered when its `id` is stored, so that one sent again over a restart is
    /// delivered once. Without an `id` it waits all the same, so that whispers keep their order.
    pub(super) fn store_whisper(
        &mut self,
        origin: Origin,
        [from, to]: [UserId; 2],
        content: &str,
        pending: Option<PendingId>,
        effects: &mut Effects,
    ) {
        let (sender, target) = (self.people.person(from), self.people.person(to));
        let id = pending.map(|pending| WhisperId {
            id: self.acknowledged.id_of(pending).into(),
            sender: sender.clone(),
            to: target.clone(),
            fingerprint: self.acknowledged.said_by(pending).1,
        });
        let serial = self.wishes.add(Wish::Whisper(Box::new(Whisper {
            origin,
            from: sender,
            to: target,
            content: content.into(),
            is_marked: self.is_marked(from),
            pending,
        })));
        effects.push_back(Effect::StoreWhisper(WhisperWish { serial, id }));
    }

    /// The `id` of a whisper is stored: it is delivered, if its target is still here, then acknowledged.
    pub(super) fn whispered(
        &mut self,
        serial: Serial,
        timestamp: Timestamp,
        number: u64,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(Wish::Whisper(whisper)) = self.wishes.take(serial) else {
            return;
        };
        let stored = SaidAt::Whisper(number);
        let Some(to) = self.find_person(&whisper.to) else {
            self.note_removed(&Key::Said(stored));
            let Whisper {
                origin, pending, ..
            } = *whisper;
            return self.refuse(origin, pending, ErrorCode::UserNotFound, effects);
        };
        // Of one who has gone meanwhile there is nobody to show it to.
        let from = self.find_person(&whisper.from).unwrap_or(to);
        let event = Event::Whisper {
            from: whisper.from.name.clone(),
            to: whisper.to.name.clone(),
            content: whisper.content,
            timestamp,
            guest: whisper.is_marked,
        };
        effects.push_back(Effect::Whisper {
            by: whisper.origin,
            from,
            to,
            event,
        });
        if let Some(pending) = whisper.pending {
            self.acknowledge(pending, (None, Some(stored)), now, effects);
        }
    }

    /// The user who is this person, if they are here.
    fn find_person(&self, person: &Person) -> Option<UserId> {
        let user = self.people.find(&person.name)?;
        (self.people.person(user) == *person).then_some(user)
    }
}
