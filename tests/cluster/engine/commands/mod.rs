//! The commands on keys: pure functions of a database, arguments and the time.

mod hashes;
mod keys;
mod sets;
mod sorted;
mod streams;
mod texts;

use std::time::Duration;

use super::chance::Chance;
use super::data::Database;
use super::reply::Reply;

/// What a command answers, or the text of its error.
pub type Outcome = Result<Reply, String>;

/// What a command may know beside its arguments.
pub struct Context<'a> {
    /// The wall clock.
    pub unix: Duration,
    /// For the commands that answer by chance.
    pub chance: &'a mut Chance,
}

impl Context<'_> {
    /// The wall clock in milliseconds.
    pub fn now(&self) -> u64 {
        u64::try_from(self.unix.as_millis()).unwrap_or(u64::MAX)
    }
}

type Run = fn(&mut Database, &[Vec<u8>], &mut Context<'_>) -> Outcome;

/// A command on keys.
pub struct Command {
    /// In capital letters.
    pub name: &'static str,
    /// How many words it has, itself among them; below zero: at least so many.
    pub arity: i32,
    /// What it does to the data.
    pub effect: Effect,
    pub(crate) run: Run,
}

/// What a command does to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads.
    Reads,
    /// It changes data, but never needs more memory.
    Shrinks,
    /// It is refused while the memory is full.
    Grows,
}

const fn command(name: &'static str, arity: i32, effect: Effect, run: Run) -> Command {
    Command {
        name,
        arity,
        effect,
        run,
    }
}

use Effect::{Grows, Reads, Shrinks};

/// All commands on keys.
static COMMANDS: &[Command] = &[
    command("APPEND", 3, Grows, texts::append),
    command("DEL", -2, Shrinks, keys::del),
    command("EXISTS", -2, Reads, keys::exists),
    command("EXPIRE", -3, Shrinks, keys::expire),
    command("EXPIREAT", -3, Shrinks, keys::expire_at),
    command("FLUSHALL", -1, Shrinks, keys::flush),
    command("FLUSHDB", -1, Shrinks, keys::flush),
    command("GET", 2, Reads, texts::get),
    command("GETDEL", 2, Shrinks, texts::get_del),
    command("HDEL", -3, Shrinks, hashes::del),
    command("HEXISTS", 3, Reads, hashes::exists),
    command("HGET", 3, Reads, hashes::get),
    command("HGETALL", 2, Reads, hashes::get_all),
    command("HINCRBY", 4, Grows, hashes::increase),
    command("HKEYS", 2, Reads, hashes::keys),
    command("HLEN", 2, Reads, hashes::len),
    command("HMGET", -3, Reads, hashes::get_many),
    command("HMSET", -4, Grows, hashes::set_many),
    command("HRANDFIELD", -2, Reads, hashes::random),
    command("HSCAN", -3, Reads, hashes::scan),
    command("HSET", -4, Grows, hashes::set),
    command("HSETNX", 4, Grows, hashes::set_new),
    command("HVALS", 2, Reads, hashes::values),
    command("INCR", 2, Grows, texts::increase_one),
    command("INCRBY", 3, Grows, texts::increase),
    command("PERSIST", 2, Shrinks, keys::persist),
    command("PEXPIRE", -3, Shrinks, keys::pexpire),
    command("PEXPIREAT", -3, Shrinks, keys::pexpire_at),
    command("PSETEX", 4, Grows, texts::set_for_milliseconds),
    command("PTTL", 2, Reads, keys::pttl),
    command("SADD", -3, Grows, sets::add),
    command("SCARD", 2, Reads, sets::len),
    command("SET", -3, Grows, texts::set),
    command("SETEX", 4, Grows, texts::set_for_seconds),
    command("SISMEMBER", 3, Reads, sets::has),
    command("SMEMBERS", 2, Reads, sets::members),
    command("SPOP", -2, Shrinks, sets::pop),
    command("SRANDMEMBER", -2, Reads, sets::random),
    command("SREM", -3, Shrinks, sets::remove),
    command("SSCAN", -3, Reads, sets::scan),
    command("STRLEN", 2, Reads, texts::len),
    command("TIME", 1, Reads, keys::time),
    command("TTL", 2, Reads, keys::ttl),
    command("TYPE", 2, Reads, keys::kind),
    command("UNLINK", -2, Shrinks, keys::del),
    command("XADD", -5, Grows, streams::add),
    command("XDEL", -3, Shrinks, streams::del),
    command("XLEN", 2, Reads, streams::len),
    command("XRANGE", -4, Reads, streams::range),
    command("XREVRANGE", -4, Reads, streams::range_back),
    command("XTRIM", -4, Shrinks, streams::trim),
    command("ZADD", -4, Grows, sorted::add),
    command("ZCARD", 2, Reads, sorted::len),
    command("ZCOUNT", 4, Reads, sorted::count),
    command("ZRANGE", -4, Reads, sorted::range),
    command("ZRANGEBYLEX", -4, Reads, sorted::range_by_name),
    command("ZRANGEBYSCORE", -4, Reads, sorted::range_by_score),
    command("ZREM", -3, Shrinks, sorted::remove),
    command("ZREMRANGEBYSCORE", 4, Shrinks, sorted::remove_by_score),
    command("ZSCORE", 3, Reads, sorted::score),
];

/// The command of a name in capital letters.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS
        .binary_search_by_key(&name, |command| command.name)
        .ok()
        .map(|at| &COMMANDS[at])
}

/// Whether a command may have so many words.
pub fn fits(arity: i32, words: usize) -> bool {
    let words = i32::try_from(words).unwrap_or(i32::MAX);
    if arity < 0 {
        words >= -arity
    } else {
        words == arity
    }
}

/// The error for a wrong number of words.
pub fn wrong_count(name: &str) -> String {
    format!(
        "ERR wrong number of arguments for '{}' command",
        name.to_lowercase()
    )
}

pub(crate) const SYNTAX: &str = "ERR syntax error";
pub(crate) const NOT_INTEGER: &str = "ERR value is not an integer or out of range";

/// A word in capital letters.
pub fn upper(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_ascii_uppercase()
}

/// A whole number as the engine accepts it: no sign but minus, no zeros before it.
pub fn integer(word: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == word).then_some(number)
}

fn required(word: &[u8]) -> Result<i64, String> {
    integer(word).ok_or_else(|| NOT_INTEGER.to_owned())
}

fn count_of(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// The options COUNT and MATCH of a scan: only COUNT is modelled.
fn scan_options(words: &[Vec<u8>]) -> Result<(u64, usize), String> {
    let cursor = std::str::from_utf8(&words[0])
        .ok()
        .and_then(|text| text.parse().ok());
    let cursor = cursor.ok_or("ERR invalid cursor")?;
    let mut count = 10;
    for option in words[1..].chunks(2) {
        match (upper(&option[0]).as_str(), option.get(1)) {
            ("COUNT", Some(number)) => count = required(number)?,
            _ => return Err(SYNTAX.to_owned()),
        }
    }
    if count < 1 {
        return Err(SYNTAX.to_owned());
    }
    Ok((cursor, count_of(count)))
}

/// Which of some members are taken by chance: a count below zero allows the same one many times.
fn choose(len: usize, count: i64, chance: &mut Chance) -> Vec<usize> {
    if count < 0 {
        return (0..count.unsigned_abs())
            .map(|_| chance.below(len))
            .collect();
    }
    let mut left: Vec<usize> = (0..len).collect();
    let taken = count_of(count).min(len);
    for at in 0..taken {
        let other = at + chance.below(len - at);
        left.swap(at, other);
    }
    left.truncate(taken);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name() {
        for command in COMMANDS {
            assert_eq!(
                find(command.name).map(|found| found.name),
                Some(command.name)
            );
        }
        assert!(find("GETX").is_none());
    }

    #[test]
    fn a_choice_takes_each_member_at_most_once() {
        let mut chance = Chance::new(1);
        for count in 0..8 {
            let mut chosen = choose(5, count, &mut chance);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), count_of(count).min(5));
        }
        assert_eq!(choose(2, -7, &mut chance).len(), 7);
    }
}
