//! Request targets: the absolute form, whose authority counts, and queries with escapes.

use crate::support::frames::{FIN, TEXT, opening};
use crate::support::http::{JSON, post_head};
use crate::support::{Server, assert_no_failures};

#[test]
fn the_authority_of_an_absolute_form_target_counts_and_host_does_not() {
    let server = Server::start(&["--host", "chat.example.com"]);
    let mut failures = Vec::new();
    for scheme in ["http", "https", "HTTPS"] {
        for (authority, host, status) in [
            ("chat.example.com", "chat.example.com", 200),
            ("chat.example.com:8443", "evil.example", 200),
            ("chat.example.com", "a b", 200),
            ("chat.example.com", "user@evil.example", 200),
            ("chat.example.com", "a:1:2", 200),
            ("chat.example.com", "", 200),
            ("evil.example", "chat.example.com", 421),
            ("evil.example", "a b", 421),
            ("user@chat.example.com", "chat.example.com", 400),
            ("", "chat.example.com", 400),
        ] {
            let mut http = server.connect();
            http.send(format!(
                "GET {scheme}://{authority}/rooms HTTP/1.1\r\nHost: {host}\r\n\r\n"
            ));
            let found = http.response().status;
            if found != status {
                failures.push(format!("{scheme}://{authority}, Host {host:?}: {found}"));
            }
        }
        // In HTTP/1.1 there must be one Host all the same (RFC 9112 section 3.2).
        for hosts in ["", "Host: chat.example.com\r\nHost: chat.example.com\r\n"] {
            let mut http = server.connect();
            http.send(format!(
                "GET {scheme}://chat.example.com/rooms HTTP/1.1\r\n{hosts}\r\n"
            ));
            http.response().assert_error(400, "bad_request");
        }
        let mut http = server.connect();
        http.send(format!(
            "GET {scheme}://chat.example.com/rooms HTTP/1.0\r\n\r\n"
        ));
        assert_eq!(http.response().status, 200);
    }
    assert_no_failures(&failures);
}

#[test]
fn the_authority_of_an_absolute_form_target_is_what_origins_are_compared_with() {
    let server = Server::start(&["--host", "chat.example.com", "--host", "other.example"]);
    for (origin, is_ours) in [
        ("https://chat.example.com", true),
        ("https://other.example", false),
    ] {
        let field = format!("Origin: {origin}\r\n");
        let body = r#"{"name":"made"}"#;
        let target = "https://chat.example.com/rooms";
        let fields = format!("{field}{JSON}");
        let mut http = server.connect();
        http.send(post_head(target, "other.example", &fields, body.len()) + body);
        assert_eq!(http.response().status, if is_ours { 201 } else { 403 });
        let mut http = server.connect();
        let target = "http://chat.example.com:443/ws?username=guest";
        http.send(opening(target, "other.example", &field));
        http.expect_upgrade();
        let frame = http.frame();
        match is_ours {
            true => assert_eq!(frame.first, FIN | TEXT),
            false => assert_eq!(frame.close_code(), Some(4003)),
        }
    }
}

#[test]
fn the_name_of_a_query_parameter_may_have_escapes() {
    let server = Server::start(&[]);
    for query in [
        "user%6Eame=kim",
        "%75%73ername=kim",
        "x%ff=1&usernam%65=kim",
    ] {
        let mut http = server.upgraded(&format!("/ws?{query}"));
        let welcome = http.frame();
        assert_eq!(welcome.first, FIN | TEXT, "{query}: {welcome:?}");
        let text = String::from_utf8_lossy(&welcome.payload).into_owned();
        assert!(text.contains(r#""username":"kim""#), "{text}");
    }
    // A ticket, if only it is recognized as one, takes precedence over the name.
    for query in ["tick%65t=unknown&username=kim", "username=kim&%74icket=x"] {
        server.upgraded(&format!("/ws?{query}")).expect_close(4001);
    }
    server.post("/rooms", r#"{"name":"tech"}"#);
    let page = server.get("/rooms/tech/history?s%69nce=x%3A1");
    assert_eq!(page.json()["recovered"], false);
    for query in ["user%name=kim", "user%6=kim", "username=%", "%zz"] {
        let target = format!("/ws?{query}");
        server.get(&target).assert_error(400, "bad_request");
    }
}
