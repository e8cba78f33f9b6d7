//! Serves what comes over HTTP, one request after the other, and opens WebSockets.

use std::borrow::Cow;

use super::Server;
use super::routes::{
    Answer, Context, Endpoint, answer, is_allowed_origin, text_response, with_cors,
};
use crate::config::{
    BODY_TIMEOUT, HEAD_TIMEOUT, KEEP_ALIVE_TIMEOUT, OUTBOX_HIGH_WATER_BYTES, PING_AFTER,
};
use crate::conn::Phase;
use crate::conn::http::{Awaited, Step};
use crate::conn::refusal::Refusal;
use crate::conn::websocket::WebSocket;
use crate::domain::auth::BadTicket;
use crate::domain::ids::ConnectionId;
use crate::domain::people::is_valid_username;
use crate::domain::time::{Now, Timestamp};
use crate::domain::tokens::Identity;
use crate::wire::http::{Method, Request};
use crate::wire::response::{Framing, Response};
use crate::wire::websocket::CloseCode;

/// The Prometheus text format.
const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Who is behind a WebSocket.
enum Peer {
    Guest(String),
    Member(Identity),
}

impl Server {
    /// Serves the requests that have come, as far as there is room for their responses.
    pub(super) fn serve_requests(&mut self, id: ConnectionId, now: Now) {
        self.take_requests(id, now);
        self.connections[id.index()].account_received(&self.ledger);
    }

    fn take_requests(&mut self, id: ConnectionId, now: Now) {
        loop {
            let connection = &mut self.connections[id.index()];
            if connection.queued_bytes() > OUTBOX_HIGH_WATER_BYTES {
                connection.is_paused = true;
                return;
            }
            let Phase::Http(http) = &mut connection.phase else {
                return;
            };
            match http.step() {
                Step::Wait => return self.await_request(id, now),
                Step::Continue => {
                    connection
                        .outbox()
                        .push_http(b"HTTP/1.1 100 Continue\r\n\r\n");
                    self.list(id);
                }
                Step::Serve(request) => self.serve(id, *request, now),
                Step::Refuse(refusal) => self.refuse(id, refusal, now),
            }
        }
    }

    fn await_request(&mut self, id: ConnectionId, now: Now) {
        let connection = &mut self.connections[id.index()];
        let Phase::Http(http) = &mut connection.phase else {
            return;
        };
        let awaited = http.awaits();
        // A deadline runs from the beginning of what is awaited: a byte now and then does not move it.
        if http.deadline_for.replace(awaited) != Some(awaited) {
            let timeout = match awaited {
                Awaited::Request | Awaited::Job => KEEP_ALIVE_TIMEOUT,
                Awaited::Head => HEAD_TIMEOUT,
                Awaited::Body => BODY_TIMEOUT,
            };
            self.deadlines.set(id, connection, now.monotonic + timeout);
        }
    }

    fn serve(&mut self, id: ConnectionId, mut request: Request, now: Now) {
        if let Phase::Http(http) = &mut self.connections[id.index()].phase {
            http.deadline_for = None;
        }
        let framing = self.framing(&request, now);
        let Self {
            config,
            rooms,
            auth,
            ..
        } = self;
        let context = &mut Context {
            config,
            rooms,
            auth,
            now,
        };
        match answer(context, &mut request) {
            Answer::Response(response) => self.respond_and_go_on(id, response, framing, now),
            Answer::Login(attempt) => self.start_login(id, attempt, &request, now),
            Answer::Logout(identity) => {
                let response = self.log_out(&identity, request.prefers_english(), now);
                let response = with_cors(&self.config, &request, response);
                self.respond_and_go_on(id, response, framing, now);
            }
            Answer::EventStream(response, subscription) => {
                self.respond(id, response, framing);
                self.open_event_stream(id, subscription, now);
            }
            Answer::Figures(figures) => {
                let taken = self.take_figures(figures);
                let response =
                    taken.unwrap_or_else(|refusal| refusal.response(request.prefers_english()));
                let response = with_cors(&self.config, &request, response);
                self.respond_and_go_on(id, response, framing, now);
            }
            Answer::Exposition => {
                let page = self.exposition().into_bytes();
                let response =
                    Response::with(200, EXPOSITION_TYPE, page).field("Cache-Control", "no-store");
                self.respond_and_go_on(id, response, framing, now);
            }
            Answer::Readiness => {
                let (status, text) = if self.is_draining {
                    (503, "draining\n")
                } else {
                    (200, "ready\n")
                };
                self.respond_and_go_on(id, text_response(status, text), framing, now);
            }
            Answer::WebSocket(response, endpoint) => {
                self.respond(
                    id,
                    response,
                    Framing {
                        keep_alive: true,
                        ..framing
                    },
                );
                self.open_websocket(id, &request, endpoint, now);
            }
        }
        self.settle(now);
    }

    pub(super) fn framing(&self, request: &Request, now: Now) -> Framing {
        Framing {
            is_head: request.method == Method::Head,
            keep_alive: request.keep_alive && !self.is_draining,
            is_http11: request.is_http11,
            unix: now.unix,
            since: now.monotonic,
        }
    }

    /// Responds, and closes where the connection does not stay open.
    pub(super) fn respond_and_go_on(
        &mut self,
        id: ConnectionId,
        response: Response,
        framing: Framing,
        now: Now,
    ) {
        // A stream that is told of by HEAD says that the connection closes, so it does.
        let keep_alive = framing.keep_alive && !response.is_stream;
        self.respond(id, response, framing);
        if !keep_alive {
            self.linger(id, now);
        }
    }

    fn respond(&mut self, id: ConnectionId, response: Response, framing: Framing) {
        self.counters.respond(response.status, framing.since);
        let outbox = self.connections[id.index()].outbox();
        self.frame.clear();
        response.encode_head(framing, &mut self.frame);
        outbox.push_http(&self.frame);
        self.replied_bytes += self.frame.len();
        if !framing.is_head {
            self.replied_bytes += response.body.len();
            match response.body {
                Cow::Borrowed(bytes) => outbox.push_static(bytes),
                Cow::Owned(bytes) => outbox.push_http(&bytes),
            }
        }
        self.list(id);
    }

    /// What a connection over a limit is sent before it is dropped.
    pub fn refusal_of_a_connection(&self, now: Now) -> Vec<u8> {
        let framing = Framing::of_refusal(now.unix, now.monotonic);
        let response = Refusal::UNAVAILABLE.response(false);
        let mut bytes = Vec::new();
        response.encode_head(framing, &mut bytes);
        bytes.extend_from_slice(&response.body);
        bytes
    }

    /// Refuses a request after which nothing can be read, and closes.
    pub(super) fn refuse(&mut self, id: ConnectionId, refusal: Refusal, now: Now) {
        let framing = Framing::of_refusal(now.unix, now.monotonic);
        self.respond(id, refusal.response(false), framing);
        self.linger(id, now);
    }

    /// The connection speaks WebSocket from here on. A refused identity is told by a close frame, since a browser shows
    /// a page nothing else.
    fn open_websocket(
        &mut self,
        id: ConnectionId,
        request: &Request,
        endpoint: Endpoint,
        now: Now,
    ) {
        let connection = &mut self.connections[id.index()];
        let Phase::Http(http) = &mut connection.phase else {
            return;
        };
        let rest = http.take_rest();
        let is_echo = endpoint == Endpoint::Echo;
        let websocket = WebSocket {
            is_echo,
            ..WebSocket::default()
        };
        self.set_phase(id, Phase::WebSocket(websocket));
        let connection = &mut self.connections[id.index()];
        self.deadlines
            .set(id, connection, now.monotonic + PING_AFTER);
        if self.is_draining {
            return self.close_websocket(id, CloseCode::GOING_AWAY, now);
        }
        if !is_allowed_origin(&self.config, request) {
            return self.close_websocket(id, CloseCode::FORBIDDEN_ORIGIN, now);
        }
        if !is_echo {
            match self.identify(request, now) {
                Ok(Peer::Guest(name)) => self.rooms.enter(id, &name, None, &mut self.effects),
                Ok(Peer::Member(identity)) => self.enter_member(id, identity, now),
                Err(code) => return self.close_websocket(id, code, now),
            }
            self.settle(now);
        }
        if !rest.is_empty() {
            self.receive_messages(id, &rest, now);
        }
    }

    /// Who may come in. A ticket that is shown is judged even when a name stands beside it: a page whose ticket expired
    /// must not become a guest in silence.
    fn identify(&mut self, request: &Request, now: Now) -> Result<Peer, CloseCode> {
        let parameter = |name| {
            request
                .parameter(name)
                .map_err(|_| CloseCode::INVALID_TICKET)
        };
        if let Some(ticket) = parameter("ticket")? {
            return match self.auth.redeem(&ticket, now) {
                Ok(identity) => Ok(Peer::Member(identity)),
                Err(BadTicket::TokenExpired) => Err(CloseCode::TOKEN_EXPIRED),
                Err(BadTicket::Unknown) => Err(CloseCode::INVALID_TICKET),
            };
        }
        let name = parameter("username")?.ok_or(CloseCode::INVALID_TICKET)?;
        let is_free =
            is_valid_username(&name) && !self.auth.has_account(&name) && !self.has_member(&name);
        match self.config.takes_guests() && is_free {
            true => Ok(Peer::Guest(name)),
            false => Err(CloseCode::INVALID_TICKET),
        }
    }

    /// Whether somebody of this name is here who has signed in. Guests give way to members, and are refused beside
    /// them, so the first connection of a name tells for all: however many a user has, one more costs no look at them.
    fn has_member(&self, name: &str) -> bool {
        let people = self.rooms.people();
        let first = people
            .find(name)
            .and_then(|user| people.connections(user).first());
        first.is_some_and(|id| self.auth.sessions.of(*id).is_some())
    }

    /// Closes the guests of this name.
    pub(super) fn close_guests(&mut self, name: &str, now: Now) {
        if self.has_member(name) {
            return;
        }
        let people = self.rooms.people();
        let guests = people
            .find(name)
            .map(|user| people.connections(user).to_vec());
        for id in guests.unwrap_or_default() {
            debug_assert!(self.auth.sessions.of(id).is_none());
            self.close_websocket(id, CloseCode::INVALID_TICKET, now);
        }
    }

    /// A member enters. A guest who carries the name gives way, or they would be one user.
    fn enter_member(&mut self, id: ConnectionId, identity: Identity, now: Now) {
        self.close_guests(&identity.username, now);
        let expires_at = Some(Timestamp::from_secs(identity.expires_at));
        self.rooms
            .enter(id, &identity.username, expires_at, &mut self.effects);
        self.auth.sessions.open(id, identity, now);
    }
}
