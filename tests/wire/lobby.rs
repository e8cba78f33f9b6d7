//! The room where people come in: made at the start, and kept while it is empty.

use serde_json::{Value, json};

use crate::support::{Server, sarang};

/// The names of the rooms of a server.
fn rooms(server: &Server) -> Vec<String> {
    let list = server.get("/rooms").json();
    let rooms = list["rooms"].as_array().expect("a list").iter();
    let names = rooms.map(|room| room["name"].as_str().expect("a name").to_owned());
    names.collect()
}

#[test]
fn the_demo_has_a_room_from_the_start_and_says_which() {
    let mut command = sarang();
    command.args(["--listen", "127.0.0.1:0"]);
    let server = Server::spawn(command);
    let entry = server.get("/auth").json();
    let expected = json!({"guests": true, "demo": true, "lobby": "사랑방"});
    assert_eq!(entry, expected);
    assert_eq!(rooms(&server), ["사랑방"]);
    let joined = server.guest("홍길동").join("사랑방");
    assert_eq!(joined["online_count"], 1);
}

#[test]
fn another_room_may_be_the_one_or_none() {
    let server = Server::start(&["--lobby", "tea"]);
    assert_eq!(server.get("/auth").json()["lobby"], "tea");
    assert_eq!(rooms(&server), ["tea"]);
    let server = Server::start(&["--lobby", ""]);
    assert_eq!(server.get("/auth").json()["lobby"], Value::Null);
    assert_eq!(rooms(&server), [""; 0]);
}

#[test]
fn it_is_there_where_joins_create_no_rooms_and_makes_way_for_no_other() {
    let server = Server::start(&["--lobby", "tea", "--no-auto-rooms", "--rooms", "1"]);
    let mut hong = server.guest("홍길동");
    hong.join("tea");
    hong.leave("tea");
    server
        .post("/rooms", r#"{"name":"other"}"#)
        .assert_error(503, "too_many_rooms");
    let server = Server::start(&["--lobby", "tea", "--rooms", "2"]);
    for room in ["a", "b", "c"] {
        let mut hong = server.guest("홍길동");
        hong.join(room);
        hong.leave(room);
        assert_eq!(rooms(&server), [room, "tea"]);
    }
}

#[test]
fn over_a_restart_it_keeps_what_was_said() {
    let path = format!(
        "{}/lobby-{}",
        env!("CARGO_TARGET_TMPDIR"),
        std::process::id()
    );
    _ = std::fs::remove_dir_all(&path);
    for expected in [0, 1] {
        let mut server = Server::start(&["--data", &path, "--lobby", "tea"]);
        let mut hong = server.guest("홍길동");
        let joined = hong.join("tea");
        let history = joined["history"].as_array().expect("a list");
        assert_eq!(history.len(), expected);
        assert_eq!(rooms(&server), ["tea"]);
        hong.say("tea", "안녕");
        server.stop();
    }
    _ = std::fs::remove_dir_all(&path);
}

#[test]
fn a_name_that_no_room_can_have_is_refused_at_the_start() {
    for name in [" tea", "..", "a\u{7}", &"x".repeat(65)] {
        let mut command = sarang();
        command.args(["--lobby", name]);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("--lobby"), "{said}");
    }
}
