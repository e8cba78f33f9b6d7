//! What survives a restart of a configured server, and what does not: tokens, passwords, event IDs.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::json;

use crate::support::subscriber::{Subscriber, ids};
use crate::support::{Chatter, Response, Server, sarang};

const SECRET: &str = "a secret of this test, long enough for HS256";
const CHANGED: &str = "the password has changed; sign in again";

/// The operator's files, kept across restarts and removed when the test ends.
struct Operator(PathBuf);

impl Operator {
    /// One account, `홍길동`, with this password, and a secret.
    fn new(name: &str, password: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("restart-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let operator = Self(folder);
        let secrets = format!("only:{SECRET}\n");
        fs::write(operator.path("secrets"), secrets).expect("a file");
        operator.user(&["add", "홍길동"], password);
        operator
    }

    fn path(&self, file: &str) -> String {
        let path = self.0.join(file);
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// `sarang user …`, with a password on stdin.
    fn user(&self, words: &[&str], password: &str) {
        let mut child = sarang()
            .arg("user")
            .args(words)
            .args(["--users", &self.path("users")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // Removing a user reads no password.
        let _ = stdin.write_all(password.as_bytes());
        drop(stdin);
        assert!(child.wait().expect("its end").success(), "{words:?}");
    }

    fn serve(&self, options: &[&str]) -> Server {
        let (users, secrets) = (self.path("users"), self.path("secrets"));
        let files = ["--users", &users, "--secret-file", &secrets];
        Server::start(&[&files, options].concat())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bearer(server: &Server, target: &str, token: &str) -> Response {
    let field = format!("Authorization: Bearer {token}\r\n");
    server.connect().request("POST", target, &field)
}

fn token(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?} {}", response.text());
    let token = response.json()["access_token"].clone();
    token.as_str().expect("a token").to_owned()
}

fn sign_in(server: &Server, password: &str) -> Response {
    let form = json!({"username": "홍길동", "password": password});
    server.post("/auth/login", &form.to_string())
}

fn assert_good(server: &Server, token: &str) {
    let response = bearer(server, "/auth/ws-ticket", token);
    assert_eq!(response.status, 200, "{response:?} {}", response.text());
}

/// Fails unless a token is refused for this reason at every endpoint that takes one.
fn assert_refused(server: &Server, token: &str, why: &str) {
    for target in ["/auth/ws-ticket", "/auth/refresh", "/auth/logout"] {
        let response = bearer(server, target, token);
        response.assert_error(401, "invalid_token");
        let challenge = response.required("www-authenticate");
        let told = format!("error_description=\"{why}\"");
        assert!(challenge.contains(&told), "{target}: {challenge}");
    }
}

#[test]
fn a_restart_keeps_tokens_and_a_change_of_the_password_ends_them() {
    let operator = Operator::new("password", "비밀번호 하나");
    let mut server = operator.serve(&[]);
    let first = token(&sign_in(&server, "비밀번호 하나"));
    assert_good(&server, &first);
    server.stop();
    let mut server = operator.serve(&[]);
    assert_good(&server, &first);
    let refreshed = token(&bearer(&server, "/auth/refresh", &first));
    server.stop();
    operator.user(&["add", "홍길동"], "비밀번호 둘");
    let mut server = operator.serve(&[]);
    assert_refused(&server, &first, CHANGED);
    assert_refused(&server, &refreshed, CHANGED);
    sign_in(&server, "비밀번호 하나").assert_error(401, "invalid_credentials");
    let second = token(&sign_in(&server, "비밀번호 둘"));
    assert_good(&server, &second);
    server.stop();
    // The same password again gets another salt, so to a token it counts as a changed password.
    operator.user(&["add", "홍길동"], "비밀번호 하나");
    let server = operator.serve(&[]);
    assert_refused(&server, &first, CHANGED);
    assert_refused(&server, &second, CHANGED);
}

#[test]
fn a_user_removed_before_a_restart_has_no_valid_token_any_more() {
    let operator = Operator::new("removed", "비밀번호 하나");
    operator.user(&["add", "김철수"], "비밀번호 둘");
    let mut server = operator.serve(&[]);
    let hong = token(&sign_in(&server, "비밀번호 하나"));
    server.stop();
    operator.user(&["remove", "홍길동"], "");
    let server = operator.serve(&[]);
    assert_refused(&server, &hong, "the token's account is gone");
}

#[test]
fn a_password_changed_while_the_server_runs_ends_sessions_at_once_and_lets_the_new_one_in() {
    let operator = Operator::new("hangup", "비밀번호 하나");
    let server = operator.serve(&[]);
    let old = token(&sign_in(&server, "비밀번호 하나"));
    let answer = bearer(&server, "/auth/ws-ticket", &old).json();
    let ticket = answer["ticket"].as_str().expect("a ticket");
    let mut hong = Chatter::open(&server, &format!("/ws?ticket={ticket}"), &[]);
    hong.expect("welcome");
    operator.user(&["add", "홍길동"], "비밀번호 둘");
    server.signal(Signal::HUP);
    assert_eq!(hong.close_frame().0, 4002);
    assert_refused(&server, &old, CHANGED);
    // Within the same second, too.
    let new = token(&sign_in(&server, "비밀번호 둘"));
    assert_good(&server, &new);
    assert_refused(&server, &old, CHANGED);
}

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970").as_millis() as u64
}

#[test]
fn resuming_from_an_event_before_a_restart_is_a_gap() {
    let operator = Operator::new("events", "비밀번호");
    let before = milliseconds();
    let mut server = operator.serve(&["--public-dashboard"]);
    let seen = ids(&Subscriber::new(&server, "all").take(3));
    assert!((before..=milliseconds()).contains(&seen[0]), "{seen:?}");
    assert_eq!(seen, [seen[0], seen[0] + 1, seen[0] + 2]);
    server.stop();
    // The first three events come at once: IDs start at the time in ms, so the next server must start at a later ms.
    while milliseconds() <= seen[2] + 1 {
        thread::sleep(Duration::from_millis(1));
    }
    let server = operator.serve(&["--public-dashboard"]);
    let mut resumed = Subscriber::resuming(&server, "all", seen[2]);
    let gap = resumed.expect("gap").data;
    assert_eq!(
        (&gap["requested"], &gap["restarted"]),
        (&json!(seen[2]), &json!(true))
    );
    let events = ids(&resumed.take(3));
    assert!(events[0] > seen[2], "{events:?} after {seen:?}");
    // The counter starts at 0, wherever the IDs begin.
    let response = server.get("/metrics");
    let page = response.text();
    let count = page
        .lines()
        .find_map(|line| line.strip_prefix("sarang_events_total "));
    let count: u64 = count.expect("is there").parse().expect("a number");
    assert!((3..100).contains(&count), "{count}");
    // Without a restart, IDs go on as always.
    let mut resumed = Subscriber::resuming(&server, "all", events[0]);
    assert_eq!(ids(&resumed.take(2)), events[1..]);
    let mut resumed = Subscriber::resuming(&server, "all", events[0] - 2);
    let gap = resumed.expect("gap").data;
    assert_eq!(gap["restarted"], true);
}
