//! The requests of a back end with a key, each on a connection of its own.

use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use crate::client::bearer;
use crate::stored::Stored;
use crate::world::{KEY, World};

/// A request whose answer may come later: its connection.
pub fn begin(world: &mut World, method: &str, target: &str, body: &Value) -> ConnectionId {
    let id = world.connect();
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let (bearer, length) = (bearer(KEY), body.len());
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\n{bearer}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    world.receive(id, head.as_bytes());
    world.turn();
    id
}

/// The answer to a request, if it has come: its status and body. Its connection closes then.
pub fn answer(world: &mut World, id: ConnectionId) -> Option<(u16, Value)> {
    world.turn();
    let bytes = std::mem::take(&mut world.wire(id).bytes);
    let text = String::from_utf8(bytes).expect("an answer is UTF-8");
    if text.is_empty() {
        return None;
    }
    let (head, body) = text.split_once("\r\n\r\n").expect("is whole");
    if world.is_open(id) {
        world.server.closed(id, world.now);
        world.turn();
    }
    let status = head[9..12].parse().expect("a status");
    Some((status, serde_json::from_str(body).unwrap_or_default()))
}

/// A request that is answered at once.
pub fn ask(world: &mut World, method: &str, target: &str, body: Value) -> (u16, Value) {
    let id = begin(world, method, target, &body);
    answer(world, id).expect("is answered")
}

/// A request without a body, and its status.
pub fn status(world: &mut World, method: &str, target: &str) -> u16 {
    ask(world, method, target, Value::Null).0
}

/// A request that is answered when all that is under way is on disk, and not before.
pub fn ask_disk(stored: &mut Stored, method: &str, target: &str, body: Value) -> (u16, Value) {
    let id = begin(&mut stored.world, method, target, &body);
    assert_eq!(answer(&mut stored.world, id), None, "the disk comes first");
    assert!(stored.commit() > 0);
    answer(&mut stored.world, id).expect("is answered")
}

/// A message of a back end: its answer.
pub fn post(world: &mut World, room: &str, content: &str) -> (u16, Value) {
    let target = format!("/rooms/{room}/messages");
    ask(world, "POST", &target, json!({"content": content}))
}

/// The code of an error.
pub fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or_default()
}

/// A room, with `max_users` if that is a number.
pub fn create(world: &mut World, room: &str) {
    let (status, body) = ask(world, "POST", "/rooms", json!({"name": room}));
    assert_eq!(status, 201, "{body}");
}

/// What a client was told of these types.
pub fn told_of(world: &mut World, id: ConnectionId, types: &[&str]) -> Vec<Value> {
    let told = world.told(id).into_iter();
    told.filter(|one| types.contains(&one["type"].as_str().unwrap_or_default()))
        .collect()
}

/// The code and the reason of the close frame with which a client's output ends, and the messages before it.
pub fn closing(world: &mut World, id: ConnectionId) -> (Vec<Value>, u16, String) {
    let bytes = world.wire(id).bytes.clone();
    let mut told = world.told(id);
    let closed = told.pop().expect("was told something");
    let code = closed["close"].as_u64().expect("was closed last");
    let start = bytes
        .windows(2)
        .rposition(|two| two == (code as u16).to_be_bytes());
    let reason = &bytes[start.expect("has the code") + 2..];
    let reason = String::from_utf8(reason.to_vec()).expect("is UTF-8");
    (told, code as u16, reason)
}
