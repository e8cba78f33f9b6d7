//! The users file and the secrets file: read at the start and at SIGHUP, changed by `sarang user`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::{CREDENTIALS_BYTES_MAX, Config, PASSWORD_BYTES_MAX};
use crate::domain::accounts::{Accounts, DEMO_ACCOUNTS, hash_password};
use crate::domain::auth::{Credentials, parse_secrets};
use crate::domain::people::is_valid_account_name;
use crate::options::UserCommand;
use crate::wire::jwt::Key;

/// Accounts and secrets as the configuration names them. Without a secrets file a random secret lives as long as the
/// server.
///
/// # Errors
/// A sentence that names the file.
pub fn load(config: &Config, random_secret: &[u8; 32]) -> Result<Credentials, String> {
    let users = match &config.users {
        Some(path) => read(path)?,
        None if config.is_demo() => Zeroizing::new(DEMO_ACCOUNTS.to_owned()),
        None => Zeroizing::default(),
    };
    let named = |path: &Option<PathBuf>, what: String| match path {
        Some(path) => format!("{}: {what}", path.display()),
        None => what,
    };
    let accounts =
        Accounts::parse(&users, entropy()?).map_err(|what| named(&config.users, what))?;
    let keys = match &config.secret_file {
        Some(path) => {
            parse_secrets(&read(path)?).map_err(|what| named(&config.secret_file, what))?
        }
        None => vec![Key::new(None, random_secret).map_err(|refused| refused.0.to_owned())?],
    };
    Ok(Credentials { accounts, keys })
}

/// The same for a server that runs: it would wait, and with it everybody, for a pipe that nobody writes to, and what it
/// was started with from a pipe can be read only once.
///
/// # Errors
/// A sentence that names the file.
pub fn reload(config: &Config, random_secret: &[u8; 32]) -> Result<Credentials, String> {
    for path in [&config.users, &config.secret_file].into_iter().flatten() {
        let is_file = fs::metadata(path).map(|metadata| metadata.is_file());
        if !is_file.map_err(|error| format!("{}: {error}", path.display()))? {
            return Err(format!("{} is no regular file", path.display()));
        }
    }
    load(config, random_secret)
}

/// 256 bits from the system.
///
/// # Errors
/// The system has none.
pub fn entropy<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| format!("no entropy: {error}"))?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let count = file
        .take(CREDENTIALS_BYTES_MAX + 1)
        .read_to_string(&mut text);
    match count {
        Ok(count) if count as u64 > CREDENTIALS_BYTES_MAX => {
            Err(format!("{}: the file is too large", path.display()))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Carries out `sarang user …`; what is to be printed.
///
/// # Errors
/// A sentence.
pub fn change(command: &UserCommand) -> Result<String, String> {
    match command {
        UserCommand::Add { name, file } => {
            if !is_valid_account_name(name) {
                return Err("a name has 1 to 64 characters, no control character, no colon, no space at its ends".into());
            }
            let hash = hash_password(ask_password(name)?.as_bytes(), &entropy()?)?;
            let is_new = rewrite(file, name, Some(&format!("{name}:{hash}")))?;
            Ok(format!(
                "{} {name} {} {}\n",
                if is_new { "added" } else { "changed" },
                "in",
                file.display()
            ))
        }
        UserCommand::Remove { name, file } => match rewrite(file, name, None)? {
            true => Err(format!("{}: there is no account {name}", file.display())),
            false => Ok(format!("removed {name} from {}\n", file.display())),
        },
        UserCommand::List { file } => {
            let text = read(file)?;
            Accounts::parse(&text, [0; 32])
                .map_err(|what| format!("{}: {what}", file.display()))?;
            Ok(text
                .lines()
                .filter_map(name_of)
                .map(|name| format!("{name}\n"))
                .collect())
        }
    }
}

/// The name in a line of the users file.
fn name_of(line: &str) -> Option<&str> {
    let line = line.trim();
    line.split_once(':')
        .map(|(name, _)| name)
        .filter(|_| !line.starts_with('#'))
}

/// Replaces the line of a name, or removes it; whether there was none.
fn rewrite(path: &Path, name: &str, line: Option<&str>) -> Result<bool, String> {
    // What a symbolic link points to is replaced, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let fail = |error: io::Error| format!("{}: {error}", path.display());
    let old = match read(path) {
        Err(_) if !path.exists() && line.is_some() => Zeroizing::default(),
        result => result?,
    };
    Accounts::parse(&old, [0; 32]).map_err(|what| format!("{}: {what}", path.display()))?;
    let is_other = |line: &&str| name_of(line) != Some(name);
    let kept: Vec<&str> = old.lines().filter(is_other).collect();
    let is_new = kept.len() == old.lines().count();
    if is_new && line.is_none() {
        return Ok(true);
    }
    let text: String = kept
        .into_iter()
        .chain(line)
        .map(|line| format!("{line}\n"))
        .collect();
    // A new file beside the old, then renamed over it: whoever reads sees one or the other, whole.
    let beside = path.with_file_name(format!(
        ".{}.{}",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            // The server that reads it may be another user's than the administrator; where that is not ours to set,
            // the file stays its writer's.
            if let Ok(old) = fs::metadata(path) {
                _ = fchown(&file, Some(old.uid()), Some(old.gid()));
            }
            file.sync_all()?;
            fs::rename(&beside, path)
        });
    written.map_err(|error| {
        _ = fs::remove_file(&beside);
        fail(error)
    })?;
    Ok(is_new)
}

/// A password from the terminal, twice and without echo, or the first line of what is piped in.
fn ask_password(name: &str) -> Result<Zeroizing<String>, String> {
    let password = if io::stdin().is_terminal() {
        let prompt = |text: &str| {
            rpassword::prompt_password(text)
                .map(Zeroizing::new)
                .map_err(|error| error.to_string())
        };
        let password = prompt(&format!("password for {name}: "))?;
        if *prompt("once more: ")? != *password {
            return Err("the two are not the same".into());
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
