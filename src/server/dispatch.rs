//! Dispatches each request to the handler of its route.

use serde_json::json;

use super::answer::{Answer, Context, Endpoint, json_response, text_response};
use super::cors::preflight;
use super::hosts::is_served;
use super::routes::{Resource, find};
use super::{assets, audit, event_requests, moderation, rest, sign_in};
use crate::config::ROOMS_LISTED_MAX;
use crate::conn::refusal::Refusal;
use crate::domain::caller::Caller;
use crate::domain::error::ErrorCode;
use crate::domain::permissions::Permissions;
use crate::wire::http::{Method, Request, Upgrade};
use crate::wire::response::Response;
use crate::wire::websocket::accept_value;

/// Answers a request whose body is complete. This is the one way to every route, so the host is checked here.
///
/// # Errors
/// The refusal to send.
pub fn answer(context: &mut Context<'_>, request: &mut Request) -> Result<Answer, Refusal> {
    if !is_served(context.config, &request.host, context.is_unix) {
        return Err(ErrorCode::MisdirectedRequest.into());
    }
    let (route, resource) =
        find(context.config, request).ok_or(Refusal::from(ErrorCode::NotFound))?;
    if !route.allows(request.method) {
        return Err(Refusal::method_not_allowed(route.allow()));
    }
    if request.fields.is_encoded && request.body_length.may_have_content() {
        return Err(Refusal::ENCODED);
    }
    if request.method == Method::Options {
        let response = preflight(context.config, request, route.allow());
        return Ok(Answer::Response(response));
    }
    let caller = if route.is_private(context.config, request.method) {
        match sign_in::authorize(context, request, route.takes_ticket)? {
            sign_in::Authorized::Known(caller) => Some(caller),
            sign_in::Authorized::Redeem(ticket) => return Ok(Answer::Redeem(ticket)),
        }
    } else {
        None
    };
    if route.is_for_moderators(request.method) {
        sign_in::check_moderator(caller.as_ref())?;
        if let Some(caller) = &caller
            && let Some(act) = moderation::read(context, request, &resource, caller)?
        {
            return Ok(Answer::Act(act, caller.clone()));
        }
    }
    sign_in::check_ban(context, caller.as_ref())?;
    if matches!(resource, Resource::HttpEcho | Resource::Server) {
        return Ok(Answer::Response(rest::echo(request)?));
    }
    serve(context, request, resource, caller)
}

/// Answers a request that is authorized.
fn serve(
    context: &mut Context<'_>,
    request: &Request,
    resource: Resource<'_>,
    caller: Option<Caller>,
) -> Result<Answer, Refusal> {
    let permissions = caller
        .as_ref()
        .map_or_else(Permissions::usual, Caller::permissions);
    let response = match resource {
        Resource::WebSocket(endpoint) => return upgrade(request, endpoint),
        Resource::Login => return sign_in::login(context, request),
        Resource::Refresh => return sign_in::refresh(context, request),
        Resource::Ticket => return sign_in::ticket(context, request),
        Resource::Logout => return sign_in::logout(context, request),
        Resource::Entry => {
            let (guests, demo) = (context.config.takes_guests(), context.config.is_demo());
            let mut entry = json!({"guests": guests, "demo": demo});
            if let Some(lobby) = context.config.rooms.lobby() {
                entry["lobby"] = lobby.into();
            }
            json_response(200, &entry)
        }
        Resource::EventStream(channels) => {
            return event_requests::subscribe(request, channels, caller);
        }
        Resource::Audit => return audit::subscribe(request, caller),
        Resource::Figures => return event_requests::posted(context, request),
        Resource::Event(channel) => return event_requests::told(context, request, channel),
        Resource::Series => return Ok(Answer::Series),
        Resource::Exposition => return Ok(Answer::Exposition),
        Resource::Readiness => return Ok(Answer::Readiness),
        Resource::Liveness => text_response(200, "ok\n"),
        Resource::Asset(asset) => assets::response(asset, request),
        Resource::Moved(to) => moved(to, request),
        Resource::Rooms if request.method == Method::Post => {
            return rest::create_room(context, request, caller);
        }
        Resource::Rooms => {
            let page = rest::page(request, ROOMS_LISTED_MAX, ROOMS_LISTED_MAX)?;
            if context.is_shared {
                return Ok(Answer::RoomList(page, permissions));
            }
            rest::room_list(context.rooms.page(&page, &permissions))
        }
        Resource::Room(name) | Resource::History(name) if !permissions.may_enter(name) => {
            return Err(ErrorCode::Forbidden.into());
        }
        Resource::Room(name) | Resource::History(name)
            if context.is_shared && context.rooms.find(name).is_err() =>
        {
            return Ok(Answer::ReadRoom(name.into()));
        }
        Resource::Room(name) => rest::room(context.rooms, name)?,
        Resource::History(name) => rest::history(context.rooms, name, request)?,
        // These were answered before.
        Resource::HttpEcho
        | Resource::Server
        | Resource::Messages(_)
        | Resource::Message(..)
        | Resource::Users
        | Resource::User(_)
        | Resource::UserMessages(_)
        | Resource::UserConnections(_)
        | Resource::Ban(_)
        | Resource::Bans
        | Resource::Revocations(_) => return Err(ErrorCode::NotFound.into()),
    };
    Ok(Answer::Response(response))
}

/// The answer to an opening handshake (RFC 6455 section 4.2.2).
fn upgrade(request: &Request, endpoint: Endpoint) -> Result<Answer, Refusal> {
    match &request.upgrade {
        Upgrade::None | Upgrade::UnsupportedVersion => Err(ErrorCode::UpgradeRequired.into()),
        Upgrade::Malformed => Err(Refusal::BAD_HANDSHAKE),
        Upgrade::WebSocket { key } => {
            let mut response = Response::empty(101)
                .field("Upgrade", "websocket")
                .field("Sec-WebSocket-Accept", accept_value(key));
            if let Some(name) = request.fields.subprotocol {
                response = response.field("Sec-WebSocket-Protocol", name);
            }
            Ok(Answer::WebSocket(response, endpoint))
        }
    }
}

/// The answer for a page that has another address, a relative reference (RFC 9110 section 10.2.2).
fn moved(to: &str, request: &Request) -> Response {
    let location = match &*request.query {
        "" => to.to_owned(),
        query => format!("{to}?{query}"),
    };
    Response::empty(308)
        .field("Location", location)
        .field("Cache-Control", "no-cache")
}
