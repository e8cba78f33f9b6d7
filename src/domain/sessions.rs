//! Sessions of connections that came with a ticket: whose they are, and when they end.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use super::tokens::Identity;
use super::{ConnectionId, Now};

/// The sessions that end with a token. Guests have none.
#[derive(Debug, Default)]
pub struct Sessions {
    identities: HashMap<ConnectionId, (Identity, Duration)>,
    by_expiry: BTreeSet<(Duration, ConnectionId)>,
    by_token: BTreeSet<(Rc<str>, ConnectionId)>,
}

impl Sessions {
    /// Opens a session, or has it end with a newer token.
    pub fn open(&mut self, connection: ConnectionId, identity: Identity, now: Now) {
        self.close(connection);
        let left = Duration::from_secs(identity.expires_at).saturating_sub(now.unix);
        let due = now.monotonic.saturating_add(left);
        self.by_expiry.insert((due, connection));
        self.by_token.insert((identity.token.clone(), connection));
        self.identities.insert(connection, (identity, due));
    }

    /// Ends a session, if there is one.
    pub fn close(&mut self, connection: ConnectionId) {
        if let Some((identity, due)) = self.identities.remove(&connection) {
            self.by_expiry.remove(&(due, connection));
            self.by_token.remove(&(identity.token, connection));
        }
    }

    /// Whose session a connection is; `None` for a guest.
    pub fn of(&self, connection: ConnectionId) -> Option<&Identity> {
        self.identities
            .get(&connection)
            .map(|(identity, _)| identity)
    }

    /// The connections of one token.
    pub fn of_token(&self, token: &Rc<str>) -> Vec<ConnectionId> {
        let all = (token.clone(), ConnectionId(0))..=(token.clone(), ConnectionId(u32::MAX));
        self.by_token
            .range(all)
            .map(|(_, connection)| *connection)
            .collect()
    }

    /// The connections of one user.
    pub fn of_name(&self, name: &str) -> Vec<ConnectionId> {
        // A token is named by its subject first: theirs stand together.
        let first = Identity::token_of(name, "");
        let mut connections: Vec<_> = self
            .by_token
            .range((first.clone(), ConnectionId(0))..)
            .take_while(|(token, _)| token.starts_with(&*first))
            .map(|(_, connection)| *connection)
            .collect();
        connections.sort_unstable();
        connections
    }

    /// When the next session ends, since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.by_expiry.first().map(|(due, _)| *due)
    }

    /// A session whose token has expired.
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

    #[test]
    fn the_connections_of_a_name_are_those_of_all_its_tokens_and_of_no_longer_name() {
        let mut sessions = Sessions::default();
        let names = ["kim", "kim", "kim2", "ki", "kim", "lee"];
        for (n, name) in names.into_iter().enumerate() {
            let identity = Identity {
                username: name.into(),
                token: Identity::token_of(name, &format!("token{}", names.len() - n)),
                issued_at: 0,
                expires_at: 9,
                authenticated_at: 0,
                is_ours: true,
            };
            sessions.open(ConnectionId(n as u32), identity, Now::default());
        }
        assert_eq!(sessions.of_name("kim"), [0, 1, 4].map(ConnectionId));
        sessions.close(ConnectionId(1));
        assert_eq!(sessions.of_name("kim"), [0, 4].map(ConnectionId));
        assert_eq!(sessions.of_name("k"), []);
    }
}
