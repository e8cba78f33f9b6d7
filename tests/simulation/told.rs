//! What a client in rooms is told, and what must hold of it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::chat::{Ask, Chat, Identity, Seat};
use super::model::Spot;
use super::stage::{Stage, frame};

/// Users of a room that are told by name.
const NAMES_MAX: usize = 200;
/// From here on a room may have been larger for a moment, and names may have been left out.
const NAMES_SURE: usize = 190;
/// Deadlines strike a tick late at most; a turn adds a little.
pub const LATE: Duration = Duration::from_millis(400);

fn text(value: &Value) -> &str {
    value.as_str().expect("is text")
}

fn names(value: &Value) -> BTreeSet<String> {
    let list = value.as_array().expect("a list");
    let names: BTreeSet<String> = list.iter().map(|name| text(name).to_owned()).collect();
    assert_eq!(names.len(), list.len(), "nobody is named twice");
    names
}

impl Chat {
    pub(super) fn frame(&mut self, first: u8, payload: &[u8], stage: &mut Stage) {
        assert_eq!(self.heard_close, None, "nothing comes after a close frame");
        match first {
            0x81 => {
                let message = stage.model.parse(payload);
                self.told(&message, stage);
            }
            0x88 => self.closed(payload, stage),
            0x89 if self.habits.is_polite && !self.is_mute => {
                let mut bytes = Vec::new();
                frame(0x8a, payload, &mut stage.seed, &mut bytes);
                stage.send(self.wire.expect("is open"), &bytes);
            }
            0x89 => {
                let heard = stage.network.sockets[self.wire.expect("is open").0].heard_at;
                if self.is_unblocked(stage) {
                    let silent = stage.at() - heard;
                    assert!(
                        silent + LATE >= Duration::from_secs(25),
                        "pinged after {silent:?}"
                    );
                    assert!(
                        silent <= Duration::from_secs(25) + LATE,
                        "pinged after {silent:?}"
                    );
                }
                stage.model.count("pings unanswered");
            }
            0x8a if self.provoked.is_some() => {}
            0x8a => {
                let expected = self.pings.pop_front();
                assert_eq!(expected.as_deref(), Some(payload), "a pong for no ping");
            }
            other => panic!("a frame that begins with {other:#x}"),
        }
    }

    fn told(&mut self, message: &Rc<Value>, stage: &mut Stage) {
        match text(&message["type"]) {
            "chat" => self.told_chat(message, stage),
            "user_joined" => self.told_presence(message, true),
            "user_left" => self.told_presence(message, false),
            "room_users" => {
                let seat = self.seat(message);
                seat.names = None;
                seat.count = message["count"].as_u64().expect("a number") as usize;
                stage.model.count("room_users");
            }
            "whisper" => self.told_whisper(message, stage),
            "welcome" => self.told_welcome(message, stage),
            "error" => self.told_error(message, stage),
            _ => self.told_answer(message, stage),
        }
    }

    fn seat(&mut self, message: &Value) -> &mut Seat {
        let room = text(&message["room"]);
        let name = &self.name;
        self.seats
            .get_mut(room)
            .unwrap_or_else(|| panic!("{name} is not in the room of {message}"))
    }

    fn told_chat(&mut self, message: &Rc<Value>, stage: &mut Stage) {
        let spot = stage.model.record(message, stage.now.monotonic);
        let seat = self.seat(message);
        let expected = Spot {
            seq: seat.spot.seq + 1,
            ..seat.spot
        };
        assert_eq!(spot, expected, "a hole or a double: {message}");
        seat.spot = spot;
        stage.model.count("chats heard");
        let content = text(&message["content"]);
        let is_own = |ask: &Ask| matches!(ask, Ask::Say { content: own, .. } if own == content);
        let Some(place) = self.asked.iter().position(is_own) else {
            return;
        };
        // Nothing goes before what was asked earlier, but what was said in another room.
        let room = text(&message["room"]);
        for before in self.asked.iter().take(place) {
            let is_elsewhere = matches!(before, Ask::Say { room: other, .. } if other != room);
            assert!(is_elsewhere, "{content:?} was said before {before:?}");
        }
        let Some(Ask::Say { id, is_echoed, .. }) = self.asked.get_mut(place) else {
            return;
        };
        assert!(!std::mem::replace(is_echoed, true), "echoed twice");
        if id.is_none() {
            let ask = self.asked.remove(place).expect("was found");
            self.asked.push_front(ask);
            self.answered(stage);
        }
    }

    fn told_presence(&mut self, message: &Value, has_joined: bool) {
        let name = text(&message["username"]).to_owned();
        assert_ne!(
            name, self.name,
            "nobody is told of their own coming and going"
        );
        let seat = self.seat(message);
        seat.count = if has_joined {
            seat.count + 1
        } else {
            seat.count - 1
        };
        if seat.count >= NAMES_SURE {
            seat.names = None;
        }
        if let Some(names) = &mut seat.names {
            let is_news = if has_joined {
                names.insert(name)
            } else {
                names.remove(&name)
            };
            assert!(is_news, "no news: {message}");
            assert_eq!(names.len(), seat.count);
        }
    }

    fn told_whisper(&mut self, message: &Value, stage: &mut Stage) {
        let (from, to) = (text(&message["from"]), text(&message["to"]));
        let content = text(&message["content"]);
        assert!(
            from == self.name || to == self.name,
            "another's whisper: {message}"
        );
        assert!(
            self.whispers.insert(content.to_owned()),
            "whispered twice: {message}"
        );
        if let Some(Ask::Whisper {
            content: own,
            id,
            is_echoed,
            to: target,
        }) = self.asked.front_mut()
            && own == content
        {
            assert_eq!(target, to);
            *is_echoed = true;
            let has_no_id = id.is_none();
            if self.is_unblocked(stage) {
                stage.model.echoed.push((to.to_owned(), content.to_owned()));
            }
            if has_no_id {
                self.answered(stage);
            }
        }
    }

    /// The first thing that was asked is answered.
    fn answered(&mut self, stage: &mut Stage) -> Ask {
        self.refused_in_row = 0;
        let limit = u64::from(stage.model.config.messages_per_second);
        if self.in_instant.0 != stage.at() {
            self.in_instant = (stage.at(), 0);
        }
        self.in_instant.1 += 1;
        if limit > 0 && self.is_unblocked(stage) {
            assert!(self.in_instant.1 <= limit + 2, "more than {limit} a second");
        }
        self.asked.pop_front().expect("an answer to what was asked")
    }

    fn told_welcome(&mut self, message: &Value, stage: &mut Stage) {
        assert_eq!(message["username"], *self.name);
        let was_open =
            self.due.is_some() || self.opened_turn != stage.model.turn || !self.asked.is_empty();
        if was_open && let Some(Ask::Extend { .. }) = self.asked.front() {
            let Ask::Extend { expires_at } = self.answered(stage) else {
                panic!("an answer to another question");
            };
            stage.model.count("sessions extended");
            return self.expires(expires_at, message, stage);
        }
        match &self.identity {
            Identity::Guest | Identity::Impostor => assert_eq!(message["expires_at"], Value::Null),
            Identity::Member(..) => {
                let expires_at = std::mem::take(&mut self.token_expires);
                self.expires(expires_at, message, stage);
            }
            Identity::Contender(ticket) => {
                let used = stage.model.tickets.get_mut(ticket).expect("is known");
                used.winners += 1;
                assert_eq!(used.winners, 1, "a ticket opens one connection");
                stage.model.count("tickets won");
            }
        }
    }

    /// The session ends with the token that ends last; one that ends sooner changes nothing.
    fn expires(&mut self, expires_at: u64, message: &Value, stage: &mut Stage) {
        let told = humantime::parse_rfc3339(text(&message["expires_at"])).expect("a time");
        let told = told
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        assert_eq!(
            told.as_secs(),
            expires_at.max(self.token_expires),
            "the session ends with the token"
        );
        if expires_at <= self.token_expires {
            return;
        }
        self.token_expires = expires_at;
        // Read late, it is not known when it was said.
        self.due = self
            .is_unblocked(stage)
            .then(|| stage.at() + told.saturating_sub(stage.now.unix));
        if let Some(due) = self.due {
            stage.judge_at(self.me, self.wire.expect("is open"), due + LATE);
        }
    }

    fn told_answer(&mut self, message: &Value, stage: &mut Stage) {
        let ask = self.answered(stage);
        match (text(&message["type"]), ask) {
            ("room_joined", Ask::Join { room, since }) => {
                assert_eq!(message["room"], *room);
                self.told_joined(room, since, message, stage);
            }
            ("room_left", Ask::Leave { room }) => {
                assert_eq!(message["room"], *room);
                let seat = self
                    .seats
                    .remove(&room)
                    .expect("nobody leaves where they are not");
                self.memory.insert(room, seat.spot);
            }
            ("room_list", Ask::List) => {
                let rooms = message["rooms"].as_array().expect("a list");
                for room in self.seats.keys() {
                    assert!(
                        rooms.iter().any(|one| one["name"] == **room),
                        "{room} exists"
                    );
                }
                for room in rooms {
                    assert!(
                        room["users"].as_u64() <= room["max_users"].as_u64(),
                        "{room}"
                    );
                }
            }
            (
                "ack",
                Ask::Say {
                    room,
                    content,
                    id,
                    is_echoed,
                },
            ) => {
                assert_eq!(message["id"].as_str(), id.as_deref());
                let spot = Spot::read(&message["position"]);
                if is_echoed {
                    assert_eq!(
                        self.seats[&room].spot, spot,
                        "acknowledged with its own position"
                    );
                }
                let id = id.expect("was compared");
                if self.acknowledged.len() < 20 {
                    self.acknowledged.push((room, content.clone(), id.clone()));
                }
                stage
                    .model
                    .acknowledge(&self.name, &id, &content, Some(spot), stage.now.monotonic);
                stage.model.count("acknowledged");
            }
            ("ack", Ask::Whisper { content, id, .. }) => {
                assert_eq!(message["id"].as_str(), id.as_deref());
                let id = id.expect("was compared");
                stage
                    .model
                    .acknowledge(&self.name, &id, &content, None, stage.now.monotonic);
            }
            (_, ask) => panic!("{message} answers {ask:?}"),
        }
    }

    fn told_joined(
        &mut self,
        room: String,
        since: Option<Spot>,
        message: &Value,
        stage: &mut Stage,
    ) {
        let spot = Spot::read(&message["position"]);
        let history = message["history"].as_array().expect("a list");
        let first = spot.seq + 1 - history.len() as u64;
        for (seq, one) in (first..).zip(history) {
            let at = stage
                .model
                .record(&Rc::new(one.clone()), stage.now.monotonic);
            assert_eq!(at, Spot { seq, ..spot }, "a hole in the history");
        }
        if let Some(log) = stage.model.logs.get(&spot.epoch) {
            assert_eq!(log.room, room, "an epoch belongs to one room");
            if self.is_unblocked(stage) {
                assert!(
                    spot.seq >= log.newest_before,
                    "what was heard is not in history"
                );
            }
        }
        let missed = since.map(|since| (since, spot.seq.checked_sub(since.seq)));
        match (message["recovered"].as_bool().expect("is told"), missed) {
            (true, Some((since, missed))) => {
                assert_eq!(since.epoch, spot.epoch, "another past is not recovered");
                assert_eq!(
                    missed,
                    Some(history.len() as u64),
                    "exactly what was missed"
                );
                stage.model.count("recovered");
            }
            (true, None) => panic!("recovered without since"),
            (false, missed) => {
                assert_eq!(history.len() as u64, spot.seq.min(50), "the last 50");
                if let Some((since, _)) = missed.filter(|(since, _)| since.epoch == spot.epoch) {
                    assert!(
                        stage.model.may_be_gone(since, spot),
                        "not recovered: {since:?} to {spot:?}"
                    );
                    stage.model.count("gone");
                }
                if missed.is_some_and(|(since, _)| since.epoch != spot.epoch) {
                    stage.model.count("another epoch");
                }
            }
        }
        self.take_seat(room, spot, message);
    }

    fn take_seat(&mut self, room: String, spot: Spot, message: &Value) {
        let mut names = names(&message["online_users"]);
        let count = message["online_count"].as_u64().expect("a number") as usize;
        assert!(!names.contains(&self.name), "online_users names the others");
        assert_eq!(names.len(), (count - 1).min(NAMES_MAX), "{message}");
        names.insert(self.name.clone());
        let names = (count < NAMES_SURE).then_some(names);
        let before = self.seats.insert(room, Seat { spot, names, count });
        assert!(before.is_none(), "nobody enters twice: {message}");
    }

    fn told_error(&mut self, message: &Value, stage: &mut Stage) {
        let code = text(&message["code"]);
        stage.model.count(&format!("error {code}"));
        let config = &stage.model.config;
        if code == "rate_limited" {
            assert!(
                config.messages_per_second > 0 && self.asks > u64::from(config.messages_per_second)
            );
            let refused = self.refused_in_row + 1;
            assert!(refused <= 10, "ten warnings, then the end");
            _ = self.answered(stage);
            self.in_instant.1 -= 1;
            self.refused_in_row = refused;
            return;
        }
        let limits = config.rooms.clone();
        let ask = self.answered(stage);
        let id = match &ask {
            Ask::Say { id, is_echoed, .. } | Ask::Whisper { id, is_echoed, .. } => {
                assert!(!is_echoed, "said and refused: {message}");
                id.as_deref()
            }
            _ => None,
        };
        assert_eq!(message["id"].as_str(), id, "{message} to {ask:?}");
        let is_right = match (code, &ask) {
            (code, Ask::Nonsense { code: expected }) => code == *expected,
            ("not_in_room", Ask::Say { room, .. } | Ask::Leave { room }) => {
                !self.seats.contains_key(room)
            }
            ("already_in_room", Ask::Join { room, .. }) => self.seats.contains_key(room),
            ("content_too_long", Ask::Say { content, .. } | Ask::Whisper { content, .. }) => {
                content.chars().count() > limits.content_chars
            }
            ("too_many_rooms", Ask::Join { .. }) => {
                self.seats.len() >= limits.rooms_per_connection || limits.rooms < 10
            }
            ("room_full", Ask::Join { .. }) => true,
            ("room_not_found", Ask::Join { .. }) => !limits.auto_rooms,
            ("user_not_found", Ask::Whisper { to, .. }) => *to != self.name,
            ("unauthorized", Ask::Extend { .. }) => true,
            _ => false,
        };
        assert!(
            is_right,
            "{message} to {ask:?} of {} in {:?}",
            self.name,
            self.seats.keys()
        );
    }
}
