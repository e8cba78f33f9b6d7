//! Every way in which a member leaves, and what the other members see of it.

use std::io::Write;

use serde_json::{Value, json};

use crate::support::chatter::position_parts;
use crate::support::frames;
use crate::support::{self, Chatter, Server};

/// A member enters a room, leaves in this way, and the room is told.
fn assert_seen_to_go(go: impl FnOnce(Chatter) -> Option<Chatter>) {
    let server = Server::start(&["--presence-grace", "1"]);
    let mut kim = server.member("김철수", "tech");
    let mut hong = server.guest("홍길동");
    hong.join("tech");
    assert_eq!(kim.expect("user_joined")["username"], "홍길동");
    let kept = go(hong);
    assert_eq!(
        kim.expect("user_left"),
        json!({"type": "user_left", "room": "tech", "username": "홍길동"})
    );
    assert_eq!(server.get("/rooms/tech").json()["users"], 1);
    kim.say("tech", "혼자네");
    kim.expect_no_news();
    drop(kept);
}

#[test]
fn a_closing_handshake_is_seen() {
    assert_seen_to_go(|hong| {
        hong.close();
        None
    });
}

#[test]
fn a_close_frame_without_waiting_for_the_answer_is_seen() {
    assert_seen_to_go(|mut hong| {
        hong.socket.close(None).expect("a close frame goes out");
        hong.socket.flush().expect("a close frame goes out");
        None
    });
}

#[test]
fn a_close_frame_on_a_connection_that_stays_open_is_seen() {
    assert_seen_to_go(|mut hong| {
        hong.socket.close(None).expect("a close frame goes out");
        hong.socket.flush().expect("a close frame goes out");
        Some(hong)
    });
}

#[test]
fn a_connection_dropped_without_a_close_frame_is_seen() {
    assert_seen_to_go(|hong| {
        drop(hong);
        None
    });
}

#[test]
fn a_reset_is_seen() {
    assert_seen_to_go(|hong| {
        hong.reset();
        None
    });
}

#[test]
fn a_half_closed_connection_is_seen() {
    assert_seen_to_go(|hong| {
        hong.half_close();
        Some(hong)
    });
}

#[test]
fn an_end_within_a_frame_is_seen() {
    assert_seen_to_go(|mut hong| {
        let start = &frames::text("cut short")[..5];
        let stream = hong.socket.get_mut();
        stream.write_all(start).expect("the start of a frame");
        hong.half_close();
        Some(hong)
    });
}

#[test]
fn an_end_within_a_fragmented_message_is_seen() {
    assert_seen_to_go(|mut hong| {
        let start = frames::frame(frames::TEXT, "cut");
        let stream = hong.socket.get_mut();
        stream.write_all(&start).expect("the start of a message");
        hong.reset();
        None
    });
}

#[test]
fn a_broken_frame_is_seen_as_a_departure() {
    assert_seen_to_go(|mut hong| {
        let reserved = frames::frame(frames::FIN | 0x40 | frames::TEXT, "?");
        let stream = hong.socket.get_mut();
        stream.write_all(&reserved).expect("a broken frame");
        Some(hong)
    });
}

#[test]
fn a_member_whose_connection_ends_leaves_every_room() {
    let server = Server::start(&[]);
    let mut hong = server.guest("홍길동");
    let mut watchers: Vec<(String, Chatter)> = (0..10)
        .map(|n| {
            let room = format!("방 {n}");
            let watcher = server.member("김철수", &room);
            hong.join(&room);
            (room, watcher)
        })
        .collect();
    hong.reset();
    for (room, watcher) in &mut watchers {
        let left = watcher.until("user_left");
        assert_eq!(left["room"], *room);
        assert_eq!(left["username"], "홍길동");
    }
}

#[test]
fn messages_sent_just_before_the_connection_ends_are_delivered() {
    let server = Server::start(&[]);
    let mut kim = server.member("김철수", "tech");
    let mut hong = server.member("홍길동", "tech");
    kim.expect("user_joined");
    hong.send(json!({"type": "chat", "room": "tech", "content": "안녕히"}));
    hong.half_close();
    assert_eq!(kim.expect("chat")["content"], "안녕히");
    kim.expect("user_left");
}

/// The options of a server where much is said until somebody is told to have gone: at once. The first two are of small
/// outboxes.
pub const FLOODED: [&str; 6] = [
    "--outbox-bytes",
    "65536",
    "--messages-per-second",
    "0",
    "--presence-grace",
    "0",
];

/// A member whose socket accepts only a little, and that never reads after entering.
fn silent_member(server: &Server, name: &str, room: &str) -> Chatter {
    let stream = support::narrow(server.address);
    stream
        .set_read_timeout(Some(support::PATIENCE))
        .expect("a read timeout");
    let target = format!("/ws?username={name}");
    let mut member = Chatter::over(stream, &target, &[]);
    member.expect("welcome");
    member.join(room);
    member
}

/// Sends messages until the silent member is closed; returns what each reader received.
fn flood_until_left(readers: &mut [Chatter], room: &str) -> Vec<Vec<Value>> {
    let mut heard = vec![Vec::new(); readers.len()];
    let content = "가".repeat(4000);
    let mut gone = 0;
    // 60 MB: more than all socket buffers of the kernel and the outbox hold.
    for _ in 0..5000 {
        readers[0].send(json!({"type": "chat", "room": room, "content": content}));
        for (reader, heard) in readers.iter_mut().zip(&mut heard) {
            loop {
                let message = reader.receive();
                if message["type"] == "chat" {
                    heard.push(message);
                    break;
                }
                assert_eq!(message["type"], "user_left", "unexpected: {message}");
                gone += 1;
            }
        }
        if gone == readers.len() {
            return heard;
        }
    }
    panic!("a member that reads nothing is still in the room after 60 MB");
}

#[test]
fn a_member_that_does_not_read_is_closed_and_the_others_lose_nothing() {
    let server = Server::start(&FLOODED);
    let mut readers = [
        server.member("말하는 사람", "tech"),
        server.member("듣는 사람", "tech"),
    ];
    let mut silent = silent_member(&server, "silent", "tech");
    for reader in &mut readers {
        reader.until_match(|news| news["username"] == "silent");
    }
    let heard = flood_until_left(&mut readers, "tech");
    for one in &heard {
        let sequences: Vec<u64> = one
            .iter()
            .map(|chat| position_parts(&chat["position"]).1)
            .collect();
        assert!(
            sequences.windows(2).all(|two| two[0] + 1 == two[1]),
            "a reader lost a message"
        );
    }
    assert_eq!(heard[0], heard[1]);
    assert_eq!(server.get("/rooms/tech").json()["users"], 2);
    assert_eq!(silent.close_frame().0, 4008);
}

#[test]
fn a_member_that_does_not_read_is_closed_with_the_default_outbox_too() {
    let server = Server::start(&FLOODED[2..]);
    let mut readers = [server.member("말하는 사람", "tech")];
    let _silent = silent_member(&server, "silent", "tech");
    readers[0].until("user_joined");
    flood_until_left(&mut readers, "tech");
    assert_eq!(server.get("/rooms/tech").json()["users"], 1);
}

#[test]
fn a_member_that_was_slow_once_can_come_back_and_resume() {
    let server = Server::start(&FLOODED);
    let mut readers = [server.member("말하는 사람", "tech")];
    let _silent = silent_member(&server, "silent", "tech");
    readers[0].until("user_joined");
    let heard = flood_until_left(&mut readers, "tech");
    let seen = heard[0].last().expect("a flood");
    let missed = readers[0].say("tech", "작은 것");
    let resumed = server.guest("silent").resume("tech", &seen["position"]);
    assert_eq!(resumed["history"], json!([missed]));
    assert_eq!(resumed["recovered"], true);
}

#[test]
fn nothing_is_left_of_members_that_left() {
    let server = Server::start(&["--echo", "--presence-grace", "0"]);
    let mut watcher = server.connect();
    watcher.get("/rooms");
    let before = server.descriptors();
    for n in 0..40 {
        let name = format!("{n}번");
        server.member(&name, "tech").close();
        server.member(&name, "tech").reset();
        drop(server.member(&name, "tech"));
        server.get("/rooms");
        server.connect().reset();
        server.connect().send("GET / HT");
        server.upgraded("/ws-echo").reset();
        drop(Chatter::open(&server, "/ws", &[]));
        let mut broken = server.connect();
        broken.send("what?\r\n\r\n");
        broken.response();
        let mut unread = server.connect();
        unread.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(300));
    }
    // The last connections linger for a moment.
    let patience = std::time::Instant::now() + support::PATIENCE;
    while server.descriptors() != before {
        assert_eq!(watcher.get("/rooms").status, 200);
        let left = server.descriptors().abs_diff(before);
        let is_over = std::time::Instant::now() > patience;
        assert!(!is_over, "{left} connections are left over");
    }
    assert_eq!(server.get("/rooms/tech").json()["users"], 0);
}
