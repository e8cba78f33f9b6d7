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
        let is_theirs = |(_, (identity, _)): &(&ConnectionId, &(Identity, Duration))| {
            &*identity.username == name
        };
        let mut connections: Vec<_> = self
            .identities
            .iter()
            .filter(is_theirs)
            .map(|(id, _)| *id)
            .collect();
        // The table's order depends on hashing.
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
