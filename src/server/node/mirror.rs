//! What a node has of a room: how far it has come, and what has come too early. Messages are delivered strictly by number.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use super::ask::{Ask, Request};
use crate::config::{HELD_MESSAGES_MAX, HISTORY_MESSAGES_MAX};
use crate::domain::ids::Serial;
use crate::domain::rules::Rules;
use crate::domain::time::Timestamp;
use crate::wire::resp::{NUMBER_MAX, Reply};

/// A message as the engine keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its mark: the node that has sent it, and a number there.
    pub mark: Box<str>,
    /// Whether its author is a guest.
    pub is_guest: bool,
    /// The name of its author.
    pub username: Box<str>,
    /// Its text.
    pub content: Box<str>,
    /// When it was ordered.
    pub timestamp: Timestamp,
    /// If it was deleted, the number of the newest message of its room then.
    pub deleted_at: Option<NonZeroU64>,
}

/// Messages that were deleted, with their numbers, in any order.
pub type Deleted = Vec<(u64, Message)>;

/// A message by epoch and number.
pub type Place = (u64, u64);

impl Message {
    /// What the engine keeps of a message.
    pub fn payload(mark: &str, is_guest: bool, username: &str, content: &str) -> String {
        let kind = if is_guest { 'g' } else { 'a' };
        format!("{mark}\n{kind}\n{username}\n{content}")
    }

    /// Reads that; `milliseconds` is when it was ordered.
    pub fn read(payload: &str, milliseconds: u64) -> Option<Self> {
        let mut parts = payload.splitn(4, '\n');
        let (mark, kind) = (parts.next()?, parts.next()?);
        Some(Self {
            mark: mark.into(),
            is_guest: kind == "g",
            username: parts.next()?.into(),
            content: parts.next()?.into(),
            timestamp: Timestamp::from_secs(milliseconds / 1000),
            deleted_at: None,
        })
    }

    /// What is left of one that was deleted when `newest` was the number of the newest message.
    pub fn deleted(mark: &str, timestamp: Timestamp, newest: NonZeroU64) -> Self {
        Self {
            mark: mark.into(),
            is_guest: false,
            username: "".into(),
            content: "".into(),
            timestamp,
            deleted_at: Some(newest),
        }
    }

    /// Reads what the engine keeps of the deleted messages of a room.
    pub fn read_deleted(reply: &Reply) -> Deleted {
        let read = |(number, kept): (&Reply, &Reply)| {
            let mut parts = kept.text()?.split(' ');
            let newest = parts.next()?.parse().ok()?;
            let milliseconds: u64 = parts.next()?.parse().ok()?;
            let timestamp = Timestamp::from_secs(milliseconds / 1000);
            let message = Self::deleted(parts.next()?, timestamp, newest);
            Some((number.number()?, message))
        };
        reply.pairs().filter_map(read).collect()
    }

    /// Reads an entry of a history: its id, then its fields.
    pub fn of_entry(entry: &Reply) -> Option<(u64, Self)> {
        let [id, fields] = entry.items() else {
            return None;
        };
        let number: u64 = id.text()?.split('-').next()?.parse().ok()?;
        let number = Some(number).filter(|number| (1..=NUMBER_MAX).contains(number))?;
        let message = Self::read(fields.text_at(3)?, fields.number_at(1)?)?;
        Some((number, message))
    }
}

/// What to do about a room that the engine does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Refuse,
    Make,
    /// And refuse one that it has.
    MakeNew,
}

/// What a node is doing about a room.
#[derive(Debug)]
pub enum State {
    /// Loading it for the first time, for this wish.
    Opening(Serial),
    /// Following it.
    Live,
    /// Asking for messages that are missing.
    Filling,
    /// Loading it anew, because it has another epoch or too much is missing.
    Reloading,
}

/// What a node has of a room.
#[derive(Debug)]
pub struct Mirror {
    pub state: State,
    pub epoch: u64,
    /// The number of the newest message that was delivered.
    pub newest: u64,
    /// The mark of that message.
    pub mark: Box<str>,
    /// Messages that have come too early by their places, in order, with the wishes that they answer.
    held: VecDeque<Held>,
    /// Whether comings and goings may have been missed.
    pub is_crowd_stale: bool,
    /// What to do if the engine does not have it, and the epoch that it gets then.
    pub missing: Missing,
    pub proposed: u64,
    pub max_users: u32,
    pub is_kept: bool,
    pub rules: Rules,
    /// The number of the last change of the room that is known here.
    pub revision: u64,
    /// Tells it from one of an earlier room of this name.
    pub generation: u64,
    /// When something was last heard of it, since the server's start.
    pub heard: Duration,
    /// Messages that are sent again when it is loaded.
    pub again: Vec<Request>,
}

/// A message that waits.
#[derive(Debug)]
struct Held {
    place: Place,
    message: Message,
    serial: Option<Serial>,
}

/// What is to be done with a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is the next one, and answers this wish.
    Next(Message, Option<Serial>),
    /// It was delivered before.
    Old,
    /// It waits.
    Held,
    /// It waits for others, which are missing.
    Missing,
    /// It is of another past.
    Strange,
    /// Too many wait.
    TooMany,
}

impl Mirror {
    pub fn new(serial: Serial, max_users: u32, is_kept: bool, now: Duration) -> Self {
        Self {
            state: State::Opening(serial),
            epoch: 0,
            newest: 0,
            mark: "".into(),
            held: VecDeque::new(),
            is_crowd_stale: false,
            missing: Missing::Make,
            proposed: 0,
            max_users,
            is_kept,
            rules: Rules::default(),
            revision: 0,
            generation: 0,
            heard: now,
            again: Vec::new(),
        }
    }

    /// Whether it follows its room, so that its history may be shown.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Opening(_))
    }

    /// How many messages are kept.
    pub fn kept_messages(&self) -> usize {
        HISTORY_MESSAGES_MAX.min(self.rules.history_messages as usize)
    }

    /// Whether it is loaded as the engine has it, but for messages that are missing.
    pub fn is_following(&self) -> bool {
        matches!(self.state, State::Live | State::Filling)
    }

    /// Takes a message of the engine.
    pub fn offer(&mut self, place: Place, message: Message, serial: Option<Serial>) -> Offered {
        let (epoch, number) = place;
        let is_loading = matches!(self.state, State::Opening(_) | State::Reloading);
        if !is_loading && epoch == self.epoch {
            if number <= self.newest {
                return Offered::Old;
            }
            if number == self.newest + 1 {
                self.newest = number;
                let (message, serial) = match self.take_held(place) {
                    Some(held) if held.message.deleted_at.is_some() => {
                        (held.message, serial.or(held.serial))
                    }
                    held => (message, serial.or(held.and_then(|held| held.serial))),
                };
                self.mark = message.mark.clone();
                return Offered::Next(message, serial);
            }
        }
        match self.find_held(place) {
            Ok(at) => {
                let held = &mut self.held[at];
                held.serial = serial.or(held.serial);
                if message.deleted_at.is_some() {
                    held.message = message;
                }
            }
            Err(at) => {
                let held = Held {
                    place,
                    message,
                    serial,
                };
                self.held.insert(at, held);
            }
        }
        if self.held.len() > HELD_MESSAGES_MAX {
            return Offered::TooMany;
        }
        match (is_loading, epoch == self.epoch, &self.state) {
            (true, ..) | (_, true, State::Filling) => Offered::Held,
            (_, true, _) => Offered::Missing,
            (_, false, _) => Offered::Strange,
        }
    }

    /// Has a message wait until the room is loaded, after those of this node that were sent before it.
    pub fn wait(&mut self, request: Request) {
        let number = |request: &Request| match &request.ask {
            Ask::Publish(said) => said.number,
            _ => 0,
        };
        let place = self
            .again
            .partition_point(|other| number(other) <= number(&request));
        self.again.insert(place, request);
    }

    /// The next message that waits and needs to wait no more, and the wish that it answers.
    pub fn poll(&mut self) -> Option<(Message, Option<Serial>)> {
        let next = (self.epoch, self.newest + 1);
        let Held {
            message, serial, ..
        } = self.take_held(next)?;
        self.newest += 1;
        self.mark = message.mark.clone();
        Some((message, serial))
    }

    fn find_held(&self, place: Place) -> Result<usize, usize> {
        self.held.binary_search_by_key(&place, |held| held.place)
    }

    fn take_held(&mut self, place: Place) -> Option<Held> {
        let at = self.find_held(place).ok()?;
        self.held.remove(at)
    }

    /// The room is loaded up to here. Returns the wishes that messages up to there have answered.
    pub fn loaded(&mut self, epoch: u64, newest: u64, mark: Box<str>) -> Vec<(Place, Serial)> {
        (self.epoch, self.newest, self.mark) = (epoch, newest, mark);
        self.state = State::Live;
        let mut answered = Vec::new();
        self.held.retain(|held| {
            let waits = held.place.0 == epoch && held.place.1 > newest;
            if !waits && let Some(serial) = held.serial {
                answered.push((held.place, serial));
            }
            waits
        });
        answered
    }

    /// Forgets what waits. Returns the wishes that it has answered.
    pub fn forget_held(&mut self) -> Vec<(Place, Serial)> {
        let held = std::mem::take(&mut self.held).into_iter();
        held.filter_map(|held| Some((held.place, held.serial?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64) -> Message {
        let payload = Message::payload(&format!("n:{number}"), true, "kim", "two\nlines");
        Message::read(&payload, 1_999).expect("is one")
    }

    fn live() -> Mirror {
        let mut mirror = Mirror::new(Serial(1), 100, false, Duration::ZERO);
        mirror.loaded(7, 2, "n:2".into());
        mirror
    }

    #[test]
    fn a_message_is_kept_with_its_lines_and_its_author() {
        let message = message(3);
        assert_eq!(
            (&*message.mark, &*message.username, &*message.content),
            ("n:3", "kim", "two\nlines")
        );
        assert!(message.is_guest && message.timestamp == Timestamp(1));
        assert_eq!(Message::read("too\nfew", 0), None);
    }

    #[test]
    fn messages_are_delivered_by_number_whatever_the_order_in_which_they_come() {
        let mut mirror = live();
        let offer = |mirror: &mut Mirror, number| mirror.offer((7, number), message(number), None);
        assert_eq!(offer(&mut mirror, 2), Offered::Old);
        assert_eq!(offer(&mut mirror, 3), Offered::Next(message(3), None));
        assert_eq!(offer(&mut mirror, 6), Offered::Missing);
        mirror.state = State::Filling;
        assert_eq!(offer(&mut mirror, 5), Offered::Held);
        assert_eq!(mirror.poll(), None);
        assert_eq!(offer(&mut mirror, 4), Offered::Next(message(4), None));
        assert_eq!(mirror.poll(), Some((message(5), None)));
        assert_eq!(mirror.poll(), Some((message(6), None)));
        assert_eq!((mirror.poll(), mirror.newest), (None, 6));
    }

    #[test]
    fn what_is_of_another_epoch_waits_until_the_room_is_loaded_and_answers_its_wish() {
        let mut mirror = live();
        assert_eq!(
            mirror.offer((8, 1), message(1), Some(Serial(5))),
            Offered::Strange
        );
        mirror.state = State::Reloading;
        assert_eq!(
            mirror.offer((8, 3), message(3), Some(Serial(6))),
            Offered::Held
        );
        assert_eq!(mirror.loaded(8, 2, "n:2".into()), [((8, 1), Serial(5))]);
        assert_eq!(mirror.poll(), Some((message(3), Some(Serial(6)))));
    }

    #[test]
    fn messages_that_wait_are_bounded() {
        let mut mirror = live();
        mirror.state = State::Filling;
        for number in 0..HELD_MESSAGES_MAX as u64 {
            assert_eq!(
                mirror.offer((7, 10 + number), message(1), None),
                Offered::Held
            );
        }
        assert_eq!(
            mirror.offer((7, 9), message(1), Some(Serial(1))),
            Offered::TooMany
        );
        assert_eq!(mirror.forget_held(), [((7, 9), Serial(1))]);
        assert_eq!(mirror.forget_held(), []);
    }
}
