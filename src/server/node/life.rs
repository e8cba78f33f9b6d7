//! The life of a node as the others see it: signs of life, and the end.

use super::Node;
use super::ask::{Ask, Step};
use super::link::State;
use super::news::News;
use super::scripts::Script;
use crate::config::{BEAT_EVERY, ENGINE_RENEWAL_PARTS, LEASE, PRESENCE_NAMES_MAX, SWEPT_AT_ONCE};
use crate::domain::time::Now;

impl Node {
    /// Tells that this node lives, and asks what it has to do.
    pub(super) fn beat(&mut self, is_setup: bool, now: Now) {
        self.beat_due = now.monotonic + BEAT_EVERY;
        self.probes.0 += 1;
        let holdings = self.keys.holdings(&self.id);
        let mut command = self.call(Script::Beat, 5);
        for name in ["nodes", "lead", "fig"] {
            command.text(&self.keys.single(name));
        }
        command.text(&holdings).text(&self.keys.single("reg"));
        command.text(&self.id).number(LEASE.as_millis() as u64);
        command
            .text(&self.own_figures)
            .text(&self.keys.node_channel(&self.id));
        command.number(self.probes.0).number(self.registered);
        let command = command.finish();
        match is_setup {
            true => self.set_up(Step::Beat(self.probes.0), command, now),
            false => self.ask(Ask::Beat(self.probes.0), command, now),
        }
        if !is_setup && self.is_leader {
            let keys = self.keys.all_names();
            let mut command = self.call(Script::Count, keys.len() as u64);
            for key in keys {
                command.text(&key);
            }
            self.ask(Ask::Count, command.finish(), now);
        }
        self.report(News::Renew(self.probes.0 % ENGINE_RENEWAL_PARTS));
    }

    /// The server ends: takes its people out.
    pub fn end(&mut self, now: Now) {
        if !std::mem::replace(&mut self.is_ending, true) {
            let id = self.id.clone();
            self.sweep(&id, true, now);
        }
    }

    /// Whether it has taken its leave, or there is no engine to take it from.
    pub fn has_ended(&self) -> bool {
        self.is_ending && !self.is_busy() || self.link.state != State::Up
    }

    /// Takes out people of a node.
    pub(super) fn sweep(&mut self, node: &str, is_own: bool, now: Now) {
        let mut command = self.call(Script::Sweep, 5);
        for key in [
            self.keys.single("nodes"),
            self.keys.single("fig"),
            self.keys.holdings(node),
            self.keys.single("idle"),
            self.keys.single("reg"),
        ] {
            command.text(&key);
        }
        command.text(node).text(self.keys.prefix());
        command
            .number(SWEPT_AT_ONCE as u64)
            .number(PRESENCE_NAMES_MAX as u64)
            .number(is_own.into());
        let ask = match is_own {
            true => Ask::Bye,
            false => Ask::Sweep(node.into()),
        };
        self.ask(ask, command.finish(), now);
    }
}
