//! JSON Web Tokens (RFC 7519) in the compact serialization of RFC 7515, signed with HMAC-SHA-256 (`HS256`) only.
//!
//! The token's header is only compared with the expected values. It never selects an algorithm (RFC 8725 section 3.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use sha2::Sha256;

/// The longest token, in bytes; a longer one is refused before it is parsed.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// The shortest secret, in bytes: the size of the hash output (RFC 7518 section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// The length to which a [`Key::tag`] is truncated, in bytes.
const TAG_BYTES: usize = 16;
/// The purpose of the tag that is a key's [`KeyId`].
const KEY_ID_PURPOSE: &str = "key id";

/// Identifies a key without its secret: keys with the same `kid` and the same secret have the same, all others another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub u64);

/// A secret to sign and verify with. Its HMAC state is computed once. `Debug` does not print it.
#[derive(Clone)]
pub struct Key {
    /// The `kid` that selects it (RFC 7515 section 4.1.4).
    pub id: Option<Box<str>>,
    mac: Hmac<Sha256>,
    key_id: KeyId,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a token is refused: an English text for `error_description` (RFC 6750 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl Key {
    /// A key with this secret.
    ///
    /// # Errors
    /// A secret shorter than [`SECRET_BYTES_MIN`].
    pub fn new(id: Option<&str>, secret: &[u8]) -> Result<Self, Refused> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(Refused("a secret must have at least 32 bytes"));
        }
        let mac = Hmac::new_from_slice(secret).map_err(|_| Refused("the secret cannot be used"))?;
        let mut key = Self {
            id: id.map(Into::into),
            mac,
            key_id: KeyId(0),
        };
        // A key without a `kid` differs from one whose `kid` is empty.
        let named = id.map_or(Vec::new(), |id| [b"k", id.as_bytes()].concat());
        let [a, b, c, d, e, f, g, h, ..] = key.tag_bytes(KEY_ID_PURPOSE, &named);
        key.key_id = KeyId(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        Ok(key)
    }

    /// What identifies this key: it stays the same when the key is read again.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// A signed token with these claims, a JSON object.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = serde_json::json!({"alg": "HS256", "typ": "JWT"});
        if let Some(id) = &self.id {
            header["kid"] = id.as_ref().into();
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(&header), encode(claims));
        let tag = self
            .mac
            .clone()
            .chain_update(&input)
            .finalize()
            .into_bytes();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// A message authentication code of these bytes: 128 bits, as 22 characters of base64url. `purpose` must contain a
    /// space, which the signing input of a token never does, so that a tag never equals part of a token's signature.
    pub fn tag(&self, purpose: &str, bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(&self.tag_bytes(purpose, bytes)[..TAG_BYTES])
    }

    fn tag_bytes(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        debug_assert!(purpose.contains(' '));
        let mac = self.mac.clone().chain_update(purpose).chain_update([0]);
        mac.chain_update(bytes).finalize().into_bytes().into()
    }

    fn has_signed(&self, input: &str, tag: &[u8]) -> bool {
        // Takes constant time, whatever the tag.
        self.mac
            .clone()
            .chain_update(input)
            .verify_slice(tag)
            .is_ok()
    }
}

/// The claims of a token that one of the keys has signed, and that key. The claims are not checked.
///
/// # Errors
/// Why it is not such a token; the reason reveals nothing about the secrets.
pub fn verify<'k>(token: &str, keys: &'k [Key]) -> Result<(Map<String, Value>, &'k Key), Refused> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refused("the token is too long"));
    }
    let (input, tag) = token
        .rsplit_once('.')
        .ok_or(Refused("the token does not have three parts"))?;
    let (header, claims) = input
        .split_once('.')
        .ok_or(Refused("the token does not have three parts"))?;
    if claims.contains('.') {
        return Err(Refused("the token does not have three parts"));
    }
    let header = decode_object(header)?;
    check_header(&header)?;
    let tag = decode(tag)?;
    let id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(_) => return Err(Refused("the token's kid is not a string")),
    };
    let mut eligible = keys
        .iter()
        .filter(|key| id.is_none() || key.id.as_deref() == id)
        .peekable();
    if eligible.peek().is_none() {
        return Err(Refused("no secret has the token's kid"));
    }
    let key = eligible
        .find(|key| key.has_signed(input, &tag))
        .ok_or(Refused("the token's signature is invalid"))?;
    Ok((decode_object(claims)?, key))
}

fn check_header(header: &Map<String, Value>) -> Result<(), Refused> {
    if header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(Refused("the token's alg is not HS256"));
    }
    // No extension is supported, so none may be critical (RFC 7515 section 4.1.11).
    if header.contains_key("crit") {
        return Err(Refused("the token has critical extensions"));
    }
    match header.get("typ") {
        None => Ok(()),
        Some(Value::String(typ)) if is_jwt(typ) => Ok(()),
        Some(_) => Err(Refused("the token's typ is not JWT")),
    }
}

/// Whether a `typ` is that of a JWT or of an access token as one (RFC 7519 section 5.1, RFC 9068 section 2.1): a media type,
/// of which `application/` may be left out (RFC 7515 section 4.1.9).
fn is_jwt(typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let prefix = typ.get(..PREFIX.len());
    let name = match prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX)) {
        true => &typ[PREFIX.len()..],
        false => typ,
    };
    ["jwt", "at+jwt"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Decodes base64url without padding or white space and with zero trailing bits, so that each value has one encoding.
fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Refused("a part of the token is not base64url"))
}

fn decode_object(part: &str) -> Result<Map<String, Value>, Refused> {
    let object: StrictObject = serde_json::from_slice(&decode(part)?)
        .map_err(|_| Refused("a part of the token is not a JSON object with distinct names"))?;
    Ok(object.0)
}

/// A JSON object without duplicate names, of which two parsers could take different values (RFC 7519 section 4).
struct StrictObject(Map<String, Value>);

impl<'de> Deserialize<'de> for StrictObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = StrictObject;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with distinct names")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut members: A,
            ) -> Result<StrictObject, A::Error> {
                let mut object = Map::new();
                while let Some((name, value)) = members.next_entry()? {
                    if object.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("duplicate name"));
                    }
                }
                Ok(StrictObject(object))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn key() -> Key {
        Key::new(None, SECRET).expect("is long enough")
    }

    /// A token with this header and these claims, given as JSON texts, and a valid signature.
    fn signed(header: &str, claims: &str) -> String {
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let tag = key().mac.chain_update(&input).finalize().into_bytes();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    #[test]
    fn the_example_of_rfc_7515_a_1_verifies() {
        let secret = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .expect("is base64url");
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let keys = [Key::new(None, &secret).expect("is long enough")];
        let (claims, _) = verify(token, &keys).expect("verifies");
        assert_eq!(claims["iss"], "joe");
        assert_eq!(claims["exp"], 1_300_819_380);
    }

    #[test]
    fn what_we_sign_we_verify_and_nobody_else_does() {
        let token = key().sign(&json!({"sub": "홍길동"}));
        let keys = [key()];
        assert_eq!(verify(&token, &keys).expect("verifies").0["sub"], "홍길동");
        let other = Key::new(None, &[7; 32]).expect("is long enough");
        assert!(verify(&token, std::slice::from_ref(&other)).is_err());
        assert!(
            verify(&token, &[other, key()]).is_ok(),
            "without a kid each secret is tried"
        );
        assert!(verify(&token, &[]).is_err());
    }

    #[test]
    fn a_kid_chooses_its_key_and_no_other() {
        let named = |id| Key::new(Some(id), SECRET).expect("is long enough");
        let token = named("a").sign(&json!({}));
        assert!(verify(&token, &[named("a")]).is_ok());
        assert!(verify(&token, &[named("b")]).is_err());
    }

    #[test]
    fn the_key_that_has_signed_is_found_with_and_without_a_kid() {
        let secrets: [(&str, &[u8]); 2] = [("a", SECRET), ("b", &[7; 32])];
        let named = secrets.map(|(id, secret)| Key::new(Some(id), secret).expect("is long enough"));
        let nameless = secrets.map(|(_, secret)| Key::new(None, secret).expect("is long enough"));
        for signing in nameless.iter().chain(&named) {
            let token = signing.sign(&json!({}));
            let (_, found) = verify(&token, &named).expect("verifies");
            assert_eq!(found.tag("a tag", b""), signing.tag("a tag", b""));
        }
    }

    #[test]
    fn a_tag_is_of_one_secret_one_purpose_and_one_text() {
        let other = Key::new(None, &[7; 32]).expect("is long enough");
        let tags = [
            key().tag("one purpose", b"text"),
            other.tag("one purpose", b"text"),
            key().tag("one other", b"text"),
            key().tag("one purpose", b"texts"),
            key().tag("one purposet", b"ext"),
        ];
        assert!(tags.iter().all(|tag| tag.len() == 22));
        assert_eq!(std::collections::BTreeSet::from(tags.clone()).len(), 5);
        assert_eq!(tags[0], key().tag("one purpose", b"text"));
    }

    #[test]
    fn a_key_is_known_again_by_its_kid_and_its_secret_together() {
        let key_id = |id, secret| Key::new(id, secret).expect("is long enough").key_id();
        let ids = [
            key_id(None, SECRET),
            key_id(Some(""), SECRET),
            key_id(Some("a"), SECRET),
            key_id(Some("b"), SECRET),
            key_id(Some("a"), &[7; 32]),
        ];
        for (n, id) in ids.iter().enumerate() {
            assert!(ids[..n].iter().all(|other| other != id), "{n}");
        }
        assert_eq!(key_id(Some("a"), SECRET), ids[2]);
    }

    #[test]
    fn the_types_of_tokens_are_those_of_a_jwt_and_of_an_access_token() {
        for typ in [
            "JWT",
            "jwt",
            "at+jwt",
            "AT+JWT",
            "application/jwt",
            "application/at+jwt",
            "Application/AT+JWT",
        ] {
            let token = signed(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#), "{}");
            assert!(verify(&token, &[key()]).is_ok(), "{typ}");
        }
    }

    #[test]
    fn hostile_tokens_are_refused() {
        let good = signed(r#"{"alg":"HS256"}"#, "{}");
        assert!(verify(&good, &[key()]).is_ok());
        let (input, tag) = good.rsplit_once('.').expect("has a signature");
        let mut tokens: Vec<String> = [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"HS384"}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{}"#,
            r#"[]"#,
            "null",
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","typ":"JWE"}"#,
            r#"{"alg":"HS256","typ":"application/"}"#,
            r#"{"alg":"HS256","typ":"text/jwt"}"#,
            r#"{"alg":"HS256","typ":"application/application/jwt"}"#,
            r#"{"alg":"HS256","typ":1}"#,
            r#"{"alg":"HS256","kid":1}"#,
            r#"{"alg":"HS256","kid":""}"#,
            "\u{feff}{\"alg\":\"HS256\"}",
        ]
        .map(|header| signed(header, "{}"))
        .into();
        tokens.extend(
            ["[]", "1", "", r#"{"exp":1,"exp":2}"#]
                .map(|claims| signed(r#"{"alg":"HS256"}"#, claims)),
        );
        tokens.extend([
            String::new(),
            ".".into(),
            "..".into(),
            "...".into(),
            input.into(),
            format!("{input}."),
            format!("{input}.{}", &tag[..tag.len() - 2]),
            format!("{input}.{tag}="),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}.{tag}"),
            format!("{input}.{}", tag.replace(|_| true, "A")),
            "A".repeat(1 << 20),
        ]);
        // The last character of a 32-byte tag has two unused bits, which must be zero.
        let last = tag.chars().last().expect("is not empty");
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = alphabet.find(last).expect("is base64url");
        tokens.push(format!(
            "{}{}",
            &good[..good.len() - 1],
            &alphabet[at + 1..at + 2]
        ));
        for token in tokens {
            assert!(verify(&token, &[key()]).is_err(), "{token}");
        }
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_ever_shown() {
        assert!(Key::new(None, &[0; 31]).is_err());
        assert!(!format!("{:?}", key()).contains("0123"));
        let named = Key::new(Some("a"), SECRET).expect("is long enough");
        assert_eq!(format!("{named:?}"), "Key { id: Some(\"a\"), .. }");
    }

    #[test]
    fn a_token_over_the_limit_is_not_looked_at() {
        for (length, why) in [
            (TOKEN_BYTES_MAX, "the token does not have three parts"),
            (TOKEN_BYTES_MAX + 1, "the token is too long"),
            (TOKEN_BYTES_MAX + 2, "the token is too long"),
        ] {
            let refused = verify(&"A".repeat(length), &[key()]).map(|_| ());
            assert_eq!(refused, Err(Refused(why)));
        }
    }
}
