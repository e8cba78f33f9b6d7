//! The files of the project, and their code without comments, literals and tests.

use std::fs;
use std::path::Path;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory whose name has this ending: its path from the root, and its text.
pub fn files(below: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(below)];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let text = fs::read_to_string(&path).expect("a readable file");
                found.push((name(&path), text));
            }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    let inside = path.strip_prefix(root()).expect("a path of the project");
    inside.to_string_lossy().into_owned()
}

/// The code of a file with its line numbers unchanged: comments, the contents of literals and the test module at the
/// end are left out.
pub fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, is_code) = next_piece(rest, first, code.chars().next_back());
        let (piece, after) = rest.split_at(length);
        if is_code {
            code.push_str(piece);
        } else {
            code.push(' ');
            code.extend(piece.chars().filter(|c| *c == '\n'));
        }
        rest = after;
    }
    let end = code.find("\n#[cfg(test)]\nmod tests {");
    code.truncate(end.unwrap_or(code.len()));
    code
}

/// The length of the token at the start, and whether it is code: comments and literals are not.
fn next_piece(rest: &str, first: char, before: Option<char>) -> (usize, bool) {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let literal = if rest.starts_with("//") {
        rest.find('\n').or(Some(rest.len()))
    } else if rest.starts_with("/*") {
        Some(block_comment(rest))
    } else if first == '"' {
        Some(quoted(rest, '"'))
    } else if first == '\'' {
        character(rest)
    } else if in_word {
        None
    } else {
        raw_string(rest)
    };
    literal.map_or((first.len_utf8(), true), |length| (length, false))
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a literal with its quotes; a backslash escapes the next character.
fn quoted(rest: &str, quote: char) -> usize {
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return at + 1;
        }
        if character == '\\' {
            characters.next();
        }
    }
    rest.len()
}

/// The length of a character literal; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut characters = rest.chars().skip(1);
    let is_escape = characters.next() == Some('\\');
    (is_escape || characters.next() == Some('\'')).then(|| quoted(rest, '\''))
}

/// The length of a raw literal: `r"…"`, `r#"…"#`, or the same for bytes.
fn raw_string(rest: &str) -> Option<usize> {
    let start = ["r", "br", "cr"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let opened = start.trim_start_matches('#').strip_prefix('"')?;
    let hashes = start.len() - opened.len() - 1;
    let close = format!("\"{}", "#".repeat(hashes));
    let begin = rest.len() - opened.len();
    let end = opened.find(&close).unwrap_or(opened.len() - close.len());
    Some(begin + end + close.len())
}

pub fn assert_none(offences: Vec<String>, rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

#[test]
fn comments_and_literals_are_no_code() {
    for (text, expected) in [
        ("a // b\nc", "a  \nc"),
        ("a /* b /* c\n */ d */ e", "a  \n e"),
        (r#"f("a \" // b") g"#, "f( ) g"),
        ("f(r#\"a \" b\n\"#) g", "f( \n) g"),
        ("bar\"x\" b", "bar  b"),
        ("('\"', 'a', b'\\'', '가') c", "( ,  , b ,  ) c"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("a\n#[cfg(test)]\nmod tests {\nb\n}\n", "a"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
}
