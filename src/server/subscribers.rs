//! Event streams as connections: how they are opened, conflated and ended.

use super::Server;
use super::answer::Exchange;
use super::deadlines::{NEVER, silence_left, ticks};
use super::streams::{Streams, Subscription};
use super::waiting::What;
use crate::config::{EVENT_STALL_TIMEOUT, Level};
use crate::conn::refusal::Refusal;
use crate::conn::{EventStream, Phase};
use crate::domain::caller::Caller;
use crate::domain::error::ErrorCode;
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::names::key;
use crate::domain::time::Now;
use crate::wire::response::Response;

impl Server {
    /// The index of the selection that a subscription is for.
    ///
    /// # Errors
    /// 503: too many channels, or too many selections.
    pub(super) fn select(&mut self, subscription: &Subscription) -> Result<u16, Refusal> {
        let is_stranger = subscription.caller.is_none() && !self.config.is_demo();
        self.streams.select(&subscription.wanted, is_stranger)
    }

    /// Answers with an event stream. One of the audit log of many nodes waits until that is known here.
    pub(super) fn begin_event_stream(
        &mut self,
        id: ConnectionId,
        exchange: Exchange,
        (response, selection, subscription): (Response, u16, Subscription),
        now: Now,
    ) {
        if selection == Streams::AUDIT_SELECTION && self.is_shared() && !self.sharing.follows_audit
        {
            if self.is_engine_down() {
                let refused = Err(ErrorCode::BackendUnavailable.into());
                return self.respond_and_go_on(id, &exchange, refused, now);
            }
            let serial = self.jobs.next_serial();
            self.wait_for(serial, id, exchange, What::Audit(response, subscription));
            return self.follow_audit(serial, now);
        }
        self.respond(id, &exchange, Ok(response));
        self.open_event_stream(id, selection, subscription, now);
    }

    /// The audit log is known: a stream that has waited for it begins.
    pub(super) fn begin_audit_stream(&mut self, serial: Serial, now: Now) {
        let Some(waiting) = self.waiting.take(serial) else {
            return;
        };
        let id = waiting.connection;
        if let What::Audit(response, subscription) = waiting.what
            && self.stop_waiting(id, serial)
        {
            self.respond(id, &waiting.exchange, Ok(response));
            self.open_event_stream(id, Streams::AUDIT_SELECTION, subscription, now);
        }
    }

    /// Switches the connection to an event stream of a selection.
    pub(super) fn open_event_stream(
        &mut self,
        id: ConnectionId,
        selection: u16,
        subscription: Subscription,
        now: Now,
    ) {
        let Subscription {
            is_chunked,
            last_event_id,
            caller,
            ..
        } = subscription;
        let stream = EventStream {
            selection,
            is_chunked,
        };
        let connections = &mut self.connections;
        self.streams
            .open(id, stream, last_event_id, connections, now.monotonic);
        self.tell_subscribed(now);
        match caller {
            Some(Caller::Somebody(identity)) => {
                self.close_guests(&key(&identity.username), now);
                self.sign_ins.auth_mut().sessions.open(id, identity, now);
            }
            Some(Caller::Key { name }) => {
                self.sign_ins.auth_mut().sessions.open_by_api_key(id, name);
            }
            None => {}
        }
        if self.connections.is_draining {
            self.depart(id, now);
        }
    }

    /// Handles the subscribers in trouble after a pass: conflates slow ones, watches blocked ones, closes broken ones.
    pub(super) fn relieve_subscribers(&mut self, now: Now) {
        while let Some(id) = self.streams.troubled.slow.pop() {
            self.relieve(id, now);
        }
        while let Some(id) = self.streams.troubled.blocked.pop() {
            if let Some(connection) = self.connections.get(id) {
                connection.charge_queued(self.connections.ledger());
            }
            self.watch(id, now);
        }
        while let Some(id) = self.streams.troubled.gone.pop() {
            self.closed(id, now);
        }
    }

    /// Conflates the outbox of a slow subscriber to the latest events. One of the audit log must miss none: it is closed, and
    /// resumes.
    pub(super) fn relieve(&mut self, id: ConnectionId, now: Now) {
        let phase = self.connections.get(id).map(|connection| &connection.phase);
        if let Some(&Phase::EventStream(stream)) = phase {
            self.counters.streams_relieved += 1;
            if Streams::is_audit(stream) {
                return self.closed(id, now);
            }
            self.streams.relieve(id, stream, &mut self.connections);
        }
    }

    /// The subscriber's socket is blocked: it has [`EVENT_STALL_TIMEOUT`] to take a byte.
    pub(super) fn watch(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if matches!(connection.phase, Phase::EventStream(_)) && connection.due == NEVER {
            connection.heard = ticks(now.monotonic);
            self.connections
                .set_deadline(id, now.monotonic + EVENT_STALL_TIMEOUT);
        }
    }

    /// The deadline of a watched subscriber: drops it if it has taken no byte for [`EVENT_STALL_TIMEOUT`].
    pub(super) fn check_subscriber(&mut self, id: ConnectionId, now: Now) {
        let connection = &self.connections[id];
        if !connection.is_blocked() {
            self.connections.clear_deadline(id);
        } else if let Some(left) = silence_left(connection, EVENT_STALL_TIMEOUT, now.monotonic) {
            self.connections.set_deadline(id, now.monotonic + left);
        } else {
            self.counters.streams_stalled += 1;
            self.note(Level::Info, "subscriber_dropped", id, &[], now);
            self.closed(id, now);
        }
    }
}
