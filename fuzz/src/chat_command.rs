//! The JSON a chat client sends.

use sarang::config::MESSAGE_ID_BYTES_MAX;
use sarang::conn::act::Kind;
use sarang::conn::command::{Command, Ticket, parse};
use sarang::domain::error::ErrorCode;
use sarang::domain::position::Position;
use serde_json::{Map, Value, json};

/// Fuzzes [`parse`] and [`Position::parse`].
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let value = serde_json::from_str::<Value>(text);
    let id = match &parse(text) {
        Ok((command, id)) => {
            check(command, id.as_deref(), value.ok());
            id.as_deref()
        }
        Err((ErrorCode::BadJson, id)) => {
            assert!(value.is_err(), "it is JSON");
            id.as_deref()
        }
        Err((ErrorCode::BadRequest | ErrorCode::UnknownType, id)) => id.as_deref(),
        Err((other, _)) => panic!("{other:?} is not the parser's to say"),
    }
    .map(str::len);
    assert!(id.unwrap_or(0) <= MESSAGE_ID_BYTES_MAX);
}

/// Serialized again, in order and without ignored members, it is the same command, with the values that a reader of any
/// JSON finds in the text.
fn check(command: &Command<'_>, id: Option<&str>, value: Option<Value>) {
    let mut written = write(command);
    if let Some(id) = id {
        written["id"] = id.into();
    }
    let text = written.to_string();
    let (again, same_id) = parse(&text).expect("was a command");
    assert_eq!((&again, same_id.as_deref()), (command, id));
    // A number that fits no type is accepted in an ignored member, but is no `Value`.
    if let Some(Value::Object(value)) = value {
        let without_null = |(name, value): (&String, &Value)| {
            (!value.is_null()).then(|| (name.clone(), value.clone()))
        };
        let said: Map<String, Value> = value.iter().filter_map(without_null).collect();
        for (name, value) in written.as_object().expect("is one") {
            let is_absent = value.is_null();
            assert_eq!(said.get(name), Some(value).filter(|_| !is_absent));
        }
    }
    if let Command::Join {
        since: Some(since), ..
    } = command
        && let Some(position) = Position::parse(since)
    {
        assert_eq!(position.to_string(), **since, "a position has one spelling");
    }
}

fn write(command: &Command<'_>) -> Value {
    match command {
        Command::Join { room, since: None } => json!({"type": "join", "room": room}),
        Command::Join { room, since } => json!({"type": "join", "room": room, "since": since}),
        Command::Chat { room, content } => {
            json!({"type": "chat", "room": room, "content": content})
        }
        Command::Whisper { to, content } => {
            json!({"type": "whisper", "to": to, "content": content})
        }
        Command::Leave { room } => json!({"type": "leave", "room": room}),
        Command::RoomList {
            after,
            limit,
            watch,
        } => {
            json!({"type": "room_list", "after": after, "limit": limit, "watch": watch})
        }
        Command::History {
            room,
            before,
            limit,
        } => {
            json!({"type": "history", "room": room, "before": before, "limit": limit})
        }
        Command::Act(kind) => {
            let named = Kind::ALL.iter().find(|(_, other)| other == kind);
            json!({"type": named.map(|(name, _)| *name)})
        }
        Command::Auth {
            ticket: Ticket(ticket),
        } => json!({"type": "auth", "ticket": ticket}),
    }
}
