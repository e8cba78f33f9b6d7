//! Full disks, folders that cannot be written, lost users files: the fault is reported once, the old accounts stay.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::json;

use super::until;
use crate::support::{Chatter, Server, assert_no_failures, sarang};

/// Passwords `비밀번호 하나` and `비밀번호 둘`, hashed by another implementation of Argon2.
const HONG: &str = "홍길동:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBob25nIDE2Yg$3YBrGnxlQuHBrV0UERBwONMVvuDazoTdXeo0neMUU8I";
const KIM: &str = "김철수:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBraW0gMTZieQ$A6H0zVmhmTuAq/WpbZ8XT4w11SZ6Vh40j4LzKtTO494";

/// The user ID of `nobody`, which lacks the superuser's rights.
const NOBODY: u32 = 65_534;

/// A folder that other users may enter too; it is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sarang-{name}-{}", std::process::id()));
        // A run that was killed may have had the same process id.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        set_mode(&path, 0o755);
        Self(path)
    }

    fn path(&self, file: &str) -> String {
        let path = self.0.join(file);
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(file);
        fs::write(&path, bytes).expect("a file");
        path
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).expect("a readable file")
    }

    /// The names of all files in it.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// A copy of the binary that an unprivileged user can start.
    fn binary(&self) -> String {
        let copy = self.path("sarang");
        fs::copy(env!("CARGO_BIN_EXE_sarang"), &copy).expect("a copy");
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        set_mode(&self.0, 0o755);
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("another mode");
}

/// The binary started by a line of shell, which may redirect and limit it; `"$@"` is the binary and its arguments.
fn shell(line: &str) -> Command {
    shell_for(line, env!("CARGO_BIN_EXE_sarang"))
}

fn shell_for(line: &str, binary: &str) -> Command {
    let mut command = Command::new("sh");
    for (variable, _) in sarang().get_envs() {
        command.env_remove(variable);
    }
    // For `sh -c`, the argument after the line is $0.
    command.args(["-c", line, "sh", binary]);
    command
}

/// Runs the command as an unprivileged user, if this process is the superuser's.
fn without_rights(command: &mut Command) -> &mut Command {
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The output of a command that is given a password.
fn output(command: &mut Command) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // The command may end without reading stdin.
    let _ = stdin.write_all("비밀번호\n".as_bytes());
    drop(stdin);
    child.wait_with_output().expect("what it printed")
}

/// Fails unless a command ended with 1 and one sentence that names the cause.
fn assert_refused(output: &Output, culprit: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{:?} {told}", output.status);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains(culprit), "{culprit} is not in: {told}");
}

fn serve(command: &mut Command, users: &str) -> Command {
    command.args(["--listen", "127.0.0.1:0", "--users", users]);
    std::mem::replace(command, Command::new("sh"))
}

fn login_status(server: &Server, username: &str, password: &str) -> u16 {
    let form = json!({"username": username, "password": password});
    server.post("/auth/login", &form.to_string()).status
}

/// A session of user Hong.
fn enter(server: &Server) -> Chatter {
    let form = json!({"username": "홍길동", "password": "비밀번호 하나"}).to_string();
    let token = server.post("/auth/login", &form).json()["access_token"].clone();
    let field = format!(
        "Authorization: Bearer {}\r\n",
        token.as_str().expect("a token")
    );
    let response = server.connect().request("POST", "/auth/ws-ticket", &field);
    let ticket = response.json()["ticket"].clone();
    let target = format!("/ws?ticket={}", ticket.as_str().expect("a ticket"));
    let mut hong = Chatter::open(server, &target, &[]);
    hong.expect("welcome");
    hong.join("tech");
    hong
}

/// Sends SIGHUP and waits until the server has read its files again.
fn hang_up(server: &Server) {
    server.signal(Signal::HUP);
    let path = format!("/proc/{}/status", server.pid());
    until("the signal has arrived", || {
        let status = fs::read_to_string(&path).expect("the server is there");
        let mut pending = status
            .lines()
            .filter_map(|line| line.strip_prefix("ShdPnd:"));
        pending.next().is_some_and(|mask| {
            mask.trim()
                .ends_with(['0', '2', '4', '6', '8', 'a', 'c', 'e'])
        })
    });
    // A signal is handled in the same turn as later input, or before it.
    assert_eq!(server.get("/livez").status, 200);
}

/// A fault of the users file.
type Fault = (&'static str, fn(&str));

const FAULTS: [Fault; 9] = [
    ("lost", |_| {}),
    ("no text", |file| {
        fs::write(file, b"\xff\xfe\0").expect("a file")
    }),
    ("no accounts", |file| {
        fs::write(file, "what?\n").expect("a file")
    }),
    ("cut", |file| fs::write(file, &HONG[..70]).expect("a file")),
    ("a folder", |file| fs::create_dir(file).expect("a folder")),
    ("a link to itself", |file| {
        symlink(file, file).expect("a link")
    }),
    ("forbidden", |file| {
        fs::write(file, format!("{HONG}\n{KIM}\n")).expect("a file");
        set_mode(file, 0o000);
    }),
    ("too large", |file| {
        let file = fs::File::create(file).expect("a file");
        file.set_len(64 * 1024 * 1024).expect("a length");
    }),
    ("a pipe nobody writes to", |file| {
        let made = Command::new("mkfifo").arg(file).status();
        assert!(made.expect("mkfifo starts").success());
    }),
];

#[test]
fn whatever_happens_to_the_users_file_the_old_accounts_stay_in_force_and_one_line_says_so() {
    let folder = Folder::new("lost");
    let users = folder.write("users", format!("{HONG}\n"));
    let errors = folder.write("errors", "");
    set_mode(&errors, 0o666);
    let mut command = shell_for("exec \"$@\" 2>>\"$ERRORS\"", &folder.binary());
    command.env("ERRORS", &errors);
    let server = Server::spawn(serve(without_rights(&mut command), &users));
    let mut hong = enter(&server);
    // Another user must be able to read the file here, which is told, too.
    let is_about_it = |line: &&str| !line.contains("event=file_exposed");
    let lines = || folder.read("errors").lines().filter(is_about_it).count();
    for (what, spoil) in FAULTS {
        let before = lines();
        fs::remove_file(&users).expect("the file");
        spoil(&users);
        hang_up(&server);
        // Password checks use the worker that has read the file before.
        let status = login_status(&server, "홍길동", "비밀번호 하나");
        assert_eq!(status, 200, "{what}");
        let told = folder.read("errors");
        assert_eq!(lines(), before + 1, "{what}: {told}");
        assert!(
            told.lines()
                .last()
                .is_some_and(|line| line.contains(&users)),
            "{what}: {told}"
        );
        hong.say("tech", what);
        // Removes what is at the path now, if anything is.
        let _ = fs::remove_file(&users).or_else(|_| fs::remove_dir(&users));
        folder.write("users", format!("{HONG}\n"));
        hang_up(&server);
        let status = login_status(&server, "홍길동", "비밀번호 하나");
        assert_eq!(status, 200, "{what} is over");
        assert_eq!(
            lines(),
            before + 1,
            "{what} is over: {}",
            folder.read("errors")
        );
    }
    folder.write("users", format!("{HONG}\n{KIM}\n"));
    hang_up(&server);
    assert_eq!(login_status(&server, "김철수", "비밀번호 둘"), 200);
    hong.say("tech", "끝");
}

/// Fails if a server stops working when it has something to log and cannot.
fn assert_goes_on_unheard(name: &str, mut command: Command) {
    let folder = Folder::new(name);
    let users = folder.write("users", format!("{HONG}\n"));
    let server = Server::spawn(serve(&mut command, &users));
    // The command also holds the other end of the server's stderr open.
    drop(command);
    let mut hong = enter(&server);
    for _ in 0..3 {
        folder.write("users", "what?\n");
        hang_up(&server);
        hong.say("tech", "아직 있다");
        assert_eq!(login_status(&server, "홍길동", "비밀번호 하나"), 200);
    }
    folder.write("users", format!("{HONG}\n{KIM}\n"));
    hang_up(&server);
    assert_eq!(login_status(&server, "김철수", "비밀번호 둘"), 200);
}

#[test]
fn a_server_whose_stderr_is_on_a_full_disk_goes_on() {
    assert_goes_on_unheard("full", shell("exec \"$@\" 2>/dev/full"));
}

#[test]
fn a_server_whose_stderr_is_closed_goes_on() {
    assert_goes_on_unheard("closed", shell("exec \"$@\" 2>&-"));
}

#[test]
fn a_server_whose_stderr_has_no_reader_any_more_goes_on() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = shell("exec \"$@\" 2>&0 </dev/null");
    command.stdin(writer);
    assert_goes_on_unheard("unread", command);
}

/// Killed when the test ends.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_whose_stdout_is_closed_serves() {
    // On an address without other tests, which could be given the port in between.
    let port = TcpListener::bind("127.0.1.2:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let address = format!("127.0.1.2:{port}");
    let child = shell("exec \"$@\" >&- 2>&-")
        .args(["--listen", &address])
        .spawn();
    let _server = Started(child.expect("it starts"));
    until("it listens", || TcpStream::connect(&address).is_ok());
    let stream = TcpStream::connect(&address).expect("it accepts a connection");
    let mut guest = Chatter::over(stream, "/ws?username=guest", &[]);
    guest.expect("welcome");
    guest.join("tech");
    guest.say("tech", "hello");
}

#[test]
fn what_fails_ends_with_its_code_although_the_sentence_cannot_be_written() {
    let mut failures = Vec::new();
    for (arguments, code) in [
        (&["--nope"][..], 2),
        (&["--listen", "192.0.2.1:0", "--users", "/dev/null"], 1),
        (&["user", "list", "--users", "/nowhere/users"], 1),
        (&["user", "add", "a", "--users", "/nowhere/users"], 1),
    ] {
        let output = output(shell("exec \"$@\" 2>/dev/full").args(arguments));
        if output.status.code() != Some(code) {
            failures.push(format!("{arguments:?}: {:?}, not {code}", output.status));
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn a_user_added_on_a_full_disk_is_refused_and_the_file_stays_whole() {
    let folder = Folder::new("disk");
    let users = folder.write("users", format!("{HONG}\n{KIM}\n"));
    // No file may grow to a single byte. Without the trap, SIGXFSZ would kill the command.
    let full = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    for arguments in [["add", "이영희"], ["add", "김철수"], ["remove", "김철수"]] {
        let refused = output(
            shell(full)
                .arg("user")
                .args(arguments)
                .args(["--users", &users]),
        );
        assert_refused(&refused, &users);
        assert_eq!(
            folder.read("users"),
            format!("{HONG}\n{KIM}\n"),
            "{arguments:?}"
        );
        assert_eq!(folder.files(), ["users"], "{arguments:?}");
    }
    let new = folder.path("new");
    let refused = output(shell(full).args(["user", "add", "이영희", "--users", &new]));
    assert_refused(&refused, &new);
    assert_eq!(folder.files(), ["users"]);
}

#[test]
fn a_change_of_the_users_file_that_is_killed_leaves_it_whole() {
    let folder = Folder::new("killed");
    let users = folder.write("users", format!("{HONG}\n"));
    let add = ["user", "add", "이영희", "--users", &users];
    let killed = output(shell("ulimit -f 0; exec \"$@\"").args(add));
    assert!(killed.status.signal().is_some(), "{:?}", killed.status);
    assert_eq!(folder.read("users"), format!("{HONG}\n"));
    let added = output(shell("exec \"$@\"").args(add));
    assert!(added.status.success(), "{added:?}");
    assert!(
        folder
            .read("users")
            .starts_with(&format!("{HONG}\n이영희:"))
    );
}

#[test]
fn a_users_file_in_a_folder_that_cannot_be_written_is_not_changed_and_a_sentence_says_so() {
    let folder = Folder::new("read-only");
    let users = folder.write("users", format!("{HONG}\n"));
    let binary = folder.binary();
    set_mode(&folder.0, 0o555);
    for arguments in [["add", "이영희"], ["remove", "홍길동"]] {
        let mut command = shell_for("exec \"$@\"", &binary);
        command
            .arg("user")
            .args(arguments)
            .args(["--users", &users]);
        assert_refused(&output(without_rights(&mut command)), &users);
        assert_eq!(folder.read("users"), format!("{HONG}\n"), "{arguments:?}");
        assert_eq!(folder.files(), ["sarang", "users"], "{arguments:?}");
    }
}
