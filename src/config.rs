//! All limits, as named constants with units, and the configuration a server is started with.
//!
//! A limit that an operator may need to change is a field of [`Config`] and a command line option (`options.rs`); the
//! others are constants. README.md has a table of all limits and the effect of each.

mod backend;
pub mod cidr;
mod cluster;
mod events;
mod identity;
mod level;
pub mod listen;
mod log_format;
mod room_limits;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use backend::*;
use cidr::Cidr;
pub use cluster::*;
pub use events::*;
pub use identity::*;
pub use level::Level;
use listen::{Listen, UNIX_PEER};
pub use log_format::LogFormat;
pub use room_limits::*;

/// The longest room name, in characters of normalization form C (UAX #15), as all names.
pub const ROOM_NAME_CHARS_MAX: usize = 64;
/// The longest guest name, in characters.
pub const USERNAME_CHARS_MAX: usize = 32;
/// The longest `id` of a chat or whisper, in bytes.
pub const MESSAGE_ID_BYTES_MAX: usize = 64;
/// The largest `max_users` of a room.
pub const ROOM_USERS_MAX: u32 = 1_000_000;
/// Rooms a user, or an address without a token, may create in a row by `POST /rooms`; one more is allowed every
/// [`ROOM_CREATION_REFILL`]; above it 429.
pub const ROOM_CREATIONS: u32 = 100;
/// The time after which one more such creation is allowed.
pub const ROOM_CREATION_REFILL: Duration = Duration::from_secs(1);
/// A kept room in which nothing was ever said may be evicted after this time without a use.
pub const KEPT_ROOM_UNUSED_FOR: Duration = Duration::from_secs(10 * 60);
/// Any other kept room may be evicted after this time without a use.
pub const KEPT_ROOM_IDLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Messages of a room's history sent on a join and by `GET /rooms/{name}/history`.
pub const HISTORY_ON_ENTRY: usize = 50;
/// Messages in the history of a room, for members that resume.
pub const HISTORY_MESSAGES_MAX: usize = 1_000;
/// Memory for the history of one room, in bytes; the last [`HISTORY_ON_ENTRY`] messages stay even above it.
pub const HISTORY_ROOM_BYTES_MAX: usize = 256 * 1024;
/// Memory for the histories of all rooms, in bytes; above it messages of the least recently used room are dropped
/// first.
pub const HISTORY_TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Up to this many users of a room, each join and leave is announced with the user's name.
pub const PRESENCE_NAMES_MAX: usize = 200;
/// Above [`PRESENCE_NAMES_MAX`], the shortest time between two announcements of the number of users.
pub const ROOM_USERS_TOLD_EVERY: Duration = Duration::from_secs(1);
/// Members of rooms whose last connection there has closed less than [`Config::presence_grace`] ago, over all rooms; at it
/// the one whose grace ends first leaves at once.
pub const MEMBERS_IN_GRACE_MAX: usize = 65_536;
/// Members who leave at the end of their grace in one turn; the others leave in the next. A room without connections that
/// has more members in grace is not evicted until there are so few.
pub const GRACES_PER_TURN: usize = 256;

/// How long an acknowledged `id` is kept.
pub const ACKNOWLEDGED_FOR: Duration = Duration::from_secs(5 * 60);
/// Acknowledged ids kept in all; above it the oldest is dropped early.
pub const ACKNOWLEDGED_MAX: usize = 65_536;
/// Acknowledged ids kept for one user; above it the user's oldest is dropped early.
pub const ACKNOWLEDGED_PER_USER_MAX: usize = 4_096;
/// Messages and room openings that the backend has not answered; above it `storage_unavailable`.
pub const WISHES_MAX: usize = 65_536;
/// Content of messages that the backend has not answered, in bytes; above it `storage_unavailable`.
pub const WISHES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a command or an opening handshake waits for the backend; then `backend_unavailable`.
pub const BACKEND_PATIENCE: Duration = Duration::from_secs(5);
/// Wishes that wait for the batch under way of the store on disk; one more is answered with `storage_unavailable`.
pub const STORE_WISHES_MAX: usize = 65_536;
/// The bytes of their texts.
pub const STORE_WISHES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// `sarang backup`: how long a running server may take for a copy.
pub const BACKUP_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is looked for.
pub const BACKUP_POLLED_EVERY: Duration = Duration::from_millis(20);
/// The cache of the store's file, in bytes.
pub const STORE_CACHE_BYTES: usize = 1024 * 1024;
/// Changes of the store that nobody waits for, in bytes; above that they are a batch.
pub const STORE_REST_BYTES: usize = 1024 * 1024;
/// Above that a whisper with an `id` is answered with `storage_unavailable`: the batch under way takes too long.
pub const STORE_REST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Wishes that a batch of the store answers in one turn; those after them wait for the next one.
pub const STORE_ANSWERS_PER_TURN: usize = 512;
/// After the store has failed: the wait before everything is written anew. It doubles with each failure.
pub const STORE_RETRY: Duration = Duration::from_secs(1);
/// The longest wait.
pub const STORE_RETRY_MAX: Duration = Duration::from_secs(30);

/// The head of a request, in bytes; above it 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The request target, in bytes; above it 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Field lines of a request; above it 431.
pub const HEAD_FIELDS_MAX: usize = 64;
/// A PROXY protocol header of version 1, with its line end, in bytes: as its specification says (section 2.1). A connection
/// with a longer one is closed.
pub const PROXY_HEADER_LINE_BYTES_MAX: usize = 107;
/// A PROXY protocol header of version 2, with its fixed part of 16 bytes, in bytes. A connection with a longer one is closed.
pub const PROXY_HEADER_BYTES_MAX: usize = 4 * 1024;
/// The body of a request, in bytes; above it 413.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The digits of the size of one chunk of a body, leading zeros included, so that it has 64 bits at most; above it 400.
pub const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
/// The line of the size of one chunk, with its extensions and without its line end, in bytes; above it 400.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// The extensions of all chunks of a body, in bytes; above it 400.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 16 * 1024;
/// The trailer fields of a body, with their line ends, in bytes; above it 431.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;
/// Trailer fields of a body; above it 431.
pub const TRAILER_FIELDS_MAX: usize = 32;
/// The body of a `POST /http-echo`, in bytes; above it 413.
pub const ECHO_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The field names that a CORS preflight may ask for, in bytes; a longer list is not granted.
pub const PREFLIGHT_FIELDS_BYTES_MAX: usize = 1024;
/// From the start of a connection, or the first byte of a later request, to the end of the head; then 408. Also from the start
/// of a connection to the end of its PROXY protocol header; then it is closed.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// From the head of a request to the end of its body; then 408.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that takes no byte of a response for this long is disconnected; slow progress is enough to get all of it.
pub const ANSWER_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A WebSocket message, in bytes; above it close code 1009.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// A message on `/ws-echo`, in bytes.
pub const ECHO_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Memory of all echo connections, in bytes, on top of [`Config::buffer_bytes`]: room for several messages of the
/// largest size, each received, copied and in an outbox.
pub const ECHO_BUFFER_BYTES: usize = 512 * 1024 * 1024;
/// A peer that sends nothing for this long after a ping is disconnected.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(20);
/// From our close frame to the peer's; then the connection is closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// From the end of our sending direction to the end of the peer's; then the socket is closed.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages refused with `rate_limited` in a row before close code 4009.
pub const RATE_WARNINGS_MAX: u8 = 10;

/// The high-water mark of an outbox, in bytes: above it the peer is not read.
pub const OUTBOX_HIGH_WATER_BYTES: usize = 64 * 1024;
/// Messages of a room that wait for their fan-out, in bytes; above it the next messages of its members are not read.
pub const ROOM_PENDING_HIGH_WATER_BYTES: usize = 256 * 1024;
/// Whispers to one user that wait for their fan-out, in bytes; above it the senders of more are not read.
pub const WHISPERS_PENDING_HIGH_WATER_BYTES: usize = 64 * 1024;
/// Whispers to all users of [`SHARED_FROM`] connections or more that are not sent to each of them, in bytes; above it the
/// senders of more are not read.
pub const WHISPERS_UNSENT_HIGH_WATER_BYTES: usize = 4 * 1024 * 1024;
/// The same, when others send more nevertheless; above it `rate_limited`.
pub const WHISPERS_UNSENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Sends of a fan-out in one turn; then the sockets are polled again.
pub const SENDS_PER_TURN: usize = 512;
/// The time for each part of a turn (reading, each fan-out, serving what waited, writing outboxes); the rest is left for
/// the next turn. One send takes 5 µs, but up to 500 µs into a tiny window.
pub const TURN_PART: Duration = Duration::from_millis(1);
/// Sends, reads or writes between two reads of the clock.
pub const STEPS_PER_CLOCK: usize = 2;
/// Deadlines of connections handled in one turn.
pub const DEADLINES_PER_TURN: usize = 1_024;
/// The reply budget of a turn, in bytes; after it the next connection is read, and the next waiting request served, in
/// the next turn. So the replies to a burst of joins are written as they are made instead of piling up in memory, and
/// do not delay other connections.
pub const REPLIES_PER_TURN_BYTES: usize = 128 * 1024;
/// Messages, or pipelined requests, of one connection served at once; those that it sent behind them are served in the
/// next turn, after other connections.
pub const COMMANDS_PER_TURN: usize = 64;
/// Bytes written from outboxes in one turn; after it an outbox over [`OUTBOX_HIGH_WATER_BYTES`] is written in the next
/// turn. A smaller outbox is always written at once.
pub const WRITES_PER_TURN_BYTES: usize = 1024 * 1024;
/// A connection is demanding if one read of it causes replies of more than this, in bytes: it is read after the others.
pub const DEMANDING_REPLY_BYTES: usize = 16 * 1024;
/// The number of further reads for which a connection stays demanding.
pub const DEMANDING_READS: u8 = 16;
/// The number of reads for which a new connection counts as demanding, and again one that becomes a WebSocket: that of its
/// opening handshake and the next, of its first join, which is answered with the history of the room; a client may send
/// both at once. So a burst of joins does not delay other connections.
pub const NEWCOMER_READS: u8 = 2;
/// How long sent bytes may stay unacknowledged, or the peer's window closed, before the system breaks the connection
/// (TCP_USER_TIMEOUT, RFC 5482). It detects that the peer of an event stream has vanished. It is a little above
/// [`EVENT_STALL_TIMEOUT`], which applies first to a subscriber that only stalls.
pub const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(65);
/// The largest buffer kept for the next fan-out, in bytes; a larger one is freed.
pub const SPARE_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// From this many receivers of an event on they share one buffer; for fewer it is copied into each outbox.
pub const SHARED_FROM: usize = 5;
/// Slices given to one vectored write.
pub const SLICES_PER_WRITE: usize = 64;

/// The read buffer of the loop, in bytes: the most that is read from one connection in one turn. It is so large that
/// the allocator maps it, so that only pages that were ever filled are resident.
pub const READ_BYTES: usize = 128 * 1024;
/// The most that is read from a refused connection, in bytes: enough for the request it may have sent already.
pub const REFUSED_READ_BYTES: usize = 16 * 1024;
/// The least that is read from each connection in one turn when many are readable, in bytes.
pub const READ_BYTES_MIN: usize = 8 * 1024;
/// The send buffer of a socket (SO_SNDBUF), in bytes; Linux doubles it. By default it grows to 4 MiB for each peer that
/// does not read, on top of the outbox and not counted as memory of the process.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Entries up to which the tables of connections are kept after the last connection has closed; larger ones are freed.
pub const TABLE_KEPT: usize = 1024;
/// The largest age of the sample of our resident memory.
pub const RESIDENT_EVERY: Duration = Duration::from_secs(1);
/// Readiness events handled in one turn.
pub const EVENTS_PER_TURN: usize = 1024;
/// Sockets listened on, those that were handed over included; with more the server does not start.
pub const LISTENERS_MAX: usize = 32;
/// Connections of one of them that wait to be accepted: -1 is as many as the system allows (net.core.somaxconn).
pub const LISTEN_BACKLOG: i32 = -1;
/// Free ports of 127.0.0.1 that are tried until one is free on [::1] too, for `localhost:0`; then each has its own.
pub const LOCALHOST_PORTS_TRIED: usize = 8;
/// The descriptors the server needs beside those of its connections: its loop, sockets to listen on, files it reads.
pub const DESCRIPTORS_OWN: u64 = 32;
/// A limit of descriptors that allows fewer connections than this is told at the start; a higher one only if it allows fewer
/// than `--connections` asks for.
pub const DESCRIPTORS_LOW: u64 = 4_096;
/// Connections accepted in one turn, from all listeners together.
pub const ACCEPTS_PER_TURN: usize = 256;
/// The time until the next attempt after no connection could be accepted, not even to refuse it (no memory).
pub const ACCEPT_RETRY: Duration = Duration::from_millis(200);
/// The longest `--drain-delay`.
pub const DRAIN_DELAY_MAX: Duration = Duration::from_secs(60 * 60);
/// The longest `--ping-interval` and `--heartbeat`.
pub const KEEP_ALIVE_EVERY_MAX: Duration = Duration::from_secs(60 * 60);
/// From the end of `--drain-delay` to the end of the process, whatever the peers do.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
/// While draining: the longest wait for the store to commit what was said, before connections are closed.
pub const STORE_DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A config file, in bytes; a larger one is refused.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How long `sarang check` waits for the whole answer of a server.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// As much of the answer to `sarang check` is read, in bytes; that of a server of ours is shorter.
pub const CHECK_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Lines in the journal for one event within [`JOURNAL_WINDOW`]; above it the event is only counted.
pub const JOURNAL_LINES_PER_EVENT_MAX: u32 = 5;
/// The time after which that count is written, and the event gets lines again.
pub const JOURNAL_WINDOW: Duration = Duration::from_secs(10);
/// Lines to be written to stderr; above it events are only counted.
pub const JOURNAL_LINES_MAX: usize = 256;
/// A line of the journal, in bytes, not counting the rest of its last value: so short that a pipe takes all of it or
/// nothing (pipe(7)).
pub const JOURNAL_LINE_BYTES_MAX: usize = 2 * 1024;
/// A value in a line of the journal, in characters; a longer one is truncated.
pub const JOURNAL_VALUE_CHARS_MAX: usize = 128;

/// The configuration a server is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen, in the order given. None is on the sockets that were handed over, or else on the default address.
    pub listen: Vec<Listen>,
    /// The permissions of the unix sockets that are listened on.
    pub unix_mode: u32,
    /// The users file; without it and [`Self::secret_file`] the server is a demo.
    pub users: Option<PathBuf>,
    /// The file of token secrets.
    pub secret_file: Option<PathBuf>,
    /// The file of API keys. With it alone the server is still a demo.
    pub api_key_file: Option<PathBuf>,
    /// Whether event streams and metrics need no token even with accounts.
    pub public_dashboard: bool,
    /// The time from the issue of a token to its expiry, in seconds.
    pub token_ttl_secs: u64,
    /// What the `aud` of a token must name; without it a token with an `aud` is refused.
    pub audience: Option<Box<str>>,
    /// The folder in which messages, events and the rest are kept, or `None` for memory only.
    pub data: Option<PathBuf>,
    /// The engine that all nodes share, or `None` for a server on its own.
    pub cluster: Option<Cluster>,
    /// The file with the password of the engine.
    pub cluster_password_file: Option<PathBuf>,
    /// The password of the engine.
    pub cluster_password: Password,
    /// What all keys and channels in the engine begin with.
    pub cluster_prefix: Box<str>,
    /// Replicas that must have a message before it is acknowledged.
    pub cluster_wait: u32,
    /// The name of this node in events and the log; `None` is that of the host.
    pub cluster_node: Option<Box<str>>,
    /// The time from the issue of a ticket to its expiry.
    pub ticket_ttl: Duration,
    /// How long a user whose last connection in a room has closed is still a member, and a guest's key still holds their
    /// name; zero is not at all.
    pub presence_grace: Duration,
    /// Whether guests connect with a name alone. In the demo they do in any case.
    pub guests: bool,
    /// Hosts the server answers for, as `server/hosts.rs` writes them. On loopback the loopback's own are added; elsewhere
    /// none is every host.
    pub hosts: Vec<String>,
    /// Origins allowed in addition to the server's own, as [`PageOrigin`](crate::wire::origin::PageOrigin) writes them;
    /// `*` allows every origin.
    pub allow_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` and `Forwarded` tell the address of their clients.
    pub trusted_proxies: Vec<Cidr>,
    /// Whether these proxies, and peers of unix sockets, begin each connection with a PROXY protocol header, version 1 or 2.
    pub proxy_protocol: bool,
    /// Whether `/ws-echo` and `POST /http-echo` exist.
    pub echo: bool,
    /// The silence of a WebSocket peer after which it is pinged.
    pub ping_interval: Duration,
    /// Between two heartbeat comments of event streams.
    pub heartbeat: Duration,
    /// From a signal to stop until anything is closed: `/readyz` answers 503, and everything else goes on.
    pub drain_delay: Duration,
    /// The time between two requests of a connection; then it is closed. `None` is no limit.
    pub keep_alive: Option<Duration>,
    /// Messages per second and connection; above it `rate_limited`, then close code 4009; 0 is no limit.
    pub messages_per_second: u32,
    /// Connections in all; above it 503.
    pub connections: usize,
    /// Connections from one address, of IPv6 from one 64-bit network, and requests under way from there through trusted
    /// proxies; loopback and these proxies exempt; above it 503.
    pub connections_per_address: usize,
    /// WebSockets of one user; one more is closed with 1013.
    pub connections_per_user: usize,
    /// The size of an outbox, in bytes, not counting replies; above it close code 4008.
    pub outbox_bytes: usize,
    /// Memory of all outboxes and receive buffers, in bytes; above it the largest are dropped first.
    pub buffer_bytes: usize,
    /// The least severe level that is logged on stderr; `None` is off.
    pub log: Option<Level>,
    /// How a line of the log is written.
    pub log_format: LogFormat,
    /// The limits of the domain.
    pub rooms: RoomLimits,
}

impl Config {
    /// Whether neither accounts nor secrets are configured: guests are allowed, and a demo account is announced.
    pub fn is_demo(&self) -> bool {
        self.users.is_none() && self.secret_file.is_none()
    }

    /// Whether only this machine can connect: every address listened on is one of loopback, or a unix socket.
    pub fn is_on_loopback(&self) -> bool {
        self.listen.iter().all(Listen::is_local)
    }

    /// Refuses a demo that others than this machine can reach.
    ///
    /// # Errors
    /// A sentence that says why, and which commands listen there.
    pub fn check_exposure(&self) -> Result<(), String> {
        let exposed = self.listen.iter().find(|listen| !listen.is_local());
        let Some(exposed) = exposed.filter(|_| self.is_demo()) else {
            return Ok(());
        };
        let all: Vec<String> = self
            .listen
            .iter()
            .map(|listen| format!(" --listen {listen}"))
            .collect();
        Err(format!(
            "--listen {exposed}: without accounts every client that reaches this address could use any name, so the demo \
            listens on loopback only (127.0.0.1, [::1] or unix:PATH); first `sarang user add NAME --users people`, then \
            `sarang --users people{}`",
            all.concat()
        ))
    }

    /// Refuses to await PROXY protocol headers from nobody.
    ///
    /// # Errors
    /// A sentence.
    pub fn check_proxies(&self) -> Result<(), String> {
        let has_proxies =
            !self.trusted_proxies.is_empty() || self.listen.iter().any(Listen::is_unix);
        match self.proxy_protocol && !has_proxies {
            true => Err("--proxy-protocol: nobody is trusted to tell the address of a client; name the proxy with \
                --trusted-proxy"
                .into()),
            false => Ok(()),
        }
    }

    /// Whether this is the address of a trusted proxy. Peers of unix sockets are.
    pub fn trusts(&self, address: IpAddr) -> bool {
        address == UNIX_PEER
            || self
                .trusted_proxies
                .iter()
                .any(|network| network.contains(address))
    }

    /// Whether guests are allowed: users that connect with a name alone.
    pub fn takes_guests(&self) -> bool {
        self.guests || self.is_demo()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            unix_mode: 0o660,
            users: None,
            secret_file: None,
            api_key_file: None,
            public_dashboard: false,
            token_ttl_secs: 3_600,
            audience: None,
            data: None,
            cluster: None,
            cluster_password_file: None,
            cluster_password: Password::default(),
            cluster_prefix: "sg:".into(),
            cluster_wait: 0,
            cluster_node: None,
            ticket_ttl: Duration::from_secs(30),
            presence_grace: Duration::from_secs(3),
            guests: false,
            hosts: Vec::new(),
            allow_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            echo: false,
            ping_interval: Duration::from_secs(25),
            heartbeat: Duration::from_secs(15),
            drain_delay: Duration::ZERO,
            keep_alive: Some(Duration::from_secs(75)),
            messages_per_second: 100,
            connections: 65_536,
            connections_per_address: 256,
            connections_per_user: 64,
            outbox_bytes: 1024 * 1024,
            buffer_bytes: 64 * 1024 * 1024,
            log: Some(Level::Warn),
            log_format: LogFormat::Text,
            rooms: RoomLimits::default(),
        }
    }
}
