//! Runs one seed: time goes from event to event, and what the shell does between two waits is done with virtual sockets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use sarang::config::listen::UNIX_PEER;
use sarang::config::{ACCEPTS_PER_TURN, DEADLINES_PER_TURN, TURN_PART};
use sarang::server::{Server, ShellFacts};

use super::audit::Audit;
use super::chat::Chat;
use super::files::Files;
use super::jobs::Jobs;
use super::late::Wishes;
use super::network::{NOBODY, Reading, Wire};
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

/// In so many turns everything that was read is answered, and in that time by a late backend.
const SETTLING_TURNS: usize = 4;
const SETTLING: Duration = Duration::from_secs(20);
/// The longest a turn may take.
const TURN_MAX: Duration = Duration::from_millis(10);

/// A server, its network, its clients.
pub struct World {
    pub server: Server,
    pub stage: Stage,
    pub clients: Vec<Client>,
    /// Whether the last turn had more to do.
    pub has_more: bool,
    addresses: BTreeMap<IpAddr, usize>,
    pub jobs: Jobs,
    pub wishes: Wishes,
    pub queue_max: usize,
    /// What a moderator reads.
    pub audit: Audit,
}

impl World {
    pub fn new(server: Server, stage: Stage, clients: Vec<Client>, files: Files) -> Self {
        let addresses = BTreeMap::new();
        Self {
            server,
            stage,
            clients,
            has_more: false,
            addresses,
            jobs: Jobs::new(files),
            wishes: Wishes::default(),
            queue_max: 0,
            audit: Audit::default(),
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

    /// Has the server answer what it has read until now, also what a late backend has to answer first; the time from which
    /// on more has come.
    pub fn settle(&mut self) -> Duration {
        let begin = self.stage.at();
        for _ in 0..SETTLING_TURNS {
            self.turn();
        }
        let mut later = self.stage.at();
        let end = later + SETTLING;
        while self.stage.model.is_late && self.is_waiting() && later < end {
            later += Duration::from_secs(1);
            self.run_until(later);
        }
        begin
    }

    pub fn is_quiet(&self) -> bool {
        !self.has_more && !self.stage.network.is_eventful()
    }

    fn next_time(&mut self) -> Option<Duration> {
        let now = self.stage.at();
        let soon = (!self.is_quiet()).then_some(now);
        let times = [self.stage.agenda.next(), self.server.next_timeout(), soon];
        let next = times.into_iter().flatten().min()?.max(now);
        // Now and then the loop was busy with something else.
        let late = match self.stage.seed.chance(2) {
            true => self.stage.seed.millis(1, 120),
            false => Duration::ZERO,
        };
        Some(next + late)
    }

    pub(super) fn pass(&mut self, at: Duration) {
        let now = &mut self.stage.network.now;
        let passed = at.saturating_sub(now.monotonic);
        now.monotonic += passed;
        now.unix += passed;
    }

    fn do_todos(&mut self) {
        let now = self.stage.at();
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
                Todo::Finish(job) => self.finish(job),
                Todo::Jump(seconds) => {
                    let before = self.stage.unix_secs();
                    if seconds < 0 {
                        for client in &mut self.clients {
                            if let Client::Web(web) = client {
                                web.logged_out.clear();
                            }
                        }
                        self.stage.model.register.clock_goes_back(before);
                    }
                    let unix = &mut self.stage.network.now.unix;
                    let size = Duration::from_secs(seconds.unsigned_abs());
                    *unix = if seconds < 0 {
                        *unix - size
                    } else {
                        *unix + size
                    };
                    self.stage.model.jumped_at = now;
                    self.stage.model.count("clock jumps");
                }
                Todo::Reload(change) => self.reload(change),
                Todo::Inspect if self.is_quiet() => self.inspect(),
                Todo::Inspect => self
                    .stage
                    .agenda
                    .add(now + Duration::from_millis(5), Todo::Inspect),
            }
        }
    }

    /// What the shell does when it wakes, and a turn.
    pub fn turn(&mut self) {
        self.stage.model.begin_turn(self.has_more);
        self.take_events();
        self.accept();
        self.take_jobs();
        self.server.observe(ShellFacts::default());
        let began = self.stage.at();
        self.has_more = self.server.turn(self.stage.now(), &mut self.stage.network);
        self.check_turn(began);
        self.forget_closed();
        self.check_queues();
        self.read_audit();
        self.serve_readers();
        self.check_whispers();
        self.check_sessions();
        self.hand_out();
    }

    /// What was due when the turn began is done, unless too much was, and it has not taken too long.
    fn check_turn(&mut self, began: Duration) {
        let took = self.stage.at() - began;
        assert!(took <= TURN_MAX, "a turn takes {took:?}");
        if took >= TURN_PART {
            self.stage.model.count("long turns");
        }
        let next = self.server.next_timeout();
        let are_too_many = self.server.connection_count() > DEADLINES_PER_TURN
            || self.stage.model.may_have_many_in_grace(began);
        assert!(
            are_too_many || next.is_none_or(|next| next > began),
            "due at {next:?} and not done at {began:?}"
        );
    }

    fn take_events(&mut self) {
        let now = self.stage.now();
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
                self.server.ending(id);
            } else if readiness.readable {
                self.server.readable(id);
            }
        }
    }

    fn accept(&mut self) {
        let now = self.stage.now();
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(wire) = self.stage.network.backlog.pop_front() else {
                return;
            };
            if self.stage.network.socket(wire).is_reset {
                self.stage.network.socket(wire).is_dropped = true;
                self.stage.network.touched.push(wire);
                continue;
            }
            let proxy = self.stage.network.proxy(wire);
            let address = proxy.unwrap_or(self.stage.network.socket(wire).manner.address);
            let config = &self.stage.model.config;
            let count = self.addresses.get(&address).copied().unwrap_or(0);
            let is_welcome = !self.server.is_draining()
                && self.server.connection_count() < config.connections
                && (address.is_loopback()
                    || proxy.is_some()
                    || count < config.connections_per_address);
            let accepted = self.server.accept(address, now);
            assert_eq!(
                accepted.is_some(),
                is_welcome,
                "who comes from {address} as number {count}"
            );
            match accepted {
                Some(id) => {
                    if proxy.is_some() {
                        let has_header = self.stage.network.has_headers;
                        self.stage.model.count(match has_header {
                            true => "connections of proxies with a header",
                            false => "connections of proxies",
                        });
                    }
                    if address == UNIX_PEER {
                        self.stage.model.count("connections to a unix socket");
                    }
                    *self.addresses.entry(address).or_default() += 1;
                    self.note_reuse(id, wire);
                    self.stage.network.accepted(wire, id);
                }
                None => {
                    self.stage.model.count("connections refused");
                    let bytes = self.server.refusal_of_a_connection(&[], now);
                    let socket = self.stage.network.socket(wire);
                    socket.down = bytes;
                    socket.was_refused = true;
                    socket.is_dropped = true;
                    self.stage.network.touched.push(wire);
                }
            }
        }
    }

    /// Whoever comes from the address of a socket that was dropped is one of fewer.
    pub fn forget_closed(&mut self) {
        for wire in std::mem::take(&mut self.stage.network.closed) {
            let proxy = self.stage.network.proxy(wire);
            let address = proxy.unwrap_or(self.stage.network.socket(wire).manner.address);
            if !address.is_loopback() {
                *self.addresses.get_mut(&address).expect("was counted") -= 1;
            }
            let owner = self.stage.network.socket(wire).owner;
            self.note_dropped(owner);
        }
    }

    /// What a socket has may be read by its client now.
    pub fn serve_readers(&mut self) {
        let touched = std::mem::take(&mut self.stage.network.touched);
        for wire in touched {
            let socket = self.stage.network.socket(wire);
            let manner = socket.manner;
            if socket.owner == NOBODY {
                continue;
            }
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
