//! Sessions of connections opened with a token or ticket: their identity and their end.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use super::ids::ConnectionId;
use super::time::Now;
use super::tokens::Identity;

/// The sessions that end when their token expires. Guests have none.
#[derive(Debug, Default)]
pub struct Sessions {
    identities: HashMap<ConnectionId, (Identity, Duration)>,
    by_expiry: BTreeSet<(Duration, ConnectionId)>,
    by_token: BTreeSet<(Rc<str>, ConnectionId)>,
}

impl Sessions {
    /// Opens a session, or extends it to the end of a newer token.
    pub fn open(&mut self, connection: ConnectionId, identity: Identity, now: Now) {
        self.close(connection);
        let left = Duration::from_secs(identity.expires_at).saturating_sub(now.unix);
        let due = now.monotonic.saturating_add(left);
        self.by_expiry.insert((due, connection));
        self.by_token.insert((identity.token.clone(), connection));
        self.identities.insert(connection, (identity, due));
    }

    /// Ends the session of a connection, if there is one; returns its identity.
    pub fn close(&mut self, connection: ConnectionId) -> Option<Identity> {
        let (identity, due) = self.identities.remove(&connection)?;
        self.by_expiry.remove(&(due, connection));
        self.by_token.remove(&(identity.token.clone(), connection));
        Some(identity)
    }

    /// The identity of a connection's session; `None` for a guest.
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
        // The name of a token begins with its subject, so the tokens of a user are adjacent.
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

    /// Whether a user has a session.
    pub fn has_name(&self, name: &str) -> bool {
        let first = Identity::token_of(name, "");
        let mut later = self.by_token.range((first.clone(), ConnectionId(0))..);
        later
            .next()
            .is_some_and(|(token, _)| token.starts_with(&*first))
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
        for (name, is_here) in [("kim", true), ("ki", true), ("k", false), ("lef", false)] {
            assert_eq!(sessions.has_name(name), is_here, "{name}");
        }
    }

    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);
    const NOW: Now = Now {
        monotonic: Duration::from_secs(10),
        unix: Duration::from_secs(1_000),
    };

    fn identity(username: &str, token: &str, expires_at: u64) -> Identity {
        Identity {
            username: username.into(),
            token: Identity::token_of(username, token),
            issued_at: 0,
            expires_at,
            authenticated_at: 0,
            is_ours: true,
        }
    }

    #[test]
    fn a_session_is_found_by_its_connection_its_token_and_its_name() {
        let mut sessions = Sessions::default();
        sessions.open(B, identity("kim", "t", 1_060), NOW);
        sessions.open(A, identity("kim", "u", 1_060), NOW);
        let connection = ConnectionId(3);
        sessions.open(connection, identity("lee", "t", 1_060), NOW);
        assert_eq!(sessions.of(A), Some(&identity("kim", "u", 1_060)));
        assert_eq!(sessions.of_name("kim"), [A, B]);
        let of_token =
            |sessions: &Sessions, name| sessions.of_token(&Identity::token_of(name, "t"));
        assert_eq!(of_token(&sessions, "kim"), [B]);
        assert_eq!(of_token(&sessions, "lee"), [connection]);
        sessions.close(B);
        assert_eq!(sessions.of(B), None);
        assert_eq!(sessions.of_name("kim"), [A]);
        assert_eq!(of_token(&sessions, "kim"), []);
        assert_eq!(of_token(&sessions, "lee"), [connection]);
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
