//! Sign-in, sign-out and reload, with what follows for connections.

use std::time::Duration;

use super::Server;
use super::answer::Exchange;
use super::jobs::Job;
use super::sign_in::token_response;
use super::sign_ins::{Attempt, Checked, NotNow};
use super::waiting::What;
use crate::conn::refusal::Refusal;
use crate::domain::auth::Ended;
use crate::domain::credentials::Reload;
use crate::domain::error::ErrorCode;
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::time::Now;
use crate::domain::tokens::Identity;
use crate::wire::close_code::CloseCode;
use crate::wire::response::Response;

impl Server {
    /// Starts the password check of an attempt, unless it is refused.
    pub(super) fn start_login(
        &mut self,
        id: ConnectionId,
        attempt: Attempt,
        exchange: Exchange,
        now: Now,
    ) {
        let account = attempt.account.clone();
        let address = self.connections.address(id);
        let (outcome, refusal) = match self.sign_ins.begin_check(attempt, address, now.monotonic) {
            Ok((check, pending)) => {
                let serial = self.jobs.push(Job::CheckPassword(check));
                return self.wait_for(serial, id, exchange, What::Password(pending));
            }
            Err(NotNow::Throttled(wait)) => {
                let wait = wait.max(Duration::from_secs(1));
                ("throttled", Refusal::too_many_requests(wait))
            }
            Err(NotNow::Busy) => ("busy", Refusal::UNAVAILABLE),
        };
        self.count_login(&account, outcome, address, now);
        self.respond_and_go_on(id, &exchange, Err(refusal), now);
    }

    /// Takes the result of a password check.
    pub(super) fn password_checked(&mut self, serial: Serial, is_accepted: bool, now: Now) {
        let Some(mut waiting) = self.waiting.take(serial) else {
            return;
        };
        let What::Password(pending) = &mut waiting.what else {
            return;
        };
        let (outcome, answer) = match self.sign_ins.end_check(pending, is_accepted, now) {
            Checked::Accepted(token, expires_in) => {
                ("accepted", Ok(token_response(&token, expires_in)))
            }
            Checked::Refused => ("refused", Err(ErrorCode::InvalidCredentials.into())),
            Checked::Again(check) => {
                self.jobs.push_as(serial, Job::CheckPassword(check));
                return self.waiting.insert(serial, waiting);
            }
        };
        let (account, address) = (pending.account.clone(), pending.address);
        self.count_login(&account, outcome, address, now);
        self.answer_waiting(serial, &waiting, answer, now);
    }

    /// Signs out: revokes the sign-in of the token, and closes its connections.
    pub(super) fn log_out(&mut self, identity: &Identity, now: Now) -> Response {
        let ended = self.sign_ins.auth_mut().revoke(identity, now);
        self.end_sessions(ended, now);
        Response::empty(204)
    }

    fn end_sessions(&mut self, ended: Ended, now: Now) {
        for id in ended.connections {
            self.end_session(id, CloseCode::SESSION_ENDED, now);
        }
        if ended.is_floor_raised {
            self.note_revoked_names_full(now);
        }
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
                self.replace_credentials(*reload, now);
                self.note_reload(Ok(()), now);
            }
            Err(sentence) => self.note_reload(Err(&sentence), now),
        }
        if is_stale {
            self.reload();
        }
    }

    /// Puts new credentials in force. Users whose account is gone or has another password are signed out, and those
    /// whose token was verified by a key that is gone; guests whose name now belongs to an account are closed.
    fn replace_credentials(&mut self, mut reload: Reload, now: Now) {
        let ended = self.sign_ins.auth_mut().reload(&mut reload, now);
        self.end_sessions(ended, now);
        for name in &reload.added {
            self.close_guests(name, now);
        }
        let before = reload.credentials.accounts;
        self.jobs.push(Job::DropAccounts(before));
    }
}
