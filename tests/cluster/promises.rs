//! What one server promises holds over several: each promise by itself.

use std::time::Duration;

use sarang::config::ENGINE_KEPT_SECS;
use serde_json::json;

use crate::ledger::{check_acknowledged, check_order, check_presence};
use crate::nodes::{config, key};
use crate::world::World;

const ROOM: &str = "tech";

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Three nodes with a member each, who are in one room.
fn three() -> World {
    let mut world = World::new(1, 3, 3);
    for number in 0..3 {
        world.enter(number, number, ROOM);
    }
    world.pass(seconds(1));
    world
}

fn say(world: &mut World, member: usize) {
    world.act(member, |member, node, clock| member.say(ROOM, node, clock));
}

/// What a member was told, by code.
pub fn errors(world: &World, member: usize, code: &str) -> usize {
    world.members[member].errors.get(code).copied().unwrap_or(0)
}

#[test]
fn members_at_different_nodes_hear_each_other_in_one_order_and_see_each_other() {
    let mut world = three();
    for round in 0..50 {
        say(&mut world, round % 3);
        if round % 7 == 0 {
            world.step();
        }
    }
    world.until("all is acknowledged", World::is_settled);
    world.pass(seconds(1));
    for member in &world.members {
        assert_eq!(member.rooms[ROOM].seen.len(), 50, "{}", member.name);
    }
    check_order(&world.members);
    assert_eq!(check_acknowledged(&world.members), []);
    check_presence(&world.members);
}

#[test]
fn a_member_resumes_at_another_node_and_an_id_sent_again_there_is_where_it_was() {
    let mut world = three();
    say(&mut world, 0);
    world.until("is acknowledged", World::is_settled);
    let first = world.members[0].acked["m0-1"].2.clone();
    let (number, id) = world.members[0].at.expect("is connected");
    world.nodes[number].hang_up(id);
    world.members[0].lose();
    say(&mut world, 1);
    say(&mut world, 2);
    world.until("is acknowledged", |world| {
        world.members[1..]
            .iter()
            .all(|member| member.unacked.is_empty())
    });
    world.enter(0, 2, ROOM);
    assert_eq!(world.members[0].rooms[ROOM].losses, 0);
    assert_eq!(world.members[0].rooms[ROOM].seen.len(), 3);
    let again = json!({"type": "chat", "room": ROOM, "content": "m0 says 1", "id": "m0-1"});
    let entry = (ROOM.to_owned(), "m0 says 1".to_owned(), world.clock);
    world.members[0].unacked.insert("m0-1".into(), entry);
    world.act(0, |member, node, _| member.send_raw(node, &again));
    world.until("is acknowledged again", World::is_settled);
    assert_eq!(world.members[0].acked["m0-1"].2, first);
    let other = json!({"type": "chat", "room": ROOM, "content": "other", "id": "m0-1"});
    world.act(0, |member, node, _| member.send_raw(node, &other));
    world.until("is refused", |world| errors(world, 0, "id_reused") == 1);
    check_order(&world.members);
}

#[test]
fn the_limit_of_a_room_is_exact_however_many_come_at_once() {
    let mut config = config();
    config.rooms.room_users = 10;
    let mut world = World::with(config, 3, 3, 30);
    for number in 0..30 {
        let clock = world.clock;
        let node = number % 3;
        world.members[number].connect(node, &mut world.nodes[node], clock);
    }
    world.pass(seconds(1));
    for number in 0..30 {
        world.act(number, |member, node, clock| member.join(ROOM, node, clock));
    }
    world.pass(seconds(2));
    let is_in = |number: &usize| world.members[*number].rooms[ROOM].is_in;
    assert_eq!((0..30).filter(is_in).count(), 10);
    let refused: usize = (0..30)
        .map(|number| errors(&world, number, "room_full"))
        .sum();
    assert_eq!(refused, 20);
}

#[test]
fn people_of_a_node_that_is_killed_have_left_within_20_seconds() {
    let mut world = three();
    let mut dead = std::mem::replace(
        &mut world.nodes[2],
        crate::nodes::Node::start(config(), 99, world.clock),
    );
    dead.kill(&mut world.engine);
    world.members[2].lose();
    let begun = world.clock;
    world.until("has left", |world| {
        world.members[..2]
            .iter()
            .all(|member| !member.rooms[ROOM].online.contains("m2"))
    });
    assert!(
        world.clock - begun < seconds(20),
        "after {:?}",
        world.clock - begun
    );
    let (_, room) = world.get(0, "/rooms/tech");
    assert_eq!(room["online_count"], 2);
}

#[test]
fn whoever_is_back_at_another_node_in_time_has_never_left() {
    let mut world = three();
    let clock = world.clock;
    let now = world.nodes[0].now(clock);
    world.nodes[0].server.stop(now);
    world.until("is closed", |world| world.members[0].at.is_none());
    assert_eq!(world.members[0].closed, Some(1001));
    world.enter(0, 1, ROOM);
    world.until("the node is over", |world| world.nodes[0].server.is_over());
    world.pass(seconds(30));
    let told = |member: &crate::member::Member| member.leavings.get("m0").copied().unwrap_or(0);
    assert_eq!(world.members[1..].iter().map(told).sum::<usize>(), 0);
    check_presence(&world.members);
}

#[test]
fn a_node_that_stops_closes_its_sockets_one_after_the_other_within_10_seconds() {
    for count in [1, 60, 700] {
        let mut world = World::new(1, 1, count);
        let clock = world.clock;
        for member in &mut world.members {
            member.connect(0, &mut world.nodes[0], clock);
        }
        let all_open = |world: &World| world.members.iter().all(|member| member.is_open);
        world.until("all are connected", all_open);
        let closed = |world: &World| {
            let members = world.members.iter();
            members.filter(|one| one.closed == Some(1001)).count()
        };
        let began = world.clock;
        let now = world.nodes[0].now(began);
        world.nodes[0].server.stop(now);
        for before in 0..count {
            world.until("another one is closed", |world| closed(world) > before);
            assert_eq!(closed(&world), before + 1, "several were closed at once");
        }
        assert!(world.clock - began <= seconds(10));
    }
}

#[test]
fn a_whisper_finds_its_target_at_any_node_and_nobody_where_there_is_none() {
    let mut world = three();
    world.act(0, |member, node, _| member.whisper("m2", node));
    world.until("has come", |world| !world.members[2].whispers.is_empty());
    world.until("is echoed", |world| !world.members[0].whispers.is_empty());
    assert!(world.members[1].whispers.is_empty());
    world.act(0, |member, node, _| member.whisper("nobody", node));
    world.until("is refused", |world| {
        errors(world, 0, "user_not_found") == 1
    });
    // A node that is stopped beyond its lease is nowhere to whisper to.
    world.nodes[2].stopped_until = world.clock + seconds(60);
    world.pass(seconds(20));
    world.act(0, |member, node, _| member.whisper("m2", node));
    world.until("is refused", |world| {
        errors(world, 0, "user_not_found") == 2
    });
}

/// A token of somebody, as another back end signs it.
pub fn token(world: &World, name: &str) -> String {
    let at = world.clock.as_secs();
    key().sign(&json!({"sub": name, "iat": at, "exp": at + 600, "jti": name}))
}

#[test]
fn a_ticket_opens_one_connection_at_any_node_and_a_logout_ends_it_everywhere() {
    let mut world = three();
    let token = token(&world, "boss");
    let (head, ticket) = world.post(0, "/auth/ws-ticket", &token, "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let ticket = ticket["ticket"].as_str().expect("is one").to_owned();
    let clock = world.clock;
    for (number, node) in [(0, 1), (1, 2)] {
        world.members[number].name = format!("boss&ticket={ticket}");
        world.members[number].connect(node, &mut world.nodes[node], clock);
        world.pass(seconds(1));
    }
    assert_eq!(
        (world.members[0].closed, world.members[1].closed),
        (None, Some(4001))
    );
    let (head, _) = world.post(2, "/auth/logout", &token, "");
    assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
    let begun = world.clock;
    world.until("is closed", |world| world.members[0].closed == Some(4002));
    assert!(world.clock - begun < seconds(1));
    let (head, _) = world.post(0, "/auth/ws-ticket", &token, "");
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
}

#[test]
fn a_guest_makes_way_for_who_signs_in_while_the_node_of_the_guest_has_no_connection() {
    let mut world = World::new(9, 2, 2);
    let clock = world.clock;
    world.members[0].name = "boss".into();
    world.members[0].connect(0, &mut world.nodes[0], clock);
    world.pass(seconds(1));
    let clock = world.clock;
    world.nodes[0].cut(&mut world.engine, clock);
    world.nodes[0].cut_until = clock + seconds(3);
    let token = token(&world, "boss");
    let (_, ticket) = world.post(1, "/auth/ws-ticket", &token, "");
    let ticket = ticket["ticket"].as_str().expect("is one").to_owned();
    world.members[1].name = format!("boss&ticket={ticket}");
    let clock = world.clock;
    world.members[1].connect(1, &mut world.nodes[1], clock);
    world.pass(seconds(1));
    assert_eq!(world.members[1].closed, None);
    assert_eq!(world.members[0].closed, None, "its node cannot know");
    world.until("makes way", |world| world.members[0].closed == Some(4001));
    assert_eq!(world.members[1].closed, None);
}

#[test]
fn a_name_that_a_guest_holds_is_nobody_elses_at_any_node_until_the_grace_is_over() {
    let mut world = World::new(4, 2, 3);
    let names = [
        "ann&key=0123456789abcdef",
        "ann",
        "ann&key=fedcba9876543210",
    ];
    for (member, name) in world.members.iter_mut().zip(names) {
        member.name = name.into();
    }
    let connect = |world: &mut World, number: usize, node: usize| {
        let clock = world.clock;
        world.members[number].closed = None;
        world.members[number].connect(node, &mut world.nodes[node], clock);
        world.pass(seconds(1));
        world.members[number].closed
    };
    assert_eq!(connect(&mut world, 0, 0), None);
    assert_eq!(connect(&mut world, 1, 1), Some(4005));
    assert_eq!(connect(&mut world, 2, 1), Some(4005));
    let (node, id) = world.members[0].at.expect("is connected");
    world.nodes[node].hang_up(id);
    world.members[0].lose();
    world.pass(seconds(1));
    assert_eq!(connect(&mut world, 1, 1), Some(4005));
    // The holder may come back anywhere.
    assert_eq!(connect(&mut world, 0, 1), None);
    let (node, id) = world.members[0].at.expect("is connected");
    world.nodes[node].hang_up(id);
    world.members[0].lose();
    world.pass(seconds(5));
    assert_eq!(connect(&mut world, 2, 0), None);
}

#[test]
fn all_rooms_are_listed_and_read_at_every_node() {
    let mut world = three();
    say(&mut world, 0);
    world.until("is acknowledged", World::is_settled);
    let (head, _) = world.post(1, "/rooms", "x", r#"{"name":"large","max_users":9}"#);
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    let (head, _) = world.post(2, "/rooms", "x", r#"{"name":"large"}"#);
    assert!(head.starts_with("HTTP/1.1 409 "), "{head}");
    world.pass(seconds(2));
    for node in 0..3 {
        let (_, list) = world.get(node, "/rooms");
        let rooms = list["rooms"].as_array().expect("is a list");
        let shown: Vec<_> = rooms
            .iter()
            .map(|room| (&room["name"], &room["users"], &room["messages"]))
            .collect();
        assert_eq!(json!(shown), json!([["large", 0, 0], ["tech", 3, 1]]));
        let (_, history) = world.get(node, "/rooms/large/history");
        assert_eq!(history["messages"], json!([]));
        let (head, _) = world.get(node, "/rooms/none");
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    }
}

#[test]
fn without_the_engine_everything_is_refused_soon_and_nobody_is_disconnected() {
    let mut world = three();
    world.paused_until = world.clock + seconds(20);
    world.pass(seconds(11));
    say(&mut world, 0);
    world.until("is refused", |world| {
        errors(world, 0, "backend_unavailable") > 0
    });
    let (head, _) = world.get(0, "/readyz");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let (head, _) = world.get(0, "/livez");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    world.pass(seconds(30));
    assert!(world.members.iter().all(|member| member.at.is_some()));
    world.act(0, |member, node, clock| member.say_again(node, clock));
    world.until("is acknowledged", World::is_settled);
    check_order(&world.members);
    check_presence(&world.members);
}

#[test]
fn an_engine_that_is_emptied_loses_nothing_silently() {
    let mut world = three();
    say(&mut world, 0);
    world.until("is acknowledged", World::is_settled);
    world.engine.flush_all();
    world.until("all are told", |world| {
        world
            .members
            .iter()
            .all(|member| member.rooms[ROOM].losses == 1)
    });
    world.pass(seconds(20));
    say(&mut world, 1);
    world.until("is acknowledged", World::is_settled);
    check_order(&world.members);
    check_presence(&world.members);
}

#[test]
fn a_message_is_acknowledged_when_enough_replicas_have_it() {
    let mut config = config();
    config.cluster_wait = 1;
    let mut world = World::with(config, 6, 2, 2);
    world.enter(0, 0, ROOM);
    world.enter(1, 1, ROOM);
    say(&mut world, 0);
    world.until("is refused", |world| {
        errors(world, 0, "backend_unavailable") == 1
    });
    world.engine.set_replicas(1);
    world.pass(seconds(9));
    world.act(0, |member, node, clock| member.say_again(node, clock));
    world.until("is acknowledged", World::is_settled);
    check_order(&world.members);
}

#[test]
fn an_engine_that_would_forget_or_is_none_is_refused_with_the_reason() {
    for (policy, reason) in [
        ("allkeys-lru", "noeviction"),
        ("volatile-ttl", "noeviction"),
    ] {
        let mut world = World::new(7, 0, 0);
        world.engine.set_policy(policy);
        let node = world.start_node();
        world.nodes.push(node);
        world.pass(seconds(3));
        let log = world.nodes[0].sockets.log.concat();
        assert!(
            log.contains("engine_refused") && log.contains(reason),
            "{log}"
        );
        let (head, _) = world.get(0, "/readyz");
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    }
}

/// The ids of the events that a stream has been sent.
fn ids(text: &str) -> Vec<u64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("id: "));
    lines.map(|id| id.parse().expect("is a number")).collect()
}

#[test]
fn events_have_one_sequence_at_all_nodes_whichever_of_them_samples() {
    let mut world = World::new(8, 3, 0);
    let mut streams = Vec::new();
    for node in 0..3 {
        let clock = world.clock;
        let id = world.nodes[node].connect(clock).expect("is accepted");
        world.nodes[node].send(id, b"GET /sse/all HTTP/1.1\r\nHost: x\r\n\r\n");
        streams.push(id);
    }
    world.pass(seconds(10));
    let (head, _) = world.post(1, "/events/deploy", "x", r#"{"version":1}"#);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // The node that samples is stopped beyond its lease: another one goes on.
    let leader = (0..3)
        .find(|node| world.nodes[*node].samples())
        .expect("one samples");
    world.nodes[leader].stopped_until = world.clock + seconds(25);
    world.pass(seconds(60));
    let mut all = Vec::new();
    for (node, id) in streams.into_iter().enumerate() {
        let text = world.nodes[node]
            .sockets
            .get(id)
            .map(|socket| socket.bytes.clone());
        let text = String::from_utf8_lossy(&text.expect("is open")).into_owned();
        let ids = ids(&text);
        assert!(ids.len() > 40, "{}", ids.len());
        assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
        assert!(text.contains("event: deploy"));
        all.push(ids.last().copied());
    }
    assert!(all.iter().all(|last| *last == all[0]), "{all:?}");
}

#[test]
fn no_key_of_the_engine_is_without_an_end_but_those_of_which_there_is_one() {
    let mut world = three();
    say(&mut world, 0);
    world.act(0, |member, node, _| member.whisper("m2", node));
    world.until("is acknowledged", World::is_settled);
    world.pass(seconds(10));
    let lasting: Vec<String> = world
        .engine
        .keys(world.clock)
        .into_iter()
        .filter(|(_, ttl)| ttl.is_none())
        .map(|(key, _)| key)
        .collect();
    for key in lasting {
        assert!(
            !key.contains('{') || key.ends_with("}us"),
            "{key} stays for good"
        );
    }
}

#[test]
fn what_people_hold_is_renewed_bit_by_bit_within_an_hour() {
    let mut world = World::new(1, 1, 4);
    for number in 0..4 {
        world.enter(number, 0, &format!("room {number}"));
    }
    let hour = seconds(3_600);
    world.pass(hour + seconds(30));
    let left = |kind: &str| -> Vec<Duration> {
        let keys = world.engine.keys(world.clock).into_iter();
        let of_kind = keys.filter(|(key, _)| key.contains(kind));
        of_kind.filter_map(|(_, left)| left).collect()
    };
    let kept = seconds(ENGINE_KEPT_SECS);
    for kind in ["}u:", "}p:", "}s:"] {
        let left = left(kind);
        assert_eq!(left.len(), 4, "{kind}");
        assert!(
            left.iter().all(|left| *left + hour + seconds(60) > kept),
            "{kind} {left:?}"
        );
        let first = left[0];
        assert!(
            left.iter().any(|left| left.abs_diff(first) > seconds(2)),
            "{kind} {left:?}"
        );
    }
}
