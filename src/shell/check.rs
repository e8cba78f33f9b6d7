//! `sarang check`: asks the server of a configuration whether it is ready, as a client on the same machine.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

use super::unix_socket::connect_at_once;
use crate::config::listen::Listen;
use crate::config::{CHECK_ANSWER_BYTES_MAX, CHECK_TIMEOUT, Config};

/// What goes before the request where the server awaits a PROXY protocol header: a connection that is no client's
/// (version 1, section 2.1).
const PROXY_HEADER: &[u8] = b"PROXY UNKNOWN\r\n";

/// Asks `GET /readyz` on the first address of the configuration.
///
/// # Errors
/// A sentence: nobody answers within [`CHECK_TIMEOUT`], the answer is not that of a ready server, or none of ours.
pub fn run(config: &Config) -> Result<(), String> {
    let until = Instant::now() + CHECK_TIMEOUT;
    let listen = &config.listen.first().cloned().unwrap_or_default();
    let answer = match listen {
        Listen::Tcp(address) => ask_over_tcp(config, *address, until),
        Listen::Everywhere(port) => {
            ask_over_tcp(config, (Ipv6Addr::UNSPECIFIED, *port).into(), until)
        }
        Listen::Localhost(port) => ask_over_tcp(config, (Ipv4Addr::LOCALHOST, *port).into(), until),
        Listen::Unix(path) => {
            connect_unix(path).and_then(|stream| ask(stream, config, true, until))
        }
    };
    let answer = answer.map_err(|error| unanswered(listen, &error))?;
    judge(listen, &answer)
}

/// A sentence about a server that does not answer.
fn unanswered(listen: &Listen, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            let limit = CHECK_TIMEOUT.as_secs();
            format!("no answer from {listen} within {limit} seconds")
        }
        _ => format!("no answer from {listen}: {error}"),
    }
}

/// A sentence about an answer that is not `200` with `ready`.
fn judge(listen: &Listen, answer: &[u8]) -> Result<(), String> {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    match (status, body.trim_end()) {
        (Some("200"), "ready") => Ok(()),
        (Some("503"), "draining") => Err(format!("the server on {listen} is draining")),
        (Some("503"), _) => Err(format!(
            "the server on {listen} is not ready: it answers 503"
        )),
        (Some("421"), _) => Err(format!(
            "the server on {listen} answers for other hosts; sarang check needs its --host"
        )),
        _ => Err(format!("what answers on {listen} is not sarang")),
    }
}

/// The addresses by which a server that listens on an address is reached from its own machine, best first. One that
/// listens on `[::]` may have no IPv6.
fn reached_by(address: SocketAddr) -> Vec<SocketAddr> {
    let port = address.port();
    let loopback = |ip: IpAddr| SocketAddr::new(ip, port);
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![loopback(Ipv4Addr::LOCALHOST.into())],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![
            loopback(Ipv6Addr::LOCALHOST.into()),
            loopback(Ipv4Addr::LOCALHOST.into()),
        ],
        _ => vec![address],
    }
}

fn ask_over_tcp(config: &Config, address: SocketAddr, until: Instant) -> io::Result<Vec<u8>> {
    let mut failed = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in reached_by(address) {
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(stream) => {
                // The server sees us under the address of our end.
                let is_proxy = config.trusts(stream.local_addr()?.ip());
                return ask(stream, config, is_proxy, until);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Connects to a unix socket. Unlike that of the standard library it does not wait for a server that accepts nothing.
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let socket = connect_at_once(&SocketAddrUnix::new(path)?).map_err(|error| match error {
        Errno::AGAIN => io::Error::other("it accepts no connections"),
        error => error.into(),
    })?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// The time left, which is never zero.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// A stream whose reads and writes can be limited in time.
trait Stream: Read + Write {
    fn set_time_limit(&self, limit: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn set_time_limit(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

impl Stream for UnixStream {
    fn set_time_limit(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

/// Sends the request, and reads the answer up to its end, [`CHECK_ANSWER_BYTES_MAX`] at most.
fn ask(
    mut stream: impl Stream,
    config: &Config,
    is_proxy: bool,
    until: Instant,
) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    if config.proxy_protocol && is_proxy {
        request.extend_from_slice(PROXY_HEADER);
    }
    write!(
        request,
        "GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        host(config)
    )?;
    stream.set_time_limit(left(until)?)?;
    stream.write_all(&request)?;
    let mut answer = vec![0; CHECK_ANSWER_BYTES_MAX];
    let mut filled = 0;
    while filled < answer.len() {
        stream.set_time_limit(left(until)?)?;
        match stream.read(&mut answer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    answer.truncate(filled);
    Ok(answer)
}

/// A host the server answers for. It answers for `localhost` where none is configured.
fn host(config: &Config) -> String {
    match config.hosts.first() {
        Some(host) if host.contains(':') => format!("[{host}]"),
        Some(host) => host.clone(),
        None => "localhost".into(),
    }
}
