//! Two users who chat with each other while other clients fail, and fail the test if anything goes wrong for them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::chatter::position_parts;
use crate::support::{Chatter, Server};

pub const ROOM: &str = "tech";
pub const NAMES: [&str; 2] = ["김철수", "홍길동"];

/// One member of the pair, and the room as it sees it.
struct Talker {
    chatter: Chatter,
    /// The last sequence number seen in the room.
    last: Option<u64>,
    present: BTreeSet<String>,
    /// Chat messages from members other than the pair.
    heard_of_others: Vec<String>,
}

pub struct Pair {
    talkers: [Talker; 2],
    said: u64,
}

impl Talker {
    fn new(server: &Server, name: &str) -> Self {
        let mut chatter = server.guest(name);
        let joined = chatter.join(ROOM);
        let others = joined["online_users"].as_array().expect("a list of names");
        let names = others.iter().filter_map(Value::as_str).map(str::to_owned);
        Self {
            present: names.chain([name.to_owned()]).collect(),
            last: None,
            heard_of_others: Vec::new(),
            chatter,
        }
    }

    /// Records the next message.
    fn hear(&mut self) -> Value {
        let news = self.chatter.receive();
        let name = news["username"].as_str().unwrap_or_default().to_owned();
        match news["type"].as_str().unwrap_or_default() {
            "chat" => {
                let sequence = position_parts(&news["position"]).1;
                let is_next = self.last.is_none_or(|last| last + 1 == sequence);
                assert!(is_next, "{:?} and then {sequence}: a hole", self.last);
                self.last = Some(sequence);
                if !NAMES.contains(&&*name) {
                    self.heard_of_others.push(name);
                }
            }
            "user_joined" => assert!(self.present.insert(name.clone()), "{name} is in it twice"),
            "user_left" => assert!(self.present.remove(&name), "{name} leaves and was not in"),
            "ack" => {}
            _ => panic!("unexpected: {news}"),
        }
        news
    }

    fn hear_until(&mut self, wanted: impl Fn(&Value) -> bool) {
        while !wanted(&self.hear()) {}
    }
}

impl Pair {
    pub fn enter(server: &Server) -> Self {
        let mut talkers = NAMES.map(|name| Talker::new(server, name));
        while talkers[0].present.len() < talkers[1].present.len() {
            talkers[0].hear();
        }
        Self { talkers, said: 0 }
    }

    /// Each of the two sends so many messages: both receive each one, and it is acknowledged.
    pub fn talk(&mut self, rounds: usize) {
        for turn in 0..2 * rounds {
            self.say(turn % 2, "");
        }
    }

    /// One of them sends a message of at least this length.
    pub fn say(&mut self, who: usize, padding: &str) {
        self.said += 1;
        let content = format!("{} {padding}", self.said);
        let id = self.said.to_string();
        self.talkers[who]
            .chatter
            .send(json!({"type": "chat", "room": ROOM, "content": content.trim_end(), "id": id}));
        for talker in &mut self.talkers {
            talker.hear_until(|news| {
                news["type"] == "chat"
                    && news["username"] == NAMES[who]
                    && news["content"] == content.trim_end()
            });
        }
        self.talkers[who].hear_until(|news| news["type"] == "ack" && news["id"] == *id);
    }

    /// Waits until both have been told that a user is in the room, or no longer.
    pub fn await_presence(&mut self, name: &str, is_present: bool) {
        for talker in &mut self.talkers {
            while talker.present.contains(name) != is_present {
                talker.hear();
            }
        }
    }

    /// Waits until both have been told that only the pair is left.
    pub fn await_solitude(&mut self) {
        for talker in &mut self.talkers {
            while talker.present.len() > NAMES.len() {
                talker.hear();
            }
            assert_eq!(Vec::from_iter(&talker.present), NAMES);
        }
    }

    /// Whether both were told that a user is in the room, as far as they have read.
    pub fn sees(&self, name: &str) -> bool {
        self.talkers
            .iter()
            .all(|talker| talker.present.contains(name))
    }

    /// How many messages both have received from a user.
    pub fn heard(&self, name: &str) -> usize {
        let count = |talker: &Talker| talker.heard_of_others.iter().filter(|n| *n == name).count();
        self.talkers.iter().map(count).min().unwrap_or_default()
    }
}
