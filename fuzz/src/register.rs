//! The truth about tokens and what was opened with them: what may have ended, what surely has, and since when.
//!
//! A sign-out takes effect somewhere between its request and its answer; in between, what was asked may go either way. A
//! reload takes effect at a point that is known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sarang::domain::issuer::{Issuer, Run};
use sarang::domain::time::Now;
use sarang::domain::tokens::{Identity, identify};
use sarang::wire::jwt::{Key, verify};
use serde_json::json;

use super::files::{Files, SECRETS};
use super::refreshes::Refreshes;
use super::verdicts::{Doom, Mark, Verdict, Why};

/// A token, by its place in the register.
pub type TokenId = usize;
/// A ticket, by its place in the register.
pub type TicketId = usize;

/// A token as its holders know it.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub user: String,
    family: usize,
    pub issued_at: u64,
    pub expires_at: u64,
    /// When its holders have known it.
    known: Duration,
    key: usize,
    /// When the password was checked, of one of ours.
    pub authenticated_at: Option<u64>,
    doom: Doom,
}

impl Token {
    pub fn is_ours(&self) -> bool {
        self.authenticated_at.is_some()
    }
}

/// A ticket as its holders know it.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub text: String,
    pub token: TokenId,
    /// When it was asked for and when it was known.
    pub asked: Duration,
    pub known: Duration,
    /// What a late backend said of it, and what had to come of that when the server learned it.
    pub redeemed: Option<(bool, Verdict)>,
}

/// A password check whose result the server was told.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    pub at: Duration,
    /// The password was right, and still in force.
    pub is_good: bool,
}

/// All tokens and tickets.
#[derive(Debug)]
pub struct Register {
    pub keys: Vec<Key>,
    /// As the server has it, for identities that come back from outside.
    issuer: Issuer,
    token_ttl_secs: u64,
    in_force: Files,
    /// By secret: when it came into force or went.
    changes: [Vec<(Duration, bool)>; SECRETS],
    pub tokens: Vec<Token>,
    families: Vec<Doom>,
    pub tickets: Vec<Ticket>,
    /// By name.
    pub marks: BTreeMap<String, Vec<Mark>>,
    /// The families of a user that may have been logged out, and the latest `iat` of their tokens; and when others surely were, after which the clock has not
    /// jumped, that are remembered for long.
    maybe_out: BTreeMap<String, (BTreeSet<usize>, u64)>,
    surely_out: BTreeMap<String, VecDeque<(Duration, u64)>>,
    /// By password.
    pub checks: BTreeMap<String, Checked>,
    /// Refreshes by user.
    pub refreshes: Refreshes,
    /// Something has surely ended since connections were looked at last.
    pub is_dirty: bool,
    minted: u64,
}

/// How many tokens are used again.
const RECENT: usize = 300;
/// Revoked sessions of a user that are remembered one by one.
const SHARE: usize = 64;
/// A date so late that no clock comes near it.
pub const FAR: u64 = 4_000_000_000;

impl Register {
    /// Of a server whose tokens live so long, in seconds.
    pub fn new(keys: Vec<Key>, files: Files, token_ttl_secs: u64) -> Self {
        let changes = std::array::from_fn(|key| vec![(Duration::ZERO, files.keys.contains(&key))]);
        Self {
            keys,
            issuer: Issuer::new([0; 8], token_ttl_secs),
            token_ttl_secs,
            in_force: files,
            changes,
            tokens: Vec::new(),
            families: Vec::new(),
            tickets: Vec::new(),
            marks: BTreeMap::new(),
            maybe_out: BTreeMap::new(),
            surely_out: BTreeMap::new(),
            checks: BTreeMap::new(),
            refreshes: Refreshes::default(),
            is_dirty: false,
            minted: 0,
        }
    }

    /// The password of an account that is in force.
    pub fn password_of(&self, name: &str) -> Option<u32> {
        self.in_force.accounts.get(name).copied()
    }

    /// Other files are in force from here on; the names that have another password.
    pub fn put_in_force(&mut self, files: Files, now: Now) -> Vec<&'static str> {
        let mut changed = Vec::new();
        let before = std::mem::replace(&mut self.in_force, files);
        for (name, version) in before.accounts {
            if self.password_of(name) != Some(version) {
                self.revoke_name(name, now);
                changed.extend(self.password_of(name).map(|_| name));
            }
        }
        for (key, changes) in self.changes.iter_mut().enumerate() {
            let is_in_force = self.in_force.keys.contains(&key);
            if changes.last().is_some_and(|(_, was)| *was != is_in_force) {
                changes.push((now.monotonic, is_in_force));
            }
        }
        self.is_dirty = true;
        changed
    }

    fn revoke_name(&mut self, name: &str, now: Now) {
        let mark = Mark {
            at: now.monotonic,
            unix_secs: now.unix.as_secs(),
            is_sure: true,
            why: Why::Name,
        };
        self.marks.entry(name.to_owned()).or_default().push(mark);
        for token in self.tokens.iter_mut().filter(|token| token.user == name) {
            if token.is_ours() || token.issued_at <= mark.unix_secs {
                token.doom.is(mark.at, Why::Name);
            }
        }
    }

    /// A token of another back end.
    pub fn mint(
        &mut self,
        user: &str,
        key: usize,
        (issued_at, expires_at): (Option<u64>, u64),
        now: Now,
    ) -> TokenId {
        self.minted += 1;
        let mut claims = json!({
            "sub": user, "exp": expires_at, "jti": format!("m{}", self.minted),
        });
        if let Some(issued_at) = issued_at {
            claims["iat"] = issued_at.into();
        }
        let text = self.keys[key].sign(&claims);
        let issued_at = issued_at.unwrap_or(0);
        let mut doom = Doom::default();
        for mark in self.marks.get(user).into_iter().flatten() {
            match issued_at <= mark.unix_secs {
                true if mark.is_sure => doom.is(now.monotonic, mark.why),
                true => doom.may(now.monotonic),
                false => {}
            }
        }
        self.families.push(Doom::default());
        self.add(Token {
            text,
            user: user.to_owned(),
            family: self.families.len() - 1,
            issued_at,
            expires_at,
            known: now.monotonic,
            key,
            authenticated_at: None,
            doom,
        })
    }

    fn add(&mut self, token: Token) -> TokenId {
        self.tokens.push(token);
        self.tokens.len() - 1
    }

    /// A token that was given for a password.
    pub fn signed_in(&mut self, user: &str, password: &str, text: &str, now: Now) -> TokenId {
        let at = self.checks[password].at;
        let mut doom = Doom::default();
        let marks = self.marks.get(user).into_iter().flatten();
        for mark in marks.filter(|mark| mark.at >= at) {
            match mark.is_sure {
                true => doom.is(mark.at, mark.why),
                false => doom.may(mark.at),
            }
        }
        self.families.push(Doom::default());
        let family = self.families.len() - 1;
        self.add_ours(user, text, family, doom, now)
    }

    /// A newer token for one of ours.
    pub fn refreshed(&mut self, older: TokenId, text: &str, now: Now) -> TokenId {
        let Token {
            user, family, doom, ..
        } = self.tokens[older].clone();
        self.refreshes.granted(&user, now.monotonic);
        let newer = self.add_ours(&user, text, family, doom, now);
        let (before, after) = (&self.tokens[older], &self.tokens[newer]);
        assert_eq!(before.authenticated_at, after.authenticated_at);
        newer
    }

    fn add_ours(&mut self, user: &str, text: &str, family: usize, doom: Doom, now: Now) -> TokenId {
        let (claims, key) = verify(text, &self.keys).expect("was given by the server");
        let key = self.keys.iter().position(|other| other.id == key.id);
        assert_eq!(claims["sub"], *user);
        // The first half of an id is the server's run.
        let id = claims["jti"].as_str().expect("an id");
        let id = URL_SAFE_NO_PAD.decode(id).expect("is ours");
        let run: Run = *id.first_chunk().expect("begins with the run");
        self.issuer = Issuer::new(run, self.token_ttl_secs);
        let date = |name: &str| claims[name].as_u64().expect("a date");
        let token = Token {
            text: text.to_owned(),
            user: user.to_owned(),
            family,
            issued_at: date("iat"),
            expires_at: date("exp"),
            known: now.monotonic,
            key: key.expect("is one of ours"),
            authenticated_at: Some(date("auth_time")),
            doom,
        };
        self.add(token)
    }

    /// What is known of a token's end.
    pub fn doom(&self, token: TokenId) -> Doom {
        let token = &self.tokens[token];
        token.doom.or(self.families[token.family])
    }

    /// Whether a token may still be good.
    pub fn is_live(&self, token: TokenId, now: Now) -> bool {
        let Token {
            expires_at, key, ..
        } = self.tokens[token];
        self.doom(token).maybe.is_none()
            && expires_at > now.unix.as_secs() + 1
            && self.in_force.keys.contains(&key)
    }

    pub fn is_same_family(&self, one: TokenId, other: TokenId) -> bool {
        self.tokens[one].family == self.tokens[other].family
    }

    /// The last tokens, of a user or of all; only those that may still be good, or all.
    pub fn recent(&self, user: Option<&str>, is_live: bool, now: Now) -> Vec<TokenId> {
        let recent = self.tokens.len().saturating_sub(RECENT)..self.tokens.len();
        let fits = |token: &TokenId| {
            user.is_none_or(|user| self.tokens[*token].user == user)
                && (!is_live || self.is_live(*token, now))
        };
        recent.filter(fits).collect()
    }

    /// A token is about to be logged out.
    pub fn log_out(&mut self, token: TokenId, now: Now) {
        let Token {
            family,
            user,
            issued_at,
            ..
        } = self.tokens[token].clone();
        self.families[family].may(now.monotonic);
        let (out, latest) = self.maybe_out.entry(user.clone()).or_default();
        out.insert(family);
        *latest = issued_at.max(*latest);
        self.mark_user_at_limit(&user, now);
    }

    /// All tokens of a user may be revoked, if more than its share may be remembered.
    fn mark_user_at_limit(&mut self, user: &str, now: Now) {
        let Some((_, latest)) = self
            .maybe_out
            .get(user)
            .filter(|(out, _)| out.len() > SHARE)
        else {
            return;
        };
        let mark = Mark {
            at: now.monotonic,
            // What was logged out stays covered, even if its clock was ahead.
            unix_secs: now.unix.as_secs().max(*latest),
            is_sure: false,
            why: Why::Share,
        };
        self.marks.entry(user.to_owned()).or_default().push(mark);
        for token in self.tokens.iter_mut().filter(|token| token.user == user) {
            token.doom.may(now.monotonic);
        }
    }

    /// A token was logged out, which was asked at some time.
    pub fn logged_out(
        &mut self,
        token: TokenId,
        (asked, unix_secs): (Duration, u64),
        jumped_at: Duration,
        now: Now,
    ) {
        let Token {
            family,
            user,
            expires_at,
            ..
        } = self.tokens[token].clone();
        self.families[family].is(now.monotonic, Why::Logout);
        self.is_dirty = true;
        self.mark_user_at_limit(&user, now);
        if expires_at < FAR {
            return;
        }
        let out = self.surely_out.entry(user.clone()).or_default();
        out.retain(|(since, ..)| *since > jumped_at);
        out.push_back((asked, unix_secs));
        if out.len() <= SHARE {
            return;
        }
        // One of them has led to a mark; which of them is not known, if some that are not here have, too.
        let (asked, unix_secs) = out.pop_front().expect("is the oldest");
        let mark = Mark {
            at: asked,
            unix_secs,
            is_sure: true,
            why: Why::Share,
        };
        self.marks.entry(user.clone()).or_default().push(mark);
        let fits = |token: &&mut Token| {
            let is_covered = token.is_ours() || token.issued_at <= unix_secs;
            token.user == user && is_covered && token.known <= asked
        };
        for token in self.tokens.iter_mut().filter(fits) {
            token.doom.is(now.monotonic, Why::Share);
        }
    }

    /// Whether a secret was in force for all of that time; `None` if it was for a part.
    fn was_in_force(&self, key: usize, (from, until): (Duration, Duration)) -> Option<bool> {
        let changes = &self.changes[key];
        let mut within = changes.iter().filter(|(at, _)| *at > from && *at < until);
        if within.next().is_some() {
            return None;
        }
        let before = changes.iter().rev().find(|(at, _)| *at <= from);
        before.map(|(_, is_in_force)| *is_in_force)
    }

    /// What has to come of a token that was shown and about which something was heard at these times, whatever its
    /// dates say.
    pub fn verdict(&self, token: TokenId, asked: Duration, known: Duration) -> Verdict {
        let doom = self.doom(token);
        let in_force = self.was_in_force(self.tokens[token].key, (asked, known));
        match (doom.surely, in_force) {
            (Some((at, why)), _) if at <= asked => Verdict::Bad(why),
            (_, Some(false)) => Verdict::Bad(Why::Secret),
            (_, Some(true)) if doom.maybe.is_none_or(|at| at >= known) => Verdict::Good,
            _ => Verdict::Either,
        }
    }

    /// The same of something that a token has opened: it was asked for and known at these times, and is looked at now.
    pub fn fate(&self, token: TokenId, opened: (Duration, Duration), now: Duration) -> Verdict {
        let doom = self.doom(token);
        let Token { key, user, .. } = &self.tokens[token];
        // Whatever a secret or a name has opened ends with it, also if it comes back, and if a token is of a clock that
        // was ahead.
        let secret = self.changes[*key]
            .iter()
            .filter(|(_, is_in_force)| !is_in_force)
            .map(|(at, _)| (*at, Why::Secret));
        let marks = self.marks.get(user).into_iter().flatten();
        let name = marks
            .filter(|mark| mark.why == Why::Name)
            .map(|mark| (mark.at, Why::Name));
        let ends = secret.chain(name).filter(|(at, _)| *at <= now);
        let last = ends.max_by_key(|(at, _)| *at);
        match (doom.surely, last) {
            (Some((_, why)), _) => Verdict::Bad(why),
            (None, Some((at, why))) if at >= opened.1 => Verdict::Bad(why),
            (None, Some((at, _))) if at >= opened.0 => Verdict::Either,
            (None, _) if doom.maybe.is_some() => Verdict::Either,
            (None, _) => Verdict::Good,
        }
    }

    /// What has to come of a ticket that was shown at some time, of which nothing is known until now.
    pub fn fate_of_ticket(&self, ticket: TicketId, shown: Duration, now: Duration) -> Verdict {
        let Ticket {
            token,
            asked,
            known,
            redeemed,
            ..
        } = self.tickets[ticket];
        let doom = self.doom(token);
        let before = self.fate(token, (asked, known), shown);
        match (before, doom.surely, redeemed) {
            (_, _, Some((_, verdict))) => verdict,
            (Verdict::Bad(why), Some((at, _)), _) if at <= shown => Verdict::Bad(why),
            (Verdict::Bad(why), None, _) => Verdict::Bad(why),
            (Verdict::Good, ..) if self.fate(token, (asked, known), now) == Verdict::Good => {
                Verdict::Good
            }
            _ => Verdict::Either,
        }
    }

    /// What rests on a ticket: since that was asked for and known, or, if it was redeemed elsewhere, since it was shown.
    pub fn opened(&self, ticket: TicketId, shown: Duration, now: Duration) -> (Duration, Duration) {
        let Ticket {
            asked,
            known,
            redeemed,
            ..
        } = self.tickets[ticket];
        match redeemed {
            Some(_) => (shown, now),
            None => (asked, known),
        }
    }

    /// The wall clock is set back. What was logged out and has expired may be forgotten, and good again.
    pub fn clock_goes_back(&mut self, unix_secs: u64) {
        let mut last = vec![0; self.families.len()];
        for token in &self.tokens {
            last[token.family] = token.expires_at.max(last[token.family]);
        }
        for (doom, last) in self.families.iter_mut().zip(last) {
            if last <= unix_secs {
                doom.surely = None;
            }
        }
    }

    /// Notes a ticket.
    pub fn add_ticket(&mut self, ticket: Ticket) -> TicketId {
        self.tickets.push(ticket);
        self.tickets.len() - 1
    }

    /// The server learns from a late backend what a ticket was for: then it is as good as its token.
    pub fn redeemed(&mut self, text: &str, is_good: bool, now: Duration) -> Option<Verdict> {
        let found = self.tickets.iter().position(|ticket| ticket.text == text)?;
        let token = self.tickets[found].token;
        let verdict = self.verdict(token, now, now);
        self.tickets[found].redeemed = Some((is_good, verdict));
        Some(verdict)
    }

    /// Who a token is for, as the store that all nodes share would know; `None` if its dates do not fit.
    pub fn identity(&self, token: &str, unix_secs: u64) -> Option<Identity> {
        let (claims, key) = verify(token, &self.keys).expect("is signed by us");
        let (_, signature) = token.rsplit_once('.').expect("has three parts");
        identify(&claims, signature, key.key_id(), &self.issuer, unix_secs).ok()
    }
}
