//! # 실행 방법: `cargo run --release`, then open <http://127.0.0.1:8000>; `sarang --help` lists the options.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use sarang::options::{HELP, Invocation, parse};
use sarang::shell;

/// The exit code for invalid arguments.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let environment = |name: &str| std::env::var(name).ok();
    let config = match parse(std::env::args_os().skip(1), environment) {
        Ok(Invocation::Serve(config)) => config,
        Ok(Invocation::Help) => return print(HELP),
        Ok(Invocation::Version) => {
            return print(concat!("sarang ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Ok(Invocation::User(command)) => {
            return match shell::user::run(&command) {
                Ok(told) => {
                    if let Some(sentence) = told.warning {
                        print_error(&format!("warning: {sentence}"));
                    }
                    print(&told.text)
                }
                Err(sentence) => fail(&sentence),
            };
        }
        Err(sentence) => {
            print_error(&sentence);
            return ExitCode::from(USAGE);
        }
    };
    match shell::run(*config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => fail(&sentence),
    }
}

fn fail(sentence: &str) -> ExitCode {
    print_error(sentence);
    ExitCode::FAILURE
}

/// Prints an error to stderr. A failed write is ignored, where `eprintln!` would panic.
fn print_error(sentence: &str) {
    _ = writeln!(std::io::stderr(), "sarang: {sentence}");
}

/// Prints to stdout, which may be closed already (`sarang --help | head -1`).
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
