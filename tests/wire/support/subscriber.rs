//! A subscriber of an event stream that reads byte by byte as they come, and fails on anything malformed.

use std::collections::VecDeque;

use serde_json::Value;

use crate::support::{Http, Response, Server, described};

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub data: Value,
    pub id: Option<u64>,
}

pub struct Subscriber {
    pub http: Http,
    pub head: Response,
    /// The content of chunks that was not used yet.
    unread: VecDeque<u8>,
    has_retry: bool,
}

impl Subscriber {
    /// Reads the head; the stream must begin with `retry`.
    pub fn new(server: &Server, channel: &str) -> Self {
        Self::with(server, &format!("/sse/{channel}"), "")
    }

    /// A subscriber that resumes after an event it has seen.
    pub fn resuming(server: &Server, channel: &str, seen: impl std::fmt::Display) -> Self {
        let field = format!("Last-Event-ID: {seen}\r\n");
        Self::with(server, &format!("/sse/{channel}"), &field)
    }

    /// A stream at any target; `fields` are complete lines.
    pub fn with(server: &Server, target: &str, fields: &str) -> Self {
        Self::over(server.connect(), target, fields)
    }

    pub fn over(mut http: Http, target: &str, fields: &str) -> Self {
        let host = http.host();
        http.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n{fields}\r\n"
        ));
        let head = http.head();
        assert_eq!(head.status, 200, "{target}: {head:?}");
        // A client that does not see where chunks end may wait for more than one event before it reports the first.
        assert_eq!(head.required("transfer-encoding"), "chunked");
        Self {
            http,
            head,
            unread: VecDeque::new(),
            has_retry: false,
        }
    }

    /// The lines up to the next empty one, without the `retry` of the first.
    pub fn block(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        if !std::mem::replace(&mut self.has_retry, true) {
            assert_eq!(self.line(), "retry: 3000");
        }
        loop {
            let line = self.line();
            if line.is_empty() {
                return lines;
            }
            lines.push(line);
        }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            match self.byte() {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        let line = String::from_utf8(line).expect("a stream is UTF-8");
        // Some clients break lines here too.
        let breaks = |c| {
            matches!(
                c,
                '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
            )
        };
        assert!(!line.contains(breaks), "{line:?}");
        line
    }

    fn byte(&mut self) -> u8 {
        if self.unread.is_empty() {
            let chunk = self.chunk();
            assert!(!chunk.is_empty(), "the stream ended");
            self.unread.extend(chunk);
        }
        self.unread.pop_front().expect("a byte of a chunk")
    }

    /// The content of the next chunk; the last one is empty.
    fn chunk(&mut self) -> Vec<u8> {
        let mut size = String::new();
        while !size.ends_with("\r\n") {
            size.push(char::from(self.http.take(1)[0]));
        }
        let size = usize::from_str_radix(size.trim_end(), 16)
            .unwrap_or_else(|_| panic!("no size of a chunk: {size:?}"));
        let content = self.http.take(size);
        assert_eq!(self.http.take(2), b"\r\n", "a chunk ends where it says");
        content
    }

    /// Fails unless the stream ends properly: a complete event, the last chunk, then the end of the connection.
    pub fn expect_end(&mut self) {
        let mut last = Vec::from(std::mem::take(&mut self.unread));
        loop {
            let chunk = self.chunk();
            if chunk.is_empty() {
                break;
            }
            last = chunk;
        }
        let text = String::from_utf8_lossy(&last);
        assert!(
            last.is_empty() || text.ends_with("\n\n"),
            "an event was cut: {text}"
        );
        self.http.expect_end();
    }

    /// The next event; comments before it are skipped.
    pub fn next(&mut self) -> Event {
        loop {
            let block = self.block();
            if !block.iter().all(|line| line.starts_with(':')) {
                return event(&block);
            }
        }
    }

    /// So many events.
    pub fn take(&mut self, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.next()).collect()
    }

    /// The events up to and with the one of this id.
    pub fn until(&mut self, id: u64) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            events.push(self.next());
            let seen = events[events.len() - 1].id;
            assert!(seen.is_none_or(|seen| seen <= id), "{id} was left out");
            if seen == Some(id) {
                return events;
            }
        }
    }

    /// The next event, which must be of this name.
    pub fn expect(&mut self, name: &str) -> Event {
        let event = self.next();
        assert_eq!(event.name, name, "{event:?}");
        event
    }

    /// The next comment; events before it are skipped.
    pub fn comment(&mut self) -> String {
        loop {
            if let [line] = &self.block()[..]
                && let Some(comment) = line.strip_prefix(':')
            {
                described::assert_comment(comment.trim());
                return comment.trim().to_owned();
            }
        }
    }
}

fn event(block: &[String]) -> Event {
    let field = |name: &str| {
        let mut values = block.iter().filter_map(|line| line.strip_prefix(name));
        let value = values.next().and_then(|value| value.strip_prefix(": "));
        assert_eq!(values.next(), None, "{name} twice in {block:?}");
        value
    };
    let known = |line: &String| {
        ["event: ", "data: ", "id: "]
            .iter()
            .any(|name| line.starts_with(name))
    };
    assert!(block.iter().all(known), "no field of ours: {block:?}");
    let data = field("data").unwrap_or_else(|| panic!("no data in {block:?}"));
    let event = Event {
        name: field("event").unwrap_or_default().to_owned(),
        data: serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {data}")),
        id: field("id").map(|id| id.parse().expect("an id is a number")),
    };
    described::assert_event(&event.name, event.id, &event.data);
    event
}

/// The IDs of events, each of which must have one.
pub fn ids(events: &[Event]) -> Vec<u64> {
    let ids = events.iter().map(|event| event.id);
    ids.map(|id| id.expect("an event with an id")).collect()
}

/// Posts figures of a back end and returns the id of their event.
pub fn publish(server: &Server, figures: &Value) -> u64 {
    tell(server, "business", figures)
}

/// Posts an event of a channel and returns its id.
pub fn tell(server: &Server, channel: &str, data: &Value) -> u64 {
    let response = server.post(&format!("/events/{channel}"), &data.to_string());
    assert_eq!(response.status, 200, "{response:?} {}", response.text());
    response.json()["id"].as_u64().expect("an id")
}
