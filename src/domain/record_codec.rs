//! The bytes of records: a key and a value each.
//!
//! Numbers are big-endian, so that records of a kind are ordered by room and position. The format is that of
//! [`FORMAT`]; a store names it, and one that this program does not know is refused.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::rc::Rc;

use super::ban::Ban;
use super::ids::HolderId;
use super::message_keys::Person;
use super::position::Position;
use super::record::{Key, Record, SaidAt};
use super::rules::{Rules, Writers};
use super::time::Timestamp;

/// The version of the format of keys and values. Version 1 had no rules of rooms, no deleted messages and no bans; whatever it
/// has reads the same.
pub const FORMAT: u64 = 2;
/// The oldest version that is read.
pub const FORMAT_MIN: u64 = 1;

const ROOM: u8 = 1;
const NEWEST: u8 = 2;
const MESSAGE: u8 = 3;
const SAID: u8 = 4;
const WHISPERED: u8 = 5;
const FAMILY: u8 = 6;
const MARK: u8 = 7;
const FLOOR: u8 = 8;
const EVENT: u8 = 9;
const LATEST: u8 = 10;
const FIGURES: u8 = 11;
const EVENT_BASE: u8 = 12;
const SECRET: u8 = 13;
const RULES: u8 = 14;
const BAN: u8 = 15;

/// In the place of the flag for guests.
const DELETED: u8 = 2;

impl Key<'_> {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Room(epoch) => put_numbers(ROOM, &[*epoch], out),
            Self::Newest(epoch) => put_numbers(NEWEST, &[*epoch], out),
            Self::Message(at) => put_numbers(MESSAGE, &[at.epoch, at.seq], out),
            Self::Said(SaidAt::Position(at)) => put_numbers(SAID, &[at.epoch, at.seq], out),
            Self::Said(SaidAt::Whisper(number)) => put_numbers(WHISPERED, &[*number], out),
            Self::Family(family) => put_name(FAMILY, family, out),
            Self::Mark(name) => put_name(MARK, name, out),
            Self::Floor => out.push(FLOOR),
            Self::Event(id) => put_numbers(EVENT, &[*id], out),
            Self::Latest(name) => put_name(LATEST, name, out),
            Self::Figures => out.push(FIGURES),
            Self::EventBase => out.push(EVENT_BASE),
            Self::Secret => out.push(SECRET),
            Self::Rules(epoch) => put_numbers(RULES, &[*epoch], out),
            Self::Ban(room, key) => {
                out.push(BAN);
                put_text(room, out);
                out.extend(key.as_bytes());
            }
        }
    }
}

impl<'a> Record<'a> {
    /// Appends the bytes of its value.
    pub fn encode_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::Room {
                max_users,
                is_kept,
                created_at,
                creator,
                name,
                ..
            } => {
                out.extend(max_users.to_be_bytes());
                out.push(u8::from(*is_kept));
                put_number(created_at.0, out);
                put_creator(*creator, out);
                out.extend(name.as_bytes());
            }
            Self::Rules { rules, .. } => put_rules(rules, out),
            Self::Newest(position) => put_number(position.seq, out),
            Self::Deleted {
                timestamp, newest, ..
            } => put_deleted(*timestamp, *newest, out),
            Self::Message {
                timestamp,
                is_guest,
                username,
                content,
                ..
            } => {
                put_number(timestamp.0, out);
                out.push(u8::from(*is_guest));
                put_text(username, out);
                out.extend(content.as_bytes());
            }
            Self::Said {
                second,
                fingerprint,
                sender,
                to,
                id,
                ..
            } => {
                put_number(*second, out);
                put_number(*fingerprint, out);
                put_person(sender, out);
                if let Some(to) = to {
                    put_person(to, out);
                }
                out.extend(id.as_bytes());
            }
            Self::Family { until, second, .. } => {
                put_number(*until, out);
                put_number(*second, out);
            }
            Self::Mark { second, .. } | Self::Floor(second) => put_number(*second, out),
            Self::Event { name, data, .. } => {
                put_text(name, out);
                out.extend(data.as_bytes());
            }
            Self::Latest { id, data, .. } => {
                put_number(*id, out);
                out.extend(data.as_bytes());
            }
            Self::Figures(json) => out.extend(json.as_bytes()),
            Self::EventBase(id) => put_number(*id, out),
            Self::Secret(bytes) => out.extend(bytes),
            Self::Ban { ban, .. } => put_ban(ban, out),
        }
    }

    /// Reads a record; `None` for anything that was not written here.
    pub fn decode(key: &'a [u8], value: &'a [u8]) -> Option<Self> {
        let (&kind, key) = key.split_first()?;
        let (mut key, mut value) = (Bytes(key), Bytes(value));
        let record = match kind {
            ROOM => Self::Room {
                epoch: key.number()?,
                max_users: u32::from_be_bytes(value.array()?),
                is_kept: value.flag()?,
                created_at: value.timestamp()?,
                creator: value.creator()?,
                name: value.rest()?,
            },
            NEWEST => Self::Newest(Position {
                epoch: key.number()?,
                seq: value.number()?,
            }),
            MESSAGE => read_message(key.position()?, &mut value)?,
            SAID | WHISPERED => {
                let at = match kind {
                    SAID => key.position()?.into(),
                    _ => SaidAt::Whisper(key.number()?),
                };
                Self::Said {
                    at,
                    second: value.number()?,
                    fingerprint: value.number()?,
                    sender: value.person()?,
                    to: match kind {
                        SAID => None,
                        _ => Some(value.person()?),
                    },
                    id: value.rest()?,
                }
            }
            FAMILY => Self::Family {
                family: key.rest()?,
                until: value.number()?,
                second: value.number()?,
            },
            MARK => Self::Mark {
                name: key.rest()?,
                second: value.number()?,
            },
            FLOOR => Self::Floor(value.number()?),
            EVENT => Self::Event {
                id: key.number()?,
                name: value.text()?,
                data: value.rest()?,
            },
            LATEST => Self::Latest {
                name: key.rest()?,
                id: value.number()?,
                data: value.rest()?,
            },
            FIGURES => Self::Figures(value.rest()?),
            EVENT_BASE => Self::EventBase(value.number()?),
            SECRET => Self::Secret(value.array()?),
            RULES => Self::Rules {
                epoch: key.number()?,
                rules: value.rules()?,
            },
            BAN => Self::Ban {
                room: key.text()?,
                key: key.rest()?,
                ban: value.ban()?,
            },
            _ => return None,
        };
        (key.0.is_empty() && value.0.is_empty()).then_some(record)
    }
}

fn read_message<'a>(position: Position, value: &mut Bytes<'a>) -> Option<Record<'a>> {
    let timestamp = value.timestamp()?;
    let is_guest = match value.byte()? {
        DELETED => {
            return Some(Record::Deleted {
                position,
                timestamp,
                newest: NonZeroU64::new(value.number()?)?,
            });
        }
        flag => flag_of(flag)?,
    };
    Some(Record::Message {
        position,
        timestamp,
        is_guest,
        username: value.text()?,
        content: value.rest()?,
    })
}

fn put_deleted(timestamp: Timestamp, newest: NonZeroU64, out: &mut Vec<u8>) {
    put_number(timestamp.0, out);
    out.push(DELETED);
    put_number(newest.get(), out);
}

fn put_rules(rules: &Rules, out: &mut Vec<u8>) {
    out.extend(rules.history_messages.to_be_bytes());
    let seconds = rules.history_seconds.map_or(0, NonZeroU32::get);
    out.extend(seconds.to_be_bytes());
    out.push(rules.write as u8);
}

fn put_ban(ban: &Ban, out: &mut Vec<u8>) {
    put_number(ban.at, out);
    put_number(ban.until.unwrap_or(0), out);
    out.push(u8::from(ban.is_lifted));
    put_text(&ban.username, out);
    put_text(&ban.by, out);
    out.extend(ban.reason.as_bytes());
}

fn put_numbers(kind: u8, numbers: &[u64], out: &mut Vec<u8>) {
    out.push(kind);
    for number in numbers {
        put_number(*number, out);
    }
}

fn put_name(kind: u8, name: &str, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(name.as_bytes());
}

fn put_number(number: u64, out: &mut Vec<u8>) {
    out.extend(number.to_be_bytes());
}

/// A text that something follows: at most 64 KiB.
fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

const IS_ACCOUNT: u8 = 1;
const IS_HOLDER: u8 = 2;

fn put_person(person: &Person, out: &mut Vec<u8>) {
    let account = if person.is_account { IS_ACCOUNT } else { 0 };
    let holder = if person.holder.is_some() {
        IS_HOLDER
    } else {
        0
    };
    out.push(account | holder);
    if let Some(HolderId(bytes)) = person.holder {
        out.extend(bytes);
    }
    put_text(&person.name, out);
}

const HAS_IPV4: u8 = 4;
const HAS_IPV6: u8 = 6;
const HAS_USER: u8 = 1;

fn put_creator(creator: Option<(IpAddr, Option<&str>)>, out: &mut Vec<u8>) {
    let Some((address, user)) = creator else {
        return out.push(0);
    };
    match address {
        IpAddr::V4(address) => {
            out.push(HAS_IPV4);
            out.extend(address.octets());
        }
        IpAddr::V6(address) => {
            out.push(HAS_IPV6);
            out.extend(address.octets());
        }
    }
    out.push(if user.is_some() { HAS_USER } else { 0 });
    if let Some(user) = user {
        put_text(user, out);
    }
}

fn flag_of(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Bytes that are being read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        let seconds = self.number()?;
        let timestamp = Timestamp::from_secs(seconds);
        (timestamp.0 == seconds).then_some(timestamp)
    }

    fn position(&mut self) -> Option<Position> {
        Some(Position {
            epoch: self.number()?,
            seq: self.number()?,
        })
    }

    fn flag(&mut self) -> Option<bool> {
        flag_of(self.byte()?)
    }

    fn small_number(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn rules(&mut self) -> Option<Rules> {
        Some(Rules {
            history_messages: self.small_number()?,
            history_seconds: NonZeroU32::new(self.small_number()?),
            write: match self.byte()? {
                0 => Writers::Everyone,
                1 => Writers::SignedIn,
                2 => Writers::Moderators,
                _ => return None,
            },
        })
    }

    fn ban(&mut self) -> Option<Ban> {
        Some(Ban {
            at: self.number()?,
            until: Some(self.number()?).filter(|until| *until > 0),
            is_lifted: self.flag()?,
            username: self.text()?.into(),
            by: self.text()?.into(),
            reason: self.rest()?.into(),
        })
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        str::from_utf8(self.take(length)?).ok()
    }

    fn rest(&mut self) -> Option<&'a str> {
        str::from_utf8(std::mem::take(&mut self.0)).ok()
    }

    fn person(&mut self) -> Option<Person> {
        let flags = self.byte()?;
        if flags & !(IS_ACCOUNT | IS_HOLDER) != 0 {
            return None;
        }
        let holder = match flags & IS_HOLDER {
            0 => None,
            _ => Some(HolderId(self.array()?)),
        };
        Some(Person {
            name: Rc::from(self.text()?),
            is_account: flags & IS_ACCOUNT != 0,
            holder,
        })
    }

    fn creator(&mut self) -> Option<Option<(IpAddr, Option<&'a str>)>> {
        let address = match self.byte()? {
            0 => return Some(None),
            HAS_IPV4 => IpAddr::from(self.array::<4>()?),
            HAS_IPV6 => IpAddr::from(self.array::<16>()?),
            _ => return None,
        };
        let user = match self.byte()? {
            0 => None,
            HAS_USER => Some(self.text()?),
            _ => return None,
        };
        Some(Some((address, user)))
    }
}
