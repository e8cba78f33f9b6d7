//! A client that signs in over HTTP, each request on a connection of its own.

use sarang::domain::ids::ConnectionId;
use serde_json::Value;

use crate::world::World;

/// One request on a connection of its own: status and body. Every password check succeeds.
pub fn request(
    world: &mut World,
    method: &str,
    target: &str,
    fields: &str,
    body: &str,
) -> (u16, Value) {
    let id = world.connect();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    world.receive(id, head.as_bytes());
    world.turn();
    world.check_passwords(true);
    world.turn();
    let bytes = std::mem::take(&mut world.wire(id).bytes);
    let text = String::from_utf8(bytes).expect("an answer is UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("has answered");
    world.server.closed(id, world.now);
    world.turn();
    let status = head[9..12].parse().expect("a status");
    (status, serde_json::from_str(body).unwrap_or_default())
}

pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// A token of the demo account.
pub fn login(world: &mut World) -> String {
    let form = r#"{"username":"admin","password":"secret"}"#;
    let (status, body) = request(world, "POST", "/auth/login", "", form);
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().expect("a token").to_owned()
}

pub fn ticket(world: &mut World, token: &str) -> (u16, String) {
    let (status, body) = request(world, "POST", "/auth/ws-ticket", &bearer(token), "");
    (
        status,
        body["ticket"].as_str().unwrap_or_default().to_owned(),
    )
}

/// A WebSocket opened with a ticket, and its first message.
pub fn enter(world: &mut World, ticket: &str) -> (ConnectionId, Value) {
    let id = world.connect();
    let opening = format!(
        "GET /ws?ticket={ticket} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    world.receive(id, opening.as_bytes());
    world.turn();
    let bytes = &mut world.wire(id).bytes;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    bytes.drain(..end.expect("has answered") + 4);
    let told = world.told(id);
    (id, told.into_iter().next().expect("is told something"))
}
