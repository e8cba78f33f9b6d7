//! Places in the order in which rooms make way for others.

use std::time::Duration;

use super::ids::RoomId;
use crate::config::{KEPT_ROOM_IDLE_FOR, KEPT_ROOM_UNUSED_FOR};

/// The order in which empty rooms are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvictionClass {
    /// Created by a join; nothing was ever said in it. First of all, so that whoever makes rooms only to leave them
    /// evicts such rooms, and not the history of others.
    Silent,
    /// Created by a join.
    Spoken,
    /// Created by `POST /rooms`; nothing was ever said in it.
    KeptSilent,
    /// Created by `POST /rooms`.
    KeptSpoken,
}

impl EvictionClass {
    /// Every class, in order.
    pub const ALL: [Self; 4] = [
        Self::Silent,
        Self::Spoken,
        Self::KeptSilent,
        Self::KeptSpoken,
    ];

    /// The time since its last use after which a room may be evicted.
    pub fn patience(self) -> Duration {
        match self {
            Self::Silent | Self::Spoken => Duration::ZERO,
            Self::KeptSilent => KEPT_ROOM_UNUSED_FOR,
            Self::KeptSpoken => KEPT_ROOM_IDLE_FOR,
        }
    }
}

/// An evictable room's place in the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The class.
    pub class: EvictionClass,
    /// [`Room::last_used`](super::room::Room::last_used).
    pub last_used: u64,
    /// The room.
    pub id: RoomId,
}
