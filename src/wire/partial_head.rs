//! Request heads that are refused, or not complete: what their answers depend on.

use super::field_lines::{FieldLines, NAMES, Name};
use super::head::is_token;

/// What can be read of such a head. Its default is what a head without fields says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialHead {
    /// Whether the method is HEAD: the answer has no content.
    pub is_head: bool,
    /// Accept-Language, its lines joined.
    pub accept_language: Option<Box<str>>,
    /// Origin, if there is exactly one.
    pub origin: Option<Box<str>>,
}

impl PartialHead {
    /// Reads a head from its start up to its empty line, its first malformed line, or the end of what is there. Without
    /// a well-formed request line nothing is read.
    pub fn read(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        while let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
        }
        let lines = rest.split_inclusive(|byte| *byte == b'\n');
        let mut lines = lines
            .map_while(|line| line.strip_suffix(b"\r\n"))
            .take_while(|line| !line.is_empty());
        let Some(method) = lines.next().and_then(read_method) else {
            return Self::default();
        };
        let fields: Vec<_> = lines
            .map_while(read_field)
            .filter(|field| KNOWN.iter().any(|name| is_named(field, *name)))
            .collect();
        let fields = FieldLines::new(&fields);
        Self {
            is_head: method == b"HEAD",
            accept_language: fields.joined(Name::AcceptLanguage),
            origin: fields.owned(Name::Origin).unwrap_or_default(),
        }
    }
}

const KNOWN: [Name; 2] = [Name::AcceptLanguage, Name::Origin];

fn is_named(field: &httparse::Header<'_>, name: Name) -> bool {
    field.name.eq_ignore_ascii_case(NAMES[name as usize])
}

/// The method of a request line of any version.
fn read_method(line: &[u8]) -> Option<&[u8]> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, _, version) = (parts.next()?, parts.next()?, parts.next()?);
    let is_line = parts.next().is_none() && version.starts_with(b"HTTP/");
    is_line.then_some(method)
}

/// A field line; `None` if its name is malformed.
fn read_field(line: &[u8]) -> Option<httparse::Header<'_>> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&line[..colon]).ok()?;
    let value = &line[colon + 1..];
    is_token(name).then_some(httparse::Header { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> (bool, Option<String>, Option<String>) {
        let read = PartialHead::read(head.replace('|', "\r\n").as_bytes());
        let text = |value: Option<Box<str>>| value.map(String::from);
        (read.is_head, text(read.accept_language), text(read.origin))
    }

    #[test]
    fn language_and_origin_are_read_as_far_as_a_head_is_well_formed() {
        let (en, x) = (Some("en".to_owned()), Some("http://x".to_owned()));
        for (head, expected) in [
            (
                "HEAD / HTTP/2.0|accept-language: en|ORIGIN:http://x ||",
                (true, en.clone(), x.clone()),
            ),
            (
                "||BREW / HTTP/1.1|A: b|Accept-Language: en|Origin: http://x",
                (false, en.clone(), None),
            ),
            (
                "GET / HTTP/1.1|Accept-Language: en|A : b|Origin: http://x||",
                (false, en.clone(), None),
            ),
            (
                "GET / HTTP/1.1|Accept-Language: en|A: b| Origin: http://x||",
                (false, en.clone(), None),
            ),
            (
                "GET / HTTP/1.1|Accept-Language: en||Origin: http://x||",
                (false, en, None),
            ),
            (
                "GET / HTTP/1.1|Origin: http://x|Origin: http://x|Accept-Language: a|Accept-Language: b||",
                (false, Some("a, b".into()), None),
            ),
            ("what?|Accept-Language: en||", (false, None, None)),
            (
                "GET / HTTP/1.1\n|Accept-Language: en||",
                (false, None, None),
            ),
            ("GET /  HTTP/1.1|Accept-Language: en||", (false, None, None)),
            ("HEAD / HTTP/1.1", (false, None, None)),
            ("", (false, None, None)),
        ] {
            assert_eq!(read(head), expected, "{head}");
        }
    }
}
