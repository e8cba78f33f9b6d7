//! What guests may not be called: names of people who signed in stay theirs for a time, however they are spelled, and an
//! address that is refused such names too often is refused every name, so that it learns no more of them.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::allowance::Allowances;
use super::expiring::Expiring;
use super::throttle::network;
use crate::config::{
    GUEST_REFUSALS, GUEST_REFUSALS_LOOPBACK, GUEST_REFUSALS_LOOPBACK_REFILL, GUEST_REFUSALS_REFILL,
    SIGNED_IN_NAME_HELD_FOR, SIGNED_IN_NAMES_MAX,
};

/// Names that are held, by key ([`key`](super::names::key)), and guests' names that were refused, by address.
#[derive(Debug)]
pub struct Guests {
    held: Expiring<Rc<str>>,
    refusals: Allowances<IpAddr>,
}

impl Default for Guests {
    fn default() -> Self {
        Self {
            held: Expiring::new(SIGNED_IN_NAMES_MAX),
            refusals: Allowances::default(),
        }
    }
}

impl Guests {
    /// Holds the names of a key from now on for [`SIGNED_IN_NAME_HELD_FOR`]. Above [`SIGNED_IN_NAMES_MAX`] the key that
    /// is free first is free at once.
    pub fn hold(&mut self, key: Rc<str>, now: Duration) {
        self.held.set(key, now + SIGNED_IN_NAME_HELD_FOR, now);
    }

    /// Whether the names of a key are held.
    pub fn is_held(&self, key: &str, now: Duration) -> bool {
        self.held.end(key, now).is_some()
    }

    /// How long guests from an address are refused, whatever their name; zero if they are not.
    pub fn wait(&self, address: IpAddr, now: Duration) -> Duration {
        let (size, refill) = refusals_of(address);
        self.refusals.wait(&network(address), size, refill, now)
    }

    /// Counts a guest from an address whose name was refused because it is somebody else's.
    pub fn count_refusal(&mut self, address: IpAddr, now: Duration) {
        let (size, refill) = refusals_of(address);
        // An address without allowance was refused before.
        _ = self.refusals.take(network(address), size, refill, now);
    }
}

/// How many refusals an address is allowed, and the time after which it is allowed one more. Everybody behind a proxy on
/// this machine shares one.
fn refusals_of(address: IpAddr) -> (u32, Duration) {
    match address.to_canonical().is_loopback() {
        true => (GUEST_REFUSALS_LOOPBACK, GUEST_REFUSALS_LOOPBACK_REFILL),
        false => (GUEST_REFUSALS, GUEST_REFUSALS_REFILL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("is an address")
    }

    /// Refusals until an address has to wait.
    fn refusals(guests: &mut Guests, from: &str) -> u32 {
        let mut count = 0;
        while guests.wait(address(from), NOW) == Duration::ZERO {
            guests.count_refusal(address(from), NOW);
            count += 1;
        }
        count
    }

    #[test]
    fn a_name_is_held_for_a_day_after_the_last_time_it_was_let_go() {
        let mut guests = Guests::default();
        let hours = |hours: u32| NOW + hours * Duration::from_secs(3_600);
        guests.hold("boss".into(), hours(0));
        assert!(guests.is_held("boss", hours(23)) && !guests.is_held("boss", hours(24)));
        guests.hold("boss".into(), hours(20));
        assert!(guests.is_held("boss", hours(43)) && !guests.is_held("boss", hours(44)));
        assert!(!guests.is_held("bos", NOW));
    }

    #[test]
    fn held_names_are_bounded_and_the_oldest_is_free_first() {
        let mut guests = Guests::default();
        for n in 0..=SIGNED_IN_NAMES_MAX {
            let now = NOW + Duration::from_millis(n as u64);
            guests.hold(n.to_string().into(), now);
        }
        assert_eq!(guests.held.len(), SIGNED_IN_NAMES_MAX);
        assert!(!guests.is_held("0", NOW) && guests.is_held("1", NOW));
    }

    #[test]
    fn refusals_count_against_an_address_and_all_of_a_host_of_ipv6_is_one() {
        let mut guests = Guests::default();
        assert_eq!(refusals(&mut guests, "192.0.2.1"), GUEST_REFUSALS);
        assert_eq!(refusals(&mut guests, "::ffff:192.0.2.1"), 0);
        assert_eq!(refusals(&mut guests, "192.0.2.2"), GUEST_REFUSALS);
        assert_eq!(refusals(&mut guests, "2001:db8::1"), GUEST_REFUSALS);
        assert_eq!(refusals(&mut guests, "2001:db8::2"), 0);
        let wait = guests.wait(address("2001:db8::3"), NOW);
        assert_eq!(wait, GUEST_REFUSALS_REFILL);
        for local in ["127.0.0.1", "127.0.0.2", "::1"] {
            assert_eq!(refusals(&mut guests, local), GUEST_REFUSALS_LOOPBACK);
        }
    }
}
