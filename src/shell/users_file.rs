//! The users file while `sarang user` changes it: locked against others who do the same, and replaced as a whole.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::accounts::read_open;
use crate::config::{USERS_LOCK_PATIENCE, USERS_LOCK_RETRY};

/// A users file that no other `sarang user` changes until this is dropped. The lock is advisory (flock(2)): an editor
/// does not know it, and a server that reads the file does not need it.
pub struct LockedFile {
    /// Of a symbolic link its target, which is replaced, not the link.
    path: PathBuf,
    file: File,
    /// It was created here, and is removed again if nothing is written.
    is_new: bool,
}

impl LockedFile {
    /// Locks a users file, and waits for that until [`USERS_LOCK_PATIENCE`] has passed. A missing file is created, empty
    /// and with mode 0600, if `may_create`.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn open(path: &Path, may_create: bool) -> Result<Self, String> {
        let fail = |error: io::Error| format!("{}: {error}", path.display());
        let until = Instant::now() + USERS_LOCK_PATIENCE;
        loop {
            let there = fs::metadata(path).ok();
            if there.as_ref().is_some_and(|there| !there.is_file()) {
                return Err(format!("{} is not a regular file", path.display()));
            }
            let file = open(path, may_create).map_err(fail)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    // Whoever held the lock has put another file in its place, or none.
                    if let Some(path) = place_of(&file, path).map_err(fail)? {
                        let is_new = there.is_none();
                        return Ok(Self { path, file, is_new });
                    }
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(fail(error.into())),
            }
            if Instant::now() >= until {
                return Err(format!(
                    "{} is locked by another process, for more than {} s; nothing was changed",
                    path.display(),
                    USERS_LOCK_PATIENCE.as_secs()
                ));
            }
            thread::sleep(USERS_LOCK_RETRY);
        }
    }

    /// Its path, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn read(&self) -> Result<Zeroizing<String>, String> {
        read_open(&self.file, &self.path)
    }

    /// Replaces its text, at once: a reader sees the old or the new text, never a mixture. Owner, group and mode stay,
    /// because the server may run as another user than the administrator. Returns a warning if that user perhaps cannot
    /// read the file any more, or everybody can.
    ///
    /// # Errors
    /// A message that names the file, whose text is then the old one.
    pub fn replace(mut self, text: &str) -> Result<Option<String>, String> {
        let fail = |error: io::Error| format!("{}: {error}", self.path.display());
        let old = self.file.metadata().map_err(fail)?;
        let name = self.path.file_name().unwrap_or_default();
        let beside = format!(".{}.new", name.to_string_lossy());
        let beside = self.path.with_file_name(beside);
        let new = self.write(&beside, text, &old).map_err(|error| {
            _ = fs::remove_file(&beside);
            fail(error)
        })?;
        self.is_new = false;
        // So that the new name outlasts a power failure, too. Not every file system can do it.
        if let Some(folder) = self.path.parent() {
            _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(warning(&self.path, &old, &new))
    }

    /// Writes a file beside this one and renames it. Returns what the system knows of it.
    fn write(&self, beside: &Path, text: &str, old: &Metadata) -> io::Result<Metadata> {
        // Left by a process that was killed: whoever writes it holds the lock.
        match fs::remove_file(beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(beside)?;
        file.write_all(text.as_bytes())?;
        keep_access(&file, old)?;
        file.sync_all()?;
        fs::rename(beside, &self.path)?;
        file.metadata()
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        let is_empty = || self.file.metadata().is_ok_and(|file| file.len() == 0);
        if self.is_new && is_empty() {
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a file to be locked. Where flock(2) is emulated (NFS) an exclusive lock needs a file opened for writing, but a
/// file that may be replaced need not be writable.
fn open(path: &Path, may_create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(may_create)
        .mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            File::open(path).map_err(|_| error)
        }
        result => result,
    }
}

/// The path of an open file without symbolic links, if `path` still leads to it.
fn place_of(file: &File, path: &Path) -> io::Result<Option<PathBuf>> {
    let found =
        fs::canonicalize(path).and_then(|target| Ok((fs::symlink_metadata(&target)?, target)));
    let (there, target) = match found {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result?,
    };
    let here = file.metadata()?;
    let is_same = (here.dev(), here.ino()) == (there.dev(), there.ino());
    Ok(is_same.then_some(target))
}

/// Gives a new file the owner, group and mode of the old one, as far as the process may.
fn keep_access(new: &File, old: &Metadata) -> io::Result<()> {
    if fchown(new, Some(old.uid()), Some(old.gid())).is_err() {
        // Only root gives files away, but everybody may choose among the groups they are in.
        _ = fchown(new, None, Some(old.gid()));
    }
    let mode = old.mode() & 0o7777;
    let mode = match new.metadata()?.gid() == old.gid() {
        true => mode,
        // What the old group might do is not meant for another.
        false => mode & !0o070,
    };
    new.set_permissions(Permissions::from_mode(mode))
}

/// A warning about who can read the file now.
fn warning(path: &Path, old: &Metadata, new: &Metadata) -> Option<String> {
    let access = |of: &Metadata| (of.uid(), of.gid(), of.mode() & 0o7777);
    let path = path.display();
    let (owner, group, mode) = access(old);
    if access(new) != (owner, group, mode) {
        let now = access(new);
        return Some(format!(
            "{path} now belongs to {}:{} with mode {:04o}, and not to {owner}:{group} with mode {mode:04o} as before. A \
             server that cannot read it keeps the accounts it has, also those that were removed: run \
             `chown {owner}:{group} {path} && chmod {mode:o} {path}` as root before SIGHUP",
            now.0, now.1, now.2
        ));
    }
    (mode & 0o004 != 0).then(|| {
        format!(
            "{path} has mode {mode:04o}: every user of this machine can read the hashes in it (chmod o-r {path})"
        )
    })
}
