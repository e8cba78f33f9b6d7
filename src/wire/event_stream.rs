//! Event streams (WHATWG HTML section 9.2): the encoder of fields and comments, and the search for event boundaries.

use std::fmt::Display;
use std::io::Write as _;

/// Appends `retry`, the time a client waits before it reconnects, in milliseconds. It takes effect at the end of its
/// line. No empty line follows, so that no client takes it for an event.
pub fn encode_retry(milliseconds: u64, out: &mut Vec<u8>) {
    // Writing into a Vec cannot fail, here and below.
    _ = writeln!(out, "retry: {milliseconds}");
}

/// Appends a part of a stream as one chunk (RFC 9112 section 7.1).
pub fn encode_chunk(piece: &[u8], out: &mut Vec<u8>) {
    _ = write!(out, "{:x}\r\n", piece.len());
    out.extend_from_slice(piece);
    out.extend_from_slice(b"\r\n");
}

/// The last chunk (RFC 9112 section 7.1): without it a client takes the stream for incomplete.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends an event with an ID. `json` is JSON text on one line.
pub fn encode_event(name: &str, json: &str, id: u64, out: &mut Vec<u8>) {
    encode_data(name, json, out);
    _ = write!(out, "id: {id}\n\n");
}

/// Appends an event without an ID, which leaves the client's last event ID as it is. `json` is JSON text on one line.
pub fn encode_notice(name: &str, json: &str, out: &mut Vec<u8>) {
    encode_data(name, json, out);
    out.push(b'\n');
}

/// Appends the fields `event` and `data`. JSON text has no control characters but line breaks between its tokens. The
/// three characters that break lines beside CR and LF in some clients, though not in an event stream (WHATWG HTML section
/// 9.2.5), are escaped (RFC 8259 section 7): outside ASCII, so they can only be inside a string.
fn encode_data(name: &str, json: &str, out: &mut Vec<u8>) {
    debug_assert!(!json.contains(['\r', '\n']));
    _ = write!(out, "event: {name}\ndata: ");
    for piece in json.split_inclusive(LINE_BREAKS) {
        match piece.char_indices().next_back() {
            Some((at, last)) if LINE_BREAKS.contains(&last) => {
                _ = write!(out, "{}\\u{:04x}", &piece[..at], u32::from(last));
            }
            _ => out.extend_from_slice(piece.as_bytes()),
        }
    }
    out.push(b'\n');
}

/// NEXT LINE, LINE SEPARATOR and PARAGRAPH SEPARATOR (Unicode Standard Annex 14).
const LINE_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Appends a comment. Clients ignore it; for proxies it is traffic, which keeps the connection open.
pub fn encode_comment(text: impl Display, out: &mut Vec<u8>) {
    _ = write!(out, ": {text}\n\n");
}

/// The number of bytes from offset `at` to the end of the event there, with the end of its chunk; 0 between two events.
pub fn rest_of_event(bytes: &[u8], at: usize) -> usize {
    // The end of an event is at most four bytes long.
    let mut from = at.saturating_sub(4);
    while let Some(found) = bytes[from..].windows(2).position(|pair| pair == b"\n\n") {
        let mut end = from + found + 2;
        if bytes[end..].starts_with(b"\r\n") {
            end += 2;
        }
        if at == 0 || end >= at {
            return if at == 0 { 0 } else { end - at };
        }
        from = end;
    }
    if at == 0 { 0 } else { bytes.len() - at }
}

/// The ID of the first event in these bytes that has one.
pub fn first_id(bytes: &[u8]) -> Option<u64> {
    const FIELD: &[u8] = b"\nid: ";
    let at = bytes
        .windows(FIELD.len())
        .position(|window| window == FIELD)?
        + FIELD.len();
    let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit());
    std::str::from_utf8(&bytes[at..at + digits.count()])
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_fields_one_a_line_and_ends_with_an_empty_one() {
        let mut out = Vec::new();
        encode_retry(3000, &mut out);
        encode_event("system_metrics", "{}", 7, &mut out);
        encode_comment("heartbeat", &mut out);
        let expected = "retry: 3000\nevent: system_metrics\ndata: {}\nid: 7\n\n: heartbeat\n\n";
        assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
    }

    #[test]
    fn no_character_at_which_some_clients_break_lines_is_in_the_data() {
        let text = "\u{2028}a\u{85}\u{2029}b가\u{7f}\u{1c}\r\n\\u2028\u{2028}";
        let value = serde_json::json!({ text: [text] });
        let mut out = Vec::new();
        encode_event("x", &value.to_string(), 1, &mut out);
        encode_notice("gap", &value.to_string(), &mut out);
        let out = String::from_utf8(out).expect("UTF-8");
        let escaped = r"\u2028a\u0085\u2029b가";
        assert_eq!(out.matches(escaped).count(), 4, "{out}");
        let breaks = [
            '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{85}', '\u{2028}', '\u{2029}',
        ];
        assert!(!out.contains(breaks), "{out}");
        let mut lines = out.lines().filter_map(|line| line.strip_prefix("data: "));
        for _ in 0..2 {
            let data = lines.next().expect("both have data");
            assert_eq!(serde_json::from_str(data).ok().as_ref(), Some(&value));
        }
    }

    #[test]
    fn a_chunk_has_its_length_in_hexadecimal_and_a_notice_no_id() {
        let mut notice = Vec::new();
        encode_notice("gap", "{\"oldest\":1}", &mut notice);
        assert_eq!(notice, b"event: gap\ndata: {\"oldest\":1}\n\n");
        let mut out = Vec::new();
        encode_chunk(&notice, &mut out);
        assert_eq!(out, [b"1f\r\n", &notice[..], b"\r\n"].concat());
    }

    #[test]
    fn the_rest_of_an_event_whose_end_is_missing_is_all_that_is_there() {
        let rests: Vec<usize> = (0..=4).map(|at| rest_of_event(b"a: 1", at)).collect();
        assert_eq!(rests, [0, 3, 2, 1, 0]);
    }

    #[test]
    fn the_rest_of_an_event_ends_behind_its_empty_line() {
        let bytes = b"a: 1\n\nb: 22\n\n";
        let rests: Vec<usize> = (0..=bytes.len())
            .map(|at| rest_of_event(bytes, at))
            .collect();
        assert_eq!(rests, [0, 5, 4, 3, 2, 1, 0, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn the_rest_of_an_event_in_a_chunk_goes_to_the_end_of_the_chunk() {
        let mut bytes = Vec::new();
        encode_chunk(b"a: 1\n\n", &mut bytes);
        let first = bytes.len();
        encode_chunk(b"b: 2\n\n", &mut bytes);
        for at in 1..=bytes.len() {
            let end = if at <= first { first } else { bytes.len() };
            assert_eq!(rest_of_event(&bytes, at), end - at, "at {at}");
        }
        assert_eq!(rest_of_event(&bytes, 0), 0);
    }

    #[test]
    fn the_first_id_is_found() {
        assert_eq!(first_id(b"data: {}\nid: 42\n\nid: 7"), Some(42));
        assert_eq!(first_id(b"data: 1\n\n"), None);
    }
}
