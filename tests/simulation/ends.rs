//! How a client's connection ends: with a code, by a deadline, or because it went itself.

use std::time::Duration;

use sarang::domain::names::key;

use super::chat::{Chat, Identity, Phase};
use super::network::Wire;
use super::sessions::{GOODBYE, by};
use super::stage::{Stage, frame};
use super::told::LATE;
use super::verdicts::Verdict;

impl Chat {
    pub(super) fn closed(&mut self, payload: &[u8], stage: &mut Stage) {
        let code = match *payload {
            [high, low, ..] => u16::from_be_bytes([high, low]),
            _ => 1005,
        };
        self.heard_close = Some(code);
        stage.model.count(&format!("closed {code}"));
        let wire = self.wire.expect("is open");
        let was_blocked = stage.network.sockets[wire.0].was_blocked;
        let is_provoked = self.provoked.is_some_and(|codes| codes.contains(&code));
        let is_right = match code {
            1000 if self.said_close => true,
            1001 => stage.model.is_draining,
            4001 => self.may_be_sent_away(stage),
            4002 => self.may_have_ended(stage),
            4005 => matches!(self.identity, Identity::Holder(_)) && !self.is_welcomed,
            4008 => was_blocked,
            4009 => self.refused_in_row == 10 || (stage.model.is_late && self.refused_in_row > 10),
            _ => is_provoked,
        };
        assert!(
            is_right || is_provoked,
            "{} is closed with {code} {wire:?}",
            self.name
        );
        if matches!(code, 1000..=1000 | 1002..=1003 | 1007 | 1009)
            && !was_blocked
            && self.provoked != Some(&[])
        {
            let is_random = self.provoked.is_some_and(|codes| codes.len() > 1);
            assert!(
                is_random || self.asked.is_empty() || self.waits_for_words(stage),
                "not answered before the end: {:?}",
                self.asked
            );
        }
        self.phase = Phase::Leaving;
        self.bury_unread(wire, stage);
        if code == 4002 && !self.is_mute && stage.seed.chance(30) {
            self.insist(stage);
        }
        if self.habits.is_polite && !self.said_close && !self.is_mute {
            let mut bytes = Vec::new();
            frame(
                0x88,
                &payload[..payload.len().min(2)],
                &mut stage.seed,
                &mut bytes,
            );
            stage.send(wire, &bytes);
        }
        // The closing handshake has 3 seconds, what lingers 2 more.
        if self.is_prompt() {
            let at = stage.at() + GOODBYE + 2 * LATE;
            self.gone_by = Some(at);
            stage.judge_at(self.me, wire, at);
        }
    }

    /// Whether only the ends of what was said are not known.
    fn waits_for_words(&self, stage: &Stage) -> bool {
        stage.model.is_late && self.next_in_order(stage).is_none()
    }

    fn may_be_sent_away(&mut self, stage: &mut Stage) -> bool {
        match &self.identity {
            Identity::Guest | Identity::Holder(_) => false,
            Identity::Impostor => {
                if key(&self.name) != self.name {
                    stage.model.count("names refused in another spelling");
                }
                true
            }
            Identity::Member(..) => {
                let shown = self.shown.take().filter(|_| self.session.is_none());
                if let Some((ticket, at)) = shown {
                    stage.refused(ticket, at);
                }
                shown.is_some()
            }
            Identity::Contender(ticket) => {
                stage
                    .model
                    .tickets
                    .get_mut(ticket)
                    .expect("is known")
                    .losers += 1;
                true
            }
        }
    }

    /// Whether its session, or its ticket's token, may have ended.
    fn may_have_ended(&mut self, stage: &mut Stage) -> bool {
        let Some(session) = self.session else {
            return self.shown.take().is_some_and(|(ticket, at)| {
                let token = stage.model.register.tickets[ticket].token;
                stage.may_be_untimely(token, at) || stage.may_be_refused(ticket, at)
            });
        };
        let fate = session.fate(stage);
        if let Verdict::Bad(why) = fate {
            stage.model.count(&format!("sockets ended {}", by(why)));
        }
        if fate == Verdict::Good
            && let Some(due) = self.due
        {
            assert!(
                stage.at() + LATE >= due,
                "expired too soon: due {due:?}, now {:?}, {session:?}",
                stage.now()
            );
        }
        true
    }

    /// The server has ended its direction, and everything is read.
    pub fn ended(&mut self, wire: Wire, stage: &mut Stage) {
        if self.desk.as_ref().is_some_and(|(desk, ..)| *desk == wire) {
            self.desk = None;
            return;
        }
        if Some(wire) != self.wire {
            return;
        }
        let socket = &stage.network.sockets[wire.0];
        let silent = stage.at() - socket.heard_at;
        let is_silent = self.is_mute || !self.habits.is_polite;
        if self.phase != Phase::Leaving && !is_silent {
            // Much may have waited for a small window when it was closed, and closing takes 5 seconds at most.
            assert!(
                !self.is_unblocked(stage) || stage.model.is_ending,
                "{} was dropped without a word ({wire:?} {:?})",
                self.name,
                self.phase
            );
        }
        if self.phase == Phase::Open
            && is_silent
            && self.is_unblocked(stage)
            && !stage.model.is_ending
        {
            assert!(
                silent + LATE >= Duration::from_secs(45),
                "given up after {silent:?} {wire:?}"
            );
            stage.model.count("given up");
        }
        if self.is_unblocked(stage) && self.heard_close.is_some() {
            assert!(self.bytes.is_empty(), "the end cuts nothing");
        }
        stage.finish(wire);
        self.note_over(stage);
        self.forget(stage);
        self.schedule(stage, 50, 3_000);
    }

    /// The time has come at which a connection must be over, or a session must have ended.
    pub fn judge(&mut self, wire: Wire, stage: &mut Stage) {
        if self.wire != Some(wire) || stage.network.sockets[wire.0].is_dropped {
            return;
        }
        let at = stage.at();
        if let Some(lapsed_at) = self.lapsed_at {
            let limit = stage.goodbye(wire, lapsed_at);
            assert!(
                at < limit,
                "{} outlives its session {wire:?}, {:?}, since {lapsed_at:?}",
                self.name,
                self.session
            );
            stage.judge_at(self.me, wire, limit);
        }
        if let Some(due) = self
            .due
            .filter(|_| self.phase == Phase::Open && self.is_unblocked(stage))
        {
            assert!(
                at < due + LATE,
                "{} outlives its token ({wire:?}) due {due:?}",
                self.name
            );
        }
        let heard = stage.network.sockets[wire.0].heard_at;
        // Who drains says goodbye, and waits for theirs.
        // What waits for the backend is no silence: nothing is read meanwhile.
        let waits = stage.model.is_late && !self.asked.is_empty();
        if self.is_mute && self.phase == Phase::Open && !stage.model.is_draining && !waits {
            let limit = heard + Duration::from_secs(45) + LATE;
            assert!(
                at <= limit,
                "{} is mute since {heard:?} and still here",
                self.name
            );
            stage.judge_at(self.me, wire, limit + Duration::from_millis(50));
        }
        if let Some(by) = self.gone_by {
            assert!(
                at < by,
                "{} was closed and is still here at {at:?} ({wire:?})",
                self.name
            );
        }
    }
}
