//! Who is banned when they come.

use crate::domain::ban::Ban;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::domain::tokens::Identity;
use crate::server::Server;
use crate::server::acts::Actor;

impl Server {
    /// The ban of somebody who signed in, if it holds. Moderators are not kept out.
    pub(in crate::server) fn ban_of(&self, identity: &Identity, now: Now) -> Option<Ban> {
        if self.sign_ins.auth().is_moderator(identity) {
            return None;
        }
        self.ban_of_name(&identity.username, now)
    }

    /// The ban of a name, if it holds.
    pub(in crate::server) fn ban_of_name(&self, name: &str, now: Now) -> Option<Ban> {
        self.chat.rooms().bans.of(name, None, now).cloned()
    }

    /// A WebSocket as the one who acts, if it is a moderator's.
    pub(in crate::server) fn moderator(&self, id: ConnectionId) -> Option<Actor> {
        let identity = self.sign_ins.auth().sessions.of(id)?;
        let is_moderator = self.sign_ins.auth().is_moderator(identity);
        is_moderator.then(|| Actor {
            name: identity.username.clone(),
            speaker: identity.username.clone(),
            address: self.connections.address(id),
        })
    }
}
