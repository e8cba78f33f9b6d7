//! The bodies of the fuzz targets, without libFuzzer, so that `tests/value/fuzz_corpora.rs` can run them on the stable
//! toolchain.
//!
//! A body panics when a property fails that must hold for every input.
#![forbid(unsafe_code)]

pub mod chat_command;
pub mod chunks;
pub mod clients;
pub mod connection;
pub mod dealings;
pub mod engine;
pub mod files;
pub mod holders;
pub mod http_request;
pub mod jwt;
pub mod known;
pub mod last_event_id;
pub mod late;
pub mod late_operations;
pub mod moderation;
pub mod peer;
pub mod pieces;
pub mod proxy_header;
pub mod record;
pub mod refreshes;
pub mod register;
pub mod requests;
pub mod revoked;
pub mod server_operations;
pub mod users_file;
pub mod verdicts;
pub mod websocket_stream;
pub mod world;

/// A target's body.
pub type Body = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Body); 12] = [
    ("http_request", http_request::run),
    ("proxy_header", proxy_header::run),
    ("record", record::run),
    ("engine", engine::run),
    ("websocket_stream", websocket_stream::run),
    ("jwt", jwt::run),
    ("chat_command", chat_command::run),
    ("last_event_id", last_event_id::run),
    ("users_file", users_file::run),
    ("connection", connection::run),
    ("moderation", moderation::run),
    ("server_operations", server_operations::run),
];
