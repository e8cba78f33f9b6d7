//! RFC 6455 frame by frame, on the chat and on the echo.

use tungstenite::Message;

use crate::support::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, close, frame, header, text,
};
use crate::support::{Chatter, Http, Server};

fn echo() -> (Server, Http) {
    let server = Server::start(&["--echo"]);
    let http = server.upgraded("/ws-echo");
    (server, http)
}

/// These bytes end a connection with this code, on the echo and in the chat.
fn assert_closed_with(code: u16, broken: &[Vec<u8>]) {
    let server = Server::start(&["--echo"]);
    for bytes in broken {
        for target in ["/ws-echo", "/ws?username=guest"] {
            let mut http = server.upgraded(target);
            http.send_if_open(bytes);
            let shown = &bytes[..bytes.len().min(20)];
            println!("{target}: {shown:02x?} is to be closed with {code}");
            http.expect_close(code);
        }
    }
    assert_eq!(server.get("/rooms").status, 200);
}

#[test]
fn messages_of_every_size_come_back() {
    let (_server, mut http) = echo();
    for length in [0, 1, 125, 126, 127, 128, 0xffff, 0x1_0000, 0x10_0000] {
        let payload = "a".repeat(length);
        http.send(text(&payload));
        http.expect_frame(FIN | TEXT, &payload);
        let payload: Vec<u8> = (0..=255).cycle().take(length).collect();
        http.send(frame(FIN | BINARY, &payload));
        http.expect_frame(FIN | BINARY, &payload);
    }
}

#[test]
fn a_client_library_gets_its_messages_back_too() {
    let server = Server::start(&["--echo"]);
    let mut client = Chatter::open(&server, "/ws-echo", &[]);
    for message in [
        Message::text(""),
        Message::text("안녕하세요 👋"),
        Message::binary(vec![0, 255, 128]),
        Message::binary(Vec::new()),
        Message::text("가".repeat(64 * 1024 / 3)),
        Message::binary(vec![7; 1 << 20]),
    ] {
        client.socket.send(message.clone()).expect("it is taken");
        let back = client.socket.read().expect("it comes back");
        assert!(back == message, "{} other bytes", back.len());
    }
}

#[test]
fn frames_may_be_split_at_any_byte() {
    let (server, mut http) = echo();
    let mut other = server.connect();
    let long = "길".repeat(50);
    let bytes = [
        text("짧은"),
        frame(FIN | PING, "p"),
        text(&long),
        frame(TEXT, "하"),
        frame(FIN | CONTINUATION, "나"),
    ]
    .concat();
    for at in 1..bytes.len() {
        http.send(&bytes[..at]);
        assert_eq!(other.get("/rooms").status, 200);
        http.send(&bytes[at..]);
        http.expect_frame(FIN | TEXT, "짧은");
        http.expect_frame(FIN | PONG, "p");
        http.expect_frame(FIN | TEXT, &long);
        http.expect_frame(FIN | TEXT, "하나");
    }
}

#[test]
fn frames_may_come_one_byte_at_a_time() {
    let (server, mut http) = echo();
    let mut other = server.connect();
    for byte in [text("안녕"), frame(FIN | BINARY, [0; 200])].concat() {
        http.send([byte]);
        assert_eq!(other.get("/rooms").status, 200);
    }
    http.expect_frame(FIN | TEXT, "안녕");
    http.expect_frame(FIN | BINARY, [0; 200]);
}

#[test]
fn many_messages_in_one_packet_come_back_in_order() {
    let (_server, mut http) = echo();
    let messages: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    http.send(messages.iter().flat_map(text).collect::<Vec<u8>>());
    for message in messages {
        http.expect_frame(FIN | TEXT, message);
    }
}

#[test]
fn pings_between_fragments_are_answered_before_the_message() {
    let (_server, mut http) = echo();
    // The fragments split a character.
    let (first, rest) = "한국".as_bytes().split_at(1);
    http.send(frame(TEXT, first));
    http.send(frame(FIN | PING, "one"));
    http.expect_frame(FIN | PONG, "one");
    http.send(frame(CONTINUATION, ""));
    http.send(frame(FIN | PING, ""));
    http.expect_frame(FIN | PONG, "");
    http.send(frame(FIN | CONTINUATION, rest));
    http.expect_frame(FIN | TEXT, "한국");
}

#[test]
fn a_message_may_come_in_many_fragments() {
    let (_server, mut http) = echo();
    let mut bytes = frame(BINARY, "");
    for n in 0..1000 {
        bytes.extend(frame(CONTINUATION, [n as u8]));
    }
    bytes.extend(frame(FIN | CONTINUATION, ""));
    http.send(bytes);
    let payload: Vec<u8> = (0..1000).map(|n| n as u8).collect();
    http.expect_frame(FIN | BINARY, payload);
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let server = Server::start(&["--echo"]);
    for target in ["/ws-echo", "/ws?username=guest"] {
        let mut http = server.upgraded(target);
        if target.starts_with("/ws?") {
            http.frame();
        }
        for payload in [&b""[..], b"hello", &[0xff; 125]] {
            http.send(frame(FIN | PING, payload));
            http.expect_frame(FIN | PONG, payload);
        }
    }
}

#[test]
fn an_unsolicited_pong_is_ignored() {
    let (_server, mut http) = echo();
    http.send(frame(FIN | PONG, "unasked"));
    http.send(frame(FIN | PONG, ""));
    http.send(text("still here"));
    http.expect_frame(FIN | TEXT, "still here");
}

#[test]
fn a_close_is_answered_with_the_same_code() {
    let server = Server::start(&["--echo"]);
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ] {
        for target in ["/ws-echo", "/ws?username=guest"] {
            let mut http = server.upgraded(target);
            http.send(close(code, "안녕히"));
            http.expect_close(code);
        }
    }
}

#[test]
fn a_close_without_a_code_is_answered_and_the_connection_ends() {
    let (_server, mut http) = echo();
    http.send(frame(FIN | CLOSE, ""));
    let answer = http.frame();
    assert_eq!(answer.first, FIN | CLOSE);
    assert!(
        matches!(answer.close_code(), None | Some(1000)),
        "{answer:?}"
    );
    http.expect_end();
}

#[test]
fn a_close_may_have_a_reason_of_123_bytes() {
    let (_server, mut http) = echo();
    http.send(close(1000, [b'r'; 123]));
    http.expect_close(1000);
}

#[test]
fn nothing_is_answered_after_a_close() {
    let (_server, mut http) = echo();
    http.send([close(1000, ""), text("too late"), frame(FIN | PING, "")].concat());
    let answer = http.frame();
    assert_eq!(answer.close_code(), Some(1000), "{answer:?}");
    http.expect_end();
}

#[test]
fn what_came_before_a_close_is_answered_before_it() {
    let (_server, mut http) = echo();
    http.send([text("last words"), frame(FIN | PING, "p"), close(1000, "")].concat());
    http.expect_frame(FIN | TEXT, "last words");
    http.expect_frame(FIN | PONG, "p");
    http.expect_close(1000);
}

#[test]
fn an_unmasked_frame_is_a_protocol_error() {
    let mut unmasked = header(FIN | TEXT, 0, 2);
    unmasked.extend(b"hi");
    let ping = header(FIN | PING, 0, 0);
    assert_closed_with(1002, &[unmasked, ping]);
}

#[test]
fn reserved_bits_and_opcodes_are_protocol_errors() {
    let mut broken: Vec<Vec<u8>> = [0x40, 0x20, 0x10, 0x70]
        .iter()
        .map(|bits| frame(FIN | bits | TEXT, "hi"))
        .collect();
    broken.push(frame(FIN | 0x40 | PING, ""));
    broken.extend([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(|opcode| frame(FIN | opcode, "")));
    assert_closed_with(1002, &broken);
}

#[test]
fn a_long_or_fragmented_control_frame_is_a_protocol_error() {
    assert_closed_with(
        1002,
        &[
            frame(FIN | PING, [0; 126]),
            frame(FIN | PONG, [0; 126]),
            frame(FIN | CLOSE, [0; 126]),
            frame(PING, "half"),
            frame(PONG, "half"),
            frame(CLOSE, ""),
        ],
    );
}

#[test]
fn fragments_out_of_order_are_protocol_errors() {
    assert_closed_with(
        1002,
        &[
            frame(FIN | CONTINUATION, "of nothing"),
            frame(CONTINUATION, "of nothing"),
            [frame(TEXT, "one"), text("another")].concat(),
            [frame(TEXT, "one"), frame(FIN | BINARY, "other")].concat(),
            [
                frame(TEXT, "one"),
                frame(FIN | CONTINUATION, ""),
                frame(FIN | CONTINUATION, ""),
            ]
            .concat(),
        ],
    );
}

#[test]
fn a_bad_close_frame_is_a_protocol_error() {
    let mut broken = vec![frame(FIN | CLOSE, "1")];
    broken.extend(
        [
            0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535,
        ]
        .map(|code| close(code, "")),
    );
    assert_closed_with(1002, &broken);
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    let mut broken: Vec<Vec<u8>> = [
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"ok \x80",
    ]
    .iter()
    .map(text)
    .collect();
    broken.push([frame(TEXT, "한"), frame(FIN | CONTINUATION, b"\x80")].concat());
    broken.push([frame(TEXT, b"\xed"), frame(FIN | CONTINUATION, "")].concat());
    broken.push(close(1000, b"\xff"));
    assert_closed_with(1007, &broken);
}

#[test]
fn a_message_that_is_too_big_is_refused() {
    let server = Server::start(&[]);
    let mut endless = frame(TEXT, vec![b'a'; 16 * 1024]);
    for _ in 0..64 {
        endless.extend(frame(CONTINUATION, vec![b'a'; 16 * 1024]));
    }
    for bytes in [
        text(vec![b'a'; 1 << 20]),
        [header(FIN | TEXT, 0x80, 1 << 40), vec![0; 4]].concat(),
        endless,
    ] {
        let mut http = server.upgraded("/ws?username=guest");
        http.send_if_open(&bytes);
        http.expect_close(1009);
    }
}

#[test]
fn a_length_of_more_than_63_bits_is_a_protocol_error() {
    let huge = header(FIN | BINARY, 0x80, u64::MAX);
    assert_closed_with(1002, &[[huge, vec![0; 4]].concat()]);
}

#[test]
fn the_chat_takes_no_binary_messages() {
    let server = Server::start(&[]);
    let mut http = server.upgraded("/ws?username=guest");
    http.send(frame(FIN | BINARY, r#"{"type":"room_list"}"#));
    http.expect_close(1003);
}

#[test]
fn a_fragmented_command_is_understood() {
    let server = Server::start(&[]);
    let mut http = server.upgraded("/ws?username=guest");
    http.frame();
    let command = r#"{"type":"join","room":"기술"}"#.as_bytes();
    let mut bytes = frame(TEXT, &command[..1]);
    for byte in &command[1..] {
        bytes.extend(frame(CONTINUATION, [*byte]));
    }
    bytes.extend(frame(FIN | CONTINUATION, ""));
    http.send(bytes);
    let answer = String::from_utf8(http.frame().payload).expect("UTF-8");
    assert!(answer.contains("\"room_joined\""), "{answer}");
}
