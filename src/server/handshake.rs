//! Opening handshakes: admission, and the switch to WebSocket (RFC 6455 section 4.2.2).

use std::time::Duration;

use super::Server;
use super::answer::{Endpoint, Exchange, Redeemed, is_allowed_origin};
use super::sign_ins::NoGuest;
use super::waiting::What;
use crate::config::{Level, NEWCOMER_READS};
use crate::conn::Phase;
use crate::conn::refusal::Refusal;
use crate::conn::websocket::WebSocket;
use crate::domain::auth::BadTicket;
use crate::domain::ban::Ban;
use crate::domain::holders::is_valid_key;
use crate::domain::ids::{ConnectionId, HolderId, Serial};
use crate::domain::message_keys::Person;
use crate::domain::moderation::PutOut;
use crate::domain::names::{is_valid_username, key, nfc};
use crate::domain::time::{Now, Timestamp};
use crate::domain::tokens::Identity;
use crate::wire::close_code::CloseCode;
use crate::wire::http::Request;
use crate::wire::response::Response;

/// The identity of an admitted WebSocket.
enum Admitted {
    /// With a key: who they are by it.
    Guest(String, Option<HolderId>),
    Account(Identity),
    /// `/ws-echo` needs no identity.
    Anonymous,
}

impl Admitted {
    /// Who that is.
    fn person(&self) -> Option<Person> {
        let (name, is_account, holder) = match self {
            Self::Guest(name, holder) => (name.as_str().into(), false, *holder),
            Self::Account(identity) => (identity.username.clone(), true, None),
            Self::Anonymous => return None,
        };
        Some(Person {
            name,
            is_account,
            holder,
        })
    }
}

/// The outcome of a handshake.
enum Admission {
    Open(Admitted),
    /// The handshake is completed, and a close frame gives the reason: a browser shows a page nothing else.
    Refuse(CloseCode),
    /// The same for somebody who is banned, who is told why.
    Banned(Ban),
    /// The ticket must be redeemed by a job first.
    Redeem(String),
    /// Guests from this address are refused without a handshake (429), for this time.
    Throttle(Duration),
}

impl Server {
    /// A ticket was redeemed elsewhere. Its token may have been revoked here while that took time.
    pub(super) fn ticket_redeemed(&mut self, serial: Serial, redeemed: Option<Redeemed>, now: Now) {
        let auth = self.sign_ins.auth();
        let check =
            |redeemed: Redeemed| redeemed.and_then(|identity| auth.check_redeemed(identity, now));
        let redeemed = redeemed.map(check);
        match self.waiting.take(serial) {
            Some(waiting) => self.answer_with_ticket(serial, waiting, redeemed, now),
            None => self.extension_redeemed(serial, redeemed, now),
        }
    }

    /// Completes a handshake, at once or after a job has redeemed its ticket.
    pub(super) fn complete_handshake(
        &mut self,
        id: ConnectionId,
        mut exchange: Exchange,
        response: Response,
        (request, endpoint): (Box<Request>, Endpoint),
        redeemed: Option<Redeemed>,
        now: Now,
    ) {
        let kept = redeemed.clone().filter(|_| self.is_shared());
        let admission = match self.admit(id, &request, endpoint, redeemed, now) {
            Admission::Redeem(ticket) => {
                let serial = self.redeem_by_job(ticket, now);
                return self.wait_for(serial, id, exchange, What::Ticket(request));
            }
            Admission::Throttle(wait) => {
                self.note(Level::Info, "guest_throttled", id, &[], now);
                let refusal = Refusal::too_many_requests(wait);
                return self.respond_and_go_on(id, &exchange, Err(refusal), now);
            }
            admission => admission,
        };
        let admission = match self.take_name_refusal() {
            Some(code) => Admission::Refuse(code),
            None => admission,
        };
        if let Admission::Open(admitted) = &admission
            && let Some(person) = admitted.person()
            && let Some(serial) = self.claim_name(&person, now)
        {
            return self.wait_for_name(serial, id, exchange, request, kept);
        }
        exchange.framing.keep_alive = true;
        self.respond(id, &exchange, Ok(response));
        match &admission {
            Admission::Refuse(code) => self.note_refused_name(id, &request, *code, now),
            Admission::Banned(_) => self.note_refused_name(id, &request, CloseCode::PUT_OUT, now),
            _ => {}
        }
        self.open_websocket(id, endpoint, admission, now);
    }

    fn note_refused_name(
        &mut self,
        id: ConnectionId,
        request: &Request,
        code: CloseCode,
        now: Now,
    ) {
        let tried = request.parameter("username").ok().flatten();
        self.audit_refused(id, &tried.unwrap_or_default(), code, now);
    }

    /// Decides whether a client is admitted.
    fn admit(
        &mut self,
        id: ConnectionId,
        request: &Request,
        endpoint: Endpoint,
        redeemed: Option<Redeemed>,
        now: Now,
    ) -> Admission {
        if self.connections.is_draining {
            return Admission::Refuse(CloseCode::GOING_AWAY);
        }
        if !is_allowed_origin(&self.config, request) {
            return Admission::Refuse(CloseCode::FORBIDDEN_ORIGIN);
        }
        if endpoint == Endpoint::Echo {
            return Admission::Open(Admitted::Anonymous);
        }
        // A ticket takes precedence over a username: a page whose ticket has expired must not silently become a guest.
        let redeemed = match (redeemed, request.parameter("ticket")) {
            (_, Err(_)) => return Admission::Refuse(CloseCode::INVALID_TICKET),
            (_, Ok(None)) => return self.admit_guest(id, request, now),
            (Some(redeemed), _) => redeemed,
            (None, Ok(Some(ticket))) if self.chat.backend().redeems_tickets() => {
                return Admission::Redeem(ticket);
            }
            (None, Ok(Some(ticket))) => self.sign_ins.auth_mut().redeem(&ticket, now),
        };
        match redeemed {
            Ok(identity) if self.is_at_limit(self.connections_of_account(&identity.username)) => {
                Admission::Refuse(CloseCode::TOO_MANY_CONNECTIONS)
            }
            Ok(identity) => match self.ban_of(&identity, now) {
                Some(ban) => Admission::Banned(ban),
                None => Admission::Open(Admitted::Account(identity)),
            },
            Err(BadTicket::TokenExpired) => Admission::Refuse(CloseCode::TOKEN_EXPIRED),
            Err(BadTicket::Unknown) => Admission::Refuse(CloseCode::INVALID_TICKET),
        }
    }

    fn admit_guest(&mut self, id: ConnectionId, request: &Request, now: Now) -> Admission {
        let name = request.parameter("username").ok().flatten();
        let name = name.map(|name| nfc(&name).into_owned());
        let is_possible = |name: &String| self.config.takes_guests() && is_valid_username(name);
        let Some(name) = name.filter(is_possible) else {
            return Admission::Refuse(CloseCode::INVALID_TICKET);
        };
        if let Some(ban) = self.ban_of_name(&name, now) {
            return Admission::Banned(ban);
        }
        let secret = match request.parameter("key") {
            Ok(secret) if secret.as_deref().is_none_or(is_valid_key) => secret,
            _ => return Admission::Refuse(CloseCode::INVALID_TICKET),
        };
        match self.admit_name(id, &key(&name), secret.as_deref(), now) {
            Ok(holder) => Admission::Open(Admitted::Guest(name, holder)),
            Err(refused) => refused,
        }
    }

    /// Admits a guest under a name with this key, perhaps with a secret to hold it by. With a secret, returns who they are.
    fn admit_name(
        &mut self,
        id: ConnectionId,
        name_key: &str,
        secret: Option<&str>,
        now: Now,
    ) -> Result<Option<HolderId>, Admission> {
        let address = self.connections.address(id);
        let admitted = self
            .sign_ins
            .admit_guest(name_key, secret, address, now.monotonic);
        let holder = admitted.map_err(|refused| match refused {
            NoGuest::Taken => Admission::Refuse(CloseCode::INVALID_TICKET),
            NoGuest::Held => Admission::Refuse(CloseCode::NAME_TAKEN),
            NoGuest::Throttled(wait) => Admission::Throttle(wait),
        })?;
        let people = self.chat.rooms().people();
        let guests = || people.guests_alike(name_key);
        // Guests without a key, or with another one, are here under the name.
        if holder.is_some() && guests().any(|guest| people.holder(guest) != holder) {
            return Err(Admission::Refuse(CloseCode::NAME_TAKEN));
        }
        // They count as one, so that whoever closes them has few to close.
        let connections = guests().map(|guest| people.connections(guest).len());
        match self.is_at_limit(connections.sum()) {
            true => Err(Admission::Refuse(CloseCode::TOO_MANY_CONNECTIONS)),
            false => Ok(holder),
        }
    }

    /// Switches the connection to WebSocket.
    fn open_websocket(
        &mut self,
        id: ConnectionId,
        endpoint: Endpoint,
        admission: Admission,
        now: Now,
    ) {
        let Phase::Http(http) = &mut self.connections[id].phase else {
            return;
        };
        // If the handshake waited for a job, the connection has kept the bytes behind it.
        let kept = http.receive(&[]);
        let websocket = WebSocket {
            generation: self.connections.next_generation(),
            is_echo: endpoint == Endpoint::Echo,
            ..WebSocket::default()
        };
        self.connections.set_phase(id, Phase::WebSocket(websocket));
        self.connections[id].demanding_reads = NEWCOMER_READS;
        self.connections
            .set_deadline(id, now.monotonic + self.config.ping_interval);
        match admission {
            Admission::Refuse(code) => {
                return self.close_websocket(id, code, now);
            }
            Admission::Banned(ban) => {
                let put_out = PutOut {
                    reason: ban.reason.clone(),
                    until: Some(ban.ends()),
                };
                return self.close_put_out(id, &put_out, now);
            }
            Admission::Open(admitted) => {
                let is_anonymous = matches!(admitted, Admitted::Anonymous);
                self.enter_admitted(id, admitted, now);
                self.hold_name(id);
                if !is_anonymous {
                    self.audit_connection("connected", id, now);
                }
            }
            Admission::Redeem(_) | Admission::Throttle(_) => {}
        }
        self.settle(now);
        self.receive_behind_upgrade(id, kept.rest(), now);
    }

    fn enter_admitted(&mut self, id: ConnectionId, admitted: Admitted, now: Now) {
        match admitted {
            Admitted::Guest(name, holder) => {
                let (rooms, effects) = self.chat.rooms_mut();
                match holder {
                    None => rooms.enter(id, &name, None, effects),
                    Some(holder) => {
                        rooms.enter_holder(id, &name, holder, effects);
                        self.sign_ins.enter_holder(id, &name, holder);
                    }
                }
            }
            Admitted::Account(identity) => self.enter_signed_in(id, identity, now),
            Admitted::Anonymous => {}
        }
    }

    /// How many connections somebody who signed in has. Guests make way for them, so they do not count.
    fn connections_of_account(&self, name: &str) -> usize {
        let people = self.chat.rooms().people();
        let user = people.find(name).filter(|user| people.is_account(*user));
        user.map_or(0, |user| people.connections(user).len())
    }

    /// Whether somebody with so many connections has as many as one may have. The newest is refused, not the oldest closed:
    /// anybody may take a guest's name, and could throw out everybody who goes by it.
    fn is_at_limit(&self, connections: usize) -> bool {
        connections >= self.config.connections_per_user
    }

    /// Closes the guests whose names have this key. There are none while somebody who signed in has it.
    pub(super) fn close_guests(&mut self, key: &str, now: Now) {
        let people = self.chat.rooms().people();
        let guests = people.guests_alike(key);
        let connections: Vec<_> = guests
            .flat_map(|user| people.connections(user))
            .copied()
            .collect();
        for id in connections {
            debug_assert!(self.sign_ins.auth().sessions.of(id).is_none());
            self.close_websocket(id, CloseCode::INVALID_TICKET, now);
        }
    }

    /// Enters a signed-in user. Guests whose names have the same key are closed.
    fn enter_signed_in(&mut self, id: ConnectionId, identity: Identity, now: Now) {
        self.close_guests(&key(&identity.username), now);
        let expires_at = Some(Timestamp::from_secs(identity.expires_at));
        // It may have waited for its name since it was read.
        let identity = self.sign_ins.auth().renewed(identity);
        let (rooms, effects) = self.chat.rooms_mut();
        rooms.set_permissions(id, identity.permissions.clone());
        rooms.enter(id, &identity.username, expires_at, effects);
        self.sign_ins.auth_mut().sessions.open(id, identity, now);
    }
}
