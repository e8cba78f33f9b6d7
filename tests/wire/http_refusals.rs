//! Requests that are refused, each with an error in the same format: sent by a smuggler, a scanner or a broken client.

use crate::support::{Server, assert_no_failures};

/// What is sent (`@` is a valid request line and Host), the statuses allowed, and whether the connection must end.
struct Row(&'static str, &'static [u16]);

const GOOD: &str = "GET /rooms HTTP/1.1\r\nHost: localhost";
const NEXT: &str = "GET /rooms HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Each row gets exactly one error and then the end, although a valid request follows it in the same packet.
fn assert_refused_and_hung_up(rows: &[Row]) {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    for Row(text, statuses) in rows {
        let bytes = unescaped(text);
        let mut http = server.connect();
        http.send_if_open([&bytes, NEXT.as_bytes()].concat());
        let response = http.response();
        if !statuses.contains(&response.status) {
            failures.push(format!(
                "{text:?}: {} instead of {statuses:?}",
                response.status
            ));
            continue;
        }
        response.error_code();
        if !response.lists("connection", "close") {
            failures.push(format!("{text:?}: no `Connection: close`"));
        }
        if let Some(rest) = http.rest() {
            let rest = String::from_utf8_lossy(&rest);
            failures.push(format!("{text:?}: the next request was answered: {rest:?}"));
        }
    }
    assert_no_failures(&failures);
}

/// `@` becomes the start of a valid request, `\u{fffd}` a byte that never occurs in UTF-8.
fn unescaped(text: &str) -> Vec<u8> {
    let text = text.replacen('@', GOOD, 1);
    let mut bytes = Vec::new();
    for c in text.chars() {
        if c == '\u{fffd}' {
            bytes.push(0xff);
        } else {
            bytes.extend(c.to_string().as_bytes());
        }
    }
    bytes
}

#[test]
fn an_ambiguous_content_length_is_refused() {
    let post = |fields: &'static str| -> &'static str {
        format!("POST /rooms HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{{}}").leak()
    };
    assert_refused_and_hung_up(&[
        Row(post("Content-Length: 2\r\nContent-Length: 2"), &[400]),
        Row(post("Content-Length: 2\r\nContent-Length: 3"), &[400]),
        Row(post("Content-Length: 2\r\ncontent-length: 0"), &[400]),
        Row(post("Content-Length: 2, 2"), &[400]),
        Row(post("Content-Length: +2"), &[400]),
        Row(post("Content-Length: -2"), &[400]),
        Row(post("Content-Length: 0x2"), &[400]),
        Row(post("Content-Length: 2 2"), &[400]),
        Row(post("Content-Length: 2;"), &[400]),
        Row(post("Content-Length: 2.0"), &[400]),
        Row(post("Content-Length: \"2\""), &[400]),
        Row(post("Content-Length: two"), &[400]),
        Row(post("Content-Length: ２"), &[400]),
        Row(post("Content-Length:"), &[400]),
        Row(post("Content-Length: "), &[400]),
        Row(post("Content-Length: 18446744073709551618"), &[400, 413]),
        Row(
            post("Content-Length: 99999999999999999999999999"),
            &[400, 413],
        ),
    ]);
}

#[test]
fn a_content_length_beside_a_transfer_encoding_is_refused() {
    assert_refused_and_hung_up(&[
        Row(
            "POST /rooms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        Row(
            "POST /rooms HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        Row(
            "@\r\nContent-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n",
            &[400, 501],
        ),
        Row(
            "@\r\nTransfer-Encoding: , Chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
            &[400],
        ),
    ]);
}

#[test]
fn a_transfer_encoding_other_than_chunked_is_refused_in_all_its_disguises() {
    let post = |fields: &'static str| -> &'static str {
        format!("POST /rooms HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n0\r\n\r\n").leak()
    };
    assert_refused_and_hung_up(&[
        Row(post("Transfer-Encoding: chunked, chunked"), &[400]),
        Row(post("Transfer-Encoding: chunked, gzip"), &[400]),
        Row(post("Transfer-Encoding: gzip, chunked"), &[501]),
        Row(post("Transfer-Encoding: chunked chunked"), &[501]),
        Row(post("Transfer-Encoding: \u{b}chunked"), &[400]),
        Row(post("Transfer-Encoding: \u{fffd}chunked"), &[400, 501]),
        Row(post("Transfer-Encoding: xchunked"), &[501]),
        Row(post("Transfer-Encoding: identity"), &[501]),
        Row(post("Transfer-Encoding: chunked;q=1"), &[400, 501]),
        Row(post("Transfer-Encoding: \"chunked\""), &[400, 501]),
        Row(post("Transfer-Encoding: chunked\u{b}"), &[400]),
        Row(post("Transfer-Encoding:"), &[400, 501]),
        Row(post("Transfer-Encoding : chunked"), &[400]),
        Row(post("Transfer-Encoding\t: chunked"), &[400]),
        Row(post("Transfer-Encoding:\r\n chunked"), &[400]),
        Row(post("X: y\r\n Transfer-Encoding: chunked"), &[400]),
        Row(
            post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
            &[501],
        ),
        Row(
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            &[400],
        ),
        Row(post("Transfer-Encoding: , ,"), &[400]),
        Row(
            "POST /rooms HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        Row(
            "POST /rooms HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
        ),
    ]);
}

#[test]
fn a_line_end_that_is_not_crlf_is_refused() {
    assert_refused_and_hung_up(&[
        Row("GET /rooms HTTP/1.1\nHost: a\n\n", &[400]),
        Row("GET /rooms HTTP/1.1\nHost: localhost\r\n\r\n", &[400]),
        Row("@\nX: y\r\n\r\n", &[400]),
        Row("@\r\nX: y\n\r\n", &[400]),
        Row("@\r\nX: y\r\n\n", &[400]),
        Row("@\r\nX: y\rZ: w\r\n\r\n", &[400]),
        Row("@\r\nX: y\r\r\n\r\n", &[400]),
        Row("@\r\nX\r: y\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\rHost: localhost\r\n\r\n", &[400]),
        Row("\nGET /rooms HTTP/1.1\r\nHost: localhost\r\n\r\n", &[400]),
    ]);
}

#[test]
fn a_malformed_field_line_is_refused() {
    assert_refused_and_hung_up(&[
        Row("@\r\nX : y\r\n\r\n", &[400]),
        Row("@\r\nX: y\r\n folded\r\n\r\n", &[400]),
        Row("@\r\nX: y\r\n\tfolded\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\n Host: localhost\r\n\r\n", &[400]),
        Row("@\r\nno colon\r\n\r\n", &[400]),
        Row("@\r\n: empty name\r\n\r\n", &[400]),
        Row("@\r\nX: a\0b\r\n\r\n", &[400]),
        Row("@\r\nX\0: b\r\n\r\n", &[400]),
        Row("@\r\nX: a\u{1}b\r\n\r\n", &[400]),
        Row("@\r\nX(: b\r\n\r\n", &[400]),
        Row("@\r\n\"X\": b\r\n\r\n", &[400]),
        Row("@\r\n이름: b\r\n\r\n", &[400]),
    ]);
}

#[test]
fn a_request_names_exactly_one_valid_host() {
    assert_refused_and_hung_up(&[
        Row("GET /rooms HTTP/1.1\r\n\r\n", &[400]),
        Row("@\r\nHost: localhost\r\n\r\n", &[400]),
        Row("@\r\nhost: b\r\n\r\n", &[400]),
        Row(
            "GET /rooms HTTP/1.0\r\nHost: localhost\r\nHost: b\r\n\r\n",
            &[400],
        ),
        Row("GET http://a/rooms HTTP/1.1\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\nHost: a b\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\nHost: a/b\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\nHost: a, b\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\nHost: user@a\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\nHost: a?b\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\nHost: a#b\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\nHost: a:port\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\nHost: a:1:2\r\n\r\n", &[400]),
        Row("GET /rooms HTTP/1.1\r\nHost: [::1\r\n\r\n", &[400]),
    ]);
}

#[test]
fn good_hosts_are_not_refused() {
    let server = Server::start(&["--host", "a.example", "--host", "a-b.c_d"]);
    let mut http = server.connect();
    for host in [
        "localhost",
        "a.example:8000",
        "[::1]:8000",
        "127.0.0.1",
        "A-b.c_d",
    ] {
        http.send(format!("GET /rooms HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(http.response().status, 200, "{host}");
    }
}

#[test]
fn a_malformed_request_line_is_refused() {
    assert_refused_and_hung_up(&[
        Row("GET  /rooms HTTP/1.1\r\nHost: localhost\r\n\r\n", &[400]),
        Row(
            "GET /rooms  HTTP/1.1\r\nHost: localhost\r\n\r\n",
            &[400, 505],
        ),
        Row(
            "GET /rooms HTTP/1.1 \r\nHost: localhost\r\n\r\n",
            &[400, 505],
        ),
        Row(
            "GET /rooms HTTP/1.1 x\r\nHost: localhost\r\n\r\n",
            &[400, 505],
        ),
        Row("GET\t/rooms\tHTTP/1.1\r\nHost: localhost\r\n\r\n", &[400]),
        Row(" GET /rooms HTTP/1.1\r\nHost: localhost\r\n\r\n", &[400]),
        Row("GET /rooms\r\nHost: localhost\r\n\r\n", &[400, 505]),
        Row(
            "GET /rooms http/1.1\r\nHost: localhost\r\n\r\n",
            &[400, 505],
        ),
        Row(
            "GET /rooms HTTP/1.10\r\nHost: localhost\r\n\r\n",
            &[400, 505],
        ),
        Row("G(T /rooms HTTP/1.1\r\nHost: localhost\r\n\r\n", &[400]),
        Row("/rooms HTTP/1.1\r\nHost: localhost\r\n\r\n", &[400]),
        Row("GET HTTP/1.1\r\nHost: localhost\r\n\r\n", &[400]),
        Row("\u{16}\u{3}\u{1}\r\n\r\n", &[400]),
        Row("\0\r\n\r\n", &[400]),
        Row("SSH-2.0-OpenSSH_9.6\r\n\r\n", &[400]),
    ]);
}

/// These are refused before an empty line comes: clients of other protocols send none.
#[test]
fn what_cannot_be_a_request_line_is_refused_before_its_head_ends() {
    let server = Server::start(&[]);
    for (text, status, code) in [
        // Complete lines of other protocols.
        ("SSH-2.0-OpenSSH_9.6\r\n", 400, "bad_request"),
        ("EHLO x\r\n", 400, "bad_request"),
        ("*1\r\n", 400, "bad_request"),
        ("GET /rooms\r\n", 400, "bad_request"),
        ("\r\n\r\nEHLO x\r\n", 400, "bad_request"),
        ("GET /rooms HTTP/2.0\r\n", 505, "http_version_not_supported"),
        ("PRI * HTTP/2.0\r\n", 505, "http_version_not_supported"),
        // Bytes that are invalid in a request line; the first row is the start of a TLS ClientHello.
        ("\u{16}\u{3}\u{1}", 400, "bad_request"),
        ("\0", 400, "bad_request"),
        ("\u{fffd}", 400, "bad_request"),
        (" GET", 400, "bad_request"),
        ("G(", 400, "bad_request"),
        ("GET /rooms\u{7}", 400, "bad_request"),
    ] {
        let mut http = server.connect();
        http.send(unescaped(text));
        let response = http.response();
        response.assert_error(status, code);
        assert!(response.lists("connection", "close"), "{text:?}");
        http.expect_end();
    }
}

#[test]
fn a_request_line_of_an_unknown_method_is_valid_and_its_head_is_awaited() {
    let server = Server::start(&[]);
    let (mut http, mut other) = (server.connect(), server.connect());
    http.send("BREW /rooms HTTP/1.1\r\n");
    assert_eq!(other.get("/livez").status, 200);
    http.send("Host: localhost\r\nX: y\n");
    http.response().assert_error(400, "bad_request");
    let mut http = server.connect();
    http.send("BREW /rooms HTTP/1.1\r\nHost: localhost\r\n\r\n");
    http.response().assert_error(501, "not_implemented");
}

/// The connection may stay open or end after these.
#[test]
fn an_invalid_request_target_is_refused() {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    for target in [
        "*",
        "livez",
        "livez/",
        "a:80",
        "?x",
        "//",
        "mailto:a.b",
        "http://",
        "http:/rooms",
        "/rooms#fragment",
        "/rooms/#",
        "/rooms/%",
        "/rooms/%4",
        "/rooms/%zz",
        "/rooms/%+1",
        "/rooms/a%",
        "/rooms/%ff",
        "/rooms/%c0%af",
        "/rooms/%ed%a0%80",
        "/rooms/%ed%99",
        "/rooms/\u{fffd}",
        "/rooms/a\u{7f}",
        "/rooms/a\0",
    ] {
        let mut http = server.connect();
        http.send(unescaped(&format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )));
        let response = http.response();
        // Two slashes are a path with an empty segment.
        let wanted: &[u16] = if target == "//" { &[400, 404] } else { &[400] };
        if wanted.contains(&response.status) {
            response.error_code();
        } else {
            failures.push(format!("{target:?}: {}", response.status));
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn the_asterisk_is_for_options_alone() {
    let server = Server::start(&[]);
    for method in ["GET", "POST", "HEAD", "DELETE"] {
        let mut http = server.connect();
        http.send(format!("{method} * HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let status = http.head().status;
        assert!(matches!(status, 400 | 405), "{method} *: {status}");
    }
}

#[test]
fn the_server_is_not_a_proxy() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    let status = http.response().status;
    assert!(status >= 400, "{status}");
}

#[test]
fn a_head_of_16_kib_is_the_limit() {
    let server = Server::start(&[]);
    let long = |length| {
        format!(
            "GET /rooms HTTP/1.1\r\nHost: localhost\r\nX: {}",
            "x".repeat(length)
        )
    };
    let mut http = server.connect();
    http.send(long(15 * 1024) + "\r\n\r\n");
    assert_eq!(http.response().status, 200);
    for end in ["\r\n\r\n", ""] {
        let mut http = server.connect();
        http.send_if_open(long(17 * 1024) + end);
        let response = http.response();
        response.assert_error(431, "header_fields_too_large");
        http.expect_end();
    }
}

#[test]
fn sixty_four_fields_are_the_limit() {
    let server = Server::start(&[]);
    let with_fields = |count: usize| {
        let more: String = (1..count).map(|n| format!("X-{n}: y\r\n")).collect();
        format!("GET /rooms HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
    };
    let mut http = server.connect();
    http.send(with_fields(64));
    assert_eq!(http.response().status, 200);
    http.send(with_fields(65));
    http.response().assert_error(431, "header_fields_too_large");
    http.expect_end();
}

#[test]
fn a_target_of_8_kib_is_the_limit() {
    let server = Server::start(&[]);
    let target = |length: usize| format!("/{}", "x".repeat(length - 1));
    server.get(&target(8 * 1024)).assert_error(404, "not_found");
    let mut http = server.connect();
    http.get(&target(8 * 1024 + 1))
        .assert_error(414, "uri_too_long");
    http.expect_end();
}

#[test]
fn a_target_that_never_ends_is_refused_before_its_end() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send_if_open(format!("GET /{}", "x".repeat(16 * 1024)));
    let response = http.response();
    assert!(matches!(response.status, 414 | 431), "{response:?}");
    response.error_code();
    http.expect_end();
}

#[test]
fn a_body_of_64_kib_is_the_limit() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let body = |length: usize| "[]".to_owned() + &" ".repeat(length - 2);
    http.post("/rooms", &body(64 * 1024))
        .assert_error(400, "bad_request");
    let refused = http.post("/rooms", &body(64 * 1024 + 1));
    refused.assert_error(413, "content_too_large");
    http.expect_end();
}

#[test]
fn a_client_in_the_middle_of_a_large_body_still_learns_why_it_is_refused() {
    let server = Server::start(&[]);
    for _ in 0..10 {
        let mut http = server.connect();
        http.send("POST /rooms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
        http.send_if_open(vec![b' '; 1_000_000]);
        http.response().assert_error(413, "content_too_large");
    }
}

#[test]
fn a_post_without_a_length_has_no_body_and_needs_one() {
    let server = Server::start(&[]);
    let response = server.connect().request("POST", "/rooms", "");
    response.assert_error(411, "length_required");
}

#[test]
fn only_json_is_taken() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "json"] {
        let field = format!("Content-Type: {kind}\r\n");
        http.post_with("/rooms", &field, r#"{"name":"a"}"#)
            .assert_error(415, "unsupported_media_type");
    }
    for (index, field) in [
        "",
        "Content-Type: application/json; charset=utf-8\r\n",
        "Content-Type: Application/JSON\r\n",
        "Content-Type: application/json;charset=UTF-8\r\n",
    ]
    .iter()
    .enumerate()
    {
        let body = format!(r#"{{"name":"{index}"}}"#);
        let response = http.post_with("/rooms", field, &body);
        assert_eq!(response.status, 201, "{field}");
    }
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for_forever() {
    let server = Server::start(&[]);
    let mut slow = server.connect();
    slow.send("GET /rooms HTTP/1.1\r\nHost: localhost\r\n");
    slow.response().assert_error(408, "request_timeout");
    slow.expect_end();
}
