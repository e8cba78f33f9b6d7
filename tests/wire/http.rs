//! HTTP/1.1 at the wire: connections, framing, methods, targets.

use serde_json::json;

use crate::support::{self, Http, Response, Server, assert_no_failures};

/// The server has read everything sent before this returns: one loop serves both connections in order.
fn let_the_server_read(other: &mut Http) {
    assert_eq!(other.get("/rooms").status, 200);
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    for _ in 0..5 {
        assert_eq!(http.get("/rooms").status, 200);
        assert_eq!(http.get("/rooms/nowhere").status, 404);
        assert_eq!(http.post("/rooms", "{").status, 400);
    }
}

#[test]
fn connection_close_is_obeyed_and_announced() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let response = http.request("GET", "/rooms", "Connection: foo, Close\r\n");
    assert_eq!(response.status, 200);
    assert!(response.lists("connection", "close"), "{response:?}");
    http.expect_end();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let host = server.host();
    let bare = |method: &str, target: &str| {
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
    };
    let post = |body: &str| {
        let length = body.len();
        format!("POST /rooms HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    };
    http.send(
        [
            bare("GET", "/rooms"),
            post(r#"{"name":"pipe"}"#),
            post(r#"{"name":"pipe"}"#),
            bare("GET", "/rooms/pipe"),
            bare("HEAD", "/rooms/pipe"),
            bare("DELETE", "/rooms"),
            post("{"),
            bare("GET", "/rooms/none"),
            bare("GET", "/rooms"),
        ]
        .concat(),
    );
    let statuses: Vec<u16> = (0..9)
        .map(|index| {
            let response = if index == 4 {
                http.head()
            } else {
                http.response()
            };
            response.status
        })
        .collect();
    assert_eq!(statuses, [200, 201, 409, 200, 200, 405, 400, 404, 200]);
    assert_eq!(http.get("/rooms").status, 200, "nothing was left over");
}

#[test]
fn a_hundred_pipelined_requests_are_all_answered() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let host = server.host();
    let one = |n: u32| format!("GET /rooms/{n} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    http.send((0..100).map(one).collect::<String>());
    for _ in 0..100 {
        http.response().assert_error(404, "room_not_found");
    }
}

#[test]
fn head_gives_the_fields_of_get_without_its_body() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    for target in ["/", "/static/chat.css", "/rooms", "/nowhere"] {
        let get = http.get(target);
        let head = http.request("HEAD", target, "");
        assert_eq!(head.status, get.status, "{target}");
        for name in ["content-length", "content-type", "etag"] {
            assert_eq!(head.field(name), get.field(name), "{name} of {target}");
        }
    }
    assert_eq!(http.get("/rooms").status, 200, "no body was sent");
}

#[test]
fn an_unknown_resource_is_not_found() {
    let server = Server::start(&[]);
    for target in ["/nowhere", "/static/none.css", "/static/", "/rooms/a/b/c"] {
        let response = server.get(target);
        response.assert_error(404, "not_found");
    }
}

#[test]
fn a_method_that_a_resource_does_not_have_is_refused_with_those_it_has() {
    let server = Server::start(&[]);
    let rows = [
        ("DELETE", "/rooms", &["GET", "HEAD", "POST"][..]),
        ("PUT", "/rooms", &["GET", "HEAD", "POST"]),
        ("DELETE", "/", &["GET", "HEAD"]),
        ("PATCH", "/static/chat.css", &["GET", "HEAD"]),
        ("DELETE", "/rooms/tech/history", &["GET", "HEAD"]),
        ("DELETE", "/static/chat.css", &["GET", "HEAD"]),
        ("DELETE", "/ws", &["GET"]),
    ];
    let mut failures = Vec::new();
    for (method, target, allowed) in rows {
        let response = server.connect().request(method, target, "");
        let complete = allowed.iter().all(|name| response.lists("allow", name));
        if response.status != 405 || !complete || response.lists("allow", method) {
            failures.push(format!("{method} {target}: {response:?}"));
        } else {
            assert_eq!(response.error_code(), "method_not_allowed");
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn an_unknown_method_is_refused() {
    let server = Server::start(&[]);
    let response = server.connect().request("BREW", "/rooms", "");
    assert!(matches!(response.status, 405 | 501), "{response:?}");
    response.error_code();
}

#[test]
fn options_lists_the_methods() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    for target in ["*", "/rooms"] {
        let response = http.request("OPTIONS", target, "");
        assert!(matches!(response.status, 200 | 204), "{response:?}");
        assert!(response.lists("allow", "GET"), "{response:?}");
        assert!(response.lists("allow", "POST"), "{response:?}");
    }
}

#[test]
fn http_1_0_is_answered_and_hung_up() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send("GET /rooms HTTP/1.0\r\n\r\n");
    assert_eq!(http.response().status, 200);
    http.expect_end();
}

#[test]
fn http_1_0_is_kept_alive_on_request() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    for _ in 0..2 {
        http.send("GET /rooms HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        let response = http.response();
        assert_eq!(response.status, 200);
        assert!(response.lists("connection", "keep-alive"), "{response:?}");
    }
}

#[test]
fn another_major_version_is_not_supported() {
    let server = Server::start(&[]);
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"] {
        let mut http = server.connect();
        http.send(format!("GET /rooms {version}\r\nHost: localhost\r\n\r\n"));
        let response = http.response();
        response.assert_error(505, "http_version_not_supported");
        http.expect_end();
    }
}

const SPLIT_BODY: &str = r#"{"name":"나눠진 방","max_users":7}"#;

fn split_request(host: &str) -> Vec<u8> {
    let length = SPLIT_BODY.len();
    format!(
        "POST /rooms HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{SPLIT_BODY}"
    )
    .into_bytes()
}

#[test]
fn a_request_may_be_split_at_any_byte() {
    let server = Server::start(&[]);
    assert_eq!(server.post("/rooms", SPLIT_BODY).status, 201);
    let (mut http, mut other) = (server.connect(), server.connect());
    let request = split_request(&server.host());
    for at in 1..request.len() {
        http.send(&request[..at]);
        let_the_server_read(&mut other);
        http.send(&request[at..]);
        http.response().assert_error(409, "room_exists");
    }
}

#[test]
fn a_request_may_come_one_byte_at_a_time() {
    let server = Server::start(&[]);
    let (mut http, mut other) = (server.connect(), server.connect());
    for byte in split_request(&server.host()) {
        http.send([byte]);
        let_the_server_read(&mut other);
    }
    assert_eq!(http.response().status, 201);
}

#[test]
fn two_requests_may_be_split_at_any_byte() {
    let server = Server::start(&[]);
    let (mut http, mut other) = (server.connect(), server.connect());
    let host = server.host();
    let two = format!(
        "GET /rooms HTTP/1.1\r\nHost: {host}\r\n\r\nGET /rooms/none HTTP/1.1\r\nHost: {host}\r\n\r\n"
    );
    for at in 1..two.len() {
        http.send(&two[..at]);
        let_the_server_read(&mut other);
        http.send(&two[at..]);
        assert_eq!(http.response().status, 200, "split at {at}");
        assert_eq!(http.response().status, 404, "split at {at}");
    }
}

#[test]
fn field_names_have_no_case_and_values_may_have_space_around() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let body = r#"{"name":"case"}"#;
    http.send(format!(
        "POST /rooms HTTP/1.1\r\nhOST:\t {} \t\r\ncontent-LENGTH:\t{}  \r\n\r\n{body}",
        server.host(),
        body.len()
    ));
    assert_eq!(http.response().status, 201);
}

#[test]
fn an_empty_line_before_a_request_is_forgiven() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send("\r\nGET /rooms HTTP/1.0\r\n\r\n");
    assert_eq!(http.response().status, 200);
}

fn expecting(host: &str, expectation: &str, version: &str, length: usize) -> String {
    format!(
        "POST /rooms {version}\r\nHost: {host}\r\nExpect: {expectation}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[test]
fn a_body_is_asked_for_when_the_client_waits_for_that() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let body = r#"{"name":"expected"}"#;
    http.send(expecting(
        &server.host(),
        "100-Continue",
        "HTTP/1.1",
        body.len(),
    ));
    assert_eq!(http.response().status, 100);
    http.send(body);
    assert_eq!(http.response().status, 201);
    assert_eq!(http.get("/rooms").status, 200);
}

#[test]
fn an_http_1_0_client_is_never_sent_an_interim_response() {
    let server = Server::start(&[]);
    let (mut http, mut other) = (server.connect(), server.connect());
    let body = r#"{"name":"expected"}"#;
    http.send(expecting(
        &server.host(),
        "100-continue",
        "HTTP/1.0",
        body.len(),
    ));
    let_the_server_read(&mut other);
    http.send(body);
    assert_eq!(http.response().status, 201);
}

#[test]
fn a_body_that_will_be_refused_is_not_asked_for() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send(expecting(
        &server.host(),
        "100-continue",
        "HTTP/1.1",
        1 << 30,
    ));
    http.response().assert_error(413, "content_too_large");
    http.expect_end();
}

#[test]
fn another_expectation_fails() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send(expecting(&server.host(), "200-ok", "HTTP/1.1", 2));
    http.response().assert_error(417, "expectation_failed");
}

#[test]
fn a_client_that_has_nothing_more_to_send_still_gets_its_answers() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let host = server.host();
    let get = format!("GET /rooms HTTP/1.1\r\nHost: {host}\r\n\r\n");
    http.send(get.repeat(2));
    http.half_close();
    assert_eq!(http.response().status, 200);
    assert_eq!(http.response().status, 200);
    http.expect_end();
}

#[test]
fn a_client_that_has_nothing_more_to_send_still_gets_an_answer_that_takes_time() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let body = r#"{"username":"admin","password":"secret"}"#;
    http.send(format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nPOST /auth/login HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    http.half_close();
    assert_eq!(http.response().status, 200);
    assert!(http.response().json()["access_token"].is_string());
    http.expect_end();
}

#[test]
fn an_end_in_the_middle_of_a_request_ends_the_connection() {
    let server = Server::start(&[]);
    for part in [
        "GET /rooms HT",
        "POST /rooms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let mut http = server.connect();
        http.send(part);
        http.half_close();
        // An answer (400, 408) is allowed, a wait is not.
        let answer = http.rest().unwrap_or_default();
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{part:?} was accepted");
    }
    assert_eq!(server.get("/rooms").status, 200);
}

#[test]
fn a_reset_does_not_affect_other_connections() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    let request = split_request(&server.host());
    for at in [0, 1, 40, request.len() - 3, request.len()] {
        let mut http = server.connect();
        http.send(&request[..at]);
        http.reset();
        let_the_server_read(&mut other);
    }
    assert_eq!(server.get("/rooms").status, 200);
}

#[test]
fn every_response_has_a_date() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let check = |response: Response| {
        let date = response.required("date");
        let date = httpdate::parse_http_date(date).expect("Date is an HTTP date");
        let now = std::time::SystemTime::now();
        let apart = now
            .duration_since(date)
            .or_else(|_| date.duration_since(now));
        let hour = std::time::Duration::from_secs(3600);
        assert!(apart.expect("one order of two times") < hour, "{date:?}");
    };
    check(http.get("/"));
    check(http.get("/rooms"));
    check(http.get("/nowhere"));
    check(http.post("/rooms", r#"{"name":"dated"}"#));
    http.send("what?\r\n\r\n");
    check(http.response());
}

#[test]
fn a_room_is_found_by_a_percent_encoded_and_by_a_raw_target() {
    let server = Server::start(&[]);
    let name = "홍길동의 방";
    let created = server.post("/rooms", &json!({"name": name}).to_string());
    let location = created.required("location").to_owned();
    assert!(location.is_ascii(), "{location}");
    let percent = support::percent_encoded(name);
    for target in [
        location.clone(),
        format!("/rooms/{percent}"),
        format!("/rooms/{}", percent.to_ascii_lowercase()),
        "/rooms/홍길동의%20방".to_owned(),
        "/rooms/%ED%99%8D길동의%20방?x=1".to_owned(),
    ] {
        let response = server.get(&target);
        assert_eq!(response.status, 200, "{target}: {response:?}");
        assert_eq!(response.json()["name"], name);
    }
}

#[test]
fn a_slash_a_plus_and_a_percent_sign_may_be_in_a_name() {
    let server = Server::start(&[]);
    for name in ["a/b", "a+b", "100%", "a?b#c", "history", "%41"] {
        let created = server.post("/rooms", &json!({"name": name}).to_string());
        assert_eq!(created.status, 201, "{name}");
        let encoded = support::percent_encoded(name);
        let room = server.get(&format!("/rooms/{encoded}"));
        assert_eq!(room.json()["name"], name);
        let history = server.get(&format!("/rooms/{encoded}/history"));
        assert_eq!(history.json()["room"], name);
        let location = server.get(created.required("location"));
        assert_eq!(location.json()["name"], name);
    }
    assert_eq!(server.get("/rooms/a+b").json()["name"], "a+b");
}

#[test]
fn an_absolute_form_target_is_understood_and_its_authority_counts() {
    let server = Server::start(&["--host", "other.example"]);
    let mut http = server.connect();
    let host = server.host();
    for target in [
        format!("http://{host}/rooms"),
        "http://other.example/rooms".to_owned(),
        "HTTP://other.example:81/rooms?x".to_owned(),
    ] {
        assert_eq!(http.get(&target).status, 200, "{target}");
        http.send(format!(
            "GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        ));
        assert_eq!(http.response().status, 200, "{target}: Host is ignored");
    }
    http.get("http://other.example/rooms/none")
        .assert_error(404, "room_not_found");
    http.get("http://evil.example/rooms")
        .assert_error(421, "misdirected_request");
}

#[test]
fn a_query_is_no_part_of_the_path() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/rooms?x=1&y").status, 200);
    assert_eq!(server.get("/rooms?").status, 200);
}
