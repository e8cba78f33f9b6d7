//! A connection that speaks WebSocket: JSON to commands, events to JSON, and how much a peer may say.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::config::{
    ECHO_MESSAGE_BYTES_MAX, ECHO_READ_BYTES, MESSAGE_BYTES_MAX, MESSAGE_ID_BYTES_MAX,
    WEBSOCKET_READ_BYTES,
};
use crate::domain::error::ErrorCode;
use crate::domain::event::Event;
use crate::wire::websocket::{Receiver, ReceiverLimits, TEXT, encode};

/// One open WebSocket.
#[derive(Debug, Default)]
pub struct WebSocket {
    /// Reads its messages.
    pub receiver: Receiver,
    /// How much it may still say.
    pub allowance: Allowance,
    /// Messages refused in a row because it said too much.
    pub refused: u8,
    /// A ping was sent and nothing came since.
    pub awaits_pong: bool,
    /// Whether it is an echo, not a chat.
    pub is_echo: bool,
}

impl WebSocket {
    /// The largest message it may send.
    pub fn limits(&self) -> ReceiverLimits {
        match self.is_echo {
            false => ReceiverLimits {
                message_bytes: MESSAGE_BYTES_MAX,
                read_bytes: WEBSOCKET_READ_BYTES,
            },
            true => ReceiverLimits {
                message_bytes: ECHO_MESSAGE_BYTES_MAX,
                read_bytes: ECHO_READ_BYTES,
            },
        }
    }
}

/// Messages a peer may send: a token bucket that holds one second's worth, kept as the time at which it would be full
/// again (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub struct Allowance {
    /// In microseconds since the server's start.
    full_at: u64,
}

const SECOND_MICROS: u64 = 1_000_000;

impl Allowance {
    /// Whether one more message may come now, at `per_second` messages a second; 0 is no limit.
    pub fn take(&mut self, per_second: u32, now: Duration) -> bool {
        if per_second == 0 {
            return true;
        }
        let now = now.as_micros() as u64;
        let full_at = self.full_at.max(now) + SECOND_MICROS / u64::from(per_second);
        if full_at > now + SECOND_MICROS {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

/// What a client asks for (SPEC section 3).
#[derive(Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the fields are the wire's, described in README.md"
)]
pub enum Command<'a> {
    Join {
        room: Cow<'a, str>,
        since: Option<Cow<'a, str>>,
    },
    Chat {
        room: Cow<'a, str>,
        content: Cow<'a, str>,
    },
    Whisper {
        to: Cow<'a, str>,
        content: Cow<'a, str>,
    },
    Leave {
        room: Cow<'a, str>,
    },
    RoomList,
    Auth {
        ticket: Ticket<'a>,
    },
}

/// A ticket, which is never shown.
#[derive(PartialEq, Eq)]
pub struct Ticket<'a>(pub Cow<'a, str>);

impl std::fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(…)")
    }
}

/// A message as it came; every field may be missing or of another type.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Field<'a>>,
    #[serde(borrow)]
    room: Option<Field<'a>>,
    #[serde(borrow)]
    to: Option<Field<'a>>,
    #[serde(borrow)]
    content: Option<Field<'a>>,
    #[serde(borrow)]
    since: Option<Field<'a>>,
    #[serde(borrow)]
    ticket: Option<Field<'a>>,
    #[serde(borrow)]
    id: Option<Field<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Field<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
}

type Optional<'a> = Option<Cow<'a, str>>;

fn required(field: Option<Field<'_>>) -> Result<Cow<'_, str>, ErrorCode> {
    optional(field)?.ok_or(ErrorCode::BadRequest)
}

fn optional(field: Option<Field<'_>>) -> Result<Optional<'_>, ErrorCode> {
    match field {
        None => Ok(None),
        Some(Field::Text(text)) => Ok(Some(text)),
        Some(Field::Other(_)) => Err(ErrorCode::BadRequest),
    }
}

/// Reads a command and its `id`, if it has one.
///
/// # Errors
/// `bad_json`, `bad_request`, `unknown_type`, with the `id` to name in the answer.
pub fn parse(text: &str) -> Result<(Command<'_>, Optional<'_>), (ErrorCode, Optional<'_>)> {
    // Derived code would read an array as the fields in order.
    if !text.trim_start().starts_with('{') {
        let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
        return Err((
            if is_json {
                ErrorCode::BadRequest
            } else {
                ErrorCode::BadJson
            },
            None,
        ));
    }
    let mut fields: Fields<'_> = serde_json::from_str(text).map_err(|error| {
        (
            if error.is_data() {
                ErrorCode::BadRequest
            } else {
                ErrorCode::BadJson
            },
            None,
        )
    })?;
    let id = match optional(fields.id.take()) {
        Ok(id)
            if id
                .as_ref()
                .is_none_or(|id| id.len() <= MESSAGE_ID_BYTES_MAX) =>
        {
            id
        }
        _ => return Err((ErrorCode::BadRequest, None)),
    };
    match read_command(fields) {
        Ok(command) => Ok((command, id)),
        Err(code) => Err((code, id)),
    }
}

fn read_command(fields: Fields<'_>) -> Result<Command<'_>, ErrorCode> {
    Ok(match &*required(fields.kind)? {
        "join" => Command::Join {
            room: required(fields.room)?,
            since: optional(fields.since)?,
        },
        "chat" => Command::Chat {
            room: required(fields.room)?,
            content: required(fields.content)?,
        },
        "whisper" => Command::Whisper {
            to: required(fields.to)?,
            content: required(fields.content)?,
        },
        "leave" => Command::Leave {
            room: required(fields.room)?,
        },
        "room_list" => Command::RoomList,
        "auth" => Command::Auth {
            ticket: Ticket(required(fields.ticket)?),
        },
        _ => return Err(ErrorCode::UnknownType),
    })
}

/// Appends an event as one text frame; `scratch` is a buffer to reuse.
pub fn encode_event(event: &Event, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    scratch.clear();
    serde_json::to_writer(&mut *scratch, event)
        .expect("writing our own values into memory cannot fail");
    encode(TEXT, scratch, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_their_optional_fields() {
        let (command, id) =
            parse(r#"{"type":"join","room":"tech","since":"0:1","other":[1]}"#).expect("is a join");
        assert_eq!(
            command,
            Command::Join {
                room: "tech".into(),
                since: Some("0:1".into())
            }
        );
        assert_eq!(id, None);
        let (command, id) =
            parse(r#"{"id":"a","content":"\uc548\ub155","room":"tech","type":"chat"}"#)
                .expect("is a chat");
        assert_eq!(
            command,
            Command::Chat {
                room: "tech".into(),
                content: "안녕".into()
            }
        );
        assert_eq!(id.as_deref(), Some("a"));
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        for (text, code) in [
            ("", ErrorCode::BadJson),
            ("{", ErrorCode::BadJson),
            ("hello", ErrorCode::BadJson),
            (
                r#"{"type":"chat","room":"a","content":"\ud800"}"#,
                ErrorCode::BadJson,
            ),
            ("[]", ErrorCode::BadRequest),
            (r#"["join","a"]"#, ErrorCode::BadRequest),
            ("{}", ErrorCode::BadRequest),
            (r#"{"type":7}"#, ErrorCode::BadRequest),
            (r#"{"type":"join"}"#, ErrorCode::BadRequest),
            (r#"{"type":"join","room":["a"]}"#, ErrorCode::BadRequest),
            (r#"{"type":"dance"}"#, ErrorCode::UnknownType),
        ] {
            assert_eq!(parse(text).map_err(|(code, _)| code), Err(code), "{text}");
        }
    }

    #[test]
    fn a_field_that_the_type_does_not_have_may_be_anything() {
        assert_eq!(
            parse(r#"{"type":"room_list","room":5,"since":{}}"#),
            Ok((Command::RoomList, None))
        );
        assert_eq!(
            parse(r#"{"type":"room_list","id":null}"#),
            Ok((Command::RoomList, None))
        );
    }

    #[test]
    fn a_refusal_names_the_id_unless_it_is_none() {
        assert_eq!(
            parse(r#"{"type":"x","id":"7"}"#),
            Err((ErrorCode::UnknownType, Some("7".into())))
        );
        let long = format!(r#"{{"type":"room_list","id":"{}"}}"#, "x".repeat(65));
        assert_eq!(parse(&long), Err((ErrorCode::BadRequest, None)));
    }

    #[test]
    fn the_allowance_is_one_second_of_messages_and_refills() {
        let mut allowance = Allowance::default();
        let second = Duration::from_secs(1);
        assert!((0..100).all(|_| allowance.take(100, second)));
        assert!(!allowance.take(100, second));
        assert!(!allowance.take(100, second));
        assert!(allowance.take(100, second + second / 100));
        assert!(!allowance.take(100, second + second / 100));
        assert!((0..1000).all(|_| allowance.take(0, second)));
    }
}
