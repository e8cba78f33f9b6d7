//! The life of a node as the others see it: signs of life, and the end.

use super::Node;
use super::ask::{Ask, Step};
use super::link::State;
use super::news::News;
use super::scripts::Script;
use crate::config::{BEAT_EVERY, ENGINE_RENEWED_EVERY, LEASE, PRESENCE_NAMES_MAX, SWEPT_AT_ONCE};
use crate::domain::time::Now;

impl Node {
    /// Tells that this node lives, and asks what it has to do.
    pub(super) fn beat(&mut self, is_setup: bool, now: Now) {
        self.beat_due = now.monotonic + BEAT_EVERY;
        self.probes.0 += 1;
        let keys = [
            self.keys.single("nodes"),
            self.keys.single("lead"),
            self.keys.single("fig"),
            self.keys.holdings(&self.id),
            self.keys.single("reg"),
        ];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let lease = LEASE.as_millis().to_string();
        let channel = self.keys.node_channel(&self.id);
        let (probe, registered) = (self.probes.0.to_string(), self.registered.to_string());
        let arguments = [
            &*self.id,
            &lease,
            &self.own_figures,
            &channel,
            &probe,
            &registered,
        ];
        let arguments = arguments.map(str::as_bytes);
        let command = self.call(Script::Beat, &keys, &arguments);
        match is_setup {
            true => self.set_up(Step::Beat(self.probes.0), command, now),
            false => self.ask(Ask::Beat(self.probes.0), command, now),
        }
        if !is_setup && self.is_leader {
            let keys: Vec<String> = self.keys.all_names().collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let command = self.call(Script::Count, &keys, &[]);
            self.ask(Ask::Count, command, now);
        }
        if now.monotonic >= self.renew_due {
            self.renew_due = now.monotonic + ENGINE_RENEWED_EVERY;
            self.news.push_back(News::Anew);
        }
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
        let keys = [
            self.keys.single("nodes"),
            self.keys.single("fig"),
            self.keys.holdings(node),
            self.keys.single("idle"),
            self.keys.single("reg"),
        ];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let chunk = SWEPT_AT_ONCE.to_string();
        let told = PRESENCE_NAMES_MAX.to_string();
        let own = if is_own { "1" } else { "0" };
        let arguments = [node, self.keys.prefix(), &chunk, &told, own].map(str::as_bytes);
        let command = self.call(Script::Sweep, &keys, &arguments);
        let ask = match is_own {
            true => Ask::Bye,
            false => Ask::Sweep(node.into()),
        };
        self.ask(ask, command, now);
    }
}
