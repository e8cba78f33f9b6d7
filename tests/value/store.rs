//! A store on disk: what is acknowledged is kept, and nothing is shown that is not.

use std::time::Duration;

use sarang::config::{
    ACKNOWLEDGED_FOR, Config, STORE_ANSWERS_PER_TURN, STORE_REST_BYTES_MAX, STORE_RETRY,
};
use sarang::server::jobs::{Done, Job};
use serde_json::{Value, json};

use crate::late::{chat, kinds};
use crate::stored::{COMMITTED, Stored};

const SECOND: Duration = Duration::from_secs(1);

fn join(room: &str, since: Option<&Value>) -> Value {
    json!({"type": "join", "room": room, "since": since})
}

/// The contents of messages.
fn contents(messages: &Value) -> Vec<&str> {
    let messages = messages.as_array().expect("is a list").iter();
    messages
        .map(|one| one["content"].as_str().expect("is a text"))
        .collect()
}

#[test]
fn a_message_is_shown_and_acknowledged_when_it_is_on_disk() {
    let mut stored = Stored::new(Config::default());
    let [a, b] = stored.members(["a", "b"], "r");
    stored.say(a, chat("r", "hello", "1"));
    let (serial, job) = stored.batch().expect("a batch is under way");
    stored.say(b, chat("r", "hello too", "1"));
    assert!(stored.batch().is_none(), "one batch at a time");
    assert_eq!(stored.world.told(a), [json!(null); 0]);
    stored.commit_one(serial, job);
    let told = stored.world.told(a);
    assert_eq!(kinds(&told), ["chat", "ack"]);
    assert_eq!(told[0]["position"], told[1]["position"]);
    assert_eq!(kinds(&stored.world.told(b)), ["chat"]);
    assert_eq!(stored.commit(), 1);
    assert_eq!(kinds(&stored.world.told(b)), ["chat", "ack"]);
}

#[test]
fn rooms_messages_positions_and_ids_survive_a_restart() {
    let mut stored = Stored::new(Config::default());
    let [a, b] = stored.members(["a", "b"], "r");
    for n in 0..3 {
        stored.say(a, chat("r", &n.to_string(), &n.to_string()));
    }
    stored.commit();
    let since = stored.world.told(b)[0]["position"].clone();
    stored.restart();
    let [a, b] = ["a", "b"].map(|name| stored.world.guest(name));
    stored.say(b, join("r", Some(&since)));
    let joined = stored.world.told(b).remove(0);
    assert_eq!(joined["recovered"], true);
    assert_eq!(contents(&joined["history"]), ["1", "2"]);
    stored.say(a, join("r", None));
    stored.world.told(a);
    stored.world.told(b);
    // What was acknowledged is acknowledged again, with its first position, and not said again.
    stored.say(a, chat("r", "0", "0"));
    stored.say(a, chat("r", "3", "3"));
    stored.commit();
    let told = stored.world.told(a);
    assert_eq!(kinds(&told), ["ack", "chat", "ack"]);
    assert_eq!(told[0]["position"], since);
    let last = since.as_str().expect("is a text").replace(":1", ":4");
    assert_eq!(told[1]["position"], last);
    assert_eq!(kinds(&stored.world.told(b)), ["chat"]);
    stored.say(a, chat("r", "other", "0"));
    assert_eq!(kinds(&stored.world.told(a)), ["id_reused"]);
}

#[test]
fn an_id_is_forgotten_five_minutes_after_it_was_said_also_over_a_restart() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", "hello", "1"));
    stored.commit();
    stored.world.pass(ACKNOWLEDGED_FOR - SECOND);
    stored.restart();
    let disk = stored.disk.clone();
    for (wait, expected) in [(SECOND, &["ack"][..]), (3 * SECOND, &["chat", "ack"])] {
        stored.disk = disk.clone();
        stored.restart();
        let [a] = stored.members(["a"], "r");
        stored.world.pass(wait);
        stored.say(a, chat("r", "hello", "1"));
        stored.commit();
        assert_eq!(kinds(&stored.world.told(a)), expected, "{wait:?}");
    }
}

#[test]
fn a_whisper_waits_for_no_disk_and_is_delivered_once_over_a_restart() {
    let mut stored = Stored::new(Config::default());
    let [a, b] = stored.members(["a", "b"], "r");
    let whisper = |content: &str, id: &str| json!({"type": "whisper", "to": "b", "content": content, "id": id});
    for n in ["1", "2"] {
        stored.say(a, whisper(n, n));
        assert_eq!(kinds(&stored.world.told(b)), ["whisper"]);
        assert_eq!(kinds(&stored.world.told(a)), ["whisper", "ack"]);
        assert_eq!(stored.commit(), 1, "its id is kept at once");
        for _ in 0..2 {
            stored.restart();
            let [a, b] = stored.members(["a", "b"], "r");
            stored.say(a, whisper(n, n));
            assert_eq!(kinds(&stored.world.told(a)), ["ack"]);
            assert_eq!(stored.world.told(b), [json!(null); 0]);
            stored.say(a, whisper("other", n));
            assert_eq!(kinds(&stored.world.told(a)), ["id_reused"]);
        }
    }
}

#[test]
fn whispers_go_on_while_the_disk_has_failed_and_their_ids_are_kept_with_everything_else() {
    let mut stored = Stored::new(Config::default());
    let [a, b] = stored.members(["a", "b"], "r");
    stored.say(a, chat("r", "1", "1"));
    stored.fail(false);
    stored.world.told(a);
    let whisper = json!({"type": "whisper", "to": "b", "content": "2", "id": "2"});
    stored.say(a, whisper.clone());
    assert_eq!(kinds(&stored.world.told(a)), ["whisper", "ack"]);
    assert_eq!(kinds(&stored.world.told(b)), ["whisper"]);
    stored.world.pass(STORE_RETRY);
    stored.commit();
    stored.restart();
    let [a, b] = stored.members(["a", "b"], "r");
    stored.say(a, whisper);
    assert_eq!(kinds(&stored.world.told(a)), ["ack"]);
    assert_eq!(stored.world.told(b), [json!(null); 0]);
}

#[test]
fn a_batch_that_fails_is_refused_and_everything_is_written_anew_before_service_goes_on() {
    for is_kept in [false, true] {
        let mut stored = Stored::new(Config::default());
        let [a, b] = stored.members(["a", "b"], "r");
        stored.say(a, chat("r", "1", "1"));
        stored.commit();
        let last = stored.world.told(a)[1]["position"].clone();
        stored.world.told(b);
        stored.say(a, chat("r", "2", "2"));
        stored.fail(is_kept);
        assert_eq!(kinds(&stored.world.told(a)), ["storage_unavailable"]);
        // Nothing is taken until everything is on disk once more.
        stored.say(b, chat("r", "3", "3"));
        assert_eq!(kinds(&stored.world.told(b)), ["storage_unavailable"]);
        assert!(stored.batch().is_none());
        stored.world.pass(STORE_RETRY);
        let (serial, job) = stored.batch().expect("everything is written");
        assert!(matches!(job, Job::Rewrite(_)));
        stored.say(b, chat("r", "3", "3"));
        assert_eq!(kinds(&stored.world.told(b)), ["storage_unavailable"]);
        stored.commit_one(serial, job);
        stored.say(a, chat("r", "2", "2"));
        stored.commit();
        let told = stored.world.told(a);
        assert_eq!(kinds(&told), ["chat", "ack"]);
        let next = last.as_str().expect("is a text").replace(":1", ":2");
        assert_eq!(told[0]["position"], next);
        stored.restart();
        let b = stored.world.guest("b");
        stored.say(b, join("r", None));
        let told = stored.world.told(b);
        assert_eq!(contents(&told[0]["history"]), ["1", "2"]);
    }
}

#[test]
fn what_was_not_known_to_be_kept_when_the_server_was_killed_is_there_once_or_not_at_all() {
    for is_kept in [false, true] {
        let mut stored = Stored::new(Config::default());
        let [a] = stored.members(["a"], "r");
        stored.say(a, chat("r", "1", "1"));
        stored.fail(is_kept);
        stored.restart();
        let [a] = stored.members(["a"], "r");
        stored.say(a, chat("r", "1", "1"));
        stored.commit();
        let told = stored.world.told(a);
        let expected: &[&str] = if is_kept { &["ack"] } else { &["chat", "ack"] };
        assert_eq!(kinds(&told), expected);
        stored.restart();
        let a = stored.world.guest("a");
        stored.say(a, join("r", None));
        assert_eq!(contents(&stored.world.told(a)[0]["history"]), ["1"]);
    }
}

#[test]
fn the_wait_before_everything_is_written_doubles_with_each_failure() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", "1", "1"));
    stored.fail(false);
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        stored
            .world
            .pass(Duration::from_secs(wait) - Duration::from_millis(1));
        assert!(stored.batch().is_none(), "{wait}");
        stored.world.pass(Duration::from_millis(1));
        stored.fail(false);
    }
}

#[test]
fn a_client_that_has_seen_more_than_the_disk_has_kept_gets_a_new_epoch() {
    let mut stored = Stored::new(Config::default());
    let [a, b] = stored.members(["a", "b"], "r");
    stored.say(a, chat("r", "1", "1"));
    stored.commit();
    let before = stored.disk.clone();
    stored.say(a, chat("r", "lost", "2"));
    stored.commit();
    let since = stored.world.told(b).pop().expect("was told")["position"].clone();
    // The disk has lost what it had confirmed.
    stored.disk = before;
    stored.restart();
    let [b, c] = ["b", "c"].map(|name| stored.world.guest(name));
    stored.say(b, join("r", Some(&since)));
    let joined = stored.world.told(b).remove(0);
    assert_eq!(joined["recovered"], false);
    assert_eq!(contents(&joined["history"]), ["1"]);
    assert_ne!(
        joined["position"].to_string()[..17],
        since.to_string()[..17]
    );
    // Once: nobody can make others lose their place again and again.
    let ahead = joined["position"].as_str().expect("is a text");
    let ahead = json!(ahead.replace(":1", ":99"));
    stored.say(c, join("r", Some(&ahead)));
    let again = stored.world.told(c).remove(0);
    assert_eq!(again["position"], joined["position"]);
    stored.say(c, chat("r", "2", "2"));
    stored.commit();
    stored.restart();
    let d = stored.world.guest("d");
    stored.say(d, join("r", Some(&joined["position"])));
    let resumed = stored.world.told(d).remove(0);
    assert_eq!(
        (&resumed["recovered"], contents(&resumed["history"])),
        (&json!(true), vec!["2"])
    );
}

#[test]
fn an_evicted_room_is_gone_from_disk_with_its_messages() {
    let mut config = Config::default();
    config.rooms.rooms = 1;
    let mut stored = Stored::new(config);
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", "1", "1"));
    stored.commit();
    stored.say(a, json!({"type": "leave", "room": "r"}));
    stored.say(a, join("s", None));
    stored.commit();
    let kept = stored.disk.load();
    assert_eq!(kept.rooms.len(), 1);
    assert_eq!(&*kept.rooms[0].name, "s");
    assert!(kept.rooms[0].room.messages.is_empty() && kept.ids.is_empty());
}

#[test]
fn with_fewer_rooms_allowed_than_are_kept_those_used_last_stay_and_it_is_told() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r1");
    for room in ["r2", "r3"] {
        stored.world.pass(SECOND);
        stored.say(a, join(room, None));
        stored.commit();
    }
    let mut config = Config::default();
    config.rooms.rooms = 2;
    let mut stored = Stored::starting(config, stored.disk, stored.world.now.unix);
    stored.world.turn();
    let rooms = stored.world.server.rooms();
    assert!(rooms.find("r1").is_err() && rooms.find("r2").is_ok() && rooms.find("r3").is_ok());
    let told = |line: &String| line.contains("rooms_dropped") && line.contains("rooms=1");
    assert!(stored.world.wires.log.iter().any(told));
}

#[test]
fn a_store_keeps_no_more_than_memory_does() {
    let mut stored = Stored::new(Config::default());
    let [a] = stored.members(["a"], "r");
    for n in 0..30 {
        for m in 0..40 {
            stored
                .world
                .say(a, chat("r", &format!("{n} {m}"), &format!("{n} {m}")));
        }
        stored.commit();
        stored.world.pass(SECOND);
    }
    stored.world.pass(ACKNOWLEDGED_FOR);
    // The first one was silent for too long.
    let [a] = stored.members(["a"], "r");
    stored.say(a, chat("r", "last", "last"));
    stored.commit();
    stored.say(a, chat("r", "after", "after"));
    stored.commit();
    let kept = stored.disk.load();
    // What the last message has pushed out goes with the next batch.
    assert_eq!(kept.rooms[0].room.messages.len(), 1_001);
    assert_eq!(kept.ids.len(), 2);
}

#[test]
fn while_it_drains_what_was_said_is_committed_before_the_connections_close() {
    let mut stored = Stored::new(Config::default());
    let [a, b] = stored.members(["a", "b"], "r");
    stored.say(a, chat("r", "1", "1"));
    let (serial, job) = stored.batch().expect("a batch is under way");
    stored.say(a, chat("r", "2", "2"));
    stored.world.server.stop(stored.world.now);
    stored.world.turn();
    assert_eq!(stored.world.wire(b).bytes, b"");
    stored.commit_one(serial, job);
    assert_eq!(kinds(&stored.world.told(b)), ["chat"]);
    stored.commit();
    let bytes = stored.world.wire(a).bytes.clone();
    let text = String::from_utf8_lossy(&bytes);
    let (_, behind) = text
        .split_once(r#""ack","id":"2""#)
        .expect("is acknowledged");
    assert!(behind.contains("서버를 종료합니다"), "{behind}");
}

#[test]
fn a_batch_of_many_messages_is_told_in_parts_and_in_order() {
    let config = Config {
        messages_per_second: 0,
        ..Config::default()
    };
    let mut stored = Stored::new(config);
    let [a, b] = stored.members(["a", "b"], "r");
    let count = 6 * STORE_ANSWERS_PER_TURN;
    for n in 0..count {
        stored
            .world
            .say(a, chat("r", &n.to_string(), &n.to_string()));
    }
    let mut parts = 0;
    while let Some((serial, job)) = stored.batch() {
        stored.keep(&job);
        let now = stored.world.now;
        let committed = Done::Stored(Ok(COMMITTED));
        stored.world.server.finished(serial, committed, now);
        while stored.world.one_turn() {
            parts += 1;
        }
    }
    assert!(parts >= 4, "{parts}");
    let told = stored.world.told(b);
    let texts = told.iter().map(|one| one["content"].as_str());
    let texts = texts.map(|text| text.and_then(|text| text.parse().ok()));
    assert!(texts.eq((0..count).map(Some)));
}

#[test]
fn whispers_with_an_id_are_bounded_before_a_disk_that_hangs() {
    let config = Config {
        messages_per_second: 0,
        ..Config::default()
    };
    let mut stored = Stored::new(config);
    let [a, b] = stored.members(["a", "b"], "r");
    stored.say(a, chat("r", "1", "1"));
    let (serial, job) = stored.batch().expect("a batch is under way");
    let (mut count, mut refused) = (0, 0);
    while refused == 0 {
        let id = format!("{count:064}");
        stored.say(
            a,
            json!({"type": "whisper", "to": "b", "content": "hi", "id": id}),
        );
        count += 1;
        assert!(count < STORE_REST_BYTES_MAX / 100, "there is an end");
        let told = kinds(&stored.world.told(a));
        refused += usize::from(told == ["storage_unavailable"]);
        stored.world.told(b);
    }
    // Without an id nothing is kept.
    stored.say(a, json!({"type": "whisper", "to": "b", "content": "hi"}));
    assert_eq!(kinds(&stored.world.told(b)), ["whisper"]);
    stored.commit_one(serial, job);
    stored.commit();
    stored.world.told(a);
    stored.say(
        a,
        json!({"type": "whisper", "to": "b", "content": "hi", "id": "2"}),
    );
    assert_eq!(kinds(&stored.world.told(a)), ["whisper", "ack"]);
}
