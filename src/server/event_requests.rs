//! Requests that open an event stream, read the recent samples, post figures, or tell an event of a channel of one's own.

use serde_json::{Map, Value};

use super::answer::{Answer, Context, JSON_TYPE, check_origin, read_json};
use super::streams::Subscription;
use crate::config::POSTED_BYTES_MAX;
use crate::conn::refusal::Refusal;
use crate::domain::caller::Caller;
use crate::domain::channels::{BadList, Named, Wanted};
use crate::domain::error::ErrorCode;
use crate::wire::http::Request;
use crate::wire::response::Response;

/// `GET /sse/{channel}`, or several channels separated by commas.
///
/// # Errors
/// 404 for a name that no channel may have, and for too many of them.
pub fn subscribe(
    request: &Request,
    channels: &str,
    caller: Option<Caller>,
) -> Result<Answer, Refusal> {
    let wanted = Wanted::parse(channels).map_err(|error| match error {
        BadList::NoChannel => Refusal::NO_CHANNEL,
        BadList::TooLong => Refusal::TOO_MANY_LISTED,
    })?;
    let (response, last_event_id) = subscription(request)?;
    let subscription = Subscription {
        wanted,
        is_chunked: request.is_http11,
        last_event_id,
        caller,
    };
    Ok(Answer::EventStream(response, subscription))
}

/// The response that begins an event stream, and the last event ID of the request.
///
/// # Errors
/// 400.
pub fn subscription(request: &Request) -> Result<(Response, Option<String>), Refusal> {
    // An empty last event ID means that there is none (WHATWG HTML section 9.2.4).
    let last_event_id = match request.fields.last_event_id.as_deref() {
        Some(id) => Some(id.to_owned()),
        None => request.parameter("last_event_id")?,
    };
    let last_event_id = last_event_id.filter(|id| !id.is_empty());
    let mut response = Response::with(200, "text/event-stream; charset=utf-8", Vec::new())
        .field("Cache-Control", "no-store, no-transform")
        .field("X-Accel-Buffering", "no");
    response.is_stream = true;
    Ok((response, last_event_id))
}

/// `GET /series`: the recent samples, which are JSON already.
pub fn series(json: &str) -> Response {
    let response = Response::with(200, JSON_TYPE, json.as_bytes().to_vec());
    response.field("Cache-Control", "no-store")
}

/// `POST /events/business`: figures of a back end.
///
/// # Errors
/// 400, 403, 411, 413, 415.
pub fn posted(context: &Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    read_posted(context, request).map(Answer::Figures)
}

/// `POST /events/{channel}`: an event of a channel of one's own.
///
/// # Errors
/// As [`posted`]; also 400 and 403 for a name that no channel of one's own may have.
pub fn told(context: &Context<'_>, request: &Request, channel: &str) -> Result<Answer, Refusal> {
    match Named::of(channel) {
        Named::Own => {}
        Named::BuiltIn(_) | Named::Reserved => return Err(ErrorCode::ChannelReserved.into()),
        Named::Malformed => return Err(ErrorCode::BadChannelName.into()),
    }
    let data = read_posted(context, request)?;
    Ok(Answer::Tell(channel.into(), data))
}

fn read_posted(context: &Context<'_>, request: &Request) -> Result<Map<String, Value>, Refusal> {
    check_origin(context.config, request)?;
    if request.body.len() > POSTED_BYTES_MAX {
        return Err(ErrorCode::ContentTooLarge.into());
    }
    match read_json(request)? {
        Value::Object(members) => Ok(members),
        _ => Err(ErrorCode::BadRequest.into()),
    }
}
