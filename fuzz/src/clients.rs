//! The clients of `server_operations`, and what each of them knows from the messages it received.

use std::collections::{BTreeMap, BTreeSet};

use sarang::config::{EVENT_OUTBOX_BYTES, HISTORY_ON_ENTRY, OUTBOX_HIGH_WATER_BYTES};
use sarang::domain::channels::Kind;
use sarang::domain::ids::ConnectionId;
use serde_json::Value;

use super::dealings::{Dealings, Judge};
use super::holders::{Learned, learn};
pub use super::known::Say;
use super::known::{Known, Message, read_position};
use super::late::Late;
use super::peer::{Peer, Said};
use super::requests::{OWN_CHANNELS, Request};
use super::world::{PROXY, UNIX, Wire, World};

/// More bytes than ever wait for one client: bounded queues, and the answers to its last input.
const WAITING_BYTES_MAX: usize = OUTBOX_HIGH_WATER_BYTES + EVENT_OUTBOX_BYTES + 200_000;
/// More bytes than a client's message takes when it is delivered.
const TOLD_BYTES_MAX: usize = 256;
/// More messages than each client can send to another before a turn ends.
const SAID_PER_TURN_MAX: usize = 4;

/// All clients.
#[derive(Debug, Default)]
pub struct Clients {
    /// The limit of the bytes that wait for one of them.
    outbox_bytes: usize,
    pub(super) all: Vec<Option<Client>>,
    pub(super) known: Known,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    pub(super) id: ConnectionId,
    /// What it has asked with tokens, if somebody judges that.
    pub(super) dealings: Dealings,
    /// Its requests come through the trusted proxy.
    is_proxied: bool,
    peer: Peer,
    name: String,
    /// The rooms it is in.
    rooms: BTreeMap<String, Room>,
    /// The contents it sent to rooms and did not receive yet.
    unheard: BTreeSet<String>,
    /// How often it sent each `id` without an answer.
    asked: BTreeMap<String, usize>,
    /// The last message with an `id` that it sent to a room.
    last: Option<Value>,
    /// It has sent only complete messages, and only after its welcome.
    is_orderly: bool,
    /// It has asked for no event stream except one with every kind of event.
    watches_all: bool,
    /// The event IDs it was sent.
    events: Vec<u64>,
}

/// A room as a client knows it.
#[derive(Debug)]
struct Room {
    online: BTreeSet<String>,
    epoch: String,
    seq: u64,
}

impl Clients {
    /// No clients yet, with room for so many, of a server with this limit of the bytes that wait for one of them.
    pub fn of(outbox_bytes: usize, count: usize) -> Self {
        Self {
            outbox_bytes,
            all: std::iter::repeat_with(|| None).take(count).collect(),
            known: Known::default(),
        }
    }

    /// How many there may be.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn place(&self, client: u8) -> usize {
        usize::from(client) % self.all.len()
    }

    pub(super) fn get(&mut self, client: u8) -> Option<&mut Client> {
        let place = self.place(client);
        self.all[place].as_mut()
    }

    /// A client connects, unless it has.
    pub fn connect(&mut self, client: u8, address: u8, world: &mut World) {
        let place = self.place(client);
        let place = &mut self.all[place];
        if place.is_none()
            && let Some(id) = world.connect(address)
        {
            *place = Some(Client {
                id,
                dealings: Dealings::default(),
                is_proxied: matches!(address, PROXY | UNIX),
                peer: Peer::default(),
                name: String::new(),
                rooms: BTreeMap::new(),
                unheard: BTreeSet::new(),
                asked: BTreeMap::new(),
                last: None,
                is_orderly: true,
                watches_all: true,
                events: Vec::new(),
            });
        }
    }

    /// A client sends arbitrary bytes.
    pub fn send(&mut self, client: u8, bytes: &[u8], world: &mut World) {
        if let Some(client) = self.get(client) {
            client.is_orderly = false;
            client.dealings.scramble();
            world.send(client.id, bytes, false);
        }
    }

    /// A client sends a request.
    pub fn request(&mut self, client: u8, request: &Request, world: &mut World) {
        if let (Request::Login { is_known }, true) = (request, world.truth.is_some()) {
            let user = if *is_known { "admin" } else { "nobody" };
            return self.sign_in(client, user, 0, world);
        }
        self.note_request(client, request, world);
        if let (Request::Events { .. }, Some(client)) = (request, self.get(client)) {
            client.watches_all &= request.is_of_everything();
        }
        if let Some(client) = self.get(client) {
            client.is_orderly &= client.name.is_empty();
        }
        let epoch = self.known.epochs.values().next();
        let epoch = epoch.map_or("0000000000000000", String::as_str);
        let mut bytes = request.encode(&self.known.tokens, &self.known.tickets, epoch);
        let place = self.place(client);
        if let Some(client) = self.get(client) {
            if client.is_proxied {
                // Behind what the client has made up, the proxy tells an address that no other client has.
                let told = format!("\r\nX-Forwarded-For: 1.1.1.1, 198.51.100.{place}\r\n");
                bytes = bytes.replacen("\r\n", &told, 1);
            }
            world.send(client.id, bytes.as_bytes(), false);
        }
    }

    /// A client sends a chat message or command.
    pub fn say(&mut self, client: u8, say: &Say, world: &mut World) {
        let message = self.known.compose(say);
        self.note_shown(client, say, world);
        let place = self.place(client);
        let (dead, place) = (&mut self.known.dead, &mut self.all[place]);
        if let (Message::Text(message), Some(client)) = (&message, place)
            && message["type"] == "chat"
        {
            let content = text(message, "content");
            let judge = world.judge();
            if judge.is_some_and(|judge| client.dealings.has_ended(&judge)) {
                dead.insert(content.clone());
            }
            client.unheard.insert(content);
            client.last = Some(message.clone()).filter(|message| message["id"].is_string());
        }
        self.say_message(client, &message, world);
    }

    /// A client repeats the last message of a user of the same name, if that had an `id`.
    pub fn say_again(&mut self, client: u8, author: u8, world: &mut World) {
        let name = self.get(client).map(|client| client.name.clone());
        let author = self
            .get(author)
            .filter(|author| Some(&author.name) == name.as_ref());
        if let Some(last) = author.and_then(|author| author.last.clone()) {
            self.known.dead.remove(&text(&last, "content"));
            self.say_message(client, &Message::Text(last), world);
        }
    }

    fn say_message(&mut self, client: u8, message: &Message, world: &mut World) {
        let place = self.place(client);
        if let Some(client) = &mut self.all[place] {
            client.note_said(message, &mut self.known);
            world.send(client.id, &message.encode(), false);
        }
    }

    /// A client's socket accepts so much more.
    pub fn take(&mut self, client: u8, room: Option<usize>, world: &mut World) {
        if let Some(client) = self.get(client) {
            world.take(client.id, room);
        }
    }

    /// A client ends its direction.
    pub fn half_close(&mut self, client: u8, world: &mut World) {
        if let Some(client) = self.get(client) {
            client.is_orderly = false;
            world.send(client.id, b"", true);
        }
    }

    /// A client's connection breaks; unread bytes are lost.
    pub fn reset(&mut self, client: u8, world: &mut World) {
        if let Some(client) = self.get(client) {
            world.reset(client.id);
            world.turn();
        }
    }

    /// All clients leave, each in its way.
    pub fn leave(&mut self, world: &mut World) {
        for client in 0..self.all.len() as u8 {
            match client % 3 {
                0 => self.reset(client, world),
                _ => {
                    self.take(client, None, world);
                    self.half_close(client, world);
                }
            }
        }
        world.turn();
        self.check(world);
    }

    /// Every client reads what has come, and then its picture must match the server's.
    pub fn check(&mut self, world: &mut World) {
        let Self {
            outbox_bytes,
            all,
            known,
        } = self;
        let told = world.late.as_mut().map_or(0, Late::take_told);
        let kept = world.late.as_mut().map(Late::take_kept);
        let orphans = kept.into_iter().flatten().map(String::from);
        known.orphans.extend(orphans);
        let said = SAID_PER_TURN_MAX * all.len() + told;
        let unsolicited_max = *outbox_bytes + said * TOLD_BYTES_MAX;
        for (id, wire) in std::mem::take(world.dropped()) {
            let places = all.iter_mut();
            let mut of_id = places.filter(|place| place.as_ref().is_some_and(|one| one.id == id));
            let mut client = of_id.next().and_then(Option::take).expect("is known");
            let learned = client.read(&wire.sent, known, unsolicited_max, world.judge());
            learn(learned, world);
            assert!(
                !wire.is_shut || client.peer.is_complete(),
                "the end comes at an end"
            );
        }
        for client in all.iter_mut().flatten() {
            let Some(wire) = world.wire(client.id) else {
                panic!("a connection that is not over has a socket");
            };
            let sent = std::mem::take(&mut wire.sent);
            let learned = client.read(&sent, known, unsolicited_max, world.judge());
            learn(learned, world);
        }
        if world.is_settled {
            for client in all.iter().flatten() {
                client.check(world, known);
            }
        }
    }
}

/// A member of a message that must be text.
fn text(message: &Value, name: &str) -> String {
    message[name].as_str().expect("is text").to_owned()
}

impl Client {
    /// It sends a message.
    fn note_said(&mut self, message: &Message, known: &mut Known) {
        let Message::Text(message) = message else {
            self.is_orderly = false;
            return;
        };
        self.is_orderly &= !self.name.is_empty();
        if let Some(id) = message["id"].as_str() {
            *self.asked.entry(id.to_owned()).or_default() += 1;
        }
        if message["type"] == "chat" {
            known.note_said(
                &text(message, "content"),
                &text(message, "room"),
                &self.name,
            );
        }
    }

    /// It gets an answer to an `id`, if there is one: one answer for each time it was sent.
    fn note_answer(&mut self, message: &Value) {
        let Some(id) = message["id"].as_str() else {
            return;
        };
        let asked = self.asked.get_mut(id).expect("nobody asked for this");
        *asked -= 1;
        if *asked == 0 {
            self.asked.remove(id);
        }
    }

    /// Reads the bytes that have come.
    fn read(
        &mut self,
        bytes: &[u8],
        known: &mut Known,
        unsolicited_max: usize,
        mut judge: Option<Judge<'_>>,
    ) -> Vec<Learned> {
        let mut learned = Vec::new();
        assert!(
            bytes.len() <= WAITING_BYTES_MAX,
            "{} bytes waited",
            bytes.len()
        );
        let mut unsolicited = 0;
        for said in self.peer.read(bytes) {
            if let Said::Message(message) = &said
                && matches!(message["type"].as_str(), Some("chat" | "whisper"))
            {
                unsolicited += message.to_string().len();
            }
            if let Some(judge) = &mut judge {
                learned.extend(self.dealings.read(&said, judge));
            }
            match said {
                Said::Response { status, body } => known.learn(status, &body),
                Said::Message(message) => self.hear(&message, known),
                Said::Close(_) => {
                    self.rooms.clear();
                    self.unheard.clear();
                    // The server ignores messages after this.
                    self.is_orderly = false;
                }
                Said::Event(id) => self.note_event(id),
                Said::Upgraded | Said::Opened | Said::Other => {}
            }
        }
        assert!(
            unsolicited <= unsolicited_max,
            "{unsolicited} bytes nobody took"
        );
        learned
    }

    /// A stream with every kind begins with the latest event of each kind, or with all that is kept; from there on it
    /// has no holes. (Slow subscribers lose no events here: they are dropped before so much waits for them.)
    fn note_event(&mut self, id: u64) {
        let is_live = self.events.len() >= Kind::SAMPLED.len() + OWN_CHANNELS.len();
        let last = self.events.last().copied().unwrap_or_default();
        assert!(
            !is_live || !self.watches_all || id == last + 1,
            "{last}, then {id}"
        );
        self.events.push(id);
    }

    fn room(&mut self, message: &Value) -> &mut Room {
        let room = message["room"].as_str().expect("is text");
        self.rooms
            .get_mut(room)
            .expect("nothing is told of a room one is not in")
    }

    fn hear(&mut self, message: &Value, known: &mut Known) {
        let text = |name: &str| message[name].as_str().expect("is text").to_owned();
        match message["type"].as_str().expect("has a type") {
            "welcome" => self.name = text("username"),
            "room_joined" => {
                let (epoch, seq) = read_position(message);
                let history = message["history"].as_array().expect("is a list");
                let first = seq + 1 - history.len() as u64;
                for (index, chat) in history.iter().enumerate() {
                    assert_eq!(read_position(chat), (epoch.clone(), first + index as u64));
                    known.note(chat);
                }
                let is_recovered = message["recovered"].as_bool().expect("is there");
                let expected = seq.min(HISTORY_ON_ENTRY as u64);
                assert!(is_recovered || history.len() as u64 == expected);
                let others = message["online_users"].as_array().expect("is a list");
                let others = others
                    .iter()
                    .map(|name| name.as_str().expect("is text").to_owned());
                let mut online: BTreeSet<String> = others.collect();
                assert!(online.insert(self.name.clone()), "it names the others");
                assert_eq!(message["online_count"], online.len());
                known.epochs.insert(text("room"), epoch.clone());
                // What another client with this name has sent before is in the history, and is not delivered again.
                let is_new = |content: &String| {
                    known.room_of(content) != Some(&text("room")) || !known.is_told(content)
                };
                self.unheard.retain(is_new);
                let room = Room { online, epoch, seq };
                assert!(
                    self.rooms.insert(text("room"), room).is_none(),
                    "it was not in"
                );
            }
            "room_left" => {
                let room = text("room");
                drop(self.rooms.remove(&room).expect("was in"));
                // Messages stored later are delivered to the remaining members only.
                let is_elsewhere = |content: &String| known.room_of(content) != Some(&room);
                self.unheard.retain(is_elsewhere);
            }
            "user_joined" => assert!(self.room(message).online.insert(text("username"))),
            "user_left" => assert!(self.room(message).online.remove(&text("username"))),
            "chat" => {
                let room = self.room(message);
                room.seq += 1;
                assert_eq!(read_position(message), (room.epoch.clone(), room.seq));
                let is_here = room.online.contains(&text("username"));
                assert!(
                    is_here || known.orphans.contains(&text("content")),
                    "nobody leaves before their last words"
                );
                known.note(message);
                self.unheard.remove(&text("content"));
            }
            "whisper" => {
                assert!(text("from") == self.name || text("to") == self.name);
            }
            "ack" if message["position"].is_string() => {
                self.note_answer(message);
                let (epoch, seq) = read_position(message);
                let mut rooms = self.rooms.values();
                let room = rooms.find(|room| room.epoch == epoch);
                assert!(room.is_none_or(|room| seq <= room.seq), "it was told first");
            }
            "ack" | "error" => self.note_answer(message),
            "room_list" => {}
            other => panic!("a message of type {other}"),
        }
    }

    /// A client whose socket accepts everything must know the whole state.
    fn check(&self, world: &mut World, known: &Known) {
        let takes_everything = world
            .wire(self.id)
            .is_some_and(|wire: &mut Wire| wire.room.is_none());
        if !takes_everything {
            return;
        }
        let is_over = self.peer.is_over() || world.wire(self.id).is_some_and(|wire| wire.is_shut);
        if let Some(judge) = world.judge() {
            self.dealings.check(is_over, &judge);
        }
        let mut unheard = self.unheard.iter();
        // A message refused here because this client was not in the room may be sent again by another one of its name.
        let is_here = |content: &str| {
            let room = known.room_of(content);
            room.is_some_and(|room| self.rooms.contains_key(room))
        };
        let missed = unheard.find(|content| known.is_told(content) && is_here(content));
        assert_eq!(missed, None, "it was said, and its sender was not told");
        let is_asked = world.late.as_ref().is_some_and(Late::is_asked);
        assert!(
            is_asked || !self.is_orderly || self.asked.is_empty(),
            "who asks is answered: {self:?}"
        );
        let rooms = world.server.rooms();
        assert_eq!(
            rooms.people().rooms(self.id).len(),
            self.rooms.len(),
            "{self:?}"
        );
        for (name, room) in &self.rooms {
            let (info, online) = rooms.get_room_info(name).expect("exists");
            let online: BTreeSet<String> = online.iter().map(|name| name.to_string()).collect();
            assert_eq!(room.online, online);
            assert_eq!(room.seq, info.messages);
        }
    }
}
