//! The I/O of a server turn: the sockets, the clocks and the log.

use std::io::{ErrorKind, IoSlice, Read as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::log::Log;
use super::sockets::Sockets;
use crate::config::LogFormat;
use crate::conn::transmit::{Sent, Transmit};
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::server::io::{Io, Received};

/// The sockets, the clocks and the log, with counters.
#[derive(Debug)]
pub struct Outside {
    /// Every open socket.
    pub sockets: Sockets,
    log: Log,
    started: Instant,
    /// Bytes read from all sockets since the start.
    pub received_bytes: u64,
    /// Bytes written to all sockets since the start.
    pub sent_bytes: u64,
    /// Whether a socket was closed, which freed a descriptor, since this was last cleared.
    pub has_freed: bool,
    /// The last reading of the monotonic clock, since the start.
    last: Duration,
}

impl Outside {
    /// No sockets. The monotonic clock starts at zero now.
    pub fn new(format: LogFormat) -> Self {
        Self {
            sockets: Sockets::default(),
            log: Log::new(format),
            started: Instant::now(),
            received_bytes: 0,
            sent_bytes: 0,
            has_freed: false,
            last: Duration::ZERO,
        }
    }

    /// Reads both clocks.
    pub fn now(&mut self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            monotonic: self.monotonic(),
            unix,
        }
    }

    /// The last reading of the monotonic clock, which saves reading it again.
    pub fn last_monotonic(&self) -> Duration {
        self.last
    }

    fn count(&mut self, sent: Sent) -> Sent {
        if let Sent::Bytes(count) = sent {
            self.sent_bytes += count as u64;
        }
        sent
    }
}

impl Transmit for Outside {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        let sent = self.sockets.send(to, bytes);
        self.count(sent)
    }

    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let sent = self.sockets.send_vectored(to, slices);
        self.count(sent)
    }

    fn shutdown(&mut self, to: ConnectionId) {
        self.sockets.shutdown(to);
    }
}

impl Io for Outside {
    fn monotonic(&mut self) -> Duration {
        self.last = self.started.elapsed();
        self.last
    }

    fn receive(&mut self, from: ConnectionId, into: &mut [u8]) -> Received {
        let Some(stream) = self.sockets.stream(from) else {
            return Received::Gone;
        };
        match stream.read(into) {
            Ok(0) => Received::End,
            Ok(count) => {
                self.received_bytes += count as u64;
                Received::Bytes(count)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Received::Empty,
                ErrorKind::Interrupted => Received::Again,
                _ => Received::Gone,
            },
        }
    }

    fn close(&mut self, id: ConnectionId) {
        self.sockets.remove(id);
        self.has_freed = true;
    }

    fn log(&mut self, line: &str) {
        self.log.write(line);
    }
}
