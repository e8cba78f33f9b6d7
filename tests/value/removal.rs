//! Rooms that are removed: whoever is in them, whatever is under way, whoever comes next.

use std::time::Duration;

use sarang::config::{Config, STORE_RETRY};
use serde_json::{Value, json};

use crate::desk::{answer, ask, ask_disk, begin, code, create, post, status, told_of};
use crate::late::{chat, kinds};
use crate::stored::Stored;
use crate::world::World;

const LEFT: &[&str] = &["room_left"];

fn with_grace() -> Config {
    Config {
        presence_grace: Duration::from_secs(30),
        ..Config::default()
    }
}

fn join(room: &str) -> Value {
    json!({"type": "join", "room": room})
}

fn removed(room: &str) -> Value {
    json!({"type": "room_left", "room": room, "reason": "room_removed"})
}

#[test]
fn every_connection_of_every_member_is_told_and_the_name_is_free_again() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let members = ["a", "b", "b"].map(|name| world.member(name, "r"));
    let other = world.member("c", "s");
    assert_eq!(status(&mut world, "DELETE", "/rooms/r"), 204);
    for id in members {
        assert_eq!(told_of(&mut world, id, LEFT), [removed("r")]);
        world.say(id, json!({"type": "chat", "room": "r", "content": "x"}));
        world.turn();
        assert_eq!(kinds(&world.told(id)), ["not_in_room"]);
    }
    assert_eq!(world.told(other), [json!(null); 0]);
    let (status_of, body) = ask(&mut world, "DELETE", "/rooms/r", Value::Null);
    assert_eq!((status_of, code(&body)), (404, "room_not_found"));
    create(&mut world, "r");
    world.say(members[0], join("r"));
    world.turn();
    let told = world.told(members[0]);
    assert_eq!(
        (&told[0]["history"], &told[0]["online_count"]),
        (&json!([]), &json!(1))
    );
}

#[test]
fn a_room_whose_last_member_is_in_grace_is_removed_with_them() {
    for has_another in [false, true] {
        let mut world = World::new(with_grace());
        let a = world.member("a", "r");
        let b = has_another.then(|| world.member("b", "r"));
        world.end(a);
        world.turn();
        assert_eq!(status(&mut world, "DELETE", "/rooms/r"), 204);
        // Their name may be anybody's, and their grace ends nothing.
        let c = world.member("c", "r");
        let a = world.member("a", "r");
        world.pass(Duration::from_secs(31));
        assert_eq!(kinds(&world.told(c)), ["user_joined", ""]);
        world.told(a);
        if let Some(b) = b {
            assert_eq!(told_of(&mut world, b, LEFT), [removed("r")]);
        }
    }
}

#[test]
fn a_removal_is_answered_when_the_disk_has_it_and_nothing_is_left_after_a_restart() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", "1", "1"));
    stored.commit();
    let (code, _) = ask_disk(
        &mut stored,
        "PATCH",
        "/rooms/r",
        json!({"write": "signed_in"}),
    );
    assert_eq!(code, 200);
    assert_eq!(
        ask_disk(&mut stored, "DELETE", "/rooms/r", Value::Null).0,
        204
    );
    assert_eq!(stored.disk.load().rooms, []);
    stored.restart();
    assert_eq!(status(&mut stored.world, "GET", "/rooms/r"), 404);
    let [_] = stored.members(["a"], "r");
    let history = ask(&mut stored.world, "GET", "/rooms/r/history", Value::Null).1;
    assert_eq!(history["messages"], json!([]));
}

#[test]
fn messages_under_way_are_answered_before_their_removed_room_is_gone() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", "under way", "1"));
    let (serial, job) = stored.batch().expect("a batch is under way");
    let posted = begin(
        &mut stored.world,
        "POST",
        "/rooms/r/messages",
        &json!({"content": "too"}),
    );
    stored.say(a, chat("r", "queued", "2"));
    let removal = begin(&mut stored.world, "DELETE", "/rooms/r", &Value::Null);
    assert_eq!(told_of(&mut stored.world, a, LEFT), [removed("r")]);
    assert_eq!(status(&mut stored.world, "GET", "/rooms/r"), 404);
    let listed = ask(&mut stored.world, "GET", "/rooms", Value::Null).1;
    assert_eq!(listed["rooms"], json!([]));
    stored.commit_one(serial, job);
    assert_eq!(kinds(&stored.world.told(a)), ["ack"]);
    assert_eq!(
        answer(&mut stored.world, removal),
        None,
        "messages are under way"
    );
    let (serial, job) = stored.batch().expect("the second message");
    stored.commit_one(serial, job);
    assert_eq!(kinds(&stored.world.told(a)), ["ack"]);
    assert_eq!(
        answer(&mut stored.world, posted).expect("is answered").0,
        201
    );
    assert_eq!(
        answer(&mut stored.world, removal),
        None,
        "it is not on disk"
    );
    stored.commit();
    assert_eq!(
        answer(&mut stored.world, removal).expect("is answered").0,
        204
    );
    assert_eq!(stored.disk.load().rooms, []);
}

#[test]
fn a_store_never_has_two_rooms_of_one_name_whenever_the_server_is_killed() {
    let mut stored = Stored::new(Config::default());
    let [a, b] = stored.members(["a", "b"], "r");
    stored.say(a, chat("r", "first", "1"));
    let (serial, job) = stored.batch().expect("a batch is under way");
    stored.say(a, chat("r", "second", "2"));
    let removal = begin(&mut stored.world, "DELETE", "/rooms/r", &Value::Null);
    stored.world.told(b);
    // Both wait for the next room of this name: one joins, the other would create it.
    stored.say(b, join("r"));
    let (refused, body) = ask(&mut stored.world, "POST", "/rooms", json!({"name": "r"}));
    assert_eq!((refused, code(&body)), (409, "room_exists"));
    let mut next = Some((serial, job));
    let mut batches = 0;
    while let Some((serial, job)) = next {
        stored.commit_one(serial, job);
        // It is whole after each batch.
        assert!(stored.disk.load().rooms.len() <= 1);
        batches += 1;
        next = stored.batch();
    }
    assert!(batches >= 3, "{batches}");
    assert_eq!(
        answer(&mut stored.world, removal).expect("is answered").0,
        204
    );
    let told = stored.world.told(b);
    assert_eq!(kinds(&told), ["room_joined"]);
    assert_eq!(told[0]["history"], json!([]));
    stored.restart();
    let history = ask(&mut stored.world, "GET", "/rooms/r/history", Value::Null).1;
    assert_eq!(history["messages"], json!([]));
}

#[test]
fn a_join_that_waits_for_a_removed_room_to_go_may_be_given_up() {
    let mut stored = Stored::new(Config::default());
    let [a, b] = stored.members(["a", "b"], "r");
    stored.say(a, chat("r", "1", "1"));
    let (serial, job) = stored.batch().expect("a batch is under way");
    let removal = begin(&mut stored.world, "DELETE", "/rooms/r", &Value::Null);
    stored.say(b, join("r"));
    stored.world.end(b);
    stored.world.turn();
    stored.commit_one(serial, job);
    stored.commit();
    assert_eq!(
        answer(&mut stored.world, removal).expect("is answered").0,
        204
    );
    let rooms = stored.disk.load().rooms;
    assert!(
        rooms.len() == 1 && rooms[0].room.messages.is_empty(),
        "{rooms:?}"
    );
}

#[test]
fn a_disk_that_fails_leaves_a_removal_unknown_and_forgets_the_room_with_everything_written_anew() {
    for is_kept in [false, true] {
        let mut stored = Stored::new(Config::default());
        let [a] = stored.members(["a"], "r");
        stored.say(a, chat("r", "1", "1"));
        let removal = begin(&mut stored.world, "DELETE", "/rooms/r", &Value::Null);
        stored.say(a, join("r"));
        stored.fail(is_kept);
        let (refused, body) = answer(&mut stored.world, removal).expect("is answered");
        assert_eq!((refused, code(&body)), (503, "storage_unavailable"));
        let told = kinds(&stored.world.told(a));
        assert_eq!(
            told,
            ["room_left", "storage_unavailable", "storage_unavailable"]
        );
        assert_eq!(status(&mut stored.world, "DELETE", "/rooms/r"), 404);
        stored.world.pass(STORE_RETRY);
        stored.commit();
        assert_eq!(stored.disk.load().rooms, []);
        stored.restart();
        assert_eq!(status(&mut stored.world, "GET", "/rooms/r"), 404);
    }
}

#[test]
fn over_a_websocket_a_removal_is_acknowledged_when_it_is_on_disk() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let token = crate::client::login(&mut world);
    let (_, ticket) = crate::client::ticket(&mut world, &token);
    let (moderator, welcome) = crate::client::enter(&mut world, &ticket);
    assert_eq!(welcome["admin"], true);
    world.say(
        moderator,
        json!({"type": "remove_room", "room": "r", "id": "1"}),
    );
    world.say(
        moderator,
        json!({"type": "remove_room", "room": "r", "id": "2"}),
    );
    world.turn();
    let told = world.told(moderator);
    assert_eq!(told[0], json!({"type": "ack", "id": "1"}));
    assert_eq!(kinds(&told[1..]), ["room_not_found"]);
    assert_eq!(told[1]["id"], "2");
    let guest = world.member("a", "r");
    world.say(
        guest,
        json!({"type": "remove_room", "room": "r", "id": "3"}),
    );
    world.turn();
    assert_eq!(kinds(&world.told(guest)), ["forbidden"]);
    assert_eq!(post(&mut world, "r", "it is there").0, 201);
}
