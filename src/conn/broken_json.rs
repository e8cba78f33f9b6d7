//! Messages that are no JSON: what can be read of them nevertheless.

use std::borrow::Cow;
use std::ops::Range;

use crate::domain::message_keys::is_message_id;

/// The escape of U+FFFD, the replacement character.
const REPLACEMENT: &str = "\\ufffd";

/// The text with every escape of a lone surrogate (RFC 8259 section 8.2) as that of U+FFFD, as encoders of UTF-8 have it
/// (WHATWG Encoding section 4.3: "convert to a scalar value string").
pub fn replace_lone_surrogates(text: &str) -> Cow<'_, str> {
    let mut mended = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let Some(first) = surrogate(text, at) else {
            // The escaped byte may be a backslash, or the start of a character of several bytes.
            at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8);
            continue;
        };
        let is_pair =
            first.is_high && surrogate(text, at + 6).is_some_and(|second| !second.is_high);
        if is_pair {
            at += 12;
            continue;
        }
        mended.push_str(&text[copied..at]);
        mended.push_str(REPLACEMENT);
        at += 6;
        copied = at;
    }
    match copied {
        0 => text.into(),
        _ => (mended + &text[copied..]).into(),
    }
}

/// A surrogate code point in an escape.
struct Surrogate {
    is_high: bool,
}

/// The surrogate that is escaped at this place.
fn surrogate(text: &str, at: usize) -> Option<Surrogate> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Surrogate { is_high: true }),
        0xDC00..=0xDFFF => Some(Surrogate { is_high: false }),
        _ => None,
    }
}

/// The first `id` of the outermost object, as far as its strings can be told apart, and only if it
/// is an `id` ([`is_message_id`]). So a client learns which of its messages was refused.
pub fn find_id(text: &str) -> Option<String> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                let name = string_at(text, at)?;
                at = name.end;
                if depth == 1 && unescaped(&text[name]).as_deref() == Some("id") {
                    let value = value_behind(text, at);
                    if let Some(id) = value.and_then(|value| unescaped(&text[value])) {
                        return is_message_id(&id).then_some(id);
                    }
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The string whose opening quotation mark is at this place, with both marks; `None` if it does not end.
fn string_at(text: &str, start: usize) -> Option<Range<usize>> {
    let mut is_escaped = false;
    let mut rest = text.bytes().enumerate().skip(start + 1);
    let end = rest.find(|(_, byte)| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map(|(end, _)| start..end + 1)
}

/// The string behind a name and its colon.
fn value_behind(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text[at..].trim_ascii_start().strip_prefix(':')?;
    let rest = rest.trim_ascii_start();
    rest.starts_with('"')
        .then(|| string_at(text, text.len() - rest.len()))?
}

fn unescaped(string: &str) -> Option<String> {
    serde_json::from_str(string).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MESSAGE_ID_BYTES_MAX;

    #[test]
    fn only_lone_surrogates_are_replaced() {
        for (text, expected) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\uD83D\uDE00""#, r#""\uD83D\uDE00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\ud83""#, r#""\ud83""#),
            (r#""\u+d83""#, r#""\u+d83""#),
            (r#""\한\ud83d한""#, r#""\한\ufffd한""#),
            ("\\", "\\"),
            (r"\ud83d\", r"\ufffd\"),
            ("", ""),
        ] {
            assert_eq!(replace_lone_surrogates(text), expected, "{text}");
        }
    }

    #[test]
    fn the_id_of_the_outermost_object_is_found_in_what_is_no_json() {
        let long = format!(r#"{{"id":"{}","x"}}"#, "x".repeat(MESSAGE_ID_BYTES_MAX + 1));
        for (text, expected) in [
            (r#"{"id":"7","content":"#, Some("7")),
            (r#"{'type':'chat',"id" : "7""#, Some("7")),
            (r#"{"content":"a\"id\":","i\u0064":"\u0037"} x"#, Some("7")),
            (r#"{"a":{"id":"8"},"b":[{"id":"9"}],"id":"7",}"#, Some("7")),
            (r#"{"id":7,"id":"8",}"#, Some("8")),
            (r#"{"content":"id","x":"y""#, None),
            (r#"{"a":{"id":"8"}"#, None),
            (r#"["id":"7"]"#, None),
            (r#"}{"id":"7"}"#, None),
            (r#"{"id":"7"#, None),
            (r#""id":"7""#, None),
            ("", None),
            (&long, None),
        ] {
            assert_eq!(find_id(text).as_deref(), expected, "{text}");
        }
    }
}
