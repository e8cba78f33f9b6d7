//! Every input that the fuzz targets are seeded with, and every one that ever found something, through the targets'
//! bodies, on stable and without libFuzzer.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod targets;

fn inputs(directory: &str, target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(directory)
        .join(target);
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut inputs: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a directory entry").path())
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_input_of_every_target_holds() {
    for (target, body) in targets::TARGETS {
        let seeds = inputs("corpus", target);
        assert!(!seeds.is_empty(), "{target} has no corpus");
        for input in seeds.into_iter().chain(inputs("regressions", target)) {
            // What fails is named by the panic's own message only when it is known which input it was.
            println!("{}", input.display());
            body(&fs::read(&input).expect("a readable file"));
        }
    }
}

#[test]
fn every_target_has_its_program_and_its_place_in_the_manifest() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("a readable file");
    let mut programs: Vec<String> = fs::read_dir(fuzz.join("fuzz_targets"))
        .expect("a directory")
        .map(|entry| entry.expect("a directory entry").path())
        .map(|path| {
            path.file_stem()
                .expect("has a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    programs.sort();
    let mut targets = targets::TARGETS.map(|(name, _)| name);
    targets.sort_unstable();
    assert_eq!(programs, targets);
    for name in targets {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
