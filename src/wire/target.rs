//! Request targets and authorities (RFC 9112 section 3.2, RFC 3986).

use percent_encoding::percent_decode_str;

use super::http::{HeadError, Method};

/// The four forms of a target (RFC 9112 section 3.2) to a decoded path and a query.
///
/// # Errors
/// `BadRequest` when it is none of them.
pub fn read_target(method: Method, target: &str) -> Result<(Vec<String>, String), HeadError> {
    if target.contains('#') {
        return Err(HeadError::BadRequest("a request target has no fragment"));
    }
    let origin_form = if target.starts_with('/') {
        target
    } else if target == "*" && method == Method::Options {
        return Ok((Vec::new(), String::new()));
    } else if method == Method::Connect {
        // An authority form; no route takes it, and no other method may use it.
        return Ok((Vec::new(), String::new()));
    } else {
        let rest = strip_scheme(target).ok_or(HeadError::BadRequest("malformed request target"))?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        if !is_authority(&rest[..at]) {
            return Err(HeadError::BadRequest(
                "malformed authority in the request target",
            ));
        }
        &rest[at..]
    };
    let (path, query) = origin_form.split_once('?').unwrap_or((origin_form, ""));
    let path = path
        .strip_prefix('/')
        .unwrap_or(path)
        .split('/')
        .map(decode)
        .collect::<Result<_, _>>()?;
    check_percent(query)?;
    Ok((path, query.to_owned()))
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    ["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
        .then_some(rest)
}

/// Percent-decodes one part of a target to text.
///
/// # Errors
/// `BadRequest` for malformed escapes and for what is not UTF-8.
pub fn decode(part: &str) -> Result<String, HeadError> {
    check_percent(part)?;
    let decoded = percent_decode_str(part).decode_utf8();
    Ok(decoded
        .map_err(|_| HeadError::BadRequest("the request target is not UTF-8"))?
        .into_owned())
}

/// Every percent sign must begin two hexadecimal digits (RFC 3986 section 2.1).
fn check_percent(text: &str) -> Result<(), HeadError> {
    let is_escape = |rest: &str| matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    match text.split('%').skip(1).all(is_escape) {
        true => Ok(()),
        false => Err(HeadError::BadRequest("malformed percent-encoding")),
    }
}

/// `host [":" port]` (RFC 3986 section 3.2.2), without user information.
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
        for (method, target, path, query) in [
            (Method::Get, "/", &[""][..], ""),
            (Method::Get, "/a/b%2Fc?d=%20", &["a", "b/c"], "d=%20"),
            (Method::Get, "/a?b?c", &["a"], "b?c"),
            (Method::Get, "http://x/a", &["a"], ""),
            (Method::Get, "HTTPS://x:80?q", &[""], "q"),
            (Method::Get, "http://[::1]:80/a", &["a"], ""),
            (Method::Options, "*", &[], ""),
            (Method::Options, "/a", &["a"], ""),
            (Method::Connect, "x:80", &[], ""),
        ] {
            let path = path.iter().map(|part| part.to_string()).collect();
            assert_eq!(
                read_target(method, target),
                Ok((path, query.to_owned())),
                "{target}"
            );
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
