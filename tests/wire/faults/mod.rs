//! Faults around a server: clients that die, stop and are cut at every stage, full disks, lost files. The server stays
//! up and reports the fault once, and healthy clients lose nothing.

mod files;
mod pair;
mod peers;
mod stages;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::subscriber::{Subscriber, ids};
use crate::support::{self, Http, PATIENCE, Server, assert_no_failures};
use pair::{NAMES, Pair, ROOM};
use peers::Peer;
use stages::{LONG_ROOM, Stage};

/// Waits for a condition that no event announces.
fn until(what: &str, happened: impl FnMut() -> bool) {
    until_within(PATIENCE, what, happened);
}

fn until_within(patience: Duration, what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !happened() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A server with a pair of clients in a room, and a subscriber that watches.
struct Scene {
    server: Server,
    pair: Pair,
    watcher: Http,
    descriptors: usize,
}

impl Scene {
    fn new(options: &[&str]) -> Self {
        // Whoever goes is gone at once.
        let usual = ["--messages-per-second", "0", "--presence-grace", "0"];
        let server = Server::start(&[options, &usual].concat());
        let mut talker = server.member("말하는 사람", LONG_ROOM);
        for _ in 0..50 {
            // Six bytes each in JSON.
            talker.say(LONG_ROOM, &"\u{1}".repeat(4096));
        }
        talker.close();
        let pair = Pair::enter(&server);
        let mut watcher = server.connect();
        until("only the pair and the watcher are left", || {
            open_connections(&mut watcher) == 3
        });
        Self {
            descriptors: server.descriptors(),
            server,
            pair,
            watcher,
        }
    }

    /// The room and the counters show that only the pair is left, and the pair goes on.
    fn assert_clean(&mut self, what: &str) {
        until(&format!("{what}: nothing is left of it"), || {
            open_connections(&mut self.watcher) == 3
                && self.server.descriptors() == self.descriptors
        });
        self.pair.await_solitude();
        let room = self.watcher.get(&format!("/rooms/{ROOM}")).json();
        assert_eq!(support::chatter::names(&room["online_users"]), NAMES);
        assert_eq!(room["users"], 2, "{what}");
        let long = self.watcher.get(&format!("/rooms/{LONG_ROOM}")).json();
        assert_eq!(long["users"], 0, "{what}");
        self.pair.talk(3);
    }
}

/// How many connections `/metrics` counts.
fn open_connections(watcher: &mut Http) -> u64 {
    let page = watcher.get("/metrics");
    let counts = page.text().lines().filter_map(|line| {
        let (_, count) = line.strip_prefix("sarang_connections{")?.split_once("} ")?;
        count.parse::<u64>().ok()
    });
    counts.sum()
}

#[test]
#[ignore = "other tests start it, as the process of a client"]
fn the_process_of_a_peer() {
    peers::be_a_peer();
}

#[test]
fn a_client_killed_at_any_stage_is_gone_and_no_other_client_notices() {
    let mut scene = Scene::new(&[]);
    for stage in Stage::ALL {
        let peer = Peer::at(&scene.server, stage);
        scene.pair.talk(2);
        if stage.is_member() {
            scene.pair.await_presence(&stage.name(), true);
        }
        peer.kill();
        scene.pair.talk(2);
        scene.assert_clean(&stage.name());
    }
}

#[test]
fn a_connection_reset_at_any_stage_is_gone_and_no_other_client_notices() {
    let mut scene = Scene::new(&[]);
    for stage in Stage::ALL {
        let http = stage.reach(scene.server.address);
        scene.pair.talk(2);
        http.reset();
        scene.pair.talk(2);
        scene.assert_clean(&stage.name());
    }
}

#[test]
fn clients_killed_all_at_once_are_gone_and_no_other_client_notices() {
    let mut scene = Scene::new(&[]);
    let stages = Stage::ALL.iter().cycle().take(2 * Stage::ALL.len());
    let peers: Vec<Peer> = stages
        .map(|stage| Peer::at(&scene.server, *stage))
        .collect();
    scene.pair.talk(2);
    for peer in peers {
        peer.kill();
    }
    scene.assert_clean("all of them");
}

#[test]
fn room_mates_killed_while_they_talk_leave_no_hole() {
    // Members that share the cores with those who talk may read slowly: that is not what is tested here.
    let mut scene = Scene::new(&["--outbox-bytes", "33554432"]);
    for round in 0..3 {
        let names: Vec<String> = (0..4).map(|n| format!("talker-{round}-{n}")).collect();
        let talkers: Vec<Peer> = names
            .iter()
            .map(|name| Peer::talker(&scene.server, name))
            .collect();
        for (talker, name) in talkers.into_iter().zip(&names) {
            while scene.pair.heard(name) < 5 {
                scene.pair.talk(1);
            }
            talker.kill();
        }
        scene.assert_clean("those who talked");
    }
}

#[test]
fn a_client_stopped_for_a_moment_goes_on_where_it_was() {
    let mut scene = Scene::new(&[]);
    let mut failures = Vec::new();
    for stage in Stage::ALL {
        let mut peer = Peer::at(&scene.server, stage);
        peer.stop();
        scene.pair.talk(5);
        peer.resume();
        let told = peer.go_on();
        if told != stage.expected() {
            failures.push(format!("{stage:?}: {told}, not {}", stage.expected()));
        }
        scene.pair.talk(2);
        peer.kill();
        scene.assert_clean(&stage.name());
    }
    assert_no_failures(&failures);
}

/// How the connection of a client ends that stays stopped; `None` if it stays open for more than a minute.
fn end_of_a_stopped(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Head | Stage::Body | Stage::Opening => Some("408"),
        Stage::Closing => Some("1000"),
        // Keep-alive lasts a minute, and the kernel's buffers take what is sent to a stopped stream.
        Stage::Login | Stage::Event => None,
        _ => Some("end"),
    }
}

#[test]
fn a_client_that_stays_stopped_is_closed_and_sees_that_when_it_goes_on() {
    // A ping after 25 s of silence, and 20 s for the answer: no connection is held longer.
    const GIVEN_UP: Duration = Duration::from_secs(45 + 30);
    let mut scene = Scene::new(&[]);
    let stages = Stage::ALL
        .into_iter()
        .filter_map(|stage| Some((stage, end_of_a_stopped(stage)?)));
    let peers: Vec<_> = stages
        .map(|(stage, end)| (stage, end, Peer::at(&scene.server, stage)))
        .collect();
    for (_, _, peer) in &peers {
        peer.stop();
    }
    until_within(GIVEN_UP, "the stopped are given up", || {
        scene.pair.talk(1);
        open_connections(&mut scene.watcher) == 3
    });
    scene.assert_clean("the stopped");
    let mut failures = Vec::new();
    for (stage, end, mut peer) in peers {
        peer.resume();
        let told = peer.read_to_the_end();
        if told != end {
            failures.push(format!("{stage:?}: {told}, not {end}"));
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn a_stopped_reader_in_a_flooded_room_is_closed_and_its_room_mates_lose_nothing() {
    let mut scene = Scene::new(&["--outbox-bytes", "65536"]);
    let mut reader = Peer::reader(&scene.server, "stopped");
    scene.pair.await_presence("stopped", true);
    reader.stop();
    let padding = "가".repeat(4000);
    // 60 MB: more than the buffers of the system and the outbox hold.
    for turn in 0..5000 {
        scene.pair.say(turn % 2, &padding);
        if !scene.pair.sees("stopped") {
            break;
        }
    }
    scene.pair.await_solitude();
    let closes = scene.watcher.get("/metrics");
    let closed = "sarang_closes_total{code=\"4008\"} 1";
    assert!(
        closes.text().lines().any(|line| line == closed),
        "{}",
        closes.text()
    );
    reader.resume();
    // A client that resumes late finds that the server no longer waits with its close frame.
    let told = reader.read_to_the_end();
    assert!(["4008", "end"].contains(&&*told), "{told}");
    scene.assert_clean("the stopped reader");
}

#[test]
fn subscribers_that_stop_and_die_in_a_flood_of_events_take_none_from_the_others() {
    let mut scene = Scene::new(&[]);
    let mut stopped: Vec<Peer> = (0..4)
        .map(|_| Peer::at(&scene.server, Stage::Event))
        .collect();
    for peer in &stopped {
        peer.stop();
    }
    let mut healthy = Subscriber::new(&scene.server, "all");
    let mut last = None;
    let mut publisher = scene.server.connect();
    let figures = json!({"revenue": 1, "note": "가".repeat(1200)}).to_string();
    let post = publisher.post_request("/events/business", &figures);
    // 6 MB: more than the buffers of the system and the outbox hold; several at once, as a stream that takes nothing is
    // dropped after a minute.
    for n in 0..160 {
        publisher.send(post.repeat(10));
        let mut id = 0;
        for _ in 0..10 {
            let published = publisher.response();
            assert_eq!(published.status, 200, "{}", published.text());
            id = published.json()["id"].as_u64().expect("an id");
        }
        let ids = ids(&healthy.until(id));
        let since = last.unwrap_or(ids[0] - 1);
        assert!(ids.iter().copied().eq(since + 1..=id), "{since}, {ids:?}");
        last = Some(id);
        if n % 40 == 39 {
            scene.pair.talk(1);
        }
    }
    let resumed = stopped.split_off(2);
    for peer in stopped {
        peer.kill();
    }
    for mut peer in resumed {
        peer.resume();
        assert_eq!(peer.go_on(), Stage::Event.expected());
        peer.kill();
    }
    drop((healthy, publisher));
    scene.assert_clean("the subscribers");
}

#[test]
fn a_server_stopped_for_a_moment_loses_nothing_of_what_was_said_meanwhile() {
    let mut scene = Scene::new(&[]);
    let (server, name) = (&scene.server, "stopped-with-it");
    let mut guest = server.member(name, ROOM);
    scene.pair.await_presence(name, true);
    server.signal(Signal::STOP);
    for n in 0..100 {
        guest.send(json!({"type": "chat", "room": ROOM, "content": n.to_string()}));
    }
    // Joined and left before the stopped server could see it.
    server.connect_stream();
    server.signal(Signal::CONT);
    for n in 0..100 {
        let content = n.to_string();
        guest.until_match(|news| news["username"] == name && news["content"] == content);
    }
    while scene.pair.heard(name) < 100 {
        scene.pair.talk(1);
    }
    guest.close();
    scene.assert_clean("the guest");
}

#[test]
fn logins_whose_clients_have_gone_delay_no_other_login() {
    let mut scene = Scene::new(&[]);
    for _ in 0..3 {
        // As many as may be under way for one account.
        let waiting: Vec<Http> = (0..16)
            .map(|_| Stage::Login.reach(scene.server.address))
            .collect();
        for http in waiting {
            http.reset();
        }
        scene.pair.talk(2);
        let form = json!({"username": "admin", "password": "secret"}).to_string();
        until("a login is let through", || {
            let status = scene.server.post("/auth/login", &form).status;
            assert!([200, 429, 503].contains(&status), "{status}");
            status == 200
        });
    }
    scene.assert_clean("those who signed in");
}
