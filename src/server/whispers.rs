//! Whispers under way to users with many connections.
//!
//! Each such user is a topic of a fan-out: a whisper is encoded once and appended to the user's stream, and passes over
//! the user's connections are done in slices, as for rooms. A topic exists only while it has something to send.

use std::collections::BTreeMap;

use slab::Slab;

use super::fan_out::{FanOut, Topic};
use crate::config::{
    WHISPERS_PENDING_HIGH_WATER_BYTES, WHISPERS_UNSENT_BYTES_MAX, WHISPERS_UNSENT_HIGH_WATER_BYTES,
};
use crate::conn::Connection;
use crate::domain::ids::{ConnectionId, UserId};

#[cfg(test)]
mod tests;

/// The streams of all users to whom whispers are under way.
#[derive(Debug, Default)]
pub struct Whispers {
    fan_out: FanOut,
    topics: BTreeMap<UserId, Topic>,
    /// The user of each topic. A topic whose user has left stays until the fan-out is done with it.
    users: Slab<UserId>,
    /// Senders that are not read, with the two users of the whisper after which there was too much to send.
    held: BTreeMap<ConnectionId, [UserId; 2]>,
}

impl Whispers {
    /// Whether whispers to this user are under way: the next ones have to follow them.
    pub fn are_under_way(&self, user: UserId) -> bool {
        self.topics.contains_key(&user)
    }

    /// Appends an encoded whisper to the stream of a user, for all of the user's connections except `by`, which has it.
    pub fn send(
        &mut self,
        user: UserId,
        connections: &[ConnectionId],
        by: ConnectionId,
        frame: &[u8],
    ) {
        let topic = match self.topics.get(&user) {
            Some(topic) => *topic,
            None => self.open(user, connections),
        };
        self.fan_out.broadcast(topic, frame);
        self.fan_out.skip(by, topic);
    }

    fn open(&mut self, user: UserId, connections: &[ConnectionId]) -> Topic {
        let topic = Topic::numbered(self.users.insert(user));
        self.fan_out.open(topic, connections);
        self.topics.insert(user, topic);
        topic
    }

    /// A connection of a user has opened: it gets the whispers from here on.
    pub fn entered(&mut self, id: ConnectionId, user: UserId) {
        if let Some(topic) = self.topics.get(&user) {
            self.fan_out.subscribe(id, *topic);
        }
    }

    /// A connection of a user has closed: the whispers under way are queued in its outbox. Returns whether there are any.
    pub fn exited(&mut self, id: ConnectionId, user: UserId, connection: &mut Connection) -> bool {
        self.held.remove(&id);
        let Some(topic) = self.topics.get(&user).copied() else {
            return false;
        };
        self.fan_out.unsubscribe(id, connection, topic);
        if self.fan_out.subscribers(topic) == 0 {
            // The user's slot may be reused before the fan-out is done with the topic.
            self.topics.remove(&user);
        }
        true
    }

    /// Queues in the outbox of a user's connection the whispers under way to it, so that what is queued next comes after
    /// them.
    pub fn catch_up(&mut self, id: ConnectionId, user: UserId, connection: &mut Connection) {
        if let Some(topic) = self.topics.get(&user) {
            self.fan_out.catch_up_on(id, connection, *topic);
        }
    }

    /// Holds the sender of a whisper, if there is too much to send to one of its two users, until some is sent.
    pub fn hold_if_congested(&mut self, by: ConnectionId, users: [UserId; 2]) {
        if users.iter().any(|user| self.is_congested(*user)) {
            self.held.insert(by, users);
        }
    }

    /// Whether a sender is held: it is not read, and its messages that were read already wait.
    pub fn is_held(&mut self, by: ConnectionId) -> bool {
        let Some(users) = self.held.get(&by) else {
            return false;
        };
        let is_held = users.iter().any(|user| self.is_congested(*user));
        if !is_held {
            self.held.remove(&by);
        }
        is_held
    }

    /// Whether there is more to send to this user, or to all, than their high-water marks.
    fn is_congested(&self, user: UserId) -> bool {
        let topic = self.topics.get(&user);
        topic.is_some_and(|topic| {
            self.fan_out.unsent_bytes() > WHISPERS_UNSENT_HIGH_WATER_BYTES
                || self.fan_out.pending_bytes(*topic) > WHISPERS_PENDING_HIGH_WATER_BYTES
        })
    }

    /// Whether no more whispers are taken: each sender is held only after one more.
    pub fn are_full(&self) -> bool {
        self.fan_out.unsent_bytes() > WHISPERS_UNSENT_BYTES_MAX
    }

    /// Whether whispers are under way. Mostly they are not, and then nothing here costs anything.
    pub fn is_active(&self) -> bool {
        self.fan_out.is_active()
    }

    /// What a pass over the users' connections uses. The caller must call [`Self::close_idle`] afterwards.
    pub(super) fn fan_out(&mut self) -> &mut FanOut {
        &mut self.fan_out
    }

    /// Removes the topics that have nothing more to send.
    pub(super) fn close_idle(&mut self) {
        while let Some(topic) = self.fan_out.poll_idle() {
            let user = self.users.remove(topic.index());
            if self.topics.get(&user) == Some(&topic) {
                self.topics.remove(&user);
            }
            self.fan_out.close(topic);
        }
        if self.users.is_empty() {
            self.fan_out.forget();
        }
    }

    /// Asserts the invariants. `connections` gives those of a user.
    pub fn check<'c>(&self, connections: impl Fn(UserId) -> &'c [ConnectionId]) {
        self.fan_out.check();
        for (user, topic) in &self.topics {
            assert_eq!(self.users.get(topic.index()), Some(user));
            self.fan_out.check_subscribers(*topic, connections(*user));
        }
        if !self.is_active() {
            assert!(self.topics.is_empty() && self.users.is_empty());
        }
    }
}
