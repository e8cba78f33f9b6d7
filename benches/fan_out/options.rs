//! The command line.

use std::env;

use crate::Result;
use crate::server_process::ServerCommand;
use crate::traffic::{self, Scenario};

/// Options of the server that lift the limits the traffic would reach.
const SERVER_OPTIONS: [&str; 8] = [
    "--listen",
    "127.0.0.1:0",
    "--messages-per-second",
    "0",
    "--connections",
    "0",
    "--room-users",
    "0",
];

/// What the executable was started for.
pub enum Start {
    Measure(Options),
    Help,
    /// Run `bare`, the lower bound. The benchmark starts itself with this.
    Bare {
        clients: usize,
    },
}

pub struct Options {
    pub scenarios: Vec<Scenario>,
    pub servers: Vec<ServerCommand>,
    pub rounds: usize,
    pub idle_clients: usize,
}

pub const HELP: &str = "\
Usage: cargo bench --bench fan_out -- [OPTIONS] [SCENARIO…]

Scenarios: lone, saturated-32, saturated-64, everybody, idle (default: all)

  --rounds N            rounds to take medians over (9)
  --idle N              connections of the scenario idle (10000)
  --server NAME=PATH    measure this binary of the server too, before the build's own
  --command NAME=LINE   measure whatever this shell line starts too; it must print
                        `listening on http://ADDR:PORT`
  --only                not the server of this build, only those named
";

pub fn parse() -> Result<Start> {
    let mut options = Options {
        scenarios: Vec::new(),
        servers: Vec::new(),
        rounds: 9,
        idle_clients: 10_000,
    };
    let mut only = false;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        use lexopt::prelude::{Long, Short, Value, ValueExt};
        match argument {
            Long("bare") => {
                let clients = arguments.value()?.parse()?;
                return Ok(Start::Bare { clients });
            }
            Long("help") | Short('h') => return Ok(Start::Help),
            // Cargo adds it to every benchmark.
            Long("bench") => {}
            Long("rounds") => options.rounds = arguments.value()?.parse()?,
            Long("idle") => options.idle_clients = arguments.value()?.parse()?,
            Long("only") => only = true,
            Long("server") => {
                let text = arguments.value()?.string()?;
                let (name, path) = named(&text)?;
                options.servers.push(server(name, path));
            }
            Long("command") => {
                let text = arguments.value()?.string()?;
                let (name, line) = named(&text)?;
                options.servers.push(command(name, line));
            }
            Value(name) => {
                let name = name.string()?;
                let scenario = traffic::scenario(&name).ok_or_else(|| {
                    format!("no scenario {name:?}; there are {:?}", traffic::NAMES)
                })?;
                options.scenarios.push(scenario);
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = traffic::NAMES
            .iter()
            .copied()
            .filter_map(traffic::scenario)
            .collect();
    }
    if !only {
        let path = env!("CARGO_BIN_EXE_sarang");
        options.servers.push(server("sarang", path));
    }
    Ok(Start::Measure(options))
}

/// The command that runs this executable as `bare`.
pub fn bare(clients: usize) -> Result<ServerCommand> {
    Ok(ServerCommand {
        name: "bare".to_owned(),
        program: env::current_exe()?.to_string_lossy().into_owned(),
        arguments: vec!["--bare".to_owned(), clients.to_string()],
    })
}

fn server(name: &str, path: &str) -> ServerCommand {
    ServerCommand {
        name: name.to_owned(),
        program: path.to_owned(),
        arguments: SERVER_OPTIONS.map(str::to_owned).to_vec(),
    }
}

fn command(name: &str, line: &str) -> ServerCommand {
    ServerCommand {
        name: name.to_owned(),
        program: "sh".to_owned(),
        // Without `exec` the CPU time of the shell would be measured.
        arguments: vec!["-c".to_owned(), format!("exec {line}")],
    }
}

fn named(text: &str) -> Result<(&str, &str)> {
    text.split_once('=')
        .ok_or_else(|| format!("{text:?} should be NAME=…").into())
}
