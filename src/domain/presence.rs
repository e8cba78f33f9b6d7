//! Who comes and goes, told so that a large room does not cost its square: by name up to
//! [`PRESENCE_NAMES_MAX`](crate::config::PRESENCE_NAMES_MAX) users, above as a number at most once a second.

use std::time::Duration;

use super::rooms::{Effects, RoomManager};
use super::{Event, Now, RoomId};
use crate::config::ROOM_USERS_TOLD_EVERY;

impl RoomManager {
    /// When [`Self::handle_timeout`] has something to do, since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.counts_due.first().map(|(time, _)| *time)
    }

    /// Tells the numbers of users that are due.
    pub fn handle_timeout(&mut self, now: Now, effects: &mut Effects) {
        while self
            .next_timeout()
            .is_some_and(|time| time <= now.monotonic)
        {
            let Some((_, room)) = self.counts_due.pop_first() else {
                return;
            };
            self.tell_count(room, now, effects);
        }
    }

    /// From here on nobody is told who comes and goes: everybody goes, and telling each of each costs the square of
    /// every room, all at once.
    pub fn stop_telling_presence(&mut self) {
        self.is_presence_told = false;
    }

    /// Tells an entry or exit: by name in a small room, as a number once a second in a large one.
    pub(super) fn tell_presence(
        &mut self,
        id: RoomId,
        event: Event,
        now: Now,
        effects: &mut Effects,
    ) {
        if !self.is_presence_told {
            return;
        }
        let room = &mut self.rooms[id.index()];
        if room.tells_names() {
            self.send_to_room(id, event, None, effects);
            return;
        }
        if room.is_count_due {
            return;
        }
        room.is_count_due = true;
        match room.count_told_at.map(|told| told + ROOM_USERS_TOLD_EVERY) {
            Some(due) if due > now.monotonic => _ = self.counts_due.insert((due, id)),
            _ => self.tell_count(id, now, effects),
        }
    }

    fn tell_count(&mut self, id: RoomId, now: Now, effects: &mut Effects) {
        // The room may have made way since, and another may have its slot.
        let Some(room) = self
            .rooms
            .get_mut(id.index())
            .filter(|room| room.is_count_due)
        else {
            return;
        };
        room.is_count_due = false;
        room.count_told_at = Some(now.monotonic);
        let event = Event::RoomUsers {
            room: room.name.clone(),
            count: room.count(),
        };
        self.send_to_room(id, event, None, effects);
    }
}
