//! Revocations and a store: whatever was refused before a restart is refused after it, whatever the clock did.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sarang::config::{KEPT_REVOCATION_MIN, REVOCATIONS_PER_USER_MAX};
use sarang::domain::changes::Changes;
use sarang::domain::issuer::{Issued, Issuer};
use sarang::domain::permissions::Permissions;
use sarang::domain::random::split_mix;
use sarang::domain::revocations::Revocations;
use sarang::domain::time::Now;
use sarang::domain::tokens::Identity;
use sarang::server::jobs::Batch;
use sarang::wire::jwt::Key;

use crate::stored::Disk;

const NAMES: [&str; 4] = ["kim", "lee", "park", "choi"];

/// A token: who it is of, and how it is seen by the server that issued it and by a later one.
#[derive(Clone)]
struct Token {
    before: Identity,
    after: Identity,
}

struct Story {
    seed: u64,
    now: Now,
    issuer: Issuer,
    tokens: Vec<Token>,
    latest_secs: u64,
}

impl Story {
    fn chance(&mut self, of: u64) -> u64 {
        split_mix(&mut self.seed) % of
    }

    /// A token of ours, or of another back end, of a new sign-in or of one there was.
    fn issue(&mut self) {
        let (name, is_ours) = (NAMES[self.chance(4) as usize], self.chance(3) > 0);
        let sign_in = self.chance(40);
        let iat = self.now.unix.as_secs();
        let id = self.issuer.next_id(self.now);
        let issued = match is_ours {
            true => self.issuer.issued(&id, iat),
            false => Issued::Elsewhere(iat),
        };
        let key = Key::new(None, &[1; 32]).expect("is long enough");
        let before = Identity {
            username: name.into(),
            family: Identity::family_of(name, &sign_in.to_string()),
            issued,
            expires_at: u64::MAX,
            authenticated_at: iat,
            is_ours,
            key: key.key_id(),
            permissions: Permissions::usual(),
        };
        let after = Identity {
            issued: Issued::Elsewhere(iat),
            ..before.clone()
        };
        self.tokens.push(Token { before, after });
    }

    fn step(&mut self, revocations: &mut Revocations) {
        let step = Duration::from_millis(self.chance(3_000));
        self.now.monotonic += step;
        self.now.unix += step;
        self.latest_secs = self.latest_secs.max(self.now.unix.as_secs());
        match self.chance(20) {
            0 => {
                let ahead = Duration::from_secs(self.chance(100));
                self.now.unix += ahead;
                self.latest_secs = self.latest_secs.max(self.now.unix.as_secs());
            }
            1 => {
                let back = Duration::from_secs(self.chance(100));
                self.now.unix = self.now.unix.saturating_sub(back);
            }
            2 => {
                let names: [Arc<str>; 1] = [NAMES[self.chance(4) as usize].into()];
                let names: Arc<[Arc<str>]> = Arc::from(names);
                revocations.note_issued(self.issuer.latest_secs());
                revocations.revoke_names(&names, self.issuer.newest(), self.now);
            }
            3..7 if !self.tokens.is_empty() => {
                let token = self.chance(self.tokens.len() as u64) as usize;
                let identity = self.tokens[token].before.clone();
                revocations.note_issued(self.issuer.latest_secs());
                let end = self.now.unix.as_secs() + 1_000_000;
                revocations.revoke(&identity, end, self.issuer.newest(), self.now);
            }
            _ => self.issue(),
        }
    }
}

fn commit(disk: &mut Disk, changes: Changes) {
    let number = disk.batch + 1;
    disk.commit(&Batch { number, changes });
}

fn loaded(disk: &Disk, now: Now) -> Revocations {
    let mut revocations = Revocations::default();
    revocations.load(&mut disk.load(), now);
    revocations
}

#[test]
fn whatever_was_refused_is_refused_after_a_restart() {
    for seed in 0..300 {
        let mut story = Story {
            seed,
            now: Now {
                monotonic: Duration::ZERO,
                unix: Duration::from_secs(1_705_314_600),
            },
            issuer: Issuer::new([1; 8], 3_600),
            tokens: Vec::new(),
            latest_secs: 0,
        };
        let (mut disk, mut revocations) = (Disk::default(), Revocations::default());
        revocations.load(&mut disk.load(), story.now);
        for _ in 0..200 {
            story.step(&mut revocations);
            if story.chance(3) == 0 {
                commit(&mut disk, revocations.take_changes());
            }
        }
        commit(&mut disk, revocations.take_changes());
        let mut anew = Disk::default();
        let mut everything = Changes::default();
        revocations.keep_all(&mut everything);
        commit(&mut anew, everything);
        assert_eq!(disk.records, anew.records, "seed {seed}");
        let after = loaded(&disk, story.now);
        for Token {
            before,
            after: seen,
        } in &story.tokens
        {
            if revocations.covers(before) {
                assert!(after.covers(seen), "seed {seed}: {before:?}");
            }
        }
        // What is issued after the latest second that the clock has shown is good.
        let later = story.latest_secs + 1;
        for name in NAMES {
            let identity = Identity {
                username: name.into(),
                family: Identity::family_of(name, "new"),
                issued: Issued::Elsewhere(later),
                ..story.tokens[0].after.clone()
            };
            assert!(!after.covers(&identity), "seed {seed}");
        }
    }
}

#[test]
fn a_user_with_too_many_logouts_has_one_mark_on_disk() {
    let now = Now {
        monotonic: Duration::ZERO,
        unix: Duration::from_secs(1_705_314_600),
    };
    let (mut disk, mut revocations) = (Disk::default(), Revocations::default());
    revocations.load(&mut disk.load(), now);
    let key = Key::new(None, &[1; 32]).expect("is long enough").key_id();
    for n in 0..=REVOCATIONS_PER_USER_MAX {
        let username: Rc<str> = "kim".into();
        let identity = Identity {
            family: Identity::family_of(&username, &n.to_string()),
            username,
            issued: Issued::Here(n as u64),
            expires_at: u64::MAX,
            authenticated_at: 0,
            is_ours: true,
            key,
            permissions: Permissions::usual(),
        };
        revocations.revoke(&identity, u64::MAX, n as u64, now);
        commit(&mut disk, revocations.take_changes());
    }
    let kept = disk.load();
    assert!(kept.families.is_empty());
    assert_eq!(kept.marks, [("kim".into(), now.unix.as_secs())]);
}

#[test]
fn a_logout_is_on_disk_until_its_tokens_have_expired_whatever_the_clock_was_at_a_restart() {
    let mut now = Now {
        monotonic: Duration::ZERO,
        unix: Duration::from_secs(1_705_314_600),
    };
    let (mut disk, mut revocations) = (Disk::default(), Revocations::default());
    revocations.load(&mut disk.load(), now);
    let key = Key::new(None, &[1; 32]).expect("is long enough").key_id();
    let of = |id: &str| Identity {
        username: "kim".into(),
        family: Identity::family_of("kim", id),
        issued: Issued::Elsewhere(0),
        expires_at: u64::MAX,
        authenticated_at: 0,
        is_ours: false,
        key,
        permissions: Permissions::usual(),
    };
    let end = now.unix.as_secs() + 60;
    revocations.revoke(&of("a"), end, 0, now);
    commit(&mut disk, revocations.take_changes());
    // The clock is ahead at a restart, then right again.
    let mut ahead = now;
    ahead.unix += Duration::from_secs(1_000_000);
    let mut later = loaded(&disk, ahead);
    later.revoke(&of("b"), u64::MAX, 0, ahead);
    commit(&mut disk, later.take_changes());
    assert!(later.covers(&of("a")) && loaded(&disk, now).covers(&of("a")));
    // An hour after the start nobody needs it.
    let mut later = loaded(&disk, ahead);
    ahead.monotonic += KEPT_REVOCATION_MIN;
    later.revoke(&of("c"), u64::MAX, 0, ahead);
    commit(&mut disk, later.take_changes());
    assert!(!later.covers(&of("a")) && !loaded(&disk, now).covers(&of("a")));
    assert!(loaded(&disk, now).covers(&of("b")));
    now.unix += Duration::from_secs(61);
    assert!(loaded(&disk, now).covers(&of("c")));
}
