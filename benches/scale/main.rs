//! The cost of a connection and of its operations beside many others: a thousand up to a million connections in one
//! server without sockets.
//!
//! ```text
//! cargo bench --bench scale                      1,000, 10,000, 100,000 and 1,000,000 connections
//! cargo bench --bench scale -- --max 100000      no more than that
//! cargo bench --bench scale -- --rounds 9        more repetitions
//! cargo bench --bench scale -- --addresses       each connection from an address of its own, as without a proxy
//! ```
//!
//! Half of the connections are idle WebSocket members, of whom half are in rooms of 100 and half in one room together;
//! half are event streams. Some further connections do the measured operations, the same at every size. So the cost of
//! an operation may grow with the connections it touches, but must not grow with the others, except for the cost of
//! memory that no longer fits the processor's caches.
//!
//! Each size runs in a process of its own, so that its memory is its own. Times are CPU time of the thread, medians
//! over the rounds. Each operation includes the turn that sends its effects, into sockets that only count.

mod accounts;
mod operations;
mod report;
mod world;

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode, Stdio};

use report::{Row, Table};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

const HELP: &str = "\
Usage: cargo bench --bench scale -- [OPTIONS]

  --max N         no more connections than that (1000000)
  --rounds N      rounds to take medians over (5)
  --addresses     each connection comes from an address of its own
";

struct Options {
    /// Measure this number of connections in this process and print rows; `None` starts a process for each size and
    /// prints a table.
    size: Option<usize>,
    max: usize,
    rounds: usize,
    has_addresses: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let Some(options) = parse()? else {
        print!("{HELP}");
        return Ok(());
    };
    if let Some(size) = options.size {
        return operations::measure(size, options.rounds, options.has_addresses);
    }
    let mut table = Table::default();
    for size in SIZES.into_iter().filter(|size| *size <= options.max) {
        table.add(size, rows(size, &options)?);
    }
    table.print();
    Ok(())
}

fn parse() -> Result<Option<Options>> {
    use lexopt::prelude::{Long, Short, ValueExt};
    let mut options = Options {
        size: None,
        max: 1_000_000,
        rounds: 5,
        has_addresses: false,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("size") => options.size = Some(arguments.value()?.parse()?),
            Long("max") => options.max = arguments.value()?.parse()?,
            Long("rounds") => options.rounds = arguments.value()?.parse()?,
            Long("addresses") => options.has_addresses = true,
            Long("help") | Short('h') => return Ok(None),
            // Cargo adds it to every benchmark.
            Long("bench") => {}
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(options))
}

/// The rows that a process with `size` connections measures.
fn rows(size: usize, options: &Options) -> Result<Vec<Row>> {
    let mut command = Command::new(env::current_exe()?);
    command
        .args(["--size", &size.to_string()])
        .args(["--rounds", &options.rounds.to_string()])
        .args(options.has_addresses.then_some("--addresses"))
        .stderr(Stdio::inherit());
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{size} connections: {}", output.status).into());
    }
    String::from_utf8(output.stdout)?
        .lines()
        .map(Row::parse)
        .collect()
}
