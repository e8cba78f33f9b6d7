//! The HTTP requests of the clients of `server_operations`.

use arbitrary::Arbitrary;
use sarang::domain::channels::{Channel, Kinds};

use super::dealings::What;

/// Room names, one more than the limit of rooms.
pub const ROOMS: [&str; 4] = ["t", "사랑방", "a/b", "☃"];
/// Names of guests: one is not in form C, two have one key, and the last has an account.
pub const NAMES: [&str; 5] = ["가", "\u{1102}\u{1161}", "c", "C", "admin"];

/// Keys of guests.
const KEYS: [&str; 3] = ["key-of-guest-one", "key-of-guest-two", "key-of-guest-three"];

/// The key of a guest with this number, which also picks the name: most have none, as in older inputs of the corpus.
fn key_of(name: u8) -> Option<&'static str> {
    (name >= 192).then(|| pick(&KEYS, name >> 4))
}

/// Channels of the clients' own.
pub const OWN_CHANNELS: [&str; 3] = ["a", "deploys", "team-7_x"];
/// From this number on a channel is one of the clients' own.
const OWN_FROM: u8 = 0xc0;

/// The channels of an event stream.
fn channels(number: u8) -> String {
    let built_in = pick(&Channel::ALL, number).name();
    match number {
        ..OWN_FROM => built_in.to_owned(),
        _ if number.is_multiple_of(2) => pick(&OWN_CHANNELS, number).to_owned(),
        _ => format!("{},{built_in}", pick(&OWN_CHANNELS, number)),
    }
}

/// Picks one out of a few.
pub fn pick<T: Copy>(from: &[T], index: u8) -> T {
    from[usize::from(index) % from.len()]
}

/// A request; tokens and tickets are those that were issued last.
#[derive(Debug, Arbitrary)]
#[allow(missing_docs, reason = "the names are the routes'")]
pub enum Request {
    Guest {
        name: u8,
    },
    Member {
        ticket: u8,
    },
    CreateRoom {
        room: u8,
        max_users: u8,
        token: u8,
    },
    Rooms {
        token: u8,
    },
    Room {
        room: u8,
        token: u8,
    },
    History {
        room: u8,
        seq: Option<u8>,
        token: u8,
    },
    Login {
        is_known: bool,
    },
    Refresh {
        token: u8,
    },
    Logout {
        token: u8,
    },
    Ticket {
        token: u8,
    },
    Events {
        channel: u8,
        last: Option<u8>,
        ticket: Option<u8>,
        token: u8,
        is_old: bool,
    },
    /// Figures, or an event of a channel of the clients' own.
    Figures {
        orders: u8,
        token: u8,
    },
    Metrics {
        token: u8,
    },
    /// The first bytes of a request.
    Half,
}

impl Request {
    /// Whether it opens a stream of every kind of event.
    pub fn is_of_everything(&self) -> bool {
        match self {
            Self::Events { channel, .. } => {
                let is_own = *channel >= OWN_FROM && channel.is_multiple_of(2);
                !is_own && pick(&Channel::ALL, *channel).kinds() == Kinds::ALL
            }
            _ => false,
        }
    }

    /// What it is for, and the token and the ticket it shows, if it shows one.
    pub fn shown(&self) -> (What, Option<u8>, Option<u8>) {
        let (what, ticket) = match *self {
            Self::Guest { .. } | Self::Half => (What::Upgrade, None),
            Self::Member { ticket } => (What::Upgrade, Some(ticket)),
            Self::Login { .. } => (What::Login, None),
            Self::Refresh { .. } => (What::Refresh, None),
            Self::Logout { .. } => (What::Logout, None),
            Self::Ticket { .. } => (What::Ticket, None),
            Self::Events { ticket, .. } => (What::Stream, ticket),
            Self::Metrics { .. } => (What::Dashboard, None),
            Self::CreateRoom { .. }
            | Self::Rooms { .. }
            | Self::Room { .. }
            | Self::History { .. }
            | Self::Figures { .. } => (What::Private, None),
        };
        let (_, _, token, _) = self.parts(&[], "");
        (what, token.filter(|_| ticket.is_none()), ticket)
    }

    /// Its bytes.
    pub fn encode(&self, tokens: &[String], tickets: &[String], epoch: &str) -> String {
        let (line, body, token, is_old) = self.parts(tickets, epoch);
        if matches!(self, Self::Half) {
            return line;
        }
        let version = if is_old { "1.0" } else { "1.1" };
        let mut text = format!("{line} HTTP/{version}\r\nHost: x\r\n");
        if let Some(token) = token.filter(|_| !tokens.is_empty()) {
            let token = &tokens[usize::from(token) % tokens.len()];
            text += &format!("Authorization: Bearer {token}\r\n");
        }
        if matches!(self, Self::Guest { .. } | Self::Member { .. }) {
            text += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        }
        if let Some(body) = &body {
            let length = body.len();
            text += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        }
        text + "\r\n" + &body.unwrap_or_default()
    }

    /// Method and target, body, token, and whether it is HTTP/1.0.
    fn parts(&self, tickets: &[String], epoch: &str) -> (String, Option<String>, Option<u8>, bool) {
        let ticket = |index: u8| match tickets.is_empty() {
            true => "none",
            false => &tickets[usize::from(index) % tickets.len()],
        };
        let room = |room: u8| pick(&ROOMS, room).replace('/', "%2F");
        let get = |target: String, token: u8| (format!("GET {target}"), None, Some(token), false);
        let post = |target: &str, body: Option<String>, token: u8| {
            (format!("POST {target}"), body, Some(token), false)
        };
        match *self {
            Self::Guest { name } => {
                let key = key_of(name).map_or(String::new(), |key| format!("&key={key}"));
                get(format!("/ws?username={}{key}", pick(&NAMES, name)), 0)
            }
            Self::Member { ticket: index } => get(format!("/ws?ticket={}", ticket(index)), 0),
            Self::CreateRoom {
                room,
                max_users,
                token,
            } => {
                let name = pick(&ROOMS, room);
                let body = format!(r#"{{"name":"{name}","max_users":{}}}"#, max_users % 4);
                post("/rooms", Some(body), token)
            }
            Self::Rooms { token } => get("/rooms".into(), token),
            Self::Room { room: index, token } => get(format!("/rooms/{}", room(index)), token),
            Self::History {
                room: index,
                seq,
                token,
            } => {
                let since = seq.map_or(String::new(), |seq| format!("?since={epoch}:{seq}"));
                get(format!("/rooms/{}/history{since}", room(index)), token)
            }
            Self::Login { is_known } => {
                let name = if is_known { "admin" } else { "nobody" };
                let body = format!(r#"{{"username":"{name}","password":"x"}}"#);
                (("POST /auth/login").into(), Some(body), None, false)
            }
            Self::Refresh { token } => post("/auth/refresh", None, token),
            Self::Logout { token } => post("/auth/logout", None, token),
            Self::Ticket { token } => post("/auth/ws-ticket", None, token),
            Self::Events {
                channel,
                last,
                ticket: index,
                token,
                is_old,
            } => {
                let mut target = format!("GET /sse/{}?", channels(channel));
                if let Some(last) = last {
                    target += &format!("last_event_id={last}&");
                }
                if let Some(index) = index {
                    target += &format!("ticket={}", ticket(index));
                }
                (target, None, Some(token), is_old)
            }
            Self::Figures { orders, token } => {
                let path = match orders {
                    ..OWN_FROM => "/events/business".into(),
                    _ => format!("/events/{}", pick(&OWN_CHANNELS, orders)),
                };
                let orders = match orders {
                    0 => "null".into(),
                    _ => orders.to_string(),
                };
                post(&path, Some(format!(r#"{{"orders":{orders}}}"#)), token)
            }
            Self::Metrics { token } => get("/metrics".into(), token),
            Self::Half => ("GET /ro".into(), None, None, false),
        }
    }
}
