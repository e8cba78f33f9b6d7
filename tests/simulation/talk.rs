//! What a client in rooms says, and how it breaks off.

use std::time::Duration;

use serde_json::json;

use super::asks::{Ask, Say};
use super::chat::{Chat, Phase};
use super::seed::Seed;
use super::stage::{Stage, frame};

const NONSENSE: [(&str, &str); 9] = [
    ("{", "bad_json"),
    ("안녕", "bad_json"),
    (r#"{"type":"chat","room":"a","content":"\x"}"#, "bad_json"),
    ("[]", "bad_request"),
    ("{}", "bad_request"),
    (r#"{"type":"join"}"#, "bad_request"),
    (r#"{"type":"join","room":7}"#, "bad_request"),
    (r#"{"type":7}"#, "bad_request"),
    (r#"{"type":"dance"}"#, "unknown_type"),
];

impl Chat {
    /// A text message, now and then in fragments or with a ping before or in it (RFC 6455 section 5.4).
    pub(super) fn push_text(&mut self, text: &str, bytes: &mut Vec<u8>, stage: &mut Stage) {
        let seed = &mut stage.seed;
        if seed.chance(5) {
            self.push_ping(bytes, seed);
        }
        if !seed.chance(5) || text.len() < 2 {
            return frame(0x81, text.as_bytes(), seed, bytes);
        }
        let cut = seed.below(text.len());
        frame(0x01, &text.as_bytes()[..cut], seed, bytes);
        if seed.chance(50) {
            self.push_ping(bytes, seed);
        }
        frame(0x80, &text.as_bytes()[cut..], seed, bytes);
    }

    fn push_ping(&mut self, bytes: &mut Vec<u8>, seed: &mut Seed) {
        let count = seed.below(20);
        let payload = seed.bytes(count);
        frame(0x89, &payload, seed, bytes);
        self.pings.push_back(payload);
    }

    /// Where it will be when everything that was asked is done, if all of it succeeds.
    fn is_to_be_in(&self, room: &str) -> bool {
        let last = self.asked.iter().rev().find_map(|ask| match ask {
            Ask::Join { room: other, .. } if other == room => Some(true),
            Ask::Leave { room: other, .. } if other == room => Some(false),
            _ => None,
        });
        last.unwrap_or(self.seats.contains_key(room))
    }

    pub(super) fn choose(&mut self, stage: &mut Stage) -> (Ask, String) {
        if stage.seed.chance(self.habits.slips) {
            return self.choose_nonsense(stage);
        }
        let room = stage.seed.pick(&self.habits.rooms);
        let is_in = self.is_to_be_in(&room);
        if is_in && let Some(again) = self.say_again(&room, stage) {
            return again;
        }
        // Mostly what makes sense where it is, seldom what does not.
        match (is_in, stage.seed.chance(self.habits.moves)) {
            (false, _) if !stage.seed.chance(3) => self.join(room, stage),
            (true, true) if stage.seed.chance(10) => self.join(room, stage),
            (true, true) => {
                let id = self.command_id();
                let text = json!({"type": "leave", "room": room, "id": id}).to_string();
                (Ask::Leave { room, id }, text)
            }
            _ => match stage.seed.below(20) {
                0 => (Ask::List, json!({"type": "room_list"}).to_string()),
                1..=2 => self.whisper(stage),
                _ => self.say(room, stage),
            },
        }
    }

    fn choose_nonsense(&mut self, stage: &mut Stage) -> (Ask, String) {
        match stage.seed.below(12) {
            0 => {
                let room = "x".repeat(65);
                let text = json!({"type": "join", "room": room}).to_string();
                (
                    Ask::Nonsense {
                        code: "bad_room_name",
                    },
                    text,
                )
            }
            1 => {
                let text = json!({"type": "auth", "ticket": "nobody's"}).to_string();
                (
                    Ask::Nonsense {
                        code: "unauthorized",
                    },
                    text,
                )
            }
            2 => {
                let text = json!({"type": "whisper", "to": "아무도 아닌 사람", "content": "?"})
                    .to_string();
                (
                    Ask::Nonsense {
                        code: "user_not_found",
                    },
                    text,
                )
            }
            _ => {
                let (text, code) = stage.seed.pick(&NONSENSE);
                (Ask::Nonsense { code }, text.to_owned())
            }
        }
    }

    fn join(&mut self, room: String, stage: &mut Stage) -> (Ask, String) {
        let (id, at) = (self.command_id(), stage.at());
        let mut value = json!({"type": "join", "room": room, "id": id});
        let known = self.memory.get(&room).copied();
        let since = known.filter(|_| stage.seed.chance(75));
        if let Some(since) = since {
            value["since"] = since.text().into();
        }
        let join = Ask::Join {
            room,
            since,
            id,
            at,
        };
        (join, value.to_string())
    }

    /// An `id` of a command that is no message.
    fn command_id(&self) -> String {
        format!("c{}", self.asks)
    }

    fn content(&mut self, stage: &mut Stage) -> String {
        self.said += 1;
        let limit = stage.model.config.rooms.content_chars;
        let chars = match stage.seed.chance(self.habits.long) {
            true => limit + 1 + stage.seed.below(20),
            false => stage.seed.below(self.habits.content_chars).min(limit),
        };
        let mut content = format!("{}/{} ", self.me, self.said);
        let have = content.chars().count();
        content.extend((have..chars).map(|_| stage.seed.pick(&['a', '가', '"', '\n', '🙂'])));
        content
    }

    fn id(&mut self, stage: &mut Stage) -> Option<String> {
        let wants = stage.seed.chance(self.habits.ids);
        wants.then(|| format!("{}-{}", self.me, self.said))
    }

    pub(super) fn say(&mut self, room: String, stage: &mut Stage) -> (Ask, String) {
        let content = self.content(stage);
        let id = self.id(stage);
        say(Say {
            room,
            content,
            id,
            ..Say::default()
        })
    }

    /// Something else with an `id` that was used: in the same room it must be refused, in another it is another message.
    fn say_other(&mut self, room: &str, stage: &mut Stage) -> Option<(Ask, String)> {
        let (used_in, _, id) = stage.seed.pick(&self.acknowledged);
        let is_free = |ask: &Ask| ask.id() != Some(&id);
        let is_used = self.reused.contains(&id) || self.used_elsewhere.contains(&id);
        if is_used || !self.asked.iter().all(is_free) {
            return None;
        }
        let is_reuse = used_in == room;
        match is_reuse {
            true => self.reused.insert(id.clone()),
            false => self.used_elsewhere.insert(id.clone()),
        };
        Some(say(Say {
            room: room.to_owned(),
            content: self.content(stage),
            id: Some(id),
            is_reuse,
            ..Say::default()
        }))
    }

    /// The same, or something else, once more while it is under way.
    fn say_at_once(&mut self, room: &str, stage: &mut Stage) -> Option<(Ask, String)> {
        let moves = |ask: &Ask| matches!(ask, Ask::Join { .. } | Ask::Leave { .. });
        let is_calm = stage.model.config.messages_per_second == 0
            && self.seats.contains_key(room)
            && !self.asked.iter().any(moves);
        let found = self.asked.iter().filter_map(Ask::say).find(|said| {
            said.room == room && !said.is_reuse && said.id.is_some() && !said.is_again
        });
        let said = found.filter(|_| is_calm)?.clone();
        let id = said.id.clone()?;
        let is_used = self.reused.contains(&id) || self.used_elsewhere.contains(&id);
        if is_used || said.is_echoed {
            return None;
        }
        if stage.seed.chance(50) {
            stage.model.count("said again while under way");
            return Some(say(Say {
                is_again: true,
                ..said
            }));
        }
        self.reused.insert(id);
        Some(say(Say {
            content: self.content(stage),
            is_reuse: true,
            ..said
        }))
    }

    /// What was said in an earlier life and may have been lost; or, now and then, what was acknowledged already.
    fn say_again(&mut self, room: &str, stage: &mut Stage) -> Option<(Ask, String)> {
        let now = stage.at();
        if stage.seed.chance(4) && self.is_unblocked(stage) && !self.acknowledged.is_empty() {
            let (room, content, id) = stage.seed.pick(&self.acknowledged);
            let is_free = self.asked.iter().all(|ask| ask.id() != Some(&id));
            if is_free && self.is_to_be_in(&room) && !self.reused.contains(&id) {
                return Some(again(room, content, id));
            }
        }
        if stage.seed.chance(3) && !self.acknowledged.is_empty() {
            return self.say_other(room, stage);
        }
        if stage.model.is_late
            && stage.seed.chance(5)
            && let Some(said) = self.say_at_once(room, stage)
        {
            return Some(said);
        }
        let is_free = |id: &str| self.asked.iter().all(|ask| ask.id() != Some(id));
        self.unacknowledged
            .retain(|(.., at)| now < *at + Duration::from_secs(200));
        let found = self
            .unacknowledged
            .iter()
            .position(|(other, _, id, _)| other == room && is_free(id))?;
        let (room, content, id, _) = self.unacknowledged.remove(found);
        stage.model.count("said again");
        Some(again(room, content, id))
    }

    fn whisper(&mut self, stage: &mut Stage) -> (Ask, String) {
        let to = stage.seed.pick(&self.habits.friends);
        let content = self.content(stage);
        let id = self.id(stage);
        let mut value = json!({"type": "whisper", "to": to, "content": content});
        if let Some(id) = &id {
            value["id"] = id.as_str().into();
        }
        (
            Ask::Whisper {
                to,
                content,
                id,
                is_echoed: false,
            },
            value.to_string(),
        )
    }

    pub(super) fn break_off(&mut self, stage: &mut Stage) {
        let wire = self.wire.expect("is open");
        let seed = &mut stage.seed;
        let mut bytes = Vec::new();
        match seed.below(10) {
            0..=2 => {
                stage.model.count("resets");
                self.note_cut(stage);
                stage.network.reset(wire);
                self.forget(stage);
                return self.schedule(stage, 10, 3_000);
            }
            3 => {
                stage.model.count("half-closes");
                self.note_cut(stage);
                self.phase = Phase::Leaving;
                return stage.finish(wire);
            }
            4 if self.habits.is_polite => {
                stage.model.count("goes mute");
                self.is_mute = true;
                let at = stage.at() + Duration::from_secs(46);
                return stage.judge_at(self.me, wire, at);
            }
            4..=6 => {
                frame(0x88, &1000_u16.to_be_bytes(), seed, &mut bytes);
                self.said_close = true;
            }
            kind => self.provoked = Some(provoke(kind, seed, &mut bytes)),
        }
        self.note_cut(stage);
        self.phase = Phase::Leaving;
        stage.send(wire, &bytes);
        // Something must come of it, in the time that pings and closing take at most.
        let at = stage.at() + Duration::from_secs(60);
        stage.judge_at(self.me, wire, at);
    }
}

fn again(room: String, content: String, id: String) -> (Ask, String) {
    say(Say {
        room,
        content,
        id: Some(id),
        is_again: true,
        ..Say::default()
    })
}

fn say(said: Say) -> (Ask, String) {
    let mut value = json!({"type": "chat", "room": said.room, "content": said.content});
    if let Some(id) = &said.id {
        value["id"] = id.as_str().into();
    }
    (Ask::Say(said), value.to_string())
}

/// Something a client must not send, and the close codes that may follow.
fn provoke(kind: usize, seed: &mut Seed, bytes: &mut Vec<u8>) -> &'static [u16] {
    match (kind, seed.below(5)) {
        (7, 0) => {
            // Without a mask.
            bytes.extend_from_slice(b"\x81\x02{}");
            &[1002]
        }
        (7, 1) => {
            frame(0xc1, b"{}", seed, bytes);
            &[1002]
        }
        (7, _) => {
            frame(0x83, b"{}", seed, bytes);
            &[1002]
        }
        (8, 0..=2) => {
            frame(0x81, b"\xff\xfe", seed, bytes);
            &[1007]
        }
        (8, _) => {
            frame(0x82, b"{}", seed, bytes);
            &[1003]
        }
        (_, 0..=2) => {
            bytes.extend_from_slice(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4]);
            &[1009]
        }
        _ => {
            let count = 1 + seed.below(400);
            bytes.extend(seed.bytes(count));
            &[1000, 1001, 1002, 1003, 1005, 1007, 1009, 4001, 4002, 4009]
        }
    }
}
