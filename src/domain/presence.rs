//! Who comes and goes, told so that a large room does not cost its square: by name up to
//! [`PRESENCE_NAMES_MAX`](crate::config::PRESENCE_NAMES_MAX) users, above as a number at most once a second.

use std::time::Duration;

use super::event::Event;
use super::ids::RoomId;
use super::rooms::{Effects, RoomManager};
use super::time::Now;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, PRESENCE_NAMES_MAX};
    use crate::domain::event::Effect;
    use crate::domain::ids::ConnectionId;

    /// Numbers of users that were told, and whether each entry was told by name.
    fn told(effects: &mut Effects) -> (Vec<usize>, usize) {
        let mut numbers = Vec::new();
        let mut names = 0;
        for effect in effects.drain(..) {
            match effect {
                Effect::Broadcast {
                    event: Event::RoomUsers { count, .. },
                    ..
                } => numbers.push(count),
                Effect::Broadcast {
                    event: Event::UserJoined { .. },
                    ..
                } => names += 1,
                _ => {}
            }
        }
        (numbers, names)
    }

    #[test]
    fn a_large_room_tells_its_number_at_once_and_then_once_a_second() {
        let mut limits = Config::default().rooms;
        limits.room_users = 1_000;
        let mut manager = RoomManager::new(limits, 1);
        let mut effects = Effects::new();
        let at = |millis| Now {
            monotonic: Duration::from_millis(millis),
            ..Now::default()
        };
        let mut next = 0;
        let mut join = |manager: &mut RoomManager, effects: &mut Effects, millis| {
            let connection = ConnectionId(next);
            next += 1;
            manager.enter(connection, &next.to_string(), None, effects);
            let joined = manager.join_room(connection, "r", None, at(millis), effects);
            assert!(joined.is_ok());
            told(effects)
        };
        for _ in 0..PRESENCE_NAMES_MAX {
            assert_eq!(join(&mut manager, &mut effects, 0), (vec![], 1));
        }
        assert_eq!(join(&mut manager, &mut effects, 0), (vec![201], 0));
        assert_eq!(manager.next_timeout(), None);
        assert_eq!(join(&mut manager, &mut effects, 500), (vec![], 0));
        assert_eq!(join(&mut manager, &mut effects, 600), (vec![], 0));
        assert_eq!(manager.next_timeout(), Some(ROOM_USERS_TOLD_EVERY));
        manager.handle_timeout(at(999), &mut effects);
        assert_eq!(told(&mut effects), (vec![], 0));
        manager.handle_timeout(at(1_000), &mut effects);
        assert_eq!(told(&mut effects), (vec![203], 0));
        assert_eq!(manager.next_timeout(), None);
        assert_eq!(join(&mut manager, &mut effects, 2_000), (vec![204], 0));
        assert_eq!(manager.next_timeout(), None);
        assert_eq!(join(&mut manager, &mut effects, 2_001), (vec![], 0));
        assert_eq!(manager.next_timeout(), Some(Duration::from_secs(3)));
    }
}
