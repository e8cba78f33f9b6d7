//! A client of plain HTTP: pages and rooms, signing in, and those who mean no good or take their time.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::json;

use super::model::TicketUse;
use super::network::{Manner, Wire};
use super::reading::{Answer, Answers};
use super::register::TokenId;
use super::sign_in::Use;
use super::stage::{Stage, encoded, get, post, post_in_chunks};
use super::told::LATE;

#[derive(Clone, Debug)]
pub enum Role {
    /// Connects and says nothing.
    Silent,
    /// Sends a head, or a body, too slowly.
    Loris { is_body: bool },
    /// Is answered and then says nothing.
    Idle,
    /// Reads pages and rooms.
    Browser,
    /// Sends what is no HTTP.
    Garbage,
    /// Signs in, and does what a token allows.
    Member,
    /// Guesses a password.
    Guesser,
    /// Logs out one token after the other, all of one user.
    Quitter,
    /// Refreshes more often than it may.
    Refresher,
    /// Posts figures, and events of channels of its own.
    Poster,
    /// Takes a ticket and gives it to several.
    Racer { contenders: Vec<usize> },
}

/// What was asked and not answered.
#[derive(Clone, Debug)]
pub enum Ask {
    /// One of these statuses.
    Status(bool, &'static [u16]),
    Login {
        name: &'static str,
        password: String,
        delay: u64,
    },
    Ticket {
        token: String,
    },
    Guess,
    /// With somebody's token: what for, and when that was, by both clocks.
    WithToken {
        what: Use,
        token: TokenId,
        at: Duration,
        unix_secs: u64,
    },
}

pub struct Web {
    pub me: usize,
    manner: Manner,
    pub(super) role: Role,
    lives: usize,
    wire: Option<Wire>,
    answers: Answers,
    pub(super) asked: VecDeque<Ask>,
    /// Tokens that were logged out over this connection.
    pub(super) logged_out: Vec<TokenId>,
    /// When it must be over, not before and not after.
    ends: Option<(Duration, Duration)>,
    /// It has asked the server to close, or has closed.
    is_closing: bool,
    pub(super) count: u64,
    pub(super) guesses: u64,
    pub(super) guessing_since: Option<Duration>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Web {
    pub fn new(me: usize, manner: Manner, role: Role, lives: usize) -> Self {
        Self {
            me,
            manner,
            role,
            lives,
            wire: None,
            answers: Answers::default(),
            asked: VecDeque::new(),
            logged_out: Vec::new(),
            ends: None,
            is_closing: false,
            count: 0,
            guesses: 0,
            guessing_since: None,
        }
    }

    pub(super) fn is_member(&self) -> bool {
        matches!(self.role, Role::Member)
    }

    pub(super) fn wire(&self) -> Option<Wire> {
        self.wire.filter(|_| !self.is_closing)
    }

    pub fn act(&mut self, stage: &mut Stage) {
        if stage.at() >= stage.end {
            return;
        }
        match self.wire {
            None if self.lives == 0 => return,
            None => self.come(stage),
            Some(wire) if !self.is_closing => self.go_on(wire, stage),
            Some(_) => {}
        }
        let (low, high) = match self.role {
            Role::Loris { .. } => (700, 2_000),
            Role::Poster => (1, 200),
            Role::Guesser | Role::Quitter => (1, 300),
            _ => (20, 4_000),
        };
        stage.act_in(self.me, low, high);
    }

    fn come(&mut self, stage: &mut Stage) {
        self.lives -= 1;
        let wire = stage.connect(self.me, self.manner);
        self.wire = Some(wire);
        self.answers = Answers::default();
        self.is_closing = false;
        self.logged_out.clear();
        self.count = 0;
        let now = stage.at();
        match self.role {
            Role::Silent => self.ends = Some((now + 10 * SECOND, now + 10 * SECOND + LATE)),
            Role::Idle => {
                stage.send(wire, get("/livez", None).as_bytes());
                self.asked.push_back(Ask::Status(false, &[200]));
            }
            Role::Garbage => {
                let count = 1 + stage.seed.below(300);
                let bytes = stage.seed.bytes(count);
                stage.send(wire, &bytes);
                self.is_closing = true;
                // Refused at once, or waited for until the head is late; then 2 seconds to go.
                self.ends = Some((now, now + 14 * SECOND));
            }
            _ => self.go_on(wire, stage),
        }
        if let Some((_, by)) = self.ends {
            stage.judge_at(self.me, wire, by);
        }
    }

    fn go_on(&mut self, wire: Wire, stage: &mut Stage) {
        match self.role.clone() {
            Role::Browser => self.browse(wire, stage),
            Role::Loris { is_body } => self.trickle(wire, is_body, stage),
            Role::Poster => self.post_figures(wire, stage),
            Role::Member => self.use_tokens(wire, stage),
            Role::Guesser if self.asked.is_empty() => self.guess(wire, stage),
            Role::Quitter if self.asked.is_empty() => self.quit_many(wire, stage),
            Role::Refresher if self.asked.is_empty() => self.refresh_many(wire, stage),
            Role::Racer { .. } if self.asked.is_empty() && self.count == 0 => {
                self.count = 1;
                let token = stage.model.safe_token("경주자");
                stage.send(wire, post("/auth/ws-ticket", "", Some(&token)).as_bytes());
                self.asked.push_back(Ask::Ticket { token });
            }
            _ => {}
        }
    }

    fn trickle(&mut self, wire: Wire, is_body: bool, stage: &mut Stage) {
        self.count += 1;
        let seconds = if is_body { 30 } else { 10 };
        if self.count == 1 {
            let begin = match is_body {
                true => "POST /auth/login HTTP/1.1\r\nHost: sarang\r\nContent-Length: 200\r\n\r\n",
                false => "GET / HTTP/1.1\r\nHost: ",
            };
            stage.send(wire, begin.as_bytes());
            self.asked.push_back(Ask::Status(false, &[408]));
            // It runs from when the last byte of the beginning came, which a slow wire brings later.
            let by = stage.at() + (seconds + 2) * SECOND + LATE + 6 * SECOND;
            self.ends = Some((stage.at() + seconds * SECOND, by));
            stage.judge_at(self.me, wire, by);
        } else {
            stage.send(wire, b" ");
        }
    }

    fn browse(&mut self, wire: Wire, stage: &mut Stage) {
        let token = stage.model.pass("독자");
        let token = token.as_deref();
        let room = encoded(&format!("방 {}", stage.seed.below(4)));
        let mut bytes = String::new();
        for _ in 0..=stage.seed.below(4) {
            let (request, ask) = match stage.seed.below(10) {
                0 => (get("/", None), Ask::Status(false, &[200])),
                1 => (
                    get("/dashboard", None).replacen("GET", "HEAD", 1),
                    Ask::Status(true, &[200]),
                ),
                2 => (get("/nowhere", None), Ask::Status(false, &[404])),
                3 => (get("/ws", None), Ask::Status(false, &[426])),
                4 => (get("/rooms", token), Ask::Status(false, &[200])),
                5 => (
                    get(&format!("/rooms/{room}/history"), token),
                    Ask::Status(false, &[200, 404]),
                ),
                6 => (get("/metrics", token), Ask::Status(false, &[200])),
                7 => (post("/livez", "", None), Ask::Status(false, &[405])),
                8 => {
                    let max_users = 1 + stage.seed.below(12);
                    let body = json!({"name": format!("만든 방 {}", stage.seed.below(5)), "max_users": max_users});
                    stage.model.count("rooms asked for in chunks");
                    (
                        post_in_chunks("/rooms", &body.to_string(), token, max_users),
                        Ask::Status(false, &[201, 409, 429, 503]),
                    )
                }
                _ => (post("/rooms", "{", token), Ask::Status(false, &[400])),
            };
            bytes += &request;
            self.asked.push_back(ask);
        }
        stage.send(wire, bytes.as_bytes());
        match stage.seed.below(8) {
            0 => {
                // Whoever has ended its direction is still answered.
                self.is_closing = true;
                stage.finish(wire);
            }
            1 => {
                stage.network.reset(wire);
                self.forget();
            }
            _ => {}
        }
    }

    fn post_figures(&mut self, wire: Wire, stage: &mut Stage) {
        let token = stage.model.pass("가게");
        let mut bytes = String::new();
        for _ in 0..=stage.seed.below(4) {
            self.count += 1;
            let notes = "x".repeat(stage.seed.below(3_500));
            let (channel, body) = match self.count % 8 {
                0 => ("business", json!({"revenue": null, "notes": null})),
                1 | 2 => ("deploys", json!({"n": self.count, "\u{2028}": "\u{85}\n"})),
                3 => ("alarms", json!({"n": self.count, "notes": notes})),
                _ => ("business", json!({"revenue": self.count, "notes": notes})),
            };
            let (target, body) = (format!("/events/{channel}"), body.to_string());
            bytes += &match self.count % 3 {
                0 => {
                    stage.model.count("figures in chunks");
                    post_in_chunks(&target, &body, token.as_deref(), 1_000)
                }
                _ => post(&target, &body, token.as_deref()),
            };
            self.asked.push_back(Ask::Status(false, &[200]));
        }
        stage.send(wire, bytes.as_bytes());
    }

    pub fn forget(&mut self) {
        self.wire = None;
        self.asked.clear();
        self.ends = None;
        self.is_closing = false;
    }

    pub fn read(&mut self, wire: Wire, bytes: &[u8], stage: &mut Stage) {
        if Some(wire) != self.wire {
            return;
        }
        self.answers.bytes.extend_from_slice(bytes);
        loop {
            let is_head = matches!(self.asked.front(), Some(Ask::Status(true, _)));
            let Some(answer) = self.answers.next(is_head) else {
                return;
            };
            stage.model.count(&format!("answered {}", answer.status));
            if stage.network.sockets[wire.0].was_refused {
                assert_eq!(answer.status, 503);
                self.is_closing = true;
                return stage.finish(wire);
            }
            if matches!(self.role, Role::Garbage) {
                assert!(answer.status >= 400, "{answer:?}");
                continue;
            }
            if let Some(ask) = self.asked.pop_front() {
                self.answered(ask, &answer, stage);
            } else {
                assert_eq!(answer.status, 408, "an answer to nothing: {answer:?}");
            }
            let is_last = answer.field("Connection") == Some("close");
            if is_last && answer.status == 503 && stage.model.is_late {
                // The backend has not answered in time: nothing behind it is.
                stage.model.count("rooms given up");
                self.asked.clear();
            }
            self.is_closing |= is_last;
        }
    }

    fn answered(&mut self, ask: Ask, answer: &Answer, stage: &mut Stage) {
        let status = answer.status;
        match ask {
            Ask::Status(_, statuses) => {
                assert!(statuses.contains(&status), "{statuses:?}: {answer:?}")
            }
            Ask::Login {
                name,
                password,
                delay,
            } => self.logged_in((name, &password, delay), answer, stage),
            Ask::Ticket { token } if status == 200 => self.race(&token, answer, stage),
            Ask::Ticket { .. } => assert!([408, 503].contains(&status), "{status}"),
            Ask::Guess => self.guessed(status, stage),
            Ask::WithToken {
                what,
                token,
                at,
                unix_secs,
            } => self.used_token(what, token, (at, unix_secs), answer, stage),
        }
        if matches!(self.role, Role::Idle)
            && let Some(keep_alive) = stage.model.config.keep_alive
        {
            let at = stage.at() + keep_alive;
            self.ends = Some((at - LATE, at + LATE));
            stage.judge_at(self.me, self.wire.expect("is connected"), at + LATE);
        }
    }

    fn race(&mut self, token: &str, answer: &Answer, stage: &mut Stage) {
        let ticket = answer.json()["ticket"]
            .as_str()
            .expect("a ticket")
            .to_owned();
        stage.note_ticket(&ticket, token);
        stage
            .model
            .tickets
            .insert(ticket.clone(), TicketUse::default());
        if let Role::Racer { contenders } = &self.role {
            for contender in contenders {
                stage.handed_out.push((*contender, ticket.clone()));
            }
        }
        self.is_closing = true;
        stage.finish(self.wire.expect("is connected"));
    }

    pub fn ended(&mut self, wire: Wire, stage: &mut Stage) {
        if Some(wire) != self.wire {
            return;
        }
        let now = stage.at();
        let socket = &stage.network.sockets[wire.0];
        if !socket.was_refused && !stage.model.is_ending {
            if let Some((from, _)) = self.ends {
                assert!(
                    now + LATE >= from,
                    "{:?} is over at {now:?}, before {from:?}",
                    self.role
                );
            }
            let keep_alive = stage.model.config.keep_alive;
            let is_idle = keep_alive.is_some_and(|time| now + LATE >= socket.heard_at + time);
            assert!(
                self.is_closing || self.ends.is_some() || is_idle,
                "{:?} was dropped {wire:?}",
                self.role
            );
            let is_login = matches!(self.asked.front(), Some(Ask::Login { .. } | Ask::Guess));
            if !matches!(self.role, Role::Garbage) && !is_login {
                assert!(
                    self.asked.is_empty(),
                    "not answered: {:?} of {:?}",
                    self.asked,
                    self.role
                );
                assert!(self.answers.bytes.is_empty(), "the end cuts nothing");
            }
        }
        stage.finish(wire);
        self.forget();
    }

    pub fn judge(&mut self, wire: Wire, stage: &mut Stage) {
        if Some(wire) == self.wire
            && !stage.is_over(wire)
            && let Some((_, by)) = self.ends
        {
            assert!(
                stage.at() < by,
                "{:?} is still here at {:?}, after {by:?}",
                self.role,
                stage.at()
            );
        }
    }
}
