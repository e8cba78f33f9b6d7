//! The field lines of a request, found by name (RFC 9110 section 5).

use super::head_error::HeadError;
use crate::config::HEAD_FIELDS_MAX;

/// The fields the server evaluates.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are those of the RFCs")]
pub enum Name {
    AcceptEncoding,
    AcceptLanguage,
    Authorization,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Expect,
    Forwarded,
    Host,
    IfNoneMatch,
    LastEventId,
    Origin,
    PreflightHeaders,
    PreflightMethod,
    TransferEncoding,
    Upgrade,
    WebSocketKey,
    WebSocketProtocol,
    WebSocketVersion,
    XForwardedFor,
}

/// In the order of [`Name`], in lower case.
pub const NAMES: [&str; 21] = [
    "accept-encoding",
    "accept-language",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "if-none-match",
    "last-event-id",
    "origin",
    "access-control-request-headers",
    "access-control-request-method",
    "transfer-encoding",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "x-forwarded-for",
];

/// The index of a field that the request does not have.
const ABSENT: u8 = u8::MAX;
const _: () = assert!(HEAD_FIELDS_MAX < ABSENT as usize);

/// The field lines of one request. Each name is compared with the known ones once, however many lookups follow.
#[derive(Debug)]
pub struct FieldLines<'h> {
    lines: &'h [httparse::Header<'h>],
    /// The index of the first line of each name, or [`ABSENT`].
    first: [u8; NAMES.len()],
    /// Whether a name has more than one line.
    is_repeated: [bool; NAMES.len()],
}

impl<'h> FieldLines<'h> {
    /// Indexes at most [`HEAD_FIELDS_MAX`] lines by name.
    pub fn new(lines: &'h [httparse::Header<'h>]) -> Self {
        let mut found = Self {
            lines,
            first: [ABSENT; NAMES.len()],
            is_repeated: [false; NAMES.len()],
        };
        for (index, line) in (0..ABSENT).zip(lines) {
            let known = NAMES
                .iter()
                .position(|name| line.name.eq_ignore_ascii_case(name));
            match known {
                Some(name) if found.first[name] == ABSENT => found.first[name] = index,
                Some(name) => found.is_repeated[name] = true,
                None => {}
            }
        }
        found
    }

    /// The values of all lines of this name, in the order received.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &'h [u8]> {
        let name = name as usize;
        let count = if self.is_repeated[name] {
            usize::MAX
        } else {
            1
        };
        let lines = self.lines.iter().skip(usize::from(self.first[name]));
        lines
            .filter(move |line| line.name.eq_ignore_ascii_case(NAMES[name]))
            .map(|line| line.value)
            .take(count)
    }

    /// Whether the request has this field.
    pub fn is_present(&self, name: Name) -> bool {
        self.first[name as usize] != ABSENT
    }

    /// The values of all lines of this name, the last one first.
    pub fn backwards(&self, name: Name) -> impl Iterator<Item = &'h [u8]> {
        let lines = match self.is_present(name) {
            true => self.lines,
            false => &[],
        };
        lines
            .iter()
            .rev()
            .filter(move |line| line.name.eq_ignore_ascii_case(NAMES[name as usize]))
            .map(|line| line.value)
    }

    /// The value of a field that may occur at most once, without surrounding white space.
    ///
    /// # Errors
    /// `BadRequest` if it occurs more than once or is not UTF-8.
    pub fn single(&self, name: Name) -> Result<Option<&'h str>, HeadError> {
        if self.is_repeated[name as usize] {
            return Err(HeadError::BadRequest(
                "a field that may occur only once is repeated",
            ));
        }
        let Some(line) = self.lines.get(usize::from(self.first[name as usize])) else {
            return Ok(None);
        };
        let value = std::str::from_utf8(line.value)
            .map_err(|_| HeadError::BadRequest("a field value is not UTF-8"))?;
        Ok(Some(value.trim_matches([' ', '\t'])))
    }

    /// A copy of the value that [`Self::single`] returns.
    ///
    /// # Errors
    /// As [`Self::single`].
    pub fn owned(&self, name: Name) -> Result<Option<Box<str>>, HeadError> {
        Ok(self.single(name)?.map(Into::into))
    }

    /// The value of the first line of a name, with U+FFFD for invalid UTF-8. For Last-Event-ID: every ID the server
    /// sends is UTF-8, so any other value is an unknown ID, not an error.
    pub fn lossy(&self, name: Name) -> Option<Box<str>> {
        let value = self.all(name).next()?;
        Some(String::from_utf8_lossy(value.trim_ascii()).into())
    }

    /// The lines of a comma-separated field as one list (RFC 9110 section 5.3), except those that are not UTF-8.
    pub fn joined(&self, name: Name) -> Option<Box<str>> {
        let lines = self
            .all(name)
            .filter_map(|value| std::str::from_utf8(value).ok());
        let joined = lines.map(|value| value.trim_matches([' ', '\t']));
        let joined = joined
            .map(str::to_owned)
            .reduce(|all, next| all + ", " + &next);
        joined.map(Into::into)
    }

    /// Whether a comma-separated field has a member, compared without case (RFC 9110 section 5.6.1).
    pub fn has(&self, name: Name, member: &str) -> bool {
        self.members(name)
            .any(|other| other.eq_ignore_ascii_case(member))
    }

    /// The members of a comma-separated field, except in lines that are not UTF-8 (RFC 9110 section 5.6.1).
    pub fn members(&self, name: Name) -> impl Iterator<Item = &'h str> {
        self.all(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .map(|member| member.trim_matches([' ', '\t']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines<'h>(lines: &[(&'h str, &'h str)]) -> Vec<httparse::Header<'h>> {
        let header = |(name, value): &(&'h str, &'h str)| httparse::Header {
            name,
            value: value.as_bytes(),
        };
        lines.iter().map(header).collect()
    }

    #[test]
    fn every_name_stands_at_its_place() {
        for (index, known) in NAMES.iter().enumerate() {
            let lines = lines(&[("X", "y"), (known, "z")]);
            let found = FieldLines::new(&lines);
            assert_eq!(found.first[index], 1, "{known}");
        }
        for (name, known) in [
            (Name::AcceptEncoding, "Accept-Encoding"),
            (Name::AcceptLanguage, "Accept-Language"),
            (Name::Host, "HOST"),
            (Name::WebSocketVersion, "Sec-WebSocket-Version"),
            (Name::Forwarded, "Forwarded"),
            (Name::XForwardedFor, "X-Forwarded-For"),
        ] {
            let lines = lines(&[(known, " z\t")]);
            assert_eq!(FieldLines::new(&lines).single(name), Ok(Some("z")));
        }
    }

    #[test]
    fn the_lines_of_a_repeated_field_are_one_list() {
        let lines = lines(&[
            ("Connection", "a, b"),
            ("Host", "x"),
            ("connection", "CLOSE"),
        ]);
        let found = FieldLines::new(&lines);
        let values: Vec<_> = found.all(Name::Connection).collect();
        assert_eq!(values, [&b"a, b"[..], b"CLOSE"]);
        let backwards: Vec<_> = found.backwards(Name::Connection).collect();
        assert_eq!(backwards, [&b"CLOSE"[..], b"a, b"]);
        assert!(found.is_present(Name::Host) && !found.is_present(Name::Origin));
        assert_eq!(found.backwards(Name::Origin).count(), 0);
        assert!(found.has(Name::Connection, "b") && found.has(Name::Connection, "close"));
        assert!(!found.has(Name::Connection, "x") && !found.has(Name::Upgrade, "a"));
        assert!(found.single(Name::Connection).is_err());
        assert_eq!(
            found.joined(Name::Connection).as_deref(),
            Some("a, b, CLOSE")
        );
        assert_eq!(found.joined(Name::Origin), None);
        let members: Vec<_> = found.members(Name::Connection).collect();
        assert_eq!(members, ["a", "b", "CLOSE"]);
        assert_eq!(found.all(Name::Host).count(), 1);
        assert_eq!(found.all(Name::Origin).count(), 0);
    }
}
