//! Guessers beside an owner, for minutes and hours: the owner gets in, and no more guesses are checked than the limits
//! say.

use std::collections::BTreeMap;
use std::time::Duration;

use sarang::config::{
    LOGIN_ACCOUNT_FAILURES, LOGIN_ADDRESS_FAILURES, LOGIN_ADDRESS_REFILL, LOGIN_EARLY_CHECKS,
    LOGIN_EARLY_REFILL, LOGIN_FREE_FAILURES, LOGIN_IN_FLIGHT_MAX, LOGIN_PARKED_FOR,
    LOGIN_SECOND_WAIT,
};
use sarang::domain::ids::ConnectionId;
use sarang::server::jobs::{Done, Job};

use crate::world::World;

/// Time passes in steps of this; the worker ends its checks after one.
const TICK: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const LOOPBACK: &str = "127.0.0.1";
const ORDINARY: &str = "192.0.2.1";

/// Somebody who sends one guess after the other over one connection.
struct Guesser {
    address: String,
    /// The account, or another one for each guess.
    account: Option<String>,
    under_way: Option<ConnectionId>,
    sent: usize,
    /// Whether it waits as long as it is told.
    is_patient: bool,
    sends_at: Duration,
}

/// The server, its guessers, and the guesses that were checked, by address and account.
struct Scene {
    world: World,
    guessers: Vec<Guesser>,
    checked: BTreeMap<(String, String), usize>,
}

impl Scene {
    fn new(seed: u8) -> Self {
        Self {
            world: World::seeded(seed),
            guessers: Vec::new(),
            checked: BTreeMap::new(),
        }
    }

    /// So many connections guess from an address, as fast as they are answered.
    fn hammer(&mut self, address: &str, account: Option<&str>, connections: usize) {
        for _ in 0..connections {
            self.guessers.push(Guesser {
                address: address.to_owned(),
                account: account.map(str::to_owned),
                under_way: None,
                sent: 0,
                is_patient: false,
                sends_at: Duration::ZERO,
            });
        }
    }

    fn send(&mut self, address: &str, account: &str, password: &str) -> ConnectionId {
        let id = self
            .world
            .connect_from(address.parse().expect("is an address"));
        let form = format!(r#"{{"username":"{account}","password":"{password}"}}"#);
        let length = form.len();
        let request = format!(
            "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        self.world.receive(id, request.as_bytes());
        id
    }

    /// The status of the answer, and the seconds of its Retry-After, if there is one: then the connection is closed.
    fn answer(&mut self, id: ConnectionId) -> Option<(u16, u32)> {
        let bytes = std::mem::take(&mut self.world.wire(id).bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.get(9..12)?.parse().expect("a status");
        self.world.server.closed(id, self.world.now);
        let retry = text.split("Retry-After: ").nth(1);
        let seconds = retry.and_then(|rest| rest.lines().next());
        Some((status, seconds.map_or(0, |n| n.parse().expect("seconds"))))
    }

    /// A moment passes: the worker ends what it has, and those who were answered guess again.
    fn step(&mut self) {
        self.world.pass(TICK);
        self.world.take_jobs();
        for (serial, job) in std::mem::take(&mut self.world.jobs) {
            let Job::CheckPassword(check) = job else {
                panic!("{job:?}");
            };
            let password = std::str::from_utf8(&check.password).expect("ours are text");
            let is_owners = password == "secret";
            if !is_owners {
                let (address, account) = password.split_once(' ').expect("says whose it is");
                let pair = (address.to_owned(), account.to_owned());
                *self.checked.entry(pair).or_default() += 1;
            }
            let done = Done::PasswordChecked(is_owners);
            self.world.server.finished(serial, done, self.world.now);
        }
        self.world.turn();
        for place in 0..self.guessers.len() {
            if let Some(id) = self.guessers[place].under_way {
                let Some((_, seconds)) = self.answer(id) else {
                    continue;
                };
                let guesser = &mut self.guessers[place];
                guesser.under_way = None;
                guesser.sends_at = self.world.now.monotonic + SECOND * seconds;
            }
            let guesser = &self.guessers[place];
            if guesser.is_patient && self.world.now.monotonic < guesser.sends_at {
                continue;
            }
            let guesser = &mut self.guessers[place];
            guesser.sent += 1;
            let address = guesser.address.clone();
            let account = guesser.account.clone();
            let account = account.unwrap_or_else(|| format!("{place}-{}", guesser.sent));
            let id = self.send(&address, &account, &format!("{address} {account}"));
            self.guessers[place].under_way = Some(id);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.world.now.monotonic + time;
        while self.world.now.monotonic < end {
            self.step();
        }
    }

    /// One attempt until it is answered.
    fn attempt(&mut self, address: &str, account: &str, password: &str) -> u16 {
        let id = self.send(address, account, password);
        loop {
            self.step();
            if let Some((status, _)) = self.answer(id) {
                return status;
            }
        }
    }

    /// The owner tries again at once until it is in: after how many attempts, and how long.
    fn sign_in(&mut self, address: &str) -> (usize, Duration) {
        let began = self.world.now.monotonic;
        let mut attempts = 1;
        while self.attempt(address, "admin", "secret") != 200 {
            attempts += 1;
        }
        (attempts, self.world.now.monotonic - began)
    }

    fn guesses(&self) -> usize {
        self.checked.values().sum()
    }
}

/// The guesses of the first lane, with those that are under way before five have failed.
fn in_first_lane(time: Duration) -> usize {
    let free = LOGIN_FREE_FAILURES + LOGIN_IN_FLIGHT_MAX;
    let waits = [1, 2, 4, 8, 16, 32].len() as u64 + time.as_secs() / 60;
    free as usize + waits as usize
}

/// Those of the second lane, if its wait does not grow.
fn in_second_lane(time: Duration) -> usize {
    1 + (time.as_secs() / LOGIN_SECOND_WAIT.as_secs()) as usize
}

#[test]
fn an_owner_signs_in_at_once_beside_a_guesser_who_waits_as_long_as_told() {
    for address in [LOOPBACK, ORDINARY] {
        let mut scene = Scene::new(1);
        for _ in 0..LOGIN_FREE_FAILURES {
            assert_eq!(
                scene.attempt(address, "admin", &format!("{address} admin")),
                401
            );
        }
        let mut sign_ins = 0;
        for wait in [1_u32, 2, 4, 8, 16, 32, 60, 60, 60] {
            let end = scene.world.now.monotonic + SECOND * wait;
            // The owner comes during the wait, again and again.
            while scene.world.now.monotonic + 3 * TICK < end {
                assert_eq!(scene.sign_in(address), (1, TICK), "{address}: in {wait} s");
                sign_ins += 1;
            }
            scene.run(end - scene.world.now.monotonic);
            assert_eq!(
                scene.attempt(address, "admin", &format!("{address} admin")),
                401
            );
        }
        assert!(sign_ins > 1_000, "{sign_ins}");
        assert_eq!(scene.guesses(), LOGIN_FREE_FAILURES as usize + 9);
    }
}

#[test]
fn an_owner_signs_in_beside_a_guesser_who_asks_all_the_time_how_long_to_wait() {
    for seed in 0..10 {
        let mut scene = Scene::new(seed);
        scene.hammer(LOOPBACK, Some("admin"), 1);
        scene.guessers[0].is_patient = true;
        let mut accepted = 0;
        for _ in 0..12 {
            scene.run(3 * SECOND);
            let (attempts, time) = scene.sign_in(LOOPBACK);
            assert!(attempts <= 2 && time <= 8 * SECOND, "{attempts} {time:?}");
            accepted += usize::from(attempts == 1);
        }
        assert!(accepted >= 11, "{accepted} of 12");
        let time = scene.world.now.monotonic;
        let early = LOGIN_EARLY_CHECKS as usize + time.as_secs() as usize / 10;
        let free = LOGIN_IN_FLIGHT_MAX as usize;
        let most = in_first_lane(time) - free + in_second_lane(time) + early;
        assert!(scene.guesses() <= most, "{} of {most}", scene.guesses());
    }
}

#[test]
fn beside_a_guesser_with_several_connections_the_owner_gets_in_within_some_tries() {
    // Every 5 seconds one of those that wait is drawn: the owner, or a guess of one of three connections. Where the owner
    // has signed in before, another one is.
    for (is_known, address, average) in [
        (false, LOOPBACK, 30 * SECOND),
        (true, LOOPBACK, 20 * SECOND),
        (true, ORDINARY, 30 * SECOND),
    ] {
        let mut times = Vec::new();
        for seed in 0..40 {
            let mut scene = Scene::new(seed);
            if is_known {
                scene.sign_in(address);
            }
            scene.hammer(address, Some("admin"), 3);
            scene.run(3 * MINUTE);
            times.push(scene.sign_in(address));
        }
        let sum: Duration = times.iter().map(|(_, time)| *time).sum();
        assert!(sum < average * 40, "{is_known} {address}: {times:?}");
        let longest = times.iter().map(|(_, time)| *time).max();
        assert!(longest < Some(3 * MINUTE), "{address}: {longest:?}");
    }
}

#[test]
fn a_right_password_that_no_lane_lets_through_is_refused_like_a_wrong_one() {
    let mut scene = Scene::new(7);
    let guess = format!("{ORDINARY} admin");
    // Until both lanes are closed for long.
    let mut checked = 0;
    while scene.attempt(ORDINARY, "admin", &guess) == 401 {
        checked += 1;
    }
    assert_eq!((checked, scene.guesses()), (10, 10));
    assert_eq!(scene.attempt(ORDINARY, "admin", "secret"), 429);
}

#[test]
fn no_more_guesses_are_checked_in_an_hour_than_the_limits_of_the_pair_say() {
    let hour = 60 * MINUTE;
    for (is_known, address) in [
        (false, LOOPBACK),
        (false, ORDINARY),
        (true, LOOPBACK),
        (true, ORDINARY),
    ] {
        let mut scene = Scene::new(2);
        if is_known {
            scene.sign_in(address);
        }
        scene.hammer(address, Some("admin"), 8);
        scene.run(hour);
        let second = match address {
            // 5, 10, 20, 40 and then every 60 seconds.
            ORDINARY => 5 + hour.as_secs() as usize / 60,
            _ => in_second_lane(hour),
        };
        let early = hour.as_secs() / LOGIN_EARLY_REFILL.as_secs();
        let early = usize::from(is_known) * (LOGIN_EARLY_CHECKS as usize + early as usize);
        let most = in_first_lane(hour) + second + early;
        let guesses = scene.guesses();
        assert!(guesses <= most, "{address}: {guesses}, at most {most}");
        // What is drawn is not wasted either.
        assert!(guesses * 10 > most * 8, "{address}: {guesses} of {most}");
        assert!(guesses <= 60 * 60, "no more than from many addresses");
    }
}

#[test]
fn no_more_guesses_are_checked_than_the_limits_of_an_address_and_of_an_account_say() {
    let hour = 60 * MINUTE;
    let mut scene = Scene::new(3);
    scene.hammer(ORDINARY, None, 8);
    scene.run(hour);
    let refilled = (hour.as_secs() / LOGIN_ADDRESS_REFILL.as_secs()) as usize;
    let most = LOGIN_ADDRESS_FAILURES as usize + refilled;
    let guesses = scene.guesses();
    assert!((most - 10..=most).contains(&guesses), "{guesses} of {most}");

    let time = 4 * MINUTE;
    let mut scene = Scene::new(4);
    for n in 1..=120 {
        scene.hammer(&format!("198.51.100.{n}"), Some("admin"), 1);
    }
    scene.run(time);
    let most = (LOGIN_ACCOUNT_FAILURES as u64 + time.as_secs()) as usize;
    let guesses = scene.guesses();
    assert!((most - 10..=most).contains(&guesses), "{guesses} of {most}");
}

#[test]
fn guesses_from_many_addresses_do_not_keep_the_owner_out() {
    for seed in 0..3 {
        let mut scene = Scene::new(seed);
        assert_eq!(scene.sign_in("203.0.113.1").0, 1);
        for n in 1..=120 {
            scene.hammer(&format!("198.51.100.{n}"), Some("admin"), 1);
        }
        scene.run(2 * MINUTE);
        // Where the owner has signed in before it takes a check or two, elsewhere a failure's refill too.
        let (attempts, time) = scene.sign_in("203.0.113.1");
        assert!(attempts == 1 && time <= 5 * TICK, "{attempts} {time:?}");
        for n in 2..=9 {
            let (attempts, time) = scene.sign_in(&format!("203.0.113.{n}"));
            assert!(attempts == 1 && time <= 2 * SECOND, "{attempts} {time:?}");
        }
    }
}

#[test]
fn a_queue_full_of_checks_from_hundreds_of_addresses_does_not_keep_the_owner_out() {
    let mut times = Vec::new();
    for seed in 0..5 {
        let mut scene = Scene::new(seed);
        scene.sign_in("203.0.113.1");
        for n in 0..200 {
            scene.hammer(&format!("198.51.100.{n}"), None, 1);
        }
        scene.run(30 * SECOND);
        for n in 1..=5 {
            // Where the owner has signed in before the check is the next one.
            let (attempts, time) = scene.sign_in("203.0.113.1");
            assert!(attempts == 1 && time <= 5 * TICK, "{attempts} {time:?}");
            // Elsewhere the owner waits for a place like each of the others.
            times.push(scene.sign_in(&format!("203.0.113.1{n}")));
        }
    }
    let sum: Duration = times.iter().map(|(_, time)| *time).sum();
    assert!(sum / 25 < 10 * SECOND, "{times:?}");
    let longest = times.iter().map(|(_, time)| *time).max();
    assert!(longest < Some(MINUTE), "{times:?}");
}

#[test]
fn guesses_at_other_names_from_an_owners_address_do_not_keep_the_owner_out() {
    let mut scene = Scene::new(5);
    scene.hammer(ORDINARY, None, LOGIN_ADDRESS_FAILURES as usize);
    // Each of them has guessed once.
    scene.step();
    scene.step();
    scene.guessers.clear();
    let (attempts, time) = scene.sign_in(ORDINARY);
    assert!(
        attempts == 1 && time <= LOGIN_PARKED_FOR + TICK,
        "{attempts} {time:?}"
    );

    let mut slowest = Duration::ZERO;
    for seed in 0..20 {
        let mut scene = Scene::new(seed);
        scene.hammer(ORDINARY, None, 3);
        scene.run(MINUTE);
        let (_, time) = scene.sign_in(ORDINARY);
        slowest = slowest.max(time);
        scene.run(MINUTE);
        // From now on the owner has signed in there.
        let (attempts, time) = scene.sign_in(ORDINARY);
        assert!(attempts == 1 && time <= 5 * TICK, "{attempts} {time:?}");
    }
    assert!(slowest < 2 * MINUTE, "{slowest:?}");
}

#[test]
fn nobody_learns_from_an_answer_or_its_time_where_somebody_has_signed_in() {
    // The address's failures are used up, and then the guesses at one account.
    for names in [LOGIN_ADDRESS_FAILURES, 1] {
        let told = |signs_in: bool| {
            let mut scene = Scene::new(6);
            if signs_in {
                scene.sign_in(ORDINARY);
            } else {
                scene.run(TICK);
            }
            for n in 0..20 {
                let account = format!("nobody {}", n % names);
                scene.attempt(ORDINARY, &account, &format!("{ORDINARY} {account}"));
            }
            let guess = format!("{ORDINARY} admin");
            let answers: Vec<_> = (0..20)
                .map(|_| {
                    let status = scene.attempt(ORDINARY, "admin", &guess);
                    (status, scene.world.now.monotonic)
                })
                .collect();
            (
                answers,
                scene.checked[&(ORDINARY.to_owned(), "admin".to_owned())],
            )
        };
        let (known, unknown) = (told(true), told(false));
        assert_eq!(known.0, unknown.0);
        assert!(known.1 > unknown.1, "some were checked early");
    }
}
