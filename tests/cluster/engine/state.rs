//! The state of the engine, and the commands on connections and channels.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::chance::Chance;
use super::commands::{self, Context, Effect, NOT_INTEGER, Outcome, integer, upper};
use super::data::Data;
use super::reply::Reply;

pub(crate) const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
pub(crate) const READ_ONLY: &str = "READONLY You can't write against a read only replica.";
const NO_AUTH: &str = "NOAUTH Authentication required.";

/// A connection.
#[derive(Default)]
pub(crate) struct Connection {
    /// The engine's number for it: a new process of the engine counts anew.
    pub id: i64,
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    /// Pushes that wait for the reply to the command under way.
    deferred: Vec<u8>,
    pub is_closed: bool,
    /// Closes once its reply is written.
    pub is_closing: bool,
    pub is_three: bool,
    pub is_known: bool,
    database: usize,
    pub name: String,
    /// The replicas that WAIT asks for, and when it gives up: until then no other command of this connection is carried out.
    waits: Option<(i64, Option<Duration>)>,
    channels: BTreeSet<Vec<u8>>,
}

/// What a script that runs has done, and where.
pub(crate) struct Running {
    database: usize,
    has_written: bool,
}

pub(crate) struct Core {
    pub data: Data,
    pub connections: Vec<Connection>,
    channels: BTreeMap<Vec<u8>, BTreeSet<usize>>,
    pub chance: Chance,
    pub run_id: String,
    pub replication_id: String,
    pub next_id: i64,
    pub is_out_of_memory: bool,
    /// The limit of memory that is shown, in bytes.
    pub memory_max: i64,
    pub is_read_only: bool,
    /// The error of commands that write, where a setting hinders them.
    pub refuses_writes: Option<&'static str>,
    /// Whether a push of a connection's own command comes before the reply.
    pub has_early_pushes: bool,
    pub replicas: i64,
    pub policy: String,
    pub version: String,
    /// How often each command on keys was carried out.
    pub counts: BTreeMap<&'static str, usize>,
    pub password: Option<String>,
    pub unix: Duration,
    /// The connection whose command is carried out.
    pub current: usize,
    pub running: Option<Running>,
}

/// The commands that are not on keys: with how many words, and whether scripts may use them.
static SESSION: &[(&str, i32, bool)] = &[
    ("AUTH", -2, false),
    ("CLIENT", -2, false),
    ("CONFIG", -2, false),
    ("ECHO", 2, true),
    ("EVAL", -3, false),
    ("EVALSHA", -3, false),
    ("HELLO", -1, false),
    ("INFO", -1, true),
    ("PING", -1, true),
    ("PUBLISH", 3, true),
    ("QUIT", -1, false),
    ("ROLE", 1, false),
    ("SCRIPT", -2, false),
    ("SELECT", 2, true),
    ("SUBSCRIBE", -2, false),
    ("UNSUBSCRIBE", -1, false),
    ("WAIT", 3, false),
];

fn session(name: &str) -> Option<(i32, bool)> {
    SESSION
        .iter()
        .find(|command| command.0 == name)
        .map(|command| (command.1, command.2))
}

impl Core {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let (run_id, replication_id) = (chance.name(), chance.name());
        Self {
            data: Data::new(seed),
            connections: Vec::new(),
            channels: BTreeMap::new(),
            chance,
            run_id,
            replication_id,
            next_id: 1,
            is_out_of_memory: false,
            memory_max: 0,
            is_read_only: false,
            refuses_writes: None,
            has_early_pushes: false,
            replicas: 0,
            policy: "noeviction".to_owned(),
            version: "7.0.15".to_owned(),
            counts: BTreeMap::new(),
            password: None,
            unix: Duration::ZERO,
            current: 0,
            running: None,
        }
    }

    pub fn me(&mut self) -> &mut Connection {
        &mut self.connections[self.current]
    }

    /// The error of a command that writes, while there is one.
    fn refuses_write(&self) -> Option<&'static str> {
        match self.is_read_only {
            true => Some(READ_ONLY),
            false => self.refuses_writes,
        }
    }

    /// What hinders the current connection from carrying out a command now.
    pub fn refusal(&self, name: &str, words: &[Vec<u8>]) -> Option<String> {
        let key_command = commands::find(name);
        let Some(arity) = key_command
            .map(|command| command.arity)
            .or(session(name).map(|session| session.0))
        else {
            let shown = words[1..]
                .iter()
                .map(|word| format!("'{}' ", String::from_utf8_lossy(word)));
            let command = String::from_utf8_lossy(&words[0]);
            return Some(format!(
                "ERR unknown command '{command}', with args beginning with: {}",
                shown.collect::<String>()
            ));
        };
        if !commands::fits(arity, words.len()) {
            return Some(commands::wrong_count(name));
        }
        let connection = &self.connections[self.current];
        if self.password.is_some()
            && !connection.is_known
            && !["AUTH", "HELLO", "QUIT"].contains(&name)
        {
            return Some(NO_AUTH.to_owned());
        }
        let effect = key_command.map_or(Effect::Reads, |command| command.effect);
        if self.is_out_of_memory && effect == Effect::Grows {
            return Some(OUT_OF_MEMORY.to_owned());
        }
        if let Some(refusal) = self.refuses_write()
            && effect != Effect::Reads
        {
            return Some(refusal.to_owned());
        }
        let listens = !connection.is_three && !connection.channels.is_empty();
        if listens && !["SUBSCRIBE", "UNSUBSCRIBE", "PING", "QUIT"].contains(&name) {
            let allowed = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
            return Some(format!(
                "ERR Can't execute '{}': {allowed}",
                name.to_lowercase()
            ));
        }
        None
    }

    /// Carries out a command on keys in a database.
    fn on_keys(
        &mut self,
        command: &commands::Command,
        words: &[Vec<u8>],
        database: usize,
    ) -> Outcome {
        *self.counts.entry(command.name).or_default() += 1;
        let mut context = Context {
            unix: self.unix,
            chance: &mut self.chance,
        };
        let database = &mut self.data.databases[database];
        database.expire(context.now());
        (command.run)(database, words, &mut context)
    }

    /// Carries out any command of the current connection but those for scripts.
    pub fn answer(&mut self, name: &str, words: &[Vec<u8>]) -> Outcome {
        if let Some(command) = commands::find(name) {
            let database = self.me().database;
            return self.on_keys(command, words, database);
        }
        match name {
            "AUTH" => self.auth(&words[1..]),
            "CLIENT" => self.client(words),
            "CONFIG" => self.config(words),
            "ECHO" => Ok(Reply::Bulk(words[1].clone())),
            "HELLO" => self.hello(&words[1..]),
            "INFO" => Ok(Reply::Verbatim(self.info(&words[1..]))),
            "PING" => self.ping(words),
            "PUBLISH" => Ok(Reply::count(self.publish(&words[1], &words[2]))),
            "QUIT" => {
                self.me().is_closing = true;
                Ok(Reply::ok())
            }
            "ROLE" => Ok(self.role()),
            "SELECT" => {
                let database = select(&words[1])?;
                self.me().database = database;
                Ok(Reply::ok())
            }
            "SUBSCRIBE" => Ok(self.subscribe(&words[1..])),
            "UNSUBSCRIBE" => Ok(self.unsubscribe(&words[1..])),
            "WAIT" => self.wait(words),
            _ => Err(format!("ERR unknown command '{name}'")),
        }
    }

    /// A script begins.
    pub fn begin_script(&mut self) {
        let database = self.me().database;
        self.running = Some(Running {
            database,
            has_written: false,
        });
    }

    /// Carries out a command of the script that runs.
    pub fn answer_script(&mut self, words: &[Vec<u8>]) -> Outcome {
        let name = upper(&words[0]);
        let Some(mut running) = self.running.take() else {
            return Err("ERR no script runs".to_owned());
        };
        let outcome = self.answer_running(&name, words, &mut running);
        self.running = Some(running);
        outcome
    }

    fn answer_running(&mut self, name: &str, words: &[Vec<u8>], running: &mut Running) -> Outcome {
        let command = commands::find(name);
        let (arity, is_allowed) = match (command, session(name)) {
            (Some(command), _) => (command.arity, true),
            (None, Some(session)) => session,
            (None, None) => return Err("ERR Unknown Redis command called from script".to_owned()),
        };
        if !commands::fits(arity, words.len()) {
            return Err("ERR Wrong number of args calling Redis command from script".to_owned());
        }
        if !is_allowed {
            return Err("ERR This Redis command is not allowed from script".to_owned());
        }
        let Some(command) = command else {
            if name == "SELECT" {
                running.database = select(&words[1])?;
                return Ok(Reply::ok());
            }
            return self.answer(name, words);
        };
        // A script that has written is not stopped any more, so that it is not left half done.
        if let Some(refusal) = self.refuses_write()
            && command.effect != Effect::Reads
            && !running.has_written
        {
            return Err(refusal.to_owned());
        }
        if command.effect == Effect::Grows && !running.has_written && self.is_out_of_memory {
            return Err(OUT_OF_MEMORY.to_owned());
        }
        running.has_written |= command.effect != Effect::Reads;
        self.on_keys(command, words, running.database)
    }

    /// Writes the reply to the command of the current connection, then the pushes that came of it.
    pub fn reply(&mut self, reply: &Reply) {
        let connection = self.me();
        reply.write(connection.is_three, &mut connection.output);
        let deferred = std::mem::take(&mut connection.deferred);
        connection.output.extend(deferred);
        if connection.is_closing {
            let current = self.current;
            self.close(current);
        }
    }

    /// Opens a connection. Returns its place.
    pub fn open(&mut self) -> usize {
        self.connections.push(Connection {
            id: self.next_id,
            ..Connection::default()
        });
        self.next_id += 1;
        self.connections.len() - 1
    }

    /// Closes a connection. What was written before can still be taken.
    pub fn close(&mut self, at: usize) {
        let connection = &mut self.connections[at];
        connection.is_closed = true;
        connection.input.clear();
        for channel in std::mem::take(&mut connection.channels) {
            self.forget(&channel, at);
        }
    }

    fn forget(&mut self, channel: &[u8], at: usize) {
        if let Some(listeners) = self.channels.get_mut(channel) {
            listeners.remove(&at);
            if listeners.is_empty() {
                self.channels.remove(channel);
            }
        }
    }

    fn publish(&mut self, channel: &[u8], payload: &[u8]) -> usize {
        let Some(listeners) = self.channels.get(channel) else {
            return 0;
        };
        let parts = [b"message".as_slice(), channel, payload];
        let push = Reply::Push(
            parts
                .iter()
                .map(|part| Reply::Bulk(part.to_vec()))
                .collect(),
        );
        for at in listeners {
            let connection = &mut self.connections[*at];
            let waits = *at == self.current && !self.has_early_pushes;
            let out = if waits {
                &mut connection.deferred
            } else {
                &mut connection.output
            };
            push.write(connection.is_three, out);
        }
        listeners.len()
    }

    fn subscribe(&mut self, channels: &[Vec<u8>]) -> Reply {
        let current = self.current;
        let mut replies = Vec::new();
        for channel in channels {
            self.channels
                .entry(channel.clone())
                .or_default()
                .insert(current);
            let connection = &mut self.connections[current];
            connection.channels.insert(channel.clone());
            replies.push(confirmation(
                "subscribe",
                Some(channel),
                connection.channels.len(),
            ));
        }
        Reply::Several(replies)
    }

    fn unsubscribe(&mut self, channels: &[Vec<u8>]) -> Reply {
        let current = self.current;
        let all = self.connections[current].channels.iter().cloned().collect();
        let channels: Vec<Vec<u8>> = if channels.is_empty() {
            all
        } else {
            channels.to_vec()
        };
        if channels.is_empty() {
            return Reply::Several(vec![confirmation("unsubscribe", None, 0)]);
        }
        let mut replies = Vec::new();
        for channel in channels {
            self.forget(&channel, current);
            let connection = &mut self.connections[current];
            connection.channels.remove(&channel);
            replies.push(confirmation(
                "unsubscribe",
                Some(&channel),
                connection.channels.len(),
            ));
        }
        Reply::Several(replies)
    }

    fn ping(&mut self, words: &[Vec<u8>]) -> Outcome {
        if words.len() > 2 {
            return Err(commands::wrong_count("ping"));
        }
        let text = words.get(1);
        let connection = &self.connections[self.current];
        if !connection.is_three && !connection.channels.is_empty() {
            let text = text.cloned().unwrap_or_default();
            return Ok(Reply::Array(vec![Reply::text("pong"), Reply::Bulk(text)]));
        }
        Ok(text.map_or_else(
            || Reply::Status("PONG".to_owned()),
            |text| Reply::Bulk(text.clone()),
        ))
    }

    /// Has the connection wait, unless there are enough replicas; the reply is written by [`Self::is_waiting`] then.
    fn wait(&mut self, words: &[Vec<u8>]) -> Outcome {
        let wanted = integer(&words[1]).ok_or(NOT_INTEGER)?;
        match integer(&words[2]) {
            None => Err("ERR timeout is not an integer or out of range".to_owned()),
            Some(timeout) if timeout < 0 => Err("ERR timeout is negative".to_owned()),
            Some(_) if self.is_read_only => {
                Err("ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
                     configured to be writable (which is not the default) writes to replicas are just local and are not \
                     propagated."
                    .to_owned())
            }
            Some(timeout) => {
                let timeout = u64::try_from(timeout).unwrap_or(0);
                let until = (timeout > 0).then(|| self.unix + Duration::from_millis(timeout));
                self.me().waits = Some((wanted, until));
                Ok(Reply::Several(Vec::new()))
            }
        }
    }

    /// Whether the current connection still waits for replicas. Answers it when it does not any more.
    pub fn is_waiting(&mut self) -> bool {
        let (replicas, unix) = (self.replicas, self.unix);
        let Some((wanted, until)) = self.me().waits else {
            return false;
        };
        if replicas < wanted && until.is_none_or(|until| until > unix) {
            return true;
        }
        self.me().waits = None;
        self.reply(&Reply::Integer(replicas));
        false
    }
}

fn confirmation(kind: &str, channel: Option<&Vec<u8>>, count: usize) -> Reply {
    Reply::Push(vec![
        Reply::text(kind),
        Reply::optional(channel.map(Vec::as_slice)),
        Reply::count(count),
    ])
}

fn select(word: &[u8]) -> Result<usize, String> {
    let number = integer(word).ok_or(NOT_INTEGER)?;
    let database = usize::try_from(number).ok().filter(|number| *number < 16);
    database.ok_or_else(|| "ERR DB index is out of range".to_owned())
}
