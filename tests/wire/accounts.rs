//! Accounts and secrets as the operator keeps them: `sarang user …`, both files, SIGHUP, guests beside accounts. How the
//! users file is changed is in `users_file.rs`.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::json;

use crate::support::token::minted_of;
use crate::support::{
    Chatter, Http, PATIENCE, Response, Server, assert_no_failures, percent_encoded, sarang,
};

/// Hashed by another implementation of Argon2.
pub const HONG: &str = "홍길동:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBob25nIDE2Yg$3YBrGnxlQuHBrV0UERBwONMVvuDazoTdXeo0neMUU8I";
pub const KIM: &str = "김철수:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBraW0gMTZieQ$A6H0zVmhmTuAq/WpbZ8XT4w11SZ6Vh40j4LzKtTO494";
pub const HONGS: &str = "비밀번호 하나";
pub const KIMS: &str = "비밀번호 둘";
const OLD: &str = "the old secret, long enough for HS256";
const NEW: &str = "the new secret, long enough for HS256";

/// A folder that is removed when the test ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("accounts-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path); // of a run that was killed and had this process id
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn path(&self, file: &str) -> String {
        let path = self.0.join(file);
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    pub fn write(&self, file: &str, text: &str) -> String {
        let path = self.path(file);
        fs::write(&path, text).expect("a file");
        path
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).expect("a readable file")
    }

    /// Starts a server whose stderr goes to the file `errors`.
    pub fn serve(&self, options: &[&str]) -> Server {
        // The shell opens the file; `exec` keeps the process ID.
        let mut command = Command::new("sh");
        for (variable, _) in sarang().get_envs() {
            command.env_remove(variable);
        }
        command
            .args(["-c", "exec \"$0\" \"$@\" 2>>\"$ERRORS\""])
            .env("ERRORS", self.path("errors"))
            .arg(env!("CARGO_BIN_EXE_sarang"))
            .args(["--listen", "127.0.0.1:0"])
            .args(options);
        Server::spawn(command)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `sarang` with arguments and something on stdin.
pub fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = sarang()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // The command may end without reading stdin.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("what it printed")
}

pub fn add(name: &str, file: &str, password: &str) -> Output {
    run(&["user", "add", name, "--users", file], password)
}

pub fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("what is printed is UTF-8")
}

pub fn assert_done(output: &Output) {
    let told = errors(output);
    assert!(output.status.success(), "{:?} {told}", output.status);
}

/// What is wrong with a failed command: it needs an exit code and a sentence that names the cause.
pub fn refusal_fault(output: &Output, culprit: &str) -> Option<String> {
    let (code, told) = (output.status.code(), errors(output));
    let refused = matches!(code, Some(1 | 2)) && told.contains(culprit);
    (!refused).then(|| format!("{culprit:?}: {code:?} {told}"))
}

/// The names of `sarang user list`.
pub fn names(file: &str) -> Vec<String> {
    let output = run(&["user", "list", "--users", file], "");
    assert_done(&output);
    let printed = String::from_utf8(output.stdout).expect("names are UTF-8");
    assert!(!printed.contains('$'), "a hash is listed: {printed}");
    printed.lines().map(str::to_owned).collect()
}

pub fn login(server: &Server, username: &str, password: &str) -> Response {
    let body = json!({"username": username, "password": password});
    server.post("/auth/login", &body.to_string())
}

pub fn logged_in(server: &Server, username: &str, password: &str) -> String {
    let response = login(server, username, password);
    assert_eq!(response.status, 200, "{response:?} {}", response.text());
    let token = response.json()["access_token"].clone();
    token.as_str().expect("a token").to_owned()
}

fn ticket(server: &Server, token: &str) -> Response {
    let field = format!("Authorization: Bearer {token}\r\n");
    server.connect().request("POST", "/auth/ws-ticket", &field)
}

pub fn ticket_target(server: &Server, token: &str) -> String {
    let response = ticket(server, token);
    assert_eq!(response.status, 200, "{response:?}");
    let ticket = response.json()["ticket"].clone();
    format!("/ws?ticket={}", ticket.as_str().expect("a ticket"))
}

fn mint(secret: &str, sub: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let exp = now.expect("a clock after 1970").as_secs() + 600;
    let claims = json!({"sub": sub, "exp": exp}).to_string();
    minted_of(r#"{"alg":"HS256"}"#, &claims, secret)
}

/// Waits for the effect of a signal, which no event announces.
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a guest of this name gets in, or is refused with 4001.
pub fn guest_enters(server: &Server, name: &str) -> bool {
    let target = format!("/ws?username={}", percent_encoded(name));
    let mut guest = Chatter::open(server, &target, &[]);
    match guest.socket.read().expect("a welcome or a close frame") {
        tungstenite::Message::Close(frame) => {
            let frame = frame.expect("a code");
            assert_eq!(u16::from(frame.code), 4001);
            assert_eq!(&*frame.reason, "유효하지 않은 티켓");
            false
        }
        _ => true,
    }
}

#[test]
fn an_added_user_can_sign_in() {
    let folder = Folder::new("add");
    let file = folder.path("users");
    assert_done(&add("홍길동", &file, "비밀번호 하나\nthe second line\n"));
    assert_done(&add("a b", &file, "  spaces stay  "));
    assert_eq!(names(&file), ["홍길동", "a b"]);
    assert_done(&add("salt", &file, "  spaces stay  "));
    let text = folder.read("users");
    let hashes: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect();
    for (name, hash) in &hashes {
        let known = hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$");
        assert!(known, "{name}: {hash}");
    }
    assert_ne!(hashes[1].1, hashes[2].1, "the same password, the same line");
    // A name has one password: the last one.
    assert_done(&add("salt", &file, "pepper"));
    assert_eq!(names(&file), ["홍길동", "a b", "salt"]);
    let server = folder.serve(&["--users", &file]);
    logged_in(&server, "홍길동", HONGS);
    logged_in(&server, "salt", "pepper");
    logged_in(&server, "a b", "  spaces stay  ");
}

#[test]
fn what_else_is_in_the_file_stays() {
    let folder = Folder::new("edit");
    let file = folder.write("users", &format!("# staff\n{HONG}\n\n# others\n{KIM}\n"));
    assert_done(&add("이영희", &file, "비밀번호 셋"));
    assert_done(&run(&["user", "remove", "김철수", "--users", &file], ""));
    let text = folder.read("users");
    let kept = text.starts_with(&format!("# staff\n{HONG}\n")) && text.contains("# others\n");
    assert!(kept, "{text}");
    assert_eq!(names(&file), ["홍길동", "이영희"]);
    let unknown = run(&["user", "remove", "박민수", "--users", &file], "");
    assert_eq!(refusal_fault(&unknown, "박민수"), None);
    assert_eq!(folder.read("users"), text);
}

#[test]
fn names_and_passwords_that_could_not_sign_in_are_not_added() {
    let folder = Folder::new("bad");
    let file = folder.write("users", &format!("{HONG}\n"));
    let long = "가".repeat(65);
    let endless = "x".repeat(1025);
    let mut failures = Vec::new();
    let bad_names = [
        "", "a:b", " a", "a ", "a\nb", "a\tb", "a\u{7f}", "#a", &long,
    ];
    let bad_passwords = ["", "\nsecond", &endless];
    let names = bad_names.map(|name| (name, "p"));
    for (name, password) in names.into_iter().chain(bad_passwords.map(|p| ("a", p))) {
        let output = add(name, &file, password);
        if output.status.success() || errors(&output).contains("panicked") {
            failures.push(format!("{name:?} {password:?}: {}", errors(&output)));
        }
        if password.len() > 9 && errors(&output).contains(password) {
            failures.push(format!("the password is told: {}", errors(&output)));
        }
    }
    assert_no_failures(&failures);
    assert_eq!(folder.read("users"), format!("{HONG}\n"));
    assert_done(&add(&long[3..], &file, &endless[1..]));
}

#[test]
fn a_mistake_in_the_command_is_named() {
    let folder = Folder::new("usage");
    let missing = folder.path("no/such/folder/users");
    let file = folder.path("users");
    let failures: Vec<String> = [
        (&["user"][..], "user"),
        (&["user", "dance", "--users", &file], "user"),
        (&["user", "add", "a"], "--users"),
        (&["user", "add", "--users", &file], ""),
        (&["user", "add", "a", "--nope", "b"], "--nope"),
        (&["user", "add", "a", "b", "--users", &file], "b"),
        (&["user", "list", "--users", &missing], &missing),
        (&["user", "remove", "a", "--users", &missing], &missing),
        (&["user", "add", "a", "--users", &missing], &missing),
    ]
    .iter()
    .filter_map(|(arguments, culprit)| refusal_fault(&run(arguments, "p\n"), culprit))
    .collect();
    assert_no_failures(&failures);
    assert!(!Path::new(&file).exists());
}

#[test]
fn a_bad_file_is_refused_at_the_start_without_showing_its_contents() {
    let folder = Folder::new("files");
    let hash = HONG.split_once(':').expect("NAME:PHC").1;
    let wrong = |from: &str, to: &str| HONG.replace(from, to);
    let short = "kid:31 bytes are not enough for it!";
    let mut failures = Vec::new();
    for (option, text) in [
        ("--users", "홍길동".to_owned()),
        ("--users", "홍길동:비밀번호 하나".to_owned()),
        ("--users", format!(":{hash}")),
        ("--users", hash.to_owned()),
        ("--users", format!("{HONG}\n{HONG}")),
        ("--users", wrong("argon2id", "argon2i")),
        ("--users", wrong("m=19456", "m=4294967295")),
        ("--users", wrong("t=2", "t=4294967295")),
        ("--users", wrong("c2FsdCBvZiBob25nIDE2Yg", "!")),
        ("--users", "홍길동:$2b$12$abcdefghijklmnopqrstuv".to_owned()),
        ("--secret-file", "# nothing\n\n".to_owned()),
        ("--secret-file", OLD.to_owned()),
        ("--secret-file", short.to_owned()),
        ("--secret-file", format!("a:{OLD}\nb:short")),
        ("--secret-file", format!("a:{OLD}\na:{NEW}")),
    ] {
        let path = folder.write("bad", &text);
        let output = run(&["--listen", "127.0.0.1:0", option, &path], "");
        failures.extend(refusal_fault(&output, &path).map(|fault| format!("{text}: {fault}")));
        let told = errors(&output);
        let secrets = [OLD, NEW, hash, &short[4..], HONGS];
        if secrets.iter().any(|secret| told.contains(secret)) {
            failures.push(format!("told: {told}"));
        }
    }
    let missing = folder.path("missing");
    for option in ["--users", "--secret-file"] {
        let output = run(&["--listen", "127.0.0.1:0", option, &missing], "");
        failures.extend(refusal_fault(&output, &missing));
    }
    assert_no_failures(&failures);
}

#[test]
fn the_demo_account_is_announced_and_is_there_only_in_a_demo() {
    let folder = Folder::new("demo");
    let users = folder.write("users", &format!("{HONG}\n"));
    let secrets = folder.write("secrets", &format!("a:{OLD}\n"));
    let announced = |options: &[&str]| {
        let path = folder.path("told");
        let told = fs::File::create(&path).expect("a file");
        let mut child = sarang()
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .stderr(told.try_clone().expect("a second handle"))
            .stdout(told)
            .spawn()
            .expect("the binary starts");
        let address = || {
            let told = folder.read("told");
            let line = told
                .lines()
                .find_map(|line| line.strip_prefix("listening on http://"));
            line.map(str::to_owned)
        };
        until("it listens", || address().is_some());
        let stream = TcpStream::connect(address().expect("ADDR:PORT")).expect("a connection");
        // A server that answers has already printed all its start messages.
        assert_eq!(Http::new(stream).get("/auth").status, 200);
        child.kill().expect("it still runs");
        child.wait().expect("its end");
        folder.read("told")
    };
    let told = announced(&[]);
    assert!(told.contains("admin") && told.contains("secret"), "{told}");
    for options in [&["--users", &users][..], &["--secret-file", &secrets]] {
        let told = announced(options);
        assert!(!told.contains("admin"), "{told}");
        let server = folder.serve(options);
        login(&server, "admin", "secret").assert_error(401, "invalid_credentials");
    }
    logged_in(&Server::start(&[]), "admin", "secret");
}

#[test]
fn sighup_reads_the_users_again() {
    let folder = Folder::new("users");
    let users = folder.write("users", &format!("{HONG}\n"));
    let server = folder.serve(&["--users", &users, "--guests"]);
    let token = logged_in(&server, "홍길동", HONGS);
    let mut hong = Chatter::open(&server, &ticket_target(&server, &token), &[]);
    hong.expect("welcome");
    let kept = ticket_target(&server, &token);
    folder.write("users", &format!("{KIM}\n"));
    server.signal(Signal::HUP);
    assert_eq!(hong.close_frame().0, 4002);
    logged_in(&server, "김철수", KIMS);
    login(&server, "홍길동", HONGS).assert_error(401, "invalid_credentials");
    ticket(&server, &token).assert_error(401, "invalid_token");
    let refused = Chatter::open(&server, &kept, &[]).close_frame().0;
    assert!(matches!(refused, 4001 | 4002), "{refused}");
    // An account that comes back does not make its old tokens valid again.
    folder.write("users", &format!("{HONG}\n{KIM}\n"));
    server.signal(Signal::HUP);
    until("홍길동 is back", || !guest_enters(&server, "홍길동"));
    ticket(&server, &token).assert_error(401, "invalid_token");
}

#[test]
fn a_guest_whose_name_becomes_an_account_has_to_go() {
    let folder = Folder::new("guest-gone");
    let users = folder.write("users", &format!("{HONG}\n"));
    let server = folder.serve(&["--users", &users, "--guests"]);
    let mut kim = server.guest("김철수");
    folder.write("users", &format!("{HONG}\n{KIM}\n"));
    server.signal(Signal::HUP);
    // Whispers to the account would reach the guest too.
    assert_eq!(kim.close_frame().0, 4001);
}

#[test]
fn a_bad_file_of_users_leaves_the_old_one_in_force() {
    let folder = Folder::new("users-bad");
    let users = folder.write("users", &format!("{HONG}\n"));
    let server = folder.serve(&["--users", &users]);
    let token = logged_in(&server, "홍길동", HONGS);
    let mut hong = Chatter::open(&server, &ticket_target(&server, &token), &[]);
    hong.expect("welcome");
    let started = folder.read("errors").lines().count();
    for (told, text) in [Some("홍길동:비밀번호 하나\n"), None].iter().enumerate() {
        match text {
            Some(text) => drop(folder.write("users", text)),
            None => fs::remove_file(&users).expect("the file"),
        }
        server.signal(Signal::HUP);
        until("a line on stderr", || {
            folder.read("errors").lines().count() > started + told
        });
        let errors = folder.read("errors");
        assert_eq!(errors.lines().count(), started + told + 1, "{errors}");
        assert!(errors.contains(&users), "{errors}");
        assert!(!errors.contains(HONGS), "{errors}");
        logged_in(&server, "홍길동", HONGS);
    }
    hong.join("tech");
    assert_eq!(ticket(&server, &token).status, 200);
}

#[test]
fn sighup_reads_the_secrets_again() {
    let folder = Folder::new("secrets");
    let users = folder.write("users", &format!("{HONG}\n"));
    let secrets = folder.write("secrets", &format!("old:{OLD}\n"));
    let server = folder.serve(&["--users", &users, "--secret-file", &secrets]);
    let [old, new] = [OLD, NEW].map(|secret| mint(secret, "이영희"));
    assert_eq!(ticket(&server, &old).status, 200);
    ticket(&server, &new).assert_error(401, "invalid_token");
    // While both are there, the new one signs and the old ones still count.
    folder.write("secrets", &format!("new:{NEW}\nold:{OLD}\n"));
    server.signal(Signal::HUP);
    until("the new secret counts", || {
        ticket(&server, &new).status == 200
    });
    assert_eq!(ticket(&server, &old).status, 200);
    let ours = logged_in(&server, "홍길동", HONGS);
    let header = URL_SAFE_NO_PAD.decode(ours.split('.').next().expect("a header"));
    let header = String::from_utf8(header.expect("base64url")).expect("UTF-8");
    assert!(header.contains(r#""kid":"new""#), "{header}");
    folder.write("secrets", &format!("new:{NEW}\n"));
    server.signal(Signal::HUP);
    until("the old secret is void", || {
        ticket(&server, &old).status == 401
    });
    assert_eq!(ticket(&server, &ours).status, 200);
    let lines = || folder.read("errors").lines().count();
    let before = lines();
    folder.write("secrets", &format!("old:{OLD}\nnew:short\n"));
    server.signal(Signal::HUP);
    until("a line on stderr", || lines() > before);
    assert_eq!(lines(), before + 1, "{}", folder.read("errors"));
    assert!(!folder.read("errors").contains(OLD));
    assert_eq!(ticket(&server, &new).status, 200);
    ticket(&server, &old).assert_error(401, "invalid_token");
}

#[test]
fn guests_enter_only_when_allowed_and_never_under_an_account_name() {
    let folder = Folder::new("guests");
    let users = folder.write("users", &format!("{HONG}\n{KIM}\n"));
    let closed = folder.serve(&["--users", &users]);
    assert!(!guest_enters(&closed, "손님"));
    let open = folder.serve(&["--users", &users, "--guests"]);
    assert!(guest_enters(&open, "손님"));
    assert!(!guest_enters(&open, "홍길동"));
    open.get("/rooms").assert_error(401, "unauthorized");
    let demo = Server::start(&[]);
    assert!(!guest_enters(&demo, "admin"));
}

#[test]
fn with_accounts_or_a_secret_any_address_may_be_listened_on() {
    let folder = Folder::new("listen");
    let users = folder.write("users", &format!("{HONG}\n"));
    let secrets = folder.write("secrets", &format!("a:{}\n", &OLD[..32]));
    // No machine has this address: a server that is allowed to try fails with 1, a refusal of the demo with 2.
    for (option, path) in [("--users", &users), ("--secret-file", &secrets)] {
        let output = run(&["--listen", "192.0.2.1:0", option, path], "");
        assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    }
}
