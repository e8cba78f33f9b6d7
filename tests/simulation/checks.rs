//! What is compared: queues after every turn, everybody's view with the server's and with one another's now and then,
//! and that nothing is left in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use sarang::config::{
    EVENT_OUTBOX_BYTES, EVENTS_KEPT, OUTBOX_HIGH_WATER_BYTES, POSTED_BYTES_MAX,
    ROOM_PENDING_HIGH_WATER_BYTES,
};
use sarang::domain::event::RoomInfo;

use super::chat::{Chat, Phase};
use super::model::Spot;
use super::network::{Manner, NOBODY, Pace, Reading};
use super::reading::{Answer, Answers};
use super::run::{Client, World};
use super::stage::{encoded, get};
use super::told::LATE;

/// The largest page there is, generously, in bytes.
const PAGE_BYTES_MAX: usize = 256 * 1024;
/// What was answered so long ago has come, whatever the loop was busy with.
const SETTLED: Duration = Duration::from_millis(300);
/// A frame under way, a close frame, and what a room says while a member is answered.
const SPARE_BYTES: usize = 64 * 1024;

impl World {
    /// No queue is over its limit. What answers a peer's own requests is not counted there, but is bounded: nothing is
    /// read above the high-water mark. What a room has pending then comes before the answer, and is judged with the
    /// room's next message.
    pub fn check_queues(&mut self) {
        let config = &self.stage.model.config;
        let answer_max = 50 * (config.rooms.content_chars * 4 + 512)
            + 200 * 150
            + config.rooms.rooms.min(64) * 512;
        let chat_max = config.outbox_bytes.max(OUTBOX_HIGH_WATER_BYTES)
            + OUTBOX_HIGH_WATER_BYTES
            + answer_max
            + ROOM_PENDING_HIGH_WATER_BYTES
            + SPARE_BYTES;
        let mut wires = std::mem::take(&mut self.stage.network.blocked);
        wires.retain(|wire| {
            let socket = &self.stage.network.sockets[wire.0];
            let Some(id) = socket.id.filter(|_| socket.is_blocked) else {
                return false;
            };
            let queued = self.server.queued_bytes(id);
            let limit = match self.clients.get(socket.owner) {
                Some(Client::Chat(_)) => chat_max,
                Some(Client::Stream(_)) => {
                    2 * EVENT_OUTBOX_BYTES + EVENTS_KEPT * 2 * POSTED_BYTES_MAX
                }
                _ => OUTBOX_HIGH_WATER_BYTES + PAGE_BYTES_MAX,
            };
            assert!(
                queued <= limit,
                "{queued} bytes wait for one peer, {limit} may"
            );
            self.queue_max = self.queue_max.max(queued);
            true
        });
        wires.sort_unstable();
        wires.dedup();
        self.stage.network.blocked = wires;
    }

    /// Whoever was whispered to has heard it when there is nothing more to send.
    pub fn check_whispers(&mut self) {
        if self.has_more {
            return;
        }
        let echoed = std::mem::take(&mut self.stage.model.echoed);
        if echoed.is_empty() {
            return;
        }
        for chat in chats(&self.clients) {
            if chat.phase != Phase::Open || !chat.is_unblocked(&self.stage) {
                continue;
            }
            for (turn, _, content) in echoed
                .iter()
                .filter(|(turn, to, _)| *to == chat.name && chat.opened_turn < *turn)
            {
                assert!(
                    chat.whispers.contains(content),
                    "{} has not heard {content:?} of turn {turn}",
                    chat.name
                );
            }
        }
    }

    /// Compares everything with everything; nothing is under way.
    pub fn inspect(&mut self) {
        self.stage.model.count("inspections");
        self.check_audit();
        self.check_members();
        self.check_histories();
        self.check_seats();
        self.check_pages();
    }

    /// Who is in which room: at least those who know they are, at most those who may be.
    fn check_members(&mut self) {
        let (mut surely, mut maybe) = (BTreeMap::new(), BTreeSet::new());
        let mut users = BTreeSet::new();
        for chat in chats(&self.clients) {
            if let Some(wire) = chat.wire {
                let socket = &self.stage.network.sockets[wire.0];
                assert!(
                    !socket.is_left_unread() || chat.is_parked(&self.stage),
                    "{} is not read any more",
                    chat.name
                );
            }
            if chat.is_settled(&self.stage) {
                users.insert(chat.name.as_str());
                for room in chat.seats.keys() {
                    surely
                        .entry(room.as_str())
                        .or_insert_with(BTreeSet::new)
                        .insert(chat.name.as_str());
                }
            } else if chat
                .wire
                .is_some_and(|wire| self.stage.network.sockets[wire.0].id.is_some())
            {
                maybe.insert(chat.name.as_str());
            }
        }
        // A reset shows when what the connection waits for is answered.
        for socket in &self.stage.network.sockets {
            let is_held = socket.is_reset && socket.id.is_some();
            if is_held && let Some(Client::Chat(chat)) = self.clients.get(socket.owner) {
                maybe.insert(chat.name.as_str());
            }
        }
        for info in self.server.rooms().list() {
            let sure = surely.remove(&*info.name).unwrap_or_default();
            self.check_room(&info.name, &sure, &maybe);
        }
        assert!(surely.is_empty(), "in rooms that are not: {surely:?}");
        let count = self.server.rooms().people().count();
        assert!(count >= users.len(), "{count} users, and {users:?}");
        users.extend(maybe);
        assert!(count <= users.len(), "{count} users, and {users:?}");
    }

    /// In a room are those who surely are, and beside them only some who may be, are in grace, or whose last words are under
    /// way.
    fn check_room(&self, name: &str, sure: &BTreeSet<&str>, maybe: &BTreeSet<&str>) {
        let (info, names) = self.info(name).expect("is listed");
        let names: BTreeSet<&str> = names.iter().map(|name| &**name).collect();
        assert!(info.users <= info.max_users as usize, "{info:?}");
        assert!(info.users >= sure.len(), "{info:?}: {sure:?}");
        if info.users > 200 {
            return;
        }
        assert_eq!(info.users, names.len());
        assert!(sure.is_subset(&names), "{name}: {sure:?} in {names:?}");
        let authors = self.authors();
        for user in names.difference(sure) {
            let author = (name.to_owned(), (*user).to_owned());
            let at = self.stage.at();
            assert!(
                maybe.contains(user)
                    || authors.contains(&author)
                    || self.stage.model.may_be_in_grace(user, at),
                "{user} is in {name} and nowhere at {at:?}"
            );
        }
    }

    /// What was heard is what is kept, at the same places.
    fn check_histories(&mut self) {
        for (epoch, log) in &self.stage.model.logs {
            let Ok(room) = self.server.rooms().find(&log.room) else {
                continue;
            };
            if room.history.position().epoch != *epoch {
                continue;
            }
            let newest = log.said.last_key_value().map_or(0, |(seq, _)| *seq);
            assert!(
                newest <= room.history.position().seq,
                "heard and not in history"
            );
            let backend = self.stage.backend.as_ref();
            let kept = backend.and_then(|backend| {
                let before = self.stage.at().saturating_sub(SETTLED);
                backend.newest(&log.room, *epoch, before)
            });
            if let Some(kept) = kept {
                let position = room.history.position();
                assert_eq!(position.seq, kept, "what is kept in {}", log.room);
            }
            let first = room.history.position().seq + 1 - room.history.len() as u64;
            for (expected, message) in (first..).zip(room.history.last(usize::MAX)) {
                assert_eq!(
                    message.position.seq, expected,
                    "a hole in the history of {}",
                    log.room
                );
                if self.stage.model.is_late {
                    let truth = &self.stage.model.truth[&(*epoch, expected)];
                    assert_eq!(truth.content, message.content);
                    assert_eq!(truth.username, message.username);
                }
                if let Some(heard) = log.said.get(&message.position.seq) {
                    assert_eq!(heard["content"], *message.content);
                    assert_eq!(heard["username"], *message.username);
                    assert_eq!(heard["position"], message.position.to_string());
                }
            }
        }
    }

    /// Every member has heard everything, and knows who is there.
    fn check_seats(&mut self) {
        let rooms = self.server.rooms();
        for chat in chats(&self.clients).filter(|chat| chat.is_settled(&self.stage)) {
            for (name, seat) in &chat.seats {
                let room = rooms.find(name).expect("has members");
                let position = room.history.position();
                let at = Spot {
                    epoch: position.epoch,
                    seq: position.seq,
                };
                assert_eq!(seat.spot, at, "{} in {name}", chat.name);
                let (info, names) = rooms.get_room_info(name).expect("has members");
                if let Some(known) = &seat.names {
                    let names: BTreeSet<String> =
                        names.iter().map(|name| name.to_string()).collect();
                    assert_eq!(*known, names, "what {} knows of {name}", chat.name);
                } else if !room.is_count_due {
                    assert_eq!(seat.count, info.users, "what {} knows of {name}", chat.name);
                }
            }
        }
    }

    /// The pages say the same.
    fn check_pages(&mut self) {
        let token = self.stage.model.pass("검사");
        let rooms: Vec<String> = self
            .server
            .rooms()
            .list()
            .iter()
            .map(|room| room.name.to_string())
            .collect();
        for name in rooms.into_iter().take(8) {
            let path = format!("/rooms/{}", encoded(&name));
            let before = self.info(&name);
            let Some(answer) = self.exchange(&get(&path, token.as_deref())) else {
                return;
            };
            // Somebody's time may have been over while it was asked.
            let after = self.info(&name);
            if after != before {
                continue;
            }
            let (info, names) = after.expect("is listed");
            let shown = answer.json();
            assert_eq!(shown["users"], info.users);
            assert_eq!(shown["messages"], info.messages);
            let shown: Vec<&str> = shown["online_users"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|name| name.as_str().expect("a name"))
                .collect();
            assert!(
                shown.iter().copied().eq(names.iter().map(|name| &**name)),
                "{name}"
            );
            let Some(answer) = self.exchange(&get(&format!("{path}/history"), token.as_deref()))
            else {
                return;
            };
            let shown = answer.json();
            let until = Spot::read(&shown["position"]);
            let messages = shown["messages"].as_array().expect("a list");
            assert_eq!(messages.len() as u64, until.seq.min(50));
            for (seq, message) in (until.seq + 1 - messages.len() as u64..).zip(messages) {
                let at = Spot { seq, ..until };
                assert_eq!(Spot::read(&message["position"]), at);
                if let Some(heard) = self.stage.model.at(at) {
                    assert_eq!(**heard, *message);
                }
            }
        }
    }

    fn info(&self, room: &str) -> Option<(RoomInfo, Vec<Rc<str>>)> {
        self.server.rooms().get_room_info(room).ok()
    }

    /// One request on a connection of its own, beside all others.
    pub fn exchange(&mut self, request: &str) -> Option<Answer> {
        let now = self.stage.now();
        let id = self.server.accept(IpAddr::V4(Ipv4Addr::LOCALHOST), now)?;
        let manner = Manner {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            pace: Pace::Whole,
            reading: Reading::Prompt,
            window: usize::MAX,
        };
        let wire = self.stage.network.connect(NOBODY, manner);
        self.stage.network.backlog.retain(|other| *other != wire);
        self.stage.network.accepted(wire, id);
        self.stage.network.say(wire, request.as_bytes());
        self.stage.network.deliver(wire, &mut self.stage.seed);
        let mut answers = Answers::default();
        let answer = loop {
            self.turn();
            let bytes = self.stage.network.take(wire, usize::MAX);
            answers.bytes.extend(bytes);
            if let Some(answer) = answers.next(false) {
                break answer;
            }
            assert!(!self.is_quiet(), "is answered at once: {request}");
        };
        self.server.closed(id, self.stage.now());
        self.turn();
        Some(answer)
    }

    /// Whether anything that was asked waits for the backend.
    pub fn is_waiting(&self) -> bool {
        let is_parked = |chat: &Chat| {
            let is_open = matches!(chat.phase, Phase::Open | Phase::Opening);
            is_open && (chat.phase == Phase::Opening || chat.is_parked(&self.stage))
        };
        !self.is_everything_answered() || chats(&self.clients).any(is_parked)
    }

    /// Whatever was asked before that has had its end.
    pub fn check_answered(&self, before: Duration) {
        self.check_wishes();
        for chat in chats(&self.clients).filter(|chat| chat.phase == Phase::Open) {
            let wire = chat.wire.expect("is open");
            let socket = &self.stage.network.sockets[wire.0];
            let is_read = socket.is_read() && socket.heard_at < before;
            if chat.is_unblocked(&self.stage) && is_read && !socket.is_reset {
                assert!(
                    chat.is_answered(),
                    "{} waits for {:?} {wire:?}",
                    chat.name,
                    chat.asked
                );
            }
        }
    }

    /// A signal to stop, and during its delay perhaps another.
    fn stop(&mut self) {
        self.server.stop(self.stage.now());
        self.has_more = true;
        let delay = self.stage.model.config.drain_delay;
        if delay.is_zero() {
            return assert!(self.server.is_draining());
        }
        let is_hurried = self.stage.seed.chance(50);
        // A turn may begin a little late.
        let wait = if is_hurried { delay / 2 } else { delay + LATE };
        self.run_until(self.stage.at() + wait);
        assert!(self.server.is_stopping());
        assert_eq!(self.server.is_draining(), !is_hurried);
        if is_hurried {
            self.stage.model.count("delays of a stop cut short");
            self.server.stop(self.stage.now());
        } else {
            self.stage.model.count("delays of a stop");
        }
        self.has_more = true;
        assert!(self.server.is_draining());
    }

    /// Half of those who are swift end their connections, and all others are cut. Who reads the audit log stays.
    fn send_everybody_away(&mut self) {
        for index in 0..self.stage.network.sockets.len() {
            let wire = super::network::Wire(index);
            let is_log = self.audit.is_read_over(wire);
            let socket = self.stage.network.socket(wire);
            if is_log || socket.is_dropped || socket.is_reset {
                continue;
            }
            // Whoever is slow at reading or sending would take its time.
            let is_swift = socket.manner.reading == Reading::Prompt && socket.is_read();
            match is_swift && self.stage.seed.chance(50) {
                true => self.stage.finish(wire),
                false => self.stage.network.reset(wire),
            }
        }
    }

    /// Everybody goes; in the end nothing is left.
    pub fn end(&mut self) {
        let is_drained = self.stage.seed.chance(25);
        self.stage.model.is_ending = true;
        if is_drained {
            self.stage.model.is_draining = true;
            for client in &mut self.clients {
                if let Client::Web(web) = client
                    && self.stage.seed.chance(30)
                {
                    web.log_out_at_last(&mut self.stage);
                }
            }
            // Some of these have arrived when it begins.
            if self.stage.seed.chance(50) {
                self.run_until(self.stage.at() + Duration::from_millis(20));
            }
            self.stop();
        } else {
            self.send_everybody_away();
        }
        self.has_more = true;
        // Several logins of one connection wait up to a minute each, and then it has another to say something.
        let left = self.stage.at() + Duration::from_secs(if is_drained { 200 } else { 400 });
        self.run_until(left);
        self.close_audit();
        let left = self
            .stage
            .network
            .sockets
            .iter()
            .position(|socket| socket.id.is_some());
        assert_eq!(
            self.server.connection_count(),
            0,
            "{:?} is left",
            left.map(super::network::Wire)
        );
        assert_eq!(self.server.subscriber_count(), 0, "subscribers are left");
        assert_eq!(self.server.rooms().people().count(), 0, "people are left");
        for room in self.server.rooms().list() {
            assert_eq!(room.users, 0, "members are left: {room:?}");
        }
        let next = self.server.next_timeout();
        assert!(self.server.is_idle(), "something is still due: {next:?}");
        if !is_drained {
            self.check_next_day();
        }
        for client in &mut self.clients {
            if let Client::Stream(stream) = client {
                stream.check(&mut self.stage);
            }
        }
        for (ticket, used) in &self.stage.model.tickets {
            assert!(
                used.winners == 1 || used.losers == 0 || !used.is_good,
                "{ticket} opened nothing: {used:?}"
            );
        }
    }
}

/// Those who are in rooms, or would be.
pub fn chats(clients: &[Client]) -> impl Iterator<Item = &Chat> {
    clients.iter().filter_map(|client| match client {
        Client::Chat(chat) => Some(chat),
        _ => None,
    })
}
