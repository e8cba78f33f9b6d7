//! Messages of back ends: said bit by bit, so that a long batch keeps nobody waiting, and answered when all are kept.

use std::rc::Rc;

use crate::config::{BATCH_WAIT_MAX, POSTING_BYTES_MAX, POSTS_PER_TURN};
use crate::conn::act::Post;
use crate::domain::error::ErrorCode;
use crate::domain::ids::{Serial, Waiter};
use crate::domain::position::Position;
use crate::domain::time::Now;
use crate::server::Server;
use crate::server::acts::{Answered, Posting};

impl Server {
    /// Says messages in a room, or refuses all of them.
    pub(super) fn begin_posting(
        &mut self,
        serial: Serial,
        room: &Rc<str>,
        messages: Vec<Post>,
        is_batch: bool,
        now: Now,
    ) {
        let bytes = messages.iter().map(|post| post.content.len()).sum();
        let under_way = self.moderation.postings.values().map(|other| other.bytes);
        let rooms = self.chat.rooms();
        let checked = messages
            .iter()
            .try_for_each(|post| rooms.check_content(&post.content));
        let checked = checked.and_then(|()| rooms.find(room).map(|_| ()));
        let refused = match checked {
            Err(code) => Some(code),
            Ok(()) if under_way.sum::<usize>() + bytes > POSTING_BYTES_MAX => {
                Some(ErrorCode::Unavailable)
            }
            Ok(()) => None,
        };
        if let Some(code) = refused {
            return self.answer_act(serial, Err(code), now);
        }
        let posting = Posting {
            room: room.clone(),
            positions: Vec::with_capacity(messages.len()),
            left: messages.into(),
            bytes,
            unknown: 0,
            refused: None,
            is_batch,
            waits_until: is_batch.then(|| now.monotonic + BATCH_WAIT_MAX),
        };
        self.moderation.postings.insert(serial, posting);
        self.post_some(serial, now);
    }

    /// Says the next messages, [`POSTS_PER_TURN`] at most.
    fn post_some(&mut self, serial: Serial, now: Now) {
        let Some(mut posting) = self.moderation.postings.remove(&serial) else {
            return;
        };
        posting.waits_until = posting.waits_until.filter(|until| now.monotonic < *until);
        if self.may_post(&posting) {
            let mut bytes_left = self.batch_share();
            let (rooms, effects) = self.chat.rooms_mut();
            for _ in 0..POSTS_PER_TURN {
                let Some(post) = posting.left.pop_front() else {
                    break;
                };
                let part = posting.positions.len() as u16;
                let said_by = (Waiter::Request(serial, part), &post.name);
                let Post { content, id, .. } = &post;
                let said = rooms.post(said_by, &posting.room, content, id.as_deref(), now, effects);
                if let Err(code) = said {
                    posting.refuse(code);
                    break;
                }
                posting.positions.push(None);
                posting.unknown += 1;
                bytes_left = bytes_left.saturating_sub(content.len());
                if bytes_left == 0 {
                    break;
                }
            }
        }
        self.moderation.postings.insert(serial, posting);
        self.end_posting(serial, now);
    }

    /// Goes on with messages that are not said yet. Called once in each turn.
    pub(in crate::server) fn post_more(&mut self, now: Now) {
        if self.moderation.postings.is_empty() {
            return;
        }
        let postings = self.moderation.postings.iter();
        let unsaid = postings.filter(|(_, posting)| !posting.left.is_empty());
        let mut serials: Vec<Serial> = unsaid.map(|(serial, _)| *serial).collect();
        serials.sort_unstable();
        for serial in serials {
            self.post_some(serial, now);
        }
        self.settle(now);
    }

    /// Whether messages can be said at once that are not said yet.
    pub(in crate::server) fn has_posts(&self) -> bool {
        let mut postings = self.moderation.postings.values();
        postings.any(|posting| !posting.left.is_empty() && self.may_post(posting))
    }

    /// Takes the answers to messages.
    pub(in crate::server) fn answer_posts(&mut self, now: Now) {
        for (serial, part, answer) in self.chat.noticed.take_posted() {
            let Some(posting) = self.moderation.postings.get_mut(&serial) else {
                self.answer_notified(serial, answer.map(|_| ()), now);
                continue;
            };
            posting.unknown -= 1;
            match answer {
                Ok(position) => posting.positions[usize::from(part)] = position,
                Err(code) => posting.refuse(code),
            }
            self.end_posting(serial, now);
        }
    }

    /// Answers if all messages are kept, or one was refused and nothing is known no more.
    fn end_posting(&mut self, serial: Serial, now: Now) {
        let postings = &mut self.moderation.postings;
        let is_over = |posting: &Posting| posting.left.is_empty() && posting.unknown == 0;
        if !postings.get(&serial).is_some_and(is_over) {
            return;
        }
        let Some(posting) = postings.remove(&serial) else {
            return;
        };
        let positions: Vec<Position> = posting.positions.into_iter().flatten().collect();
        let answer = match (posting.refused, posting.is_batch) {
            (Some(code), _) => Err(code),
            (None, true) => Ok(Answered::AllSaid(positions)),
            (None, false) => positions
                .first()
                .map(|position| Answered::Said(*position))
                .ok_or(ErrorCode::BackendUnavailable),
        };
        self.answer_act(serial, answer, now);
    }

    /// Whispers to a user.
    pub(super) fn notify(&mut self, serial: Serial, user: &str, post: &Post, now: Now) {
        let has_id = post.id.is_some();
        let notified = if self.chat.has_too_many_whispers() {
            Err(ErrorCode::Unavailable)
        } else if has_id && self.chat.is_store_full() {
            Err(ErrorCode::StorageUnavailable)
        } else {
            let by = (Waiter::Request(serial, 0), &post.name);
            let Post { content, id, .. } = post;
            let (rooms, effects) = self.chat.rooms_mut();
            let checked = rooms.check_content(content);
            checked.and_then(|()| rooms.notify(by, user, content, id.as_deref(), now, effects))
        };
        if let Err(code) = notified {
            self.answer_act(serial, Err(code), now);
        }
    }

    fn answer_notified(&mut self, serial: Serial, answer: Result<(), ErrorCode>, now: Now) {
        let answer = answer.map(|()| Answered::Notified);
        self.answer_act(serial, answer, now);
    }
}
