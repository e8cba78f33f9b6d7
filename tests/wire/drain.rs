//! Shutdown: a signal tells the server to stop, and it closes every connection properly first.

use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Chatter, Server, sarang};

/// The contract gives a drain 5 s, and a busy machine may take a little more. Half-sent requests are closed by nothing
/// else before 10 s.
const DRAIN: Duration = Duration::from_secs(9);

fn assert_drained(signal: Signal) {
    // On an address without other tests, which could be given the freed port at once.
    let mut command = sarang();
    command.args(["--listen", &format!("127.0.1.{}:0", signal.as_raw())]);
    let mut server = Server::spawn(command);
    let mut members: Vec<Chatter> = ["홍길동", "김철수", "이영희"]
        .iter()
        .map(|name| server.member(name, "tech"))
        .collect();
    members.push(server.guest("방 없는 사람"));
    let mut idle = server.connect();
    assert_eq!(idle.get("/rooms").status, 200);
    server.signal(signal);
    for member in &mut members {
        assert_eq!(member.close_frame().0, 1001);
        while member.socket.read().is_ok() {}
    }
    idle.expect_end();
    let status = server.exit_within(DRAIN);
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(
        TcpStream::connect(server.address).is_err(),
        "something still listens"
    );
}

#[test]
fn sigterm_closes_every_connection_and_ends_with_0() {
    assert_drained(Signal::TERM);
}

#[test]
fn sigint_closes_every_connection_and_ends_with_0() {
    assert_drained(Signal::INT);
}

#[test]
fn no_client_can_keep_the_server_from_ending() {
    let mut server = Server::start(&[]);
    let _deaf = server.member("대답 없는 사람", "tech");
    let mut half = server.connect();
    half.send("POST /rooms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{");
    let mut started = server.connect();
    started.send("GET /roo");
    let _silent = server.connect();
    assert_eq!(server.get("/rooms").status, 200);
    server.signal(Signal::TERM);
    let status = server.exit_within(DRAIN);
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_server_without_guests_ends_at_once() {
    let mut server = Server::start(&[]);
    server.signal(Signal::TERM);
    let status = server.exit_within(DRAIN);
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn no_departures_are_announced_while_the_server_ends() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let kim = server.member("김철수", "tech");
    hong.expect("user_joined");
    hong.send(json!({"type": "room_list"}));
    hong.expect("room_list");
    server.signal(Signal::TERM);
    let mut left = 0;
    loop {
        match hong.socket.read() {
            Ok(tungstenite::Message::Close(_)) => break,
            Ok(tungstenite::Message::Text(_)) => left += 1,
            Ok(_) => {}
            Err(error) => panic!("instead of a close frame came {error}"),
        }
    }
    assert_eq!(left, 0);
    drop(kim);
}

#[test]
fn during_the_delay_a_balancer_sees_it_and_clients_are_served() {
    let mut server = Server::start(&["--drain-delay", "600", "--log", "info"]);
    let mut hong = server.member("홍길동", "tech");
    let mut kept = server.connect();
    let page = kept.get("/metrics");
    assert!(page.text().contains("\nsarang_draining 0\n"));
    server.signal(Signal::TERM);
    // The signal and this request come to the loop in no certain order.
    let readiness = loop {
        let readiness = server.connect().get("/readyz");
        if readiness.status != 200 {
            break readiness;
        }
    };
    assert_eq!((readiness.status, readiness.text()), (503, "draining\n"));
    let page = kept.get("/metrics");
    assert!(page.text().contains("\nsarang_draining 1\n") && page.lists("connection", "close"));
    kept.expect_end();
    let mut kim = server.member("김철수", "tech");
    kim.say("tech", "아직 열려 있네요");
    hong.until("chat");
    server.signal(Signal::TERM);
    assert_eq!(hong.close_frame().0, 1001);
    assert_eq!(kim.close_frame().0, 1001);
    drop((hong, kim));
    assert_eq!(server.exit_within(DRAIN).code(), Some(0));
    let log = server.errors();
    assert!(log.contains("event=stopping delay_seconds=600"), "{log}");
    assert!(log.contains("event=draining"), "{log}");
}

#[test]
fn a_second_signal_does_no_harm() {
    let mut server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    server.signal(Signal::TERM);
    assert_eq!(hong.close_frame().0, 1001);
    server.signal(Signal::TERM);
    drop(hong);
    server.exit_within(DRAIN);
}
