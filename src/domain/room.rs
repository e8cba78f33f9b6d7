//! One room: who is in it and what was said.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::time::Duration;

use super::event::{Event, RoomInfo};
use super::history::History;
use super::ids::UserId;
use super::time::Timestamp;
use crate::config::{
    HISTORY_MESSAGES_MAX, HISTORY_ON_ENTRY, HISTORY_ROOM_BYTES_MAX, PRESENCE_NAMES_MAX,
    ROOM_NAME_CHARS_MAX,
};

/// A room. Presence counts users: a user's second tab changes nothing for the others.
#[derive(Debug)]
pub struct Room {
    /// Its name.
    pub name: Rc<str>,
    /// The most users it takes.
    pub max_users: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// What was said in it.
    pub history: History,
    /// Users, with the number of their connections here.
    users: BTreeMap<UserId, u32>,
    /// Created on purpose, not by a join: it does not make way for others while it is empty.
    pub is_kept: bool,
    /// When `room_users` was last told, for a room too large to tell each change.
    pub count_told_at: Option<Duration>,
    /// Whether a change of the number waits to be told.
    pub is_count_due: bool,
    /// Grows with every use of any room: the smallest was used longest ago.
    pub last_used: u64,
}

/// Whether a room may have this name: 1 to [`ROOM_NAME_CHARS_MAX`] characters, none of them a control character.
pub fn is_valid_room_name(name: &str) -> bool {
    (1..=ROOM_NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

impl Room {
    /// An empty room.
    pub fn new(name: Rc<str>, max_users: u32, epoch: u64, created_at: Timestamp) -> Self {
        Self {
            name,
            max_users,
            created_at,
            history: History::new(epoch),
            users: BTreeMap::new(),
            is_kept: false,
            count_told_at: None,
            is_count_due: false,
            last_used: 0,
        }
    }

    /// Whether one more connection of this user would be one user too many.
    pub fn is_full_for(&self, user: UserId) -> bool {
        self.users.len() >= self.max_users as usize && !self.users.contains_key(&user)
    }

    /// Adds a connection of a user; true when it is the user's first here.
    pub fn add(&mut self, user: UserId) -> bool {
        let connections = self.users.entry(user).or_insert(0);
        *connections += 1;
        *connections == 1
    }

    /// Removes a connection of a user; true when it was the user's last here.
    pub fn remove(&mut self, user: UserId) -> bool {
        let Entry::Occupied(mut entry) = self.users.entry(user) else {
            return false;
        };
        *entry.get_mut() -= 1;
        let was_last = *entry.get() == 0;
        if was_last {
            entry.remove();
        }
        was_last
    }

    /// Whether it makes way for others: it is empty, and was not created on purpose.
    pub fn makes_way(&self) -> bool {
        self.users.is_empty() && !self.is_kept
    }

    /// Users in the room.
    pub fn count(&self) -> usize {
        self.users.len()
    }

    /// The users but `except`, [`PRESENCE_NAMES_MAX`] of them at most.
    pub fn users_except(&self, except: Option<UserId>) -> impl Iterator<Item = UserId> {
        self.users
            .keys()
            .copied()
            .filter(move |user| Some(*user) != except)
            .take(PRESENCE_NAMES_MAX)
    }

    /// Whether each entry and exit is told by name, not only as a number once a second.
    pub fn tells_names(&self) -> bool {
        self.users.len() <= PRESENCE_NAMES_MAX
    }

    /// The last messages for somebody who enters.
    pub fn recent(&self) -> Vec<Event> {
        self.history
            .last(HISTORY_ON_ENTRY)
            .cloned()
            .map(Event::Chat)
            .collect()
    }

    /// Forgets what is over the room's own limits; the last [`HISTORY_ON_ENTRY`] messages always stay.
    pub fn trim_history(&mut self) {
        let history = &mut self.history;
        while history.len() > HISTORY_MESSAGES_MAX
            || (history.bytes() > HISTORY_ROOM_BYTES_MAX && history.len() > HISTORY_ON_ENTRY)
        {
            history.drop_oldest();
        }
    }

    /// What `GET /rooms` shows.
    pub fn info(&self) -> RoomInfo {
        RoomInfo {
            name: self.name.clone(),
            max_users: self.max_users,
            users: self.users.len(),
            messages: self.history.position().seq,
            created_at: self.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::ChatMessage;

    /// How many of so many messages of a length stay, and with how many bytes.
    fn kept(count: usize, length: usize) -> (usize, usize) {
        let mut room = Room::new("r".into(), 1, 7, Timestamp(0));
        for _ in 0..count {
            let message = ChatMessage {
                room: "r".into(),
                username: "u".into(),
                content: "x".repeat(length).into(),
                timestamp: Timestamp(0),
                position: room.history.next_position(),
            };
            room.history.append(Rc::new(message));
            room.trim_history();
        }
        assert_eq!(
            room.recent().len(),
            room.history.len().min(HISTORY_ON_ENTRY)
        );
        (room.history.len(), room.history.bytes())
    }

    #[test]
    fn a_room_forgets_what_is_too_many_or_too_large_but_never_what_an_entry_is_told() {
        assert_eq!(kept(HISTORY_MESSAGES_MAX, 1).0, HISTORY_MESSAGES_MAX);
        assert_eq!(kept(HISTORY_MESSAGES_MAX + 9, 1).0, HISTORY_MESSAGES_MAX);
        let (_, overhead) = kept(1, 0);
        // Of such messages 64 fit exactly.
        let length = HISTORY_ROOM_BYTES_MAX / 64 - overhead;
        assert_eq!(kept(64, length), (64, HISTORY_ROOM_BYTES_MAX));
        assert_eq!(kept(99, length), (64, HISTORY_ROOM_BYTES_MAX));
        assert_eq!(kept(99, length + 1).0, 63);
        assert_eq!(kept(99, 2 * length).0, HISTORY_ON_ENTRY);
    }

    #[test]
    fn a_user_enters_with_the_first_connection_and_leaves_with_the_last() {
        let mut room = Room::new("r".into(), 1, 7, Timestamp(0));
        let (a, b) = (UserId(1), UserId(2));
        assert!(!room.is_full_for(a));
        assert!(room.add(a) && !room.add(a));
        assert!(!room.is_full_for(a) && room.is_full_for(b));
        assert!(room.users_except(None).eq([a]) && room.users_except(Some(a)).eq([]));
        assert!(!room.remove(b) && !room.remove(a));
        assert_eq!(room.count(), 1);
        assert!(room.remove(a) && !room.remove(a));
        assert_eq!(room.count(), 0);
    }
}
