//! The ceiling over all buffers together, with the server as a value: connections with the largest buffers go first.

use sarang::config::Config;
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::world::{World, text_frame};

const CEILING: usize = 256 * 1024;

fn world() -> World {
    World::new(Config {
        buffer_bytes: CEILING,
        messages_per_second: 0,
        ..Config::default()
    })
}

fn chat(room: &str, bytes: usize) -> Value {
    json!({"type": "chat", "room": room, "content": "x".repeat(bytes)})
}

fn close_codes(messages: &[Value]) -> Vec<u64> {
    messages
        .iter()
        .filter_map(|message| message["close"].as_u64())
        .collect()
}

/// A member whose socket accepts nothing from now on.
fn stalled(world: &mut World, name: &str, room: &str) -> ConnectionId {
    let id = world.member(name, room);
    world.wire(id).room = 0;
    id
}

/// A connection that has sent part of a request or message and stays silent.
fn half_sent(world: &mut World, bytes: &[u8]) -> ConnectionId {
    let id = world.connect();
    world.receive(id, bytes);
    world.turn();
    id
}

fn half_body() -> Vec<u8> {
    half_request("Content-Length: 65000\r\n\r\n")
}

fn half_request(end_of_head: &str) -> Vec<u8> {
    let mut request = format!("POST /rooms HTTP/1.1\r\nHost: x\r\n{end_of_head}").into_bytes();
    request.resize(60_000, b' ');
    request
}

#[test]
fn above_the_ceiling_the_largest_outboxes_go_first_and_small_ones_stay() {
    let mut world = world();
    let speaker = world.member("말하는이", "넓은방");
    world.say(speaker, json!({"type": "join", "room": "좁은방"}));
    world.turn();
    let slowest = stalled(&mut world, "느림보", "넓은방");
    let slow = stalled(&mut world, "조금느림", "좁은방");
    for _ in 0..20 {
        world.say(speaker, chat("좁은방", 1_000));
        world.turn();
    }
    for _ in 0..CEILING / 4_000 {
        world.say(speaker, chat("넓은방", 4_000));
        world.turn();
        assert!(
            world.server.buffered_bytes() <= CEILING + 8 * 1024,
            "{} bytes are held",
            world.server.buffered_bytes()
        );
    }
    world.wire(slowest).room = usize::MAX;
    world.wire(slow).room = usize::MAX;
    world.server.writable(slowest, world.now);
    world.server.writable(slow, world.now);
    world.turn();
    assert_eq!(close_codes(&world.told(slowest)), [4008]);
    let told = world.told(slow);
    assert_eq!(close_codes(&told), [0u64; 0]);
    let chats = told.iter().filter(|message| message["type"] == "chat");
    assert_eq!(chats.count(), 20);
    let told = world.told(speaker);
    assert_eq!(close_codes(&told), [0u64; 0]);
}

#[test]
fn a_buffer_shared_by_many_connections_is_counted_once() {
    let mut world = world();
    let speaker = world.member("말하는이", "방");
    let readers: Vec<_> = (0..50)
        .map(|n| stalled(&mut world, &format!("독자{n}"), "방"))
        .collect();
    let before = world.server.buffered_bytes();
    for _ in 0..10 {
        world.say(speaker, chat("방", 4_000));
        world.turn();
    }
    // 2 MB are queued, but they take 40 kB of memory plus 50 queues.
    let held = world.server.buffered_bytes() - before;
    assert!((40_000..CEILING).contains(&held), "{held} bytes are held");
    for reader in readers {
        world.wire(reader).room = usize::MAX;
        world.server.writable(reader, world.now);
    }
    world.turn();
    assert_eq!(world.server.buffered_bytes(), 0);
}

#[test]
fn above_the_ceiling_half_received_bodies_are_refused_with_503() {
    let mut world = world();
    let in_english = |half: Vec<u8>| {
        let after_request_line = half.windows(2).position(|two| two == b"\r\n");
        let at = after_request_line.expect("a head") + 2;
        let mut half = half;
        half.splice(at..at, *b"Accept-Language: en\r\n");
        half
    };
    let half_chunk = half_request("Transfer-Encoding: chunked\r\n\r\nfde8\r\n");
    let ids: Vec<_> = [half_body(), half_chunk]
        .map(in_english)
        .iter()
        .cycle()
        .take(8)
        .map(|half| half_sent(&mut world, half))
        .collect();
    assert!(world.server.buffered_bytes() <= CEILING);
    let mut refused = 0;
    for id in ids {
        let answer = String::from_utf8_lossy(&world.wire(id).bytes).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 503 "),
            "{answer}"
        );
        assert!(answer.is_ascii(), "in English: {answer}");
        refused += usize::from(!answer.is_empty());
    }
    assert!((4..8).contains(&refused), "{refused} were refused");
    // A connection with little buffered is served.
    let healthy = half_sent(&mut world, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(world.wire(healthy).bytes.starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn above_the_ceiling_half_received_messages_are_closed_with_4008() {
    let mut world = world();
    let frame = text_frame(&"x".repeat(60_000));
    let ids: Vec<_> = (0..8)
        .map(|n| {
            let id = world.guest(&format!("반쪽{n}"));
            world.receive(id, &frame[..50_000]);
            world.turn();
            id
        })
        .collect();
    assert!(world.server.buffered_bytes() <= CEILING);
    let told: Vec<_> = ids.into_iter().map(|id| world.told(id)).collect();
    let closed = told.iter().filter(|told| close_codes(told) == [4008]);
    assert!((4..8).contains(&closed.count()), "{told:?}");
}

#[test]
fn above_the_ceiling_a_subscriber_keeps_the_latest_values_and_its_stream() {
    let mut world = world();
    let subscribers: Vec<_> = (0..4)
        .map(|_| {
            let id = half_sent(&mut world, b"GET /sse/business HTTP/1.1\r\nHost: x\r\n\r\n");
            world.wire(id).room = 0;
            id
        })
        .collect();
    let publisher = world.connect();
    let figures = json!({"note": "x".repeat(4_000)}).to_string();
    let post = format!(
        "POST /events/business HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{figures}",
        figures.len()
    );
    for _ in 0..100 {
        world.receive(publisher, post.as_bytes());
        world.turn();
        assert!(world.server.buffered_bytes() <= CEILING + 8 * 1024);
    }
    for id in subscribers {
        assert!(world.is_open(id));
        world.wire(id).room = usize::MAX;
        world.server.writable(id, world.now);
        world.turn();
        let text = String::from_utf8_lossy(&world.wire(id).bytes).into_owned();
        assert!(
            text.contains("id: 100\n") || text.contains("id: 101\n"),
            "{text}"
        );
    }
}

#[test]
fn nothing_is_held_when_every_client_has_gone() {
    let mut world = world();
    let speaker = world.member("말하는이", "방");
    let mut ids = vec![
        speaker,
        stalled(&mut world, "느림보", "방"),
        half_sent(&mut world, &half_body()),
    ];
    let writer = world.guest("반쪽");
    let frame = text_frame(&"x".repeat(60_000));
    world.receive(writer, &frame[..50_000]);
    ids.push(writer);
    world.say(speaker, chat("방", 4_000));
    world.turn();
    assert!(world.server.buffered_bytes() > 100_000);
    for id in ids {
        world.server.closed(id, world.now);
    }
    world.turn();
    assert_eq!(world.server.buffered_bytes(), 0);
}
