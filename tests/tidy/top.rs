//! What is at the top of the tree, and the first line of every file that can be run or opened.

use std::fs;

use crate::source::{assert_none, files, root};

#[test]
fn the_first_line_of_every_entry_point_says_how_to_run_it() {
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
fn the_top_of_the_tree_has_known_files_only() {
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
