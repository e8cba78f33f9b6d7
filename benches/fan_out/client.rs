//! One connection of the generator: opening handshake, join, and reading at low cost.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;
use serde::Deserialize;

use crate::Result;
use crate::frames::{CLOSE, Frame, PING, PONG, TEXT, push_client_frame, push_server_frame};
use crate::transcript::{self, Transcript};

/// The room of all clients.
const ROOM: &str = "r";

/// The state of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The response to the opening handshake is incomplete.
    Opening,
    /// The handshake is done, `room_joined` is awaited.
    Joining,
    /// In the room.
    Member,
}

/// The protocol of a server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// WebSocket and JSON.
    Chat,
    /// `bare`: everything written is sent to all clients.
    Bare,
}

pub struct Client {
    pub stream: TcpStream,
    pub phase: Phase,
    /// Complete messages of this round that it has read.
    pub messages_count: usize,
    number: usize,
    dialect: Dialect,
    /// The offset in the transcript up to which it has read.
    offset: usize,
    /// Bytes of an incomplete frame that are not in the transcript.
    pending: Vec<u8>,
    sent_count: u64,
}

/// The fields that determine how a message is handled.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

impl Client {
    /// Connects, and sends the opening handshake if the dialect is WebSocket.
    pub fn connect(address: SocketAddr, number: usize, dialect: Dialect) -> Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut client = Self {
            stream: TcpStream::from_std(stream),
            phase: match dialect {
                Dialect::Chat => Phase::Opening,
                Dialect::Bare => Phase::Member,
            },
            messages_count: 0,
            number,
            dialect,
            offset: 0,
            pending: Vec::new(),
            sent_count: 0,
        };
        if dialect == Dialect::Chat {
            // The key is the example of RFC 6455 section 1.3; `opened` checks for its accept value.
            let request = format!(
                "GET /ws?username=u{number} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\n"
            );
            client.write(request.as_bytes())?;
        }
        Ok(client)
    }

    /// Reads until the socket is empty, as edge-triggered readiness requires.
    pub fn read(&mut self, scratch: &mut [u8], transcript: &mut Transcript) -> Result<()> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Err(self.error("the server closed the connection")),
                Ok(count) => {
                    self.receive(&scratch[..count], transcript)?;
                    if count < scratch.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(&error.to_string())),
            }
        }
        while transcript.is_read(self.messages_count, self.offset) {
            self.messages_count += 1;
        }
        Ok(())
    }

    /// Writes the next `count` messages with one call.
    pub fn say(&mut self, count: usize) -> Result<()> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let content = transcript::content(self.number, self.sent_count);
            let content = String::from_utf8_lossy(&content);
            match self.dialect {
                Dialect::Chat => push_client_frame(
                    &mut bytes,
                    TEXT,
                    format!(r#"{{"type":"chat","room":"{ROOM}","content":"{content}"}}"#)
                        .as_bytes(),
                ),
                Dialect::Bare => push_server_frame(
                    &mut bytes,
                    format!(
                        r#"{{"type":"chat","room":"{ROOM}","username":"u{}","content":"{content}","timestamp":"2024-01-15T10:30:00Z","position":"0123456789abcdef:{}"}}"#,
                        self.number, self.sent_count
                    )
                    .as_bytes(),
                ),
            }
            self.sent_count += 1;
        }
        self.write(&bytes)
    }

    /// Goes back to the start of an empty transcript.
    pub fn start_round(&mut self) {
        self.offset = 0;
        self.messages_count = 0;
    }

    /// Shuts the connection down, so that the server sees its end.
    pub fn close(&self) {
        // An error means that the peer has closed it already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn receive(&mut self, mut chunk: &[u8], transcript: &mut Transcript) -> Result<()> {
        if self.phase == Phase::Opening {
            self.pending.extend_from_slice(chunk);
            if !self.opened()? {
                return Ok(());
            }
            chunk = &[];
        }
        // Another client may have appended the message that was pending here.
        if !self.pending.is_empty() && transcript.from(self.offset).starts_with(&self.pending) {
            self.offset += self.pending.len();
            self.pending.clear();
        }
        if self.pending.is_empty() {
            let known = transcript.from(self.offset);
            let length = known.len().min(chunk.len());
            if known[..length] == chunk[..length] {
                self.offset += length;
                chunk = &chunk[length..];
            } else {
                // Another frame lies in between. Go back to the end of the frame before it.
                let start = transcript.message_start(self.offset);
                self.pending
                    .extend_from_slice(transcript.range(start..self.offset));
                self.offset = start;
            }
        }
        if chunk.is_empty() && self.pending.is_empty() {
            return Ok(());
        }
        self.pending.extend_from_slice(chunk);
        self.walk(transcript)
    }

    /// Handles the complete frames in `pending`.
    fn walk(&mut self, transcript: &mut Transcript) -> Result<()> {
        let mut bytes = mem::take(&mut self.pending);
        let mut rest = &bytes[..];
        while let Some(frame) = Frame::first(rest) {
            rest = &rest[frame.bytes.len()..];
            if transcript.from(self.offset).starts_with(frame.bytes) {
                self.offset += frame.bytes.len();
            } else {
                self.handle(&frame, transcript)?;
            }
        }
        let taken = bytes.len() - rest.len();
        bytes.drain(..taken);
        self.pending = bytes;
        Ok(())
    }

    /// Handles a frame that is not the next one of the transcript.
    fn handle(&mut self, frame: &Frame, transcript: &mut Transcript) -> Result<()> {
        match frame.opcode {
            TEXT => {}
            PING => {
                let mut pong = Vec::new();
                push_client_frame(&mut pong, PONG, frame.payload);
                return self.write(&pong);
            }
            CLOSE => return Err(self.error("the server sent a close frame")),
            opcode => return Err(self.error(&format!("a frame with opcode {opcode} came"))),
        }
        let message: Message = serde_json::from_slice(frame.payload)?;
        match (message.kind, self.phase) {
            ("chat", Phase::Member) => {
                if self.offset < transcript.bytes_count() {
                    return Err(self.error("its next message is not the one that others had next"));
                }
                transcript.append(frame.bytes, frame.payload)?;
                self.offset += frame.bytes.len();
            }
            ("welcome", Phase::Joining) => {
                let mut join = Vec::new();
                let text = format!(r#"{{"type":"join","room":"{ROOM}"}}"#);
                push_client_frame(&mut join, TEXT, text.as_bytes());
                self.write(&join)?;
            }
            ("room_joined", Phase::Joining) => self.phase = Phase::Member,
            // Presence events are allowed at any time as a member; they are not counted.
            ("user_joined" | "user_left" | "room_users", Phase::Member) => {}
            (kind, phase) => {
                let detail = message.message.unwrap_or_default();
                return Err(self.error(&format!("{kind:?} came while {phase:?}: {detail}")));
            }
        }
        Ok(())
    }

    /// Whether the response to the handshake is complete; bytes after it stay pending.
    fn opened(&mut self) -> Result<bool> {
        let Some(end) = self.pending.windows(4).position(|end| end == b"\r\n\r\n") else {
            return Ok(false);
        };
        let head = String::from_utf8_lossy(&self.pending[..end]);
        if !head.starts_with("HTTP/1.1 101") || !head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
            return Err(self.error(&format!("refused: {head}")));
        }
        self.pending.drain(..end + 4);
        self.phase = Phase::Joining;
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.stream.write(bytes)?;
        if written < bytes.len() {
            return Err(self.error("the server does not read what it is sent"));
        }
        Ok(())
    }

    fn error(&self, what: &str) -> Box<dyn std::error::Error> {
        format!("client {}: {what}", self.number).into()
    }
}
