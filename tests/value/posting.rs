//! Messages of back ends: in order, once, and answered when they are kept.

use std::time::Duration;

use sarang::config::{BATCH_MESSAGES_MAX, Config, POSTS_PER_TURN, STORE_RETRY};
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::desk::{answer, ask, begin, code, create, post, told_of};
use crate::late::{chat, kinds};
use crate::stored::Stored;
use crate::world::World;

const MESSAGES: &str = "/rooms/r/messages";

fn batch(count: usize, of: impl Fn(usize) -> Value) -> Value {
    let all: Vec<Value> = (0..count).map(of).collect();
    json!({"messages": all})
}

fn said(world: &World) -> u64 {
    let room = world.server.rooms().find("r").expect("is there");
    room.history.position().seq
}

fn contents(told: &[Value]) -> Vec<String> {
    let texts = told.iter().filter_map(|one| one["content"].as_str());
    texts.map(ToOwned::to_owned).collect()
}

#[test]
fn a_message_is_said_in_the_name_that_is_given_or_in_the_key_s() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let member = world.member("a", "r");
    let (status, body) = post(&mut world, "r", "one");
    assert_eq!(status, 201);
    let named = json!({"content": "two", "username": "\u{1100}\u{1161}"});
    assert_eq!(ask(&mut world, "POST", MESSAGES, named).0, 201);
    let told = world.told(member);
    assert_eq!(
        (&told[0]["username"], &told[1]["username"]),
        (&json!("shop"), &json!("가"))
    );
    assert_eq!(told[0]["position"], body["position"]);
    for (target, message, expected) in [
        (
            "/rooms/none/messages",
            json!({"content": "x"}),
            (404, "room_not_found"),
        ),
        (MESSAGES, json!({"content": ""}), (400, "bad_request")),
        (
            MESSAGES,
            json!({"content": "x", "username": "a\nb"}),
            (400, "bad_request"),
        ),
        (
            MESSAGES,
            json!({"content": "x".repeat(100_000)}),
            (413, "content_too_long"),
        ),
    ] {
        let (status, body) = ask(&mut world, "POST", target, message);
        assert_eq!((status, code(&body)), expected, "{target}");
    }
    assert_eq!(said(&world), 2);
    assert!(
        world.server.rooms().find("none").is_err(),
        "nothing is created"
    );
}

#[test]
fn the_same_id_has_the_same_position_and_other_content_is_refused() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let with_id = json!({"content": "x", "id": "1"});
    let first = ask(&mut world, "POST", MESSAGES, with_id.clone());
    assert_eq!(ask(&mut world, "POST", MESSAGES, with_id), first);
    let (status, body) = ask(
        &mut world,
        "POST",
        MESSAGES,
        json!({"content": "y", "id": "1"}),
    );
    assert_eq!((status, code(&body)), (409, "id_reused"));
    // Twice in one batch too, also with others between.
    let ids = ["2", "3", "2"];
    let (status, body) = ask(
        &mut world,
        "POST",
        MESSAGES,
        batch(3, |n| json!({"content": "x", "id": ids[n]})),
    );
    assert_eq!(status, 201);
    assert_eq!(body["positions"][0], body["positions"][2]);
    assert_ne!(body["positions"][0], body["positions"][1]);
    assert_eq!(said(&world), 3);
}

#[test]
fn a_long_batch_is_said_in_order_over_several_turns_in_which_others_are_heard() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let member = world.member("a", "r");
    let id = world.connect();
    let body = batch(BATCH_MESSAGES_MAX, |n| json!({"content": n.to_string()})).to_string();
    let bearer = crate::client::bearer(crate::world::KEY);
    let head = format!(
        "POST {MESSAGES} HTTP/1.1\r\nHost: x\r\n{bearer}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    world.receive(id, head.as_bytes());
    world.one_turn();
    assert!(
        (1..=2 * POSTS_PER_TURN as u64).contains(&said(&world)),
        "{}",
        said(&world)
    );
    world.say(
        member,
        json!({"type": "chat", "room": "r", "content": "between"}),
    );
    world.turn();
    let told = contents(&told_of(&mut world, member, &["chat"]));
    let place = told
        .iter()
        .position(|text| text == "between")
        .expect("is heard");
    assert!(place < BATCH_MESSAGES_MAX / 2, "{place}");
    let others: Vec<String> = told.into_iter().filter(|text| text != "between").collect();
    assert_eq!(
        others,
        (0..BATCH_MESSAGES_MAX)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
    );
    let (status, body) = answer(&mut world, id).expect("is answered");
    assert_eq!(status, 201);
    let positions = body["positions"].as_array().expect("a list").iter();
    let numbers = positions.map(|at| at.as_str()?.rsplit_once(':')?.1.parse::<u64>().ok());
    let numbers: Vec<u64> = numbers.map(|number| number.expect("a number")).collect();
    assert!(numbers.len() == BATCH_MESSAGES_MAX && numbers.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_batch_is_checked_whole_before_anything_is_said() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    for (last, expected) in [
        (json!({"content": ""}), (400, "bad_request")),
        (
            json!({"content": "x".repeat(100_000)}),
            (413, "content_too_long"),
        ),
        (
            json!({"content": "x", "id": "x".repeat(65)}),
            (400, "bad_request"),
        ),
    ] {
        let all = batch(3, |n| {
            if n == 2 {
                last.clone()
            } else {
                json!({"content": "x"})
            }
        });
        let (status, body) = ask(&mut world, "POST", MESSAGES, all);
        assert_eq!((status, code(&body)), expected);
    }
    assert_eq!(said(&world), 0);
    // What is refused later ends it: what came before is said.
    assert_eq!(
        ask(
            &mut world,
            "POST",
            MESSAGES,
            json!({"content": "x", "id": "1"})
        )
        .0,
        201
    );
    let ids = ["2", "1", "3"];
    let (status, body) = ask(
        &mut world,
        "POST",
        MESSAGES,
        batch(3, |n| json!({"content": "y", "id": ids[n]})),
    );
    assert_eq!((status, code(&body), said(&world)), (409, "id_reused", 2));
}

#[test]
fn a_room_with_much_to_send_has_a_batch_wait_and_nobody_is_closed() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let members: Vec<ConnectionId> = (0..30)
        .map(|n| world.member(&format!("a{n}"), "r"))
        .collect();
    for id in &members {
        world.told(*id);
    }
    let text = "x".repeat(1_900);
    let id = world.connect();
    let body = batch(
        BATCH_MESSAGES_MAX,
        |n| json!({"content": format!("{n} {text}")}),
    )
    .to_string();
    let bearer = crate::client::bearer(crate::world::KEY);
    let head = format!(
        "POST {MESSAGES} HTTP/1.1\r\nHost: x\r\n{bearer}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    world.wires.send_time = Duration::from_millis(3);
    world.receive(id, head.as_bytes());
    let (mut waits, mut before) = (0, 0);
    while world.one_turn() {
        waits +=
            usize::from(before > 0 && said(&world) == before && before < BATCH_MESSAGES_MAX as u64);
        before = said(&world);
    }
    assert!(waits > 0, "it has waited");
    assert_eq!(answer(&mut world, id).expect("is answered").0, 201);
    for id in members {
        let told = contents(&world.told(id));
        let numbers = told
            .iter()
            .map(|text| text.split(' ').next().and_then(|n| n.parse().ok()));
        assert!(numbers.eq((0..BATCH_MESSAGES_MAX).map(Some)));
    }
}

#[test]
fn a_back_end_that_goes_away_in_the_middle_leaves_the_rest_to_be_said_once() {
    for is_whole in [false, true] {
        let mut stored = Stored::new(Config::default());
        let [a] = stored.members(["a"], "r");
        let all = batch(
            200,
            |n| json!({"content": n.to_string(), "id": n.to_string()}),
        );
        let gone = begin(&mut stored.world, "POST", MESSAGES, &all);
        stored.world.end(gone);
        let now = stored.world.now;
        stored.world.server.closed(gone, now);
        if is_whole {
            stored.commit();
        }
        let again = begin(&mut stored.world, "POST", MESSAGES, &all);
        stored.commit();
        let (status, body) = answer(&mut stored.world, again).expect("is answered");
        assert_eq!(
            (status, body["positions"].as_array().map(Vec::len)),
            (201, Some(200))
        );
        let told = contents(&stored.world.told(a));
        assert_eq!(told, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn a_batch_whose_room_is_removed_in_the_middle_is_refused() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", "1", "1"));
    let (serial, job) = stored.batch().expect("a batch is under way");
    let all = batch(3, |n| json!({"content": n.to_string()}));
    let posted = begin(&mut stored.world, "POST", MESSAGES, &all);
    let removal = begin(&mut stored.world, "DELETE", "/rooms/r", &Value::Null);
    let late = ask(&mut stored.world, "POST", MESSAGES, all);
    assert_eq!((late.0, code(&late.1)), (404, "room_not_found"));
    stored.commit_one(serial, job);
    stored.commit();
    // All of it was under way already, and is in the room that is gone.
    assert_eq!(
        answer(&mut stored.world, posted).expect("is answered").0,
        201
    );
    assert_eq!(
        answer(&mut stored.world, removal).expect("is answered").0,
        204
    );
    assert_eq!(stored.disk.load().rooms, []);
}

#[test]
fn a_disk_that_fails_refuses_the_whole_batch_and_it_is_safe_to_send_it_again() {
    for is_kept in [false, true] {
        let mut stored = Stored::new(Config::default());
        let [a] = stored.members(["a"], "r");
        let all = batch(
            100,
            |n| json!({"content": n.to_string(), "id": n.to_string()}),
        );
        let posted = begin(&mut stored.world, "POST", MESSAGES, &all);
        stored.fail(is_kept);
        let (status, body) = answer(&mut stored.world, posted).expect("is answered");
        assert_eq!((status, code(&body)), (503, "storage_unavailable"));
        assert_eq!(ask(&mut stored.world, "POST", MESSAGES, all.clone()).0, 503);
        stored.world.pass(STORE_RETRY);
        stored.commit();
        let posted = begin(&mut stored.world, "POST", MESSAGES, &all);
        stored.commit();
        assert_eq!(
            answer(&mut stored.world, posted).expect("is answered").0,
            201
        );
        assert_eq!(contents(&stored.world.told(a)).len(), 100);
        stored.restart();
        let posted = begin(&mut stored.world, "POST", MESSAGES, &all);
        assert_eq!(
            answer(&mut stored.world, posted).expect("is answered").0,
            201
        );
        assert_eq!(said(&stored.world), 100);
    }
}

#[test]
fn a_moderators_socket_publishes_and_is_acknowledged_when_it_is_kept() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let member = world.member("a", "r");
    let token = crate::client::login(&mut world);
    let (_, ticket) = crate::client::ticket(&mut world, &token);
    let (moderator, _) = crate::client::enter(&mut world, &ticket);
    let publish =
        json!({"type": "publish", "room": "r", "content": "x", "username": "봇", "id": "1"});
    for expected in [1, 0] {
        world.say(moderator, publish.clone());
        world.turn();
        assert_eq!(kinds(&world.told(moderator)), ["ack"]);
        let told = world.told(member);
        assert_eq!(told.len(), expected);
        assert!(told.iter().all(|one| one["username"] == "봇"));
    }
    world.say(member, publish);
    world.turn();
    assert_eq!(kinds(&world.told(member)), ["forbidden"]);
}

#[test]
fn a_user_is_notified_in_a_name_and_once() {
    let mut world = World::new(Config::default());
    let kims = ["kim", "kim"].map(|name| world.guest(name));
    let note = json!({"content": "paid", "from": "billing", "id": "1"});
    for expected in [1, 0] {
        assert_eq!(
            ask(&mut world, "POST", "/users/kim/messages", note.clone()).0,
            202
        );
        for id in kims {
            let told = world.told(id);
            assert_eq!(told.len(), expected);
            assert!(
                told.iter()
                    .all(|one| one["from"] == "billing" && one["to"] == "kim")
            );
        }
    }
    let (status, body) = ask(&mut world, "POST", "/users/lee/messages", note);
    assert_eq!((status, code(&body)), (404, "user_not_found"));
}
