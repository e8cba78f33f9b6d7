//! What the claims `rooms` and `write` permit: which rooms exist for their bearer, and where they may speak.

use serde_json::{Value, json};

use crate::support::backend::{Backend, SECRET};
use crate::support::token::{bearer, minted};
use crate::support::{Chatter, percent_encoded};

const NEVER: u64 = 4_000_000_000;

fn token_until(exp: u64, sub: &str, claims: &Value) -> String {
    let mut all = json!({"sub": sub, "exp": exp});
    for (name, value) in claims.as_object().expect("an object") {
        all[name] = value.clone();
    }
    minted(&all, SECRET)
}

fn token(sub: &str, claims: &Value) -> String {
    token_until(NEVER, sub, claims)
}

impl Backend {
    fn chatter(&self, token: &str) -> Chatter {
        let target = format!("/ws?ticket={}", self.ticket(token));
        let mut chatter = Chatter::open(&self.server, &target, &[]);
        chatter.expect("welcome");
        chatter
    }

    fn create(&self, token: &str, room: &str) -> u16 {
        let body = json!({"name": room}).to_string();
        let mut http = self.server.connect();
        http.post_with("/rooms", &bearer(token), body).status
    }

    /// The names in `GET /rooms`, and in the answer to `room_list`, which are the same.
    fn rooms(&self, token: &str) -> Vec<String> {
        let names = |list: &Value| -> Vec<String> {
            let rooms = list["rooms"].as_array().expect("a list").iter();
            let mut names: Vec<_> = rooms
                .map(|room| room["name"].as_str().expect("a name").to_owned())
                .collect();
            names.sort_unstable();
            names
        };
        let over_http = names(&self.request("GET", "/rooms", token).json());
        let mut chatter = self.chatter(token);
        chatter.send(json!({"type": "room_list"}));
        assert_eq!(names(&chatter.expect("room_list")), over_http);
        over_http
    }
}

const ROOMS: [&str; 4] = ["team-a", "team-b", "lobby", "caf\u{e9}"];

/// A server with [`ROOMS`].
fn backend(name: &str) -> Backend {
    let backend = Backend::start(name, &[]);
    let anybody = token("누구나", &json!({}));
    for room in ROOMS {
        assert_eq!(backend.create(&anybody, room), 201);
    }
    backend
}

#[test]
fn a_room_that_the_claim_does_not_name_is_neither_entered_nor_read_nor_created_nor_listed() {
    let backend = backend("rooms-claim");
    let hong = token("홍길동", &json!({"rooms": ["team-*", "cafe\u{301}"]}));
    let mut chatter = backend.chatter(&hong);
    for room in ["lobby", "new", "team", "team-"] {
        let may = room == "team-";
        let join = json!({"type": "join", "room": room, "id": "1"});
        match may {
            true => _ = chatter.join(room),
            false => assert_eq!(chatter.refused(join, "forbidden")["id"], "1"),
        }
        let expected = if may { 409 } else { 403 };
        assert_eq!(backend.create(&hong, room), expected, "{room}");
        for path in ["", "/history"] {
            let target = format!("/rooms/{}{path}", percent_encoded(room));
            let response = backend.request("GET", &target, &hong);
            match may {
                true => assert_eq!(response.status, 200),
                false => response.assert_error(403, "forbidden"),
            }
        }
    }
    assert_eq!(
        backend.rooms(&hong),
        ["caf\u{e9}", "team-", "team-a", "team-b"]
    );
    for room in ["caf\u{e9}", "cafe\u{301}"] {
        let target = format!("/rooms/{}", percent_encoded(room));
        assert_eq!(backend.request("GET", &target, &hong).status, 200);
    }
    // Nothing has come of what was refused, and others are not bound.
    let mut all = ROOMS.to_vec();
    all.push("team-");
    all.sort_unstable();
    assert_eq!(backend.rooms(&token("누구나", &json!({}))), all);
    let moderator = token("운영자", &json!({"rooms": [], "write": [], "admin": true}));
    assert_eq!(backend.rooms(&moderator), all);
    assert_eq!(backend.create(&moderator, "anything"), 201);
    assert!(
        backend
            .rooms(&token("홍길동", &json!({"rooms": []})))
            .is_empty()
    );
}

#[test]
fn somebody_speaks_only_where_the_claim_says_so_and_hears_all() {
    let backend = backend("write-claim");
    let mut speaker = backend.chatter(&token("김철수", &json!({})));
    let claims = json!({"rooms": ["team-*"], "write": ["*-a", "lobby"]});
    let mut hong = backend.chatter(&token("홍길동", &claims));
    for room in ["team-a", "team-b"] {
        speaker.join(room);
        hong.join(room);
        speaker.until("user_joined");
    }
    hong.say("team-a", "여기서는 된다");
    speaker.until("chat");
    let chat = json!({"type": "chat", "room": "team-b", "content": "안 된다", "id": "7"});
    assert_eq!(hong.refused(chat, "forbidden")["id"], "7");
    let lobby = json!({"type": "chat", "room": "lobby", "content": "들어간 적 없다"});
    hong.refused(lobby, "not_in_room");
    speaker.say("team-b", "들린다");
    assert_eq!(hong.expect("chat")["content"], "들린다");
    speaker.expect_no_news();
    // A whisper is in no room.
    hong.send(json!({"type": "whisper", "to": "김철수", "content": "귓속말"}));
    assert_eq!(speaker.until("whisper")["content"], "귓속말");
}

#[test]
fn the_claims_of_a_newer_token_are_in_force_from_then_on() {
    let backend = backend("newer-claims");
    let of = |exp: u64, claims: &Value| token_until(exp, "홍길동", claims);
    let mut hong = backend.chatter(&of(NEVER, &json!({"rooms": ["lobby"]})));
    hong.refused(json!({"type": "join", "room": "team-a"}), "forbidden");
    let extend = |chatter: &mut Chatter, exp: u64, claims: &Value| {
        let ticket = backend.ticket(&of(exp, claims));
        chatter.send(json!({"type": "auth", "ticket": ticket}));
        chatter.expect("welcome");
    };
    // One that ends sooner changes nothing.
    extend(&mut hong, NEVER - 1, &json!({}));
    hong.refused(json!({"type": "join", "room": "team-a"}), "forbidden");
    extend(&mut hong, NEVER + 1, &json!({"rooms": ["team-*"]}));
    hong.join("team-a");
    hong.say("team-a", "이제는 된다");
    hong.refused(json!({"type": "join", "room": "lobby"}), "forbidden");
    extend(&mut hong, NEVER + 2, &json!({"write": []}));
    hong.refused(
        json!({"type": "chat", "room": "team-a", "content": "더는"}),
        "forbidden",
    );
    hong.join("lobby");
}

#[test]
fn a_token_whose_claims_are_not_as_they_should_be_is_refused_with_the_reason() {
    let backend = backend("ill-claims");
    for (claims, reason) in [
        (json!({"admin": "true"}), "the token's admin"),
        (json!({"rooms": "lobby"}), "the token's rooms or write"),
        (json!({"write": [7]}), "the token's rooms or write"),
        (json!({"rooms": vec!["a"; 65]}), "more than 64 patterns"),
        (json!({"write": ["가".repeat(65)]}), "1 to 64 characters"),
    ] {
        let response = backend.request("GET", "/rooms", &token("홍길동", &claims));
        response.assert_error(401, "invalid_token");
        let challenge = response.required("www-authenticate");
        assert!(challenge.contains(reason), "{challenge}");
    }
}
