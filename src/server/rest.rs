//! Rooms over HTTP, and plain echoes.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Context, check_origin, json_response, read_json};
use super::routes::location_of_room;
use crate::config::{HISTORY_ON_ENTRY, HISTORY_PAGE_MAX};
use crate::conn::refusal::Refusal;
use crate::domain::caller::Caller;
use crate::domain::error::ErrorCode;
use crate::domain::event::{Event, Page, RoomInfo, RoomPage, RoomRules};
use crate::domain::history_page::HistoryPage;
use crate::domain::position::Position;
use crate::domain::rooms::RoomManager;
use crate::wire::http::{BodyLength, Request};
use crate::wire::response::Response;

/// Serialized directly: through a tree of JSON values a long list takes twice as long.
#[derive(Serialize)]
struct RoomList {
    rooms: Vec<RoomInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Rc<str>>,
}

/// Serialized directly, like [`RoomList`].
#[derive(Serialize)]
struct RoomHistory<'a> {
    room: &'a str,
    messages: Vec<Event>,
    position: Position,
    recovered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
}

/// Serialized directly, like [`RoomList`].
#[derive(Serialize)]
struct RoomWithUsers {
    #[serde(flatten)]
    room: RoomRules,
    online_count: usize,
    online_users: Vec<Rc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guests: Option<Vec<Rc<str>>>,
}

#[derive(Deserialize)]
struct NewRoom {
    name: String,
    max_users: Option<u32>,
}

/// The response to `GET /rooms`, with these rooms.
pub fn room_list((rooms, next): RoomPage) -> Response {
    json_response(200, &RoomList { rooms, next })
}

/// The page of a list that a request asks for, of `most` at most and of `usual` if it names no number.
///
/// # Errors
/// 400.
pub fn page(request: &Request, usual: usize, most: usize) -> Result<Page, Refusal> {
    let after = request.parameter("after")?.map(Into::into);
    let limit = limit(request)?.unwrap_or(usual);
    match (1..=most).contains(&limit) {
        true => Ok(Page { after, limit }),
        false => Err(ErrorCode::BadRequest.into()),
    }
}

/// The number of a request's `limit`, which is written in digits only.
///
/// # Errors
/// 400.
pub fn limit(request: &Request) -> Result<Option<usize>, Refusal> {
    let Some(limit) = request.parameter("limit")? else {
        return Ok(None);
    };
    let is_digits = limit.bytes().all(|byte| byte.is_ascii_digit());
    let limit = limit.parse().ok().filter(|_| is_digits);
    limit.map(Some).ok_or(ErrorCode::BadRequest.into())
}

/// `POST /rooms`.
pub fn create_room(
    context: &Context<'_>,
    request: &Request,
    caller: Option<Caller>,
) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    let NewRoom { name, max_users } = read_json(request)?;
    if caller
        .as_ref()
        .is_some_and(|caller| !caller.permissions().may_enter(&name))
    {
        return Err(ErrorCode::Forbidden.into());
    }
    Ok(Answer::CreateRoom {
        user: caller.map(|caller| caller.actor()),
        name,
        max_users,
    })
}

/// The response for a new room.
pub fn created(info: &RoomInfo) -> Response {
    json_response(201, info).field("Location", location_of_room(&info.name))
}

/// `GET /rooms/{name}`.
pub fn room(rooms: &RoomManager, name: &str) -> Result<Response, Refusal> {
    let (info, online_users) = rooms.get_room_info(name)?;
    let room = RoomWithUsers {
        room: rooms.room_rules(name)?,
        online_count: info.users,
        online_users,
        guests: rooms.guests_except(rooms.find(name)?, None),
    };
    Ok(json_response(200, &room))
}

/// `GET /rooms/{name}/history`.
pub fn history(rooms: &RoomManager, name: &str, request: &Request) -> Result<Response, Refusal> {
    let room = rooms.find(name)?;
    let position = |name| -> Result<Option<Position>, Refusal> {
        let text = request.parameter(name)?;
        Ok(text.and_then(|text| Position::parse(&text)))
    };
    let limit = page(request, HISTORY_ON_ENTRY, HISTORY_PAGE_MAX)?.limit;
    let (mut more, mut recovered) = (None, true);
    let messages = match request.parameter("before")?.is_some() {
        true => {
            let page = HistoryPage::before(&room.history, position("before")?, limit);
            (more, recovered) = (Some(page.more), page.recovered);
            page.messages
        }
        false => match position("since")?.and_then(|since| room.missed(since)) {
            Some(missed) => missed,
            None => {
                recovered = false;
                room.recent()
            }
        },
    };
    Ok(json_response(
        200,
        &RoomHistory {
            room: &room.name,
            messages,
            position: room.history.position(),
            recovered,
            more,
        },
    ))
}

/// `POST /http-echo`, and `OPTIONS *`.
pub fn echo(request: &mut Request) -> Result<Response, Refusal> {
    if request.body_length == BodyLength::None {
        return Err(ErrorCode::LengthRequired.into());
    }
    let body = request.body.take();
    Ok(Response::with(200, "application/octet-stream", body))
}
