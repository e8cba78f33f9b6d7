//! Deadlines of connections, lazily: moving one later costs nothing, because only then is the entry that stands looked
//! at when it strikes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::conn::Connection;
use crate::domain::ids::ConnectionId;

/// The unit of all deadlines; they strike up to one tick late, never early.
const TICKS_PER_SECOND: u32 = 10;

/// "Never".
pub const NEVER: u32 = u32::MAX;

/// A time since the server's start, in whole ticks that have passed.
pub fn ticks(time: Duration) -> u32 {
    let ticks = time.as_millis() * u128::from(TICKS_PER_SECOND) / 1000;
    u32::try_from(ticks).unwrap_or(NEVER - 1)
}

/// How long a peer may still be silent, of so much since it was last heard; `None` when that is over.
pub fn silence_left(connection: &Connection, limit: Duration, now: Duration) -> Option<Duration> {
    let silent = ticks(now).saturating_sub(connection.heard);
    (silent < ticks(limit)).then(|| limit - limit * silent / ticks(limit))
}

/// Who is to be looked at, by tick. A connection has one entry that counts: the one at its `queued`.
#[derive(Debug, Default)]
pub struct Deadlines {
    entries: BTreeMap<u32, Vec<ConnectionId>>,
}

impl Deadlines {
    /// Sets a connection's deadline; only an earlier one than before needs a new entry.
    pub fn set(&mut self, id: ConnectionId, connection: &mut Connection, at: Duration) {
        connection.due = ticks(at) + 1;
        if connection.due < connection.queued {
            connection.queued = connection.due;
            self.entries.entry(connection.due).or_default().push(id);
        }
    }

    /// When the next entry strikes, since the server's start.
    pub fn next(&self) -> Option<Duration> {
        let (tick, _) = self.entries.first_key_value()?;
        Some(Duration::from_secs(1) / TICKS_PER_SECOND * *tick)
    }

    /// The entries that strike by now, one tick's worth.
    pub fn pop(&mut self, now: Duration) -> Option<(u32, Vec<ConnectionId>)> {
        let entry = self.entries.first_entry()?;
        (*entry.key() <= ticks(now)).then(|| entry.remove_entry())
    }

    /// Whether the entry of this tick counts and the connection's deadline has come; one that was moved is put where it
    /// belongs.
    pub fn strikes(&mut self, id: ConnectionId, connection: &mut Connection, tick: u32) -> bool {
        if connection.queued != tick {
            return false;
        }
        connection.queued = NEVER;
        if connection.due == NEVER {
            return false;
        }
        if connection.due > tick {
            connection.queued = connection.due;
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
            let (tick, ids) = deadlines.pop(at)?;
            if ids
                .iter()
                .any(|id| deadlines.strikes(*id, connection, tick))
            {
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
