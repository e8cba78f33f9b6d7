//! The folder of the store: who may read it, and who uses it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::domain::time::Timestamp;

/// The store's file.
const FILE: &str = "sarang.redb";
/// A file that is being made and will replace it.
const NEW: &str = "sarang.redb.new";
/// The lock file.
pub const LOCK: &str = "lock";
/// The permissions of files, for their owner only.
pub const FILE_MODE: u32 = 0o600;
/// Bytes of the lock file that are read at most.
const LOCK_BYTES_MAX: u64 = 64;

/// What `sarang backup` asks a running server for: a copy, or the reason why there is none.
pub const BACKUP: &str = "backup.redb";
/// A copy that is being made.
const NEW_BACKUP: &str = "backup.redb.new";
/// Why there is no copy.
pub const BACKUP_FAILED: &str = "backup.failed";

/// Who uses a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// A server. The lock file names its process.
    Server,
    /// A command, which is over soon.
    Command,
}

/// A folder that this process has locked.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
    user: User,
    /// The number of the last batch that the lock file named when it was locked.
    pub witnessed: u64,
    /// Whether other users may read or change what is in it.
    pub is_open_to_others: bool,
}

/// Why a folder cannot be used.
#[derive(Debug)]
pub enum Refused {
    /// Another process uses it: its id, if it is a server.
    InUse(Option<u32>),
    /// A sentence.
    Other(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse(Some(process)) => write!(f, "another sarang (process {process}) uses it"),
            Self::InUse(None) => f.write_str("a backup or a restore is under way there"),
            Self::Other(sentence) => f.write_str(sentence),
        }
    }
}

impl Folder {
    /// Makes the folder if it does not exist, and locks it until this value is dropped (flock(2)).
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn lock(path: &Path, user: User) -> Result<Self, Refused> {
        let other = |error: std::io::Error| Refused::Other(error.to_string());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(other)?;
        let mode = fs::metadata(path).map_err(other)?.permissions().mode();
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path.join(LOCK))
            .map_err(other)?;
        let (process, witnessed) = read_lock(&lock);
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Refused::InUse(process)),
            Err(error) => return Err(other(error.into())),
        }
        let folder = Self {
            path: path.into(),
            lock,
            user,
            witnessed: witnessed.unwrap_or(0),
            is_open_to_others: mode & 0o077 != 0,
        };
        folder.witness(folder.witnessed).map_err(other)?;
        for left in [NEW, NEW_BACKUP] {
            match fs::remove_file(folder.path.join(left)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(other(error)),
                _ => {}
            }
        }
        Ok(folder)
    }

    /// The path of a copy that is being made, and that of the copy.
    pub fn backups(&self) -> [PathBuf; 2] {
        [NEW_BACKUP, BACKUP].map(|name| self.path.join(name))
    }

    /// The path of the reason why there is no copy.
    pub fn backup_failed(&self) -> PathBuf {
        self.path.join(BACKUP_FAILED)
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that this batch is committed. A file that has fewer at the next start has lost some. It is one write of a fixed
    /// length, so the file always has a whole line, and is not synced: what it says is at most too little.
    ///
    /// # Errors
    /// The write.
    pub fn witness(&self, batch: u64) -> std::io::Result<()> {
        let process = match self.user {
            User::Server => std::process::id(),
            User::Command => 0,
        };
        let line = format!("{process:>10} {batch:>20}\n");
        self.lock.write_all_at(line.as_bytes(), 0)
    }

    /// The path of the store's file.
    pub fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// The path of a file that is being made and will replace it.
    pub fn new_file(&self) -> PathBuf {
        self.path.join(NEW)
    }

    /// Puts the new file in the place of the store's file, durably.
    ///
    /// # Errors
    /// The rename, or the sync of the folder.
    pub fn put_in_place(&self) -> std::io::Result<()> {
        fs::rename(self.new_file(), self.file())?;
        self.sync()
    }

    /// Gives the store's file a second name, under which it stays when another is put in its place. Returns its path.
    ///
    /// # Errors
    /// The link, or the sync of the folder.
    pub fn keep_aside(&self, word: &str, at: Timestamp) -> std::io::Result<PathBuf> {
        let aside = self.free_name(word, at);
        // Not every file system has links. Then there is a moment without a file.
        fs::hard_link(self.file(), &aside).or_else(|_| fs::rename(self.file(), &aside))?;
        self.sync()?;
        Ok(aside)
    }

    /// Moves the store's file aside, under a free name with this word in it. Returns its new path.
    ///
    /// # Errors
    /// The rename, or the sync of the folder.
    pub fn move_aside(&self, word: &str, at: Timestamp) -> std::io::Result<PathBuf> {
        let aside = self.free_name(word, at);
        fs::rename(self.file(), &aside)?;
        self.sync()?;
        Ok(aside)
    }

    fn free_name(&self, word: &str, at: Timestamp) -> PathBuf {
        let time = at
            .to_string()
            .replace(['-', ':', 'Z'], "")
            .replace('T', "-");
        let name = format!("{FILE}.{word}-{time}");
        let mut aside = self.path.join(&name);
        for number in 1.. {
            if !aside.exists() {
                break;
            }
            aside = self.path.join(format!("{name}-{number}"));
        }
        aside
    }

    /// Makes what was renamed durable.
    fn sync(&self) -> std::io::Result<()> {
        sync_folder(&self.path)
    }
}

/// Makes durable what was renamed in a folder.
///
/// # Errors
/// The sync.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// The process and the batch that a lock file names.
fn read_lock(lock: &File) -> (Option<u32>, Option<u64>) {
    let mut text = String::new();
    // What cannot be read names nothing.
    _ = lock.take(LOCK_BYTES_MAX).read_to_string(&mut text);
    let mut words = text.split_whitespace();
    let process = words.next().and_then(|word| word.parse().ok());
    let process = process.filter(|process| *process > 0);
    (process, words.next().and_then(|word| word.parse().ok()))
}
