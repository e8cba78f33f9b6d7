//! Tickets that are redeemed by a remote backend: handshakes and commands that wait for its answer.

use std::time::Duration;

use sarang::config::{BACKEND_PATIENCE, Config};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::auth::BadTicket;
use sarang::domain::credentials::{Credentials, Reload};
use sarang::domain::ids::{ConnectionId, Serial};
use sarang::domain::issuer::Issued;
use sarang::domain::permissions::Permissions;
use sarang::domain::tokens::Identity;
use sarang::server::jobs::{Done, Job};
use sarang::wire::jwt::Key;
use serde_json::{Value, json};

use crate::late::{Late, kinds};
use crate::world::{opening, read_frames, text_frame};

const SECOND: Duration = Duration::from_secs(1);

/// An opening handshake with a ticket that is redeemed by the backend.
fn shake_hands(late: &mut Late, target: &str) -> (ConnectionId, Serial) {
    let id = late.world.connect();
    let head = format!(
        "GET {target}?ticket=t HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let join = text_frame(&json!({"type": "room_list"}).to_string());
    late.world.receive(id, &[head.as_bytes(), &join].concat());
    let (serial, ()) = late.asked(|job| match job {
        Job::RedeemTicket(ticket) => {
            assert_eq!(ticket.0, "t");
            Some(())
        }
        _ => None,
    });
    (id, serial)
}

/// The secret of every world.
fn key() -> Key {
    Key::new(None, &[2; 32]).expect("is long enough")
}

fn identity(late: &Late) -> Identity {
    Identity {
        username: "admin".into(),
        family: Identity::family_of("admin", "7"),
        issued: Issued::Elsewhere(0),
        expires_at: late.world.now.unix.as_secs() + 3_600,
        authenticated_at: 0,
        is_ours: false,
        key: key().key_id(),
        permissions: Permissions::usual(),
    }
}

/// The messages of a WebSocket after the 101 response.
fn told_after_101(late: &mut Late, id: ConnectionId) -> Vec<Value> {
    let bytes = std::mem::take(&mut late.world.wire(id).bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let (told, _) = read_frames(&bytes[end.expect("has answered") + 4..]);
    told
}

#[test]
fn a_handshake_waits_before_101_until_it_is_known_whose_ticket_it_shows() {
    let mut late = Late::new(Config::default());
    let (a, serial) = shake_hands(&mut late, "/ws");
    assert!(late.world.wire(a).bytes.is_empty());
    let redeemed = Done::TicketRedeemed(Some(Ok(identity(&late))));
    late.finish(serial, redeemed);
    let told = told_after_101(&mut late, a);
    assert_eq!(kinds(&told), ["welcome", "room_list"]);
    assert_eq!(told[0]["username"], "admin");
}

#[test]
fn a_ticket_that_is_unknown_elsewhere_closes_with_4001() {
    let mut late = Late::new(Config::default());
    let (a, serial) = shake_hands(&mut late, "/ws");
    let unknown = Err(BadTicket::Unknown);
    late.finish(serial, Done::TicketRedeemed(Some(unknown)));
    assert_eq!(told_after_101(&mut late, a), [json!({"close": 4001})]);
}

#[test]
fn a_handshake_that_is_not_answered_in_time_is_503_and_whoever_gets_its_slot_is_not_let_in() {
    let mut late = Late::new(Config::default());
    let (a, serial) = shake_hands(&mut late, "/ws");
    late.world.pass(BACKEND_PATIENCE + SECOND);
    let answer = String::from_utf8_lossy(&late.world.wire(a).bytes).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    late.world.server.closed(a, late.world.now);
    late.world.turn();
    assert_eq!(late.world.server.waiting_count(), 0, "nobody waits");
    let stranger = late.world.connect();
    assert_eq!(stranger, a, "the slot is used again");
    let redeemed = Done::TicketRedeemed(Some(Ok(identity(&late))));
    late.finish(serial, redeemed);
    assert!(late.world.wire(stranger).bytes.is_empty());
    assert_eq!(late.world.server.rooms().people().count(), 0);
}

/// Puts other accounts and secrets in force.
fn put_in_force(late: &mut Late, accounts: &str, keys: Vec<Key>) {
    late.world.server.reload();
    let (reload, in_force) = late.asked(|job| match job {
        Job::ReadCredentials(in_force) => Some(in_force),
        _ => None,
    });
    let newer = Credentials {
        accounts: Accounts::parse(accounts, [1; 32]).expect("reads").into(),
        keys,
        api_keys: ApiKeys::default(),
    };
    let newer = Box::new(Reload::new(newer, &in_force));
    late.finish(reload, Done::CredentialsRead(Ok(newer)));
}

#[test]
fn a_ticket_whose_key_is_taken_out_of_force_while_it_is_redeemed_opens_nothing() {
    let other = Key::new(None, &[3; 32]).expect("is long enough");
    for (keys, news) in [
        (vec![key(), other.clone()], json!({"type": "welcome"})),
        (vec![other], json!({"close": 4001})),
    ] {
        let mut late = Late::new(Config::default());
        let (a, serial) = shake_hands(&mut late, "/ws");
        put_in_force(&mut late, DEMO_ACCOUNTS, keys);
        let redeemed = Done::TicketRedeemed(Some(Ok(identity(&late))));
        late.finish(serial, redeemed);
        let told = told_after_101(&mut late, a);
        assert_eq!(told[0].get("type"), news.get("type"), "{told:?}");
        assert_eq!(told[0].get("close"), news.get("close"), "{told:?}");
    }
}

#[test]
fn a_token_that_is_revoked_or_expires_while_its_ticket_is_redeemed_opens_nothing() {
    let mut late = Late::new(Config::default());
    let (a, serial) = shake_hands(&mut late, "/ws");
    put_in_force(&mut late, "", vec![key()]);
    let gone = identity(&late);
    late.finish(serial, Done::TicketRedeemed(Some(Ok(gone))));
    assert_eq!(told_after_101(&mut late, a), [json!({"close": 4001})]);
    late.world.jobs.clear();
    let (b, serial) = shake_hands(&mut late, "/ws");
    let expired = Identity {
        username: "kim".into(),
        family: Identity::family_of("kim", "8"),
        expires_at: late.world.now.unix.as_secs(),
        ..identity(&late)
    };
    late.finish(serial, Done::TicketRedeemed(Some(Ok(expired))));
    assert_eq!(told_after_101(&mut late, b), [json!({"close": 4002})]);
}

#[test]
fn a_ticket_that_cannot_be_redeemed_now_is_503() {
    let mut late = Late::new(Config::default());
    let (a, serial) = shake_hands(&mut late, "/ws");
    late.finish(serial, Done::TicketRedeemed(None));
    let answer = String::from_utf8_lossy(&late.world.wire(a).bytes).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("backend_unavailable"), "{answer}");
}

#[test]
fn a_session_is_extended_when_its_ticket_is_redeemed_and_what_follows_waits() {
    let mut late = Late::new(Config::default());
    let (a, serial) = shake_hands(&mut late, "/ws");
    let redeemed = Done::TicketRedeemed(Some(Ok(identity(&late))));
    late.finish(serial, redeemed);
    told_after_101(&mut late, a);
    for (answer, expected) in [
        (true, ["welcome", "room_list"]),
        (false, ["backend_unavailable", "room_list"]),
    ] {
        late.say(a, json!({"type": "auth", "ticket": "u", "id": "x"}));
        late.say(a, json!({"type": "room_list"}));
        let (serial, ()) = late.asked(|job| match job {
            Job::RedeemTicket(_) => Some(()),
            _ => None,
        });
        assert_eq!(late.world.told(a), [json!(null); 0]);
        let later = Identity {
            expires_at: late.world.now.unix.as_secs() + 7_200,
            ..identity(&late)
        };
        late.finish(serial, Done::TicketRedeemed(answer.then_some(Ok(later))));
        assert_eq!(kinds(&late.world.told(a)), expected);
    }
}

#[test]
fn nothing_is_kept_of_clients_that_leave_while_they_wait() {
    let mut late = Late::new(Config::default());
    let (a, serial) = shake_hands(&mut late, "/ws");
    late.world.server.closed(a, late.world.now);
    assert_eq!(late.world.server.waiting_count(), 0);
    late.finish(serial, Done::TicketRedeemed(None));
    let (b, serial) = shake_hands(&mut late, "/ws");
    let redeemed = Done::TicketRedeemed(Some(Ok(identity(&late))));
    late.finish(serial, redeemed);
    late.say(b, json!({"type": "auth", "ticket": "u"}));
    assert_eq!(late.world.server.waiting_count(), 1);
    late.world.server.closed(b, late.world.now);
    late.world.turn();
    assert_eq!(late.world.server.waiting_count(), 0);
    late.world.pass(60 * SECOND);
    assert!(late.world.server.is_idle());
}

#[test]
fn guests_take_no_place_of_a_signed_in_user_of_their_name() {
    let mut late = Late::new(Config {
        guests: true,
        connections_per_user: 2,
        ..Config::default()
    });
    let guests = ["kim"; 2].map(|name| late.world.guest(name));
    let one_too_many = late.world.connect();
    late.world.receive(one_too_many, opening("kim").as_bytes());
    late.world.turn();
    let told = told_after_101(&mut late, one_too_many);
    assert_eq!(told, [json!({"close": 1013})]);
    let kim = Identity {
        username: "kim".into(),
        family: Identity::family_of("kim", "8"),
        ..identity(&late)
    };
    for expected in ["welcome", "welcome", "1013"] {
        let (id, serial) = shake_hands(&mut late, "/ws");
        let redeemed = Done::TicketRedeemed(Some(Ok(kim.clone())));
        late.finish(serial, redeemed);
        let told = told_after_101(&mut late, id);
        let kind = told[0]["type"].as_str();
        let code = told[0]["close"].to_string();
        assert_eq!(kind.unwrap_or(&code), expected);
    }
    for guest in guests {
        assert_eq!(late.world.told(guest), [json!({"close": 4001})]);
    }
    // A guest learns only that the name is taken, as before.
    let stranger = late.world.connect();
    late.world.receive(stranger, opening("kim").as_bytes());
    late.world.turn();
    assert_eq!(
        told_after_101(&mut late, stranger),
        [json!({"close": 4001})]
    );
}
