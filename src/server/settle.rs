//! Carries out the domain's effects: encodes each event once and hands it to whom it concerns.

use std::rc::Rc;

use super::Server;
use crate::conn::Phase;
use crate::conn::outbox::{Batch, Content};
use crate::conn::websocket::encode_event;
use crate::domain::event::{Effect, Event};
use crate::domain::ids::{ConnectionId, RoomId};
use crate::domain::time::Now;

/// Up to so many receivers a frame is copied for each, which appends it to what already waits for them.
const COPIES_MAX: usize = 4;

impl Server {
    /// Carries out all effects, and those that follow from them.
    pub(super) fn settle(&mut self, now: Now) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Tell(id, event) => self.tell(id, &event),
                Effect::TellEach(ids, event) => self.tell_each(&ids, &event),
                Effect::Broadcast {
                    room,
                    event,
                    exclude,
                } => self.broadcast(room, &event, exclude),
                Effect::Subscribe(id, room) => self.fan_out.subscribe(id, room),
                Effect::Unsubscribe(id, room) => {
                    self.fan_out
                        .unsubscribe(id, &mut self.connections[id.index()], room);
                    self.list(id);
                }
                Effect::Publish(draft) => {
                    if let Some(draft) = self.backend.publish(draft) {
                        self.counters.messages += 1;
                        self.rooms.committed(draft, now, &mut self.effects);
                    }
                }
            }
        }
    }

    fn tell(&mut self, id: ConnectionId, event: &Event) {
        self.frame.clear();
        encode_event(event, &mut self.scratch, &mut self.frame);
        self.tell_frame(id, event, None);
    }

    /// Tells several, encoded once. Beyond a few one buffer serves all: a user may have any number of connections.
    fn tell_each(&mut self, ids: &[ConnectionId], event: &Event) {
        self.frame.clear();
        encode_event(event, &mut self.scratch, &mut self.frame);
        let shared = (ids.len() > COPIES_MAX).then(|| {
            let batch = Batch::new(self.frame.clone());
            batch.account(&self.ledger);
            Rc::new(batch)
        });
        for id in ids {
            self.tell_frame(*id, event, shared.as_ref());
        }
    }

    /// Tells one connection what is encoded, after everything its rooms have said so far.
    fn tell_frame(&mut self, id: ConnectionId, event: &Event, shared: Option<&Rc<Batch>>) {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        if !matches!(connection.phase, Phase::WebSocket(_)) {
            return;
        }
        self.fan_out
            .catch_up(id, connection, self.rooms.people().rooms(id));
        let length = self.frame.len();
        match shared {
            Some(frame) => connection
                .outbox()
                .push_shared(frame, 0..length, Content::Frames),
            None => connection.outbox().push_frames(&self.frame),
        }
        self.replied_bytes += length;
        if event.is_answer() {
            connection.outbox().excuse(length);
        }
        // Also when it was caught up on its rooms only to be answered: asking makes nobody less slow.
        if connection.is_over(self.config.outbox_bytes) {
            self.troubled.slow.push(id);
        }
        self.list(id);
    }

    /// Tells a room, encoded once for all.
    fn broadcast(&mut self, room: RoomId, event: &Event, exclude: Option<ConnectionId>) {
        self.frame.clear();
        encode_event(event, &mut self.scratch, &mut self.frame);
        let excluded = exclude.and_then(|id| Some((id, self.connections.get_mut(id.index())?)));
        let Some((id, connection)) = excluded else {
            return self.fan_out.broadcast(room, &self.frame);
        };
        self.fan_out.catch_up(id, connection, &[room]);
        self.fan_out.broadcast(room, &self.frame);
        self.fan_out.skip(id, room);
        self.list(id);
    }
}
