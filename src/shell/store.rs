//! The store on disk: a thread that commits batches into one file.
//!
//! The thread starts with the first task. After a failed write or fsync the file is never used again: the system may have
//! marked pages as clean that are not on disk, so another fsync would say nothing. Only a rewrite of everything into a new file
//! ends that.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mio::Waker;

use super::store_file::{Loaded, StoreFile, Unusable, remove_if_there};
use super::store_folder::{Folder, User, sync_folder};
use crate::config::Level;
use crate::domain::changes::Changes;
use crate::domain::ids::Serial;
use crate::domain::random::Random;
use crate::domain::time::Timestamp;
use crate::domain::working_set::WorkingSet;
use crate::server::jobs::{Batch, Committed, Done};

/// A task of the thread.
enum Task {
    Commit(Serial, Batch),
    Rewrite(Serial, Batch),
    BackUp,
}

/// A finished task.
enum Finished {
    Stored(Serial, Result<Committed, String>),
    BackedUp(Result<u64, String>),
}

/// The serial of what no job has asked for.
const NO_JOB: Serial = Serial(0);

/// Something that an operator should know of the start.
#[derive(Debug)]
pub struct Remark {
    /// The level.
    pub level: Level,
    /// The event.
    pub event: &'static str,
    /// What it is about: names and values.
    pub about: Vec<(&'static str, String)>,
}

impl Remark {
    fn new<const N: usize>(
        level: Level,
        event: &'static str,
        about: [(&'static str, String); N],
    ) -> Self {
        Self {
            level,
            event,
            about: about.into(),
        }
    }
}

/// A store that was opened.
pub struct Opened {
    /// The store.
    pub store: Keeper,
    /// Everything that it has kept.
    pub kept: WorkingSet,
    /// What an operator should know.
    pub remarks: Vec<Remark>,
}

/// What the thread works on.
#[derive(Debug)]
pub struct Keeper {
    folder: Folder,
    /// `None` after a failure.
    file: Option<StoreFile>,
    secret: [u8; 32],
}

/// Opens the store in a folder, or makes one. `random` is its secret if it is new, and determines the new epochs of a backup
/// that was restored. A file that is damaged is moved aside.
///
/// # Errors
/// A sentence.
pub fn open(path: &Path, random: [u8; 32]) -> Result<Opened, String> {
    let named = |what: String| format!("--data {}: {what}", path.display());
    let folder = Folder::lock(path, User::Server).map_err(|refused| named(refused.to_string()))?;
    let mut remarks = Vec::new();
    if folder.is_open_to_others {
        let advice = format!("chmod go= {}", path.display());
        remarks.push(Remark::new(
            Level::Warn,
            "folder_open",
            [("advice", advice)],
        ));
    }
    if folder.file().exists() {
        match load(&folder) {
            Ok(loaded) => return take(folder, loaded, remarks, &random).map_err(named),
            Err(Unusable::Damaged(reason)) => {
                let aside = folder.move_aside("damaged", now());
                let aside = aside.map_err(|error| named(format!("{reason}; {error}")))?;
                let about = [
                    ("reason", reason),
                    ("moved_to", aside.display().to_string()),
                    (
                        "advice",
                        format!("sarang restore BACKUP --data {}", path.display()),
                    ),
                ];
                remarks.push(Remark::new(Level::Error, "storage_damaged", about));
            }
            Err(refused) => {
                let file = folder.file();
                return Err(format!("{}: {refused}", file.display()));
            }
        }
    }
    let batch = folder.witnessed;
    let mut store = Keeper {
        folder,
        file: None,
        secret: random,
    };
    store
        .begin_file(batch, &Changes::default())
        .map_err(named)?;
    let kept = WorkingSet {
        batch,
        secret: Some(random),
        ..WorkingSet::default()
    };
    Ok(Opened {
        store,
        kept,
        remarks,
    })
}

/// Takes what was loaded. Of a backup that was restored clients may have seen more than it holds: everything gets new epochs,
/// in a new file.
fn take(
    folder: Folder,
    Loaded {
        file,
        mut kept,
        is_restored,
    }: Loaded,
    mut remarks: Vec<Remark>,
    random: &[u8; 32],
) -> Result<Opened, String> {
    let secret = kept.secret.unwrap_or(*random);
    let mut store = Keeper {
        folder,
        file: Some(file),
        secret,
    };
    if is_restored {
        let mut epochs = Random::new(random);
        kept.renew(|| epochs.number());
        kept.stale = Changes::default();
        kept.batch += 1;
        store.file = None;
        store.begin_file(kept.batch, &kept.changes())?;
        let rooms = kept.rooms.len().to_string();
        remarks.push(Remark::new(
            Level::Warn,
            "backup_restored",
            [("rooms", rooms)],
        ));
    }
    Ok(Opened {
        store,
        kept,
        remarks,
    })
}

/// The time by the wall clock.
pub fn now() -> Timestamp {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_secs(unix.unwrap_or_default().as_secs())
}

fn load(folder: &Folder) -> Result<Loaded, Unusable> {
    let loaded = StoreFile::open(&folder.file())?;
    // The file is whole, but not the newest: it has gone back to what it was before its last commits.
    if loaded.kept.batch < folder.witnessed {
        return Err(Unusable::Damaged(
            "the last that was kept is missing".into(),
        ));
    }
    Ok(loaded)
}

impl Keeper {
    /// Makes a new file with this, and puts it in the place of the other.
    fn begin_file(&mut self, batch: u64, all: &Changes) -> Result<(), String> {
        let new = self.folder.new_file();
        let made = StoreFile::make(&new, self.secret, batch, all).and_then(|file| {
            let put = self.folder.put_in_place();
            put.map(|()| file).map_err(|error| error.to_string())
        });
        // What is left of it would take space that others may need.
        let mut file = made.inspect_err(|_| _ = remove_if_there(&new))?;
        file.moved_to(self.folder.file());
        self.file = Some(file);
        Ok(())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), String> {
        let file = self.file.as_ref().ok_or("it has failed before")?;
        let committed = file.commit(batch.number, &batch.changes);
        if committed.is_err() {
            self.file = None;
        }
        committed
    }

    fn rewrite(&mut self, batch: &Batch) -> Result<(), String> {
        self.file = None;
        self.begin_file(batch.number, &batch.changes)
    }

    fn store(&mut self, batch: &Batch, is_rewrite: bool) -> Result<Committed, String> {
        let began = Instant::now();
        match is_rewrite {
            true => self.rewrite(batch)?,
            false => self.commit(batch)?,
        }
        // What it says is of use after damage only; a disk that takes no more writes shows that with the next batch.
        _ = self.folder.witness(batch.number);
        Ok(Committed {
            took: began.elapsed(),
            file_bytes: self.file.as_ref().map_or(0, StoreFile::bytes),
        })
    }

    /// Begins a copy, on a thread of its own: commits go on meanwhile.
    fn back_up(&self, told: impl FnOnce(Result<u64, String>) + Send + 'static) {
        let snapshot = match &self.file {
            Some(file) => file.snapshot(),
            None => Err("the store has failed".into()),
        };
        let ([new, copy], failed) = (self.folder.backups(), self.folder.backup_failed());
        let folder = self.folder.path().to_owned();
        let work = move || {
            let copied = snapshot.and_then(|snapshot| snapshot.copy_to(&new));
            let copied = copied.and_then(|bytes| {
                let put = fs::rename(&new, &copy).and_then(|()| sync_folder(&folder));
                put.map(|()| bytes).map_err(|error| error.to_string())
            });
            if let Err(reason) = &copied {
                // Without it whoever asked waits in vain, and says so.
                _ = fs::write(failed, reason);
            }
            told(copied);
        };
        // Without a thread nothing comes, and whoever asked says so.
        _ = std::thread::Builder::new()
            .name("backup".into())
            .spawn(work);
    }
}

/// The store, and its thread.
pub struct Store {
    waker: Arc<Waker>,
    /// What the thread begins with, until it is started.
    idle: Option<Keeper>,
    thread: Option<(Sender<Task>, JoinHandle<()>)>,
    results: (Sender<Finished>, Receiver<Finished>),
}

impl Store {
    /// A store that wakes the loop when a task is finished.
    pub fn new(keeper: Keeper, waker: Arc<Waker>) -> Self {
        Self {
            waker,
            idle: Some(keeper),
            thread: None,
            results: channel(),
        }
    }

    /// Commits a batch.
    pub fn commit(&mut self, serial: Serial, batch: Batch) {
        self.submit(Task::Commit(serial, batch));
    }

    /// Makes a copy beside the file, for `sarang backup`.
    pub fn back_up(&mut self) {
        self.submit(Task::BackUp);
    }

    /// Replaces everything by this.
    pub fn rewrite(&mut self, serial: Serial, batch: Batch) {
        self.submit(Task::Rewrite(serial, batch));
    }

    /// The next result.
    pub fn poll_result(&self) -> Option<(Serial, Done)> {
        Some(match self.results.1.try_recv().ok()? {
            Finished::Stored(serial, stored) => (serial, Done::Stored(stored)),
            Finished::BackedUp(copied) => (NO_JOB, Done::BackedUp(copied)),
        })
    }

    /// Waits for the tasks under way, and closes the file.
    pub fn finish(self) {
        if let Some((tasks, thread)) = self.thread {
            drop(tasks);
            // Its panic was told already.
            _ = thread.join();
        }
    }

    fn submit(&mut self, task: Task) {
        if self.thread.is_none() {
            self.thread = self.start();
        }
        let task = match &self.thread {
            Some((tasks, _)) => match tasks.send(task) {
                Ok(()) => return,
                Err(unsent) => unsent.0,
            },
            None => task,
        };
        let reason = "no thread for it".to_owned();
        let refused = match task {
            Task::Commit(serial, _) | Task::Rewrite(serial, _) => {
                Finished::Stored(serial, Err(reason))
            }
            Task::BackUp => Finished::BackedUp(Err(reason)),
        };
        _ = self.results.0.send(refused);
        _ = self.waker.wake();
    }

    fn start(&mut self) -> Option<(Sender<Task>, JoinHandle<()>)> {
        let mut keeper = self.idle.take()?;
        let (sender, tasks) = channel::<Task>();
        let results = self.results.0.clone();
        let waker = self.waker.clone();
        let started: io::Result<_> =
            std::thread::Builder::new()
                .name("store".into())
                .spawn(move || {
                    while let Ok(task) = tasks.recv() {
                        let (serial, stored) = match task {
                            Task::Commit(serial, batch) => (serial, keeper.store(&batch, false)),
                            Task::Rewrite(serial, batch) => (serial, keeper.store(&batch, true)),
                            Task::BackUp => {
                                let (results, waker) = (results.clone(), waker.clone());
                                keeper.back_up(move |copied| {
                                    // At the end of the server nobody is told.
                                    _ = results.send(Finished::BackedUp(copied));
                                    _ = waker.wake();
                                });
                                continue;
                            }
                        };
                        let result = Finished::Stored(serial, stored);
                        if results.send(result).is_err() || waker.wake().is_err() {
                            return;
                        }
                    }
                });
        Some((sender, started.ok()?))
    }
}

#[cfg(test)]
mod tests;
