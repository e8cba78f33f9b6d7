//! A stream of HTTP requests: parsed the same in pieces as in one, and with only one interpretation.

use std::net::{IpAddr, Ipv4Addr};

use sarang::config::cidr::Cidr;
use sarang::config::{BODY_BYTES_MAX, Config, HEAD_BYTES_MAX, HEAD_FIELDS_MAX, TARGET_BYTES_MAX};
use sarang::conn::http::{Awaited, Http, Step};
use sarang::server::hosts::is_served;
use sarang::wire::forwarded::{Forwarding, Proxy};
use sarang::wire::http::{BodyLength, Method, Request, Upgrade, parse_head, parse_whole_head};
use sarang::wire::origin::PageOrigin;
use sarang::wire::partial_head::PartialHead;

use super::chunks;
use super::pieces::{pieces, split};

/// The result of a stream of requests.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    requests: Vec<Request>,
    /// Status and text of the refusal that ended it.
    refused: Option<String>,
    /// What the parser waits for, and how many bytes it keeps, if there was no refusal.
    rest: Option<(Awaited, usize)>,
}

/// Fuzzes [`Http`] and [`parse_head`].
pub fn run(data: &[u8]) {
    let (stream, lengths) = split(data);
    check_head(stream);
    let trusted = [Cidr::parse("10.0.0.0/8").expect("is one")];
    let proxy = Proxy {
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        trusted: &trusted,
    };
    check_forwarding(stream, proxy);
    for proxy in [None, Some(proxy)] {
        let whole = serve([stream].into_iter(), proxy);
        assert_eq!(serve(pieces(stream, lengths), proxy), whole);
        for request in &whole.requests {
            check(request);
            assert!(request.forwarding.is_some() || proxy.is_none());
        }
    }
    check_chunks(stream, serve([stream].into_iter(), None));
}

/// The first body, if it is chunked: its data is that of its chunks, and what follows is read as if it stood alone.
fn check_chunks(stream: &[u8], mut whole: Outcome) {
    let Ok(Some((request, head))) = parse_head(stream) else {
        return;
    };
    if request.body_length != BodyLength::Chunked || whole.requests.is_empty() {
        return;
    }
    let (data, length) = chunks::read(&stream[head..]);
    assert_eq!(*whole.requests.remove(0).body, *data);
    assert_eq!(serve([&stream[head + length..]].into_iter(), None), whole);
}

/// Whatever stands in a field, the client is the one that the proxy has appended.
fn check_forwarding(stream: &[u8], proxy: Proxy<'_>) {
    let is_value = |byte: &&u8| **byte == b'\t' || (**byte >= b' ' && **byte != 0x7f);
    let forged: Vec<u8> = stream.iter().filter(is_value).take(1000).copied().collect();
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));
    for (name, parameter) in [("X-Forwarded-For: ", ""), ("Forwarded: ", "for=")] {
        let read = |appended: String| {
            let start = format!("GET / HTTP/1.1\r\nHost: x\r\n{name}");
            let head = [start.as_bytes(), &forged, appended.as_bytes(), b"\r\n\r\n"].concat();
            let request = parse_whole_head(&head, Some(proxy)).expect("is valid");
            request.forwarding.expect("is from a proxy")
        };
        let told = read(format!(", {parameter}{client}"));
        assert_eq!(told, Forwarding::Client(client));
        let told = read(format!("\r\n{name}{parameter}{client}"));
        assert_eq!(told, Forwarding::Client(client), "on a line of its own");
        // Without it anything may come out, but a list of one field is never disputed.
        assert!(matches!(read(String::new()), Forwarding::Client(_)));
    }
}

fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>, proxy: Option<Proxy<'_>>) -> Outcome {
    let mut http = Http::default();
    let mut outcome = Outcome::default();
    for piece in pieces {
        let mut input = http.receive(piece);
        loop {
            match http.step(&mut input, proxy, |_| BODY_BYTES_MAX) {
                Step::Wait => break,
                Step::Begin(_) | Step::Continue => {}
                Step::Proxied(_) | Step::RefuseProxyHeader(_) => panic!("no header is awaited"),
                Step::Serve(request) => outcome.requests.push(*request),
                Step::Refuse(refusal, _) | Step::RefuseHead(refusal, _) => {
                    outcome.refused = Some(format!("{refusal:?}"));
                    return outcome;
                }
            }
        }
        assert!(input.rest().is_empty(), "a wait has consumed everything");
        http.keep(input);
    }
    outcome.rest = Some((http.awaits(), http.buffered_bytes()));
    outcome
}

/// A request that is served is within the limits and unambiguous.
fn check(request: &Request) {
    let received = request.body.len() as u64;
    assert!(received <= BODY_BYTES_MAX as u64);
    match request.body_length {
        BodyLength::None => assert_eq!(received, 0),
        BodyLength::Known(length) => assert_eq!(received, length),
        BodyLength::Chunked => assert!(request.is_http11),
    }
    assert!(!request.is_http11 || !request.host.is_empty());
    assert!(request.query.len() <= TARGET_BYTES_MAX);
    if let Upgrade::WebSocket { key } = &request.upgrade {
        assert!(request.is_http11 && request.method == Method::Get);
        assert!(!request.body_length.may_have_content());
        assert_eq!(key.len(), 24);
    }
    for pair in request.query.split('&') {
        let name = pair.split('=').next().unwrap_or_default();
        let found = request.parameter(name);
        assert!(!matches!(found, Ok(None)), "{name:?} is there");
    }
    _ = request.prefers_english();
    let origin = request.fields.origin.as_deref().unwrap_or_default();
    if let Some(origin) = PageOrigin::parse(origin) {
        let written = origin.to_string();
        assert!(written.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(PageOrigin::parse(&written), Some(origin));
        _ = origin.is_at(&request.host);
    }
    // A host that is served on loopback has no name but that of the loopback.
    if is_served(&Config::default(), &request.host, false) {
        let host = request.host.to_ascii_lowercase();
        let mut starts = ["localhost", "127.", "["].iter();
        assert!(host.is_empty() || starts.any(|start| host.starts_with(start)));
    }
}

/// The authority of an absolute-form target.
fn authority<'h>(lines: &[&'h [u8]]) -> Option<&'h [u8]> {
    let line = lines.iter().find(|line| !line.trim_ascii().is_empty())?;
    let target = line.split(|byte| *byte == b' ').nth(1)?;
    let scheme = target.windows(3).position(|three| three == b"://")?;
    let rest = &target[scheme + 3..];
    let is_absolute = target[..scheme].iter().all(u8::is_ascii_alphabetic);
    let authority = rest.split(|byte| b"/?".contains(byte)).next();
    authority.filter(|_| is_absolute)
}

/// A head that was accepted, read again line by line and without a parser.
fn check_head(stream: &[u8]) {
    // Of whatever comes something may be read.
    let partial = PartialHead::read(stream);
    let Ok(Some((request, length))) = parse_head(stream) else {
        return;
    };
    let head = &stream[..length];
    assert_eq!(partial.is_head, request.method == Method::Head);
    assert_eq!(partial.origin, request.fields.origin);
    assert_eq!(partial.accept_language, request.fields.accept_language);
    assert!(length <= HEAD_BYTES_MAX);
    for pair in head.windows(2) {
        assert_eq!(
            pair[0] == b'\r',
            pair[1] == b'\n',
            "CR and LF only together"
        );
    }
    let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
    let values = |name: &str| -> Vec<&[u8]> {
        let fields = lines.iter().filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let is_named = line[..colon].eq_ignore_ascii_case(name.as_bytes());
            is_named.then(|| line[colon + 1..].trim_ascii())
        });
        fields.collect()
    };
    let fields = lines.iter().filter(|line| line.contains(&b':')).count();
    assert!(fields <= HEAD_FIELDS_MAX + 1, "the target may have a colon");
    let hosts = values("host");
    assert!(hosts.len() <= 1 && (hosts.len() == 1 || !request.is_http11));
    let host = authority(&lines).or(hosts.first().copied());
    assert_eq!(host.unwrap_or_default(), request.host.as_bytes());
    let codings = values("transfer-encoding").join(&b","[..]);
    let is_chunked = request.body_length == BodyLength::Chunked;
    let coding = codings
        .split(|byte| *byte == b',')
        .map(|coding| coding.trim_ascii());
    let coding: Vec<&[u8]> = coding.filter(|coding| !coding.is_empty()).collect();
    assert_eq!(coding.len(), usize::from(is_chunked));
    assert!(
        coding
            .iter()
            .all(|coding| coding.eq_ignore_ascii_case(b"chunked"))
    );
    let lengths = values("content-length");
    assert!(lengths.len() <= 1);
    let is_known = matches!(request.body_length, BodyLength::Known(_));
    assert_eq!(lengths.len(), usize::from(is_known));
    if let Some(digits) = lengths.first() {
        assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
        let value = std::str::from_utf8(digits).expect("digits are text");
        let length = value.parse().unwrap_or(u64::MAX);
        assert_eq!(request.body_length, BodyLength::Known(length));
    }
    assert!(request.path.len() <= length);
}
