//! In place of the store, in a build without it: `--data` is refused.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use mio::Waker;

use crate::config::Level;
use crate::domain::ids::Serial;
use crate::domain::working_set::WorkingSet;
use crate::server::jobs::{Batch, Done};

/// Why there is no store.
pub const NONE: &str =
    "this sarang was built without the feature `durable`, so it keeps nothing on disk";

/// A store that was opened: there is none.
pub struct Opened {
    /// The store.
    pub store: Infallible,
    /// Everything that it has kept.
    pub kept: WorkingSet,
    /// What an operator should know.
    pub remarks: Vec<Remark>,
}

/// Something that an operator should know of the start.
pub struct Remark {
    /// The level.
    pub level: Level,
    /// The event.
    pub event: &'static str,
    /// What it is about: names and values.
    pub about: Vec<(&'static str, String)>,
}

/// Refuses.
///
/// # Errors
/// A sentence, always.
pub fn open(path: &Path, _: [u8; 32]) -> Result<Opened, String> {
    Err(format!("--data {}: {NONE}", path.display()))
}

/// A store: there is none.
pub struct Store(Infallible);

impl Store {
    /// A store.
    pub fn new(store: Infallible, _: Arc<Waker>) -> Self {
        Self(store)
    }

    /// Commits a batch.
    pub fn commit(&mut self, _: Serial, _: Batch) {
        match self.0 {}
    }

    /// Replaces everything by this.
    pub fn rewrite(&mut self, _: Serial, _: Batch) {
        match self.0 {}
    }

    /// Makes a copy.
    pub fn back_up(&mut self) {
        match self.0 {}
    }

    /// The next result.
    pub fn poll_result(&self) -> Option<(Serial, Done)> {
        match self.0 {}
    }

    /// Closes the file.
    pub fn finish(self) {
        match self.0 {}
    }
}
