//! The abuses of the server.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Result;
use crate::abuser::{
    Abuse, connect, connect_narrow, connect_tiny, count, discard, enter, exchange, get, guest,
    join, member, opening, post, post_json, read_to_end, repeat, reset, text,
};
use crate::frames::{PING, push_client_frame};
use crate::pair;
use crate::whispers;

pub const ALL: [Abuse; 21] = [
    abuse(
        "slow-heads",
        "bytes of 2,000 heads, one a second",
        slow_heads,
    ),
    abuse(
        "half-bodies",
        "bodies of 63 KiB but for a byte",
        half_bodies,
    ),
    abuse(
        "stalled-readers",
        "messages to 200 clients that read nothing",
        stalled_readers,
    ),
    abuse(
        "tiny-windows",
        "messages of 4,000 bytes to 500 clients with tiny windows",
        tiny_windows,
    ),
    abuse(
        "stalled-subscribers",
        "events to 200 clients that read nothing",
        stalled_subscribers,
    ),
    abuse(
        "unread-answers",
        "requests of 500 clients that read nothing",
        unread_answers,
    ),
    abuse("connections", "connections that stay", connections),
    abuse("resets", "resets at four stages", resets),
    abuse("garbage", "connections with 4 KiB of noise", garbage),
    abuse(
        "bad-frames",
        "WebSockets with a malformed frame",
        bad_frames,
    ),
    abuse("oversized", "messages of more than 64 KiB", oversized),
    abuse(
        "fragments",
        "fragments of one byte on 100 WebSockets",
        fragments,
    ),
    abuse("pings", "pings on 50 WebSockets", pings),
    abuse("joins", "joins and leaves of the pair's room", joins),
    abuse(
        "histories",
        "joins and leaves of a room with 1.2 MB of history",
        histories,
    ),
    abuse("rooms", "rooms made", rooms),
    abuse("lists", "lists of 1,000 rooms", lists),
    abuse("logins", "logins with a wrong password", logins),
    abuse(
        "whispers",
        "whispers to a user with 8,000 connections",
        whispers::of_one,
    ),
    abuse(
        "whispers-in-rooms",
        "whispers of 20 to a user with 2,000 connections in 60 rooms each",
        whispers::in_rooms,
    ),
    abuse(
        "whispers-of-many",
        "whispers of 20 to a user with 8,000 connections",
        whispers::of_many,
    ),
];

const fn abuse(name: &'static str, unit: &'static str, start: fn(SocketAddr)) -> Abuse {
    Abuse { name, unit, start }
}

/// Keeps this many connections open: `make` replaces each that the server closes, and `tick` runs on each once a
/// second.
fn hold(
    connections: usize,
    make: impl Fn() -> Result<TcpStream> + Send + 'static,
    tick: impl Fn(&mut TcpStream) -> Result<()> + Send + 'static,
) {
    hold_every(Duration::from_secs(1), connections, make, tick);
}

/// As [`hold`], with `tick` at another interval.
fn hold_every(
    every: Duration,
    connections: usize,
    make: impl Fn() -> Result<TcpStream> + Send + 'static,
    tick: impl Fn(&mut TcpStream) -> Result<()> + Send + 'static,
) {
    thread::spawn(move || {
        let mut held: Vec<TcpStream> = Vec::new();
        loop {
            let started = Instant::now();
            held.retain_mut(|stream| tick(stream).is_ok());
            while held.len() < connections {
                match make() {
                    Ok(stream) => held.push(stream),
                    // Refused: it is tried again at the next tick.
                    Err(_) => break,
                }
            }
            thread::sleep(every.saturating_sub(started.elapsed()));
        }
    });
}

fn slow_heads(address: SocketAddr) {
    let make = move || {
        let mut stream = connect(address)?;
        stream.write_all(b"GET /?")?;
        Ok(stream)
    };
    hold(2_000, make, |stream| {
        discard(stream)?;
        stream.write_all(b"a")?;
        count(1);
        Ok(())
    });
}

fn half_bodies(address: SocketAddr) {
    const BYTES: usize = 63 * 1024;
    let make = move || {
        let mut stream = connect(address)?;
        stream.write_all(post("/rooms", BYTES).as_bytes())?;
        stream.write_all(&[b' '; BYTES - 1])?;
        count(1);
        Ok(stream)
    };
    hold(1_000, make, discard);
}

fn stalled_readers(address: SocketAddr) {
    let room = json!({"name": "flood", "max_users": 1_000});
    let _ = connect(address).map(|mut stream| exchange(&mut stream, &post_json("/rooms", &room)));
    let number = AtomicUsize::new(0);
    // A connection closed with 4008 is replaced. None of them reads anything.
    let make = move || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        enter(
            connect_narrow(address)?,
            &format!("stalled-{number}"),
            "flood",
        )
    };
    let born = Instant::now();
    hold(200, make, move |stream| {
        let is_old = born.elapsed().as_secs() % 4 == 3;
        if is_old {
            reset(stream.try_clone()?)?;
            return Err("it is replaced".into());
        }
        Ok(())
    });
    repeat(2, move |number| {
        let mut talker = member(address, &format!("talker-{number}"), "flood")?;
        let chat = text(&json!({"type": "chat", "room": "flood", "content": "가".repeat(4_000)}));
        loop {
            talker.write_all(&chat)?;
            count(1);
            // Just below the rate limit of a connection.
            thread::sleep(Duration::from_millis(11));
            discard(&mut talker)?;
        }
    });
}

/// Every send to these connections takes the system long. Half of them read a little at times, the others
/// nothing. All are replaced at the same time, every two seconds: then their sockets take bytes again, and each of them
/// gets the room's history of 200 KB.
fn tiny_windows(address: SocketAddr) {
    const READERS: usize = 500;
    /// Ticks after which the readers are replaced.
    const LIFE: usize = 40;
    const ROOM: &str = "flood";
    let room = json!({"name": ROOM, "max_users": 1_000});
    let _ = connect(address).map(|mut stream| exchange(&mut stream, &post_json("/rooms", &room)));
    let number = AtomicUsize::new(0);
    // The replies are not awaited: they take long to read through a tiny window.
    let make = move || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let mut stream = connect_tiny(address)?;
        let mut bytes = opening(&format!("/ws?username=reader-{number}")).into_bytes();
        bytes.extend(join(ROOM));
        stream.write_all(&bytes)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let ticks = AtomicUsize::new(0);
    hold_every(Duration::from_millis(50), READERS, make, move |stream| {
        let tick = ticks.fetch_add(1, Ordering::Relaxed);
        if (tick / READERS + 1).is_multiple_of(LIFE) {
            reset(stream.try_clone()?)?;
            return Err("it is replaced".into());
        }
        if !tick.is_multiple_of(2) {
            return Ok(());
        }
        match stream.read(&mut [0; 1024]) {
            Ok(0) => Err("the server closed the connection".into()),
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(()),
        }
    });
    repeat(2, move |number| {
        let mut talker = member(address, &format!("talker-{number}"), ROOM)?;
        let chat = text(&json!({"type": "chat", "room": ROOM, "content": "a".repeat(4_000)}));
        loop {
            talker.write_all(&chat)?;
            count(1);
            // Just below the rate limit of a connection.
            thread::sleep(Duration::from_millis(11));
            discard(&mut talker)?;
        }
    });
}

fn stalled_subscribers(address: SocketAddr) {
    let make = move || {
        let mut stream = connect_narrow(address)?;
        stream.write_all(get("/sse/all").as_bytes())?;
        Ok(stream)
    };
    hold(200, make, |_| Ok(()));
    repeat(4, move |_| {
        let mut publisher = connect(address)?;
        let figures = json!({"revenue": 1, "note": "가".repeat(1_200)});
        loop {
            exchange(&mut publisher, &post_json("/events/business", &figures))?;
            count(1);
        }
    });
}

fn unread_answers(address: SocketAddr) {
    let make = move || {
        let mut stream = connect_narrow(address)?;
        stream.set_nonblocking(true)?;
        // As many requests as the socket takes.
        let requests = get("/static/chat.js").repeat(200);
        count(stream.write(requests.as_bytes())? / get("/static/chat.js").len());
        Ok(stream)
    };
    hold(500, make, |_| Ok(()));
}

fn connections(address: SocketAddr) {
    let make = move || {
        let mut stream = connect(address)?;
        exchange(&mut stream, &get("/livez"))?;
        count(1);
        Ok(stream)
    };
    hold(5_000, make, discard);
}

fn resets(address: SocketAddr) {
    repeat(8, move |number| {
        for stage in 0..4 {
            let mut stream = connect(address)?;
            let begun = match stage {
                0 => String::new(),
                1 => "GET /rooms HT".into(),
                2 => get("/rooms").repeat(20),
                _ => opening(&format!("/ws?username=reset-{number}")),
            };
            stream.write_all(begun.as_bytes())?;
            if stage == 3 {
                stream.write_all(&join(pair::ROOM))?;
            }
            reset(stream)?;
            count(1);
        }
        Ok(())
    });
}

fn garbage(address: SocketAddr) {
    repeat(8, move |number| {
        let mut stream = connect(address)?;
        let mut state = number as u64 + 1;
        let noise: Vec<u8> = (0..4096)
            .map(|_| {
                // The linear congruential generator of Knuth's MMIX.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        stream.write_all(&noise)?;
        let end = read_to_end(&mut stream);
        count(1);
        reset(stream)?;
        end
    });
}

/// Frames that a client may not send (RFC 6455 sections 5 and 7.4).
fn malformed() -> Vec<Vec<u8>> {
    let masked =
        |first: u8, length: &[u8], payload: &[u8]| [&[first], length, &[0; 4], payload].concat();
    vec![
        masked(0xc1, &[0x82], b"{}"),
        masked(0x83, &[0x82], b"{}"),
        vec![0x81, 2, b'{', b'}'],
        masked(0x89, &[0xfe, 0, 126], &[0; 126]),
        masked(0x81, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], b""),
        masked(0x09, &[0x80], b""),
        masked(0x80, &[0x82], b"{}"),
        masked(0x81, &[0x82], b"\xff\xfe"),
        masked(0x88, &[0x82], &1005_u16.to_be_bytes()),
        masked(0x82, &[0x82], b"{}"),
    ]
}

fn bad_frames(address: SocketAddr) {
    repeat(8, move |number| {
        for frame in malformed() {
            let mut stream = guest(address, &format!("bad-{number}"))?;
            stream.write_all(&frame)?;
            count(1);
            // The server sends a close code and awaits the close frame; this client resets instead.
            discard(&mut stream)?;
            reset(stream)?;
        }
        Ok(())
    });
}

fn oversized(address: SocketAddr) {
    repeat(8, move |number| {
        let mut stream = guest(address, &format!("large-{number}"))?;
        let length = 16_u64 * 1024 * 1024;
        let header = [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
        stream.write_all(&header)?;
        count(1);
        // Until the server takes no more.
        while stream.write(&[b'a'; 64 * 1024])? > 0 {}
        Ok(())
    });
}

fn fragments(address: SocketAddr) {
    repeat(100, move |number| {
        let mut stream = guest(address, &format!("fragments-{number}"))?;
        let mut bytes = Vec::new();
        bytes.extend([0x01, 0x81, 0, 0, 0, 0, b'a']);
        for _ in 0..1_000 {
            bytes.extend([0x00, 0x81, 0, 0, 0, 0, b'a']);
        }
        // The next message starts in the middle of this one, so the server fails the connection.
        stream.write_all(&bytes)?;
        count(1_001);
        thread::sleep(Duration::from_millis(20));
        reset(stream)
    });
}

fn pings(address: SocketAddr) {
    repeat(50, move |number| {
        let mut stream = guest(address, &format!("pings-{number}"))?;
        let mut bytes = Vec::new();
        for _ in 0..100 {
            push_client_frame(&mut bytes, PING, &[7; 125]);
        }
        loop {
            stream.write_all(&bytes)?;
            count(100);
            discard(&mut stream)?;
        }
    });
}

fn joins(address: SocketAddr) {
    come_and_go(address, pair::ROOM);
}

/// 50 guests that join and leave a room as often as the rate limit permits.
fn come_and_go(address: SocketAddr, room: &'static str) {
    repeat(50, move |number| {
        let mut stream = guest(address, &format!("restless-{number}"))?;
        let leave = text(&json!({"type": "leave", "room": room}));
        loop {
            for message in [join(room), leave.clone()] {
                stream.write_all(&message)?;
                count(1);
                // Just below the rate limit of a connection.
                thread::sleep(Duration::from_millis(11));
                discard(&mut stream)?;
            }
        }
    });
}

fn histories(address: SocketAddr) {
    const ROOM: &str = "long";
    // Each of these characters takes six bytes in JSON.
    let chat = json!({"type": "chat", "room": ROOM, "content": "\u{1}".repeat(4_096)});
    let fill = || -> Result<()> {
        let mut talker = member(address, "talker", ROOM)?;
        talker.write_all(&text(&chat).repeat(50))?;
        thread::sleep(Duration::from_millis(100));
        discard(&mut talker)
    };
    let _ = fill();
    come_and_go(address, ROOM);
}

fn rooms(address: SocketAddr) {
    repeat(8, move |number| {
        let mut stream = connect(address)?;
        for n in 0_u64.. {
            let room = json!({"name": format!("{number}-{n}"), "max_users": 1_000_000});
            exchange(&mut stream, &post_json("/rooms", &room))?;
            count(1);
        }
        Ok(())
    });
}

fn lists(address: SocketAddr) {
    thread::spawn(move || {
        let fill = || -> Result<()> {
            let mut stream = connect(address)?;
            for n in 0..999 {
                let room = json!({"name": format!("{n:04}{}", "가".repeat(60))});
                exchange(&mut stream, &post_json("/rooms", &room))?;
            }
            Ok(())
        };
        let _ = fill();
        repeat(16, move |_| {
            let mut stream = connect(address)?;
            loop {
                exchange(&mut stream, &get("/rooms"))?;
                count(1);
            }
        });
    });
}

fn logins(address: SocketAddr) {
    repeat(100, move |number| {
        let mut stream = connect(address)?;
        for n in 0_u64.. {
            let form = json!({"username": format!("{number}-{n}"), "password": "wrong"});
            exchange(&mut stream, &post_json("/auth/login", &form))?;
            count(1);
        }
        Ok(())
    });
}
