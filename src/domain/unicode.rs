//! What names need of Unicode: normalization forms (UAX #15), case folding (section 3.13 of the Unicode Standard) and
//! the characters that cannot be seen.
//!
//! The tables are those of two crates and of the standard library. ASCII and whole Hangul syllables, of which most names
//! consist, need none.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// The code points with the property Default_Ignorable_Code_Point (section 5.21 of the Unicode Standard), assigned or
/// not: without support they are shown as nothing at all. The property is stable: code points to come are in it already.
const DEFAULT_IGNORABLE: [(char, char); 17] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character stays as it is and by itself in every normalization form, apart from its case: it is ASCII or a
/// whole Hangul syllable. (In text that has nothing else, no syllable is followed by a jamo that it could absorb.)
fn is_plain(c: char) -> bool {
    c.is_ascii() || matches!(c, '가'..='힣')
}

fn is_default_ignorable(c: char) -> bool {
    let ranges = &DEFAULT_IGNORABLE;
    let next = ranges.partition_point(|(_, last)| *last < c);
    ranges.get(next).is_some_and(|(first, _)| *first <= c)
}

/// Whether nobody can see a character, or nobody knows what it is: control and format characters (those that change the
/// direction of text among them), line and paragraph separators, default-ignorable, private-use and unassigned code
/// points.
pub fn is_unseen(c: char) -> bool {
    use GeneralCategory::{
        Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, Surrogate, Unassigned,
    };
    if is_plain(c) {
        return c.is_ascii_control();
    }
    is_default_ignorable(c)
        || matches!(
            c.general_category(),
            Control
                | Format
                | LineSeparator
                | ParagraphSeparator
                | PrivateUse
                | Surrogate
                | Unassigned
        )
}

/// Whether a character is seen as an empty place: white space, and the pattern of Braille without dots.
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

/// The text in normalization form C, in which a letter with its marks, and a Hangul syllable, is one character if there
/// is one.
pub fn nfc(text: &str) -> Cow<'_, str> {
    // Below U+0300 nothing can be composed or reordered.
    let is_inert = |c: char| c < '\u{300}' || is_plain(c);
    if text.chars().all(is_inert) || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return text.into();
    }
    let normalized: String = text.nfc().collect();
    normalized.into()
}

/// The text without what spellings of the same letters differ in: compatibility variants, case, ignorable code points.
/// Two texts have the same if toNFKC_Casefold (section 3.13 of the Unicode Standard) makes the same of them, though it
/// may be another: of some letters this has the small one. Done again it changes nothing.
pub fn folded(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => text.to_ascii_lowercase().into(),
            false => text.into(),
        };
    }
    let mut folded: String = text.nfkc().collect();
    // Folding may give characters with compatibility variants, and these characters with case, but not once more.
    for _ in 0..2 {
        let seen = folded.chars().filter(|c| !is_default_ignorable(*c));
        let cased: String = seen.flat_map(fold_case).collect();
        if cased == folded {
            break;
        }
        folded = cased.nfkc().collect();
    }
    match folded == text {
        true => text.into(),
        false => folded.into(),
    }
}

/// The full case folding of a character: two characters have the same if, and only if, CaseFolding.txt (status C and F)
/// folds them to the same. The standard library has no table of it, but those of lower and upper case, which come to the
/// same, except for the dotless i: its upper case is that of another letter.
fn fold_case(c: char) -> impl Iterator<Item = char> {
    let raise = |c: char| {
        let (kept, raised) = match c {
            'ı' => (Some(c), None),
            _ => (None, Some(c)),
        };
        let raised = raised.into_iter().flat_map(char::to_uppercase);
        kept.into_iter().chain(raised)
    };
    c.to_lowercase()
        .flat_map(raise)
        .flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests;
