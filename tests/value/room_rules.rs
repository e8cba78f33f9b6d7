//! The rules of rooms that moderators set: how many may come, how much is kept and for how long, who may write.

use std::time::Duration;

use sarang::config::{Config, HISTORY_ON_ENTRY};
use serde_json::{Value, json};

use crate::client;
use crate::desk::{answer, ask, ask_disk, begin, code, create, post, status};
use crate::late::{chat, kinds};
use crate::stored::Stored;
use crate::world::World;

fn set(world: &mut World, room: &str, rules: Value) -> Value {
    let (status, body) = ask(world, "PATCH", &format!("/rooms/{room}"), rules);
    assert_eq!(status, 200, "{body}");
    body
}

fn history(world: &mut World, room: &str) -> Vec<String> {
    let target = format!("/rooms/{room}/history?before=x&limit=200");
    let body = ask(world, "GET", &target, Value::Null).1;
    let messages = body["messages"].as_array().expect("a list").iter();
    messages
        .map(|one| one["content"].as_str().expect("a text").to_owned())
        .collect()
}

fn join(room: &str) -> Value {
    json!({"type": "join", "room": room})
}

#[test]
fn the_answer_has_all_rules_and_what_is_not_named_stays() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let first = set(&mut world, "r", json!({}));
    let usual = json!({"kept": true, "history_messages": 1000, "history_seconds": null, "write": "everyone"});
    for (name, value) in usual.as_object().expect("an object") {
        assert_eq!(&first[name], value, "{name}");
    }
    let changed =
        json!({"max_users": 3, "history_messages": 7, "history_seconds": 60, "write": "signed_in"});
    let second = set(&mut world, "r", changed.clone());
    let third = set(
        &mut world,
        "r",
        json!({"history_seconds": null, "unknown": 1}),
    );
    for (name, value) in changed.as_object().expect("an object") {
        assert_eq!(&second[name], value, "{name}");
        let expected = if name == "history_seconds" {
            &Value::Null
        } else {
            value
        };
        assert_eq!(&third[name], expected, "{name}");
    }
    assert_eq!(
        ask(&mut world, "GET", "/rooms/r", Value::Null).1["history_messages"],
        7
    );
    let (refused, body) = ask(&mut world, "PATCH", "/rooms/s", json!({}));
    assert_eq!((refused, code(&body)), (404, "room_not_found"));
}

#[test]
fn a_lower_limit_of_users_puts_nobody_out_and_a_higher_one_lets_more_in() {
    let mut world = World::new(Config::default());
    let [_, b] = ["a", "b"].map(|name| world.member(name, "r"));
    set(&mut world, "r", json!({"max_users": 1}));
    let c = world.guest("c");
    let joins = |world: &mut World| {
        world.say(c, join("r"));
        world.turn();
        world.told(c).remove(0)
    };
    assert_eq!(joins(&mut world)["code"], "room_full");
    world.say(b, json!({"type": "leave", "room": "r"}));
    world.turn();
    assert_eq!(joins(&mut world)["code"], "room_full");
    set(&mut world, "r", json!({"max_users": 2}));
    assert_eq!(joins(&mut world)["type"], "room_joined");
}

#[test]
fn so_many_messages_are_kept_as_the_room_says() {
    for keeps in [0, 1, 50, 1000] {
        let mut world = World::new(Config::default());
        create(&mut world, "r");
        let member = world.member("a", "r");
        for n in 0..60 {
            assert_eq!(post(&mut world, "r", &n.to_string()).0, 201);
        }
        assert_eq!(kinds(&world.told(member)).len(), 60);
        set(&mut world, "r", json!({"history_messages": keeps}));
        let kept = keeps.min(60);
        let expected: Vec<String> = (60 - kept..60).map(|n| n.to_string()).collect();
        assert_eq!(history(&mut world, "r"), expected);
        assert_eq!(post(&mut world, "r", "60").0, 201);
        assert_eq!(
            world.told(member)[0]["content"],
            "60",
            "it is said all the same"
        );
        assert_eq!(history(&mut world, "r").len(), keeps.min(61));
        let other = world.guest("b");
        world.say(other, join("r"));
        world.turn();
        let joined = world.told(other).remove(0);
        let shown = joined["history"].as_array().expect("a list").len();
        assert_eq!(shown, keeps.min(HISTORY_ON_ENTRY));
    }
}

#[test]
fn messages_are_dropped_when_they_are_too_old_and_not_before() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    for n in ["1", "2", "3"] {
        assert_eq!(post(&mut world, "r", n).0, 201);
        world.pass(Duration::from_secs(10));
    }
    set(&mut world, "r", json!({"history_seconds": 40}));
    assert_eq!(history(&mut world, "r"), ["1", "2", "3"]);
    world.pass(Duration::from_secs(9));
    assert_eq!(history(&mut world, "r").len(), 3);
    world.pass(Duration::from_secs(1));
    assert_eq!(history(&mut world, "r"), ["2", "3"]);
    set(&mut world, "r", json!({"history_seconds": 30}));
    assert_eq!(history(&mut world, "r"), ["3"]);
    set(&mut world, "r", json!({"history_seconds": null}));
    world.pass(Duration::from_secs(1000));
    assert_eq!(history(&mut world, "r"), ["3"]);
}

#[test]
fn messages_age_over_a_restart_too_also_if_nothing_more_is_said() {
    for is_old_at_start in [false, true] {
        let mut stored = Stored::new(Config::default());
        let [a] = stored.members(["a"], "r");
        let rules = json!({"history_seconds": 60, "kept": true});
        assert_eq!(ask_disk(&mut stored, "PATCH", "/rooms/r", rules).0, 200);
        stored.say(a, chat("r", "1", "1"));
        stored.commit();
        stored.world.pass(Duration::from_secs(30));
        stored.say(a, chat("r", "2", "2"));
        stored.commit();
        if is_old_at_start {
            stored.world.now.unix += Duration::from_secs(30);
        }
        stored.restart();
        if !is_old_at_start {
            assert_eq!(history(&mut stored.world, "r"), ["1", "2"]);
            stored.world.pass(Duration::from_secs(30));
        }
        assert_eq!(history(&mut stored.world, "r"), ["2"]);
        stored.world.pass(Duration::from_secs(30));
        assert_eq!(history(&mut stored.world, "r"), [""; 0]);
        // The store forgets them with the next batch.
        let [_] = stored.members(["a"], "s");
        let kept = stored.disk.load();
        assert!(kept.rooms.iter().all(|kept| kept.room.messages.is_empty()));
        assert!(kept.rooms.iter().any(|kept| kept.room.newest == 2));
    }
}

#[test]
fn who_may_not_write_is_refused_and_reads_on() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let guest = world.member("a", "r");
    let token = client::login(&mut world);
    let (_, ticket) = client::ticket(&mut world, &token);
    let (moderator, _) = client::enter(&mut world, &ticket);
    world.say(moderator, join("r"));
    world.turn();
    for (write, refused) in [
        ("signed_in", true),
        ("moderators", true),
        ("everyone", false),
    ] {
        set(&mut world, "r", json!({"write": write}));
        world.told(guest);
        world.told(moderator);
        world.say(
            guest,
            json!({"type": "chat", "room": "r", "content": "guest", "id": write}),
        );
        world.say(
            moderator,
            json!({"type": "chat", "room": "r", "content": "mod", "id": write}),
        );
        world.turn();
        let expected: &[&str] = match refused {
            true => &["forbidden", "chat"],
            false => &["chat", "ack", "chat"],
        };
        assert_eq!(kinds(&world.told(guest)), expected, "{write}");
        let told = kinds(&world.told(moderator));
        assert_eq!(told[told.len() - 2..], ["chat", "ack"], "{write}");
        assert_eq!(post(&mut world, "r", "a back end").0, 201);
    }
}

#[test]
fn a_room_that_is_not_kept_any_more_makes_way_and_one_that_is_stays() {
    let mut config = Config::default();
    config.rooms.rooms = 2;
    let mut world = World::new(config);
    create(&mut world, "was kept");
    let a = world.member("a", "is kept");
    set(&mut world, "was%20kept", json!({"kept": false}));
    set(&mut world, "is%20kept", json!({"kept": true}));
    world.say(a, json!({"type": "leave", "room": "is kept"}));
    world.turn();
    world.member("b", "new");
    assert_eq!(status(&mut world, "GET", "/rooms/was%20kept"), 404);
    assert_eq!(status(&mut world, "GET", "/rooms/is%20kept"), 200);
}

#[test]
fn only_so_many_rooms_are_kept_whoever_asks() {
    let mut world = World::new(Config::default());
    let mut kept = 0;
    let refused = loop {
        let room = format!("r{kept}");
        world.member(&format!("a{kept}"), &room);
        let (status, body) = ask(
            &mut world,
            "PATCH",
            &format!("/rooms/{room}"),
            json!({"kept": true}),
        );
        if status != 200 {
            break body;
        }
        kept += 1;
    };
    assert_eq!(code(&refused), "too_many_rooms");
    assert!(kept > 1);
    let first = json!({"kept": true, "max_users": 5});
    assert_eq!(set(&mut world, "r0", first)["kept"], true, "it is already");
    set(&mut world, "r0", json!({"kept": false}));
    let room = format!("r{kept}");
    assert_eq!(set(&mut world, &room, json!({"kept": true}))["kept"], true);
}

#[test]
fn rules_are_answered_when_they_are_on_disk_and_outlive_the_server() {
    let mut stored = Stored::new(Config::default());
    let [_] = stored.members(["a"], "r");
    let rules = json!({"max_users": 3, "history_messages": 7, "history_seconds": 60, "write": "moderators", "kept": true});
    let (_, set) = ask_disk(&mut stored, "PATCH", "/rooms/r", rules);
    stored.restart();
    let room = ask(&mut stored.world, "GET", "/rooms/r", Value::Null).1;
    for name in [
        "max_users",
        "history_messages",
        "history_seconds",
        "write",
        "kept",
        "created_at",
    ] {
        assert_eq!(room[name], set[name], "{name}");
    }
    let usual = json!({"history_messages": 1000, "history_seconds": null, "write": "everyone"});
    assert_eq!(ask_disk(&mut stored, "PATCH", "/rooms/r", usual).0, 200);
    stored.restart();
    let room = ask(&mut stored.world, "GET", "/rooms/r", Value::Null).1;
    assert_eq!(
        (&room["write"], &room["max_users"]),
        (&json!("everyone"), &json!(3))
    );
}

/// The disk is slow, and an empty room is evicted before the disk has heard of its new rules.
#[test]
fn rules_of_a_room_that_is_evicted_do_not_bring_it_back() {
    let mut config = Config::default();
    config.rooms.rooms = 2;
    let mut stored = Stored::new(config);
    let [a, b] = stored.members(["a", "b"], "r");
    for id in [a, b] {
        stored.say(id, json!({"type": "leave", "room": "r"}));
        stored.world.told(id);
    }
    stored.say(b, join("s"));
    stored.commit();
    stored.world.told(b);
    stored.say(b, chat("s", "1", "1"));
    let (serial, job) = stored.batch().expect("a batch is under way");
    let asked = begin(
        &mut stored.world,
        "PATCH",
        "/rooms/r",
        &json!({"max_users": 5, "write": "signed_in"}),
    );
    stored.say(a, join("t"));
    stored.commit_one(serial, job);
    stored.commit();
    let (gone, body) = answer(&mut stored.world, asked).expect("is answered");
    assert_eq!((gone, code(&body)), (404, "room_not_found"));
    assert_eq!(kinds(&stored.world.told(a)), ["room_joined"]);
    let mut rooms: Vec<_> = stored
        .disk
        .load()
        .rooms
        .into_iter()
        .map(|kept| kept.name)
        .collect();
    rooms.sort();
    assert_eq!(rooms, ["s".into(), "t".into()]);
}

/// A client has seen more than the disk has kept: the room gets a new epoch, but not while something is said in it.
#[test]
fn a_room_keeps_its_epoch_while_a_back_ends_message_is_under_way() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", "1", "1"));
    stored.commit();
    let position = stored.world.told(a)[0]["position"].clone();
    stored.restart();
    let a = stored.world.guest("a");
    let posted = begin(
        &mut stored.world,
        "POST",
        "/rooms/r/messages",
        &json!({"content": "2"}),
    );
    let (serial, job) = stored.batch().expect("a batch is under way");
    let ahead = position.as_str().expect("a position").replace(":1", ":9");
    stored.say(a, json!({"type": "join", "room": "r", "since": ahead}));
    stored.commit_one(serial, job);
    let (said, body) = answer(&mut stored.world, posted).expect("is answered");
    assert_eq!(said, 201);
    assert_eq!(
        body["position"],
        position.as_str().expect("a position").replace(":1", ":2")
    );
    assert_eq!(kinds(&stored.world.told(a)), ["room_joined", "chat"]);
    stored.commit();
    stored.restart();
    assert_eq!(history(&mut stored.world, "r"), ["1", "2"]);
}
