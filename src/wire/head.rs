//! Finds the end of a request head while it arrives (RFC 9112 section 2).
//!
//! Each byte is scanned once, however many pieces the head arrives in. A malformed request line is refused at its first
//! invalid byte, so that a client of another protocol is refused before its timeout.

use std::io::BufRead as _;

use super::head_error::HeadError;
use crate::config::{HEAD_BYTES_MAX, TARGET_BYTES_MAX};

const MALFORMED: HeadError = HeadError::BadRequest("malformed request line");
/// Parsers disagree on whether a line feed alone ends a line (RFC 9112 section 2.2), which allows request smuggling.
const BARE_LINE_FEED: HeadError = HeadError::BadRequest("a line must end with CRLF");

/// The state of the scan of one head.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// The bytes scanned, including empty lines before the request line.
    length: usize,
    /// What the next byte belongs to.
    part: Part,
    /// The offset of the current line.
    line_start: usize,
    /// The length of the request line without its CRLF, in bytes, once it is complete.
    request_line: usize,
    /// The last byte of the current field line.
    last: u8,
}

/// The states of the scanner: the part of the head to which the next byte belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// The request line, or an empty line before it (RFC 9112 section 2.2).
    #[default]
    Start,
    /// The line feed of an empty line before the request line.
    EmptyLine,
    Method,
    /// The first byte of the target.
    TargetStart,
    Target,
    /// The version: the number of its bytes already scanned, and whether it can still be 1.0 or 1.1.
    Version(u8, bool),
    /// The line feed after the version, and whether that is 1.0 or 1.1.
    LineFeed(bool),
    /// The field lines and the empty line after them.
    Fields,
}

impl Part {
    /// The number of bytes that can be skipped in one step, and the state after them.
    fn skip(self, bytes: &[u8]) -> (usize, Self) {
        match self {
            Self::Method => (run(bytes, is_token_byte), self),
            Self::Target => (run(bytes, is_target_byte), self),
            Self::Version(0, _) if bytes.starts_with(b"HTTP/1.1") => (8, Self::Version(8, true)),
            _ => (0, self),
        }
    }

    /// The state after this byte (RFC 9112 section 3).
    fn next(self, byte: u8) -> Result<Self, HeadError> {
        Ok(match (self, byte) {
            (Self::Target | Self::TargetStart, _) if is_target_byte(byte) => Self::Target,
            (Self::Start | Self::Method, _) if is_token_byte(byte) => Self::Method,
            (Self::Start, b'\r') => Self::EmptyLine,
            (Self::EmptyLine, b'\n') => Self::Start,
            (Self::Method, b' ') => Self::TargetStart,
            (Self::Target, b' ') => Self::Version(0, true),
            (Self::Version(count, is_known), _) => version(count, is_known, byte)?,
            (Self::LineFeed(true), b'\n') => Self::Fields,
            // A well-formed version that is not 1.0 or 1.1 is answered with 505 (RFC 9110 section 15.6.6).
            (Self::LineFeed(false), b'\n') => return Err(HeadError::VersionNotSupported),
            (_, b'\n') => return Err(BARE_LINE_FEED),
            _ => return Err(MALFORMED),
        })
    }
}

/// The next byte of `HTTP/x.y` or the carriage return after it.
fn version(count: u8, is_known: bool, byte: u8) -> Result<Part, HeadError> {
    let is_known = match (count, byte) {
        (0..=4, _) if byte == b"HTTP/"[usize::from(count)] => is_known,
        (5, b'0'..=b'9') => byte == b'1',
        (6, b'.') => is_known,
        (7, b'0'..=b'9') => is_known && byte <= b'1',
        (8, b'\r') => return Ok(Part::LineFeed(is_known)),
        (_, b'\n') => return Err(BARE_LINE_FEED),
        _ => return Err(MALFORMED),
    };
    Ok(Part::Version(count + 1, is_known))
}

/// A `tchar` (RFC 9110 section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// Whether it is a token, such as the name of a field (RFC 9110 section 5.6.2).
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Any byte but controls and space. `target.rs` decides which of them a target may contain.
fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

/// The number of bytes before the first that does not match.
fn run(bytes: &[u8], is_like: fn(u8) -> bool) -> usize {
    let end = bytes.iter().position(|byte| !is_like(*byte));
    end.unwrap_or(bytes.len())
}

impl HeadScan {
    /// Scans the next bytes of a head. If the head ends among them, returns how many of them belong to it.
    ///
    /// # Errors
    /// - `BadRequest` and `VersionNotSupported` at the first byte that is invalid in a request line of HTTP/1.0 or 1.1,
    ///   or that ends a line without CRLF.
    /// - `TargetTooLong` and `FieldsTooLarge` if the head does not end within [`HEAD_BYTES_MAX`].
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        // Bytes beyond the limit are not scanned, so that the result does not depend on how many are received.
        let bytes = &bytes[..bytes.len().min(HEAD_BYTES_MAX - self.length)];
        let start = self.scan_request_line(bytes)?;
        let length = self.scan_fields(&bytes[start..])?;
        if length.is_none() && self.length == HEAD_BYTES_MAX {
            return Err(self.too_large());
        }
        Ok(length.map(|length| start + length))
    }

    /// The bytes scanned so far.
    pub fn scanned_bytes(&self) -> usize {
        self.length
    }

    /// Scans empty lines and the request line; returns the number of bytes that belong to them.
    fn scan_request_line(&mut self, bytes: &[u8]) -> Result<usize, HeadError> {
        let mut at = 0;
        while self.part != Part::Fields {
            let (skipped, part) = self.part.skip(&bytes[at..]);
            self.part = part;
            at += skipped;
            let Some(byte) = bytes.get(at) else {
                break;
            };
            self.part = self.part.next(*byte)?;
            at += 1;
            match self.part {
                Part::Start => self.line_start = self.length + at,
                Part::Fields => {
                    self.request_line = self.length + at - self.line_start - 2;
                    self.line_start = self.length + at;
                }
                _ => {}
            }
        }
        self.length += at;
        Ok(at)
    }

    /// Scans field lines; returns the number of bytes up to the end of the empty line, if it is found.
    fn scan_fields(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        let mut rest = bytes;
        loop {
            let line = rest;
            // `skip_until` is the fastest search for a byte in the standard library; it cannot fail on a slice.
            let count = rest.skip_until(b'\n').unwrap_or_default();
            let (last, before) = match line[..count] {
                [.., before, last] => (last, before),
                [last] => (last, self.last),
                [] => return Ok(None),
            };
            self.length += count;
            self.last = last;
            if last == b'\n' {
                if before != b'\r' {
                    return Err(BARE_LINE_FEED);
                }
                if self.length - self.line_start == 2 {
                    return Ok(Some(bytes.len() - rest.len()));
                }
                self.line_start = self.length;
            }
        }
    }

    fn too_large(&self) -> HeadError {
        let request_line = match self.part {
            Part::Fields => self.request_line,
            _ => self.length - self.line_start,
        };
        if request_line > TARGET_BYTES_MAX {
            HeadError::TargetTooLong
        } else {
            HeadError::FieldsTooLarge
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans a head in pieces of `piece` bytes: the offset of its end, or the number of bytes given when it is refused.
    fn scan(head: &[u8], piece: usize) -> Result<Option<usize>, (usize, HeadError)> {
        let mut scan = HeadScan::default();
        let mut given = 0;
        for bytes in head.chunks(piece) {
            match scan.advance(bytes) {
                Ok(None) => given += bytes.len(),
                Ok(Some(length)) => return Ok(Some(given + length)),
                Err(error) => return Err((given + bytes.len(), error)),
            }
            assert_eq!(scan.scanned_bytes(), given.min(HEAD_BYTES_MAX));
        }
        Ok(None)
    }

    #[test]
    fn a_head_ends_at_its_empty_line_however_it_comes() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "\r\n\r\nGET /a?b HTTP/1.0\r\nHost: x\r\nA:\r\n\r\n",
            "!#$%&'*+-.^_`|~09AZaz /\u{ed99} HTTP/1.1\r\nA: \r b\r\n\r\n",
        ] {
            let stream = [head.as_bytes(), b"\r\nrest"].concat();
            for piece in 1..=stream.len() {
                assert_eq!(scan(&stream, piece), Ok(Some(head.len())), "{head:?}");
            }
            for end in 0..head.len() {
                assert_eq!(scan(&head.as_bytes()[..end], 1), Ok(None), "{head:?}");
            }
        }
    }

    #[test]
    fn what_is_no_request_line_is_refused_at_the_byte_that_shows_it() {
        let version = HeadError::VersionNotSupported;
        for (text, error) in [
            ("\x16", MALFORMED),
            (" ", MALFORMED),
            ("\u{80}", MALFORMED),
            ("G(", MALFORMED),
            ("GET\t", MALFORMED),
            ("SSH-2.0-OpenSSH_9.6\r", MALFORMED),
            ("*1\r", MALFORMED),
            ("EHLO x\r", MALFORMED),
            ("GET  ", MALFORMED),
            ("GET /\x07", MALFORMED),
            ("GET /\x7f", MALFORMED),
            ("GET / x", MALFORMED),
            ("GET / HTTP/a", MALFORMED),
            ("GET / HTTP/1.10", MALFORMED),
            ("GET / HTTP/1.1 ", MALFORMED),
            ("GET / HTTP/1.1\rx", MALFORMED),
            ("\r\n\rx", MALFORMED),
            ("\n", BARE_LINE_FEED),
            ("EHLO x\n", BARE_LINE_FEED),
            ("GET / HTTP/1.1\n", BARE_LINE_FEED),
            ("GET / HTTP/1.1\r\n\n", BARE_LINE_FEED),
            ("GET / HTTP/1.1\r\nA: b\n", BARE_LINE_FEED),
            ("PRI * HTTP/2.0\r\n", version),
            ("GET / HTTP/0.9\r\n", version),
            ("GET / HTTP/1.2\r\n", version),
        ] {
            // The last character may have several bytes; the first of them is refused.
            let end = text.len() - text.chars().last().map_or(0, char::len_utf8) + 1;
            assert_eq!(scan(text.as_bytes(), 1), Err((end, error)), "{text:?}");
            let stream = [text.as_bytes(), b"\r\n\r\n"].concat();
            let whole = scan(&stream, stream.len());
            assert_eq!(whole, Err((stream.len(), error)), "{text:?}");
        }
    }

    #[test]
    fn empty_lines_before_a_request_count_as_bytes_of_its_head() {
        let lines = "\r\n".repeat(HEAD_BYTES_MAX / 2);
        for piece in [1, 1000, HEAD_BYTES_MAX] {
            let (_, error) = scan(lines.as_bytes(), piece).expect_err("is too long");
            assert_eq!(error, HeadError::FieldsTooLarge);
        }
    }
}
