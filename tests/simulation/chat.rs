//! A client in rooms: how it comes, what it says, how it goes and comes again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sarang::config::{GUEST_REFUSALS, HEAD_TIMEOUT};

use super::asks::{Ask, Say};
use super::model::Spot;
use super::network::{Manner, Pace, Reading, Wire};
use super::reading::Answers;
use super::register::{TicketId, TokenId};
use super::sessions::Session;
use super::stage::{ACCEPT, Stage, encoded, handshake};
use super::tickets::ticket_request;

/// Who a client says it is.
#[derive(Clone, Debug)]
pub enum Identity {
    Guest,
    /// A guest with one of a few keys, or without one, under a name that others come under too.
    Holder(Option<u8>),
    /// With a token that lives so many seconds, traded for a ticket.
    Member(u64, u64),
    /// A guest who may not have the name: an account's, or a member's who is here.
    Impostor,
    /// With a ticket others have too.
    Contender(String),
}

/// What a client likes to do.
#[derive(Clone, Debug)]
pub struct Habits {
    pub rooms: Vec<String>,
    /// Whom it whispers to.
    pub friends: Vec<String>,
    /// Milliseconds between two acts.
    pub think: (u64, u64),
    /// Commands at once.
    pub burst: usize,
    /// In percent of commands: with an id, entering or leaving, nonsense, too long.
    pub ids: u64,
    pub moves: u64,
    pub slips: u64,
    pub long: u64,
    /// In percent of acts: the connection is broken off in some way.
    pub breaks: u64,
    pub content_chars: usize,
    /// Whether pings are answered and close frames returned.
    pub is_polite: bool,
    pub lives: usize,
}

/// What a client knows of a room it is in.
#[derive(Clone, Debug)]
pub struct Seat {
    pub spot: Spot,
    /// Who is there, in a room small enough to be told by name.
    pub names: Option<BTreeSet<String>>,
    pub count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Away,
    /// Asks for a ticket.
    Asking,
    Opening,
    Open,
    /// Has said or was told that it is over.
    Leaving,
}

pub struct Chat {
    pub me: usize,
    pub name: String,
    pub identity: Identity,
    pub manner: Manner,
    pub habits: Habits,
    pub phase: Phase,
    pub wire: Option<Wire>,
    pub answers: Answers,
    pub bytes: Vec<u8>,
    pub seats: BTreeMap<String, Seat>,
    pub asked: VecDeque<Ask>,
    /// How many of those that were said without an `id` have failed.
    pub quiet_failures: usize,
    /// What was used as `id` of several messages in one room, and of messages in two rooms.
    pub reused: BTreeSet<String>,
    pub used_elsewhere: BTreeSet<String>,
    pub pings: VecDeque<Vec<u8>>,
    /// Where it was in each room when it last read.
    pub memory: BTreeMap<String, Spot>,
    /// Said with an id and not acknowledged: said again in the next life.
    pub unacknowledged: Vec<(String, String, String, Duration)>,
    /// Said with an id and acknowledged: said again now and then all the same.
    pub acknowledged: Vec<(String, String, String)>,
    pub whispers: BTreeSet<String>,
    /// Whether it was let in.
    pub is_welcomed: bool,
    pub opened_turn: u64,
    pub opened_at: Duration,
    pub refused_in_row: usize,
    pub asks: u64,
    pub in_instant: (Duration, u64),
    /// The close code that what it did has to bring.
    pub provoked: Option<&'static [u16]>,
    pub said_close: bool,
    pub heard_close: Option<u16>,
    /// When a closed connection must be gone.
    pub gone_by: Option<Duration>,
    /// When it last asked for a session, or for a longer one.
    pub asked_at: Duration,
    /// When the session ends, and the token behind it.
    pub due: Option<Duration>,
    pub token_expires: u64,
    /// The token a ticket is asked for, and the ticket that was shown, and when.
    asking: Option<TokenId>,
    pub shown: Option<(TicketId, Duration)>,
    /// What the connection rests on, if anything.
    pub session: Option<Session>,
    /// When that had surely ended, of a client that learns it late.
    pub lapsed_at: Option<Duration>,
    /// What was said over this connection, with its place in the bytes.
    pub sent: Vec<(u64, String)>,
    /// When the connection was made.
    came_at: Duration,
    /// The desk at which a ticket for a longer session is asked for.
    pub desk: Option<(Wire, Answers, TokenId, Duration)>,
    pub is_mute: bool,
    pub is_scheduled: bool,
    pub said: u64,
}

/// What is answered later than this has waited for the backend, if the client was swift.
pub const WAITED: Duration = Duration::from_millis(400);

impl Chat {
    pub fn new(
        me: usize,
        name: String,
        identity: Identity,
        manner: Manner,
        habits: Habits,
    ) -> Self {
        Self {
            me,
            name,
            identity,
            manner,
            habits,
            phase: Phase::Away,
            wire: None,
            answers: Answers::default(),
            bytes: Vec::new(),
            seats: BTreeMap::new(),
            asked: VecDeque::new(),
            quiet_failures: 0,
            reused: BTreeSet::new(),
            used_elsewhere: BTreeSet::new(),
            pings: VecDeque::new(),
            memory: BTreeMap::new(),
            unacknowledged: Vec::new(),
            acknowledged: Vec::new(),
            whispers: BTreeSet::new(),
            is_welcomed: false,
            opened_turn: 0,
            opened_at: Duration::ZERO,
            refused_in_row: 0,
            asks: 0,
            in_instant: (Duration::ZERO, 0),
            provoked: None,
            said_close: false,
            heard_close: None,
            gone_by: None,
            asked_at: Duration::ZERO,
            due: None,
            token_expires: 0,
            asking: None,
            shown: None,
            session: None,
            lapsed_at: None,
            sent: Vec::new(),
            came_at: Duration::ZERO,
            desk: None,
            is_mute: false,
            is_scheduled: false,
            said: 0,
        }
    }

    pub fn schedule(&mut self, stage: &mut Stage, low: u64, high: u64) {
        if !std::mem::replace(&mut self.is_scheduled, true) {
            stage.act_in(self.me, low, high);
        }
    }

    pub fn act(&mut self, stage: &mut Stage) {
        self.is_scheduled = false;
        if stage.at() >= stage.end {
            return;
        }
        match self.phase {
            Phase::Away => self.come(stage),
            Phase::Opening if stage.model.is_late && stage.seed.chance(10) => {
                stage.model.count("handshakes broken off");
                stage.network.reset(self.wire.expect("is connected"));
                self.forget(stage);
                self.schedule(stage, 10, 3_000);
            }
            Phase::Asking | Phase::Opening => self.schedule(stage, 500, 1_500),
            Phase::Open if self.is_mute => {}
            Phase::Open => self.act_open(stage),
            Phase::Leaving => {}
        }
    }

    /// Whether everything that was asked is answered, and everything sent is read.
    pub fn is_settled(&self, stage: &Stage) -> bool {
        let Some(wire) = self.wire else {
            return false;
        };
        let socket = &stage.network.sockets[wire.0];
        self.phase == Phase::Open
            && self.is_answered()
            && self.pings.is_empty()
            && socket.manner.reading == Reading::Prompt
            && !socket.is_blocked
            && socket.down.is_empty()
            && socket.is_read()
    }

    pub fn is_prompt(&self) -> bool {
        self.manner.reading == Reading::Prompt
    }

    /// Whether what it asks arrives at once, and so do the answers.
    pub fn is_swift(&self) -> bool {
        self.is_prompt() && matches!(self.manner.pace, Pace::Whole)
    }

    /// Never kept waiting by its own window: what it reads is of this turn.
    pub fn is_unblocked(&self, stage: &Stage) -> bool {
        self.is_prompt()
            && self
                .wire
                .is_some_and(|wire| !stage.network.sockets[wire.0].was_blocked)
    }

    fn come(&mut self, stage: &mut Stage) {
        if self.habits.lives == 0 {
            return;
        }
        self.habits.lives -= 1;
        stage.model.count("connections");
        let wire = stage.connect(self.me, self.manner);
        self.wire = Some(wire);
        self.came_at = stage.at();
        self.answers = Answers::default();
        self.phase = Phase::Opening;
        if matches!(self.identity, Identity::Impostor) {
            let tries = &mut stage.model.impostors;
            *tries.entry(self.manner.address).or_default() += 1;
        }
        let query = match &self.identity {
            Identity::Guest | Identity::Impostor => format!("username={}", encoded(&self.name)),
            Identity::Holder(key) => {
                let key = key.map_or(String::new(), |key| format!("&key=the+key+of+guest+{key}"));
                format!("username={}{key}", encoded(&self.name))
            }
            Identity::Contender(ticket) => format!("ticket={ticket}"),
            Identity::Member(low, high) => {
                let (low, high) = (*low, *high);
                if stage.seed.chance(25)
                    && let Some(ticket) = stage.take_ticket(Some(&self.name))
                {
                    self.show(ticket, stage);
                    return self.schedule(stage, 500, 1_500);
                }
                self.phase = Phase::Asking;
                self.asked_at = stage.at();
                let token = stage.choose_token(&self.name, (low, high));
                self.asking = Some(token);
                stage.send(wire, ticket_request(token, stage).as_bytes());
                return self.schedule(stage, 500, 1_500);
            }
        };
        self.open(&query, stage);
        self.schedule(stage, 100, 1_500);
    }

    /// Shows a ticket that others show too.
    pub fn contend(&mut self, ticket: String, stage: &mut Stage) {
        self.identity = Identity::Contender(ticket);
        self.habits.lives = 1;
        self.schedule(stage, 0, 3);
    }

    pub(super) fn open(&mut self, query: &str, stage: &mut Stage) {
        let wire = self.wire.expect("is connected");
        self.phase = Phase::Opening;
        self.asked_at = stage.at();
        stage.send(wire, handshake(query).as_bytes());
    }

    fn act_open(&mut self, stage: &mut Stage) {
        let breaks = self.habits.breaks;
        if stage.seed.chance(breaks) {
            return self.break_off(stage);
        }
        if matches!(self.identity, Identity::Member(..))
            && self.desk.is_none()
            && stage.seed.chance(8)
        {
            self.ask_for_longer(stage);
        }
        let mut bytes = Vec::new();
        for _ in 0..=stage.seed.below(self.habits.burst) {
            let (ask, text) = self.choose(stage);
            let content = ask.content().map(str::to_owned);
            self.note_asked(&ask, stage);
            self.asked.push_back(ask);
            self.asks += 1;
            self.push_text(&text, &mut bytes, stage);
            if let Some(content) = content {
                self.note_sent(content, bytes.len(), stage);
            }
        }
        let wire = self.wire.expect("is open");
        stage.send(wire, &bytes);
        let (low, high) = self.habits.think;
        self.schedule(stage, low, high);
    }

    /// Whatever concerned the connection is over.
    pub fn forget(&mut self, stage: &mut Stage) {
        for (room, seat) in std::mem::take(&mut self.seats) {
            self.memory.insert(room, seat.spot);
        }
        let now = stage.at();
        for ask in std::mem::take(&mut self.asked) {
            self.note_left(&ask, stage);
            if let Ask::Say(Say {
                room,
                content,
                id: Some(id),
                is_reuse: false,
                ..
            }) = ask
            {
                self.unacknowledged.push((room, content, id, now));
            }
        }
        if let Some((desk, ..)) = self.desk.take() {
            stage.network.reset(desk);
        }
        self.quiet_failures = 0;
        self.phase = Phase::Away;
        self.wire = None;
        self.bytes.clear();
        self.pings.clear();
        self.whispers.clear();
        self.acknowledged.clear();
        self.refused_in_row = 0;
        self.asks = 0;
        self.provoked = None;
        self.said_close = false;
        self.is_welcomed = false;
        self.heard_close = None;
        self.gone_by = None;
        self.due = None;
        self.asking = None;
        self.shown = None;
        self.session = None;
        self.lapsed_at = None;
        self.sent.clear();
        self.is_mute = false;
    }

    /// Bytes for it on one of its connections.
    pub fn read(&mut self, wire: Wire, bytes: &[u8], stage: &mut Stage) {
        if Some(wire) == self.wire {
            match self.phase {
                Phase::Asking | Phase::Opening => self.read_http(bytes, stage),
                _ => self.read_frames(bytes, stage),
            }
        } else if let Some((desk, answers, token, asked)) = &mut self.desk
            && *desk == wire
        {
            answers.bytes.extend_from_slice(bytes);
            if let Some(answer) = answers.next(false) {
                let (token, asked) = (*token, *asked);
                self.desk = None;
                stage.network.reset(wire);
                self.extend(answer.status, &answer.body, (token, asked), stage);
            }
        }
    }

    fn read_http(&mut self, bytes: &[u8], stage: &mut Stage) {
        self.answers.bytes.extend_from_slice(bytes);
        let Some(answer) = self.answers.next(false) else {
            return;
        };
        match (answer.status, self.phase) {
            (101, Phase::Opening) => {
                assert_eq!(answer.field("Sec-WebSocket-Accept"), Some(ACCEPT));
                self.phase = Phase::Open;
                self.opened_turn = stage.model.turn;
                self.opened_at = stage.at();
                if stage.at() > self.asked_at + WAITED && self.is_swift() {
                    stage.model.count("handshakes that waited");
                }
                let rest = std::mem::take(&mut self.answers.bytes);
                self.read_frames(&rest, stage);
            }
            (200, Phase::Asking) => {
                let ticket = answer.json()["ticket"]
                    .as_str()
                    .expect("a ticket")
                    .to_owned();
                let token = self.asking.take().expect("was asked for");
                stage.gives_ticket(200, token, self.asked_at);
                let ticket = stage.keep_ticket(&ticket, token, self.asked_at, false);
                self.show(ticket, stage);
            }
            (429, Phase::Opening) => {
                let is_guest = matches!(self.identity, Identity::Guest | Identity::Impostor);
                let tries = stage.model.impostors.get(&self.manner.address);
                let is_spent = tries.is_some_and(|tries| *tries > GUEST_REFUSALS);
                assert!(is_guest && is_spent, "{} was throttled", self.name);
                stage.model.count("guests throttled");
                self.phase = Phase::Leaving;
                stage.finish(self.wire.expect("is connected"));
            }
            (401, Phase::Asking) => {
                let token = self.asking.take().expect("was asked for");
                stage.gives_ticket(401, token, self.asked_at);
                stage.model.count("answered 401");
                self.phase = Phase::Leaving;
                stage.finish(self.wire.expect("is connected"));
            }
            (408 | 503, _) => {
                // A head that is sent byte by byte may take too long.
                let is_late = stage.at() >= self.came_at + HEAD_TIMEOUT;
                assert!(answer.status != 408 || is_late, "408 too soon");
                stage.model.count(&format!("answered {}", answer.status));
                if answer.json()["error"]["code"] == "backend_unavailable" {
                    assert!(stage.model.is_late, "there is no backend");
                    stage.model.count("handshakes given up");
                }
                self.phase = Phase::Leaving;
                stage.finish(self.wire.expect("is connected"));
            }
            (status, phase) => panic!("{status} while {phase:?} {:?}", self.wire),
        }
    }

    fn read_frames(&mut self, bytes: &[u8], stage: &mut Stage) {
        self.bytes.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.bytes);
        let mut at = 0;
        while let Some((first, payload, length)) = super::reading::read_frame(&all[at..]) {
            self.frame(first, payload, stage);
            at += length;
        }
        self.bytes = all[at..].to_vec();
    }
}
