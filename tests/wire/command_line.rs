//! Options, environment variables, and messages to the operator.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{PATIENCE, Server, assert_no_failures, sarang};

pub fn run(arguments: &[&str]) -> Output {
    output(sarang().args(arguments))
}

/// Runs a command that must end by itself.
pub fn output(command: &mut Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let pid = Pid::from_child(&child);
    let (sender, ended) = channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(PATIENCE) else {
        kill_process(pid, Signal::KILL).expect("it still runs");
        panic!("{command:?} does not end by itself");
    };
    output.expect("what it printed")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("what is printed is UTF-8")
}

const OPTIONS: [&str; 30] = [
    "--audience",
    "--config",
    "--listen",
    "--host",
    "--allow-origin",
    "--trusted-proxy",
    "--echo",
    "--unix-mode",
    "--proxy-protocol",
    "--ping-interval",
    "--heartbeat",
    "--drain-delay",
    "--log-format",
    "--lobby",
    "--presence-grace",
    "--no-auto-rooms",
    "--help",
    "--version",
    "--keep-alive",
    "--messages-per-second",
    "--connections",
    "--connections-per-address",
    "--connections-per-user",
    "--outbox-bytes",
    "--content-chars",
    "--room-users",
    "--rooms",
    "--rooms-per-connection",
    "SARANG_",
    "127.0.0.1:8000",
];

#[test]
fn help_names_every_option() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let printed = text(&help.stdout);
    let missing: Vec<String> = OPTIONS
        .iter()
        .filter(|option| !printed.contains(*option))
        .map(|option| format!("{option} is not in --help"))
        .collect();
    assert_no_failures(&missing);
    assert!(help.stderr.is_empty(), "{}", text(&help.stderr));
}

#[test]
fn the_command_help_prints_the_same_and_tells_more_about_one_option() {
    let help = run(&["help"]);
    assert_eq!(help.status.code(), Some(0));
    assert_eq!(text(&help.stdout), text(&run(&["--help"]).stdout));
    assert_eq!(text(&help.stdout), text(&run(&["-h"]).stdout));
    for name in ["listen", "--listen", "SARANG_LISTEN"] {
        let one = run(&["help", name]);
        assert_eq!(one.status.code(), Some(0));
        let printed = text(&one.stdout);
        for part in [
            "127.0.0.1:8000",
            "SARANG_LISTEN=",
            "\nconfig file:  listen = ",
        ] {
            assert!(printed.contains(part), "{part} is not in: {printed}");
        }
    }
    assert_refused(
        &run(&["help", "lsiten"]),
        "did you mean sarang help listen?",
    );
}

#[test]
fn what_was_probably_meant_is_told() {
    for (arguments, meant) in [
        (&["--lsiten", "127.0.0.1:0"][..], "did you mean --listen?"),
        (&["-listen", "127.0.0.1:0"], "did you mean --listen?"),
        (&["listen", "127.0.0.1:0"], "did you mean --listen?"),
        (&["listen=127.0.0.1:0"], "did you mean --listen?"),
        (&["--guests", "listen"], "did you mean --listen?"),
        (&["--room_users=7"], "did you mean --room-users?"),
        (&["--Echo"], "did you mean --echo?"),
        (&["usr", "list"], "did you mean sarang user?"),
        (&["chekc"], "did you mean sarang check?"),
        (&["--guests", "check"], "a command comes first"),
        (&["user", "ad", "a"], "did you mean add?"),
        (&["--log", "wran"], "did you mean warn?"),
        (&["--log", "WARN"], "did you mean warn?"),
        (&["--log-format", "jsno"], "did you mean json?"),
        (&["completions", "bsh"], "did you mean bash?"),
    ] {
        assert_refused(&run(arguments), meant);
    }
}

#[test]
fn a_command_refuses_what_it_does_not_take() {
    for (arguments, culprit) in [
        (&["man", "sarang"][..], "sarang"),
        (&["check", "now"], "now"),
        (&["help", "listen", "host"], "host"),
        (&["completions"], "the shell is missing"),
        (&["completions", "bash", "zsh"], "zsh"),
        (&["man", "--guests"], "--guests"),
        (&["user", "list", "--guests"], "--guests"),
        (&["user", "list"], "--users"),
    ] {
        assert_refused(&run(arguments), culprit);
    }
}

#[test]
fn version_is_the_version_of_the_package() {
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    let expected = concat!("sarang ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(text(&version.stdout), expected);
}

/// The command ends with code 2, nothing on stdout, and one sentence on stderr that names the cause.
pub fn assert_refused(output: &Output, culprit: &str) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{culprit}: {errors}");
    assert!(errors.contains(culprit), "{culprit} is not in: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

#[test]
fn an_unknown_option_is_named() {
    for (arguments, culprit) in [
        (&["--nope"][..], "--nope"),
        (&["-x"], "-x"),
        (&["stray"], "stray"),
        (&["--listen"], "--listen"),
        (&["--listen", "here"], "--listen"),
        (&["--listen", "127.0.0.1"], "--listen"),
        (&["--listen", "127.0.0.1:99999"], "--listen"),
        (&["--listen", "chat.example:80"], "names"),
        (&["--listen", "unix:"], "--listen"),
        (&["--messages-per-second", "many"], "--messages-per-second"),
        (&["--messages-per-second", "-1"], "--messages-per-second"),
        (&["--messages-per-second="], "--messages-per-second"),
        (&["--room-users", "1.5"], "--room-users"),
        (&["--presence-grace", "-1"], "--presence-grace"),
        (&["--presence-grace", "999999999"], "--presence-grace"),
        (
            &["--outbox-bytes", "99999999999999999999999"],
            "--outbox-bytes",
        ),
        (&["--allow-origin", "not an origin"], "--allow-origin"),
        (&["--audience="], "--audience"),
        (&["--allow-origin", "https://a.example/"], "--allow-origin"),
        (&["--allow-origin", "https://"], "--allow-origin"),
        (&["--allow-origin", "https://a.example:99999"], "no slash"),
        (&["--keep-alive", "-1"], "--keep-alive"),
        (&["--keep-alive", "9999999999"], "--keep-alive"),
        (&["--host", "http://a.example"], "--host"),
        (&["--host", "a.example:8000"], "--host"),
        (&["--host", "*"], "--host"),
        (&["--echo=maybe"], "--echo"),
        (
            &["--proxy-protocol", "--listen", "127.0.0.1:0"],
            "--trusted-proxy",
        ),
        (&["--trusted-proxy"], "--trusted-proxy"),
        (&["--trusted-proxy", "proxy.example"], "--trusted-proxy"),
        (&["--trusted-proxy", "127.0.0.1:80"], "--trusted-proxy"),
        (&["--trusted-proxy", "10.0.0.0/33"], "10.0.0.0/33"),
        // The network that was meant.
        (&["--trusted-proxy", "10.1.2.3/8"], "10.0.0.0/8"),
        (&["--trusted-proxy", "fd00::1/8"], "fd00::/8"),
    ] {
        assert_refused(&run(arguments), culprit);
    }
}

#[test]
fn an_argument_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let broken = std::ffi::OsStr::from_bytes(b"--nope\xff");
    let refused = output(sarang().arg(broken));
    assert_refused(&refused, "--nope");
}

#[test]
fn a_variable_is_as_good_as_an_option() {
    let mut command = sarang();
    command
        .env("SARANG_LISTEN", "127.0.0.1:0")
        .env("SARANG_ROOM_USERS", "7")
        .env("SARANG_ALLOW_ORIGIN", "https://app.example");
    let server = Server::spawn(command);
    let room = server.post("/rooms", r#"{"name":"a"}"#).json();
    assert_eq!(room["max_users"], 7);
    let field = "Origin: https://app.example\r\n";
    let response = server.connect().request("GET", "/rooms", field);
    let granted = response.required("access-control-allow-origin");
    assert_eq!(granted, "https://app.example");
}

#[test]
fn a_switch_may_be_a_variable() {
    for (value, on) in [("1", true), ("true", true), ("0", false), ("false", false)] {
        let mut command = sarang();
        command
            .args(["--listen", "127.0.0.1:0"])
            .env("SARANG_NO_AUTO_ROOMS", value);
        let server = Server::spawn(command);
        let mut guest = server.guest("홍길동");
        guest.send(json!({"type": "join", "room": "tech"}));
        let kind = if on { "error" } else { "room_joined" };
        assert_eq!(guest.receive()["type"], kind, "{value}");
    }
}

#[test]
fn a_switch_of_the_environment_can_be_switched_off() {
    let mut command = sarang();
    command
        .args(["--listen", "127.0.0.1:0", "--no-auto-rooms=false"])
        .env("SARANG_NO_AUTO_ROOMS", "1");
    let server = Server::spawn(command);
    let mut guest = server.guest("홍길동");
    guest.send(json!({"type": "join", "room": "tech"}));
    assert_eq!(guest.receive()["type"], "room_joined");
}

#[test]
fn a_variable_that_is_no_option_is_told_and_the_server_starts() {
    let mut command = sarang();
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("SARANG_LISTN", "a secret")
        .env("SARANG_PORT", "tcp://10.0.0.1:8000")
        .env("SARANG_SERVICE_HOST", "10.0.0.1");
    let mut server = Server::spawn(command);
    let errors = server.stop();
    let expected = "sarang: warning: the environment variable SARANG_LISTN is no option and is ignored; did you mean \
                    SARANG_LISTEN?\n";
    assert_eq!(errors, expected);
}

#[test]
fn a_variable_that_is_not_utf8_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let broken = std::ffi::OsStr::from_bytes(b"\xff");
    let refused = output(sarang().env("SARANG_HOST", broken));
    assert_refused(&refused, "SARANG_HOST");
}

#[test]
fn an_option_wins_over_its_variable() {
    let mut command = sarang();
    command
        .env("SARANG_LISTEN", "127.0.0.1:1")
        .env("SARANG_ROOM_USERS", "7")
        .args(["--listen", "127.0.0.1:0", "--room-users=8"]);
    let server = Server::spawn(command);
    let room = server.post("/rooms", r#"{"name":"a"}"#).json();
    assert_eq!(room["max_users"], 8);
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value) in [
        ("SARANG_LISTEN", "here"),
        ("SARANG_ROOM_USERS", "many"),
        ("SARANG_ECHO", "maybe"),
        ("SARANG_TRUSTED_PROXY", "127.0.0.1, 10.0.0.1/8"),
    ] {
        assert_refused(&output(sarang().env(name, value)), name);
    }
}

#[test]
fn a_demo_does_not_listen_beyond_loopback() {
    for address in ["0.0.0.0:8000", "[::]:0", ":8000", "192.0.2.1:8000"] {
        let refused = run(&["--listen", address]);
        assert_refused(&refused, address);
        // The two commands that make it right.
        assert_refused(&refused, "`sarang user add NAME --users people`");
        let second = format!("`sarang --users people --listen {address}`");
        assert_refused(&refused, &second);
    }
}

#[test]
fn any_loopback_address_will_do() {
    let mut command = sarang();
    command.args(["--listen", "127.0.0.2:0"]);
    let server = Server::spawn(command);
    assert_eq!(server.address.ip().to_string(), "127.0.0.2");
    assert_eq!(server.get("/rooms").status, 200);
    if TcpListener::bind("[::1]:0").is_ok() {
        let mut command = sarang();
        command.args(["--listen", "[::1]:0"]);
        assert_eq!(Server::spawn(command).get("/rooms").status, 200);
    }
}

#[test]
fn the_line_with_the_address_comes_through_a_pipe_while_the_server_runs() {
    // `start` reads the line from a pipe; two servers on port 0 get different ports.
    let one = Server::start(&[]);
    let two = Server::start(&[]);
    assert_ne!(one.address.port(), 0);
    assert_ne!(one.address, two.address);
    assert_eq!(one.get("/rooms").status, 200);
    assert_eq!(two.get("/rooms").status, 200);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let refused = run(&["--listen", &address]);
    let errors = text(&refused.stderr);
    assert!(
        matches!(refused.status.code(), Some(1 | 2)),
        "{:?} {errors}",
        refused.status
    );
    assert!(errors.contains(&address), "{errors}");
    for way_out in ["is in use", "--listen 127.0.0.1:", "127.0.0.1:0"] {
        assert!(errors.contains(way_out), "{errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_server_can_listen_where_one_has_just_ended() {
    // On an address without other tests, which could be given the port in between.
    let mut command = sarang();
    command.args(["--listen", "127.0.1.1:0"]);
    let mut first = Server::spawn(command);
    let address = first.address;
    let mut kept = first.connect();
    assert_eq!(kept.get("/rooms").status, 200);
    first.signal(Signal::TERM);
    first.exit_within(PATIENCE);
    let mut command = sarang();
    command.args(["--listen", &address.to_string()]);
    assert_eq!(Server::spawn(command).address, address);
}
