//! The cost of a delivery: fan-out over real sockets, measured in the server's CPU time.
//!
//! ```text
//! cargo bench --bench fan_out                          every scenario, the server of this build
//! cargo bench --bench fan_out -- lone idle             some of them
//! cargo bench --bench fan_out -- --rounds 3            fewer repetitions
//! cargo bench --bench fan_out -- --server old=PATH     another binary of this server beside it
//! cargo bench --bench fan_out -- --command 'NAME=…'    any server that speaks the same messages and
//!                                                      prints `listening on http://ADDR:PORT`
//! ```
//!
//! | scenario | clients | traffic |
//! |---|---|---|
//! | `lone` | 1,000 | one message in flight; the next when every client has it. Also against `bare` |
//! | `saturated-32`, `saturated-64` | 1,000 | 8 senders with 32 or 64 messages in flight each |
//! | `everybody` | 32 | all write at once; again when each has all 32 |
//! | `idle` | 10,000 | they join and stay silent: memory and CPU of a connection |
//!
//! `bare` is the lower bound of `lone`: a process that sends the same bytes to the same number of sockets
//! with only a loop around `send`.
//!
//! The server runs on one core and the generator on another, so that they do not compete, and the
//! generator does not sleep while it measures, so that waking it is not charged to the server.
//! Compared servers take turns, round by round, and medians are compared, so that disturbances of the
//! machine affect all of them. The figure is CPU time (user and system) per message delivered to one
//! client. Each round also checks that every client got every message once, in the same order.

mod bare;
mod client;
mod crowd;
mod frames;
mod options;
mod report;
mod server_process;
mod traffic;
mod transcript;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crowd::Crowd;
use options::{Options, Start};
use report::{IdleRow, Rounds};
use server_process::ServerProcess;
use traffic::{Scenario, Traffic};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fan_out: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = match options::parse()? {
        Start::Bare { clients } => return bare::serve(clients),
        Start::Help => {
            print!("{}", options::HELP);
            return Ok(());
        }
        Start::Measure(options) => options,
    };
    server_process::raise_open_files()?;
    server_process::pin_generator()?;
    for scenario in &options.scenarios {
        match scenario {
            Scenario::FanOut(traffic) => fan_out(traffic, &options)?,
            Scenario::Idle => idle(&options)?,
        }
    }
    Ok(())
}

/// Runs the same traffic on every contestant, in turns, and prints the cost of a delivery for each.
fn fan_out(traffic: &Traffic, options: &Options) -> Result<()> {
    let mut contestants = Vec::new();
    if traffic.has_floor {
        let process = ServerProcess::start(&options::bare(traffic.clients)?)?;
        let crowd = Crowd::connect_bare(process.address, traffic.clients)?;
        contestants.push((process, crowd));
    }
    for server in &options.servers {
        let process = ServerProcess::start(server)?;
        let crowd = Crowd::join(process.address, traffic.clients)
            .map_err(|error| format!("{}: {error}", process.name))?;
        contestants.push((process, crowd));
    }

    let mut results: Vec<Rounds> = contestants
        .iter()
        .map(|(process, _)| Rounds::new(&process.name))
        .collect();
    // Round 0 warms caches and lets buffers grow; it is not counted.
    for round in 0..=options.rounds {
        for ((process, crowd), rounds) in contestants.iter_mut().zip(&mut results) {
            process.settle()?;
            let before = process.cpu()?;
            let outcome = crowd
                .carry(traffic)
                .map_err(|error| format!("{} in {}: {error}", process.name, traffic.name))?;
            process.settle()?;
            let cpu = process.cpu()?.saturating_sub(before);
            crowd.check()?;
            if round > 0 {
                rounds.add(cpu, &outcome);
            }
        }
    }
    report::print_fan_out(traffic, &results);
    Ok(())
}

/// Fills a room with silent clients, one contestant after the other, and prints the cost of a client for each.
fn idle(options: &Options) -> Result<()> {
    let mut rows = Vec::new();
    for server in &options.servers {
        let process = ServerProcess::start(server)?;
        thread::sleep(Duration::from_millis(200));
        let at_start = process.memory()?;
        let cpu_at_start = process.cpu()?;
        let mut crowd = Crowd::join(process.address, options.idle_clients)
            .map_err(|error| format!("{}: {error}", process.name))?;
        process.settle()?;
        let joining_cpu = process.cpu()?.saturating_sub(cpu_at_start);
        // Long enough for announcements that come once a second.
        crowd.rest(Duration::from_millis(2500))?;
        let full = process.memory()?;
        drop(crowd);
        thread::sleep(Duration::from_millis(1500));
        rows.push(IdleRow {
            name: process.name.clone(),
            clients: options.idle_clients,
            at_start,
            full,
            after: process.memory()?,
            joining_cpu,
        });
    }
    report::print_idle(&rows);
    Ok(())
}
