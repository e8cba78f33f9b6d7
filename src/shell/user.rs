//! `sarang user …`: accounts in the users file are added, removed and listed.

use std::borrow::Cow;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::accounts::{entropy, read};
use super::users_file::LockedFile;
use crate::config::{CREDENTIALS_BYTES_MAX, PASSWORD_BYTES_MAX};
use crate::domain::accounts::{Accounts, MODERATOR_MARK, hash_password};
use crate::domain::names::{is_valid_account_name, key, nfc};
use crate::options::UserCommand;

/// What a command has to say.
pub struct Told {
    /// The text to print.
    pub text: String,
    /// A warning for stderr.
    pub warning: Option<String>,
}

/// Runs `sarang user …`.
///
/// # Errors
/// A message for the user; then nothing has changed.
pub fn run(command: &UserCommand) -> Result<Told, String> {
    match command {
        UserCommand::Add {
            name,
            file,
            is_moderator,
        } => {
            let name = &*nfc(name);
            if !is_valid_account_name(name) {
                return Err("a name has 1 to 64 characters, none of them invisible (as format and control characters are), without colons, a # at the start or spaces at its ends".into());
            }
            // Before the file is locked: a question and a hash take their time.
            let hash = hash_password(ask_password(name)?.as_bytes(), &entropy()?)?;
            let mark = match is_moderator {
                true => format!(":{MODERATOR_MARK}"),
                false => String::new(),
            };
            let changed = rewrite(file, name, Some(&format!("{name}:{hash}{mark}")))?;
            let verb = if changed.is_new { "added" } else { "changed" };
            let lost = match changed.was_moderator && !is_moderator {
                true => "; it is no moderator's any more (add it with --admin)",
                false => "",
            };
            Ok(Told {
                text: format!("{verb} {name} in {}{lost}\n", file.display()),
                warning: changed.warning,
            })
        }
        UserCommand::Remove { name, file } => Ok(Told {
            warning: rewrite(file, &nfc(name), None)?.warning,
            text: format!("removed {name} from {}\n", file.display()),
        }),
        UserCommand::List { file } => {
            let text = read(file)?;
            let accounts = Accounts::parse(&text, [0; 32])
                .map_err(|what| format!("{}: {what}", file.display()))?;
            let names = text.lines().filter_map(name_of);
            // As in the file. No name has a colon, so a script can tell the mark from it.
            let line = |name: Cow<'_, str>| match accounts.is_moderator(&name) {
                true => format!("{name}:{MODERATOR_MARK}\n"),
                false => format!("{name}\n"),
            };
            Ok(Told {
                text: names.map(line).collect(),
                warning: None,
            })
        }
    }
}

/// The name in a line of the users file, in form C.
fn name_of(line: &str) -> Option<Cow<'_, str>> {
    let line = line.trim();
    line.split_once(':')
        .map(|(name, _)| nfc(name))
        .filter(|_| !line.starts_with('#'))
}

/// A change of the users file.
struct Changed {
    /// The name was not there before.
    is_new: bool,
    /// It was a moderator's before.
    was_moderator: bool,
    warning: Option<String>,
}

/// Replaces the line of a name with `line`, or removes it. No account is added beside one whose name differs in spelling
/// only: nobody could tell whose a guest's name is.
fn rewrite(path: &Path, name: &str, line: Option<&str>) -> Result<Changed, String> {
    let file = LockedFile::open(path, line.is_some())?;
    let fail = |what: String| format!("{}: {what}", file.path().display());
    let old = file.read()?;
    let accounts = Accounts::parse(&old, [0; 32]).map_err(fail)?;
    if line.is_some() && !accounts.has(name) {
        let is_alike = |other: &&Arc<str>| key(other) == key(name);
        if let Some(other) = accounts.names().find(is_alike) {
            return Err(fail(format!(
                "there is an account {other}, and {name} is the same name in another spelling"
            )));
        }
    }
    let is_other = |line: &&str| name_of(line).as_deref() != Some(name);
    let kept: Vec<&str> = old.lines().filter(is_other).collect();
    let is_new = kept.len() == old.lines().count();
    if is_new && line.is_none() {
        return Err(fail(format!("there is no account {name}")));
    }
    let text: String = kept
        .into_iter()
        .chain(line)
        .map(|line| format!("{line}\n"))
        .collect();
    // The server would refuse a file over a limit, and keep the accounts it has.
    Accounts::parse(&text, [0; 32]).map_err(fail)?;
    if text.len() as u64 > CREDENTIALS_BYTES_MAX {
        return Err(fail("the file would be too large".into()));
    }
    Ok(Changed {
        is_new,
        was_moderator: accounts.is_moderator(name),
        warning: file.replace(&text)?,
    })
}

/// Reads a password: from a terminal twice and without echo, else the first line of stdin.
fn ask_password(name: &str) -> Result<Zeroizing<String>, String> {
    let password = if io::stdin().is_terminal() {
        let prompt = |text: &str| {
            rpassword::prompt_password(text)
                .map(Zeroizing::new)
                .map_err(|error| error.to_string())
        };
        let password = prompt(&format!("password for {name}: "))?;
        if *prompt("once more: ")? != *password {
            return Err("the passwords differ".into());
        }
        password
    } else {
        let mut line = Zeroizing::new(String::new());
        let mut input = io::stdin().lock().take(PASSWORD_BYTES_MAX as u64 + 2);
        input
            .read_line(&mut line)
            .map_err(|error| format!("the password cannot be read: {error}"))?;
        Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned())
    };
    match password.len() {
        1..=PASSWORD_BYTES_MAX => Ok(password),
        _ => Err(format!("a password has 1 to {PASSWORD_BYTES_MAX} bytes")),
    }
}
