//! What moderators can ask for, sent by a broken or hostile back end: each request and command gets its error, and nothing is
//! said or changed.

use serde_json::{Value, json};

use crate::accounts::Folder;
use crate::support::http::JSON;
use crate::support::token::bearer;
use crate::support::{Chatter, Response, Server, assert_no_failures};

const KEY: &str = "a-key-of-this-test:long.enough/123456";
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A demo with a key, the room `tech` with one message, and 길동 in it, who listens.
pub struct Stage {
    pub server: Server,
    member: Chatter,
    position: String,
    before: Value,
    _folder: Folder,
}

impl Stage {
    pub fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let keys = folder.write("keys", &format!("shop:{KEY}\n"));
        let server = folder.serve(&["--api-key-file", &keys]);
        let mut member = server.member("길동", "tech");
        let position = member.say("tech", "처음")["position"].clone();
        let mut stage = Self {
            server,
            member,
            position: position.as_str().expect("a position").to_owned(),
            before: Value::Null,
            _folder: folder,
        };
        stage.before = stage.state();
        stage
    }

    /// All that moderators can change and see.
    fn state(&self) -> Value {
        let targets = [
            "/rooms",
            "/rooms/tech",
            "/rooms/tech/history",
            "/users",
            "/bans",
        ];
        targets
            .map(|target| self.ask("GET", target, "").json())
            .to_vec()
            .into()
    }

    fn ask(&self, method: &str, target: &str, body: &str) -> Response {
        let mut http = self.server.connect();
        match body {
            "" => http.request(method, target, &bearer(KEY)),
            body => {
                let fields = format!("{JSON}{}", bearer(KEY));
                http.send_with(method, target, &fields, body)
            }
        }
    }

    /// What is wrong if a request is not refused so.
    fn fault(&self, (method, target, body): (&str, &str, &str), error: &str) -> Option<String> {
        let response = self.ask(method, target, body);
        let code = match response.status {
            ..400 => "is no refusal".to_owned(),
            _ => response.error_code(),
        };
        let found = format!("{} {code}", response.status);
        let shown: String = format!("{method} {target} {body}")
            .chars()
            .take(120)
            .collect();
        (found != error).then(|| format!("{shown}: {found} instead of {error}"))
    }

    /// Nobody has heard anything, nothing has changed, and the server does what is right as ever.
    pub fn end(mut self, failures: &[String]) {
        assert_no_failures(failures);
        self.member.expect_no_news();
        assert_eq!(self.state(), self.before);
        let said = self.ask("POST", "/rooms/tech/messages", r#"{"content":"끝"}"#);
        assert_eq!(said.status, 201);
        let (epoch, _) = self.position.split_once(':').expect("EPOCH:SEQ");
        assert_eq!(said.json()["position"], format!("{epoch}:2"));
    }
}

/// JSON that is nested so deep.
pub fn deep(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Bodies that are wrong for every route that takes one, with their errors.
fn bad_bodies() -> Vec<(String, &'static str)> {
    let deep = deep(20_000);
    let mut bodies = vec![
        ("{".to_owned(), "400 bad_json"),
        ("moderate!".to_owned(), "400 bad_json"),
        ("{} {}".to_owned(), "400 bad_json"),
        ("{\"a\":\"\u{1}\"}".to_owned(), "400 bad_json"),
        ("{'a':1}".to_owned(), "400 bad_json"),
        (r#"{"seconds":1e999}"#.to_owned(), "400 bad_json"),
        (format!("[{deep}]"), "400 bad_request"),
        (format!(r#"{{"content":{deep}}}"#), "400 bad_request"),
        (format!(r#"{{"messages":{deep}}}"#), "400 bad_request"),
        (format!(r#"{{"write":{deep}}}"#), "400 bad_request"),
        ("[]".to_owned(), "400 bad_request"),
        (r#"[null,null,"x"]"#.to_owned(), "400 bad_request"),
        ("null".to_owned(), "400 bad_request"),
        ("7".to_owned(), "400 bad_request"),
        (r#""content""#.to_owned(), "400 bad_request"),
    ];
    for twice in ["content", "reason", "seconds", "max_users", "kept", "id"] {
        let body = format!(r#"{{"{twice}":null,"{twice}":null}}"#);
        bodies.push((body, "400 bad_request"));
    }
    bodies
}

#[test]
fn a_body_that_is_none_is_refused_by_every_route_that_takes_one() {
    let stage = Stage::new("hostile-bodies");
    let mut failures = Vec::new();
    for (method, target) in [
        ("POST", "/rooms/tech/messages"),
        ("POST", "/users/%EA%B8%B8%EB%8F%99/messages"),
        ("PUT", "/users/%EA%B8%B8%EB%8F%99/ban"),
        ("PATCH", "/rooms/tech"),
    ] {
        for (body, error) in bad_bodies() {
            failures.extend(stage.fault((method, target, &body), error));
        }
        failures.extend(stage.fault((method, target, ""), "411 length_required"));
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let mut http = stage.server.connect();
        let fields = format!("{form}{}", bearer(KEY));
        let response = http.send_with(method, target, &fields, "content=x");
        response.assert_error(415, "unsupported_media_type");
    }
    stage.end(&failures);
}

const GILDONG: &str = "/users/%EA%B8%B8%EB%8F%99";

/// Bodies with one field that is wrong, for each route that takes one.
#[rustfmt::skip]
const BAD_FIELDS: [(&str, &str, &[&str]); 4] = [
    ("POST", "/rooms/tech/messages", &[
        "{}", r#"{"content":null}"#, r#"{"content":""}"#, r#"{"content":["x"]}"#, r#"{"content":"x","username":7}"#,
        r#"{"content":"x","username":""}"#, r#"{"content":"x","username":" "}"#, r#"{"content":"x","username":"a\nb"}"#,
        r#"{"content":"x","id":7}"#, r#"{"content":"x","messages":[{"content":"x"}]}"#,
    ]),
    ("POST", "/users/%EA%B8%B8%EB%8F%99/messages", &[
        "{}", r#"{"content":""}"#, r#"{"content":{}}"#, r#"{"content":"x","from":"\u0000"}"#, r#"{"content":"x","from":[]}"#,
    ]),
    ("PUT", "/users/%EA%B8%B8%EB%8F%99/ban", &[
        r#"{"seconds":0}"#, r#"{"seconds":-1}"#, r#"{"seconds":1.5}"#, r#"{"seconds":"60"}"#, r#"{"seconds":315360001}"#,
        r#"{"seconds":99999999999999999999999999}"#, r#"{"reason":"a\u0085b"}"#, r#"{"reason":true}"#, r#"{"room":7}"#,
        r#"{"room":""}"#,
    ]),
    ("PATCH", "/rooms/tech", &[
        r#"{"max_users":0}"#, r#"{"max_users":1000001}"#, r#"{"max_users":"7"}"#, r#"{"max_users":4294967296}"#,
        r#"{"history_messages":1001}"#, r#"{"history_messages":-1}"#, r#"{"history_seconds":0}"#,
        r#"{"history_seconds":99999999999999999999999999}"#, r#"{"write":"nobody"}"#, r#"{"write":["everyone"]}"#,
        r#"{"kept":"yes"}"#, r#"{"max_users":7,"kept":1}"#,
    ]),
];

#[test]
fn a_field_that_is_wrong_is_refused() {
    let stage = Stage::new("hostile-fields");
    let long = |count| "가".repeat(count);
    let mut failures = Vec::new();
    for (method, target, bodies) in BAD_FIELDS {
        for body in bodies {
            failures.extend(stage.fault((method, target, body), "400 bad_request"));
        }
    }
    let messages = format!("{GILDONG}/messages");
    let ban = format!("{GILDONG}/ban");
    let id = "x".repeat(65);
    for (method, target, body) in [
        (
            "POST",
            "/rooms/tech/messages",
            format!(r#"{{"content":"x","username":"{}"}}"#, long(256)),
        ),
        (
            "POST",
            "/rooms/tech/messages",
            format!(r#"{{"content":"x","id":"{id}"}}"#),
        ),
        (
            "POST",
            &messages,
            format!(r#"{{"content":"x","from":"{}"}}"#, long(256)),
        ),
        ("PUT", &ban, format!(r#"{{"reason":"{}"}}"#, long(257))),
    ] {
        failures.extend(stage.fault((method, target, &body), "400 bad_request"));
    }
    let bad_room = format!(r#"{{"room":"{}"}}"#, long(65));
    for body in [&bad_room, r#"{"room":".."}"#, r#"{"room":"a\u202eb"}"#] {
        failures.extend(stage.fault(("PUT", &ban, body), "400 bad_room_name"));
    }
    let content = format!(r#"{{"content":"{}"}}"#, long(4097));
    for target in ["/rooms/tech/messages", &messages] {
        failures.extend(stage.fault(("POST", target, &content), "413 content_too_long"));
    }
    stage.end(&failures);
}

#[test]
fn a_batch_of_which_one_message_is_wrong_is_refused_as_a_whole() {
    let stage = Stage::new("hostile-batches");
    let good = r#"{"content":"x"}"#;
    let batch = |items: &str| format!(r#"{{"messages":[{items}]}}"#);
    let many = batch(&vec![good; 1001].join(","));
    let mut failures = Vec::new();
    for (body, error) in [
        (many, "400 bad_request"),
        (batch(""), "400 bad_request"),
        (r#"{"messages":"x"}"#.to_owned(), "400 bad_request"),
        (
            r#"{"messages":{"0":{"content":"x"}}}"#.to_owned(),
            "400 bad_request",
        ),
        (batch(&format!("{good},{{}}")), "400 bad_request"),
        (batch(&format!("{good},null")), "400 bad_request"),
        (batch(&format!(r#"{good},"x""#)), "400 bad_request"),
        (
            batch(&format!(r#"{good},["x",null,null]"#)),
            "400 bad_request",
        ),
        (
            batch(&format!(r#"{good},{{"content":""}}"#)),
            "400 bad_request",
        ),
        (
            batch(&format!(r#"{good},{{"content":"x","content":"y"}}"#)),
            "400 bad_request",
        ),
        (
            batch(&format!(r#"{good},{{"content":"x","username":"\u0007"}}"#)),
            "400 bad_request",
        ),
        (
            batch(&format!(r#"{good},{{"content":"{}"}}"#, "x".repeat(4097))),
            "413 content_too_long",
        ),
        (
            batch(&format!("{good},{}", deep(20_000))),
            "400 bad_request",
        ),
    ] {
        failures.extend(stage.fault(("POST", "/rooms/tech/messages", &body), error));
        failures.extend(stage.fault(("POST", "/rooms/none/messages", &body), error));
    }
    let whole = batch(good);
    failures.extend(stage.fault(
        ("POST", "/rooms/none/messages", &whole),
        "404 room_not_found",
    ));
    stage.end(&failures);
}

#[test]
fn a_body_of_one_byte_too_many_is_refused_before_it_is_read() {
    let stage = Stage::new("hostile-sizes");
    for (method, target, most) in [
        ("POST", "/rooms/tech/messages", BATCH_BYTES_MAX),
        ("POST", "/users/%EA%B8%B8%EB%8F%99/messages", 64 * 1024),
        ("PUT", "/users/%EA%B8%B8%EB%8F%99/ban", 64 * 1024),
        ("PATCH", "/rooms/tech", 64 * 1024),
    ] {
        let head = |fields: &str| {
            let host = stage.server.host();
            let bearer = bearer(KEY);
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{JSON}{bearer}{fields}\r\n")
        };
        let mut http = stage.server.connect();
        http.send(head(&format!("Content-Length: {}\r\n", most + 1)));
        http.response().assert_error(413, "content_too_large");
        // As one chunk, of which the last byte is too many.
        let mut http = stage.server.connect();
        http.send(head("Transfer-Encoding: chunked\r\n"));
        http.send_if_open(format!("{:x}\r\n", most + 1));
        http.response().assert_error(413, "content_too_large");
    }
    // The largest that is taken is only too long for a message.
    let content = "x".repeat(BATCH_BYTES_MAX - 14);
    let largest = format!(r#"{{"content":"{content}"}}"#);
    assert_eq!(largest.len(), BATCH_BYTES_MAX);
    let failures = stage.fault(
        ("POST", "/rooms/tech/messages", &largest),
        "413 content_too_long",
    );
    stage.end(failures.as_slice());
}

type Requests<const N: usize> = [(&'static str, String, &'static str); N];

/// The requests that name somebody in the path, and those that name a room.
fn requests_about(name: &str) -> (Requests<6>, Requests<4>) {
    let user = |rest: &str| format!("/users/{name}{rest}");
    let room = |rest: &str| format!("/rooms/{name}{rest}");
    let users = [
        ("GET", user(""), ""),
        ("POST", user("/messages"), r#"{"content":"x"}"#),
        ("DELETE", user("/connections"), ""),
        ("PUT", user("/ban"), "{}"),
        ("DELETE", user("/ban"), ""),
        ("POST", user("/revocations"), ""),
    ];
    let rooms = [
        ("POST", room("/messages"), r#"{"content":"x"}"#),
        ("PATCH", room(""), r#"{"max_users":7}"#),
        ("DELETE", room(""), ""),
        ("DELETE", room("/messages/0000000000000000:1"), ""),
    ];
    (users, rooms)
}

#[test]
fn a_name_that_nobody_can_have_is_refused() {
    let stage = Stage::new("hostile-names");
    let long = "a".repeat(256);
    let longer = "a".repeat(1_021);
    let longest = "%EA%B0%80".repeat(4_000);
    let mut failures = Vec::new();
    for (name, for_users, for_rooms) in [
        ("%00", "400 bad_request", "404 room_not_found"),
        ("a%0D%0AX:%20y", "400 bad_request", "404 room_not_found"),
        ("%C2%85", "400 bad_request", "404 room_not_found"),
        ("%20", "400 bad_request", "404 room_not_found"),
        (&long, "400 bad_request", "404 room_not_found"),
        (&longer, "400 bad_request", "400 bad_request"),
        // No UTF-8, such as a lone surrogate, or nothing that is percent-encoded.
        ("%ED%A0%80", "400 bad_request", "400 bad_request"),
        ("%FF", "400 bad_request", "400 bad_request"),
        ("%", "400 bad_request", "400 bad_request"),
        (&longest, "414 uri_too_long", "414 uri_too_long"),
    ] {
        let (users, rooms) = requests_about(name);
        for (method, target, body) in &users {
            failures.extend(stage.fault((method, target, body), for_users));
        }
        for (method, target, body) in &rooms {
            failures.extend(stage.fault((method, target, body), for_rooms));
        }
    }
    // A segment is one name, whatever it is.
    for name in [
        "..%2F..%2Ftech",
        "tech%2Fmessages",
        "%2e%2e",
        "TECH",
        "%F0%9F%91%8B",
    ] {
        let ([get, notify, kick, _, unban, _], rooms) = requests_about(name);
        for (method, target, body) in [get, notify, kick] {
            failures.extend(stage.fault((method, &target, body), "404 user_not_found"));
        }
        failures.extend(stage.fault((unban.0, &unban.1, unban.2), "404 not_found"));
        for (method, target, body) in &rooms {
            failures.extend(stage.fault((method, target, body), "404 room_not_found"));
        }
    }
    stage.end(&failures);
}

#[test]
fn a_position_of_no_message_deletes_none() {
    let stage = Stage::new("hostile-positions");
    let (epoch, _) = stage.position.split_once(':').expect("EPOCH:SEQ");
    let mut failures = Vec::new();
    let delete = |position: &str| format!("/rooms/tech/messages/{position}");
    for position in [
        format!("{epoch}:0"),
        format!("{epoch}:2"),
        format!("{epoch}:18446744073709551615"),
        "0000000000000000:1".to_owned(),
        "ffffffffffffffff:1".to_owned(),
    ] {
        failures.extend(stage.fault(("DELETE", &delete(&position), ""), "404 not_found"));
        let target = format!("/rooms/tech/history?before={position}");
        let page = stage.ask("GET", &target, "");
        assert_eq!(page.status, 200, "{position}");
        assert_eq!(page.json()["room"], "tech");
    }
    for position in [
        "1",
        ":",
        ":1",
        "x:1",
        &format!("{epoch}:"),
        &format!("{epoch}:-1"),
        &format!("{epoch}:01"),
        &format!("{epoch}:1:1"),
        &format!("{epoch}:18446744073709551616"),
        &format!(
            "{}:1",
            epoch
                .to_uppercase()
                .replace(|c: char| c.is_ascii_digit(), "A")
        ),
        "%00",
        &"1".repeat(4_000),
    ] {
        failures.extend(stage.fault(("DELETE", &delete(position), ""), "400 bad_request"));
        let target = format!("/rooms/tech/history?before={position}");
        let page = stage.ask("GET", &target, "").json();
        assert_eq!(
            (&page["recovered"], &page["more"]),
            (&json!(false), &json!(false))
        );
        assert_eq!(page["messages"][0]["content"], "처음");
    }
    stage.end(&failures);
}

#[test]
fn a_page_has_a_limit_and_begins_anywhere() {
    let stage = Stage::new("hostile-pages");
    let mut failures = Vec::new();
    let lists = ["/users", "/bans", "/rooms", "/rooms/tech/history"];
    for target in lists {
        for limit in [
            "-1",
            "0",
            "1001",
            "1e2",
            "",
            "%2B5",
            "5%20",
            "x",
            "%D9%A1",
            "1.0",
            &"9".repeat(40),
        ] {
            let target = format!("{target}?limit={limit}");
            failures.extend(stage.fault(("GET", &target, ""), "400 bad_request"));
        }
        failures.extend(stage.fault(
            ("GET", &format!("{target}?limit=%FF"), ""),
            "400 bad_request",
        ));
    }
    for target in ["/users", "/bans", "/rooms/tech/history"] {
        let target = format!("{target}?limit=201");
        failures.extend(stage.fault(("GET", &target, ""), "400 bad_request"));
    }
    for target in &lists[..3] {
        failures.extend(stage.fault(
            ("GET", &format!("{target}?after=%FF"), ""),
            "400 bad_request",
        ));
        let longest = "%EA%B0%80".repeat(800);
        for after in [
            "",
            "%00",
            "%0A",
            "a%0Ab%0Ac",
            "%F4%8F%BF%BF",
            "..%2F",
            &longest,
        ] {
            let page = stage.ask("GET", &format!("{target}?after={after}"), "");
            assert_eq!(page.status, 200, "{target} {after}");
        }
    }
    for (target, error) in [
        (
            "/users/%EA%B8%B8%EB%8F%99/connections?room=none",
            "404 user_not_found",
        ),
        (
            "/users/%EA%B8%B8%EB%8F%99/connections?reason=%0A",
            "400 bad_request",
        ),
        (
            "/users/%EA%B8%B8%EB%8F%99/connections?room=",
            "400 bad_request",
        ),
        ("/users/%EA%B8%B8%EB%8F%99/ban?room=%00", "404 not_found"),
        ("/users/%EA%B8%B8%EB%8F%99/ban?room=%FF", "400 bad_request"),
    ] {
        failures.extend(stage.fault(("DELETE", target, ""), error));
    }
    stage.end(&failures);
}
