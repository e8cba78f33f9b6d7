//! Ids of connections, rooms and users.

/// A connection: its index in the server's slab. Reused after the connection was freed at the end of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// A room: its slot. Reused after the room was evicted; [`RoomKey`] is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub u32);

/// A user: its slot. Reused after the user has left, with no message under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

impl ConnectionId {
    /// Its index in tables by connection.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl RoomId {
    /// Its index in tables by room.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl UserId {
    /// Its index in tables by user.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A room as wishes and facts name it: a reused slot has another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomKey {
    /// Its slot.
    pub id: RoomId,
    /// The epoch of its positions.
    pub epoch: u64,
}

/// A WebSocket as it is named beyond its turn: a reused slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Its slot.
    pub connection: ConnectionId,
    /// The number of the WebSocket in this server, from 1.
    pub generation: u32,
}

/// Who waits for the answer to a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// A WebSocket.
    Socket(Origin),
    /// A request, and which of its messages this is.
    Request(Serial, u16),
}

/// A guest who holds a name by a key: the truncated hash of the key, keyed by a secret of this process. The same key is the
/// same guest, also when the name was free in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HolderId(pub [u8; 16]);

/// Matches an answer of the backend, or the result of a job, with its request; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub u64);
