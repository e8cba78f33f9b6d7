//! A server on virtual time, with sockets that are buffers.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use sarang::config::Config;
use sarang::config::listen::UNIX_PEER;
use sarang::conn::transmit::{Sent, Transmit};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::{Credentials, Reload};
use sarang::domain::ids::{ConnectionId, Serial};
use sarang::domain::metrics::Machine;
use sarang::domain::time::Now;
use sarang::server::Server;
use sarang::server::backend::{Backend, Memory, Remote};
use sarang::server::io::{Io, Received};
use sarang::server::jobs::{Done, Job, PasswordCheck};
use sarang::wire::jwt::Key;

use super::dealings::Judge;
use super::files::{Change, Files, SECRETS, secrets, version_of};
use super::late::{Answer, Late};
use super::register::{Checked, Register, TicketId};

/// More turns in a row than this are an endless loop.
const TURNS_MAX: usize = 10_000;
/// The address of [`World::connect`] that the server trusts, if it trusts any: 192.0.2.2.
pub const PROXY: u8 = 2;
/// The one of a peer of a unix socket, which the server trusts always.
pub const UNIX: u8 = 3;

/// A socket.
#[derive(Debug, Default)]
pub struct Wire {
    /// The bytes the server sent.
    pub sent: Vec<u8>,
    /// How many more bytes it accepts; `None` is any number.
    pub room: Option<usize>,
    /// The bytes the server has not read.
    pub inbound: Vec<u8>,
    /// The client has ended its direction.
    pub is_ended: bool,
    /// The server has ended its direction.
    pub is_shut: bool,
}

#[derive(Debug, Default)]
struct Wires {
    open: BTreeMap<ConnectionId, Wire>,
    /// Sockets the server has dropped, with what they had sent.
    dropped: Vec<(ConnectionId, Wire)>,
    now: Now,
    /// The time that one send takes, and the end of a connection.
    send_time: Duration,
}

impl Wires {
    fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.unix = self.now.unix.saturating_add(time);
    }
}

impl Io for Wires {
    fn monotonic(&mut self) -> Duration {
        self.now.monotonic
    }

    fn receive(&mut self, from: ConnectionId, into: &mut [u8]) -> Received {
        let wire = self.open.get_mut(&from).expect("only what is open is read");
        if wire.inbound.is_empty() {
            return match wire.is_ended {
                true => Received::End,
                false => Received::Empty,
            };
        }
        let count = wire.inbound.len().min(into.len());
        into[..count].copy_from_slice(&wire.inbound[..count]);
        wire.inbound.drain(..count);
        Received::Bytes(count)
    }

    fn close(&mut self, id: ConnectionId) {
        self.pass(self.send_time);
        let wire = self.open.remove(&id).expect("is freed once");
        self.dropped.push((id, wire));
    }

    fn log(&mut self, _: &str) {}
}

impl Transmit for Wires {
    fn send(&mut self, to: ConnectionId, bytes: &[u8]) -> Sent {
        self.pass(self.send_time);
        let Some(wire) = self.open.get_mut(&to) else {
            return Sent::Gone;
        };
        assert!(!wire.is_shut, "nothing is sent after the end");
        let count = bytes.len().min(wire.room.unwrap_or(usize::MAX));
        wire.sent.extend_from_slice(&bytes[..count]);
        wire.room = wire.room.map(|room| room - count);
        Sent::Bytes(count)
    }

    fn send_vectored(&mut self, to: ConnectionId, slices: &[IoSlice<'_>]) -> Sent {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.send(to, &all)
    }

    fn shutdown(&mut self, to: ConnectionId) {
        if let Some(wire) = self.open.get_mut(&to) {
            wire.is_shut = true;
        }
    }
}

/// The demo account, unless it was removed, and one secret.
fn credentials(has_account: bool) -> Credentials {
    let text = if has_account { DEMO_ACCOUNTS } else { "" };
    Credentials {
        accounts: Accounts::parse(text, [1; 32]).expect("reads").into(),
        keys: vec![secret()],
        api_keys: ApiKeys::default(),
    }
}

/// The secret of all servers.
pub fn secret() -> Key {
    Key::new(None, &[2; 32]).expect("is long enough")
}

/// The users file of a configured server, which is no demo.
pub fn configured() -> Option<PathBuf> {
    Some("users".into())
}

/// A server and its sockets.
pub struct World {
    /// The server.
    pub server: Server,
    wires: Wires,
    /// Both clocks.
    pub now: Now,
    /// Password checks that are under way.
    pub checks: Vec<(Serial, PasswordCheck)>,
    /// Whether the account is there when the files are read again.
    has_account: bool,
    /// Nothing has happened since the last turn.
    pub is_settled: bool,
    /// The backend, if it is not the server's own memory.
    pub late: Option<Late>,
    /// The truth about tokens, if somebody keeps it.
    pub truth: Option<Truth>,
}

/// The operator's files, and all tokens.
pub struct Truth {
    /// What the files say.
    files: Files,
    /// All tokens and tickets.
    pub register: Register,
    /// How often each ticket was shown.
    shown: BTreeMap<TicketId, usize>,
    /// How much has happened: it tells apart what happens at one time.
    step: u64,
    /// The wall clock has only ever run.
    pub is_steady: bool,
    ticket_ttl: Duration,
    /// Whether pages, and the dashboard, need a token.
    pub are_private: (bool, bool),
}

impl World {
    /// A server without connections that keeps messages in memory.
    pub fn new(config: Config) -> Self {
        let now = Now {
            monotonic: Duration::ZERO,
            unix: Duration::from_secs(1_705_314_600),
        };
        Self {
            server: Server::new(config, credentials(true), &[7; 32], now),
            wires: Wires::default(),
            now,
            checks: Vec::new(),
            has_account: true,
            is_settled: false,
            late: None,
            truth: None,
        }
    }

    /// A server whose backend answers only through [`Self::answer`].
    pub fn with_late_backend(config: Config) -> Self {
        let mut world = Self::new(config.clone());
        let backend = Backend::Remote(Remote::default());
        let credentials = credentials(true);
        world.server = Server::with_backend(config, credentials, &[7; 32], world.now, backend);
        world.late = Some(Late::default());
        world
    }

    /// A server of which all tokens are known.
    pub fn with_truth(config: Config, is_late: bool) -> Self {
        let mut world = Self::new(config.clone());
        let keys = secrets(std::array::from_fn::<_, SECRETS, _>(|n| [n as u8 + 2; 32]));
        let files = Files::new(0);
        let credentials = files.credentials(&keys);
        world.truth = Some(Truth {
            register: Register::new(keys, files.clone(), config.token_ttl_secs),
            files,
            step: 0,
            shown: BTreeMap::new(),
            is_steady: true,
            ticket_ttl: config.ticket_ttl,
            are_private: (
                !config.is_demo(),
                !config.is_demo() && !config.public_dashboard,
            ),
        });
        let backend = match is_late {
            true => Backend::Remote(Remote::default()),
            false => Backend::Memory(Memory::new(7)),
        };
        world.server = Server::with_backend(config, credentials, &[7; 32], world.now, backend);
        world.late = is_late.then(Late::with_tickets);
        world
    }

    /// The truth about tokens, one step later.
    pub fn judge(&mut self) -> Option<Judge<'_>> {
        let now = self.now;
        let truth = self.truth.as_mut()?;
        truth.step += 1;
        Some(Judge {
            register: &mut truth.register,
            now: Now {
                monotonic: now.monotonic + Duration::from_nanos(truth.step),
                ..now
            },
            is_steady: truth.is_steady,
            ticket_ttl: truth.ticket_ttl,
            shown: &mut truth.shown,
        })
    }

    /// The operator changes the files, and has them read again.
    pub fn change(&mut self, change: Change) {
        if let Some(truth) = &mut self.truth {
            truth.files.change(change);
            self.server.reload();
        }
    }

    /// From here on each send, and the end of each connection, takes so much of the server's time.
    pub fn set_send_time(&mut self, time: Duration) {
        self.wires.send_time = time;
    }

    /// The backend answers, if a request waits.
    pub fn answer(&mut self, answer: &Answer) {
        let now = self.now;
        let answered = self.late.as_mut().and_then(|late| late.answer(answer, now));
        let redeemed = self.late.as_mut().and_then(|late| late.redeemed.take());
        if let (Some((ticket, is_good)), Some(judge)) = (redeemed, self.judge()) {
            let at = judge.now.monotonic;
            judge.register.redeemed(&ticket, is_good, at);
        }
        if let Some((serial, done)) = answered {
            self.server.finished(serial, done, now);
        }
    }

    /// The operator's files are read again.
    pub fn reload(&mut self, has_account: bool) {
        let had_account = std::mem::replace(&mut self.has_account, has_account);
        match self.truth.is_some() && had_account != has_account {
            true => self.change(Change::Account("admin")),
            false => self.server.reload(),
        }
    }

    /// Sockets the server has dropped, with the bytes it had sent, for the caller to take.
    pub fn dropped(&mut self) -> &mut Vec<(ConnectionId, Wire)> {
        &mut self.wires.dropped
    }

    /// A new connection from one of a few addresses; 0 is loopback, [`PROXY`] the trusted proxy, [`UNIX`] a unix socket.
    pub fn connect(&mut self, address: u8) -> Option<ConnectionId> {
        let address = match address {
            0 => Ipv4Addr::LOCALHOST.into(),
            UNIX => UNIX_PEER,
            other => Ipv4Addr::new(192, 0, 2, other).into(),
        };
        let id = self.server.accept(address, self.now)?;
        let replaced = self.wires.open.insert(id, Wire::default());
        assert!(replaced.is_none(), "an id is free when its socket is");
        Some(id)
    }

    /// A socket, while it is open.
    pub fn wire(&mut self, id: ConnectionId) -> Option<&mut Wire> {
        self.wires.open.get_mut(&id)
    }

    /// A client sends bytes, or ends its direction.
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8], is_end: bool) {
        if let Some(wire) = self.wire(id).filter(|wire| !wire.is_ended) {
            wire.inbound.extend_from_slice(bytes);
            wire.is_ended = is_end;
            match is_end {
                true => self.server.ending(id),
                false => self.server.readable(id),
            }
        }
    }

    /// A client's socket accepts more.
    pub fn take(&mut self, id: ConnectionId, room: Option<usize>) {
        let now = self.now;
        if let Some(wire) = self.wire(id) {
            wire.room = room.map(|room| room + wire.room.unwrap_or(0));
            self.server.writable(id, now);
        }
    }

    /// A connection breaks.
    pub fn reset(&mut self, id: ConnectionId) {
        self.server.closed(id, self.now);
    }

    /// Turns, until there is nothing to do.
    pub fn turn(&mut self) {
        for _ in 0..TURNS_MAX {
            self.take_jobs();
            self.wires.now = self.now;
            let has_more = self.server.turn(self.now, &mut self.wires);
            self.now = self.wires.now;
            if !has_more {
                self.is_settled = true;
                return;
            }
        }
        panic!("{TURNS_MAX} turns, and still there is something to do");
    }

    fn take_jobs(&mut self) {
        while let Some((serial, job)) = self.server.poll_job() {
            let done = match job {
                Job::SampleMachine => Done::MachineSampled(Machine::default()),
                Job::ReadCredentials(in_force) => {
                    let newer = self.read_credentials();
                    Done::CredentialsRead(Ok(Box::new(Reload::new(newer, &in_force))))
                }
                Job::CheckPassword(check) => {
                    self.checks.push((serial, check));
                    continue;
                }
                Job::DropAccounts(_) => continue,
                job => {
                    let late = self.late.as_mut().expect("memory asks for nothing more");
                    late.ask(serial, job);
                    continue;
                }
            };
            self.server.finished(serial, done, self.now);
        }
    }

    /// Reads the files. What they say is in force at once.
    fn read_credentials(&mut self) -> Credentials {
        let Some(files) = self.truth.as_ref().map(|truth| truth.files.clone()) else {
            return credentials(self.has_account);
        };
        let judge = self.judge().expect("there is a truth");
        let newer = files.credentials(&judge.register.keys);
        judge.register.put_in_force(files, judge.now);
        newer
    }

    /// Time passes; deadlines on the way are served when they are due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        let mut is_sampled = false;
        loop {
            // Of an idle server only the first of many samples, which are all alike.
            let next = match self.server.is_idle() && is_sampled {
                true => end,
                false => self.server.next_timeout().unwrap_or(end).min(end),
            };
            is_sampled = self.server.is_idle();
            // Turns take time too, if sends do.
            let wait = next.saturating_sub(self.now.monotonic);
            self.now.unix = self.now.unix.saturating_add(wait);
            self.now.monotonic += wait;
            self.turn();
            if self.now.monotonic >= end {
                return;
            }
        }
    }

    /// The worker has checked a password, perhaps after the client has left.
    pub fn finish_check(&mut self, index: usize, is_accepted: bool) {
        if !self.checks.is_empty() {
            let (serial, check) = self.checks.remove(index % self.checks.len());
            self.note_checked(&check, is_accepted);
            let done = Done::PasswordChecked(is_accepted);
            self.server.finished(serial, done, self.now);
        }
    }

    /// The same, as the password deserves: it begins with the number of that which it is.
    pub fn finish_check_rightly(&mut self, index: usize) {
        if !self.checks.is_empty() {
            let index = index % self.checks.len();
            let (_, check) = &self.checks[index];
            let version = check.password.first().map(|first| u32::from(first - b'0'));
            let is_right = version_of(&check.verifier) == version;
            self.finish_check(index, is_right);
        }
    }

    fn note_checked(&mut self, check: &PasswordCheck, is_accepted: bool) {
        let Some(judge) = self.judge() else {
            return;
        };
        let password = String::from_utf8(check.password.to_vec()).expect("ours are text");
        let name = password.splitn(3, ' ').nth(2).expect("ends with a name");
        let version = version_of(&check.verifier);
        let checked = Checked {
            at: judge.now.monotonic,
            is_good: is_accepted
                && version.is_some()
                && version == judge.register.password_of(name),
        };
        judge.register.checks.insert(password, checked);
    }

    /// When every client has gone, nothing is kept of them.
    pub fn assert_empty(&mut self) {
        self.turn();
        while !self.checks.is_empty() {
            self.finish_check(0, true);
            // The next is handed out.
            self.turn();
        }
        while self.late.as_ref().is_some_and(Late::is_asked) {
            self.answer(&Answer::FIRST);
            self.turn();
        }
        // Later than any token expires: the deadline of a session left behind would pass now.
        self.pass(Duration::from_secs(7_200));
        let server = &self.server;
        assert_eq!(server.connection_count(), 0);
        assert_eq!(server.subscriber_count(), 0);
        assert_eq!(server.rooms().people().count(), 0);
        assert!(server.rooms().list().iter().all(|room| room.users == 0));
        assert!(server.is_idle(), "nothing is awaited");
        assert!(self.wires.open.is_empty());
    }
}
