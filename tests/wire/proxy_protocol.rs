//! The PROXY protocol, versions 1 and 2, over real sockets. Every client here is at a loopback address, which is the proxy's,
//! too.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::json;

use crate::support::subscriber::Subscriber;
use crate::support::{Chatter, Http, Server, stream_from};

const OPTIONS: [&str; 3] = ["--proxy-protocol", "--trusted-proxy", "127.0.0.1"];
/// A header of the proxy's own, which the requests of tests have.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A server behind a proxy, with more options.
fn behind_a_proxy(options: &[&str]) -> Server {
    Server::start(&[&OPTIONS[..], options].concat())
}

/// A header of version 1.
fn line(source: &str) -> Vec<u8> {
    let family = if source.contains(':') { "TCP6" } else { "TCP4" };
    let destination = if source.contains(':') {
        "::1"
    } else {
        "127.0.0.1"
    };
    format!("PROXY {family} {source} {destination} 50000 443\r\n").into_bytes()
}

/// A header of version 2 with TLVs that say who has connected over TLS and how.
fn binary(source: &str) -> Vec<u8> {
    let octets: Vec<u8> = match source.parse().expect("is an address") {
        std::net::IpAddr::V4(address) => [address.octets(), [127, 0, 0, 1]].concat(),
        std::net::IpAddr::V6(address) => [address.octets(), [7; 16]].concat(),
    };
    let family = if octets.len() == 8 { 0x11 } else { 0x21 };
    let tlvs = b"\x01\0\x08http/1.1\x02\0\x09localhost\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3";
    let rest = [&octets[..], &[0xc3, 0x50, 1, 0xbb], tlvs].concat();
    let length = (rest.len() as u16).to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], &[family], &length, &rest].concat()
}

/// A connection that has sent a header.
fn stream(server: &Server, header: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = server.connect_stream();
    stream.write_all(header.as_ref()).expect("is taken");
    stream
}

fn connect(server: &Server, header: impl AsRef<[u8]>) -> Http {
    Http::new(stream(server, header))
}

/// A wrong password of an account.
fn guess(http: &mut Http, account: &str) -> u16 {
    let body = json!({"username": account, "password": "wrong"}).to_string();
    http.post("/auth/login", &body).status
}

/// The addresses in the lines of this event.
fn addresses(errors: &str, event: &str) -> Vec<String> {
    let wanted = format!(" event={event} ");
    let lines = errors.lines().filter(|line| line.contains(&wanted));
    let of = |line: &str| {
        let address = line.split(' ').find_map(|one| one.strip_prefix("address="));
        address.expect("the line has an address").to_owned()
    };
    lines.map(of).collect()
}

#[test]
fn the_log_has_the_address_that_the_header_tells() {
    let table = [
        (line("192.0.2.1"), "192.0.2.1"),
        (line("2001:db8::1"), "2001:db8::1"),
        (line("::ffff:192.0.2.2"), "192.0.2.2"),
        (binary("192.0.2.3"), "192.0.2.3"),
        (binary("2001:db8::2"), "2001:db8::2"),
        (LOCAL.to_vec(), "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0".to_vec(), "127.0.0.1"),
    ];
    // Of one event only a few lines are written.
    for rows in table.chunks(4) {
        let mut server = behind_a_proxy(&["--log", "info"]);
        for (header, _) in rows {
            assert_eq!(guess(&mut connect(&server, header), "a"), 401);
        }
        let expected: Vec<&str> = rows.iter().map(|(_, address)| *address).collect();
        assert_eq!(addresses(&server.stop(), "login"), expected);
    }
}

#[test]
fn a_header_comes_in_one_segment_with_a_request_or_byte_by_byte() {
    let mut server = behind_a_proxy(&["--log", "info"]);
    let body = r#"{"username":"a","password":"wrong"}"#;
    let mut http = server.connect();
    let request = http.post_request("/auth/login", body);
    for header in [line("192.0.2.1"), binary("192.0.2.2")] {
        http.send([&header, request.as_bytes()].concat());
        assert_eq!(http.response().status, 401);
        http = server.connect();
        for byte in header.iter().chain(request.as_bytes()) {
            http.send([*byte]);
        }
        assert_eq!(http.response().status, 401);
        http = server.connect();
    }
    let expected = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"];
    assert_eq!(addresses(&server.stop(), "login"), expected);
}

#[test]
fn the_address_holds_for_every_request_of_the_connection() {
    let mut server = behind_a_proxy(&["--log", "info"]);
    let mut http = connect(&server, binary("192.0.2.1"));
    for account in ["a", "b"] {
        assert_eq!(guess(&mut http, account), 401);
    }
    // Its source is no trusted proxy, so what the client says does not count.
    let forged = "Content-Type: application/json\r\nX-Forwarded-For: 192.0.2.9\r\n";
    let body = r#"{"username":"c","password":"wrong"}"#;
    assert_eq!(http.post_with("/auth/login", forged, body).status, 401);
    let errors = server.stop();
    assert_eq!(addresses(&errors, "login"), ["192.0.2.1"; 3]);
    assert_eq!(
        addresses(&errors, "forwarded_address_ignored"),
        ["192.0.2.1"]
    );
}

#[test]
fn behind_the_headers_of_a_trusted_source_its_fields_count() {
    let mut server = behind_a_proxy(&["--log", "info", "--trusted-proxy", "10.0.0.0/8"]);
    let fields = "Content-Type: application/json\r\nX-Forwarded-For: 192.0.2.9\r\n";
    let body = r#"{"username":"c","password":"wrong"}"#;
    for header in [&line("10.1.2.3")[..], &binary("127.0.0.1"), LOCAL] {
        let mut http = connect(&server, header);
        assert_eq!(http.post_with("/auth/login", fields, body).status, 401);
    }
    assert_eq!(addresses(&server.stop(), "login"), ["192.0.2.9"; 3]);
}

#[test]
fn each_told_address_has_its_own_throttle() {
    let server = behind_a_proxy(&[]);
    // On connections of their own, by both versions.
    let headers = [line("192.0.2.1"), binary("192.0.2.1")];
    let mut headers = headers.iter().cycle().take(50);
    let throttled = headers.position(|header| guess(&mut connect(&server, header), "admin") == 429);
    assert!(throttled.is_some_and(|tries| tries >= 5), "{throttled:?}");
    assert_eq!(
        guess(&mut connect(&server, line("192.0.2.2")), "admin"),
        401
    );
    assert_eq!(
        guess(&mut connect(&server, line("2001:db8::1")), "admin"),
        401
    );
    assert_eq!(guess(&mut connect(&server, LOCAL), "admin"), 401);
}

#[test]
fn websockets_and_event_streams_run_behind_a_header_and_count_against_its_address() {
    let mut server = behind_a_proxy(&["--connections-per-address", "2"]);
    let mut guest = Chatter::over(
        stream(&server, binary("2001:db8::1")),
        "/ws?username=a",
        &[],
    );
    guest.expect("welcome");
    guest.join("tech");
    let mut other = Chatter::over(stream(&server, line("192.0.2.1")), "/ws?username=b", &[]);
    other.expect("welcome");
    other.join("tech");
    guest.expect("user_joined");
    other.say("tech", "안녕하세요");
    assert_eq!(guest.expect("chat")["content"], "안녕하세요");
    let http = connect(&server, line("2001:db8::2"));
    let mut events = Subscriber::over(http, "/sse/system", "");
    events.next();
    // The network has two connections, and a third is refused.
    let mut refused = connect(&server, binary("2001:db8::3"));
    refused.get("/rooms").assert_error(503, "unavailable");
    refused.expect_end();
    assert_eq!(
        connect(&server, line("192.0.2.1")).get("/rooms").status,
        200
    );
    // The proxy itself is not limited.
    let mut own: Vec<Http> = (0..5).map(|_| connect(&server, LOCAL)).collect();
    assert!(own.iter_mut().all(|http| http.get("/readyz").status == 200));
    guest.close();
    let mut failed = 0;
    while connect(&server, line("2001:db8::4")).get("/rooms").status != 200 {
        failed += 1;
        assert!(failed < 1000, "a free place is not given to anybody");
    }
    let errors = server.stop();
    let refused = addresses(&errors, "connection_refused");
    assert_eq!(refused[0], "2001:db8::3", "{errors}");
}

#[test]
fn a_connection_without_a_header_is_closed_without_an_answer_and_counted() {
    let mut server = behind_a_proxy(&[]);
    let request = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for start in ["", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "\r\n"] {
        let mut http = server.connect();
        http.send_if_open(format!("{start}{request}"));
        http.expect_end();
    }
    let page = connect(&server, LOCAL).get("/metrics");
    for line in [
        "sarang_proxy_headers_total 1",
        "sarang_proxy_headers_refused_total 3",
    ] {
        assert!(page.text().lines().any(|known| known == line), "no {line}");
    }
    let errors = server.stop();
    assert_eq!(addresses(&errors, "proxy_header_refused"), ["127.0.0.1"; 3]);
    for reason in ["there is none", "it is malformed"] {
        assert!(errors.contains(&format!("reason=\"{reason}\"")), "{errors}");
    }
}

#[test]
fn a_stranger_is_served_as_ever_and_its_header_is_a_malformed_request() {
    let server = behind_a_proxy(&[]);
    let stranger = || Http::new(stream_from([127, 0, 0, 2], server.address));
    assert_eq!(stranger().get("/rooms").status, 200);
    for header in [line("192.0.2.1"), binary("192.0.2.1")] {
        let mut http = stranger();
        http.send(header);
        http.send_if_open("GET /rooms HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(http.response().status, 400);
    }
}
