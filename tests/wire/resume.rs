//! Positions, resuming, acknowledgements, duplicates.

use serde_json::{Value, json};

use crate::support::chatter::{contents, position_parts};
use crate::support::{Chatter, Server};

#[test]
fn exactly_the_missed_messages_come_after_a_break() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let mut kim = server.member("김철수", "tech");
    let last = kim.say("tech", "들은 것");
    kim.reset();
    let missed: Vec<Value> = ["하나", "둘", "셋"]
        .into_iter()
        .map(|content| hong.say("tech", content))
        .collect();
    let mut kim = server.guest("김철수");
    let resumed = kim.resume("tech", &last["position"]);
    assert_eq!(resumed["history"], json!(missed));
    assert_eq!(resumed["recovered"], true);
    assert_eq!(resumed["position"], missed[2]["position"]);
    hong.say("tech", "넷");
    assert_eq!(kim.expect("chat")["content"], "넷");
}

#[test]
fn more_than_50_missed_messages_come_too_as_long_as_they_are_kept() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let first = hong.say("tech", "0");
    for n in 1..=70 {
        hong.say("tech", &n.to_string());
    }
    let resumed = server.guest("김철수").resume("tech", &first["position"]);
    let recovered = resumed["recovered"] == true;
    let start = if recovered { 1 } else { 21 };
    let expected: Vec<String> = (start..=70).map(|n| n.to_string()).collect();
    assert_eq!(contents(&resumed["history"]), expected);
}

#[test]
fn a_member_that_missed_nothing_gets_nothing() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let last = hong.say("tech", "하나");
    hong.leave("tech");
    let resumed = hong.resume("tech", &last["position"]);
    assert_eq!(resumed["history"], json!([]));
    assert_eq!(resumed["recovered"], true);
    assert_eq!(resumed["position"], last["position"]);
}

#[test]
fn a_join_that_saw_no_message_can_be_resumed() {
    let server = Server::start(&[]);
    let mut kim = server.guest("김철수");
    let joined = kim.join("tech");
    kim.leave("tech");
    let resumed = kim.resume("tech", &joined["position"]);
    assert_eq!(resumed["history"], json!([]));
    assert_eq!(resumed["recovered"], true);
    kim.leave("tech");
    let mut hong = server.member("홍길동", "tech");
    hong.say("tech", "하나");
    hong.say("tech", "둘");
    let resumed = kim.resume("tech", &joined["position"]);
    assert_eq!(contents(&resumed["history"]), ["하나", "둘"]);
    assert_eq!(resumed["recovered"], true);
}

#[test]
fn a_member_alone_can_resume_too() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let first = hong.say("tech", "하나");
    let second = hong.say("tech", "둘");
    hong.close();
    let resumed = server.guest("홍길동").resume("tech", &first["position"]);
    assert_eq!(resumed["history"], json!([second]));
    assert_eq!(resumed["recovered"], true);
}

#[test]
fn an_unknown_position_is_not_recovered() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let last = hong.say("tech", "하나");
    let (epoch, sequence) = position_parts(&last["position"]);
    assert_eq!(epoch.len(), 16, "{epoch}");
    for (why, since) in [
        ("another epoch", format!("ffffffffffffffff:{sequence}")),
        ("a future sequence", format!("{epoch}:{}", sequence + 1)),
        ("a far future", format!("{epoch}:{}", u64::MAX)),
    ] {
        let resumed = server.guest("김철수").resume("tech", &json!(since));
        assert_eq!(contents(&resumed["history"]), ["하나"], "{why}");
        assert_eq!(resumed["recovered"], false, "{why}");
        assert_eq!(resumed["position"], last["position"], "{why}");
    }
}

#[test]
fn a_member_away_too_long_gets_the_last_50() {
    let server = Server::start(&["--messages-per-second", "0"]);
    let mut hong = server.member("홍길동", "tech");
    let first = hong.say("tech", "1");
    for n in 2..=3000 {
        hong.say("tech", &n.to_string());
    }
    let resumed = server.guest("김철수").resume("tech", &first["position"]);
    let expected: Vec<String> = (2951..=3000).map(|n| n.to_string()).collect();
    assert_eq!(contents(&resumed["history"]), expected);
    assert_eq!(resumed["recovered"], false);
}

#[test]
fn a_position_of_before_a_restart_is_not_recovered() {
    let position = {
        let server = Server::start(&[]);
        server.member("홍길동", "tech").say("tech", "옛날")["position"].clone()
    };
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.say("tech", "요즘");
    let resumed = server.guest("김철수").resume("tech", &position);
    assert_eq!(contents(&resumed["history"]), ["요즘"]);
    assert_eq!(resumed["recovered"], false);
}

#[test]
fn a_since_that_is_not_a_position_does_no_harm() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.say("tech", "하나");
    for since in ["", ":", "x", "a:b:c", "0123456789abcdef", "e:-1"] {
        let mut kim = server.guest("김철수");
        kim.send(json!({"type": "join", "room": "tech", "since": since}));
        let answer = kim.receive();
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "bad_request", "{since:?}");
        } else {
            assert_eq!(answer["recovered"], false, "{since:?}");
            assert_eq!(contents(&answer["history"]), ["하나"], "{since:?}");
        }
    }
    let mut kim = server.guest("김철수");
    kim.send(json!({"type": "join", "room": "tech", "since": 5}));
    kim.expect_error("bad_request");
}

fn chat(id: &str, content: &str) -> Value {
    json!({"type": "chat", "room": "tech", "content": content, "id": id})
}

/// The ack and the chat of the client's own message, which come in either order.
fn ack_and_chat(member: &mut Chatter) -> (Value, Value) {
    let mut two = [member.receive(), member.receive()];
    if two[0]["type"] == "chat" {
        two.reverse();
    }
    let [ack, chat] = two;
    assert_eq!(ack["type"], "ack", "{ack} {chat}");
    assert_eq!(chat["type"], "chat", "{ack} {chat}");
    (ack, chat)
}

#[test]
fn a_chat_with_an_id_is_acknowledged_with_its_position() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let mut kim = server.member("김철수", "tech");
    hong.expect("user_joined");
    hong.send(chat("첫 번째", "안녕"));
    let (ack, chat) = ack_and_chat(&mut hong);
    assert_eq!(
        ack,
        json!({"type": "ack", "id": "첫 번째", "position": chat["position"]})
    );
    assert!(chat.get("id").is_none(), "{chat}");
    assert_eq!(kim.expect("chat"), chat);
    kim.expect_no_news();
    hong.expect_no_news();
}

#[test]
fn a_chat_without_an_id_is_not_acknowledged() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.send(json!({"type": "chat", "room": "tech", "content": "안녕"}));
    hong.expect("chat");
    hong.expect_no_news();
}

#[test]
fn the_same_id_is_acknowledged_again_and_not_sent_twice() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.send(chat("1", "안녕"));
    let (first, _) = ack_and_chat(&mut hong);
    hong.say("tech", "다른 말");
    hong.send(chat("1", "안녕"));
    assert_eq!(hong.expect("ack"), first);
    hong.send(chat("2", "안녕"));
    let (second, _) = ack_and_chat(&mut hong);
    assert_ne!(second["position"], first["position"]);
    hong.expect_no_news();
    assert_eq!(server.get("/rooms/tech").json()["messages"], 3);
}

#[test]
fn the_same_id_twice_in_one_packet_is_sent_once() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    for _ in 0..2 {
        let text = chat("1", "안녕").to_string();
        hong.socket
            .write(tungstenite::Message::text(text))
            .expect("both messages fit the buffer");
    }
    hong.socket.flush().expect("one packet goes out");
    let news = hong.news();
    let kinds = |kind: &str| news.iter().filter(|one| one["type"] == kind).count();
    assert_eq!((kinds("ack"), kinds("chat")), (2, 1), "{news:?}");
}

#[test]
fn an_id_is_remembered_across_a_reconnect() {
    let server = Server::start(&[]);
    let mut kim = server.member("김철수", "tech");
    let mut hong = server.member("홍길동", "tech");
    hong.send(chat("1", "안녕"));
    let (first, said) = ack_and_chat(&mut hong);
    hong.reset();
    kim.until("user_left");
    let mut hong = server.guest("홍길동");
    let joined = hong.resume("tech", &first["position"]);
    assert_eq!(joined["history"], json!([]));
    hong.send(chat("1", "안녕"));
    assert_eq!(hong.expect("ack"), first);
    let news = kim.news();
    assert!(news.iter().all(|one| one["type"] != "chat"), "{news:?}");
    assert_eq!(
        server.get("/rooms/tech/history").json()["messages"],
        json!([said])
    );
}

#[test]
fn ids_of_two_users_are_independent() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.send(chat("1", "홍의 말"));
    let (hongs, _) = ack_and_chat(&mut hong);
    let mut kim = server.member("김철수", "tech");
    kim.send(chat("1", "김의 말"));
    let (kims, said) = ack_and_chat(&mut kim);
    assert_ne!(kims["position"], hongs["position"]);
    assert_eq!(said["content"], "김의 말");
}

#[test]
fn a_refused_chat_does_not_use_up_its_id() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    hong.refused(chat("1", "안녕"), "not_in_room");
    hong.join("tech");
    hong.send(chat("1", "안녕"));
    ack_and_chat(&mut hong);
}
