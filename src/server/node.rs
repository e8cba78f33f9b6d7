//! A node among others: the backend on a Valkey or Redis that all of them share. No I/O: bytes come and go through the shell.
//!
//! The engine orders, keeps and tells; the nodes agree on nothing among themselves. Each request is a command or a script on
//! one connection, answered in order, so that a turn's requests are one write. What concerns all comes back as pushes, and a
//! message is delivered strictly by its number, whether it came as a reply or as a push.
//!
//! When the connection is gone requests wait for a short time. A new one asks first for everything anew (`setup.rs`): every
//! room is compared with what there is of it here, and one that has lost something gets another epoch. Then what was under
//! way is sent again, which does nothing twice.

mod acts;
mod ask;
mod audit;
mod keys;
mod life;
mod link;
mod lists;
mod messages;
mod mirror;
pub mod news;
mod people;
mod pushes;
mod questions;
mod replies;
mod rooms;
mod scripts;
mod setup;
mod waits;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use ask::{Ask, Request};
use keys::{Keys, push_hex};
pub use link::Dial;
use link::{Link, State};
use mirror::Mirror;
use news::{News, Owed};
use scripts::{Script, Scripts};
use waits::{Audit, Listing, Question};

use super::histogram::{COMMIT_MICROS, Histogram};
use crate::config::{
    Cluster, Config, ENGINE_AWAY_PATIENCE, ENGINE_REPLY_BYTES_MAX, ENGINE_SETUP_TIMEOUT, Level,
    PROBES_MISSED_MAX, Password, REPLICAS_PATIENCE,
};
use crate::domain::error::ErrorCode;
use crate::domain::ids::Serial;
use crate::domain::position::Position;
use crate::domain::random::{Random, split_mix};
use crate::domain::time::Now;
use crate::wire::resp::Command;

/// Figures of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Replies by the time they took, in microseconds.
    pub replies: Histogram,
    /// Requests that were sent again.
    pub resends: u64,
    /// Messages that were missing, and were asked for.
    pub filled: u64,
    /// New epochs of rooms that have lost their past.
    pub epochs: u64,
    /// Times this node's lease was over.
    pub leases_lost: u64,
    /// Connections made.
    pub connects: u64,
    /// Nodes alive, this one included.
    pub nodes: usize,
}

/// The backend on an engine that many nodes share.
#[derive(Debug)]
pub struct Node {
    cluster: Cluster,
    password: Password,
    /// Replicas that must have a message before it is acknowledged.
    wait: u32,
    /// The limit of rooms, of all nodes together.
    rooms_max: usize,
    keys: Keys,
    scripts: Scripts,
    /// The name of this run of the node: other than that of any other, and of any earlier one.
    id: Box<str>,
    /// The state of the generator of epochs, and of waits.
    random: u64,
    /// The secret that all nodes share, once it is known; before, the one to be proposed.
    secret: [u8; 32],
    link: Link,
    mirrors: HashMap<Rc<str>, Mirror>,
    news: VecDeque<News>,
    /// The number of the last message.
    marks: u64,
    /// The last probe that was sent, and the last one that came back.
    probes: (u64, u64),
    /// The number of the sign of life by which the engine knows of this node.
    registered: u64,
    beat_due: Duration,
    check_due: Duration,
    /// What this node tells of itself with each sign of life.
    own_figures: String,
    is_leader: bool,
    /// Messages that are kept, and that replicas must have before they are acknowledged.
    unconfirmed: Vec<(Serial, Position)>,
    /// So many of them, from the first, does the command under way ask for.
    awaited: usize,
    /// The numbers in the marks of whispers that the engine may have kept, while their senders were told that they were not, in
    /// order: when one is said again, people here have not got it yet.
    unanswered: VecDeque<u64>,
    /// What the engine has refused to undo.
    owed: Vec<Owed>,
    /// Pages of the rooms that are being read, and the number of the last one.
    listings: Vec<Listing>,
    listed: u64,
    /// Questions to the other nodes without all answers, and the number of the last one.
    questions: Vec<Question>,
    asked: u64,
    audit: Audit,
    figures: Figures,
    /// The reason of the last failure, so that it is told once.
    told_reason: String,
    is_ending: bool,
}

impl Node {
    /// A node that is not connected yet. `seed` determines its name, and the epochs of rooms that it opens.
    pub fn new(config: &Config, cluster: Cluster, seed: &[u8; 32]) -> Self {
        let mut seeds = Random::new(seed);
        let mut id = String::new();
        push_hex(&seeds.number().to_be_bytes(), &mut id);
        let mut secret = [0; 32];
        secret.copy_from_slice(&seeds.bytes());
        Self {
            cluster,
            password: config.cluster_password.clone(),
            wait: config.cluster_wait,
            rooms_max: config.rooms.rooms,
            keys: Keys::new(&config.cluster_prefix),
            scripts: Scripts::new(),
            id: id.into(),
            random: seeds.number(),
            secret,
            link: Link::new(),
            mirrors: HashMap::new(),
            news: VecDeque::new(),
            marks: 0,
            probes: (0, 0),
            registered: 0,
            beat_due: Duration::ZERO,
            check_due: Duration::ZERO,
            own_figures: String::new(),
            is_leader: false,
            unconfirmed: Vec::new(),
            awaited: 0,
            unanswered: VecDeque::new(),
            owed: Vec::new(),
            listings: Vec::new(),
            listed: 0,
            questions: Vec::new(),
            asked: 0,
            audit: Audit::default(),
            figures: Figures {
                replies: Histogram::new(&COMMIT_MICROS),
                resends: 0,
                filled: 0,
                epochs: 0,
                leases_lost: 0,
                connects: 0,
                nodes: 0,
            },
            told_reason: String::new(),
            is_ending: false,
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the engine takes requests.
    pub fn is_up(&self) -> bool {
        self.link.state == State::Up && self.link.is_heard
    }

    /// Whether something was asked for that has no answer yet.
    pub fn is_busy(&self) -> bool {
        let is_awaited = |request: &Request| request.ask.is_owed() || request.deadline.is_some();
        let all = [&self.link.sent, &self.link.queue, &self.link.again];
        let is_awaited = self.link.state == State::Up && all.into_iter().flatten().any(is_awaited);
        is_awaited || self.has_news()
    }

    /// Requests without a reply.
    pub fn requests(&self) -> usize {
        self.link.requests()
    }

    /// Rooms that are followed.
    pub fn rooms(&self) -> usize {
        self.mirrors.len()
    }

    /// Its figures.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Whether this node samples for all.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }

    /// What is told of this node to the others: responses, errors, microseconds, event streams.
    pub fn tell_figures(&mut self, figures: [u64; 4]) {
        self.own_figures = figures.map(|figure| figure.to_string()).join(" ");
    }

    /// What the shell is to do about the connection.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.link.poll_dial()
    }

    /// Whether the shell, or the server, has something to do.
    pub fn has_work(&self) -> bool {
        self.link.has_dial() || self.has_news()
    }

    /// Bytes for the engine. The shell removes what it has sent.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.link.out
    }

    /// Ends a turn: asks for replicas that have what was kept, if that is wanted. One such command is under way at a time, since
    /// the engine carries out nothing else of this connection meanwhile.
    pub fn end_turn(&mut self, now: Now) {
        if self.awaited > 0 || self.unconfirmed.is_empty() || self.link.state != State::Up {
            return;
        }
        self.awaited = self.unconfirmed.len();
        let mut command = Command::new("WAIT");
        command.number(self.wait.into());
        command.number(REPLICAS_PATIENCE.as_millis() as u64);
        self.ask(Ask::Wait, command.finish(), now);
    }

    /// Whether there is news.
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// The next piece of news.
    pub fn poll(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// When [`Self::handle_timeout`] is next due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        let of_state = match self.link.state {
            State::Down(at) | State::Dialing(at) | State::Setup(at) => at,
            State::Up => self.beat_due.min(self.check_due),
        };
        self.link
            .next_deadline()
            .into_iter()
            .chain([of_state])
            .chain(self.next_question_end())
            .min()
    }

    /// Handles everything due.
    pub fn handle_timeout(&mut self, now: Now) {
        for request in self.link.expire(now.monotonic) {
            self.refuse(request, ErrorCode::BackendUnavailable);
        }
        self.end_questions(now.monotonic);
        match self.link.state {
            State::Down(at) if at <= now.monotonic => self.dial(now),
            State::Dialing(at) if at <= now.monotonic => self.fail("no connection in time", now),
            State::Setup(at) if at <= now.monotonic => self.fail("no answer in time", now),
            State::Up if self.beat_due <= now.monotonic => {
                let (sent, back) = self.probes;
                match sent - back > PROBES_MISSED_MAX {
                    true => self.fail("it does not answer", now),
                    false => self.beat(false, now),
                }
            }
            State::Up if self.check_due <= now.monotonic => self.check_silent(now),
            _ => {}
        }
    }

    fn dial(&mut self, now: Now) {
        let endpoint = match &self.link.primary {
            Some(primary) => primary.clone(),
            None => {
                self.cluster.endpoints[self.link.endpoint % self.cluster.endpoints.len()].clone()
            }
        };
        self.link.state = State::Dialing(now.monotonic + ENGINE_SETUP_TIMEOUT / 2);
        self.link.set_dial(Dial::Open(endpoint));
    }

    /// The shell has a connection.
    pub fn connected(&mut self, now: Now) {
        if let State::Dialing(_) = self.link.state {
            self.link.state = State::Setup(now.monotonic + ENGINE_SETUP_TIMEOUT);
            self.figures.connects += 1;
            self.greet(now);
        }
    }

    /// The connection is gone, or there was none to be had.
    pub fn lost(&mut self, reason: &str, now: Now) {
        if !matches!(self.link.state, State::Down(_)) {
            self.fail(reason, now);
        }
    }

    /// Takes bytes of the engine.
    pub fn received(&mut self, bytes: &[u8], now: Now) {
        self.link.replies.feed(bytes);
        loop {
            match self.link.replies.poll() {
                Ok(Some(reply)) => self.take(reply, now),
                Ok(None) if self.link.replies.buffered() > ENGINE_REPLY_BYTES_MAX => {
                    return self.fail("a reply is too long", now);
                }
                Ok(None) => return,
                Err(_) => return self.fail("what it says is no RESP3", now),
            }
            if matches!(self.link.state, State::Down(_)) {
                return;
            }
        }
    }

    /// Ends the connection, and tries the next endpoint after a wait.
    fn fail(&mut self, reason: &str, now: Now) {
        let is_loss = self.link.state == State::Up;
        if is_loss || self.told_reason != reason {
            let name = if is_loss {
                "engine_down"
            } else {
                "engine_refused"
            };
            let about = vec![
                ("reason", reason.to_owned()),
                ("address", self.endpoint().to_string()),
            ];
            self.report(News::Note(Level::Error, name, about));
            self.told_reason = reason.into();
        }
        self.link.primary = None;
        // Also when a sentinel has named a primary that is none any more: another sentinel may know better.
        self.link.endpoint += 1;
        self.link.set_dial(Dial::Close);
        self.probes = (self.probes.0, self.probes.0);
        self.is_leader = false;
        self.confirmed(0);
        let random = split_mix(&mut self.random);
        self.link.retry(random, now.monotonic);
        self.take_back(now);
    }

    /// Requests that had been sent over a connection that is gone: some are asked again, the others are refused.
    fn take_back(&mut self, now: Now) {
        let mut sent = Vec::new();
        // Rooms that were being loaded anew are compared again over the next connection.
        for mirror in self.mirrors.values_mut().filter(|mirror| mirror.is_open()) {
            mirror.state = mirror::State::Live;
            mirror.is_crowd_stale = true;
            sent.append(&mut mirror.again);
        }
        sent.append(&mut self.link.drop_connection());
        let mut again = Vec::new();
        for mut request in sent {
            if let Ask::Open(room) = &request.ask
                && self.mirrors.get(room).is_none_or(Mirror::is_open)
            {
                continue;
            }
            if !request.ask.is_owed() {
                // A room that was asked for in the setup had none.
                let deadline = now.monotonic + ENGINE_AWAY_PATIENCE;
                request.deadline.get_or_insert(deadline);
            }
            let is_in_time = request.deadline.is_none_or(|at| at > now.monotonic);
            if !request.ask.is_repeatable() || !is_in_time {
                self.refuse(request, ErrorCode::BackendUnavailable);
                continue;
            }
            match &mut request.ask {
                Ask::Publish(said) => request.command = self.publish_command(said, true),
                Ask::Audit(lines) => request.command = self.audit_command(lines, true),
                Ask::Act(act) => act.is_again |= request.was_sent,
                _ => {}
            }
            self.figures.resends += 1;
            again.push(request);
        }
        self.link.requeue(again);
    }

    fn endpoint(&self) -> crate::config::Endpoint {
        let listed = &self.cluster.endpoints[self.link.endpoint % self.cluster.endpoints.len()];
        self.link.primary.as_ref().unwrap_or(listed).clone()
    }

    /// Asks something of the engine.
    fn ask(&mut self, ask: Ask, command: Vec<u8>, now: Now) {
        let deadline = match ask.is_owed() {
            true => None,
            false => Some(now.monotonic + self.link.patience()),
        };
        let request = Request::new(ask, command, deadline, now.monotonic);
        if self.link.is_full() && !request.ask.is_owed() {
            return self.refuse(request, ErrorCode::BackendUnavailable);
        }
        self.link.push(request, now.monotonic);
    }

    /// Tells the server.
    #[inline(never)]
    fn report(&mut self, news: News) {
        self.news.push_back(news);
    }

    fn note(&mut self, level: Level, name: &'static str, about: Vec<(&'static str, String)>) {
        self.report(News::Note(level, name, about));
    }

    /// Begins the call of a script on so many keys.
    fn call(&self, script: Script, keys: u64) -> Command {
        self.scripts.call(script, keys)
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        assert!(self.probes.1 <= self.probes.0);
    }
}
