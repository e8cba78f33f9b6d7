//! A thread for what would block the loop: password checks, one after the other, at a low priority.
//!
//! Argon2 needs megabytes for some milliseconds. They are allocated once for a run of checks and given back when there
//! are no more, so that a server on which nobody is signing in stays small.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use argon2::Block;
use mio::Waker;

use crate::config::WORKER_MEMORY_KEPT;
use crate::server::sign_in::PasswordCheck;

/// A block of 1 KiB each, so many that the allocator maps them and unmaps them again, whatever it was asked before:
/// above 32 MiB glibc's malloc always does. Only what is written is ever resident.
const MAPPED_BLOCKS: usize = 33 * 1024;
/// How much the worker gives way to the loop (`nice`).
const NICENESS: i32 = 10;

/// A check that is done: its job, and whether the password was accepted.
type CheckResult = (u64, bool);

/// The worker thread; it is started with the first check.
pub struct Worker {
    waker: Arc<Waker>,
    checks: Option<Sender<PasswordCheck>>,
    results: (Sender<CheckResult>, Receiver<CheckResult>),
}

impl Worker {
    /// A worker that wakes the loop when a check is done.
    pub fn new(waker: Waker) -> Self {
        Self {
            waker: Arc::new(waker),
            checks: None,
            results: channel(),
        }
    }

    /// Has a password checked. The server bounds how many wait.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn submit(&mut self, check: PasswordCheck) -> io::Result<()> {
        let checks = match self.checks.take() {
            Some(checks) => checks,
            None => self.start()?,
        };
        // The thread lives as long as its channel.
        _ = checks.send(check);
        self.checks = Some(checks);
        Ok(())
    }

    /// A check that is done.
    pub fn poll_result(&self) -> Option<CheckResult> {
        self.results.1.try_recv().ok()
    }

    fn start(&self) -> io::Result<Sender<PasswordCheck>> {
        let (sender, receiver) = channel();
        let results = self.results.0.clone();
        let waker = self.waker.clone();
        std::thread::Builder::new()
            .name("passwords".into())
            .spawn(move || {
                // It runs anyway where the system does not let it give way.
                _ = rustix::process::setpriority_process(None, NICENESS);
                check_passwords(&receiver, &results, &waker);
            })?;
        Ok(sender)
    }
}

fn check_passwords(checks: &Receiver<PasswordCheck>, results: &Sender<CheckResult>, waker: &Waker) {
    let mut memory: Vec<Block> = Vec::new();
    loop {
        let next = match memory.capacity() {
            0 => checks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            _ => checks.recv_timeout(WORKER_MEMORY_KEPT),
        };
        match next {
            Ok(check) => {
                let blocks = check.verifier.blocks();
                if memory.len() < blocks {
                    memory.reserve_exact(blocks.max(MAPPED_BLOCKS) - memory.len());
                    memory.resize(blocks, Block::default());
                }
                let is_accepted = check.verifier.accepts(&check.password, &mut memory);
                if results.send((check.job, is_accepted)).is_err() || waker.wake().is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => memory = Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
