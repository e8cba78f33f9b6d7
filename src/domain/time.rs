//! Time as an argument: the clocks the shell reads, and how a time is written.

use std::time::Duration;

use serde::Serialize;

/// The two clocks, read once a turn by the shell and passed down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since the server's start; never goes back. For deadlines and rates.
    pub monotonic: Duration,
    /// Since 1970-01-01T00:00:00Z; may jump. For timestamps only.
    pub unix: Duration,
}

/// A point of wall-clock time in whole seconds, written as RFC 3339 UTC ending in `Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The last second a four-digit year can name, 9999-12-31T23:59:59Z; a clock beyond it is shown as this.
    const LAST: u64 = 253_402_300_799;

    /// So many seconds after 1970-01-01T00:00:00Z.
    pub fn from_secs(secs: u64) -> Self {
        Self(secs.min(Self::LAST))
    }
}

impl From<Now> for Timestamp {
    fn from(now: Now) -> Self {
        Self::from_secs(now.unix.as_secs())
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = std::time::UNIX_EPOCH + Duration::from_secs(self.0);
        humantime::format_rfc3339_seconds(time).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_rfc_3339_and_stops_at_the_last_year() {
        let written = |unix| {
            let now = Now {
                monotonic: Duration::ZERO,
                unix,
            };
            serde_json::to_string(&Timestamp::from(now)).expect("is written")
        };
        let half = Duration::from_millis(1_705_314_600_999);
        assert_eq!(written(half), "\"2024-01-15T10:30:00Z\"");
        assert_eq!(written(Duration::ZERO), "\"1970-01-01T00:00:00Z\"");
        assert_eq!(written(Duration::MAX), "\"9999-12-31T23:59:59Z\"");
    }
}
