//! The requests of moderators: what they ask for, by route and method.

use super::super::answer::{Context, check_json, check_origin};
use super::super::rest;
use super::super::routes::Resource;
use crate::conn::act::{Act, Form, Kind};
use crate::conn::refusal::Refusal;
use crate::domain::caller::Caller;
use crate::wire::http::{Method, Request};

/// Reads what a moderator's request asks for; `None` if the resource has no act.
///
/// # Errors
/// 400, 403 for a foreign origin, 411, 413, 415.
pub fn read(
    context: &Context<'_>,
    request: &Request,
    resource: &Resource<'_>,
    caller: &Caller,
) -> Result<Option<Act>, Refusal> {
    let Some((kind, room, user)) = kind_of(resource, request.method) else {
        return Ok(None);
    };
    check_origin(context.config, request)?;
    let has_body = matches!(
        kind,
        Kind::Publish | Kind::Notify | Kind::Ban | Kind::SetRoom
    );
    let mut form = match has_body {
        true => {
            check_json(request)?;
            Form::read(&request.body)?
        }
        false => read_query(request)?,
    };
    // A name in the path counts.
    if let Some(room) = room {
        form.room = Some(room.to_owned());
    }
    form.user = user.map(ToOwned::to_owned);
    if let Resource::Message(_, position) = resource {
        form.position = Some((*position).to_owned());
    }
    let act = Act::read(kind, form, &caller.speaker())?;
    Ok(Some(act))
}

/// The fields of a request without a body.
fn read_query(request: &Request) -> Result<Form, Refusal> {
    Ok(Form {
        room: request.parameter("room")?,
        reason: request.parameter("reason")?,
        after: request.parameter("after")?,
        limit: rest::limit(request)?,
        ..Form::default()
    })
}

/// What is asked for, and the room and the user in the path.
fn kind_of<'r>(
    resource: &Resource<'r>,
    method: Method,
) -> Option<(Kind, Option<&'r str>, Option<&'r str>)> {
    Some(match (*resource, method) {
        (Resource::Messages(room), _) => (Kind::Publish, Some(room), None),
        (Resource::Message(room, _), _) => (Kind::Delete, Some(room), None),
        (Resource::Room(room), Method::Patch) => (Kind::SetRoom, Some(room), None),
        (Resource::Room(room), Method::Delete) => (Kind::RemoveRoom, Some(room), None),
        (Resource::Users, _) => (Kind::Users, None, None),
        (Resource::User(user), _) => (Kind::User, None, Some(user)),
        (Resource::UserMessages(user), _) => (Kind::Notify, None, Some(user)),
        (Resource::UserConnections(user), _) => (Kind::Kick, None, Some(user)),
        (Resource::Ban(user), Method::Put) => (Kind::Ban, None, Some(user)),
        (Resource::Ban(user), _) => (Kind::Unban, None, Some(user)),
        (Resource::Bans, _) => (Kind::Bans, None, None),
        (Resource::Revocations(user), _) => (Kind::Revoke, None, Some(user)),
        _ => return None,
    })
}
