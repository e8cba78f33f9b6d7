//! Identity: passwords for tokens, tokens for tickets, tickets for sessions.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::accounts::{Accounts, Verifier};
use super::allowance::Allowances;
use super::caller::Caller;
use super::credentials::{Credentials, Reload};
use super::ids::ConnectionId;
use super::issuer::{Issuer, Run};
use super::permissions::Permissions;
use super::random::Random;
use super::revocations::{Noted, Revocations};
use super::sessions::Sessions;
use super::throttle::Throttle;
use super::tickets::Tickets;
use super::time::Now;
use super::tokens::{
    EXPIRED, FINGERPRINT, ISSUER, Identify, Identity, SIGN_IN, check_audience, identify,
    identify_also_expired,
};
use super::verified::LastVerified;
use super::working_set::WorkingSet;
use crate::config::{REFRESH_REFILL, REFRESH_SECS_MAX, REFRESHES_MAX};
use crate::wire::jwt::Refused;

/// Why a request is not authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It has no bearer token.
    Missing,
    /// Its bearer token is not valid.
    Invalid(Refused),
}

/// Why a ticket is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTicket {
    /// Unknown, used, expired, or of a session that has ended.
    Unknown,
    /// The token it was issued for has expired.
    TokenExpired,
}

/// Why a token is not refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRefreshed {
    /// It is not ours, or its password check is too old.
    Invalid(Refused),
    /// The user has refreshed too often: how long to wait.
    Throttled(Duration),
}

/// What ends at a logout or a reload. The tickets have ended already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The connections of the sessions that end.
    pub connections: Vec<ConnectionId>,
    /// Whether there were too many revoked names, so that everybody's older tokens are refused.
    pub is_floor_raised: bool,
}

/// Accounts, tokens, tickets, sessions and the throttle of sign-ins.
#[derive(Debug)]
pub struct Auth {
    credentials: Credentials,
    /// What the `aud` of a token must name, if it has one (`--audience`).
    audience: Option<Box<str>>,
    issuer: Issuer,
    verified: LastVerified,
    ticket_ttl: Duration,
    random: Random,
    tickets: Tickets,
    revocations: Revocations,
    /// Refreshes, by user.
    refreshes: Allowances<Rc<str>>,
    /// The limits of sign-in attempts.
    pub throttle: Throttle,
    /// The sessions of connections that were opened with a token or ticket.
    pub sessions: Sessions,
}

impl Auth {
    /// No sessions. `seed` determines tickets and token ids.
    pub fn new(
        credentials: Credentials,
        token_ttl_secs: u64,
        ticket_ttl: Duration,
        seed: &[u8; 32],
    ) -> Self {
        let mut random = Random::new(seed);
        let run: Run = random.number().to_be_bytes();
        Self {
            credentials,
            audience: None,
            issuer: Issuer::new(run, token_ttl_secs),
            verified: LastVerified::default(),
            ticket_ttl,
            random,
            tickets: Tickets::default(),
            revocations: Revocations::default(),
            refreshes: Allowances::default(),
            throttle: Throttle::default(),
            sessions: Sessions::default(),
        }
    }

    /// Accepts tokens whose `aud` names this audience, not only those without `aud`.
    pub fn accept_audience(&mut self, audience: Option<Box<str>>) {
        self.audience = audience;
    }

    /// Whether a name has an account.
    pub fn has_account(&self, name: &str) -> bool {
        self.credentials.accounts.has(name)
    }

    /// Whether guests may not have the names of a key ([`key`](super::names::key)): one is an account's, or of somebody
    /// who has a session.
    pub fn has_key(&self, key: &str) -> bool {
        self.credentials.accounts.has_key(key) || self.sessions.has_key(key)
    }

    /// The accounts in force, for [`Reload::new`].
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.credentials.accounts
    }

    /// The verifier for a name, also for one without an account.
    pub fn verifier(&self, name: &str) -> Arc<Verifier> {
        self.credentials.accounts.verifier(name)
    }

    /// Whether this is still the verifier of an account: the account may be removed or get another password during a
    /// check.
    pub fn is_in_force(&self, name: &str, verifier: &Verifier) -> bool {
        let now = self.credentials.accounts.find(name);
        now.is_some_and(|now| **now == *verifier)
    }

    /// The lifetime of a ticket, in seconds.
    pub fn ticket_ttl_secs(&self) -> u64 {
        self.ticket_ttl.as_secs()
    }

    /// The identity of the bearer token in an Authorization field (RFC 6750 section 2.1).
    ///
    /// # Errors
    /// [`Denied`].
    pub fn authenticate(&self, authorization: Option<&str>, now: Now) -> Result<Identity, Denied> {
        let token = bearer_token(authorization).ok_or(Denied::Missing)?;
        self.identify(token, identify, now).map_err(Denied::Invalid)
    }

    /// Like [`Self::authenticate`], also for an API key.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn authenticate_caller(
        &self,
        authorization: Option<&str>,
        now: Now,
    ) -> Result<Caller, Denied> {
        let token = bearer_token(authorization).ok_or(Denied::Missing)?;
        if let Some(name) = self.credentials.api_keys.name_of(token) {
            let name = (**name).into();
            return Ok(Caller::Key { name });
        }
        let identity = self.identify(token, identify, now);
        identity.map(Caller::Somebody).map_err(Denied::Invalid)
    }

    /// Whether somebody is a moderator now: of one of our tokens the account decides, as it is in force, else the claim.
    pub fn is_moderator(&self, identity: &Identity) -> bool {
        match identity.is_ours {
            true => self.credentials.accounts.is_moderator(&identity.username),
            false => identity.permissions.is_moderator,
        }
    }

    /// An identity that was read before, with the permissions it has now.
    pub fn renewed(&self, mut identity: Identity) -> Identity {
        identity.permissions = identity.permissions.marked(self.is_moderator(&identity));
        identity
    }

    /// Like [`Self::authenticate`], for a logout: one of our tokens may have expired, as long as another token of its
    /// sign-in may be good. So a thief who refreshes a stolen token is signed out by whoever has an older one.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn authenticate_to_log_out(
        &self,
        authorization: Option<&str>,
        now: Now,
    ) -> Result<Identity, Denied> {
        let token = bearer_token(authorization).ok_or(Denied::Missing)?;
        let identity = self
            .identify(token, identify_also_expired, now)
            .map_err(Denied::Invalid)?;
        match self.last_expiry(&identity, now) > now.unix.as_secs() {
            true => Ok(identity),
            false => Err(Denied::Invalid(EXPIRED)),
        }
    }

    /// When the last token of the identity's family expires, at the latest, in seconds since 1970.
    fn last_expiry(&self, identity: &Identity, now: Now) -> u64 {
        let of_family = match identity.is_ours {
            true => self.issuer.last_expiry(identity.authenticated_at, now),
            false => 0,
        };
        of_family.max(identity.expires_at)
    }

    fn identify(&self, token: &str, identify: Identify, now: Now) -> Result<Identity, Refused> {
        let (claims, key) = self.verified.verify(token, &self.credentials.keys)?;
        let (_, signature) = token.rsplit_once('.').unwrap_or_default();
        let at = now.unix.as_secs();
        let identity = identify(&claims, signature, key.key_id(), &self.issuer, at)?;
        check_audience(&claims, self.audience.as_deref())?;
        if identity.is_ours {
            let username = &identity.username;
            self.credentials.check_fingerprint(username, &claims, key)?;
        }
        if self.revocations.covers(&identity) {
            return Err(Refused("the token was revoked"));
        }
        Ok(self.renewed(identity))
    }

    /// The first token of a sign-in, for an account whose password was checked at `authenticated_at` (seconds since
    /// 1970), and its lifetime in seconds; `None` without an account or a secret.
    pub fn issue_token(
        &mut self,
        username: &str,
        authenticated_at: u64,
        now: Now,
    ) -> Option<(String, u64)> {
        let sign_in = URL_SAFE_NO_PAD.encode(&self.random.bytes()[..16]);
        self.issue(username, &sign_in, authenticated_at, now)
    }

    fn issue(
        &mut self,
        username: &str,
        sign_in: &str,
        authenticated_at: u64,
        now: Now,
    ) -> Option<(String, u64)> {
        let key = self.credentials.keys.first()?;
        let fingerprint = self.credentials.fingerprint(username, key)?;
        let (issued_at, ttl) = (now.unix.as_secs(), self.issuer.token_ttl_secs());
        let claims = json!({
            "iss": ISSUER,
            "sub": username,
            "iat": issued_at,
            "exp": issued_at + ttl,
            "jti": self.issuer.next_id(now),
            SIGN_IN: sign_in,
            "auth_time": authenticated_at,
            FINGERPRINT: fingerprint,
        });
        Some((key.sign(&claims), ttl))
    }

    /// A newer token of the same sign-in, for the bearer of one of ours, within [`REFRESH_SECS_MAX`] of the password
    /// check, and its lifetime in seconds.
    ///
    /// # Errors
    /// [`NotRefreshed`].
    pub fn refresh(
        &mut self,
        identity: &Identity,
        now: Now,
    ) -> Result<(String, u64), NotRefreshed> {
        let at = identity.authenticated_at;
        let is_recent = now.unix.as_secs() < at.saturating_add(REFRESH_SECS_MAX);
        if !identity.is_ours || !is_recent {
            return Err(NotRefreshed::Invalid(Refused(
                "the token cannot be refreshed; sign in again",
            )));
        }
        let username = &identity.username;
        self.refreshes
            .take(
                username.clone(),
                REFRESHES_MAX,
                REFRESH_REFILL,
                now.monotonic,
            )
            .map_err(NotRefreshed::Throttled)?;
        let issued = self.issue(username, identity.family_id(), at, now);
        issued.ok_or(NotRefreshed::Invalid(Refused(
            "no secret signs tokens here",
        )))
    }

    /// A ticket for the bearer of a token; `None` at a limit of tickets.
    pub fn issue_ticket(&mut self, identity: Identity, now: Now) -> Option<String> {
        let random = self.random.bytes();
        self.tickets.issue(
            random,
            identity,
            now.monotonic + self.ticket_ttl,
            now.monotonic,
        )
    }

    /// Redeems a ticket, which uses it up.
    ///
    /// # Errors
    /// [`BadTicket`].
    pub fn redeem(&mut self, ticket: &str, now: Now) -> Result<Identity, BadTicket> {
        let identity = self
            .tickets
            .redeem(ticket, now.monotonic)
            .ok_or(BadTicket::Unknown)?;
        self.check_redeemed(identity, now)
    }

    /// The clock was not set until now, and has jumped by this many seconds: what ended the tokens of a name meanwhile
    /// ends those that another back end had issued until then by its own clock.
    pub fn clock_set(&mut self, jump: u64) {
        self.revocations.clock_set(jump);
    }

    /// Checks an identity whose ticket was redeemed, here or elsewhere: since the ticket was issued, its token may have
    /// expired or been revoked, and the key that verified it taken out of force.
    ///
    /// # Errors
    /// [`BadTicket`].
    pub fn check_redeemed(&self, identity: Identity, now: Now) -> Result<Identity, BadTicket> {
        if identity.expires_at <= now.unix.as_secs() {
            return Err(BadTicket::TokenExpired);
        }
        if self.revocations.covers(&identity) || !self.credentials.has_key(identity.key) {
            return Err(BadTicket::Unknown);
        }
        Ok(self.renewed(identity))
    }

    /// Logs out: revokes the family of a token and its tickets, or, if too many are revoked, every token and ticket the
    /// user was issued until now.
    pub fn revoke(&mut self, identity: &Identity, now: Now) -> Ended {
        let Identity {
            username, family, ..
        } = identity;
        let last_expiry = self.last_expiry(identity, now);
        let newest = self.issuer.newest();
        let revocations = &mut self.revocations;
        revocations.note_issued(self.issuer.latest_secs());
        match revocations.revoke(identity, last_expiry, newest, now) {
            Noted::Family => {
                self.tickets.void_family(family);
                Ended {
                    connections: self.sessions.of_family(family),
                    is_floor_raised: false,
                }
            }
            Noted::Mark { is_floor_raised } => {
                let is_covered = |identity: &Identity| revocations.covers(identity);
                self.tickets.void_user(username, is_covered);
                let mut connections = self.sessions.of_name(username);
                connections.retain(|id| self.sessions.of(*id).is_some_and(is_covered));
                Ended {
                    connections,
                    is_floor_raised,
                }
            }
        }
    }

    /// Revokes every token and ticket that a user was issued until now, by whomever.
    pub fn revoke_user(&mut self, username: &str, now: Now) -> Ended {
        let names: Arc<[Arc<str>]> = Arc::from([Arc::from(username)]);
        let newest = self.issuer.newest();
        self.revocations.note_issued(self.issuer.latest_secs());
        let is_floor_raised = self.revocations.revoke_names(&names, newest, now);
        self.tickets.void_names(&names);
        Ended {
            connections: self.sessions.of_name(username),
            is_floor_raised,
        }
    }

    /// Takes what was revoked at other servers. Returns the connections of the sessions that end.
    pub fn revoke_elsewhere(&mut self, others: WorkingSet, now: Now) -> Vec<ConnectionId> {
        self.revocations.merge(others, now);
        let revocations = &self.revocations;
        self.sessions
            .chosen(|identity| revocations.covers(identity))
    }

    /// Puts newer credentials in force, and leaves the previous ones in `reload`, to be dropped by a job. From here on
    /// the tokens and tickets of the names in [`Reload::gone`] are refused, and those of keys that are gone.
    pub fn reload(&mut self, reload: &mut Reload, now: Now) -> Ended {
        let keys_gone = self.credentials.keys_gone_in(&reload.credentials);
        let api_keys = &self.credentials.api_keys;
        let api_keys_gone = api_keys.gone_in(&reload.credentials.api_keys);
        std::mem::swap(&mut self.credentials, &mut reload.credentials);
        // Our own tokens for another password are known by their fingerprint; those of another back end are not, and
        // an account that is added again with the same password makes none good.
        let newest = self.issuer.newest();
        self.revocations.note_issued(self.issuer.latest_secs());
        let is_floor_raised = self.revocations.revoke_names(&reload.gone, newest, now);
        self.tickets.void_names(&reload.gone);
        let mut connections = self.sessions.of_names(&reload.gone);
        if !keys_gone.is_empty() {
            self.tickets.void_keys(&keys_gone);
            connections.append(&mut self.sessions.of_keys(&keys_gone));
        }
        connections.append(&mut self.sessions.of_api_keys(&api_keys_gone));
        Ended {
            connections,
            is_floor_raised,
        }
    }

    /// Has the sessions of these accounts, whose mark as a moderator's has changed, follow it. Returns their connections,
    /// with what they may do now.
    pub fn remark(&mut self, names: &[Arc<str>]) -> Vec<(ConnectionId, Rc<Permissions>)> {
        let mut remarked = Vec::new();
        for connection in self.sessions.of_names(names) {
            let Some(identity) = self.sessions.of(connection) else {
                continue;
            };
            let permissions = identity.permissions.marked(self.is_moderator(identity));
            if permissions != identity.permissions {
                self.sessions.permit(connection, permissions.clone());
                remarked.push((connection, permissions));
            }
        }
        remarked
    }

    /// The revocations, for a store.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Like [`Self::revocations`], mutable.
    pub fn revocations_mut(&mut self) -> &mut Revocations {
        &mut self.revocations
    }

    /// The source of random bytes.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

/// The token in an Authorization field of the Bearer scheme (RFC 6750 section 2.1).
fn bearer_token(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests;
