//! People at a node: their seats in rooms, their names, their whispers and tickets; and events and revocations.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Node;
use super::ask::{Ask, Brought};
use super::keys::who;
use super::news::{Claim, Owed};
use super::scripts::Script;
use super::setup::encode;
use crate::config::{
    ACKNOWLEDGED_FOR, ENGINE_KEPT_SECS, ENGINE_REQUESTS_MAX, EVENTS_KEPT, OWN_CHANNELS_MAX,
    PRESENCE_NAMES_MAX,
};
use crate::domain::changes::{Change, Changes};
use crate::domain::drafts::Draft;
use crate::domain::ids::Serial;
use crate::domain::message_keys::Person;
use crate::domain::time::{Now, Timestamp};
use crate::domain::wishes::Whispered;
use crate::wire::resp::Command;

/// The mark of somebody in a room.
fn kind(is_guest: bool) -> &'static str {
    if is_guest { "g" } else { "a" }
}

impl Node {
    /// Begins a command about a seat in a room: its keys, and what both scripts begin with.
    fn seat_command(&self, script: Script, room: &str, name: &str) -> Command {
        let mut command = self.call(script, 5);
        command.text(&self.keys.of("m", room));
        command.text(&self.keys.of("p", room));
        command.text(&self.keys.seats(&self.id, room));
        command.text(&self.keys.holdings(&self.id));
        command.text(&self.keys.single("idle"));
        command.text(&self.keys.reference(room));
        command.text(&self.keys.of("r", room)).text(name);
        command
    }

    /// Asks for a seat in a room for a user of this node.
    pub fn seat(&mut self, serial: Serial, room: &Rc<str>, name: &str, is_guest: bool, now: Now) {
        let mut command = self.seat_command(Script::Seat, room, name);
        command.text(kind(is_guest)).number(ENGINE_KEPT_SECS);
        self.ask(Ask::Seat(serial, room.clone()), command.finish(), now);
    }

    /// Gives up the seat of a user of this node.
    pub fn leave(&mut self, room: &Rc<str>, name: &Rc<str>, now: Now) {
        let command = self.seat_command(Script::Leave, room, name);
        let ask = Ask::Leave(room.clone(), name.clone());
        self.ask(ask, command.finish(), now);
    }

    /// Asks who is in a room, because too little is known of it here.
    pub fn ask_for_crowd(&mut self, room: &Rc<str>, now: Now) {
        let mut command = self.call(Script::People, 1);
        command.text(&self.keys.of("p", room));
        command.number(PRESENCE_NAMES_MAX as u64);
        self.ask(Ask::Crowd(room.clone()), command.finish(), now);
    }

    /// Asks who is in the rooms of which comings and goings may have been missed.
    pub(super) fn ask_for_stale_crowds(&mut self, now: Now) {
        let stale = self
            .mirrors
            .iter()
            .filter(|(_, mirror)| mirror.is_crowd_stale);
        let stale: Vec<Rc<str>> = stale.map(|(room, _)| room.clone()).collect();
        for room in stale {
            if let Some(mirror) = self.mirrors.get_mut(&room) {
                mirror.is_crowd_stale = false;
            }
            self.ask_for_crowd(&room, now);
        }
    }

    /// Asks for a name, by its key, for somebody who comes to this node.
    pub fn claim(&mut self, claim: Claim, now: Now) {
        let Claim { key, person, .. } = &claim;
        let mut command = self.name_command(Script::Claim, 4, key);
        command.text(&self.keys.single("nodes"));
        command.text(&self.id).text(&who(person));
        command.text(&self.keys.reference(key)).text(key);
        command.text(&self.keys.node_channel(""));
        command.number(ENGINE_KEPT_SECS).text(&person.name);
        let ask = Ask::Claim(Box::new(claim));
        self.ask(ask, command.finish(), now);
    }

    /// Begins a command about a name: the keys that both scripts begin with.
    fn name_command(&self, script: Script, keys: u64, key: &str) -> Command {
        let mut command = self.call(script, keys);
        command.text(&self.keys.of("u", key));
        command.text(&self.keys.names_with(key));
        command.text(&self.keys.holdings(&self.id));
        command
    }

    /// Somebody is not here any more under a name; nobody else may have it for a time.
    pub fn unclaim(&mut self, key: &Rc<str>, person: &Person, held_for: Duration, now: Now) {
        let mut command = self.name_command(Script::Unclaim, 3, key);
        command.text(&self.id).text(&who(person));
        command.text(&self.keys.reference(key));
        command
            .number(held_for.as_millis() as u64)
            .text(&person.name);
        let owed = Box::new(Owed::Name(key.clone(), person.clone()));
        self.ask(Ask::Unclaim(owed), command.finish(), now);
    }

    /// Brings a whisper to the nodes of its target and its sender. `keys` are those of their names; with `said`, the sender, an
    /// `id` and the fingerprint of the text, it is brought once.
    pub fn whisper(
        &mut self,
        serial: Serial,
        whisper: Whispered,
        [to, from]: [&str; 2],
        said: Option<(&Person, &str, u64)>,
        now: Now,
    ) {
        let mark = self.mark();
        let mut command = self.call(Script::Whisper, if said.is_some() { 4 } else { 3 });
        command.text(&self.keys.of("u", to));
        command.text(&self.keys.of("u", from));
        command.text(&self.keys.single("nodes"));
        if let Some((sender, id, _)) = said {
            command.text(&self.keys.of_message("w", to, sender, id));
        }
        command.text(&self.id).text(&write_whisper(&whisper));
        command.text(&self.keys.node_channel(""));
        match said {
            Some((.., print)) => command.hex(print),
            None => command.text(""),
        };
        command.number(ACKNOWLEDGED_FOR.as_secs());
        command.text(&whisper.to).text(&whisper.from).text(&mark);
        let brought = Box::new(Brought {
            serial,
            whisper,
            mark,
            has_id: said.is_some(),
        });
        self.ask(Ask::Whisper(brought), command.finish(), now);
    }

    /// The number in a mark of this node.
    fn number_of(&self, mark: &str) -> Option<u64> {
        let (node, number) = mark.split_once(':')?;
        number.parse().ok().filter(|_| *node == *self.id)
    }

    /// Nobody knows whether the engine has kept a whisper.
    pub(super) fn leave_unanswered(&mut self, mark: &str) {
        if let Some(number) = self.number_of(mark)
            && let Err(place) = self.unanswered.binary_search(&number)
        {
            self.unanswered.insert(place, number);
            if self.unanswered.len() > ENGINE_REQUESTS_MAX {
                self.unanswered.pop_front();
            }
        }
    }

    /// The engine has kept this whisper. Returns whether nobody knew.
    pub(super) fn take_unanswered(&mut self, mark: &str) -> bool {
        let number = self.number_of(mark);
        let place = number.and_then(|number| self.unanswered.binary_search(&number).ok());
        place
            .and_then(|place| self.unanswered.remove(place))
            .is_some()
    }

    /// Has a ticket kept for any node, with what it stands for.
    pub fn keep_ticket(
        &mut self,
        serial: Serial,
        ticket: &str,
        identity: &str,
        ttl: Duration,
        now: Now,
    ) {
        let mut command = Command::new("SET");
        command.text(&self.keys.ticket(ticket)).text(identity);
        command.text("PX").number(ttl.as_millis() as u64);
        self.ask(Ask::KeepTicket(serial), command.finish(), now);
    }

    /// Redeems a ticket of any node.
    pub fn redeem_ticket(&mut self, serial: Serial, ticket: &str, now: Now) {
        let mut command = Command::new("GETDEL");
        command.text(&self.keys.ticket(ticket));
        self.ask(Ask::RedeemTicket(serial), command.finish(), now);
    }

    /// Has an event numbered, kept and told; the newest one known here has the number `newest`. One without a serial was sampled, which only the leader does.
    pub fn tell(&mut self, serial: Option<Serial>, draft: Draft, newest: u64, now: Now) {
        let mut command = self.call(Script::Tell, 5);
        for name in ["sse", "sseq", "sl", "lead", "sf"] {
            command.text(&self.keys.single(name));
        }
        command.text(&self.id).number(serial.is_none().into());
        command.number(newest).text(&self.keys.single("ev"));
        command.text(&draft.name).text(&draft.data);
        command.text(draft.figures.as_deref().unwrap_or_default());
        command.number(EVENTS_KEPT as u64);
        command.number(OWN_CHANNELS_MAX as u64);
        let ask = Ask::Tell(serial, Box::new(draft));
        self.ask(ask, command.finish(), now);
    }

    /// Has revocations kept, and told to all nodes.
    pub fn revoke(&mut self, serial: Option<Serial>, changes: &Changes, now: Now) {
        let mut command = self.call(Script::Revoke, 1);
        command.text(&self.keys.single("rv"));
        command.text(&self.keys.single("ctl"));
        let all = encode(changes.as_bytes());
        command.text(&format!("v {} {all}", self.id));
        for change in changes.iter() {
            match change {
                Change::Put(key, value) => command.text(&encode(key)).text(&encode(value)),
                Change::Remove(key) => command.text(&encode(key)).text(""),
            };
        }
        self.ask(Ask::Revoke(serial), command.finish(), now);
    }

    /// Tells the other nodes that a sign-in failed.
    pub fn tell_failed_sign_in(&mut self, account: &str, address: IpAddr, now: Now) {
        let message = format!("f {} {address} {account}", self.id);
        self.announce(&message, now);
    }

    /// Tells the leader that somebody waits for samples.
    pub fn tell_subscribed(&mut self, now: Now) {
        self.announce("s", now);
    }

    pub(super) fn announce(&mut self, message: &str, now: Now) {
        let mut command = Command::new("PUBLISH");
        command.text(&self.keys.single("ctl")).text(message);
        self.ask(Ask::Nothing, command.finish(), now);
    }

    /// Asks for all events, because some are missing.
    pub fn ask_for_events(&mut self, now: Now) {
        let command = self.events_command();
        self.ask(Ask::Events, command, now);
    }

    pub(super) fn events_command(&self) -> Vec<u8> {
        let mut command = self.call(Script::Events, 4);
        for name in ["sse", "sseq", "sl", "sf"] {
            command.text(&self.keys.single(name));
        }
        command.finish()
    }
}

/// A whisper as it is told to nodes.
fn write_whisper(whisper: &Whispered) -> String {
    let Whispered {
        from,
        is_guest,
        to,
        content,
        timestamp,
    } = whisper;
    format!(
        "{}\n{}\n{from}\n{to}\n{content}",
        timestamp.0,
        kind(*is_guest)
    )
}

/// Reads that.
pub(super) fn read_whisper(payload: &str) -> Option<Whispered> {
    let mut parts = payload.splitn(5, '\n');
    let (timestamp, kind) = (parts.next()?.parse().ok()?, parts.next()?);
    Some(Whispered {
        timestamp: Timestamp::from_secs(timestamp),
        is_guest: kind == "g",
        from: parts.next()?.into(),
        to: parts.next()?.into(),
        content: parts.next()?.into(),
    })
}
