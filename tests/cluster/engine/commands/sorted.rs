//! Sorted sets: members with scores.

use std::ops::{Bound, RangeBounds};

use super::super::data::{Database, Sorted};
use super::super::reply::Reply;
use super::{Context, Outcome, SYNTAX, count_of, required, upper};

const NOT_FLOAT: &str = "ERR value is not a valid float";
const NOT_LIMITS: &str = "ERR min or max is not a float";

fn float(word: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(word).ok()?;
    text.parse().ok().filter(|number: &f64| !number.is_nan())
}

#[derive(Default)]
struct Adding {
    only_new: bool,
    only_old: bool,
    only_greater: bool,
    only_less: bool,
    counts_changes: bool,
    increases: bool,
}

impl Adding {
    fn read(words: &[Vec<u8>]) -> (Self, usize) {
        let mut adding = Self::default();
        for (at, word) in words.iter().enumerate() {
            match upper(word).as_str() {
                "NX" => adding.only_new = true,
                "XX" => adding.only_old = true,
                "GT" => adding.only_greater = true,
                "LT" => adding.only_less = true,
                "CH" => adding.counts_changes = true,
                "INCR" => adding.increases = true,
                _ => return (adding, at),
            }
        }
        (adding, words.len())
    }

    fn check(&self, rest: usize) -> Result<(), String> {
        if rest == 0 || rest % 2 == 1 {
            return Err(SYNTAX.to_owned());
        }
        if self.only_new && self.only_old {
            return Err("ERR XX and NX options at the same time are not compatible".to_owned());
        }
        if (self.only_greater && self.only_less)
            || (self.only_new && (self.only_greater || self.only_less))
        {
            return Err(
                "ERR GT, LT, and/or NX options at the same time are not compatible".to_owned(),
            );
        }
        if self.increases && rest != 2 {
            return Err("ERR INCR option supports a single increment-element pair".to_owned());
        }
        Ok(())
    }
}

pub fn add(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let (adding, options) = Adding::read(&words[2..]);
    let rest = &words[2 + options..];
    adding.check(rest.len())?;
    let scores: Option<Vec<f64>> = rest.chunks(2).map(|pair| float(&pair[0])).collect();
    let scores = scores.ok_or(NOT_FLOAT)?;
    let key = &words[1];
    if database.get::<Sorted>(key)?.is_none() && adding.only_old {
        return Ok(if adding.increases {
            Reply::Null
        } else {
            Reply::Integer(0)
        });
    }
    let sorted: &mut Sorted = database.make(key)?;
    let (mut added, mut changed, mut result) = (0, 0, Reply::Null);
    for (pair, given) in rest.chunks(2).zip(scores) {
        let old = sorted.get(&pair[1]);
        let new = if adding.increases {
            old.unwrap_or(0.0) + given
        } else {
            given
        };
        if new.is_nan() {
            return Err("ERR resulting score is not a number (NaN)".to_owned());
        }
        let is_refused = match old {
            Some(old) => {
                adding.only_new
                    || (adding.only_greater && new <= old)
                    || (adding.only_less && new >= old)
            }
            None => adding.only_old,
        };
        if is_refused {
            continue;
        }
        added += usize::from(old.is_none());
        changed += usize::from(old.is_some_and(|old| old != new));
        sorted.insert(&pair[1], new);
        result = Reply::Double(new);
    }
    database.tidy(key);
    if adding.increases {
        return Ok(result);
    }
    Ok(Reply::count(if adding.counts_changes {
        added + changed
    } else {
        added
    }))
}

pub fn score(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let score = database
        .get::<Sorted>(&words[1])?
        .and_then(|sorted| sorted.get(&words[2]));
    Ok(score.map_or(Reply::Null, Reply::Double))
}

pub fn len(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::count(
        database
            .get::<Sorted>(&words[1])?
            .map_or(0, |sorted| sorted.len()),
    ))
}

pub fn remove(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let Some(sorted) = database.get::<Sorted>(&words[1])? else {
        return Ok(Reply::Integer(0));
    };
    let removed = words[2..]
        .iter()
        .filter(|member| sorted.remove(member))
        .count();
    database.tidy(&words[1]);
    Ok(Reply::count(removed))
}

/// A limit of scores: the score, and whether it is itself outside.
fn limit(word: &[u8]) -> Result<(f64, bool), String> {
    let (is_open, number) = match word.strip_prefix(b"(") {
        Some(number) => (true, number),
        None => (false, word),
    };
    Ok((float(number).ok_or(NOT_LIMITS)?, is_open))
}

/// Whether a score lies within two limits.
fn within(low: (f64, bool), high: (f64, bool)) -> impl Fn(f64) -> bool {
    move |score| {
        let is_above = if low.1 { score > low.0 } else { score >= low.0 };
        is_above
            && if high.1 {
                score < high.0
            } else {
                score <= high.0
            }
    }
}

pub fn count(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let is_within = within(limit(&words[2])?, limit(&words[3])?);
    let sorted = database.get::<Sorted>(&words[1])?;
    Ok(Reply::count(sorted.map_or(0, |sorted| {
        sorted.iter().filter(|(_, score)| is_within(*score)).count()
    })))
}

pub fn remove_by_score(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let is_within = within(limit(&words[2])?, limit(&words[3])?);
    let Some(sorted) = database.get::<Sorted>(&words[1])? else {
        return Ok(Reply::Integer(0));
    };
    let gone = sorted
        .iter()
        .filter(|(_, score)| is_within(*score))
        .map(|(member, _)| member.clone());
    let gone: Vec<Vec<u8>> = gone.collect();
    gone.iter().for_each(|member| {
        sorted.remove(member);
    });
    database.tidy(&words[1]);
    Ok(Reply::count(gone.len()))
}

#[derive(Default)]
struct Ranging {
    is_by_score: bool,
    is_reversed: bool,
    has_scores: bool,
    limit: Option<(i64, i64)>,
}

impl Ranging {
    fn read(words: &[Vec<u8>], is_by_score: bool) -> Result<Self, String> {
        let mut ranging = Self {
            is_by_score,
            ..Self::default()
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match upper(word).as_str() {
                "WITHSCORES" => ranging.has_scores = true,
                "BYSCORE" if !is_by_score => ranging.is_by_score = true,
                "REV" if !is_by_score => ranging.is_reversed = true,
                "LIMIT" => {
                    let (offset, count) = words.next().zip(words.next()).ok_or(SYNTAX)?;
                    ranging.limit = Some((required(offset)?, required(count)?));
                }
                _ => return Err(SYNTAX.to_owned()),
            }
        }
        if ranging.limit.is_some() && !ranging.is_by_score {
            let error = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
            return Err(error.to_owned());
        }
        Ok(ranging)
    }
}

pub fn range(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    range_with(database, words, false)
}

pub fn range_by_score(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    range_with(database, words, true)
}

/// An end of a range of names.
fn name_limit(word: &[u8]) -> Result<Bound<Vec<u8>>, String> {
    match word.split_first() {
        Some((b'(', name)) => Ok(Bound::Excluded(name.to_vec())),
        Some((b'[', name)) => Ok(Bound::Included(name.to_vec())),
        _ if word == b"-" || word == b"+" => Ok(Bound::Unbounded),
        _ => Err("ERR min or max not valid string range item".to_owned()),
    }
}

/// Of members that all have the same score, between two names.
pub fn range_by_name(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let (offset, count) = match words.get(4..).unwrap_or_default() {
        [] => (0, -1),
        [name, offset, count] if upper(name) == "LIMIT" => (required(offset)?, required(count)?),
        _ => return Err(SYNTAX.to_owned()),
    };
    let ends = (name_limit(&words[2])?, name_limit(&words[3])?);
    let is_nothing = words[2] == b"+" || words[3] == b"-" || offset < 0;
    let members = in_order(database, &words[1], false)?;
    if is_nothing {
        return Ok(Reply::Array(Vec::new()));
    }
    let names = members.into_iter().map(|(name, _)| name);
    let names = names.filter(|name| ends.contains(name));
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let names = names.skip(count_of(offset)).take(limit);
    Ok(Reply::Array(names.map(Reply::Bulk).collect()))
}

type Member = (Vec<u8>, f64);

fn range_with(database: &mut Database, words: &[Vec<u8>], is_by_score: bool) -> Outcome {
    let ranging = Ranging::read(&words[4..], is_by_score)?;
    let (first, last) = (&words[2], &words[3]);
    let chosen = if ranging.is_by_score {
        // The greater limit comes first in a reversed range.
        let (low, high) = if ranging.is_reversed {
            (last, first)
        } else {
            (first, last)
        };
        let is_within = within(limit(low)?, limit(high)?);
        let members = in_order(database, &words[1], ranging.is_reversed)?;
        let found = members.into_iter().filter(|(_, score)| is_within(*score));
        match ranging.limit {
            Some((offset, _)) if offset < 0 => Vec::new(),
            Some((offset, count)) if count < 0 => found.skip(count_of(offset)).collect(),
            Some((offset, count)) => found.skip(count_of(offset)).take(count_of(count)).collect(),
            None => found.collect(),
        }
    } else {
        let (first, last) = (required(first)?, required(last)?);
        let members = in_order(database, &words[1], ranging.is_reversed)?;
        by_index(members, first, last)
    };
    if ranging.has_scores {
        let pairs = chosen
            .into_iter()
            .map(|(member, score)| (Reply::Bulk(member), Reply::Double(score)));
        return Ok(Reply::Pairs(pairs.collect()));
    }
    Ok(Reply::Array(
        chosen
            .into_iter()
            .map(|(member, _)| Reply::Bulk(member))
            .collect(),
    ))
}

fn in_order(database: &mut Database, key: &[u8], is_reversed: bool) -> Result<Vec<Member>, String> {
    let Some(sorted) = database.get::<Sorted>(key)? else {
        return Ok(Vec::new());
    };
    let members = sorted.iter().map(|(member, score)| (member.clone(), score));
    Ok(if is_reversed {
        members.rev().collect()
    } else {
        members.collect()
    })
}

fn by_index(members: Vec<Member>, first: i64, last: i64) -> Vec<Member> {
    let len = i64::try_from(members.len()).unwrap_or(i64::MAX);
    let first = if first < 0 {
        (first + len).max(0)
    } else {
        first
    };
    let last = if last < 0 { last + len } else { last };
    let count = count_of(last.saturating_sub(first).saturating_add(1));
    members
        .into_iter()
        .skip(count_of(first))
        .take(count)
        .collect()
}
