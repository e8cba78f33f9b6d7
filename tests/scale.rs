//! What a connection costs beside others: an operation sends to whom it concerns, and to nobody else, however many
//! there are. The figures of a million are those of `cargo bench --bench scale`.

#![forbid(unsafe_code)]

#[path = "../benches/scale/world.rs"]
mod crowd;
mod virtual_world;

use std::collections::BTreeMap;

use sarang::config::Config;

use virtual_world::World;

/// The connections by kind, as the page of metrics shows them.
fn kinds(world: &mut World) -> BTreeMap<String, u64> {
    let id = world.connect();
    world
        .server
        .receive(id, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", world.now);
    world.turn();
    let page = String::from_utf8(world.wire(id).bytes.clone()).expect("is text");
    world.server.closed(id, world.now);
    world.turn();
    let shown = page
        .lines()
        .filter_map(|line| line.strip_prefix("sarang_connections{kind=\""));
    shown
        .map(|line| {
            let (kind, count) = line.split_once("\"} ").expect("has a value");
            (kind.to_owned(), count.parse().expect("is a number"))
        })
        .collect()
}

#[test]
fn connections_are_counted_by_kind_through_their_whole_lives() {
    let mut world = World::new(Config::default());
    // Whoever asks is one of those that speak HTTP.
    let assert_kinds = |world: &mut World, closing, event_stream, http: u64, websocket| {
        let expected = [
            ("closing", closing),
            ("event_stream", event_stream),
            ("http", http + 1),
            ("websocket", websocket),
        ];
        let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(kinds(world), BTreeMap::from(expected));
    };
    assert_kinds(&mut world, 0, 0, 0, 0);
    let members = ["kim", "lee", "park"].map(|name| world.member(name, "tech"));
    let streams = [world.connect(), world.connect()];
    for id in streams {
        let request = b"GET /sse/all HTTP/1.1\r\nHost: x\r\n\r\n";
        world.server.receive(id, request, world.now);
    }
    let refused = world.connect();
    world.turn();
    assert_kinds(&mut world, 0, 2, 1, 3);
    // One says goodbye, one is told to go, one is gone, and so is a stream; a request is refused.
    let goodbye = virtual_world::frame(0x88, &1000u16.to_be_bytes());
    world.server.receive(members[0], &goodbye, world.now);
    let binary = virtual_world::frame(0x82, b"x");
    world.server.receive(members[1], &binary, world.now);
    world.server.closed(members[2], world.now);
    world.server.closed(streams[0], world.now);
    world.server.receive(refused, b"\0\r\n\r\n", world.now);
    world.turn();
    assert_kinds(&mut world, 3, 1, 0, 0);
    world.server.closed(streams[1], world.now);
    world.pass(std::time::Duration::from_secs(10));
    assert_kinds(&mut world, 0, 0, 0, 0);
}
