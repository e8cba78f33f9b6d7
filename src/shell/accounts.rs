//! The users file, the secrets file and that of API keys: read at the start and on SIGHUP.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

use crate::config::{CREDENTIALS_BYTES_MAX, Config};
use crate::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use crate::domain::api_keys::ApiKeys;
use crate::domain::credentials::{Credentials, parse_secrets};
use crate::wire::jwt::Key;

/// The paths of the users file, the secrets file and the file of API keys. Without a secrets file a random secret is used, which lasts as
/// long as the process.
#[derive(Clone)]
pub struct Files {
    users: Option<PathBuf>,
    secrets: Option<PathBuf>,
    api_keys: Option<PathBuf>,
    random_secret: [u8; 32],
}

impl Files {
    /// The files of a configuration.
    pub fn new(config: &Config, random_secret: [u8; 32]) -> Self {
        Self {
            users: config.users.clone(),
            secrets: config.secret_file.clone(),
            api_keys: config.api_key_file.clone(),
            random_secret,
        }
    }

    /// Reads all files.
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
        let api_keys = match &self.api_keys {
            Some(path) => {
                ApiKeys::parse(&read(path)?).map_err(|what| named(&self.api_keys, what))?
            }
            None => ApiKeys::default(),
        };
        Ok(Credentials {
            accounts: accounts.into(),
            keys,
            api_keys,
        })
    }

    /// Reads all files again in a running server. Only regular files are read: a pipe can block, and cannot be read
    /// twice.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn reload(&self) -> Result<Credentials, String> {
        for path in self.paths() {
            let file =
                fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
            if !file.is_file() {
                return Err(format!("{} is not a regular file", path.display()));
            }
            // Whoever replaces a file by renaming another leaves a mount of the old one alone behind.
            if file.nlink() == 0 {
                return Err(format!(
                    "{}: it was replaced, and what is mounted here is the old file; mount its folder instead",
                    path.display()
                ));
            }
        }
        self.load()
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let all = [&self.users, &self.secrets, &self.api_keys];
        all.into_iter().flatten()
    }

    /// What an operator should know about the files, a sentence each: others can read them, or change them.
    pub fn remarks(&self) -> Vec<String> {
        let remarks = self.paths().filter_map(|path| {
            let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
            let what = match mode {
                _ if mode & 0o002 != 0 => "change",
                _ if mode & 0o004 != 0 => "read",
                _ => return None,
            };
            let path = path.display();
            Some(format!(
                "{path}: every user of this machine can {what} it (mode {mode:o}); chmod o= {path}"
            ))
        });
        remarks.collect()
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

/// Reads one of the files whole.
///
/// # Errors
/// A message that names the file.
pub fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    read_open(&file, path)
}

/// Reads an open file whole; the path is for messages.
///
/// # Errors
/// A message that names the file.
pub fn read_open(file: &File, path: &Path) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
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
