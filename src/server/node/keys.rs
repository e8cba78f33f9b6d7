//! The names of keys and channels in the engine.
//!
//! Those of one room, or of one name, have the same hash tag (Redis Cluster specification, "Hash tags"), so that a cluster of
//! engines keeps them together. There are [`ENGINE_TAGS`] tags, spread evenly over the slots.

use std::fmt::Write as _;

use crc::{CRC_16_XMODEM, Crc};
use sha2::{Digest as _, Sha256};

use crate::config::{ENGINE_SLOTS, ENGINE_TAGS};
use crate::domain::message_keys::Person;

/// The checksum by which slots are found.
const CRC: Crc<u16, crc::NoTable> = Crc::<u16, crc::NoTable>::new(&CRC_16_XMODEM);

/// The number in each tag: the least one whose slot is in each part.
const TAGS: [u16; ENGINE_TAGS as usize] = find_tags();

const fn find_tags() -> [u16; ENGINE_TAGS as usize] {
    let mut tags = [0; ENGINE_TAGS as usize];
    let (mut found, mut number) = (0, 1);
    while found < ENGINE_TAGS {
        let slot = CRC.checksum(decimal(number, &mut [0; 5])) % ENGINE_SLOTS;
        let tag = &mut tags[(slot / (ENGINE_SLOTS / ENGINE_TAGS)) as usize];
        if *tag == 0 {
            *tag = number;
            found += 1;
        }
        number += 1;
    }
    tags
}

const fn decimal(mut number: u16, digits: &mut [u8; 5]) -> &[u8] {
    let mut first = digits.len();
    while number > 0 {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits.split_at(first).1
}

/// The names of keys and channels.
#[derive(Debug)]
pub struct Keys {
    prefix: Box<str>,
}

impl Keys {
    /// All begin with this.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// What all begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The number in the tag of a room, or of the key of a name.
    pub fn tag(&self, name: &str) -> u16 {
        TAGS[self.place_of_tag(name)]
    }

    /// A key of which there is one.
    pub fn single(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A key, or the channel, of a room or of a name.
    pub fn of(&self, kind: &str, name: &str) -> String {
        format!("{}{{{}}}{kind}:{name}", self.prefix, self.tag(name))
    }

    /// The names that are here, of those with the tag of this one.
    pub fn names_with(&self, name: &str) -> String {
        format!("{}{{{}}}us", self.prefix, self.tag(name))
    }

    /// The place among all such keys of that with this name.
    pub fn place_of_tag(&self, name: &str) -> usize {
        usize::from(CRC.checksum(name.as_bytes()) % ENGINE_TAGS)
    }

    /// All such keys.
    pub fn all_names(&self) -> impl ExactSizeIterator<Item = String> {
        TAGS.iter().map(|tag| format!("{}{{{tag}}}us", self.prefix))
    }

    /// The seats of a node in a room.
    pub fn seats(&self, node: &str, room: &str) -> String {
        format!("{}{{{}}}s:{node}:{room}", self.prefix, self.tag(room))
    }

    /// What the keys of the seats of all nodes in rooms with the tag of this one begin with.
    pub fn all_seats(&self, room: &str) -> String {
        format!("{}{{{}}}s:", self.prefix, self.tag(room))
    }

    /// What a node holds: references to rooms and names.
    pub fn holdings(&self, node: &str) -> String {
        format!("{}n:{node}", self.prefix)
    }

    /// The channel of a node.
    pub fn node_channel(&self, node: &str) -> String {
        format!("{}n:{node}", self.prefix)
    }

    /// How what a node holds refers to a room or name.
    pub fn reference(&self, name: &str) -> String {
        format!("{}\n{name}", self.tag(name))
    }

    /// The key of a message with an `id`, in a room or to whoever has a name.
    pub fn of_message(&self, kind: &str, place: &str, sender: &Person, id: &str) -> String {
        let mut hash = Sha256::new();
        for part in [place, &*sender.name, &who(sender), id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let tag = self.tag(place);
        let mut key = format!("{}{{{tag}}}{kind}:", self.prefix);
        push_hex(&hash.finalize()[..16], &mut key);
        key
    }

    /// The key of a ticket, of which only a hash is kept.
    pub fn ticket(&self, ticket: &str) -> String {
        let mut hash = String::new();
        push_hex(&Sha256::digest(ticket), &mut hash);
        self.of("t", &hash)
    }

    /// The room of a channel, if it is one of a room.
    pub fn room_of<'c>(&self, channel: &'c str) -> Option<&'c str> {
        let behind = channel.strip_prefix(&*self.prefix)?.strip_prefix('{')?;
        behind.split_once("}r:").map(|(_, room)| room)
    }
}

/// Who somebody is, beside their name: signed in, a guest, or a guest with a key.
pub fn who(person: &Person) -> String {
    let mut who = if person.is_account { "a" } else { "g" }.to_owned();
    if let Some(holder) = person.holder {
        who = "h".into();
        push_hex(&holder.0, &mut who);
    }
    who
}

/// Appends bytes as hexadecimal digits.
pub fn push_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        // Writing into memory cannot fail.
        _ = write!(out, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::ids::HolderId;

    #[test]
    fn tags_are_spread_evenly_over_the_slots_of_a_cluster() {
        let slots = TAGS
            .iter()
            .map(|tag| CRC.checksum(tag.to_string().as_bytes()) % ENGINE_SLOTS);
        let parts: BTreeSet<u16> = slots
            .map(|slot| slot / (ENGINE_SLOTS / ENGINE_TAGS))
            .collect();
        assert_eq!(parts.len(), usize::from(ENGINE_TAGS));
        // The example of the specification.
        assert_eq!(CRC.checksum(b"123456789"), 0x31c3);
    }

    #[test]
    fn the_keys_of_a_room_have_one_tag_and_its_channel_leads_back_to_it() {
        let keys = Keys::new("sg:");
        for room in ["tech", "사랑방", "}r:", "a:b"] {
            let tag = format!("{{{}}}", keys.tag(room));
            for key in [
                keys.of("m", room),
                keys.seats("0", room),
                keys.of("r", room),
            ] {
                assert!(key.starts_with(&format!("sg:{tag}")), "{key}");
            }
            assert_eq!(keys.room_of(&keys.of("r", room)), Some(room));
        }
        assert_eq!(keys.room_of("sg:ctl"), None);
    }

    #[test]
    fn the_same_id_of_somebody_else_or_elsewhere_has_another_key() {
        let keys = Keys::new("sg:");
        let person = |is_account, holder: Option<u8>| Person {
            name: "kim".into(),
            is_account,
            holder: holder.map(|byte| HolderId([byte; 16])),
        };
        let mut all = BTreeSet::new();
        for sender in [
            person(true, None),
            person(false, None),
            person(false, Some(1)),
            person(false, Some(2)),
        ] {
            for room in ["a", "b"] {
                all.insert(keys.of_message("d", room, &sender, "1"));
            }
        }
        assert_eq!(all.len(), 8);
    }
}
