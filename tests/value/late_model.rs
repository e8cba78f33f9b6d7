//! Random clients beside a backend that delays its answers, reorders them between rooms, fails, and answers too late or
//! twice, compared with a model. Slots of connections and rooms are few, so that they are reused all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sarang::config::Config;
use sarang::domain::error::ErrorCode;
use sarang::domain::facts::{Fact, OpenedRoom, Outcome};
use sarang::domain::ids::{ConnectionId, RoomKey};
use sarang::domain::position::Position;
use sarang::domain::rules::Rules;
use sarang::domain::time::Timestamp;
use sarang::server::jobs::{Done, Job};
use serde_json::{Value, json};

use crate::world::World;

const NAMES: [&str; 4] = ["kim", "lee", "park", "choi"];
/// How long users stay whose connections close, in every second world.
const GRACE: Duration = Duration::from_secs(3);
const ROOMS: [&str; 5] = ["r0", "r1", "r2", "r3", "r4"];

/// A WebSocket, and what its client knows.
struct Client {
    id: ConnectionId,
    /// Never reused, unlike the slot.
    number: usize,
    /// By room: the newest sequence number it has seen, and the users whose departure it has seen.
    rooms: BTreeMap<String, (u64, BTreeSet<String>)>,
    /// The room and content it has sent, by `id`: a message that was refused may be followed by another.
    sent: BTreeMap<String, (String, Vec<String>)>,
    /// The position in the acknowledgement of each `id`.
    acknowledged: BTreeMap<String, String>,
}

/// The world, what the backend has stored, and how often each operation happened.
struct Model {
    world: World,
    clients: Vec<Client>,
    connected: usize,
    said: usize,
    /// The name of each room by its epoch, and every message stored in it.
    logs: BTreeMap<u64, (String, Vec<String>)>,
    counts: BTreeMap<&'static str, usize>,
    random: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut config = Config {
            messages_per_second: 0,
            presence_grace: GRACE * (seed % 2) as u32,
            ..Config::default()
        };
        config.rooms.rooms = 3;
        config.rooms.rooms_per_connection = 2;
        Self {
            world: World::with_remote_backend(config),
            clients: Vec::new(),
            connected: 0,
            said: 0,
            logs: BTreeMap::new(),
            counts: BTreeMap::new(),
            random: seed,
        }
    }

    fn below(&mut self, count: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % count
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn step(&mut self) {
        match self.below(16) {
            0 | 1 if self.clients.len() < 5 => self.connect(),
            2 if !self.clients.is_empty() => self.disconnect(),
            3..=5 if !self.clients.is_empty() => self.join(),
            6 if !self.clients.is_empty() => self.leave(),
            7..=11 if !self.clients.is_empty() => self.say(),
            _ => self.answer(),
        }
        self.world.turn();
        self.read();
    }

    fn connect(&mut self) {
        let name = NAMES[self.below(NAMES.len())];
        self.connected += 1;
        let id = self.world.guest(name);
        self.clients.push(Client {
            id,
            number: self.connected,
            rooms: BTreeMap::new(),
            sent: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
        });
    }

    fn disconnect(&mut self) {
        let index = self.below(self.clients.len());
        let client = self.clients.swap_remove(index);
        self.world.server.closed(client.id, self.world.now);
    }

    /// A random client and room.
    fn pick(&mut self) -> (usize, &'static str) {
        (
            self.below(self.clients.len()),
            ROOMS[self.below(ROOMS.len())],
        )
    }

    fn join(&mut self) {
        let (client, room) = self.pick();
        let id = self.clients[client].id;
        let message_id = format!("{}-join", self.clients[client].number);
        let join = json!({"type": "join", "room": room, "id": message_id});
        self.world.say(id, join);
    }

    fn leave(&mut self) {
        let (client, room) = self.pick();
        let id = self.clients[client].id;
        self.world.say(id, json!({"type": "leave", "room": room}));
    }

    /// Sends a new message, repeats an old one, or sends other content under the same `id`.
    fn say(&mut self) {
        let (client, mut room) = self.pick();
        let old = self.clients[client].sent.len();
        let again = self.below(3) == 0 && old > 0;
        let nth = if again { self.below(old) } else { 0 };
        self.said += 1;
        let content = self.said.to_string();
        let client = &mut self.clients[client];
        let message_id = match client.sent.keys().nth(nth) {
            Some(old) if again => old.clone(),
            _ => format!("{}-{content}", client.number),
        };
        let new = || (room.to_owned(), Vec::new());
        let (same_room, contents) = client.sent.entry(message_id.clone()).or_insert_with(new);
        room = ROOMS
            .into_iter()
            .find(|room| room == same_room)
            .expect("is one");
        let content = match contents.first() {
            Some(first) if !self.said.is_multiple_of(4) => first.clone(),
            _ => content,
        };
        contents.push(content.clone());
        let chat = json!({"type": "chat", "room": room, "content": content, "id": message_id});
        let id = client.id;
        self.world.say(id, chat);
    }

    /// Answers a request: the oldest of a room, but of any room.
    fn answer(&mut self) {
        let Some(first) = self.world.jobs.len().checked_sub(1) else {
            return;
        };
        let nth = self.below(first + 1);
        let key = |job: &Job| match job {
            Job::Publish(publication) => Some(publication.room),
            _ => None,
        };
        let wanted = key(&self.world.jobs[nth].1);
        let nth = match wanted {
            None => nth,
            Some(_) => {
                let same = |(_, job): &(_, Job)| key(job) == wanted;
                self.world.jobs.iter().position(same).expect("is there")
            }
        };
        if nth > 0 {
            self.count("overtaken");
        }
        let (serial, job) = self.world.jobs.remove(nth).expect("is there");
        let outcome = match (job, self.below(5)) {
            (Job::Publish(publication), 0) => self.fail(publication.serial),
            (Job::Open(opening), 0) => self.fail(opening.serial),
            (Job::Open(opening), _) => self.open(opening),
            (Job::Publish(publication), _) => self.keep(publication),
            (other, _) => panic!("not asked for: {other:?}"),
        };
        for _ in 0..1 + self.below(5) / 4 {
            let done = Done::Answered(outcome.clone());
            self.world.server.finished(serial, done, self.world.now);
        }
    }

    fn fail(&mut self, serial: sarang::domain::ids::Serial) -> Outcome {
        self.count("failed");
        Outcome::Failed(serial, ErrorCode::StorageUnavailable)
    }

    fn open(&mut self, opening: sarang::domain::wishes::Opening) -> Outcome {
        let epoch = self.logs.len() as u64 + 1;
        self.logs
            .insert(epoch, (opening.name.to_string(), Vec::new()));
        let room = OpenedRoom {
            epoch,
            max_users: opening.max_users,
            is_kept: opening.is_kept,
            rules: Rules::default(),
            is_made: true,
            created_at: Timestamp(0),
            newest: 0,
            messages: Vec::new(),
        };
        Outcome::Opened(opening.serial, room)
    }

    fn keep(&mut self, publication: sarang::domain::wishes::Publication) -> Outcome {
        let RoomKey { epoch, .. } = publication.room;
        let (name, log) = self.logs.get_mut(&epoch).expect("was opened");
        log.push(publication.content.to_string());
        let seq = log.len() as u64;
        let room = self
            .world
            .server
            .rooms()
            .find(name)
            .expect("a room with wishes stays");
        assert_eq!(room.history.position().epoch, epoch);
        Outcome::Published(Fact {
            serial: Some(publication.serial),
            room: publication.room,
            username: publication.username,
            is_guest: publication.is_guest,
            content: publication.content,
            timestamp: Timestamp(0),
            position: Position { epoch, seq },
            deleted_at: None,
        })
    }

    /// Every client reads its messages, and they are compared with the model.
    fn read(&mut self) {
        for index in 0..self.clients.len() {
            let told = self.world.told(self.clients[index].id);
            for one in told {
                let what = self.judge(index, &one);
                self.count(what);
            }
        }
    }

    fn judge(&mut self, index: usize, told: &Value) -> &'static str {
        let client = &mut self.clients[index];
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        let (room, username) = (text("room"), text("username"));
        let own = format!("{}-", client.number);
        let position = || {
            let position = Position::parse(&text("position"));
            position.expect("is a position")
        };
        match told["type"].as_str().unwrap_or_default() {
            "room_joined" => {
                let Position { epoch, seq } = position();
                assert_eq!(self.logs[&epoch].0, room);
                client.rooms.insert(room, (seq, BTreeSet::new()));
                "joined"
            }
            "room_left" => {
                client.rooms.remove(&room);
                "left"
            }
            "user_left" => {
                let (_, gone) = client.rooms.get_mut(&room).expect("is in it");
                assert!(gone.insert(username), "leaves once");
                "user left"
            }
            "user_joined" => {
                let (_, gone) = client.rooms.get_mut(&room).expect("is in it");
                gone.remove(&username);
                "user joined"
            }
            "chat" => {
                let Position { epoch, seq } = position();
                let (newest, gone) = client.rooms.get_mut(&room).expect("is in it");
                *newest += 1;
                assert_eq!(*newest, seq, "in order and without a hole");
                assert!(!gone.contains(&username), "speaks after having left");
                let (name, log) = &self.logs[&epoch];
                assert_eq!(*name, room, "said in its room");
                assert_eq!(log[seq as usize - 1], text("content"));
                "chat"
            }
            "ack" => {
                let message_id = text("id");
                assert!(message_id.starts_with(&own), "{message_id} is not of {own}");
                let Position { epoch, seq } = position();
                let (_, contents) = &client.sent[&message_id];
                assert!(contents.contains(&self.logs[&epoch].1[seq as usize - 1]));
                let first = client.acknowledged.entry(message_id);
                let first = first.or_insert_with(|| text("position"));
                assert_eq!(*first, text("position"), "acknowledged with one position");
                "ack"
            }
            "error" => {
                let message_id = text("id");
                let is_own = message_id.is_empty() || message_id.starts_with(&own);
                assert!(is_own, "{message_id} is not of {own}");
                match told["code"].as_str().unwrap_or_default() {
                    "id_reused" => "id reused",
                    "storage_unavailable" => "refused",
                    _ => "error",
                }
            }
            other => panic!("unexpected: {other}"),
        }
    }

    /// All requests are answered, and all clients leave.
    fn end(&mut self) {
        while !self.world.jobs.is_empty() {
            self.answer();
            self.world.turn();
            self.read();
        }
        for (name, log) in self.logs.values() {
            let once: BTreeSet<_> = log.iter().collect();
            assert_eq!(once.len(), log.len(), "said twice in {name}");
        }
        while !self.clients.is_empty() {
            self.disconnect();
        }
        self.world.turn();
        assert_eq!(self.world.server.rooms().people().count(), 0);
        self.world.pass(GRACE);
        let rooms = self.world.server.rooms().list();
        assert!(rooms.iter().all(|room| room.users == 0), "{rooms:?}");
        assert_eq!(self.world.server.waiting_count(), 0);
    }
}

#[test]
fn whatever_the_backend_does_only_authors_are_acknowledged_and_no_message_is_doubled_or_misplaced()
{
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..300 {
        let mut model = Model::new(seed);
        for _ in 0..400 {
            model.step();
        }
        model.end();
        for (what, count) in model.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    println!("{counts:?}");
    for what in [
        "ack",
        "chat",
        "failed",
        "id reused",
        "joined",
        "left",
        "overtaken",
        "refused",
        "user joined",
        "user left",
    ] {
        assert!(counts.get(what) > Some(&100), "{what}: {counts:?}");
    }
}
