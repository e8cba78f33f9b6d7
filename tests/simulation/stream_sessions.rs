//! What an event stream rests on: a token, or a ticket for one. With it the stream ends.

use sarang::config::HEAD_TIMEOUT;

use super::files::CONTESTED;
use super::register::{TicketId, TokenId};
use super::sessions::{Session, by};
use super::stage::Stage;
use super::stream::{Phase, Stream};
use super::verdicts::Verdict;

/// What a stream is asked for with.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    Token(TokenId),
    Ticket(TicketId),
}

impl Stream {
    /// With what it asks: a ticket somebody has left, somebody's token, or one of its own.
    pub(super) fn choose(&mut self, stage: &mut Stage) -> TokenId {
        if stage.seed.chance(25)
            && let Some(ticket) = stage.take_ticket(None)
        {
            self.shown = Some(Shown::Ticket(ticket));
            return stage.model.register.tickets[ticket].token;
        }
        let user = stage
            .seed
            .pick(&[None, Some("admin"), Some("계정"), Some(CONTESTED)]);
        let others = stage.seed.chance(65);
        let other = stage.pick_token(user).filter(|_| others);
        let token = other.unwrap_or_else(|| {
            let lives = stage.seed.pick(&[20, 90, 10_000]);
            stage.choose_token("구독자", (lives, lives))
        });
        self.shown = Some(Shown::Token(token));
        token
    }

    /// The server has opened it: it rests on what was shown.
    pub(super) fn rest_on_shown(&mut self, stage: &mut Stage) {
        self.session = self.shown.take().map(|shown| match shown {
            Shown::Ticket(ticket) => stage.opens(ticket, self.asked_at),
            Shown::Token(token) => {
                let opened = (self.asked_at, stage.at());
                let register = &mut stage.model.register;
                let verdict = register.verdict(token, opened.0, opened.1);
                let is_bad = matches!(verdict, Verdict::Bad(_));
                assert!(!is_bad, "a stream for a token after its end: {verdict:?}");
                register.is_dirty = true;
                Session { token, opened }
            }
        });
    }

    pub(super) fn refused(&mut self, status: u16, stage: &mut Stage) {
        let shown = self.shown.take();
        // A head that is sent byte by byte may take too long.
        let is_late = status == 408 && stage.at() >= self.asked_at + HEAD_TIMEOUT;
        assert!(
            is_late || status == 503 || (status == 401 && shown.is_some()),
            "{status}"
        );
        match shown.filter(|_| status == 401) {
            Some(Shown::Ticket(ticket)) => stage.refused(ticket, self.asked_at),
            Some(Shown::Token(token)) => {
                let register = &stage.model.register;
                let verdict = register.verdict(token, self.asked_at, stage.at());
                assert!(
                    verdict != Verdict::Good || stage.may_be_untimely(token, self.asked_at),
                    "no stream for a good token"
                );
                if let Verdict::Bad(why) = verdict {
                    stage.model.count(&format!("streams refused {}", by(why)));
                }
            }
            None => {}
        }
    }

    /// Looks whether its session has ended, and what has come of that. Nothing is left to send.
    pub(super) fn look_at_session(&mut self, stage: &mut Stage) {
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
            !self.is_unblocked(stage),
            "a stream goes on after the end of its session {wire:?} {why:?}"
        );
        stage.model.count("slow streams ended");
        self.lapsed_at = Some(stage.at());
        stage.judge_at(self.me, wire, stage.goodbye(wire, stage.at()));
    }
}
