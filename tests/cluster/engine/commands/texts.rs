//! Keys that hold bytes.

use super::super::data::{Database, Value};
use super::super::reply::Reply;
use super::{Context, NOT_INTEGER, Outcome, SYNTAX, integer, required, upper};

const OVERFLOW: &str = "ERR increment or decrement would overflow";

pub fn get(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::optional(
        database
            .get::<Vec<u8>>(&words[1])?
            .map(|text| text.as_slice()),
    ))
}

pub fn get_del(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    let reply = get(database, words, context)?;
    database.remove(&words[1]);
    Ok(reply)
}

pub fn len(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::count(
        database
            .get::<Vec<u8>>(&words[1])?
            .map_or(0, |text| text.len()),
    ))
}

pub fn append(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let text: &mut Vec<u8> = database.make(&words[1])?;
    text.extend(&words[2]);
    Ok(Reply::count(text.len()))
}

pub fn increase_one(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    increase_by(database, &words[1], 1)
}

pub fn increase(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    increase_by(database, &words[1], required(&words[2])?)
}

fn increase_by(database: &mut Database, key: &[u8], by: i64) -> Outcome {
    let old = match database.get::<Vec<u8>>(key)? {
        Some(text) => integer(text).ok_or(NOT_INTEGER)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(OVERFLOW)?;
    *database.make::<Vec<u8>>(key)? = new.to_string().into_bytes();
    Ok(Reply::Integer(new))
}

#[derive(Default)]
struct Options {
    only_new: bool,
    only_old: bool,
    answers_old: bool,
    keeps_expiry: bool,
    /// In the unit and kind of the option.
    expiry: Option<(String, i64)>,
}

fn options(words: &[Vec<u8>]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let name = upper(word);
        match name.as_str() {
            "NX" if !options.only_old => options.only_new = true,
            "XX" if !options.only_new => options.only_old = true,
            "GET" => options.answers_old = true,
            "KEEPTTL" if options.expiry.is_none() => options.keeps_expiry = true,
            "EX" | "PX" | "EXAT" | "PXAT" if options.expiry.is_none() && !options.keeps_expiry => {
                let number = words.next().ok_or(SYNTAX)?;
                // What is no number is found only after the syntax of all options.
                options.expiry = Some((name, integer(number).unwrap_or(i64::MIN)));
            }
            _ => return Err(SYNTAX.to_owned()),
        }
    }
    Ok(options)
}

/// When a key ends, from what an option says.
fn end(command: &str, unit: &str, number: i64, now: u64) -> Result<u64, String> {
    if number == i64::MIN {
        return Err(NOT_INTEGER.to_owned());
    }
    let invalid = || format!("ERR invalid expire time in '{command}' command");
    let number = u64::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(invalid)?;
    let scaled = if unit.starts_with("EX") {
        number.checked_mul(1000)
    } else {
        Some(number)
    };
    let from = if unit.ends_with("AT") { 0 } else { now };
    let end = scaled.and_then(|scaled| scaled.checked_add(from));
    end.filter(|end| i64::try_from(*end).is_ok())
        .ok_or_else(invalid)
}

pub fn set(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    let options = options(&words[3..])?;
    let now = context.now();
    let expires = match &options.expiry {
        Some((unit, number)) => Some(end("set", unit, *number, now)?),
        None => None,
    };
    let old = if options.answers_old {
        Some(get(database, words, context)?)
    } else {
        None
    };
    let exists = database.value(&words[1]).is_some();
    if (options.only_new && exists) || (options.only_old && !exists) {
        return Ok(old.unwrap_or(Reply::Null));
    }
    let kept = if options.keeps_expiry {
        database.expiry(&words[1]).flatten()
    } else {
        None
    };
    database.set(&words[1], Value::Text(words[2].clone()), expires.or(kept));
    database.expire(now);
    Ok(old.unwrap_or_else(Reply::ok))
}

pub fn set_for_seconds(
    database: &mut Database,
    words: &[Vec<u8>],
    context: &mut Context<'_>,
) -> Outcome {
    set_for(database, words, "setex", "EX", context)
}

pub fn set_for_milliseconds(
    database: &mut Database,
    words: &[Vec<u8>],
    context: &mut Context<'_>,
) -> Outcome {
    set_for(database, words, "psetex", "PX", context)
}

fn set_for(
    database: &mut Database,
    words: &[Vec<u8>],
    name: &str,
    unit: &str,
    context: &Context<'_>,
) -> Outcome {
    let expires = end(name, unit, required(&words[2])?, context.now())?;
    database.set(&words[1], Value::Text(words[3].clone()), Some(expires));
    Ok(Reply::ok())
}
