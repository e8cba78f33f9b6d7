//! Moderators and members of a few rooms in any order, over HTTP and WebSocket, with a backend that answers at once or late:
//! the server's own invariants hold after each turn, every request has an answer, and in the end nothing is kept of anybody.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use sarang::config::Config;
use sarang::domain::ids::ConnectionId;

use super::late::Answer;
use super::requests::pick;
use super::world::{World, secret};

/// More operations would only be slower.
const OPERATIONS_MAX: usize = 300;
const ROOMS: [&str; 4] = ["r0", "r1", "r2", "r3"];
const NAMES: [&str; 4] = ["a", "b", "B", "c"];
const REASONS: [&str; 3] = [
    "",
    r#","reason":"noise""#,
    r#","reason":"소란","seconds":2"#,
];
const RULES: [&str; 7] = [
    r#""max_users":1"#,
    r#""history_messages":1"#,
    r#""history_messages":0"#,
    r#""history_seconds":1"#,
    r#""history_seconds":null"#,
    r#""write":"moderators""#,
    r#""kept":true"#,
];

#[derive(Debug, Arbitrary)]
enum Operation {
    /// A guest comes.
    Come {
        name: u8,
    },
    /// A moderator comes, with a ticket that is asked for first.
    ModeratorComes,
    Say {
        client: u8,
        say: Say,
    },
    /// The same over HTTP, by a moderator.
    Ask {
        say: Say,
    },
    Break {
        client: u8,
    },
    End {
        client: u8,
    },
    Pass {
        tenths: u8,
    },
    Late(Answer),
}

/// What is said or asked for. Whoever may not is refused.
#[derive(Debug, Arbitrary)]
enum Say {
    Join {
        room: u8,
        seq: u8,
    },
    Leave {
        room: u8,
    },
    Chat {
        room: u8,
        id: u8,
    },
    Publish {
        room: u8,
        name: u8,
        id: u8,
        count: u8,
    },
    Notify {
        name: u8,
        id: u8,
    },
    Kick {
        name: u8,
        room: Option<u8>,
    },
    Ban {
        name: u8,
        room: Option<u8>,
        reason: u8,
    },
    Unban {
        name: u8,
        room: Option<u8>,
    },
    Revoke {
        name: u8,
    },
    SetRoom {
        room: u8,
        rule: u8,
    },
    RemoveRoom {
        room: u8,
    },
    Delete {
        room: u8,
        seq: u8,
    },
    Users {
        limit: u8,
    },
    Bans {
        limit: u8,
    },
}

/// A client's text frame, masked with zeros.
fn text_frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("clients say little");
    let mut frame = match length {
        0..126 => vec![0x81, 0x80 | length as u8],
        _ => [&[0x81, 0xfe][..], &length.to_be_bytes()].concat(),
    };
    frame.extend([0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Fuzzes what moderators do.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let is_late = input.arbitrary().unwrap_or(false);
    let mut config = Config {
        presence_grace: Duration::from_secs(1),
        messages_per_second: 0,
        hosts: vec!["x".to_owned()],
        ..Config::default()
    };
    config.rooms.rooms = ROOMS.len() - 1;
    let mut story = Story {
        world: match is_late {
            true => World::with_late_backend(config),
            false => World::new(config),
        },
        clients: Vec::new(),
        asked: BTreeMap::new(),
        token: secret()
            .sign(&serde_json::json!({"sub": "mod", "exp": 4_000_000_000_u64, "admin": true})),
    };
    for _ in 0..OPERATIONS_MAX {
        match Operation::arbitrary(&mut input) {
            Ok(operation) if !input.is_empty() => story.carry_out(operation),
            _ => break,
        }
        story.world.turn();
    }
    story.end();
}

struct Story {
    world: World,
    clients: Vec<ConnectionId>,
    /// Requests, by connection.
    asked: BTreeMap<ConnectionId, String>,
    token: String,
}

impl Story {
    fn carry_out(&mut self, operation: Operation) {
        match operation {
            Operation::Come { name } => {
                let target = format!("/ws?username={}", pick(&NAMES, name));
                self.open(&target);
            }
            Operation::ModeratorComes => self.moderator_comes(),
            Operation::Say { client, say } => {
                let epoch = self.epoch();
                if let Some(id) = self.client(client) {
                    self.world.send(id, &text_frame(&say.json(&epoch)), false);
                }
            }
            Operation::Ask { say } => {
                if let Some((method, target, body)) = say.request(&self.epoch()) {
                    self.ask(method, &target, &body);
                }
            }
            Operation::Break { client } => {
                if let Some(id) = self.client(client) {
                    self.world.reset(id);
                }
            }
            Operation::End { client } => {
                if let Some(id) = self.client(client) {
                    self.world.send(id, &[], true);
                }
            }
            Operation::Pass { tenths } => {
                self.world
                    .pass(Duration::from_millis(100 * u64::from(tenths)));
            }
            Operation::Late(answer) => {
                if self.world.late.is_some() {
                    self.world.answer(&answer);
                }
            }
        }
    }

    fn client(&mut self, index: u8) -> Option<ConnectionId> {
        let world = &mut self.world;
        self.clients.retain(|id| world.wire(*id).is_some());
        let count = self.clients.len().max(1);
        self.clients.get(usize::from(index) % count).copied()
    }

    /// The epoch of a room that is there: positions in it can be guessed.
    fn epoch(&self) -> String {
        let rooms = self.world.server.rooms();
        let room = ROOMS.iter().find_map(|room| rooms.find(room).ok());
        room.map_or(String::new(), |room| {
            let position = room.history.position().to_string();
            position.split(':').next().unwrap_or_default().to_owned()
        })
    }

    fn open(&mut self, target: &str) {
        let Some(id) = self.world.connect(0) else {
            return;
        };
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.world.send(id, head.as_bytes(), false);
        self.clients.push(id);
    }

    fn moderator_comes(&mut self) {
        let Some(id) = self.ask("POST", "/auth/ws-ticket", "") else {
            return;
        };
        self.world.turn();
        let sent = self.world.wire(id).map(|wire| wire.sent.clone());
        let text = String::from_utf8(sent.unwrap_or_default()).unwrap_or_default();
        let ticket = text.split(r#""ticket":""#).nth(1);
        if let Some(ticket) = ticket.and_then(|rest| rest.split('"').next()) {
            self.open(&format!("/ws?ticket={ticket}"));
        }
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> Option<ConnectionId> {
        let id = self.world.connect(0)?;
        let (token, length) = (&self.token, body.len());
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.world.send(id, head.as_bytes(), false);
        self.asked.insert(id, format!("{method} {target}"));
        Some(id)
    }

    /// Everybody goes.
    fn end(mut self) {
        while self
            .world
            .late
            .as_ref()
            .is_some_and(super::late::Late::is_asked)
        {
            self.world.answer(&Answer::FIRST);
            self.world.turn();
        }
        self.world.turn();
        for (id, what) in std::mem::take(&mut self.asked) {
            if let Some(wire) = self.world.wire(id) {
                assert!(wire.sent.starts_with(b"HTTP/1.1 "), "{what} has no answer");
            }
            self.world.reset(id);
        }
        for id in std::mem::take(&mut self.clients) {
            self.world.reset(id);
        }
        self.world.assert_empty();
    }
}

impl Say {
    /// As a message over WebSocket.
    fn json(&self, epoch: &str) -> String {
        let (room, name) = (|room| pick(&ROOMS, room), |name| pick(&NAMES, name));
        let within = |from: Option<u8>| {
            from.map_or(String::new(), |from| format!(r#","room":"{}""#, room(from)))
        };
        match *self {
            Self::Join { room: r, seq } => {
                format!(
                    r#"{{"type":"join","room":"{}","since":"{epoch}:{}"}}"#,
                    room(r),
                    seq % 8
                )
            }
            Self::Leave { room: r } => format!(r#"{{"type":"leave","room":"{}"}}"#, room(r)),
            Self::Chat { room: r, id } => {
                let (room, id) = (room(r), id % 8);
                format!(r#"{{"type":"chat","room":"{room}","content":"{id}","id":"{id}"}}"#)
            }
            Self::Publish {
                room: r,
                name: n,
                id,
                ..
            } => {
                let (room, name, id) = (room(r), name(n), id % 8);
                format!(
                    r#"{{"type":"publish","room":"{room}","username":"{name}","content":"{id}","id":"{id}"}}"#
                )
            }
            Self::Notify { name: n, id } => {
                format!(
                    r#"{{"type":"notify","user":"{}","content":"x","id":"{}"}}"#,
                    name(n),
                    id % 8
                )
            }
            Self::Kick { name: n, room: r } => {
                format!(r#"{{"type":"kick","user":"{}"{}}}"#, name(n), within(r))
            }
            Self::Ban {
                name: n,
                room: r,
                reason,
            } => {
                let reason = pick(&REASONS, reason);
                format!(
                    r#"{{"type":"ban","user":"{}"{}{reason}}}"#,
                    name(n),
                    within(r)
                )
            }
            Self::Unban { name: n, room: r } => {
                format!(r#"{{"type":"unban","user":"{}"{}}}"#, name(n), within(r))
            }
            Self::Revoke { name: n } => format!(r#"{{"type":"revoke","user":"{}"}}"#, name(n)),
            Self::SetRoom { room: r, rule } => {
                format!(
                    r#"{{"type":"set_room","room":"{}",{}}}"#,
                    room(r),
                    pick(&RULES, rule)
                )
            }
            Self::RemoveRoom { room: r } => {
                format!(r#"{{"type":"remove_room","room":"{}"}}"#, room(r))
            }
            Self::Delete { room: r, seq } => {
                format!(
                    r#"{{"type":"delete","room":"{}","position":"{epoch}:{}"}}"#,
                    room(r),
                    seq % 8
                )
            }
            Self::Users { limit } => format!(r#"{{"type":"users","limit":{limit}}}"#),
            Self::Bans { limit } => format!(r#"{{"type":"bans","limit":{limit}}}"#),
        }
    }

    /// As a request: method, target and body.
    fn request(&self, epoch: &str) -> Option<(&'static str, String, String)> {
        let (room, name) = (|room| pick(&ROOMS, room), |name| pick(&NAMES, name));
        let query =
            |from: Option<u8>| from.map_or(String::new(), |from| format!("?room={}", room(from)));
        let none = String::new();
        Some(match *self {
            Self::Join { .. } | Self::Leave { .. } => return None,
            Self::Chat { room: r, .. } => (
                "POST",
                "/rooms".into(),
                format!(r#"{{"name":"{}"}}"#, room(r)),
            ),
            Self::Publish {
                room: r,
                name: n,
                id,
                count,
            } => {
                let one = format!(
                    r#"{{"content":"{id}","id":"{}","username":"{}"}}"#,
                    id % 8,
                    name(n)
                );
                let all = vec![one; usize::from(count)].join(",");
                (
                    "POST",
                    format!("/rooms/{}/messages", room(r)),
                    format!(r#"{{"messages":[{all}]}}"#),
                )
            }
            Self::Notify { name: n, id } => {
                let body = format!(r#"{{"content":"x","id":"{}"}}"#, id % 8);
                ("POST", format!("/users/{}/messages", name(n)), body)
            }
            Self::Kick { name: n, room: r } => (
                "DELETE",
                format!("/users/{}/connections{}", name(n), query(r)),
                none,
            ),
            Self::Ban {
                name: n,
                room: r,
                reason,
            } => {
                let room = r.map_or("null".to_owned(), |r| format!(r#""{}""#, room(r)));
                let body = format!(r#"{{"room":{room}{}}}"#, pick(&REASONS, reason));
                ("PUT", format!("/users/{}/ban", name(n)), body)
            }
            Self::Unban { name: n, room: r } => (
                "DELETE",
                format!("/users/{}/ban{}", name(n), query(r)),
                none,
            ),
            Self::Revoke { name: n } => ("POST", format!("/users/{}/revocations", name(n)), none),
            Self::SetRoom { room: r, rule } => (
                "PATCH",
                format!("/rooms/{}", room(r)),
                format!("{{{}}}", pick(&RULES, rule)),
            ),
            Self::RemoveRoom { room: r } => ("DELETE", format!("/rooms/{}", room(r)), none),
            Self::Delete { room: r, seq } => (
                "DELETE",
                format!("/rooms/{}/messages/{epoch}:{}", room(r), seq % 8),
                none,
            ),
            Self::Users { limit } => ("GET", format!("/users?limit={limit}"), none),
            Self::Bans { limit } => ("GET", format!("/bans?limit={limit}"), none),
        })
    }
}
