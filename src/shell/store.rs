//! The store on disk: a thread that commits batches into one file.
//!
//! The thread starts with the first task. After a failed write or fsync the file is never used again: the system may have
//! marked pages as clean that are not on disk, so another fsync would say nothing. Only a rewrite of everything into a new file
//! ends that.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mio::Waker;

use super::store_file::{Loaded, StoreFile, Unusable};
use super::store_folder::Folder;
use crate::config::Level;
use crate::domain::changes::Changes;
use crate::domain::ids::Serial;
use crate::domain::working_set::WorkingSet;
use crate::server::jobs::{Batch, Committed, Done};

/// A task of the thread.
enum Task {
    Commit(Serial, Batch),
    Rewrite(Serial, Batch),
}

/// A finished task: the serial of its job, and its result.
type Finished = (Serial, Result<Committed, String>);

/// Something that an operator should know of the start: a level, the name of an event, and its field.
#[derive(Debug)]
pub struct Remark {
    /// The level.
    pub level: Level,
    /// The event.
    pub event: &'static str,
    /// The name of its field, and the value.
    pub about: (&'static str, String),
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

/// Opens the store in a folder, or makes one, with this secret. A file that is damaged is moved aside.
///
/// # Errors
/// A sentence.
pub fn open(path: &Path, secret: [u8; 32]) -> Result<Opened, String> {
    let named = |what: String| format!("--data {}: {what}", path.display());
    let folder = Folder::lock(path).map_err(|refused| named(refused.to_string()))?;
    let mut remarks = Vec::new();
    if folder.is_open_to_others {
        remarks.push(Remark {
            level: Level::Warn,
            event: "folder_open",
            about: ("path", path.display().to_string()),
        });
    }
    if folder.file().exists() {
        match load(&folder) {
            Ok(Loaded { file, mut kept, .. }) => {
                let secret = kept.secret.take().unwrap_or(secret);
                kept.secret = Some(secret);
                let store = Keeper {
                    folder,
                    file: Some(file),
                    secret,
                };
                return Ok(Opened {
                    store,
                    kept,
                    remarks,
                });
            }
            Err(Unusable::Damaged(reason)) => {
                let unix = SystemTime::now().duration_since(UNIX_EPOCH);
                let unix = unix.unwrap_or_default().as_secs();
                let aside = folder.move_aside("damaged", unix);
                let aside = aside.map_err(|error| named(format!("{reason}; {error}")))?;
                remarks.push(Remark {
                    level: Level::Error,
                    event: "storage_damaged",
                    about: ("moved", format!("{} ({reason})", aside.display())),
                });
            }
            Err(refused) => {
                return Err(format!("{}: {refused}", folder.file().display()));
            }
        }
    }
    let mut store = Keeper {
        folder,
        file: None,
        secret,
    };
    let batch = store.folder.witnessed;
    store
        .begin_file(batch, &Changes::default())
        .map_err(named)?;
    let kept = WorkingSet {
        batch,
        secret: Some(secret),
        ..WorkingSet::default()
    };
    Ok(Opened {
        store,
        kept,
        remarks,
    })
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
        let mut file = StoreFile::make(&new, self.secret, batch, all)?;
        self.folder
            .put_in_place()
            .map_err(|error| error.to_string())?;
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

    fn carry_out(&mut self, task: Task) -> Finished {
        let began = Instant::now();
        let (serial, batch, done) = match task {
            Task::Commit(serial, batch) => (serial, batch.number, self.commit(&batch)),
            Task::Rewrite(serial, batch) => (serial, batch.number, self.rewrite(&batch)),
        };
        let committed = done.map(|()| {
            // What it says is of use after damage only; a disk that takes no more writes shows that with the next batch.
            _ = self.folder.witness(batch);
            Committed {
                took: began.elapsed(),
                file_bytes: self.file.as_ref().map_or(0, StoreFile::bytes),
            }
        });
        (serial, committed)
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

    /// Replaces everything by this.
    pub fn rewrite(&mut self, serial: Serial, batch: Batch) {
        self.submit(Task::Rewrite(serial, batch));
    }

    /// The next result.
    pub fn poll_result(&self) -> Option<(Serial, Done)> {
        let (serial, result) = self.results.1.try_recv().ok()?;
        Some((serial, Done::Stored(result)))
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
        let (Task::Commit(serial, _) | Task::Rewrite(serial, _)) = task;
        let refused = Err("no thread for it".into());
        _ = self.results.0.send((serial, refused));
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
                        let result = keeper.carry_out(task);
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
