//! Limits of identity: accounts, passwords and their throttle, guests' names, tokens and tickets.

use std::time::Duration;

/// The longest account name, in characters.
pub const ACCOUNT_NAME_CHARS_MAX: usize = 64;
/// The longest password, in bytes; above it 400.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Accounts in the users file; a file with more is refused.
pub const ACCOUNTS_MAX: usize = 100_000;
/// The size of the users file, of the secrets file and of that of API keys, in bytes; a larger file is refused.
pub const CREDENTIALS_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How long `sarang user` waits for another one that changes the same users file; then it fails, and changes nothing.
pub const USERS_LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts to lock the users file.
pub const USERS_LOCK_RETRY: Duration = Duration::from_millis(5);
/// Memory of one password check, in KiB; a users file that asks for more is refused.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Passes of one password check; a users file that asks for more is refused.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// Different costs of the hashes in the users file; a file with more is refused. Each check pays all of them.
pub const PASSWORD_COSTS_MAX: usize = 8;
/// Password checks under way, in all; above it the newest of the address that has the most gets 503, or the newcomer
/// waits for a place.
pub const LOGIN_QUEUE_MAX: usize = 64;
/// How long it waits for a place; then 503. Within [`LOGIN_PATIENCE`], and enough for some costly checks.
pub const LOGIN_PLACE_PATIENCE: Duration = Duration::from_secs(30);
/// Password checks the worker has at a time, of those under way: one that it runs, and the next, so that it never waits
/// for the loop. The others wait in the server, where addresses and names take turns.
pub const LOGIN_CHECKS_AT_WORK: usize = 2;
/// How long a request waits for its password check; then 503.
pub const LOGIN_PATIENCE: Duration = Duration::from_secs(60);
/// How long the worker keeps its memory after the last password check.
pub const WORKER_MEMORY_KEPT: Duration = Duration::from_secs(2);
/// Failed sign-ins to one account from one address before each further one causes a wait (1, 2, 4 … seconds).
///
/// The worst rates of guesses at one account, in the long run: from one address 2 a minute, and 13 from a loopback
/// address (by this schedule alone 1 a minute); 6 more where the owner has signed in before ([`LOGIN_EARLY_REFILL`]).
/// From all addresses together 60 a minute ([`LOGIN_ACCOUNT_FAILURES`]).
pub const LOGIN_FREE_FAILURES: u32 = 5;
/// The longest such wait.
pub const LOGIN_WAIT_MAX: Duration = Duration::from_secs(60);
/// A success forgives failures beyond the free ones only when the last is so long ago: they may be a guesser's, at the
/// owner's address.
pub const LOGIN_FORGIVEN_AFTER: Duration = Duration::from_secs(10 * 60);
/// During a wait after failures one more attempt is checked, so that the owner gets in beside a guesser. After a failure
/// of such an attempt the next one is checked after this; the time doubles with each failure up to [`LOGIN_WAIT_MAX`], but
/// not for a loopback address: behind a proxy on this machine owners and guessers have one address.
pub const LOGIN_SECOND_WAIT: Duration = Duration::from_secs(5);
/// Concurrent sign-ins to one account from one address.
pub const LOGIN_IN_FLIGHT_MAX: u32 = 16;
/// Concurrent sign-ins from one address, whatever their names.
pub const LOGIN_ADDRESS_IN_FLIGHT_MAX: u32 = 16;
/// The same from a loopback address: behind a proxy on this machine it is the address of all users.
pub const LOGIN_LOOPBACK_IN_FLIGHT_MAX: u32 = 32;
/// Failed sign-ins from one address, loopback exempt; one is refilled every [`LOGIN_ADDRESS_REFILL`].
pub const LOGIN_ADDRESS_FAILURES: u32 = 20;
/// The time after which one more failure of an address is allowed.
pub const LOGIN_ADDRESS_REFILL: Duration = Duration::from_secs(6);
/// Failed sign-ins to one account from all addresses; one is refilled every [`LOGIN_ACCOUNT_REFILL`].
pub const LOGIN_ACCOUNT_FAILURES: u32 = 100;
/// The time after which one more failure of an account is allowed.
pub const LOGIN_ACCOUNT_REFILL: Duration = Duration::from_secs(1);
/// How long an attempt waits for one of these limits to allow it; then 429. No shorter than [`LOGIN_ADDRESS_REFILL`].
pub const LOGIN_PARKED_FOR: Duration = Duration::from_secs(6);
/// An attempt that one of the waits after failures holds for longer than this is refused sooner. It is shorter than
/// [`LOGIN_SECOND_WAIT`], so that whoever sends guess after guess is told to wait.
pub const LOGIN_LANE_PATIENCE: Duration = Duration::from_secs(4);
/// The time from such an attempt to its refusal: enough for an early check, of which nobody can tell by the time.
pub const LOGIN_REFUSED_AFTER: Duration = Duration::from_secs(1);
/// Attempts that wait so, in all; at it one of the address with the most, and there of the account with the most, is
/// refused.
pub const LOGIN_PARKED_MAX: usize = 256;
/// Attempts of an address at an account to which it has signed in before that are checked early, in a row, although a
/// limit holds them. Only a success is told early, so nobody learns of it where an account is used.
pub const LOGIN_EARLY_CHECKS: u32 = 3;
/// The time after which one more such check is allowed.
pub const LOGIN_EARLY_REFILL: Duration = Duration::from_secs(10);
/// Early checks that wait for the worker, in all; at it no more are begun.
pub const LOGIN_EARLY_QUEUE_MAX: usize = 16;
/// Pairs of an account and an address that has signed in to it; at it the oldest makes way.
pub const SIGNED_IN_PAIRS_MAX: usize = 10_000;
/// How long such a pair is remembered.
pub const SIGNED_IN_PAIR_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Entries in each table of the throttle; at it those without effect are dropped.
pub const THROTTLED_MAX: usize = 10_000;
/// How long the name of somebody who signed in is refused to guests after their last connection has ended, or after
/// their account was removed.
pub const SIGNED_IN_NAME_HELD_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Such names in all; at it the one that is free first makes way.
pub const SIGNED_IN_NAMES_MAX: usize = 65_536;
/// The shortest key of a guest, in characters.
pub const GUEST_KEY_CHARS_MIN: usize = 16;
/// The longest key of a guest, in characters.
pub const GUEST_KEY_CHARS_MAX: usize = 64;
/// Names whose holder, a guest with a key, has gone less than `Config::presence_grace` ago; at it the one that is free
/// first makes way.
pub const NAMES_IN_GRACE_MAX: usize = 10_000;
/// Guests from one address whose name is somebody else's, in a row; above it every guest from there gets 429.
pub const GUEST_REFUSALS: u32 = 20;
/// The time after which an address is allowed one more of [`GUEST_REFUSALS`].
pub const GUEST_REFUSALS_REFILL: Duration = Duration::from_secs(6);
/// Like [`GUEST_REFUSALS`], for an address of the loopback: everybody behind a proxy on this machine shares it.
pub const GUEST_REFUSALS_LOOPBACK: u32 = 100;
/// Like [`GUEST_REFUSALS_REFILL`], for an address of the loopback.
pub const GUEST_REFUSALS_LOOPBACK_REFILL: Duration = Duration::from_millis(100);
/// How far the clock of a token's issuer may be ahead of ours (`nbf`, `iat`), in seconds. `exp` has no leeway.
pub const TOKEN_CLOCK_LEEWAY_SECS: u64 = 60;
/// The longest `sub` of a token, in characters; above it the token is refused.
pub const SUBJECT_CHARS_MAX: usize = 255;
/// The longest `jti` of a token, in bytes; above it the token is refused.
pub const TOKEN_ID_BYTES_MAX: usize = 128;
/// The largest `--token-ttl`, `--ticket-ttl` and `--keep-alive`, in seconds.
pub const TTL_SECS_MAX: u64 = 10 * 366 * 24 * 60 * 60;
/// From a sign-in with a password to the last `POST /auth/refresh` for it, in seconds.
pub const REFRESH_SECS_MAX: u64 = 24 * 60 * 60;
/// Tickets issued that are neither expired nor dropped; above it 503.
pub const TICKETS_MAX: usize = 65_536;
/// Tickets of one user that have not expired, redeemed or not, over all tokens of the user; above it 503.
pub const TICKETS_PER_USER_MAX: usize = 10_000;
/// Sign-ins that were logged out and are kept one by one, each until its last token has expired; above it one mark
/// takes the place of all entries of the user who logs out.
pub const REVOCATIONS_MAX: usize = 65_536;
/// The least time that a logout of before the start holds, whatever the clock says.
pub const KEPT_REVOCATION_MIN: Duration = Duration::from_secs(60 * 60);
/// The same of one user.
pub const REVOCATIONS_PER_USER_MAX: usize = 64;
/// Names of which all tokens issued up to a point are refused. Above it the oldest is dropped, and everybody's tokens
/// issued up to its point are refused. Larger than [`ACCOUNTS_MAX`], so that a whole users file can be replaced.
pub const REVOKED_NAMES_MAX: usize = 131_072;
/// Refreshes of one user in a row; one more is allowed every [`REFRESH_REFILL`]; above it 429.
pub const REFRESHES_MAX: u32 = 30;
/// The time after which one more refresh of a user is allowed.
pub const REFRESH_REFILL: Duration = Duration::from_secs(2);
/// Secrets in the secrets file; a file with more is refused.
pub const SECRETS_MAX: usize = 16;
/// Keys in the file of `--api-key-file`; a file with more is refused.
pub const API_KEYS_MAX: usize = 64;
/// The shortest such key, in bytes; a file with a shorter one is refused.
pub const API_KEY_BYTES_MIN: usize = 32;
/// The longest such key, in bytes; a file with a longer one is refused.
pub const API_KEY_BYTES_MAX: usize = 512;
/// Patterns in the claims `rooms` and `write` of a token, in each; above it the token is refused.
pub const PATTERNS_MAX: usize = 64;
/// The longest of them, in characters, like a room's name; above it the token is refused.
pub const PATTERN_CHARS_MAX: usize = 64;
