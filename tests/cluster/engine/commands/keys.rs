//! Keys of any type, and the clock.

use super::super::data::Database;
use super::super::reply::Reply;
use super::{Context, Outcome, required, upper};

pub fn del(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::count(
        words[1..]
            .iter()
            .filter(|key| database.remove(key).is_some())
            .count(),
    ))
}

pub fn exists(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::count(
        words[1..]
            .iter()
            .filter(|key| database.value(key).is_some())
            .count(),
    ))
}

pub fn kind(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::Status(
        database
            .value(&words[1])
            .map_or("none", |value| value.kind())
            .to_owned(),
    ))
}

/// Of one database: nothing here uses two at once.
pub fn flush(database: &mut Database, _: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    database.clear();
    Ok(Reply::ok())
}

pub fn time(_: &mut Database, _: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    let seconds = Reply::text(&context.unix.as_secs().to_string());
    Ok(Reply::Array(vec![
        seconds,
        Reply::text(&context.unix.subsec_micros().to_string()),
    ]))
}

pub fn persist(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let had_end = database.expiry(&words[1]).flatten().is_some();
    database.set_expiry(&words[1], None);
    Ok(Reply::flag(had_end))
}

pub fn pttl(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    Ok(Reply::Integer(left(database, &words[1], context)))
}

pub fn ttl(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    let left = left(database, &words[1], context);
    Ok(Reply::Integer(if left < 0 {
        left
    } else {
        (left + 500) / 1000
    }))
}

fn left(database: &Database, key: &[u8], context: &Context<'_>) -> i64 {
    match database.expiry(key) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => i64::try_from(at.saturating_sub(context.now())).unwrap_or(i64::MAX),
    }
}

pub fn expire(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    expire_by(database, words, context.now(), 1000, context)
}

pub fn pexpire(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    expire_by(database, words, context.now(), 1, context)
}

pub fn expire_at(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    expire_by(database, words, 0, 1000, context)
}

pub fn pexpire_at(
    database: &mut Database,
    words: &[Vec<u8>],
    context: &mut Context<'_>,
) -> Outcome {
    expire_by(database, words, 0, 1, context)
}

fn expire_by(
    database: &mut Database,
    words: &[Vec<u8>],
    from: u64,
    unit: i64,
    context: &Context<'_>,
) -> Outcome {
    let condition = words.get(3).map(|word| upper(word));
    if condition
        .as_deref()
        .is_some_and(|word| !["NX", "XX", "GT", "LT"].contains(&word))
    {
        return Err(format!(
            "ERR Unsupported option {}",
            String::from_utf8_lossy(&words[3])
        ));
    }
    let number = required(&words[2])?;
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let invalid = || {
        format!(
            "ERR invalid expire time in '{}' command",
            upper(&words[0]).to_lowercase()
        )
    };
    let end = number
        .checked_mul(unit)
        .and_then(|scaled| scaled.checked_add(from))
        .ok_or_else(invalid)?;
    let Some(old) = database.expiry(&words[1]) else {
        return Ok(Reply::Integer(0));
    };
    let new = u64::try_from(end).unwrap_or(0);
    let is_met = match condition.as_deref() {
        Some("NX") => old.is_none(),
        Some("XX") => old.is_some(),
        Some("GT") => old.is_some_and(|old| new > old),
        Some("LT") => old.is_none_or(|old| new < old),
        _ => true,
    };
    if is_met && new <= context.now() {
        database.remove(&words[1]);
    } else if is_met {
        database.set_expiry(&words[1], Some(new));
    }
    Ok(Reply::flag(is_met))
}
