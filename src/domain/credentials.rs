//! Accounts and secrets, as in the operator's files, and the differences of a newer set.
//!
//! They can be read, compared and dropped on another thread than the loop's.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::accounts::{Accounts, entries};
use super::api_keys::ApiKeys;
use super::names::shared_key;
use super::tokens::FINGERPRINT;
use crate::config::SECRETS_MAX;
use crate::wire::jwt::{Key, KeyId, Refused};

/// The purpose of a key's tag of a verifier.
const FINGERPRINT_PURPOSE: &str = "password fingerprint";

/// Accounts and secrets, as in the operator's files.
#[derive(Debug)]
pub struct Credentials {
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// The secrets of tokens: the first one signs, all of them verify.
    pub keys: Vec<Key>,
    /// The keys of back ends.
    pub api_keys: ApiKeys,
}

impl Credentials {
    /// Whether one of the secrets is this key.
    pub fn has_key(&self, key: KeyId) -> bool {
        self.keys.iter().any(|known| known.key_id() == key)
    }

    /// The keys that are not in a newer set.
    pub fn keys_gone_in(&self, newer: &Self) -> Vec<KeyId> {
        let all = self.keys.iter().map(Key::key_id);
        all.filter(|key| !newer.has_key(*key)).collect()
    }

    /// The claim of our tokens that identifies the password they were issued for; `None` without an account. It reveals
    /// nothing without the secret, and another password has another fingerprint: so a changed password invalidates its
    /// tokens without stored state, also after a restart.
    pub fn fingerprint(&self, username: &str, key: &Key) -> Option<String> {
        let verifier = self.accounts.find(username)?;
        Some(key.tag(FINGERPRINT_PURPOSE, &verifier.bytes()))
    }

    /// Checks the fingerprint in the claims of one of our tokens.
    ///
    /// # Errors
    /// The account is gone or has another password.
    pub fn check_fingerprint(
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
}

/// A newer set of accounts and secrets, with its differences. They are computed by a job, so that the loop's cost
/// depends only on what has changed.
#[derive(Debug)]
pub struct Reload {
    /// The credentials to put in force.
    pub credentials: Credentials,
    /// The names whose account is gone or has another password, sorted.
    pub gone: Arc<[Arc<str>]>,
    /// The keys of names that had no account before: guests may not have them any more.
    pub added: Vec<Arc<str>>,
    /// The keys of names that had an account before, and are no account's now.
    pub removed: Vec<Arc<str>>,
    /// The names of accounts that have become moderators' or are it no more, sorted.
    pub marked: Vec<Arc<str>>,
    /// What an operator should know about the files, a sentence each.
    pub remarks: Vec<String>,
}

impl Reload {
    /// Compares a newer set with the accounts in force, which must be those it replaces.
    pub fn new(newer: Credentials, in_force: &Accounts) -> Self {
        let gone: Arc<[_]> = in_force.gone_in(&newer.accounts).cloned().collect();
        let added = in_force.added_in(&newer.accounts);
        let removed = gone.iter().map(shared_key);
        Self {
            added: added.map(shared_key).collect(),
            removed: removed.filter(|key| !newer.accounts.has_key(key)).collect(),
            marked: in_force.marked_in(&newer.accounts).cloned().collect(),
            gone,
            credentials: newer,
            remarks: Vec::new(),
        }
    }
}

/// Reads a secrets file: `kid:secret` per line; blank lines and lines that begin with `#` are skipped.
///
/// # Errors
/// The first invalid line: its number, without its content.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::accounts::DEMO_ACCOUNTS;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

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
    fn a_reload_knows_who_is_gone_or_has_another_password_and_who_is_new() {
        let hash = DEMO_ACCOUNTS
            .trim()
            .strip_prefix("admin")
            .expect("begins so");
        let other = hash.replace("t=2", "t=3");
        let accounts = |text: String| Accounts::parse(&text, [0; 32]).expect("reads");
        let old = accounts(format!(
            "kept{hash}\nGone{hash}\nchanged{hash}\nKim{hash}\nkim{hash}"
        ));
        let newer = Credentials {
            accounts: accounts(format!(
                "kept{hash}\nchanged{other}\nＮｅｗ{hash}\nkim{hash}"
            ))
            .into(),
            keys: Vec::new(),
            api_keys: ApiKeys::default(),
        };
        let reload = Reload::new(newer, &old);
        let names = |names: &[Arc<str>]| names.join(" ");
        assert_eq!(names(&reload.gone), "Gone Kim changed");
        assert_eq!(names(&reload.added), "new");
        assert_eq!(names(&reload.removed), "gone");
        assert!(reload.credentials.accounts.has("Ｎｅｗ"));
    }

    #[test]
    fn a_key_is_gone_when_its_kid_or_its_secret_is() {
        let credentials = |secrets: &str| Credentials {
            accounts: Accounts::parse("", [0; 32]).expect("reads").into(),
            keys: parse_secrets(secrets).expect("reads"),
            api_keys: ApiKeys::default(),
        };
        let line = |kid: &str, secret: &str| format!("{kid}:{secret}\n");
        let other = SECRET.to_uppercase();
        let old = credentials(&(line("a", SECRET) + &line("b", &other)));
        let [a, b] = [0, 1].map(|n| old.keys[n].key_id());
        for (newer, gone) in [
            (line("b", &other) + &line("a", SECRET), vec![]),
            (line("c", SECRET) + &line("b", &other), vec![a]),
            (line("a", &other) + &line("b", &other), vec![a]),
            (line("a", SECRET), vec![b]),
            (line("a", &other) + &line("b", SECRET), vec![a, b]),
        ] {
            assert_eq!(old.keys_gone_in(&credentials(&newer)), gone, "{newer}");
        }
    }

    #[test]
    fn accounts_and_what_they_change_may_go_to_another_thread() {
        fn assert_send<T: Send + Sync>() {}
        assert_send::<Reload>();
    }
}
