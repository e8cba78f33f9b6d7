//! Nobody's requests make a turn of the loop long: what is left is done in the next, after a look at the others.
#![forbid(unsafe_code)]

mod virtual_world;

use sarang::config::{
    Config, OUTBOX_HIGH_WATER_BYTES, REPLIES_PER_TURN_BYTES, WRITES_PER_TURN_BYTES,
};
use sarang::domain::ids::ConnectionId;
use serde_json::json;
use virtual_world::{World, frame};

/// What a turn may send to those who ask for much: the budgets, and what was under way when they were reached.
const TURN_BYTES_MAX: usize =
    REPLIES_PER_TURN_BYTES + WRITES_PER_TURN_BYTES + 2 * OUTBOX_HIGH_WATER_BYTES;

const GET: &str = "GET /static/chat.js HTTP/1.1\r\nHost: x\r\n\r\n";

/// Bytes a client was sent since it last looked.
fn take(world: &mut World, id: ConnectionId) -> usize {
    std::mem::take(&mut world.wire(id).bytes).len()
}

/// Has the server do a turn after the other while it has more to do: what the clients were sent in each.
fn turns(world: &mut World, ids: &[ConnectionId]) -> Vec<Vec<usize>> {
    let mut turns = Vec::new();
    loop {
        let has_more = world.half_turn();
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
    world.server.receive(asker, GET.as_bytes(), world.now);
    world.turn();
    let one = take(&mut world, asker);
    world
        .server
        .receive(asker, GET.repeat(200).as_bytes(), world.now);
    let turns = turns(&mut world, &[asker]);
    let most = turns.iter().map(|turn| turn[0]).max();
    assert!(most < Some(TURN_BYTES_MAX), "{most:?} in one turn");
    assert_eq!(turns.iter().map(|turn| turn[0]).sum::<usize>(), 200 * one);
}

#[test]
fn many_who_ask_for_much_take_turns() {
    let mut world = World::new(Config::default());
    let askers: Vec<ConnectionId> = (0..20).map(|_| world.connect()).collect();
    for asker in &askers {
        world
            .server
            .receive(*asker, GET.repeat(50).as_bytes(), world.now);
    }
    // What was read at once is answered up to the high-water mark of each; the shell reads no more than that.
    world.half_turn();
    for asker in &askers {
        take(&mut world, *asker);
    }
    let turns = turns(&mut world, &askers);
    for turn in &turns {
        let sent: usize = turn.iter().sum();
        assert!(sent < TURN_BYTES_MAX, "{sent} in one turn");
    }
    // Nobody has everything while somebody has nothing.
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
    world.server.receive(asker, GET.as_bytes(), world.now);
    world.turn();
    let one = take(&mut world, asker);
    world
        .server
        .receive(asker, GET.repeat(100).as_bytes(), world.now);
    world.server.end_of_stream(asker, world.now);
    let mut sent = 0;
    while world.server.flush(&mut world.wires, world.now) {
        sent += take(&mut world, asker);
        while world.server.poll_readable().is_some() {}
    }
    sent += take(&mut world, asker);
    assert_eq!(sent, 100 * one);
    world.turn();
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
    world
        .server
        .receive(asker, login.repeat(3).as_bytes(), world.now);
    for n in 1..=3 {
        let check = world.server.poll_job();
        let check = check.unwrap_or_else(|| panic!("check {n} is not asked for"));
        world.server.finished(check.job, false, world.now);
        // Else the loop would rest until somebody else wakes it.
        assert_eq!(world.half_turn(), n < 3, "after {n}");
    }
    let told = String::from_utf8_lossy(&world.wire(asker).bytes).into_owned();
    assert_eq!(told.matches("HTTP/1.1 401 ").count(), 3, "{told}");
}

#[test]
fn what_is_said_meanwhile_comes_in_the_same_turn() {
    let mut world = World::new(Config::default());
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.told(a);
    let asker = world.connect();
    world
        .server
        .receive(asker, GET.repeat(200).as_bytes(), world.now);
    world.half_turn();
    for n in 0..5 {
        let content = n.to_string();
        world.say(
            a,
            json!({"type": "chat", "room": "r", "content": content, "id": content}),
        );
        assert!(world.half_turn(), "the asker has everything");
        assert!(!world.server.is_turn_full(), "nobody else would be read");
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
    for (is_upgraded, bytes) in [(true, &pings), (false, &pages)] {
        let mut world = World::new(Config::default());
        let ids: Vec<ConnectionId> = (0..10)
            .map(|n| match is_upgraded {
                true => world.guest(&n.to_string()),
                false => world.connect(),
            })
            .collect();
        let read = ids.iter().take_while(|id| {
            world.server.receive(**id, bytes, world.now);
            !world.server.is_turn_full()
        });
        assert_eq!(read.count(), 2, "{is_upgraded}");
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
        assert!(world.half_turn(), "everything was written at once");
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
