//! What may have ended, what surely has, and since when.

use std::time::Duration;

/// What has ended something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A token of its family was logged out.
    Logout,
    /// Its user had logged out more than is remembered one by one.
    Share,
    /// Its account was removed or got another password.
    Name,
    /// Its secret was taken out of force.
    Secret,
}

/// When something may have ended, and when it surely had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Doom {
    /// It may have, from here on.
    pub maybe: Option<Duration>,
    /// It surely has, from here on.
    pub surely: Option<(Duration, Why)>,
}

impl Doom {
    /// From here on it may have ended.
    pub fn may(&mut self, at: Duration) {
        self.maybe = Some(self.maybe.map_or(at, |before| before.min(at)));
    }

    /// From here on it surely has ended.
    pub fn is(&mut self, at: Duration, why: Why) {
        self.may(at);
        self.surely.get_or_insert((at, why));
    }

    /// The earlier of both.
    pub fn or(self, other: Self) -> Self {
        let surely = [self.surely, other.surely].into_iter().flatten();
        Self {
            maybe: [self.maybe, other.maybe].into_iter().flatten().min(),
            surely: surely.min_by_key(|(at, _)| *at),
        }
    }
}

/// What has to come of a question, asked and answered at known times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing has ended it.
    Good,
    /// It may have been before an end or after it.
    Either,
    /// It had ended before.
    Bad(Why),
}

/// A time from which on all tokens of a name that were issued up to a second are revoked.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// When it was set.
    pub at: Duration,
    /// That second, since 1970.
    pub unix_secs: u64,
    /// Whether it surely was.
    pub is_sure: bool,
    /// What for.
    pub why: Why,
}
