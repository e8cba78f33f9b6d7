//! Sets of members.

use super::super::data::{Bag, Database};
use super::super::reply::Reply;
use super::{Context, Outcome, SYNTAX, choose, required, scan_options};

type Set = Bag<()>;

pub fn add(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let set: &mut Set = database.make(&words[1])?;
    Ok(Reply::count(
        words[2..]
            .iter()
            .filter(|member| set.insert(member, ()).is_none())
            .count(),
    ))
}

pub fn remove(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let Some(set) = database.get::<Set>(&words[1])? else {
        return Ok(Reply::Integer(0));
    };
    let removed = words[2..]
        .iter()
        .filter(|member| set.remove(member).is_some())
        .count();
    database.tidy(&words[1]);
    Ok(Reply::count(removed))
}

pub fn len(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::count(
        database.get::<Set>(&words[1])?.map_or(0, |set| set.len()),
    ))
}

pub fn has(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::flag(
        database
            .get::<Set>(&words[1])?
            .is_some_and(|set| set.get(&words[2]).is_some()),
    ))
}

fn all(database: &mut Database, key: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let set = database.get::<Set>(key)?;
    Ok(set.map_or_else(Vec::new, |set| {
        set.iter().map(|(member, ())| member.clone()).collect()
    }))
}

pub fn members(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::Set(
        all(database, &words[1])?
            .into_iter()
            .map(Reply::Bulk)
            .collect(),
    ))
}

/// Members chosen by chance.
enum Choice {
    /// Without a count: one, or nothing from an empty set.
    One(Option<Vec<u8>>),
    /// With a count.
    Many(Vec<Vec<u8>>),
}

/// Some members by chance: one without a count, or a list.
fn choice(
    database: &mut Database,
    words: &[Vec<u8>],
    is_popped: bool,
    context: &mut Context<'_>,
) -> Result<Choice, String> {
    let count = words.get(2).map(|word| required(word)).transpose()?;
    if words.len() > 3 {
        return Err(SYNTAX.to_owned());
    }
    if is_popped && count.is_some_and(|count| count < 0) {
        return Err("ERR value is out of range, must be positive".to_owned());
    }
    let all = all(database, &words[1])?;
    Ok(match count {
        None => {
            Choice::One((!all.is_empty()).then(|| all[context.chance.below(all.len())].clone()))
        }
        Some(_) if all.is_empty() => Choice::Many(Vec::new()),
        Some(count) => Choice::Many(
            choose(all.len(), count, context.chance)
                .into_iter()
                .map(|at| all[at].clone())
                .collect(),
        ),
    })
}

fn bulks(members: Vec<Vec<u8>>) -> Vec<Reply> {
    members.into_iter().map(Reply::Bulk).collect()
}

pub fn random(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    Ok(match choice(database, words, false, context)? {
        Choice::Many(many) => Reply::Array(bulks(many)),
        Choice::One(one) => Reply::optional(one.as_deref()),
    })
}

pub fn pop(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    let (taken, reply) = match choice(database, words, true, context)? {
        Choice::Many(many) => (many.clone(), Reply::Set(bulks(many))),
        Choice::One(one) => (
            one.iter().cloned().collect(),
            Reply::optional(one.as_deref()),
        ),
    };
    if let Some(set) = database.get::<Set>(&words[1])? {
        for member in &taken {
            set.remove(member);
        }
        database.tidy(&words[1]);
    }
    Ok(reply)
}

pub fn scan(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let (cursor, count) = scan_options(&words[2..])?;
    let set = database.get::<Set>(&words[1])?;
    let (next, found) = set.map_or((0, Vec::new()), |set| set.scan(cursor, count));
    let found = found
        .into_iter()
        .map(|(member, ())| Reply::Bulk(member.clone()));
    Ok(Reply::Array(vec![
        Reply::text(&next.to_string()),
        Reply::Array(found.collect()),
    ]))
}
