//! Jobs: work that takes time or leaves the process. Nothing below the shell blocks on a result: a job leaves with a
//! serial, and its result comes back under the same serial, however late.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::domain::accounts::{Accounts, Costs, Verifier};
use crate::domain::auth::BadTicket;
use crate::domain::changes::Changes;
use crate::domain::credentials::Reload;
use crate::domain::facts::Outcome;
use crate::domain::ids::Serial;
use crate::domain::metrics::Machine;
use crate::domain::tokens::Identity;
use crate::domain::wishes::{Opening, Publication};

/// Work for the shell.
#[derive(Debug)]
pub enum Job {
    /// Check a password, which takes milliseconds by design (Argon2id). Answered by [`Done::PasswordChecked`].
    CheckPassword(PasswordCheck),
    /// Read the accounts and secrets files again, and compare them with these accounts, which are in force. Answered by
    /// [`Done::CredentialsRead`].
    ReadCredentials(Arc<Accounts>),
    /// Drop accounts that are no longer in force: a large set takes milliseconds. Not answered.
    DropAccounts(Arc<Accounts>),
    /// Sample the machine. Answered by [`Done::MachineSampled`].
    SampleMachine,
    /// Redeem a ticket in the store all nodes share. Answered by [`Done::TicketRedeemed`].
    RedeemTicket(Ticket),
    /// Order and store a message. Answered by [`Done::Answered`].
    Publish(Publication),
    /// Open a room. Answered by [`Done::Answered`].
    Open(Opening),
    /// Commit a batch: all of it or nothing, durably. Answered by [`Done::Stored`].
    Store(Batch),
    /// Replace the whole store, of which nothing is to be relied on any more, by a new one that has just this. Answered by
    /// [`Done::Stored`], too.
    Rewrite(Batch),
}

/// Changes of the store on disk that are committed together.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number; that of the next one is greater by 1.
    pub number: u64,
    /// The changes.
    pub changes: Changes,
}

/// How the store committed a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The time it took, with the wait for the disk.
    pub took: Duration,
    /// The size of the store's file, in bytes.
    pub file_bytes: u64,
}

/// The result of a job.
#[derive(Debug)]
pub enum Done {
    /// Whether the password was accepted.
    PasswordChecked(bool),
    /// The new accounts and secrets, or a sentence that says what is wrong with the files.
    CredentialsRead(Result<Box<Reload>, String>),
    /// A sample of the machine.
    MachineSampled(Machine),
    /// The identity of the ticket, now used up, or why it is not valid. `None` if the shared store did not answer.
    TicketRedeemed(Option<Result<Identity, BadTicket>>),
    /// The backend's answer to a wish.
    Answered(Outcome),
    /// The batch is on disk, or a sentence that says why it may not be.
    Stored(Result<Committed, String>),
    /// A copy of the store, which an operator asked the shell for: its size in bytes, or a sentence that says why there is
    /// none.
    BackedUp(Result<u64, String>),
}

/// A password and the verifier to check it with.
pub struct PasswordCheck {
    /// The verifier of the account.
    pub verifier: Arc<Verifier>,
    /// What every check costs.
    pub costs: Arc<Costs>,
    /// The password; wiped when dropped.
    pub password: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordCheck(…)")
    }
}

/// A ticket as the client sent it; never logged.
pub struct Ticket(pub String);

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(…)")
    }
}

/// Jobs the shell has not taken yet. Their number is bounded where they are created: by one at a time or one per
/// connection. Password checks wait for their turn elsewhere ([`Turns`](crate::domain::turns::Turns)).
#[derive(Debug, Default)]
pub struct Jobs {
    queue: VecDeque<(Serial, Job)>,
    last: u64,
}

impl Jobs {
    /// A new serial, never used before.
    pub fn next_serial(&mut self) -> Serial {
        self.last += 1;
        Serial(self.last)
    }

    /// Adds a job; returns its serial.
    pub fn push(&mut self, job: Job) -> Serial {
        let serial = self.next_serial();
        self.push_as(serial, job);
        serial
    }

    /// Adds a job under a serial from [`Self::next_serial`].
    pub fn push_as(&mut self, serial: Serial, job: Job) {
        self.queue.push_back((serial, job));
    }

    /// Takes the oldest job.
    pub fn pop(&mut self) -> Option<(Serial, Job)> {
        self.queue.pop_front()
    }

    /// Whether no job is left.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
