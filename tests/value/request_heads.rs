//! The head of a request as a table, without a socket: what it announces, and the error for a refused head.

use std::time::Duration;

use sarang::config::{BODY_TIMEOUT, Config, HEAD_TIMEOUT, TARGET_BYTES_MAX};
use sarang::wire::http::{BodyLength, HeadError, Request, Upgrade, parse_head};

use crate::world::{World, frame};

const BAD: u16 = 400;

/// A head, with its lines separated by bars; the status of its refusal.
fn read(head: &str) -> Result<Request, u16> {
    let head = head.replace('|', "\r\n") + "\r\n\r\n";
    match parse_head(head.as_bytes()) {
        Ok(Some((request, length))) if length == head.len() => Ok(request),
        Ok(other) => panic!("not read to its end: {other:?}"),
        Err(HeadError::BadRequest(_)) => Err(BAD),
        Err(HeadError::TargetTooLong) => Err(414),
        Err(HeadError::ExpectationFailed) => Err(417),
        Err(HeadError::FieldsTooLarge) => Err(431),
        Err(HeadError::NotImplemented) => Err(501),
        Err(HeadError::VersionNotSupported) => Err(505),
    }
}

/// A valid request with these additional fields.
fn with(fields: &str) -> Result<Request, u16> {
    read(&format!("GET / HTTP/1.1|Host: x{fields}"))
}

#[test]
fn a_body_has_one_decimal_length_or_none_or_is_chunked() {
    for (fields, expected) in [
        ("", Ok(BodyLength::None)),
        ("|Content-Length: 0", Ok(BodyLength::Known(0))),
        ("|content-length:\t17 ", Ok(BodyLength::Known(17))),
        (
            "|Content-Length: 99999999999999999999",
            Ok(BodyLength::Known(u64::MAX)),
        ),
        ("|Content-Length:", Err(BAD)),
        ("|Content-Length: +1", Err(BAD)),
        ("|Content-Length: 1x", Err(BAD)),
        ("|Content-Length: 1, 1", Err(BAD)),
        ("|Content-Length: 1|Content-Length: 1", Err(BAD)),
        ("|Transfer-Encoding: chunked", Ok(BodyLength::Chunked)),
        ("|Transfer-Encoding: CHUNKED", Ok(BodyLength::Chunked)),
        (
            "|Transfer-Encoding:,\t, chunked\t , ",
            Ok(BodyLength::Chunked),
        ),
        (
            "|Transfer-Encoding:|transfer-encoding:Chunked",
            Ok(BodyLength::Chunked),
        ),
        ("|Transfer-Encoding: gzip", Err(501)),
        ("|Transfer-Encoding: identity", Err(501)),
        ("|Transfer-Encoding: xchunked", Err(501)),
        ("|Transfer-Encoding: chunked chunked", Err(501)),
        ("|Transfer-Encoding: \"chunked\"", Err(501)),
        ("|Transfer-Encoding: chunked;foo=bar", Err(501)),
        ("|Transfer-Encoding: \u{a0}chunked", Err(501)),
        ("|Transfer-Encoding: \u{b}chunked", Err(BAD)),
        ("|Transfer-Encoding: chunked\u{c}", Err(BAD)),
        ("|Transfer-Encoding: gzip, chunked", Err(501)),
        (
            "|Transfer-Encoding: gzip|Transfer-Encoding: chunked",
            Err(501),
        ),
        ("|Transfer-Encoding: chunked, gzip", Err(BAD)),
        ("|Transfer-Encoding: chunked, identity", Err(BAD)),
        ("|Transfer-Encoding: chunked, chunked", Err(BAD)),
        (
            "|Transfer-Encoding: chunked|Transfer-Encoding: chunked",
            Err(BAD),
        ),
        ("|Transfer-Encoding:", Err(BAD)),
        ("|Transfer-Encoding: , ,", Err(BAD)),
        ("|Transfer-Encoding: chunked|Content-Length: 1", Err(BAD)),
        ("|Content-Length: 0|Transfer-Encoding: chunked", Err(BAD)),
        ("|Content-Length: 1|Transfer-Encoding:", Err(BAD)),
    ] {
        let length = with(fields).map(|request| request.body_length);
        assert_eq!(length, expected, "{fields}");
    }
    let old = read("POST / HTTP/1.0|Transfer-Encoding: chunked");
    assert_eq!(old.map(|_| ()), Err(BAD));
}

#[test]
fn a_connection_stays_open_by_default_or_because_it_is_asked_to() {
    for (version, fields, expected) in [
        ("1.1", "", true),
        ("1.1", "|Connection: close", false),
        ("1.1", "|Connection: foo , CLOSE", false),
        ("1.1", "|Connection: foo|Connection: close", false),
        ("1.1", "|Connection: keep-alive", true),
        ("1.0", "", false),
        ("1.0", "|Connection: keep-alive", true),
        ("1.0", "|Connection: keep-alive, close", false),
    ] {
        let request = read(&format!("GET / HTTP/{version}|Host: x{fields}")).expect("is a request");
        assert_eq!(request.keep_alive, expected, "{version} {fields}");
        assert_eq!(request.is_http11, version == "1.1");
    }
}

#[test]
fn there_is_one_host_which_http_1_0_may_leave_out() {
    let host = |head: &str| read(head).map(|request| request.host.into_string());
    assert_eq!(host("GET / HTTP/1.1|Host: a:80 "), Ok("a:80".into()));
    assert_eq!(host("GET / HTTP/1.0"), Ok(String::new()));
    // The authority of an absolute-form target takes precedence (RFC 9112 section 3.2.2).
    for version in [
        "HTTP/1.1|Host: a",
        "HTTP/1.1|Host: a b",
        "HTTP/1.1|Host:",
        "HTTP/1.0|Host: a",
        "HTTP/1.0",
    ] {
        let head = format!("GET http://b:81?c {version}");
        assert_eq!(host(&head), Ok("b:81".into()), "{head}");
    }
    for bad in [
        "GET / HTTP/1.1",
        "GET / HTTP/1.1|Host: a|Host: a",
        "GET / HTTP/1.1|Host: a b",
        "GET / HTTP/1.1|Host:",
        "GET / HTTP/1.0|Host: user@a",
        "GET http://b/ HTTP/1.1",
    ] {
        assert_eq!(host(bad), Err(BAD), "{bad}");
    }
}

#[test]
fn an_upgrade_is_a_handshake_another_version_malformed_or_nothing() {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    let asks = "|Upgrade: h2c, WebSocket|Connection: keep-alive, upgrade";
    let version = "|Sec-WebSocket-Version: 13";
    let key = format!("|Sec-WebSocket-Key: {KEY}");
    let good = format!("{asks}{version}{key}");
    let upgrade = |line: &str, fields: &str| {
        let request = read(&format!("{line}|Host: x{fields}")).expect("is a request");
        request.upgrade
    };
    let get = |fields: &str| upgrade("GET / HTTP/1.1", fields);
    assert_eq!(get(&good), Upgrade::WebSocket { key: KEY.into() });
    let empty = good.clone() + "|Content-Length: 0";
    assert_eq!(get(&empty), Upgrade::WebSocket { key: KEY.into() });
    for fields in [
        "".into(),
        good.replace("WebSocket,", "").replace(", WebSocket|", "|"),
        good.replace(", upgrade", ""),
    ] {
        assert_eq!(get(&fields), Upgrade::None, "{fields}");
    }
    assert_eq!(upgrade("GET / HTTP/1.0", &good), Upgrade::None);
    assert_eq!(
        get(&good.replace(": 13", ": 12")),
        Upgrade::UnsupportedVersion
    );
    for fields in [
        good.clone() + "|Content-Length: 1",
        good.clone() + "|Transfer-Encoding: chunked",
        format!("{asks}{version}"),
        format!("{asks}{key}"),
        good.replace("==", "="),
    ] {
        assert_eq!(get(&fields), Upgrade::Malformed, "{fields}");
    }
    for line in ["POST / HTTP/1.1", "HEAD / HTTP/1.1"] {
        assert_eq!(upgrade(line, &good), Upgrade::Malformed, "{line}");
        let other = good.replace(": 13", ": 12");
        assert_eq!(upgrade(line, &other), Upgrade::Malformed, "{line}");
    }
}

#[test]
fn the_only_expectation_is_100_continue_and_http_1_0_has_none() {
    let expects = |head: &str| read(head).map(|request| request.expects_continue);
    assert_eq!(expects("PUT / HTTP/1.1|Host: x"), Ok(false));
    let asks = "|Host: x|Expect: 100-Continue";
    assert_eq!(expects(&format!("PUT / HTTP/1.1{asks}")), Ok(true));
    assert_eq!(expects(&format!("PUT / HTTP/1.0{asks}")), Ok(false));
    assert_eq!(expects("PUT / HTTP/1.1|Host: x|Expect: fire"), Err(417));
}

#[test]
fn a_target_is_taken_up_to_its_limit() {
    for (length, expected) in [
        (TARGET_BYTES_MAX, Ok(())),
        (TARGET_BYTES_MAX + 1, Err(414)),
        (TARGET_BYTES_MAX + 2, Err(414)),
    ] {
        let head = format!("GET /{} HTTP/1.1|Host: x", "a".repeat(length - 1));
        assert_eq!(read(&head).map(|_| ()), expected, "{length}");
    }
}

#[test]
fn an_empty_line_before_a_request_is_skipped() {
    for before in ["|", "||"] {
        let request = read(&format!("{before}GET /a HTTP/1.1|Host: x")).expect("is a request");
        assert_eq!(request.path, ["a"]);
    }
}

#[test]
fn the_fields_that_routes_look_at_are_kept_and_stand_once() {
    let request = with("|Authorization: Bearer a|Content-Type:  b |ORIGIN: c|If-None-Match: d")
        .expect("is a request");
    let kept = [
        &request.fields.authorization,
        &request.fields.content_type,
        &request.fields.origin,
        &request.fields.if_none_match,
        &request.fields.last_event_id,
    ];
    let kept = kept.map(|value| value.as_deref());
    assert_eq!(
        kept,
        [Some("Bearer a"), Some("b"), Some("c"), Some("d"), None]
    );
    for name in ["Authorization", "Content-Type", "Origin"] {
        let twice = with(&format!("|{name}: a|{name}: a"));
        assert_eq!(twice.map(|_| ()), Err(BAD), "{name}");
    }
}

#[test]
fn english_is_used_where_it_is_preferred() {
    for (languages, expected) in [
        ("", false),
        ("en", true),
        ("EN-us", true),
        ("ko", false),
        ("ko, en", false),
        ("en, ko;q=0.9", true),
        ("ko;q=0.8, en;q=0.9", true),
        ("ko;q=0.9, en;q=0.8", false),
        ("en;q=0", false),
        ("en;q=x", false),
        ("fr", true),
        ("fr, ko;q=0.5", false),
        ("fr|Accept-Language: ko;q=0.5", false),
    ] {
        let request = with(&format!("|Accept-Language: {languages}")).expect("is a request");
        assert_eq!(request.prefers_english(), expected, "{languages}");
    }
    assert!(!with("").expect("is a request").prefers_english());
}

#[test]
fn what_comes_with_a_handshake_that_is_refused_is_read_as_frames() {
    let handshake = b"GET /ws?ticket=unknown HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let close = frame(0x88, &1000u16.to_be_bytes());
    let stream = [handshake, &close[..]].concat();
    for at in [handshake.len(), 20, stream.len()] {
        let mut world = World::new(Config::default());
        let id = world.connect();
        for piece in [&stream[..at], &stream[at..]] {
            world.receive_at_once(id, piece);
        }
        world.turn();
        // Both close frames are there: the connection waits for nothing more.
        assert!(world.wire(id).is_shut, "split at {at}");
    }
}

#[test]
fn what_comes_too_late_is_refused_in_its_language_and_to_be_read_by_an_allowed_page() {
    let fields = "Host: x\r\nOrigin: https://app.example\r\nAccept-Language: en\r\n";
    for (start, timeout) in [
        (format!("GET /rooms HTTP/1.1\r\n{fields}"), HEAD_TIMEOUT),
        (
            format!("POST /rooms HTTP/1.1\r\n{fields}Content-Length: 9\r\n\r\n{{"),
            BODY_TIMEOUT,
        ),
    ] {
        let mut world = World::new(Config {
            allow_origins: vec!["https://app.example".into()],
            hosts: vec!["x".into()],
            ..Config::default()
        });
        let id = world.connect();
        world.receive(id, start.as_bytes());
        world.pass(timeout + Duration::from_secs(1));
        let answer = String::from_utf8(world.wire(id).bytes.clone()).expect("a text");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        for expected in [
            "\r\nAccess-Control-Allow-Origin: https://app.example\r\n",
            "\r\nAccess-Control-Allow-Credentials: true\r\n",
            "\r\nVary: Origin\r\n",
        ] {
            assert!(answer.contains(expected), "{answer}");
        }
        assert!(answer.is_ascii(), "in English: {answer}");
    }
}

#[test]
fn a_connection_refused_at_a_limit_is_told_so_in_the_language_of_what_it_has_sent_already() {
    let world = World::new(Config {
        allow_origins: vec!["https://app.example".into()],
        ..Config::default()
    });
    let now = world.now;
    let get =
        "GET / HTTP/1.1\r\nHost: x\r\nAccept-Language: en\r\nOrigin: https://app.example\r\n\r\n";
    for (received, is_english) in [(get, true), ("", false), ("\u{16}\u{3}\u{1}", false)] {
        let refusal = world
            .server
            .refusal_of_a_connection(received.as_bytes(), now);
        let refusal = String::from_utf8(refusal).expect("a text");
        assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
        assert_eq!(refusal.is_ascii(), is_english, "{refusal}");
        let is_readable = refusal.contains("Access-Control-Allow-Origin: https://app.example");
        assert_eq!(is_readable, is_english, "{refusal}");
    }
    let head = world
        .server
        .refusal_of_a_connection(b"HEAD / HTTP/1.1\r\n", now);
    assert!(head.ends_with(b"\r\n\r\n"), "no content");
}
