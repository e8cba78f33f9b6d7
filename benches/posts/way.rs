//! The ways to say something in a room.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use crate::Result;
use crate::frames::{Frame, TEXT, push_client_frame};

/// Messages under way.
pub const WINDOW: usize = 64;
/// Their length.
const CONTENT_BYTES: usize = 100;
const ANSWER_START: &[u8] = b"HTTP/1.1 201 ";

/// A way to say something.
pub trait Way {
    /// Sends [`WINDOW`] messages at once, and waits until each is acknowledged.
    fn send_window(&mut self) -> Result<()>;
}

/// A member of a room, who has joined it.
fn enter(address: SocketAddr, room: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    write!(
        stream,
        "GET /ws?username=u-{room} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )?;
    let mut frame = Vec::new();
    let join = format!(r#"{{"type":"join","room":"{room}"}}"#);
    push_client_frame(&mut frame, TEXT, join.as_bytes());
    stream.write_all(&frame)?;
    let mut read = Vec::new();
    while !contains(&read, b"room_joined") {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => return Err("the server does not let a member in".into()),
            count => read.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(stream)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Chats over one WebSocket.
pub struct Talking {
    stream: TcpStream,
    sent: usize,
    unread: Vec<u8>,
}

impl Talking {
    pub fn new(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            stream: enter(address, "talk")?,
            sent: 0,
            unread: Vec::new(),
        })
    }
}

impl Way for Talking {
    fn send_window(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        for _ in 0..WINDOW {
            self.sent += 1;
            let content = "x".repeat(CONTENT_BYTES);
            let chat = format!(
                r#"{{"type":"chat","room":"talk","content":"{content}","id":"m{}"}}"#,
                self.sent
            );
            push_client_frame(&mut bytes, TEXT, chat.as_bytes());
        }
        self.stream.write_all(&bytes)?;
        // Of each message its author gets the chat and the acknowledgement.
        let (mut acks, mut chats) = (0, 0);
        let mut chunk = [0; 64 * 1024];
        while acks < WINDOW || chats < WINDOW {
            match self.stream.read(&mut chunk)? {
                0 => return Err("the server has closed the WebSocket".into()),
                count => self.unread.extend_from_slice(&chunk[..count]),
            }
            let mut rest = &self.unread[..];
            while let Some(frame) = Frame::first(rest) {
                rest = &rest[frame.bytes.len()..];
                match frame.payload {
                    payload if payload.starts_with(br#"{"type":"ack""#) => acks += 1,
                    payload if payload.starts_with(br#"{"type":"chat""#) => chats += 1,
                    payload => return Err(String::from_utf8_lossy(payload).into()),
                }
            }
            let taken = self.unread.len() - rest.len();
            self.unread.drain(..taken);
        }
        Ok(())
    }
}

/// Requests over one connection, with a member in the room who reads.
pub struct Posting {
    stream: TcpStream,
    head: String,
    sent: usize,
}

impl Posting {
    pub fn new(address: SocketAddr, bearer: &str, room: &str) -> Result<Self> {
        let mut member = enter(address, room)?;
        thread::spawn(move || {
            let mut chunk = [0; 64 * 1024];
            while member.read(&mut chunk).is_ok_and(|count| count > 0) {}
        });
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /rooms/{room}/messages HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {bearer}\r\n\
             Content-Type: application/json\r\n"
        );
        Ok(Self {
            stream,
            head,
            sent: 0,
        })
    }
}

impl Way for Posting {
    fn send_window(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        for _ in 0..WINDOW {
            self.sent += 1;
            let content = "x".repeat(CONTENT_BYTES);
            let body = format!(r#"{{"content":"{content}","id":"m{}"}}"#, self.sent);
            write!(
                bytes,
                "{}Content-Length: {}\r\n\r\n{body}",
                self.head,
                body.len()
            )?;
        }
        self.stream.write_all(&bytes)?;
        let mut read = Vec::new();
        let mut chunk = [0; 64 * 1024];
        // The body of the last answer ends with a brace, and with it what is read.
        loop {
            match self.stream.read(&mut chunk)? {
                0 => return Err("the server has closed the connection".into()),
                count => read.extend_from_slice(&chunk[..count]),
            }
            let answers = read
                .windows(9)
                .filter(|start| *start == b"HTTP/1.1 ")
                .count();
            if answers == WINDOW && read.ends_with(b"}") {
                break;
            }
        }
        let kept = read
            .windows(ANSWER_START.len())
            .filter(|start| *start == ANSWER_START);
        match kept.count() {
            WINDOW => Ok(()),
            _ => Err(String::from_utf8_lossy(&read).into()),
        }
    }
}
