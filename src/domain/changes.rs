//! Changes of a store, in order, as bytes: one buffer however many there are.

use super::record::{Key, Record};
use super::rules::Rules;

/// Changes of a store, in order, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    bytes: Vec<u8>,
    count: usize,
}

/// A change of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A record is added or replaced.
    Put(&'a [u8], &'a [u8]),
    /// The record of this key is removed, if there is one.
    Remove(&'a [u8]),
}

/// The lengths of key and value before them; a value of this length means that the record is removed.
const REMOVED: u32 = u32::MAX;
const LENGTHS_BYTES: usize = 6;

impl Changes {
    /// No changes, with room for this many bytes of them.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            count: 0,
        }
    }

    /// Adds or replaces a record.
    pub fn put(&mut self, record: &Record<'_>) {
        let start = self.push_key(&record.key());
        let value = self.bytes.len();
        record.encode_value(&mut self.bytes);
        // A message, the largest record, has at most 64 KiB.
        let length = (self.bytes.len() - value) as u32;
        self.bytes[start + 2..start + LENGTHS_BYTES].copy_from_slice(&length.to_be_bytes());
    }

    /// Adds or replaces the rules of a room, or removes them if they are the usual ones.
    pub fn put_rules(&mut self, epoch: u64, rules: Rules) {
        match rules == Rules::default() {
            true => self.remove(&Key::Rules(epoch)),
            false => self.put(&Record::Rules { epoch, rules }),
        }
    }

    /// Removes a record.
    pub fn remove(&mut self, key: &Key<'_>) {
        let start = self.push_key(key);
        self.bytes[start + 2..start + LENGTHS_BYTES].copy_from_slice(&REMOVED.to_be_bytes());
    }

    /// Appends other changes.
    pub fn append(&mut self, others: &Self) {
        self.bytes.extend_from_slice(&others.bytes);
        self.count += others.count;
    }

    /// Their bytes, for [`Self::from_bytes`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Changes from bytes. What cannot be read of them is left out.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let mut changes = Self { bytes, count: 0 };
        changes.count = changes.iter().count();
        changes
    }

    /// The number of changes.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        let mut rest = &*self.bytes;
        std::iter::from_fn(move || {
            let ([a, b, lengths @ ..], behind) = rest.split_first_chunk::<LENGTHS_BYTES>()?;
            let (key, behind) =
                behind.split_at_checked(usize::from(u16::from_be_bytes([*a, *b])))?;
            let length = u32::from_be_bytes(*lengths);
            if length == REMOVED {
                rest = behind;
                return Some(Change::Remove(key));
            }
            let (value, behind) = behind.split_at_checked(length as usize)?;
            rest = behind;
            Some(Change::Put(key, value))
        })
    }

    /// Appends lengths, of which that of the value is not known yet, and a key. Returns where the lengths begin.
    fn push_key(&mut self, key: &Key<'_>) -> usize {
        self.count += 1;
        let start = self.bytes.len();
        self.bytes.extend([0; LENGTHS_BYTES]);
        key.encode(&mut self.bytes);
        // Names and families have at most some hundred characters.
        let length = (self.bytes.len() - start - LENGTHS_BYTES) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_be_bytes());
        start
    }
}
