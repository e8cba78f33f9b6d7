//! Starts the real binary and talks to it as any client would: raw HTTP here, chat in `chatter`, hand-made frames in
//! `frames`, tokens of another back end in `token` and `backend`. What is received is compared with `described`.

pub mod backend;
pub mod chatter;
pub mod described;
pub mod frames;
pub mod http;
pub mod subscriber;
pub mod token;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Pid, Signal, kill_process};

pub use chatter::Chatter;
pub use http::{Http, Response};

/// Not a threshold of any test: after this time, an expected answer will never come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running `sarang`, killed when the test ends.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
    pub address: SocketAddr,
}

/// The binary without the caller's `SARANG_` variables.
pub fn sarang() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sarang"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SARANG_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

impl Server {
    /// Starts on a free port of the loopback with more options. Unless these say so, there is no room at the start.
    pub fn start(options: &[&str]) -> Self {
        let mut command = sarang();
        command.args(["--listen", "127.0.0.1:0"]).args(options);
        if !options.contains(&"--lobby") {
            command.args(["--lobby", ""]);
        }
        Self::spawn(command)
    }

    /// Starts any command line and waits for the line with its address.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_with(command, Stdio::piped())
    }

    /// The same with a stderr that the caller gives.
    pub fn spawn_with(command: Command, stderr: Stdio) -> Self {
        let mut server = Self::launch(command, stderr);
        server.address = loop {
            if let Some(address) = server.announced().strip_prefix("http://") {
                break address.parse().expect("ADDR:PORT");
            }
        };
        server
    }

    /// Starts a command line that listens on so many sockets, and waits for the lines that name them: what stands there
    /// behind `listening on `.
    pub fn spawn_at(command: Command, count: usize) -> (Self, Vec<String>) {
        let mut server = Self::launch(command, Stdio::piped());
        let all: Vec<String> = (0..count).map(|_| server.announced()).collect();
        let mut pages = all.iter().filter_map(|at| at.strip_prefix("http://"));
        if let Some(address) = pages.next() {
            server.address = address.parse().expect("ADDR:PORT");
        }
        (server, all)
    }

    fn launch(mut command: Command, stderr: Stdio) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the binary starts");
        // The command holds the caller's stderr open, and a reader would wait for its end.
        drop(command);
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let stderr = child.stderr.take();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = stderr.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        Self {
            child,
            lines,
            errors: Some(errors),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    /// What the next line about an address says.
    fn announced(&self) -> String {
        loop {
            let line = self.line();
            if let Some(address) = line.strip_prefix("listening on ") {
                return address.to_owned();
            }
        }
    }

    /// The next line of stdout.
    pub fn line(&self) -> String {
        self.lines
            .recv_timeout(PATIENCE)
            .expect("the server says where it listens")
    }

    /// A connection that nothing has been sent on.
    pub fn connect(&self) -> Http {
        Http::new(self.connect_stream())
    }

    pub fn connect_stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server accepts a connection");
        stream.set_nodelay(true).expect("nodelay");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        stream
    }

    /// The value for `Host`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// One request on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }

    /// One JSON request on a connection of its own.
    pub fn post(&self, target: &str, body: &str) -> Response {
        self.connect().post(target, body)
    }

    /// A guest that has been welcomed.
    pub fn guest(&self, name: &str) -> Chatter {
        Chatter::guest(self, name)
    }

    /// A guest that is in a room.
    pub fn member(&self, name: &str, room: &str) -> Chatter {
        let mut chatter = self.guest(name);
        chatter.join(room);
        chatter
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server is there");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The resident memory of the process.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("the server is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .expect("a line VmRSS in /proc/PID/status")
    }

    /// How many descriptors the process has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .expect("the server is there")
            .count()
    }

    /// Stops the server and returns its stderr.
    pub fn stop(&mut self) -> String {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("the exit status of the server");
        self.errors()
    }

    /// The stderr of a server that has ended.
    pub fn errors(&mut self) -> String {
        let errors = self.errors.take().expect("nobody has asked before");
        errors.join().expect("what stderr was")
    }

    /// Waits for the end of the process: its stdout ends with it.
    pub fn exit_within(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return self.child.wait().expect("the exit status of the server");
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the server still runs {patience:?} after it was told to stop")
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let errors = self.errors.take().and_then(|thread| thread.join().ok());
        if thread::panicking() {
            eprintln!("stderr of the server:\n{}", errors.unwrap_or_default());
        }
    }
}

/// A connection to a unix socket, with the type of the others.
pub fn unix_stream(path: &Path) -> TcpStream {
    let stream = UnixStream::connect(path).expect("the server accepts a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    OwnedFd::from(stream).into()
}

/// What a client calls the server at the other end.
pub fn host_of(stream: &TcpStream) -> String {
    let peer = stream.peer_addr();
    // A unix socket has no such address.
    peer.map_or("unix.example".to_owned(), |address| address.to_string())
}

/// A connection that accepts only a little before the test reads from it.
pub fn narrow(address: SocketAddr) -> TcpStream {
    let small = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    set_socket_recv_buffer_size(&small, 4096).expect("SO_RCVBUF");
    connect(&small, &address).expect("the server accepts a connection");
    TcpStream::from(small)
}

/// A connection from another address of the loopback.
pub fn stream_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from((source, 0))).expect("an address of this machine");
    connect(&socket, &address).expect("the server accepts a connection");
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    stream
}

/// A lock for tests with hundreds of connections, one test at a time: two such tests at once need more descriptors than
/// a process usually may open.
pub fn crowd() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::new(());
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every byte as %XX: any text in any part of a target.
pub fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Fails with all rows of a table that went wrong, not only the first.
pub fn assert_no_failures(failures: &[String]) {
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
