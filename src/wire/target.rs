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
