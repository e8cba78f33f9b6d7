//! One room: its members and its history.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::time::Duration;

use super::crowd::Crowd;
use super::event::{Event, RoomInfo};
use super::facts::OpenedRoom;
use super::history::History;
use super::ids::{RoomId, Serial, UserId};
use super::owners::Creator;
use super::place::{EvictionClass, Place};
use super::position::Position;
use super::rules::Rules;
use super::time::Timestamp;
use crate::config::{
    GRACES_PER_TURN, HISTORY_ON_ENTRY, HISTORY_ROOM_BYTES_MAX, PRESENCE_NAMES_MAX,
};

/// A room. Presence counts users: a user's second connection changes nothing for the others.
#[derive(Debug)]
pub struct Room {
    /// Its name.
    pub name: Rc<str>,
    /// Its limit of users.
    pub max_users: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its other rules.
    pub rules: Rules,
    /// Its last messages.
    pub history: History,
    /// Users, with the number of their connections here; 0 for an absent user, who is in grace or whose messages are under
    /// way.
    users: BTreeMap<UserId, u32>,
    /// Users with a connection here.
    present: usize,
    /// Users with messages under way and their number, sorted by user.
    authors: Vec<(UserId, u32)>,
    /// It was removed, and goes when nothing in it is under way any more; the serial of the request.
    pub gone: Option<Option<Serial>>,
    /// When its oldest message is too old by its rules, since the server's start.
    pub age_due: Option<Duration>,
    /// Messages of a back end that are under way.
    pub posts: u32,
    /// Created by `POST /rooms`, not by a join.
    pub is_kept: bool,
    /// It makes way for no other room.
    pub stays: bool,
    /// Who created it, if it is kept and was created here.
    pub creator: Option<Rc<Creator>>,
    /// When `room_users` was last sent. Used in rooms too large to announce each entry and exit.
    pub count_sent_at: Option<Duration>,
    /// Who is in it at all nodes, if it is shared with others.
    pub crowd: Option<Crowd>,
    /// Seats in it that are being asked for.
    pub awaited: u32,
    /// Whether its past was loaded from a store, and has been its own since.
    pub is_loaded: bool,
    /// Whether a `room_users` is due.
    pub is_count_due: bool,
    /// A counter of uses over all rooms: the smallest value is the least recently used room.
    pub last_used: u64,
    /// The time of that use, since the server's start.
    pub last_used_at: Duration,
}

/// What the entry of a connection changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// The user's first connection in the room.
    First,
    /// The user had left, but their exit was not announced yet.
    Again,
    /// The user had left, and their exit was announced, but messages are under way.
    Back,
    /// The user has another connection in the room.
    Another,
}

/// What the exit of a connection changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The user's last connection: the user has left.
    Last,
    /// The user's last connection, but the user is in grace, or messages are under way: the exit is announced later.
    Leaving,
    /// The user has another connection in the room.
    Another,
}

/// What the end of a user's message changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The user is in the room or in grace, or has more messages under way.
    Nothing,
    /// The user had left and waited for this: the user has left now.
    Last,
    /// The user's exit was announced before: nothing is left of the user here.
    Rest,
}

impl Room {
    /// A room as the backend has opened it, without members.
    pub fn new(name: Rc<str>, opened: OpenedRoom) -> Self {
        Self {
            name,
            max_users: opened.max_users,
            rules: opened.rules,
            created_at: opened.created_at,
            history: History::with(opened.epoch, opened.newest, opened.messages),
            users: BTreeMap::new(),
            present: 0,
            authors: Vec::new(),
            gone: None,
            age_due: None,
            posts: 0,
            is_kept: opened.is_kept,
            stays: false,
            creator: None,
            count_sent_at: None,
            crowd: None,
            awaited: 0,
            is_loaded: false,
            is_count_due: false,
            last_used: 0,
            last_used_at: Duration::ZERO,
        }
    }

    /// Whether the room is full, and this user is not in it, when those absent users have left who make way for this one.
    pub fn is_full_for(&self, user: UserId, making_way: &[UserId]) -> bool {
        let leave = making_way.iter().filter(|user| self.is_absent(**user));
        self.users.len() - leave.count() >= self.max_users as usize
            && !self.users.contains_key(&user)
    }

    /// Whether a user is a member without a connection here.
    pub fn is_absent(&self, user: UserId) -> bool {
        self.users.get(&user) == Some(&0)
    }

    /// Whether messages of a user are under way.
    pub fn has_wishes_of(&self, user: UserId) -> bool {
        self.author(user).is_ok()
    }

    /// Adds a connection of a user.
    pub fn add(&mut self, user: UserId) -> Entered {
        let has_wishes = self.has_wishes_of(user);
        let entered = match self.users.entry(user) {
            Entry::Vacant(entry) => {
                entry.insert(1);
                match has_wishes {
                    true => Entered::Back,
                    false => Entered::First,
                }
            }
            Entry::Occupied(mut entry) => {
                let connections = entry.get_mut();
                *connections += 1;
                match *connections {
                    1 => Entered::Again,
                    _ => Entered::Another,
                }
            }
        };
        self.present += usize::from(entered != Entered::Another);
        entered
    }

    /// Removes a connection of a user. The user stays for a grace, if there is one, and while their messages are under way.
    pub fn remove(&mut self, user: UserId, has_grace: bool) -> Left {
        let stays = has_grace || self.has_wishes_of(user);
        let Entry::Occupied(mut entry) = self.users.entry(user) else {
            return Left::Another;
        };
        let left = match *entry.get() {
            0 => return Left::Another,
            1 if stays => {
                entry.insert(0);
                Left::Leaving
            }
            1 => {
                entry.remove();
                Left::Last
            }
            _ => {
                *entry.get_mut() -= 1;
                Left::Another
            }
        };
        self.present -= usize::from(left != Left::Another);
        left
    }

    /// Ends the grace of an absent user; true if they leave now. If messages of theirs are under way they leave when these
    /// are answered.
    pub fn end_grace(&mut self, user: UserId) -> bool {
        !self.has_wishes_of(user) && self.remove_absent(user)
    }

    /// Counts a message of a user as under way.
    pub fn add_wish(&mut self, user: UserId) {
        match self.author(user) {
            Ok(place) => self.authors[place].1 += 1,
            Err(place) => self.authors.insert(place, (user, 1)),
        }
    }

    /// A message of a user, who may be in grace, is answered.
    pub fn remove_wish(&mut self, user: UserId, is_in_grace: bool) -> Answered {
        let Ok(place) = self.author(user) else {
            return Answered::Nothing;
        };
        self.authors[place].1 -= 1;
        if self.authors[place].1 > 0 {
            return Answered::Nothing;
        }
        self.authors.remove(place);
        match self.users.get(&user) {
            Some(0) if !is_in_grace => {
                self.users.remove(&user);
                Answered::Last
            }
            Some(_) => Answered::Nothing,
            None => Answered::Rest,
        }
    }

    /// Removes an absent user, without waiting for their messages; false if they are not absent.
    pub fn remove_absent(&mut self, user: UserId) -> bool {
        self.is_absent(user) && self.users.remove(&user).is_some()
    }

    /// Removes an absent user, unless messages of theirs are under way; false if they stay.
    pub fn remove_absent_without_wishes(&mut self, user: UserId) -> bool {
        !self.has_wishes_of(user) && self.remove_absent(user)
    }

    /// Removes the users of a room that is evicted.
    pub fn take_users(&mut self) -> impl Iterator<Item = UserId> + use<> {
        std::mem::take(&mut self.users).into_keys()
    }

    fn author(&self, user: UserId) -> Result<usize, usize> {
        self.authors.binary_search_by_key(&user, |(user, _)| *user)
    }

    /// Whether the room may be evicted, perhaps after some time: it has no connections and no messages under way, and few
    /// enough members in grace.
    pub fn is_evictable(&self) -> bool {
        self.present == 0
            && self.awaited == 0
            && self.posts == 0
            && self.authors.is_empty()
            && self.users.len() <= GRACES_PER_TURN
    }

    /// The place in the order of eviction; `None` if the room is in use.
    pub fn place(&self, id: RoomId) -> Option<Place> {
        if !self.is_evictable() || self.stays || self.gone.is_some() {
            return None;
        }
        let class = match (self.is_kept, self.history.position().seq) {
            (false, 0) => EvictionClass::Silent,
            (false, _) => EvictionClass::Spoken,
            (true, 0) => EvictionClass::KeptSilent,
            (true, _) => EvictionClass::KeptSpoken,
        };
        Some(Place {
            class,
            last_used: self.last_used,
            id,
        })
    }

    /// Users with messages under way and their number, sorted by user.
    pub fn authors(&self) -> &[(UserId, u32)] {
        &self.authors
    }

    /// Users without a connection here who are in grace or have messages under way. Visits every user, and asserts that
    /// those who are present are counted.
    pub fn leaving(&self) -> impl Iterator<Item = UserId> {
        let absent = self
            .users
            .iter()
            .filter(|(_, connections)| **connections == 0);
        let absent = absent.map(|(user, _)| *user);
        let authors = self.authors.iter().map(|(user, _)| *user);
        let told = authors.filter(|user| !self.users.contains_key(user));
        assert_eq!(self.present + absent.clone().count(), self.users.len());
        absent.chain(told)
    }

    /// Users in the room, at all nodes if it is shared.
    pub fn count(&self) -> usize {
        self.crowd.as_ref().map_or(self.users.len(), Crowd::count)
    }

    /// Every user of this server in the room, also in grace.
    pub fn own_users(&self) -> impl Iterator<Item = UserId> {
        self.users.keys().copied()
    }

    /// Whether a user of this server is in the room, perhaps in grace.
    pub fn has(&self, user: UserId) -> bool {
        self.users.contains_key(&user)
    }

    /// The users except one, [`PRESENCE_NAMES_MAX`] of them at most.
    pub fn users_except(&self, except: Option<UserId>) -> impl Iterator<Item = UserId> {
        self.users
            .keys()
            .copied()
            .filter(move |user| Some(*user) != except)
            .take(PRESENCE_NAMES_MAX)
    }

    /// Whether each entry and exit is announced by name; else as a number, at most once a second.
    pub fn announces_names(&self) -> bool {
        self.count() <= PRESENCE_NAMES_MAX
    }

    /// The last [`HISTORY_ON_ENTRY`] messages, for a new member.
    pub fn recent(&self) -> Vec<Event> {
        self.history
            .last(HISTORY_ON_ENTRY)
            .map(Event::of_message)
            .collect()
    }

    /// What a member has missed since a position: what was deleted of what they have seen, then the messages after it. `None`
    /// if some of these are gone.
    pub fn missed(&self, since: Position) -> Option<Vec<Event>> {
        let after = self.history.after(since)?;
        let missed = self.history.deleted_since(since).chain(after);
        Some(missed.map(Event::of_message).collect())
    }

    /// Drops the oldest messages above the room's own limits; the last [`HISTORY_ON_ENTRY`] always stay, unless the room keeps
    /// fewer.
    pub fn trim_history(&mut self) {
        let history = &mut self.history;
        while history.len() > self.rules.history_messages as usize
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
            users: self.count(),
            messages: self.history.position().seq,
            created_at: self.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HISTORY_MESSAGES_MAX;
    use crate::domain::event::ChatMessage;

    fn room() -> Room {
        let opened = OpenedRoom {
            epoch: 7,
            max_users: 1,
            is_kept: false,
            rules: Rules::default(),
            is_made: true,
            created_at: Timestamp(0),
            newest: 0,
            messages: Vec::new(),
        };
        Room::new("r".into(), opened)
    }

    /// Of `count` messages of a length, how many are kept, and in how many bytes.
    fn kept(count: usize, length: usize) -> (usize, usize) {
        let mut room = room();
        for _ in 0..count {
            let position = room.history.position();
            let message = ChatMessage {
                room: "r".into(),
                username: "u".into(),
                content: "x".repeat(length).into(),
                timestamp: Timestamp(0),
                position: Position {
                    seq: position.seq + 1,
                    ..position
                },
                guest: false,
                deleted_at: None,
            };
            assert!(room.history.append(Rc::new(message)));
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
        // Exactly 64 messages of this length fit.
        let length = HISTORY_ROOM_BYTES_MAX / 64 - overhead;
        assert_eq!(kept(64, length), (64, HISTORY_ROOM_BYTES_MAX));
        assert_eq!(kept(99, length), (64, HISTORY_ROOM_BYTES_MAX));
        assert_eq!(kept(99, length + 1).0, 63);
        assert_eq!(kept(99, 2 * length).0, HISTORY_ON_ENTRY);
    }

    const A: UserId = UserId(1);
    const B: UserId = UserId(2);

    #[test]
    fn a_user_enters_with_the_first_connection_and_leaves_with_the_last() {
        let mut room = room();
        assert!(!room.is_full_for(A, &[]));
        assert_eq!(
            (room.add(A), room.add(A)),
            (Entered::First, Entered::Another)
        );
        assert!(!room.is_full_for(A, &[]) && room.is_full_for(B, &[]));
        assert!(room.users_except(None).eq([A]) && room.users_except(Some(A)).eq([]));
        assert_eq!(
            (room.remove(B, false), room.remove(A, false)),
            (Left::Another, Left::Another)
        );
        assert_eq!(room.count(), 1);
        assert_eq!(
            (room.remove(A, false), room.remove(A, false)),
            (Left::Last, Left::Another)
        );
        assert_eq!(room.count(), 0);
    }

    #[test]
    fn a_user_who_leaves_stays_until_what_they_said_is_answered() {
        let mut room = room();
        room.add(A);
        room.add_wish(A);
        room.add_wish(A);
        assert_eq!(room.remove(A, false), Left::Leaving);
        assert!(room.count() == 1 && !room.is_evictable());
        assert_eq!(room.remove_wish(A, false), Answered::Nothing);
        assert_eq!(room.remove_wish(A, false), Answered::Last);
        assert!(room.count() == 0 && room.is_evictable());
        assert_eq!(room.remove_wish(A, false), Answered::Nothing);
    }

    #[test]
    fn a_user_who_comes_back_before_that_has_never_left() {
        let mut room = room();
        room.add(A);
        room.add_wish(A);
        assert_eq!(room.remove(A, false), Left::Leaving);
        assert_eq!(room.add(A), Entered::Again);
        assert_eq!(room.remove_wish(A, false), Answered::Nothing);
        assert_eq!((room.count(), room.remove(A, false)), (1, Left::Last));
    }

    #[test]
    fn a_user_whose_exit_is_announced_early_is_back_when_they_enter_and_else_leaves_no_more() {
        for comes_back in [true, false] {
            let mut room = room();
            room.add(A);
            assert!(!room.remove_absent(A));
            room.add_wish(A);
            room.remove(A, false);
            assert!(room.remove_absent(A) && !room.remove_absent(A));
            assert!(room.count() == 0 && room.leaving().eq([A]) && !room.is_evictable());
            if comes_back {
                assert_eq!(room.add(A), Entered::Back);
                assert_eq!(room.remove_wish(A, false), Answered::Nothing);
                assert_eq!((room.count(), room.remove(A, false)), (1, Left::Last));
            } else {
                assert_eq!(room.remove_wish(A, false), Answered::Rest);
            }
            assert!(room.is_evictable());
        }
    }
}
