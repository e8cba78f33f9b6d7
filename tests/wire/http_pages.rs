//! Pages, languages, origins and the echo: HTTP as browsers and test suites use it.

use std::collections::BTreeSet;

use serde_json::json;

use crate::static_files::SCRIPTS;
use crate::support::{self, Response, Server, assert_no_failures};

pub const FILES: [(&str, &str); 5] = [
    ("/", "text/html; charset=utf-8"),
    ("/static/chat.css", "text/css; charset=utf-8"),
    ("/grafana.json", "application/json"),
    ("/openapi.json", "application/json"),
    ("/asyncapi.json", "application/json"),
];

#[test]
fn a_page_comes_with_its_type_and_a_validator() {
    let server = Server::start(&[]);
    for (target, kind) in FILES {
        let page = server.get(target);
        assert_eq!(page.status, 200, "{target}");
        assert_eq!(page.required("content-type"), kind);
        let etag = page.required("etag");
        assert!(etag.ends_with('"') && etag.contains('"'), "{etag}");
        assert!(!page.body.is_empty(), "{target} is empty");
    }
}

#[test]
fn a_cached_page_is_not_sent_again() {
    let server = Server::start(&[]);
    for (target, _) in FILES {
        let mut http = server.connect();
        let etag = http.get(target).required("etag").to_owned();
        for known in [
            etag.clone(),
            format!("\"old\", {etag}"),
            format!("W/{etag}").replace("W/W/", "W/"),
            "*".to_owned(),
        ] {
            let field = format!("If-None-Match: {known}\r\n");
            for method in ["GET", "HEAD"] {
                let again = http.request(method, target, &field);
                assert_eq!(again.status, 304, "{method} {target} {known}");
                assert_eq!(again.required("etag"), etag);
            }
        }
        let changed = http.request("GET", target, "If-None-Match: \"old\"\r\n");
        assert_eq!(changed.status, 200);
        assert_eq!(changed.required("etag"), etag);
    }
}

/// Apache's mod_deflate and others append the coding, and pass the client's tag on as they get it.
#[test]
fn a_page_that_a_proxy_compressed_is_not_sent_again() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let etag = http.get("/").required("etag").to_owned();
    let opaque = etag.trim_matches('"');
    for suffix in ["-gzip", "-br", "-zstd", "-deflate", "--gzip", ";gzip"] {
        for known in [
            format!("\"{opaque}{suffix}\""),
            format!("W/\"{opaque}{suffix}\""),
            format!("\"old-gzip\", W/\"{opaque}{suffix}\" , \"older\""),
        ] {
            let again = http.request("GET", "/", &format!("If-None-Match: {known}\r\n"));
            assert_eq!(again.status, 304, "{known}");
            assert_eq!(again.required("etag"), etag);
        }
    }
    for other in ["-v2", "gzip", "-gzip-br"] {
        let known = format!("If-None-Match: \"{opaque}{other}\"\r\n");
        assert_eq!(http.request("GET", "/", &known).status, 200, "{known}");
    }
}

/// So they work under a prefix that a proxy strips.
#[test]
fn no_page_or_script_has_an_address_that_is_not_relative() {
    let server = Server::start(&[]);
    let names =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/static")).expect("a folder");
    let mut failures = Vec::new();
    for entry in names {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("UTF-8");
        let page = match name {
            "index.html" => server.get("/"),
            "dashboard.html" => server.get("/dashboard"),
            "grafana.json" => server.get("/grafana.json"),
            // The paths in them are relative to the server they name.
            "openapi.json" | "asyncapi.json" => continue,
            name if name.ends_with(".png") => continue,
            // They are in the scripts.
            name if name.ends_with(".js") && !SCRIPTS.contains(&name) => continue,
            name => server.get(&format!("/static/{name}")),
        };
        assert_eq!(page.status, 200, "{name}");
        // Whether a path is the root is no address.
        let text = page.text().replace("=== '/'", "");
        let lines = text.lines();
        for line in lines.filter(|line| !line.trim_start().starts_with(['*', '/'])) {
            let is_absolute = ["'/", "\"/", "`/", "=/", "(/"].iter().any(|start| {
                let mut found = line.match_indices(start);
                found.any(|(at, _)| {
                    // Behind a bracket a quotation mark is one of a regular expression.
                    let others = if *start == "(/" { "" } else { "'\"`/" };
                    line[at + 2..]
                        .starts_with(|c: char| c.is_ascii_lowercase() || others.contains(c))
                })
            });
            if is_absolute || line.contains("location.host") || line.contains("location.origin") {
                failures.push(format!("{name}: {line}"));
            }
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn the_dashboard_with_a_slash_at_its_end_leads_to_it() {
    let server = Server::start(&[]);
    for (query, location) in [
        ("", "../dashboard"),
        ("?minutes=1&x=%20", "../dashboard?minutes=1&x=%20"),
    ] {
        let response = server.get(&format!("/dashboard/{query}"));
        assert_eq!(response.status, 308);
        assert_eq!(response.required("location"), location);
    }
    for other in ["/dashboard//", "/dashboard/x", "//dashboard"] {
        server.get(other).assert_error(404, "not_found");
    }
}

#[test]
fn pages_have_a_content_security_policy() {
    let server = Server::start(&[]);
    let page = server.get("/");
    let policy = page.required("content-security-policy");
    assert!(policy.contains("default-src"), "{policy}");
    assert!(!policy.contains("unsafe-eval"), "{policy}");
}

/// Each head that these tests read is checked by `support::http`; here every route and every kind of answer is read.
#[test]
fn no_answer_of_any_route_lets_its_type_be_guessed() {
    let server = Server::start(&["--echo", "--allow-origin", APP]);
    let file = server.get("/static/chat.css");
    let known = format!("If-None-Match: {}\r\n", file.required("etag"));
    let mut statuses = BTreeSet::new();
    for (path, _) in sarang::server::routes::table() {
        let path = match &*path {
            "/static/*" => "/static/chat.css".to_owned(),
            path => path.replace('*', "all"),
        };
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "BREW"] {
            for fields in ["", &known, "Content-Length: 2\r\n\r\n{}", PREFLIGHT] {
                let mut http = server.connect();
                let host = http.host();
                http.send(format!(
                    "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
                ));
                statuses.insert(http.head().status);
            }
        }
    }
    for (method, target, fields) in [
        ("GET", "/", "Transfer-Encoding: chunked\r\n\r\n"),
        ("GET", "/", "Content-Length: 70000\r\n"),
        ("GET", "/", "Expect: x\r\n"),
        ("GET", "/", "Host: a\r\n"),
        ("GET", "http://evil.example/", ""),
        (
            "POST",
            "/rooms",
            "Content-Type: a/b\r\nContent-Length: 0\r\n",
        ),
        ("POST", "/rooms", "Origin: https://evil.example\r\n"),
    ] {
        let refused = server.connect().request(method, target, fields);
        statuses.insert(refused.status);
    }
    let seen = [
        200, 204, 304, 308, 400, 401, 403, 404, 405, 411, 413, 415, 417, 421, 426, 501,
    ];
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), seen);
}

const PREFLIGHT: &str = "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n";

#[test]
fn no_file_outside_the_pages_can_be_reached() {
    let server = Server::start(&[]);
    for target in [
        "/static/../Cargo.toml",
        "/static/%2e%2e/Cargo.toml",
        "/static/..%2fCargo.toml",
        "/static//etc/passwd",
        "/static/chat.css/",
        "/static/chat.css%00",
    ] {
        let status = server.get(target).status;
        assert!(matches!(status, 400 | 404), "{target}: {status}");
    }
}

fn is_korean(response: &Response) -> bool {
    response.json()["error"]["message"]
        .as_str()
        .is_some_and(|message| message.chars().any(|c| ('가'..='힣').contains(&c)))
}

#[test]
fn messages_are_korean_unless_english_is_preferred() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let mut failures = Vec::new();
    for (languages, korean) in [
        (None, true),
        (Some(""), true),
        (Some("*"), true),
        (Some("ko"), true),
        (Some("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7"), true),
        (Some("en;q=0.1, ko"), true),
        (Some("en;q=0"), true),
        (Some("de"), false),
        (Some("de-DE, ja;q=0.5"), false),
        (Some("fr, *;q=0.1"), false),
        (Some("fr, ko;q=0.1"), true),
        (Some("ko;q=0"), false),
        (Some("en-US;q=0.8, ko-KR;q=0.9"), true),
        (Some(";;q=,,"), true),
        (Some("en"), false),
        (Some("EN-us"), false),
        (Some("en-US,en;q=0.5"), false),
        (Some("ko;q=0.1, en;q=0.2"), false),
        (Some("de, en;q=0.8, ko;q=0.5"), false),
        (Some("en, ko;q=0.9"), false),
        (Some("ko;q=0, en;q=0.001"), false),
    ] {
        let field = languages.map_or(String::new(), |list| format!("Accept-Language: {list}\r\n"));
        let response = http.request("GET", "/rooms/none", &field);
        response.assert_error(404, "room_not_found");
        if is_korean(&response) != korean {
            failures.push(format!("{languages:?}: {}", response.text()));
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn even_a_request_that_cannot_be_read_is_answered_in_korean() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send("what?\r\n\r\n");
    let response = http.response();
    response.assert_error(400, "bad_request");
    assert!(is_korean(&response), "{}", response.text());
}

const APP: &str = "https://app.example";

#[test]
fn every_answer_whose_head_could_be_read_has_its_language_and_is_readable_by_an_allowed_origin() {
    let server = Server::start(&["--allow-origin", APP]);
    let fields = format!("Origin: {APP}\r\nAccept-Language: en\r\n");
    for (method, target, more, status) in [
        ("GET", "/rooms", "", 200),
        ("GET", "/rooms/none", "", 404),
        ("GET", "/none", "", 404),
        ("DELETE", "/rooms", "", 405),
        ("POST", "/rooms", "", 411),
        ("POST", "/rooms", "Content-Length: 65537\r\n", 413),
        (
            "POST",
            "/rooms",
            "Content-Length: 2\r\nContent-Type: text/plain\r\n\r\n{}",
            415,
        ),
        ("GET", "/ws", "", 426),
        ("POST", "/auth/logout", "", 401),
        ("GET", "/metrics", "", 200),
    ] {
        let mut http = server.connect();
        let host = http.host();
        let end = if more.ends_with("{}") { "" } else { "\r\n" };
        http.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}{more}{end}"
        ));
        let response = http.response();
        assert_eq!(response.status, status, "{target}: {response:?}");
        assert_eq!(response.required("access-control-allow-origin"), APP);
        assert!(response.lists("vary", "origin"), "{target}: {response:?}");
        for name in ["retry-after", "location", "www-authenticate"] {
            let exposed = response.lists("access-control-expose-headers", name);
            assert!(exposed, "{target}: {response:?}");
        }
        let is_english = status < 400 || !is_korean(&response);
        assert!(is_english, "{target}: {response:?}");
    }
}

fn preflight(server: &Server, origin: &str) -> Response {
    server.connect().request(
        "OPTIONS",
        "/rooms",
        &format!(
            "Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization,content-type\r\n"
        ),
    )
}

#[test]
fn a_preflight_of_an_allowed_origin_is_granted() {
    let server = Server::start(&["--allow-origin", APP, "--allow-origin", "http://b.example"]);
    for origin in [APP, "http://b.example"] {
        let granted = preflight(&server, origin);
        assert!(matches!(granted.status, 200 | 204), "{granted:?}");
        assert_eq!(granted.required("access-control-allow-origin"), origin);
        assert!(
            granted.lists("access-control-allow-methods", "POST"),
            "{granted:?}"
        );
        for name in ["authorization", "content-type"] {
            assert!(
                granted.lists("access-control-allow-headers", name),
                "{granted:?}"
            );
        }
        assert!(granted.lists("vary", "origin"), "{granted:?}");
    }
}

#[test]
fn a_preflight_of_a_foreign_origin_is_not_granted() {
    let nobody = Server::start(&[]);
    let only_app = Server::start(&["--allow-origin", APP]);
    for server in [&nobody, &only_app] {
        for origin in [
            "https://evil.example",
            "http://app.example",
            "https://app.example.evil.example",
            "https://app.example:8443",
            "null",
        ] {
            let refused = preflight(server, origin);
            let granted = refused.field("access-control-allow-origin");
            assert_eq!(granted, None, "{origin}");
        }
    }
}

#[test]
fn an_allowed_origin_may_read_answers_and_errors() {
    let server = Server::start(&["--allow-origin", APP]);
    let mut http = server.connect();
    for target in ["/rooms", "/rooms/none"] {
        let response = http.request("GET", target, &format!("Origin: {APP}\r\n"));
        assert_eq!(response.required("access-control-allow-origin"), APP);
        assert!(response.lists("vary", "origin"), "{response:?}");
    }
    let foreign = http.request("GET", "/rooms", "Origin: https://evil.example\r\n");
    assert_eq!(foreign.status, 200);
    assert_eq!(foreign.field("access-control-allow-origin"), None);
}

#[test]
fn a_foreign_page_cannot_create_rooms() {
    let server = Server::start(&["--allow-origin", APP]);
    let host = server.host();
    let post = |origin: &str, name: &str| {
        let fields = format!("Origin: {origin}\r\n");
        let body = json!({"name": name}).to_string();
        server.connect().post_with("/rooms", &fields, &body)
    };
    for origin in [
        "https://evil.example",
        "null",
        "http://127.0.0.1:1",
        "http://localhost",
    ] {
        post(origin, "stolen").assert_error(403, "forbidden_origin");
    }
    assert_eq!(server.get("/rooms/stolen").status, 404);
    assert_eq!(post(APP, "allowed").status, 201);
    assert_eq!(post(&format!("http://{host}"), "own").status, 201);
}

#[test]
fn the_echo_returns_the_bytes_it_was_sent() {
    let server = Server::start(&["--echo"]);
    let mut http = server.connect();
    let binary: Vec<u8> = (0..=255).cycle().take(60 * 1024).collect();
    for body in [&b""[..], b"hello", "안녕".as_bytes(), &binary] {
        let response = http.post_with("/http-echo", "", body);
        assert_eq!(response.status, 200);
        assert!(response.body == body, "{} other bytes", body.len());
    }
}

#[test]
fn there_is_no_echo_unless_it_is_asked_for() {
    let server = Server::start(&[]);
    server
        .post("/http-echo", "{}")
        .assert_error(404, "not_found");
    let opening = support::frames::opening("/ws-echo", &server.host(), "");
    let mut http = server.connect();
    http.send(opening);
    http.response().assert_error(404, "not_found");
}
