//! What a client in rooms is refused, and for what reason that may be.

use std::time::Duration;

use serde_json::Value;

use super::asks::{Ask, Say};
use super::chat::Chat;
use super::stage::Stage;

/// How long anybody waits for the backend.
const PATIENCE: Duration = Duration::from_secs(5);

impl Chat {
    pub(super) fn told_error(&mut self, message: &Value, stage: &mut Stage) {
        let code = message["code"].as_str().expect("is text");
        stage.model.count(&format!("error {code}"));
        let id = message["id"].as_str();
        let is_random = self.provoked.is_some_and(|codes| codes.len() > 1);
        if is_random && code == "bad_json" && self.next_in_order(stage).is_none() {
            // Random bytes were a text.
            return;
        }
        let Some(place) = self.place_of_refusal(code, id, stage) else {
            return self.failed_quietly();
        };
        if code == "rate_limited" {
            return self.told_rate_limited(place, id, stage);
        }
        let ask = self.answered(place, stage);
        assert_eq!(id, ask.id(), "{message} to {ask:?}");
        assert!(
            self.may_be_refused_with(code, &ask, stage),
            "{message} to {ask:?} of {} in {:?}",
            self.name,
            self.seats.keys()
        );
        match ask {
            Ask::Say(say) => self.refused_to_say(say, code, stage),
            Ask::Whisper { is_echoed, .. } => {
                assert!(!is_echoed, "whispered and refused: {message}");
            }
            Ask::Join { .. } if code == "backend_unavailable" => {
                stage.model.count("joins given up");
            }
            _ => {}
        }
    }

    fn told_rate_limited(&mut self, place: usize, id: Option<&str>, stage: &mut Stage) {
        let limit = u64::from(stage.model.config.messages_per_second);
        assert!(limit > 0 && self.asks > limit);
        let refused = self.refused_in_row + 1;
        assert!(
            refused <= 10 || stage.model.is_late,
            "ten warnings, then the end"
        );
        let ask = self.answered(place, stage);
        assert_eq!(id, ask.id());
        self.in_instant.1 -= 1;
        self.refused_in_row = refused;
    }

    /// What failed may be said again: with the same `id` it is said once, whatever became of it.
    fn refused_to_say(&mut self, say: Say, code: &str, stage: &mut Stage) {
        let is_kept = stage.model.wishless.contains(&say.content);
        assert!(
            !say.is_echoed || is_kept || say.is_again,
            "said and refused: {say:?}"
        );
        let (Some(id), "storage_unavailable", false) = (say.id, code, say.is_reuse) else {
            return;
        };
        let mut others = self.unacknowledged.iter();
        if others.all(|(.., other, _)| *other != id) {
            let unacknowledged = (say.room, say.content, id, stage.at());
            self.unacknowledged.push(unacknowledged);
        }
    }

    fn may_be_refused_with(&self, code: &str, ask: &Ask, stage: &Stage) -> bool {
        let limits = &stage.model.config.rooms;
        let is_late = stage.model.is_late;
        match (code, ask) {
            (
                "backend_unavailable",
                Ask::Nonsense {
                    code: "unauthorized",
                },
            ) => is_late,
            (code, Ask::Nonsense { code: expected }) => code == *expected,
            ("not_in_room", Ask::Say(Say { room, .. }) | Ask::Leave { room, .. }) => {
                !self.seats.contains_key(room)
            }
            ("already_in_room", Ask::Join { room, .. }) => self.seats.contains_key(room),
            ("content_too_long", Ask::Say(Say { content, .. }) | Ask::Whisper { content, .. }) => {
                content.chars().count() > limits.content_chars
            }
            ("too_many_rooms", Ask::Join { .. }) => {
                self.seats.len() >= limits.rooms_per_connection || limits.rooms < 10
            }
            ("room_full", Ask::Join { .. }) => true,
            ("room_not_found", Ask::Join { .. }) => !limits.auto_rooms,
            ("user_not_found", Ask::Whisper { to, .. }) => *to != self.name,
            ("unauthorized", Ask::Extend { ticket, at, .. }) => stage.may_be_refused(*ticket, *at),
            ("id_reused", Ask::Say(Say { id: Some(id), .. })) => self.reused.contains(id),
            ("storage_unavailable", Ask::Say(_) | Ask::Join { .. }) => is_late,
            ("backend_unavailable", Ask::Join { at, .. }) => {
                is_late && stage.at() >= *at + PATIENCE
            }
            ("backend_unavailable", Ask::Extend { .. }) => is_late,
            _ => false,
        }
    }
}
