//! The working set: everything a store on disk keeps, as it is loaded at the start. The domain works on it in memory, and
//! nothing is read later.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::ban::KeptBan;
use super::changes::Changes;
use super::event::ChatMessage;
use super::facts::OpenedRoom;
use super::owners::Creator;
use super::position::Position;
use super::record::{KeptId, Key, Record, SaidAt};
use super::rules::Rules;
use super::time::Timestamp;
use crate::config::{EVENTS_KEPT, RESTORED_EVENT_IDS};

/// What is kept of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRoom {
    /// Its name.
    pub name: Rc<str>,
    /// The room, with its messages.
    pub room: OpenedRoom,
    /// Who created it, if that is known.
    pub creator: Option<Creator>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// Its id.
    pub id: u64,
    /// The name of its channel.
    pub name: Box<str>,
    /// Its data, as JSON.
    pub data: Rc<str>,
}

/// A family of tokens that was logged out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFamily {
    /// The family.
    pub family: Rc<str>,
    /// When its last token expires, in seconds since 1970.
    pub until: u64,
    /// The last second in which one of its tokens was issued, since 1970.
    pub second: u64,
}

/// Everything that is kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WorkingSet {
    /// The rooms, those used longest ago first.
    pub rooms: Vec<KeptRoom>,
    /// Messages with an `id`, oldest first.
    pub ids: Vec<KeptId>,
    /// Families of tokens that were logged out.
    pub families: Vec<KeptFamily>,
    /// Names, and the second up to which no token of theirs is good.
    pub marks: Vec<(Box<str>, u64)>,
    /// The second up to which no token at all is good.
    pub floor: Option<u64>,
    /// Who is banned.
    pub bans: Vec<KeptBan>,
    /// The events kept for those who resume, without a gap.
    pub events: Vec<KeptEvent>,
    /// The latest event of each channel of one's own.
    pub latest: Vec<KeptEvent>,
    /// The id before the first event of this store, if it has had one.
    pub event_base: Option<u64>,
    /// The figures that a back end has posted.
    pub figures: Map<String, Value>,
    /// The secret from which those of the server are derived.
    pub secret: Option<[u8; 32]>,
    /// The number of the last batch.
    pub batch: u64,
    /// Removes what was loaded and is of no use any more.
    pub stale: Changes,
}

/// What was read cannot have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged(pub &'static str);

/// Reads records, in the order of their keys, into a working set.
#[derive(Debug, Default)]
pub struct Loader {
    set: WorkingSet,
    /// The places of rooms in the set, by epoch.
    by_epoch: HashMap<u64, usize>,
    names: HashSet<Rc<str>>,
    /// Names that many messages share.
    authors: HashSet<Rc<str>>,
}

impl Loader {
    /// Takes a record.
    ///
    /// # Errors
    /// It is none, or does not fit those before it.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damaged> {
        let record = Record::decode(key, value).ok_or(Damaged("a record cannot be read"))?;
        if numbers(&record).any(|number| number > NUMBER_MAX) {
            return Err(Damaged("a number is too large"));
        }
        match record {
            Record::Room { .. } => self.add_room(&record)?,
            Record::Rules { epoch, rules } => self.room_of(epoch)?.rules = rules,
            Record::Newest(position) => self.room_of(position.epoch)?.newest = position.seq,
            Record::Message { .. } => self.add_message(&record)?,
            Record::Deleted {
                position,
                timestamp,
                newest,
            } => self.add_deleted(position, timestamp, newest)?,
            Record::Said { .. } => self.add_id(record)?,
            Record::Family {
                family,
                until,
                second,
            } => self.set.families.push(KeptFamily {
                family: family.into(),
                until,
                second,
            }),
            Record::Mark { name, second } => self.set.marks.push((name.into(), second)),
            Record::Floor(second) => self.set.floor = Some(second),
            Record::Event { id, name, data } => {
                let last = self.set.events.last();
                if last.is_some_and(|last| last.id + 1 != id) {
                    return Err(Damaged("an event is missing"));
                }
                self.set.events.push(event(id, name, data));
            }
            Record::Latest { name, id, data } => self.set.latest.push(event(id, name, data)),
            Record::Figures(json) => {
                let figures = serde_json::from_str(json);
                self.set.figures = figures.map_err(|_| Damaged("the figures cannot be read"))?;
            }
            Record::EventBase(id) => self.set.event_base = Some(id),
            Record::Secret(secret) => self.set.secret = Some(secret),
            Record::Ban { room, key, ban } => self.set.bans.push(KeptBan {
                room: room.into(),
                key: key.into(),
                ban,
            }),
        }
        Ok(())
    }

    /// The working set.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(mut self) -> Result<WorkingSet, Damaged> {
        for KeptRoom { room, .. } in &self.set.rooms {
            let last = room.messages.last();
            if last.is_some_and(|last| last.position.seq != room.newest) {
                return Err(Damaged("the newest messages of a room are missing"));
            }
        }
        let used_at = |kept: &KeptRoom| {
            let last = kept.room.messages.last();
            last.map_or(kept.room.created_at, |last| last.timestamp).0
        };
        self.set.rooms.sort_by_key(used_at);
        self.set.ids.sort_by_key(|id| id.second);
        let events = &mut self.set.events;
        let surplus = events.len().saturating_sub(EVENTS_KEPT);
        for event in events.drain(..surplus) {
            self.set.stale.remove(&Key::Event(event.id));
        }
        Ok(self.set)
    }

    fn add_room(&mut self, record: &Record<'_>) -> Result<(), Damaged> {
        let Record::Room {
            epoch,
            max_users,
            is_kept,
            created_at,
            creator,
            name,
        } = *record
        else {
            return Ok(());
        };
        let name: Rc<str> = name.into();
        if !self.names.insert(name.clone()) {
            return Err(Damaged("two rooms have the same name"));
        }
        self.by_epoch.insert(epoch, self.set.rooms.len());
        self.set.rooms.push(KeptRoom {
            name,
            room: OpenedRoom {
                epoch,
                max_users,
                is_kept,
                rules: Rules::default(),
                created_at,
                newest: 0,
                messages: Vec::new(),
                is_made: false,
            },
            creator: creator.map(|(address, user)| Creator::new(user.map(Into::into), address)),
        });
        Ok(())
    }

    fn room_of(&mut self, epoch: u64) -> Result<&mut OpenedRoom, Damaged> {
        let place = self.by_epoch.get(&epoch);
        let place = *place.ok_or(Damaged("a room is missing"))?;
        Ok(&mut self.set.rooms[place].room)
    }

    fn add_message(&mut self, record: &Record<'_>) -> Result<(), Damaged> {
        let Record::Message {
            position,
            timestamp,
            is_guest,
            username,
            content,
        } = *record
        else {
            return Ok(());
        };
        let username = match self.authors.get(username) {
            Some(known) => known.clone(),
            None => {
                let name: Rc<str> = username.into();
                self.authors.insert(name.clone());
                name
            }
        };
        self.push_message(ChatMessage {
            room: "".into(),
            username,
            content: content.into(),
            timestamp,
            position,
            guest: is_guest,
            deleted_at: None,
        })
    }

    fn add_deleted(
        &mut self,
        position: Position,
        timestamp: Timestamp,
        newest: NonZeroU64,
    ) -> Result<(), Damaged> {
        self.push_message(ChatMessage {
            room: "".into(),
            username: "".into(),
            content: "".into(),
            timestamp,
            position,
            guest: false,
            deleted_at: Some(newest),
        })
    }

    /// Adds a message to its room, as the next one.
    fn push_message(&mut self, message: ChatMessage) -> Result<(), Damaged> {
        let position = message.position;
        let place = self.by_epoch.get(&position.epoch);
        let kept = &mut self.set.rooms[*place.ok_or(Damaged("a room is missing"))?];
        let messages = &mut kept.room.messages;
        let last = messages.last();
        if position.seq == 0 {
            return Err(Damaged("a message has no number"));
        }
        if last.is_some_and(|last| last.position.seq + 1 != position.seq) {
            return Err(Damaged("a message is missing"));
        }
        messages.push(Rc::new(ChatMessage {
            room: kept.name.clone(),
            ..message
        }));
        Ok(())
    }

    fn add_id(&mut self, record: Record<'_>) -> Result<(), Damaged> {
        let Record::Said {
            at,
            second,
            fingerprint,
            sender,
            to,
            id,
        } = record
        else {
            return Ok(());
        };
        if let SaidAt::Position(Position { epoch, seq }) = at {
            // The room may have been evicted since.
            let Ok(room) = self.room_of(epoch) else {
                self.set.stale.remove(&Key::Said(at));
                return Ok(());
            };
            if seq > room.newest {
                return Err(Damaged("the newest messages of a room are missing"));
            }
        }
        self.set.ids.push(KeptId {
            at,
            second,
            fingerprint,
            sender,
            to,
            id: id.into(),
        });
        Ok(())
    }
}

/// The largest number of a message or an event: of all that can ever be there none comes near it.
const NUMBER_MAX: u64 = 1 << 53;

/// The numbers of a record that others follow.
fn numbers(record: &Record<'_>) -> impl Iterator<Item = u64> + use<> {
    let number = match record {
        Record::Newest(position) | Record::Message { position, .. } => Some(position.seq),
        Record::Deleted {
            position, newest, ..
        } => Some(position.seq.max(newest.get())),
        Record::Ban { ban, .. } => Some(ban.at.max(ban.until.unwrap_or(0))),
        Record::Event { id, .. } | Record::Latest { id, .. } | Record::EventBase(id) => Some(*id),
        Record::Said { at, .. } => match at {
            SaidAt::Position(position) => Some(position.seq),
            SaidAt::Whisper(_) => None,
        },
        _ => None,
    };
    number.into_iter()
}

fn event(id: u64, name: &str, data: &str) -> KeptEvent {
    KeptEvent {
        id,
        name: name.into(),
        data: data.into(),
    }
}

impl WorkingSet {
    /// The id of the newest event, or the id before the first one; `None` if the store never had one.
    pub fn newest_event(&self) -> Option<u64> {
        let newest = self.events.last().map(|event| event.id);
        newest.max(self.event_base)
    }

    /// The records of everything, for a new file.
    pub fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        for kept in &self.rooms {
            let room = &kept.room;
            changes.put(&room.record(&kept.name, kept.creator.as_ref()));
            if room.rules != Rules::default() {
                let (epoch, rules) = (room.epoch, room.rules);
                changes.put(&Record::Rules { epoch, rules });
            }
            changes.put(&Record::Newest(room.position()));
            for message in &room.messages {
                changes.put(&message.record());
            }
        }
        for id in &self.ids {
            changes.put(&id.record());
        }
        for kept in &self.families {
            let KeptFamily {
                family,
                until,
                second,
            } = kept;
            changes.put(&Record::Family {
                family,
                until: *until,
                second: *second,
            });
        }
        for (name, second) in &self.marks {
            let second = *second;
            changes.put(&Record::Mark { name, second });
        }
        for KeptBan { room, key, ban } in &self.bans {
            let ban = ban.clone();
            changes.put(&Record::Ban { room, key, ban });
        }
        for event in &self.events {
            let KeptEvent { id, name, data } = event;
            changes.put(&Record::Event {
                id: *id,
                name,
                data,
            });
        }
        for event in &self.latest {
            let KeptEvent { id, name, data } = event;
            changes.put(&Record::Latest {
                id: *id,
                name,
                data,
            });
        }
        if !self.figures.is_empty() {
            let json = Value::Object(self.figures.clone()).to_string();
            changes.put(&Record::Figures(&json));
        }
        let numbers = [
            self.floor.map(Record::Floor),
            self.event_base.map(Record::EventBase),
            self.secret.map(Record::Secret),
        ];
        for record in numbers.into_iter().flatten() {
            changes.put(&record);
        }
        changes
    }

    /// Gives every room a new epoch, and forgets the events: clients may have seen more than a restored backup holds, so
    /// none may resume by what they have seen. Ids of events go on far above all that may have been given out.
    pub fn renew(&mut self, mut new_epoch: impl FnMut() -> u64) {
        let mut renewed = HashMap::new();
        for kept in &mut self.rooms {
            let epoch = new_epoch();
            renewed.insert(kept.room.epoch, epoch);
            kept.room.renew(epoch);
        }
        for id in &mut self.ids {
            if let SaidAt::Position(Position { epoch, .. }) = &mut id.at
                && let Some(new) = renewed.get(epoch)
            {
                *epoch = *new;
            }
        }
        if let Some(newest) = self.newest_event() {
            self.event_base = Some(NUMBER_MAX.min(newest + RESTORED_EVENT_IDS));
        }
        self.events.clear();
        self.latest.clear();
    }
}

impl ChatMessage {
    /// Its record.
    pub fn record(&self) -> Record<'_> {
        match self.deleted_at {
            None => Record::Message {
                position: self.position,
                timestamp: self.timestamp,
                is_guest: self.guest,
                username: &self.username,
                content: &self.content,
            },
            Some(newest) => Record::Deleted {
                position: self.position,
                timestamp: self.timestamp,
                newest,
            },
        }
    }
}

impl OpenedRoom {
    /// The record of the room.
    pub fn record<'a>(&self, name: &'a str, creator: Option<&'a Creator>) -> Record<'a> {
        Record::Room {
            epoch: self.epoch,
            max_users: self.max_users,
            is_kept: self.is_kept,
            created_at: Timestamp(self.created_at.0),
            creator: creator.map(|creator| (creator.address(), creator.user())),
            name,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
