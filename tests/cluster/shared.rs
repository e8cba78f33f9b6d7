//! The engine of a story that is told on the model and on real engines: what nodes say to it arrives in an order that is the same
//! for all, and an operator may ask it something between any two of their commands.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::engine::{Client, Engine};
use crate::nodes::Transport;
use crate::peer::{Peer, Said, command, parse};

/// The key of the rooms in which nobody is. They make way in the order of the milliseconds at which they came there.
const IDLE: &str = "sg:idle";

/// An engine that nodes share.
pub trait Shared: Transport {
    /// What it is called in a failure.
    fn name(&self) -> String;
    /// An operator asks it something. Whatever it has said to nodes before is not lost, also if it closes their connections.
    fn operate(&mut self, words: &[&str]) -> Said;
    /// The engine's number of a connection.
    fn number(&self, client: Client) -> String;
    /// The next millisecond of its clock has begun.
    fn tick(&mut self);
}

fn words_of(words: &[&str]) -> Vec<u8> {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    command(&words)
}

/// Whole commands, cut before each that asks for the time at which nobody is in a room any more.
fn pieces(bytes: &[u8]) -> Vec<(bool, &[u8])> {
    let mut pieces = Vec::new();
    let (mut begun, mut at, mut is_timed) = (0, 0, false);
    while at < bytes.len() {
        let (said, length) = parse(&bytes[at..]).expect("a node sends whole commands");
        if matches!(&said, Said::List(_, words) if words.contains(&Said::Bulk(IDLE.into()))) {
            if at > begun {
                pieces.push((is_timed, &bytes[begun..at]));
            }
            (begun, is_timed) = (at, true);
        }
        at += length;
    }
    if at > begun {
        pieces.push((is_timed, &bytes[begun..at]));
    }
    pieces
}

/// The model. Its clock is not that of the nodes: as for a real engine hardly any time passes for it.
pub struct Model {
    engine: Engine,
    operator: Client,
    unix: Duration,
    numbers: Vec<(Client, String)>,
    name: String,
}

impl Model {
    pub fn new(seed: u64, has_early_pushes: bool) -> Self {
        let mut engine = Engine::new(seed);
        engine.set_early_pushes(has_early_pushes);
        let operator = engine.connect();
        Self {
            engine,
            operator,
            unix: Duration::from_secs(1_705_314_600),
            numbers: Vec::new(),
            name: format!("the model with early pushes: {has_early_pushes}"),
        }
    }

    fn ask(&mut self, client: Client, words: &[&str]) -> Said {
        self.engine.receive(client, &words_of(words), self.unix);
        let said = self.engine.take_output(client);
        parse(&said).map_or(Said::Nothing, |(said, _)| said)
    }
}

impl Transport for Model {
    fn connect(&mut self) -> Client {
        let client = self.engine.connect();
        let Said::Integer(number) = self.ask(client, &["CLIENT", "ID"]) else {
            panic!("the model numbers its connections");
        };
        self.numbers.push((client, number));
        client
    }

    fn disconnect(&mut self, client: Client) {
        self.engine.disconnect(client);
    }

    fn receive(&mut self, client: Client, bytes: &[u8], _: Duration) {
        for (is_timed, piece) in pieces(bytes) {
            if is_timed {
                self.tick();
            }
            self.engine.receive(client, piece, self.unix);
        }
    }

    fn take_output(&mut self, client: Client) -> Vec<u8> {
        self.engine.take_output(client)
    }

    fn is_closed(&self, client: Client) -> bool {
        self.engine.is_closed(client)
    }
}

impl Shared for Model {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn operate(&mut self, words: &[&str]) -> Said {
        self.ask(self.operator, words)
    }

    fn number(&self, client: Client) -> String {
        let mut numbers = self.numbers.iter();
        let found = numbers.find(|(of, _)| *of == client);
        found.expect("is one of its connections").1.clone()
    }

    fn tick(&mut self) {
        self.unix += Duration::from_millis(1);
    }
}

/// A connection of a node to a real engine.
struct Line {
    /// None once either side has closed it.
    stream: Option<TcpStream>,
    number: String,
    /// What the engine has said.
    input: Vec<u8>,
    /// What of it is for the node.
    output: Vec<u8>,
    barriers: u64,
}

impl Line {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a real engine listens");
        stream.set_nodelay(true).expect("a socket");
        // Only there to fail.
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a socket");
        let mut line = Self {
            stream: Some(stream),
            number: String::new(),
            input: Vec::new(),
            output: Vec::new(),
            barriers: 0,
        };
        line.write(&words_of(&["CLIENT", "ID"]));
        match line.read() {
            Some((Said::Integer(number), _)) => line.number = number,
            other => panic!("a real engine numbers its connections: {other:?}"),
        }
        line
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream
            && stream.write_all(bytes).is_err()
        {
            self.stream = None;
        }
    }

    /// The next thing that the engine says, and its bytes; none if it has closed the connection.
    fn read(&mut self) -> Option<(Said, Vec<u8>)> {
        loop {
            if !self.input.is_empty()
                && let Some((said, length)) = parse(&self.input)
            {
                return Some((said, self.input.drain(..length).collect()));
            }
            let mut buffer = [0; 65_536];
            match self.stream.as_mut()?.read(&mut buffer) {
                Ok(0) => self.stream = None,
                Ok(length) => self.input.extend(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.stream = None,
                Err(error) => panic!("a real engine answers: {error}"),
            }
        }
    }

    /// Everything that was sent is carried out, and everything is here that any connection's commands have had the engine say to
    /// this one so far. It answers a connection in order, and writes a push into the same buffer before it answers the command it
    /// comes from.
    fn synchronise(&mut self) {
        if self.stream.is_none() {
            return;
        }
        self.barriers += 1;
        let barrier = format!("barrier {} of {}", self.barriers, self.number);
        self.write(&words_of(&["ECHO", &barrier]));
        while let Some((said, bytes)) = self.read() {
            if said == Said::Bulk(barrier.clone()) {
                return;
            }
            self.output.extend(bytes);
        }
    }
}

/// A real engine.
pub struct Real {
    address: String,
    operator: Peer,
    lines: Vec<Line>,
    /// The last millisecond of its clock that was seen.
    millisecond: u64,
}

impl Real {
    /// Empties it.
    pub fn new(address: &str) -> Self {
        let mut operator = Peer::real(address);
        operator.begin(true);
        Self {
            address: address.into(),
            operator,
            lines: Vec::new(),
            millisecond: 0,
        }
    }

    pub fn has_early_pushes(&self) -> bool {
        self.operator.has_early_pushes()
    }

    fn time(&mut self) -> u64 {
        let said = self.operator.ask(&words_of(&["TIME"]));
        let Said::List(_, parts) = &said else {
            panic!("an engine has a clock: {said:?}");
        };
        let parts: Vec<u64> = parts
            .iter()
            .map(|part| match part {
                Said::Bulk(text) => text.parse().expect("a number"),
                other => panic!("no number: {other:?}"),
            })
            .collect();
        parts[0] * 1_000 + parts[1] / 1_000
    }
}

impl Transport for Real {
    fn connect(&mut self) -> Client {
        self.lines.push(Line::open(&self.address));
        Client(self.lines.len() - 1)
    }

    fn disconnect(&mut self, client: Client) {
        self.lines[client.0].stream = None;
        self.lines[client.0].output.clear();
    }

    fn receive(&mut self, client: Client, bytes: &[u8], _: Duration) {
        for (is_timed, piece) in pieces(bytes) {
            if is_timed {
                self.lines[client.0].synchronise();
                self.tick();
            }
            self.lines[client.0].write(piece);
        }
    }

    fn take_output(&mut self, client: Client) -> Vec<u8> {
        let line = &mut self.lines[client.0];
        line.synchronise();
        std::mem::take(&mut line.output)
    }

    fn is_closed(&self, client: Client) -> bool {
        self.lines[client.0].stream.is_none()
    }
}

impl Shared for Real {
    fn name(&self) -> String {
        self.address.clone()
    }

    fn operate(&mut self, words: &[&str]) -> Said {
        self.lines.iter_mut().for_each(Line::synchronise);
        let said = self.operator.ask(&words_of(words));
        self.lines.iter_mut().for_each(Line::synchronise);
        said
    }

    fn number(&self, client: Client) -> String {
        self.lines[client.0].number.clone()
    }

    fn tick(&mut self) {
        // A clock that was set back has a next millisecond, too.
        loop {
            let now = self.time();
            if now != self.millisecond {
                self.millisecond = now;
                return;
            }
        }
    }
}
