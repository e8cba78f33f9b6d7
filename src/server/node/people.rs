//! People at a node: their seats in rooms, their names, their whispers and tickets; and events, revocations and lists.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Node;
use super::ask::Ask;
use super::keys::who;
use super::news::News;
use super::scripts::Script;
use super::setup::encode;
use crate::config::{
    ACKNOWLEDGED_FOR, ENGINE_KEPT_SECS, EVENTS_KEPT, OWN_CHANNELS_MAX, PRESENCE_NAMES_MAX,
    ROOMS_LISTED_AT_ONCE,
};
use crate::domain::changes::{Change, Changes};
use crate::domain::drafts::Draft;
use crate::domain::event::RoomInfo;
use crate::domain::ids::Serial;
use crate::domain::message_keys::Person;
use crate::domain::time::{Now, Timestamp};
use crate::domain::wishes::Whispered;
use crate::wire::resp::{Reply, encode_command};

/// The mark of somebody in a room.
fn kind(is_guest: bool) -> &'static str {
    if is_guest { "g" } else { "a" }
}

impl Node {
    fn seat_keys(&self, room: &str) -> [String; 5] {
        [
            self.keys.of("m", room),
            self.keys.of("p", room),
            self.keys.seats(&self.id, room),
            self.keys.holdings(&self.id),
            self.keys.single("idle"),
        ]
    }

    /// Asks for a seat in a room for a user of this node.
    pub fn seat(&mut self, serial: Serial, room: &Rc<str>, name: &str, is_guest: bool, now: Now) {
        let keys = self.seat_keys(room);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let kept = ENGINE_KEPT_SECS.to_string();
        let (reference, channel) = (self.keys.reference(room), self.keys.of("r", room));
        let arguments = [&*reference, &channel, name, kind(is_guest), &kept].map(str::as_bytes);
        let command = self.call(Script::Seat, &keys, &arguments);
        self.ask(Ask::Seat(serial, room.clone()), command, now);
    }

    /// Gives up the seat of a user of this node.
    pub fn leave(&mut self, room: &Rc<str>, name: &Rc<str>, now: Now) {
        let keys = self.seat_keys(room);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (reference, channel) = (self.keys.reference(room), self.keys.of("r", room));
        let arguments = [&*reference, &channel, name].map(str::as_bytes);
        let command = self.call(Script::Leave, &keys, &arguments);
        self.ask(Ask::Leave(room.clone(), name.clone()), command, now);
    }

    /// Asks who is in a room, because too little is known of it here.
    pub fn ask_for_crowd(&mut self, room: &Rc<str>, now: Now) {
        let told = PRESENCE_NAMES_MAX.to_string();
        let command = self.call(
            Script::People,
            &[&self.keys.of("p", room)],
            &[told.as_bytes()],
        );
        self.ask(Ask::Crowd(room.clone()), command, now);
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
    pub fn claim(&mut self, serial: Serial, key: &str, person: &Person, now: Now) {
        let keys = [
            self.keys.of("u", key),
            self.keys.names_with(key),
            self.keys.holdings(&self.id),
            self.keys.single("nodes"),
        ];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (reference, channels) = (self.keys.reference(key), self.keys.node_channel(""));
        let kept = ENGINE_KEPT_SECS.to_string();
        let who = who(person);
        let arguments = [
            &*self.id,
            &who,
            &reference,
            key,
            &channels,
            &kept,
            &person.name,
        ]
        .map(str::as_bytes);
        let command = self.call(Script::Claim, &keys, &arguments);
        self.ask(Ask::Claim(serial), command, now);
    }

    /// Somebody is not here any more under a name; nobody else may have it for a time.
    pub fn unclaim(&mut self, key: &str, person: &Person, held_for: Duration, now: Now) {
        let keys = [
            self.keys.of("u", key),
            self.keys.names_with(key),
            self.keys.holdings(&self.id),
        ];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (reference, held) = (self.keys.reference(key), held_for.as_millis().to_string());
        let who = who(person);
        let arguments = [&*self.id, &who, &reference, &held, &person.name].map(str::as_bytes);
        let command = self.call(Script::Unclaim, &keys, &arguments);
        self.ask(Ask::Unclaim, command, now);
    }

    /// Brings a whisper to the nodes of its target and its sender. `keys` are those of their names; with `said`, the sender, an
    /// `id` and the fingerprint of the text, it is brought once.
    pub fn whisper(
        &mut self,
        serial: Serial,
        whisper: &Whispered,
        [to, from]: [&str; 2],
        said: Option<(&Person, &str, u64)>,
        now: Now,
    ) {
        let mut keys = vec![
            self.keys.of("u", to),
            self.keys.of("u", from),
            self.keys.single("nodes"),
        ];
        if let Some((sender, id, _)) = said {
            keys.push(self.keys.of_message("w", to, sender, id));
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let print = said.map_or(String::new(), |(.., print)| format!("{print:016x}"));
        let kept = ACKNOWLEDGED_FOR.as_secs().to_string();
        let channels = self.keys.node_channel("");
        let payload = write_whisper(whisper);
        let (to, from) = (&whisper.to, &whisper.from);
        let arguments =
            [&*self.id, &payload, &channels, &print, &kept, to, from].map(str::as_bytes);
        let command = self.call(Script::Whisper, &keys, &arguments);
        self.ask(Ask::Whisper(serial, said.is_some()), command, now);
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
        let (key, ttl) = (self.keys.ticket(ticket), ttl.as_millis().to_string());
        let mut command = Vec::new();
        let arguments = ["SET", &key, identity, "PX", &ttl].map(str::as_bytes);
        encode_command(&arguments, &mut command);
        self.ask(Ask::KeepTicket(serial), command, now);
    }

    /// Redeems a ticket of any node.
    pub fn redeem_ticket(&mut self, serial: Serial, ticket: &str, now: Now) {
        let mut command = Vec::new();
        encode_command(
            &[b"GETDEL", self.keys.ticket(ticket).as_bytes()],
            &mut command,
        );
        self.ask(Ask::RedeemTicket(serial), command, now);
    }

    /// Has an event numbered, kept and told; the newest one known here has the number `newest`. One without a serial was sampled, which only the leader does.
    pub fn tell(&mut self, serial: Option<Serial>, draft: Draft, newest: u64, now: Now) {
        let keys = ["sse", "sseq", "sl", "lead", "sf"].map(|name| self.keys.single(name));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let channel = self.keys.single("ev");
        let base = newest.to_string();
        let sampled = if serial.is_none() { "1" } else { "0" };
        let (events, channels) = (EVENTS_KEPT.to_string(), OWN_CHANNELS_MAX.to_string());
        let figures = draft.figures.as_deref().unwrap_or_default();
        let arguments = [
            &*self.id,
            sampled,
            &base,
            &channel,
            &draft.name,
            &draft.data,
            figures,
            &events,
            &channels,
        ];
        let command = self.call(Script::Tell, &keys, &arguments.map(str::as_bytes));
        self.ask(Ask::Tell(serial, Box::new(draft)), command, now);
    }

    /// Has revocations kept, and told to all nodes.
    pub fn revoke(&mut self, serial: Option<Serial>, changes: &Changes, now: Now) {
        let mut arguments = vec![
            self.keys.single("ctl"),
            format!("v {} {}", self.id, encode(changes.as_bytes())),
        ];
        for change in changes.iter() {
            let (key, value) = match change {
                Change::Put(key, value) => (key, encode(value)),
                Change::Remove(key) => (key, String::new()),
            };
            arguments.extend([encode(key), value]);
        }
        let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
        let command = self.call(Script::Revoke, &[&self.keys.single("rv")], &arguments);
        self.ask(Ask::Revoke(serial), command, now);
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

    fn announce(&mut self, message: &str, now: Now) {
        let mut command = Vec::new();
        let channel = self.keys.single("ctl");
        encode_command(
            &[b"PUBLISH", channel.as_bytes(), message.as_bytes()],
            &mut command,
        );
        self.ask(Ask::Nothing, command, now);
    }

    /// Asks for all events, because some are missing.
    pub fn ask_for_events(&mut self, now: Now) {
        let command = self.events_command();
        self.ask(Ask::Events, command, now);
    }

    pub(super) fn events_command(&self) -> Vec<u8> {
        let keys = ["sse", "sseq", "sl", "sf"].map(|name| self.keys.single(name));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.call(Script::Events, &keys, &[])
    }

    /// Asks for the list of rooms of all nodes, if that is not under way.
    pub fn list(&mut self, now: Now) {
        if self.listing.is_none() {
            self.listing = Some(Vec::new());
            let mut command = Vec::new();
            encode_command(
                &[b"HKEYS", self.keys.single("rooms").as_bytes()],
                &mut command,
            );
            self.ask(Ask::Rooms, command, now);
        }
    }

    /// Takes the names of all rooms: asks for what is shown of them.
    pub(super) fn take_room_names(&mut self, reply: &Reply, now: Now) {
        let mut names: Vec<&str> = reply.items().iter().filter_map(Reply::text).collect();
        names.sort_unstable();
        if names.is_empty() {
            self.listing = None;
            return self.news.push_back(News::Rooms(Ok(Vec::new())));
        }
        let last = names.len().div_ceil(ROOMS_LISTED_AT_ONCE);
        for (part, names) in names.chunks(ROOMS_LISTED_AT_ONCE).enumerate() {
            let mut keys = vec![self.keys.single("rooms")];
            keys.extend(
                names
                    .iter()
                    .flat_map(|name| [self.keys.of("m", name), self.keys.of("p", name)]),
            );
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let arguments: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            let command = self.call(Script::List, &keys, &arguments);
            self.ask(Ask::List(part + 1 == last), command, now);
        }
    }

    /// Takes what is shown of some rooms.
    pub(super) fn take_listed(&mut self, reply: &Reply, is_last: bool) {
        let rooms = reply.items().iter().filter_map(|room| {
            Some(RoomInfo {
                name: room.text_at(0)?.into(),
                max_users: room.number_at(1)?.try_into().ok()?,
                users: room.number_at(2)?.try_into().ok()?,
                messages: room.number_at(3)?,
                created_at: Timestamp::from_secs(room.number_at(4)? / 1000),
            })
        });
        if let Some(listing) = &mut self.listing {
            listing.extend(rooms);
        }
        if is_last && let Some(rooms) = self.listing.take() {
            self.news.push_back(News::Rooms(Ok(rooms)));
        }
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
