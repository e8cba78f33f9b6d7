//! Opens the sockets to listen on, with a sentence for the operator where the system refuses one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt,
};

use super::unix_socket::{self, SocketFile};
use crate::config::listen::Listen;
use crate::config::{LISTEN_BACKLOG, LISTENERS_MAX, LOCALHOST_PORTS_TRIED};

/// A socket that listens.
pub struct Bound {
    /// The file of a unix socket that was made here.
    pub file: Option<SocketFile>,
    /// The socket.
    pub socket: OwnedFd,
    /// The address it has: [`Listen::Tcp`] or [`Listen::Unix`].
    pub at: Listen,
}

/// What the system refused, and where.
type Refused = (SocketAddr, Errno);

/// Opens a socket for each of these addresses, two for [`Listen::Localhost`], beside those that were handed over.
///
/// # Errors
/// A sentence that names the address.
pub fn open(
    addresses: &[Listen],
    unix_mode: u32,
    handed_over: Vec<Bound>,
) -> Result<Vec<Bound>, String> {
    let others: Vec<Listen> = handed_over.iter().map(|bound| bound.at.clone()).collect();
    let mut all: Vec<Bound> = Vec::new();
    for given in addresses {
        let opened = match given {
            Listen::Unix(path) => {
                let (socket, file) = unix_socket::bind(path, unix_mode)?;
                all.push(Bound {
                    file: Some(file),
                    socket,
                    at: given.clone(),
                });
                continue;
            }
            Listen::Tcp(address) => {
                let is_shared = has_ipv4(address.port(), addresses, &others);
                tcp(*address, is_shared).map(|one| vec![one])
            }
            Listen::Everywhere(port) => {
                let is_shared = has_ipv4(*port, addresses, &others);
                everywhere(*port, is_shared).map(|one| vec![one])
            }
            Listen::Localhost(port) => localhost(*port),
        };
        all.extend(opened.map_err(|refused| {
            let before = all.iter().map(|bound| &bound.at).chain(&others);
            sentence(given, refused, before)
        })?);
    }
    all.extend(handed_over);
    match all.len() {
        0..=LISTENERS_MAX => Ok(all),
        count => Err(format!(
            "--listen: {count} sockets to listen on are too many, at most {LISTENERS_MAX}"
        )),
    }
}

/// Whether a socket of its own serves this port of every address of IPv4, so that `[::]` must leave these to it.
fn has_ipv4(port: u16, addresses: &[Listen], others: &[Listen]) -> bool {
    let every = Listen::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    addresses.contains(&every) || others.contains(&every)
}

/// Opens a socket of TCP. One of `[::]` serves both families unless `is_shared`, whatever the system's default
/// (net.ipv6.bindv6only) is.
fn tcp(address: SocketAddr, is_shared: bool) -> Result<Bound, Refused> {
    let try_it = || {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        // A server can listen where one has just ended, whose connections are not forgotten yet.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, is_shared)?;
        }
        bind(&socket, &address)?;
        listen(&socket, LISTEN_BACKLOG)?;
        let at = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Bound {
            file: None,
            socket,
            at: Listen::Tcp(at),
        })
    };
    try_it().map_err(|error| (address, error))
}

/// Whether the system has no IPv6, or not this address of it.
fn is_missing(error: Errno) -> bool {
    matches!(error, Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
}

fn everywhere(port: u16, is_shared: bool) -> Result<Bound, Refused> {
    match tcp((Ipv6Addr::UNSPECIFIED, port).into(), is_shared) {
        Err((_, error)) if is_missing(error) => {
            tcp((Ipv4Addr::UNSPECIFIED, port).into(), is_shared)
        }
        result => result,
    }
}

fn localhost(port: u16) -> Result<Vec<Bound>, Refused> {
    // Those whose port is taken on [::1] are kept until the end, so that no port is tried twice.
    let mut tried = Vec::new();
    loop {
        let one = tcp((Ipv4Addr::LOCALHOST, port).into(), false)?;
        let Listen::Tcp(address) = one.at else {
            return Ok(vec![one]);
        };
        let wanted = match tried.len() {
            LOCALHOST_PORTS_TRIED => 0,
            _ => address.port(),
        };
        match tcp((Ipv6Addr::LOCALHOST, wanted).into(), false) {
            Ok(other) => return Ok(vec![one, other]),
            Err((_, error)) if is_missing(error) => return Ok(vec![one]),
            Err((_, Errno::ADDRINUSE)) if port == 0 && wanted != 0 => tried.push(one),
            Err(refused) => return Err(refused),
        }
    }
}

/// Whether two sockets cannot listen on these addresses together: they have a port in common, and one is every address.
fn overlap(at: SocketAddr, other: &Listen) -> bool {
    let Listen::Tcp(other) = other else {
        return false;
    };
    let is_either =
        at.ip() == other.ip() || at.ip().is_unspecified() || other.ip().is_unspecified();
    at.port() == other.port() && is_either
}

/// Why an address that was given cannot be listened on, and what to do; `before` are those that are listened on already.
fn sentence<'l>(
    given: &Listen,
    (at, error): Refused,
    mut before: impl Iterator<Item = &'l Listen>,
) -> String {
    let port = at.port();
    if error == Errno::ADDRINUSE
        && let Some(other) = before.find(|other| overlap(at, other))
    {
        return format!(
            "--listen {given}: {other} has this port already; leave out one of the two"
        );
    }
    let next = match port {
        1024..=0xfffe => port + 1,
        _ => 8000,
    };
    let another = format!(
        "choose another port with --listen {}, or {} for any free one",
        given.at_port(next),
        given.at_port(0)
    );
    match error {
        Errno::ADDRINUSE => format!("{at} is in use; {another}"),
        Errno::ACCESS | Errno::PERM if port < 1024 => format!(
            "{at}: a port below 1024 needs a permission (CAP_NET_BIND_SERVICE, in a systemd unit \
            AmbientCapabilities=CAP_NET_BIND_SERVICE); {another}"
        ),
        Errno::ADDRNOTAVAIL => format!(
            "{} is not an address of this machine (`ip address` lists them); --listen {} is for this machine alone, \
            and :{port} for every address",
            at.ip(),
            Listen::Tcp(loopback(at)),
        ),
        Errno::AFNOSUPPORT => format!(
            "cannot listen on {at}: this system has no IPv6; --listen :{port} is every address it has"
        ),
        error => format!("cannot listen on {at}: {error}"),
    }
}

fn loopback(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip().to_canonical() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, at.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_told_with_what_to_do() {
        for (given, at, error, hints) in [
            (
                "127.0.0.1:8000",
                "127.0.0.1:8000",
                Errno::ADDRINUSE,
                &[
                    "127.0.0.1:8000 is in use",
                    "--listen 127.0.0.1:8001",
                    "127.0.0.1:0",
                ][..],
            ),
            (
                "localhost:65535",
                "[::1]:65535",
                Errno::ADDRINUSE,
                &["[::1]:65535", "--listen localhost:8000"],
            ),
            (
                ":80",
                "[::]:80",
                Errno::ACCESS,
                &["below 1024", "--listen :8000", "CAP_NET_BIND_SERVICE"],
            ),
            (
                "192.0.2.1:8000",
                "192.0.2.1:8000",
                Errno::ADDRNOTAVAIL,
                &["192.0.2.1 is not", "127.0.0.1:8000", " :8000"],
            ),
            (
                "[2001:db8::1]:80",
                "[2001:db8::1]:80",
                Errno::ADDRNOTAVAIL,
                &["2001:db8::1 is not", "[::1]:80"],
            ),
            (
                "[::]:8000",
                "[::]:8000",
                Errno::AFNOSUPPORT,
                &["no IPv6", "--listen :8000"],
            ),
            (
                "[fe80::1]:8000",
                "[fe80::1]:8000",
                Errno::INVAL,
                &["[fe80::1]:8000"],
            ),
        ] {
            let given = Listen::parse(given).expect("an address");
            let told = sentence(&given, (at.parse().expect("an address"), error), [].iter());
            for hint in hints {
                assert!(told.contains(hint), "{hint} is not in: {told}");
            }
        }
    }
}
