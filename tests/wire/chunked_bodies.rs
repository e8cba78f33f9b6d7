//! Bodies in chunked transfer coding (RFC 9112 section 7.1) at the wire.

use crate::support::{Http, Response, Server, assert_no_failures};

const JSON: &str = "Content-Type: application/json\r\n";

/// The head of a request with a chunked body; `fields` are complete lines.
fn head(method: &str, target: &str, fields: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"
    )
}

/// A body in chunks of at most `size` bytes.
fn chunked(data: &[u8], size: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in data.chunks(size) {
        body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        body.extend_from_slice(chunk);
        body.extend(b"\r\n");
    }
    body.extend(b"0\r\n\r\n");
    body
}

fn send(http: &mut Http, head: &str, body: &[u8]) -> Response {
    http.send([head.as_bytes(), body].concat());
    http.response()
}

#[test]
fn a_chunked_body_is_taken_wherever_one_with_a_length_is() {
    let server = Server::start(&["--echo"]);
    let mut http = server.connect();
    let post = |target| head("POST", target, JSON);
    let room = send(
        &mut http,
        &post("/rooms"),
        &chunked("{\"name\":\"조각\"}".as_bytes(), 3),
    );
    assert_eq!(room.status, 201);
    assert_eq!(room.json()["name"], "조각");
    let form = br#"{"username":"admin","password":"secret"}"#;
    let login = send(&mut http, &post("/auth/login"), &chunked(form, 7));
    assert!(login.json()["access_token"].is_string());
    let figures = send(
        &mut http,
        &post("/events/business"),
        b"e;last\r\n{\"revenue\": 1}\r\n00;x=\"y\"\r\nContent-Length: 3\r\n\r\n",
    );
    assert_eq!(figures.status, 200, "{figures:?}");
    for (body, status) in [(&b"{"[..], 400), (b"", 400)] {
        let refused = send(&mut http, &post("/rooms"), &chunked(body, 1));
        assert_eq!(refused.status, status);
    }
    let text = head("POST", "/rooms", "Content-Type: text/plain\r\n");
    let refused = send(&mut http, &text, &chunked(b"{}", 2));
    refused.assert_error(415, "unsupported_media_type");
    for size in [1, 100, 4_096, 1 << 20] {
        let data: Vec<u8> = (0..=255).cycle().take(300 * size.min(4_096)).collect();
        let echo = send(&mut http, &post("/http-echo"), &chunked(&data, size));
        assert!(echo.status == 200 && echo.body == data, "chunks of {size}");
    }
    assert_eq!(http.get("/rooms").status, 200, "nothing was left over");
}

#[test]
fn a_chunked_body_may_come_in_any_pieces() {
    let server = Server::start(&["--echo"]);
    let (mut http, mut other) = (server.connect(), server.connect());
    let head = head("POST", "/http-echo", "");
    let request = head.clone() + "3;a=\"b\"\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for at in [0, 1, 2, 5, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19, 22, 24] {
        let (first, second) = request.split_at(head.len() + at);
        http.send(first);
        // One loop serves both connections in order, so it has read the first piece.
        assert_eq!(other.get("/livez").status, 200);
        http.send(second);
        assert_eq!(http.response().body, b"abc", "split at {at}");
    }
    for byte in request.as_bytes() {
        http.send([*byte]);
    }
    assert_eq!(http.response().body, b"abc");
}

#[test]
fn requests_behind_a_chunked_body_are_served_in_order() {
    let server = Server::start(&["--echo"]);
    let mut http = server.connect();
    let get = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let echo = |data: &str| {
        [
            head("POST", "/http-echo", "").into_bytes(),
            chunked(data.as_bytes(), 4),
        ]
        .concat()
    };
    // A sign-in takes time: those behind it wait.
    let login = [
        head("POST", "/auth/login", JSON).into_bytes(),
        chunked(br#"{"username":"admin","password":"secret"}"#, 11),
    ];
    let requests = [
        &echo(get)[..],
        get.as_bytes(),
        &login.concat(),
        &echo("second"),
        get.as_bytes(),
    ];
    http.send(requests.concat());
    assert_eq!(http.response().text(), get);
    assert_eq!(http.response().text(), "ok\n");
    assert!(http.response().json()["access_token"].is_string());
    assert_eq!(http.response().text(), "second");
    assert_eq!(http.response().text(), "ok\n");
    let last = head("POST", "/http-echo", "Connection: close\r\n");
    let response = send(
        &mut http,
        &last,
        &[&chunked(b"x", 1)[..], get.as_bytes()].concat(),
    );
    assert_eq!(response.text(), "x");
    http.expect_end();
}

#[test]
fn a_chunked_body_is_asked_for_when_the_client_waits_for_that() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let head = head("POST", "/rooms", "Expect: 100-continue\r\n");
    let response = send(&mut http, &head, b"");
    assert_eq!(response.status, 100);
    http.send(chunked(br#"{"name":"expected"}"#, 5));
    assert_eq!(http.response().status, 201);
    // It is there already: nothing needs to be asked for.
    let response = send(&mut http, &head, &chunked(br#"{"name":"there"}"#, 5));
    assert_eq!(response.status, 201);
    assert_eq!(http.get("/rooms").status, 200);
}

#[test]
fn a_chunked_body_where_none_is_expected_is_never_taken_for_a_request() {
    let server = Server::start(&["--users", "/dev/null", "--guests"]);
    let hidden = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut http = server.connect();
    for (method, target, fields, status) in [
        ("GET", "/livez", "", 200),
        ("GET", "/static/chat.css", "If-None-Match: *\r\n", 304),
        ("OPTIONS", "/rooms", "", 204),
        ("DELETE", "/rooms", "", 405),
        ("GET", "/nowhere", "", 404),
        ("POST", "/nowhere", "", 404),
        ("POST", "/rooms", JSON, 401),
        ("POST", "/events/business", JSON, 401),
        ("GET", "/ws", "", 426),
    ] {
        let response = send(
            &mut http,
            &head(method, target, fields),
            &chunked(hidden, 9),
        );
        assert_eq!(response.status, status, "{method} {target}");
        let next = http.request("DELETE", "/livez", "");
        assert_eq!(next.status, 405, "behind {method} {target}");
    }
    // Behind a refused upgrade nothing is served at all.
    let refused = send(
        &mut http,
        &head("GET", "/ws?username=guest", upgrade),
        &chunked(hidden, 9),
    );
    assert_eq!(refused.status, 400);
    http.expect_end();
}

/// Each of these is answered by one error, although a valid request is hidden in it and another follows in the same
/// packet. The error is in the language of the request, and its page may read it.
fn assert_refused(rows: &[(&str, u16, &str)]) {
    let server = Server::start(&["--allow-origin", "https://a.example", "--echo"]);
    let next = "GET /rooms HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let head = head(
        "POST",
        "/http-echo",
        "Origin: https://a.example\r\nAccept-Language: en\r\n",
    );
    let mut failures = Vec::new();
    for (body, status, code) in rows {
        let mut http = server.connect();
        http.send_if_open(format!("{head}{body}{next}"));
        let response = http.response();
        let is_readable =
            response.field("access-control-allow-origin") == Some("https://a.example");
        if response.status != *status || response.error_code() != *code {
            failures.push(format!("{body:?}: {} instead of {status}", response.status));
        } else if !response.lists("connection", "close")
            || !is_readable
            || !response.text().is_ascii()
        {
            failures.push(format!("{body:?}: {response:?} {}", response.text()));
        }
        if let Some(rest) = http.rest() {
            let rest = String::from_utf8_lossy(&rest);
            failures.push(format!("{body:?}: a hidden request was answered: {rest:?}"));
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn a_malformed_chunk_is_refused_and_what_is_hidden_in_it_is_not_served() {
    let bad = |body: &'static str| (body, 400, "bad_request");
    assert_refused(&[
        bad("\r\n"),
        bad("-1\r\n"),
        bad("+5\r\nhello\r\n0\r\n\r\n"),
        bad("0x5\r\nhello\r\n0\r\n\r\n"),
        bad(" 5\r\nhello\r\n0\r\n\r\n"),
        bad("5 \r\nhello\r\n0\r\n\r\n"),
        bad("5\t\r\nhello\r\n0\r\n\r\n"),
        bad("g\r\nhello\r\n0\r\n\r\n"),
        bad("10000000000000000\r\n0\r\n\r\n"),
        bad("10000000000000005\r\nhello\r\n0\r\n\r\n"),
        bad("00000000000000005\r\nhello\r\n0\r\n\r\n"),
        bad("5\nhello\r\n0\r\n\r\n"),
        bad("5\rhello\r\n0\r\n\r\n"),
        bad("5\r\nhello0\r\n\r\n"),
        bad("5\r\nhello\n0\r\n\r\n"),
        bad("5\r\nhello, world\r\n0\r\n\r\n"),
        bad("4\r\nhello\r\n0\r\n\r\n"),
        bad("6\r\nhello\r\n0\r\n\r\n"),
        bad("0\n\n"),
        bad("0\r\n\n"),
        bad("0\r\r\n\r\n"),
        // One server may see the end of an extension, and another a chunk, where a third sees data.
        bad("2;\nxx\r\n4c\r\n0\r\n\r\n"),
        bad("5;a=\"\r\nhello\r\n0\r\n\r\n\"\r\n"),
        bad("5;a\0b\r\nhello\r\n0\r\n\r\n"),
        bad("5;a\rb\r\nhello\r\n0\r\n\r\n"),
        bad("5;\r\nhello\r\n0\r\n\r\n"),
    ]);
}

#[test]
fn a_malformed_trailer_is_refused_and_what_is_hidden_in_it_is_not_served() {
    let bad = |body: &'static str| (body, 400, "bad_request");
    assert_refused(&[
        bad("0\r\n"),
        bad("0\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        bad("0\r\nA: b\rGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        bad("0\r\nA: b\n\nGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        bad("0\r\nA : b\r\n\r\n"),
        bad("0\r\nA: b\r\n c\r\n\r\n"),
        bad("0\r\nA: \0\r\n\r\n"),
    ]);
}

#[test]
fn extensions_and_trailers_without_an_end_are_refused() {
    let too_long = "x".repeat(64 * 1024);
    let many = "1;a=b\r\nx\r\n".repeat(10_000);
    assert_refused(&[
        (&format!("5;{too_long}"), 400, "bad_request"),
        (&format!("5;a=\"{too_long}"), 400, "bad_request"),
        (&format!("5;{}", " ".repeat(64 * 1024)), 400, "bad_request"),
        (&many, 400, "bad_request"),
        (&"0".repeat(64 * 1024), 400, "bad_request"),
        (
            &format!("0\r\nA: {too_long}"),
            431,
            "header_fields_too_large",
        ),
        (&format!("0\r\n{too_long}"), 431, "header_fields_too_large"),
        (
            &format!("0\r\n{}", "A: b\r\n".repeat(10_000)),
            431,
            "header_fields_too_large",
        ),
    ]);
}

#[test]
fn a_chunk_over_the_limit_is_refused_before_its_data_comes() {
    let server = Server::start(&["--echo"]);
    for (target, limit) in [
        ("/rooms", 64 * 1024),
        ("/nowhere", 64 * 1024),
        ("/http-echo", 16 * 1024 * 1024),
    ] {
        let mut http = server.connect();
        let head = head("POST", target, "");
        let over = limit + 1;
        let response = send(&mut http, &head, format!("{over:x}\r\n").as_bytes());
        response.assert_error(413, "content_too_large");
        http.expect_end();
        // The sum of all chunks counts.
        let mut http = server.connect();
        let begun = format!("1\r\n[\r\n{limit:x}\r\n");
        let response = send(&mut http, &head, begun.as_bytes());
        response.assert_error(413, "content_too_large");
        http.expect_end();
    }
    let mut http = server.connect();
    let data = "[]".to_owned() + &" ".repeat(64 * 1024 - 2);
    let body = chunked(data.as_bytes(), 1_000);
    send(&mut http, &head("POST", "/rooms", ""), &body).assert_error(400, "bad_request");
    let body = chunked(&vec![b'x'; 16 * 1024 * 1024], 1 << 16);
    let echo = send(&mut http, &head("POST", "/http-echo", ""), &body);
    assert_eq!(echo.body.len(), 16 * 1024 * 1024);
}

#[test]
fn a_client_in_the_middle_of_a_large_chunk_still_learns_why_it_is_refused() {
    let server = Server::start(&[]);
    for _ in 0..10 {
        let mut http = server.connect();
        http.send(head("POST", "/rooms", "") + "f4240\r\n");
        http.send_if_open(vec![b' '; 1_000_000]);
        http.response().assert_error(413, "content_too_large");
    }
}
