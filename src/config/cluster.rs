//! The engine that many nodes share (`--cluster`): where it is, and the limits of talking to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Between two signs of life of a node.
pub const BEAT_EVERY: Duration = Duration::from_secs(3);
/// How long a node without a sign of life counts as alive. Then the others take its people out.
pub const LEASE: Duration = Duration::from_secs(12);
/// Signs of life of its own that a node must hear of through the engine; after so many missed ones it connects again.
pub const PROBES_MISSED_MAX: u64 = 2;
/// How long a request of the engine may take; then it is answered with `backend_unavailable`.
pub const ENGINE_PATIENCE: Duration = Duration::from_secs(5);
/// The same while there is no connection to it.
pub const ENGINE_AWAY_PATIENCE: Duration = Duration::from_secs(2);
/// From the start of a connection until the node has everything anew; then it tries another one.
pub const ENGINE_SETUP_TIMEOUT: Duration = Duration::from_secs(10);
/// The oldest version of Redis that has all commands; Valkey tells the one it stands for.
pub const ENGINE_VERSION_MIN: (u32, u32) = (6, 2);
/// The first wait before another attempt to connect. It doubles with each, and a random part of it is left out.
pub const ENGINE_RETRY: Duration = Duration::from_millis(500);
/// The longest wait.
pub const ENGINE_RETRY_MAX: Duration = Duration::from_secs(15);
/// Requests that wait for a reply, or to be sent; one more is answered with `backend_unavailable`.
pub const ENGINE_REQUESTS_MAX: usize = 65_536;
/// Their bytes.
pub const ENGINE_REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A reply that has not come whole, in bytes; a longer one ends the connection.
pub const ENGINE_REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Lists in one another in a reply; more end the connection.
pub const ENGINE_REPLY_DEPTH_MAX: usize = 8;
/// The first line of a value in a reply, in bytes; a longer one ends the connection.
pub const ENGINE_LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes read from the engine in one turn.
pub const ENGINE_READ_BYTES: usize = 256 * 1024;
/// Channels in one command to subscribe.
pub const SUBSCRIBED_AT_ONCE: usize = 512;
/// Messages of a room that came too early, and wait for those before them; above it the room is loaded anew.
pub const HELD_MESSAGES_MAX: usize = 1_000;
/// A room of which nothing was heard for so long is compared with the engine.
pub const ROOM_SILENCE: Duration = Duration::from_secs(10);
/// Rooms compared at a time while the connection stands; the others follow.
pub const ROOMS_CHECKED_AT_ONCE: usize = 256;
/// How long a node follows a room in which it has no member any more.
pub const ROOM_FOLLOWED_FOR: Duration = Duration::from_secs(60);
/// How long the engine keeps a room, and what a node holds, without a use.
pub const ENGINE_KEPT_SECS: u64 = 30 * 24 * 60 * 60;
/// What is in use is renewed in so many parts, one with each sign of life: all of it within an hour.
pub const ENGINE_RENEWAL_PARTS: u64 = 1_200;
/// How long a node waits for what others answer to a question.
pub const QUESTION_PATIENCE: Duration = Duration::from_secs(1);
/// Questions under way; one more is refused with `backend_unavailable`.
pub const QUESTIONS_MAX: usize = 1_024;
/// How long the first page of the rooms of all nodes is good.
pub const ROOM_LIST_KEPT: Duration = Duration::from_secs(1);
/// Commands and requests that wait for pages of the rooms; one more is refused with `backend_unavailable`.
pub const ROOM_LIST_READERS_MAX: usize = 16_384;
/// Pages under way that are searched for one that somebody else asks for, so that it is read once.
pub const PAGES_SEARCHED: usize = 64;
/// Rooms of a page that are asked for at once.
pub const ROOMS_LISTED_AT_ONCE: usize = 256;
/// Seats and names of a dead node that are given up at a time.
pub const SWEPT_AT_ONCE: usize = 500;
/// `--cluster-wait`: how long the replicas may take to have a message; then it is answered with `backend_unavailable`.
pub const REPLICAS_PATIENCE: Duration = Duration::from_secs(1);
/// Old connections that a new one has the engine close, so that nothing that was sent over them is carried out later.
pub const OLD_CONNECTIONS_MAX: usize = 16;
/// While stopping: the longest time over which WebSockets are closed, so that their clients do not all come to the other nodes at
/// once.
pub const SPREAD_MAX: Duration = Duration::from_secs(10);
/// The time between two of them, if they are few.
pub const SPREAD_STEP: Duration = Duration::from_millis(20);
/// The slots of a cluster of engines, and the tags over which keys are spread: one in each so many slots.
pub const ENGINE_SLOTS: u16 = 16_384;
/// The number of these tags.
pub const ENGINE_TAGS: u16 = 128;

/// Where an engine, or a sentinel, listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The engine that all nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Where it listens: the one that is to be tried first, and others to fail over to.
    pub endpoints: Vec<Endpoint>,
    /// The user to authenticate as, if it is not the default one.
    pub user: Option<Box<str>>,
    /// The number of the database.
    pub database: u32,
    /// The name of the primary, if the endpoints are sentinels that know where it is.
    pub primary: Option<Box<str>>,
}

impl Cluster {
    /// These endpoints, the default user, the first database.
    fn at(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            user: None,
            database: 0,
            primary: None,
        }
    }

    /// Reads `redis://[USER@]ADDR:PORT[,ADDR:PORT…][/DB]`, `unix:PATH` or `sentinel://[USER@]ADDR:PORT[,…]/NAME[/DB]`.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err("\"unix:\" is followed by the name of a socket".into());
            }
            return Ok(Self::at(vec![Endpoint::Unix(path.into())]));
        }
        let (is_sentinel, rest) = match text.split_once("://") {
            Some(("redis" | "valkey", rest)) => (false, rest),
            Some(("sentinel", rest)) => (true, rest),
            Some(("rediss" | "valkeys", _)) => {
                return Err(
                    "TLS is not spoken: use a unix socket, loopback, a tunnel or WireGuard".into(),
                );
            }
            _ => {
                return Err(format!(
                    "\"{text}\" is none of redis://ADDR:PORT/DB, unix:PATH and sentinel://ADDR:PORT/NAME"
                ));
            }
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => {
                return Err(
                    "a password is read from --cluster-password-file, never from the address"
                        .into(),
                );
            }
            Some((user, rest)) => (
                Some(user).filter(|user| !user.is_empty()).map(Into::into),
                rest,
            ),
            None => (None, rest),
        };
        let mut path = Vec::new();
        let mut endpoints = Vec::new();
        for part in rest.split(',') {
            let (address, behind) = part.split_once('/').unwrap_or((part, ""));
            endpoints.push(address_of(address)?);
            path.extend(behind.split('/').filter(|part| !part.is_empty()));
        }
        let mut path = path.into_iter();
        let primary = match is_sentinel {
            true => Some(
                path.next()
                    .ok_or("the name of the primary is missing: sentinel://ADDR:PORT/NAME")?
                    .into(),
            ),
            false => None,
        };
        let database = match path.next() {
            None => 0,
            Some(text) => text
                .parse()
                .map_err(|_| format!("\"{text}\" is not the number of a database"))?,
        };
        match path.next() {
            None => Ok(Self {
                endpoints,
                user,
                database,
                primary,
            }),
            Some(more) => Err(format!("\"/{more}\" is too much")),
        }
    }
}

/// Names are not looked up: that would block the loop, and needs a quarter of a megabyte in a static binary.
fn address_of(text: &str) -> Result<Endpoint, String> {
    let address = text.replacen("localhost:", "127.0.0.1:", 1);
    let address = address.parse().map_err(|_| {
        format!("\"{text}\" is no address with a port, such as 127.0.0.1:6379 or [::1]:6379; names are not looked up")
    })?;
    Ok(Endpoint::Tcp(address))
}

/// A password, which is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(pub Box<str>);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_named_by_addresses_a_socket_or_its_sentinels() {
        let tcp = |text: &str| Endpoint::Tcp(text.parse().expect("is an address"));
        let both = || vec![tcp("10.0.0.1:6379"), tcp("10.0.0.2:6379")];
        for (text, endpoints, user, database, primary) in [
            (
                "redis://127.0.0.1:6379",
                vec![tcp("127.0.0.1:6379")],
                None,
                0,
                None,
            ),
            (
                "redis://localhost:6379/3",
                vec![tcp("127.0.0.1:6379")],
                None,
                3,
                None,
            ),
            (
                "valkey://chat@[::1]:6379/",
                vec![tcp("[::1]:6379")],
                Some("chat"),
                0,
                None,
            ),
            (
                "redis://10.0.0.1:6379/2,10.0.0.2:6379",
                both(),
                None,
                2,
                None,
            ),
            (
                "redis://10.0.0.1:6379,10.0.0.2:6379/2",
                both(),
                None,
                2,
                None,
            ),
            (
                "sentinel://a@10.0.0.1:6379,10.0.0.2:6379/main/1",
                both(),
                Some("a"),
                1,
                Some("main"),
            ),
            (
                "unix:/run/valkey",
                vec![Endpoint::Unix("/run/valkey".into())],
                None,
                0,
                None,
            ),
        ] {
            let expected = Cluster {
                endpoints,
                user: user.map(Into::into),
                database,
                primary: primary.map(Into::into),
            };
            assert_eq!(Cluster::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_engine_is_refused_with_a_sentence() {
        for (text, part) in [
            ("127.0.0.1:6379", "is none of"),
            (
                "redis://chat:secret@127.0.0.1:6379",
                "--cluster-password-file",
            ),
            ("rediss://127.0.0.1:6379", "TLS"),
            ("redis://valkey.example.com:6379", "names are not looked up"),
            ("redis://127.0.0.1", "with a port"),
            ("redis://127.0.0.1:6379/x", "number of a database"),
            ("redis://127.0.0.1:6379/1/2", "too much"),
            ("sentinel://127.0.0.1:26379", "name of the primary"),
            ("unix:", "name of a socket"),
        ] {
            let refused = Cluster::parse(text).expect_err("is refused");
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
