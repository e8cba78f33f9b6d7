//! The names that guests, accounts and rooms may have, and when two of them are one name (SPEC section 6).
//!
//! A name is kept and shown in normalization form C, which [`nfc`] makes of what a peer sends: so spellings that differ
//! in how letters are composed are the same room and the same person. Whether a guest's name is somebody else's is asked
//! by [`key`], which two names share if they differ only in case, width and the like. To compare two names:
//! `key(a) == key(b)`. Rooms are told apart by their names alone.

use std::borrow::Cow;
use std::ops::Deref;

use super::unicode::{self, folded, is_blank, is_unseen};
use crate::config::{ACCOUNT_NAME_CHARS_MAX, ROOM_NAME_CHARS_MAX, USERNAME_CHARS_MAX};

/// Longer text, in bytes, is no name, however it is composed: no name has more characters than [`ROOM_NAME_CHARS_MAX`],
/// none of these has more than 4 before they are composed, and none of those more than 4 bytes.
const BYTES_MAX: usize = ROOM_NAME_CHARS_MAX * 4 * 4;
const _: () = assert!(ACCOUNT_NAME_CHARS_MAX <= ROOM_NAME_CHARS_MAX);
const _: () = assert!(USERNAME_CHARS_MAX <= ROOM_NAME_CHARS_MAX);

/// A name in normalization form C. What is too long for a name stays as it is.
pub fn nfc(name: &str) -> Cow<'_, str> {
    match name.len() <= BYTES_MAX {
        true => unicode::nfc(name),
        false => name.into(),
    }
}

/// The key of a name: names with the same key are one name where it is asked whether a name is an account's, or taken.
/// It is the name under NFKC, full case folding and trimming, without code points that are not seen; the key of a key is
/// itself. ASCII in lower case and Hangul need no allocation. The name need not be valid.
pub fn key(name: &str) -> Cow<'_, str> {
    match folded(name.trim_matches(is_blank)) {
        Cow::Borrowed(key) => key.into(),
        Cow::Owned(key) => {
            let trimmed = key.trim_matches(is_blank);
            match trimmed.len() == key.len() {
                true => key.into(),
                false => trimmed.to_owned().into(),
            }
        }
    }
}

/// [`key`] of a name in shared memory (`Rc<str>`, `Arc<str>`), which is mostly its own key.
pub fn shared_key<N>(name: &N) -> N
where
    N: Clone + Deref<Target = str> + for<'a> From<Cow<'a, str>>,
{
    let key = key(name);
    match *key == **name {
        true => name.clone(),
        false => key.into(),
    }
}

/// Whether a guest may have this name, in form C: 1 to [`USERNAME_CHARS_MAX`] characters that can be seen, without white
/// space at the ends.
pub fn is_valid_username(name: &str) -> bool {
    is_valid(name, USERNAME_CHARS_MAX)
}

/// Whether an account may have this name, in form C: as for a guest, but with up to [`ACCOUNT_NAME_CHARS_MAX`] characters,
/// no colon (the separator in the users file) and no `#` at the start.
pub fn is_valid_account_name(name: &str) -> bool {
    is_valid(name, ACCOUNT_NAME_CHARS_MAX) && !name.contains(':') && !name.starts_with('#')
}

/// Whether a room may have this name, in form C: as for a guest, but with up to [`ROOM_NAME_CHARS_MAX`] characters, and
/// neither `.` nor `..`, which are no names in a path (RFC 3986 section 5.2.4).
pub fn is_valid_room_name(name: &str) -> bool {
    is_valid(name, ROOM_NAME_CHARS_MAX) && !matches!(name, "." | "..")
}

fn is_valid(name: &str, chars_max: usize) -> bool {
    // The length in bytes comes first: it bounds the rest.
    (1..=4 * chars_max).contains(&name.len())
        && name.chars().count() <= chars_max
        && !name.starts_with(is_blank)
        && !name.ends_with(is_blank)
        && !name.contains(is_unseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_1_to_32_characters_after_composition() {
        for name in ["홍", "a b", "é", "☃", "ẞ", &"가".repeat(32)] {
            assert!(is_valid_username(name), "{name}");
        }
        assert!(!is_valid_username("") && !is_valid_username(&"가".repeat(33)));
        let jamo = "\u{1112}\u{1161}\u{11ab}".repeat(32);
        assert_eq!(
            (jamo.chars().count(), &*nfc(&jamo)),
            (96, &*"한".repeat(32))
        );
        assert!(is_valid_username(&nfc(&jamo)));
        // Four characters that are one.
        let longest = "α\u{313}\u{300}\u{345}".repeat(64);
        assert_eq!(nfc(&longest), "ᾂ".repeat(64));
        assert!(is_valid_room_name(&nfc(&longest)));
    }

    #[test]
    fn what_cannot_be_a_name_is_not_composed() {
        let long = "\u{1112}\u{1161}".repeat(100_000);
        assert!(matches!(nfc(&long), Cow::Borrowed(same) if same == long));
    }

    #[test]
    fn what_is_not_seen_is_in_no_name() {
        for c in [
            '\0',
            '\u{7}',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{206f}',
            '\u{3164}',
            '\u{378}',
            '\u{600}',
            '\u{e000}',
            '\u{fdd0}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{ffff}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{f0000}',
            '\u{10ffff}',
        ] {
            for name in [
                format!("{c}"),
                format!("a{c}"),
                format!("{c}a"),
                format!("가{c}나"),
            ] {
                let is_valid = [is_valid_username, is_valid_account_name, is_valid_room_name];
                assert!(!is_valid.iter().any(|is_valid| is_valid(&name)), "{name:?}");
            }
        }
    }

    #[test]
    fn a_name_is_not_blank_and_has_no_white_space_at_its_ends() {
        for blank in [" ", "\u{a0}", "\u{3000}", "\u{2003}", "\u{2800}"] {
            for name in [blank.repeat(3), format!("a{blank}"), format!("{blank}a")] {
                assert!(!is_valid_username(&name), "{name:?}");
                assert!(!is_valid_account_name(&name), "{name:?}");
                assert!(!is_valid_room_name(&name), "{name:?}");
            }
            assert!(is_valid_username(&format!("a{blank}b")), "{blank:?}");
        }
    }

    #[test]
    fn the_name_of_an_account_fits_into_a_line_of_the_users_file() {
        for name in ["홍", "a b", &"가".repeat(64), "a#"] {
            assert!(is_valid_account_name(name), "{name}");
        }
        for name in ["", "a:b", " a", "a ", "#a", "a\nb", &"가".repeat(65)] {
            assert!(!is_valid_account_name(name), "{name}");
        }
    }

    #[test]
    fn the_name_of_a_room_has_1_to_64_characters_and_can_be_addressed() {
        for name in ["방", "a/b", "...", ".a", &"가".repeat(64)] {
            assert!(is_valid_room_name(name), "{name}");
        }
        for name in ["", " ", ".", "..", "a\u{7}b", &"가".repeat(65)] {
            assert!(!is_valid_room_name(name), "{name}");
        }
    }

    #[test]
    fn names_with_one_key_are_one_name() {
        for (name, others) in [
            (
                "admin",
                &[
                    "Admin",
                    "ADMIN",
                    "ａｄｍｉｎ",
                    "ⓐⓓⓜⓘⓝ",
                    "𝐚𝐝𝐦𝐢𝐧",
                    "ad\u{ad}min",
                    "admin\u{200b}",
                    " admin",
                    "admin\u{3000}",
                    "admin\u{2800}",
                    "\u{202e}admin",
                    "adm\u{2139}n",
                ][..],
            ),
            (
                "홍길동",
                &["\u{1112}\u{1169}\u{11bc}길동", "홍길동\u{3164}", " 홍길동"],
            ),
            ("straße", &["STRASSE", "strasse", "Straẞe", "STRAẞE"]),
            ("σίσυφος", &["ΣΊΣΥΦΟΣ", "σίσυφοσ"]),
            ("é", &["É", "e\u{301}", "E\u{301}", "e\u{200d}\u{301}"]),
            ("ꭰ", &["Ꭰ"]),
        ] {
            for other in others {
                assert_eq!(key(name), key(other), "{name} {other}");
            }
        }
        // What only looks alike, and the dotless i, which is another letter.
        for other in ["аdmin", "admın", "adm1n", "ad min", "admi"] {
            assert_ne!(key("admin"), key(other), "{other}");
        }
    }

    #[test]
    fn the_key_of_a_key_is_itself_and_no_valid_name_has_an_empty_one() {
        for c in '\0'..=char::MAX {
            for name in [format!("{c}"), format!(" {c}"), format!("a{c}")] {
                let key = key(&name);
                assert_eq!(super::key(&key), key, "{name:?}");
                assert!(!is_valid_username(&name) || !key.is_empty(), "{name:?}");
            }
        }
    }

    #[test]
    fn the_usual_key_is_the_name_itself() {
        for name in ["kim", "홍길동", "사람 7", "김철수-kim", "é", "李"] {
            assert!(
                matches!(key(name), Cow::Borrowed(same) if same == name),
                "{name}"
            );
        }
    }
}
