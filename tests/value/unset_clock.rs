//! A board without a battery: the server starts in 1970, and the clock is set later, or with the next start.

use std::path::PathBuf;
use std::time::Duration;

use sarang::config::{CLOCK_SET_FROM_SECS, Config, Level, RANDOM_EVENT_ID_MAX};
use sarang::domain::accounts::Accounts;
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::{Credentials, Reload};
use sarang::server::jobs::{Done, Job};
use sarang::wire::jwt::Key;
use serde_json::{Value, json};

use crate::client::{bearer, enter, login, request, ticket};
use crate::subscriber::{Event, read, subscribe};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);
/// Some seconds after the start of the machine.
const UNSET: Duration = Duration::from_secs(25);
/// 2026-11-24T06:22:00Z.
const SET: Duration = Duration::from_secs(1_795_501_320);

fn configured() -> Config {
    Config {
        users: Some(PathBuf::from("users")),
        public_dashboard: true,
        guests: true,
        ..Config::default()
    }
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().filter_map(|(_, _, id)| *id).collect()
}

/// The `restarted` of the gap that a subscriber with this last ID is told first; `None` without a gap.
fn gap(world: &mut World, last: u64) -> Option<Value> {
    let (_, events) = subscribe(world, "all", Some(&last.to_string()));
    let (name, data, _) = events.first().expect("some event");
    let data: Value = serde_json::from_str(data).expect("is JSON");
    (name == "gap").then(|| data["restarted"].clone())
}

#[test]
fn an_event_id_of_an_earlier_run_is_a_gap_whichever_of_them_had_a_clock() {
    // The same start of the machine, more or less, again and again, and one with a clock in between.
    let clocks = [
        UNSET,
        UNSET,
        UNSET + SECOND / 2,
        SET,
        UNSET,
        SET + 1_000 * SECOND,
    ];
    let mut earlier: Vec<u64> = Vec::new();
    for (seed, clock) in (1..).zip(clocks) {
        let mut world = World::starting(configured(), seed, clock);
        let (subscriber, mut events) = subscribe(&mut world, "all", None);
        for _ in 0..60 {
            world.pass(10 * SECOND);
            events.extend(read(&mut world, subscriber));
        }
        let ids = ids(&events);
        let (first, last) = (ids[0], ids[ids.len() - 1]);
        for id in &earlier {
            assert_eq!(gap(&mut world, *id), Some(json!(true)), "{id} at {clock:?}");
        }
        // One of its own resumes.
        assert_eq!(gap(&mut world, last - 1), None);
        match clock < SET {
            true => assert!(last <= RANDOM_EVENT_ID_MAX + 100_000, "{last}"),
            false => assert_eq!(u128::from(first), clock.as_millis()),
        }
        earlier.extend([first, (first + last) / 2, last, last + 1]);
    }
}

#[test]
fn in_the_demo_ids_start_at_1_without_a_clock_too() {
    let mut world = World::starting(Config::default(), 1, UNSET);
    let (_, events) = subscribe(&mut world, "all", None);
    assert_eq!(ids(&events)[0], 1);
}

#[test]
fn a_clock_from_before_the_server_was_written_is_told_at_the_start() {
    let earliest = Duration::from_secs(CLOCK_SET_FROM_SECS);
    for (clock, is_told) in [
        (Duration::ZERO, true),
        (UNSET, true),
        (earliest - SECOND, true),
        (earliest, false),
        (earliest + 100 * 366 * 86_400 * SECOND, false),
    ] {
        let mut world = World::starting(Config::default(), 1, clock);
        world.server.note_clock(world.now);
        world.turn();
        let lines = world.wires.log.join("");
        let has_told = lines.contains(" level=warn event=clock_not_set ");
        assert_eq!(has_told, is_told, "{clock:?}: {lines}");
    }
}

#[test]
fn when_the_clock_is_set_sessions_go_on_and_tokens_cost_another_login() {
    let mut world = World::starting(configured(), 1, UNSET);
    let before = login(&mut world);
    let (_, first) = ticket(&mut world, &before);
    let (session, welcome) = enter(&mut world, &first);
    assert_eq!(welcome["expires_at"], "1970-01-01T01:00:25Z");
    let (status, unused) = ticket(&mut world, &before);
    assert_eq!(status, 200);
    world.now.unix = SET;
    world.turn();
    // What the token is asked for is refused: by the clock it has expired long ago.
    assert_eq!(ticket(&mut world, &before).0, 401);
    assert_eq!(enter(&mut world, &unused).1, json!({"close": 4002}));
    let refresh = request(&mut world, "POST", "/auth/refresh", &bearer(&before), "");
    assert_eq!(refresh.0, 401);
    // What it has opened stays open for as long as it was to.
    for _ in 0..178 {
        world.pass(20 * SECOND);
        world.say(session, json!({"type": "room_list"}));
        world.turn();
        let told = world.told(session);
        let is_answered = told.iter().any(|told| told["type"] == "room_list");
        assert!(is_answered, "{told:?}");
    }
    world.pass(41 * SECOND);
    let told = world.told(session);
    assert_eq!(told.last(), Some(&json!({"close": 4002})));
    let now = login(&mut world);
    let (status, fresh) = ticket(&mut world, &now);
    assert_eq!(status, 200);
    assert_eq!(enter(&mut world, &fresh).1["type"], "welcome");
    let logout = request(&mut world, "POST", "/auth/logout", &bearer(&now), "");
    assert_eq!(logout.0, 204);
    assert_eq!(ticket(&mut world, &now).0, 401);
}

/// Reads the files again: no account is left.
fn remove_every_account(world: &mut World) {
    world.server.reload();
    let Some((serial, Job::ReadCredentials(in_force))) = world.server.poll_job() else {
        panic!("nothing is read");
    };
    let newer = Credentials {
        accounts: Accounts::parse("", [1; 32]).expect("reads").into(),
        keys: vec![key()],
        api_keys: ApiKeys::default(),
    };
    let done = Done::CredentialsRead(Ok(Box::new(Reload::new(newer, &in_force))));
    world.server.finished(serial, done, world.now);
    world.turn();
    world.jobs.clear();
}

/// The secret of a world.
fn key() -> Key {
    Key::new(None, &[2; 32]).expect("is long enough")
}

#[test]
fn what_was_ended_without_a_clock_stays_ended_when_it_is_set() {
    let mut world = World::starting(configured(), 1, UNSET);
    world.pass(100 * SECOND);
    remove_every_account(&mut world);
    world.pass(20 * SECOND);
    // Of a back end whose clock was right all the time.
    let exp = SET.as_secs() + 1_000_000;
    let minted = |ago: u64| {
        let iat = SET.as_secs() - ago;
        key().sign(&json!({"sub": "admin", "iat": iat, "exp": exp, "jti": ago.to_string()}))
    };
    let before = [minted(1_000_000), minted(3_600), minted(21)];
    let after = minted(15);
    // As long as the clock is not set they are all of the future.
    for token in before.iter().chain([&after]) {
        assert_eq!(ticket(&mut world, token).0, 401);
    }
    world.now.unix = SET;
    for token in &before {
        assert_eq!(ticket(&mut world, token).0, 401);
    }
    assert_eq!(ticket(&mut world, &after).0, 200);
}

#[test]
fn that_the_clock_was_set_is_logged_once() {
    let config = Config {
        log: Some(Level::Info),
        ..configured()
    };
    let mut world = World::starting(config, 1, UNSET);
    for clock in [UNSET, SET, UNSET, SET] {
        world.now.unix = clock;
        world.turn();
    }
    let lines = world.wires.log.join("");
    let told = " level=info event=clock_set seconds=1795501296\n";
    assert_eq!(lines.matches(told).count(), 1, "{lines}");
    assert_eq!(lines.matches("clock_set").count(), 1, "{lines}");
}

#[test]
fn when_the_clock_is_set_histories_keep_their_order_and_members_resume() {
    let mut world = World::starting(Config::default(), 1, UNSET);
    let (a, b) = (world.member("a", "r"), world.member("b", "r"));
    world.say(a, json!({"type": "chat", "room": "r", "content": "before"}));
    world.turn();
    let position = world.told(b).last().expect("the chat")["position"].clone();
    world.say(b, json!({"type": "leave", "room": "r"}));
    world.turn();
    world.now.unix = SET;
    world.say(a, json!({"type": "chat", "room": "r", "content": "after"}));
    world.turn();
    world.told(b);
    world.say(b, json!({"type": "join", "room": "r", "since": position}));
    world.turn();
    let joined = &world.told(b)[0];
    assert_eq!(joined["recovered"], true, "{joined}");
    assert_eq!(joined["history"].as_array().map(Vec::len), Some(1));
    assert_eq!(joined["history"][0]["content"], "after");
    let (_, page) = request(&mut world, "GET", "/rooms/r/history", "", "");
    let told = page["messages"].as_array().expect("messages");
    let told: Vec<_> = told
        .iter()
        .map(|chat| (chat["content"].as_str(), chat["timestamp"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some("before"), Some("1970-01-01T00:00:25Z")),
            (Some("after"), Some("2026-11-24T06:22:00Z")),
        ]
    );
}

#[test]
fn when_the_clock_is_set_a_subscriber_misses_nothing() {
    let mut world = World::starting(configured(), 1, UNSET);
    let (subscriber, mut events) = subscribe(&mut world, "all", None);
    world.pass(10 * SECOND);
    events.extend(read(&mut world, subscriber));
    let last = *ids(&events).last().expect("an event");
    world.server.closed(subscriber, world.now);
    world.now.unix = SET;
    world.pass(10 * SECOND);
    let (_, missed) = subscribe(&mut world, "all", Some(&last.to_string()));
    let missed = ids(&missed);
    assert_eq!(missed[0], last + 1);
    assert!(missed.windows(2).all(|pair| pair[1] == pair[0] + 1));
}
