//! Runs one seed: time goes from event to event, and every turn is the shell's turn.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use sarang::config::{ACCEPTS_PER_TURN, READ_BYTES};
use sarang::domain::metrics::Machine;
use sarang::domain::time::Now;
use sarang::server::{Server, ShellFacts};

use super::chat::Chat;
use super::network::{Reading, Wire};
use super::plan::credentials;
use super::stage::{Stage, Todo};
use super::stream::Stream;
use super::web::Web;

/// Whoever is at the other end of a wire.
#[allow(clippy::large_enum_variant, reason = "there are some hundreds")]
pub enum Client {
    Chat(Chat),
    Stream(Stream),
    Web(Web),
}

impl Client {
    fn act(&mut self, stage: &mut Stage) {
        match self {
            Self::Chat(chat) => chat.act(stage),
            Self::Stream(stream) => stream.act(stage),
            Self::Web(web) => web.act(stage),
        }
    }

    fn read(&mut self, wire: Wire, bytes: &[u8], stage: &mut Stage) {
        match self {
            Self::Chat(chat) => chat.read(wire, bytes, stage),
            Self::Stream(stream) => stream.read(wire, bytes, stage),
            Self::Web(web) => web.read(wire, bytes, stage),
        }
    }

    fn ended(&mut self, wire: Wire, stage: &mut Stage) {
        match self {
            Self::Chat(chat) => chat.ended(wire, stage),
            Self::Stream(stream) => stream.ended(wire, stage),
            Self::Web(web) => web.ended(wire, stage),
        }
    }

    fn judge(&mut self, wire: Wire, stage: &mut Stage) {
        match self {
            Self::Chat(chat) => chat.judge(wire, stage),
            Self::Stream(stream) => stream.judge(wire, stage),
            Self::Web(web) => web.judge(wire, stage),
        }
    }
}

/// A server, its network, its clients.
pub struct World {
    pub server: Server,
    pub stage: Stage,
    pub clients: Vec<Client>,
    /// Whether the last turn had more to do.
    pub has_more: bool,
    addresses: BTreeMap<IpAddr, usize>,
    done: Vec<(u64, bool)>,
    pub queue_max: usize,
}

impl World {
    pub fn new(server: Server, stage: Stage, clients: Vec<Client>) -> Self {
        let addresses = BTreeMap::new();
        Self {
            server,
            stage,
            clients,
            has_more: false,
            addresses,
            done: Vec::new(),
            queue_max: 0,
        }
    }

    /// Lives through everything up to a time.
    pub fn run_until(&mut self, end: Duration) {
        while let Some(at) = self.next_time()
            && at <= end
        {
            self.pass(at);
            self.do_todos();
            self.turn();
        }
        self.pass(end);
    }

    pub fn is_quiet(&self) -> bool {
        !self.has_more && !self.stage.network.is_eventful()
    }

    fn next_time(&mut self) -> Option<Duration> {
        let now = self.stage.at();
        // A turn that sends to many takes some milliseconds.
        let soon = (!self.is_quiet()).then(|| now + self.stage.seed.millis(0, 4));
        let times = [self.stage.agenda.next(), self.server.next_timeout(), soon];
        let next = times.into_iter().flatten().min()?.max(now);
        // Now and then the loop was busy with something else.
        let late = match self.stage.seed.chance(2) {
            true => self.stage.seed.millis(1, 120),
            false => Duration::ZERO,
        };
        Some(next + late)
    }

    fn pass(&mut self, at: Duration) {
        let now = &mut self.stage.now;
        let passed = at.saturating_sub(now.monotonic);
        now.monotonic += passed;
        now.unix += passed;
    }

    fn do_todos(&mut self) {
        let now = self.stage.at();
        self.stage.network.now = now;
        while let Some(todo) = self.stage.agenda.pop(now) {
            match todo {
                Todo::Act(client) => self.clients[client].act(&mut self.stage),
                Todo::Deliver(wire) => {
                    if let Some(delay) = self.stage.network.deliver(wire, &mut self.stage.seed) {
                        self.stage.agenda.add(now + delay, Todo::Deliver(wire));
                    }
                }
                Todo::Take(wire) => self.take(wire),
                Todo::Judge(client, wire) => self.clients[client].judge(wire, &mut self.stage),
                Todo::Finish(job, is_accepted) => self.done.push((job, is_accepted)),
                Todo::Jump(seconds) => {
                    let unix = &mut self.stage.now.unix;
                    let size = Duration::from_secs(seconds.unsigned_abs());
                    *unix = if seconds < 0 {
                        *unix - size
                    } else {
                        *unix + size
                    };
                    self.stage.model.count("clock jumps");
                }
                Todo::Reload(has_one_more) => {
                    self.stage.model.count("reloads");
                    self.stage.model.has_reloaded = true;
                    let credentials = credentials(&self.stage.model.secret, has_one_more);
                    self.server.reload(credentials, self.stage.now);
                    self.has_more = true;
                }
                Todo::Inspect if self.is_quiet() => self.inspect(),
                Todo::Inspect => self
                    .stage
                    .agenda
                    .add(now + Duration::from_millis(5), Todo::Inspect),
            }
        }
    }

    /// A turn, in the order in which the shell does it.
    pub fn turn(&mut self) {
        let now = self.stage.now;
        self.stage.network.now = now.monotonic;
        self.stage.model.begin_turn();
        self.take_events(now);
        self.accept(now);
        self.read_ready(now);
        self.server.handle_timeout(now);
        let machine = self.server.wants_machine(now).then(Machine::default);
        self.server.sampled(machine, now);
        let next = self.server.next_timeout();
        assert!(
            next.is_none_or(|next| next > now.monotonic),
            "due at {next:?} and not done at {now:?}"
        );
        self.submit_jobs();
        // The shell reads the clock anew.
        let took = Duration::from_micros(self.stage.seed.between(0, 900));
        self.pass(now.monotonic + took);
        let now = self.stage.now;
        self.stage.network.now = now.monotonic;
        self.has_more = self.server.flush(&mut self.stage.network, now);
        while let Some(id) = self.server.poll_readable() {
            self.stage.network.queue(id);
        }
        self.free();
        self.has_more |= !self.stage.network.ready.is_empty();
        self.server.observe(ShellFacts::default(), took);
        self.check_queues();
        self.serve_readers();
        self.check_whispers();
        self.hand_out();
    }

    fn take_events(&mut self, now: Now) {
        for (wire, readiness) in self.stage.network.take_events() {
            let Some(id) = self.stage.network.socket(wire).id else {
                continue;
            };
            if readiness.writable {
                // A peer that takes bytes is alive.
                self.stage.network.socket(wire).heard_at = now.monotonic;
                self.server.writable(id, now);
            }
            if readiness.hung_up {
                self.stage.network.mark_ending(wire);
            }
            if readiness.readable || readiness.hung_up {
                self.stage.network.queue(id);
            }
        }
        for (job, is_accepted) in std::mem::take(&mut self.done) {
            self.server.finished(job, is_accepted, now);
        }
    }

    fn accept(&mut self, now: Now) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(wire) = self.stage.network.backlog.pop_front() else {
                return;
            };
            if self.stage.network.socket(wire).is_reset {
                self.stage.network.socket(wire).is_dropped = true;
                self.stage.network.touched.push(wire);
                continue;
            }
            let address = self.stage.network.socket(wire).manner.address;
            let config = &self.stage.model.config;
            let count = self.addresses.get(&address).copied().unwrap_or(0);
            let is_welcome = !self.server.is_draining()
                && self.server.connection_count() < config.connections
                && (address.is_loopback() || count < config.connections_per_address);
            let accepted = self.server.accept(address, now);
            assert_eq!(
                accepted.is_some(),
                is_welcome,
                "who comes from {address} as number {count}"
            );
            match accepted {
                Some(id) => {
                    *self.addresses.entry(address).or_default() += 1;
                    self.stage.network.accepted(wire, id);
                }
                None => {
                    self.stage.model.count("connections refused");
                    let bytes = self.server.refusal_of_a_connection(now);
                    let socket = self.stage.network.socket(wire);
                    socket.down = bytes;
                    socket.was_refused = true;
                    socket.is_dropped = true;
                    self.stage.network.touched.push(wire);
                }
            }
        }
    }

    fn read_ready(&mut self, now: Now) {
        for _ in 0..self.stage.network.ready.len() {
            if self.server.is_turn_full() {
                return;
            }
            let Some(id) = self.stage.network.ready.pop_front() else {
                return;
            };
            self.stage.network.clear_queued(id);
            if !self.server.may_read(id) {
                continue;
            }
            match self.stage.network.read(id, READ_BYTES) {
                None => {}
                Some(Ok(bytes)) if bytes.is_empty() => self.server.end_of_stream(id, now),
                Some(Ok(bytes)) => {
                    self.server.receive(id, &bytes, now);
                    if bytes.len() == READ_BYTES || self.stage.network.is_ending(id) {
                        self.stage.network.queue(id);
                    }
                }
                Some(Err(())) => self.server.closed(id, now),
            }
        }
    }

    fn submit_jobs(&mut self) {
        while let Some(check) = self.server.poll_job() {
            let password = std::str::from_utf8(&check.password).expect("ours are text");
            let mut words = password.split(' ');
            let is_accepted = words.next() == Some("yes");
            let delay = words
                .next()
                .and_then(|delay| delay.parse().ok())
                .expect("a delay");
            let at = self.stage.at() + Duration::from_millis(delay);
            self.stage
                .agenda
                .add(at, Todo::Finish(check.job, is_accepted));
            self.stage.model.count("password checks");
        }
    }

    pub fn free(&mut self) {
        while let Some(id) = self.server.poll_freed() {
            let wire = self
                .stage
                .network
                .wire(id)
                .expect("the server frees what it has");
            let address = self.stage.network.socket(wire).manner.address;
            if !address.is_loopback() {
                *self.addresses.get_mut(&address).expect("was counted") -= 1;
            }
            self.stage.network.freed(id);
        }
    }

    /// What a socket has may be read by its client now.
    pub fn serve_readers(&mut self) {
        let touched = std::mem::take(&mut self.stage.network.touched);
        for wire in touched {
            let socket = self.stage.network.socket(wire);
            let manner = socket.manner;
            match manner.reading {
                Reading::Prompt => self.hand_over(wire, usize::MAX),
                Reading::Slow(_, every) => self.take_in(wire, every),
                Reading::Stalled if socket.is_dropped => self.tell_end(wire),
                Reading::Stalled => self.take_in(wire, Duration::from_secs(90)),
            }
        }
    }

    fn take_in(&mut self, wire: Wire, time: Duration) {
        if !std::mem::replace(&mut self.stage.network.socket(wire).is_taking, true) {
            let at = self.stage.at() + time;
            self.stage.agenda.add(at, Todo::Take(wire));
        }
    }

    /// A slow client reads something; one that has stalled begins to.
    fn take(&mut self, wire: Wire) {
        let socket = self.stage.network.socket(wire);
        socket.is_taking = false;
        if socket.manner.reading == Reading::Stalled {
            socket.manner.reading = Reading::Slow(4_000, Duration::from_millis(500));
        }
        let Reading::Slow(bytes, every) = socket.manner.reading else {
            return;
        };
        self.hand_over(wire, bytes);
        let socket = self.stage.network.socket(wire);
        if !socket.down.is_empty() && !socket.is_reset {
            self.take_in(wire, every);
        }
    }

    fn hand_over(&mut self, wire: Wire, max: usize) {
        let bytes = self.stage.network.take(wire, max);
        let owner = self.stage.network.socket(wire).owner;
        if !bytes.is_empty() {
            self.clients[owner].read(wire, &bytes, &mut self.stage);
        }
        self.tell_end(wire);
    }

    fn tell_end(&mut self, wire: Wire) {
        let socket = self.stage.network.socket(wire);
        let is_read = socket.down.is_empty() || socket.manner.reading == Reading::Stalled;
        if socket.is_over() && is_read && !std::mem::replace(&mut socket.is_told, true) {
            let owner = socket.owner;
            if let Some(client) = self.clients.get_mut(owner) {
                client.ended(wire, &mut self.stage);
            }
        }
    }

    /// Tickets go to those who will show them, all at once.
    fn hand_out(&mut self) {
        for (client, ticket) in std::mem::take(&mut self.stage.handed_out) {
            if let Client::Chat(chat) = &mut self.clients[client] {
                chat.contend(ticket, &mut self.stage);
            }
        }
    }
}
