//! RESP3, the protocol of Valkey and Redis (Redis documentation, "Redis serialization protocol specification"): commands out,
//! replies and pushes in. The tests compare the reader with that of another library.

use std::io::Write as _;

use crate::config::{
    ENGINE_LINE_BYTES_MAX, ENGINE_READ_BYTES, ENGINE_REPLY_BYTES_MAX, ENGINE_REPLY_DEPTH_MAX,
};

/// A reply, or a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Null,
    /// A text, of any kind.
    Text(Box<[u8]>),
    /// A whole number.
    Number(i64),
    /// A refusal, with its code as the first word.
    Error(Box<str>),
    /// A list, a set, or a map as keys and values in turn.
    List(Vec<Self>),
    /// What no command has asked for: its kind, then what belongs to it.
    Push(Vec<Self>),
}

impl Reply {
    /// The text, if it is one in UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The number, also one that is written as a text. Lua, which makes most of them, knows none above 2^53.
    pub fn number(&self) -> Option<u64> {
        let number = match self {
            Self::Number(number) => (*number).try_into().ok()?,
            _ => self.text()?.parse().ok()?,
        };
        (number <= NUMBER_MAX).then_some(number)
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The text of the item at a place.
    pub fn text_at(&self, place: usize) -> Option<&str> {
        self.items().get(place)?.text()
    }

    /// The number of the item at a place.
    pub fn number_at(&self, place: usize) -> Option<u64> {
        self.items().get(place)?.number()
    }

    /// The keys and values of a map.
    pub fn pairs(&self) -> impl Iterator<Item = (&Self, &Self)> {
        let pairs = self.items().chunks_exact(2);
        pairs.map(|pair| (&pair[0], &pair[1]))
    }
}

/// The largest number that Lua counts to.
pub const NUMBER_MAX: u64 = 1 << 53;

/// What cannot be a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads replies from bytes as they come.
///
/// A reply is read once all of it has come. Until then only how many values are missing is known, so that what has come is not
/// looked at again with each part of a long one.
#[derive(Debug)]
pub struct Replies {
    buffer: Vec<u8>,
    /// Where the reply begins that is being received.
    start: usize,
    /// So far it is scanned.
    scanned: usize,
    /// Values that it lacks from there on.
    missing: usize,
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            missing: 1,
        }
    }
}

impl Replies {
    /// Takes bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() {
            // What a long reply has needed is given back.
            self.buffer.shrink_to(ENGINE_READ_BYTES);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next reply; `None` until all of it has come.
    ///
    /// # Errors
    /// The bytes are no RESP3, or of its streamed types and attributes, which these servers do not send unasked: nothing more
    /// can be read.
    pub fn poll(&mut self) -> Result<Option<Reply>, Malformed> {
        while self.missing > 0 {
            let Some((head, rest)) = Head::read(&self.buffer[self.scanned..])? else {
                return Ok(None);
            };
            let more = match head.body()? {
                Body::Bytes(length) if rest.len() < length + LINE_END.len() => return Ok(None),
                Body::Bytes(length) => {
                    self.scanned += length + LINE_END.len();
                    0
                }
                Body::Values(count) => count,
                Body::None => 0,
            };
            self.scanned += head.length;
            self.missing = self.missing - 1 + more;
            if self.missing > ENGINE_REPLY_BYTES_MAX {
                return Err(Malformed);
            }
        }
        let mut bytes = &self.buffer[self.start..self.scanned];
        let reply = read(&mut bytes, ENGINE_REPLY_DEPTH_MAX)?;
        self.start = self.scanned;
        self.missing = 1;
        Ok(Some(reply))
    }

    /// The bytes of a reply that has not come whole.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }
}

const LINE_END: &[u8] = b"\r\n";

/// The first line of a value.
struct Head<'a> {
    kind: u8,
    text: &'a [u8],
    /// Bytes up to the end of the line.
    length: usize,
}

/// What follows it.
enum Body {
    None,
    /// So many bytes, and the end of a line.
    Bytes(usize),
    /// So many values.
    Values(usize),
}

impl<'a> Head<'a> {
    /// The head, and what is behind it; `None` until it has come whole.
    fn read(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, Malformed> {
        let Some((&kind, line)) = bytes.split_first() else {
            return Ok(None);
        };
        if !b"+-:$*_#,(!=%~>".contains(&kind) {
            return Err(Malformed);
        }
        let mut bounded = line.iter().take(ENGINE_LINE_BYTES_MAX + 1);
        let Some(at) = bounded.position(|&byte| byte == b'\r') else {
            return match line.len() > ENGINE_LINE_BYTES_MAX {
                true => Err(Malformed),
                false => Ok(None),
            };
        };
        let (text, rest) = line.split_at(at);
        if rest.len() < LINE_END.len() {
            return Ok(None);
        }
        let rest = rest.strip_prefix(LINE_END).ok_or(Malformed)?;
        let length = bytes.len() - rest.len();
        Ok(Some((Self { kind, text, length }, rest)))
    }

    fn number<T: std::str::FromStr>(&self) -> Result<T, Malformed> {
        let text = std::str::from_utf8(self.text).map_err(|_| Malformed)?;
        text.parse().map_err(|_| Malformed)
    }

    /// How many bytes or values follow: RESP2 writes "nothing" as -1.
    fn body(&self) -> Result<Body, Malformed> {
        if !b"$*!=%~>".contains(&self.kind) || self.is_nothing() {
            return Ok(Body::None);
        }
        let count: usize = self.number::<u32>()? as usize;
        if self.text[0] == b'+' || count > ENGINE_REPLY_BYTES_MAX {
            return Err(Malformed);
        }
        Ok(match self.kind {
            b'$' | b'!' | b'=' => Body::Bytes(count),
            b'%' => Body::Values(count * 2),
            _ => Body::Values(count),
        })
    }

    fn is_nothing(&self) -> bool {
        b"$*".contains(&self.kind) && self.text == b"-1"
    }
}

/// Takes a value from the front of bytes that have come whole; `depth` lists may be in one another.
fn read(bytes: &mut &[u8], depth: usize) -> Result<Reply, Malformed> {
    let (head, rest) = Head::read(bytes)?.ok_or(Malformed)?;
    *bytes = rest;
    if head.is_nothing() {
        return Ok(Reply::Null);
    }
    let text = match head.body()? {
        Body::None => head.text,
        Body::Bytes(length) => {
            let (text, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
            *bytes = rest.strip_prefix(LINE_END).ok_or(Malformed)?;
            text
        }
        Body::Values(count) => {
            let depth = depth.checked_sub(1).ok_or(Malformed)?;
            let items = (0..count)
                .map(|_| read(bytes, depth))
                .collect::<Result<_, _>>()?;
            return Ok(match head.kind {
                b'>' => Reply::Push(items),
                _ => Reply::List(items),
            });
        }
    };
    Ok(match head.kind {
        b'-' | b'!' => Reply::Error(String::from_utf8_lossy(text).into()),
        b':' => Reply::Number(head.number()?),
        b'_' if text.is_empty() => Reply::Null,
        b'#' if text == b"t" => Reply::Number(1),
        b'#' if text == b"f" => Reply::Number(0),
        b'=' if text.get(3) == Some(&b':') => Reply::Text(text.into()),
        b'_' | b'#' | b'=' => return Err(Malformed),
        _ => Reply::Text(text.into()),
    })
}

/// A command that is being written: an array of bulk strings.
#[derive(Debug)]
pub struct Command {
    arguments: usize,
    body: Vec<u8>,
}

impl Command {
    /// Begins with its name.
    pub fn new(name: &str) -> Self {
        let mut command = Self {
            arguments: 0,
            body: Vec::with_capacity(256),
        };
        command.text(name);
        command
    }

    /// Appends an argument.
    #[inline(never)]
    pub fn bytes(&mut self, argument: &[u8]) -> &mut Self {
        self.arguments += 1;
        // Writing into memory cannot fail.
        _ = write!(self.body, "${}\r\n", argument.len());
        self.body.extend_from_slice(argument);
        self.body.extend_from_slice(LINE_END);
        self
    }

    /// Appends a text.
    pub fn text(&mut self, argument: &str) -> &mut Self {
        self.bytes(argument.as_bytes())
    }

    /// Appends texts.
    pub fn texts(&mut self, arguments: &[&str]) -> &mut Self {
        for argument in arguments {
            self.text(argument);
        }
        self
    }

    /// Appends a number.
    #[inline(never)]
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.text(&number.to_string())
    }

    /// Appends a number as 16 hexadecimal digits.
    #[inline(never)]
    pub fn hex(&mut self, number: u64) -> &mut Self {
        self.text(&hex(number))
    }

    /// Its bytes.
    pub fn finish(&self) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", self.arguments).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// 16 hexadecimal digits.
#[inline(never)]
pub fn hex(number: u64) -> String {
    format!("{number:016x}")
}

/// Reads hexadecimal digits.
#[inline(never)]
pub fn read_hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests;
