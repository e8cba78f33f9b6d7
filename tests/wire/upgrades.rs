//! A request that asks for an upgrade and gets none: its connection closes, and nothing behind it is served. A proxy may
//! have handed over the whole connection, and applies its rules to nothing that follows.

use crate::support::{Server, assert_no_failures};

const ASKS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

const JSON: &str = "Content-Type: application/json\r\nContent-Length: 12\r\n";

/// Requests that ask for an upgrade and get none: method and target, fields, body, and the status of the answer.
fn refused() -> Vec<(&'static str, String, &'static str, u16)> {
    let json = JSON;
    vec![
        ("GET /ws", ASKS.to_owned(), "", 400),
        (
            "GET /ws?username=x",
            HANDSHAKE.replace(" 13", " 8"),
            "",
            426,
        ),
        ("GET /ws", "Upgrade: websocket\r\n".into(), "", 426),
        (
            "GET /ws",
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n".into(),
            "",
            426,
        ),
        ("GET /rooms", HANDSHAKE.into(), "", 200),
        ("HEAD /rooms", ASKS.into(), "", 200),
        (
            "GET /livez",
            "Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n".into(),
            "",
            200,
        ),
        ("GET /missing", HANDSHAKE.into(), "", 404),
        ("DELETE /rooms", ASKS.into(), "", 405),
        ("POST /ws", HANDSHAKE.into(), "", 405),
        (
            "POST /rooms",
            format!("{ASKS}{json}"),
            r#"{"name":"a"}"#,
            201,
        ),
        (
            "POST /rooms",
            format!("{ASKS}{json}"),
            r#"{"name":"a"}"#,
            409,
        ),
        (
            "POST /rooms",
            format!("{ASKS}{json}Origin: http://other.example\r\n"),
            r#"{"name":"b"}"#,
            403,
        ),
        (
            "GET /rooms",
            format!("{HANDSHAKE}Content-Length: x\r\n"),
            "",
            400,
        ),
        ("GET /static/chat.css", ASKS.into(), "", 200),
    ]
}

#[test]
fn whatever_the_answer_nothing_behind_it_is_served() {
    let server = Server::start(&["--guests"]);
    let host = server.host();
    let mut failures = Vec::new();
    for (start, fields, body, status) in refused() {
        let mut http = server.connect();
        let hidden =
            format!("POST /rooms HTTP/1.1\r\nHost: {host}\r\n{JSON}\r\n{{\"name\":\"x\"}}");
        http.send(format!(
            "{start} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n{body}{hidden}"
        ));
        let response = match start.starts_with("HEAD") {
            true => http.head(),
            false => http.response(),
        };
        let closes = response
            .all("connection")
            .iter()
            .any(|value| value.contains("close"));
        if response.status != status || !closes {
            failures.push(format!("{start} {fields:?}: {} {closes}", response.status));
        }
        http.expect_end();
    }
    // HTTP/1.0 has no upgrades, and closes anyway.
    let mut http = server.connect();
    http.send("GET /rooms HTTP/1.0\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nGET /rooms HTTP/1.0\r\n\r\n");
    assert_eq!(http.response().status, 200);
    http.expect_end();
    assert_eq!(
        server.get("/rooms/x").status,
        404,
        "was made behind an upgrade"
    );
    assert_no_failures(&failures);
}

#[test]
fn without_one_the_connection_goes_on() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    assert_eq!(http.get("/ws").status, 426);
    assert_eq!(
        http.request("GET", "/rooms", "Connection: keep-alive\r\n")
            .status,
        200
    );
    assert_eq!(http.get("/rooms").status, 200);
}

#[test]
fn an_answered_upgrade_is_one() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let host = server.host();
    http.send(format!(
        "GET /ws?username=kim HTTP/1.1\r\nHost: {host}\r\n{HANDSHAKE}\r\n"
    ));
    let response = http.head();
    assert_eq!(response.status, 101);
    assert_eq!(response.all("connection"), ["Upgrade"]);
}
