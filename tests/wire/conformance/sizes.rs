//! RFC 6455 section 10.4: messages at the limits and above them.

use super::table::{Endpoint, check_on, closed, expect_closed, expect_open, server};
use crate::support::frames::{BINARY, CONTINUATION, FIN, PING, PONG, TEXT, frame, header, text};
use crate::support::{Http, Server};

/// What the chat takes in one message, and the echo.
const CHAT_BYTES_MAX: usize = 64 * 1024;
const ECHO_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A command padded to a length.
fn command(length: usize) -> Vec<u8> {
    let mut command = br#"{"type":"room_list"}"#.to_vec();
    command.resize(length, b' ');
    command
}

fn expect_room_list(http: &mut Http) {
    let payload = http.frame().payload;
    let answer = String::from_utf8_lossy(&payload);
    assert!(answer.contains(r#""type":"room_list""#), "{answer}");
}

fn in_fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let mut sent = frame(opcode, "");
    for part in payload.chunks(size) {
        sent.extend(frame(CONTINUATION, part));
    }
    sent.extend(frame(FIN | CONTINUATION, ""));
    sent
}

#[test]
fn section_10_4_a_message_of_exactly_the_limit_is_taken() {
    let server = server();
    let mut http = Endpoint::Chat.open(&server);
    for length in [CHAT_BYTES_MAX - 1, CHAT_BYTES_MAX] {
        let command = command(length);
        http.send(text(&command));
        expect_room_list(&mut http);
        for size in [CHAT_BYTES_MAX, CHAT_BYTES_MAX / 2, 1000] {
            http.send(in_fragments(TEXT, &command, size));
            expect_room_list(&mut http);
        }
    }
    expect_open(&mut http);
}

#[test]
fn section_10_4_a_message_over_the_limit_is_refused_with_1009() {
    let over = command(CHAT_BYTES_MAX + 1);
    check_on(
        &[Endpoint::Chat],
        &[
            closed("10.4 a frame of one byte too many", text(&over), 1009),
            closed(
                "10.4 its header alone",
                [&header(FIN | TEXT, 0x80, over.len() as u64)[..], &[0; 4]].concat(),
                1009,
            ),
            closed(
                "10.4 the header of a first fragment",
                [&header(TEXT, 0x80, over.len() as u64)[..], &[0; 4]].concat(),
                1009,
            ),
            closed(
                "10.4 fragments of one byte too many together",
                in_fragments(TEXT, &over, 1000),
                1009,
            ),
            closed(
                "10.4 two halves of one byte too many together",
                in_fragments(TEXT, &over, CHAT_BYTES_MAX / 2 + 1),
                1009,
            ),
            closed(
                "10.4 binary over the limit",
                frame(FIN | BINARY, &over),
                1009,
            ),
            closed("10.4 a megabyte", text(vec![b'a'; 1 << 20]), 1009),
            closed(
                "10.4 a promise of a terabyte",
                [&header(FIN | TEXT, 0x80, 1 << 40)[..], &[0; 4]].concat(),
                1009,
            ),
        ],
    );
}

#[test]
fn section_10_4_a_message_without_an_end_is_refused_when_it_is_too_long() {
    let server = server();
    let mut http = Endpoint::Chat.open(&server);
    http.send(frame(TEXT, ""));
    for _ in 0..8 {
        http.send(frame(CONTINUATION, vec![b'a'; CHAT_BYTES_MAX / 8]));
    }
    http.send(frame(FIN | PING, "p"));
    http.expect_frame(FIN | PONG, "p");
    http.send(frame(CONTINUATION, "a"));
    expect_closed(&mut http, Some(1009));
}

/// A binary frame of zeros under a mask of zeros.
fn send_zeros(http: &mut Http, first: u8, length: usize) {
    http.send(header(first, 0x80, length as u64));
    http.send([0; 4]);
    http.send(vec![0; length]);
}

fn expect_zeros(http: &mut Http, length: usize) {
    let mut start = vec![FIN | BINARY, 127];
    start.extend((length as u64).to_be_bytes());
    assert_eq!(http.take(start.len()), start);
    let mut left = length;
    while left > 0 {
        let piece = http.take(left.min(1 << 16));
        assert!(piece.iter().all(|byte| *byte == 0));
        left -= piece.len();
    }
}

#[test]
fn section_10_4_the_echo_takes_64_mebibytes_and_no_more() {
    let server: Server = server();
    let mut http = Endpoint::Echo.open(&server);
    send_zeros(&mut http, FIN | BINARY, ECHO_BYTES_MAX);
    expect_zeros(&mut http, ECHO_BYTES_MAX);
    send_zeros(&mut http, BINARY, ECHO_BYTES_MAX / 2);
    send_zeros(&mut http, FIN | CONTINUATION, ECHO_BYTES_MAX / 2);
    expect_zeros(&mut http, ECHO_BYTES_MAX);
    http.send(
        [
            &header(FIN | BINARY, 0x80, ECHO_BYTES_MAX as u64 + 1)[..],
            &[0; 4],
        ]
        .concat(),
    );
    expect_closed(&mut http, Some(1009));
    let mut http = Endpoint::Echo.open(&server);
    send_zeros(&mut http, BINARY, ECHO_BYTES_MAX);
    http.send(frame(FIN | CONTINUATION, [0]));
    expect_closed(&mut http, Some(1009));
}
