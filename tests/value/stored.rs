//! A world with a store that is a map: it commits, fails, or loses what it was given, when a test tells it to.

use std::collections::BTreeMap;
use std::time::Duration;

use sarang::config::Config;
use sarang::domain::changes::Change;
use sarang::domain::ids::{ConnectionId, Serial};
use sarang::domain::working_set::{Loader, WorkingSet};
use sarang::server::jobs::{Batch, Committed, Done, Job};
use serde_json::{Value, json};

use crate::world::World;

/// How a batch was committed.
pub const COMMITTED: Committed = Committed {
    took: Duration::from_millis(1),
    file_bytes: 1,
};

/// What is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    pub records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub batch: u64,
}

impl Disk {
    /// Commits a batch.
    pub fn commit(&mut self, batch: &Batch) {
        assert_eq!(batch.number, self.batch + 1, "no batch is left out");
        self.batch = batch.number;
        for change in batch.changes.iter() {
            match change {
                Change::Put(key, value) => {
                    self.records.insert(key.to_vec(), value.to_vec());
                }
                Change::Remove(key) => {
                    self.records.remove(key);
                }
            }
        }
    }

    pub fn load(&self) -> WorkingSet {
        let mut loader = Loader::default();
        for (key, value) in &self.records {
            loader.add(key, value).expect("is a record that fits");
        }
        let mut kept = loader.finish().expect("is whole");
        kept.batch = self.batch;
        // The shell makes it with the file.
        kept.secret = Some([9; 32]);
        kept
    }
}

/// A server with a store.
pub struct Stored {
    pub world: World,
    pub disk: Disk,
    config: Config,
}

impl Stored {
    pub fn new(config: Config) -> Self {
        Self::starting(config, Disk::default(), Duration::from_secs(1_705_314_600))
    }

    pub fn starting(config: Config, disk: Disk, unix: Duration) -> Self {
        let kept = disk.load();
        let world = World::with_store(config.clone(), kept, unix);
        Self {
            world,
            disk,
            config,
        }
    }

    /// The server is killed, and starts again with what is on disk.
    pub fn restart(&mut self) {
        let (disk, now) = (std::mem::take(&mut self.disk), self.world.now);
        *self = Self::starting(self.config.clone(), disk, now.unix);
    }

    /// The batch under way, if there is one.
    pub fn batch(&mut self) -> Option<(Serial, Job)> {
        self.world.turn();
        self.world.jobs.pop_front()
    }

    /// Commits batches until none is under way. Returns how many.
    pub fn commit(&mut self) -> usize {
        let mut count = 0;
        while let Some((serial, job)) = self.batch() {
            self.commit_one(serial, job);
            count += 1;
        }
        count
    }

    /// The disk has what a job brings it, whatever the server will be told.
    pub fn keep(&mut self, job: &Job) {
        match job {
            Job::Store(batch) => self.disk.commit(batch),
            Job::Rewrite(batch) => {
                self.disk = Disk {
                    records: BTreeMap::new(),
                    batch: batch.number - 1,
                };
                self.disk.commit(batch);
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    pub fn commit_one(&mut self, serial: Serial, job: Job) {
        self.keep(&job);
        self.finish(serial, Ok(COMMITTED));
    }

    /// The batch under way fails, and is on disk all the same if `is_kept`.
    pub fn fail(&mut self, is_kept: bool) {
        let (serial, job) = self.batch().expect("a batch is under way");
        if is_kept {
            self.keep(&job);
        }
        self.finish(serial, Err("the disk is full".into()));
    }

    fn finish(&mut self, serial: Serial, result: Result<Committed, String>) {
        let now = self.world.now;
        self.world
            .server
            .finished(serial, Done::Stored(result), now);
        self.world.turn();
    }

    pub fn say(&mut self, id: ConnectionId, message: Value) {
        self.world.say(id, message);
        self.world.turn();
    }

    /// Guests in a room.
    pub fn members<const N: usize>(&mut self, names: [&str; N], room: &str) -> [ConnectionId; N] {
        let members = names.map(|name| self.world.guest(name));
        for id in members {
            self.say(id, json!({"type": "join", "room": room}));
            self.commit();
        }
        for id in members {
            self.world.told(id);
        }
        members
    }
}
