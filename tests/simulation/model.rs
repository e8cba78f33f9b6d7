//! The truth as the clients together know it: what was said where, what was acknowledged, what a ticket opened.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use sarang::config::Config;
use sarang::wire::jwt::Key;
use serde_json::{Value, json};

/// A place in a room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    pub epoch: u64,
    pub seq: u64,
}

impl Spot {
    pub fn read(value: &Value) -> Self {
        let text = value.as_str().expect("a position is text");
        let (epoch, seq) = text.split_once(':').expect("a position has two parts");
        assert_eq!(epoch.len(), 16, "{text}");
        Self {
            epoch: u64::from_str_radix(epoch, 16).expect("an epoch is hexadecimal"),
            seq: seq.parse().expect("a sequence number is decimal"),
        }
    }

    pub fn text(self) -> String {
        format!("{:016x}:{}", self.epoch, self.seq)
    }
}

/// One past of a room.
#[derive(Debug, Default)]
pub struct Log {
    pub room: String,
    pub said: BTreeMap<u64, Rc<Value>>,
    /// The newest that anybody had seen before this turn.
    pub newest_before: u64,
}

/// How a ticket was used.
#[derive(Debug, Default)]
pub struct TicketUse {
    pub winners: usize,
    pub losers: usize,
    /// When the first contender's bytes were all read, if that was in time.
    pub is_good: bool,
}

/// The name that has an account only sometimes.
pub const CONTESTED: &str = "회원 0";

/// What all clients together have seen.
pub struct Model {
    pub config: Config,
    pub secret: [u8; 32],
    pub key: Key,
    /// Accounts have come or gone: [`CONTESTED`] may have lost its sessions at any time.
    pub has_reloaded: bool,
    pub logs: BTreeMap<u64, Log>,
    said: BTreeMap<String, (Spot, Duration)>,
    acknowledged: BTreeMap<(String, String), (Option<Spot>, Duration)>,
    pub events: BTreeMap<u64, (String, String)>,
    pub tickets: BTreeMap<String, TicketUse>,
    /// Whispers echoed to their senders in this turn: target and content.
    pub echoed: Vec<(String, String)>,
    parsed: HashMap<Vec<u8>, Rc<Value>>,
    /// What happened how often: a simulation that reaches nothing checks nothing.
    pub counts: BTreeMap<String, u64>,
    pub turn: u64,
    pub is_draining: bool,
    /// Everybody goes, or is sent away.
    pub is_ending: bool,
    pub tokens: u64,
}

/// What an acknowledged id may be off by: a turn and a tick.
const SLACK: Duration = Duration::from_secs(2);
const REMEMBERED: Duration = Duration::from_secs(300);

impl Model {
    pub fn new(config: Config, secret: &[u8; 32]) -> Self {
        Self {
            config,
            secret: *secret,
            has_reloaded: false,
            key: Key::new(None, secret).expect("is long enough"),
            logs: BTreeMap::new(),
            said: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            events: BTreeMap::new(),
            tickets: BTreeMap::new(),
            echoed: Vec::new(),
            parsed: HashMap::new(),
            counts: BTreeMap::new(),
            turn: 0,
            is_draining: false,
            is_ending: false,
            tokens: 0,
        }
    }

    pub fn count(&mut self, what: &str) {
        if let Some(count) = self.counts.get_mut(what) {
            *count += 1;
        } else {
            self.counts.insert(what.to_owned(), 1);
        }
    }

    /// A turn begins.
    pub fn begin_turn(&mut self) {
        self.turn += 1;
        for log in self.logs.values_mut() {
            log.newest_before = log.said.last_key_value().map_or(0, |(seq, _)| *seq);
        }
    }

    /// A message as a value; the same bytes are read once.
    pub fn parse(&mut self, payload: &[u8]) -> Rc<Value> {
        if let Some(value) = self.parsed.get(payload) {
            return value.clone();
        }
        let value: Value = serde_json::from_slice(payload).expect("a message is JSON");
        let value = Rc::new(value);
        if self.parsed.len() > 4096 {
            self.parsed.clear();
        }
        self.parsed.insert(payload.to_vec(), value.clone());
        value
    }

    /// Notes a message somebody was shown, in a broadcast or a history: everybody is shown the same at its position.
    pub fn record(&mut self, message: &Rc<Value>, now: Duration) -> Spot {
        let spot = Spot::read(&message["position"]);
        let room = message["room"].as_str().expect("a message names its room");
        assert!(spot.seq > 0, "the first message has number 1: {message}");
        let log = self.logs.entry(spot.epoch).or_insert_with(|| Log {
            room: room.to_owned(),
            ..Log::default()
        });
        assert_eq!(log.room, room, "an epoch belongs to one room");
        if let Some(known) = log.said.get(&spot.seq) {
            assert!(
                Rc::ptr_eq(known, message) || known == message,
                "two messages at one position: {known} and {message}"
            );
            return spot;
        }
        log.said.insert(spot.seq, message.clone());
        let content = message["content"].as_str().expect("a message has content");
        if let Some((first, at)) = self.said.get(content) {
            assert!(
                now >= *at + REMEMBERED - SLACK,
                "said twice: {content:?} at {first:?} and {spot:?}"
            );
            self.count("said again after five minutes");
        }
        self.said.insert(content.to_owned(), (spot, now));
        spot
    }

    /// The message at a position.
    pub fn at(&self, spot: Spot) -> Option<&Rc<Value>> {
        self.logs.get(&spot.epoch)?.said.get(&spot.seq)
    }

    /// Somebody's `id` was acknowledged: always with the position at which it was said first.
    pub fn acknowledge(
        &mut self,
        user: &str,
        id: &str,
        content: &str,
        spot: Option<Spot>,
        now: Duration,
    ) {
        if let Some(spot) = spot {
            let message = self
                .at(spot)
                .unwrap_or_else(|| panic!("acknowledged and not in history: {id:?} at {spot:?}"));
            assert_eq!(
                message["content"], content,
                "acknowledged with another's position"
            );
            assert_eq!(
                message["username"], user,
                "acknowledged with another's position"
            );
        }
        let key = (user.to_owned(), id.to_owned());
        if let Some((first, at)) = self.acknowledged.get(&key).copied() {
            let is_same = first == spot;
            if is_same {
                assert!(
                    now <= at + REMEMBERED + SLACK || spot.is_none(),
                    "{id:?} was remembered too long"
                );
                self.count("acknowledged again");
                return;
            }
            assert!(
                now >= at + REMEMBERED - SLACK,
                "{id:?} was acknowledged at {first:?} and {spot:?}"
            );
        }
        self.acknowledged.insert(key, (spot, now));
    }

    /// A token of another back end with our secret.
    pub fn mint(&mut self, user: &str, issued_at: u64, expires_at: u64) -> String {
        self.tokens += 1;
        self.key.sign(&json!({
            "sub": user, "iat": issued_at, "exp": expires_at, "jti": format!("t{}", self.tokens),
        }))
    }

    /// A token that is good whatever the clock does, where one is needed.
    pub fn pass(&mut self, user: &str) -> Option<String> {
        (!self.config.is_demo()).then(|| self.mint(user, 0, 4_000_000_000))
    }

    /// An event somebody was sent: everybody is sent the same under its id.
    pub fn record_event(&mut self, id: u64, name: &str, data: &str) {
        let event = (name.to_owned(), data.to_owned());
        let known = self.events.entry(id).or_insert_with(|| event.clone());
        assert_eq!(*known, event, "two events with the id {id}");
    }

    /// Whether so much was said in a room after a position that some of it may be gone.
    pub fn may_be_gone(&self, since: Spot, until: Spot) -> bool {
        let missed = until.seq.saturating_sub(since.seq);
        let Some(log) = self.logs.get(&since.epoch) else {
            return true;
        };
        let known: usize = log
            .said
            .range(since.seq + 1..)
            .map(|(_, message)| message["content"].as_str().map_or(0, str::len) + 256)
            .sum();
        missed > 1_000
            || known > 250 * 1024
            || (log.said.range(since.seq + 1..).count() as u64) < missed
    }
}
