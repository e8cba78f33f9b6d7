//! Guests who hold their name by a key: who is let in beside them, and who is not.

use serde_json::{Value, json};

use crate::support::{Chatter, Server, percent_encoded};

const ALEXS: &str = "0123456789abcdef";
const OTHERS: &str = "fedcba9876543210";

/// A guest's target; without a key if it is empty.
fn target(name: &str, key: &str) -> String {
    let key = match key {
        "" => String::new(),
        key => format!("&key={}", percent_encoded(key)),
    };
    format!("/ws?username={}{key}", percent_encoded(name))
}

fn enter(server: &Server, name: &str, key: &str) -> Chatter {
    let mut chatter = Chatter::open(server, &target(name, key), &[]);
    assert_eq!(chatter.expect("welcome")["username"], name);
    chatter
}

fn assert_refused(server: &Server, name: &str, key: &str) {
    let close = Chatter::open(server, &target(name, key), &[]).close_frame();
    assert_eq!((close.0, &*close.1), (4005, "이미 쓰고 있는 이름"));
}

#[test]
fn a_name_with_a_key_is_shared_with_nobody_but_its_holder() {
    let server = Server::start(&["--presence-grace", "0"]);
    let mut first = enter(&server, "Alex", ALEXS);
    for (name, key) in [
        ("Alex", ""),
        ("alex", ""),
        ("Alex", OTHERS),
        ("ALEX", OTHERS),
    ] {
        assert_refused(&server, name, key);
    }
    // Another tab, or the same one whose old connection the server does not know to be dead.
    let mut second = enter(&server, "Alex", ALEXS);
    first.join("tech");
    second.join("tech");
    first.expect_no_news();
    let mut kim = enter(&server, "kim", "");
    kim.send(json!({"type": "whisper", "to": "Alex", "content": "비밀"}));
    for alex in [&mut first, &mut second] {
        assert_eq!(alex.expect("whisper")["content"], "비밀");
    }
    first.close();
    assert_refused(&server, "Alex", OTHERS);
    second.close();
    enter(&server, "Alex", OTHERS);
}

#[test]
fn a_name_that_guests_without_a_key_are_using_is_not_held_by_anybody() {
    let server = Server::start(&[]);
    let [first, second] = ["Alex", "Alex"].map(|name| enter(&server, name, ""));
    assert_refused(&server, "Alex", ALEXS);
    first.close();
    assert_refused(&server, "alex", ALEXS);
    second.close();
    enter(&server, "Alex", ALEXS);
    assert_refused(&server, "Alex", "");
}

#[test]
fn a_name_is_kept_for_its_holder_during_the_grace() {
    let server = Server::start(&["--presence-grace", "3600"]);
    enter(&server, "Alex", ALEXS).reset();
    assert_refused(&server, "Alex", "");
    assert_refused(&server, "Alex", OTHERS);
    enter(&server, "Alex", ALEXS);
}

#[test]
fn what_is_no_key_is_refused_like_what_is_no_name() {
    let server = Server::start(&[]);
    let long = "x".repeat(65);
    for key in [
        "",
        "=",
        "=short",
        "=0123456789abcde",
        &format!("={long}"),
        "=0123456789abcdef%07",
        "=%ff",
    ] {
        let target = format!("/ws?username=Alex&key{key}");
        let close = Chatter::open(&server, &target, &[]).close_frame();
        assert_eq!(close.0, 4001, "{key:?}");
    }
    for key in ["열쇠가 열여섯 글자를 채웁니다요", &long[..64]] {
        enter(&server, &format!("Alex{}", key.len()), key);
    }
}

/// A key in an answer or a line of the log could be used by whoever reads it.
#[test]
fn a_key_shows_nowhere() {
    let mut server = Server::start(&["--log", "debug", "--presence-grace", "0"]);
    let mut kim = enter(&server, "kim", "");
    kim.join("tech");
    let mut alex = enter(&server, "Alex", ALEXS);
    assert_refused(&server, "Alex", "");
    assert_refused(&server, "Alex", OTHERS);
    let joined = alex.join("tech");
    alex.send(json!({"type": "chat", "room": "tech", "content": "hi", "id": "1"}));
    alex.until("ack");
    let mut said = kim.news();
    said.push(joined);
    for path in ["/rooms", "/rooms/tech", "/rooms/tech/history", "/metrics"] {
        said.push(server.get(path).text().into());
    }
    said.push(server.get(&target("Alex", ALEXS)).text().into());
    drop((kim, alex));
    said.push(server.stop().into());
    for text in said.iter().map(Value::to_string) {
        assert!(!text.contains(ALEXS) && !text.contains(OTHERS), "{text}");
    }
}

#[test]
fn ids_of_a_holder_are_not_those_of_who_has_the_name_next() {
    let server = Server::start(&["--presence-grace", "0"]);
    let mut kim = enter(&server, "kim", "");
    let say =
        |content: &str| json!({"type": "chat", "room": "tech", "content": content, "id": "1"});
    let whisper = json!({"type": "whisper", "to": "Alex", "content": "비밀", "id": "w"});
    let mut positions = Vec::new();
    for (key, content) in [
        (ALEXS, "one"),
        (OTHERS, "two"),
        ("", "three"),
        (ALEXS, "one"),
    ] {
        let mut alex = enter(&server, "Alex", key);
        alex.join("tech");
        alex.send(say(content));
        positions.push(alex.until("ack")["position"].clone());
        kim.send(whisper.clone());
        kim.until("ack");
        alex.close();
    }
    // The first one again, later: the same message.
    assert_eq!(positions[0], positions[3]);
    positions.pop();
    positions.dedup();
    assert_eq!(positions.len(), 3);
    // Nobody is called that now, and each was told once.
    kim.send(whisper);
    assert_eq!(kim.until("ack")["id"], "w");
}
