//! What a connection rests on: a token, or a ticket for one. When that has ended, so has the connection: nothing is heard
//! from it, nothing is sent to it, and its close frame carries 4002. While it has not, nobody is sent away.

use std::time::Duration;

use super::asks::Ask;
use super::chat::{Chat, Phase};
use super::network::Wire;
use super::register::{FAR, Ticket, TicketId, TokenId};
use super::run::{Client, World};
use super::stage::{Stage, frame, post};
use super::told::LATE;
use super::verdicts::{Verdict, Why};

/// What a connection rests on.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub token: TokenId,
    /// When it was asked for, and when it was known: of a ticket, or of the connection itself.
    pub opened: (Duration, Duration),
}

impl Session {
    pub fn fate(self, stage: &Stage) -> Verdict {
        let register = &stage.model.register;
        register.fate(self.token, self.opened, stage.at())
    }
}

/// What a connection must be over after, when its session has ended: the closing handshake, what lingers, two ticks.
pub const GOODBYE: Duration = Duration::from_secs(5);

/// What is counted when something was ended or refused.
pub fn by(why: Why) -> &'static str {
    match why {
        Why::Logout => "by logout",
        Why::Share => "by a user's share",
        Why::Name => "by name",
        Why::Secret => "by secret",
    }
}

impl Stage {
    /// When a connection that ended at some time must be over: whoever takes what was sent before has time for that.
    pub fn goodbye(&self, wire: Wire, ended_at: Duration) -> Duration {
        let took_at = self.network.sockets[wire.0].took_at;
        ended_at.max(took_at) + GOODBYE + 2 * LATE
    }

    /// A token for whoever wants to open something: mostly a new one of a back end, or one of those there are.
    pub fn choose_token(&mut self, user: &str, lives: (u64, u64)) -> TokenId {
        let now = self.now();
        if self.seed.chance(45)
            && let Some(token) = self.pick_token(Some(user))
        {
            return token;
        }
        let key = self.seed.pick(&[0, 0, 0, 1, 1, 2]);
        let unix_secs = now.unix.as_secs();
        let issued_at = match self.seed.below(12) {
            0 => None,
            1 => Some(unix_secs - 5),
            _ => Some(unix_secs),
        };
        let expires_at = match self.seed.chance(15) {
            true => FAR,
            false => unix_secs + self.seed.between(lives.0, lives.1),
        };
        let register = &mut self.model.register;
        register.mint(user, key, (issued_at, expires_at), now)
    }

    /// Somebody's token, mostly one that is good.
    pub fn pick_token(&mut self, user: Option<&str>) -> Option<TokenId> {
        let is_live = self.seed.chance(75);
        let found = self.model.register.recent(user, is_live, self.now());
        (!found.is_empty()).then(|| self.seed.pick(&found))
    }

    /// A ticket that somebody has left.
    pub fn take_ticket(&mut self, user: Option<&str>) -> Option<TicketId> {
        let model = &mut self.model;
        let register = &model.register;
        let fits = |ticket: &TicketId| {
            let token = register.tickets[*ticket].token;
            user.is_none_or(|user| register.tokens[token].user == user)
        };
        let fitting: Vec<TicketId> = model.unused.iter().copied().filter(fits).collect();
        let found = (!fitting.is_empty()).then(|| self.seed.pick(&fitting))?;
        model.unused.retain(|ticket| *ticket != found);
        Some(found)
    }

    /// Notes a ticket that was given for a token.
    pub fn keep_ticket(
        &mut self,
        text: &str,
        token: TokenId,
        asked: Duration,
        is_free: bool,
    ) -> TicketId {
        let known = self.at();
        let token_text = self.model.register.tokens[token].text.clone();
        self.note_ticket(text, &token_text);
        let ticket = Ticket {
            text: text.to_owned(),
            token,
            asked,
            known,
            redeemed: None,
        };
        let ticket = self.model.register.add_ticket(ticket);
        if is_free {
            self.model.unused.push(ticket);
        }
        ticket
    }

    /// Whether a token may have been refused for its dates, since something was asked.
    pub fn may_be_untimely(&self, token: TokenId, asked: Duration) -> bool {
        let token = &self.model.register.tokens[token];
        let now = self.unix_secs();
        let jumped_at = self.model.jumped_at;
        let has_jumped = jumped_at >= asked && jumped_at > Duration::ZERO;
        // What is decided within two seconds of a limit may go either way.
        has_jumped || now + 2 >= token.expires_at || token.issued_at + 2 > now + 60
    }

    /// Whether a ticket may be refused that was shown at some time.
    pub fn may_be_refused(&self, ticket: TicketId, shown: Duration) -> bool {
        let register = &self.model.register;
        let Ticket {
            token,
            asked,
            redeemed,
            ..
        } = register.tickets[ticket];
        let is_refused = redeemed.is_some_and(|(is_good, _)| !is_good);
        let ttl = self.model.config.ticket_ttl;
        is_refused
            || register.fate_of_ticket(ticket, shown, self.at()) != Verdict::Good
            || self.at() + LATE >= asked + ttl
            || self.may_be_untimely(token, asked)
    }

    /// A ticket has opened something: it was good.
    pub fn opens(&mut self, ticket: TicketId, shown: Duration) -> Session {
        let register = &mut self.model.register;
        let Ticket { token, known, .. } = register.tickets[ticket];
        let verdict = register.fate_of_ticket(ticket, shown, self.network.now.monotonic);
        let is_bad = matches!(verdict, Verdict::Bad(_));
        assert!(
            !is_bad,
            "a ticket opens after its end: {verdict:?}, shown at {shown:?}: {:?} of {:?}",
            register.tickets[ticket], register.tokens[token]
        );
        let ttl = self.model.config.ticket_ttl;
        assert!(
            self.model.is_late || shown < known + ttl,
            "a ticket opens after its time"
        );
        // It may have ended since.
        register.is_dirty = true;
        let opened = register.opened(ticket, shown, self.network.now.monotonic);
        Session { token, opened }
    }

    /// A ticket was refused: it may have been.
    pub fn refused(&mut self, ticket: TicketId, shown: Duration) {
        let (ticket_was, register) = (&self.model.register.tickets[ticket], &self.model.register);
        assert!(
            self.may_be_refused(ticket, shown),
            "a good ticket opens nothing: {:?} of {:?}, shown at {shown:?}",
            ticket_was,
            register.tokens[ticket_was.token]
        );
        let verdict = self
            .model
            .register
            .fate_of_ticket(ticket, shown, self.network.now.monotonic);
        if let Verdict::Bad(why) = verdict {
            self.model.count(&format!("tickets refused {}", by(why)));
        }
    }

    /// A request for a ticket was answered; whether there is one.
    pub fn gives_ticket(&mut self, status: u16, token: TokenId, asked: Duration) -> bool {
        let verdict = self.model.register.verdict(token, asked, self.at());
        match status {
            200 => {
                let is_bad = matches!(verdict, Verdict::Bad(_));
                assert!(!is_bad, "a ticket for a token after its end: {verdict:?}");
            }
            401 => assert!(
                verdict != Verdict::Good || self.may_be_untimely(token, asked),
                "no ticket for a good token: {:?}, asked at {asked:?}",
                self.model.register.tokens[token]
            ),
            _ => {}
        }
        status == 200
    }
}

impl Chat {
    /// Something is said: where it stands in the bytes, and when it was said first.
    pub(super) fn note_sent(&mut self, content: String, length: usize, stage: &mut Stage) {
        let said = stage.network.sockets[self.wire.expect("is open").0].said_bytes;
        stage.model.dead.remove(&content);
        let at = stage.at();
        let first = *stage.model.said_at.entry(content.clone()).or_insert(at);
        // What was said before may have been heard, whatever becomes of it now.
        if first == at {
            self.sent.push((said + length as u64, content));
        }
    }

    /// What was sent behind what the server had read when the connection was over.
    pub(super) fn bury_unread(&mut self, wire: Wire, stage: &mut Stage) {
        let read = stage.network.sockets[wire.0].read_bytes;
        for (end, content) in self.sent.drain(..) {
            if end > read {
                stage.model.count("words after the end");
                stage.model.dead.insert(content);
            }
        }
    }

    /// Looks whether its session has ended, and what has come of that. Nothing is left to send.
    fn look_at_session(&mut self, stage: &mut Stage) {
        let (Some(session), Some(wire)) = (self.session, self.wire) else {
            return;
        };
        let Verdict::Bad(why) = session.fate(stage) else {
            return;
        };
        if self.phase != Phase::Open || self.lapsed_at.is_some() {
            return;
        }
        assert!(
            !self.is_unblocked(stage) || stage.network.sockets[wire.0].is_reset,
            "{} is open after the end of its session {wire:?} {why:?}",
            self.name
        );
        // It may have another session, and has not read that.
        let extends = |ask: &Ask| matches!(ask, Ask::Extend { .. });
        if !self.is_unblocked(stage) && self.asked.iter().any(extends) {
            return;
        }
        stage.model.count("slow sockets ended");
        self.lapsed_at = Some(stage.at());
        self.bury_unread(wire, stage);
        stage.judge_at(self.me, wire, stage.goodbye(wire, stage.at()));
    }

    /// Nothing that was said later is heard over a connection whose session has ended.
    pub(super) fn check_heard(&self, content: &str, stage: &Stage) {
        stage.model.check_alive(content);
        let said_at = stage.model.said_at.get(content);
        assert!(
            self.lapsed_at.is_none() || said_at.is_none() || said_at.copied() <= self.lapsed_at,
            "{} hears {content:?} after its end",
            self.name
        );
    }

    /// Whoever does not take an end for an end goes on talking. Nobody hears it.
    pub(super) fn insist(&mut self, stage: &mut Stage) {
        let wire = self.wire.expect("is open");
        let rooms: Vec<String> = self.seats.keys().cloned().collect();
        let mut bytes = Vec::new();
        for room in rooms.into_iter().take(3) {
            let (ask, text) = self.say(room, stage);
            if let Ask::Say(say) = ask {
                stage.model.dead.insert(say.content);
            }
            frame(0x81, text.as_bytes(), &mut stage.seed, &mut bytes);
            stage.model.count("insisted after the end");
        }
        stage.send(wire, &bytes);
    }
}

impl World {
    /// Whatever rests on something that has ended is over when there is nothing more to send.
    pub fn check_sessions(&mut self) {
        if self.has_more || !std::mem::take(&mut self.stage.model.register.is_dirty) {
            return;
        }
        for client in &mut self.clients {
            match client {
                Client::Chat(chat) => chat.look_at_session(&mut self.stage),
                Client::Stream(stream) => stream.look_at_session(&mut self.stage),
                Client::Web(_) => {}
            }
        }
    }

    /// A day and more has passed, and the files have changed again: what was revoked stays revoked, and what is new is
    /// good. Everybody has gone.
    pub(super) fn check_next_day(&mut self) {
        const NIGHT: Duration = Duration::from_secs(26 * 60 * 60);
        self.pass(self.stage.at() + NIGHT);
        self.check_old_tokens();
        // Whoever logs out now has old entries swept, and so has a reload that ends something.
        self.try_token("이튿날", "/auth/logout", 204);
        for change in [super::files::Change::Account("계정"); 2] {
            self.reload(change);
            self.run_until(self.stage.at() + Duration::from_secs(2));
        }
        self.check_old_tokens();
        self.pass(self.stage.at() + NIGHT);
        self.check_old_tokens();
        self.try_token(super::files::CONTESTED, "/auth/ws-ticket", 200);
    }

    fn check_old_tokens(&mut self) {
        let (at, now) = (self.stage.at(), self.stage.now());
        let register = &self.stage.model.register;
        let mut old = Vec::new();
        for (id, token) in register.tokens.iter().enumerate() {
            let verdict = register.verdict(id, at, at);
            if let Verdict::Bad(why) = verdict
                && token.expires_at > now.unix.as_secs()
            {
                old.push((why, token.text.clone()));
            }
        }
        let step = (old.len() / 12).max(1);
        for (why, token) in old.into_iter().step_by(step) {
            let answer = self.exchange(&post("/auth/ws-ticket", "", Some(&token)));
            let answer = answer.expect("nobody else is here");
            assert_eq!(answer.status, 401, "revived: ended {}", by(why));
            let what = format!("days later refused {}", by(why));
            self.stage.model.count(&what);
        }
    }

    fn try_token(&mut self, user: &str, path: &str, status: u16) {
        let now = self.stage.now();
        let times = (Some(now.unix.as_secs()), FAR);
        let register = &mut self.stage.model.register;
        let token = register.mint(user, 0, times, now);
        let text = register.tokens[token].text.clone();
        // Where a clock was ahead when a name was revoked, it is for longer.
        let verdict = register.verdict(token, now.monotonic, now.monotonic);
        let status = if verdict == Verdict::Good {
            status
        } else {
            401
        };
        let answer = self.exchange(&post(path, "", Some(&text)));
        assert_eq!(answer.expect("nobody else is here").status, status);
    }
}
