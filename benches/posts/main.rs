//! The cost of a message of a back end: the server's CPU time for `POST /rooms/{name}/messages`, beside a chat over WebSocket.
//!
//! ```text
//! cargo bench --bench posts                            the server of this build
//! cargo bench --bench posts -- --rounds 3              fewer repetitions
//! cargo bench --bench posts -- --server PATH           another binary of this server
//! ```
//!
//! Each way sends windows of 64 messages of 100 bytes with an `id`: it writes 64, and the next 64 when all are acknowledged. The
//! requests are pipelined on one connection. One member reads in the room, in each way: over WebSocket that is the sender. So
//! the aim can be read off: a request costs three times as much as a chat, or less.
//!
//! Server and generator have a core each, the ways take turns, and medians are compared (see `fan_out`).

#[path = "../fan_out/frames.rs"]
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod frames;
#[path = "../fan_out/server_process.rs"]
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod server_process;
mod way;

use std::env;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::Duration;

use server_process::{ServerCommand, ServerProcess};
use way::{Posting, Talking, Way};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Messages of one round.
const MESSAGES: usize = 64 * 400;

const KEY: &str = "the-key-of-a-back-end-in-a-benchmark-0123456789";
const SECRET: &str = "the secret of the tokens in a benchmark, long enough for HS256";

struct Options {
    rounds: usize,
    server: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("posts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = parse()?;
    server_process::pin_generator()?;
    let files = Files::new()?;
    let server = ServerProcess::start(&ServerCommand {
        name: "sarang".into(),
        program: options.server,
        arguments: files.arguments(),
    })?;
    let mut ways: [(&str, Box<dyn Way>); 3] = [
        (
            "chat over WebSocket",
            Box::new(Talking::new(server.address)?),
        ),
        (
            "POST with an API key",
            Box::new(Posting::new(server.address, KEY, "key")?),
        ),
        (
            "POST with a token",
            Box::new(Posting::new(server.address, &token(), "token")?),
        ),
    ];
    let mut costs = [const { Vec::new() }; 3];
    // The first round warms up.
    for round in 0..=options.rounds {
        for ((_, way), costs) in ways.iter_mut().zip(&mut costs) {
            let cost = measure(&server, way.as_mut())?;
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    let medians = costs.map(median);
    println!("{:<22} {:>12} {:>7}", "", "µs a message", "ratio");
    for ((name, _), cost) in ways.iter().zip(medians) {
        let ratio = cost.as_secs_f64() / medians[0].as_secs_f64();
        println!("{name:<22} {:>12.2} {ratio:>7.2}", cost.as_secs_f64() * 1e6);
    }
    Ok(())
}

/// The CPU time of the server for each message of a round.
fn measure(server: &ServerProcess, way: &mut dyn Way) -> Result<Duration> {
    server.settle()?;
    let before = server.cpu()?;
    for _ in 0..MESSAGES / way::WINDOW {
        way.send_window()?;
    }
    server.settle()?;
    Ok((server.cpu()? - before) / MESSAGES as u32)
}

fn median(mut costs: Vec<Duration>) -> Duration {
    costs.sort();
    costs[costs.len() / 2]
}

fn parse() -> Result<Options> {
    let mut options = Options {
        rounds: 7,
        server: env!("CARGO_BIN_EXE_sarang").into(),
    };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            // Cargo passes it.
            "--bench" => {}
            "--rounds" => options.rounds = value()?.parse()?,
            "--server" => options.server = value()?,
            _ => return Err(format!("what is {argument}?").into()),
        }
    }
    Ok(options)
}

/// A token of another back end, for a moderator.
fn token() -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit as _, Mac as _};

    let claims = r#"{"sub":"shop","iat":1700000000,"exp":4000000000,"admin":true}"#;
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!(
        "{}.{}",
        part(r#"{"alg":"HS256","typ":"JWT"}"#),
        part(claims)
    );
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

/// The files of the server, removed at the end.
struct Files(PathBuf);

impl Files {
    fn new() -> Result<Self> {
        let folder = env::temp_dir().join(format!("sarang-posts-{}", process::id()));
        fs::create_dir_all(&folder)?;
        let write = |name, text: String| -> Result<()> {
            // The server warns of secrets that everybody can read.
            let file = OpenOptions::new()
                .mode(0o600)
                .create_new(true)
                .write(true)
                .open(folder.join(name));
            Ok(file?.write_all(text.as_bytes())?)
        };
        write("keys", format!("shop:{KEY}\n"))?;
        write("secrets", format!("one:{SECRET}\n"))?;
        Ok(Self(folder))
    }

    fn arguments(&self) -> Vec<String> {
        let path = |name| self.0.join(name).display().to_string();
        let (keys, secrets) = (path("keys"), path("secrets"));
        let options = [
            ["--listen", "127.0.0.1:0"],
            ["--messages-per-second", "0"],
            ["--api-key-file", &keys],
            ["--secret-file", &secrets],
        ];
        let options = options.as_flattened().iter().map(|text| (*text).to_owned());
        options.chain(["--guests".to_owned()]).collect()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What is left is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
