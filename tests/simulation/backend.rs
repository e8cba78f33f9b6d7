//! A backend that takes its time: it orders and keeps what is said, opens rooms and redeems tickets, but answers late, at
//! times twice, at times with a failure, and of other rooms sooner than of this one. Within a room its answers come in
//! order. It is the truth that the model compares with.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use sarang::config::ACKNOWLEDGED_PER_USER_MAX;
use sarang::domain::auth::BadTicket;
use sarang::domain::error::ErrorCode;
use sarang::domain::event::ChatMessage;
use sarang::domain::facts::{Fact, OpenedRoom, Outcome};
use sarang::domain::ids::{RoomId, RoomKey, Serial};
use sarang::domain::position::Position;
use sarang::domain::rules::Rules;
use sarang::domain::time::{Now, Timestamp};
use sarang::domain::tokens::Identity;
use sarang::domain::wishes::{Opening, Publication};

use super::model::Model;
use super::seed::Seed;

/// How late it is, and how often it fails.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    /// Milliseconds until most answers.
    pub delay: (u64, u64),
    /// In percent: wishes that fail, and answers that take longer than anybody waits.
    pub failures: u64,
    pub stuck: u64,
    /// In percent: rooms whose past is lost when they are opened again.
    pub losses: u64,
}

/// A room as it is kept.
#[derive(Debug)]
struct Past {
    epoch: u64,
    opening: (u32, bool, Timestamp),
    messages: Vec<Rc<ChatMessage>>,
    /// When its last answer comes.
    last_at: Duration,
}

/// A message that was kept with an `id`.
#[derive(Clone, Copy, Debug)]
struct Kept {
    seq: u64,
    at: Duration,
    /// In which slot of a room the server was told, and as which of its author's messages.
    told: Option<(RoomId, usize)>,
}

/// Answers, and when they come.
pub type Answers = Vec<(Duration, Outcome)>;

pub struct Backend {
    pub temper: Temper,
    /// Answers everything at once: rooms are made before the world begins.
    pub is_prompt: bool,
    rooms: BTreeMap<String, Past>,
    /// The names of rooms by epoch.
    names: HashMap<u64, String>,
    /// Messages by epoch, user and `id`.
    kept: HashMap<(u64, String, String), Kept>,
    /// How often each user has said something.
    said_by: HashMap<String, usize>,
    /// The past that was last seen in each slot of a room.
    slots: HashMap<RoomId, u64>,
    tickets: HashMap<String, (Identity, Duration)>,
    remote: u64,
}

/// How long it knows an `id`.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Messages of which it gives the last when a room is opened.
const GIVEN_MAX: usize = 300;

impl Backend {
    pub fn new(temper: Temper) -> Self {
        Self {
            temper,
            is_prompt: true,
            rooms: BTreeMap::new(),
            names: HashMap::new(),
            kept: HashMap::new(),
            said_by: HashMap::new(),
            slots: HashMap::new(),
            tickets: HashMap::new(),
            remote: 0,
        }
    }

    pub fn name_of(&self, epoch: u64) -> &str {
        &self.names[&epoch]
    }

    /// The newest message of a room of which everything was answered by now.
    pub fn newest(&self, room: &str, epoch: u64, now: Duration) -> Option<u64> {
        let past = self.rooms.get(room)?;
        (past.epoch == epoch && past.last_at < now).then_some(past.messages.len() as u64)
    }

    fn delay(&self, seed: &mut Seed) -> Duration {
        if self.is_prompt {
            return Duration::ZERO;
        }
        match seed.chance(self.temper.stuck) {
            true => seed.millis(5_000, 9_000),
            false => seed.millis(self.temper.delay.0, self.temper.delay.1),
        }
    }

    fn fails(&self, seed: &mut Seed) -> bool {
        !self.is_prompt && seed.chance(self.temper.failures)
    }

    /// Orders and keeps a message, or fails to.
    pub fn publish(
        &mut self,
        publication: Publication,
        model: &mut Model,
        seed: &mut Seed,
        now: Now,
    ) -> Answers {
        let (serial, room) = (publication.serial, publication.room);
        if self
            .slots
            .insert(room.id, room.epoch)
            .is_some_and(|epoch| epoch != room.epoch)
        {
            model.count("room slots reused");
        }
        let delay = self.delay(seed);
        let name = self.names[&room.epoch].clone();
        let past = self.rooms.get_mut(&name).expect("was opened");
        assert_eq!(past.epoch, room.epoch, "said in a past that is in force");
        // Within a room answers come in order.
        past.last_at = past.last_at.max(now.monotonic + delay);
        let at = past.last_at;
        let fails = self.fails(seed);
        let author = publication.username.to_string();
        *self.said_by.entry(author).or_default() += 1;
        if let Some(outcome) = self.said_before(&publication, model, now) {
            return vec![(at, outcome)];
        }
        if fails && seed.chance(50) {
            let code = ErrorCode::StorageUnavailable;
            return vec![(at, Outcome::Failed(serial, code))];
        }
        let id = publication.message_id.as_deref().map(str::to_owned);
        let author = (&publication.username, publication.is_guest);
        let fact = self.keep(room, author, publication.content, model, now);
        if let Some(id) = id {
            let key = (room.epoch, fact.username.to_string(), id);
            let count = self.said_by[&*fact.username];
            let kept = Kept {
                seq: fact.position.seq,
                at: now.monotonic,
                told: (!fails).then_some((room.id, count)),
            };
            self.kept.insert(key, kept);
        }
        let mut answers = Vec::new();
        if fails {
            // Kept, but nobody was told: others hear it all the same.
            model.count("kept though failed");
            model.wishless.insert(fact.content.to_string());
            let code = ErrorCode::StorageUnavailable;
            answers.push((at, Outcome::Failed(serial, code)));
            answers.push((at, Outcome::Published(fact)));
        } else {
            let fact = Fact {
                serial: Some(serial),
                ..fact
            };
            if !self.is_prompt && seed.chance(5) {
                let later = at + seed.millis(0, 2_000);
                answers.push((later, Outcome::Published(copy(&fact))));
            }
            answers.push((at, Outcome::Published(fact)));
        }
        if seed.chance(3) {
            answers.push((at, self.say_elsewhere(room, model, now)));
        }
        answers
    }

    /// What was kept already, though who says it may not know.
    fn said_before(
        &mut self,
        publication: &Publication,
        model: &mut Model,
        now: Now,
    ) -> Option<Outcome> {
        let Publication {
            serial,
            room,
            username,
            content,
            message_id,
            ..
        } = publication;
        let id = message_id.as_deref()?.to_owned();
        let key = (room.epoch, username.to_string(), id);
        let count = self.said_by[&**username];
        let kept = self.kept.get_mut(&key)?;
        let Kept { seq, at, told } = *kept;
        if at + REMEMBERED < now.monotonic {
            return None;
        }
        let is_known = told.is_some_and(|(slot, before)| {
            slot == room.id && count < before + ACKNOWLEDGED_PER_USER_MAX
        });
        assert!(!is_known, "asked once more for what is known: {key:?}");
        let first = &model.truth[&(room.epoch, seq)];
        if first.content != *content {
            return Some(Outcome::Failed(*serial, ErrorCode::IdReused));
        }
        let fact = Fact {
            serial: Some(*serial),
            room: *room,
            username: first.username.clone(),
            is_guest: first.guest,
            content: first.content.clone(),
            timestamp: first.timestamp,
            position: first.position,
            deleted_at: None,
        };
        kept.told = Some((room.id, count));
        model.count("kept before");
        model.known_again.insert(content.to_string());
        Some(Outcome::Published(fact))
    }

    fn keep(
        &mut self,
        room: RoomKey,
        (username, is_guest): (&Rc<str>, bool),
        content: Box<str>,
        model: &mut Model,
        now: Now,
    ) -> Fact {
        let name = self.names[&room.epoch].clone();
        let past = self.rooms.get_mut(&name).expect("was opened");
        let fact = Fact {
            serial: None,
            room,
            username: username.clone(),
            is_guest,
            content,
            timestamp: Timestamp::from(now),
            position: Position {
                epoch: room.epoch,
                seq: past.messages.len() as u64 + 1,
            },
            deleted_at: None,
        };
        let message = Rc::new(ChatMessage {
            room: name.into(),
            username: fact.username.clone(),
            content: fact.content.clone(),
            timestamp: fact.timestamp,
            position: fact.position,
            guest: fact.is_guest,
            deleted_at: None,
        });
        past.messages.push(message.clone());
        let spot = (room.epoch, fact.position.seq);
        model.kept_at.insert(spot, now.monotonic);
        model.truth.insert(spot, message);
        fact
    }

    /// Somebody on another node says something in the room.
    fn say_elsewhere(&mut self, room: RoomKey, model: &mut Model, now: Now) -> Outcome {
        self.remote += 1;
        model.count("said elsewhere");
        let content = format!("멀리서 {}", self.remote);
        model.wishless.insert(content.clone());
        let fact = self.keep(room, (&"먼 사람".into(), true), content.into(), model, now);
        Outcome::Published(fact)
    }

    /// Opens a room: a new one, or one that is kept from earlier, with its past or without.
    pub fn open(
        &mut self,
        opening: &Opening,
        model: &mut Model,
        seed: &mut Seed,
        now: Now,
    ) -> Answers {
        let delay = self.delay(seed);
        let before = self
            .rooms
            .get(&*opening.name)
            .map_or(now.monotonic, |past| past.last_at);
        let at = before.max(now.monotonic + delay);
        if self.fails(seed) {
            if let Some(past) = self.rooms.get_mut(&*opening.name) {
                past.last_at = at;
            }
            let code = ErrorCode::StorageUnavailable;
            return vec![(at, Outcome::Failed(opening.serial, code))];
        }
        let is_lost = seed.chance(self.temper.losses);
        let past = self.rooms.remove(&*opening.name).filter(|_| !is_lost);
        model.count(if past.is_some() {
            "rooms opened again"
        } else {
            "rooms opened"
        });
        let mut past = past.unwrap_or_else(|| Past {
            epoch: seed.number(),
            opening: (opening.max_users, opening.is_kept, Timestamp::from(now)),
            messages: Vec::new(),
            last_at: at,
        });
        past.last_at = at;
        let (max_users, is_kept, created_at) = past.opening;
        let first = past.messages.len().saturating_sub(GIVEN_MAX);
        if first > 0 {
            model.shortened.insert(past.epoch);
        }
        let room = OpenedRoom {
            epoch: past.epoch,
            max_users,
            is_kept,
            rules: Rules::default(),
            is_made: true,
            created_at,
            newest: past.messages.len() as u64,
            messages: past.messages[first..].to_vec(),
        };
        self.names.insert(past.epoch, opening.name.to_string());
        self.rooms.insert(opening.name.to_string(), past);
        vec![(at, Outcome::Opened(opening.serial, room))]
    }

    /// Notes a ticket that the server has issued.
    pub fn issued(&mut self, ticket: &str, identity: Identity, until: Duration) {
        self.tickets.insert(ticket.to_owned(), (identity, until));
    }

    /// Uses up a ticket: whose it was, and how long that takes; `None` when it cannot be known.
    #[allow(clippy::type_complexity, reason = "it is what the server takes")]
    pub fn redeem(
        &mut self,
        ticket: &str,
        seed: &mut Seed,
        now: Now,
    ) -> (Duration, Option<Result<Identity, BadTicket>>) {
        let delay = self.delay(seed);
        if self.fails(seed) {
            return (delay, None);
        }
        let redeemed = match self.tickets.remove(ticket) {
            Some((_, until)) if until < now.monotonic => Err(BadTicket::Unknown),
            Some((identity, _)) if identity.expires_at <= now.unix.as_secs() => {
                Err(BadTicket::TokenExpired)
            }
            Some((identity, _)) => Ok(identity),
            None => Err(BadTicket::Unknown),
        };
        (delay, Some(redeemed))
    }
}

fn copy(fact: &Fact) -> Fact {
    Fact {
        serial: fact.serial,
        room: fact.room,
        username: fact.username.clone(),
        is_guest: fact.is_guest,
        content: fact.content.clone(),
        timestamp: fact.timestamp,
        position: fact.position,
        deleted_at: fact.deleted_at,
    }
}

/// The wish that an answer is about.
pub fn serial_of(outcome: &Outcome) -> Option<Serial> {
    match outcome {
        Outcome::Published(fact) => fact.serial,
        Outcome::Opened(serial, _)
        | Outcome::OpenedShared(serial, ..)
        | Outcome::Acknowledged(serial, _)
        | Outcome::Failed(serial, _) => Some(*serial),
    }
}
