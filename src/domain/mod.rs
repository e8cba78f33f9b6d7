//! Floor 1, the domain: rooms, users, messages, identity and metrics. No bytes, no sockets, no clock, no entropy.
//!
//! A call into the domain changes its state and pushes [`Effect`](event::Effect)s: what is to be done outside, as
//! values. The server carries them out (`server/chat.rs`), a test compares them.

pub mod accounts;
pub mod acknowledged;
pub mod allowance;
pub mod api_keys;
pub mod auth;
pub mod changes;
pub mod channels;
mod check;
pub mod credentials;
pub mod crowd;
pub mod derived;
pub mod drafts;
pub mod error;
pub mod event;
pub mod event_log;
mod eviction;
pub mod expiring;
pub mod facts;
pub mod figures;
mod graces;
pub mod guests;
pub mod history;
pub mod holders;
pub mod ids;
pub mod issuer;
mod keeping;
pub mod kept;
pub mod marks;
pub mod membership;
pub mod message_keys;
mod messages;
pub mod metrics;
pub mod names;
mod opening;
mod outcomes;
pub mod owners;
pub mod parked;
pub mod people;
pub mod permissions;
pub mod place;
pub mod position;
mod presence;
pub mod random;
pub mod record;
pub mod record_codec;
pub mod revocations;
pub mod room;
pub mod rooms;
pub mod sessions;
pub mod shared;
pub mod shared_whispers;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod tickets;
pub mod time;
pub mod tokens;
pub mod turns;
mod unicode;
pub mod wishes;
pub mod working_set;
