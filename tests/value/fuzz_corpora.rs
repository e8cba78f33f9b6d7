//! Every seed input of the fuzz targets, and every input that ever found a fault, run through the targets' bodies, on
//! stable and without libFuzzer.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
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
fn no_input_of_any_target_fails() {
    for (target, body) in targets::TARGETS {
        let seeds = inputs("corpus", target);
        assert!(!seeds.is_empty(), "{target} has no corpus");
        for input in seeds.into_iter().chain(inputs("regressions", target)) {
            // The panic's own message does not say which input failed.
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
