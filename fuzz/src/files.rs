//! The operator's files: accounts with their passwords, and secrets; how they change, and which password is right.

use std::collections::BTreeMap;

use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS, Verifier};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::Credentials;
use sarang::wire::jwt::Key;

/// Names that always have an account, and one that has an account only sometimes.
pub const ACCOUNTS: [&str; 3] = ["admin", "계정", CONTESTED];
/// The name that has an account only sometimes; back ends issue tokens for it too.
pub const CONTESTED: &str = "회원 0";
/// How many secrets there are; the first is always in force.
pub const SECRETS: usize = 3;
/// How many passwords an account can have, one after the other.
const VERSIONS: u32 = 3;

/// What the files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Which of its passwords each account has.
    pub accounts: BTreeMap<&'static str, u32>,
    /// Secrets by number; the first signs.
    pub keys: Vec<usize>,
}

/// A change of the files.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// An account comes or goes.
    Account(&'static str),
    /// An account gets another of its passwords.
    Password(&'static str, u32),
    /// A secret comes or goes.
    Secret(usize),
    /// Another secret signs.
    Rotation,
    /// The files are read again as they are.
    Nothing,
}

impl Change {
    /// The change of this kind.
    pub fn of(kind: u8, which: u8) -> Self {
        let which = usize::from(which);
        match kind % 12 {
            0..=2 => Self::Account(CONTESTED),
            3 => Self::Account(ACCOUNTS[which % 2]),
            4..=6 => Self::Password(ACCOUNTS[which % 3], 1 + which as u32 % 2),
            7..=9 => Self::Secret(1 + which % (SECRETS - 1)),
            10 => Self::Rotation,
            _ => Self::Nothing,
        }
    }
}

impl Files {
    /// Two accounts, and two secrets, of which this one signs.
    pub fn new(first: usize) -> Self {
        Self {
            accounts: ACCOUNTS[..2].iter().map(|name| (*name, 0)).collect(),
            keys: vec![first, 1 - first],
        }
    }

    /// Changes them.
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Account(name) => {
                if self.accounts.remove(name).is_none() {
                    self.accounts.insert(name, 0);
                }
            }
            Change::Password(name, step) => {
                if let Some(version) = self.accounts.get_mut(name) {
                    *version = (*version + step) % VERSIONS;
                }
            }
            Change::Secret(key) => match self.keys.contains(&key) {
                true => self.keys.retain(|other| *other != key),
                false => self.keys.insert(0, key),
            },
            Change::Rotation => self.keys.rotate_left(1),
            Change::Nothing => {}
        }
    }

    /// What the server reads in them.
    pub fn credentials(&self, keys: &[Key]) -> Credentials {
        let lines = self.accounts.iter();
        let text: String = lines.map(|(name, version)| line(name, *version)).collect();
        Credentials {
            accounts: Accounts::parse(&text, [9; 32]).expect("reads").into(),
            keys: self.keys.iter().map(|key| keys[*key].clone()).collect(),
            api_keys: ApiKeys::default(),
        }
    }
}

/// The line of an account: another password has another salt.
fn line(name: &str, version: u32) -> String {
    let salt = ["$c2FyYW5n", "$c2FyYW5m", "$c2FyYW5l"][version as usize];
    DEMO_ACCOUNTS
        .replace("$c2FyYW5n", salt)
        .replace("admin:", &format!("{name}:"))
}

/// Which password a verifier is of; `None` for that of a name without an account.
pub fn version_of(verifier: &Verifier) -> Option<u32> {
    (0..VERSIONS).find(|version| {
        let accounts = Accounts::parse(&line("a", *version), [9; 32]).expect("reads");
        accounts.find("a").is_some_and(|one| **one == *verifier)
    })
}

/// The secrets, by number.
pub fn secrets(secrets: [[u8; 32]; SECRETS]) -> Vec<Key> {
    let key = |(number, secret): (usize, &[u8; 32])| {
        let id = format!("k{number}");
        Key::new(Some(&id), secret).expect("is long enough")
    };
    secrets.iter().enumerate().map(key).collect()
}
