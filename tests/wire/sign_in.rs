//! Signing in and out over REST: login, what a token gives access to, refresh, logout, and what is never disclosed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::token::{minted_of, signed};
use crate::support::{Chatter, PATIENCE, Response, Server, assert_no_failures, sarang};

/// Hashed by another implementation of Argon2.
const USERS: &str = "# two people\n\
    홍길동:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBob25nIDE2Yg$3YBrGnxlQuHBrV0UERBwONMVvuDazoTdXeo0neMUU8I\n\
    \n\
    김철수:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBraW0gMTZieQ$A6H0zVmhmTuAq/WpbZ8XT4w11SZ6Vh40j4LzKtTO494\n";
const HONG: (&str, &str) = ("홍길동", "비밀번호 하나");
const KIM: (&str, &str) = ("김철수", "비밀번호 둘");
const SECRET: &str = "a secret of this test, long enough for HS256";

/// A server with accounts and a shared secret; its files are removed when the test ends.
struct Configured {
    server: Server,
    folder: PathBuf,
}

impl Configured {
    fn start(name: &str, options: &[&str]) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("sign-in-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let [users, secrets, errors] = ["users", "secrets", "errors"].map(|file| folder.join(file));
        fs::write(&users, USERS).expect("a file of users");
        let lines = format!("new:{SECRET}\nold:{}\n", SECRET.to_uppercase());
        fs::write(&secrets, lines).expect("a file of secrets");
        // The shell keeps stderr where the test can read it; `exec` keeps the process ID.
        let mut command = Command::new("sh");
        for (variable, value) in sarang().get_envs() {
            assert!(value.is_none());
            command.env_remove(variable);
        }
        command
            .args(["-c", "exec \"$0\" \"$@\" 2>\"$ERRORS\""])
            .env("ERRORS", errors)
            .arg(env!("CARGO_BIN_EXE_sarang"))
            .args(["--listen", "127.0.0.1:0", "--users"])
            .arg(users)
            .arg("--secret-file")
            .arg(secrets)
            .args(options);
        Self {
            server: Server::spawn(command),
            folder,
        }
    }

    /// What the server has said on stderr; it has ended.
    fn errors(&mut self) -> String {
        self.server.signal(Signal::TERM);
        self.server.exit_within(PATIENCE);
        fs::read_to_string(self.folder.join("errors")).expect("what stderr was")
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn login_response(server: &Server, (username, password): (&str, &str)) -> Response {
    let body = json!({"username": username, "password": password});
    server.post("/auth/login", &body.to_string())
}

fn login(server: &Server, account: (&str, &str)) -> String {
    let response = login_response(server, account);
    assert_eq!(response.status, 200, "{response:?} {}", response.text());
    text(&response.json()["access_token"])
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn request(server: &Server, method: &str, target: &str, token: &str) -> Response {
    let field = format!("Authorization: Bearer {token}\r\n");
    server.connect().request(method, target, &field)
}

fn post(server: &Server, target: &str, token: &str) -> Response {
    request(server, "POST", target, token)
}

/// A client whose session began with this token.
fn enter(server: &Server, token: &str) -> Chatter {
    let response = post(server, "/auth/ws-ticket", token);
    assert_eq!(response.status, 200, "{response:?}");
    let target = format!("/ws?ticket={}", text(&response.json()["ticket"]));
    let mut chatter = Chatter::open(server, &target, &[]);
    chatter.expect("welcome");
    chatter
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}

fn mint(claims: &Value) -> String {
    minted_of(r#"{"alg":"HS256"}"#, &claims.to_string(), SECRET)
}

/// The header and claims of a token, after its signature was verified.
fn opened(token: &str) -> [Value; 2] {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    let input = format!("{}.{}", parts[0], parts[1]);
    assert_eq!(signed(&input, SECRET), token);
    [parts[0], parts[1]].map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    })
}

/// The whole answer except its `Date`.
fn without_date(response: &Response) -> (u16, Vec<(String, String)>, String) {
    let mut fields = response.fields.clone();
    fields.retain(|(name, _)| name != "date");
    (response.status, fields, response.text().to_owned())
}

#[test]
fn the_entry_page_learns_which_forms_to_offer() {
    let demo = Server::start(&[]);
    let offered = demo.get("/auth").json();
    assert_eq!(offered, json!({"guests": true, "demo": true}));
    let accounts = Configured::start("page", &[]).server.get("/auth").json();
    assert_eq!(accounts, json!({"guests": false, "demo": false}));
    let guests = Configured::start("page-guests", &["--guests"]);
    let offered = guests.server.get("/auth").json();
    assert_eq!(offered, json!({"guests": true, "demo": false}));
}

#[test]
fn a_login_is_answered_with_a_token_of_the_first_secret() {
    let configured = Configured::start("login", &[]);
    let before = now();
    let response = login_response(&configured.server, HONG);
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.required("cache-control"), "no-store");
    let body = response.json();
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 3600);
    let [header, claims] = opened(&text(&body["access_token"]));
    assert_eq!(header, json!({"alg": "HS256", "typ": "JWT", "kid": "new"}));
    assert_eq!(claims["sub"], "홍길동");
    let [iat, exp, auth_time] =
        ["iat", "exp", "auth_time"].map(|name| claims[name].as_u64().expect("whole seconds"));
    assert!((before..=now()).contains(&iat), "{claims}");
    assert_eq!(exp, iat + 3600);
    assert_eq!(auth_time, iat);
    let again = login(&configured.server, HONG);
    let jti = |claims: &Value| text(&claims["jti"]);
    assert!(jti(&claims).len() >= 16, "{claims}");
    assert_ne!(jti(&opened(&again)[1]), jti(&claims));
}

#[test]
fn the_lifetime_of_a_token_is_an_option() {
    let configured = Configured::start("ttl", &["--token-ttl", "60"]);
    let body = login_response(&configured.server, KIM).json();
    assert_eq!(body["expires_in"], 60);
    let [_, claims] = opened(&text(&body["access_token"]));
    let seconds = claims["exp"].as_u64().zip(claims["iat"].as_u64());
    assert_eq!(seconds.map(|(exp, iat)| exp - iat), Some(60));
}

#[test]
fn a_token_ends_with_its_exp() {
    let configured = Configured::start("exp", &["--token-ttl", "5"]);
    let token = login(&configured.server, HONG);
    let mut hong = enter(&configured.server, &token);
    assert_eq!(hong.close_frame().0, 4002);
    for target in ["/auth/ws-ticket", "/auth/refresh"] {
        post(&configured.server, target, &token).assert_error(401, "invalid_token");
    }
    request(&configured.server, "GET", "/rooms", &token).assert_error(401, "invalid_token");
    // It still ends its sign-in, of which somebody may hold a newer token.
    assert_eq!(post(&configured.server, "/auth/logout", &token).status, 204);
    post(&configured.server, "/auth/logout", &token).assert_error(401, "invalid_token");
}

#[test]
fn unknown_names_and_wrong_passwords_get_the_same_answer() {
    let configured = Configured::start("same", &[]);
    let [wrong, unknown] =
        [HONG.0, "이영희"].map(|name| login_response(&configured.server, (name, "wrong")));
    wrong.assert_error(401, "invalid_credentials");
    assert!(wrong.required("www-authenticate").starts_with("Bearer"));
    assert_eq!(without_date(&wrong), without_date(&unknown));
    for more in [" ", "\n", "\u{0}"] {
        let near = format!("{}{more}", HONG.1);
        let refused = login_response(&configured.server, (HONG.0, &near));
        assert!(matches!(refused.status, 400 | 401), "{near:?}: {refused:?}");
    }
    let swapped = login_response(&configured.server, (KIM.0, HONG.1));
    swapped.assert_error(401, "invalid_credentials");
    // In JSON, an escaped name is the same text.
    let escaped = r#"{"username":"\ud64d길동","password":"비밀번호\u0020하나","more":[1]}"#;
    let response = configured.server.post("/auth/login", escaped);
    assert_eq!(response.status, 200, "{response:?}");
}

#[test]
fn a_login_is_a_small_json_object() {
    let server = Server::start(&[]);
    let long = "x".repeat(1025);
    let mut failures = Vec::new();
    for (body, allowed) in [
        ("", &["bad_json", "bad_request"][..]),
        ("{", &["bad_json"]),
        ("username=admin&password=secret", &["bad_json"]),
        ("[]", &["bad_request"]),
        ("null", &["bad_request"]),
        ("{}", &["bad_request"]),
        (r#"{"username":"admin"}"#, &["bad_request"]),
        (r#"{"password":"secret"}"#, &["bad_request"]),
        (r#"{"username":"admin","password":null}"#, &["bad_request"]),
        (r#"{"username":"admin","password":5}"#, &["bad_request"]),
        (
            r#"{"username":["admin"],"password":"secret"}"#,
            &["bad_request"],
        ),
        (
            r#"{"username":"admin","password":"secret","password":"secret"}"#,
            &["bad_request", "bad_json"],
        ),
        (
            &json!({"username": "admin", "password": long}).to_string(),
            &["bad_request", "invalid_credentials"],
        ),
    ] {
        let response = server.post("/auth/login", body);
        let code = response.error_code();
        let status = 400 + u16::from(code == "invalid_credentials");
        if response.status != status || !allowed.contains(&&*code) {
            failures.push(format!("{body}: {} {code}", response.status));
        }
    }
    assert_no_failures(&failures);
    // None of these counted as a wrong password.
    assert_eq!(login_response(&server, ("admin", "secret")).status, 200);
}

#[test]
fn a_login_follows_the_rules_of_http() {
    let server = Server::start(&[]);
    let good = r#"{"username":"admin","password":"secret"}"#;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let foreign = "Content-Type: application/json\r\nOrigin: https://evil.example\r\n";
    let with = |fields: &str, body: &str| server.connect().post_with("/auth/login", fields, body);
    with(form, good).assert_error(415, "unsupported_media_type");
    with("Content-Type: text/plain\r\n", good).assert_error(415, "unsupported_media_type");
    with(foreign, good).assert_error(403, "forbidden_origin");
    with("", &"x".repeat(64 * 1024 + 1)).assert_error(413, "content_too_large");
    assert_eq!(with("", good).status, 200);
    assert_eq!(
        with("Content-Type: application/json; charset=utf-8\r\n", good).status,
        200
    );
    let no_length = server.connect().request("POST", "/auth/login", "");
    no_length.assert_error(411, "length_required");
    for target in ["login", "refresh", "ws-ticket", "logout"] {
        let refused = server.get(&format!("/auth/{target}"));
        refused.assert_error(405, "method_not_allowed");
        assert!(refused.lists("allow", "POST"), "{refused:?}");
    }
    for (language, korean) in [("ko", true), ("en", false)] {
        let fields = format!("Accept-Language: {language}\r\n");
        let body = with(&fields, r#"{"username":"admin","password":"no"}"#).json();
        let message = text(&body["error"]["message"]);
        assert_eq!(!message.is_ascii(), korean, "{message}");
    }
}

#[test]
fn with_accounts_the_rooms_need_a_bearer() {
    let configured = Configured::start("bearer", &[]);
    let server = &configured.server;
    let token = login(server, HONG);
    enter(server, &token).join("tech");
    let mut failures = Vec::new();
    for (method, target) in [
        ("GET", "/rooms"),
        ("HEAD", "/rooms"),
        ("POST", "/rooms"),
        ("GET", "/rooms/tech"),
        ("GET", "/rooms/tech/history"),
        ("GET", "/rooms/none"),
    ] {
        let bad = "Authorization: Bearer a.b.c\r\n";
        for (fields, challenge) in [("", "Bearer"), (bad, "Bearer error=\"invalid_token\"")] {
            let mut http = server.connect();
            let refused = http.request(method, target, fields);
            let told = refused.field("www-authenticate").unwrap_or_default();
            if refused.status != 401 || !told.starts_with(challenge) {
                failures.push(format!("{method} {target} {fields}: {refused:?}"));
            }
        }
    }
    assert_no_failures(&failures);
    server.get("/rooms").assert_error(401, "unauthorized");
    assert_eq!(server.get("/rooms").required("www-authenticate"), "Bearer");
    for target in ["/rooms", "/rooms/tech", "/rooms/tech/history"] {
        assert_eq!(request(server, "GET", target, &token).status, 200);
    }
    let fields = format!("Authorization: Bearer {token}\r\n");
    let mut http = server.connect();
    let created = http.post_with("/rooms", &fields, r#"{"name":"새 방"}"#);
    assert_eq!(created.status, 201, "{created:?}");
    for open in ["/", "/auth", "/static/chat.css"] {
        assert_eq!(server.get(open).status, 200, "{open}");
    }
}

#[test]
fn a_bearer_is_a_field_of_one_token() {
    let configured = Configured::start("field", &[]);
    let server = &configured.server;
    let token = login(server, HONG);
    let get = |fields: &str| server.connect().request("GET", "/rooms", fields);
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let response = get(&format!("Authorization: {scheme} {token}\r\n"));
        assert_eq!(response.status, 200, "{scheme}: {response:?}");
    }
    let mut failures = Vec::new();
    for fields in [
        format!("Authorization: {token}\r\n"),
        format!("Authorization: Bearer{token}\r\n"),
        format!("Authorization: Basic {token}\r\n"),
        format!("Authorization: Token {token}\r\n"),
        format!("Authorization: Bearer \"{token}\"\r\n"),
        format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"),
        format!("Authorization: Bearer a.b.c\r\nAuthorization: Bearer {token}\r\n"),
        format!("X-Authorization: Bearer {token}\r\n"),
        format!("Cookie: access_token={token}\r\n"),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization:\r\n".to_owned(),
    ] {
        let status = get(&fields).status;
        if !matches!(status, 400 | 401) {
            failures.push(format!("{fields}: {status}"));
        }
    }
    let target = format!("/rooms?access_token={token}");
    server.get(&target).assert_error(401, "unauthorized");
    assert_no_failures(&failures);
}

#[test]
fn a_token_is_renewed_for_a_day_after_the_login() {
    let configured = Configured::start("refresh", &[]);
    let server = &configured.server;
    let first = login(server, HONG);
    let refreshed = post(server, "/auth/refresh", &first);
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_eq!(refreshed.required("cache-control"), "no-store");
    let body = refreshed.json();
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 3600);
    let second = text(&body["access_token"]);
    let [old, new] = [&first, &second].map(|token| opened(token)[1].clone());
    assert_ne!(first, second);
    assert_eq!(old["auth_time"], new["auth_time"]);
    assert_eq!(old["sub"], new["sub"]);
    for token in [&first, &second] {
        assert_eq!(post(server, "/auth/ws-ticket", token).status, 200);
    }
    let exp = now() + 600;
    for (hours, status) in [(23, 200), (25, 401)] {
        let mut claims = old.clone();
        claims["auth_time"] = json!(now() - hours * 3600);
        let response = post(server, "/auth/refresh", &mint(&claims));
        assert_eq!(response.status, status, "{hours} hours: {response:?}");
    }
    let foreign = mint(&json!({"sub": HONG.0, "exp": exp}));
    post(server, "/auth/refresh", &foreign).assert_error(401, "invalid_token");
    post(server, "/auth/refresh", "a.b.c").assert_error(401, "invalid_token");
}

#[test]
fn a_logout_ends_one_session_and_no_other() {
    let configured = Configured::start("logout", &[]);
    let server = &configured.server;
    let [token, other] = [(); 2].map(|()| login(server, HONG));
    let mut tabs = [(); 2].map(|()| enter(server, &token));
    let mut elsewhere = enter(server, &other);
    elsewhere.join("tech");
    let response = post(server, "/auth/logout", &token);
    assert_eq!(response.status, 204, "{response:?}");
    for tab in &mut tabs {
        assert_eq!(tab.close_frame().0, 4002);
    }
    for target in ["/auth/ws-ticket", "/auth/refresh", "/auth/logout"] {
        post(server, target, &token).assert_error(401, "invalid_token");
    }
    request(server, "GET", "/rooms", &token).assert_error(401, "invalid_token");
    elsewhere.say("tech", "아직 있어요");
    assert_eq!(post(server, "/auth/ws-ticket", &other).status, 200);
    assert_eq!(login_response(server, HONG).status, 200);
    let nobody = server.connect().request("POST", "/auth/logout", "");
    nobody.assert_error(401, "unauthorized");
}

#[test]
fn a_granted_logout_ends_any_token() {
    let configured = Configured::start("logout-foreign", &[]);
    let server = &configured.server;
    let exp = now() + 600;
    for claims in [
        json!({"sub": HONG.0, "exp": exp, "jti": "of another back end"}),
        json!({"sub": HONG.0, "exp": exp}),
    ] {
        let token = mint(&claims);
        let mut hong = enter(server, &token);
        let response = post(server, "/auth/logout", &token);
        if response.status == 204 {
            assert_eq!(hong.close_frame().0, 4002, "{claims}");
            post(server, "/auth/ws-ticket", &token).assert_error(401, "invalid_token");
        } else {
            assert!(claims.get("jti").is_none(), "{response:?}");
            assert!(matches!(response.status, 400 | 401), "{response:?}");
        }
    }
}

#[test]
fn nothing_secret_is_written_or_answered() {
    let mut configured = Configured::start("quiet", &[]);
    let server = &configured.server;
    let token = login(server, HONG);
    let ticket = text(&post(server, "/auth/ws-ticket", &token).json()["ticket"]);
    let mut secrets = vec![
        HONG.1.to_owned(),
        "오답입니다".to_owned(),
        SECRET.to_owned(),
        "3YBrGnxlQuHBrV0UERBwONMVvuDazoTdXeo0neMUU8I".to_owned(),
        ticket.clone(),
    ];
    secrets.extend(token.split('.').map(str::to_owned));
    let broken = format!("{token}x");
    let mut answers = vec![
        login_response(server, (HONG.0, "오답입니다")),
        server.post(
            "/auth/login",
            r#"{"username":"홍길동","password":"오답입니다""#,
        ),
        server.post("/auth/login", r#"{"username":7,"password":"오답입니다"}"#),
        server.post("/auth/login", r#""오답입니다""#),
        post(server, "/auth/ws-ticket", &broken),
        request(server, "GET", &format!("/nowhere?ticket={ticket}"), &token),
        request(server, "DELETE", "/rooms", &token),
        server.get(&format!("/ws?ticket={ticket}")),
    ];
    enter(server, &token).close();
    let target = format!("/ws?ticket={ticket}");
    let mut hong = Chatter::open(server, &target, &[]);
    hong.expect("welcome");
    hong.send(json!({"type": "auth", "ticket": ticket}));
    let error = hong.expect_error("unauthorized").to_string();
    assert!(!error.contains(&ticket), "{error}");
    answers.push(post(server, "/auth/logout", &token));
    answers.push(post(server, "/auth/ws-ticket", &token));
    let mut told: Vec<String> = answers
        .iter()
        .map(|answer| format!("{:?} {}", answer.fields, answer.text()))
        .collect();
    told.push(configured.errors());
    let leaks: Vec<String> = told
        .iter()
        .flat_map(|told| secrets.iter().map(move |secret| (told, secret)))
        .filter(|(told, secret)| told.contains(*secret))
        .map(|(told, secret)| format!("{secret} is in {told}"))
        .collect();
    assert_no_failures(&leaks);
}
