//! The state of a connection that speaks WebSocket, and the rate limit of its messages.

use std::time::Duration;

use crate::config::{ECHO_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::domain::allowance;
use crate::wire::frame::FrameLimits;
use crate::wire::frame_reader::FrameReader;

/// One open WebSocket.
#[derive(Debug, Default)]
pub struct WebSocket {
    /// Reads its frames.
    pub reader: FrameReader,
    /// The messages it may still send now.
    pub allowance: Allowance,
    /// Its number among the WebSockets of this server, from 1; it distinguishes connections with the same index.
    pub generation: u32,
    /// Messages refused in a row because of the rate limit.
    pub refused: u8,
    /// A ping was sent and nothing has been received since.
    pub awaits_pong: bool,
    /// Whether it is on the echo route, not in the chat.
    pub is_echo: bool,
    /// Whether its last command waits for a reply, so that later frames are kept unread.
    pub is_parked: bool,
}

impl WebSocket {
    /// The limits for its messages.
    pub fn limits(&self) -> FrameLimits {
        FrameLimits {
            message_bytes: match self.is_echo {
                false => MESSAGE_BYTES_MAX,
                true => ECHO_MESSAGE_BYTES_MAX,
            },
            allows_rsv1: false,
        }
    }
}

/// The rate limit of a peer's messages: as many as it may send in a second, in a row or not.
#[derive(Debug, Default)]
pub struct Allowance {
    /// When it is whole again, in microseconds since the server's start: half as large as a [`Duration`].
    whole_at: u64,
}

impl Allowance {
    /// Takes one message; false if none is left. `per_second` messages are refilled in a second; 0 is no limit.
    pub fn take(&mut self, per_second: u32, now: Duration) -> bool {
        let Some(refill) = Duration::from_secs(1).checked_div(per_second) else {
            return true;
        };
        let whole_at = Duration::from_micros(self.whole_at);
        match allowance::take(whole_at, per_second, refill, now) {
            Ok(whole_at) => {
                self.whole_at = whole_at.as_micros() as u64;
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_is_one_second_of_messages_and_refills() {
        let mut allowance = Allowance::default();
        let second = Duration::from_secs(1);
        assert!((0..100).all(|_| allowance.take(100, second)));
        assert!(!allowance.take(100, second));
        assert!(!allowance.take(100, second));
        assert!(allowance.take(100, second + second / 100));
        assert!(!allowance.take(100, second + second / 100));
        assert!((0..1000).all(|_| allowance.take(0, second)));
    }
}
