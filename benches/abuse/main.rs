//! The latency of a healthy pair of clients while others abuse the server, over real sockets.
//!
//! ```text
//! cargo bench --bench abuse                            every abuse, the server of this build
//! cargo bench --bench abuse -- slow-heads logins       some of them
//! cargo bench --bench abuse -- whispers whispers-in-rooms whispers-of-many
//! cargo bench --bench abuse -- --seconds 20            each for longer
//! cargo bench --bench abuse -- --server new=PATH --server old=PATH
//!                                                      other binaries of this server, in turns
//! ```
//!
//! Two guests chat in a room, one message every 10 ms in turns, each with an `id`. The time of a message runs from when
//! it was due until both guests have it and its sender has the acknowledgement: first without, then with the abuse. A
//! message that has not arrived after 10 s is lost. The server's metrics give the number of turns of its loop that took
//! more than 10, 50 and 250 ms: no client is served during a turn. The column CPU/wait gives the share of the time that
//! the server ran, and the share that it could have run but had no core, which lengthens its turns.
//!
//! Each abuse runs against a new server with the default limits, except that one user may have any number of connections. The abuser is a process of lower priority than the
//! pair, on the generator's core; the server has the other core. The abuses are defined in `abuses.rs`.

mod abuser;
mod abuses;
#[path = "../fan_out/frames.rs"]
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod frames;
mod pair;
#[path = "../fan_out/server_process.rs"]
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod server_process;
mod turns;
mod whispers;

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use abuser::Abuse;
use pair::{Pair, Times};
use server_process::{Memory, ServerCommand, ServerProcess};
use turns::Turns;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long the pair talks before the abuse begins.
const CALM: Duration = Duration::from_secs(2);
/// From the end of the abuse to the reading of the memory: longer than connections linger and allocators keep memory.
const REST: Duration = Duration::from_secs(4);
/// The `nice` value of the server and the pair, where the system permits a negative one.
const PREFERENCE: i32 = -10;

const HELP: &str = "\
Usage: cargo bench --bench abuse -- [OPTIONS] [ABUSE…]

  --seconds N         how long each goes on (6)
  --server NAME=PATH  a binary of the server, instead of this build's; of several, each abuse meets one after the other
";

struct Options {
    abuses: Vec<Abuse>,
    duration: Duration,
    servers: Vec<ServerCommand>,
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

/// Whether the pair lost nothing and every server survived.
fn run() -> Result<bool> {
    let mut options = Options {
        abuses: Vec::new(),
        duration: Duration::from_secs(6),
        servers: Vec::new(),
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
            Long("server") => {
                let text = arguments.value()?.string()?;
                let (name, path) = text.split_once('=').ok_or("--server takes NAME=PATH")?;
                options.servers.push(server(name, path));
            }
            Value(name) => options.abuses.push(find(&name.string()?)?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    if options.abuses.is_empty() {
        options.abuses = abuses::ALL.to_vec();
    }
    if options.servers.is_empty() {
        let path = env!("CARGO_BIN_EXE_sarang");
        options.servers.push(server("", path));
    }
    server_process::raise_open_files()?;
    server_process::pin_generator()?;
    // Only the superuser may raise the priority.
    let _ = rustix::process::setpriority_process(None, PREFERENCE);
    print_head();
    let mut is_unhurt = true;
    for abuse in &options.abuses {
        for server in &options.servers {
            is_unhurt &= measure(*abuse, server, options.duration)?;
        }
    }
    Ok(is_unhurt)
}

fn server(name: &str, path: &str) -> ServerCommand {
    ServerCommand {
        name: name.to_owned(),
        program: path.to_owned(),
        arguments: ["--listen", "127.0.0.1:0"].map(str::to_owned).to_vec(),
    }
}

fn find(name: &str) -> Result<Abuse> {
    let found = abuses::ALL.into_iter().find(|abuse| abuse.name == name);
    found.ok_or_else(|| format!("there is no abuse {name:?}; see --help").into())
}

/// The abusing process, killed when it is dropped.
struct Abuser {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Abuser {
    fn start(abuse: Abuse, address: SocketAddr) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--abuser", abuse.name, &address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut abuser = Self {
            child,
            stdin,
            stdout,
        };
        match abuser.line()?.as_str() {
            abuser::READY => Ok(abuser),
            _ => Err("the abuser has not begun".into()),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Stops it, and returns its count.
    fn stop(mut self) -> Result<String> {
        writeln!(self.stdin)?;
        self.line()
    }
}

impl Drop for Abuser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs one abuse against one server, and prints a line. Whether the pair lost nothing and the server is alive.
fn measure(abuse: Abuse, command: &ServerCommand, duration: Duration) -> Result<bool> {
    let server = ServerProcess::start(command)?;
    let name = [abuse.name, &command.name].join(" ");
    let name = name.trim_end();
    let mut pair = Pair::enter(server.address)?;
    let calm = pair.talk(CALM)?;
    let before = server.memory()?;
    let abuser = Abuser::start(abuse, server.address)?;
    let turns = Turns::read(server.address)?;
    let earlier = (server.cpu()?, server.waited()?);
    let started = Instant::now();
    let times = pair.talk(duration)?;
    // Read while the abuser still runs.
    let peak = server.memory();
    let shares = shares(&server, earlier, started);
    let turns = Turns::read(server.address).map(|all| all.since(&turns));
    let count = abuser.stop()?;
    thread::sleep(REST);
    let after = server.memory();
    let (Ok(peak), Ok(after)) = (peak, after) else {
        println!("{name:<24} the server has died");
        return Ok(false);
    };
    // The pair, and a new connection.
    let later = pair.talk(CALM / 4)?;
    let is_alive = abuser::is_alive(server.address);
    print_row(
        name,
        [&calm, &times],
        shares,
        [before, peak, after],
        turns.map_or_else(|_| "?".into(), |turns| turns.to_string()),
        &count,
    );
    for end in times.ends.iter().chain(&later.ends) {
        println!("    the pair: {end}");
    }
    if !is_alive {
        println!("    a new connection is not served");
    }
    Ok(is_alive && times.lost + later.lost == 0 && later.ends.is_empty())
}

/// How much of the time since then the server ran, and how much it could have run and had no core.
fn shares(server: &ServerProcess, earlier: (Duration, Duration), since: Instant) -> [f64; 2] {
    let (Ok(cpu), Ok(waited)) = (server.cpu(), server.waited()) else {
        return [0.0; 2];
    };
    let ran = [
        cpu.saturating_sub(earlier.0),
        waited.saturating_sub(earlier.1),
    ];
    ran.map(|time| time.as_secs_f64() / since.elapsed().as_secs_f64())
}

fn print_head() {
    println!(
        "{:<24} {:>16} {:>25} {:>5} {:>8} {:>20} {:>26}  what the abuser did",
        "",
        "calm p50/p99",
        "abused p50/p99/max ms",
        "lost",
        "CPU/wait",
        "MiB before/max/after",
        "turns, over 10/50/250 ms"
    );
}

fn print_row(
    name: &str,
    times: [&Times; 2],
    shares: [f64; 2],
    memory: [Memory; 3],
    turns: String,
    count: &str,
) {
    let ms = |times: &Times, share| format!("{:.2}", times.at(share).as_secs_f64() * 1e3);
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    let [calm, abused] = times;
    let [before, peak, after] = memory;
    println!(
        "{name:<24} {:>16} {:>25} {:>5} {:>8} {:>20} {turns:>26}  {count}",
        [ms(calm, 0.5), ms(calm, 0.99)].join("/"),
        [ms(abused, 0.5), ms(abused, 0.99), ms(abused, 1.0)].join("/"),
        abused.lost,
        shares
            .map(|share| format!("{:.0}%", share * 100.0))
            .join("/"),
        [mib(before.bytes), mib(peak.peak_bytes), mib(after.bytes)].join("/"),
    );
}
