//! Where the server listens: several addresses, both families, and what is said when it cannot.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, geteuid};

use crate::command_line::{output, text};
use crate::support::backend::Backend;
use crate::support::{Http, PATIENCE, Server, sarang, unix_stream};
use crate::unix_sockets::Folder;

/// A command line that listens at these addresses.
fn listening_at(addresses: &[&str]) -> Command {
    let mut command = sarang();
    for address in addresses {
        command.args(["--listen", address]);
    }
    command
}

/// The line on stderr of a command that must end by itself, with exit code 1.
fn refusal(command: &mut Command) -> String {
    let output = output(command);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    errors
}

fn rooms(address: impl Into<SocketAddr>) -> u16 {
    let stream = TcpStream::connect(address.into()).expect("the server accepts a connection");
    Http::new(stream).get("/rooms").status
}

fn port_of(announced: &str) -> u16 {
    let port = announced.rsplit(':').next();
    port.and_then(|digits| digits.parse().ok())
        .expect("a port at the end")
}

fn has_ipv6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        println!("this machine has no [::1]");
    }
    has
}

/// A port that is free on every address, and that neither the system nor this function gives to anybody else.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 10_000 + std::process::id() % 10_000;
    loop {
        let port = (first + NEXT.fetch_add(1, Ordering::Relaxed)) as u16;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}

/// A file of secrets.
fn secrets(folder: &Folder) -> PathBuf {
    let file = folder.file("secrets");
    fs::write(&file, "only:a secret of this test, long enough\n").expect("a file");
    file
}

#[test]
fn every_address_is_announced_in_its_order_and_served() {
    let folder = Folder::new("several");
    let path = folder.file("a.sock");
    let unix = format!("unix:{}", path.display());
    let command = listening_at(&["127.0.0.2:0", &unix, "127.0.0.1:0", "127.0.0.3:0"]);
    let (server, all) = Server::spawn_at(command, 4);
    let starts = [
        "http://127.0.0.2:",
        &unix,
        "http://127.0.0.1:",
        "http://127.0.0.3:",
    ];
    for (announced, start) in all.iter().zip(starts) {
        assert!(announced.starts_with(start), "{all:?}");
    }
    let page = format!("open {} in a browser", all[0]);
    let line = server.line();
    assert!(line.contains(&page), "{line}");
    for at in all.iter().filter_map(|at| at.strip_prefix("http://")) {
        assert_eq!(rooms(at.parse::<SocketAddr>().expect("an address")), 200);
    }
    assert_eq!(Http::new(unix_stream(&path)).get("/rooms").status, 200);
    // They meet in the same rooms.
    let mut hong = server.member("홍길동", "tech");
    let mut kim = crate::support::Chatter::over(unix_stream(&path), "/ws?username=kim", &[]);
    kim.expect("welcome");
    kim.join("tech");
    hong.until("user_joined");
    kim.say("tech", "hello");
    assert_eq!(hong.expect("chat")["content"], "hello");
}

#[test]
fn the_log_names_every_address_at_the_start() {
    let mut command = listening_at(&["127.0.0.2:0", "127.0.0.3:0"]);
    command.args(["--log", "info"]);
    let (mut server, all) = Server::spawn_at(command, 2);
    assert_eq!(server.get("/livez").status, 200);
    let errors = server.stop();
    let bare: Vec<&str> = all
        .iter()
        .map(|at| at.trim_start_matches("http://"))
        .collect();
    let started = format!("event=started address=\"{}\"", bare.join(","));
    assert!(errors.contains(&started), "{errors}");
}

#[test]
fn while_it_drains_it_listens_nowhere() {
    let folder = Folder::new("drained");
    let path = folder.file("a.sock");
    let unix = format!("unix:{}", path.display());
    let (mut server, all) =
        Server::spawn_at(listening_at(&["127.0.4.1:0", "127.0.4.2:0", &unix]), 3);
    let mut idle = server.connect();
    assert_eq!(idle.get("/rooms").status, 200);
    server.signal(Signal::TERM);
    idle.expect_end();
    server.exit_within(PATIENCE);
    for at in all.iter().filter_map(|at| at.strip_prefix("http://")) {
        assert!(TcpStream::connect(at).is_err(), "{at} still listens");
    }
    assert!(!path.exists());
}

#[test]
fn the_unspecified_address_of_ipv6_serves_both_families() {
    if !has_ipv6() {
        return;
    }
    for address in ["[::]:0", ":0"] {
        let served = &Backend::start(&format!("both-{address}"), &["--listen", address]).server;
        // The first address is the one that the helper gives.
        let line = served.line();
        let port = port_of(&line);
        assert!(line.starts_with("listening on http://[::]:"), "{line}");
        assert_eq!(rooms((Ipv4Addr::LOCALHOST, port)), 401, "{address}");
        assert_eq!(rooms((Ipv6Addr::LOCALHOST, port)), 401, "{address}");
    }
}

#[test]
fn both_families_may_have_sockets_of_their_own_on_one_port() {
    if !has_ipv6() {
        return;
    }
    for six in ["[::]", ""] {
        let port = free_port();
        let addresses = [format!("0.0.0.0:{port}"), format!("{six}:{port}")];
        let options = ["--listen", &addresses[0], "--listen", &addresses[1]];
        let served = &Backend::start(&format!("each-{}", six.len()), &options).server;
        let lines = [served.line(), served.line()];
        assert_eq!(
            lines,
            [
                format!("listening on http://0.0.0.0:{port}"),
                format!("listening on http://[::]:{port}")
            ]
        );
        assert_eq!(rooms((Ipv4Addr::LOCALHOST, port)), 401);
        assert_eq!(rooms((Ipv6Addr::LOCALHOST, port)), 401);
    }
}

#[test]
fn localhost_is_both_loopback_addresses_with_one_port() {
    if !has_ipv6() {
        return;
    }
    let (server, all) = Server::spawn_at(listening_at(&["localhost:0"]), 2);
    let port = port_of(&all[0]);
    let expected = [
        format!("http://127.0.0.1:{port}"),
        format!("http://[::1]:{port}"),
    ];
    assert_eq!(all, expected);
    assert_eq!(rooms((Ipv4Addr::LOCALHOST, port)), 200);
    assert_eq!(rooms((Ipv6Addr::LOCALHOST, port)), 200);
    let line = server.line();
    assert!(
        line.contains(&format!("open {} in a browser", all[0])),
        "{line}"
    );
}

#[test]
fn at_the_limit_of_descriptors_each_listener_refuses_at_once() {
    let folder = Folder::new("limit");
    let path = folder.file("a.sock");
    let mut command = Command::new("sh");
    let script = "ulimit -n 64; exec \"$0\" \"$@\"";
    command.args(["-c", script]).arg(sarang().get_program());
    let unix = format!("unix:{}", path.display());
    command.args(["--listen", "127.0.0.1:0", "--listen", &unix]);
    let (server, _) = Server::spawn_at(command, 2);
    let connect = |n: usize| match n % 2 {
        0 => server.connect(),
        _ => Http::new(unix_stream(&path)),
    };
    let mut kept = Vec::new();
    let refused = (0..64).any(|n| {
        let mut http = connect(n);
        http.send_if_open("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let status = http.response().status;
        kept.push(http);
        status == 503
    });
    assert!(refused);
    for n in 0..10 {
        let mut http = connect(n);
        http.send_if_open("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
        http.response().assert_error(503, "unavailable");
        http.expect_end();
    }
    kept.clear();
    for n in 0..2 {
        let comes = (0..1000).any(|_| connect(n).get("/livez").status == 200);
        assert!(comes, "a descriptor that became free is used");
    }
}

#[test]
fn what_cannot_be_listened_on_is_told_with_what_can() {
    let folder = Folder::new("refused");
    let secrets = secrets(&folder);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("its address").to_string();
    for (address, hints) in [
        (&*taken, &[&*taken, "is in use", "127.0.0.1:0"][..]),
        (
            "192.0.2.1:8000",
            &["192.0.2.1 is not an address of this machine", " :8000 "],
        ),
        (
            "[2001:db8::1]:8000",
            &["2001:db8::1 is not an address", "[::1]:8000"],
        ),
    ] {
        if address.starts_with('[') && !has_ipv6() {
            continue;
        }
        let mut command = listening_at(&[address]);
        let errors = refusal(command.arg("--secret-file").arg(&secrets));
        for hint in hints {
            assert!(errors.contains(hint), "{hint} is not in: {errors}");
        }
    }
}

#[test]
fn a_port_below_1024_without_permission_is_told() {
    // Without a service that could have it: discard.
    const PORT: &str = "127.0.0.5:9";
    let mut command = match geteuid().is_root() {
        false => sarang(),
        true => {
            let mut command = Command::new("setpriv");
            let dropped = "-net_bind_service";
            command.args(["--bounding-set", dropped, "--inh-caps", dropped]);
            command.arg(sarang().get_program());
            command
        }
    };
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|port| port.trim() != "1024") {
        println!("this machine gives such ports to everybody");
        return;
    }
    let errors = refusal(command.args(["--listen", PORT]));
    for hint in [PORT, "below 1024", "CAP_NET_BIND_SERVICE", "127.0.0.5:8000"] {
        assert!(errors.contains(hint), "{hint} is not in: {errors}");
    }
}

#[test]
fn addresses_that_exclude_each_other_are_told() {
    let folder = Folder::new("twice");
    let secrets = secrets(&folder);
    let port = free_port();
    for (one, other) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", ""),
    ] {
        let [one, other] = [one, other].map(|host| format!("{host}:{port}"));
        let mut command = listening_at(&[&one, &other]);
        let errors = refusal(command.arg("--secret-file").arg(&secrets));
        let expected = format!("--listen {other}: {one} has this port already");
        assert!(errors.contains(&expected), "{errors}");
    }
}

#[test]
fn more_addresses_than_there_may_be_are_refused() {
    let addresses = vec!["127.0.0.1:0"; 33];
    let errors = refusal(&mut listening_at(&addresses));
    assert!(errors.contains("at most 32"), "{errors}");
    Server::spawn_at(listening_at(&addresses[1..]), 32);
}
