//! A back end and a moderator at work, over real sockets: what they do is done to those concerned, told to the audit log,
//! and outlives the process.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::accounts::Folder;
use crate::support::subscriber::Subscriber;
use crate::support::token::bearer;
use crate::support::{Chatter, PATIENCE, Response, Server};

const KEY: &str = "the-key-of-a-back-end-with-a-long-text";

struct Desk {
    folder: Folder,
    server: Server,
    options: Vec<String>,
}

impl Desk {
    fn open(name: &str, options: &[&str]) -> Self {
        let folder = Folder::new(name);
        let keys = folder.write("keys", &format!("shop:{KEY}\n"));
        let mut all = vec!["--api-key-file".to_owned(), keys];
        all.extend(options.iter().map(|option| (*option).to_owned()));
        if options.contains(&"--data") {
            all.push(folder.path("data"));
        }
        let server = Self::start(&folder, &all);
        Self {
            folder,
            server,
            options: all,
        }
    }

    fn start(folder: &Folder, options: &[String]) -> Server {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        folder.serve(&options)
    }

    /// The process is killed, or asked to go, and starts again.
    fn restart(&mut self, signal: Signal) {
        self.server.signal(signal);
        self.server.exit_within(PATIENCE);
        self.server = Self::start(&self.folder, &self.options);
    }

    fn ask(&self, method: &str, target: &str, body: Value) -> Response {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let mut http = self.server.connect();
        let fields = format!(
            "{}Content-Type: application/json\r\nContent-Length: {}\r\n",
            bearer(KEY),
            body.len()
        );
        let host = http.host();
        http.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n{body}"
        ));
        http.response()
    }

    #[track_caller]
    fn done(&self, method: &str, target: &str, body: Value, status: u16) -> Value {
        let response = self.ask(method, target, body);
        assert_eq!(response.status, status, "{target}: {}", response.text());
        match status {
            204 => Value::Null,
            _ => response.json(),
        }
    }

    fn post(&self, room: &str, content: &str) -> String {
        let target = format!("/rooms/{room}/messages");
        let body = self.done(
            "POST",
            &target,
            json!({"content": content, "username": "봇"}),
            201,
        );
        body["position"].as_str().expect("a position").to_owned()
    }
}

/// The actions of the log up to one, with their subjects.
fn noted(log: &mut Subscriber, last: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    loop {
        let event = log.expect("audit");
        let text = |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
        all.push((text("action"), text("subject")));
        if all.last().is_some_and(|(action, _)| action == last) {
            return all;
        }
    }
}

/// Kim is kicked, banned and free again; then the room is removed, in which Lee is.
fn put_out(desk: &Desk, kim: &mut Chatter, lee: &mut Chatter) {
    let user = "/users/%EA%B9%80%EC%B2%A0%EC%88%98";
    let users = desk.done("GET", "/users", Value::Null, 200);
    assert_eq!(users["users"].as_array().map(Vec::len), Some(2));
    desk.done(
        "DELETE",
        &format!("{user}/connections?room=tech&reason=noise"),
        Value::Null,
        204,
    );
    assert_eq!(kim.expect("room_left")["reason"], "noise");
    assert_eq!(lee.expect("user_left")["username"], "김철수");
    desk.done(
        "PUT",
        &format!("{user}/ban"),
        json!({"seconds": 600, "reason": "noise"}),
        204,
    );
    assert_eq!(kim.expect("banned")["reason"], "noise");
    assert_eq!(kim.close_frame(), (4006, "noise".to_owned()));
    let mut again = Chatter::open(
        &desk.server,
        "/ws?username=%EA%B9%80%EC%B2%A0%EC%88%98",
        &[],
    );
    again.expect("banned");
    assert_eq!(again.close_frame().0, 4006);
    desk.done("DELETE", &format!("{user}/ban"), Value::Null, 204);
    drop(desk.server.member("김철수", "other"));
    desk.done("DELETE", "/rooms/tech", Value::Null, 204);
    assert_eq!(lee.expect("room_left")["reason"], "room_removed");
}

#[test]
fn a_back_end_speaks_deletes_puts_out_and_everybody_concerned_is_told() {
    let desk = Desk::open("moderation", &[]);
    let mut log = Subscriber::with(&desk.server, "/sse/audit", &bearer(KEY));
    desk.done("POST", "/rooms", json!({"name": "tech"}), 201);
    let [mut kim, mut lee] = ["김철수", "이영희"].map(|name| desk.server.member(name, "tech"));
    let position = desk.post("tech", "광고");
    for member in [&mut kim, &mut lee] {
        let said = member.until("chat");
        assert_eq!(
            (&said["username"], &said["position"]),
            (&json!("봇"), &json!(position))
        );
    }
    desk.done(
        "DELETE",
        &format!("/rooms/tech/messages/{position}"),
        Value::Null,
        204,
    );
    for member in [&mut kim, &mut lee] {
        assert_eq!(member.expect("deleted")["position"], position);
    }
    desk.done("PATCH", "/rooms/tech", json!({"write": "moderators"}), 200);
    kim.send(json!({"type": "chat", "room": "tech", "content": "x", "id": "1"}));
    assert_eq!(kim.expect("error")["code"], "forbidden");
    let user = "/users/%EA%B9%80%EC%B2%A0%EC%88%98";
    desk.done(
        "POST",
        &format!("{user}/messages"),
        json!({"content": "경고", "from": "운영"}),
        202,
    );
    assert_eq!(kim.expect("whisper")["from"], "운영");
    put_out(&desk, &mut kim, &mut lee);
    let told = noted(&mut log, "room_removed");
    let actions = [
        "message_deleted",
        "room_changed",
        "kicked",
        "banned",
        "refused",
        "unbanned",
        "room_removed",
    ];
    let mut found = told.iter().map(|(action, _)| action.as_str());
    for action in actions {
        assert!(found.any(|other| other == action), "{action} in {told:?}");
    }
}

#[test]
fn what_moderators_have_done_outlives_a_restart_and_a_kill() {
    let mut desk = Desk::open("moderation-kept", &["--data"]);
    desk.done("POST", "/rooms", json!({"name": "tech"}), 201);
    desk.done("POST", "/rooms", json!({"name": "gone"}), 201);
    desk.post("gone", "x");
    let positions = ["1", "2", "3"].map(|text| desk.post("tech", text));
    for (signal, at) in [(Signal::KILL, 0), (Signal::TERM, 1)] {
        let target = format!("/rooms/tech/messages/{}", positions[at]);
        desk.done("DELETE", &target, Value::Null, 204);
        let rules = json!({"write": "signed_in", "history_messages": 100 + at});
        desk.done("PATCH", "/rooms/tech", rules.clone(), 200);
        let name = format!("/users/user{at}/ban");
        desk.done("PUT", &name, json!({"reason": "noise"}), 204);
        desk.done("PUT", &name, json!({"room": "tech"}), 204);
        if at == 0 {
            desk.done("DELETE", "/rooms/gone", Value::Null, 204);
        } else {
            desk.done("DELETE", "/users/user0/ban", Value::Null, 204);
        }
        desk.restart(signal);
        assert_eq!(desk.ask("GET", "/rooms/gone", Value::Null).status, 404);
        let room = desk.done("GET", "/rooms/tech", Value::Null, 200);
        for name in ["write", "history_messages"] {
            assert_eq!(room[name], rules[name], "{name} {signal:?}");
        }
        let history = desk.done("GET", "/rooms/tech/history", Value::Null, 200);
        let kinds = history["messages"].as_array().expect("a list").iter();
        let kinds: Vec<_> = kinds.map(|one| one["type"] == "deleted").collect();
        assert_eq!(kinds, [true, at == 1, false]);
        let target = format!("/ws?username=user{at}");
        let mut banned = Chatter::open(&desk.server, &target, &[]);
        assert_eq!(banned.expect("banned")["reason"], "noise");
        let bans = desk.done("GET", "/bans", Value::Null, 200);
        assert_eq!(bans["bans"].as_array().map(Vec::len), Some(2 + at));
    }
    let mut free = desk.server.guest("user0");
    free.send(json!({"type": "join", "room": "tech", "id": "1"}));
    assert_eq!(free.expect("error")["code"], "forbidden");
    // A new room of the old name has none of its past.
    let gone = desk.server.member("kim", "gone");
    drop(gone);
    let history = desk.done("GET", "/rooms/gone/history", Value::Null, 200);
    assert_eq!(history["messages"], json!([]));
}
