//! What the engine keeps: sixteen databases of keys with values and times to live.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::chance;

/// The text of the error for a key of another type.
pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// All data at one moment.
#[derive(Clone, Debug)]
pub struct Data {
    pub(crate) databases: Vec<Database>,
}

impl Data {
    pub(crate) fn new(seed: u64) -> Self {
        let empty = Database {
            seed,
            keys: BTreeMap::new(),
            expiries: BTreeSet::new(),
        };
        Self {
            databases: vec![empty; 16],
        }
    }
}

/// The keys of one number of SELECT.
#[derive(Clone, Debug)]
pub struct Database {
    seed: u64,
    keys: BTreeMap<Vec<u8>, Entry>,
    /// The keys with a time to live by the millisecond they end at.
    expiries: BTreeSet<(u64, Vec<u8>)>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Value,
    expires: Option<u64>,
}

/// The value of a key.
#[derive(Clone, Debug)]
pub enum Value {
    /// Bytes.
    Text(Vec<u8>),
    /// Fields with values.
    Hash(Bag<Vec<u8>>),
    /// Members.
    Set(Bag<()>),
    /// Members with scores.
    Sorted(Sorted),
    /// Entries with ids.
    Stream(Stream),
}

impl Value {
    /// The name of the type, as TYPE answers it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::Sorted(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    /// Whether the key goes with its last member. A stream stays: it knows its newest id.
    fn is_spent(&self) -> bool {
        match self {
            Self::Hash(bag) => bag.len() == 0,
            Self::Set(bag) => bag.len() == 0,
            Self::Sorted(sorted) => sorted.len() == 0,
            Self::Text(_) | Self::Stream(_) => false,
        }
    }
}

/// A type of value that keys can have, found in a [`Value`].
pub trait Kind: Sized {
    /// An empty one.
    fn empty(seed: u64) -> Self;
    /// As a value.
    fn wrap(self) -> Value;
    /// The value as this type, or nothing if it is of another.
    fn find(value: &mut Value) -> Option<&mut Self>;
}

macro_rules! kind {
    ($type:ty, $variant:ident, $empty:expr) => {
        impl Kind for $type {
            fn empty(seed: u64) -> Self {
                $empty(seed)
            }
            fn wrap(self) -> Value {
                Value::$variant(self)
            }
            fn find(value: &mut Value) -> Option<&mut Self> {
                match value {
                    Value::$variant(found) => Some(found),
                    _ => None,
                }
            }
        }
    };
}
kind!(Vec<u8>, Text, |_| Vec::new());
kind!(Bag<Vec<u8>>, Hash, Bag::new);
kind!(Bag<()>, Set, Bag::new);
kind!(Sorted, Sorted, |_| Sorted::default());
kind!(Stream, Stream, |_| Stream::default());

impl Database {
    /// Drops the keys whose time is over.
    pub fn expire(&mut self, now: u64) {
        while let Some((at, key)) = self.expiries.first() {
            // A key is there still in the millisecond it ends at.
            if *at >= now {
                return;
            }
            let key = key.clone();
            self.remove(&key);
        }
    }

    /// The value of a key, whatever its type.
    pub fn value(&self, key: &[u8]) -> Option<&Value> {
        self.keys.get(key).map(|entry| &entry.value)
    }

    /// The value of a key of a type.
    pub fn get<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut K>, String> {
        match self.keys.get_mut(key) {
            None => Ok(None),
            Some(entry) => K::find(&mut entry.value)
                .map(Some)
                .ok_or_else(|| WRONG_TYPE.to_owned()),
        }
    }

    /// The value of a key of a type, which is made if there is none.
    pub fn make<K: Kind>(&mut self, key: &[u8]) -> Result<&mut K, String> {
        let seed = self.seed;
        let new = || Entry {
            value: K::empty(seed).wrap(),
            expires: None,
        };
        let entry = self.keys.entry(key.to_vec()).or_insert_with(new);
        K::find(&mut entry.value).ok_or_else(|| WRONG_TYPE.to_owned())
    }

    /// Sets a key: what it was, and its time to live, are gone.
    pub fn set(&mut self, key: &[u8], value: Value, expires: Option<u64>) {
        self.remove(key);
        self.keys.insert(
            key.to_vec(),
            Entry {
                value,
                expires: None,
            },
        );
        self.set_expiry(key, expires);
    }

    /// Removes a key. Returns what it was.
    pub fn remove(&mut self, key: &[u8]) -> Option<Value> {
        let entry = self.keys.remove(key)?;
        if let Some(at) = entry.expires {
            self.expiries.remove(&(at, key.to_vec()));
        }
        Some(entry.value)
    }

    /// Removes a key that has lost its last member.
    pub fn tidy(&mut self, key: &[u8]) {
        if self.value(key).is_some_and(Value::is_spent) {
            self.remove(key);
        }
    }

    /// When a key ends: nothing if there is no such key, `Some(None)` if it has no end.
    pub fn expiry(&self, key: &[u8]) -> Option<Option<u64>> {
        self.keys.get(key).map(|entry| entry.expires)
    }

    /// Sets or takes away the end of a key that exists.
    pub fn set_expiry(&mut self, key: &[u8], expires: Option<u64>) {
        let Some(entry) = self.keys.get_mut(key) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut entry.expires, expires) {
            self.expiries.remove(&(old, key.to_vec()));
        }
        if let Some(new) = expires {
            self.expiries.insert((new, key.to_vec()));
        }
    }

    /// All keys and when they end.
    pub fn keys(&self) -> impl Iterator<Item = (&Vec<u8>, Option<u64>)> {
        self.keys.iter().map(|(key, entry)| (key, entry.expires))
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.expiries.clear();
    }
}

/// Members in an order that looks like chance, as that of the engine's hash tables, but is the same for a seed. The place of
/// a member never changes: a scan continues after what it has seen, whatever came and went.
#[derive(Clone, Debug)]
pub struct Bag<V> {
    seed: u64,
    items: BTreeMap<(u64, Vec<u8>), V>,
}

impl<V> Bag<V> {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            items: BTreeMap::new(),
        }
    }

    fn place(&self, name: &[u8]) -> (u64, Vec<u8>) {
        let mut hash = self.seed;
        for byte in name {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        // 0 is the cursor of a scan that is over, and a cursor must be a number that Lua keeps whole.
        ((chance::mix(hash) >> 12) + 1, name.to_vec())
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// What a member holds.
    pub fn get(&self, name: &[u8]) -> Option<&V> {
        self.items.get(&self.place(name))
    }

    /// Adds a member or replaces what it holds. Returns what it held.
    pub fn insert(&mut self, name: &[u8], value: V) -> Option<V> {
        let place = self.place(name);
        self.items.insert(place, value)
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &[u8]) -> Option<V> {
        let place = self.place(name);
        self.items.remove(&place)
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &V)> {
        self.items.iter().map(|((_, name), value)| (name, value))
    }

    /// Some members from a cursor on, and the cursor for those after them, which is 0 at the end.
    pub fn scan(&self, cursor: u64, count: usize) -> (u64, Vec<(&Vec<u8>, &V)>) {
        let mut found = Vec::new();
        let mut last = cursor;
        for ((place, name), value) in self
            .items
            .range((Bound::Included((cursor, Vec::new())), Bound::Unbounded))
        {
            // Members at the same place are not parted, since the cursor could not tell which was seen.
            if found.len() >= count && *place != last {
                return (*place, found);
            }
            last = *place;
            found.push((name, value));
        }
        (0, found)
    }
}

/// A score in the order of numbers. It is never `NaN`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score(f64);
impl Eq for Score {}
impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Members with scores, in the order of these.
#[derive(Clone, Debug, Default)]
pub struct Sorted {
    scores: BTreeMap<Vec<u8>, f64>,
    order: BTreeSet<(Score, Vec<u8>)>,
}

impl Sorted {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// The score of a member.
    pub fn get(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Adds a member or changes its score.
    pub fn insert(&mut self, member: &[u8], score: f64) {
        // Minus zero is the same score as zero.
        let score = score + 0.0;
        self.remove(member);
        self.scores.insert(member.to_vec(), score);
        self.order.insert((Score(score), member.to_vec()));
    }

    /// Takes a member out.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Some(score) = self.scores.remove(member) else {
            return false;
        };
        self.order.remove(&(Score(score), member.to_vec()))
    }

    /// The members in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Vec<u8>, f64)> {
        self.order.iter().map(|(score, member)| (member, score.0))
    }
}

/// The id of an entry of a stream.
pub type Id = (u64, u64);

/// Entries with ids that only grow.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The fields and values of each entry, as they were added.
    pub entries: BTreeMap<Id, Vec<Vec<u8>>>,
    /// The newest id that was ever added, whether the entry is there or not.
    pub last: Id,
}

impl Stream {
    /// Keeps so many of the newest entries. Returns how many went.
    pub fn keep(&mut self, count: usize) -> usize {
        let over = self.entries.len().saturating_sub(count);
        for _ in 0..over {
            self.entries.pop_first();
        }
        over
    }

    /// Drops the entries before an id. Returns how many went.
    pub fn drop_before(&mut self, id: Id) -> usize {
        let kept = self.entries.split_off(&id);
        std::mem::replace(&mut self.entries, kept).len()
    }
}
