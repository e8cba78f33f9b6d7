//! Requests of clients behind trusted proxies: each has the address of its client from its head until its response is
//! written, a WebSocket or event stream as long as it lasts. A proxy's connection carries different clients one after the
//! other.

use std::net::IpAddr;

use super::Server;
use super::answer::Exchange;
use super::routes::body_bytes_max;
use crate::conn::Phase;
use crate::conn::http::{Awaited, Step};
use crate::conn::input::Input;
use crate::conn::refusal::Refusal;
use crate::domain::ids::ConnectionId;
use crate::domain::time::Now;
use crate::wire::forwarded::Forwarding;

impl Server {
    /// A request begins whose peer is a proxy, or claims to be one. If its client has too many already, it is refused
    /// (503), and the proxy's connection goes on to serve other clients. Returns whether it was refused.
    pub(super) fn begin_forwarded(
        &mut self,
        id: ConnectionId,
        forwarding: Forwarding,
        input: &mut Input<'_>,
        now: Now,
    ) -> bool {
        let client = match forwarding {
            Forwarding::Client(client) => {
                let is_named = self.connections.proxy(id, &self.config) != Some(client);
                let forwarded = &mut self.counters.forwarded;
                forwarded.taken += u64::from(is_named);
                forwarded.missing += u64::from(!is_named);
                client
            }
            Forwarding::Disputed(proxy) => {
                self.counters.forwarded.differing += 1;
                self.note_disputed(proxy, now);
                proxy
            }
            Forwarding::Ignored(field) => {
                self.counters.forwarded.ignored += 1;
                self.note_ignored(id, field, now);
                return false;
            }
        };
        let is_admitted = self.connections.begin_request(id, client, &self.config);
        if !is_admitted {
            self.refuse_client(id, client, input, now);
        }
        !is_admitted
    }

    /// Refuses a request whose client has too many connections. If its body is still to come, the connection closes:
    /// waiting for it would be one more connection of this client.
    fn refuse_client(&mut self, id: ConnectionId, client: IpAddr, input: &mut Input<'_>, now: Now) {
        self.note_refused("connections_per_address", client, now);
        let Phase::Http(http) = &mut self.connections[id].phase else {
            return;
        };
        match http.step(input, None, |request| body_bytes_max(&self.config, request)) {
            Step::Serve(request) => {
                http.deadline_for = None;
                let is_stopping = self.is_stopping();
                let exchange = Exchange::of(&self.config, &request, is_stopping, now);
                self.respond_and_go_on(id, &exchange, Err(Refusal::UNAVAILABLE), now);
            }
            Step::Refuse(refusal, request) => {
                let exchange = Exchange::of(&self.config, &request, true, now);
                self.refuse(id, refusal, exchange, now);
            }
            Step::Wait
            | Step::Proxied(_)
            | Step::RefuseProxyHeader(_)
            | Step::Begin(_)
            | Step::Continue
            | Step::RefuseHead(..) => {
                self.refuse_unfinished(id, Refusal::UNAVAILABLE, now);
            }
        }
    }

    /// The outbox is empty: if the response to a proxy's request was in it, that request is over.
    pub(super) fn end_forwarded(&mut self, id: ConnectionId) {
        let is_over = match &self.connections[id].phase {
            Phase::Http(http) => matches!(http.awaits(), Awaited::Request | Awaited::Head),
            Phase::Lingering => true,
            Phase::WebSocket(_) | Phase::EventStream(_) | Phase::Closing(_) | Phase::Closed => {
                false
            }
        };
        if is_over {
            self.connections.end_request(id, &self.config);
        }
    }
}
