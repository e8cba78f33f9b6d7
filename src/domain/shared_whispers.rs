//! Whispers to people at any node.

use super::error::ErrorCode;
use super::event::{Effect, Effects, Event};
use super::ids::{ConnectionId, Serial, Waiter};
use super::message_keys::Person;
use super::rooms::RoomManager;
use super::time::{Now, Timestamp};
use super::wishes::{Whispered, Wish};

impl RoomManager {
    /// A whisper to somebody who may be at any node.
    pub(super) fn whisper_to_all_nodes(
        &mut self,
        (waiter, sender): (Waiter, Person),
        (to, content): (&str, &str),
        id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        if !self.wishes.has_room_for(content.len()) {
            return Err(ErrorCode::BackendUnavailable);
        }
        let whisper = Whispered {
            from: sender.name.clone(),
            is_guest: !sender.is_account,
            to: to.into(),
            content: content.into(),
            timestamp: Timestamp::from(now),
        };
        let print = self.acknowledged.fingerprint(content);
        let said = id.map(|id| (sender, id.into(), print));
        let serial = self.wishes.add(Wish::Whisper {
            waiter,
            message_id: id.map(Into::into),
            whisper: whisper.clone(),
        });
        effects.push_back(Effect::Whispering {
            serial,
            whisper,
            said,
        });
        Ok(())
    }

    /// A whisper of this server was brought to the other nodes of its people; `is_new` if it had not been before.
    pub fn whispered(&mut self, serial: Serial, is_new: bool, effects: &mut Effects) {
        if !matches!(self.wishes.get_mut(serial), Some(Wish::Whisper { .. })) {
            return;
        }
        let Some(Wish::Whisper {
            waiter,
            message_id,
            whisper,
        }) = self.wishes.take(serial)
        else {
            return;
        };
        if is_new {
            let by = match waiter {
                Waiter::Socket(origin) => Some(origin.connection),
                Waiter::Request(..) => None,
            };
            self.deliver_whisper(&whisper, by, effects);
        }
        match (waiter, message_id) {
            (Waiter::Request(serial, part), _) => {
                effects.push_back(Effect::Posted(serial, part, Ok(None)));
            }
            (_, Some(id)) => effects.push_back(Effect::acknowledged(waiter, None, id)),
            (_, None) => {}
        }
    }

    /// Delivers a whisper to the connections here of its target and its sender.
    pub fn deliver_whisper(
        &self,
        whisper: &Whispered,
        by: Option<ConnectionId>,
        effects: &mut Effects,
    ) {
        let event = || Event::Whisper {
            from: whisper.from.clone(),
            to: whisper.to.clone(),
            content: whisper.content.clone(),
            timestamp: whisper.timestamp,
            guest: whisper.is_guest && self.marks_guests,
        };
        let names = [
            Some(&whisper.to),
            Some(&whisper.from).filter(|from| **from != whisper.to),
        ];
        for name in names.into_iter().flatten() {
            if let Some(user) = self.people.find(name) {
                let event = event();
                effects.push_back(Effect::WhisperTo { by, user, event });
            }
        }
    }
}
