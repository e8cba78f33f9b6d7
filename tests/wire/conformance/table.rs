//! A row of the table, and how it is tested.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use crate::support::frames::{BINARY, CLOSE, FIN, Frame, PING, PONG, TEXT, close, frame};
use crate::support::{Http, Server, assert_no_failures};

/// A rule, what a client sends, and what has to come back.
pub struct Row {
    rule: String,
    sent: Vec<u8>,
    answers: Vec<Answer>,
    end: End,
}

/// One frame of the server, as the echo sends it.
#[derive(Clone)]
pub enum Answer {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
}

/// What happens to the connection.
#[derive(Clone, Copy)]
enum End {
    /// It stays open.
    Open,
    /// A close frame with this code, or without one, then the end of the TCP connection.
    Closed(Option<u16>),
}

/// A text message that comes back; the chat answers that it is not JSON.
pub fn said(text: impl AsRef<[u8]>) -> Answer {
    Answer::Text(text.as_ref().to_vec())
}

/// A binary message that comes back; the chat closes over it.
pub fn bytes(bytes: impl AsRef<[u8]>) -> Answer {
    Answer::Binary(bytes.as_ref().to_vec())
}

pub fn pong(payload: impl AsRef<[u8]>) -> Answer {
    Answer::Pong(payload.as_ref().to_vec())
}

/// These frames are answered so, and the connection goes on.
pub fn accepted<const N: usize>(
    rule: impl Into<String>,
    sent: impl AsRef<[u8]>,
    answers: [Answer; N],
) -> Row {
    Row {
        rule: rule.into(),
        sent: sent.as_ref().to_vec(),
        answers: answers.to_vec(),
        end: End::Open,
    }
}

/// These frames end the connection with this close code.
pub fn closed(rule: impl Into<String>, sent: impl AsRef<[u8]>, code: u16) -> Row {
    closed_after(rule, sent, [], code)
}

/// These frames are answered so, and end the connection with this close code.
pub fn closed_after<const N: usize>(
    rule: impl Into<String>,
    sent: impl AsRef<[u8]>,
    answers: [Answer; N],
    code: u16,
) -> Row {
    Row {
        end: End::Closed(Some(code)),
        ..accepted(rule, sent, answers)
    }
}

/// These frames end the connection with a close frame without a code.
pub fn closed_without_code(rule: impl Into<String>, sent: impl AsRef<[u8]>) -> Row {
    Row {
        end: End::Closed(None),
        ..accepted(rule, sent, [])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Echo,
    Chat,
}

impl Endpoint {
    pub const BOTH: [Self; 2] = [Self::Echo, Self::Chat];

    /// A connection that must have nothing to read yet.
    pub fn open(self, server: &Server) -> Http {
        match self {
            Self::Echo => server.upgraded("/ws-echo"),
            Self::Chat => {
                let mut http = server.upgraded("/ws?username=guest");
                assert_eq!(http.frame().first, FIN | TEXT, "the welcome");
                http
            }
        }
    }

    /// Reads an answer; false where the chat has closed over a binary message.
    fn expect(self, http: &mut Http, answer: &Answer) -> bool {
        match (self, answer) {
            (_, Answer::Pong(payload)) => http.expect_frame(FIN | PONG, payload),
            (Self::Echo, Answer::Text(text)) => http.expect_frame(FIN | TEXT, text),
            (Self::Echo, Answer::Binary(bytes)) => http.expect_frame(FIN | BINARY, bytes),
            (Self::Chat, Answer::Text(_)) => {
                let frame = http.frame();
                assert_eq!(frame.first, FIN | TEXT, "{frame:?}");
                let error: Value = serde_json::from_slice(&frame.payload).expect("JSON");
                assert_eq!(error["code"], "bad_json", "{error}");
            }
            (Self::Chat, Answer::Binary(_)) => {
                http.expect_close(1003);
                return false;
            }
        }
        true
    }
}

/// A server for conformance tests: the chat has no limit of messages a second.
pub fn server() -> Server {
    Server::start(&["--echo", "--messages-per-second", "0"])
}

/// Tries every row on both endpoints, in several splits; reports every rule that was broken.
pub fn check(rows: &[Row]) {
    check_on(&Endpoint::BOTH, rows);
}

/// Tries every row on some endpoints.
pub fn check_on(endpoints: &[Endpoint], rows: &[Row]) {
    let server = server();
    let mut failures = Vec::new();
    for row in rows {
        for endpoint in endpoints {
            for size in piece_sizes(row.sent.len()) {
                let attempt = || row.run(&server, *endpoint, size);
                if let Err(why) = catch_unwind(AssertUnwindSafe(attempt)) {
                    let why = why.downcast::<String>().unwrap_or_default();
                    let rule = &row.rule;
                    failures.push(format!("{rule} ({endpoint:?}, pieces of {size}): {why}"));
                }
            }
        }
    }
    assert_no_failures(&failures);
    assert_eq!(server.get("/livez").status, 200);
}

/// Tries all rows that leave a connection open, one after another on a single connection: a message must not affect
/// the next one, even when the server is idle in between.
pub fn check_on_one_connection(rows: &[Row]) {
    let server = server();
    for endpoint in Endpoint::BOTH {
        let mut http = endpoint.open(&server);
        for row in rows.iter().filter(|row| row.leaves_open(endpoint)) {
            println!("{} ({endpoint:?})", row.rule);
            http.send(&row.sent);
            for answer in &row.answers {
                endpoint.expect(&mut http, answer);
            }
        }
        expect_open(&mut http);
    }
}

/// Sizes of the pieces that so many bytes are sent in.
fn piece_sizes(length: usize) -> Vec<usize> {
    let mut sizes = vec![length];
    sizes.extend([1, 7].into_iter().filter(|size| length / size <= 40));
    sizes.push(length.div_ceil(2).max(1));
    sizes.dedup();
    sizes
}

impl Row {
    fn leaves_open(&self, endpoint: Endpoint) -> bool {
        let is_closed_over =
            |answer: &Answer| endpoint == Endpoint::Chat && matches!(answer, Answer::Binary(_));
        matches!(self.end, End::Open) && !self.answers.iter().any(is_closed_over)
    }

    fn run(&self, server: &Server, endpoint: Endpoint, size: usize) {
        let mut http = endpoint.open(server);
        send_in_pieces(server, &mut http, &self.sent, size);
        for answer in &self.answers {
            if !endpoint.expect(&mut http, answer) {
                return;
            }
        }
        match self.end {
            End::Open => expect_open(&mut http),
            End::Closed(code) => expect_closed(&mut http, code),
        }
    }
}

/// Sends pieces that the server reads one by one: between two of them it answers another connection.
pub fn send_in_pieces(server: &Server, http: &mut Http, bytes: &[u8], size: usize) {
    let mut other = server.connect();
    let mut pieces = bytes.chunks(size.max(1)).peekable();
    while let Some(piece) = pieces.next() {
        http.send_if_open(piece);
        if pieces.peek().is_some() {
            assert_eq!(other.get("/livez").status, 200);
        }
    }
}

/// Nothing more has come, pings are answered, and a closing handshake ends it.
pub fn expect_open(http: &mut Http) {
    http.send(frame(FIN | PING, "still there?"));
    http.expect_frame(FIN | PONG, "still there?");
    http.send(close(1000, "bye"));
    expect_closed(http, Some(1000));
}

/// The next frame is a whole close frame with this code, and nothing comes after it.
pub fn expect_closed(http: &mut Http, code: Option<u16>) {
    let Frame { first, payload } = http.frame();
    let shown = format!("{first:#04x} {:?}", String::from_utf8_lossy(&payload));
    assert_eq!(first, FIN | CLOSE, "no close frame: {shown}");
    assert!(payload.len() <= 125 && payload.len() != 1, "{shown}");
    let (start, reason) = payload.split_at(payload.len().min(2));
    let told = start.first_chunk().map(|code| u16::from_be_bytes(*code));
    assert_eq!(told, code, "another close code in {shown}");
    assert!(str::from_utf8(reason).is_ok(), "a bad reason in {shown}");
    http.expect_end();
}
