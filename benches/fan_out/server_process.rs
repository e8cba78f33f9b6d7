//! A server as a separate process: it is started, pinned to a core, and its CPU time and memory are read.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Result;

/// How to start a server.
pub struct ServerCommand {
    pub name: String,
    pub program: String,
    pub arguments: Vec<String>,
}

pub struct ServerProcess {
    pub name: String,
    pub address: SocketAddr,
    child: Child,
}

/// Resident memory.
#[derive(Clone, Copy)]
pub struct Memory {
    pub bytes: u64,
    /// The part that is not mapped from a file, so without the program itself.
    pub anonymous_bytes: u64,
    /// The peak.
    #[allow(dead_code, reason = "not every benchmark shows it")]
    pub peak_bytes: u64,
}

impl ServerProcess {
    /// Starts a server on the servers' core, and waits until it prints its address.
    pub fn start(command: &ServerCommand) -> Result<Self> {
        // A child inherits the core, so that none of its threads ever runs elsewhere.
        pin(Role::Server)?;
        let child = Command::new(&command.program)
            .args(&command.arguments)
            // A variable, not an option: binaries of before this limit do not know it.
            .env("SARANG_CONNECTIONS_PER_USER", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        pin(Role::Generator)?;
        let mut process = Self {
            name: command.name.clone(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            child: child.map_err(|error| format!("{}: {error}", command.program))?,
        };
        process.address = process.listening()?;
        Ok(process)
    }

    /// CPU time of all threads, in user and kernel mode, to the nanosecond.
    pub fn cpu(&self) -> Result<Duration> {
        self.schedstat(0)
    }

    /// How long its threads could have run and had no core, because something else did.
    #[allow(dead_code, reason = "not every benchmark shows it")]
    pub fn waited(&self) -> Result<Duration> {
        self.schedstat(1)
    }

    /// The sum of one field of every thread's `schedstat` (proc(5)).
    fn schedstat(&self, field: usize) -> Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end at any time.
            if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
                let value = text.split(' ').nth(field).unwrap_or_default();
                nanoseconds += value.parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Waits until its CPU time no longer grows, but at most 200 ms.
    pub fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_millis(200);
        let mut last = self.cpu()?;
        while Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
            let now = self.cpu()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(())
    }

    pub fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let bytes = |field: &str| -> Result<u64> {
            let line = status.lines().find(|line| line.starts_with(field));
            let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
            let kibibytes: u64 = kibibytes.ok_or("a process without memory")?.parse()?;
            Ok(kibibytes * 1024)
        };
        Ok(Memory {
            bytes: bytes("VmRSS:")?,
            anonymous_bytes: bytes("RssAnon:")?,
            peak_bytes: bytes("VmHWM:")?,
        })
    }

    fn listening(&mut self) -> Result<SocketAddr> {
        let stdout = self.child.stdout.take().ok_or("a server without stdout")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        loop {
            line.clear();
            if stdout.read_line(&mut line)? == 0 {
                return Err(format!("{} ended without listening", self.name).into());
            }
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                // Later output must not fill the pipe.
                thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
                return Ok(address.parse()?);
            }
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Raises the limit of descriptors of this process, and of the servers it starts, to the hard limit.
pub fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    Ok(())
}

/// Moves the generator to its own core.
pub fn pin_generator() -> Result<()> {
    if !pin(Role::Generator)? {
        eprintln!("one core only; the figures will be noisy");
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Role {
    Server,
    Generator,
}

/// The first two cores this process was allowed when it started.
static CORES: LazyLock<Option<[usize; 2]>> = LazyLock::new(|| {
    let allowed = sched_getaffinity(None).ok()?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    Some([cores.next()?, cores.next()?])
});

/// Moves this thread to the core of a role. False if there is only one core.
fn pin(role: Role) -> Result<bool> {
    let Some(cores) = *CORES else {
        return Ok(false);
    };
    let mut set = CpuSet::new();
    set.set(cores[role as usize]);
    sched_setaffinity(None, &set)?;
    Ok(true)
}
