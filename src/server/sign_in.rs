//! Requests under `/auth`: sign-in, refresh, tickets and sign-out.

use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::answer::{Answer, Context, check_origin, json_response, read_json};
use super::sign_ins::Attempt;
use crate::config::PASSWORD_BYTES_MAX;
use crate::conn::refusal::Refusal;
use crate::domain::auth::{Denied, NotRefreshed};
use crate::domain::caller::Caller;
use crate::domain::error::ErrorCode;
use crate::domain::names::{is_valid_account_name, nfc};
use crate::domain::tokens::Identity;
use crate::wire::http::Request;
use crate::wire::response::Response;

#[derive(Deserialize)]
struct Form {
    username: String,
    password: String,
}

/// Who has sent a request.
pub enum Authorized {
    /// Known.
    Known(Caller),
    /// The ticket must be redeemed by a job first.
    Redeem(String),
}

/// Who has sent a request, by its bearer token, which may be an API key, or, if `takes_ticket`, by a ticket: a browser
/// cannot send a bearer token with an event stream.
///
/// # Errors
/// 401, with the reason.
pub fn authorize(
    context: &mut Context<'_>,
    request: &Request,
    takes_ticket: bool,
) -> Result<Authorized, Refusal> {
    if takes_ticket && let Some(ticket) = request.parameter("ticket")? {
        return match context.redeem(&ticket) {
            None => Ok(Authorized::Redeem(ticket)),
            Some(Ok(identity)) => Ok(Authorized::Known(Caller::Somebody(identity))),
            Some(Err(_)) => Err(Refusal::invalid_token(
                "the ticket is unknown, used or expired",
            )),
        };
    }
    let authorization = request.fields.authorization.as_deref();
    let caller = context.auth.authenticate_caller(authorization, context.now);
    caller.map(Authorized::Known).map_err(denial)
}

/// Refuses whoever is no moderator.
///
/// # Errors
/// 403, of nobody 401.
pub fn check_moderator(caller: Option<&Caller>) -> Result<(), Refusal> {
    match caller {
        None => Err(ErrorCode::Unauthorized.into()),
        Some(caller) if caller.permissions().is_moderator => Ok(()),
        Some(_) => Err(Refusal::NOT_A_MODERATOR),
    }
}

/// The identity of the request's bearer token (RFC 6750 section 2.1). An API key is none.
fn bearer(context: &Context<'_>, request: &Request) -> Result<Identity, Refusal> {
    let authorization = request.fields.authorization.as_deref();
    let authenticated = context.auth.authenticate(authorization, context.now);
    authenticated.map_err(denial)
}

fn denial(denied: Denied) -> Refusal {
    match denied {
        Denied::Missing => ErrorCode::Unauthorized.into(),
        Denied::Invalid(refused) => Refusal::invalid_token(refused.0),
    }
}

/// Refuses somebody who is banned from everywhere. Moderators are not kept out.
///
/// # Errors
/// 403.
pub fn check_ban(context: &Context<'_>, caller: Option<&Caller>) -> Result<(), Refusal> {
    let identity = caller.and_then(Caller::identity);
    let identity = identity.filter(|identity| !identity.permissions.is_moderator);
    let bans = &context.rooms.bans;
    match identity.and_then(|identity| bans.of(&identity.username, None, context.now)) {
        Some(_) => Err(ErrorCode::Forbidden.into()),
        None => Ok(()),
    }
}

/// `POST /auth/login`.
pub fn login(context: &Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    let form: Form = read_json(request)?;
    let password = Zeroizing::new(form.password.into_bytes());
    let account = nfc(&form.username);
    if !is_valid_account_name(&account)
        || password.is_empty()
        || password.len() > PASSWORD_BYTES_MAX
    {
        return Err(ErrorCode::BadRequest.into());
    }
    Ok(Answer::Login(Attempt {
        account: account.into(),
        password,
    }))
}

/// `POST /auth/refresh`.
pub fn refresh(context: &mut Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    let identity = bearer(context, request)?;
    let issued = context.auth.refresh(&identity, context.now);
    let (token, expires_in) = issued.map_err(|not_refreshed| match not_refreshed {
        NotRefreshed::Invalid(refused) => Refusal::invalid_token(refused.0),
        NotRefreshed::Throttled(wait) => Refusal::too_many_requests(wait),
    })?;
    Ok(Answer::Response(token_response(&token, expires_in)))
}

/// `POST /auth/ws-ticket`.
pub fn ticket(context: &mut Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    let identity = bearer(context, request)?;
    let shared = context.is_shared.then(|| identity.clone());
    let ticket = context
        .auth
        .issue_ticket(identity, context.now)
        .ok_or(Refusal::UNAVAILABLE)?;
    if let Some(identity) = shared {
        return Ok(Answer::KeepTicket(ticket, identity));
    }
    let expires_in = context.auth.ticket_ttl_secs();
    Ok(Answer::Response(json_response(
        200,
        &json!({"ticket": ticket, "expires_in": expires_in}),
    )))
}

/// `POST /auth/logout`.
pub fn logout(context: &Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    let authorization = request.fields.authorization.as_deref();
    let authenticated = context
        .auth
        .authenticate_to_log_out(authorization, context.now);
    authenticated.map(Answer::Logout).map_err(denial)
}

/// The response with a token and its lifetime, in seconds.
pub fn token_response(token: &str, expires_in: u64) -> Response {
    json_response(
        200,
        &json!({"access_token": token, "token_type": "bearer", "expires_in": expires_in}),
    )
}
