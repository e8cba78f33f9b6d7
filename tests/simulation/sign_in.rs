//! A client of plain HTTP that signs in, and uses what it was given.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use super::network::Wire;
use super::reading::Answer;
use super::stage::{Stage, post};
use super::web::{Ask, Web};

/// When a sign-in was logged out, shared by its tokens.
pub type Family = Rc<Cell<Option<Duration>>>;

/// A token of ours, as it was given.
#[derive(Clone, Debug)]
pub struct Token {
    text: String,
    /// Its sign-in, which a logout ends as a whole.
    family: Family,
    issued_at: u64,
    expires_at: u64,
}

impl Web {
    pub(super) fn use_tokens(&mut self, wire: Wire, stage: &mut Stage) {
        if !self.asked.is_empty() && !stage.seed.chance(20) {
            return;
        }
        if self.asked.is_empty() {
            self.asked_at = stage.at();
        }
        let token = self
            .tokens
            .last()
            .filter(|_| stage.seed.chance(80))
            .cloned();
        let Some(token) = token else {
            return self.log_in(wire, stage);
        };
        let (path, ask) = match stage.seed.below(8) {
            0 => ("/auth/logout", Ask::WithToken("logout")),
            1 => ("/auth/refresh", Ask::Refresh),
            _ => ("/auth/ws-ticket", Ask::WithToken("ticket")),
        };
        // One at a time, so that it is known which token an answer is about.
        if self.asked.is_empty() {
            self.asked.push_back(ask);
            stage.send(wire, post(path, "", Some(&token.text)).as_bytes());
        }
    }

    fn log_in(&mut self, wire: Wire, stage: &mut Stage) {
        let (verdict, delay) = match stage.seed.below(10) {
            0..=4 => ("yes", stage.seed.between(0, 3_000)),
            5..=7 => ("no", stage.seed.between(0, 3_000)),
            8 => ("yes", stage.seed.between(20_000, 59_000)),
            _ => ("yes", stage.seed.between(61_000, 90_000)),
        };
        let has_account = stage.seed.chance(85);
        let name = if has_account {
            stage.seed.pick(&["admin", "계정"])
        } else {
            "nobody"
        };
        self.count += 1;
        let password = format!("{verdict} {delay} {}", self.count);
        let body = json!({"username": name, "password": password}).to_string();
        stage.send(wire, post("/auth/login", &body, None).as_bytes());
        self.asked.push_back(Ask::Login {
            verdict,
            has_account,
            delay,
        });
    }

    pub(super) fn guess(&mut self, wire: Wire, stage: &mut Stage) {
        self.guessing_since.get_or_insert(stage.at());
        self.count += 1;
        let password = format!("no 5 {}", self.count);
        let name = format!("{}번", self.me);
        let body = json!({"username": name, "password": password}).to_string();
        stage.send(wire, post("/auth/login", &body, None).as_bytes());
        self.asked.push_back(Ask::Guess);
    }

    /// Five guesses are free; then each costs at least a second.
    pub(super) fn guessed(&mut self, status: u16, stage: &mut Stage) {
        assert!(
            [401, 429, 503].contains(&status),
            "a guess is answered {status}"
        );
        self.guesses += u64::from(status == 401);
        let began = self.guessing_since.expect("has begun");
        let most = 5 + (stage.at() - began).as_secs();
        assert!(
            self.guesses <= most,
            "{} guesses, {most} are possible",
            self.guesses
        );
    }

    /// Keeps a token of a new sign-in, or one that was refreshed in a family.
    pub(super) fn keep_token(
        &mut self,
        answer: &Answer,
        family: Option<Family>,
        stage: &mut Stage,
    ) {
        let body = answer.json();
        let now = stage.unix_secs();
        if self.has_clock_jumped(stage) {
            // It is not known when it was issued.
            return;
        }
        self.tokens.push(Token {
            text: body["access_token"].as_str().expect("a token").to_owned(),
            issued_at: now,
            expires_at: now + body["expires_in"].as_u64().expect("seconds"),
            family: family.unwrap_or_default(),
        });
        // The one that is used next is any of those there were.
        let last = self.tokens.len() - 1;
        let other = stage.seed.below(self.tokens.len());
        self.tokens.swap(last, other);
    }

    /// Whether the wall clock has jumped since the question was asked.
    fn has_clock_jumped(&self, stage: &Stage) -> bool {
        stage.model.jumped_at >= self.asked_at && stage.model.jumped_at > Duration::ZERO
    }

    /// Compares what came of using a token; returns its family.
    pub(super) fn used_token(
        &mut self,
        what: &'static str,
        status: u16,
        stage: &mut Stage,
    ) -> Family {
        let now = stage.unix_secs();
        let has_jumped = self.has_clock_jumped(stage);
        let token = self.tokens.last_mut().expect("was used");
        // What is decided within two seconds of a limit may go either way.
        let is_old = now + 2 >= token.expires_at;
        let is_surely_old = now >= token.expires_at + 2;
        let is_early = token.issued_at + 2 > now + 60;
        // A clock that was ahead may have had the server forget what was revoked.
        let jumped_at = stage.model.jumped_at;
        let family = token.family.clone();
        let is_forgotten = family.get().is_some_and(|at| at <= jumped_at);
        if has_jumped || is_forgotten {
            // It is not known by which time it was judged.
        } else if family.get().is_some() {
            assert_eq!(
                status, 401,
                "a token that was logged out opens nothing ({what})"
            );
            stage.model.count("revoked tokens refused");
        } else if is_surely_old {
            assert_eq!(
                status, 401,
                "a token that has expired opens nothing ({what})"
            );
        } else if !is_old && !is_early && what != "refresh" {
            assert!(
                [200, 204, 503].contains(&status),
                "a good token is refused ({what}): {status}"
            );
        }
        if status == 204 {
            family.set(Some(stage.at()));
        }
        let last = self.tokens.len() - 1;
        let other = stage.seed.below(self.tokens.len());
        self.tokens.swap(last, other);
        family
    }
}
