//! Units of the throttle.

use std::net::Ipv4Addr;

use super::*;

const NOW: Duration = Duration::from_secs(1000);
const SECOND: Duration = Duration::from_secs(1);
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn address(text: &str) -> IpAddr {
    text.parse().expect("is an address")
}

fn kim() -> Rc<str> {
    "kim".into()
}

/// A failure in whatever lane is open.
fn fail(throttle: &mut Throttle, address: IpAddr, now: Duration) -> Result<Lane, Hold> {
    let lane = throttle.begin(&kim(), address, now)?;
    throttle.end(&kim(), address, lane, Some(false), now);
    Ok(lane)
}

/// A success in whatever lane is open.
fn succeed(throttle: &mut Throttle, address: IpAddr, now: Duration) -> Lane {
    let begun = throttle.begin(&kim(), address, now);
    let lane = begun.expect("is admitted");
    throttle.end(&kim(), address, lane, Some(true), now);
    lane
}

/// A throttle with the free failures, and the first lane's wait, which ends at the time returned.
fn exhausted(address: IpAddr) -> (Throttle, Duration) {
    let mut throttle = Throttle::default();
    for _ in 0..LOGIN_FREE_FAILURES {
        assert_eq!(fail(&mut throttle, address, NOW), Ok(Lane::First));
    }
    (throttle, NOW + SECOND)
}

#[test]
fn after_some_failures_each_costs_a_longer_wait_which_has_an_end() {
    let (mut throttle, mut now) = exhausted(HOME);
    // Whoever makes one guess for each wait never uses the second lane.
    for wait in [2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(fail(&mut throttle, HOME, now), Ok(Lane::First));
        let wait = Duration::from_secs(wait);
        assert_eq!(throttle.pairs[&(kim(), HOME)].wait_until, now + wait);
        now += wait;
    }
}

#[test]
fn during_the_wait_attempts_are_checked_on_a_second_schedule_and_leave_the_first_as_it_is() {
    for (address, waits) in [
        (HOME, [5, 10, 20, 40, 60, 60]),
        (LOOPBACK, [5, 5, 5, 5, 5, 5]),
    ] {
        let (mut throttle, _) = exhausted(address);
        // The first lane is closed for the rest of the test.
        let pair = throttle.pairs.get_mut(&(kim(), address)).expect("is there");
        pair.wait_until = NOW + 1_000 * SECOND;
        let mut now = NOW;
        for seconds in waits {
            assert_eq!(fail(&mut throttle, address, now), Ok(Lane::Second));
            let hold = fail(&mut throttle, address, now).expect_err("has to wait");
            let wait = Duration::from_secs(seconds);
            assert_eq!(hold.wait, Some(wait));
            assert!(!hold.is_near, "{hold:?}");
            // What is told is the wait of the first lane.
            assert_eq!(hold.retry_after, NOW + 1_000 * SECOND - now);
            now += wait - SECOND;
            let hold = fail(&mut throttle, address, now).expect_err("has to wait");
            assert!(hold.is_near && hold.wait == Some(SECOND), "{hold:?}");
            now += SECOND;
        }
    }
}

#[test]
fn a_success_in_the_second_lane_causes_no_wait_and_forgives_nothing() {
    let (mut throttle, until) = exhausted(LOOPBACK);
    for _ in 0..20 {
        assert_eq!(succeed(&mut throttle, LOOPBACK, NOW), Lane::Second);
    }
    assert_eq!(fail(&mut throttle, LOOPBACK, until), Ok(Lane::First));
    let pair = &throttle.pairs[&(kim(), LOOPBACK)];
    assert_eq!((pair.failures, pair.wait_until), (6, until + 2 * SECOND));
}

#[test]
fn a_success_forgives_the_free_failures_and_later_ones_when_they_have_ended() {
    let mut throttle = Throttle::default();
    assert!((1..LOGIN_FREE_FAILURES).all(|_| fail(&mut throttle, HOME, NOW).is_ok()));
    assert_eq!(succeed(&mut throttle, HOME, NOW), Lane::First);
    for _ in 0..LOGIN_FREE_FAILURES {
        assert_eq!(fail(&mut throttle, HOME, NOW), Ok(Lane::First));
    }
    assert_eq!(fail(&mut throttle, HOME, NOW), Ok(Lane::Second));
    // Somebody who still guesses gains nothing by it.
    let mut now = NOW + SECOND;
    for wait in [2, 4, 8] {
        assert_eq!(succeed(&mut throttle, HOME, now), Lane::First);
        assert_eq!(fail(&mut throttle, HOME, now), Ok(Lane::First));
        let wait = Duration::from_secs(wait);
        assert_eq!(throttle.pairs[&(kim(), HOME)].wait_until, now + wait);
        now += wait;
    }
    now += LOGIN_FORGIVEN_AFTER;
    assert_eq!(succeed(&mut throttle, HOME, now), Lane::First);
    assert!(throttle.pairs.is_empty());
}

#[test]
fn who_guesses_at_one_address_does_not_lock_out_another() {
    let mut throttle = Throttle::default();
    while fail(&mut throttle, HOME, NOW).is_ok() {}
    assert!(throttle.begin(&kim(), ELSEWHERE, NOW).is_ok());
}

#[test]
fn an_address_that_tries_many_names_runs_dry_and_recovers() {
    let mut throttle = Throttle::default();
    let mut attempt = |n: u32, now| {
        let name: Rc<str> = n.to_string().into();
        throttle
            .begin(&name, HOME, now)
            .map(|lane| throttle.end(&name, HOME, lane, Some(false), now))
    };
    assert!((0..LOGIN_ADDRESS_FAILURES).all(|n| attempt(n, NOW).is_ok()));
    let hold = attempt(1_000, NOW).expect_err("has to wait");
    assert_eq!(hold.wait, Some(LOGIN_ADDRESS_REFILL));
    // It waits for that, so it is not sent away.
    assert!(hold.is_near && hold.retry_after == LOGIN_ADDRESS_REFILL);
    let later = NOW + LOGIN_ADDRESS_REFILL;
    assert!(attempt(1_001, later).is_ok());
    assert!(attempt(1_002, later).is_err());
}

#[test]
fn attempts_under_way_count_as_failures_until_they_have_succeeded() {
    let mut throttle = Throttle::default();
    let home = |n: u32| IpAddr::V4(n.into());
    let begun: Vec<Lane> = (0..LOGIN_ACCOUNT_FAILURES)
        .map(|n| throttle.begin(&kim(), home(n), NOW).expect("is admitted"))
        .collect();
    let hold = throttle.begin(&kim(), home(1_000), NOW);
    assert_eq!(hold.map_err(|hold| hold.wait), Err(Some(SECOND)));
    for (n, lane) in begun.into_iter().enumerate() {
        let is_accepted = (n % 2 == 0).then_some(n % 4 == 0);
        throttle.end(&kim(), home(n as u32), lane, is_accepted, NOW);
    }
    let failed = LOGIN_ACCOUNT_FAILURES / 4;
    let left = (1_000..).take_while(|n| {
        let begun = throttle.begin(&kim(), home(*n), NOW);
        begun.is_ok()
    });
    assert_eq!(left.count() as u32, LOGIN_ACCOUNT_FAILURES - failed);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut throttle = Throttle::default();
    for n in 0..THROTTLED_MAX + 10 {
        let name: Rc<str> = n.to_string().into();
        let address = IpAddr::V4((n as u32).into());
        let lane = throttle.begin(&name, address, NOW).expect("is admitted");
        throttle.end(&name, address, lane, Some(false), NOW);
    }
    assert!(throttle.pairs.len() <= THROTTLED_MAX);
}

#[test]
fn a_host_of_ipv6_is_its_network_and_a_mapped_address_is_its_ipv4() {
    let mut throttle = Throttle::default();
    while fail(&mut throttle, address("2001:db8:1:2::1"), NOW).is_ok() {}
    for same in ["2001:db8:1:2::2", "2001:db8:1:2:ffff::"] {
        let begun = throttle.begin(&kim(), address(same), NOW);
        assert_eq!(
            begun.map_err(|hold| hold.retry_after),
            Err(SECOND),
            "{same}"
        );
    }
    for other in ["2001:db8:1:3::1", "2001:db8:0:2::1"] {
        let begun = throttle.begin(&kim(), address(other), NOW);
        assert_eq!(begun, Ok(Lane::First), "{other}");
    }
    assert_eq!(network(address("::ffff:192.0.2.1")), HOME);
}

#[test]
fn attempts_under_way_are_bounded_and_after_failures_there_is_one() {
    let mut throttle = Throttle::default();
    let full = Err(Hold {
        wait: None,
        is_near: true,
        retry_after: SECOND,
    });
    let begin = |throttle: &mut Throttle, now| throttle.begin(&kim(), HOME, now);
    let end = |throttle: &mut Throttle, is_accepted, now| {
        throttle.end(&kim(), HOME, Lane::First, is_accepted, now);
    };
    for _ in 0..LOGIN_IN_FLIGHT_MAX {
        assert_eq!(begin(&mut throttle, NOW), Ok(Lane::First));
    }
    assert_eq!(begin(&mut throttle, NOW), full);
    end(&mut throttle, None, NOW);
    assert_eq!(begin(&mut throttle, NOW), Ok(Lane::First));
    for _ in 0..LOGIN_FREE_FAILURES {
        end(&mut throttle, Some(false), NOW);
    }
    for _ in LOGIN_FREE_FAILURES..LOGIN_IN_FLIGHT_MAX {
        end(&mut throttle, None, NOW);
    }
    assert_eq!(begin(&mut throttle, NOW + SECOND), Ok(Lane::First));
    assert_eq!(begin(&mut throttle, NOW + SECOND), full);
    end(&mut throttle, Some(true), NOW + LOGIN_FORGIVEN_AFTER);
    assert!(throttle.pairs.is_empty());
}

#[test]
fn attempts_under_way_from_one_address_are_bounded_whatever_their_names() {
    for (text, max) in [
        ("192.0.2.1", LOGIN_ADDRESS_IN_FLIGHT_MAX),
        ("2001:db8:1:2::", LOGIN_ADDRESS_IN_FLIGHT_MAX),
        ("127.0.0.1", LOGIN_LOOPBACK_IN_FLIGHT_MAX),
        ("::1", LOGIN_LOOPBACK_IN_FLIGHT_MAX),
    ] {
        let mut throttle = Throttle::default();
        let address = address(text);
        let name = |n: u32| -> Rc<str> { n.to_string().into() };
        for n in 0..max {
            assert_eq!(throttle.begin(&name(n), address, NOW), Ok(Lane::First));
        }
        let hold = throttle.begin(&name(max), address, NOW);
        assert_eq!(hold.map_err(|hold| hold.wait), Err(None));
        assert_eq!(throttle.begin(&name(0), ELSEWHERE, NOW), Ok(Lane::First));
        throttle.end(&name(0), ELSEWHERE, Lane::First, None, NOW);
        throttle.end(&name(0), address, Lane::First, None, NOW);
        assert_eq!(throttle.begin(&name(max), address, NOW), Ok(Lane::First));
        for n in 1..=max {
            throttle.end(&name(n), address, Lane::First, Some(true), NOW);
        }
        // Nothing is left of an address without failures.
        assert!(throttle.in_flight.is_empty() && throttle.pairs.is_empty());
    }
}

#[test]
fn where_somebody_has_signed_in_some_attempts_may_be_checked_early_and_only_failures_count() {
    let (kim, mut throttle) = (kim(), Throttle::default());
    assert!(!throttle.begin_early(&kim, HOME, NOW));
    succeed(&mut throttle, HOME, NOW);
    assert_eq!(throttle.early_wait(&kim, ELSEWHERE, NOW), None);
    for _ in 0..20 {
        assert!(throttle.begin_early(&kim, HOME, NOW));
        throttle.end_early(&kim, HOME, Some(true), NOW);
    }
    for _ in 0..LOGIN_EARLY_CHECKS {
        assert!(throttle.begin_early(&kim, HOME, NOW));
        throttle.end_early(&kim, HOME, Some(false), NOW);
    }
    assert!(!throttle.begin_early(&kim, HOME, NOW));
    assert_eq!(
        throttle.early_wait(&kim, HOME, NOW),
        Some(LOGIN_EARLY_REFILL)
    );
    // At the account they count as all attempts do.
    let of_account = throttle.accounts.taken(&kim, LOGIN_ACCOUNT_REFILL, NOW);
    assert_eq!(of_account, LOGIN_EARLY_CHECKS);
    assert!(throttle.begin_early(&kim, HOME, NOW + LOGIN_EARLY_REFILL));
    // It leaves the lanes alone.
    assert!(throttle.pairs.is_empty());
    let later = NOW + SIGNED_IN_PAIR_KEPT_FOR;
    assert_eq!(throttle.early_wait(&kim, HOME, later), None);
}

/// A throttle with this many idle pairs, pairs that wait, and pairs with an attempt under way.
fn crowded(idle: usize, waiting: usize, in_flight: usize) -> Throttle {
    let mut throttle = Throttle::default();
    for n in 0..idle + waiting + in_flight {
        let is_waiting = (idle..idle + waiting).contains(&n);
        let wait_until = if is_waiting { NOW + SECOND } else { NOW };
        let mut pair = Pair {
            failures: 1,
            in_flight: (n >= idle + waiting).into(),
            ..Pair::default()
        };
        match n % 2 {
            0 => pair.wait_until = wait_until,
            _ => pair.second_wait_until = wait_until,
        }
        throttle.pairs.insert((n.to_string().into(), HOME), pair);
    }
    throttle
}

#[test]
fn at_the_limit_those_are_forgotten_that_have_no_effect_and_then_all_but_those_under_way() {
    for (idle, waiting, in_flight, left) in [
        (THROTTLED_MAX - 3, 1, 1, THROTTLED_MAX - 1),
        (THROTTLED_MAX - 3, 1, 2, 3),
        (2, THROTTLED_MAX - 3, 2, THROTTLED_MAX - 1),
        (0, THROTTLED_MAX - 2, 2, 2),
    ] {
        let mut throttle = crowded(idle, waiting, in_flight);
        throttle.forget(NOW);
        assert_eq!(throttle.pairs.len(), left);
    }
}
