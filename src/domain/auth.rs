//! Who somebody is: passwords for tokens, tokens for tickets, tickets for sessions.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::accounts::{Accounts, Verifier, entries};
use super::ids::ConnectionId;
use super::random::Random;
use super::sessions::Sessions;
use super::throttle::Throttle;
use super::tickets::Tickets;
use super::time::Now;
use super::tokens::{ISSUER, Identity, Revocations, identify};
use crate::config::{REFRESH_SECS_MAX, SECRETS_MAX};
use crate::wire::jwt::{Key, Refused, verify};

/// Accounts and secrets, as the files have them.
#[derive(Debug)]
pub struct Credentials {
    /// Who has a password.
    pub accounts: Accounts,
    /// What tokens are signed with: the first signs, all verify.
    pub keys: Vec<Key>,
}

/// Reads a secrets file: `kid:secret` per line, blank lines and lines that begin with `#` aside.
///
/// # Errors
/// The first line that is wrong, with its number and without its content.
pub fn parse_secrets(text: &str) -> Result<Vec<Key>, String> {
    let mut keys: Vec<Key> = Vec::new();
    for (number, line) in entries(text) {
        let (id, secret) = line
            .split_once(':')
            .ok_or(format!("line {number} is not KID:SECRET"))?;
        if id.is_empty() || keys.iter().any(|key| key.id.as_deref() == Some(id)) {
            return Err(format!("line {number}: the kid is empty or stands twice"));
        }
        let key = Key::new(Some(id), secret.as_bytes())
            .map_err(|Refused(why)| format!("line {number}: {why}"))?;
        keys.push(key);
    }
    match keys.len() {
        0 => Err("there is no secret in it".into()),
        1..=SECRETS_MAX => Ok(keys),
        _ => Err(format!("there are more than {SECRETS_MAX} secrets")),
    }
}

/// Why a request is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It has no bearer token.
    Missing,
    /// It has one that is no good.
    Invalid(Refused),
}

/// Why a ticket opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTicket {
    /// Unknown, used, expired, or of a session that was ended.
    Unknown,
    /// The token behind it has expired.
    TokenExpired,
}

/// Everything about identity.
#[derive(Debug)]
pub struct Auth {
    credentials: Credentials,
    token_ttl_secs: u64,
    ticket_ttl: Duration,
    random: Random,
    tickets: Tickets,
    revocations: Revocations,
    /// How often somebody may try.
    pub throttle: Throttle,
    /// Connections that came with a ticket.
    pub sessions: Sessions,
}

impl Auth {
    /// Nobody has signed in. The seed decides tickets and token ids.
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

    /// The names of all accounts.
    pub fn account_names(&self) -> Vec<Rc<str>> {
        self.credentials.accounts.names().cloned().collect()
    }

    /// What a password for this name is checked against.
    pub fn verifier(&self, name: &str) -> Arc<Verifier> {
        self.credentials.accounts.verifier(name)
    }

    /// How long a ticket lives, in seconds.
    pub fn ticket_ttl_secs(&self) -> u64 {
        self.ticket_ttl.as_secs()
    }

    /// Whose the bearer token in an Authorization field is (RFC 6750 section 2.1).
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
        let claims = verify(token, &self.credentials.keys)?;
        let (_, signature) = token.rsplit_once('.').unwrap_or_default();
        let identity = identify(&claims, signature, now.unix.as_secs())?;
        self.check_standing(&identity)?;
        Ok(identity)
    }

    /// A token that was good may have been revoked, or have lost its account.
    fn check_standing(&self, identity: &Identity) -> Result<(), Refused> {
        if self.revocations.covers(identity) {
            return Err(Refused("the token was revoked"));
        }
        if identity.is_ours && !self.has_account(&identity.username) {
            return Err(Refused("the token's account is gone"));
        }
        Ok(())
    }

    /// A token for somebody whose password was right at `authenticated_at`, and how long it lives, in seconds.
    pub fn issue_token(
        &mut self,
        username: &str,
        authenticated_at: u64,
        now: Now,
    ) -> Option<(String, u64)> {
        let issued_at = now.unix.as_secs();
        let id = URL_SAFE_NO_PAD.encode(&self.random.bytes()[..16]);
        let claims = json!({
            "iss": ISSUER,
            "sub": username,
            "iat": issued_at,
            "exp": issued_at + self.token_ttl_secs,
            "jti": id,
            "auth_time": authenticated_at,
        });
        Some((
            self.credentials.keys.first()?.sign(&claims),
            self.token_ttl_secs,
        ))
    }

    /// A newer token for the bearer of one of ours, within a day of the password.
    ///
    /// # Errors
    /// A token that is not ours, or whose password was too long ago.
    pub fn refresh(&mut self, identity: &Identity, now: Now) -> Result<(String, u64), Refused> {
        let is_recent =
            now.unix.as_secs() < identity.authenticated_at.saturating_add(REFRESH_SECS_MAX);
        if !identity.is_ours || !is_recent {
            return Err(Refused("the token cannot be refreshed; sign in again"));
        }
        let issued = self.issue_token(&identity.username, identity.authenticated_at, now);
        issued.ok_or(Refused("no secret signs tokens here"))
    }

    /// A ticket for the bearer of a token; `None` when there are too many.
    pub fn issue_ticket(&mut self, identity: Identity, now: Now) -> Option<String> {
        let random = self.random.bytes();
        self.tickets.issue(
            random,
            identity,
            now.monotonic + self.ticket_ttl,
            now.monotonic,
        )
    }

    /// Whose ticket this is; it is used up.
    ///
    /// # Errors
    /// [`BadTicket`].
    pub fn redeem(&mut self, ticket: &str, now: Now) -> Result<Identity, BadTicket> {
        let identity = self
            .tickets
            .redeem(ticket, now.monotonic)
            .ok_or(BadTicket::Unknown)?;
        if identity.expires_at <= now.unix.as_secs() {
            return Err(BadTicket::TokenExpired);
        }
        self.check_standing(&identity)
            .map_err(|_| BadTicket::Unknown)?;
        Ok(identity)
    }

    /// Refuses a token and its tickets from here on; its connections, or `None` when too many tokens are revoked.
    pub fn revoke(&mut self, identity: &Identity, now: Now) -> Option<Vec<ConnectionId>> {
        let is_revoked = self.revocations.revoke_token(identity, now);
        is_revoked.then(|| self.sessions.of_token(&identity.token))
    }

    /// Replaces accounts and secrets. The names whose account is gone or has another password: what was issued to them
    /// is refused from here on.
    pub fn reload(&mut self, credentials: Credentials, now: Now) -> Vec<Rc<str>> {
        let gone: Vec<_> = self
            .credentials
            .accounts
            .gone_in(&credentials.accounts)
            .cloned()
            .collect();
        let until = now.unix.as_secs() + self.token_ttl_secs.max(REFRESH_SECS_MAX);
        self.revocations.revoke_names(&gone, until, now);
        self.credentials = credentials;
        gone
    }

    /// Random bytes for whoever needs some.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::accounts::DEMO_ACCOUNTS;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const TTL: u64 = 3_600;

    fn credentials(accounts: &str, keys: Vec<Key>) -> Credentials {
        Credentials {
            accounts: Accounts::parse(accounts, [0; 32]).expect("reads"),
            keys,
        }
    }

    fn keys() -> Vec<Key> {
        parse_secrets(&format!("a:{SECRET}")).expect("reads")
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

    /// A token for the demo's account, issued at second 0, and whose it is.
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
    fn secrets_are_one_to_sixteen_with_a_name_each() {
        let lines =
            |count: usize| -> String { (0..count).map(|n| format!("k{n}:{SECRET}\n")).collect() };
        for count in [1, SECRETS_MAX] {
            assert_eq!(
                parse_secrets(&lines(count)).map(|keys| keys.len()),
                Ok(count)
            );
        }
        for (text, why) in [
            (lines(0), "there is no secret in it"),
            (lines(SECRETS_MAX + 1), "there are more than 16 secrets"),
            (
                format!(":{SECRET}"),
                "line 1: the kid is empty or stands twice",
            ),
            (
                lines(1).repeat(2),
                "line 2: the kid is empty or stands twice",
            ),
            ("k".into(), "line 1 is not KID:SECRET"),
            (
                "k:short".into(),
                "line 1: a secret must have at least 32 bytes",
            ),
        ] {
            assert_eq!(parse_secrets(&text).map(|_| ()), Err(why.to_owned()));
        }
    }

    #[test]
    fn a_bearer_token_names_its_account_until_it_expires() {
        let mut auth = auth();
        assert!(auth.has_account("admin") && !auth.has_account("kim"));
        assert_eq!(auth.account_names(), ["admin".into()]);
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
        assert_eq!(auth.reload(credentials(DEMO_ACCOUNTS, keys()), at(1)), []);
        assert!(auth.authenticate(Some(&bearer), at(1)).is_ok());
        let gone = auth.reload(credentials("", keys()), at(1));
        assert_eq!(gone, ["admin".into()]);
        assert_eq!(auth.authenticate(Some(&bearer), at(1)), revoked);
        let (token, _) = auth.issue_token("admin", 0, at(2)).expect("signs");
        let later = auth.authenticate(Some(&format!("Bearer {token}")), at(2));
        assert_eq!(
            later,
            Err(Denied::Invalid(Refused("the token's account is gone")))
        );
    }

    #[test]
    fn a_name_that_was_gone_is_revoked_for_as_long_as_its_tokens_could_be_good() {
        let mut auth = auth();
        let (bearer, _) = signed_in(&mut auth);
        let both = format!("{DEMO_ACCOUNTS}{}", DEMO_ACCOUNTS.replace("admin", "kim"));
        auth.reload(credentials("", keys()), at(0));
        auth.reload(credentials(&both, keys()), at(1));
        let gone = auth.reload(credentials(DEMO_ACCOUNTS, keys()), at(TTL - 1));
        assert_eq!(gone, ["kim".into()]);
        let revoked = Err(Denied::Invalid(Refused("the token was revoked")));
        assert_eq!(auth.authenticate(Some(&bearer), at(TTL - 1)), revoked);
    }
}
