//! Tokens: arbitrary text, correctly signed with any header and claims, and tampered with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sarang::config::SUBJECT_CHARS_MAX;
use sarang::domain::issuer::Issuer;
use sarang::domain::names::nfc;
use sarang::domain::permissions::Permissions;
use sarang::domain::tokens::{Identity, identify};
use sarang::wire::jwt::{Key, TOKEN_BYTES_MAX, verify};
use serde_json::{Map, Value};
use sha2::Sha256;

const SECRETS: [&[u8]; 2] = [&[b'1'; 32], &[b'2'; 40]];
const NOW: u64 = 1_705_314_600;
const TOKEN_TTL_SECS: u64 = 3_600;

fn keys() -> Vec<Key> {
    let key = |id, secret| Key::new(id, secret).expect("is long enough");
    vec![key(None, SECRETS[0]), key(Some("a"), SECRETS[1])]
}

/// Fuzzes [`verify`], [`Key::sign`] and [`identify`]. The first byte chooses what the rest is.
pub fn run(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    match choice % 3 {
        0 => judge(text),
        1 => {
            let (header, claims) = text.split_once('\n').unwrap_or((text, "{}"));
            let input = format!("{}.{}", encode(header), encode(claims));
            let tag = tag(&input, SECRETS[usize::from(choice / 3) % 2]);
            judge(&format!("{input}.{}", encode(tag)));
        }
        _ => sign(text, usize::from(*choice)),
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn tag(input: &str, secret: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length will do");
    mac.chain_update(input).finalize().into_bytes().to_vec()
}

/// A token that verifies has been signed with HMAC-SHA-256 and one of our secrets, and its header matches.
fn judge(token: &str) {
    let keys = keys();
    let Ok((claims, key)) = verify(token, &keys) else {
        return;
    };
    assert!(token.len() <= TOKEN_BYTES_MAX);
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    let (input, signature) = token.rsplit_once('.').expect("has three parts");
    let header = read(parts[0]);
    assert_eq!(header["alg"], "HS256");
    assert!(!header.contains_key("crit"));
    let fitting = SECRETS.map(|secret| encode(tag(input, secret)) == signature);
    match header.get("kid") {
        None => assert!(fitting.contains(&true)),
        Some(id) => assert!(fitting[1] && id == "a"),
    }
    assert!(
        fitting[usize::from(key.id.is_some())],
        "it names who has signed"
    );
    assert_eq!(claims, read(parts[1]));
    let issuer = Issuer::new([7; 8], TOKEN_TTL_SECS);
    if let Ok(identity) = identify(&claims, signature, key.key_id(), &issuer, NOW) {
        let name = &identity.username;
        assert!((1..=SUBJECT_CHARS_MAX).contains(&name.chars().count()));
        assert!(!name.chars().any(char::is_control));
        assert_eq!(claims["sub"].as_str().map(nfc), Some(name.as_ref().into()));
        assert!(identity.expires_at > NOW);
        assert_eq!(
            identity.is_ours,
            claims.get("iss").is_some_and(|iss| iss == "sarang")
        );
        let exp = claims["exp"].as_f64().map(|seconds| seconds as u64);
        match identity.is_ours {
            true => assert!(exp >= Some(identity.expires_at)),
            false => assert_eq!(exp, Some(identity.expires_at)),
        }
        let (name, id) = (&identity.username, identity.family_id());
        assert!(!name.contains('\n') && !id.is_empty());
        assert_eq!(identity.family, Identity::family_of(name, id));
        assert_eq!(identity.key, key.key_id());
        check_permissions(&claims, &identity);
    }
}

/// What the bearer may do is what the claims say, and is the same when it is written and read again.
fn check_permissions(claims: &Map<String, Value>, identity: &Identity) {
    let permissions = &identity.permissions;
    let is_moderator = claims.get("admin") == Some(&Value::Bool(true));
    assert_eq!(permissions.is_moderator, is_moderator);
    let (rooms, write) = (claims.get("rooms"), claims.get("write"));
    assert_eq!(permissions.rooms.is_some(), rooms.is_some());
    assert_eq!(permissions.write.is_some(), write.is_some());
    let again = Permissions::of_claims(&permissions.claims());
    assert_eq!(again.as_ref(), Ok(permissions));
    let name = &identity.username;
    let is_named = |patterns: Option<&Value>| {
        let patterns = patterns.and_then(Value::as_array);
        patterns.is_none_or(|all| {
            all.iter()
                .any(|one| one == "*" || one.as_str() == Some(name))
        })
    };
    if is_moderator || is_named(rooms) {
        assert!(permissions.may_enter(name));
    }
    if permissions.may_write(name) {
        assert!(permissions.may_enter(name));
    }
}

fn read(part: &str) -> Map<String, Value> {
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("is base64url");
    serde_json::from_slice(&bytes).expect("is an object")
}

/// A token that we sign verifies with our keys, with no other key, and not after any change.
fn sign(text: &str, at: usize) {
    let Ok(Value::Object(claims)) = serde_json::from_str(text) else {
        return;
    };
    let keys = keys();
    let key = &keys[at % 2];
    let claims = Value::Object(claims);
    let token = key.sign(&claims);
    if token.len() > TOKEN_BYTES_MAX {
        assert!(verify(&token, &keys).is_err());
        return;
    }
    // Compared after serialization: a fraction may come back as a neighbouring value.
    let written: Value = serde_json::from_str(&claims.to_string()).expect("was written by serde");
    assert_eq!(
        verify(&token, &keys).map(|(claims, _)| Value::Object(claims)),
        Ok(written)
    );
    let other = Key::new(key.id.as_deref(), &[b'3'; 32]).expect("is long enough");
    assert!(verify(&token, &[other]).is_err());
    let mut tampered = token.clone().into_bytes();
    let at = at % tampered.len();
    tampered[at] = match tampered[at] {
        b'A' => b'B',
        _ => b'A',
    };
    let tampered = String::from_utf8(tampered).expect("is ASCII");
    assert!(verify(&tampered, &keys).is_err(), "{tampered}");
}
