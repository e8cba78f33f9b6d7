//! Identity: passwords for tokens, tokens for tickets, tickets for sessions.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::accounts::{Accounts, Verifier};
use super::credentials::{Credentials, Reload};
use super::ids::ConnectionId;
use super::random::Random;
use super::sessions::Sessions;
use super::throttle::Throttle;
use super::tickets::Tickets;
use super::time::Now;
use super::tokens::{FINGERPRINT, ISSUER, Identity, Revocations, identify};
use crate::config::REFRESH_SECS_MAX;
use crate::wire::jwt::{Key, Refused, verify};

/// The purpose of a key's tag of a verifier.
const FINGERPRINT_PURPOSE: &str = "password fingerprint";

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

/// Accounts, tokens, tickets, sessions and the throttle of sign-ins.
#[derive(Debug)]
pub struct Auth {
    credentials: Credentials,
    token_ttl_secs: u64,
    ticket_ttl: Duration,
    random: Random,
    tickets: Tickets,
    revocations: Revocations,
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
        Self {
            credentials,
            token_ttl_secs,
            ticket_ttl,
            random: Random::new(seed),
            tickets: Tickets::default(),
            revocations: Revocations::default(),
            throttle: Throttle::default(),
            sessions: Sessions::default(),
        }
    }

    /// Whether a name has an account.
    pub fn has_account(&self, name: &str) -> bool {
        self.credentials.accounts.has(name)
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
        let (scheme, token) = authorization
            .and_then(|value| value.split_once(' '))
            .ok_or(Denied::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::Missing);
        }
        self.identify(token.trim_start_matches(' '), now)
            .map_err(Denied::Invalid)
    }

    fn identify(&self, token: &str, now: Now) -> Result<Identity, Refused> {
        let (claims, key) = verify(token, &self.credentials.keys)?;
        let (_, signature) = token.rsplit_once('.').unwrap_or_default();
        let identity = identify(&claims, signature, now.unix.as_secs())?;
        if identity.is_ours {
            self.check_fingerprint(&identity.username, &claims, key)?;
        }
        if self.revocations.covers(&identity) {
            return Err(Refused("the token was revoked"));
        }
        Ok(identity)
    }

    /// The claim of our tokens that identifies the password they were issued for. It reveals nothing without the
    /// secret, and another password has another fingerprint: so a changed password invalidates its tokens without
    /// stored state, also after a restart.
    fn fingerprint(&self, username: &str, key: &Key) -> Option<String> {
        let verifier = self.credentials.accounts.find(username)?;
        Some(key.tag(FINGERPRINT_PURPOSE, &verifier.bytes()))
    }

    fn check_fingerprint(
        &self,
        username: &str,
        claims: &Map<String, Value>,
        key: &Key,
    ) -> Result<(), Refused> {
        let expected = self
            .fingerprint(username, key)
            .ok_or(Refused("the token's account is gone"))?;
        match claims.get(FINGERPRINT) {
            Some(Value::String(found)) if *found == expected => Ok(()),
            Some(_) => Err(Refused("the password has changed; sign in again")),
            None => Err(Refused(
                "the token has no fingerprint of the password; sign in again",
            )),
        }
    }

    /// A token for an account whose password was checked at `authenticated_at` (seconds since 1970), and its lifetime
    /// in seconds; `None` without an account or a secret.
    pub fn issue_token(
        &mut self,
        username: &str,
        authenticated_at: u64,
        now: Now,
    ) -> Option<(String, u64)> {
        let issued_at = now.unix.as_secs();
        let id = URL_SAFE_NO_PAD.encode(&self.random.bytes()[..16]);
        let key = self.credentials.keys.first()?;
        let claims = json!({
            "iss": ISSUER,
            "sub": username,
            "iat": issued_at,
            "exp": issued_at + self.token_ttl_secs,
            "jti": id,
            "auth_time": authenticated_at,
            FINGERPRINT: self.fingerprint(username, key)?,
        });
        Some((key.sign(&claims), self.token_ttl_secs))
    }

    /// A newer token for the bearer of one of ours, within [`REFRESH_SECS_MAX`] of the password check.
    ///
    /// # Errors
    /// The token is not ours, or its password check is too old.
    pub fn refresh(&mut self, identity: &Identity, now: Now) -> Result<(String, u64), Refused> {
        let is_recent =
            now.unix.as_secs() < identity.authenticated_at.saturating_add(REFRESH_SECS_MAX);
        if !identity.is_ours || !is_recent {
            return Err(Refused("the token cannot be refreshed; sign in again"));
        }
        let issued = self.issue_token(&identity.username, identity.authenticated_at, now);
        issued.ok_or(Refused("no secret signs tokens here"))
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

    /// Checks an identity whose ticket was redeemed, here or elsewhere: its token may have expired or been revoked since
    /// the ticket was issued.
    ///
    /// # Errors
    /// [`BadTicket`].
    pub fn check_redeemed(&self, identity: Identity, now: Now) -> Result<Identity, BadTicket> {
        if identity.expires_at <= now.unix.as_secs() {
            return Err(BadTicket::TokenExpired);
        }
        if self.revocations.covers(&identity) {
            return Err(BadTicket::Unknown);
        }
        Ok(identity)
    }

    /// Revokes a token and its tickets. Returns its connections, or `None` at the limit of revoked tokens.
    pub fn revoke(&mut self, identity: &Identity, now: Now) -> Option<Vec<ConnectionId>> {
        let is_revoked = self.revocations.revoke_token(identity, now);
        is_revoked.then(|| self.sessions.of_token(&identity.token))
    }

    /// Puts newer credentials in force, and leaves the previous ones in `reload`, to be dropped by a job. Tokens and
    /// tickets of the names in [`Reload::gone`] are refused from here on.
    pub fn reload(&mut self, reload: &mut Reload, now: Now) {
        std::mem::swap(&mut self.credentials, &mut reload.credentials);
        self.tickets.void(&reload.gone);
        // A removed account that is added again does not make its old tokens valid. A changed password needs no
        // revocation: the fingerprint differs.
        let accounts = &self.credentials.accounts;
        let removed = reload.gone.iter().filter(|name| !accounts.has(name));
        let until = now.unix.as_secs() + self.token_ttl_secs.max(REFRESH_SECS_MAX);
        self.revocations.revoke_names(removed, until, now);
    }

    /// The source of random bytes.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::accounts::DEMO_ACCOUNTS;
    use crate::domain::credentials::parse_secrets;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const TTL: u64 = 3_600;

    fn credentials(accounts: &str, keys: Vec<Key>) -> Credentials {
        Credentials {
            accounts: Accounts::parse(accounts, [0; 32]).expect("reads").into(),
            keys,
        }
    }

    fn keys() -> Vec<Key> {
        parse_secrets(&format!("a:{SECRET}")).expect("reads")
    }

    /// Puts other accounts in force; returns the names that were signed out.
    fn reload(auth: &mut Auth, accounts: &str, now: Now) -> Vec<String> {
        let mut reload = Reload::new(credentials(accounts, keys()), auth.accounts());
        auth.reload(&mut reload, now);
        reload.gone.iter().map(|name| name.to_string()).collect()
    }

    fn auth() -> Auth {
        let credentials = credentials(DEMO_ACCOUNTS, keys());
        Auth::new(credentials, TTL, Duration::from_secs(30), &[7; 32])
    }

    fn at(seconds: u64) -> Now {
        Now {
            monotonic: Duration::from_secs(seconds),
            unix: Duration::from_secs(1_700_000_000 + seconds),
        }
    }

    /// A token for the demo's account, issued at second 0, and its identity.
    fn signed_in(auth: &mut Auth) -> (String, Identity) {
        let (token, ttl) = auth
            .issue_token("admin", 1_700_000_000, at(0))
            .expect("signs");
        assert_eq!(ttl, TTL);
        let bearer = format!("Bearer {token}");
        let identity = auth.authenticate(Some(&bearer), at(0)).expect("is good");
        (bearer, identity)
    }

    #[test]
    fn a_bearer_token_names_its_account_until_it_expires() {
        let mut auth = auth();
        assert!(auth.has_account("admin") && !auth.has_account("kim"));
        let (bearer, identity) = signed_in(&mut auth);
        assert_eq!((&*identity.username, identity.is_ours), ("admin", true));
        let lower = bearer.replace("Bearer ", "bearer   ");
        assert!(auth.authenticate(Some(&lower), at(TTL - 1)).is_ok());
        let late = auth.authenticate(Some(&bearer), at(TTL));
        assert_eq!(late, Err(Denied::Invalid(Refused("the token has expired"))));
        for other in [None, Some("Bearer"), Some("Basic YTpi")] {
            assert_eq!(auth.authenticate(other, at(0)), Err(Denied::Missing));
        }
    }

    #[test]
    fn a_token_is_refreshed_for_a_day_and_only_if_it_is_ours() {
        let mut auth = auth();
        let (_, identity) = signed_in(&mut auth);
        for (seconds, is_good) in [
            (0, true),
            (REFRESH_SECS_MAX - 1, true),
            (REFRESH_SECS_MAX, false),
        ] {
            let refreshed = auth.refresh(&identity, at(seconds));
            assert_eq!(refreshed.is_ok(), is_good, "{seconds}");
            if let Ok((token, ttl)) = refreshed {
                let bearer = format!("Bearer {token}");
                let newer = auth
                    .authenticate(Some(&bearer), at(seconds))
                    .expect("is good");
                assert_eq!((newer.authenticated_at, ttl), (1_700_000_000, TTL));
            }
        }
        let foreign = Identity {
            is_ours: false,
            ..identity
        };
        assert!(auth.refresh(&foreign, at(0)).is_err());
    }

    #[test]
    fn a_ticket_opens_once_in_time_and_while_its_token_is_good() {
        let mut auth = auth();
        assert_eq!(auth.ticket_ttl_secs(), 30);
        let (_, identity) = signed_in(&mut auth);
        let mut redeemed = |seconds, later| {
            let ticket = auth
                .issue_ticket(identity.clone(), at(seconds))
                .expect("has room");
            let first = auth.redeem(&ticket, at(seconds + later));
            (first, auth.redeem(&ticket, at(seconds + later)))
        };
        let unknown = Err(BadTicket::Unknown);
        assert_eq!(redeemed(0, 29), (Ok(identity.clone()), unknown.clone()));
        assert_eq!(redeemed(0, 30), (unknown.clone(), unknown.clone()));
        let last = TTL - 1;
        assert_eq!(redeemed(last, 0), (Ok(identity.clone()), unknown.clone()));
        assert_eq!(redeemed(last, 1), (Err(BadTicket::TokenExpired), unknown));
    }

    #[test]
    fn what_was_revoked_or_has_lost_its_account_is_refused() {
        let mut auth = auth();
        let (bearer, identity) = signed_in(&mut auth);
        let ticket = auth
            .issue_ticket(identity.clone(), at(0))
            .expect("has room");
        auth.sessions.open(ConnectionId(3), identity.clone(), at(0));
        assert_eq!(auth.revoke(&identity, at(1)), Some(vec![ConnectionId(3)]));
        let revoked = Err(Denied::Invalid(Refused("the token was revoked")));
        assert_eq!(auth.authenticate(Some(&bearer), at(1)), revoked);
        assert_eq!(auth.redeem(&ticket, at(1)), Err(BadTicket::Unknown));

        let mut auth = self::auth();
        let (bearer, _) = signed_in(&mut auth);
        assert_eq!(reload(&mut auth, DEMO_ACCOUNTS, at(1)), [""; 0]);
        assert!(auth.authenticate(Some(&bearer), at(1)).is_ok());
        assert_eq!(reload(&mut auth, "", at(1)), ["admin"]);
        let gone = Err(Denied::Invalid(Refused("the token's account is gone")));
        assert_eq!(auth.authenticate(Some(&bearer), at(1)), gone);
        assert_eq!(auth.issue_token("admin", 0, at(2)), None);
        assert_eq!(reload(&mut auth, DEMO_ACCOUNTS, at(2)), [""; 0]);
        assert_eq!(auth.authenticate(Some(&bearer), at(2)), revoked);
    }

    #[test]
    fn a_name_that_was_gone_is_revoked_for_as_long_as_its_tokens_could_be_good() {
        let mut auth = auth();
        let (bearer, _) = signed_in(&mut auth);
        let both = format!("{DEMO_ACCOUNTS}{}", DEMO_ACCOUNTS.replace("admin", "kim"));
        reload(&mut auth, "", at(0));
        reload(&mut auth, &both, at(1));
        assert_eq!(reload(&mut auth, DEMO_ACCOUNTS, at(TTL - 1)), ["kim"]);
        let revoked = Err(Denied::Invalid(Refused("the token was revoked")));
        assert_eq!(auth.authenticate(Some(&bearer), at(TTL - 1)), revoked);
    }

    /// The demo's account with another salt, and so another verifier.
    fn other_password() -> String {
        DEMO_ACCOUNTS.replace("$c2FyYW5n", "$c2FyYW5m")
    }

    #[test]
    fn another_password_ends_tokens_and_tickets_and_not_what_is_issued_from_then_on() {
        let mut auth = auth();
        let (bearer, identity) = signed_in(&mut auth);
        let ticket = auth.issue_ticket(identity, at(0)).expect("has room");
        assert_eq!(reload(&mut auth, &other_password(), at(0)), ["admin"]);
        let changed = Refused("the password has changed; sign in again");
        let refused = Err(Denied::Invalid(changed));
        assert_eq!(auth.authenticate(Some(&bearer), at(0)), refused);
        assert_eq!(auth.redeem(&ticket, at(0)), Err(BadTicket::Unknown));
        // Also in the same second.
        let (_, identity) = signed_in(&mut auth);
        let ticket = auth
            .issue_ticket(identity.clone(), at(0))
            .expect("has room");
        assert_eq!(auth.redeem(&ticket, at(0)), Ok(identity));
    }

    #[test]
    fn a_token_outlives_a_restart_and_its_password_does_not() {
        let started = |accounts: &str, secrets: &str| {
            let credentials = credentials(accounts, parse_secrets(secrets).expect("reads"));
            Auth::new(credentials, TTL, Duration::from_secs(30), &[8; 32])
        };
        let (bearer, _) = signed_in(&mut auth());
        let old = format!("a:{SECRET}");
        let with_newer = format!("b:{}\n{old}", SECRET.to_uppercase());
        for (accounts, secrets, is_good) in [
            (DEMO_ACCOUNTS, &old, true),
            (DEMO_ACCOUNTS, &with_newer, true),
            (&other_password(), &old, false),
            (&other_password(), &with_newer, false),
            (&DEMO_ACCOUNTS.replace("t=2", "t=3"), &old, false),
            ("", &old, false),
        ] {
            let auth = started(accounts, secrets);
            let found = auth.authenticate(Some(&bearer), at(1));
            assert_eq!(found.is_ok(), is_good, "{accounts} {secrets}: {found:?}");
        }
    }

    #[test]
    fn a_token_of_ours_without_a_fingerprint_is_refused_and_another_back_end_needs_none() {
        let auth = auth();
        let mut claims = json!({"sub": "admin", "exp": 1_700_000_900, "iss": "sarang"});
        let mut judged = |name: &str, value: Value| {
            claims[name] = value;
            let bearer = format!("Bearer {}", keys()[0].sign(&claims));
            auth.authenticate(Some(&bearer), at(0))
                .map(|identity| identity.is_ours)
        };
        let refused = |why| Err(Denied::Invalid(Refused(why)));
        let changed = "the password has changed; sign in again";
        let missing = "the token has no fingerprint of the password; sign in again";
        assert_eq!(judged("jti", json!("1")), refused(missing));
        for value in [json!(null), json!(""), json!(7), json!("A".repeat(22))] {
            assert_eq!(judged(FINGERPRINT, value), refused(changed));
        }
        assert_eq!(judged("iss", json!("another")), Ok(false));
    }

    #[test]
    fn a_password_is_in_force_while_its_account_has_it() {
        let mut auth = auth();
        let verifier = auth.verifier("admin");
        assert!(auth.is_in_force("admin", &verifier));
        assert!(!auth.is_in_force("kim", &auth.verifier("kim")));
        reload(&mut auth, DEMO_ACCOUNTS, at(0));
        assert!(auth.is_in_force("admin", &verifier));
        reload(&mut auth, &other_password(), at(0));
        assert!(!auth.is_in_force("admin", &verifier));
    }
}
