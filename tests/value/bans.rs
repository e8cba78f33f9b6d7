//! Who is put out, by a kick, a ban or a revocation, and how they might try to come back.

use std::time::Duration;

use sarang::config::{BANS_MAX, CLOSE_REASON_BYTES_MAX, Config};
use sarang::domain::ids::ConnectionId;
use sarang::wire::jwt::Key;
use serde_json::{Value, json};

use crate::client::{bearer, enter, login, request, ticket};
use crate::desk::{answer, ask, ask_disk, begin, closing, code, status, told_of};
use crate::late::{chat, kinds};
use crate::stored::Stored;
use crate::world::{World, opening};

const PUT_OUT: u16 = 4006;

/// A token of another back end, for somebody who is no moderator.
fn token(world: &World, name: &str) -> String {
    let key = Key::new(None, &[2; 32]).expect("is long enough");
    let iat = world.now.unix.as_secs();
    key.sign(&json!({"sub": name, "iat": iat, "exp": iat + 1_000_000}))
}

/// Somebody who is signed in, and in a room.
fn account(world: &mut World, name: &str, room: &str) -> ConnectionId {
    let token = token(world, name);
    let (status, ticket) = ticket(world, &token);
    assert_eq!(status, 200);
    let (id, welcome) = enter(world, &ticket);
    assert_eq!(welcome["username"], name);
    world.say(id, join(room));
    world.turn();
    assert_eq!(told_of(world, id, &["room_joined"]).len(), 1);
    id
}

fn join(room: &str) -> Value {
    json!({"type": "join", "room": room})
}

/// A handshake with this target's query: what it is told before it is closed, with the code and the reason.
fn refused(world: &mut World, query: &str) -> (Vec<Value>, u16, String) {
    let id = world.connect();
    let head = opening("x").replace("username=x", query);
    world.receive(id, head.as_bytes());
    world.turn();
    let bytes = &mut world.wire(id).bytes;
    assert!(
        bytes.starts_with(b"HTTP/1.1 101 "),
        "the handshake completes"
    );
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    bytes.drain(..end.expect("is whole") + 4);
    closing(world, id)
}

fn ban(world: &mut World, name: &str, how: Value) {
    let target = format!("/users/{name}/ban");
    let (status, body) = ask(world, "PUT", &target, how);
    assert_eq!(status, 204, "{body}");
}

/// The time of a text, as the server writes it, so many seconds after now.
fn later(world: &World, secs: u64) -> Value {
    let at = sarang::domain::time::Timestamp::from_secs(world.now.unix.as_secs() + secs);
    serde_json::to_value(at).expect("a text")
}

#[test]
fn a_kick_closes_every_connection_in_every_spelling_and_says_why() {
    let mut world = World::new(Config::default());
    let kims = ["kim", "kim", "Kim"].map(|name| world.member(name, "r"));
    let lee = world.member("lee", "r");
    let long = "가".repeat(200);
    let target = format!("/users/KIM/connections?reason={long}");
    assert_eq!(status(&mut world, "DELETE", &target), 204);
    for id in kims {
        let (told, code, reason) = closing(&mut world, id);
        assert_eq!(
            told.last(),
            Some(&json!({"type": "kicked", "reason": long}))
        );
        assert_eq!(code, PUT_OUT);
        assert!(long.starts_with(&reason) && reason.len() + 3 > CLOSE_REASON_BYTES_MAX);
    }
    let left = told_of(&mut world, lee, &["user_left"]);
    assert_eq!(left.len(), 2, "at once, without a grace: {left:?}");
    assert_eq!(status(&mut world, "DELETE", &target), 404);
    // They may come back.
    world.member("kim", "r");
    assert_eq!(status(&mut world, "DELETE", "/users/kim/connections"), 204);
    assert_eq!(status(&mut world, "DELETE", "/users/kim/connections"), 404);
}

#[test]
fn a_kick_from_a_room_leaves_the_connections_and_the_other_rooms() {
    let mut world = World::new(Config::default());
    let kims = ["kim", "Kim"].map(|name| world.member(name, "r"));
    world.say(kims[0], join("s"));
    world.turn();
    world.told(kims[0]);
    let lee = world.member("lee", "r");
    let target = "/users/kim/connections?room=r&reason=noise";
    assert_eq!(status(&mut world, "DELETE", target), 204);
    for id in kims {
        let left = json!({"type": "room_left", "room": "r", "reason": "noise"});
        assert_eq!(told_of(&mut world, id, &["room_left"]), [left]);
        world.say(id, json!({"type": "chat", "room": "r", "content": "x"}));
        world.turn();
        assert_eq!(kinds(&world.told(id)), ["not_in_room"]);
    }
    assert_eq!(told_of(&mut world, lee, &["user_left"]).len(), 2);
    world.say(
        kims[0],
        json!({"type": "chat", "room": "s", "content": "x"}),
    );
    world.turn();
    assert_eq!(kinds(&world.told(kims[0])), ["chat"]);
    for absent in [target, "/users/kim/connections?room=none"] {
        assert_eq!(status(&mut world, "DELETE", absent), 404, "{absent}");
    }
}

#[test]
fn a_ban_from_everywhere_keeps_every_spelling_guests_and_accounts_out_until_it_ends() {
    let mut world = World::new(Config {
        presence_grace: Duration::from_secs(30),
        ..Config::default()
    });
    let guest = world.member("KIM", "r");
    let lee = world.member("lee", "r");
    let until = later(&world, 60);
    ban(&mut world, "kim", json!({"seconds": 60, "reason": "noise"}));
    let banned = json!({"type": "banned", "reason": "noise", "until": until});
    let (told, code, reason) = closing(&mut world, guest);
    assert_eq!(
        (told.last(), code, &*reason),
        (Some(&banned), PUT_OUT, "noise")
    );
    assert_eq!(
        told_of(&mut world, lee, &["user_left"]).len(),
        1,
        "without a grace"
    );
    let token = token(&world, "kim");
    for secs in [0, 59] {
        world.pass(Duration::from_secs(secs));
        for query in [
            "username=kim",
            "username=Kim",
            "username=%EF%BC%AB%EF%BC%A9%EF%BC%AD",
        ] {
            let expected = (vec![banned.clone()], PUT_OUT, "noise".to_owned());
            assert_eq!(refused(&mut world, query), expected, "{query}");
        }
        let (got, ticket) = ticket(&mut world, &token);
        assert_eq!(got, 200);
        let query = format!("ticket={ticket}");
        assert_eq!(refused(&mut world, &query).1, PUT_OUT);
    }
    world.pass(Duration::from_secs(1));
    account(&mut world, "kim", "r");
    assert_eq!(
        status(&mut world, "DELETE", "/users/kim/ban"),
        404,
        "it is over"
    );
}

#[test]
fn a_ban_ends_streams_and_requests_of_the_account_and_is_lifted() {
    let mut world = World::new(Config {
        users: Some("users".into()),
        ..Config::default()
    });
    let token = token(&world, "kim");
    let stream = world.connect();
    let head = format!("GET /sse/all HTTP/1.1\r\nHost: x\r\n{}\r\n", bearer(&token));
    world.receive(stream, head.as_bytes());
    world.turn();
    assert!(world.wire(stream).bytes.starts_with(b"HTTP/1.1 200 "));
    let (_, kept) = ticket(&mut world, &token);
    ban(&mut world, "Kim", json!({}));
    assert!(world.wire(stream).is_shut);
    for target in ["/rooms", "/sse/all", "/rooms/r/history"] {
        let (status, body) = request(&mut world, "GET", target, &bearer(&token), "");
        assert_eq!((status, code(&body)), (403, "forbidden"), "{target}");
    }
    // A ticket of before is no way round, and a ban without an end and a reason is one.
    let banned = json!({"type": "banned", "reason": "banned", "until": null});
    let expected = (vec![banned], PUT_OUT, "banned".to_owned());
    assert_eq!(refused(&mut world, &format!("ticket={kept}")), expected);
    assert_eq!(status(&mut world, "DELETE", "/users/KIM/ban"), 204);
    assert_eq!(status(&mut world, "DELETE", "/users/KIM/ban"), 404);
    assert_eq!(
        request(&mut world, "GET", "/rooms", &bearer(&token), "").0,
        200
    );
    account(&mut world, "kim", "r");
}

#[test]
fn who_is_banned_from_a_room_is_told_why_and_until_when_and_is_welcome_elsewhere() {
    let mut world = World::new(Config::default());
    let kims = ["kim", "Kim"].map(|name| world.member(name, "방"));
    let until = later(&world, 20);
    let how = json!({"room": "\u{1107}\u{1161}\u{11bc}", "seconds": 20, "reason": "noise"});
    ban(&mut world, "kim", how.clone());
    for id in kims {
        let left = json!({"type": "room_left", "room": "방", "reason": "noise", "until": until});
        assert_eq!(told_of(&mut world, id, &["room_left"]), [left]);
        for room in ["방", "\u{1107}\u{1161}\u{11bc}"] {
            world.say(
                id,
                json!({"type": "join", "room": room, "since": "x", "id": "1"}),
            );
            world.turn();
            let told = world.told(id).remove(0);
            assert_eq!(
                (&told["code"], &told["id"]),
                (&json!("forbidden"), &json!("1"))
            );
            assert_eq!((&told["reason"], &told["until"]), (&json!("noise"), &until));
        }
        world.say(id, join("other"));
        world.turn();
        assert_eq!(told_of(&mut world, id, &["room_joined"]).len(), 1);
    }
    // Before the room is opened again too, and as somebody who signed in.
    assert_eq!(status(&mut world, "DELETE", "/rooms/%EB%B0%A9"), 204);
    let token = token(&world, "KIM");
    let (_, ticket) = ticket(&mut world, &token);
    let (id, _) = enter(&mut world, &ticket);
    world.say(id, join("방"));
    world.turn();
    assert_eq!(kinds(&world.told(id)), ["forbidden"]);
    world.pass(Duration::from_secs(20));
    world.say(id, join("방"));
    world.turn();
    assert_eq!(told_of(&mut world, id, &["room_joined"]).len(), 1);
    ban(&mut world, "kim", how);
    let one = "/users/kim/ban?room=%EB%B0%A9";
    assert_eq!(
        status(&mut world, "DELETE", "/users/kim/ban"),
        404,
        "that is another ban"
    );
    assert_eq!(status(&mut world, "DELETE", one), 204);
    world.say(id, join("방"));
    world.turn();
    assert_eq!(told_of(&mut world, id, &["room_joined"]).len(), 1);
}

#[test]
fn a_ban_while_a_join_waits_for_the_disk_is_no_way_in() {
    let mut stored = Stored::new(Config::default());
    let a = stored.world.guest("a");
    stored.say(a, join("r"));
    let (serial, job) = stored.batch().expect("the room is opened");
    let banned = begin(
        &mut stored.world,
        "PUT",
        "/users/a/ban",
        &json!({"room": "r"}),
    );
    stored.commit_one(serial, job);
    assert_eq!(kinds(&stored.world.told(a)), ["forbidden"]);
    stored.commit();
    assert_eq!(
        answer(&mut stored.world, banned).expect("is answered").0,
        204
    );
}

#[test]
fn a_moderator_is_not_kept_out_and_a_ban_may_be_of_somebody_who_is_not_here() {
    let mut world = World::new(Config::default());
    let token = login(&mut world);
    ban(&mut world, "admin", json!({}));
    ban(&mut world, "admin", json!({"room": "r"}));
    let (_, ticket) = ticket(&mut world, &token);
    let (id, welcome) = enter(&mut world, &ticket);
    assert_eq!(welcome["admin"], true);
    world.say(id, join("r"));
    world.turn();
    assert_eq!(kinds(&world.told(id)), ["room_joined"]);
    // Not as a guest.
    assert_eq!(refused(&mut world, "username=Admin").1, PUT_OUT);
}

#[test]
fn bans_are_answered_when_they_are_on_disk_and_outlive_the_server_with_their_ends() {
    let mut stored = Stored::new(Config::default());
    let [_] = stored.members(["kim"], "r");
    let until = later(&stored.world, 60);
    for (name, how) in [
        ("kim", json!({"seconds": 60, "reason": "noise"})),
        ("lee", json!({"room": "r"})),
        ("choi", json!({})),
    ] {
        let target = format!("/users/{name}/ban");
        assert_eq!(ask_disk(&mut stored, "PUT", &target, how).0, 204);
    }
    assert_eq!(
        ask_disk(&mut stored, "DELETE", "/users/choi/ban", Value::Null).0,
        204
    );
    stored.restart();
    stored.world.guest("choi");
    let [_] = stored.members(["park"], "r");
    let lee = stored.world.guest("lee");
    stored.say(lee, join("r"));
    assert_eq!(kinds(&stored.world.told(lee)), ["forbidden"]);
    let (told, ..) = refused(&mut stored.world, "username=Kim");
    assert_eq!(
        told,
        [json!({"type": "banned", "reason": "noise", "until": until})]
    );
    let list = ask(&mut stored.world, "GET", "/bans", Value::Null).1;
    let bans = list["bans"].as_array().expect("a list");
    assert_eq!((bans.len(), &bans[0]["by"]), (2, &json!("key:shop")));
    stored.world.pass(Duration::from_secs(60));
    stored.world.guest("kim");
}

#[test]
fn a_ban_that_a_failing_disk_has_not_kept_holds_and_is_safe_to_ask_for_again() {
    let mut stored = Stored::new(Config::default());
    let [kim] = stored.members(["kim"], "r");
    stored.say(kim, chat("r", "1", "1"));
    let asked = begin(&mut stored.world, "PUT", "/users/kim/ban", &json!({}));
    stored.fail(false);
    let (refused_with, body) = answer(&mut stored.world, asked).expect("is answered");
    assert_eq!((refused_with, code(&body)), (503, "storage_unavailable"));
    assert_eq!(refused(&mut stored.world, "username=kim").1, PUT_OUT);
    stored.world.pass(sarang::config::STORE_RETRY);
    stored.commit();
    assert_eq!(
        ask_disk(&mut stored, "PUT", "/users/kim/ban", json!({})).0,
        204
    );
    stored.restart();
    assert_eq!(refused(&mut stored.world, "username=kim").1, PUT_OUT);
}

#[test]
fn tokens_of_a_user_are_revoked_and_newer_ones_are_good() {
    let mut world = World::new(Config {
        users: Some("users".into()),
        ..Config::default()
    });
    let kim = account(&mut world, "kim", "r");
    let lee = account(&mut world, "lee", "r");
    let old = token(&world, "kim");
    let revoked = ask(&mut world, "POST", "/users/kim/revocations", Value::Null);
    assert_eq!(revoked.0, 204);
    assert_eq!(closing(&mut world, kim).1, 4002);
    assert!(world.is_open(lee));
    assert_eq!(
        request(&mut world, "GET", "/rooms", &bearer(&old), "").0,
        401
    );
    world.pass(Duration::from_secs(2));
    let newer = token(&world, "kim");
    assert_eq!(
        request(&mut world, "GET", "/rooms", &bearer(&newer), "").0,
        200
    );
}

#[test]
fn pages_of_users_and_of_bans_have_each_once_and_end() {
    let mut world = World::new(Config::default());
    let names: Vec<String> = (0..7).map(|n| format!("user{n}")).collect();
    for name in &names {
        world.member(name, "r");
        ban(&mut world, name, json!({"room": "s"}));
        ban(&mut world, &format!("not{name}"), json!({}));
    }
    let pages = |world: &mut World, list: &str, limit: usize| {
        let (mut found, mut after) = (Vec::new(), String::new());
        for _ in 0..99 {
            let target = format!("/{list}?limit={limit}{after}");
            let page = ask(world, "GET", &target, Value::Null).1;
            let items = page[list].as_array().expect("a list");
            assert!(items.len() <= limit && !items.is_empty());
            found.extend(items.iter().map(|one| one["username"].to_string()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", next.replace('\n', "%0A")),
                None => return found,
            }
        }
        panic!("there is no end")
    };
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    for limit in [1, 3, 7, 50] {
        assert_eq!(pages(&mut world, "users", limit), quoted, "{limit}");
        let bans = pages(&mut world, "bans", limit);
        assert_eq!((bans.len(), bans.is_sorted()), (14, true), "{limit}");
    }
    let kim = ask(&mut world, "GET", "/users/user3", Value::Null).1;
    assert_eq!(
        (&kim["rooms"], &kim["connections"], &kim["guest"]),
        (&json!(["r"]), &json!(1), &json!(true))
    );
    assert_eq!(kim["since"], later(&world, 0));
    assert_eq!(status(&mut world, "GET", "/users/nobody"), 404);
}

#[test]
fn only_so_many_are_banned_at_a_time() {
    let mut world = World::new(Config::default());
    for n in 0..BANS_MAX {
        ban(&mut world, &format!("u{n}"), json!({}));
    }
    let (refused, body) = ask(&mut world, "PUT", "/users/more/ban", json!({}));
    assert_eq!((refused, code(&body)), (503, "unavailable"));
    ban(&mut world, "u7", json!({"seconds": 1}));
}
