//! Sign-in attempts until their passwords are checked: those that a limit holds, those whose check waits for its turn,
//! and those that are checked.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{
    LOGIN_CHECKS_AT_WORK, LOGIN_EARLY_QUEUE_MAX, LOGIN_PARKED_FOR, LOGIN_PARKED_MAX,
    LOGIN_PLACE_PATIENCE, LOGIN_QUEUE_MAX, LOGIN_REFUSED_AFTER,
};
use crate::domain::ids::Serial;
use crate::domain::parked::{Entry, Parked};
use crate::domain::random::Random;
use crate::domain::throttle::{Lane, Throttle, network};
use crate::domain::turns::Turns;

/// Why an attempt is refused before its password is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// Too many failures: how long to wait.
    Throttled(Duration),
    /// Too many checks are under way.
    Busy,
}

/// An attempt that is refused.
pub type Refused = (Serial, NotNow);

/// A check to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The turn of this attempt has come: [`PasswordChecks::start`] follows.
    Turn(Serial),
    /// This attempt waits, and is checked early: [`PasswordChecks::start_early`] follows.
    Early(Serial),
}

/// An account, and the network an attempt at it is counted for.
#[derive(Clone, Debug)]
struct Pair {
    account: Rc<str>,
    network: IpAddr,
}

impl Pair {
    fn of(entry: &Entry<Serial>) -> Self {
        Self {
            account: entry.account.clone(),
            network: entry.network,
        }
    }
}

/// All attempts whose password is not checked yet.
///
/// An attempt that waits, from an address that has signed in to its account before, may be checked early, under a serial
/// of its own. If that succeeds it is accepted at once. If not, nothing happens: it goes on waiting like any other, and is
/// answered like any other. So the owner gets in whatever the others do, and nobody learns from an answer, or from its
/// time, where somebody has signed in.
#[derive(Debug)]
pub struct PasswordChecks {
    /// Attempts that a limit holds, in any order.
    parked: Parked<Serial>,
    /// Admitted attempts whose check waits for its turn. With those at work at most [`LOGIN_QUEUE_MAX`].
    queue: Turns<Serial>,
    /// Of each admitted attempt: what it counts for.
    admitted: HashMap<Serial, (Pair, Lane)>,
    /// Attempts to be checked early: at most [`LOGIN_EARLY_QUEUE_MAX`].
    early: VecDeque<(Serial, Pair)>,
    /// Early checks handed out, and their attempts, by the serials of the checks.
    early_at_work: HashMap<Serial, (Serial, Pair)>,
    /// Other checks handed out. With the early ones at most [`LOGIN_CHECKS_AT_WORK`].
    at_work: usize,
    random: Random,
}

impl PasswordChecks {
    /// No attempts. `seed` determines who is drawn.
    pub fn new(seed: &[u8; 32]) -> Self {
        Self {
            parked: Parked::default(),
            queue: Turns::default(),
            admitted: HashMap::new(),
            early: VecDeque::new(),
            early_at_work: HashMap::new(),
            at_work: 0,
            random: Random::new(seed),
        }
    }

    /// Takes an attempt: its check waits for its turn, or for a limit to allow it. Others may have to make room for it;
    /// they are returned.
    pub fn begin(
        &mut self,
        serial: Serial,
        (account, address): (Rc<str>, IpAddr),
        throttle: &mut Throttle,
        now: Duration,
    ) -> Vec<Refused> {
        let network = network(address);
        let mut refused = Vec::new();
        let mut entry = Entry {
            item: serial,
            account,
            network,
            until: now + LOGIN_PARKED_FOR,
            retry_after: None,
            is_early: false,
        };
        let has_to_wait = !(self.is_idle() && self.queue.is_empty());
        let is_first = !self.parked.competes(&entry.account, network);
        let draw_at = match throttle.begin(&entry.account, network, now) {
            Ok(lane) => {
                if is_first && self.enqueue(&entry, lane, throttle, now, &mut refused) {
                    if has_to_wait {
                        self.check_early(&mut entry, throttle, now);
                    }
                    return refused;
                }
                // Not before those who wait for the same.
                throttle.end(&entry.account, network, lane, None, now);
                if self.is_full() {
                    entry.until = now + LOGIN_PLACE_PATIENCE;
                }
                (!is_first).then_some(now)
            }
            Err(hold) => {
                entry.retry_after = Some(hold.retry_after);
                if !hold.is_near {
                    entry.until = now + LOGIN_REFUSED_AFTER;
                }
                hold.wait.map(|wait| now + wait)
            }
        };
        let early = throttle.early_wait(&entry.account, network, now);
        if let Some(displaced) = self.parked.push(entry, &mut self.random) {
            refused.push(self.refuse(&displaced, throttle, now));
        }
        for at in draw_at.into_iter().chain(early.map(|wait| now + wait)) {
            self.parked.draw_at(at);
        }
        refused
    }

    /// Has the check of an admitted attempt wait for its turn. In a full queue the newest check of the address that has
    /// the most makes room; false if none has to.
    fn enqueue(
        &mut self,
        entry: &Entry<Serial>,
        lane: Lane,
        throttle: &mut Throttle,
        now: Duration,
        refused: &mut Vec<Refused>,
    ) -> bool {
        if self.is_full() {
            let Some(displaced) = self.queue.displace(entry.network) else {
                return false;
            };
            self.end(displaced, None, throttle, now);
            self.forget_early(displaced, throttle, now);
            refused.push((displaced, NotNow::Busy));
        }
        self.queue
            .push(entry.network, entry.account.clone(), entry.item);
        self.admitted.insert(entry.item, (Pair::of(entry), lane));
        true
    }

    /// Has a waiting attempt checked early, if it may be.
    fn check_early(&mut self, entry: &mut Entry<Serial>, throttle: &mut Throttle, now: Duration) {
        let may_begin = !entry.is_early
            && self.early.len() < LOGIN_EARLY_QUEUE_MAX
            && throttle.begin_early(&entry.account, entry.network, now);
        if may_begin {
            entry.is_early = true;
            self.early.push_back((entry.item, Pair::of(entry)));
        }
    }

    /// When [`Self::draw`] is next due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.parked.next_timeout()
    }

    /// Draws among the attempts that wait for a limit, if a draw is due. Returns those that have waited for too long, and
    /// those that had to make room.
    pub fn draw(&mut self, throttle: &mut Throttle, now: Duration) -> Vec<Refused> {
        let mut refused = Vec::new();
        let failures =
            |entry: &Entry<Serial>| throttle.failures(&entry.account, entry.network, now);
        let drawn = self.parked.draw(failures, &mut self.random, now);
        for mut entry in drawn {
            let wait = match throttle.begin(&entry.account, entry.network, now) {
                Ok(lane) if self.enqueue(&entry, lane, throttle, now, &mut refused) => continue,
                Ok(lane) => {
                    throttle.end(&entry.account, entry.network, lane, None, now);
                    entry.retry_after = None;
                    None
                }
                Err(hold) => {
                    entry.retry_after = Some(hold.retry_after);
                    hold.wait
                }
            };
            if entry.until <= now {
                refused.push(self.refuse(&entry, throttle, now));
                continue;
            }
            self.check_early(&mut entry, throttle, now);
            let early = match entry.is_early {
                true => None,
                false => throttle.early_wait(&entry.account, entry.network, now),
            };
            // With no wait left the queue of early checks is full; those who leave it cause no draw.
            let early = early.filter(|wait| !wait.is_zero());
            let next = wait.into_iter().chain(early).min();
            self.parked.keep(entry, next.map(|wait| now + wait));
        }
        refused
    }

    fn refuse(&mut self, entry: &Entry<Serial>, throttle: &mut Throttle, now: Duration) -> Refused {
        self.forget_early(entry.item, throttle, now);
        let reason = entry.retry_after.map_or(NotNow::Busy, NotNow::Throttled);
        (entry.item, reason)
    }

    /// The number of attempts whose check has not been started: they wait for their turn, or for a limit to allow it.
    pub fn waiting(&self) -> usize {
        self.queue.len() + self.parked.len()
    }

    /// Whether a check can be handed out.
    pub fn has_next(&self) -> bool {
        self.is_idle() && !(self.queue.is_empty() && self.early.is_empty())
    }

    fn is_full(&self) -> bool {
        self.queue.len() + self.at_work >= LOGIN_QUEUE_MAX
    }

    fn is_idle(&self) -> bool {
        self.at_work + self.early_at_work.len() < LOGIN_CHECKS_AT_WORK
    }

    /// The next check, if one can be handed out.
    pub fn poll(&mut self) -> Option<Next> {
        if !self.has_next() {
            return None;
        }
        match self.early.front() {
            Some((serial, _)) => Some(Next::Early(*serial)),
            None => self.queue.pop().map(Next::Turn),
        }
    }

    /// Hands out a check. It must end with [`Self::finish`].
    pub fn start(&mut self) {
        self.at_work += 1;
    }

    /// Hands out the early check from [`Self::poll`] under a serial of its own. It must end with
    /// [`Self::finish_early`].
    pub fn start_early(&mut self, serial: Serial) {
        if let Some(early) = self.early.pop_front() {
            self.early_at_work.insert(serial, early);
        }
    }

    /// Takes the result of a check.
    pub fn finish(
        &mut self,
        serial: Serial,
        is_accepted: bool,
        throttle: &mut Throttle,
        now: Duration,
    ) {
        self.at_work -= 1;
        self.end(serial, Some(is_accepted), throttle, now);
    }

    /// The attempt of the early check with this serial; `None` if there is none.
    pub fn early_attempt(&self, serial: Serial) -> Option<Serial> {
        let (attempt, _) = self.early_at_work.get(&serial)?;
        Some(*attempt)
    }

    /// Takes the result of an early check. Returns true if its attempt is accepted by it: it succeeded, and the attempt
    /// still waits.
    pub fn finish_early(
        &mut self,
        serial: Serial,
        is_accepted: bool,
        throttle: &mut Throttle,
        now: Duration,
    ) -> bool {
        let Some((attempt, Pair { account, network })) = self.early_at_work.remove(&serial) else {
            return false;
        };
        throttle.end_early(&account, network, Some(is_accepted), now);
        is_accepted && self.withdraw(attempt, throttle, now)
    }

    /// Nobody waits for an attempt any more: its check is not started. False if it was started already, so that its result
    /// is still to be counted.
    pub fn withdraw(&mut self, serial: Serial, throttle: &mut Throttle, now: Duration) -> bool {
        self.forget_early(serial, throttle, now);
        if self.queue.remove(&serial) {
            self.end(serial, None, throttle, now);
            return true;
        }
        self.parked.remove(&serial)
    }

    /// Drops the early check of an attempt, unless it was started.
    fn forget_early(&mut self, serial: Serial, throttle: &mut Throttle, now: Duration) {
        let place = self.early.iter().position(|(of, _)| *of == serial);
        if let Some((_, Pair { account, network })) =
            place.and_then(|place| self.early.remove(place))
        {
            throttle.end_early(&account, network, None, now);
        }
    }

    /// Ends an admitted attempt; its place is free for others.
    fn end(
        &mut self,
        serial: Serial,
        is_accepted: Option<bool>,
        throttle: &mut Throttle,
        now: Duration,
    ) {
        if let Some((Pair { account, network }, lane)) = self.admitted.remove(&serial) {
            throttle.end(&account, network, lane, is_accepted, now);
        }
        self.parked.draw_at(now);
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        let under_way = self.queue.len() + self.at_work;
        assert!(under_way <= LOGIN_QUEUE_MAX, "password checks are bounded");
        assert_eq!(under_way, self.admitted.len());
        assert!(self.at_work + self.early_at_work.len() <= LOGIN_CHECKS_AT_WORK);
        assert!(self.early.len() <= LOGIN_EARLY_QUEUE_MAX);
        assert!(self.parked.len() <= LOGIN_PARKED_MAX);
        assert!(self.parked.is_empty() || self.parked.next_timeout().is_some());
    }
}
