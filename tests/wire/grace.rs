//! The time for which a member whose connections have closed is still one: nobody is told of a short cut.

use serde_json::json;

use crate::support::Server;

/// How long a client is away when its connection is cut.
const CUT: std::time::Duration = std::time::Duration::from_millis(150);

#[test]
fn three_short_cuts_tell_nobody_anything() {
    let server = Server::start(&[]);
    let mut kim = server.member("김철수", "tech");
    let mut hong = server.member("홍길동", "tech");
    kim.expect("user_joined");
    let mut seen = hong.say("tech", "하나");
    assert_eq!(kim.expect("chat"), seen);
    for n in 0..3 {
        hong.reset();
        std::thread::sleep(CUT);
        hong = server.guest("홍길동");
        let joined = hong.resume("tech", &seen["position"]);
        assert_eq!(
            (&joined["online_users"], &joined["online_count"]),
            (&json!(["김철수"]), &json!(2))
        );
        seen = hong.say("tech", &n.to_string());
        // The very next thing that is told.
        assert_eq!(kim.expect("chat"), seen);
    }
    kim.expect_no_news();
}

#[test]
fn the_seat_of_a_vanished_member_is_theirs_for_the_grace_and_free_when_they_have_left() {
    let server = Server::start(&["--presence-grace", "2"]);
    server.post("/rooms", r#"{"name":"작은 방","max_users":2}"#);
    let mut kim = server.member("김철수", "작은 방");
    let hong = server.member("홍길동", "작은 방");
    kim.expect("user_joined");
    let mut lee = server.guest("이영희");
    let join = json!({"type": "join", "room": "작은 방"});
    hong.reset();
    // The server has seen the reset when the name is nobody's to whisper to.
    let whisper = json!({"type": "whisper", "to": "홍길동", "content": "어디?"});
    loop {
        lee.send(whisper.clone());
        if lee.receive()["type"] == "error" {
            break;
        }
    }
    lee.refused(join.clone(), "room_full");
    let room = server.get("/rooms/작은%20방").json();
    assert_eq!(
        (&room["users"], &room["online_count"]),
        (&json!(2), &json!(2))
    );
    let mut back = server.guest("홍길동");
    back.join("작은 방");
    lee.refused(join, "room_full");
    kim.expect_no_news();
    back.reset();
    let left = json!({"type": "user_left", "room": "작은 방", "username": "홍길동"});
    assert_eq!(kim.expect("user_left"), left);
    lee.join("작은 방");
    assert_eq!(kim.expect("user_joined")["username"], "이영희");
}

#[test]
fn a_leave_is_told_at_once() {
    // Longer than this test waits for anything.
    let server = Server::start(&["--presence-grace", "600"]);
    let mut kim = server.member("김철수", "tech");
    let mut hong = server.member("홍길동", "tech");
    kim.expect("user_joined");
    hong.leave("tech");
    assert_eq!(kim.expect("user_left")["username"], "홍길동");
    assert_eq!(server.get("/rooms/tech").json()["users"], 1);
}

#[test]
fn without_a_grace_a_closed_connection_is_told_at_once() {
    let server = Server::start(&["--presence-grace", "0"]);
    let mut kim = server.member("김철수", "tech");
    for _ in 0..3 {
        let hong = server.member("홍길동", "tech");
        kim.expect("user_joined");
        hong.reset();
        assert_eq!(kim.expect("user_left")["username"], "홍길동");
    }
}

#[test]
fn a_drain_does_not_wait_for_a_grace() {
    let mut server = Server::start(&["--presence-grace", "600"]);
    let mut kim = server.member("김철수", "tech");
    server.member("홍길동", "tech").reset();
    kim.expect("user_joined");
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(kim.close_frame().0, 1001);
    drop(kim);
    assert!(server.exit_within(crate::support::PATIENCE).success());
}
