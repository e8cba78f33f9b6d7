//! The grace of members whose connections have closed, to the millisecond.

use std::path::PathBuf;
use std::time::Duration;

use sarang::config::{Config, GRACES_PER_TURN, RoomLimits};
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::client::{bearer, enter, login, request, ticket};
use crate::guests::signed_in;
use crate::late::kinds;
use crate::world::{World, frame};

const GRACE: Duration = Duration::from_secs(3);
const MILLISECOND: Duration = Duration::from_millis(1);

fn world(limits: impl FnOnce(&mut RoomLimits)) -> World {
    let mut config = Config::default();
    assert_eq!(config.presence_grace, GRACE);
    limits(&mut config.rooms);
    World::new(config)
}

fn reset(world: &mut World, id: ConnectionId) {
    world.server.closed(id, world.now);
    world.turn();
}

/// What somebody is told when they join.
fn join(world: &mut World, id: ConnectionId, room: &str) -> Value {
    world.say(id, json!({"type": "join", "room": room}));
    world.turn();
    world.told(id).pop().expect("an answer")
}

fn left(room: &str, name: &str) -> Value {
    json!({"type": "user_left", "room": room, "username": name})
}

fn users(world: &World, room: &str) -> usize {
    let (info, names) = world.server.rooms().get_room_info(room).expect("exists");
    assert_eq!(info.users, names.len());
    info.users
}

#[test]
fn whoever_is_gone_leaves_when_the_grace_ends_and_not_a_millisecond_before() {
    // A close frame, the end of the stream, a reset, a frame that breaks the protocol.
    let ways: [fn(&mut World, ConnectionId); 4] = [
        |world, id| world.receive(id, &frame(0x88, &1000u16.to_be_bytes())),
        |world, id| world.end(id),
        |world, id| world.server.closed(id, world.now),
        |world, id| world.receive(id, &frame(0xf1, b"?")),
    ];
    for go in ways {
        let mut world = world(|_| ());
        let kim = world.member("kim", "r");
        let lee = world.member("lee", "r");
        world.told(kim);
        world.pass(MILLISECOND);
        go(&mut world, lee);
        world.turn();
        assert_eq!(world.server.rooms().people().count(), 1, "of the connected");
        world.say(kim, json!({"type": "whisper", "to": "lee", "content": "?"}));
        world.pass(GRACE - MILLISECOND);
        assert_eq!(world.told(kim)[0]["code"], "user_not_found");
        assert_eq!((world.told(kim), users(&world, "r")), (vec![], 2));
        world.pass(MILLISECOND);
        assert_eq!(
            (world.told(kim), users(&world, "r")),
            (vec![left("r", "lee")], 1)
        );
    }
}

#[test]
fn whoever_returns_in_one_of_two_rooms_leaves_the_other() {
    let mut world = world(|_| ());
    let [one, two] = ["one", "two"].map(|room| world.member("kim", room));
    let lee = world.member("lee", "one");
    assert_eq!(join(&mut world, lee, "two")["type"], "room_joined");
    let _ = (world.told(one), world.told(two));
    reset(&mut world, lee);
    world.pass(GRACE - MILLISECOND);
    let lee = world.guest("lee");
    let joined = join(&mut world, lee, "one");
    assert_eq!(
        (&joined["online_users"], &joined["online_count"]),
        (&json!(["kim"]), &json!(2))
    );
    world.pass(MILLISECOND);
    assert_eq!(world.told(two), [left("two", "lee")]);
    world.pass(2 * GRACE);
    assert_eq!(world.told(one), [] as [Value; 0]);
    // Another grace is a whole one.
    reset(&mut world, lee);
    world.pass(GRACE - MILLISECOND);
    assert_eq!(world.told(one), [] as [Value; 0]);
    world.pass(MILLISECOND);
    assert_eq!(world.told(one), [left("one", "lee")]);
}

#[test]
fn who_leaves_is_told_of_at_once_even_with_another_connection_elsewhere() {
    let mut world = world(|_| ());
    let kim = world.member("kim", "r");
    let lee = world.member("lee", "r");
    let _elsewhere = world.guest("lee");
    world.told(kim);
    world.say(lee, json!({"type": "leave", "room": "r"}));
    world.turn();
    assert_eq!(world.told(kim), [left("r", "lee")]);
    assert_eq!(join(&mut world, lee, "r")["type"], "room_joined");
    world.told(kim);
    // The last connection in the room closes: here counts who is in the room.
    reset(&mut world, lee);
    assert_eq!(world.told(kim), [] as [Value; 0]);
    world.pass(GRACE);
    assert_eq!(world.told(kim), [left("r", "lee")]);
}

#[test]
fn a_seat_is_kept_for_the_grace_and_then_it_is_free() {
    let mut world = world(|limits| limits.room_users = 2);
    world.member("kim", "r");
    let lee = world.member("lee", "r");
    let park = world.guest("park");
    reset(&mut world, lee);
    world.pass(GRACE - MILLISECOND);
    assert_eq!(join(&mut world, park, "r")["code"], "room_full");
    let lee = world.guest("lee");
    assert_eq!(join(&mut world, lee, "r")["type"], "room_joined");
    world.pass(GRACE);
    assert_eq!(join(&mut world, park, "r")["code"], "room_full");
    reset(&mut world, lee);
    world.pass(GRACE);
    assert_eq!(join(&mut world, park, "r")["type"], "room_joined");
}

/// A server with accounts and guests.
fn with_accounts(room_users: u32) -> World {
    let mut config = Config {
        secret_file: Some(PathBuf::from("secrets")),
        guests: true,
        ..Config::default()
    };
    config.rooms.room_users = room_users;
    World::new(config)
}

#[test]
fn a_guest_in_grace_makes_way_for_an_account_of_their_name_in_a_full_room_too() {
    for room_users in [2, 100] {
        let mut world = with_accounts(room_users);
        let kim = world.member("kim", "r");
        let guest = world.member("boss", "r");
        world.told(kim);
        reset(&mut world, guest);
        let boss = signed_in(&mut world, "boss");
        assert_eq!(
            world.told(kim),
            [] as [Value; 0],
            "signing in is not entering"
        );
        let joined = join(&mut world, boss, "r");
        assert_eq!(joined["online_users"], json!(["kim"]));
        let told = world.told(kim);
        assert_eq!(kinds(&told), ["user_left", "user_joined"]);
        assert_eq!(
            (&told[0]["guest"], &told[1]["guest"]),
            (&json!(true), &Value::Null)
        );
        world.pass(2 * GRACE);
        assert_eq!((world.told(kim), users(&world, "r")), (vec![], 2));
    }
}

#[test]
fn whom_the_server_sends_away_for_who_they_are_is_told_of_at_once_but_not_whose_token_expired() {
    // A guest whose name is somebody's who signs in.
    let mut world = with_accounts(100);
    let kim = world.member("kim", "r");
    world.member("boss", "r");
    world.told(kim);
    signed_in(&mut world, "boss");
    assert_eq!(kinds(&world.told(kim)), ["user_left"]);
    // A logout, and a token that expires.
    for is_logout in [true, false] {
        let mut world = world_of_demo();
        let kim = world.member("kim", "r");
        let token = login(&mut world);
        let (_, ticket) = ticket(&mut world, &token);
        let (admin, _) = enter(&mut world, &ticket);
        assert_eq!(join(&mut world, admin, "r")["type"], "room_joined");
        world.told(kim);
        if is_logout {
            let (status, _) = request(&mut world, "POST", "/auth/logout", &bearer(&token), "");
            assert_eq!(status, 204);
            world.turn();
        } else {
            while world.server.rooms().people().count() > 1 {
                world.pass(MILLISECOND * 100);
            }
            // They may come with another token.
            assert_eq!(world.told(kim), [] as [Value; 0]);
            world.pass(GRACE);
        }
        let told = world.told(kim);
        let told: Vec<Value> = told
            .into_iter()
            .filter(|one| one["ping"].is_null())
            .collect();
        assert_eq!(told, [left("r", "admin")], "{is_logout}");
    }
}

/// The demo, where tokens are valid for ten seconds.
fn world_of_demo() -> World {
    World::new(Config {
        token_ttl_secs: 10,
        ..Config::default()
    })
}

#[test]
fn a_room_with_members_in_grace_only_makes_way_for_another() {
    let mut world = world(|limits| limits.rooms = 1);
    let lee = world.member("lee", "old");
    reset(&mut world, lee);
    assert_eq!(users(&world, "old"), 1);
    let kim = world.guest("kim");
    assert_eq!(join(&mut world, kim, "new")["type"], "room_joined");
    assert!(world.server.rooms().find("old").is_err());
    let lee = world.guest("lee");
    assert_eq!(join(&mut world, lee, "old")["code"], "too_many_rooms");
    world.told(kim);
    world.pass(2 * GRACE);
    assert_eq!(world.told(kim), [] as [Value; 0]);
}

#[test]
fn a_room_with_many_members_in_grace_waits_until_they_are_few() {
    let mut world = world(|limits| {
        limits.rooms = 1;
        limits.room_users = 1_000;
    });
    let crowd: Vec<_> = (0..GRACES_PER_TURN + 2)
        .map(|n| world.member(&n.to_string(), "old"))
        .collect();
    let kim = world.guest("kim");
    let first = world.now.monotonic + GRACE;
    for id in crowd {
        reset(&mut world, id);
        world.now.monotonic += MILLISECOND;
    }
    assert_eq!(join(&mut world, kim, "new")["code"], "too_many_rooms");
    world.pass(first - world.now.monotonic);
    assert_eq!(join(&mut world, kim, "new")["code"], "too_many_rooms");
    world.pass(MILLISECOND);
    let joined = join(&mut world, kim, "new");
    assert_eq!(joined["type"], "room_joined", "{joined}");
}
