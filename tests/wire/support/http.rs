//! A client that sends exactly the given bytes and reads one response at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;

use super::host_of;

/// The field of a JSON body.
pub const JSON: &str = "Content-Type: application/json\r\n";

/// A TCP connection, and the bytes read from it that were not used yet.
pub struct Http {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Http {
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server takes the bytes");
    }

    /// Sends to a server that may have closed the connection already.
    pub fn send_if_open(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, "")
    }

    /// Any request without a body; `fields` are complete lines.
    pub fn request(&mut self, method: &str, target: &str, fields: &str) -> Response {
        let host = self.host();
        self.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
        ));
        if method == "HEAD" {
            self.head()
        } else {
            self.response()
        }
    }

    /// The head of an event stream, which has no end; a refusal is read whole.
    pub fn head_of_stream(&mut self, target: &str, fields: &str) -> Response {
        let host = self.host();
        self.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
        ));
        let mut head = self.head();
        if let Some(length) = head.field("content-length") {
            head.body = self.take(length.parse().expect("Content-Length is a number"));
        }
        head
    }

    pub fn post(&mut self, target: &str, body: &str) -> Response {
        self.post_with(target, JSON, body)
    }

    /// A POST of JSON, for a test that sends several at once or reads its response later.
    pub fn post_request(&self, target: &str, body: &str) -> String {
        post_head(target, &self.host(), JSON, body.len()) + body
    }

    pub fn post_with(&mut self, target: &str, fields: &str, body: impl AsRef<[u8]>) -> Response {
        self.send_with("POST", target, fields, body)
    }

    /// A request of any method with a body.
    pub fn send_with(
        &mut self,
        method: &str,
        target: &str,
        fields: &str,
        body: impl AsRef<[u8]>,
    ) -> Response {
        let body = body.as_ref();
        let head = head_with_body(method, target, &self.host(), fields, body.len());
        self.send([head.as_bytes(), body].concat());
        self.response()
    }

    pub fn host(&self) -> String {
        host_of(&self.stream)
    }

    /// The next response, with the body that its fields announce.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        let bodiless = response.status < 200 || matches!(response.status, 204 | 304);
        if !bodiless {
            let length = response
                .field("content-length")
                .unwrap_or_else(|| panic!("a body without Content-Length: {response:?}"))
                .parse()
                .expect("Content-Length is a number");
            response.body = self.take(length);
        }
        response
    }

    /// The head of the next response: the whole response to HEAD.
    pub fn head(&mut self) -> Response {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(
                self.fill(),
                "the server hung up before the end of a response head; it sent {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        };
        let head = String::from_utf8(self.take(end)).expect("a response head is UTF-8");
        parse_head(&head)
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(
                self.fill(),
                "the server hung up {} bytes early",
                count - self.buffer.len()
            );
        }
        self.buffer.drain(..count).collect()
    }

    /// Fails unless the server sends nothing more and closes the connection.
    pub fn expect_end(&mut self) {
        if let Some(rest) = self.rest() {
            panic!(
                "the server said more before it hung up: {:?}",
                String::from_utf8_lossy(&rest)
            );
        }
    }

    /// The bytes that come before the server closes the connection.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        while self.fill() {}
        let rest = std::mem::take(&mut self.buffer);
        (!rest.is_empty()).then_some(rest)
    }

    /// Reads once; false at the end of the connection.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            // A read with a timeout is not restarted when a debugger or job control stops the process.
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("the server sends nothing and does not hang up")
            }
            Err(error) => panic!("reading from the server: {error}"),
        }
    }

    /// Ends the client's direction; answers can still be read.
    pub fn half_close(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("the writing half closes");
    }

    /// Ends the connection with a TCP reset.
    pub fn reset(self) {
        reset(self.stream);
    }
}

/// The head of a POST; `fields` are complete lines.
pub fn post_head(target: &str, host: &str, fields: &str, length: usize) -> String {
    head_with_body("POST", target, host, fields, length)
}

fn head_with_body(method: &str, target: &str, host: &str, fields: &str, length: usize) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {length}\r\n\r\n"
    )
}

/// Ends a connection with a TCP reset.
pub fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(std::time::Duration::ZERO)).expect("SO_LINGER");
    drop(stream);
}

fn parse_head(head: &str) -> Response {
    let mut lines = head.trim_end().split("\r\n");
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
    let version = words.next().unwrap_or_default().to_owned();
    let status = words
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no status line: {head:?}"));
    let fields = lines
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("a field line without a colon: {line:?}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    let response = Response {
        version,
        status,
        fields,
        body: Vec::new(),
    };
    response.assert_not_sniffed();
    response
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// No answer lets a browser guess another content type, whatever the answer is; those without an end of their own
    /// (1xx) have no content.
    fn assert_not_sniffed(&self) {
        let fields = self.fields.iter();
        let mut sniffing = fields.filter(|(name, _)| name == "x-content-type-options");
        let values = (sniffing.next(), sniffing.next());
        let is_right = match values {
            (None, None) => self.status < 200,
            (Some((_, value)), None) => self.status >= 200 && value == "nosniff",
            _ => false,
        };
        assert!(is_right, "X-Content-Type-Options: {self:?}");
    }

    /// A field that must be present.
    /// The values of all lines of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.fields.iter().filter(|(known, _)| known == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }

    pub fn required(&self, name: &str) -> &str {
        self.field(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Whether a field with a list value has a token, ignoring case.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.field(name).is_some_and(|value| {
            value
                .split(',')
                .any(|one| one.trim().eq_ignore_ascii_case(token))
        })
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    pub fn json(&self) -> Value {
        assert!(
            self.required("content-type")
                .starts_with("application/json"),
            "not JSON: {self:?}"
        );
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the body is not JSON ({error}): {:?}", self.text()))
    }

    /// The code of an error in the common error format.
    pub fn error_code(&self) -> String {
        let body = self.json();
        let error = &body["error"];
        let message = error["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "an error without a message: {body}");
        error["code"]
            .as_str()
            .unwrap_or_else(|| panic!("an error without a code: {body}"))
            .to_owned()
    }

    /// Fails unless the response is that error.
    pub fn assert_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?} {}", self.text());
        assert_eq!(self.error_code(), code, "{self:?}");
    }
}
