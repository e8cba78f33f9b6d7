//! Tokens, tickets and sessions that end: by time, by a logout, by a reload.

use super::*;
use crate::domain::accounts::DEMO_ACCOUNTS;
use crate::domain::api_keys::ApiKeys;
use crate::domain::credentials::parse_secrets;
use crate::wire::jwt::Key;
use serde_json::Value;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const TTL: u64 = 3_600;

fn credentials(accounts: &str, keys: Vec<Key>) -> Credentials {
    Credentials {
        accounts: Accounts::parse(accounts, [0; 32]).expect("reads").into(),
        keys,
        api_keys: ApiKeys::default(),
    }
}

fn keys() -> Vec<Key> {
    parse_secrets(&format!("a:{SECRET}")).expect("reads")
}

/// Puts other accounts in force; returns the names that were signed out.
fn reload(auth: &mut Auth, accounts: &str, now: Now) -> Vec<String> {
    let mut reload = Reload::new(credentials(accounts, keys()), auth.accounts());
    let ended = auth.reload(&mut reload, now);
    assert_eq!(ended, Ended::default(), "there are no sessions");
    reload.gone.iter().map(|name| name.to_string()).collect()
}

fn auth() -> Auth {
    let credentials = credentials(DEMO_ACCOUNTS, keys());
    Auth::new(credentials, TTL, Duration::from_secs(30), &[7; 32])
}

fn at(seconds: u64) -> Now {
    Now {
        monotonic: Duration::from_secs(seconds),
        unix: Duration::from_secs(1_700_000_000 + seconds),
    }
}

/// A token for the demo's account, issued at second 0, and its identity.
fn signed_in(auth: &mut Auth) -> (String, Identity) {
    let (token, ttl) = auth
        .issue_token("admin", 1_700_000_000, at(0))
        .expect("signs");
    assert_eq!(ttl, TTL);
    let bearer = format!("Bearer {token}");
    let identity = auth.authenticate(Some(&bearer), at(0)).expect("is good");
    (bearer, identity)
}

#[test]
fn a_bearer_token_names_its_account_until_it_expires() {
    let mut auth = auth();
    assert!(auth.has_account("admin") && !auth.has_account("kim"));
    let (bearer, identity) = signed_in(&mut auth);
    assert_eq!((&*identity.username, identity.is_ours), ("admin", true));
    let lower = bearer.replace("Bearer ", "bearer   ");
    assert!(auth.authenticate(Some(&lower), at(TTL - 1)).is_ok());
    let late = auth.authenticate(Some(&bearer), at(TTL));
    assert_eq!(late, Err(Denied::Invalid(Refused("the token has expired"))));
    for other in [None, Some("Bearer"), Some("Basic YTpi")] {
        assert_eq!(auth.authenticate(other, at(0)), Err(Denied::Missing));
    }
}

#[test]
fn a_token_is_refreshed_for_a_day_and_only_if_it_is_ours() {
    let mut auth = auth();
    let (_, identity) = signed_in(&mut auth);
    for (seconds, is_good) in [
        (0, true),
        (REFRESH_SECS_MAX - 1, true),
        (REFRESH_SECS_MAX, false),
    ] {
        let refreshed = auth.refresh(&identity, at(seconds));
        assert_eq!(refreshed.is_ok(), is_good, "{seconds}");
        if let Ok((token, ttl)) = refreshed {
            let bearer = format!("Bearer {token}");
            let newer = auth
                .authenticate(Some(&bearer), at(seconds))
                .expect("is good");
            assert_eq!((newer.authenticated_at, ttl), (1_700_000_000, TTL));
        }
    }
    let foreign = Identity {
        is_ours: false,
        ..identity
    };
    assert!(auth.refresh(&foreign, at(0)).is_err());
}

#[test]
fn a_ticket_opens_once_in_time_and_while_its_token_is_good() {
    let mut auth = auth();
    assert_eq!(auth.ticket_ttl_secs(), 30);
    let (_, identity) = signed_in(&mut auth);
    let mut redeemed = |seconds, later| {
        let ticket = auth
            .issue_ticket(identity.clone(), at(seconds))
            .expect("has room");
        let first = auth.redeem(&ticket, at(seconds + later));
        (first, auth.redeem(&ticket, at(seconds + later)))
    };
    let unknown = Err(BadTicket::Unknown);
    assert_eq!(redeemed(0, 29), (Ok(identity.clone()), unknown.clone()));
    assert_eq!(redeemed(0, 30), (unknown.clone(), unknown.clone()));
    let last = TTL - 1;
    assert_eq!(redeemed(last, 0), (Ok(identity.clone()), unknown.clone()));
    assert_eq!(redeemed(last, 1), (Err(BadTicket::TokenExpired), unknown));
}

#[test]
fn what_was_revoked_or_has_lost_its_account_is_refused() {
    let mut auth = auth();
    let (bearer, identity) = signed_in(&mut auth);
    let ticket = auth
        .issue_ticket(identity.clone(), at(0))
        .expect("has room");
    auth.sessions.open(ConnectionId(3), identity.clone(), at(0));
    let ended = auth.revoke(&identity, at(1));
    assert_eq!(ended.connections, [ConnectionId(3)]);
    let revoked = Err(Denied::Invalid(Refused("the token was revoked")));
    assert_eq!(auth.authenticate(Some(&bearer), at(1)), revoked);
    assert_eq!(auth.redeem(&ticket, at(1)), Err(BadTicket::Unknown));

    let mut auth = self::auth();
    let (bearer, _) = signed_in(&mut auth);
    assert_eq!(reload(&mut auth, DEMO_ACCOUNTS, at(1)), [""; 0]);
    assert!(auth.authenticate(Some(&bearer), at(1)).is_ok());
    assert_eq!(reload(&mut auth, "", at(1)), ["admin"]);
    let gone = Err(Denied::Invalid(Refused("the token's account is gone")));
    assert_eq!(auth.authenticate(Some(&bearer), at(1)), gone);
    assert_eq!(auth.issue_token("admin", 0, at(2)), None);
    assert_eq!(reload(&mut auth, DEMO_ACCOUNTS, at(2)), [""; 0]);
    assert_eq!(auth.authenticate(Some(&bearer), at(2)), revoked);
}

#[test]
fn a_sign_in_in_the_second_of_its_accounts_return_is_good_and_older_ones_stay_revoked() {
    let mut auth = auth();
    let (before, identity) = signed_in(&mut auth);
    reload(&mut auth, "", at(0));
    reload(&mut auth, DEMO_ACCOUNTS, at(0));
    let (after, _) = signed_in(&mut auth);
    let revoked = Err(Denied::Invalid(Refused("the token was revoked")));
    let years = 3 * 366 * 24 * 60 * 60;
    for seconds in [0, TTL - 1] {
        assert_eq!(auth.authenticate(Some(&before), at(seconds)), revoked);
        assert!(auth.authenticate(Some(&after), at(seconds)).is_ok());
    }
    let token = Identity {
        expires_at: u64::MAX,
        ..identity
    };
    assert_eq!(
        auth.check_redeemed(token, at(years)),
        Err(BadTicket::Unknown)
    );
}

#[test]
fn a_token_of_another_back_end_ends_with_the_password_of_its_name_and_later_ones_are_good() {
    let mut auth = auth();
    let bearer = |iat: u64| {
        let claims =
            json!({"sub": "admin", "iat": 1_700_000_000 + iat, "exp": 253_402_300_799_u64});
        format!("Bearer {}", keys()[0].sign(&claims))
    };
    assert!(auth.authenticate(Some(&bearer(0)), at(1)).is_ok());
    reload(&mut auth, &other_password(), at(1));
    let revoked = Err(Denied::Invalid(Refused("the token was revoked")));
    let years = 3 * 366 * 24 * 60 * 60;
    for seconds in [1, 25 * 60 * 60, years] {
        assert_eq!(auth.authenticate(Some(&bearer(0)), at(seconds)), revoked);
        assert_eq!(auth.authenticate(Some(&bearer(1)), at(seconds)), revoked);
        assert!(auth.authenticate(Some(&bearer(2)), at(seconds)).is_ok());
    }
}

#[test]
fn a_logout_ends_what_was_refreshed_from_its_sign_in_and_no_other_sign_in() {
    let mut auth = auth();
    let (_, owner) = signed_in(&mut auth);
    let (other, _) = signed_in(&mut auth);
    let (token, _) = auth.refresh(&owner, at(5)).expect("is refreshed");
    let stolen = format!("Bearer {token}");
    let thief = auth.authenticate(Some(&stolen), at(5)).expect("is good");
    assert_eq!(thief.family, owner.family);
    let ticket = auth.issue_ticket(thief.clone(), at(5)).expect("has room");
    auth.sessions.open(ConnectionId(3), thief.clone(), at(5));
    assert_eq!(auth.revoke(&owner, at(6)).connections, [ConnectionId(3)]);
    let revoked = Err(Denied::Invalid(Refused("the token was revoked")));
    assert_eq!(auth.authenticate(Some(&stolen), at(6)), revoked);
    assert_eq!(auth.redeem(&ticket, at(6)), Err(BadTicket::Unknown));
    // Until the last of its tokens has expired, also if others log out.
    let (_, another) = signed_in(&mut auth);
    auth.revoke(&another, at(TTL + 4));
    assert_eq!(auth.authenticate(Some(&stolen), at(TTL + 4)), revoked);
    assert!(auth.authenticate(Some(&other), at(6)).is_ok());
}

#[test]
fn an_expired_token_of_ours_still_logs_out_while_a_thief_may_hold_a_newer_one() {
    let mut auth = auth();
    let (bearer, owner) = signed_in(&mut auth);
    let (token, _) = auth.refresh(&owner, at(TTL - 1)).expect("is refreshed");
    let stolen = format!("Bearer {token}");
    let expired = Err(Denied::Invalid(EXPIRED));
    assert_eq!(auth.authenticate(Some(&bearer), at(TTL)), expired);
    let identity = auth.authenticate_to_log_out(Some(&bearer), at(TTL));
    auth.revoke(&identity.expect("may log out"), at(TTL));
    let revoked = Err(Denied::Invalid(Refused("the token was revoked")));
    assert_eq!(auth.authenticate(Some(&stolen), at(TTL)), revoked);
    // Not when nothing of the sign-in can be good any more, nor for another back end, whose tokens have no family.
    let over = at(REFRESH_SECS_MAX + TTL);
    let (bearer, _) = signed_in(&mut self::auth());
    let fresh = self::auth();
    assert!(
        fresh
            .authenticate_to_log_out(Some(&bearer), at(REFRESH_SECS_MAX))
            .is_ok()
    );
    assert_eq!(fresh.authenticate_to_log_out(Some(&bearer), over), expired);
    let claims = json!({"sub": "kim", "exp": 1_700_000_005});
    let foreign = format!("Bearer {}", keys()[0].sign(&claims));
    assert!(fresh.authenticate_to_log_out(Some(&foreign), at(4)).is_ok());
    assert_eq!(
        fresh.authenticate_to_log_out(Some(&foreign), at(5)),
        expired
    );
}

#[test]
fn refreshing_is_throttled_for_a_user_and_for_no_other() {
    let mut auth = auth();
    let (_, identity) = signed_in(&mut auth);
    assert!((0..REFRESHES_MAX).all(|_| auth.refresh(&identity, at(1)).is_ok()));
    let throttled = Err(NotRefreshed::Throttled(REFRESH_REFILL));
    assert_eq!(auth.refresh(&identity, at(1)), throttled);
    // Also with the token of another sign-in.
    let (_, another) = signed_in(&mut auth);
    assert_eq!(auth.refresh(&another, at(1)), throttled);
    assert!(
        auth.refresh(&identity, at(1 + REFRESH_REFILL.as_secs()))
            .is_ok()
    );
    let kim = Identity {
        username: "kim".into(),
        family: Identity::family_of("kim", "s"),
        ..identity
    };
    let no_account = Err(NotRefreshed::Invalid(Refused(
        "no secret signs tokens here",
    )));
    assert_eq!(auth.refresh(&kim, at(1)), no_account);
}

#[test]
fn what_rests_on_a_key_ends_with_it() {
    let (a, b) = (
        format!("a:{SECRET}"),
        format!("b:{}", SECRET.to_uppercase()),
    );
    let both = format!("{b}\n{a}");
    let started =
        |secrets: &str| credentials(DEMO_ACCOUNTS, parse_secrets(secrets).expect("reads"));
    let mut auth = Auth::new(started(&a), TTL, Duration::from_secs(30), &[7; 32]);
    let (_, old) = signed_in(&mut auth);
    let reload = |auth: &mut Auth, secrets: &str| {
        let mut reload = Reload::new(started(secrets), auth.accounts());
        auth.reload(&mut reload, at(1)).connections
    };
    assert_eq!(reload(&mut auth, &both), []);
    let (_, new) = signed_in(&mut auth);
    assert_ne!(old.key, new.key);
    auth.sessions.open(ConnectionId(3), old.clone(), at(1));
    auth.sessions.open(ConnectionId(4), new.clone(), at(1));
    let ticket =
        |auth: &mut Auth, of: &Identity| auth.issue_ticket(of.clone(), at(1)).expect("has room");
    let tickets = [&old, &new].map(|identity| ticket(&mut auth, identity));
    // Both are still there.
    assert_eq!(reload(&mut auth, &both), []);
    assert_eq!(reload(&mut auth, &b), [ConnectionId(3)]);
    assert_eq!(auth.redeem(&tickets[0], at(1)), Err(BadTicket::Unknown));
    assert_eq!(auth.redeem(&tickets[1], at(1)), Ok(new.clone()));
    // Also a ticket that was redeemed elsewhere in the meantime.
    assert_eq!(auth.check_redeemed(old, at(1)), Err(BadTicket::Unknown));
    assert!(auth.check_redeemed(new, at(1)).is_ok());
}

/// The demo's account with another salt, and so another verifier.
fn other_password() -> String {
    DEMO_ACCOUNTS.replace("$c2FyYW5n", "$c2FyYW5m")
}

#[test]
fn another_password_ends_tokens_and_tickets_and_not_what_is_issued_from_then_on() {
    let mut auth = auth();
    let (bearer, identity) = signed_in(&mut auth);
    let ticket = auth.issue_ticket(identity, at(0)).expect("has room");
    assert_eq!(reload(&mut auth, &other_password(), at(0)), ["admin"]);
    let changed = Refused("the password has changed; sign in again");
    let refused = Err(Denied::Invalid(changed));
    assert_eq!(auth.authenticate(Some(&bearer), at(0)), refused);
    assert_eq!(auth.redeem(&ticket, at(0)), Err(BadTicket::Unknown));
    // Also in the same second.
    let (_, identity) = signed_in(&mut auth);
    let ticket = auth
        .issue_ticket(identity.clone(), at(0))
        .expect("has room");
    assert_eq!(auth.redeem(&ticket, at(0)), Ok(identity));
}

#[test]
fn a_token_outlives_a_restart_and_its_password_does_not() {
    let started = |accounts: &str, secrets: &str| {
        let credentials = credentials(accounts, parse_secrets(secrets).expect("reads"));
        Auth::new(credentials, TTL, Duration::from_secs(30), &[8; 32])
    };
    let (bearer, _) = signed_in(&mut auth());
    let old = format!("a:{SECRET}");
    let with_newer = format!("b:{}\n{old}", SECRET.to_uppercase());
    for (accounts, secrets, is_good) in [
        (DEMO_ACCOUNTS, &old, true),
        (DEMO_ACCOUNTS, &with_newer, true),
        (&other_password(), &old, false),
        (&other_password(), &with_newer, false),
        (&DEMO_ACCOUNTS.replace("t=2", "t=3"), &old, false),
        ("", &old, false),
    ] {
        let auth = started(accounts, secrets);
        let found = auth.authenticate(Some(&bearer), at(1));
        assert_eq!(found.is_ok(), is_good, "{accounts} {secrets}: {found:?}");
    }
}

#[test]
fn a_token_of_ours_without_a_fingerprint_is_refused_and_another_back_end_needs_none() {
    let auth = auth();
    let mut claims =
        json!({"sub": "admin", "exp": 1_700_000_900, "iat": 1_700_000_000, "iss": "sarang"});
    let mut judged = |name: &str, value: Value| {
        claims[name] = value;
        let bearer = format!("Bearer {}", keys()[0].sign(&claims));
        auth.authenticate(Some(&bearer), at(0))
            .map(|identity| identity.is_ours)
    };
    let refused = |why| Err(Denied::Invalid(Refused(why)));
    let changed = "the password has changed; sign in again";
    let missing = "the token has no fingerprint of the password; sign in again";
    assert_eq!(judged("jti", json!("1")), refused(missing));
    for value in [json!(null), json!(""), json!(7), json!("A".repeat(22))] {
        assert_eq!(judged(FINGERPRINT, value), refused(changed));
    }
    assert_eq!(judged("iss", json!("another")), Ok(false));
}

#[test]
fn a_password_is_in_force_while_its_account_has_it() {
    let mut auth = auth();
    let verifier = auth.verifier("admin");
    assert!(auth.is_in_force("admin", &verifier));
    assert!(!auth.is_in_force("kim", &auth.verifier("kim")));
    reload(&mut auth, DEMO_ACCOUNTS, at(0));
    assert!(auth.is_in_force("admin", &verifier));
    reload(&mut auth, &other_password(), at(0));
    assert!(!auth.is_in_force("admin", &verifier));
}
