//! Presence, announced so that the cost of a large room is not quadratic: by name up to
//! [`PRESENCE_NAMES_MAX`](crate::config::PRESENCE_NAMES_MAX) users, above that as a number at most once a second.

use std::time::Duration;

use super::event::Effects;
use super::event::Event;
use super::ids::{RoomId, UserId};
use super::rooms::RoomManager;
use super::time::Now;
use crate::config::{GRACES_PER_TURN, MEMBERS_IN_GRACE_MAX, ROOM_USERS_TOLD_EVERY};

impl RoomManager {
    /// When [`Self::handle_timeout`] is next due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        let count_due = self.counts_due.first().map(|(time, _)| *time);
        let age_due = self.ages_due.first().map(|(time, _)| *time);
        let graces = self.graces.first_end();
        [count_due, age_due, graces].into_iter().flatten().min()
    }

    /// Ends the graces that are over, [`GRACES_PER_TURN`] at most, and announces the numbers of users that are due.
    pub fn handle_timeout(&mut self, now: Now, effects: &mut Effects) {
        for _ in 0..GRACES_PER_TURN {
            if self
                .graces
                .first_end()
                .is_none_or(|end| end > now.monotonic)
            {
                break;
            }
            self.end_first_grace(now, effects);
        }
        self.drop_all_aged(now, effects);
        let is_due = |(time, _): &(Duration, RoomId)| *time <= now.monotonic;
        while self.counts_due.first().is_some_and(is_due) {
            let Some((_, room)) = self.counts_due.pop_first() else {
                return;
            };
            self.send_count(room, now, effects);
        }
    }

    /// Members whose last connection in their room has closed, and who have not left yet.
    pub fn members_in_grace(&self) -> usize {
        self.graces.len()
    }

    /// Whether those whose connections close have a grace. While draining they have none: nothing is announced.
    pub(super) fn has_graces(&self) -> bool {
        self.is_presence_announced && !self.presence_grace.is_zero()
    }

    /// A user's last connection in a room has closed. At [`MEMBERS_IN_GRACE_MAX`] the first in grace leaves at once.
    pub(super) fn begin_grace(
        &mut self,
        id: RoomId,
        user: UserId,
        now: Now,
        effects: &mut Effects,
    ) {
        if self.graces.len() >= MEMBERS_IN_GRACE_MAX {
            self.end_first_grace(now, effects);
        }
        let end = now.monotonic + self.presence_grace;
        self.graces.begin(id, user, end);
        self.list_evictable(id);
    }

    fn end_first_grace(&mut self, now: Now, effects: &mut Effects) {
        let Some((id, user)) = self.graces.pop_first() else {
            return;
        };
        if self.rooms[id.index()].end_grace(user) {
            self.announce_exit(id, user, now, effects);
            self.people.remove_leaving(user);
            if self.is_forgetting_people {
                self.forget_people();
            }
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
        if self.rooms[id.index()].announces_names() {
            self.send_to_room(id, event, None, effects);
            return;
        }
        self.announce_count(id, now, effects);
    }

    /// Announces the number of users, at most once a second.
    pub(super) fn announce_count(&mut self, id: RoomId, now: Now, effects: &mut Effects) {
        let room = &mut self.rooms[id.index()];
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
    use crate::domain::membership::Exit;
    use crate::domain::room::Room;
    use crate::domain::testing::{join_as, origin, settle};

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

    #[test]
    fn at_the_limit_of_members_in_grace_the_first_leaves_at_once() {
        let mut manager = RoomManager::new(Config::default().rooms);
        manager.presence_grace = Duration::from_secs(3);
        let mut effects = Effects::new();
        let now = Now::default();
        let mut come_and_go = |manager: &mut RoomManager, name: &str, room: &str| {
            let connection = ConnectionId(0);
            manager.enter(connection, name, None, &mut effects);
            assert_eq!(join_as(manager, connection, room, now), Ok(()));
            manager.exit(connection, Exit::Closed, now, &mut effects);
            effects.clear();
        };
        come_and_go(&mut manager, "first", "first");
        for n in 1..MEMBERS_IN_GRACE_MAX {
            come_and_go(&mut manager, &n.to_string(), &format!("room{}", n / 100));
        }
        let count = |manager: &RoomManager| manager.find("first").map(Room::count);
        assert_eq!(count(&manager), Ok(1));
        // Who is in grace and comes and goes again is still one of them.
        come_and_go(&mut manager, "2", "room0");
        assert_eq!(count(&manager), Ok(1));
        come_and_go(&mut manager, "last", "last");
        assert_eq!(count(&manager), Ok(0));
        assert_eq!(manager.graces.len(), MEMBERS_IN_GRACE_MAX);
        manager.check();
    }

    #[test]
    fn the_tables_of_users_are_freed_when_the_last_in_grace_has_left() {
        let mut manager = RoomManager::new(Config::default().rooms);
        manager.presence_grace = Duration::from_secs(3);
        let mut effects = Effects::new();
        let (now, connection) = (Now::default(), ConnectionId(9));
        manager.enter(connection, "kim", None, &mut effects);
        assert_eq!(join_as(&mut manager, connection, "r", now), Ok(()));
        manager.exit(connection, Exit::Closed, now, &mut effects);
        manager.forget_people();
        assert!(manager.is_forgetting_people && !manager.people().is_empty());
        let later = Now {
            monotonic: manager.presence_grace,
            ..now
        };
        assert_eq!(manager.next_timeout(), Some(later.monotonic));
        manager.handle_timeout(later, &mut effects);
        assert!(!manager.is_forgetting_people && manager.people().is_empty());
        assert_eq!(manager.next_timeout(), None);
        manager.check();
    }
}
