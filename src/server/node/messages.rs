//! Messages between a node and the engine: published, delivered strictly by number, acknowledged.

use std::rc::Rc;

use super::Node;
use super::ask::{Ask, Request, Said};
use super::mirror::{Message, Offered, Place, State};
use super::news::News;
use super::scripts::Script;
use crate::config::{
    ACKNOWLEDGED_FOR, ENGINE_KEPT_SECS, HISTORY_MESSAGES_MAX, HISTORY_ON_ENTRY,
    HISTORY_ROOM_BYTES_MAX,
};
use crate::domain::error::ErrorCode;
use crate::domain::facts::Fact;
use crate::domain::ids::{RoomId, RoomKey, Serial};
use crate::domain::position::Position;
use crate::domain::random::split_mix;
use crate::domain::time::{Now, Timestamp};
use crate::domain::wishes::Publication;
use crate::wire::resp::Reply;

impl Node {
    /// Takes a message to order and keep.
    pub fn publish(&mut self, room: Rc<str>, publication: Publication, now: Now) {
        self.marks += 1;
        let mark = format!("{}:{}", self.id, self.marks).into();
        let said = Said {
            publication,
            room,
            mark,
        };
        let command = self.publish_command(&said, false);
        self.has_published = true;
        let mirror = self.mirrors.get_mut(&said.room);
        if let Some(mirror) = mirror.filter(|mirror| matches!(mirror.state, State::Reloading)) {
            // After those that came before it.
            return mirror.again.push(Request {
                ask: Ask::Publish(Box::new(said)),
                command,
                deadline: Some(now.monotonic + self.link.patience()),
                sent_at: now.monotonic,
            });
        }
        self.ask(Ask::Publish(Box::new(said)), command, now);
    }

    /// The command that publishes a message; one that may have come before is looked for, if it has no `id`.
    pub(super) fn publish_command(&mut self, said: &Said, is_again: bool) -> Vec<u8> {
        let Said {
            publication,
            room,
            mark,
        } = said;
        let (meta, history) = (self.keys.of("m", room), self.keys.of("h", room));
        let known = publication
            .message_id
            .as_ref()
            .zip(publication.said_by.as_ref());
        let known = known.map(|(id, (sender, print))| {
            (
                self.keys.of_message("d", room, sender, id),
                format!("{print:016x}"),
            )
        });
        let payload = Message::payload(
            mark,
            publication.is_guest,
            &publication.username,
            &publication.content,
        );
        let epoch = format!("{:016x}", split_mix(&mut self.random));
        let channel = self.keys.of("r", room);
        let is_looked_for = is_again && known.is_none();
        let again = if is_looked_for {
            format!("{mark}\n")
        } else {
            String::new()
        };
        let print = known.as_ref().map_or("-", |(_, print)| print);
        let kept = ACKNOWLEDGED_FOR.as_secs().to_string();
        let limits = [
            HISTORY_MESSAGES_MAX,
            HISTORY_ROOM_BYTES_MAX,
            HISTORY_ON_ENTRY,
        ]
        .map(|limit| limit.to_string());
        let lives = ENGINE_KEPT_SECS.to_string();
        let arguments = [
            &*epoch, &channel, &payload, print, &kept, &again, &limits[0], &limits[1], &limits[2],
            &lives,
        ];
        let arguments = arguments.map(str::as_bytes);
        match &known {
            Some((known, _)) => self.call(Script::Publish, &[&meta, &history, known], &arguments),
            None => self.call(Script::Publish, &[&meta, &history], &arguments),
        }
    }

    /// Takes a message of the engine: delivers it if it is the next one.
    pub(super) fn offer(
        &mut self,
        room: &Rc<str>,
        place: Place,
        message: Message,
        serial: Option<Serial>,
        now: Now,
    ) {
        let (epoch, seq) = place;
        let position = Position { epoch, seq };
        let Some(mirror) = self.mirrors.get_mut(room) else {
            if let Some(serial) = serial {
                self.acknowledge(serial, position);
            }
            return;
        };
        mirror.heard = now.monotonic;
        match mirror.offer(place, message, serial) {
            Offered::Next(message, serial) => {
                self.deliver(room, position, message, serial);
                self.drain(room);
            }
            Offered::Old => {
                if let Some(serial) = serial {
                    self.acknowledge(serial, position);
                }
            }
            Offered::Held => {}
            Offered::Missing => {
                mirror.state = State::Filling;
                self.ask_to_fill(room, now);
            }
            Offered::Strange => self.reload(room, now),
            Offered::TooMany => {
                let answered = mirror.forget_held();
                self.acknowledge_all(answered);
                self.reload(room, now);
            }
        }
    }

    pub(super) fn drain(&mut self, room: &Rc<str>) {
        while let Some(mirror) = self.mirrors.get_mut(room)
            && let Some((message, serial)) = mirror.poll()
        {
            let position = Position {
                epoch: mirror.epoch,
                seq: mirror.newest,
            };
            self.deliver(room, position, message, serial);
        }
    }

    fn deliver(
        &mut self,
        room: &Rc<str>,
        position: Position,
        message: Message,
        serial: Option<Serial>,
    ) {
        let is_confirmed = self.wait == 0;
        let fact = Fact {
            serial: serial.filter(|_| is_confirmed),
            room: RoomKey {
                id: RoomId(u32::MAX),
                epoch: position.epoch,
            },
            username: message.username.into(),
            is_guest: message.is_guest,
            content: message.content,
            timestamp: message.timestamp,
            position,
        };
        self.news.push_back(News::Message(room.clone(), fact));
        if let Some(serial) = serial.filter(|_| !is_confirmed) {
            self.acknowledge(serial, position);
        }
    }

    /// A message is kept by the engine, and by replicas if that is asked for.
    pub(super) fn acknowledge(&mut self, serial: Serial, position: Position) {
        match self.wait {
            0 => self.news.push_back(News::Acknowledged(serial, position)),
            _ => self.unconfirmed.push((serial, position)),
        }
    }

    pub(super) fn acknowledge_all(&mut self, answered: Vec<(Place, Serial)>) {
        for ((epoch, seq), serial) in answered {
            self.acknowledge(serial, Position { epoch, seq });
        }
    }

    /// Takes the number of replicas that have everything up to here.
    pub(super) fn confirmed(&mut self, replicas: u64) {
        let is_enough = replicas >= u64::from(self.wait);
        for (serial, position) in std::mem::take(&mut self.unconfirmed) {
            self.news.push_back(match is_enough {
                true => News::Acknowledged(serial, position),
                false => News::Failed(serial, ErrorCode::BackendUnavailable),
            });
        }
    }

    /// Takes the reply to a message.
    pub(super) fn published(&mut self, request: Request, reply: &Reply, now: Now) {
        let Ask::Publish(said) = request.ask else {
            return;
        };
        let publication = &said.publication;
        match reply.text_at(0) {
            Some("ok") => {
                let epoch = reply
                    .text_at(1)
                    .and_then(|epoch| u64::from_str_radix(epoch, 16).ok());
                let place = epoch.zip(reply.number_at(2));
                let Some((place, milliseconds)) = place.zip(reply.number_at(3)) else {
                    return self.refuse(Ask::Publish(said), ErrorCode::BackendUnavailable);
                };
                let message = Message {
                    mark: said.mark.clone(),
                    is_guest: publication.is_guest,
                    username: (*publication.username).into(),
                    content: publication.content.clone(),
                    timestamp: Timestamp::from_secs(milliseconds / 1000),
                };
                self.offer(&said.room, place, message, Some(publication.serial), now);
            }
            Some("known") => {
                let known = reply.text_at(1).and_then(read_known);
                let print = publication
                    .said_by
                    .as_ref()
                    .map(|(_, print)| format!("{print:016x}"));
                match known {
                    Some((of, position)) if of == print.as_deref().unwrap_or("-") => {
                        self.acknowledge(publication.serial, position);
                    }
                    _ => self.refuse(Ask::Publish(said), ErrorCode::IdReused),
                }
            }
            Some("gone" | "renewed") => {
                let room = said.room.clone();
                let request = Request {
                    ask: Ask::Publish(said),
                    ..request
                };
                match self.mirrors.get_mut(&room) {
                    Some(mirror) => mirror.again.push(request),
                    None => self.refuse(request.ask, ErrorCode::BackendUnavailable),
                }
                self.reload(&room, now);
            }
            _ => self.refuse(Ask::Publish(said), ErrorCode::BackendUnavailable),
        }
    }
}

/// Reads `FINGERPRINT EPOCH NUMBER`.
fn read_known(text: &str) -> Option<(&str, Position)> {
    let mut parts = text.split(' ');
    let print = parts.next()?;
    let epoch = u64::from_str_radix(parts.next()?, 16).ok()?;
    let seq = parts.next()?.parse().ok()?;
    Some((print, Position { epoch, seq }))
}
