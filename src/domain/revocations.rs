//! Revoked tokens: sign-ins that were logged out, one by one, and names with a mark.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::changes::Changes;
use super::issuer::Issued;
use super::marks::{Mark, Marks, Names};
use super::record::{Key, Record};
use super::time::Now;
use super::tokens::Identity;
use super::working_set::{KeptFamily, WorkingSet};
use crate::config::{KEPT_REVOCATION_MIN, REVOCATIONS_MAX, REVOCATIONS_PER_USER_MAX};

/// A time that is over when both clocks have passed it. With the wall clock alone, a clock that was ahead for a moment
/// would make revoked tokens valid again; with the monotonic clock alone, one that was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Until {
    monotonic: Duration,
    unix_secs: u64,
}

impl Until {
    fn new(unix_secs: u64, now: Now) -> Self {
        let left = Duration::from_secs(unix_secs).saturating_sub(now.unix);
        Self {
            monotonic: now.monotonic.saturating_add(left),
            unix_secs,
        }
    }

    fn is_over(self, now: Now) -> bool {
        self.monotonic <= now.monotonic && self.unix_secs <= now.unix.as_secs()
    }
}

/// How a logout was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The family of the token is refused.
    Family,
    /// Every token of the user issued until now is refused.
    Mark {
        /// Whether the oldest mark had to make way, and so holds for everybody.
        is_floor_raised: bool,
    },
}

/// Tokens that are refused although they have not expired.
#[derive(Debug, Default)]
pub struct Revocations {
    /// Families that were logged out, each until its last token has expired. A user's are adjacent.
    families: BTreeMap<Rc<str>, (Until, Logout)>,
    expiries: BTreeSet<(Until, Rc<str>)>,
    marks: Marks,
    /// The latest second in which a token was issued here, since 1970.
    latest_secs: u64,
    /// What the store is to change; `None` if there is no store.
    changes: Option<Changes>,
}

/// When a token that was logged out was issued.
#[derive(Clone, Copy, Debug)]
struct Logout {
    issued: Issued,
    /// The last second in which that may have been, since 1970, whatever the clock was.
    second: u64,
}

impl Revocations {
    /// Takes what was loaded; from now on there is a store.
    pub fn load(&mut self, kept: &mut WorkingSet, now: Now) {
        for KeptFamily {
            family,
            until,
            second,
        } in std::mem::take(&mut kept.families)
        {
            let logout = Logout {
                issued: Issued::Elsewhere(second),
                second,
            };
            let mut until = Until::new(until, now);
            // The clock may be ahead just now, and a token be good again when it is set right.
            let least = now.monotonic + KEPT_REVOCATION_MIN;
            until.monotonic = until.monotonic.max(least);
            self.insert(&family, until, logout);
        }
        let names = std::mem::take(&mut kept.marks);
        self.marks.load(names, kept.floor);
        self.changes = Some(Changes::default());
    }

    /// Takes what was revoked at other servers. Nothing of it is to be stored: it is.
    pub fn merge(&mut self, others: WorkingSet, now: Now) {
        let before = self.take_changes();
        for KeptFamily {
            family,
            until,
            second,
        } in others.families
        {
            let logout = Logout {
                issued: Issued::Elsewhere(second),
                second,
            };
            let mut until = Until::new(until, now);
            until.monotonic = until.monotonic.max(now.monotonic + KEPT_REVOCATION_MIN);
            self.insert(&family, until, logout);
        }
        self.marks.merge(others.marks, others.floor);
        self.take_changes();
        if let Some(changes) = &mut self.changes {
            *changes = before;
        }
    }

    /// Tokens were issued here up to this second, since 1970.
    pub fn note_issued(&mut self, latest_secs: u64) {
        self.latest_secs = self.latest_secs.max(latest_secs);
    }

    /// Takes what the store is to change.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = self.marks.take_changes();
        if let Some(of_families) = &mut self.changes {
            changes.append(&std::mem::take(of_families));
        }
        changes
    }

    /// Puts the records of everything.
    pub fn keep_all(&self, changes: &mut Changes) {
        for (family, (until, logout)) in &self.families {
            put(family, *until, *logout, changes);
        }
        self.marks.keep_all(changes);
    }

    /// The mark of now; `newest` is the place of the newest token issued here.
    fn mark(&self, newest: u64, second: u64) -> Mark {
        Mark {
            place: newest,
            second,
            kept_second: second.max(self.latest_secs),
        }
    }

    /// Revokes the family of a token, of which the last one expires at `last_expiry` (seconds since 1970). At
    /// [`REVOCATIONS_PER_USER_MAX`] and at [`REVOCATIONS_MAX`] a mark replaces all entries of the user; `newest` is the
    /// place of the newest token issued here.
    pub fn revoke(
        &mut self,
        identity: &Identity,
        last_expiry: u64,
        newest: u64,
        now: Now,
    ) -> Noted {
        self.sweep(now);
        let others = self.of_user(&identity.username);
        if others.len() < REVOCATIONS_PER_USER_MAX && self.families.len() < REVOCATIONS_MAX {
            let until = Until::new(last_expiry, now);
            let second = match identity.issued {
                Issued::Here(_) => now.unix.as_secs().max(self.latest_secs),
                Issued::Elsewhere(at) => at,
            };
            let logout = Logout {
                issued: identity.issued,
                second,
            };
            self.insert(&identity.family, until, logout);
            return Noted::Family;
        }
        // The clock of another back end may be ahead: what was logged out stays covered.
        let mut second = now.unix.as_secs();
        let issued = others.iter().map(|family| self.remove(family));
        for issued in issued.flatten().chain([identity.issued]) {
            if let Issued::Elsewhere(at) = issued {
                second = second.max(at);
            }
        }
        let mark = self.mark(newest, second);
        let name = Arc::from(&*identity.username);
        let is_floor_raised = self.marks.set(&name, mark);
        Noted::Mark { is_floor_raised }
    }

    /// Revokes every token of these sorted names issued until now, for good; `newest` is the place of the newest token
    /// issued here. Returns whether a mark had to make way, and so holds for everybody.
    pub fn revoke_names(&mut self, names: &Names, newest: u64, now: Now) -> bool {
        let mark = self.mark(newest, now.unix.as_secs());
        self.marks.set_all(names, mark)
    }

    /// The clock was not set until now, and has jumped by this many seconds.
    pub fn clock_set(&mut self, jump: u64) {
        self.marks.clock_set(jump);
    }

    /// Whether a token is revoked.
    pub fn covers(&self, identity: &Identity) -> bool {
        self.families.contains_key(&identity.family)
            || self.marks.covers(&identity.username, identity.issued)
    }

    fn of_user(&self, username: &str) -> Vec<Rc<str>> {
        let first = Identity::family_of(username, "");
        let from = (Bound::Included(&*first), Bound::Unbounded);
        self.families
            .range::<str, _>(from)
            .map(|(family, _)| family.clone())
            .take_while(|family| family.starts_with(&*first))
            .collect()
    }

    fn insert(&mut self, family: &Rc<str>, until: Until, logout: Logout) {
        self.remove(family);
        if let Some(changes) = &mut self.changes {
            put(family, until, logout, changes);
        }
        self.families.insert(family.clone(), (until, logout));
        self.expiries.insert((until, family.clone()));
    }

    fn remove(&mut self, family: &Rc<str>) -> Option<Issued> {
        let (until, logout) = self.families.remove(family)?;
        self.expiries.remove(&(until, family.clone()));
        self.note_removed(family);
        Some(logout.issued)
    }

    fn note_removed(&mut self, family: &str) {
        if let Some(changes) = &mut self.changes {
            changes.remove(&Key::Family(family));
        }
    }

    fn sweep(&mut self, now: Now) {
        while let Some((until, _)) = self.expiries.first()
            && until.is_over(now)
            && let Some((_, family)) = self.expiries.pop_first()
        {
            self.families.remove(&family);
            self.note_removed(&family);
        }
    }
}

fn put(family: &str, until: Until, logout: Logout, changes: &mut Changes) {
    changes.put(&Record::Family {
        family,
        until: until.unix_secs,
        second: logout.second,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::permissions::Permissions;
    use crate::wire::jwt::Key;

    const NOW: u64 = 1_700_000_000;
    /// 9999-12-31T23:59:59Z.
    const NEVER: u64 = 253_402_300_799;

    /// A time that is this many seconds later, by each clock.
    fn at(monotonic: u64, unix: u64) -> Now {
        Now {
            monotonic: Duration::from_secs(monotonic),
            unix: Duration::from_secs(NOW + unix),
        }
    }

    fn identity(username: &str, id: &str, issued: Issued) -> Identity {
        let key = Key::new(None, &[1; 32]).expect("is long enough");
        Identity {
            username: username.into(),
            family: Identity::family_of(username, id),
            issued,
            expires_at: NEVER,
            authenticated_at: 0,
            is_ours: matches!(issued, Issued::Here(_)),
            key: key.key_id(),
            permissions: Permissions::usual(),
        }
    }

    fn elsewhere(username: &str, id: impl ToString) -> Identity {
        identity(username, &id.to_string(), Issued::Elsewhere(NOW))
    }

    #[test]
    fn a_logout_is_kept_until_the_last_token_has_expired_by_both_clocks() {
        let mut revocations = Revocations::default();
        let kim = elsewhere("kim", 7);
        assert!(!revocations.covers(&kim));
        let noted = revocations.revoke(&kim, NOW + 10, 0, at(0, 0));
        assert_eq!(noted, Noted::Family);
        for (monotonic, unix) in [(9, 9), (9, 1000), (1000, 9)] {
            revocations.sweep(at(monotonic, unix));
            assert!(revocations.covers(&kim), "{monotonic} {unix}");
        }
        assert!(!revocations.covers(&elsewhere("kim", 8)));
        assert!(!revocations.covers(&elsewhere("lee", 7)));
        revocations.sweep(at(10, 10));
        assert!(revocations.families.is_empty() && revocations.expiries.is_empty());
    }

    #[test]
    fn a_family_that_is_logged_out_again_stays_once_until_the_later_time() {
        let mut revocations = Revocations::default();
        let kim = elsewhere("kim", 7);
        for until in [10, 20] {
            revocations.revoke(&kim, NOW + until, 0, at(0, 0));
        }
        assert_eq!(revocations.expiries.len(), 1);
        revocations.sweep(at(10, 10));
        assert!(revocations.covers(&kim));
    }

    #[test]
    fn the_logout_after_a_users_share_revokes_what_that_user_was_issued_before_and_nothing_else() {
        let mut revocations = Revocations::default();
        let kept = [
            elsewhere("kim", "another"),
            identity("kim", "ours", Issued::Here(5)),
        ];
        let others = ["ki", "kim2", "lee"].map(|name| elsewhere(name, "another"));
        for n in 0..REVOCATIONS_PER_USER_MAX {
            let noted = revocations.revoke(&elsewhere("kim", n), NEVER, 5, at(0, 0));
            assert_eq!(noted, Noted::Family);
        }
        assert!(kept.iter().all(|identity| !revocations.covers(identity)));
        let noted = revocations.revoke(&elsewhere("kim", "last"), NEVER, 5, at(0, 0));
        let is_floor_raised = false;
        assert_eq!(noted, Noted::Mark { is_floor_raised });
        assert!(kept.iter().all(|identity| revocations.covers(identity)));
        assert!(others.iter().all(|identity| !revocations.covers(identity)));
        assert!(revocations.covers(&elsewhere("kim", 0)));
        // What is issued from then on is good; ours also in the same second.
        let later = [Issued::Here(6), Issued::Elsewhere(NOW + 1)];
        for identity in later.map(|issued| identity("kim", "new", issued)) {
            assert!(!revocations.covers(&identity), "{identity:?}");
        }
        // The user has the whole share again.
        assert!(revocations.families.is_empty() && revocations.expiries.is_empty());
        let noted = revocations.revoke(&elsewhere("kim", 0), NEVER, 6, at(1, 1));
        assert_eq!(noted, Noted::Family);
    }

    #[test]
    fn a_mark_covers_what_was_logged_out_before_even_if_its_clock_was_ahead() {
        let mut revocations = Revocations::default();
        let ahead = |n: usize, by| identity("kim", &n.to_string(), Issued::Elsewhere(NOW + by));
        for n in 0..=REVOCATIONS_PER_USER_MAX {
            let by = if n == 7 { 60 } else { 0 };
            revocations.revoke(&ahead(n, by), NEVER, 0, at(0, 0));
        }
        assert!(revocations.covers(&ahead(7, 60)));
        assert!(!revocations.covers(&ahead(8, 61)));
    }

    #[test]
    fn nobody_fills_the_table_against_others() {
        let mut revocations = Revocations::default();
        // Whoever has one account only holds one share, however often and for however long.
        for n in 0..10 * REVOCATIONS_PER_USER_MAX {
            revocations.revoke(&elsewhere("mallory", n), NEVER, 0, at(0, 0));
        }
        assert!(revocations.families.len() <= REVOCATIONS_PER_USER_MAX);
        // Many accounts fill the table: it stays bounded, and everybody can still log out.
        for n in revocations.families.len()..REVOCATIONS_MAX {
            let user = format!("user {}", n / REVOCATIONS_PER_USER_MAX);
            revocations.revoke(&elsewhere(&user, n), NEVER, 0, at(0, 0));
        }
        assert_eq!(revocations.families.len(), REVOCATIONS_MAX);
        let (kim, lee) = (elsewhere("kim", 1), elsewhere("lee", 1));
        let noted = revocations.revoke(&kim, NEVER, 0, at(0, 0));
        assert!(matches!(noted, Noted::Mark { .. }));
        assert!(revocations.covers(&kim) && !revocations.covers(&lee));
    }

    #[test]
    fn revoked_names_have_no_end_in_time() {
        let mut revocations = Revocations::default();
        let names = Arc::from(["kim".into(), "lee".into()]);
        assert!(!revocations.revoke_names(&names, 5, at(0, 0)));
        let year = at(365 * 86_400, 365 * 86_400);
        revocations.revoke(&elsewhere("park", 1), NEVER, 5, year);
        assert!(revocations.covers(&elsewhere("kim", 1)));
        assert!(revocations.covers(&identity("lee", "ours", Issued::Here(5))));
        assert!(!revocations.covers(&identity("lee", "ours", Issued::Here(6))));
        assert!(!revocations.covers(&elsewhere("choi", 1)));
    }
}
