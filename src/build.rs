//! Refuses systems that are not Linux, in one sentence instead of a hundred errors of the compiler.
//!
//! Links the release binary statically where possible, so that `cargo build --release` alone makes one file that runs
//! on any machine. Without shared libraries it also takes 0.7 MB less memory at the start.
//!
//! Cargo reads `crt-static` from the environment or from `.cargo`, neither of which a fresh clone has. Instead the
//! linker gets `-static-pie`, and linker scripts in place of the shared libraries that rustc names. Where the C library
//! has no static archive, and for other targets, the binary is dynamic as usual.
#![forbid(unsafe_code)]

use std::env::var;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, exit};

/// The libraries rustc links a program for Linux with glibc to, except `libgcc_s`.
const LIBRARIES: [&str; 6] = ["c", "dl", "m", "pthread", "rt", "util"];

fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    let system = var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system != "linux" {
        println!("cargo::error={}", refusal(&system));
        exit(1);
    }
    if !is_ours_to_link() {
        return;
    }
    let Some(scripts) = linker_scripts() else {
        println!("cargo:warning=the static C library is not installed: the binary will be dynamic");
        return;
    };
    let Some(directory) = var("OUT_DIR").ok().map(PathBuf::from) else {
        return;
    };
    for (name, script) in scripts {
        fs::write(directory.join(format!("lib{name}.so")), script).expect("OUT_DIR can be written");
    }
    println!("cargo:rustc-link-arg-bin=sarang=-L{}", directory.display());
    println!("cargo:rustc-link-arg-bin=sarang=-static-pie");
}

/// Why it cannot be built for another system.
fn refusal(system: &str) -> String {
    format!(
        "sarang runs on Linux only, whose epoll and socket options it uses: build it for a Linux target or in a Linux \
        container, not for {system}"
    )
}

/// Whether it is a release build for the host, Linux with glibc, and `crt-static` is not set in another way.
fn is_ours_to_link() -> bool {
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && var("HOST") == var("TARGET")
        && !var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|list| list.contains("crt-static"))
}

/// Each library with a linker script that names its static archive; `None` if a file is missing.
fn linker_scripts() -> Option<Vec<(&'static str, String)>> {
    for needed in ["rcrt1.o", "libgcc_eh.a"] {
        file(needed)?;
    }
    let mut scripts = vec![("gcc_s", "GROUP ( -lgcc -lgcc_eh )\n".to_owned())];
    for name in LIBRARIES {
        let archive = file(&format!("lib{name}.a"))?;
        scripts.push((name, format!("GROUP ( {archive} -lgcc -lgcc_eh )\n")));
    }
    Some(scripts)
}

/// The path where the C compiler finds a file; `None` if it prints the bare name, which means that it does not.
fn file(name: &str) -> Option<String> {
    let output = Command::new("cc")
        .arg(format!("-print-file-name={name}"))
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (path.starts_with('/') && !path.contains([' ', '"'])).then_some(path)
}
