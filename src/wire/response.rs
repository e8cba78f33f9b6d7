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

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMING: Framing = Framing {
        is_head: false,
        keep_alive: true,
        is_http11: true,
        unix: Duration::from_secs(784_111_777),
        since: Duration::ZERO,
    };

    /// The lines of a head between the Date and the empty line.
    fn lines(response: &Response, framing: Framing) -> Vec<String> {
        let mut out = Vec::new();
        response.encode_head(framing, &mut out);
        let head = String::from_utf8(out).expect("a head is text");
        let head = head.strip_suffix("\r\n\r\n").expect("an empty line");
        let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
        assert_eq!(lines.remove(1), "Date: Sun, 06 Nov 1994 08:49:37 GMT");
        lines
    }

    #[test]
    fn a_response_has_its_fields_and_its_length() {
        let response = Response::with(201, "text/plain", &b"body"[..]).field("Location", "/x");
        let expected = [
            "HTTP/1.1 201 Created",
            "Content-Type: text/plain",
            "Location: /x",
            "Content-Length: 4",
        ];
        assert_eq!(lines(&response, FRAMING), expected);
        let expected = ["HTTP/1.1 404 Not Found", "Content-Length: 0"];
        assert_eq!(lines(&Response::empty(404), FRAMING), expected);
    }

    #[test]
    fn what_has_no_content_tells_no_length() {
        for (status, line) in [
            (101, "HTTP/1.1 101 Switching Protocols"),
            (204, "HTTP/1.1 204 No Content"),
            (304, "HTTP/1.1 304 Not Modified"),
        ] {
            assert_eq!(lines(&Response::empty(status), FRAMING), [line]);
        }
    }

    #[test]
    fn the_end_of_a_connection_is_told_where_it_is_not_the_default() {
        for (status, keep_alive, is_http11, told) in [
            (200, true, true, None),
            (200, true, false, Some("Connection: keep-alive")),
            (200, false, true, Some("Connection: close")),
            (200, false, false, Some("Connection: close")),
            (101, false, true, None),
        ] {
            let framing = Framing {
                keep_alive,
                is_http11,
                ..FRAMING
            };
            let lines = lines(&Response::empty(status), framing);
            let found = lines.iter().find(|line| line.starts_with("Connection"));
            assert_eq!(found.map(String::as_str), told, "{lines:?}");
        }
    }

    #[test]
    fn a_stream_is_chunked_and_in_http_1_0_lasts_to_the_end_of_the_connection() {
        let mut response = Response::with(200, "text/event-stream", &b""[..]);
        response.is_stream = true;
        let chunked = [
            "HTTP/1.1 200 OK",
            "Content-Type: text/event-stream",
            "Transfer-Encoding: chunked",
            "Connection: close",
        ];
        assert_eq!(lines(&response, FRAMING), chunked);
        let framing = Framing {
            is_http11: false,
            ..FRAMING
        };
        let endless = [chunked[0], chunked[1], chunked[3]];
        assert_eq!(lines(&response, framing), endless);
    }

    #[test]
    fn every_status_that_is_answered_has_its_reason() {
        for (status, told) in [
            (400, "Bad Request"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (405, "Method Not Allowed"),
            (408, "Request Timeout"),
            (409, "Conflict"),
            (411, "Length Required"),
            (413, "Content Too Large"),
            (414, "URI Too Long"),
            (415, "Unsupported Media Type"),
            (417, "Expectation Failed"),
            (426, "Upgrade Required"),
            (429, "Too Many Requests"),
            (431, "Request Header Fields Too Large"),
            (501, "Not Implemented"),
            (503, "Service Unavailable"),
            (505, "HTTP Version Not Supported"),
        ] {
            assert_eq!(reason(status), told);
        }
    }

    #[test]
    fn a_date_beyond_the_format_is_its_last() {
        let framing = Framing {
            unix: Duration::MAX,
            ..FRAMING
        };
        let mut out = Vec::new();
        Response::empty(200).encode_head(framing, &mut out);
        let head = String::from_utf8_lossy(&out);
        assert!(
            head.contains("Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n"),
            "{head}"
        );
    }
}
