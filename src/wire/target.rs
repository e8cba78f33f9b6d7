//! Request targets and authorities (RFC 9112 section 3.2, RFC 3986).

use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::head_error::HeadError;
use super::method::Method;
use crate::config::TARGET_BYTES_MAX;

/// A path of at most this many parts needs one allocation.
const USUAL_PARTS: usize = 8;
const _: () = assert!(TARGET_BYTES_MAX <= u16::MAX as usize);

/// The path of a target, split at its slashes, each part percent-decoded after the split.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Path {
    /// The concatenation of the parts.
    text: String,
    /// The end of each part in `text`.
    ends: SmallVec<[u16; USUAL_PARTS]>,
}

impl Path {
    /// # Errors
    /// `BadRequest` for malformed percent-encoding and for invalid UTF-8.
    fn decode(path: &str) -> Result<Self, HeadError> {
        let mut decoded = Self {
            text: String::with_capacity(path.len()),
            ends: SmallVec::new(),
        };
        let mut rest = Some(path.strip_prefix('/').unwrap_or(path));
        while let Some(path) = rest {
            let part;
            (part, rest) = split_at_byte(path, b'/');
            match part.as_bytes().contains(&b'%') {
                true => decoded.text.push_str(&decode(part)?),
                false => decoded.text.push_str(part),
            }
            decoded.ends.push(decoded.text.len() as u16);
        }
        Ok(decoded)
    }

    /// The parts, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.text[usize::from(start)..usize::from(*end)])
    }

    /// The parts, for matching as a slice.
    pub fn parts(&self) -> SmallVec<[&str; USUAL_PARTS]> {
        self.iter().collect()
    }

    /// The first part, if there is one.
    pub fn first(&self) -> Option<&str> {
        self.iter().next()
    }

    /// The number of parts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no part, not even an empty one: the target is in asterisk form or authority form.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl<const N: usize> PartialEq<[&str; N]> for Path {
    fn eq(&self, parts: &[&str; N]) -> bool {
        self.iter().eq(parts.iter().copied())
    }
}

impl std::fmt::Debug for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A request target.
#[derive(Debug, Default)]
pub struct Target<'t> {
    /// The authority of the absolute form. It takes precedence over Host (RFC 9112 section 3.2.2).
    pub authority: Option<&'t str>,
    /// The decoded path.
    pub path: Path,
    /// The query, not decoded.
    pub query: String,
}

/// Splits a target in any of the four forms (RFC 9112 section 3.2).
///
/// # Errors
/// `BadRequest` if the target is malformed or its form is not allowed for the method.
pub fn read_target(method: Method, target: &str) -> Result<Target<'_>, HeadError> {
    if target.as_bytes().contains(&b'#') {
        return Err(HeadError::BadRequest(
            "a request target must not have a fragment",
        ));
    }
    let (authority, origin_form) = if target.starts_with('/') {
        (None, target)
    } else if target == "*" && method == Method::Options {
        return Ok(Target::default());
    } else if method == Method::Connect {
        // The authority form, which only CONNECT may use. No route takes it, so it is not parsed.
        return Ok(Target::default());
    } else {
        let rest = strip_scheme(target).ok_or(HeadError::BadRequest("malformed request target"))?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !is_authority(authority) {
            return Err(HeadError::BadRequest(
                "malformed authority in the request target",
            ));
        }
        (Some(authority), rest)
    };
    let (path, query) = split_at_byte(origin_form, b'?');
    let query = query.unwrap_or_default();
    let path = Path::decode(path)?;
    check_percent(query)?;
    Ok(Target {
        authority,
        path,
        query: query.to_owned(),
    })
}

/// The text before and after the first occurrence of an ASCII byte. For short text this is faster than `split_once`.
fn split_at_byte(text: &str, byte: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|other| other == byte) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    ["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
        .then_some(rest)
}

/// Percent-decodes one part of a target.
///
/// # Errors
/// `BadRequest` for malformed percent-encoding and for invalid UTF-8.
pub fn decode(part: &str) -> Result<String, HeadError> {
    check_percent(part)?;
    let decoded = percent_decode_str(part).decode_utf8();
    Ok(decoded
        .map_err(|_| HeadError::BadRequest("the request target is not UTF-8"))?
        .into_owned())
}

/// Every percent sign must be followed by two hexadecimal digits (RFC 3986 section 2.1).
fn check_percent(text: &str) -> Result<(), HeadError> {
    let is_escape =
        |rest: &[u8]| matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    let parts = text.as_bytes().split(|byte| *byte == b'%');
    match parts.skip(1).all(is_escape) {
        true => Ok(()),
        false => Err(HeadError::BadRequest("malformed percent-encoding")),
    }
}

/// Whether it is `host [":" port]` (RFC 3986 section 3.2). User information is not allowed (RFC 9110 section 4.2.4).
pub fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => return is_ip_literal(address),
        Some((address, rest)) if is_ip_literal(address) => ("x", rest.strip_prefix(':')),
        Some(_) => return false,
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let is_host_byte = |byte: u8| {
        byte.is_ascii_alphanumeric() || byte >= 0x80 || b"-._~%!$&'()*+,;=".contains(&byte)
    };
    !host.is_empty()
        && host.bytes().all(is_host_byte)
        && port
            .is_some_and(|port| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_ip_literal(address: &str) -> bool {
    !address.is_empty()
        && address
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_of_a_target_are_read() {
        for (method, target, authority, path, query) in [
            (Method::Get, "/", None, &[""][..], ""),
            (Method::Get, "/a/b%2Fc?d=%20", None, &["a", "b/c"], "d=%20"),
            (Method::Get, "/a?b?c", None, &["a"], "b?c"),
            (Method::Get, "http://x/a", Some("x"), &["a"], ""),
            (Method::Get, "HTTPS://x:80?q", Some("x:80"), &[""], "q"),
            (
                Method::Get,
                "http://[::1]:80/a",
                Some("[::1]:80"),
                &["a"],
                "",
            ),
            (
                Method::Get,
                "/http://x/a",
                None,
                &["http:", "", "x", "a"],
                "",
            ),
            (Method::Options, "*", None, &[], ""),
            (Method::Options, "/a", None, &["a"], ""),
            (Method::Connect, "x:80", None, &[], ""),
        ] {
            let read = read_target(method, target).expect("is a target");
            let parts = read.path.parts();
            let found = (read.authority, parts.as_slice(), &*read.query);
            assert_eq!(found, (authority, path, query), "{target}");
            assert_eq!(read.path.len(), path.len());
            assert_eq!(read.path.is_empty(), path.is_empty());
            assert_eq!(read.path.first(), path.first().copied());
        }
    }

    #[test]
    fn what_is_no_target_is_a_bad_request() {
        for target in [
            "*",
            "x:80",
            "a",
            "",
            "/a#b",
            "ftp://x/",
            "http:/x",
            "http:///a",
            "http://a b/",
            "http://user@x/",
            "/%",
            "/%f",
            "/%fg",
            "/%gf",
            "/%ff",
            "/?%",
            "/?%g0",
        ] {
            let read = read_target(Method::Get, target);
            assert!(
                matches!(read, Err(HeadError::BadRequest(_))),
                "{target}: {read:?}"
            );
        }
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for good in [
            "x",
            "x:",
            "x:0",
            "x:65535",
            "127.0.0.1:80",
            "xn--a.example",
            "한국",
            "%ed",
            "a!$&'()*+,;=_~-",
            "[::1]",
            "[::1]:",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "x:123456",
            "x:8a",
            "x:80:90",
            "a b",
            "a/b",
            "user@x",
            "a\"b",
            "x:-1",
            "[]",
            "[",
            "[::1",
            "[g]",
            "[::1]80",
            "[::1]x:80",
            "[]:80",
            "[::1]:8x",
            "[::1]:123456",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
