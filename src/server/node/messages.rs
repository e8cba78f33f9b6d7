//! Messages between a node and the engine: published, delivered strictly by number, acknowledged.

use std::rc::Rc;

use super::Node;
use super::ask::{Ask, Request, Said};
use super::mirror::{Message, Mirror, Offered, Place, State};
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
use crate::wire::resp::{Reply, hex, read_hex};

impl Node {
    /// Takes a message to order and keep.
    pub fn publish(&mut self, room: Rc<str>, publication: Publication, now: Now) {
        let mirror = self.mirrors.get(&room);
        let said = Said {
            after: mirror.map_or(0, |mirror| mirror.newest),
            generation: mirror.map_or(0, |mirror| mirror.generation),
            publication,
            room,
            mark: self.mark(),
            number: self.marks,
        };
        let command = self.publish_command(&said, false);
        let mirror = self.mirrors.get_mut(&said.room);
        if let Some(mirror) = mirror.filter(|mirror| matches!(mirror.state, State::Reloading)) {
            // After those that came before it.
            let deadline = Some(now.monotonic + self.link.patience());
            let ask = Ask::Publish(Box::new(said));
            mirror.wait(Request::new(ask, command, deadline, now.monotonic));
            return;
        }
        self.ask(Ask::Publish(Box::new(said)), command, now);
    }

    /// A mark that no other message or whisper has.
    pub(super) fn mark(&mut self) -> Box<str> {
        self.marks += 1;
        format!("{}:{}", self.id, self.marks).into()
    }

    /// The command that publishes a message; one that may have come before is looked for, if it has no `id`.
    pub(super) fn publish_command(&mut self, said: &Said, is_again: bool) -> Vec<u8> {
        let Said {
            publication,
            room,
            mark,
            after,
            generation,
            ..
        } = said;
        let known = publication
            .message_id
            .as_ref()
            .zip(publication.said_by.as_ref());
        let epoch = split_mix(&mut self.random);
        let mut command = self.call(Script::Publish, if known.is_some() { 4 } else { 3 });
        for kind in ["m", "h", "x"] {
            command.text(&self.keys.of(kind, room));
        }
        if let Some((id, (sender, _))) = known {
            command.text(&self.keys.of_message("d", room, sender, id));
        }
        command.hex(epoch).text(&self.keys.of("r", room));
        command.text(&Message::payload(
            mark,
            publication.is_guest,
            &publication.username,
            &publication.content,
        ));
        match known {
            Some((_, (_, print))) => command.hex(*print),
            None => command.text("-"),
        };
        command.number(ACKNOWLEDGED_FOR.as_secs());
        match is_again && known.is_none() {
            true => command.text(&format!("{mark}\n")),
            false => command.text(""),
        };
        let mirror = self.mirrors.get(room);
        let mirror = mirror.filter(|mirror| mirror.generation == *generation);
        let kept = mirror.map_or(HISTORY_MESSAGES_MAX, Mirror::kept_messages);
        for limit in [kept, HISTORY_ROOM_BYTES_MAX, HISTORY_ON_ENTRY.min(kept)] {
            command.number(limit as u64);
        }
        command.number(ENGINE_KEPT_SECS).number(after + 1);
        command.hex(mirror.map_or(0, |mirror| mirror.epoch));
        // To keep a few more costs the engine less.
        let exactly = if kept < HISTORY_MESSAGES_MAX {
            "="
        } else {
            "~"
        };
        command.text(exactly);
        match mirror.and_then(|mirror| mirror.rules.history_seconds) {
            Some(seconds) => command.number(seconds.get().into()),
            None => command.text(""),
        };
        command.finish()
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
            deleted_at: message.deleted_at,
        };
        self.report(News::Message(room.clone(), fact));
        if let Some(serial) = serial.filter(|_| !is_confirmed) {
            self.acknowledge(serial, position);
        }
    }

    fn refuse_message(&mut self, said: &Said, code: ErrorCode) {
        self.report(News::Failed(said.publication.serial, code));
    }

    /// A message is kept by the engine, and by replicas if that is asked for.
    pub(super) fn acknowledge(&mut self, serial: Serial, position: Position) {
        match self.wait {
            0 => self.report(News::Acknowledged(serial, position)),
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
        let awaited = match is_enough {
            true => std::mem::take(&mut self.awaited),
            // It would be the same for those that came after them.
            false => self.unconfirmed.len(),
        };
        self.awaited = 0;
        for (serial, position) in self.unconfirmed.drain(..awaited) {
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
                let epoch = reply.text_at(1).and_then(read_hex);
                let place = epoch.zip(reply.number_at(2));
                let Some((place, milliseconds)) = place.zip(reply.number_at(3)) else {
                    return self.refuse_message(&said, ErrorCode::BackendUnavailable);
                };
                let message = Message {
                    mark: said.mark.clone(),
                    is_guest: publication.is_guest,
                    username: (*publication.username).into(),
                    content: publication.content.clone(),
                    timestamp: Timestamp::from_secs(milliseconds / 1000),
                    deleted_at: None,
                };
                self.offer(&said.room, place, message, Some(publication.serial), now);
            }
            Some("known") => {
                let known = reply.text_at(1).and_then(read_known);
                let print = publication.said_by.as_ref().map(|(_, print)| hex(*print));
                match known {
                    Some((of, position)) if of == print.as_deref().unwrap_or("-") => {
                        self.acknowledge(publication.serial, position);
                    }
                    _ => self.refuse_message(&said, ErrorCode::IdReused),
                }
            }
            Some("gone" | "renewed") => {
                let (room, generation) = (said.room.clone(), said.generation);
                let request = Request {
                    ask: Ask::Publish(said),
                    ..request
                };
                let mirror = self.mirrors.get_mut(&room);
                match mirror.filter(|mirror| mirror.generation == generation) {
                    Some(mirror) => mirror.wait(request),
                    // It was removed, and perhaps made again.
                    None => return self.refuse(request, ErrorCode::RoomNotFound),
                }
                self.reload(&room, now);
            }
            _ => self.refuse_message(&said, ErrorCode::BackendUnavailable),
        }
    }
}

/// Reads `FINGERPRINT EPOCH NUMBER`.
fn read_known(text: &str) -> Option<(&str, Position)> {
    let mut parts = text.split(' ');
    let print = parts.next()?;
    let epoch = read_hex(parts.next()?)?;
    let seq = parts.next()?.parse().ok()?;
    Some((print, Position { epoch, seq }))
}
