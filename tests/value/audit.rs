//! The audit log: who has done what, in order, and never what was said.

use std::time::Duration;

use sarang::config::{AUDIT_EVENTS_KEPT, Config};
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::client::{self, bearer};
use crate::desk::{ask, create, post, status};
use crate::subscriber::{Event, read};
use crate::world::{KEY, World};

/// Subscribes; returns the connection and what it is sent at once.
fn subscribe(world: &mut World, last_event_id: Option<u64>) -> (ConnectionId, Vec<Event>) {
    let id = world.connect();
    let query = last_event_id
        .map(|id| format!("?last_event_id={id}"))
        .unwrap_or_default();
    let head = format!(
        "GET /sse/audit{query} HTTP/1.1\r\nHost: x\r\n{}\r\n",
        bearer(KEY)
    );
    world.receive(id, head.as_bytes());
    world.turn();
    let bytes = &mut world.wire(id).bytes;
    assert!(bytes.starts_with(b"HTTP/1.1 200 "));
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    bytes.drain(..end.expect("is whole") + 4);
    (id, read(world, id))
}

/// What was noted since the last call, without the times.
fn noted(world: &mut World, id: ConnectionId) -> Vec<Value> {
    world.turn();
    let events = read(world, id).into_iter();
    events
        .map(|(name, data, _)| {
            assert_eq!(name, "audit");
            let mut entry: Value = serde_json::from_str(&data).expect("JSON");
            let entry_of = entry.as_object_mut().expect("an object");
            assert!(entry_of.remove("time").is_some());
            entry
        })
        .collect()
}

/// The same in short: the actions, actors and subjects.
fn short(world: &mut World, id: ConnectionId) -> Vec<String> {
    let entries = noted(world, id).into_iter();
    let text = |entry: &Value, name| entry[name].as_str().unwrap_or_default().to_owned();
    entries
        .map(|entry| {
            let [action, actor, subject] =
                ["action", "actor", "subject"].map(|name| text(&entry, name));
            match actor == subject {
                true => format!("{action} {actor}"),
                false => format!("{action} {actor} {subject}"),
            }
        })
        .collect()
}

#[test]
fn comings_and_goings_have_their_names_whichever_way_somebody_leaves() {
    let mut world = World::new(Config::default());
    let (audit, old) = subscribe(&mut world, None);
    assert_eq!(old, []);
    let a = world.member("a", "r");
    assert_eq!(
        short(&mut world, audit),
        ["connected a", "room_created a r", "joined a r"]
    );
    let b = world.member("b", "r");
    assert_eq!(short(&mut world, audit), ["connected b", "joined b r"]);
    world.say(a, json!({"type": "leave", "room": "r"}));
    assert_eq!(short(&mut world, audit), ["left a r"]);
    world.say(a, json!({"type": "join", "room": "r"}));
    assert_eq!(short(&mut world, audit), ["joined a r"]);
    // The socket breaks.
    world.end(a);
    world.turn();
    assert_eq!(short(&mut world, audit), ["disconnected a", "left a r"]);
    assert_eq!(
        status(&mut world, "DELETE", "/users/b/connections?room=r"),
        204
    );
    assert_eq!(short(&mut world, audit), ["left b r", "kicked key:shop b"]);
    world.say(b, json!({"type": "join", "room": "r"}));
    world.turn();
    assert_eq!(status(&mut world, "DELETE", "/rooms/r"), 204);
    assert_eq!(
        short(&mut world, audit),
        ["joined b r", "left b r", "room_removed key:shop r"]
    );
    world.say(b, json!({"type": "join", "room": "s"}));
    world.turn();
    assert_eq!(
        status(&mut world, "PUT", "/users/b/ban"),
        400,
        "it has no body"
    );
    assert_eq!(ask(&mut world, "PUT", "/users/b/ban", json!({})).0, 204);
    let told = short(&mut world, audit);
    assert_eq!(told[..2], ["room_created b s", "joined b s"]);
    let mut rest = told[2..].to_vec();
    rest.sort();
    assert_eq!(rest, ["banned key:shop b", "disconnected b", "left b s"]);
}

/// An entry of what the back end has done.
fn by(action: &str, rest: Value) -> Value {
    let mut entry = json!({"action": action, "actor": "key:shop", "address": "127.0.0.1"});
    for (name, value) in rest.as_object().expect("an object") {
        entry[name] = value.clone();
    }
    entry
}

#[test]
fn what_moderators_do_is_noted_with_whom_and_why_but_not_what_was_said() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let kim = world.guest("kim");
    let (audit, _) = subscribe(&mut world, None);
    let (_, said) = post(&mut world, "r", "never told");
    assert_eq!(noted(&mut world, audit), [] as [Value; 0]);
    let position = said["position"].clone();
    let at = position.as_str().expect("a position");
    for (method, target, body, expected) in [
        (
            "DELETE",
            &*format!("/rooms/r/messages/{at}"),
            Value::Null,
            by(
                "message_deleted",
                json!({"subject": "r", "position": position}),
            ),
        ),
        (
            "PATCH",
            "/rooms/r",
            json!({"history_seconds": null, "write": "moderators"}),
            by(
                "room_changed",
                json!({"subject": "r", "changes": {"history_seconds": null, "write": "moderators"}}),
            ),
        ),
        (
            "PUT",
            "/users/kim/ban",
            json!({"room": "r", "reason": "noise"}),
            by(
                "banned",
                json!({"subject": "kim", "room": "r", "reason": "noise", "until": null}),
            ),
        ),
        (
            "DELETE",
            "/users/kim/ban?room=r",
            Value::Null,
            by("unbanned", json!({"subject": "kim", "room": "r"})),
        ),
        (
            "POST",
            "/users/kim/revocations",
            Value::Null,
            by("revoked", json!({"subject": "kim"})),
        ),
        (
            "DELETE",
            "/rooms/r",
            Value::Null,
            by("room_removed", json!({"subject": "r"})),
        ),
    ] {
        let (status, answer) = ask(&mut world, method, target, body);
        assert!(status < 300, "{method} {target}: {status} {answer}");
        assert_eq!(noted(&mut world, audit), [expected], "{method} {target}");
    }
    assert!(world.is_open(kim));
}

#[test]
fn what_is_refused_is_not_noted() {
    let mut world = World::new(Config::default());
    let (audit, _) = subscribe(&mut world, None);
    for (method, target, body) in [
        ("POST", "/rooms/none/messages", json!({"content": "x"})),
        ("POST", "/users/none/messages", json!({"content": "x"})),
        ("DELETE", "/rooms/none", Value::Null),
        ("PATCH", "/rooms/none", json!({})),
        ("DELETE", "/users/none/ban", Value::Null),
        ("DELETE", "/users/none/connections", Value::Null),
    ] {
        assert!(ask(&mut world, method, target, body).0 >= 400);
    }
    assert_eq!(noted(&mut world, audit), [json!(null); 0]);
}

#[test]
fn sign_ins_and_handshakes_are_noted_and_nothing_secret() {
    let mut world = World::new(Config::default());
    let (audit, _) = subscribe(&mut world, None);
    let token = client::login(&mut world);
    let (_, ticket) = client::ticket(&mut world, &token);
    let (socket, _) = client::enter(&mut world, &ticket);
    world.say(socket, json!({"type": "join", "room": "r"}));
    world.turn();
    let end = client::request(&mut world, "POST", "/auth/logout", &bearer(&token), "");
    assert_eq!(end.0, 204);
    let told = noted(&mut world, audit);
    let actions: Vec<_> = told
        .iter()
        .map(|entry| entry["action"].as_str().expect("a text"))
        .collect();
    let expected = ["signed_in", "connected", "room_created", "joined"];
    assert_eq!(actions[..4], expected);
    let mut rest = actions[4..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, ["disconnected", "left", "signed_out"]);
    assert!(
        told.iter().all(|entry| entry["actor"] == "admin"),
        "{told:?}"
    );
    let text = format!("{told:?}");
    assert!(
        ![&token, &ticket, "secret"]
            .iter()
            .any(|secret| text.contains(*secret))
    );
}

/// Something that is noted.
fn change(world: &mut World) {
    let changed = ask(world, "PATCH", "/rooms/r", json!({"max_users": 7}));
    assert_eq!(changed.0, 200);
}

#[test]
fn who_resumes_misses_nothing_that_is_kept_and_learns_of_a_gap() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let (first, _) = subscribe(&mut world, None);
    change(&mut world);
    let seen = read(&mut world, first)[0].2.expect("an id");
    for _ in 0..AUDIT_EVENTS_KEPT {
        change(&mut world);
    }
    let (_, missed) = subscribe(&mut world, Some(seen));
    let ids: Vec<u64> = missed.iter().filter_map(|(_, _, id)| *id).collect();
    assert_eq!(
        ids,
        (seen + 1..=seen + AUDIT_EVENTS_KEPT as u64).collect::<Vec<_>>()
    );
    let (_, missed) = subscribe(&mut world, Some(seen - 1));
    assert_eq!(
        (&*missed[0].0, missed.len()),
        ("gap", AUDIT_EVENTS_KEPT + 1)
    );
}

#[test]
fn a_subscriber_who_takes_nothing_is_closed_and_resumes_where_it_was() {
    let mut world = World::new(Config::default());
    create(&mut world, "r");
    let (slow, _) = subscribe(&mut world, None);
    let (good, _) = subscribe(&mut world, None);
    world.wire(slow).room = 0;
    let mut count = 0;
    while world.is_open(slow) {
        change(&mut world);
        assert_eq!(read(&mut world, good).len(), 1);
        count += 1;
        assert!(count < 100_000, "there is an end");
        if count % 100 == 0 {
            world.pass(Duration::from_secs(1));
            read(&mut world, good);
        }
    }
    assert!(world.is_open(good));
}
