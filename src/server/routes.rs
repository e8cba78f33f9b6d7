//! What each request target answers (SPEC section 2).

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::assets::{self, AssetId};
use super::events::{self, Subscription};
use super::sign_in::{self, Attempt};
use crate::config::Config;
use crate::conn::refusal::Refusal;
use crate::domain::auth::Auth;
use crate::domain::error::ErrorCode;
use crate::domain::event::{Event, RoomInfo};
use crate::domain::event_log::Channel;
use crate::domain::position::Position;
use crate::domain::rooms::RoomManager;
use crate::domain::time::Now;
use crate::domain::tokens::Identity;
use crate::wire::http::{Method, Request, Upgrade};
use crate::wire::response::Response;
use crate::wire::websocket::accept_value;

/// What becomes of a request.
#[derive(Debug)]
pub enum Answer {
    /// A response.
    Response(Response),
    /// A WebSocket, after the response.
    WebSocket(Response, Endpoint),
    /// A password is to be checked first.
    Login(Attempt),
    /// The session of a token ends.
    Logout(Identity),
    /// An event stream, after the response.
    EventStream(Response, Subscription),
    /// Figures of a back end are to be told.
    Figures(Map<String, Value>),
    /// The server's own metrics.
    Exposition,
    /// Whether more requests are welcome.
    Readiness,
}

/// What an answer may depend on.
#[derive(Debug)]
pub struct Context<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The rooms.
    pub rooms: &'a mut RoomManager,
    /// Who is who.
    pub auth: &'a mut Auth,
    /// When it is.
    pub now: Now,
}

/// What a WebSocket is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/ws`: rooms.
    Chat,
    /// `/ws-echo`.
    Echo,
}

#[derive(Clone, Copy)]
enum SignIn {
    Login,
    Refresh,
    Ticket,
    Logout,
}

#[derive(Clone, Copy)]
enum Resource<'r> {
    Asset(AssetId),
    Rooms,
    Room(&'r str),
    History(&'r str),
    WebSocket(Endpoint),
    HttpEcho,
    /// `/auth`: what the entry page may offer.
    Entry,
    SignIn(SignIn),
    EventStream(Channel),
    Figures,
    Exposition,
    Liveness,
    Readiness,
    /// `OPTIONS *`.
    Server,
}

impl<'r> Resource<'r> {
    fn find(config: &Config, request: &'r Request) -> Option<Self> {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        Some(match *path {
            [] if request.method == Method::Options => Self::Server,
            ["rooms"] => Self::Rooms,
            ["rooms", name] => Self::Room(name),
            ["rooms", name, "history"] => Self::History(name),
            ["sse", name] => Self::EventStream(Channel::find(name)?),
            ["events", "business"] => Self::Figures,
            ["metrics"] => Self::Exposition,
            ["livez"] => Self::Liveness,
            ["readyz"] => Self::Readiness,
            ["auth"] => Self::Entry,
            ["auth", "login"] => Self::SignIn(SignIn::Login),
            ["auth", "refresh"] => Self::SignIn(SignIn::Refresh),
            ["auth", "ws-ticket"] => Self::SignIn(SignIn::Ticket),
            ["auth", "logout"] => Self::SignIn(SignIn::Logout),
            ["ws"] => Self::WebSocket(Endpoint::Chat),
            ["ws-echo"] if config.echo => Self::WebSocket(Endpoint::Echo),
            ["http-echo"] if config.echo => Self::HttpEcho,
            _ => Self::Asset(assets::find(&path)?),
        })
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Rooms | Self::Server => "GET, HEAD, POST, OPTIONS",
            Self::HttpEcho | Self::SignIn(_) | Self::Figures => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    fn allows(self, method: Method) -> bool {
        match method {
            Method::Options => true,
            Method::Get | Method::Head => !matches!(
                self,
                Self::HttpEcho | Self::SignIn(_) | Self::Figures | Self::Server
            ),
            Method::Post => matches!(
                self,
                Self::Rooms | Self::HttpEcho | Self::SignIn(_) | Self::Figures
            ),
            _ => false,
        }
    }

    /// Whether it is for those who have signed in, where accounts are configured.
    fn is_private(self, config: &Config) -> bool {
        match self {
            Self::Rooms | Self::Room(_) | Self::History(_) | Self::Figures => !config.is_demo(),
            Self::EventStream(_) | Self::Exposition => {
                !config.is_demo() && !config.public_dashboard
            }
            _ => false,
        }
    }
}

/// Answers a request whose body has come.
pub fn answer(context: &mut Context<'_>, request: &mut Request) -> Answer {
    let answer = route(context, request);
    let answer = answer
        .unwrap_or_else(|refusal| Answer::Response(refusal.response(request.prefers_english())));
    match answer {
        Answer::Response(response) => {
            Answer::Response(with_cors(context.config, request, response))
        }
        Answer::EventStream(response, subscription) => {
            Answer::EventStream(with_cors(context.config, request, response), subscription)
        }
        other => other,
    }
}

fn route(context: &mut Context<'_>, request: &mut Request) -> Result<Answer, Refusal> {
    let resource =
        Resource::find(context.config, request).ok_or(Refusal::from(ErrorCode::NotFound))?;
    if !resource.allows(request.method) {
        let response =
            Refusal::from(ErrorCode::MethodNotAllowed).response(request.prefers_english());
        return Ok(Answer::Response(response.field("Allow", resource.allow())));
    }
    if request.method == Method::Options {
        return Ok(Answer::Response(preflight(
            context.config,
            request,
            resource,
        )));
    }
    let identity = match resource.is_private(context.config) {
        true => Some(sign_in::authorize(context, request)?),
        false => None,
    };
    let response = match resource {
        Resource::WebSocket(endpoint) => return upgrade(request, endpoint),
        Resource::SignIn(SignIn::Login) => return sign_in::login(context, request),
        Resource::SignIn(SignIn::Refresh) => return sign_in::refresh(context, request),
        Resource::SignIn(SignIn::Ticket) => return sign_in::ticket(context, request),
        Resource::SignIn(SignIn::Logout) => return sign_in::logout(context, request),
        Resource::Entry => {
            let (guests, demo) = (context.config.takes_guests(), context.config.is_demo());
            json_response(200, &json!({"guests": guests, "demo": demo}))
        }
        Resource::EventStream(channel) => return events::subscribe(request, channel, identity),
        Resource::Figures => return events::posted(context, request),
        Resource::Exposition => return Ok(Answer::Exposition),
        Resource::Readiness => return Ok(Answer::Readiness),
        Resource::Liveness => text_response(200, "ok\n"),
        Resource::Asset(asset) => assets::response(asset, request),
        Resource::Rooms if request.method == Method::Post => create_room(context, request)?,
        Resource::Rooms => json_response(
            200,
            &RoomList {
                rooms: context.rooms.list(),
            },
        ),
        Resource::Room(name) => room(context.rooms, name)?,
        Resource::History(name) => history(context.rooms, name, request)?,
        Resource::HttpEcho | Resource::Server => echo(request)?,
    };
    Ok(Answer::Response(response))
}

/// Text that nobody may keep.
pub(super) fn text_response(status: u16, text: &'static str) -> Response {
    Response::with(status, "text/plain; charset=utf-8", text.as_bytes())
        .field("Cache-Control", "no-store")
        .field("X-Content-Type-Options", "nosniff")
}

/// JSON that nobody may keep.
pub(super) fn json_response(status: u16, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("writing our own values into memory cannot fail");
    Response::with(status, "application/json; charset=utf-8", body)
        .field("Cache-Control", "no-store")
        .field("X-Content-Type-Options", "nosniff")
}

/// Written as it is: with a tree of values in between a long list takes twice as long.
#[derive(Serialize)]
struct RoomList {
    rooms: Vec<RoomInfo>,
}

/// The same.
#[derive(Serialize)]
struct History<'a> {
    room: &'a str,
    messages: Vec<Event>,
    position: Position,
    recovered: bool,
}

#[derive(Deserialize)]
struct NewRoom {
    name: String,
    max_users: Option<u32>,
}

/// A change that a browser asks for must come from a page that may.
pub(super) fn check_origin(config: &Config, request: &Request) -> Result<(), Refusal> {
    if is_allowed_origin(config, request) {
        Ok(())
    } else {
        Err(Refusal::from(ErrorCode::ForbiddenOrigin))
    }
}

/// The body must be a JSON object. A form could be sent from any page without a preflight; JSON cannot (Fetch standard,
/// CORS-safelisted types).
pub(super) fn check_json(request: &Request) -> Result<(), Refusal> {
    if let Some(content_type) = &request.fields.content_type {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Refusal::from(ErrorCode::UnsupportedMediaType));
        }
    }
    if request.content_length.is_none() {
        return Err(Refusal::from(ErrorCode::LengthRequired));
    }
    // Derived code would read an array as the fields in order.
    let is_array = request.body.trim_ascii_start().starts_with(b"[");
    if is_array && serde_json::from_slice::<IgnoredAny>(&request.body).is_ok() {
        return Err(ErrorCode::BadRequest.into());
    }
    Ok(())
}

fn create_room(context: &mut Context<'_>, request: &Request) -> Result<Response, Refusal> {
    check_origin(context.config, request)?;
    check_json(request)?;
    let new: NewRoom =
        serde_json::from_slice(&request.body).map_err(|error| match error.is_data() {
            true => ErrorCode::BadRequest,
            false => ErrorCode::BadJson,
        })?;
    let info = context
        .rooms
        .create_room(&new.name, new.max_users, context.now)?;
    let location = format!(
        "/rooms/{}",
        utf8_percent_encode(&info.name, NON_ALPHANUMERIC)
    );
    Ok(json_response(201, &info).field("Location", location))
}

fn room(rooms: &RoomManager, name: &str) -> Result<Response, Refusal> {
    let (info, online_users) = rooms.get_room_info(name)?;
    let mut value = json!(info);
    value["online_users"] = json!(online_users);
    value["online_count"] = json!(info.users);
    Ok(json_response(200, &value))
}

fn history(rooms: &RoomManager, name: &str, request: &Request) -> Result<Response, Refusal> {
    let room = rooms.find(name)?;
    let since = request
        .parameter("since")?
        .and_then(|since| Position::parse(&since));
    let missed = since.and_then(|since| room.history.after(since));
    let recovered = missed.is_some();
    let messages = match missed {
        Some(messages) => messages.cloned().map(Event::Chat).collect(),
        None => room.recent(),
    };
    let position = room.history.position();
    Ok(json_response(
        200,
        &History {
            room: &room.name,
            messages,
            position,
            recovered,
        },
    ))
}

fn echo(request: &mut Request) -> Result<Response, Refusal> {
    if request.content_length.is_none() {
        return Err(Refusal::from(ErrorCode::LengthRequired));
    }
    let body = std::mem::take(&mut *request.body);
    Ok(Response::with(200, "application/octet-stream", body)
        .field("X-Content-Type-Options", "nosniff"))
}

/// The answer to an opening handshake (RFC 6455 section 4.2.2).
fn upgrade(request: &Request, endpoint: Endpoint) -> Result<Answer, Refusal> {
    match &request.upgrade {
        Upgrade::None | Upgrade::UnsupportedVersion => {
            let response =
                Refusal::from(ErrorCode::UpgradeRequired).response(request.prefers_english());
            let response = response
                .field("Upgrade", "websocket")
                .field("Connection", "Upgrade");
            Ok(Answer::Response(
                response.field("Sec-WebSocket-Version", "13"),
            ))
        }
        Upgrade::Malformed => Err(Refusal::BAD_HANDSHAKE),
        Upgrade::WebSocket { key } => {
            let response = Response::empty(101)
                .field("Upgrade", "websocket")
                .field("Connection", "Upgrade")
                .field("Sec-WebSocket-Accept", accept_value(key));
            Ok(Answer::WebSocket(response, endpoint))
        }
    }
}

/// Whether a browser on this page may come: the page is ours, or its origin is allowed. Without an Origin it is no
/// browser.
pub fn is_allowed_origin(config: &Config, request: &Request) -> bool {
    let Some(origin) = request.fields.origin.as_deref() else {
        return true;
    };
    // Behind a proxy that ends TLS the scheme is not ours to know; the authority is.
    let is_ours = origin
        .split_once("://")
        .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(&request.host));
    is_ours || is_listed(config, origin)
}

fn is_listed(config: &Config, origin: &str) -> bool {
    config
        .allow_origins
        .iter()
        .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
}

/// What a browser may know before a cross-origin request (Fetch standard, CORS preflight).
fn preflight(config: &Config, request: &Request, resource: Resource<'_>) -> Response {
    let response = Response::empty(204).field("Allow", resource.allow());
    let is_listed = request
        .fields
        .origin
        .as_deref()
        .is_some_and(|origin| is_listed(config, origin));
    if !is_listed || request.fields.preflight_method.is_none() {
        return response;
    }
    response
        .field("Access-Control-Allow-Methods", resource.allow())
        .field(
            "Access-Control-Allow-Headers",
            "Authorization, Content-Type, Last-Event-ID",
        )
        .field("Access-Control-Max-Age", "600")
}

pub(super) fn with_cors(config: &Config, request: &Request, response: Response) -> Response {
    match listed_origin(config, request) {
        Some(origin) => response
            .field("Access-Control-Allow-Origin", origin.to_owned())
            .field("Vary", "Origin"),
        None => response,
    }
}

/// The origin of the page that asks, if it is another's and allowed.
pub(super) fn listed_origin<'r>(config: &Config, request: &'r Request) -> Option<&'r str> {
    request
        .fields
        .origin
        .as_deref()
        .filter(|origin| is_listed(config, origin))
}
