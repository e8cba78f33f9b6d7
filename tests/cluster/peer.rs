//! Who is asked: the model or a real engine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::{Client, Engine};

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// Nothing was answered.
    Nothing,
    Status(String),
    Error(String),
    Integer(String),
    Double(String),
    Bulk(String),
    Null,
    List(char, Vec<Self>),
}

impl Said {
    /// With the members of lists in one order; those of a map in pairs.
    pub fn sorted(self) -> Self {
        match self {
            Self::List('%', items) => {
                let mut pairs: Vec<Vec<Self>> = items.chunks(2).map(<[Self]>::to_vec).collect();
                pairs.sort();
                Self::List('%', pairs.concat())
            }
            Self::List(kind, mut items) => {
                items.sort();
                Self::List(kind, items)
            }
            other => other,
        }
    }

    pub fn is_positive(&self) -> bool {
        matches!(self, Self::Integer(number) if number.parse().is_ok_and(|number: i64| number > 0))
    }

    /// With the codes of errors only, also where a script has returned their texts.
    pub fn coded(self) -> Self {
        let code = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
        match self {
            Self::Error(text) => Self::Error(code(&text)),
            Self::Bulk(text) if text.starts_with("ERR ") => Self::Bulk(code(&text)),
            Self::List(kind, items) => {
                Self::List(kind, items.into_iter().map(Self::coded).collect())
            }
            other => other,
        }
    }

    pub fn shown(&self) -> String {
        match self {
            Self::Nothing => "Nothing".into(),
            Self::Null => "Null".into(),
            Self::Status(text) => format!("Status({text})"),
            Self::Error(text) => format!("Error({text})"),
            Self::Integer(text) => format!("Integer({text})"),
            Self::Double(text) => format!("Double({text})"),
            Self::Bulk(text) => format!("Bulk({text})"),
            Self::List(kind, items) => {
                let items: Vec<String> = items.iter().map(Self::shown).collect();
                let name = if *kind == '>' {
                    "Push".into()
                } else {
                    kind.to_string()
                };
                format!("{name}[{}]", items.join(", "))
            }
        }
    }
}

/// A command as it is sent.
pub fn command(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Reads one reply. Returns how many bytes it took, if it is whole.
pub fn parse(bytes: &[u8]) -> Option<(Said, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let text = String::from_utf8_lossy(&bytes[1..end]).into_owned();
    let mut at = end + 2;
    let said = match char::from(bytes[0]) {
        '+' => Said::Status(text),
        '-' => Said::Error(text),
        ':' => Said::Integer(text),
        ',' => Said::Double(text),
        '_' => Said::Null,
        '$' | '*' if text == "-1" => {
            Said::List('0', vec![Said::Bulk(char::from(bytes[0]).to_string())])
        }
        '$' | '=' => {
            let length: usize = text.parse().expect("a length");
            let bulk = bytes.get(at..at + length + 2)?;
            at += length + 2;
            Said::Bulk(String::from_utf8_lossy(&bulk[..length]).into_owned())
        }
        kind @ ('*' | '%' | '~' | '>') => {
            let count: usize = text.parse().expect("a count");
            let mut items = Vec::new();
            for _ in 0..count * if kind == '%' { 2 } else { 1 } {
                let (item, length) = parse(&bytes[at..])?;
                items.push(item);
                at += length;
            }
            Said::List(kind, items)
        }
        other => panic!("a reply begins with {other:?}"),
    };
    Some((said, at))
}

/// The addresses of real engines, for one test at a time: each empties them.
pub fn real_engines() -> (Vec<String>, MutexGuard<'static, ()>) {
    static ENGINES: Mutex<()> = Mutex::new(());
    let guard = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    let named = std::env::var("SARANG_ENGINES").unwrap_or_default();
    (
        named
            .split(',')
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect(),
        guard,
    )
}

enum Kind {
    Model {
        engine: Box<Engine>,
        client: Client,
        piece: usize,
        unix: Duration,
    },
    Real {
        address: String,
        stream: TcpStream,
    },
}

pub struct Peer {
    kind: Kind,
    is_of_model_version: bool,
    has_early_pushes: bool,
    input: Vec<u8>,
}

impl Peer {
    /// A model that gets its bytes in pieces of at most so many.
    pub fn model(seed: u64, piece: usize) -> Self {
        let mut engine = Box::new(Engine::new(seed));
        let client = engine.connect();
        let unix = Duration::from_secs(1_700_000_000);
        Self {
            kind: Kind::Model {
                engine,
                client,
                piece,
                unix,
            },
            input: Vec::new(),
            is_of_model_version: true,
            has_early_pushes: false,
        }
    }

    pub fn real(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a real engine listens");
        stream.set_nodelay(true).expect("a socket");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket");
        let kind = Kind::Real {
            address: address.to_owned(),
            stream,
        };
        let mut peer = Self {
            kind,
            input: Vec::new(),
            is_of_model_version: false,
            has_early_pushes: false,
        };
        if let Said::Bulk(info) = peer.ask(b"INFO server\r\n") {
            let is_redis = !info.contains("valkey_version:");
            peer.is_of_model_version = is_redis && info.contains("redis_version:7.0.");
        }
        peer.has_early_pushes = peer.is_of_model_version;
        peer
    }

    pub fn is_of_model_version(&self) -> bool {
        self.is_of_model_version
    }

    pub fn has_early_pushes(&self) -> bool {
        self.has_early_pushes
    }

    pub fn set_early_pushes(&mut self) {
        self.has_early_pushes = true;
        if let Kind::Model { engine, .. } = &mut self.kind {
            engine.set_early_pushes(true);
        }
    }

    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Model { .. } => "a model",
            Kind::Real { address, .. } => address,
        }
    }

    pub fn set_clock(&mut self, now: Duration) {
        if let Kind::Model { unix, .. } = &mut self.kind {
            *unix = now;
        }
    }

    /// Empties the engine, gives it memory, and chooses the version of the protocol.
    pub fn begin(&mut self, is_three: bool) {
        let words = |text: &str| {
            command(
                &text
                    .split(' ')
                    .map(|word| word.as_bytes().to_vec())
                    .collect::<Vec<_>>(),
            )
        };
        let answers = [
            words("CONFIG SET maxmemory 0"),
            words("FLUSHALL"),
            words("SCRIPT FLUSH"),
            words(if is_three { "HELLO 3" } else { "HELLO 2" }),
        ];
        for bytes in answers {
            assert!(!matches!(self.ask(&bytes), Said::Error(_) | Said::Nothing));
        }
    }

    pub fn ask(&mut self, bytes: &[u8]) -> Said {
        match &mut self.kind {
            Kind::Model {
                engine,
                client,
                piece,
                unix,
            } => {
                for part in bytes.chunks(*piece) {
                    engine.receive(*client, part, *unix);
                }
            }
            Kind::Real { stream, .. } => stream.write_all(bytes).expect("a real engine reads"),
        }
        self.next()
    }

    /// What comes next.
    pub fn next(&mut self) -> Said {
        loop {
            if let Some((said, length)) = (!self.input.is_empty())
                .then(|| parse(&self.input))
                .flatten()
            {
                self.input.drain(..length);
                return said;
            }
            match &mut self.kind {
                Kind::Model { engine, client, .. } => {
                    let output = engine.take_output(*client);
                    if output.is_empty() {
                        return Said::Nothing;
                    }
                    self.input.extend(output);
                }
                Kind::Real { stream, .. } => {
                    let mut buffer = [0; 65536];
                    let length = stream.read(&mut buffer).expect("a real engine answers");
                    assert_ne!(length, 0, "a real engine has closed the connection");
                    self.input.extend(&buffer[..length]);
                }
            }
        }
    }
}
