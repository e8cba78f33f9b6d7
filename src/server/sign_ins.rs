//! Part 4, sign-ins: accounts, tokens, tickets and sessions, and password checks under way.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::jobs::PasswordCheck;
use crate::config::{LOGIN_CHECKS_AT_WORK, LOGIN_QUEUE_MAX};
use crate::domain::accounts::Verifier;
use crate::domain::auth::Auth;
use crate::domain::credentials::Credentials;
use crate::domain::guests::Guests;
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::throttle::network;
use crate::domain::time::Now;
use crate::domain::turns::Turns;

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

/// Why an attempt is refused before its password is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// Too many failures: how long to wait.
    Throttled(Duration),
    /// Too many checks are under way.
    Busy,
}

/// Why a guest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoGuest {
    /// The name is an account's, or of somebody who signed in.
    Taken,
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

/// A password check under way.
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
    /// Password checks that wait for their turn. With those at work at most [`LOGIN_QUEUE_MAX`].
    checks: Turns<Serial>,
    /// Password checks handed out: at most [`LOGIN_CHECKS_AT_WORK`].
    at_work: usize,
    /// While accounts and secrets are being read again: whether another reload was requested since.
    reading: Option<Again>,
}

/// Whether a reload has to be repeated.
type Again = bool;

impl SignIns {
    /// No sessions. `seed` determines tickets and token ids.
    pub fn new(
        credentials: Credentials,
        token_ttl_secs: u64,
        ticket_ttl: Duration,
        seed: &[u8; 32],
    ) -> Self {
        Self {
            auth: Auth::new(credentials, token_ttl_secs, ticket_ttl, seed),
            guests: Guests::default(),
            checks: Turns::default(),
            at_work: 0,
            reading: None,
        }
    }

    /// Accounts, tokens, tickets.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Like [`Self::auth`], mutable.
    pub fn auth_mut(&mut self) -> &mut Auth {
        &mut self.auth
    }

    /// Admits an attempt, whose check waits for its turn under this serial. At the limit the newest check of the address
    /// that has the most makes room for it, and is returned, to be refused with [`NotNow::Busy`].
    ///
    /// # Errors
    /// [`NotNow`]: throttled, or too many checks are under way, none of which has to make room.
    pub fn begin_check(
        &mut self,
        serial: Serial,
        attempt: Attempt,
        address: IpAddr,
        now: Duration,
    ) -> Result<(Pending, Option<Serial>), NotNow> {
        let Attempt { account, password } = attempt;
        let throttle = &mut self.auth.throttle;
        throttle
            .begin(&account, address, now)
            .map_err(NotNow::Throttled)?;
        let mut displaced = None;
        if self.checks.len() + self.at_work >= LOGIN_QUEUE_MAX {
            displaced = self.checks.displace(network(address));
            if displaced.is_none() {
                throttle.end(&account, address, None, now);
                return Err(NotNow::Busy);
            }
        }
        self.checks.push(network(address), account.clone(), serial);
        let verifier = self.auth.verifier(&account);
        let pending = Pending {
            account,
            address,
            verifier,
            password,
        };
        Ok((pending, displaced))
    }

    /// Whether a check can be handed out.
    pub fn has_check(&self) -> bool {
        self.at_work < LOGIN_CHECKS_AT_WORK && !self.checks.is_empty()
    }

    /// The check whose turn it is, if one can be handed out: [`Self::start_check`] follows.
    pub fn next_check(&mut self) -> Option<Serial> {
        self.has_check().then(|| self.checks.pop())?
    }

    /// Hands out a check for a job. It must end with [`Self::end_check`].
    pub fn start_check(&mut self, pending: &mut Pending) -> PasswordCheck {
        self.at_work += 1;
        pending.check(&self.auth)
    }

    /// Ends an attempt whose check was not started: it is neither a success nor a failure.
    pub fn end_unchecked(&mut self, pending: &Pending, now: Duration) {
        let Pending {
            account, address, ..
        } = pending;
        self.auth.throttle.end(account, *address, None, now);
    }

    /// Nobody waits for a check any more: it is not started. False if it was started already, so that its result is still
    /// to be counted.
    pub fn withdraw_check(&mut self, serial: Serial, pending: &Pending, now: Duration) -> bool {
        let is_withdrawn = self.checks.remove(&serial);
        if is_withdrawn {
            self.end_unchecked(pending, now);
        }
        is_withdrawn
    }

    /// Takes the result of a password check.
    pub fn end_check(&mut self, pending: &mut Pending, is_accepted: bool, now: Now) -> Checked {
        let Pending {
            account,
            address,
            verifier,
            ..
        } = pending;
        let is_in_force = self.auth.is_in_force(account, verifier);
        if !is_in_force && self.auth.has_account(account) {
            return Checked::Again(pending.check(&self.auth));
        }
        self.at_work -= 1;
        // The account may have been removed during the check.
        let is_accepted = is_accepted && is_in_force;
        let throttle = &mut self.auth.throttle;
        throttle.end(account, *address, Some(is_accepted), now.monotonic);
        let at = now.unix.as_secs();
        let issued = is_accepted
            .then(|| self.auth.issue_token(account, at, now))
            .flatten();
        match issued {
            Some((token, expires_in)) => Checked::Accepted(token, expires_in),
            None => Checked::Refused,
        }
    }

    /// Admits a guest from an address under a valid name.
    ///
    /// # Errors
    /// [`NoGuest`]. An address without allowance is refused every name alike, so that it learns nothing about this one.
    pub fn admit_guest(
        &mut self,
        name: &str,
        address: IpAddr,
        now: Duration,
    ) -> Result<(), NoGuest> {
        let wait = self.guests.wait(address, now);
        if wait > Duration::ZERO {
            return Err(NoGuest::Throttled(wait));
        }
        let is_taken = self.auth.has_account(name)
            || self.auth.sessions.has_name(name)
            || self.guests.is_held(name, now);
        if is_taken {
            self.guests.count_refusal(address, now);
            return Err(NoGuest::Taken);
        }
        Ok(())
    }

    /// Ends the session of a connection, if there is one. After the last one of a user without an account their name is
    /// held.
    pub fn close_session(&mut self, connection: ConnectionId, now: Now) {
        let Some(identity) = self.auth.sessions.close(connection) else {
            return;
        };
        let name = identity.username;
        if !self.auth.has_account(&name) && !self.auth.sessions.has_name(&name) {
            self.guests.hold(name, now.monotonic);
        }
    }

    /// Holds the names, of these, whose account was removed.
    pub fn hold_removed(&mut self, names: &[Arc<str>], now: Now) {
        for name in names.iter().filter(|name| !self.auth.has_account(name)) {
            self.guests.hold((&**name).into(), now.monotonic);
        }
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
        assert!(
            self.checks.len() + self.at_work <= LOGIN_QUEUE_MAX,
            "password checks are bounded"
        );
        assert!(self.at_work <= LOGIN_CHECKS_AT_WORK);
    }
}
