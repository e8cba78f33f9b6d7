//! The backend on disk: a group commit. No I/O: a batch leaves as a job, and what it answers is told when it is on disk.
//!
//! Wishes queue without numbers. While no batch is under way they are numbered, timestamped and encoded into one, so a lone
//! message waits for nobody and batches grow with the load. A batch is all or nothing: if it fails it has used no number, and
//! the outcome of its wishes is not known, so sending them again by `id` is safe. After that nothing is stored until the
//! whole working set has been written into a new file: a disk that has failed once may have lost what it had confirmed.

mod batch;

use std::collections::VecDeque;
use std::time::Duration;

use super::histogram::{BATCH_WISHES, COMMIT_MICROS, Histogram};
use super::jobs::{Batch, Committed, Job};
use crate::config::{
    STORE_REST_BYTES, STORE_REST_BYTES_MAX, STORE_RETRY, STORE_RETRY_MAX, STORE_WISHES_BYTES_MAX,
    STORE_WISHES_MAX,
};
use crate::domain::changes::Changes;
use crate::domain::drafts::{Draft, Told};
use crate::domain::error::ErrorCode;
use crate::domain::facts::{Fact, Outcome};
use crate::domain::ids::{RoomId, RoomKey, Serial};
use crate::domain::position::Position;
use crate::domain::time::Now;
use crate::domain::wishes::{Opening, Publication};

/// An answer of the disk.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered {
    /// To a wish of the rooms.
    Outcome(Outcome),
    /// To an event.
    Told(Told),
    /// To changes: whether they are kept.
    Kept(Serial, Result<(), ErrorCode>),
}

/// A wish in the queue.
#[derive(Debug)]
enum Wish {
    Publish(Publication),
    Open(Opening),
    Tell(Option<Serial>, Draft),
    Keep(Option<Serial>, Changes),
}

/// What the disk is doing.
#[derive(Debug)]
enum State {
    /// Nothing.
    Idle,
    /// A batch is under way, and these are the answers if it is committed.
    Committing(Vec<Answered>),
    /// It has failed. The working set is written anew at this time, since the server's start.
    Failed(Duration),
    /// The working set is being written anew.
    Rewriting,
}

/// Figures of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Commits by duration, in microseconds.
    pub commits: Histogram,
    /// Batches by the number of their wishes: messages, rooms, events, logouts.
    pub batches: Histogram,
    /// Batches, and rewrites of the whole store, that failed.
    pub failures: u64,
    /// The size of the file, in bytes; 0 before the first commit.
    pub file_bytes: u64,
}

/// The number of the newest message of a room.
#[derive(Clone, Copy, Debug, Default)]
struct Numbered {
    epoch: u64,
    newest: u64,
    /// The batch that has moved it, and where it was before.
    batch: u64,
    before: u64,
}

/// The backend on disk.
#[derive(Debug)]
pub struct Disk {
    /// The state of the generator of epochs.
    epochs: u64,
    /// By slot of the room.
    rooms: Vec<Numbered>,
    /// The rooms that the batch under way has moved.
    moved: Vec<RoomKey>,
    /// The id of the newest event, and what it was before the batch under way.
    event: (u64, u64),
    /// Whether the store has the id from which those of events began.
    has_event_base: bool,
    queue: VecDeque<Wish>,
    queue_bytes: usize,
    /// Changes that nobody waits for: they go with the next batch.
    rest: Changes,
    /// Whether they are a batch if there is nothing else.
    is_rest_urgent: bool,
    state: State,
    job: Option<Job>,
    /// The number of the last batch.
    batch: u64,
    /// The latest time that is known, for timestamps.
    now: Now,
    /// The wait before the next attempt after another failure.
    patience: Duration,
    figures: Figures,
}

impl Disk {
    /// A disk without rooms, whose last batch had this number. `seed` determines the epochs of later rooms.
    pub fn new(seed: u64, batch: u64) -> Self {
        Self {
            epochs: seed,
            rooms: Vec::new(),
            moved: Vec::new(),
            event: (0, 0),
            has_event_base: false,
            queue: VecDeque::new(),
            queue_bytes: 0,
            rest: Changes::default(),
            is_rest_urgent: false,
            state: State::Idle,
            job: None,
            batch,
            now: Now::default(),
            patience: STORE_RETRY,
            figures: Figures {
                commits: Histogram::new(&COMMIT_MICROS),
                batches: Histogram::new(&BATCH_WISHES),
                failures: 0,
                file_bytes: 0,
            },
        }
    }

    /// The id of the newest event so far, and whether the store has one from which ids began.
    pub fn begin_events(&mut self, newest: u64, has_base: bool) {
        self.event = (newest, newest);
        self.has_event_base = has_base;
    }

    /// The room was loaded, or has another epoch: its messages go up to this position.
    pub fn renewed(&mut self, room: RoomId, position: Position) {
        self.slot(room).epoch = position.epoch;
        self.slot(room).newest = position.seq;
    }

    /// Takes a message to order and store.
    pub fn publish(&mut self, publication: Publication, now: Now) -> Option<Outcome> {
        let bytes = publication.content.len();
        match self.has_room_for(bytes, now) {
            true => self.push(Wish::Publish(publication), bytes),
            false => return Some(failed(publication.serial)),
        }
        None
    }

    /// Takes a room to open.
    pub fn open(&mut self, opening: Opening, now: Now) -> Option<Outcome> {
        match self.has_room_for(0, now) {
            true => self.push(Wish::Open(opening), 0),
            false => return Some(failed(opening.serial)),
        }
        None
    }

    /// Takes an event to number and store.
    pub fn tell(&mut self, serial: Option<Serial>, draft: Draft, now: Now) -> Option<Told> {
        let bytes = draft.data.len();
        match self.has_room_for(bytes, now) {
            true => self.push(Wish::Tell(serial, draft), bytes),
            false => return Some(untold(serial, draft)),
        }
        None
    }

    /// Takes changes that were made in memory already. Returns the answer if it is known at once.
    pub fn keep(
        &mut self,
        serial: Option<Serial>,
        changes: Changes,
        now: Now,
    ) -> Option<Result<(), ErrorCode>> {
        self.now = now;
        match &self.state {
            // The whole working set will be written, with these changes.
            State::Failed(_) => Some(Err(ErrorCode::StorageUnavailable)),
            // Never refused: nothing can undo them.
            _ => {
                let bytes = changes.bytes();
                self.push(Wish::Keep(serial, changes), bytes);
                None
            }
        }
    }

    /// Takes changes that were made in memory already, and that nobody waits for. If they are not urgent, such as removals of
    /// what is of no use any more, they go with the next batch, so that a disk that is idle stays so.
    pub fn keep_rest(&mut self, changes: &Changes, are_urgent: bool) {
        if !matches!(self.state, State::Failed(_)) {
            self.rest.append(changes);
            self.is_rest_urgent |= are_urgent;
        }
    }

    /// Whether so many changes wait that nothing may be added that can be refused.
    pub fn is_full(&self) -> bool {
        self.rest.bytes() > STORE_REST_BYTES_MAX
    }

    /// Whether another wish is taken.
    fn has_room_for(&mut self, bytes: usize, now: Now) -> bool {
        self.now = now;
        self.is_up()
            && self.queue.len() < STORE_WISHES_MAX
            && self.queue_bytes + bytes <= STORE_WISHES_BYTES_MAX
    }

    fn push(&mut self, wish: Wish, bytes: usize) {
        self.queue.push_back(wish);
        self.queue_bytes += bytes;
    }

    /// Whether the disk takes wishes.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Idle | State::Committing(_))
    }

    /// Whether something is not on disk yet that was asked for.
    pub fn is_busy(&self) -> bool {
        let has_wishes = !self.queue.is_empty() || self.is_rest_urgent;
        matches!(self.state, State::Committing(_)) || has_wishes && self.is_up()
    }

    /// The wishes in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Its figures.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Whether there is a job.
    pub fn has_jobs(&self) -> bool {
        let is_due = self.is_rest_urgent || self.rest.bytes() > STORE_REST_BYTES;
        let is_due = is_due || !self.queue.is_empty();
        self.job.is_some() || matches!(self.state, State::Idle) && is_due
    }

    /// The next job: the batch of all wishes in the queue, if none is under way.
    pub fn poll_job(&mut self) -> Option<Job> {
        if self.job.is_none() && self.has_jobs() {
            self.begin_batch();
        }
        self.job.take()
    }

    /// When the whole working set is to be written anew, since the server's start, if it is.
    pub fn next_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Failed(at) => Some(at),
            _ => None,
        }
    }

    /// Writes the whole working set anew.
    pub fn rewrite(&mut self, everything: Changes) {
        self.batch += 1;
        self.state = State::Rewriting;
        self.job = Some(Job::Rewrite(Batch {
            number: self.batch,
            changes: everything,
        }));
    }

    /// Takes the result of the job under way. Returns the answers to the wishes, in order, and what is to be told of the disk.
    pub fn stored(
        &mut self,
        result: Result<Committed, String>,
        now: Now,
    ) -> (Vec<Answered>, Option<Notice>) {
        self.now = now;
        let state = std::mem::replace(&mut self.state, State::Idle);
        match (result, state) {
            (Ok(committed), State::Committing(answers)) => {
                self.moved.clear();
                self.count(committed);
                self.figures.batches.observe(answers.len() as u64);
                (answers, None)
            }
            (Ok(committed), State::Rewriting) => {
                self.count(committed);
                self.patience = STORE_RETRY;
                (Vec::new(), Some(Notice::Restored))
            }
            (Err(reason), State::Committing(answers)) => {
                for RoomKey { id, .. } in self.moved.drain(..) {
                    let numbered = &mut self.rooms[id.index()];
                    numbered.newest = numbered.before;
                }
                self.event.0 = self.event.1;
                (self.fail(answers), Some(Notice::Failed(reason)))
            }
            (Err(reason), State::Rewriting) => {
                (self.fail(Vec::new()), Some(Notice::FailedAgain(reason)))
            }
            (_, state @ (State::Idle | State::Failed(_))) => {
                self.state = state;
                (Vec::new(), None)
            }
        }
    }

    fn count(&mut self, committed: Committed) {
        let figures = &mut self.figures;
        figures.commits.observe(committed.took.as_micros() as u64);
        figures.file_bytes = committed.file_bytes;
    }

    /// Nothing is stored until a rewrite succeeds. Refuses the wishes of a batch, and those in the queue.
    fn fail(&mut self, batch: Vec<Answered>) -> Vec<Answered> {
        self.figures.failures += 1;
        self.state = State::Failed(self.now.monotonic + self.patience);
        self.patience = (self.patience * 2).min(STORE_RETRY_MAX);
        // What is in memory will be written.
        self.rest = Changes::default();
        self.is_rest_urgent = false;
        self.queue_bytes = 0;
        let refused = batch.into_iter().map(refuse);
        let queued = self.queue.drain(..).filter_map(|wish| {
            Some(match wish {
                Wish::Publish(publication) => Answered::Outcome(failed(publication.serial)),
                Wish::Open(opening) => Answered::Outcome(failed(opening.serial)),
                Wish::Tell(serial, draft) => Answered::Told(untold(serial, draft)),
                Wish::Keep(serial, _) => {
                    Answered::Kept(serial?, Err(ErrorCode::StorageUnavailable))
                }
            })
        });
        refused.chain(queued).collect()
    }
}

/// What an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The disk failed, and why.
    Failed(String),
    /// The attempt to write everything anew failed, too.
    FailedAgain(String),
    /// Everything was written anew: the disk takes wishes again.
    Restored,
}

fn failed(serial: Serial) -> Outcome {
    Outcome::Failed(serial, ErrorCode::StorageUnavailable)
}

fn untold(serial: Option<Serial>, draft: Draft) -> Told {
    Told {
        serial,
        draft,
        id: Err(ErrorCode::StorageUnavailable),
    }
}

/// The answer if the batch has failed.
fn refuse(answer: Answered) -> Answered {
    match answer {
        Answered::Outcome(outcome) => Answered::Outcome(match outcome {
            Outcome::Published(Fact { serial, .. }) => failed(serial.unwrap_or(Serial(0))),
            Outcome::Opened(serial, _)
            | Outcome::OpenedShared(serial, ..)
            | Outcome::Acknowledged(serial, _)
            | Outcome::Failed(serial, _) => failed(serial),
        }),
        Answered::Told(told) => Answered::Told(untold(told.serial, told.draft)),
        Answered::Kept(serial, _) => Answered::Kept(serial, Err(ErrorCode::StorageUnavailable)),
    }
}
