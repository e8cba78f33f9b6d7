//! The listener: accepts connections, and refuses them when no descriptor is left.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::sockopt;
use zeroize::Zeroizing;

use crate::config::{ACCEPT_RETRY, ACKNOWLEDGE_TIMEOUT, REFUSED_READ_BYTES, SEND_BUFFER_BYTES};

/// The result of an accept.
pub enum Arrival {
    /// A new connection.
    Peer(TcpStream, SocketAddr),
    /// A connection accepted with the spare descriptor: it must be refused with [`refuse`] before the next accept.
    Surplus(TcpStream, SocketAddr),
    /// The accept was interrupted, or the connection aborted: the next accept may succeed.
    Aborted,
    /// There is no connection to accept now.
    Empty,
    /// The system cannot accept connections; accepting pauses for [`ACCEPT_RETRY`].
    Failed(io::Error),
}

/// The listening socket.
pub struct Listener {
    socket: TcpListener,
    /// A descriptor to close when none is left, so that connections can be accepted and refused instead of left
    /// waiting.
    spare: Option<OwnedFd>,
    /// Whether there may be connections to accept.
    pub is_ready: bool,
    /// When accepting resumes after a failure, since the server's start.
    pub paused_until: Option<Duration>,
}

impl Listener {
    /// Binds the listening socket.
    ///
    /// # Errors
    /// If the address is in use or not an address of this machine.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        // Accepted sockets inherit these options, which saves system calls per connection: small frames are sent at
        // once, the send buffer is limited, and a vanished peer is detected by missing acknowledgements even if it
        // never sends.
        sockopt::set_tcp_nodelay(&socket, true)?;
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
        sockopt::set_tcp_user_timeout(&socket, ACKNOWLEDGE_TIMEOUT.as_millis() as u32)?;
        Ok(Self {
            spare: spare(&socket),
            socket,
            is_ready: false,
            paused_until: None,
        })
    }

    /// Registers the socket with the poll, which then reports new connections.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// If the system does not report it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Resumes accepting when the pause is over.
    pub fn wake(&mut self, now: Duration) {
        if self.paused_until.is_some_and(|at| at <= now) {
            self.paused_until = None;
            self.is_ready = true;
        }
    }

    /// Restores the spare descriptor and resumes accepting, because a descriptor has become free.
    pub fn descriptor_freed(&mut self) {
        if self.spare.is_none() {
            self.spare = spare(&self.socket);
        }
        self.is_ready |= self.paused_until.take().is_some();
    }

    /// Accepts the next connection.
    pub fn accept(&mut self, now: Duration) -> Arrival {
        let error = match self.socket.accept() {
            Ok((stream, peer)) => return Arrival::Peer(stream, peer),
            Err(error) => error,
        };
        match error.kind() {
            // The peer aborted before the accept, or a signal interrupted it.
            ErrorKind::ConnectionAborted | ErrorKind::Interrupted => return Arrival::Aborted,
            ErrorKind::WouldBlock => {
                self.is_ready = false;
                return Arrival::Empty;
            }
            _ => {}
        }
        self.is_ready = false;
        // The system reports missing descriptors even when there is no connection to accept, so this may be the cause.
        let is_out_of_descriptors = matches!(
            Errno::from_io_error(&error),
            Some(Errno::MFILE | Errno::NFILE)
        );
        if is_out_of_descriptors && self.spare.take().is_some() {
            let second = self.socket.accept();
            if let Ok((stream, peer)) = second {
                self.is_ready = true;
                return Arrival::Surplus(stream, peer);
            }
            self.restore_spare();
            if second.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                return Arrival::Empty;
            }
        }
        self.paused_until = Some(now + ACCEPT_RETRY);
        Arrival::Failed(error)
    }

    /// Takes the spare descriptor again, after the connection accepted with it was refused.
    pub fn restore_spare(&mut self) {
        self.spare = spare(&self.socket);
    }
}

/// A duplicate of the socket, used as the spare descriptor.
fn spare(socket: &TcpListener) -> Option<OwnedFd> {
    fcntl_dupfd_cloexec(socket, 0).ok()
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
