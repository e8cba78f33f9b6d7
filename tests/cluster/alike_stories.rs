//! Stories of whole nodes that are drawn by a seed, and told on the model and on real engines: everybody is told the same. The
//! real ones are those at the addresses in SARANG_ENGINES, which are emptied; without it the model is compared with a second one
//! that draws otherwise, and says what a connection has told itself before the reply instead of after it.
//!
//! Time is that of the nodes. An engine has its own, in which hardly anything passes: leases and whatever else ends by its clock
//! ends by a command.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sarang::config::Config;
use serde_json::json;

use crate::actors::{Actor, Reader};
use crate::nodes::{config, key};
use crate::peer::real_engines;
use crate::shared::{Model, Real, Shared};
use crate::stage::{Stage, posting};
use crate::world::Chance;

const NODES: usize = 3;
const STEPS: usize = 220;
/// A room that is made for two.
const SMALL: &str = "small";
const ROOMS: [&str; 4] = ["tech", "사랑방", SMALL, "random"];
/// Limits of a story in which rooms make way for others.
const FEW_ROOMS: usize = 6;

/// What somebody has to have been told, or somebody done, at least once in all stories: else they would show nothing.
const EVERYTHING: [&str; 38] = [
    r#""type":"room_joined""#,
    r#""recovered":true"#,
    r#""recovered":false"#,
    r#""type":"user_joined""#,
    r#""type":"user_left""#,
    r#""type":"room_left""#,
    r#""type":"chat""#,
    r#""type":"ack""#,
    r#""type":"whisper""#,
    r#""type":"room_list""#,
    r#""code":"room_full""#,
    r#""code":"user_not_found""#,
    r#""code":"id_reused""#,
    r#""code":"too_many_rooms""#,
    r#""code":"not_in_room""#,
    r#""code":"already_in_room""#,
    r#""code":"backend_unavailable""#,
    r#""close":4001"#,
    r#""close":4002"#,
    r#""close":4005"#,
    r#""close":1000"#,
    "POST /auth/ws-ticket HTTP/1.1 at 1: HTTP/1.1 200",
    "POST /auth/logout HTTP/1.1 at 1: HTTP/1.1 204",
    "POST /rooms HTTP/1.1 at 1: HTTP/1.1 201",
    "POST /rooms HTTP/1.1 at 1: HTTP/1.1 409",
    "POST /events/deploy HTTP/1.1 at 1: HTTP/1.1 200",
    "/history",
    "event: deploy",
    "event: system_metrics",
    "event: api_metrics",
    "event: business_metrics",
    "the scripts are forgotten",
    "everything is forgotten",
    "links are closed",
    "memory is used up",
    "there is memory again",
    "a node is killed",
    "goes away without a word",
];

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The limits of a story.
fn limits(seed: u64) -> Config {
    let mut config = config();
    config.rooms.room_users = 5;
    // Names are held for so long by the engine's clock, and seats by that of the nodes.
    config.presence_grace = Duration::from_secs(20);
    if has_few_rooms(seed) {
        config.rooms.rooms = FEW_ROOMS;
    }
    config
}

/// Whether rooms make way for others. Then no node is killed, because the engine draws which rooms its people leave first; and the
/// engine forgets nothing, because nodes make rooms again in the order of their tables, and which of them are one too many differs.
fn has_few_rooms(seed: u64) -> bool {
    !seed.is_multiple_of(2)
}

fn cast() -> Vec<Actor> {
    let guests = ["m0", "m1", "m2", "m3", "m4", "m0", "ann", "boss"];
    let mut cast: Vec<Actor> = guests.map(|name| Actor::new(name, "", false)).into();
    cast.push(Actor::new("ann", "&key=0123456789abcdef", false));
    cast.extend(["boss", "chef"].map(|name| Actor::new(name, "", true)));
    cast
}

struct Story<E> {
    stage: Stage<E>,
    chance: Chance,
    has_few_rooms: bool,
    is_out_of_memory: bool,
    tokens: u64,
}

impl<E: Shared> Story<E> {
    fn new(engine: E, seed: u64) -> Self {
        let mut stage = Stage::new(engine, limits(seed), seed, NODES, cast());
        stage.readers = vec![Reader::default(), Reader::default()];
        stage.post(0, "/rooms", "x", r#"{"name":"small","max_users":2}"#);
        Self {
            stage,
            chance: Chance::new(seed),
            has_few_rooms: has_few_rooms(seed),
            is_out_of_memory: false,
            tokens: 0,
        }
    }

    fn node(&mut self) -> usize {
        self.chance.below(NODES as u64) as usize
    }

    fn room(&mut self) -> String {
        match self.chance.below(12) {
            0 => format!("room{}", self.chance.below(6)),
            number => ROOMS[number as usize % ROOMS.len()].into(),
        }
    }

    fn step(&mut self, number: usize) {
        let mut done = format!("step {number}:");
        // What several do at once crosses on its way.
        for _ in 0..=self.chance.below(3) {
            let act = match self.chance.below(10) {
                0 => self.ask(),
                _ => self.act(),
            };
            done = format!("{done} {act};");
        }
        if self.chance.once_in(6) {
            let rounds = self.chance.below(5);
            for _ in 0..rounds {
                self.stage.exchange();
            }
            let event = self.operate();
            done = format!("{done} {event} after {rounds} exchanges;");
        }
        self.stage.settle();
        let time = match self.chance.below(12) {
            0 => self.chance.below(25_000),
            _ => self.chance.below(700),
        };
        self.stage.pass(milliseconds(time));
        self.stage.write(done);
    }

    /// A client of rooms does something.
    fn act(&mut self) -> String {
        let number = self.chance.below(self.stage.actors.len() as u64) as usize;
        let (node, room, draw) = (self.node(), self.room(), self.chance.below(100));
        let (is_so, to) = (self.chance.once_in(2), self.chance.below(9) as usize);
        let actor = &self.stage.actors[number];
        let name = format!("{} ({number})", actor.name);
        let Some((at, _)) = actor.at.filter(|_| actor.is_open) else {
            return match actor.at {
                Some(_) => format!("{name} waits"),
                None => self.connect(number, node),
            };
        };
        let to = self.stage.actors.get(to);
        let to = to.map_or("nobody".to_owned(), |actor| actor.name.clone());
        let to = if to == "ann" { "nobody".into() } else { to };
        let actor = &mut self.stage.actors[number];
        let node = &mut self.stage.nodes[at];
        match (draw, actor.last.clone()) {
            (0..25, _) => actor.join(&room, draw < 18, node),
            (25..58, _) => actor.say("chat", &room, is_so, node),
            (58..66, _) => actor.say("whisper", &to, is_so, node),
            (66..70, Some(last)) => actor.send(&last.message(), node),
            (70..72, Some(mut last)) => {
                last.content += "!";
                actor.send(&last.message(), node);
            }
            (72..80, _) => actor.send(&json!({"type": "leave", "room": room}), node),
            (80..84, _) => actor.send(&json!({"type": "room_list"}), node),
            (84..91, _) => {
                actor.go(is_so, node);
                let how = if is_so { "with" } else { "without" };
                return format!("{name} goes away {how} a word");
            }
            (91..95, _) => return self.log_out(number, at),
            _ => return format!("{name} is silent"),
        }
        format!("{name} does {draw} in {room} at {at}, or to {to}")
    }

    fn connect(&mut self, number: usize, node: usize) -> String {
        let ticket = match self.stage.actors[number].is_account {
            true => self.ticket(number, node),
            false => None,
        };
        let stage = &mut self.stage;
        let id = stage.nodes[node].connect(stage.clock).expect("is accepted");
        let (actor, place) = (&mut stage.actors[number], &mut stage.nodes[node]);
        actor.connect((node, id), place, ticket.as_deref());
        format!("{} ({number}) comes to {node}", actor.name)
    }

    /// A ticket, from whichever node.
    fn ticket(&mut self, number: usize, node: usize) -> Option<String> {
        let at = self.stage.clock.as_secs();
        let actor = &mut self.stage.actors[number];
        if actor.token.is_none() {
            self.tokens += 1;
            let claims = json!({"sub": actor.name, "iat": at, "exp": at + 3600, "jti": self.tokens.to_string()});
            actor.token = Some(key().sign(&claims));
        }
        let token = actor.token.clone()?;
        let request = posting("/auth/ws-ticket", &token, "");
        let from = (node + 1) % NODES;
        let (status, body) = self.stage.request(from, &request);
        let line = format!("  POST /auth/ws-ticket HTTP/1.1 at {from}: {status}");
        self.stage.transcript.lines.push(line);
        body["ticket"].as_str().map(str::to_owned)
    }

    fn log_out(&mut self, number: usize, at: usize) -> String {
        let actor = &mut self.stage.actors[number];
        let name = actor.name.clone();
        let Some(token) = actor.token.take() else {
            return format!("{name} has nothing to log out of");
        };
        let elsewhere = (at + 1) % NODES;
        self.stage.post(elsewhere, "/auth/logout", &token, "");
        format!("{name} ({number}) logs out at {elsewhere}")
    }

    /// Somebody asks something by HTTP.
    fn ask(&mut self) -> String {
        let (node, room, draw) = (self.node(), self.room(), self.chance.below(9));
        let room = room.replace("사랑방", "%EC%82%AC%EB%9E%91%EB%B0%A9");
        let get = |target: String| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let stage = &mut self.stage;
        match draw {
            0 => stage.ask(node, &get("/rooms".into())),
            1 => stage.ask(node, &get(format!("/rooms/{room}"))),
            2 => stage.ask(node, &get(format!("/rooms/{room}/history"))),
            3 | 4 => {
                let name = self.chance.below(4);
                let body = json!({"name": format!("made{name}"), "max_users": 2}).to_string();
                stage.post(node, "/rooms", "x", &body);
            }
            5 | 6 => {
                let body = json!({"version": self.chance.below(1_000)}).to_string();
                let channel = ["deploy", "business"][usize::from(draw == 6)];
                stage.post(node, &format!("/events/{channel}"), "x", &body);
            }
            _ => {
                let number = self.chance.below(2) as usize;
                let clock = stage.clock;
                let reader = &mut stage.readers[number];
                if let Some((at, _)) = reader.at {
                    reader.go(&mut stage.nodes[at]);
                }
                let id = stage.nodes[node].connect(clock).expect("is accepted");
                reader.connect((node, id), &mut stage.nodes[node]);
                return format!("reader {number} comes to {node}");
            }
        }
        format!("somebody asks {draw} at {node}")
    }

    /// Something happens to the engine, or to a node.
    fn operate(&mut self) -> &'static str {
        let node = self.node();
        let stage = &mut self.stage;
        match self.chance.below(8) {
            // Not for long, or hardly anything else would happen.
            0..=4 if self.is_out_of_memory => self.change_memory(),
            0 | 1 => {
                stage.engine.operate(&["SCRIPT", "FLUSH"]);
                "the scripts are forgotten"
            }
            2 if !self.has_few_rooms => {
                stage.engine.operate(&["FLUSHALL"]);
                "everything is forgotten"
            }
            3 | 4 => {
                let is_one = self.chance.once_in(2);
                for number in 0..NODES {
                    if !is_one || number == node {
                        stage.kill_link(number);
                    }
                }
                "links are closed"
            }
            5 if !self.has_few_rooms && !self.is_out_of_memory => {
                stage.settle();
                stage.kill_node(node);
                "a node is killed"
            }
            _ => self.change_memory(),
        }
    }

    fn change_memory(&mut self) -> &'static str {
        self.is_out_of_memory = !self.is_out_of_memory;
        let (limit, event) = match self.is_out_of_memory {
            true => ("1", "memory is used up"),
            false => ("0", "there is memory again"),
        };
        let engine = &mut self.stage.engine;
        engine.operate(&["CONFIG", "SET", "maxmemory", limit]);
        event
    }

    /// Everybody comes back, and looks around.
    fn end(&mut self) {
        if self.is_out_of_memory {
            self.change_memory();
        }
        self.stage.pass(Duration::from_secs(40));
        for number in 0..self.stage.actors.len() {
            let node = number % NODES;
            if self.stage.actors[number].at.is_none() {
                self.connect(number, node);
                self.stage.settle();
            }
            for room in ROOMS {
                let actor = &mut self.stage.actors[number];
                if let Some((at, _)) = actor.at {
                    actor.join(room, true, &mut self.stage.nodes[at]);
                    self.stage.settle();
                }
            }
        }
        for node in 0..NODES {
            for target in ["/rooms", "/rooms/tech/history", "/readyz"] {
                let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
                self.stage.ask(node, &request);
            }
        }
        self.stage.pass(Duration::from_secs(30));
        self.stage.write("everybody is back".into());
    }
}

/// Who has told a story, and its lines.
type Told = (String, Vec<String>);

/// Tells a story, and returns what was done and told.
fn tell(engine: impl Shared, seed: u64) -> Told {
    let begun = Instant::now();
    let mut story = Story::new(engine, seed);
    for number in 0..STEPS {
        story.step(number);
    }
    story.end();
    for node in &story.stage.nodes {
        node.server.rooms().check();
    }
    let (name, lines) = (story.stage.engine.name(), story.stage.transcript.lines);
    // Whoever takes minutes has leases that end in between.
    (
        format!("{name} in {:?}, {} lines", begun.elapsed(), lines.len()),
        lines,
    )
}

/// The first difference between two stories, with what came before it.
fn difference(one: &Told, other: &Told) -> Option<String> {
    let length = one.1.len().max(other.1.len());
    let at = (0..length).find(|at| one.1.get(*at) != other.1.get(*at))?;
    let tail = |(name, lines): &Told| {
        let shown = &lines[at.saturating_sub(25).min(lines.len())..(at + 6).min(lines.len())];
        format!("{name}:\n{}", shown.join("\n"))
    };
    Some(format!("line {at}\n{}\n\n{}", tail(one), tail(other)))
}

/// The seeds that are told: one, if it is named.
fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("SARANG_CLUSTER_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("is a number");
            seed..seed + 1
        }
        Err(_) => 1..1 + count,
    }
}

#[test]
fn everybody_is_told_alike_whichever_engine_the_nodes_share() {
    let (addresses, _alone) = real_engines();
    let mut seen: BTreeMap<&str, usize> = EVERYTHING.map(|part| (part, 0)).into();
    let seeds = seeds(if addresses.is_empty() { 3 } else { 6 });
    for seed in seeds.clone() {
        let late = tell(Model::new(seed, false), seed);
        let early = tell(Model::new(!seed, true), seed);
        let mut pairs = Vec::new();
        for address in &addresses {
            let engine = Real::new(address);
            let model = match engine.has_early_pushes() {
                true => &early,
                false => &late,
            };
            pairs.push((model, tell(engine, seed)));
        }
        if addresses.is_empty() {
            pairs.push((&late, early.clone()));
        }
        for (model, other) in &pairs {
            println!("seed {seed}: {}, {}", model.0, other.0);
            if let Some(difference) = difference(model, other) {
                panic!("seed {seed}, {difference}");
            }
        }
        for (part, count) in &mut seen {
            *count += late.1.iter().filter(|line| line.contains(part)).count();
        }
    }
    let missing: Vec<_> = seen.iter().filter(|(_, count)| **count == 0).collect();
    assert!(
        seeds.count() == 1 || missing.is_empty(),
        "not told: {missing:?}"
    );
}
