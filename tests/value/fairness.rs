//! No client's requests make a turn of the loop long: what is left is done in the next turn, after other connections.

use std::time::Duration;

use sarang::config::{
    Config, DEADLINES_PER_TURN, HEAD_TIMEOUT, OUTBOX_HIGH_WATER_BYTES, REPLIES_PER_TURN_BYTES,
    WRITES_PER_TURN_BYTES,
};
use sarang::domain::ids::ConnectionId;
use serde_json::json;

use crate::world::{World, frame, opening, text_frame};

/// What a turn may send to clients that ask for much: the budgets, and what was under way when they were reached.
const TURN_BYTES_MAX: usize =
    REPLIES_PER_TURN_BYTES + WRITES_PER_TURN_BYTES + 2 * OUTBOX_HIGH_WATER_BYTES;

const GET: &str = "GET /static/chat.js HTTP/1.1\r\nHost: x\r\n\r\n";

/// The number of bytes a client was sent since the last call.
fn take(world: &mut World, id: ConnectionId) -> usize {
    std::mem::take(&mut world.wire(id).bytes).len()
}

/// Runs turns while the server has more to do: what the clients were sent in each.
fn turns(world: &mut World, ids: &[ConnectionId]) -> Vec<Vec<usize>> {
    let mut turns = Vec::new();
    loop {
        let has_more = world.one_turn();
        turns.push(ids.iter().map(|id| take(world, *id)).collect());
        if !has_more {
            return turns;
        }
    }
}

#[test]
fn many_requests_of_one_connection_are_answered_over_many_turns() {
    let mut world = World::new(Config::default());
    let asker = world.connect();
    world.receive(asker, GET.as_bytes());
    world.turn();
    let one = take(&mut world, asker);
    world.receive(asker, GET.repeat(200).as_bytes());
    let turns = turns(&mut world, &[asker]);
    let most = turns.iter().map(|turn| turn[0]).max();
    assert!(most < Some(TURN_BYTES_MAX), "{most:?} in one turn");
    assert_eq!(turns.iter().map(|turn| turn[0]).sum::<usize>(), 200 * one);
}

#[test]
fn many_clients_that_ask_for_much_take_turns() {
    let mut world = World::new(Config::default());
    let askers: Vec<ConnectionId> = (0..20).map(|_| world.connect()).collect();
    for asker in &askers {
        world.receive(*asker, GET.repeat(50).as_bytes());
    }
    // What was read at once is answered up to each connection's high-water mark; the shell reads no more than that.
    world.one_turn();
    for asker in &askers {
        take(&mut world, *asker);
    }
    let turns = turns(&mut world, &askers);
    for turn in &turns {
        let sent: usize = turn.iter().sum();
        assert!(sent < TURN_BYTES_MAX, "{sent} in one turn");
    }
    // No client has all its answers while another has none.
    let firsts: Vec<_> = (0..askers.len())
        .map(|n| turns.iter().position(|turn| turn[n] > 0))
        .collect();
    let last = turns
        .iter()
        .position(|turn| turn == turns.last().expect("a turn"));
    assert!(
        firsts.iter().all(|first| first.is_some() && *first < last),
        "{firsts:?}"
    );
}

#[test]
fn requests_left_for_the_next_turn_are_answered_although_the_peer_has_ended_its_half() {
    let mut world = World::new(Config::default());
    let asker = world.connect();
    world.receive(asker, GET.as_bytes());
    world.turn();
    let one = take(&mut world, asker);
    world.receive(asker, GET.repeat(100).as_bytes());
    world.end(asker);
    let mut sent = 0;
    while world.one_turn() {
        sent += take(&mut world, asker);
    }
    assert_eq!(sent, 100 * one);
    assert!(!world.is_open(asker));
}

#[test]
fn a_password_behind_another_is_checked_although_nothing_else_happens() {
    let mut world = World::new(Config::default());
    let asker = world.connect();
    let form = r#"{"username":"admin","password":"wrong"}"#;
    let length = form.len();
    let login =
        format!("POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{form}");
    world.receive(asker, login.repeat(3).as_bytes());
    assert!(world.one_turn(), "a password is to be checked");
    for n in 1..=3 {
        world.check_passwords(false);
        // Otherwise the loop would sleep until another event wakes it.
        assert_eq!(world.one_turn(), n < 3, "after {n}");
    }
    let told = String::from_utf8_lossy(&world.wire(asker).bytes).into_owned();
    assert_eq!(told.matches("HTTP/1.1 401 ").count(), 3, "{told}");
}

#[test]
fn messages_sent_meanwhile_come_in_the_same_turn() {
    let mut world = World::new(Config::default());
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.told(a);
    let asker = world.connect();
    world.receive(asker, GET.repeat(200).as_bytes());
    world.one_turn();
    for n in 0..5 {
        let content = n.to_string();
        world.say(
            a,
            json!({"type": "chat", "room": "r", "content": content, "id": content}),
        );
        assert!(world.one_turn(), "the asker has everything");
        assert_eq!(world.told(b)[0]["content"], content);
        let kinds: Vec<_> = world
            .told(a)
            .iter()
            .map(|told| told["type"].clone())
            .collect();
        assert_eq!(kinds, ["chat", "ack"]);
    }
}

#[test]
fn pongs_and_pages_count_as_answers() {
    let pings = frame(0x89, &[7; 125]).repeat(400);
    let pages = GET.repeat(2).into_bytes();
    let mut world = World::new(Config::default());
    let asker = world.connect();
    world.receive(asker, &pages);
    world.turn();
    let askers = REPLIES_PER_TURN_BYTES / take(&mut world, asker) + 1;
    for (is_upgraded, bytes, expected) in [(true, &pings, 17), (false, &pages, askers)] {
        let mut world = World::new(Config::default());
        let ids: Vec<ConnectionId> = (0..40)
            .map(|n| match is_upgraded {
                true => world.guest(&n.to_string()),
                false => world.connect(),
            })
            .collect();
        for id in &ids {
            world.receive(*id, bytes);
        }
        world.one_turn();
        let is_read = |id: &&ConnectionId| world.wire(**id).sent.len() < bytes.len();
        let read = ids.iter().filter(is_read).count();
        // As many connections as exceed the budget, when each sends a little.
        assert_eq!(read, expected, "{is_upgraded}");
    }
}

#[test]
fn long_answers_are_written_over_many_turns_and_short_ones_at_once() {
    let mut world = World::new(Config {
        messages_per_second: 0,
        ..Config::default()
    });
    let talker = world.member("talker", "long");
    // Six bytes each in JSON: 1.2 MB of history.
    let content = "\u{1}".repeat(4096);
    for _ in 0..50 {
        world.say(
            talker,
            json!({"type": "chat", "room": "long", "content": content}),
        );
        world.turn();
        world.told(talker);
    }
    let readers: Vec<ConnectionId> = (0..20).map(|n| world.guest(&n.to_string())).collect();
    for reader in &readers {
        world.wire(*reader).room = 0;
        world.say(*reader, json!({"type": "join", "room": "long"}));
        world.turn();
    }
    world.told(talker);
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.told(a);
    for reader in &readers {
        world.wire(*reader).room = usize::MAX;
        world.server.writable(*reader, world.now);
    }
    let mut sent = 0;
    for n in 0..5 {
        let content = n.to_string();
        world.say(
            a,
            json!({"type": "chat", "room": "r", "content": content, "id": content}),
        );
        assert!(world.one_turn(), "everything was written at once");
        assert_eq!(world.told(b)[0]["content"], content);
        assert_eq!(world.told(a).len(), 2, "a chat and its acknowledgement");
        let bytes: usize = readers.iter().map(|reader| take(&mut world, *reader)).sum();
        // One history may be under way when the budget is reached.
        assert!(
            bytes < TURN_BYTES_MAX + 51 * 6 * 4096,
            "{bytes} in one turn"
        );
        sent += bytes;
    }
    world.turn();
    let rest: usize = readers.iter().map(|reader| take(&mut world, *reader)).sum();
    assert!(sent + rest > 20 * 50 * 6 * 4096);
}

#[test]
fn many_newcomers_with_long_histories_do_not_delay_other_members() {
    let mut world = World::new(Config {
        messages_per_second: 0,
        ..Config::default()
    });
    let talker = world.member("talker", "long");
    for _ in 0..50 {
        let content = "x".repeat(4_000);
        world.say(
            talker,
            json!({"type": "chat", "room": "long", "content": content}),
        );
        world.turn();
    }
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.told(a);
    let join = text_frame(&json!({"type": "join", "room": "long"}).to_string());
    let guests: Vec<ConnectionId> = (0..250)
        .map(|n| world.guest(&format!("guest-{n}")))
        .collect();
    for (n, guest) in guests.into_iter().enumerate() {
        world.receive(guest, &join);
        // Some do not wait for the response to their handshake.
        let handshake = opening(&format!("hasty-{n}"));
        let hasty = world.connect();
        world.receive(hasty, &[handshake.as_bytes(), &join].concat());
    }
    for n in 0..5 {
        world.say(a, json!({"type": "chat", "room": "r", "content": "hi"}));
        assert!(world.one_turn(), "all newcomers were answered");
        assert_eq!(world.told(b).len(), 1, "{n}");
    }
}

/// The longest of some turns, while `work` goes on between them.
fn longest_turn(world: &mut World, turns: usize, mut work: impl FnMut(&mut World)) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..turns {
        work(world);
        let began = world.now.monotonic;
        world.one_turn();
        longest = longest.max(world.now.monotonic - began);
    }
    longest
}

#[test]
fn sends_that_take_long_do_not_make_a_turn_long() {
    let mut config = Config {
        messages_per_second: 0,
        outbox_bytes: 64 * 1024 * 1024,
        ..Config::default()
    };
    config.rooms.room_users = 1_000;
    let mut world = World::new(config);
    let readers: Vec<ConnectionId> = (0..500)
        .map(|n| world.member(&n.to_string(), "flooded"))
        .collect();
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.turn();
    for reader in &readers {
        // Tiny windows: a little of each batch is accepted at once, the rest waits.
        world.wire(*reader).room = 1_000;
        world.told(*reader);
    }
    world.told(a);
    world.wires.send_time = Duration::from_micros(500);
    let content = "x".repeat(4_000);
    let mut waited = 0;
    let longest = longest_turn(&mut world, 300, |world| {
        let flood = json!({"type": "chat", "room": "flooded", "content": content});
        world.say(readers[0], flood);
        if waited % 10 == 0 {
            world.say(a, json!({"type": "chat", "room": "r", "content": "hi"}));
        }
        waited += 1;
        let reader = readers[waited % readers.len()];
        world.wire(reader).room += 2_000;
        world.server.writable(reader, world.now);
    });
    assert!(longest <= Duration::from_millis(10), "{longest:?}");
    // Members of a small room get their messages in the meantime.
    assert_eq!(world.told(b).len(), 30);
}

#[test]
fn slow_consumers_that_take_a_little_at_once_do_not_make_a_turn_long() {
    let mut config = Config {
        messages_per_second: 0,
        outbox_bytes: 20_000,
        ..Config::default()
    };
    config.rooms.room_users = 1_000;
    let mut world = World::new(config);
    let talker = world.member("talker", "flooded");
    let readers: Vec<ConnectionId> = (0..500)
        .map(|n| world.member(&n.to_string(), "flooded"))
        .collect();
    world.turn();
    for reader in &readers {
        world.told(*reader);
        world.wire(*reader).room = 0;
    }
    let flood = json!({"type": "chat", "room": "flooded", "content": "x".repeat(4_000)});
    for _ in 0..4 {
        world.say(talker, flood.clone());
        world.turn();
    }
    // Each takes a little, and is still over its limit.
    for reader in &readers {
        world.wire(*reader).room = 100;
        world.server.writable(*reader, world.now);
    }
    (0..2).for_each(|_| world.say(talker, flood.clone()));
    world.wires.send_time = Duration::from_micros(500);
    let longest = longest_turn(&mut world, 1_000, |_| {});
    assert!(longest <= Duration::from_millis(10), "{longest:?}");
    for reader in &readers {
        world.wire(*reader).room = usize::MAX;
        world.server.writable(*reader, world.now);
    }
    world.turn();
    for reader in readers {
        assert_eq!(world.told(reader).last(), Some(&json!({"close": 4008})));
    }
}

#[test]
fn many_members_that_leave_at_once_do_not_make_a_turn_long() {
    let mut world = World::new(Config::default());
    let ids: Vec<ConnectionId> = (0..1_000).map(|_| world.connect()).collect();
    for id in &ids {
        world.end(*id);
    }
    world.wires.close_time = Duration::from_micros(20);
    let longest = longest_turn(&mut world, 1, |_| {});
    assert!(longest <= Duration::from_millis(10), "{longest:?}");
    world.turn();
    assert!(ids.iter().all(|id| !world.is_open(*id)));
    assert_eq!(world.server.connection_count(), 0);
}

#[test]
fn deadlines_of_many_do_not_make_a_turn_long_and_none_is_forgotten() {
    let mut world = World::new(Config::default());
    let silent: Vec<ConnectionId> = (0..3_000).map(|_| world.connect()).collect();
    world.now.monotonic += HEAD_TIMEOUT * 2;
    world.wires.send_time = Duration::from_micros(1);
    let before = world.server.connection_count();
    world.one_turn();
    let closed = before - world.server.connection_count();
    assert_eq!(closed, DEADLINES_PER_TURN);
    assert!(world.server.next_timeout() <= Some(world.now.monotonic));
    world.pass(Duration::from_secs(1));
    assert!(silent.iter().all(|id| !world.is_open(*id)));
    assert!(world.server.is_idle());
}
