//! A backend that answers when and how the input says: it delays requests, fails, answers twice, keeps messages it has
//! refused, and answers for one room before another. Within a room it keeps the order.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use arbitrary::Arbitrary;
use sarang::config::HISTORY_ON_ENTRY;
use sarang::domain::auth::BadTicket;
use sarang::domain::error::ErrorCode;
use sarang::domain::event::ChatMessage;
use sarang::domain::facts::{Fact, OpenedRoom, Outcome};
use sarang::domain::ids::Serial;
use sarang::domain::issuer::Issued;
use sarang::domain::names::nfc;
use sarang::domain::permissions::Permissions;
use sarang::domain::position::Position;
use sarang::domain::rules::Rules;
use sarang::domain::time::{Now, Timestamp};
use sarang::domain::tokens::Identity;
use sarang::domain::wishes::{Opening, Publication};
use sarang::server::Server;
use sarang::server::jobs::{Done, Job, Ticket};

use super::requests::{NAMES, pick};
use super::world::secret;

/// How many answers may be given a second time.
const GIVEN_MAX: usize = 16;
/// How long a ticket's token lasts, in seconds.
const TOKEN_SECONDS: u64 = 20;

/// The backend's next step.
#[derive(Debug, Arbitrary)]
pub enum Answer {
    /// Answers the n-th of the waiting requests, or an earlier one for the same room.
    Give {
        /// Which.
        index: u8,
        /// The answer's outcome.
        how: How,
    },
    /// Repeats an earlier answer.
    Repeat {
        /// Which of the last answers.
        index: u8,
    },
}

/// An answer's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
pub enum How {
    /// Success; opening an existing room gives that room.
    Yes,
    /// It failed.
    Fail,
    /// Reported as failed, although the message was kept. A later, second answer shows that.
    FailAndKeep,
    /// The room is opened anew: its past was lost.
    Anew,
}

impl Answer {
    /// The oldest request succeeds.
    pub const FIRST: Self = Self::Give {
        index: 0,
        how: How::Yes,
    };
}

/// A request to the backend.
#[derive(Debug)]
struct Asked {
    serial: Serial,
    job: Job,
    /// A message that was kept although its failure was reported.
    kept: Option<Fact>,
}

/// A room and its past.
#[derive(Debug)]
struct Room {
    epoch: u64,
    max_users: u32,
    is_kept: bool,
    messages: Vec<Rc<ChatMessage>>,
}

/// A message with an `id`: its epoch, its author, its `id` and its content.
type Spoken = (u64, Rc<str>, Box<str>, Box<str>);

/// What the backend has stored.
#[derive(Debug, Default)]
struct Store {
    rooms: BTreeMap<Rc<str>, Room>,
    /// The names of rooms by their epochs.
    names: BTreeMap<u64, Rc<str>>,
    /// The position of each message that has an `id`.
    places: BTreeMap<Spoken, Position>,
}

/// The backend.
#[derive(Debug, Default)]
pub struct Late {
    /// Requests in the order in which they came.
    waiting: Vec<Asked>,
    store: Store,
    /// The last answers.
    given: VecDeque<(Serial, Outcome)>,
    /// Messages that were delivered since [`Self::take_told`].
    told: usize,
    /// Contents that were kept although their author was told that they failed, since [`Self::take_kept`].
    kept: Vec<Box<str>>,
    /// The tickets that were issued, and until when they are good; `None` if every ticket is good.
    pub tickets: Option<BTreeMap<String, (Identity, Duration)>>,
    /// The ticket that was redeemed last, and whether it was good.
    pub redeemed: Option<(String, bool)>,
}

impl Late {
    /// A backend where only those tickets are good that were issued.
    pub fn with_tickets() -> Self {
        Self {
            tickets: Some(BTreeMap::new()),
            ..Self::default()
        }
    }

    /// The server sends a request.
    pub fn ask(&mut self, serial: Serial, job: Job) {
        self.waiting.push(Asked {
            serial,
            job,
            kept: None,
        });
    }

    /// Whether a request waits for an answer.
    pub fn is_asked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many messages were delivered since the last call.
    pub fn take_told(&mut self) -> usize {
        std::mem::take(&mut self.told)
    }

    /// The contents that were kept since the last call although their author was told that they failed.
    pub fn take_kept(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.kept)
    }

    /// Answers a request; returns what to hand to the server.
    pub fn answer(&mut self, answer: &Answer, now: Now) -> Option<(Serial, Done)> {
        match *answer {
            Answer::Give { index, how } => {
                let place = usize::from(index).checked_rem(self.waiting.len())?;
                self.give(place, how, now)
            }
            Answer::Repeat { index } => {
                let place = usize::from(index).checked_rem(self.given.len())?;
                let (serial, outcome) = &self.given[place];
                Some((*serial, Done::Answered(outcome.clone())))
            }
        }
    }

    fn give(&mut self, place: usize, how: How, now: Now) -> Option<(Serial, Done)> {
        let place = match how {
            How::FailAndKeep => self.first_unkept(place)?,
            _ => self.first_of_room(place),
        };
        if how == How::FailAndKeep && self.epoch(place).is_some() {
            return self.fail_and_keep(place, now);
        }
        let Asked { serial, job, kept } = self.waiting.remove(place);
        let outcome = match (job, kept) {
            (_, Some(fact)) => Outcome::Published(fact),
            (Job::RedeemTicket(ticket), _) => {
                let redeemed = match (&mut self.tickets, how) {
                    (Some(tickets), How::Yes) => Some(redeem_one(tickets, &ticket, now)),
                    _ => redeem(&ticket, how, now),
                };
                let is_good = redeemed.as_ref().map(Result::is_ok);
                self.redeemed = is_good.map(|is_good| (ticket.0, is_good));
                return Some((serial, Done::TicketRedeemed(redeemed)));
            }
            (Job::Publish(publication), _) if how == How::Fail => refusal(publication.serial),
            (Job::Publish(publication), _) => {
                Outcome::Published(self.store.keep(&publication, now))
            }
            (Job::Open(opening), _) if matches!(how, How::Fail | How::FailAndKeep) => {
                refusal(opening.serial)
            }
            (Job::Open(opening), _) => {
                Outcome::Opened(opening.serial, self.store.open(&opening, how, now))
            }
            (other, _) => panic!("this is not asked of a backend: {other:?}"),
        };
        Some(self.hand_in(serial, outcome))
    }

    fn hand_in(&mut self, serial: Serial, outcome: Outcome) -> (Serial, Done) {
        self.told += usize::from(matches!(outcome, Outcome::Published(_)));
        if self.given.len() == GIVEN_MAX {
            self.given.pop_front();
        }
        self.given.push_back((serial, outcome.clone()));
        (serial, Done::Answered(outcome))
    }

    /// The epoch of the room of a request, if it is for a message.
    fn epoch(&self, place: usize) -> Option<u64> {
        match &self.waiting[place].job {
            Job::Publish(publication) => Some(publication.room.epoch),
            _ => None,
        }
    }

    /// The oldest request for the same room.
    fn first_of_room(&self, place: usize) -> usize {
        let epoch = self.epoch(place);
        let mut before = 0..place;
        let first = before.find(|other| epoch.is_some() && self.epoch(*other) == epoch);
        first.unwrap_or(place)
    }

    /// The oldest request for the same room, of those that were not kept yet.
    fn first_unkept(&self, place: usize) -> Option<usize> {
        let epoch = self.epoch(place);
        let is_next =
            |other: &usize| self.epoch(*other) == epoch && self.waiting[*other].kept.is_none();
        match epoch {
            None => Some(place),
            Some(_) => (0..self.waiting.len()).find(is_next),
        }
    }

    /// Keeps a message and reports a failure; the message is delivered later, in its turn.
    fn fail_and_keep(&mut self, place: usize, now: Now) -> Option<(Serial, Done)> {
        let Asked { serial, job, kept } = &mut self.waiting[place];
        let Job::Publish(publication) = job else {
            return None;
        };
        *kept = Some(self.store.keep(publication, now));
        self.kept.push(publication.content.clone());
        let (serial, outcome) = (*serial, refusal(publication.serial));
        Some(self.hand_in(serial, outcome))
    }

    /// Every room with waiting requests exists in the server.
    pub fn check(&self, server: &Server) {
        for asked in self.waiting.iter().filter(|asked| asked.kept.is_none()) {
            if let Job::Publish(publication) = &asked.job {
                let name = &self.store.names[&publication.room.epoch];
                let room = server.rooms().find(name).expect("a room with wishes stays");
                assert_eq!(room.history.position().epoch, publication.room.epoch);
            }
        }
    }
}

impl Store {
    /// Orders and keeps a message, if it was not kept before.
    fn keep(&mut self, publication: &Publication, now: Now) -> Fact {
        let epoch = publication.room.epoch;
        let name = self.names.get(&epoch).expect("a room that was opened");
        let room = self.rooms.get_mut(name).expect("has a name");
        assert_eq!(room.epoch, epoch, "a room with wishes stays");
        let next = Position {
            epoch,
            seq: room.messages.len() as u64 + 1,
        };
        let author = publication.username.clone();
        let content = publication.content.clone();
        let position = match publication.message_id.clone() {
            Some(id) => {
                let key = (epoch, author, id, content);
                *self.places.entry(key).or_insert(next)
            }
            None => next,
        };
        let timestamp = Timestamp::from(now);
        if position == next {
            room.messages.push(Rc::new(ChatMessage {
                room: name.clone(),
                username: publication.username.clone(),
                content: publication.content.clone(),
                timestamp,
                position,
                guest: publication.is_guest,
                deleted_at: None,
            }));
        }
        let message = &room.messages[position.seq as usize - 1];
        Fact {
            serial: Some(publication.serial),
            room: publication.room,
            username: message.username.clone(),
            is_guest: message.guest,
            content: message.content.clone(),
            timestamp: message.timestamp,
            position,
            deleted_at: None,
        }
    }

    fn open(&mut self, opening: &Opening, how: How, now: Now) -> OpenedRoom {
        let next = self.names.len() as u64 + 1;
        let room = self.rooms.entry(opening.name.clone()).or_insert(Room {
            epoch: 0,
            max_users: opening.max_users,
            is_kept: opening.is_kept,
            messages: Vec::new(),
        });
        if room.epoch == 0 || how == How::Anew {
            room.epoch = next;
            room.messages.clear();
            self.names.insert(next, opening.name.clone());
        }
        let newest = room.messages.len();
        // A few more than a client gets that does not resume.
        let first = newest.saturating_sub(HISTORY_ON_ENTRY + 5);
        OpenedRoom {
            epoch: room.epoch,
            max_users: room.max_users,
            is_kept: room.is_kept,
            rules: Rules::default(),
            is_made: true,
            created_at: Timestamp::from(now),
            newest: newest as u64,
            messages: room.messages[first..].to_vec(),
        }
    }
}

fn refusal(serial: Serial) -> Outcome {
    Outcome::Failed(serial, ErrorCode::StorageUnavailable)
}

/// Uses up a ticket that was issued.
fn redeem_one(
    tickets: &mut BTreeMap<String, (Identity, Duration)>,
    ticket: &Ticket,
    now: Now,
) -> Result<Identity, BadTicket> {
    let (identity, until) = tickets.remove(&ticket.0).ok_or(BadTicket::Unknown)?;
    match until > now.monotonic {
        true => Ok(identity),
        false => Err(BadTicket::Unknown),
    }
}

/// The user of a ticket, chosen by its first byte.
fn redeem(ticket: &Ticket, how: How, now: Now) -> Option<Result<Identity, BadTicket>> {
    let username = pick(&NAMES, ticket.0.bytes().next().unwrap_or_default());
    let username = &*nfc(username);
    let unix = now.unix.as_secs();
    match how {
        How::Fail => None,
        How::FailAndKeep => Some(Err(BadTicket::Unknown)),
        How::Anew => Some(Err(BadTicket::TokenExpired)),
        How::Yes => Some(Ok(Identity {
            username: username.into(),
            family: Identity::family_of(username, &ticket.0),
            issued: Issued::Elsewhere(unix),
            expires_at: unix + TOKEN_SECONDS,
            authenticated_at: unix,
            is_ours: false,
            key: secret().key_id(),
            permissions: Permissions::usual(),
        })),
    }
}
