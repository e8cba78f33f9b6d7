//! # 실행 방법: `cargo run --release`, then open <http://127.0.0.1:8000>; `sarang --help` lists the options.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use sarang::options::{HELP, Request, parse};
use sarang::shell;

/// Exit code for arguments that cannot be used.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let environment = |name: &str| std::env::var(name).ok();
    let config = match parse(std::env::args_os().skip(1), environment) {
        Ok(Request::Serve(config)) => config,
        Ok(Request::Help) => return print(HELP),
        Ok(Request::Version) => return print(concat!("sarang ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Request::User(command)) => {
            return match shell::accounts::change(&command) {
                Ok(text) => print(&text),
                Err(sentence) => fail(&sentence),
            };
        }
        Err(sentence) => {
            complain(&sentence);
            return ExitCode::from(USAGE);
        }
    };
    match shell::run(*config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => fail(&sentence),
    }
}

fn fail(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::FAILURE
}

/// Says what is wrong, if anybody can hear it: `eprintln!` would panic where stderr is full.
fn complain(sentence: &str) {
    _ = writeln!(std::io::stderr(), "sarang: {sentence}");
}

/// Prints to a reader that may be gone already (`sarang --help | head -1`).
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
