//! RESP3, the protocol of Valkey and Redis (Redis documentation, "Redis serialization protocol specification"): commands out,
//! replies and pushes in. The parser is that of `resp-rs`.

use std::io::Write as _;

#[cfg(feature = "cluster")]
use bytes::Bytes;
#[cfg(feature = "cluster")]
use resp_rs::ParseError;
#[cfg(feature = "cluster")]
use resp_rs::resp3::{Frame, Parser};

/// Without a cluster nothing is read.
#[cfg(not(feature = "cluster"))]
type Bytes = Box<[u8]>;

/// A reply, or a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Null,
    /// A text, of any kind.
    Text(Bytes),
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
#[derive(Debug, Default)]
pub struct Replies {
    #[cfg(feature = "cluster")]
    parser: Parser,
}

#[cfg(not(feature = "cluster"))]
#[allow(
    missing_docs,
    clippy::unused_self,
    reason = "nothing is read without a cluster"
)]
impl Replies {
    pub fn feed(&mut self, _: &[u8]) {}

    pub fn poll(&mut self) -> Result<Option<Reply>, Malformed> {
        Err(Malformed)
    }

    pub fn buffered(&self) -> usize {
        0
    }
}

#[cfg(feature = "cluster")]
impl Replies {
    /// Takes bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.parser.feed(Bytes::copy_from_slice(bytes));
    }

    /// The next reply; `None` until all of it has come.
    ///
    /// # Errors
    /// The bytes are no RESP3: nothing more can be read.
    pub fn poll(&mut self) -> Result<Option<Reply>, Malformed> {
        match self.parser.next_frame() {
            Ok(Some(frame)) => read(frame).map(Some),
            Ok(None) | Err(ParseError::Incomplete) => Ok(None),
            Err(_) => Err(Malformed),
        }
    }

    /// The bytes of a reply that has not come whole.
    pub fn buffered(&self) -> usize {
        self.parser.buffered_bytes()
    }
}

#[cfg(feature = "cluster")]
/// The streamed types are none that these servers send.
fn read(frame: Frame) -> Result<Reply, Malformed> {
    let list = |frames: Vec<Frame>| frames.into_iter().map(read).collect::<Result<Vec<_>, _>>();
    Ok(match frame {
        Frame::SimpleString(text) | Frame::SpecialFloat(text) | Frame::BigNumber(text) => {
            Reply::Text(text)
        }
        // Behind the format and a colon.
        Frame::VerbatimString { payload } => Reply::Text(payload),
        Frame::BulkString(text) => text.map_or(Reply::Null, Reply::Text),
        Frame::Error(text) | Frame::BlobError(text) => {
            Reply::Error(String::from_utf8_lossy(&text).into())
        }
        Frame::Integer(number) => Reply::Number(number),
        Frame::Boolean(is_true) => Reply::Number(i64::from(is_true)),
        Frame::Double(number) => Reply::Text(number.to_string().into()),
        Frame::Null | Frame::Array(None) => Reply::Null,
        Frame::Array(Some(items)) | Frame::Set(items) => Reply::List(list(items)?),
        Frame::Push(items) => Reply::Push(list(items)?),
        Frame::Map(pairs) => {
            let flat = pairs.into_iter().flat_map(|(key, value)| [key, value]);
            Reply::List(list(flat.collect())?)
        }
        _ => return Err(Malformed),
    })
}

/// Appends a command: an array of bulk strings.
pub fn encode_command(arguments: &[&[u8]], out: &mut Vec<u8>) {
    begin_command(arguments.len(), out);
    for argument in arguments {
        push_argument(argument, out);
    }
}

/// Begins a command of so many arguments.
pub fn begin_command(arguments: usize, out: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    _ = write!(out, "*{arguments}\r\n");
}

/// Appends an argument of a command.
pub fn push_argument(argument: &[u8], out: &mut Vec<u8>) {
    _ = write!(out, "${}\r\n", argument.len());
    out.extend_from_slice(argument);
    out.extend_from_slice(b"\r\n");
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Reply {
        Reply::Text(Bytes::from_static(text.as_bytes()))
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
        let mut out = Vec::new();
        encode_command(&[b"SET", b"k", "값".as_bytes()], &mut out);
        let expected = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n값\r\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
