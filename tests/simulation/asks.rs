//! What a client has asked and was not told the end of, and which answer is whose. What has an answer at once is answered
//! in order; with a late backend, what was said in a room ends when the backend says so.

use std::cmp::Reverse;
use std::time::Duration;

use super::chat::Chat;
use super::model::Spot;
use super::register::TicketId;
use super::stage::Stage;

/// What was asked and not answered yet.
#[derive(Clone, Debug)]
pub enum Ask {
    Join {
        room: String,
        since: Option<Spot>,
        id: String,
        at: Duration,
    },
    Leave {
        room: String,
        id: String,
    },
    Say(Say),
    Whisper {
        to: String,
        content: String,
        id: Option<String>,
        is_echoed: bool,
    },
    List,
    Extend {
        ticket: TicketId,
        at: Duration,
        id: String,
    },
    Nonsense {
        code: &'static str,
    },
}

/// Something said in a room.
#[derive(Clone, Debug, Default)]
pub struct Say {
    pub room: String,
    pub content: String,
    pub id: Option<String>,
    /// It was heard.
    pub is_echoed: bool,
    /// It was said before, with this `id`.
    pub is_again: bool,
    /// Something else was said before, with this `id`.
    pub is_reuse: bool,
    /// Its author has left the room: without an `id` nothing more is heard of it, unless it fails.
    pub is_left: bool,
}

impl Say {
    /// Whether only its echo tells that it was said.
    pub fn is_quiet(&self) -> bool {
        self.id.is_none()
    }
}

impl Ask {
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Join { id, .. } | Self::Leave { id, .. } | Self::Extend { id, .. } => Some(id),
            Self::Say(Say { id, .. }) | Self::Whisper { id, .. } => id.as_deref(),
            Self::List | Self::Nonsense { .. } => None,
        }
    }

    pub fn say(&self) -> Option<&Say> {
        match self {
            Self::Say(say) => Some(say),
            _ => None,
        }
    }

    /// What it says to others.
    pub fn content(&self) -> Option<&str> {
        match self {
            Self::Say(Say { content, .. }) | Self::Whisper { content, .. } => Some(content),
            _ => None,
        }
    }

    /// Whether it has to be answered before what is asked behind it is carried out, where that waits for the backend.
    pub fn parks(&self) -> bool {
        match self {
            Self::Join { .. } | Self::Extend { .. } => true,
            Self::Nonsense { code } => *code == "unauthorized",
            _ => false,
        }
    }
}

impl Chat {
    /// What is answered next, of that which is answered in order.
    pub fn next_in_order(&self, stage: &Stage) -> Option<usize> {
        match stage.model.is_late {
            false => (!self.asked.is_empty()).then_some(0),
            true => self.asked.iter().position(|ask| ask.say().is_none()),
        }
    }

    /// What an acknowledgement is for: what stands at its position, or a whisper.
    pub(super) fn place_of_ack(&self, id: &str, spot: Option<Spot>, stage: &Stage) -> usize {
        let Some(spot) = spot.filter(|_| stage.model.is_late) else {
            return self.next_in_order(stage).expect("asked for something");
        };
        let content = stage.model.content_at(spot);
        let is_it = |ask: &Ask| {
            let say = ask.say();
            say.is_some_and(|say| say.id.as_deref() == Some(id) && say.content == content)
        };
        let place = self.asked.iter().position(is_it);
        place.unwrap_or_else(|| panic!("{} did not ask for {id:?}: {:?}", self.name, self.asked))
    }

    /// What a refusal is for; `None` when it is one of several things that were said without an `id`.
    pub(super) fn place_of_refusal(
        &self,
        code: &str,
        id: Option<&str>,
        stage: &Stage,
    ) -> Option<usize> {
        let next = self.next_in_order(stage);
        if !stage.model.is_late {
            return next;
        }
        let all = || self.asked.iter().enumerate();
        if let Some(id) = id {
            let alike = all().filter(|(_, ask)| ask.id() == Some(id));
            let best = alike.max_by_key(|(place, ask)| {
                let is_fitting = match (ask, code) {
                    (Ask::Say(say), "content_too_long") => self.may_be_refused(say, code, stage),
                    (Ask::Say(say), _) => say.is_reuse == (code == "id_reused"),
                    _ => true,
                };
                (is_fitting, Reverse(*place))
            });
            let (place, _) = best.unwrap_or_else(|| {
                panic!("{} did not ask for {id:?}: {:?}", self.name, self.asked)
            });
            return Some(place);
        }
        if code == "storage_unavailable" {
            return None;
        }
        let found = all().find(|(place, ask)| match ask {
            Ask::Say(say) => say.is_quiet() && self.may_be_refused(say, code, stage),
            _ => next == Some(*place),
        });
        let found = found.unwrap_or_else(|| panic!("{code} refuses none of {:?}", self.asked));
        Some(found.0)
    }

    fn may_be_refused(&self, say: &Say, code: &str, stage: &Stage) -> bool {
        match code {
            "content_too_long" => {
                say.content.chars().count() > stage.model.config.rooms.content_chars
            }
            "not_in_room" => !say.is_left && !self.seats.contains_key(&say.room),
            _ => false,
        }
    }

    /// Something asked is answered: what is answered in order has had nothing before it, and nothing is said before what
    /// was asked before it is answered.
    pub(super) fn take_asked(&mut self, place: usize, stage: &mut Stage) -> Ask {
        let ask = self.asked.remove(place).expect("was found");
        let before = self.asked.iter().take(place);
        for other in before {
            let is_free = stage.model.is_late && other.say().is_some();
            assert!(is_free, "{ask:?} is answered before {other:?}");
        }
        self.note_left(&ask, stage);
        ask
    }

    /// Something said without an `id` failed.
    pub(super) fn failed_quietly(&mut self) {
        self.quiet_failures += 1;
        let quiet = self.quiet().count();
        assert!(
            self.quiet_failures <= quiet,
            "{} failures of {quiet}",
            self.quiet_failures
        );
    }

    pub(super) fn quiet(&self) -> impl Iterator<Item = &Say> {
        let says = self.asked.iter().filter_map(Ask::say);
        says.filter(|say| say.is_quiet())
    }

    /// Whether everything that was asked has had its end.
    pub fn is_answered(&self) -> bool {
        let quiet = self.quiet().count();
        let left = self.quiet().filter(|say| say.is_left).count();
        self.asked.len() == quiet && (quiet - left..=quiet).contains(&self.quiet_failures)
    }

    /// Whether a command waits for the backend, and what came behind it with it.
    pub fn is_parked(&self, stage: &Stage) -> bool {
        stage.model.is_late && self.asked.iter().any(Ask::parks)
    }
}
