//! The throttle of sign-in attempts.
//!
//! Failures count per account *and* address, so that nobody can lock an account: a guesser waits, the owner at another
//! address does not. In addition each address has an allowance of failures, and each account a large one, against guesses
//! from many addresses. Attempts under way count per account and address, and per address whatever their names, so that
//! nobody holds the queue of password checks with names that may not even exist.
//!
//! Owner and guesser may have one address. So an attempt that falls into the wait of such a pair is checked too, but on
//! a schedule of its own, the second [`Lane`]: the first lane gives a guesser who waits as long as told no guess more than
//! it did, and one who does not is bounded by both. An attempt that no lane lets through is not checked, whatever its
//! password: otherwise every guess would be free.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::allowance::Allowances;
use super::expiring::Expiring;
use crate::config::{
    LOGIN_ACCOUNT_FAILURES, LOGIN_ACCOUNT_REFILL, LOGIN_ADDRESS_FAILURES,
    LOGIN_ADDRESS_IN_FLIGHT_MAX, LOGIN_ADDRESS_REFILL, LOGIN_EARLY_CHECKS, LOGIN_EARLY_REFILL,
    LOGIN_FORGIVEN_AFTER, LOGIN_FREE_FAILURES, LOGIN_IN_FLIGHT_MAX, LOGIN_LANE_PATIENCE,
    LOGIN_LOOPBACK_IN_FLIGHT_MAX, LOGIN_PARKED_FOR, LOGIN_SECOND_WAIT, LOGIN_WAIT_MAX,
    SIGNED_IN_PAIR_KEPT_FOR, SIGNED_IN_PAIRS_MAX, THROTTLED_MAX,
};

/// An account and the network of an attempt.
type Key = (Rc<str>, IpAddr);

/// The recent failures.
#[derive(Debug)]
pub struct Throttle {
    pairs: HashMap<Key, Pair>,
    /// Attempts under way, by network.
    in_flight: HashMap<IpAddr, u32>,
    /// Failures by network, and attempts under way, which may fail. Loopback has none.
    addresses: Allowances<IpAddr>,
    /// The same by account.
    accounts: Allowances<Rc<str>>,
    /// Pairs that have signed in.
    signed_in: Expiring<Key>,
    /// Their early checks that have failed.
    early: Allowances<Key>,
}

/// Attempts at one account from one address.
#[derive(Debug, Default)]
struct Pair {
    in_flight: u32,
    failures: u32,
    wait_until: Duration,
    second_failures: u32,
    second_wait_until: Duration,
    /// When the last attempt failed.
    failed_at: Duration,
}

/// The schedule on which an attempt is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Some failures are free; then each causes a wait.
    First,
    /// Attempts during that wait. A failure causes a wait of this lane only, a success causes nothing: it may be the
    /// owner's beside a guesser, whose failures stay.
    Second,
}

/// Why an attempt is not admitted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The time until it may be admitted; `None` if that is when another attempt ends.
    pub wait: Option<Duration>,
    /// Whether that is soon.
    pub is_near: bool,
    /// What a client that is refused is told to wait. It is never shortened by the second lane.
    pub retry_after: Duration,
}

/// What a client is told to wait if its attempt is one too many at a time: one of the others may have ended by then.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(1);

/// The address an attempt is counted for: of IPv6 the 64-bit network, as one host may have all of it.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address if address.is_loopback() => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            pairs: HashMap::new(),
            in_flight: HashMap::new(),
            addresses: Allowances::default(),
            accounts: Allowances::default(),
            signed_in: Expiring::new(SIGNED_IN_PAIRS_MAX),
            early: Allowances::default(),
        }
    }
}

impl Pair {
    /// The lane of an attempt, and how long that lane is closed.
    fn lane(&self, now: Duration) -> (Lane, Duration) {
        let first = self.wait_until.saturating_sub(now);
        let second = self.second_wait_until.saturating_sub(now);
        match first.is_zero() {
            true => (Lane::First, first),
            false => (Lane::Second, first.min(second)),
        }
    }

    /// After failures attempts are made one by one.
    fn in_flight_max(&self) -> u32 {
        match self.failures < LOGIN_FREE_FAILURES {
            true => LOGIN_IN_FLIGHT_MAX,
            false => 1,
        }
    }

    /// A success forgives the free failures. Later ones may be somebody else's, who would have free guesses again
    /// whenever the owner signs in: they are forgiven when they have ended.
    fn succeed(&mut self, lane: Lane, now: Duration) {
        let is_over = now >= self.failed_at + LOGIN_FORGIVEN_AFTER;
        if lane == Lane::First && (self.failures < LOGIN_FREE_FAILURES || is_over) {
            *self = Self {
                in_flight: self.in_flight,
                ..Self::default()
            };
        }
    }

    fn fail(&mut self, lane: Lane, is_loopback: bool, now: Duration) {
        self.failed_at = now;
        match lane {
            Lane::First => {
                self.failures += 1;
                if let Some(over) = self.failures.checked_sub(LOGIN_FREE_FAILURES) {
                    let wait = Duration::from_secs(1 << over.min(16));
                    self.wait_until = now + wait.min(LOGIN_WAIT_MAX);
                }
            }
            Lane::Second => {
                let doublings = match is_loopback {
                    true => 0,
                    false => self.second_failures.min(16),
                };
                let wait = LOGIN_SECOND_WAIT * (1 << doublings);
                self.second_wait_until = now + wait.min(LOGIN_WAIT_MAX);
                self.second_failures += 1;
            }
        }
    }
}

impl Throttle {
    /// Admits an attempt, which must end with [`Self::end`].
    ///
    /// # Errors
    /// [`Hold`], if it is not admitted now.
    pub fn begin(
        &mut self,
        account: &Rc<str>,
        address: IpAddr,
        now: Duration,
    ) -> Result<Lane, Hold> {
        self.forget(now);
        let network = network(address);
        let key = (account.clone(), network);
        let default = Pair::default();
        let pair = self.pairs.get(&key).unwrap_or(&default);
        let (lane, of_lane) = pair.lane(now);
        let of_failures = self.failures_wait(account, network, now);
        let wait = of_lane.max(of_failures);
        let retry_after = pair.wait_until.saturating_sub(now).max(of_failures);
        if wait > Duration::ZERO {
            return Err(Hold {
                wait: Some(wait),
                is_near: of_lane <= LOGIN_LANE_PATIENCE && of_failures <= LOGIN_PARKED_FOR,
                retry_after,
            });
        }
        let of_address = self.in_flight.get(&network).copied().unwrap_or(0);
        let of_address_max = match network.is_loopback() {
            true => LOGIN_LOOPBACK_IN_FLIGHT_MAX,
            false => LOGIN_ADDRESS_IN_FLIGHT_MAX,
        };
        if pair.in_flight >= pair.in_flight_max() || of_address >= of_address_max {
            return Err(Hold {
                wait: None,
                is_near: true,
                retry_after: retry_after.max(IN_FLIGHT_WAIT),
            });
        }
        self.pairs.entry(key).or_default().in_flight += 1;
        *self.in_flight.entry(network).or_default() += 1;
        // Every attempt may fail: otherwise many at a time would all fit where one does.
        let (size, refill) = (LOGIN_ACCOUNT_FAILURES, LOGIN_ACCOUNT_REFILL);
        _ = self.accounts.take(account.clone(), size, refill, now);
        if !network.is_loopback() {
            let (size, refill) = (LOGIN_ADDRESS_FAILURES, LOGIN_ADDRESS_REFILL);
            _ = self.addresses.take(network, size, refill, now);
        }
        Ok(lane)
    }

    /// The time until the address and the account may have one more failure.
    fn failures_wait(&self, account: &Rc<str>, network: IpAddr, now: Duration) -> Duration {
        let (size, refill) = (LOGIN_ADDRESS_FAILURES, LOGIN_ADDRESS_REFILL);
        let of_address = self.addresses.wait(&network, size, refill, now);
        let (size, refill) = (LOGIN_ACCOUNT_FAILURES, LOGIN_ACCOUNT_REFILL);
        of_address.max(self.accounts.wait(account, size, refill, now))
    }

    /// Records the result of an attempt that was admitted to a lane; `None` if the password was not checked.
    pub fn end(
        &mut self,
        account: &Rc<str>,
        address: IpAddr,
        lane: Lane,
        is_accepted: Option<bool>,
        now: Duration,
    ) {
        let network = network(address);
        let key = (account.clone(), network);
        let Some(pair) = self.pairs.get_mut(&key) else {
            return;
        };
        pair.in_flight = pair.in_flight.saturating_sub(1);
        match is_accepted {
            Some(true) => pair.succeed(lane, now),
            Some(false) => pair.fail(lane, network.is_loopback(), now),
            None => {}
        }
        if pair.in_flight == 0 && pair.failures == 0 {
            self.pairs.remove(&key);
        }
        if let Some(of_address) = self.in_flight.get_mut(&network) {
            *of_address -= 1;
            if *of_address == 0 {
                self.in_flight.remove(&network);
            }
        }
        if is_accepted != Some(false) {
            self.accounts
                .give_back(account.clone(), LOGIN_ACCOUNT_REFILL, now);
            self.addresses.give_back(network, LOGIN_ADDRESS_REFILL, now);
        }
        if is_accepted == Some(true) {
            self.signed_in.set(key, now + SIGNED_IN_PAIR_KEPT_FOR, now);
        }
    }

    /// Counts a failure at another server.
    pub fn failed_elsewhere(&mut self, account: &Rc<str>, address: IpAddr, now: Duration) {
        match self.begin(account, address, now) {
            Ok(lane) => self.end(account, address, lane, Some(false), now),
            // Whoever waits has no more free failures: only that of the account counts.
            Err(_) => {
                let (size, refill) = (LOGIN_ACCOUNT_FAILURES, LOGIN_ACCOUNT_REFILL);
                self.accounts.charge(account.clone(), size, refill, now);
            }
        }
    }

    /// The recent failures that an attempt comes after: those of its account and address, and those of its address.
    pub fn failures(&self, account: &Rc<str>, address: IpAddr, now: Duration) -> u32 {
        let network = network(address);
        let pair = self.pairs.get(&(account.clone(), network));
        let of_pair = pair.map_or(0, |pair| pair.failures + pair.second_failures);
        of_pair + self.addresses.taken(&network, LOGIN_ADDRESS_REFILL, now)
    }

    /// The time until an attempt that is held may be checked early; `None` if its address has not signed in to its
    /// account.
    pub fn early_wait(
        &self,
        account: &Rc<str>,
        address: IpAddr,
        now: Duration,
    ) -> Option<Duration> {
        let key = (account.clone(), network(address));
        self.signed_in.end(&key, now)?;
        let (size, refill) = (LOGIN_EARLY_CHECKS, LOGIN_EARLY_REFILL);
        Some(self.early.wait(&key, size, refill, now))
    }

    /// Begins an early check, which must end with [`Self::end_early`]; false if none is allowed now. It counts at the
    /// account as every attempt does, so that guesses at it from all addresses together get no faster.
    pub fn begin_early(&mut self, account: &Rc<str>, address: IpAddr, now: Duration) -> bool {
        let may_begin = self.early_wait(account, address, now) == Some(Duration::ZERO);
        let key = (account.clone(), network(address));
        let (size, refill) = (LOGIN_EARLY_CHECKS, LOGIN_EARLY_REFILL);
        let begins = may_begin && self.early.take(key, size, refill, now).is_ok();
        if begins {
            let (size, refill) = (LOGIN_ACCOUNT_FAILURES, LOGIN_ACCOUNT_REFILL);
            self.accounts.charge(account.clone(), size, refill, now);
        }
        begins
    }

    /// Ends an early check. A success leaves the lanes as they are, like one in the second lane.
    pub fn end_early(
        &mut self,
        account: &Rc<str>,
        address: IpAddr,
        is_accepted: Option<bool>,
        now: Duration,
    ) {
        let key = (account.clone(), network(address));
        if is_accepted != Some(false) {
            self.early.give_back(key.clone(), LOGIN_EARLY_REFILL, now);
            self.accounts
                .give_back(account.clone(), LOGIN_ACCOUNT_REFILL, now);
        }
        if is_accepted == Some(true) {
            self.signed_in.set(key, now + SIGNED_IN_PAIR_KEPT_FOR, now);
        }
    }

    /// At [`THROTTLED_MAX`] pairs, drops those without effect now; if that is not enough, all without an attempt under
    /// way.
    fn forget(&mut self, now: Duration) {
        if self.pairs.len() < THROTTLED_MAX {
            return;
        }
        self.pairs.retain(|_, pair| {
            pair.in_flight > 0 || pair.wait_until.max(pair.second_wait_until) > now
        });
        if self.pairs.len() >= THROTTLED_MAX {
            self.pairs.retain(|_, pair| pair.in_flight > 0);
        }
    }
}

#[cfg(test)]
mod tests;
