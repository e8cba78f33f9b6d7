//! Part 2, chat: rooms, the backend that orders and stores their messages, and the fan-out that delivers them.
//!
//! Carries out the domain's effects: each event is encoded once, for all its receivers.

mod noticed;

use std::time::Duration;

use noticed::{Move, Noticed};
use smallvec::SmallVec;

use super::backend::Backend;
use super::connections::Connections;
use super::disk::Disk;
use super::fan_out::{FanOut, Troubled};
use super::jobs::Job;
use super::watchers::Watchers;
use super::whispers::Whispers;
use crate::config::{RoomLimits, SHARED_FROM};
use crate::conn::Phase;
use crate::conn::event_json::encode_event;
use crate::domain::event::{Effect, Effects, Event, Maker};
use crate::domain::facts::Outcome;
use crate::domain::ids::{ConnectionId, RoomId, UserId};
use crate::domain::names::key;
use crate::domain::rooms::RoomManager;
use crate::domain::time::Now;

/// The slot of no connection.
const NOBODY: ConnectionId = ConnectionId(u32::MAX);

/// Rooms, their fan-out and their backend.
#[derive(Debug)]
pub struct Chat {
    rooms: RoomManager,
    fan_out: FanOut,
    whispers: Whispers,
    /// Those that watch the list of rooms.
    pub(super) watchers: Watchers,
    backend: Backend,
    effects: Effects,
    /// What the server has to answer and to note.
    pub noticed: Noticed,
    /// Members that are slow, blocked or broken after a pass, or whose outbox is over its limit.
    pub(super) troubled: Troubled,
    /// Chat messages committed since the start.
    messages: u64,
    /// The limit of a member's outbox, in bytes; above it close code 4008.
    outbox_bytes_max: usize,
    pub(super) frame: Vec<u8>,
    scratch: Vec<u8>,
}

impl Chat {
    /// A chat without rooms.
    pub fn new(limits: RoomLimits, outbox_bytes_max: usize, backend: Backend) -> Self {
        Self {
            rooms: RoomManager::new(limits),
            fan_out: FanOut::default(),
            whispers: Whispers::default(),
            watchers: Watchers::default(),
            backend,
            effects: Effects::new(),
            noticed: Noticed::default(),
            troubled: Troubled::default(),
            messages: 0,
            outbox_bytes_max,
            frame: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The rooms.
    pub fn rooms(&self) -> &RoomManager {
        &self.rooms
    }

    /// The rooms, and the queue of their effects. The caller must call [`Self::settle`] afterwards.
    pub fn rooms_mut(&mut self) -> (&mut RoomManager, &mut Effects) {
        (&mut self.rooms, &mut self.effects)
    }

    /// The backend.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Like [`Self::backend`], mutable.
    pub fn backend_mut(&mut self) -> &mut Backend {
        &mut self.backend
    }

    /// The backend's next job, if any.
    pub fn poll_job(&mut self) -> Option<Job> {
        self.backend.poll_job()
    }

    /// Chat messages committed since the start.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Deliveries, messages times receivers, since the start.
    pub fn deliveries(&self) -> u64 {
        self.fan_out.deliveries
    }

    /// What passes over the members of rooms, over the connections of users who are whispered to, and over those that watch the
    /// list of rooms, use beside the connections. The caller must call [`Self::passed`] afterwards.
    pub(super) fn fan_outs_and_troubled(&mut self) -> ([&mut FanOut; 3], &mut Troubled) {
        let watching = &mut self.watchers.fan_out;
        let fan_outs = [&mut self.fan_out, self.whispers.fan_out(), watching];
        (fan_outs, &mut self.troubled)
    }

    /// A slice of the passes was run.
    pub(super) fn passed(&mut self) {
        self.whispers.close_idle();
    }

    /// Whether the connection is not read for now: one of its rooms has much unsent output, or it is held.
    pub fn is_congested(&mut self, id: ConnectionId) -> bool {
        self.fan_out.is_congested(self.rooms.people().rooms(id)) || self.is_held(id)
    }

    /// Whether the connection has whispered to somebody to whom there is much to send.
    pub fn is_held(&mut self, id: ConnectionId) -> bool {
        self.whispers.is_held(id)
    }

    /// Whether so many whispers are under way that no more are taken.
    pub fn has_too_many_whispers(&self) -> bool {
        self.whispers.are_full()
    }

    /// Whether the next turn has work even if no event comes.
    pub fn has_work(&self) -> bool {
        self.fan_out.is_active()
            || self.whispers.is_active()
            || self.watchers.fan_out.is_active()
            || self.backend.has_jobs()
    }

    /// When [`Self::handle_timeout`] is next due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        let next = [self.rooms.next_timeout(), self.next_told()];
        next.into_iter().flatten().min()
    }

    /// Sends the `room_users` events that are due.
    pub fn handle_timeout(&mut self, connections: &mut Connections, now: Now) {
        self.rooms.handle_timeout(now, &mut self.effects);
        self.settle(connections, now);
    }

    /// Whether the store takes no more `id`s of whispers for now.
    pub fn is_store_full(&self) -> bool {
        self.backend.disk().is_some_and(Disk::is_full)
    }

    /// When the store is to be written anew, as time since the server's start, if it is.
    pub fn next_rewrite(&self) -> Option<Duration> {
        self.backend.disk()?.next_timeout()
    }

    /// Takes an answer of the backend.
    pub fn answered(&mut self, outcome: Outcome, connections: &mut Connections, now: Now) {
        self.take_outcome(outcome, now);
        self.settle(connections, now);
    }

    fn take_outcome(&mut self, outcome: Outcome, now: Now) {
        self.messages += u64::from(matches!(outcome, Outcome::Published(_)));
        self.rooms.answered(outcome, now, &mut self.effects);
    }

    fn note_joined(&mut self, id: ConnectionId, room: RoomId) {
        let Some(room) = self.rooms.name_if_there(room) else {
            return;
        };
        let people = self.rooms.people();
        let actor = people.user_of(id).map(|user| people.name(user).clone());
        self.noticed.moves.push(Move {
            action: "joined",
            connection: Some(id),
            address: None,
            actor: actor.unwrap_or_default(),
            room,
        });
    }

    /// Whether there is much to send to the members of a room.
    pub fn is_room_congested(&self, room: &str) -> bool {
        let room = self.rooms.open_room(room);
        room.is_some_and(|room| self.fan_out.is_congested(&[room]))
    }

    /// Whether one of its members has more than `bytes` to be sent.
    pub fn is_room_behind(&self, room: &str, bytes: usize, connections: &Connections) -> bool {
        let queued = |id| connections.get(id).map_or(0, |one| one.queued_bytes());
        let room = self.rooms.open_room(room);
        room.is_some_and(|room| self.fan_out.is_behind(room, bytes, queued))
    }

    /// Carries out all effects, including those that follow from them.
    pub fn settle(&mut self, connections: &mut Connections, now: Now) {
        while let Some(effect) = self.effects.pop_front() {
            self.watchers.note(&effect);
            match effect {
                Effect::Answer(id, event) => self.answer(id, &event, connections),
                Effect::Reply(origin, event) => {
                    if connections.is_open(origin) {
                        self.answer(origin.connection, &event, connections);
                    }
                }
                Effect::Whisper {
                    by,
                    from,
                    to,
                    event,
                } => self.whisper(by, [from, to], &event, connections),
                Effect::Broadcast {
                    room,
                    event,
                    exclude,
                } => self.broadcast(room, &event, exclude, connections),
                Effect::Subscribe(id, room) => {
                    self.note_joined(id, room);
                    self.fan_out.subscribe(id, room);
                }
                Effect::Unsubscribe(id, room) => {
                    self.fan_out.unsubscribe(id, &mut connections[id], room);
                    connections.list(id);
                }
                Effect::Entered(id, user) => {
                    self.rooms.note_entered(user, now);
                    self.whispers.entered(id, user);
                }
                Effect::Exited(id, user) => {
                    if self.whispers.exited(id, user, &mut connections[id]) {
                        connections.list(id);
                    }
                }
                Effect::Renewed(room, position) => self.backend.renewed(room, position),
                Effect::Publish(publication) => {
                    let name = self.rooms.name_of(publication.room.id);
                    if let Some(outcome) = self.backend.publish(&name, publication, now) {
                        self.take_outcome(outcome, now);
                    }
                }
                Effect::Open(opening) => {
                    if let Some(outcome) = self.backend.open(opening, now) {
                        self.take_outcome(outcome, now);
                    }
                }
                Effect::Resume(id) => connections.unpark(id),
                Effect::WhisperTo { by, user, event } => {
                    self.encode(&event);
                    self.deliver_whisper(by, user, connections);
                }
                effect => {
                    if let Some(effect) = self.noticed.take(effect) {
                        self.settle_shared(effect, now);
                    }
                }
            }
        }
        self.settle_rooms();
    }

    /// Whether all effects are carried out, and taken by those who wait for them.
    pub fn is_settled(&self) -> bool {
        self.effects.is_empty() && self.noticed.is_settled()
    }

    /// Notes rooms that are gone, and has the disk change what follows from the effects.
    fn settle_rooms(&mut self) {
        self.close_unfollowed();
        for room in self.rooms.take_evicted() {
            self.note_list_changed();
            self.noticed.note_room("room_removed", Maker::Server, room);
        }
        if let Some(disk) = self.backend.disk_mut()
            && let Some(changes) = self.rooms.take_changes()
        {
            disk.keep_rest(&changes, self.rooms.are_changes_urgent());
        }
    }

    /// Carries out an effect that concerns the other nodes.
    fn settle_shared(&mut self, effect: Effect, now: Now) {
        let Some(node) = self.backend.node_mut() else {
            return;
        };
        match effect {
            Effect::Seat {
                serial,
                room,
                name,
                is_guest,
            } => node.seat(serial, &room, &name, is_guest, now),
            Effect::GiveUpSeat(room, name) => node.leave(&room, &name, now),
            Effect::Trimmed(room, first) => node.trim(&room, first, now),
            Effect::AskForCrowd(room) => node.ask_for_crowd(&room, now),
            Effect::Whispering {
                serial,
                whisper,
                said,
            } => {
                let [to, from] = [&whisper.to, &whisper.from].map(|name| key(name).into_owned());
                let said = said
                    .as_ref()
                    .map(|(sender, id, print)| (sender, &**id, *print));
                node.whisper(serial, whisper, [&to, &from], said, now);
            }
            _ => {}
        }
    }

    /// Has the node follow no more the rooms that were closed here.
    fn close_unfollowed(&mut self) {
        if let Some(node) = self.backend.node_mut() {
            for room in self.rooms.take_closed() {
                node.close(&room);
            }
        }
    }

    /// Sends the encoded whisper to every connection of a user.
    fn deliver_whisper(
        &mut self,
        by: Option<ConnectionId>,
        user: UserId,
        connections: &mut Connections,
    ) {
        let ids = self.rooms.people().connections(user);
        if ids.len() >= SHARED_FROM || self.whispers.are_under_way(user) {
            self.whispers.send(user, ids, NOBODY, &self.frame);
        } else {
            let all: SmallVec<[ConnectionId; SHARED_FROM]> = ids.iter().copied().collect();
            for id in all {
                self.push_frame(id, false, connections);
            }
        }
        if let Some(by) = by.filter(|by| connections.get(*by).is_some()) {
            self.whispers.hold_if_congested(by, [user, user]);
        }
    }

    /// Encodes an event as one text frame into `self.frame`.
    pub(super) fn encode(&mut self, event: &Event) {
        self.frame.clear();
        encode_event(event, &mut self.scratch, &mut self.frame);
    }

    /// Answers a command. The answer is exempt from the limit of the outbox.
    fn answer(&mut self, id: ConnectionId, event: &Event, connections: &mut Connections) {
        self.encode(event);
        self.push_frame(id, true, connections);
    }

    /// Sends a whisper to every connection of its target and, as an echo, of its sender. The sender's own connection gets
    /// it like an answer: after everything it was sent before, and before its next answers.
    fn whisper(
        &mut self,
        by: ConnectionId,
        [from, to]: [UserId; 2],
        event: &Event,
        connections: &mut Connections,
    ) {
        self.encode(event);
        if to != from {
            self.whisper_to(to, by, connections);
        }
        self.push_frame(by, false, connections);
        self.whisper_to(from, by, connections);
        self.whispers.hold_if_congested(by, [from, to]);
    }

    /// Sends the encoded whisper to every connection of a user except one. Fewer than [`SHARED_FROM`] get it at once.
    fn whisper_to(&mut self, user: UserId, except: ConnectionId, connections: &mut Connections) {
        let ids = self.rooms.people().connections(user);
        if ids.len() >= SHARED_FROM || self.whispers.are_under_way(user) {
            return self.whispers.send(user, ids, except, &self.frame);
        }
        let others: SmallVec<[ConnectionId; SHARED_FROM]> =
            ids.iter().copied().filter(|id| *id != except).collect();
        for id in others {
            self.push_frame(id, false, connections);
        }
    }

    /// Queues the encoded frame for one connection, after everything sent to it so far in its rooms and as whispers.
    fn push_frame(&mut self, id: ConnectionId, is_exempt: bool, connections: &mut Connections) {
        let phase = connections.get(id).map(|connection| &connection.phase);
        if !matches!(phase, Some(Phase::WebSocket(_))) {
            return;
        }
        let length = self.frame.len();
        self.catch_up(id, connections);
        let outbox = connections[id].outbox();
        outbox.push_frames(&self.frame);
        if is_exempt {
            outbox.exempt(length);
        }
        connections.replied_bytes += length;
        self.check_outbox(id, connections);
        connections.list(id);
    }

    /// Queues control frames that answer the peer, after everything sent to it so far in its rooms and as whispers.
    pub fn push_control(&mut self, id: ConnectionId, frames: &[u8], connections: &mut Connections) {
        self.catch_up(id, connections);
        let outbox = connections[id].outbox();
        outbox.push_frames(frames);
        outbox.exempt(frames.len());
        connections.replied_bytes += frames.len();
        self.check_outbox(id, connections);
        connections.list(id);
    }

    fn catch_up(&mut self, id: ConnectionId, connections: &mut Connections) {
        let (people, connection) = (self.rooms.people(), &mut connections[id]);
        self.fan_out.catch_up(id, connection, people.rooms(id));
        if self.whispers.is_active()
            && let Some(user) = people.user_of(id)
        {
            self.whispers.catch_up(id, user, connection);
        }
    }

    /// Also after an exempt answer: the broadcasts queued before it are not exempt.
    fn check_outbox(&mut self, id: ConnectionId, connections: &Connections) {
        if connections[id].is_over(self.outbox_bytes_max) {
            self.troubled.slow.push(id);
        }
    }

    /// Broadcasts an event in a room, encoded once.
    fn broadcast(
        &mut self,
        room: RoomId,
        event: &Event,
        exclude: Option<ConnectionId>,
        connections: &mut Connections,
    ) {
        self.encode(event);
        let excluded = exclude.filter(|id| connections.get(*id).is_some());
        if let Some(id) = excluded {
            self.fan_out.catch_up(id, &mut connections[id], &[room]);
        }
        self.fan_out.broadcast(room, &self.frame);
        if let Some(id) = excluded {
            self.fan_out.skip(id, room);
            connections.list(id);
        }
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        assert!(self.is_settled(), "all effects are carried out");
        self.rooms.check();
        self.fan_out.check();
        self.check_watchers();
        let people = self.rooms.people();
        self.whispers.check(|user| people.connections(user));
    }
}
