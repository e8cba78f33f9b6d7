//! The server's wishes on their way to the late backend, its answers on their way back, and what must hold of both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sarang::domain::facts::Outcome;
use sarang::domain::ids::{ConnectionId, RoomKey, Serial};
use sarang::domain::wishes::{Opening, Publication};
use sarang::server::jobs::{Done, Ticket};

use super::backend::serial_of;
use super::checks::chats;
use super::network::Wire;
use super::run::{Client, World};

/// When every wish is answered.
const ANSWERED: Duration = Duration::from_secs(12);

/// Something said that is under way.
#[derive(Debug)]
pub struct UnderWay {
    /// In the order in which they left.
    number: u64,
    at: Duration,
    room: RoomKey,
    username: String,
    message_id: Option<Box<str>>,
    author: usize,
    /// Where it came from.
    wire: Option<Wire>,
    slot: Option<ConnectionId>,
}

/// Wishes that are under way.
#[derive(Debug, Default)]
pub struct Wishes {
    said: BTreeMap<Serial, UnderWay>,
    openings: BTreeSet<Serial>,
    count: u64,
    /// The latest of those that are answered, with its room's epoch.
    latest: (u64, u64),
}

impl World {
    pub(super) fn publish(&mut self, job: Serial, publication: Publication) {
        self.stage.model.check_alive(&publication.content);
        let author = publication.content.split('/').next();
        let author = author.and_then(|author| author.parse().ok());
        let author: usize = author.expect("what is said names who says it");
        let wire = match &self.clients[author] {
            Client::Chat(chat) => chat.wire,
            _ => None,
        };
        self.wishes.count += 1;
        let under_way = UnderWay {
            number: self.wishes.count,
            at: self.stage.at(),
            room: publication.room,
            username: publication.username.to_string(),
            message_id: publication.message_id.clone(),
            author,
            wire,
            slot: wire.and_then(|wire| self.stage.network.socket(wire).id),
        };
        let is_same = |other: &UnderWay| {
            other.message_id.is_some()
                && (&other.message_id, other.room, &other.username)
                    == (&under_way.message_id, under_way.room, &under_way.username)
        };
        assert!(
            !self.wishes.said.values().any(is_same),
            "under way twice: {under_way:?}"
        );
        self.wishes.said.insert(publication.serial, under_way);
        let stage = &mut self.stage;
        let now = stage.now();
        let backend = stage.backend.as_mut().expect("wishes leave for a backend");
        let answers = backend.publish(publication, &mut stage.model, &mut stage.seed, now);
        for (at, outcome) in answers {
            self.finish_at(at, job, Done::Answered(outcome));
        }
    }

    pub(super) fn open(&mut self, job: Serial, opening: &Opening) {
        self.wishes.openings.insert(opening.serial);
        let stage = &mut self.stage;
        let now = stage.now();
        let backend = stage.backend.as_mut().expect("wishes leave for a backend");
        let answers = backend.open(opening, &mut stage.model, &mut stage.seed, now);
        for (at, outcome) in answers {
            self.finish_at(at, job, Done::Answered(outcome));
        }
    }

    pub(super) fn redeem(&mut self, job: Serial, ticket: &Ticket) {
        let stage = &mut self.stage;
        let now = stage.now();
        let backend = stage.backend.as_mut().expect("tickets leave for a backend");
        let (delay, redeemed) = backend.redeem(&ticket.0, &mut stage.seed, now);
        let at = now.monotonic + delay;
        self.jobs.tickets.insert(job, ticket.0.clone());
        self.finish_at(at, job, Done::TicketRedeemed(redeemed));
    }

    /// A wish is answered: the first time its room is still there, whoever has gone.
    pub(super) fn check_answer(&mut self, outcome: &Outcome) {
        let Some(serial) = serial_of(outcome) else {
            return;
        };
        if self.wishes.openings.remove(&serial) {
            return;
        }
        let Some(under_way) = self.wishes.said.remove(&serial) else {
            return self.stage.model.count("answers given twice");
        };
        let epoch = under_way.room.epoch;
        let backend = self.stage.backend.as_ref().expect("has answered");
        let name = backend.name_of(epoch).to_owned();
        let room = self.server.rooms().find(&name);
        let is_there = room.is_ok_and(|room| room.history.position().epoch == epoch);
        assert!(is_there, "a room with wishes under way is not evicted");
        let is_failure = matches!(outcome, Outcome::Failed(..));
        let is_here = match &self.clients[under_way.author] {
            Client::Chat(chat) => under_way.wire.is_some() && chat.wire == under_way.wire,
            _ => false,
        };
        let is_in = chats(&self.clients)
            .any(|chat| chat.name == under_way.username && chat.seats.contains_key(&name));
        let (number, other) = self.wishes.latest;
        let model = &mut self.stage.model;
        if is_failure {
            model.count("wishes failed");
        }
        if !is_here {
            model.count("answered after the connection was gone");
        }
        if !is_in && !is_failure {
            model.count("last words after their author had left");
        }
        if under_way.number < number && epoch != other {
            model.count("rooms reordered");
        }
        if under_way.number > number {
            self.wishes.latest = (under_way.number, epoch);
        }
    }

    /// A place of a connection is used again.
    pub(super) fn note_reuse(&mut self, id: ConnectionId, wire: Wire) {
        let mut others = self.wishes.said.values();
        if others.any(|other| other.slot == Some(id) && other.wire != Some(wire)) {
            self.stage.model.count("slots reused with a wish under way");
        }
    }

    /// Users who may be in a room only because what they said there is under way.
    pub(super) fn authors(&self) -> BTreeSet<(String, String)> {
        let Some(backend) = &self.stage.backend else {
            return BTreeSet::new();
        };
        let of = |one: &UnderWay| {
            let room = backend.name_of(one.room.epoch);
            (room.to_owned(), one.username.clone())
        };
        self.wishes.said.values().map(of).collect()
    }

    /// Whether everything that was wished is answered.
    pub fn is_everything_answered(&self) -> bool {
        self.wishes.said.is_empty() && self.wishes.openings.is_empty()
    }

    /// Everything that was wished so long ago is answered.
    pub fn check_wishes(&self) {
        for one in self.wishes.said.values() {
            assert!(one.at + ANSWERED > self.stage.at(), "not answered: {one:?}");
        }
    }
}
