//! Unix sockets: their files, and who their peers are.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, socket};
use rustix::process::Signal;
use serde_json::json;

use crate::command_line::{output, text};
use crate::support::subscriber::Subscriber;
use crate::support::{Chatter, Http, PATIENCE, Server, sarang, unix_stream};

/// A folder for sockets, whose paths must be short; removed when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    /// `name` is used by no other test.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sarang-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path); // of a run that was killed and had this process id
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The value of `--listen`.
fn at(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn command(path: &Path, options: &[&str]) -> Command {
    let mut command = sarang();
    command.args(["--listen", &at(path)]).args(options);
    command
}

/// A server that listens on this unix socket alone.
fn start(path: &Path, options: &[&str]) -> Server {
    let (server, all) = Server::spawn_at(command(path, options), 1);
    assert_eq!(all, [at(path)]);
    server
}

fn http(path: &Path) -> Http {
    Http::new(unix_stream(path))
}

/// The line on stderr of a server that does not start.
fn refusal(path: &Path) -> String {
    let output = output(&mut command(path, &[]));
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&at(path)), "{errors}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    errors
}

fn rooms(path: &Path, host: &str) -> u16 {
    let mut http = http(path);
    http.send(format!("GET /rooms HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    http.response().status
}

#[test]
fn everything_works_over_a_unix_socket() {
    let folder = Folder::new("all");
    let path = folder.file("a.sock");
    let server = start(&path, &["--echo"]);
    let line = server.line();
    assert!(line.starts_with("demo mode: "), "{line}");
    let mut one = http(&path);
    assert_eq!(one.post("/rooms", r#"{"name":"tech"}"#).status, 201);
    assert_eq!(one.get("/dashboard").status, 200);
    let mut stream = Subscriber::over(http(&path), "/sse/system", "");
    let mut hong = Chatter::over(unix_stream(&path), "/ws?username=hong", &[]);
    hong.expect("welcome");
    hong.join("tech");
    let mut kim = Chatter::over(unix_stream(&path), "/ws?username=kim", &[]);
    kim.expect("welcome");
    kim.join("tech");
    hong.until("user_joined");
    hong.say("tech", "안녕하세요!");
    assert_eq!(kim.until("chat")["content"], "안녕하세요!");
    stream.expect("system_metrics");
    // A departure is noticed.
    drop(kim);
    hong.until("user_left");
    // More than the socket takes at once, in both directions.
    let body = vec![b'x'; 4 * 1024 * 1024];
    let echoed = one.post_with("/http-echo", "", &body);
    assert_eq!(echoed.body, body);
}

#[test]
fn the_file_has_the_permissions_that_were_given_whatever_the_umask() {
    let folder = Folder::new("modes");
    for umask in ["000", "077"] {
        for (options, mode) in [
            (&[][..], 0o660),
            (&["--unix-mode", "600"], 0o600),
            (&["--unix-mode", "666"], 0o666),
        ] {
            let path = folder.file("a.sock");
            let mut shell = Command::new("sh");
            let script = format!("umask {umask}; exec \"$0\" \"$@\"");
            shell.args(["-c", &script]).arg(sarang().get_program());
            shell.args(["--listen", &at(&path)]).args(options);
            let (mut server, _) = Server::spawn_at(shell, 1);
            let found = fs::metadata(&path).expect("the file").permissions().mode();
            assert_eq!(found & 0o7777, mode, "{umask} {options:?}");
            server.stop();
        }
    }
}

#[test]
fn a_socket_nobody_listens_on_is_replaced() {
    let folder = Folder::new("stale");
    let path = folder.file("a.sock");
    let mut killed = start(&path, &[]);
    killed.stop();
    assert!(path.exists());
    let server = start(&path, &[]);
    assert_eq!(http(&path).get("/rooms").status, 200);
    drop(server);
    // One of another program.
    fs::remove_file(&path).expect("the socket");
    drop(UnixListener::bind(&path).expect("a socket"));
    start(&path, &[]);
}

#[test]
fn a_socket_somebody_listens_on_is_in_use() {
    let folder = Folder::new("live");
    let path = folder.file("a.sock");
    let _server = start(&path, &[]);
    for _ in 0..2 {
        let errors = refusal(&path);
        assert!(errors.contains("in use"), "{errors}");
        assert_eq!(http(&path).get("/rooms").status, 200);
    }
    let other = folder.file("b.sock");
    let _datagrams = UnixDatagram::bind(&other).expect("a socket");
    let errors = refusal(&other);
    assert!(errors.contains("in use"), "{errors}");
    // One that accepts nobody, with as many waiting as fit.
    let full = folder.file("c.sock");
    let busy = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    let address = SocketAddrUnix::new(&full).expect("a path");
    bind(&busy, &address).expect("a free path");
    rustix::net::listen(&busy, 0).expect("a socket that listens");
    let waiting = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    connect(&waiting, &address).expect("the first who waits");
    let errors = refusal(&full);
    assert!(errors.contains("in use"), "{errors}");
}

#[test]
fn a_file_that_is_no_socket_is_refused_and_stays() {
    let folder = Folder::new("files");
    let [file, directory, link, dangling] =
        ["file", "directory", "link", "dangling"].map(|name| folder.file(name));
    fs::write(&file, "precious").expect("a file");
    fs::create_dir(&directory).expect("a folder");
    symlink(&file, &link).expect("a link");
    symlink(folder.file("nothing"), &dangling).expect("a link");
    for path in [&file, &directory, &link, &dangling] {
        let errors = refusal(path);
        assert!(errors.contains("no socket"), "{errors}");
        assert!(path.is_symlink() || path.exists());
    }
    assert_eq!(fs::read_to_string(&file).expect("the file"), "precious");
    assert!(!folder.file("nothing").exists());
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = Folder::new("missing");
    let errors = refusal(&folder.file("none/a.sock"));
    let missing = folder.file("none");
    assert!(errors.contains(&format!("no folder {}", missing.display())));
}

#[test]
fn at_its_end_the_server_removes_its_own_file_and_no_other() {
    let folder = Folder::new("ends");
    let path = folder.file("a.sock");
    let mut server = start(&path, &[]);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_within(PATIENCE).code(), Some(0));
    assert!(!path.exists());
    let mut server = start(&path, &[]);
    fs::remove_file(&path).expect("the socket");
    fs::write(&path, "precious").expect("a file");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_within(PATIENCE).code(), Some(0));
    assert_eq!(fs::read_to_string(&path).expect("the file"), "precious");
    fs::remove_file(&path).expect("the file");
    // It does not start, because of the second address: the first leaves nothing behind.
    let refused = output(&mut command(
        &path,
        &[
            "--listen",
            "127.0.0.9:0",
            "--listen",
            "192.0.2.1:0",
            "--secret-file",
            "/dev/null",
        ],
    ));
    assert_eq!(refused.status.code(), Some(1));
    assert!(!path.exists());
}

#[test]
fn a_peer_is_a_trusted_proxy_and_itself_this_machine() {
    let folder = Folder::new("peers");
    let path = folder.file("a.sock");
    for (fields, address) in [
        (&[""][..], "127.0.0.1"),
        (&["X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        (&["X-Forwarded-For: 1.1.1.1, 192.0.2.1"], "192.0.2.1"),
        (&["Forwarded: for=\"[2001:db8::1]:9\""], "2001:db8::1"),
        (&["X-Forwarded-For: unix:"], "127.0.0.1"),
        (&["X-Forwarded-For: 0.0.0.0"], "127.0.0.1"),
        (&["Forwarded: for=\"[::]\""], "127.0.0.1"),
        (
            &["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.2"],
            "127.0.0.1",
        ),
    ] {
        let mut server = start(&path, &["--log", "info"]);
        let mut fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        fields = fields.trim_start().to_owned() + "Content-Type: application/json\r\n";
        let body = json!({"username": "nobody", "password": "wrong"}).to_string();
        let refused = http(&path).post_with("/auth/login", &fields, body);
        assert_eq!(refused.status, 401);
        let errors = server.stop();
        let line = errors.lines().find(|line| line.contains("event=login "));
        let told = line.is_some_and(|line| line.ends_with(&format!(" address={address}")));
        assert!(told, "{fields}: {errors}");
        assert!(!errors.contains("address=::"), "{errors}");
    }
}

#[test]
fn the_clients_of_a_proxy_have_limits_and_the_proxy_has_none() {
    let folder = Folder::new("limits");
    let path = folder.file("a.sock");
    let _server = start(&path, &["--connections-per-address", "2"]);
    let mut plain: Vec<Http> = (0..9).map(|_| http(&path)).collect();
    for one in &mut plain {
        assert_eq!(one.get("/rooms").status, 200);
    }
    let subscribe = |client: &str| {
        let mut http = http(&path);
        let field = format!("X-Forwarded-For: {client}\r\n");
        let status = http.head_of_stream("/sse/system", &field).status;
        (http, status)
    };
    let _kept: Vec<_> = [200, 200, 503]
        .into_iter()
        .map(|expected| {
            let (http, status) = subscribe("192.0.2.1");
            assert_eq!(status, expected);
            http
        })
        .collect();
    assert_eq!(subscribe("192.0.2.2").1, 200);
}

#[test]
fn any_host_is_served_until_some_are_given() {
    let folder = Folder::new("hosts");
    let path = folder.file("a.sock");
    let (server, _) = Server::spawn_at(command(&path, &["--listen", "127.0.0.1:0"]), 2);
    assert_eq!(rooms(&path, "chat.example.com"), 200);
    assert_eq!(rooms(&path, "localhost"), 200);
    // The loopback beside it does not profit from that.
    let mut direct = server.connect();
    direct.send("GET /rooms HTTP/1.1\r\nHost: chat.example.com\r\n\r\n");
    direct.response().assert_error(421, "misdirected_request");
    drop(server);
    let _server = start(&path, &["--host", "chat.example.com"]);
    assert_eq!(rooms(&path, "chat.example.com"), 200);
    assert_eq!(rooms(&path, "localhost"), 200);
    assert_eq!(rooms(&path, "evil.example"), 421);
}

#[test]
fn a_peer_may_have_any_address() {
    let folder = Folder::new("named");
    let path = folder.file("a.sock");
    let _server = start(&path, &[]);
    // The longest path there is, which has no zero at its end.
    let base = folder.file("");
    let longest = format!(
        "{}{}",
        base.display(),
        "x".repeat(108 - base.as_os_str().len())
    );
    let named = [
        SocketAddrUnix::new(&*longest).expect("it fits"),
        SocketAddrUnix::new_abstract_name(format!("a\0b{}", std::process::id()).as_bytes())
            .expect("it fits"),
    ];
    let server = SocketAddrUnix::new(&path).expect("a path");
    for address in named {
        let client = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
        bind(&client, &address).expect("a free name");
        connect(&client, &server).expect("the server accepts a connection");
        assert_eq!(Http::new(client.into()).get("/rooms").status, 200);
    }
}
