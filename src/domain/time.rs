//! Time as an argument: the two clocks the shell reads, and the text of timestamps.

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

impl Now {
    /// The time at a later reading of the monotonic clock; the wall clock advances by the same amount.
    #[must_use]
    pub fn later(self, monotonic: Duration) -> Self {
        let passed = monotonic.saturating_sub(self.monotonic);
        Self {
            monotonic: self.monotonic + passed,
            unix: self.unix.saturating_add(passed),
        }
    }
}

/// A point of wall-clock time in milliseconds since 1970, written as RFC 3339 UTC: `2024-01-15T10:30:00.250Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// The length of its text, in bytes.
    const BYTES: usize = TIMESTAMP_BYTES + 4;

    /// Reads the text of one, exactly as it is written.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = text.as_bytes().try_into().ok()?;
        let number = |range: std::ops::Range<usize>| {
            let digits = bytes[range].iter();
            let mut digits =
                digits.map(|digit| digit.is_ascii_digit().then(|| u64::from(digit - b'0')));
            digits.try_fold(0, |number, digit| Some(number * 10 + digit?))
        };
        let days = days([number(0..4)?, number(5..7)?, number(8..10)?])?;
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let secs = ((days * 24 + hour) * 60 + minute) * 60 + second;
        let instant = Self(secs * 1_000 + number(20..23)?);
        (instant.to_string() == text).then_some(instant)
    }
}

impl From<Now> for Instant {
    fn from(now: Now) -> Self {
        let milliseconds = u64::try_from(now.unix.as_millis()).unwrap_or(u64::MAX);
        Self(milliseconds.min(Timestamp::LAST * 1_000 + 999))
    }
}

impl std::fmt::Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let second = Timestamp::from_secs(self.0 / 1_000);
        let mut buffer = [0; TIMESTAMP_BYTES];
        let text = second.text(&mut buffer).trim_end_matches('Z');
        write!(f, "{text}.{:03}Z", self.0 % 1_000)
    }
}

/// The length of a timestamp's text, in bytes.
pub const TIMESTAMP_BYTES: usize = 20;

/// A point of wall-clock time in whole seconds, written as RFC 3339 UTC ending in `Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The last second with a four-digit year, 9999-12-31T23:59:59Z; a later time is shown as this.
    const LAST: u64 = 253_402_300_799;

    /// This many seconds after 1970-01-01T00:00:00Z.
    pub fn from_secs(secs: u64) -> Self {
        Self(secs.min(Self::LAST))
    }

    /// Writes its text into a buffer. Every message has a timestamp, so this avoids the cost of `format!`.
    pub fn text(self, buffer: &mut [u8; TIMESTAMP_BYTES]) -> &str {
        *buffer = *b"0000-00-00T00:00:00Z";
        let [year, month, day] = date(self.0 / 86_400);
        let (hour, minute, second) = (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        for (mut number, digits) in [
            (year, 0..4),
            (month, 5..7),
            (day, 8..10),
            (hour, 11..13),
            (minute, 14..16),
            (second, 17..19),
        ] {
            for digit in buffer[digits].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        str::from_utf8(buffer).expect("digits and signs are ASCII")
    }
}

/// The year, month and day of this many days after 1970-01-01 in the Gregorian calendar. Years are counted from March,
/// so that the leap day is the last day of its year and of the cycle of 400 years.
fn date(days: u64) -> [u64; 3] {
    // Days since 0000-03-01.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let year = 400 * cycle + year + u64::from(is_next_year);
    [year, if is_next_year { month - 9 } else { month + 3 }, day]
}

/// The days from 1970-01-01 to a date in the Gregorian calendar, counted as [`date`] does; `None` before 1970 and for a month
/// that is none. A day that its month does not have is one of the next month.
fn days([year, month, day]: [u64; 3]) -> Option<u64> {
    let year = if month > 2 {
        year
    } else {
        year.checked_sub(1)?
    };
    let month = if month > 2 {
        month - 3
    } else {
        month.checked_add(9)?
    };
    let of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    let (cycle, year) = (year / 400, year % 400);
    let of_cycle = year * 365 + year / 4 - year / 100 + of_year;
    (cycle * 146_097 + of_cycle).checked_sub(719_468)
}

impl From<Now> for Timestamp {
    fn from(now: Now) -> Self {
        Self::from_secs(now.unix.as_secs())
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text(&mut [0; TIMESTAMP_BYTES]))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; TIMESTAMP_BYTES]))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn every_day_up_to_the_last_year_is_written_as_others_read_it() {
        let days = Timestamp::LAST / 86_400;
        for day in 0..=days {
            // A different time on each day.
            let secs = day * 86_400 + day * 7_919 % 86_400;
            let text = Timestamp(secs).to_string();
            let read = humantime::parse_rfc3339(&text).expect("is RFC 3339");
            assert_eq!(read, UNIX_EPOCH + Duration::from_secs(secs), "{text}");
        }
    }

    #[test]
    fn a_time_in_milliseconds_is_written_as_others_read_it_and_read_again() {
        for day in 0..=Timestamp::LAST / 86_400 {
            let instant = Instant(day * 86_400_000 + day * 7_919_317 % 86_400_000);
            let text = instant.to_string();
            let read = humantime::parse_rfc3339(&text).expect("is RFC 3339");
            assert_eq!(
                read,
                UNIX_EPOCH + Duration::from_millis(instant.0),
                "{text}"
            );
            assert_eq!(Instant::parse(&text), Some(instant), "{text}");
        }
        let last = Now {
            unix: Duration::MAX,
            ..Now::default()
        };
        let last = Instant::from(last);
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Instant::parse("9999-12-31T23:59:59.999Z"), Some(last));
    }

    #[test]
    fn what_is_not_written_exactly_as_a_time_is_none() {
        for text in [
            "",
            "2024-01-15T10:30:00Z",
            "2024-01-15T10:30:00.25Z",
            "2024-01-15T10:30:00.250z",
            "2024-01-15 10:30:00.250Z",
            "2024-00-15T10:30:00.250Z",
            "2024-13-15T10:30:00.250Z",
            "2024-99-99T99:99:99.999Z",
            "2023-02-29T10:30:00.250Z",
            "2024-01-00T10:30:00.250Z",
            "2024-01-15T24:00:00.250Z",
            "2024-01-15T10:60:00.250Z",
            "0000-01-01T00:00:00.000Z",
            "1969-12-31T23:59:59.999Z",
            "2024-01-15T10:30:00.2a0Z",
            "2024-01-15T10:30:0가.0Z",
        ] {
            assert_eq!(Instant::parse(text), None, "{text}");
        }
    }

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
