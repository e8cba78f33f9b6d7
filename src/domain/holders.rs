//! Names that guests hold by a key: while its holder is here, and for the presence grace after their last connection,
//! nobody else has the name. Without a key a name is shared.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::ids::{ConnectionId, HolderId};
use super::names::key as key_of;
use crate::config::{GUEST_KEY_CHARS_MAX, GUEST_KEY_CHARS_MIN, NAMES_IN_GRACE_MAX};

/// Lapsed names that are dropped with each exit: more than it adds.
const SWEPT_PER_EXIT: usize = 4;

/// Whether a guest may have this key: [`GUEST_KEY_CHARS_MIN`] to [`GUEST_KEY_CHARS_MAX`] characters, none of them a
/// control character.
pub fn is_valid_key(key: &str) -> bool {
    (GUEST_KEY_CHARS_MIN..=GUEST_KEY_CHARS_MAX).contains(&key.chars().count())
        && !key.chars().any(char::is_control)
}

/// The name is another guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held;

/// Who holds which name. Of a key only a keyed hash is kept, which is of no use outside this process.
pub struct Holders {
    mac: Hmac<Sha256>,
    grace: Duration,
    names: HashMap<Rc<str>, Holding>,
    /// The names of connections with a key.
    of_connection: HashMap<ConnectionId, Rc<str>>,
    /// Names whose holder has gone, by the time at which they are free.
    in_grace: BTreeSet<(Duration, Rc<str>)>,
}

#[derive(Clone, Copy, Debug)]
struct Holding {
    holder: HolderId,
    connections: u32,
    /// Without connections: when the name is free.
    until: Duration,
}

impl Holding {
    fn is_in_force(&self, now: Duration) -> bool {
        self.connections > 0 || now < self.until
    }
}

impl std::fmt::Debug for Holders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holders")
            .field("names", &self.names.len())
            .finish_non_exhaustive()
    }
}

impl Holders {
    /// No name is held. `secret` keys the hash of the guests' keys.
    pub fn new(secret: &[u8; 32], grace: Duration) -> Self {
        Self {
            mac: Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"),
            grace,
            names: HashMap::new(),
            of_connection: HashMap::new(),
            in_grace: BTreeSet::new(),
        }
    }

    /// Keys are hashed with this from now on. Who holds a name by a key that was hashed before is somebody else until then.
    pub fn rehash(&mut self, secret: &[u8; 32]) {
        self.mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
    }

    /// Who a guest of this name with this valid key would be; `None` without a key.
    ///
    /// # Errors
    /// [`Held`]: somebody with another key holds the name. Keys are compared in constant time.
    pub fn admit(
        &self,
        name: &str,
        key: Option<&str>,
        now: Duration,
    ) -> Result<Option<HolderId>, Held> {
        let mac = key.map(|key| self.mac.clone().chain_update(key));
        if let Some(held) = self.names.get(&*key_of(name))
            && held.is_in_force(now)
        {
            let mac = mac.clone().ok_or(Held)?;
            mac.verify_truncated_left(&held.holder.0)
                .map_err(|_| Held)?;
        }
        Ok(mac.map(|mac| {
            let hash: [u8; 32] = mac.finalize().into_bytes().into();
            let mut id = HolderId::default();
            id.0.copy_from_slice(&hash[..size_of::<HolderId>()]);
            id
        }))
    }

    /// A connection of an admitted holder begins.
    pub fn enter(&mut self, connection: ConnectionId, name: &str, holder: HolderId) {
        let key: Rc<str> = key_of(name).into();
        let (key, mut held) = match self.names.remove_entry(&key) {
            Some(entry) => entry,
            None => (
                key,
                Holding {
                    holder,
                    connections: 0,
                    until: Duration::ZERO,
                },
            ),
        };
        if held.connections == 0 {
            self.in_grace.remove(&(held.until, key.clone()));
            held.holder = holder;
        }
        held.connections += 1;
        self.names.insert(key.clone(), held);
        self.of_connection.insert(connection, key);
    }

    /// A connection ends, with or without a key. After the last one of a holder the grace begins; at
    /// [`NAMES_IN_GRACE_MAX`] the name that is free first is free at once.
    pub fn exit(&mut self, connection: ConnectionId, now: Duration) {
        let Some(name) = self.of_connection.remove(&connection) else {
            return;
        };
        let Some(held) = self.names.get_mut(&name) else {
            return;
        };
        held.connections -= 1;
        if held.connections > 0 {
            return;
        }
        held.until = now + self.grace;
        self.in_grace.insert((held.until, name));
        for _ in 0..SWEPT_PER_EXIT {
            let first = self.in_grace.first().map(|(until, _)| *until);
            if first.is_some_and(|until| until <= now || self.in_grace.len() > NAMES_IN_GRACE_MAX) {
                self.free_first();
            }
        }
    }

    fn free_first(&mut self) {
        if let Some((_, name)) = self.in_grace.pop_first() {
            self.names.remove(&name);
        }
    }

    /// The number of names that are held now.
    pub fn count(&self, now: Duration) -> usize {
        // These are dropped when connections end.
        let is_free = |(until, _): &&(Duration, Rc<str>)| *until <= now;
        self.names.len() - self.in_grace.iter().take_while(is_free).count()
    }

    /// Frees memory that many connections with keys have needed.
    pub fn shrink(&mut self) {
        self.names.shrink_to_fit();
        self.of_connection.shrink_to_fit();
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        assert!(
            self.in_grace.len() <= NAMES_IN_GRACE_MAX,
            "names in grace are bounded"
        );
        let held: u32 = self.names.values().map(|held| held.connections).sum();
        assert_eq!(held as usize, self.of_connection.len());
        let gone = self.names.values().filter(|held| held.connections == 0);
        assert_eq!(gone.count(), self.in_grace.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "a key of sixteen";
    const B: &str = "another sixteen!";
    const GRACE: Duration = Duration::from_secs(3);
    const NOW: Duration = Duration::from_secs(1_000);

    fn holders() -> Holders {
        Holders::new(&[7; 32], GRACE)
    }

    fn enter(holders: &mut Holders, connection: u32, name: &str, key: &str) -> Result<(), Held> {
        let holder = holders.admit(name, Some(key), NOW)?.expect("has a key");
        holders.enter(ConnectionId(connection), name, holder);
        holders.check();
        Ok(())
    }

    #[test]
    fn a_key_has_16_to_64_characters_and_no_control_character() {
        assert!(is_valid_key(&"열".repeat(16)) && is_valid_key(&"x".repeat(64)));
        for key in ["", &"x".repeat(15), &"열".repeat(65), "0123456789abcde\n"] {
            assert!(!is_valid_key(key), "{key:?}");
        }
    }

    #[test]
    fn a_name_is_its_holders_in_any_case_until_the_grace_after_the_last_connection() {
        let mut holders = holders();
        for connection in [1, 2] {
            assert_eq!(enter(&mut holders, connection, "Alex", A), Ok(()));
        }
        for (name, key) in [("Alex", None), ("alex", None), ("ALEX", Some(B))] {
            assert_eq!(holders.admit(name, key, NOW), Err(Held));
        }
        assert_eq!(holders.admit("alexa", None, NOW), Ok(None));
        holders.exit(ConnectionId(1), NOW);
        assert_eq!(holders.admit("Alex", None, NOW + 2 * GRACE), Err(Held));
        holders.exit(ConnectionId(2), NOW);
        let before = NOW + GRACE - Duration::from_nanos(1);
        assert_eq!(holders.admit("Alex", Some(B), before), Err(Held));
        assert!(holders.admit("Alex", Some(A), before).is_ok());
        assert_eq!(holders.admit("Alex", None, NOW + GRACE), Ok(None));
        assert!(holders.admit("Alex", Some(B), NOW + GRACE).is_ok());
        holders.check();
    }

    #[test]
    fn a_holder_who_comes_back_in_time_holds_the_name_and_is_the_same() {
        let mut holders = holders();
        let before = holders.admit("Alex", Some(A), NOW);
        assert_eq!(enter(&mut holders, 1, "Alex", A), Ok(()));
        holders.exit(ConnectionId(1), NOW);
        assert_eq!(enter(&mut holders, 2, "Alex", A), Ok(()));
        assert_eq!(holders.admit("Alex", Some(A), NOW), before);
        assert_eq!(holders.admit("Alex", Some(B), NOW + 2 * GRACE), Err(Held));
        // With another key they are somebody else.
        holders.exit(ConnectionId(2), NOW);
        assert_ne!(holders.admit("Alex", Some(B), NOW + GRACE), before);
    }

    #[test]
    fn without_a_grace_a_name_is_free_at_once() {
        let mut holders = Holders::new(&[7; 32], Duration::ZERO);
        assert_eq!(enter(&mut holders, 1, "Alex", A), Ok(()));
        holders.exit(ConnectionId(1), NOW);
        assert_eq!(enter(&mut holders, 2, "Alex", B), Ok(()));
        holders.exit(ConnectionId(9), NOW);
        assert_eq!(holders.admit("Alex", Some(A), NOW), Err(Held));
    }

    #[test]
    fn names_in_grace_are_bounded_and_the_oldest_is_free_first() {
        let mut holders = holders();
        for n in 0..=NAMES_IN_GRACE_MAX as u32 {
            assert_eq!(enter(&mut holders, n, &n.to_string(), A), Ok(()));
        }
        assert_eq!(holders.admit("0", None, NOW), Err(Held));
        for n in 0..=NAMES_IN_GRACE_MAX as u32 {
            holders.exit(ConnectionId(n), NOW + Duration::from_nanos(u64::from(n)));
        }
        holders.check();
        assert_eq!(holders.admit("0", None, NOW), Ok(None));
        assert_eq!(holders.admit("1", None, NOW), Err(Held));
        // What has lapsed goes with the exits that follow.
        let later = NOW + 2 * GRACE;
        for n in 0..NAMES_IN_GRACE_MAX as u32 / 2 {
            let holder = HolderId::default();
            holders.enter(ConnectionId(n), &format!("again {n}"), holder);
            holders.exit(ConnectionId(n), later);
        }
        assert!(holders.names.len() <= NAMES_IN_GRACE_MAX / 2 + 1);
    }

    #[test]
    fn keys_do_not_show_in_what_is_printed() {
        let mut holders = holders();
        assert_eq!(enter(&mut holders, 1, "Alex", A), Ok(()));
        assert_eq!(format!("{holders:?}"), "Holders { names: 1, .. }");
    }
}
