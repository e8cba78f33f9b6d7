//! The start of a server that shares an engine with others.

use crate::config::{Cluster, Config};
use crate::domain::credentials::Credentials;
use crate::domain::time::Now;
use crate::domain::working_set::WorkingSet;
use crate::server::Server;
use crate::server::backend::Backend;
use crate::server::node::Node;

impl Server {
    pub(super) fn with_engine(
        config: Config,
        cluster: Cluster,
        credentials: Credentials,
        seed: &[u8; 32],
        now: Now,
    ) -> Self {
        let node = Node::new(&config, cluster, seed);
        let name = config
            .cluster_node
            .clone()
            .unwrap_or_else(|| node.id().into());
        let backend = Backend::Cluster(Box::new(node));
        let mut server = Self::with_backend(config, credentials, seed, now, backend);
        let (rooms, _) = server.chat.rooms_mut();
        rooms.share();
        rooms.bans.load(Vec::new());
        // All nodes must make the same ones, also after the engine has lost its secret.
        rooms.set_fingerprint_key(*b"sarang: cluster!");
        server.streams.share(name);
        // What is revoked here is noted for the others.
        let revocations = server.sign_ins.auth_mut().revocations_mut();
        revocations.load(&mut WorkingSet::default(), now);
        server
    }
}
