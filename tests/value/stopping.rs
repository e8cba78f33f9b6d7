//! Signals to stop: a delay in which a balancer notices, then the drain.

use std::time::Duration;

use sarang::config::{Config, DRAIN_TIMEOUT};
use sarang::domain::ids::ConnectionId;
use serde_json::json;

use crate::world::World;

const DELAY: Duration = Duration::from_secs(10);
const MILLISECOND: Duration = Duration::from_millis(1);

fn world(delay: Duration) -> World {
    World::new(Config {
        drain_delay: delay,
        ..Config::default()
    })
}

/// The answer to a request on this connection, as text.
fn get(world: &mut World, id: ConnectionId, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    world.receive(id, request.as_bytes());
    world.turn();
    let bytes = std::mem::take(&mut world.wire(id).bytes);
    String::from_utf8(bytes).expect("is UTF-8")
}

fn stop(world: &mut World) {
    world.server.stop(world.now);
    world.turn();
}

#[test]
fn during_the_delay_all_are_served_but_the_server_is_not_ready_and_connections_move_on() {
    let mut world = world(DELAY);
    let member = world.member("kim", "r");
    let kept = world.connect();
    assert!(!get(&mut world, kept, "/readyz").contains("Connection: close"));
    let idle = world.connect();
    stop(&mut world);
    let readiness = get(&mut world, kept, "/readyz");
    assert!(readiness.starts_with("HTTP/1.1 503 "), "{readiness}");
    assert!(readiness.contains("\r\nConnection: close\r\n") && readiness.ends_with("draining\n"));
    assert!(world.wire(kept).is_shut);
    world.pass(DELAY - MILLISECOND);
    // A new connection, and one that was there, are served, and then close.
    let new = world.connect();
    for id in [new, idle] {
        // The idle one's time for a head is over by then.
        if !world.is_open(id) {
            continue;
        }
        let answer = get(&mut world, id, "/rooms");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    let late = world.guest("lee");
    world.say(late, json!({"type": "join", "room": "r"}));
    world.turn();
    assert_eq!(world.told(late)[0]["type"], "room_joined");
    let told = world.told(member);
    assert!(
        told.iter().any(|one| one["type"] == "user_joined"),
        "{told:?}"
    );
    assert!(!world.server.is_draining() && !world.server.is_over());
    world.pass(MILLISECOND);
    assert!(world.server.is_draining());
    for id in [member, late] {
        assert_eq!(world.told(id).last(), Some(&json!({"close": 1001})));
    }
}

#[test]
fn a_second_signal_ends_the_delay_and_a_third_the_drain() {
    let mut world = world(DELAY);
    let member = world.member("kim", "r");
    world.told(member);
    stop(&mut world);
    assert_eq!(world.told(member), [json!(null); 0]);
    stop(&mut world);
    assert_eq!(world.told(member), [json!({"close": 1001})]);
    assert!(!world.server.is_over(), "the peer has not answered");
    stop(&mut world);
    assert!(world.server.is_over());
}

#[test]
fn without_a_delay_the_first_signal_drains_and_no_peer_makes_it_last() {
    let mut world = world(Duration::ZERO);
    let deaf = world.member("kim", "r");
    // A request whose body does not come.
    let half = world.connect();
    world.receive(
        half,
        b"POST /rooms HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    );
    stop(&mut world);
    assert!(world.server.is_draining() && world.is_open(half) && world.is_open(deaf));
    world.pass(DRAIN_TIMEOUT - MILLISECOND);
    assert!(!world.server.is_over());
    world.pass(MILLISECOND);
    assert!(world.server.is_over());
    let nobody = &mut World::new(Config::default());
    stop(nobody);
    assert!(nobody.server.is_over(), "nobody is connected");
}

#[test]
fn a_request_under_way_when_the_signal_comes_is_answered_and_its_connection_closes() {
    let mut world = world(DELAY);
    let half = world.connect();
    world.receive(half, b"GET /rooms HTTP/1.1\r\nHo");
    let login = world.connect();
    let body = r#"{"username":"admin","password":"secret"}"#;
    let length = body.len();
    world.receive(
        login,
        format!(
            "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
            Content-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    );
    world.turn();
    stop(&mut world);
    world.receive(half, b"st: x\r\n\r\n");
    world.check_passwords(true);
    world.turn();
    for id in [half, login] {
        let answer = String::from_utf8_lossy(&world.wire(id).bytes).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(world.wire(id).is_shut);
    }
}
