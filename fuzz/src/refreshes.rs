//! How often users have refreshed their tokens.

use std::collections::BTreeMap;
use std::time::Duration;

/// Refreshes of a user in a row, and the time after which there is another.
const REFRESHES: usize = 30;
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// What may lie between the time at which the server grants something and the time at which that is known.
const SLACK: Duration = Duration::from_millis(400);

/// Refreshes by user.
#[derive(Debug, Default)]
pub struct Refreshes {
    granted: BTreeMap<String, Vec<Duration>>,
    /// How many have no answer.
    under_way: BTreeMap<String, usize>,
}

impl Refreshes {
    /// A refresh is asked for, or answered.
    pub fn ask(&mut self, user: &str, has_begun: bool) {
        let count = self.under_way.entry(user.to_owned()).or_default();
        *count = match has_begun {
            true => *count + 1,
            false => *count - 1,
        };
    }

    /// A refresh was granted: there were not too many.
    pub fn granted(&mut self, user: &str, now: Duration) {
        let times = self.granted.entry(user.to_owned()).or_default();
        times.push(now);
        for (count, first) in times.iter().rev().enumerate() {
            let refilled = (now - *first + SLACK).as_millis() / REFRESH_EVERY.as_millis();
            let most = REFRESHES + refilled as usize;
            assert!(count < most + 1, "{user} refreshes without end");
        }
    }

    /// Whether a user may have used up the refreshes there are.
    pub fn may_be_throttled(&self, user: &str, now: Duration) -> bool {
        let full = REFRESH_EVERY * REFRESHES as u32;
        let times = self.granted.get(user).into_iter().flatten();
        let recent = times.filter(|at| **at + full + SLACK >= now);
        let under_way = self.under_way.get(user).copied().unwrap_or(0);
        recent.count() + under_way >= REFRESHES
    }
}
