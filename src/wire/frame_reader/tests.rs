//! Streams of frames, read and discarded in pieces.

use super::*;

const LIMITS: FrameLimits = FrameLimits {
    message_bytes: 70_000,
    allows_rsv1: false,
};
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// Reads all of a piece, and formats each message and control frame.
fn read(
    reader: &mut FrameReader,
    piece: &[u8],
    limits: FrameLimits,
) -> Result<Vec<String>, CloseCode> {
    let mut piece = piece.to_vec();
    let mut input = &mut piece[..];
    let mut shown = Vec::new();
    while let Some(incoming) = reader.next(&mut input, limits)? {
        shown.push(show(&incoming));
    }
    assert!(input.is_empty());
    Ok(shown)
}

fn show(incoming: &Incoming<'_>) -> String {
    match incoming {
        Incoming::Text(text) => format!("text {text}"),
        Incoming::Binary(payload) => format!("binary {payload:x?}"),
        Incoming::Compressed { is_text, payload } => format!("{is_text} {payload:x?}"),
        Incoming::Ping(payload) => format!("ping {payload:x?}"),
        Incoming::Pong => "pong".into(),
        Incoming::Close(payload) => format!("close {payload:x?}"),
    }
}

/// Reads a stream whole and in pieces of several sizes, which must give the same result.
fn read_split(stream: &[u8], limits: FrameLimits) -> Result<Vec<String>, CloseCode> {
    let whole = read(&mut FrameReader::default(), stream, limits);
    for size in [1, 2, 3, 5, 7, 64, 1000] {
        let mut reader = FrameReader::default();
        let mut pieces = stream.chunks(size);
        let split = pieces.try_fold(Vec::new(), |mut shown, piece| {
            shown.extend(read(&mut reader, piece, limits)?);
            Ok(shown)
        });
        assert_eq!(split, whole, "pieces of {size}");
    }
    whole
}

#[test]
fn a_message_that_is_whole_is_lent_from_the_buffer() {
    for first in [0x81, 0x82, 0x89] {
        let mut bytes = frame(first, "안녕".as_bytes());
        let range = bytes.as_ptr_range();
        let mut reader = FrameReader::default();
        let mut input = &mut bytes[..];
        let payload = match reader.next(&mut input, LIMITS) {
            Ok(Some(Incoming::Text(Cow::Borrowed(text)))) => text.as_bytes(),
            Ok(Some(Incoming::Binary(Cow::Borrowed(payload)))) => payload,
            Ok(Some(Incoming::Ping(Cow::Borrowed(payload)))) => payload,
            other => panic!("{other:?}"),
        };
        assert_eq!(payload, "안녕".as_bytes());
        assert!(range.contains(&payload.as_ptr()));
        assert!(reader.is_hibernating() && input.is_empty());
    }
}

#[test]
fn messages_and_control_frames_come_in_order_however_the_stream_is_split() {
    let stream = [
        frame(0x81, "안녕".as_bytes()),
        frame(0x8a, b"unasked"),
        frame(0x01, "나뉜 ".as_bytes()),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x80, "메시지".as_bytes()),
        frame(0x02, b""),
        frame(0x80, b"\xff"),
        frame(0x81, b""),
        frame(0x89, b""),
        frame(0x88, b"\x03\xe8bye"),
    ];
    let expected = [
        "text 안녕",
        "pong",
        "ping [70, 69, 6e, 67]",
        "text 나뉜 메시지",
        "binary [ff]",
        "text ",
        "ping []",
        "close [3, e8, 62, 79, 65]",
    ];
    let read = read_split(&stream.concat(), LIMITS).expect("is good");
    assert_eq!(read, expected);
}

#[test]
fn large_messages_are_read_in_any_pieces() {
    for length in [300, 65_535, 65_536, 70_000] {
        let text = "가".repeat(length / 3);
        let stream = frame(0x81, text.as_bytes());
        assert_eq!(
            read_split(&stream, LIMITS),
            Ok(vec![format!("text {text}")])
        );
    }
}

#[test]
fn it_holds_nothing_exactly_between_messages() {
    let stream = [
        frame(0x81, "안녕".as_bytes()),
        frame(0x01, "나뉜 ".as_bytes()),
        frame(0x89, b"ping"),
        frame(0x80, "메시지".as_bytes()),
        frame(0x82, &[7; 300]),
        frame(0x81, b""),
    ];
    let mut ends = Vec::new();
    for end in [1, 4, 5, 6] {
        ends.push(stream[..end].iter().map(Vec::len).sum::<usize>());
    }
    let bytes = stream.concat();
    for size in [1, 2, 3, 7, 64, bytes.len()] {
        let mut reader = FrameReader::default();
        for (n, piece) in bytes.chunks(size).enumerate() {
            read(&mut reader, piece, LIMITS).expect("is good");
            let at = n * size + piece.len();
            assert_eq!(reader.is_hibernating(), ends.contains(&at), "at {at}");
        }
    }
}

#[test]
fn memory_grows_with_what_comes_and_not_with_what_is_announced() {
    let (ledger, mut reader) = (Ledger::default(), FrameReader::default());
    let bytes = frame(0x82, &[7; 70_000]);
    read(&mut reader, &bytes[..1_000], LIMITS).expect("is good");
    assert!((900..2_000).contains(&reader.buffered_bytes()));
    read(&mut reader, &bytes[1_000..60_000], LIMITS).expect("is good");
    assert!((59_000..120_000).contains(&reader.buffered_bytes()));
    reader.charge(&ledger);
    assert!(ledger.total() > reader.buffered_bytes());
    read(&mut reader, &bytes[60_000..], LIMITS).expect("is good");
    assert_eq!((reader.buffered_bytes(), ledger.total()), (0, 0));
}

#[test]
fn input_that_cannot_be_read_yet_is_read_later_in_order() {
    let mut reader = FrameReader::default();
    let mut bytes = [frame(0x81, b"one"), frame(0x81, b"two")].concat();
    let mut input = &mut bytes[..];
    let first = reader.next(&mut input, LIMITS).map(|next| next.is_some());
    assert_eq!(first, Ok(true));
    reader.keep_unread(input);
    reader.keep_unread(&frame(0x81, b"three"));
    assert!(reader.has_unread() && reader.buffered_bytes() > 0);
    let mut unread = reader.take_unread();
    assert!(!reader.has_unread());
    let mut input = unread.rest();
    let two = reader.next(&mut input, LIMITS);
    assert_eq!(two, Ok(Some(Incoming::Text("two".into()))));
    // Part of it is put back, and the next input comes behind that.
    let left = input.len();
    reader.put_back_unread(unread, left);
    reader.keep_unread(&frame(0x81, b"four"));
    assert!(reader.has_unread() && !reader.is_hibernating());
    let mut unread = reader.take_unread();
    let read = read(&mut reader, unread.rest(), LIMITS);
    assert_eq!(read, Ok(vec!["text three".into(), "text four".into()]));
    reader.put_back_unread(unread, 0);
    assert!(reader.is_hibernating() && !reader.has_unread());
}

#[test]
fn what_no_client_may_send_has_the_close_code_of_rfc_6455_section_7_4_1() {
    let begun = frame(0x01, b"a");
    for (frames, CloseCode(code, _)) in [
        (vec![frame(0x83, b"")], CloseCode::PROTOCOL_ERROR),
        (vec![frame(0xc1, b"")], CloseCode::PROTOCOL_ERROR),
        (vec![frame(0x80, b"")], CloseCode::PROTOCOL_ERROR),
        (vec![frame(0x09, b"")], CloseCode::PROTOCOL_ERROR),
        (vec![frame(0x88, b"\x03")], CloseCode::PROTOCOL_ERROR),
        (
            vec![begun.clone(), frame(0x81, b"b")],
            CloseCode::PROTOCOL_ERROR,
        ),
        (vec![frame(0x81, b"\xff")], CloseCode::INVALID_TEXT),
        (vec![frame(0x81, b"\xed\x95")], CloseCode::INVALID_TEXT),
        (vec![frame(0x01, b"\xff")], CloseCode::INVALID_TEXT),
        (
            vec![begun.clone(), frame(0x00, b"\xff")],
            CloseCode::INVALID_TEXT,
        ),
        (
            vec![begun, frame(0x80, b"\xed\x95")],
            CloseCode::INVALID_TEXT,
        ),
        (vec![frame(0x88, b"\x03\xe8\xff")], CloseCode::INVALID_TEXT),
        (vec![frame(0x82, &[0; 70_001])], CloseCode::MESSAGE_TOO_BIG),
        (
            vec![frame(0x02, &[0; 40_000]), frame(0x80, &[0; 30_001])],
            CloseCode::MESSAGE_TOO_BIG,
        ),
    ] {
        let failed = read_split(&frames.concat(), LIMITS);
        assert_eq!(failed.map_err(|CloseCode(code, _)| code), Err(code));
    }
}

#[test]
fn bad_utf8_is_noticed_at_the_first_byte_that_cannot_be() {
    // F4 90 would be the start of U+110000: the second byte is already invalid.
    let bytes = frame(0x81, b"\xce\xba\xf4\x90\x80\x80");
    let mut reader = FrameReader::default();
    let before = &bytes[..bytes.len() - 3];
    assert_eq!(read(&mut reader, before, LIMITS), Ok(vec![]));
    let impossible = &bytes[bytes.len() - 3..bytes.len() - 2];
    let failed = read(&mut reader, impossible, LIMITS);
    assert_eq!(failed, Err(CloseCode::INVALID_TEXT));
}

#[test]
fn a_message_with_rsv1_is_handed_out_as_such_and_not_judged_as_text() {
    let limits = FrameLimits {
        allows_rsv1: true,
        ..LIMITS
    };
    let stream = [
        frame(0xc1, b"\xff"),
        frame(0xc2, b"\xfe"),
        frame(0x41, b"\xff"),
        frame(0x80, b"\xfd"),
        frame(0x81, b"plain"),
    ];
    let read = read_split(&stream.concat(), limits).expect("is good");
    assert_eq!(
        read,
        ["true [ff]", "false [fe]", "true [ff, fd]", "text plain"]
    );
    let refused = read_split(&stream.concat(), LIMITS);
    assert_eq!(refused, Err(CloseCode::PROTOCOL_ERROR));
}

/// The number of bytes discarded until there is nothing more to wait for, in pieces of `size` bytes.
fn discarded(reader: &mut FrameReader, stream: &[u8], size: usize) -> Option<usize> {
    let mut stream = stream.to_vec();
    let mut pieces = stream.chunks_mut(size);
    let over = pieces.position(|piece| reader.discard(piece));
    assert_eq!(reader.buffered_bytes(), 0);
    over.map(|n| (n + 1) * size)
}

#[test]
fn after_our_close_frame_all_is_discarded_up_to_the_peers_or_a_bad_header() {
    let late = [
        frame(0x81, b"\xff"),
        frame(0x01, b"late"),
        frame(0x89, b"ping"),
        frame(0x82, &[7; 70_001])[..1].to_vec(),
    ];
    let within = late[..3].concat();
    let close = [within.clone(), frame(0x88, b"\x03")].concat();
    let bad = [within.clone(), frame(0x81, b"")].concat();
    assert_eq!(
        discarded(&mut FrameReader::default(), &close, 1),
        Some(close.len())
    );
    assert_eq!(
        discarded(&mut FrameReader::default(), &bad, 1),
        Some(bad.len())
    );
    let mut reader = FrameReader::default();
    assert_eq!(discarded(&mut reader, &within, 7), None);
    assert_eq!(discarded(&mut reader, &frame(0x80, b""), 7), None);
    assert!(reader.is_hibernating());
    assert_eq!(discarded(&mut reader, &frame(0x88, b""), 3), Some(6));
}

#[test]
fn discarding_goes_on_where_reading_stood_and_forgets_what_was_kept() {
    let mut reader = FrameReader::default();
    let bytes = [frame(0x01, b"a message"), frame(0x80, b"under way")].concat();
    let (before, after) = bytes.split_at(bytes.len() - 4);
    read(&mut reader, before, LIMITS).expect("is good");
    assert!(!reader.start_discarding());
    assert_eq!(reader.buffered_bytes(), 0);
    assert_eq!(discarded(&mut reader, after, 1), None);
    assert!(reader.is_hibernating());
    reader.keep_unread(&[frame(0x81, b"unread"), frame(0x88, b"")].concat());
    assert!(reader.start_discarding());
}
