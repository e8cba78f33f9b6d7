//! Tells the connections that watch the list of rooms what has changed in it (`watchers.rs`).

use std::time::Duration;

use super::chat::Chat;
use super::connections::Connections;
use super::fan_out::Topic;
use super::watchers::Changes;
use crate::config::{
    ROOMS_LISTED_MAX, ROOMS_TOLD_EVERY, ROOMS_TOLD_EVERY_SHARED, WATCHED_ROOMS_MAX,
};
use crate::domain::event::{Effect, Event, RoomInfo};
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;

impl Chat {
    /// The connection is told from here on what changes in the list of rooms. Returns whether the list of all nodes has to be read
    /// for that: it is not known what there is now.
    pub fn watch(&mut self, id: ConnectionId, connections: &mut Connections, now: Now) -> bool {
        self.unwatch(id, connections);
        if self.watchers.of.is_empty() {
            self.watchers.is_changed = false;
            self.watchers.told = None;
            self.watchers.told_at = now.monotonic;
            if !self.rooms().is_shared() && self.rooms().count() <= WATCHED_ROOMS_MAX {
                _ = self.watchers.compare(self.rooms().list().into_iter(), None);
            }
        }
        let group = self.watchers.group(self.rooms().permissions(id));
        self.watchers.groups[group].members += 1;
        self.watchers.of.insert(id, group);
        self.watchers.fan_out.subscribe(id, Topic::numbered(group));
        self.rooms().is_shared() && self.watchers.told.is_none()
    }

    /// The connection is told nothing more of the list.
    pub fn unwatch(&mut self, id: ConnectionId, connections: &mut Connections) {
        let Some(group) = self.watchers.of.remove(&id) else {
            return;
        };
        self.watchers.groups[group].members -= 1;
        let topic = Topic::numbered(group);
        self.watchers
            .fan_out
            .unsubscribe(id, &mut connections[id], topic);
        connections.list(id);
        if self.watchers.of.is_empty() {
            self.watchers.told = None;
        }
    }

    /// A connection may enter other rooms than before: if it watches, it asks for its list anew.
    pub fn watch_anew(&mut self, id: ConnectionId, connections: &mut Connections, now: Now) {
        if self.watchers.of.contains_key(&id) {
            _ = self.watch(id, connections, now);
            let (_, effects) = self.rooms_mut();
            effects.push_back(Effect::Answer(id, Event::rooms_to_reload()));
        }
    }

    /// Something of the list was changed that no effect tells.
    pub fn note_list_changed(&mut self) {
        self.watchers.is_changed |= !self.watchers.of.is_empty();
    }

    /// When what has changed in the list is to be told, as time since the server's start.
    pub(super) fn next_told(&self) -> Option<Duration> {
        if self.watchers.of.is_empty() {
            return None;
        }
        match self.rooms().is_shared() {
            true => Some(self.watchers.told_at + ROOMS_TOLD_EVERY_SHARED),
            false if !self.watchers.is_changed => None,
            false if self.rooms().count() > WATCHED_ROOMS_MAX => {
                Some(self.watchers.told_at + ROOMS_TOLD_EVERY_SHARED)
            }
            false => Some(self.watchers.told_at + ROOMS_TOLD_EVERY),
        }
    }

    /// Tells what has changed in the list, if it is time. Returns whether the list of all nodes has to be read for that.
    pub fn tell_watchers_if_due(&mut self, now: Now) -> bool {
        if self.next_told().is_none_or(|at| at > now.monotonic) {
            return false;
        }
        self.watchers.told_at = now.monotonic;
        // The last is still being sent.
        if self.watchers.fan_out.is_active() {
            return false;
        }
        if self.rooms().is_shared() {
            return true;
        }
        self.watchers.is_changed = false;
        if self.rooms().count() > WATCHED_ROOMS_MAX {
            self.watchers.told = None;
            self.tell_all(&Event::rooms_to_reload());
            return false;
        }
        let is_known = self.watchers.told.is_some();
        let changes = self.watchers.compare(self.rooms().list().into_iter(), None);
        match is_known {
            true => self.tell_changes(&changes),
            false => self.tell_all(&Event::rooms_to_reload()),
        }
        false
    }

    /// Tells what has changed in the list of all nodes; `has_more` if these rooms are only the first of them.
    pub fn tell_watchers(&mut self, rooms: &[RoomInfo], has_more: bool) {
        if self.watchers.of.is_empty() {
            return;
        }
        let last = rooms.last().filter(|_| has_more);
        let last = last.map(|room| room.name.clone());
        let is_known = self.watchers.told.is_some();
        let rooms = rooms.iter().take(ROOMS_LISTED_MAX).cloned();
        let changes = self.watchers.compare(rooms, last.as_deref());
        if is_known {
            self.tell_changes(&changes);
        }
    }

    fn tell_changes(&mut self, changes: &Changes) {
        for at in 0..self.watchers.groups.len() {
            let group = &self.watchers.groups[at];
            if group.members > 0
                && let Some(event) = changes.event(group.permissions.as_deref())
            {
                self.tell_group(at, &event);
            }
        }
    }

    fn tell_all(&mut self, event: &Event) {
        for at in 0..self.watchers.groups.len() {
            self.tell_group(at, event);
        }
    }

    fn tell_group(&mut self, at: usize, event: &Event) {
        self.encode(event);
        self.watchers
            .fan_out
            .broadcast(Topic::numbered(at), &self.frame);
    }

    /// Asserts that each connection that watches is subscribed once.
    pub(super) fn check_watchers(&self) {
        self.watchers.fan_out.check();
        let members = self.watchers.groups.iter().map(|group| group.members);
        assert_eq!(members.sum::<usize>(), self.watchers.of.len());
        for (at, group) in self.watchers.groups.iter().enumerate() {
            let subscribers = self.watchers.fan_out.subscribers(Topic::numbered(at));
            assert_eq!(subscribers, group.members);
        }
    }
}
