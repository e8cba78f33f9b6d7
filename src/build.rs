//! Refuses systems that are not Linux, in one sentence instead of a hundred errors of the compiler.
//!
//! Compresses the pages, which `server/assets.rs` embeds so: they are a quarter as long, in the binary and on the network
//! (`build/pages.rs`). And the scripts that `server/node/scripts.rs` gives to the engine of a cluster.
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
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use flate2::Compression;
use flate2::write::DeflateEncoder;

#[path = "build/bundle.rs"]
mod bundle;
#[path = "build/pages.rs"]
mod pages;

/// The libraries rustc links a program for Linux with glibc to, except `libgcc_s`.
const LIBRARIES: [&str; 6] = ["c", "dl", "m", "pthread", "rt", "util"];

/// Unwind tables are 0.2 MB. A release build aborts when it panics, after it has said where: nothing unwinds it. They would
/// serve a backtrace, which in a stripped binary has no names.
const WITHOUT_UNWIND_TABLES: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame .gcc_except_table .gcc_except_table.*) } } \
    INSERT AFTER .text;\n";

/// The first version of the C library whose static start-up code applies packed relocations (DT_RELR).
const PACKED_RELOCATIONS_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    let system = var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system != "linux" {
        println!("cargo::error={}", refusal(&system));
        exit(1);
    }
    println!("cargo:rerun-if-changed=src/build");
    let Some(directory) = var("OUT_DIR").ok().map(PathBuf::from) else {
        return;
    };
    if let Err(error) = pages::embed(&directory) {
        println!("cargo::error=the pages cannot be embedded: {error}");
        exit(1);
    }
    if let Err(error) = compress_scripts(&directory) {
        println!("cargo::error=the scripts of the engine cannot be compressed: {error}");
        exit(1);
    }
    if !is_ours_to_link() {
        return;
    }
    let Some(scripts) = linker_scripts() else {
        println!("cargo:warning=the static C library is not installed: the binary will be dynamic");
        return;
    };
    for (name, script) in scripts {
        fs::write(directory.join(format!("lib{name}.so")), script).expect("OUT_DIR can be written");
    }
    link(&format!("-L{}", directory.display()));
    link("-static-pie");
    if applies_packed_relocations() {
        link("-Wl,-z,pack-relative-relocs");
    }
    if !has_debug_information() && is_usual_linker() {
        let script = directory.join("without-unwind-tables.ld");
        fs::write(&script, WITHOUT_UNWIND_TABLES).expect("OUT_DIR can be written");
        link(&format!("-Wl,-T,{},--no-eh-frame-hdr", script.display()));
    }
}

/// Passes an argument to the linker of the binary.
fn link(argument: &str) {
    println!("cargo:rustc-link-arg-bin=sarang={argument}");
}

/// Why it cannot be built for another system.
fn refusal(system: &str) -> String {
    format!(
        "sarang runs on Linux only, whose epoll and socket options it uses: build it for a Linux target or in a Linux \
        container, not for {system}"
    )
}

/// Writes the scripts that a node gives to the engine into one file, compressed: the name of each, its lines without comments and
/// indentation, and a zero byte.
fn compress_scripts(directory: &Path) -> std::io::Result<()> {
    const SCRIPTS: &str = "src/server/node/scripts";
    println!("cargo:rerun-if-changed={SCRIPTS}");
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(SCRIPTS)? {
        names.push(entry?.path());
    }
    names.sort();
    let mut all = String::new();
    for path in names {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        all.push_str(&name);
        all.push('\n');
        let text = fs::read_to_string(&path)?;
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with("--")) {
            all.push_str(line);
            all.push('\n');
        }
        all.push('\0');
    }
    let mut encoder = DeflateEncoder::new(
        fs::File::create(directory.join("scripts.z"))?,
        Compression::best(),
    );
    encoder.write_all(all.as_bytes())?;
    encoder.finish()?;
    Ok(())
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

/// Whether the program was asked for with what debuggers and profilers need.
fn has_debug_information() -> bool {
    var("DEBUG").is_ok_and(|debug| debug != "false")
}

/// Whether no linker was chosen in place of rustc's, which is that of GNU or LLVM: others may not read such a script.
fn is_usual_linker() -> bool {
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_chosen = ["linker=", "link-arg"]
        .iter()
        .any(|flag| flags.contains(flag));
    !is_chosen && var("RUSTC_LINKER").is_err()
}

/// Whether the C library applies relocations in the packed form, which is 0.08 MB shorter. A linker that does not know it
/// warns, and writes the usual form.
fn applies_packed_relocations() -> bool {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.trim().strip_prefix("glibc ");
        let numbers = version.and_then(|version| version.split_once('.'));
        numbers.is_some_and(|(major, minor)| {
            let read = |text: &str| text.split('.').next()?.parse::<u32>().ok();
            read(major).zip(read(minor)) >= Some(PACKED_RELOCATIONS_SINCE)
        })
    })
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
