//! Hashes: fields with values.

use super::super::data::{Bag, Database};
use super::super::reply::Reply;
use super::{
    Context, Outcome, SYNTAX, choose, integer, required, scan_options, upper, wrong_count,
};

type Hash = Bag<Vec<u8>>;

pub fn get(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let hash = database.get::<Hash>(&words[1])?;
    Ok(Reply::optional(
        hash.and_then(|hash| hash.get(&words[2])).map(Vec::as_slice),
    ))
}

pub fn get_many(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let hash = database.get::<Hash>(&words[1])?;
    let value = |field: &Vec<u8>| {
        Reply::optional(
            hash.as_ref()
                .and_then(|hash| hash.get(field))
                .map(Vec::as_slice),
        )
    };
    Ok(Reply::Array(words[2..].iter().map(value).collect()))
}

pub fn exists(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::flag(
        database
            .get::<Hash>(&words[1])?
            .is_some_and(|hash| hash.get(&words[2]).is_some()),
    ))
}

pub fn len(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::count(
        database
            .get::<Hash>(&words[1])?
            .map_or(0, |hash| hash.len()),
    ))
}

fn all(database: &mut Database, key: &[u8]) -> Result<Vec<(Reply, Reply)>, String> {
    let pair = |(field, value): (&Vec<u8>, &Vec<u8>)| {
        (Reply::Bulk(field.clone()), Reply::Bulk(value.clone()))
    };
    Ok(database
        .get::<Hash>(key)?
        .map_or_else(Vec::new, |hash| hash.iter().map(pair).collect()))
}

pub fn get_all(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::Map(all(database, &words[1])?))
}

pub fn keys(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::Array(
        all(database, &words[1])?
            .into_iter()
            .map(|(field, _)| field)
            .collect(),
    ))
}

pub fn values(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::Array(
        all(database, &words[1])?
            .into_iter()
            .map(|(_, value)| value)
            .collect(),
    ))
}

pub fn set(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    if words.len() % 2 == 1 {
        return Err(wrong_count(&upper(&words[0])));
    }
    let hash: &mut Hash = database.make(&words[1])?;
    let pairs = words[2..].chunks(2);
    Ok(Reply::count(
        pairs
            .filter(|pair| hash.insert(&pair[0], pair[1].clone()).is_none())
            .count(),
    ))
}

pub fn set_many(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    set(database, words, context).map(|_| Reply::ok())
}

pub fn set_new(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let hash: &mut Hash = database.make(&words[1])?;
    let is_new = hash.get(&words[2]).is_none();
    if is_new {
        hash.insert(&words[2], words[3].clone());
    }
    Ok(Reply::flag(is_new))
}

pub fn increase(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let by = required(&words[3])?;
    let hash = database.get::<Hash>(&words[1])?;
    let old = match hash.as_ref().and_then(|hash| hash.get(&words[2])) {
        Some(text) => integer(text).ok_or("ERR hash value is not an integer")?,
        None => 0,
    };
    let new = old
        .checked_add(by)
        .ok_or("ERR increment or decrement would overflow")?;
    database
        .make::<Hash>(&words[1])?
        .insert(&words[2], new.to_string().into_bytes());
    Ok(Reply::Integer(new))
}

pub fn del(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let Some(hash) = database.get::<Hash>(&words[1])? else {
        return Ok(Reply::Integer(0));
    };
    let removed = words[2..]
        .iter()
        .filter(|field| hash.remove(field).is_some())
        .count();
    database.tidy(&words[1]);
    Ok(Reply::count(removed))
}

pub fn random(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    let count = words.get(2).map(|word| required(word)).transpose()?;
    let has_values = match words.get(3) {
        None => false,
        Some(word) if upper(word) == "WITHVALUES" && words.len() == 4 => true,
        Some(_) => return Err(SYNTAX.to_owned()),
    };
    let pairs = all(database, &words[1])?;
    let Some(count) = count else {
        let chosen =
            (!pairs.is_empty()).then(|| pairs[context.chance.below(pairs.len())].0.clone());
        return Ok(chosen.unwrap_or(Reply::Null));
    };
    if pairs.is_empty() {
        return Ok(Reply::Array(Vec::new()));
    }
    let chosen = choose(pairs.len(), count, context.chance)
        .into_iter()
        .map(|at| pairs[at].clone());
    if has_values {
        return Ok(Reply::Pairs(chosen.collect()));
    }
    Ok(Reply::Array(chosen.map(|(field, _)| field).collect()))
}

pub fn scan(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let (cursor, count) = scan_options(&words[2..])?;
    let hash = database.get::<Hash>(&words[1])?;
    let (next, found) = hash.map_or((0, Vec::new()), |hash| hash.scan(cursor, count));
    let found = found
        .into_iter()
        .flat_map(|(field, value)| [Reply::Bulk(field.clone()), Reply::Bulk(value.clone())]);
    Ok(Reply::Array(vec![
        Reply::text(&next.to_string()),
        Reply::Array(found.collect()),
    ]))
}
