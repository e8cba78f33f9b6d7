use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::config::{
    Config, KEPT_ROOM_IDLE_FOR, KEPT_ROOM_UNUSED_FOR, ROOM_CREATION_REFILL, ROOM_CREATIONS,
    RoomLimits,
};
use crate::domain::error::ErrorCode;
use crate::domain::event::{Effect, Effects};
use crate::domain::facts::Outcome;
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::membership::Exit;
use crate::domain::owners::Owner;
use crate::domain::rooms::NotCreated;
use crate::domain::testing::{join_as, opened, origin, published, settle};

const A: ConnectionId = ConnectionId(0);
const SECOND: Duration = Duration::from_secs(1);
const TOO_MANY: Result<(), NotCreated> = Err(NotCreated::Refused(ErrorCode::TooManyRooms));

fn at(monotonic: Duration) -> Now {
    Now {
        monotonic,
        ..Now::default()
    }
}

/// Somebody at the address with this number, without a token.
fn guest(number: u8) -> Creator {
    Creator::new(None, IpAddr::from([192, 0, 2, number]))
}

/// A manager of so many rooms, with connections of four users.
fn manager(rooms: usize) -> RoomManager {
    let mut manager = RoomManager::new(RoomLimits {
        rooms,
        rooms_per_connection: 3,
        ..Config::default().rooms
    });
    for n in 0..4 {
        manager.enter(ConnectionId(n), &n.to_string(), None, &mut Effects::new());
    }
    manager
}

fn create(
    manager: &mut RoomManager,
    creator: Creator,
    name: &str,
    now: Now,
) -> Result<(), NotCreated> {
    let mut effects = Effects::new();
    manager.create_room(Serial(9), creator, name, None, now, &mut effects)?;
    settle(manager, &mut effects, now);
    manager.check();
    assert!(manager.find(name).is_ok());
    Ok(())
}

fn join(manager: &mut RoomManager, name: &str, now: Now) -> Result<(), ErrorCode> {
    let joined = join_as(manager, A, name, now);
    manager.check();
    joined
}

fn say(
    manager: &mut RoomManager,
    connection: ConnectionId,
    room: &str,
    now: Now,
) -> Result<(), ErrorCode> {
    let mut effects = Effects::new();
    manager.chat(origin(connection), room, "hi", None, now, &mut effects)?;
    settle(manager, &mut effects, now);
    Ok(())
}

/// Enters a room, says something there if that is asked for, and leaves.
fn visit(manager: &mut RoomManager, name: &str, speaks: bool, now: Now) {
    assert_eq!(join(manager, name, now), Ok(()));
    if speaks {
        assert_eq!(say(manager, A, name, now), Ok(()));
    }
    let left = manager.leave_room(A, name, now, &mut Effects::new());
    assert_eq!(left, Ok(()));
    manager.check();
}

fn names(manager: &RoomManager) -> Vec<String> {
    let mut names: Vec<String> = manager
        .list()
        .iter()
        .map(|room| room.name.to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn who_makes_rooms_only_to_leave_them_does_not_evict_the_history_of_others() {
    let mut manager = manager(4);
    let now = Now::default();
    visit(&mut manager, "talk", true, now);
    visit(&mut manager, "silent", false, now);
    for n in 0..50 {
        visit(&mut manager, &format!("new{n}"), false, now);
    }
    assert_eq!(names(&manager), ["new47", "new48", "new49", "talk"]);
    // What is said is evicted by what is said, the least recently used room first.
    for n in 0..4 {
        visit(&mut manager, &format!("talk{n}"), true, now);
    }
    assert_eq!(names(&manager), ["talk0", "talk1", "talk2", "talk3"]);
}

#[test]
fn a_kept_room_that_was_never_used_makes_way_after_ten_minutes_and_one_with_history_after_a_day() {
    let mut manager = manager(4);
    let mut now = Now::default();
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(create(&mut manager, guest(n as u8), name, now), Ok(()));
    }
    visit(&mut manager, "b", true, now);
    let mut members = |room: &str, expected: &[&str], now| {
        let joined = join(&mut manager, room, now);
        assert_eq!(names(&manager), expected, "{room}: {joined:?}");
        joined
    };
    assert_eq!(members("1", &["1", "a", "b", "c"], now), Ok(()));
    now.monotonic = KEPT_ROOM_UNUSED_FOR - SECOND;
    let refused = Err(ErrorCode::TooManyRooms);
    assert_eq!(members("2", &["1", "a", "b", "c"], now), refused);
    now.monotonic = KEPT_ROOM_UNUSED_FOR;
    assert_eq!(members("2", &["1", "2", "b", "c"], now), Ok(()));
    assert_eq!(members("3", &["1", "2", "3", "b"], now), Ok(()));
    let more = ConnectionId(1);
    now.monotonic = KEPT_ROOM_IDLE_FOR - SECOND;
    assert_eq!(join_as(&mut manager, more, "4", now), refused);
    now.monotonic = KEPT_ROOM_IDLE_FOR;
    assert_eq!(join_as(&mut manager, more, "4", now), Ok(()));
    assert_eq!(names(&manager), ["1", "2", "3", "4"]);
    assert_eq!(manager.history_bytes, 0);
    manager.check();
    // All have members now, however long ago they were used.
    now.monotonic = 9 * KEPT_ROOM_IDLE_FOR;
    assert_eq!(join_as(&mut manager, more, "5", now), refused);
}

#[test]
fn a_room_with_members_or_messages_under_way_stays_however_long_it_is_unused() {
    let mut manager = manager(2);
    let (mut effects, mut now) = (Effects::new(), Now::default());
    for (n, room) in ["a", "b"].into_iter().enumerate() {
        assert_eq!(create(&mut manager, guest(n as u8), room, now), Ok(()));
        let connection = ConnectionId(n as u32);
        assert_eq!(join_as(&mut manager, connection, room, now), Ok(()));
    }
    let author = ConnectionId(1);
    let said = manager.chat(origin(author), "b", "hi", None, now, &mut effects);
    let left = manager.leave_room(author, "b", now, &mut effects);
    assert_eq!((said, left), (Ok(()), Ok(())));
    let Some(Effect::Publish(publication)) = effects.pop_front() else {
        panic!("something was said");
    };
    let join = |manager: &mut RoomManager, now| {
        manager.check();
        join_as(manager, ConnectionId(2), "c", now)
    };
    now.monotonic += 9 * KEPT_ROOM_IDLE_FOR;
    let refused = Err(ErrorCode::TooManyRooms);
    assert_eq!(join(&mut manager, now), refused);
    // The room is used by what is said there when it is known to be said.
    manager.answered(published(publication, 1), now, &mut effects);
    now.monotonic += KEPT_ROOM_IDLE_FOR - SECOND;
    assert_eq!(join(&mut manager, now), refused);
    now.monotonic += SECOND;
    assert_eq!(join(&mut manager, now), Ok(()));
    assert_eq!(names(&manager), ["a", "c"]);
}

#[test]
fn a_use_makes_a_kept_room_stay_longer() {
    let mut manager = manager(1);
    assert_eq!(create(&mut manager, guest(1), "a", at(SECOND)), Ok(()));
    visit(&mut manager, "a", false, at(KEPT_ROOM_UNUSED_FOR));
    for time in [
        KEPT_ROOM_UNUSED_FOR + SECOND,
        2 * KEPT_ROOM_UNUSED_FOR - SECOND,
    ] {
        let refused = join(&mut manager, "b", at(time));
        assert_eq!(refused, Err(ErrorCode::TooManyRooms));
    }
    assert_eq!(
        join(&mut manager, "b", at(2 * KEPT_ROOM_UNUSED_FOR)),
        Ok(())
    );
}

#[test]
fn nobody_holds_more_than_a_quarter_of_the_rooms_and_old_rooms_of_their_own_make_way_for_new_ones()
{
    let mut manager = manager(16);
    let now = Now::default();
    for n in 0..4 {
        let name = format!("a{n}");
        assert_eq!(create(&mut manager, guest(1), &name, now), Ok(()));
    }
    assert_eq!(create(&mut manager, guest(1), "a4", now), TOO_MANY);
    // A user shares with the address, but not with the other users behind a proxy.
    let user = |name: &str, address: [u8; 4]| Creator::new(Some(name.into()), address.into());
    let kim = || user("kim", [192, 0, 2, 1]);
    assert_eq!(create(&mut manager, kim(), "k", now), TOO_MANY);
    for n in 0..4 {
        let kim = user("kim", [127, 0, 0, 1]);
        assert_eq!(create(&mut manager, kim, &format!("k{n}"), now), Ok(()));
    }
    let elsewhere = user("kim", [192, 0, 2, 9]);
    assert_eq!(create(&mut manager, elsewhere, "k4", now), TOO_MANY);
    let lee = user("lee", [127, 0, 0, 1]);
    assert_eq!(create(&mut manager, lee, "l", now), Ok(()));
    // Ten minutes later their oldest unused rooms make way, of the user and of the address.
    let now = at(KEPT_ROOM_UNUSED_FOR);
    visit(&mut manager, "a0", false, now);
    visit(&mut manager, "k0", true, now);
    assert_eq!(create(&mut manager, kim(), "k5", now), Ok(()));
    let expected = ["a0", "a2", "a3", "k0", "k2", "k3", "k5", "l"];
    assert_eq!(names(&manager), expected);
}

#[test]
fn a_quarter_of_the_rooms_is_left_to_joins_if_they_make_rooms() {
    for auto_rooms in [true, false] {
        let mut manager = manager(8);
        manager.limits.auto_rooms = auto_rooms;
        let now = Now::default();
        let mut created = 0;
        for n in 0..8 {
            let done = create(&mut manager, guest(n), &n.to_string(), now);
            created += usize::from(done.is_ok());
        }
        assert_eq!(created, if auto_rooms { 6 } else { 8 });
        let done = create(&mut manager, guest(9), "9", now);
        assert_eq!(done, TOO_MANY);
        if auto_rooms {
            visit(&mut manager, "b", false, now);
            visit(&mut manager, "c", true, now);
            visit(&mut manager, "d", true, now);
            assert_eq!(manager.count(), 8);
        }
        // Kept rooms make way for kept ones, not what was made by joins.
        let now = at(KEPT_ROOM_UNUSED_FOR);
        assert_eq!(create(&mut manager, guest(9), "9", now), Ok(()));
        assert!(manager.find("0").is_err() && manager.count() == 8);
        assert_eq!(manager.find("d").is_ok(), auto_rooms);
    }
}

#[test]
fn whoever_creates_many_rooms_waits_and_others_do_not() {
    let mut manager = manager(usize::MAX);
    let now = Now::default();
    let create = |manager: &mut RoomManager, creator, name: &str, now| {
        let mut effects = Effects::new();
        let done = manager.create_room(Serial(1), creator, name, None, now, &mut effects);
        settle(manager, &mut effects, now);
        done
    };
    for n in 0..ROOM_CREATIONS {
        assert_eq!(create(&mut manager, guest(1), &n.to_string(), now), Ok(()));
    }
    let wait = Err(NotCreated::Throttled(ROOM_CREATION_REFILL));
    assert_eq!(create(&mut manager, guest(1), "a", now), wait);
    // What is refused for another reason does not count.
    let exists = Err(NotCreated::Refused(ErrorCode::RoomExists));
    assert_eq!(create(&mut manager, guest(1), "0", now), exists);
    assert_eq!(create(&mut manager, guest(2), "b", now), Ok(()));
    let user = Creator::new(Some("kim".into()), IpAddr::from([192, 0, 2, 1]));
    assert_eq!(create(&mut manager, user, "c", now), Ok(()));
    let later = at(ROOM_CREATION_REFILL);
    assert_eq!(create(&mut manager, guest(1), "a", later), Ok(()));
    assert_eq!(create(&mut manager, guest(1), "d", later), wait);
    assert_eq!(manager.count(), ROOM_CREATIONS as usize + 3);
}

/// The wishes for rooms among the effects, as the backend may answer them.
fn openings(effects: &mut Effects) -> Vec<(Serial, Outcome)> {
    let openings = effects.drain(..).filter_map(|effect| match effect {
        Effect::Open(opening) => Some((opening.serial, opened(&opening))),
        _ => None,
    });
    openings.collect()
}

#[test]
fn a_room_that_is_being_opened_counts_like_an_open_one_until_that_fails() {
    let mut manager = manager(4);
    let (mut effects, now) = (Effects::new(), Now::default());
    let create = |manager: &mut RoomManager, number, name: &str, effects: &mut Effects| {
        manager.create_room(Serial(1), guest(number), name, None, now, effects)
    };
    assert_eq!(create(&mut manager, 1, "a", &mut effects), Ok(()));
    assert_eq!(create(&mut manager, 1, "b", &mut effects), TOO_MANY);
    assert_eq!(create(&mut manager, 2, "b", &mut effects), Ok(()));
    assert_eq!(create(&mut manager, 3, "c", &mut effects), Ok(()));
    assert_eq!(create(&mut manager, 4, "d", &mut effects), TOO_MANY);
    let join = |manager: &mut RoomManager, connection, effects: &mut Effects| {
        let connection = ConnectionId(connection);
        let name = connection.0.to_string();
        manager.join_room(origin(connection), &name, (None, None), now, effects)
    };
    assert!(join(&mut manager, 0, &mut effects).is_ok());
    let refused = Err(ErrorCode::TooManyRooms);
    assert_eq!(join(&mut manager, 1, &mut effects), refused);
    manager.check();
    let asked = openings(&mut effects);
    let (failing, rest) = asked.split_first().expect("four were asked for");
    let failed = Outcome::Failed(failing.0, ErrorCode::StorageUnavailable);
    manager.answered(failed, now, &mut effects);
    manager.check();
    assert_eq!(
        manager
            .kept
            .count_of(&Owner::Address([192, 0, 2, 1].into())),
        0
    );
    assert_eq!(create(&mut manager, 1, "a", &mut effects), Ok(()));
    for (_, outcome) in rest.iter().cloned().chain(openings(&mut effects)) {
        manager.answered(outcome, now, &mut effects);
        manager.check();
    }
    assert_eq!(names(&manager), ["0", "a", "b", "c"]);
}

#[test]
fn a_room_the_backend_knows_as_made_by_a_join_is_nobodys_share() {
    let mut manager = manager(4);
    let (mut effects, now) = (Effects::new(), Now::default());
    for (name, is_known_as_kept) in [("a", false), ("b", true)] {
        let created = manager.create_room(Serial(1), guest(1), name, None, now, &mut effects);
        assert_eq!(created, Ok(()));
        for (serial, outcome) in openings(&mut effects) {
            let Outcome::Opened(_, mut room) = outcome else {
                panic!("unexpected: {outcome:?}");
            };
            room.is_kept = is_known_as_kept;
            manager.answered(Outcome::Opened(serial, room), now, &mut effects);
        }
        manager.check();
        assert_eq!(manager.kept.count(), usize::from(is_known_as_kept));
    }
}

/// A simple generator of pseudo-random numbers.
fn next_random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 20 ^ *state << 44
}

/// What [`RoomManager::in_the_way`] is to be, found by a search of all rooms.
fn searched(manager: &RoomManager, creator: Option<&Creator>, now: Now) -> Option<BTreeSet<Place>> {
    let rooms = || manager.rooms.iter();
    let places = rooms().filter_map(|(index, room)| {
        let place = room.place(RoomId(index as u32))?;
        let is_ripe = now.monotonic - room.last_used_at >= place.class.patience();
        is_ripe.then_some(place)
    });
    let ripe: Vec<Place> = places.collect::<BTreeSet<_>>().into_iter().collect();
    let owns = |id: RoomId, owner: &Owner| {
        let creator = manager.rooms[id.index()].creator.as_ref();
        creator.is_some_and(|creator| creator.owners().any(|one| one == *owner))
    };
    let mut going = BTreeSet::new();
    for owner in creator.into_iter().flat_map(Creator::owners) {
        let held = rooms().filter(|(index, _)| owns(RoomId(*index as u32), &owner));
        if held.count() >= manager.limits.rooms / 4 {
            going.insert(*ripe.iter().find(|place| owns(place.id, &owner))?);
        }
    }
    let kept = rooms().filter(|(_, room)| room.is_kept).count();
    let is_kept = |place: &&Place| manager.rooms[place.id.index()].is_kept;
    if going.is_empty() && creator.is_some() && kept >= manager.limits.rooms * 3 / 4 {
        going.insert(*ripe.iter().find(is_kept)?);
    }
    if going.is_empty() && manager.count() == manager.limits.rooms {
        going.insert(*ripe.first()?);
    }
    Some(going)
}

#[test]
fn the_rooms_that_are_evicted_are_known_without_looking_at_the_others() {
    let mut manager = manager(8);
    let (mut effects, mut seed, mut now) = (Effects::new(), 7, Now::default());
    let mut evicted: BTreeMap<EvictionClass, usize> = BTreeMap::new();
    for _ in 0..30_000 {
        let random = next_random(&mut seed);
        now.monotonic += match (random >> 40) % 256 {
            0..4 => KEPT_ROOM_IDLE_FOR / 2,
            4..16 => KEPT_ROOM_UNUSED_FOR / 2,
            _ => SECOND,
        };
        let connection = ConnectionId((random % 4) as u32);
        let name = format!("room{}", (random >> 8) % 20);
        let user = (random >> 32).is_multiple_of(2).then(|| "kim".into());
        let creator = Creator::new(user, [192, 0, 2, (random >> 48) as u8 % 4].into());
        let is_join = (random >> 16) % 64 < 28;
        let expected = searched(&manager, Some(&creator).filter(|_| !is_join), now);
        let before: Vec<_> = names(&manager);
        let places: BTreeMap<_, _> = manager
            .rooms
            .iter()
            .map(|(index, room)| {
                let id = RoomId(index as u32);
                (room.name.to_string(), room.place(id))
            })
            .collect();
        effects.clear();
        // Some are refused: a second join, a leave without a join.
        let done = match (random >> 16) % 64 {
            _ if is_join => join_as(&mut manager, connection, &name, now),
            28..52 => manager.leave_room(connection, &name, now, &mut effects),
            52..54 => {
                manager.exit(connection, Exit::Closed, now, &mut effects);
                manager.enter(connection, "again", None, &mut effects);
                Ok(())
            }
            54..58 => match manager.people.rooms(connection).first() {
                Some(room) => {
                    let room = manager.rooms[room.index()].name.clone();
                    say(&mut manager, connection, &room, now)
                }
                None => Ok(()),
            },
            _ => create(&mut manager, creator, &name, now).map_err(|_| ErrorCode::TooManyRooms),
        };
        manager.check();
        let is_opened = manager.find(&name).is_ok() && !before.contains(&name);
        let gone = before.iter().filter(|name| manager.find(name).is_err());
        let gone: BTreeSet<Place> = gone.map(|name| places[name].expect("was empty")).collect();
        match expected {
            Some(expected) if is_opened => assert_eq!(gone, expected),
            Some(_) => assert!(gone.is_empty()),
            None => assert!(gone.is_empty() && !is_opened, "{done:?}"),
        }
        gone.iter()
            .for_each(|place| *evicted.entry(place.class).or_default() += 1);
    }
    println!("{evicted:?}");
    assert!(
        EvictionClass::ALL
            .iter()
            .all(|class| evicted.get(class) > Some(&40)),
        "{evicted:?}"
    );
}
