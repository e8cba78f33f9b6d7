//! Where a server listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// The longest path of a unix socket, in bytes: `sun_path` has 108, with the zero at its end (unix(7)).
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// The address of every peer of a unix socket: the unspecified one, which no peer of a TCP socket has. Such a peer is a
/// trusted proxy, and itself counts as 127.0.0.1.
pub const UNIX_PEER: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// An address to listen on. Port 0 picks a free port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port of an address; of `[::]` it serves both families.
    Tcp(SocketAddr),
    /// A TCP port of every address, `:PORT`: of both families, or of IPv4 alone where the system has no IPv6.
    Everywhere(u16),
    /// A TCP port of 127.0.0.1 and, where the system has it, of `[::1]`: `localhost:PORT`.
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
            return unix(path);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let parts = text.rsplit_once(':');
        match parts.and_then(|(host, digits)| Some((host, port(digits)?))) {
            Some(("", port)) => Ok(Self::Everywhere(port)),
            Some((host, port)) if host.eq_ignore_ascii_case("localhost") => {
                Ok(Self::Localhost(port))
            }
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => Err(format!(
                "\"{text}\": an address of IPv6 needs brackets, such as [{host}]:{port}"
            )),
            Some((host, port)) if is_name(host) => Err(format!(
                "\"{text}\": names other than localhost are not looked up; give an address of this machine, such as \
                127.0.0.1:{port}, or :{port} for every address"
            )),
            _ => Err(format!(
                "\"{text}\" is not ADDR:PORT, such as 127.0.0.1:8000, :PORT, localhost:PORT or unix:PATH"
            )),
        }
    }

    /// Whether only this machine can connect to it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Everywhere(_) => false,
            Self::Localhost(_) | Self::Unix(_) => true,
        }
    }

    /// Whether it is a unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// The same address with another port. A unix socket has none.
    pub fn at_port(&self, port: u16) -> Self {
        match self {
            Self::Tcp(address) => Self::Tcp(SocketAddr::new(address.ip(), port)),
            Self::Everywhere(_) => Self::Everywhere(port),
            Self::Localhost(_) => Self::Localhost(port),
            Self::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

fn port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// Whether this may be meant as the name of a host: an address that is invalid is none.
fn is_name(host: &str) -> bool {
    let mut bytes = host.bytes();
    let has_letter = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    has_letter && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn unix(path: &str) -> Result<Listen, String> {
    if path.is_empty() {
        return Err("the path is missing, such as unix:/run/sarang/http.sock".into());
    }
    // Names in the abstract namespace are written so; they have no permissions, and every process could connect.
    if path.starts_with('@') {
        return Err(format!(
            "\"unix:{path}\" is not the path of a file; write ./{path} if it is meant"
        ));
    }
    if path.len() > UNIX_PATH_BYTES_MAX {
        return Err(format!(
            "the path of a unix socket has at most {UNIX_PATH_BYTES_MAX} bytes, and this one has {}",
            path.len()
        ));
    }
    Ok(Listen::Unix(path.into()))
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Everywhere(port) => write!(f, ":{port}"),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_alike() {
        for (text, is_local) in [
            ("127.0.0.1:8000", true),
            ("127.9.9.9:0", true),
            ("[::1]:8000", true),
            ("[::ffff:127.0.0.1]:8000", true),
            ("localhost:8000", true),
            ("unix:/run/sarang.sock", true),
            ("unix:sarang.sock", true),
            ("0.0.0.0:8000", false),
            ("[::]:8000", false),
            (":8000", false),
            (":0", false),
            ("192.0.2.1:80", false),
            ("[fe80::1%2]:80", false),
        ] {
            let listen = Listen::parse(text).expect(text);
            assert_eq!(listen.to_string(), text);
            assert_eq!(listen.is_local(), is_local, "{text}");
        }
        assert_eq!(Listen::parse("LocalHost:1"), Ok(Listen::Localhost(1)));
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_was_meant() {
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX));
        for (text, hint) in [
            ("here", "127.0.0.1:8000"),
            ("8000", ":PORT"),
            ("", ":PORT"),
            (":", ":PORT"),
            (":+8", ":PORT"),
            ("127.0.0.1", "127.0.0.1:8000"),
            ("127.0.0.1:99999", "127.0.0.1:8000"),
            ("127.0.0.256:80", "127.0.0.1:8000"),
            ("*:80", "127.0.0.1:8000"),
            ("http://127.0.0.1:80", "127.0.0.1:8000"),
            ("::1:80", "[::1]:80"),
            ("chat.example:80", "names"),
            ("localhost.example:80", "names"),
            ("unix:", "unix:/run"),
            ("unix:@name", "./@name"),
            (&long, "107"),
        ] {
            let sentence = Listen::parse(text).expect_err(text);
            assert!(sentence.contains(hint), "{text}: {sentence}");
        }
        assert!(Listen::parse(&long[..long.len() - 1]).is_ok());
    }
}
