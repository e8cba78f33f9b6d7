//! Serves what comes over HTTP, one request after the other, and opens WebSockets.

use std::borrow::Cow;

use super::Server;
use super::routes::{Answer, Endpoint, answer, is_allowed_origin};
use crate::config::{
    BODY_TIMEOUT, HEAD_TIMEOUT, KEEP_ALIVE_TIMEOUT, OUTBOX_HIGH_WATER_BYTES, PING_AFTER,
};
use crate::conn::Phase;
use crate::conn::http::{Awaited, Step};
use crate::conn::refusal::Refusal;
use crate::conn::websocket::WebSocket;
use crate::domain::people::is_valid_username;
use crate::domain::{ConnectionId, Now};
use crate::wire::http::{Method, Request};
use crate::wire::response::{Framing, Response};
use crate::wire::websocket::CloseCode;

/// The demo account, whose name no guest may carry.
const DEMO_ACCOUNT: &str = "admin";

impl Server {
    /// Serves the requests that have come, as far as there is room for their responses.
    pub(super) fn serve_requests(&mut self, id: ConnectionId, now: Now) {
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
                Awaited::Request => KEEP_ALIVE_TIMEOUT,
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
        match answer(&self.config, &mut self.rooms, &mut request, now) {
            Answer::Response(response) => {
                let keep_alive = request.keep_alive && !self.is_draining;
                let is_head = request.method == Method::Head;
                let framing = Framing {
                    is_head,
                    keep_alive,
                    is_http11: request.is_http11,
                    unix: now.unix,
                };
                self.respond(id, response, framing);
                if !keep_alive {
                    self.linger(id, now);
                }
            }
            Answer::WebSocket(response, endpoint) => {
                let framing = Framing {
                    is_head: false,
                    keep_alive: true,
                    is_http11: true,
                    unix: now.unix,
                };
                self.respond(id, response, framing);
                self.open_websocket(id, &request, endpoint, now);
            }
        }
        self.settle(now);
    }

    fn respond(&mut self, id: ConnectionId, response: Response, framing: Framing) {
        let outbox = self.connections[id.index()].outbox();
        self.frame.clear();
        response.encode_head(framing, &mut self.frame);
        outbox.push_http(&self.frame);
        match response.body {
            _ if framing.is_head => {}
            Cow::Borrowed(bytes) => outbox.push_static(bytes),
            Cow::Owned(bytes) => {
                self.replied_bytes += bytes.len();
                outbox.push_http(&bytes);
            }
        }
        self.list(id);
    }

    /// Refuses a request after which nothing can be read, and closes.
    pub(super) fn refuse(&mut self, id: ConnectionId, refusal: Refusal, now: Now) {
        let framing = Framing {
            is_head: false,
            keep_alive: false,
            is_http11: true,
            unix: now.unix,
        };
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
        connection.phase = Phase::WebSocket(WebSocket {
            is_echo,
            ..WebSocket::default()
        });
        self.deadlines
            .set(id, connection, now.monotonic + PING_AFTER);
        if !is_allowed_origin(&self.config, request) {
            return self.close_websocket(id, CloseCode::FORBIDDEN_ORIGIN, now);
        }
        if !is_echo {
            match self.identify(request) {
                Some(username) => self.rooms.enter(id, &username, &mut self.effects),
                None => return self.close_websocket(id, CloseCode::INVALID_TICKET, now),
            }
            self.settle(now);
        }
        if !rest.is_empty() {
            self.receive_messages(id, &rest, now);
        }
    }

    /// The name of whoever may come in. Nobody has issued a ticket yet, and one that is shown is judged even when a name
    /// stands beside it: a page whose ticket expired must not become a guest in silence.
    fn identify(&self, request: &Request) -> Option<String> {
        if request.parameter("ticket").ok()?.is_some() {
            return None;
        }
        let name = request.parameter("username").ok()??;
        (self.config.guests && is_valid_username(&name) && name != DEMO_ACCOUNT).then_some(name)
    }
}
