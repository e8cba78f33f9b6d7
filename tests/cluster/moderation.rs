//! What moderators do to rooms at one node is so at all: messages deleted and published, rules, rooms removed.

use sarang::config::Config;
use serde_json::{Value, json};

use crate::ledger::check_order;
use crate::member::Place;
use crate::nodes::config;
use crate::promises::{errors, seconds, token};
use crate::world::World;

pub const ROOM: &str = "tech";

/// Nodes with accounts, which let guests in; the members are at the first nodes, in one room.
pub fn gathered(seed: u64, nodes: usize, members: &[usize]) -> World {
    let config = Config {
        secret_file: Some("secrets".into()),
        guests: true,
        ..config()
    };
    let mut world = World::with(config, seed, nodes, members.len());
    for (number, node) in members.iter().enumerate() {
        world.enter(number, *node, ROOM);
    }
    world.pass(seconds(1));
    world
}

/// A node has no connection to the engine for so long.
pub fn cut_off(world: &mut World, node: usize, secs: u64) {
    let clock = world.clock;
    world.nodes[node].cut(&mut world.engine, clock);
    world.nodes[node].cut_until = clock + seconds(secs);
}

/// A member's connection is gone.
pub fn leave(world: &mut World, member: usize) {
    let (node, id) = world.members[member].at.expect("is connected");
    world.nodes[node].hang_up(id);
    world.members[member].lose();
}

/// Members say something, one after the other; returns where the last message is.
fn say(world: &mut World, members: &[usize]) -> Place {
    for member in members {
        world.act(*member, |member, node, clock| member.say(ROOM, node, clock));
        world.until("is acknowledged", World::is_settled);
    }
    let last = members.last().expect("somebody speaks");
    let acked = world.members[*last].acked.values();
    acked
        .map(|(_, _, place)| place.clone())
        .max_by_key(|place| place.1)
        .expect("is acknowledged")
}

fn message((epoch, seq): &Place) -> String {
    format!("/rooms/{ROOM}/messages/{epoch}:{seq}")
}

fn delete(world: &mut World, node: usize, target: &str) -> u16 {
    world.moderate(node, "DELETE", target, &Value::Null).0
}

pub fn read(world: &mut World, node: usize, target: &str) -> Value {
    let (status, body) = world.moderate(node, "GET", target, &Value::Null);
    assert_eq!(status, 200, "{target} {body}");
    body
}

/// The positions of a history at a node, and whether the message is deleted.
fn history(world: &mut World, node: usize) -> Vec<(u64, bool)> {
    let history = read(world, node, &format!("/rooms/{ROOM}/history"));
    let messages = history["messages"].as_array().expect("is a list");
    let shown = messages.iter().map(|message| {
        let place = crate::member::place(&message["position"]).expect("is one");
        (place.1, message["type"] == "deleted")
    });
    shown.collect()
}

#[test]
fn a_message_deleted_at_one_node_is_so_at_all_also_at_one_that_was_cut_off_and_for_who_resumes_there()
 {
    let mut world = gathered(21, 4, &[0, 1, 2, 0]);
    let first = say(&mut world, &[0]);
    say(&mut world, &[1, 2]);
    world.pass(seconds(1));
    leave(&mut world, 3);
    let last = {
        world.act(0, |member, node, clock| member.say(ROOM, node, clock));
        world.until("is acknowledged", |world| {
            world.members[0].unacked.is_empty()
        });
        world.members[0].acked["m0-2"].2.clone()
    };
    cut_off(&mut world, 2, 3);
    // Nobody has the room open at the last node.
    for _ in 0..2 {
        assert_eq!(delete(&mut world, 3, &message(&first)), 204);
        assert_eq!(delete(&mut world, 1, &message(&last)), 204);
    }
    world.until("all are told", |world| {
        let members = world.members[..3].iter();
        members.clone().count() == 3 && members.clone().all(|m| m.rooms[ROOM].deleted.len() == 2)
    });
    let both = [first.clone(), last.clone()].into();
    for member in &world.members[..3] {
        assert_eq!(member.rooms[ROOM].deleted, both, "{}", member.name);
    }
    world.enter(3, 2, ROOM);
    assert_eq!(world.members[3].rooms[ROOM].deleted, both);
    assert_eq!(world.members[3].rooms[ROOM].losses, 0);
    for node in 0..4 {
        let shown = history(&mut world, node);
        assert_eq!(shown, [(1, true), (2, false), (3, false), (4, true)]);
    }
    // One that is sent again is where it was, and stays deleted.
    let again = json!({"type": "chat", "room": ROOM, "content": "m0 says 1", "id": "m0-1"});
    let entry = (ROOM.to_owned(), "m0 says 1".to_owned(), world.clock);
    world.members[0].unacked.insert("m0-1".into(), entry);
    world.act(0, |member, node, _| member.send_raw(node, &again));
    world.until("is acknowledged again", World::is_settled);
    assert_eq!(world.members[0].acked["m0-1"].2, first);
    say(&mut world, &[1]);
    check_order(&world.members);
    assert_eq!(history(&mut world, 3).last(), Some(&(5, false)));
}

#[test]
fn what_is_no_kept_message_is_not_deleted_at_any_node() {
    let mut world = gathered(22, 2, &[0]);
    let (epoch, seq) = say(&mut world, &[0]);
    for node in 0..2 {
        for (position, status) in [
            (format!("{epoch}:{}", seq + 1), 404),
            (format!("0123456789abcdef:{seq}"), 404),
            ("x".to_owned(), 400),
        ] {
            let target = format!("/rooms/{ROOM}/messages/{position}");
            assert_eq!(delete(&mut world, node, &target), status, "{position}");
        }
        let target = format!("/rooms/none/messages/{epoch}:{seq}");
        assert_eq!(delete(&mut world, node, &target), 404);
        assert_eq!(history(&mut world, node), [(1, false)]);
    }
}

#[test]
fn rules_changed_at_one_node_hold_at_all_also_at_one_that_was_cut_off() {
    let mut world = gathered(23, 4, &[0, 1, 2]);
    let clock = world.clock;
    world.members.push(crate::member::Member::new("late"));
    world.members[3].connect(1, &mut world.nodes[1], clock);
    say(&mut world, &[0, 1, 2]);
    cut_off(&mut world, 2, 3);
    let target = format!("/rooms/{ROOM}");
    let rules = json!({"max_users": 3, "history_messages": 2, "write": "moderators", "kept": true});
    let (status, room) = world.moderate(3, "PATCH", &target, &rules);
    assert_eq!(status, 200, "{room}");
    world.pass(seconds(6));
    for node in 0..4 {
        let room = read(&mut world, node, &target);
        for (name, value) in rules.as_object().expect("is one") {
            assert_eq!(&room[name], value, "{name} at {node}");
        }
        assert_eq!(history(&mut world, node), [(2, false), (3, false)]);
    }
    for member in 0..3 {
        world.act(member, |member, node, clock| member.say(ROOM, node, clock));
        world.until("is refused", |world| {
            errors(world, member, "forbidden") == 1
        });
        world.members[member].unacked.clear();
    }
    world.act(3, |member, node, clock| member.join(ROOM, node, clock));
    world.until("is refused", |world| errors(world, 3, "room_full") == 1);
    let rules = json!({"write": "everyone", "max_users": 4});
    assert_eq!(world.moderate(0, "PATCH", &target, &rules).0, 200);
    world.pass(seconds(1));
    world.act(3, |member, node, clock| member.join(ROOM, node, clock));
    world.until("is in the room", |world| world.members[3].rooms[ROOM].is_in);
    say(&mut world, &[2]);
    let none = world.moderate(1, "PATCH", "/rooms/none", &rules);
    assert_eq!(
        (none.0, &none.1["error"]["code"]),
        (404, &json!("room_not_found"))
    );
}

/// How often a member was told that a room is removed.
fn removals(world: &World, member: usize) -> usize {
    let notices = world.members[member].notices.iter();
    notices
        .filter(|notice| notice["reason"] == "room_removed" && notice["room"] == ROOM)
        .count()
}

/// A member says something with an `id` of its own.
fn say_with_id(world: &mut World, member: usize, text: &str, id: &str) -> Place {
    let entry = (ROOM.to_owned(), text.to_owned(), world.clock);
    world.members[member].unacked.insert(id.into(), entry);
    let chat = json!({"type": "chat", "room": ROOM, "content": text, "id": id});
    world.act(member, |member, node, _| member.send_raw(node, &chat));
    world.until("is acknowledged", |world| {
        world.members[member].unacked.is_empty()
    });
    world.members[member].acked[id].2.clone()
}

#[test]
fn a_removed_room_tells_members_at_all_nodes_and_its_name_and_ids_are_free_in_the_next_one() {
    let mut world = gathered(24, 4, &[0, 1, 2]);
    let before = say_with_id(&mut world, 0, "one", "the-id");
    cut_off(&mut world, 2, 3);
    assert_eq!(delete(&mut world, 3, &format!("/rooms/{ROOM}")), 204);
    world.until("are told", |world| {
        removals(world, 0) == 1 && removals(world, 1) == 1
    });
    assert_eq!(delete(&mut world, 0, &format!("/rooms/{ROOM}")), 404);
    for node in [0, 1, 3] {
        let (status, _) = world.moderate(node, "GET", &format!("/rooms/{ROOM}"), &Value::Null);
        assert_eq!(status, 404, "{node}");
    }
    // It is made again while a node knows of nothing.
    world.act(0, |member, node, clock| member.join(ROOM, node, clock));
    world.until("is in the new room", |world| {
        world.members[0].rooms[ROOM].is_in
    });
    let after = say_with_id(&mut world, 0, "two", "the-id");
    assert_ne!(before.0, after.0);
    assert_eq!(after.1, 1);
    world.until("is told, too", |world| removals(world, 2) == 1);
    world.until("both are there", |world| world.members[2].at.is_some());
    for member in [1, 2] {
        world.act(member, |member, node, clock| member.join(ROOM, node, clock));
        world.until("is in the new room", |world| {
            world.members[member].rooms[ROOM].is_in
        });
        assert_eq!(
            world.members[member].rooms[ROOM].newest,
            Some(after.clone())
        );
    }
    say(&mut world, &[1, 2, 0]);
    world.pass(seconds(5));
    assert_eq!([0, 1, 2].map(|member| removals(&world, member)), [1; 3]);
    for node in 0..4 {
        assert_eq!(history(&mut world, node).len(), 4, "{node}");
        let room = read(&mut world, node, &format!("/rooms/{ROOM}"));
        assert_eq!(room["online_count"], 3, "{node}");
    }
}

#[test]
fn back_ends_publish_into_rooms_that_are_not_open_at_the_node_they_ask() {
    let mut world = gathered(25, 3, &[0]);
    let target = format!("/rooms/{ROOM}/messages");
    let one = json!({"content": "from outside", "username": "bot", "id": "one"});
    let (status, said) = world.moderate(1, "POST", &target, &one);
    assert_eq!(status, 201, "{said}");
    let (status, again) = world.moderate(2, "POST", &target, &one);
    assert_eq!((status, &again), (201, &said));
    let other = json!({"content": "another", "username": "bot", "id": "one"});
    let (status, refused) = world.moderate(2, "POST", &target, &other);
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("id_reused"))
    );
    let batch: Vec<Value> = (0..1_000)
        .map(|n| json!({"content": format!("message {n}"), "id": format!("id-{n}")}))
        .collect();
    let batch = json!({ "messages": batch });
    let (status, said) = world.moderate(2, "POST", &target, &batch);
    assert_eq!(status, 201, "{said}");
    let positions = said["positions"].as_array().expect("is a list");
    let numbers: Vec<u64> = positions
        .iter()
        .map(|position| crate::member::place(position).expect("is one").1)
        .collect();
    assert_eq!(numbers, (2..=1_001).collect::<Vec<u64>>());
    assert_eq!(world.moderate(1, "POST", &target, &batch).1, said);
    world.until("has heard all", |world| {
        world.members[0].rooms[ROOM].seen.len() == 1_001
    });
    let seen = &world.members[0].rooms[ROOM].seen;
    for ((_, number), (name, content)) in seen {
        let expected = match number {
            1 => ("bot", "from outside".to_owned()),
            number => ("boss", format!("message {}", number - 2)),
        };
        assert_eq!((&**name, content), (expected.0, &expected.1));
    }
    // The first one is not kept any more, the second one still is.
    let epoch = seen.keys().next().expect("is one").0.clone();
    for node in 0..3 {
        assert_eq!(delete(&mut world, node, &message(&(epoch.clone(), 1))), 404);
    }
    assert_eq!(delete(&mut world, 1, &message(&(epoch.clone(), 2))), 204);
    world.until("is told", |world| {
        world.members[0].rooms[ROOM].deleted == [(epoch.clone(), 2)].into()
    });
    for node in 0..3 {
        let (status, none) = world.moderate(node, "POST", "/rooms/none/messages", &one);
        assert_eq!(
            (status, &none["error"]["code"]),
            (404, &json!("room_not_found"))
        );
        let rooms = read(&mut world, node, "/rooms");
        assert_eq!(rooms["rooms"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn a_notice_of_a_back_end_reaches_somebody_at_another_node() {
    let mut world = gathered(26, 3, &[0, 1]);
    let notice = json!({"content": "your order is ready", "id": "order"});
    for node in [2, 0, 1] {
        let answer = world.moderate(node, "POST", "/users/m1/messages", &notice);
        assert_eq!(answer.0, 202, "{}", answer.1);
    }
    world.until("has come", |world| world.members[1].whispers.len() == 1);
    world.pass(seconds(2));
    assert_eq!(world.members[1].whispers.values().sum::<usize>(), 1);
    assert_eq!(world.members[0].whispers.len(), 0);
    let answer = world.moderate(2, "POST", "/users/nobody/messages", &notice);
    assert_eq!(answer.0, 404);
}

#[test]
fn a_user_may_not_moderate_at_any_node() {
    let mut world = gathered(27, 2, &[0]);
    let user = token(&world, "kim");
    for node in 0..2 {
        let (head, _) = world.post(node, "/users/m0/messages", &user, r#"{"content":"x"}"#);
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    }
    assert!(world.members[0].whispers.is_empty());
}
