//! Sockets that systemd hands over: a shell passes real ones as descriptors 3 and 4, as sd_listen_fds(3) has it.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use rustix::process::Signal;

use crate::command_line::{output, text};
use crate::support::{Http, PATIENCE, Server, sarang, unix_stream};
use crate::unix_sockets::Folder;

/// The server with this socket as its descriptor 3, and these variables; `$$` in them is its process id.
fn given(socket: impl Into<OwnedFd>, variables: &str, options: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("exec 3<&0 0</dev/null; export {variables}; exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(sarang().get_program());
    command.args(options).stdin(Stdio::from(socket.into()));
    command
}

const ONE: &str = "LISTEN_PID=$$ LISTEN_FDS=1";

fn tcp() -> (TcpListener, String) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("its address");
    (socket, format!("http://{address}"))
}

/// The line on stderr of a server that does not start.
fn refusal(command: &mut Command) -> String {
    let output = output(command);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    errors
}

#[test]
fn a_socket_handed_over_is_used_instead_of_the_default_address() {
    let (socket, address) = tcp();
    let (server, all) = Server::spawn_at(given(socket, ONE, &[]), 1);
    assert_eq!(all, [&*address]);
    let line = server.line();
    assert!(
        line.contains(&format!("open {address} in a browser")),
        "{line}"
    );
    assert_eq!(server.get("/rooms").status, 200);
    server.member("홍길동", "tech").say("tech", "hello");
}

#[test]
fn beside_an_address_that_is_given_both_are_used() {
    let (socket, address) = tcp();
    let command = given(socket, ONE, &["--listen", "127.0.0.2:0"]);
    let (server, all) = Server::spawn_at(command, 2);
    assert!(all[0].starts_with("http://127.0.0.2:"), "{all:?}");
    assert_eq!(all[1], address);
    assert_eq!(server.get("/rooms").status, 200);
    let other = address.trim_start_matches("http://");
    let stream = TcpStream::connect(other).expect("the server accepts a connection");
    assert_eq!(Http::new(stream).get("/rooms").status, 200);
}

#[test]
fn a_unix_socket_handed_over_keeps_its_file() {
    let folder = Folder::new("handed");
    let path = folder.file("a.sock");
    let socket = UnixListener::bind(&path).expect("a socket");
    let (mut server, all) = Server::spawn_at(given(socket, ONE, &[]), 1);
    assert_eq!(all, [format!("unix:{}", path.display())]);
    let mut http = Http::new(unix_stream(&path));
    http.send("GET /rooms HTTP/1.1\r\nHost: chat.example.com\r\n\r\n");
    assert_eq!(http.response().status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_within(PATIENCE).code(), Some(0));
    assert!(path.exists());
}

#[test]
fn a_unix_socket_without_a_file_is_used_too() {
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    let name = format!("sarang-{}", std::process::id());
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("it fits");
    bind(&socket, &address).expect("a free name");
    listen(&socket, 1).expect("a socket that listens");
    let (_server, all) = Server::spawn_at(given(socket, ONE, &[]), 1);
    assert_eq!(all, [format!("unix:@{name}")]);
}

#[test]
fn a_demo_is_not_exposed_by_a_socket_that_is_handed_over() {
    let socket = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let address = socket.local_addr().expect("its address").to_string();
    let errors = refusal(&mut given(socket, ONE, &[]));
    for hint in [
        &*address,
        "handed over",
        "sarang user add NAME --users people",
    ] {
        assert!(errors.contains(hint), "{hint} is not in: {errors}");
    }
}

#[test]
fn another_kind_of_descriptor_is_refused() {
    let (listening, _) = tcp();
    let address = listening.local_addr().expect("its address");
    let stream = TcpStream::connect(address).expect("it listens");
    let (accepted, _) = listening.accept().expect("a connection");
    let kinds: [OwnedFd; 7] = [
        File::open("/dev/null").expect("a file").into(),
        UdpSocket::bind("127.0.0.1:0").expect("a socket").into(),
        UnixDatagram::unbound().expect("a socket").into(),
        UnixStream::pair().expect("sockets").0.into(),
        stream.into(),
        accepted.into(),
        socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket"),
    ];
    for kind in kinds {
        let errors = refusal(&mut given(kind, ONE, &[]));
        for hint in ["descriptor 3", "ListenStream="] {
            assert!(errors.contains(hint), "{hint} is not in: {errors}");
        }
    }
    // One that is there, and one that is not.
    let (socket, _) = tcp();
    let errors = refusal(&mut given(socket, "LISTEN_PID=$$ LISTEN_FDS=2", &[]));
    assert!(errors.contains("descriptor 4"), "{errors}");
}

#[test]
fn a_number_of_sockets_that_makes_no_sense_is_refused() {
    for number in ["33", "4000000000", "-1", "many"] {
        let (socket, _) = tcp();
        let variables = format!("LISTEN_PID=$$ LISTEN_FDS={number}");
        let errors = refusal(&mut given(socket, &variables, &[]));
        assert!(errors.contains("LISTEN_FDS="), "{errors}");
    }
}

#[test]
fn what_was_handed_to_another_process_is_left_alone() {
    for variables in [
        "LISTEN_PID=1 LISTEN_FDS=1",
        "LISTEN_FDS=1",
        "LISTEN_PID= LISTEN_FDS=1",
        "LISTEN_PID=$$ LISTEN_FDS=0",
        "LISTEN_PID=$$",
    ] {
        let (socket, _) = tcp();
        let command = given(socket, variables, &["--listen", "127.0.0.3:0"]);
        let (server, all) = Server::spawn_at(command, 1);
        assert!(all[0].starts_with("http://127.0.0.3:"), "{all:?}");
        assert_eq!(server.get("/rooms").status, 200);
        // No other address was announced.
        assert!(server.line().starts_with("demo mode: "));
    }
}
