//! Event streams of the server as a value: no sockets, virtual time.

use std::time::Duration;

use sarang::config::{
    Config, EVENT_OUTBOX_BYTES, EVENT_STALL_TIMEOUT, SAMPLING_GRACE, SENDS_PER_TURN,
};
use sarang::domain::time::Instant;
use serde_json::Value;

use crate::subscriber::{Event, ids, post, read, subscribe};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn events_and_heartbeats_of_a_minute_come_at_their_intervals() {
    let mut world = World::new(Config::default());
    let (id, first) = subscribe(&mut world, "all", None);
    let names: Vec<&str> = first.iter().map(|(name, ..)| &**name).collect();
    assert_eq!(names, ["system_metrics", "api_metrics", "business_metrics"]);
    assert_eq!(ids(&first), [1, 2, 3]);
    world.pass(SECOND * 60);
    let text = String::from_utf8_lossy(&world.wire(id).bytes).into_owned();
    assert_eq!(
        text.matches(": heartbeat 2024-01-15T10:3").count(),
        4,
        "{text}"
    );
    let events = read(&mut world, id);
    let count = |wanted: &str| events.iter().filter(|(name, ..)| name == wanted).count();
    assert_eq!(
        (
            count("system_metrics"),
            count("api_metrics"),
            count("business_metrics")
        ),
        (60, 12, 6)
    );
    assert!(ids(&events).into_iter().eq(4..=81));
}

#[test]
fn without_a_subscriber_there_is_a_sample_in_15_s_and_nothing_else_is_done() {
    let mut world = World::new(Config::default());
    world.pass(SECOND * 100);
    assert_eq!(world.samples, 6);
    assert!(world.server.is_idle());
    let next = world.server.next_timeout();
    assert_eq!(next, Some(SECOND * 105), "it sleeps in between");
    let (id, _) = subscribe(&mut world, "system", None);
    world.pass(SECOND * 10);
    world.end(id);
    world.turn();
    world.pass(SAMPLING_GRACE + SECOND);
    let sampled = world.samples;
    assert!((76..=81).contains(&sampled), "{sampled}");
    world.pass(SECOND * 1500);
    assert_eq!(world.samples, sampled + 100);
    let (_, fresh) = subscribe(&mut world, "system", None);
    assert_eq!(fresh.len(), 1, "not what was true an hour ago");
    assert_eq!(world.samples, sampled + 101);
}

/// The recent samples.
fn series(world: &mut World) -> Value {
    let reader = world.connect();
    world.receive(reader, b"GET /series HTTP/1.1\r\nHost: x\r\n\r\n");
    world.turn();
    let text = String::from_utf8(std::mem::take(&mut world.wire(reader).bytes)).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    serde_json::from_str(body).expect("is JSON")
}

#[test]
fn a_page_opens_with_the_last_15_minutes_and_its_stream_goes_on_without_a_hole() {
    let mut world = World::new(Config::default());
    world.pass(SECOND * 3_000);
    let idle = series(&mut world);
    assert_eq!(idle["last_event_id"], "");
    for kind in ["system", "api", "business"] {
        let times = idle[kind]["time"].as_array().expect("a list");
        assert_eq!(times.len(), 61, "one in 15 s: {kind}");
    }
    let (first, _) = subscribe(&mut world, "dashboard", None);
    world.pass(SECOND * 20);
    let told = read(&mut world, first);
    let publisher = world.connect();
    let newest = post(&mut world, publisher, "deploys", "{}");
    let opened = series(&mut world);
    assert_eq!(opened["last_event_id"], newest.to_string());
    let mut of_machine = told.iter().filter(|(name, ..)| name == "system_metrics");
    let (_, last, _) = of_machine.next_back().expect("some");
    let last: Value = serde_json::from_str(last).expect("is JSON");
    let column = |name: &str| opened["system"][name].as_array().and_then(|all| all.last());
    assert_eq!(column("cpu").and_then(Value::as_f64), last["cpu"].as_f64());
    let time = column("time").and_then(Value::as_u64).map(Instant);
    assert_eq!(
        time.map(|time| time.to_string()).as_deref(),
        last["time"].as_str()
    );
    let (second, missed) = subscribe(&mut world, "dashboard", Some(&newest.to_string()));
    assert_eq!(missed, [], "all of it was in the series");
    world.pass(SECOND * 10);
    assert!(
        ids(&read(&mut world, second))
            .into_iter()
            .eq(newest + 1..=newest + 13)
    );
}

#[test]
fn a_subscriber_that_takes_nothing_for_a_minute_is_dropped() {
    let mut world = World::new(Config::default());
    let (stalled, _) = subscribe(&mut world, "system", None);
    let (healthy, _) = subscribe(&mut world, "system", None);
    world.wire(stalled).room = 10;
    // The next event is the first that the client does not read.
    world.pass(SECOND + EVENT_STALL_TIMEOUT - SECOND);
    assert!(world.is_open(stalled));
    world.pass(SECOND * 2);
    assert!(!world.is_open(stalled));
    assert_eq!(world.server.subscriber_count(), 1);
    assert_eq!(read(&mut world, healthy).len(), 62);
}

#[test]
fn a_subscriber_that_takes_a_little_now_and_then_stays() {
    let mut world = World::new(Config::default());
    let (slow, _) = subscribe(&mut world, "system", None);
    world.wire(slow).room = 0;
    for _ in 0..10 {
        world.pass(EVENT_STALL_TIMEOUT / 2);
        world.wire(slow).room = 10;
        world.server.writable(slow, world.now);
        world.turn();
    }
    assert!(world.is_open(slow));
}

#[test]
fn a_slow_subscriber_is_sent_the_latest_values_and_not_a_backlog() {
    let mut world = World::new(Config::default());
    let (slow, _) = subscribe(&mut world, "business", None);
    let publisher = world.connect();
    // It reads half of an event, then nothing.
    world.wire(slow).room = 30;
    let filler = "x".repeat(3_000);
    for n in 0..500 {
        post(
            &mut world,
            publisher,
            "business",
            &format!(r#"{{"orders":{n},"filler":"{filler}"}}"#),
        );
    }
    world.wire(slow).room = usize::MAX;
    world.server.writable(slow, world.now);
    world.turn();
    let length = world.wire(slow).bytes.len();
    assert!(length < 2 * EVENT_OUTBOX_BYTES, "{length}");
    let events = read(&mut world, slow);
    assert!(world.wire(slow).bytes.is_empty(), "no event is cut in two");
    let (_, last, _) = events.last().expect("some came");
    assert!(last.contains(r#""orders":499"#));
    assert!(ids(&events).is_sorted());
}

/// Cut and resumed at random, on any channel: every event of the channel, none twice.
#[test]
fn a_resumed_stream_has_no_hole_and_nothing_twice() {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut world = World::new(Config::default());
    let (steady, mut all) = subscribe(&mut world, "all", None);
    let channels = [
        ("all", ""),
        ("system", "system_metrics"),
        ("api", "api_metrics"),
        ("business", "business_metrics"),
    ];
    for (channel, name) in channels {
        let (mut id, mut seen) = subscribe(
            &mut world,
            channel,
            Some(&all.last().expect("some").2.expect("has an id").to_string()),
        );
        let begin = ids(&all).last().copied().unwrap_or(0);
        for _ in 0..40 {
            world.pass(Duration::from_millis(random(4_000)));
            if random(2) == 0 {
                seen.extend(read(&mut world, id));
                world.server.closed(id, world.now);
                world.turn();
                world.pass(Duration::from_millis(random(9_000)));
                let last = ids(&seen).last().copied().unwrap_or(begin).to_string();
                let (next, resumed) = subscribe(&mut world, channel, Some(&last));
                id = next;
                seen.extend(resumed);
            }
        }
        seen.extend(read(&mut world, id));
        all.extend(read(&mut world, steady));
        let expected = all
            .iter()
            .filter(|(one, _, id)| one.starts_with(name) && *id > Some(begin));
        let expected: Vec<&Event> = expected.collect();
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "{channel}");
        world.server.closed(id, world.now);
        world.turn();
    }
}

#[test]
fn a_backlog_that_a_subscriber_asked_for_is_not_cut_down_however_large_it_is() {
    let mut world = World::new(Config::default());
    let publisher = world.connect();
    let notes = "x".repeat(4_000);
    for n in 1..=120 {
        post(
            &mut world,
            publisher,
            "business",
            &format!(r#"{{"revenue": {n}, "notes": "{notes}"}}"#),
        );
    }
    // The events that start its stream are broadcast in the turn in which the others are queued.
    let (_, events) = subscribe(&mut world, "all", Some("1"));
    assert_eq!(ids(&events), (2..=123).collect::<Vec<u64>>());
}

/// What was posted while a pass over many subscribers had not reached a slow one yet is among the latest values that it is
/// sent when it is cut down, and is not sent again by the next pass.
#[test]
fn a_slow_subscriber_that_a_long_pass_reaches_late_is_sent_nothing_twice() {
    let mut world = World::new(Config::default());
    let many: Vec<_> = (0..SENDS_PER_TURN + 50)
        .map(|_| subscribe(&mut world, "business", None).0)
        .collect();
    let (slow, first) = subscribe(&mut world, "business", None);
    world.wire(slow).room = 30;
    let publisher = world.connect();
    let filler = "x".repeat(3_500);
    for n in 0..100 {
        let json = format!(r#"{{"orders":{n},"filler":"{filler}"}}"#);
        let length = json.len();
        let head = "POST /events/business HTTP/1.1\r\nHost: x\r\nContent-Length: ";
        world.receive(
            publisher,
            format!("{head}{length}\r\n\r\n{json}").as_bytes(),
        );
        world.one_turn();
    }
    world.turn();
    world.wire(slow).room = usize::MAX;
    world.server.writable(slow, world.now);
    world.turn();
    let events = read(&mut world, slow);
    let (_, last, _) = events.last().expect("some came");
    assert!(last.contains(r#""orders":99"#), "the last one came");
    let told = [ids(&first), ids(&events)].concat();
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
    for id in many {
        assert!(
            ids(&read(&mut world, id))
                .windows(2)
                .all(|pair| pair[0] + 1 == pair[1])
        );
    }
}
