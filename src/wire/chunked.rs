//! Bodies in chunked transfer coding (RFC 9112 section 7.1), decoded while they arrive.
//!
//! Each byte is judged once, however many pieces the body arrives in, and only the data is kept. Chunk extensions and
//! trailer fields are ignored, but checked against their grammar: a malformed body, which another server on the way may
//! read in another way, is refused, never repaired (request smuggling, RFC 9112 section 11.2).

use super::head::is_token_byte;
use super::secret_bytes::SecretBytes;
use crate::config::{
    CHUNK_EXTENSIONS_BYTES_MAX, CHUNK_LINE_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, TRAILER_BYTES_MAX,
    TRAILER_FIELDS_MAX,
};

/// Why a body is refused. The start of the next request is unknown then, so the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedError {
    /// 400, with the reason in English.
    Malformed(&'static str),
    /// 413: the chunks announce more data than the body may have.
    ContentTooLarge,
    /// 431: more than [`TRAILER_BYTES_MAX`] bytes or [`TRAILER_FIELDS_MAX`] fields behind the last chunk.
    TrailersTooLarge,
}

/// The state of the decoder of one body.
#[derive(Debug)]
pub struct Decoder {
    /// The most data the body may have, in bytes.
    body_bytes_max: usize,
    /// What the next byte belongs to.
    part: Part,
    /// The size of the current chunk as far as it is known, then how much of its data is still to come, in bytes.
    chunk: u64,
    /// The length of the current size line, in bytes.
    line: usize,
    /// The length of all chunk extensions, or of the trailer section once it has begun, in bytes.
    ignored: usize,
    /// The number of trailer fields.
    trailers: usize,
}

/// The states of the decoder: the part of the body to which the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The size of a chunk, of which so many digits have come.
    Size(u8),
    /// The rest of the size line.
    Extension(Extension),
    Data,
    /// The carriage return behind the data.
    DataReturn,
    DataLineFeed,
    Trailer(Trailer),
}

/// The whole body has come.
const END: Part = Part::Trailer(Trailer::Ended);

/// The states in the extensions of a chunk (RFC 9112 section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// What follows the size or an extension: another extension or the end of the line.
    Ended,
    /// White space, behind which there must be another extension.
    BeforeNext,
    /// The first byte of a name, or white space before it.
    NameStart,
    Name,
    /// White space behind a name.
    AfterName,
    /// The first byte of a value, or white space before it.
    ValueStart,
    Value,
    Quoted,
    /// The byte behind a backslash.
    Escaped,
    /// The line feed of the size line.
    LineFeed,
}

/// The states in the trailer section (RFC 9112 section 7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trailer {
    /// The first byte of a field, or the carriage return of the empty line behind all fields.
    Start,
    Name,
    Value,
    LineFeed,
    LastLineFeed,
    Ended,
}

impl Extension {
    /// The state after this byte; `None` if the grammar does not allow it.
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Ended | Self::Name | Self::Value, b'\r') => Self::LineFeed,
            (Self::Ended | Self::BeforeNext | Self::Name | Self::AfterName | Self::Value, b';') => {
                Self::NameStart
            }
            (Self::Ended | Self::BeforeNext | Self::Value, b' ' | b'\t') => Self::BeforeNext,
            (Self::Name | Self::AfterName, b' ' | b'\t') => Self::AfterName,
            (Self::NameStart | Self::ValueStart, b' ' | b'\t') => self,
            (Self::Name | Self::AfterName, b'=') => Self::ValueStart,
            (Self::NameStart | Self::Name, _) if is_token_byte(byte) => Self::Name,
            (Self::ValueStart | Self::Value, _) if is_token_byte(byte) => Self::Value,
            (Self::ValueStart, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::Ended,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) if is_text_byte(byte) => Self::Quoted,
            _ => return None,
        })
    }
}

impl Trailer {
    /// The state after this byte; `None` if the grammar does not allow it.
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start | Self::Name, _) if is_token_byte(byte) => Self::Name,
            (Self::Name, b':') => Self::Value,
            (Self::Value, _) if is_text_byte(byte) => Self::Value,
            (Self::Value, b'\r') => Self::LineFeed,
            (Self::LineFeed, b'\n') => Self::Start,
            (Self::Start, b'\r') => Self::LastLineFeed,
            (Self::LastLineFeed, b'\n') => Self::Ended,
            _ => return None,
        })
    }
}

/// A byte of a field value or of a quoted string: text, space or tab, no other control (RFC 9110 sections 5.5, 5.6.4).
fn is_text_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

impl Decoder {
    /// For a body of at most `body_bytes_max` bytes of data.
    pub fn new(body_bytes_max: usize) -> Self {
        Self {
            body_bytes_max,
            part: Part::Size(0),
            chunk: 0,
            line: 0,
            ignored: 0,
            trailers: 0,
        }
    }

    /// Decodes the next bytes, and appends the data in them to `body`. If the body ends among them, returns how many of
    /// them belong to it.
    ///
    /// # Errors
    /// [`ChunkedError`] at the first byte that shows it. `ContentTooLarge` at the end of a size line: the data of that
    /// chunk is not awaited.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        body: &mut SecretBytes,
    ) -> Result<Option<usize>, ChunkedError> {
        let mut rest = bytes;
        while self.part != END {
            if self.part == Part::Data {
                rest = self.take_data(rest, body);
            }
            let Some((byte, after)) = rest.split_first() else {
                return Ok(None);
            };
            rest = after;
            self.part = self.next(*byte, body.len())?;
        }
        Ok(Some(bytes.len() - rest.len()))
    }

    /// Appends the data of the current chunk; returns the bytes behind it.
    fn take_data<'b>(&mut self, bytes: &'b [u8], body: &mut SecretBytes) -> &'b [u8] {
        let count = usize::try_from(self.chunk).unwrap_or(usize::MAX);
        let (data, rest) = bytes.split_at(count.min(bytes.len()));
        body.append(data, self.body_bytes_max);
        self.chunk -= data.len() as u64;
        if self.chunk == 0 {
            self.part = Part::DataReturn;
        }
        rest
    }

    /// The state after a byte of the framing; `received` is the data so far, in bytes.
    fn next(&mut self, byte: u8, received: usize) -> Result<Part, ChunkedError> {
        match (self.part, byte) {
            (Part::Size(count), _) if byte.is_ascii_hexdigit() => self.digit(count, byte),
            (Part::Size(1..), _) => self.extension(Extension::Ended, byte),
            (Part::Extension(Extension::LineFeed), b'\n') => self.end_size_line(received),
            (Part::Extension(extension), _) => self.extension(extension, byte),
            (Part::DataReturn, b'\r') => Ok(Part::DataLineFeed),
            (Part::DataLineFeed, b'\n') => {
                (self.chunk, self.line) = (0, 0);
                Ok(Part::Size(0))
            }
            (Part::Trailer(trailer), _) => self.trailer(trailer, byte),
            (Part::Size(0), _) => Err(ChunkedError::Malformed("malformed chunk size")),
            _ => Err(ChunkedError::Malformed("malformed end of a chunk")),
        }
    }

    fn digit(&mut self, count: u8, digit: u8) -> Result<Part, ChunkedError> {
        // So the size has 64 bits at most.
        if count == CHUNK_SIZE_DIGITS_MAX {
            return Err(ChunkedError::Malformed("malformed chunk size"));
        }
        let value = char::from(digit).to_digit(16).unwrap_or_default();
        self.chunk = self.chunk << 4 | u64::from(value);
        self.line += 1;
        Ok(Part::Size(count + 1))
    }

    fn extension(&mut self, extension: Extension, byte: u8) -> Result<Part, ChunkedError> {
        let next = extension
            .next(byte)
            .ok_or(ChunkedError::Malformed("malformed line of a chunk's size"))?;
        if next != Extension::LineFeed {
            self.line += 1;
            self.ignored += 1;
        }
        if self.line > CHUNK_LINE_BYTES_MAX || self.ignored > CHUNK_EXTENSIONS_BYTES_MAX {
            return Err(ChunkedError::Malformed("too long chunk extensions"));
        }
        Ok(Part::Extension(next))
    }

    /// The size of a chunk is known: its data follows, or behind the last chunk the trailer section.
    fn end_size_line(&mut self, received: usize) -> Result<Part, ChunkedError> {
        if self.chunk == 0 {
            self.ignored = 0;
            return Ok(Part::Trailer(Trailer::Start));
        }
        let is_too_large = self.chunk > (self.body_bytes_max - received) as u64;
        match is_too_large {
            true => Err(ChunkedError::ContentTooLarge),
            false => Ok(Part::Data),
        }
    }

    fn trailer(&mut self, trailer: Trailer, byte: u8) -> Result<Part, ChunkedError> {
        let next = trailer
            .next(byte)
            .ok_or(ChunkedError::Malformed("malformed trailer field"))?;
        self.trailers += usize::from((trailer, next) == (Trailer::Start, Trailer::Name));
        if !matches!(next, Trailer::LastLineFeed | Trailer::Ended) {
            self.ignored += 1;
        }
        if self.ignored > TRAILER_BYTES_MAX || self.trailers > TRAILER_FIELDS_MAX {
            return Err(ChunkedError::TrailersTooLarge);
        }
        Ok(Part::Trailer(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 20_000;

    /// Decodes in pieces of `piece` bytes: the data and the bytes behind the body, or `None` while it has no end.
    fn decode(stream: &str, piece: usize) -> Result<Option<(Vec<u8>, String)>, ChunkedError> {
        let mut decoder = Decoder::new(LIMIT);
        let mut body = SecretBytes::default();
        let mut given = 0;
        for bytes in stream.as_bytes().chunks(piece) {
            if let Some(length) = decoder.advance(bytes, &mut body)? {
                return Ok(Some((body.take(), stream[given + length..].to_owned())));
            }
            given += bytes.len();
        }
        Ok(None)
    }

    /// The length of the data if all of the stream is the body; the same in pieces of one byte.
    fn length(stream: &str) -> Result<usize, ChunkedError> {
        let decoded = decode(stream, stream.len());
        assert_eq!(decode(stream, 1), decoded);
        decoded.map(|decoded| {
            let (body, rest) = decoded.expect("is whole");
            assert_eq!(rest, "");
            body.len()
        })
    }

    #[test]
    fn a_size_has_at_most_16_digits() {
        let body = |digits: &str| format!("{digits}\r\na\r\n0\r\n\r\n");
        assert_eq!(length(&body("0000000000000001")), Ok(1));
        let too_long = Err(ChunkedError::Malformed("malformed chunk size"));
        assert_eq!(length(&body("00000000000000001")), too_long);
        assert_eq!(length(&body("10000000000000000")), too_long);
        assert_eq!(length("0000000000000000\r\n\r\n"), Ok(0));
        assert_eq!(length("00000000000000000\r\n\r\n"), too_long);
        let too_large = Err(ChunkedError::ContentTooLarge);
        assert_eq!(length("ffffffffffffffff\r\n"), too_large);
        assert_eq!(length("7FFFFFFFFFFFFFFF\r\n"), too_large);
    }

    #[test]
    fn the_sum_of_all_sizes_is_limited_before_the_data_comes() {
        let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", "a".repeat(size));
        let first = chunk(LIMIT - 1);
        assert_eq!(length(&format!("{first}1\r\nb\r\n0\r\n\r\n")), Ok(LIMIT));
        let too_large = Err(ChunkedError::ContentTooLarge);
        assert_eq!(length(&format!("{first}2\r\n")), too_large);
        assert_eq!(length(&format!("{first}ffffffffffffffff\r\n")), too_large);
        assert_eq!(decode(&format!("{first}2"), LIMIT), Ok(None));
    }

    #[test]
    fn the_extensions_of_a_line_and_of_a_body_are_limited() {
        let chunk = |line: usize| format!("1;{}\r\na\r\n", "x".repeat(line - 2));
        let too_long = Err(ChunkedError::Malformed("too long chunk extensions"));
        let line = chunk(CHUNK_LINE_BYTES_MAX);
        assert_eq!(length(&format!("{line}0\r\n\r\n")), Ok(1));
        assert_eq!(length(&chunk(CHUNK_LINE_BYTES_MAX + 1)), too_long);
        let endless = format!("1;{}", "x".repeat(CHUNK_LINE_BYTES_MAX));
        assert_eq!(length(&endless), too_long);
        let extensions = CHUNK_LINE_BYTES_MAX - 1;
        let count = CHUNK_EXTENSIONS_BYTES_MAX / extensions;
        let left = CHUNK_EXTENSIONS_BYTES_MAX % extensions;
        let lines = line.repeat(count) + &chunk(left + 1);
        assert_eq!(length(&format!("{lines}0\r\n\r\n")), Ok(count + 1));
        assert_eq!(length(&format!("{lines}0;x\r\n\r\n")), too_long);
    }

    #[test]
    fn the_trailer_section_is_limited() {
        let body = |fields: &str| format!("0\r\n{fields}\r\n");
        let field = |bytes: usize| format!("A: {}\r\n", "x".repeat(bytes - 5));
        assert_eq!(length(&body(&field(TRAILER_BYTES_MAX))), Ok(0));
        let too_large = Err(ChunkedError::TrailersTooLarge);
        assert_eq!(length(&body(&field(TRAILER_BYTES_MAX + 1))), too_large);
        let endless = format!("0\r\nA:{}", "x".repeat(TRAILER_BYTES_MAX));
        assert_eq!(length(&endless), too_large);
        let fields = "A:\r\n".repeat(TRAILER_FIELDS_MAX);
        assert_eq!(length(&body(&fields)), Ok(0));
        assert_eq!(length(&body(&format!("{fields}B:\r\n"))), too_large);
        // The extensions of the chunks do not count as trailers.
        let extension = format!("1;{}\r\na\r\n", "x".repeat(CHUNK_LINE_BYTES_MAX - 2));
        let field = field(TRAILER_BYTES_MAX);
        let stream = extension.repeat(10) + &body(&field);
        assert_eq!(length(&stream), Ok(10));
    }

    #[test]
    fn the_bytes_behind_a_body_are_left() {
        let stream = "3\r\nabc\r\n0\r\n\r\n3\r\nGET";
        for piece in 1..=stream.len() {
            let decoded = decode(stream, piece);
            assert_eq!(decoded, Ok(Some((b"abc".into(), "3\r\nGET".into()))));
        }
        let end = stream.len() - "3\r\nGET".len();
        for end in 0..end {
            assert_eq!(decode(&stream[..end], end.max(1)), Ok(None));
        }
    }
}
