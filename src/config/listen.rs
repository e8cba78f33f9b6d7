//! Where a server listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// The longest path of a unix socket, in bytes (unix(7)).
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// The address that stands for the peers of unix sockets, which have none: the unspecified one, from which nobody connects
/// over IP.
pub const UNIX_PEER: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// An address to listen on. Port 0 picks a free port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port of an address. `[::]` is every address of both families.
    Tcp(SocketAddr),
    /// A TCP port of every address, of both families where the system has them: `:8000`.
    Every(u16),
    /// A TCP port of 127.0.0.1 and, where the system has it, of `[::1]`: `localhost:8000`.
    Localhost(u16),
    /// A unix socket at this path.
    Unix(PathBuf),
}

impl Listen {
    /// Parses `ADDR:PORT`, `:PORT`, `localhost:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err("unix: needs a path, such as unix:/run/sarang.sock".into()),
                1..=UNIX_PATH_BYTES_MAX => Ok(Self::Unix(path.into())),
                _ => Err(format!(
                    "the path of a unix socket has {UNIX_PATH_BYTES_MAX} bytes at most"
                )),
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let port = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_: &u16| is_number)
        };
        match text.rsplit_once(':') {
            Some((host, digits)) => match (host, port(digits)) {
                ("", Some(port)) => Ok(Self::Every(port)),
                (host, Some(port)) if host.eq_ignore_ascii_case("localhost") => {
                    Ok(Self::Localhost(port))
                }
                (host, Some(port)) if host.parse::<Ipv6Addr>().is_ok() => Err(format!(
                    "an IPv6 address stands in brackets: [{host}]:{port}"
                )),
                _ => Err(Self::not_understood(text)),
            },
            None => Err(match port(text) {
                Some(port) => format!(
                    "\"{text}\" is a port alone: 127.0.0.1:{port} is for this machine only, :{port} for all"
                ),
                None => Self::not_understood(text),
            }),
        }
    }

    fn not_understood(text: &str) -> String {
        format!(
            "\"{text}\" is not ADDR:PORT, such as 127.0.0.1:8000 or [::]:8000, nor :PORT, localhost:PORT or unix:PATH; \
            other names are not looked up"
        )
    }

    /// Whether only this machine can connect to it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Every(_) => false,
            Self::Localhost(_) | Self::Unix(_) => true,
        }
    }

    /// The same with another port; `None` for a unix socket.
    pub fn with_port(&self, port: u16) -> Option<Self> {
        match self {
            Self::Tcp(address) => Some(Self::Tcp(SocketAddr::new(address.ip(), port))),
            Self::Every(_) => Some(Self::Every(port)),
            Self::Localhost(_) => Some(Self::Localhost(port)),
            Self::Unix(_) => None,
        }
    }

    /// The port; `None` for a unix socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Every(port) | Self::Localhost(port) => Some(*port),
            Self::Unix(_) => None,
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)))
    }
}

/// As the option has it.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Every(port) => write!(f, ":{port}"),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_was_read() {
        for text in [
            "127.0.0.1:8000",
            "0.0.0.0:0",
            "[::]:8000",
            "[::1]:1",
            ":8000",
            "localhost:8000",
            "unix:/run/sarang.sock",
            "unix:a:1",
        ] {
            let read = Listen::parse(text).expect(text);
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(Listen::parse("LocalHost:1"), Ok(Listen::Localhost(1)));
    }

    #[test]
    fn what_is_no_address_gets_a_sentence_that_helps() {
        let long = format!("unix:{}", "a".repeat(UNIX_PATH_BYTES_MAX + 1));
        for (text, help) in [
            ("8000", "127.0.0.1:8000"),
            ("::1:8000", "[::1]:8000"),
            ("127.0.0.1", "127.0.0.1:8000"),
            ("example.com:80", "not looked up"),
            (":99999", "ADDR:PORT"),
            (":+80", "ADDR:PORT"),
            ("localhost:", "ADDR:PORT"),
            ("unix:", "path"),
            (&long, "107"),
            ("", "ADDR:PORT"),
        ] {
            let wrong = Listen::parse(text).expect_err(text);
            assert!(wrong.contains(help), "{text}: {wrong}");
        }
    }

    #[test]
    fn local_is_what_only_this_machine_reaches() {
        for (text, is_local) in [
            ("127.1.2.3:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost:1", true),
            ("unix:x", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            (":1", false),
            ("10.0.0.1:1", false),
        ] {
            assert_eq!(
                Listen::parse(text).map(|at| at.is_local()),
                Ok(is_local),
                "{text}"
            );
        }
    }
}
