//! The users file and the secrets file: read at the start and on SIGHUP, changed by `sarang user`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

use crate::config::{CREDENTIALS_BYTES_MAX, Config, PASSWORD_BYTES_MAX};
use crate::domain::accounts::{Accounts, DEMO_ACCOUNTS, hash_password};
use crate::domain::credentials::{Credentials, parse_secrets};
use crate::domain::names::is_valid_account_name;
use crate::options::UserCommand;
use crate::wire::jwt::Key;

/// The paths of the users file and the secrets file. Without a secrets file a random secret is used, which lasts as
/// long as the process.
#[derive(Clone)]
pub struct Files {
    users: Option<PathBuf>,
    secrets: Option<PathBuf>,
    random_secret: [u8; 32],
}

impl Files {
    /// The files of a configuration.
    pub fn new(config: &Config, random_secret: [u8; 32]) -> Self {
        Self {
            users: config.users.clone(),
            secrets: config.secret_file.clone(),
            random_secret,
        }
    }

    /// Reads both files.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn load(&self) -> Result<Credentials, String> {
        let users = match (&self.users, &self.secrets) {
            (Some(path), _) => read(path)?,
            (None, None) => Zeroizing::new(DEMO_ACCOUNTS.to_owned()),
            (None, Some(_)) => Zeroizing::default(),
        };
        let named = |path: &Option<PathBuf>, what: String| match path {
            Some(path) => format!("{}: {what}", path.display()),
            None => what,
        };
        let accounts =
            Accounts::parse(&users, entropy()?).map_err(|what| named(&self.users, what))?;
        let keys = match &self.secrets {
            Some(path) => parse_secrets(&read(path)?).map_err(|what| named(&self.secrets, what))?,
            None => {
                let key = Key::new(None, &self.random_secret);
                vec![key.map_err(|refused| refused.0.to_owned())?]
            }
        };
        Ok(Credentials {
            accounts: accounts.into(),
            keys,
        })
    }

    /// Reads both files again in a running server. Only regular files are read: a pipe can block, and cannot be read
    /// twice.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn reload(&self) -> Result<Credentials, String> {
        for path in [&self.users, &self.secrets].into_iter().flatten() {
            let is_file = fs::metadata(path).map(|metadata| metadata.is_file());
            if !is_file.map_err(|error| format!("{}: {error}", path.display()))? {
                return Err(format!("{} is not a regular file", path.display()));
            }
        }
        self.load()
    }
}

/// Random bytes from the system. The system call is used because an empty root directory has no `/dev/urandom`.
///
/// # Errors
/// If the system call fails.
pub fn entropy<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            // It blocks until the system has entropy after its start, and a signal can interrupt that (getrandom(2)).
            Err(Errno::INTR) => {}
            Err(error) => return Err(format!("no entropy: {error}")),
        }
    }
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

/// Runs `sarang user …`, and returns the text to print.
///
/// # Errors
/// A message for the user.
pub fn change(command: &UserCommand) -> Result<String, String> {
    match command {
        UserCommand::Add { name, file } => {
            if !is_valid_account_name(name) {
                return Err("a name has 1 to 64 characters, without control characters, colons or spaces at its ends".into());
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

/// Replaces the line of a name with `line`, or removes it. True if there was no such line.
fn rewrite(path: &Path, name: &str, line: Option<&str>) -> Result<bool, String> {
    // The target of a symbolic link is replaced, not the link.
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
    // A new file is written and renamed over the old one: a reader sees the old or the new content, never a mixture.
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
            // The file keeps its owner, because the server may run as another user than the administrator. Without the
            // permission to set the owner, the new file stays with its writer.
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
