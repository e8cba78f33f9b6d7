//! Bodies in chunked transfer coding, without a socket: read the same however they are split, or refused.

use std::time::Duration;

use sarang::config::{BODY_BYTES_MAX, BODY_TIMEOUT, Config};
use sarang::conn::http::{Http, Step};
use sarang::wire::http::Request;

use crate::world::World;

const HEAD: &str =
    "POST /rooms HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";

/// The requests that are served, and the refusal that ends them, with the request it belongs to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    served: Vec<Request>,
    refused: Option<(String, Option<Request>)>,
}

fn receive<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut http = Http::default();
    let mut outcome = Outcome::default();
    for piece in pieces {
        let mut input = http.receive(piece);
        loop {
            match http.step(&mut input, None, |_| BODY_BYTES_MAX) {
                Step::Wait => break,
                Step::Proxied(_) | Step::RefuseProxyHeader(_) | Step::Begin(_) | Step::Continue => {
                    panic!("nothing is expected")
                }
                Step::Serve(request) => outcome.served.push(*request),
                Step::RefuseHead(refusal, _) => {
                    outcome.refused = Some((format!("{refusal:?}"), None));
                    return outcome;
                }
                Step::Refuse(refusal, request) => {
                    let refusal = format!("{refusal:?}");
                    outcome.refused = Some((refusal, Some(*request)));
                    return outcome;
                }
            }
        }
        http.keep(input);
    }
    outcome
}

/// The outcome of a stream in one piece; the same in two pieces, wherever they are split, and byte by byte.
fn outcome(body: &[u8]) -> Outcome {
    let stream = [HEAD.as_bytes(), body, NEXT.as_bytes()].concat();
    let whole = receive([&stream[..]]);
    for at in 1..stream.len() {
        let (first, second) = stream.split_at(at);
        assert_eq!(receive([first, second]), whole, "split at {at}");
    }
    assert_eq!(receive(stream.chunks(1)), whole, "byte by byte");
    whole
}

#[test]
fn a_chunked_body_is_the_data_of_its_chunks() {
    for (body, data) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("1\r\na\r\n1\r\nb\r\n00000\r\n\r\n", "ab"),
        (
            "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n",
            "01234567890123456789a",
        ),
        ("000000000000000a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        // Data is not searched for line ends or chunks.
        ("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n"),
        // Extensions.
        ("1;a\r\nx\r\n0;b=c\r\n\r\n", "x"),
        ("1;a=b;c=\"d\"\r\nx\r\n0\r\n\r\n", "x"),
        ("1 \t;\ta\t = \t b ; c\t=\t\"\" ;d\r\nx\r\n0\r\n\r\n", "x"),
        ("1;a=\"; \\\" \\\\ = 0\t\u{e9}\"\t;b\r\nx\r\n0\r\n\r\n", "x"),
        ("1;!#$%&'*+-.^_`|~09AZaz=1\r\nx\r\n0\r\n\r\n", "x"),
        // Trailer fields, none of which means anything.
        ("1\r\nx\r\n0\r\nA: b\r\n\r\n", "x"),
        ("1\r\nx\r\n0\r\nA:\r\nB:  \t\r\nC:d e\tf\u{e9}\r\n\r\n", "x"),
        ("1\r\nx\r\n0\r\nContent-Length: 9\r\n\r\n", "x"),
        ("1\r\nx\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n", "x"),
        ("1\r\nx\r\n0\r\nHost: y\r\nHost: z\r\n\r\n", "x"),
        ("1\r\nx\r\n0\r\nOrigin: y\r\nConnection: close\r\n\r\n", "x"),
    ] {
        let outcome = outcome(body.as_bytes());
        let [request, next] = &outcome.served[..] else {
            panic!("{body:?}: {outcome:?}");
        };
        assert_eq!(outcome.refused, None);
        assert_eq!(&*request.body, data.as_bytes(), "{body:?}");
        assert_eq!(request.host.as_ref(), "x", "{body:?}");
        assert_eq!(request.fields.origin.as_deref(), Some("http://a"));
        assert!(request.keep_alive, "{body:?}");
        assert_eq!(next.path, ["next"], "{body:?}");
    }
}

/// Each of these bodies is refused, at the same byte however it is split, and what follows it is not served.
fn assert_malformed(bodies: &[&str]) {
    for body in bodies {
        let outcome = outcome(body.as_bytes());
        assert_eq!(outcome.served, [], "{body:?}");
        let (refusal, request) = outcome.refused.expect(body);
        assert!(refusal.contains("BadRequest"), "{body:?}: {refusal}");
        // It is answered in the language, and with the CORS fields, of its request.
        let request = request.expect(body);
        assert_eq!(request.fields.origin.as_deref(), Some("http://a"));
    }
}

#[test]
fn a_malformed_size_of_a_chunk_is_refused() {
    assert_malformed(&[
        "\r\n0\r\n\r\n",
        "\r\n\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "+1\r\nx\r\n0\r\n\r\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        "x1\r\nx\r\n0\r\n\r\n",
        "g\r\nx\r\n0\r\n\r\n",
        "1g\r\nx\r\n0\r\n\r\n",
        "1_0\r\nx\r\n0\r\n\r\n",
        "1.\r\nx\r\n0\r\n\r\n",
        " 1\r\nx\r\n0\r\n\r\n",
        "\t1\r\nx\r\n0\r\n\r\n",
        "1 \r\nx\r\n0\r\n\r\n",
        "1\t\r\nx\r\n0\r\n\r\n",
        "1\0\r\nx\r\n0\r\n\r\n",
        "1,1\r\nx\r\n0\r\n\r\n",
        "1 1\r\nx\r\n0\r\n\r\n",
        "１\r\nx\r\n0\r\n\r\n",
        "10000000000000000\r\nx\r\n0\r\n\r\n",
        "10000000000000001\r\nx\r\n0\r\n\r\n",
        "00000000000000001\r\nx\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nx\r\n0\r\n\r\n",
        ";a\r\nx\r\n0\r\n\r\n",
    ]);
}

#[test]
fn a_chunk_that_does_not_end_where_its_size_says_or_not_with_crlf_is_refused() {
    assert_malformed(&[
        "1\nx\r\n0\r\n\r\n",
        "1\rx\r\n0\r\n\r\n",
        "1\r\rx\r\n0\r\n\r\n",
        "1\r\r\nx\r\n0\r\n\r\n",
        "\n1\r\nx\r\n0\r\n\r\n",
        "\r\n1\r\nx\r\n0\r\n\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nx\r0\r\n\r\n",
        "1\r\nx0\r\n\r\n",
        "1\r\nx\r\r\n0\r\n\r\n",
        "1\r\nx\r\n\r\n0\r\n\r\n",
        "1\r\nx\r\n\n0\r\n\r\n",
        "1\r\nx\r\n0\n\r\n",
        "1\r\nx\r\n0\r\r\n",
        "1\r\nx\r\n0\r\n\n",
        "1\r\nx\r\n0\r\n\rx",
        "1\r\nx\r\n0\n\n",
        "1\r\nxy\r\n0\r\n\r\n",
        "2\r\nx\r\n0\r\n\r\n",
        "4\r\nx\r\n0\r\n\r\n",
    ]);
}

#[test]
fn a_malformed_extension_of_a_chunk_is_refused() {
    assert_malformed(&[
        "1;\r\nx\r\n0\r\n\r\n",
        "1; \r\nx\r\n0\r\n\r\n",
        "1;;a\r\nx\r\n0\r\n\r\n",
        "1;a;\r\nx\r\n0\r\n\r\n",
        "1;a=\r\nx\r\n0\r\n\r\n",
        "1;=b\r\nx\r\n0\r\n\r\n",
        "1;a b\r\nx\r\n0\r\n\r\n",
        "1;a=b c\r\nx\r\n0\r\n\r\n",
        "1;a=b=c\r\nx\r\n0\r\n\r\n",
        "1;a \r\nx\r\n0\r\n\r\n",
        "1;a=b \r\nx\r\n0\r\n\r\n",
        "1;a=\"b\" \r\nx\r\n0\r\n\r\n",
        "1;a=\"b\"c\r\nx\r\n0\r\n\r\n",
        "1;a=b\"c\"\r\nx\r\n0\r\n\r\n",
        "1;a=\"b\r\nx\r\n0\r\n\r\n",
        "1;a=\"b\\\r\n\"\r\nx\r\n0\r\n\r\n",
        "1;a=\"b\\\"\r\nx\r\n0\r\n\r\n",
        "1;a\nx\r\n0\r\n\r\n",
        "1;a=\"b\nc\"\r\nx\r\n0\r\n\r\n",
        "1;a=\"b\rc\"\r\nx\r\n0\r\n\r\n",
        "1;a\rb\r\nx\r\n0\r\n\r\n",
        "1;a\0\r\nx\r\n0\r\n\r\n",
        "1;a=\"\0\"\r\nx\r\n0\r\n\r\n",
        "1;a=\"\\\0\"\r\nx\r\n0\r\n\r\n",
        "1;a=\"\u{7f}\"\r\nx\r\n0\r\n\r\n",
        "1;\u{e9}\r\nx\r\n0\r\n\r\n",
        "0;\r\n\r\n",
        "0 \r\n\r\n",
    ]);
}

#[test]
fn a_malformed_trailer_field_is_refused() {
    assert_malformed(&[
        "0\r\nA\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\r\n\n",
        "0\r\nA: b\rC: d\r\n\r\n",
        "0\r\nA: b\r\r\n\r\n",
        "0\r\nA: \0\r\n\r\n",
        "0\r\nA: \u{1b}\r\n\r\n",
        "0\r\nA: \u{7f}\r\n\r\n",
        "0\r\nA(: b\r\n\r\n",
        "0\r\n\u{e9}: b\r\n\r\n",
        "0\r\n0\r\n\r\n",
        "0\r\n",
    ]);
}

#[test]
fn a_chunk_over_the_limit_of_the_body_is_refused_before_its_data_comes() {
    let limit = format!(
        "{BODY_BYTES_MAX:x}\r\n{}\r\n0\r\n\r\n",
        "a".repeat(BODY_BYTES_MAX)
    );
    let served = receive([HEAD.as_bytes(), limit.as_bytes()]).served;
    assert_eq!(served[0].body.len(), BODY_BYTES_MAX);
    let over = BODY_BYTES_MAX + 1;
    for body in [
        format!("{over:x}\r\n"),
        format!("1\r\na\r\n{BODY_BYTES_MAX:X};a=b\r\n"),
        "1\r\na\r\nffffffffffffffff\r\n".to_owned(),
        "8000000000000000\r\n".to_owned(),
    ] {
        let outcome = outcome(body.as_bytes());
        let (refusal, request) = outcome.refused.expect("is refused");
        assert!(refusal.contains("ContentTooLarge"), "{body}: {refusal}");
        assert!(outcome.served.is_empty() && request.is_some(), "{body}");
    }
}

#[test]
fn a_chunked_body_has_as_much_time_as_any_other() {
    let mut world = World::new(Config::default());
    let id = world.connect();
    world.receive(id, HEAD.as_bytes());
    world.receive(id, b"ff\r\n");
    world.turn();
    // Single bytes do not extend it, whether they are data or not.
    for byte in [b"x"; 29] {
        world.pass(Duration::from_secs(1));
        world.receive(id, byte);
        world.turn();
    }
    assert!(world.wire(id).bytes.is_empty());
    world.pass(BODY_TIMEOUT - Duration::from_secs(28));
    world.turn();
    assert!(world.wire(id).bytes.starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn of_a_chunked_body_the_data_is_held_and_nothing_else() {
    let mut world = World::new(Config::default());
    let id = world.connect();
    let line = format!("1;{}\r\nx\r\n", "y".repeat(1_000));
    world.receive(id, HEAD.as_bytes());
    for count in 1..=16 {
        world.receive(id, line.as_bytes());
        world.turn();
        let held = world.server.buffered_bytes();
        assert!((count..=2 * count).contains(&held), "{held} bytes are held");
    }
    world.receive(id, format!("0\r\nA: {}", "z".repeat(4_000)).as_bytes());
    world.turn();
    assert_eq!(world.server.buffered_bytes(), 16);
    world.receive(id, b"\r\n\r\n");
    world.turn();
    assert!(world.wire(id).bytes.starts_with(b"HTTP/1.1 403 "));
    assert_eq!(world.server.buffered_bytes(), 0);
}
