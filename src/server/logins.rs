//! Sign-in, sign-out and reload, with what follows for connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Server;
use super::answer::Exchange;
use super::jobs::Job;
use super::password_checks::{Next, NotNow, Refused};
use super::sign_in::token_response;
use super::sign_ins::{Attempt, Checked, Pending};
use super::waiting::{Waiting, What};
use crate::config::{CLOCK_SET_FROM_SECS, Level};
use crate::conn::Phase;
use crate::conn::refusal::Refusal;
use crate::domain::audit::Entry;
use crate::domain::auth::Ended;
use crate::domain::credentials::Reload;
use crate::domain::error::ErrorCode;
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::time::Now;
use crate::domain::tokens::Identity;
use crate::wire::close_code::CloseCode;
use crate::wire::response::Response;

impl Server {
    /// Has an attempt wait until its password is checked.
    pub(super) fn start_login(
        &mut self,
        id: ConnectionId,
        attempt: Attempt,
        exchange: Exchange,
        now: Now,
    ) {
        let address = self.connections.address(id);
        let serial = self.jobs.next_serial();
        let (pending, refused) = self
            .sign_ins
            .begin_check(serial, attempt, address, now.monotonic);
        self.wait_for(serial, id, exchange, What::Password(pending));
        self.refuse_logins(refused, now);
    }

    /// Lets attempts through that waited for the throttle, and refuses those that have waited for too long.
    pub(super) fn draw_parked_logins(&mut self, now: Now) {
        let refused = self.sign_ins.draw(now.monotonic);
        self.refuse_logins(refused, now);
    }

    fn refuse_logins(&mut self, refused: Vec<Refused>, now: Now) {
        for (serial, reason) in refused {
            let Some(waiting) = self.waiting.take(serial) else {
                continue;
            };
            let (outcome, refusal) = match reason {
                NotNow::Throttled(wait) => {
                    let wait = wait.max(Duration::from_secs(1));
                    ("throttled", Refusal::too_many_requests(wait))
                }
                NotNow::Busy => ("busy", Refusal::UNAVAILABLE),
            };
            if let What::Password(pending) = &waiting.what {
                self.count_login(&pending.account, outcome, pending.address, now);
            }
            self.answer_waiting(serial, &waiting, Err(refusal), now);
        }
    }

    /// The next password check, if the worker has room for one.
    pub(super) fn next_check(&mut self) -> Option<(Serial, Job)> {
        let next = self.sign_ins.checks.poll()?;
        let (Next::Turn(serial) | Next::Early(serial)) = next;
        let What::Password(pending) = self.waiting.what_mut(serial)? else {
            return None;
        };
        if next == Next::Turn(serial) {
            let check = self.sign_ins.start_check(pending);
            return Some((serial, Job::CheckPassword(check)));
        }
        let serial = self.jobs.next_serial();
        let check = self.sign_ins.start_early(serial, pending);
        Some((serial, Job::CheckPassword(check)))
    }

    /// Nobody waits for the job with this serial any more. A password check that has begun stays, so that its outcome is
    /// still counted; one that has not is not begun: nobody learns what it would have told, so it is no guess for free.
    pub(super) fn abandon(&mut self, serial: Serial, now: Now) {
        let Some(waiting) = self.waiting.take(serial) else {
            return;
        };
        let What::Password(pending) = &waiting.what else {
            return;
        };
        match self.sign_ins.withdraw_check(serial, now.monotonic) {
            true => self.count_login(&pending.account, "abandoned", pending.address, now),
            false => self.waiting.insert(serial, waiting),
        }
    }

    /// Takes the result of a password check.
    pub(super) fn password_checked(&mut self, serial: Serial, is_accepted: bool, now: Now) {
        if let Some(attempt) = self.sign_ins.checks.early_attempt(serial) {
            return self.checked_early(serial, attempt, is_accepted, now);
        }
        let Some(mut waiting) = self.waiting.take(serial) else {
            return;
        };
        let What::Password(pending) = &mut waiting.what else {
            return;
        };
        match self.sign_ins.end_check(serial, pending, is_accepted, now) {
            Checked::Again(check) => {
                self.jobs.push_as(serial, Job::CheckPassword(check));
                self.waiting.insert(serial, waiting);
            }
            checked => self.answer_login(serial, &waiting, checked, now),
        }
    }

    /// Takes the result of the early check of an attempt, which may be answered since.
    fn checked_early(&mut self, serial: Serial, attempt: Serial, is_accepted: bool, now: Now) {
        let pending: Option<&Pending> = match self.waiting.what_mut(attempt) {
            Some(What::Password(pending)) => Some(pending),
            _ => None,
        };
        let checked = self.sign_ins.end_early(serial, pending, is_accepted, now);
        if let Some(checked) = checked
            && let Some(waiting) = self.waiting.take(attempt)
        {
            self.answer_login(attempt, &waiting, checked, now);
        }
    }

    fn answer_login(&mut self, serial: Serial, waiting: &Waiting, checked: Checked, now: Now) {
        let (outcome, answer) = match checked {
            Checked::Accepted(token, expires_in) => {
                ("accepted", Ok(token_response(&token, expires_in)))
            }
            Checked::Refused | Checked::Again(_) => {
                ("refused", Err(ErrorCode::InvalidCredentials.into()))
            }
        };
        if let What::Password(pending) = &waiting.what {
            let (account, address) = (pending.account.clone(), pending.address);
            self.count_login(&account, outcome, address, now);
            if outcome == "refused"
                && let Some(node) = self.chat.backend_mut().node_mut()
            {
                node.tell_failed_sign_in(&account, address, now);
            }
        }
        self.answer_waiting(serial, waiting, answer, now);
    }

    /// Signs out: revokes the sign-in of the token, and closes its connections.
    /// `None` if the response comes later, to the request with this serial: when it is on disk.
    fn log_out(
        &mut self,
        identity: &Identity,
        address: IpAddr,
        serial: Serial,
        now: Now,
    ) -> Option<Result<Response, Refusal>> {
        let mut entry = Entry::new("signed_out", &identity.username, now.into());
        entry.address = Some(address);
        self.audit(&entry);
        let ended = self.sign_ins.auth_mut().revoke(identity, now);
        self.end_sessions(ended, now);
        let kept = self.keep_revocations(Some(serial), now)?;
        Some(kept.map(|()| Response::empty(204)).map_err(Refusal::from))
    }

    /// Signs out for a request.
    pub(super) fn log_out_for(
        &mut self,
        id: ConnectionId,
        identity: &Identity,
        exchange: Exchange,
        now: Now,
    ) {
        let serial = self.jobs.next_serial();
        let address = self.connections.address(id);
        match self.log_out(identity, address, serial, now) {
            Some(result) => self.respond_and_go_on(id, &exchange, result, now),
            None => self.wait_for(serial, id, exchange, What::Kept),
        }
    }

    fn end_sessions(&mut self, ended: Ended, now: Now) {
        for id in ended.connections {
            self.end_session(id, CloseCode::SESSION_ENDED, now);
        }
        if ended.is_floor_raised {
            self.note_revoked_names_full(now);
        }
    }

    /// Ends every token and session of a user.
    pub(super) fn revoke_user(&mut self, username: &str, now: Now) {
        let ended = self.sign_ins.auth_mut().revoke_user(username, now);
        self.end_sessions(ended, now);
    }

    /// Whether accounts and secrets are being read again.
    pub fn is_reloading(&self) -> bool {
        self.sign_ins.is_reading()
    }

    /// Notices that the clock, which was not set at the start, has been set.
    pub(super) fn notice_clock(&mut self, now: Now) {
        let Some(since) = self.unset_since else {
            return;
        };
        if now.unix.as_secs() < CLOCK_SET_FROM_SECS {
            return;
        }
        self.unset_since = None;
        let unset = since.later(now.monotonic).unix;
        // A second that has begun counts.
        let jump = now.unix.saturating_sub(unset).as_secs() + 1;
        self.sign_ins.auth_mut().clock_set(jump);
        self.keep_revocations(None, now);
        self.journal
            .record(Level::Info, "clock_set", &[("seconds", &jump)], now);
    }

    /// Starts reading accounts and secrets again.
    pub fn reload(&mut self) {
        if self.sign_ins.begin_reading() {
            let in_force = self.sign_ins.auth().accounts().clone();
            self.jobs.push(Job::ReadCredentials(in_force));
        }
    }

    /// Takes the result of a reload. If the files are not valid, the credentials in force stay.
    pub(super) fn credentials_read(&mut self, read: Result<Box<Reload>, String>, now: Now) {
        let is_stale = self.sign_ins.end_reading();
        match read {
            Ok(reload) => {
                self.note_files(&reload.remarks, now);
                self.replace_credentials(*reload, now);
                self.note_reload(Ok(()), now);
            }
            Err(sentence) => self.note_reload(Err(&sentence), now),
        }
        if is_stale {
            self.reload();
        }
    }

    /// Has the connections of accounts that have become moderators', or are it no more, follow that. What an event stream
    /// is sent was decided when it was opened: it ends, and its client opens another.
    fn remark(&mut self, names: &[Arc<str>], now: Now) {
        for (id, permissions) in self.sign_ins.auth_mut().remark(names) {
            match self.connections[id].phase {
                Phase::WebSocket(_) => {
                    let (rooms, _) = self.chat.rooms_mut();
                    rooms.set_permissions(id, permissions);
                }
                Phase::EventStream(_) if !permissions.is_moderator => {
                    self.end_session(id, CloseCode::SESSION_ENDED, now);
                }
                _ => {}
            }
        }
    }

    /// Puts new credentials in force. Users whose account is gone or has another password are signed out, and those
    /// whose token was verified by a key that is gone; guests whose name now belongs to an account are closed.
    fn replace_credentials(&mut self, mut reload: Reload, now: Now) {
        let ended = self.sign_ins.auth_mut().reload(&mut reload, now);
        self.keep_revocations(None, now);
        self.sign_ins.hold_removed(&reload.removed, now);
        self.end_sessions(ended, now);
        self.remark(&reload.marked, now);
        for key in &reload.added {
            self.close_guests(key, now);
        }
        let before = reload.credentials.accounts;
        self.jobs.push(Job::DropAccounts(before));
    }
}
