//! RFC 6455 sections 5.1 to 5.3 and 5.5: masks, reserved bits, opcodes, lengths, control frames.

use super::table::{
    Endpoint, Row, accepted, bytes, check, check_on, check_on_one_connection, closed, closed_after,
    pong, said, server,
};
use crate::support::Http;
use crate::support::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, close, frame, header, text,
};

const OPCODES: [(u8, &str); 6] = [
    (TEXT, "text"),
    (BINARY, "binary"),
    (CONTINUATION, "continuation"),
    (CLOSE, "close"),
    (PING, "ping"),
    (PONG, "pong"),
];

/// A frame with a mask of its own.
fn masked_with(mask: [u8; 4], first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, 0x80, payload.len() as u64);
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&header(first, 0, payload.len() as u64), payload].concat()
}

/// A masked frame of which only the first bytes have come, header included.
fn cut(first: u8, length: u64, start: &[u8]) -> Vec<u8> {
    [&header(first, 0x80, length)[..], &[0; 4], start].concat()
}

#[test]
fn section_5_1_frames_of_a_client_are_masked() {
    let mut rows: Vec<Row> = Vec::new();
    for (opcode, name) in OPCODES {
        for payload in [&b""[..], b"hi"] {
            let rule = format!("5.1 an unmasked {name} frame of {} bytes", payload.len());
            rows.push(closed(rule, unmasked(FIN | opcode, payload), 1002));
        }
    }
    rows.extend([
        closed_after(
            "5.1 an unmasked frame after a masked one",
            [text("good"), unmasked(FIN | TEXT, b"bad")].concat(),
            [said("good")],
            1002,
        ),
        closed(
            "5.1 an unmasked fragment of a message that began masked",
            [frame(TEXT, "good"), unmasked(FIN | CONTINUATION, b"bad")].concat(),
            1002,
        ),
        closed(
            "5.1 an unmasked frame fails at its header",
            header(FIN | TEXT, 0, 1000),
            1002,
        ),
    ]);
    check(&rows);
}

#[test]
fn section_5_3_any_mask_is_taken_off_from_the_first_byte_of_each_frame() {
    let mut rows: Vec<Row> = Vec::new();
    for mask in [[0; 4], [0xff; 4], [0x80, 0, 0, 0], *b"mask"] {
        for payload in ["", "a", "abc", "abcd", "abcde", "안녕하세요 👋"] {
            let rule = format!("5.3 {payload:?} under the mask {mask:02x?}");
            let sent = masked_with(mask, FIN | TEXT, payload.as_bytes());
            rows.push(accepted(rule, sent, [said(payload)]));
        }
    }
    let fragments = [
        masked_with([1, 2, 3, 4], TEXT, b"abc"),
        masked_with([0xff, 0, 0xff, 0], FIN | PING, b"ping"),
        masked_with([9, 8, 7, 6], CONTINUATION, b"defgh"),
        masked_with([0; 4], FIN | CONTINUATION, b"i"),
    ];
    rows.push(accepted(
        "5.3 every fragment has a mask of its own",
        fragments.concat(),
        [pong("ping"), said("abcdefghi")],
    ));
    check(&rows);
    check_on_one_connection(&rows);
}

#[test]
fn section_5_2_reserved_bits_are_zero() {
    let mut rows: Vec<Row> = Vec::new();
    for (opcode, name) in OPCODES {
        for bits in [0x40, 0x20, 0x10, 0x60, 0x50, 0x30, 0x70] {
            let rule = format!("5.2 reserved bits {bits:#04x} on a {name} frame");
            let bad = frame(FIN | bits | opcode, "");
            let sent = match opcode {
                CONTINUATION => [frame(TEXT, "a"), bad].concat(),
                _ => bad,
            };
            rows.push(closed(rule, sent, 1002));
        }
    }
    rows.extend([
        closed(
            "5.2 a reserved bit on a first fragment",
            frame(0x40 | TEXT, "compressed?"),
            1002,
        ),
        closed_after(
            "5.2 a reserved bit after good frames",
            [text("a"), frame(FIN | PING, "b"), frame(0xc1, "c")].concat(),
            [said("a"), pong("b")],
            1002,
        ),
        closed(
            "5.2 a reserved bit fails at the header of a frame",
            cut(FIN | 0x40 | TEXT, 1000, b""),
            1002,
        ),
    ]);
    check(&rows);
}

#[test]
fn section_5_2_unknown_opcodes_fail_the_connection() {
    let mut rows: Vec<Row> = Vec::new();
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        rows.extend([
            closed(
                format!("5.2 the opcode {opcode}"),
                frame(FIN | opcode, ""),
                1002,
            ),
            closed(
                format!("5.2 the opcode {opcode} with a payload"),
                frame(FIN | opcode, "payload"),
                1002,
            ),
            closed(
                format!("5.2 the opcode {opcode} without FIN"),
                frame(opcode, ""),
                1002,
            ),
            closed(
                format!("5.2 the opcode {opcode} within a message"),
                [frame(TEXT, "a"), frame(FIN | opcode, "")].concat(),
                1002,
            ),
            closed_after(
                format!("5.2 the opcode {opcode} between good frames"),
                [text("a"), frame(FIN | opcode, ""), text("b")].concat(),
                [said("a")],
                1002,
            ),
        ]);
    }
    check(&rows);
}

#[test]
fn section_5_2_lengths_of_7_16_and_64_bits_are_read_and_written() {
    let mut rows: Vec<Row> = Vec::new();
    for length in [0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536] {
        let payload = "a".repeat(length);
        let rule = format!("5.2 a text of {length} bytes");
        rows.push(accepted(rule, text(&payload), [said(&payload)]));
        let payload: Vec<u8> = (0..=255).cycle().take(length).collect();
        let rule = format!("5.2 {length} bytes of binary");
        let sent = frame(FIN | BINARY, &payload);
        rows.push(accepted(rule, sent, [bytes(&payload)]));
    }
    check(&rows);
    let longer = [65_537, 70_000, 1 << 20].map(|length| {
        let payload = vec![0xfe; length];
        let sent = frame(FIN | BINARY, &payload);
        accepted(format!("5.2 {length} bytes"), sent, [bytes(payload)])
    });
    check_on(&[Endpoint::Echo], &longer);
    rows.extend(longer);
    check_on_one_connection(&rows);
}

/// A header whose length takes more bytes than it needs.
fn stretched(first: u8, length: u64, length_bytes: usize) -> Vec<u8> {
    let marker = if length_bytes == 2 { 126 } else { 127 };
    let number = length.to_be_bytes();
    let mut bytes = vec![first, 0x80 | marker];
    bytes.extend(&number[8 - length_bytes..]);
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn section_5_2_a_length_takes_no_more_bytes_than_it_needs() {
    let mut rows: Vec<Row> = Vec::new();
    for (first, name) in OPCODES.map(|(opcode, name)| (FIN | opcode, name)) {
        for (length, length_bytes) in [(0, 2), (1, 2), (125, 2), (0, 8), (125, 8), (126, 8)] {
            let mut sent = stretched(first, length, length_bytes);
            sent.extend(vec![b'a'; length as usize]);
            let rule = format!("5.2 {name}: {length} bytes told in {length_bytes}");
            rows.push(closed(rule, sent, 1002));
        }
    }
    rows.extend([
        closed(
            "5.2 65,535 bytes told in 8, at the header",
            stretched(FIN | BINARY, 65_535, 8),
            1002,
        ),
        closed(
            "5.2 the top bit of a 64-bit length is 0",
            stretched(FIN | BINARY, 1 << 63, 8),
            1002,
        ),
        closed(
            "5.2 all bits of a 64-bit length",
            stretched(FIN | BINARY, u64::MAX, 8),
            1002,
        ),
        closed(
            "5.2 the largest length there is, over the limit",
            stretched(FIN | BINARY, u64::MAX >> 1, 8),
            1009,
        ),
    ]);
    check(&rows);
}

#[test]
fn section_5_2_the_server_writes_the_shortest_header_without_mask_or_reserved_bits() {
    let server = server();
    let mut http: Http = Endpoint::Echo.open(&server);
    for (length, start) in [
        (0, &[0x81, 0][..]),
        (125, &[0x81, 125]),
        (126, &[0x81, 126, 0, 126]),
        (65_535, &[0x81, 126, 0xff, 0xff]),
        (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload = "a".repeat(length);
        http.send(text(&payload));
        assert_eq!(http.take(start.len()), start, "the header of {length}");
        assert!(http.take(length) == payload.as_bytes());
    }
    http.send(frame(FIN | PING, "p"));
    assert_eq!(http.take(3), [0x8a, 1, b'p']);
    http.send(close(1000, ""));
    assert_eq!(http.take(4), [0x88, 2, 0x03, 0xe8]);
    http.expect_end();
}

#[test]
fn section_5_5_control_frames_have_at_most_125_bytes_and_are_whole() {
    let mut rows: Vec<Row> = Vec::new();
    for (opcode, name) in [(CLOSE, "close"), (PING, "ping"), (PONG, "pong")] {
        for length in [126, 127, 1000, 65_535, 65_536, 70_000] {
            let mut payload = vec![b'a'; length];
            payload[..2].copy_from_slice(&1000u16.to_be_bytes());
            let rule = format!("5.5 a {name} of {length} bytes");
            rows.push(closed(rule, frame(FIN | opcode, payload), 1002));
        }
        rows.extend([
            closed(
                format!("5.5 a {name} that is too long fails at its header"),
                cut(FIN | opcode, 126, b""),
                1002,
            ),
            closed(
                format!("5.5 a {name} without FIN"),
                frame(opcode, 1000u16.to_be_bytes()),
                1002,
            ),
            closed(
                format!("5.5 an empty {name} without FIN"),
                frame(opcode, ""),
                1002,
            ),
            closed(
                format!("5.5 a {name} without FIN within a message"),
                [frame(TEXT, "a"), frame(opcode, "")].concat(),
                1002,
            ),
        ]);
    }
    check(&rows);
}

#[test]
fn section_5_5_2_a_ping_is_answered_by_a_pong_with_its_payload() {
    let mut rows: Vec<Row> = [0, 1, 2, 124, 125]
        .map(|length| {
            let payload: Vec<u8> = (0..length).map(|n| 0xff - n as u8).collect();
            let sent = frame(FIN | PING, &payload);
            accepted(
                format!("5.5.2 a ping of {length} bytes"),
                sent,
                [pong(payload)],
            )
        })
        .into();
    rows.extend([
        accepted(
            "5.5.2 several pings in a row, in order",
            ["a", "b", "", "c"]
                .map(|one| frame(FIN | PING, one))
                .concat(),
            [pong("a"), pong("b"), pong(""), pong("c")],
        ),
        accepted(
            "5.5.2 a ping between messages",
            [text("a"), frame(FIN | PING, "p"), text("b")].concat(),
            [said("a"), pong("p"), said("b")],
        ),
        accepted(
            "5.5.2 a payload that is no UTF-8",
            frame(FIN | PING, b"\xff\xfe\x00\xed\xa0\x80"),
            [pong(b"\xff\xfe\x00\xed\xa0\x80")],
        ),
    ]);
    check(&rows);
    check_on_one_connection(&rows);
}

#[test]
fn section_5_5_3_a_pong_nobody_asked_for_is_not_answered() {
    let rows = [
        accepted("5.5.3 an empty pong", frame(FIN | PONG, ""), []),
        accepted("5.5.3 a pong", frame(FIN | PONG, [0xff; 125]), []),
        accepted(
            "5.5.3 pongs among pings",
            [
                frame(FIN | PONG, "a"),
                frame(FIN | PING, "b"),
                frame(FIN | PONG, "c"),
                frame(FIN | PING, "d"),
            ]
            .concat(),
            [pong("b"), pong("d")],
        ),
        accepted(
            "5.5.3 a pong between fragments",
            [
                frame(TEXT, "a"),
                frame(FIN | PONG, "?"),
                frame(FIN | CONTINUATION, "b"),
            ]
            .concat(),
            [said("ab")],
        ),
    ];
    check(&rows);
    check_on_one_connection(&rows);
}
