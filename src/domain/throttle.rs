//! The throttle of sign-in attempts.
//!
//! Failures count per account *and* address, so that nobody can lock an account: a guesser waits, the owner at another
//! address does not. In addition each address has a bucket of failures, and each account a large one that refills every
//! second, against guesses from many addresses. Attempts under way count per account and address, and per address
//! whatever their names, so that nobody holds the queue of password checks with names that may not even exist.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{
    LOGIN_ACCOUNT_FAILURES, LOGIN_ADDRESS_FAILURES, LOGIN_ADDRESS_IN_FLIGHT_MAX,
    LOGIN_ADDRESS_REFILL, LOGIN_FREE_FAILURES, LOGIN_IN_FLIGHT_MAX, LOGIN_LOOPBACK_IN_FLIGHT_MAX,
    LOGIN_WAIT_MAX, THROTTLED_MAX,
};

/// The recent failures.
#[derive(Debug, Default)]
pub struct Throttle {
    pairs: HashMap<(Rc<str>, IpAddr), Pair>,
    addresses: HashMap<IpAddr, Address>,
    accounts: HashMap<Rc<str>, Bucket>,
}

/// Attempts at one account from one address.
#[derive(Debug, Default)]
struct Pair {
    failures: u32,
    in_flight: u32,
    wait_until: Duration,
}

/// Attempts from one address, at whatever account. Loopback has no failures.
#[derive(Debug, Default)]
struct Address {
    failures: Bucket,
    in_flight: u32,
}

/// A leaky bucket of failures, kept as the time at which it is empty.
#[derive(Debug, Default)]
struct Bucket {
    empty_at: Duration,
}

impl Address {
    /// Whether nothing is to be remembered of it.
    fn is_idle(&self, now: Duration) -> bool {
        self.in_flight == 0 && self.failures.empty_at <= now
    }
}

impl Bucket {
    /// The time until one more failure fits into a bucket of `size` that drains one failure per `refill`.
    fn wait(&self, size: u32, refill: Duration, now: Duration) -> Duration {
        (self.empty_at + refill).saturating_sub(now + refill * size)
    }

    fn add(&mut self, refill: Duration, now: Duration) {
        self.empty_at = self.empty_at.max(now) + refill;
    }
}

const ACCOUNT_REFILL: Duration = Duration::from_secs(1);
/// The wait of an attempt that is one too many at a time: one of the others may have ended by then.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(1);

/// The address an attempt is counted for: of IPv6 the 64-bit network, as one host may have all of it.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address if address.is_loopback() => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

impl Throttle {
    /// Admits an attempt, which must end with [`Self::end`].
    ///
    /// # Errors
    /// The time to wait, if it is not admitted.
    pub fn begin(
        &mut self,
        account: &Rc<str>,
        address: IpAddr,
        now: Duration,
    ) -> Result<(), Duration> {
        self.forget(now);
        let address = network(address);
        let of_account = self
            .accounts
            .get(account)
            .map(|bucket| bucket.wait(LOGIN_ACCOUNT_FAILURES, ACCOUNT_REFILL, now));
        let of_address = self
            .addresses
            .get(&address)
            .map(|of| &of.failures)
            .map(|bucket| bucket.wait(LOGIN_ADDRESS_FAILURES, LOGIN_ADDRESS_REFILL, now));
        let wait = of_account.max(of_address).unwrap_or_default();
        if wait > Duration::ZERO {
            return Err(wait);
        }
        let in_flight_max = match address.is_loopback() {
            true => LOGIN_LOOPBACK_IN_FLIGHT_MAX,
            false => LOGIN_ADDRESS_IN_FLIGHT_MAX,
        };
        let of_address = self.addresses.get(&address);
        if of_address.is_some_and(|of| of.in_flight >= in_flight_max) {
            return Err(IN_FLIGHT_WAIT);
        }
        let pair = self.pairs.entry((account.clone(), address)).or_default();
        let in_flight_max = if pair.failures < LOGIN_FREE_FAILURES {
            LOGIN_IN_FLIGHT_MAX
        } else {
            1
        };
        if pair.wait_until > now {
            return Err(pair.wait_until - now);
        }
        if pair.in_flight >= in_flight_max {
            return Err(IN_FLIGHT_WAIT);
        }
        pair.in_flight += 1;
        self.addresses.entry(address).or_default().in_flight += 1;
        Ok(())
    }

    /// Records the result of an attempt; `None` if the password was not checked.
    pub fn end(
        &mut self,
        account: &Rc<str>,
        address: IpAddr,
        is_accepted: Option<bool>,
        now: Duration,
    ) {
        let address = network(address);
        let key = (account.clone(), address);
        let Some(pair) = self.pairs.get_mut(&key) else {
            return;
        };
        pair.in_flight = pair.in_flight.saturating_sub(1);
        let of_address = self.addresses.entry(address).or_default();
        of_address.in_flight = of_address.in_flight.saturating_sub(1);
        match is_accepted {
            Some(true) => {
                pair.failures = 0;
                pair.wait_until = Duration::ZERO;
            }
            Some(false) => {
                pair.failures += 1;
                if let Some(over) = pair.failures.checked_sub(LOGIN_FREE_FAILURES) {
                    let wait = Duration::from_secs(1 << over.min(16)).min(LOGIN_WAIT_MAX);
                    pair.wait_until = now + wait;
                }
                if !address.is_loopback() {
                    of_address.failures.add(LOGIN_ADDRESS_REFILL, now);
                }
                self.accounts
                    .entry(account.clone())
                    .or_default()
                    .add(ACCOUNT_REFILL, now);
            }
            None => {}
        }
        if of_address.is_idle(now) {
            self.addresses.remove(&address);
        }
        if self
            .pairs
            .get(&key)
            .is_some_and(|pair| pair.in_flight == 0 && pair.failures == 0)
        {
            self.pairs.remove(&key);
        }
    }

    /// At [`THROTTLED_MAX`] entries, drops those without effect now; if that is not enough, all pairs without an
    /// attempt under way.
    fn forget(&mut self, now: Duration) {
        if self.pairs.len() >= THROTTLED_MAX {
            self.pairs
                .retain(|_, pair| pair.in_flight > 0 || pair.wait_until > now);
            if self.pairs.len() >= THROTTLED_MAX {
                self.pairs.retain(|_, pair| pair.in_flight > 0);
            }
        }
        if self.addresses.len() >= THROTTLED_MAX {
            self.addresses.retain(|_, of| !of.is_idle(now));
        }
        if self.accounts.len() >= THROTTLED_MAX {
            self.accounts.retain(|_, bucket| bucket.empty_at > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: Duration = Duration::from_secs(1000);
    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn fail(throttle: &mut Throttle, address: IpAddr, now: Duration) -> Result<(), Duration> {
        throttle.begin(&"kim".into(), address, now)?;
        throttle.end(&"kim".into(), address, Some(false), now);
        Ok(())
    }

    #[test]
    fn after_some_failures_each_costs_a_longer_wait_which_has_an_end() {
        let mut throttle = Throttle::default();
        assert!((0..LOGIN_FREE_FAILURES).all(|_| fail(&mut throttle, HOME, NOW).is_ok()));
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = fail(&mut throttle, HOME, now).expect_err("has to wait");
            waits.push(wait.as_secs());
            // An attempt refused early does not extend the wait.
            assert_eq!(fail(&mut throttle, HOME, now), Err(wait));
            now += wait;
            assert_eq!(fail(&mut throttle, HOME, now), Ok(()));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn who_guesses_at_one_address_does_not_lock_out_another() {
        let mut throttle = Throttle::default();
        while fail(&mut throttle, HOME, NOW).is_ok() {}
        assert!(throttle.begin(&"kim".into(), ELSEWHERE, NOW).is_ok());
    }

    #[test]
    fn a_success_forgives_what_went_before() {
        let mut throttle = Throttle::default();
        assert!((1..LOGIN_FREE_FAILURES).all(|_| fail(&mut throttle, HOME, NOW).is_ok()));
        throttle
            .begin(&"kim".into(), HOME, NOW)
            .expect("is admitted");
        throttle.end(&"kim".into(), HOME, Some(true), NOW);
        assert!((0..LOGIN_FREE_FAILURES).all(|_| fail(&mut throttle, HOME, NOW).is_ok()));
    }

    #[test]
    fn an_address_that_tries_many_names_runs_dry_and_recovers() {
        let mut throttle = Throttle::default();
        let mut attempt = |n: u32, now| {
            let name: Rc<str> = n.to_string().into();
            throttle
                .begin(&name, HOME, now)
                .map(|()| throttle.end(&name, HOME, Some(false), now))
        };
        assert!((0..LOGIN_ADDRESS_FAILURES).all(|n| attempt(n, NOW).is_ok()));
        let wait = attempt(1_000, NOW).expect_err("has to wait");
        assert!(wait <= LOGIN_ADDRESS_REFILL);
        assert!(attempt(1_001, NOW + wait).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut throttle = Throttle::default();
        for n in 0..THROTTLED_MAX + 10 {
            let name: Rc<str> = n.to_string().into();
            let address = IpAddr::V4((n as u32).into());
            throttle.begin(&name, address, NOW).expect("is admitted");
            throttle.end(&name, address, Some(false), NOW);
        }
        assert!(throttle.pairs.len() <= THROTTLED_MAX);
    }

    #[test]
    fn a_host_of_ipv6_is_its_network_and_a_mapped_address_is_its_ipv4() {
        let mut throttle = Throttle::default();
        let address = |text: &str| text.parse::<IpAddr>().expect("is an address");
        while fail(&mut throttle, address("2001:db8:1:2::1"), NOW).is_ok() {}
        let wait = Err(Duration::from_secs(1));
        for same in ["2001:db8:1:2::2", "2001:db8:1:2:ffff::"] {
            assert_eq!(
                throttle.begin(&"kim".into(), address(same), NOW),
                wait,
                "{same}"
            );
        }
        for other in ["2001:db8:1:3::1", "2001:db8:0:2::1"] {
            assert_eq!(
                throttle.begin(&"kim".into(), address(other), NOW),
                Ok(()),
                "{other}"
            );
        }
        assert_eq!(network(address("::ffff:192.0.2.1")), HOME);
    }

    #[test]
    fn attempts_under_way_are_bounded_and_after_failures_there_is_one() {
        let mut throttle = Throttle::default();
        let kim: Rc<str> = "kim".into();
        let second = Duration::from_secs(1);
        let begin = |throttle: &mut Throttle, now| throttle.begin(&kim, HOME, now);
        for _ in 0..LOGIN_IN_FLIGHT_MAX {
            assert_eq!(begin(&mut throttle, NOW), Ok(()));
        }
        assert_eq!(begin(&mut throttle, NOW), Err(second));
        throttle.end(&kim, HOME, None, NOW);
        assert_eq!(begin(&mut throttle, NOW), Ok(()));
        for _ in 0..LOGIN_FREE_FAILURES {
            throttle.end(&kim, HOME, Some(false), NOW);
        }
        for _ in LOGIN_FREE_FAILURES..LOGIN_IN_FLIGHT_MAX {
            throttle.end(&kim, HOME, None, NOW);
        }
        assert_eq!(begin(&mut throttle, NOW + second), Ok(()));
        assert_eq!(begin(&mut throttle, NOW + second), Err(second));
        throttle.end(&kim, HOME, Some(true), NOW + second);
        assert!(throttle.pairs.is_empty());
    }

    #[test]
    fn attempts_under_way_from_one_address_are_bounded_whatever_their_names() {
        let second = Err(Duration::from_secs(1));
        for (address, max) in [
            ("192.0.2.1", LOGIN_ADDRESS_IN_FLIGHT_MAX),
            ("2001:db8:1:2::", LOGIN_ADDRESS_IN_FLIGHT_MAX),
            ("127.0.0.1", LOGIN_LOOPBACK_IN_FLIGHT_MAX),
            ("::1", LOGIN_LOOPBACK_IN_FLIGHT_MAX),
        ] {
            let mut throttle = Throttle::default();
            let address: IpAddr = address.parse().expect("is an address");
            let name = |n: u32| -> Rc<str> { n.to_string().into() };
            for n in 0..max {
                assert_eq!(throttle.begin(&name(n), address, NOW), Ok(()));
            }
            assert_eq!(throttle.begin(&name(max), address, NOW), second);
            assert_eq!(throttle.begin(&name(0), ELSEWHERE, NOW), Ok(()));
            throttle.end(&name(0), ELSEWHERE, None, NOW);
            throttle.end(&name(0), address, None, NOW);
            assert_eq!(throttle.begin(&name(max), address, NOW), Ok(()));
            for n in 1..=max {
                throttle.end(&name(n), address, Some(true), NOW);
            }
            // Nothing is left of an address without failures.
            assert!(throttle.addresses.is_empty() && throttle.pairs.is_empty());
        }
    }

    #[test]
    fn at_the_limit_an_address_with_an_attempt_under_way_is_kept() {
        let mut throttle = Throttle::default();
        throttle
            .begin(&"kim".into(), HOME, NOW)
            .expect("is admitted");
        for n in 0..THROTTLED_MAX {
            let address = IpAddr::V4((n as u32).into());
            throttle.addresses.insert(address, Address::default());
        }
        throttle.forget(NOW);
        assert_eq!(throttle.addresses.len(), 1);
    }

    /// A throttle with this many idle pairs, pairs that wait, and pairs with an attempt under way.
    fn crowded(idle: usize, waiting: usize, in_flight: usize) -> Throttle {
        let mut throttle = Throttle::default();
        for n in 0..idle + waiting + in_flight {
            let pair = Pair {
                failures: 1,
                in_flight: (n >= idle + waiting).into(),
                wait_until: if (idle..idle + waiting).contains(&n) {
                    NOW + ACCOUNT_REFILL
                } else {
                    NOW
                },
            };
            let key = (n.to_string().into(), HOME);
            throttle.pairs.insert(key, pair);
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

    #[test]
    fn at_the_limit_empty_buckets_are_forgotten() {
        for (count, left) in [(THROTTLED_MAX - 1, THROTTLED_MAX - 1), (THROTTLED_MAX, 2)] {
            let mut throttle = Throttle::default();
            for n in 0..count {
                let empty_at = if n < 2 { NOW + ACCOUNT_REFILL } else { NOW };
                let address = IpAddr::V4((n as u32).into());
                let of_address = Address {
                    failures: Bucket { empty_at },
                    in_flight: 0,
                };
                throttle.addresses.insert(address, of_address);
                throttle
                    .accounts
                    .insert(n.to_string().into(), Bucket { empty_at });
            }
            throttle.forget(NOW);
            assert_eq!(
                (throttle.addresses.len(), throttle.accounts.len()),
                (left, left)
            );
        }
    }
}
