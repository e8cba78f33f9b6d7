//! How a client reads what the server sends: responses, chunks, frames, events. Written from the RFCs, without any of
//! the server's own code.

/// An HTTP response.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self
            .fields
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

/// Reads a head up to its empty line; `None` while it has not come whole.
pub fn read_head(bytes: &mut Vec<u8>) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head: Vec<u8> = bytes.drain(..end + 4).collect();
    let head = String::from_utf8(head).expect("a head is text");
    let mut lines = head[..end].split("\r\n");
    let status_line = lines.next().expect("a head has a first line");
    let (version, rest) = status_line.split_once(' ').expect("a status line");
    assert_eq!(version, "HTTP/1.1", "{status_line}");
    let fields = lines.map(|line| {
        let (name, value) = line
            .split_once(": ")
            .expect("a field has a name and a value");
        (name.to_owned(), value.to_owned())
    });
    Some(Answer {
        status: rest[..3].parse().expect("a status"),
        fields: fields.collect(),
        body: Vec::new(),
    })
}

/// Reads one whole response after the other.
#[derive(Debug, Default)]
pub struct Answers {
    pub bytes: Vec<u8>,
    head: Option<Answer>,
}

impl Answers {
    /// The next response; `is_head` is whether the request it answers was HEAD.
    pub fn next(&mut self, is_head: bool) -> Option<Answer> {
        if self.head.is_none() {
            self.head = read_head(&mut self.bytes);
        }
        let head = self.head.as_ref()?;
        let has_none = is_head || head.status < 200 || head.status == 204 || head.status == 304;
        let length = match head.field("Content-Length") {
            Some(length) if !has_none => length.parse().expect("a length"),
            _ => 0,
        };
        if self.bytes.len() < length {
            return None;
        }
        let body = self.bytes.drain(..length).collect();
        let mut answer = self.head.take().expect("was read");
        answer.body = body;
        Some(answer)
    }
}

/// A frame's first byte and payload (RFC 6455 section 5.2); a server's has no mask.
pub fn read_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&first, rest) = bytes.split_first()?;
    let (&second, rest) = rest.split_first()?;
    assert!(second < 128, "a server masks nothing");
    let (length, header) = match second {
        126 => (
            usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])),
            4,
        ),
        127 => {
            let eight = rest.get(..8)?.try_into().expect("is 8 bytes");
            (u64::from_be_bytes(eight) as usize, 10)
        }
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(header..header + length)?;
    Some((first, payload, header + length))
}

/// Takes the chunks that have come whole (RFC 9112 section 7.1); true when the last was among them.
pub fn read_chunks(bytes: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
    loop {
        let Some(line_end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return false;
        };
        let size = std::str::from_utf8(&bytes[..line_end]).expect("a chunk size is text");
        let size = usize::from_str_radix(size, 16).expect("a chunk size is hexadecimal");
        let end = line_end + 2 + size + 2;
        if bytes.len() < end {
            return false;
        }
        assert_eq!(
            &bytes[end - 2..end],
            b"\r\n",
            "a chunk ends with a line end"
        );
        out.extend_from_slice(&bytes[line_end + 2..end - 2]);
        bytes.drain(..end);
        if size == 0 {
            return true;
        }
    }
}

/// A block of an event stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    Comment(String),
    Retry(u64),
    Event {
        name: String,
        data: String,
        id: Option<u64>,
    },
}

/// Takes the blocks that have come whole (WHATWG HTML section 9.2.6). `retry` counts at its line.
pub fn read_blocks(bytes: &mut Vec<u8>) -> Vec<Block> {
    let mut blocks = Vec::new();
    while bytes.starts_with(b"retry: ") {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return blocks;
        };
        let line: Vec<u8> = bytes.drain(..=end).collect();
        let number = std::str::from_utf8(&line[7..end]).expect("is text");
        blocks.push(Block::Retry(number.parse().expect("a number")));
    }
    while let Some(end) = bytes.windows(2).position(|two| two == b"\n\n") {
        let block: Vec<u8> = bytes.drain(..end + 2).collect();
        let text = String::from_utf8(block).expect("a stream is text");
        let (mut name, mut data, mut id, mut comment) = (String::new(), String::new(), None, None);
        for line in text.trim_end_matches('\n').split('\n') {
            match line.split_once(": ").expect("a field or a comment") {
                ("", words) => comment = Some(words.to_owned()),
                ("event", value) => name = value.to_owned(),
                ("data", value) => data = value.to_owned(),
                ("id", value) => id = Some(value.parse().expect("an id is a number")),
                other => panic!("an unknown field {other:?}"),
            }
        }
        blocks.push(match comment {
            Some(words) => Block::Comment(words),
            None => Block::Event { name, data, id },
        });
    }
    blocks
}
