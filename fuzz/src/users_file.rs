//! The users file, the secrets file and the file of API keys.

use std::collections::BTreeSet;

use argon2::Block;
use sarang::config::{
    ACCOUNTS_MAX, API_KEY_BYTES_MAX, API_KEY_BYTES_MIN, API_KEYS_MAX, ARGON2_MEMORY_KIB_MAX,
    SECRETS_MAX,
};
use sarang::domain::accounts::{Accounts, entries};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::parse_secrets;
use sarang::domain::names::{is_valid_account_name, is_valid_username, key, nfc};
use sarang::wire::jwt::{Key, SECRET_BYTES_MIN, verify};
use serde_json::json;

/// Passwords are checked only where that costs no more than this.
const CHEAP_BLOCKS: usize = 32;

/// Fuzzes [`Accounts::parse`], [`parse_secrets`] and [`ApiKeys::parse`].
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Accounts::parse(text, [1; 32]) {
        Ok(accounts) => check_accounts(text, &accounts),
        Err(sentence) => check_sentence(&sentence),
    }
    match parse_secrets(text) {
        Ok(keys) => check_secrets(text, &keys),
        Err(sentence) => check_sentence(&sentence),
    }
    match ApiKeys::parse(text) {
        Ok(keys) => check_api_keys(text, &keys),
        Err(sentence) => check_sentence(&sentence),
    }
}

/// The error message contains nothing of the file.
fn check_sentence(sentence: &str) {
    assert!(sentence.len() < 100 && sentence.is_ascii(), "{sentence}");
}

/// The lines with an entry, split at their first colon.
fn pairs(text: &str) -> Vec<(&str, &str)> {
    entries(text)
        .map(|(_, line)| line.split_once(':').expect("has a colon"))
        .collect()
}

fn check_accounts(text: &str, accounts: &Accounts) {
    let pairs = pairs(text);
    let all = pairs.iter().map(|(name, _)| nfc(name).into_owned());
    let names: BTreeSet<String> = all.collect();
    assert_eq!(names.len(), pairs.len(), "each name stands once");
    assert!(names.len() <= ACCOUNTS_MAX);
    assert!(
        accounts
            .names()
            .map(|name| &**name)
            .eq(names.iter().map(String::as_str))
    );
    for name in &names {
        assert!(is_valid_account_name(name) && accounts.has(name));
        assert!(accounts.has_key(&key(name)) && key(&key(name)) == key(name));
    }
    for (name, rest) in &pairs {
        let is_marked = rest.split_once(':').map(|(_, mark)| mark) == Some("admin");
        assert_eq!(accounts.is_moderator(&nfc(name)), is_marked);
    }
    // Only names and hashes count, not how the file is laid out.
    let written: String = pairs
        .iter()
        .map(|(name, phc)| format!("{name}:{phc}\n"))
        .collect();
    let again = Accounts::parse(&written, [2; 32]).expect("did parse");
    assert_eq!(
        accounts.gone_in(&again).count() + again.gone_in(accounts).count(),
        0
    );
    assert_eq!(accounts.marked_in(&again).count(), 0);
    for name in names.iter().map(String::as_str).chain(["nobody"]) {
        let verifier = accounts.verifier(name);
        assert!(verifier.blocks() <= ARGON2_MEMORY_KIB_MAX as usize);
        assert!(
            !verifier.accepts(b"x", &mut []),
            "nothing fits without memory"
        );
        if verifier.blocks() <= CHEAP_BLOCKS {
            let mut memory = vec![Block::default(); verifier.blocks()];
            let is_accepted = verifier.accepts(b"password", &mut memory);
            assert!(!is_accepted || accounts.has(name), "nobody has no password");
            assert_eq!(is_accepted, verifier.accepts(b"password", &mut memory));
        }
    }
}

/// Each key has its name, and no other text has one.
fn check_api_keys(text: &str, keys: &ApiKeys) {
    let pairs = pairs(text);
    assert!(pairs.len() <= API_KEYS_MAX);
    for (name, key) in &pairs {
        assert!((API_KEY_BYTES_MIN..=API_KEY_BYTES_MAX).contains(&key.len()));
        let found = keys.name_of(key).expect("is a key");
        assert_eq!(**found, *nfc(name));
        assert!(is_valid_username(found));
        let other = format!("{}x", &key[1..]);
        let is_one = pairs.iter().any(|(_, key)| *key == other);
        assert_eq!(keys.name_of(&other).is_some(), is_one);
    }
    assert!(
        keys.gone_in(&ApiKeys::parse(text).expect("did parse"))
            .is_empty()
    );
}

fn check_secrets(text: &str, keys: &[Key]) {
    let pairs = pairs(text);
    assert!((1..=SECRETS_MAX).contains(&keys.len()));
    assert!(
        keys.iter()
            .map(|key| key.id.as_deref())
            .eq(pairs.iter().map(|(id, _)| Some(*id)))
    );
    let ids: BTreeSet<&str> = pairs.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), keys.len(), "each kid stands once");
    assert!(
        pairs
            .iter()
            .all(|(_, secret)| secret.len() >= SECRET_BYTES_MIN)
    );
    for (key, (id, secret)) in keys.iter().zip(&pairs) {
        let token = key.sign(&json!({"sub": "a"}));
        let same = Key::new(Some(id), secret.as_bytes()).expect("is long enough");
        assert!(token.len() > 8 * 1024 || verify(&token, &[same]).is_ok());
    }
}
