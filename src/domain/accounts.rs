//! Accounts: names and Argon2id hashes, one per line of the users file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use phc::{Output, PasswordHash};

use super::names::{is_valid_account_name, key, nfc};
use crate::config::{ACCOUNTS_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX, PASSWORD_COSTS_MAX};

/// What follows the hash of a moderator's account in the users file, behind a colon.
pub const MODERATOR_MARK: &str = "admin";

/// The demo's account, announced at the start: `admin` with the password `secret`, a moderator.
pub const DEMO_ACCOUNTS: &str = "admin:$argon2id$v=19$m=19456,t=2,p=1$c2FyYW5nLWRlbW8tc2FsdA$umS42s4lKvgiJMgDmbVkkk5DtnEqgD1YLhAVlbWl/eM:admin\n";

/// The Argon2id hash of a password, with its salt and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    params: Params,
    salt: Box<[u8]>,
    hash: Output,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(…)")
    }
}

impl Verifier {
    /// Reads a PHC string of Argon2id, version 19.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let phc = PasswordHash::new(text).map_err(|_| "is no PHC string")?;
        if phc.algorithm.as_str() != "argon2id" || phc.version != Some(19) {
            return Err("is not argon2id, version 19");
        }
        let cost = |name| {
            phc.params
                .get_decimal(name)
                .ok_or("lacks one of m, t and p")
        };
        let (memory, passes, lanes) = (cost("m")?, cost("t")?, cost("p")?);
        if memory > ARGON2_MEMORY_KIB_MAX || passes > ARGON2_PASSES_MAX || lanes > 16 {
            return Err("costs more than is allowed");
        }
        let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else {
            return Err("lacks salt or hash");
        };
        let params = Params::new(memory, passes, lanes, Some(hash.len()))
            .map_err(|_| "has impossible parameters")?;
        Ok(Self {
            params,
            salt: salt.as_ref().into(),
            hash,
        })
    }

    /// A verifier of this cost that accepts no password: for names without an account.
    fn impossible(cost: Cost, random: [u8; 32]) -> Self {
        let hash = Output::new(&random).expect("32 bytes are a possible hash");
        Self {
            params: cost.params().unwrap_or(Params::DEFAULT),
            salt: random[..16].into(),
            hash,
        }
    }

    /// An unambiguous encoding of the verifier: another password, salt or cost gives other bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let params = &self.params;
        let numbers = [params.m_cost(), params.t_cost(), params.p_cost()];
        let salt_len = self.salt.len() as u32;
        let mut bytes: Vec<u8> = numbers
            .into_iter()
            .chain([salt_len])
            .flat_map(u32::to_le_bytes)
            .collect();
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(self.hash.as_ref());
        bytes
    }

    /// The memory a check needs, in blocks of 1 KiB.
    pub fn blocks(&self) -> usize {
        self.params.block_count()
    }

    /// The cost of a check with it.
    fn cost(&self) -> Cost {
        Cost {
            memory_kib: self.params.m_cost(),
            passes: self.params.t_cost(),
            lanes: self.params.p_cost(),
        }
    }

    /// Whether the password is correct. Takes milliseconds by design; `memory` must have [`Self::blocks`] blocks.
    pub fn accepts(&self, password: &[u8], memory: &mut [Block]) -> bool {
        let mut out = [0; 64];
        let Some(out) = out.get_mut(..self.hash.len()) else {
            return false;
        };
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let is_done = argon2
            .hash_password_into_with_memory(password, &self.salt, out, memory)
            .is_ok();
        // `Output` compares in constant time.
        is_done && Output::new(out).is_ok_and(|hash| hash == self.hash)
    }
}

/// The parameters of Argon2 that determine how long a check takes. Lanes are computed one after the other here, and
/// still change the order in which memory is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// The cost of a new hash.
    const DEFAULT: Self = Self {
        memory_kib: Params::DEFAULT_M_COST,
        passes: Params::DEFAULT_T_COST,
        lanes: Params::DEFAULT_P_COST,
    };

    fn params(self) -> Option<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, None).ok()
    }
}

/// The different costs of a set of accounts, which every check pays, with an account or without: one run of Argon2 for
/// each, in the same order.
///
/// Otherwise the time of an answer tells whether a name has an account as soon as the file has hashes of different
/// costs, as it has after the default was raised or accounts were brought from elsewhere: all unknown names take the
/// same time, so a name that takes another is an account. To run Argon2 for as many blocks as a check is cheaper than
/// the costliest is not enough: a block takes a third longer in large memory and in later passes, and the answers still
/// differ by a tenth. The same runs take the same time by construction. In a file whose hashes all cost the same it is
/// one run.
#[derive(Debug)]
pub struct Costs(Vec<Cost>);

impl Costs {
    /// The memory of a check, in blocks of 1 KiB: that of the largest run. Each check must have all of it, as memory that
    /// is used for the first time takes time too.
    pub fn blocks(&self) -> usize {
        let params = self.0.iter().filter_map(|cost| cost.params());
        params.map(|params| params.block_count()).max().unwrap_or(0)
    }

    /// Whether the password is correct, by a verifier of the same accounts. Takes milliseconds by design; `memory` must
    /// have [`Self::blocks`] blocks.
    pub fn check(&self, verifier: &Verifier, password: &[u8], memory: &mut [Block]) -> bool {
        let mut is_accepted = false;
        for run in self.runs(verifier) {
            // No short circuit: the runs behind the account's own take their time, too.
            is_accepted |= run.accepts(password, memory);
        }
        is_accepted
    }

    /// One run of each cost: the verifier's own, and others that accept no password.
    fn runs<'a>(&'a self, verifier: &'a Verifier) -> impl Iterator<Item = Cow<'a, Verifier>> {
        self.0.iter().map(|cost| match *cost == verifier.cost() {
            true => Cow::Borrowed(verifier),
            false => Cow::Owned(Verifier::impossible(*cost, [0; 32])),
        })
    }
}

/// The PHC string of a password, with this salt and the default cost.
///
/// # Errors
/// A password that cannot be hashed.
pub fn hash_password(password: &[u8], salt: &[u8; 16]) -> Result<String, String> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    argon2
        .hash_password_into(password, salt, &mut out)
        .map_err(|error| error.to_string())?;
    let mut params = phc::ParamsString::new();
    for (name, value) in [
        ("m", Params::DEFAULT_M_COST),
        ("t", Params::DEFAULT_T_COST),
        ("p", Params::DEFAULT_P_COST),
    ] {
        params
            .add_decimal(name, value)
            .map_err(|error| error.to_string())?;
    }
    let hash = PasswordHash {
        algorithm: phc::Ident::new("argon2id").map_err(|error| error.to_string())?,
        version: Some(19),
        params,
        salt: Some(phc::Salt::new(salt).map_err(|error| error.to_string())?),
        hash: Some(Output::new(&out).map_err(|error| error.to_string())?),
    };
    Ok(hash.to_string())
}

/// The lines of a file, with their numbers from 1, without blank lines and comments that begin with `#`.
pub fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Splits what follows a name in the users file into the hash and the mark behind it. No PHC string has a colon.
fn split_mark(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((phc, mark)) => (phc, Some(mark)),
        None => (text, None),
    }
}

/// All accounts. With `Arc`s, so that another thread than the loop's can read, compare and drop a set: at 100,000
/// accounts that takes 0.2 s.
#[derive(Debug)]
pub struct Accounts {
    verifiers: BTreeMap<Arc<str>, Arc<Verifier>>,
    /// The keys of names that are not their own keys. Most names are.
    other_keys: BTreeSet<Arc<str>>,
    /// The names of moderators.
    moderators: BTreeSet<Arc<str>>,
    impossible: Arc<Verifier>,
    costs: Arc<Costs>,
}

impl Accounts {
    /// Reads a users file: `NAME:PHC` per line, `NAME:PHC:admin` for a moderator; blank lines and lines that begin with `#` are skipped. Names may be
    /// composed in any way.
    ///
    /// # Errors
    /// The first invalid line: its number, without its content.
    pub fn parse(text: &str, random: [u8; 32]) -> Result<Self, String> {
        let mut verifiers = BTreeMap::new();
        let mut other_keys = BTreeSet::new();
        let mut moderators = BTreeSet::new();
        let mut costs = BTreeSet::new();
        for (number, line) in entries(text) {
            let (name, phc) = line
                .split_once(':')
                .ok_or(format!("line {number} is not NAME:HASH"))?;
            let name: Arc<str> = nfc(name).into();
            if !is_valid_account_name(&name) {
                return Err(format!(
                    "line {number}: the name is not 1 to 64 plain characters"
                ));
            }
            let key = key(&name);
            if *key != *name {
                other_keys.insert(key.into());
            }
            let (phc, mark) = split_mark(phc);
            let verifier =
                Verifier::parse(phc).map_err(|what| format!("line {number}: the hash {what}"))?;
            match mark {
                None => {}
                Some(MODERATOR_MARK) => _ = moderators.insert(name.clone()),
                Some(_) => {
                    return Err(format!(
                        "line {number}: only {MODERATOR_MARK} may follow the hash"
                    ));
                }
            }
            costs.insert(verifier.cost());
            if costs.len() > PASSWORD_COSTS_MAX {
                return Err(format!(
                    "line {number}: the hashes have more than {PASSWORD_COSTS_MAX} different costs"
                ));
            }
            if verifiers.insert(name, Arc::new(verifier)).is_some() {
                return Err(format!("line {number}: the name stands twice"));
            }
            if verifiers.len() > ACCOUNTS_MAX {
                return Err(format!("there are more than {ACCOUNTS_MAX} accounts"));
            }
        }
        let any = *costs.first().unwrap_or(&Cost::DEFAULT);
        costs.insert(any);
        Ok(Self {
            verifiers,
            other_keys,
            moderators,
            impossible: Verifier::impossible(any, random).into(),
            costs: Costs(costs.into_iter().collect()).into(),
        })
    }

    /// Whether a name has an account.
    pub fn has(&self, name: &str) -> bool {
        self.verifiers.contains_key(name)
    }

    /// Whether a name has a moderator's account.
    pub fn is_moderator(&self, name: &str) -> bool {
        self.moderators.contains(name)
    }

    /// Whether a key ([`key`]) is that of an account's name.
    pub fn has_key(&self, key: &str) -> bool {
        // An account whose name is a key has that key.
        self.has(key) || self.other_keys.contains(key)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.verifiers.keys()
    }

    /// The verifier of an account; `None` without an account.
    pub fn find(&self, name: &str) -> Option<&Arc<Verifier>> {
        self.verifiers.get(name)
    }

    /// What each check with one of [`Self::verifier`] costs.
    pub fn costs(&self) -> &Arc<Costs> {
        &self.costs
    }

    /// The verifier for a name; without an account one that accepts no password.
    pub fn verifier(&self, name: &str) -> Arc<Verifier> {
        self.find(name).unwrap_or(&self.impossible).clone()
    }

    /// The names whose account is gone in `newer`, or has another password there.
    pub fn gone_in<'a>(&'a self, newer: &'a Self) -> impl Iterator<Item = &'a Arc<str>> {
        let is_gone = |(name, old): &(&Arc<str>, &Arc<Verifier>)| newer.find(name) != Some(*old);
        self.verifiers.iter().filter(is_gone).map(|(name, _)| name)
    }

    /// The names that have an account in `newer` and none here.
    pub fn added_in<'a>(&'a self, newer: &'a Self) -> impl Iterator<Item = &'a Arc<str>> {
        newer.names().filter(|name| !self.has(name))
    }

    /// The names whose account is a moderator's either here or in `newer`, sorted.
    pub fn marked_in<'a>(&'a self, newer: &'a Self) -> impl Iterator<Item = &'a Arc<str>> {
        self.moderators.symmetric_difference(&newer.moderators)
    }
}

#[cfg(test)]
mod tests;
