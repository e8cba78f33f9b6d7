//! RFC 6455 as a table: one row per rule, with its section, the bytes a client sends and what has to come back.
//!
//! Every row runs on the echo and in the chat, in one piece and in several splits.

mod closing;
mod fragmentation;
mod framing;
mod opening;
mod sizes;
mod table;
mod utf8;
