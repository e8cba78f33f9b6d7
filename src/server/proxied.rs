//! Connections of trusted proxies that begin with a PROXY protocol header: the address it tells is theirs for all of their
//! life.

use std::net::IpAddr;

use super::Server;
use crate::config::Level;
use crate::conn::input::Input;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;

impl Server {
    /// A PROXY protocol header has come. If the address it tells has too many connections already, this one is refused
    /// (503), as one that comes from there directly. Returns whether it was admitted. Without an address the connection is
    /// the proxy's own, such as a health check.
    pub(super) fn begin_proxied(
        &mut self,
        id: ConnectionId,
        source: Option<IpAddr>,
        input: &Input<'_>,
        now: Now,
    ) -> bool {
        self.counters.proxy_headers += 1;
        let Some(source) = source else {
            return true;
        };
        let proxy = self.connections.address(id);
        if self.connections.replace_address(id, source, &self.config) {
            self.note(Level::Debug, "proxied", id, &[("proxy", &proxy)], now);
            return true;
        }
        self.note_refused("connections_per_address", source, now);
        let refusal = self.refusal_of_a_connection(input.rest(), now);
        self.connections[id].outbox().push_http(&refusal);
        self.linger(id, now);
        false
    }

    /// Closes a connection whose PROXY protocol header is not one, or comes too late. Without an answer: the peer does not
    /// speak what we expect, and who is behind it is unknown.
    pub(super) fn refuse_proxy_header(&mut self, id: ConnectionId, reason: &'static str, now: Now) {
        self.counters.proxy_headers_refused += 1;
        self.note(
            Level::Warn,
            "proxy_header_refused",
            id,
            &[("reason", &reason)],
            now,
        );
        self.closed(id, now);
    }
}
