//! The list of rooms, watched: what changes in it is told.

use serde_json::{Value, json};

use crate::accounts::Folder;
use crate::support::http::JSON;
use crate::support::token::{bearer, minted};
use crate::support::{Chatter, Server, described};

/// Begins to watch; returns the list.
fn watch(chatter: &mut Chatter) -> Value {
    let question = json!({"type": "room_list", "watch": true});
    described::assert_command(&question);
    chatter.send(question);
    chatter.until("room_list")["rooms"].clone()
}

/// The number of users of a room as it is told next that has this number; everything that is told until then is about it.
fn until_users(chatter: &mut Chatter, room: &str, users: u64) -> Value {
    let is_it = |one: &Value| one["name"] == room && one["users"] == users;
    let told = chatter.until_match(|message| {
        let changed = message["changed"].as_array();
        message["type"] == "rooms" && changed.is_some_and(|all| all.iter().any(is_it))
    });
    let mut changed = told["changed"].as_array().expect("a list").iter();
    changed.find(|one| is_it(one)).expect("it is there").clone()
}

fn until_removed(chatter: &mut Chatter, room: &str) {
    chatter.until_match(|message| {
        let removed = message["removed"].as_array();
        message["type"] == "rooms" && removed.is_some_and(|all| all.iter().any(|one| one == room))
    });
}

#[test]
fn whoever_watches_is_told_of_new_rooms_of_who_is_in_them_and_of_those_that_are_gone() {
    let server = Server::start(&["--presence-grace", "0", "--rooms", "1"]);
    let mut hong = server.guest("홍길동");
    assert_eq!(watch(&mut hong), json!([]));
    let kim = server.member("김철수", "tech");
    let told = until_users(&mut hong, "tech", 1);
    let shown = server.get("/rooms").json()["rooms"][0].clone();
    assert_eq!(told, shown);
    kim.close();
    until_users(&mut hong, "tech", 0);
    // The next room takes its place.
    let _lee = server.member("이영희", "tea");
    until_users(&mut hong, "tea", 1);
}

#[test]
fn a_room_that_makes_way_is_told_as_gone() {
    let server = Server::start(&["--presence-grace", "0", "--rooms", "1"]);
    let mut hong = server.member("홍길동", "tech");
    hong.leave("tech");
    assert_eq!(watch(&mut hong)[0]["name"], "tech");
    let _kim = server.member("김철수", "tea");
    until_removed(&mut hong, "tech");
}

#[test]
fn a_room_that_a_moderator_changes_or_removes_is_told() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    watch(&mut hong);
    let login = server.post("/auth/login", r#"{"username":"admin","password":"secret"}"#);
    let token = login.json()["access_token"]
        .as_str()
        .expect("one")
        .to_owned();
    let fields = format!("{JSON}{}", bearer(&token));
    let mut http = server.connect();
    let body = json!({"max_users": 7}).to_string();
    let changed = http.send_with("PATCH", "/rooms/tech", &fields, body);
    assert_eq!(changed.status, 200, "{}", changed.text());
    hong.until_match(|message| {
        message["type"] == "rooms" && message["changed"][0]["max_users"] == 7
    });
    let mut http = server.connect();
    assert_eq!(http.request("DELETE", "/rooms/tech", &fields).status, 204);
    until_removed(&mut hong, "tech");
}

#[test]
fn messages_alone_are_not_told() {
    let server = Server::start(&["--presence-grace", "0", "--messages-per-second", "0"]);
    let mut hong = server.guest("홍길동");
    watch(&mut hong);
    let mut kim = server.member("김철수", "tech");
    until_users(&mut hong, "tech", 1);
    for n in 0..100 {
        kim.say("tech", &n.to_string());
    }
    kim.join("last");
    let told = hong.expect("rooms");
    assert_eq!(told["changed"][0]["name"], "last", "{told}");
    assert_eq!(told["changed"].as_array().map(Vec::len), Some(1), "{told}");
}

#[test]
fn whoever_has_stopped_or_never_asked_is_told_nothing() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    let mut witness = server.guest("증인");
    watch(&mut hong);
    watch(&mut witness);
    hong.send(json!({"type": "room_list", "watch": false}));
    hong.expect("room_list");
    let mut never = server.guest("이영희");
    let _kim = server.member("김철수", "tech");
    until_users(&mut witness, "tech", 1);
    hong.expect_no_news();
    never.expect_no_news();
    for wrong in [json!(1), json!("true"), json!([])] {
        hong.refused(json!({"type": "room_list", "watch": wrong}), "bad_request");
    }
}

#[test]
fn nobody_is_told_of_rooms_that_they_may_not_enter() {
    const SECRET: &str = "a secret of this test, long enough for HS256";
    let folder = Folder::new("watched-rooms");
    let secrets = folder.write("secrets", &format!("only:{SECRET}\n"));
    let server = folder.serve(&["--guests", "--secret-file", &secrets]);
    let token = minted(
        &json!({"sub": "kim", "exp": 4_000_000_000_u64, "rooms": ["team-*"]}),
        SECRET,
    );
    let ticket = server
        .connect()
        .request("POST", "/auth/ws-ticket", &bearer(&token));
    let ticket = ticket.json()["ticket"].as_str().expect("one").to_owned();
    let mut kim = Chatter::open(&server, &format!("/ws?ticket={ticket}"), &[]);
    kim.expect("welcome");
    watch(&mut kim);
    let mut witness = server.guest("증인");
    watch(&mut witness);
    let mut hong = server.guest("홍길동");
    hong.join("secret");
    until_users(&mut witness, "secret", 1);
    hong.join("team-a");
    let told = kim.expect("rooms");
    let names: Vec<&Value> = told["changed"].as_array().expect("a list").iter().collect();
    assert_eq!(names.len(), 1, "{told}");
    assert_eq!(names[0]["name"], "team-a");
}
