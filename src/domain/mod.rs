//! Floor 1, the domain: rooms, people and what they say to each other. No bytes, no sockets, no clock, no entropy.
//!
//! A call into the domain changes its state and pushes [`Effect`]s: what has to happen outside, as values. The server
//! carries them out (`server/settle.rs`), a test compares them.

pub mod accounts;
pub mod acknowledged;
pub mod auth;
pub mod error;
pub mod event;
pub mod event_log;
pub mod history;
pub mod ids;
mod messages;
pub mod metrics;
pub mod people;
pub mod position;
mod presence;
pub mod random;
pub mod room;
pub mod rooms;
pub mod sessions;
pub mod throttle;
pub mod tickets;
pub mod time;
pub mod tokens;
