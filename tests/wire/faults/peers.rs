//! Clients that are processes of their own, so that they can be killed and stopped: this test's executable once more.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::pair::ROOM;
use super::stages::Stage;
use super::until;
use crate::support::chatter::position_parts;
use crate::support::frames::{CLOSE, FIN, opening, text};
use crate::support::{Http, Server};

/// Marks each line of a peer among those of the test harness.
const MARK: &str = "peer: ";
const TASK: &str = "FAULTS_TASK";
const ADDRESS: &str = "FAULTS_ADDRESS";
/// The test that runs as a peer's process.
const PEER: &str = "faults::the_process_of_a_peer";

/// A client in a process of its own, killed when the test ends.
pub struct Peer {
    child: Child,
    orders: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a client and waits until it has reached a stage.
    pub fn at(server: &Server, stage: Stage) -> Self {
        Self::with_task(server, &stage.name())
    }

    /// A member of the room that reads nothing until it is told to.
    pub fn reader(server: &Server, name: &str) -> Self {
        Self::with_task(server, &format!("read {name}"))
    }

    /// A member of the room that sends messages without end.
    pub fn talker(server: &Server, name: &str) -> Self {
        Self::with_task(server, &format!("talk {name}"))
    }

    fn with_task(server: &Server, task: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this executable"))
            .args(["--ignored", "--exact", "--nocapture", PEER])
            .env(TASK, task)
            .env(ADDRESS, server.host())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this executable starts");
        let orders = child.stdin.take().expect("stdin is a pipe");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let mut peer = Self {
            child,
            orders,
            lines: BufReader::new(stdout),
        };
        assert_eq!(peer.line(), "there", "{task}");
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let count = self.lines.read_line(&mut line).expect("a line in UTF-8");
            assert!(count > 0, "the client has ended without a word");
            if let Some(word) = line.trim_end().strip_prefix(MARK) {
                return word.to_owned();
            }
        }
    }

    /// Ends the process at once; the system closes its connection.
    pub fn kill(mut self) {
        self.child.kill().expect("the client is there");
        self.child.wait().expect("the client has ended");
    }

    /// Stops the process, and waits until it is.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let path = format!("/proc/{}/stat", self.child.id());
        until("the client is stopped", || {
            let stat = fs::read_to_string(&path).expect("the client is there");
            // After the name, which is in parentheses.
            stat.rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('T'))
        });
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the client is there");
    }

    /// Lets it go on from its stage, and returns the result.
    pub fn go_on(&mut self) -> String {
        self.order("go on")
    }

    /// Lets it read to the end of its connection, and returns how the connection ended.
    pub fn read_to_the_end(&mut self) -> String {
        self.order("read")
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("the client reads");
        self.line()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a peer's process.
pub fn be_a_peer() {
    let task = std::env::var(TASK).expect("other tests start this one, as a client");
    let address = std::env::var(ADDRESS).expect("an address");
    let address: SocketAddr = address.parse().expect("an address");
    match task.split_once(' ') {
        Some(("talk", name)) => talk(address, name),
        Some(("read", name)) => {
            let mut http = member(address, name);
            tell("there");
            if order() == "read" {
                tell(&read_flood(&mut http));
            }
        }
        _ => {
            let stage = Stage::named(&task).expect("a stage");
            let mut http = stage.reach(address);
            tell("there");
            match &*order() {
                "go on" => tell(&stage.go_on(&mut http)),
                "read" => tell(&read_rest(&mut http)),
                // The test has ended.
                _ => {}
            }
        }
    }
}

fn tell(word: &str) {
    // The harness may have begun a line already.
    println!("\n{MARK}{word}");
}

fn order() -> String {
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    line.trim_end().to_owned()
}

fn member(address: SocketAddr, name: &str) -> Http {
    let stream = std::net::TcpStream::connect(address).expect("the server accepts a connection");
    let mut http = Http::new(stream);
    let host = address.to_string();
    http.send(opening(&format!("/ws?username={name}"), &host, ""));
    http.expect_upgrade();
    http.frame();
    http.send(text(json!({"type": "join", "room": ROOM}).to_string()));
    http.frame();
    http
}

fn talk(address: SocketAddr, name: &str) {
    let mut http = member(address, name);
    tell("there");
    let chat = text(json!({"type": "chat", "room": ROOM, "content": "x".repeat(500)}).to_string());
    loop {
        http.send(&chat);
        while message(&http.frame().payload)["username"] != name {}
    }
}

fn message(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("a message is JSON")
}

/// Reads the frames of a flood: `4008` if that is the close code after chats without a hole, `end` if there is none.
fn read_flood(http: &mut Http) -> String {
    let bytes = http.rest().unwrap_or_default();
    let mut left = &bytes[..];
    let mut last = None;
    while let Some((first, payload, rest)) = split_frame(left) {
        left = rest;
        if let (true, [high, low, ..]) = (first == FIN | CLOSE, payload) {
            return u16::from_be_bytes([*high, *low]).to_string();
        }
        let news = message(payload);
        if news["type"] == "chat" {
            let sequence = position_parts(&news["position"]).1;
            assert!(last.is_none_or(|last| last + 1 == sequence), "a hole");
            last = Some(sequence);
        }
    }
    assert!(last.is_some(), "the flood did not come here");
    "end".into()
}

/// The first byte of the first frame, its payload, and what follows; `None` when it is not whole.
fn split_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, length) = match *bytes {
        [_, 126, high, low, ..] => (4, u16::from_be_bytes([high, low]).into()),
        [_, length @ 0..126, ..] => (2, usize::from(length)),
        _ => return None,
    };
    let payload = bytes.get(header..header + length)?;
    Some((bytes[0], payload, &bytes[header + length..]))
}

/// How a connection ended: with `408`, with a close code, or silently.
fn read_rest(http: &mut Http) -> String {
    let rest = http.rest().unwrap_or_default();
    if rest.windows(13).any(|bytes| bytes == b"HTTP/1.1 408 ") {
        return "408".into();
    }
    // An empty reason: the close frame is the last four bytes.
    match rest.last_chunk() {
        Some([first, 2, high, low]) if *first == FIN | CLOSE => {
            u16::from_be_bytes([*high, *low]).to_string()
        }
        _ => "end".into(),
    }
}
