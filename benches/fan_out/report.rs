//! The tables.

use std::time::Duration;

use crate::crowd::Outcome;
use crate::server_process::Memory;
use crate::traffic::Traffic;

/// The costs of the rounds of one contestant.
pub struct Rounds {
    name: String,
    cpu_ns: Vec<f64>,
    wall_ns: Vec<f64>,
    bytes_per_message: usize,
}

/// The costs of silent clients for one contestant.
pub struct IdleRow {
    pub name: String,
    pub clients: usize,
    pub at_start: Memory,
    pub full: Memory,
    /// After all clients have disconnected.
    pub after: Memory,
    pub joining_cpu: Duration,
}

impl Rounds {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cpu_ns: Vec::new(),
            wall_ns: Vec::new(),
            bytes_per_message: 0,
        }
    }

    pub fn add(&mut self, cpu: Duration, outcome: &Outcome) {
        let per_delivery = |time: Duration| time.as_secs_f64() * 1e9 / outcome.deliveries as f64;
        self.cpu_ns.push(per_delivery(cpu));
        self.wall_ns.push(per_delivery(outcome.wall));
        self.bytes_per_message = outcome.bytes_per_message;
    }
}

/// One line per contestant; the ratio is to the first one, round by round.
pub fn print_fan_out(traffic: &Traffic, results: &[Rounds]) {
    let Some(first) = results.first() else {
        return;
    };
    println!(
        "\n{}: {} clients, {} of them writing; CPU time of the server per delivery",
        traffic.name, traffic.clients, traffic.senders
    );
    println!(
        "  {:<14} {:>9} {:>17} {:>9} {:>9} {:>9}",
        "", "median ns", "range", "ratio", "wall ns", "bytes"
    );
    for rounds in results {
        let ratios = rounds.cpu_ns.iter().zip(&first.cpu_ns);
        println!(
            "  {:<14} {:>9.1} {:>17} {:>9.3} {:>9.1} {:>9}",
            rounds.name,
            median(rounds.cpu_ns.iter().copied()),
            range(&rounds.cpu_ns),
            median(ratios.map(|(own, first)| own / first)),
            median(rounds.wall_ns.iter().copied()),
            rounds.bytes_per_message,
        );
    }
}

pub fn print_idle(rows: &[IdleRow]) {
    println!("\nidle: clients that joined one room and are silent");
    println!(
        "  {:<14} {:>8} {:>10} {:>10} {:>10} {:>9} {:>9} {:>11}",
        "", "clients", "start KiB", "full KiB", "left KiB", "B/client", "anon B", "µs to join"
    );
    for row in rows {
        let per_client = |full: u64, start: u64| full.saturating_sub(start) / row.clients as u64;
        println!(
            "  {:<14} {:>8} {:>10} {:>10} {:>10} {:>9} {:>9} {:>11.1}",
            row.name,
            row.clients,
            row.at_start.bytes / 1024,
            row.full.bytes / 1024,
            row.after.bytes / 1024,
            per_client(row.full.bytes, row.at_start.bytes),
            per_client(row.full.anonymous_bytes, row.at_start.anonymous_bytes),
            row.joining_cpu.as_secs_f64() * 1e6 / row.clients as f64,
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn range(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    format!("{low:.1}–{high:.1}")
}
