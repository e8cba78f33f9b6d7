//! Every code point, compared with the tables of others.

use std::collections::HashMap;
use std::iter::once;

use caseless::Caseless as _;
use regex_syntax::Parser;
use regex_syntax::hir::{Class, HirKind};

use super::*;

/// The code points of classes, as regular expressions name them.
fn class(names: &[&str]) -> Vec<(char, char)> {
    let names = names.iter().map(|name| format!(r"\p{{{name}}}"));
    let parsed = Parser::new().parse(&format!("[{}]", names.collect::<String>()));
    match parsed.expect("is a class").kind() {
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.iter();
            ranges.map(|range| (range.start(), range.end())).collect()
        }
        other => panic!("unexpected: {other:?}"),
    }
}

fn is_in(class: &[(char, char)], c: char) -> bool {
    let next = class.partition_point(|(_, last)| *last < c);
    class.get(next).is_some_and(|(first, _)| *first <= c)
}

fn all() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

#[test]
fn the_ignorable_code_points_are_those_of_the_standard() {
    assert_eq!(
        DEFAULT_IGNORABLE.to_vec(),
        class(&["Default_Ignorable_Code_Point"])
    );
}

#[test]
fn what_is_unseen_is_in_a_class_of_its_own() {
    let classes = class(&[
        "Cc",
        "Cf",
        "Co",
        "Zl",
        "Zp",
        "Noncharacter_Code_Point",
        "Bidi_Control",
        "Default_Ignorable_Code_Point",
        "Variation_Selector",
    ]);
    let unassigned = class(&["Cn"]);
    for c in all() {
        let is_listed = is_in(&classes, c);
        let is_unassigned = c.general_category() == GeneralCategory::Unassigned;
        // Which code points are assigned differs with the version of Unicode.
        if is_unassigned == is_in(&unassigned, c) {
            assert_eq!(is_unseen(c), is_listed || is_unassigned, "{c:?}");
        }
        assert!(!c.is_control() || is_unseen(c), "{c:?}");
    }
    for c in ['\u{378}', '\u{2ff0c}', '\u{e0fff}'] {
        assert!(is_in(&unassigned, c) && is_unseen(c));
    }
}

#[test]
fn two_characters_are_folded_alike_if_the_standard_folds_them_alike() {
    // The version of the older of the two.
    let known = class(&["Age=16.0"]);
    let (mut theirs_of, mut ours_of) = (HashMap::new(), HashMap::new());
    for c in all().filter(|c| is_in(&known, *c)) {
        let ours: String = fold_case(c).collect();
        let theirs: String = once(c).default_case_fold().collect();
        let known = theirs_of
            .entry(ours.clone())
            .or_insert_with(|| theirs.clone());
        assert_eq!(*known, theirs, "{c:?} is one with too many");
        let known = ours_of.entry(theirs).or_insert_with(|| ours.clone());
        assert_eq!(*known, ours, "{c:?} is one with too few");
    }
}

#[test]
fn the_folded_text_is_folded_and_nothing_of_it_is_unseen() {
    for c in all() {
        let folded = folded(c.encode_utf8(&mut [0; 4])).into_owned();
        assert_eq!(super::folded(&folded), folded, "{c:?}");
        assert_eq!(nfc(&folded), folded, "{c:?}");
        if !is_unseen(c) && !is_blank(c) {
            let is_left = |c: char| !is_blank(c) && !is_unseen(c);
            assert!(folded.chars().any(is_left), "{c:?} becomes nothing");
            assert!(!folded.contains(is_default_ignorable), "{c:?}");
        }
    }
}

/// Small numbers that look random, and are the same each time.
fn numbers() -> impl Iterator<Item = usize> {
    let mut state = 1_u64;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    })
}

#[test]
fn texts_of_any_characters_are_composed_and_folded_once() {
    let odd: Vec<char> =
        "aAßẞıİſﬁǆΰς\u{345}\u{301}\u{323}\u{200d}\u{ad}한\u{1112}\u{1161}\u{11ab}ㅎﾊﾟ㎏½"
            .chars()
            .collect();
    let mut numbers = numbers();
    for _ in 0..100_000 {
        let mut next = || numbers.next().expect("has no end");
        let length = 1 + next() % 6;
        let pick = |n: usize| match n % 2 {
            0 => odd[n / 2 % odd.len()],
            _ => char::from_u32((n / 2 % 0x2_0000) as u32).unwrap_or('x'),
        };
        let text: String = (0..length).map(|_| pick(next())).collect();
        let (composed, once) = (nfc(&text), folded(&text));
        assert_eq!(nfc(&composed), composed, "{text:?}");
        assert_eq!(folded(&once), once, "{text:?}");
        assert_eq!(folded(&composed), once, "{text:?}");
        assert_eq!(nfc(&once), once, "{text:?}");
    }
}

#[test]
fn every_hangul_syllable_is_composed_of_its_jamo() {
    for syllable in '가'..='힣' {
        let n = syllable as u32 - '가' as u32;
        let (lead, vowel, tail) = (n / 588, n / 28 % 21, n % 28);
        let jamo = |first: u32, n: u32| char::from_u32(first + n).expect("is a jamo");
        let mut jamos = vec![jamo(0x1100, lead), jamo(0x1161, vowel)];
        let open = (tail > 0).then(|| jamo('가' as u32, n - tail));
        jamos.extend(open.map(|_| jamo(0x11a7, tail)));
        let apart: String = jamos.iter().collect();
        assert_eq!(nfc(&apart), syllable.to_string());
        assert_eq!(folded(&apart), syllable.to_string());
        // A syllable without its last consonant takes it, too.
        if let Some(open) = open {
            let text: String = [open, jamo(0x11a7, tail)].iter().collect();
            assert_eq!(nfc(&text), syllable.to_string());
        }
        assert_eq!(nfc(syllable.encode_utf8(&mut [0; 4])), syllable.to_string());
    }
}
