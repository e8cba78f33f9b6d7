//! Whispers and bursts do not stall the loop: whatever one connection sends at once, and however many connections a user
//! has, a turn stays short, and everything arrives once and in order.

use std::time::Duration;

use sarang::config::{COMMANDS_PER_TURN, Config, SENDS_PER_TURN};
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::world::{World, frame, text_frame};

/// The longest turn in these tests, in charged time.
const TURN_MAX: Duration = Duration::from_millis(10);

fn no_limits() -> Config {
    Config {
        messages_per_second: 0,
        connections_per_user: usize::MAX,
        ..Config::default()
    }
}

fn whisper(to: &str, content: &str) -> Value {
    json!({"type": "whisper", "to": to, "content": content})
}

/// So many connections of one user, each in so many rooms.
fn connections(world: &mut World, name: &str, count: usize, rooms: usize) -> Vec<ConnectionId> {
    let join = |n| text_frame(&json!({"type": "join", "room": format!("r{n}")}).to_string());
    let joins: Vec<u8> = (0..rooms).flat_map(join).collect();
    let ids: Vec<ConnectionId> = (0..count)
        .map(|_| {
            let id = world.guest(name);
            world.receive(id, &joins);
            id
        })
        .collect();
    world.turn();
    for id in &ids {
        assert_eq!(world.told(*id).len(), rooms);
    }
    ids
}

/// The contents of the whispers a connection was sent since the last call.
fn heard(world: &mut World, id: ConnectionId) -> Vec<String> {
    let told = world.told(id);
    let contents = told
        .iter()
        .inspect(|message| assert_eq!(message["type"], "whisper", "{message}"))
        .map(|message| message["content"].as_str().expect("is text").to_owned());
    contents.collect()
}

/// Turns until there is nothing more to do: how long the longest was, and what each connection was sent in each.
fn turns(world: &mut World, mut look: impl FnMut(&mut World)) -> Duration {
    let mut longest = Duration::ZERO;
    loop {
        let began = world.now.monotonic;
        let has_more = world.one_turn();
        longest = longest.max(world.now.monotonic - began);
        look(world);
        if !has_more {
            return longest;
        }
    }
}

#[test]
fn whispers_to_a_user_with_8_000_connections_in_60_rooms_reach_each_once_in_short_turns() {
    let mut world = World::new(no_limits());
    let target = connections(&mut world, "lee", 8_000, 60);
    let senders: Vec<ConnectionId> = (0..20).map(|n| world.guest(&format!("kim{n}"))).collect();
    let (a, b) = (world.member("a", "pair"), world.member("b", "pair"));
    world.told(a);
    world.wires.send_time = Duration::from_micros(50);
    for (n, sender) in senders.iter().enumerate() {
        let burst =
            (0..3).flat_map(|k| text_frame(&whisper("lee", &format!("{n}:{k}")).to_string()));
        let burst: Vec<u8> = burst.collect();
        world.receive(*sender, &burst);
    }
    world.say(a, json!({"type": "chat", "room": "pair", "content": "hi"}));
    let mut sends = world.wires.sends;
    let longest = turns(&mut world, |world| {
        // No work is done for a receiver before it is its turn.
        let queued = |id: &&ConnectionId| world.server.queued_bytes(**id) > 0;
        assert_eq!(target.iter().filter(queued).count(), 0);
        assert!(world.wires.sends - sends <= SENDS_PER_TURN);
        sends = world.wires.sends;
    });
    assert!(longest <= TURN_MAX, "{longest:?}");
    assert_eq!(world.told(b).len(), 1);
    let expected: Vec<String> = (0..20)
        .flat_map(|n| (0..3).map(move |k| format!("{n}:{k}")))
        .collect();
    for id in target {
        assert_eq!(heard(&mut world, id), expected);
    }
    for (n, sender) in senders.into_iter().enumerate() {
        assert_eq!(heard(&mut world, sender), expected[3 * n..][..3]);
    }
}

#[test]
fn a_healthy_pair_is_served_in_each_turn_of_a_long_whisper() {
    let mut world = World::new(no_limits());
    let target = connections(&mut world, "lee", 2_000, 0);
    let sender = world.guest("kim");
    let (a, b) = (world.member("a", "pair"), world.member("b", "pair"));
    world.told(a);
    world.wires.send_time = Duration::from_micros(50);
    world.say(sender, whisper("lee", "long"));
    let mut said = 0;
    while world.one_turn() {
        world.say(a, json!({"type": "chat", "room": "pair", "content": "hi"}));
        world.one_turn();
        said += 1;
        assert_eq!(world.told(b).len(), 1, "after {said}");
    }
    assert!(said > 10, "{said}");
    for id in target {
        assert_eq!(heard(&mut world, id), ["long"]);
    }
}

#[test]
fn connections_that_open_and_close_in_the_middle_of_a_whisper_get_what_is_theirs() {
    let mut world = World::new(no_limits());
    let mut target = connections(&mut world, "lee", 600, 0);
    let sender = world.guest("kim");
    world.wires.send_time = Duration::from_micros(50);
    world.say(sender, whisper("lee", "one"));
    assert!(world.one_turn());
    // They open during the pass: the handshake is answered in its turns.
    let late = world.connect();
    world.receive(late, crate::world::opening("lee").as_bytes());
    let closing = [target.remove(0), target.pop().expect("is there")];
    for id in closing {
        world.receive(id, &frame(0x88, &1000_u16.to_be_bytes()));
    }
    assert!(world.one_turn());
    world.say(sender, whisper("lee", "two"));
    world.turn();
    for id in target {
        assert_eq!(heard(&mut world, id), ["one", "two"]);
    }
    for id in closing {
        let told = world.told(id);
        assert_eq!(told[0]["content"], "one");
        assert_eq!(told[1..], [json!({"close": 1000})]);
    }
    let answer = String::from_utf8_lossy(&world.wire(late).bytes).into_owned();
    assert!(answer.contains("\"two\"") && !answer.contains("\"one\""));
}

#[test]
fn an_acknowledgement_comes_behind_the_whispers_before_it() {
    let mut world = World::new(no_limits());
    let tabs = connections(&mut world, "kim", 600, 0);
    world.wires.send_time = Duration::from_micros(50);
    for (n, by) in [tabs[0], tabs[599], tabs[300]].into_iter().enumerate() {
        world.say(
            by,
            json!({"type": "whisper", "to": "kim", "content": n.to_string(), "id": n.to_string()}),
        );
    }
    world.turn();
    for (n, by) in [tabs[0], tabs[599], tabs[300]].into_iter().enumerate() {
        let told = world.told(by);
        let content = n.to_string();
        let own = told.iter().position(|one| one["content"] == content);
        let ack = told.iter().position(|one| one["type"] == "ack");
        assert_eq!(own.map(|place| place + 1), ack, "{told:?}");
        assert_eq!(told.len(), 4);
    }
    let contents = heard(&mut world, tabs[1]);
    assert_eq!(contents, ["0", "1", "2"]);
}

#[test]
fn who_floods_a_user_with_whispers_is_not_read_until_they_are_sent_and_none_is_lost() {
    const COUNT: usize = 400;
    let mut world = World::new(no_limits());
    let target = connections(&mut world, "lee", 600, 0);
    let sender = world.guest("kim");
    world.wires.send_time = Duration::from_micros(50);
    let content = |n: usize| format!("{n:0>3000}");
    let flood: Vec<u8> = (0..COUNT)
        .flat_map(|n| text_frame(&whisper("lee", &content(n)).to_string()))
        .collect();
    world.receive(sender, &flood);
    let mut unread = Vec::new();
    let longest = turns(&mut world, |world| {
        unread.push(world.wire(sender).sent.len())
    });
    assert!(longest <= TURN_MAX, "{longest:?}");
    // It was read in several steps, while the first whispers were sent.
    assert!(unread[10] > flood.len() / 2, "{:?}", &unread[..20]);
    let expected: Vec<String> = (0..COUNT).map(content).collect();
    for id in target.into_iter().chain([sender]) {
        assert!(heard(&mut world, id) == expected);
    }
    assert_eq!(world.server.buffered_bytes(), 0);
}

/// What each connection is answered in each turn, in frames or responses, until everything is.
fn served(world: &mut World, ids: &[ConnectionId], mark: &str) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    turns(world, |world| {
        let count = |id: &ConnectionId| {
            let bytes = std::mem::take(&mut world.wire(*id).bytes);
            String::from_utf8_lossy(&bytes).matches(mark).count()
        };
        all.push(ids.iter().map(count).collect());
    });
    all
}

#[test]
fn what_is_sent_at_once_is_served_over_many_turns_in_fair_shares() {
    const COUNT: usize = 1_000;
    let pings = frame(0x89, b"!").repeat(COUNT);
    let gets = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(COUNT);
    for (bytes, mark) in [(&pings[..], "!"), (gets.as_bytes(), "HTTP/1.1 200")] {
        let mut world = World::new(no_limits());
        let ids: Vec<ConnectionId> = ["a", "b", "c"]
            .into_iter()
            .map(|name| match mark {
                "!" => world.guest(name),
                _ => world.connect(),
            })
            .collect();
        for id in &ids {
            world.receive(*id, bytes);
        }
        let all = served(&mut world, &ids, mark);
        let mut sums = vec![0; ids.len()];
        for turn in &all {
            for (sum, count) in sums.iter_mut().zip(turn) {
                assert!(*count <= COMMANDS_PER_TURN, "{turn:?}");
                *sum += count;
            }
            let (least, most) = (sums.iter().min(), sums.iter().max());
            let spread = most.zip(least).map(|(most, least)| most - least);
            assert!(spread <= Some(2 * COMMANDS_PER_TURN), "{sums:?}");
        }
        assert_eq!(sums, [COUNT; 3]);
        assert_eq!(world.server.buffered_bytes(), 0);
    }
}

#[test]
fn a_message_behind_a_burst_of_another_connection_is_carried_out_in_the_same_turn() {
    let mut world = World::new(no_limits());
    let (a, b) = (world.member("a", "pair"), world.member("b", "pair"));
    world.told(a);
    let busy = world.guest("busy");
    world.receive(busy, &frame(0x89, b"!").repeat(5_000));
    world.one_turn();
    for n in 0..10 {
        world.say(
            a,
            json!({"type": "chat", "room": "pair", "content": n.to_string()}),
        );
        assert!(world.one_turn(), "there is more of the burst");
        assert_eq!(world.told(b).len(), 1);
    }
}

#[test]
fn requests_that_wait_for_the_next_turn_are_not_taken_for_an_idle_connection() {
    let mut world = World::new(Config::default());
    let asker = world.connect();
    world.receive(
        asker,
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
            .repeat(1_000)
            .as_bytes(),
    );
    world.one_turn();
    // Longer than the first request may take.
    world.now.monotonic += Duration::from_secs(59);
    let mut answers = 0;
    for turn in served(&mut world, &[asker], "HTTP/1.1 200") {
        answers += turn[0];
    }
    assert_eq!(answers, 1_000);
}
