//! What a client in rooms is told, and what must hold of it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use sarang::domain::names::key;
use serde_json::Value;

use super::asks::{Ask, Say};
use super::chat::{Chat, Identity, Seat, WAITED};
use super::files::ACCOUNTS;
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
                    let quiet = silent.min(stage.at() - self.opened_at);
                    assert!(
                        quiet <= Duration::from_secs(25) + LATE,
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
            "user_left" => {
                self.told_presence(message, false);
                let (room, name) = (text(&message["room"]), text(&message["username"]));
                self.check_left(room, name, stage);
            }
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
        let spot = stage.model.record(message, stage.at());
        let seat = self.seat(message);
        let expected = Spot {
            seq: seat.spot.seq + 1,
            ..seat.spot
        };
        assert_eq!(spot, expected, "a hole or a double: {message}");
        seat.spot = spot;
        let author = text(&message["username"]);
        let content = text(&message["content"]);
        if let Some(names) = &seat.names {
            // A guest and a member can have one name, and are not one; nor are guests with different keys.
            let is_shared = ["회원", "열쇠"].iter().any(|name| author.starts_with(name))
                || ACCOUNTS.contains(&author);
            let is_there = names.contains(author) || is_shared;
            assert!(
                is_there || stage.model.wishless.contains(content),
                "said by somebody who has left: {message}"
            );
        }
        self.check_heard(content, stage);
        stage.model.count("chats heard");
        self.heard_own(message, stage);
    }

    /// What it has said itself comes after what it has said in this room before.
    fn heard_own(&mut self, message: &Value, stage: &mut Stage) {
        let (room, content) = (text(&message["room"]), text(&message["content"]));
        let is_own = |ask: &Ask| {
            let say = ask.say();
            say.is_some_and(|say| say.content == content && !say.is_echoed && say.room == room)
        };
        let Some(place) = self.asked.iter().position(is_own) else {
            return;
        };
        // What was said before, or is said though it failed, was ordered before it was asked again.
        let is_again = self.asked[place].say().is_some_and(|say| say.is_again);
        let is_wishless = stage.model.wishless.contains(content);
        let may_have_failed = self.quiet_failures > 0;
        // Nothing goes before what was asked earlier, but what was said in another room.
        for before in self.asked.iter().take(place) {
            let is_late = stage.model.is_late;
            let is_free = (is_late && (is_wishless || is_again))
                || before.say().is_some_and(|before| {
                    let is_open = before.is_again || before.is_reuse || before.is_echoed;
                    let is_left = before.is_left || (before.is_quiet() && may_have_failed);
                    before.room != room || (is_late && (is_open || is_left))
                });
            assert!(is_free, "{content:?} was said before {before:?}");
        }
        let Some(Ask::Say(say)) = self.asked.get_mut(place) else {
            return;
        };
        say.is_echoed = true;
        if say.is_quiet() {
            let ask = self.asked.remove(place).expect("was found");
            if is_wishless {
                // It failed, as far as anybody was told.
                self.quiet_failures -= 1;
                return;
            }
            self.asked.push_front(ask);
            self.answered(0, stage);
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
        self.check_heard(content, stage);
        assert!(
            self.whispers.insert(content.to_owned()),
            "whispered twice: {message}"
        );
        if let Some(Ask::Whisper {
            content: own,
            id,
            is_echoed,
            to: target,
        }) = self
            .next_in_order(stage)
            .and_then(|place| self.asked.get_mut(place))
            && own == content
        {
            assert_eq!(target, to);
            *is_echoed = true;
            let has_no_id = id.is_none();
            if self.is_unblocked(stage) {
                let turn = stage.model.turn;
                let echoed = (turn, to.to_owned(), content.to_owned());
                stage.model.echoed.push(echoed);
            }
            if has_no_id {
                self.answer_in_order(stage);
            }
        }
    }

    /// Something that was asked is answered. With a late backend many answers may come at once.
    pub(super) fn answered(&mut self, place: usize, stage: &mut Stage) -> Ask {
        if !stage.model.is_late {
            self.refused_in_row = 0;
        }
        let limit = u64::from(stage.model.config.messages_per_second);
        if self.in_instant.0 != stage.at() {
            self.in_instant = (stage.at(), 0);
        }
        self.in_instant.1 += 1;
        if limit > 0 && self.is_unblocked(stage) && !stage.model.is_late {
            assert!(self.in_instant.1 <= limit + 2, "more than {limit} a second");
        }
        self.take_asked(place, stage)
    }

    /// The next of that which is answered in order is answered.
    fn answer_in_order(&mut self, stage: &mut Stage) -> Ask {
        let place = self.next_in_order(stage);
        self.answered(place.expect("an answer to what was asked"), stage)
    }

    fn told_welcome(&mut self, message: &Value, stage: &mut Stage) {
        assert_eq!(message["username"], *self.name);
        self.is_welcomed = true;
        let next = self.next_in_order(stage);
        let extends = |place| matches!(self.asked[place], Ask::Extend { .. });
        if self.session.is_some() && next.is_some_and(extends) {
            let Ask::Extend { ticket, at, .. } = self.answer_in_order(stage) else {
                panic!("an answer to another question");
            };
            stage.model.count("sessions extended");
            let session = stage.opens(ticket, at);
            let expires_at = stage.model.register.tokens[session.token].expires_at;
            if expires_at > self.token_expires {
                self.session = Some(session);
            }
            return self.expires(expires_at, message, stage);
        }
        match &self.identity {
            Identity::Guest | Identity::Holder(_) | Identity::Impostor => {
                assert_eq!(message["expires_at"], Value::Null);
                if let Identity::Holder(Some(_)) = self.identity {
                    stage.model.count("holders welcomed");
                }
                let member = stage.model.members.get(&*key(&self.name));
                assert!(
                    member.is_none_or(|welcomed| *welcomed >= self.asked_at),
                    "{} is a member's name, of whom it is held",
                    self.name
                );
            }
            Identity::Member(..) => {
                let at = stage.at();
                let key = key(&self.name).into_owned();
                stage.model.members.entry(key).or_insert(at);
                let expires_at = std::mem::take(&mut self.token_expires);
                let (ticket, shown) = self.shown.take().expect("was shown");
                self.session = Some(stage.opens(ticket, shown));
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
        // Read late, or by a clock that has jumped, it is not known when it was said.
        let is_known = self.is_unblocked(stage) && stage.model.jumped_at < self.asked_at;
        self.due = is_known.then(|| stage.at() + told.saturating_sub(stage.now().unix));
        if let Some(due) = self.due {
            stage.judge_at(self.me, self.wire.expect("is open"), due + LATE);
        }
    }

    fn told_answer(&mut self, message: &Value, stage: &mut Stage) {
        if message["type"] == "ack" {
            return self.told_ack(message, stage);
        }
        let place = self.next_in_order(stage).expect("something was asked");
        let ask = self.answered(place, stage);
        match (text(&message["type"]), ask) {
            (
                "room_joined",
                Ask::Join {
                    room, since, at, ..
                },
            ) => {
                assert_eq!(message["room"], *room);
                if stage.model.is_late && stage.at() > at + WAITED && self.is_swift() {
                    stage.model.count("joins that waited");
                }
                self.told_joined(room, since, message, stage);
            }
            ("room_left", Ask::Leave { room, .. }) => {
                assert_eq!(message["room"], *room);
                self.left(room, place);
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
            (_, ask) => panic!("{message} answers {ask:?}"),
        }
    }

    /// It has left a room, and does not hear what it has said there before that.
    fn left(&mut self, room: String, before: usize) {
        for ask in self.asked.iter_mut().take(before) {
            match ask {
                Ask::Say(say) if say.room == room => say.is_left = true,
                _ => {}
            }
        }
        let seat = self
            .seats
            .remove(&room)
            .expect("nobody leaves where they are not");
        self.memory.insert(room, seat.spot);
    }

    fn told_ack(&mut self, message: &Value, stage: &mut Stage) {
        let id = text(&message["id"]).to_owned();
        let spot = match &message["position"] {
            Value::Null => None,
            position => Some(Spot::read(position)),
        };
        let place = self.place_of_ack(&id, spot, stage);
        let now = stage.at();
        match self.answered(place, stage) {
            Ask::Say(say) => {
                assert_eq!(say.id.as_deref(), Some(&*id));
                let spot = spot.expect("what was said has a position");
                self.check_ack(&say, spot, stage);
                let Say { room, content, .. } = say;
                if self.acknowledged.len() < 20 && !say.is_reuse {
                    self.acknowledged.push((room, content.clone(), id.clone()));
                }
                let place = spot.epoch.to_string();
                stage
                    .model
                    .acknowledge((&self.name, &place, &id), &content, Some(spot), now);
                stage.model.count("acknowledged");
            }
            Ask::Whisper {
                to,
                content,
                id: own,
                ..
            } => {
                assert_eq!(own.as_deref(), Some(&*id));
                stage
                    .model
                    .acknowledge((&self.name, &to, &id), &content, None, now);
            }
            ask => panic!("{message} answers {ask:?}"),
        }
    }

    fn check_ack(&mut self, say: &Say, spot: Spot, stage: &mut Stage) {
        let Some(seat) = self.seats.get(&say.room) else {
            assert!(stage.model.is_late, "acknowledged where it is not");
            return stage.model.count("acknowledged after leaving");
        };
        if say.is_left || seat.spot.epoch != spot.epoch {
            return;
        }
        assert!(seat.spot >= spot, "acknowledged before it is heard");
        if say.is_echoed && !stage.model.is_late {
            assert_eq!(seat.spot, spot, "acknowledged with its own position");
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
            let at = stage.model.record(&Rc::new(one.clone()), stage.at());
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
        self.note_entered(&room, stage);
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
}
