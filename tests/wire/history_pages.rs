//! Pages of a room's past over WebSocket, for whoever is in the room.

use serde_json::{Value, json};

use crate::support::chatter::contents;
use crate::support::http::JSON;
use crate::support::token::bearer;
use crate::support::{Chatter, Server, described, percent_encoded};

fn asked(chatter: &mut Chatter, question: Value) -> Value {
    described::assert_command(&question);
    chatter.send(question);
    chatter.until("history")
}

/// A server with somebody who has said "1" to "count" in a room.
fn talker(server: &Server, count: usize) -> Chatter {
    let mut hong = server.member("홍길동", "tech");
    for n in 1..=count {
        hong.say("tech", &n.to_string());
    }
    hong
}

#[test]
fn a_member_pages_back_to_the_first_message() {
    let server = Server::start(&[]);
    let mut hong = talker(&server, 7);
    let mut pages = Vec::new();
    let mut before = Value::Null;
    loop {
        let question = json!({"type": "history", "room": "tech", "before": before, "limit": 3});
        let page = asked(&mut hong, question);
        assert_eq!(page["room"], "tech");
        assert_eq!(page["recovered"], true);
        assert_eq!(page["id"], Value::Null);
        before = page["messages"][0]["position"].clone();
        pages.push(contents(&page["messages"]).join(""));
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(pages, ["567", "234", "1"]);
    // Before the first there is nothing.
    let question = json!({"type": "history", "room": "tech", "before": before, "id": "last"});
    let page = asked(&mut hong, question);
    assert_eq!(page["messages"], json!([]));
    assert_eq!(
        (&page["more"], &page["id"]),
        (&json!(false), &json!("last"))
    );
}

/// As the request over HTTP, in everything.
#[test]
fn a_page_is_the_same_as_over_http() {
    let server = Server::start(&[]);
    let mut hong = talker(&server, 5);
    let joined = server.guest("김철수").join("tech");
    let third = joined["history"][2]["position"].as_str().expect("one");
    for before in [third, "0:1", "what?", ""] {
        let question = json!({"type": "history", "room": "tech", "before": before, "limit": 2});
        let page = asked(&mut hong, question);
        let target = format!(
            "/rooms/tech/history?before={}&limit=2",
            percent_encoded(before)
        );
        let told = server.get(&target).json();
        for name in ["messages", "more", "position", "recovered"] {
            assert_eq!(page[name], told[name], "{before} {name}");
        }
    }
}

#[test]
fn a_deleted_message_is_a_tombstone_in_a_page() {
    let server = Server::start(&[]);
    let mut hong = talker(&server, 2);
    let page = asked(&mut hong, json!({"type": "history", "room": "tech"}));
    let first = page["messages"][0]["position"].as_str().expect("one");
    let mut http = server.connect();
    let token = http.post("/auth/login", r#"{"username":"admin","password":"secret"}"#);
    let token = token.json()["access_token"]
        .as_str()
        .expect("one")
        .to_owned();
    let target = format!("/rooms/tech/messages/{}", percent_encoded(first));
    let fields = format!("{JSON}{}", bearer(&token));
    assert_eq!(http.request("DELETE", &target, &fields).status, 204);
    hong.until("deleted");
    let page = asked(&mut hong, json!({"type": "history", "room": "tech"}));
    let tombstone = json!({"type": "deleted", "room": "tech", "position": first});
    assert_eq!(page["messages"][0], tombstone);
    assert_eq!(page["messages"][1]["content"], "2");
}

#[test]
fn who_is_not_in_the_room_or_asks_for_too_many_is_refused() {
    let server = Server::start(&[]);
    let _hong = talker(&server, 1);
    let mut kim = server.guest("김철수");
    for (question, code) in [
        (
            json!({"type": "history", "room": "tech", "id": "1"}),
            "not_in_room",
        ),
        (
            json!({"type": "history", "room": "none", "id": "1"}),
            "not_in_room",
        ),
        (json!({"type": "history", "id": "1"}), "bad_request"),
    ] {
        let refused = kim.refused(question, code);
        assert_eq!(refused["id"], "1");
    }
    kim.join("tech");
    for limit in [
        json!(0),
        json!(201),
        json!(-1),
        json!(1.5),
        json!("9"),
        json!(u64::MAX),
    ] {
        let question = json!({"type": "history", "room": "tech", "limit": limit});
        kim.refused(question, "bad_request");
    }
    let question = json!({"type": "history", "room": "tech", "before": 7});
    kim.refused(question, "bad_request");
    let page = asked(
        &mut kim,
        json!({"type": "history", "room": "tech", "limit": 200}),
    );
    assert_eq!(contents(&page["messages"]), ["1"]);
    kim.leave("tech");
    kim.refused(json!({"type": "history", "room": "tech"}), "not_in_room");
}
