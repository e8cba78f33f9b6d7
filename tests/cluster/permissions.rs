//! What a token permits is the same at every node, also by a ticket of another one.

use sarang::config::Config;
use serde_json::{Value, json};

use crate::nodes::{config, key};
use crate::promises::{errors, seconds};
use crate::world::World;

/// A token of another back end, with more claims.
fn token(world: &World, name: &str, more: &Value) -> String {
    let at = world.clock.as_secs();
    let mut claims = json!({"sub": name, "iat": at, "exp": at + 600, "jti": name});
    for (name, value) in more.as_object().expect("is an object") {
        claims[name] = value.clone();
    }
    key().sign(&claims)
}

fn ask(world: &mut World, node: usize, target: &str, token: &str) -> (String, Value) {
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let (head, body) = world.request(node, &head);
    (head.split(' ').nth(1).expect("a status").to_owned(), body)
}

/// The names of the rooms that a node lists.
fn rooms(world: &mut World, node: usize, token: &str) -> Vec<String> {
    let (status, list) = ask(world, node, "/rooms", token);
    assert_eq!(status, "200");
    let rooms = list["rooms"].as_array().expect("is a list").iter();
    let mut names: Vec<String> = rooms
        .map(|room| room["name"].as_str().expect("is a name").to_owned())
        .collect();
    names.sort_unstable();
    names
}

/// Two nodes with accounts; at the first, guests are in the rooms `team-a` and `lobby`.
fn world() -> World {
    let config = Config {
        secret_file: Some("secrets".into()),
        guests: true,
        ..config()
    };
    let mut world = World::with(config, 11, 2, 3);
    world.enter(0, 0, "team-a");
    world.enter(1, 0, "lobby");
    world.pass(seconds(2));
    world
}

/// Member 2 comes with a ticket that the first node has issued, to the second.
fn come_with_ticket(world: &mut World, token: &str) {
    let (head, ticket) = world.post(0, "/auth/ws-ticket", token, "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let ticket = ticket["ticket"].as_str().expect("is one");
    world.members[2].name = format!("boss&ticket={ticket}");
    world.enter(2, 1, "team-a");
}

#[test]
fn rooms_of_other_nodes_are_neither_listed_nor_entered_nor_read_if_the_claim_does_not_name_them() {
    let mut world = world();
    let boss = token(&world, "boss", &json!({"rooms": ["team-*"]}));
    let anybody = token(&world, "anybody", &json!({}));
    assert_eq!(rooms(&mut world, 1, &anybody), ["lobby", "team-a"]);
    assert_eq!(rooms(&mut world, 1, &boss), ["team-a"]);
    assert_eq!(ask(&mut world, 1, "/rooms/team-a", &boss).0, "200");
    for target in ["/rooms/lobby", "/rooms/lobby/history"] {
        let (status, body) = ask(&mut world, 1, target, &boss);
        assert_eq!(
            (&*status, &body["error"]["code"]),
            ("403", &json!("forbidden"))
        );
    }
    come_with_ticket(&mut world, &boss);
    world.act(2, |member, node, clock| member.join("lobby", node, clock));
    world.until("is refused", |world| errors(world, 2, "forbidden") == 1);
    assert!(!world.members[2].rooms["lobby"].is_in);
}

#[test]
fn a_moderators_ticket_is_one_at_another_node() {
    let mut world = world();
    let boss = token(&world, "boss", &json!({"rooms": ["team-a"], "admin": true}));
    // A stream, which does not end.
    assert_eq!(ask(&mut world, 1, "/sse/audit", &boss).0, "200");
    come_with_ticket(&mut world, &boss);
    world.act(2, |member, node, clock| member.join("lobby", node, clock));
    world.until("is in the room", |world| {
        world.members[2].rooms["lobby"].is_in
    });
    let none = token(&world, "none", &json!({"admin": false}));
    assert_eq!(ask(&mut world, 1, "/sse/audit", &none).0, "403");
}
