//! Two clients that chat, one message every 10 ms in turns, and measure the latency of each message.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::Result;
use crate::frames::{CLOSE, Frame, PING, PONG, TEXT, push_client_frame};

/// The room of the pair.
pub const ROOM: &str = "pair";
/// The time between two messages.
const EVERY: Duration = Duration::from_millis(10);
/// A message that has not arrived this long after the last one was sent is lost.
const GRACE: Duration = Duration::from_secs(10);

struct Talker {
    stream: TcpStream,
    unsent: Vec<u8>,
    unread: Vec<u8>,
    /// The sequence number of the last chat.
    last: Option<u64>,
    /// Why the connection ended, if it did.
    end: Option<String>,
}

pub struct Pair {
    poll: Poll,
    talkers: [Talker; 2],
    sent: u64,
    /// The messages under way: when each was due, and how many of two chats and one acknowledgement are missing.
    under_way: BTreeMap<u64, (Instant, u8)>,
}

/// The result of a conversation.
#[derive(Default)]
pub struct Times {
    sorted: Vec<Duration>,
    pub lost: usize,
    pub ends: Vec<String>,
}

impl Times {
    /// The quantile of the latencies: this share of the messages was complete within the time returned.
    pub fn at(&self, share: f64) -> Duration {
        let index = (self.sorted.len() as f64 * share) as usize;
        let last = self.sorted.len().saturating_sub(1);
        self.sorted
            .get(index.min(last))
            .copied()
            .unwrap_or_default()
    }
}

impl Talker {
    fn write(&mut self) {
        while !self.unsent.is_empty() && self.end.is_none() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.end = Some(error.to_string()),
            }
        }
    }

    fn send(&mut self, message: &Value) {
        push_client_frame(&mut self.unsent, TEXT, message.to_string().as_bytes());
        self.write();
    }

    /// The messages received.
    fn read(&mut self) -> Result<Vec<Value>> {
        let mut chunk = [0; 64 * 1024];
        while self.end.is_none() {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.end = Some("the server closed the connection".into()),
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.end = Some(error.to_string()),
            }
        }
        let unread = std::mem::take(&mut self.unread);
        let mut rest = &unread[..];
        let mut messages = Vec::new();
        while let Some(frame) = Frame::first(rest) {
            rest = &rest[frame.bytes.len()..];
            match (frame.opcode, frame.payload) {
                (TEXT, payload) => messages.push(serde_json::from_slice(payload)?),
                (PING, payload) => {
                    push_client_frame(&mut self.unsent, PONG, payload);
                    self.write();
                }
                (CLOSE, [high, low, ..]) => {
                    let code = u16::from_be_bytes([*high, *low]);
                    self.end = Some(format!("close code {code}"));
                }
                (opcode, _) => self.end = Some(format!("a frame of opcode {opcode}")),
            }
        }
        self.unread = rest.to_vec();
        Ok(messages)
    }
}

impl Pair {
    /// Both enter the room.
    pub fn enter(address: SocketAddr) -> Result<Self> {
        let poll = Poll::new()?;
        let mut talkers = [talker(address, "a")?, talker(address, "b")?];
        for (index, talker) in talkers.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut talker.stream, Token(index), interest)?;
        }
        Ok(Self {
            poll,
            talkers,
            sent: 0,
            under_way: BTreeMap::new(),
        })
    }

    /// Sends messages in turns for `duration`. The latency of each counts from when it was due, even if it was sent
    /// later.
    pub fn talk(&mut self, duration: Duration) -> Result<Times> {
        let mut times = Times::default();
        let mut events = Events::with_capacity(16);
        let started = Instant::now();
        let mut due = started;
        loop {
            while due.elapsed() > Duration::ZERO && due - started < duration {
                self.say(due);
                due += EVERY;
            }
            let is_said = due - started >= duration;
            let is_over = is_said && self.under_way.is_empty();
            if is_over || self.has_end() || started.elapsed() > duration + GRACE {
                break;
            }
            let wait = match is_said {
                true => EVERY,
                false => due.saturating_duration_since(Instant::now()),
            };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            self.hear(&mut times)?;
        }
        times.sorted.sort_unstable();
        times.lost += std::mem::take(&mut self.under_way).len();
        let ends = self.talkers.iter().filter_map(|talker| talker.end.clone());
        times.ends.extend(ends);
        times.ends.sort();
        times.ends.dedup();
        Ok(times)
    }

    fn has_end(&self) -> bool {
        self.talkers.iter().any(|talker| talker.end.is_some())
    }

    fn say(&mut self, due: Instant) {
        let number = self.sent;
        self.sent += 1;
        self.under_way.insert(number, (due, 3));
        let number = number.to_string();
        let chat = json!({"type": "chat", "room": ROOM, "content": number, "id": number});
        self.talkers[self.sent as usize % 2].send(&chat);
    }

    fn hear(&mut self, times: &mut Times) -> Result<()> {
        for talker in &mut self.talkers {
            talker.write();
            for message in talker.read()? {
                let number = match message["type"].as_str() {
                    Some("chat") => {
                        let sequence = sequence(&message)?;
                        if talker.last.is_some_and(|last| last + 1 != sequence) {
                            return Err(
                                format!("{:?} and then {sequence}: a hole", talker.last).into()
                            );
                        }
                        talker.last = Some(sequence);
                        &message["content"]
                    }
                    Some("ack") => &message["id"],
                    Some("error") => {
                        let id = message["id"].as_str().unwrap_or_default();
                        self.under_way.remove(&id.parse()?);
                        times.lost += 1;
                        times.ends.push(message["code"].to_string());
                        continue;
                    }
                    _ => continue,
                };
                let number: u64 = number.as_str().unwrap_or_default().parse()?;
                let Some((due, missing)) = self.under_way.get_mut(&number) else {
                    return Err(format!("{number} came twice").into());
                };
                *missing -= 1;
                if *missing == 0 {
                    times.sorted.push(due.elapsed());
                    self.under_way.remove(&number);
                }
            }
        }
        Ok(())
    }
}

fn sequence(chat: &Value) -> Result<u64> {
    let position = chat["position"].as_str().unwrap_or_default();
    let (_, sequence) = position.split_once(':').ok_or("no position")?;
    Ok(sequence.parse()?)
}

/// A client in the room.
fn talker(address: SocketAddr, name: &str) -> Result<Talker> {
    let stream = crate::abuser::member(address, name, ROOM)?;
    stream.set_nonblocking(true)?;
    Ok(Talker {
        stream: TcpStream::from_std(stream),
        unsent: Vec::new(),
        unread: Vec::new(),
        last: None,
        end: None,
    })
}
