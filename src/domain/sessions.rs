//! Sessions of connections opened with a token or ticket: their identity and their end.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::ids::ConnectionId;
use super::names::{key, shared_key};
use super::permissions::Permissions;
use super::time::Now;
use super::tokens::Identity;
use crate::wire::jwt::KeyId;

/// The sessions that end when their token expires. Guests have none.
#[derive(Debug, Default)]
pub struct Sessions {
    identities: HashMap<ConnectionId, (Identity, Duration)>,
    by_expiry: BTreeSet<(Duration, ConnectionId)>,
    by_family: BTreeSet<(Rc<str>, ConnectionId)>,
    /// The keys of the users' names, each with its number of sessions.
    keys: HashMap<Rc<str>, usize>,
    /// Event streams opened with an API key, by connection, with its name. They have no session.
    by_api_key: HashMap<ConnectionId, Rc<str>>,
}

impl Sessions {
    /// Opens a session, or extends it to the end of a newer token.
    pub fn open(&mut self, connection: ConnectionId, identity: Identity, now: Now) {
        self.close(connection);
        let left = Duration::from_secs(identity.expires_at).saturating_sub(now.unix);
        let due = now.monotonic.saturating_add(left);
        self.by_expiry.insert((due, connection));
        self.by_family.insert((identity.family.clone(), connection));
        *self.keys.entry(shared_key(&identity.username)).or_default() += 1;
        self.identities.insert(connection, (identity, due));
    }

    /// Ends the session of a connection, if there is one; returns its identity.
    pub fn close(&mut self, connection: ConnectionId) -> Option<Identity> {
        self.by_api_key.remove(&connection);
        let (identity, due) = self.identities.remove(&connection)?;
        self.by_expiry.remove(&(due, connection));
        self.by_family
            .remove(&(identity.family.clone(), connection));
        let key = key(&identity.username);
        if let Some(count) = self.keys.get_mut(&*key) {
            *count -= 1;
            if *count == 0 {
                self.keys.remove(&*key);
            }
        }
        Some(identity)
    }

    /// Notes that a connection was opened with the API key of this name, until [`Self::close`].
    pub fn open_by_api_key(&mut self, connection: ConnectionId, name: Rc<str>) {
        self.by_api_key.insert(connection, name);
    }

    /// The connections opened with the API keys of these names, sorted.
    pub fn of_api_keys(&self, names: &[Arc<str>]) -> Vec<ConnectionId> {
        let all = self.by_api_key.iter();
        let chosen = all.filter(|(_, of)| names.iter().any(|name| **name == ***of));
        let mut connections: Vec<_> = chosen.map(|(connection, _)| *connection).collect();
        connections.sort_unstable();
        connections
    }

    /// Sets what the user of a session may do.
    pub fn permit(&mut self, connection: ConnectionId, permissions: Rc<Permissions>) {
        if let Some((identity, _)) = self.identities.get_mut(&connection) {
            identity.permissions = permissions;
        }
    }

    /// The identity of a connection's session; `None` for a guest.
    pub fn of(&self, connection: ConnectionId) -> Option<&Identity> {
        self.identities
            .get(&connection)
            .map(|(identity, _)| identity)
    }

    /// The connections of the sessions that are chosen. Visits every session.
    pub fn chosen(&self, is_chosen: impl Fn(&Identity) -> bool) -> Vec<ConnectionId> {
        let all = self.identities.iter();
        let chosen = all.filter(|(_, (identity, _))| is_chosen(identity));
        chosen.map(|(connection, _)| *connection).collect()
    }

    /// The connections of one family of tokens.
    pub fn of_family(&self, family: &Rc<str>) -> Vec<ConnectionId> {
        let all = (family.clone(), ConnectionId(0))..=(family.clone(), ConnectionId(u32::MAX));
        self.by_family
            .range(all)
            .map(|(_, connection)| *connection)
            .collect()
    }

    /// The connections of these users, whose names are sorted. Visits every session if there are more names.
    pub fn of_names(&self, names: &[Arc<str>]) -> Vec<ConnectionId> {
        if names.len() <= self.identities.len() {
            return names.iter().flat_map(|name| self.of_name(name)).collect();
        }
        let is_named = |family: &str| {
            let username = family.split('\n').next().unwrap_or_default();
            names
                .binary_search_by(|name| (**name).cmp(username))
                .is_ok()
        };
        self.by_family
            .iter()
            .filter(|(family, _)| is_named(family))
            .map(|(_, connection)| *connection)
            .collect()
    }

    /// The connections of one user.
    pub fn of_name(&self, name: &str) -> Vec<ConnectionId> {
        // The name of a family begins with its subject, so those of a user are adjacent.
        let first = Identity::family_of(name, "");
        let mut connections: Vec<_> = self
            .by_family
            .range((first.clone(), ConnectionId(0))..)
            .take_while(|(family, _)| family.starts_with(&*first))
            .map(|(_, connection)| *connection)
            .collect();
        connections.sort_unstable();
        connections
    }

    /// Whether somebody has a session whose name has this key ([`key`]).
    pub fn has_key(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// The connections whose token one of these keys has verified. Visits every session.
    pub fn of_keys(&self, keys: &[KeyId]) -> Vec<ConnectionId> {
        let mut connections: Vec<_> = self
            .identities
            .iter()
            .filter(|(_, (identity, _))| keys.contains(&identity.key))
            .map(|(connection, _)| *connection)
            .collect();
        connections.sort_unstable();
        connections
    }

    /// When the next session ends, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.by_expiry.first().map(|(due, _)| *due)
    }

    /// A connection whose token has expired.
    pub fn due(&self, now: Duration) -> Option<ConnectionId> {
        self.by_expiry
            .first()
            .filter(|(due, _)| *due <= now)
            .map(|(_, connection)| *connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::issuer::Issued;
    use crate::wire::jwt::Key;

    fn key(n: u8) -> KeyId {
        Key::new(None, &[n; 32]).expect("is long enough").key_id()
    }

    #[test]
    fn the_connections_of_a_name_are_those_of_all_its_tokens_and_of_no_longer_name() {
        let mut sessions = Sessions::default();
        let names = ["kim", "kim", "kim2", "ki", "kim", "lee"];
        for (n, name) in names.into_iter().enumerate() {
            let identity = identity(name, &format!("token{}", names.len() - n), 9);
            sessions.open(ConnectionId(n as u32), identity, Now::default());
        }
        assert_eq!(sessions.of_name("kim"), [0, 1, 4].map(ConnectionId));
        sessions.close(ConnectionId(1));
        assert_eq!(sessions.of_name("kim"), [0, 4].map(ConnectionId));
        assert_eq!(sessions.of_name("k"), []);
        for (key, is_here) in [("kim", true), ("ki", true), ("k", false), ("lef", false)] {
            assert_eq!(sessions.has_key(key), is_here, "{key}");
        }
        // Few names are looked up, many are compared with every session.
        for count in [0, 100] {
            let others = (0..count).map(|n| format!("z{n:03}").into());
            let names = ["k", "ki", "kim", "lee", "lee2"].map(Arc::from).into_iter();
            let names: Vec<Arc<str>> = names.chain(others).collect();
            let mut found = sessions.of_names(&names);
            found.sort_unstable();
            assert_eq!(found, [0, 3, 4, 5].map(ConnectionId));
        }
    }

    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);
    const NOW: Now = Now {
        monotonic: Duration::from_secs(10),
        unix: Duration::from_secs(1_000),
    };

    fn identity(username: &str, id: &str, expires_at: u64) -> Identity {
        Identity {
            username: username.into(),
            family: Identity::family_of(username, id),
            issued: Issued::Here(1),
            expires_at,
            authenticated_at: 0,
            is_ours: true,
            key: key(1),
            permissions: Permissions::usual(),
        }
    }

    #[test]
    fn a_session_is_found_by_the_key_that_verified_its_token() {
        let mut sessions = Sessions::default();
        let connections = [5, 4, 3, 2, 1, 0].map(ConnectionId);
        for (n, connection) in connections.into_iter().enumerate() {
            let identity = Identity {
                key: key(n as u8 % 3),
                ..identity("kim", "t", 1_060)
            };
            sessions.open(connection, identity, NOW);
        }
        let of_keys = |keys: &[u8]| {
            let keys: Vec<KeyId> = keys.iter().map(|n| key(*n)).collect();
            sessions.of_keys(&keys)
        };
        assert_eq!(of_keys(&[0, 2]), [0, 2, 3, 5].map(ConnectionId));
        assert_eq!(of_keys(&[7]), []);
        assert_eq!(of_keys(&[]), []);
    }

    #[test]
    fn a_key_is_there_as_long_as_a_name_has_it() {
        let mut sessions = Sessions::default();
        for (connection, name) in [(A, "Kim"), (B, "ｋｉｍ"), (B, "KIM"), (B, "kim")] {
            sessions.open(connection, identity(name, "t", 1_060), NOW);
            assert!(sessions.has_key("kim"), "{name}");
        }
        sessions.close(A);
        assert!(sessions.has_key("kim"));
        sessions.close(B);
        assert!(!sessions.has_key("kim") && sessions.keys.is_empty());
    }

    #[test]
    fn a_session_is_found_by_its_connection_its_family_and_its_name() {
        let mut sessions = Sessions::default();
        sessions.open(B, identity("kim", "t", 1_060), NOW);
        sessions.open(A, identity("kim", "u", 1_060), NOW);
        let connection = ConnectionId(3);
        sessions.open(connection, identity("lee", "t", 1_060), NOW);
        assert_eq!(sessions.of(A), Some(&identity("kim", "u", 1_060)));
        assert_eq!(sessions.of_name("kim"), [A, B]);
        let of_family =
            |sessions: &Sessions, name| sessions.of_family(&Identity::family_of(name, "t"));
        assert_eq!(of_family(&sessions, "kim"), [B]);
        assert_eq!(of_family(&sessions, "lee"), [connection]);
        sessions.close(B);
        assert_eq!(sessions.of(B), None);
        assert_eq!(sessions.of_name("kim"), [A]);
        assert_eq!(of_family(&sessions, "kim"), []);
        assert_eq!(of_family(&sessions, "lee"), [connection]);
    }

    #[test]
    fn a_session_is_due_when_its_token_expires_or_the_newer_one() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.next_timeout(), None);
        sessions.open(A, identity("kim", "t", 1_060), NOW);
        sessions.open(B, identity("lee", "u", 1_030), NOW);
        let at = |seconds| Duration::from_secs(seconds);
        assert_eq!(sessions.next_timeout(), Some(at(40)));
        assert_eq!(sessions.due(at(39)), None);
        assert_eq!(sessions.due(at(40)), Some(B));
        sessions.open(B, identity("lee", "v", 1_100), NOW);
        assert_eq!(sessions.next_timeout(), Some(at(70)));
        assert_eq!(sessions.due(at(80)), Some(A));
        sessions.close(A);
        assert_eq!(sessions.due(at(80)), None);
        assert_eq!(sessions.due(at(110)), Some(B));
    }
}
