//! Whole conversations with the server as a value: no sockets, virtual time.

use std::time::Duration;

use sarang::config::{
    CLOSE_TIMEOUT, Config, HEAD_TIMEOUT, LINGER_TIMEOUT, PONG_TIMEOUT, SENDS_PER_TURN,
};
use serde_json::{Value, json};

use crate::world::{World, frame, read_frames};

/// The default of `--ping-interval`.
const PING_INTERVAL: Duration = Duration::from_secs(25);

const SECOND: Duration = Duration::from_secs(1);

fn chat(content: &str) -> Value {
    json!({"type": "chat", "room": "r", "content": content})
}

fn contents(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .filter(|message| message["type"] == "chat")
        .filter_map(|message| message["content"].as_str())
        .collect()
}

fn no_limits() -> Config {
    let mut config = Config {
        messages_per_second: 0,
        ..Config::default()
    };
    config.rooms.room_users = 1_000_000;
    config
}

#[test]
fn messages_of_one_turn_reach_a_member_in_one_write_and_in_order() {
    let mut world = World::new(no_limits());
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.told(a);
    for n in 0..10 {
        world.say_at_once(if n % 2 == 0 { a } else { b }, chat(&n.to_string()));
    }
    assert!(
        world.wire(a).bytes.is_empty(),
        "nothing leaves before the turn ends"
    );
    world.turn();
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(contents(&world.told(a)), expected);
    assert_eq!(contents(&world.told(b)), expected);
}

#[test]
fn a_message_is_encoded_exactly_as_the_contract_says() {
    let mut world = World::new(Config::default());
    let a = world.member("홍길동", "tech");
    world.say(
        a,
        json!({"type": "chat", "room": "tech", "content": "안녕하세요!", "id": "1"}),
    );
    world.turn();
    let told = world.told(a);
    let position = told[0]["position"]
        .as_str()
        .expect("has a position")
        .to_owned();
    assert!(position.ends_with(":1"), "{position}");
    assert_eq!(
        told,
        [
            json!({"type": "chat", "room": "tech", "username": "홍길동", "content": "안녕하세요!",
                   "timestamp": "2024-01-15T10:30:00Z", "position": position}),
            json!({"type": "ack", "id": "1", "position": position}),
        ]
    );
}

#[test]
fn a_member_that_joins_in_the_middle_of_a_turn_gets_each_message_once() {
    let mut world = World::new(no_limits());
    let a = world.member("a", "r");
    let b = world.guest("b");
    world.say_at_once(a, chat("before"));
    world.say_at_once(b, json!({"type": "join", "room": "r"}));
    world.say_at_once(a, chat("after"));
    world.turn();
    let told = world.told(b);
    assert_eq!(told[0]["type"], "room_joined");
    assert_eq!(told[0]["history"][0]["content"], "before");
    assert_eq!(contents(&told), ["after"]);
}

#[test]
fn a_member_that_leaves_in_the_middle_of_a_turn_gets_what_was_said_before_and_nothing_after() {
    let mut world = World::new(no_limits());
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.say_at_once(a, chat("before"));
    world.say_at_once(b, json!({"type": "leave", "room": "r"}));
    world.say_at_once(a, chat("after"));
    world.turn();
    let told = world.told(b);
    assert_eq!(contents(&told), ["before"]);
    assert_eq!(
        told.last(),
        Some(&json!({"type": "room_left", "room": "r"}))
    );
    let told = world.told(a);
    let kinds: Vec<&str> = told
        .iter()
        .filter_map(|message| message["type"].as_str())
        .collect();
    assert_eq!(kinds, ["user_joined", "chat", "user_left", "chat"]);
}

#[test]
fn a_whisper_comes_after_the_chat_that_was_said_before_it() {
    let mut world = World::new(no_limits());
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.say(a, chat("first"));
    world.say(
        a,
        json!({"type": "whisper", "to": "b", "content": "second"}),
    );
    world.say(a, chat("third"));
    world.turn();
    let told = world.told(b);
    let told: Vec<&str> = told
        .iter()
        .filter_map(|message| message["content"].as_str())
        .collect();
    assert_eq!(told, ["first", "second", "third"]);
}

/// A fan-out larger than one turn's budget, with joins, leaves, exits and messages in the middle of it, at random:
/// every member gets exactly what was sent while it was in, in order.
#[test]
fn a_sliced_fan_out_loses_and_doubles_nothing_while_members_come_and_go() {
    for seed in 1..=3_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let mut world = World::new(no_limits());
        let count = SENDS_PER_TURN + SENDS_PER_TURN / 2;
        // Each member with the messages it should get.
        let mut members: Vec<_> = (0..count)
            .map(|n| (world.member(&format!("u{n}"), "r"), Vec::new()))
            .collect();
        let mut said = 0;
        for _ in 0..400 {
            match random(10) {
                0..4 => {
                    said += 1;
                    world.say(members[0].0, chat(&said.to_string()));
                    members
                        .iter_mut()
                        .for_each(|(_, expected)| expected.push(said.to_string()));
                }
                4 => {
                    let id = world.guest(&format!("late{said}-{}", members.len()));
                    world.say(id, json!({"type": "join", "room": "r"}));
                    // Newcomers are read last: messages that others send from here on come after.
                    world.one_turn();
                    members.push((id, Vec::new()));
                }
                5 => {
                    let (id, expected) = members.swap_remove(1 + random(members.len() - 1));
                    world.say(id, json!({"type": "leave", "room": "r"}));
                    world.turn();
                    assert_eq!(contents(&world.told(id)), expected);
                }
                6 => {
                    let (id, _) = members.swap_remove(1 + random(members.len() - 1));
                    world.server.closed(id, world.now);
                }
                7 => {
                    // This member is brought up to date in the middle of the fan-out.
                    let (id, _) = members[random(members.len())];
                    world.say(id, json!({"type": "room_list"}));
                }
                _ => _ = world.one_turn(),
            }
        }
        world.turn();
        for (id, expected) in &members {
            assert_eq!(contents(&world.told(*id)), *expected, "seed {seed}");
        }
    }
}

#[test]
fn a_slow_consumer_is_closed_with_4008_after_the_frame_under_way_and_the_others_lose_nothing() {
    let config = Config {
        outbox_bytes: 10_000,
        ..no_limits()
    };
    let mut world = World::new(config);
    let (a, slow) = (world.member("a", "r"), world.member("slow", "r"));
    world.wire(slow).room = 100;
    let mut expected = Vec::new();
    for n in 0..200 {
        expected.push(format!("{n:050}"));
        world.say(a, chat(&expected[n]));
        world.turn();
    }
    assert_eq!(contents(&world.told(a)), expected);
    world.wire(slow).room = usize::MAX;
    world.server.writable(slow, world.now);
    world.turn();
    let told = world.told(slow);
    assert_eq!(contents(&told), expected[..1]);
    assert_eq!(told.last(), Some(&json!({"close": 4008})));
    world.pass(Config::default().presence_grace);
    assert_eq!(
        world
            .server
            .rooms()
            .get_room_info("r")
            .map(|(info, _)| info.users),
        Ok(1)
    );
}

#[test]
fn a_member_that_takes_what_came_in_one_turn_is_not_slow_however_much_it_was() {
    let mut world = World::new(Config {
        outbox_bytes: 10_000,
        ..no_limits()
    });
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.told(a);
    for n in 0..30 {
        world.say(b, chat(&format!("{n:0>500}")));
    }
    // A direct message comes after the room's messages, so all of it waits in a queue until the turn ends.
    world.say(b, json!({"type": "whisper", "to": "a", "content": "psst"}));
    world.turn();
    for peer in [a, b] {
        let told = world.told(peer);
        assert_eq!(told.len(), 31, "{told:?}");
        assert_eq!(told[30]["content"], "psst");
    }
}

#[test]
fn a_silent_peer_is_pinged_and_one_that_vanished_leaves_its_rooms_within_a_minute() {
    let mut world = World::new(Config::default());
    let (alive, gone) = (world.member("alive", "r"), world.member("gone", "r"));
    world.told(alive);
    world.pass(PING_INTERVAL + SECOND);
    assert_eq!(world.told(alive), [json!({"ping": true})]);
    assert_eq!(world.told(gone), [json!({"ping": true})]);
    world.receive(alive, &frame(0x8a, b""));
    world.pass(PONG_TIMEOUT);
    assert!(!world.is_open(gone));
    assert_eq!(world.told(alive), [json!(null); 0]);
    let grace = Config::default().presence_grace;
    world.pass(grace);
    assert_eq!(
        world.told(alive),
        [json!({"type": "user_left", "room": "r", "username": "gone"})]
    );
    assert!(PING_INTERVAL + PONG_TIMEOUT + SECOND + grace < Duration::from_secs(60));
}

#[test]
fn a_talking_peer_is_never_pinged() {
    let mut world = World::new(Config::default());
    let a = world.guest("a");
    for _ in 0..30 {
        world.pass(PING_INTERVAL / 3);
        world.say(a, json!({"type": "room_list"}));
        world.turn();
    }
    assert!(
        world
            .told(a)
            .iter()
            .all(|message| message["type"] == "room_list")
    );
}

#[test]
fn a_peer_that_does_not_answer_a_close_frame_is_dropped() {
    let mut world = World::new(Config::default());
    let a = world.guest("a");
    world.receive(a, &frame(0x82, b"binary"));
    world.turn();
    assert_eq!(world.told(a), [json!({"close": 1003})]);
    world.pass(CLOSE_TIMEOUT + SECOND);
    assert!(world.wire(a).is_shut);
    world.pass(LINGER_TIMEOUT + SECOND);
    assert!(!world.is_open(a));
}

#[test]
fn a_head_that_comes_too_slowly_is_answered_408_however_the_bytes_trickle() {
    let mut world = World::new(Config::default());
    let a = world.connect();
    for byte in b"GET / HTTP/1" {
        world.receive(a, &[*byte]);
        world.pass(HEAD_TIMEOUT / 11);
    }
    assert!(world.wire(a).bytes.starts_with(b"HTTP/1.1 408 "));
    world.pass(LINGER_TIMEOUT + SECOND);
    assert!(!world.is_open(a));
}

#[test]
fn a_silent_connection_and_one_between_requests_are_closed_without_a_response() {
    let config = Config::default();
    let keep_alive = config.keep_alive.expect("has a limit");
    let mut world = World::new(config);
    let silent = world.connect();
    let idle = world.connect();
    world.receive(idle, b"GET /rooms HTTP/1.1\r\nHost: x\r\n\r\n");
    world.turn();
    world.wire(idle).bytes.clear();
    world.pass(HEAD_TIMEOUT + SECOND);
    assert!(!world.is_open(silent));
    assert!(world.is_open(idle));
    world.pass(keep_alive);
    assert!(!world.is_open(idle));
}

#[test]
fn pipelined_requests_wait_while_their_responses_do_and_none_is_lost() {
    let mut world = World::new(Config::default());
    let a = world.connect();
    world.wire(a).room = 0;
    let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    world.receive(a, &requests);
    world.turn();
    world.receive(a, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    world.turn();
    assert!(!world.wire(a).sent.is_empty());
    let mut responses = 0;
    while responses < 101 {
        let wire = world.wire(a);
        wire.room = 50_000;
        let bytes = std::mem::take(&mut wire.bytes);
        responses += String::from_utf8_lossy(&bytes)
            .matches("HTTP/1.1 200 OK")
            .count();
        world.server.writable(a, world.now);
        world.turn();
    }
    assert_eq!(responses, 101);
    assert!(world.wire(a).sent.is_empty());
}

#[test]
fn above_200_users_presence_is_a_number_at_most_once_a_second() {
    let mut world = World::new(no_limits());
    let first = world.member("first", "r");
    for n in 1..200 {
        world.member(&format!("u{n}"), "r");
    }
    assert_eq!(
        world
            .told(first)
            .iter()
            .filter(|message| message["type"] == "user_joined")
            .count(),
        199
    );
    for n in 0..50 {
        let id = world.guest(&format!("v{n}"));
        world.say(id, json!({"type": "join", "room": "r"}));
        world.turn();
        let joined = &world.told(id)[0];
        assert_eq!(joined["online_count"], 201 + n);
        assert_eq!(joined["online_users"].as_array().map(Vec::len), Some(200));
    }
    assert_eq!(
        world.told(first),
        [json!({"type": "room_users", "room": "r", "count": 201})]
    );
    world.pass(SECOND);
    assert_eq!(
        world.told(first),
        [json!({"type": "room_users", "room": "r", "count": 250})]
    );
    world.pass(SECOND * 3);
    assert_eq!(world.told(first), [] as [Value; 0]);
}

#[test]
fn a_drained_server_sends_1001_after_the_queued_messages_and_accepts_no_new_connection() {
    let mut world = World::new(Config::default());
    let a = world.member("a", "r");
    world.say_at_once(a, chat("last words"));
    world.server.drain(world.now);
    world.turn();
    let told = world.told(a);
    assert_eq!(contents(&told), ["last words"]);
    assert_eq!(told.last(), Some(&json!({"close": 1001})));
    assert!(
        world
            .server
            .accept([127, 0, 0, 1].into(), world.now)
            .is_none()
    );
    world.receive(a, &frame(0x88, &1001_u16.to_be_bytes()));
    world.turn();
    assert!(world.wire(a).is_shut);
    world.end(a);
    world.turn();
    assert_eq!(world.server.connection_count(), 0);
}

#[test]
fn a_handshake_that_was_under_way_when_the_server_drained_ends_with_1001() {
    let mut world = World::new(Config::default());
    let (chat, stream) = (world.connect(), world.connect());
    let requests = [
        "GET /ws?username=a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /sse/all HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for (id, request) in [chat, stream].into_iter().zip(requests) {
        world.receive(id, &request.as_bytes()[..9]);
    }
    world.turn();
    world.server.drain(world.now);
    world.turn();
    for (id, request) in [chat, stream].into_iter().zip(requests) {
        world.receive(id, &request.as_bytes()[9..]);
    }
    world.turn();
    let opened = &world.wire(chat).bytes;
    let end = opened.windows(4).position(|four| four == b"\r\n\r\n");
    let (told, _) = read_frames(&opened[end.expect("has answered") + 4..]);
    assert_eq!(told, [json!({"close": 1001})]);
    assert!(world.wire(stream).bytes.ends_with(b"0\r\n\r\n"));
    assert!(world.wire(stream).is_shut);
    world.pass(Duration::from_secs(6));
    assert_eq!(world.server.connection_count(), 0);
}

#[test]
fn at_the_limit_of_rooms_the_longest_unused_empty_one_makes_way() {
    let mut config = no_limits();
    config.rooms.rooms = 2;
    let mut world = World::new(config);
    let a = world.guest("a");
    for room in ["one", "two"] {
        world.say(a, json!({"type": "join", "room": room}));
    }
    world.say(a, json!({"type": "join", "room": "three"}));
    world.say(a, json!({"type": "leave", "room": "one"}));
    world.say(a, json!({"type": "join", "room": "three"}));
    world.turn();
    let told = world.told(a);
    assert_eq!(told[2]["code"], "too_many_rooms");
    assert_eq!(told[4]["room"], "three");
    let names: Vec<_> = world
        .server
        .rooms()
        .list()
        .into_iter()
        .map(|room| room.name.to_string())
        .collect();
    assert_eq!(names, ["three", "two"]);
}

#[test]
fn connections_over_the_limit_of_an_address_are_refused_and_loopback_is_exempt() {
    let mut world = World::new(Config {
        connections_per_address: 2,
        ..Config::default()
    });
    let address = [192, 0, 2, 1].into();
    let first = world
        .server
        .accept(address, world.now)
        .expect("is the first");
    assert!(world.server.accept(address, world.now).is_some());
    assert!(world.server.accept(address, world.now).is_none());
    assert!((0..10).all(|_| {
        world
            .server
            .accept([127, 0, 0, 1].into(), world.now)
            .is_some()
    }));
    world.server.closed(first, world.now);
    world.turn();
    assert!(world.server.accept(address, world.now).is_some());
}
