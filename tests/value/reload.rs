//! Accounts that change while the server runs: which sessions end, which guests must go, and which are not affected.

use std::sync::Arc;

use sarang::config::{Config, SIGNED_IN_NAME_HELD_FOR};
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::{Credentials, Reload};
use sarang::domain::ids::{ConnectionId, Serial};
use sarang::server::jobs::{Done, Job};
use sarang::wire::jwt::Key;
use serde_json::json;

use crate::world::World;

/// The demo account with another salt, and so with another password.
fn other_password() -> String {
    DEMO_ACCOUNTS.replace("$c2FyYW5n", "$c2FyYW5m")
}

/// The contents of the operator's files, with the secret unchanged.
fn credentials(accounts: &str) -> Credentials {
    Credentials {
        accounts: Accounts::parse(accounts, [1; 32]).expect("reads").into(),
        keys: vec![Key::new(None, &[2; 32]).expect("is long enough")],
        api_keys: ApiKeys::default(),
    }
}

/// Tells the server to read the files again: its job, and the accounts in force.
fn begin_reload(world: &mut World) -> (Serial, Arc<Accounts>) {
    world.server.reload();
    match world.server.poll_job() {
        Some((serial, Job::ReadCredentials(in_force))) => (serial, in_force),
        other => panic!("unexpected: {other:?}"),
    }
}

fn put_in_force(world: &mut World, accounts: &str) {
    let (serial, in_force) = begin_reload(world);
    let reload = Box::new(Reload::new(credentials(accounts), &in_force));
    let done = Done::CredentialsRead(Ok(reload));
    world.server.finished(serial, done, world.now);
    world.turn();
    world.jobs.clear();
}

/// Sends a login whose password check stays under way.
fn begin_sign_in(world: &mut World) -> (ConnectionId, Serial) {
    let id = world.connect();
    let form = r#"{"username":"admin","password":"secret"}"#;
    let head = format!(
        "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    world.receive_at_once(id, head.as_bytes());
    let (serial, job) = world.server.poll_job().expect("a password to check");
    assert!(matches!(job, Job::CheckPassword(_)), "{job:?}");
    (id, serial)
}

/// A password check ends; the status the client was answered with, if it was.
fn end_check(world: &mut World, id: ConnectionId, serial: Serial, is_accepted: bool) -> String {
    let done = Done::PasswordChecked(is_accepted);
    world.server.finished(serial, done, world.now);
    world.turn();
    let answer = String::from_utf8_lossy(&world.wire(id).bytes).into_owned();
    answer.get(9..12).unwrap_or_default().to_owned()
}

#[test]
fn a_password_that_changes_while_it_is_checked_is_checked_against_the_new_one() {
    for (is_right, status) in [(false, "401"), (true, "200")] {
        let mut world = World::new(Config::default());
        let (id, serial) = begin_sign_in(&mut world);
        put_in_force(&mut world, &other_password());
        // It was correct when it was sent.
        assert_eq!(end_check(&mut world, id, serial, true), "");
        let again = world.jobs.pop_front();
        assert!(matches!(&again, Some((same, Job::CheckPassword(_))) if *same == serial));
        assert_eq!(end_check(&mut world, id, serial, is_right), status);
    }
}

#[test]
fn an_account_removed_while_its_password_is_checked_gives_no_session() {
    for (accounts, status) in [(DEMO_ACCOUNTS, "200"), ("", "401")] {
        let mut world = World::new(Config::default());
        let (id, serial) = begin_sign_in(&mut world);
        put_in_force(&mut world, accounts);
        assert_eq!(end_check(&mut world, id, serial, true), status);
    }
}

#[test]
fn a_guest_gives_way_to_a_new_account_and_to_no_other() {
    let mut world = World::new(Config::default());
    let (kim, lee) = (world.guest("kim"), world.guest("lee"));
    let both = format!(
        "{DEMO_ACCOUNTS}{}",
        DEMO_ACCOUNTS.replacen("admin", "kim", 1)
    );
    put_in_force(&mut world, &both);
    assert_eq!(world.told(kim), [json!({"close": 4001})]);
    assert_eq!(world.told(lee), [json!(null); 0]);
    assert!(world.is_open(lee));
    // A day after the account is gone the name is free for guests again, until the account comes back.
    put_in_force(&mut world, DEMO_ACCOUNTS);
    world.pass(SIGNED_IN_NAME_HELD_FOR);
    let kim = world.guest("kim");
    put_in_force(&mut world, &both);
    assert_eq!(world.told(kim), [json!({"close": 4001})]);
}

#[test]
fn replaced_accounts_are_handed_whole_to_another_thread_to_drop() {
    let mut world = World::new(Config::default());
    let (serial, old) = begin_reload(&mut world);
    let reload = Box::new(Reload::new(credentials(&other_password()), &old));
    let done = Done::CredentialsRead(Ok(reload));
    world.server.finished(serial, done, world.now);
    let Some((_, Job::DropAccounts(handed_back))) = world.server.poll_job() else {
        panic!("the accounts are still in force");
    };
    assert!(Arc::ptr_eq(&old, &handed_back));
    drop(handed_back);
    // The server keeps no reference: the thread that drops this last one frees the memory.
    assert_eq!(Arc::strong_count(&old), 1);
}

#[test]
fn files_that_change_while_they_are_read_are_read_once_more_and_no_more_often() {
    let mut world = World::new(Config::default());
    let (serial, in_force) = begin_reload(&mut world);
    for _ in 0..3 {
        world.server.reload();
    }
    assert!(world.server.poll_job().is_none());
    let done = Done::CredentialsRead(Err("the file is half written".into()));
    world.server.finished(serial, done, world.now);
    let again = world.server.poll_job();
    assert!(
        matches!(again, Some((_, Job::ReadCredentials(_)))),
        "{again:?}"
    );
    assert!(world.server.poll_job().is_none());
    drop(in_force);
}
