//! What a client of `server_operations` has asked with tokens and tickets, and what has to come of it: nothing that was
//! revoked opens anything, nothing else is refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sarang::domain::time::Now;

use super::register::{Register, Ticket, TicketId, TokenId};
use super::verdicts::{Verdict, Why};

/// What is known of tokens, and when: [`Now::monotonic`] grows with every step.
#[derive(Debug)]
pub struct Judge<'r> {
    /// All tokens and tickets.
    pub register: &'r mut Register,
    /// The time.
    pub now: Now,
    /// The wall clock has only ever run.
    pub is_steady: bool,
    /// How long a ticket is good.
    pub ticket_ttl: Duration,
    /// How often each ticket was shown.
    pub shown: &'r mut BTreeMap<TicketId, usize>,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A WebSocket.
    Upgrade,
    /// An event stream.
    Stream,
    /// An event stream for which no token is needed.
    PublicStream,
    /// Sign-out.
    Logout,
    /// A newer token.
    Refresh,
    /// A ticket.
    Ticket,
    /// Sign-in.
    Login,
    /// A page for which a token is needed.
    Private,
    /// Figures for which a token is needed, unless the dashboard is public.
    Dashboard,
    /// Anything else.
    Public,
}

/// A request that has no answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What for.
    pub what: What,
    /// With what token.
    pub token: Option<TokenId>,
    /// With what ticket.
    pub ticket: Option<TicketId>,
    /// With what password.
    pub password: Option<Box<str>>,
    /// When.
    pub at: Now,
}

impl Asked {
    /// A request that shows nothing.
    pub fn new(what: What, at: Now) -> Self {
        Self {
            what,
            token: None,
            ticket: None,
            password: None,
            at,
        }
    }
}

/// What a connection rests on.
#[derive(Clone, Copy, Debug)]
struct Session {
    token: TokenId,
    /// When its ticket, or itself, was asked for and known.
    opened: (Duration, Duration),
}

/// What one connection has asked.
#[derive(Debug, Default)]
pub struct Dealings {
    asked: VecDeque<Asked>,
    /// What it sends is no sequence of whole requests any more.
    is_scrambled: bool,
    logged_out: Vec<TokenId>,
    session: Option<Session>,
    /// Tickets that were shown over the WebSocket.
    extending: Vec<(TicketId, Duration)>,
    is_closed: bool,
}

impl Judge<'_> {
    fn may_be_untimely(&self, token: TokenId) -> bool {
        let token = &self.register.tokens[token];
        !self.is_steady || self.now.unix.as_secs() >= token.expires_at
    }

    /// A ticket is shown.
    fn show(&mut self, ticket: TicketId) {
        *self.shown.entry(ticket).or_default() += 1;
    }

    fn at(&self) -> Duration {
        self.now.monotonic
    }

    /// The token with this text.
    pub fn token(&self, text: &str) -> Option<TokenId> {
        let tokens = &self.register.tokens;
        tokens.iter().rposition(|token| token.text == text)
    }

    /// The ticket with this text.
    pub fn ticket(&self, text: &str) -> Option<TicketId> {
        let tickets = &self.register.tickets;
        tickets.iter().rposition(|ticket| ticket.text == text)
    }
}

impl Dealings {
    /// What is sent from here on is no whole request.
    pub fn scramble(&mut self) {
        self.is_scrambled = true;
    }

    /// A request is sent.
    pub fn ask(&mut self, asked: Asked, judge: &mut Judge<'_>) {
        let register = &mut judge.register;
        match (asked.what, asked.token) {
            (What::Logout, Some(token)) => register.log_out(token, judge.now),
            (What::Refresh, Some(token)) => {
                let user = &register.tokens[token].user;
                register.refreshes.ask(user, true);
            }
            _ => {}
        }
        if let Some(ticket) = asked.ticket {
            judge.show(ticket);
        }
        if self.is_scrambled {
            return;
        }
        // What comes behind it is read as something else, unless it is refused.
        self.is_scrambled |= matches!(
            asked.what,
            What::Upgrade | What::Stream | What::PublicStream
        );
        self.asked.push_back(asked);
    }

    /// A ticket is shown over the WebSocket.
    pub fn extend(&mut self, ticket: TicketId, judge: &mut Judge<'_>) {
        judge.show(ticket);
        self.extending.push((ticket, judge.at()));
    }

    /// A response has come.
    pub fn answered(&mut self, status: u16, judge: &mut Judge<'_>) -> Option<Asked> {
        let asked = self.asked.pop_front()?;
        let Asked {
            what,
            token,
            ticket,
            at,
            ..
        } = asked;
        if let (What::Refresh, Some(token)) = (what, token) {
            let user = &judge.register.tokens[token].user;
            judge.register.refreshes.ask(user, false);
        }
        match (what, ticket, token) {
            (What::Upgrade, ..) => return Some(asked),
            (What::Stream, Some(ticket), _) if status == 401 => {
                judge_ticket(ticket, at.monotonic, false, judge);
            }
            (What::Public | What::PublicStream | What::Login, ..) | (_, None, None) => {}
            (_, _, Some(token)) => self.judge(what, token, at, status, judge),
            (_, Some(_), None) => {}
        }
        if let (What::Logout, Some(token), 204) = (what, token, status) {
            self.logged_out.push(token);
            let jumped_at = match judge.is_steady {
                true => Duration::ZERO,
                false => Duration::MAX,
            };
            let asked = (at.monotonic, at.unix.as_secs());
            judge
                .register
                .logged_out(token, asked, jumped_at, judge.now);
        }
        Some(asked)
    }

    fn judge(&self, what: What, token: TokenId, at: Now, status: u16, judge: &Judge<'_>) {
        let register = &judge.register;
        let is_same = |other: &TokenId| register.is_same_family(token, *other);
        let is_out = judge.is_steady && self.logged_out.iter().any(is_same);
        let verdict = register.verdict(token, at.monotonic, judge.at());
        let claims = &register.tokens[token];
        // One of the server's own tokens ends its sign-in also when it has expired, and again when that is forgotten.
        let is_ended_otherwise = matches!(verdict, Verdict::Bad(why) if why != Why::Logout);
        let is_late_logout =
            what == What::Logout && claims.is_ours() && judge.may_be_untimely(token);
        if is_late_logout && !is_ended_otherwise {
            assert!([204, 401].contains(&status), "an old token: {status}");
            return;
        }
        if is_out || matches!(verdict, Verdict::Bad(_)) {
            assert_eq!(
                status, 401,
                "{what:?} after the end {verdict:?} of {claims:?}"
            );
            return;
        }
        let is_throttled = what == What::Refresh
            && register
                .refreshes
                .may_be_throttled(&claims.user, judge.at());
        assert!(
            status != 429 || is_throttled || what != What::Refresh,
            "who refreshes seldom is not refused"
        );
        let is_foreign = what == What::Refresh && !claims.is_ours();
        if verdict == Verdict::Good && !judge.may_be_untimely(token) && !is_foreign {
            assert_ne!(status, 401, "{what:?} with a good token {claims:?}");
            assert!(what != What::Logout || status == 204, "logout: {status}");
        }
    }

    /// The connection is an event stream from here on.
    pub fn opened_stream(&mut self, judge: &mut Judge<'_>) {
        let Some(asked) = self.asked.pop_front() else {
            return;
        };
        let at = asked.at.monotonic;
        match (asked.ticket, asked.token) {
            (Some(ticket), _) => self.rest_on(ticket, at, judge),
            (None, Some(token)) if asked.what == What::Stream => {
                let verdict = judge.register.verdict(token, at, judge.at());
                let is_bad = matches!(verdict, Verdict::Bad(_));
                assert!(!is_bad, "a stream after the end {verdict:?}");
                let opened = (at, judge.at());
                self.session = Some(Session { token, opened });
            }
            _ => {}
        }
    }

    fn rest_on(&mut self, ticket: TicketId, shown: Duration, judge: &Judge<'_>) {
        judge_ticket(ticket, shown, true, judge);
        let token = judge.register.tickets[ticket].token;
        let opened = judge.register.opened(ticket, shown, judge.at());
        self.session = Some(Session { token, opened });
    }

    /// A user is welcomed: by the ticket that was shown, or for longer.
    pub fn welcomed(&mut self, judge: &Judge<'_>) {
        if let Some(asked) = self.asked.pop_front() {
            if let Some(ticket) = asked.ticket {
                self.rest_on(ticket, asked.at.monotonic, judge);
            }
            return;
        }
        let is_good = |(ticket, shown): &(TicketId, Duration)| {
            let register = &judge.register;
            let verdict = register.fate_of_ticket(*ticket, *shown, judge.at());
            !matches!(verdict, Verdict::Bad(_))
        };
        if self.session.take().is_some() {
            // What it rests on now is one of several.
            assert!(
                self.extending.iter().any(is_good),
                "a session is extended after the end"
            );
        }
    }

    /// The server has closed the WebSocket.
    pub fn closed(&mut self, code: Option<u16>, judge: &Judge<'_>) {
        self.is_closed = true;
        let asked = self.asked.pop_front();
        let shown = asked.and_then(|asked| Some((asked.ticket?, asked.at.monotonic)));
        if let Some((ticket, at)) = shown.filter(|_| code == Some(4001)) {
            judge_ticket(ticket, at, false, judge);
        }
        let Some(session) = self.session else {
            return;
        };
        let fate = self.fate(session, judge);
        assert_ne!(code, Some(4001), "a session is not refused: {session:?}");
        if code == Some(4002) && self.extending.is_empty() {
            assert!(
                fate != Verdict::Good || judge.may_be_untimely(session.token),
                "a session is ended for nothing: {session:?}"
            );
        }
    }

    fn fate(&self, session: Session, judge: &Judge<'_>) -> Verdict {
        let register = &judge.register;
        register.fate(session.token, session.opened, judge.at())
    }

    /// Whether what it rests on has surely ended.
    pub fn has_ended(&self, judge: &Judge<'_>) -> bool {
        let is_bad = |session| matches!(self.fate(session, judge), Verdict::Bad(_));
        self.extending.is_empty() && self.session.is_some_and(is_bad)
    }

    /// Everything that was sent has come: if its session has ended, so has the connection.
    pub fn check(&self, is_over: bool, judge: &Judge<'_>) {
        assert!(
            self.is_closed || is_over || !self.has_ended(judge),
            "a connection goes on after its end: {self:?}"
        );
    }
}

/// A ticket has opened something, or was refused.
fn judge_ticket(ticket: TicketId, shown: Duration, is_opened: bool, judge: &Judge<'_>) {
    let register = &judge.register;
    let verdict = register.fate_of_ticket(ticket, shown, judge.at());
    let Ticket {
        token,
        asked,
        known,
        redeemed,
        ..
    } = register.tickets[ticket];
    let is_bad = matches!(verdict, Verdict::Bad(_));
    if is_opened {
        assert!(!is_bad, "a ticket opens after its end: {verdict:?}");
        assert!(
            redeemed.is_some() || shown <= known + judge.ticket_ttl,
            "a ticket opens after its time"
        );
        return;
    }
    let is_refused = redeemed.is_some_and(|(is_good, _)| !is_good);
    let is_used = judge.shown.get(&ticket) != Some(&1);
    let may_be_over = judge.at() >= asked + judge.ticket_ttl;
    assert!(
        verdict != Verdict::Good
            || is_refused
            || is_used
            || may_be_over
            || judge.may_be_untimely(token),
        "a good ticket opens nothing: {:?} of {:?}, shown at {shown:?}, now {:?}",
        register.tickets[ticket],
        register.tokens[token].user,
        (judge.now, &judge.shown, register.tickets.len())
    );
}
