//! Part 4, sign-ins: accounts, tokens, tickets and sessions, and password checks under way.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::jobs::PasswordCheck;
use super::password_checks::{PasswordChecks, Refused};
use crate::domain::accounts::Verifier;
use crate::domain::auth::Auth;
use crate::domain::credentials::Credentials;
use crate::domain::guests::Guests;
use crate::domain::holders::{Held, Holders};
use crate::domain::ids::{ConnectionId, HolderId, Serial};
use crate::domain::names::shared_key;
use crate::domain::random::Random;
use crate::domain::time::Now;

/// An attempt to sign in, with name and password.
pub struct Attempt {
    /// The name.
    pub account: Rc<str>,
    /// The password; wiped when dropped.
    pub password: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// Why a guest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoGuest {
    /// The name, or one with its key, is an account's, or of somebody who signed in.
    Taken,
    /// Another guest holds the name.
    Held,
    /// Guests from this address were refused too often: how long to wait, whatever the name.
    Throttled(Duration),
}

/// The outcome of a password check.
#[derive(Debug)]
pub enum Checked {
    /// Accepted: a token and its lifetime, in seconds.
    Accepted(String, u64),
    /// Wrong password, or no such account.
    Refused,
    /// The account's password has changed since: check again, against the new one.
    Again(PasswordCheck),
}

/// An attempt whose password is to be checked.
pub struct Pending {
    /// The account.
    pub account: Rc<str>,
    /// The address of the attempt.
    pub address: IpAddr,
    verifier: Arc<Verifier>,
    password: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Pending {
    /// The check against the accounts in force. They may have changed since the attempt.
    fn check(&mut self, auth: &Auth) -> PasswordCheck {
        self.verifier = auth.verifier(&self.account);
        PasswordCheck {
            verifier: self.verifier.clone(),
            costs: auth.accounts().costs().clone(),
            password: self.password.clone(),
        }
    }
}

/// Accounts, tokens, tickets and sessions, and password checks under way.
#[derive(Debug)]
pub struct SignIns {
    auth: Auth,
    /// Names that guests may not take.
    guests: Guests,
    /// Attempts whose passwords are not checked yet.
    pub checks: PasswordChecks,
    /// Names that guests hold.
    holders: Holders,
    /// While accounts and secrets are being read again: whether another reload was requested since.
    reading: Option<Again>,
}

/// Whether a reload has to be repeated.
type Again = bool;

impl SignIns {
    /// No sessions. `seed` determines tickets, token ids, the order of attempts and the hash of guests' keys.
    pub fn new(
        credentials: Credentials,
        token_ttl_secs: u64,
        ticket_ttl: Duration,
        presence_grace: Duration,
        seed: &[u8; 32],
    ) -> Self {
        let mut seeds = Random::new(seed);
        let (of_auth, of_checks, of_holders) = (seeds.bytes(), seeds.bytes(), seeds.bytes());
        Self {
            auth: Auth::new(credentials, token_ttl_secs, ticket_ttl, &of_auth),
            guests: Guests::default(),
            checks: PasswordChecks::new(&of_checks),
            holders: Holders::new(&of_holders, presence_grace),
            reading: None,
        }
    }

    /// The keys by which guests hold names are hashed with this from now on: the same guest is the same after a restart.
    pub fn hash_holders_with(&mut self, secret: &[u8; 32], presence_grace: Duration) {
        self.holders = Holders::new(secret, presence_grace);
    }

    /// The same, while guests may be here.
    pub fn rehash_holders(&mut self, secret: &[u8; 32]) {
        self.holders.rehash(secret);
    }

    /// Accounts, tokens, tickets.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Like [`Self::auth`], mutable.
    pub fn auth_mut(&mut self) -> &mut Auth {
        &mut self.auth
    }

    /// Takes an attempt under this serial: its check waits for its turn, or for the throttle to allow it. Also returns
    /// the attempts that had to make room for it.
    pub fn begin_check(
        &mut self,
        serial: Serial,
        attempt: Attempt,
        address: IpAddr,
        now: Duration,
    ) -> (Pending, Vec<Refused>) {
        let Attempt { account, password } = attempt;
        let of = (account.clone(), address);
        let throttle = &mut self.auth.throttle;
        let refused = self.checks.begin(serial, of, throttle, now);
        let verifier = self.auth.verifier(&account);
        let pending = Pending {
            account,
            address,
            verifier,
            password,
        };
        (pending, refused)
    }

    /// Lets attempts through that waited for the throttle. Returns those that have waited for too long.
    pub fn draw(&mut self, now: Duration) -> Vec<Refused> {
        self.checks.draw(&mut self.auth.throttle, now)
    }

    /// Hands out a check for a job. It must end with [`Self::end_check`].
    pub fn start_check(&mut self, pending: &mut Pending) -> PasswordCheck {
        self.checks.start();
        pending.check(&self.auth)
    }

    /// Hands out an early check for a job with this serial. It must end with [`Self::end_early`].
    pub fn start_early(&mut self, serial: Serial, pending: &mut Pending) -> PasswordCheck {
        self.checks.start_early(serial);
        pending.check(&self.auth)
    }

    /// Nobody waits for an attempt any more: its check is not started. False if it was started already, so that its result
    /// is still to be counted.
    pub fn withdraw_check(&mut self, serial: Serial, now: Duration) -> bool {
        self.checks.withdraw(serial, &mut self.auth.throttle, now)
    }

    /// Takes the result of a password check.
    pub fn end_check(
        &mut self,
        serial: Serial,
        pending: &mut Pending,
        is_accepted: bool,
        now: Now,
    ) -> Checked {
        let (account, verifier) = (&pending.account, &pending.verifier);
        let is_in_force = self.auth.is_in_force(account, verifier);
        if !is_in_force && self.auth.has_account(account) {
            return Checked::Again(pending.check(&self.auth));
        }
        // The account may have been removed during the check.
        let is_accepted = is_accepted && is_in_force;
        let throttle = &mut self.auth.throttle;
        self.checks
            .finish(serial, is_accepted, throttle, now.monotonic);
        match is_accepted {
            true => self.accept(pending, now),
            false => Checked::Refused,
        }
    }

    /// Takes the result of an early check, of the attempt `pending` if that still waits. `None` if it goes on waiting, or
    /// was answered.
    pub fn end_early(
        &mut self,
        serial: Serial,
        pending: Option<&Pending>,
        is_accepted: bool,
        now: Now,
    ) -> Option<Checked> {
        let is_in_force =
            pending.is_some_and(|of| self.auth.is_in_force(&of.account, &of.verifier));
        let is_accepted = is_accepted && is_in_force;
        let throttle = &mut self.auth.throttle;
        let is_ended = self
            .checks
            .finish_early(serial, is_accepted, throttle, now.monotonic);
        is_ended.then(|| self.accept(pending?, now).into())?
    }

    /// The token for an attempt whose password was right.
    fn accept(&mut self, pending: &Pending, now: Now) -> Checked {
        let at = now.unix.as_secs();
        match self.auth.issue_token(&pending.account, at, now) {
            Some((token, expires_in)) => Checked::Accepted(token, expires_in),
            None => Checked::Refused,
        }
    }

    /// Admits a guest from an address under a valid name, of which `name_key` is the key, with or without a valid secret to
    /// hold it by. With a secret, returns who they are.
    ///
    /// # Errors
    /// [`NoGuest`]. An address without allowance is refused every name alike, so that it learns nothing about this one.
    pub fn admit_guest(
        &mut self,
        name_key: &str,
        secret: Option<&str>,
        address: IpAddr,
        now: Duration,
    ) -> Result<Option<HolderId>, NoGuest> {
        let wait = self.guests.wait(address, now);
        if wait > Duration::ZERO {
            return Err(NoGuest::Throttled(wait));
        }
        if self.auth.has_key(name_key) || self.guests.is_held(name_key, now) {
            self.guests.count_refusal(address, now);
            return Err(NoGuest::Taken);
        }
        let admitted = self.holders.admit(name_key, secret, now);
        admitted.map_err(|Held| NoGuest::Held)
    }

    /// The number of names that guests hold by a key.
    pub fn held_names(&self, now: Duration) -> usize {
        self.holders.count(now)
    }

    /// A connection of an admitted guest with a key begins.
    pub fn enter_holder(&mut self, connection: ConnectionId, name: &str, holder: HolderId) {
        self.holders.enter(connection, name, holder);
    }

    /// Ends the session of a connection, if there is one, or its part in a guest's hold on their name. After the last one
    /// of a user without an account their name is held.
    pub fn close_session(&mut self, connection: ConnectionId, now: Now) {
        self.holders.exit(connection, now.monotonic);
        let Some(identity) = self.auth.sessions.close(connection) else {
            return;
        };
        let key = shared_key(&identity.username);
        if !self.auth.has_key(&key) {
            self.guests.hold(key, now.monotonic);
        }
    }

    /// Frees memory that many connections have needed.
    pub fn shrink(&mut self) {
        self.holders.shrink();
    }

    /// Holds the names of accounts that were removed, by key.
    pub fn hold_removed(&mut self, keys: &[Arc<str>], now: Now) {
        for key in keys {
            self.guests.hold((&**key).into(), now.monotonic);
        }
    }

    /// Whether a reload is under way.
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Begins a reload. Returns false if one is under way, which is then repeated.
    pub fn begin_reading(&mut self) -> bool {
        let is_idle = self.reading.is_none();
        self.reading = Some(!is_idle);
        is_idle
    }

    /// Ends a reload; returns whether it has to be repeated.
    pub fn end_reading(&mut self) -> Again {
        self.reading.take().unwrap_or_default()
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        self.checks.check();
        self.holders.check();
    }
}
