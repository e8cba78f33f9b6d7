//! The other end of a connection: reads what the server sends and panics when it is ill-formed.

use serde_json::Value;

/// Something that was read completely.
#[derive(Debug)]
pub enum Said {
    /// A response that is neither a stream nor an upgrade.
    Response {
        /// Its status code.
        status: u16,
        /// Its content.
        body: Vec<u8>,
    },
    /// The connection speaks WebSocket from here on.
    Upgraded,
    /// The response is an event stream.
    Opened,
    /// A text message.
    Message(Value),
    /// An echo, a ping or a pong.
    Other,
    /// A close frame, with its code.
    Close(Option<u16>),
    /// An event with this id.
    Event(u64),
}

/// What must come next.
#[derive(Debug, Default, PartialEq)]
enum Speaks {
    #[default]
    Http,
    Frames,
    Events,
    Chunks,
    /// Nothing more.
    Nothing,
}

/// Reads a server's side of one connection.
#[derive(Debug, Default)]
pub struct Peer {
    may_ask_heads: bool,
    may_be_echo: bool,
    bytes: Vec<u8>,
    speaks: Speaks,
    /// Of an event stream: the text of the current, incomplete line.
    text: Vec<u8>,
    last_event_id: u64,
}

impl Peer {
    /// A peer whose requests may have the method HEAD (then content may be missing, which can only be decided when
    /// everything has come), and whose messages may be echoes.
    pub fn new(may_ask_heads: bool, may_be_echo: bool) -> Self {
        Self {
            may_ask_heads,
            may_be_echo,
            ..Self::default()
        }
    }

    /// Takes new bytes; returns everything that is complete now.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Said> {
        self.bytes.extend_from_slice(bytes);
        let mut said = Vec::new();
        while !self.bytes.is_empty() {
            let length = match self.speaks {
                Speaks::Http => self.read_response(&mut said),
                Speaks::Frames => self.read_frame(&mut said),
                Speaks::Events => {
                    let events = std::mem::take(&mut self.bytes);
                    self.read_events(&events, &mut said);
                    return said;
                }
                Speaks::Chunks => self.read_chunk(&mut said),
                Speaks::Nothing => panic!("more after the end: {:?}", self.bytes),
            };
            match length {
                Some(length) => drop(self.bytes.drain(..length)),
                None => break,
            }
        }
        said
    }

    /// Whether the server has said that nothing more comes.
    pub fn is_over(&self) -> bool {
        self.speaks == Speaks::Nothing
    }

    /// Whether the server may end the connection here: nothing is incomplete.
    pub fn is_complete(&self) -> bool {
        let is_open = matches!(self.speaks, Speaks::Frames | Speaks::Chunks);
        self.bytes.is_empty() && self.text.is_empty() && !is_open
    }

    fn read_response(&mut self, said: &mut Vec<Said>) -> Option<usize> {
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&self.bytes[..end]).expect("a head is text");
        let (line, fields) = head.split_once("\r\n").expect("has a line");
        let status: u16 = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.split_once(' '))
            .and_then(|(status, reason)| (!reason.is_empty()).then(|| status.parse().ok())?)
            .expect("is a status line");
        let values = |name: &'static str| {
            fields.split("\r\n").filter_map(move |line| {
                let (field, value) = line.split_once(": ")?;
                field.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let field = |name| {
            let mut values = values(name);
            let value = values.next();
            assert!(values.next().is_none(), "{name} stands once");
            value
        };
        if field("content-type").is_some_and(|value| value.starts_with("text/event-stream")) {
            assert_eq!((status, field("content-length")), (200, None));
            self.speaks = match field("transfer-encoding") {
                Some("chunked") => Speaks::Chunks,
                None => Speaks::Events,
                Some(other) => panic!("{other}"),
            };
            let is_head = self.may_ask_heads && end == self.bytes.len();
            if is_head {
                self.speaks = Speaks::Nothing;
            }
            said.push(Said::Opened);
            return Some(end);
        }
        if status == 101 {
            self.speaks = Speaks::Frames;
            said.push(Said::Upgraded);
            return Some(end);
        }
        let has_content = status >= 200 && status != 204 && status != 304;
        let length = field("content-length");
        assert_eq!(length.is_some(), has_content, "{head}");
        let length: usize = length.map_or(0, |length| length.parse().expect("is a number"));
        let rest = &self.bytes[end..];
        let is_bare = self.may_ask_heads && (rest.is_empty() || rest.starts_with(b"HTTP/1.1 "));
        let body = if is_bare { &[] } else { rest.get(..length)? };
        let (status, body) = (status, body.to_vec());
        let end = end + body.len();
        if values("connection").any(|value| value == "close") {
            self.speaks = Speaks::Nothing;
        }
        said.push(Said::Response { status, body });
        Some(end)
    }

    fn read_frame(&mut self, said: &mut Vec<Said>) -> Option<usize> {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let (first, second) = (self.bytes[0], *self.bytes.get(1)?);
        let (length, header) = match second {
            126 => (number(self.bytes.get(2..4)?), 4),
            127 => (number(self.bytes.get(2..10)?), 10),
            length => (usize::from(length), 2),
        };
        assert!(second < 128, "a server's frame has no mask");
        assert!(
            header == 2 || length > 125,
            "a length is as short as can be"
        );
        let payload = self.bytes.get(header..header + length)?;
        match first {
            0x81 if self.may_be_echo => {
                std::str::from_utf8(payload).expect("is text");
                said.push(Said::Other);
            }
            0x81 => said.push(Said::Message(
                serde_json::from_slice(payload).expect("is JSON"),
            )),
            0x82 if self.may_be_echo => said.push(Said::Other),
            0x88 => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let reason = payload.get(2..).unwrap_or_default();
                std::str::from_utf8(reason).expect("a reason is text");
                assert!(code.is_none_or(|code| code >= 1000));
                said.push(Said::Close(code));
                self.speaks = Speaks::Nothing;
            }
            0x89 | 0x8a => said.push(Said::Other),
            other => panic!("a frame of kind {other:#x}"),
        }
        assert!(first < 0x88 || length <= 125);
        Some(header + length)
    }

    fn read_chunk(&mut self, said: &mut Vec<Said>) -> Option<usize> {
        let line = self.bytes.windows(2).position(|two| two == b"\r\n")?;
        let digits = std::str::from_utf8(&self.bytes[..line]).expect("is text");
        let length = usize::from_str_radix(digits, 16).expect("is a length");
        let end = line + 2 + length;
        let chunk = self.bytes.get(line + 2..end + 2)?;
        assert!(chunk.ends_with(b"\r\n"));
        let events = chunk[..length].to_vec();
        assert!(events.is_empty() || events.ends_with(b"\n"));
        self.read_events(&events, said);
        if length == 0 {
            self.speaks = Speaks::Nothing;
        }
        Some(end + 2)
    }

    fn read_events(&mut self, bytes: &[u8], said: &mut Vec<Said>) {
        self.text.extend_from_slice(bytes);
        while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.text.drain(..=end).collect();
            let line = std::str::from_utf8(&line[..end]).expect("is text");
            match line.split_once(": ") {
                None => {
                    assert_eq!(line, "");
                }
                Some(("" | "event", text)) => assert!(!text.is_empty()),
                Some(("retry", number)) => assert!(number.parse::<u64>().is_ok()),
                Some(("data", data)) => {
                    serde_json::from_str::<Value>(data).expect("is JSON");
                }
                Some(("id", id)) => {
                    let id = id.parse().expect("is a number");
                    assert!(id > self.last_event_id, "ids only grow");
                    self.last_event_id = id;
                    said.push(Said::Event(id));
                }
                Some((other, _)) => panic!("a field {other}"),
            }
        }
    }
}
