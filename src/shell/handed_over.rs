//! Sockets that systemd hands over to a process that it starts (sd_listen_fds(3)).

use std::env;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use listenfd::ListenFd;
use rustix::io::ioctl_fionbio;
use rustix::net::{AddressFamily, SocketAddrUnix, getsockname, sockopt};

use super::binding::Bound;
use crate::config::LISTENERS_MAX;
use crate::config::listen::Listen;

/// The descriptor of the first socket.
const FIRST: usize = 3;

/// Takes the sockets that were handed over to this process: none if there are none, or if they are for another process.
///
/// # Errors
/// A sentence: the variables are invalid, or a descriptor is not a listening TCP or unix stream socket.
pub fn take() -> Result<Vec<Bound>, String> {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    // What is inherited from a parent that it was meant for must not be taken.
    if variable("LISTEN_PID").parse() != Ok(std::process::id()) {
        return Ok(Vec::new());
    }
    let text = variable("LISTEN_FDS");
    match text.parse() {
        Ok(0..=LISTENERS_MAX) => {}
        _ if text.is_empty() => return Ok(Vec::new()),
        _ => {
            return Err(format!(
                "LISTEN_FDS={text}: the number of sockets handed over is from 0 to {LISTENERS_MAX}"
            ));
        }
    }
    let mut given = ListenFd::from_env();
    (0..given.len())
        .map(|index| {
            let socket = match given.take_tcp_listener(index) {
                Ok(socket) => socket.map(OwnedFd::from),
                Err(_) => given
                    .take_unix_listener(index)
                    .ok()
                    .flatten()
                    .map(OwnedFd::from),
            };
            socket.and_then(adopt).ok_or_else(|| {
                format!(
                    "descriptor {} was handed over (LISTEN_FDS) and is not a listening TCP or unix stream socket; in a \
                    systemd socket unit: ListenStream=, and Accept=no",
                    FIRST + index
                )
            })
        })
        .collect()
}

/// A socket as it is used here; `None` if it does not listen.
fn adopt(socket: OwnedFd) -> Option<Bound> {
    if !sockopt::socket_acceptconn(&socket).ok()? {
        return None;
    }
    ioctl_fionbio(&socket, true).ok()?;
    let at = address(socket.as_fd())?;
    Some(Bound {
        file: None,
        socket,
        at,
    })
}

fn address(socket: impl AsFd) -> Option<Listen> {
    let address = getsockname(socket).ok()?;
    if address.address_family() != AddressFamily::UNIX {
        return SocketAddr::try_from(address).ok().map(Listen::Tcp);
    }
    let address = SocketAddrUnix::try_from(address).ok()?;
    let path = match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => PathBuf::from(OsStr::from_bytes(path)),
        (None, name) => {
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            format!("@{name}").into()
        }
    };
    Some(Listen::Unix(path))
}
