//! Connections of a trusted proxy that begin with a PROXY protocol header: deadlines, limits and ends.

use std::net::IpAddr;
use std::time::Duration;

use sarang::config::cidr::Cidr;
use sarang::config::{Config, HEAD_TIMEOUT, PROXY_HEADER_BYTES_MAX};
use sarang::domain::ids::ConnectionId;

use crate::world::{World, opening};

const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));
const GET: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);
/// The start of a header of version 2 of the longest allowed length.
const LONG: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x0f\xf0";

fn configured() -> Config {
    let networks = ["192.0.2.9", "10.0.0.0/8", "::1"];
    Config {
        proxy_protocol: true,
        trusted_proxies: networks
            .map(|text| Cidr::parse(text).expect("is one"))
            .to_vec(),
        ..Config::default()
    }
}

/// A world with this limit for an address.
fn world(connections_per_address: usize) -> World {
    World::new(Config {
        connections_per_address,
        ..configured()
    })
}

/// A line of version 1.
fn line(source: &str) -> String {
    match source.contains(':') {
        true => format!("PROXY TCP6 {source} 2001:db8::ffff 4321 443\r\n"),
        false => format!("PROXY TCP4 {source} 203.0.113.7 4321 443\r\n"),
    }
}

/// A connection of the proxy that begins so.
fn connect(world: &mut World, start: impl AsRef<[u8]>) -> ConnectionId {
    let id = world.connect_from(PROXY);
    world.receive(id, start.as_ref());
    world.turn();
    id
}

/// What the server has said on a connection, which is taken away.
fn answer(world: &mut World, id: ConnectionId) -> String {
    world.turn();
    String::from_utf8_lossy(&std::mem::take(&mut world.wire(id).bytes)).into_owned()
}

/// The status of the response on a connection for this client.
fn status(world: &mut World, source: &str, request: &str) -> (ConnectionId, String) {
    let id = connect(world, line(source) + request);
    let answer = answer(world, id);
    (id, answer.get(9..12).unwrap_or_default().to_owned())
}

/// The reasons and addresses of the headers that were refused.
fn refusals(world: &World) -> Vec<&str> {
    let lines = world.wires.log.iter();
    let refused = lines.filter_map(|line| line.split_once("event=proxy_header_refused "));
    refused.map(|(_, rest)| rest.trim_end()).collect()
}

#[test]
fn a_header_that_does_not_come_in_time_ends_the_connection_without_an_answer() {
    for drip in [&b""[..], b"PROXY TCP4 19", &LONG] {
        let mut world = world(256);
        let id = world.connect_from(PROXY);
        let mut drip = drip.iter();
        for _ in 0..HEAD_TIMEOUT.as_secs() {
            assert!(world.is_open(id));
            world.receive(id, drip.next().map_or(&[], std::slice::from_ref));
            world.pass(SECOND);
        }
        world.pass(SECOND);
        assert!(!world.is_open(id), "single bytes do not extend the time");
        assert_eq!(answer(&mut world, id), "");
        assert_eq!(
            refusals(&world),
            ["address=192.0.2.9 reason=\"it comes too late\""]
        );
    }
}

#[test]
fn a_header_and_then_silence_is_a_connection_without_a_request() {
    for start in [line("198.51.100.1"), "PROXY UNKNOWN\r\n".to_owned()] {
        let mut world = world(256);
        let id = connect(&mut world, start);
        world.pass(HEAD_TIMEOUT - SECOND);
        assert!(world.is_open(id));
        world.pass(2 * SECOND);
        assert!(!world.is_open(id));
        assert_eq!(answer(&mut world, id), "");
        assert!(world.wires.log.is_empty(), "{:?}", world.wires.log);
    }
}

#[test]
fn a_request_that_begins_behind_a_header_has_its_whole_time() {
    let mut world = world(256);
    let id = connect(&mut world, line("198.51.100.1"));
    world.pass(HEAD_TIMEOUT - SECOND);
    world.receive(id, &GET.as_bytes()[..9]);
    world.pass(HEAD_TIMEOUT - SECOND);
    world.receive(id, &GET.as_bytes()[9..]);
    assert!(answer(&mut world, id).starts_with("HTTP/1.1 200 "));
}

#[test]
fn the_told_address_has_a_limit_and_the_proxy_has_none() {
    let mut world = world(2);
    let healthy: Vec<_> = (0..9)
        .map(|_| connect(&mut world, "PROXY UNKNOWN\r\n"))
        .collect();
    let (first, answered) = status(&mut world, "198.51.100.1", GET);
    assert_eq!(answered, "200");
    let idle = connect(&mut world, line("198.51.100.1"));
    let (refused, answered) = status(&mut world, "198.51.100.1", GET);
    assert_eq!(answered, "503");
    world.end(refused);
    world.turn();
    assert!(!world.is_open(refused), "it is closed behind the answer");
    assert!(world.wires.log.iter().any(|line| {
        line.ends_with(
            "event=connection_refused limit=connections_per_address address=198.51.100.1\n",
        )
    }));
    assert_eq!(status(&mut world, "198.51.100.2", GET).1, "200");
    // With an answer that suits the request: none has content for HEAD.
    let head = GET.replace("GET", "HEAD");
    let id = connect(&mut world, line("198.51.100.1") + &head);
    assert!(answer(&mut world, id).ends_with("\r\n\r\n"));
    // It is free again when one has gone, before or after it has asked.
    for gone in [first, idle] {
        world.server.closed(gone, world.now);
        world.turn();
        assert_eq!(status(&mut world, "198.51.100.1", GET).1, "200");
    }
    assert!(healthy.into_iter().all(|id| world.is_open(id)));
}

#[test]
fn a_told_network_of_64_bits_is_one_address() {
    let mut world = world(1);
    assert_eq!(status(&mut world, "2001:db8::1", GET).1, "200");
    assert_eq!(status(&mut world, "2001:db8::2:3", GET).1, "503");
    assert_eq!(status(&mut world, "2001:db8:0:1::1", GET).1, "200");
    assert_eq!(status(&mut world, "192.0.2.1", GET).1, "200");
    assert_eq!(status(&mut world, "::ffff:192.0.2.1", GET).1, "503");
}

#[test]
fn a_client_of_a_trusted_source_is_told_by_its_fields_and_that_of_a_stranger_is_not() {
    let asked = "GET /livez HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n";
    let stream = asked.replace("/livez", "/sse/system");
    let ignored = "event=forwarded_address_ignored field=X-Forwarded-For address=203.0.113.1";
    for (source, counts) in [("10.1.2.3", true), ("::1", true), ("203.0.113.1", false)] {
        let mut world = world(1);
        assert_eq!(status(&mut world, source, &stream).1, "200", "{source}");
        let id = connect(&mut world, line("198.51.100.1") + GET);
        let status = if counts { "503" } else { "200" };
        assert_eq!(&answer(&mut world, id)[9..12], status, "{source}");
        let is_told = world.wires.log.iter().any(|line| line.contains(ignored));
        assert_eq!(is_told, !counts, "{:?}", world.wires.log);
    }
}

#[test]
fn a_connection_of_the_proxys_own_has_the_clients_that_its_fields_tell() {
    let mut world = world(1);
    let stream = "GET /sse/system HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n";
    let local = connect(&mut world, format!("PROXY UNKNOWN\r\n{stream}"));
    assert!(answer(&mut world, local).starts_with("HTTP/1.1 200 "));
    assert_eq!(status(&mut world, "198.51.100.1", GET).1, "503");
}

#[test]
fn a_told_loopback_address_has_no_limit() {
    let mut world = world(1);
    for source in ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"] {
        assert_eq!(status(&mut world, source, GET).1, "200", "{source}");
    }
    let ids: Vec<_> = (0..8).map(ConnectionId).collect();
    ids.into_iter()
        .for_each(|id| world.server.closed(id, world.now));
    world.turn();
    assert_eq!(world.server.connection_count(), 0);
}

#[test]
fn a_header_that_is_none_ends_the_connection_without_an_answer() {
    let mut world = world(256);
    for start in [
        GET.as_bytes(),
        b"PROXY TCP4 198.51.100.1\r\nGET / HTTP/1.1\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c0123456789ab",
    ] {
        let id = connect(&mut world, start);
        assert_eq!(answer(&mut world, id), "");
        assert!(!world.is_open(id));
    }
    let reasons = [
        "there is none",
        "it is malformed",
        "it tells of no TCP connection",
    ];
    let expected = reasons.map(|reason| format!("address=192.0.2.9 reason=\"{reason}\""));
    assert_eq!(refusals(&world), expected);
    let id = connect(
        &mut world,
        "PROXY UNKNOWN\r\n".to_owned() + &GET.replace("livez", "metrics"),
    );
    let page = answer(&mut world, id);
    assert!(page.contains("\nsarang_proxy_headers_total 1\n"), "{page}");
    assert!(
        page.contains("\nsarang_proxy_headers_refused_total 3\n"),
        "{page}"
    );
}

#[test]
fn a_second_header_is_a_malformed_request() {
    let mut world = world(256);
    let id = connect(
        &mut world,
        line("198.51.100.1") + &line("198.51.100.2") + GET,
    );
    assert!(answer(&mut world, id).starts_with("HTTP/1.1 400 "));
    // Between requests as well.
    let id = connect(&mut world, line("198.51.100.1") + GET);
    assert!(answer(&mut world, id).starts_with("HTTP/1.1 200 "));
    world.receive(id, (line("198.51.100.2") + GET).as_bytes());
    assert!(answer(&mut world, id).starts_with("HTTP/1.1 400 "));
    assert!(refusals(&world).is_empty());
}

#[test]
fn a_probe_that_says_nothing_is_no_refusal_but_half_a_header_is() {
    let mut world = world(256);
    let silent = connect(&mut world, "");
    world.end(silent);
    world.turn();
    assert!(!world.is_open(silent) && world.wires.log.is_empty());
    let half = connect(&mut world, "PROXY TCP4 198.51.100.1 ");
    world.end(half);
    world.turn();
    assert!(!world.is_open(half));
    assert_eq!(answer(&mut world, half), "");
    assert_eq!(
        refusals(&world),
        ["address=192.0.2.9 reason=\"it is cut short\""]
    );
}

#[test]
fn draining_ends_connections_whose_header_has_not_come() {
    let mut world = world(256);
    let ids = ["", "PROXY T", "PROXY UNKNOWN\r\n"].map(|start| connect(&mut world, start));
    world.server.drain(world.now);
    world.turn();
    for id in ids {
        assert!(world.wire(id).is_shut);
        assert_eq!(answer(&mut world, id), "");
        world.end(id);
    }
    world.turn();
    assert_eq!(world.server.connection_count(), 0);
}

#[test]
fn many_half_headers_stay_below_the_limit_of_all_buffers() {
    let mut world = World::new(Config {
        buffer_bytes: 64 * 1024,
        ..configured()
    });
    let half = [&LONG[..], &[7; 3000]].concat();
    let ids: Vec<_> = (0..100).map(|_| connect(&mut world, &half)).collect();
    let buffered = world.server.buffered_bytes();
    assert!((32 * 1024..=64 * 1024).contains(&buffered), "{buffered}");
    let open = ids.iter().filter(|id| world.is_open(**id)).count();
    assert!((8..50).contains(&open), "{open}");
    for id in ids {
        assert_eq!(answer(&mut world, id), "");
    }
    let whole = connect(&mut world, line("198.51.100.1") + GET);
    assert!(answer(&mut world, whole).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_long_header_is_taken_up_to_its_limit_and_kept_no_longer_than_needed() {
    let mut world = world(256);
    let id = connect(&mut world, LONG);
    assert!(world.server.buffered_bytes() > 0);
    world.receive(id, &vec![0; PROXY_HEADER_BYTES_MAX - LONG.len()]);
    world.receive(id, opening("a").as_bytes());
    assert!(answer(&mut world, id).starts_with("HTTP/1.1 101 "));
    assert_eq!(world.server.buffered_bytes(), 0);
}

#[test]
fn without_the_option_or_from_a_stranger_a_header_is_a_malformed_request() {
    for (peer, proxy_protocol) in [(PROXY, false), (IpAddr::from([192, 0, 2, 8]), true)] {
        let mut world = World::new(Config {
            proxy_protocol,
            ..configured()
        });
        for start in [line("198.51.100.1").as_bytes(), &LONG] {
            let id = world.connect_from(peer);
            world.receive(id, &[start, GET.as_bytes()].concat());
            assert!(answer(&mut world, id).starts_with("HTTP/1.1 400 "));
        }
        let id = world.connect_from(peer);
        world.receive(id, GET.as_bytes());
        assert!(answer(&mut world, id).starts_with("HTTP/1.1 200 "));
        assert!(refusals(&world).is_empty());
    }
}

#[test]
fn a_refusal_at_a_limit_of_all_connections_suits_the_request_behind_the_header() {
    let world = world(1);
    let head = line("198.51.100.1") + &GET.replace("GET", "HEAD");
    let refusal = world
        .server
        .refusal_of_a_connection(head.as_bytes(), world.now);
    assert!(refusal.starts_with(b"HTTP/1.1 503 ") && refusal.ends_with(b"\r\n\r\n"));
    let get = line("198.51.100.1") + GET;
    let refusal = world
        .server
        .refusal_of_a_connection(get.as_bytes(), world.now);
    assert!(!refusal.ends_with(b"\r\n\r\n"));
}
