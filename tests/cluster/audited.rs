//! The audit of all nodes: one order, resumed anywhere, and nothing in it that was not done.

use sarang::config::Config;
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::moderation::{ROOM, cut_off, gathered, leave};
use crate::nodes::{config, key};
use crate::promises::seconds;
use crate::world::World;

/// A stream of the audit at a node.
struct Stream {
    node: usize,
    id: ConnectionId,
}

/// What a stream was sent: the id and the name of an event, and its data. A gap has no id.
type Told = (Option<u64>, String, Value);

/// Asks for the audit, after an id if one is given.
fn follow(world: &mut World, node: usize, after: Option<u64>) -> Stream {
    let at = world.clock.as_secs();
    let claims = json!({"sub": "auditor", "iat": at, "exp": at + 600, "admin": true, "jti": "a"});
    let token = key().sign(&claims);
    let after = after.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
    let clock = world.clock;
    let id = world.nodes[node].connect(clock).expect("is accepted");
    let head = format!(
        "GET /sse/audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{after}\r\n"
    );
    world.nodes[node].send(id, head.as_bytes());
    let stream = Stream { node, id };
    for _ in 0..2_000 {
        let text = text(world, &stream);
        if text.contains("\r\n\r\n") {
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
            return stream;
        }
        world.step();
    }
    panic!("no answer");
}

fn text(world: &mut World, stream: &Stream) -> String {
    let socket = world.nodes[stream.node].sockets.get(stream.id);
    let bytes = socket.expect("is there").bytes.clone();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What it was sent so far.
fn told(world: &mut World, stream: &Stream) -> Vec<Told> {
    let text = text(world, stream);
    let (mut all, mut name, mut data) = (Vec::new(), String::new(), Value::Null);
    for line in text.lines() {
        if let Some(event) = line.strip_prefix("event: ") {
            name = event.to_owned();
        } else if let Some(json) = line.strip_prefix("data: ") {
            data = serde_json::from_str(json).expect("is JSON");
            if name == "gap" {
                all.push((None, name.clone(), data.clone()));
            }
        } else if let Some(id) = line.strip_prefix("id: ") {
            let id = id.parse().expect("is a number");
            all.push((Some(id), name.clone(), data.clone()));
        }
    }
    all
}

/// The actions with their subjects.
fn actions(told: &[Told]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    told.iter()
        .filter(|(_, name, _)| name == "audit")
        .map(|(_, _, data)| (text(&data["action"]), text(&data["subject"])))
        .collect()
}

/// The ids, which grow.
fn ids(told: &[Told]) -> Vec<u64> {
    let ids: Vec<u64> = told.iter().filter_map(|(id, ..)| *id).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    ids
}

fn create(world: &mut World, node: usize, name: &str) {
    let (status, body) = world.moderate(node, "POST", "/rooms", &json!({ "name": name }));
    assert_eq!(status, 201, "{body}");
}

#[test]
fn entries_of_all_nodes_are_in_one_order_and_resumed_at_another_node() {
    let mut world = gathered(41, 3, &[0]);
    let streams: Vec<Stream> = (0..3).map(|node| follow(&mut world, node, None)).collect();
    for number in 0..30 {
        create(&mut world, number % 3, &format!("room {number}"));
    }
    let target = "/users/m0/connections?reason=x";
    assert_eq!(world.moderate(2, "DELETE", target, &Value::Null).0, 204);
    world.pass(seconds(2));
    let all = streams.iter().map(|stream| told(&mut world, stream));
    let all: Vec<Vec<Told>> = all.collect();
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    let numbers = ids(&all[0]);
    let steady = numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    assert!(steady, "{numbers:?}");
    let made = actions(&all[0]);
    let made = made.iter().filter(|(action, _)| action == "room_created");
    let made: Vec<&str> = made.map(|(_, room)| &**room).collect();
    assert_eq!(
        made,
        (0..30).map(|n| format!("room {n}")).collect::<Vec<_>>()
    );
    let kicks = actions(&all[0]);
    assert!(kicks.contains(&("kicked".into(), "m0".into())), "{kicks:?}");
    // A node that has not followed it, and one that starts later.
    let late = world.start_node();
    world.nodes.push(late);
    world.pass(seconds(3));
    for node in 0..4 {
        let resumed = follow(&mut world, node, Some(numbers[9]));
        world.pass(seconds(1));
        let rest = told(&mut world, &resumed);
        assert_eq!(rest, all[0][10..], "{node}");
    }
}

#[test]
fn who_follows_the_audit_misses_nothing_while_their_node_is_cut_off() {
    let mut world = gathered(42, 2, &[]);
    let streams: Vec<Stream> = (0..2).map(|node| follow(&mut world, node, None)).collect();
    create(&mut world, 0, "first");
    world.pass(seconds(1));
    cut_off(&mut world, 1, 3);
    create(&mut world, 0, "second");
    create(&mut world, 0, "third");
    world.pass(seconds(8));
    create(&mut world, 1, "fourth");
    world.pass(seconds(1));
    for stream in &streams {
        let told = told(&mut world, stream);
        assert!(told.iter().all(|(id, ..)| id.is_some()), "{told:?}");
        let rooms: Vec<String> = actions(&told).into_iter().map(|(_, room)| room).collect();
        assert_eq!(rooms, ["first", "second", "third", "fourth"]);
    }
}

#[test]
fn ids_of_the_audit_never_go_back_when_the_engine_is_emptied_or_starts_anew() {
    let mut world = gathered(43, 2, &[]);
    let stream = follow(&mut world, 0, None);
    create(&mut world, 0, "first");
    world.pass(seconds(1));
    let before = ids(&told(&mut world, &stream));
    world.engine.flush_all();
    world.pass(seconds(25));
    // The node that writes now has not followed the audit.
    create(&mut world, 1, "second");
    world.pass(seconds(5));
    let all = told(&mut world, &stream);
    let after = ids(&all);
    assert!(after.len() > before.len(), "{after:?}");
    assert!(all.iter().any(|(_, name, _)| name == "gap"), "{all:?}");
    world.engine.restart();
    world.pass(seconds(10));
    create(&mut world, 1, "third");
    world.pass(seconds(2));
    let all = told(&mut world, &stream);
    assert!(ids(&all).len() > after.len());
    assert_eq!(
        actions(&all).last(),
        Some(&("room_created".into(), "third".into()))
    );
    // Who comes with an id of before is told that there is a hole, at any node.
    let resumed = follow(&mut world, 1, before.last().copied());
    world.pass(seconds(1));
    let rest = told(&mut world, &resumed);
    assert_eq!(rest.first().map(|(_, name, _)| &**name), Some("gap"));
    let rooms: Vec<String> = actions(&rest).into_iter().map(|(_, room)| room).collect();
    assert!(
        rooms.ends_with(&["second".into(), "third".into()]),
        "{rooms:?}"
    );
}

/// What moderators ask for: the method, the target, and the body.
fn requests(position: &str) -> Vec<(&'static str, String, Value)> {
    let room = format!("/rooms/{ROOM}");
    vec![
        ("DELETE", format!("{room}/messages/{position}"), Value::Null),
        ("POST", format!("{room}/messages"), json!({"content": "x"})),
        (
            "POST",
            "/rooms/asleep/messages".into(),
            json!({"content": "x"}),
        ),
        ("PATCH", room.clone(), json!({"write": "moderators"})),
        (
            "PATCH",
            "/rooms/asleep".into(),
            json!({"write": "moderators"}),
        ),
        ("DELETE", room, Value::Null),
        ("DELETE", "/users/m0/connections".into(), Value::Null),
        ("DELETE", "/users/m1/connections".into(), Value::Null),
        (
            "DELETE",
            format!("/users/m0/connections?room={ROOM}"),
            Value::Null,
        ),
        ("POST", "/users/m1/messages".into(), json!({"content": "x"})),
        ("GET", "/users".into(), Value::Null),
        ("GET", "/users/m0".into(), Value::Null),
        ("GET", "/users/m1".into(), Value::Null),
        ("PUT", "/users/m0/ban".into(), json!({})),
        ("PUT", "/users/nobody/ban".into(), json!({"room": ROOM})),
        ("POST", "/users/nobody/revocations".into(), json!({})),
        ("GET", "/sse/audit".into(), Value::Null),
    ]
}

#[test]
fn without_the_engine_all_is_refused_and_nothing_is_noted_that_was_not_done() {
    let mut world = gathered(44, 2, &[0, 1]);
    create(&mut world, 1, "asleep");
    world.act(0, |member, node, clock| member.say(ROOM, node, clock));
    world.until("is acknowledged", World::is_settled);
    let (epoch, seq) = world.members[0].acked["m0-1"].2.clone();
    let stream = follow(&mut world, 1, None);
    world.pass(seconds(1));
    let before = told(&mut world, &stream);
    cut_off(&mut world, 0, 150);
    world.pass(seconds(1));
    for (method, target, body) in requests(&format!("{epoch}:{seq}")) {
        let (status, answer) = world.moderate(0, method, &target, &body);
        let code = &answer["error"]["code"];
        assert_eq!(
            (status, code),
            (503, &json!("backend_unavailable")),
            "{method} {target}"
        );
    }
    assert!(world.members.iter().all(|member| member.notices.is_empty()));
    assert!(world.members[0].rooms[ROOM].is_in);
    world.pass(seconds(200));
    let since = actions(&told(&mut world, &stream)[before.len()..]);
    let deeds = ["joined", "left", "connected", "disconnected"];
    let others = since
        .iter()
        .filter(|(action, _)| !deeds.contains(&&**action));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    let room = world.moderate(1, "GET", &format!("/rooms/{ROOM}"), &Value::Null);
    assert_eq!((room.0, &room.1["write"]), (200, &json!("everyone")));
    assert!(crate::moderation::read(&mut world, 1, "/bans")["bans"] == json!([]));
}

#[test]
fn what_could_not_be_deleted_is_not_noted() {
    let mut world = gathered(45, 2, &[0]);
    let stream = follow(&mut world, 1, None);
    for target in [
        "/rooms/tech/messages/0123456789abcdef:1",
        "/rooms/none/messages/0123456789abcdef:1",
    ] {
        assert_eq!(world.moderate(0, "DELETE", target, &Value::Null).0, 404);
    }
    assert_eq!(
        world.moderate(0, "DELETE", "/rooms/none", &Value::Null).0,
        404
    );
    assert_eq!(
        world
            .moderate(0, "DELETE", "/users/none/connections", &Value::Null)
            .0,
        404
    );
    world.act(0, |member, node, clock| member.say(ROOM, node, clock));
    world.until("is acknowledged", World::is_settled);
    let (epoch, seq) = world.members[0].acked["m0-1"].2.clone();
    let target = format!("/rooms/{ROOM}/messages/{epoch}:{seq}");
    assert_eq!(world.moderate(0, "DELETE", &target, &Value::Null).0, 204);
    world.pass(seconds(1));
    let all = told(&mut world, &stream);
    assert_eq!(
        actions(&all),
        [("message_deleted".to_owned(), ROOM.to_owned())]
    );
    assert_eq!(all[0].2["position"], format!("{epoch}:{seq}"));
}

#[test]
fn a_room_that_makes_way_for_another_is_noted_as_removed_once() {
    let mut config = Config {
        secret_file: Some("secrets".into()),
        guests: true,
        ..config()
    };
    config.rooms.rooms = 2;
    let mut world = World::with(config, 46, 2, 1);
    let stream = follow(&mut world, 1, None);
    for (number, name) in ["first", "second", "third"].into_iter().enumerate() {
        world.enter(0, number % 2, name);
        leave(&mut world, 0);
        world.pass(seconds(10));
    }
    let told = actions(&told(&mut world, &stream));
    let of_rooms: Vec<(&str, &str)> = told
        .iter()
        .map(|(action, room)| (&**action, &**room))
        .filter(|(action, _)| action.starts_with("room_"))
        .collect();
    let expected = [
        ("room_created", "first"),
        ("room_created", "second"),
        ("room_removed", "first"),
        ("room_created", "third"),
    ];
    let mut sorted = of_rooms.clone();
    sorted.sort_unstable();
    let mut all = expected;
    all.sort_unstable();
    assert_eq!(sorted, all, "{of_rooms:?}");
}
