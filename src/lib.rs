//! sarang (사랑방): chat rooms over WebSocket and live metrics by server-sent events, in one small server.
//!
//! The whole server is one value without I/O, [`server::Server`], and a thin shell around it moves bytes. So every
//! conversation can be had in a test, a fuzzer or a simulation, on virtual time.
//!
//! # The floors
//!
//! A file imports from its own floor and those below, never from above; `tests/tidy.rs` sees to it.
//!
//! | floor | what it knows | files |
//! |---|---|---|
//! | 4 [`shell`] | sockets, the clock, entropy, signals: all I/O | `shell/mod.rs` (the loop), `listener.rs`, `sockets.rs`, `workers.rs` (passwords), `accounts.rs` (files), `machine.rs` (samples), `log.rs` (stderr) |
//! | 3 [`server`] | all connections and all rooms, as one value | `server/mod.rs` (what the shell calls), `requests.rs` (HTTP), `routes.rs`, `sign_in.rs`, `events.rs`, `counters.rs`, `assets.rs`, `commands.rs` (WebSocket), `settle.rs` (effects), `fan_out.rs`, `flush.rs` (the end of a turn), `backend.rs`, `closing.rs`, `deadlines.rs`, `addresses.rs`, `ceiling.rs` (all buffers together), `notes.rs` (what is worth a line) |
//! | 2 [`conn`] | one peer | `conn/mod.rs` (phases), `http.rs`, `websocket.rs` (JSON), `outbox.rs`, `refusal.rs` |
//! | 1 [`domain`] | rooms and people, without bytes | `domain/mod.rs` (events, effects), `rooms.rs`, `room.rs`, `people.rs`, `messages.rs`, `presence.rs`, `history.rs`, `acknowledged.rs`; identity: `auth.rs`, `accounts.rs`, `tokens.rs`, `tickets.rs`, `sessions.rs`, `throttle.rs`, `random.rs`; metrics: `metrics.rs`, `event_log.rs` |
//! | 0 [`wire`] | codecs, by the RFCs | `wire/http.rs`, `target.rs`, `response.rs`, `websocket.rs`, `walker.rs`, `close_code.rs`, `event_stream.rs`, `jwt.rs` |
//!
//! Beside them stand `main.rs`, [`options`] (the command line), [`config`] (every limit, with its unit), [`ledger`] (the memory
//! held for peers, as one sum) and [`journal`] (what is worth a line on stderr). `build.rs` links the release binary.
//!
//! # One chat message
//!
//! 1. `shell/mod.rs` reads bytes from a socket and calls [`server::Server::receive`].
//! 2. `server/commands.rs` has `wire/websocket.rs` unmask and assemble them to a message, and `conn/websocket.rs` read
//!    the JSON: a `Command`.
//! 3. `domain/messages.rs` checks it and pushes [`domain::event::Effect::Publish`]: a wish.
//! 4. `server/settle.rs` gives it to `server/backend.rs`, who orders and keeps messages. Memory answers at once.
//! 5. `domain/messages.rs` appends it to the room's history, with its position: a fact. It pushes
//!    [`domain::event::Effect::Broadcast`], and an acknowledgement if one was asked for.
//! 6. `server/settle.rs` has `conn/websocket.rs` encode it, once, and appends the frame to the room's stream in
//!    `server/fan_out.rs`.
//! 7. At the end of the turn [`server::Server::flush`] sends the turn's frames to each member with one write. What a
//!    socket does not take waits in that member's `conn/outbox.rs`, shared with all who wait for the same.
//!
//! # One event
//!
//! 1. [`server::Server::next_timeout`] says when something is due, and the shell waits no longer than that. It samples
//!    the machine (`shell/machine.rs`) if [`server::Server::wants_machine`], and calls [`server::Server::sampled`].
//! 2. `domain/metrics.rs` makes the event, `domain/event_log.rs` gives it its id and keeps it.
//! 3. `server/events.rs` has `wire/event_stream.rs` encode it, once as it is and once as a chunk, and appends that to the
//!    streams of its channels in a `server/fan_out.rs` of their own.
//! 4. [`server::Server::flush`] sends it, the same way as a chat message.
#![forbid(unsafe_code)]

pub mod config;
pub mod conn;
pub mod domain;
pub mod journal;
pub mod ledger;
pub mod options;
pub mod server;
pub mod shell;
pub mod wire;
