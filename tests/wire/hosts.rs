//! DNS rebinding: a page whose host name was made to resolve to this machine must not reach a server that listens for it
//! alone.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::json;

use crate::support::frames::opening;
use crate::support::http::{JSON, post_head};
use crate::support::{Response, Server, assert_no_failures, sarang};

/// The answer to a GET with this Host.
fn get(server: &Server, target: &str, host: &str) -> Response {
    let mut http = server.connect();
    http.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    http.response()
}

fn rooms(server: &Server, host: &str) -> u16 {
    get(server, "/rooms", host).status
}

/// What a page may send to the server that it believes to be its own.
fn requests_of_a_page(host: &str) -> Vec<String> {
    let origin = format!("Origin: http://{host}\r\n");
    let post = |target: &str, body: &str| {
        let fields = format!("{origin}{JSON}");
        post_head(target, host, &fields, body.len()) + body
    };
    let mut requests = vec![
        post("/auth/login", r#"{"username":"admin","password":"secret"}"#),
        post("/rooms", r#"{"name":"stolen"}"#),
        post("/events/business", r#"{"orders":1}"#),
        post("/auth/logout", ""),
        post("/http-echo", "x"),
        opening("/ws?username=thief", host, &origin),
        opening("/ws-echo", host, &origin),
        format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("OPTIONS /rooms HTTP/1.1\r\nHost: {host}\r\n{origin}\r\n"),
        format!("DELETE /rooms HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("GET /rooms HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n"),
        format!("GET http://{host}/rooms HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ];
    for target in [
        "/",
        "/dashboard",
        "/static/sarang.js",
        "/rooms",
        "/rooms/tech",
        "/rooms/tech/history",
        "/sse/all",
        "/sse/all?ticket=x",
        "/metrics",
        "/auth",
        "/livez",
        "/readyz",
        "/ws",
        "/nowhere",
    ] {
        requests.push(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    requests
}

#[test]
fn a_page_whose_name_was_made_to_resolve_to_loopback_gets_nothing_of_the_demo() {
    let server = Server::start(&["--echo"]);
    server.member("홍길동", "tech").say("tech", "비밀");
    let host = format!("evil.example:{}", server.address.port());
    let mut failures = Vec::new();
    for request in requests_of_a_page(&host) {
        let mut http = server.connect();
        http.send(&request);
        let response = http.response();
        if response.status != 421 || response.error_code() != "misdirected_request" {
            failures.push(format!(
                "{}: {response:?}",
                request.lines().next().unwrap_or_default()
            ));
        }
        assert!(!response.text().contains("비밀"));
        // The connection stays usable for those who name the server rightly, unless an upgrade was refused on it.
        match request.contains("Upgrade") {
            true => http.expect_end(),
            false => assert_eq!(http.get("/livez").status, 200),
        }
    }
    assert_no_failures(&failures);
    assert_eq!(server.get("/rooms/stolen").status, 404);
}

#[test]
fn the_refusal_says_in_both_languages_what_can_be_done() {
    let server = Server::start(&[]);
    for (language, word) in [("ko", "호스트"), ("en", "host")] {
        let mut http = server.connect();
        http.send(format!(
            "GET / HTTP/1.1\r\nHost: evil.example\r\nAccept-Language: {language}\r\n\r\n"
        ));
        let response = http.response();
        response.assert_error(421, "misdirected_request");
        assert!(response.text().contains(word), "{}", response.text());
        assert!(response.text().contains("--host"), "{}", response.text());
    }
}

#[test]
fn on_loopback_its_own_names_are_served_whatever_the_port() {
    let server = Server::start(&[]);
    for host in [
        "localhost",
        "localhost:1",
        "LOCALHOST.",
        "127.0.0.1",
        "127.1.2.3:8000",
        "[::1]",
        "[::1]:8000",
        "[::ffff:127.0.0.1]",
    ] {
        assert_eq!(rooms(&server, host), 200, "{host}");
    }
    for host in [
        "evil.localhost",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "192.168.0.5",
        "0.0.0.0",
        "chat.example.com",
    ] {
        get(&server, "/rooms", host).assert_error(421, "misdirected_request");
    }
    // HTTP/1.0 may leave Host out, which no browser does.
    let mut http = server.connect();
    http.send("GET /rooms HTTP/1.0\r\n\r\n");
    assert_eq!(http.response().status, 200);
}

#[test]
fn a_server_on_loopback_of_ipv6_is_no_exception() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no [::1]");
        return;
    }
    let server = Server::start(&["--listen", "[::1]:0"]);
    for host in [&*server.host(), "localhost", "127.0.0.1"] {
        assert_eq!(rooms(&server, host), 200, "{host}");
    }
    assert_eq!(rooms(&server, "evil.example"), 421);
    assert_eq!(rooms(&server, "[fe80::1]"), 421);
}

#[test]
fn behind_a_proxy_the_server_answers_for_the_names_it_is_given() {
    let server = Server::start(&["--host", "chat.example.com", "--host", "10.1.2.3"]);
    for host in ["chat.example.com", "CHAT.example.com.:443", "10.1.2.3:8000"] {
        assert_eq!(rooms(&server, host), 200, "{host}");
    }
    assert_eq!(rooms(&server, "localhost"), 200);
    assert_eq!(rooms(&server, "example.com"), 421);
    let mut http = server.connect();
    let origin = "Origin: https://chat.example.com\r\n";
    http.send(opening("/ws?username=guest", "chat.example.com", origin));
    http.expect_upgrade();
    let mut command = sarang();
    command.args(["--listen", "127.0.0.1:0"]);
    command.env("SARANG_HOST", "a.example, b.example");
    let server = Server::spawn(command);
    for (host, status) in [("a.example", 200), ("b.example", 200), ("c.example", 421)] {
        assert_eq!(rooms(&server, host), status, "{host}");
    }
}

#[test]
fn elsewhere_every_host_is_served_until_some_are_given() {
    let secrets = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("hosts-secrets-{}", std::process::id()));
    fs::write(&secrets, "only:a secret of this test, long enough\n").expect("a file of secrets");
    let path = secrets.to_str().expect("a path in UTF-8");
    let everywhere = ["--listen", "0.0.0.0:0", "--secret-file", path];
    let open = Server::start(&everywhere);
    let limited = Server::start(&[&everywhere[..], &["--host", "chat.example.com"]].concat());
    fs::remove_file(&secrets).expect("the file of secrets");
    for host in ["chat.example.com", "192.0.2.1:8000", "localhost"] {
        let offered = get(&open, "/auth", host);
        assert_eq!(offered.json(), json!({"guests": false, "demo": false}));
        let status = get(&limited, "/auth", host).status;
        let expected = if host == "chat.example.com" { 200 } else { 421 };
        assert_eq!(status, expected, "{host}");
    }
}
