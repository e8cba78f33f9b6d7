//! A connection that speaks HTTP: bytes to requests, one after the other (RFC 9112 section 9.3).

use zeroize::Zeroizing;

use super::refusal::Refusal;
use crate::config::{BODY_BYTES_MAX, ECHO_BODY_BYTES_MAX, HEAD_BYTES_MAX, IDLE_BUFFER_BYTES_MAX};
use crate::domain::error::ErrorCode;
use crate::ledger::{Held, Ledger};
use crate::wire::http::{Request, parse_head};

/// What has come and is not served yet.
#[derive(Debug, Default)]
pub struct Http {
    buffer: Zeroizing<Vec<u8>>,
    /// A request whose body has not come whole.
    awaits_body: Option<Box<Request>>,
    /// Whether `/http-echo` exists, whose bodies may be large.
    echo: bool,
    /// For what the deadline that stands was set.
    pub deadline_for: Option<Awaited>,
    /// The job whose end the request being served waits for; nothing behind it is served before.
    pub job: Option<u64>,
    held: Held,
}

/// What the connection has to do next.
#[derive(Debug)]
pub enum Step {
    /// Wait for more bytes.
    Wait,
    /// Send `100 Continue`, then wait for the body.
    Continue,
    /// Serve a request.
    Serve(Box<Request>),
    /// Refuse and close: where the next request would begin is not known.
    Refuse(Refusal),
}

/// Which part of a request is awaited; each has its own deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The end of a job.
    Job,
    /// The first byte of a request.
    Request,
    /// The rest of the head.
    Head,
    /// The rest of the body.
    Body,
}

impl Http {
    /// A connection on which nothing has come; `echo` tells whether `/http-echo` exists.
    pub fn new(echo: bool) -> Self {
        Self {
            echo,
            ..Self::default()
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        let need = self.buffer.len() + bytes.len();
        if need > self.buffer.capacity() {
            // Growing in place could leave a copy of a password behind; the old buffer is wiped.
            let mut larger =
                Zeroizing::new(Vec::with_capacity(need.max(2 * self.buffer.capacity())));
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that have come and are not served.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Enters the memory they take in the ledger.
    pub fn account(&self, ledger: &Ledger) {
        self.held.set(ledger, self.buffer.capacity());
    }

    /// What is awaited now.
    pub fn awaits(&self) -> Awaited {
        if self.job.is_some() {
            return Awaited::Job;
        }
        match (&self.awaits_body, self.buffer.is_empty()) {
            (Some(_), _) => Awaited::Body,
            (None, true) => Awaited::Request,
            (None, false) => Awaited::Head,
        }
    }

    /// Bytes after the last request that was served: on an upgrade they belong to the new protocol.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.buffer)
    }

    /// The next step with what has come so far.
    pub fn step(&mut self) -> Step {
        if self.job.is_some() {
            return Step::Wait;
        }
        match self.awaits_body.take() {
            Some(request) => self.read_body(request),
            None => self.read_head(),
        }
    }

    fn read_head(&mut self) -> Step {
        // Without a new line end there is no new head; this keeps a byte at a time from costing a scan each.
        if self.buffer.len() < HEAD_BYTES_MAX
            && !self.buffer.ends_with(b"\n")
            && !self.buffer.contains(&b'\n')
        {
            return Step::Wait;
        }
        let (request, length) = match parse_head(&self.buffer) {
            Ok(Some(found)) => found,
            Ok(None) => return Step::Wait,
            Err(error) => return Step::Refuse(error.into()),
        };
        self.buffer.drain(..length);
        if self.buffer.is_empty() && self.buffer.capacity() > IDLE_BUFFER_BYTES_MAX {
            self.buffer = Zeroizing::default();
        }
        let max = if self.is_echo(&request) {
            ECHO_BODY_BYTES_MAX
        } else {
            BODY_BYTES_MAX
        };
        if request.content_length.unwrap_or(0) > max as u64 {
            return Step::Refuse(Refusal::from(ErrorCode::ContentTooLarge));
        }
        let is_asked =
            request.expects_continue && self.missing(&request) > 0 && self.buffer.is_empty();
        match self.read_body(Box::new(request)) {
            Step::Wait if is_asked => Step::Continue,
            step => step,
        }
    }

    fn read_body(&mut self, mut request: Box<Request>) -> Step {
        if self.missing(&request) > 0 {
            self.awaits_body = Some(request);
            return Step::Wait;
        }
        let length = request.content_length.unwrap_or(0) as usize;
        let rest = Zeroizing::new(self.buffer.split_off(length));
        request.body = std::mem::replace(&mut self.buffer, rest);
        Step::Serve(request)
    }

    fn missing(&self, request: &Request) -> u64 {
        request
            .content_length
            .unwrap_or(0)
            .saturating_sub(self.buffer.len() as u64)
    }

    fn is_echo(&self, request: &Request) -> bool {
        self.echo && request.path == ["http-echo"]
    }
}
