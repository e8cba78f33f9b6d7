//! How connections end: by a close frame, by a deadline, by draining.

use std::time::Duration;

use super::Server;
use super::deadlines::silence_left;
use crate::config::{
    ANSWER_STALL_TIMEOUT, CLOSE_TIMEOUT, LINGER_TIMEOUT, Level, PING_AFTER, PONG_TIMEOUT,
};
use crate::conn::http::Awaited;
use crate::conn::refusal::Refusal;
use crate::conn::transmit::Transmit;
use crate::conn::{Connection, Phase};
use crate::domain::error::ErrorCode;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::wire::websocket::{CloseCode, encode_close, encode_ping};

impl Server {
    /// Stops accepting and says goodbye to everybody: close code 1001, after what is queued for them.
    pub fn drain(&mut self, now: Now) {
        self.is_draining = true;
        self.rooms.stop_telling_presence();
        let count = self.connections.len();
        self.journal
            .tell(Level::Info, "draining", &[("connections", &count)], now);
        let ids: Vec<ConnectionId> = self
            .connections
            .iter()
            .map(|(index, _)| ConnectionId(index as u32))
            .collect();
        for id in ids {
            match &self.connections[id.index()].phase {
                Phase::WebSocket(_) => self.close_websocket(id, CloseCode::GOING_AWAY, now),
                Phase::Http(http) if http.awaits() == Awaited::Request => self.linger(id, now),
                Phase::EventStream(_) => {
                    self.depart(id, now);
                }
                _ => {}
            }
        }
    }

    /// Whether the server takes no more connections.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Leaves every room, sends a close frame and awaits the peer's (RFC 6455 section 7.1.2).
    pub(super) fn close_websocket(&mut self, id: ConnectionId, code: CloseCode, now: Now) {
        let Phase::WebSocket(websocket) = &mut self.connections[id.index()].phase else {
            return;
        };
        let walker = websocket.receiver.take_walker();
        self.say_goodbye(id, code, now);
        if walker.saw_close() {
            return self.linger(id, now);
        }
        self.set_phase(id, Phase::Closing(Box::new(walker)));
        let connection = &mut self.connections[id.index()];
        self.deadlines
            .set(id, connection, now.monotonic + CLOSE_TIMEOUT);
    }

    /// Leaves every room, sends a close frame and reads nothing more (RFC 6455 section 7.1.7).
    pub(super) fn fail_websocket(&mut self, id: ConnectionId, code: CloseCode, now: Now) {
        self.say_goodbye(id, code, now);
        self.linger(id, now);
    }

    fn say_goodbye(&mut self, id: ConnectionId, code: CloseCode, now: Now) {
        *self.counters.closes.entry(code.0).or_default() += 1;
        self.note_close(id, code, now);
        self.leave(id, now);
        let connection = &mut self.connections[id.index()];
        if code == CloseCode::SLOW_CONSUMER {
            connection.outbox().discard_unsent();
        }
        self.frame.clear();
        encode_close(code, &mut self.frame);
        connection.outbox().push_frames(&self.frame);
        self.list(id);
    }

    /// Ends a session and leaves every room.
    pub(super) fn leave(&mut self, id: ConnectionId, now: Now) {
        if let Phase::EventStream(stream) = self.connections[id.index()].phase {
            self.close_event_stream(id, stream, now);
        }
        self.rooms.exit(id, now, &mut self.effects);
        self.auth.sessions.close(id);
        self.settle(now);
    }

    /// Closes the sessions whose token has expired.
    pub(super) fn end_sessions(&mut self, now: Now) {
        while let Some(id) = self.auth.sessions.due(now.monotonic) {
            self.end_session(id, CloseCode::TOKEN_EXPIRED, now);
        }
    }

    /// Ends what a token has opened: a WebSocket with a close frame, an event stream by its end.
    pub(super) fn end_session(&mut self, id: ConnectionId, code: CloseCode, now: Now) {
        match self.connections[id.index()].phase {
            Phase::WebSocket(_) => self.close_websocket(id, code, now),
            Phase::EventStream(_) => {
                self.depart(id, now);
            }
            _ => {}
        }
        self.auth.sessions.close(id);
    }

    /// Leaves everything; what is queued goes out, then our direction ends.
    pub(super) fn depart(&mut self, id: ConnectionId, now: Now) {
        self.leave(id, now);
        self.linger(id, now);
    }

    /// What is queued goes out, then our direction ends.
    pub(super) fn linger(&mut self, id: ConnectionId, now: Now) {
        self.set_phase(id, Phase::Lingering);
        let connection = &mut self.connections[id.index()];
        self.deadlines
            .set(id, connection, now.monotonic + LINGER_TIMEOUT);
        self.list(id);
    }

    /// Closes those for whom too much waits; everyone else is unhurt.
    pub(super) fn close_slow_consumers(&mut self, transmit: &mut impl Transmit, now: Now) {
        while let Some(id) = self.troubled.slow.pop() {
            let Some(connection) = self.connections.get_mut(id.index()) else {
                continue;
            };
            if !matches!(connection.phase, Phase::WebSocket(_)) {
                continue;
            }
            // What was queued in this turn has not been offered to the socket yet: nobody is slow who takes it.
            connection.flush(id, transmit);
            if connection.is_over(self.config.outbox_bytes) {
                self.close_websocket(id, CloseCode::SLOW_CONSUMER, now);
            }
        }
    }

    /// A connection's deadline has come.
    pub(super) fn deadline(&mut self, id: ConnectionId, now: Now) {
        let connection = &mut self.connections[id.index()];
        if let Some(wait) = time_to_take_response(connection, now) {
            return self.deadlines.set(id, connection, now.monotonic + wait);
        }
        let silence_left = silence_left(connection, PING_AFTER, now.monotonic);
        match &mut connection.phase {
            Phase::Http(http) if http.awaits() == Awaited::Request => self.closed(id, now),
            Phase::Http(http) if http.awaits() == Awaited::Job => {
                self.refuse(id, Refusal::UNAVAILABLE, now)
            }
            Phase::Http(_) => self.refuse(id, Refusal::from(ErrorCode::RequestTimeout), now),
            Phase::WebSocket(websocket) => {
                if let Some(wait) = silence_left {
                    websocket.awaits_pong = false;
                    self.deadlines.set(id, connection, now.monotonic + wait);
                } else if websocket.awaits_pong {
                    self.closed(id, now);
                } else {
                    websocket.awaits_pong = true;
                    self.frame.clear();
                    encode_ping(&mut self.frame);
                    connection.outbox().push_frames(&self.frame);
                    self.deadlines
                        .set(id, connection, now.monotonic + PONG_TIMEOUT);
                    self.list(id);
                }
            }
            Phase::EventStream(_) => self.judge_subscriber(id, now),
            Phase::Closing(_) => self.linger(id, now),
            Phase::Lingering => self.closed(id, now),
            Phase::Closed => {}
        }
    }
}

/// How long a peer may still take nothing of the response it is being sent, when that is what it is waited for.
fn time_to_take_response(connection: &Connection, now: Now) -> Option<Duration> {
    let is_reading = match &connection.phase {
        Phase::Lingering => true,
        // With more requests in hand than there is room for responses, nothing is awaited of it.
        Phase::Http(http) => http.awaits() == Awaited::Request || connection.is_paused,
        _ => false,
    };
    (is_reading && connection.owes_response())
        .then(|| silence_left(connection, ANSWER_STALL_TIMEOUT, now.monotonic))
        .flatten()
}
