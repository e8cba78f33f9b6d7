//! The encoder of HTTP/1.1 responses (RFC 9112 section 4).

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

/// The number of fields that most responses with content have.
const USUAL_FIELDS: usize = 4;

/// A response to encode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Its fields without those that [`Self::encode_head`] adds.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// The content, or the start of a stream.
    pub body: Cow<'static, [u8]>,
    /// Whether the content has no known end: it is sent in chunks, or in HTTP/1.0 until the connection closes (RFC 9112
    /// sections 6.3 and 7.1).
    pub is_stream: bool,
}

/// The properties of a request and its connection that determine how the response is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// Whether it was a HEAD request: the fields are those of GET, the content is omitted (RFC 9110 section 9.3.2).
    pub is_head: bool,
    /// Whether the connection stays open after it (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the request was HTTP/1.1.
    pub is_http11: bool,
    /// The time for the Date field, since 1970.
    pub unix: Duration,
    /// When the request was received, since the server's start.
    pub since: Duration,
}

impl Framing {
    /// The framing of a response to malformed input: the version is taken for 1.1, and the connection closes.
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
        let mut fields = Vec::with_capacity(USUAL_FIELDS);
        fields.push(("Content-Type", content_type.into()));
        Self {
            status,
            fields,
            body: body.into(),
            is_stream: false,
        }
    }

    /// Adds a field. The value must not contain CR or LF, so input of a peer must be checked before it becomes a value.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = value.into();
        debug_assert!(!value.contains(['\r', '\n']), "{name}");
        self.fields.push((name, value));
        self
    }

    /// Adds names of request fields on which the response depends to Vary (RFC 9110 section 12.5.5). In one line: some caches
    /// read only the first.
    #[must_use]
    pub fn varying_with(mut self, names: &'static str) -> Self {
        let mut fields = self.fields.iter_mut();
        let Some((_, value)) = fields.find(|(name, _)| *name == "Vary") else {
            return self.field("Vary", names);
        };
        let value = value.to_mut();
        value.push_str(", ");
        value.push_str(names);
        self
    }

    /// Appends the head and its empty line. The caller appends the content, except for a HEAD request.
    pub fn encode_head(&self, framing: Framing, date: &mut HttpDate, out: &mut Vec<u8>) {
        push_all(out, &["HTTP/1.1 "]);
        push_number(out, self.status.into());
        let date = date.at(framing.unix);
        push_all(out, &[" ", reason(self.status), "\r\nDate: ", date, "\r\n"]);
        for (name, value) in &self.fields {
            push_all(out, &[name, ": ", value, "\r\n"]);
        }
        // No Content-Length: 1xx and 204 never have content (RFC 9110 section 8.6), and in 304 the field is optional.
        if self.is_stream && framing.is_http11 {
            push_all(out, &["Transfer-Encoding: chunked\r\n"]);
        } else if self.status >= 200 && self.status != 204 && self.status != 304 && !self.is_stream
        {
            push_all(out, &["Content-Length: "]);
            push_number(out, self.body.len() as u64);
            push_all(out, &["\r\n"]);
        }
        self.encode_connection(framing, out);
        push_all(out, &["\r\n"]);
    }

    /// Appends the Connection field, if there is anything to say: that an Upgrade field is for this connection only (RFC
    /// 9110 section 7.8), and what becomes of the connection. In one line: some clients read only the first.
    fn encode_connection(&self, framing: Framing, out: &mut Vec<u8>) {
        let is_kept = framing.keep_alive && !self.is_stream;
        let end = match (is_kept, framing.is_http11) {
            (false, _) if self.status != 101 => "close",
            (true, false) => "keep-alive",
            _ => "",
        };
        let upgrades = self.fields.iter().any(|(name, _)| *name == "Upgrade");
        match (upgrades, end) {
            (false, "") => {}
            (true, "") => push_all(out, &["Connection: Upgrade\r\n"]),
            (false, end) => push_all(out, &["Connection: ", end, "\r\n"]),
            (true, end) => push_all(out, &["Connection: Upgrade, ", end, "\r\n"]),
        }
    }
}

/// Appends texts; `write!` takes several times as long.
fn push_all(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends a number in decimal.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    // 64 bits are at most 20 digits.
    let mut digits = [b'0'; 20];
    let mut start = digits.len() - 1;
    digits[start] += (number % 10) as u8;
    while number > 9 {
        number /= 10;
        start -= 1;
        digits[start] += (number % 10) as u8;
    }
    out.extend_from_slice(&digits[start..]);
}

/// The value of the Date field (RFC 9110 section 6.6.1), formatted once a second.
#[derive(Debug, Default)]
pub struct HttpDate {
    /// The second since 1970 of `text`.
    second: Option<u64>,
    text: String,
}

impl HttpDate {
    /// The date at a time since 1970.
    fn at(&mut self, unix: Duration) -> &str {
        let second = unix.min(LAST_HTTP_DATE).as_secs();
        if self.second.replace(second) != Some(second) {
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        &self.text
    }
}

/// 9999-12-31T23:59:59Z, the last time the date format can represent.
const LAST_HTTP_DATE: Duration = Duration::from_secs(253_402_300_799);

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        308 => "Permanent Redirect",
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
        421 => "Misdirected Request",
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
        response.encode_head(framing, &mut HttpDate::default(), &mut out);
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
    fn what_a_response_depends_on_is_in_one_line() {
        let response = Response::empty(200)
            .varying_with("Accept-Encoding")
            .varying_with("Origin");
        let lines = lines(&response, FRAMING);
        assert_eq!(lines[1], "Vary: Accept-Encoding, Origin");
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
        for (status, keep_alive, is_http11, expected) in [
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
            assert_eq!(found.map(String::as_str), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_response_with_an_upgrade_field_has_one_connection_field() {
        for (status, keep_alive, is_http11, expected) in [
            (101, true, true, "Connection: Upgrade"),
            (426, true, true, "Connection: Upgrade"),
            (426, false, true, "Connection: Upgrade, close"),
            (426, true, false, "Connection: Upgrade, keep-alive"),
        ] {
            let framing = Framing {
                keep_alive,
                is_http11,
                ..FRAMING
            };
            let response = Response::empty(status).field("Upgrade", "websocket");
            let lines = lines(&response, framing);
            let found = lines.iter().filter(|line| line.starts_with("Connection"));
            assert_eq!(found.collect::<Vec<_>>(), [expected]);
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
        for (status, expected) in [
            (308, "Permanent Redirect"),
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
            (421, "Misdirected Request"),
            (426, "Upgrade Required"),
            (429, "Too Many Requests"),
            (431, "Request Header Fields Too Large"),
            (501, "Not Implemented"),
            (503, "Service Unavailable"),
            (505, "HTTP Version Not Supported"),
        ] {
            assert_eq!(reason(status), expected);
        }
    }

    #[test]
    fn a_date_is_formatted_anew_when_its_second_is_over() {
        let mut date = HttpDate::default();
        for (millis, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (999, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_000, "Thu, 01 Jan 1970 00:00:01 GMT"),
            (500, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            assert_eq!(date.at(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_number_is_written_in_decimal() {
        for number in [0, 9, 10, 200, 65_536, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_date_beyond_the_format_is_its_last() {
        let framing = Framing {
            unix: Duration::MAX,
            ..FRAMING
        };
        let mut out = Vec::new();
        Response::empty(200).encode_head(framing, &mut HttpDate::default(), &mut out);
        let head = String::from_utf8_lossy(&out);
        assert!(
            head.contains("Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n"),
            "{head}"
        );
    }
}
