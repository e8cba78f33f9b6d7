//! No import cycles: files never use each other, directly or through others, so each file can be read before the files
//! that use it.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{Import, imports, imports_among};
use crate::source::assert_none;

/// The files that a file uses, directly or through others.
fn reached<'a>(used: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(file) = waiting.pop() {
        let next = used.get(file).into_iter().flatten();
        waiting.extend(next.copied().filter(|file| reached.insert(*file)));
    }
    reached
}

/// Import cycles between files, each as the imports that form it.
fn circles(imports: &BTreeSet<Import>) -> Vec<Vec<&Import>> {
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports {
        used.entry(&import.from).or_default().insert(&import.to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = used
        .keys()
        .map(|file| (*file, reached(&used, file)))
        .collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|all| all.contains(to));
    let circles: BTreeSet<Vec<&str>> = reached
        .keys()
        .filter(|file| reaches(file, file))
        .map(|file| {
            reached[file]
                .iter()
                .copied()
                .filter(|other| reaches(other, file))
                .collect()
        })
        .collect();
    let ties = |circle: &Vec<&str>| {
        let inside = |file: &str| circle.contains(&file);
        imports
            .iter()
            .filter(|import| inside(&import.from) && inside(&import.to))
            .collect()
    };
    circles.iter().map(ties).collect()
}

fn told(circles: &[Vec<&Import>]) -> Vec<String> {
    let told = circles.iter().map(|circle| {
        let imports: Vec<String> = circle
            .iter()
            .map(|import| format!("  {import}\n"))
            .collect();
        format!("a circle:\n{}", imports.concat())
    });
    told.collect()
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    assert_none(
        told(&circles(&imports())),
        "what two files share is in a third",
    );
}

#[test]
fn a_cycle_of_three_is_noticed() {
    let texts = [
        ("src/a.rs", "use crate::b::B;"),
        ("src/b.rs", "fn f() { super::c::d::g() }"),
        ("src/c/mod.rs", "pub mod d;"),
        ("src/c/d.rs", "use crate::{\n    a,\n    e::E,\n};"),
        ("src/e.rs", ""),
        ("src/f.rs", "use crate::a;"),
    ];
    let files = texts.map(|(file, text)| (file.to_owned(), text.to_owned()));
    let imports = imports_among(&files);
    let expected = "a circle:\n  src/a.rs:1 imports src/b.rs\n  src/b.rs:1 imports src/c/d.rs\n  \
                    src/c/d.rs:2 imports src/a.rs\n";
    assert_eq!(told(&circles(&imports)), [expected]);
}
