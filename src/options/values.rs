//! Parses the values of options. Each function's error is a sentence about what is wrong with the value.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::suggestion::did_you_mean;
use crate::config::{
    DRAIN_DELAY_MAX, KEEP_ALIVE_EVERY_MAX, Level, LogFormat, ROOM_USERS_MAX, TTL_SECS_MAX,
};
use crate::domain::names::{is_valid_room_name, nfc};
use crate::wire::origin::PageOrigin;

/// The levels of the journal, as `--log` takes them.
pub const LEVELS: [&str; 5] = ["off", "error", "warn", "info", "debug"];
/// The formats of the journal, as `--log-format` takes them.
pub const FORMATS: [&str; 2] = ["text", "json"];

/// A sentence about a word that is none of those there are.
fn none_of(value: &str, words: &[&str]) -> String {
    format!(
        "\"{value}\" is not one of {}{}",
        words.join(", "),
        did_you_mean(value, words.iter().copied())
    )
}

/// A switch.
pub fn switch(value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("\"{value}\" is not true or false (or 1 or 0)")),
    }
}

/// The name of a file.
pub fn path(value: &str) -> Result<PathBuf, String> {
    match value {
        "" => Err("the name of a file is missing".into()),
        name => Ok(name.into()),
    }
}

pub fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("\"{value}\" is not a whole number from 0 up"))
}

/// A time to live, in seconds; 0 is refused because such a token or ticket would be useless.
pub fn seconds(value: &str) -> Result<u64, String> {
    match number(value)? {
        0 => Err("0 would expire at once".into()),
        seconds if seconds > TTL_SECS_MAX => Err(format!("{seconds} is more than ten years")),
        seconds => Ok(seconds),
    }
}

/// What keys begin with: braces would make hash tags of it.
pub fn prefix(value: &str) -> Result<Box<str>, String> {
    let is_possible = |b: u8| b.is_ascii_graphic() && !b"{}*?[]\\".contains(&b);
    match (1..=32).contains(&value.len()) && value.bytes().all(is_possible) {
        true => Ok(value.into()),
        false => Err(format!(
            "\"{value}\" is not 1 to 32 characters of ASCII without braces, brackets, * and ?"
        )),
    }
}

/// The name of a room, as rooms have it; empty is none.
pub fn lobby(value: &str) -> Result<Box<str>, String> {
    let name = nfc(value);
    match name.is_empty() || is_valid_room_name(&name) {
        true => Ok(name.into()),
        false => Err(format!(
            "\"{value}\" is no name of a room: 1 to 64 characters, none of them a control character, and no space at the ends"
        )),
    }
}

pub fn node_name(value: &str) -> Result<Box<str>, String> {
    match (1..=64).contains(&value.chars().count()) && !value.chars().any(char::is_control) {
        true => Ok(value.into()),
        false => {
            Err("a node's name has 1 to 64 characters, none of them a control character".into())
        }
    }
}

pub fn audience(value: &str) -> Result<Option<Box<str>>, String> {
    match value {
        "" => Err("an audience has a name".into()),
        name => Ok(Some(name.into())),
    }
}

/// A grace, in seconds; 0 is none.
pub fn grace(value: &str) -> Result<Duration, String> {
    match number(value)? {
        seconds if seconds > TTL_SECS_MAX => Err(format!("{seconds} is more than ten years")),
        seconds => Ok(Duration::from_secs(seconds)),
    }
}

/// A limit; 0 is none.
pub fn limit(value: &str) -> Result<usize, String> {
    Ok(match number(value)? {
        0 => usize::MAX,
        limit => limit,
    })
}

/// A limit of time, in seconds; 0 is none.
pub fn time_limit(value: &str) -> Result<Option<Duration>, String> {
    match number(value)? {
        0 => Ok(None),
        seconds if seconds > TTL_SECS_MAX => Err(format!("{seconds} is more than ten years")),
        seconds => Ok(Some(Duration::from_secs(seconds))),
    }
}

/// The default limit of users of a room; 0 is [`ROOM_USERS_MAX`].
pub fn room_users(value: &str) -> Result<u32, String> {
    Ok(limit(value)?.min(ROOM_USERS_MAX as usize) as u32)
}

/// A level of the journal, `None` for off.
pub fn level(value: &str) -> Result<Option<Level>, String> {
    let found = Level::NAMES.into_iter().find(|(name, _)| *name == value);
    match found {
        Some((_, level)) => Ok(Some(level)),
        None if value == "off" => Ok(None),
        None => Err(none_of(value, &LEVELS)),
    }
}

/// `*`, or an origin as a browser sends it (RFC 6454 section 6.2): without a path or a slash at the end.
pub fn origin(value: &str) -> Result<String, String> {
    match PageOrigin::parse(value) {
        _ if value == "*" => Ok(value.to_owned()),
        Some(origin) => Ok(origin.to_string()),
        None => Err(format!(
            "\"{value}\" is not an origin, such as https://example.com, app://name, file:// or null (no path, no slash \
            at the end, and xn--… instead of other letters than ASCII)"
        )),
    }
}

/// The format of the log.
pub fn log_format(value: &str) -> Result<LogFormat, String> {
    let found = LogFormat::NAMES
        .into_iter()
        .find(|(name, _)| *name == value);
    match found {
        Some((_, format)) => Ok(format),
        None => Err(none_of(value, &FORMATS)),
    }
}

/// The time between two signs of life, in seconds; 0 is refused, because then nobody would notice that a peer has vanished.
pub fn interval(value: &str) -> Result<Duration, String> {
    let most = KEEP_ALIVE_EVERY_MAX.as_secs();
    match number(value)? {
        seconds if (1..=most).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        seconds => Err(format!("{seconds} is not between 1 and {most} seconds")),
    }
}

/// The time between the signal to stop and the first connection that is closed, in seconds.
pub fn drain_delay(value: &str) -> Result<Duration, String> {
    let most = DRAIN_DELAY_MAX.as_secs();
    match number(value)? {
        seconds if seconds <= most => Ok(Duration::from_secs(seconds)),
        seconds => Err(format!("{seconds} is more than {most} seconds")),
    }
}

/// Permissions of a file, in octal.
pub fn mode(value: &str) -> Result<u32, String> {
    match u32::from_str_radix(value, 8) {
        Ok(mode) if mode <= 0o777 && value.starts_with(|c: char| c.is_ascii_digit()) => Ok(mode),
        _ => Err(format!("\"{value}\" is not a mode in octal, such as 660")),
    }
}
