//! Whoever talks to a server with a store, and what all of them together were told.

use std::collections::{BTreeMap, BTreeSet};

use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use super::model::Spot;
use super::seed::Seed;
use super::world::World;

/// The rooms that people talk in; they are made by the first who comes.
pub const ROOMS: [&str; 3] = ["방 1", "방 2", "방 3"];

/// What all were told.
#[derive(Default)]
pub struct Model {
    /// By position: who said what, as it was shown or acknowledged.
    said: BTreeMap<Spot, (String, String)>,
    /// By room.
    pub epochs: BTreeMap<String, u64>,
    /// By id.
    acknowledged: BTreeMap<String, Spot>,
    whispered: BTreeSet<(String, String)>,
    /// The ids of whispers that were sent, and of those that were sent again over a kill.
    whispers_sent: BTreeSet<String>,
    whispers_sent_again: BTreeSet<String>,
    /// Ids of messages that were refused: whether they are on disk is not known.
    refused: BTreeSet<String>,
    /// Rooms that were answered with 201.
    pub created: BTreeSet<String>,
    /// Numbers of events by the id they were answered with.
    pub posted: BTreeMap<u64, u64>,
    /// Whether the disk has failed, as far as the server was told.
    pub is_down: bool,
    /// Whether nobody begins anything new.
    pub is_settling: bool,
    pub counts: BTreeMap<String, u64>,
}

impl Model {
    pub fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn note(&mut self, room: &str, spot: Spot, said: (String, String)) {
        let epoch = *self.epochs.entry(room.to_owned()).or_insert(spot.epoch);
        assert_eq!(epoch, spot.epoch, "{room} keeps its past");
        let known = self.said.entry(spot).or_insert_with(|| said.clone());
        assert_eq!(*known, said, "two messages at {spot:?}");
    }

    pub fn said_in(&self, room: &str) -> impl Iterator<Item = (u64, &(String, String))> {
        let epoch = self.epochs.get(room).copied();
        self.said
            .iter()
            .filter(move |(spot, _)| Some(spot.epoch) == epoch)
            .map(|(spot, said)| (spot.seq, said))
    }

    /// Nothing was said twice, and positions have no hole.
    pub fn check_once(&self) {
        let mut contents = BTreeSet::new();
        for (spot, said) in &self.said {
            assert!(contents.insert(said), "said twice: {said:?}, also {spot:?}");
        }
        for room in ROOMS {
            let seqs: Vec<u64> = self.said_in(room).map(|(seq, _)| seq).collect();
            assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{room}");
        }
    }
}

/// A room in the eyes of somebody.
#[derive(Debug, Default)]
struct Place {
    last: Option<Spot>,
    is_asked: bool,
    is_in: bool,
}

/// Something said that is not acknowledged.
#[derive(Debug)]
struct Unanswered {
    room: usize,
    content: String,
    /// Sent over this connection, and not refused.
    is_under_way: bool,
}

/// Somebody who comes back, and sends again what was not acknowledged.
pub struct Person {
    name: String,
    others: usize,
    connection: Option<ConnectionId>,
    places: [Place; 3],
    unanswered: BTreeMap<String, Unanswered>,
    /// Whispers that are not answered: by id, to whom, and whether they are under way.
    whispers: BTreeMap<String, (String, bool)>,
    finished: Vec<(String, usize, String)>,
    count: u64,
}

fn text(value: &Value) -> &str {
    value.as_str().expect("is text")
}

impl Person {
    pub fn new(number: usize) -> Self {
        Self {
            name: format!("u{number}"),
            others: number,
            connection: None,
            places: Default::default(),
            unanswered: BTreeMap::new(),
            whispers: BTreeMap::new(),
            finished: Vec::new(),
            count: 0,
        }
    }

    pub fn is_done(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Its connection is over.
    pub fn is_cut(&mut self) {
        self.connection = None;
        for place in &mut self.places {
            (place.is_asked, place.is_in) = (false, false);
        }
        for one in self.unanswered.values_mut() {
            one.is_under_way = false;
        }
        for (_, is_under_way) in self.whispers.values_mut() {
            *is_under_way = false;
        }
    }

    pub fn act(&mut self, world: &mut World, model: &mut Model, seed: &mut Seed) {
        let Some(connection) = self.connection else {
            if model.is_settling || seed.chance(60) {
                self.connection = Some(world.guest(&self.name));
            }
            return;
        };
        if !model.is_settling && seed.chance(2) {
            world.server.closed(connection, world.now);
            return self.is_cut();
        }
        for (place, room) in self.places.iter_mut().zip(ROOMS) {
            if !place.is_asked && seed.chance(40) {
                place.is_asked = true;
                let since = place.last.map(Spot::text);
                world.say(
                    connection,
                    json!({"type": "join", "room": room, "since": since, "id": room}),
                );
            }
        }
        for (id, one) in &mut self.unanswered {
            if !one.is_under_way && self.places[one.room].is_in && seed.chance(50) {
                one.is_under_way = true;
                world.say(connection, chat(id, one.room, &one.content));
            }
        }
        if model.is_settling {
            return;
        }
        for _ in 0..seed.below(4) {
            self.say(connection, world, seed);
        }
        if seed.chance(10)
            && let Some((id, room, content)) = self.finished.last()
            && self.places[*room].is_in
        {
            world.say(connection, chat(id, *room, content));
        }
        if seed.chance(10) {
            self.count += 1;
            let id = format!("{} w{}", self.name, self.count);
            let to = format!("u{}", seed.below(self.others + 2));
            if to != self.name {
                self.whispers.insert(id.clone(), (to, false));
            }
        }
        for (id, (to, is_under_way)) in &mut self.whispers {
            if !std::mem::replace(is_under_way, true) {
                if !model.whispers_sent.insert(id.clone()) {
                    model.whispers_sent_again.insert(id.clone());
                    model.count("whispers sent again");
                }
                world.say(
                    connection,
                    json!({"type": "whisper", "to": to, "content": id, "id": id}),
                );
            }
        }
    }

    fn say(&mut self, connection: ConnectionId, world: &mut World, seed: &mut Seed) {
        let room = seed.below(ROOMS.len());
        if !self.places[room].is_in {
            return;
        }
        self.count += 1;
        let id = format!("{} {}", self.name, self.count);
        let content = format!("{id} {}", "가".repeat(seed.below(20)));
        world.say(connection, chat(&id, room, &content));
        let one = Unanswered {
            room,
            content,
            is_under_way: true,
        };
        self.unanswered.insert(id, one);
    }

    pub fn listen(&mut self, world: &mut World, model: &mut Model) {
        let Some(connection) = self.connection else {
            return;
        };
        for message in world.told(connection) {
            self.take(&message, world, model);
        }
    }

    fn take(&mut self, message: &Value, world: &World, model: &mut Model) {
        if let Some(code) = message["close"].as_u64() {
            assert_eq!(code, 1001, "nobody is sent away");
            return;
        }
        match text(&message["type"]) {
            "room_joined" => self.joined(message, model),
            "chat" => {
                assert!(!model.is_down, "shown while the disk has failed: {message}");
                self.hear(message, model);
            }
            "ack" => self.acknowledged(message, world, model),
            "error" => self.refused(message, model),
            "whisper" => {
                if model.is_down {
                    model.count("whispers while the disk has failed");
                }
                let content = text(&message["content"]).to_owned();
                // Its author was not told that it had been heard before the server was killed.
                let may_be_again = model.whispers_sent_again.contains(&content);
                let is_news = model.whispered.insert((self.name.clone(), content));
                assert!(is_news || may_be_again, "whispered twice: {message}");
                model.count("whispers");
            }
            "user_joined" | "user_left" | "room_users" => {}
            other => panic!("unexpected {other}: {message}"),
        }
    }

    fn joined(&mut self, message: &Value, model: &mut Model) {
        let room = text(&message["room"]);
        let place = ROOMS.iter().position(|one| *one == room);
        let place = place.expect("is one of ours");
        let spot = Spot::read(&message["position"]);
        if let Some(last) = self.places[place].last {
            assert_eq!(message["recovered"], true, "since {last:?}: {message}");
            model.count("recovered");
        } else {
            // From the last 50 on.
            let history = message["history"].as_array().expect("a list").len() as u64;
            let seq = spot.seq - history;
            self.places[place].last = Some(Spot { seq, ..spot });
        }
        model.epochs.entry(room.to_owned()).or_insert(spot.epoch);
        self.places[place].is_in = true;
        for missed in message["history"].as_array().expect("a list") {
            self.hear(missed, model);
        }
        assert_eq!(self.places[place].last, Some(spot), "nothing is missing");
    }

    fn hear(&mut self, message: &Value, model: &mut Model) {
        let room = text(&message["room"]);
        let spot = Spot::read(&message["position"]);
        let (author, content) = (text(&message["username"]), text(&message["content"]));
        let id: Vec<&str> = content.splitn(3, ' ').take(2).collect();
        if model.refused.contains(&id.join(" ")) {
            model.count("heard though refused");
        }
        if model.counts.contains_key("kills") {
            model.count("said after a kill");
        }
        model.note(room, spot, (author.to_owned(), content.to_owned()));
        let place = ROOMS.iter().position(|one| *one == room);
        let last = &mut self.places[place.expect("is one of ours")].last;
        let before = last.expect("has joined");
        let next = Spot {
            seq: before.seq + 1,
            ..before
        };
        assert_eq!(spot, next, "in order and without a hole: {message}");
        *last = Some(spot);
    }

    fn acknowledged(&mut self, message: &Value, world: &World, model: &mut Model) {
        let id = text(&message["id"]);
        if self.whispers.remove(id).is_some() {
            return;
        }
        let spot = Spot::read(&message["position"]);
        let before = model.acknowledged.insert(id.to_owned(), spot);
        if let Some(before) = before {
            assert_eq!(before, spot, "{id} is acknowledged at its first place");
            model.count("acknowledged again");
        }
        let Some(Unanswered { room, content, .. }) = self.unanswered.remove(id) else {
            assert!(before.is_some(), "{id} was not said");
            return;
        };
        model.count(match model.refused.contains(id) && before.is_none() {
            true => "known before",
            false => "acknowledged",
        });
        let now = world.server.rooms().find(ROOMS[room]).expect("is there");
        let said = now
            .history
            .last(usize::MAX)
            .find(|one| one.position.seq == spot.seq);
        let said = said.expect("what is acknowledged is in the history");
        assert_eq!(*said.content, *content);
        assert!(
            !model.is_down || model.said.contains_key(&spot),
            "acknowledged while the disk has failed: {message}"
        );
        model.note(ROOMS[room], spot, (self.name.clone(), content.clone()));
        self.finished.push((id.to_owned(), room, content));
    }

    fn refused(&mut self, message: &Value, model: &mut Model) {
        let (code, id) = (text(&message["code"]), text(&message["id"]));
        if self.whispers.remove(id).is_some() {
            assert_eq!(code, "user_not_found", "{message}");
            return;
        }
        if let Some(one) = self.unanswered.get_mut(id) {
            one.is_under_way = false;
            model.refused.insert(id.to_owned());
            model.count("refused");
        } else if let Some(place) = ROOMS.iter().position(|room| *room == id) {
            self.places[place].is_asked = false;
            model.count("joins refused");
        }
        assert_eq!(code, "storage_unavailable", "{message}");
        assert!(model.is_down, "refused by a disk that is well: {message}");
    }

    /// Everything that was said over this connection was answered before it closed.
    pub fn check_answered(&self) {
        let mut unanswered = self.unanswered.iter();
        let left = unanswered.find(|(_, one)| one.is_under_way);
        assert!(left.is_none(), "{} got no answer to {left:?}", self.name);
        let mut whispers = self.whispers.values();
        assert!(!whispers.any(|(_, is_under_way)| *is_under_way));
    }
}

fn chat(id: &str, room: usize, content: &str) -> Value {
    json!({"type": "chat", "room": ROOMS[room], "content": content, "id": id})
}

/// Somebody who posts events and creates rooms, each with a request of its own.
#[derive(Default)]
pub struct Poster {
    count: u64,
    /// What each connection has asked for: the number of an event, or a room.
    asked: Vec<(ConnectionId, Result<u64, String>)>,
}

impl Poster {
    pub const CHANNEL: &str = "deploys";

    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    pub fn is_cut(&mut self) {
        self.asked.clear();
    }

    pub fn act(&mut self, world: &mut World, model: &Model, seed: &mut Seed) {
        if model.is_settling || !seed.chance(20) {
            return;
        }
        self.count += 1;
        let (path, body, asked) = match seed.chance(80) {
            true => {
                let path = format!("/events/{}", Self::CHANNEL);
                (path, json!({"n": self.count}), Ok(self.count))
            }
            false => {
                let name = format!("만든 방 {}", self.count);
                ("/rooms".to_owned(), json!({"name": name}), Err(name))
            }
        };
        let body = body.to_string();
        let connection = world.connect();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        world.receive(connection, request.as_bytes());
        self.asked.push((connection, asked));
    }

    pub fn listen(&mut self, world: &mut World, model: &mut Model) {
        self.asked.retain(|(connection, asked)| {
            let answer = String::from_utf8_lossy(&world.wire(*connection).bytes).into_owned();
            let Some((head, body)) = answer.split_once("\r\n\r\n") else {
                return true;
            };
            let body: Value = serde_json::from_str(body).expect("is JSON");
            match (&head[9..12], asked) {
                ("200", Ok(number)) => {
                    let id = body["id"].as_u64().expect("a number");
                    let before = model.posted.insert(id, *number);
                    assert_eq!(before, None, "an id of its own");
                    model.count("events posted");
                }
                ("201", Err(room)) => {
                    model.created.insert(room.clone());
                    model.count("rooms created");
                }
                ("503", asked) => {
                    assert!(model.is_down, "refused by a disk that is well: {body}");
                    model.count(match asked {
                        Ok(_) => "events refused",
                        Err(_) => "rooms refused",
                    });
                }
                (status, asked) => panic!("{status} to {asked:?}: {body}"),
            }
            world.server.closed(*connection, world.now);
            false
        });
    }
}
