//! Carries out messages received over WebSocket.

use std::borrow::Cow;

use super::Server;
use super::answer::Redeemed;
use super::waiting::Extension;
use crate::config::{
    COMMANDS_PER_TURN, OUTBOX_HIGH_WATER_BYTES, RATE_WARNINGS_MAX, ROOMS_LISTED_MAX,
};
use crate::conn::act::Kind;
use crate::conn::command::{Command, parse, read_act};
use crate::conn::{Mark, Phase};
use crate::domain::error::ErrorCode;
use crate::domain::event::{Effect, Event, Page};
use crate::domain::ids::{ConnectionId, Origin, Serial};
use crate::domain::rooms::Joined;
use crate::domain::time::{Now, Timestamp};
use crate::wire::close_code::CloseCode;
use crate::wire::frame_reader::Incoming;
use crate::wire::websocket::{BINARY, TEXT, encode, encode_close_answer, encode_pong};

/// The page of the list of rooms that a command asks for.
fn page_of(after: Option<Cow<'_, str>>, limit: Option<u64>) -> Result<Page, ErrorCode> {
    let limit = limit.unwrap_or(ROOMS_LISTED_MAX as u64);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    match (1..=ROOMS_LISTED_MAX).contains(&limit) {
        true => Ok(Page {
            after: after.map(Into::into),
            limit,
        }),
        false => Err(ErrorCode::BadRequest),
    }
}

/// The progress of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Done,
    /// Its answer comes later: the connection is parked, so that its next commands wait.
    Waits,
}

impl Server {
    /// Carries out the messages in these bytes, as many as this turn has time for; the rest waits for the next turn.
    pub(super) fn receive_messages(&mut self, id: ConnectionId, bytes: &mut [u8], now: Now) {
        let Phase::WebSocket(websocket) = &mut self.connections[id].phase else {
            return;
        };
        if std::mem::replace(&mut websocket.awaits_pong, false) {
            // It stood at the end of the time for a pong, which may be later than that of the next ping.
            let next_ping = now.monotonic + self.config.ping_interval;
            self.connections.set_deadline(id, next_ping);
        }
        let Phase::WebSocket(websocket) = &mut self.connections[id].phase else {
            return;
        };
        // Earlier unread bytes come first.
        if websocket.reader.has_unread() {
            websocket.reader.keep_unread(bytes);
        } else {
            let left = self.take_messages(id, bytes, now);
            if let Phase::WebSocket(websocket) = &mut self.connections[id].phase {
                websocket.reader.keep_unread(&bytes[bytes.len() - left..]);
            }
        }
        self.connections[id].charge_received(self.connections.ledger());
    }

    /// Carries out the messages that waited for the answer to an earlier one, or for the next turn.
    pub(super) fn resume_messages(&mut self, id: ConnectionId, now: Now) {
        let Phase::WebSocket(websocket) = &mut self.connections[id].phase else {
            return;
        };
        let mut unread = websocket.reader.take_unread();
        let left = self.take_messages(id, unread.rest(), now);
        if let Phase::WebSocket(websocket) = &mut self.connections[id].phase {
            websocket.reader.put_back_unread(unread, left);
        }
        self.connections[id].charge_received(self.connections.ledger());
    }

    /// Carries out messages; returns how many bytes at the end of the input are to be kept.
    fn take_messages(&mut self, id: ConnectionId, mut input: &mut [u8], now: Now) -> usize {
        for taken in 0.. {
            let has_to_yield = !input.is_empty() && self.has_to_yield(id, taken);
            let connection = &mut self.connections[id];
            let is_full = connection.queued_bytes() > OUTBOX_HIGH_WATER_BYTES;
            // A message may have ended the session.
            let Phase::WebSocket(websocket) = &mut connection.phase else {
                self.discard(id, input, now);
                break;
            };
            if is_full || websocket.is_parked {
                connection.set(Mark::Paused, true);
                return input.len();
            }
            if has_to_yield {
                self.serve_next_turn(id);
                return input.len();
            }
            let limits = websocket.limits();
            match websocket.reader.next(&mut input, limits) {
                Ok(Some(incoming)) => self.take(id, incoming, now),
                Ok(None) => break,
                Err(code) => self.fail_websocket(id, code, now),
            }
        }
        0
    }

    /// Whether a connection that has taken this many messages at once has to wait for the next turn with the others.
    fn has_to_yield(&mut self, id: ConnectionId, taken: usize) -> bool {
        self.is_share_used(taken) || self.chat.is_held(id)
    }

    /// Whether a connection of which this many messages or requests were served at once has used its share of the turn.
    pub(super) fn is_share_used(&self, served: usize) -> bool {
        served >= COMMANDS_PER_TURN || (served > 0 && self.is_turn_full())
    }

    /// Has the remaining input of a connection served in the next turn, and reading resumed then.
    pub(super) fn serve_next_turn(&mut self, id: ConnectionId) {
        self.connections[id].set(Mark::Paused, true);
        self.connections.postpone(id);
    }

    fn take(&mut self, id: ConnectionId, incoming: Incoming<'_>, now: Now) {
        let phase = &self.connections[id].phase;
        let is_echo = matches!(phase, Phase::WebSocket(websocket) if websocket.is_echo);
        match incoming {
            Incoming::Text(text) if is_echo => self.echo(id, TEXT, text.as_bytes()),
            Incoming::Binary(payload) if is_echo => self.echo(id, BINARY, &payload),
            Incoming::Text(text) => self.carry_out(id, &text, now),
            Incoming::Binary(_) | Incoming::Compressed { .. } => {
                self.close_websocket(id, CloseCode::UNSUPPORTED_DATA, now)
            }
            Incoming::Ping(payload) => {
                self.frame.clear();
                encode_pong(&payload, &mut self.frame);
                self.chat
                    .push_control(id, &self.frame, &mut self.connections);
            }
            Incoming::Pong => {}
            Incoming::Close(payload) => {
                self.frame.clear();
                encode_close_answer(&payload, &mut self.frame);
                self.chat
                    .push_control(id, &self.frame, &mut self.connections);
                self.depart(id, now);
            }
        }
    }

    fn echo(&mut self, id: ConnectionId, first: u8, payload: &[u8]) {
        self.frame.clear();
        encode(first, payload, &mut self.frame);
        let outbox = self.connections[id].outbox();
        outbox.push_frames(&self.frame);
        outbox.exempt(self.frame.len());
        self.connections.replied_bytes += self.frame.len();
        self.connections.list(id);
    }

    fn carry_out(&mut self, id: ConnectionId, text: &str, now: Now) {
        let parsed = parse(text);
        let Phase::WebSocket(websocket) = &mut self.connections[id].phase else {
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
            Ok((Command::Act(kind), message_id)) => {
                let done = self.moderate(id, kind, text, message_id.as_deref(), now);
                (done.map(|()| Progress::Done), message_id)
            }
            Ok((command, message_id)) => (
                self.execute(id, command, message_id.as_deref(), now),
                message_id,
            ),
            Err((code, message_id)) => (Err(code), message_id),
        };
        match done {
            Ok(Progress::Done) => {}
            Ok(Progress::Waits) => self.connections.park(id, now.monotonic),
            Err(code) => {
                let event = Event::error(code, message_id.map(Into::into));
                self.push_effect(Effect::Answer(id, event));
            }
        }
        self.settle(now);
    }

    /// Carries out what only moderators may ask for.
    fn moderate(
        &mut self,
        id: ConnectionId,
        kind: Kind,
        text: &str,
        message_id: Option<&str>,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let actor = self.moderator(id).ok_or(ErrorCode::Forbidden)?;
        let act = read_act(kind, text, &actor.speaker)?;
        let origin = self.connections.origin(id);
        self.act_for_socket(origin, message_id, (actor, act), now)
    }

    fn execute(
        &mut self,
        id: ConnectionId,
        command: Command<'_>,
        message_id: Option<&str>,
        now: Now,
    ) -> Result<Progress, ErrorCode> {
        let origin = self.connections.origin(id);
        let is_full = self.chat.has_too_many_whispers();
        let is_store_full = message_id.is_some() && self.chat.is_store_full();
        let (rooms, effects) = self.chat.rooms_mut();
        match command {
            Command::Join { room, since } => {
                if let Some(ban) = rooms.ban_from(id, &room, now) {
                    let event = Event::banned_error(ban, message_id.map(Into::into));
                    effects.push_back(Effect::Answer(id, event));
                    return Ok(Progress::Done);
                }
                let join = (since.as_deref(), message_id);
                return match rooms.join_room(origin, &room, join, now, effects)? {
                    Joined::Now => Ok(Progress::Done),
                    Joined::Later => Ok(Progress::Waits),
                };
            }
            Command::Chat { room, content } => {
                rooms.chat(origin, &room, &content, message_id, now, effects)?;
            }
            Command::Whisper { .. } if is_full => return Err(ErrorCode::RateLimited),
            Command::Whisper { .. } if is_store_full => return Err(ErrorCode::StorageUnavailable),
            Command::Whisper { to, content } => {
                rooms.whisper(origin, &to, &content, message_id, now, effects)?;
            }
            Command::Leave { room } => rooms.leave_room(id, &room, now, effects)?,
            Command::History {
                room,
                before,
                limit,
            } => {
                let page = (before.as_deref(), limit);
                let event = rooms.history_for(id, &room, page, message_id)?;
                effects.push_back(Effect::Answer(id, event));
            }
            Command::RoomList {
                after,
                limit,
                watch,
            } => {
                let page = page_of(after, limit)?;
                self.list_rooms(origin, page, watch, message_id, now);
            }
            Command::Act(_) => return Err(ErrorCode::Forbidden),
            Command::Auth { ticket } => {
                return self.redeem_to_extend(origin, &ticket.0, message_id, now);
            }
        }
        Ok(Progress::Done)
    }

    /// Answers with a page of the list of rooms, and begins or ends that its changes are told.
    fn list_rooms(
        &mut self,
        origin: Origin,
        page: Page,
        watch: Option<bool>,
        message_id: Option<&str>,
        now: Now,
    ) {
        let id = origin.connection;
        let (rooms, effects) = self.chat.rooms_mut();
        if rooms.is_shared() {
            self.list_for_socket(origin, page, message_id, now);
        } else {
            let permissions = rooms.permissions(id);
            let (rooms, next) = rooms.page(&page, &permissions);
            effects.push_back(Effect::Answer(id, Event::RoomList { rooms, next }));
        }
        match watch {
            Some(true) => {
                let has_to_read = self.chat.watch(id, &mut self.connections, now);
                self.list_for_watchers_if(has_to_read, now);
            }
            Some(false) => self.chat.unwatch(id, &mut self.connections),
            None => {}
        }
    }

    /// Redeems a ticket presented over an open WebSocket, at once or by a job.
    fn redeem_to_extend(
        &mut self,
        origin: Origin,
        ticket: &str,
        message_id: Option<&str>,
        now: Now,
    ) -> Result<Progress, ErrorCode> {
        if self.chat.backend().redeems_tickets() {
            let serial = self.redeem_by_job(ticket.to_owned(), now);
            let message_id = message_id.map(Into::into);
            self.waiting
                .insert_extension(serial, Extension { origin, message_id });
            return Ok(Progress::Waits);
        }
        let redeemed = self.sign_ins.auth_mut().redeem(ticket, now);
        self.extend_session(origin.connection, redeemed, now)?;
        Ok(Progress::Done)
    }

    /// A ticket presented over a WebSocket was redeemed by a job; `None` if the shared store did not answer.
    pub(super) fn extension_redeemed(
        &mut self,
        serial: Serial,
        redeemed: Option<Redeemed>,
        now: Now,
    ) {
        let Some(Extension { origin, message_id }) = self.waiting.take_extension(serial) else {
            return;
        };
        if !self.connections.is_open(origin) {
            return;
        }
        let extended = match redeemed {
            Some(redeemed) => self.extend_session(origin.connection, redeemed, now),
            None => Err(ErrorCode::BackendUnavailable),
        };
        if let Err(code) = extended {
            self.push_effect(Effect::refusal(origin, code, message_id));
        }
        self.push_effect(Effect::Resume(origin.connection));
        self.settle(now);
    }

    /// Extends a session to the expiry of a newer token of the same user. Guests have no session to extend.
    fn extend_session(
        &mut self,
        id: ConnectionId,
        redeemed: Redeemed,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let identity = redeemed.map_err(|_| ErrorCode::Unauthorized)?;
        let sessions = &mut self.sign_ins.auth_mut().sessions;
        let current = sessions.of(id).ok_or(ErrorCode::Unauthorized)?;
        if current.username != identity.username {
            return Err(ErrorCode::Unauthorized);
        }
        let username = identity.username.clone();
        let expires_at = Timestamp::from_secs(identity.expires_at.max(current.expires_at));
        // A token that expires sooner does not shorten the session, and changes nothing of what it may do.
        let is_newer = identity.expires_at > current.expires_at;
        let permissions = identity.permissions.clone();
        if is_newer {
            sessions.open(id, identity, now);
        }
        let (rooms, effects) = self.chat.rooms_mut();
        if is_newer {
            rooms.set_permissions(id, permissions);
        }
        let event = Event::Welcome {
            username,
            expires_at: Some(expires_at),
            guest: false,
            admin: rooms.permissions(id).is_moderator,
        };
        effects.push_back(Effect::Answer(id, event));
        if is_newer {
            self.chat.watch_anew(id, &mut self.connections, now);
        }
        Ok(())
    }

    /// A parked command has timed out: it is refused, and the connection resumes.
    pub(super) fn give_up_parked(&mut self, id: ConnectionId, now: Now) {
        let origin = self.connections.origin(id);
        match self.waiting.take_extension_of(origin) {
            Some(Extension { origin, message_id }) => {
                let code = ErrorCode::BackendUnavailable;
                self.push_effect(Effect::refusal(origin, code, message_id));
                self.push_effect(Effect::Resume(id));
            }
            None => {
                let (rooms, effects) = self.chat.rooms_mut();
                rooms.give_up_joining(id, effects);
            }
        }
        self.settle(now);
        self.connections.unpark(id);
    }

    fn push_effect(&mut self, effect: Effect) {
        let (_, effects) = self.chat.rooms_mut();
        effects.push_back(effect);
    }
}
