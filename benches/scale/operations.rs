//! The measured operations, in one process for one size.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sarang::config::ROOM_CREATIONS;
use sarang::domain::ids::ConnectionId;

use crate::Result;
use crate::accounts;
use crate::report::Row;
use crate::world::{World, config, frame, masked, resident_bytes};

/// Members of each of the many small rooms.
const ROOM: usize = 100;
/// Requests that a client pipelines.
const PIPELINED: usize = 16;
/// The other rooms: `everybody`, `thousand`, `two`, `one` and `quiet`.
const OTHER_ROOMS: usize = 5;
/// Members of the room that is the same at every size.
const PROBES: usize = 1_000;
/// Connections for each spare room. The spare rooms fill the server up to its limit of rooms before the measurement.
const CONNECTIONS_PER_SPARE_ROOM: usize = 50;
/// Further spare rooms, because the rooms that `POST /rooms` creates are not evicted within minutes.
const SPARE_ROOMS_MIN: usize = 1_000;

/// Cycles of events that are not measured.
const SETTLING_CYCLES: usize = 6;

/// CPU time of this thread.
pub fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

pub fn nanoseconds(since: Duration) -> f64 {
    (cpu() - since).as_secs_f64() * 1e9
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The state of the measurement.
struct Bench {
    world: World,
    size: usize,
    rounds: usize,
}

impl Bench {
    /// Runs `one` `times` times in each round, and prints the median cost of an operation. One run is `per` operations.
    fn time(&mut self, name: &str, times: usize, per: usize, mut one: impl FnMut(&mut World)) {
        // Round 0 warms caches; it is not counted.
        let mut rounds = Vec::new();
        for round in 0..=self.rounds {
            let since = cpu();
            for _ in 0..times {
                one(&mut self.world);
            }
            let each = nanoseconds(since) / (times * per) as f64;
            if round > 0 {
                rounds.push(each);
            }
        }
        Row::print(name, median(rounds), "ns");
    }

    /// Adds `count` connections, and prints the cost of each.
    fn fill(
        &mut self,
        kind: &str,
        count: usize,
        mut one: impl FnMut(&mut World, usize) -> ConnectionId,
    ) -> Result<()> {
        let before = resident_bytes()?;
        // They are added within ten seconds of the server's time, whatever their number.
        let pause = Duration::from_secs(10) / self.size as u32;
        let (begin, mut slowest) = (cpu(), 0.0);
        for n in 0..count {
            let since = cpu();
            one(&mut self.world, n);
            slowest = nanoseconds(since).max(slowest);
            self.world.pass(pause);
            if n.is_multiple_of(100) {
                self.world.settle();
            }
        }
        let grown = resident_bytes()?.saturating_sub(before);
        Row::print(
            &format!("memory of {kind}"),
            grown as f64 / count as f64,
            "bytes",
        );
        Row::print(
            &format!("connecting {kind}"),
            nanoseconds(begin) / count as f64,
            "ns",
        );
        Row::print("  the slowest", slowest / 1000.0, "µs");
        Ok(())
    }
}

/// Prints all rows of one size.
pub fn measure(size: usize, rounds: usize, has_addresses: bool) -> Result<()> {
    let quarter = size / 4;
    let spare_rooms = SPARE_ROOMS_MIN + size / CONNECTIONS_PER_SPARE_ROOM;
    let rooms = quarter.div_ceil(ROOM) + OTHER_ROOMS + spare_rooms;
    let mut world = World::new(config(rooms));
    world.has_addresses = has_addresses;
    // The first connection of each kind allocates what all of them share.
    for id in [
        world.member("first", "everybody"),
        world.subscriber("business"),
    ] {
        world.disconnect(id);
    }
    let mut bench = Bench {
        world,
        size,
        rounds,
    };
    bench.fill("an idle member of a room of 100", quarter, |world, n| {
        world.member(&format!("m{n:07}"), &format!("room{}", n / ROOM))
    })?;
    bench.fill("an idle member of the large room", quarter, |world, n| {
        world.member(&format!("e{n:07}"), "everybody")
    })?;
    bench.fill("an event stream", 2 * quarter, |world, _| {
        world.subscriber("business")
    })?;
    Row::print(
        "memory of the whole process",
        resident_bytes()? as f64 / size as f64,
        "bytes",
    );

    let probe = Probes::enter(&mut bench.world, spare_rooms);
    rest(&mut bench);
    talk(&mut bench, &probe);
    come_and_go(&mut bench, &probe, spare_rooms);
    ask(&mut bench, &probe);
    fan_out(&mut bench, &probe, ConnectionId(quarter as u32));
    tick(&mut bench);
    ping(&mut bench);
    accounts::measure(&mut bench.world, size, rounds)?;
    leave(&mut bench)
}

/// The connections that do the measured operations.
struct Probes {
    /// A member of the room of a thousand.
    thousand: ConnectionId,
    /// One of two members of the rooms `two`, in which chats are sent, and `quiet`.
    pair: ConnectionId,
    /// The only member of the room `one`.
    alone: ConnectionId,
    /// A guest in no room.
    stranger: ConnectionId,
    /// An HTTP connection.
    http: ConnectionId,
}

impl Probes {
    fn enter(world: &mut World, spare_rooms: usize) -> Self {
        let mut thousand = ConnectionId(0);
        for n in 0..PROBES {
            thousand = world.member(&format!("p{n:07}"), "thousand");
        }
        let pair = world.member("pair1", "two");
        let other = world.member("pair2", "two");
        for id in [pair, other] {
            world.say(id, r#"{"type":"join","room":"quiet"}"#);
        }
        let alone = world.member("alone", "one");
        let stranger = world.guest("stranger");
        for n in 0..spare_rooms {
            join_and_leave(world, stranger, &format!("spare{n}"));
        }
        let http = world.connect();
        world.get(http, "/livez");
        // The delayed effects: the number of users, the first events.
        world.pass(Duration::from_secs(2));
        world.settle();
        Self {
            thousand,
            pair,
            alone,
            stranger,
            http,
        }
    }
}

fn join_and_leave(world: &mut World, id: ConnectionId, room: &str) {
    world.say(id, &format!(r#"{{"type":"join","room":"{room}"}}"#));
    world.say(id, &format!(r#"{{"type":"leave","room":"{room}"}}"#));
}

/// The operations of every turn of the loop.
fn rest(bench: &mut Bench) {
    bench.time("next_timeout", 100_000, 1, |world| {
        _ = black_box(world.server.next_timeout())
    });
    bench.time("handle_timeout, nothing due", 100_000, 1, |world| {
        world.server.handle_timeout(world.now);
    });
    bench.time("idle turn", 100_000, 1, |world| {
        _ = black_box(world.one_turn());
    });
}

fn talk(bench: &mut Bench, probe: &Probes) {
    let alone = probe.alone;
    let chat = masked(
        0x81,
        r#"{"type":"chat","room":"one","content":"hello"}"#.as_bytes(),
    );
    let name = "chat in a room of 1, received to sent";
    bench.time(name, 20_000, 1, |world| world.send(alone, &chat));
    bench.time("chat in a room of 2", 2_000, 1, |world| {
        world.say(
            probe.pair,
            r#"{"type":"chat","room":"two","content":"hello"}"#,
        );
    });
    bench.time("whisper to another", 2_000, 1, |world| {
        world.say(
            probe.pair,
            r#"{"type":"whisper","to":"pair2","content":"hello"}"#,
        );
    });
    let members = bench.size / 4;
    let mut n = 0;
    bench.time("whisper to anybody", 2_000, 1, |world| {
        // The step has no common divisor with the number of members.
        n = (n + 7_919) % members;
        let text = format!(r#"{{"type":"whisper","to":"m{n:07}","content":"hello"}}"#);
        world.say(probe.pair, &text);
    });
}

fn come_and_go(bench: &mut Bench, probe: &Probes, spare_rooms: usize) {
    bench.time("join and leave a room of 2", 2_000, 1, |world| {
        join_and_leave(world, probe.stranger, "quiet");
    });
    let mut n = spare_rooms;
    bench.time(
        "join and leave a new room, at the limit of rooms",
        200,
        1,
        |world| {
            n += 1;
            join_and_leave(world, probe.stranger, &format!("spare{n}"));
        },
    );
    bench.time("connect, join a room of 2, disconnect", 1_000, 1, |world| {
        let id = world.member("passer-by", "quiet");
        world.disconnect(id);
    });
    bench.time(
        "connect, subscribe to events, disconnect",
        1_000,
        1,
        |world| {
            let id = world.subscriber("system");
            world.disconnect(id);
        },
    );
    let tabs: Vec<_> = (0..bench.size / 100)
        .map(|_| bench.world.guest("tabs"))
        .collect();
    bench.time(
        "one more connection of a user who has a hundredth of all",
        1_000,
        1,
        |world| {
            let id = world.guest("tabs");
            world.disconnect(id);
        },
    );
    for id in tabs {
        bench.world.disconnect(id);
    }
}

fn ask(bench: &mut Bench, probe: &Probes) {
    bench.time("GET /livez", 2_000, 1, |world| {
        world.get(probe.http, "/livez")
    });
    bench.time("GET /rooms/two", 2_000, 1, |world| {
        world.get(probe.http, "/rooms/two")
    });
    for target in ["/livez", "/rooms/two"] {
        let requests =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(PIPELINED);
        let name = format!("GET {target}, {PIPELINED} pipelined, per request");
        bench.time(&name, 1_000, PIPELINED, |world| {
            world.send(probe.http, requests.as_bytes());
        });
    }
    let mut n = 0;
    // All rounds together are within the allowance of one address.
    let creations = ROOM_CREATIONS as usize / (bench.rounds + 1);
    bench.time(
        "POST /rooms, at the limit of rooms",
        creations.max(1),
        1,
        |world| {
            n += 1;
            world.post(probe.http, "/rooms", &format!(r#"{{"name":"kept{n}"}}"#));
        },
    );
    bench.time("GET /metrics", 10, 1, |world| {
        world.get(probe.http, "/metrics")
    });
}

fn fan_out(bench: &mut Bench, probe: &Probes, first_of_everybody: ConnectionId) {
    let text = r#"{"type":"chat","room":"thousand","content":"hello"}"#;
    let sends = bench.world.sends(|world| world.say(probe.thousand, text));
    assert_eq!(sends, PROBES as u64);
    bench.time(
        "chat in a room of 1,000, per receiver",
        100,
        PROBES,
        |world| {
            world.say(probe.thousand, text);
        },
    );
    let members = bench.size / 4;
    let text = r#"{"type":"chat","room":"everybody","content":"hello"}"#;
    let sends = bench
        .world
        .sends(|world| world.say(first_of_everybody, text));
    assert_eq!(sends, members as u64);
    let times = (100_000 / members).max(1);
    bench.time(
        "chat in the large room, per receiver",
        times,
        members,
        |world| {
            world.say(first_of_everybody, text);
        },
    );
}

/// Events on a channel without subscribers, and on the one to which every event stream subscribes.
fn tick(bench: &mut Bench) {
    let one = |world: &mut World| {
        world.pass(Duration::from_secs(1));
        world.settle();
    };
    // Advance to a multiple of ten seconds.
    while !bench.world.now.monotonic.as_secs().is_multiple_of(10) {
        one(&mut bench.world);
    }
    let streams = 2 * (bench.size / 4) as u64;
    let (mut unheard, mut heard) = (Vec::new(), Vec::new());
    // In the first cycles the deadlines of all members settle in the sixth second: no ping is among what is measured.
    for _ in 0..SETTLING_CYCLES {
        one(&mut bench.world);
        answer_pings(&mut bench.world);
        (0..9).for_each(|_| one(&mut bench.world));
    }
    for _ in 0..4 * bench.rounds {
        // Heartbeats are sent every 15 seconds, business events every 10. The first second is not measured, because the
        // caches hold other data.
        one(&mut bench.world);
        answer_pings(&mut bench.world);
        let since = cpu();
        let sends = bench.world.sends(|world| (0..3).for_each(|_| one(world)));
        unheard.push(nanoseconds(since) / 3.0);
        assert_eq!(sends, 0);
        (0..5).for_each(|_| one(&mut bench.world));
        let since = cpu();
        let sends = bench.world.sends(one);
        heard.push(nanoseconds(since) / sends as f64);
        // Every third time with a heartbeat, which does not wait for the sample of the machine.
        assert!([1, 2].contains(&(sends / streams)) && sends.is_multiple_of(streams));
    }
    Row::print("event without subscribers", median(unheard), "ns");
    Row::print(
        "event to every event stream, per receiver",
        median(heard),
        "ns",
    );
}

/// Every member sends a pong, asked for or not (RFC 6455 section 5.5.3): it is not silent.
fn answer_pings(world: &mut World) {
    let pong = frame(0x8a, b"");
    for id in 0..world.server.connection_count() as u32 {
        world.receive(ConnectionId(id), &pong);
    }
    world.turn();
}

/// Every member is silent until it is pinged, and answers.
fn ping(bench: &mut Bench) {
    let members = 2 * (bench.size / 4) as u32;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        let world = &mut bench.world;
        // Not all were active at the same time: a member is pinged after 25 seconds of silence, and lost after 45.
        world.pass(Duration::from_secs(40));
        let since = cpu();
        let sends = world.sends(World::settle);
        rounds.push(nanoseconds(since) / sends as f64);
        answer_pings(world);
        assert!(sends >= u64::from(members), "{sends}");
    }
    Row::print("ping, per member", median(rounds), "ns");
}

/// Half of the connections close, in the order in which they were opened; then the server drains.
fn leave(bench: &mut Bench) -> Result<()> {
    let (quarter, world) = ((bench.size / 4) as u32, &mut bench.world);
    for (kind, ids) in [
        ("an idle member of a room of 100", 0..quarter / 2),
        ("an idle member of the large room", quarter..quarter * 3 / 2),
        ("an event stream", 2 * quarter..3 * quarter),
    ] {
        let (since, count) = (cpu(), ids.len());
        for id in ids {
            world.disconnect(ConnectionId(id));
        }
        let name = format!("disconnecting {kind}");
        Row::print(&name, nanoseconds(since) / count as f64, "ns");
    }
    let (since, before) = (cpu(), resident_bytes()?);
    let count = world.server.connection_count() as f64;
    world.server.drain(world.now);
    let grown = resident_bytes()?.saturating_sub(before);
    world.turn();
    Row::print("drain, per connection", nanoseconds(since) / count, "ns");
    Row::print(
        "  peak memory, per connection",
        grown as f64 / count,
        "bytes",
    );
    Ok(())
}
