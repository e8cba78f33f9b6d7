//! The file of the store: a `redb` database with one table of records and one of numbers.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    backends::FileBackend,
};

use super::store_folder::FILE_MODE;
use crate::config::STORE_CACHE_BYTES;
use crate::domain::changes::{Change, Changes};
use crate::domain::record::Record;
use crate::domain::record_codec::{FORMAT, FORMAT_MIN};
use crate::domain::working_set::{Loader, WorkingSet};

/// The records.
const KEPT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("kept");
/// Numbers by name.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The version of the format of the records.
const FORMAT_KEY: &str = "format";
/// The number of the last batch.
const BATCH_KEY: &str = "batch";
/// 1 in a backup that was restored: clients may have seen more than it holds.
const RESTORED_KEY: &str = "restored";

/// Why a file cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// It cannot be opened or read, and why: nothing is wrong with what it holds.
    Unreadable(String),
    /// It is damaged, and how.
    Damaged(String),
    /// It has a format that this program does not know.
    UnknownFormat(u64),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(reason) | Self::Damaged(reason) => f.write_str(reason),
            Self::UnknownFormat(found) => write!(
                f,
                "it has the format {found}, and this sarang knows {FORMAT} only: use the one that wrote it"
            ),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Unusable {
    fn from(error: E) -> Self {
        match error.into() {
            // What is cut off is missing, and what has no magic number is no database: that is no fault of the disk.
            redb::Error::Io(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::InvalidData | ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Unreadable(error.to_string())
            }
            redb::Error::PreviousIo => Self::Unreadable("a read has failed".into()),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// What was loaded from a file.
pub struct Loaded {
    /// The file.
    pub file: StoreFile,
    /// Everything it has.
    pub kept: WorkingSet,
    /// Whether it is a backup that was restored.
    pub is_restored: bool,
}

/// An open file.
#[derive(Debug)]
pub struct StoreFile {
    database: Database,
    path: PathBuf,
    /// Whether it names the current version of the format.
    is_current: Cell<bool>,
}

impl StoreFile {
    /// Opens a file, checks every page, and loads everything.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(path: &Path) -> Result<Loaded, Unusable> {
        let file = Self::open_database(path, false)?;
        let transaction = file.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let number = |name: &str| -> Result<Option<u64>, Unusable> {
            Ok(meta.get(name)?.map(|value| value.value()))
        };
        match number(FORMAT_KEY)? {
            Some(FORMAT_MIN..=FORMAT) => {}
            Some(other) => return Err(Unusable::UnknownFormat(other)),
            None => return Err(Unusable::Damaged("it names no format".into())),
        }
        let batch = number(BATCH_KEY)?;
        let is_restored = number(RESTORED_KEY)? == Some(1);
        let mut loader = Loader::default();
        let damaged = |what: crate::domain::working_set::Damaged| Unusable::Damaged(what.0.into());
        for entry in transaction.open_table(KEPT)?.iter()? {
            let (key, value) = entry?;
            loader.add(key.value(), value.value()).map_err(damaged)?;
        }
        let mut kept = loader.finish().map_err(damaged)?;
        kept.batch = batch.ok_or(Unusable::Damaged("it names no batch".into()))?;
        if kept.secret.is_none() {
            return Err(Unusable::Damaged("the secret is missing".into()));
        }
        drop((meta, transaction));
        Ok(Loaded {
            file,
            kept,
            is_restored,
        })
    }

    /// Makes a file with these records beside the secret. The caller makes its name durable.
    ///
    /// # Errors
    /// A sentence.
    pub fn make(path: &Path, secret: [u8; 32], batch: u64, all: &Changes) -> Result<Self, String> {
        remove_if_there(path).map_err(|error| error.to_string())?;
        let file = Self::open_database(path, true).map_err(|error| error.to_string())?;
        let mut changes = Changes::default();
        changes.put(&Record::Secret(secret));
        changes.append(all);
        file.write(batch, &changes, true)
            .map_err(|error| error.to_string())?;
        Ok(file)
    }

    fn open_database(path: &Path, is_new: bool) -> Result<Self, Unusable> {
        let unreadable = |error: io::Error| Unusable::Unreadable(error.to_string());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(is_new)
            .mode(FILE_MODE)
            .open(path)
            .map_err(unreadable)?;
        let is_empty = file.metadata().map_err(unreadable)?.size() == 0;
        if is_empty && !is_new {
            return Err(Unusable::Damaged("it is empty".into()));
        }
        let mut builder = Builder::new();
        builder.set_cache_size(STORE_CACHE_BYTES);
        // Without it a file that was altered may be trusted.
        builder.set_check_integrity_on_open(true);
        Ok(Self {
            database: builder.create_with_backend(FileBackend::new(file)?)?,
            path: path.into(),
            is_current: Cell::new(false),
        })
    }

    /// Commits a batch: one transaction, and one wait for the disk.
    ///
    /// # Errors
    /// Whether it is on disk is not known: the file must not be used any more.
    pub fn commit(&self, batch: u64, changes: &Changes) -> Result<(), String> {
        let written = self.write(batch, changes, false);
        written.map_err(|error| error.to_string())
    }

    fn write(&self, batch: u64, changes: &Changes, is_new: bool) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut kept = transaction.open_table(KEPT)?;
            for change in changes.iter() {
                match change {
                    Change::Put(key, value) => _ = kept.insert(key, value)?,
                    Change::Remove(key) => _ = kept.remove(key)?,
                }
            }
            let mut meta = transaction.open_table(META)?;
            // Also one of an older version has records of this one from now on.
            if is_new || !self.is_current.replace(true) {
                meta.insert(FORMAT_KEY, FORMAT)?;
            }
            meta.insert(BATCH_KEY, batch)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Everything as it is now, for a copy; commits go on meanwhile.
    ///
    /// # Errors
    /// A sentence.
    pub fn snapshot(&self) -> Result<Snapshot, String> {
        let transaction = self.database.begin_read();
        transaction.map(Snapshot).map_err(|error| error.to_string())
    }

    /// Marks the file as a backup that is restored.
    ///
    /// # Errors
    /// A sentence.
    pub fn mark_restored(&self) -> Result<(), String> {
        let mark = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            transaction.open_table(META)?.insert(RESTORED_KEY, 1)?;
            transaction.commit()?;
            Ok(())
        };
        mark().map_err(|error| error.to_string())
    }

    /// Its size, in bytes; 0 if the system does not tell.
    pub fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |about| about.size())
    }

    /// The file is in another place now.
    pub fn moved_to(&mut self, path: PathBuf) {
        self.path = path;
    }
}

/// Everything in a file at one time.
pub struct Snapshot(ReadTransaction);

impl Snapshot {
    /// Writes it into a new file, and waits for the disk. The caller makes its name durable. Returns its size in bytes.
    ///
    /// # Errors
    /// A sentence.
    pub fn copy_to(&self, path: &Path) -> Result<u64, String> {
        remove_if_there(path).map_err(|error| error.to_string())?;
        let copied = self.copy(path);
        copied.map_err(|error| error.to_string())
    }

    fn copy(&self, path: &Path) -> Result<u64, Unusable> {
        let copy = StoreFile::open_database(path, true)?;
        let transaction = copy.database.begin_write()?;
        {
            let mut kept = transaction.open_table(KEPT)?;
            for entry in self.0.open_table(KEPT)?.iter()? {
                let (key, value) = entry?;
                kept.insert(key.value(), value.value())?;
            }
            let mut meta = transaction.open_table(META)?;
            for entry in self.0.open_table(META)?.iter()? {
                let (name, number) = entry?;
                meta.insert(name.value(), number.value())?;
            }
        }
        transaction.commit()?;
        Ok(copy.bytes())
    }
}

/// Removes a file, if there is one.
///
/// # Errors
/// The removal.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
