//! Hundreds of virtual clients with random behaviour against the server without I/O, on virtual time. A model of the
//! truth is compared with what they see; whatever happens, a seed makes it happen again.
//!
//! `SARANG_SEED=17 cargo test --test simulation` replays one seed; `SARANG_SEEDS=1000` runs so many. With
//! `SARANG_WIRE=40` beside a seed, whatever passes over its 41st connection is shown.

#![forbid(unsafe_code)]

#[path = "../../fuzz/src/files.rs"]
mod files;
#[path = "../../fuzz/src/refreshes.rs"]
mod refreshes;
#[path = "../../fuzz/src/register.rs"]
mod register;
#[path = "../value/stored.rs"]
#[allow(dead_code, reason = "not everything is needed here")]
mod stored;
#[path = "../value/subscriber.rs"]
#[allow(dead_code, reason = "not everything is needed here")]
mod subscriber;
#[path = "../../fuzz/src/verdicts.rs"]
mod verdicts;
#[path = "../value/world.rs"]
#[allow(dead_code, reason = "not everything is needed here")]
mod world;

mod asks;
mod audit;
mod backend;
mod chat;
mod checks;
mod ends;
mod grace;
mod jobs;
mod late;
mod model;
mod network;
mod plan;
mod proxies;
mod reading;
mod refused;
mod run;
mod seed;
mod sessions;
mod sign_in;
mod stage;
mod store;
mod store_people;
mod stream;
mod stream_sessions;
mod talk;
mod tickets;
mod told;
mod web;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What came of a seed.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Of every byte the server sent, with its time.
    transcript: u64,
    sent_bytes: u64,
    turns: u64,
    counts: BTreeMap<String, u64>,
}

fn live(seed: u64) -> Outcome {
    let mut world = plan::world(seed);
    let end = world.stage.end;
    world.run_until(end);
    // What is under way ends: whoever still has questions gets answers.
    let mut later = end + Duration::from_secs(3);
    world.run_until(later);
    // Commands that wait for the backend wait one behind the other.
    while world.stage.model.is_late && world.is_waiting() && later < end + PATIENCE {
        later += Duration::from_secs(5);
        world.run_until(later);
    }
    // What was read last is answered in the next turns.
    let settled = world.settle();
    world.check_answered(settled);
    world.end();
    Outcome {
        transcript: world.stage.network.transcript,
        sent_bytes: world.stage.network.sent_bytes,
        turns: world.stage.model.turn,
        counts: std::mem::take(&mut world.stage.model.counts),
    }
}

/// How long clients wait for their last answers at most: each of many commands may wait for a slow backend.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs a seed; when it fails, says how to run it again.
fn run(seed: u64) -> Option<Outcome> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let first = live(seed);
        if seed.is_multiple_of(AGAIN_EVERY) {
            assert_eq!(first, live(seed), "a seed replays byte for byte");
        }
        first
    }));
    if outcome.is_err() {
        eprintln!(
            "seed {seed} failed; replay it with\nSARANG_SEED={seed} cargo test --test simulation"
        );
    }
    outcome.ok()
}

/// How many seeds are run.
const SEEDS: u64 = 256;
/// Every so many seeds one is run twice.
const AGAIN_EVERY: u64 = 4;
/// What has to happen in some seed: a simulation that never gets there checks nothing there.
const REACHED: [&str; 146] = [
    "acknowledged",
    "acknowledged after leaving",
    "acknowledged again",
    "another epoch",
    "answered 401",
    "answered 408",
    "answered 429",
    "answered 503",
    "answered after the connection was gone",
    "answers given twice",
    "audited",
    "audited connected",
    "audited disconnected",
    "audited joined",
    "audited left",
    "audited room_created",
    "audited room_removed",
    "audited sign_in_refused",
    "audited signed_in",
    "back within the grace",
    "clock jumps",
    "closed 1000",
    "closed 1001",
    "closed 1002",
    "closed 1003",
    "closed 1007",
    "closed 1009",
    "closed 4001",
    "closed 4002",
    "closed 4005",
    "closed 4008",
    "closed 4009",
    "connections of proxies",
    "connections of proxies with a header",
    "connections refused",
    "connections to a unix socket",
    "days later refused by a user's share",
    "days later refused by logout",
    "days later refused by name",
    "days later refused by secret",
    "delays of a stop",
    "delays of a stop cut short",
    "error already_in_room",
    "error backend_unavailable",
    "error bad_json",
    "error bad_request",
    "error bad_room_name",
    "error content_too_long",
    "error id_reused",
    "error not_in_room",
    "error rate_limited",
    "error room_full",
    "error room_not_found",
    "error storage_unavailable",
    "error too_many_rooms",
    "error unauthorized",
    "error unknown_type",
    "error user_not_found",
    "figures in chunks",
    "gaps",
    "given up",
    "gone",
    "guesses beyond the free ones",
    "guests throttled",
    "half-closes",
    "handshakes broken off",
    "handshakes given up",
    "handshakes that waited",
    "heartbeats",
    "holders welcomed",
    "insisted after the end",
    "joins given up",
    "joins that waited",
    "kept before",
    "kept though failed",
    "last words after their author had left",
    "left after the grace",
    "logouts",
    "logouts refused by a user's share",
    "logouts refused by logout",
    "logouts refused by name",
    "logouts refused by secret",
    "logouts while draining",
    "logouts with an old token",
    "long turns",
    "names refused in another spelling",
    "own events",
    "pages refused by a user's share",
    "pages refused by logout",
    "pages refused by name",
    "pages refused by secret",
    "password checks",
    "passwords checked twice",
    "pings unanswered",
    "recovered",
    "refreshes",
    "refreshes refused by a user's share",
    "refreshes refused by logout",
    "refreshes refused by name",
    "refreshes refused by secret",
    "refreshes throttled",
    "reloads",
    "reloads during a reload",
    "reloads failed",
    "replaced passwords accepted by a check",
    "requests for tickets refused by a user's share",
    "requests for tickets refused by logout",
    "requests for tickets refused by name",
    "requests for tickets refused by secret",
    "resets",
    "room slots reused",
    "room_users",
    "rooms asked for in chunks",
    "rooms given up",
    "rooms opened again",
    "rooms reordered",
    "said again",
    "said again after five minutes",
    "said again in another past",
    "said again while under way",
    "said elsewhere",
    "samples late",
    "sessions extended",
    "sign-ins in the second of an end",
    "slots reused with a wish under way",
    "slow sockets ended",
    "slow streams ended",
    "sockets ended by a user's share",
    "sockets ended by logout",
    "sockets ended by name",
    "sockets ended by secret",
    "streams ended",
    "streams ended by logout",
    "streams ended by name",
    "streams ended by secret",
    "streams refused by logout",
    "streams refused by name",
    "streams refused by secret",
    "tickets redeemed after their end",
    "tickets refused by a user's share",
    "tickets refused by logout",
    "tickets refused by name",
    "tickets refused by secret",
    "tickets won",
    "wishes failed",
    "words after the end",
];

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

#[test]
fn whatever_clients_do_order_presence_and_limits_hold() {
    let seeds = match variable("SARANG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SARANG_SEEDS").unwrap_or(SEEDS),
    };
    let next = AtomicU64::new(seeds.start);
    let (outcomes, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match run(seed) {
                        Some(outcome) => outcomes.lock().expect("is whole").push(outcome),
                        None => failed.lock().expect("is whole").push(seed),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("is whole");
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for outcome in outcomes.into_inner().expect("is whole") {
        for (what, count) in outcome.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    println!("{counts:#?}");
    if seeds.end - seeds.start >= SEEDS {
        let missed: Vec<&str> = REACHED
            .into_iter()
            .filter(|what| !counts.contains_key(*what))
            .collect();
        assert!(missed.is_empty(), "never happened: {missed:?}");
    }
}
