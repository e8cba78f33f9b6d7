//! The room protocol over WebSocket: joining, chatting, leaving, and every refusal.

use serde_json::{Value, json};

use crate::support::chatter::{contents, names, position_parts};
use crate::support::{Chatter, Server};

#[test]
fn the_first_message_is_a_welcome() {
    let server = Server::start(&[]);
    let mut guest = Chatter::open(&server, "/ws?username=guest", &[]);
    let welcome = guest.receive();
    assert_eq!(
        welcome,
        json!({"type": "welcome", "username": "guest", "expires_at": null})
    );
    guest.expect_no_news();
}

#[test]
fn two_people_talk() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    let joined = hong.join("tech");
    assert_eq!(joined["history"], json!([]));
    assert_eq!(joined["online_users"], json!([]));
    assert_eq!(joined["online_count"], 1);
    assert_eq!(joined["recovered"], false);
    position_parts(&joined["position"]);

    let mut kim = server.guest("김철수");
    let joined = kim.join("tech");
    assert_eq!(joined["online_users"], json!(["홍길동"]));
    assert_eq!(joined["online_count"], 2);
    assert_eq!(
        hong.expect("user_joined"),
        json!({"type": "user_joined", "room": "tech", "username": "김철수"})
    );

    hong.send(json!({"type": "chat", "room": "tech", "content": "안녕하세요!"}));
    let heard = kim.expect("chat");
    assert_eq!(heard, hong.expect("chat"));
    assert_eq!(heard["room"], "tech");
    assert_eq!(heard["username"], "홍길동");
    assert_eq!(heard["content"], "안녕하세요!");
    let time = heard["timestamp"].as_str().unwrap_or_default();
    assert!(time.len() == 20 && time.ends_with('Z'), "{heard}");
    humantime::parse_rfc3339(time).expect("a timestamp is RFC 3339");

    hong.leave("tech");
    assert_eq!(
        kim.expect("user_left"),
        json!({"type": "user_left", "room": "tech", "username": "홍길동"})
    );
    kim.say("tech", "잘 가요");
    hong.expect_no_news();
    kim.expect_no_news();
}

#[test]
fn users_are_not_told_of_their_own_joins_and_departures() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    hong.send(json!({"type": "join", "room": "tech"}));
    hong.expect("room_joined");
    hong.send(json!({"type": "leave", "room": "tech"}));
    assert_eq!(
        hong.expect("room_left"),
        json!({"type": "room_left", "room": "tech"})
    );
    hong.expect_no_news();
}

#[test]
fn the_last_50_messages_await_who_enters() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let said: Vec<Value> = (1..=55).map(|n| hong.say("tech", &n.to_string())).collect();
    let joined = server.guest("김철수").join("tech");
    assert_eq!(joined["history"].as_array().map(Vec::len), Some(50));
    assert_eq!(joined["history"], json!(said[5..]));
    assert_eq!(joined["position"], said[54]["position"]);
    assert_eq!(joined["recovered"], false);
}

#[test]
fn history_outlives_the_last_member() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.say("tech", "아무도 없나요?");
    hong.leave("tech");
    let joined = hong.join("tech");
    assert_eq!(contents(&joined["history"]), ["아무도 없나요?"]);
}

#[test]
fn every_member_gets_the_same_order_and_it_is_the_order_of_history() {
    let server = Server::start(&[]);
    let mut members: Vec<Chatter> = (0..4)
        .map(|n| server.member(&format!("member {n}"), "tech"))
        .collect();
    for round in 0..10 {
        for (n, member) in members.iter_mut().enumerate() {
            let content = format!("{round}/{n}");
            member.send(json!({"type": "chat", "room": "tech", "content": content}));
        }
    }
    let heard: Vec<Vec<Value>> = members
        .iter_mut()
        .map(|member| (0..40).map(|_| member.until("chat")).collect())
        .collect();
    for one in &heard[1..] {
        assert_eq!(one, &heard[0]);
    }
    let sequences: Vec<u64> = heard[0]
        .iter()
        .map(|chat| position_parts(&chat["position"]).1)
        .collect();
    let expected: Vec<u64> = (sequences[0]..sequences[0] + 40).collect();
    assert_eq!(sequences, expected, "a hole in the positions");
    let history = server.get("/rooms/tech/history").json();
    assert_eq!(history["messages"], json!(heard[0]));
}

#[test]
fn messages_stay_in_their_room() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.join("잡담");
    let mut kim = server.member("김철수", "잡담");
    let mut lee = server.member("이영희", "tech");
    assert_eq!(hong.expect("user_joined")["room"], "잡담");
    assert_eq!(hong.expect("user_joined")["room"], "tech");
    kim.say("잡담", "여기는 잡담");
    assert_eq!(hong.expect("chat")["room"], "잡담");
    lee.say("tech", "여기는 tech");
    assert_eq!(hong.expect("chat")["room"], "tech");
    kim.expect_no_news();
    lee.expect_no_news();
}

#[test]
fn a_message_goes_to_the_room_it_names() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    for room in ["하나", "둘", "셋"] {
        hong.join(room);
    }
    for room in ["셋", "하나", "둘"] {
        assert_eq!(hong.say(room, "여기")["room"], room);
    }
    hong.leave("둘");
    hong.refused(
        json!({"type": "chat", "room": "둘", "content": "아직?"}),
        "not_in_room",
    );
    assert_eq!(hong.say("하나", "네")["room"], "하나");
}

#[test]
fn the_room_list_is_the_list_of_rest() {
    let server = Server::start(&[]);
    server.post("/rooms", r#"{"name":"a","max_users":3}"#);
    let mut hong = server.member("홍길동", "b");
    hong.say("b", "하나");
    hong.send(json!({"type": "room_list"}));
    let list = hong.expect("room_list");
    assert_eq!(list["rooms"].as_array().map(Vec::len), Some(2));
    assert_eq!(list["rooms"], server.get("/rooms").json()["rooms"]);
}

#[test]
fn a_lone_surrogate_is_said_as_the_replacement_character_and_acknowledged() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.send_text(r#"{"type":"chat","room":"tech","content":"hi \ud83d","id":"7"}"#);
    assert_eq!(hong.expect("chat")["content"], "hi \u{fffd}");
    assert_eq!(hong.expect("ack")["id"], "7");
}

#[test]
fn a_refusal_names_the_id_however_broken_the_rest() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    for (text, code) in [
        (
            r#"{"type":"chat","room":"tech","content":"a","content":"b","id":"7"}"#,
            "bad_request",
        ),
        (
            r#"{"id":"7","type":"chat","room":"tech","content":"a"} x"#,
            "bad_json",
        ),
        (
            r#"{"id":"7","type":"chat","room":"tech","content":"a"#,
            "bad_json",
        ),
        (r#"{"type":"chat",'room':'tech',"id":"7"}"#, "bad_json"),
        (r#"{"type":"chat","content":"\x","id":"7"}"#, "bad_json"),
    ] {
        hong.send_text(text);
        let error = hong.expect("error");
        assert_eq!(
            (&error["code"], &error["id"]),
            (&json!(code), &json!("7")),
            "{text}"
        );
    }
}

#[test]
fn a_connection_outlives_every_error() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let unknown = json!({"type": "dance"});
    let long = "가".repeat(65);
    for (text, code) in [
        ("", "bad_json"),
        ("{", "bad_json"),
        ("안녕", "bad_json"),
        ("{\"type\":\"room_list\"}{}", "bad_json"),
        ("[]", "bad_request"),
        ("5", "bad_request"),
        ("null", "bad_request"),
        ("{}", "bad_request"),
        ("{\"type\":5}", "bad_request"),
        ("{\"type\":null}", "bad_request"),
        (&unknown.to_string(), "unknown_type"),
        ("{\"type\":\"\"}", "unknown_type"),
        ("{\"type\":\"CHAT\"}", "unknown_type"),
        ("{\"type\":\"welcome\"}", "unknown_type"),
        ("{\"type\":\"join\"}", "bad_request"),
        ("{\"type\":\"join\",\"room\":5}", "bad_request"),
        ("{\"type\":\"join\",\"room\":\"\"}", "bad_room_name"),
        ("{\"type\":\"join\",\"room\":\"a\\nb\"}", "bad_room_name"),
        (
            &json!({"type": "join", "room": long}).to_string(),
            "bad_room_name",
        ),
        ("{\"type\":\"join\",\"room\":\"tech\"}", "already_in_room"),
        ("{\"type\":\"leave\"}", "bad_request"),
        ("{\"type\":\"leave\",\"room\":\"none\"}", "not_in_room"),
        ("{\"type\":\"chat\",\"room\":\"tech\"}", "bad_request"),
        ("{\"type\":\"chat\",\"content\":\"a\"}", "bad_request"),
        (
            "{\"type\":\"chat\",\"room\":\"tech\",\"content\":\"\"}",
            "bad_request",
        ),
        (
            "{\"type\":\"chat\",\"room\":\"tech\",\"content\":[]}",
            "bad_request",
        ),
        (
            "{\"type\":\"chat\",\"room\":\"none\",\"content\":\"a\"}",
            "not_in_room",
        ),
        ("{\"type\":\"whisper\",\"content\":\"a\"}", "bad_request"),
        ("{\"type\":\"whisper\",\"to\":\"홍길동\"}", "bad_request"),
        (
            "{\"type\":\"whisper\",\"to\":\"nobody\",\"content\":\"a\"}",
            "user_not_found",
        ),
    ] {
        hong.send_text(text);
        let error = hong.expect_error(code);
        assert!(error.get("id").is_none(), "no id was sent: {error}");
    }
    hong.say("tech", "아직 있어요");
}

#[test]
fn an_error_carries_the_id_of_its_request() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    let chat = json!({"type": "chat", "room": "none", "content": "a", "id": "7번"});
    assert_eq!(hong.refused(chat, "not_in_room")["id"], "7번");
    let whisper = json!({"type": "whisper", "to": "none", "content": "a", "id": "w"});
    assert_eq!(hong.refused(whisper, "user_not_found")["id"], "w");
}

#[test]
fn an_id_is_a_string_of_at_most_64_bytes() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let chat = |id: Value| json!({"type": "chat", "room": "tech", "content": "a", "id": id});
    for id in [
        json!("a".repeat(65)),
        json!("가".repeat(22)),
        json!(5),
        json!({}),
    ] {
        hong.refused(chat(id), "bad_request");
    }
    for id in ["a".repeat(64), "가".repeat(21), "\"\\\u{1}".to_owned()] {
        hong.send(chat(json!(id)));
        let ack = hong.until("ack");
        assert_eq!(ack["id"], id);
    }
}

#[test]
fn unknown_fields_of_a_message_are_ignored() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    hong.send(json!({"type": "join", "room": "tech", "username": "admin", "x": [1, {"y": 2}]}));
    hong.expect("room_joined");
    hong.send(json!({"type": "chat", "room": "tech", "content": "a", "username": "admin"}));
    assert_eq!(hong.expect("chat")["username"], "홍길동");
}

#[test]
fn content_is_passed_on_as_it_is() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let mut kim = server.member("김철수", "tech");
    hong.expect("user_joined");
    for content in [
        "<script>alert(1)</script>",
        "\"\\/\u{8}\u{c}\n\r\t",
        "\u{0}\u{1f}\u{7f}\u{2028}",
        "👩‍👩‍👧‍👦 e\u{301} \u{10ffff}",
        " ",
    ] {
        hong.say("tech", content);
        assert_eq!(kim.expect("chat")["content"], content);
    }
    hong.send_text(r#"{"type":"chat","room":"tech","content":"\ud83d\ude00\uac00"}"#);
    assert_eq!(kim.expect("chat")["content"], "😀가");
}

#[test]
fn the_length_of_content_is_counted_in_characters() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let mut kim = server.guest("김철수");
    let full = "😀".repeat(4096);
    assert_eq!(hong.say("tech", &full)["content"], full);
    let over = "가".repeat(4097);
    let chat = json!({"type": "chat", "room": "tech", "content": over, "id": "long"});
    assert_eq!(hong.refused(chat, "content_too_long")["id"], "long");
    let whisper = json!({"type": "whisper", "to": "김철수", "content": over});
    hong.refused(whisper, "content_too_long");
    kim.expect_no_news();
    hong.expect_no_news();
}

#[test]
fn the_limit_of_content_is_an_option() {
    let server = Server::start(&["--content-chars", "3"]);
    let mut hong = server.member("홍길동", "tech");
    hong.say("tech", "가나다");
    let chat = json!({"type": "chat", "room": "tech", "content": "가나다라"});
    hong.refused(chat, "content_too_long");
}

#[test]
fn a_full_room_refuses_users_but_not_tabs() {
    let server = Server::start(&[]);
    server.post("/rooms", r#"{"name":"작은 방","max_users":2}"#);
    let mut hong = server.member("홍길동", "작은 방");
    let kim = server.member("김철수", "작은 방");
    let mut lee = server.guest("이영희");
    let request = json!({"type": "join", "room": "작은 방"});
    lee.refused(request.clone(), "room_full");
    let joined = server.guest("홍길동").join("작은 방");
    assert_eq!(names(&joined["online_users"]), ["김철수"]);
    hong.until("user_joined");
    hong.expect_no_news();
    kim.close();
    hong.expect("user_left");
    lee.join("작은 방");
    assert_eq!(hong.expect("user_joined")["username"], "이영희");
}

#[test]
fn a_room_for_one_is_full_with_one() {
    let server = Server::start(&["--room-users", "1"]);
    let mut hong = server.member("홍길동", "tech");
    let mut kim = server.guest("김철수");
    let request = json!({"type": "join", "room": "tech"});
    kim.refused(request, "room_full");
    server.member("홍길동", "tech");
    assert_eq!(server.get("/rooms/tech").json()["users"], 1);
    hong.leave("tech");
    kim.join("tech");
}

#[test]
fn joining_makes_no_rooms_when_that_is_switched_off() {
    let server = Server::start(&["--no-auto-rooms"]);
    let mut hong = server.guest("홍길동");
    hong.refused(json!({"type": "join", "room": "tech"}), "room_not_found");
    assert_eq!(server.get("/rooms/tech").status, 404);
    assert_eq!(server.post("/rooms", r#"{"name":"tech"}"#).status, 201);
    hong.join("tech");
}

#[test]
fn a_connection_is_in_at_most_64_rooms_or_what_an_option_says() {
    for (options, limit) in [(&[][..], 64), (&["--rooms-per-connection", "2"], 2)] {
        let server = Server::start(options);
        let mut hong = server.guest("홍길동");
        for n in 0..limit {
            hong.join(&format!("방 {n}"));
        }
        let request = json!({"type": "join", "room": "하나 더"});
        hong.refused(request, "too_many_rooms");
        server.guest("김철수").join("하나 더");
        hong.leave("방 0");
        hong.join("하나 더");
    }
}

#[test]
fn guests_cannot_extend_a_session_they_do_not_have() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    hong.send(json!({"type": "auth"}));
    hong.expect_error("bad_request");
    hong.send(json!({"type": "auth", "ticket": "made up"}));
    hong.expect_error("unauthorized");
    hong.join("tech");
}
