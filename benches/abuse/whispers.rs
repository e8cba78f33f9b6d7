//! Whispers to a user with thousands of connections, all of which read what they are sent.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use serde_json::json;

use crate::Result;
use crate::abuser::{await_message, connect, count, discard, guest, join, repeat, text};

const TARGET: &str = "target";
/// Between two whispers of a sender: just below the rate limit of a connection.
const EVERY: Duration = Duration::from_micros(1_000_000 / 95);
/// For the server to carry out the last joins.
const SETTLE: Duration = Duration::from_secs(2);

pub fn of_one(address: SocketAddr) {
    whisper(address, 1, 8_000, 0);
}

pub fn in_rooms(address: SocketAddr) {
    whisper(address, 20, 2_000, 60);
}

pub fn of_many(address: SocketAddr) {
    whisper(address, 20, 8_000, 0);
}

/// Whispers of so many senders to a user with so many connections, each in so many rooms.
fn whisper(address: SocketAddr, senders: usize, connections: usize, rooms: usize) {
    match open_all(address, connections, rooms) {
        Ok(crowd) => thread::spawn(move || read_all(crowd)),
        Err(error) => return eprintln!("abuse: the target's connections: {error}"),
    };
    thread::sleep(SETTLE);
    repeat(senders, move |number| {
        let mut sender = guest(address, &format!("sender-{number}"))?;
        let whisper = text(&json!({"type": "whisper", "to": TARGET, "content": "hello"}));
        loop {
            sender.write_all(&whisper)?;
            count(1);
            thread::sleep(EVERY);
            discard(&mut sender)?;
        }
    });
}

fn open_all(address: SocketAddr, connections: usize, rooms: usize) -> Result<Vec<TcpStream>> {
    let joins: Vec<u8> = (0..rooms).flat_map(|n| join(&format!("r{n}"))).collect();
    let opening = crate::abuser::opening(&format!("/ws?username={TARGET}"));
    let open = |_| {
        let mut stream = await_message(connect(address)?, &opening, "welcome")?;
        stream.write_all(&joins)?;
        Ok(stream)
    };
    (0..connections).map(open).collect()
}

/// Reads and drops whatever comes.
fn read_all(crowd: Vec<TcpStream>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut streams = Vec::new();
    for (number, stream) in crowd.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let token = Token(number);
        poll.registry()
            .register(&mut stream, token, Interest::READABLE)?;
        streams.push(stream);
    }
    let mut events = Events::with_capacity(1024);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let stream = &mut streams[event.token().0];
            loop {
                match stream.read(&mut chunk) {
                    // Closed: nothing more is signalled for it.
                    Ok(0) => break,
                    // A short read has emptied the socket (epoll(7)).
                    Ok(count) if count < chunk.len() => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
    }
}
