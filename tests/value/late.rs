//! A world whose backend answers only when a test tells it to.

use std::collections::BTreeMap;

use sarang::config::Config;
use sarang::domain::error::ErrorCode;
use sarang::domain::facts::{Fact, OpenedRoom, Outcome};
use sarang::domain::ids::{ConnectionId, RoomKey, Serial};
use sarang::domain::position::Position;
use sarang::domain::rules::Rules;
use sarang::domain::time::Timestamp;
use sarang::domain::wishes::{Opening, Publication};
use sarang::server::jobs::{Done, Job};
use serde_json::{Value, json};

use crate::world::World;

/// The backend's side: the requests it got, and the last position of each room.
pub struct Late {
    pub world: World,
    newest: BTreeMap<RoomKey, u64>,
    rooms: u64,
}

impl Late {
    pub fn new(config: Config) -> Self {
        Self {
            world: World::with_remote_backend(config),
            newest: BTreeMap::new(),
            rooms: 0,
        }
    }

    pub fn finish(&mut self, serial: Serial, done: Done) {
        self.world.server.finished(serial, done, self.world.now);
        self.world.turn();
    }

    /// The next request of a kind.
    pub fn asked<T>(&mut self, read: impl Fn(Job) -> Option<T>) -> (Serial, T) {
        self.world.turn();
        let (serial, job) = self.world.jobs.pop_front().expect("something was asked");
        (serial, read(job).expect("this was asked"))
    }

    pub fn opening(&mut self) -> (Serial, Opening) {
        self.asked(|job| match job {
            Job::Open(opening) => Some(opening),
            _ => None,
        })
    }

    pub fn publication(&mut self) -> (Serial, Publication) {
        self.asked(|job| match job {
            Job::Publish(publication) => Some(publication),
            _ => None,
        })
    }

    pub fn open(&mut self, (serial, opening): (Serial, Opening)) {
        self.rooms += 1;
        let room = OpenedRoom {
            epoch: self.rooms,
            max_users: opening.max_users,
            is_kept: opening.is_kept,
            rules: Rules::default(),
            is_made: true,
            created_at: Timestamp(0),
            newest: 0,
            messages: Vec::new(),
        };
        let done = Done::Answered(Outcome::Opened(opening.serial, room));
        self.finish(serial, done);
    }

    /// Stores a message: the answer, to be given now or later, once or twice.
    pub fn keep(&mut self, publication: &Publication) -> Outcome {
        let newest = self.newest.entry(publication.room).or_default();
        *newest += 1;
        Outcome::Published(Fact {
            serial: Some(publication.serial),
            room: publication.room,
            username: publication.username.clone(),
            is_guest: publication.is_guest,
            content: publication.content.clone(),
            timestamp: Timestamp(0),
            position: Position {
                epoch: publication.room.epoch,
                seq: *newest,
            },
            deleted_at: None,
        })
    }

    pub fn publish(&mut self, (serial, publication): (Serial, Publication)) {
        let outcome = self.keep(&publication);
        self.finish(serial, Done::Answered(outcome));
    }

    pub fn fail(&mut self, serial: Serial, wish: Serial) {
        let outcome = Outcome::Failed(wish, ErrorCode::StorageUnavailable);
        self.finish(serial, Done::Answered(outcome));
    }

    /// Members of a room, which the first one opens.
    pub fn members<const N: usize>(&mut self, names: [&str; N], room: &str) -> [ConnectionId; N] {
        let members = names.map(|name| self.world.guest(name));
        for id in members {
            self.say(id, json!({"type": "join", "room": room}));
            if self.world.server.rooms().find(room).is_err() {
                let opening = self.opening();
                self.open(opening);
            }
        }
        for id in members {
            assert!(kinds(&self.world.told(id)).contains(&"room_joined".into()));
        }
        members
    }

    pub fn say(&mut self, id: ConnectionId, message: Value) {
        self.world.say(id, message);
        self.world.turn();
    }
}

pub fn chat(room: &str, content: &str, id: &str) -> Value {
    json!({"type": "chat", "room": room, "content": content, "id": id})
}

pub fn kinds(told: &[Value]) -> Vec<String> {
    let kinds = told.iter().map(|one| match &one["code"] {
        Value::Null => one["type"].as_str().unwrap_or_default().to_owned(),
        code => code.as_str().unwrap_or_default().to_owned(),
    });
    kinds.collect()
}
