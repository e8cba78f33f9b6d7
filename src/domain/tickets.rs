//! Tickets: 256 random bits that open one connection once, within seconds.
//!
//! A browser cannot send a bearer token with a WebSocket handshake, and a token in a URL would end up in logs and
//! browser histories. A ticket may: it is worthless once used or expired. Only its hash is kept.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::tokens::Identity;
use crate::config::{TICKETS_MAX, TICKETS_PER_USER_MAX};
use crate::wire::jwt::KeyId;

type Hash = [u8; 32];

/// Tickets that are issued and not redeemed.
#[derive(Debug, Default)]
pub struct Tickets {
    by_hash: HashMap<Hash, Identity>,
    /// The same by the family of their token; those of a user are adjacent.
    by_family: BTreeSet<(Rc<str>, Hash)>,
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
        self.by_family.insert((identity.family.clone(), hash));
        self.by_hash.insert(hash, identity);
        Some(ticket)
    }

    /// Redeems a ticket, which uses it up; `None` if it is not valid.
    pub fn redeem(&mut self, ticket: &str, now: Duration) -> Option<Identity> {
        self.sweep(now);
        self.remove(&Sha256::digest(ticket).into())
    }

    fn remove(&mut self, hash: &Hash) -> Option<Identity> {
        let identity = self.by_hash.remove(hash)?;
        self.by_family.remove(&(identity.family.clone(), *hash));
        Some(identity)
    }

    /// Removes every ticket of a family of tokens.
    pub fn void_family(&mut self, family: &Rc<str>) {
        self.void_from(family, |other| *other == **family, |_| true);
    }

    /// Removes the tickets of a user that are chosen.
    pub fn void_user(&mut self, username: &str, is_chosen: impl Fn(&Identity) -> bool) {
        if self.of_user.contains_key(username) {
            let first = Identity::family_of(username, "");
            self.void_from(&first, |family| family.starts_with(&*first), is_chosen);
        }
    }

    /// Removes every ticket of these users, whose names are sorted. Visits every user with tickets if there are more
    /// names.
    pub fn void_names(&mut self, names: &[Arc<str>]) {
        if names.len() <= self.of_user.len() {
            return names.iter().for_each(|name| self.void_user(name, |_| true));
        }
        let is_named = |user: &Rc<str>| names.binary_search_by(|name| (**name).cmp(user)).is_ok();
        let users = self.of_user.keys().filter(|user| is_named(user));
        for user in users.cloned().collect::<Vec<_>>() {
            self.void_user(&user, |_| true);
        }
    }

    /// Removes the tickets of which a key has verified the token. Visits every ticket.
    pub fn void_keys(&mut self, keys: &[KeyId]) {
        let by_family = &mut self.by_family;
        self.by_hash.retain(|hash, identity| {
            let is_void = keys.contains(&identity.key);
            if is_void {
                by_family.remove(&(identity.family.clone(), *hash));
            }
            !is_void
        });
    }

    fn void_from(
        &mut self,
        first: &Rc<str>,
        is_in: impl Fn(&str) -> bool,
        is_chosen: impl Fn(&Identity) -> bool,
    ) {
        let void: Vec<Hash> = self
            .by_family
            .range((first.clone(), Hash::default())..)
            .take_while(|(family, _)| is_in(family))
            .map(|(_, hash)| *hash)
            .filter(|hash| self.by_hash.get(hash).is_some_and(&is_chosen))
            .collect();
        for hash in &void {
            self.remove(hash);
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
            self.remove(&hash);
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
    use crate::domain::issuer::Issued;
    use crate::domain::permissions::Permissions;
    use crate::wire::jwt::Key;

    const NOW: Duration = Duration::from_secs(100);
    const TTL: Duration = Duration::from_secs(30);

    fn key(n: u8) -> KeyId {
        Key::new(None, &[n; 32]).expect("is long enough").key_id()
    }

    fn identity_of(username: &str, sign_in: &str) -> Identity {
        Identity {
            username: username.into(),
            family: Identity::family_of(username, sign_in),
            issued: Issued::Here(1),
            expires_at: 9,
            authenticated_at: 0,
            is_ours: true,
            key: key(1),
            permissions: Permissions::usual(),
        }
    }

    fn identity(username: &str) -> Identity {
        identity_of(username, "s")
    }

    /// Issues a ticket for each identity.
    fn issue<const N: usize>(tickets: &mut Tickets, identities: &[Identity; N]) -> [String; N] {
        let mut n = 0;
        identities.each_ref().map(|identity| {
            n += 1;
            let ticket = tickets.issue([n; 32], identity.clone(), NOW + TTL, NOW);
            ticket.expect("is under the limits")
        })
    }

    /// Which of these tickets are good; they are used up.
    fn good<const N: usize>(tickets: &mut Tickets, issued: &[String; N]) -> [bool; N] {
        let good = issued
            .each_ref()
            .map(|ticket| tickets.redeem(ticket, NOW).is_some());
        assert!(tickets.by_hash.is_empty() && tickets.by_family.is_empty());
        good
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
            tickets.by_hash.is_empty()
                && tickets.by_family.is_empty()
                && tickets.of_user.is_empty()
                && tickets.expiries.is_empty()
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
    fn the_tickets_of_names_are_void_and_those_of_others_are_not() {
        // Few names are looked up, many are compared with every user.
        for count in [0, 100] {
            let mut tickets = Tickets::default();
            let identities = ["a", "ab", "a", "c"].map(identity);
            let issued = issue(&mut tickets, &identities);
            let others = (0..count).map(|n| format!("z{n:03}").into());
            let names = ["a", "nobody"].map(Arc::from).into_iter();
            tickets.void_names(&names.chain(others).collect::<Vec<_>>());
            assert_eq!(good(&mut tickets, &issued), [false, true, false, true]);
            assert_eq!(tickets.redeem("other", NOW + TTL), None);
            assert!(tickets.expiries.is_empty() && tickets.of_user.is_empty());
        }
    }

    #[test]
    fn the_tickets_of_a_sign_in_or_of_chosen_ones_of_a_user_are_void() {
        let sign_ins = [("a", "s"), ("a", "s2"), ("ab", "s"), ("a", "s"), ("a", "r")];
        let identities = sign_ins.map(|(username, sign_in)| identity_of(username, sign_in));
        let mut tickets = Tickets::default();
        let issued = issue(&mut tickets, &identities);
        tickets.void_family(&identities[0].family);
        assert_eq!(
            good(&mut tickets, &issued),
            [false, true, true, false, true]
        );
        let mut tickets = Tickets::default();
        let issued = issue(&mut tickets, &identities);
        tickets.void_user("a", |identity| identity.family_id() == "s2");
        assert_eq!(good(&mut tickets, &issued), [true, false, true, true, true]);
    }

    #[test]
    fn the_tickets_of_a_key_are_void() {
        let mut tickets = Tickets::default();
        let identities = [1, 2, 3, 2].map(|n| Identity {
            key: key(n),
            ..identity("a")
        });
        let issued = issue(&mut tickets, &identities);
        tickets.void_keys(&[key(2), key(7)]);
        assert_eq!(good(&mut tickets, &issued), [true, false, true, false]);
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
