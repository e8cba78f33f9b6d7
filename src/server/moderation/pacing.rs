//! How fast the messages of a batch are said: an import must not put out members who read, only more slowly than it is said. So
//! it waits for them, but not for long: one who reads nothing is a slow consumer (4008), as ever.

use std::time::Duration;

use crate::config::{BATCH_OUTBOX_SHARE, POSTS_PER_TURN};
use crate::server::Server;
use crate::server::acts::Posting;

impl Server {
    /// The bytes of a batch that are said in one turn, and above which a member is behind.
    pub(super) fn batch_share(&self) -> usize {
        self.config.outbox_bytes / BATCH_OUTBOX_SHARE
    }

    /// Whether the next messages may be said.
    pub(super) fn may_post(&self, posting: &Posting) -> bool {
        if posting.waits_until.is_none() {
            return !self.chat.is_room_congested(&posting.room);
        }
        let share = self.batch_share();
        // Those that are under way will be told, too.
        posting.unknown <= POSTS_PER_TURN
            && !self
                .chat
                .is_room_behind(&posting.room, share, &self.connections)
    }

    /// When the first batch waits no more, as time since the server's start.
    pub(in crate::server) fn next_posting_timeout(&self) -> Option<Duration> {
        let postings = self.moderation.postings.values();
        let unsaid = postings.filter(|posting| !posting.left.is_empty());
        unsaid.filter_map(|posting| posting.waits_until).min()
    }
}
