//! The answer to a request, and the fields of language and CORS that complete every response.

use std::rc::Rc;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use super::cors::{Cors, listing};
use super::sign_ins::Attempt;
use super::streams::Subscription;
use crate::config::Config;
use crate::conn::act::Act;
use crate::conn::refusal::Refusal;
use crate::domain::auth::{Auth, BadTicket};
use crate::domain::caller::Caller;
use crate::domain::error::ErrorCode;
use crate::domain::event::Page;
use crate::domain::permissions::Permissions;
use crate::domain::rooms::RoomManager;
use crate::domain::time::Now;
use crate::domain::tokens::Identity;
use crate::wire::http::{BodyLength, Method, Request};
use crate::wire::language::prefers_english;
use crate::wire::origin::PageOrigin;
use crate::wire::partial_head::PartialHead;
use crate::wire::response::{Framing, Response};

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// A response.
    Response(Response),
    /// A response, then a WebSocket, if the client is admitted.
    WebSocket(Response, Endpoint),
    /// A sign-in: the password must be checked by a job first.
    Login(Attempt),
    /// A sign-out: the session of the token ends.
    Logout(Identity),
    /// The creation of a room.
    CreateRoom {
        /// The user, or the key, if the request has a token.
        user: Option<Rc<str>>,
        /// Its name.
        name: String,
        /// Its limit of users; `None` is the default.
        max_users: Option<u32>,
    },
    /// What a moderator or a back end asks for.
    Act(Act, Caller),
    /// A response, then, unless the request is HEAD, an event stream.
    EventStream(Response, Subscription),
    /// Figures a back end has posted.
    Figures(Map<String, Value>),
    /// An event of a channel of one's own: its name and data.
    Tell(Box<str>, Map<String, Value>),
    /// The recent samples.
    Series,
    /// The server's own metrics.
    Exposition,
    /// Whether the server is ready, that is, not to stop.
    Readiness,
    /// A ticket that is to be kept for all nodes, and what it stands for.
    KeepTicket(String, Identity),
    /// A page of the list of the rooms of all nodes, of those that may be entered with these permissions.
    RoomList(Page, Rc<Permissions>),
    /// A room that may be at other nodes, by name: it is opened, then the request is served.
    ReadRoom(String),
    /// A ticket must be redeemed by a job first; then the request is served with the result.
    Redeem(String),
}

/// The content type of JSON.
pub const JSON_TYPE: &str = "application/json; charset=utf-8";

/// The endpoint of a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/ws`: rooms.
    Chat,
    /// `/ws-echo`.
    Echo,
}

/// The identity of a ticket, or why it is not valid.
pub type Redeemed = Result<Identity, BadTicket>;

/// What the handler of a route may use.
#[derive(Debug)]
pub struct Context<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Whether the request has come over a unix socket.
    pub is_unix: bool,
    /// The rooms.
    pub rooms: &'a RoomManager,
    /// Accounts, tokens and tickets.
    pub auth: &'a mut Auth,
    /// The result of the request's ticket, if a job has redeemed it.
    pub redeemed: Option<Redeemed>,
    /// Whether tickets are redeemed by a job.
    pub redeems_later: bool,
    /// Whether rooms and tickets are shared with other nodes.
    pub is_shared: bool,
    /// The current time.
    pub now: Now,
}

impl Context<'_> {
    /// Redeems a ticket, which uses it up; `None` if that needs a job ([`Answer::Redeem`]).
    pub fn redeem(&mut self, ticket: &str) -> Option<Redeemed> {
        match self.redeemed.take() {
            None if self.redeems_later => None,
            None => Some(self.auth.redeem(ticket, self.now)),
            redeemed => redeemed,
        }
    }
}

/// What a response needs to know of its request.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The framing of the response.
    pub framing: Framing,
    is_english: bool,
    cors: Cors,
}

impl Exchange {
    /// For a request whose head was parsed.
    pub fn of(config: &Config, request: &Request, is_stopping: bool, now: Now) -> Self {
        let framing = Framing {
            is_head: request.method == Method::Head,
            keep_alive: request.keep_alive && !is_stopping,
            is_http11: request.is_http11,
            unix: now.unix,
            since: now.monotonic,
        };
        let is_options = request.method == Method::Options;
        let origin = request.fields.origin.as_deref();
        Self {
            framing,
            is_english: request.prefers_english(),
            cors: Cors::of(config, origin, is_options),
        }
    }

    /// For a head that is refused or did not come whole: the connection closes.
    pub fn of_partial(config: &Config, head: &PartialHead, now: Now) -> Self {
        let languages = head.accept_language.as_deref().unwrap_or_default();
        Self {
            framing: Framing {
                is_head: head.is_head,
                ..Framing::of_refusal(now.unix, now.monotonic)
            },
            is_english: prefers_english(languages),
            cors: Cors::of(config, head.origin.as_deref(), false),
        }
    }

    /// Completes a response: a refusal in the client's language, the field that keeps a browser from guessing another
    /// content type than ours (Fetch standard, section 3.6), and the fields that let a page of an allowed origin read
    /// it (Fetch standard, CORS protocol).
    pub fn complete(&self, answer: Result<Response, Refusal>) -> Response {
        let response = answer.unwrap_or_else(|refusal| refusal.response(self.is_english));
        // A switch to WebSocket has no content.
        if response.status == 101 {
            return response;
        }
        let response = response.field("X-Content-Type-Options", "nosniff");
        self.cors.complete(response)
    }
}

/// A text response that must not be cached.
pub fn text_response(status: u16, text: &'static str) -> Response {
    Response::with(status, "text/plain; charset=utf-8", text.as_bytes())
        .field("Cache-Control", "no-store")
}

/// A JSON response that must not be cached.
pub fn json_response(status: u16, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("writing our own values into memory cannot fail");
    Response::with(status, JSON_TYPE, body).field("Cache-Control", "no-store")
}

/// Whether the request's Origin is ours or allowed. Without an Origin the client is no browser, and is allowed.
pub fn is_allowed_origin(config: &Config, request: &Request) -> bool {
    let Some(origin) = request.fields.origin.as_deref() else {
        return true;
    };
    let is_ours = PageOrigin::parse(origin).is_some_and(|origin| origin.is_at(&request.host));
    is_ours || listing(config, origin).is_some()
}

/// Refuses a request that changes something, if its Origin is neither ours nor allowed.
///
/// # Errors
/// 403 `forbidden_origin`.
pub fn check_origin(config: &Config, request: &Request) -> Result<(), Refusal> {
    if is_allowed_origin(config, request) {
        Ok(())
    } else {
        Err(ErrorCode::ForbiddenOrigin.into())
    }
}

/// Parses the body as JSON, which must be an object. Another content type is refused: a page of any origin can send a
/// form without a preflight, but not JSON (Fetch standard, CORS-safelisted types).
///
/// # Errors
/// 400, 411, 415.
pub fn read_json<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    check_json(request)?;
    serde_json::from_slice(&request.body).map_err(|error| match error.is_data() {
        true => ErrorCode::BadRequest.into(),
        false => ErrorCode::BadJson.into(),
    })
}

/// Checks that the body is JSON, and no array, as [`read_json`] does.
///
/// # Errors
/// 400, 411, 415.
pub fn check_json(request: &Request) -> Result<(), Refusal> {
    if let Some(content_type) = &request.fields.content_type {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(ErrorCode::UnsupportedMediaType.into());
        }
    }
    if request.body_length == BodyLength::None {
        return Err(ErrorCode::LengthRequired.into());
    }
    // A derived `Deserialize` also accepts an array of the fields in order.
    let is_array = request.body.trim_ascii_start().starts_with(b"[");
    if is_array && serde_json::from_slice::<IgnoredAny>(&request.body).is_ok() {
        return Err(ErrorCode::BadRequest.into());
    }
    Ok(())
}
