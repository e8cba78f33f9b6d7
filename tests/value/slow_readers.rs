//! Answers to peers that read a little now and then, and peers that read nothing at all, on virtual time.

use std::time::Duration;

use sarang::config::{ANSWER_STALL_TIMEOUT, Config, HEAD_TIMEOUT, LINGER_TIMEOUT};
use sarang::domain::ids::ConnectionId;
use serde_json::json;

use crate::world::{World, frame, text_frame};

const SECOND: Duration = Duration::from_secs(1);
/// The default of `--keep-alive`.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// A connection whose socket accepts so many bytes, with requests that were sent at once.
fn asking(world: &mut World, requests: &str, room: usize) -> ConnectionId {
    let id = world.connect();
    world.wire(id).room = room;
    world.receive(id, requests.as_bytes());
    world.turn();
    id
}

/// Reads a little each time until nothing more comes: all that was sent.
fn read_slowly(world: &mut World, id: ConnectionId, pause: Duration) -> String {
    let mut taken = Vec::new();
    while world.is_open(id) && !world.wire(id).bytes.is_empty() {
        taken.append(&mut world.wire(id).bytes);
        world.pass(pause);
        if world.is_open(id) {
            world.wire(id).room = 1_000;
            world.server.writable(id, world.now);
            world.turn();
        }
    }
    String::from_utf8(taken).expect("is UTF-8")
}

/// Fails unless these are so many complete answers.
fn assert_whole(mut text: &str, count: usize) {
    for n in 0..count {
        let (head, rest) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 "), "answer {n}: {head}");
        let mut lines = head.lines();
        let length = lines.find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.expect("a length").parse().expect("a number");
        assert!(
            rest.len() >= length,
            "answer {n} was cut: {} of {length}",
            rest.len()
        );
        text = &rest[length..];
    }
    assert_eq!(text, "", "more came");
}

#[test]
fn an_answer_that_ends_the_connection_reaches_a_slow_reader() {
    let mut world = World::new(Config::default());
    let get = "GET /static/chat.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let id = asking(&mut world, get, 1_000);
    let text = read_slowly(&mut world, id, 10 * SECOND);
    assert_whole(&text, 1);
    // A client that has read everything gets a moment to close.
    assert!(!world.is_open(id) || world.wire(id).is_shut);
    world.pass(LINGER_TIMEOUT + SECOND);
    assert!(!world.is_open(id));
}

#[test]
fn an_answer_that_takes_longer_than_the_idle_timeout_reaches_a_slow_reader() {
    let mut world = World::new(Config::default());
    let get = "GET /static/chat.js HTTP/1.1\r\nHost: x\r\n\r\n";
    let id = asking(&mut world, get, 1_000);
    let text = read_slowly(&mut world, id, 10 * SECOND);
    assert_whole(&text, 1);
    world.pass(KEEP_ALIVE + SECOND);
    assert!(!world.is_open(id));
}

#[test]
fn every_answer_to_pipelined_requests_reaches_a_slow_reader() {
    let mut world = World::new(Config::default());
    let get = "GET /static/chat.js HTTP/1.1\r\nHost: x\r\n\r\n";
    let id = asking(&mut world, &get.repeat(10), 1_000);
    let text = read_slowly(&mut world, id, SECOND);
    assert_whole(&text, 10);
}

#[test]
fn a_client_that_reads_nothing_of_an_answer_is_dropped_whatever_it_sends() {
    for end in ["Connection: close\r\n", ""] {
        let mut world = World::new(Config::default());
        let get = format!("GET /static/chat.js HTTP/1.1\r\nHost: x\r\n{end}\r\n");
        let id = asking(&mut world, &get, 1_000);
        for _ in 0..(ANSWER_STALL_TIMEOUT + KEEP_ALIVE).as_secs() {
            if world.is_open(id) {
                world.receive(id, b"x");
            }
            world.pass(SECOND);
        }
        assert!(!world.is_open(id), "{end:?}");
    }
}

#[test]
fn a_client_that_reads_nothing_is_dropped_however_long_a_connection_may_be_idle() {
    for keep_alive in [Some(SECOND), Some(3_600 * SECOND), None] {
        let mut world = World::new(Config {
            keep_alive,
            ..Config::default()
        });
        let get = "GET /static/chat.js HTTP/1.1\r\nHost: x\r\n\r\n";
        let id = asking(&mut world, get, 1_000);
        world.pass(ANSWER_STALL_TIMEOUT + SECOND);
        assert!(!world.is_open(id), "{keep_alive:?}");
    }
}

#[test]
fn a_connection_waits_for_its_next_request_as_long_as_it_is_told_to() {
    let get = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for seconds in [1, 29, 30, 31, 75, 3_600] {
        let keep_alive = seconds * SECOND;
        let mut world = World::new(Config {
            keep_alive: Some(keep_alive),
            ..Config::default()
        });
        let id = world.connect();
        // Each request begins the wait anew.
        for _ in 0..3 {
            world.receive(id, get);
            world.pass(keep_alive - SECOND / 2);
            assert!(world.is_open(id), "{seconds}");
        }
        world.pass(SECOND);
        assert!(!world.is_open(id), "{seconds}");
    }
    let mut world = World::new(Config {
        keep_alive: None,
        ..Config::default()
    });
    let (id, silent) = (world.connect(), world.connect());
    world.receive(id, get);
    world.pass(100_000 * SECOND);
    assert!(world.is_open(id) && !world.is_open(silent));
    world.wire(id).bytes.clear();
    world.receive(id, get);
    world.turn();
    assert!(world.wire(id).bytes.starts_with(b"HTTP/1.1 200"));
    // What has begun must end in time all the same.
    world.receive(id, b"GET");
    world.pass(HEAD_TIMEOUT + LINGER_TIMEOUT + SECOND);
    assert!(!world.is_open(id));
}

#[test]
fn a_client_that_asks_for_more_without_reading_is_a_slow_consumer() {
    let room_list = text_frame(&json!({"type": "room_list"}).to_string());
    for request in [frame(0x89, b""), room_list] {
        let mut world = World::new(Config {
            outbox_bytes: 2_000,
            ..Config::default()
        });
        let (speaker, slow) = (world.member("a", "t"), world.member("b", "t"));
        world.wire(slow).room = 0;
        for _ in 0..50 {
            let content = "x".repeat(100);
            world.say(
                speaker,
                json!({"type": "chat", "room": "t", "content": content}),
            );
            world.receive(slow, &request);
            world.turn();
        }
        world.wire(slow).room = usize::MAX;
        world.server.writable(slow, world.now);
        world.turn();
        assert_eq!(world.told(slow), [json!({"close": 4008})]);
    }
}

#[test]
fn answers_that_wait_for_a_half_closed_websocket_still_go_out() {
    let mut world = World::new(Config {
        presence_grace: Duration::ZERO,
        ..Config::default()
    });
    let (asks, stays) = (world.member("asks", "r"), world.member("stays", "r"));
    world.told(asks);
    world.wire(asks).room = 0;
    world.say(asks, json!({"type": "room_list"}));
    world.turn();
    world.end(asks);
    world.turn();
    assert_eq!(
        world.told(stays).last().map(|last| &last["type"]),
        Some(&json!("user_left"))
    );
    assert!(world.is_open(asks));
    world.wire(asks).room = usize::MAX;
    world.server.writable(asks, world.now);
    world.one_turn();
    assert_eq!(world.told(asks)[0]["type"], "room_list");
    world.turn();
    assert!(!world.is_open(asks));
}

#[test]
fn what_comes_while_earlier_messages_wait_is_answered_after_them() {
    let mut world = World::new(Config::default());
    let number = |n: usize| format!("{n:0>100}").into_bytes();
    let pings: Vec<u8> = (0..2_000).flat_map(|n| frame(0x89, &number(n))).collect();
    let peers = ["kim", "lee", "park", "choi"].map(|name| world.guest(name));
    for id in peers {
        // The pongs are more than may wait, so the last pings are read later.
        world.wire(id).room = 0;
        world.receive(id, &pings);
    }
    world.turn();
    for id in peers {
        assert!(world.server.queued_bytes(id) > 0);
        world.wire(id).room = usize::MAX;
        world.server.writable(id, world.now);
    }
    world.one_turn();
    for id in peers {
        world.receive(id, &frame(0x89, &number(2_000)));
    }
    world.turn();
    let pongs: Vec<u8> = (0..=2_000)
        .flat_map(|n| [&[0x8a, 100], &number(n)[..]].concat())
        .collect();
    for id in peers {
        assert!(world.wire(id).bytes == pongs, "in another order");
    }
    assert_eq!(world.server.buffered_bytes(), 0);
}
