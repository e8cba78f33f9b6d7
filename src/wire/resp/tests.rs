//! Replies that are read as another library reads them, and their limits.

use bytes::Bytes;
use resp_rs::ParseError;
use resp_rs::resp3::{Frame, Parser};

use super::*;

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

/// A drawn number (xorshift64, Marsaglia 2003).
fn below(random: &mut u64, end: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random % end
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

fn read_in_parts(bytes: &[u8], random: &mut u64) -> (Vec<Reply>, bool) {
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
fn draw(random: &mut u64, depth: usize, out: &mut Vec<u8>) {
    let few = below(random, 4);
    let kinds = if depth == 0 { 10 } else { 14 };
    match below(random, kinds) {
        0 => out.extend(b"+OK\r\n"),
        1 => out.extend(b"-ERR no\r\n"),
        2 => out.extend(format!(":{}\r\n", few as i64 - 2).bytes()),
        3 => out.extend(format!("${few}\r\n{}\r\n", "\r\n*".split_at(few as usize).0).bytes()),
        4 => out.extend(b"_\r\n"),
        5 => out.extend(b"#t\r\n"),
        6 => out.extend(b",1.5\r\n"),
        7 => out.extend(b"(12345678901234567890\r\n"),
        8 => out.extend(b"!5\r\nERR x\r\n"),
        9 => out.extend(b"=6\r\ntxt:hi\r\n"),
        kind => {
            out.extend(format!("{}{few}\r\n", ['*', '%', '~', '>'][kind as usize - 10]).bytes());
            let count = if kind == 11 { few * 2 } else { few };
            (0..count).for_each(|_| draw(random, depth - 1, out));
        }
    }
}

#[test]
fn another_library_reads_the_same_replies() {
    let mut random = 7_u64;
    let (mut both, mut alone) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        (0..3).for_each(|_| draw(&mut random, 3, &mut bytes));
        let is_spoilt = below(&mut random, 2) == 0;
        if is_spoilt {
            let at = below(&mut random, bytes.len() as u64) as usize;
            bytes[at] = b"\r\n01-+$*:_#%~>,(!= x"[below(&mut random, 20) as usize];
        }
        let (ours, is_refused) = read_in_parts(&bytes, &mut random);
        let (theirs, is_refused_there) = read_by_another(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        if is_spoilt && text.contains([',', '(', '=']) {
            // What is in these is a text to us.
            continue;
        }
        match (is_refused || is_refused_there) && is_spoilt {
            // Neither is always as strict as the other, or as soon.
            true => assert!(theirs.starts_with(&ours), "{text:?}"),
            false => assert_eq!((&ours, is_refused), (&theirs, is_refused_there), "{text:?}"),
        }
        both += u32::from(is_refused && is_refused_there);
        alone += u32::from(is_refused && !is_refused_there);
    }
    assert!(both > 1_000 && alone < both / 4, "{both} {alone}");
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
