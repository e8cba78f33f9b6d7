//! The names that guests, accounts and rooms may have.

use crate::config::{ACCOUNT_NAME_CHARS_MAX, ROOM_NAME_CHARS_MAX, USERNAME_CHARS_MAX};

/// Whether a guest may have this name: 1 to [`USERNAME_CHARS_MAX`] characters, none of them a control character.
pub fn is_valid_username(name: &str) -> bool {
    (1..=USERNAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

/// Whether an account may have this name: 1 to [`ACCOUNT_NAME_CHARS_MAX`] characters, no control character, no colon
/// (the separator in the users file), no `#` at the start and no white space at the ends.
pub fn is_valid_account_name(name: &str) -> bool {
    (1..=ACCOUNT_NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.contains(|c: char| c.is_control() || c == ':')
        && name.trim() == name
        && !name.starts_with('#')
}

/// Whether a room may have this name: 1 to [`ROOM_NAME_CHARS_MAX`] characters, none of them a control character.
pub fn is_valid_room_name(name: &str) -> bool {
    (1..=ROOM_NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_32_characters_and_no_control_character() {
        assert!(is_valid_username("홍"));
        assert!(is_valid_username(&"가".repeat(32)));
        assert!(!is_valid_username(&"가".repeat(33)));
        assert!(!is_valid_username(""));
        assert!(!is_valid_username("a\u{7}b"));
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
    fn the_name_of_a_room_has_1_to_64_characters_and_no_control_character() {
        for name in ["방", " ", &"가".repeat(64)] {
            assert!(is_valid_room_name(name), "{name}");
        }
        for name in ["", "a\u{7}b", &"가".repeat(65)] {
            assert!(!is_valid_room_name(name), "{name}");
        }
    }
}
