//! The history of a room: a ring of messages by position.
//!
//! A position is `EPOCH:SEQ`. The epoch changes only when the room's history was lost; sequence numbers have no gaps.
//! So a client that sends its last position gets exactly the messages it missed, or learns that some of them are gone.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::rc::Rc;

use super::event::ChatMessage;
use super::position::Position;

/// The last messages of one room, oldest first.
#[derive(Debug)]
pub struct History {
    epoch: u64,
    /// The sequence number of the newest message, kept or not.
    newest: u64,
    messages: VecDeque<Rc<ChatMessage>>,
    bytes: usize,
}

/// Memory of a message beside its content, in bytes: the record, its reference count and its place in the ring.
const MESSAGE_OVERHEAD_BYTES: usize = size_of::<ChatMessage>() + 3 * size_of::<usize>();

fn cost(message: &ChatMessage) -> usize {
    MESSAGE_OVERHEAD_BYTES + message.content.len()
}

impl History {
    /// The history as the backend has it: the last messages, oldest first, without a gap up to `newest`.
    pub fn with(epoch: u64, newest: u64, messages: Vec<Rc<ChatMessage>>) -> Self {
        let bytes = messages.iter().map(|message| cost(message)).sum();
        Self {
            epoch,
            newest,
            messages: messages.into(),
            bytes,
        }
    }

    /// The position of the newest message, `EPOCH:0` before the first.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            seq: self.newest,
        }
    }

    /// Memory of the messages, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of messages kept.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no message is kept.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Appends a message if it is the next one of this epoch; otherwise returns false and changes nothing.
    pub fn append(&mut self, message: Rc<ChatMessage>) -> bool {
        let next = Position {
            epoch: self.epoch,
            seq: self.newest + 1,
        };
        if message.position != next {
            return false;
        }
        self.newest += 1;
        self.bytes += cost(&message);
        self.messages.push_back(message);
        true
    }

    /// The sequence number of the oldest message that is kept, or of the next one if none is.
    pub fn first(&self) -> u64 {
        self.newest + 1 - self.messages.len() as u64
    }

    /// All messages that are kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<ChatMessage>> {
        self.messages.iter()
    }

    /// Gives the room another epoch: the past stays, but no earlier position is good any more.
    pub fn renew(&mut self, epoch: u64) {
        self.epoch = epoch;
        for message in &mut self.messages {
            Rc::make_mut(message).position.epoch = epoch;
        }
    }

    /// Deletes a message: its content and author are gone, its position stays. `None` if it is not kept; else whether it was
    /// there until now.
    pub fn delete(&mut self, position: Position) -> Option<bool> {
        let place = self.place_of(position)?;
        let newest = NonZeroU64::new(self.newest)?;
        Some(self.put_deleted(place, newest))
    }

    /// The same for one that was deleted elsewhere, when `newest` was the number of the newest message.
    pub fn take_deleted(&mut self, position: Position, newest: NonZeroU64) -> bool {
        match self.place_of(position) {
            Some(place) => self.put_deleted(place, newest),
            None => false,
        }
    }

    fn put_deleted(&mut self, place: usize, newest: NonZeroU64) -> bool {
        let message = Rc::make_mut(&mut self.messages[place]);
        if message.deleted_at.is_some() {
            return false;
        }
        self.bytes -= message.content.len();
        *message = message.deleted(newest);
        true
    }

    /// The message at a position, deleted or not, if it is kept.
    pub fn get(&self, position: Position) -> Option<&Rc<ChatMessage>> {
        let place = self.place_of(position)?;
        self.messages.get(place)
    }

    fn place_of(&self, position: Position) -> Option<usize> {
        let is_ours = position.epoch == self.epoch && position.seq <= self.newest;
        let place = position.seq.checked_sub(self.first()).filter(|_| is_ours)?;
        usize::try_from(place).ok()
    }

    /// Messages up to `since` that may have been deleted after it: who has seen the room up to there does not know.
    pub fn deleted_since(&self, since: Position) -> impl Iterator<Item = &Rc<ChatMessage>> {
        let seen = since.seq.saturating_sub(self.first().saturating_sub(1));
        let seen = usize::try_from(seen).unwrap_or(usize::MAX);
        let seen = self.messages.range(..seen.min(self.messages.len()));
        seen.filter(move |message| message.deleted_at.is_some_and(|at| at.get() >= since.seq))
    }

    /// The last `count` messages before a position, oldest first, and whether there are more before them; `None` if the
    /// position has another epoch.
    pub fn before(
        &self,
        position: Position,
        count: usize,
    ) -> Option<(impl Iterator<Item = &Rc<ChatMessage>>, bool)> {
        if position.epoch != self.epoch {
            return None;
        }
        let end = position.seq.saturating_sub(self.first());
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let end = end.min(self.messages.len());
        let start = end.saturating_sub(count);
        Some((self.messages.range(start..end), start > 0))
    }

    /// Drops the oldest message.
    pub fn drop_oldest(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= cost(&message);
        }
    }

    /// The last `count` messages kept, oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &Rc<ChatMessage>> {
        self.messages
            .range(self.messages.len().saturating_sub(count)..)
    }

    /// Every message after `since`, oldest first; `None` if some of them are gone or `since` has another epoch.
    pub fn after(&self, since: Position) -> Option<impl Iterator<Item = &Rc<ChatMessage>>> {
        if since.epoch != self.epoch {
            return None;
        }
        let missed = usize::try_from(self.newest.checked_sub(since.seq)?).ok()?;
        let first = self.messages.len().checked_sub(missed)?;
        Some(self.messages.range(first..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn history_of(count: u64) -> History {
        let messages = (1..=count).map(message).collect();
        History::with(7, count, messages)
    }

    fn message(seq: u64) -> Rc<ChatMessage> {
        Rc::new(ChatMessage {
            room: "r".into(),
            username: "u".into(),
            content: format!("m{seq}").into(),
            timestamp: Timestamp(0),
            position: Position { epoch: 7, seq },
            guest: false,
            deleted_at: None,
        })
    }

    #[test]
    fn only_the_next_message_is_appended() {
        let mut history = history_of(2);
        for seq in [0, 1, 2, 4] {
            assert!(!history.append(message(seq)), "{seq}");
        }
        assert!(history.append(message(3)) && history.append(message(4)));
        assert_eq!(seqs(history.last(9)), [1, 2, 3, 4]);
        assert_eq!(history.position(), Position { epoch: 7, seq: 4 });
    }

    #[test]
    fn a_deleted_message_leaves_its_position_and_whoever_was_away_learns_of_it() {
        let mut history = history_of(0);
        for seq in 1..=5 {
            assert!(history.append(message(seq)));
        }
        let at = |seq| Position { epoch: 7, seq };
        let before = history.bytes();
        assert_eq!(history.delete(at(2)), Some(true));
        assert_eq!(history.delete(at(2)), Some(false));
        assert!(history.bytes() < before);
        assert_eq!((history.delete(at(0)), history.delete(at(6))), (None, None));
        assert_eq!(history.delete(Position { epoch: 8, seq: 1 }), None);
        assert!(history.append(message(6)));
        assert_eq!(seqs(history.last(9)), [1, 2, 3, 4, 5, 6]);
        let message = history.get(at(2)).expect("is kept");
        assert_eq!((&*message.content, &*message.username), ("", ""));
        // Who has seen it before it was deleted, and who has not, or knows.
        assert_eq!(seqs(history.deleted_since(at(4))), [2]);
        assert!(seqs(history.deleted_since(at(1))).is_empty());
        // What was deleted right after they have seen it may be told to them once more.
        assert_eq!(seqs(history.deleted_since(at(5))), [2]);
        assert!(seqs(history.deleted_since(at(6))).is_empty());
    }

    #[test]
    fn pages_end_before_a_position_and_say_whether_there_is_more() {
        let mut history = history_of(0);
        for seq in 1..=5 {
            assert!(history.append(message(seq)));
        }
        let page = |seq, count| {
            let page = history.before(Position { epoch: 7, seq }, count);
            page.map(|(messages, has_more)| (seqs(messages), has_more))
        };
        assert_eq!(page(6, 2), Some((vec![4, 5], true)));
        assert_eq!(page(4, 2), Some((vec![2, 3], true)));
        assert_eq!(page(2, 2), Some((vec![1], false)));
        assert_eq!(page(1, 2), Some((vec![], false)));
        assert_eq!(page(99, 5), Some((vec![1, 2, 3, 4, 5], false)));
        assert!(history.before(Position { epoch: 8, seq: 2 }, 2).is_none());
    }

    fn seqs<'a>(messages: impl Iterator<Item = &'a Rc<ChatMessage>>) -> Vec<u64> {
        messages.map(|m| m.position.seq).collect()
    }

    #[test]
    fn what_came_after_a_position_is_answered_exactly() {
        let history = history_of(5);
        let after = |seq| history.after(Position { epoch: 7, seq }).map(seqs);
        assert_eq!(after(3), Some(vec![4, 5]));
        assert_eq!(after(5), Some(vec![]));
        assert_eq!(after(0), Some(vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_position_that_is_gone_ahead_or_of_another_past_is_not_answered() {
        let mut history = history_of(5);
        history.drop_oldest();
        history.drop_oldest();
        assert!(history.after(Position { epoch: 7, seq: 1 }).is_none());
        assert_eq!(
            history.after(Position { epoch: 7, seq: 2 }).map(seqs),
            Some(vec![3, 4, 5])
        );
        assert!(history.after(Position { epoch: 7, seq: 6 }).is_none());
        assert!(history.after(Position { epoch: 8, seq: 5 }).is_none());
    }

    #[test]
    fn the_empty_past_of_a_new_room_is_recovered_from_its_own_position() {
        let history = history_of(0);
        assert_eq!(history.after(history.position()).map(seqs), Some(vec![]));
    }

    #[test]
    fn the_last_messages_come_oldest_first_and_bytes_return_to_zero() {
        let mut history = history_of(3);
        assert_eq!(seqs(history.last(2)), [2, 3]);
        assert_eq!(seqs(history.last(9)), [1, 2, 3]);
        while !history.is_empty() {
            history.drop_oldest();
        }
        assert_eq!(history.bytes(), 0);
    }

    #[test]
    fn every_message_counts_with_its_content_and_its_record() {
        let mut history = history_of(12);
        assert_eq!(history.len(), 12);
        let of = |content: &str| MESSAGE_OVERHEAD_BYTES + content.len();
        assert_eq!(history.bytes(), 9 * of("m1") + 3 * of("m10"));
        history.drop_oldest();
        assert_eq!(history.len(), 11);
        assert_eq!(history.bytes(), 8 * of("m1") + 3 * of("m10"));
        assert!(MESSAGE_OVERHEAD_BYTES > size_of::<ChatMessage>());
    }
}
