//! The outgoing connection to the engine that many nodes share: made, read and written in the loop, without blocking.

use std::io::{self, ErrorKind, Read as _, Write as _};

use mio::event::Event;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::config::{Config, ENGINE_READ_BYTES, Endpoint, Password};
use crate::domain::time::Now;
use crate::server::Server;
use crate::server::node::Dial;

/// Reads the password of the engine, and finds out the name of this host.
///
/// # Errors
/// A sentence: the file cannot be read.
pub fn prepare(config: &mut Config) -> Result<(), String> {
    if let Some(path) = &config.cluster_password_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("--cluster-password-file {}: {error}", path.display()))?;
        config.cluster_password = Password(text.trim_end_matches(['\r', '\n']).into());
    }
    if config.cluster.is_some() && config.cluster_node.is_none() {
        let host = rustix::system::uname();
        config.cluster_node = host.nodename().to_str().ok().map(Into::into);
    }
    Ok(())
}

/// A stream to the engine.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        Ok(match endpoint {
            Endpoint::Tcp(address) => Self::Tcp(TcpStream::connect(*address)?),
            Endpoint::Unix(path) => Self::Unix(UnixStream::connect(path)?),
        })
    }

    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => registry.register(stream, token, interest),
            Self::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Whether the connection stands; `Ok(false)` if it is still being made.
    fn is_connected(&self) -> io::Result<bool> {
        let (error, peer) = match self {
            Self::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
            Self::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
        };
        if let Some(error) = error {
            return Err(error);
        }
        match peer {
            Ok(()) => {
                if let Self::Tcp(stream) = self {
                    // A turn's requests are one write, which must not wait for an acknowledgement.
                    stream.set_nodelay(true)?;
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}

/// The connection to the engine.
#[derive(Debug)]
pub struct Dialer {
    token: Token,
    stream: Option<Stream>,
    is_connected: bool,
    is_readable: bool,
    is_writable: bool,
    /// Whether it has ended: reading goes on until that is read.
    is_closed: bool,
    buffer: Vec<u8>,
}

impl Dialer {
    /// No connection. Its events have this token.
    pub fn new(token: Token) -> Self {
        Self {
            token,
            stream: None,
            is_connected: false,
            is_readable: false,
            is_writable: false,
            is_closed: false,
            buffer: Vec::new(),
        }
    }

    /// An event of the connection. An end or an error is found by reading.
    pub fn ready(&mut self, event: &Event) {
        self.is_closed |= event.is_read_closed() || event.is_error();
        self.is_readable |= event.is_readable() || self.is_closed;
        self.is_writable |= event.is_writable();
    }

    /// Whether there is more to read.
    pub fn has_more(&self) -> bool {
        self.is_connected && self.is_readable
    }

    /// Reads what the engine has sent, [`ENGINE_READ_BYTES`] at most.
    pub fn receive(&mut self, server: &mut Server, now: Now) {
        if !self.is_connected && self.is_writable {
            self.finish_connecting(server, now);
        }
        if !self.has_more() || server.has_engine_news() {
            return;
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; ENGINE_READ_BYTES];
        }
        let Some(stream) = &mut self.stream else {
            return;
        };
        match stream.read(&mut self.buffer) {
            Ok(0) => self.lose("it has closed the connection", server, now),
            Ok(count) => {
                // A short read has emptied the socket (epoll(7)). The end may have come with these bytes, as one event.
                self.is_readable = self.is_closed || count == self.buffer.len();
                server.engine_received(&self.buffer[..count], now);
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => self.is_readable = false,
                ErrorKind::Interrupted => {}
                _ => self.lose(&error.to_string(), server, now),
            },
        }
    }

    fn finish_connecting(&mut self, server: &mut Server, now: Now) {
        let Some(stream) = &self.stream else {
            return;
        };
        match stream.is_connected() {
            Ok(true) => {
                self.is_connected = true;
                server.engine_connected(now);
            }
            Ok(false) => self.is_writable = false,
            Err(error) => self.lose(&error.to_string(), server, now),
        }
    }

    /// Writes what there is for the engine, in one write, and opens or closes the connection as the server wants.
    pub fn send(&mut self, server: &mut Server, registry: &Registry, now: Now) {
        while let Some(dial) = server.poll_dial() {
            self.close();
            if let Dial::Open(endpoint) = dial {
                let opened = Stream::connect(&endpoint).and_then(|mut stream| {
                    stream.register(registry, self.token)?;
                    Ok(stream)
                });
                match opened {
                    Ok(stream) => self.stream = Some(stream),
                    Err(error) => server.engine_lost(&error.to_string(), now),
                }
            }
        }
        let Some(stream) = self
            .stream
            .as_mut()
            .filter(|_| self.is_connected && self.is_writable)
        else {
            return;
        };
        let Some(out) = server.engine_output(now) else {
            return;
        };
        if out.is_empty() {
            return;
        }
        match stream.write(out) {
            Ok(count) => {
                self.is_writable = count == out.len();
                out.drain(..count);
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => self.is_writable = false,
                ErrorKind::Interrupted => {}
                _ => self.lose(&error.to_string(), server, now),
            },
        }
    }

    fn lose(&mut self, reason: &str, server: &mut Server, now: Now) {
        self.close();
        server.engine_lost(reason, now);
    }

    /// Dropping a stream closes it, and removes it from the poll.
    fn close(&mut self) {
        self.stream = None;
        self.is_connected = false;
        self.is_readable = false;
        self.is_writable = false;
        self.is_closed = false;
    }
}
