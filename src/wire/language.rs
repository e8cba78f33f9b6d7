//! Which of the server's languages, Korean and English, a client prefers (RFC 9110 section 12.5.4).

use std::cmp::Ordering;

use super::weight::weighted;

/// Whether English is preferred to Korean. Korean is the default, for clients that ask for no language at all or for
/// any; a client that asks for others only gets English, which its user more probably reads.
pub fn prefers_english(accept_language: &str) -> bool {
    // The greatest weight of the ranges that name a language, and that of the range for all others.
    let (mut korean, mut english, mut any) = (None, None, 0);
    let mut asks_for_others = false;
    for (range, weight) in accept_language.split(',').filter_map(read_range) {
        let primary = range.split('-').next().unwrap_or_default();
        match primary {
            "*" => any = weight,
            _ if primary.eq_ignore_ascii_case("ko") => korean = korean.max(Some(weight)),
            _ if primary.eq_ignore_ascii_case("en") => english = english.max(Some(weight)),
            _ => asks_for_others |= weight > 0,
        }
    }
    match english.unwrap_or(any).cmp(&korean.unwrap_or(any)) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => match (korean, english) {
            (None, None) => asks_for_others,
            (Some(0), None) => true,
            _ => false,
        },
    }
}

/// A range and its weight in thousandths; `None` if it is malformed.
fn read_range(element: &str) -> Option<(&str, u16)> {
    let (range, weight) = weighted(element)?;
    let is_subtag = |subtag: &str| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let is_range = range == "*" || range.split('-').all(is_subtag);
    is_range.then_some((range, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn korean_is_the_default_and_english_what_others_are_answered_in() {
        for (field, expected) in [
            ("", false),
            ("*", false),
            ("*;q=0", false),
            ("ko", false),
            ("KO-kr", false),
            ("en", true),
            ("EN-us", true),
            ("ko, en", false),
            ("en, ko", false),
            ("en, ko;q=0.9", true),
            ("ko;q=0.9,\ten ; Q=0.901", true),
            ("ko;q=0.999, en;q=1.000", true),
            ("en-GB;q=0.5, en;q=0.8, ko;q=0.7", true),
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", false),
            ("fr", true),
            ("ja", true),
            ("de-DE", true),
            ("fr, *;q=0.1", true),
            ("fr, ko;q=0.1", false),
            ("fr, en;q=0.1", true),
            ("fr, en;q=0", false),
            ("fr, en;q=0, *;q=0.1", false),
            ("fr, ko;q=0, *;q=0.1", true),
            ("fr;q=0", false),
            ("ko;q=0", true),
            ("en;q=0", false),
            ("ko;q=0, en;q=0", false),
            ("*, ko;q=0.5", true),
            ("*, en;q=0.5", false),
            ("kok, enm", true),
        ] {
            assert_eq!(prefers_english(field), expected, "{field}");
        }
    }

    #[test]
    fn a_malformed_range_says_nothing() {
        for malformed in [
            "en;q=x",
            "en;q=2",
            "en;q=1.001",
            "en;q=0.1234",
            "en;q=.5",
            "en;q=-1",
            "en;q",
            "en;q=1;q=1",
            "en_US",
            "englishes",
            "en-",
            "en US",
            ";;q=",
            "**",
        ] {
            assert!(!prefers_english(malformed), "{malformed}");
            assert!(prefers_english(&format!("{malformed}, en;q=0.1")));
        }
    }
}
