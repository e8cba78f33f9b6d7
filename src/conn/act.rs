//! What moderators and back ends ask for: over HTTP, with names in the path, and over WebSocket, with all of it in one message.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::{
    BATCH_MESSAGES_MAX, PEOPLE_LISTED, PEOPLE_LISTED_MAX, REASON_CHARS_MAX, RULE_SECONDS_MAX,
    SUBJECT_CHARS_MAX,
};
use crate::domain::error::ErrorCode;
use crate::domain::event::Page;
use crate::domain::message_keys::is_message_id;
use crate::domain::names::{is_valid_room_name, nfc};
use crate::domain::position::Position;
use crate::domain::rules::{NewRules, Writers};

/// The kinds of what may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is a variant of `Act`")]
pub enum Kind {
    Publish,
    Notify,
    Users,
    User,
    Kick,
    Ban,
    Unban,
    Bans,
    Revoke,
    SetRoom,
    RemoveRoom,
    Delete,
}

impl Kind {
    /// Every kind, with the type of its message.
    pub const ALL: [(&'static str, Self); 12] = [
        ("publish", Self::Publish),
        ("notify", Self::Notify),
        ("users", Self::Users),
        ("user", Self::User),
        ("kick", Self::Kick),
        ("ban", Self::Ban),
        ("unban", Self::Unban),
        ("bans", Self::Bans),
        ("revoke", Self::Revoke),
        ("set_room", Self::SetRoom),
        ("remove_room", Self::RemoveRoom),
        ("delete", Self::Delete),
    ];

    /// The kind of a message of this type.
    pub fn of_type(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(other, _)| *other == name);
        found.map(|(_, kind)| *kind)
    }
}

/// What is asked for.
#[derive(Debug, PartialEq)]
pub enum Act {
    /// Say something in a room, in the name of somebody.
    Publish {
        /// The room.
        room: Rc<str>,
        /// What is said, in order.
        messages: Vec<Post>,
        /// Whether it was asked for as a batch, and is answered so.
        is_batch: bool,
    },
    /// Whisper to a user: who, and what.
    Notify(Rc<str>, Post),
    /// Who is here.
    Users(Page),
    /// Whether a user is here, and where.
    User(Rc<str>),
    /// Close a user's connections, or have them leave a room.
    Kick(Target),
    /// Ban a user, from a room or from everywhere, for so many seconds.
    Ban(Target, Option<u32>),
    /// Lift a ban.
    Unban(Target),
    /// Who is banned.
    Bans(Page),
    /// End every token of a user.
    Revoke(Rc<str>),
    /// Change the rules of a room.
    SetRoom(Rc<str>, NewRules),
    /// Remove a room.
    RemoveRoom(Rc<str>),
    /// Delete a message of a room.
    Delete(Rc<str>, Position),
}

/// A message to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// In whose name.
    pub name: Rc<str>,
    /// The text.
    pub content: String,
    /// The `id` with which it may be sent again.
    pub id: Option<Box<str>>,
}

/// A user, and perhaps a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The user.
    pub user: Rc<str>,
    /// The room; everywhere if there is none.
    pub room: Option<Rc<str>>,
    /// What they are told.
    pub reason: Option<Rc<str>>,
}

/// The fields of all requests and messages; each may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(
    missing_docs,
    reason = "the fields are the wire's, described in README.md"
)]
pub struct Form {
    pub room: Option<String>,
    pub user: Option<String>,
    pub content: Option<String>,
    pub username: Option<String>,
    pub from: Option<String>,
    pub id: Option<String>,
    pub messages: Option<Vec<Object<Item>>>,
    pub reason: Option<String>,
    pub seconds: Option<u32>,
    pub position: Option<String>,
    pub after: Option<String>,
    pub limit: Option<usize>,
    pub max_users: Option<u32>,
    pub kept: Option<bool>,
    pub history_messages: Option<u32>,
    #[serde(deserialize_with = "present")]
    pub history_seconds: Option<Option<u32>>,
    pub write: Option<Writers>,
}

/// A message of a batch.
#[derive(Debug, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are the wire's, described in README.md"
)]
pub struct Item {
    pub content: String,
    pub username: Option<String>,
    pub id: Option<String>,
}

/// An object: what serde derives also takes an array of the fields in order.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Tells `null` from a field that is missing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Form {
    /// Reads JSON.
    ///
    /// # Errors
    /// `bad_request`, `bad_json`.
    #[inline(never)]
    pub fn read(json: &[u8]) -> Result<Self, ErrorCode> {
        serde_json::from_slice(json).map_err(|error| match error.is_data() {
            true => ErrorCode::BadRequest,
            false => ErrorCode::BadJson,
        })
    }
}

impl Act {
    /// Reads what is asked for by somebody of this name.
    ///
    /// # Errors
    /// `bad_request`; `bad_room_name` for a ban from what can be no room.
    pub fn read(kind: Kind, form: Form, speaker: &Rc<str>) -> Result<Self, ErrorCode> {
        let bad = || ErrorCode::BadRequest;
        Ok(match kind {
            Kind::Publish => {
                let room = named(form.room.as_deref()).ok_or_else(bad)?;
                let is_batch = form.messages.is_some();
                let messages = read_messages(form, speaker)?;
                Self::Publish {
                    room,
                    messages,
                    is_batch,
                }
            }
            Kind::Notify => {
                let user = read_user(form.user.as_deref())?;
                let item = Item {
                    content: form.content.ok_or_else(bad)?,
                    username: form.from,
                    id: form.id,
                };
                Self::Notify(user, read_post(item, speaker)?)
            }
            Kind::Users => Self::Users(read_page(form)?),
            Kind::Bans => Self::Bans(read_page(form)?),
            Kind::User => Self::User(read_user(form.user.as_deref())?),
            Kind::Revoke => Self::Revoke(read_user(form.user.as_deref())?),
            Kind::Kick => Self::Kick(read_target(form)?),
            Kind::Unban => Self::Unban(read_target(form)?),
            Kind::Ban => {
                let seconds = form.seconds;
                if seconds.is_some_and(|all| !(1..=RULE_SECONDS_MAX).contains(&all)) {
                    return Err(bad());
                }
                let target = read_target(form)?;
                // They need not be there, so this is the only check of the room.
                match target.room.as_deref().is_none_or(is_valid_room_name) {
                    true => Self::Ban(target, seconds),
                    false => return Err(ErrorCode::BadRoomName),
                }
            }
            Kind::SetRoom => {
                let room = named(form.room.as_deref()).ok_or_else(bad)?;
                let rules = NewRules {
                    max_users: form.max_users,
                    kept: form.kept,
                    history_messages: form.history_messages,
                    history_seconds: form.history_seconds,
                    write: form.write,
                };
                rules.check()?;
                Self::SetRoom(room, rules)
            }
            Kind::RemoveRoom => Self::RemoveRoom(named(form.room.as_deref()).ok_or_else(bad)?),
            Kind::Delete => {
                let room = named(form.room.as_deref()).ok_or_else(bad)?;
                let position = form.position.as_deref().and_then(Position::parse);
                Self::Delete(room, position.ok_or_else(bad)?)
            }
        })
    }
}

/// The name of a room as it is looked for.
fn named(name: Option<&str>) -> Option<Rc<str>> {
    let name = name.filter(|name| !name.is_empty() && name.len() <= 4 * SUBJECT_CHARS_MAX)?;
    Some(nfc(name).into())
}

/// The name of a user: that of a guest or an account, or any `sub` of a token.
fn read_user(name: Option<&str>) -> Result<Rc<str>, ErrorCode> {
    let name = nfc(name.unwrap_or_default());
    let is_good = !name.trim().is_empty()
        && name.chars().count() <= SUBJECT_CHARS_MAX
        && !name.chars().any(char::is_control);
    match is_good {
        true => Ok(name.into()),
        false => Err(ErrorCode::BadRequest),
    }
}

fn read_messages(form: Form, speaker: &Rc<str>) -> Result<Vec<Post>, ErrorCode> {
    let Some(items) = form.messages else {
        let item = Item {
            content: form.content.ok_or(ErrorCode::BadRequest)?,
            username: form.username,
            id: form.id,
        };
        return Ok(vec![read_post(item, speaker)?]);
    };
    let is_alone = form.content.is_none() && form.id.is_none() && form.username.is_none();
    if !is_alone || !(1..=BATCH_MESSAGES_MAX).contains(&items.len()) {
        return Err(ErrorCode::BadRequest);
    }
    let mut posts = Vec::with_capacity(items.len());
    for Object(item) in items {
        let mut post = read_post(item, speaker)?;
        // One name for many messages in a row.
        if let Some(Post { name, .. }) = posts.last().filter(|last: &&Post| last.name == post.name)
        {
            post.name = name.clone();
        }
        posts.push(post);
    }
    Ok(posts)
}

fn read_post(item: Item, speaker: &Rc<str>) -> Result<Post, ErrorCode> {
    let name = match item.username {
        None => speaker.clone(),
        name => read_user(name.as_deref())?,
    };
    if item.id.as_deref().is_some_and(|id| !is_message_id(id)) {
        return Err(ErrorCode::BadRequest);
    }
    Ok(Post {
        name,
        content: item.content,
        id: item.id.map(Into::into),
    })
}

fn read_target(form: Form) -> Result<Target, ErrorCode> {
    let is_good = |reason: &String| {
        reason.chars().count() <= REASON_CHARS_MAX && !reason.chars().any(char::is_control)
    };
    if !form.reason.as_ref().is_none_or(is_good) {
        return Err(ErrorCode::BadRequest);
    }
    let room = match form.room.as_deref() {
        None => None,
        room => Some(named(room).ok_or(ErrorCode::BadRequest)?),
    };
    Ok(Target {
        user: read_user(form.user.as_deref())?,
        room,
        reason: form.reason.map(Into::into),
    })
}

fn read_page(form: Form) -> Result<Page, ErrorCode> {
    let limit = form.limit.unwrap_or(PEOPLE_LISTED);
    match (1..=PEOPLE_LISTED_MAX).contains(&limit) {
        true => Ok(Page {
            after: form.after.map(Into::into),
            limit,
        }),
        false => Err(ErrorCode::BadRequest),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::domain::rules::Rules;

    fn read(kind: Kind, json: &str) -> Option<Act> {
        let form: Form = serde_json::from_str(json).ok()?;
        Act::read(kind, form, &Rc::from("mod")).ok()
    }

    fn rules(json: &str) -> Option<NewRules> {
        match read(Kind::SetRoom, json)? {
            Act::SetRoom(_, rules) => Some(rules),
            _ => None,
        }
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_an_end_away() {
        let of = |json: &str, before| rules(json).map(|new| new.change(before));
        let first = Rules::default();
        assert_eq!(of(r#"{"room":"r"}"#, first), Some(first));
        let timed = of(
            r#"{"room":"r","history_seconds":60,"write":"moderators"}"#,
            first,
        );
        let timed = timed.expect("is good");
        assert_eq!(timed.history_seconds, NonZeroU32::new(60));
        assert_eq!(timed.write, Writers::Moderators);
        let fewer = of(r#"{"room":"r","history_messages":0}"#, timed).expect("is good");
        assert_eq!(fewer.history_seconds, NonZeroU32::new(60));
        let endless = of(r#"{"room":"r","history_seconds":null}"#, timed).expect("is good");
        assert_eq!(endless.history_seconds, None);
        assert_eq!(endless.write, Writers::Moderators);
    }

    #[test]
    fn rules_beyond_the_limits_are_refused() {
        for bad in [
            r#"{"max_users":1}"#,
            r#"{"room":"r","max_users":0}"#,
            r#"{"room":"r","max_users":1000001}"#,
            r#"{"room":"r","max_users":-1}"#,
            r#"{"room":"r","history_messages":1001}"#,
            r#"{"room":"r","history_seconds":0}"#,
            r#"{"room":"r","history_seconds":315360001}"#,
            r#"{"room":"r","write":"nobody"}"#,
            r#"{"room":"r","kept":1}"#,
        ] {
            assert_eq!(rules(bad), None, "{bad}");
        }
        let most = r#"{"room":"r","max_users":1000000,"history_messages":1000,"history_seconds":315360000,"kept":true}"#;
        assert!(rules(most).is_some());
    }

    #[test]
    fn a_batch_has_so_many_messages_and_nothing_beside_them() {
        let of = |count: usize| {
            let all = vec![r#"{"content":"x"}"#; count].join(",");
            read(
                Kind::Publish,
                &format!(r#"{{"room":"r","messages":[{all}]}}"#),
            )
        };
        assert!(of(0).is_none() && of(BATCH_MESSAGES_MAX + 1).is_none());
        let Some(Act::Publish {
            messages, is_batch, ..
        }) = of(BATCH_MESSAGES_MAX)
        else {
            panic!("is good");
        };
        assert!(is_batch && messages.len() == BATCH_MESSAGES_MAX);
        let both = r#"{"room":"r","content":"x","messages":[{"content":"x"}]}"#;
        assert_eq!(read(Kind::Publish, both), None);
    }

    #[test]
    fn names_reasons_ids_and_times_have_limits() {
        let long = "x".repeat(257);
        for (kind, bad) in [
            (Kind::Kick, r#"{"room":"r"}"#.to_owned()),
            (Kind::Kick, r#"{"user":""}"#.to_owned()),
            (Kind::Kick, r#"{"user":"a\u0007"}"#.to_owned()),
            (Kind::Revoke, format!(r#"{{"user":"{}"}}"#, &long[1..])),
            (Kind::Ban, r#"{"user":"kim","room":"."}"#.to_owned()),
            (Kind::Kick, format!(r#"{{"user":"kim","reason":"{long}"}}"#)),
            (Kind::Kick, r#"{"user":"kim","reason":"a\nb"}"#.to_owned()),
            (Kind::Ban, r#"{"user":"kim","seconds":0}"#.to_owned()),
            (
                Kind::Ban,
                r#"{"user":"kim","seconds":315360001}"#.to_owned(),
            ),
            (Kind::Ban, r#"{"user":"a\nb"}"#.to_owned()),
            (Kind::Ban, r#"{"user":"kim","room":"a\nb"}"#.to_owned()),
            (Kind::Ban, format!(r#"{{"user":"{long}"}}"#)),
            (Kind::Users, r#"{"limit":0}"#.to_owned()),
            (Kind::Users, r#"{"limit":201}"#.to_owned()),
            (Kind::Delete, r#"{"room":"r","position":"1"}"#.to_owned()),
            (Kind::Publish, r#"{"room":"r"}"#.to_owned()),
            (
                Kind::Publish,
                r#"{"room":"r","content":"x","username":" "}"#.to_owned(),
            ),
            (
                Kind::Publish,
                format!(r#"{{"room":"r","content":"x","id":"{long}"}}"#),
            ),
        ] {
            assert_eq!(read(kind, &bad), None, "{bad}");
        }
        let longest = format!(r#"{{"user":"{}"}}"#, &long[2..]);
        assert!(read(Kind::Revoke, &longest).is_some());
        let good = r#"{"user":"kim","room":"r","seconds":1,"reason":"noise"}"#;
        assert!(matches!(read(Kind::Ban, good), Some(Act::Ban(_, Some(1)))));
    }
}
