//! A wall clock that jumps, forwards and back: timestamps follow it, deadlines and orders do not, and revoked sessions
//! stay revoked.

use std::time::Duration;

use sarang::config::{Config, HEAD_TIMEOUT, PONG_TIMEOUT};
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::client::{bearer, enter, login, request, ticket};
use crate::world::{World, frame};

/// The default of `--ping-interval`.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// The default of `--heartbeat`.
const HEARTBEAT: Duration = Duration::from_secs(15);

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// 2024-01-15T10:30:00Z, the start of a world's clock.
const START: Duration = Duration::from_secs(1_705_314_600);

/// Clocks after a correct adjustment, after a wrong one, and on machines without a battery.
const CLOCKS: [Duration; 9] = [
    START,
    Duration::ZERO,
    Duration::from_secs(START.as_secs() + 3600),
    Duration::from_secs(START.as_secs() - 3600),
    Duration::from_secs(253_402_300_799),
    Duration::from_secs(1),
    Duration::from_secs(i64::MAX as u64),
    Duration::from_secs(START.as_secs() - 1),
    Duration::from_secs(u32::MAX as u64 + 1),
];

/// The subscriber of an event stream, without chunked framing.
fn subscribe(world: &mut World) -> ConnectionId {
    let id = world.connect();
    world.receive(id, b"GET /sse/all HTTP/1.0\r\n\r\n");
    world.pass(Duration::ZERO);
    id
}

/// The lines with this prefix that a subscriber was sent since the last call, without the prefix.
fn lines(world: &mut World, id: ConnectionId, beginning: &str) -> Vec<String> {
    let text = String::from_utf8(std::mem::take(&mut world.wire(id).bytes)).expect("is UTF-8");
    let lines = text.lines().filter_map(|line| line.strip_prefix(beginning));
    lines.map(str::to_owned).collect()
}

fn sequence(chat: &Value) -> u64 {
    let position = chat["position"].as_str().expect("a position");
    let (_, sequence) = position.split_once(':').expect("EPOCH:SEQ");
    sequence.parse().expect("EPOCH:SEQ")
}

#[test]
fn messages_sent_while_the_clock_jumps_are_in_order_and_carry_its_time() {
    let mut world = World::new(Config::default());
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.told(a);
    for (n, clock) in (1..).zip(CLOCKS.iter().cycle().take(100)) {
        world.now.unix = *clock;
        let chat =
            json!({"type": "chat", "room": "r", "content": n.to_string(), "id": n.to_string()});
        world.say(a, chat);
        world.turn();
        let told = world.told(b);
        let [chat] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(
            (sequence(chat), &chat["content"]),
            (n, &json!(n.to_string()))
        );
        let year = match clock.as_secs() {
            0 | 1 => "1970-01-01T00:00:0",
            4_294_967_296 => "2106-02-07T06:28:16Z",
            253_402_300_799.. => "9999-12-31T23:59:59Z",
            _ => "2024-01-15T",
        };
        let timestamp = chat["timestamp"].as_str().expect("a timestamp");
        assert!(timestamp.starts_with(year), "{timestamp}, not {year}");
        world.pass(SECOND / 10);
        world.told(a);
    }
}

#[test]
fn deadlines_do_not_move_when_the_clock_does() {
    for clock in CLOCKS {
        let mut world = World::new(Config::default());
        let slow = world.connect();
        let silent = world.guest("silent");
        world.receive(slow, b"GET / HT");
        world.now.unix = clock;
        world.pass(HEAD_TIMEOUT - SECOND);
        assert!(world.wire(slow).bytes.is_empty(), "{clock:?}");
        world.pass(2 * SECOND);
        let told = &world.wire(slow).bytes;
        assert!(told.starts_with(b"HTTP/1.1 408 "), "{clock:?}");
        world.pass(PING_INTERVAL - HEAD_TIMEOUT);
        assert_eq!(world.told(silent), [json!({"ping": true})], "{clock:?}");
        world.now.unix = START;
        world.pass(PONG_TIMEOUT + SECOND);
        assert!(!world.is_open(silent), "{clock:?}");
    }
}

#[test]
fn events_and_heartbeats_keep_their_cadence_when_the_clock_jumps() {
    let mut world = World::new(Config::default());
    let subscriber = subscribe(&mut world);
    lines(&mut world, subscriber, "id: ");
    let mut last = None;
    for clock in CLOCKS {
        world.now.unix = clock;
        world.pass(HEARTBEAT);
        let text = String::from_utf8(world.wire(subscriber).bytes.clone()).expect("is UTF-8");
        assert_eq!(text.matches(": heartbeat ").count(), 1, "{clock:?}: {text}");
        let systems = text.matches("event: system_metrics").count();
        assert_eq!(systems, HEARTBEAT.as_secs() as usize, "{clock:?}");
        for id in lines(&mut world, subscriber, "id: ") {
            let id: u64 = id.parse().expect("a number");
            assert!(
                last.is_none_or(|last| last + 1 == id),
                "{last:?} and then {id}"
            );
            last = Some(id);
        }
    }
}

#[test]
fn a_session_lasts_its_lifetime_whatever_the_clock_says() {
    for clock in CLOCKS {
        let mut world = World::new(Config::default());
        let token = login(&mut world);
        let ticket = ticket(&mut world, &token).1;
        let (session, welcome) = enter(&mut world, &ticket);
        assert_eq!(welcome["expires_at"], "2024-01-15T11:30:00Z");
        world.now.unix = clock;
        for _ in 0..178 {
            world.pass(20 * SECOND);
            world.say(session, json!({"type": "room_list"}));
            world.turn();
            let told = world.told(session);
            assert!(
                told.iter().all(|told| told["type"] == "room_list"),
                "{clock:?}: {told:?}"
            );
        }
        world.pass(41 * SECOND);
        let told = world.told(session);
        assert_eq!(told.last(), Some(&json!({"close": 4002})), "{clock:?}");
    }
}

#[test]
fn a_ticket_lasts_its_seconds_whatever_the_clock_says() {
    for clock in [START - HOUR, START + HOUR / 2] {
        let mut world = World::new(Config::default());
        let token = login(&mut world);
        let [in_time, late] = [(), ()].map(|()| ticket(&mut world, &token).1);
        world.now.unix = clock;
        world.pass(29 * SECOND);
        assert_eq!(
            enter(&mut world, &in_time).1["type"],
            "welcome",
            "{clock:?}"
        );
        world.pass(2 * SECOND);
        assert_eq!(
            enter(&mut world, &late).1,
            json!({"close": 4001}),
            "{clock:?}"
        );
    }
}

#[test]
fn a_clock_that_went_back_costs_another_login_and_no_more() {
    let mut world = World::new(Config::default());
    let before = login(&mut world);
    world.now.unix = START - DAY;
    // It was issued in the future, so it cannot be checked.
    assert_eq!(ticket(&mut world, &before).0, 401);
    let now = login(&mut world);
    let (status, ticket_now) = ticket(&mut world, &now);
    assert_eq!(status, 200);
    assert_eq!(enter(&mut world, &ticket_now).1["type"], "welcome");
    // Once the clock is corrected, the token of a day ago has expired and the earlier one is valid again.
    world.now.unix = START;
    assert_eq!(ticket(&mut world, &now).0, 401);
    assert_eq!(ticket(&mut world, &before).0, 200);
}

#[test]
fn a_revoked_session_stays_revoked_however_the_clock_jumps() {
    let mut world = World::new(Config::default());
    let revoked = login(&mut world);
    assert_eq!(
        request(&mut world, "POST", "/auth/logout", &bearer(&revoked), "").0,
        204
    );
    for clock in CLOCKS {
        world.now.unix = clock;
        // Another logout makes the server forget revocations that have expired.
        let other = login(&mut world);
        request(&mut world, "POST", "/auth/logout", &bearer(&other), "");
        world.now.unix = START;
        assert_eq!(ticket(&mut world, &revoked).0, 401, "{clock:?}");
        world.pass(SECOND);
    }
}

#[test]
fn a_message_sent_again_after_a_jump_is_not_published_twice() {
    let mut world = World::new(Config::default());
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.told(a);
    let chat = json!({"type": "chat", "room": "r", "content": "once", "id": "1"});
    for clock in CLOCKS {
        world.now.unix = clock;
        world.say(a, chat.clone());
        world.turn();
    }
    let heard: Vec<Value> = world.told(b);
    assert_eq!(
        heard.iter().filter(|news| news["type"] == "chat").count(),
        1
    );
    let acks = world.told(a);
    let acks: Vec<&Value> = acks.iter().filter(|news| news["type"] == "ack").collect();
    assert_eq!(acks.len(), CLOCKS.len());
    assert!(acks.iter().all(|ack| sequence(ack) == 1), "{acks:?}");
}

#[test]
fn a_throttled_login_waits_as_long_whatever_the_clock_says() {
    for clock in CLOCKS {
        let mut world = World::new(Config::default());
        let form = r#"{"username":"admin","password":"wrong"}"#;
        let head = format!(
            "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let status = |world: &mut World, id| {
            world.check_passwords(false);
            world.turn();
            let bytes = std::mem::take(&mut world.wire(id).bytes);
            let answer = String::from_utf8_lossy(&bytes).into_owned();
            answer.get(9..12).map(str::to_owned)
        };
        let id = world.connect();
        // Five are free, and one more is checked during the wait.
        for _ in 0..6 {
            world.receive(id, head.as_bytes());
            world.turn();
            assert_eq!(status(&mut world, id).as_deref(), Some("401"), "{clock:?}");
        }
        world.now.unix = clock;
        world.receive(id, head.as_bytes());
        world.pass(SECOND - SECOND / 1_000);
        assert_eq!(status(&mut world, id), None, "{clock:?}");
        world.pass(SECOND / 1_000);
        assert_eq!(status(&mut world, id).as_deref(), Some("401"), "{clock:?}");
    }
}

#[test]
fn a_peer_that_answers_is_pinged_at_the_interval_and_one_that_is_silent_is_dropped() {
    let mut world = World::new(Config {
        ping_interval: SECOND,
        ..Config::default()
    });
    let (alive, silent) = (world.guest("alive"), world.guest("silent"));
    world.pass(SECOND - SECOND / 10);
    assert_eq!(world.told(silent), [] as [Value; 0]);
    world.pass(SECOND / 5);
    let pinged_at = world.now.monotonic;
    for id in [alive, silent] {
        assert_eq!(world.told(id), [json!({"ping": true})]);
    }
    // Who answers is pinged again after the interval, so that no proxy takes the connection for idle.
    while world.now.monotonic < pinged_at + PONG_TIMEOUT - 2 * SECOND {
        world.receive(alive, &frame(0x8a, b""));
        world.pass(SECOND + SECOND / 5);
        assert_eq!(world.told(alive), [json!({"ping": true})]);
    }
    assert!(world.is_open(silent));
    assert_eq!(world.told(silent), [] as [Value; 0]);
    world.receive(alive, &frame(0x8a, b""));
    world.pass(3 * SECOND);
    assert!(!world.is_open(silent) && world.is_open(alive));
}

#[test]
fn heartbeats_come_at_the_interval_of_the_option() {
    let mut world = World::new(Config {
        heartbeat: SECOND,
        ..Config::default()
    });
    let subscriber = subscribe(&mut world);
    lines(&mut world, subscriber, "");
    world.pass(30 * SECOND);
    assert_eq!(lines(&mut world, subscriber, ": heartbeat ").len(), 30);
}
