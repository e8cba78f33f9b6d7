//! Journal lines of the server: which connections were refused or ended, and why.

use std::net::IpAddr;

use super::Server;
use super::addresses::counted_as;
use crate::config::{CLOCK_SET_FROM_SECS, Level, REVOKED_NAMES_MAX};
use crate::domain::audit::Entry;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::journal::Field;
use crate::wire::close_code::CloseCode;

impl Server {
    /// Notes an event of a connection, with its address and its user.
    pub(super) fn note(
        &mut self,
        level: Level,
        event: &'static str,
        id: ConnectionId,
        fields: &[(&str, &dyn Field)],
        now: Now,
    ) {
        if !self.journal.takes(level) {
            return;
        }
        let address = self.connections.address(id);
        let people = self.chat.rooms().people();
        let user = people.user_of(id).map(|user| people.name(user).clone());
        let mut all: Vec<(&str, &dyn Field)> = vec![("address", &address)];
        if let Some(name) = &user {
            all.push(("user", name));
        }
        all.extend_from_slice(fields);
        self.journal.note(level, event, &all, now);
    }

    /// Counts and notes a refused connection, with the limit that was reached.
    pub fn note_refused(&mut self, limit: &'static str, address: IpAddr, now: Now) {
        self.counters.refused_connections += 1;
        self.journal.note(
            Level::Warn,
            "connection_refused",
            &[
                ("limit", &limit),
                ("address", &counted_as(address).to_canonical()),
            ],
            now,
        );
    }

    /// Notes, once, that a peer that is no trusted proxy sends the address of a client, which does not count.
    pub(super) fn note_ignored(&mut self, id: ConnectionId, field: &'static str, now: Now) {
        const EVENT: &str = "forwarded_address_ignored";
        if !self.journal.is_first(EVENT) {
            return;
        }
        let address = self.connections.address(id);
        let hint = format!("if this is your proxy: --trusted-proxy {address} makes it count");
        self.journal.record(
            Level::Warn,
            EVENT,
            &[("field", &field), ("address", &address), ("hint", &hint)],
            now,
        );
    }

    /// Notes, once, that the two fields of a trusted proxy lead to different addresses, so that neither counts.
    pub(super) fn note_disputed(&mut self, proxy: IpAddr, now: Now) {
        const EVENT: &str = "forwarded_addresses_differ";
        if !self.journal.is_first(EVENT) {
            return;
        }
        let hint = "let the proxy remove the field it does not set";
        self.journal.record(
            Level::Warn,
            EVENT,
            &[("address", &proxy), ("hint", &hint)],
            now,
        );
    }

    /// Notes that the server closes a WebSocket. Called before its session ends, so that its user is still known.
    pub(super) fn note_close(&mut self, id: ConnectionId, code: CloseCode, now: Now) {
        let level = match code {
            CloseCode::SLOW_CONSUMER | CloseCode::RATE_LIMITED => Level::Info,
            _ => Level::Debug,
        };
        let queued = self.connections[id].queued_bytes();
        self.note(
            level,
            "websocket_closed",
            id,
            &[("code", &code.0), ("queued_bytes", &queued)],
            now,
        );
    }

    /// Counts and notes the outcome of a sign-in.
    pub(super) fn count_login(
        &mut self,
        account: &str,
        outcome: &'static str,
        address: IpAddr,
        now: Now,
    ) {
        *self.counters.logins.entry(outcome).or_default() += 1;
        let action = match outcome {
            "accepted" => "signed_in",
            _ => "sign_in_refused",
        };
        let mut entry = Entry::new(action, account, now.into());
        entry.address = Some(address);
        self.audit(&entry);
        self.note_login(account, outcome, address, now);
    }

    /// Notes the outcome of reloading accounts and secrets.
    pub(super) fn note_reload(&mut self, read: Result<(), &String>, now: Now) {
        match read {
            Ok(()) => self.journal.record(Level::Info, "reloaded", &[], now),
            Err(sentence) => self.journal.record(
                Level::Warn,
                "reload_failed",
                &[("reason", sentence), ("in_force", &"what was before")],
                now,
            ),
        }
    }

    /// Notes at the start that the clock cannot be right: dates of tokens and messages are wrong until it is.
    pub fn note_clock(&mut self, now: Now) {
        if now.unix.as_secs() < CLOCK_SET_FROM_SECS {
            let hint = "dates of tokens and messages are wrong until it is; start after the clock is set (NTP)";
            let fields: [(&str, &dyn Field); 1] = [("hint", &hint)];
            self.journal
                .record(Level::Warn, "clock_not_set", &fields, now);
        }
    }

    /// Notes what an operator should know about the files of accounts and secrets.
    pub fn note_files(&mut self, remarks: &[String], now: Now) {
        for remark in remarks {
            let about: [(&str, &dyn Field); 1] = [("reason", remark)];
            self.journal
                .record(Level::Warn, "file_exposed", &about, now);
        }
    }

    /// Notes that a revoked name had to make way for another, so that everybody's older tokens are refused.
    pub(super) fn note_revoked_names_full(&mut self, now: Now) {
        self.journal.note(
            Level::Warn,
            "revoked_names_full",
            &[("limit", &REVOKED_NAMES_MAX)],
            now,
        );
    }

    /// Notes the outcome of a sign-in. The name is written only if it is an account: it may be a password typed into
    /// the wrong field.
    fn note_login(&mut self, account: &str, outcome: &str, address: IpAddr, now: Now) {
        let level = match outcome {
            "throttled" | "busy" => Level::Warn,
            _ => Level::Info,
        };
        let account = match self.sign_ins.auth().has_account(account) {
            true => account,
            false => "unknown",
        };
        self.journal.note(
            level,
            "login",
            &[
                ("outcome", &outcome),
                ("account", &account),
                ("address", &address),
            ],
            now,
        );
    }
}
