//! RFC 6455 sections 4.1 and 4.2.1: what an opening handshake has to be, on the echo and in the chat. The answer and the
//! origin are in `tests/wire/opening.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::table::server;
use crate::support::frames::{FIN, KEY, TEXT, text};
use crate::support::{Response, assert_no_failures};

const TARGETS: [&str; 2] = ["/ws-echo", "/ws?username=guest"];

/// The parts of a request, correct unless a row changes one.
struct Opening {
    method: &'static str,
    version: &'static str,
    host: &'static str,
    upgrade: &'static str,
    connection: &'static str,
    socket_version: &'static str,
    key: String,
    more: &'static str,
}

impl Opening {
    fn right() -> Self {
        Self {
            method: "GET",
            version: "HTTP/1.1",
            host: "Host: HOST\r\n",
            upgrade: "Upgrade: websocket\r\n",
            connection: "Connection: Upgrade\r\n",
            socket_version: "Sec-WebSocket-Version: 13\r\n",
            key: format!("Sec-WebSocket-Key: {KEY}\r\n"),
            more: "",
        }
    }

    fn bytes(&self, target: &str, host: &str) -> String {
        let Self {
            method, version, ..
        } = self;
        let fields = [
            self.host,
            self.upgrade,
            self.connection,
            self.socket_version,
            &self.key,
            self.more,
        ];
        format!("{method} {target} {version}\r\n{}\r\n", fields.concat()).replace("HOST", host)
    }
}

type OpeningRow = (&'static str, Opening);

/// Sends every row to both targets and checks the head of the answer.
fn check(rows: &[OpeningRow], judge: impl Fn(&Response)) {
    let server = server();
    let mut failures = Vec::new();
    for (rule, opening) in rows {
        for target in TARGETS {
            let mut http = server.connect();
            http.send(opening.bytes(target, &server.host()));
            let attempt = || judge(&http.head());
            if let Err(why) = catch_unwind(AssertUnwindSafe(attempt)) {
                let why = why.downcast::<String>().unwrap_or_default();
                failures.push(format!("{rule} ({target}): {why}"));
            }
        }
    }
    assert_no_failures(&failures);
}

fn with(rule: &'static str, change: impl FnOnce(&mut Opening)) -> OpeningRow {
    let mut opening = Opening::right();
    change(&mut opening);
    (rule, opening)
}

#[test]
fn section_4_2_1_what_is_right_is_answered_101() {
    let rows = [
        ("4.2.1 the least there is", Opening::right()),
        with("4.2.1 fields in lower case", |opening| {
            opening.host = "host: HOST\r\n";
            opening.upgrade = "upgrade: websocket\r\n";
            opening.connection = "connection: upgrade\r\n";
            opening.socket_version = "sec-websocket-version: 13\r\n";
            opening.key = format!("sec-websocket-key: {KEY}\r\n");
        }),
        with("4.2.1 fields in upper case", |opening| {
            opening.upgrade = "UPGRADE: WEBSOCKET\r\n";
            opening.connection = "CONNECTION: UPGRADE\r\n";
            opening.socket_version = "SEC-WEBSOCKET-VERSION: 13\r\n";
            opening.key = format!("SEC-WEBSOCKET-KEY: {KEY}\r\n");
        }),
        with(
            "4.2.1 no space after the colon, much after the value",
            |opening| {
                opening.upgrade = "Upgrade:websocket \t \r\n";
                opening.connection = "Connection:\tUpgrade\r\n";
                opening.socket_version = "Sec-WebSocket-Version:13  \r\n";
                opening.key = format!("Sec-WebSocket-Key:{KEY}\t\r\n");
            },
        ),
        with("4.2.1 Connection in a list, Upgrade in a list", |opening| {
            opening.connection = "Connection: keep-alive, Upgrade\r\n";
            opening.upgrade = "Upgrade: h2c , websocket\r\n";
        }),
        with("4.2.1 Connection on two lines", |opening| {
            opening.connection = "Connection: keep-alive\r\nConnection: Upgrade\r\n";
        }),
        with(
            "4.1 subprotocols, extensions and cookies that nobody knows",
            |opening| {
                opening.more = "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: x; y=1\r\n\
                            Cookie: a=b\r\nUser-Agent: x\r\nX-Unknown: \r\n";
            },
        ),
        with("4.1 a body of no length", |opening| {
            opening.more = "Content-Length: 0\r\n";
        }),
        with("4.2.1 a key whose 16 bytes are all zero", |opening| {
            opening.key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n".into();
        }),
    ];
    check(&rows, |response| {
        assert_eq!(response.status, 101, "{response:?}");
        assert!(response.lists("upgrade", "websocket"), "{response:?}");
        assert!(response.lists("connection", "upgrade"), "{response:?}");
        assert_eq!(response.required("sec-websocket-accept").len(), 28);
        for agreed in ["sec-websocket-protocol", "sec-websocket-extensions"] {
            assert_eq!(response.field(agreed), None, "{response:?}");
        }
    });
}

#[test]
fn section_4_2_2_what_is_no_opening_is_told_to_upgrade_to_version_13() {
    let rows = [
        with("4.2.1 no Upgrade", |opening| opening.upgrade = ""),
        with("4.2.1 an empty Upgrade", |opening| {
            opening.upgrade = "Upgrade:\r\n"
        }),
        with("4.2.1 Upgrade to something else", |opening| {
            opening.upgrade = "Upgrade: h2c\r\n"
        }),
        with("4.2.1 Upgrade to something longer", |opening| {
            opening.upgrade = "Upgrade: websockets\r\n"
        }),
        with("4.2.1 no Connection", |opening| opening.connection = ""),
        with("4.2.1 a Connection without Upgrade", |opening| {
            opening.connection = "Connection: keep-alive, Upgraded\r\n"
        }),
        with("4.4 version 12", |opening| {
            opening.socket_version = "Sec-WebSocket-Version: 12\r\n"
        }),
        with("4.4 version 14", |opening| {
            opening.socket_version = "Sec-WebSocket-Version: 14\r\n"
        }),
        with("4.4 version 0", |opening| {
            opening.socket_version = "Sec-WebSocket-Version: 0\r\n"
        }),
        with("4.3 a version with a zero in front", |opening| {
            opening.socket_version = "Sec-WebSocket-Version: 013\r\n"
        }),
        with("4.3 a version that is no number", |opening| {
            opening.socket_version = "Sec-WebSocket-Version: thirteen\r\n"
        }),
    ];
    check(&rows, |response| {
        assert_eq!(response.status, 426, "{response:?}");
        assert!(response.lists("upgrade", "websocket"), "{response:?}");
        assert_eq!(response.required("sec-websocket-version"), "13");
    });
}

#[test]
fn section_4_2_1_a_malformed_opening_is_a_bad_request() {
    let key = |value: &str| format!("Sec-WebSocket-Key: {value}\r\n");
    let rows = [
        with("4.2.1 no key", |opening| opening.key = String::new()),
        with("4.2.1 an empty key", |opening| opening.key = key("")),
        with("4.2.1 a key of 15 bytes", |opening| {
            opening.key = key("AAAAAAAAAAAAAAAAAAAA")
        }),
        with("4.2.1 a key of 17 bytes", |opening| {
            opening.key = key("AAAAAAAAAAAAAAAAAAAAAAA=")
        }),
        with("4.2.1 a key without its padding", |opening| {
            opening.key = key("AAAAAAAAAAAAAAAAAAAAAA")
        }),
        with("4.2.1 a key that is no base64", |opening| {
            opening.key = key("AAAAAAAAAAAAAAAAAAAA!!==")
        }),
        with("4.2.1 a key in the alphabet of URLs", |opening| {
            opening.key = key("-_AAAAAAAAAAAAAAAAAAAA==")
        }),
        with("11.3.1 two keys", |opening| {
            opening.key = key(KEY).repeat(2)
        }),
        with("4.2.1 no Host", |opening| opening.host = ""),
        with("4.2.1 two Hosts", |opening| {
            opening.host = "Host: HOST\r\nHost: HOST\r\n"
        }),
    ];
    check(&rows, |response| {
        assert_eq!(response.status, 400, "{response:?}");
    });
}

#[test]
fn section_4_2_1_only_get_of_http_1_1_without_a_body_opens() {
    let rows = [
        (405, with("4.2.1 POST", |opening| opening.method = "POST")),
        (405, with("4.2.1 PUT", |opening| opening.method = "PUT")),
        (400, with("4.2.1 HEAD", |opening| opening.method = "HEAD")),
        (
            204,
            with("4.2.1 OPTIONS", |opening| opening.method = "OPTIONS"),
        ),
        (
            501,
            with("4.2.1 a method in lower case", |opening| {
                opening.method = "get"
            }),
        ),
        (
            426,
            with("4.2.1 HTTP/1.0", |opening| opening.version = "HTTP/1.0"),
        ),
        (
            505,
            with("4.2.1 HTTP/2.0 in the words of 1", |opening| {
                opening.version = "HTTP/2.0"
            }),
        ),
        (
            400,
            with("4.1 a body", |opening| {
                opening.more = "Content-Length: 1\r\n\r\nx"
            }),
        ),
        (
            400,
            with("4.1 a body in chunks", |opening| {
                opening.more = "Transfer-Encoding: chunked\r\n\r\n0\r\n"
            }),
        ),
    ];
    for (status, row) in rows {
        check(&[row], |response| {
            assert_eq!(response.status, status, "{response:?}");
        });
    }
}

#[test]
fn section_4_1_frames_may_follow_the_request_at_once() {
    let server = server();
    let mut http = server.connect();
    let request = Opening::right().bytes("/ws-echo", &server.host());
    http.send([request.as_bytes(), &text("early"), &text("birds")].concat());
    http.expect_upgrade();
    http.expect_frame(FIN | TEXT, "early");
    http.expect_frame(FIN | TEXT, "birds");
}
