//! A room's past: a ring of messages by position.
//!
//! A position is `EPOCH:SEQ`. The epoch changes only when the room's past was lost; the sequence has no holes. So a
//! client that names its last position can be told exactly what it missed, or learn that some of it is gone.

use std::collections::VecDeque;
use std::rc::Rc;

use super::event::ChatMessage;
use super::position::Position;

/// The last messages of one room, oldest first.
#[derive(Debug)]
pub struct History {
    epoch: u64,
    /// The sequence number of the newest message ever, kept or not.
    newest: u64,
    messages: VecDeque<Rc<ChatMessage>>,
    bytes: usize,
}

/// What a message costs beside its content: the record, its count and its place in the ring, in bytes.
const MESSAGE_OVERHEAD_BYTES: usize = size_of::<ChatMessage>() + 3 * size_of::<usize>();

impl History {
    /// An empty past.
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            newest: 0,
            messages: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The position of the newest message, `EPOCH:0` before the first.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            seq: self.newest,
        }
    }

    /// The position the next message gets.
    pub fn next_position(&self) -> Position {
        Position {
            epoch: self.epoch,
            seq: self.newest + 1,
        }
    }

    /// Memory held by the messages, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages kept.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no message is kept.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Appends the message that stands at [`Self::next_position`].
    pub fn append(&mut self, message: Rc<ChatMessage>) {
        debug_assert_eq!(message.position, self.next_position());
        self.newest += 1;
        self.bytes += MESSAGE_OVERHEAD_BYTES + message.content.len();
        self.messages.push_back(message);
    }

    /// Forgets the oldest message.
    pub fn drop_oldest(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= MESSAGE_OVERHEAD_BYTES + message.content.len();
        }
    }

    /// The last `count` messages kept, oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &Rc<ChatMessage>> {
        self.messages
            .range(self.messages.len().saturating_sub(count)..)
    }

    /// Every message after `since`, oldest first; `None` when some of them are gone or `since` is not of this past.
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
        let mut history = History::new(7);
        for _ in 0..count {
            let position = history.next_position();
            history.append(Rc::new(ChatMessage {
                room: "r".into(),
                username: "u".into(),
                content: format!("m{}", position.seq).into(),
                timestamp: Timestamp(0),
                position,
            }));
        }
        history
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
