//! Every file has a place on the floors, and uses only its own place and the places below it.

use crate::imports::{Import, imports, imports_among};
use crate::source::{assert_none, files, root};

/// From the bottom up: the floors, and the single files between them. The build script uses nothing of the crate.
const PLACES: [&str; 12] = [
    "build", "config", "ledger", "wire", "domain", "journal", "conn", "server", "options", "shell",
    "lib", "main",
];

/// The places that are folders.
const FLOORS: [&str; 5] = ["wire", "domain", "conn", "server", "shell"];

/// The place of a path of `src/`, counted from the bottom.
fn place(file: &str) -> Option<usize> {
    let inside = file.strip_prefix("src/")?;
    let first = inside.split(['/', '.']).next()?;
    PLACES.iter().position(|place| *place == first)
}

fn goes_up(import: &Import) -> bool {
    place(&import.to) > place(&import.from)
}

#[test]
fn imports_go_down_only() {
    let imports = imports();
    let up = imports.iter().filter(|import| goes_up(import));
    assert_none(
        up.map(Import::to_string).collect(),
        "a file uses only its own floor and those below it",
    );
}

#[test]
fn an_import_that_goes_up_is_noticed() {
    let texts = [
        (
            "src/wire/http.rs",
            "use super::super::config;\nfn f() { crate::shell::run() }",
        ),
        ("src/shell/mod.rs", "use crate::wire::http;"),
        ("src/config.rs", ""),
    ];
    let files = texts.map(|(file, text)| (file.to_owned(), text.to_owned()));
    let imports = imports_among(&files);
    let up: Vec<String> = imports
        .iter()
        .filter(|one| goes_up(one))
        .map(Import::to_string)
        .collect();
    assert_eq!(up, ["src/wire/http.rs:2 imports src/shell/mod.rs"]);
}

#[test]
fn every_file_has_its_place() {
    let files = files("src", ".rs");
    let lost = files.iter().filter(|(file, _)| place(file).is_none());
    assert_none(
        lost.map(|(file, _)| file.clone()).collect(),
        "which files may use these, and which may they use?",
    );
}

#[test]
fn every_place_is_there() {
    let missing = PLACES.iter().filter(|place| {
        let file = root().join("src").join(place);
        let is_folder = FLOORS.contains(place);
        !(is_folder && file.join("mod.rs").is_file()
            || !is_folder && file.with_extension("rs").is_file())
    });
    assert_none(
        missing.map(|place| format!("src/{place}")).collect(),
        "the places of DESIGN",
    );
}
