//! Rooms over HTTP, and plain echoes.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Context, check_origin, json_response, read_json};
use super::routes::location_of_room;
use crate::conn::refusal::Refusal;
use crate::domain::auth::Caller;
use crate::domain::error::ErrorCode;
use crate::domain::event::{Event, RoomInfo};
use crate::domain::position::Position;
use crate::domain::rooms::RoomManager;
use crate::wire::http::{BodyLength, Request};
use crate::wire::response::Response;

/// Serialized directly: through a tree of JSON values a long list takes twice as long.
#[derive(Serialize)]
struct RoomList {
    rooms: Vec<RoomInfo>,
}

/// Serialized directly, like [`RoomList`].
#[derive(Serialize)]
struct HistoryPage<'a> {
    room: &'a str,
    messages: Vec<Event>,
    position: Position,
    recovered: bool,
}

/// Serialized directly, like [`RoomList`].
#[derive(Serialize)]
struct RoomWithUsers {
    #[serde(flatten)]
    info: RoomInfo,
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
pub fn room_list(rooms: Vec<RoomInfo>) -> Response {
    json_response(200, &RoomList { rooms })
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
        online_count: info.users,
        online_users,
        guests: rooms.guests_except(rooms.find(name)?, None),
        info,
    };
    Ok(json_response(200, &room))
}

/// `GET /rooms/{name}/history`.
pub fn history(rooms: &RoomManager, name: &str, request: &Request) -> Result<Response, Refusal> {
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
        &HistoryPage {
            room: &room.name,
            messages,
            position,
            recovered,
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
