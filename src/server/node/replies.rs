//! What a reply of the engine means, by what was asked.

use super::Node;
use super::ask::{Ask, Brought, Request};
use super::link::State;
use super::mirror::{self, Mirror};
use super::news::{Claimed, News, Owed, PeerFigures};
use super::rooms::read_names;
use super::setup::read_events;
use crate::config::Level;
use crate::domain::crowd::Crowd;
use crate::domain::drafts::Told;
use crate::domain::error::ErrorCode;
use crate::domain::time::Now;
use crate::wire::resp::Reply;

impl Node {
    /// Nobody will answer this, or the answer is no.
    pub(super) fn refuse(&mut self, request: Request, code: ErrorCode) {
        let news = match request.ask {
            Ask::Publish(said) => News::Failed(said.publication.serial, code),
            Ask::Act(act) => News::Acted(act.serial, Err(code)),
            Ask::Seat(serial, _) if !request.was_sent => News::Unseated(serial),
            Ask::Seat(serial, _) => News::Failed(serial, code),
            Ask::Leave(room, name) => return self.owed.push(Owed::Seat(room, name)),
            Ask::Unclaim(owed) => return self.owed.push(*owed),
            Ask::Whisper(brought) => {
                if request.was_sent && brought.has_id {
                    self.leave_unanswered(&brought.mark);
                }
                News::Failed(brought.serial, code)
            }
            Ask::Wait => return self.confirmed(0),
            Ask::Question(number) => return self.question_refused(number),
            Ask::Open(room) => return self.refuse_opening(&room, code),
            Ask::Claim(claim) if !request.was_sent => News::Claimed(claim, Claimed::Unasked),
            Ask::Claim(claim) => News::Claimed(claim, Claimed::Unknown),
            Ask::KeepTicket(serial) => News::TicketKept(serial, false),
            Ask::RedeemTicket(serial) => News::Redeemed(serial, Err(())),
            Ask::Revoke(serial) => {
                // All that is known here is given to the engine after its next sign of life.
                self.report(News::Unrevoked);
                match serial {
                    Some(serial) => News::Kept(serial, Err(code)),
                    None => return,
                }
            }
            Ask::Tell(serial, draft) => News::Told(Told {
                serial,
                draft: *draft,
                id: Err(code),
            }),
            Ask::Rooms(number) | Ask::List(number) => {
                return self.end_listing(number, Some(code));
            }
            Ask::Names(names) => News::Names(names.serial, Err(code)),
            Ask::Audit(lines) => return self.audit_lost(&lines),
            Ask::Audits => return self.audit_not_loaded(),
            Ask::Crowd(room) => {
                if let Some(mirror) = self.mirrors.get_mut(&room) {
                    mirror.is_crowd_stale = true;
                }
                return;
            }
            Ask::Fill(room) | Ask::Check(room, _) => {
                if let Some(mirror) = self.mirrors.get_mut(&room)
                    && matches!(mirror.state, mirror::State::Filling)
                {
                    mirror.state = mirror::State::Live;
                }
                return;
            }
            _ => return,
        };
        self.report(news);
    }

    /// Takes a reply or a push.
    pub(super) fn take(&mut self, reply: Reply, now: Now) {
        if let Reply::Push(items) = &reply {
            return self.take_push(items, now);
        }
        let Some(request) = self.link.answered() else {
            return self.fail("it has answered what was not asked", now);
        };
        let took = now.monotonic.saturating_sub(request.sent_at);
        self.figures.replies.observe(took.as_micros() as u64);
        if let Reply::Error(error) = &reply
            && !matches!(request.ask, Ask::Setup(_))
        {
            return self.take_error(request, error, now);
        }
        self.take_answer(request, &reply, now);
        self.send_again(now);
    }

    /// Once all replies have come after the engine had lost its scripts: gives them to it, and sends what waits.
    fn send_again(&mut self, now: Now) {
        if !self.link.awaits_scripts || !self.link.sent.is_empty() || self.link.state != State::Up {
            return;
        }
        self.link.awaits_scripts = false;
        let loads: Vec<Vec<u8>> = self.scripts.load().collect();
        for command in loads {
            let request = Request::new(Ask::Nothing, command, None, now.monotonic);
            self.link.push(request, now.monotonic);
        }
        self.link.flush_queue(now.monotonic);
    }

    fn take_error(&mut self, request: Request, error: &str, now: Now) {
        let code = error.split(' ').next().unwrap_or_default();
        match code {
            "NOSCRIPT" => {
                self.link.awaits_scripts = true;
                self.figures.resends += 1;
                self.link.repeat(request);
                return self.send_again(now);
            }
            // It is not the primary any more, or not yet.
            "READONLY" | "MASTERDOWN" | "LOADING" | "NOAUTH" | "UNKILLABLE" => {
                self.link.put_back(request);
                return self.fail(error, now);
            }
            _ => {}
        }
        if self.told_reason != error {
            self.told_reason = error.into();
            self.note(
                Level::Error,
                "engine_refused",
                vec![("reason", error.to_owned())],
            );
        }
        if matches!(request.ask, Ask::Beat(_)) {
            self.link.is_heard = false;
            self.is_leader = false;
        }
        let is_setup = matches!(
            request.ask,
            Ask::Check(_, true) | Ask::Open(_) | Ask::Fill(_)
        );
        if is_setup && matches!(self.link.state, State::Setup(_)) {
            self.link.put_back(request);
            return self.fail(error, now);
        }
        self.refuse(request, ErrorCode::BackendUnavailable);
        self.send_again(now);
    }

    fn take_answer(&mut self, request: Request, reply: &Reply, now: Now) {
        match request.ask {
            Ask::Setup(step) => self.step_done(step, reply, now),
            Ask::Publish(_) => self.published(request, reply, now),
            Ask::Open(ref room) => {
                self.setup_answered();
                self.opened(room, reply, now);
            }
            Ask::Fill(ref room) => {
                self.setup_answered();
                self.filled(room, reply, now);
                self.end_setup_if_done(now);
            }
            Ask::Check(ref room, is_setup) => {
                if is_setup {
                    self.setup_answered();
                }
                self.checked(room, reply, now);
                self.end_setup_if_done(now);
            }
            Ask::Crowd(room) => {
                let count = reply.number_at(0).unwrap_or(0) as usize;
                let names = reply.items().get(1).map(read_names).unwrap_or_default();
                let crowd = Crowd::new(count, names);
                self.report(News::Crowd(room, crowd));
            }
            ask => self.take_other_answer(ask, reply, now),
        }
    }

    /// Takes the answer to what concerns people, events and the life of the node.
    fn take_other_answer(&mut self, ask: Ask, reply: &Reply, now: Now) {
        match ask {
            Ask::Seat(serial, room) => self.seated(serial, room, reply, now),
            Ask::Act(act) => self.acted(&act, reply, now),
            Ask::Leave(room, name) => {
                if let (Some(1), Some(users)) = (reply.number_at(0), reply.number_at(1)) {
                    self.report(News::Left(room, name, users as usize));
                }
            }
            Ask::Claim(claim) => {
                let claimed = match reply.text_at(0) {
                    Some("ok") => Claimed::Granted,
                    Some("taken") => Claimed::Taken,
                    Some("held") => Claimed::Held,
                    _ => Claimed::Unknown,
                };
                self.report(News::Claimed(claim, claimed));
            }
            Ask::Whisper(brought) => self.take_whisper_answer(&brought, reply),
            Ask::LateWhisper(brought) => self.take_late_whisper(*brought, reply),
            Ask::KeepTicket(serial) => self.report(News::TicketKept(serial, true)),
            Ask::RedeemTicket(serial) => {
                let identity = reply.text().map(Into::into);
                self.report(News::Redeemed(serial, Ok(identity)));
            }
            Ask::Tell(serial, draft) => {
                let id = match reply.text_at(0) {
                    Some("ok") => reply.number_at(1),
                    _ => None,
                };
                self.report(News::Told(Told {
                    serial,
                    draft: *draft,
                    id: id.ok_or(ErrorCode::BackendUnavailable),
                }));
            }
            Ask::Revoke(Some(serial)) => self.report(News::Kept(serial, Ok(()))),
            Ask::Secret => self.take_secret(reply),
            Ask::Events => self.report(News::Events(read_events(reply))),
            Ask::Beat(number) => self.take_beat(number, reply, now),
            Ask::Sweep(node) => {
                let (swept, is_done) = (reply.number_at(0), reply.number_at(1));
                match is_done {
                    Some(0) => self.sweep(&node, false, now),
                    _ if swept > Some(0) => {
                        self.note(Level::Info, "node_swept", vec![("node", node.into())]);
                    }
                    _ => {}
                }
            }
            Ask::Bye if reply.number_at(1) == Some(0) => {
                let id = self.id.clone();
                self.sweep(&id, true, now);
            }
            Ask::Rooms(number) => self.take_room_names(number, reply, now),
            Ask::List(number) => self.take_listed(number, reply),
            Ask::Names(names) => self.take_names(&names, reply),
            Ask::Audit(_) => self.audit_kept(reply),
            Ask::Audits => self.audit_loaded(reply),
            Ask::Question(number) => {
                self.question_heard(number, reply.number().unwrap_or(0) as usize);
            }
            Ask::Count => self.report(News::People(reply.number().unwrap_or(0) as usize)),
            Ask::Wait => self.confirmed(reply.number().unwrap_or(0)),
            _ => {}
        }
    }

    fn take_whisper_answer(&mut self, brought: &Brought, reply: &Reply) {
        let serial = brought.serial;
        let news = match reply.text_at(0) {
            Some("ok") => News::Whispered(serial, true),
            // The answer to this very request was lost, or the same `id` has come before.
            Some("known") => {
                let mark = reply.text_at(1).unwrap_or_default();
                let is_new = mark == &*brought.mark || self.take_unanswered(mark);
                News::Whispered(serial, is_new)
            }
            Some("reused") => News::Failed(serial, ErrorCode::IdReused),
            Some("none") => News::Failed(serial, ErrorCode::UserNotFound),
            _ => News::Failed(serial, ErrorCode::BackendUnavailable),
        };
        self.report(news);
    }

    fn take_late_whisper(&mut self, brought: Brought, reply: &Reply) {
        let is_brought = match reply.text_at(0) {
            Some("ok") => true,
            Some("known") => reply.text_at(1) == Some(&brought.mark),
            _ => false,
        };
        if is_brought {
            self.take_unanswered(&brought.mark);
            self.report(News::Whisper(brought.whisper));
        }
    }

    fn setup_answered(&mut self) {
        self.link.setup_left = self.link.setup_left.saturating_sub(1);
    }

    fn seated(
        &mut self,
        serial: crate::domain::ids::Serial,
        room: std::rc::Rc<str>,
        reply: &Reply,
        now: Now,
    ) {
        let users = reply.number_at(2).unwrap_or(0) as usize;
        let mirror = self.mirrors.get(&room);
        let is_followed = mirror.is_some_and(Mirror::is_open);
        self.report(match reply.text_at(0) {
            Some("ok") => News::Seated(serial, reply.number_at(1) == Some(1), users),
            Some("full") => News::Failed(serial, ErrorCode::RoomFull),
            // It was removed, and perhaps made again.
            Some("gone") if !is_followed => News::Failed(serial, ErrorCode::RoomNotFound),
            _ => News::Failed(serial, ErrorCode::BackendUnavailable),
        });
        if reply.text_at(0) == Some("gone") {
            self.reload(&room, now);
        }
    }

    /// Takes what a sign of life has brought.
    pub(super) fn take_beat(&mut self, number: u64, reply: &Reply, now: Now) {
        let [is_new, leads, dead, figures] = reply.items() else {
            return;
        };
        self.link.is_heard = true;
        if self.link.state == State::Up {
            self.ask_for_stale_crowds(now);
            self.load_audit(now);
        }
        for owed in std::mem::take(&mut self.owed) {
            self.report(News::Owed(owed));
        }
        self.is_leader = leads.number() == Some(1);
        if is_new.number() == Some(1) {
            self.registered = number;
        }
        if is_new.number() == Some(1) && !self.is_ending {
            if self.figures.nodes > 0 {
                self.figures.leases_lost += 1;
                self.note(Level::Warn, "lease_lost", Vec::new());
            }
            self.report(News::Anew);
            let command = self.secret_command();
            self.ask(Ask::Secret, command, now);
            // Whatever ended the lease may have ended more.
            self.check_due = now.monotonic;
            for mirror in self.mirrors.values_mut() {
                mirror.heard = mirror
                    .heard
                    .min(now.monotonic.saturating_sub(crate::config::ROOM_SILENCE));
            }
        }
        if is_new.number() != Some(1) && self.link.state != State::Up {
            self.report(News::Reclaim);
        }
        let mut peers: Vec<(Box<str>, PeerFigures)> = Vec::new();
        for (node, figures) in figures.pairs() {
            if let Some(node) = node.text().filter(|node| **node != *self.id) {
                peers.push((node.into(), read_figures(figures)));
            }
        }
        self.figures.nodes = peers.len() + 1;
        self.report(News::Peers(peers, self.is_leader, self.figures.nodes));
        if let Some(dead) = dead.text().filter(|dead| !dead.is_empty()) {
            let dead = dead.to_owned();
            self.sweep(&dead, false, now);
        }
    }
}

/// Reads what a node tells of itself. What cannot be read is none.
fn read_figures(reply: &Reply) -> PeerFigures {
    let mut numbers = reply.text().unwrap_or_default().split(' ');
    let mut next = || numbers.next().and_then(|number| number.parse().ok());
    PeerFigures {
        requests: next().unwrap_or(0),
        errors: next().unwrap_or(0),
        micros: next().unwrap_or(0),
        subscribers: next().unwrap_or(0),
    }
}
