//! `sarang backup` and `sarang restore`: copies of a store.
//!
//! While a server runs, only it can read its store: it is asked for a copy by SIGUSR1, makes one in its own folder, where it
//! may write whatever confines it, and the command moves that to where it is wanted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use super::store::now;
use super::store_file::{Loaded, StoreFile, Unusable, remove_if_there};
use super::store_folder::{
    BACKUP, BACKUP_FAILED, FILE_MODE, Folder, LOCK, Refused, User, sync_folder,
};
use crate::config::{BACKUP_POLLED_EVERY, BACKUP_TIMEOUT};
use crate::domain::working_set::WorkingSet;
use crate::options::StoreCommand;

/// Carries out a command. Returns what it has to say.
///
/// # Errors
/// A sentence.
pub fn run(command: &StoreCommand) -> Result<String, String> {
    let StoreCommand {
        is_restore,
        file,
        folder,
    } = command;
    let path = if *is_restore { file } else { folder };
    if !path.exists() {
        return Err(format!("{}: it does not exist", path.display()));
    }
    let done = match is_restore {
        true => restore(file, folder),
        false => back_up(file, folder),
    };
    done.map_err(|what| format!("{}: {what}", folder.display()))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What a store has, in words.
fn contents(kept: &WorkingSet) -> String {
    let messages = kept.rooms.iter().map(|kept| kept.room.messages.len());
    let (rooms, messages) = (kept.rooms.len(), messages.sum::<usize>());
    format!("{rooms} rooms with {messages} messages")
}

fn back_up(file: &Path, folder: &Path) -> Result<String, String> {
    let target = parent(file);
    let is_inside = match (target.canonicalize(), folder.canonicalize()) {
        (Ok(target), Ok(folder)) => target == folder,
        (Err(error), _) => return Err(format!("{}: {error}", target.display())),
        (_, Err(error)) => return Err(text(error)),
    };
    if is_inside {
        return Err("a backup belongs into another folder".into());
    }
    // Two commands would take each other's copy.
    let alone = File::open(folder).map_err(text)?;
    flock(&alone, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| "another backup is under way".to_owned())?;
    let copy = match copy_of(folder)? {
        Copy::Own(locked) => return finish(&locked.file(), folder, file),
        Copy::OfServer(copy) => copy,
    };
    let moved = finish(&copy, folder, file);
    // What is left is replaced by the next copy.
    _ = remove_if_there(&copy);
    moved
}

/// A copy of a store.
enum Copy {
    /// The file itself: no server runs, and none starts while the folder is locked.
    Own(Folder),
    /// Made by the server.
    OfServer(PathBuf),
}

/// Has the running server make a copy, or makes sure that none runs.
fn copy_of(folder: &Path) -> Result<Copy, String> {
    let (copy, failed) = (folder.join(BACKUP), folder.join(BACKUP_FAILED));
    let until = Instant::now() + BACKUP_TIMEOUT;
    let mut asked = None;
    loop {
        match Folder::lock(folder, User::Command) {
            // It has ended, or there was none.
            Ok(locked) => return Ok(Copy::Own(locked)),
            Err(Refused::InUse(Some(process))) if asked != Some(process) => {
                remove_if_there(&copy).map_err(text)?;
                remove_if_there(&failed).map_err(text)?;
                ask(process, folder)?;
                asked = Some(process);
            }
            Err(Refused::InUse(_)) => {}
            Err(refused) => return Err(text(refused)),
        }
        if copy.exists() {
            return Ok(Copy::OfServer(copy));
        }
        if let Ok(reason) = fs::read_to_string(&failed) {
            _ = remove_if_there(&failed);
            return Err(format!("the server cannot copy it: {reason}"));
        }
        if Instant::now() >= until {
            let seconds = BACKUP_TIMEOUT.as_secs();
            return Err(format!("the server made no copy within {seconds} seconds"));
        }
        sleep(BACKUP_POLLED_EVERY);
    }
}

/// Asks a server for a copy, if it is the one that uses the folder.
fn ask(process: u32, folder: &Path) -> Result<(), String> {
    let lock = fs::metadata(folder.join(LOCK)).map_err(text)?;
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"));
    let descriptors = descriptors.map_err(|error| {
        format!("process {process}, the server there, cannot be asked for a copy: {error}")
    })?;
    let is_lock = |path: PathBuf| {
        let about = fs::metadata(path).ok();
        about.is_some_and(|about| (about.dev(), about.ino()) == (lock.dev(), lock.ino()))
    };
    let mut paths = descriptors.filter_map(|entry| Some(entry.ok()?.path()));
    if !paths.any(is_lock) {
        return Err(format!(
            "process {process} is not the server there: run it where that runs, as in the same container"
        ));
    }
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or("the lock file names no process")?;
    kill_process(pid, Signal::USR1).map_err(text)
}

/// Copies, checks, and puts a copy where it is wanted, durably.
fn finish(copy: &Path, folder: &Path, file: &Path) -> Result<String, String> {
    if !copy.exists() {
        return Err("nothing is kept there".into());
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let put = || -> Result<(WorkingSet, u64), String> {
        let bytes = duplicate(copy, &new).map_err(|error| format!("{}: {error}", new.display()))?;
        let kept = check(&new).map_err(|unusable| format!("the copy is not whole: {unusable}"))?;
        let put = fs::rename(&new, file).and_then(|()| sync_folder(parent(file)));
        put.map_err(|error| format!("{}: {error}", file.display()))?;
        Ok((kept, bytes))
    };
    let (kept, bytes) = put().inspect_err(|_| _ = remove_if_there(&new))?;
    Ok(format!(
        "backed up {} from {} to {} ({bytes} bytes)\n",
        contents(&kept),
        folder.display(),
        file.display()
    ))
}

/// Loads everything in a copy, which may write to it.
fn check(copy: &Path) -> Result<WorkingSet, Unusable> {
    let Loaded { file, kept, .. } = StoreFile::open(copy)?;
    drop(file);
    sync(copy).map_err(|error| Unusable::Unreadable(error.to_string()))?;
    Ok(kept)
}

fn sync(file: &Path) -> io::Result<()> {
    File::open(file)?.sync_all()
}

fn restore(file: &Path, folder: &Path) -> Result<String, String> {
    let locked = Folder::lock(folder, User::Command).map_err(|refused| match refused {
        Refused::InUse(Some(_)) => format!("{refused}: stop it first"),
        refused => text(refused),
    })?;
    let new = locked.new_file();
    let prepare = || -> Result<WorkingSet, String> {
        duplicate(file, &new).map_err(|error| format!("{}: {error}", file.display()))?;
        let opened = StoreFile::open(&new);
        let Loaded {
            file: opened, kept, ..
        } = opened.map_err(|unusable| {
            let file = file.display();
            format!("{file} is no backup that can be restored: {unusable}")
        })?;
        opened.mark_restored()?;
        drop(opened);
        sync(&new).map_err(text)?;
        Ok(kept)
    };
    let kept = prepare().inspect_err(|_| _ = remove_if_there(&new))?;
    let aside = match locked.file().exists() {
        true => Some(locked.keep_aside("before-restore", now()).map_err(text)?),
        false => None,
    };
    locked.put_in_place().map_err(text)?;
    locked.witness(kept.batch).map_err(text)?;
    let aside = aside.map(|aside| format!("; what was there is now {}", aside.display()));
    Ok(format!(
        "restored {} from {} to {}{}\n",
        contents(&kept),
        file.display(),
        folder.display(),
        aside.unwrap_or_default()
    ))
}

/// Copies a file, and waits for the disk. Returns its size, in bytes.
fn duplicate(from: &Path, to: &Path) -> io::Result<u64> {
    remove_if_there(to)?;
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(to)?;
    let bytes = io::copy(&mut source, &mut target)?;
    target.sync_all()?;
    Ok(bytes)
}

fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
