//! Serves HTTP requests, one at a time and in order (RFC 9112 section 9.3.2).

use std::borrow::Cow;

use super::Server;
use super::answer::{Answer, Context, Exchange, Redeemed, text_response};
use super::dispatch::answer;
use super::event_requests::series;
use super::jobs::{Job, Ticket};
use super::routes::body_bytes_max;
use super::waiting::{Waiting, What};
use crate::config::{
    ACT_PATIENCE, ANSWER_STALL_TIMEOUT, BACKEND_PATIENCE, BODY_TIMEOUT, HEAD_TIMEOUT,
    LOGIN_PATIENCE, OUTBOX_HIGH_WATER_BYTES,
};
use crate::conn::http::{Awaited, Http, Step, Wait};
use crate::conn::input::Input;
use crate::conn::refusal::Refusal;
use crate::conn::{Mark, Phase};
use crate::domain::error::ErrorCode;
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::owners::Creator;
use crate::domain::time::Now;
use crate::wire::forwarded::Proxy;
use crate::wire::http::{Method, Request};
use crate::wire::partial_head::PartialHead;
use crate::wire::proxy_header;
use crate::wire::response::{HttpDate, Response};

/// The Prometheus text format.
const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Server {
    /// Serves the requests in these bytes and in earlier unread ones, while the outbox is below its high-water mark, and
    /// as many as this turn has time for; the rest waits for the next turn.
    pub(super) fn serve_requests(&mut self, id: ConnectionId, bytes: &[u8], now: Now) {
        let Phase::Http(http) = &mut self.connections[id].phase else {
            return;
        };
        let mut input = http.receive(bytes);
        self.take_requests(id, &mut input, now);
        match &mut self.connections[id].phase {
            Phase::Http(http) => http.keep(input),
            // Bytes behind an upgrade belong to the new protocol.
            _ => self.receive_behind_upgrade(id, input.rest(), now),
        }
        self.connections[id].charge_received(self.connections.ledger());
    }

    /// Handles bytes received behind the request that opened a WebSocket.
    pub(super) fn receive_behind_upgrade(&mut self, id: ConnectionId, bytes: &[u8], now: Now) {
        if !bytes.is_empty() {
            self.receive(id, &mut bytes.to_vec(), now);
        }
    }

    fn take_requests(&mut self, id: ConnectionId, input: &mut Input<'_>, now: Now) {
        let mut proxy_address = self.connections.proxy(id, &self.config);
        let mut served = 0;
        loop {
            let has_to_yield = self.is_share_used(served) && !input.rest().is_empty();
            let connection = &mut self.connections[id];
            if connection.queued_bytes() > OUTBOX_HIGH_WATER_BYTES {
                connection.set(Mark::Paused, true);
                return;
            }
            let Phase::Http(http) = &mut connection.phase else {
                return;
            };
            if has_to_yield && http.job.is_none() {
                return self.serve_requests_next_turn(id, now);
            }
            let proxy = proxy_address.map(|address| Proxy {
                address,
                trusted: &self.config.trusted_proxies,
            });
            match http.step(input, proxy, |request| {
                body_bytes_max(&self.config, request)
            }) {
                Step::Wait => return self.await_request(id, now),
                Step::Proxied(source) => {
                    let is_admitted = self.begin_proxied(id, source, input, now);
                    if !is_admitted || input.rest().is_empty() {
                        return;
                    }
                    proxy_address = self.connections.proxy(id, &self.config);
                }
                Step::RefuseProxyHeader(reason) => {
                    return self.refuse_proxy_header(id, reason, now);
                }
                Step::Begin(forwarding) => {
                    let is_refused = self.begin_forwarded(id, forwarding, input, now);
                    served += usize::from(is_refused);
                }
                Step::Continue => {
                    connection
                        .outbox()
                        .push_http(b"HTTP/1.1 100 Continue\r\n\r\n");
                    self.connections.list(id);
                }
                Step::Serve(request) => {
                    served += 1;
                    self.serve(id, *request, None, now);
                }
                Step::Refuse(refusal, request) => {
                    let exchange = Exchange::of(&self.config, &request, true, now);
                    self.refuse(id, refusal, exchange, now);
                }
                Step::RefuseHead(refusal, head) => {
                    let exchange = Exchange::of_partial(&self.config, &head, now);
                    self.refuse(id, refusal, exchange, now);
                }
            }
        }
    }

    fn serve_requests_next_turn(&mut self, id: ConnectionId, now: Now) {
        // Nothing is awaited of the peer until then.
        self.connections
            .set_deadline(id, now.monotonic + ANSWER_STALL_TIMEOUT);
        self.serve_next_turn(id);
    }

    fn await_request(&mut self, id: ConnectionId, now: Now) {
        let Phase::Http(http) = &mut self.connections[id].phase else {
            return;
        };
        let awaited = http.awaits();
        let timeout = match awaited {
            // Its deadline runs from the start of the connection.
            Awaited::ProxyHeader => return,
            Awaited::Job(wait) => wait.patience,
            // By then the client must have taken some of the response.
            Awaited::Request => {
                let keep_alive = self.config.keep_alive;
                keep_alive.map_or(ANSWER_STALL_TIMEOUT, |time| time.min(ANSWER_STALL_TIMEOUT))
            }
            Awaited::Head => HEAD_TIMEOUT,
            Awaited::Body => BODY_TIMEOUT,
        };
        // The deadline runs from the start of what is awaited: single bytes do not extend it.
        if http.deadline_for.replace(awaited) != Some(awaited) {
            self.connections.set_deadline(id, now.monotonic + timeout);
        }
    }

    /// Answers a request. `redeemed` is the result of its ticket if a job redeemed it.
    pub(super) fn serve(
        &mut self,
        id: ConnectionId,
        mut request: Request,
        redeemed: Option<Redeemed>,
        now: Now,
    ) {
        if let Phase::Http(http) = &mut self.connections[id].phase {
            http.deadline_for = None;
        }
        let exchange = Exchange::of(&self.config, &request, self.is_stopping(), now);
        let context = &mut Context {
            config: &self.config,
            is_unix: self.connections.is_unix(id),
            rooms: self.chat.rooms(),
            redeems_later: self.chat.backend().redeems_tickets(),
            is_shared: self.chat.backend().node().is_some(),
            auth: self.sign_ins.auth_mut(),
            redeemed,
            now,
        };
        let answer = answer(context, &mut request);
        let redeemed = context.redeemed.take();
        match answer {
            Err(refusal) => self.respond_and_go_on(id, &exchange, Err(refusal), now),
            Ok(Answer::Response(response)) => {
                self.respond_and_go_on(id, &exchange, Ok(response), now);
            }
            Ok(Answer::WebSocket(response, endpoint)) => {
                let request = Box::new(request);
                self.complete_handshake(id, exchange, response, (request, endpoint), redeemed, now);
            }
            Ok(answer) => self.carry_out_answer(id, answer, exchange, request, now),
        }
        self.settle(now);
    }

    /// Carries out answers that need more than a [`Context`].
    fn carry_out_answer(
        &mut self,
        id: ConnectionId,
        answer: Answer,
        exchange: Exchange,
        request: Request,
        now: Now,
    ) {
        let result = match answer {
            Answer::Login(attempt) => return self.start_login(id, attempt, exchange, now),
            Answer::CreateRoom {
                user,
                name,
                max_users,
            } => {
                let creator = Creator::new(user, self.connections.address(id));
                return self.create_room(id, creator, (&name, max_users), exchange, now);
            }
            Answer::Redeem(ticket) => {
                return self.redeem_later(id, ticket, exchange, Box::new(request), now);
            }
            Answer::KeepTicket(ticket, identity) => {
                return self.keep_ticket(id, (ticket, &identity), exchange, now);
            }
            Answer::RoomList(page, of) => {
                return self.list_for_request(id, exchange, (page, of), now);
            }
            Answer::ReadRoom(name) => {
                return self.open_to_read(id, &name, exchange, Box::new(request), now);
            }
            Answer::Act(act, caller) => {
                return self.act_for_request(id, (&caller, act), exchange, now);
            }
            Answer::EventStream(response, subscription) => match self.select(&subscription) {
                Ok(selection) if request.method != Method::Head => {
                    let stream = (response, selection, subscription);
                    return self.begin_event_stream(id, exchange, stream, now);
                }
                selected => selected.map(|_| response),
            },
            Answer::Logout(identity) => return self.log_out_for(id, &identity, exchange, now),
            Answer::Figures(figures) => {
                let active_users = self.active_users();
                match self.streams.post(figures, active_users, now) {
                    Ok(draft) => return self.tell_posted(id, draft, exchange, now),
                    Err(_) => Err(Refusal::TOO_MANY_FIGURES),
                }
            }
            Answer::Tell(channel, data) => match self.streams.tell(&channel, &data) {
                Some(draft) => return self.tell_posted(id, draft, exchange, now),
                None => Err(Refusal::TOO_MANY_CHANNELS),
            },
            Answer::Series => Ok(series(self.streams.series())),
            Answer::Exposition => {
                let page = self.exposition(now).into_bytes();
                let response = Response::with(200, EXPOSITION_TYPE, page);
                Ok(response.field("Cache-Control", "no-store"))
            }
            Answer::Readiness if self.is_stopping() => Ok(text_response(503, "draining\n")),
            Answer::Readiness if self.is_engine_down() => {
                Ok(text_response(503, "engine unavailable\n"))
            }
            Answer::Readiness if self.is_storage_down() => {
                Ok(text_response(503, "storage unavailable\n"))
            }
            Answer::Readiness => Ok(text_response(200, "ready\n")),
            Answer::Response(response) | Answer::WebSocket(response, _) => Ok(response),
        };
        self.respond_and_go_on(id, &exchange, result, now);
    }

    /// Responds, and closes the connection unless it is kept alive.
    pub(super) fn respond_and_go_on(
        &mut self,
        id: ConnectionId,
        exchange: &Exchange,
        answer: Result<Response, Refusal>,
        now: Now,
    ) {
        // The response to HEAD for an event stream says that the connection closes, so it does.
        let is_stream = answer.as_ref().is_ok_and(|response| response.is_stream);
        self.respond(id, exchange, answer);
        if !exchange.framing.keep_alive || is_stream {
            self.linger(id, now);
        }
    }

    /// The one way in which responses leave.
    pub(super) fn respond(
        &mut self,
        id: ConnectionId,
        exchange: &Exchange,
        answer: Result<Response, Refusal>,
    ) {
        let response = exchange.complete(answer);
        let framing = exchange.framing;
        self.counters.respond(response.status, framing.since);
        self.frame.clear();
        response.encode_head(framing, &mut self.date, &mut self.frame);
        let outbox = self.connections[id].outbox();
        outbox.push_http(&self.frame);
        let mut length = self.frame.len();
        if !framing.is_head {
            length += response.body.len();
            match response.body {
                Cow::Borrowed(bytes) => outbox.push_static(bytes),
                Cow::Owned(bytes) => outbox.push_http(&bytes),
            }
        }
        self.connections.replied_bytes += length;
        self.connections.list(id);
    }

    /// The response to a connection refused at a limit: 503. `received` is what there is of its request already.
    pub fn refusal_of_a_connection(&self, received: &[u8], now: Now) -> Vec<u8> {
        // Whom the header is from does not matter for this.
        let received = match self.config.proxy_protocol {
            true => proxy_header::skip(received),
            false => received,
        };
        let exchange = Exchange::of_partial(&self.config, &PartialHead::read(received), now);
        let response = exchange.complete(Err(Refusal::UNAVAILABLE));
        let mut bytes = Vec::new();
        response.encode_head(exchange.framing, &mut HttpDate::default(), &mut bytes);
        if !exchange.framing.is_head {
            bytes.extend_from_slice(&response.body);
        }
        bytes
    }

    /// Refuses input that leaves the connection unreadable, and closes.
    pub(super) fn refuse(
        &mut self,
        id: ConnectionId,
        refusal: Refusal,
        mut exchange: Exchange,
        now: Now,
    ) {
        exchange.framing.keep_alive = false;
        self.respond(id, &exchange, Err(refusal));
        self.linger(id, now);
    }

    /// What is known of the request whose response is next.
    fn unanswered(&self, http: &Http, now: Now) -> Exchange {
        let waiting = match http.awaits() {
            Awaited::Job(wait) => self.waiting.exchange(wait.serial),
            _ => None,
        };
        match (waiting, http.unfinished_request()) {
            (Some(exchange), _) => exchange.clone(),
            (None, Some(request)) => Exchange::of(&self.config, request, true, now),
            (None, None) => Exchange::of_partial(&self.config, &http.partial_head(), now),
        }
    }

    /// Refuses a request that has not arrived whole, or of which too much is buffered, and closes.
    pub(super) fn refuse_unfinished(&mut self, id: ConnectionId, refusal: Refusal, now: Now) {
        let Phase::Http(http) = &self.connections[id].phase else {
            return;
        };
        let exchange = self.unanswered(http, now);
        self.refuse(id, refusal, exchange, now);
    }

    /// Makes the connection wait for the job with this serial: later requests are not served before its answer.
    pub(super) fn wait_for(
        &mut self,
        serial: Serial,
        connection: ConnectionId,
        exchange: Exchange,
        what: What,
    ) {
        let patience = match &what {
            What::Password(_) => LOGIN_PATIENCE,
            What::Act => ACT_PATIENCE,
            _ => BACKEND_PATIENCE,
        };
        if let Phase::Http(http) = &mut self.connections[connection].phase {
            http.job = Some(Wait { serial, patience });
        }
        let waiting = Waiting {
            connection,
            exchange,
            what,
        };
        self.waiting.insert(serial, waiting);
    }

    /// Answers a request if its connection still waits for it, and resumes the connection.
    pub(super) fn answer_waiting(
        &mut self,
        serial: Serial,
        waiting: &Waiting,
        answer: Result<Response, Refusal>,
        now: Now,
    ) {
        if self.stop_waiting(waiting.connection, serial) {
            self.respond_and_go_on(waiting.connection, &waiting.exchange, answer, now);
        }
    }

    /// Ends a connection's wait for this serial; returns whether it was still waiting.
    pub(super) fn stop_waiting(&mut self, id: ConnectionId, serial: Serial) -> bool {
        if !self.connections.awaits(id, serial) {
            return false;
        }
        if let Phase::Http(http) = &mut self.connections[id].phase {
            http.job = None;
        }
        self.connections.resume(id);
        true
    }

    /// Has a ticket redeemed where all nodes keep theirs.
    pub(super) fn redeem_by_job(&mut self, ticket: String, now: Now) -> Serial {
        let at_engine = self.redeem_at_engine(&ticket, now);
        at_engine.unwrap_or_else(|| self.jobs.push(Job::RedeemTicket(Ticket(ticket))))
    }

    fn redeem_later(
        &mut self,
        id: ConnectionId,
        ticket: String,
        exchange: Exchange,
        request: Box<Request>,
        now: Now,
    ) {
        let serial = self.redeem_by_job(ticket, now);
        self.wait_for(serial, id, exchange, What::Ticket(request));
    }

    /// The job took too long: refuses the request (503), and closes the connection.
    pub(super) fn give_up_waiting(&mut self, id: ConnectionId, wait: Wait, now: Now) {
        let Some(mut waiting) = self.waiting.take(wait.serial) else {
            let exchange = Exchange::of_partial(&self.config, &PartialHead::default(), now);
            return self.refuse(id, Refusal::UNAVAILABLE, exchange, now);
        };
        waiting.exchange.framing.keep_alive = false;
        let refusal = match &waiting.what {
            What::Password(_) => Refusal::UNAVAILABLE,
            _ => ErrorCode::BackendUnavailable.into(),
        };
        self.respond_and_go_on(id, &waiting.exchange, Err(refusal), now);
        self.waiting.insert(wait.serial, waiting);
        self.abandon(wait.serial, now);
    }

    /// The ticket of a request was redeemed by a job: serves the request.
    pub(super) fn answer_with_ticket(
        &mut self,
        serial: Serial,
        waiting: Waiting,
        redeemed: Option<Redeemed>,
        now: Now,
    ) {
        let Waiting {
            connection,
            exchange,
            what: What::Ticket(request),
        } = waiting
        else {
            return;
        };
        if !self.stop_waiting(connection, serial) {
            return;
        }
        match redeemed {
            Some(redeemed) => self.serve(connection, *request, Some(redeemed), now),
            None => {
                let refusal: Refusal = ErrorCode::BackendUnavailable.into();
                self.respond_and_go_on(connection, &exchange, Err(refusal), now);
            }
        }
    }
}
