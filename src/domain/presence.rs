//! Presence, announced so that the cost of a large room is not quadratic: by name up to
//! [`PRESENCE_NAMES_MAX`](crate::config::PRESENCE_NAMES_MAX) users, above that as a number at most once a second.

use std::time::Duration;

use super::event::Effects;
use super::event::Event;
use super::ids::RoomId;
use super::rooms::RoomManager;
use super::time::Now;
use crate::config::ROOM_USERS_TOLD_EVERY;

impl RoomManager {
    /// When [`Self::handle_timeout`] is next due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.counts_due.first().map(|(time, _)| *time)
    }

    /// Announces the numbers of users that are due.
    pub fn handle_timeout(&mut self, now: Now, effects: &mut Effects) {
        while self
            .next_timeout()
            .is_some_and(|time| time <= now.monotonic)
        {
            let Some((_, room)) = self.counts_due.pop_first() else {
                return;
            };
            self.send_count(room, now, effects);
        }
    }

    /// Stops announcing presence, for draining: all users leave, and announcing each to each would cost the square of
    /// every room at once.
    pub fn stop_announcing_presence(&mut self) {
        self.is_presence_announced = false;
    }

    /// Announces an entry or exit: by name in a small room, as a number at most once a second in a large one.
    pub(super) fn announce_presence(
        &mut self,
        id: RoomId,
        event: Event,
        now: Now,
        effects: &mut Effects,
    ) {
        if !self.is_presence_announced {
            return;
        }
        let room = &mut self.rooms[id.index()];
        if room.announces_names() {
            self.send_to_room(id, event, None, effects);
            return;
        }
        if room.is_count_due {
            return;
        }
        room.is_count_due = true;
        match room
            .count_sent_at
            .map(|announced| announced + ROOM_USERS_TOLD_EVERY)
        {
            Some(due) if due > now.monotonic => _ = self.counts_due.insert((due, id)),
            _ => self.send_count(id, now, effects),
        }
    }

    fn send_count(&mut self, id: RoomId, now: Now, effects: &mut Effects) {
        // The room may have been evicted since, and its slot reused.
        let Some(room) = self
            .rooms
            .get_mut(id.index())
            .filter(|room| room.is_count_due)
        else {
            return;
        };
        room.is_count_due = false;
        room.count_sent_at = Some(now.monotonic);
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
    use crate::domain::testing::{origin, settle};

    /// The numbers of users that were announced, and how many entries and exits by name.
    fn announced(effects: &mut Effects) -> (Vec<usize>, usize) {
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
        let mut manager = RoomManager::new(limits);
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
            let joined =
                manager.join_room(origin(connection), "r", (None, None), at(millis), effects);
            assert!(joined.is_ok());
            *effects = settle(manager, effects, at(millis)).into();
            announced(effects)
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
        assert_eq!(announced(&mut effects), (vec![], 0));
        manager.handle_timeout(at(1_000), &mut effects);
        assert_eq!(announced(&mut effects), (vec![203], 0));
        assert_eq!(manager.next_timeout(), None);
        assert_eq!(join(&mut manager, &mut effects, 2_000), (vec![204], 0));
        assert_eq!(manager.next_timeout(), None);
        assert_eq!(join(&mut manager, &mut effects, 2_001), (vec![], 0));
        assert_eq!(manager.next_timeout(), Some(Duration::from_secs(3)));
    }
}
