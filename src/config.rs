//! Every limit, with its name and unit, and the configuration a server is started with.
//!
//! What a user may need to move is a field of [`Config`] and an option on the command line (`options.rs`); the others
//! are constants. README.md has a table of all of them with what happens at each.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Room names, in characters.
pub const ROOM_NAME_CHARS_MAX: usize = 64;
/// Guest names, in characters.
pub const USERNAME_CHARS_MAX: usize = 32;
/// The `id` of a chat or whisper, in bytes.
pub const MESSAGE_ID_BYTES_MAX: usize = 64;
/// `max_users` of one room.
pub const ROOM_USERS_MAX: u32 = 1_000_000;

/// Messages told on entry, and by `GET /rooms/{name}/history`.
pub const HISTORY_ON_ENTRY: usize = 50;
/// Messages a room keeps for those who resume.
pub const HISTORY_MESSAGES_MAX: usize = 1_000;
/// Memory for one room's messages, in bytes; the last [`HISTORY_ON_ENTRY`] stay even above it.
pub const HISTORY_ROOM_BYTES_MAX: usize = 256 * 1024;
/// Memory for all rooms' messages together, in bytes; the room used longest ago forgets first.
pub const HISTORY_TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Users of a room up to which every entry and exit is told by name.
pub const PRESENCE_NAMES_MAX: usize = 200;
/// Above [`PRESENCE_NAMES_MAX`], the number of users is told at most this often.
pub const ROOM_USERS_TOLD_EVERY: Duration = Duration::from_secs(1);

/// How long an acknowledged `id` is remembered.
pub const ACKNOWLEDGED_FOR: Duration = Duration::from_secs(5 * 60);
/// Acknowledged ids remembered at most; the oldest is forgotten early.
pub const ACKNOWLEDGED_MAX: usize = 65_536;

/// Account names, in characters.
pub const ACCOUNT_NAME_CHARS_MAX: usize = 64;
/// A password, in bytes; above it 400.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Accounts in the users file; with more it is refused.
pub const ACCOUNTS_MAX: usize = 100_000;
/// The users file and the secrets file, in bytes; a larger one is refused.
pub const CREDENTIALS_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Memory one password check may cost, in KiB; a users file with more is refused.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Passes of one password check; a users file with more is refused.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// Password checks that wait for the worker; above it 503.
pub const LOGIN_QUEUE_MAX: usize = 64;
/// How long the worker keeps its memory after the last check.
pub const WORKER_MEMORY_KEPT: Duration = Duration::from_secs(2);
/// Failures at one account from one address before each costs a wait (1, 2, 4 … seconds).
pub const LOGIN_FREE_FAILURES: u32 = 5;
/// The longest such wait; then 429 becomes another try.
pub const LOGIN_WAIT_MAX: Duration = Duration::from_secs(60);
/// Attempts under way at one account from one address; above it 429.
pub const LOGIN_IN_FLIGHT_MAX: u32 = 16;
/// Failures from one address (loopback exempt), refilled one each [`LOGIN_ADDRESS_REFILL`]; above it 429.
pub const LOGIN_ADDRESS_FAILURES: u32 = 20;
/// How long one failure of an address counts.
pub const LOGIN_ADDRESS_REFILL: Duration = Duration::from_secs(6);
/// Failures at one account from everywhere, refilled one each second; above it 429.
pub const LOGIN_ACCOUNT_FAILURES: u32 = 100;
/// Entries in each table of the throttle; at it those without effect are forgotten.
pub const THROTTLED_MAX: usize = 10_000;
/// How far another back end's clock may be ahead of ours, in seconds (`nbf`, `iat`). `exp` has no leeway.
pub const TOKEN_CLOCK_LEEWAY_SECS: u64 = 60;
/// A token's `jti`, in bytes; above it the token is refused.
pub const TOKEN_ID_BYTES_MAX: usize = 128;
/// `--token-ttl` and `--ticket-ttl`, in seconds.
pub const TTL_SECS_MAX: u64 = 10 * 366 * 24 * 60 * 60;
/// From a password to the last token that `POST /auth/refresh` gives for it, in seconds.
pub const REFRESH_SECS_MAX: u64 = 24 * 60 * 60;
/// Tickets issued and neither expired nor forgotten; above it 503.
pub const TICKETS_MAX: usize = 65_536;
/// Tickets of one user that have not expired, redeemed or not, whatever the number of their tokens; above it 503.
pub const TICKETS_PER_USER_MAX: usize = 10_000;
/// Revoked tokens; above it 503. Each is forgotten when it would have expired.
pub const REVOCATIONS_MAX: usize = 65_536;
/// Secrets in the secrets file; with more it is refused.
pub const SECRETS_MAX: usize = 16;

/// Between two events of the machine.
pub const SYSTEM_EVERY: Duration = Duration::from_secs(1);
/// Between two events of the traffic.
pub const API_EVERY: Duration = Duration::from_secs(5);
/// Between two events of people and business.
pub const BUSINESS_EVERY: Duration = Duration::from_secs(10);
/// Between two heartbeat comments.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How long sampling goes on when the last subscriber has left: one that reconnects finds no hole.
pub const SAMPLING_GRACE: Duration = Duration::from_secs(60);
/// Events kept for those who resume; older ones are a gap.
pub const EVENTS_KEPT: usize = 200;
/// What event streams tell their clients to wait before they reconnect, in milliseconds.
pub const EVENT_RETRY_MILLISECONDS: u64 = 3_000;
/// Events queued for one subscriber, in bytes; above it only the latest of each kind are kept.
pub const EVENT_OUTBOX_BYTES: usize = 256 * 1024;
/// A subscriber whose socket takes nothing for this long is dropped.
pub const EVENT_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// One post of figures, in bytes; above it 413.
pub const POSTED_BYTES_MAX: usize = 4 * 1024;
/// Figures of a back end that are kept; a post that would add more is refused with 413.
pub const POSTED_FIGURES_MAX: usize = 64;

/// The request line and fields of a request, in bytes; above it 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The request target, in bytes; above it 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Fields of a request; above it 431.
pub const HEAD_FIELDS_MAX: usize = 64;
/// The body of a request, in bytes; above it 413.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The body of a `POST /http-echo`, in bytes; above it 413.
pub const ECHO_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A buffer kept for the next request of a connection, in bytes; a larger one is freed.
pub const IDLE_BUFFER_BYTES_MAX: usize = 4 * 1024;
/// From a connection's or request's first byte to the end of its head; then 408.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// From the head of a request to the end of its body; then 408.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two requests of a connection; then it is closed.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// A peer that takes nothing of an answer for this long is dropped; one that takes a little now and then gets it whole.
pub const ANSWER_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A WebSocket message (and each frame of it), in bytes; above it close code 1009.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// A message on `/ws-echo`, in bytes.
pub const ECHO_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What echoes may hold together, in bytes, beside [`Config::buffer_bytes`]: several messages of the largest size, each
/// received, copied and queued.
pub const ECHO_BUFFER_BYTES: usize = 512 * 1024 * 1024;
/// tungstenite's read buffer, in bytes; allocated only while a message is under way.
pub const WEBSOCKET_READ_BYTES: usize = 512;
/// The same on `/ws-echo`, where messages are large.
pub const ECHO_READ_BYTES: usize = 64 * 1024;
/// A peer that sent nothing for this long is pinged.
pub const PING_AFTER: Duration = Duration::from_secs(25);
/// A pinged peer that stays silent for this long is gone.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(20);
/// From our close frame to the peer's; then the connection is shut down.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// From our end of a connection to the peer's; then it is dropped.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages refused with `rate_limited` in a row before close code 4009.
pub const RATE_WARNINGS_MAX: u8 = 10;

/// Bytes queued for a peer above which nothing more is read from it.
pub const OUTBOX_HIGH_WATER_BYTES: usize = 64 * 1024;
/// Messages of a room that wait for their fan-out, in bytes, above which its members' next messages are not read.
pub const ROOM_PENDING_HIGH_WATER_BYTES: usize = 256 * 1024;
/// Sends of a fan-out in one turn; then the sockets are looked at again.
pub const SENDS_PER_TURN: usize = 512;
/// Bytes that answer single peers in one turn, after which the next peer is read, and the next waiting request answered,
/// in the next turn: a rush of joins is answered as it comes, not gathered in memory, and nobody waits for what others
/// have asked for.
pub const REPLIES_PER_TURN_BYTES: usize = 128 * 1024;
/// A peer whose system acknowledges nothing of what was sent to it for this long, or leaves no room for more, is gone
/// (TCP_USER_TIMEOUT, RFC 5482): it notices event streams to peers that vanished. A little above [`EVENT_STALL_TIMEOUT`],
/// so that a subscriber who only stalls has its whole minute.
pub const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(65);
/// A buffer kept for the next fan-out, in bytes; a larger one is freed.
pub const SPARE_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Slices given to one vectored write.
pub const SLICES_PER_WRITE: usize = 64;

/// The read buffer of the loop, in bytes: what is read from one connection in one turn. Large enough that the allocator
/// maps it, so that only what was ever filled is resident.
pub const READ_BYTES: usize = 128 * 1024;
/// What is read of each at least, in bytes, when many have sent something.
pub const READ_BYTES_MIN: usize = 8 * 1024;
/// What the system keeps of what a peer has not taken, in bytes; Linux allows itself twice as much. Left alone it takes up
/// to 4 MiB for each peer that reads nothing, beside our outboxes and not counted as our memory.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Places kept in the tables of connections when the last has gone; larger ones are freed.
pub const TABLE_KEPT: usize = 1024;
/// How old the figure of our own memory may be.
pub const RESIDENT_EVERY: Duration = Duration::from_secs(1);
/// Readiness events taken in one turn.
pub const EVENTS_PER_TURN: usize = 1024;
/// Connections accepted in one turn.
pub const ACCEPTS_PER_TURN: usize = 256;
/// When no connection can be accepted, not even to refuse it (no memory), how long until the next try.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(200);
/// From SIGTERM to the end, whatever the peers do.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// How often an event is told in the journal within [`JOURNAL_WINDOW`]; then it is only counted.
pub const JOURNAL_TOLD_MAX: u32 = 5;
/// After this long the count is told, and the event again.
pub const JOURNAL_WINDOW: Duration = Duration::from_secs(10);
/// Lines that wait to be written to stderr; above it they are only counted.
pub const JOURNAL_LINES_MAX: usize = 256;
/// A line of the journal, in bytes, save its last value's end: a pipe takes it whole or not at all (pipe(7)).
pub const JOURNAL_LINE_BYTES_MAX: usize = 2 * 1024;
/// A value in a line of the journal, in characters; what is more is cut off.
pub const JOURNAL_VALUE_CHARS_MAX: usize = 128;

/// How much an event in the journal matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work as it should.
    Error,
    /// A limit was reached, or something was refused that an administrator wanted.
    Warn,
    /// What happens now and then in a healthy server.
    Info,
    /// What happens to each connection.
    Debug,
}

impl Level {
    /// The names, as `--log` takes them.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// What the domain has to know about limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// Whether a join creates a missing room.
    pub auto_rooms: bool,
    /// Rooms on the server; at it the longest unused empty one makes way, else `too_many_rooms`.
    pub rooms: usize,
    /// Rooms one connection is in; above it `too_many_rooms`.
    pub rooms_per_connection: usize,
    /// `max_users` of a room nobody sized.
    pub room_users: u32,
    /// A message, in characters; above it `content_too_long`.
    pub content_chars: usize,
}

/// Everything a server is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen; port 0 picks one.
    pub listen: SocketAddr,
    /// The users file; with it or [`Self::secret_file`] this is no demo.
    pub users: Option<PathBuf>,
    /// The file of token secrets.
    pub secret_file: Option<PathBuf>,
    /// Whether event streams are open to all even with accounts.
    pub public_dashboard: bool,
    /// How long a token lives, in seconds.
    pub token_ttl_secs: u64,
    /// How long a ticket lives.
    pub ticket_ttl: Duration,
    /// Whether a name alone is an identity, beside the demo, where it is.
    pub guests: bool,
    /// Origins beside our own from which browsers may come; `*` is every one.
    pub allow_origins: Vec<String>,
    /// Whether `/ws-echo` and `POST /http-echo` exist.
    pub echo: bool,
    /// Messages a second and connection; above it `rate_limited`, then 4009.
    pub messages_per_second: u32,
    /// Connections in all; above it 503.
    pub connections: usize,
    /// Connections of one address, loopback exempt; above it 503.
    pub connections_per_address: usize,
    /// Bytes queued for one peer; above it 4008.
    pub outbox_bytes: usize,
    /// Bytes queued for and half received from all peers together; above it those with the most go first.
    pub buffer_bytes: usize,
    /// What is worth a line on stderr.
    pub log: Option<Level>,
    /// The domain's share.
    pub rooms: RoomLimits,
}

impl Config {
    /// Whether nobody has configured who may come in: guests may, and an account is announced.
    pub fn is_demo(&self) -> bool {
        self.users.is_none() && self.secret_file.is_none()
    }

    /// Whether a name alone is an identity.
    pub fn takes_guests(&self) -> bool {
        self.guests || self.is_demo()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            users: None,
            secret_file: None,
            public_dashboard: false,
            token_ttl_secs: 3_600,
            ticket_ttl: Duration::from_secs(30),
            guests: false,
            allow_origins: Vec::new(),
            echo: false,
            messages_per_second: 100,
            connections: 65_536,
            connections_per_address: 256,
            outbox_bytes: 1024 * 1024,
            buffer_bytes: 64 * 1024 * 1024,
            log: Some(Level::Warn),
            rooms: RoomLimits {
                auto_rooms: true,
                rooms: 1_000,
                rooms_per_connection: 64,
                room_users: 100,
                content_chars: 4_096,
            },
        }
    }
}
