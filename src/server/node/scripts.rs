//! The scripts that the engine carries out, each as one step (Redis documentation, "Scripting with Lua").

use miniz_oxide::inflate::decompress_to_vec;
use sha1::{Digest as _, Sha1};

use super::keys::push_hex;
use crate::wire::resp::Command;

/// A script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    Publish,
    Open,
    People,
    Fill,
    Check,
    Seat,
    Leave,
    Beat,
    Sweep,
    Claim,
    Unclaim,
    Whisper,
    Tell,
    Events,
    Revoke,
    Secret,
    List,
    Count,
    Delete,
    Set,
    Trim,
    Remove,
    Names,
    Audit,
    Audits,
}

/// All scripts as `build.rs` has compressed them, and the one that is put before each of the others.
const COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scripts.z"));
const COMMON: &str = "common";

impl Script {
    const ALL: [Self; 25] = [
        Self::Publish,
        Self::Open,
        Self::People,
        Self::Fill,
        Self::Check,
        Self::Seat,
        Self::Leave,
        Self::Beat,
        Self::Sweep,
        Self::Claim,
        Self::Unclaim,
        Self::Whisper,
        Self::Tell,
        Self::Events,
        Self::Revoke,
        Self::Secret,
        Self::List,
        Self::Count,
        Self::Delete,
        Self::Set,
        Self::Trim,
        Self::Remove,
        Self::Names,
        Self::Audit,
        Self::Audits,
    ];

    /// The name of its file.
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// All scripts, with the hashes by which the engine knows them, in the order of [`Script::ALL`].
#[derive(Debug)]
pub struct Scripts {
    texts: Vec<(String, String)>,
}

impl Scripts {
    pub fn new() -> Self {
        let all = decompress_to_vec(COMPRESSED).expect("build.rs compressed it");
        let all = String::from_utf8(all).expect("scripts are text");
        let text = |name: &str| {
            let mut scripts = all.split('\0').filter_map(|script| script.split_once('\n'));
            let found = scripts.find(|(other, _)| *other == name);
            found
                .map(|(_, text)| text)
                .expect("every script has a file")
        };
        let texts = Script::ALL.map(|script| {
            let text = [text(COMMON), text(&script.name())].concat();
            let mut hash = String::new();
            push_hex(&Sha1::digest(&text), &mut hash);
            (hash, text)
        });
        Self {
            texts: texts.into(),
        }
    }

    /// The commands that give them to the engine, one each.
    pub fn load(&self) -> impl Iterator<Item = Vec<u8>> {
        self.texts.iter().map(|(_, text)| {
            let mut command = Command::new("SCRIPT");
            command.text("LOAD").text(text).finish()
        })
    }

    /// The command that has the engine carry out a script on so many keys, which are its first arguments.
    pub fn call(&self, script: Script, keys: u64) -> Command {
        let mut command = Command::new("EVALSHA");
        command.text(&self.texts[script as usize].0).number(keys);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_a_file_and_a_hash_of_its_own() {
        let mut hashes: Vec<String> = Scripts::new()
            .texts
            .into_iter()
            .map(|(hash, _)| hash)
            .collect();
        for (place, script) in Script::ALL.into_iter().enumerate() {
            assert_eq!(script as usize, place, "{script:?}");
        }
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), Script::ALL.len());
    }
}
