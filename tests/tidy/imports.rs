//! Which file uses which, by the paths in their code.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{code, files};

/// A path with two or more segments: in an expression, or as one leaf of a group of imports.
#[derive(Debug, PartialEq)]
pub struct Path<'a> {
    pub line: usize,
    pub segments: Vec<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Token<'a> {
    line: usize,
    text: &'a str,
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(Token {
                line: index + 1,
                text: &rest[..length],
            });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// Every path in some code; a group of imports yields one path for each entry.
pub fn paths(code: &str) -> Vec<Path<'_>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = is_word(tokens[at]) && is_at(&tokens, at + 1, "::");
        let goes_on = at > 0 && is_at(&tokens, at - 1, "::");
        if begins && !goes_on {
            at = read_path(&tokens, at, Vec::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

fn is_word(token: Token) -> bool {
    token
        .text
        .starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn is_at(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == text)
}

/// Reads what is at `at`, after the segments before it; returns where it ends.
fn read_path<'a>(
    tokens: &[Token<'a>],
    at: usize,
    mut before: Vec<&'a str>,
    found: &mut Vec<Path<'a>>,
) -> usize {
    let Some(token) = tokens.get(at) else {
        return at;
    };
    if token.text == "{" {
        return read_group(tokens, at + 1, &before, found);
    }
    let has_more = is_word(*token) && is_at(tokens, at + 1, "::");
    let is_segment = is_word(*token);
    if is_segment {
        before.push(token.text);
    }
    if has_more {
        return read_path(tokens, at + 2, before, found);
    }
    found.push(Path {
        line: token.line,
        segments: before,
    });
    at + usize::from(is_segment || token.text == "*")
}

/// Reads the entries of `{…}`, with their `as`; returns the position after it.
fn read_group<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    before: &[&'a str],
    found: &mut Vec<Path<'a>>,
) -> usize {
    while at < tokens.len() && !is_at(tokens, at, "}") {
        at = read_path(tokens, at, before.to_vec(), found);
        while at < tokens.len() && !is_at(tokens, at, ",") && !is_at(tokens, at, "}") {
            at += 1;
        }
        at += usize::from(is_at(tokens, at, ","));
    }
    at + 1
}

/// A file uses another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: String,
    pub line: usize,
    pub to: String,
}

impl std::fmt::Display for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} imports {}", self.from, self.line, self.to)
    }
}

/// The module path of a file of `src`, as segments below the crate; the program and the build script are crates of
/// their own, with the same name as their file.
fn module(file: &str) -> Vec<&str> {
    let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<&str> = inside.split('/').collect();
    if matches!(module[..], ["lib"] | [.., "mod"]) {
        module.pop();
    }
    module
}

/// Every import among these files, each once.
pub fn imports_among(files: &[(String, String)]) -> BTreeSet<Import> {
    let modules: BTreeMap<Vec<&str>, &str> = files
        .iter()
        .map(|(file, _)| (module(file), &**file))
        .collect();
    let mut imports = BTreeSet::new();
    for (file, text) in files {
        let own = module(file);
        for path in paths(&code(text)) {
            let Some(to) = imported(&modules, &own, &path.segments) else {
                continue;
            };
            if to != file {
                imports.insert(Import {
                    from: file.clone(),
                    line: path.line,
                    to: to.to_owned(),
                });
            }
        }
    }
    imports
}

/// The file that defines what a path names. A re-export in a `mod.rs` counts as defined there.
fn imported<'a>(
    modules: &BTreeMap<Vec<&str>, &'a str>,
    own: &[&str],
    path: &[&str],
) -> Option<&'a str> {
    let mut module = own.to_vec();
    let mut rest = path;
    match path.first()? {
        &"crate" | &"sarang" => (module, rest) = (Vec::new(), &path[1..]),
        &"self" => rest = &path[1..],
        &"super" => {}
        child => {
            // A child module, or a name from outside the crate.
            let below = [own, &[*child]].concat();
            modules.get(&below)?;
        }
    }
    while let Some((&"super", after)) = rest.split_first() {
        module.pop();
        rest = after;
    }
    let whole = [module, rest.to_vec()].concat();
    let file = (0..=whole.len())
        .rev()
        .find_map(|length| modules.get(&whole[..length]));
    file.copied()
}

/// Every import among the files of `src`.
pub fn imports() -> BTreeSet<Import> {
    imports_among(&files("src", ".rs"))
}

#[test]
fn every_path_of_a_group_is_found() {
    let code = "use crate::{\n    config,\n    server::{self, fan_out::*, Server as S},\n};\nlet x = crate::conn::Outbox::new();";
    let seen: Vec<(usize, String)> = paths(code)
        .iter()
        .map(|path| (path.line, path.segments.join("::")))
        .collect();
    let expected = [
        (2, "crate::config"),
        (3, "crate::server::self"),
        (3, "crate::server::fan_out"),
        (3, "crate::server::Server"),
        (5, "crate::conn::Outbox::new"),
    ];
    assert_eq!(seen, expected.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn a_path_is_the_file_that_defines_it() {
    let texts = [
        ("src/lib.rs", ""),
        ("src/main.rs", "use sarang::config;"),
        ("src/config.rs", "fn f() { crate::a::b::g::<u8>(1) }"),
        ("src/a/mod.rs", "mod b;\nuse b::Own;\nuse std::b::Foreign;"),
        (
            "src/a/b.rs",
            "use super::A;\nuse super::c;\nuse super::super::config;",
        ),
        (
            "src/a/c.rs",
            "// crate::config\nlet x = \"crate::config\"; use self::Own;\nx.crate::y",
        ),
    ];
    let files = texts.map(|(file, text)| (file.to_owned(), text.to_owned()));
    let seen: Vec<String> = imports_among(&files)
        .iter()
        .map(Import::to_string)
        .collect();
    assert_eq!(
        seen,
        [
            "src/a/b.rs:1 imports src/a/mod.rs",
            "src/a/b.rs:2 imports src/a/c.rs",
            "src/a/b.rs:3 imports src/config.rs",
            "src/a/c.rs:3 imports src/lib.rs",
            "src/a/mod.rs:2 imports src/a/b.rs",
            "src/config.rs:1 imports src/a/b.rs",
            "src/main.rs:1 imports src/config.rs",
        ]
    );
}
