//! The truth as the clients together know it: what was said where, what was acknowledged, what a ticket opened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use sarang::config::{ACKNOWLEDGED_PER_USER_MAX, Config};
use sarang::domain::event::ChatMessage;
use serde_json::{Value, json};

use super::grace::Departures;
use super::register::{FAR, Register, TicketId};

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
    /// The newest that anybody had seen when the server last had nothing more to do.
    pub newest_before: u64,
}

/// Where and when something was said, as which of its author's messages.
type Said<Place> = (Place, Duration, usize);

/// How a ticket was used.
#[derive(Debug, Default)]
pub struct TicketUse {
    pub winners: usize,
    pub losers: usize,
    /// When the first contender's bytes were all read, if that was in time.
    pub is_good: bool,
}

/// What all clients together have seen.
pub struct Model {
    pub config: Config,
    /// All tokens and tickets, and what has become of them.
    pub register: Register,
    /// Tickets that nobody has shown yet.
    pub unused: Vec<TicketId>,
    /// What was said over connections that were over, and must not be heard.
    pub dead: BTreeSet<String>,
    /// When something was first said, by content.
    pub said_at: HashMap<String, Duration>,
    pub logs: BTreeMap<u64, Log>,
    /// By content.
    said: BTreeMap<String, Said<Spot>>,
    said_by: HashMap<String, usize>,
    /// By user, place and `id`.
    acknowledged: BTreeMap<(String, String, String), Said<Option<Spot>>>,
    /// Whether wishes leave the server, and what they come to is known later.
    pub is_late: bool,
    /// What a late backend keeps, by epoch and number.
    pub truth: BTreeMap<(u64, u64), Rc<ChatMessage>>,
    /// When that was kept.
    pub kept_at: BTreeMap<(u64, u64), Duration>,
    /// What the backend knew when the server had forgotten it, which then remembers it once more.
    pub known_again: BTreeSet<String>,
    /// What comes without a wish of anybody who waits for it: said elsewhere, or kept though it failed.
    pub wishless: BTreeSet<String>,
    /// Pasts of which not everything that is kept was given.
    pub shortened: BTreeSet<u64>,
    pub events: BTreeMap<u64, (String, String)>,
    pub tickets: BTreeMap<String, TicketUse>,
    /// When members were welcomed first, by the key of their names: from then on these are no guest's.
    pub members: BTreeMap<String, Duration>,
    /// How often guests have come from each address under names that may be refused.
    pub impostors: BTreeMap<IpAddr, u32>,
    /// Whispers echoed to their senders of late: turn, target and content.
    pub echoed: Vec<(u64, String, String)>,
    parsed: HashMap<Vec<u8>, Rc<Value>>,
    /// What happened how often: a simulation that reaches nothing checks nothing.
    pub counts: BTreeMap<String, u64>,
    pub turn: u64,
    /// When the wall clock jumped last.
    pub jumped_at: Duration,
    pub departures: Departures,
    pub is_draining: bool,
    /// Everybody goes, or is sent away.
    pub is_ending: bool,
    pub tokens: u64,
}

/// What an acknowledged id may be off by: a turn and a tick.
const SLACK: Duration = Duration::from_secs(2);
/// The same where an answer may be on its way for seconds.
const LATE_SLACK: Duration = Duration::from_secs(60);
const REMEMBERED: Duration = Duration::from_secs(300);

impl Model {
    pub fn new(config: Config, register: Register, is_late: bool) -> Self {
        Self {
            config,
            register,
            unused: Vec::new(),
            dead: BTreeSet::new(),
            said_at: HashMap::new(),
            logs: BTreeMap::new(),
            said: BTreeMap::new(),
            said_by: HashMap::new(),
            acknowledged: BTreeMap::new(),
            is_late,
            truth: BTreeMap::new(),
            kept_at: BTreeMap::new(),
            known_again: BTreeSet::new(),
            wishless: BTreeSet::new(),
            shortened: BTreeSet::new(),
            events: BTreeMap::new(),
            tickets: BTreeMap::new(),
            members: BTreeMap::new(),
            impostors: BTreeMap::new(),
            echoed: Vec::new(),
            parsed: HashMap::new(),
            counts: BTreeMap::new(),
            turn: 0,
            jumped_at: Duration::ZERO,
            departures: Departures::default(),
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

    /// A turn begins. What was heard in one is in every history that is told when nothing is left to send from it.
    pub fn begin_turn(&mut self, has_more: bool) {
        self.turn += 1;
        if has_more {
            return;
        }
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
        self.check_mark(message, spot);
        if self.is_late {
            let truth = &self.truth[&(spot.epoch, spot.seq)];
            assert_eq!(*truth.room, *room, "said in another room");
            assert_eq!(message["username"], *truth.username);
            assert_eq!(message["content"], *truth.content);
        }
        let content = message["content"].as_str().expect("a message has content");
        self.check_alive(content);
        // Late answers may be heard much later than they were kept.
        let kept_at = self.kept_at.get(&(spot.epoch, spot.seq));
        let now = kept_at.copied().unwrap_or(now);
        let count = self.count_of(message["username"].as_str().expect("is text"));
        if let Some((first, at, before)) = self.said.get(content) {
            // In another past of its room it is another message.
            let is_other = first.epoch != spot.epoch;
            let is_pushed_out = count >= before + ACKNOWLEDGED_PER_USER_MAX;
            assert!(
                is_other || is_pushed_out || now.abs_diff(*at) >= REMEMBERED - SLACK,
                "said twice: {content:?} at {first:?} ({at:?}) and {spot:?} ({now:?})"
            );
            self.count(match (is_other, is_pushed_out) {
                (true, _) => "said again in another past",
                (false, true) => "said again after many others",
                (false, false) => "said again after five minutes",
            });
        }
        let content = content.to_owned();
        self.said.insert(content, (spot, now, count));
        spot
    }

    /// What guests say is marked, except in the demo, and nothing else is.
    fn check_mark(&self, message: &Value, spot: Spot) {
        let author = message["username"].as_str().expect("is text");
        let truth = self.truth.get(&(spot.epoch, spot.seq));
        let is_guest = match truth {
            Some(truth) => truth.guest,
            // Of the other names there may be guests and members.
            None if author.starts_with("사람") => true,
            None if author == "경주자" => false,
            None => message["guest"].is_boolean(),
        };
        let mark = match is_guest && !self.config.is_demo() {
            true => Value::Bool(true),
            false => Value::Null,
        };
        assert_eq!(message["guest"], mark, "{message}");
    }

    /// What was said over a connection after it was over is heard by nobody.
    pub fn check_alive(&self, content: &str) {
        assert!(
            !self.dead.contains(content),
            "said after the end, and heard: {content:?}"
        );
    }

    /// How much a user has said, with this.
    fn count_of(&mut self, user: &str) -> usize {
        let count = self.said_by.entry(user.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// What was said at a position, as far as anybody knows.
    pub fn content_at(&self, spot: Spot) -> &str {
        let truth = self.truth.get(&(spot.epoch, spot.seq));
        &truth.expect("is kept").content
    }

    /// The message at a position, if anybody has heard it.
    pub fn at(&self, spot: Spot) -> Option<&Rc<Value>> {
        self.logs.get(&spot.epoch)?.said.get(&spot.seq)
    }

    /// Somebody's `id` was acknowledged: always with the position at which it was said first.
    pub fn acknowledge(
        &mut self,
        (user, place, id): (&str, &str, &str),
        content: &str,
        spot: Option<Spot>,
        now: Duration,
    ) {
        self.check_alive(content);
        if let Some(spot) = spot {
            let said = match self.is_late {
                true => {
                    let truth = &self.truth[&(spot.epoch, spot.seq)];
                    (truth.username.to_string(), truth.content.to_string())
                }
                false => {
                    let message = self.at(spot).expect("is in history");
                    let text = |name: &str| message[name].as_str().expect("is text").to_owned();
                    (text("username"), text("content"))
                }
            };
            assert_eq!(
                said,
                (user.to_owned(), content.to_owned()),
                "acknowledged with another's position"
            );
        }
        let slack = if self.is_late { LATE_SLACK } else { SLACK };
        let key = (user.to_owned(), place.to_owned(), id.to_owned());
        // What was said in a room is counted when it is heard.
        let count = match spot {
            None => self.count_of(user),
            Some(_) => self.said_by.get(user).copied().unwrap_or(0),
        };
        if let Some((first, at, before)) = self.acknowledged.get(&key).copied() {
            let is_same = first == spot;
            if is_same {
                assert!(
                    now <= at + REMEMBERED + slack
                        || spot.is_none()
                        || self.known_again.contains(content),
                    "{id:?} was remembered too long"
                );
                self.count("acknowledged again");
                return;
            }
            assert!(
                now >= at + REMEMBERED - slack || count >= before + ACKNOWLEDGED_PER_USER_MAX,
                "{id:?} was acknowledged at {first:?} and {spot:?}"
            );
        }
        self.acknowledged.insert(key, (spot, now, count));
    }

    /// A token that is good whatever happens: of another back end, with a secret that stays.
    pub fn safe_token(&mut self, user: &str) -> String {
        self.tokens += 1;
        let claims = json!({"sub": user, "iat": 0, "exp": FAR, "jti": format!("t{}", self.tokens)});
        self.register.keys[0].sign(&claims)
    }

    /// The same, where one is needed.
    pub fn pass(&mut self, user: &str) -> Option<String> {
        (!self.config.is_demo()).then(|| self.safe_token(user))
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
            || self.shortened.contains(&since.epoch)
            || known > 250 * 1024
            || (log.said.range(since.seq + 1..).count() as u64) < missed
    }
}
