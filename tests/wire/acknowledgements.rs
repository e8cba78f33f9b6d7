//! What an `id` identifies: one message, of one user, to one room or recipient.

use serde_json::{Value, json};

use crate::support::{Chatter, Server};

fn chat(room: &str, content: &str) -> Value {
    json!({"type": "chat", "room": room, "content": content, "id": "a"})
}

fn whisper(to: &str, content: &str) -> Value {
    json!({"type": "whisper", "to": to, "content": content, "id": "a"})
}

/// Sends a message; the position in its acknowledgement, and whether it was published (or only acknowledged again).
fn say(chatter: &mut Chatter, message: Value) -> (Value, bool) {
    chatter.send(message);
    let mut was_said = false;
    loop {
        let told = chatter.receive();
        match told["type"].as_str() {
            Some("ack") => {
                assert_eq!(told["id"], "a");
                return (told["position"].clone(), was_said);
            }
            Some("chat" | "whisper") => was_said = true,
            other => panic!("unexpected: {other:?}"),
        }
    }
}

#[test]
fn an_id_with_other_content_is_refused_and_the_first_message_stays_acknowledged() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let (position, was_said) = say(&mut hong, chat("tech", "하나"));
    assert!(was_said);
    let refused = hong.refused(chat("tech", "둘"), "id_reused");
    assert_eq!(refused["id"], "a");
    assert_eq!(say(&mut hong, chat("tech", "하나")), (position, false));
    let history = server.get("/rooms/tech/history").json();
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_same_id_in_another_room_or_to_another_user_is_another_message() {
    let server = Server::start(&[]);
    let _kim = server.guest("김철수");
    let _lee = server.guest("이영희");
    let mut hong = server.member("홍길동", "tech");
    hong.join("lunch");
    for message in [
        chat("tech", "같은 말"),
        chat("lunch", "같은 말"),
        whisper("김철수", "같은 말"),
        whisper("이영희", "같은 말"),
    ] {
        assert!(say(&mut hong, message.clone()).1, "{message}");
        assert!(!say(&mut hong, message.clone()).1, "{message}");
        let mut other = message;
        other["content"] = json!("다른 말");
        hong.refused(other, "id_reused");
    }
}

#[test]
fn an_id_of_another_user_is_another_message_and_a_second_connection_is_the_same_user() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    assert!(say(&mut hong, chat("tech", "하나")).1);
    let mut tab = server.guest("홍길동");
    tab.join("tech");
    assert!(!say(&mut tab, chat("tech", "하나")).1);
    let mut kim = server.member("김철수", "tech");
    assert!(say(&mut kim, chat("tech", "하나")).1);
}

#[test]
fn a_refused_message_uses_up_no_id() {
    let server = Server::start(&["--content-chars", "2"]);
    let mut hong = server.guest("홍길동");
    hong.refused(chat("tech", "하나"), "not_in_room");
    hong.join("tech");
    hong.refused(chat("tech", "하나둘"), "content_too_long");
    hong.refused(whisper("없는사람", "하나"), "user_not_found");
    assert!(say(&mut hong, chat("tech", "하나")).1);
    let _nobody = server.guest("없는사람");
    assert!(say(&mut hong, whisper("없는사람", "둘")).1);
}
