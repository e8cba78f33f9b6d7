//! sarang (사랑방): chat rooms over WebSocket and live metrics by server-sent events, in one small server.
//!
//! The whole server is one value without I/O, [`server::Server`], and a thin shell around it moves bytes. So a
//! whole server runs in a test, a fuzzer or a simulation, on virtual time.
//!
//! # The floors
//!
//! A file imports from its own floor and those below, never from above, and no two files import each other;
//! `tests/tidy` checks this.
//!
//! | floor | what it knows | files |
//! |---|---|---|
//! | 4 [`shell`] | sockets, the clock, entropy, signals, threads: all I/O | `shell/mod.rs` (the loop), `startup.rs` (what is said at the start), `outside.rs` (the I/O of a turn), `sockets.rs`, `listener.rs` (accepts), `binding.rs`, `unix_socket.rs` and `handed_over.rs` (open what is listened on), `workers.rs` (passwords and files, on a thread), `accounts.rs` and `config_file.rs` (files), `check.rs` (`sarang check`), `user.rs` and `users_file.rs` (`sarang user`), `machine.rs` (samples), `store.rs`, `store_file.rs` and `store_folder.rs` (the store on disk, on a thread; `no_store.rs` in a build without it), `backup.rs` (`sarang backup` and `sarang restore`), `dial.rs` (the connection to the engine of a cluster), `notify.rs` (systemd), `log.rs` (stderr) |
//! | 3 [`server`] | all connections and all rooms, as one value | see below |
//! | 2 [`conn`] | one connection | `conn/mod.rs` (phases), `http.rs` (bytes to requests), `websocket.rs`, `command.rs`, `act.rs` and `broken_json.rs` (JSON to commands), `event_json.rs` (events to JSON), `outbox.rs`, `refusal.rs` (error responses), `transmit.rs` |
//! | 1 [`domain`] | rooms, users, identity and metrics, without bytes | see below |
//! | 0 [`wire`] | codecs, by the RFCs | `wire/http.rs`, `target.rs`, `body_length.rs`, `origin.rs`, `language.rs`, `content_coding.rs`, `weight.rs` (of what a client prefers) and `partial_head.rs` (requests), `chunked.rs` (their bodies), `forwarded.rs` and `proxy_header.rs` (clients behind proxies), `response.rs`, `frame_reader.rs`, `frame.rs` and `text.rs` (WebSocket in), `websocket.rs` and `close_code.rs` (WebSocket out), `event_stream.rs`, `jwt.rs`, `resp.rs` (to the engine of a cluster) |
//!
//! Beside them stand `main.rs`, [`options`] (the command line; see below), [`config`] (every limit, with its unit; `config/identity.rs`: those of accounts and tokens, `config/events.rs`: those of events and samples, `config/cluster.rs`: those of many nodes, `config/backend.rs`: those of moderators and back ends, `config/listen.rs`: addresses to listen on, `config/cidr.rs`: networks, `config/level.rs`, `config/log_format.rs`, `config/room_limits.rs`), [`ledger`]
//! (the buffer memory of all connections, as one sum) and [`journal`] (the lines for stderr). `build.rs` links the
//! release binary; its `build/pages.rs` makes the files of `static` ready to be embedded, each with a name that its content determines,
//! and `build/bundle.rs` makes one script of a page's modules.
//!
//! ## The server, floor 3
//!
//! | files | what |
//! |---|---|
//! | `mod.rs`, `turn.rs`, `flush.rs` | [`server::Server`]: its entry points, and one turn: read, handle deadlines, send, free |
//! | `io.rs`, `jobs.rs` | the interface to the shell: sockets and clock as a trait, work that takes time as values |
//! | `connections.rs`, with `addresses.rs`, `deadlines.rs`, `read_queue.rs` | part 1: all connections, their addresses and deadlines, and the order of reads |
//! | `chat.rs`, with `chat/noticed.rs`, `watchers.rs`, `watching.rs`, `fan_out.rs`, `whispers.rs`, `backend.rs`, `disk.rs` and `disk/batch.rs` | part 2: rooms, the fan-out to their members, that to users who are whispered to, and the backend that orders and stores messages, in memory or on disk |
//! | `streams.rs`, with `selections.rs` | part 3: metrics, events of channels of one's own, and their subscribers; `streams/shared.rs`: those of many nodes |
//! | `sign_ins.rs`, with `password_checks.rs` | part 4: accounts, tokens, tickets, sessions, and sign-in attempts until their passwords are checked |
//! | `requests.rs`, `forwarding.rs`, `proxied.rs`, `routes.rs`, `hosts.rs`, `dispatch.rs`, `answer.rs`, `cors.rs`, `waiting.rs`; `rest.rs`, `sign_in.rs`, `event_requests.rs`, `assets.rs`, `exposition.rs` | HTTP: the table of routes, the clients of proxies, the hosts that are served, and the handler of each route |
//! | `handshake.rs`, `commands.rs`, `subscribers.rs`, `logins.rs`, `creations.rs`, `closing.rs`, `storing.rs` | operations on connections that involve several parts |
//! | `acts.rs`, `moderation.rs`, with `moderation/requests.rs`, `posting.rs`, `pacing.rs` and `who.rs`; `audit.rs`, `streams/audit.rs` | what moderators and back ends ask for (`conn/act.rs`), and what is noted of it |
//! | `node.rs`, with `node/link.rs`, `setup.rs`, `life.rs`, `ask.rs`, `acts.rs`, `audit.rs`, `lists.rs`, `questions.rs`, `waits.rs`, `replies.rs`, `pushes.rs`, `news.rs`, `rooms.rs`, `mirror.rs`, `messages.rs`, `people.rs`, `keys.rs`, `scripts.rs` and `node/scripts/*.lua` | a node among others: the backend on an engine that all share |
//! | `sharing.rs`, with `sharing/acts.rs`, `moderating.rs`, `names.rs`, `reads.rs` and `start.rs`, `peers.rs` | that backend and the rest of the server |
//! | `counters.rs`, `histogram.rs`, `gauges.rs`, `notes.rs`, `ceiling.rs` | counters, what is measured of the server itself, journal lines, and the limit over all connections |
//!
//! ## The domain, floor 1
//!
//! | files | what |
//! |---|---|
//! | `rooms.rs`, `room.rs`, `membership.rs`, `opening.rs`, `presence.rs`, `graces.rs`, `people.rs`, `names.rs`, `unicode.rs` | rooms and their members; how rooms are opened |
//! | `shared.rs`, `shared_whispers.rs`, `crowd.rs` | rooms that are shared with other nodes: seats, who is there, whispers |
//! | `eviction.rs`, `place.rs`, `kept.rs`, `owners.rs` | which rooms make way for new ones, and who holds how many of those created by `POST /rooms` |
//! | `messages.rs`, `wishes.rs`, `facts.rs`, `outcomes.rs`, `message_keys.rs`, `acknowledged.rs`, `history.rs`, `history_page.rs`, `position.rs` | messages: a wish, then a fact |
//! | `accounts.rs`, `api_keys.rs`, `credentials.rs`, `auth.rs`, `caller.rs`, `tokens.rs`, `verified.rs`, `permissions.rs`, `issuer.rs`, `tickets.rs`, `sessions.rs`, `throttle.rs`, `parked.rs`, `turns.rs`, `random.rs`, `derived.rs` | identity |
//! | `revocations.rs`, `marks.rs` | tokens that are refused before they expire |
//! | `moderation.rs`, `rules.rs`, `ages.rs`, `ban.rs`, `bans.rs` | what moderators do: deleted messages, rules of rooms, removed rooms, bans |
//! | `guests.rs`, `holders.rs`; `allowance.rs`, `expiring.rs` | names that guests may not take, and those that they hold by a key; how often something may be done in a row |
//! | `audit.rs`, `metrics.rs`, `api_figures.rs`, `response_times.rs`, `figures.rs`, `drafts.rs`, `event_log.rs`, `series.rs`, `channels.rs` | events: what is measured, what a back end posts, the recent ones by id, the recent samples as columns, the channels that have them |
//! | `record.rs`, `record_codec.rs`, `changes.rs`, `working_set.rs`, `keeping.rs` | what a store on disk keeps: records, their bytes, changes, and all that is loaded at the start |
//! | `event.rs`, `error.rs`, `ids.rs`, `time.rs` | values shared by all |
//!
//! ## The options
//!
//! | files | what |
//! |---|---|
//! | `options/table.rs`, with `setting.rs`, `values.rs` | every option: how it is set, its default, what it means |
//! | `options/commands.rs`, `names.rs`, `suggestion.rs` | every command; which name was meant by one that is none |
//! | `options/arguments.rs`, `environment.rs`, `config_file.rs`, `source.rs` | the sources of options, and how each is applied |
//! | `options/help.rs`, `man.rs`, `completions.rs` | what is printed about them |
//!
//! # One chat message
//!
//! 1. The shell calls [`server::Server::readable`]; in its [`turn`](server::Server::turn) the server reads bytes
//!    through [`server::io::Io`] and passes them to [`receive`](server::Server::receive).
//! 2. `server/commands.rs` has `wire/frame_reader.rs` unmask and assemble them into a message, and `conn/command.rs`
//!    parse its JSON into a `Command`.
//! 3. `domain/messages.rs` checks it and pushes [`domain::event::Effect::Publish`]: a wish, which stays in
//!    `domain/wishes.rs` until it is answered.
//! 4. `server/chat.rs` passes it to `server/backend.rs`, which orders and stores messages. The in-memory backend
//!    answers at once. With a store `server/disk.rs` numbers all that have come while the last batch was under way, makes one
//!    [`job`](server::jobs::Job) of them, which `shell/store.rs` commits on its thread, and answers through
//!    [`server::Server::finished`] (`server/storing.rs`). Of many nodes `server/node.rs` asks the engine for it with all others
//!    of a turn; the reply, or what the engine tells all nodes, comes back through `server/sharing.rs`.
//! 5. `domain/outcomes.rs` appends the answer, a [`fact`](domain::facts::Fact), to the room's history. It pushes
//!    [`domain::event::Effect::Broadcast`], and an acknowledgement if the message has an `id`.
//! 6. `server/chat.rs` has `conn/event_json.rs` encode it once, and appends the frame to the room's stream in
//!    `server/fan_out.rs`.
//! 7. At the end of the turn `server/flush.rs` sends the turn's frames to each member with one write. Bytes that a
//!    socket does not take wait in that member's `conn/outbox.rs`, in one buffer shared by all members that wait for
//!    them.
//!
//! # One event
//!
//! 1. [`server::Server::next_timeout`] gives the time of the next deadline, and the shell waits no longer than that.
//!    The turn asks for a sample of the machine, a [`job`](server::jobs::Job), which the shell runs
//!    (`shell/machine.rs`) and returns through [`server::Server::finished`].
//! 2. `domain/metrics.rs` makes the data of the event, a [`draft`](domain::drafts::Draft). With a store on disk
//!    `server/disk.rs` gives it its id and has it stored first. Then `domain/event_log.rs` keeps it.
//! 3. `server/streams.rs` has `wire/event_stream.rs` encode it, once as it is and once as a chunk, and appends both
//!    to the streams of each selection of channels that has it (`server/selections.rs`), in a separate `server/fan_out.rs`.
//! 4. `server/flush.rs` sends it in the same way as a chat message.
//!
//! # One sign-in
//!
//! 1. `server/requests.rs` takes a request from `conn/http.rs`; `server/routes.rs` finds its route, and
//!    `server/dispatch.rs` calls `server/sign_in.rs`, which reads name and password.
//! 2. `server/logins.rs` asks `server/sign_ins.rs`, whose throttle admits the attempt, or has it wait until it may be
//!    (`domain/parked.rs`). The request waits in `server/waiting.rs`; later requests of its connection wait too. When its
//!    turn comes (`domain/turns.rs`), the password check is a [`job`](server::jobs::Job).
//! 3. `shell/workers.rs` checks it on its thread. The result goes to the throttle, `domain/auth.rs` issues a token, and
//!    `server/requests.rs` responds.
//! 4. The client exchanges the token for a ticket (`domain/tickets.rs`), which `server/handshake.rs` redeems before it
//!    answers 101.
//!
//! # Where would I add…
//!
//! | … | where |
//! |---|---|
//! | a message type `typing` | a command in `conn/command.rs`, an event in `domain/event.rs`, what it does in `domain/messages.rs`, called from `server/commands.rs` |
//! | something that is kept over a restart | a record in `domain/record.rs` and `record_codec.rs`, loaded in `domain/working_set.rs`, written by `server/disk.rs` if the backend numbers it, else where it changes (`domain/keeping.rs`) |
//! | something that all nodes share | a script in `server/node/scripts`, what asks for it in `server/node/ask.rs` and `people.rs`, what it tells in `news.rs`, taken in `server/sharing.rs` |
//! | permessage-deflate | negotiated in `server/handshake.rs`; in: `wire/frame_reader.rs` returns messages with the reserved bit; out: `conn/outbox.rs`, whose `Batch` is sent to all receivers |
//! | an option | a row in `options/table.rs`, a field in `config.rs`, and the row that the failing test prints in README.md |
//! | a metric channel `net` | `Kind` and `Channel` in `domain/channels.rs`, its data in `domain/metrics.rs`, its columns in `domain/series.rs`, its sample in `shell/machine.rs` |
//! | a figure of `api_metrics` | `domain/api_figures.rs`, from `server/gauges.rs` or where it happens |
//! | something that moderators may ask for | a kind and an act in `conn/act.rs`, its route in `server/routes.rs` and `moderation/requests.rs`, what it does in `server/moderation.rs`, over nodes in `sharing/moderating.rs` |
//! | a claim that says what its bearer may do | `domain/permissions.rs`, asked in `domain/membership.rs` and `server/dispatch.rs` |
//! | another kind of address to listen on | `config/listen.rs`, opened in `shell/binding.rs` |
//! | another rule of rooms | `domain/rules.rs`, its record in `record_codec.rs`, over nodes in `server/node/acts.rs` |
//! | a file of the pages | in `static`; nothing else has to know it, but for the type of a new extension in `server/assets.rs` |
//! | another error code | a row in `domain/error.rs` |
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
