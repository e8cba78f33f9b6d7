//! RFC 6455 section 5.4: messages in fragments.

use super::table::{
    Endpoint, accepted, bytes, check, check_on, check_on_one_connection, closed, closed_after,
    closed_without_code, pong, said,
};
use crate::support::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, close, frame, text,
};

/// A message whose fragments are these.
fn fragments(opcode: u8, parts: &[&[u8]]) -> Vec<u8> {
    let last = parts.len() - 1;
    parts
        .iter()
        .enumerate()
        .flat_map(|(at, part)| {
            let opcode = if at == 0 { opcode } else { CONTINUATION };
            let fin = if at == last { FIN } else { 0 };
            frame(fin | opcode, part)
        })
        .collect()
}

#[test]
fn section_5_4_the_payloads_of_fragments_are_one_message() {
    let rows = [
        accepted(
            "5.4 two fragments",
            fragments(TEXT, &[b"ab", b"cd"]),
            [said("abcd")],
        ),
        accepted(
            "5.4 three fragments",
            fragments(TEXT, &[b"a", b"bc", b"def"]),
            [said("abcdef")],
        ),
        accepted(
            "5.4 an empty first fragment",
            fragments(TEXT, &[b"", b"ab"]),
            [said("ab")],
        ),
        accepted(
            "5.4 an empty fragment in the middle",
            fragments(TEXT, &[b"a", b"", b"b"]),
            [said("ab")],
        ),
        accepted(
            "5.4 an empty last fragment",
            fragments(TEXT, &[b"ab", b""]),
            [said("ab")],
        ),
        accepted(
            "5.4 nothing but empty fragments",
            fragments(TEXT, &[b"", b"", b""]),
            [said("")],
        ),
        accepted(
            "5.4 every byte a fragment",
            fragments(TEXT, &"한국어".as_bytes().chunks(1).collect::<Vec<_>>()[..]),
            [said("한국어")],
        ),
        accepted(
            "5.4 fragments whose lengths are told in 7 and 16 bits",
            fragments(TEXT, &[&[b'a'; 125], &[b'b'; 126], &[b'c'; 300]]),
            [said(
                ["a".repeat(125), "b".repeat(126), "c".repeat(300)].concat(),
            )],
        ),
        accepted(
            "5.4 one message in fragments after another",
            [
                fragments(TEXT, &[b"a", b"b"]),
                fragments(TEXT, &[b"c", b"d"]),
                text("e"),
            ]
            .concat(),
            [said("ab"), said("cd"), said("e")],
        ),
    ];
    check(&rows);
    check_on_one_connection(&rows);
}

#[test]
fn section_5_4_a_message_has_the_type_of_its_first_fragment() {
    let rows = [
        accepted(
            "5.4 binary in fragments, no UTF-8 in any",
            fragments(BINARY, &[b"\xff", b"", b"\x80\x00"]),
            [bytes(b"\xff\x80\x00")],
        ),
        accepted(
            "5.4 text after binary",
            [fragments(BINARY, &[b"\xff", b"\xfe"]), text("a")].concat(),
            [bytes(b"\xff\xfe"), said("a")],
        ),
        accepted(
            "5.4 binary after text",
            [
                fragments(TEXT, &[b"a", b"b"]),
                fragments(BINARY, &[b"\xff", b"\xfe"]),
            ]
            .concat(),
            [said("ab"), bytes(b"\xff\xfe")],
        ),
    ];
    check(&rows);
    check_on_one_connection(&rows);
}

#[test]
fn section_5_4_many_fragments_are_one_message() {
    let parts: Vec<[u8; 1]> = (0..2000).map(|n| [b'a' + (n % 26) as u8]).collect();
    let slices: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
    let whole = parts.concat();
    check(&[accepted(
        "5.4 two thousand fragments",
        fragments(TEXT, &slices),
        [said(&whole)],
    )]);
    let large = vec![b'x'; 50_000];
    check_on(
        &[Endpoint::Echo],
        &[accepted(
            "5.4 fragments larger together than the chat takes",
            fragments(BINARY, &[&large, &large, &large]),
            [bytes(large.repeat(3))],
        )],
    );
}

#[test]
fn section_5_4_control_frames_may_come_between_fragments() {
    let rows = [
        accepted(
            "5.4 a ping between fragments is answered before the message",
            [
                frame(TEXT, "a"),
                frame(FIN | PING, "p"),
                frame(FIN | CONTINUATION, "b"),
            ]
            .concat(),
            [pong("p"), said("ab")],
        ),
        accepted(
            "5.4 a ping answered before the rest of the message has come",
            [frame(TEXT, "a"), frame(FIN | PING, "p")].concat(),
            [pong("p")],
        ),
        accepted(
            "5.4 pings and pongs between all fragments, within a character",
            [
                frame(TEXT, b"\xed"),
                frame(FIN | PING, ""),
                frame(CONTINUATION, b"\x95"),
                frame(FIN | PONG, b"\xff"),
                frame(FIN | PING, "q"),
                frame(CONTINUATION, ""),
                frame(FIN | PING, b"\xff"),
                frame(FIN | CONTINUATION, b"\x9c"),
            ]
            .concat(),
            [pong(""), pong("q"), pong(b"\xff"), said("한")],
        ),
        closed(
            "5.4 a close between fragments ends the message unsaid",
            [
                frame(TEXT, "a"),
                close(1000, ""),
                frame(FIN | CONTINUATION, "b"),
            ]
            .concat(),
            1000,
        ),
        closed_without_code(
            "5.4 an empty close between fragments",
            [frame(TEXT, "a"), frame(FIN | CLOSE, "")].concat(),
        ),
    ];
    check(&rows);
}

#[test]
fn section_5_4_fragments_of_two_messages_are_not_interleaved() {
    let rows = [
        closed(
            "5.4 a text within a text",
            [frame(TEXT, "a"), text("b")].concat(),
            1002,
        ),
        closed(
            "5.4 the start of a text within a text",
            [frame(TEXT, "a"), frame(TEXT, "b")].concat(),
            1002,
        ),
        closed(
            "5.4 a binary message within a text",
            [frame(TEXT, "a"), frame(FIN | BINARY, "b")].concat(),
            1002,
        ),
        closed(
            "5.4 a text within a binary message",
            [frame(BINARY, "a"), text("b")].concat(),
            1002,
        ),
        closed(
            "5.4 an empty text after empty fragments",
            [frame(TEXT, ""), frame(CONTINUATION, ""), text("")].concat(),
            1002,
        ),
        closed_after(
            "5.4 a text within a text, with a ping between",
            [frame(TEXT, "a"), frame(FIN | PING, "p"), text("b")].concat(),
            [pong("p")],
            1002,
        ),
    ];
    check(&rows);
}

#[test]
fn section_5_4_there_is_no_continuation_of_nothing() {
    let rows = [
        closed(
            "5.4 a last fragment at the start",
            frame(FIN | CONTINUATION, "a"),
            1002,
        ),
        closed(
            "5.4 a fragment at the start",
            frame(CONTINUATION, "a"),
            1002,
        ),
        closed(
            "5.4 an empty last fragment at the start",
            frame(FIN | CONTINUATION, ""),
            1002,
        ),
        closed_after(
            "5.4 a fragment after a whole message",
            [text("a"), frame(FIN | CONTINUATION, "b")].concat(),
            [said("a")],
            1002,
        ),
        closed_after(
            "5.4 a fragment after the last",
            [
                fragments(TEXT, &[b"a", b"b"]),
                frame(FIN | CONTINUATION, "c"),
            ]
            .concat(),
            [said("ab")],
            1002,
        ),
        closed_after(
            "5.4 a fragment after a ping",
            [frame(FIN | PING, "p"), frame(FIN | CONTINUATION, "c")].concat(),
            [pong("p")],
            1002,
        ),
    ];
    check(&rows);
}
