//! What somebody may do beyond what everybody may: the claims `admin`, `rooms` and `write` of a token.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::names::nfc;
use crate::config::{PATTERN_CHARS_MAX, PATTERNS_MAX, ROOM_NAME_CHARS_MAX};
use crate::wire::jwt::Refused;

// The numbers in the sentences below, and a name can always be a pattern.
const _: () = assert!(PATTERNS_MAX == 64 && PATTERN_CHARS_MAX == 64);
const _: () = assert!(PATTERN_CHARS_MAX == ROOM_NAME_CHARS_MAX);

/// What somebody may do. By default every room is open to them, and they moderate none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Whether they are a moderator, who is bound by none of the patterns.
    pub is_moderator: bool,
    /// The rooms they may enter and read; `None` is all.
    pub rooms: Option<Patterns>,
    /// Those of them they may write in; `None` is all.
    pub write: Option<Patterns>,
}

thread_local! {
    /// Nearly everybody's, so that a session needs no memory for them.
    static USUAL: Rc<Permissions> = Rc::default();
    static MODERATOR: Rc<Permissions> = Rc::new(Permissions {
        is_moderator: true,
        ..Permissions::default()
    });
}

impl Permissions {
    /// The default, shared by all who have it.
    pub fn usual() -> Rc<Self> {
        USUAL.with(Rc::clone)
    }

    /// A moderator's, likewise.
    pub fn moderator() -> Rc<Self> {
        MODERATOR.with(Rc::clone)
    }

    /// Those in the claims of a token.
    ///
    /// # Errors
    /// A claim of the wrong type, or with too many or too long patterns.
    pub fn of_claims(claims: &Map<String, Value>) -> Result<Rc<Self>, Refused> {
        let is_moderator = match claims.get("admin") {
            None => false,
            Some(Value::Bool(is_moderator)) => *is_moderator,
            Some(_) => return Err(Refused("the token's admin is neither true nor false")),
        };
        let patterns = |name| claims.get(name).map(Patterns::read).transpose();
        let (rooms, write) = (patterns("rooms")?, patterns("write")?);
        Ok(match (is_moderator, &rooms, &write) {
            (false, None, None) => Self::usual(),
            (true, None, None) => Self::moderator(),
            _ => Rc::new(Self {
                is_moderator,
                rooms,
                write,
            }),
        })
    }

    /// The claims that [`Self::of_claims`] reads as these.
    pub fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        if self.is_moderator {
            claims.insert("admin".into(), true.into());
        }
        for (name, patterns) in [("rooms", &self.rooms), ("write", &self.write)] {
            if let Some(patterns) = patterns {
                claims.insert(name.into(), json!(patterns.0));
            }
        }
        claims
    }

    /// The same, of somebody who is a moderator or is none.
    pub fn marked(self: &Rc<Self>, is_moderator: bool) -> Rc<Self> {
        match (self.is_moderator == is_moderator, &self.rooms, &self.write) {
            (true, ..) => self.clone(),
            (false, None, None) if is_moderator => Self::moderator(),
            (false, None, None) => Self::usual(),
            _ => Rc::new(Self {
                is_moderator,
                ..(**self).clone()
            }),
        }
    }

    /// Whether they may enter and read a room of this name, and create it. The name may be composed in any way.
    pub fn may_enter(&self, room: &str) -> bool {
        self.is_moderator
            || self
                .rooms
                .as_ref()
                .is_none_or(|rooms| rooms.match_name(room))
    }

    /// Whether they may say something there.
    pub fn may_write(&self, room: &str) -> bool {
        let is_in_write = || {
            self.write
                .as_ref()
                .is_none_or(|write| write.match_name(room))
        };
        self.is_moderator || (self.may_enter(room) && is_in_write())
    }
}

/// Patterns of names, [`PATTERNS_MAX`] at most, in form C. In each `*` stands for any characters, also for none, and
/// everything else for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(Box<[Box<str>]>);

impl Patterns {
    /// Reads a claim.
    fn read(claim: &Value) -> Result<Self, Refused> {
        const NO_LIST: Refused = Refused("the token's rooms or write is no array of strings");
        let Value::Array(patterns) = claim else {
            return Err(NO_LIST);
        };
        if patterns.len() > PATTERNS_MAX {
            return Err(Refused(
                "the token's rooms or write has more than 64 patterns",
            ));
        }
        let read = |pattern: &Value| {
            let pattern = nfc(pattern.as_str().ok_or(NO_LIST)?);
            match (1..=PATTERN_CHARS_MAX).contains(&pattern.chars().count()) {
                true => Ok(pattern.into()),
                false => Err(Refused(
                    "a pattern in the token's rooms or write has not 1 to 64 characters",
                )),
            }
        };
        patterns
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether one of them matches a name, which may be composed in any way.
    fn match_name(&self, name: &str) -> bool {
        let name = nfc(name);
        self.0.iter().any(|pattern| matches(pattern, &name))
    }
}

/// Whether a pattern matches a text. Takes time proportional to both together: each part between two `*` is looked for
/// once, where the one before it ends, and where it is found first leaves the most for those behind it.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let within = text.strip_prefix(first);
    let Some(mut left) = within.and_then(|text| text.strip_suffix(last)) else {
        return false;
    };
    for part in middle.split('*') {
        match left.find(part) {
            Some(place) => left = &left[place + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::Random;

    fn read(claims: Value) -> Result<Rc<Permissions>, Refused> {
        Permissions::of_claims(claims.as_object().expect("is an object"))
    }

    #[test]
    fn a_star_stands_for_any_characters_also_none_and_all_else_for_itself() {
        for (pattern, matching, others) in [
            ("a", &["a"][..], &["", "A", "aa", "*"][..]),
            ("*", &["", "a", "방"], &[]),
            ("**", &["", "a"], &[]),
            ("team-*", &["team-", "team-a"], &["team", "a team-a"]),
            ("*-team", &["-team", "a-team"], &["team", "a-teams"]),
            ("a*a", &["aa", "aba", "aaa"], &["a", "ab", "ba"]),
            (
                "a*b*c",
                &["abc", "a-b-b-c", "abcbc"],
                &["ac", "acb", "abcd"],
            ),
            ("*b*", &["b", "abc"], &["", "ac"]),
            ("ab*ba", &["abba", "ab-ba"], &["aba", "abab"]),
            ("?[a]", &["?[a]"], &["xa", "?a"]),
            ("방*", &["방", "방1"], &["바", "1방"]),
        ] {
            for text in matching {
                assert!(matches(pattern, text), "{pattern} {text}");
            }
            for text in others {
                assert!(!matches(pattern, text), "{pattern} {text}");
            }
        }
    }

    /// By the definition: a star takes nothing, or one more character.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'*', rest @ ..], _) if naive(rest, text) => true,
            ([b'*', ..], [_, left @ ..]) => naive(pattern, left),
            ([c, rest @ ..], [d, left @ ..]) => c == d && naive(rest, left),
            (_, []) => false,
        }
    }

    #[test]
    fn it_matches_what_the_definition_does() {
        let mut random = Random::new(&[5; 32]);
        let mut draw = |letters: &[u8], longest: u64| -> String {
            let count = random.number() % (longest + 1);
            let letter = |_| letters[(random.number() % letters.len() as u64) as usize];
            (0..count).map(letter).map(char::from).collect()
        };
        let mut matching = 0;
        for _ in 0..20_000 {
            let (pattern, text) = (draw(b"ab*", 7), draw(b"ab", 9));
            let expected = naive(pattern.as_bytes(), text.as_bytes());
            assert_eq!(matches(&pattern, &text), expected, "{pattern} {text}");
            matching += usize::from(expected);
        }
        assert!((1_000..19_000).contains(&matching), "{matching}");
    }

    #[test]
    fn a_moderator_may_all_and_who_may_not_enter_may_not_write() {
        let of = |claims: Value| read(claims).expect("is valid");
        let may = |permissions: &Permissions| {
            ["a", "b", "c"].map(|room| {
                let (enter, write) = (permissions.may_enter(room), permissions.may_write(room));
                u8::from(enter) + u8::from(write)
            })
        };
        assert_eq!(may(&of(json!({}))), [2, 2, 2]);
        assert_eq!(may(&of(json!({"rooms": ["a", "b"]}))), [2, 2, 0]);
        assert_eq!(may(&of(json!({"write": ["a"]}))), [2, 1, 1]);
        assert_eq!(
            may(&of(json!({"rooms": ["a", "b"], "write": ["b", "c"]}))),
            [1, 2, 0]
        );
        assert_eq!(may(&of(json!({"rooms": []}))), [0, 0, 0]);
        assert_eq!(may(&of(json!({"rooms": [], "admin": true}))), [2, 2, 2]);
        assert_eq!(may(&of(json!({"rooms": [], "admin": false}))), [0, 0, 0]);
    }

    #[test]
    fn names_and_patterns_match_however_they_are_composed() {
        let (composed, apart) = ("caf\u{e9}", "cafe\u{301}");
        for pattern in [composed, apart, "*\u{e9}", "*e\u{301}"] {
            let permissions = read(json!({"rooms": [pattern]})).expect("is valid");
            assert!(permissions.may_enter(composed) && permissions.may_enter(apart));
        }
    }

    #[test]
    fn claims_of_the_wrong_type_or_size_are_refused_with_the_reason() {
        let longest = "가".repeat(PATTERN_CHARS_MAX);
        let most = vec![&*longest; PATTERNS_MAX];
        assert!(read(json!({"rooms": most, "write": most})).is_ok());
        for (claims, why) in [
            (json!({"admin": 1}), "neither true nor false"),
            (json!({"admin": "true"}), "neither true nor false"),
            (json!({"admin": null}), "neither true nor false"),
            (json!({"rooms": "a"}), "no array of strings"),
            (json!({"rooms": null}), "no array of strings"),
            (json!({"write": ["a", 1]}), "no array of strings"),
            (json!({"write": [""]}), "has not 1 to 64 characters"),
            (
                json!({"rooms": [longest + "*"]}),
                "has not 1 to 64 characters",
            ),
            (
                json!({"rooms": vec!["a"; PATTERNS_MAX + 1]}),
                "more than 64 patterns",
            ),
        ] {
            let refused = read(claims.clone()).expect_err("is refused");
            assert!(refused.0.contains(why), "{claims}: {}", refused.0);
        }
    }

    #[test]
    fn they_are_written_as_they_are_read_and_shared_if_they_are_usual() {
        for claims in [
            json!({}),
            json!({"admin": true}),
            json!({"rooms": ["a*", "방"], "write": []}),
            json!({"admin": true, "rooms": []}),
        ] {
            let permissions = read(claims.clone()).expect("is valid");
            assert_eq!(Value::Object(permissions.claims()), claims);
            for is_moderator in [true, false] {
                let marked = permissions.marked(is_moderator);
                assert_eq!(marked.is_moderator, is_moderator);
                assert_eq!(marked.rooms, permissions.rooms);
                assert_eq!(marked.marked(permissions.is_moderator), permissions);
            }
        }
        let shared = read(json!({"admin": false})).expect("is valid");
        assert!(Rc::ptr_eq(&shared, &Permissions::usual()));
        let moderator = shared.marked(true);
        assert!(Rc::ptr_eq(&moderator, &Permissions::moderator()));
        assert!(Rc::ptr_eq(&moderator.marked(false), &shared));
    }
}
