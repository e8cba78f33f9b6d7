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
/// A reply is read once all of it has come. Until then each byte is looked at once: of what has come, only how many values
/// are missing is known.
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
        b'_' | b'#' => return Err(Malformed),
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
mod tests {
    use bytes::Bytes;
    use resp_rs::ParseError;
    use resp_rs::resp3::{Frame, Parser};

    use super::*;
    use crate::domain::random::Random;

    fn text(text: &'static str) -> Reply {
        Reply::Text(text.as_bytes().into())
    }

    #[test]
    fn every_type_that_an_engine_sends_is_read_however_it_is_split() {
        let bytes = b"+OK\r\n$2\r\nab\r\n:7\r\n-ERR no\r\n_\r\n$-1\r\n*2\r\n:1\r\n%1\r\n+k\r\n+v\r\n~1\r\n:1\r\n>2\r\n+a\r\n+b\r\n=6\r\ntxt:hi\r\n#t\r\n,1.5\r\n";
        let expected = [
            text("OK"),
            text("ab"),
            Reply::Number(7),
            Reply::Error("ERR no".into()),
            Reply::Null,
            Reply::Null,
            Reply::List(vec![
                Reply::Number(1),
                Reply::List(vec![text("k"), text("v")]),
            ]),
            Reply::List(vec![Reply::Number(1)]),
            Reply::Push(vec![text("a"), text("b")]),
            text("txt:hi"),
            Reply::Number(1),
            text("1.5"),
        ];
        for size in [1, 3, 7, bytes.len()] {
            let mut replies = Replies::default();
            let mut read = Vec::new();
            for part in bytes.chunks(size) {
                replies.feed(part);
                while let Some(reply) = replies.poll().expect("is RESP3") {
                    read.push(reply);
                }
            }
            assert_eq!(read, expected, "in parts of {size}");
            assert_eq!(replies.buffered(), 0);
        }
    }

    fn below(random: &mut Random, end: u64) -> u64 {
        random.number() % end
    }

    /// What the other library reads: replies up to the first that is none, and whether there is such a one.
    fn read_by_another(bytes: &[u8]) -> (Vec<Reply>, bool) {
        let mut parser = Parser::default();
        parser.feed(Bytes::copy_from_slice(bytes));
        let mut replies = Vec::new();
        loop {
            match parser.next_frame() {
                Ok(Some(frame)) => match translated(frame) {
                    Some(reply) => replies.push(reply),
                    None => return (replies, true),
                },
                Ok(None) | Err(ParseError::Incomplete) => return (replies, false),
                Err(_) => return (replies, true),
            }
        }
    }

    /// The streamed types are none of ours.
    fn translated(frame: Frame) -> Option<Reply> {
        let list = |frames: Vec<Frame>| frames.into_iter().map(translated).collect::<Option<_>>();
        Some(match frame {
            Frame::SimpleString(text)
            | Frame::SpecialFloat(text)
            | Frame::BigNumber(text)
            | Frame::VerbatimString { payload: text } => Reply::Text((*text).into()),
            Frame::BulkString(text) => text.map_or(Reply::Null, |text| Reply::Text((*text).into())),
            Frame::Error(text) | Frame::BlobError(text) => {
                Reply::Error(String::from_utf8_lossy(&text).into())
            }
            Frame::Integer(number) => Reply::Number(number),
            Frame::Boolean(is_true) => Reply::Number(i64::from(is_true)),
            Frame::Double(number) => Reply::Text(number.to_string().into_bytes().into()),
            Frame::Null | Frame::Array(None) => Reply::Null,
            Frame::Array(Some(items)) | Frame::Set(items) => Reply::List(list(items)?),
            Frame::Push(items) => Reply::Push(list(items)?),
            Frame::Map(pairs) => {
                let flat = pairs.into_iter().flat_map(|(key, value)| [key, value]);
                Reply::List(list(flat.collect())?)
            }
            _ => return None,
        })
    }

    fn read_in_parts(bytes: &[u8], random: &mut Random) -> (Vec<Reply>, bool) {
        let mut replies = Replies::default();
        let mut read = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, more) = rest.split_at((1 + below(random, 40) as usize).min(rest.len()));
            replies.feed(part);
            rest = more;
            loop {
                match replies.poll() {
                    Ok(Some(reply)) => read.push(reply),
                    Ok(None) => break,
                    Err(Malformed) => return (read, true),
                }
            }
        }
        (read, false)
    }

    /// Appends a value.
    fn draw(random: &mut Random, depth: usize, out: &mut Vec<u8>) {
        let few = below(random, 4);
        let kinds = if depth == 0 { 10 } else { 14 };
        match below(random, kinds) {
            0 => out.extend(b"+OK\r\n"),
            1 => out.extend(b"-ERR no\r\n"),
            2 => out.extend(format!(":{}\r\n", few as i64 - 2).bytes()),
            3 => out
                .extend(format!("${few}\r\n{}\r\n", "\r\n*".get(..few as usize).unwrap()).bytes()),
            4 => out.extend(b"_\r\n"),
            5 => out.extend(b"#t\r\n"),
            6 => out.extend(b",1.5\r\n"),
            7 => out.extend(b"(12345678901234567890\r\n"),
            8 => out.extend(b"!5\r\nERR x\r\n"),
            9 => out.extend(b"=6\r\ntxt:hi\r\n"),
            kind => {
                out.extend(
                    format!("{}{few}\r\n", ['*', '%', '~', '>'][kind as usize - 10]).bytes(),
                );
                let count = if kind == 11 { few * 2 } else { few };
                (0..count).for_each(|_| draw(random, depth - 1, out));
            }
        }
    }

    #[test]
    fn another_library_reads_the_same_replies() {
        let mut random = Random::new(&[7; 32]);
        let (mut whole, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            (0..3).for_each(|_| draw(&mut random, 3, &mut bytes));
            if below(&mut random, 2) == 0 {
                let at = below(&mut random, bytes.len() as u64) as usize;
                bytes[at] = b"\r\n01-+$*:_#%~>,(!= x"[below(&mut random, 21) as usize];
            }
            let ours = read_in_parts(&bytes, &mut random);
            let theirs = read_by_another(&bytes);
            assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(&bytes));
            match ours.1 {
                true => refused += 1,
                false => whole += 1,
            }
        }
        assert!(whole > 5_000 && refused > 2_000, "{whole} {refused}");
    }

    #[test]
    fn lists_within_lists_are_bounded_as_are_lines_and_lengths() {
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        let line = |length: usize| [b"+", "a".repeat(length).as_bytes()].concat();
        let poll = |bytes: &[u8]| {
            let mut replies = Replies::default();
            replies.feed(bytes);
            replies.poll()
        };
        assert!(matches!(poll(&nested(ENGINE_REPLY_DEPTH_MAX)), Ok(Some(_))));
        assert_eq!(poll(&nested(ENGINE_REPLY_DEPTH_MAX + 1)), Err(Malformed));
        assert_eq!(poll(&line(ENGINE_LINE_BYTES_MAX)), Ok(None));
        assert_eq!(poll(&line(ENGINE_LINE_BYTES_MAX + 1)), Err(Malformed));
        let length = |kind: char, length: usize| format!("{kind}{length}\r\n").into_bytes();
        for kind in ['$', '*'] {
            assert_eq!(poll(&length(kind, ENGINE_REPLY_BYTES_MAX)), Ok(None));
            assert_eq!(
                poll(&length(kind, ENGINE_REPLY_BYTES_MAX + 1)),
                Err(Malformed)
            );
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [
            "x\r\n",
            "*-7\r\n",
            "$a\r\n",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
        ] {
            let mut replies = Replies::default();
            replies.feed(bytes.as_bytes());
            assert_eq!(replies.poll(), Err(Malformed), "{bytes}");
        }
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut command = Command::new("SET");
        command.text("k").text("값").number(7).hex(255);
        let expected =
            "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n값\r\n$1\r\n7\r\n$16\r\n00000000000000ff\r\n";
        assert_eq!(String::from_utf8_lossy(&command.finish()), expected);
        assert_eq!(read_hex("00000000000000ff"), Some(255));
    }
}
