//! Messages that are deleted: nothing is left of them but their position, and whoever has seen them learns of it.

use sarang::config::{Config, HISTORY_MESSAGES_MAX, STORE_RETRY};
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::desk::{answer, ask, ask_disk, begin, code, create, post, status, told_of};
use crate::late::{chat, kinds};
use crate::stored::Stored;
use crate::world::World;

const SECRET: &str = "something that nobody should have said";

/// A room with this many messages; their positions.
fn spoken(world: &mut World, room: &str, count: usize) -> Vec<String> {
    let said = (1..=count).map(|n| post(world, room, &n.to_string()).1);
    said.map(|body| body["position"].as_str().expect("a position").to_owned())
        .collect()
}

fn message(room: &str, position: &str) -> String {
    format!("/rooms/{room}/messages/{position}")
}

fn deleted(room: &str, position: &str) -> Value {
    json!({"type": "deleted", "room": room, "position": position})
}

fn resume(world: &mut World, id: ConnectionId, room: &str, since: &str) -> Value {
    world.say(id, json!({"type": "join", "room": room, "since": since}));
    world.turn();
    world.told(id).pop().expect("has joined")
}

/// What a history has: the contents, and `-` where a message was.
fn shown(messages: &Value) -> Vec<&str> {
    let messages = messages.as_array().expect("a list").iter();
    messages
        .map(|one| match one["type"].as_str() {
            Some("deleted") => "-",
            _ => one["content"].as_str().expect("a text"),
        })
        .collect()
}

#[test]
fn members_are_told_once_and_histories_have_a_gap_in_its_place() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let member = world.member("a", "r");
    let positions = spoken(&mut world, "r", 3);
    world.told(member);
    for _ in 0..2 {
        assert_eq!(
            status(&mut world, "DELETE", &message("r", &positions[1])),
            204
        );
    }
    assert_eq!(world.told(member), [deleted("r", &positions[1])]);
    let other = world.guest("b");
    let joined = resume(&mut world, other, "r", "none");
    assert_eq!(shown(&joined["history"]), ["1", "-", "3"]);
    assert_eq!(joined["history"][1], deleted("r", &positions[1]));
    for (query, expected) in [
        ("", &["1", "-", "3"][..]),
        (&format!("?since={}", positions[0]), &["-", "3"]),
        (&format!("?before={}", positions[2]), &["1", "-"]),
        (&format!("?before={}&limit=1", positions[2]), &["-"]),
    ] {
        let target = format!("/rooms/r/history{query}");
        let page = ask(&mut world, "GET", &target, Value::Null).1;
        assert_eq!(shown(&page["messages"]), expected, "{query}");
    }
}

#[test]
fn whoever_resumes_is_first_told_what_was_deleted_of_what_they_have_seen() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let positions = spoken(&mut world, "r", 3);
    for n in [0, 2] {
        assert_eq!(
            status(&mut world, "DELETE", &message("r", &positions[n])),
            204
        );
    }
    assert_eq!(post(&mut world, "r", "4").0, 201);
    let guest = world.guest("a");
    let joined = resume(&mut world, guest, "r", &positions[1]);
    assert_eq!(joined["recovered"], true);
    assert_eq!(shown(&joined["history"]), ["-", "-", "4"]);
    assert_eq!(joined["history"][0], deleted("r", &positions[0]));
    // Who was there since, knows.
    let other = world.guest("b");
    let newest = joined["position"].as_str().expect("a position");
    assert_eq!(
        shown(&resume(&mut world, other, "r", newest)["history"]),
        [""; 0]
    );
}

#[test]
fn what_is_not_kept_cannot_be_deleted() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let positions = spoken(&mut world, "r", 2);
    let (epoch, _) = positions[0].split_once(':').expect("epoch and number");
    let other_epoch = format!("{}:1", epoch.chars().rev().collect::<String>());
    let set = json!({"history_messages": 1});
    assert_eq!(ask(&mut world, "PATCH", "/rooms/r", set).0, 200);
    for (position, expected) in [
        (&*positions[0], (404, "not_found")),
        (&format!("{epoch}:0"), (404, "not_found")),
        (&format!("{epoch}:3"), (404, "not_found")),
        (&format!("{epoch}:{}", u64::MAX), (404, "not_found")),
        (&other_epoch, (404, "not_found")),
        ("1", (400, "bad_request")),
    ] {
        let (status, body) = ask(&mut world, "DELETE", &message("r", position), Value::Null);
        assert_eq!((status, code(&body)), expected, "{position}");
    }
    let (status, body) = ask(
        &mut world,
        "DELETE",
        &message("s", &positions[1]),
        Value::Null,
    );
    assert_eq!((status, code(&body)), (404, "room_not_found"));
}

#[test]
fn a_deletion_is_answered_when_it_is_on_disk_and_the_text_is_gone_from_there() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", SECRET, "1"));
    stored.commit();
    let position = stored.world.told(a)[0]["position"].clone();
    let position = position.as_str().expect("a position");
    let has_secret = |stored: &Stored| {
        let mut values = stored.disk.records.values();
        values.any(|value| {
            value
                .windows(SECRET.len())
                .any(|text| text == SECRET.as_bytes())
        })
    };
    assert!(has_secret(&stored));
    assert_eq!(
        ask_disk(&mut stored, "DELETE", &message("r", position), Value::Null).0,
        204
    );
    assert_eq!(stored.world.told(a), [deleted("r", position)]);
    assert!(!has_secret(&stored));
    stored.say(a, chat("r", "later", "2"));
    stored.commit();
    stored.restart();
    let b = stored.world.guest("b");
    let joined = resume(&mut stored.world, b, "r", position);
    assert_eq!(shown(&joined["history"]), ["-", "later"]);
    assert_eq!(
        ask_disk(&mut stored, "DELETE", &message("r", position), Value::Null).0,
        204
    );
    // Its id is still known: sent again, it is not said again.
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", SECRET, "1"));
    assert_eq!(kinds(&stored.world.told(a)), ["ack"]);
}

#[test]
fn a_deletion_that_a_failing_disk_has_not_kept_is_safe_to_ask_for_again() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", SECRET, "1"));
    stored.commit();
    let position = stored.world.told(a)[0]["position"].clone();
    let target = message("r", position.as_str().expect("a position"));
    let asked = begin(&mut stored.world, "DELETE", &target, &Value::Null);
    stored.fail(false);
    let (refused, body) = answer(&mut stored.world, asked).expect("is answered");
    assert_eq!((refused, code(&body)), (503, "storage_unavailable"));
    assert_eq!(status(&mut stored.world, "DELETE", &target), 503);
    stored.world.pass(STORE_RETRY);
    stored.commit();
    assert_eq!(ask_disk(&mut stored, "DELETE", &target, Value::Null).0, 204);
    stored.restart();
    let history = ask(&mut stored.world, "GET", "/rooms/r/history", Value::Null).1;
    assert_eq!(shown(&history["messages"]), ["-"]);
}

/// The disk is slow, and a deleted message is dropped from the room before the disk has heard of the deletion.
#[test]
fn a_deleted_message_that_makes_way_for_newer_ones_leaves_nothing_on_disk() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    assert_eq!(
        ask_disk(
            &mut stored,
            "PATCH",
            "/rooms/r",
            json!({"history_messages": 1})
        )
        .0,
        200
    );
    stored.say(a, chat("r", "1", "1"));
    stored.commit();
    let position = stored.world.told(a)[0]["position"].clone();
    stored.say(a, chat("r", "2", "2"));
    let (serial, job) = stored.batch().expect("a batch is under way");
    let target = message("r", position.as_str().expect("a position"));
    let asked = begin(&mut stored.world, "DELETE", &target, &Value::Null);
    stored.commit_one(serial, job);
    stored.commit();
    assert_eq!(
        answer(&mut stored.world, asked).expect("is answered").0,
        204
    );
    for n in ["3", "4"] {
        stored.say(a, chat("r", n, n));
        stored.commit();
    }
    // What was dropped last goes with the next batch.
    let kept = stored.disk.load();
    let texts = kept.rooms[0].room.messages.iter().map(|one| &*one.content);
    assert_eq!(texts.collect::<Vec<_>>(), ["3", "4"]);
    stored.restart();
    let history = ask(&mut stored.world, "GET", "/rooms/r/history", Value::Null).1;
    assert_eq!(shown(&history["messages"]), ["4"]);
}

#[test]
fn in_a_full_room_every_message_can_be_deleted() {
    let config = Config {
        messages_per_second: 0,
        ..Config::default()
    };
    let mut world = World::new(config);
    create(&mut world, "r");
    let positions = spoken(&mut world, "r", HISTORY_MESSAGES_MAX + 1);
    assert_eq!(
        status(&mut world, "DELETE", &message("r", &positions[0])),
        404
    );
    for position in &positions[1..] {
        assert_eq!(status(&mut world, "DELETE", &message("r", position)), 204);
    }
    let guest = world.guest("a");
    let joined = resume(&mut world, guest, "r", &positions[0]);
    assert_eq!(joined["recovered"], true);
    assert!(shown(&joined["history"]).iter().all(|text| *text == "-"));
    assert_eq!(told_of(&mut world, guest, &["deleted"]), [json!(null); 0]);
}
