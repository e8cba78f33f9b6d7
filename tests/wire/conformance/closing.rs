//! RFC 6455 sections 5.5.1 and 7: close frames, close codes, and how the connection ends.

use rustix::process::Signal;

use super::table::{
    Endpoint, Row, accepted, check, closed, closed_after, closed_without_code, expect_closed, pong,
    said, send_in_pieces, server,
};
use crate::support::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, close, frame, text,
};
use crate::support::{Http, Server};

#[test]
fn section_5_5_1_a_close_is_answered_with_its_code() {
    let mut rows: Vec<Row> = Vec::new();
    // RFC 6455 section 7.4.1, what IANA has registered since, and both ends of the ranges of section 7.4.2.
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999,
        4000, 4001, 4999,
    ] {
        for reason in ["", "bye", "안녕히 계세요"] {
            let rule = format!("7.4 the code {code} with the reason {reason:?}");
            rows.push(closed(rule, close(code, reason), code));
        }
    }
    check(&rows);
}

#[test]
fn section_7_4_a_code_that_no_endpoint_may_send_is_a_protocol_error() {
    let mut rows: Vec<Row> = Vec::new();
    for code in [
        0, 1, 125, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65_535,
    ] {
        for reason in ["", "why not"] {
            let rule = format!("7.4 the code {code} with the reason {reason:?}");
            rows.push(closed(rule, close(code, reason), 1002));
        }
    }
    check(&rows);
}

#[test]
fn section_5_5_1_a_close_has_no_payload_or_a_code_and_a_reason() {
    check(&[
        closed_without_code("5.5.1 an empty close", frame(FIN | CLOSE, "")),
        closed("5.5.1 one byte", frame(FIN | CLOSE, [3]), 1002),
        closed(
            "5.5.1 two bytes",
            frame(FIN | CLOSE, 1000u16.to_be_bytes()),
            1000,
        ),
        closed("5.5.1 three bytes", close(1000, "r"), 1000),
        closed("5.5.1 124 bytes", close(1000, [b'r'; 122]), 1000),
        closed("5.5.1 125 bytes", close(1000, [b'r'; 123]), 1000),
        closed("5.5.1 126 bytes", close(1000, [b'r'; 124]), 1002),
        closed(
            "5.5.1 a reason of 123 bytes in characters of three",
            close(1000, "길".repeat(41)),
            1000,
        ),
    ]);
}

#[test]
fn section_7_1_6_a_reason_is_utf_8() {
    let rows = [
        &b"\xff"[..],
        b"\x80",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"good \xed\x95",
    ]
    .map(|reason| {
        let rule = format!("7.1.6 the reason {reason:02x?}");
        closed(rule, close(1000, reason), 1007)
    });
    check(&rows);
}

#[test]
fn section_5_5_1_nothing_is_answered_after_a_close() {
    let after = [
        ("a text", text("late")),
        ("a binary message", frame(FIN | BINARY, "late")),
        ("a ping", frame(FIN | PING, "late")),
        ("another close", close(1001, "")),
        ("a close that is wrong", close(1005, "")),
        ("a fragment of nothing", frame(CONTINUATION, "")),
        ("an unmasked frame", vec![FIN | TEXT, 0]),
        ("bytes that are no frame", vec![0xff; 300]),
        ("text that is no UTF-8", text(b"\xff")),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (name, late) in &after {
        rows.extend([
            closed(
                format!("5.5.1 {name} after a close"),
                [close(1000, ""), late.clone()].concat(),
                1000,
            ),
            closed_without_code(
                format!("5.5.1 {name} after an empty close"),
                [frame(FIN | CLOSE, ""), late.clone()].concat(),
            ),
        ]);
    }
    check(&rows);
}

#[test]
fn section_5_5_1_what_came_before_a_close_is_answered_first() {
    check(&[
        closed_after(
            "5.5.1 a text and a ping before a close",
            [text("last"), frame(FIN | PING, "p"), close(1000, "")].concat(),
            [said("last"), pong("p")],
            1000,
        ),
        closed_after(
            "5.5.1 pings before a close",
            [
                frame(FIN | PING, "p"),
                frame(FIN | PING, "q"),
                close(3000, ""),
            ]
            .concat(),
            [pong("p"), pong("q")],
            3000,
        ),
        closed(
            "5.5.1 a message that is not finished before a close",
            [frame(TEXT, "unfinished \u{d55c}"), close(1000, "")].concat(),
            1000,
        ),
    ]);
}

#[test]
fn section_7_1_7_nothing_is_read_after_a_failure() {
    let mut rows: Vec<Row> = Vec::new();
    for (bad, code) in [
        (frame(FIN | 3, ""), 1002),
        (text(b"\xff"), 1007),
        (close(999, ""), 1002),
        (frame(FIN | CLOSE, "1"), 1002),
    ] {
        for late in [text("late"), frame(FIN | PING, "late"), close(1000, "")] {
            rows.push(closed_after(
                format!("7.1.7 {late:02x?} after {bad:02x?}"),
                [text("good"), bad.clone(), late].concat(),
                [said("good")],
                code,
            ));
        }
    }
    check(&rows);
}

/// A chat connection that the server has sent a close frame to, and whose own is awaited.
fn closed_by_the_server(server: &Server) -> Http {
    let mut http = Endpoint::Chat.open(server);
    http.send(frame(FIN | BINARY, "no text"));
    let answer = http.frame();
    assert_eq!(answer.close_code(), Some(1003), "{answer:?}");
    http
}

#[test]
fn section_7_1_1_the_server_ends_the_connection_after_both_close_frames() {
    let server = server();
    for answer in [
        close(1003, ""),
        close(1000, "another code"),
        frame(FIN | CLOSE, ""),
    ] {
        for size in [answer.len(), 1, 3] {
            let mut http = closed_by_the_server(&server);
            send_in_pieces(&server, &mut http, &answer, size);
            http.expect_end();
        }
    }
}

#[test]
fn section_5_5_1_what_comes_between_our_close_and_the_peers_is_not_answered() {
    let server = server();
    for between in [
        text(r#"{"type":"room_list"}"#),
        frame(FIN | PING, "p"),
        [
            frame(TEXT, "a"),
            frame(FIN | PING, "p"),
            frame(FIN | CONTINUATION, "b"),
        ]
        .concat(),
        frame(FIN | BINARY, [0x88; 1000]),
    ] {
        let whole = [between, close(1000, "")].concat();
        for size in [whole.len(), 7] {
            let mut http = closed_by_the_server(&server);
            send_in_pieces(&server, &mut http, &whole, size);
            http.expect_end();
        }
    }
}

#[test]
fn section_7_1_1_a_peer_that_sends_no_close_of_its_own_does_not_hold_the_connection() {
    let server = server();
    let mut silent = closed_by_the_server(&server);
    let mut wrong = closed_by_the_server(&server);
    let mut talking = closed_by_the_server(&server);
    wrong.send(vec![FIN | TEXT, 0]);
    talking.send(text("I did not see it"));
    wrong.expect_end();
    talking.expect_end();
    silent.expect_end();
}

#[test]
fn section_7_1_4_a_connection_that_ends_without_a_close_frame_ends() {
    let server = server();
    for endpoint in Endpoint::BOTH {
        for sent in [vec![], frame(TEXT, "unfinished"), text("a")[..3].to_vec()] {
            let mut http = endpoint.open(&server);
            http.send(sent);
            http.half_close();
            http.expect_end();
        }
    }
}

#[test]
fn section_7_4_1_a_server_that_goes_away_says_1001() {
    let server = server();
    let mut open: Vec<Http> = Endpoint::BOTH.map(|endpoint| endpoint.open(&server)).into();
    let mut within_a_message = Endpoint::Echo.open(&server);
    within_a_message.send([frame(TEXT, "unfinished"), frame(FIN | PING, "p")].concat());
    within_a_message.expect_frame(FIN | PONG, "p");
    open.push(within_a_message);
    server.signal(Signal::TERM);
    for http in &mut open {
        let answer = http.frame();
        assert_eq!(answer.close_code(), Some(1001), "{answer:?}");
        http.send(close(1001, ""));
        http.expect_end();
    }
}

#[test]
fn section_7_4_1_a_chat_of_text_refuses_binary_with_1003() {
    let server = server();
    for sent in [
        frame(FIN | BINARY, ""),
        [frame(BINARY, "a"), frame(FIN | CONTINUATION, "b")].concat(),
    ] {
        for size in [sent.len(), 1] {
            let mut http = Endpoint::Chat.open(&server);
            send_in_pieces(&server, &mut http, &sent, size);
            let answer = http.frame();
            assert_eq!(answer.close_code(), Some(1003), "{answer:?}");
            http.send(close(1003, ""));
            http.expect_end();
        }
    }
}

#[test]
fn section_7_2_a_closing_handshake_on_one_connection_leaves_others_alone() {
    let server = server();
    let mut other = Endpoint::Echo.open(&server);
    for sent in [close(1000, ""), frame(FIN | 3, ""), text(b"\xff")] {
        let mut http = Endpoint::Echo.open(&server);
        http.send(sent);
        let answer = http.frame();
        assert!(answer.close_code().is_some(), "{answer:?}");
        http.expect_end();
    }
    other.send(text("still here"));
    other.expect_frame(FIN | TEXT, "still here");
    other.send(close(1000, ""));
    expect_closed(&mut other, Some(1000));
    check(&[accepted("7.2 nothing sent", "", [])]);
}
