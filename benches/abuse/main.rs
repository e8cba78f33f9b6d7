//! What a healthy pair notices while others abuse the server, over real sockets.
//!
//! ```text
//! cargo bench --bench abuse                            every abuse, the server of this build
//! cargo bench --bench abuse -- slow-heads logins       some of them
//! cargo bench --bench abuse -- --seconds 20            each for longer
//! cargo bench --bench abuse -- --server PATH           another binary of this server
//! ```
//!
//! Two guests chat in a room, one message every 10 ms in turns, each with an `id`. A message's time runs from when it was
//! due until both have it and its sender has the acknowledgement: first while it is calm, then under the abuse. A
//! message that has not come 10 s later is lost.
//!
//! Each abuse meets a server of its own, with the options nobody gave: the limits a user has. The abuser is a process
//! that gives way to the pair, on the generator's core; the server has the other one. `abuses.rs` has what each does.

mod abuser;
mod abuses;
#[path = "../fan_out/frames.rs"]
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod frames;
mod pair;
#[path = "../fan_out/server_process.rs"]
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod server_process;

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use abuser::Abuse;
use pair::{Pair, Times};
use server_process::{Memory, ServerCommand, ServerProcess};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long the pair talks before the abuse begins.
const CALM: Duration = Duration::from_secs(2);
/// How long after the abuse the memory is looked at: longer than closing connections linger, and allocators hold on.
const REST: Duration = Duration::from_secs(4);
/// How much the server and the pair are preferred to whatever else the machine does, where the system lets us.
const PREFERENCE: i32 = -10;

const HELP: &str = "\
Usage: cargo bench --bench abuse -- [OPTIONS] [ABUSE…]

  --seconds N       how long each goes on (6)
  --server PATH     another binary of the server
";

struct Options {
    abuses: Vec<Abuse>,
    duration: Duration,
    server: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("abuse: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everybody came through.
fn run() -> Result<bool> {
    let mut options = Options {
        abuses: Vec::new(),
        duration: Duration::from_secs(6),
        server: env!("CARGO_BIN_EXE_sarang").to_owned(),
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        use lexopt::prelude::{Long, Short, Value, ValueExt};
        match argument {
            Long("abuser") => {
                let name = arguments.value()?.string()?;
                let address: SocketAddr = arguments.value()?.parse()?;
                abuser::run(find(&name)?, address);
                return Ok(true);
            }
            Long("help") | Short('h') => {
                print!(
                    "{HELP}\nAbuses: {:?}\n",
                    abuses::ALL.map(|abuse| abuse.name)
                );
                return Ok(true);
            }
            // Cargo adds it to every benchmark.
            Long("bench") => {}
            Long("seconds") => options.duration = Duration::from_secs(arguments.value()?.parse()?),
            Long("server") => options.server = arguments.value()?.string()?,
            Value(name) => options.abuses.push(find(&name.string()?)?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    if options.abuses.is_empty() {
        options.abuses = abuses::ALL.to_vec();
    }
    server_process::raise_open_files()?;
    server_process::pin_generator()?;
    // Only the superuser may.
    let _ = rustix::process::setpriority_process(None, PREFERENCE);
    print_head();
    let mut is_unhurt = true;
    for abuse in &options.abuses {
        is_unhurt &= measure(*abuse, &options)?;
    }
    Ok(is_unhurt)
}

fn find(name: &str) -> Result<Abuse> {
    let found = abuses::ALL.into_iter().find(|abuse| abuse.name == name);
    found.ok_or_else(|| format!("there is no abuse {name:?}; see --help").into())
}

/// The process that abuses, killed when it is dropped.
struct Abuser {
    child: Child,
    stdin: ChildStdin,
}

impl Abuser {
    fn start(abuse: Abuse, address: SocketAddr) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--abuser", abuse.name, &address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        Ok(Self { child, stdin })
    }

    /// Ends it, and returns how often it did what it does.
    fn stop(mut self) -> Result<String> {
        writeln!(self.stdin)?;
        let stdout = self.child.stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Abuser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has one server abused, and prints a line. Whether the pair lost nothing and the server is alive.
fn measure(abuse: Abuse, options: &Options) -> Result<bool> {
    let server = ServerProcess::start(&ServerCommand {
        name: "sarang".into(),
        program: options.server.clone(),
        arguments: ["--listen", "127.0.0.1:0"].map(str::to_owned).to_vec(),
    })?;
    let mut pair = Pair::enter(server.address)?;
    let calm = pair.talk(CALM)?;
    let before = server.memory()?;
    let cpu = server.cpu()?;
    let abuser = Abuser::start(abuse, server.address)?;
    let started = Instant::now();
    let times = pair.talk(options.duration)?;
    // While the abuser is still there.
    let peak = server.memory();
    let share = match server.cpu() {
        Ok(now) => now.saturating_sub(cpu).as_secs_f64() / started.elapsed().as_secs_f64(),
        Err(_) => 0.0,
    };
    let count = abuser.stop()?;
    thread::sleep(REST);
    let after = server.memory();
    let (Ok(peak), Ok(after)) = (peak, after) else {
        println!("{:<20} the server has died", abuse.name);
        return Ok(false);
    };
    // The pair, and somebody new.
    let later = pair.talk(CALM / 4)?;
    let is_alive = abuser::is_alive(server.address);
    print_row(
        abuse.name,
        [&calm, &times],
        share,
        [before, peak, after],
        &count,
    );
    for end in times.ends.iter().chain(&later.ends) {
        println!("    the pair: {end}");
    }
    if !is_alive {
        println!("    nobody new is served");
    }
    Ok(is_alive && times.lost + later.lost == 0 && later.ends.is_empty())
}

fn print_head() {
    println!(
        "{:<20} {:>16} {:>25} {:>5} {:>5} {:>20}  what the abuser did",
        "", "calm p50/p99", "abused p50/p99/max ms", "lost", "CPU", "MiB before/max/after"
    );
}

fn print_row(name: &str, times: [&Times; 2], share: f64, memory: [Memory; 3], count: &str) {
    let ms = |times: &Times, share| format!("{:.2}", times.at(share).as_secs_f64() * 1e3);
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    let [calm, abused] = times;
    let [before, peak, after] = memory;
    println!(
        "{name:<20} {:>16} {:>25} {:>5} {:>4.0}% {:>20}  {count}",
        [ms(calm, 0.5), ms(calm, 0.99)].join("/"),
        [ms(abused, 0.5), ms(abused, 0.99), ms(abused, 1.0)].join("/"),
        abused.lost,
        share * 100.0,
        [mib(before.bytes), mib(peak.peak_bytes), mib(after.bytes)].join("/"),
    );
}
