//! A server with a store, whose disk takes its time, fails, and loses what it had not confirmed when the server is killed:
//! at any moment, over and over. What was acknowledged or shown is there afterwards, in its place, and nothing is said twice.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sarang::config::Config;
use sarang::server::jobs::Job;
use serde_json::json;

use super::seed::Seed;
use super::store_people::{Model, Person, Poster, ROOMS};
use super::stored::{Disk, Stored};
use super::subscriber::subscribe;
use super::variable;

/// How the disk is.
#[derive(Clone, Copy, Debug)]
struct Temper {
    /// Milliseconds that a batch takes, mostly.
    delay: (u64, u64),
    /// In percent: batches that fail, those that fail though they are on disk, kills of the server for each step.
    failures: u64,
    kept: u64,
    kills: u64,
}

struct World {
    stored: Stored,
    model: Model,
    people: Vec<Person>,
    poster: Poster,
    seed: Seed,
    temper: Temper,
    /// When the batch under way is done.
    due: Option<Duration>,
}

/// Steps of a run, and how long the server may take at most until everything is acknowledged once its disk is well.
const STEPS: usize = 250;
const SETTLED: Duration = Duration::from_secs(90);

impl World {
    fn new(number: u64) -> Self {
        let mut seed = Seed::new(number);
        let mut config = Config {
            messages_per_second: 0,
            ping_interval: Duration::from_secs(3_600),
            presence_grace: Duration::from_secs(seed.pick(&[0, 3])),
            ..Config::default()
        };
        config.rooms.auto_rooms = true;
        let temper = Temper {
            delay: seed.pick(&[(0, 0), (0, 20), (5, 200), (0, 2_500)]),
            failures: seed.pick(&[0, 0, 5, 40]),
            kept: seed.pick(&[0, 50, 100]),
            kills: seed.pick(&[0, 2, 8]),
        };
        let people = seed.between(2, 6);
        let unix = Duration::from_secs(1_705_314_600);
        Self {
            stored: Stored::starting(config, Disk::default(), unix),
            model: Model::default(),
            people: (0..people).map(|n| Person::new(n as usize)).collect(),
            poster: Poster::default(),
            seed,
            temper,
            due: None,
        }
    }

    fn step(&mut self) {
        let Self {
            stored,
            model,
            people,
            poster,
            seed,
            ..
        } = self;
        for person in people.iter_mut() {
            person.act(&mut stored.world, model, seed);
        }
        poster.act(&mut stored.world, model, seed);
        let time = match seed.chance(5) {
            true => seed.millis(200, 3_000),
            false => seed.millis(0, 60),
        };
        let end = stored.world.now.monotonic + time;
        self.work();
        while let Some(due) = self.due.filter(|due| *due <= end) {
            let now = self.stored.world.now.monotonic;
            self.stored.world.pass(due.saturating_sub(now));
            self.work();
        }
        let now = self.stored.world.now.monotonic;
        self.stored.world.pass(end.saturating_sub(now));
        self.work();
    }

    /// The disk does what is due, and everybody reads.
    fn work(&mut self) {
        self.stored.world.turn();
        self.listen();
        while let Some((_, job)) = self.stored.world.jobs.front() {
            let now = self.stored.world.now.monotonic;
            let is_rewrite = matches!(job, Job::Rewrite(_));
            let due = *self.due.get_or_insert_with(|| {
                let (low, high) = self.temper.delay;
                now + self.seed.millis(low, high)
            });
            if due > now {
                return;
            }
            self.due = None;
            let what = if is_rewrite { "rewrites" } else { "batches" };
            if self.seed.chance(self.temper.failures) {
                let is_kept = self.seed.chance(self.temper.kept);
                self.model.count(&format!("{what} failed"));
                if is_kept {
                    self.model.count(&format!("{what} kept though failed"));
                }
                self.model.is_down = true;
                self.stored.fail(is_kept);
            } else {
                let (serial, job) = self.stored.world.jobs.pop_front().expect("is there");
                self.model.count(what);
                if is_rewrite {
                    self.model.is_down = false;
                }
                self.stored.commit_one(serial, job);
            }
            self.listen();
        }
    }

    fn listen(&mut self) {
        for person in &mut self.people {
            person.listen(&mut self.stored.world, &mut self.model);
        }
        self.poster.listen(&mut self.stored.world, &mut self.model);
    }

    /// The server is killed: what is under way is on disk or not, and what it sent last may not arrive.
    fn kill(&mut self) {
        self.model.count("kills");
        if self.seed.chance(50) {
            self.listen();
        }
        if let Some((_, job)) = self.stored.world.jobs.pop_front() {
            self.model.count("kills with a batch under way");
            if self.seed.chance(50) {
                self.model
                    .count("kills with a batch that is on disk already");
                self.stored.keep(&job);
            }
        }
        self.restart();
    }

    /// A signal to stop: whatever was said before is answered before the connections close, if the disk is well.
    fn stop(&mut self) {
        self.model.count("stops");
        self.work();
        let is_well = !self.model.is_down
            && self.temper.failures == 0
            && self.temper.delay.1 <= 200
            && self.poster.is_idle();
        let now = self.stored.world.now;
        self.stored.world.server.stop(now);
        let end = now.monotonic + Duration::from_secs(10);
        while !self.stored.world.server.is_over() && self.stored.world.now.monotonic < end {
            self.stored.world.pass(Duration::from_millis(10));
            self.work();
        }
        assert!(self.stored.world.server.is_over(), "it ends in seconds");
        self.listen();
        if is_well {
            for person in &self.people {
                person.check_answered();
            }
            self.model.count("stops with everything answered");
        }
        self.restart();
    }

    fn restart(&mut self) {
        self.due = None;
        self.model.is_down = false;
        for person in &mut self.people {
            person.is_cut();
        }
        self.poster.is_cut();
        self.stored.restart();
        self.check();
    }

    /// What was acknowledged or shown is there.
    fn check(&mut self) {
        for room in ROOMS {
            let Ok(room_now) = self.stored.world.server.rooms().find(room) else {
                assert!(!self.model.epochs.contains_key(room), "{room} is gone");
                continue;
            };
            let position = room_now.history.position();
            let first = position.seq + 1 - room_now.history.len() as u64;
            assert_eq!(first, 1, "these are few");
            let mut kept = BTreeMap::new();
            for (seq, message) in (first..).zip(room_now.history.last(usize::MAX)) {
                assert_eq!(message.position.seq, seq, "positions have no hole");
                let said = (message.username.to_string(), message.content.to_string());
                kept.insert(seq, said);
            }
            if let Some(epoch) = self.model.epochs.get(room) {
                assert_eq!(position.epoch, *epoch, "its past is the same");
            }
            for (seq, said) in self.model.said_in(room) {
                assert_eq!(kept.get(&seq), Some(said), "{room} {seq}");
            }
        }
        for name in &self.model.created {
            let found = self.stored.world.server.rooms().find(name);
            assert!(found.is_ok(), "{name} was created");
        }
        self.check_events();
    }

    /// Every event whose id was answered is there, under that id.
    fn check_events(&mut self) {
        let Some(newest) = self.model.posted.keys().next_back().copied() else {
            return;
        };
        let world = &mut self.stored.world;
        let (id, events) = subscribe(world, Poster::CHANNEL, Some("0"));
        world.server.closed(id, world.now);
        let told: BTreeMap<u64, String> = events
            .into_iter()
            .filter_map(|(name, data, id)| {
                assert_ne!(name, "gap", "nothing is missing: {data}");
                Some((id?, data))
            })
            .collect();
        for (id, number) in self.model.posted.range(newest.saturating_sub(150)..) {
            let expected = json!({"n": number}).to_string();
            assert_eq!(told.get(id), Some(&expected), "event {id}");
        }
    }

    /// The disk is well from now on: in the end everything that was said is acknowledged, once.
    fn settle(&mut self) {
        self.temper = Temper {
            delay: (0, 20),
            failures: 0,
            kept: 0,
            kills: 0,
        };
        self.model.is_settling = true;
        let end = self.stored.world.now.monotonic + SETTLED;
        while !self.people.iter().all(Person::is_done) || !self.poster.is_idle() {
            assert!(self.stored.world.now.monotonic < end, "not acknowledged");
            self.step();
        }
        self.stop();
        self.model.check_once();
    }
}

fn live(number: u64) -> BTreeMap<String, u64> {
    let mut world = World::new(number);
    for _ in 0..STEPS {
        world.step();
        if world.seed.chance(world.temper.kills) {
            match world.seed.chance(15) {
                true => world.stop(),
                false => world.kill(),
            }
        }
    }
    world.settle();
    world.model.counts
}

/// How many seeds are run, and every so many one is run twice.
const SEEDS: u64 = 128;
const AGAIN_EVERY: u64 = 16;
/// What has to happen in some seed.
const REACHED: [&str; 26] = [
    "acknowledged",
    "acknowledged again",
    "batches",
    "batches failed",
    "batches kept though failed",
    "events posted",
    "events refused",
    "heard though refused",
    "joins refused",
    "kills",
    "kills with a batch that is on disk already",
    "kills with a batch under way",
    "known before",
    "recovered",
    "refused",
    "rewrites",
    "rewrites failed",
    "rewrites kept though failed",
    "rooms created",
    "rooms refused",
    "said after a kill",
    "stops",
    "stops with everything answered",
    "whispers",
    "whispers sent again",
    "whispers while the disk has failed",
];

#[test]
fn whatever_the_disk_does_what_was_acknowledged_survives_every_kill() {
    let seeds = match variable("SARANG_STORE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SARANG_SEEDS").unwrap_or(SEEDS),
    };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in seeds.clone() {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let first = live(seed);
            if seed.is_multiple_of(AGAIN_EVERY) {
                assert_eq!(first, live(seed), "a seed replays alike");
            }
            first
        }));
        let replay = format!("SARANG_STORE_SEED={seed} cargo test --test simulation store");
        let outcome = outcome.unwrap_or_else(|_| panic!("failed; replay it with\n{replay}"));
        for (what, count) in outcome {
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
