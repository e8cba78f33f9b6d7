//! The clients of `server_operations`, and what each of them knows from what it was told.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use sarang::config::{EVENT_OUTBOX_BYTES, HISTORY_ON_ENTRY, OUTBOX_HIGH_WATER_BYTES};
use sarang::domain::event_log::Kind;
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use super::peer::{Peer, Said};
use super::requests::{NAMES, ROOMS, Request, pick};
use super::world::{Wire, World};

/// Clients at most.
const CLIENTS: usize = 8;
/// Tokens and tickets that are remembered.
const KEPT: usize = 4;
/// More than ever waits for one client: what is bounded, and the answers to what was read last.
const WAITING_BYTES_MAX: usize = OUTBOX_HIGH_WATER_BYTES + EVENT_OUTBOX_BYTES + 200_000;
/// More than all clients can say to one of them before a turn ends, at four messages a second and client.
const TURN_BYTES_MAX: usize = 4 * CLIENTS * 256;

/// What a chat client says.
#[derive(Debug, Arbitrary)]
#[allow(missing_docs, reason = "the names are the wire's")]
pub enum Say {
    Join { room: u8, since: Option<u8> },
    Chat { room: u8, id: Option<u8>, chars: u8 },
    Whisper { to: u8, id: Option<u8> },
    Leave { room: u8 },
    RoomList,
    Auth { ticket: u8 },
    Ping,
    Binary,
    Fragment { is_first: bool, is_last: bool },
    Close,
}

/// All clients.
#[derive(Debug, Default)]
pub struct Clients {
    /// The limit of what waits for one of them.
    outbox_bytes: usize,
    all: [Option<Client>; CLIENTS],
    known: Known,
}

#[derive(Debug)]
struct Client {
    id: ConnectionId,
    peer: Peer,
    name: String,
    /// The rooms it is in.
    rooms: BTreeMap<String, Room>,
    /// What it said in rooms and was not told.
    unheard: BTreeSet<String>,
    /// It has asked for no event stream but one of everything.
    watches_all: bool,
    /// The ids it was sent.
    events: Vec<u64>,
}

/// A room as a client knows it.
#[derive(Debug)]
struct Room {
    online: BTreeSet<String>,
    epoch: String,
    seq: u64,
}

/// What all clients together know.
#[derive(Debug, Default)]
struct Known {
    tokens: Vec<String>,
    tickets: Vec<String>,
    /// The latest epoch of a room.
    epochs: BTreeMap<String, String>,
    /// Each message by its place.
    messages: BTreeMap<(String, String), Value>,
    /// The place of each message.
    places: BTreeMap<String, (String, String)>,
    /// Contents that were made so far.
    count: u64,
}

impl Clients {
    /// No clients yet of a server with this limit of what waits for one of them.
    pub fn of(outbox_bytes: usize) -> Self {
        Self {
            outbox_bytes,
            ..Self::default()
        }
    }

    fn get(&mut self, client: u8) -> Option<&mut Client> {
        self.all[usize::from(client) % CLIENTS].as_mut()
    }

    /// A client connects, unless it has.
    pub fn connect(&mut self, client: u8, address: u8, world: &mut World) {
        let place = &mut self.all[usize::from(client) % CLIENTS];
        if place.is_none()
            && let Some(id) = world.connect(address)
        {
            *place = Some(Client {
                id,
                peer: Peer::default(),
                name: String::new(),
                rooms: BTreeMap::new(),
                unheard: BTreeSet::new(),
                watches_all: true,
                events: Vec::new(),
            });
        }
    }

    /// A client sends bytes.
    pub fn send(&mut self, client: u8, bytes: &[u8], world: &mut World) {
        if let Some(client) = self.get(client) {
            world.send(client.id, bytes, false);
        }
    }

    /// A client sends a request.
    pub fn request(&mut self, client: u8, request: &Request, world: &mut World) {
        if let (Request::Events { .. }, Some(client)) = (request, self.get(client)) {
            client.watches_all &= request.is_of_everything();
        }
        let epoch = self.known.epochs.values().next();
        let epoch = epoch.map_or("0000000000000000", String::as_str);
        let bytes = request.encode(&self.known.tokens, &self.known.tickets, epoch);
        self.send(client, bytes.as_bytes(), world);
    }

    /// A client says something.
    pub fn say(&mut self, client: u8, say: &Say, world: &mut World) {
        let bytes = self.known.encode(say);
        let content = format!("m{}", self.known.count);
        if let (Say::Chat { .. }, Some(client)) = (say, self.get(client)) {
            client.unheard.insert(content);
        }
        self.send(client, &bytes, world);
    }

    /// A client takes so much more.
    pub fn take(&mut self, client: u8, room: Option<usize>, world: &mut World) {
        if let Some(client) = self.get(client) {
            world.take(client.id, room);
        }
    }

    /// A client ends its direction.
    pub fn half_close(&mut self, client: u8, world: &mut World) {
        if let Some(client) = self.get(client) {
            world.send(client.id, b"", true);
        }
    }

    /// A client's connection breaks; what it did not read is lost.
    pub fn reset(&mut self, client: u8, world: &mut World) {
        if let Some(client) = self.get(client) {
            world.reset(client.id);
            world.turn();
        }
    }

    /// All leave, each in its way.
    pub fn leave(&mut self, world: &mut World) {
        for client in 0..CLIENTS as u8 {
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

    /// Everybody reads what has come, and knows what the server does.
    pub fn check(&mut self, world: &mut World) {
        let Self {
            outbox_bytes,
            all,
            known,
        } = self;
        let unsolicited_max = *outbox_bytes + TURN_BYTES_MAX;
        for (id, wire) in std::mem::take(&mut world.dropped) {
            let places = all.iter_mut();
            let mut of_id = places.filter(|place| place.as_ref().is_some_and(|one| one.id == id));
            let mut client = of_id.next().and_then(Option::take).expect("is known");
            client.read(&wire.sent, known, unsolicited_max);
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
            client.read(&sent, known, unsolicited_max);
        }
        if world.is_settled {
            for client in all.iter().flatten() {
                client.check(world, known);
            }
        }
    }
}

impl Client {
    /// Reads what has come.
    fn read(&mut self, bytes: &[u8], known: &mut Known, unsolicited_max: usize) {
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
            match said {
                Said::Response { status, body } => known.learn(status, &body),
                Said::Message(message) => self.hear(&message, known),
                Said::Close => {
                    self.rooms.clear();
                    self.unheard.clear();
                }
                Said::Event(id) => self.note_event(id),
                Said::Upgraded | Said::Other => {}
            }
        }
        assert!(
            unsolicited <= unsolicited_max,
            "{unsolicited} bytes nobody took"
        );
    }

    /// A stream of everything begins with the latest event of each kind, or with all that is kept; from there on it has
    /// no holes. (What lags is not relieved here: before so much waits for it, it is dropped.)
    fn note_event(&mut self, id: u64) {
        let is_live = self.events.len() >= Kind::ALL.len();
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
                let room = Room { online, epoch, seq };
                assert!(
                    self.rooms.insert(text("room"), room).is_none(),
                    "it was not in"
                );
            }
            "room_left" => drop(self.rooms.remove(&text("room")).expect("was in")),
            "user_joined" => assert!(self.room(message).online.insert(text("username"))),
            "user_left" => assert!(self.room(message).online.remove(&text("username"))),
            "chat" => {
                let room = self.room(message);
                room.seq += 1;
                assert_eq!(read_position(message), (room.epoch.clone(), room.seq));
                known.note(message);
                self.unheard.remove(&text("content"));
            }
            "whisper" => {
                assert!(text("from") == self.name || text("to") == self.name);
            }
            "ack" if message["position"].is_string() => {
                let (epoch, seq) = read_position(message);
                let mut rooms = self.rooms.values();
                let room = rooms.find(|room| room.epoch == epoch);
                assert!(room.is_none_or(|room| seq <= room.seq), "it was told first");
            }
            "room_list" | "ack" | "error" => {}
            other => panic!("a message of type {other}"),
        }
    }

    /// Whoever takes everything knows everything.
    fn check(&self, world: &mut World, known: &Known) {
        let takes_everything = world
            .wire(self.id)
            .is_some_and(|wire: &mut Wire| wire.room.is_none());
        if !takes_everything {
            return;
        }
        let mut unheard = self.unheard.iter();
        let missed = unheard.find(|content| known.places.contains_key(*content));
        assert_eq!(missed, None, "it was said, and its sender was not told");
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

fn read_position(message: &Value) -> (String, u64) {
    let position = message["position"].as_str().expect("is text");
    let (epoch, seq) = position.split_once(':').expect("has two parts");
    (epoch.to_owned(), seq.parse().expect("is a number"))
}

impl Known {
    /// Remembers a message: it is the same for all and at all times, and stands in one place.
    fn note(&mut self, chat: &Value) {
        let text = |name: &str| chat[name].as_str().expect("is text").to_owned();
        let place = (text("room"), text("position"));
        let first = self
            .messages
            .entry(place.clone())
            .or_insert_with(|| chat.clone());
        assert_eq!(first, chat);
        assert_eq!(
            self.places.entry(text("content")).or_insert(place.clone()),
            &place
        );
    }

    fn learn(&mut self, status: u16, body: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return;
        };
        assert_eq!(
            value["error"]["code"].is_string(),
            status >= 400,
            "{status} {value}"
        );
        for (name, kept) in [
            ("access_token", &mut self.tokens),
            ("ticket", &mut self.tickets),
        ] {
            if let Some(text) = value[name].as_str() {
                kept.truncate(KEPT - 1);
                kept.insert(0, text.to_owned());
            }
        }
    }

    fn encode(&mut self, say: &Say) -> Vec<u8> {
        let since = |room: u8, seq: u8| {
            let epoch = self.epochs.get(pick(&ROOMS, room));
            format!("{}:{seq}", epoch.map_or("0", String::as_str))
        };
        let mut message = match say {
            Say::Join { room, since: None } => json!({"type": "join", "room": pick(&ROOMS, *room)}),
            Say::Join {
                room,
                since: Some(seq),
            } => {
                json!({"type": "join", "room": pick(&ROOMS, *room), "since": since(*room, *seq)})
            }
            Say::Chat { room, chars, .. } => {
                self.count += 1;
                let content = match chars % 16 {
                    too_many @ 9.. => "긴".repeat(too_many.into()),
                    _ => format!("m{}", self.count),
                };
                json!({"type": "chat", "room": pick(&ROOMS, *room), "content": content})
            }
            Say::Whisper { to, .. } => {
                json!({"type": "whisper", "to": pick(&NAMES, *to), "content": "w"})
            }
            Say::Leave { room } => json!({"type": "leave", "room": pick(&ROOMS, *room)}),
            Say::RoomList => json!({"type": "room_list"}),
            Say::Auth { ticket } => {
                let ticket = self.tickets.get(usize::from(*ticket) % KEPT);
                json!({"type": "auth", "ticket": ticket.map_or("none", String::as_str)})
            }
            Say::Ping => return frame(0x89, b"p"),
            Say::Binary => return frame(0x82, b"b"),
            Say::Fragment { is_first, is_last } => {
                return frame(u8::from(*is_first) | u8::from(*is_last) << 7, b"{}");
            }
            Say::Close => return frame(0x88, &1000u16.to_be_bytes()),
        };
        if let Say::Chat { id: Some(id), .. } | Say::Whisper { id: Some(id), .. } = say {
            message["id"] = id.to_string().into();
        }
        frame(0x81, message.to_string().as_bytes())
    }
}

/// A client's frame, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len())
        .ok()
        .filter(|length| *length < 126);
    let length = length.expect("clients say little");
    let mut frame = vec![first, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}
