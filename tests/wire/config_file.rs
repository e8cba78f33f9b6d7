//! The config file: `--config FILE`.

use std::fs;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::command_line::{assert_refused, output, run};
use crate::support::{PATIENCE, Server, sarang};

/// A file that is removed with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &[u8]) -> Self {
        let name = format!("config-{name}-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The default `max_users` of a room.
fn room_users(server: &Server) -> u64 {
    let room = server.post("/rooms", r#"{"name":"a"}"#).json();
    room["max_users"].as_u64().expect("a number")
}

#[test]
fn a_server_has_the_options_of_its_config_file() {
    let text = "# a server for tests\n\nlisten = 127.0.0.1:0\nroom-users=7\n  allow-origin = https://a.example\r\n\
                allow-origin = https://b.example\necho = true\npublic-dashboard = 0\n";
    let file = File::new("options", text.as_bytes());
    let mut command = sarang();
    command.args(["--config", file.path()]);
    let server = Server::spawn(command);
    assert_eq!(room_users(&server), 7);
    for origin in ["https://a.example", "https://b.example"] {
        let field = format!("Origin: {origin}\r\n");
        let response = server.connect().request("GET", "/rooms", &field);
        assert_eq!(response.required("access-control-allow-origin"), origin);
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_command_line_over_both() {
    let text = "listen = 127.0.0.1:1\nroom-users = 7\nallow-origin = https://a.example\n";
    let file = File::new("precedence", text.as_bytes());
    let mut command = sarang();
    command
        .env("SARANG_CONFIG", file.path())
        .env("SARANG_LISTEN", "127.0.0.1:2")
        .env("SARANG_ROOM_USERS", "8")
        .env("SARANG_ALLOW_ORIGIN", "https://b.example")
        .args(["--listen", "127.0.0.1:0"]);
    let server = Server::spawn(command);
    assert_eq!(room_users(&server), 8);
    let field = "Origin: https://a.example\r\n";
    let response = server.connect().request("GET", "/rooms", field);
    let granted = response.field("access-control-allow-origin");
    assert_eq!(granted, None, "the list of the file is replaced");
}

#[test]
fn what_is_wrong_in_the_file_is_told_with_its_line() {
    for (name, text, culprit) in [
        ("value", &b"\n# x\nrooms = many\n"[..], "3: rooms"),
        (
            "name",
            b"lsiten = 127.0.0.1:0",
            "1: there is no option \"lsiten\"; did you mean listen?",
        ),
        ("dashes", b"--listen = 127.0.0.1:0", "did you mean listen?"),
        ("twice", b"rooms = 1\nrooms = 2", "2: rooms is set twice"),
        ("switch", b"guests", "1: \"guests\""),
        ("level", b"log = wran", "did you mean warn?"),
        ("bytes", b"rooms = 1\n\xff\xfe", "2: the line is not UTF-8"),
    ] {
        let file = File::new(name, text);
        let refused = run(&["--config", file.path()]);
        assert_refused(&refused, culprit);
        assert_refused(&refused, file.path());
    }
}

#[test]
fn what_is_no_file_of_options_is_refused() {
    let large = File::new("large", &b"# comment\n".repeat(110_000));
    let fifo = File::new("fifo", b"");
    fs::remove_file(&fifo.0).expect("it is there");
    mknodat(CWD, &fifo.0, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    let missing = format!("{}-missing", fifo.path());
    let folder = env!("CARGO_TARGET_TMPDIR");
    for (path, what) in [
        (large.path(), "too large"),
        (fifo.path(), "not a regular file"),
        (folder, "not a regular file"),
        ("/dev/null", "not a regular file"),
        (&missing, "No such file"),
    ] {
        let refused = run(&["--config", path]);
        assert_refused(&refused, what);
        assert_refused(&refused, path);
        let refused = output(sarang().env("SARANG_CONFIG", path));
        assert_refused(&refused, "SARANG_CONFIG");
    }
}

#[test]
fn a_hangup_does_not_reread_it() {
    let file = File::new("hangup", b"listen = 127.0.0.1:0\nroom-users = 7\n");
    let mut command = sarang();
    command.args(["--config", file.path(), "--log", "info"]);
    let mut server = Server::spawn(command);
    fs::write(&file.0, "room-users = many\n").expect("a file");
    server.signal(Signal::HUP);
    assert_eq!(room_users(&server), 7);
    server.signal(Signal::TERM);
    server.exit_within(PATIENCE);
    assert!(!server.errors().contains("many"));
}
