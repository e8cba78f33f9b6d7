//! Guests beside people who signed in: whose name is whose, for how long, and what names tell about accounts.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use sarang::config::{Config, GUEST_REFUSALS, GUEST_REFUSALS_REFILL, SIGNED_IN_NAME_HELD_FOR};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::{Credentials, Reload};
use sarang::domain::ids::ConnectionId;
use sarang::server::jobs::{Done, Job};
use sarang::wire::jwt::Key;
use serde_json::{Value, json};

use crate::world::{World, opening};

const HOME: [u8; 4] = [127, 0, 0, 1];
const SECOND: Duration = Duration::from_secs(1);

/// A server with a secret that a back end shares, and guests.
fn world() -> World {
    World::new(Config {
        secret_file: Some(PathBuf::from("secrets")),
        guests: true,
        ..Config::default()
    })
}

/// A ticket of a back end's user.
fn ticket(world: &mut World, name: &str) -> String {
    let exp = world.now.unix.as_secs() + 3_600;
    let key = Key::new(None, &[2; 32]).expect("is long enough");
    let token = key.sign(&json!({"sub": name, "exp": exp}));
    let id = world.connect();
    let request = format!(
        "POST /auth/ws-ticket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    );
    world.receive(id, request.as_bytes());
    world.turn();
    let answer = String::from_utf8(world.wire(id).bytes.clone()).expect("is text");
    let (_, body) = answer.split_once("\r\n\r\n").expect("has a body");
    let body: Value = serde_json::from_str(body).expect("is JSON");
    body["ticket"].as_str().expect("a ticket").to_owned()
}

/// What a request on a new connection from an address is answered: its head, and the connection.
fn ask(world: &mut World, from: [u8; 4], request: &str) -> (String, ConnectionId) {
    let id = world.connect_from(IpAddr::from(from));
    world.receive(id, request.as_bytes());
    world.turn();
    let bytes = std::mem::take(&mut world.wire(id).bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.expect("a head") + 4;
    world.wire(id).bytes = bytes[end..].to_vec();
    (String::from_utf8_lossy(&bytes[..end]).into_owned(), id)
}

/// A WebSocket of a user who signed in, after its welcome.
pub fn signed_in(world: &mut World, name: &str) -> ConnectionId {
    signed_in_from(world, HOME, name)
}

fn signed_in_from(world: &mut World, from: [u8; 4], name: &str) -> ConnectionId {
    let ticket = ticket(world, name);
    let request = opening("").replace("username=", &format!("ticket={ticket}"));
    let (_, id) = ask(world, from, &request);
    let told = world.told(id);
    assert_eq!(
        (&told[0]["type"], &told[0]["username"]),
        (&json!("welcome"), &json!(name))
    );
    id
}

/// What becomes of a guest from an address, who goes again at once: `welcome`, the code of a close frame, or the status
/// of a refusal.
fn enter(world: &mut World, from: [u8; 4], name: &str) -> String {
    let (head, id) = ask(world, from, &opening(name));
    let outcome = match &head[9..12] {
        "101" => match &world.told(id)[..] {
            [one] if one["type"] == "welcome" => "welcome".to_owned(),
            [one] => one["close"].to_string(),
            other => panic!("unexpected: {other:?}"),
        },
        status => {
            let mut lines = head.lines();
            let wait = lines.find_map(|line| line.strip_prefix("Retry-After: "));
            assert!(wait.is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|n| n > 0)));
            status.to_owned()
        }
    };
    world.server.closed(id, world.now);
    world.turn();
    outcome
}

fn leave(world: &mut World, id: ConnectionId) {
    world.end(id);
    world.turn();
}

/// What a client is told when it sends a message, without other events.
fn say(world: &mut World, id: ConnectionId, message: Value) -> Vec<Value> {
    world.say(id, message);
    world.turn();
    world.told(id)
}

fn whisper(to: &str, id: &str) -> Value {
    json!({"type": "whisper", "to": to, "content": "비밀", "id": id})
}

fn put_in_force(world: &mut World, accounts: &str) {
    world.server.reload();
    let Some((serial, Job::ReadCredentials(in_force))) = world.server.poll_job() else {
        panic!("the files are read");
    };
    let newer = Credentials {
        accounts: Accounts::parse(accounts, [1; 32]).expect("reads").into(),
        keys: vec![Key::new(None, &[2; 32]).expect("is long enough")],
        api_keys: ApiKeys::default(),
    };
    let done = Done::CredentialsRead(Ok(Box::new(Reload::new(newer, &in_force))));
    world.server.finished(serial, done, world.now);
    world.turn();
}

#[test]
fn the_name_of_somebody_who_signed_in_is_theirs_until_a_day_after_they_have_gone() {
    let mut world = world();
    assert_eq!(enter(&mut world, HOME, "boss"), "welcome");
    let [first, second] = [(), ()].map(|()| signed_in(&mut world, "boss"));
    for id in [first, second] {
        assert_eq!(enter(&mut world, HOME, "boss"), "4001");
        leave(&mut world, id);
    }
    world.pass(SIGNED_IN_NAME_HELD_FOR - SECOND);
    assert_eq!(enter(&mut world, HOME, "boss"), "4001");
    // They come again, and the day begins again when they go.
    let again = signed_in(&mut world, "boss");
    leave(&mut world, again);
    world.pass(SIGNED_IN_NAME_HELD_FOR - SECOND);
    assert_eq!(enter(&mut world, HOME, "boss"), "4001");
    assert_eq!(enter(&mut world, HOME, "bos"), "welcome");
    world.pass(SECOND);
    assert_eq!(enter(&mut world, HOME, "boss"), "welcome");
}

#[test]
fn who_signed_in_has_their_name_in_every_spelling() {
    let mut world = world();
    let guests = ["boss", "Boss", "ＢＯＳＳ"].map(|name| world.guest(name));
    let other = world.guest("boss2");
    let boss = signed_in(&mut world, "BOSS");
    for guest in guests {
        assert_eq!(world.told(guest), [json!({"close": 4001})]);
    }
    assert!(world.is_open(other));
    let spellings = ["boss", "BOSS", "Boss", "%EF%BC%A2oss"];
    for name in spellings {
        assert_eq!(enter(&mut world, HOME, name), "4001", "{name}");
    }
    // Somebody else whose name differs in spelling only may sign in, too.
    let second = signed_in(&mut world, "boss");
    for id in [second, boss] {
        leave(&mut world, id);
        assert_eq!(enter(&mut world, HOME, "Boss"), "4001");
    }
    world.pass(SIGNED_IN_NAME_HELD_FOR - SECOND);
    for name in spellings {
        assert_eq!(enter(&mut world, HOME, name), "4001", "{name}");
    }
    world.pass(SECOND);
    assert_eq!(enter(&mut world, HOME, "Boss"), "welcome");
}

#[test]
fn a_back_ends_user_is_one_however_the_token_composes_the_name() {
    let mut world = world();
    let kim = world.guest("kim");
    let ticket = ticket(&mut world, "\u{1112}\u{1169}\u{11bc}");
    let request = opening("").replace("username=", &format!("ticket={ticket}"));
    let (_, id) = ask(&mut world, HOME, &request);
    assert_eq!(world.told(id)[0]["username"], "홍");
    say(&mut world, kim, whisper("홍", "1"));
    assert_eq!(world.told(id)[0]["content"], "비밀");
    assert_eq!(enter(&mut world, HOME, "%ED%99%8D"), "4001");
}

#[test]
fn a_session_that_expires_leaves_its_name_held() {
    let mut world = world();
    let boss = signed_in(&mut world, "boss");
    for _ in 0..181 {
        assert!(world.is_open(boss));
        world.pass(20 * SECOND);
        world.say(boss, json!({"type": "room_list"}));
        world.turn();
    }
    assert_eq!(world.told(boss).last(), Some(&json!({"close": 4002})));
    assert!(!world.is_open(boss));
    assert_eq!(enter(&mut world, HOME, "boss"), "4001");
}

#[test]
fn who_only_watches_events_has_their_name_too() {
    let mut world = world();
    let guest = world.guest("boss");
    let ticket = ticket(&mut world, "boss");
    let request = format!("GET /sse/all?ticket={ticket} HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, stream) = ask(&mut world, HOME, &request);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(world.told(guest), [json!({"close": 4001})]);
    assert_eq!(enter(&mut world, HOME, "boss"), "4001");
    leave(&mut world, stream);
    assert_eq!(enter(&mut world, HOME, "boss"), "4001");
}

#[test]
fn the_name_of_a_removed_account_is_nobodys_for_a_day() {
    let mut world = World::new(Config::default());
    put_in_force(&mut world, "");
    world.pass(SIGNED_IN_NAME_HELD_FOR - SECOND);
    assert_eq!(enter(&mut world, HOME, "admin"), "4001");
    world.pass(SECOND);
    assert_eq!(enter(&mut world, HOME, "admin"), "welcome");
    // Another password is no removal: the account's name is refused as long as there is the account.
    put_in_force(&mut world, DEMO_ACCOUNTS);
    put_in_force(&mut world, &DEMO_ACCOUNTS.replace("$c2FyYW5n", "$c2FyYW5m"));
    world.pass(2 * SIGNED_IN_NAME_HELD_FOR);
    assert_eq!(enter(&mut world, HOME, "admin"), "4001");
}

#[test]
fn what_was_whispered_to_a_guest_was_not_whispered_to_the_account_of_that_name() {
    let mut world = world();
    let kim = world.guest("kim");
    let guest = world.guest("boss");
    let acknowledged = |told: &[Value]| told.iter().any(|one| one["type"] == "ack");
    assert!(acknowledged(&say(&mut world, kim, whisper("boss", "1"))));
    assert_eq!(world.told(guest)[0]["from"], "kim");
    let boss = signed_in(&mut world, "boss");
    assert_eq!(world.told(guest), [json!({"close": 4001})]);
    assert_eq!(world.told(boss), [json!(null); 0]);
    // The same to the other one is another whisper, and both are known afterwards.
    assert!(acknowledged(&say(&mut world, kim, whisper("boss", "1"))));
    assert_eq!(world.told(boss)[0]["content"], "비밀");
    let again = say(&mut world, kim, whisper("boss", "1"));
    assert_eq!(again, [json!({"type": "ack", "id": "1"})]);
    assert_eq!(world.told(boss), [json!(null); 0]);
    leave(&mut world, boss);
    let again = say(&mut world, kim, whisper("boss", "1"));
    assert_eq!(again, [json!({"type": "ack", "id": "1"})]);
    let absent = say(&mut world, kim, whisper("boss", "2"));
    assert_eq!(absent[0]["code"], "user_not_found");
}

#[test]
fn an_id_of_a_guest_is_not_acknowledged_for_the_account_of_that_name() {
    let mut world = world();
    let kim = world.member("kim", "r");
    let chat = json!({"type": "chat", "room": "r", "content": "hi", "id": "1"});
    let guest = world.member("boss", "r");
    say(&mut world, guest, chat.clone());
    let boss = signed_in(&mut world, "boss");
    say(&mut world, boss, json!({"type": "join", "room": "r"}));
    world.told(kim);
    say(&mut world, boss, chat);
    // The guest's is marked in history, and the other's nowhere.
    let told = world.told(kim);
    assert_eq!(
        (&told[0]["username"], &told[0]["guest"]),
        (&json!("boss"), &json!(null))
    );
    let third = world.guest("lee");
    let joined = say(&mut world, third, json!({"type": "join", "room": "r"}));
    let marks: Vec<&Value> = joined[0]["history"]
        .as_array()
        .expect("is a list")
        .iter()
        .map(|message| &message["guest"])
        .collect();
    assert_eq!(marks, [&json!(true), &json!(null)]);
}

#[test]
fn what_a_guest_says_is_marked_wherever_accounts_exist_and_not_in_the_demo() {
    for (mut world, mark) in [
        (world(), json!(true)),
        (World::new(Config::default()), json!(null)),
    ] {
        let [kim, lee] = ["kim", "lee"].map(|name| world.member(name, "r"));
        world.told(kim);
        say(
            &mut world,
            lee,
            json!({"type": "chat", "room": "r", "content": "hi"}),
        );
        say(&mut world, lee, whisper("kim", "1"));
        let told = world.told(kim);
        assert_eq!(
            (&told[0]["type"], &told[0]["guest"]),
            (&json!("chat"), &mark)
        );
        assert_eq!(
            (&told[1]["type"], &told[1]["guest"]),
            (&json!("whisper"), &mark)
        );
        let boss = signed_in(&mut world, "boss");
        say(&mut world, boss, whisper("kim", "1"));
        assert_eq!(world.told(kim)[0]["guest"], Value::Null);
    }
}

const ATTACKER: [u8; 4] = [192, 0, 2, 1];
const OTHER: [u8; 4] = [192, 0, 2, 2];

#[test]
fn an_address_that_tries_names_of_accounts_learns_no_more_of_them() {
    let mut world = world();
    let hash = DEMO_ACCOUNTS.trim().trim_start_matches("admin");
    let accounts: String = (0..1_000).map(|n| format!("u{n}{hash}\n")).collect();
    put_in_force(&mut world, &accounts);
    let mut answers = |from, names: &[String]| -> Vec<String> {
        let names = names.iter();
        names.map(|name| enter(&mut world, from, name)).collect()
    };
    let names: Vec<String> = (0..1_000).map(|n| format!("u{n}")).collect();
    let tried = answers(ATTACKER, &names);
    let (refused, silent) = tried.split_at(GUEST_REFUSALS as usize);
    assert!(refused.iter().all(|answer| answer == "4001"), "{refused:?}");
    assert!(silent.iter().all(|answer| answer == "429"), "{silent:?}");
    // A free name is answered in the same way, and nobody elsewhere is affected.
    let free = ["free".to_owned()];
    assert_eq!(answers(ATTACKER, &free), ["429"]);
    assert_eq!(answers(OTHER, &free), ["welcome"]);
    assert_eq!(answers(OTHER, &names[..1]), ["4001"]);
    signed_in_from(&mut world, ATTACKER, "boss");
    world.pass(GUEST_REFUSALS_REFILL - SECOND);
    assert_eq!(enter(&mut world, ATTACKER, "free"), "429");
    world.pass(SECOND);
    assert_eq!(enter(&mut world, ATTACKER, "free"), "welcome");
    assert_eq!(enter(&mut world, ATTACKER, "u7"), "4001");
    assert_eq!(enter(&mut world, ATTACKER, "u8"), "429");
}

#[test]
fn what_is_no_name_is_refused_and_costs_nothing() {
    let mut world = world();
    signed_in(&mut world, "boss");
    for _ in 0..2 * GUEST_REFUSALS {
        assert_eq!(enter(&mut world, ATTACKER, ""), "4001");
        assert_eq!(enter(&mut world, ATTACKER, "%07"), "4001");
    }
    assert_eq!(enter(&mut world, ATTACKER, "free"), "welcome");
    // The name of somebody who is here, or was, is refused like an account's.
    for _ in 0..GUEST_REFUSALS {
        assert_eq!(enter(&mut world, ATTACKER, "boss"), "4001");
    }
    assert_eq!(enter(&mut world, ATTACKER, "free"), "429");
}
