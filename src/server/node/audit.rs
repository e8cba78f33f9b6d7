//! The audit of all nodes: numbered and kept by the engine, told to those who follow it.

use super::Node;
use super::ask::{Ask, Lines};
use super::link::State;
use super::news::News;
use super::scripts::Script;
use super::waits::Audit;
use crate::config::{AUDIT_EVENTS_KEPT, Level};
use crate::domain::time::Now;
use crate::wire::resp::{NUMBER_MAX, Reply};

impl Node {
    /// Has lines numbered, kept and told to all who follow, in order.
    pub fn tell_audit(&mut self, lines: &[String], now: Now) {
        if lines.is_empty() {
            return;
        }
        let lines = Box::new(Lines {
            lines: lines.to_vec(),
            mark: self.mark(),
        });
        let command = self.audit_command(&lines, false);
        self.ask(Ask::Audit(lines), command, now);
    }

    pub(super) fn audit_command(&self, lines: &Lines, is_again: bool) -> Vec<u8> {
        let mut command = self.call(Script::Audit, 2);
        for name in ["au", "aus", "au"] {
            command.text(&self.keys.single(name));
        }
        command.number(AUDIT_EVENTS_KEPT as u64);
        command.number(self.audit.known).text(&lines.mark);
        command.number(is_again.into());
        for line in &lines.lines {
            command.text(line);
        }
        command.finish()
    }

    /// Lines are in the audit.
    pub(super) fn audit_kept(&mut self, reply: &Reply) {
        self.know_of(reply.number().unwrap_or(0));
    }

    /// Lines are not in the audit, or nobody knows.
    pub(super) fn audit_lost(&mut self, lines: &Lines) {
        let about = vec![("lines", lines.lines.len().to_string())];
        self.note(Level::Error, "audit_lost", about);
    }

    /// Follows the audit from now on: it is loaded with [`News::AuditLoaded`], then each event is told with [`News::Audit`].
    pub fn follow_audit(&mut self, now: Now) {
        if std::mem::replace(&mut self.audit.is_followed, true) {
            return;
        }
        if self.link.is_subscribed {
            self.subscribe(&[self.keys.single("au")]);
        }
        self.load_audit(now);
    }

    /// The channel of the audit, if it is followed.
    pub(super) fn audit_channel(&self) -> Option<String> {
        self.audit.is_followed.then(|| self.keys.single("au"))
    }

    /// What was heard over an earlier connection is not all: the audit is loaded anew.
    pub(super) fn reload_audit(&mut self, now: Now) {
        self.audit.told = None;
        self.load_audit(now);
    }

    /// Loads the audit, if it is followed and was not loaded yet.
    pub(super) fn load_audit(&mut self, now: Now) {
        let Audit {
            is_followed,
            is_loading,
            told,
            ..
        } = self.audit;
        if !is_followed || is_loading || told.is_some() || self.link.state != State::Up {
            return;
        }
        self.audit.is_loading = true;
        let mut command = self.call(Script::Audits, 2);
        for name in ["au", "aus"] {
            command.text(&self.keys.single(name));
        }
        self.ask(Ask::Audits, command.finish(), now);
    }

    /// It cannot be loaded now.
    pub(super) fn audit_not_loaded(&mut self) {
        self.audit.is_loading = false;
        self.report(News::AuditUnknown);
    }

    /// Takes the whole audit.
    pub(super) fn audit_loaded(&mut self, reply: &Reply) {
        let newest = reply.number_at(0).unwrap_or(0);
        let entries = reply.items().get(1).map(Reply::items).unwrap_or_default();
        let read = |entry: &Reply| {
            let number: u64 = entry.text_at(0)?.split('-').next()?.parse().ok()?;
            let line = entry.items().get(1)?.text_at(1)?;
            (number <= NUMBER_MAX).then(|| (number, line.into()))
        };
        let events = entries.iter().filter_map(read).collect();
        self.audit.is_loading = false;
        self.audit.told = Some(newest);
        self.know_of(newest);
        self.report(News::AuditLoaded(events, newest));
    }

    /// Takes an event that is told to all who follow.
    pub(super) fn take_audit(&mut self, message: &str, now: Now) {
        let Some((number, line)) = message.split_once('\n') else {
            return;
        };
        let number = number.parse().ok().filter(|number| *number <= NUMBER_MAX);
        let (Some(number), Some(told)) = (number, self.audit.told) else {
            // What is told before it is loaded comes with it.
            return;
        };
        self.know_of(number);
        if number == told + 1 {
            self.audit.told = Some(number);
            self.report(News::Audit(number, line.into()));
        } else if number > told {
            self.reload_audit(now);
        }
    }

    fn know_of(&mut self, number: u64) {
        self.audit.known = self.audit.known.max(number);
    }
}
