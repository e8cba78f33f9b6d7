//! Carries out what comes over WebSocket.

use tungstenite::Message;

use super::Server;
use crate::config::{OUTBOX_HIGH_WATER_BYTES, RATE_WARNINGS_MAX};
use crate::conn::Phase;
use crate::conn::websocket::{Command, parse};
use crate::domain::error::ErrorCode;
use crate::domain::event::{Effect, Event};
use crate::domain::ids::ConnectionId;
use crate::domain::time::{Now, Timestamp};
use crate::wire::websocket::{BINARY, CloseCode, Incoming, Input, TEXT, encode};

impl Server {
    /// Carries out every message in these bytes.
    pub(super) fn receive_messages(&mut self, id: ConnectionId, bytes: &[u8], now: Now) {
        let Phase::WebSocket(websocket) = &mut self.connections[id.index()].phase else {
            return;
        };
        websocket.awaits_pong = false;
        let limits = websocket.limits();
        let input = websocket.receiver.begin(limits, bytes);
        self.take_messages(id, input, now);
        self.connections[id.index()].account_received(&self.ledger);
    }

    /// Goes on with what had to wait for the answers to earlier messages.
    pub(super) fn resume_messages(&mut self, id: ConnectionId, now: Now) {
        let Phase::WebSocket(websocket) = &mut self.connections[id.index()].phase else {
            return;
        };
        let rest = websocket.receiver.take_rest();
        let input = websocket.receiver.resume(&rest);
        self.take_messages(id, input, now);
        self.connections[id.index()].account_received(&self.ledger);
    }

    fn take_messages(&mut self, id: ConnectionId, mut input: Input<'_>, now: Now) {
        loop {
            let connection = &mut self.connections[id.index()];
            let is_full = connection.queued_bytes() > OUTBOX_HIGH_WATER_BYTES;
            // A message may have ended the session.
            let Phase::WebSocket(websocket) = &mut connection.phase else {
                return;
            };
            if is_full {
                websocket.receiver.keep_rest(&input);
                connection.is_paused = true;
                return;
            }
            let next = websocket.receiver.next(&mut input);
            let is_echo = websocket.is_echo;
            self.reply(id, &input.take_replies());
            match next {
                Ok(Some(Incoming::Message(message))) if is_echo => self.echo(id, &message),
                Ok(Some(Incoming::Message(Message::Text(text)))) => self.carry_out(id, &text, now),
                Ok(Some(Incoming::Message(_))) => {
                    self.close_websocket(id, CloseCode::UNSUPPORTED_DATA, now)
                }
                Ok(Some(Incoming::Control)) => {}
                Ok(Some(Incoming::Closed)) => {
                    self.depart(id, now);
                }
                Ok(None) => return,
                Err(code) => self.fail_websocket(id, code, now),
            }
        }
    }

    /// Pongs and close frames go out after what was queued before.
    fn reply(&mut self, id: ConnectionId, replies: &[u8]) {
        if replies.is_empty() {
            return;
        }
        let connection = &mut self.connections[id.index()];
        self.fan_out
            .catch_up(id, connection, self.rooms.people().rooms(id));
        connection.outbox().push_frames(replies);
        connection.outbox().excuse(replies.len());
        if connection.is_over(self.config.outbox_bytes) {
            self.troubled.slow.push(id);
        }
        self.replied_bytes += replies.len();
        self.list(id);
    }

    fn echo(&mut self, id: ConnectionId, message: &Message) {
        let (first, payload) = match message {
            Message::Text(text) => (TEXT, text.as_bytes()),
            Message::Binary(bytes) => (BINARY, &bytes[..]),
            _ => return,
        };
        self.frame.clear();
        encode(first, payload, &mut self.frame);
        let outbox = self.connections[id.index()].outbox();
        outbox.push_frames(&self.frame);
        outbox.excuse(self.frame.len());
        self.replied_bytes += self.frame.len();
        self.list(id);
    }

    fn carry_out(&mut self, id: ConnectionId, text: &str, now: Now) {
        let parsed = parse(text);
        let Phase::WebSocket(websocket) = &mut self.connections[id.index()].phase else {
            return;
        };
        let is_allowed = websocket
            .allowance
            .take(self.config.messages_per_second, now.monotonic);
        websocket.refused = if is_allowed { 0 } else { websocket.refused + 1 };
        if websocket.refused > RATE_WARNINGS_MAX {
            return self.close_websocket(id, CloseCode::RATE_LIMITED, now);
        }
        let (done, message_id) = match parsed {
            Ok((_, message_id)) | Err((_, message_id)) if !is_allowed => {
                (Err(ErrorCode::RateLimited), message_id)
            }
            Ok((command, message_id)) => (
                self.execute(id, command, message_id.as_deref(), now),
                message_id,
            ),
            Err((code, message_id)) => (Err(code), message_id),
        };
        if let Err(code) = done {
            let event = Event::error(code, message_id.map(Into::into));
            self.effects.push_back(Effect::Tell(id, event));
        }
        self.settle(now);
    }

    fn execute(
        &mut self,
        id: ConnectionId,
        command: Command<'_>,
        message_id: Option<&str>,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let Self { rooms, effects, .. } = self;
        match command {
            Command::Join { room, since } => {
                rooms.join_room(id, &room, since.as_deref(), now, effects)
            }
            Command::Chat { room, content } => {
                rooms.chat(id, &room, &content, message_id, now, effects)
            }
            Command::Whisper { to, content } => {
                rooms.whisper(id, &to, &content, message_id, now, effects)
            }
            Command::Leave { room } => rooms.leave_room(id, &room, now, effects),
            Command::RoomList => {
                effects.push_back(Effect::Tell(
                    id,
                    Event::RoomList {
                        rooms: rooms.list(),
                    },
                ));
                Ok(())
            }
            Command::Auth { ticket } => self.extend_session(id, &ticket.0, now),
        }
    }

    /// Has a session end with a newer token of the same user. Guests have none to extend.
    fn extend_session(
        &mut self,
        id: ConnectionId,
        ticket: &str,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let identity = self
            .auth
            .redeem(ticket, now)
            .map_err(|_| ErrorCode::Unauthorized)?;
        let current = self.auth.sessions.of(id).ok_or(ErrorCode::Unauthorized)?;
        if current.username != identity.username {
            return Err(ErrorCode::Unauthorized);
        }
        let username = identity.username.clone();
        let expires_at = Timestamp::from_secs(identity.expires_at.max(current.expires_at));
        // A token that expires sooner shortens nothing.
        if identity.expires_at > current.expires_at {
            self.auth.sessions.open(id, identity, now);
        }
        let event = Event::Welcome {
            username,
            expires_at: Some(expires_at),
        };
        self.effects.push_back(Effect::Tell(id, event));
        Ok(())
    }
}
