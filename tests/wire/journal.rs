//! The log on stderr: few lines, which programs can parse, and never a secret.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::pipe::fcntl_setpipe_size;

use crate::support::{self, Chatter, Server, sarang};

/// Fails unless each line is `key=value key="quoted value" …` with a time, a level and an event.
fn assert_well_formed(text: &str) {
    for line in text.lines() {
        assert!(
            line.starts_with("time=20") && line.contains(" level=") && line.contains(" event="),
            "{line:?}"
        );
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

fn login(server: &Server, name: &str, password: &str) -> u16 {
    let body = serde_json::json!({"username": name, "password": password});
    server.post("/auth/login", &body.to_string()).status
}

#[test]
fn normal_operation_logs_nothing() {
    let mut server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.say("tech", "안녕하세요");
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(login(&server, "admin", "wrong"), 401);
    drop(hong);
    assert_eq!(server.stop(), "");
}

#[test]
fn at_info_start_sign_ins_and_shutdown_are_logged() {
    let mut server = Server::start(&["--log", "info"]);
    assert_eq!(login(&server, "admin", "secret"), 200);
    assert_eq!(login(&server, "admin", "wrong"), 401);
    server.signal(rustix::process::Signal::TERM);
    server.exit_within(support::PATIENCE);
    let errors = server.errors();
    assert_well_formed(&errors);
    for event in [
        "level=info event=started address=127.0.0.1:",
        "level=info event=login outcome=accepted account=admin address=127.0.0.1",
        "level=info event=login outcome=refused account=admin address=127.0.0.1",
        "level=info event=draining connections=",
        "level=info event=stopped connections=",
    ] {
        assert!(errors.contains(event), "{event} is not in\n{errors}");
    }
}

#[test]
fn no_secret_and_no_forged_line_gets_in() {
    let mut server = Server::start(&["--log", "debug"]);
    // A password typed into the name field is an easy mistake.
    assert_eq!(login(&server, "hunter2", "x"), 401);
    let answer = server.post("/auth/login", r#"{"username":"admin","password":"secret"}"#);
    let token = answer.json()["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let answer = server.connect().post_with("/auth/ws-ticket", &bearer, "");
    let ticket = answer.json()["ticket"]
        .as_str()
        .expect("a ticket")
        .to_owned();
    let mut admin = Chatter::open(&server, &format!("/ws?ticket={ticket}"), &[]);
    admin.expect("welcome");
    let name = "x\u{a0}level=error\u{2003}\"";
    let target = format!("/ws?username={}", support::percent_encoded(name));
    let mut guest = Chatter::open(&server, &target, &[]);
    guest.expect("welcome");
    drop((admin, guest));
    server.signal(rustix::process::Signal::TERM);
    server.exit_within(support::PATIENCE);
    let errors = server.errors();
    assert_well_formed(&errors);
    for secret in [
        "hunter2",
        "password",
        token.as_str(),
        ticket.as_str(),
        "ticket=",
    ] {
        assert!(!errors.contains(secret), "{secret} is in\n{errors}");
    }
    assert!(
        errors.contains("user=\"x\\u{a0}level=error\\u{2003}\\\"\""),
        "{errors}"
    );
}

#[test]
fn a_log_without_a_reader_does_not_stop_the_server() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    fcntl_setpipe_size(&writer, 4096).expect("a small pipe");
    let mut command = sarang();
    command.args(["--listen", "127.0.0.1:0", "--log", "debug"]);
    let mut server = Server::spawn_with(command, Stdio::from(writer));
    for n in 0..20 {
        let mut guest = server.member(&format!("손님{n}"), "tech");
        guest.say("tech", "안녕하세요");
    }
    assert_eq!(login(&server, "admin", "secret"), 200);
    // A reader that starts late is told how many lines were lost.
    let mut lines = BufReader::new(reader).lines();
    let first = lines.next().expect("a line").expect("UTF-8");
    assert!(first.contains("event=started"), "{first}");
    server.signal(rustix::process::Signal::TERM);
    server.exit_within(support::PATIENCE);
    let lost = lines
        .map(|line| line.expect("UTF-8"))
        .find(|line| line.contains("event=lines_lost count="));
    assert!(lost.is_some());
}

#[test]
fn a_level_that_does_not_exist_is_named() {
    let output = sarang()
        .args(["--log", "loud"])
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        errors.contains("--log") && errors.contains("loud"),
        "{errors}"
    );
}
