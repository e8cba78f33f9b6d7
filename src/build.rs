//! Links the release binary statically where that can be done, so that `cargo build --release` alone makes the one file
//! that runs on any machine, and whose memory is only its own: 0.7 MB less at the start.
//!
//! Cargo takes `crt-static` from the environment or from a folder of its own, neither of which a fresh clone has. So the
//! linker is told instead: `-static-pie`, and linker scripts in the place of the shared libraries which rustc names.
//! Where the C library has no static form, or another target is built for, the binary is dynamic as usual.
#![forbid(unsafe_code)]

use std::env::var;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What rustc links a program for Linux with glibc to, beside `libgcc_s`.
const LIBRARIES: [&str; 6] = ["c", "dl", "m", "pthread", "rt", "util"];

fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    if !is_ours_to_link() {
        return;
    }
    let Some(scripts) = linker_scripts() else {
        println!("cargo:warning=the C library has no static form here: the binary will be dynamic");
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

/// A release build for this very machine's Linux with glibc, of which nobody has asked for something else.
fn is_ours_to_link() -> bool {
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && var("HOST") == var("TARGET")
        && !var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|list| list.contains("crt-static"))
}

/// Each library with the script that names its static form; `None` when one of the files is not there.
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

/// Where the C compiler finds a file; it answers with the bare name when it does not.
fn file(name: &str) -> Option<String> {
    let output = Command::new("cc")
        .arg(format!("-print-file-name={name}"))
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (path.starts_with('/') && !path.contains([' ', '"'])).then_some(path)
}
