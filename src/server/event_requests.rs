//! Requests that open an event stream or post figures.

use serde_json::Value;

use super::answer::{Answer, Context, check_origin, read_json};
use super::streams::Subscription;
use crate::config::POSTED_BYTES_MAX;
use crate::conn::EventStream;
use crate::conn::refusal::Refusal;
use crate::domain::error::ErrorCode;
use crate::domain::event_log::Channel;
use crate::domain::tokens::Identity;
use crate::wire::http::{Method, Request};
use crate::wire::response::Response;

/// `GET /sse/{channel}`.
pub fn subscribe(
    request: &Request,
    channel: Channel,
    identity: Option<Identity>,
) -> Result<Answer, Refusal> {
    // An empty last event ID means that there is none (WHATWG HTML section 9.2.4).
    let last_event_id = match request.fields.last_event_id.as_deref() {
        Some(id) => Some(id.to_owned()),
        None => request.parameter("last_event_id")?,
    };
    let last_event_id = last_event_id.filter(|id| !id.is_empty());
    let mut response = Response::with(200, "text/event-stream; charset=utf-8", Vec::new())
        .field("Cache-Control", "no-store")
        .field("X-Accel-Buffering", "no");
    response.is_stream = true;
    let stream = EventStream {
        channel,
        is_chunked: request.is_http11,
    };
    if request.method == Method::Head {
        return Ok(Answer::Response(response));
    }
    let subscription = Subscription {
        stream,
        last_event_id,
        identity,
    };
    Ok(Answer::EventStream(response, subscription))
}

/// `POST /events/business`: figures of a back end.
pub fn posted(context: &Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    if request.body.len() > POSTED_BYTES_MAX {
        return Err(ErrorCode::ContentTooLarge.into());
    }
    match read_json(request)? {
        Value::Object(figures) => Ok(Answer::Figures(figures)),
        _ => Err(ErrorCode::BadRequest.into()),
    }
}
