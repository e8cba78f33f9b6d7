//! What else a store keeps over a restart: events, figures, channels, logouts, and who guests are.

use std::time::Duration;

use sarang::config::{Config, EVENTS_KEPT, OWN_CHANNELS_MAX, STORE_RETRY};
use serde_json::json;

use crate::client::{bearer, login, request};
use crate::late::kinds;
use crate::stored::{Disk, Stored};
use crate::subscriber::{Event, ids, post, read, subscribe};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn accounts() -> Config {
    Config {
        users: Some("users".into()),
        guests: true,
        public_dashboard: true,
        ..Config::default()
    }
}

fn start(config: &Config) -> World {
    World::with_disk(
        config.clone(),
        Disk::default(),
        Duration::from_secs(1_705_314_600),
    )
}

/// The server is killed, and starts again with what is on disk.
fn restart(world: &mut World, config: &Config) {
    let disk = world.disk.take().expect("has a disk");
    *world = World::with_disk(config.clone(), disk, world.now.unix + SECOND);
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|(name, ..)| &**name).collect()
}

#[test]
fn ids_of_events_go_on_and_who_resumes_misses_nothing() {
    let config = Config::default();
    let mut world = start(&config);
    let publisher = world.connect();
    let (id, _) = subscribe(&mut world, "all", None);
    world.pass(5 * SECOND);
    post(&mut world, publisher, "deploys", r#"{"n":1}"#);
    let seen = ids(&read(&mut world, id)).pop().expect("was sent some");
    post(&mut world, publisher, "deploys", r#"{"n":2}"#);
    restart(&mut world, &config);
    let publisher = world.connect();
    assert_eq!(
        post(&mut world, publisher, "deploys", r#"{"n":3}"#),
        seen + 2
    );
    let (id, missed) = subscribe(&mut world, "all", Some(&seen.to_string()));
    let mut all = ids(&missed);
    all.extend(ids(&read(&mut world, id)));
    assert!(all.len() > 2, "samples go on");
    assert!(
        all.iter().copied().eq((seen + 1..).take(all.len())),
        "{all:?}"
    );
    let (_, gap) = subscribe(&mut world, "all", Some("999999"));
    assert_eq!(gap[0].0, "gap");
}

#[test]
fn outside_the_demo_ids_of_an_earlier_store_are_a_gap() {
    let config = accounts();
    let mut world = start(&config);
    world.pass(SECOND);
    let (id, _) = subscribe(&mut world, "system", None);
    world.pass(SECOND);
    let first = ids(&read(&mut world, id))[0];
    for _ in 0..2 {
        restart(&mut world, &config);
        let (_, kept) = subscribe(&mut world, "system", Some(&first.to_string()));
        assert_ne!(names(&kept).first(), Some(&"gap"), "{kept:?}");
        let before = (first - 10).to_string();
        let (_, gap) = subscribe(&mut world, "system", Some(&before));
        assert!(gap[0].1.contains(r#""restarted":true"#), "{gap:?}");
    }
}

#[test]
fn no_more_events_are_kept_than_in_memory() {
    let config = Config::default();
    let mut world = start(&config);
    let publisher = world.connect();
    for n in 0..EVENTS_KEPT + 50 {
        post(
            &mut world,
            publisher,
            "deploys",
            &json!({"n": n}).to_string(),
        );
    }
    let kept = world.disk.as_ref().expect("has a disk").load();
    assert_eq!(kept.events.len(), EVENTS_KEPT);
    restart(&mut world, &config);
    let (_, all) = subscribe(&mut world, "deploys", Some("50"));
    assert_eq!(ids(&all).len(), EVENTS_KEPT);
}

#[test]
fn the_latest_event_of_a_channel_and_posted_figures_are_there_after_a_restart() {
    let config = Config::default();
    let mut world = start(&config);
    let publisher = world.connect();
    post(&mut world, publisher, "deploys", r#"{"n":1}"#);
    post(&mut world, publisher, "business", r#"{"revenue":7}"#);
    post(&mut world, publisher, "business", r#"{"visits":8}"#);
    for n in 0..EVENTS_KEPT {
        post(&mut world, publisher, "other", &json!({"n": n}).to_string());
    }
    restart(&mut world, &config);
    let (_, latest) = subscribe(&mut world, "deploys,other", None);
    assert_eq!(names(&latest), ["deploys", "other"]);
    let (_, business) = subscribe(&mut world, "business", None);
    let told = &business.last().expect("is sampled").1;
    assert!(
        told.contains(r#""revenue":7"#) && told.contains(r#""visits":8"#),
        "{told}"
    );
}

#[test]
fn a_channel_whose_place_was_taken_is_not_kept() {
    let config = Config::default();
    let mut world = start(&config);
    let publisher = world.connect();
    for n in 0..OWN_CHANNELS_MAX {
        post(&mut world, publisher, &format!("c{n}"), "{}");
    }
    for _ in 0..EVENTS_KEPT {
        post(&mut world, publisher, "c1", "{}");
    }
    // It takes the place of the channel whose latest event is oldest.
    post(&mut world, publisher, "more", "{}");
    let kept = world.disk.as_ref().expect("has a disk").load();
    let names: Vec<&str> = kept.latest.iter().map(|event| &*event.name).collect();
    assert_eq!(names.len(), OWN_CHANNELS_MAX);
    assert!(
        names.contains(&"more") && !names.contains(&"c0"),
        "{names:?}"
    );
}

#[test]
fn a_logout_and_a_sign_in_survive_a_restart() {
    let config = accounts();
    let mut world = start(&config);
    let [gone, good] = [0, 1].map(|_| login(&mut world));
    let (status, _) = request(&mut world, "POST", "/auth/logout", &bearer(&gone), "");
    assert_eq!(status, 204);
    for _ in 0..2 {
        restart(&mut world, &config);
        for (token, expected) in [(&gone, 401), (&good, 200)] {
            let (status, _) = request(&mut world, "GET", "/rooms", &bearer(token), "");
            assert_eq!(status, expected);
        }
    }
}

#[test]
fn a_logout_is_answered_when_it_is_kept_and_holds_at_once() {
    let mut stored = Stored::new(accounts());
    let token = login(&mut stored.world);
    let logout = format!(
        "POST /auth/logout HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{}\r\n",
        bearer(&token)
    );
    let id = stored.world.connect();
    stored.world.receive(id, logout.as_bytes());
    let (serial, job) = stored.batch().expect("a batch is under way");
    assert!(stored.world.wire(id).bytes.is_empty());
    let (status, _) = request(&mut stored.world, "GET", "/rooms", &bearer(&token), "");
    assert_eq!(status, 401);
    stored.commit_one(serial, job);
    assert!(stored.world.wire(id).bytes.starts_with(b"HTTP/1.1 204 "));
    // If it may not be kept, that is said; it holds all the same, and is kept with everything else.
    let token = login(&mut stored.world);
    let logout = logout.replace(&logout[logout.find("Bearer").expect("is there")..], "");
    let logout = format!("{logout}Bearer {token}\r\n\r\n");
    let id = stored.world.connect();
    stored.world.receive(id, logout.as_bytes());
    stored.fail(false);
    assert!(stored.world.wire(id).bytes.starts_with(b"HTTP/1.1 503 "));
    let (status, _) = request(&mut stored.world, "GET", "/readyz", "", "");
    assert_eq!(status, 503);
    let (status, _) = request(&mut stored.world, "GET", "/livez", "", "");
    assert_eq!(status, 200);
    stored.world.pass(STORE_RETRY);
    stored.commit();
    let (status, _) = request(&mut stored.world, "GET", "/readyz", "", "");
    assert_eq!(status, 200);
    stored.restart();
    let (status, _) = request(&mut stored.world, "GET", "/rooms", &bearer(&token), "");
    assert_eq!(status, 401);
}

#[test]
fn a_guest_with_a_key_is_the_same_after_a_restart() {
    let config = Config::default();
    let mut world = start(&config);
    let whisper = json!({"type": "whisper", "to": "a", "content": "1", "id": "1"});
    let mut acknowledged = Vec::new();
    for key in ["0123456789abcdef", "0123456789abcdef", "fedcba9876543210"] {
        let a = world.guest(&format!("a&key={key}"));
        world.say(a, whisper.clone());
        world.turn();
        acknowledged.push(kinds(&world.told(a)));
        restart(&mut world, &config);
    }
    assert_eq!(
        acknowledged,
        [&["whisper", "ack"][..], &["ack"], &["whisper", "ack"]]
    );
}

#[test]
fn events_and_figures_that_could_not_be_stored_are_not_sent() {
    let mut stored = Stored::new(Config::default());
    let (id, _) = subscribe(&mut stored.world, "all", None);
    stored.commit();
    read(&mut stored.world, id);
    let publisher = stored.world.connect();
    let post = "POST /events/business HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n";
    for figures in [r#"{"revenue":1}"#, r#"{"revenue":2}"#] {
        let request = format!("{post}{figures}");
        stored.world.receive(publisher, request.as_bytes());
        stored.fail(false);
        let answer = std::mem::take(&mut stored.world.wire(publisher).bytes);
        assert!(answer.starts_with(b"HTTP/1.1 503 "));
        assert_eq!(read(&mut stored.world, id), []);
        stored.world.pass(Duration::from_millis(900));
        while let Some((serial, job)) = stored.batch() {
            stored.commit_one(serial, job);
        }
        stored.world.pass(STORE_RETRY * 4);
        stored.commit();
        stored.world.pass(SECOND);
        stored.commit();
        let told = read(&mut stored.world, id);
        assert!(!told.is_empty(), "samples go on");
        assert!(
            told.iter()
                .all(|(_, data, _)| !data.contains(r#""revenue":1,"#))
        );
    }
}
