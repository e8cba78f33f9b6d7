//! The connected users by name, and the session of each connection.
//!
//! A user is a name with at least one open connection; several connections (tabs, devices) may belong to one user. Without a
//! connection a user is known while a room has them as a member, and not connected.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::rc::Rc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use slab::Slab;
use smallvec::SmallVec;

use super::ids::{ConnectionId, HolderId, RoomId, UserId};
use super::message_keys::Person;
use super::names::key;
use super::time::Timestamp;

/// The connected users.
#[derive(Debug, Default)]
pub struct People {
    users: Slab<User>,
    /// With the hash of the name, so that growing the table reads no name: at a million users that would block the loop
    /// for a sixth of a second.
    by_name: HashTable<(NameHash, UserId)>,
    hasher: RandomState,
    /// All users by name.
    in_order: BTreeSet<(Rc<str>, UserId)>,
    /// Connected users whose name is not its own key ([`key`]), by key. Most names are.
    respelled: BTreeMap<Rc<str>, BTreeSet<UserId>>,
    /// By user: whether they signed in, not a guest.
    is_account: Vec<bool>,
    /// Guests with a key.
    holders: HashMap<UserId, HolderId>,
    /// By connection. 24 bytes each, to keep an idle connection cheap.
    sessions: Vec<Session>,
    /// Users who are in rooms without a connection there, in grace or while their messages are under way, with the number
    /// of those rooms.
    leaving: BTreeMap<UserId, u32>,
    /// Users with a connection.
    connected: usize,
}

/// Half of a 64-bit hash: collisions are rare enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NameHash(u32);

impl NameHash {
    fn of(name: &str, hasher: &RandomState) -> Self {
        Self(hasher.hash_one(name) as u32)
    }

    /// The hash for the table, which takes the bucket from its low bits and the tag from its high bits.
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

#[derive(Debug)]
struct User {
    name: Rc<str>,
    /// When the first of the connections came, in seconds since 1970.
    since: u64,
    /// Sorted, for binary search.
    connections: SmallVec<[ConnectionId; 4]>,
}

/// The user and the rooms of a connection; empty before [`People::enter`] and after [`People::exit`].
#[derive(Debug, Default)]
struct Session {
    user: Option<UserId>,
    rooms: Rooms,
}

/// The rooms of a connection. Mostly one, which needs no allocation.
#[derive(Debug, Default)]
#[allow(
    clippy::box_collection,
    reason = "the box keeps it at 16 bytes for a connection in one room"
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

impl People {
    /// Opens the session of a connection without a key; returns its user. A guest and an account of the same name are two
    /// users.
    pub fn enter(&mut self, connection: ConnectionId, name: &str, is_account: bool) -> UserId {
        let user = self.find_or_add(name, is_account, None);
        self.open(connection, user)
    }

    /// Opens the session of a guest with a key; returns its user. Guests with different keys are different users.
    pub fn enter_holder(
        &mut self,
        connection: ConnectionId,
        name: &str,
        holder: HolderId,
    ) -> UserId {
        let user = self.find_or_add(name, false, Some(holder));
        self.open(connection, user)
    }

    fn open(&mut self, connection: ConnectionId, user: UserId) -> UserId {
        let connections = &mut self.users[user.index()].connections;
        if let Err(place) = connections.binary_search(&connection) {
            connections.insert(place, connection);
        }
        if connections.len() == 1 {
            self.connected += 1;
            if let Some(key) = other_key(&self.users[user.index()].name) {
                self.respelled.entry(key).or_default().insert(user);
            }
        }
        if self.sessions.len() <= connection.index() {
            self.sessions
                .resize_with(connection.index() + 1, Session::default);
        }
        self.sessions[connection.index()] = Session {
            user: Some(user),
            rooms: Rooms::None,
        };
        user
    }

    fn find_or_add(&mut self, name: &str, is_account: bool, holder: Option<HolderId>) -> UserId {
        let Self {
            users,
            by_name,
            hasher,
            in_order,
            is_account: accounts,
            holders,
            ..
        } = self;
        let hash = NameHash::of(name, hasher);
        let is_same = |(other, id): &(NameHash, UserId)| {
            *other == hash
                && &*users[id.index()].name == name
                && accounts[id.index()] == is_account
                && holders.get(id).copied() == holder
        };
        match by_name.entry(hash.spread(), is_same, |(hash, _)| hash.spread()) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let user = UserId(users.vacant_key() as u32);
                entry.insert((hash, user));
                let name: Rc<str> = name.into();
                in_order.insert((name.clone(), user));
                users.insert(User {
                    name,
                    since: 0,
                    connections: SmallVec::new(),
                });
                if accounts.len() <= user.index() {
                    accounts.resize(user.index() + 1, false);
                }
                accounts[user.index()] = is_account;
                if let Some(holder) = holder {
                    holders.insert(user, holder);
                }
                user
            }
        }
    }

    /// Ends the session of a connection, which must have left its rooms; returns its user, if it had entered.
    pub fn exit(&mut self, connection: ConnectionId) -> Option<UserId> {
        let session = self.sessions.get_mut(connection.index())?;
        debug_assert!(
            session.rooms.as_slice().is_empty(),
            "the rooms are left first"
        );
        let user = std::mem::take(session).user?;
        let connections = &mut self.users[user.index()].connections;
        if let Ok(place) = connections.binary_search(&connection) {
            connections.remove(place);
        }
        if connections.is_empty() {
            self.connected -= 1;
            self.remove_respelled(user);
        }
        self.forget_if_gone(user);
        Some(user)
    }

    fn remove_respelled(&mut self, user: UserId) {
        let Some(key) = other_key(self.name(user)) else {
            return;
        };
        if let Some(users) = self.respelled.get_mut(&key) {
            users.remove(&user);
            if users.is_empty() {
                self.respelled.remove(&key);
            }
        }
    }

    fn forget_if_gone(&mut self, user: UserId) {
        let is_here = !self.users[user.index()].connections.is_empty();
        if is_here || self.leaving.contains_key(&user) {
            return;
        }
        let name = self.users.remove(user.index()).name;
        self.in_order.remove(&(name.clone(), user));
        self.holders.remove(&user);
        let hash = NameHash::of(&name, &self.hasher);
        if let Ok(entry) = self
            .by_name
            .find_entry(hash.spread(), |(_, id)| *id == user)
        {
            entry.remove();
        }
    }

    /// A user's last connection has left a room where they are in grace, or messages of theirs are under way: the user stays
    /// known.
    pub(super) fn add_leaving(&mut self, user: UserId) {
        *self.leaving.entry(user).or_default() += 1;
    }

    /// Ends that: the exit was announced, or the user has joined again.
    pub(super) fn remove_leaving(&mut self, user: UserId) {
        let Some(rooms) = self.leaving.get_mut(&user) else {
            return;
        };
        *rooms -= 1;
        if *rooms == 0 {
            self.leaving.remove(&user);
            self.forget_if_gone(user);
        }
    }

    /// Other users with the same name who are in grace, or whose last messages are under way: a guest, an account and
    /// guests with keys can have one name, one after the other.
    pub(super) fn leaving_namesakes(&self, user: UserId) -> SmallVec<[UserId; 1]> {
        let name = self.name(user);
        let hash = NameHash::of(name, &self.hasher);
        let alike = self.by_name.iter_hash(hash.spread()).map(|(_, id)| *id);
        alike
            .filter(|other| {
                *other != user && self.leaving.contains_key(other) && self.name(*other) == name
            })
            .collect()
    }

    /// The user of a connection; `None` before it has entered.
    pub fn user_of(&self, connection: ConnectionId) -> Option<UserId> {
        self.sessions.get(connection.index())?.user
    }

    /// The name of a user.
    pub fn name(&self, user: UserId) -> &Rc<str> {
        &self.users[user.index()].name
    }

    /// Whether a user signed in, that is, is no guest.
    pub fn is_account(&self, user: UserId) -> bool {
        self.is_account[user.index()]
    }

    /// A user beyond their connections: a guest and an account of the same name differ.
    pub fn person(&self, user: UserId) -> Person {
        Person {
            name: self.name(user).clone(),
            is_account: self.is_account(user),
            holder: self.holder(user),
        }
    }

    /// Who a guest with a key is; `None` for anybody else.
    pub fn holder(&self, user: UserId) -> Option<HolderId> {
        self.holders.get(&user).copied()
    }

    /// The user of this name, if connected.
    pub fn find(&self, name: &str) -> Option<UserId> {
        let hash = NameHash::of(name, &self.hasher);
        let found = self.by_name.find(hash.spread(), |(other, id)| {
            let user = &self.users[id.index()];
            *other == hash && &*user.name == name && !user.connections.is_empty()
        });
        found.map(|(_, id)| *id)
    }

    /// The users connected under names with this key ([`key`]).
    pub fn alike(&self, key: &str) -> impl Iterator<Item = UserId> + use<'_> {
        let others = self.respelled.get(key).into_iter().flatten();
        self.find(key).into_iter().chain(others.copied())
    }

    /// Those of them who are guests.
    pub fn guests_alike(&self, key: &str) -> impl Iterator<Item = UserId> + use<'_> {
        self.alike(key).filter(|user| !self.is_account(*user))
    }

    /// A connection has come at this time: if it is the first one of its user, they are here since then.
    pub fn note_entered(&mut self, user: UserId, now: Timestamp) {
        if let Some(user) = self.users.get_mut(user.index())
            && user.connections.len() == 1
        {
            user.since = now.0;
        }
    }

    /// Since when a user is here.
    pub fn since(&self, user: UserId) -> Timestamp {
        Timestamp::from_secs(self.users[user.index()].since)
    }

    /// The connected users by name, after those of this name.
    pub fn after(&self, name: Option<&str>) -> impl Iterator<Item = UserId> + use<'_> {
        let from = name.map_or(Bound::Unbounded, |name| {
            Bound::Excluded((Rc::from(name), UserId(u32::MAX)))
        });
        let users = self.in_order.range((from, Bound::Unbounded));
        let users = users.map(|(_, user)| *user);
        users.filter(|user| !self.connections(*user).is_empty())
    }

    /// Every open connection of a user, sorted.
    pub fn connections(&self, user: UserId) -> &[ConnectionId] {
        &self.users[user.index()].connections
    }

    /// Users who are in rooms without a connection there, with the number of those rooms.
    pub(super) fn leaving(&self) -> &BTreeMap<UserId, u32> {
        &self.leaving
    }

    /// Whether no user is known.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The users connected now.
    pub(super) fn users(&self) -> impl Iterator<Item = UserId> {
        let here = self.users.iter();
        here.filter(|(_, user)| !user.connections.is_empty())
            .map(|(index, _)| UserId(index as u32))
    }

    /// Users connected now.
    pub fn count(&self) -> usize {
        self.connected
    }

    /// Asserts the invariants. Visits every user.
    pub fn check(&self) {
        assert_eq!(self.connected, self.users().count(), "users are counted");
    }

    /// The rooms this connection is in.
    pub fn rooms(&self, connection: ConnectionId) -> &[RoomId] {
        self.sessions
            .get(connection.index())
            .map_or(&[], |session| session.rooms.as_slice())
    }

    /// Adds a room to a connection.
    pub fn add_room(&mut self, connection: ConnectionId, room: RoomId) {
        self.sessions[connection.index()].rooms.push(room);
    }

    /// Removes a room from a connection; false if the connection was not in it.
    pub fn remove_room(&mut self, connection: ConnectionId, room: RoomId) -> bool {
        self.sessions
            .get_mut(connection.index())
            .is_some_and(|session| session.rooms.remove(room))
    }
}

/// The key of a name that is not its own key.
fn other_key(name: &str) -> Option<Rc<str>> {
    Some(key(name)).filter(|key| *key != name).map(Rc::from)
}

#[cfg(test)]
mod tests;
