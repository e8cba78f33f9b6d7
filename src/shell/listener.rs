//! The listening sockets: they accept connections, and refuse them when no descriptor is left.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use zeroize::Zeroizing;

use super::bind::{Bound, Socket};
use crate::config::listen::{Listen, UNIX_PEER};
use crate::config::{ACCEPT_RETRY, REFUSED_READ_BYTES};

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
    /// The system cannot accept connections; accepting pauses for [`ACCEPT_RETRY`].
    Failed(io::Error),
}

/// Every listening socket. They take turns.
pub struct Listeners {
    all: Vec<Listener>,
    /// The one whose turn it was.
    last: usize,
    /// A descriptor to close when none is left, so that connections can be accepted and refused instead of left
    /// waiting.
    spare: Option<OwnedFd>,
    /// When accepting resumes after a failure, since the server's start.
    paused_until: Option<Duration>,
}

struct Listener {
    bound: Bound,
    /// Whether there may be connections to accept.
    is_ready: bool,
}

impl Listeners {
    /// Accepts on these sockets.
    pub fn new(bound: Vec<Bound>) -> Self {
        let all = bound.into_iter().map(|bound| Listener {
            bound,
            is_ready: false,
        });
        let mut listeners = Self {
            all: all.collect(),
            last: 0,
            spare: None,
            paused_until: None,
        };
        listeners.restore_spare();
        listeners
    }

    /// Registers the sockets with the poll, which then reports new connections. `token` is that of each, by its place.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn register(
        &mut self,
        registry: &Registry,
        token: impl Fn(usize) -> Token,
    ) -> io::Result<()> {
        for (place, listener) in self.all.iter_mut().enumerate() {
            match &mut listener.bound.socket {
                Socket::Tcp(socket) => {
                    registry.register(socket, token(place), Interest::READABLE)?;
                }
                Socket::Unix(socket) => {
                    registry.register(socket, token(place), Interest::READABLE)?;
                }
            }
        }
        Ok(())
    }

    /// Where they listen.
    pub fn addresses(&self) -> impl Iterator<Item = &Listen> {
        self.all.iter().map(|listener| &listener.bound.at)
    }

    /// The poll has reported connections at the socket in this place.
    pub fn connections_wait(&mut self, place: usize) {
        if let Some(listener) = self.all.get_mut(place) {
            listener.is_ready = true;
        }
    }

    /// Whether there may be connections that can be accepted now.
    pub fn are_ready(&self) -> bool {
        self.paused_until.is_none() && self.all.iter().any(|listener| listener.is_ready)
    }

    /// When accepting resumes after a failure, since the server's start.
    pub fn paused_until(&self) -> Option<Duration> {
        self.paused_until
    }

    /// Resumes accepting when the pause is over.
    pub fn wake(&mut self, now: Duration) {
        self.paused_until = self.paused_until.filter(|at| *at > now);
    }

    /// Restores the spare descriptor and resumes accepting, because a descriptor has become free.
    pub fn descriptor_freed(&mut self) {
        if self.spare.is_none() {
            self.restore_spare();
        }
        self.paused_until = None;
    }

    /// Accepts the next connection, of each socket in turn.
    pub fn accept(&mut self, now: Duration) -> Arrival {
        for _ in 0..self.all.len() {
            self.last = (self.last + 1) % self.all.len();
            let listener = &mut self.all[self.last];
            if !listener.is_ready {
                continue;
            }
            let error = match listener.accept() {
                Ok((stream, peer)) => return Arrival::Peer(stream, peer),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::WouldBlock => listener.is_ready = false,
                // The peer aborted before the accept, or a signal interrupted it.
                ErrorKind::ConnectionAborted | ErrorKind::Interrupted => return Arrival::Aborted,
                _ => return self.accept_with_spare(error, now),
            }
        }
        Arrival::Empty
    }

    /// After an accept has failed, tries again with the spare descriptor if none else is left.
    fn accept_with_spare(&mut self, error: io::Error, now: Duration) -> Arrival {
        // The system reports missing descriptors even when there is no connection to accept, so this may be the cause.
        let is_out_of_descriptors = matches!(
            Errno::from_io_error(&error),
            Some(Errno::MFILE | Errno::NFILE)
        );
        if is_out_of_descriptors && self.spare.take().is_some() {
            let listener = &mut self.all[self.last];
            let second = listener.accept();
            if let Ok((stream, peer)) = second {
                return Arrival::Surplus(stream, peer);
            }
            let is_empty = second.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            if is_empty {
                listener.is_ready = false;
            }
            self.restore_spare();
            if is_empty {
                return Arrival::Aborted;
            }
        }
        self.paused_until = Some(now + ACCEPT_RETRY);
        Arrival::Failed(error)
    }

    /// Takes the spare descriptor again, after the connection accepted with it was refused.
    pub fn restore_spare(&mut self) {
        // A duplicate of any descriptor will do.
        let first = self.all.first();
        self.spare = first.and_then(|listener| fcntl_dupfd_cloexec(listener.socket(), 0).ok());
    }
}

impl Listener {
    fn socket(&self) -> BorrowedFd<'_> {
        match &self.bound.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }

    fn accept(&self) -> io::Result<(TcpStream, IpAddr)> {
        match &self.bound.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                Ok((stream, peer.ip()))
            }
            // What is done with a connection (read, write, shut down, close) is the same system calls for both kinds of
            // sockets. As one type they take 4 bytes each in the table.
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                Ok((TcpStream::from(OwnedFd::from(stream)), UNIX_PEER))
            }
        }
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
