//! Commands a client sends over its WebSocket, parsed from JSON.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::act::{Act, Form, Kind};
use super::broken_json::{find_id, replace_lone_surrogates};
use crate::domain::error::ErrorCode;
use crate::domain::message_keys::is_message_id;

/// A command of a client.
#[derive(Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the fields are those of the JSON, described in README.md"
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
    RoomList {
        after: Option<Cow<'a, str>>,
        limit: Option<u64>,
        watch: Option<bool>,
    },
    History {
        room: Cow<'a, str>,
        before: Option<Cow<'a, str>>,
        limit: Option<u64>,
    },
    Auth {
        ticket: Ticket<'a>,
    },
    /// What only moderators may ask for: [`read_act`] reads it.
    Act(Kind),
}

/// A ticket. `Debug` does not print it: it is a credential.
#[derive(PartialEq, Eq)]
pub struct Ticket<'a>(pub Cow<'a, str>);

impl fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(…)")
    }
}

/// The fields of a message before they are checked; each may be missing or of the wrong type.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<Field<'a>>,
    room: Option<Field<'a>>,
    to: Option<Field<'a>>,
    content: Option<Field<'a>>,
    since: Option<Field<'a>>,
    ticket: Option<Field<'a>>,
    after: Option<Field<'a>>,
    limit: Option<Field<'a>>,
    before: Option<Field<'a>>,
    watch: Option<Field<'a>>,
    id: Option<Field<'a>>,
    /// Whether one of them occurs twice: two parsers could take different values (RFC 8259 section 4).
    has_duplicate: bool,
}

impl Fields<'_> {
    fn into_owned(self) -> Fields<'static> {
        let owned = |field: Option<Field<'_>>| field.map(Field::into_owned);
        Fields {
            kind: owned(self.kind),
            room: owned(self.room),
            to: owned(self.to),
            content: owned(self.content),
            since: owned(self.since),
            ticket: owned(self.ticket),
            after: owned(self.after),
            limit: owned(self.limit),
            before: owned(self.before),
            watch: owned(self.watch),
            id: owned(self.id),
            has_duplicate: self.has_duplicate,
        }
    }
}

/// The field names of all commands.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Type,
    Room,
    To,
    Content,
    Since,
    Ticket,
    After,
    Limit,
    Before,
    Watch,
    Id,
    #[serde(other)]
    Other,
}

/// Written by hand: the code serde derives for a value of any type copies every field before it inspects it.
impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key()? {
            let field = match name {
                Name::Type => &mut fields.kind,
                Name::Room => &mut fields.room,
                Name::To => &mut fields.to,
                Name::Content => &mut fields.content,
                Name::Since => &mut fields.since,
                Name::Ticket => &mut fields.ticket,
                Name::After => &mut fields.after,
                Name::Limit => &mut fields.limit,
                Name::Before => &mut fields.before,
                Name::Watch => &mut fields.watch,
                Name::Id => &mut fields.id,
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let value = map.next_value()?;
            // The first one counts in the refusal, which repeats the `id`.
            match field {
                Some(_) => fields.has_duplicate = true,
                None => *field = Some(value),
            }
        }
        Ok(fields)
    }
}

/// The value of a field, as far as it matters: text, a whole number, a boolean, `null` or anything else.
enum Field<'a> {
    Null,
    Text(Cow<'a, str>),
    Number(u64),
    Boolean(bool),
    Other,
}

impl Field<'_> {
    fn into_owned(self) -> Field<'static> {
        match self {
            Self::Null => Field::Null,
            Self::Text(text) => Field::Text(Cow::Owned(text.into_owned())),
            Self::Number(number) => Field::Number(number),
            Self::Boolean(value) => Field::Boolean(value),
            Self::Other => Field::Other,
        }
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(text.to_owned().into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Field::Boolean(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Field::Number(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<Field<'_>>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<Field<'_>, Field<'_>>()?.is_some() {}
        Ok(Field::Other)
    }
}

type Optional<'a> = Option<Cow<'a, str>>;

fn required(field: Option<Field<'_>>) -> Result<Cow<'_, str>, ErrorCode> {
    optional(field)?.ok_or(ErrorCode::BadRequest)
}

fn optional(field: Option<Field<'_>>) -> Result<Optional<'_>, ErrorCode> {
    match field {
        None | Some(Field::Null) => Ok(None),
        Some(Field::Text(text)) => Ok(Some(text)),
        Some(_) => Err(ErrorCode::BadRequest),
    }
}

fn optional_number(field: Option<Field<'_>>) -> Result<Option<u64>, ErrorCode> {
    match field {
        None | Some(Field::Null) => Ok(None),
        Some(Field::Number(number)) => Ok(Some(number)),
        Some(_) => Err(ErrorCode::BadRequest),
    }
}

fn optional_boolean(field: Option<Field<'_>>) -> Result<Option<bool>, ErrorCode> {
    match field {
        None | Some(Field::Null) => Ok(None),
        Some(Field::Boolean(value)) => Ok(Some(value)),
        Some(_) => Err(ErrorCode::BadRequest),
    }
}

/// Parses a command and its `id`, if it has one ([`is_message_id`]). A lone surrogate, which
/// JavaScript's strings can contain and UTF-8 cannot, is taken as U+FFFD.
///
/// # Errors
/// `bad_json`, `bad_request` or `unknown_type`, with the `id` that the error event repeats, if one can be read.
pub fn parse(text: &str) -> Result<(Command<'_>, Optional<'_>), (ErrorCode, Optional<'_>)> {
    let fields = match read_fields(text) {
        Err(ErrorCode::BadJson) => {
            let mended = replace_lone_surrogates(text);
            let fields = match &mended {
                Cow::Borrowed(_) => Err(ErrorCode::BadJson),
                Cow::Owned(mended) => read_fields(mended).map(Fields::into_owned),
            };
            fields.map_err(|code| (code, find_id(&mended).map(Cow::Owned)))?
        }
        fields => fields.map_err(|code| (code, None))?,
    };
    parse_fields(fields)
}

fn read_fields(text: &str) -> Result<Fields<'_>, ErrorCode> {
    if !text.trim_start().starts_with('{') {
        let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
        return Err(match is_json {
            true => ErrorCode::BadRequest,
            false => ErrorCode::BadJson,
        });
    }
    serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => ErrorCode::BadRequest,
        false => ErrorCode::BadJson,
    })
}

fn parse_fields(
    mut fields: Fields<'_>,
) -> Result<(Command<'_>, Optional<'_>), (ErrorCode, Optional<'_>)> {
    let id = match optional(fields.id.take()) {
        Ok(id) if id.as_deref().is_none_or(is_message_id) => id,
        _ => return Err((ErrorCode::BadRequest, None)),
    };
    if fields.has_duplicate {
        return Err((ErrorCode::BadRequest, id));
    }
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
        "room_list" => Command::RoomList {
            after: optional(fields.after)?,
            limit: optional_number(fields.limit)?,
            watch: optional_boolean(fields.watch)?,
        },
        "history" => Command::History {
            room: required(fields.room)?,
            before: optional(fields.before)?,
            limit: optional_number(fields.limit)?,
        },
        "auth" => Command::Auth {
            ticket: Ticket(required(fields.ticket)?),
        },
        other => Command::Act(Kind::of_type(other).ok_or(ErrorCode::UnknownType)?),
    })
}

/// Reads what a moderator asks for, of a message that [`parse`] has taken.
///
/// # Errors
/// `bad_request`.
pub fn read_act(kind: Kind, text: &str, speaker: &Rc<str>) -> Result<Act, ErrorCode> {
    let form = Form::read(replace_lone_surrogates(text).as_bytes())?;
    Act::read(kind, form, speaker)
}

#[cfg(test)]
mod tests;
