//! A subscriber of an event stream, and who posts events.

use std::time::Duration;

use sarang::domain::ids::ConnectionId;

use crate::world::World;

/// An event as a client reads it: name, data, id.
pub type Event = (String, String, Option<u64>);

/// Subscribes, and reads what is sent at once.
pub fn subscribe(
    world: &mut World,
    channel: &str,
    last_event_id: Option<&str>,
) -> (ConnectionId, Vec<Event>) {
    let id = world.connect();
    let field = last_event_id
        .map(|id| format!("Last-Event-ID: {id}\r\n"))
        .unwrap_or_default();
    let request = format!("GET /sse/{channel} HTTP/1.1\r\nHost: x\r\n{field}\r\n");
    world.receive(id, request.as_bytes());
    world.pass(Duration::ZERO);
    let bytes = &mut world.wire(id).bytes;
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("has answered")
        + 4;
    assert!(bytes.starts_with(b"HTTP/1.1 200 "));
    bytes.drain(..end);
    (id, read(world, id))
}

/// The content of whole chunks; an incomplete chunk stays in the buffer.
fn take_chunks(bytes: &mut Vec<u8>) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            return content;
        };
        let text = std::str::from_utf8(&bytes[..line]).expect("is a chunk size");
        let size = usize::from_str_radix(text, 16).expect("is a chunk size");
        if bytes.len() < line + 2 + size + 2 {
            return content;
        }
        content.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        assert_eq!(&bytes[line + 2 + size..line + 4 + size], b"\r\n");
        bytes.drain(..line + 4 + size);
    }
}

/// The complete events a client was sent since the last call.
pub fn read(world: &mut World, id: ConnectionId) -> Vec<Event> {
    let text = String::from_utf8(take_chunks(&mut world.wire(id).bytes)).expect("is UTF-8");
    text.split_terminator("\n\n")
        .filter_map(read_event)
        .collect()
}

fn read_event(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let name = field("event: ")?.to_owned();
    Some((
        name,
        field("data: ")?.to_owned(),
        field("id: ").map(|id| id.parse().expect("is a number")),
    ))
}

pub fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().filter_map(|(_, _, id)| *id).collect()
}

/// Posts to a channel; returns the id of the event.
pub fn post(world: &mut World, publisher: ConnectionId, channel: &str, json: &str) -> u64 {
    let answer = try_post(world, publisher, channel, json);
    let id = answer
        .strip_prefix("200 {\"id\":")
        .and_then(|rest| rest.strip_suffix('}'));
    id.and_then(|id| id.parse().ok())
        .unwrap_or_else(|| panic!("{answer}"))
}

/// Posts to a channel; returns the status and the content of the response.
pub fn try_post(world: &mut World, publisher: ConnectionId, channel: &str, json: &str) -> String {
    let length = json.len();
    let request = format!(
        "POST /events/{channel} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{json}"
    );
    world.receive(publisher, request.as_bytes());
    world.turn();
    let answer =
        String::from_utf8(std::mem::take(&mut world.wire(publisher).bytes)).expect("is UTF-8");
    let (head, content) = answer.split_once("\r\n\r\n").expect("has a head");
    format!("{} {content}", &head["HTTP/1.1 ".len()..][..3])
}
