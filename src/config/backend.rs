//! Limits of what a back end and moderators may do (SPEC section 5).

use std::time::Duration;

/// Messages of one `POST /rooms/{name}/messages`.
pub const BATCH_MESSAGES_MAX: usize = 1_000;
/// The body of such a request, in bytes; above it 413.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest time that a room keeps messages for, or that a ban lasts unless it has no end, in seconds: ten years.
pub const RULE_SECONDS_MAX: u32 = 315_360_000;
/// Bans; above it `unavailable`.
pub const BANS_MAX: usize = 10_000;
/// How long it is remembered that a ban was lifted, so that no node that was away brings it back.
pub const LIFTED_BAN_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The reason of a ban or of a removal, in characters.
pub const REASON_CHARS_MAX: usize = 256;
/// The reason in a close frame, in bytes (RFC 6455 section 5.5).
pub const CLOSE_REASON_BYTES_MAX: usize = 123;
/// Users of one page of `GET /users`, and bans of one of `GET /bans`, if the request names no number.
pub const PEOPLE_LISTED: usize = 50;
/// The largest number that it may name.
pub const PEOPLE_LISTED_MAX: usize = 200;
/// Rooms of one page of `GET /rooms`.
pub const ROOMS_LISTED_MAX: usize = 1_000;
/// Messages of one page of a history.
pub const HISTORY_PAGE_MAX: usize = 200;
/// Commands of moderators over WebSocket that are not answered yet; above it `rate_limited`.
pub const ACTS_MAX: usize = 1_024;
/// The text of messages of back ends that are not said yet, in bytes; above it `unavailable`.
pub const POSTING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long what a moderator or a back end asks for may take, such as a batch into a room whose members are slow; then
/// `backend_unavailable`.
pub const ACT_PATIENCE: Duration = Duration::from_secs(30);
/// Messages of one request that are said in one turn.
pub const POSTS_PER_TURN: usize = 64;
/// How long a batch waits for members of its room who read more slowly than it is said; after it they are slow consumers (4008)
/// as in any other conversation. Shorter than [`BACKEND_PATIENCE`](super::BACKEND_PATIENCE), within which all must be kept.
pub const BATCH_WAIT_MAX: Duration = Duration::from_secs(2);
/// Such a member has more than this part of an outbox waiting: what is said meanwhile, and what others say, must fit in as well.
pub const BATCH_OUTBOX_SHARE: usize = 8;
/// Audit events that are kept for those who resume.
pub const AUDIT_EVENTS_KEPT: usize = 1_000;
