//! Opens the listening sockets, and takes over those of systemd.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::{fs, net};

use listenfd::ListenFd;
use mio::net::{TcpListener, UnixListener};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use rustix::process::umask;

use crate::config::listen::Listen;
use crate::config::{
    ACKNOWLEDGE_TIMEOUT, Config, LISTEN_BACKLOG, LISTENERS_MAX, SEND_BUFFER_BYTES,
};

/// A listening socket, and where it listens.
pub struct Bound {
    /// The socket.
    pub socket: Socket,
    /// Its address, with the port that was picked if none was asked for.
    pub at: Listen,
    /// The file of a unix socket that this process has made.
    #[expect(
        dead_code,
        reason = "removes the file when it is dropped with the socket"
    )]
    file: Option<SocketFile>,
}

/// A listening socket.
pub enum Socket {
    /// Of IPv4, IPv6 or both.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// The file of a unix socket, removed when the socket is closed.
struct SocketFile {
    path: PathBuf,
    /// Device and number of the file: another server may have replaced it.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|file| (file.dev(), file.ino()) == self.identity) {
            // A failure leaves a file that the next start replaces.
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens the sockets that are configured, and takes over those that systemd hands over (sd_listen_fds(3)); the default
/// address if there is neither. Where they listen becomes [`Config::listen`].
///
/// # Errors
/// A sentence: an address cannot be listened on, or others reach the demo.
pub fn bind_all(config: &mut Config) -> Result<Vec<Bound>, String> {
    let mut bound = handed_over()?;
    if config.listen.is_empty() && bound.is_empty() {
        config.listen.push(Listen::default());
    }
    let handed: Vec<Listen> = bound.iter().map(|bound| bound.at.clone()).collect();
    for listen in &config.listen {
        bound.extend(bind(listen, config)?);
    }
    config.listen.extend(handed);
    config.check_exposure()?;
    match bound.len() {
        ..=LISTENERS_MAX => Ok(bound),
        count => Err(format!(
            "{count} sockets to listen on are more than {LISTENERS_MAX}"
        )),
    }
}

fn handed_over() -> Result<Vec<Bound>, String> {
    let mut handed = ListenFd::from_env();
    let mut bound = Vec::new();
    for place in 0..handed.len() {
        let socket = take_tcp(&mut handed, place).or_else(|_| take_unix(&mut handed, place));
        let wrong = |error| {
            format!(
                "the descriptor {} that was handed over is no listening TCP or unix socket: {error}",
                place + 3
            )
        };
        bound.extend(socket.map_err(wrong)?);
    }
    Ok(bound)
}

fn take_tcp(handed: &mut ListenFd, place: usize) -> io::Result<Option<Bound>> {
    let Some(socket) = handed.take_tcp_listener(place)? else {
        return Ok(None);
    };
    let at = Listen::Tcp(socket.local_addr()?);
    tune(&socket)?;
    socket.set_nonblocking(true)?;
    let socket = Socket::Tcp(TcpListener::from_std(socket));
    Ok(Some(Bound {
        socket,
        at,
        file: None,
    }))
}

fn take_unix(handed: &mut ListenFd, place: usize) -> io::Result<Option<Bound>> {
    let Some(socket) = handed.take_unix_listener(place)? else {
        return Ok(None);
    };
    let address = socket.local_addr()?;
    let at = Listen::Unix(address.as_pathname().unwrap_or(Path::new("")).into());
    socket.set_nonblocking(true)?;
    let socket = Socket::Unix(UnixListener::from_std(socket));
    Ok(Some(Bound {
        socket,
        at,
        file: None,
    }))
}

fn bind(listen: &Listen, config: &Config) -> Result<Vec<Bound>, String> {
    let fail = |error: io::Error| sentence(listen, &error);
    match listen {
        Listen::Tcp(address) => {
            let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            let is_shared = config.listen.contains(&Listen::Tcp(any_v4));
            let bound = bind_tcp(*address, is_shared).map_err(fail)?;
            Ok(vec![bound])
        }
        Listen::Every(port) => {
            let all = |ip| bind_tcp(SocketAddr::new(ip, *port), false);
            let bound = match all(Ipv6Addr::UNSPECIFIED.into()) {
                Err(error) if is_without_ipv6(&error) => all(Ipv4Addr::UNSPECIFIED.into()),
                bound => bound,
            };
            Ok(vec![bound.map_err(fail)?])
        }
        Listen::Localhost(port) => {
            let own = |ip: IpAddr, port| bind_tcp(SocketAddr::new(ip, port), false);
            let mut bound = vec![own(Ipv4Addr::LOCALHOST.into(), *port).map_err(fail)?];
            let same = bound[0].at.port().unwrap_or(*port);
            match own(Ipv6Addr::LOCALHOST.into(), same) {
                Ok(second) => bound.push(second),
                // A port that was picked is free for IPv4, but perhaps not for IPv6.
                Err(error) if is_without_ipv6(&error) || *port == 0 => {}
                Err(error) => return Err(fail(error)),
            }
            Ok(bound)
        }
        Listen::Unix(path) => {
            let bound = bind_unix(path, config.unix_mode);
            Ok(vec![bound.map_err(|what| {
                format!("cannot listen on {listen}: {what}")
            })?])
        }
    }
}

/// Whether an address of IPv6 cannot be bound because the system has no IPv6.
fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

/// Opens a TCP socket. `[::]` takes connections of both families, whatever the system's default (`bindv6only`), unless
/// the same port of `0.0.0.0` is another socket's.
fn bind_tcp(address: SocketAddr, is_shared: bool) -> io::Result<Bound> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // A server can listen where one has just ended.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, is_shared)?;
    }
    rustix::net::bind(&socket, &address)?;
    tune(&socket)?;
    rustix::net::listen(&socket, LISTEN_BACKLOG)?;
    let socket = net::TcpListener::from(socket);
    let at = Listen::Tcp(socket.local_addr()?);
    let socket = Socket::Tcp(TcpListener::from_std(socket));
    Ok(Bound {
        socket,
        at,
        file: None,
    })
}

/// Sets the options that accepted sockets inherit, which saves system calls per connection: small frames are sent at once,
/// the send buffer is limited, and a vanished peer is detected by missing acknowledgements even if it never sends.
fn tune(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
    sockopt::set_tcp_user_timeout(&socket, ACKNOWLEDGE_TIMEOUT.as_millis() as u32)?;
    Ok(())
}

/// Opens a unix socket, whose file never has more permissions than `mode`.
fn bind_unix(path: &Path, mode: u32) -> Result<Bound, String> {
    make_room(path)?;
    // Nothing else runs yet that could make files.
    let before = umask(Mode::from_raw_mode(0o777 & !mode));
    let bound = unix::UnixListener::bind(path);
    umask(before);
    let socket = bound.map_err(|error| match error.kind() {
        ErrorKind::NotFound => "its folder does not exist".into(),
        ErrorKind::PermissionDenied => "its folder does not let this user make files".into(),
        _ => error.to_string(),
    })?;
    let file = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    let file = SocketFile {
        path: path.into(),
        identity: (file.dev(), file.ino()),
    };
    socket
        .set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    let socket = Socket::Unix(UnixListener::from_std(socket));
    let at = Listen::Unix(path.into());
    Ok(Bound {
        socket,
        at,
        file: Some(file),
    })
}

/// Removes the file of a socket on which nobody listens any more.
fn make_room(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(
                "there is a file that is no socket; remove it, or choose another path".into(),
            );
        }
        Ok(_) => {}
    }
    match knock(path) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path)
            .map_err(|error| format!("its socket of an earlier server cannot be removed: {error}")),
        // With a full queue of connections somebody listens, too.
        Ok(()) | Err(Errno::AGAIN) => Err(
            "it is in use by another server; choose another path with --listen unix:PATH".into(),
        ),
        Err(error) => Err(error.to_string()),
    }
}

/// Connects without waiting.
fn knock(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Why an address cannot be listened on, and what helps.
fn sentence(listen: &Listen, error: &io::Error) -> String {
    let with = |port| listen.with_port(port).unwrap_or_default();
    let port = listen.port().unwrap_or_default();
    let why = match error.kind() {
        ErrorKind::AddrInUse => {
            let next = with(port.checked_add(1).unwrap_or(8000));
            let free = with(0);
            format!(
                "the port is in use by another program; choose another with --listen {next}, or {free} for any free one"
            )
        }
        ErrorKind::PermissionDenied => {
            let high = with(8000);
            format!(
                "ports below 1024 need a right (CAP_NET_BIND_SERVICE); choose a higher one, such as --listen {high}"
            )
        }
        ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    };
    format!("cannot listen on {listen}: {why}")
}
