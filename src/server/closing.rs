//! How connections end: by a close frame, by a deadline, by draining.

use std::collections::VecDeque;
use std::time::Duration;

use super::Server;
use super::deadlines::silence_left;
use super::node::Node;
use crate::config::{
    ANSWER_STALL_TIMEOUT, CLOSE_TIMEOUT, DRAIN_TIMEOUT, LINGER_TIMEOUT, Level, PONG_TIMEOUT,
    SPREAD_MAX, SPREAD_STEP, STORE_DRAIN_TIMEOUT,
};
use crate::conn::http::Awaited;
use crate::conn::{Connection, Mark, Phase};
use crate::domain::error::ErrorCode;
use crate::domain::ids::ConnectionId;
use crate::domain::membership::Exit;
use crate::domain::time::Now;
use crate::journal::Field;
use crate::wire::close_code::CloseCode;
use crate::wire::websocket::{encode_close_because, encode_ping};

impl Server {
    /// A signal to stop. The first one begins the delay ([`Config::drain_delay`](crate::config::Config::drain_delay)): the
    /// server is not ready any more, so that a balancer sends no more clients, but serves all; each response closes its
    /// connection, so that kept ones move on. After the delay, or with the second signal, it drains. One more ends it.
    pub fn stop(&mut self, now: Now) {
        let delay = self.config.drain_delay;
        if self.connections.is_draining {
            self.is_cut_short = true;
        } else if self.drains_at.is_some() || delay.is_zero() {
            self.drain(now);
        } else {
            self.drains_at = Some(now.monotonic + delay);
            self.waiting.close_after_responses();
            let (delay, count) = (delay.as_secs(), self.connections.count());
            let about: [(&str, &dyn Field); 2] =
                [("delay_seconds", &delay), ("connections", &count)];
            self.journal.record(Level::Info, "stopping", &about, now);
        }
    }

    /// Whether everything is over: the server has drained, or its time for that is up, whatever the peers do.
    pub fn is_over(&self) -> bool {
        let is_drained = self.connections.is_draining && self.connections.count() == 0;
        let has_left = self.chat.backend().node().is_none_or(Node::has_ended);
        self.is_cut_short || is_drained && has_left && !self.is_storing()
    }

    /// Begins the drain, or ends it, if it is time.
    pub(super) fn handle_stop(&mut self, now: Now) {
        if self.drains_at.is_some_and(|at| at <= now.monotonic) {
            self.drain(now);
        }
        if let Some(at) = self.closes_at
            && (at <= now.monotonic || !self.is_storing())
        {
            self.close_all(now);
        }
        self.close_next(now);
        if self.ends_at.is_some_and(|at| at <= now.monotonic) {
            self.ends_at = None;
            self.is_cut_short = true;
        }
    }

    /// When [`Self::handle_stop`] is next due, as time since the server's start.
    pub(super) fn next_stop(&self) -> Option<Duration> {
        let next = self.sharing.next_goes_at;
        let stops = [self.drains_at, self.closes_at, self.ends_at, next];
        stops.into_iter().flatten().min()
    }

    /// Starts draining: refuses new connections, and closes those there are when what was said is on disk. Until then no
    /// WebSocket is read, for at most [`STORE_DRAIN_TIMEOUT`].
    pub fn drain(&mut self, now: Now) {
        self.connections.is_draining = true;
        self.drains_at = None;
        self.ends_at = Some(now.monotonic + DRAIN_TIMEOUT);
        self.waiting.close_after_responses();
        // Other nodes go on: there a grace is told as ever.
        if !self.is_shared() {
            let (rooms, _) = self.chat.rooms_mut();
            rooms.stop_announcing_presence();
        }
        let count = self.connections.count();
        self.journal
            .record(Level::Info, "draining", &[("connections", &count)], now);
        if self.is_shared() {
            return self.close_one_by_one(now);
        }
        match self.is_storing() {
            true => self.closes_at = Some(now.monotonic + STORE_DRAIN_TIMEOUT),
            false => self.close_all(now),
        }
    }

    /// Closes everything but WebSockets, and these one after the other, so that their clients do not come to the other nodes all at
    /// once. Their seats stay for the grace: whoever is back by then, at any node, has never left.
    fn close_one_by_one(&mut self, now: Now) {
        let all = self.connections.iter();
        let sockets = all.filter(|(_, connection)| matches!(connection.phase, Phase::WebSocket(_)));
        let sockets: VecDeque<ConnectionId> = sockets.map(|(id, _)| id).collect();
        let count = u32::try_from(sockets.len().max(1)).unwrap_or(u32::MAX);
        let time = SPREAD_MAX.min(SPREAD_STEP.saturating_mul(count));
        let grace = self.config.presence_grace;
        self.ends_at = Some(now.monotonic + time + grace + DRAIN_TIMEOUT);
        self.sharing.step = time / count;
        self.sharing.next_goes_at = Some(now.monotonic);
        self.sharing.going = sockets;
        self.close_all(now);
        self.close_next(now);
    }

    /// Closes the WebSockets whose turn has come. After the last one, and the last grace, this node takes its leave.
    fn close_next(&mut self, now: Now) {
        while self
            .sharing
            .next_goes_at
            .is_some_and(|at| at <= now.monotonic)
        {
            let Some(id) = self.sharing.going.pop_front() else {
                self.sharing.next_goes_at = None;
                break;
            };
            self.sharing.next_goes_at = self.sharing.next_goes_at.map(|at| at + self.sharing.step);
            if self.connections.get(id).is_some() {
                self.close_websocket(id, CloseCode::GOING_AWAY, now);
                self.read_again(id);
            }
        }
        let is_empty = self.connections.is_draining
            && self.connections.count() == 0
            && self.chat.rooms().members_in_grace() == 0;
        if is_empty && let Some(node) = self.chat.backend_mut().node_mut() {
            node.end(now);
        }
    }

    /// Closes WebSockets with close code 1001 behind their queued bytes, and ends event streams and idle HTTP connections;
    /// others close after their next response.
    fn close_all(&mut self, now: Now) {
        self.closes_at = None;
        let ids: Vec<ConnectionId> = self.connections.iter().map(|(id, _)| id).collect();
        for id in ids {
            match &self.connections[id].phase {
                // They go one by one.
                Phase::WebSocket(_) if self.is_shared() => {}
                Phase::WebSocket(_) => {
                    self.close_websocket(id, CloseCode::GOING_AWAY, now);
                    // It may not have been read for a while.
                    self.read_again(id);
                }
                Phase::Http(http)
                    if matches!(http.awaits(), Awaited::ProxyHeader | Awaited::Request) =>
                {
                    self.linger(id, now);
                }
                Phase::EventStream(_) => {
                    self.depart(id, now);
                }
                _ => {}
            }
        }
        self.check();
    }

    /// Whether the server is to stop, now or after its delay.
    pub fn is_stopping(&self) -> bool {
        self.drains_at.is_some() || self.connections.is_draining
    }

    /// Whether the server is draining.
    pub fn is_draining(&self) -> bool {
        self.connections.is_draining
    }

    /// Leaves every room, sends a close frame and waits for the peer's (RFC 6455 section 7.1.2).
    pub(super) fn close_websocket(&mut self, id: ConnectionId, code: CloseCode, now: Now) {
        self.close_websocket_because(id, code, code.1, now);
    }

    /// The same with another reason.
    pub(super) fn close_websocket_because(
        &mut self,
        id: ConnectionId,
        code: CloseCode,
        reason: &str,
        now: Now,
    ) {
        let Phase::WebSocket(websocket) = &mut self.connections[id].phase else {
            return;
        };
        let mut reader = std::mem::take(&mut websocket.reader);
        let is_over = reader.start_discarding();
        self.send_close(id, code, reason, now);
        if is_over {
            return self.linger(id, now);
        }
        self.connections.set_phase(id, Phase::Closing(reader));
        self.connections
            .set_deadline(id, now.monotonic + CLOSE_TIMEOUT);
    }

    /// Discards input after our close frame, up to the peer's close frame.
    pub(super) fn discard(&mut self, id: ConnectionId, bytes: &mut [u8], now: Now) {
        if let Phase::Closing(reader) = &mut self.connections[id].phase
            && reader.discard(bytes)
        {
            self.linger(id, now);
        }
    }

    /// Leaves every room, sends a close frame and reads nothing more (RFC 6455 section 7.1.7).
    pub(super) fn fail_websocket(&mut self, id: ConnectionId, code: CloseCode, now: Now) {
        self.send_close(id, code, code.1, now);
        self.linger(id, now);
    }

    fn send_close(&mut self, id: ConnectionId, code: CloseCode, reason: &str, now: Now) {
        *self.counters.closes.entry(code.0).or_default() += 1;
        self.note_close(id, code, now);
        self.leave(id, exit_of(code), now);
        let outbox = self.connections[id].outbox();
        if code == CloseCode::SLOW_CONSUMER {
            outbox.discard_unsent();
        }
        self.frame.clear();
        encode_close_because(code.0, reason, &mut self.frame);
        outbox.push_frames(&self.frame);
        self.connections.list(id);
    }

    /// Ends everything the connection takes part in: its event stream, its wait for a job, its rooms and its session.
    pub(super) fn leave(&mut self, id: ConnectionId, exit: Exit, now: Now) {
        if let Phase::EventStream(stream) = self.connections[id].phase {
            let connections = &mut self.connections;
            self.streams.close(id, stream, connections, now.monotonic);
        }
        match &self.connections[id].phase {
            Phase::Http(http) => {
                if let Awaited::Job(wait) = http.awaits() {
                    self.abandon(wait.serial, now);
                }
            }
            _ => _ = self.waiting.take_extension_of(self.connections.origin(id)),
        }
        self.chat.unwatch(id, &mut self.connections);
        let named = self.named(id);
        self.audit_connection("disconnected", id, now);
        let (rooms, effects) = self.chat.rooms_mut();
        rooms.exit(id, exit, now, effects);
        self.sign_ins.close_session(id, now);
        if let Some(named) = named {
            self.release(named, now);
        }
        self.settle(now);
    }

    /// Ends a connection that a token has opened: a WebSocket with a close frame, an event stream by ending the
    /// response.
    pub(super) fn end_session(&mut self, id: ConnectionId, code: CloseCode, now: Now) {
        match self.connections[id].phase {
            Phase::WebSocket(_) => self.close_websocket(id, code, now),
            Phase::EventStream(_) => {
                self.depart(id, now);
            }
            _ => {}
        }
        self.sign_ins.close_session(id, now);
    }

    /// Leaves everything, then lingers: queued bytes are sent, then our direction is shut down.
    pub(super) fn depart(&mut self, id: ConnectionId, now: Now) {
        self.leave(id, Exit::Closed, now);
        self.linger(id, now);
    }

    /// Lingers: queued bytes are sent, then our direction is shut down.
    pub(super) fn linger(&mut self, id: ConnectionId, now: Now) {
        self.connections.set_phase(id, Phase::Lingering);
        self.connections
            .set_deadline(id, now.monotonic + LINGER_TIMEOUT);
        self.connections.list(id);
    }

    /// Closes slow consumers: WebSockets whose outbox is over its limit. Bytes queued in this turn may not have been
    /// written yet, and a peer that takes them is not slow: that shows when its outbox is written.
    pub(super) fn close_slow_consumers(&mut self, now: Now) {
        while let Some(id) = self.chat.troubled.slow.pop() {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            if !matches!(connection.phase, Phase::WebSocket(_)) {
                continue;
            }
            if connection.is_blocked() {
                self.close_if_slow(id, now);
            } else {
                connection.set(Mark::Slow, true);
                self.connections.list(id);
            }
        }
    }

    /// Closes a WebSocket whose socket is blocked if its outbox is over its limit; true if it was closed.
    pub(super) fn close_if_slow(&mut self, id: ConnectionId, now: Now) -> bool {
        let is_slow = self.connections[id].is_over(self.config.outbox_bytes);
        if is_slow {
            self.close_websocket(id, CloseCode::SLOW_CONSUMER, now);
        }
        is_slow
    }

    /// Handles a deadline of a connection.
    pub(super) fn deadline(&mut self, id: ConnectionId, now: Now) {
        let connection = &mut self.connections[id];
        if let Some(wait) = time_to_take_response(connection, now) {
            return self.connections.set_deadline(id, now.monotonic + wait);
        }
        if matches!(connection.phase, Phase::Http(_)) && connection.is(Mark::ToServe) {
            // Requests of its peer wait for this turn or the next.
            let at = now.monotonic + ANSWER_STALL_TIMEOUT;
            return self.connections.set_deadline(id, at);
        }
        match &mut connection.phase {
            Phase::Http(http) => match http.awaits() {
                Awaited::ProxyHeader => self.refuse_proxy_header(id, "it comes too late", now),
                Awaited::Request if http.deadline_for.take().is_some() => {
                    self.await_longer(id, now);
                }
                Awaited::Request => self.closed(id, now),
                Awaited::Job(wait) => self.give_up_waiting(id, wait, now),
                Awaited::Head | Awaited::Body => {
                    self.refuse_unfinished(id, ErrorCode::RequestTimeout.into(), now);
                }
            },
            Phase::WebSocket(_) => self.ping_or_give_up(id, now),
            Phase::EventStream(_) => self.check_subscriber(id, now),
            Phase::Closing(_) => self.linger(id, now),
            Phase::Lingering => self.closed(id, now),
            Phase::Closed => {}
        }
    }

    /// A connection has waited for its next request as long as its client may take nothing of a response. Closes it if the
    /// response is still there, else lets it wait for the rest of the time between two requests.
    fn await_longer(&mut self, id: ConnectionId, now: Now) {
        let owes_response = self.connections[id].owes_response();
        match self.config.keep_alive {
            _ if owes_response => self.closed(id, now),
            None => self.connections.clear_deadline(id),
            Some(time) if time > ANSWER_STALL_TIMEOUT => {
                let rest = time - ANSWER_STALL_TIMEOUT;
                self.connections.set_deadline(id, now.monotonic + rest);
            }
            Some(_) => self.closed(id, now),
        }
    }

    /// Pings a WebSocket after the silence of [`Config::ping_interval`](crate::config::Config::ping_interval), and closes it when [`PONG_TIMEOUT`] passes without input. While
    /// a command of its peer waits for the backend nothing is read, so the pong may have come: it has more time.
    fn ping_or_give_up(&mut self, id: ConnectionId, now: Now) {
        let ping_interval = self.config.ping_interval;
        let connection = &mut self.connections[id];
        let silence_left = silence_left(connection, ping_interval, now.monotonic);
        let is_paused = connection.is(Mark::Paused) && !connection.is_blocked();
        let Phase::WebSocket(websocket) = &mut connection.phase else {
            return;
        };
        if let Some(wait) = silence_left {
            websocket.awaits_pong = false;
            return self.connections.set_deadline(id, now.monotonic + wait);
        }
        if websocket.awaits_pong && !websocket.is_parked && !is_paused {
            return self.closed(id, now);
        }
        if !std::mem::replace(&mut websocket.awaits_pong, true) {
            self.frame.clear();
            encode_ping(&mut self.frame);
            connection.outbox().push_frames(&self.frame);
        }
        self.connections
            .set_deadline(id, now.monotonic + PONG_TIMEOUT);
        self.connections.list(id);
    }
}

/// When it is told that somebody whose WebSocket is closed with this code has gone. Who has signed out, whose account was
/// removed, or who was a guest under a name that is an account's now, will not be back as the same user and is not waited
/// for; one whose token has expired may come with another.
fn exit_of(code: CloseCode) -> Exit {
    match code {
        CloseCode::INVALID_TICKET | CloseCode::SESSION_ENDED | CloseCode::PUT_OUT => Exit::AtOnce,
        _ => Exit::Closed,
    }
}

/// How long the peer may still take no byte of its response, if that is what the connection waits for.
fn time_to_take_response(connection: &Connection, now: Now) -> Option<Duration> {
    let is_reading = match &connection.phase {
        Phase::Lingering => true,
        // Paused: requests wait for room in the outbox, so no input is awaited.
        Phase::Http(http) => http.awaits() == Awaited::Request || connection.is(Mark::Paused),
        _ => false,
    };
    (is_reading && connection.owes_response())
        .then(|| silence_left(connection, ANSWER_STALL_TIMEOUT, now.monotonic))
        .flatten()
}
