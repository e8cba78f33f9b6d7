//! A whole connection: any bytes in any pieces, with time, a slow reader, sign-ins and a shutdown in between.
//!
//! The input's first byte is the number of steps, which follow, a byte each: what to do in its upper three bits, how
//! much in the lower five. The rest is what the client sends. Two more bits of the first byte are accounts (0x40) and a trusted
//! proxy that has to begin with a PROXY protocol header (0x80).

use std::time::Duration;

use sarang::config::Config;
use sarang::config::cidr::Cidr;
use sarang::domain::ids::ConnectionId;
use sarang::wire::proxy_header::read;

use super::peer::Peer;
use super::world::{PROXY, World, configured};

/// The most steps in an input.
const STEPS_MAX: usize = 63;

/// Fuzzes a [`sarang::server::Server`] with one connection.
pub fn run(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    let (steps, stream) = rest.split_at((usize::from(first) & STEPS_MAX).min(rest.len()));
    let is_proxied = first & 0x80 != 0;
    let mut world = World::new(Config {
        proxy_protocol: is_proxied,
        trusted_proxies: vec![Cidr::parse("192.0.2.2").expect("is one")],
        users: configured().filter(|_| first & 0x40 != 0),
        guests: true,
        hosts: vec!["x".to_owned()],
        echo: true,
        messages_per_second: 3,
        outbox_bytes: 600,
        token_ttl_secs: 30,
        ..Config::default()
    });
    let id = world.connect(if is_proxied { PROXY } else { 1 });
    let id = id.expect("is the first");
    let mut client = Client { id, stream };
    for step in steps {
        client.step(&mut world, step >> 5, usize::from(step & 31));
    }
    client.finish(&mut world);
    let contains = |wanted: &[u8]| stream.windows(wanted.len()).any(|window| window == wanted);
    let mut peer = Peer::new(contains(b"HEAD"), contains(b"echo"));
    let (_, wire) = world.dropped().pop().expect("was dropped");
    peer.read(&wire.sent);
    let has_header = matches!(read(stream), Ok(Some(_)));
    assert!(
        !is_proxied || has_header || wire.sent.is_empty(),
        "without a header there is no answer"
    );
    assert!(
        !wire.is_shut || peer.is_complete(),
        "the end comes at an end"
    );
    world.assert_empty();
}

/// The client, with what it has still to send.
struct Client<'a> {
    id: ConnectionId,
    stream: &'a [u8],
}

impl Client<'_> {
    fn step(&mut self, world: &mut World, kind: u8, amount: usize) {
        match kind {
            0 => self.send(world, 1 + amount),
            1 => self.send(world, 64 * (1 + amount)),
            2 => world.pass(Duration::from_millis(100 * amount as u64)),
            3 => world.pass(Duration::from_secs(2 * amount as u64)),
            4 => world.take(self.id, Some(16 * amount)),
            5 => world.turn(),
            6 => world.finish_check(0, amount == 1),
            _ => match amount {
                0 => world.send(self.id, b"", true),
                1 => world.reset(self.id),
                2 => world.server.drain(world.now),
                3 => world.now.unix = Duration::ZERO,
                4 => {
                    world.now.unix = world
                        .now
                        .unix
                        .saturating_add(Duration::from_secs(10 * 365 * 86_400))
                }
                5 => world.reload(false),
                6 => world.reload(true),
                // The last second a system clock can show.
                7 => world.now.unix = Duration::from_secs(i64::MAX as u64),
                _ => world.take(self.id, None),
            },
        }
    }

    fn send(&mut self, world: &mut World, count: usize) {
        let (piece, rest) = self.stream.split_at(count.min(self.stream.len()));
        self.stream = rest;
        world.send(self.id, piece, false);
    }

    /// Sends the rest, reads everything, and waits: only an event stream stays open. Then the client leaves.
    fn finish(&mut self, world: &mut World) {
        self.send(world, usize::MAX);
        world.take(self.id, None);
        world.turn();
        while !world.checks.is_empty() {
            world.finish_check(0, true);
            world.turn();
        }
        world.pass(Duration::from_secs(200));
        assert_eq!(
            world.server.connection_count(),
            world.server.subscriber_count()
        );
        world.send(self.id, b"", true);
        world.pass(Duration::from_secs(5));
        assert_eq!(world.server.connection_count(), 0);
    }
}
