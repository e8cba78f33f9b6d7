//! Guests beside users of another back end: whose name is whose, what is marked, and what names tell about accounts.

use std::fs;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sarang::config::{GUEST_REFUSALS_LOOPBACK, GUEST_REFUSALS_LOOPBACK_REFILL};
use sarang::domain::accounts::DEMO_ACCOUNTS;
use serde_json::{Value, json};

use crate::support::frames::{FIN, TEXT, opening};
use crate::support::token::minted;
use crate::support::{Chatter, Http, Server, stream_from};

const SECRET: &str = "a secret of this test, long enough for HS256";

/// A server that takes guests and tokens of another back end; its files are removed when the test ends.
struct Backend {
    server: Server,
    files: Vec<PathBuf>,
}

impl Backend {
    fn start(name: &str, accounts: Option<&str>) -> Self {
        let file = |kind: &str, text: &str| {
            let name = format!("guests-{name}-{kind}-{}", std::process::id());
            let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
            fs::write(&path, text).expect("a file");
            path
        };
        let secrets = file("secrets", &format!("only:{SECRET}\n"));
        let users = accounts.map(|accounts| file("users", accounts));
        let path = |path: &PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        let mut options = vec![
            "--guests".to_owned(),
            "--secret-file".to_owned(),
            path(&secrets),
        ];
        if let Some(users) = &users {
            options.extend(["--users".to_owned(), path(users)]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Self {
            server: Server::start(&options),
            files: [Some(secrets), users].into_iter().flatten().collect(),
        }
    }

    /// The target with a ticket of a user of the other back end.
    fn target(&self, name: &str) -> String {
        let response = self.bearer("POST", "/auth/ws-ticket", name);
        let ticket = response["ticket"].as_str().expect("a ticket").to_owned();
        format!("/ws?ticket={ticket}")
    }

    /// The answer to a request of a user of the other back end.
    fn bearer(&self, method: &str, target: &str, name: &str) -> Value {
        let field = format!("Authorization: Bearer {}\r\n", mint(name));
        let response = self.server.connect().request(method, target, &field);
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// Somebody who signed in, after the welcome.
    fn user(&self, name: &str) -> Chatter {
        let mut chatter = Chatter::open(&self.server, &self.target(name), &[]);
        assert_eq!(chatter.expect("welcome")["username"], name);
        chatter
    }

    fn assert_refused(&self, name: &str) {
        let target = format!("/ws?username={name}");
        let close = Chatter::open(&self.server, &target, &[]).close_frame();
        assert_eq!((close.0, &*close.1), (4001, "유효하지 않은 티켓"));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

fn mint(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let exp = now.expect("a clock after 1970").as_secs() + 3_600;
    minted(&json!({"sub": name, "exp": exp}), SECRET)
}

fn whisper(to: &str) -> Value {
    json!({"type": "whisper", "to": to, "content": "비밀", "id": "w"})
}

#[test]
fn a_guest_does_not_become_a_back_ends_user_who_has_gone() {
    let backend = Backend::start("gone", None);
    let mut kim = backend.server.member("kim", "tech");
    let mut boss = backend.user("boss");
    boss.join("tech");
    kim.until("user_joined");
    boss.send(json!({"type": "chat", "room": "tech", "content": "hi", "id": "b"}));
    boss.until("ack");
    backend.assert_refused("boss");
    boss.close();
    assert_eq!(kim.until("user_left")["username"], "boss");
    // Nobody speaks as them, reads their whispers or answers to their ids.
    backend.assert_refused("boss");
    kim.refused(whisper("boss"), "user_not_found");
    let mut boss = backend.user("boss");
    boss.join("tech");
    boss.send(json!({"type": "chat", "room": "tech", "content": "hi", "id": "b"}));
    boss.expect("ack");
    kim.send(whisper("boss"));
    assert_eq!(boss.until("whisper")["content"], "비밀");
}

#[test]
fn what_was_a_guests_is_not_the_users_of_the_same_name() {
    let backend = Backend::start("before", None);
    let mut kim = backend.server.member("kim", "tech");
    let mut guest = backend.server.member("boss", "tech");
    kim.send(whisper("boss"));
    guest.until("whisper");
    guest.send(json!({"type": "chat", "room": "tech", "content": "hi", "id": "b"}));
    guest.until("ack");
    let mut boss = backend.user("boss");
    assert_eq!(guest.close_frame().0, 4001);
    boss.join("tech");
    boss.send(json!({"type": "chat", "room": "tech", "content": "hi", "id": "b"}));
    // It is said, not only acknowledged.
    assert_eq!(boss.expect("chat")["guest"], Value::Null);
    boss.expect("ack");
    kim.send(whisper("boss"));
    assert_eq!(boss.expect("whisper")["from"], "kim");
}

#[test]
fn what_a_guest_says_is_marked_beside_users_and_not_in_the_demo() {
    let backend = Backend::start("marks", None);
    let mut boss = backend.user("boss");
    boss.join("tech");
    let mut kim = backend.server.member("kim", "tech");
    kim.say("tech", "안녕하세요");
    kim.send(whisper("boss"));
    assert_eq!(boss.until("chat")["guest"], true);
    assert_eq!(boss.expect("whisper")["guest"], true);
    assert_eq!(boss.say("tech", "안녕")["guest"], Value::Null);
    let marks = |history: &Value| -> Vec<Value> {
        let all = history.as_array().expect("is a list").iter();
        all.map(|message| message["guest"].clone()).collect()
    };
    let expected = [json!(true), Value::Null];
    let joined = backend.server.guest("lee").join("tech");
    assert_eq!(marks(&joined["history"]), expected);
    let page = backend.bearer("GET", "/rooms/tech/history", "boss");
    assert_eq!(marks(&page["messages"]), expected);

    let demo = Server::start(&[]);
    let (mut kim, mut lee) = (demo.member("kim", "tech"), demo.member("lee", "tech"));
    assert_eq!(lee.say("tech", "안녕하세요")["guest"], Value::Null);
    lee.send(whisper("kim"));
    assert_eq!(kim.until("whisper")["guest"], Value::Null);
    let page = demo.get("/rooms/tech/history").json();
    assert_eq!(marks(&page["messages"]), [Value::Null]);
}

#[test]
fn guests_are_marked_wherever_they_are_named_beside_users_and_not_in_the_demo() {
    let backend = Backend::start("listed", None);
    let mut boss = backend.user("boss");
    let joined = boss.join("tech");
    assert_eq!(
        (&joined["online_users"], &joined["guests"]),
        (&json!([]), &json!([]))
    );
    let mut kim = Chatter::open(&backend.server, "/ws?username=kim", &[]);
    let welcome = json!({"type": "welcome", "username": "kim", "expires_at": null, "guest": true});
    assert_eq!(kim.expect("welcome"), welcome);
    let joined = kim.join("tech");
    assert_eq!(
        (&joined["online_users"], &joined["guests"]),
        (&json!(["boss"]), &json!([]))
    );
    let came = json!({"type": "user_joined", "room": "tech", "username": "kim", "guest": true});
    assert_eq!(boss.expect("user_joined"), came);
    let mut other = backend.user("other");
    let joined = other.join("tech");
    assert_eq!(joined["online_users"], json!(["boss", "kim"]));
    assert_eq!(joined["guests"], json!(["kim"]));
    assert_eq!(boss.expect("user_joined")["guest"], Value::Null);
    let room = backend.bearer("GET", "/rooms/tech", "boss");
    assert_eq!(room["online_users"], json!(["boss", "kim", "other"]));
    assert_eq!(room["guests"], json!(["kim"]));
    other.leave("tech");
    assert_eq!(boss.expect("user_left")["guest"], Value::Null);
    kim.leave("tech");
    let left = json!({"type": "user_left", "room": "tech", "username": "kim", "guest": true});
    assert_eq!(boss.expect("user_left"), left);

    let demo = Server::start(&[]);
    let mut kim = demo.member("kim", "tech");
    assert_eq!(demo.guest("lee").join("tech")["guests"], Value::Null);
    assert_eq!(kim.expect("user_joined")["guest"], Value::Null);
    assert_eq!(demo.get("/rooms/tech").json()["guests"], Value::Null);
}

const ATTACKER: [u8; 4] = [127, 0, 0, 2];
const OTHER: [u8; 4] = [127, 0, 0, 3];

/// What becomes of an opening handshake from an address: the first byte of the first frame, or the status.
fn ask(server: &Server, from: [u8; 4], target: &str) -> Result<u8, u16> {
    let mut http = Http::new(stream_from(from, server.address));
    http.send(opening(target, &server.host(), ""));
    let response = http.response();
    match response.status {
        101 => Ok(http.frame().first),
        429 => {
            response.assert_error(429, "too_many_requests");
            let seconds: u64 = response.required("retry-after").parse().expect("seconds");
            assert!(seconds > 0);
            Err(429)
        }
        other => Err(other),
    }
}

#[test]
fn who_tries_a_thousand_names_of_accounts_learns_the_first_of_them() {
    let hash = DEMO_ACCOUNTS.trim().trim_start_matches("admin");
    let accounts: String = (0..1_000).map(|n| format!("u{n}{hash}\n")).collect();
    let backend = Backend::start("names", Some(&accounts));
    let server = &backend.server;
    let began = Instant::now();
    let mut refused = 0;
    for n in 0..1_000 {
        match ask(server, ATTACKER, &format!("/ws?username=u{n}")) {
            Ok(first) => {
                assert_ne!(first, FIN | TEXT, "no welcome");
                refused += 1;
            }
            Err(status) => assert_eq!(status, 429),
        }
    }
    let refill = GUEST_REFUSALS_LOOPBACK_REFILL.as_millis();
    let allowed = u128::from(GUEST_REFUSALS_LOOPBACK) + began.elapsed().as_millis() / refill;
    assert!((u128::from(GUEST_REFUSALS_LOOPBACK)..=allowed).contains(&refused));
    // Nobody at another address is affected, and nobody with a ticket.
    assert_eq!(ask(server, OTHER, "/ws?username=free"), Ok(FIN | TEXT));
    assert_ne!(ask(server, OTHER, "/ws?username=u1"), Ok(FIN | TEXT));
    let target = backend.target("boss");
    assert_eq!(ask(server, ATTACKER, &target), Ok(FIN | TEXT));
}
