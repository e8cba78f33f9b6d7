//! A chat client: a WebSocket client of the tungstenite crate with the JSON of SPEC section 3.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::time::Instant;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use super::{PATIENCE, Server, described, host_of, percent_encoded};

pub struct Chatter {
    pub socket: WebSocket<Restarted>,
}

/// A stream that retries a read after a debugger or job control has stopped the process: the system does not restart a
/// read with a timeout, and tungstenite gives up a handshake over it.
pub struct Restarted(TcpStream);

impl Deref for Restarted {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.0
    }
}

impl Read for Restarted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Write for Restarted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Chatter {
    /// A guest that has been welcomed.
    pub fn guest(server: &Server, name: &str) -> Self {
        let target = format!("/ws?username={}", percent_encoded(name));
        let mut chatter = Self::open(server, &target, &[]);
        let welcome = chatter.expect("welcome");
        assert_eq!(welcome["username"], name);
        chatter
    }

    /// A guest, unless the server refuses the connection.
    pub fn try_guest(server: &Server, name: &str) -> Option<Self> {
        let request = format!(
            "ws://{}/ws?username={}",
            server.address,
            percent_encoded(name)
        );
        let stream = TcpStream::connect(server.address).ok()?;
        let (socket, _) = tungstenite::client(request, Restarted(stream)).ok()?;
        Some(Self { socket })
    }

    /// Any target; the opening handshake must succeed.
    pub fn open(server: &Server, target: &str, fields: &[(&'static str, &str)]) -> Self {
        Self::over(server.connect_stream(), target, fields)
    }

    pub fn over(stream: TcpStream, target: &str, fields: &[(&'static str, &str)]) -> Self {
        let host = host_of(&stream);
        let mut request = format!("ws://{host}{target}")
            .into_client_request()
            .expect("a target that tungstenite accepts");
        for (name, value) in fields {
            request
                .headers_mut()
                .insert(*name, value.parse().expect("a field value"));
        }
        // Some tests read what a server may legitimately send in one message.
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let (socket, _) =
            tungstenite::client::client_with_config(request, Restarted(stream), Some(config))
                .unwrap_or_else(|error| panic!("no opening handshake with {target}: {error}"));
        Self { socket }
    }

    pub fn send(&mut self, message: Value) {
        self.send_text(&message.to_string());
    }

    /// Sends a command that the server takes.
    fn command(&mut self, message: Value) {
        described::assert_command(&message);
        self.send(message);
    }

    pub fn send_text(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .expect("the server takes the message");
    }

    /// The next message of any type.
    pub fn receive(&mut self) -> Value {
        match self.read() {
            Ok(Message::Text(text)) => {
                let message: Value = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("not JSON ({error}): {text}"));
                assert!(message["type"].is_string(), "no type: {message}");
                described::assert_message(&message);
                message
            }
            Ok(other) => panic!("instead of a JSON message came {other:?}"),
            Err(error) => panic!("instead of a JSON message came {error}"),
        }
    }

    /// The next message other than a ping or pong, which keep a connection alive even if no other message ever comes.
    fn read(&mut self) -> Result<Message, Error> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let message = self.socket.read()?;
            if !matches!(message, Message::Ping(_) | Message::Pong(_)) {
                return Ok(message);
            }
            assert!(Instant::now() < patience, "nothing comes but pings");
        }
    }

    /// The very next message, which must be of this type.
    pub fn expect(&mut self, kind: &str) -> Value {
        let message = self.receive();
        assert_eq!(message["type"], kind, "unexpected: {message}");
        message
    }

    /// The next message of this type, whatever other messages come before it.
    pub fn until(&mut self, kind: &str) -> Value {
        self.until_match(|message| message["type"] == kind)
    }

    /// The next message like this; an error that was not asked for fails the test.
    pub fn until_match(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.receive();
            if wanted(&message) {
                return message;
            }
            assert_ne!(message["type"], "error", "unexpected: {message}");
        }
    }

    /// The very next message must be this error, in Korean.
    pub fn expect_error(&mut self, code: &str) -> Value {
        let error = self.expect("error");
        assert_eq!(error["code"], code, "unexpected: {error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(
            message.chars().any(|c| ('가'..='힣').contains(&c)),
            "the message is not Korean: {error}"
        );
        error
    }

    /// Sends a request that is refused with this code.
    pub fn refused(&mut self, request: Value, code: &str) -> Value {
        self.send(request);
        self.expect_error(code)
    }

    pub fn join(&mut self, room: &str) -> Value {
        self.command(json!({"type": "join", "room": room}));
        let joined = self.until("room_joined");
        assert_eq!(joined["room"], room);
        joined
    }

    /// Joins again after the last `position` seen.
    pub fn resume(&mut self, room: &str, since: &Value) -> Value {
        self.command(json!({"type": "join", "room": room, "since": since}));
        self.until("room_joined")
    }

    pub fn leave(&mut self, room: &str) {
        self.command(json!({"type": "leave", "room": room}));
        let left = self.until("room_left");
        assert_eq!(left["room"], room);
    }

    /// Sends a chat message and returns it as it came back.
    pub fn say(&mut self, room: &str, content: &str) -> Value {
        let message = json!({"type": "chat", "room": room, "content": content});
        // `--content-chars` may allow for more than is described.
        if content.len() <= 4096 {
            described::assert_command(&message);
        }
        self.send(message);
        self.until_match(|message| message["type"] == "chat" && message["content"] == content)
    }

    /// The messages before the answer to a request sent now: proves that no other message was sent before.
    pub fn news(&mut self) -> Vec<Value> {
        self.command(json!({"type": "room_list"}));
        let mut news = Vec::new();
        loop {
            let message = self.receive();
            if message["type"] == "room_list" {
                return news;
            }
            news.push(message);
        }
    }

    /// Fails if anything has come that was not read.
    pub fn expect_no_news(&mut self) {
        let news = self.news();
        assert!(news.is_empty(), "unexpected: {news:?}");
    }

    /// Reads on to the close frame: its code and reason.
    pub fn close_frame(&mut self) -> (u16, String) {
        loop {
            match self.read() {
                Ok(Message::Close(Some(frame))) => {
                    let code = frame.code.into();
                    described::assert_close_code(code);
                    return (code, frame.reason.to_string());
                }
                Ok(Message::Close(None)) => panic!("a close frame without a code"),
                Ok(_) => {}
                Err(error) => panic!("instead of a close frame came {error}"),
            }
        }
    }

    /// The closing handshake as a well-behaved client does it.
    pub fn close(mut self) {
        self.socket.close(None).expect("a close frame goes out");
        loop {
            match self.socket.read() {
                Ok(_) => {}
                Err(Error::ConnectionClosed) => return,
                Err(error) => panic!("the closing handshake ended with {error}"),
            }
        }
    }

    /// Sends a TCP reset.
    pub fn reset(self) {
        let stream = self.socket.get_ref().try_clone().expect("a second handle");
        drop(self.socket);
        super::http::reset(stream);
    }

    /// Ends only the client's half of the connection.
    pub fn half_close(&self) {
        self.socket
            .get_ref()
            .shutdown(Shutdown::Write)
            .expect("the writing half closes");
    }
}

/// The two parts of `EPOCH:SEQ`.
pub fn position_parts(position: &Value) -> (String, u64) {
    let text = position.as_str().unwrap_or_default();
    let (epoch, sequence) = text
        .split_once(':')
        .unwrap_or_else(|| panic!("not EPOCH:SEQ: {position}"));
    let sequence = sequence
        .parse()
        .unwrap_or_else(|_| panic!("not EPOCH:SEQ: {position}"));
    (epoch.to_owned(), sequence)
}

/// The contents of an array of chat messages.
pub fn contents(history: &Value) -> Vec<&str> {
    history
        .as_array()
        .unwrap_or_else(|| panic!("not a list of messages: {history}"))
        .iter()
        .map(|message| message["content"].as_str().expect("a message has content"))
        .collect()
}

/// The names of `online_users`, sorted.
pub fn names(list: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = list
        .as_array()
        .unwrap_or_else(|| panic!("not a list of names: {list}"))
        .iter()
        .map(|name| name.as_str().expect("a name is a string"))
        .collect();
    names.sort_unstable();
    names
}
