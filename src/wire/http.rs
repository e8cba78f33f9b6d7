//! HTTP/1.1 requests (RFC 9110, RFC 9112): the parser of their heads.
//!
//! `head.rs` finds the end of a head and checks its line ends and its request line while it arrives; httparse splits it
//! into its parts. The other checks against request smuggling (RFC 9112 section 11.2) are in `body_length.rs`, and here:
//! Host and the forms of the target.

use std::mem::MaybeUninit;

pub use super::body_length::BodyLength;
use super::content_coding::takes_gzip;
use super::field_lines::{FieldLines, Name};
use super::forwarded::{Forwarding, Proxy, read_forwarding};
use super::head::HeadScan;
pub use super::head_error::HeadError;
use super::language::prefers_english;
pub use super::method::Method;
use super::secret_bytes::SecretBytes;
use super::target::{Path, decode, is_authority, read_target};
use super::websocket::{SUBPROTOCOL, is_valid_key};
use crate::config::{HEAD_FIELDS_MAX, TARGET_BYTES_MAX};

/// The upgrade a request asks for (RFC 9110 section 7.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// None: it is an ordinary HTTP request.
    None,
    /// A valid opening handshake of WebSocket version 13.
    WebSocket {
        /// The `Sec-WebSocket-Key`.
        key: Box<str>,
    },
    /// WebSocket of another version: answered with 426 and the supported one (RFC 6455 section 4.4).
    UnsupportedVersion,
    /// A malformed opening handshake (RFC 6455 section 4.2.1).
    Malformed,
}

/// A request; the body is filled in as it is received.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path; empty for the asterisk form.
    pub path: Path,
    /// The query of the target, without the question mark and not decoded.
    pub query: String,
    /// Whether it is HTTP/1.1 (else 1.0).
    pub is_http11: bool,
    /// Whether the connection may stay open after it (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// The length of the body, as the head announces it.
    pub body_length: BodyLength,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// The authority of the target URI: of an absolute-form target, else Host; empty if HTTP/1.0 names none.
    pub host: Box<str>,
    /// The other fields the routes evaluate.
    pub fields: Fields,
    /// Who sent it, if its peer is a proxy or claims to be one.
    pub forwarding: Option<Forwarding>,
    /// The upgrade it asks for.
    pub upgrade: Upgrade,
    /// The body; it may contain a password, and is wiped when dropped.
    pub body: SecretBytes,
}

impl std::fmt::Debug for Request {
    /// Omits query, fields and body: each may contain a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The values of the fields the routes evaluate.
#[derive(Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the RFC")]
pub struct Fields {
    pub accept_language: Option<Box<str>>,
    pub authorization: Option<Box<str>>,
    pub content_type: Option<Box<str>>,
    /// Whether the content has a coding (Content-Encoding).
    pub is_encoded: bool,
    pub last_event_id: Option<Box<str>>,
    pub if_none_match: Option<Box<str>>,
    pub origin: Option<Box<str>>,
    pub preflight_headers: Option<Box<str>>,
    pub preflight_method: Option<Box<str>>,
    /// The subprotocol that is chosen of those that Sec-WebSocket-Protocol offers.
    pub subprotocol: Option<&'static str>,
    /// Whether the client takes content in the coding gzip ([`takes_gzip`]).
    pub takes_gzip: bool,
}

/// Parses the head at the start of `bytes`, of a peer that is no trusted proxy: the request and the head's length in
/// bytes, or `None` while it is incomplete.
///
/// # Errors
/// [`HeadError`], for an incomplete head as soon as it is certain.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize)>, HeadError> {
    let Some(length) = HeadScan::default().advance(bytes)? else {
        return Ok(None);
    };
    let request = parse_whole_head(&bytes[..length], None)?;
    Ok(Some((request, length)))
}

/// Parses a complete head, whose end [`HeadScan`] has found. `proxy` is its peer, if that is a trusted proxy.
///
/// # Errors
/// [`HeadError`], if a server has to refuse it.
pub fn parse_whole_head(head: &[u8], proxy: Option<Proxy<'_>>) -> Result<Request, HeadError> {
    let mut fields = [const { MaybeUninit::uninit() }; HEAD_FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(HeadError::BadRequest("incomplete head")),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::FieldsTooLarge),
        Err(_) => return Err(HeadError::BadRequest("malformed request line or field")),
    }
    let method =
        Method::parse(parsed.method.unwrap_or_default()).ok_or(HeadError::NotImplemented)?;
    let is_http11 = parsed.version == Some(1);
    let target = parsed.path.unwrap_or_default();
    let lines = FieldLines::new(parsed.headers);
    read_request(method, target, is_http11, &lines, proxy)
}

fn read_request(
    method: Method,
    target: &str,
    is_http11: bool,
    lines: &FieldLines<'_>,
    proxy: Option<Proxy<'_>>,
) -> Result<Request, HeadError> {
    if target.len() > TARGET_BYTES_MAX {
        return Err(HeadError::TargetTooLong);
    }
    let target = read_target(method, target)?;
    // A proxy may hand over the connection as soon as a request asks for an upgrade, and apply its rules to nothing behind
    // it: so nothing behind it is served, unless it is upgraded.
    let keep_alive = !lines.has(Name::Connection, "close")
        && !lines.is_present(Name::Upgrade)
        && (is_http11 || lines.has(Name::Connection, "keep-alive"));
    let expects_continue = match lines.single(Name::Expect)? {
        None => false,
        Some(value) if value.eq_ignore_ascii_case("100-continue") => is_http11,
        Some(_) => return Err(HeadError::ExpectationFailed),
    };
    let body_length = BodyLength::read(is_http11, lines)?;
    Ok(Request {
        method,
        path: target.path,
        query: target.query,
        is_http11,
        keep_alive,
        body_length,
        expects_continue,
        host: read_host(is_http11, target.authority, lines)?,
        fields: Fields {
            accept_language: lines.joined(Name::AcceptLanguage),
            authorization: lines.owned(Name::Authorization)?,
            content_type: lines.owned(Name::ContentType)?,
            is_encoded: lines
                .members(Name::ContentEncoding)
                .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity")),
            last_event_id: lines.lossy(Name::LastEventId),
            if_none_match: lines.joined(Name::IfNoneMatch),
            origin: lines.owned(Name::Origin)?,
            preflight_headers: lines.joined(Name::PreflightHeaders),
            preflight_method: lines.owned(Name::PreflightMethod)?,
            subprotocol: choose_subprotocol(lines),
            takes_gzip: takes_gzip(lines.members(Name::AcceptEncoding)),
        },
        forwarding: read_forwarding(proxy, lines),
        upgrade: read_upgrade(method, is_http11, body_length, lines)?,
        body: SecretBytes::default(),
    })
}

/// The authority of the target URI. Exactly one valid Host is needed (RFC 9112 section 3.2), which is optional in
/// HTTP/1.0; if the target has an authority of its own, that one counts, and the value of Host is ignored, whatever it is
/// (section 3.2.2).
fn read_host(
    is_http11: bool,
    authority: Option<&str>,
    lines: &FieldLines<'_>,
) -> Result<Box<str>, HeadError> {
    let mut values = lines.all(Name::Host);
    let host = match (values.next(), authority) {
        (None, _) if is_http11 => return Err(HeadError::BadRequest("Host is missing")),
        _ if values.next().is_some() => return Err(HeadError::BadRequest("Host is repeated")),
        (_, Some(authority)) => authority,
        (None, None) => "",
        (Some(_), None) => match lines.single(Name::Host)? {
            Some(host) if is_authority(host) => host,
            _ => return Err(HeadError::BadRequest("Host is malformed")),
        },
    };
    Ok(host.into())
}

/// Of the subprotocols a client offers, the one that is spoken here. Names have case: a client that offered another
/// spelling would not know the answer (RFC 6455 section 4.1).
fn choose_subprotocol(lines: &FieldLines<'_>) -> Option<&'static str> {
    let mut offered = lines.members(Name::WebSocketProtocol);
    offered
        .any(|name| name == SUBPROTOCOL)
        .then_some(SUBPROTOCOL)
}

/// Checks whether the request is an opening handshake (RFC 6455 section 4.2.1).
fn read_upgrade(
    method: Method,
    is_http11: bool,
    body_length: BodyLength,
    lines: &FieldLines<'_>,
) -> Result<Upgrade, HeadError> {
    // In HTTP/1.0 Upgrade has to be ignored (RFC 9110 section 7.8).
    if !is_http11
        || !lines.has(Name::Upgrade, "websocket")
        || !lines.has(Name::Connection, "upgrade")
    {
        return Ok(Upgrade::None);
    }
    let key = lines.single(Name::WebSocketKey)?;
    let version = lines.single(Name::WebSocketVersion)?;
    Ok(match (key, version) {
        _ if method != Method::Get || body_length.may_have_content() => Upgrade::Malformed,
        (_, Some(version)) if version != "13" => Upgrade::UnsupportedVersion,
        (Some(key), Some(_)) if is_valid_key(key) => Upgrade::WebSocket { key: key.into() },
        _ => Upgrade::Malformed,
    })
}

impl Request {
    /// The decoded value of the first query parameter of this decoded name. A plus sign is a space, as in forms and
    /// `URLSearchParams` (WHATWG URL section 5.1).
    ///
    /// # Errors
    /// `BadRequest` if it is not UTF-8.
    pub fn parameter(&self, name: &str) -> Result<Option<String>, HeadError> {
        let decode = |text: &str| decode(&text.replace('+', " "));
        let is_named = |key: &str| {
            key == name || key.contains(['%', '+']) && decode(key).is_ok_and(|key| key == name)
        };
        let mut pairs = self
            .query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = pairs.find(|(key, _)| is_named(key));
        value.map(|(_, value)| decode(value)).transpose()
    }

    /// Whether the response is in English rather than Korean ([`prefers_english`]).
    pub fn prefers_english(&self) -> bool {
        prefers_english(self.fields.accept_language.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HEAD_BYTES_MAX;

    fn read(head: &str) -> Result<Request, HeadError> {
        parse_head(head.as_bytes()).map(|read| read.expect("is whole").0)
    }

    fn get(target: &str) -> Request {
        read(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\nrest")).expect("is valid")
    }

    #[test]
    fn a_path_is_split_before_it_is_decoded() {
        let path = get("/rooms/a%2Fb/%ED%99%8D?x").path;
        assert_eq!(path, ["rooms", "a/b", "홍"]);
        assert_eq!(get("/rooms/홍").path, ["rooms", "홍"]);
    }

    #[test]
    fn a_query_parameter_is_decoded_as_forms_write_it() {
        let request = get("/ws?a=1&username=%ED%99%8D+%2B&username=2");
        assert_eq!(request.parameter("username"), Ok(Some("홍 +".into())));
        assert_eq!(request.parameter("user"), Ok(None));
    }

    #[test]
    fn the_name_of_a_query_parameter_is_decoded_too() {
        for (query, name, expected) in [
            ("user%6Eame=kim", "username", Some("kim")),
            ("%75sername=a&username=b", "username", Some("a")),
            ("tick%65t=%41", "ticket", Some("A")),
            ("last%5Fevent_id", "last_event_id", Some("")),
            ("a+b=1", "a b", Some("1")),
            ("a%2Bb=1", "a b", None),
            ("%ff=1&a=2", "a", Some("2")),
            ("a%26b=1&b=2", "b", Some("2")),
            ("a%3Db=1", "a=b", Some("1")),
        ] {
            let found = get(&format!("/?{query}")).parameter(name);
            assert_eq!(found, Ok(expected.map(str::to_owned)), "{query}");
        }
    }

    #[test]
    fn a_head_in_pieces_is_awaited_and_a_bare_line_feed_is_not() {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nrest";
        for whole in [head.len() - 4, head.len()] {
            let read = parse_head(&head[..whole]).expect("is valid");
            assert_eq!(read.expect("is whole").1, head.len() - 4);
        }
        assert_eq!(parse_head(&head[..head.len() - 5]), Ok(None));
        assert!(matches!(
            parse_head(b"GET / HTTP/1.1\n"),
            Err(HeadError::BadRequest(_))
        ));
    }

    #[test]
    fn a_request_is_shown_without_its_secrets() {
        let fields = "Host: x\r\nAuthorization: Bearer s3cret\r\nLast-Event-ID: s3cret ";
        let head = format!("GET /a?ticket=s3cret HTTP/1.1\r\n{fields}\r\n\r\n");
        let request = read(&head).expect("is valid");
        assert_eq!(request.fields.last_event_id.as_deref(), Some("s3cret"));
        let shown = format!("{request:?}");
        assert!(
            shown.contains("\"a\"") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn a_version_is_another_one_or_no_version() {
        let read = |version| read(&format!("GET / {version}\r\nHost: x\r\n\r\n"));
        assert_eq!(read("HTTP/2.0"), Err(HeadError::VersionNotSupported));
        for version in ["HTTP/a.1", "HTTP/1.a", "HTTQ/1.1"] {
            let error = HeadError::BadRequest("malformed request line");
            assert_eq!(read(version), Err(error));
        }
    }

    #[test]
    fn a_head_is_taken_up_to_its_limit_and_blamed_on_its_target_or_its_fields() {
        let head = |target: usize, whole: usize| {
            let start = format!(
                "GET /{} HTTP/1.1\r\nHost: x\r\nA: ",
                "t".repeat(target - 14)
            );
            format!("{start}{}\r\n\r\n", "f".repeat(whole - start.len() - 4))
        };
        assert!(read(&head(100, HEAD_BYTES_MAX)).is_ok());
        for (line, error) in [
            (100, HeadError::FieldsTooLarge),
            (TARGET_BYTES_MAX, HeadError::FieldsTooLarge),
            (TARGET_BYTES_MAX + 1, HeadError::TargetTooLong),
        ] {
            let head = head(line, HEAD_BYTES_MAX + 1);
            assert_eq!(head.find('\r'), Some(line));
            assert_eq!(read(&head), Err(error));
            assert_eq!(read(&head[..HEAD_BYTES_MAX]), Err(error), "without an end");
        }
    }
}
