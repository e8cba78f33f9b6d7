//! The queue of password checks while others hold it with names that do not exist: who waits for whom, and who is
//! refused.

use std::net::IpAddr;
use std::time::Duration;

use sarang::config::{
    Config, LINGER_TIMEOUT, LOGIN_ADDRESS_IN_FLIGHT_MAX, LOGIN_CHECKS_AT_WORK,
    LOGIN_LOOPBACK_IN_FLIGHT_MAX, LOGIN_PATIENCE, LOGIN_QUEUE_MAX,
};
use sarang::domain::ids::{ConnectionId, Serial};
use sarang::server::jobs::{Done, Job};

use crate::world::World;

/// What one check takes with a costly hash.
const CHECK: Duration = Duration::from_secs(3);
const LOOPBACK: &str = "127.0.0.1";
const SHARE: usize = LOGIN_ADDRESS_IN_FLIGHT_MAX as usize;
const LOOPBACK_SHARE: usize = LOGIN_LOOPBACK_IN_FLIGHT_MAX as usize;

/// A login on a connection of its own.
fn log_in(world: &mut World, address: &str, name: &str, password: &str) -> ConnectionId {
    let address: IpAddr = address.parse().expect("is an address");
    let id = world.connect_from(address);
    let form = format!(r#"{{"username":"{name}","password":"{password}"}}"#);
    let head = format!(
        "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    world.receive(id, head.as_bytes());
    world.turn();
    id
}

fn log_in_as_owner(world: &mut World, address: &str) -> ConnectionId {
    log_in(world, address, "admin", "secret")
}

/// As many guesses as an address has under way, at this many names without an account.
fn guess(world: &mut World, address: &str, names: usize, count: usize) -> Vec<ConnectionId> {
    (0..count)
        .map(|n| {
            let name = format!("nobody {}", n % names);
            log_in(world, address, &name, "wrong")
        })
        .collect()
}

/// The status of the answer, and its Retry-After; `None` without an answer.
fn answer(world: &mut World, id: ConnectionId) -> Option<(u16, Option<u64>)> {
    let bytes = &world.wire(id).bytes;
    let text = String::from_utf8_lossy(bytes);
    let status = text.get(9..12)?.parse().expect("a status");
    let retry = text.split("Retry-After: ").nth(1);
    let seconds = retry.and_then(|rest| rest.lines().next());
    Some((status, seconds.map(|n| n.parse().expect("seconds"))))
}

/// The worker ends its next check, [`CHECK`] later; returns whether it was the owner's.
fn end_a_check(world: &mut World) -> bool {
    let (serial, job): (Serial, Job) = world.jobs.pop_front().expect("the worker has a check");
    let Job::CheckPassword(check) = job else {
        panic!("{job:?}");
    };
    let is_owners = **check.password == *b"secret";
    world.pass(CHECK);
    let done = Done::PasswordChecked(is_owners);
    world.server.finished(serial, done, world.now);
    world.turn();
    is_owners
}

/// How many checks the worker ends until the owner's is among them. After each, `meanwhile` happens.
fn checks_until_owner(world: &mut World, mut meanwhile: impl FnMut(&mut World, usize)) -> usize {
    let mut count = 1;
    while !end_a_check(world) {
        meanwhile(world, count);
        count += 1;
        assert!(count < 1_000, "the owner is never served");
    }
    count
}

#[test]
fn unknown_names_from_some_addresses_do_not_keep_the_owner_at_another_out() {
    // Two hosts of one IPv6 network are one address.
    for names in [1, 4, SHARE] {
        let mut world = World::new(Config::default());
        let attackers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8:1:2::1"];
        let guesses = attackers.map(|address| guess(&mut world, address, names, SHARE));
        assert_eq!(SHARE * attackers.len(), LOGIN_QUEUE_MAX);
        let more = ["192.0.2.1", "2001:db8:1:2::2"];
        let more = more.map(|address| log_in(&mut world, address, "one more", "wrong"));
        assert_eq!(
            more.map(|id| answer(&mut world, id)),
            [None; 2],
            "they wait"
        );
        let owner = log_in_as_owner(&mut world, "198.51.100.1");
        assert_eq!(answer(&mut world, owner), None, "the owner waits");
        // One of theirs has made room.
        let answered = guesses.iter().flatten();
        let refused: Vec<_> = answered
            .filter_map(|guess| answer(&mut world, *guess))
            .collect();
        assert_eq!(refused, [(503, Some(1))]);
        // They go on as fast as they can.
        let count = checks_until_owner(&mut world, |world, n| {
            for address in attackers {
                log_in(world, address, &format!("more {n}"), "wrong");
            }
        });
        let at_most = LOGIN_CHECKS_AT_WORK + attackers.len() + 1;
        assert!(count <= at_most, "served as number {count}");
        let status = answer(&mut world, owner).map(|(status, _)| status);
        assert_eq!(status, Some(200));
    }
}

#[test]
fn unknown_names_at_the_owners_address_let_the_owner_in_with_the_next_free_place() {
    for (address, share) in [(LOOPBACK, LOOPBACK_SHARE), ("192.0.2.1", SHARE)] {
        let mut world = World::new(Config::default());
        let names = 4;
        guess(&mut world, address, names, share);
        let owner = log_in_as_owner(&mut world, address);
        assert_eq!(world.server.waiting_count(), share + 1, "{address}");
        let count = checks_until_owner(&mut world, |_, _| {});
        // The first check to end gives the owner a place.
        let at_most = 1 + LOGIN_CHECKS_AT_WORK + names + 1;
        assert!(count <= at_most, "{address}: served as number {count}");
        let status = answer(&mut world, owner).map(|(status, _)| status);
        assert_eq!(status, Some(200), "{address}");
    }
}

#[test]
fn an_address_with_one_check_loses_it_to_nobody() {
    let mut world = World::new(Config::default());
    let addresses = (1..=LOGIN_QUEUE_MAX).map(|n| format!("192.0.2.{n}"));
    let waiting: Vec<_> = addresses
        .map(|address| log_in_as_owner(&mut world, &address))
        .collect();
    let latest = log_in_as_owner(&mut world, "198.51.100.1");
    // It waits for a place.
    assert_eq!(answer(&mut world, latest), None);
    // The worker never has more than it needs, and never idles.
    let mut begun = 0;
    while !world.jobs.is_empty() {
        let left = LOGIN_QUEUE_MAX + 1 - begun;
        let is_in_time = world.now.monotonic < LOGIN_PATIENCE;
        if is_in_time {
            assert_eq!(world.jobs.len(), LOGIN_CHECKS_AT_WORK.min(left));
        }
        assert!(end_a_check(&mut world));
        begun += 1;
    }
    // For whom it is too late there is an answer, and no check.
    let in_time = (LOGIN_PATIENCE.as_secs() / CHECK.as_secs()) as usize;
    assert!(begun <= in_time + LOGIN_CHECKS_AT_WORK, "{begun}");
    let statuses = waiting.into_iter().map(|id| answer(&mut world, id));
    let statuses: Vec<u16> = statuses.map(|answer| answer.expect("one").0).collect();
    let (accepted, late) = statuses.split_at(in_time - 1);
    assert!(accepted.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(late.ends_with(&[503; LOGIN_CHECKS_AT_WORK]), "{statuses:?}");
    assert_eq!(answer(&mut world, latest), Some((503, Some(1))));
}

#[test]
fn costly_checks_from_hundreds_of_addresses_do_not_keep_out_who_has_signed_in_before() {
    let mut world = World::new(Config::default());
    let home = "203.0.113.1";
    log_in_as_owner(&mut world, home);
    assert!(end_a_check(&mut world));
    let addresses: Vec<String> = (1..=200).map(|n| format!("192.0.2.{n}")).collect();
    for address in &addresses {
        guess(&mut world, address, 1, 1);
    }
    let owner = log_in_as_owner(&mut world, home);
    let count = checks_until_owner(&mut world, |world, n| {
        for address in &addresses {
            log_in(world, address, &format!("more {n}"), "wrong");
        }
    });
    assert!(
        count <= LOGIN_CHECKS_AT_WORK + 1,
        "served as number {count}"
    );
    let status = answer(&mut world, owner).map(|(status, _)| status);
    assert_eq!(status, Some(200));
}

#[test]
fn a_check_for_which_nobody_waits_any_more_is_not_begun_and_is_no_guess() {
    let mut world = World::new(Config::default());
    let gone = guess(&mut world, LOOPBACK, 8, LOOPBACK_SHARE);
    assert_eq!(world.jobs.len(), LOGIN_CHECKS_AT_WORK);
    for id in &gone {
        world.server.closed(*id, world.now);
    }
    world.turn();
    // What has begun is counted, and keeps its place until then.
    assert_eq!(world.server.waiting_count(), LOGIN_CHECKS_AT_WORK);
    for _ in 0..LOGIN_CHECKS_AT_WORK {
        end_a_check(&mut world);
    }
    assert!(world.jobs.is_empty());
    assert_eq!(world.server.waiting_count(), 0);
    // The places are free again, all of them.
    let again = guess(&mut world, LOOPBACK, 8, LOOPBACK_SHARE);
    assert!(again.iter().all(|id| answer(&mut world, *id).is_none()));
}

#[test]
fn a_sign_in_that_is_answered_while_the_server_drains_is_the_last_of_its_connection() {
    let mut world = World::new(Config {
        keep_alive: None,
        ..Config::default()
    });
    let id = log_in_as_owner(&mut world, LOOPBACK);
    world.server.drain(world.now);
    world.turn();
    assert!(world.is_open(id), "its answer is awaited");
    world.check_passwords(true);
    world.turn();
    let text = String::from_utf8_lossy(&world.wire(id).bytes).into_owned();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    world.pass(LINGER_TIMEOUT + Duration::from_secs(1));
    assert!(!world.is_open(id));
}
