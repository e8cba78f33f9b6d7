//! Members whose connections have gone: how long they may still be listed, and how soon others may be told.

use std::collections::BTreeMap;
use std::time::Duration;

use sarang::config::GRACES_PER_TURN;

use super::asks::Ask;
use super::chat::{Chat, Identity};
use super::model::Model;
use super::run::{Client, World};
use super::stage::Stage;
use super::told::LATE;

/// What is known of connections that are over, and of leaves.
#[derive(Debug, Default)]
pub struct Departures {
    /// When the server has ended or dropped the last connection of somebody with this name.
    dropped: BTreeMap<String, Duration>,
    /// When a guest who knew everything has cut its connection, by room and name.
    cut: BTreeMap<(String, String), Duration>,
    /// Leaves that are asked for, and when the last was answered or its connection was over.
    leaving: BTreeMap<String, usize>,
    left: BTreeMap<String, Duration>,
}

impl Model {
    /// Whether somebody without a connection may be listed: the last was dropped no longer ago than a grace.
    pub fn may_be_in_grace(&self, name: &str, now: Duration) -> bool {
        let grace = self.config.presence_grace;
        let dropped = self.departures.dropped.get(name);
        !grace.is_zero() && dropped.is_some_and(|at| now <= *at + grace + LATE)
    }

    /// Whether so many may be in grace that one turn does not end all graces that end together.
    pub fn may_have_many_in_grace(&self, now: Duration) -> bool {
        let names = self.departures.dropped.keys();
        let gone = names.filter(|name| self.may_be_in_grace(name, now)).count();
        let rooms = &self.config.rooms;
        gone * rooms.rooms_per_connection.min(rooms.rooms) > GRACES_PER_TURN
    }
}

impl World {
    /// The server has dropped the socket of this client.
    pub(super) fn note_dropped(&mut self, owner: usize) {
        if let Some(Client::Chat(chat)) = self.clients.get(owner) {
            chat.note_over(&mut self.stage);
        }
    }
}

impl Chat {
    /// Its connection is over by now, as far as the server is concerned.
    pub(super) fn note_over(&self, stage: &mut Stage) {
        let at = stage.at();
        let dropped = &mut stage.model.departures.dropped;
        dropped.insert(self.name.clone(), at);
    }

    /// It goes without a word to its rooms: if it knows everything, the server has not sent it away before.
    pub(super) fn note_cut(&self, stage: &mut Stage) {
        if !matches!(self.identity, Identity::Guest) || !self.is_settled(stage) {
            return;
        }
        let at = stage.at();
        for room in self.seats.keys() {
            let seat = (room.clone(), self.name.clone());
            stage.model.departures.cut.insert(seat, at);
        }
    }

    /// It asks for something, perhaps for a leave.
    pub(super) fn note_asked(&self, ask: &Ask, stage: &mut Stage) {
        if !matches!(ask, Ask::Leave { .. }) {
            return;
        }
        let leaving = &mut stage.model.departures.leaving;
        *leaving.entry(self.name.clone()).or_default() += 1;
    }

    /// A leave is answered, or will not be any more.
    pub(super) fn note_left(&self, ask: &Ask, stage: &mut Stage) {
        if !matches!(ask, Ask::Leave { .. }) {
            return;
        }
        let at = stage.at();
        let departures = &mut stage.model.departures;
        let leaving = departures.leaving.get_mut(&self.name);
        *leaving.expect("was asked for") -= 1;
        departures.left.insert(self.name.clone(), at);
    }

    /// It enters a room: others are told nothing of who is back in time, which shows in what they know.
    pub(super) fn note_entered(&self, room: &str, stage: &mut Stage) {
        let cut = (room.to_owned(), self.name.clone());
        let cut = stage.model.departures.cut.get(&cut);
        let grace = stage.model.config.presence_grace;
        if cut.is_some_and(|at| stage.at() < *at + grace) {
            stage.model.count("back within the grace");
        }
    }

    /// It has heard that a guest has left a room: that one has asked for it, or its grace is over. Who reads late may hear of
    /// an earlier time.
    pub(super) fn check_left(&self, room: &str, name: &str, stage: &mut Stage) {
        if !self.is_unblocked(stage) {
            return;
        }
        let departures = &stage.model.departures;
        let Some(&cut) = departures.cut.get(&(room.to_owned(), name.to_owned())) else {
            return;
        };
        let is_leaving = departures.leaving.get(name).is_some_and(|count| *count > 0);
        // What was asked for just before may be told a few turns later.
        let has_left = departures
            .left
            .get(name)
            .is_some_and(|left| *left + LATE >= cut);
        if is_leaving || has_left {
            return;
        }
        let grace = stage.model.config.presence_grace;
        assert!(
            stage.at() >= cut + grace,
            "{name} has left {room}, as is told {:?} after a cut",
            stage.at() - cut
        );
        if !grace.is_zero() {
            stage.model.count("left after the grace");
        }
    }
}
