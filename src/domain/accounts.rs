//! Accounts: names and Argon2id hashes, one per line of the users file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use phc::{Output, PasswordHash};

use super::names::{is_valid_account_name, key, nfc};
use crate::config::{ACCOUNTS_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX, PASSWORD_COSTS_MAX};

/// The demo's account, announced at the start: `admin` with the password `secret`.
pub const DEMO_ACCOUNTS: &str = "admin:$argon2id$v=19$m=19456,t=2,p=1$c2FyYW5nLWRlbW8tc2FsdA$umS42s4lKvgiJMgDmbVkkk5DtnEqgD1YLhAVlbWl/eM\n";

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

/// All accounts. With `Arc`s, so that another thread than the loop's can read, compare and drop a set: at 100,000
/// accounts that takes 0.2 s.
#[derive(Debug)]
pub struct Accounts {
    verifiers: BTreeMap<Arc<str>, Arc<Verifier>>,
    /// The keys of names that are not their own keys. Most names are.
    other_keys: BTreeSet<Arc<str>>,
    impossible: Arc<Verifier>,
    costs: Arc<Costs>,
}

impl Accounts {
    /// Reads a users file: `NAME:PHC` per line; blank lines and lines that begin with `#` are skipped. Names may be
    /// composed in any way.
    ///
    /// # Errors
    /// The first invalid line: its number, without its content.
    pub fn parse(text: &str, random: [u8; 32]) -> Result<Self, String> {
        let mut verifiers = BTreeMap::new();
        let mut other_keys = BTreeSet::new();
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
            let verifier =
                Verifier::parse(phc).map_err(|what| format!("line {number}: the hash {what}"))?;
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
            impossible: Verifier::impossible(any, random).into(),
            costs: Costs(costs.into_iter().collect()).into(),
        })
    }

    /// Whether a name has an account.
    pub fn has(&self, name: &str) -> bool {
        self.verifiers.contains_key(name)
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(accounts: &Accounts, name: &str, password: &str) -> bool {
        let verifier = accounts.verifier(name);
        verifier.accepts(
            password.as_bytes(),
            &mut vec![Block::default(); verifier.blocks()],
        )
    }

    #[test]
    fn the_demo_account_is_admin_with_the_password_secret() {
        let accounts = Accounts::parse(DEMO_ACCOUNTS, [0; 32]).expect("reads");
        assert!(accepts(&accounts, "admin", "secret"));
        assert!(!accepts(&accounts, "admin", "Secret"));
        assert!(!accepts(&accounts, "nobody", "secret"));
    }

    #[test]
    fn a_password_fits_the_hash_that_was_made_of_it() {
        let line = format!(
            "# people\n\n김철수:{}\n",
            hash_password("비밀번호".as_bytes(), &[7; 16]).expect("hashes")
        );
        let accounts = Accounts::parse(&line, [0; 32]).expect("reads");
        assert!(accounts.has("김철수"));
        assert!(accepts(&accounts, "김철수", "비밀번호"));
        assert!(!accepts(&accounts, "김철수", ""));
    }

    /// The demo's account under another name, and perhaps at another cost.
    fn line(name: &str, cost: &str) -> String {
        let demo = DEMO_ACCOUNTS.replace("admin", name);
        demo.replace("m=19456,t=2,p=1", cost)
    }

    #[test]
    fn every_name_costs_the_same_also_with_hashes_of_different_costs() {
        let demo = "m=19456,t=2,p=1";
        let (small, large) = ("m=64,t=3,p=1", "m=256,t=1,p=4");
        let same = line("a", demo) + &line("b", demo);
        // The first account is the cheapest here, and the costliest there.
        let mixed = line("a", small) + &line("b", demo) + &line("c", large) + &line("d", small);
        for (text, runs, blocks) in [
            (String::new(), 1, 19_456),
            (same, 1, 19_456),
            (mixed.clone(), 3, 19_456),
            (mixed.replace(demo, "m=32,t=1,p=1"), 3, 256),
        ] {
            let accounts = Accounts::parse(&text, [0; 32]).expect("reads");
            let costs = accounts.costs();
            assert_eq!((costs.0.len(), costs.blocks()), (runs, blocks), "{text}");
            for name in ["a", "b", "c", "d", "nobody"] {
                let verifier = accounts.verifier(name);
                let runs = costs.runs(&verifier).map(|run| run.cost());
                assert_eq!(runs.collect::<Vec<_>>(), costs.0, "{name} in {text}");
                let is_own = |run: &Cow<'_, Verifier>| **run == *verifier;
                assert_eq!(costs.runs(&verifier).filter(is_own).count(), 1, "{name}");
            }
        }
    }

    #[test]
    fn a_password_is_right_or_wrong_whatever_else_is_in_the_file() {
        let text = line("admin", "m=19456,t=2,p=1") + &line("kim", "m=64,t=1,p=1");
        for text in [text, line("lee", "m=19460,t=3,p=1") + DEMO_ACCOUNTS] {
            let accounts = Accounts::parse(&text, [0; 32]).expect("reads");
            let costs = accounts.costs();
            let mut memory = vec![Block::default(); costs.blocks()];
            for (name, password, is_right) in [
                ("admin", "secret", true),
                ("admin", "Secret", false),
                ("nobody", "secret", false),
            ] {
                let is_accepted =
                    costs.check(&accounts.verifier(name), password.as_bytes(), &mut memory);
                assert_eq!(is_accepted, is_right, "{name} {password}");
            }
        }
    }

    #[test]
    fn a_file_with_too_many_costs_is_refused() {
        let lines = |count: usize| -> String {
            let costs = (0..count).map(|n| format!("m={},t=1,p=1", 64 + n));
            let twice = costs.clone().chain(costs).enumerate();
            twice.map(|(n, cost)| line(&n.to_string(), &cost)).collect()
        };
        let parse = |text: &str| Accounts::parse(text, [0; 32]).map(|_| ());
        assert_eq!(parse(&lines(PASSWORD_COSTS_MAX)), Ok(()));
        let what = "line 9: the hashes have more than 8 different costs".to_owned();
        assert_eq!(parse(&lines(PASSWORD_COSTS_MAX + 1)), Err(what));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_never_shown() {
        let good = DEMO_ACCOUNTS.trim();
        for (text, what) in [
            ("admin", "line 1 is not NAME:HASH"),
            ("\nadmin:hunter2", "line 2: the hash is no PHC string"),
            (
                &good.replace("argon2id", "argon2i"),
                "line 1: the hash is not argon2id, version 19",
            ),
            (
                &good.replace("m=19456", "m=99999999"),
                "line 1: the hash costs more than is allowed",
            ),
            (
                &good.replace("admin", ""),
                "line 1: the name is not 1 to 64 plain characters",
            ),
            (&format!("{good}\n{good}"), "line 2: the name stands twice"),
        ] {
            assert_eq!(
                Accounts::parse(text, [0; 32]).map(|_| ()),
                Err(what.to_owned())
            );
        }
    }

    #[test]
    fn a_name_is_one_however_it_is_composed_and_its_key_is_known() {
        let lines = |names: [&str; 2]| names.map(|name| line(name, "m=64,t=1,p=1")).concat();
        let accounts = Accounts::parse(&lines(["e\u{301}", "Kim"]), [0; 32]).expect("reads");
        let keys = ["é", "kim", "Kim", "e"].map(|key| accounts.has_key(key));
        assert!(accounts.has("é") && keys == [true, true, true, false]);
        let twice = Accounts::parse(&lines(["é", "e\u{301}"]), [0; 32]).map(|_| ());
        assert_eq!(twice, Err("line 2: the name stands twice".to_owned()));
    }

    #[test]
    fn a_hash_may_cost_what_is_allowed_and_no_more() {
        let hash = |memory: u32, passes: u32, lanes: u32| {
            let cost = format!("m={memory},t={passes},p={lanes}");
            DEMO_ACCOUNTS.trim().replace("m=19456,t=2,p=1", &cost)
        };
        let (memory, passes) = (ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX);
        assert!(Accounts::parse(&hash(memory, passes, 16), [0; 32]).is_ok());
        for over in 1..3 {
            for text in [
                hash(memory + over, 1, 1),
                hash(19_456, passes + over, 1),
                hash(19_456, 1, 16 + over),
            ] {
                let what = "line 1: the hash costs more than is allowed".to_owned();
                assert_eq!(
                    Accounts::parse(&text, [0; 32]).map(|_| ()),
                    Err(what),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn who_is_gone_or_has_another_password_is_known_and_no_hash_is_shown() {
        let hash = DEMO_ACCOUNTS
            .trim()
            .strip_prefix("admin")
            .expect("is its name");
        let other = hash.replace("t=2", "t=3");
        let parse = |text: String| Accounts::parse(&text, [0; 32]).expect("reads");
        let old = parse(format!("kept{hash}\ngone{hash}\nchanged{hash}"));
        let new = parse(format!("kept{hash}\nchanged{other}\nnew{hash}"));
        let gone: Vec<&str> = old.gone_in(&new).map(|name| &**name).collect();
        assert_eq!(gone, ["changed", "gone"]);
        let added: Vec<&str> = old.added_in(&new).map(|name| &**name).collect();
        assert_eq!(added, ["new"]);
        assert!(old.has("gone") && !new.has("gone"));
        assert_eq!(new.names().count(), 3);
        assert_eq!(format!("{:?}", old.verifier("kept")), "Verifier(…)");
    }
}
