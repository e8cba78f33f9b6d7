//! Peers that send without reading, and large answers: memory is bounded, and other clients are not affected.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::departures::FLOODED;
use crate::support::chatter::position_parts;
use crate::support::frames::{FIN, PING, frame, opening, text};
use crate::support::{self, Chatter, Http, Server};

/// A limit far above what a correct server uses.
const MEMORY_KIB_MAX: u64 = 64 * 1024;

/// Writes the same bytes again and again until the server takes no more (or has taken 64 MB).
fn pour(http: &mut Http, bytes: &[u8]) {
    http.stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a write timeout");
    let many = bytes.repeat(64 * 1024 / bytes.len() + 1);
    for _ in 0..1000 {
        match http.stream.write_all(&many) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // The server may also close such a connection.
            Err(_) => return,
        }
    }
}

fn assert_memory_is_bounded(server: &Server) {
    let memory = server.resident_kib();
    assert!(memory < MEMORY_KIB_MAX, "{memory} KiB are in memory");
    assert_eq!(server.get("/rooms").status, 200);
}

#[test]
fn unread_answers_do_not_pile_up() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let host = server.host();
    pour(
        &mut http,
        format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
    );
    assert_memory_is_bounded(&server);
}

/// Bytes that the server has written to all sockets.
fn sent_bytes(server: &Server) -> u64 {
    let page = server.get("/metrics");
    let name = "sarang_bytes_total{direction=\"sent\"} ";
    let mut counts = page
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix(name));
    counts
        .next()
        .and_then(|count| count.parse().ok())
        .expect("a count")
}

#[test]
fn the_kernel_buffers_little_of_unread_answers() {
    const KEPT_BYTES_MAX: u64 = 1024 * 1024;
    let server = Server::start(&[]);
    let mut http = server.connect();
    let host = server.host();
    let page = server.get("/static/chat.js").body.len() as u64;
    let before = sent_bytes(&server);
    let get = format!("GET /static/chat.js HTTP/1.1\r\nHost: {host}\r\n\r\n");
    // 6 MB: more than the largest socket buffer holds.
    http.send(get.repeat(6 * KEPT_BYTES_MAX as usize / page as usize));
    let mut sent = (before, 0);
    // Each `/metrics` response adds a few KB; a page in between adds more.
    while sent.1 < 10 {
        let now = sent_bytes(&server);
        sent = (now, if now - sent.0 < page { sent.1 + 1 } else { 0 });
    }
    let sent = sent.0 - before;
    assert!(sent < KEPT_BYTES_MAX, "{sent} bytes wait in the system");
}

#[test]
fn unread_echoes_do_not_pile_up() {
    let server = Server::start(&["--echo"]);
    let mut http = server.upgraded("/ws-echo");
    pour(&mut http, &text("가".repeat(1000)));
    assert_memory_is_bounded(&server);
}

#[test]
fn unread_pongs_do_not_pile_up() {
    let server = Server::start(&["--echo"]);
    for target in ["/ws-echo", "/ws?username=guest"] {
        let mut http = server.upgraded(target);
        pour(&mut http, &frame(FIN | PING, [7; 125]));
        assert_memory_is_bounded(&server);
    }
}

#[test]
fn unread_errors_do_not_pile_up() {
    let server = Server::start(&["--messages-per-second", "0"]);
    let mut http = server.upgraded("/ws?username=guest");
    pour(&mut http, &text("{}"));
    assert_memory_is_bounded(&server);
}

#[test]
fn fragments_without_an_end_do_not_pile_up() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send(opening("/ws?username=guest", &server.host(), ""));
    http.expect_upgrade();
    http.send(frame(support::frames::TEXT, ""));
    pour(
        &mut http,
        &frame(support::frames::CONTINUATION, vec![b'a'; 1000]),
    );
    assert_memory_is_bounded(&server);
}

#[test]
fn a_sender_that_does_not_read_takes_nothing_from_the_others() {
    let server = Server::start(&["--messages-per-second", "0"]);
    let mut reader = server.member("듣는 사람", "tech");
    let mut deaf = server.upgraded("/ws?username=deaf");
    deaf.send(text(r#"{"type":"join","room":"tech"}"#));
    reader.expect("user_joined");
    let content = "가".repeat(1000);
    let chat = text(json!({"type": "chat", "room": "tech", "content": content}).to_string());
    let pouring = std::thread::spawn(move || {
        pour(&mut deaf, &chat);
        deaf.reset();
    });
    let mut last = None;
    loop {
        let news = reader.receive();
        if news["type"] == "user_left" {
            break;
        }
        let sequence = position_parts(&news["position"]).1;
        assert!(last.is_none_or(|last| last + 1 == sequence), "a hole");
        last = Some(sequence);
    }
    pouring.join().expect("the talker");
    assert!(last.is_some(), "nothing was heard");
    assert_memory_is_bounded(&server);
}

/// Fills the history of rooms with the longest messages there are on the wire.
fn fill(server: &Server, room: &str) {
    let content = "\u{1}".repeat(4096);
    let mut talker = server.member("말하는 사람", room);
    for _ in 0..50 {
        talker.say(room, &content);
    }
}

#[test]
fn the_longest_history_can_be_entered() {
    let server = Server::start(&["--messages-per-second", "0"]);
    fill(&server, "tech");
    let joined = server.guest("홍길동").join("tech");
    assert_eq!(joined["history"].as_array().map(Vec::len), Some(50));
    let history = server.get("/rooms/tech/history").json();
    assert_eq!(history["messages"], joined["history"]);
}

#[test]
fn many_long_histories_can_be_entered_at_once() {
    let server = Server::start(&["--messages-per-second", "0"]);
    let rooms: Vec<String> = (0..12).map(|n| format!("방 {n}")).collect();
    for room in &rooms {
        fill(&server, room);
    }
    let mut hong = server.guest("홍길동");
    for room in &rooms {
        hong.send(json!({"type": "join", "room": room}));
    }
    for room in &rooms {
        let joined = hong.expect("room_joined");
        assert_eq!(joined["room"], *room);
        assert_eq!(joined["history"].as_array().map(Vec::len), Some(50));
    }
}

#[test]
fn a_history_larger_than_the_outbox_can_be_entered() {
    let server = Server::start(&FLOODED);
    fill(&server, "tech");
    let mut hong = server.guest("홍길동");
    assert_eq!(hong.join("tech")["online_count"], 1);
    hong.say("tech", "들어왔다");
}

#[test]
fn a_thousand_rooms_can_be_listed_with_a_small_outbox() {
    let server = Server::start(&[
        "--outbox-bytes",
        "65536",
        "--messages-per-second",
        "0",
        "--rooms-per-connection",
        "0",
    ]);
    let mut hong = server.guest("홍길동");
    for n in 0..1000 {
        hong.join(&format!("{n}{}", "가".repeat(60)));
    }
    hong.send(json!({"type": "room_list"}));
    let list = hong.expect("room_list");
    assert_eq!(list["rooms"].as_array().map(Vec::len), Some(1000));
}

#[test]
fn a_burst_larger_than_the_outbox_reaches_members_that_read() {
    let server = Server::start(&["--messages-per-second", "0"]);
    let mut members: Vec<Chatter> = (0..5)
        .map(|n| server.member(&format!("{n}번"), "tech"))
        .collect();
    let content = "가".repeat(4000);
    let chat = json!({"type": "chat", "room": "tech", "content": content});
    let readers: Vec<_> = members
        .drain(..)
        .enumerate()
        .map(|(n, mut member)| {
            let chat: Value = chat.clone();
            std::thread::spawn(move || {
                // All send at once, and read when they have sent all their messages.
                for _ in 0..10 {
                    for _ in 0..4 {
                        member.send(chat.clone());
                    }
                    for _ in 0..20 {
                        member.until("chat");
                    }
                }
                (n, member)
            })
        })
        .collect();
    for reader in readers {
        reader
            .join()
            .expect("a reader was closed or lost a message");
    }
}

#[test]
fn every_answer_comes_although_the_client_did_not_read_while_asking() {
    let server = Server::start(&[]);
    let host = server.host();
    let get = format!("GET /static/chat.css HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for half_closed in [false, true] {
        let mut http = server.connect();
        // The answers are megabytes, more than may be queued for one client.
        http.send(get.repeat(2000));
        if half_closed {
            http.half_close();
        }
        for n in 0..2000 {
            assert_eq!(http.response().status, 200, "answer {n}, {half_closed}");
        }
        if half_closed {
            http.expect_end();
        } else {
            assert_eq!(http.get("/rooms").status, 200);
        }
    }
}

#[test]
fn every_echo_comes_although_the_client_did_not_read_while_sending() {
    let server = Server::start(&["--echo"]);
    let mut http = server.upgraded("/ws-echo");
    let mut writer = Http::new(http.stream.try_clone().expect("a second handle"));
    let payload = "가".repeat(30_000);
    let message = text(&payload);
    let writing = std::thread::spawn(move || {
        for _ in 0..200 {
            writer.send(&message);
        }
        writer.send(support::frames::close(1000, ""));
    });
    for _ in 0..200 {
        http.expect_frame(FIN | support::frames::TEXT, &payload);
    }
    assert_eq!(http.frame().close_code(), Some(1000));
    http.expect_end();
    writing.join().expect("the writer");
}

#[test]
fn every_command_is_done_although_the_client_did_not_read_while_asking() {
    let server = Server::start(&["--messages-per-second", "0", "--room-users", "1000"]);
    for n in 0..50 {
        let name = format!("{n}{}", "가".repeat(60));
        server.post("/rooms", &json!({"name": name}).to_string());
    }
    let mut http = server.upgraded("/ws?username=guest");
    http.frame();
    // Each list is 15 KB.
    http.send(text(r#"{"type":"room_list"}"#).repeat(1000));
    http.send(text(r#"{"type":"join","room":"tech"}"#));
    http.half_close();
    for n in 0..1000 {
        let payload = http.frame().payload;
        let message: Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(message["type"], "room_list", "answer {n}");
    }
    let joined: Value = serde_json::from_slice(&http.frame().payload).expect("JSON");
    assert_eq!(joined["type"], "room_joined");
}
