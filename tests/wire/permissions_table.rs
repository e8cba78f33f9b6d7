//! README's table of who may do what, act by act: each row is tried by everybody over HTTP and over WebSocket, and every
//! route and command has a row.

use std::cell::Cell;
use std::collections::BTreeSet;

use sarang::conn::act::Kind;
use sarang::server::routes;
use serde_json::{Value, json};

use crate::accounts::{Folder, HONG, HONGS, KIM, KIMS, logged_in};
use crate::support::http::JSON;
use crate::support::subscriber::Subscriber;
use crate::support::token::{bearer, minted};
use crate::support::{Chatter, Response, Server, assert_no_failures, percent_encoded};

const README: &str = include_str!("../../README.md");
const HEADER: &str =
    "| act | over HTTP | over WebSocket | nobody | guest | user | moderator | key |";
const WHO: [&str; 5] = ["nobody", "guest", "user", "moderator", "key"];

const SECRET: &str = "a secret of this test, long enough for HS256";
const KEY: &str = "a-key-of-this-test:long.enough/123456";
const USER: &str = "홍길동";
const MODERATOR: &str = "김철수";
/// What the claims name, and no room here is called.
const ELSEWHERE: &str = "elsewhere-*";

/// Routes without a row: a page's other address, the opening handshake, and what is there for conformance suites.
const ROUTES_ASIDE: [&str; 4] = ["/dashboard/", "/ws", "/ws-echo", "/http-echo"];
/// Commands that are no moderators'.
const COMMANDS: [&str; 7] = [
    "join",
    "leave",
    "chat",
    "whisper",
    "room_list",
    "history",
    "auth",
];

/// A row: the condition in its act, the requests, the commands, and what each of [`WHO`] may.
struct Row {
    act: &'static str,
    condition: Option<&'static str>,
    requests: Vec<&'static str>,
    commands: Vec<&'static str>,
    may: [&'static str; 5],
}

/// What stands between backticks.
fn spans(cell: &'static str) -> Vec<&'static str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn rows() -> Vec<Row> {
    let (_, table) = README.split_once(HEADER).expect("README has the table");
    let lines = table.lines().skip(2);
    let rows = lines.map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
        let [act, requests, commands, may @ ..] = &cells[..] else {
            panic!("{row}");
        };
        let may: [&str; 5] = may.try_into().unwrap_or_else(|_| panic!("{row}"));
        Row {
            act,
            condition: spans(act).first().copied(),
            requests: spans(requests),
            commands: spans(commands),
            may,
        }
    });
    rows.collect()
}

/// A server with accounts, guests, a secret that is known here, and a key.
struct Stage {
    server: Server,
    count: Cell<usize>,
    _folder: Folder,
}

/// What a try needs: a room that is there, a message in it, and somebody who is in it.
struct Props {
    room: String,
    /// A name that no room has.
    free: String,
    position: String,
    somebody: String,
    _present: Chatter,
}

impl Stage {
    fn new() -> Self {
        let folder = Folder::new("permissions-table");
        let users = folder.write("users", &format!("{HONG}\n{KIM}:admin\n"));
        let secrets = folder.write("secrets", &format!("only:{SECRET}\n"));
        let keys = folder.write("keys", &format!("shop:{KEY}\n"));
        let server = folder.serve(&[
            "--guests",
            "--users",
            &users,
            "--secret-file",
            &secrets,
            "--api-key-file",
            &keys,
        ]);
        Self {
            server,
            count: Cell::new(0),
            _folder: folder,
        }
    }

    fn key(&self, method: &str, target: &str, body: &Value) -> Response {
        let fields = format!("{JSON}{}", bearer(KEY));
        let mut http = self.server.connect();
        http.send_with(method, target, &fields, body.to_string())
    }

    fn props(&self, condition: Option<&str>) -> Props {
        let number = self.count.get() + 1;
        self.count.set(number);
        let (room, somebody) = (format!("room {number}"), format!("somebody {number}"));
        // Rooms that are created by POST have an allowance.
        let present = self.server.member(&somebody, &room);
        let at = format!("/rooms/{}", percent_encoded(&room));
        let said = self.key("POST", &format!("{at}/messages"), &json!({"content": "x"}));
        if let Some(rule) = condition.filter(|condition| condition.starts_with('"')) {
            let rule = serde_json::from_str(&format!("{{{rule}}}")).expect("is a setting");
            assert_eq!(self.key("PATCH", &at, &rule).status, 200);
        }
        Props {
            room,
            free: format!("free {number}"),
            position: said.json()["position"].as_str().expect("one").to_owned(),
            somebody,
            _present: present,
        }
    }

    /// A token; with the claim that a row is about, of another back end.
    fn token(&self, who: &str, condition: Option<&str>) -> String {
        let is_moderator = match who {
            "user" => false,
            "moderator" => true,
            _ => return KEY.to_owned(),
        };
        let Some(claim) = condition.filter(|condition| !condition.starts_with('"')) else {
            return match is_moderator {
                false => logged_in(&self.server, USER, HONGS),
                true => logged_in(&self.server, MODERATOR, KIMS),
            };
        };
        let sub = if is_moderator { MODERATOR } else { USER };
        let mut claims = json!({"sub": sub, "exp": 4_000_000_000_u64, "admin": is_moderator});
        claims[claim] = json!([ELSEWHERE]);
        minted(&claims, SECRET)
    }

    fn ticket(&self, token: &str) -> String {
        let mut http = self.server.connect();
        let answer = http.request("POST", "/auth/ws-ticket", &bearer(token));
        answer.json()["ticket"].as_str().expect("one").to_owned()
    }

    /// Whether a request is served. A refusal is that of whoever asks.
    fn asks(&self, who: &str, request: &str, condition: Option<&str>) -> Result<bool, String> {
        let props = self.props(condition);
        let (method, path) = request.split_once(' ').expect("METHOD /path");
        if request == "DELETE /users/{name}/ban" {
            let target = format!("/users/{}/ban", percent_encoded(&props.somebody));
            assert_eq!(self.key("PUT", &target, &json!({})).status, 204);
        }
        let mut target = props.target(path);
        let fields = match who {
            "nobody" => String::new(),
            "guest" => {
                let mark = if target.contains('?') { '&' } else { '?' };
                target = format!("{target}{mark}username=guest");
                String::new()
            }
            _ => bearer(&self.token(who, condition)),
        };
        let mut http = self.server.connect();
        let response = match method {
            "GET" if path.starts_with("/sse/") => http.head_of_stream(&target, &fields),
            "GET" | "DELETE" => http.request(method, &target, &fields),
            _ => {
                let body = props.body(path).to_string();
                http.send_with(method, &target, &format!("{JSON}{fields}"), body)
            }
        };
        let refusal = match who {
            "nobody" | "guest" => (401, "unauthorized"),
            "key" => (401, "invalid_token"),
            _ => (403, "forbidden"),
        };
        match response.status {
            200..300 => Ok(true),
            status if (status, &*response.error_code()) == refusal => Ok(false),
            status => Err(format!("{status} {}", response.text())),
        }
    }

    /// Whether a command is carried out.
    fn sends(&self, who: &str, command: &str, row: &Row) -> Result<bool, String> {
        let props = self.props(row.condition);
        let target = match who {
            "nobody" => "/ws".to_owned(),
            "guest" => "/ws?username=guest".to_owned(),
            "key" => format!("/ws?ticket={}", percent_encoded(KEY)),
            _ => {
                let token = self.token(who, row.condition);
                format!("/ws?ticket={}", self.ticket(&token))
            }
        };
        let mut chatter = Chatter::open(&self.server, &target, &[]);
        if matches!(who, "nobody" | "key") {
            let (code, _) = chatter.close_frame();
            return if code == 4001 {
                Ok(false)
            } else {
                Err(code.to_string())
            };
        }
        chatter.expect("welcome");
        let is_creation = row.requests == ["POST /rooms"];
        let room = if is_creation {
            &props.free
        } else {
            &props.room
        };
        if matches!(command, "chat" | "leave" | "history") {
            chatter.join(room);
        }
        if command == "unban" {
            let target = format!("/users/{}/ban", percent_encoded(&props.somebody));
            assert_eq!(self.key("PUT", &target, &json!({})).status, 204);
        }
        let mut message = json!({"type": command, "id": "1", "room": room, "content": "x"});
        message["to"] = props.somebody.clone().into();
        message["user"] = props.somebody.clone().into();
        message["position"] = props.position.clone().into();
        match command {
            "auth" => {
                let who = if who == "guest" { "user" } else { who };
                let token = self.token(who, row.condition);
                message["ticket"] = self.ticket(&token).into();
            }
            // From everywhere.
            "kick" | "ban" | "unban" => message["room"] = Value::Null,
            _ => {}
        }
        chatter.send(message);
        answer(&mut chatter)
    }
}

/// Whether a command was carried out, by the first message about it.
fn answer(chatter: &mut Chatter) -> Result<bool, String> {
    loop {
        let message = chatter.receive();
        let kind = message["type"].as_str().expect("a type");
        match (kind, message["code"].as_str()) {
            ("user_joined" | "user_left" | "chat" | "whisper", _) => {}
            ("error", Some("forbidden" | "unauthorized")) => return Ok(false),
            ("error", _) => return Err(message.to_string()),
            _ => return Ok(true),
        }
    }
}

impl Props {
    fn target(&self, path: &str) -> String {
        let name = match path {
            path if path.starts_with("/rooms") => percent_encoded(&self.room),
            path if path.starts_with("/users") => percent_encoded(&self.somebody),
            _ => "deploys".to_owned(),
        };
        path.replace("{name}", &name)
            .replace("{position}", &percent_encoded(&self.position))
    }

    fn body(&self, path: &str) -> Value {
        match path {
            "/rooms" => json!({"name": self.free}),
            "/auth/login" => json!({"username": USER, "password": HONGS}),
            "/events/business" | "/events/{name}" => json!({"orders": 1}),
            "/rooms/{name}/messages" | "/users/{name}/messages" => json!({"content": "x"}),
            _ => json!({}),
        }
    }
}

#[test]
fn everybody_may_do_what_the_table_in_readme_says() {
    let stage = Stage::new();
    let mut audit = Subscriber::with(&stage.server, "/sse/audit", &bearer(KEY));
    let mut failures = Vec::new();
    let rows = rows();
    assert!(rows.len() > 25, "{}", rows.len());
    for row in &rows {
        for (who, may) in WHO.into_iter().zip(row.may) {
            let [over_http, over_websocket] = match may {
                "yes" => [true, true],
                "HTTP" => [true, false],
                "WebSocket" => [false, true],
                "no" => [false, false],
                other => panic!("{}: {other} is not in the legend", row.act),
            };
            let requests = row.requests.iter();
            let asked = requests.map(|one| (one, over_http, stage.asks(who, one, row.condition)));
            let commands = row.commands.iter();
            let sent = commands.map(|one| (one, over_websocket, stage.sends(who, one, row)));
            for (one, expected, found) in asked.chain(sent) {
                if found != Ok(expected) {
                    failures.push(format!("{}: {who}: {one}: {found:?}", row.act));
                }
            }
        }
    }
    assert_no_failures(&failures);
    let end = stage.key("POST", "/users/the%20end/revocations", &json!({}));
    assert_eq!(end.status, 204);
    // Nothing has come of what was refused.
    let mut acts = 0;
    loop {
        let entry = audit.expect("audit").data;
        let is_moderators = [
            "room_removed",
            "room_changed",
            "message_deleted",
            "kicked",
            "banned",
            "unbanned",
            "revoked",
        ]
        .contains(&entry["action"].as_str().expect("an action"));
        let actor = entry["actor"].as_str().expect("an actor");
        let is_permitted = actor == MODERATOR || actor == "key:shop";
        assert!(!is_moderators || is_permitted, "{entry}");
        acts += usize::from(is_moderators);
        if entry["subject"] == "the end" {
            break;
        }
    }
    assert!(acts > 20, "{acts}");
}

#[test]
fn every_route_and_every_command_has_a_row_in_readme() {
    let rows = rows();
    let with_stars = |request: &str| {
        let (method, path) = request.split_once(' ').expect("METHOD /path");
        let segments = path.split('/').map(|segment| match segment {
            "{name}" | "{position}" => "*",
            segment => segment,
        });
        let path = segments.collect::<Vec<_>>().join("/");
        let path = path.split('?').next().unwrap_or_default();
        format!("{method} {path}")
            .replace("/static/sarang.js", "/static/*")
            .replace("/sse/all", "/sse/*")
    };
    let requests = rows.iter().flat_map(|row| &row.requests);
    let told: BTreeSet<String> = requests.map(|request| with_stars(request)).collect();
    let routes = routes::table().filter(|(path, _)| !ROUTES_ASIDE.contains(&&**path));
    let served: BTreeSet<String> = routes
        .flat_map(|(path, allow)| {
            let methods = allow.split(", ");
            let methods = methods.filter(|method| !matches!(*method, "HEAD" | "OPTIONS"));
            methods
                .map(|method| format!("{method} {path}").replace("GET //", "GET /"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(told, served);
    let told: BTreeSet<&str> = rows.iter().flat_map(|row| &row.commands).copied().collect();
    let acts = Kind::ALL.iter().map(|(name, _)| *name);
    let all: BTreeSet<&str> = acts.chain(COMMANDS).collect();
    assert_eq!(told, all);
}
