//! Which systems the server is built for.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The build script, compiled as Cargo does it.
struct BuildScript(PathBuf);

impl BuildScript {
    fn compile() -> Self {
        let name = format!("build-script-{}", std::process::id());
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/build.rs");
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(compiler);
        command
            .args(["--edition", "2024", source, "-o"])
            .arg(&program);
        assert!(command.status().expect("a compiler").success());
        Self(program)
    }

    fn run(&self, system: &str) -> Output {
        let mut command = Command::new(&self.0);
        command.env_clear().env("CARGO_CFG_TARGET_OS", system);
        command.output().expect("it runs")
    }
}

impl Drop for BuildScript {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn for_a_system_that_is_not_linux_the_build_ends_with_one_sentence() {
    let script = BuildScript::compile();
    for system in ["macos", "windows", "freebsd"] {
        let output = script.run(system);
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
    assert!(script.run("linux").status.success());
}
