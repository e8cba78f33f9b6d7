//! Pages of other origins: which may act and read, what a preflight is granted, and that refusals can be read, too.

use crate::support::frames::{FIN, TEXT, opening};
use crate::support::http::{JSON, post_head};
use crate::support::{Response, Server, assert_no_failures};

const APP: &str = "https://app.example";
const HOST: &str = "chat.example.com";

/// The answer to a page of this origin that creates a room, where the server is addressed as `host`.
fn create_room(server: &Server, host: &str, origin: &str) -> Response {
    let fields = format!("Origin: {origin}\r\n{JSON}");
    // Created or there already: the origin was not refused.
    let body = r#"{"name":"made"}"#;
    let mut http = server.connect();
    http.send(post_head("/rooms", host, &fields, body.len()) + body);
    http.response()
}

/// Whether such a page may open a WebSocket; else it is closed with 4003.
fn may_connect(server: &Server, host: &str, origin: &str) -> bool {
    let mut http = server.connect();
    let field = format!("Origin: {origin}\r\n");
    http.send(opening("/ws?username=guest", host, &field));
    http.expect_upgrade();
    let frame = http.frame();
    assert!(frame.first == FIN | TEXT || frame.close_code() == Some(4003));
    frame.first == FIN | TEXT
}

fn failure(server: &Server, host: &str, origin: &str, is_ours: bool) -> Option<String> {
    let status = create_room(server, host, origin).status;
    let may_connect = may_connect(server, host, origin);
    let is_right = may_connect == is_ours && [201, 409].contains(&status) == is_ours;
    (!is_right || !is_ours && status != 403)
        .then(|| format!("{origin} at {host}: {status}, connects: {may_connect}"))
}

#[test]
fn an_origin_is_our_own_whichever_side_writes_a_default_port() {
    let server = Server::start(&["--host", HOST]);
    let mut failures = Vec::new();
    for (host, origin, is_ours) in [
        ("chat.example.com", "https://chat.example.com", true),
        ("chat.example.com", "http://chat.example.com", true),
        ("chat.example.com:443", "https://chat.example.com", true),
        ("chat.example.com", "https://chat.example.com:443", true),
        ("chat.example.com:80", "http://chat.example.com", true),
        ("chat.example.com", "http://chat.example.com:80", true),
        (
            "CHAT.example.com:8443",
            "https://chat.Example.com:8443",
            true,
        ),
        ("[::1]:443", "https://[::1]", true),
        ("[::1]:8000", "http://[::1]:8000", true),
        ("chat.example.com:443", "http://chat.example.com", false),
        ("chat.example.com:80", "https://chat.example.com", false),
        ("chat.example.com:8443", "https://chat.example.com", false),
        ("chat.example.com", "https://chat.example.com:8443", false),
        (
            "chat.example.com",
            "https://chat.example.com.evil.example",
            false,
        ),
        ("chat.example.com", "https://example.com", false),
        ("chat.example.com", "chat.example.com", false),
        ("[::1]", "https://[::2]", false),
        ("localhost", "capacitor://localhost", false),
        ("localhost", "null", false),
        ("localhost", "file://", false),
    ] {
        failures.extend(failure(&server, host, origin, is_ours));
    }
    assert_no_failures(&failures);
}

#[test]
fn an_origin_is_allowed_as_browsers_and_apps_send_it() {
    let mut failures = Vec::new();
    for (option, sent) in [
        ("https://x.example:443", "https://x.example"),
        ("https://x.example", "https://x.example:443"),
        ("HTTP://X.example:80", "http://x.example"),
        ("https://x.example:8443", "https://x.example:8443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("file://", "file://"),
        ("null", "null"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abc", "chrome-extension://abc"),
        ("tauri://localhost", "tauri://localhost"),
    ] {
        let server = Server::start(&["--allow-origin", option]);
        let host = server.host();
        failures.extend(failure(&server, &host, sent, true));
        let named = create_room(&server, &host, sent);
        if named.field("access-control-allow-origin") != Some(sent)
            || named.field("access-control-allow-credentials") != Some("true")
        {
            failures.push(format!("{option}, {sent}: {named:?}"));
        }
        for other in [
            "https://evil.example",
            "http://x.example:8443",
            "https://[::1]:3000",
        ] {
            failures.extend(failure(&server, &host, other, false));
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn credentials_are_for_origins_that_are_named() {
    let server = Server::start(&["--allow-origin", "*", "--allow-origin", APP]);
    let host = server.host();
    for (origin, credentials) in [
        (APP, Some("true")),
        ("https://app.example:443", Some("true")),
        ("https://other.example", None),
        ("null", None),
    ] {
        for response in [
            create_room(&server, &host, origin),
            preflight(&server, "/rooms", origin, Some("content-type")),
        ] {
            assert_eq!(response.required("access-control-allow-origin"), origin);
            let found = response.field("access-control-allow-credentials");
            assert_eq!(found, credentials, "{origin}: {response:?}");
        }
        assert!(may_connect(&server, &host, origin), "{origin}");
    }
    // What is no origin is not repeated in an answer, though everybody is allowed.
    let odd = create_room(&server, &host, "what? <b>");
    assert_eq!(odd.field("access-control-allow-origin"), None);
    assert_eq!(odd.status, 409);
}

fn preflight(server: &Server, target: &str, origin: &str, fields: Option<&str>) -> Response {
    let asked = fields.map(|names| format!("Access-Control-Request-Headers: {names}\r\n"));
    let asked = asked.unwrap_or_default();
    server.connect().request(
        "OPTIONS",
        target,
        &format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n{asked}"),
    )
}

#[test]
fn a_preflight_is_granted_the_fields_it_asks_for() {
    let server = Server::start(&["--allow-origin", APP]);
    let longest = "x".repeat(1024);
    for (asked, granted) in [
        (
            "authorization,content-type",
            Some("authorization,content-type"),
        ),
        (
            "cache-control, last-event-id, traceparent, x-requested-with",
            Some("cache-control, last-event-id, traceparent, x-requested-with"),
        ),
        ("a\r\nAccess-Control-Request-Headers: b", Some("a, b")),
        (&longest, Some(&*longest)),
        (&(longest.clone() + "x"), None),
        ("a b", None),
        ("a; b", None),
        ("이름", None),
        ("", None),
    ] {
        let response = preflight(&server, "/rooms", APP, Some(asked));
        assert_eq!(response.status, 204, "{asked}");
        assert_eq!(response.field("access-control-allow-headers"), granted);
        assert!(response.lists("access-control-allow-methods", "POST"));
        assert_eq!(response.required("access-control-max-age"), "600");
        for name in [
            "origin",
            "access-control-request-method",
            "access-control-request-headers",
        ] {
            assert!(response.lists("vary", name), "{response:?}");
        }
    }
    let plain = preflight(&server, "/rooms", APP, None);
    assert_eq!(plain.field("access-control-allow-headers"), None);
    let foreign = preflight(&server, "/rooms", "https://evil.example", Some("a"));
    for name in ["origin", "methods", "headers", "credentials"] {
        let name = format!("access-control-allow-{name}");
        assert_eq!(foreign.field(&name), None, "{foreign:?}");
    }
    assert!(foreign.lists("vary", "origin"), "{foreign:?}");
}

#[test]
fn an_answer_that_would_be_another_for_an_allowed_origin_says_so() {
    let server = Server::start(&["--allow-origin", APP]);
    for fields in ["", "Origin: https://evil.example\r\n"] {
        let response = server.connect().request("GET", "/static/sarang.js", fields);
        assert!(response.lists("vary", "origin"), "{response:?}");
    }
    let alone = Server::start(&[]).get("/static/sarang.js");
    assert!(!alone.lists("vary", "origin"), "{alone:?}");
}

/// Heads that are refused, in which `@` are the fields of an allowed page that reads English.
const REFUSED: [(u16, &str); 22] = [
    (400, "GET /rooms HTTP/1.1\r\n@\r\n"),
    (400, "GET /rooms HTTP/1.1\r\nHost: a b\r\n@\r\n"),
    (400, "GET /rooms HTTP/1.1\r\n@Host: a\r\nHost: a\r\n\r\n"),
    (400, "GET /%zz HTTP/1.1\r\nHost: localhost\r\n@\r\n"),
    (400, "GET rooms HTTP/1.1\r\nHost: localhost\r\n@\r\n"),
    (
        400,
        "POST /rooms HTTP/1.1\r\nHost: localhost\r\n@Content-Length: x\r\n\r\n",
    ),
    (
        400,
        "POST /rooms HTTP/1.1\r\nContent-Length: 1, 1\r\nHost: localhost\r\n@\r\n",
    ),
    (
        400,
        "POST /rooms HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: localhost\r\n@\r\n",
    ),
    (
        400,
        "GET /rooms HTTP/1.1\r\nHost: localhost\r\nAuthorization: a\r\nAuthorization: a\r\n@\r\n",
    ),
    (
        400,
        "GET /rooms HTTP/1.1\r\nHost: localhost\r\n@X : y\r\n\r\n",
    ),
    (
        413,
        "POST /rooms HTTP/1.1\r\nHost: localhost\r\n@Content-Length: 99999999999999999999\r\n\r\n",
    ),
    (414, "GET /LONG HTTP/1.1\r\nHost: localhost\r\n@\r\n"),
    (
        417,
        "GET /rooms HTTP/1.1\r\nHost: localhost\r\n@Expect: fire\r\n\r\n",
    ),
    (421, "GET /rooms HTTP/1.1\r\nHost: evil.example\r\n@\r\n"),
    (
        421,
        "GET http://evil.example/rooms HTTP/1.1\r\nHost: localhost\r\n@\r\n",
    ),
    (431, "GET /rooms HTTP/1.1\r\nHost: localhost\r\n@MANY\r\n"),
    (
        431,
        "GET /rooms HTTP/1.1\r\nHost: localhost\r\n@X: LONGLONG\r\n\r\n",
    ),
    (501, "BREW /rooms HTTP/1.1\r\nHost: localhost\r\n@\r\n"),
    (
        501,
        "POST /rooms HTTP/1.1\r\nHost: localhost\r\n@Transfer-Encoding: gzip\r\n\r\n",
    ),
    (505, "GET /rooms HTTP/2.0\r\nHost: localhost\r\n@\r\n"),
    (505, "GET /rooms HTTP/1.2\r\nHost: localhost\r\n@\r\n"),
    (
        403,
        "POST /rooms HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n",
    ),
];

#[test]
fn a_refused_head_is_answered_in_its_language_and_can_be_read_by_an_allowed_page() {
    let server = Server::start(&["--allow-origin", APP]);
    let mut failures = Vec::new();
    let long = "x".repeat(8 * 1024);
    let many = "X: y\r\n".repeat(64);
    for (status, head) in REFUSED {
        for pieces in [1, 2] {
            let head = head
                .replace("LONGLONG", &long.repeat(2))
                .replace("LONG", &long)
                .replace("MANY", &many)
                .replace('@', &format!("Origin: {APP}\r\nAccept-Language: en\r\n"));
            let mut http = server.connect();
            if pieces == 2 {
                let (first, second) = head.as_bytes().split_at(10);
                http.send(first);
                assert_eq!(server.get("/livez").status, 200);
                http.send_if_open(second);
            } else {
                http.send_if_open(&head);
            }
            let response = http.response();
            let is_readable = response.field("access-control-allow-origin") == Some(APP)
                && response.field("access-control-allow-credentials") == Some("true")
                && response.lists("access-control-expose-headers", "Retry-After")
                && response.lists("vary", "origin")
                && response.text().is_ascii();
            let is_right = is_readable || status == 403;
            if response.status != status || !is_right {
                let line = head.lines().next().unwrap_or_default();
                let line = &line[..line.len().min(80)];
                failures.push(format!("{line}: {response:?} {}", response.text()));
            }
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn a_head_that_cannot_be_read_is_answered_in_korean_to_nobody_in_particular() {
    let server = Server::start(&["--allow-origin", APP]);
    for line in ["what?", "GET /rooms", "GET  /rooms HTTP/1.1", "\0"] {
        let mut http = server.connect();
        http.send_if_open(format!(
            "{line}\r\nOrigin: {APP}\r\nAccept-Language: en\r\n\r\n"
        ));
        let response = http.response();
        response.assert_error(400, "bad_request");
        assert_eq!(response.field("access-control-allow-origin"), None);
        assert!(!response.text().is_ascii(), "{}", response.text());
    }
}

#[test]
fn a_refused_head_request_has_no_content() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send("HEAD /rooms HTTP/1.1\r\n\r\n");
    assert_eq!(http.head().status, 400);
    http.expect_end();
}
