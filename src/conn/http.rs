//! A connection that speaks HTTP: received bytes to requests, one after the other (RFC 9112 section 9.3).

use std::net::IpAddr;
use std::time::Duration;

use super::input::Input;
use super::refusal::Refusal;
use crate::config::HEAD_BYTES_MAX;
use crate::domain::error::ErrorCode;
use crate::domain::ids::Serial;
use crate::ledger::{Charge, Ledger};
use crate::wire::chunked::Decoder;
use crate::wire::forwarded::{Forwarding, Proxy};
use crate::wire::head::HeadScan;
use crate::wire::http::{BodyLength, HeadError, Request, parse_whole_head};
use crate::wire::partial_head::PartialHead;
use crate::wire::proxy_header::HeaderReader;
use crate::wire::secret_bytes::SecretBytes;

/// The receive side of an HTTP connection, between requests or in the middle of one.
#[derive(Debug, Default)]
pub struct Http {
    reading: Reading,
    /// Pipelined input behind a request whose response is not ready, or not written, yet.
    unread: Input<'static>,
    /// Which wait the deadline is armed for.
    pub deadline_for: Option<Awaited>,
    /// The job that the request being served waits for; pipelined requests are served after it.
    pub job: Option<Wait>,
    charge: Charge,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Reading {
    /// The PROXY protocol header in front of the first request.
    ProxyHeader(HeaderReader),
    /// A head, or its first byte between requests.
    Head(IncomingHead),
    /// Nothing yet: [`Step::Begin`] was the last step for this request, whose body is not looked at.
    Begun(Box<Request>),
    /// The body of this request, as long as its Content-Length.
    Body(Box<Request>),
    /// The chunks of the body of this request.
    Chunks(Box<Request>, Decoder),
}

impl Default for Reading {
    fn default() -> Self {
        Self::Head(IncomingHead::default())
    }
}

/// The bytes received so far of an incomplete head.
#[derive(Debug, Default)]
struct IncomingHead {
    bytes: SecretBytes,
    scan: HeadScan,
}

/// What to do next for the connection.
#[derive(Debug)]
pub enum Step {
    /// Wait for more bytes.
    Wait,
    /// Note the address that a PROXY protocol header tells, if it tells one. Before all other steps but [`Step::Wait`].
    Proxied(Option<IpAddr>),
    /// Close without an answer, because there is no such header: with what is wrong, for the log.
    RefuseProxyHeader(&'static str),
    /// Note whom a proxy sends the next request for. Only for requests that say something about it.
    Begin(Forwarding),
    /// Send `100 Continue`, then wait for the body.
    Continue,
    /// Serve a request.
    Serve(Box<Request>),
    /// Refuse a request whose head is valid, and close, because the start of the next request is unknown.
    Refuse(Refusal, Box<Request>),
    /// Refuse a head, and close. With what could be read of it.
    RefuseHead(Refusal, Box<PartialHead>),
}

/// A wait for the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The job.
    pub serial: Serial,
    /// How long it may take.
    pub patience: Duration,
}

/// What an HTTP connection waits for; each wait has its own deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The end of a job.
    Job(Wait),
    /// A PROXY protocol header.
    ProxyHeader,
    /// The first byte of a request.
    Request,
    /// The rest of the head.
    Head,
    /// The rest of the body.
    Body,
}

impl Http {
    /// A connection that begins with a PROXY protocol header.
    pub fn behind_proxy() -> Self {
        Self {
            reading: Reading::ProxyHeader(HeaderReader::default()),
            ..Self::default()
        }
    }

    /// The input for [`Self::step`]: the input kept earlier, followed by `bytes`. The caller gives the part that `step`
    /// leaves to [`Self::keep`].
    pub fn receive<'b>(&mut self, bytes: &'b [u8]) -> Input<'b> {
        std::mem::take(&mut self.unread).followed_by(bytes)
    }

    /// Keeps the rest of the input until more requests can be served.
    pub fn keep(&mut self, input: Input<'_>) {
        self.unread = input.into_owned();
    }

    /// Bytes received for requests that are not served yet.
    pub fn buffered_bytes(&self) -> usize {
        self.unfinished().len() + self.unread.rest().len()
    }

    /// Charges the memory they take to the ledger.
    pub fn charge(&self, ledger: &Ledger) {
        let bytes = self.unfinished().capacity() + self.unread.capacity();
        self.charge.set(ledger, bytes);
    }

    /// What is awaited now.
    pub fn awaits(&self) -> Awaited {
        if let Some(wait) = self.job {
            return Awaited::Job(wait);
        }
        match &self.reading {
            Reading::ProxyHeader(_) => Awaited::ProxyHeader,
            Reading::Head(head) if head.bytes.is_empty() => Awaited::Request,
            Reading::Head(_) => Awaited::Head,
            Reading::Begun(_) | Reading::Body(_) | Reading::Chunks(..) => Awaited::Body,
        }
    }

    /// Whether a PROXY protocol header has begun and is not complete.
    pub fn has_part_of_proxy_header(&self) -> bool {
        matches!(&self.reading, Reading::ProxyHeader(header) if !header.kept().is_empty())
    }

    /// Whether it waits for this job.
    pub fn awaits_job(&self, serial: Serial) -> bool {
        self.job.is_some_and(|wait| wait.serial == serial)
    }

    /// The request whose body is incomplete.
    pub fn unfinished_request(&self) -> Option<&Request> {
        match &self.reading {
            Reading::ProxyHeader(_) | Reading::Head(_) => None,
            Reading::Begun(request) | Reading::Body(request) | Reading::Chunks(request, _) => {
                Some(request)
            }
        }
    }

    /// The bytes kept of a head or a body that is incomplete.
    fn unfinished(&self) -> &SecretBytes {
        match &self.reading {
            Reading::ProxyHeader(header) => header.kept(),
            Reading::Head(head) => &head.bytes,
            Reading::Begun(request) | Reading::Body(request) | Reading::Chunks(request, _) => {
                &request.body
            }
        }
    }

    /// What there is of the next head, whether it is complete or not.
    pub fn partial_head(&self) -> PartialHead {
        match &self.reading {
            Reading::Head(head) if !head.bytes.is_empty() => PartialHead::read(&head.bytes),
            _ => PartialHead::read(self.unread.rest()),
        }
    }

    /// Takes the next step with the input received so far, and consumes the part it needs. `proxy` is the peer, if that
    /// is a trusted proxy; `body_bytes_max` gives the limit for the body of a request, in bytes. After [`Step::Wait`] the
    /// input is empty, unless a job is awaited.
    pub fn step(
        &mut self,
        input: &mut Input<'_>,
        proxy: Option<Proxy<'_>>,
        body_bytes_max: impl FnOnce(&Request) -> usize,
    ) -> Step {
        if self.job.is_some() {
            return Step::Wait;
        }
        match std::mem::take(&mut self.reading) {
            Reading::ProxyHeader(header) => self.read_proxy_header(header, input),
            Reading::Head(head) => self.read_request(head, input, proxy, body_bytes_max),
            Reading::Begun(request) => self.begin_body(request, input, body_bytes_max),
            Reading::Body(request) => self.read_body(request, input),
            Reading::Chunks(request, decoder) => self.read_chunks(request, decoder, input),
        }
    }

    fn read_proxy_header(&mut self, mut header: HeaderReader, input: &mut Input<'_>) -> Step {
        let bytes = input.rest();
        match header.advance(bytes) {
            Ok(Some(header)) => {
                input.consume(header.length);
                Step::Proxied(header.client())
            }
            Ok(None) => {
                input.consume(bytes.len());
                self.reading = Reading::ProxyHeader(header);
                Step::Wait
            }
            Err(reason) => Step::RefuseProxyHeader(reason),
        }
    }

    fn read_request(
        &mut self,
        mut head: IncomingHead,
        input: &mut Input<'_>,
        proxy: Option<Proxy<'_>>,
        body_bytes_max: impl FnOnce(&Request) -> usize,
    ) -> Step {
        let request = match head.read(input, proxy) {
            Ok(Some(request)) => request,
            Ok(None) => {
                self.reading = Reading::Head(head);
                return Step::Wait;
            }
            Err(error) => {
                let rest = input.rest();
                let rest = &rest[..rest.len().min(HEAD_BYTES_MAX)];
                head.bytes.append(rest, 2 * HEAD_BYTES_MAX);
                let partial = PartialHead::read(&head.bytes);
                return Step::RefuseHead(error.into(), Box::new(partial));
            }
        };
        match request.forwarding {
            Some(forwarding) => {
                self.reading = Reading::Begun(request);
                Step::Begin(forwarding)
            }
            None => self.begin_body(request, input, body_bytes_max),
        }
    }

    fn begin_body(
        &mut self,
        request: Box<Request>,
        input: &mut Input<'_>,
        body_bytes_max: impl FnOnce(&Request) -> usize,
    ) -> Step {
        let length = request.body_length;
        if !length.may_have_content() {
            return Step::Serve(request);
        }
        let body_bytes_max = body_bytes_max(&request);
        let needs_continue = request.expects_continue && input.rest().is_empty();
        let step = match length {
            BodyLength::Known(length) if length > body_bytes_max as u64 => {
                return Step::Refuse(ErrorCode::ContentTooLarge.into(), request);
            }
            BodyLength::Chunked => self.read_chunks(request, Decoder::new(body_bytes_max), input),
            BodyLength::Known(_) | BodyLength::None => self.read_body(request, input),
        };
        match step {
            Step::Wait if needs_continue => Step::Continue,
            step => step,
        }
    }

    fn read_body(&mut self, mut request: Box<Request>, input: &mut Input<'_>) -> Step {
        let BodyLength::Known(length) = request.body_length else {
            return Step::Serve(request);
        };
        let length = length as usize;
        let missing = length - request.body.len();
        let count = missing.min(input.rest().len());
        request.body.append(&input.rest()[..count], length);
        input.consume(count);
        if count < missing {
            self.reading = Reading::Body(request);
            return Step::Wait;
        }
        Step::Serve(request)
    }

    fn read_chunks(
        &mut self,
        mut request: Box<Request>,
        mut decoder: Decoder,
        input: &mut Input<'_>,
    ) -> Step {
        let bytes = input.rest();
        match decoder.advance(bytes, &mut request.body) {
            Ok(Some(length)) => {
                input.consume(length);
                Step::Serve(request)
            }
            Ok(None) => {
                input.consume(bytes.len());
                self.reading = Reading::Chunks(request, decoder);
                Step::Wait
            }
            Err(error) => Step::Refuse(error.into(), request),
        }
    }
}

impl IncomingHead {
    /// Parses a head in the input itself when all of it is there; only an incomplete one is copied. Of use until the head
    /// is whole.
    fn read(
        &mut self,
        input: &mut Input<'_>,
        proxy: Option<Proxy<'_>>,
    ) -> Result<Option<Box<Request>>, HeadError> {
        let bytes = input.rest();
        let Some(length) = self.scan.advance(bytes)? else {
            self.bytes.append(bytes, HEAD_BYTES_MAX);
            input.consume(bytes.len());
            return Ok(None);
        };
        let request = match self.bytes.is_empty() {
            true => parse_whole_head(&bytes[..length], proxy)?,
            false => {
                self.bytes.append(&bytes[..length], HEAD_BYTES_MAX);
                parse_whole_head(&self.bytes, proxy)?
            }
        };
        input.consume(length);
        Ok(Some(Box::new(request)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::config::BODY_BYTES_MAX;

    const WAIT: Wait = Wait {
        serial: Serial(1),
        patience: Duration::from_secs(1),
    };

    /// A request with a head of almost the largest size and a body of three bytes.
    fn long_request() -> Vec<u8> {
        let start = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n";
        let line = format!("X: {}\r\n", "y".repeat(500));
        let count = (HEAD_BYTES_MAX - start.len()) / line.len() - 1;
        format!("{start}{}\r\nabc", line.repeat(count)).into_bytes()
    }

    #[test]
    fn of_a_head_that_comes_byte_by_byte_each_byte_is_scanned_once() {
        let request = long_request();
        let (head, body) = request.split_at(request.len() - 3);
        let mut http = Http::default();
        for (count, byte) in (1..).zip(head) {
            let mut input = http.receive(std::slice::from_ref(byte));
            assert!(matches!(
                http.step(&mut input, None, |_| BODY_BYTES_MAX),
                Step::Wait
            ));
            http.keep(input);
            if count < head.len() {
                let Reading::Head(head) = &http.reading else {
                    panic!("is incomplete");
                };
                assert_eq!(head.scan.scanned_bytes(), count);
                assert_eq!(http.buffered_bytes(), count);
                assert_eq!(http.awaits(), Awaited::Head);
            }
        }
        assert_eq!((http.awaits(), http.buffered_bytes()), (Awaited::Body, 0));
        let mut input = http.receive(body);
        let Step::Serve(request) = http.step(&mut input, None, |_| BODY_BYTES_MAX) else {
            panic!("is whole");
        };
        assert_eq!(&*request.body, b"abc");
        assert_eq!(http.awaits(), Awaited::Request);
    }

    #[test]
    fn the_client_of_a_proxy_is_told_before_the_body_is_looked_at() {
        let address = IpAddr::from([10, 0, 0, 1]);
        let proxy = Some(Proxy {
            address,
            trusted: &[],
        });
        let mut http = Http::default();
        let head =
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
        let mut input = http.receive(head);
        let began = http.step(&mut input, proxy, |_| 9);
        assert!(matches!(began, Step::Begin(Forwarding::Client(client)) if client == address));
        assert_eq!(http.awaits(), Awaited::Body);
        assert!(matches!(
            http.step(&mut input, proxy, |_| 9),
            Step::Continue
        ));
        assert!(matches!(http.step(&mut input, proxy, |_| 9), Step::Wait));
        // A body over the limit is refused behind it.
        let mut http = Http::default();
        let mut input = http.receive(head);
        assert!(matches!(
            http.step(&mut input, proxy, |_| 8),
            Step::Begin(_)
        ));
        assert!(matches!(
            http.step(&mut input, proxy, |_| 8),
            Step::Refuse(..)
        ));
    }

    #[test]
    fn requests_that_come_whole_are_read_where_they_lie() {
        let ledger = Ledger::default();
        let mut http = Http::default();
        let requests = long_request().repeat(3);
        let mut input = http.receive(&requests);
        for _ in 0..3 {
            assert!(matches!(
                http.step(&mut input, None, |_| BODY_BYTES_MAX),
                Step::Serve(_)
            ));
        }
        assert!(matches!(
            http.step(&mut input, None, |_| BODY_BYTES_MAX),
            Step::Wait
        ));
        http.keep(input);
        http.charge(&ledger);
        assert_eq!(ledger.total(), 0, "nothing is kept");
    }

    #[test]
    fn what_waits_behind_a_job_is_copied_once_however_many_requests_it_is() {
        let mut http = Http::default();
        let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        http.job = Some(WAIT);
        let mut input = http.receive(&requests);
        assert!(matches!(
            http.step(&mut input, None, |_| BODY_BYTES_MAX),
            Step::Wait
        ));
        http.keep(input);
        let copy = http.unread.rest().as_ptr_range().end;
        for served in 1..=100 {
            http.job = None;
            let mut input = http.receive(&[]);
            assert!(matches!(
                http.step(&mut input, None, |_| BODY_BYTES_MAX),
                Step::Serve(_)
            ));
            http.job = Some(WAIT);
            http.keep(input);
            let rest = http.unread.rest();
            assert_eq!(rest.len(), requests.len() / 100 * (100 - served));
            assert!(rest.is_empty() || rest.as_ptr_range().end == copy);
        }
        let ledger = Ledger::default();
        http.charge(&ledger);
        assert_eq!(ledger.total(), 0, "the copy is freed");
    }

    #[test]
    fn a_connection_between_requests_is_as_small_as_in_the_middle_of_a_head() {
        assert!(size_of::<Reading>() <= size_of::<IncomingHead>() + size_of::<usize>());
        assert!(size_of::<Http>() <= 176, "{} bytes", size_of::<Http>());
    }

    #[test]
    fn a_body_that_has_come_in_part_counts_as_buffered() {
        let ledger = Ledger::default();
        let mut http = Http::default();
        let request = long_request();
        let mut input = http.receive(&request[..request.len() - 1]);
        assert!(matches!(
            http.step(&mut input, None, |_| BODY_BYTES_MAX),
            Step::Wait
        ));
        http.keep(input);
        http.charge(&ledger);
        assert_eq!((http.buffered_bytes(), ledger.total()), (2, 2));
    }
}
