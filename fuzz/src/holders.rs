//! Clients of `server_operations` that hold tokens and tickets: how they come by them, and what they use them for.

use std::time::Duration;

use serde_json::Value;

use super::clients::{Clients, Say};
use super::dealings::{Asked, Dealings, Judge, What};
use super::peer::Said;
use super::register::{FAR, Ticket, TicketId, TokenId};
use super::requests::Request;
use super::verdicts::Verdict;
use super::world::World;

/// How many old tokens are tried in the end.
const TRIED_MAX: usize = 12;

/// A ticket that was given.
#[derive(Debug)]
pub struct Learned(TicketId);

/// The store that redeems tickets learns of those that were given.
pub fn learn(learned: Vec<Learned>, world: &mut World) {
    let now = world.now;
    for Learned(ticket) in learned {
        let Some(judge) = world.judge() else {
            return;
        };
        let Ticket { text, token, .. } = judge.register.tickets[ticket].clone();
        let token = judge.register.tokens[token].text.clone();
        let identity = judge.register.identity(&token, now.unix.as_secs());
        let until = now.monotonic + judge.ticket_ttl;
        let late = world.late.as_mut();
        if let Some(identity) = identity
            && let Some(tickets) = late.and_then(|late| late.tickets.as_mut())
        {
            tickets.insert(text, (identity, until));
        }
    }
}

impl Dealings {
    /// Something has come.
    pub fn read(&mut self, said: &Said, judge: &mut Judge<'_>) -> Option<Learned> {
        match said {
            Said::Response { status, body } => {
                let asked = self.answered(*status, judge)?;
                return learned(asked, *status, body, judge);
            }
            Said::Opened => self.opened_stream(judge),
            Said::Message(message) if message["type"] == "welcome" => self.welcomed(judge),
            Said::Close(code) => self.closed(*code, judge),
            Said::Message(_) | Said::Upgraded | Said::Other | Said::Event(_) => {}
        }
        None
    }
}

/// A token or a ticket was given.
fn learned(asked: Asked, status: u16, body: &[u8], judge: &mut Judge<'_>) -> Option<Learned> {
    let now = judge.now;
    let register = &mut judge.register;
    if let Some(password) = &asked.password
        && matches!(status, 200 | 401)
    {
        let is_good = register.checks[&**password].is_good;
        assert_eq!(status == 200, is_good, "a token for a password: {password}");
    }
    if status != 200 {
        return None;
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().expect("is text").to_owned();
    match (asked.what, asked.token) {
        (What::Login, _) => {
            let password = asked.password.expect("was sent");
            let user = password.splitn(3, ' ').nth(2).expect("ends with a name");
            register.signed_in(user, &password, &text("access_token"), now);
        }
        (What::Refresh, Some(token)) => {
            register.refreshed(token, &text("access_token"), now);
        }
        (What::Ticket, Some(token)) => {
            let ticket = Ticket {
                text: text("ticket"),
                token,
                asked: asked.at.monotonic,
                known: now.monotonic,
                redeemed: None,
            };
            return Some(Learned(register.add_ticket(ticket)));
        }
        _ => {}
    }
    None
}

impl Clients {
    /// Another back end issues a token, which is the newest one from here on.
    pub fn mint(&mut self, user: &str, key: usize, times: (Option<u64>, u64), world: &mut World) {
        if let Some(judge) = world.judge() {
            let key = key % judge.register.keys.len();
            let token = judge.register.mint(user, key, times, judge.now);
            self.known.remember(&judge.register.tokens[token].text);
        }
    }

    /// An older token is the newest one from here on: one that may be good, or any.
    pub fn remember(&mut self, token: usize, world: &mut World) {
        let Some(judge) = world.judge() else {
            return;
        };
        let is_live = token.is_multiple_of(2);
        let recent = judge.register.recent(None, is_live, judge.now);
        if let Some(index) = token.checked_rem(recent.len()) {
            let token = &judge.register.tokens[recent[index]];
            self.known.remember(&token.text);
        }
    }

    /// A client signs in with one of an account's passwords.
    pub fn sign_in(&mut self, client: u8, user: &str, version: u8, world: &mut World) {
        let place = self.place(client);
        let (Some(client), Some(mut judge)) = (&mut self.all[place], world.judge()) else {
            return;
        };
        let password = format!("{version} {} {user}", judge.now.monotonic.as_nanos());
        let body = serde_json::json!({"username": user, "password": password}).to_string();
        let asked = Asked {
            password: Some(password.into()),
            ..Asked::new(What::Login, judge.now)
        };
        client.dealings.ask(asked, &mut judge);
        let bytes = format!(
            "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        world.send(client.id, bytes.as_bytes(), false);
    }

    /// A client sends a request: with which token and ticket.
    pub(super) fn note_request(&mut self, client: u8, request: &Request, world: &mut World) {
        let place = self.place(client);
        let Some(client) = &mut self.all[place] else {
            return;
        };
        let Some((pages, dashboard)) = world.truth.as_ref().map(|truth| truth.are_private) else {
            return;
        };
        let mut judge = world.judge().expect("there is a truth");
        if matches!(request, Request::Half) {
            return client.dealings.scramble();
        }
        let (what, token, ticket) = request.shown();
        let tokens = &self.known.tokens;
        let tickets = &self.known.tickets;
        let chosen = |all: &Vec<String>, index: Option<u8>| {
            let index = usize::from(index?).checked_rem(all.len())?;
            Some(all[index].clone())
        };
        let what = match what {
            What::Private if !pages => What::Public,
            What::Dashboard if !dashboard => What::Public,
            What::Stream if !dashboard => What::PublicStream,
            what => what,
        };
        let asked = Asked {
            token: chosen(tokens, token).and_then(|text| judge.token(&text)),
            ticket: chosen(tickets, ticket)
                .filter(|_| what != What::PublicStream)
                .and_then(|text| judge.ticket(&text)),
            ..Asked::new(what, judge.now)
        };
        client.dealings.ask(asked, &mut judge);
    }

    /// A client shows a ticket over its WebSocket, or sends what is no request.
    pub(super) fn note_shown(&mut self, client: u8, say: &Say, world: &mut World) {
        let place = self.place(client);
        let ticket = self.known.ticket_of(say);
        if let (Some(client), Some(mut judge)) = (&mut self.all[place], world.judge()) {
            client.dealings.scramble();
            if let Some(ticket) = ticket.and_then(|text| judge.ticket(text)) {
                client.dealings.extend(ticket, &mut judge);
            }
        }
    }

    /// The first client asks for something, on a new connection if it has none.
    fn ask_alone(&mut self, request: &Request, world: &mut World) {
        self.connect(0, 0, world);
        self.request(0, request, world);
        world.turn();
        self.check(world);
    }

    /// Everybody has gone, and days pass: what was revoked stays revoked.
    pub fn check_old_tokens(&mut self, world: &mut World) {
        if world.truth.is_none() || world.server.is_draining() {
            return;
        }
        self.check(world);
        world.pass(Duration::from_secs(30 * 3_600));
        let judge = world.judge().expect("there is a truth");
        let (at, register) = (judge.now.monotonic, &judge.register);
        let is_bad = |token: &TokenId| matches!(register.verdict(*token, at, at), Verdict::Bad(_));
        let bad: Vec<TokenId> = (0..register.tokens.len()).filter(is_bad).collect();
        let step = (bad.len() / TRIED_MAX).max(1);
        let tried: Vec<String> = bad
            .iter()
            .step_by(step)
            .map(|token| register.tokens[*token].text.clone())
            .collect();
        // Whoever logs out now has old entries swept.
        let times = (Some(world.now.unix.as_secs()), FAR);
        self.mint("이튿날", 0, times, world);
        self.ask_alone(&Request::Logout { token: 0 }, world);
        for token in tried {
            self.known.remember(&token);
            self.ask_alone(&Request::Ticket { token: 0 }, world);
        }
        self.reset(0, world);
        self.check(world);
    }
}
