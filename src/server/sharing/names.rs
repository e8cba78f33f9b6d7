//! Names and tickets at all nodes: a handshake waits until its name is this user's, and a ticket opens a connection anywhere.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::config::{ENGINE_RENEWAL_PARTS, SIGNED_IN_NAME_HELD_FOR};
use crate::conn::refusal::Refusal;
use crate::domain::error::ErrorCode;
use crate::domain::ids::{ConnectionId, Serial};
use crate::domain::issuer::Issued;
use crate::domain::message_keys::Person;
use crate::domain::names::key;
use crate::domain::permissions::Permissions;
use crate::domain::time::Now;
use crate::domain::tokens::Identity;
use crate::server::Server;
use crate::server::answer::{Exchange, Redeemed, json_response};
use crate::server::node::news::{Claim, Claimed};
use crate::server::peers::{Named, WaitsForName};
use crate::server::waiting::{Waiting, What};
use crate::wire::close_code::CloseCode;
use crate::wire::http::Request;
use crate::wire::jwt::KeyId;
use crate::wire::response::Response;

impl Server {
    /// Whether a handshake may go on, or has to wait for its name: then the serial under which it waits.
    pub(in crate::server) fn claim_name(&mut self, person: &Person, now: Now) -> Option<Serial> {
        let of = (Rc::from(&*key(&person.name)), person.clone());
        let node = self.chat.backend_mut().node_mut()?;
        // One that is still asked for may be refused: then each handshake has to be.
        if self
            .sharing
            .names
            .get(&of)
            .is_some_and(|name| name.is_granted)
        {
            return None;
        }
        let serial = self.jobs.next_serial();
        let claim = Claim {
            serial,
            key: of.0.clone(),
            person: person.clone(),
            is_renewal: false,
        };
        node.claim(claim, now);
        self.sharing.names.entry(of).or_default().count += 1;
        Some(serial)
    }

    /// Why the handshake that goes on now is refused, if it is.
    pub(in crate::server) fn take_name_refusal(&mut self) -> Option<CloseCode> {
        self.sharing.refused.take()
    }

    /// Who a connection is, where rooms are shared with other nodes.
    pub(in crate::server) fn named(&self, id: ConnectionId) -> Option<Named> {
        let people = self.chat.rooms().people();
        let user = people.user_of(id).filter(|_| self.is_shared())?;
        let person = people.person(user);
        Some((Rc::from(&*key(&person.name)), person))
    }

    /// A connection is one of somebody's, from here on.
    pub(in crate::server) fn hold_name(&mut self, id: ConnectionId) {
        if let Some(of) = self.named(id) {
            self.sharing.names.entry(of).or_default().count += 1;
        }
    }

    /// A connection, or a handshake, is one of somebody's no more.
    pub(in crate::server) fn release(&mut self, of: Named, now: Now) {
        let Some(name) = self.sharing.names.get_mut(&of) else {
            return;
        };
        name.count -= 1;
        if name.count > 0 {
            return;
        }
        let is_owed = name.may_be_held;
        self.sharing.names.remove(&of);
        if is_owed {
            self.unclaim(&of, now);
        }
    }

    /// Gives up a name that the engine has refused to take back, unless somebody has it here again.
    pub(super) fn unclaim_unused(&mut self, of: &Named, now: Now) {
        if !self.sharing.names.contains_key(of) {
            self.unclaim(of, now);
        }
    }

    fn unclaim(&mut self, (key, person): &Named, now: Now) {
        let is_visitor = person.is_account && !self.sign_ins.auth().has_key(key);
        let held_for = match person {
            Person {
                holder: Some(_), ..
            } => self.config.presence_grace,
            _ if is_visitor => SIGNED_IN_NAME_HELD_FOR,
            _ => Duration::ZERO,
        };
        if let Some(node) = self.chat.backend_mut().node_mut() {
            node.unclaim(key, person, held_for, now);
        }
    }

    /// Asks again for names here.
    pub(super) fn claim_again(&mut self, which: Again, now: Now) {
        let names = self.sharing.names.iter();
        let names = names.filter(|(of, name)| match which {
            Again::All => true,
            Again::Part(part) => part_of(&of.0) == part,
            Again::Unknown => !name.is_granted,
        });
        let names: Vec<Named> = names.map(|(of, _)| of.clone()).collect();
        let Some(node) = self.chat.backend_mut().node_mut() else {
            return;
        };
        for (key, person) in names {
            let claim = Claim {
                serial: Serial(0),
                key,
                person,
                is_renewal: true,
            };
            node.claim(claim, now);
        }
    }

    pub(super) fn claimed(&mut self, claim: Claim, claimed: Claimed, now: Now) {
        let Claim {
            serial,
            key,
            person,
            is_renewal,
        } = claim;
        let of = (key, person);
        let is_known = !matches!(claimed, Claimed::Unknown | Claimed::Unasked);
        if let Some(name) = self.sharing.names.get_mut(&of) {
            name.is_granted |= claimed == Claimed::Granted;
            name.may_be_held |= matches!(claimed, Claimed::Granted | Claimed::Unknown);
        }
        let refused = match claimed {
            Claimed::Granted | Claimed::Unknown | Claimed::Unasked => None,
            Claimed::Taken => Some(CloseCode::INVALID_TICKET),
            Claimed::Held => Some(CloseCode::NAME_TAKEN),
        };
        if is_renewal {
            if !is_known && let Some(name) = self.sharing.names.get_mut(&of) {
                name.is_granted = false;
                self.sharing.has_unclaimed = true;
            }
            if let Some(code) = refused {
                self.close_people(&of, code, now);
            }
            return;
        }
        match self.waiting.take(serial) {
            Some(waiting) if !is_known => {
                let refusal: Refusal = ErrorCode::BackendUnavailable.into();
                self.answer_waiting(serial, &waiting, Err(refusal), now);
            }
            Some(waiting) => {
                self.sharing.refused = refused;
                self.go_on_with_name(serial, waiting, now);
                self.sharing.refused = None;
            }
            None => {}
        }
        self.release(of, now);
    }

    /// Closes the connections of somebody whose name others have taken while this node was away.
    fn close_people(&mut self, of: &Named, code: CloseCode, now: Now) {
        let people = self.chat.rooms().people();
        let user = people.find(&of.1.name);
        let user = user.filter(|user| people.person(*user) == of.1);
        let connections = user.map_or(Vec::new(), |user| people.connections(user).to_vec());
        for id in connections {
            self.end_session(id, code, now);
        }
    }

    /// Redeems a ticket at the engine, if there is one.
    pub(in crate::server) fn redeem_at_engine(&mut self, ticket: &str, now: Now) -> Option<Serial> {
        let node = self.chat.backend_mut().node_mut()?;
        let serial = self.jobs.next_serial();
        node.redeem_ticket(serial, ticket, now);
        Some(serial)
    }

    /// Has a ticket kept for all nodes; the request is answered when it is.
    pub(in crate::server) fn keep_ticket(
        &mut self,
        id: ConnectionId,
        (ticket, identity): (String, &Identity),
        exchange: Exchange,
        now: Now,
    ) {
        let serial = self.jobs.next_serial();
        let ttl = self.config.ticket_ttl;
        if let Some(node) = self.chat.backend_mut().node_mut() {
            node.keep_ticket(serial, &ticket, &write_identity(identity), ttl, now);
        }
        self.wait_for(serial, id, exchange, What::TicketKept(ticket));
    }

    pub(super) fn answer_ticket(&mut self, serial: Serial, is_kept: bool, now: Now) {
        let Some(waiting) = self.waiting.take(serial) else {
            return;
        };
        let What::TicketKept(ticket) = &waiting.what else {
            return;
        };
        let expires_in = self.sign_ins.auth().ticket_ttl_secs();
        let response = || {
            let body = serde_json::json!({"ticket": ticket, "expires_in": expires_in});
            json_response(200, &body)
        };
        let answer: Result<Response, Refusal> = match is_kept {
            true => Ok(response()),
            false => Err(ErrorCode::BackendUnavailable.into()),
        };
        self.answer_waiting(serial, &waiting, answer, now);
    }

    /// The endpoint of a handshake whose name is asked for.
    pub(in crate::server) fn wait_for_name(
        &mut self,
        serial: Serial,
        id: ConnectionId,
        exchange: Exchange,
        request: Box<Request>,
        redeemed: Option<Redeemed>,
    ) {
        let waits = WaitsForName { request, redeemed };
        self.wait_for(serial, id, exchange, What::Name(waits));
    }

    /// The engine has answered for the name of a handshake: it goes on.
    pub(in crate::server) fn go_on_with_name(
        &mut self,
        serial: Serial,
        waiting: Waiting,
        now: Now,
    ) {
        if let What::Name(WaitsForName { request, redeemed }) = waiting.what
            && self.stop_waiting(waiting.connection, serial)
        {
            self.serve(waiting.connection, *request, redeemed, now);
        }
    }
}

/// Which names are asked for again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Again {
    All,
    /// Those of one part of [`ENGINE_RENEWAL_PARTS`].
    Part(u64),
    /// Those that the engine may not have.
    Unknown,
}

/// The part of a name with this key.
fn part_of(key: &str) -> u64 {
    let add = |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte));
    key.bytes().fold(0, add) % ENGINE_RENEWAL_PARTS
}

/// An identity, as it is kept with a ticket.
fn write_identity(identity: &Identity) -> String {
    let issued = match identity.issued {
        // Its second is not kept; what was issued here before is older.
        Issued::Here(_) => identity.authenticated_at,
        Issued::Elsewhere(at) => at,
    };
    // JSON has no line feed in a string. Nodes of before read the numbers only.
    let permissions = match identity.permissions.claims() {
        claims if claims.is_empty() => String::new(),
        claims => format!(" {}", Value::Object(claims)),
    };
    format!(
        "{} {} {} {} {}{permissions}\n{}\n{}",
        issued,
        identity.expires_at,
        identity.authenticated_at,
        u8::from(identity.is_ours),
        identity.key.0,
        // No name contains a line feed.
        identity.username,
        identity.family,
    )
}

pub(super) fn read_identity(text: &str) -> Option<Identity> {
    let mut lines = text.splitn(3, '\n');
    let mut parts = lines.next()?.splitn(6, ' ');
    let mut number = || -> Option<u64> { parts.next()?.parse().ok() };
    let (issued, expires_at, authenticated_at) = (number()?, number()?, number()?);
    let (is_ours, key) = (number()? == 1, KeyId(number()?));
    let permissions = match parts.next() {
        None => Permissions::usual(),
        Some(claims) => Permissions::of_claims(&serde_json::from_str(claims).ok()?).ok()?,
    };
    Some(Identity {
        username: lines.next()?.into(),
        family: lines.next()?.into(),
        issued: Issued::Elsewhere(issued),
        expires_at,
        authenticated_at,
        is_ours,
        key,
        permissions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::jwt::Key;

    fn identity(claims: &Value) -> Identity {
        let key = Key::new(None, &[1; 32]).expect("is long enough");
        let claims = claims.as_object().expect("is an object");
        Identity {
            username: "김 철수".into(),
            family: Identity::family_of("김 철수", "a b"),
            issued: Issued::Elsewhere(1),
            expires_at: 2,
            authenticated_at: 3,
            is_ours: false,
            key: key.key_id(),
            permissions: Permissions::of_claims(claims).expect("is valid"),
        }
    }

    #[test]
    fn an_identity_is_read_as_it_was_written_also_by_nodes_that_know_no_permissions() {
        for claims in [
            serde_json::json!({}),
            serde_json::json!({"admin": true}),
            serde_json::json!({"rooms": ["a b\n*", "방 7"], "write": []}),
        ] {
            let identity = identity(&claims);
            let text = write_identity(&identity);
            assert_eq!(read_identity(&text), Some(identity.clone()), "{text}");
            let (head, rest) = text.split_once('\n').expect("has lines");
            assert_eq!(rest, "김 철수\n김 철수\na b");
            let numbers: Vec<&str> = head.splitn(6, ' ').take(5).collect();
            let of_before = format!("{}\n{rest}", numbers.join(" "));
            let permissions = Permissions::usual();
            let usual = Identity {
                permissions,
                ..identity
            };
            assert_eq!(read_identity(&of_before), Some(usual));
        }
        let text = write_identity(&identity(&serde_json::json!({"admin": true})));
        for wrong in ["{", "[]", "{\"admin\":1}"] {
            assert_eq!(
                read_identity(&text.replace("{\"admin\":true}", wrong)),
                None
            );
        }
    }
}
