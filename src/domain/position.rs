//! A position in a room's history, from which clients resume.

use serde::Serialize;

/// The longest text of a position, in bytes: 16 digits, a colon, 20 digits.
pub const POSITION_BYTES_MAX: usize = 37;

/// A position in a room's history, `EPOCH:SEQ` on the wire (16 hexadecimal digits, a decimal number).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epoch of the room's history.
    pub epoch: u64,
    /// The number of messages up to and including this one; 0 before the first.
    pub seq: u64,
}

impl Position {
    /// Reads `EPOCH:SEQ`; `None` for anything that [`Position`]'s `Display` would not have written.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.split_once(':')?;
        let hexadecimal = epoch.len() == 16
            && epoch
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let decimal = !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit());
        let has_leading_zero = seq.len() > 1 && seq.starts_with('0');
        if !hexadecimal || !decimal || has_leading_zero {
            return None;
        }
        Some(Self {
            epoch: u64::from_str_radix(epoch, 16).ok()?,
            seq: seq.parse().ok()?,
        })
    }

    /// Writes its text into a buffer. Every message has a position, so this avoids the cost of `format!`.
    pub fn text(self, buffer: &mut [u8; POSITION_BYTES_MAX]) -> &str {
        let mut start = POSITION_BYTES_MAX;
        let mut push = |byte| {
            start -= 1;
            buffer[start] = byte;
        };
        let mut seq = self.seq;
        loop {
            push(b'0' + (seq % 10) as u8);
            seq /= 10;
            if seq == 0 {
                break;
            }
        }
        push(b':');
        for digit in 0..16 {
            push(b"0123456789abcdef"[(self.epoch >> (4 * digit) & 0xf) as usize]);
        }
        str::from_utf8(&buffer[start..]).expect("digits and a colon are ASCII")
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text(&mut [0; POSITION_BYTES_MAX]))
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; POSITION_BYTES_MAX]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_position_and_the_shortest_are_written() {
        for (epoch, seq, text) in [
            (0, 0, "0000000000000000:0"),
            (u64::MAX, u64::MAX, "ffffffffffffffff:18446744073709551615"),
            (0x0123_4567_89ab_cdef, 10, "0123456789abcdef:10"),
        ] {
            let position = Position { epoch, seq };
            assert_eq!(position.to_string(), text);
            assert_eq!(serde_json::to_value(position).expect("is written"), text);
            assert_eq!(Position::parse(text), Some(position));
        }
    }

    #[test]
    fn a_position_reads_back_as_written_and_nothing_else_is_read() {
        let position = Position {
            epoch: 0xab,
            seq: 12,
        };
        assert_eq!(position.to_string(), "00000000000000ab:12");
        assert_eq!(Position::parse("00000000000000ab:12"), Some(position));
        for bad in [
            "",
            ":",
            "ab:12",
            "00000000000000ab:",
            "00000000000000ab:+1",
            "+0000000000000ab:1",
            "x:1",
            "00000000000000ab:99999999999999999999",
            "00000000000000ab:1:2",
            "00000000000000AB:12",
            "00000000000000ab:012",
        ] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
    }
}
