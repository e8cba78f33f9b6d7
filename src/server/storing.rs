//! The store on disk and the rest of the server: what is loaded at the start, the answers of the disk, and everything once
//! more after it has failed.

use super::Server;
use super::answer::{Exchange, json_response};
use super::backend::Backend;
use super::disk::{Answered, Disk, Notice};
use super::jobs::Committed;
use super::node::Node;
use super::waiting::What;
use crate::config::{Config, Level, STORE_ANSWERS_PER_TURN};
use crate::conn::refusal::Refusal;
use crate::domain::changes::Changes;
use crate::domain::credentials::Credentials;
use crate::domain::derived::{Purpose, derive};
use crate::domain::drafts::{Draft, Told};
use crate::domain::error::ErrorCode;
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::random::Random;
use crate::domain::time::Now;
use crate::domain::working_set::WorkingSet;
use crate::journal::Field;
use crate::wire::response::Response;

impl Server {
    /// Like [`Self::new`], with the backend on disk and everything that it has kept.
    pub fn with_store(
        config: Config,
        credentials: Credentials,
        seed: &[u8; 32],
        now: Now,
        mut kept: WorkingSet,
    ) -> Self {
        let epochs = Random::new(seed).number();
        let disk = Disk::new(epochs, kept.batch);
        let backend = Backend::Disk(Box::new(disk));
        let mut server = Self::with_backend(config, credentials, seed, now, backend);
        let (rooms, _) = server.chat.rooms_mut();
        // Another sequence than that of new rooms.
        let (positions, dropped) = rooms.load(&mut kept, !epochs, now);
        for (room, position) in positions {
            server.chat.backend_mut().renewed(room, position);
        }
        let secret = kept.secret.unwrap_or(*seed);
        let (rooms, _) = server.chat.rooms_mut();
        let of_fingerprints = derive(&secret, Purpose::Fingerprints);
        let key = of_fingerprints.first_chunk().expect("it has 32 bytes");
        rooms.set_fingerprint_key(*key);
        let grace = server.config.presence_grace;
        let of_holders = derive(&secret, Purpose::Holders);
        server.sign_ins.hash_holders_with(&of_holders, grace);
        let revocations = server.sign_ins.auth_mut().revocations_mut();
        revocations.load(&mut kept, now);
        let has_base = server.streams.load(&mut kept);
        let newest = server.streams.newest_id();
        if let Some(disk) = server.chat.backend_mut().disk_mut() {
            disk.begin_events(newest, has_base);
        }
        if dropped > 0 {
            let count: [(&str, &dyn Field); 1] = [("rooms", &dropped)];
            server
                .journal
                .record(Level::Warn, "rooms_dropped", &count, now);
        }
        server
    }

    /// Everything that is kept.
    fn everything(&self, now: Now) -> Changes {
        let mut everything = Changes::with_capacity(self.chat.rooms().history_bytes());
        self.chat.rooms().keep_all(now, &mut everything);
        self.streams.keep_all(&mut everything);
        let revocations = self.sign_ins.auth().revocations();
        revocations.keep_all(&mut everything);
        everything
    }

    /// Takes the result of a batch, or of a rewrite.
    pub(super) fn stored(&mut self, result: Result<Committed, String>, now: Now) {
        let Some(disk) = self.chat.backend_mut().disk_mut() else {
            return;
        };
        let (answers, notice) = disk.stored(result, now);
        self.stored.extend(answers);
        self.answer_stored(now);
        if let Some(notice) = notice {
            self.note_storage(&notice, now);
        }
    }

    /// Carries out answers of the disk, [`STORE_ANSWERS_PER_TURN`] at most: a batch that has waited for a slow disk may have
    /// so many that all at once would keep everybody waiting.
    pub(super) fn answer_stored(&mut self, now: Now) {
        for _ in 0..STORE_ANSWERS_PER_TURN {
            let Some(answer) = self.stored.pop_front() else {
                break;
            };
            match answer {
                Answered::Outcome(outcome) => {
                    self.chat.answered(outcome, &mut self.connections, now);
                }
                Answered::Told(told) => self.answer_told(told, now),
                Answered::Kept(serial, kept) => self.answer_kept(serial, kept, now),
            }
        }
        self.settle(now);
    }

    /// Has an event numbered and stored, then sent. Returns its id if that is known at once.
    pub(super) fn tell(
        &mut self,
        serial: Option<Serial>,
        draft: Draft,
        now: Now,
    ) -> Option<Result<u64, ErrorCode>> {
        let forgotten = self.streams.take_forgotten();
        let newest = self.streams.newest_id();
        if let Some(node) = self.chat.backend_mut().node_mut() {
            node.tell(serial, draft, newest, now);
            return None;
        }
        let told = match self.chat.backend_mut().disk_mut() {
            Some(disk) => {
                disk.keep_rest(&forgotten, false);
                disk.tell(serial, draft, now)?
            }
            None => Told {
                serial,
                draft,
                id: Ok(self.streams.newest_id() + 1),
            },
        };
        Some(self.take_told(told))
    }

    fn take_told(&mut self, Told { serial, draft, id }: Told) -> Result<u64, ErrorCode> {
        match id {
            Ok(id) => {
                self.streams.told(draft, serial.is_none());
                debug_assert_eq!(self.streams.newest_id(), id, "one sequence");
            }
            Err(_) => self.streams.untold(&draft, serial.is_none()),
        }
        id
    }

    /// Tells the event of a request, which is answered with its id.
    pub(super) fn tell_posted(
        &mut self,
        connection: ConnectionId,
        draft: Draft,
        exchange: Exchange,
        now: Now,
    ) {
        let serial = self.jobs.next_serial();
        match self.tell(Some(serial), draft, now) {
            Some(id) => self.respond_and_go_on(connection, &exchange, posted(id), now),
            None => self.wait_for(serial, connection, exchange, What::Event),
        }
    }

    fn answer_told(&mut self, told: Told, now: Now) {
        let serial = told.serial;
        let id = self.take_told(told);
        if let Some(serial) = serial {
            self.answer_posted(serial, id, now);
        }
    }

    /// Answers the request with this serial, which has told an event.
    pub(super) fn answer_posted(&mut self, serial: Serial, id: Result<u64, ErrorCode>, now: Now) {
        if let Some(waiting) = self.waiting.take(serial) {
            self.answer_waiting(serial, &waiting, posted(id), now);
        }
    }

    /// Notes how a copy of the store ended.
    pub(super) fn note_backup(&mut self, copied: &Result<u64, String>, now: Now) {
        let (level, event, about): (_, _, (&str, &dyn Field)) = match copied {
            Ok(bytes) => (Level::Info, "backed_up", ("bytes", bytes)),
            Err(reason) => (Level::Error, "backup_failed", ("reason", reason)),
        };
        self.journal.record(level, event, &[about], now);
    }

    fn note_storage(&mut self, notice: &Notice, now: Now) {
        let (level, event, reason) = match notice {
            Notice::Failed(reason) => (Level::Error, "storage_failed", reason),
            Notice::FailedAgain(reason) => (Level::Error, "storage_still_failing", reason),
            Notice::Restored => {
                self.journal
                    .record(Level::Warn, "storage_restored", &[], now);
                return;
            }
        };
        self.journal
            .record(level, event, &[("reason", reason)], now);
    }

    /// Writes everything anew, if the disk has failed and it is time: when all that was committed is in memory.
    pub(super) fn rewrite_if_due(&mut self, now: Now) {
        let due = self.chat.next_rewrite();
        if due.is_some_and(|at| at <= now.monotonic) && self.stored.is_empty() {
            let everything = self.everything(now);
            if let Some(disk) = self.chat.backend_mut().disk_mut() {
                disk.rewrite(everything);
            }
        }
    }

    /// Has the revocations kept that are not yet, and tells the request with this serial, if there is one, when they are.
    /// Returns the answer if it is known at once.
    pub(super) fn keep_revocations(
        &mut self,
        serial: Option<Serial>,
        now: Now,
    ) -> Option<Result<(), ErrorCode>> {
        let changes = self.sign_ins.auth_mut().revocations_mut().take_changes();
        if let Some(node) = self.chat.backend_mut().node_mut()
            && !changes.is_empty()
        {
            node.revoke(serial, &changes, now);
            return serial.is_none().then_some(Ok(()));
        }
        match self.chat.backend_mut().disk_mut() {
            Some(disk) if !changes.is_empty() => disk.keep(serial, changes, now),
            _ => Some(Ok(())),
        }
    }

    /// Answers a request whose changes are kept, or may not be.
    pub(super) fn answer_kept(&mut self, serial: Serial, kept: Result<(), ErrorCode>, now: Now) {
        let is_logout = matches!(self.waiting.what_mut(serial), Some(What::Kept));
        let Some(waiting) = self.waiting.take_if(serial, is_logout) else {
            return self.acted(serial, kept, now);
        };
        let answer = kept.map(|()| Response::empty(204)).map_err(Refusal::from);
        self.answer_waiting(serial, &waiting, answer, now);
    }

    /// Whether wishes are not on disk yet, or not answered.
    pub(super) fn is_storing(&self) -> bool {
        let is_busy = |node: &Node| node.is_busy();
        !self.stored.is_empty()
            || self.chat.backend().disk().is_some_and(Disk::is_busy)
            || self.chat.backend().node().is_some_and(is_busy)
    }

    /// Whether the store takes nothing for now.
    pub(super) fn is_storage_down(&self) -> bool {
        self.chat.backend().disk().is_some_and(|disk| !disk.is_up())
    }
}

/// The response to a posted event: its id.
fn posted(id: Result<u64, ErrorCode>) -> Result<Response, Refusal> {
    let id = id.map_err(Refusal::from)?;
    Ok(json_response(200, &serde_json::json!({"id": id})))
}
