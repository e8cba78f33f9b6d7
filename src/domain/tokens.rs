//! The required claims of a token (RFC 7519 section 4.1), and the identity in them.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::issuer::{Issued, Issuer};
use super::names::nfc;
use super::permissions::Permissions;
use crate::config::{SUBJECT_CHARS_MAX, TOKEN_CLOCK_LEEWAY_SECS, TOKEN_ID_BYTES_MAX};
use crate::wire::jwt::{KeyId, Refused};

/// The issuer of our own tokens (`iss`).
pub const ISSUER: &str = "sarang";
/// The claim of our tokens with the fingerprint of the password they were issued for.
pub const FINGERPRINT: &str = "pwf";
/// The claim of our tokens that is the same in all tokens of one sign-in, refreshed ones included (OpenID Connect
/// Front-Channel Logout section 3). It means nothing in a token of another back end, which need not tell sign-ins apart.
pub const SIGN_IN: &str = "sid";
/// Why a token that has expired is refused.
pub const EXPIRED: Refused = Refused("the token has expired");
/// 9999-12-31T23:59:59Z, the last second RFC 3339 can express; a larger number is a mistake, such as milliseconds.
const NUMERIC_DATE_MAX: u64 = 253_402_300_799;

/// The identity in a token's claims. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The subject.
    pub username: Rc<str>,
    /// The name of the family of the token: of all tokens of one sign-in, which a logout ends as a whole. It is the
    /// subject with the `sid` of one of ours; any other token is a family of its own, named by its `jti`, or by its
    /// signature if it has none.
    pub family: Rc<str>,
    /// When it was issued.
    pub issued: Issued,
    /// When it expires.
    pub expires_at: u64,
    /// When the password was checked (`auth_time`), for one of ours.
    pub authenticated_at: u64,
    /// Whether this server issued it, so that its subject must be one of its accounts.
    pub is_ours: bool,
    /// The key that verified it. The identity is good while this key is in force.
    pub key: KeyId,
    /// What its bearer may do, by its claims. Whether the bearer of one of ours is a moderator is the account's: see
    /// [`Auth::is_moderator`](super::auth::Auth::is_moderator).
    pub permissions: Rc<Permissions>,
}

impl Identity {
    /// The name of a family of this subject. No subject contains a line feed.
    pub fn family_of(username: &str, id: &str) -> Rc<str> {
        format!("{username}\n{id}").into()
    }

    /// The name of the family without the subject.
    pub fn family_id(&self) -> &str {
        &self.family[self.username.len() + 1..]
    }
}

/// [`identify`] or [`identify_also_expired`].
pub type Identify = fn(&Map<String, Value>, &str, KeyId, &Issuer, u64) -> Result<Identity, Refused>;

/// The identity in the claims of a token that `key` has verified; `signature` names the token if it has no `jti`.
///
/// # Errors
/// A claim is missing or of the wrong type, or the token is not valid now.
pub fn identify(
    claims: &Map<String, Value>,
    signature: &str,
    key: KeyId,
    issuer: &Issuer,
    unix_secs: u64,
) -> Result<Identity, Refused> {
    let identity = identify_also_expired(claims, signature, key, issuer, unix_secs)?;
    match identity.expires_at > unix_secs {
        true => Ok(identity),
        false => Err(EXPIRED),
    }
}

/// Like [`identify`], for a token that may have expired: to log out of a sign-in of which there may be newer tokens.
///
/// # Errors
/// A claim is missing or of the wrong type, or the token is not valid yet.
pub fn identify_also_expired(
    claims: &Map<String, Value>,
    signature: &str,
    key: KeyId,
    issuer: &Issuer,
    unix_secs: u64,
) -> Result<Identity, Refused> {
    let username = subject(claims)?;
    let is_ours = claims.get("iss").and_then(Value::as_str) == Some(ISSUER);
    let issued_at = date(claims, "iat")?.unwrap_or(0);
    let exp = date(claims, "exp")?.ok_or(Refused("the token has no exp"))?;
    let expires_at = match is_ours {
        true => issuer.expiry(issued_at, exp),
        false => exp,
    };
    let latest = unix_secs + TOKEN_CLOCK_LEEWAY_SECS;
    if date(claims, "nbf")?.is_some_and(|not_before| not_before > latest) {
        return Err(Refused("the token is not valid yet"));
    }
    if issued_at > latest {
        return Err(Refused("the token was issued in the future"));
    }
    let token = id(claims, "jti")?.unwrap_or(signature);
    let (family, issued) = match is_ours {
        true => (
            id(claims, SIGN_IN)?.unwrap_or(token),
            issuer.issued(token, issued_at),
        ),
        false => (token, Issued::Elsewhere(issued_at)),
    };
    Ok(Identity {
        family: Identity::family_of(&username, family),
        username: username.into(),
        issued,
        expires_at,
        authenticated_at: date(claims, "auth_time")?.unwrap_or(0),
        is_ours,
        key,
        permissions: Permissions::of_claims(claims)?,
    })
}

/// The subject: a StringOrURI (RFC 7519 section 4.1.2), which need not be a name that an account can have, in form C:
/// another back end may spell it otherwise.
fn subject(claims: &Map<String, Value>) -> Result<Cow<'_, str>, Refused> {
    let subject = match claims.get("sub") {
        None => return Err(Refused("the token has no sub")),
        Some(Value::String(subject)) => subject.as_str(),
        Some(_) => return Err(Refused("the token's sub is not a string")),
    };
    if subject.trim().is_empty() {
        return Err(Refused("the token's sub is empty"));
    }
    if subject.chars().count() > SUBJECT_CHARS_MAX {
        return Err(Refused("the token's sub is too long"));
    }
    match subject.chars().any(char::is_control) {
        true => Err(Refused("the token's sub has control characters")),
        false => Ok(nfc(subject)),
    }
}

/// Checks that a token is for this server: if it has an `aud`, that names us (RFC 7519 section 4.1.3). Another back end
/// may sign tokens for other purposes with the same secret, such as to reset a password.
///
/// # Errors
/// It names others only, or is no name or list of names.
pub fn check_audience(claims: &Map<String, Value>, audience: Option<&str>) -> Result<(), Refused> {
    let is_ours = |name: &Value| name.as_str() == audience && audience.is_some();
    let names = match claims.get("aud") {
        None => return Ok(()),
        Some(name @ Value::String(_)) => std::slice::from_ref(name),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => names,
        Some(_) => return Err(Refused("the token's aud is no string or array of strings")),
    };
    match names.iter().any(is_ours) {
        true => Ok(()),
        false => Err(Refused("the token's aud does not name this server")),
    }
}

/// The text of a `jti` or `sid`.
fn id<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<Option<&'c str>, Refused> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(id)) if (1..=TOKEN_ID_BYTES_MAX).contains(&id.len()) => Ok(Some(id)),
        Some(_) => Err(Refused(
            "the token's jti or sid is no text of a fitting length",
        )),
    }
}

/// A NumericDate (RFC 7519 section 2) in whole seconds: a fraction is dropped, so that a token expires up to a second
/// early and never late. A date before 1970 is taken as 1970.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refused> {
    let seconds = match claims.get(name) {
        None => return Ok(None),
        Some(value) => value
            .as_f64()
            .ok_or(Refused("a date in the token is not a number"))?,
    };
    match seconds <= NUMERIC_DATE_MAX as f64 {
        // Below 2^53, and so exact.
        true => Ok(Some(seconds.max(0.0) as u64)),
        false => Err(Refused(
            "a date in the token is after the year 9999: it must be in seconds",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::jwt::Key;
    use serde_json::json;

    const NOW: u64 = 1_700_000_000;

    const TTL: u64 = 900;

    fn identified(claims: Value) -> Result<Identity, Refused> {
        let claims = claims.as_object().expect("is an object");
        let issuer = Issuer::new([1; 8], TTL);
        let key = Key::new(None, &[1; 32]).expect("is long enough");
        identify(claims, "signature", key.key_id(), &issuer, NOW)
    }

    #[test]
    fn claims_that_hold_now_name_somebody() {
        let identity = identified(
            json!({"sub": "김철수", "exp": NOW + 1, "iat": NOW, "jti": "7", "iss": "sarang"}),
        );
        let identity = identity.expect("is valid");
        assert_eq!(
            (&*identity.username, &*identity.family, identity.is_ours),
            ("김철수", "김철수\n7", true)
        );
        let foreign = identified(json!({"sub": "a", "exp": NOW + 1})).expect("is valid");
        assert_eq!((&*foreign.family, foreign.is_ours), ("a\nsignature", false));
    }

    #[test]
    fn claims_that_are_missing_ill_typed_or_untimely_are_refused() {
        for (name, value) in [
            ("sub", json!(null)),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("sub", json!("a\u{0}b")),
            ("sub", json!(" ")),
            ("sub", json!("가".repeat(SUBJECT_CHARS_MAX + 1))),
            ("exp", json!(null)),
            ("exp", json!("1800000000")),
            ("exp", json!(NOW as f64 - 0.5)),
            ("exp", json!(NOW as f64 + 0.5)),
            ("exp", json!(-1)),
            ("exp", json!(1e300)),
            ("exp", json!(u64::MAX)),
            ("exp", json!(true)),
            ("exp", json!(NOW)),
            ("exp", json!(-1e300)),
            ("nbf", json!(NOW + 61)),
            ("nbf", json!(NOW as f64 + 61.5)),
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
    fn a_subject_may_be_any_string_or_uri() {
        let longest = "가".repeat(SUBJECT_CHARS_MAX);
        for subject in [
            "user:42",
            "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "https://idp/u/7",
            "@kim:matrix.org",
            "#7",
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "kim@example.com",
            &longest,
        ] {
            let identity = identified(json!({"sub": subject, "exp": NOW + 1}));
            assert_eq!(
                identity.map(|identity| (*identity.username).to_owned()),
                Ok(subject.to_owned())
            );
        }
    }

    #[test]
    fn a_date_may_have_a_fraction_which_does_not_prolong_it() {
        let expiry = |exp: Value| {
            identified(json!({"sub": "a", "exp": exp, "iat": NOW as f64 - 0.1, "nbf": -1.5}))
                .map(|identity| (identity.expires_at, identity.issued))
        };
        let issued = Issued::Elsewhere(NOW - 1);
        assert_eq!(expiry(json!(NOW as f64 + 1.75)), Ok((NOW + 1, issued)));
        assert_eq!(expiry(json!(1.8e9)), Ok((1_800_000_000, issued)));
        assert_eq!(
            expiry(json!(NUMERIC_DATE_MAX)),
            Ok((NUMERIC_DATE_MAX, issued))
        );
    }

    #[test]
    fn a_refusal_gives_the_true_reason() {
        for (claims, reason) in [
            (json!({"exp": NOW + 9}), "the token has no sub"),
            (
                json!({"sub": 7, "exp": NOW + 9}),
                "the token's sub is not a string",
            ),
            (
                json!({"sub": "", "exp": NOW + 9}),
                "the token's sub is empty",
            ),
            (
                json!({"sub": "a\tb", "exp": NOW + 9}),
                "the token's sub has control characters",
            ),
            (
                json!({"sub": "a".repeat(256), "exp": NOW + 9}),
                "the token's sub is too long",
            ),
            (json!({"sub": "a"}), "the token has no exp"),
            (
                json!({"sub": "a", "exp": "1"}),
                "a date in the token is not a number",
            ),
            (
                json!({"sub": "a", "exp": NOW * 1000}),
                "a date in the token is after the year 9999: it must be in seconds",
            ),
            (json!({"sub": "a", "exp": -1}), "the token has expired"),
            (
                json!({"sub": "a", "exp": NOW as f64 - 0.5}),
                "the token has expired",
            ),
            (
                json!({"sub": "a", "exp": NOW + 900, "nbf": NOW + 61}),
                "the token is not valid yet",
            ),
            (
                json!({"sub": "a", "exp": NOW + 900, "iat": NOW + 61}),
                "the token was issued in the future",
            ),
        ] {
            assert_eq!(identified(claims.clone()), Err(Refused(reason)), "{claims}");
        }
    }

    #[test]
    fn an_audience_has_to_name_us_if_the_token_has_one() {
        let check = |aud: &Value, audience| {
            let claims = json!({"aud": aud});
            check_audience(claims.as_object().expect("is an object"), audience).is_ok()
        };
        for (aud, is_good) in [
            (json!("chat"), true),
            (json!(["shop", "chat"]), true),
            (json!("Chat"), false),
            (json!("password-reset"), false),
            (json!(["shop"]), false),
            (json!([]), false),
            (json!(""), false),
            (json!(null), false),
            (json!(7), false),
            (json!(["chat", 7]), false),
            (json!({"chat": 1}), false),
        ] {
            assert_eq!(check(&aud, Some("chat")), is_good, "{aud}");
            assert!(!check(&aud, None), "{aud}");
        }
        assert_eq!(check_audience(&Map::new(), None), Ok(()));
        assert_eq!(check_audience(&Map::new(), Some("chat")), Ok(()));
    }

    #[test]
    fn the_tokens_of_a_sign_in_are_one_family_if_they_are_ours() {
        let family = |claims: &[(&str, &str)]| {
            let mut all = json!({"sub": "a", "exp": NOW + 9, "iat": NOW, "jti": "7"});
            for (name, value) in claims {
                all[*name] = (*value).into();
            }
            let identity = identified(all).expect("is valid");
            assert_eq!(
                identity.family,
                Identity::family_of("a", identity.family_id())
            );
            identity.family_id().to_owned()
        };
        let ours = ("iss", ISSUER);
        assert_eq!(family(&[ours, (SIGN_IN, "s")]), "s");
        assert_eq!(family(&[ours, (SIGN_IN, "s"), ("jti", "8")]), "s");
        assert_eq!(family(&[ours]), "7");
        // Another back end may have another idea of a `sid`.
        assert_eq!(family(&[(SIGN_IN, "s")]), "7");
        for sid in [
            json!(7),
            json!(""),
            json!("x".repeat(TOKEN_ID_BYTES_MAX + 1)),
        ] {
            let mut claims = json!({"sub": "a", "exp": NOW + 9, "iat": NOW, SIGN_IN: sid});
            assert!(identified(claims.clone()).is_ok());
            claims["iss"] = ISSUER.into();
            assert!(identified(claims).is_err());
        }
    }

    #[test]
    fn our_tokens_live_no_longer_than_is_in_force_and_others_as_long_as_they_say() {
        let expiry = |iss: &str, iat: u64, exp: u64| {
            let claims = json!({"sub": "a", "exp": exp, "iat": iat, "iss": iss});
            identified(claims).map(|identity| identity.expires_at)
        };
        assert_eq!(expiry("another", 0, NUMERIC_DATE_MAX), Ok(NUMERIC_DATE_MAX));
        assert_eq!(expiry(ISSUER, NOW, NUMERIC_DATE_MAX), Ok(NOW + TTL));
        assert_eq!(expiry(ISSUER, NOW, NOW + 1), Ok(NOW + 1));
        let expired = Err(Refused("the token has expired"));
        assert_eq!(expiry(ISSUER, NOW - TTL, NUMERIC_DATE_MAX), expired);
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
}
