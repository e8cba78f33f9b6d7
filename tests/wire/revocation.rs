//! What ends with a logout and with a secret: sockets, streams, unused tickets and tokens, also a thief's.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::subscriber::Subscriber;
use crate::support::{Chatter, PATIENCE, Response, Server};

const USERS: &str = "홍길동:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBob25nIDE2Yg$3YBrGnxlQuHBrV0UERBwONMVvuDazoTdXeo0neMUU8I\n";
const OLD: &str = "old:the old secret, long enough for HS256\n";
const NEW: &str = "new:the new secret, long enough for HS256\n";

/// A server with one account; its files are removed when the test ends.
struct Configured {
    server: Server,
    folder: PathBuf,
}

impl Configured {
    /// `secrets` are the contents of the secrets file, if there is one.
    fn start(name: &str, secrets: Option<&str>) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("revocation-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = |file: &str| folder.join(file).to_str().expect("UTF-8").to_owned();
        let (users, secret_file) = (path("users"), path("secrets"));
        fs::write(&users, USERS).expect("a file");
        let mut options = vec!["--users", &users];
        if let Some(secrets) = secrets {
            fs::write(&secret_file, secrets).expect("a file");
            options.extend(["--secret-file", &secret_file]);
        }
        let server = Server::start(&options);
        Self { server, folder }
    }

    /// Other secrets, which the server is told to read.
    fn hang_up(&self, secrets: &str) {
        fs::write(self.folder.join("secrets"), secrets).expect("a file");
        self.server.signal(Signal::HUP);
    }

    fn request(&self, method: &str, target: &str, token: &str) -> Response {
        let mut http = self.server.connect();
        http.request(method, target, &bearer(token))
    }

    fn post(&self, target: &str, token: &str) -> Value {
        let response = self.request("POST", target, token);
        assert_eq!(response.status, 200, "{response:?} {}", response.text());
        response.json()
    }

    fn login(&self) -> String {
        let form = json!({"username": "홍길동", "password": "비밀번호 하나"});
        let response = self.server.post("/auth/login", &form.to_string());
        assert_eq!(response.status, 200, "{response:?}");
        text(&response.json()["access_token"])
    }

    fn refresh(&self, token: &str) -> String {
        text(&self.post("/auth/refresh", token)["access_token"])
    }

    fn ticket(&self, token: &str) -> String {
        text(&self.post("/auth/ws-ticket", token)["ticket"])
    }

    /// Opens one of everything.
    fn open(&self, token: &str) -> Opened {
        let target = format!("/ws?ticket={}", self.ticket(token));
        let mut socket = Chatter::open(&self.server, &target, &[]);
        socket.expect("welcome");
        Opened {
            token: token.to_owned(),
            socket,
            stream: Subscriber::with(&self.server, "/sse/all", &bearer(token)),
            unused: self.ticket(token),
        }
    }

    fn assert_ended(&self, mut opened: Opened) {
        assert_eq!(opened.socket.close_frame().0, 4002);
        opened.stream.expect_end();
        let target = format!("/ws?ticket={}", opened.unused);
        let refused = Chatter::open(&self.server, &target, &[]).close_frame();
        assert_eq!(refused.0, 4001);
        for target in ["/auth/ws-ticket", "/auth/refresh", "/auth/logout"] {
            let response = self.request("POST", target, &opened.token);
            response.assert_error(401, "invalid_token");
        }
    }

    fn assert_stays(&self, mut opened: Opened) {
        opened.socket.join("tech");
        opened.stream.take(3);
        let target = format!("/ws?ticket={}", opened.unused);
        Chatter::open(&self.server, &target, &[]).expect("welcome");
        assert_eq!(self.request("GET", "/rooms", &opened.token).status, 200);
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What was opened with a token, and a ticket that was not used.
struct Opened {
    token: String,
    socket: Chatter,
    stream: Subscriber,
    unused: String,
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

#[test]
fn a_thief_who_has_refreshed_a_token_is_out_when_its_owner_logs_out() {
    let configured = Configured::start("thief", Some(OLD));
    let [owner, elsewhere] = [(); 2].map(|()| configured.login());
    let refreshed = configured.refresh(&configured.refresh(&owner));
    let thief = configured.open(&refreshed);
    let elsewhere = configured.open(&elsewhere);
    let response = configured.request("POST", "/auth/logout", &owner);
    assert_eq!(response.status, 204, "{response:?}");
    configured.assert_ended(thief);
    configured.assert_stays(elsewhere);
}

#[test]
fn what_rests_on_a_secret_ends_when_it_is_taken_out_of_the_file() {
    let configured = Configured::start("secret", Some(OLD));
    let old = configured.open(&configured.login());
    configured.hang_up(&format!("{NEW}{OLD}"));
    // Sign in until the new secret signs.
    let deadline = Instant::now() + PATIENCE;
    let new = loop {
        let token = configured.login();
        let old_head = old.token.split('.').next().expect("a head");
        if !token.starts_with(old_head) {
            break configured.open(&token);
        }
        assert!(Instant::now() < deadline, "the file is not read");
        thread::sleep(Duration::from_millis(10));
    };
    configured.hang_up(NEW);
    configured.assert_ended(old);
    configured.assert_stays(new);
}

#[test]
fn without_a_secrets_file_nothing_ends_when_the_files_are_read_again() {
    let configured = Configured::start("random", None);
    let opened = configured.open(&configured.login());
    // The account that is added shows that the file was read.
    let more = USERS.replace("홍길동", "김철수");
    fs::write(configured.folder.join("users"), format!("{USERS}{more}")).expect("a file");
    configured.server.signal(Signal::HUP);
    let form = json!({"username": "김철수", "password": "비밀번호 하나"}).to_string();
    let deadline = Instant::now() + PATIENCE;
    while configured.server.post("/auth/login", &form).status != 200 {
        assert!(Instant::now() < deadline, "the file is not read");
        // Guesses are throttled.
        thread::sleep(Duration::from_millis(250));
    }
    configured.assert_stays(opened);
}

#[test]
fn refreshing_without_pause_has_to_wait_at_last_and_says_for_how_long() {
    let configured = Configured::start("refresh", Some(OLD));
    let mut token = configured.login();
    let throttled = loop {
        let response = configured.request("POST", "/auth/refresh", &token);
        match response.status {
            200 => token = text(&response.json()["access_token"]),
            _ => break response,
        }
    };
    throttled.assert_error(429, "too_many_requests");
    assert!(["1", "2"].contains(&throttled.required("retry-after")));
    let response = configured.request("POST", "/auth/logout", &token);
    assert_eq!(response.status, 204, "{response:?}");
}
