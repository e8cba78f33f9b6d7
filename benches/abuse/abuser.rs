//! The abusing process: runs one abuse on many connections until it is stopped.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use rustix::net::{AddressFamily, SocketType, connect as connect_socket, socket};
use serde_json::{Value, json};

use crate::Result;
use crate::frames::{Frame, TEXT, push_client_frame};

/// Its `nice` value, so that it does not delay the pair, which runs on the same core.
const NICENESS: i32 = 5;
/// The timeout of each read and write.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the abuser prints when it has begun: an abuse may take some time to prepare.
pub const READY: &str = "ready";

/// The number of abusive operations so far.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// One kind of abuse.
#[derive(Clone, Copy)]
pub struct Abuse {
    pub name: &'static str,
    /// The unit of its count.
    pub unit: &'static str,
    /// Starts it on threads of its own.
    pub start: fn(SocketAddr),
}

/// Abuses a server until a line arrives on stdin, then prints the count. It prints [`READY`] once it has begun.
pub fn run(abuse: Abuse, address: SocketAddr) {
    let _ = rustix::process::setpriority_process(None, NICENESS);
    (abuse.start)(address);
    println!("{READY}");
    let _ = io::stdin().read_line(&mut String::new());
    println!("{} {}", COUNT.load(Ordering::Relaxed), abuse.unit);
}

/// Adds to the count.
pub fn count(times: usize) {
    COUNT.fetch_add(times as u64, Ordering::Relaxed);
}

/// Repeats `act` on several threads, each with its number. After an error it is tried again.
pub fn repeat(threads: usize, act: impl Fn(usize) -> Result<()> + Copy + Send + 'static) {
    for number in 0..threads {
        thread::spawn(move || {
            loop {
                if act(number).is_err() {
                    // Out of ports, or refused: a pause keeps the generator from using its core for nothing.
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
    }
}

pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    prepared(TcpStream::connect(address)?)
}

/// A connection with a small receive buffer.
pub fn connect_narrow(address: SocketAddr) -> io::Result<TcpStream> {
    connect_with_buffer(address, 4096)
}

/// A connection with the smallest receive window possible (socket(7), `SO_RCVBUF`: the system uses its minimum).
pub fn connect_tiny(address: SocketAddr) -> io::Result<TcpStream> {
    connect_with_buffer(address, 1)
}

fn connect_with_buffer(address: SocketAddr, bytes: usize) -> io::Result<TcpStream> {
    let small = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    set_socket_recv_buffer_size(&small, bytes)?;
    connect_socket(&small, &address)?;
    prepared(small.into())
}

fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Closes a connection with a reset, which leaves no port in TIME_WAIT.
pub fn reset(stream: TcpStream) -> Result<()> {
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    Ok(())
}

/// Reads until the server closes the connection.
pub fn read_to_end(stream: &mut TcpStream) -> Result<()> {
    let mut chunk = [0; 16 * 1024];
    while stream.read(&mut chunk)? > 0 {}
    Ok(())
}

/// Reads and drops the bytes received so far; an error if the server has closed the connection.
pub fn discard(stream: &mut TcpStream) -> Result<()> {
    stream.set_nonblocking(true)?;
    let mut chunk = [0; 64 * 1024];
    let end = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break Err("the server closed the connection".into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
            Err(error) => break Err(error.into()),
        }
    };
    stream.set_nonblocking(false)?;
    end
}

pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The head of a POST with a JSON body of this length.
pub fn post(target: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

pub fn post_json(target: &str, body: &Value) -> String {
    let body = body.to_string();
    post(target, body.len()) + &body
}

pub fn opening(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// Sends a request, reads its response and returns the status.
pub fn exchange(stream: &mut TcpStream, request: &str) -> Result<u16> {
    Ok(converse(stream, request)?.0)
}

/// Sends a request, reads its response and returns the status and the content.
pub fn converse(stream: &mut TcpStream, request: &str) -> Result<(u16, String)> {
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 64 * 1024];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err("the server closed the connection".into());
        }
        bytes.extend_from_slice(&chunk[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&bytes[..end])?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(Ok(0), str::parse)?;
        if bytes.len() >= end + 4 + length {
            let status = head.get(9..12).unwrap_or_default().parse()?;
            let content = String::from_utf8(bytes.split_off(end + 4))?;
            return Ok((status, content));
        }
    }
}

/// Whether a new connection is served.
pub fn is_alive(address: SocketAddr) -> bool {
    connect(address)
        .map_err(Into::into)
        .and_then(|mut stream| exchange(&mut stream, &get("/livez")))
        .is_ok_and(|status| status == 200)
}

pub fn text(message: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_client_frame(&mut bytes, TEXT, message.to_string().as_bytes());
    bytes
}

pub fn join(room: &str) -> Vec<u8> {
    text(&json!({"type": "join", "room": room}))
}

/// A guest who has been welcomed.
pub fn guest(address: SocketAddr, name: &str) -> Result<TcpStream> {
    let stream = connect(address)?;
    await_message(stream, &opening(&format!("/ws?username={name}")), "welcome")
}

/// A guest who is in a room.
pub fn member(address: SocketAddr, name: &str, room: &str) -> Result<TcpStream> {
    enter(connect(address)?, name, room)
}

/// Makes a connection a guest who is in a room.
pub fn enter(stream: TcpStream, name: &str, room: &str) -> Result<TcpStream> {
    let mut stream = await_message(stream, &opening(&format!("/ws?username={name}")), "welcome")?;
    stream.write_all(&join(room))?;
    await_message(stream, "", "room_joined")
}

/// Sends a request and reads up to a message of this type.
pub fn await_message(mut stream: TcpStream, request: &str, kind: &str) -> Result<TcpStream> {
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 64 * 1024];
    let mut has_head = request.is_empty();
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err("the server closed the connection".into());
        }
        bytes.extend_from_slice(&chunk[..count]);
        if !has_head && let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            bytes.drain(..end + 4);
            has_head = true;
        }
        while has_head && let Some(frame) = Frame::first(&bytes) {
            let message: Value = serde_json::from_slice(frame.payload)?;
            let length = frame.bytes.len();
            bytes.drain(..length);
            if message["type"] == kind {
                return Ok(stream);
            }
        }
    }
}
