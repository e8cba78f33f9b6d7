//! The server as a value: no sockets, virtual time. A file is named by what it tests.
#![forbid(unsafe_code)]

mod ceiling;
mod chunked_bodies;
mod client;
mod clock;
mod conversations;
mod creations;
mod event_channels;
mod event_streams;
mod fairness;
mod forwarded;
mod fuzz_corpora;
mod grace;
mod guessing;
mod guests;
mod holders;
mod kept;
mod kept_revocations;
mod late;
mod late_backend;
mod late_model;
mod late_tickets;
mod password_queue;
mod proxy_headers;
mod reload;
mod request_heads;
mod revocation;
mod scale;
mod slow_readers;
mod stopping;
mod store;
mod stored;
mod subscriber;
mod unset_clock;
mod whispers;
mod world;
