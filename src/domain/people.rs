//! Who is here: users by name, and the session of each connection.
//!
//! A user is a name with at least one open connection; several connections (tabs, devices) may be the same user.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use slab::Slab;
use smallvec::SmallVec;

use super::ids::{ConnectionId, RoomId, UserId};
use crate::config::{ACCOUNT_NAME_CHARS_MAX, USERNAME_CHARS_MAX};

/// Everybody who is connected.
#[derive(Debug, Default)]
pub struct People {
    users: Slab<User>,
    /// With the hash of the name, so that no name is read when the table grows: at a million, that would take the loop
    /// a sixth of a second.
    by_name: HashTable<(NameHash, UserId)>,
    hasher: RandomState,
    /// By connection. 24 bytes each: an idle connection has to be cheap.
    sessions: Vec<Session>,
}

/// Half a hash, which is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NameHash(u32);

impl NameHash {
    fn of(name: &str, hasher: &RandomState) -> Self {
        Self(hasher.hash_one(name) as u32)
    }

    /// For a table that takes the place from the low bits, and what it compares first from the high ones.
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

#[derive(Debug)]
struct User {
    name: Rc<str>,
    /// In their order, so that one is found without a look at the others.
    connections: SmallVec<[ConnectionId; 4]>,
}

/// What a connection has entered; empty before [`People::enter`] and after [`People::exit`].
#[derive(Debug, Default)]
struct Session {
    user: Option<UserId>,
    rooms: Rooms,
}

/// The rooms of a connection: mostly one, which then needs no memory of its own.
#[derive(Debug, Default)]
#[allow(
    clippy::box_collection,
    reason = "the box keeps it at 16 bytes for those who are in one room"
)]
enum Rooms {
    #[default]
    None,
    One(RoomId),
    Many(Box<Vec<RoomId>>),
}

impl Rooms {
    fn as_slice(&self) -> &[RoomId] {
        match self {
            Self::None => &[],
            Self::One(room) => std::slice::from_ref(room),
            Self::Many(rooms) => rooms,
        }
    }

    fn push(&mut self, room: RoomId) {
        match self {
            Self::None => *self = Self::One(room),
            Self::One(first) => *self = Self::Many(Box::new(vec![*first, room])),
            Self::Many(rooms) => rooms.push(room),
        }
    }

    fn remove(&mut self, room: RoomId) -> bool {
        match self {
            Self::One(only) if *only == room => *self = Self::None,
            Self::Many(rooms) => match rooms.iter().position(|other| *other == room) {
                Some(place) => _ = rooms.remove(place),
                None => return false,
            },
            _ => return false,
        }
        true
    }
}

/// Whether a guest may carry this name: 1 to [`USERNAME_CHARS_MAX`] characters, none of them a control character.
pub fn is_valid_username(name: &str) -> bool {
    (1..=USERNAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

/// Whether an account may carry this name: 1 to [`ACCOUNT_NAME_CHARS_MAX`] characters, no control character, no colon
/// (the users file has one behind it) and no white space at the ends.
pub fn is_valid_account_name(name: &str) -> bool {
    (1..=ACCOUNT_NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.contains(|c: char| c.is_control() || c == ':')
        && name.trim() == name
        && !name.starts_with('#')
}

impl People {
    /// Opens the session of a connection.
    pub fn enter(&mut self, connection: ConnectionId, name: &str) {
        let Self {
            users,
            by_name,
            hasher,
            sessions,
        } = self;
        let hash = NameHash::of(name, hasher);
        let is_same =
            |(other, id): &(NameHash, UserId)| *other == hash && &*users[id.index()].name == name;
        let user = match by_name.entry(hash.spread(), is_same, |(hash, _)| hash.spread()) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let user = UserId(users.vacant_key() as u32);
                entry.insert((hash, user));
                users.insert(User {
                    name: name.into(),
                    connections: SmallVec::new(),
                });
                user
            }
        };
        let connections = &mut users[user.index()].connections;
        if let Err(place) = connections.binary_search(&connection) {
            connections.insert(place, connection);
        }
        if sessions.len() <= connection.index() {
            sessions.resize_with(connection.index() + 1, Session::default);
        }
        sessions[connection.index()] = Session {
            user: Some(user),
            rooms: Rooms::None,
        };
    }

    /// Ends the session of a connection that is in no room any more.
    pub fn exit(&mut self, connection: ConnectionId) {
        let Some(session) = self.sessions.get_mut(connection.index()) else {
            return;
        };
        debug_assert!(
            session.rooms.as_slice().is_empty(),
            "the rooms are left first"
        );
        let Some(user) = std::mem::take(session).user else {
            return;
        };
        let connections = &mut self.users[user.index()].connections;
        if let Ok(place) = connections.binary_search(&connection) {
            connections.remove(place);
        }
        if connections.is_empty() {
            let name = self.users.remove(user.index()).name;
            let hash = NameHash::of(&name, &self.hasher);
            if let Ok(entry) = self
                .by_name
                .find_entry(hash.spread(), |(_, id)| *id == user)
            {
                entry.remove();
            }
        }
    }

    /// Whose session this connection is; `None` before it has entered.
    pub fn user_of(&self, connection: ConnectionId) -> Option<UserId> {
        self.sessions.get(connection.index())?.user
    }

    /// The name of a user.
    pub fn name(&self, user: UserId) -> &Rc<str> {
        &self.users[user.index()].name
    }

    /// The user of this name, if connected.
    pub fn find(&self, name: &str) -> Option<UserId> {
        let hash = NameHash::of(name, &self.hasher);
        let found = self.by_name.find(hash.spread(), |(other, id)| {
            *other == hash && &*self.users[id.index()].name == name
        });
        found.map(|(_, id)| *id)
    }

    /// Every open connection of a user, in the order of connections.
    pub fn connections(&self, user: UserId) -> &[ConnectionId] {
        &self.users[user.index()].connections
    }

    /// Users connected now.
    pub fn count(&self) -> usize {
        self.users.len()
    }

    /// The rooms this connection is in.
    pub fn rooms(&self, connection: ConnectionId) -> &[RoomId] {
        self.sessions
            .get(connection.index())
            .map_or(&[], |session| session.rooms.as_slice())
    }

    /// Notes that a connection is in a room.
    pub fn add_room(&mut self, connection: ConnectionId, room: RoomId) {
        self.sessions[connection.index()].rooms.push(room);
    }

    /// Notes that a connection is no longer in a room; false when it was not.
    pub fn remove_room(&mut self, connection: ConnectionId, room: RoomId) -> bool {
        self.sessions
            .get_mut(connection.index())
            .is_some_and(|session| session.rooms.remove(room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnectionId = ConnectionId(0);
    const B: ConnectionId = ConnectionId(1);

    #[test]
    fn two_connections_of_one_name_are_one_user_until_the_last_exits() {
        let mut people = People::default();
        people.enter(A, "김철수");
        people.enter(B, "김철수");
        assert_eq!(people.count(), 1);
        let user = people.find("김철수").expect("is here");
        assert_eq!(people.connections(user), [A, B]);
        for id in [9, 5, 7, 3, 11] {
            people.enter(ConnectionId(id), "김철수");
        }
        assert_eq!(
            people.connections(user),
            [0, 1, 3, 5, 7, 9, 11].map(ConnectionId)
        );
        for id in [7, 3, 11, 9, 5] {
            people.exit(ConnectionId(id));
        }
        assert_eq!(people.connections(user), [A, B]);
        people.exit(A);
        assert_eq!(people.find("김철수"), Some(user));
        people.exit(B);
        assert_eq!(people.find("김철수"), None);
        assert_eq!(people.count(), 0);
    }

    #[test]
    fn a_name_has_1_to_32_characters_and_no_control_character() {
        assert!(is_valid_username("홍"));
        assert!(is_valid_username(&"가".repeat(32)));
        assert!(!is_valid_username(&"가".repeat(33)));
        assert!(!is_valid_username(""));
        assert!(!is_valid_username("a\u{7}b"));
    }

    #[test]
    fn a_connection_is_in_the_rooms_it_was_added_to_and_not_removed_from() {
        let mut people = People::default();
        people.enter(A, "김철수");
        for room in 0..3 {
            people.add_room(A, RoomId(room));
        }
        assert!(people.remove_room(A, RoomId(1)));
        assert!(!people.remove_room(A, RoomId(1)));
        assert_eq!(people.rooms(A), [RoomId(0), RoomId(2)]);
    }

    #[test]
    fn each_of_many_is_found_by_name_and_no_longer_when_gone() {
        let mut people = People::default();
        for n in 0..5_000 {
            people.enter(ConnectionId(n), &n.to_string());
        }
        for n in (0..5_000).step_by(2) {
            people.exit(ConnectionId(n));
        }
        for n in 0..5_000 {
            let found = people.find(&n.to_string());
            let expected = people.user_of(ConnectionId(n));
            assert_eq!((found, found.is_some()), (expected, n % 2 == 1), "{n}");
        }
    }

    #[test]
    fn a_session_costs_24_bytes() {
        assert_eq!(size_of::<Session>(), 24);
    }

    #[test]
    fn one_room_is_left_by_its_own_number_only() {
        let mut people = People::default();
        people.enter(A, "김철수");
        people.add_room(A, RoomId(7));
        assert!(!people.remove_room(A, RoomId(8)));
        assert_eq!(people.rooms(A), [RoomId(7)]);
        assert!(people.remove_room(A, RoomId(7)));
        assert!(people.rooms(A).is_empty());
        assert!(!people.remove_room(B, RoomId(7)));
    }

    #[test]
    fn a_user_keeps_the_connections_that_did_not_exit() {
        let mut people = People::default();
        people.enter(A, "김철수");
        people.enter(B, "김철수");
        let user = people.user_of(B).expect("has entered");
        assert_eq!(people.user_of(A), Some(user));
        people.exit(A);
        assert_eq!(people.user_of(A), None);
        assert_eq!(people.connections(user), [B]);
        assert_eq!(&**people.name(user), "김철수");
    }
}
