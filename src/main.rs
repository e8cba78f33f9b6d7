//! # 실행 방법: `cargo run --release`, then open <http://127.0.0.1:8000>; `sarang --help` lists the options.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use sarang::options::{Invocation, parse};
use sarang::shell;

/// The exit code for invalid arguments.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    match parse(arguments, std::env::vars_os(), shell::config_file::read) {
        Ok(Invocation::Serve { config, warnings }) => {
            for sentence in warnings {
                print_error(&format!("warning: {sentence}"));
            }
            ended(shell::run(*config))
        }
        Ok(Invocation::Check(config)) => ended(shell::check::run(&config)),
        Ok(Invocation::Print(text)) => print(&text),
        Ok(Invocation::Store(command)) => match shell::store_command(&command) {
            Ok(told) => print(&told),
            Err(sentence) => fail(&sentence),
        },
        Ok(Invocation::User(command)) => match shell::user::run(&command) {
            Ok(told) => {
                if let Some(sentence) = told.warning {
                    print_error(&format!("warning: {sentence}"));
                }
                print(&told.text)
            }
            Err(sentence) => fail(&sentence),
        },
        Err(sentence) => {
            print_error(&sentence);
            ExitCode::from(USAGE)
        }
    }
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
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
