//! What `/auth` answers: passwords for tokens, tokens for newer ones and for tickets.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::Server;
use super::routes::{Answer, Context, check_json, check_origin, json_response};
use crate::config::{LOGIN_QUEUE_MAX, PASSWORD_BYTES_MAX};
use crate::conn::Phase;
use crate::conn::refusal::Refusal;
use crate::domain::accounts::Verifier;
use crate::domain::auth::Denied;
use crate::domain::error::ErrorCode;
use crate::domain::ids::ConnectionId;
use crate::domain::people::is_valid_account_name;
use crate::domain::time::Now;
use crate::domain::tokens::Identity;
use crate::wire::http::Request;
use crate::wire::response::{Framing, Response};
use crate::wire::websocket::CloseCode;

/// A password to check, on a thread of its own: it takes some milliseconds, on purpose.
pub struct PasswordCheck {
    /// What [`Server::finished`] is told.
    pub job: u64,
    /// What it is checked against.
    pub verifier: Arc<Verifier>,
    /// The password; wiped when dropped.
    pub password: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordCheck")
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

/// Somebody who gave a name and a password.
pub struct Attempt {
    account: Rc<str>,
    password: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// An attempt that waits for its check.
#[derive(Debug)]
pub(super) struct Login {
    connection: ConnectionId,
    account: Rc<str>,
    address: IpAddr,
    framing: Framing,
    is_english: bool,
    cors: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Form {
    username: String,
    password: String,
}

/// Whose request this is. An event stream may show a ticket instead: a browser sends no bearer token with it.
///
/// # Errors
/// 401 with the reason.
pub(super) fn authorize(context: &mut Context<'_>, request: &Request) -> Result<Identity, Refusal> {
    if request.path.first().is_some_and(|part| part == "sse")
        && let Some(ticket) = request.parameter("ticket")?
    {
        let redeemed = context.auth.redeem(&ticket, context.now);
        return redeemed
            .map_err(|_| Refusal::invalid_token("the ticket is unknown, used or expired"));
    }
    let authorization = request.fields.authorization.as_deref();
    context
        .auth
        .authenticate(authorization, context.now)
        .map_err(|denied| match denied {
            Denied::Missing => ErrorCode::Unauthorized.into(),
            Denied::Invalid(refused) => Refusal::invalid_token(refused.0),
        })
}

/// `POST /auth/login`.
pub(super) fn login(context: &Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    check_json(request)?;
    let form: Form =
        serde_json::from_slice(&request.body).map_err(|error| match error.is_data() {
            true => ErrorCode::BadRequest,
            false => ErrorCode::BadJson,
        })?;
    let password = Zeroizing::new(form.password.into_bytes());
    if !is_valid_account_name(&form.username)
        || password.is_empty()
        || password.len() > PASSWORD_BYTES_MAX
    {
        return Err(ErrorCode::BadRequest.into());
    }
    Ok(Answer::Login(Attempt {
        account: form.username.into(),
        password,
    }))
}

/// `POST /auth/refresh`.
pub(super) fn refresh(context: &mut Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    let identity = authorize(context, request)?;
    let issued = context.auth.refresh(&identity, context.now);
    let (token, expires_in) = issued.map_err(|refused| Refusal::invalid_token(refused.0))?;
    Ok(Answer::Response(token_response(&token, expires_in)))
}

/// `POST /auth/ws-ticket`.
pub(super) fn ticket(context: &mut Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    let identity = authorize(context, request)?;
    let ticket = context
        .auth
        .issue_ticket(identity, context.now)
        .ok_or(Refusal::UNAVAILABLE)?;
    let expires_in = context.auth.ticket_ttl_secs();
    Ok(Answer::Response(json_response(
        200,
        &json!({"ticket": ticket, "expires_in": expires_in}),
    )))
}

/// `POST /auth/logout`.
pub(super) fn logout(context: &mut Context<'_>, request: &Request) -> Result<Answer, Refusal> {
    check_origin(context.config, request)?;
    Ok(Answer::Logout(authorize(context, request)?))
}

fn token_response(token: &str, expires_in: u64) -> Response {
    json_response(
        200,
        &json!({"access_token": token, "token_type": "bearer", "expires_in": expires_in}),
    )
}

impl Server {
    /// A password check for the worker.
    pub fn poll_job(&mut self) -> Option<PasswordCheck> {
        self.jobs.pop_front()
    }

    /// The worker has checked a password.
    pub fn finished(&mut self, job: u64, is_accepted: bool, now: Now) {
        let Some(login) = self.logins.remove(&job) else {
            return;
        };
        // The account may have gone while its password was checked.
        let is_accepted = is_accepted && self.auth.has_account(&login.account);
        self.auth.throttle.end(
            &login.account,
            login.address,
            Some(is_accepted),
            now.monotonic,
        );
        let outcome = if is_accepted { "accepted" } else { "refused" };
        self.count_login(&login, outcome, now);
        let issued = is_accepted
            .then(|| {
                self.auth
                    .issue_token(&login.account, now.unix.as_secs(), now)
            })
            .flatten();
        let response = match issued {
            Some((token, expires_in)) => token_response(&token, expires_in),
            None => Refusal::from(ErrorCode::InvalidCredentials).response(login.is_english),
        };
        self.answer_login(job, &login, response, now);
    }

    /// Has a password checked, unless there were too many attempts.
    pub(super) fn start_login(
        &mut self,
        id: ConnectionId,
        attempt: Attempt,
        request: &Request,
        now: Now,
    ) {
        let framing = self.framing(request, now);
        let Attempt { account, password } = attempt;
        let address = self.addresses.of(id);
        let cors = super::routes::listed_origin(&self.config, request).map(Into::into);
        let is_english = request.prefers_english();
        let login = Login {
            connection: id,
            account,
            address,
            framing,
            is_english,
            cors,
        };
        let refusal = match self
            .auth
            .throttle
            .begin(&login.account, address, now.monotonic)
        {
            Err(wait) => Some((
                "throttled",
                Refusal::too_many_requests(wait.max(Duration::from_secs(1))),
            )),
            Ok(()) if self.logins.len() >= LOGIN_QUEUE_MAX => {
                self.auth
                    .throttle
                    .end(&login.account, address, None, now.monotonic);
                Some(("busy", Refusal::UNAVAILABLE))
            }
            Ok(()) => None,
        };
        self.last_job += 1;
        let job = self.last_job;
        if let Phase::Http(http) = &mut self.connections[id.index()].phase {
            http.job = Some(job);
        }
        if let Some((outcome, refusal)) = refusal {
            self.count_login(&login, outcome, now);
            return self.answer_login(job, &login, refusal.response(is_english), now);
        }
        let verifier = self.auth.verifier(&login.account);
        self.jobs.push_back(PasswordCheck {
            job,
            verifier,
            password,
        });
        self.logins.insert(job, login);
    }

    fn count_login(&mut self, login: &Login, outcome: &'static str, now: Now) {
        *self.counters.logins.entry(outcome).or_default() += 1;
        self.note_login(&login.account, outcome, login.address, now);
    }

    /// Answers an attempt whose connection still waits for it, and goes on with what came behind.
    fn answer_login(&mut self, job: u64, login: &Login, mut response: Response, now: Now) {
        let id = login.connection;
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        let Phase::Http(http) = &mut connection.phase else {
            return;
        };
        if http.job != Some(job) {
            return;
        }
        http.job = None;
        if connection.is_paused {
            connection.is_paused = false;
            self.readable.push(id);
        }
        if let Some(origin) = &login.cors {
            response = response
                .field("Access-Control-Allow-Origin", origin.to_string())
                .field("Vary", "Origin");
        }
        self.respond_and_go_on(id, response, login.framing, now);
        self.resumed.push(id);
    }

    /// Ends the session of a token: it is refused from here on, and its connections are closed.
    pub(super) fn log_out(&mut self, identity: &Identity, is_english: bool, now: Now) -> Response {
        let Some(connections) = self.auth.revoke(identity, now) else {
            return Refusal::UNAVAILABLE.response(is_english);
        };
        for connection in connections {
            self.end_session(connection, CloseCode::SESSION_ENDED, now);
        }
        Response::empty(204)
    }
}
