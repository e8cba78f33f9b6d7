//! Where the server listens: several addresses, both families, unix sockets; and what it says when it cannot.

use std::fs;
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::command_line::{output, run, text};
use crate::support::http::post_head;
use crate::support::{Chatter, Http, PATIENCE, Server, sarang};

/// A folder of this test, empty.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("sarang-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).expect("a folder");
    path
}

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// A server that listens on these addresses, the first of which is TCP.
fn listening(addresses: &[&str], options: &[&str]) -> Server {
    let mut command = sarang();
    for address in addresses {
        command.args(["--listen", address]);
    }
    command.args(options);
    Server::spawn(command)
}

/// A connection to a unix socket. What a client does with it is the same as with TCP.
fn connect(path: &Path) -> Http {
    let stream = UnixStream::connect(path).expect("somebody listens there");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Http::new(TcpStream::from(OwnedFd::from(stream)))
}

fn status(http: &mut Http, host: &str, fields: &str) -> u16 {
    http.send(format!(
        "GET /rooms HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
    ));
    http.response().status
}

/// A file with a secret, which makes a server one that is no demo.
fn secrets(folder: &Path) -> String {
    let path = folder.join("secrets");
    fs::write(&path, "k:a secret of this test, long enough for HS256\n").expect("a file");
    path.to_str().expect("is UTF-8").to_owned()
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn every_address_is_listened_on_and_told_in_order() {
    let folder = folder("several");
    let path = folder.join("s");
    let server = listening(&["127.0.0.1:0", "127.0.0.2:0", &unix(&path)], &[]);
    let second = server.next_line();
    let second = second.strip_prefix("listening on http://127.0.0.2:");
    let second: u16 = second.and_then(|port| port.parse().ok()).expect("a port");
    assert_eq!(server.next_line(), format!("listening on {}", unix(&path)));
    assert!(
        server
            .next_line()
            .starts_with("demo mode: open http://127.0.0.1:")
    );
    assert_eq!(server.get("/rooms").status, 200);
    let elsewhere = TcpStream::connect(("127.0.0.2", second)).expect("it listens there");
    assert_eq!(Http::new(elsewhere).get("/rooms").status, 200);
    assert_eq!(status(&mut connect(&path), "localhost", ""), 200);
    // The rooms are the same, and one talks to the other.
    let mut kim = server.member("kim", "r");
    let mut over_unix = connect(&path);
    over_unix.send(post_head(
        "/rooms",
        "x",
        "Content-Type: application/json\r\n",
        14,
    ));
    over_unix.send(r#"{"name":"new"}"#);
    assert_eq!(over_unix.response().status, 201);
    kim.join("new");
}

#[test]
fn a_chat_over_a_unix_socket_is_as_any_other() {
    let folder = folder("chat");
    let path = folder.join("s");
    let server = listening(&["127.0.0.1:0", &unix(&path)], &[]);
    let mut kim = server.member("kim", "r");
    let stream = UnixStream::connect(&path).expect("it listens there");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let stream = TcpStream::from(OwnedFd::from(stream));
    let mut lee = Chatter::over(stream, "/ws?username=lee", &[]);
    lee.expect("welcome");
    lee.join("r");
    kim.until("user_joined");
    lee.say("r", "안녕하세요");
    assert_eq!(kim.until("chat")["content"], "안녕하세요");
    kim.say("r", "네");
    assert_eq!(lee.until("chat")["content"], "네");
}

#[test]
fn the_file_of_a_socket_has_the_mode_asked_for_and_goes_with_the_server() {
    let folder = folder("mode");
    for (mode, expected) in [(None, 0o660), (Some("600"), 0o600), (Some("666"), 0o666)] {
        let path = folder.join("s");
        let options: Vec<&str> = mode.iter().flat_map(|mode| ["--unix-mode", mode]).collect();
        let mut server = listening(&["127.0.0.1:0", &unix(&path)], &options);
        let file = fs::symlink_metadata(&path).expect("the socket's file");
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o777, expected);
        server.signal(Signal::TERM);
        assert!(server.exit_within(PATIENCE).success());
        assert!(!path.exists(), "{mode:?}");
    }
}

#[test]
fn the_socket_of_a_killed_server_is_replaced_and_that_of_a_living_one_is_not() {
    let folder = folder("stale");
    let path = folder.join("s");
    let address = unix(&path);
    let mut killed = listening(&["127.0.0.1:0", &address], &[]);
    killed.stop();
    assert!(path.exists(), "nobody has removed it");
    let mut living = listening(&["127.0.0.1:0", &address], &[]);
    assert_eq!(status(&mut connect(&path), "x", ""), 200);
    let refused = run(&["--listen", &address]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(
        told.contains("in use") && told.contains("--listen unix:"),
        "{told}"
    );
    assert_eq!(status(&mut connect(&path), "x", ""), 200);
    // A file that took the place of the socket is not ours to remove.
    fs::remove_file(&path).expect("removed");
    let _other = UnixListener::bind(&path).expect("another's socket");
    living.signal(Signal::TERM);
    assert!(living.exit_within(PATIENCE).success());
    assert!(path.exists());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = folder("file");
    let path = folder.join("s");
    fs::write(&path, "dear diary").expect("a file");
    let refused = run(&["--listen", &unix(&path)]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(
        told.contains("no socket") && told.contains(&unix(&path)),
        "{told}"
    );
    assert_eq!(fs::read_to_string(&path).expect("is there"), "dear diary");
    let refused = run(&["--listen", &unix(&folder.join("missing/s"))]);
    let told = text(&refused.stderr);
    assert!(told.contains("folder does not exist"), "{told}");
}

#[test]
fn whoever_connects_to_a_unix_socket_is_a_trusted_proxy() {
    let folder = folder("trusted");
    let path = folder.join("s");
    let mut server = listening(&["127.0.0.1:0", &unix(&path)], &["--log", "info"]);
    for (field, _) in [
        ("X-Forwarded-For: 1.1.1.1, 10.9.8.7\r\n", "10.9.8.7"),
        ("Forwarded: for=\"[2001:db8::1]\"\r\n", "2001:db8::1"),
        ("", "127.0.0.1"),
    ] {
        let body = r#"{"username":"admin","password":"wrong"}"#;
        let fields = format!("Content-Type: application/json\r\n{field}");
        let mut http = connect(&path);
        http.send(post_head("/auth/login", "x", &fields, body.len()) + body);
        assert_eq!(http.response().status, 401);
    }
    let log = server.stop();
    let logins = log.lines().filter(|line| line.contains("event=login"));
    let addresses: Vec<&str> = logins
        .filter_map(|line| line.rsplit_once("address=").map(|(_, address)| address))
        .collect();
    assert_eq!(addresses, ["10.9.8.7", "2001:db8::1", "127.0.0.1"], "{log}");
    assert!(!log.contains("forwarded_address"), "{log}");
}

#[test]
fn over_a_unix_socket_every_host_is_served_unless_some_are_given() {
    let folder = folder("hosts");
    let path = folder.join("s");
    for (options, served) in [(&[][..], 200), (&["--host", "a.example"], 421)] {
        let server = listening(&["127.0.0.1:0", &unix(&path)], options);
        assert_eq!(status(&mut connect(&path), "chat.example", ""), served);
        assert_eq!(status(&mut connect(&path), "a.example", ""), 200);
        // Over TCP on loopback nothing has changed.
        assert_eq!(status(&mut server.connect(), "chat.example", ""), 421);
    }
}

#[test]
fn all_addresses_of_both_families_are_one_address() {
    let folder = folder("families");
    let secrets = secrets(&folder);
    for address in ["[::]:0", ":0"] {
        let server = listening(&[address], &["--secret-file", &secrets]);
        let port = server.address.port();
        for host in ["127.0.0.1", "::1"] {
            if host == "::1" && !has_ipv6() {
                continue;
            }
            let stream = TcpStream::connect((host, port)).expect("it listens there");
            assert_eq!(
                Http::new(stream).get("/livez").status,
                200,
                "{address} {host}"
            );
        }
    }
}

#[test]
fn the_two_families_may_be_two_addresses_with_one_port() {
    if !has_ipv6() {
        return;
    }
    let folder = folder("two");
    let secrets = secrets(&folder);
    // Another program may take the port in between.
    for _ in 0..10 {
        let port = TcpListener::bind("[::]:0").and_then(|free| free.local_addr());
        let port = port.expect("a free port").port();
        for order in [["0.0.0.0", "[::]"], ["[::]", "0.0.0.0"]] {
            let addresses = order.map(|host| format!("{host}:{port}"));
            let mut command = sarang();
            command.args(["--secret-file", &secrets]);
            for address in &addresses {
                command.args(["--listen", address]);
            }
            let Some(server) = Server::try_spawn(command, Stdio::null()) else {
                continue;
            };
            for host in ["127.0.0.1", "::1"] {
                let stream = TcpStream::connect((host, port)).expect("it listens there");
                assert_eq!(Http::new(stream).get("/livez").status, 200);
            }
            drop(server);
            if order[0] == "[::]" {
                return;
            }
        }
    }
    panic!("no port is free for both");
}

#[test]
fn localhost_is_this_machine_in_both_families() {
    let server = listening(&["localhost:0"], &[]);
    assert_eq!(server.address.ip().to_string(), "127.0.0.1");
    assert_eq!(server.get("/rooms").status, 200);
    if has_ipv6() {
        let line = server.next_line();
        if line.starts_with("listening on") {
            assert_eq!(
                line,
                format!("listening on http://[::1]:{}", server.address.port())
            );
            let stream = TcpStream::connect(("::1", server.address.port())).expect("it listens");
            assert_eq!(Http::new(stream).get("/rooms").status, 200);
        }
    }
}

#[test]
fn a_port_in_use_is_told_with_how_to_choose_another() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address");
    let refused = run(&["--listen", "127.0.0.1:0", "--listen", &address.to_string()]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    let next = address.port().checked_add(1).unwrap_or(8000);
    for part in [
        &address.to_string(),
        "in use",
        &format!("--listen 127.0.0.1:{next}"),
        "127.0.0.1:0 for any free one",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn an_address_that_is_not_here_is_told() {
    let folder = folder("elsewhere");
    let secrets = secrets(&folder);
    let refused = run(&["--secret-file", &secrets, "--listen", "192.0.2.1:8000"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(
        told.contains("192.0.2.1:8000") && told.contains("no such address"),
        "{told}"
    );
}

#[test]
fn a_demo_that_others_would_reach_is_refused_with_the_commands_that_make_it_right() {
    for address in ["0.0.0.0:8000", ":8000", "[::]:8000"] {
        let refused = run(&["--listen", "127.0.0.1:0", "--listen", address]);
        assert_eq!(refused.status.code(), Some(2));
        let told = text(&refused.stderr);
        assert!(
            told.contains("sarang user add NAME --users people\n"),
            "{told}"
        );
        let start = format!("sarang --users people --listen {address}\n");
        assert!(told.contains(&start), "{told}");
    }
}

#[test]
fn an_environment_has_several_addresses_too() {
    let folder = folder("environment");
    let path = folder.join("s");
    let mut command = sarang();
    command.env("SARANG_LISTEN", format!("127.0.0.1:0, {}", unix(&path)));
    let server = Server::spawn(command);
    assert_eq!(server.next_line(), format!("listening on {}", unix(&path)));
    let many: Vec<&str> = std::iter::repeat_n("127.0.0.1:0", 17).collect();
    let refused = output(sarang().env("SARANG_LISTEN", many.join(",")));
    assert!(text(&refused.stderr).contains("16"), "{:?}", refused);
}

#[test]
fn connections_of_all_addresses_are_served_while_one_is_flooded() {
    let folder = folder("flood");
    let path = folder.join("s");
    let server = listening(&["127.0.0.1:0", &unix(&path)], &[]);
    let address = server.address;
    let flood: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(address).expect("it listens"))
        .collect();
    assert_eq!(status(&mut connect(&path), "x", ""), 200);
    drop(flood);
    let mut server = server;
    server.signal(Signal::TERM);
    assert!(server.exit_within(Duration::from_secs(10)).success());
}
