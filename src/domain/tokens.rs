//! The required claims of a token (RFC 7519 section 4.1), and revoked tokens.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::names::is_valid_account_name;
use super::time::Now;
use crate::config::{REVOCATIONS_MAX, TOKEN_CLOCK_LEEWAY_SECS, TOKEN_ID_BYTES_MAX};
use crate::wire::jwt::Refused;

/// The issuer of our own tokens (`iss`).
pub const ISSUER: &str = "sarang";
/// The claim of our tokens with the fingerprint of the password they were issued for.
pub const FINGERPRINT: &str = "pwf";
/// 9999-12-31T23:59:59Z, the last second RFC 3339 can express; a larger number is a mistake, such as milliseconds.
const NUMERIC_DATE_MAX: u64 = 253_402_300_799;

/// The identity in a token's claims. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The subject.
    pub username: Rc<str>,
    /// The name of the token: the subject with its `jti`, or with its signature if it has none.
    pub token: Rc<str>,
    /// When it was issued.
    pub issued_at: u64,
    /// When it expires.
    pub expires_at: u64,
    /// When the password was checked (`auth_time`), for one of ours.
    pub authenticated_at: u64,
    /// Whether this server issued it, so that its subject must be one of its accounts.
    pub is_ours: bool,
}

impl Identity {
    /// The name of a token of this subject. No subject contains a line feed.
    pub fn token_of(username: &str, token: &str) -> Rc<str> {
        format!("{username}\n{token}").into()
    }
}

/// The identity in the claims of a verified token; `signature` names the token if it has no `jti`.
///
/// # Errors
/// A claim is missing or of the wrong type, or the token is not valid now.
pub fn identify(
    claims: &Map<String, Value>,
    signature: &str,
    unix_secs: u64,
) -> Result<Identity, Refused> {
    let username = match claims.get("sub") {
        Some(Value::String(name)) if is_valid_account_name(name) => name.as_str(),
        _ => return Err(Refused("the token's sub is missing or no name")),
    };
    let expires_at = date(claims, "exp")?.ok_or(Refused("the token has no exp"))?;
    if expires_at <= unix_secs {
        return Err(Refused("the token has expired"));
    }
    let latest = unix_secs + TOKEN_CLOCK_LEEWAY_SECS;
    if date(claims, "nbf")?.is_some_and(|not_before| not_before > latest) {
        return Err(Refused("the token is not valid yet"));
    }
    let issued_at = date(claims, "iat")?.unwrap_or(0);
    if issued_at > latest {
        return Err(Refused("the token was issued in the future"));
    }
    let token = match claims.get("jti") {
        None => signature,
        Some(Value::String(id)) if (1..=TOKEN_ID_BYTES_MAX).contains(&id.len()) => id,
        Some(_) => return Err(Refused("the token's jti is no text of a fitting length")),
    };
    let is_ours = claims.get("iss").and_then(Value::as_str) == Some(ISSUER);
    Ok(Identity {
        username: username.into(),
        token: Identity::token_of(username, token),
        issued_at,
        expires_at,
        authenticated_at: date(claims, "auth_time")?.unwrap_or(0),
        is_ours,
    })
}

/// A NumericDate (RFC 7519 section 2) in whole seconds. Text, fractions, negative and out-of-range numbers are refused.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refused> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(seconds) if seconds <= NUMERIC_DATE_MAX => Ok(Some(seconds)),
            _ => Err(Refused("a date in the token is no whole number of seconds")),
        },
    }
}

/// A time that is over when both clocks have passed it. With the wall clock alone, a clock that was ahead for a moment
/// would make revoked tokens valid again; with the monotonic clock alone, one that was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Until {
    monotonic: Duration,
    unix_secs: u64,
}

impl Until {
    fn new(unix_secs: u64, now: Now) -> Self {
        let left = Duration::from_secs(unix_secs).saturating_sub(now.unix);
        Self {
            monotonic: now.monotonic.saturating_add(left),
            unix_secs,
        }
    }

    fn is_over(self, now: Now) -> bool {
        self.monotonic <= now.monotonic && self.unix_secs <= now.unix.as_secs()
    }
}

/// Tokens that are refused although they have not expired. Each entry is kept until its token has expired.
#[derive(Debug, Default)]
pub struct Revocations {
    tokens: HashSet<Rc<str>>,
    /// Names whose tokens issued up to this second are refused, and until when the entry is kept.
    names: HashMap<Arc<str>, (u64, Until)>,
    expiries: BTreeSet<(Until, Rc<str>)>,
}

impl Revocations {
    /// Revokes a token; false at [`REVOCATIONS_MAX`].
    pub fn revoke_token(&mut self, identity: &Identity, now: Now) -> bool {
        self.sweep(now);
        if self.tokens.len() >= REVOCATIONS_MAX {
            return false;
        }
        if self.tokens.insert(identity.token.clone()) {
            let until = Until::new(identity.expires_at, now);
            self.expiries.insert((until, identity.token.clone()));
        }
        true
    }

    /// Revokes every token of these names issued until now; the last of them expires at `until` (seconds since 1970).
    /// The number of entries is at most the number of removed accounts.
    pub fn revoke_names<'a>(
        &mut self,
        names: impl Iterator<Item = &'a Arc<str>>,
        until: u64,
        now: Now,
    ) {
        let mut names = names.peekable();
        // Swept only when entries are added.
        if names.peek().is_some() {
            self.names.retain(|_, (_, until)| !until.is_over(now));
        }
        let what = (now.unix.as_secs(), Until::new(until, now));
        self.names.extend(names.map(|name| (name.clone(), what)));
    }

    /// Whether a token is revoked.
    pub fn covers(&self, identity: &Identity) -> bool {
        let name = self.names.get(&*identity.username);
        self.tokens.contains(&identity.token)
            || name.is_some_and(|(second, _)| identity.issued_at <= *second)
    }

    fn sweep(&mut self, now: Now) {
        while let Some((until, token)) = self.expiries.pop_first() {
            if !until.is_over(now) {
                self.expiries.insert((until, token));
                return;
            }
            self.tokens.remove(&token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_700_000_000;

    /// A time that is this many seconds later, by each clock.
    fn at(monotonic: u64, unix: u64) -> Now {
        Now {
            monotonic: Duration::from_secs(monotonic),
            unix: Duration::from_secs(NOW + unix),
        }
    }

    fn identified(claims: Value) -> Result<Identity, Refused> {
        identify(claims.as_object().expect("is an object"), "signature", NOW)
    }

    #[test]
    fn claims_that_hold_now_name_somebody() {
        let identity = identified(
            json!({"sub": "김철수", "exp": NOW + 1, "iat": NOW, "jti": "7", "iss": "sarang"}),
        );
        let identity = identity.expect("is valid");
        assert_eq!(
            (&*identity.username, &*identity.token, identity.is_ours),
            ("김철수", "김철수\n7", true)
        );
        let foreign = identified(json!({"sub": "a", "exp": NOW + 1})).expect("is valid");
        assert_eq!((&*foreign.token, foreign.is_ours), ("a\nsignature", false));
    }

    #[test]
    fn claims_that_are_missing_ill_typed_or_untimely_are_refused() {
        for (name, value) in [
            ("sub", json!(null)),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("sub", json!("a\u{0}b")),
            ("exp", json!(null)),
            ("exp", json!("1800000000")),
            ("exp", json!(1.8e9)),
            ("exp", json!(-1)),
            ("exp", json!(1e300)),
            ("exp", json!(u64::MAX)),
            ("exp", json!(true)),
            ("exp", json!(NOW)),
            ("nbf", json!(NOW + 61)),
            ("nbf", json!("0")),
            ("iat", json!(NOW + 61)),
            ("iat", json!([])),
            ("jti", json!(7)),
            ("jti", json!("")),
            ("jti", json!("x".repeat(TOKEN_ID_BYTES_MAX + 1))),
        ] {
            let mut claims =
                json!({"sub": "a", "exp": NOW + 9, "nbf": NOW, "iat": NOW, "jti": "7"});
            assert!(identified(claims.clone()).is_ok());
            claims[name] = value;
            assert!(identified(claims.clone()).is_err(), "{claims}");
        }
        assert!(identified(json!({"sub": "a"})).is_err());
        assert!(identified(json!({"exp": NOW + 9})).is_err());
    }

    #[test]
    fn a_revocation_lives_until_the_token_would_have_expired() {
        let mut revocations = Revocations::default();
        let identity =
            identified(json!({"sub": "a", "exp": NOW + 10, "jti": "7"})).expect("is valid");
        assert!(!revocations.covers(&identity));
        assert!(revocations.revoke_token(&identity, at(0, 0)));
        assert!(revocations.covers(&identity));
        // Neither while one of the clocks is ahead.
        for (monotonic, unix) in [(9, 9), (9, 1000), (1000, 9)] {
            revocations.sweep(at(monotonic, unix));
            assert!(revocations.covers(&identity), "{monotonic} {unix}");
        }
        revocations.sweep(at(10, 10));
        assert!(revocations.tokens.is_empty() && revocations.expiries.is_empty());
    }

    #[test]
    fn a_revoked_name_is_good_again_for_tokens_issued_later() {
        let mut revocations = Revocations::default();
        let issued =
            |at| identified(json!({"sub": "a", "exp": NOW + 10, "iat": at})).expect("is valid");
        let mut revoke = |names: &[&str], until, now| {
            let names: Vec<Arc<str>> = names.iter().map(|name| (*name).into()).collect();
            revocations.revoke_names(names.iter(), until, now);
            let covers = [NOW, NOW + 1].map(|at| revocations.covers(&issued(at)));
            (covers, revocations.names.len())
        };
        assert_eq!(revoke(&["a", "b"], NOW + 100, at(0, 0)), ([true, false], 2));
        // Revoking another token sweeps the entries that are over, but not because a clock was ahead for a moment.
        assert_eq!(
            revoke(&["c"], NOW + 9_100, at(1, 9_000)),
            ([true, false], 3)
        );
        assert_eq!(revoke(&["c"], NOW + 300, at(200, 200)), ([false, false], 1));
    }

    #[test]
    fn another_clock_may_be_ahead_by_the_leeway_and_no_more() {
        for name in ["nbf", "iat"] {
            for (ahead, is_good) in [(60, true), (61, false), (62, false)] {
                let mut claims = json!({"sub": "a", "exp": NOW + 900});
                claims[name] = (NOW + ahead).into();
                assert_eq!(identified(claims).is_ok(), is_good, "{name} {ahead}");
            }
        }
    }

    #[test]
    fn a_revoked_name_is_forgotten_when_its_last_token_has_expired() {
        let mut revocations = Revocations::default();
        revocations.revoke_names([&"a".into()].into_iter(), NOW + 100, at(0, 0));
        revocations.revoke_names([&"b".into()].into_iter(), NOW + 200, at(99, 99));
        assert!(revocations.names.contains_key("a"));
        revocations.revoke_names([&"c".into()].into_iter(), NOW + 200, at(100, 100));
        assert!(!revocations.names.contains_key("a"));
        assert_eq!(revocations.names.len(), 2);
    }
}
