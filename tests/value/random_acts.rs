//! Members, a back end and a disk that is slow, fails or is cut off, in any order: what is on disk is whole after every
//! batch, and what the server knows when all is committed.

use std::collections::BTreeSet;
use std::time::Duration;

use sarang::config::{Config, STORE_RETRY};
use sarang::domain::event::ChatMessage;
use sarang::domain::ids::ConnectionId;
use sarang::domain::random::split_mix;
use serde_json::{Value, json};

use crate::desk::{answer, begin, status};
use crate::stored::Stored;
use crate::world::opening;

const SEEDS: u64 = 400;
const STEPS: usize = 80;
const NAMES: [&str; 4] = ["a", "b", "B", "c"];
/// One more than there may be.
const ROOMS: [&str; 4] = ["r0", "r1", "r2", "r3"];

struct Story {
    seed: u64,
    stored: Stored,
    members: Vec<ConnectionId>,
    /// Requests that are not answered.
    asked: Vec<ConnectionId>,
    positions: Vec<(String, String)>,
    said: u64,
    answers: BTreeSet<u16>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut config = Config {
            presence_grace: Duration::from_secs(2),
            messages_per_second: 0,
            ..Config::default()
        };
        config.rooms.rooms = 3;
        Self {
            seed,
            stored: Stored::new(config),
            members: Vec::new(),
            asked: Vec::new(),
            positions: Vec::new(),
            said: 0,
            answers: BTreeSet::new(),
        }
    }

    fn below(&mut self, count: usize) -> usize {
        (split_mix(&mut self.seed) % count as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn come(&mut self) {
        let name = self.pick(&NAMES);
        let world = &mut self.stored.world;
        let id = world.connect();
        world.receive(id, opening(name).as_bytes());
        world.turn();
        let bytes = &mut world.wire(id).bytes;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        bytes.drain(..end.expect("has answered") + 4);
        self.members.push(id);
    }

    /// Somebody who is here says something.
    fn say(&mut self, message: Value) {
        if !self.members.is_empty() {
            let id = self.pick(&self.members.clone());
            self.stored.world.say(id, message);
            self.stored.world.turn();
        }
    }

    fn ask(&mut self, method: &str, target: &str, body: &Value) {
        let id = begin(&mut self.stored.world, method, target, body);
        self.asked.push(id);
    }

    fn rules(&mut self) -> Value {
        let mut rules = json!({});
        for _ in 0..2 {
            let (name, value) = match self.below(5) {
                0 => ("max_users", json!(1 + self.below(3))),
                1 => ("history_messages", json!(self.pick(&[0, 1, 2, 1000]))),
                2 => (
                    "history_seconds",
                    self.pick(&[Some(1), Some(3), None]).into(),
                ),
                3 => ("write", self.pick(&["everyone", "moderators"]).into()),
                _ => ("kept", (self.below(2) == 0).into()),
            };
            rules[name] = value;
        }
        rules
    }

    fn post(&mut self, room: &str) {
        let count = 1 + self.below(3);
        let all = (0..count).map(|_| {
            self.said += 1;
            json!({"content": self.said.to_string(), "id": (self.said % 50).to_string()})
        });
        let body = json!({"messages": all.collect::<Vec<_>>()});
        self.ask("POST", &format!("/rooms/{room}/messages"), &body);
    }

    fn step(&mut self) {
        let (room, name) = (self.pick(&ROOMS), self.pick(&NAMES));
        match self.below(24) {
            0 | 1 if self.members.len() < 6 => self.come(),
            0..=4 => self.say(json!({"type": "join", "room": room, "since": "0:0"})),
            5 => self.say(json!({"type": "leave", "room": room})),
            6..=9 => {
                self.said += 1;
                self.say(json!({"type": "chat", "room": room, "content": self.said.to_string(), "id": self.said.to_string()}));
            }
            10 | 11 => self.post(room),
            12 | 13 if !self.positions.is_empty() => {
                let place = self.below(self.positions.len());
                let (room, position) = self.positions[place].clone();
                self.ask(
                    "DELETE",
                    &format!("/rooms/{room}/messages/{position}"),
                    &Value::Null,
                );
            }
            12 | 13 => self.ask("POST", "/rooms", &json!({"name": room})),
            14 => {
                let rules = self.rules();
                self.ask("PATCH", &format!("/rooms/{room}"), &rules);
            }
            15 => self.ask("DELETE", &format!("/rooms/{room}"), &Value::Null),
            16 => {
                let from = self.pick(&["", "?room=r0", "?room=r1"]);
                self.ask(
                    "DELETE",
                    &format!("/users/{name}/connections{from}"),
                    &Value::Null,
                );
            }
            17 => {
                let how = self.pick(&[
                    r#"{"seconds":2}"#,
                    r#"{"room":"r0"}"#,
                    r#"{"room":"r1","seconds":1}"#,
                ]);
                let how = serde_json::from_str(how).expect("JSON");
                self.ask("PUT", &format!("/users/{name}/ban"), &how);
            }
            18 => self.ask(
                "DELETE",
                &format!("/users/{name}/ban?room=r0"),
                &Value::Null,
            ),
            19 if !self.members.is_empty() => {
                let place = self.below(self.members.len());
                let id = self.members.swap_remove(place);
                let now = self.stored.world.now;
                self.stored.world.server.closed(id, now);
            }
            20 => self.stored.world.pass(Duration::from_millis(700)),
            21..=22 => self.commit_one(),
            _ => self.disturb(),
        }
    }

    fn commit_one(&mut self) {
        if let Some((serial, job)) = self.stored.batch() {
            self.stored.commit_one(serial, job);
            self.stored.disk.load();
        }
    }

    /// The disk fails, or the server is killed.
    fn disturb(&mut self) {
        match self.below(4) {
            0 => {
                self.stored.restart();
                self.members.clear();
                self.asked.clear();
            }
            1 => {
                self.stored.world.turn();
                if !self.stored.world.jobs.is_empty() {
                    let is_kept = self.below(2) == 0;
                    self.stored.fail(is_kept);
                    self.stored.disk.load();
                }
            }
            _ => self.settle(),
        }
    }

    /// Reads what everybody was told.
    fn read(&mut self) {
        for id in self.members.clone() {
            for told in self.stored.world.told(id) {
                if let (Some(room), Some(position)) =
                    (told["room"].as_str(), told["position"].as_str())
                {
                    self.positions.push((room.to_owned(), position.to_owned()));
                }
            }
        }
        let is_open = |story: &Self, id: &ConnectionId| story.stored.world.is_open(*id);
        self.members = self
            .members
            .iter()
            .copied()
            .filter(|id| is_open(self, id))
            .collect();
        for id in std::mem::take(&mut self.asked) {
            match answer(&mut self.stored.world, id) {
                Some((status, _)) => _ = self.answers.insert(status),
                None => self.asked.push(id),
            }
        }
        let surplus = self.positions.len().saturating_sub(20);
        self.positions.drain(..surplus);
    }

    /// All is committed, and compared.
    fn settle(&mut self) {
        loop {
            while let Some((serial, job)) = self.stored.batch() {
                self.stored.commit_one(serial, job);
                self.stored.disk.load();
            }
            match status(&mut self.stored.world, "GET", "/readyz") {
                200 => break,
                _ => self.stored.world.pass(STORE_RETRY),
            }
        }
        self.read();
        assert!(self.asked.is_empty(), "everybody is answered");
        let kept = self.stored.disk.load();
        let rooms = self.stored.world.server.rooms();
        let mut names: Vec<_> = kept.rooms.iter().map(|kept| kept.name.clone()).collect();
        let mut open: Vec<_> = rooms.list().into_iter().map(|room| room.name).collect();
        names.sort();
        open.sort();
        // What has made way goes with the next batch.
        assert!(
            open.iter().all(|name| names.contains(name)),
            "{open:?} of {names:?}"
        );
        for kept in &kept.rooms {
            let Ok(room) = rooms.find(&kept.name) else {
                continue;
            };
            let on_disk = &kept.room;
            assert_eq!(on_disk.position(), room.history.position(), "{}", kept.name);
            assert_eq!(on_disk.max_users, room.max_users);
            assert_eq!((on_disk.is_kept, on_disk.rules), (room.is_kept, room.rules));
            let surplus = on_disk.messages.len() - room.history.len();
            for (known, kept) in room.history.iter().zip(&on_disk.messages[surplus..]) {
                // In the demo guests are marked on disk only.
                let mut kept = ChatMessage::clone(kept);
                kept.guest = known.guest;
                assert_eq!(**known, kept);
            }
        }
    }
}

#[test]
fn what_is_on_disk_is_whole_after_every_batch_whatever_moderators_do() {
    let mut answers = BTreeSet::new();
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut story = Story::new(seed);
        for _ in 0..STEPS {
            story.step();
            story.read();
        }
        story.settle();
        story.stored.restart();
        story.members.clear();
        story.settle();
        answers.append(&mut story.answers);
    }
    let expected = [200, 201, 204, 404, 409, 503];
    assert!(
        expected.iter().all(|status| answers.contains(status)),
        "{answers:?}"
    );
}
