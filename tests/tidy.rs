//! Keeps the house of DESIGN honest: floors, sizes, and what may lie where.

use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory that ends like this, with its text, by its path from the root.
fn files(below: &str, ending: &str) -> Vec<(String, String)> {
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

/// The lines of code, numbered from 1: without comments and without the module of tests at the end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text
        .find("\n#[cfg(test)]\nmod tests {")
        .unwrap_or(text.len());
    text[..end]
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

fn assert_none(offences: Vec<String>, rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

/// From the ground up; a floor may use itself and those before it.
const FLOORS: [&str; 5] = ["wire", "domain", "conn", "server", "shell"];

/// The floor a path of `src/` stands on.
fn floor(file: &str) -> Option<usize> {
    let inside = file.strip_prefix("src/")?;
    let first = inside.split(['/', '.']).next()?;
    FLOORS.iter().position(|floor| *floor == first)
}

/// The modules of the crate that a line names: `crate::wire::…`, `use crate::{wire, conn::…}`.
fn named_modules(line: &str) -> Vec<&str> {
    let word = |text: &'static str| move |c: char| !(c.is_alphanumeric() || text.contains(c));
    line.split("crate::")
        .skip(1)
        .flat_map(|path| match path.strip_prefix('{') {
            None => vec![path.split(word("_")).next().unwrap_or_default()],
            Some(group) => group.split(word("_:")).collect(),
        })
        .map(|path| path.split("::").next().unwrap_or_default())
        .collect()
}

#[test]
fn imports_go_down_only() {
    let mut offences = Vec::new();
    for (file, text) in files("src", ".rs") {
        if let Some(own) = floor(&file) {
            let used = statements(&file, &text);
            offences.extend(used.iter().flat_map(|(number, statement)| {
                let (file, number) = (&file, *number);
                named_modules(statement)
                    .into_iter()
                    .filter(move |module| FLOORS[own + 1..].contains(module))
                    .map(move |module| format!("{file}:{number} uses {module}"))
            }));
        }
    }
    assert_none(offences, "a floor uses only itself and those below it");
}

/// Lines, where a group of imports that spans several is one, and paths that begin at the crate.
fn statements(file: &str, text: &str) -> Vec<(usize, String)> {
    // Within `src/wire/http.rs` the crate is two steps up, within `src/wire/mod.rs` one.
    let steps = if file.ends_with("/mod.rs") {
        "super::"
    } else {
        "super::super::"
    };
    let mut statements = Vec::new();
    let mut statement = String::new();
    for (number, line) in code(text) {
        statement.push_str(&line.replace(steps, "crate::"));
        if !statement.contains("crate::{") || statement.contains(';') {
            statements.push((number, std::mem::take(&mut statement)));
        }
    }
    statements
}

#[test]
fn the_parser_of_imports_sees_what_it_must() {
    assert_eq!(named_modules("use crate::wire::http;"), ["wire"]);
    assert!(named_modules("use crate::{config, shell::Loop};").contains(&"shell"));
    assert_eq!(
        named_modules("let x = crate::conn::Outbox::new();"),
        ["conn"]
    );
    let spanning = "use crate::{\n    config,\n    server::Server,\n};\n";
    let (number, whole) = &statements("src/wire/http.rs", spanning)[0];
    assert_eq!(*number, 4);
    assert!(named_modules(whole).contains(&"server"));
    let (_, climbed) = &statements("src/wire/mod.rs", "use super::server;")[0];
    assert_eq!(named_modules(climbed), ["server"]);
    assert_eq!(floor("src/wire/http.rs"), Some(0));
    assert_eq!(floor("src/shell.rs"), Some(4));
    assert_eq!(floor("src/config.rs"), None);
}

#[test]
fn only_the_shell_touches_the_world() {
    const WORLD: [&str; 12] = [
        "std::net",
        "std::fs",
        "std::io::std",
        "std::thread",
        "std::process",
        "std::env",
        "mio::",
        "rustix::",
        "Instant::now",
        "SystemTime::now",
        "getrandom",
        "signal_hook",
    ];
    /// An address or a pure value is not the world.
    const HARMLESS: [&str; 4] = [
        "std::net::IpAddr",
        "std::net::SocketAddr",
        "std::net::Ipv",
        "std::net::{IpAddr, SocketAddr}",
    ];
    let mut offences = Vec::new();
    for (file, text) in files("src", ".rs") {
        let outside = floor(&file).is_some_and(|floor| FLOORS[floor] != "shell");
        if !outside {
            continue;
        }
        for (number, line) in code(&text) {
            if HARMLESS.iter().any(|harmless| line.contains(harmless)) {
                continue;
            }
            for word in WORLD.iter().filter(|word| line.contains(*word)) {
                offences.push(format!("{file}:{number} touches {word}"));
            }
        }
    }
    assert_none(
        offences,
        "sockets, files, clock and entropy are the shell's",
    );
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let mut offences = Vec::new();
    for directory in ["src", "tests", "fuzz", "benches"] {
        for (file, text) in files(directory, ".rs") {
            let lines = text.lines().count();
            if !file.starts_with("fuzz/target") && lines > 500 {
                offences.push(format!("{file}:500 goes on to line {lines}"));
            }
        }
    }
    assert_none(offences, "a file has at most 500 lines");
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut offences = Vec::new();
    for directory in ["src", "tests"] {
        for (file, text) in files(directory, ".rs") {
            offences.extend(long_functions(&file, &text));
        }
    }
    assert_none(offences, "a function has at most 70 lines");
}

/// In rustfmt'ed source a function ends at the brace in the column of its first line.
fn long_functions(file: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut offences = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        if !starts_function(line) || line.ends_with(['}', ';']) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let last = format!("{}}}", &line[..indent]);
        let before_last = lines[start..].iter().take_while(|line| **line != last);
        let length = before_last.count() + 1;
        if length > 70 {
            offences.push(format!("{file}:{} has {length} lines", start + 1));
        }
    }
    offences
}

fn starts_function(line: &str) -> bool {
    line.split_whitespace()
        .find(|word| !word.starts_with("pub") && !["const", "async"].contains(word))
        == Some("fn")
}

#[test]
fn a_function_that_is_too_long_is_noticed() {
    let body = "        work();\n".repeat(70);
    for start in [
        "fn f() {",
        "pub fn f() {",
        "pub(crate) fn f() {",
        "pub const fn f() {",
    ] {
        let text = format!("impl X {{\n    {start}\n{body}    }}\n}}\n");
        assert_eq!(long_functions("x.rs", &text), ["x.rs:2 has 72 lines"]);
    }
}

#[test]
fn the_first_line_of_what_can_be_started_says_how() {
    let mut offences = Vec::new();
    let mut starts = vec!["Cargo.toml".to_owned(), "src/main.rs".to_owned()];
    starts.extend(files("static", ".html").into_iter().map(|(file, _)| file));
    for file in starts {
        let text = fs::read_to_string(root().join(&file)).expect("a readable file");
        let first = text.lines().next().unwrap_or_default();
        if !first.contains("# 실행 방법:") {
            offences.push(format!("{file}:1 is {first:?}"));
        }
    }
    assert_none(offences, "the first line has `# 실행 방법:`");
}

#[test]
fn nothing_is_unwrapped() {
    let mut offences = Vec::new();
    for (file, text) in files("src", ".rs") {
        for (number, line) in code(&text) {
            if line.contains(".unwrap()") {
                offences.push(format!("{file}:{number}"));
            }
        }
    }
    assert_none(
        offences,
        "a reason is given with expect, or an error returned",
    );
}

#[test]
fn the_top_of_the_tree_is_swept() {
    const KNOWN: [&str; 13] = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "fuzz",
        "static",
        "tests",
        "benches",
        "README.md",
        "LICENSE",
        ".gitignore",
        ".ci",
        "target",
        ".git",
    ];
    let offences = fs::read_dir(root())
        .expect("the root")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !KNOWN.contains(&name.as_str()))
        .collect();
    assert_none(offences, "only these lie at the top");
}

#[test]
fn every_floor_is_there() {
    let missing: Vec<String> = FLOORS
        .iter()
        .filter(|floor| {
            let directory = root().join("src").join(floor);
            !directory.is_dir() && !directory.with_extension("rs").is_file()
        })
        .map(|floor| format!("src/{floor}"))
        .collect();
    assert_none(missing, "the floors of DESIGN");
}
