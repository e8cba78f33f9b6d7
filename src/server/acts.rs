//! What moderators have asked for, until it is answered.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::json_response;
use crate::conn::act::{Act, Post, Target};
use crate::domain::ban::BanList;
use crate::domain::error::ErrorCode;
use crate::domain::event::{Event, RoomRules, UserInfo, UserList};
use crate::domain::ids::{Origin, Serial};
use crate::domain::position::Position;
use crate::wire::response::Response;

/// Who does something.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The name under which it is noted.
    pub name: Rc<str>,
    /// The name in which they speak, if they name no other.
    pub speaker: Rc<str>,
    /// From where.
    pub address: IpAddr,
}

/// Acts of moderators that are not answered yet.
#[derive(Debug, Default)]
pub struct Moderation {
    /// Commands over WebSocket, by serial; requests wait elsewhere.
    pub commands: HashMap<Serial, Command>,
    /// Messages that are being said, by serial.
    pub postings: HashMap<Serial, Posting>,
    /// Rooms whose rules are the answer when they are kept, by serial.
    pub rooms: HashMap<Serial, Rc<str>>,
    /// Acts that wait for their room to be opened, by serial.
    pub parked: HashMap<Serial, (Actor, Act)>,
    /// Questions to the other nodes, by serial.
    pub asked: HashMap<Serial, Asked>,
}

/// What the other nodes are asked.
#[derive(Debug)]
pub enum Asked {
    /// The engine is asked: what is noted when it is done. The action, the room, the position of a message, the changes.
    Noted(Actor, &'static str, Rc<str>, Option<String>, Option<Value>),
    /// To put somebody out, who was here or not.
    Kick(Actor, Target, bool),
    /// Who a user is; what is known of them here.
    User(Option<UserInfo>),
    /// The same of a page of users, and the name after which the next page begins.
    Users(Vec<(Rc<str>, Option<UserInfo>)>, Option<Rc<str>>),
}

/// A command over WebSocket.
#[derive(Debug)]
pub struct Command {
    /// The WebSocket.
    pub origin: Origin,
    /// The `id` of the command.
    pub message_id: Option<Box<str>>,
}

/// The answer to an act that was carried out.
#[derive(Debug)]
pub enum Answered {
    /// It is done.
    Done,
    /// A message is kept at this position.
    Said(Position),
    /// Messages are kept at these positions.
    AllSaid(Vec<Position>),
    /// A user was told.
    Notified,
    /// A page of the users.
    Users(UserList),
    /// A user.
    User(UserInfo),
    /// A page of the bans.
    Bans(BanList),
    /// A room with its rules.
    Room(RoomRules),
}

/// Messages that are being said for one request or command.
#[derive(Debug)]
pub struct Posting {
    /// The name of the room.
    pub room: Rc<str>,
    /// Those that are not said yet.
    pub left: VecDeque<Post>,
    /// The bytes of their texts.
    pub bytes: usize,
    /// Where the others are kept; `None` while that is not known.
    pub positions: Vec<Option<Position>>,
    /// Those of them whose position is not known.
    pub unknown: usize,
    /// Why the first one of them was refused.
    pub refused: Option<ErrorCode>,
    /// Whether it is answered as a batch.
    pub is_batch: bool,
    /// Until when it waits for members who are behind, as time since the server's start; `None`: no more, or it never did.
    pub waits_until: Option<Duration>,
}

impl Answered {
    /// The response to a request.
    pub fn response(self) -> Response {
        match self {
            Self::Done => Response::empty(204),
            Self::Said(position) => json_response(201, &json!({"position": position})),
            Self::AllSaid(positions) => json_response(201, &json!({"positions": positions})),
            Self::Notified => json_response(202, &json!({})),
            Self::Users(list) => json_response(200, &list),
            Self::User(user) => json_response(200, &user),
            Self::Bans(list) => json_response(200, &list),
            Self::Room(room) => json_response(200, &room),
        }
    }

    /// The same over WebSocket; `None` if there is nothing to tell.
    pub fn event(self, id: Option<Box<str>>) -> Option<Event> {
        let ack = |position| {
            Some(Event::Ack {
                id: id.clone()?,
                position,
            })
        };
        match self {
            Self::Done | Self::Notified => ack(None),
            Self::Said(position) => ack(Some(position)),
            Self::AllSaid(positions) => ack(positions.last().copied()),
            Self::Users(list) => Some(Event::Users { list, id }),
            Self::User(user) => Some(Event::User { user, id }),
            Self::Bans(list) => Some(Event::Bans { list, id }),
            Self::Room(room) => Some(Event::Room { room, id }),
        }
    }
}

impl Posting {
    /// One message was refused: those after it are not said.
    pub fn refuse(&mut self, code: ErrorCode) {
        self.refused.get_or_insert(code);
        self.left.clear();
    }
}
