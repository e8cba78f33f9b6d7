//! Limits on the lengths of files and functions, and no `unwrap` outside tests.

use crate::source::{assert_none, code, files};

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
fn nothing_is_unwrapped() {
    let mut offences = Vec::new();
    for (file, text) in files("src", ".rs") {
        for (index, line) in code(&text).lines().enumerate() {
            if line.contains(".unwrap()") {
                offences.push(format!("{file}:{}", index + 1));
            }
        }
    }
    assert_none(
        offences,
        "a reason is given with expect, or an error returned",
    );
}
