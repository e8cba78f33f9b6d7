//! A worker thread for jobs that would block the loop: password checks and reads of the accounts' files. It runs them
//! one after the other, at a low priority.
//!
//! Argon2 needs megabytes of memory for some milliseconds. They are allocated once for a series of checks and freed
//! after it, so that a server without sign-ins stays small.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use argon2::Block;
use mio::Waker;

use super::accounts::Files;
use crate::config::WORKER_MEMORY_KEPT;
use crate::domain::accounts::Accounts;
use crate::domain::credentials::Reload;
use crate::domain::ids::Serial;
use crate::server::jobs::{Done, PasswordCheck};

/// The least number of blocks (1 KiB each) to allocate. Allocations above 32 MiB are always mapped by glibc's malloc,
/// and unmapped when freed, whatever was allocated before. Only blocks that are written become resident.
const MAPPED_BLOCKS: usize = 33 * 1024;
/// The worker's `nice` value, so that it does not delay the loop.
const NICENESS: i32 = 10;

/// A job for the worker.
pub enum Task {
    /// Check a password.
    Check(Serial, PasswordCheck),
    /// Read the files of accounts and secrets again, and compare them with the accounts in force.
    Read(Serial, Arc<Accounts>),
    /// Drop accounts that are no longer in force.
    Drop(Arc<Accounts>),
}

/// The result of a task.
enum Outcome {
    Checked(bool),
    Read(Result<Box<Reload>, String>),
}

/// A finished task: the serial of its job, and its result.
type Finished = (Serial, Outcome);

/// The worker thread, started by the first task.
pub struct Worker {
    waker: Arc<Waker>,
    files: Files,
    tasks: Option<Sender<Task>>,
    results: (Sender<Finished>, Receiver<Finished>),
}

impl Worker {
    /// A worker that wakes the loop when a task is finished.
    pub fn new(waker: Arc<Waker>, files: Files) -> Self {
        Self {
            waker,
            files,
            tasks: None,
            results: channel(),
        }
    }

    /// Queues a task. The server limits the length of the queue.
    ///
    /// # Errors
    /// If the system cannot start the thread.
    pub fn submit(&mut self, task: Task) -> io::Result<()> {
        let tasks = match self.tasks.take() {
            Some(tasks) => tasks,
            None => self.start()?,
        };
        // This cannot fail: the thread ends only after its channel is closed.
        _ = tasks.send(task);
        self.tasks = Some(tasks);
        Ok(())
    }

    /// The next result.
    pub fn poll_result(&self) -> Option<(Serial, Done)> {
        let (serial, outcome) = self.results.1.try_recv().ok()?;
        let done = match outcome {
            Outcome::Checked(is_accepted) => Done::PasswordChecked(is_accepted),
            Outcome::Read(read) => Done::CredentialsRead(read),
        };
        Some((serial, done))
    }

    fn start(&self) -> io::Result<Sender<Task>> {
        let (sender, receiver) = channel();
        let results = self.results.0.clone();
        let waker = self.waker.clone();
        let files = self.files.clone();
        std::thread::Builder::new()
            .name("worker".into())
            .spawn(move || {
                // A failure does not matter: the worker then runs at normal priority.
                _ = rustix::process::setpriority_process(None, NICENESS);
                work(&receiver, &results, &waker, &files);
            })?;
        Ok(sender)
    }
}

fn work(tasks: &Receiver<Task>, results: &Sender<Finished>, waker: &Waker, files: &Files) {
    let mut memory: Vec<Block> = Vec::new();
    loop {
        let next = match memory.capacity() {
            0 => tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            _ => tasks.recv_timeout(WORKER_MEMORY_KEPT),
        };
        let result = match next {
            Ok(Task::Check(serial, check)) => (serial, check_password(&check, &mut memory)),
            Ok(Task::Read(serial, in_force)) => {
                let read = files.reload();
                let read = read.map(|newer| {
                    let mut reload = Box::new(Reload::new(newer, &in_force));
                    reload.remarks = files.remarks();
                    reload
                });
                (serial, Outcome::Read(read))
            }
            Ok(Task::Drop(accounts)) => {
                drop(accounts);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {
                memory = Vec::new();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if results.send(result).is_err() || waker.wake().is_err() {
            return;
        }
    }
}

fn check_password(check: &PasswordCheck, memory: &mut Vec<Block>) -> Outcome {
    let blocks = check.costs.blocks();
    if memory.len() < blocks {
        memory.reserve_exact(blocks.max(MAPPED_BLOCKS) - memory.len());
        memory.resize(blocks, Block::default());
    }
    let PasswordCheck {
        verifier,
        costs,
        password,
    } = check;
    Outcome::Checked(costs.check(verifier, password, memory))
}
