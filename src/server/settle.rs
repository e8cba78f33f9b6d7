//! Carries out the domain's effects: encodes each event once and hands it to whom it concerns.

use super::Server;
use crate::conn::Phase;
use crate::conn::websocket::encode_event;
use crate::domain::{ConnectionId, Effect, Event, Now, RoomId};

impl Server {
    /// Carries out all effects, and those that follow from them.
    pub(super) fn settle(&mut self, now: Now) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Tell(id, event) => self.tell(id, &event),
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

    /// Tells one connection, after everything its rooms have said so far.
    fn tell(&mut self, id: ConnectionId, event: &Event) {
        let Some(connection) = self.connections.get_mut(id.index()) else {
            return;
        };
        if !matches!(connection.phase, Phase::WebSocket(_)) {
            return;
        }
        self.fan_out
            .catch_up(id, connection, self.rooms.people().rooms(id));
        self.frame.clear();
        encode_event(event, &mut self.scratch, &mut self.frame);
        connection.outbox().push_frames(&self.frame);
        self.replied_bytes += self.frame.len();
        if event.is_answer() {
            connection.outbox().excuse(self.frame.len());
        } else if connection.is_over(self.config.outbox_bytes) {
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
