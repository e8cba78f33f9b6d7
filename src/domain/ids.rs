//! Numbers that name connections, rooms and users while they exist.

/// One connection: its index in the server's slab. Reused after the connection was freed at the end of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// One room, for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub u32);

/// One user, for as long as a connection of theirs is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

impl ConnectionId {
    /// The index into whatever is kept per connection.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl RoomId {
    /// The index into whatever is kept per room.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl UserId {
    /// The index into whatever is kept per user.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
