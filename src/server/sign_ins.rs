//! Part 4, sign-ins: accounts, tokens, tickets and sessions, and password checks under way.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::jobs::PasswordCheck;
use crate::config::LOGIN_QUEUE_MAX;
use crate::domain::accounts::Verifier;
use crate::domain::auth::Auth;
use crate::domain::credentials::Credentials;
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

/// Why an attempt is refused before its password is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// Too many failures: how long to wait.
    Throttled(Duration),
    /// Too many checks are under way.
    Busy,
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
    fn check(&self, auth: &Auth) -> PasswordCheck {
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
    /// Password checks under way: at most [`LOGIN_QUEUE_MAX`].
    checks: usize,
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
            checks: 0,
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

    /// Admits an attempt; returns the check for a job. It must end with [`Self::end_check`].
    ///
    /// # Errors
    /// [`NotNow`]: throttled, or too many checks are under way.
    pub fn begin_check(
        &mut self,
        attempt: Attempt,
        address: IpAddr,
        now: Duration,
    ) -> Result<(PasswordCheck, Pending), NotNow> {
        let Attempt { account, password } = attempt;
        let throttle = &mut self.auth.throttle;
        throttle
            .begin(&account, address, now)
            .map_err(NotNow::Throttled)?;
        if self.checks >= LOGIN_QUEUE_MAX {
            throttle.end(&account, address, None, now);
            return Err(NotNow::Busy);
        }
        self.checks += 1;
        let verifier = self.auth.verifier(&account);
        let pending = Pending {
            account,
            address,
            verifier,
            password,
        };
        Ok((pending.check(&self.auth), pending))
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
            *verifier = self.auth.verifier(account);
            return Checked::Again(pending.check(&self.auth));
        }
        self.checks -= 1;
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
            self.checks <= LOGIN_QUEUE_MAX,
            "password checks are bounded"
        );
    }
}
