//! RFC 6455 as a table: one row per rule, with its section, the bytes a client sends and what has to come back.
//!
//! Every row runs on the echo and in the chat, in one piece and in several splits.
#![forbid(unsafe_code)]

mod support;

#[path = "conformance/closing.rs"]
mod closing;
#[path = "conformance/fragmentation.rs"]
mod fragmentation;
#[path = "conformance/framing.rs"]
mod framing;
#[path = "conformance/opening.rs"]
mod opening;
#[path = "conformance/sizes.rs"]
mod sizes;
#[path = "conformance/table.rs"]
mod table;
#[path = "conformance/utf8.rs"]
mod utf8;
