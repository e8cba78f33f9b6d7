//! What is revoked, and what rests on it: sessions, streams, tickets and tokens, by logouts, reloads and secrets.

use std::time::Duration;

use sarang::config::{Config, REFRESHES_MAX, REVOCATIONS_PER_USER_MAX};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::{Credentials, Reload};
use sarang::domain::ids::{ConnectionId, Serial};
use sarang::server::jobs::{Done, Job, PasswordCheck};
use sarang::wire::jwt::Key;
use serde_json::{Value, json};

use crate::client::{bearer, enter, login, request, ticket};
use crate::world::World;

const HOUR: Duration = Duration::from_secs(3_600);
/// 9999-12-31T23:59:59Z.
const NEVER: u64 = 253_402_300_799;

/// A world with accounts, in which a token is needed for everything.
fn world() -> World {
    World::new(Config {
        users: Some("users".into()),
        ..Config::default()
    })
}

fn key(n: u8) -> Key {
    Key::new(None, &[n; 32]).expect("is long enough")
}

/// The demo account with another password.
fn other_password() -> String {
    DEMO_ACCOUNTS.replace("$c2FyYW5n", "$c2FyYW5m")
}

/// Puts other files in force.
fn put_in_force(world: &mut World, accounts: &str, keys: Vec<Key>) {
    world.server.reload();
    let Some((serial, Job::ReadCredentials(in_force))) = world.server.poll_job() else {
        panic!("nothing is read");
    };
    let newer = Credentials {
        accounts: Accounts::parse(accounts, [1; 32]).expect("reads").into(),
        keys,
        api_keys: ApiKeys::default(),
    };
    let done = Done::CredentialsRead(Ok(Box::new(Reload::new(newer, &in_force))));
    world.server.finished(serial, done, world.now);
    world.turn();
    world.jobs.clear();
}

/// A token of another back end, issued now.
fn minted(world: &World, key: &Key, sub: &str, jti: impl ToString) -> String {
    let iat = world.now.unix.as_secs();
    let jti = jti.to_string();
    key.sign(&json!({"sub": sub, "iat": iat, "exp": NEVER, "jti": jti}))
}

fn status(world: &mut World, method: &str, target: &str, token: &str) -> u16 {
    request(world, method, target, &bearer(token), "").0
}

fn log_out(world: &mut World, token: &str) {
    assert_eq!(status(world, "POST", "/auth/logout", token), 204);
}

fn refresh(world: &mut World, token: &str) -> String {
    let (status, body) = request(world, "POST", "/auth/refresh", &bearer(token), "");
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().expect("a token").to_owned()
}

/// What a thief or a user has opened with a token.
struct Opened {
    token: String,
    socket: ConnectionId,
    stream: ConnectionId,
    unused: String,
}

/// Opens one of everything.
fn open(world: &mut World, token: &str) -> Opened {
    let (status, shown) = ticket(world, token);
    assert_eq!(status, 200);
    let (socket, welcome) = enter(world, &shown);
    assert_eq!(welcome["type"], "welcome");
    let stream = world.connect();
    let head = format!("GET /sse/all HTTP/1.1\r\nHost: x\r\n{}\r\n", bearer(token));
    world.receive(stream, head.as_bytes());
    world.turn();
    let opened = Opened {
        token: token.to_owned(),
        socket,
        stream,
        unused: ticket(world, token).1,
    };
    assert_eq!(has_ended(world, &opened), [false; 3]);
    opened
}

/// Whether REST refuses the token, and whether the socket and the stream have ended.
fn has_ended(world: &mut World, opened: &Opened) -> [bool; 3] {
    let rest = match status(world, "GET", "/rooms", &opened.token) {
        200 => false,
        401 => true,
        status => panic!("{status}"),
    };
    let told = world.told(opened.socket);
    let is_closed = told.contains(&json!({"close": 4002}));
    assert!(is_closed || told.is_empty(), "{told:?}");
    let stream = world.wire(opened.stream);
    let is_over = stream.bytes.ends_with(b"\r\n0\r\n\r\n");
    assert_eq!(stream.is_shut, is_over);
    [rest, is_closed, is_over]
}

fn assert_ended(world: &mut World, opened: &Opened) {
    assert_eq!(has_ended(world, opened), [true; 3]);
    let (_, news) = enter(world, &opened.unused);
    assert_eq!(news, json!({"close": 4001}), "its ticket is void");
}

fn assert_stays(world: &mut World, opened: &Opened) {
    assert_eq!(has_ended(world, opened), [false; 3]);
    let (_, news) = enter(world, &opened.unused);
    assert_eq!(news["type"], "welcome", "its ticket is good");
}

#[test]
fn a_thief_who_has_refreshed_a_token_is_out_when_its_owner_logs_out() {
    let mut world = world();
    let (token, elsewhere) = (login(&mut world), login(&mut world));
    let owner = open(&mut world, &token);
    let refreshed = refresh(&mut world, &token);
    let refreshed = refresh(&mut world, &refreshed);
    let thief = open(&mut world, &refreshed);
    let elsewhere = open(&mut world, &elsewhere);
    log_out(&mut world, &token);
    assert_ended(&mut world, &owner);
    assert_ended(&mut world, &thief);
    assert_eq!(status(&mut world, "POST", "/auth/refresh", &refreshed), 401);
    assert_stays(&mut world, &elsewhere);
}

#[test]
fn a_logout_holds_until_the_last_refreshed_token_has_expired() {
    let mut world = world();
    let token = login(&mut world);
    world.pass(HOUR - Duration::from_secs(10));
    let refreshed = refresh(&mut world, &token);
    log_out(&mut world, &token);
    // The token that was shown has expired, and another logout has swept what is over.
    world.pass(HOUR / 2);
    let other = login(&mut world);
    log_out(&mut world, &other);
    assert_eq!(status(&mut world, "GET", "/rooms", &refreshed), 401);
}

#[test]
fn nobody_can_refresh_and_log_out_until_others_cannot() {
    let mut world = world();
    let minted = |world: &World, sub: &str, n: u64| minted(world, &key(2), sub, n);
    let owner = minted(&world, "kim", 0);
    let owner = open(&mut world, &owner);
    // Many tokens without an end: they take one share only.
    for n in 0..10 * REVOCATIONS_PER_USER_MAX as u64 {
        // After each share a mark covers what a back end issues in the same second.
        world.now.unix += Duration::from_secs(1);
        let token = minted(&world, "mallory", n);
        log_out(&mut world, &token);
    }
    assert_stays(&mut world, &owner);
    log_out(&mut world, &owner.token);
    assert_ended(&mut world, &owner);
}

#[test]
fn the_logout_after_the_share_of_a_user_ends_all_that_this_user_has_and_nobody_else() {
    let mut world = world();
    let other = minted(&world, &key(2), "kim", "1");
    let other = open(&mut world, &other);
    let ours = login(&mut world);
    let ours = open(&mut world, &ours);
    let theirs = minted(&world, &key(2), "admin", "theirs");
    let theirs = open(&mut world, &theirs);
    for n in 0..REVOCATIONS_PER_USER_MAX {
        let token = minted(&world, &key(2), "admin", n);
        log_out(&mut world, &token);
    }
    assert_eq!(has_ended(&mut world, &ours), [false; 3]);
    let token = login(&mut world);
    log_out(&mut world, &token);
    assert_ended(&mut world, &ours);
    assert_ended(&mut world, &theirs);
    assert_stays(&mut world, &other);
    // A sign-in is good at once, in the same second.
    let token = login(&mut world);
    let again = open(&mut world, &token);
    assert_stays(&mut world, &again);
    let refreshed = refresh(&mut world, &token);
    assert_eq!(status(&mut world, "GET", "/rooms", &refreshed), 200);
}

#[test]
fn refreshing_in_a_row_is_answered_with_a_wait_and_logging_out_is_not() {
    let mut world = world();
    let mut token = login(&mut world);
    for _ in 0..REFRESHES_MAX {
        token = refresh(&mut world, &token);
    }
    let answer = request(&mut world, "POST", "/auth/refresh", &bearer(&token), "");
    assert_eq!(
        (answer.0, &answer.1["error"]["code"]),
        (429, &json!("too_many_requests"))
    );
    world.pass(Duration::from_secs(2));
    token = refresh(&mut world, &token);
    assert_eq!(status(&mut world, "POST", "/auth/refresh", &token), 429);
    log_out(&mut world, &token);
}

#[test]
fn a_back_ends_token_of_a_removed_name_or_an_old_password_never_is_good_again() {
    for changed in [String::new(), other_password()] {
        let mut world = world();
        let token = minted(&world, &key(2), "admin", "7");
        let without_iat = key(2).sign(&json!({"sub": "admin", "exp": NEVER}));
        let opened = open(&mut world, &token);
        put_in_force(&mut world, &changed, vec![key(2)]);
        assert_ended(&mut world, &opened);
        put_in_force(&mut world, DEMO_ACCOUNTS, vec![key(2)]);
        // Many others come and go, and much time passes.
        for round in 0..3 {
            let many: String = (0..1_000)
                .map(|n| DEMO_ACCOUNTS.replacen("admin", &format!("{round} {n}"), 1))
                .collect();
            put_in_force(&mut world, &format!("{DEMO_ACCOUNTS}{many}"), vec![key(2)]);
            put_in_force(&mut world, DEMO_ACCOUNTS, vec![key(2)]);
            world.now.monotonic += 25 * HOUR;
            world.now.unix += 25 * HOUR;
            for token in [&token, &without_iat] {
                assert_eq!(status(&mut world, "GET", "/rooms", token), 401);
            }
        }
        // What the back end issues from then on is good.
        let later = minted(&world, &key(2), "admin", "8");
        assert_eq!(status(&mut world, "GET", "/rooms", &later), 200);
    }
}

#[test]
fn a_sign_in_in_the_second_in_which_its_account_comes_back_is_good() {
    let mut world = world();
    let before = login(&mut world);
    let before = open(&mut world, &before);
    for other in [String::new(), other_password()] {
        put_in_force(&mut world, &other, vec![key(2)]);
        put_in_force(&mut world, DEMO_ACCOUNTS, vec![key(2)]);
        let token = login(&mut world);
        let refreshed = refresh(&mut world, &token);
        for token in [token, refreshed] {
            let opened = open(&mut world, &token);
            assert_stays(&mut world, &opened);
        }
    }
    assert_ended(&mut world, &before);
}

#[test]
fn what_rests_on_a_secret_ends_when_it_is_taken_out_of_force() {
    let mut world = world();
    let both = || vec![key(3), key(2)];
    let [old, theirs] = [login(&mut world), minted(&world, &key(2), "kim", "7")];
    let [old, theirs] = [old, theirs].map(|token| open(&mut world, &token));
    put_in_force(&mut world, DEMO_ACCOUNTS, both());
    // The newer secret signs, and the older one still counts.
    let new = login(&mut world);
    let new = open(&mut world, &new);
    put_in_force(&mut world, DEMO_ACCOUNTS, both());
    for opened in [&old, &theirs, &new] {
        assert_eq!(has_ended(&mut world, opened), [false; 3]);
    }
    put_in_force(&mut world, DEMO_ACCOUNTS, vec![key(3)]);
    assert_ended(&mut world, &old);
    assert_ended(&mut world, &theirs);
    assert_stays(&mut world, &new);
    // A secret that comes back makes its tokens good again, and nothing else.
    put_in_force(&mut world, DEMO_ACCOUNTS, both());
    assert_eq!(status(&mut world, "GET", "/rooms", &old.token), 200);
    assert_eq!(enter(&mut world, &old.unused).1, json!({"close": 4001}));
}

#[test]
fn a_session_that_was_extended_rests_on_the_secret_of_the_newer_token() {
    let mut world = world();
    let token = login(&mut world);
    let [left, extended] = [(); 2].map(|()| open(&mut world, &token).socket);
    put_in_force(&mut world, DEMO_ACCOUNTS, vec![key(3), key(2)]);
    world.pass(Duration::from_secs(1));
    let newer = refresh(&mut world, &token);
    let (_, shown) = ticket(&mut world, &newer);
    world.say(extended, json!({"type": "auth", "ticket": shown}));
    world.turn();
    assert_eq!(world.told(extended)[0]["type"], "welcome");
    put_in_force(&mut world, DEMO_ACCOUNTS, vec![key(3)]);
    assert_eq!(world.told(left), [json!({"close": 4002})]);
    assert_eq!(world.told(extended), [json!(null); 0]);
}

/// Runs a password check, as the worker does.
fn run(check: &PasswordCheck) -> bool {
    let mut memory = vec![Default::default(); check.verifier.blocks()];
    check.verifier.accepts(&check.password, &mut memory)
}

/// Sends a login; its check stays in the queue.
fn begin_login(world: &mut World, password: &str) -> (ConnectionId, Serial, PasswordCheck) {
    let id = world.connect();
    let form = json!({"username": "admin", "password": password}).to_string();
    let head = format!(
        "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    world.receive(id, head.as_bytes());
    let (serial, check) = next_check(world);
    (id, serial, check)
}

fn next_check(world: &mut World) -> (Serial, PasswordCheck) {
    world.turn();
    match world.jobs.pop_front() {
        Some((serial, Job::CheckPassword(check))) => (serial, check),
        other => panic!("unexpected: {other:?}"),
    }
}

#[test]
fn a_check_of_an_old_password_that_was_queued_before_it_was_replaced_gives_no_token() {
    for (password, status) in [("secret", "401"), ("another", "401")] {
        let mut world = world();
        let (id, serial, check) = begin_login(&mut world, password);
        let was_accepted = run(&check);
        assert_eq!(was_accepted, password == "secret");
        put_in_force(&mut world, &other_password(), vec![key(2)]);
        let done = Done::PasswordChecked(was_accepted);
        world.server.finished(serial, done, world.now);
        // The password in force now is asked.
        let (again, check) = next_check(&mut world);
        assert_eq!(again, serial);
        let done = Done::PasswordChecked(run(&check));
        world.server.finished(serial, done, world.now);
        world.turn();
        let answer = String::from_utf8_lossy(&world.wire(id).bytes).into_owned();
        assert_eq!(&answer[9..12], status, "{answer}");
        assert!(!answer.contains("access_token"), "{answer}");
    }
}

#[test]
fn a_name_that_makes_way_for_others_leaves_a_floor_and_a_line_in_the_log() {
    let mut world = world();
    let token = login(&mut world);
    let theirs = minted(&world, &key(2), "kim", "7");
    world.pass(Duration::from_secs(1));
    let users = |round: usize| -> String {
        (0..50_000)
            .map(|n| DEMO_ACCOUNTS.replacen("admin", &format!("{round} {n}"), 1))
            .chain([DEMO_ACCOUNTS.to_owned()])
            .collect()
    };
    for round in 0..3 {
        put_in_force(&mut world, &users(round), vec![key(2)]);
    }
    let told = |world: &World| -> Vec<Value> {
        let lines = world.wires.log.iter();
        let lines = lines.filter(|line| line.contains("event=revoked_names_full"));
        lines.map(|line| line.clone().into()).collect()
    };
    assert_eq!(told(&world), [""; 0]);
    for token in [&token, &theirs] {
        assert_eq!(status(&mut world, "GET", "/rooms", token), 200);
    }
    put_in_force(&mut world, DEMO_ACCOUNTS, vec![key(2)]);
    assert_eq!(told(&world).len(), 1);
    // Everybody has to sign in again, and can.
    for token in [&token, &theirs] {
        assert_eq!(status(&mut world, "GET", "/rooms", token), 401);
    }
    let token = login(&mut world);
    let opened = open(&mut world, &token);
    assert_stays(&mut world, &opened);
    log_out(&mut world, &token);
    assert_ended(&mut world, &opened);
}
