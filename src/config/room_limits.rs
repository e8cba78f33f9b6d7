//! What the domain limits about rooms, by option.

/// One part in so many of [`RoomLimits::rooms`] is what one owner may hold of the kept rooms, those created by
/// `POST /rooms`, and another what all of them leave to joins.
pub const ROOMS_PARTS: usize = 4;

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
}

impl RoomLimits {
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
