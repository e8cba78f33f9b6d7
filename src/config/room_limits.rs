//! What the domain limits about rooms, by option.

use std::time::Duration;

/// One part in so many of [`RoomLimits::rooms`] is what one owner may hold of the kept rooms, those created by
/// `POST /rooms`, and another what all of them leave to joins.
pub const ROOMS_PARTS: usize = 4;

/// The room where people come in, in the demo.
pub const DEMO_LOBBY: &str = "사랑방";
/// After the backend has not opened that room: the wait before it is asked again.
pub const LOBBY_RETRY: Duration = Duration::from_secs(5);

/// Between two tellings of what has changed in the list of rooms, to those that watch it.
pub const ROOMS_TOLD_EVERY: Duration = Duration::from_secs(1);
/// The same where the list is that of all nodes, which the engine is asked for, or longer than [`WATCHED_ROOMS_MAX`].
pub const ROOMS_TOLD_EVERY_SHARED: Duration = Duration::from_secs(5);
/// Rooms that are new, have changed or are gone, told at once; of more it is told that the list has to be asked for anew.
pub const ROOMS_TOLD_MAX: usize = 256;
/// Rooms that are compared with what was told; of more it is told that the list has changed.
pub const WATCHED_ROOMS_MAX: usize = 10_000;
/// Different permissions of those that watch, whose changes are encoded each on its own; all others are told that the list has
/// changed.
pub const WATCH_GROUPS_MAX: usize = 64;

/// The limits the domain applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// Whether a join creates a missing room.
    pub auto_rooms: bool,
    /// Rooms on the server; at it an empty room is evicted, else `too_many_rooms`.
    pub rooms: usize,
    /// Rooms a connection may be in; above it `too_many_rooms`.
    pub rooms_per_connection: usize,
    /// `max_users` of a room that was created without one.
    pub room_users: u32,
    /// The content of a message, in characters; above it `content_too_long`.
    pub content_chars: usize,
    /// The room where people come in: made at the start, and kept while it is empty. Empty is no such room, and `None` is what
    /// is usual: in the demo [`DEMO_LOBBY`].
    pub lobby: Option<Box<str>>,
}

impl Default for RoomLimits {
    fn default() -> Self {
        Self {
            auto_rooms: true,
            rooms: 1_000,
            rooms_per_connection: 64,
            room_users: 100,
            content_chars: 4_096,
            lobby: None,
        }
    }
}

impl RoomLimits {
    /// The room where people come in, if there is one.
    pub fn lobby(&self) -> Option<&str> {
        self.lobby.as_deref().filter(|name| !name.is_empty())
    }

    /// Rooms created by `POST /rooms` that one user or address may hold; above it `too_many_rooms`.
    pub fn kept_per_owner(&self) -> usize {
        (self.rooms / ROOMS_PARTS).max(1)
    }

    /// Rooms created by `POST /rooms` in all; above it `too_many_rooms`. The rest is left to joins, if they create rooms.
    pub fn kept(&self) -> usize {
        match self.auto_rooms {
            true => self.rooms - self.rooms / ROOMS_PARTS,
            false => self.rooms,
        }
    }
}
