//! How long the body of a request is (RFC 9112 section 6.3).

use super::field_lines::{FieldLines, Name};
use super::head_error::HeadError;

/// The length of a body, as the head announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Neither Content-Length nor Transfer-Encoding: there is no body.
    None,
    /// Content-Length, in bytes.
    Known(u64),
    /// Transfer-Encoding is `chunked`: the body says itself where it ends.
    Chunked,
}

impl BodyLength {
    /// Reads it from the fields of a request. A message with two lengths, or with one that parsers read in different ways,
    /// is refused: it is how requests are smuggled (RFC 9112 section 11.2).
    ///
    /// # Errors
    /// - `BadRequest` if Content-Length is not one decimal number, if there is a Transfer-Encoding too or in HTTP/1.0, or
    ///   if `chunked` is not its last member.
    /// - `NotImplemented` for any other transfer coding (RFC 9112 section 6.1).
    pub fn read(is_http11: bool, lines: &FieldLines<'_>) -> Result<Self, HeadError> {
        let mut codings = lines.all(Name::TransferEncoding).peekable();
        if codings.peek().is_some() {
            if !is_http11 || lines.all(Name::ContentLength).next().is_some() {
                return Err(HeadError::BadRequest(
                    "Transfer-Encoding with Content-Length or in HTTP/1.0",
                ));
            }
            return read_codings(codings);
        }
        let Some(value) = lines.single(Name::ContentLength)? else {
            return Ok(Self::None);
        };
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HeadError::BadRequest(
                "Content-Length must be one decimal number",
            ));
        }
        // A number over 64 bits is over any limit.
        Ok(Self::Known(value.parse().unwrap_or(u64::MAX)))
    }

    /// Whether content may follow the head.
    pub fn may_have_content(self) -> bool {
        !matches!(self, Self::None | Self::Known(0))
    }
}

/// Reads the values of all lines of Transfer-Encoding as one list, whose empty members do not count (RFC 9110 section
/// 5.6.1.2). A coding with parameters is another one than `chunked`, which has none.
fn read_codings<'h>(values: impl Iterator<Item = &'h [u8]>) -> Result<BodyLength, HeadError> {
    let (mut is_chunked, mut has_others) = (false, false);
    let members = values.flat_map(|value| value.split(|byte| *byte == b','));
    for member in members.map(trim).filter(|member| !member.is_empty()) {
        if is_chunked {
            return Err(HeadError::BadRequest(
                "chunked must be the last transfer coding",
            ));
        }
        is_chunked = member.eq_ignore_ascii_case(b"chunked");
        has_others |= !is_chunked;
    }
    match (is_chunked, has_others) {
        (true, false) => Ok(BodyLength::Chunked),
        (false, false) => Err(HeadError::BadRequest("Transfer-Encoding is empty")),
        (_, true) => Err(HeadError::NotImplemented),
    }
}

/// Without the optional white space around it: spaces and tabs, and nothing else (RFC 9110 section 5.6.3).
fn trim(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}
