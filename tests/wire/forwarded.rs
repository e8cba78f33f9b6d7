//! The address of a client behind proxies. Every client here is at a loopback address, which may be a proxy, too.

use serde_json::json;

use crate::support::http::post_head;
use crate::support::subscriber::Subscriber;
use crate::support::{Chatter, Http, Server, assert_no_failures, percent_encoded};

const TRUSTED: [&str; 2] = ["--trusted-proxy", "127.0.0.0/8"];

/// A server that trusts the loopback, with more options.
fn behind_a_proxy(options: &[&str]) -> Server {
    Server::start(&[&TRUSTED[..], options].concat())
}

/// Each field on a line of its own.
fn lines(fields: &[(&str, &str)]) -> String {
    let lines = fields.iter();
    lines
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

/// A wrong password of the account on this connection.
fn guess(http: &mut Http, account: &str, fields: &str) -> u16 {
    let body = json!({"username": account, "password": "wrong"}).to_string();
    let fields = format!("Content-Type: application/json\r\n{fields}");
    http.post_with("/auth/login", &fields, &body).status
}

/// A request for `/rooms` on behalf of a client.
fn rooms(http: &mut Http, client: &str) -> u16 {
    let field = format!("X-Forwarded-For: {client}\r\n");
    http.request("GET", "/rooms", &field).status
}

/// A guest behind a proxy.
fn guest(server: &Server, name: &str, client: &str) -> Chatter {
    let target = format!("/ws?username={}", percent_encoded(name));
    let mut guest = Chatter::open(server, &target, &[("x-forwarded-for", client)]);
    guest.expect("welcome");
    guest
}

/// The addresses in the lines of this event.
fn addresses(errors: &str, event: &str) -> Vec<String> {
    let wanted = format!(" event={event} ");
    let lines = errors.lines().filter(|line| line.contains(&wanted));
    lines
        .map(|line| {
            let address = line.split(' ').find_map(|one| one.strip_prefix("address="));
            address.expect("the line has an address").to_owned()
        })
        .collect()
}

#[test]
fn the_log_has_the_address_that_the_proxy_tells() {
    let mut failures = Vec::new();
    let table = [
        (&[][..], "127.0.0.1"),
        (&[("X-Forwarded-For", "192.0.2.1")], "192.0.2.1"),
        (&[("x-forwarded-for", "192.0.2.1:567")], "192.0.2.1"),
        (&[("X-Forwarded-For", "[2001:db8::1]:567")], "2001:db8::1"),
        (&[("X-Forwarded-For", "2001:db8::1")], "2001:db8::1"),
        // Whoever is further left may be invented; who is further right is a proxy.
        (
            &[("X-Forwarded-For", "1.1.1.1, 192.0.2.1, 127.0.0.9")],
            "192.0.2.1",
        ),
        (
            &[
                ("X-Forwarded-For", "1.1.1.1, 192.0.2.1"),
                ("X-Forwarded-For", "127.0.0.9"),
            ],
            "192.0.2.1",
        ),
        (&[("X-Forwarded-For", "127.0.0.8, 127.0.0.9")], "127.0.0.8"),
        (
            &[("X-Forwarded-For", "1.1.1.1, unknown, 127.0.0.9")],
            "127.0.0.9",
        ),
        (&[("X-Forwarded-For", "1.1.1.1, garbage")], "127.0.0.1"),
        (&[("Forwarded", "for=192.0.2.1;proto=https")], "192.0.2.1"),
        (
            &[
                ("Forwarded", "for=1.1.1.1"),
                ("Forwarded", "For=\"[2001:db8::1]:9\""),
            ],
            "2001:db8::1",
        ),
        (&[("Forwarded", "for=\"open, for=192.0.2.1")], "192.0.2.1"),
        (&[("Forwarded", "for=1.1.1.1, for=_hidden")], "127.0.0.1"),
        (
            &[
                ("X-Forwarded-For", "192.0.2.1"),
                ("Forwarded", "for=192.0.2.1"),
            ],
            "192.0.2.1",
        ),
        (
            &[
                ("X-Forwarded-For", "192.0.2.1"),
                ("Forwarded", "for=192.0.2.2"),
            ],
            "127.0.0.1",
        ),
    ];
    // Of one event only a few lines are written.
    for rows in table.chunks(4) {
        let mut server = behind_a_proxy(&["--log", "info"]);
        for (n, (fields, _)) in rows.iter().enumerate() {
            guess(&mut server.connect(), &format!("name {n}"), &lines(fields));
        }
        let errors = server.stop();
        let logged = addresses(&errors, "login");
        assert_eq!(logged.len(), rows.len(), "{errors}");
        for ((fields, address), logged) in rows.iter().zip(logged) {
            if *address != logged {
                failures.push(format!("{fields:?}: {logged}, not {address}"));
            }
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn a_kept_alive_connection_of_a_proxy_has_clients_with_addresses_of_their_own() {
    let server = behind_a_proxy(&[]);
    let mut proxy = server.connect();
    let mut guess = |client: &str| {
        let forged = format!("X-Forwarded-For: 9.9.9.9, {client}\r\n");
        guess(&mut proxy, "admin", &forged)
    };
    let throttled = (0..50).position(|_| guess("192.0.2.1") == 429);
    assert!(throttled.is_some_and(|tries| tries >= 5), "{throttled:?}");
    assert_eq!(guess("192.0.2.2"), 401);
    assert_eq!(guess("192.0.2.1"), 429);
    assert_eq!(guess("2001:db8::1"), 401);
}

#[test]
fn without_the_option_a_field_does_not_count_which_is_told_once() {
    let mut server = Server::start(&["--connections-per-address", "1"]);
    let mut clients: Vec<Http> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(rooms(client, "192.0.2.1"), 200);
    }
    let forwarded = clients[0].request("GET", "/rooms", "Forwarded: for=192.0.2.1\r\n");
    assert_eq!(forwarded.status, 200);
    let errors = server.stop();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    for part in [
        "level=warn event=forwarded_address_ignored field=X-Forwarded-For address=127.0.0.1 ",
        "--trusted-proxy 127.0.0.1",
    ] {
        assert!(errors.contains(part), "{errors}");
    }
}

#[test]
fn a_proxy_that_passes_on_the_other_field_is_told_once() {
    let mut server = behind_a_proxy(&[]);
    let mut proxy = server.connect();
    for _ in 0..3 {
        let fields = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=1.1.1.1\r\n";
        assert_eq!(proxy.request("GET", "/rooms", fields).status, 200);
    }
    let errors = server.stop();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert_eq!(
        addresses(&errors, "forwarded_addresses_differ"),
        ["127.0.0.1"]
    );
}

#[test]
fn a_peer_outside_the_trusted_networks_tells_nothing() {
    let mut server = Server::start(&["--trusted-proxy", "127.0.0.2", "--log", "info"]);
    let field = "X-Forwarded-For: 192.0.2.1\r\n";
    guess(&mut server.connect(), "a", field);
    let from = crate::support::stream_from([127, 0, 0, 2], server.address);
    guess(&mut Http::new(from), "b", field);
    let errors = server.stop();
    assert_eq!(addresses(&errors, "login"), ["127.0.0.1", "192.0.2.1"]);
    assert_eq!(
        addresses(&errors, "forwarded_address_ignored"),
        ["127.0.0.1"]
    );
}

#[test]
fn websockets_of_one_client_count_against_its_address_while_they_last() {
    let mut server = behind_a_proxy(&["--connections-per-address", "2"]);
    let first = guest(&server, "홍길동", "192.0.2.1");
    let _second = guest(&server, "김철수", "1.1.1.1, 192.0.2.1");
    let mut proxy = server.connect();
    for _ in 0..2 {
        let refused = proxy.request("GET", "/ws", "X-Forwarded-For: 192.0.2.1\r\n");
        refused.assert_error(503, "unavailable");
        refused.required("retry-after");
        assert!(!refused.lists("connection", "close"));
        // The connection is the proxy's, and others are served on it.
        assert_eq!(rooms(&mut proxy, "192.0.2.2"), 200);
    }
    let _others = ["가", "나"].map(|name| guest(&server, name, "192.0.2.2"));
    first.close();
    let mut failed = 0;
    while rooms(&mut proxy, "192.0.2.1") != 200 {
        failed += 1;
        assert!(failed < 1000, "a free place is not given to anybody");
    }
    let errors = server.stop();
    let refused = addresses(&errors, "connection_refused");
    assert!(refused.iter().all(|address| address == "192.0.2.1"));
    assert!(refused.len() >= 2, "{errors}");
}

#[test]
fn event_streams_count_and_the_networks_of_ipv6_are_addresses() {
    let server = behind_a_proxy(&["--connections-per-address", "2"]);
    let stream = |client: &str| {
        let field = format!("X-Forwarded-For: {client}\r\n");
        let mut stream = Subscriber::with(&server, "/sse/system", &field);
        stream.next();
        stream
    };
    let _streams = ["2001:db8::1", "[2001:db8::2]:80"].map(stream);
    let mut proxy = server.connect();
    assert_eq!(rooms(&mut proxy, "2001:db8::3:4"), 503);
    assert_eq!(rooms(&mut proxy, "2001:db8:0:1::1"), 200);
}

#[test]
fn a_request_counts_from_its_head_until_its_response() {
    let server = behind_a_proxy(&["--connections-per-address", "2"]);
    let field = "X-Forwarded-For: 192.0.2.1\r\n";
    // Connections between requests do not count, however many had one.
    let mut idle: Vec<Http> = (0..5).map(|_| server.connect()).collect();
    for http in &mut idle {
        assert_eq!(rooms(http, "192.0.2.1"), 200);
    }
    let body = r#"{"name":"tech"}"#;
    let fields = format!("Content-Type: application/json\r\nExpect: 100-continue\r\n{field}");
    let head = post_head("/rooms", &server.host(), &fields, body.len());
    let mut begun = [server.connect(), server.connect()];
    for http in &mut begun {
        http.send(&head);
        assert_eq!(http.response().status, 100);
    }
    assert_eq!(rooms(&mut idle[0], "192.0.2.1"), 503);
    assert_eq!(rooms(&mut idle[0], "192.0.2.2"), 200);
    begun[0].send(body);
    assert_eq!(begun[0].response().status, 201);
    assert_eq!(rooms(&mut idle[1], "192.0.2.1"), 200);
    begun[1].send(body);
    assert_eq!(begun[1].response().status, 409);
    for http in begun.iter_mut().chain(&mut idle) {
        assert_eq!(rooms(http, "192.0.2.1"), 200);
    }
}

#[test]
fn a_refused_request_whose_body_is_still_to_come_ends_its_connection() {
    let server = behind_a_proxy(&["--connections-per-address", "1"]);
    let _guest = guest(&server, "홍길동", "192.0.2.1");
    let mut proxy = server.connect();
    let fields = "Content-Type: application/json\r\nX-Forwarded-For: 192.0.2.1\r\n";
    // With its body it is read whole, and the next request is where it begins.
    let refused = proxy.post_with("/rooms", fields, r#"{"name":"tech"}"#);
    refused.assert_error(503, "unavailable");
    assert_eq!(rooms(&mut proxy, "192.0.2.2"), 200);
    proxy.send(post_head("/rooms", &server.host(), fields, 9));
    let refused = proxy.response();
    refused.assert_error(503, "unavailable");
    assert!(refused.lists("connection", "close"));
    proxy.expect_end();
    assert_eq!(server.get("/rooms").json()["rooms"], json!([]));
}

#[test]
fn clients_on_the_loopback_have_no_limit_behind_a_proxy_either() {
    let server = Server::start(&[
        "--trusted-proxy",
        "127.0.0.1",
        "--connections-per-address",
        "1",
    ]);
    let _guests = ["가", "나", "다"].map(|name| guest(&server, name, "127.0.0.2"));
    assert_eq!(rooms(&mut server.connect(), "127.0.0.2"), 200);
}
