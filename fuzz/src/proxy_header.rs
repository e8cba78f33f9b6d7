//! A connection that begins with a PROXY protocol header: read the same in pieces as in one, as a second reader does that
//! shares nothing with the first, and with the requests behind it as if they stood alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sarang::config::{BODY_BYTES_MAX, PROXY_HEADER_BYTES_MAX, PROXY_HEADER_LINE_BYTES_MAX};
use sarang::conn::http::{Awaited, Http, Step};
use sarang::wire::proxy_header::{HeaderReader, ProxyHeader, read, skip};

use super::pieces::{pieces, split};

/// What a reader says of a stream.
#[derive(Debug, PartialEq)]
enum Said {
    /// More has to come.
    Incomplete,
    /// It is no header.
    Refused,
    /// The address it tells, and its length.
    Told(Option<IpAddr>, usize),
}

/// Fuzzes [`read`], [`HeaderReader`] and [`Http`].
pub fn run(data: &[u8]) {
    let (stream, lengths) = split(data);
    let said = say(read(stream));
    assert_eq!(said, second_reader(stream));
    let (mut reader, mut before) = (HeaderReader::default(), 0);
    let mut in_pieces = Said::Incomplete;
    for piece in pieces(stream, lengths) {
        in_pieces = say(reader.advance(piece));
        assert!(reader.kept().capacity() <= PROXY_HEADER_BYTES_MAX);
        if let Said::Told(_, length) = &mut in_pieces {
            assert!(*length <= piece.len());
            *length += before;
        }
        if in_pieces != Said::Incomplete {
            break;
        }
        before += piece.len();
        assert_eq!(reader.kept().len(), before);
    }
    // A piece may decide before the whole is there, and then for good.
    assert_eq!(in_pieces, said);
    if let Said::Told(_, length) = said {
        assert_eq!(skip(stream), &stream[length..]);
        assert_eq!(say(read(&stream[..length])), said, "it needs no more");
        let incomplete = say(read(&stream[..length - 1]));
        assert_eq!(incomplete, Said::Incomplete, "and no less");
    }
    check_requests(stream, lengths, &said);
}

fn say(read: Result<Option<ProxyHeader>, &str>) -> Said {
    match read {
        Ok(None) => Said::Incomplete,
        Ok(Some(header)) => Said::Told(header.source, header.length),
        Err(reason) => {
            assert!(!reason.is_empty());
            Said::Refused
        }
    }
}

/// The connection reads the same header, and then HTTP as if there had been none.
fn check_requests(stream: &[u8], lengths: &[u8], said: &Said) {
    let mut http = Http::behind_proxy();
    assert_eq!(
        (http.awaits(), http.buffered_bytes()),
        (Awaited::ProxyHeader, 0)
    );
    let steps = take(&mut http, pieces(stream, lengths));
    let (rest, first) = match said {
        Said::Incomplete => {
            assert!(steps.is_empty());
            return assert_eq!(http.buffered_bytes(), stream.len());
        }
        Said::Refused => {
            let [first] = &steps[..] else {
                panic!("{steps:?}");
            };
            return assert!(first.starts_with("RefuseProxyHeader"));
        }
        Said::Told(source, length) => {
            // Nobody connects from an unspecified address.
            let client = source.filter(|source| !source.to_canonical().is_unspecified());
            (&stream[*length..], format!("Proxied({client:?})"))
        }
    };
    let mut plain = Http::default();
    let behind = take(
        &mut plain,
        [rest].into_iter().filter(|rest| !rest.is_empty()),
    );
    assert_eq!(steps[0], first);
    assert_eq!(steps[1..], behind);
    assert_eq!(http.awaits(), plain.awaits());
}

/// All steps but waits, up to a refusal. Of a body only its bytes, since `100 Continue` depends on the pieces.
fn take<'a>(http: &mut Http, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut steps = Vec::new();
    for piece in pieces {
        let mut input = http.receive(piece);
        loop {
            match http.step(&mut input, None, |_| BODY_BYTES_MAX) {
                Step::Wait => break,
                Step::Continue => {}
                step @ (Step::Proxied(_) | Step::Begin(_)) => steps.push(format!("{step:?}")),
                Step::Serve(request) => steps.push(format!("{request:?}")),
                Step::Refuse(refusal, _) | Step::RefuseHead(refusal, _) => {
                    steps.push(format!("{refusal:?}"));
                    return steps;
                }
                step @ Step::RefuseProxyHeader(_) => {
                    steps.push(format!("{step:?}"));
                    return steps;
                }
            }
        }
        http.keep(input);
    }
    steps
}

/// The second reader, by the text of the specification.
fn second_reader(stream: &[u8]) -> Said {
    let signature = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10];
    let common = |start: &[u8]| {
        let count = stream.len().min(start.len());
        stream[..count] == start[..count]
    };
    match (common(b"PROXY "), common(&signature)) {
        (true, true) => Said::Incomplete,
        (true, false) => second_reader_of_lines(stream),
        (false, true) => second_reader_of_blocks(stream),
        (false, false) => Said::Refused,
    }
}

fn second_reader_of_lines(stream: &[u8]) -> Said {
    let Some(end) = stream.iter().position(|byte| *byte == 10) else {
        return match stream.len() < PROXY_HEADER_LINE_BYTES_MAX {
            true => Said::Incomplete,
            false => Said::Refused,
        };
    };
    let length = end + 1;
    let has_carriage_return = stream[end - 1] == 13;
    if length > PROXY_HEADER_LINE_BYTES_MAX || !has_carriage_return {
        return Said::Refused;
    }
    let text = &stream[6..end - 1];
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") || text.starts_with(b"UNKNOWN\r") {
        return Said::Told(None, length);
    }
    let words: Vec<&str> = match std::str::from_utf8(text) {
        Ok(text) => text.split(' ').collect(),
        Err(_) => return Said::Refused,
    };
    let is_port = |word: &str| {
        let is_canonical = word == "0" || !word.starts_with('0');
        is_canonical
            && word.bytes().all(|byte| byte.is_ascii_digit())
            && word.parse::<u16>().is_ok()
    };
    let source = match words[..] {
        [family, source, destination, first, second] if is_port(first) && is_port(second) => {
            let four = |word: &str| word.parse::<Ipv4Addr>().map(IpAddr::V4).ok();
            let six = |word: &str| word.parse::<Ipv6Addr>().map(IpAddr::V6).ok();
            match family {
                "TCP4" => four(source).filter(|_| four(destination).is_some()),
                "TCP6" => six(source).filter(|_| six(destination).is_some()),
                _ => None,
            }
        }
        _ => None,
    };
    source.map_or(Said::Refused, |source| Said::Told(Some(source), length))
}

fn second_reader_of_blocks(stream: &[u8]) -> Said {
    if stream.len() < 16 {
        return Said::Incomplete;
    }
    let number = |high: u8, low: u8| 256 * usize::from(high) + usize::from(low);
    let length = 16 + number(stream[14], stream[15]);
    if length > PROXY_HEADER_BYTES_MAX {
        return Said::Refused;
    }
    if stream.len() < length {
        return Said::Incomplete;
    }
    let block = &stream[16..length];
    // Version and command, family and transport, and how long the addresses are.
    let (source, addresses) = match (stream[12], stream[13]) {
        (0x20, _) => return Said::Told(None, length),
        (0x21, 0x00 | 0x01) => return Said::Told(None, length),
        (0x21, 0x11) if block.len() >= 12 => {
            let four = [block[0], block[1], block[2], block[3]];
            (Some(IpAddr::from(four)), 12)
        }
        (0x21, 0x21) if block.len() >= 36 => {
            let mut six = [0; 16];
            six.copy_from_slice(&block[..16]);
            (Some(IpAddr::from(six)), 36)
        }
        (0x21, 0x31) if block.len() >= 216 => (None, 216),
        _ => return Said::Refused,
    };
    let (mut rest, mut checksums) = (&block[addresses..], Vec::new());
    while !rest.is_empty() {
        let [kind, high, low, after @ ..] = rest else {
            return Said::Refused;
        };
        let count = number(*high, *low);
        if after.len() < count {
            return Said::Refused;
        }
        if *kind == 3 {
            checksums.push((length - after.len(), count));
        }
        rest = &after[count..];
    }
    match checksums[..] {
        [] => Said::Told(source, length),
        [(at, 4)] => {
            let mut zeroed = stream[..length].to_vec();
            let told = zeroed
                .splice(at..at + 4, [0; 4])
                .fold(0, |sum, byte| sum << 8 | u32::from(byte));
            match told == crc32c(&zeroed) {
                true => Said::Told(source, length),
                false => Said::Refused,
            }
        }
        _ => Said::Refused,
    }
}

/// The Castagnoli checksum, bit by bit (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = !0;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            let is_odd = sum & 1 == 1;
            sum >>= 1;
            if is_odd {
                sum ^= 0x82f6_3b78;
            }
        }
    }
    !sum
}
