//! Messages that are kept for a time only, by the rules of their room.

use std::time::Duration;

use super::event::{Effect, Effects};
use super::ids::RoomId;
use super::position::Position;
use super::room::Room;
use super::rooms::RoomManager;
use super::time::Now;

impl RoomManager {
    /// Drops the messages of a room that are too old by its rules, and notes when the next one is.
    pub(super) fn drop_aged(&mut self, id: RoomId, now: Now, effects: &mut Effects) {
        let room = &mut self.rooms[id.index()];
        if let Some(due) = room.age_due.take() {
            self.ages_due.remove(&(due, id));
        }
        let Some(seconds) = room.rules.history_seconds else {
            return;
        };
        let (before, first) = (room.history.bytes(), room.history.first());
        let age = u64::from(seconds.get());
        let mut due = None;
        let oldest = |room: &Room| Some(room.history.iter().next()?.timestamp.0);
        while let Some(said_at) = oldest(room) {
            let left = (said_at + age).saturating_sub(now.unix.as_secs());
            if left > 0 {
                due = Some(now.monotonic + Duration::from_secs(left));
                break;
            }
            room.history.drop_oldest();
        }
        room.age_due = due;
        self.ages_due.extend(due.map(|due| (due, id)));
        self.history_bytes = self.history_bytes - before + room.history.bytes();
        let (name, epoch) = (room.name.clone(), room.history.position().epoch);
        let seq = room.history.first();
        self.note_dropped(id, first);
        if self.is_shared && seq > first {
            effects.push_back(Effect::Trimmed(name, Position { epoch, seq }));
        }
    }

    /// Drops what has become too old.
    pub(super) fn drop_all_aged(&mut self, now: Now, effects: &mut Effects) {
        while let Some((due, id)) = self.ages_due.first().copied()
            && due <= now.monotonic
        {
            self.unlist_evictable(id);
            self.drop_aged(id, now, effects);
            self.list_evictable(id);
        }
    }
}
