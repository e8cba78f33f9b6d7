//! Rooms over REST: create, list, look at, read back.

use serde_json::{Value, json};

use crate::support::chatter::{contents, names, position_parts};
use crate::support::{self, Http, Server, assert_no_failures, stream_from};

fn create(server: &Server, room: Value) -> support::Response {
    server.post("/rooms", &room.to_string())
}

#[test]
fn a_created_room_is_described_and_located() {
    let server = Server::start(&[]);
    let created = create(&server, json!({"name": "tech", "max_users": 7}));
    assert_eq!(created.status, 201);
    assert_eq!(created.required("location"), "/rooms/tech");
    let room = created.json();
    assert_eq!(room["name"], "tech");
    assert_eq!(room["max_users"], 7);
    assert_eq!(room["users"], 0);
    assert_eq!(room["messages"], 0);
    let time = room["created_at"].as_str().unwrap_or_default();
    assert!(time.len() == 20 && time.ends_with('Z'), "{room}");
    humantime::parse_rfc3339(time).expect("created_at is RFC 3339");
}

#[test]
fn a_room_without_a_limit_of_its_own_holds_a_hundred_users_or_what_an_option_says() {
    let server = Server::start(&[]);
    assert_eq!(
        create(&server, json!({"name": "a"})).json()["max_users"],
        100
    );
    let server = Server::start(&["--room-users", "3"]);
    assert_eq!(create(&server, json!({"name": "a"})).json()["max_users"], 3);
    server.member("guest", "b");
    assert_eq!(server.get("/rooms/b").json()["max_users"], 3);
}

#[test]
fn a_name_can_be_taken_once() {
    let server = Server::start(&[]);
    assert_eq!(create(&server, json!({"name": "tech"})).status, 201);
    create(&server, json!({"name": "tech", "max_users": 2})).assert_error(409, "room_exists");
    assert_eq!(server.get("/rooms/tech").json()["max_users"], 100);
    assert_eq!(create(&server, json!({"name": "Tech"})).status, 201);
}

#[test]
fn a_room_that_a_member_made_exists_too() {
    let server = Server::start(&[]);
    let _member = server.member("홍길동", "tech");
    create(&server, json!({"name": "tech"})).assert_error(409, "room_exists");
}

#[test]
fn a_bad_name_is_refused() {
    let server = Server::start(&[]);
    for name in [
        String::new(),
        "가".repeat(65),
        "a\nb".to_owned(),
        "\u{0}".to_owned(),
        "a\u{7f}".to_owned(),
        "a\u{85}".to_owned(),
    ] {
        create(&server, json!({"name": name})).assert_error(400, "bad_room_name");
    }
    assert_eq!(
        create(&server, json!({"name": "가".repeat(64)})).status,
        201
    );
}

#[test]
fn a_bad_limit_is_refused() {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    for limit in [
        json!(0),
        json!(-1),
        json!(1_000_001),
        json!(1.5),
        json!("7"),
        json!(true),
        json!([7]),
        json!(1e30),
        json!(u64::MAX),
    ] {
        let refused = create(&server, json!({"name": "a", "max_users": limit}));
        if refused.status != 400 || refused.error_code() != "bad_request" {
            failures.push(format!("{limit}: {refused:?} {}", refused.text()));
        }
    }
    assert_no_failures(&failures);
    assert_eq!(server.get("/rooms/a").status, 404);
    for limit in [1, 1_000_000] {
        let name = limit.to_string();
        let created = create(&server, json!({"name": name, "max_users": limit}));
        assert_eq!(created.json()["max_users"], limit);
    }
}

#[test]
fn a_body_that_does_not_describe_a_room_is_refused() {
    let server = Server::start(&[]);
    for (body, code) in [
        ("", "bad_json"),
        ("{", "bad_json"),
        ("{\"name\":\"a\"} x", "bad_json"),
        ("{'name':'a'}", "bad_json"),
        ("[]", "bad_request"),
        ("\"a\"", "bad_request"),
        ("null", "bad_request"),
        ("{}", "bad_request"),
        ("{\"name\":5}", "bad_request"),
        ("{\"name\":null}", "bad_request"),
        ("{\"max_users\":5}", "bad_request"),
    ] {
        let refused = server.post("/rooms", body);
        assert_eq!(refused.status, 400, "{body}");
        assert_eq!(refused.error_code(), code, "{body}");
    }
    let nested = "[".repeat(60_000);
    assert_eq!(server.post("/rooms", &nested).status, 400);
    let mut http = server.connect();
    let not_utf8 = b"{\"name\":\"\xff\"}";
    http.post_with("/rooms", "", not_utf8)
        .assert_error(400, "bad_json");
}

#[test]
fn unknown_fields_are_ignored() {
    let server = Server::start(&[]);
    let room = json!({"name": "a", "colour": "red", "users": 5});
    let created = create(&server, room);
    assert_eq!(created.status, 201);
    assert_eq!(created.json()["users"], 0);
}

#[test]
fn the_list_has_every_room_with_its_numbers() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/rooms").json(), json!({"rooms": []}));
    for name in ["tech", "잡담"] {
        create(&server, json!({"name": name, "max_users": 5}));
    }
    let mut member = server.member("홍길동", "tech");
    let _other = server.member("김철수", "tech");
    member.say("tech", "하나");
    member.say("tech", "둘");
    let list = server.get("/rooms").json();
    let rooms = list["rooms"].as_array().expect("a list of rooms");
    assert_eq!(rooms.len(), 2);
    let room = |name: &str| {
        rooms
            .iter()
            .find(|room| room["name"] == name)
            .unwrap_or_else(|| panic!("no {name} in {list}"))
    };
    assert_eq!(room("tech")["users"], 2);
    assert_eq!(room("tech")["messages"], 2);
    assert_eq!(room("tech")["max_users"], 5);
    assert_eq!(room("잡담")["users"], 0);
    assert!(room("잡담")["created_at"].is_string());
}

#[test]
fn a_room_lists_its_online_users() {
    let server = Server::start(&[]);
    let _one = server.member("홍길동", "tech");
    let _two = server.member("김철수", "tech");
    let _two_again = server.member("김철수", "tech");
    let room = server.get("/rooms/tech").json();
    assert_eq!(names(&room["online_users"]), ["김철수", "홍길동"]);
    assert_eq!(room["online_count"], 2);
    assert_eq!(room["users"], 2);
    assert_eq!(room["name"], "tech");
}

#[test]
fn an_unknown_room_is_not_found() {
    let server = Server::start(&[]);
    for target in [
        "/rooms/none",
        "/rooms/none/history",
        "/rooms/none/history?since=a:1",
    ] {
        server.get(target).assert_error(404, "room_not_found");
    }
}

#[test]
fn the_history_is_the_last_50_in_order() {
    let server = Server::start(&[]);
    let mut member = server.member("홍길동", "tech");
    let last = (1..=60)
        .map(|n| member.say("tech", &format!("{n}")))
        .last()
        .expect("sixty messages");
    let history = server.get("/rooms/tech/history").json();
    assert_eq!(history["room"], "tech");
    let expected: Vec<String> = (11..=60).map(|n| n.to_string()).collect();
    assert_eq!(contents(&history["messages"]), expected);
    assert_eq!(
        history["messages"][49], last,
        "history differs from what was told"
    );
    assert_eq!(history["position"], last["position"]);
    assert_eq!(history["recovered"], false);
    assert_eq!(server.get("/rooms/tech").json()["messages"], 60);
}

#[test]
fn the_history_of_a_quiet_room_is_empty() {
    let server = Server::start(&[]);
    create(&server, json!({"name": "quiet"}));
    let history = server.get("/rooms/quiet/history").json();
    assert_eq!(history["messages"], json!([]));
    position_parts(&history["position"]);
}

#[test]
fn the_history_since_a_position_is_what_came_after_it() {
    let server = Server::start(&[]);
    let mut member = server.member("홍길동", "tech");
    let said: Vec<Value> = (1..=5)
        .map(|n| member.say("tech", &format!("{n}")))
        .collect();
    let since = |position: &str| {
        let target = format!("/rooms/tech/history?since={position}");
        server.get(&target).json()
    };
    let (epoch, sequence) = position_parts(&said[1]["position"]);
    let position = format!("{epoch}:{sequence}");
    for written in [position.clone(), position.replace(':', "%3A")] {
        let history = since(&written);
        assert_eq!(contents(&history["messages"]), ["3", "4", "5"]);
        assert_eq!(history["recovered"], true);
    }
    let up_to_date = since(said[4]["position"].as_str().expect("a position"));
    assert_eq!(up_to_date["messages"], json!([]));
    assert_eq!(up_to_date["recovered"], true);
    for lost in [
        format!("{epoch}:{}", sequence + 1000),
        format!("0123456789abcdef:{sequence}"),
    ] {
        let history = since(&lost);
        assert_eq!(contents(&history["messages"]), ["1", "2", "3", "4", "5"]);
        assert_eq!(history["recovered"], false, "{lost}");
    }
}

#[test]
fn a_malformed_position_is_refused_or_not_recovered() {
    let server = Server::start(&[]);
    server.member("홍길동", "tech").say("tech", "1");
    for since in ["", "x", "a:b", ":", "1:-1", "a:99999999999999999999999"] {
        let response = server.get(&format!("/rooms/tech/history?since={since}"));
        match response.status {
            200 => {
                assert_eq!(response.json()["recovered"], false, "{since}");
                assert_eq!(contents(&response.json()["messages"]), ["1"], "{since}");
            }
            _ => response.assert_error(400, "bad_request"),
        }
    }
}

#[test]
fn rooms_over_the_limit_of_the_server_are_refused() {
    let server = Server::start(&["--rooms", "2"]);
    assert_eq!(create(&server, json!({"name": "a"})).status, 201);
    let _member = server.member("홍길동", "a");
    let mut other = server.member("김철수", "b");
    let refused = create(&server, json!({"name": "c"}));
    assert!(matches!(refused.status, 429 | 503), "{refused:?}");
    refused.error_code();
    other.refused(json!({"type": "join", "room": "c"}), "too_many_rooms");
    assert_eq!(server.get("/rooms/c").status, 404);
    assert_eq!(server.get("/rooms/a").status, 200);
}

#[test]
fn an_empty_room_made_by_a_join_makes_way_for_a_new_one() {
    let server = Server::start(&["--rooms", "2"]);
    let mut member = server.member("홍길동", "a");
    member.join("b");
    member.leave("b");
    assert_eq!(create(&server, json!({"name": "c"})).status, 201);
    assert_eq!(server.get("/rooms/b").status, 404);
    member.say("a", "아직 있어요");
}

#[test]
fn an_empty_room_created_over_rest_stays() {
    let server = Server::start(&["--rooms", "1"]);
    assert_eq!(create(&server, json!({"name": "a"})).status, 201);
    create(&server, json!({"name": "b"})).error_code();
    server
        .guest("홍길동")
        .refused(json!({"type": "join", "room": "b"}), "too_many_rooms");
    assert_eq!(server.get("/rooms/a").status, 200);
}

#[test]
fn whoever_creates_rooms_without_end_has_to_wait_and_nobody_else() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let (mut created, mut refused) = (0, 0);
    for n in 0..1_000 {
        let answer = http.post("/rooms", &json!({"name": format!("r{n}")}).to_string());
        match answer.status {
            201 => created += 1,
            // The last ones, on a machine so slow that the share is full before the end.
            503 => answer.assert_error(503, "too_many_rooms"),
            _ => {
                answer.assert_error(429, "too_many_requests");
                let seconds = answer.required("retry-after").parse::<u64>();
                assert!(seconds.is_ok_and(|seconds| seconds > 0), "{answer:?}");
                assert!(created >= 100, "{created}");
                refused += 1;
            }
        }
    }
    assert!((100..=250).contains(&created) && refused > 0, "{created}");
    let mut other = Http::new(stream_from([127, 0, 0, 2], server.address));
    assert_eq!(other.post("/rooms", r#"{"name":"other"}"#).status, 201);
    server.guest("홍길동").join("a new room");
    // Whoever waits is served again.
    loop {
        std::thread::sleep(std::time::Duration::from_millis(200));
        match http.post("/rooms", r#"{"name":"again"}"#).status {
            201 => break,
            status => assert_eq!(status, 429),
        }
    }
}
