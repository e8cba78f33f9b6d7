//! The listener: who comes in, and who is refused because no descriptor is left.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::sockopt;
use zeroize::Zeroize as _;

use crate::config::{ACCEPT_RETRY, ACKNOWLEDGE_TIMEOUT, SEND_BUFFER_BYTES};

/// Who came, or why nobody did.
pub enum Arrival {
    /// A peer.
    Peer(TcpStream, SocketAddr),
    /// A peer for whom there is no descriptor: it can only be refused, with [`refuse`], before the next is asked for.
    Surplus(TcpStream, SocketAddr),
    /// This one did not come in, but others may.
    Nobody,
    /// There are no more for now.
    Empty,
    /// The system cannot let anybody in; accepting rests for a while.
    Failed(io::Error),
}

/// The listening socket.
pub struct Listener {
    socket: TcpListener,
    /// A descriptor to give up when none is left, so that peers can be told so instead of being left to wait.
    spare: Option<OwnedFd>,
    /// Whether there may be more to accept.
    pub is_ready: bool,
    /// Until when accepting rests, because not even the spare descriptor helped.
    pub again_at: Option<Duration>,
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken, or is not ours.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        // Accepted sockets inherit these, at no call per connection. Small frames leave at once; the system keeps little of
        // what is not taken; and a peer that vanished without a word is noticed by what it does not acknowledge, also
        // where nothing is awaited from it.
        sockopt::set_tcp_nodelay(&socket, true)?;
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
        sockopt::set_tcp_user_timeout(&socket, ACKNOWLEDGE_TIMEOUT.as_millis() as u32)?;
        Ok(Self {
            spare: spare(&socket),
            socket,
            is_ready: false,
            again_at: None,
        })
    }

    /// Has the loop woken when somebody comes.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts again when the rest is over.
    pub fn wake(&mut self, now: Duration) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.is_ready = true;
        }
    }

    /// A descriptor has become free.
    pub fn descriptor_freed(&mut self) {
        if self.spare.is_none() {
            self.spare = spare(&self.socket);
        }
        self.is_ready |= self.again_at.take().is_some();
    }

    /// The next peer.
    pub fn accept(&mut self, now: Duration) -> Arrival {
        let error = match self.socket.accept() {
            Ok((stream, peer)) => return Arrival::Peer(stream, peer),
            Err(error) => error,
        };
        match error.kind() {
            // The peer left before it was accepted, or a signal came.
            ErrorKind::ConnectionAborted | ErrorKind::Interrupted => return Arrival::Nobody,
            ErrorKind::WouldBlock => {
                self.is_ready = false;
                return Arrival::Empty;
            }
            _ => {}
        }
        self.is_ready = false;
        // A descriptor is asked for before it is known whether anybody has come.
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
        self.again_at = Some(now + ACCEPT_RETRY);
        Arrival::Failed(error)
    }

    /// Takes back the descriptor that was given up for a peer who is refused by now.
    pub fn restore_spare(&mut self) {
        self.spare = spare(&self.socket);
    }
}

/// Any descriptor will do.
fn spare(socket: &TcpListener) -> Option<OwnedFd> {
    fcntl_dupfd_cloexec(socket, 0).ok()
}

/// Tells a peer that it cannot come in, as much as its socket takes at once, and closes. What it has sent already is
/// read: unread, it would have the system send a reset, which can overtake the refusal.
pub fn refuse(mut stream: TcpStream, refusal: &[u8], scratch: &mut [u8]) {
    // The peer may be gone already; then there is nobody to tell.
    _ = stream.write(refusal);
    _ = stream.shutdown(Shutdown::Write);
    if let Ok(count) = stream.read(scratch) {
        scratch[..count].zeroize();
    }
}
