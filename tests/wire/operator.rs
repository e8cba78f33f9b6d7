//! The server among an operator's tools: signals, supervisors, files, descriptors, a log for programs.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::pipe::pipe;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{PATIENCE, Server, sarang};
use crate::unix_sockets::Folder;

const SECRET: &str = "k:a secret of this test, long enough for HS256\n";

fn text(path: &Path) -> &str {
    path.to_str().expect("is UTF-8")
}

/// A server whose stderr is read line by line.
struct Told {
    server: Server,
    lines: Box<dyn Iterator<Item = String>>,
}

fn start(mut command: Command) -> Told {
    let (errors, stderr) = pipe().expect("a pipe");
    command.args(["--listen", "127.0.0.1:0"]);
    let server = Server::spawn_with(command, Stdio::from(stderr));
    let lines = BufReader::new(File::from(errors)).lines();
    Told {
        server,
        lines: Box::new(lines.map_while(Result::ok)),
    }
}

impl Told {
    /// The next line with this event.
    fn event(&mut self, event: &str) -> String {
        let wanted = format!(" event={event} ");
        let line = self.lines.find(|line| format!("{line} ").contains(&wanted));
        line.unwrap_or_else(|| panic!("no {event}"))
    }
}

#[test]
fn signals_without_a_meaning_here_end_nothing() {
    let server = Server::start(&[]);
    for signal in [Signal::USR1, Signal::USR2, Signal::PIPE] {
        server.signal(signal);
        assert_eq!(server.get("/livez").status, 200, "{signal:?}");
    }
}

/// A server on a unix socket with this stdout, which tells nobody where it listens.
fn with_stdout(stdout: Stdio, path: &Path) -> Child {
    let mut command = sarang();
    command.args(["--listen", &format!("unix:{}", text(path))]);
    command.stdout(stdout).stderr(Stdio::piped());
    command.spawn().expect("the binary starts")
}

#[test]
fn a_stdout_that_takes_nothing_is_told_and_the_server_serves() {
    let folder = Folder::new("stdout");
    let full_file = || OpenOptions::new().write(true).open("/dev/full");
    let full_pipe = || {
        let (reader, writer) = pipe().expect("a pipe");
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).expect("a pipe");
        let mut writer = File::from(writer);
        while writer.write(&[0; 4096]).is_ok() {}
        // Blocking again for the server.
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).expect("a pipe");
        (reader, OwnedFd::from(writer))
    };
    let (unread, full) = full_pipe();
    let (closed, broken) = pipe().expect("a pipe");
    drop(closed);
    for (name, stdout) in [
        ("full file", Stdio::from(full_file().expect("/dev/full"))),
        ("full pipe", Stdio::from(full)),
        ("broken pipe", Stdio::from(broken)),
    ] {
        let path = folder.file("s");
        let mut child = with_stdout(stdout, &path);
        let errors = child.stderr.take().expect("is a pipe");
        let mut lines = BufReader::new(errors).lines().map_while(Result::ok);
        let told = lines.find(|line| line.contains("event=stdout_failed"));
        assert!(told.is_some(), "{name}");
        let mut client = UnixStream::connect(&path).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client
            .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("is taken");
        let answer = BufReader::new(client).lines().next();
        assert_eq!(
            answer.expect("an answer").expect("is read"),
            "HTTP/1.1 200 OK",
            "{name}"
        );
        kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
        assert!(child.wait().expect("it ends").success(), "{name}");
    }
    drop(unread);
}

#[test]
fn few_descriptors_are_told_with_the_connections_they_mean() {
    let start_with = |limit: u32, options: &[&str]| {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" --listen 127.0.0.1:0 \"$@\"");
        command.args(["-c", &script]).arg(sarang().get_program());
        command.args(options);
        let mut server = Server::spawn(command);
        assert_eq!(server.get("/livez").status, 200);
        server.stop()
    };
    let told = start_with(100, &[]);
    assert!(
        told.contains("event=few_descriptors limit=100 connections=68 "),
        "{told}"
    );
    assert!(told.contains("LimitNOFILE"), "{told}");
    let told = start_with(5_000, &["--connections", "6000"]);
    assert!(
        told.contains("event=few_descriptors limit=5000 connections=4968 "),
        "{told}"
    );
    for options in [&[][..], &["--connections", "4000"]] {
        assert_eq!(start_with(5_000, options), "", "it is enough");
    }
    assert_eq!(
        start_with(100, &["--connections", "50"]),
        "",
        "no more are asked for"
    );
}

#[test]
fn files_that_every_user_can_read_or_change_are_told_at_the_start_and_at_a_reload() {
    let folder = Folder::new("exposed");
    let path = folder.file("secrets");
    fs::write(&path, SECRET).expect("a file");
    let chmod = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).expect("is ours");
    chmod(0o644);
    let mut command = sarang();
    command.args(["--secret-file", text(&path), "--log", "info"]);
    let mut told = start(command);
    let line = told.event("file_exposed");
    assert!(line.contains("can read it (mode 644)"), "{line}");
    chmod(0o646);
    told.server.signal(Signal::HUP);
    let line = told.event("file_exposed");
    assert!(line.contains("can change it (mode 646)"), "{line}");
    told.event("reloaded");
    chmod(0o640);
    told.server.signal(Signal::HUP);
    let next = told.lines.next().expect("a line");
    assert!(next.contains("event=reloaded"), "{next}");
}

#[test]
fn a_mounted_file_that_was_replaced_is_told_instead_of_reloaded() {
    let folder = Folder::new("mounted");
    let path = folder.file("secrets");
    fs::write(&path, SECRET).expect("a file");
    // As through a mount of the file alone: the file stays reachable under this path after it was replaced.
    let file = File::open(&path).expect("is there");
    let mounted = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let mut command = sarang();
    command.args(["--secret-file", &mounted, "--log", "info"]);
    let mut told = start(command);
    let other = folder.file("other");
    fs::write(&other, SECRET.replace("k:", "l:")).expect("a file");
    told.server.signal(Signal::HUP);
    told.event("reloaded");
    fs::rename(&other, &path).expect("replaced");
    told.server.signal(Signal::HUP);
    let line = told.event("reload_failed");
    assert!(line.contains("mount its folder instead"), "{line}");
}

/// The next message to a supervisor.
fn next(supervisor: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let length = supervisor.recv(&mut bytes).expect("a message in time");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn a_supervisor_is_told_of_start_reload_life_and_stop() {
    let folder = Folder::new("supervisor");
    let path = folder.file("notify");
    let secrets = folder.file("secrets");
    fs::write(&secrets, SECRET).expect("a file");
    let abstract_name = format!("sarang-test-{}", std::process::id());
    let abstract_address = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
    for (name, socket) in [
        (text(&path).to_owned(), UnixDatagram::bind(&path)),
        (
            format!("@{abstract_name}"),
            UnixDatagram::bind_addr(&abstract_address),
        ),
    ] {
        let supervisor = socket.expect("a socket");
        supervisor
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout");
        let mut command = sarang();
        command
            .env("NOTIFY_SOCKET", &name)
            .env("WATCHDOG_USEC", "200000");
        command.args(["--listen", "127.0.0.1:0", "--drain-delay", "300"]);
        command.args(["--secret-file", text(&secrets)]);
        let mut server = Server::spawn(command);
        let address = server.address;
        assert_eq!(
            next(&supervisor),
            format!("READY=1\nSTATUS=listening on {address}")
        );
        for _ in 0..3 {
            assert_eq!(next(&supervisor), "WATCHDOG=1");
        }
        let other = |supervisor| loop {
            let message = next(supervisor);
            if message != "WATCHDOG=1" {
                return message;
            }
        };
        server.signal(Signal::HUP);
        assert!(other(&supervisor).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(other(&supervisor), "READY=1");
        server.signal(Signal::TERM);
        assert_eq!(
            other(&supervisor),
            "STOPPING=1\nEXTEND_TIMEOUT_USEC=308000000"
        );
        assert_eq!(next(&supervisor), "WATCHDOG=1", "while it waits, too");
        server.signal(Signal::TERM);
        assert!(server.exit_within(PATIENCE).success());
    }
}

#[test]
fn a_supervisor_that_reads_nothing_or_is_not_there_stops_nothing() {
    let folder = Folder::new("deaf");
    let path = folder.file("notify");
    let deaf = UnixDatagram::bind(&path).expect("a socket");
    for (name, pid) in [
        (text(&path), None),
        ("/nowhere/notify", None),
        (text(&path), Some("1")),
    ] {
        let mut command = sarang();
        command
            .env("NOTIFY_SOCKET", name)
            .env("WATCHDOG_USEC", "200");
        if let Some(pid) = pid {
            command.env("WATCHDOG_PID", pid);
        }
        command.args(["--listen", "127.0.0.1:0"]);
        let mut server = Server::spawn(command);
        // By far more signs of life than its queue holds.
        let mut http = server.connect();
        for _ in 0..500 {
            assert_eq!(http.get("/livez").status, 200);
        }
        server.signal(Signal::TERM);
        assert!(server.exit_within(PATIENCE).success());
    }
    drop(deaf);
}

#[test]
fn the_log_can_be_objects_of_json() {
    let mut server = Server::start(&["--log", "debug", "--log-format", "json"]);
    let login = |name: &str| {
        let body = serde_json::json!({"username": name, "password": "x"});
        server.post("/auth/login", &body.to_string()).status
    };
    for _ in 0..8 {
        login("admin");
    }
    let _kim = server.member("김\"철수\\", "tech");
    server.signal(Signal::TERM);
    server.exit_within(PATIENCE);
    let log = server.errors();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    for line in &lines {
        for field in ["time", "level", "event"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
    let find = |event: &str| {
        lines
            .iter()
            .find(|line| line["event"] == event)
            .expect("is there")
    };
    assert_eq!(find("login")["account"], "admin");
    assert_eq!(find("login")["address"], "127.0.0.1");
    assert!(find("draining")["connections"].is_u64());
    assert!(find("started")["address"].is_string());
}
