//! Every stage of a connection at which its client can fail.

use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::pair::ROOM;
use crate::support::frames::{CLOSE, CONTINUATION, FIN, TEXT, close, frame, opening, text};
use crate::support::http::{JSON, post_head};
use crate::support::{Http, PATIENCE, narrow};

/// A room with a history that is longer than what socket buffers hold.
pub const LONG_ROOM: &str = "long";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Connected, and nothing sent.
    Accepted,
    /// Within the head of a request.
    Head,
    /// Within its body.
    Body,
    /// A password is being checked.
    Login,
    /// Within answers that are not read.
    Answers,
    /// Within an event of a stream.
    Event,
    /// Within the opening handshake.
    Opening,
    /// In a room, within the header of a frame.
    FrameHeader,
    /// The same, within the payload.
    FramePayload,
    /// The same, between two fragments, and within a character.
    Fragments,
    /// In a room, with chats of its own that came back and were not read.
    Chats,
    /// Within the answer to a join.
    JoinAnswer,
    /// Within its own close frame.
    CloseFrame,
    /// Its close frame is sent, the answer not read.
    Closing,
    /// The server's close frame has come and was not answered.
    Closed,
}

use Stage::*;

impl Stage {
    pub const ALL: [Self; 15] = [
        Accepted,
        Head,
        Body,
        Login,
        Answers,
        Event,
        Opening,
        FrameHeader,
        FramePayload,
        Fragments,
        Chats,
        JoinAnswer,
        CloseFrame,
        Closing,
        Closed,
    ];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }

    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether the client is in the pair's room at this stage.
    pub fn is_member(self) -> bool {
        matches!(
            self,
            FrameHeader | FramePayload | Fragments | Chats | CloseFrame
        )
    }

    /// Brings a new connection to this stage.
    pub fn reach(self, address: SocketAddr) -> Http {
        let mut http = Http::new(match self {
            Answers | JoinAnswer => narrow(address),
            _ => TcpStream::connect(address).expect("the server accepts a connection"),
        });
        http.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        let host = http.host();
        match self {
            Accepted => {}
            Head => http.send("GET /rooms HTTP/1.1\r\nHo"),
            Body => http.send(post_head("/rooms", &host, JSON, 15) + r#"{"name":"#),
            Login => {
                let form = r#"{"username":"admin","password":"secret"}"#;
                http.send(http.post_request("/auth/login", form));
            }
            Answers => {
                let get = format!("GET /static/chat.css HTTP/1.1\r\nHost: {host}\r\n\r\n");
                http.send(get.repeat(ANSWERS));
                await_byte(&http);
            }
            Event => {
                http.send(format!("GET /sse/all HTTP/1.1\r\nHost: {host}\r\n\r\n"));
                assert_eq!(http.head().status, 200);
                http.take(30);
            }
            Opening => {
                let whole = opening(&self.target(), &host, "");
                http.send(&whole[..whole.len() - 2]);
            }
            Closed => {
                http.send(opening("/ws", &host, ""));
                http.expect_upgrade();
                assert_eq!(http.frame().close_code(), Some(4001));
            }
            _ => self.reach_within_websocket(&mut http, &host),
        }
        http
    }

    fn reach_within_websocket(self, http: &mut Http, host: &str) {
        http.send(opening(&self.target(), host, ""));
        http.expect_upgrade();
        http.frame();
        if self == JoinAnswer {
            http.send(text(json!({"type": "join", "room": LONG_ROOM}).to_string()));
            return await_byte(http);
        }
        http.send(text(json!({"type": "join", "room": ROOM}).to_string()));
        http.frame();
        match self {
            FrameHeader => http.send(&long_frame()[..3]),
            FramePayload => http.send(&text(chat())[..40]),
            Fragments => http.send(frame(TEXT, &chat().as_bytes()[..cut()])),
            Chats => http.send(text(chat()).repeat(20)),
            CloseFrame => http.send(&close(1000, "")[..3]),
            Closing => http.send(close(1000, "")),
            _ => unreachable!("the stages before a WebSocket are reached elsewhere"),
        }
    }

    fn target(self) -> String {
        format!("/ws?username={}", self.name())
    }

    /// Continues from this stage as if nothing had happened, and returns the result.
    pub fn go_on(self, http: &mut Http) -> String {
        let host = http.host();
        match self {
            Accepted => http.send(format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            Head => http.send(format!("st: {host}\r\n\r\n")),
            Body => http.send(r#""went"}"#),
            Opening => {
                http.send("\r\n");
                http.expect_upgrade();
            }
            FrameHeader => http.send(&long_frame()[3..]),
            FramePayload => http.send(&text(chat())[40..]),
            Fragments => http.send(frame(FIN | CONTINUATION, &chat().as_bytes()[cut()..])),
            CloseFrame => http.send(&close(1000, "")[3..]),
            Closed => http.send_if_open(close(4001, "")),
            Login | Answers | Event | Chats | JoinAnswer | Closing => {}
        }
        match self {
            Accepted | Head | Body | Login => http.response().status.to_string(),
            Answers => {
                let all = (0..ANSWERS).all(|_| http.response().status == 200);
                (if all { "all" } else { "some" }).into()
            }
            Event => {
                let more = String::from_utf8_lossy(&http.take(200)).into_owned();
                (if more.contains("event: ") {
                    "event"
                } else {
                    "none"
                })
                .into()
            }
            Closed => http.rest().map_or("end", |_| "more").into(),
            _ => told(http, &self.name()),
        }
    }

    /// The result of [`Self::go_on`] if nothing went wrong.
    pub fn expected(self) -> &'static str {
        match self {
            Accepted | Head | Login => "200",
            Body => "201",
            Answers => "all",
            Event => "event",
            Opening => "welcome",
            FrameHeader => "bad_json",
            FramePayload | Fragments | Chats => "chat",
            JoinAnswer => "room_joined",
            CloseFrame | Closing => "1000",
            Closed => "end",
        }
    }
}

/// Requests of a client that reads no answer.
const ANSWERS: usize = 300;

/// What it sends to the room.
fn chat() -> String {
    json!({"type": "chat", "room": ROOM, "content": "반갑습니다"}).to_string()
}

/// Within the first character of its message.
fn cut() -> usize {
    chat().find('반').expect("it is in it") + 1
}

/// A frame whose length takes two more bytes of the header.
fn long_frame() -> Vec<u8> {
    frame(FIN | TEXT, vec![b'x'; 1000])
}

/// Waits until an answer has begun to come, without reading it.
fn await_byte(http: &Http) {
    let count = http.stream.peek(&mut [0]).expect("an answer begins");
    assert_eq!(count, 1);
}

/// The type, code or close code of the next frame that is not about other users.
fn told(http: &mut Http, own_name: &str) -> String {
    loop {
        let frame = http.frame();
        if let Some(code) = frame.close_code().filter(|_| frame.first == FIN | CLOSE) {
            return code.to_string();
        }
        let message: Value = serde_json::from_slice(&frame.payload).expect("a message is JSON");
        let kind = message["code"].as_str().or(message["type"].as_str());
        let is_news = message["username"] != own_name
            && matches!(kind, Some("chat" | "user_joined" | "user_left"));
        if !is_news {
            return kind.expect("a type").to_owned();
        }
    }
}
