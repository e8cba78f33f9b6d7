//! Nothing is lost, doubled or out of order while some members come and go and others send.

use serde_json::{Value, json};
use tungstenite::Message;

use crate::support::chatter::position_parts;
use crate::support::{self, Chatter, Server};

/// Several commands in one packet.
fn send_together(chatter: &mut Chatter, commands: &[Value]) {
    for command in commands {
        let message = Message::text(command.to_string());
        chatter.socket.write(message).expect("it fits the buffer");
    }
    chatter.socket.flush().expect("one packet goes out");
}

fn join() -> Value {
    json!({"type": "join", "room": "tech"})
}

fn leave() -> Value {
    json!({"type": "leave", "room": "tech"})
}

fn chat(content: &str) -> Value {
    json!({"type": "chat", "room": "tech", "content": content})
}

fn kinds(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message["type"].as_str().unwrap_or_default())
        .collect()
}

fn sequence(message: &Value) -> u64 {
    position_parts(&message["position"]).1
}

#[test]
fn commands_of_one_packet_are_done_in_their_order() {
    let server = Server::start(&[]);
    let mut kim = server.member("김철수", "tech");
    let mut hong = server.guest("홍길동");
    send_together(
        &mut hong,
        &[
            chat("너무 이르다"),
            join(),
            chat("하나"),
            join(),
            chat("둘"),
            leave(),
            chat("너무 늦다"),
            leave(),
            join(),
            chat("셋"),
            leave(),
        ],
    );
    let news = hong.news();
    assert_eq!(
        kinds(&news),
        [
            "error",
            "room_joined",
            "chat",
            "error",
            "chat",
            "room_left",
            "error",
            "error",
            "room_joined",
            "chat",
            "room_left"
        ],
        "{news:?}"
    );
    let history = &news[8]["history"];
    assert_eq!(history[0]["content"], "하나");
    assert_eq!(history[1]["content"], "둘");
    assert_eq!(history[2], Value::Null);
    let seen = kim.news();
    assert_eq!(
        kinds(&seen),
        [
            "user_joined",
            "chat",
            "chat",
            "user_left",
            "user_joined",
            "chat",
            "user_left"
        ]
    );
}

#[test]
fn a_second_connection_that_enters_and_leaves_in_one_packet_is_not_announced() {
    let server = Server::start(&[]);
    let mut kim = server.member("김철수", "tech");
    let _hong = server.member("홍길동", "tech");
    kim.expect("user_joined");
    let mut second = server.guest("홍길동");
    send_together(&mut second, &[join(), leave(), join(), leave()]);
    second.news();
    kim.expect_no_news();
}

/// Follows a room: every position after the one at entry, none twice, nothing after leaving.
struct Follower {
    chatter: Chatter,
    position: Value,
}

impl Follower {
    fn enter(server: &Server, name: &str) -> Self {
        let mut chatter = server.guest(name);
        let joined = chatter.join("tech");
        if let Some(last) = joined["history"].as_array().and_then(|all| all.last()) {
            assert_eq!(last["position"], joined["position"]);
        }
        Self {
            chatter,
            position: joined["position"].clone(),
        }
    }

    fn follow(&mut self, message: &Value) {
        if message["type"] == "chat" {
            let expected = position_parts(&self.position).1 + 1;
            assert_eq!(sequence(message), expected, "a hole or a double");
            self.position = message["position"].clone();
        }
    }

    fn leave_and_resume(&mut self) {
        self.chatter.send(leave());
        loop {
            let message = self.chatter.receive();
            if message["type"] == "room_left" {
                break;
            }
            self.follow(&message);
        }
        self.chatter.expect_no_news();
        let resumed = self.chatter.resume("tech", &self.position.clone());
        assert_eq!(resumed["recovered"], true);
        for message in resumed["history"].as_array().expect("a list") {
            self.follow(message);
        }
        assert_eq!(resumed["position"], self.position);
    }
}

#[test]
fn a_member_that_comes_and_goes_while_others_talk_misses_nothing() {
    // 900 messages in all: fewer than a room keeps, so none is dropped from the history, however slowly this runs.
    let server = Server::start(&["--messages-per-second", "0"]);
    let talkers: Vec<_> = (0..3)
        .map(|n| {
            let mut talker = server.member(&format!("말 {n}"), "tech");
            std::thread::spawn(move || {
                for round in 0..60 {
                    let words: Vec<String> = (0..5).map(|m| format!("{n}: {round}/{m}")).collect();
                    let burst: Vec<Value> = words.iter().map(|words| chat(words)).collect();
                    send_together(&mut talker, &burst);
                    // Wait for its own messages, not for a number: others' messages may come before its own.
                    for words in &words {
                        talker.until_match(|news| news["content"] == **words);
                    }
                }
                talker
            })
        })
        .collect();
    let mut followers: Vec<Follower> = (0..4)
        .map(|n| Follower::enter(&server, &format!("귀 {n}")))
        .collect();
    while talkers.iter().any(|talker| !talker.is_finished()) {
        for (n, follower) in followers.iter_mut().enumerate() {
            // Each at its own pace; no follower waits for messages that may never come.
            if n % 2 == 0 {
                follower.leave_and_resume();
            } else {
                for message in follower.chatter.news() {
                    follower.follow(&message);
                }
            }
        }
    }
    let _talkers: Vec<Chatter> = talkers
        .into_iter()
        .map(|talker| talker.join().expect("a talker lost a message"))
        .collect();
    for follower in &mut followers {
        for message in follower.chatter.news() {
            follower.follow(&message);
        }
        assert_eq!(position_parts(&follower.position).1, 900);
    }
}

#[test]
fn a_room_of_hundreds_loses_no_message() {
    // More members than the server serves in one turn: some come and go in the middle of a fan-out.
    const CROWD: usize = 600;
    let _alone = support::crowd();
    let server = Server::start(&["--messages-per-second", "0"]);
    server.post("/rooms", r#"{"name":"tech","max_users":1000}"#);
    let mut crowd: Vec<Follower> = (0..CROWD)
        .map(|n| Follower::enter(&server, &format!("{n}번")))
        .collect();
    let mut talker = server.member("말하는 사람", "tech");
    for round in 0..60 {
        let burst: Vec<Value> = (0..3).map(|n| chat(&format!("{round}/{n}"))).collect();
        send_together(&mut talker, &burst);
        // From the front, the middle and the back of the crowd.
        for at in [round, CROWD / 2 + round, CROWD - 1 - round] {
            crowd[at].leave_and_resume();
        }
        for _ in 0..3 {
            talker.until("chat");
        }
    }
    for follower in &mut crowd {
        for message in follower.chatter.news() {
            follower.follow(&message);
        }
        assert_eq!(position_parts(&follower.position).1, 180);
    }
}

#[test]
fn a_crowd_that_comes_and_goes_leaves_no_member_behind() {
    let server = Server::start(&[]);
    let mut watcher = server.member("문지기", "tech");
    for round in 0..10 {
        let crowd: Vec<Chatter> = (0..30)
            .map(|n| server.member(&format!("{}번", n % 20), "tech"))
            .collect();
        for (n, member) in crowd.into_iter().enumerate() {
            match (n + round) % 4 {
                0 => member.reset(),
                1 => member.close(),
                2 => member.half_close(),
                _ => drop(member),
            }
        }
        let mut inside = std::collections::BTreeSet::new();
        let mut came = 0;
        while came < 20 || !inside.is_empty() {
            let news = watcher.receive();
            let name = news["username"].to_string();
            match news["type"].as_str() {
                Some("user_joined") => {
                    assert!(inside.insert(name), "came twice: {news}");
                    came += 1;
                }
                Some("user_left") => assert!(inside.remove(&name), "left twice: {news}"),
                _ => panic!("unexpected: {news}"),
            }
        }
        assert_eq!(server.get("/rooms/tech").json()["users"], 1);
    }
    watcher.expect_no_news();
}
