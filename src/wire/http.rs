//! HTTP/1.1 requests (RFC 9110, RFC 9112): the head of a request, checked.
//!
//! httparse splits the head into its parts. Everything else that keeps a request from meaning two things to two readers
//! (request smuggling) is checked here: line ends, Host, lengths and codings, target forms.

use zeroize::Zeroizing;

use super::target::{decode, is_authority, read_target};
use super::websocket::is_valid_key;
use crate::config::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, TARGET_BYTES_MAX};

/// Why a head is not taken. Each is answered with its status and the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// 400, with the reason in English.
    BadRequest(&'static str),
    /// 411: a body without Content-Length.
    LengthRequired,
    /// 414: a target over [`TARGET_BYTES_MAX`].
    TargetTooLong,
    /// 417: an expectation other than 100-continue.
    ExpectationFailed,
    /// 431: more than [`HEAD_BYTES_MAX`] bytes or [`HEAD_FIELDS_MAX`] fields.
    FieldsTooLarge,
    /// 501: a method or transfer coding nobody here knows.
    NotImplemented,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported,
}

/// The methods of RFC 9110 section 9 and PATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
}

impl Method {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            _ => return None,
        })
    }
}

/// What a request asks of the protocol on its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing: it is HTTP.
    None,
    /// WebSocket version 13 with this key.
    WebSocket {
        /// The `Sec-WebSocket-Key`.
        key: Box<str>,
    },
    /// WebSocket of another version: 426 with the one that is spoken.
    UnsupportedVersion,
    /// An opening handshake that breaks RFC 6455 section 4.2.1.
    Malformed,
}

/// A request; the body is added when it has come.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path between its slashes, each part percent-decoded; empty for the asterisk form.
    pub path: Vec<String>,
    /// What follows the question mark, as it came.
    pub query: String,
    /// Whether it is HTTP/1.1 (else 1.0).
    pub is_http11: bool,
    /// Whether the connection may stay open after it (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// The length of the body, if one was announced.
    pub content_length: Option<u64>,
    /// Whether the client waits for 100 before it sends the body.
    pub expects_continue: bool,
    /// The Host field.
    pub host: Box<str>,
    /// Fields the routes look at.
    pub fields: Fields,
    /// Whether and how it wants to be a WebSocket.
    pub upgrade: Upgrade,
    /// The body; it may hold a password, and is wiped when dropped.
    pub body: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Request {
    /// Without query, fields and body: each may hold a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The values of the fields the routes look at.
#[derive(Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub struct Fields {
    pub accept_language: Option<Box<str>>,
    pub authorization: Option<Box<str>>,
    pub content_type: Option<Box<str>>,
    pub last_event_id: Option<Box<str>>,
    pub if_none_match: Option<Box<str>>,
    pub origin: Option<Box<str>>,
    pub preflight_method: Option<Box<str>>,
}

/// Reads the head at the beginning of `bytes`: the request and the head's length, or `None` while it is incomplete.
///
/// # Errors
/// [`HeadError`], as early as it is certain.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize)>, HeadError> {
    // What stands beyond the limit is not looked at, so that it does not matter how much has come.
    let bytes = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    // An empty line before the request line is ignored (RFC 9112 section 2.2).
    let skipped = bytes.chunks(2).take_while(|pair| pair == b"\r\n").count() * 2;
    let Some(length) = find_end(&bytes[skipped..])? else {
        return match bytes.len() {
            0..HEAD_BYTES_MAX => Ok(None),
            _ => Err(too_large(&bytes[skipped..])),
        };
    };
    let head = &bytes[skipped..skipped + length];
    check_version(head)?;
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(HeadError::BadRequest("incomplete head")),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::FieldsTooLarge),
        Err(httparse::Error::Version) => return Err(HeadError::VersionNotSupported),
        Err(_) => return Err(HeadError::BadRequest("malformed request line or field")),
    }
    let method =
        Method::parse(parsed.method.unwrap_or_default()).ok_or(HeadError::NotImplemented)?;
    let is_http11 = parsed.version == Some(1);
    let lines = Lines(parsed.headers);
    let target = parsed.path.unwrap_or_default();
    let request = read_request(method, target, is_http11, &lines)?;
    Ok(Some((request, skipped + length)))
}

/// The length of the head with its empty line. A line feed without a carriage return is an error, not a line end: two
/// readers could disagree about it (RFC 9112 section 2.2).
fn find_end(bytes: &[u8]) -> Result<Option<usize>, HeadError> {
    let mut line_start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        match at.checked_sub(1) {
            Some(before) if bytes[before] == b'\r' => {
                if before == line_start {
                    return Ok(Some(at + 1));
                }
                line_start = at + 1;
            }
            _ => return Err(HeadError::BadRequest("a line must end with CRLF")),
        }
    }
    Ok(None)
}

fn too_large(head: &[u8]) -> HeadError {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or(head);
    if line.len() > TARGET_BYTES_MAX {
        HeadError::TargetTooLong
    } else {
        HeadError::FieldsTooLarge
    }
}

/// Any `HTTP/x.y` but 1.0 and 1.1 is a version that is not supported, not a malformed line (RFC 9110 section 15.6.6).
fn check_version(head: &[u8]) -> Result<(), HeadError> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or(head);
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or(line);
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(HeadError::VersionNotSupported)
        }
        _ => Err(HeadError::BadRequest("malformed request line")),
    }
}

struct Lines<'h>(&'h [httparse::Header<'h>]);

impl<'h> Lines<'h> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'h [u8]> {
        self.0
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The value of a field that may stand at most once.
    fn single(&self, name: &'static str) -> Result<Option<&'h str>, HeadError> {
        let mut values = self.all(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(HeadError::BadRequest(
                "a field stands twice that may stand once",
            ));
        }
        let value =
            std::str::from_utf8(value).map_err(|_| HeadError::BadRequest("a field is not text"))?;
        Ok(Some(value.trim_matches([' ', '\t'])))
    }

    fn owned(&self, name: &'static str) -> Result<Option<Box<str>>, HeadError> {
        Ok(self.single(name)?.map(Into::into))
    }

    /// The value of a field whatever it is: one that is no text is no event ID we gave, and so no error.
    fn lossy(&self, name: &'static str) -> Option<Box<str>> {
        let value = self.all(name).next()?;
        Some(String::from_utf8_lossy(value.trim_ascii()).into())
    }

    /// The members of a comma-separated field (RFC 9110 section 5.6.1).
    fn members(&self, name: &'static str) -> impl Iterator<Item = &'h str> {
        let values = self
            .all(name)
            .filter_map(|value| std::str::from_utf8(value).ok());
        values
            .flat_map(|value| value.split(','))
            .map(|member| member.trim_matches([' ', '\t']))
    }

    fn has(&self, name: &'static str, member: &str) -> bool {
        self.members(name)
            .any(|other| other.eq_ignore_ascii_case(member))
    }
}

fn read_request(
    method: Method,
    target: &str,
    is_http11: bool,
    lines: &Lines<'_>,
) -> Result<Request, HeadError> {
    if target.len() > TARGET_BYTES_MAX {
        return Err(HeadError::TargetTooLong);
    }
    let (path, query) = read_target(method, target)?;
    let keep_alive =
        !lines.has("connection", "close") && (is_http11 || lines.has("connection", "keep-alive"));
    let expects_continue = match lines.single("expect")? {
        None => false,
        Some(value) if value.eq_ignore_ascii_case("100-continue") => is_http11,
        Some(_) => return Err(HeadError::ExpectationFailed),
    };
    let content_length = read_length(is_http11, lines)?;
    Ok(Request {
        method,
        path,
        query,
        is_http11,
        keep_alive,
        content_length,
        expects_continue,
        host: read_host(is_http11, lines)?,
        fields: Fields {
            accept_language: lines.owned("accept-language").unwrap_or_default(),
            authorization: lines.owned("authorization")?,
            content_type: lines.owned("content-type")?,
            last_event_id: lines.lossy("last-event-id"),
            if_none_match: lines.owned("if-none-match").unwrap_or_default(),
            origin: lines.owned("origin")?,
            preflight_method: lines.owned("access-control-request-method")?,
        },
        upgrade: read_upgrade(method, is_http11, content_length, lines)?,
        body: Zeroizing::default(),
    })
}

/// The length of the body (RFC 9112 section 6.3). Bodies in transfer codings are not read: a server may ask for a
/// length instead, and a coding that is not understood cannot be smuggled through.
fn read_length(is_http11: bool, lines: &Lines<'_>) -> Result<Option<u64>, HeadError> {
    let mut codings = lines.all("transfer-encoding");
    if let Some(coding) = codings.next() {
        if !is_http11 || lines.all("content-length").next().is_some() {
            return Err(HeadError::BadRequest(
                "Transfer-Encoding with Content-Length or in HTTP/1.0",
            ));
        }
        let is_chunked = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        return Err(if is_chunked {
            HeadError::LengthRequired
        } else {
            HeadError::NotImplemented
        });
    }
    let Some(value) = lines.single("content-length")? else {
        return Ok(None);
    };
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HeadError::BadRequest(
            "Content-Length must be one decimal number",
        ));
    }
    // A number too large for 64 bits is larger than any limit.
    Ok(Some(value.parse().unwrap_or(u64::MAX)))
}

/// Exactly one valid Host (RFC 9112 section 3.2); HTTP/1.0 may do without.
fn read_host(is_http11: bool, lines: &Lines<'_>) -> Result<Box<str>, HeadError> {
    match lines.single("host")? {
        None if is_http11 => Err(HeadError::BadRequest("Host is missing")),
        None => Ok("".into()),
        Some(host) if is_authority(host) => Ok(host.into()),
        Some(_) => Err(HeadError::BadRequest("Host is not a host")),
    }
}

/// Whether the request opens a WebSocket (RFC 6455 section 4.2.1).
fn read_upgrade(
    method: Method,
    is_http11: bool,
    content_length: Option<u64>,
    lines: &Lines<'_>,
) -> Result<Upgrade, HeadError> {
    // HTTP/1.0 has no upgrades: the fields mean nothing there (RFC 9110 section 7.8).
    if !is_http11 || !lines.has("upgrade", "websocket") || !lines.has("connection", "upgrade") {
        return Ok(Upgrade::None);
    }
    let key = lines.single("sec-websocket-key")?;
    let version = lines.single("sec-websocket-version")?;
    Ok(match (key, version) {
        _ if method != Method::Get || content_length.unwrap_or(0) > 0 => Upgrade::Malformed,
        (_, Some(version)) if version != "13" => Upgrade::UnsupportedVersion,
        (Some(key), Some(_)) if is_valid_key(key) => Upgrade::WebSocket { key: key.into() },
        _ => Upgrade::Malformed,
    })
}

impl Request {
    /// The decoded value of a query parameter, the first of that name. A plus sign is a space, as forms and
    /// `URLSearchParams` write it (WHATWG URL section 5.1).
    ///
    /// # Errors
    /// `BadRequest` when it is not UTF-8.
    pub fn parameter(&self, name: &str) -> Result<Option<String>, HeadError> {
        let mut pairs = self
            .query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.replace('+', " "));
        value.map(|value| decode(&value)).transpose()
    }

    /// Whether the client reads English rather than Korean (RFC 9110 section 12.5.4).
    pub fn prefers_english(&self) -> bool {
        let weight = |wanted: &str| {
            let ranges = self
                .fields
                .accept_language
                .as_deref()
                .unwrap_or_default()
                .split(',');
            let weights = ranges.filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let language = parts.next()?.split('-').next()?;
                let weight = parts
                    .find_map(|part| part.strip_prefix("q="))
                    .map_or(Ok(1.0), str::parse::<f32>);
                language
                    .eq_ignore_ascii_case(wanted)
                    .then_some(weight.unwrap_or(0.0))
            });
            weights.fold(0.0, f32::max)
        };
        weight("en") > weight("ko")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn every_method_of_the_rfc_is_known() {
        for name in "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH".split(' ') {
            let method = Method::parse(name).map(|method| format!("{method:?}").to_uppercase());
            assert_eq!(method.as_deref(), Some(name));
        }
        assert_eq!(Method::parse("get"), None);
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
