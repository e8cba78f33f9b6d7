//! The listeners: accept connections, and refuse them when no descriptor is left.

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown};
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{SocketFlags, accept_with, sockopt};
use zeroize::Zeroizing;

use super::binding::Bound;
use super::unix_socket::SocketFile;
use crate::config::listen::{Listen, UNIX_PEER};
use crate::config::{ACCEPT_RETRY, ACKNOWLEDGE_TIMEOUT, REFUSED_READ_BYTES, SEND_BUFFER_BYTES};

/// The result of an accept.
pub enum Arrival {
    /// A new connection, and the address of its peer.
    Peer(TcpStream, IpAddr),
    /// A connection accepted with the spare descriptor: it must be refused with [`refuse`] before the next accept.
    Surplus(TcpStream, IpAddr),
    /// The accept was interrupted, or the connection aborted: the next accept may succeed.
    Aborted,
    /// There is no connection to accept now.
    Empty,
    /// The system cannot accept connections; accepting there pauses for [`ACCEPT_RETRY`].
    Failed(io::Error),
}

/// All listening sockets: one at least.
pub struct Listeners {
    all: Vec<Listener>,
    /// The one that accepted last.
    last: usize,
    /// A descriptor to close when none is left, so that connections can be accepted and refused instead of left
    /// waiting.
    spare: Option<OwnedFd>,
}

impl Listeners {
    /// Takes sockets that listen.
    ///
    /// # Errors
    /// If the system refuses an option of a socket.
    pub fn new(sockets: Vec<Bound>) -> io::Result<Self> {
        let all: Vec<_> = sockets
            .into_iter()
            .map(Listener::new)
            .collect::<io::Result<_>>()?;
        let mut listeners = Self {
            all,
            last: 0,
            spare: None,
        };
        listeners.restore_spare();
        Ok(listeners)
    }

    /// Registers the sockets with the poll, which then reports new connections with the tokens `first`, `first + 1` and so
    /// on.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn register(&mut self, registry: &Registry, first: usize) -> io::Result<()> {
        for (number, listener) in self.all.iter_mut().enumerate() {
            let token = Token(first + number);
            registry.register(&mut listener.socket, token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// The addresses they listen on: [`Listen::Tcp`] or [`Listen::Unix`].
    pub fn addresses(&self) -> impl Iterator<Item = &Listen> {
        self.all.iter().map(|listener| &listener.at)
    }

    /// The poll has reported connections for the listener with this number.
    pub fn set_ready(&mut self, number: usize) {
        if let Some(listener) = self.all.get_mut(number) {
            listener.is_ready = true;
        }
    }

    /// Whether there may be connections to accept.
    pub fn is_ready(&self) -> bool {
        self.all.iter().any(|listener| listener.is_ready)
    }

    /// When accepting resumes after a failure, since the server's start.
    pub fn paused_until(&self) -> Option<Duration> {
        let pauses = self.all.iter();
        pauses.filter_map(|listener| listener.paused_until).min()
    }

    /// Resumes accepting where a pause is over.
    pub fn wake(&mut self, now: Duration) {
        for listener in &mut self.all {
            if listener.paused_until.is_some_and(|at| at <= now) {
                listener.paused_until = None;
                listener.is_ready = true;
            }
        }
    }

    /// Restores the spare descriptor and resumes accepting, because a descriptor has become free.
    pub fn descriptor_freed(&mut self) {
        if self.spare.is_none() {
            self.restore_spare();
        }
        for listener in &mut self.all {
            listener.is_ready |= listener.paused_until.take().is_some();
        }
    }

    /// Takes the spare descriptor again, after the connection accepted with it was refused. It is a duplicate of a
    /// socket.
    pub fn restore_spare(&mut self) {
        let socket = self.all.first();
        self.spare = socket.and_then(|first| fcntl_dupfd_cloexec(&first.socket, 0).ok());
    }

    /// Accepts a connection of the next listener that may have one, after the one that was asked last: so each has its
    /// turn, however many connections another has. `None` if there is no such listener.
    pub fn accept(&mut self, now: Duration) -> Option<Arrival> {
        let count = self.all.len();
        let mut following = (1..=count).map(|step| (self.last + step) % count);
        self.last = following.find(|number| self.all[*number].is_ready)?;
        Some(self.accept_from(self.last, now))
    }

    fn accept_from(&mut self, number: usize, now: Duration) -> Arrival {
        let listener = &mut self.all[number];
        let error = match listener.accept() {
            Ok((stream, peer)) => return Arrival::Peer(stream, peer),
            Err(error) => error,
        };
        match error.kind() {
            // The peer aborted before the accept, or a signal interrupted it.
            ErrorKind::ConnectionAborted | ErrorKind::Interrupted => return Arrival::Aborted,
            ErrorKind::WouldBlock => {
                listener.is_ready = false;
                return Arrival::Empty;
            }
            _ => {}
        }
        listener.is_ready = false;
        // The system reports missing descriptors even when there is no connection to accept, so this may be the cause.
        let is_out_of_descriptors = matches!(
            Errno::from_io_error(&error),
            Some(Errno::MFILE | Errno::NFILE)
        );
        if is_out_of_descriptors && self.spare.take().is_some() {
            let second = listener.accept();
            if let Ok((stream, peer)) = second {
                listener.is_ready = true;
                return Arrival::Surplus(stream, peer);
            }
            self.restore_spare();
            if second.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                return Arrival::Empty;
            }
        }
        self.all[number].paused_until = Some(now + ACCEPT_RETRY);
        Arrival::Failed(error)
    }
}

impl fmt::Display for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, address) in self.addresses().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{address}")?;
        }
        Ok(())
    }
}

/// A listening socket.
struct Listener {
    // The first field: its file is compared with the one of the socket, whose inode must not be free by then.
    _file: Option<SocketFile>,
    /// Of TCP, or a unix socket: the same type serves for the poll.
    socket: TcpListener,
    at: Listen,
    /// Whether there may be connections to accept.
    is_ready: bool,
    /// When accepting resumes after a failure, since the server's start.
    paused_until: Option<Duration>,
}

impl Listener {
    fn new(bound: Bound) -> io::Result<Self> {
        let Bound { file, socket, at } = bound;
        if !at.is_unix() {
            // Accepted sockets inherit these options, which saves system calls per connection: small frames are sent at
            // once, the send buffer is limited, and a vanished peer is detected by missing acknowledgements even if it
            // never sends. Unix sockets need none of them: their buffers do not grow, and no peer vanishes.
            sockopt::set_tcp_nodelay(&socket, true)?;
            sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
            sockopt::set_tcp_user_timeout(&socket, ACKNOWLEDGE_TIMEOUT.as_millis() as u32)?;
        }
        Ok(Self {
            _file: file,
            socket: TcpListener::from_std(socket.into()),
            at,
            is_ready: false,
            paused_until: None,
        })
    }

    fn accept(&self) -> io::Result<(TcpStream, IpAddr)> {
        if self.at.is_unix() {
            // The address of a peer is not asked for: it is a path of its choice. The type of the socket is that of TCP,
            // so that the table of sockets stays small; what it is used for is the same for both.
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = accept_with(&self.socket, flags)?;
            return Ok((TcpStream::from_std(socket.into()), UNIX_PEER));
        }
        let (stream, peer) = self.socket.accept()?;
        Ok((stream, peer.ip().to_canonical()))
    }
}

/// Writes as much of the refusal as the socket takes, and closes the connection. `refusal` is made of the bytes already
/// received. They are read also because closing with unread bytes sends a reset, which can make the client lose the
/// refusal (RFC 9112 section 9.6); for the same reason what has come meanwhile is read after it.
pub fn refuse(mut stream: TcpStream, refusal: impl FnOnce(&[u8]) -> Vec<u8>) {
    // Errors do not matter: the peer may have closed the connection already.
    let mut scratch = Zeroizing::new([0; REFUSED_READ_BYTES]);
    let received = stream.read(&mut *scratch).unwrap_or_default();
    _ = stream.write(&refusal(&scratch[..received]));
    _ = stream.shutdown(Shutdown::Write);
    _ = stream.read(&mut *scratch);
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as Client;

    use super::*;
    use crate::shell::binding;

    #[test]
    fn a_listener_with_many_connections_does_not_delay_the_others() {
        let addresses = ["127.0.0.6:0", "127.0.0.7:0", "127.0.0.8:0"];
        let given = addresses.map(|text| Listen::parse(text).expect("an address"));
        let sockets = binding::open(&given, 0o600, Vec::new()).expect("free ports");
        let mut listeners = Listeners::new(sockets).expect("listeners");
        let bound: Vec<String> = listeners.addresses().map(ToString::to_string).collect();
        // The backlog of a socket on loopback has a connection as soon as its client does.
        let counts = [4, 1, 2];
        let clients: Vec<Client> = bound
            .iter()
            .zip(counts)
            .flat_map(|(at, count)| (0..count).map(move |_| Client::connect(at)))
            .collect::<io::Result<_>>()
            .expect("they listen");
        assert!(
            listeners.accept(Duration::ZERO).is_none(),
            "nothing reported"
        );
        (0..counts.len()).for_each(|number| listeners.set_ready(number));
        let mut order = Vec::new();
        while let Some(arrival) = listeners.accept(Duration::ZERO) {
            if let Arrival::Peer(stream, _) = arrival {
                let at = stream.local_addr().expect("its address").to_string();
                order.push(bound.iter().position(|one| *one == at));
            }
        }
        // Each in its turn, while it has some.
        let expected = [1, 2, 0, 2, 0, 0, 0].map(Some);
        assert_eq!(order, expected);
        assert!(!listeners.is_ready());
        drop(clients);
    }
}
