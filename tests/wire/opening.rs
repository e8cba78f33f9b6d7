//! The opening handshake of RFC 6455: fields, origins, what is not an upgrade.

use crate::support::frames::{FIN, KEY, TEXT, opening, text};
use crate::support::{self, Http, Response, Server, assert_no_failures};

const GUEST: &str = "/ws?username=guest";

/// An opening request with these lines after Host.
fn open_with(server: &Server, lines: &str) -> (Http, Response) {
    let mut http = server.connect();
    http.send(format!(
        "GET {GUEST} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n",
        server.host()
    ));
    let response = http.head();
    (http, response)
}

fn lines(upgrade: &str, connection: &str, version: &str, key: &str) -> String {
    format!(
        "Upgrade: {upgrade}\r\nConnection: {connection}\r\n\
         Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n"
    )
}

#[test]
fn the_key_is_answered_as_in_the_standard() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send(opening(GUEST, &server.host(), ""));
    let response = http.expect_upgrade();
    assert_eq!(response.version, "HTTP/1.1");
    assert_eq!(
        response.required("sec-websocket-accept"),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert!(response.lists("upgrade", "websocket"), "{response:?}");
    assert!(response.lists("connection", "upgrade"), "{response:?}");
    assert_eq!(response.field("content-length"), None);
    assert_eq!(http.frame().first, FIN | TEXT, "the welcome");
}

#[test]
fn tokens_have_no_case_and_come_in_lists() {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    for (upgrade, connection) in [
        ("WebSocket", "upgrade"),
        ("WEBSOCKET", "UPGRADE"),
        ("websocket", "keep-alive, Upgrade"),
        ("websocket", "Upgrade,keep-alive"),
        ("h2c, websocket", "foo ,\t Upgrade , bar"),
        ("websocket", "foo\r\nConnection: Upgrade"),
    ] {
        let (_, response) = open_with(&server, &lines(upgrade, connection, "13", KEY));
        if response.status != 101 {
            failures.push(format!("{upgrade:?} {connection:?}: {}", response.status));
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn a_request_without_an_upgrade_is_answered_with_426() {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    for fields in [
        String::new(),
        lines("h2c", "Upgrade", "13", KEY),
        lines("websocket2", "Upgrade", "13", KEY),
        lines("websocket", "keep-alive", "13", KEY),
        lines("websocket", "not-upgrade", "13", KEY),
        lines("websocket", "Upgrade", "13", KEY).replace("Upgrade: websocket\r\n", ""),
        lines("websocket", "Upgrade", "13", KEY).replace("Connection: Upgrade\r\n", ""),
    ] {
        let (mut http, response) = open_with(&server, &fields);
        if response.status != 426 || !response.lists("upgrade", "websocket") {
            failures.push(format!("{fields:?}: {response:?}"));
            continue;
        }
        let length = response
            .required("content-length")
            .parse()
            .expect("a number");
        let body = String::from_utf8(http.take(length)).expect("UTF-8");
        assert!(body.contains("\"upgrade_required\""), "{body}");
    }
    assert_no_failures(&failures);
}

#[test]
fn another_version_is_answered_with_the_supported_one() {
    let server = Server::start(&[]);
    for version in ["8", "7", "14", "0", "x", "13, 8"] {
        let (_, response) = open_with(&server, &lines("websocket", "Upgrade", version, KEY));
        assert_eq!(response.status, 426, "{version}");
        assert_eq!(response.required("sec-websocket-version"), "13");
    }
    let missing =
        lines("websocket", "Upgrade", "13", KEY).replace("Sec-WebSocket-Version: 13\r\n", "");
    let (_, response) = open_with(&server, &missing);
    assert!(matches!(response.status, 400 | 426), "{response:?}");
}

#[test]
fn a_bad_key_is_a_bad_request() {
    let server = Server::start(&[]);
    let good = lines("websocket", "Upgrade", "13", KEY);
    let mut failures = Vec::new();
    let key_line = format!("Sec-WebSocket-Key: {KEY}\r\n");
    for fields in [
        good.replace(&key_line, ""),
        good.replace(KEY, ""),
        good.replace(KEY, "dGhlIHNhbXBsZSBub25jZQ"),
        good.replace(KEY, "dGhlIHNhbXBsZSBub25j"),
        good.replace(KEY, "dGhlIHNhbXBsZSBub25jZTE2Nw=="),
        good.replace(KEY, "dGhlIHNhbXBsZSBub25j!!=="),
        good.replace(KEY, "AQIDBAUGBwgJCgsMDQ4PEBE="),
        good.replace(KEY, "AQIDBAUGBwgJCgsMDQ4PEC"),
        good.replace(KEY, "AQIDBAUGBwgJCgsMDQ4PEC="),
        good.replace(KEY, "AQIDBAUGBwgJCgsMDQ4P____"),
        good.clone() + &key_line,
    ] {
        let (_, response) = open_with(&server, &fields);
        if response.status != 400 {
            failures.push(format!("{fields:?}: {}", response.status));
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn only_get_of_http_1_1_without_a_body_is_upgraded() {
    let server = Server::start(&[]);
    let good = opening(GUEST, &server.host(), "");
    let mut http = server.connect();
    http.send(good.replacen("GET", "POST", 1));
    let response = http.response();
    response.assert_error(405, "method_not_allowed");
    assert!(response.lists("allow", "GET"), "{response:?}");
    let mut http = server.connect();
    http.send(good.replacen("HTTP/1.1", "HTTP/1.0", 1));
    let status = http.response().status;
    assert!(matches!(status, 400 | 426), "{status}");
    let mut http = server.connect();
    http.send(opening(GUEST, &server.host(), "Content-Length: 1\r\n") + "x");
    let status = http.response().status;
    assert!(matches!(status, 400 | 426), "{status}");
}

#[test]
fn an_upgrade_of_something_else_is_not_done() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send(opening("/rooms", &server.host(), ""));
    assert_eq!(http.response().status, 200, "Upgrade may be ignored");
    http.expect_end();
}

#[test]
fn a_key_is_any_16_bytes_whatever_its_unused_bits() {
    let server = Server::start(&[]);
    for key in [
        // The example of RFC 6455 section 4.1.
        "AQIDBAUGBwgJCgsMDQ4PEC==",
        "AQIDBAUGBwgJCgsMDQ4PEA==",
        "AAAAAAAAAAAAAAAAAAAAAP==",
        "//////////////////////==",
    ] {
        let (_, response) = open_with(&server, &lines("websocket", "Upgrade", "13", key));
        assert_eq!(response.status, 101, "{key}");
        // The answer is made of the key as it was sent.
        let accept = sarang::wire::websocket::accept_value(key);
        assert_eq!(response.required("sec-websocket-accept"), accept);
    }
}

#[test]
fn the_subprotocol_that_is_spoken_is_chosen_of_those_offered() {
    let server = Server::start(&["--echo"]);
    let mut failures = Vec::new();
    let field = "Sec-WebSocket-Protocol";
    for (offers, is_chosen) in [
        (String::new(), false),
        (format!("{field}: sarang.v1\r\n"), true),
        (format!("{field}: chat, sarang.v1\r\n"), true),
        (format!("{field}: sarang.v1,chat\r\n"), true),
        (format!("{field}: chat\r\n{field}:\tsarang.v1 \r\n"), true),
        (format!("{field}: ,, ;@,\t sarang.v1 ,\r\n"), true),
        (format!("{field}: chat\r\n"), false),
        (format!("{field}: Sarang.V1\r\n"), false),
        (
            format!("{field}: sarang.v10, xsarang.v1, sarang v1\r\n"),
            false,
        ),
        (format!("{field}: \"sarang.v1\"\r\n"), false),
        (format!("{field}: sarang.v1;q=1\r\n"), false),
        (format!("{field}:\r\n"), false),
        (format!("{field}: 가\r\n"), false),
    ] {
        for target in [GUEST, "/ws-echo"] {
            let mut http = server.connect();
            http.send(opening(target, &server.host(), &offers));
            let response = http.expect_upgrade();
            let expected = is_chosen.then_some("sarang.v1");
            if response.field("sec-websocket-protocol") != expected {
                failures.push(format!("{target}, {offers:?}: {response:?}"));
            }
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn no_unknown_extension_or_subprotocol_is_accepted() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let offers = "Sec-WebSocket-Protocol: chat, superchat\r\n\
                  Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-foo\r\n";
    http.send(opening(GUEST, &server.host(), offers));
    let response = http.expect_upgrade();
    assert_eq!(response.field("sec-websocket-protocol"), None);
    assert_eq!(response.field("sec-websocket-extensions"), None);
}

#[test]
fn frames_may_come_in_the_packet_of_the_handshake() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let list = text(r#"{"type":"room_list"}"#);
    let request = opening(GUEST, &server.host(), "");
    http.send([request.as_bytes(), &list, &list].concat());
    http.expect_upgrade();
    let kinds: Vec<String> = (0..3)
        .map(|_| {
            let payload = http.frame().payload;
            let message: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
            message["type"].as_str().unwrap_or_default().to_owned()
        })
        .collect();
    assert_eq!(kinds, ["welcome", "room_list", "room_list"]);
}

#[test]
fn a_connection_that_was_used_for_requests_can_be_upgraded() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    assert_eq!(http.get("/rooms").status, 200);
    let host = server.host();
    http.send(format!("GET /rooms HTTP/1.1\r\nHost: {host}\r\n\r\n") + &opening(GUEST, &host, ""));
    assert_eq!(http.response().status, 200);
    http.expect_upgrade();
    assert_eq!(http.frame().first, FIN | TEXT);
}

#[test]
fn a_handshake_may_be_split_at_any_byte() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    let whole = [
        opening("/ws?username=홍길동", &server.host(), "").as_bytes(),
        &text(r#"{"type":"room_list"}"#),
    ]
    .concat();
    for at in 1..whole.len() {
        let mut http = server.connect();
        http.send(&whole[..at]);
        assert_eq!(other.get("/rooms").status, 200);
        http.send(&whole[at..]);
        http.expect_upgrade();
        assert_eq!(http.frame().first, FIN | TEXT);
        assert!(http.frame().payload.starts_with(b"{"), "split at {at}");
    }
}

/// The first frame after a handshake from this origin.
fn from_origin(server: &Server, origin: &str) -> support::frames::Frame {
    let mut http = server.connect();
    let field = format!("Origin: {origin}\r\n");
    http.send(opening(GUEST, &server.host(), &field));
    http.expect_upgrade();
    http.frame()
}

#[test]
fn a_page_of_the_server_itself_may_connect() {
    let server = Server::start(&[]);
    let origin = format!("http://{}", server.host());
    assert_eq!(from_origin(&server, &origin).first, FIN | TEXT);
}

#[test]
fn a_foreign_page_is_closed_with_4003() {
    let server = Server::start(&["--allow-origin", "https://app.example"]);
    let port = server.address.port();
    for origin in [
        "https://evil.example".to_owned(),
        "null".to_owned(),
        format!("http://localhost:{port}"),
        "http://127.0.0.1".to_owned(),
        format!("http://{}.evil.example", server.host()),
        "https://app.example.evil.example".to_owned(),
        "http://app.example".to_owned(),
    ] {
        let frame = from_origin(&server, &origin);
        assert_eq!(frame.close_code(), Some(4003), "{origin}: {frame:?}");
    }
}

#[test]
fn an_allowed_origin_may_connect() {
    let server = Server::start(&["--allow-origin", "https://app.example"]);
    let frame = from_origin(&server, "https://app.example");
    assert_eq!(frame.first, FIN | TEXT);
}

#[test]
fn a_refused_identity_is_closed_after_a_complete_handshake() {
    let server = Server::start(&[]);
    for target in ["/ws", "/ws?ticket=unknown", "/ws?username=admin"] {
        let mut http = server.upgraded(target);
        assert_eq!(http.expect_close(4001), "유효하지 않은 티켓");
    }
}

#[test]
fn a_foreign_origin_is_refused_before_the_identity_is_checked() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let field = "Origin: https://evil.example\r\n";
    http.send(opening("/ws?ticket=unknown", &server.host(), field));
    http.expect_upgrade();
    http.expect_close(4003);
}
