//! What moderators do to people at one node is so at all: they are put out, banned, found, and their tokens end.

use serde_json::{Value, json};

use crate::moderation::{ROOM, cut_off, gathered, leave, read};
use crate::promises::{errors, seconds, token};
use crate::world::World;

fn delete(world: &mut World, node: usize, target: &str) -> u16 {
    world.moderate(node, "DELETE", target, &Value::Null).0
}

fn ban(world: &mut World, node: usize, user: &str, body: &Value) -> u16 {
    let target = format!("/users/{user}/ban");
    world.moderate(node, "PUT", &target, body).0
}

/// Whether a member who comes to a node is let in: otherwise it is closed as banned.
fn is_let_in(world: &mut World, member: usize, node: usize) -> bool {
    let clock = world.clock;
    world.members[member].closed = None;
    world.members[member].welcomes = 0;
    world.members[member].connect(node, &mut world.nodes[node], clock);
    world.until("is welcome or not", |world| {
        let member = &world.members[member];
        member.closed.is_some() || member.welcomes == 1
    });
    world.pass(seconds(1));
    let closed = world.members[member].closed;
    assert!(matches!(closed, None | Some(4006)), "{closed:?}");
    if closed.is_none() {
        leave(world, member);
        world.pass(seconds(1));
    }
    closed.is_none()
}

#[test]
fn a_kick_reaches_all_connections_of_somebody_at_other_nodes_and_nobody_is_404() {
    let mut world = gathered(31, 3, &[0, 1, 1]);
    world.members[2].name = "m1".into();
    let clock = world.clock;
    leave(&mut world, 2);
    world.members[2].connect(2, &mut world.nodes[2], clock);
    world.pass(seconds(1));
    assert_eq!(
        delete(&mut world, 0, "/users/m1/connections?reason=enough"),
        204
    );
    world.until("are put out", |world| {
        world.members[1..]
            .iter()
            .all(|member| member.closed == Some(4006))
    });
    for member in &world.members[1..] {
        let kicked = json!({"type": "kicked", "reason": "enough"});
        assert_eq!(member.notices, [kicked], "{}", member.name);
    }
    world.pass(seconds(5));
    for node in 0..3 {
        assert_eq!(
            delete(&mut world, node, "/users/m1/connections"),
            404,
            "{node}"
        );
        assert_eq!(delete(&mut world, node, "/users/nobody/connections"), 404);
    }
    assert_eq!(world.members[0].closed, None);
    assert!(world.members[0].rooms[ROOM].is_in);
}

#[test]
fn a_kick_from_a_room_reaches_somebody_at_another_node_who_stays_elsewhere() {
    let mut world = gathered(32, 3, &[0, 1]);
    world.act(1, |member, node, clock| member.join("other", node, clock));
    world.until("is there", |world| world.members[1].rooms["other"].is_in);
    let target = format!("/users/m1/connections?room={ROOM}&reason=quiet+please");
    assert_eq!(delete(&mut world, 2, &target), 204);
    world.until("has left", |world| !world.members[1].rooms[ROOM].is_in);
    let left = json!({"type": "room_left", "room": ROOM, "reason": "quiet please"});
    assert_eq!(world.members[1].notices, [left]);
    world.until("others are told", |world| {
        !world.members[0].rooms[ROOM].online.contains("m1")
    });
    assert!(world.members[1].rooms["other"].is_in);
    assert_eq!(delete(&mut world, 2, &target), 404);
    assert_eq!(
        delete(&mut world, 0, "/users/m0/connections?room=other"),
        404
    );
}

#[test]
fn a_kick_is_refused_if_a_node_that_may_have_them_does_not_answer() {
    let mut world = gathered(33, 2, &[0, 1]);
    world.nodes[1].stopped_until = world.clock + seconds(4);
    assert_eq!(delete(&mut world, 0, "/users/m1/connections"), 503);
    assert_eq!(delete(&mut world, 0, "/users/m0/connections"), 204);
    world.pass(seconds(8));
    assert_eq!(delete(&mut world, 0, "/users/nobody/connections"), 404);
}

#[test]
fn a_ban_puts_out_at_every_node_and_refuses_at_every_node_until_it_is_lifted_at_any() {
    let mut world = gathered(34, 4, &[0, 1, 2]);
    cut_off(&mut world, 2, 3);
    for user in ["m1", "m2"] {
        let body = json!({"reason": "noise", "seconds": 3_600});
        assert_eq!(ban(&mut world, 0, user, &body), 204);
    }
    world.until("are put out", |world| {
        world.members[1..]
            .iter()
            .all(|member| member.closed == Some(4006))
    });
    for member in &world.members[1..] {
        let told = &member.notices[0];
        assert_eq!(
            (&told["type"], &told["reason"]),
            (&json!("banned"), &json!("noise"))
        );
        assert!(told["until"].is_string(), "{told}");
    }
    world.pass(seconds(3));
    // One that was away knows, and one that starts later.
    let late = world.start_node();
    world.nodes.push(late);
    world.pass(seconds(3));
    for node in 0..5 {
        assert!(!is_let_in(&mut world, 1, node), "{node}");
        let bans = read(&mut world, node, "/bans");
        let names: Vec<&Value> = bans["bans"]
            .as_array()
            .expect("is a list")
            .iter()
            .map(|ban| &ban["username"])
            .collect();
        assert_eq!(names, [&json!("m1"), &json!("m2")], "{node}");
        let token = token(&world, "m1");
        let (head, _) = world.request(
            node,
            &format!("GET /rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"),
        );
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    }
    cut_off(&mut world, 0, 3);
    assert_eq!(delete(&mut world, 4, "/users/m1/ban"), 204);
    world.pass(seconds(8));
    for node in 0..5 {
        assert_eq!(delete(&mut world, node, "/users/m1/ban"), 404, "{node}");
        assert!(is_let_in(&mut world, 1, node), "{node}");
        assert!(!is_let_in(&mut world, 2, node), "{node}");
    }
    assert_eq!(world.members[0].closed, None);
}

/// The names of the bans that a node knows of which starts now: what the engine has told it.
fn bans_of_a_new_node(world: &mut World) -> Vec<String> {
    let late = world.start_node();
    world.nodes.push(late);
    world.pass(seconds(3));
    let node = world.nodes.len() - 1;
    let bans = read(world, node, "/bans");
    let bans = bans["bans"].as_array().expect("is a list");
    let names = bans.iter().map(|ban| ban["username"].as_str());
    let names = names.map(|name| name.expect("is a name").to_owned());
    let names = names.collect();
    // It would give them again as the others do.
    let mut late = world.nodes.pop().expect("is there");
    late.kill(&mut world.engine);
    world.pass(seconds(30));
    names
}

#[test]
fn a_ban_or_its_end_that_a_new_primary_never_had_is_given_to_it() {
    let mut world = gathered(35, 3, &[0]);
    let before = world.engine.snapshot();
    assert_eq!(ban(&mut world, 0, "kim", &json!({})), 204);
    world.engine.promote(before);
    world.pass(seconds(10));
    assert_eq!(bans_of_a_new_node(&mut world), ["kim"]);
    let before = world.engine.snapshot();
    assert_eq!(delete(&mut world, 1, "/users/kim/ban"), 204);
    world.engine.promote(before);
    world.pass(seconds(10));
    assert_eq!(bans_of_a_new_node(&mut world), Vec::<String>::new());
}

#[test]
fn bans_hold_after_the_engine_is_emptied_and_those_that_were_lifted_do_not() {
    let mut world = gathered(39, 3, &[0]);
    for name in ["kim", "lee"] {
        assert_eq!(ban(&mut world, 0, name, &json!({})), 204);
    }
    assert_eq!(delete(&mut world, 2, "/users/lee/ban"), 204);
    world.pass(seconds(1));
    world.engine.flush_all();
    world.pass(seconds(10));
    assert_eq!(bans_of_a_new_node(&mut world), ["kim"]);
}

#[test]
fn a_ban_from_a_room_holds_at_every_node_and_only_there() {
    let mut world = gathered(36, 3, &[0, 1]);
    let body = json!({"room": ROOM, "reason": "off topic"});
    assert_eq!(ban(&mut world, 2, "m1", &body), 204);
    world.until("has left", |world| !world.members[1].rooms[ROOM].is_in);
    assert_eq!(world.members[1].notices[0]["reason"], "off topic");
    assert_eq!(world.members[1].notices[0]["until"], Value::Null);
    leave(&mut world, 1);
    let clock = world.clock;
    world.members[1].connect(0, &mut world.nodes[0], clock);
    world.pass(seconds(1));
    world.act(1, |member, node, clock| member.join(ROOM, node, clock));
    world.until("is refused", |world| errors(world, 1, "forbidden") == 1);
    world.act(1, |member, node, clock| member.join("other", node, clock));
    world.until("is there", |world| world.members[1].rooms["other"].is_in);
    assert_eq!(
        delete(&mut world, 1, &format!("/users/m1/ban?room={ROOM}")),
        204
    );
    world.pass(seconds(1));
    world.act(1, |member, node, clock| member.join(ROOM, node, clock));
    world.until("is back", |world| world.members[1].rooms[ROOM].is_in);
}

#[test]
fn revoked_tokens_end_at_every_node() {
    let mut world = gathered(37, 3, &[0]);
    let kim = token(&world, "kim");
    let (_, ticket) = world.post(0, "/auth/ws-ticket", &kim, "");
    let ticket = ticket["ticket"].as_str().expect("is one").to_owned();
    let clock = world.clock;
    world.members[0].name = format!("kim&ticket={ticket}");
    leave(&mut world, 0);
    world.members[0].connect(1, &mut world.nodes[1], clock);
    world.pass(seconds(2));
    assert_eq!(world.members[0].welcomes, 2);
    let target = "/users/kim/revocations";
    assert_eq!(world.moderate(2, "POST", target, &json!({})).0, 204);
    world.until("is closed", |world| world.members[0].closed == Some(4002));
    world.pass(seconds(1));
    let later = token(&world, "kim");
    for node in 0..3 {
        for (token, status) in [(&kim, 401), (&later, 200)] {
            let (head, _) = world.post(node, "/auth/ws-ticket", token, "");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        }
    }
}

#[test]
fn people_of_all_nodes_are_read_in_pages_each_once() {
    let mut world = gathered(38, 3, &[0, 1, 2, 0, 1, 2, 0]);
    // One is at two nodes.
    world.members[6].name = "m1".into();
    leave(&mut world, 6);
    let clock = world.clock;
    world.members[6].connect(0, &mut world.nodes[0], clock);
    world.pass(seconds(2));
    for node in 0..3 {
        for limit in [1, 2, 3, 200] {
            let (mut names, mut after) = (Vec::new(), String::new());
            loop {
                let page = read(&mut world, node, &format!("/users?limit={limit}{after}"));
                let users = page["users"].as_array().expect("is a list");
                assert!(users.len() <= limit);
                for user in users {
                    names.push(user["username"].as_str().expect("is a name").to_owned());
                    let connections = if user["username"] == "m1" { 2 } else { 1 };
                    assert_eq!(user["connections"], connections, "{user}");
                    assert_eq!(user["rooms"], json!([ROOM]), "{user}");
                }
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => break,
                }
            }
            names.sort_unstable();
            assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5"], "{limit}");
        }
        let user = read(&mut world, node, "/users/m1");
        assert_eq!(
            (&user["connections"], &user["guest"]),
            (&json!(2), &json!(true))
        );
        let nobody = world.moderate(node, "GET", "/users/nobody", &Value::Null);
        assert_eq!(nobody.0, 404);
    }
}
