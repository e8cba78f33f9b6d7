//! HTTP/1.1 responses (RFC 9112 section 4), encoded.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

/// A response before it is bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Fields beside those that every response has.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// The content, or how it begins.
    pub body: Cow<'static, [u8]>,
    /// Whether the content goes on without an end: in chunks, or in HTTP/1.0 until the connection closes (RFC 9112
    /// sections 6.3 and 7.1).
    pub is_stream: bool,
}

/// What the connection adds to a response.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// A HEAD request: the fields as for GET, no content (RFC 9110 section 9.3.2).
    pub is_head: bool,
    /// Whether the connection stays open, and is told so where that is not the default.
    pub keep_alive: bool,
    /// Whether the request was HTTP/1.1.
    pub is_http11: bool,
    /// For the Date field, since 1970.
    pub unix: Duration,
    /// When the request came, since the server's start.
    pub since: Duration,
}

impl Framing {
    /// Of a response to what was no request: nothing is known of the peer, and the connection closes.
    pub fn of_refusal(unix: Duration, since: Duration) -> Self {
        Self {
            is_head: false,
            keep_alive: false,
            is_http11: true,
            unix,
            since,
        }
    }
}

impl Response {
    /// A response without content.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Cow::Borrowed(&[]),
            is_stream: false,
        }
    }

    /// A response with content of a type.
    pub fn with(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Self {
            status,
            fields: vec![("Content-Type", content_type.into())],
            body: body.into(),
            is_stream: false,
        }
    }

    /// Adds a field. The value must not have line ends; what a peer sent never becomes one undecoded.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = value.into();
        debug_assert!(!value.contains(['\r', '\n']), "{name}");
        self.fields.push((name, value));
        self
    }

    /// Appends the head, with its empty line. The content follows as it is, but for a HEAD request.
    pub fn encode_head(&self, framing: Framing, out: &mut Vec<u8>) {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + framing.unix.min(LAST_HTTP_DATE));
        // Writing into a Vec cannot fail.
        _ = write!(
            out,
            "HTTP/1.1 {} {}\r\nDate: {date}\r\n",
            self.status,
            reason(self.status)
        );
        for (name, value) in &self.fields {
            _ = write!(out, "{name}: {value}\r\n");
        }
        // 1xx and 204 have no content by definition; 304 tells no length of what it does not send.
        if self.is_stream && framing.is_http11 {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if self.status >= 200 && self.status != 204 && self.status != 304 && !self.is_stream
        {
            _ = write!(out, "Content-Length: {}\r\n", self.body.len());
        }
        match (framing.keep_alive && !self.is_stream, framing.is_http11) {
            (false, _) if self.status != 101 => out.extend_from_slice(b"Connection: close\r\n"),
            (true, false) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// 9999-12-31T23:59:59Z, the last the date format can say.
const LAST_HTTP_DATE: Duration = Duration::from_secs(253_402_300_799);

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
