//! What is noted in the audit log: who has done what to whom, from where and when.

use super::Server;
use super::acts::Actor;
use super::answer::Answer;
use super::event_requests::subscription;
use super::streams::Subscription;
use crate::config::AUDIT_EVENTS_KEPT;
use crate::conn::refusal::Refusal;
use crate::domain::audit::Entry;
use crate::domain::caller::Caller;
use crate::domain::channels::Wanted;
use crate::domain::ids::ConnectionId;
use crate::domain::time::{Now, Timestamp};
use crate::wire::close_code::CloseCode;
use crate::wire::http::Request;

/// `GET /sse/audit`.
///
/// # Errors
/// 400.
pub fn subscribe(request: &Request, caller: Option<Caller>) -> Result<Answer, Refusal> {
    let (response, last_event_id) = subscription(request)?;
    let subscription = Subscription {
        wanted: Wanted::AUDIT,
        is_chunked: request.is_http11,
        last_event_id,
        caller,
    };
    Ok(Answer::EventStream(response, subscription))
}

impl Server {
    /// Notes an entry, after the comings and goings before it.
    pub(super) fn audit(&mut self, entry: &Entry<'_>) {
        self.audit_moves(entry.time);
        self.push_audit(entry);
    }

    fn push_audit(&mut self, entry: &Entry<'_>) {
        let json = serde_json::to_string(entry).expect("writing our own values cannot fail");
        if self.is_shared() {
            let audited = &mut self.sharing.audited;
            // While the engine is away only the last ones wait for it.
            if audited.len() >= AUDIT_EVENTS_KEPT {
                audited.remove(0);
            }
            return audited.push(json);
        }
        let kept = self.streams.audit_log().append(json);
        self.streams.send_audit(&kept);
    }

    /// Notes who has come to a room or left one, which rooms were made, and which are gone.
    pub(super) fn audit_moves(&mut self, time: Timestamp) {
        for moved in self.chat.noticed.take_moves() {
            let mut entry = Entry::new(moved.action, &moved.actor, time);
            entry.subject = &moved.room;
            let of_connection = moved.connection.map(|id| self.connections.address(id));
            entry.address = of_connection.or(moved.address);
            self.push_audit(&entry);
        }
    }

    /// Notes an opening handshake that is refused, under the name that was tried.
    pub(super) fn audit_refused(
        &mut self,
        id: ConnectionId,
        tried: &str,
        code: CloseCode,
        now: Now,
    ) {
        let mut entry = Entry::new("refused", tried, now.into());
        entry.address = Some(self.connections.address(id));
        entry.code = Some(code.0);
        self.audit(&entry);
    }

    /// Notes what a connection does, in its name and from its address.
    pub(super) fn audit_connection(&mut self, action: &'static str, id: ConnectionId, now: Now) {
        let people = self.chat.rooms().people();
        let user = people.user_of(id);
        let name = user.map(|user| (people.name(user).clone(), !people.is_account(user)));
        let Some((name, is_guest)) = name else {
            return;
        };
        let mut entry = Entry::new(action, &name, now.into());
        entry.address = Some(self.connections.address(id));
        entry.guest = Some(is_guest);
        self.audit(&entry);
    }

    /// Notes what a moderator has done to somebody or something.
    pub(super) fn audit_act<'a>(
        &mut self,
        actor: &'a Actor,
        action: &'static str,
        subject: &'a str,
        complete: impl FnOnce(&mut Entry<'a>),
        now: Now,
    ) {
        let mut entry = Entry::new(action, &actor.name, now.into());
        entry.address = Some(actor.address);
        entry.subject = subject;
        complete(&mut entry);
        self.audit(&entry);
    }
}
