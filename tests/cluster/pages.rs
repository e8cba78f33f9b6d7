//! Pages of the rooms of all nodes, over HTTP.

use serde_json::json;

use crate::promises::seconds;
use crate::world::World;

#[test]
fn rooms_of_all_nodes_are_read_in_pages_at_each_of_them() {
    let mut world = World::new(1, 3, 1);
    world.enter(0, 2, "tech");
    for name in ["a", "b", "c"] {
        let body = json!({ "name": name }).to_string();
        let (head, _) = world.post(1, "/rooms", "x", &body);
        assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    }
    world.pass(seconds(2));
    for (query, names, next) in [
        ("?limit=3", json!(["a", "b", "c"]), json!("c")),
        ("?limit=2", json!(["a", "b"]), json!("b")),
        ("", json!(["a", "b", "c", "tech"]), json!(null)),
        ("?limit=1", json!(["a"]), json!("a")),
        ("?limit=4", json!(["a", "b", "c", "tech"]), json!(null)),
        ("?after=a&limit=2", json!(["b", "c"]), json!("c")),
        ("?after=c", json!(["tech"]), json!(null)),
        ("?after=x", json!([]), json!(null)),
    ] {
        let (_, page) = world.get(0, &format!("/rooms{query}"));
        let rooms = page["rooms"].as_array().expect("is a list");
        let shown: Vec<_> = rooms.iter().map(|room| &room["name"]).collect();
        assert_eq!((json!(shown), &page["next"]), (names, &next), "{query}");
    }
}
