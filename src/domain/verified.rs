//! The token that was verified last: a back end shows the same one with each request, and its signature need not be computed
//! anew. Everything that time or a moderator changes (its expiry, revocations, the account) is asked each time.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::wire::jwt::{Key, KeyId, Refused, verify};

/// What a token says.
type Claims = Rc<Map<String, Value>>;

/// One token, of which only a hash is kept, with its claims.
#[derive(Debug, Default)]
pub struct LastVerified(RefCell<Option<Verified>>);

#[derive(Debug)]
struct Verified {
    hash: [u8; 32],
    claims: Claims,
    key: KeyId,
}

impl LastVerified {
    /// Like [`verify`]. A token whose key is not among these any more is verified anew, and so refused.
    ///
    /// # Errors
    /// As there.
    pub fn verify<'k>(&self, token: &str, keys: &'k [Key]) -> Result<(Claims, &'k Key), Refused> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(last) = self.0.borrow().as_ref()
            && last.hash == hash
            && let Some(key) = keys.iter().find(|key| key.key_id() == last.key)
        {
            return Ok((last.claims.clone(), key));
        }
        let (claims, key) = verify(token, keys)?;
        let claims = Rc::new(claims);
        *self.0.borrow_mut() = Some(Verified {
            hash,
            claims: claims.clone(),
            key: key.key_id(),
        });
        Ok((claims, key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(id: &str) -> Key {
        Key::new(Some(id), &[id.as_bytes(), &[b'x'; 32]].concat()).expect("long enough")
    }

    #[test]
    fn a_token_is_verified_again_and_no_other_is_taken_for_it() {
        let keys = [key("one"), key("two")];
        let last = LastVerified::default();
        let tokens = [json!({"sub": "a"}), json!({"sub": "b"})].map(|claims| keys[1].sign(&claims));
        for token in [&tokens[0], &tokens[0], &tokens[1], &tokens[0]] {
            let (claims, key) = last.verify(token, &keys).expect("is good");
            assert_eq!((claims, key.key_id()), {
                let (claims, key) = verify(token, &keys).expect("is good");
                (Rc::new(claims), key.key_id())
            });
        }
        // Changed in any place, it is another one.
        for at in 0..tokens[0].len() {
            let mut bytes = tokens[0].clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            let is_refused = last.verify(&changed, &keys).is_err();
            assert_eq!(is_refused, verify(&changed, &keys).is_err(), "{at}");
            assert!(last.verify(&tokens[0], &keys).is_ok());
        }
    }

    #[test]
    fn a_token_whose_key_is_gone_is_refused_also_if_it_was_the_last() {
        let keys = [key("one"), key("two")];
        let last = LastVerified::default();
        let token = keys[0].sign(&json!({"sub": "a"}));
        assert!(last.verify(&token, &keys).is_ok());
        assert!(last.verify(&token, &keys[1..]).is_err());
        // Another secret under the same name.
        let other = Key::new(Some("one"), &[b'y'; 32]).expect("long enough");
        assert!(last.verify(&token, &[other]).is_err());
        assert!(last.verify(&token, &keys).is_ok());
    }
}
