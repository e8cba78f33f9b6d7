//! All rooms and their members: what each command does, as effects.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use super::acknowledged::Acknowledged;
use super::allowance::Allowances;
use super::bans::Bans;
use super::changes::Changes;
use super::error::ErrorCode;
use super::event::{Effect, Effects, Event, Page, RoomInfo, RoomPage};
use super::graces::Graces;
use super::ids::{ConnectionId, RoomId, RoomKey, Serial, UserId};
use super::kept::KeptRooms;
use super::names::nfc;
use super::owners::Owner;
use super::people::People;
use super::permissions::Permissions;
use super::place::Place;
use super::room::Room;
use super::time::Now;
use super::wishes::{Opening, Wishes};
use crate::config::RoomLimits;

/// Rooms by name, users by name, and the members of each room.
#[derive(Debug)]
pub struct RoomManager {
    pub(super) limits: RoomLimits,
    pub(super) rooms: Slab<Room>,
    pub(super) by_name: HashMap<Rc<str>, RoomId>,
    /// The names of the rooms.
    pub(super) in_order: BTreeSet<Rc<str>>,
    /// Rooms by the time at which their oldest message is too old, since the server's start.
    pub(super) ages_due: BTreeSet<(Duration, RoomId)>,
    pub(super) people: People,
    /// What connections may do, of those that may more or less than is usual.
    pub(super) permissions: HashMap<ConnectionId, Rc<Permissions>>,
    /// Whether the tables of users are freed when the last in grace has left.
    pub(super) is_forgetting_people: bool,
    /// Wishes the backend has not answered.
    pub(super) wishes: Wishes,
    /// Rooms that are being opened, by name.
    pub(super) opening: HashMap<Rc<str>, Serial>,
    /// The names of rooms that were removed and are not gone yet, with the opening that waits for that.
    pub(super) going: HashMap<Rc<str>, Option<Opening>>,
    /// Connections whose join waits for a room to be opened.
    pub(super) joining: BTreeMap<ConnectionId, Serial>,
    /// Seats that are being asked for, by room and name.
    pub(super) seating: HashMap<(RoomId, Rc<str>), Serial>,
    /// Rooms with seats that could not be renewed.
    pub(super) unseated: BTreeSet<RoomId>,
    /// Whether rooms are shared with other nodes.
    pub(super) is_shared: bool,
    /// The names of rooms that have made way for others.
    pub(super) evicted: Vec<Rc<str>>,
    /// The names of shared rooms that are not followed here any more.
    pub(super) closed: Vec<Rc<str>>,
    pub(super) acknowledged: Acknowledged,
    /// Who is banned.
    pub bans: Bans,
    /// Changes that the store has not been given yet; `None` if there is no store.
    pub(super) changes: Option<Changes>,
    /// Whether they are to be stored without waiting for something else.
    pub(super) are_changes_urgent: bool,
    /// The number of the last whisper whose `id` was stored.
    pub(super) last_whisper: u64,
    /// The state of the generator of the epochs of rooms that lose their past.
    pub(super) epochs: u64,
    /// Whether guests and what they say are marked: wherever accounts exist, so not in the demo.
    pub marks_guests: bool,
    /// How long a user whose last connection in a room has closed stays a member.
    pub presence_grace: Duration,
    pub(super) graces: Graces,
    pub(super) history_bytes: usize,
    pub(super) uses: u64,
    /// Empty rooms, in the order of eviction.
    pub(super) evictable: BTreeSet<Place>,
    pub(super) kept: KeptRooms,
    /// How many rooms each may create by `POST /rooms`.
    pub(super) creations: Allowances<Owner>,
    pub(super) is_presence_announced: bool,
    /// Rooms whose number of users is to be announced, by time.
    pub(super) counts_due: BTreeSet<(Duration, RoomId)>,
}

/// The outcome of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The answer is among the effects.
    Now,
    /// The room is being opened: [`Effect::Resume`] follows the answer.
    Later,
}

/// Why a room is not created by `POST /rooms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCreated {
    /// It is refused.
    Refused(ErrorCode),
    /// Its creator has created too many of late: the time to wait.
    Throttled(Duration),
}

impl From<ErrorCode> for NotCreated {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code)
    }
}

impl RoomManager {
    /// A manager without rooms.
    pub fn new(limits: RoomLimits) -> Self {
        Self {
            limits,
            rooms: Slab::new(),
            by_name: HashMap::new(),
            in_order: BTreeSet::new(),
            ages_due: BTreeSet::new(),
            people: People::default(),
            permissions: HashMap::new(),
            is_forgetting_people: false,
            wishes: Wishes::default(),
            opening: HashMap::new(),
            going: HashMap::new(),
            joining: BTreeMap::new(),
            seating: HashMap::new(),
            unseated: BTreeSet::new(),
            is_shared: false,
            evicted: Vec::new(),
            closed: Vec::new(),
            acknowledged: Acknowledged::default(),
            bans: Bans::default(),
            changes: None,
            are_changes_urgent: false,
            last_whisper: 0,
            epochs: 0,
            marks_guests: false,
            presence_grace: Duration::ZERO,
            graces: Graces::default(),
            history_bytes: 0,
            uses: 0,
            evictable: BTreeSet::new(),
            kept: KeptRooms::default(),
            creations: Allowances::default(),
            is_presence_announced: true,
            counts_due: BTreeSet::new(),
        }
    }

    /// The connected users.
    pub fn people(&self) -> &People {
        &self.people
    }

    /// A connection of a user has come.
    pub fn note_entered(&mut self, user: UserId, now: Now) {
        self.people.note_entered(user, now.into());
    }

    /// Frees the tables of users, once no user is left: some may be in grace.
    pub fn forget_people(&mut self) {
        self.is_forgetting_people = !self.people.is_empty();
        if !self.is_forgetting_people {
            self.people = People::default();
        }
    }

    /// Broadcasts an event to all members of a room, except one connection.
    pub fn send_to_room(
        &self,
        room: RoomId,
        event: Event,
        exclude: Option<ConnectionId>,
        effects: &mut Effects,
    ) {
        effects.push_back(Effect::Broadcast {
            room,
            event,
            exclude,
        });
    }

    /// A room as `GET /rooms/{name}` shows it, with the names of its members
    /// ([`PRESENCE_NAMES_MAX`](crate::config::PRESENCE_NAMES_MAX) at most).
    ///
    /// # Errors
    /// `room_not_found`.
    pub fn get_room_info(&self, name: &str) -> Result<(RoomInfo, Vec<Rc<str>>), ErrorCode> {
        let room = self.find(name)?;
        Ok((room.info(), self.names_except(room, None)))
    }

    /// Whether a user is marked as a guest.
    pub(super) fn is_marked(&self, user: UserId) -> bool {
        self.marks_guests && !self.people.is_account(user)
    }

    /// The names of a room's users, without one, and whether each is a guest's;
    /// [`PRESENCE_NAMES_MAX`](crate::config::PRESENCE_NAMES_MAX) at most.
    fn named_except(&self, room: &Room, except: Option<UserId>) -> Vec<(Rc<str>, bool)> {
        let own = |user| {
            (
                self.people.name(user).clone(),
                !self.people.is_account(user),
            )
        };
        match &room.crowd {
            None => room.users_except(except).map(own).collect(),
            Some(crowd) => {
                let except = except.map(|user| self.people.name(user));
                let names = crowd.names().filter(|(name, _)| Some(*name) != except);
                names
                    .map(|(name, is_guest)| (name.clone(), is_guest))
                    .collect()
            }
        }
    }

    /// The same, only the names.
    pub(super) fn names_except(&self, room: &Room, except: Option<UserId>) -> Vec<Rc<str>> {
        let named = self.named_except(room, except).into_iter();
        named.map(|(name, _)| name).collect()
    }

    /// Those of a room's users, without one, who are guests: a guest and an account never share a name at a time. `None` if
    /// guests are not marked. The users are the same as [`Room::users_except`] gives.
    pub fn guests_except(&self, room: &Room, except: Option<UserId>) -> Option<Vec<Rc<str>>> {
        let guests = || {
            let named = self.named_except(room, except).into_iter();
            named
                .filter(|(_, is_guest)| *is_guest)
                .map(|(name, _)| name)
        };
        self.marks_guests.then(|| guests().collect())
    }

    /// The room of this name, however it is composed.
    ///
    /// # Errors
    /// `room_not_found`.
    pub fn find(&self, name: &str) -> Result<&Room, ErrorCode> {
        let id = self.id_of(name).ok_or(ErrorCode::RoomNotFound)?;
        Ok(&self.rooms[id.index()])
    }

    /// Rooms have names in form C, so a name that is a room's as it is need not be composed.
    pub(super) fn id_of(&self, name: &str) -> Option<RoomId> {
        let id = self.by_name.get(name);
        let id = id.or_else(|| match nfc(name) {
            Cow::Borrowed(_) => None,
            Cow::Owned(name) => self.by_name.get(&*name),
        });
        id.copied()
    }

    /// The name of a room, if there is one in this slot.
    pub fn name_if_there(&self, id: RoomId) -> Option<Rc<str>> {
        self.rooms.get(id.index()).map(|room| room.name.clone())
    }

    /// The name of an open room.
    pub fn name_of(&self, id: RoomId) -> Rc<str> {
        self.rooms[id.index()].name.clone()
    }

    /// Takes the names of rooms that have made way for others.
    pub fn take_evicted(&mut self) -> Vec<Rc<str>> {
        std::mem::take(&mut self.evicted)
    }

    /// The number of rooms.
    pub fn count(&self) -> usize {
        self.rooms.len()
    }

    /// All rooms, by slot.
    pub fn list(&self) -> Vec<RoomInfo> {
        let there = self.rooms.iter().filter(|(_, room)| room.gone.is_none());
        there.map(|(_, room)| room.info()).collect()
    }

    /// A page of the rooms that may be entered with these permissions, by name.
    pub fn page(&self, page: &Page, permissions: &Permissions) -> RoomPage {
        let after = page.after.as_deref();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.in_order.range::<str, _>((from, Bound::Unbounded));
        let mut names = names.filter(|name| permissions.may_enter(name));
        let page: Vec<&Rc<str>> = names.by_ref().take(page.limit).collect();
        let has_more = names.next().is_some();
        let next = page.last().filter(|_| has_more).map(|name| Rc::clone(name));
        let ids = page.iter().filter_map(|name| self.by_name.get(*name));
        (ids.map(|id| self.rooms[id.index()].info()).collect(), next)
    }

    pub(super) fn joined(&self, connection: ConnectionId, name: &str) -> Result<RoomId, ErrorCode> {
        let id = self.id_of(name).ok_or(ErrorCode::NotInRoom)?;
        if self.people.rooms(connection).contains(&id) {
            Ok(id)
        } else {
            Err(ErrorCode::NotInRoom)
        }
    }

    pub(super) fn is_in_too_many(&self, connection: ConnectionId) -> bool {
        self.people.rooms(connection).len() >= self.limits.rooms_per_connection
    }

    /// The key of a room, as wishes and facts name it.
    pub(super) fn key(&self, id: RoomId) -> RoomKey {
        let epoch = self.rooms[id.index()].history.position().epoch;
        RoomKey { id, epoch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, PRESENCE_NAMES_MAX, ROOM_USERS_MAX};
    use crate::domain::membership::Exit;
    use crate::domain::testing::{creator, join_as, origin, settle};
    use crate::domain::time::{Now, Timestamp};

    fn create(manager: &mut RoomManager, name: &str, max: Option<u32>) -> Result<(), NotCreated> {
        let (mut effects, serial, now) = (Effects::new(), Serial(9), Now::default());
        manager.create_room(serial, creator(), name, max, now, &mut effects)?;
        match settle(manager, &mut effects, now).pop() {
            Some(Effect::Created(answered, info)) if answered == serial => Ok(info.map(|_| ())?),
            other => panic!("unexpected: {other:?}"),
        }
    }

    const A: ConnectionId = ConnectionId(0);

    /// A manager with one connection, and these limits.
    fn manager(limits: impl FnOnce(&mut RoomLimits)) -> RoomManager {
        let mut config = Config::default().rooms;
        limits(&mut config);
        let mut manager = RoomManager::new(config);
        manager.enter(A, "kim", None, &mut Effects::new());
        manager
    }

    fn join(manager: &mut RoomManager, room: &str) -> Result<(), ErrorCode> {
        join_as(manager, A, room, Now::default())
    }

    fn leave(manager: &mut RoomManager, room: &str) {
        let left = manager.leave_room(A, room, Now::default(), &mut Effects::new());
        assert_eq!(left, Ok(()));
    }

    #[test]
    fn guests_are_told_of_those_who_are_named_and_of_nobody_else() {
        let mut manager = manager(|limits| limits.room_users = 1_000);
        assert_eq!(join(&mut manager, "a"), Ok(()));
        assert_eq!(manager.guests_except(&manager.rooms[0], None), None);
        manager.marks_guests = true;
        for n in 1..=PRESENCE_NAMES_MAX as u32 {
            let expires_at = (n % 2 == 0).then_some(Timestamp(9));
            let (name, connection) = (n.to_string(), ConnectionId(n));
            manager.enter(connection, &name, expires_at, &mut Effects::new());
            let joined = join_as(&mut manager, connection, "a", Now::default());
            assert_eq!(joined, Ok(()));
        }
        let (_, named) = manager.get_room_info("a").expect("exists");
        assert_eq!(named.len(), PRESENCE_NAMES_MAX);
        let guests = manager.guests_except(&manager.rooms[0], None);
        let is_guest = |name: &Rc<str>| name.parse::<u32>().is_ok_and(|n| n % 2 == 1);
        let expected = named
            .into_iter()
            .filter(|name| &**name == "kim" || is_guest(name));
        assert_eq!(guests, Some(expected.collect()));
    }

    #[test]
    fn a_join_that_is_refused_leaves_no_room_behind() {
        let mut strict = manager(|limits| limits.auto_rooms = false);
        assert_eq!(join(&mut strict, ""), Err(ErrorCode::BadRoomName));
        assert_eq!(join(&mut strict, "a"), Err(ErrorCode::RoomNotFound));
        assert_eq!(strict.count(), 0);
        let mut narrow = manager(|limits| limits.rooms_per_connection = 2);
        assert_eq!(join(&mut narrow, ""), Err(ErrorCode::BadRoomName));
        assert_eq!(join(&mut narrow, "a"), Ok(()));
        assert_eq!(join(&mut narrow, "b"), Ok(()));
        assert_eq!(join(&mut narrow, "c"), Err(ErrorCode::TooManyRooms));
        assert_eq!(narrow.count(), 2);
    }

    #[test]
    fn the_empty_room_used_longest_ago_is_evicted_with_its_history() {
        let mut manager = manager(|limits| limits.rooms = 2);
        for room in ["a", "b"] {
            assert_eq!(join(&mut manager, room), Ok(()));
            let mut effects = Effects::new();
            let content = room.repeat(9);
            let said = manager.chat(
                origin(A),
                room,
                &content,
                None,
                Now::default(),
                &mut effects,
            );
            assert_eq!(said, Ok(()));
            settle(&mut manager, &mut effects, Now::default());
        }
        let of_one = manager.history_bytes / 2;
        assert_eq!(join(&mut manager, "c"), Err(ErrorCode::TooManyRooms));
        leave(&mut manager, "a");
        assert_eq!(join(&mut manager, "a"), Ok(()));
        leave(&mut manager, "b");
        leave(&mut manager, "a");
        assert_eq!(join(&mut manager, "c"), Ok(()));
        assert!(manager.find("a").is_ok() && manager.find("b").is_err());
        assert_eq!(manager.history_bytes, of_one);
    }

    #[test]
    fn who_exits_is_nowhere_and_the_rooms_that_stay_are_listed() {
        let mut manager = manager(|_| ());
        assert_eq!(join(&mut manager, "a"), Ok(()));
        assert_eq!(manager.people().rooms(A).len(), 1);
        manager.exit(A, Exit::Closed, Now::default(), &mut Effects::new());
        assert!(manager.people().rooms(A).is_empty());
        assert_eq!(manager.people().find("kim"), None);
        for (name, max_users, expected) in [
            ("b", 0, Err(ErrorCode::BadRequest.into())),
            ("b", ROOM_USERS_MAX + 1, Err(ErrorCode::BadRequest.into())),
            ("b", ROOM_USERS_MAX, Ok(())),
            ("c", 1, Ok(())),
            ("c", 1, Err(ErrorCode::RoomExists.into())),
        ] {
            let created = create(&mut manager, name, Some(max_users));
            assert_eq!(created, expected, "{name} {max_users}");
        }
        let rooms = manager
            .list()
            .into_iter()
            .map(|room| (room.users, room.max_users));
        assert!(rooms.eq([(0, 100), (0, ROOM_USERS_MAX), (0, 1)]));
    }
}
