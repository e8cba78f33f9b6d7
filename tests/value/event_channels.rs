//! Channels of one's own on the server as a value: what is kept over a pause, conflation, and places that are taken over.

use std::collections::BTreeMap;
use std::time::Duration;

use sarang::config::{
    Config, EVENT_OUTBOX_BYTES, EVENTS_KEPT, OWN_CHANNELS_MAX, SAMPLING_GRACE, SELECTIONS_MAX,
};

use crate::subscriber::{ids, post, read, subscribe, try_post};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_was_posted_is_kept_over_a_pause_without_subscribers_and_resumed_from_exactly() {
    let mut world = World::new(Config::default());
    let publisher = world.connect();
    let (id, _) = subscribe(&mut world, "deploys,system", None);
    post(&mut world, publisher, "deploys", r#"{"n":1}"#);
    world.pass(SECOND * 5);
    let seen = ids(&read(&mut world, id)).last().copied().expect("some");
    world.end(id);
    world.turn();
    let missed: Vec<u64> = (2..5)
        .map(|n| {
            world.pass(SAMPLING_GRACE * 10);
            let publisher = world.connect();
            post(&mut world, publisher, "deploys", &format!(r#"{{"n":{n}}}"#))
        })
        .collect();
    let sampled = world.samples;
    // In the minute after it had left samples were made, and kept.
    let (resumed, all) = subscribe(&mut world, "all", Some(&seen.to_string()));
    let newest = *ids(&all).last().expect("some");
    assert!(ids(&all).into_iter().eq(seen + 1..=newest), "{all:?}");
    let told: Vec<u64> = all
        .iter()
        .filter(|(name, ..)| name == "deploys")
        .filter_map(|(.., id)| *id)
        .collect();
    assert_eq!(told, missed);
    assert!(world.samples > sampled, "and it goes on");
    world.end(resumed);
    world.turn();
    world.pass(SAMPLING_GRACE * 2);
    // A new one is sent what was posted last, and not what was true of the machine two minutes ago.
    let (_, latest) = subscribe(&mut world, "deploys,system", None);
    let names: Vec<&str> = latest.iter().map(|(name, ..)| &**name).collect();
    assert_eq!(names, ["deploys", "system_metrics"]);
    assert!(
        latest[0].2 < latest[1].2 && latest[1].2 > Some(newest),
        "{latest:?}"
    );
}

#[test]
fn a_slow_subscriber_is_sent_the_latest_event_of_each_channel() {
    let mut world = World::new(Config::default());
    let publisher = world.connect();
    let (slow, _) = subscribe(&mut world, "all", None);
    world.wire(slow).room = 30;
    let filler = "x".repeat(2_000);
    let mut latest = BTreeMap::new();
    for n in 0..1_000 {
        let name = format!("c{}", n % 20);
        let json = format!(r#"{{"filler":"{filler}","n":{n}}}"#);
        latest.insert(name.clone(), post(&mut world, publisher, &name, &json));
        let queued = world.server.queued_bytes(slow);
        assert!(queued < EVENT_OUTBOX_BYTES + 3_000, "{queued}");
    }
    world.wire(slow).room = usize::MAX;
    world.server.writable(slow, world.now);
    world.turn();
    let events = read(&mut world, slow);
    assert!(world.wire(slow).bytes.is_empty(), "no event is cut in two");
    assert!(events.len() < 200, "{}", events.len());
    assert!(ids(&events).windows(2).all(|pair| pair[0] < pair[1]));
    let mut told = BTreeMap::new();
    for (name, _, id) in events.iter().filter(|(name, ..)| name.starts_with('c')) {
        told.insert(name.clone(), id.expect("has an id"));
    }
    assert_eq!(told, latest);
}

#[test]
fn of_many_large_channels_a_slow_subscriber_is_sent_the_newest() {
    let mut world = World::new(Config::default());
    let publisher = world.connect();
    let (slow, _) = subscribe(&mut world, "all", None);
    world.wire(slow).room = 30;
    // As many bytes as possible: each number is written in full.
    let numbers = vec!["1e15"; 800].join(",");
    let mut newest = 0;
    for n in 0..2 * OWN_CHANNELS_MAX {
        let name = format!("c{}", n % OWN_CHANNELS_MAX);
        newest = post(
            &mut world,
            publisher,
            &name,
            &format!(r#"{{"n":[{numbers}]}}"#),
        );
        let queued = world.server.queued_bytes(slow);
        assert!(queued < EVENT_OUTBOX_BYTES + 20_000, "{queued}");
    }
    world.wire(slow).room = usize::MAX;
    world.server.writable(slow, world.now);
    world.turn();
    let events = ids(&read(&mut world, slow));
    assert_eq!(events.last(), Some(&newest));
    assert!(events.len() > 5, "{events:?}");
}

#[test]
fn a_channel_with_a_subscriber_keeps_its_place_however_long_nobody_posts() {
    let mut world = World::new(Config::default());
    let publisher = world.connect();
    let (waiting, _) = subscribe(&mut world, "quiet,system", None);
    post(&mut world, publisher, "quiet", r#"{"n":1}"#);
    for n in 0..3 * OWN_CHANNELS_MAX {
        post(&mut world, publisher, &format!("c{n}"), "{}");
        // Its events, and those of all others, are followed by so many that they are not kept.
        world.pass(SECOND * (EVENTS_KEPT as u32 / 50));
    }
    let (_, latest) = subscribe(&mut world, "quiet", None);
    assert_eq!(latest.len(), 1);
    read(&mut world, waiting);
    let id = post(&mut world, publisher, "quiet", r#"{"n":2}"#);
    assert_eq!(ids(&read(&mut world, waiting)), [id]);
}

#[test]
fn who_takes_over_a_selection_is_sent_nothing_of_the_one_before() {
    let mut world = World::new(Config::default());
    let publisher = world.connect();
    for n in 0..SELECTIONS_MAX + 10 {
        // What it is sent waits, as it takes nothing.
        let (before, _) = subscribe(&mut world, &format!("a{},b", n % 40), None);
        world.wire(before).room = 0;
        post(&mut world, publisher, "b", &format!(r#"{{"n":{n}}}"#));
        world.end(before);
        let (after, begin) = subscribe(&mut world, &format!("c{},api", n % 20), Some("0"));
        post(&mut world, publisher, "b", "{}");
        let own = post(&mut world, publisher, &format!("c{}", n % 20), "{}");
        let mut events = begin;
        events.extend(read(&mut world, after));
        let expected = format!("c{}", n % 20);
        let allowed = |name: &str| name == expected || name == "api_metrics" || name == "gap";
        assert!(events.iter().all(|(name, ..)| allowed(name)), "{events:?}");
        assert_eq!(ids(&events).last(), Some(&own));
        world.server.closed(after, world.now);
        world.turn();
        // So many names that some have to make way.
        for _ in 0..EVENTS_KEPT / 2 {
            post(&mut world, publisher, "business", "{}");
        }
    }
}

#[test]
fn selections_are_limited_and_a_free_one_is_taken_over() {
    let mut world = World::new(Config::default());
    let lists = (0..24).flat_map(|a| (0..a).map(move |b| format!("c{a},c{b}")));
    let lists: Vec<String> = lists.take(SELECTIONS_MAX + 1).collect();
    let held: Vec<_> = lists[..SELECTIONS_MAX]
        .iter()
        .map(|list| subscribe(&mut world, list, None).0)
        .collect();
    let status = |world: &mut World, list: &str| {
        let id = world.connect();
        let request = format!("GET /sse/{list} HTTP/1.1\r\nHost: x\r\n\r\n");
        world.receive(id, request.as_bytes());
        world.turn();
        String::from_utf8_lossy(&world.wire(id).bytes["HTTP/1.1 ".len()..][..3]).into_owned()
    };
    let one_more = &lists[SELECTIONS_MAX];
    assert_eq!(status(&mut world, one_more), "503");
    assert_eq!(world.server.subscriber_count(), SELECTIONS_MAX);
    // The same again, in another order, is not another one.
    assert_eq!(status(&mut world, "c0,c1"), "200");
    assert_eq!(status(&mut world, "system,api"), "503");
    assert_eq!(status(&mut world, "system,api,business"), "200");
    world.server.closed(held[7], world.now);
    world.turn();
    assert_eq!(status(&mut world, one_more), "200");
    assert_eq!(status(&mut world, "system,api"), "503");
    let publisher = world.connect();
    let id = post(&mut world, publisher, "c1", "{}");
    assert_eq!(ids(&read(&mut world, held[0])).last(), Some(&id));
    let answer = try_post(&mut world, publisher, "all", "{}");
    assert!(answer.starts_with("403 "), "{answer}");
}
