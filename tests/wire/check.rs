//! `sarang check`: a server is asked whether it is ready.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Output;
use std::thread::{self, JoinHandle};

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use crate::command_line::{assert_refused, output, run, text};
use crate::support::{Server, sarang};

const READY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nready\n";
const DRAINING: &str =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\nConnection: close\r\n\r\ndraining\n";

fn assert_ready(output: &Output) {
    let printed = (text(&output.stdout), text(&output.stderr));
    assert_eq!(printed, Default::default());
    assert_eq!(output.status.code(), Some(0));
}

/// Exit code 1, nothing on stdout, and one sentence on stderr.
fn assert_unready(output: &Output, reason: &str) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(reason), "{reason} is not in: {errors}");
    assert_eq!((errors.lines().count(), &*text(&output.stdout)), (1, ""));
}

/// Reads a request to its end and sends the answer; returns the request.
fn serve(mut stream: impl Read + Write, answer: &str) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("bytes") > 0 {
        request.push(byte[0]);
    }
    stream.write_all(answer.as_bytes()).expect("it reads");
    text(&request)
}

/// A server that gives one answer, and then returns the request.
fn fake(listener: TcpListener, answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let address = listener.local_addr().expect("its address");
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        serve(stream, answer)
    });
    (address, thread)
}

/// What is said of an answer, and the request.
fn checked(answer: &'static str, options: &[&str]) -> (Output, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (address, request) = fake(listener, answer);
    let address = address.to_string();
    let output = run(&[&["check", "--listen", &address], options].concat());
    (output, request.join().expect("a request"))
}

#[test]
fn a_server_that_is_ready_is_told_by_exit_code_0_alone() {
    let server = Server::start(&[]);
    let address = server.address.to_string();
    assert_ready(&run(&["check", "--listen", &address]));
    // The options of the server, wherever they are.
    assert_ready(&output(
        sarang().arg("check").env("SARANG_LISTEN", &address),
    ));
    // The variable is told by the server, not at each check.
    let mut command = sarang();
    command
        .args(["check", "--listen", &address, "--listen", "127.0.0.1:1"])
        .env("SARANG_LISTN", "1");
    assert_ready(&output(&mut command));
}

#[test]
fn a_check_takes_the_config_file_and_needs_neither_accounts_nor_secrets() {
    let server = Server::start(&[]);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = path.join(format!("check-{}.conf", std::process::id()));
    let text = format!(
        "listen = {}\nusers = missing\nsecret-file = missing\n",
        server.address
    );
    fs::write(&path, text).expect("a file");
    let mut command = sarang();
    command.args(["check", "--config"]).arg(&path);
    assert_ready(&output(&mut command));
    fs::remove_file(&path).expect("it is there");
}

#[test]
fn a_server_on_all_addresses_is_asked_by_loopback_and_by_a_host_of_its_own() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let secrets = path.join(format!("check-{}.secrets", std::process::id()));
    fs::write(&secrets, format!("a:{}\n", "s".repeat(32))).expect("a file");
    for any in ["0.0.0.0:0", "[::]:0"] {
        if TcpListener::bind(any).is_err() {
            continue;
        }
        for host in ["chat.example.com", "2001:db8::1"] {
            let mut command = sarang();
            command
                .args(["--listen", any, "--host", host, "--secret-file"])
                .arg(&secrets);
            let server = Server::spawn(command);
            let address = server.address.to_string();
            let missing = ["--users", "missing"];
            let options = ["check", "--listen", &address, "--host", host];
            assert_ready(&run(&[&options, &missing[..]].concat()));
            let options = ["check", "--listen", &address, "--users", "missing"];
            assert_unready(&run(&options), "--host");
        }
    }
    fs::remove_file(&secrets).expect("it is there");
}

#[test]
fn a_server_that_is_not_ready_or_none_is_told_with_the_reason() {
    assert_ready(&checked(READY, &[]).0);
    for (answer, reason) in [
        (DRAINING, "is draining"),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n{}", "503"),
        ("HTTP/1.1 421 Misdirected Request\r\n\r\n", "--host"),
        ("HTTP/1.1 200 OK\r\n\r\n<html>", "is not sarang"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", "is not sarang"),
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "is not sarang"),
        ("HTTP/1.1 \u{1f980}", "is not sarang"),
        ("", "is not sarang"),
    ] {
        assert_unready(&checked(answer, &[]).0, reason);
    }
}

#[test]
fn an_answer_without_end_is_not_read_forever() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    let endless = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    assert_unready(&run(&["check", "--listen", &address]), "is not sarang");
    endless.join().expect("the check has closed the connection");
}

#[test]
fn where_nobody_listens_or_answers_it_is_told() {
    // Bound, so that nobody else can listen there.
    let bound = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = getsockname(&bound).expect("its address");
    let address = SocketAddr::try_from(address).expect("of IPv4").to_string();
    let refused = run(&["check", "--listen", &address]);
    assert_unready(
        &refused,
        &format!("no answer from {address}: Connection refused"),
    );
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("its address").to_string();
    let timed_out = run(&["check", "--listen", &address]);
    assert_unready(
        &timed_out,
        &format!("no answer from {address} within 5 seconds"),
    );
    assert_unready(
        &run(&["check", "--listen", "unix:/missing/socket"]),
        "unix:/missing/socket",
    );
}

#[test]
fn a_proxy_header_comes_first_where_the_server_awaits_one() {
    const HEADER: &str = "PROXY UNKNOWN\r\n";
    let trusted = ["--proxy-protocol", "--trusted-proxy", "127.0.0.1"];
    let (output, request) = checked(READY, &trusted);
    assert_ready(&output);
    assert!(
        request.starts_with(&format!("{HEADER}GET /readyz HTTP/1.1\r\n")),
        "{request}"
    );
    for options in [
        &trusted[1..],
        &["--proxy-protocol", "--trusted-proxy", "10.0.0.0/8"],
    ] {
        let (output, request) = checked(READY, options);
        assert_ready(&output);
        assert!(request.starts_with("GET /readyz HTTP/1.1\r\n"), "{request}");
    }
}

#[test]
fn a_unix_socket_is_asked_too() {
    let path = std::env::temp_dir().join(format!("sarang-check-{}", std::process::id()));
    let listen = format!("unix:{}", path.display());
    for (options, begin) in [
        (&[][..], "GET /readyz "),
        (&["--proxy-protocol"], "PROXY UNKNOWN\r\nGET /readyz "),
    ] {
        let listener = UnixListener::bind(&path).expect("a socket");
        let answered = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            serve(stream, READY)
        });
        assert_ready(&run(&[&["check", "--listen", &listen], options].concat()));
        let request = answered.join().expect("a request");
        assert!(request.starts_with(begin), "{request}");
        fs::remove_file(&path).expect("it is there");
    }
}

#[test]
fn a_port_that_the_system_picks_cannot_be_asked() {
    assert_refused(
        &run(&["check", "--listen", "127.0.0.1:0"]),
        "--listen 127.0.0.1:0",
    );
    assert_refused(&run(&["check", "--lsiten", "127.0.0.1:7"]), "--listen");
    assert_refused(&run(&["check", "now"]), "now");
}
