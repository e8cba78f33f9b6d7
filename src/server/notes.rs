//! What the server notes in its journal: who was refused or ended, and why.

use std::fmt::Display;
use std::net::IpAddr;

use super::Server;
use crate::config::Level;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::wire::websocket::CloseCode;

impl Server {
    /// Notes what happened to a connection, with where it comes from and whose it is.
    pub(super) fn note(
        &mut self,
        level: Level,
        event: &'static str,
        id: ConnectionId,
        fields: &[(&str, &dyn Display)],
        now: Now,
    ) {
        if !self.journal.takes(level) {
            return;
        }
        let address = self.addresses.of(id);
        let people = self.rooms.people();
        let user = people.user_of(id).map(|user| people.name(user).clone());
        let mut all: Vec<(&str, &dyn Display)> = vec![("address", &address)];
        if let Some(name) = &user {
            all.push(("user", name));
        }
        all.extend_from_slice(fields);
        self.journal.note(level, event, &all, now);
    }

    /// Notes that nobody more was let in.
    pub fn note_refused(&mut self, limit: &'static str, address: IpAddr, now: Now) {
        self.counters.refused_connections += 1;
        self.journal.note(
            Level::Warn,
            "connection_refused",
            &[("limit", &limit), ("address", &address)],
            now,
        );
    }

    /// Notes that a WebSocket is closed by us; before its rooms are left, so that it still has a name.
    pub(super) fn note_close(&mut self, id: ConnectionId, code: CloseCode, now: Now) {
        let level = match code {
            CloseCode::SLOW_CONSUMER | CloseCode::RATE_LIMITED => Level::Info,
            _ => Level::Debug,
        };
        let queued = self.connections[id.index()].queued_bytes();
        self.note(
            level,
            "websocket_closed",
            id,
            &[("code", &code.0), ("queued_bytes", &queued)],
            now,
        );
    }

    /// Notes how an attempt to sign in ended. What was typed is named only where it is an account: it may be a password
    /// in the wrong field.
    pub(super) fn note_login(&mut self, account: &str, outcome: &str, address: IpAddr, now: Now) {
        let level = match outcome {
            "throttled" | "busy" => Level::Warn,
            _ => Level::Info,
        };
        let account = match self.auth.has_account(account) {
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
