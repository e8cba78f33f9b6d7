//! Names, several connections of one user, whispers.

use serde_json::{Value, json};

use crate::support::chatter::names;
use crate::support::frames;
use crate::support::{Chatter, Server, percent_encoded};

const REFUSED: (u16, &str) = (4001, "유효하지 않은 티켓");

fn assert_refused(server: &Server, target: &str) {
    let (code, reason) = Chatter::open(server, target, &[]).close_frame();
    assert_eq!((code, reason.as_str()), REFUSED, "{target}");
}

#[test]
fn a_connection_without_a_name_or_a_ticket_is_refused() {
    let server = Server::start(&[]);
    for target in [
        "/ws",
        "/ws?",
        "/ws?username",
        "/ws?username=",
        "/ws?user=a",
        "/ws?ticket=",
        "/ws?ticket=made-up",
        "/ws?Username=a",
    ] {
        assert_refused(&server, target);
    }
}

#[test]
fn a_name_has_1_to_32_characters_and_no_control_characters() {
    let server = Server::start(&[]);
    for name in [
        "가".repeat(33),
        "a\nb".into(),
        "\0".into(),
        "a\u{7f}".into(),
    ] {
        assert_refused(&server, &format!("/ws?username={}", percent_encoded(&name)));
    }
    for name in ["가".repeat(32), "a".to_owned(), "홍 길동&=+%".to_owned()] {
        server.guest(&name);
    }
}

#[test]
fn the_name_of_an_account_is_not_for_guests() {
    let server = Server::start(&[]);
    assert_refused(&server, "/ws?username=admin");
    assert_refused(&server, "/ws?username=%61dmin");
}

#[test]
fn a_name_may_be_raw_or_percent_encoded_in_the_target() {
    let server = Server::start(&[]);
    for target in [
        "/ws?username=홍길동".to_owned(),
        format!("/ws?username={}", percent_encoded("홍길동")),
        "/ws?username=%ed%99%8d길동".to_owned(),
        "/ws?x=1&username=홍길동&y".to_owned(),
    ] {
        let mut http = server.connect();
        http.send(frames::opening(&target, &server.host(), ""));
        http.expect_upgrade();
        let welcome: Value =
            serde_json::from_slice(&http.frame().payload).expect("a welcome in JSON");
        assert_eq!(welcome["username"], "홍길동", "{target}");
    }
}

#[test]
fn the_same_user_comes_with_the_first_and_goes_with_the_last_connection() {
    let server = Server::start(&[]);
    let mut kim = server.member("김철수", "tech");
    let first = server.member("홍길동", "tech");
    assert_eq!(kim.expect("user_joined")["username"], "홍길동");
    let mut second = server.guest("홍길동");
    let joined = second.join("tech");
    assert_eq!(names(&joined["online_users"]), ["김철수"]);
    assert_eq!(joined["online_count"], 2);
    kim.expect_no_news();
    first.close();
    second.say("tech", "아직 있어요");
    kim.expect("chat");
    kim.expect_no_news();
    second.leave("tech");
    assert_eq!(kim.expect("user_left")["username"], "홍길동");
}

#[test]
fn every_connection_of_a_user_receives_the_rooms_messages() {
    let server = Server::start(&[]);
    let mut first = server.member("홍길동", "tech");
    let mut second = server.member("홍길동", "tech");
    let mut outside = server.guest("홍길동");
    let said = first.say("tech", "안녕");
    assert_eq!(second.expect("chat"), said);
    first.expect_no_news();
    second.expect_no_news();
    outside.expect_no_news();
}

#[test]
fn leaving_with_one_connection_leaves_the_others_inside() {
    let server = Server::start(&[]);
    let mut first = server.member("홍길동", "tech");
    let mut second = server.member("홍길동", "tech");
    first.leave("tech");
    second.say("tech", "나는 남았다");
    first.expect_no_news();
    first.refused(
        json!({"type": "chat", "room": "tech", "content": "나는?"}),
        "not_in_room",
    );
    assert_eq!(server.get("/rooms/tech").json()["users"], 1);
}

fn whisper(to: &str, content: &str) -> Value {
    json!({"type": "whisper", "to": to, "content": content})
}

#[test]
fn a_whisper_reaches_only_its_target_and_its_sender() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let mut kim = server.member("김철수", "tech");
    let mut lee = server.member("이영희", "tech");
    hong.expect("user_joined");
    hong.expect("user_joined");
    kim.expect("user_joined");
    hong.send(whisper("김철수", "비밀 메시지"));
    let echo = hong.expect("whisper");
    assert_eq!(echo["from"], "홍길동");
    assert_eq!(echo["to"], "김철수");
    assert_eq!(echo["content"], "비밀 메시지");
    let time = echo["timestamp"].as_str().unwrap_or_default();
    assert!(time.len() == 20 && time.ends_with('Z'), "{echo}");
    assert_eq!(kim.expect("whisper"), echo);
    lee.expect_no_news();
    hong.expect_no_news();
    kim.expect_no_news();
    let history = server.get("/rooms/tech/history").json();
    assert_eq!(
        history["messages"],
        json!([]),
        "a whisper is in the history"
    );
}

#[test]
fn a_whisper_needs_no_room_and_reaches_every_connection_of_its_target() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    let mut kims = [
        server.guest("김철수"),
        server.guest("김철수"),
        server.member("김철수", "tech"),
    ];
    hong.send(whisper("김철수", "모두에게"));
    hong.expect("whisper");
    for kim in &mut kims {
        assert_eq!(kim.expect("whisper")["content"], "모두에게");
        kim.expect_no_news();
    }
}

#[test]
fn a_whisper_to_oneself_comes_once_per_connection() {
    let server = Server::start(&[]);
    let mut first = server.guest("홍길동");
    let mut second = server.guest("홍길동");
    first.send(whisper("홍길동", "메모"));
    for connection in [&mut first, &mut second] {
        assert_eq!(connection.expect("whisper")["content"], "메모");
        connection.expect_no_news();
    }
}

#[test]
fn a_whisper_with_an_id_is_acknowledged_without_a_position() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    let mut kim = server.guest("김철수");
    hong.send(json!({"type": "whisper", "to": "김철수", "content": "a", "id": "w1"}));
    let news = hong.news();
    assert_eq!(news.len(), 2, "{news:?}");
    assert!(
        news.contains(&json!({"type": "ack", "id": "w1"})),
        "{news:?}"
    );
    let received = kim.expect("whisper");
    assert!(received.get("id").is_none(), "{received}");
}

#[test]
fn a_whisper_to_an_absent_user_is_refused() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    hong.refused(whisper("김철수", "있나요?"), "user_not_found");
    let kim = server.guest("김철수");
    hong.send(whisper("김철수", "있군요"));
    hong.expect("whisper");
    kim.close();
    hong.refused(whisper("김철수", "갔나요?"), "user_not_found");
}
