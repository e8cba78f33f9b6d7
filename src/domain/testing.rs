//! A backend for unit tests of the domain: answers at once, or when the test calls it.

use super::error::ErrorCode;
use super::event::{Effect, Effects, Event};
use super::facts::{Fact, OpenedRoom, Outcome};
use super::ids::{ConnectionId, Origin};
use super::owners::Creator;
use super::position::Position;
use super::rooms::{Joined, RoomManager};
use super::time::{Now, Timestamp};
use super::wishes::{Opening, Publication};
use crate::config::Config;

/// The epoch of every room.
pub const EPOCH: u64 = 7;

/// A WebSocket of generation 1.
pub fn origin(connection: ConnectionId) -> Origin {
    Origin {
        connection,
        generation: 1,
    }
}

/// Somebody without a token, behind a proxy.
pub fn creator() -> Creator {
    Creator::new(None, [127, 0, 0, 1].into())
}

/// The outcome for a new room.
pub fn opened(opening: &Opening) -> Outcome {
    let room = OpenedRoom::new(opening, EPOCH, Timestamp(0));
    Outcome::Opened(opening.serial, room)
}

/// The outcome for a message, committed with this sequence number.
pub fn published(publication: Publication, seq: u64) -> Outcome {
    let epoch = publication.room.epoch;
    let position = Position { epoch, seq };
    Outcome::Published(Fact::of(publication, position, Timestamp(0)))
}

/// Answers every wish among the effects and those that follow; returns the other effects.
pub fn settle(manager: &mut RoomManager, effects: &mut Effects, now: Now) -> Vec<Effect> {
    let mut others = Vec::new();
    while let Some(effect) = effects.pop_front() {
        let outcome = match effect {
            Effect::Open(opening) => opened(&opening),
            Effect::Publish(publication) => {
                let room = &manager.rooms[publication.room.id.index()];
                let seq = room.history.position().seq + 1;
                published(publication, seq)
            }
            other => {
                others.push(other);
                continue;
            }
        };
        manager.answered(outcome, now, effects);
    }
    others
}

/// Joins a room.
///
/// # Errors
/// The final answer.
pub fn join_as(
    manager: &mut RoomManager,
    id: ConnectionId,
    room: &str,
    now: Now,
) -> Result<(), ErrorCode> {
    let mut effects = Effects::new();
    manager.join_room(origin(id), room, (None, None), now, &mut effects)?;
    let refused = settle(manager, &mut effects, now)
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Reply(_, Event::Error { code, .. }) => Some(code),
            _ => None,
        });
    refused.map_or(Ok(()), Err)
}

/// The first connection of `kim`, in the room `r`.
pub const A: ConnectionId = ConnectionId(0);
/// The second connection of `kim`.
pub const B: ConnectionId = ConnectionId(1);
/// The connection of `lee`.
pub const C: ConnectionId = ConnectionId(2);

/// `kim` with two connections and `lee` with one; `kim`'s first is in the room `r`. A message has at most 3 characters.
pub fn two_users() -> RoomManager {
    let mut limits = Config::default().rooms;
    limits.content_chars = 3;
    let mut manager = RoomManager::new(limits);
    let mut effects = Effects::new();
    for (connection, name) in [(A, "kim"), (B, "kim"), (C, "lee")] {
        manager.enter(connection, name, None, &mut effects);
    }
    let none = (None, None);
    let joined = manager.join_room(origin(A), "r", none, Now::default(), &mut effects);
    assert_eq!(joined, Ok(Joined::Later));
    settle(&mut manager, &mut effects, Now::default());
    manager
}
