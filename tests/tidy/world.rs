//! Only the shell does I/O, reads the clock and asks for entropy: everything else runs on virtual time.

use crate::imports::paths;
use crate::source::{assert_none, code, files};

/// Paths that start like this reach outside the process.
const WORLD: [&str; 14] = [
    "std::net::",
    "std::fs::",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::thread::",
    "std::process::",
    "std::env::",
    "mio::",
    "rustix::",
    "getrandom::",
    "signal_hook_mio::",
    "Instant::now",
    "SystemTime::now",
];

/// Except these: an address is a plain value.
const HARMLESS: [&str; 4] = [
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
];

/// Which of these paths a file may use: the program has arguments, an exit code and messages for the operator; the
/// build script runs the compiler and asks for the year.
const ALLOWED: [(&str, &[&str]); 4] = [
    ("src/shell/", &[""]),
    (
        "src/main.rs",
        &["std::env::", "std::process::", "std::io::std"],
    ),
    (
        "src/build.rs",
        &[
            "std::env::",
            "std::fs::",
            "std::process::",
            "SystemTime::now::",
        ],
    ),
    ("src/build/pages.rs", &["std::fs::"]),
];

fn touched(file: &str, text: &str) -> Vec<String> {
    let allowed = ALLOWED.iter().filter(|(who, _)| file.starts_with(who));
    let allowed: Vec<&str> = allowed.flat_map(|(_, what)| *what).copied().collect();
    let code = code(text);
    let mut offences = Vec::new();
    for path in paths(&code) {
        // So that `use std::fs;` counts like `std::fs::read`.
        let whole = path.segments.join("::") + "::";
        let begins = |words: &[&str]| words.iter().any(|word| whole.starts_with(word));
        let is_clock = whole.contains("::Instant::now") || whole.contains("::SystemTime::now");
        if (begins(&WORLD) || is_clock) && !begins(&HARMLESS) && !begins(&allowed) {
            offences.push(format!(
                "{file}:{} touches {}",
                path.line,
                whole.trim_end_matches(':')
            ));
        }
    }
    offences
}

#[test]
fn only_the_shell_touches_the_world() {
    let files = files("src", ".rs");
    let offences = files.iter().flat_map(|(file, text)| touched(file, text));
    assert_none(
        offences.collect(),
        "sockets, files, clock and entropy are the shell's",
    );
}

#[test]
fn a_touch_is_noticed_however_it_is_imported() {
    let text = "use std::{\n    fs,\n    net::{IpAddr, TcpStream},\n};\nlet now = std::time::Instant::now();\nlet then = Instant::now();\nuse std::net::*;\n";
    let offences = touched("src/domain/mod.rs", text);
    let expected = [
        "src/domain/mod.rs:2 touches std::fs",
        "src/domain/mod.rs:3 touches std::net::TcpStream",
        "src/domain/mod.rs:5 touches std::time::Instant::now",
        "src/domain/mod.rs:6 touches Instant::now",
        "src/domain/mod.rs:7 touches std::net",
    ];
    assert_eq!(offences, expected);
    assert_eq!(touched("src/shell/mod.rs", text), [""; 0]);
    assert_eq!(touched("src/main.rs", "use std::env;"), [""; 0]);
    assert_eq!(touched("src/main.rs", "use std::fs;").len(), 1);
}
