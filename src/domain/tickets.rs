//! Tickets: 256 random bits that open one connection once, within seconds.
//!
//! A browser cannot send a bearer token with a WebSocket handshake, and a token in a URL would end up in logs and
//! browser histories. A ticket may: it is worthless once used or expired. Only its hash is kept.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::tokens::Identity;
use crate::config::{TICKETS_MAX, TICKETS_PER_USER_MAX};

type Hash = [u8; 32];

/// Tickets that are issued and not redeemed.
#[derive(Debug, Default)]
pub struct Tickets {
    by_hash: HashMap<Hash, Identity>,
    /// All issued tickets, redeemed or not, by expiry, with their user.
    expiries: VecDeque<(Duration, Hash, Rc<str>)>,
    /// The number of entries in `expiries` of each user.
    of_user: HashMap<Rc<str>, usize>,
}

impl Tickets {
    /// Issues a ticket for an identity from these random bytes; `None` at [`TICKETS_MAX`] or [`TICKETS_PER_USER_MAX`].
    /// `expires` and `now` are times since the server's start.
    pub fn issue(
        &mut self,
        random: [u8; 32],
        identity: Identity,
        expires: Duration,
        now: Duration,
    ) -> Option<String> {
        self.sweep(now);
        let count = self.of_user.get(&identity.username).copied().unwrap_or(0);
        if self.expiries.len() >= TICKETS_MAX || count >= TICKETS_PER_USER_MAX {
            return None;
        }
        let ticket = URL_SAFE_NO_PAD.encode(random);
        let hash = Sha256::digest(&ticket).into();
        self.of_user.insert(identity.username.clone(), count + 1);
        self.expiries
            .push_back((expires, hash, identity.username.clone()));
        self.by_hash.insert(hash, identity);
        Some(ticket)
    }

    /// Redeems a ticket, which uses it up; `None` if it is not valid.
    pub fn redeem(&mut self, ticket: &str, now: Duration) -> Option<Identity> {
        self.sweep(now);
        let hash: Hash = Sha256::digest(ticket).into();
        self.by_hash.remove(&hash)
    }

    /// Removes every ticket of these names. The tickets are searched only if one of the names has some.
    pub fn void(&mut self, names: &[Arc<str>]) {
        let has_some = |name: &&str| self.of_user.contains_key(*name);
        let names: HashSet<&str> = names.iter().map(|name| &**name).filter(has_some).collect();
        if !names.is_empty() {
            self.by_hash
                .retain(|_, identity| !names.contains(&*identity.username));
        }
    }

    /// Removes expired tickets; valid ones are not visited.
    fn sweep(&mut self, now: Duration) {
        while self
            .expiries
            .front()
            .is_some_and(|(expires, ..)| *expires <= now)
        {
            let Some((_, hash, user)) = self.expiries.pop_front() else {
                return;
            };
            self.by_hash.remove(&hash);
            if let Some(count) = self.of_user.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    self.of_user.remove(&user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const TTL: Duration = Duration::from_secs(30);

    fn identity(username: &str) -> Identity {
        Identity {
            username: username.into(),
            token: "t".into(),
            issued_at: 0,
            expires_at: 9,
            authenticated_at: 0,
            is_ours: true,
        }
    }

    #[test]
    fn a_ticket_is_redeemed_once_and_in_time() {
        let mut tickets = Tickets::default();
        let ticket = tickets
            .issue([1; 32], identity("a"), NOW + TTL, NOW)
            .expect("is under the limits");
        assert_eq!(ticket.len(), 43);
        assert_eq!(tickets.redeem("other", NOW), None);
        assert_eq!(tickets.redeem(&ticket, NOW), Some(identity("a")));
        assert_eq!(tickets.redeem(&ticket, NOW), None);
        let late = tickets
            .issue([2; 32], identity("a"), NOW + TTL, NOW)
            .expect("is under the limits");
        assert_eq!(tickets.redeem(&late, NOW + TTL), None);
        assert!(
            tickets.by_hash.is_empty() && tickets.of_user.is_empty() && tickets.expiries.is_empty()
        );
    }

    #[test]
    fn the_tickets_of_one_user_are_bounded_and_others_are_unhurt() {
        let mut tickets = Tickets::default();
        let mut issue = |n: u64, username: &str| {
            let mut random = [0; 32];
            random[..8].copy_from_slice(&n.to_ne_bytes());
            tickets
                .issue(random, identity(username), NOW + TTL, NOW)
                .is_some()
        };
        assert!((0..TICKETS_PER_USER_MAX as u64).all(|n| issue(n, "a")));
        assert!(!issue(1_000_000, "a"));
        assert!(issue(1_000_001, "b"));
    }

    #[test]
    fn the_tickets_of_a_name_are_void_and_those_of_others_are_not() {
        let mut tickets = Tickets::default();
        let mut issued = Vec::new();
        for (n, name) in [(1, "a"), (2, "ab"), (3, "a"), (4, "c")] {
            let ticket = tickets.issue([n; 32], identity(name), NOW + TTL, NOW);
            issued.push(ticket.expect("is under the limits"));
        }
        tickets.void(&["a".into(), "nobody".into()]);
        let names = issued.iter().map(|ticket| tickets.redeem(ticket, NOW));
        let names: Vec<_> = names.collect();
        let expected = [None, Some(identity("ab")), None, Some(identity("c"))];
        assert_eq!(names, expected);
        assert_eq!(tickets.redeem("other", NOW + TTL), None);
        assert!(tickets.expiries.is_empty() && tickets.of_user.is_empty());
    }

    #[test]
    fn a_user_has_as_many_fewer_as_have_expired() {
        let mut tickets = Tickets::default();
        for (n, expires) in [(1, NOW), (2, NOW + TTL), (3, NOW + TTL)] {
            let issued = tickets.issue([n; 32], identity("a"), expires, NOW - TTL);
            assert!(issued.is_some());
        }
        assert_eq!(tickets.redeem("other", NOW), None);
        assert_eq!(tickets.of_user.get("a"), Some(&2));
        assert_eq!(tickets.redeem("other", NOW + TTL), None);
        assert_eq!(tickets.of_user.get("a"), None);
    }
}
