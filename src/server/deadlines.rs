//! Lazy deadlines of connections: moving one later costs nothing, because its entry is checked, and moved, only when it
//! strikes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::conn::Connection;
use crate::domain::ids::ConnectionId;

/// The resolution of deadlines; they strike up to one tick late, never early.
const TICKS_PER_SECOND: u32 = 10;

/// No deadline.
pub const NEVER: u32 = u32::MAX;

/// Converts time since the server's start to ticks, rounded down.
pub fn ticks(time: Duration) -> u32 {
    let ticks = time.as_millis() * u128::from(TICKS_PER_SECOND) / 1000;
    u32::try_from(ticks).unwrap_or(NEVER - 1)
}

/// How long the peer may still be silent, if it may be for `limit` since it was last heard; `None` when that has
/// passed.
pub fn silence_left(connection: &Connection, limit: Duration, now: Duration) -> Option<Duration> {
    let silent = ticks(now).saturating_sub(connection.heard);
    (silent < ticks(limit)).then(|| limit - limit * silent / ticks(limit))
}

/// Connections to check, by tick. Of a connection's entries only the one at its `checked_at` is valid.
#[derive(Debug, Default)]
pub struct Deadlines {
    entries: BTreeMap<u32, Vec<ConnectionId>>,
}

impl Deadlines {
    /// Sets a connection's deadline; only an earlier one than before adds an entry.
    pub fn set(&mut self, id: ConnectionId, connection: &mut Connection, at: Duration) {
        connection.due = ticks(at) + 1;
        if connection.due < connection.checked_at {
            connection.checked_at = connection.due;
            self.entries.entry(connection.due).or_default().push(id);
        }
    }

    /// When the next entry strikes, as time since the server's start.
    pub fn next(&self) -> Option<Duration> {
        let (tick, _) = self.entries.first_key_value()?;
        Some(Duration::from_secs(1) / TICKS_PER_SECOND * *tick)
    }

    /// Removes an entry that strikes by now; returns its tick and its connection.
    pub fn pop(&mut self, now: Duration) -> Option<(u32, ConnectionId)> {
        let mut entry = self.entries.first_entry()?;
        let tick = *entry.key();
        if tick > ticks(now) {
            return None;
        }
        let id = entry.get_mut().pop()?;
        if entry.get().is_empty() {
            entry.remove();
        }
        Some((tick, id))
    }

    /// Whether the entry of this tick is valid and the connection's deadline has passed. A deadline that was moved
    /// later gets a new entry.
    pub fn strikes(&mut self, id: ConnectionId, connection: &mut Connection, tick: u32) -> bool {
        if connection.checked_at != tick {
            return false;
        }
        connection.checked_at = NEVER;
        if connection.due == NEVER {
            return false;
        }
        if connection.due > tick {
            connection.checked_at = connection.due;
            self.entries.entry(connection.due).or_default().push(id);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::http::Http;

    const ID: ConnectionId = ConnectionId(0);

    fn strikes_at(deadlines: &mut Deadlines, connection: &mut Connection) -> Option<Duration> {
        while let Some(at) = deadlines.next() {
            let (tick, id) = deadlines.pop(at)?;
            if deadlines.strikes(id, connection, tick) {
                return Some(at);
            }
        }
        None
    }

    #[test]
    fn a_deadline_strikes_once_within_a_tick_and_never_early() {
        let (mut deadlines, mut connection) =
            (Deadlines::default(), Connection::new(Http::default()));
        let at = Duration::from_millis(1_250);
        deadlines.set(ID, &mut connection, at);
        let struck = strikes_at(&mut deadlines, &mut connection).expect("strikes");
        assert!(
            struck >= at && struck <= at + Duration::from_millis(100),
            "{struck:?}"
        );
        assert_eq!(strikes_at(&mut deadlines, &mut connection), None);
    }

    #[test]
    fn a_deadline_moved_later_or_earlier_strikes_at_its_last_time_only() {
        let (mut deadlines, mut connection) =
            (Deadlines::default(), Connection::new(Http::default()));
        for seconds in [5, 9, 3, 7] {
            deadlines.set(ID, &mut connection, Duration::from_secs(seconds));
        }
        let struck = strikes_at(&mut deadlines, &mut connection).expect("strikes");
        assert_eq!(struck.as_secs(), 7);
        assert_eq!(strikes_at(&mut deadlines, &mut connection), None);
    }
}
