//! What a node waits for that more than one reply brings: pages of rooms, answers of other nodes, the audit.

use std::rc::Rc;
use std::time::Duration;

use crate::domain::event::RoomInfo;
use crate::domain::ids::Serial;

/// A page of the rooms that is being read.
#[derive(Debug)]
pub struct Listing {
    /// Its number: they are in the order of these.
    pub number: u64,
    pub limit: usize,
    pub rooms: Vec<RoomInfo>,
    /// The last name of the page, if there are more.
    pub next: Option<Rc<str>>,
    /// Replies that are awaited.
    pub left: usize,
}

/// A question that waits for answers.
#[derive(Debug)]
pub struct Question {
    /// Its number: they are in the order of these, and so of their ends.
    pub number: u64,
    pub serial: Serial,
    /// How many other nodes have heard it, once the engine has told.
    pub heard_by: Option<usize>,
    /// Nodes that have answered.
    pub answered: Vec<Box<str>>,
    pub answers: Vec<Box<str>>,
    /// Until when it waits, since the server's start.
    pub until: Duration,
}

/// What a node knows of the audit.
#[derive(Debug, Default)]
pub struct Audit {
    /// Whether somebody here follows it.
    pub is_followed: bool,
    /// Whether it is being loaded.
    pub is_loading: bool,
    /// The number of the newest event that was told here, if it was loaded.
    pub told: Option<u64>,
    /// The greatest number that was ever heard of: none is given out again.
    pub known: u64,
}
