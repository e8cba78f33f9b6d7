//! What a token's claims must say (RFC 7519 section 4.1), and which tokens are revoked.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Now;
use super::people::is_valid_account_name;
use crate::config::{REVOCATIONS_MAX, TOKEN_CLOCK_LEEWAY_SECS, TOKEN_ID_BYTES_MAX};
use crate::wire::jwt::Refused;

/// Who signs our own tokens.
pub const ISSUER: &str = "sarang";
/// 9999-12-31T23:59:59Z, the last second RFC 3339 can write; a number above it is a mistake, such as milliseconds.
const NUMERIC_DATE_MAX: u64 = 253_402_300_799;

/// Who a token says somebody is, and for how long. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The subject.
    pub username: Rc<str>,
    /// What names the token: the subject with its `jti`, or with its signature when it has none.
    pub token: Rc<str>,
    /// When it was issued.
    pub issued_at: u64,
    /// When it expires.
    pub expires_at: u64,
    /// When the password was given, for one of ours.
    pub authenticated_at: u64,
    /// Whether we issued it, so that its subject must be one of our accounts.
    pub is_ours: bool,
}

/// The identity in the claims of a verified token; `signature` names it when it has no `jti`.
///
/// # Errors
/// A claim that is missing, ill-typed, or says that the token is not valid now.
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
        token: format!(
            "{username}
{token}"
        )
        .into(),
        issued_at,
        expires_at,
        authenticated_at: date(claims, "auth_time")?.unwrap_or(0),
        is_ours,
    })
}

/// A NumericDate in whole seconds; one as text, with a fraction, negative or out of range is none.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refused> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(seconds) if seconds <= NUMERIC_DATE_MAX => Ok(Some(seconds)),
            _ => Err(Refused("a date in the token is no whole number of seconds")),
        },
    }
}

/// Tokens that are refused although they have not expired. Each is kept until it would have by either clock: while the
/// wall clock is wrong it must not be forgotten, or it were good again when the clock is right.
#[derive(Debug, Default)]
pub struct Revocations {
    tokens: HashMap<Rc<str>, Duration>,
    /// Names whose tokens issued up to a second are refused: (that second, when the last of them has expired).
    names: HashMap<Rc<str>, (u64, u64)>,
    expiries: BTreeSet<(u64, Rc<str>)>,
}

impl Revocations {
    /// Revokes one token; false at [`REVOCATIONS_MAX`].
    pub fn revoke_token(&mut self, identity: &Identity, now: Now) -> bool {
        self.sweep(now);
        if self.expiries.len() >= REVOCATIONS_MAX {
            return false;
        }
        let left = Duration::from_secs(identity.expires_at).saturating_sub(now.unix);
        let expired_at = now.monotonic.saturating_add(left);
        self.tokens.insert(identity.token.clone(), expired_at);
        self.expiries
            .insert((identity.expires_at, identity.token.clone()));
        true
    }

    /// Revokes every token of a name issued until now; the last of them expires at `until`. There are never more of
    /// these than accounts were removed.
    pub fn revoke_name(&mut self, name: Rc<str>, until: u64, unix_secs: u64) {
        self.names.retain(|_, (_, until)| *until > unix_secs);
        self.names.insert(name, (unix_secs, until));
    }

    /// Whether a token is revoked.
    pub fn covers(&self, identity: &Identity) -> bool {
        let name = self.names.get(&identity.username);
        self.tokens.contains_key(&identity.token)
            || name.is_some_and(|(second, _)| identity.issued_at <= *second)
    }

    fn sweep(&mut self, now: Now) {
        while let Some((expires_at, token)) = self.expiries.pop_first() {
            let is_kept = |expired_at: &Duration| *expired_at > now.monotonic;
            if expires_at > now.unix.as_secs() || self.tokens.get(&token).is_some_and(is_kept) {
                self.expiries.insert((expires_at, token));
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
        let at = |monotonic, unix| Now {
            monotonic: Duration::from_secs(monotonic),
            unix: Duration::from_secs(unix),
        };
        assert!(revocations.revoke_token(&identity, at(5, NOW)));
        assert!(revocations.covers(&identity));
        revocations.sweep(at(14, NOW + 9));
        assert!(revocations.covers(&identity));
        // A clock that is set forward and back again makes nothing good.
        revocations.sweep(at(14, NOW + 1_000_000));
        assert!(revocations.covers(&identity));
        revocations.sweep(at(15, NOW + 9));
        assert!(revocations.covers(&identity));
        revocations.sweep(at(15, NOW + 10));
        assert!(revocations.tokens.is_empty() && revocations.expiries.is_empty());
    }

    #[test]
    fn a_revoked_name_is_good_again_for_tokens_issued_later() {
        let mut revocations = Revocations::default();
        let issued =
            |at| identified(json!({"sub": "a", "exp": NOW + 10, "iat": at})).expect("is valid");
        revocations.revoke_name("a".into(), NOW + 100, NOW);
        assert!(revocations.covers(&issued(NOW)));
        assert!(!revocations.covers(&issued(NOW + 1)));
    }
}
