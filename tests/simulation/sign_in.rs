//! A client of plain HTTP that signs in, and uses what it was given, and what others were.

use std::time::Duration;

use serde_json::json;

use super::network::Wire;
use super::reading::Answer;
use super::register::{FAR, Token, TokenId};
use super::sessions::by;
use super::stage::{Stage, get, post};
use super::verdicts::{Verdict, Why};
use super::web::{Ask, Role, Web};

/// What a token is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Logout,
    Refresh,
    Ticket,
    /// A page that is for those who have signed in.
    Rooms,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Self::Logout => "logouts",
            Self::Refresh => "refreshes",
            Self::Ticket => "requests for tickets",
            Self::Rooms => "pages",
        }
    }

    fn request(self, token: &str) -> String {
        match self {
            Self::Logout => post("/auth/logout", "", Some(token)),
            Self::Refresh => post("/auth/refresh", "", Some(token)),
            Self::Ticket => post("/auth/ws-ticket", "", Some(token)),
            Self::Rooms => get("/rooms", Some(token)),
        }
    }
}

/// Whoever logs out of more sessions than are remembered one by one.
const QUITTERS: [&str; 3] = ["회원 3", "계정", "admin"];
/// How often they do that over one connection, some at a time.
const QUITS_MAX: u64 = 9;
/// How long a token of ours may be refreshed after its sign-in, in seconds.
const REFRESH_SECS: u64 = 24 * 60 * 60;

impl Web {
    pub(super) fn use_tokens(&mut self, wire: Wire, stage: &mut Stage) {
        if !self.asked.is_empty() && !stage.seed.chance(20) {
            return;
        }
        if self.asked.is_empty() && !stage.seed.chance(20) {
            let mut bytes = String::new();
            for _ in 0..=stage.seed.below(3) {
                // Mostly one of ours; now and then another user's, or one of another back end.
                let user = stage.seed.pick(&[Some("admin"), Some("계정"), None]);
                if let Some(token) = stage.pick_token(user) {
                    let what = choose_use(stage);
                    bytes += &self.ask(what, token, stage);
                }
            }
            if !bytes.is_empty() {
                return stage.send(wire, bytes.as_bytes());
            }
        }
        let is_login = |ask: &Ask| matches!(ask, Ask::Login { .. });
        if self.asked.len() < 2 && self.asked.iter().all(is_login) {
            self.log_in(wire, stage);
        }
    }

    /// Asks for something with a token; the request.
    fn ask(&mut self, what: Use, token: TokenId, stage: &mut Stage) -> String {
        let now = stage.now();
        let register = &mut stage.model.register;
        match what {
            Use::Logout => register.log_out(token, now),
            Use::Refresh => register.refreshes.ask(&register.tokens[token].user, true),
            Use::Ticket | Use::Rooms => {}
        }
        self.asked.push_back(Ask::WithToken {
            what,
            token,
            at: now.monotonic,
            unix_secs: now.unix.as_secs(),
        });
        what.request(&register.tokens[token].text)
    }

    fn log_in(&mut self, wire: Wire, stage: &mut Stage) {
        let delay = match stage.seed.below(10) {
            0..=7 => stage.seed.between(0, 3_000),
            8 => stage.seed.between(20_000, 59_000),
            _ => stage.seed.between(61_000, 90_000),
        };
        let name = stage.seed.pick(&["admin", "admin", "계정", "nobody"]);
        let version = stage.model.register.password_of(name).unwrap_or(0);
        let version = match stage.seed.below(10) {
            0..=6 => version.to_string(),
            7 => (version + 1).to_string(),
            _ => "no".to_owned(),
        };
        self.log_in_as(name, (&version, delay), wire, stage);
    }

    /// An account has another password, and some know it at once.
    pub fn sign_in_again(&mut self, name: &'static str, stage: &mut Stage) {
        let version = stage.model.register.password_of(name);
        let (Some(wire), Some(version)) = (self.wire(), version) else {
            return;
        };
        let is_idle = self.is_member() && self.asked.is_empty();
        if is_idle && stage.at() < stage.end && stage.seed.chance(50) {
            let delay = stage.seed.between(0, 300);
            self.log_in_as(name, (&version.to_string(), delay), wire, stage);
        }
    }

    fn log_in_as(
        &mut self,
        name: &'static str,
        (version, delay): (&str, u64),
        wire: Wire,
        stage: &mut Stage,
    ) {
        self.count += 1;
        let number = self.count;
        let password = format!("{version} {delay} {}-{wire:?}-{number} {name}", self.me);
        let body = json!({"username": name, "password": password}).to_string();
        stage.send(wire, post("/auth/login", &body, None).as_bytes());
        self.asked.push_back(Ask::Login {
            name,
            password,
            delay,
        });
    }

    /// A sign-in is answered: with a token exactly if the password was right, and in force when the server learned that.
    pub(super) fn logged_in(
        &mut self,
        (name, password, delay): (&'static str, &str, u64),
        answer: &Answer,
        stage: &mut Stage,
    ) {
        let checked = stage.model.register.checks.get(password);
        let is_good = checked.is_some_and(|checked| checked.is_good);
        let is_fine = match answer.status {
            200 => is_good && delay <= 60_100,
            401 => checked.is_some() && !is_good,
            429 => answer.field("Retry-After").is_some(),
            503 => true,
            _ => false,
        };
        assert!(
            is_fine,
            "{} to {name} with {password}: {checked:?}",
            answer.status
        );
        if answer.status != 200 {
            return;
        }
        let now = stage.now();
        let register = &mut stage.model.register;
        let token = register.signed_in(name, password, &token_in(answer), now);
        let marks = register.marks.get(name).into_iter().flatten();
        let second = register.tokens[token].issued_at;
        let mut same = marks.filter(|mark| mark.unix_secs == second);
        if same.next().is_some() && register.doom(token).maybe.is_none() {
            stage.model.count("sign-ins in the second of an end");
        }
    }

    pub(super) fn guess(&mut self, wire: Wire, stage: &mut Stage) {
        self.guessing_since.get_or_insert(stage.at());
        self.count += 1;
        let name = format!("{}번", self.me);
        let password = format!("no 5 {wire:?}-{} {name}", self.count);
        let body = json!({"username": name, "password": password}).to_string();
        stage.send(wire, post("/auth/login", &body, None).as_bytes());
        self.asked.push_back(Ask::Guess);
    }

    /// Five guesses are free; then those of the first lane cost 1, 2, 4 … 60 seconds, and those of the second 5.
    pub(super) fn guessed(&mut self, status: u16, stage: &mut Stage) {
        assert!(
            [401, 429, 503].contains(&status),
            "a guess is answered {status}"
        );
        self.guesses += u64::from(status == 401);
        if self.guesses > 5 && status == 401 {
            stage.model.count("guesses beyond the free ones");
        }
        let began = self.guessing_since.expect("has begun");
        let seconds = (stage.at() - began).as_secs();
        let in_first = 5 + u64::from((seconds + 1).ilog2().min(6)) + seconds / 60;
        let most = in_first + 1 + seconds / 5;
        assert!(
            self.guesses <= most,
            "{} guesses, {most} are possible",
            self.guesses
        );
    }

    /// Logs out some of one user's sessions, each of them once: after a few such more than are remembered.
    pub(super) fn quit_many(&mut self, wire: Wire, stage: &mut Stage) {
        self.count += 1;
        if self.count > QUITS_MAX {
            return;
        }
        let user = QUITTERS[self.me % QUITTERS.len()];
        let mut bytes = String::new();
        for _ in 0..12 {
            let now = stage.now();
            let times = (Some(now.unix.as_secs()), FAR);
            let token = stage.model.register.mint(user, 0, times, now);
            bytes += &self.ask(Use::Logout, token, stage);
        }
        stage.send(wire, bytes.as_bytes());
    }

    /// Refreshes one token many times.
    pub(super) fn refresh_many(&mut self, wire: Wire, stage: &mut Stage) {
        let user = stage.seed.pick(&["admin", "계정"]);
        let found = stage.pick_token(Some(user));
        let register = &stage.model.register;
        let Some(token) = found.filter(|token| register.tokens[*token].is_ours()) else {
            return self.log_in(wire, stage);
        };
        let mut bytes = String::new();
        for _ in 0..12 {
            bytes += &self.ask(Use::Refresh, token, stage);
        }
        stage.send(wire, bytes.as_bytes());
    }

    /// Logs out of something while everybody goes.
    pub fn log_out_at_last(&mut self, stage: &mut Stage) {
        let token = stage.pick_token(None);
        let (Some(wire), Some(token)) = (self.wire(), token) else {
            return;
        };
        // The end of one that is silent is expected, and would not come.
        let is_silent = matches!(self.role, Role::Silent);
        if self.asked.is_empty() && !is_silent && !stage.is_over(wire) {
            let request = self.ask(Use::Logout, token, stage);
            stage.send(wire, request.as_bytes());
        }
    }

    /// What was asked with a token is answered, whatever has become of that token.
    pub(super) fn used_token(
        &mut self,
        what: Use,
        token: TokenId,
        (asked, unix_secs): (Duration, u64),
        answer: &Answer,
        stage: &mut Stage,
    ) {
        let (now, status) = (stage.now(), answer.status);
        let register = &mut stage.model.register;
        if what == Use::Refresh {
            register.refreshes.ask(&register.tokens[token].user, false);
        }
        let is_out = |other: &TokenId| register.is_same_family(token, *other);
        let verdict = match self.logged_out.iter().any(is_out) {
            true => Verdict::Bad(Why::Logout),
            false => register.verdict(token, asked, now.monotonic),
        };
        let is_throttled = what == Use::Refresh
            && status == 429
            && register
                .refreshes
                .may_be_throttled(&register.tokens[token].user, now.monotonic);
        let claims = register.tokens[token].clone();
        let is_untimely = stage.may_be_untimely(token, asked);
        let is_surely_old = unix_secs >= claims.expires_at && stage.model.jumped_at < asked;
        // One of the server's own tokens ends its sign-in also when it has expired, and again when that is forgotten
        // because every token of it has expired.
        let may_be_old = is_untimely || now.unix.as_secs() >= claims.expires_at;
        let is_late_logout = what == Use::Logout && claims.authenticated_at.is_some() && may_be_old;
        match verdict {
            Verdict::Bad(Why::Logout) | Verdict::Good | Verdict::Either if is_late_logout => {
                assert!([204, 401].contains(&status), "an old token: {status}");
                if is_surely_old && status == 204 {
                    stage.model.count("logouts with an old token");
                }
            }
            Verdict::Bad(why) => {
                let name = what.name();
                assert_eq!(status, 401, "{name} after an end {} of {claims:?}", by(why));
                stage.model.count(&format!("{name} refused {}", by(why)));
            }
            _ if is_surely_old => assert_eq!(status, 401, "{what:?} with an old token"),
            Verdict::Good if !is_untimely => {
                assert!(
                    is_throttled || is_right(what, status, &claims, unix_secs),
                    "{what:?} with a good token: {status} {claims:?}"
                );
            }
            _ => assert!(
                is_throttled || [200, 204, 401].contains(&status),
                "{what:?}: {status}"
            ),
        }
        if is_throttled {
            assert!(answer.field("Retry-After").is_some(), "when to come again");
            stage.model.count("refreshes throttled");
        }
        self.learn(what, token, (asked, unix_secs), answer, stage);
    }

    fn learn(
        &mut self,
        what: Use,
        token: TokenId,
        asked: (Duration, u64),
        answer: &Answer,
        stage: &mut Stage,
    ) {
        let now = stage.now();
        let register = &mut stage.model.register;
        match (what, answer.status) {
            (Use::Logout, 204) => {
                register.logged_out(token, asked, stage.model.jumped_at, now);
                self.logged_out.push(token);
                let is_draining = stage.model.is_draining;
                stage.model.count("logouts");
                if is_draining {
                    stage.model.count("logouts while draining");
                }
            }
            (Use::Refresh, 200) => {
                register.refreshed(token, &token_in(answer), now);
                stage.model.count("refreshes");
            }
            (Use::Ticket, 200) => {
                let ticket = answer.json()["ticket"].clone();
                let ticket = ticket.as_str().expect("a ticket");
                stage.keep_ticket(ticket, token, asked.0, true);
            }
            _ => {}
        }
    }
}

fn token_in(answer: &Answer) -> String {
    let body = answer.json();
    body["access_token"].as_str().expect("a token").to_owned()
}

fn choose_use(stage: &mut Stage) -> Use {
    match stage.seed.below(10) {
        0 => Use::Logout,
        1..=2 => Use::Refresh,
        3..=4 => Use::Ticket,
        _ if stage.model.config.is_demo() => Use::Ticket,
        _ => Use::Rooms,
    }
}

/// Whether that is the answer for a token that is good.
fn is_right(what: Use, status: u16, token: &Token, unix_secs: u64) -> bool {
    match (what, token.authenticated_at) {
        (Use::Logout, _) => status == 204,
        (Use::Ticket | Use::Rooms, _) => status == 200,
        (Use::Refresh, None) => status == 401,
        (Use::Refresh, Some(at)) => {
            status == 200 || (status == 401 && unix_secs + 2 >= at + REFRESH_SECS)
        }
    }
}
