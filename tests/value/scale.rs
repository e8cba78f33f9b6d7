//! What a connection costs beside others: an operation sends only to the connections it concerns, however many others
//! there are. The figures for a million are measured by `cargo bench --bench scale`.

#[path = "../../benches/scale/world.rs"]
mod crowd;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::Command;
use std::time::Duration;

use sarang::config::{Config, GRACES_PER_TURN, SENDS_PER_TURN};
use sarang::domain::ids::ConnectionId;

use crate::world::{self, World};
use crowd::{config, resident_bytes};

/// Half of a crowd are members, in rooms of 100 and all in one; half are event streams. All of them are idle.
fn fill(world: &mut crowd::World, size: usize) {
    for n in 0..size / 4 {
        world.member(&format!("m{n}"), &format!("room{}", n / 100));
        world.member(&format!("e{n}"), "everybody");
        world.subscriber("business");
        world.subscriber("business");
    }
    // The first events, and the member count of `everybody`.
    for _ in 0..2 {
        world.pass(Duration::from_secs(1));
        world.turn();
    }
}

/// The receivers, and how many bytes in all.
type Sent = (Vec<ConnectionId>, u64);

fn sent(world: &mut crowd::World, work: impl FnOnce(&mut crowd::World)) -> Sent {
    let before = world.wire.bytes;
    world.wire.noted = Some(Vec::new());
    work(world);
    let noted = world.wire.noted.as_deref().unwrap_or_default();
    let receivers = noted.iter().map(|(to, _)| *to).collect();
    (receivers, world.wire.bytes - before)
}

/// Some connections beside a crowd, and what they were sent.
struct Beside {
    world: crowd::World,
    size: usize,
    all: Vec<(&'static str, Sent)>,
}

impl Beside {
    /// Does something that concerns only these receivers.
    fn note(
        &mut self,
        what: &'static str,
        receivers: &[ConnectionId],
        work: impl FnOnce(&mut crowd::World),
    ) {
        let sent = sent(&mut self.world, work);
        assert_eq!(sent.0, receivers, "{what}, beside {}", self.size);
        self.all.push((what, sent));
    }
}

/// What some operations send that do not concern the crowd.
fn operations_beside(size: usize) -> Vec<(&'static str, Sent)> {
    let mut world = crowd::World::new(Config {
        presence_grace: Duration::ZERO,
        ..config(usize::MAX)
    });
    // These connect first, so that they get the same ids beside any crowd.
    let [kim, lee] = ["kim", "lee"].map(|name| world.member(name, "two"));
    let park = world.guest("park");
    let http = world.connect();
    fill(&mut world, size);
    let all = Vec::new();
    let mut beside = Beside { world, size, all };
    beside.note("nothing", &[], |world| {
        world.turn();
    });
    beside.note("chat in a room of 2", &[kim, lee], |world| {
        world.say(kim, r#"{"type":"chat","room":"two","content":"hello"}"#);
    });
    beside.note("whisper", &[lee, kim], |world| {
        world.say(kim, r#"{"type":"whisper","to":"lee","content":"hello"}"#);
    });
    beside.note("join", &[kim, lee, park], |world| {
        world.say(park, r#"{"type":"join","room":"two"}"#);
    });
    beside.note("leave", &[kim, lee, park], |world| {
        world.say(park, r#"{"type":"leave","room":"two"}"#);
    });
    beside.note("GET /livez", &[http], |world| world.get(http, "/livez"));
    beside.note("GET /rooms/two", &[http], |world| {
        world.get(http, "/rooms/two");
    });
    beside.note("POST /rooms", &[http], |world| {
        world.post(http, "/rooms", r#"{"name":"new"}"#);
    });
    beside.note("an event that nobody hears", &[], |world| {
        world.pass(Duration::from_secs(1));
        world.turn();
    });
    beside.note("a disconnect", &[kim], |world| world.disconnect(lee));
    beside.all
}

#[test]
fn an_operation_sends_the_same_beside_a_crowd_of_any_size() {
    let beside_few = operations_beside(40);
    let beside_many = operations_beside(2_000);
    for (few, many) in beside_few.iter().zip(&beside_many) {
        println!("{}: {} sends, {} bytes", many.0, many.1.0.len(), many.1.1);
        assert_eq!(few, many);
    }
    assert_eq!(beside_few.len(), beside_many.len());
}

#[test]
fn a_fan_out_sends_once_to_each_receiver_and_so_many_in_a_turn() {
    let mut world = crowd::World::new(config(usize::MAX));
    fill(&mut world, 4_000);
    let (members, streams) = (1_000, 2_000);
    let speaker = ConnectionId(1);
    let (receivers, _) = sent(&mut world, |world| {
        world.say(
            speaker,
            r#"{"type":"chat","room":"everybody","content":"hello"}"#,
        );
    });
    let once_each: BTreeSet<_> = receivers.iter().collect();
    assert_eq!((receivers.len(), once_each.len()), (members, members));
    world.pass(Duration::from_secs(10));
    let mut turns = Vec::new();
    while {
        let before = world.wire.sends;
        let has_more = world.one_turn();
        turns.push((world.wire.sends - before) as usize);
        has_more
    } {}
    assert_eq!(turns.iter().sum::<usize>(), streams);
    assert!(
        turns.iter().all(|sends| *sends <= SENDS_PER_TURN),
        "{turns:?}"
    );
    println!("{members} receivers of a message, {streams} of an event in turns of {turns:?}");
}

#[test]
fn a_whisper_to_many_connections_of_one_user_is_one_buffer_for_all() {
    let mut world = crowd::World::new(config(usize::MAX));
    let speaker = world.guest("kim");
    let tabs: Vec<_> = (0..50).map(|_| world.guest("lee")).collect();
    let (receivers, _) = sent(&mut world, |world| {
        world.say(
            speaker,
            r#"{"type":"whisper","to":"lee","content":"hello"}"#,
        );
    });
    let expected: Vec<_> = tabs.into_iter().chain([speaker]).collect();
    assert_eq!(receivers, expected);
    let noted = world.wire.noted.take().expect("was noted");
    // The echo over the speaker's own connection is an answer of its own.
    let tabs = noted.iter().filter(|(to, _)| *to != speaker);
    let buffers: BTreeSet<_> = tabs.map(|(_, buffer)| *buffer).collect();
    assert_eq!(buffers.len(), 1, "{buffers:?}");
}

#[test]
fn a_small_room_does_not_wait_for_the_fan_out_of_a_large_one() {
    let mut world = crowd::World::new(config(usize::MAX));
    let kim = world.member("kim", "two");
    let lee = world.member("lee", "two");
    fill(&mut world, 6_400);
    let speaker = world.member("park", "everybody");
    let say = |world: &mut crowd::World, id, room: &str| {
        let text = format!(r#"{{"type":"chat","room":"{room}","content":"hello"}}"#);
        let frame = crowd::frame(0x81, text.as_bytes());
        world.receive(id, &frame);
    };
    say(&mut world, speaker, "everybody");
    assert!(world.one_turn());
    say(&mut world, kim, "two");
    let (receivers, _) = sent(&mut world, |world| {
        for _ in 0..2 {
            assert!(world.one_turn(), "the large one goes on");
        }
    });
    assert!(receivers.contains(&kim) && receivers.contains(&lee));
}

/// What a server with so many members in rooms of 200 sends when it drains.
fn sent_by_a_drain(members: usize) -> (usize, u64) {
    let mut world = crowd::World::new(config(usize::MAX));
    for n in 0..members {
        world.member(&format!("m{n:03}"), &format!("room{}", n / 200));
    }
    let (receivers, bytes) = sent(&mut world, |world| {
        world.server.drain(world.now);
        world.turn();
    });
    (receivers.len(), bytes)
}

#[test]
fn a_drain_closes_every_connection_and_announces_no_departures() {
    let (_, close_frame) = sent_by_a_drain(1);
    assert_eq!(sent_by_a_drain(400), (400, 400 * close_frame));
}

#[test]
fn ten_thousand_closes_at_once_end_in_many_turns_and_tell_each_room_what_it_needs() {
    const SIZE: usize = 10_000;
    let mut world = crowd::World::new(config(usize::MAX));
    // Half in rooms of 200, half in one; in each somebody stays.
    let stay: Vec<_> = (0..26).map(|n| world.guest(&format!("s{n}"))).collect();
    for (n, id) in stay.iter().enumerate() {
        let room = if n == 25 {
            "everybody".to_owned()
        } else {
            format!("room{n}")
        };
        world.say(*id, &format!(r#"{{"type":"join","room":"{room}"}}"#));
    }
    let ids: Vec<_> = (0..SIZE)
        .map(|n| {
            let room = match n % 2 {
                0 => "everybody".to_owned(),
                _ => format!("room{}", n / 400),
            };
            world.member(&format!("m{n}"), &room)
        })
        .collect();
    world.pass(Duration::from_secs(2));
    world.turn();
    for id in ids {
        world.server.closed(id, world.now);
    }
    world.turn();
    assert_eq!(world.server.rooms().people().count(), stay.len());
    let all = |world: &crowd::World| -> usize {
        let rooms = world.server.rooms().list();
        rooms.iter().map(|room| room.users).sum()
    };
    assert_eq!(all(&world), SIZE + stay.len(), "nobody has left");
    world.pass(Config::default().presence_grace);
    let sends = world.wire.sends;
    let mut turns = 0;
    let mut before = all(&world);
    while before > stay.len() {
        world.one_turn();
        let after = all(&world);
        assert!(
            (1..=GRACES_PER_TURN).contains(&(before - after)),
            "{before} to {after}"
        );
        before = after;
        turns += 1;
    }
    assert_eq!(turns, SIZE.div_ceil(GRACES_PER_TURN));
    world.turn();
    // A crowd that leaves costs a send for each who leaves a small room at most, not for each pair.
    let sends = world.wire.sends - sends;
    assert!(sends <= (SIZE + turns) as u64, "{sends} sends");
}

/// Set for a process of this test that measures its own memory.
const MEASURE: &str = "SARANG_MEASURE_SCALE";

/// Bytes per connection of each kind beside so many others, and beside twice as many.
fn print_memory() {
    let mut world = crowd::World::new(config(usize::MAX));
    let count = 2_048;
    let mut grown = |kind: &str, one: &dyn Fn(&mut crowd::World, usize)| {
        for half in 0..2 {
            let before = resident_bytes().expect("is told");
            (0..count).for_each(|n| one(&mut world, half * count + n));
            let after = resident_bytes().expect("is told");
            println!("{kind} {half} {}", (after - before) / count as u64);
        }
    };
    // One-time allocations, and spare capacity of each table.
    grown("first", &|world, n| {
        world.member(&format!("f{n:05}"), &format!("first{}", n / 100));
        world.subscriber("business");
    });
    grown("member", &|world, n| {
        world.member(&format!("m{n:05}"), &format!("room{}", n / 100));
    });
    grown("stream", &|world, _| _ = world.subscriber("business"));
}

#[test]
fn the_memory_of_an_idle_connection_does_not_grow_with_their_number() {
    if env::var_os(MEASURE).is_some() {
        return print_memory();
    }
    let name = "scale::the_memory_of_an_idle_connection_does_not_grow_with_their_number";
    // In a process of its own: the other tests take and free memory meanwhile.
    let output = Command::new(env::current_exe().expect("is known"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MEASURE, "1")
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout).expect("is text");
    assert!(output.status.success(), "{text}");
    let bytes = |prefix: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(prefix));
        let number = line.unwrap_or_else(|| panic!("no {prefix:?} in {text}"));
        number.trim().parse::<u64>().expect("is a number")
    };
    // Twice what was measured: tables that double are half empty afterwards.
    for (kind, bytes_max) in [("member", 500), ("stream", 200)] {
        let (few, many) = (bytes(&format!("{kind} 0 ")), bytes(&format!("{kind} 1 ")));
        println!("bytes per idle {kind}: {few} of 2048, {many} of as many more");
        assert!(few > 0 && few <= bytes_max, "{kind}: {few}");
        assert!(many <= bytes_max, "{kind}: {many}");
    }
}

/// The connections by kind, as the page of metrics shows them.
fn kinds(world: &mut World) -> BTreeMap<String, u64> {
    let id = world.connect();
    world.receive(id, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    world.turn();
    let page = String::from_utf8(world.wire(id).bytes.clone()).expect("is text");
    world.server.closed(id, world.now);
    world.turn();
    let shown = page
        .lines()
        .filter_map(|line| line.strip_prefix("sarang_connections{kind=\""));
    shown
        .map(|line| {
            let (kind, count) = line.split_once("\"} ").expect("has a value");
            (kind.to_owned(), count.parse().expect("is a number"))
        })
        .collect()
}

#[test]
fn connections_are_counted_by_kind_through_their_whole_lives() {
    let mut world = World::new(Config::default());
    // The connection that asks is itself an HTTP connection.
    let assert_kinds = |world: &mut World, closing, event_stream, http: u64, websocket| {
        let expected = [
            ("closing", closing),
            ("event_stream", event_stream),
            ("http", http + 1),
            ("websocket", websocket),
        ];
        let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(kinds(world), BTreeMap::from(expected));
    };
    assert_kinds(&mut world, 0, 0, 0, 0);
    let members = ["kim", "lee", "park"].map(|name| world.member(name, "tech"));
    let streams = [world.connect(), world.connect()];
    for id in streams {
        let request = b"GET /sse/all HTTP/1.1\r\nHost: x\r\n\r\n";
        world.receive(id, request);
    }
    let refused = world.connect();
    world.turn();
    assert_kinds(&mut world, 0, 2, 1, 3);
    // One closes, one is closed, one breaks, and so does a stream; a request is refused.
    let goodbye = world::frame(0x88, &1000u16.to_be_bytes());
    world.receive(members[0], &goodbye);
    let binary = world::frame(0x82, b"x");
    world.receive(members[1], &binary);
    world.server.closed(members[2], world.now);
    world.server.closed(streams[0], world.now);
    world.receive(refused, b"\0\r\n\r\n");
    world.turn();
    assert_kinds(&mut world, 3, 1, 0, 0);
    world.server.closed(streams[1], world.now);
    world.pass(Duration::from_secs(10));
    assert_kinds(&mut world, 0, 0, 0, 0);
}
