//! The connection of a node to the engine: when it is made, what is sent over it, and what still waits for a reply.

use std::collections::VecDeque;
use std::time::Duration;

use super::ask::Request;
use crate::config::{
    ENGINE_PATIENCE, ENGINE_REQUEST_BYTES_MAX, ENGINE_REQUESTS_MAX, ENGINE_RETRY, ENGINE_RETRY_MAX,
    Endpoint, OLD_CONNECTIONS_MAX,
};
use crate::wire::resp::Replies;

/// What the shell is to do about the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dial {
    /// Connect to this endpoint, after closing what there is.
    Open(Endpoint),
    /// Close what there is.
    Close,
}

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// None; the next attempt is at this time, since the server's start.
    Down(Duration),
    /// It is being made, until this time.
    Dialing(Duration),
    /// Everything is asked for anew, until this time.
    Setup(Duration),
    /// It carries requests.
    Up,
}

/// The connection.
#[derive(Debug)]
pub struct Link {
    pub state: State,
    /// Which endpoint is tried, or in use.
    pub endpoint: usize,
    /// Where the sentinels say that the primary is.
    pub primary: Option<Endpoint>,
    /// The wait before the next attempt.
    patience: Duration,
    /// Bytes for the engine.
    pub out: Vec<u8>,
    pub replies: Replies,
    /// Requests that wait for a reply, in order.
    pub sent: VecDeque<Request>,
    /// So many of them, from the front, are past their deadlines.
    expired: usize,
    /// Requests that wait for a connection, or for the scripts.
    pub queue: VecDeque<Request>,
    bytes: usize,
    /// Whether nothing is sent until all replies have come, because the engine has lost its scripts.
    pub awaits_scripts: bool,
    /// Requests that have failed for that reason.
    pub again: VecDeque<Request>,
    dial: Option<Dial>,
    /// The number of the connection in the engine, and those of earlier ones that it may still hold.
    pub number: Option<u64>,
    /// The run of the engine that has given it, once that is known: another one counts from 1 again.
    pub run: Box<str>,
    pub old: VecDeque<(Box<str>, u64)>,
    /// The version of the engine, for the log.
    pub version: Box<str>,
    /// Whether channels are subscribed to.
    pub is_subscribed: bool,
    /// Requests of the setup without a reply.
    pub setup_left: usize,
    /// Whether the last sign of life was taken.
    pub is_heard: bool,
}

impl Link {
    pub fn new() -> Self {
        Self {
            state: State::Down(Duration::ZERO),
            endpoint: 0,
            primary: None,
            patience: ENGINE_RETRY,
            out: Vec::new(),
            replies: Replies::default(),
            sent: VecDeque::new(),
            expired: 0,
            queue: VecDeque::new(),
            bytes: 0,
            awaits_scripts: false,
            again: VecDeque::new(),
            dial: None,
            number: None,
            run: "".into(),
            version: "".into(),
            is_subscribed: false,
            old: VecDeque::new(),
            setup_left: 0,
            is_heard: true,
        }
    }

    /// Requests without a reply.
    pub fn requests(&self) -> usize {
        self.sent.len() + self.queue.len() + self.again.len()
    }

    /// Whether no more requests are taken.
    pub fn is_full(&self) -> bool {
        self.requests() >= ENGINE_REQUESTS_MAX || self.bytes >= ENGINE_REQUEST_BYTES_MAX
    }

    /// What the shell is to do.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.dial.take()
    }

    /// Whether the shell has something to do.
    pub fn has_dial(&self) -> bool {
        self.dial.is_some()
    }

    pub fn set_dial(&mut self, dial: Dial) {
        self.dial = Some(dial);
    }

    /// Puts a request into the queue, or sends it if the connection carries requests.
    pub fn push(&mut self, request: Request, now: Duration) {
        self.bytes += request.command.len();
        match self.state {
            State::Up if !self.awaits_scripts => self.send(request, now),
            _ => self.queue.push_back(request),
        }
    }

    /// Sends a request that the setup needs.
    pub fn push_setup(&mut self, request: Request, now: Duration) {
        self.bytes += request.command.len();
        self.setup_left += 1;
        self.send(request, now);
    }

    #[inline(never)]
    fn send(&mut self, mut request: Request, now: Duration) {
        self.out.extend_from_slice(&request.command);
        request.sent_at = now;
        request.was_sent = true;
        self.sent.push_back(request);
    }

    /// Sends bytes that have no reply of their own.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// The request that a reply answers.
    pub fn answered(&mut self) -> Option<Request> {
        let request = self.sent.pop_front()?;
        self.expired = self.expired.saturating_sub(1);
        self.bytes -= request.command.len();
        Some(request)
    }

    /// The bytes of a request count no more.
    pub fn take_bytes(&mut self, request: &Request) {
        self.bytes -= request.command.len();
    }

    /// The bytes of a request count.
    pub fn add_bytes(&mut self, request: &Request) {
        self.bytes += request.command.len();
    }

    /// Puts a request back that was answered last, as if it were not.
    pub fn put_back(&mut self, request: Request) {
        self.bytes += request.command.len();
        self.sent.push_front(request);
    }

    /// Takes back a request that is asked again.
    pub fn repeat(&mut self, request: Request) {
        self.bytes += request.command.len();
        self.again.push_back(request);
    }

    /// Sends everything that waits, first what is asked again.
    pub fn flush_queue(&mut self, now: Duration) {
        let again = std::mem::take(&mut self.again);
        let queue = std::mem::take(&mut self.queue);
        for list in [again, queue] {
            for request in list {
                self.send(request, now);
            }
        }
    }

    /// When the next request is past its deadline.
    pub fn next_deadline(&self) -> Option<Duration> {
        let sent = first_deadline(&self.sent, self.expired);
        let queued = first_deadline(&self.queue, 0);
        let again = first_deadline(&self.again, 0);
        [sent, queued, again].into_iter().flatten().min()
    }

    /// Takes what is past its deadline. What was sent leaves a place behind, for its reply.
    pub fn expire(&mut self, now: Duration) -> Vec<Request> {
        if self.next_deadline().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        // Deadlines of what was sent rise, beside those of what was sent again.
        while let Some(request) = self.sent.get_mut(self.expired) {
            match request.deadline {
                Some(at) if at > now => break,
                Some(_) => {
                    request.deadline = None;
                    expired.push(Request {
                        ask: request.ask.expire(),
                        command: Vec::new(),
                        ..*request
                    });
                }
                None => {}
            }
            self.expired += 1;
        }
        for list in [&mut self.queue, &mut self.again] {
            for request in std::mem::take(list) {
                match request.deadline.is_some_and(|at| at <= now) {
                    true => {
                        self.bytes -= request.command.len();
                        expired.push(request);
                    }
                    false => list.push_back(request),
                }
            }
        }
        expired
    }

    /// The connection is gone. Returns the requests that had been sent, in order.
    pub fn drop_connection(&mut self) -> Vec<Request> {
        self.out.clear();
        self.replies = Replies::default();
        self.expired = 0;
        self.setup_left = 0;
        self.awaits_scripts = false;
        self.is_subscribed = false;
        let run = std::mem::take(&mut self.run);
        if let Some(number) = self.number.take()
            && !run.is_empty()
        {
            self.old.push_back((run, number));
            if self.old.len() > OLD_CONNECTIONS_MAX {
                self.old.pop_front();
            }
        }
        let sent: Vec<Request> = self.sent.drain(..).chain(self.again.drain(..)).collect();
        for request in &sent {
            self.bytes -= request.command.len();
        }
        sent
    }

    /// Puts requests before all that wait.
    pub fn requeue(&mut self, requests: Vec<Request>) {
        for request in requests.into_iter().rev() {
            self.bytes += request.command.len();
            self.queue.push_front(request);
        }
    }

    /// Schedules the next attempt; `random` leaves out a part of the wait, so that nodes do not come all at once.
    pub fn retry(&mut self, random: u64, now: Duration) {
        let wait = self.patience.mul_f64(0.5 + (random % 512) as f64 / 1024.0);
        self.patience = (self.patience * 2).min(ENGINE_RETRY_MAX);
        self.state = State::Down(now + wait);
    }

    /// The connection works.
    pub fn restore_patience(&mut self) {
        self.patience = ENGINE_RETRY;
    }

    /// How long a request may take that is asked now.
    pub fn patience(&self) -> Duration {
        match self.state {
            State::Up => ENGINE_PATIENCE,
            _ => crate::config::ENGINE_AWAY_PATIENCE,
        }
    }
}

/// The deadline of the first request that has one.
fn first_deadline(list: &VecDeque<Request>, from: usize) -> Option<Duration> {
    list.range(from..).find_map(|request| request.deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_which_only_the_number_is_known_is_not_ended_later() {
        let mut link = Link::new();
        (link.number, link.run) = (Some(3), "first".into());
        link.drop_connection();
        // The engine has given a number and not said yet which run of it that was.
        link.number = Some(4);
        link.drop_connection();
        assert_eq!(link.old, [("first".into(), 3)]);
    }
}
