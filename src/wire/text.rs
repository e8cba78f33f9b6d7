//! Text that arrives in pieces: its UTF-8 is validated as it arrives, each byte once.

use std::str;

/// The longest incomplete character, in bytes.
const BEGUN_BYTES_MAX: usize = 3;

/// The text received so far. A piece may end within a character.
#[derive(Debug, Default)]
pub struct Text {
    whole: String,
    /// The first bytes of an incomplete character at the end.
    begun: [u8; BEGUN_BYTES_MAX + 1],
    begun_len: usize,
}

/// The bytes are not UTF-8, whatever follows.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidText;

impl Text {
    /// Appends the next piece.
    ///
    /// # Errors
    /// If a byte is invalid at its place (RFC 3629 section 3).
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), InvalidText> {
        while self.begun_len > 0
            && let Some(byte) = piece.split_off_first()
        {
            self.push_to_begun(*byte)?;
        }
        let (characters, begun) = piece.split_at(begun_at(piece));
        let characters = str::from_utf8(characters).map_err(|_| InvalidText)?;
        self.whole.push_str(characters);
        begun.iter().try_for_each(|byte| self.push_to_begun(*byte))
    }

    fn push_to_begun(&mut self, byte: u8) -> Result<(), InvalidText> {
        self.begun[self.begun_len] = byte;
        self.begun_len += 1;
        match str::from_utf8(&self.begun[..self.begun_len]) {
            Ok(character) => {
                self.whole.push_str(character);
                self.begun_len = 0;
                Ok(())
            }
            Err(error) if error.error_len().is_none() => Ok(()),
            Err(_) => Err(InvalidText),
        }
    }

    /// The text, once all of it is received.
    ///
    /// # Errors
    /// If it ends within a character.
    pub fn finish(self) -> Result<String, InvalidText> {
        match self.begun_len {
            0 => Ok(self.whole),
            _ => Err(InvalidText),
        }
    }

    /// The length of the text received so far, in bytes.
    pub fn len(&self) -> usize {
        self.whole.len() + self.begun_len
    }

    /// Whether nothing is received yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory it takes, in bytes.
    pub fn capacity(&self) -> usize {
        self.whole.capacity()
    }
}

/// The start of the incomplete character at the end of `bytes`; their length if there is none.
fn begun_at(bytes: &[u8]) -> usize {
    let is_begun = |at: &usize| {
        str::from_utf8(&bytes[*at..])
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (bytes.len().saturating_sub(BEGUN_BYTES_MAX)..bytes.len())
        .find(is_begun)
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters of every length, and those at the bounds of the valid ranges.
    const VALID: &str =
        "aé한👋\0\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}z";

    #[test]
    fn text_may_come_in_any_pieces() {
        for size in 1..=VALID.len() {
            let mut text = Text::default();
            for (n, piece) in VALID.as_bytes().chunks(size).enumerate() {
                assert_eq!(text.push(piece), Ok(()), "pieces of {size}");
                assert_eq!(text.len(), n * size + piece.len());
            }
            assert_eq!(text.finish().as_deref(), Ok(VALID));
        }
    }

    #[test]
    fn the_first_impossible_byte_is_noticed_however_the_text_is_cut() {
        // The last byte of each is its first invalid one.
        let impossible: [&[u8]; 12] = [
            b"\x80",
            b"\xc0",
            b"\xc1",
            b"\xe0\x9f",
            b"\xed\xa0",
            b"\xf0\x8f",
            b"\xf4\x90",
            b"\xf5",
            b"\xff",
            b"\xed\x95a",
            b"\xf0\x9f\x91\xc3",
            b"\xc3\xa9\x80",
        ];
        for start in ["", "a", "한", "abcdefgh"] {
            for bad in impossible {
                let bytes = [start.as_bytes(), bad].concat();
                for size in 1..=bytes.len() {
                    let mut text = Text::default();
                    let mut pieces = bytes[..bytes.len() - 1].chunks(size);
                    assert!(pieces.all(|piece| text.push(piece).is_ok()), "{bytes:x?}");
                    let last = &bytes[bytes.len() - 1..];
                    assert_eq!(text.push(last), Err(InvalidText), "{bytes:x?}");
                    let whole = Text::default().push(&bytes);
                    assert_eq!(whole, Err(InvalidText), "{bytes:x?}");
                }
            }
        }
    }

    #[test]
    fn text_that_ends_within_a_character_is_not_whole() {
        for begun in [&b"\xc3"[..], b"\xed\x95", b"\xf0\x9f\x91"] {
            let mut text = Text::default();
            assert!(text.is_empty());
            assert_eq!(text.push(begun), Ok(()));
            assert!(!text.is_empty());
            assert_eq!(text.finish(), Err(InvalidText));
        }
    }
}
