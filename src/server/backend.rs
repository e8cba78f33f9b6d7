//! The backend: orders and stores messages, and opens rooms. No I/O: work outside the process leaves as a job.
//!
//! A message is a wish until the backend answers with a fact; only then is it added to history, broadcast and
//! acknowledged.

use std::collections::VecDeque;
use std::rc::Rc;

use super::disk::Disk;
use super::jobs::Job;
use super::node::Node;
use crate::domain::facts::{Fact, OpenedRoom, Outcome};
use crate::domain::ids::RoomId;
use crate::domain::position::Position;
use crate::domain::random::split_mix;
use crate::domain::time::{Now, Timestamp};
use crate::domain::wishes::{Opening, Publication};

/// Where messages are ordered and stored.
#[derive(Debug)]
pub enum Backend {
    /// In the memory of this process: answers at once; lost at exit.
    Memory(Memory),
    /// Outside this process: each wish leaves as a job and is answered later. Between rooms the answers may come in any
    /// order.
    Remote(Remote),
    /// On the disk of this machine: answered when it is there.
    Disk(Box<Disk>),
    /// With an engine that many nodes share.
    #[cfg(feature = "cluster")]
    Cluster(Box<Node>),
}

impl Backend {
    /// Takes a message to order and store; returns the outcome if it is known at once.
    #[cfg_attr(
        not(feature = "cluster"),
        allow(unused_variables, reason = "only nodes name rooms to others")
    )]
    pub fn publish(
        &mut self,
        room: &Rc<str>,
        publication: Publication,
        now: Now,
    ) -> Option<Outcome> {
        match self {
            Self::Memory(memory) => Some(memory.publish(publication, now)),
            Self::Remote(remote) => remote.push(Job::Publish(publication)),
            Self::Disk(disk) => disk.publish(publication, now),
            #[cfg(feature = "cluster")]
            Self::Cluster(node) => {
                node.publish(room.clone(), publication, now);
                None
            }
        }
    }

    /// Takes a room to open; returns the outcome if it is known at once.
    pub fn open(&mut self, opening: Opening, now: Now) -> Option<Outcome> {
        match self {
            Self::Memory(memory) => Some(memory.open(&opening, now)),
            Self::Remote(remote) => remote.push(Job::Open(opening)),
            Self::Disk(disk) => disk.open(opening, now),
            #[cfg(feature = "cluster")]
            Self::Cluster(node) => {
                node.open(&opening, now);
                None
            }
        }
    }

    /// The room has another epoch than the backend has given it. Only where there is a disk.
    pub fn renewed(&mut self, room: RoomId, position: Position) {
        if let Some(disk) = self.disk_mut() {
            disk.renewed(room, position);
        }
    }

    /// The disk, if there is one.
    pub fn disk(&self) -> Option<&Disk> {
        match self {
            Self::Disk(disk) => Some(disk),
            _ => None,
        }
    }

    /// Like [`Self::disk`], mutable.
    pub fn disk_mut(&mut self) -> Option<&mut Disk> {
        match self {
            Self::Disk(disk) => Some(disk),
            _ => None,
        }
    }

    /// The node, if rooms are shared with others.
    pub fn node(&self) -> Option<&Node> {
        match self {
            #[cfg(feature = "cluster")]
            Self::Cluster(node) => Some(node),
            _ => None,
        }
    }

    /// Like [`Self::node`], mutable.
    pub fn node_mut(&mut self) -> Option<&mut Node> {
        match self {
            #[cfg(feature = "cluster")]
            Self::Cluster(node) => Some(node),
            _ => None,
        }
    }

    /// Whether tickets are redeemed by a job, because other nodes issue and redeem them too.
    pub fn redeems_tickets(&self) -> bool {
        matches!(self, Self::Remote(_)) || self.node().is_some()
    }

    /// The backend's next job, if any.
    pub fn poll_job(&mut self) -> Option<Job> {
        match self {
            Self::Remote(remote) => remote.queue.pop_front(),
            Self::Disk(disk) => disk.poll_job(),
            _ => None,
        }
    }

    /// Whether the backend has jobs.
    pub fn has_jobs(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            #[cfg(feature = "cluster")]
            Self::Cluster(node) => node.has_work(),
            Self::Remote(remote) => !remote.queue.is_empty(),
            Self::Disk(disk) => disk.has_jobs(),
        }
    }
}

/// The in-memory backend. It numbers messages; the rooms' histories keep them.
#[derive(Debug)]
pub struct Memory {
    /// State of the epoch generator.
    seed: u64,
    /// The position of the newest message of each room, by slot.
    newest: Vec<Position>,
}

impl Memory {
    /// A backend without rooms. `seed` determines the epochs of later rooms.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            newest: Vec::new(),
        }
    }

    fn publish(&mut self, publication: Publication, now: Now) -> Outcome {
        let room = publication.room;
        let nothing = Position { epoch: 0, seq: 0 };
        if self.newest.len() <= room.id.index() {
            self.newest.resize(room.id.index() + 1, nothing);
        }
        let position = &mut self.newest[room.id.index()];
        if position.epoch != room.epoch {
            *position = Position {
                epoch: room.epoch,
                seq: 0,
            };
        }
        position.seq += 1;
        Outcome::Published(Fact::of(publication, *position, Timestamp::from(now)))
    }

    fn open(&mut self, opening: &Opening, now: Now) -> Outcome {
        let epoch = split_mix(&mut self.seed);
        let room = OpenedRoom::new(opening, epoch, Timestamp::from(now));
        Outcome::Opened(opening.serial, room)
    }
}

/// A backend outside this process: its jobs that are not taken yet.
#[derive(Debug, Default)]
pub struct Remote {
    queue: VecDeque<Job>,
}

impl Remote {
    fn push(&mut self, job: Job) -> Option<Outcome> {
        self.queue.push_back(job);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{RoomId, RoomKey, Serial};

    #[test]
    fn memory_numbers_each_room_without_a_hole_and_a_reused_slot_from_the_start() {
        let mut backend = Backend::Memory(Memory::new(1));
        let mut say = |id, epoch| {
            let publication = Publication {
                serial: Serial(1),
                room: RoomKey {
                    id: RoomId(id),
                    epoch,
                },
                username: "u".into(),
                is_guest: true,
                content: "c".into(),
                message_id: None,
                said_by: None,
            };
            match backend.publish(&"r".into(), publication, Now::default()) {
                Some(Outcome::Published(fact)) => fact.position,
                other => panic!("unexpected: {other:?}"),
            }
        };
        for (id, epoch, seq) in [(0, 7, 1), (0, 7, 2), (3, 9, 1), (0, 7, 3), (0, 8, 1)] {
            assert_eq!(say(id, epoch), Position { epoch, seq });
        }
    }
}
