//! Events the server sends over a WebSocket, encoded as JSON.
//!
//! A chat message, the most frequent event, is encoded by hand: the code serde derives takes several times as long as
//! all other work for a small message.

use crate::domain::event::{ChatMessage, Event};
use crate::domain::position::POSITION_BYTES_MAX;
use crate::domain::time::TIMESTAMP_BYTES;
use crate::wire::websocket::{TEXT, encode};

/// Appends an event as one text frame. `scratch` is a buffer for the JSON, reused to save allocations.
pub fn encode_event(event: &Event, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    scratch.clear();
    match event {
        Event::Chat(message) => write_chat(message, scratch),
        _ => serde_json::to_writer(&mut *scratch, event)
            .expect("writing our own values into memory cannot fail"),
    }
    encode(TEXT, scratch, out);
}

/// Appends the same JSON as serde writes for [`Event::Chat`](crate::domain::event::Event::Chat).
fn write_chat(message: &ChatMessage, out: &mut Vec<u8>) {
    // Without `..`, so that a new field does not compile until it is encoded here.
    let ChatMessage {
        room,
        username,
        content,
        timestamp,
        position,
        guest,
        // One that was deleted is no chat message any more.
        deleted_at: _,
    } = message;
    out.extend_from_slice(br#"{"type":"chat","room":"#);
    write_string(room, out);
    out.extend_from_slice(br#","username":"#);
    write_string(username, out);
    out.extend_from_slice(br#","content":"#);
    write_string(content, out);
    out.extend_from_slice(br#","timestamp":""#);
    out.extend_from_slice(timestamp.text(&mut [0; TIMESTAMP_BYTES]).as_bytes());
    out.extend_from_slice(br#"","position":""#);
    out.extend_from_slice(position.text(&mut [0; POSITION_BYTES_MAX]).as_bytes());
    out.extend_from_slice(match guest {
        true => &br#"","guest":true}"#[..],
        false => br#""}"#,
    });
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // No early exit, so that the compiler vectorizes the search.
    let is_escaped = |byte| matches!(byte, 0..=0x1f | b'"' | b'\\');
    if text.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
        return serde_json::to_writer(out, text)
            .expect("writing our own values into memory cannot fail");
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::domain::event::Event;
    use crate::domain::position::Position;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_chat_is_written_as_serde_writes_it() {
        let every_ascii: String = (0..=0x7f_u8).map(char::from).collect();
        for (n, content) in [
            "",
            "hello",
            "안녕하세요 👋",
            "\"",
            "a\\",
            "\u{7f}/</script>",
            &every_ascii,
        ]
        .into_iter()
        .enumerate()
        {
            let message = Rc::new(ChatMessage {
                room: "tech \"1\"".into(),
                username: "홍길동".into(),
                content: content.into(),
                timestamp: Timestamp(1_705_314_600),
                position: Position { epoch: 7, seq: 42 },
                guest: n % 2 == 0,
                deleted_at: None,
            });
            let mut written = Vec::new();
            write_chat(&message, &mut written);
            let expected = serde_json::to_vec(&Event::Chat(message)).expect("is written");
            assert_eq!(written, expected);
        }
    }
}
