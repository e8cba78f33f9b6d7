//! The keys of back ends (`--api-key-file`), which are moderators and no users.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::accounts::entries;
use super::names::{is_valid_account_name, is_valid_username, nfc};
use crate::config::{API_KEY_BYTES_MAX, API_KEY_BYTES_MIN, API_KEYS_MAX};

type Hash = [u8; 32];

/// A key, of which only the hash is kept.
#[derive(Clone, PartialEq, Eq)]
struct ApiKey {
    name: Arc<str>,
    hash: Hash,
}

/// All keys, at most [`API_KEYS_MAX`]. `Debug` prints their names only.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<ApiKey>);

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|key| &key.name))
            .finish()
    }
}

impl ApiKeys {
    /// Reads a file of keys: `NAME:KEY` per line; blank lines and lines that begin with `#` are skipped. It may have none.
    ///
    /// # Errors
    /// The first invalid line: its number, without its content.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<ApiKey> = Vec::new();
        for (number, line) in entries(text) {
            let (name, key) = line
                .split_once(':')
                .ok_or(format!("line {number} is not NAME:KEY"))?;
            let name = nfc(name);
            // What is said with a key has its name, so that has to be one a user can have.
            if !is_valid_username(&name) || !is_valid_account_name(&name) {
                return Err(format!(
                    "line {number}: the name is not 1 to 32 plain characters"
                ));
            }
            if !is_possible(key) {
                return Err(format!(
                    "line {number}: a key has {API_KEY_BYTES_MIN} to {API_KEY_BYTES_MAX} visible characters of ASCII"
                ));
            }
            let hash = Sha256::digest(key).into();
            if keys
                .iter()
                .any(|key| *key.name == *name || key.hash == hash)
            {
                return Err(format!("line {number}: the name or the key stands twice"));
            }
            let name = name.into();
            keys.push(ApiKey { name, hash });
        }
        match keys.len() {
            ..=API_KEYS_MAX => Ok(Self(keys)),
            _ => Err(format!("there are more than {API_KEYS_MAX} keys")),
        }
    }

    /// The name of a key; `None` for what is none. The time it takes tells nothing: hashes are compared, and all of them.
    pub fn name_of(&self, key: &str) -> Option<&Arc<str>> {
        if self.0.is_empty() || !is_possible(key) {
            return None;
        }
        let hash: Hash = Sha256::digest(key).into();
        let mut found = None;
        for key in &self.0 {
            if is_same(&key.hash, &hash) {
                found = Some(&key.name);
            }
        }
        found
    }

    /// The names whose key is gone in `newer`, or is another one there.
    pub fn gone_in(&self, newer: &Self) -> Vec<Arc<str>> {
        let gone = self.0.iter().filter(|key| !newer.0.contains(key));
        gone.map(|key| key.name.clone()).collect()
    }
}

/// Whether a text can be a key.
fn is_possible(key: &str) -> bool {
    (API_KEY_BYTES_MIN..=API_KEY_BYTES_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Compares without stopping at the first difference.
fn is_same(a: &Hash, b: &Hash) -> bool {
    let differences = a.iter().zip(b).map(|(a, b)| a ^ b);
    differences.fold(0, |all, difference| all | difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn parse(text: &str) -> Result<ApiKeys, String> {
        ApiKeys::parse(text)
    }

    #[test]
    fn a_key_is_known_by_its_name_and_nothing_else_is() {
        let other = format!("{}:~!", KEY.to_uppercase());
        let text = format!("# back ends\n\nshop:{KEY}\ncafe\u{301}:{other}\n");
        let keys = parse(&text).expect("reads");
        let name = |key: &str| keys.name_of(key).map(|name| name.to_string());
        assert_eq!(name(KEY).as_deref(), Some("shop"));
        assert_eq!(name(&other).as_deref(), Some("caf\u{e9}"));
        for none in [
            "",
            "shop",
            &KEY[1..],
            &KEY.to_uppercase(),
            &format!("{KEY} "),
        ] {
            assert_eq!(name(none), None, "{none}");
        }
        assert_eq!(format!("{keys:?}"), r#"["shop", "café"]"#);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_never_shown() {
        let lines = |count: usize| -> String {
            let line = |n: usize| format!("k{n}:{KEY}{n}\n");
            (0..count).map(line).collect()
        };
        assert!(parse("").is_ok() && parse(&lines(API_KEYS_MAX)).is_ok());
        let longest = "x".repeat(API_KEY_BYTES_MAX);
        assert!(parse(&format!("a:{longest}")).is_ok());
        let bad_key = "line 1: a key has 32 to 512 visible characters of ASCII";
        for (text, why) in [
            (KEY.to_owned(), "line 1 is not NAME:KEY"),
            (
                format!(":{KEY}"),
                "line 1: the name is not 1 to 32 plain characters",
            ),
            (
                format!("{}:{KEY}", "a".repeat(33)),
                "line 1: the name is not 1 to 32 plain characters",
            ),
            (format!("a:{}", &KEY[1..]), bad_key),
            (format!("a:{longest}x"), bad_key),
            (format!("a:{KEY} {KEY}"), bad_key),
            (format!("a:{KEY}é"), bad_key),
            (
                format!("a:{KEY}\n\na:{KEY}x"),
                "line 3: the name or the key stands twice",
            ),
            (
                format!("a:{KEY}\nb:{KEY}"),
                "line 2: the name or the key stands twice",
            ),
            (lines(API_KEYS_MAX + 1), "there are more than 64 keys"),
        ] {
            assert_eq!(parse(&text).map(|_| ()), Err(why.to_owned()));
        }
    }

    #[test]
    fn a_key_is_gone_when_it_is_removed_or_replaced() {
        let old = parse(&format!("a:{KEY}a\nb:{KEY}b\nc:{KEY}c")).expect("reads");
        let new = parse(&format!("d:{KEY}d\nb:{KEY}x\na:{KEY}a")).expect("reads");
        assert_eq!(old.gone_in(&new), ["b".into(), "c".into()]);
        assert!(old.gone_in(&old).is_empty());
    }
}
