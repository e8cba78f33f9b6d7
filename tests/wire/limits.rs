//! Limits on messages and connections, and 0 for none.

use serde_json::{Value, json};

use crate::support::{Chatter, Server, percent_encoded};

fn chat(n: usize) -> Value {
    json!({"type": "chat", "room": "tech", "content": n.to_string()})
}

/// Sends without a pause until the server closes the connection, and returns the errors before its close frame.
fn talk_too_much(chatter: &mut Chatter) -> Vec<Value> {
    for n in 0..200 {
        let text = chat(n).to_string();
        // The server may hang up in the middle of this.
        if chatter
            .socket
            .send(tungstenite::Message::text(text))
            .is_err()
        {
            break;
        }
    }
    let mut errors = Vec::new();
    loop {
        match chatter.socket.read() {
            Ok(tungstenite::Message::Text(text)) => {
                let message: Value = serde_json::from_str(&text).expect("JSON");
                if message["type"] == "error" {
                    errors.push(message);
                }
            }
            Ok(tungstenite::Message::Close(Some(frame))) => {
                assert_eq!(u16::from(frame.code), 4009);
                return errors;
            }
            Ok(other) => panic!("unexpected: {other:?}"),
            Err(error) => panic!("instead of a close frame came {error}"),
        }
    }
}

#[test]
fn a_connection_that_sends_too_fast_is_warned_and_then_closed() {
    let server = Server::start(&["--messages-per-second", "5"]);
    let mut quiet = server.member("김철수", "tech");
    let mut loud = server.member("홍길동", "tech");
    let errors = talk_too_much(&mut loud);
    assert!(errors.len() >= 10, "{errors:?}");
    assert!(errors.iter().all(|error| error["code"] == "rate_limited"));
    // Refused messages were not published, and the other connection may still send.
    quiet.until("user_left");
    quiet.say("tech", "조용하네");
    let said = server.get("/rooms/tech").json()["messages"].as_u64();
    assert!(said.is_some_and(|said| said < 100), "{said:?}");
}

#[test]
fn a_message_over_the_rate_is_refused_with_its_id_and_the_connection_stays() {
    let server = Server::start(&["--messages-per-second", "1"]);
    let mut loud = server.guest("홍길동");
    let request = json!({"type": "chat", "room": "none", "content": "a", "id": "7"});
    // At most ten in a row are over the rate: the connection must survive them.
    let limited = (0..20).find_map(|_| {
        loud.send(request.clone());
        let error = loud.expect("error");
        (error["code"] == "rate_limited").then_some(error)
    });
    let limited = limited.expect("some of twenty messages are over the rate of one a second");
    assert_eq!(limited["id"], "7");
    // The rate lets one through sooner or later, and that resets the count of refused ones.
    for _ in 0..8 {
        loud.send(json!({"type": "room_list"}));
        if loud.receive()["type"] == "room_list" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    panic!("no message a second is let through");
}

#[test]
fn a_rate_of_0_is_none() {
    let server = Server::start(&["--messages-per-second", "0"]);
    let mut hong = server.member("홍길동", "tech");
    for n in 0..2000 {
        hong.send(chat(n));
        assert_eq!(hong.expect("chat")["content"], n.to_string());
    }
}

#[test]
fn other_limits_of_0_are_none_too() {
    let server = Server::start(&[
        "--content-chars",
        "0",
        "--room-users",
        "0",
        "--rooms",
        "0",
        "--rooms-per-connection",
        "0",
        "--connections",
        "0",
        "--connections-per-address",
        "0",
        "--connections-per-user",
        "0",
    ]);
    let mut hong = server.guest("홍길동");
    for n in 0..70 {
        hong.join(&format!("방 {n}"));
    }
    let long = "가".repeat(5000);
    assert_eq!(hong.say("방 0", &long)["content"], long);
    let _others: Vec<Chatter> = (0..105)
        .map(|n| server.member(&format!("user {n}"), "방 1"))
        .collect();
    assert_eq!(server.get("/rooms/방%201").json()["users"], 106);
    let _tabs: Vec<Chatter> = (0..70).map(|_| server.guest("김철수")).collect();
}

#[test]
fn no_more_connections_are_served_than_allowed() {
    let server = Server::start(&["--connections", "2"]);
    let hong = server.guest("홍길동");
    let _kim = server.guest("김철수");
    let mut third = server.connect();
    third.send_if_open(format!(
        "GET /rooms HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.host()
    ));
    // The refused client gets a 503, or its connection is closed.
    let answer = third.rest().unwrap_or_default();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 503"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    hong.close();
    let mut failed = 0;
    while Chatter::try_guest(&server, "이영희").is_none() {
        failed += 1;
        assert!(failed < 1000, "a free place is not given to anybody");
    }
}

#[test]
fn a_connection_over_the_limit_is_refused_with_a_whole_response() {
    let server = Server::start(&["--connections", "1"]);
    let mut first = server.connect();
    assert_eq!(first.get("/rooms").status, 200);
    // The client sends no request: the refusal must not depend on one, and unread input could reset the connection.
    let mut second = server.connect();
    let refused = second.response();
    refused.assert_error(503, "unavailable");
    refused.required("retry-after");
    assert!(refused.lists("connection", "close"));
    second.expect_end();
}

#[test]
fn loopback_is_exempt_from_the_limit_per_address() {
    let server = Server::start(&["--connections-per-address", "1"]);
    let _hong = server.guest("홍길동");
    let _kim = server.guest("김철수");
}

/// How a guest of this name is refused; `None` if it is welcomed.
fn refusal(server: &Server, name: &str) -> Option<(u16, String)> {
    let target = format!("/ws?username={}", percent_encoded(name));
    let mut chatter = Chatter::open(server, &target, &[]);
    match chatter.socket.read() {
        Ok(tungstenite::Message::Close(Some(frame))) => {
            Some((u16::from(frame.code), frame.reason.to_string()))
        }
        Ok(tungstenite::Message::Text(_)) => None,
        other => panic!("unexpected: {other:?}"),
    }
}

#[test]
fn the_65th_connection_of_a_user_is_refused_until_one_has_closed() {
    let server = Server::start(&[]);
    let mut tabs: Vec<Chatter> = (0..64).map(|_| server.guest("홍길동")).collect();
    let refused = Some((1013, "한 사람의 연결이 너무 많습니다".to_owned()));
    assert_eq!(refusal(&server, "홍길동"), refused);
    assert_eq!(refusal(&server, "김철수"), None);
    let metrics = server.get("/metrics");
    let page = metrics.text();
    assert!(
        page.contains("sarang_closes_total{code=\"1013\"} 1\n"),
        "{page}"
    );
    // The others are not disturbed.
    tabs[0].join("tech");
    tabs[63].send(json!({"type": "whisper", "to": "홍길동", "content": "모두"}));
    for tab in &mut tabs {
        assert_eq!(tab.expect("whisper")["content"], "모두");
    }
    tabs.pop().expect("is open").close();
    let mut failed = 0;
    while refusal(&server, "홍길동").is_some() {
        failed += 1;
        assert!(failed < 1000, "a free place is not given to anybody");
    }
}
