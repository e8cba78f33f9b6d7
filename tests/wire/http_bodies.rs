//! Bodies where none is expected: their contents are never taken for a request.

use crate::support::{Server, assert_no_failures};

/// A request with a body, then one more; returns the statuses of all answers.
fn answers(
    server: &Server,
    method: &str,
    target: &str,
    fields: &str,
    is_chunked: bool,
) -> Vec<u16> {
    let host = server.host();
    let smuggled = format!("GET /static/chat.css HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let length = smuggled.len();
    let body = match is_chunked {
        true => format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
        false => format!("Content-Length: {length}\r\n\r\n{smuggled}"),
    };
    let mut http = server.connect();
    http.send_if_open(format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}{body}\
         DELETE /rooms HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    ));
    let first = if method == "HEAD" {
        http.head()
    } else {
        http.response()
    };
    let mut statuses = vec![first.status];
    let rest = http.rest().unwrap_or_default();
    for line in String::from_utf8_lossy(&rest).split("\r\n") {
        if let Some(status) = line.strip_prefix("HTTP/1.1 ") {
            statuses.push(status[..3].parse().expect("a status"));
        }
    }
    statuses
}

#[test]
fn a_body_with_a_coding_is_refused_and_what_is_taken_is_told() {
    let server = Server::start(&["--echo"]);
    for (target, coding, status) in [
        ("/rooms", "gzip", 415),
        ("/rooms", "identity, br", 415),
        ("/auth/login", "GZIP", 415),
        ("/events/business", "zstd", 415),
        ("/http-echo", "gzip", 415),
        ("/rooms", "identity", 201),
        ("/http-echo", "Identity", 200),
    ] {
        let mut http = server.connect();
        let fields = format!("Content-Type: application/json\r\nContent-Encoding: {coding}\r\n");
        let response = http.post_with(target, &fields, r#"{"name":"a"}"#);
        assert_eq!(response.status, status, "{target} {coding}");
        let taken = response.field("accept-encoding");
        assert_eq!(taken, (status == 415).then_some("identity"), "{target}");
        // The body was read, so the connection goes on.
        assert_eq!(http.get("/livez").status, 200);
    }
    // Another type of content is no matter of codings, and neither is a coding of nothing.
    let mut http = server.connect();
    let response = http.post_with("/rooms", "Content-Type: text/plain\r\n", "{}");
    assert_eq!(
        (response.status, response.field("accept-encoding")),
        (415, None)
    );
    assert_eq!(
        http.request("GET", "/rooms", "Content-Encoding: gzip\r\n")
            .status,
        200
    );
}

#[test]
fn a_body_is_never_taken_for_the_next_request() {
    let server = Server::start(&["--echo"]);
    let foreign = "Origin: https://evil.example\r\n";
    let text = "Content-Type: text/plain\r\n";
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let mut failures = Vec::new();
    for (method, target, fields, status) in [
        ("GET", "/rooms", "", 200),
        ("GET", "/", "If-None-Match: *\r\n", 304),
        ("HEAD", "/rooms", "", 200),
        ("OPTIONS", "/rooms", "", 204),
        ("DELETE", "/rooms", "", 405),
        ("GET", "/nowhere", "", 404),
        ("POST", "/nowhere", "", 404),
        ("POST", "/rooms", "", 400),
        ("POST", "/rooms", text, 415),
        ("POST", "/rooms", foreign, 403),
        ("POST", "/rooms", "Expect: something\r\n", 417),
        ("POST", "/http-echo", "", 200),
        ("GET", "/ws", "", 426),
        ("GET", "/ws?username=guest", upgrade, 400),
    ] {
        for is_chunked in [false, true] {
            let statuses = answers(&server, method, target, fields, is_chunked);
            let first_is_right = statuses[0] == status
                || (method == "GET" && matches!(statuses[0], 400 | 413))
                || (target.starts_with("/ws") && statuses[0] == 426);
            // Either the connection ends after the first answer, or the last request is answered with 405.
            if !first_is_right || !matches!(statuses[1..], [] | [405]) {
                failures.push(format!("{method} {target} {fields:?}: {statuses:?}"));
            }
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn an_expected_continue_is_not_needed_when_the_body_is_there_or_empty() {
    let server = Server::start(&[]);
    let host = server.host();
    for (name, length) in [("a", 12), ("b", 0)] {
        let body = format!("{{\"name\":\"{name}\"}}");
        let body = &body[..length];
        let mut http = server.connect();
        http.send(format!(
            "POST /rooms HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ));
        let mut response = http.response();
        if response.status == 100 {
            response = http.response();
        }
        assert_eq!(response.status, if length == 0 { 400 } else { 201 });
        assert_eq!(http.get("/rooms").status, 200);
    }
}
