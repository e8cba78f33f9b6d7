//! Many nodes: whole servers on a model of the engine that they share, on virtual time; and the model beside real engines.
#![forbid(unsafe_code)]
#![cfg(feature = "cluster")]

mod actors;
mod alike;
mod alike_acts;
mod alike_questions;
mod alike_stories;
mod audited;
mod bare;
mod corpus;
mod draw;
mod engine;
mod faults;
mod ledger;
mod member;
mod moderated;
mod moderation;
mod nodes;
mod pages;
mod peer;
mod permissions;
mod promises;
mod regressions;
mod shared;
mod sockets;
mod stage;
mod stories;
mod world;
