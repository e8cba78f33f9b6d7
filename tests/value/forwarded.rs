//! Clients behind a trusted proxy: what counts for whom, on the connections of the proxy.

use std::net::IpAddr;

use sarang::config::Config;
use sarang::config::cidr::Cidr;
use sarang::domain::ids::ConnectionId;

use crate::world::World;

const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));
const OPENING: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A world with this limit for an address, which trusts the proxy or does not.
fn world(connections_per_address: usize, is_trusted: bool) -> World {
    let network = Cidr::parse("192.0.2.9").expect("is one");
    World::new(Config {
        connections_per_address,
        trusted_proxies: vec![network].into_iter().filter(|_| is_trusted).collect(),
        ..Config::default()
    })
}

/// The status of the response that has come first on a connection, which is taken away.
fn status(world: &mut World, id: ConnectionId) -> u16 {
    world.turn();
    let bytes = std::mem::take(&mut world.wire(id).bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.get(9..12).and_then(|digits| digits.parse().ok());
    status.unwrap_or_else(|| panic!("no response: {text:?}"))
}

fn get(path: &str, client: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n{fields}\r\n")
}

/// A request of a client over a connection of the proxy: the status of its response.
fn ask(world: &mut World, proxy: ConnectionId, client: &str) -> u16 {
    world.receive(proxy, get("/livez", client, "").as_bytes());
    status(world, proxy)
}

#[test]
fn a_proxy_has_no_limit_of_connections_but_its_clients_have() {
    let mut world = world(256, true);
    for n in 0..300 {
        let id = world.connect_from(PROXY);
        let client = format!("198.51.100.{}", n % 100);
        let name = format!("/ws?username={n}");
        world.receive(id, get(&name, &client, OPENING).as_bytes());
        assert_eq!(status(&mut world, id), 101);
    }
    let mut count = 0;
    let refused = loop {
        let id = world.connect_from(PROXY);
        world.receive(id, get("/sse/system", "203.0.113.1", "").as_bytes());
        match status(&mut world, id) {
            200 => count += 1,
            other => break other,
        }
    };
    assert_eq!((count, refused), (256, 503));
}

#[test]
fn without_the_option_the_257th_person_behind_a_proxy_is_refused() {
    let mut world = world(256, false);
    for _ in 0..256 {
        world.connect_from(PROXY);
    }
    assert!(world.server.accept(PROXY, world.now).is_none());
}

#[test]
fn a_request_counts_until_its_response_is_written() {
    let mut world = world(1, true);
    let slow = world.connect_from(PROXY);
    let other = world.connect_from(PROXY);
    world.wire(slow).room = 10;
    world.receive(slow, get("/", "198.51.100.1", "").as_bytes());
    world.turn();
    assert_eq!(ask(&mut world, other, "198.51.100.1"), 503);
    assert_eq!(ask(&mut world, other, "198.51.100.2"), 200);
    world.wire(slow).room = usize::MAX;
    world.server.writable(slow, world.now);
    assert_eq!(status(&mut world, slow), 200);
    assert_eq!(ask(&mut world, other, "198.51.100.1"), 200);
}

#[test]
fn a_request_that_waits_for_a_job_counts() {
    let mut world = world(1, true);
    let (waiting, other) = (world.connect_from(PROXY), world.connect_from(PROXY));
    let body = r#"{"username":"admin","password":"secret"}"#;
    let head = format!(
        "POST /auth/login HTTP/1.1\r\nHost: x\r\nForwarded: for=198.51.100.1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    world.receive(waiting, (head + body).as_bytes());
    world.turn();
    assert_eq!(ask(&mut world, other, "198.51.100.1"), 503);
    world.check_passwords(true);
    assert_eq!(status(&mut world, waiting), 200);
    assert_eq!(ask(&mut world, other, "198.51.100.1"), 200);
}

#[test]
fn pipelined_requests_of_different_clients_are_each_served_or_refused() {
    let mut world = world(1, true);
    let (stream, proxy) = (world.connect_from(PROXY), world.connect_from(PROXY));
    world.receive(stream, get("/sse/system", "198.51.100.1", "").as_bytes());
    assert_eq!(status(&mut world, stream), 200);
    let clients = [2, 1, 3, 1, 2].map(|n| format!("198.51.100.{n}"));
    let requests = clients.map(|client| get("/livez", &client, ""));
    world.receive(proxy, requests.concat().as_bytes());
    world.turn();
    let text = String::from_utf8(std::mem::take(&mut world.wire(proxy).bytes)).expect("is text");
    let statuses: Vec<&str> = text
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &text[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "503", "200", "503", "200"]);
    assert!(!text.contains("Connection: close"), "{text}");
}

#[test]
fn however_a_connection_ends_its_client_is_free_again() {
    let post = "POST /auth/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1\r\nContent-Length: 40\r\n\r\n";
    let login = format!("{post}{}", r#"{"username":"admin","password":"secret"}"#);
    let chat = get("/ws?username=a", "198.51.100.1", OPENING);
    let refused = get("/ws?ticket=x", "198.51.100.1", OPENING);
    let stream = get("/sse/system", "198.51.100.1", "");
    let old = "GET / HTTP/1.0\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n";
    let bad = "GET /livez HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1\r\n\r\nGET \r\n";
    let close_frame = "\u{88}";
    for request in [
        post,
        &login,
        &chat,
        &refused,
        &stream,
        old,
        bad,
        &(chat.clone() + close_frame),
        &(stream.clone() + "more"),
    ] {
        // Its peer is gone, says nothing more, or ends its direction; or the server drains.
        for end in 0..4 {
            for room in [usize::MAX, 5] {
                let mut world = world(1, true);
                let id = world.connect_from(PROXY);
                world.wire(id).room = room;
                world.receive(id, request.as_bytes());
                world.turn();
                match end {
                    0 => world.server.closed(id, world.now),
                    1 => {}
                    2 => world.end(id),
                    _ => world.server.drain(world.now),
                }
                // A peer that says and takes nothing is given up within minutes.
                for _ in 0..300 {
                    world.pass(std::time::Duration::from_secs(1));
                }
                if end == 1 && request.contains("/sse/") {
                    // A stream that is read lasts.
                    world.server.closed(id, world.now);
                    world.turn();
                }
                assert_eq!(
                    world.server.connection_count(),
                    0,
                    "{request:?} {end} {room}"
                );
                if end < 3 {
                    let next = world.connect_from(PROXY);
                    assert_eq!(ask(&mut world, next, "198.51.100.1"), 200, "{request:?}");
                }
            }
        }
    }
}
