//! Presence: who is in a room, in small rooms and in rooms of hundreds.

use std::sync::MutexGuard;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::chatter::names;
use crate::support::{self, Chatter, Server};

fn crowd(server: &Server, names: impl Iterator<Item = usize>) -> Vec<Chatter> {
    names
        .map(|n| server.member(&format!("user {n}"), "광장"))
        .collect()
}

/// A server with a room for crowds, and the lock that lets one test at a time have a crowd.
fn large_room() -> (Server, MutexGuard<'static, ()>) {
    let alone = support::crowd();
    let server = Server::start(&[]);
    server.post("/rooms", r#"{"name":"광장","max_users":1000}"#);
    (server, alone)
}

#[test]
fn up_to_200_users_everyone_is_told_of_everyone() {
    let (server, _alone) = large_room();
    let mut first = server.member("user 1", "광장");
    let mut others = crowd(&server, 2..=200);
    for n in 2..=200 {
        let told = first.expect("user_joined");
        assert_eq!(told["username"], format!("user {n}"));
    }
    let joined = {
        others.pop();
        assert_eq!(first.expect("user_left")["username"], "user 200");
        server.guest("user 200").join("광장")
    };
    let mut expected: Vec<String> = (1..=199).map(|n| format!("user {n}")).collect();
    expected.sort_unstable();
    assert_eq!(names(&joined["online_users"]), expected);
    assert_eq!(joined["online_count"], 200);
}

#[test]
fn over_200_users_a_room_tells_its_number() {
    let (server, _alone) = large_room();
    let mut first = server.member("user 1", "광장");
    let _crowd = crowd(&server, 2..=200);
    let started = Instant::now();
    let mut joined = Value::Null;
    let mut late = Vec::new();
    for n in 201..=230 {
        let mut guest = server.guest(&format!("user {n}"));
        joined = guest.join("광장");
        late.push(guest);
    }
    let list = names(&joined["online_users"]);
    assert_eq!(list.len(), 200);
    assert!(!list.contains(&"user 230"), "the others are named");
    assert!(list.windows(2).all(|two| two[0] != two[1]), "named twice");
    assert_eq!(joined["online_count"], 230);
    let mut counts = 0;
    loop {
        let news = first
            .until_match(|news| news["type"] == "room_users" || news["username"] == "user 201");
        assert_eq!(news["type"], "room_users", "user 201 was told of by name");
        assert_eq!(news["room"], "광장");
        counts += 1;
        if news["count"] == 230 {
            break;
        }
    }
    // At most one at the start and one for each second that passed.
    let seconds = started.elapsed().as_secs();
    assert!(counts <= seconds + 2, "{counts} in {seconds} s");
    let room = server.get("/rooms/광장").json();
    assert_eq!(room["users"], 230);
    assert_eq!(room["online_count"], 230);
    assert_eq!(room["online_users"].as_array().map(Vec::len), Some(200));
}

#[test]
fn when_a_crowd_leaves_its_number_is_announced_and_names_return() {
    let (server, _alone) = large_room();
    let mut first = server.member("user 1", "광장");
    let mut crowd = crowd(&server, 2..=220);
    first.until_match(|news| news["type"] == "room_users" && news["count"] == 220);
    let last = crowd.remove(0);
    crowd.truncate(150);
    while server.get("/rooms/광장").json()["users"] != 152 {
        std::thread::yield_now();
    }
    // Every announcement until now, of names or numbers, has been read.
    first.news();
    last.close();
    let told = first.until_match(|news| news["type"] != "room_users");
    assert_eq!(
        told,
        json!({"type": "user_left", "room": "광장", "username": "user 2"})
    );
}

#[test]
fn a_crowd_receives_every_message_once_and_in_order() {
    let (server, _alone) = large_room();
    let mut crowd = crowd(&server, 1..=250);
    for n in 0..5 {
        crowd[n].send(json!({"type": "chat", "room": "광장", "content": n.to_string()}));
        crowd[n].until("chat");
        for other in (0..250).filter(|other| *other != n) {
            let heard = crowd[other].until("chat");
            assert_eq!(heard["content"], n.to_string());
        }
    }
}
