//! Streams: entries with ids that only grow.

use std::ops::Bound;

use super::super::data::{Database, Id, Stream};
use super::super::reply::Reply;
use super::{Context, Outcome, SYNTAX, count_of, required, upper, wrong_count};

const INVALID_ID: &str = "ERR Invalid stream ID specified as stream command argument";
const TOO_SMALL: &str =
    "ERR The ID specified in XADD is equal or smaller than the target stream top item";

/// An id; the second number may be missing.
fn id(word: &[u8], missing: u64) -> Result<Id, String> {
    let text = std::str::from_utf8(word).map_err(|_| INVALID_ID)?;
    let number = |digits: &str| digits.parse().map_err(|_| INVALID_ID.to_owned());
    match text.split_once('-') {
        Some((first, second)) => Ok((number(first)?, number(second)?)),
        None => Ok((number(text)?, missing)),
    }
}

fn written(id: Id) -> Reply {
    Reply::text(&format!("{}-{}", id.0, id.1))
}

/// How a stream is cut.
enum Cut {
    Length(usize),
    Before(Id),
}

impl Cut {
    /// Reads `MAXLEN [~|=] n` or `MINID [~|=] id`, the first word of which is given. Returns how many more words it took.
    /// The real engine keeps somewhat more than asked for with `~`.
    fn read(kind: &str, words: &[Vec<u8>]) -> Result<(Self, usize), String> {
        let is_marked = words
            .first()
            .is_some_and(|word| word == b"~" || word == b"=");
        let taken = 1 + usize::from(is_marked);
        let limit = words.get(taken - 1).ok_or(SYNTAX)?;
        if kind == "MINID" {
            return Ok((Self::Before(id(limit, 0)?), taken));
        }
        let count = required(limit)?;
        if count < 0 {
            return Err("ERR The MAXLEN argument must be >= 0.".to_owned());
        }
        Ok((Self::Length(count_of(count)), taken))
    }

    fn apply(&self, stream: &mut Stream) -> usize {
        match self {
            Self::Length(count) => stream.keep(*count),
            Self::Before(id) => stream.drop_before(*id),
        }
    }
}

/// The id that a new entry gets.
fn new_id(word: &[u8], last: Id, now: u64) -> Result<Id, String> {
    let next = |last: Id| match last.1.checked_add(1) {
        Some(second) => Some((last.0, second)),
        None => last.0.checked_add(1).map(|first| (first, 0)),
    };
    if word == b"*" {
        let next = if now > last.0 {
            Some((now, 0))
        } else {
            next(last)
        };
        return next.ok_or_else(|| TOO_SMALL.to_owned());
    }
    if let Some(first) = word.strip_suffix(b"-*") {
        let first = id(first, 0)?.0;
        return match first.cmp(&last.0) {
            std::cmp::Ordering::Less => Err(TOO_SMALL.to_owned()),
            std::cmp::Ordering::Equal => next(last)
                .filter(|id| id.0 == first)
                .ok_or_else(|| TOO_SMALL.to_owned()),
            std::cmp::Ordering::Greater => Ok((first, 0)),
        };
    }
    let id = id(word, 0)?;
    if id == (0, 0) {
        return Err("ERR The ID specified in XADD must be greater than 0-0".to_owned());
    }
    if id <= last {
        Err(TOO_SMALL.to_owned())
    } else {
        Ok(id)
    }
}

pub fn add(database: &mut Database, words: &[Vec<u8>], context: &mut Context<'_>) -> Outcome {
    let (mut at, mut cut, mut makes) = (2, None, true);
    while let Some(word) = words.get(at) {
        match upper(word).as_str() {
            "NOMKSTREAM" => makes = false,
            kind @ ("MAXLEN" | "MINID") if cut.is_none() => {
                let (read, taken) = Cut::read(kind, &words[at + 1..])?;
                (cut, at) = (Some(read), at + taken);
            }
            _ => break,
        }
        at += 1;
    }
    // What is no id is found before the number of fields is looked at.
    if let Some(word) = words.get(at).filter(|word| *word != b"*") {
        id(word.strip_suffix(b"-*").unwrap_or(word), 0)?;
    }
    let fields = words.get(at + 1..).unwrap_or_default();
    if fields.is_empty() || fields.len() % 2 == 1 {
        return Err(wrong_count("xadd"));
    }
    if id(&words[at], 0) == Ok((0, 0)) {
        return Err("ERR The ID specified in XADD must be greater than 0-0".to_owned());
    }
    let last = match database.get::<Stream>(&words[1])? {
        Some(stream) => stream.last,
        None if makes => (0, 0),
        None => return Ok(Reply::Null),
    };
    if last == (u64::MAX, u64::MAX) {
        return Err(
            "ERR The stream has exhausted the last possible ID, unable to add more items"
                .to_owned(),
        );
    }
    // A stream without entries is made before its first entry can be refused, but only 0-0 is, and that is seen above.
    let id = new_id(&words[at], last, context.now())?;
    let stream: &mut Stream = database.make(&words[1])?;
    stream.entries.insert(id, fields.to_vec());
    stream.last = id;
    if let Some(cut) = cut {
        cut.apply(stream);
    }
    Ok(written(id))
}

pub fn len(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    Ok(Reply::count(
        database
            .get::<Stream>(&words[1])?
            .map_or(0, |stream| stream.entries.len()),
    ))
}

pub fn trim(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let kind = upper(&words[2]);
    if kind != "MAXLEN" && kind != "MINID" {
        return Err(SYNTAX.to_owned());
    }
    let (cut, taken) = Cut::read(&kind, &words[3..])?;
    if words.len() > 3 + taken {
        return Err(SYNTAX.to_owned());
    }
    Ok(Reply::count(
        database
            .get::<Stream>(&words[1])?
            .map_or(0, |stream| cut.apply(stream)),
    ))
}

pub fn del(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    let Some(stream) = database.get::<Stream>(&words[1])? else {
        return Ok(Reply::Integer(0));
    };
    let ids: Vec<Id> = words[2..]
        .iter()
        .map(|word| id(word, 0))
        .collect::<Result<_, _>>()?;
    Ok(Reply::count(
        ids.iter()
            .filter(|id| stream.entries.remove(id).is_some())
            .count(),
    ))
}

pub fn range(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    range_with(database, words, &words[2], &words[3], false)
}

pub fn range_back(database: &mut Database, words: &[Vec<u8>], _: &mut Context<'_>) -> Outcome {
    range_with(database, words, &words[3], &words[2], true)
}

/// An end of a range; `missing` is the second number of an id without one.
fn bound(word: &[u8], missing: u64) -> Result<Bound<Id>, String> {
    match word {
        b"-" => Ok(Bound::Included((0, 0))),
        b"+" => Ok(Bound::Included((u64::MAX, u64::MAX))),
        _ => match word.strip_prefix(b"(") {
            Some(open) => Ok(Bound::Excluded(id(open, missing)?)),
            None => Ok(Bound::Included(id(word, missing)?)),
        },
    }
}

fn is_within(id: Id, low: Bound<Id>, high: Bound<Id>) -> bool {
    let is_above = match low {
        Bound::Included(low) => id >= low,
        Bound::Excluded(low) => id > low,
        Bound::Unbounded => true,
    };
    is_above
        && match high {
            Bound::Included(high) => id <= high,
            Bound::Excluded(high) => id < high,
            Bound::Unbounded => true,
        }
}

fn range_with(
    database: &mut Database,
    words: &[Vec<u8>],
    low: &[u8],
    high: &[u8],
    is_reversed: bool,
) -> Outcome {
    // The start is read first, in whichever direction.
    let (low, high) = (bound(low, 0)?, bound(high, u64::MAX)?);
    if low == Bound::Excluded((u64::MAX, u64::MAX)) {
        return Err("ERR invalid start ID for the interval".to_owned());
    }
    if high == Bound::Excluded((0, 0)) {
        return Err("ERR invalid end ID for the interval".to_owned());
    }
    let count = match words.get(4..).unwrap_or_default() {
        [] => None,
        [name, count] if upper(name) == "COUNT" => Some(required(count)?.max(0)),
        _ => return Err(SYNTAX.to_owned()),
    };
    let Some(stream) = database.get::<Stream>(&words[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    if count == Some(0) {
        return Ok(Reply::NullArray);
    }
    let entry = |(id, fields): (&Id, &Vec<Vec<u8>>)| {
        let fields = fields.iter().map(|field| Reply::Bulk(field.clone()));
        Reply::Array(vec![written(*id), Reply::Array(fields.collect())])
    };
    let limit = count.map_or(usize::MAX, count_of);
    let inside = stream
        .entries
        .iter()
        .filter(|(id, _)| is_within(**id, low, high));
    let found = if is_reversed {
        inside.rev().take(limit).map(entry).collect()
    } else {
        inside.take(limit).map(entry).collect()
    };
    Ok(Reply::Array(found))
}
