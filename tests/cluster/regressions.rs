//! What once went wrong, each by itself.

use std::time::Duration;

use serde_json::json;

use crate::ledger::{check_acknowledged, check_order};
use crate::nodes::config;
use crate::peer::command;
use crate::promises::{errors, seconds, token};
use crate::world::World;

const ROOM: &str = "tech";
const SOON: Duration = Duration::from_millis(100);

fn say(world: &mut World, member: usize) {
    world.act(member, |member, node, clock| member.say(ROOM, node, clock));
}

/// A member whispers something that has an `id`, for the first time or again.
fn whisper(world: &mut World, from: usize, to: &str, id: &str) {
    let entry = (String::new(), id.to_owned(), world.clock);
    world.members[from].unacked.insert(id.into(), entry);
    let message = json!({"type": "whisper", "to": to, "content": id, "id": id});
    world.act(from, |member, node, _| member.send_raw(node, &message));
}

/// How often a member was told a whisper.
fn told(world: &World, member: usize, text: &str) -> usize {
    let all = world.members[member].whispers.iter();
    all.filter(|((_, other), _)| other == text)
        .map(|(_, count)| count)
        .sum()
}

/// Has a member's node do so much that it is in the engine, while nothing that this says comes back.
fn without_answers(world: &mut World, node: usize, act: impl FnOnce(&mut World)) {
    world.nodes[node].deaf_until = Duration::MAX;
    act(world);
    world.pass(SOON);
}

/// The connection of a node is gone, and what was on its way to it.
fn cut(world: &mut World, node: usize) {
    world.nodes[node].deaf_until = Duration::ZERO;
    world.nodes[node].cut(&mut world.engine, world.clock);
}

/// A member's connection is gone.
fn leave(world: &mut World, member: usize) {
    let (node, id) = world.members[member].at.expect("is connected");
    world.nodes[node].hang_up(id);
    world.members[member].lose();
}

/// Has members who are in one room, each at this node.
fn gathered(seed: u64, nodes: usize, members: &[usize]) -> World {
    let mut world = World::new(seed, nodes, members.len());
    for (number, node) in members.iter().enumerate() {
        world.enter(number, *node, ROOM);
    }
    world
}

/// The first member whispers to the second. The engine keeps it, its answer is lost, and the sender is told that nobody knows.
fn whisper_refused_without_its_answer(world: &mut World) {
    without_answers(world, 0, |world| whisper(world, 0, "m1", "psst"));
    cut(world, 0);
    world.nodes[0].cut_until = world.clock + seconds(8);
    world.until("is refused", |world| {
        errors(world, 0, "backend_unavailable") == 1
    });
    world.pass(seconds(20));
}

#[test]
fn a_whisper_whose_answer_is_lost_is_brought_once_to_people_at_its_own_node() {
    let mut world = gathered(1, 2, &[0, 0]);
    without_answers(&mut world, 0, |world| whisper(world, 0, "m1", "psst"));
    let keys = world.engine.keys(world.clock);
    assert!(keys.iter().any(|(key, _)| key.contains("}w:")), "{keys:?}");
    cut(&mut world, 0);
    world.until("is acknowledged", World::is_settled);
    world.pass(seconds(1));
    assert_eq!((told(&world, 0, "psst"), told(&world, 1, "psst")), (1, 1));
}

#[test]
fn a_whisper_that_is_answered_too_late_is_brought_once_and_the_same_again_only_acknowledged() {
    let mut world = gathered(2, 2, &[0, 0]);
    world.nodes[0].deaf_until = world.clock + Duration::from_millis(5_500);
    whisper(&mut world, 0, "m1", "psst");
    world.until("is refused", |world| {
        errors(world, 0, "backend_unavailable") == 1
    });
    assert_eq!(told(&world, 1, "psst"), 0);
    world.until("is brought", |world| told(world, 1, "psst") == 1);
    whisper(&mut world, 0, "m1", "psst");
    world.until("is acknowledged", World::is_settled);
    world.pass(seconds(1));
    assert_eq!((told(&world, 0, "psst"), told(&world, 1, "psst")), (1, 1));
}

#[test]
fn a_whisper_that_is_acknowledged_when_it_is_said_again_long_after_its_answer_was_lost_is_brought()
{
    let mut world = gathered(2, 2, &[0, 0]);
    whisper_refused_without_its_answer(&mut world);
    whisper(&mut world, 0, "m1", "psst");
    world.until("is acknowledged", World::is_settled);
    world.pass(seconds(1));
    assert_eq!((told(&world, 0, "psst"), told(&world, 1, "psst")), (1, 1));
}

#[test]
fn a_whisper_whose_answer_was_lost_is_also_brought_when_it_is_said_again_at_another_node() {
    let mut world = gathered(5, 2, &[0, 0]);
    whisper_refused_without_its_answer(&mut world);
    leave(&mut world, 0);
    world.enter(0, 1, ROOM);
    whisper(&mut world, 0, "m1", "psst");
    world.until("is acknowledged", World::is_settled);
    world.pass(seconds(1));
    assert_eq!(told(&world, 1, "psst"), 1);
}

#[test]
fn a_whisper_to_a_node_that_hears_nothing_is_refused_and_brought_once_when_it_is_said_again() {
    let mut world = gathered(3, 2, &[0, 1]);
    cut(&mut world, 1);
    // What was on its way comes to its end first. The next connection is not made so soon.
    world.pass(SOON);
    world.nodes[1].cut_until = world.clock + seconds(5);
    whisper(&mut world, 0, "m1", "psst");
    world.until("is refused", |world| {
        errors(world, 0, "backend_unavailable") == 1
    });
    world.pass(seconds(10));
    assert_eq!(told(&world, 1, "psst"), 0);
    whisper(&mut world, 0, "m1", "psst");
    world.until("is acknowledged", World::is_settled);
    world.pass(seconds(1));
    assert_eq!((told(&world, 0, "psst"), told(&world, 1, "psst")), (1, 1));
    assert_eq!(errors(&world, 0, "user_not_found"), 0);
}

#[test]
fn all_who_come_at_once_under_a_name_that_a_guest_holds_elsewhere_are_refused() {
    let mut world = World::new(4, 2, 5);
    world.members[0].name = "kim&key=0123456789abcdef".into();
    for number in 0..5 {
        let clock = world.clock;
        if number > 0 {
            world.members[number].name = "kim".into();
        }
        let node = number.min(1);
        world.members[number].connect(node, &mut world.nodes[node], clock);
        if number == 0 {
            world.until("is welcome", |world| world.members[0].welcomes == 1);
        }
    }
    world.pass(seconds(1));
    for member in &world.members[1..] {
        assert_eq!((member.welcomes, member.closed), (0, Some(4005)));
    }
    assert_eq!(world.members[0].closed, None);
}

#[test]
fn without_replicas_messages_are_refused_while_the_node_stays_up_and_takes_joins() {
    let mut config = config();
    config.cluster_wait = 1;
    let mut world = World::with(config, 5, 1, 2);
    world.enter(0, 0, ROOM);
    let clock = world.clock;
    world.members[1].connect(0, &mut world.nodes[0], clock);
    world.pass(SOON);
    for _ in 0..40 {
        say(&mut world, 0);
        world.step();
    }
    world.act(1, |member, node, clock| member.join(ROOM, node, clock));
    world.until("is in the room", |world| {
        world.members[1]
            .rooms
            .get(ROOM)
            .is_some_and(|room| room.is_in)
    });
    world.until("all are refused", |world| {
        errors(world, 0, "backend_unavailable") == 40
    });
    world.pass(seconds(10));
    assert_eq!(errors(&world, 1, "backend_unavailable"), 0);
    let log = world.nodes[0].sockets.log.concat();
    assert!(!log.contains("engine_down"), "{log}");
}

#[test]
fn messages_that_replicas_have_are_acknowledged_after_the_connection_was_lost() {
    let mut config = config();
    config.cluster_wait = 1;
    let mut world = World::with(config, 6, 1, 1);
    world.engine.set_replicas(1);
    world.enter(0, 0, ROOM);
    without_answers(&mut world, 0, |world| {
        for _ in 0..3 {
            say(world, 0);
            world.step();
        }
    });
    assert_eq!(world.members[0].unacked.len(), 3);
    cut(&mut world, 0);
    world.until("all are acknowledged", World::is_settled);
    assert_eq!(world.members[0].acked.len(), 3);
    check_order(&world.members);
    assert_eq!(check_acknowledged(&world.members), []);
}

/// A figure of a node.
fn figure(world: &mut World, node: usize, name: &str) -> u64 {
    let token = token(world, "boss");
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let (head, page) = world.exchange(node, &request);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {name} in {page}"))
        .parse()
        .expect("is a number")
}

#[test]
fn what_is_refused_while_the_engine_is_away_leaves_nothing_to_be_asked_of_it() {
    let mut world = World::new(7, 1, 100);
    world.enter(0, 0, ROOM);
    for number in 1..50 {
        let clock = world.clock;
        world.members[number].connect(0, &mut world.nodes[0], clock);
    }
    world.pass(seconds(1));
    world.nodes[0].cut_until = world.clock + seconds(60);
    cut(&mut world, 0);
    world.pass(SOON);
    for _ in 0..6 {
        for number in 1..100 {
            let clock = world.clock;
            match number {
                0..50 => {
                    world.act(number, |member, node, clock| member.join(ROOM, node, clock));
                }
                _ => world.members[number].connect(0, &mut world.nodes[0], clock),
            }
        }
        assert!(world.members[50..].iter().all(|member| member.at.is_some()));
        world.pass(seconds(3));
        assert!(world.members[50..].iter().all(|member| member.at.is_none()));
    }
    for number in 1..50 {
        assert_eq!(errors(&world, number, "backend_unavailable"), 6);
    }
    assert_eq!(figure(&mut world, 0, "sarang_cluster_requests"), 0);
}

const NO_REPLICAS: &str = "NOREPLICAS Not enough good replicas to write.";
const CANNOT_SAVE: &str = "MISCONF Errors writing to the AOF file: No space left on device";

/// Passes time until both nodes have given another sign of life, so that the next ones are not soon.
fn until_signs_of_life(world: &mut World) {
    let before = world.engine.count("ZADD");
    world.until("both nodes have given a sign of life", |world| {
        world.engine.count("ZADD") >= before + 2
    });
    world.pass(SOON / 2);
}

/// Passes time in which the engine writes nothing. What a node has asked was refused.
fn without_writes(world: &mut World, error: &'static str, time: Duration) {
    world.nodes[0].sockets.log.clear();
    world.engine.set_writes_refused(Some(error));
    world.pass(time);
    world.engine.set_writes_refused(None);
    let log = world.nodes[0].sockets.log.concat();
    assert!(log.contains(error), "{log}");
}

/// How many there are in the room, as the engine knows it.
fn count(world: &mut World) -> serde_json::Value {
    let (_, room) = world.get(1, "/rooms/tech");
    room["online_count"].clone()
}

#[test]
fn a_leave_that_the_engine_refuses_is_done_after_the_next_sign_of_life() {
    for (seed, error) in [(8, NO_REPLICAS), (9, CANNOT_SAVE)] {
        let mut world = gathered(seed, 2, &[0, 1]);
        leave(&mut world, 0);
        // The name is given up at once, the seat after the grace.
        without_writes(&mut world, error, Duration::from_millis(3_500));
        assert_eq!(count(&mut world), 2);
        world.until("has left", |world| {
            !world.members[1].rooms[ROOM].online.contains("m0")
        });
        assert_eq!(count(&mut world), 1);
        whisper(&mut world, 1, "m0", "psst");
        world.until("is refused", |world| {
            errors(world, 1, "user_not_found") == 1
        });
    }
}

#[test]
fn a_leave_that_the_engine_refuses_is_not_done_when_the_user_is_back() {
    for (seed, is_after_grace) in [(8, false), (9, false), (8, true), (9, true)] {
        let mut world = gathered(seed, 2, &[0, 1]);
        until_signs_of_life(&mut world);
        leave(&mut world, 0);
        if is_after_grace {
            until_signs_of_life(&mut world);
        }
        without_writes(&mut world, NO_REPLICAS, SOON * 2);
        world.enter(0, 0, ROOM);
        world.pass(seconds(10));
        assert_eq!(count(&mut world), 2);
        assert_eq!(world.members[1].leavings.get("m0"), None);
        whisper(&mut world, 1, "m0", "psst");
        world.until("is acknowledged", World::is_settled);
        world.pass(SOON);
        assert_eq!(told(&world, 0, "psst"), 1);
    }
}

#[test]
fn at_the_limit_of_rooms_one_that_was_spoken_in_makes_way_behind_many_that_are_kept() {
    let mut config = config();
    config.rooms.rooms = 88;
    let mut world = World::with(config, 10, 4, 3);
    // At one node nobody may have more of them than a quarter of all.
    for number in 0..64 {
        let token = token(&world, "boss");
        let body = format!(r#"{{"name":"kept{number}"}}"#);
        let (head, _) = world.post(number % 4, "/rooms", &token, &body);
        assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    }
    world.enter(0, 0, ROOM);
    say(&mut world, 0);
    world.until("is acknowledged", |world| {
        world.members[0].lacks().is_none()
    });
    leave(&mut world, 0);
    world.enter(1, 1, "r0");
    for number in 1..23 {
        let room = format!("r{number}");
        world.act(1, |member, node, clock| member.join(&room, node, clock));
    }
    world.until("is everywhere", |world| world.members[1].lacks().is_none());
    let (_, list) = world.get(1, "/rooms");
    assert_eq!(list["rooms"].as_array().map(Vec::len), Some(88));
    world.pass(seconds(5));
    world.enter(2, 1, "another");
    world.pass(seconds(2));
    let (_, list) = world.get(1, "/rooms");
    let rooms = list["rooms"].as_array().expect("is a list");
    assert_eq!(rooms.len(), 88);
    assert!(rooms.iter().all(|room| room["name"] != ROOM));
}

#[test]
fn a_list_of_rooms_is_answered_when_two_connections_were_lost_before_it_could_be_asked_for() {
    let mut world = gathered(11, 1, &[0]);
    let clock = world.clock;
    let id = world.nodes[0].connect(clock).expect("is accepted");
    cut(&mut world, 0);
    // The next connection stands, and what it asks has no answer.
    world.nodes[0].deaf_until = Duration::MAX;
    world.pass(Duration::from_millis(600));
    world.nodes[0].send(id, b"GET /rooms HTTP/1.1\r\nHost: x\r\n\r\n");
    world.pass(SOON);
    assert!(world.nodes[0].has_link());
    cut(&mut world, 0);
    let answer = |world: &World| world.nodes[0].sockets.all[&id].bytes.clone();
    world.until("is answered", |world| !answer(world).is_empty());
    let answer = String::from_utf8(answer(&world)).expect("is text");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(r#""name":"tech""#), "{answer}");
}

/// Whether the messages of the first member have their order in the newest epoch, of which the second was told.
fn check_order_of_author(world: &mut World) {
    world.until("all are acknowledged", World::is_settled);
    world.pass(seconds(1));
    let room = &world.members[1].rooms[ROOM];
    let (epoch, _) = room.newest.as_ref().expect("has a position");
    let of_epoch = room.seen.iter().filter(|((of, _), _)| of == epoch);
    let number = |text: &str| text.rsplit(' ').next()?.parse::<u64>().ok();
    let numbers: Vec<_> = of_epoch.map(|(_, (_, text))| number(text)).collect();
    assert!(numbers.len() > 8, "{numbers:?}");
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[test]
fn messages_of_one_author_keep_their_order_while_their_room_is_loaded_anew() {
    for seed in 20..40 {
        let mut world = gathered(seed, 2, &[0, 1]);
        let keys = world.engine.keys(world.clock);
        let meta = keys.iter().find(|(key, _)| key.ends_with("}m:tech"));
        let (meta, _) = meta.expect("there is the room");
        let channel = meta.replace("}m:", "}r:").into_bytes();
        let client = world.engine.connect();
        for round in 0..20 {
            say(&mut world, 0);
            if round == 8 {
                // It has lost the room; nodes are told so before what they have asked is answered.
                world.engine.flush_all();
                let told = command(&[b"PUBLISH".to_vec(), channel.clone(), b"e".to_vec()]);
                let clock = world.clock;
                world.engine.receive(client, &told, clock);
            }
            world.step();
        }
        check_order_of_author(&mut world);
    }
}

#[test]
fn messages_of_one_author_keep_their_order_when_the_connection_and_the_room_are_lost() {
    for seed in 40..50 {
        let mut world = gathered(seed, 2, &[0, 1]);
        for _ in 0..10 {
            say(&mut world, 0);
            world.step();
        }
        world.engine.flush_all();
        cut(&mut world, 0);
        // While there is none, and as the next one begins.
        for _ in 0..200 {
            say(&mut world, 0);
            world.step();
        }
        check_order_of_author(&mut world);
    }
}

#[test]
fn a_room_is_not_read_anew_when_what_was_missing_has_come_meanwhile() {
    let mut world = gathered(12, 2, &[0, 1]);
    world.pass(seconds(16));
    // Meanwhile its node compares the room, in which nothing was said for long. What is said before that has come is told first.
    world.nodes[0].cut_until = world.clock + Duration::from_millis(4_400);
    world.pass(seconds(4));
    let before = ["XRANGE", "XREVRANGE"].map(|command| world.engine.count(command));
    say(&mut world, 1);
    world.pass(seconds(2));
    let after = ["XRANGE", "XREVRANGE"].map(|command| world.engine.count(command));
    assert_eq!(after[0] - before[0], 1, "what is missing is asked for");
    assert_eq!(after[1] - before[1], 0, "the room is not read");
    let room = &world.members[0].rooms[ROOM];
    assert_eq!((room.seen.len(), room.losses), (1, 0));
}

#[test]
fn an_engine_that_is_too_old_is_refused_with_the_reason() {
    let mut world = World::new(13, 0, 0);
    world.engine.set_version("6.0.16");
    let node = world.start_node();
    world.nodes.push(node);
    world.pass(seconds(3));
    let log = world.nodes[0].sockets.log.concat();
    assert!(
        log.contains("engine_refused") && log.contains("6.0.16"),
        "{log}"
    );
    let (head, _) = world.get(0, "/readyz");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
}
