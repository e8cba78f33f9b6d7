//! Which systems the server is built for.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The build script, as Cargo has compiled it: its folder is beside that of what it has made for this test, and the newest.
fn build_script() -> PathBuf {
    let made = Path::new(env!("OUT_DIR"));
    let builds = made.ancestors().nth(2).expect("Cargo's layout");
    let folders = builds.read_dir().expect("can be read");
    let scripts = folders.filter_map(|folder| {
        let folder = folder.ok()?;
        let is_ours = folder.file_name().to_str()?.starts_with("sarang-");
        let script = folder.path().join("build-script-build");
        let time = script.metadata().ok()?.modified().ok()?;
        is_ours.then_some((time, script))
    });
    let (_, newest) = scripts.max().expect("Cargo has compiled it");
    newest
}

fn run(script: &Path, system: &str) -> Output {
    let mut command = Command::new(script);
    command.env_clear().env("CARGO_CFG_TARGET_OS", system);
    command.output().expect("it runs")
}

#[test]
fn for_a_system_that_is_not_linux_the_build_ends_with_one_sentence() {
    let script = build_script();
    for system in ["macos", "windows", "freebsd"] {
        let output = run(&script, system);
        assert!(!output.status.success(), "{system}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let (errors, rest): (Vec<&str>, Vec<&str>) = said
            .lines()
            .partition(|line| line.starts_with("cargo::error="));
        assert_eq!(errors.len(), 1, "{said}");
        assert!(errors[0].contains("Linux only") && errors[0].ends_with(system));
        assert_eq!(rest, ["cargo:rerun-if-changed=src/build.rs"]);
    }
    assert!(run(&script, "linux").status.success());
}
