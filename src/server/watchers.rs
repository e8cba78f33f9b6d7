//! Connections that watch the list of rooms, which are told what has changed in it, at most once in [`ROOMS_TOLD_EVERY`](crate::config::ROOMS_TOLD_EVERY).
//!
//! What was told last is kept while somebody watches, and compared with the list once something may have changed: so
//! whatever happens in a second is told once. It is encoded once for all that may enter the same rooms, and sent to them as what
//! is said in a room is.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use super::fan_out::FanOut;
use crate::config::{ROOMS_TOLD_MAX, WATCH_GROUPS_MAX};
use crate::domain::event::{Effect, Event, RoomInfo};
use crate::domain::ids::ConnectionId;
use crate::domain::permissions::Permissions;
use crate::domain::time::Timestamp;

/// The group of those that may enter every room, and of those whose permissions are too many different ones.
const ALL_ROOMS: usize = 0;
const OTHERS: usize = 1;

/// All that watch.
#[derive(Debug)]
pub struct Watchers {
    /// A topic for each group.
    pub fan_out: FanOut,
    /// Connections that may enter the same rooms; the index is that of their topic.
    pub groups: Vec<Group>,
    /// The group of each connection.
    pub of: BTreeMap<ConnectionId, usize>,
    /// The rooms as they know them, if that is known here.
    pub told: Option<HashMap<Rc<str>, Told>>,
    /// When they were told last, since the server's start.
    pub told_at: Duration,
    /// Whether the list may have changed since.
    pub is_changed: bool,
    /// A counter of comparisons.
    round: u32,
}

/// Connections that may enter the same rooms.
#[derive(Debug)]
pub struct Group {
    /// `None`: they are told that the list has changed, and ask.
    pub permissions: Option<Rc<Permissions>>,
    /// How many they are.
    pub members: usize,
}

/// What is told of a room. The number of its messages changes all the time, and is told with the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    users: usize,
    max_users: u32,
    created_at: Timestamp,
}

/// A room as it was told.
#[derive(Debug)]
pub struct Told {
    shown: Shown,
    /// The comparison in which the room was there.
    round: u32,
}

/// What has changed in the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    changed: Vec<RoomInfo>,
    removed: Vec<Rc<str>>,
    /// There is more than may be told.
    is_cut: bool,
}

impl Default for Watchers {
    fn default() -> Self {
        let group = |permissions| Group {
            permissions,
            members: 0,
        };
        Self {
            fan_out: FanOut::default(),
            groups: vec![group(Some(Permissions::usual())), group(None)],
            of: BTreeMap::new(),
            told: None,
            told_at: Duration::ZERO,
            is_changed: false,
            round: 0,
        }
    }
}

impl Watchers {
    /// Notes what changes the list of rooms.
    pub fn note(&mut self, effect: &Effect) {
        let changes = match effect {
            Effect::Subscribe(..)
            | Effect::Unsubscribe(..)
            | Effect::Made(..)
            | Effect::Created(..)
            | Effect::Removed(_) => true,
            Effect::Broadcast { event, .. } => matches!(
                event,
                Event::UserJoined { .. } | Event::UserLeft { .. } | Event::RoomUsers { .. }
            ),
            _ => false,
        };
        self.is_changed |= changes && !self.of.is_empty();
    }

    /// The group of a connection with these permissions.
    pub fn group(&mut self, permissions: Rc<Permissions>) -> usize {
        if permissions.is_moderator || *permissions == Permissions::default() {
            return ALL_ROOMS;
        }
        let is_it = |group: &Group| group.permissions.as_ref() == Some(&permissions);
        if let Some(at) = self.groups.iter().position(is_it) {
            return at;
        }
        let own = self.groups.iter_mut().enumerate().skip(OTHERS + 1);
        let group = Group {
            permissions: Some(permissions),
            members: 0,
        };
        if let Some((at, free)) = own.into_iter().find(|(_, group)| group.members == 0) {
            *free = group;
            return at;
        }
        if self.groups.len() >= WATCH_GROUPS_MAX {
            return OTHERS;
        }
        self.groups.push(group);
        self.groups.len() - 1
    }

    /// Compares the list with what was told, which becomes this list. A list that is not whole ends at its last room: of those
    /// behind it nothing is known.
    pub fn compare(
        &mut self,
        rooms: impl Iterator<Item = RoomInfo>,
        last: Option<&str>,
    ) -> Changes {
        self.round = self.round.wrapping_add(1);
        let (round, told) = (self.round, self.told.get_or_insert_default());
        let (mut changes, mut count) = (Changes::default(), 0);
        for room in rooms {
            count += 1;
            let shown = Shown {
                users: room.users,
                max_users: room.max_users,
                created_at: room.created_at,
            };
            let before = told.insert(room.name.clone(), Told { shown, round });
            if before.is_none_or(|before| before.shown != shown) {
                changes.changed.push(room);
            }
        }
        if told.len() > count {
            let is_known = |name: &str| last.is_none_or(|last| name <= last);
            told.retain(|name, told| {
                let stays = told.round == round;
                if !stays && is_known(name) {
                    changes.removed.push(name.clone());
                }
                stays
            });
        }
        changes.is_cut = changes.changed.len() + changes.removed.len() > ROOMS_TOLD_MAX;
        changes
    }
}

impl Changes {
    /// What those with these permissions are told, if anything.
    pub fn event(&self, permissions: Option<&Permissions>) -> Option<Event> {
        if self.changed.is_empty() && self.removed.is_empty() {
            return None;
        }
        let Some(permissions) = permissions.filter(|_| !self.is_cut) else {
            return Some(Event::rooms_to_reload());
        };
        let may_enter = |name: &str| permissions.may_enter(name);
        let changed = self.changed.iter().filter(|room| may_enter(&room.name));
        let changed: Vec<RoomInfo> = changed.cloned().collect();
        let removed = self.removed.iter().filter(|name| may_enter(name));
        let removed: Vec<Rc<str>> = removed.cloned().collect();
        let is_empty = changed.is_empty() && removed.is_empty();
        (!is_empty).then_some(Event::Rooms {
            changed: Some(changed),
            removed: Some(removed),
            reload: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str, users: usize, messages: u64) -> RoomInfo {
        RoomInfo {
            name: name.into(),
            max_users: 100,
            users,
            messages,
            created_at: Timestamp(7),
        }
    }

    /// The names of what has changed and of what is gone, sorted.
    fn compared(
        watchers: &mut Watchers,
        rooms: &[RoomInfo],
        last: Option<&str>,
    ) -> (Vec<Rc<str>>, Vec<Rc<str>>) {
        let changes = watchers.compare(rooms.iter().cloned(), last);
        assert!(!changes.is_cut);
        let changed = changes.changed.into_iter().map(|room| room.name).collect();
        let mut removed = changes.removed;
        removed.sort();
        (changed, removed)
    }

    fn names(names: &[&str]) -> Vec<Rc<str>> {
        names.iter().map(|name| Rc::from(*name)).collect()
    }

    #[test]
    fn what_is_new_changed_or_gone_is_told_once_and_messages_are_no_change() {
        let mut watchers = Watchers::default();
        let all = [room("a", 1, 0), room("b", 0, 0), room("c", 2, 0)];
        let told = compared(&mut watchers, &all, None);
        assert_eq!(told, (names(&["a", "b", "c"]), vec![]));
        let said = [room("a", 1, 9), room("b", 0, 0), room("c", 2, 7)];
        assert_eq!(compared(&mut watchers, &said, None), (vec![], vec![]));
        let next = [room("b", 1, 0), room("c", 2, 7), room("d", 0, 0)];
        let told = compared(&mut watchers, &next, None);
        assert_eq!(told, (names(&["b", "d"]), names(&["a"])));
        assert_eq!(compared(&mut watchers, &next, None), (vec![], vec![]));
    }

    #[test]
    fn of_rooms_behind_the_last_of_a_page_nothing_is_told() {
        let mut watchers = Watchers::default();
        let all = [room("a", 1, 0), room("b", 1, 0), room("c", 1, 0)];
        compared(&mut watchers, &all, None);
        let told = compared(&mut watchers, &[room("b", 1, 0)], Some("b"));
        assert_eq!(told, (vec![], names(&["a"])));
    }

    #[test]
    fn of_more_than_may_be_told_at_once_it_is_told_that_the_list_is_another() {
        let mut watchers = Watchers::default();
        let rooms = |count: usize| (0..count).map(|n| room(&n.to_string(), 0, 0));
        let usual = Permissions::usual();
        let most = watchers.compare(rooms(ROOMS_TOLD_MAX), None);
        let event = most.event(Some(&usual));
        assert!(matches!(event, Some(Event::Rooms { reload: false, .. })));
        let more = watchers.compare(rooms(2 * ROOMS_TOLD_MAX + 1), None);
        assert_eq!(more.event(Some(&usual)), Some(Event::rooms_to_reload()));
        let nothing = watchers.compare(rooms(2 * ROOMS_TOLD_MAX + 1), None);
        assert_eq!(nothing.event(Some(&usual)), None);
        assert_eq!(nothing.event(None), None);
    }

    #[test]
    fn those_with_the_same_permissions_are_one_group_and_too_many_others_are_told_to_ask() {
        let mut watchers = Watchers::default();
        assert_eq!(watchers.group(Permissions::usual()), ALL_ROOMS);
        let of = |n: usize| {
            let claims = serde_json::json!({"rooms": [format!("team-{n}")]});
            let claims = claims.as_object().expect("an object");
            Permissions::of_claims(claims).expect("is valid")
        };
        for n in 0..WATCH_GROUPS_MAX + 2 {
            let at = watchers.group(of(n));
            let expected = if n + 2 < WATCH_GROUPS_MAX {
                n + 2
            } else {
                OTHERS
            };
            assert_eq!(at, expected);
            assert_eq!(watchers.group(of(n)), expected);
            watchers.groups[at].members += 1;
        }
        watchers.groups[5].members = 0;
        assert_eq!(watchers.group(of(1_000)), 5);
    }
}
