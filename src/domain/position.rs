//! A place in a room's history, as clients resume from it.

use serde::Serialize;

/// A place in a room's history, `EPOCH:SEQ` on the wire (16 hexadecimal digits, a decimal number).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which past of the room.
    pub epoch: u64,
    /// The number of messages up to and with this one; 0 before the first.
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
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}:{}", self.epoch, self.seq)
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
