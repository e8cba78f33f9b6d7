//! All clients of one server, on one event loop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::Result;
use crate::client::{Client, Dialect, Phase};
use crate::traffic::{Pace, Traffic};
use crate::transcript::Transcript;

/// Concurrent handshakes: fewer than the listen backlog of any server.
const OPENING_MAX: usize = 200;
/// Without progress for this long, the round has failed.
const STALL: Duration = Duration::from_secs(10);

pub struct Crowd {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    clients: Vec<Client>,
    transcript: Transcript,
    /// The number of clients in the room.
    members_count: usize,
    /// Messages read in this round, over all clients.
    deliveries: usize,
    /// For each sender, the number of its own messages it has received and not followed with new ones.
    returned: Vec<usize>,
}

/// The result of a round.
pub struct Outcome {
    pub deliveries: usize,
    pub wall: Duration,
    /// The length of a frame with its header.
    pub bytes_per_message: usize,
}

impl Crowd {
    /// Connects `count` clients that join the room.
    pub fn join(address: SocketAddr, count: usize) -> Result<Self> {
        Self::connect(address, count, Dialect::Chat)
    }

    /// Connects `count` clients of `bare`.
    pub fn connect_bare(address: SocketAddr, count: usize) -> Result<Self> {
        Self::connect(address, count, Dialect::Bare)
    }

    fn connect(address: SocketAddr, count: usize, dialect: Dialect) -> Result<Self> {
        let mut crowd = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: vec![0; 1 << 20],
            clients: Vec::with_capacity(count),
            transcript: Transcript::default(),
            members_count: 0,
            deliveries: 0,
            returned: vec![0; count],
        };
        let mut progress = Progress::new();
        while crowd.members_count < count {
            let number = crowd.clients.len();
            if number < count && number - crowd.members_count < OPENING_MAX {
                let mut client = Client::connect(address, number, dialect)?;
                crowd.poll.registry().register(
                    &mut client.stream,
                    Token(number),
                    Interest::READABLE,
                )?;
                crowd.members_count += usize::from(client.phase == Phase::Member);
                crowd.clients.push(client);
            } else {
                crowd.turn(Some(Duration::from_millis(100)))?;
                progress.check(crowd.members_count, count, "clients have joined")?;
            }
        }
        Ok(crowd)
    }

    /// Runs one round of traffic until all of it has arrived.
    pub fn carry(&mut self, traffic: &Traffic) -> Result<Outcome> {
        self.start_round();
        let started = Instant::now();
        let first_burst = match traffic.pace {
            Pace::Together => 1,
            Pace::InFlight(count) => count.min(traffic.messages_per_sender),
        };
        let mut unsent = vec![traffic.messages_per_sender; traffic.senders];
        for (sender, unsent) in unsent.iter_mut().enumerate() {
            self.clients[sender].say(first_burst)?;
            *unsent -= first_burst;
        }

        let mut progress = Progress::new();
        let mut written = traffic.senders * first_burst;
        while self.deliveries < traffic.deliveries() {
            self.turn(Some(Duration::ZERO))?;
            progress.check(self.deliveries, traffic.deliveries(), "deliveries made")?;
            if traffic.pace == Pace::Together && self.deliveries < written * traffic.clients {
                continue;
            }
            for (sender, unsent) in unsent.iter_mut().enumerate() {
                let due = match traffic.pace {
                    Pace::Together => 1,
                    Pace::InFlight(_) => std::mem::take(&mut self.returned[sender]),
                };
                let burst = due.min(*unsent);
                if burst > 0 {
                    self.clients[sender].say(burst)?;
                    *unsent -= burst;
                    written += burst;
                }
            }
        }
        Ok(Outcome {
            deliveries: self.deliveries,
            wall: started.elapsed(),
            bytes_per_message: self.transcript.bytes_count() / self.transcript.messages_count(),
        })
    }

    /// Reads after the round is complete: no further chat may arrive.
    pub fn check(&mut self) -> Result<()> {
        let (deliveries, messages) = (self.deliveries, self.transcript.messages_count());
        self.rest(Duration::from_millis(2))?;
        if self.deliveries != deliveries || self.transcript.messages_count() != messages {
            return Err("messages arrived that no client sent".into());
        }
        match self
            .clients
            .iter()
            .position(|client| client.messages_count != messages)
        {
            Some(number) => Err(format!("client {number} did not get every message").into()),
            None => Ok(()),
        }
    }

    /// Reads for `duration`, and answers pings.
    pub fn rest(&mut self, duration: Duration) -> Result<()> {
        let deadline = Instant::now() + duration;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.turn(Some(left))?;
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn start_round(&mut self) {
        self.transcript.start_round();
        self.deliveries = 0;
        self.returned.fill(0);
        for client in &mut self.clients {
            client.start_round();
        }
    }

    /// Polls once, and reads from every readable client.
    fn turn(&mut self, timeout: Option<Duration>) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, timeout)
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &self.events {
            let number = event.token().0;
            let client = &mut self.clients[number];
            let (phase, known) = (client.phase, client.messages_count);
            client.read(&mut self.scratch, &mut self.transcript)?;
            self.members_count +=
                usize::from(phase != Phase::Member && client.phase == Phase::Member);
            self.deliveries += client.messages_count - known;
            self.returned[number] += (known..client.messages_count)
                .filter(|&index| self.transcript.sender(index) == number)
                .count();
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for client in &self.clients {
            client.close();
        }
    }
}

/// Detects that a number stops growing before it reaches its goal.
struct Progress {
    last: usize,
    since: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            last: 0,
            since: Instant::now(),
        }
    }

    fn check(&mut self, now: usize, goal: usize, what: &str) -> Result<()> {
        if now != self.last {
            *self = Self {
                last: now,
                since: Instant::now(),
            };
        } else if self.since.elapsed() > STALL {
            return Err(format!("only {now} of {goal} {what}; nothing moves any more").into());
        }
        Ok(())
    }
}
