//! RFC 6455 sections 5.6 and 8.1: text is UTF-8, and invalid UTF-8 fails the connection at once.

use super::table::{
    Row, accepted, bytes, check, check_on_one_connection, closed, closed_after, pong, said,
};
use crate::support::frames::{BINARY, CONTINUATION, FIN, PING, TEXT, frame, header, text};

/// The edges of RFC 3629 section 3, and valid text that is easily taken for invalid.
const VALID: [(&str, &str); 15] = [
    ("nothing", ""),
    ("U+0000", "\0"),
    ("the last character of one byte", "\u{7f}"),
    ("the first of two bytes", "\u{80}"),
    ("the last of two bytes", "\u{7ff}"),
    ("the first of three bytes", "\u{800}"),
    ("the last before the surrogates", "\u{d7ff}"),
    ("the first after the surrogates", "\u{e000}"),
    ("the replacement character", "\u{fffd}"),
    ("noncharacters", "\u{fdd0}\u{fffe}\u{ffff}\u{1fffe}"),
    ("the first of four bytes", "\u{10000}"),
    ("the last there is", "\u{10ffff}"),
    ("a byte order mark, which is kept", "\u{feff}a"),
    (
        "characters that combine",
        "\u{1112}\u{1161}\u{11ab} e\u{301}",
    ),
    ("every length", "aé한👋a"),
];

/// Prefixes that are invalid UTF-8 whatever follows: the last byte of each is the first invalid one.
const IMPOSSIBLE: [(&str, &[u8]); 22] = [
    ("a continuation byte at the start", b"\x80"),
    ("the last continuation byte at the start", b"\xbf"),
    ("C0, which only overlong forms begin with", b"\xc0"),
    ("C1, which only overlong forms begin with", b"\xc1"),
    ("an overlong form of three bytes", b"\xe0\x9f"),
    ("an overlong form of four bytes", b"\xf0\x8f"),
    ("the first surrogate", b"\xed\xa0"),
    ("the last surrogate", b"\xed\xbf"),
    ("more than U+10FFFF", b"\xf4\x90"),
    ("F5, which is beyond Unicode", b"\xf5"),
    ("a form of five bytes", b"\xf8"),
    ("a form of six bytes", b"\xfc"),
    ("FE", b"\xfe"),
    ("FF", b"\xff"),
    ("two bytes of which one is missing", b"\xc3a"),
    ("two bytes cut by another start", b"\xc3\xc3"),
    ("three bytes of which one is missing", b"\xed\x95a"),
    ("three bytes of which two are missing", b"\xeda"),
    ("four bytes of which one is missing", b"\xf0\x9f\x91a"),
    ("four bytes of which two are missing", b"\xf0\x9fa"),
    ("four bytes of which three are missing", b"\xf0a"),
    ("a continuation byte too many", b"\xc3\xa9\x80"),
];

/// Prefixes of valid characters.
const UNFINISHED: [&[u8]; 8] = [
    b"\xc3",
    b"\xed",
    b"\xed\x95",
    b"\xe0\xa0",
    b"\xf0",
    b"\xf0\x9f",
    b"\xf0\x9f\x91",
    b"\xf4\x8f\xbf",
];

/// The start of a frame whose header announces more than has come.
fn unfinished_frame(first: u8, start: &[u8]) -> Vec<u8> {
    let whole = frame(first, [start, &[b'.'; 90]].concat());
    whole[..whole.len() - 90].to_vec()
}

#[test]
fn section_5_6_every_character_there_is_comes_back() {
    let mut rows: Vec<Row> = Vec::new();
    for (name, payload) in VALID {
        rows.push(accepted(
            format!("5.6 {name}"),
            text(payload),
            [said(payload)],
        ));
        for at in 0..=payload.len() {
            let (first, last) = payload.as_bytes().split_at(at);
            rows.push(accepted(
                format!("5.6 {name}, in two fragments at byte {at}"),
                [frame(TEXT, first), frame(FIN | CONTINUATION, last)].concat(),
                [said(payload)],
            ));
        }
    }
    check(&rows);
    check_on_one_connection(&rows);
}

#[test]
fn section_8_1_bytes_that_are_no_utf_8_fail_a_message_in_one_frame() {
    let mut rows: Vec<Row> = Vec::new();
    for (name, bad) in IMPOSSIBLE {
        rows.extend([
            closed(format!("8.1 {name}"), text(bad), 1007),
            closed(
                format!("8.1 {name}, among good text"),
                text([b"good ", bad, b" good"].concat()),
                1007,
            ),
        ]);
    }
    for unfinished in UNFINISHED {
        rows.extend([
            closed(
                format!("8.1 a message that ends in {unfinished:02x?}"),
                text(unfinished),
                1007,
            ),
            closed_after(
                format!("8.1 a second message that ends in {unfinished:02x?}"),
                [text("good"), text([b"a", unfinished].concat()), text("b")].concat(),
                [said("good")],
                1007,
            ),
        ]);
    }
    check(&rows);
}

#[test]
fn section_8_1_bytes_that_are_no_utf_8_fail_a_message_in_fragments() {
    let mut rows: Vec<Row> = Vec::new();
    for (name, bad) in IMPOSSIBLE {
        for at in 0..=bad.len() {
            let (first, last) = bad.split_at(at);
            rows.push(closed(
                format!("8.1 {name}, in fragments at byte {at}"),
                [frame(TEXT, first), frame(FIN | CONTINUATION, last)].concat(),
                1007,
            ));
        }
    }
    for unfinished in UNFINISHED {
        let (first, last) = unfinished.split_at(unfinished.len() / 2);
        rows.extend([
            closed(
                format!("8.1 fragments that end in {unfinished:02x?}"),
                [frame(TEXT, first), frame(FIN | CONTINUATION, last)].concat(),
                1007,
            ),
            closed(
                format!("8.1 an empty last fragment after {unfinished:02x?}"),
                [frame(TEXT, unfinished), frame(FIN | CONTINUATION, "")].concat(),
                1007,
            ),
        ]);
    }
    rows.push(closed_after(
        "8.1 a ping does not hide that a character is not finished",
        [
            frame(TEXT, b"\xed"),
            frame(FIN | PING, b"\x95"),
            frame(FIN | CONTINUATION, b"\x9c"),
        ]
        .concat(),
        [pong(b"\x95")],
        1007,
    ));
    check(&rows);
}

#[test]
fn section_8_1_text_fails_at_its_first_impossible_byte() {
    let mut rows: Vec<Row> = Vec::new();
    for (name, bad) in IMPOSSIBLE {
        rows.extend([
            closed(
                format!("8.1 {name}, in a first fragment"),
                frame(TEXT, bad),
                1007,
            ),
            closed(
                format!("8.1 {name}, in a later fragment"),
                [frame(TEXT, "good "), frame(CONTINUATION, bad)].concat(),
                1007,
            ),
            closed(
                format!("8.1 {name}, in a frame under way"),
                unfinished_frame(FIN | TEXT, bad),
                1007,
            ),
            closed(
                format!("8.1 {name}, in a fragment under way"),
                [
                    frame(TEXT, "한"),
                    unfinished_frame(FIN | CONTINUATION, &[b"a", bad].concat()),
                ]
                .concat(),
                1007,
            ),
        ]);
    }
    rows.push(closed(
        "8.1 a bad byte far into a large frame under way",
        {
            let mut sent = header(TEXT, 0x80, 60_000);
            sent.extend([0; 4]);
            sent.extend("길".repeat(5000).into_bytes());
            sent.push(0xff);
            sent
        },
        1007,
    ));
    check(&rows);
}

#[test]
fn section_8_1_an_unfinished_character_is_waited_for() {
    let mut rows: Vec<Row> = Vec::new();
    for unfinished in UNFINISHED {
        rows.push(accepted(
            format!("8.1 a fragment that ends in {unfinished:02x?} is no error yet"),
            [frame(TEXT, unfinished), frame(FIN | PING, "")].concat(),
            [pong("")],
        ));
    }
    check(&rows);
}

#[test]
fn section_5_6_binary_messages_are_not_looked_at() {
    let mut rows: Vec<Row> = Vec::new();
    for (name, payload) in IMPOSSIBLE {
        rows.extend([
            accepted(
                format!("5.6 {name}, in binary"),
                frame(FIN | BINARY, payload),
                [bytes(payload)],
            ),
            accepted(
                format!("5.6 {name}, in binary fragments"),
                [frame(BINARY, payload), frame(FIN | CONTINUATION, payload)].concat(),
                [bytes(payload.repeat(2))],
            ),
        ]);
    }
    check(&rows);
    check_on_one_connection(&rows);
}
