//! A model of the engine (Redis, Valkey) as a value without I/O, clock and threads: bytes go in, bytes come out, and the same
//! seed gives the same bytes. It carries out the real scripts.

#![forbid(unsafe_code)]

mod chance;
mod commands;
mod data;
mod reply;
mod script;
mod session;
mod state;
mod wire;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

pub use self::data::Data;

use self::commands::{Outcome, upper};
use self::reply::Reply;
use self::script::Scripts;
use self::state::Core;
use self::wire::Request;

/// The engine.
pub struct Engine {
    core: Rc<RefCell<Core>>,
    scripts: Scripts,
}

/// A connection to the engine. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client(pub usize);

impl Engine {
    /// An empty engine. The seed decides the order of members, choices by chance, and names.
    pub fn new(seed: u64) -> Self {
        let core = Rc::new(RefCell::new(Core::new(seed)));
        let scripts = Scripts::new(&core);
        Self { core, scripts }
    }

    /// Opens a connection.
    pub fn connect(&mut self) -> Client {
        Client(self.core.borrow_mut().open())
    }

    /// The client has closed its connection.
    pub fn disconnect(&mut self, client: Client) {
        let mut core = self.core.borrow_mut();
        core.close(client.0);
        core.connections[client.0].output = Vec::new();
    }

    /// Bytes from a client, split anyhow. Carries out all commands that are whole. `unix` is the wall clock.
    pub fn receive(&mut self, client: Client, bytes: &[u8], unix: Duration) {
        let mut input = {
            let mut core = self.core.borrow_mut();
            core.unix = unix;
            core.current = client.0;
            let connection = &mut core.connections[client.0];
            if connection.is_closed {
                return;
            }
            connection.input.extend(bytes);
            std::mem::take(&mut connection.input)
        };
        let mut done = 0;
        while !self.is_closed(client) && !self.core.borrow_mut().is_waiting() {
            match wire::read(&input[done..]) {
                Request::Incomplete => break,
                Request::Whole(words, length) => {
                    done += length;
                    if !words.is_empty() {
                        let reply = self.answer(&words).unwrap_or_else(Reply::Error);
                        self.core.borrow_mut().reply(&reply);
                    }
                }
                Request::Broken(error) => {
                    let mut core = self.core.borrow_mut();
                    core.connections[client.0].is_closing = true;
                    core.reply(&Reply::Error(error));
                }
            }
        }
        if !self.is_closed(client) {
            input.drain(..done);
            self.core.borrow_mut().connections[client.0].input = input;
        }
    }

    fn answer(&mut self, words: &[Vec<u8>]) -> Outcome {
        let name = upper(&words[0]);
        if let Some(refusal) = self.core.borrow().refusal(&name, words) {
            return Err(refusal);
        }
        match name.as_str() {
            "EVAL" | "EVALSHA" | "SCRIPT" => self.scripts.answer(&self.core, &name, words),
            _ => self.core.borrow_mut().answer(&name, words),
        }
    }

    /// Takes what is to be sent to a client: also what was written before the engine closed the connection.
    pub fn take_output(&mut self, client: Client) -> Vec<u8> {
        std::mem::take(&mut self.core.borrow_mut().connections[client.0].output)
    }

    /// Whether the connection is closed, by whichever side.
    pub fn is_closed(&self, client: Client) -> bool {
        self.core.borrow().connections[client.0].is_closed
    }

    /// How often a command on keys was carried out, alone or by a script.
    pub fn count(&self, command: &str) -> usize {
        let core = self.core.borrow();
        core.counts.get(command).copied().unwrap_or(0)
    }

    /// All keys that are there, over all databases, with their time to live.
    pub fn keys(&self, unix: Duration) -> Vec<(String, Option<Duration>)> {
        let now = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        let core = self.core.borrow();
        let all = core
            .data
            .databases
            .iter()
            .flat_map(|database| database.keys());
        let there = all.filter(|(_, expires)| expires.is_none_or(|at| at >= now));
        let shown = there.map(|(key, expires)| {
            let left = expires.map(|at| Duration::from_millis(at - now));
            (String::from_utf8_lossy(key).into_owned(), left)
        });
        shown.collect()
    }
}

/// What may happen to an engine.
impl Engine {
    /// All data is gone; scripts stay.
    pub fn flush_all(&mut self) {
        self.core
            .borrow_mut()
            .data
            .databases
            .iter_mut()
            .for_each(|database| database.clear());
    }

    /// All scripts are gone.
    pub fn flush_scripts(&mut self) {
        self.scripts.forget();
    }

    /// Whether commands that need memory are refused. A script is not refused as a whole: its first such command fails,
    /// unless the script has written before.
    pub fn set_out_of_memory(&mut self, is_on: bool) {
        self.core.borrow_mut().is_out_of_memory = is_on;
    }

    /// Whether it is a replica: commands that write are refused.
    pub fn set_read_only(&mut self, is_on: bool) {
        self.core.borrow_mut().is_read_only = is_on;
    }

    /// The error of commands that write, with its code: as of one without enough replicas, or that cannot save.
    pub fn set_writes_refused(&mut self, error: Option<&'static str>) {
        self.core.borrow_mut().refuses_writes = error;
    }

    /// Whether what a connection publishes to itself comes before the reply to that command, as from Redis 7.0, or after it, as
    /// from Valkey 8 (and at first here).
    pub fn set_early_pushes(&mut self, is_on: bool) {
        self.core.borrow_mut().has_early_pushes = is_on;
    }

    /// How many replicas WAIT finds.
    pub fn set_replicas(&mut self, count: i64) {
        self.core.borrow_mut().replicas = count;
    }

    /// The eviction policy that CONFIG and INFO show.
    pub fn set_policy(&mut self, policy: &str) {
        policy.clone_into(&mut self.core.borrow_mut().policy);
    }

    /// The version that INFO shows.
    pub fn set_version(&mut self, version: &str) {
        version.clone_into(&mut self.core.borrow_mut().version);
    }

    /// The password of the user `default`. Connections that are open stay known.
    pub fn set_password(&mut self, password: Option<&str>) {
        self.core.borrow_mut().password = password.map(str::to_owned);
    }

    /// What a replica has at this moment.
    pub fn snapshot(&self) -> Data {
        self.core.borrow().data.clone()
    }

    /// A replica with this data takes over: it has no scripts, other names, and no clients.
    pub fn promote(&mut self, data: Data) {
        self.restart();
        self.scripts.forget();
        let mut core = self.core.borrow_mut();
        core.data = data;
        core.replication_id = core.chance.name();
        core.is_read_only = false;
        // It has had clients of its own.
        core.next_id += i64::try_from(core.chance.below(8)).unwrap_or(0);
    }

    /// The engine starts anew with its data. Its numbers of connections begin anew, too.
    pub fn restart(&mut self) {
        self.kill_clients();
        self.scripts.forget();
        let mut core = self.core.borrow_mut();
        core.run_id = core.chance.name();
        core.next_id = 1;
    }

    /// All connections are closed.
    pub fn kill_clients(&mut self) {
        let mut core = self.core.borrow_mut();
        for at in 0..core.connections.len() {
            core.close(at);
        }
    }
}
