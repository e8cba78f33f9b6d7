//! The cost of reading accounts again (SIGHUP): the part in the loop, and the parts that the worker thread does.

use std::fmt::Write as _;
use std::sync::Arc;

use sarang::config::ACCOUNTS_MAX;
use sarang::domain::accounts::{Accounts, DEMO_ACCOUNTS};
use sarang::domain::api_keys::ApiKeys;
use sarang::domain::credentials::{Credentials, Reload};
use sarang::domain::ids::Serial;
use sarang::server::jobs::{Done, Job};
use sarang::wire::jwt::Key;

use crate::Result;
use crate::operations::{cpu, median, nanoseconds};
use crate::report::Row;
use crate::world::World;

/// The number of accounts with another password in the reload that changes some.
const CHANGED: usize = 100;

/// A users file of `count` accounts. If `is_changed`, the first [`CHANGED`] have another password.
fn users_file(count: usize, is_changed: bool) -> String {
    let line = DEMO_ACCOUNTS.trim().trim_start_matches("admin");
    let hash = line.trim_end_matches(":admin");
    let other = hash.replace("$c2FyYW5n", "$c2FyYW5m");
    let mut text = DEMO_ACCOUNTS.to_owned();
    for number in 1..count {
        let hash = match is_changed && number <= CHANGED {
            true => &other,
            false => hash,
        };
        // Writing into a String cannot fail.
        _ = writeln!(text, "member{number}{hash}");
    }
    text
}

fn credentials(users: &str) -> Result<Credentials> {
    Ok(Credentials {
        accounts: Accounts::parse(users, [1; 32])?.into(),
        keys: vec![Key::new(None, &[2; 32]).map_err(|refused| refused.0)?],
        api_keys: ApiKeys::default(),
    })
}

/// Starts a reload: the serial of its job, and the accounts in force.
fn reading(world: &mut World) -> Result<(Serial, Arc<Accounts>)> {
    world.server.reload();
    match world.poll_job() {
        Some((serial, Job::ReadCredentials(in_force))) => Ok((serial, in_force)),
        other => Err(format!("asked for {other:?}").into()),
    }
}

/// Passes the result of the reload to the server.
fn apply(world: &mut World, serial: Serial, reload: Reload) {
    let done = Done::CredentialsRead(Ok(Box::new(reload)));
    world.server.finished(serial, done, world.now);
}

fn take_old(world: &mut World) -> Result<Arc<Accounts>> {
    match world.poll_job() {
        Some((_, Job::DropAccounts(old))) => Ok(old),
        other => Err(format!("asked for {other:?}").into()),
    }
}

/// Prints the cost of a reload with as many accounts as connections, up to the limit of accounts.
pub fn measure(world: &mut World, size: usize, rounds: usize) -> Result<()> {
    let count = size.min(ACCOUNTS_MAX);
    let files = [users_file(count, false), users_file(count, true)];
    let (mut parsing, mut comparing, mut dropping) = (Vec::new(), Vec::new(), Vec::new());
    let mut applying = [Vec::new(), Vec::new()];
    let (serial, in_force) = reading(world)?;
    let first = Reload::new(credentials(&files[0])?, &in_force);
    apply(world, serial, first);
    drop((take_old(world)?, in_force));
    // The same file twice, then another one twice: every second reload changes nothing.
    for round in 0..4 * rounds {
        let (serial, in_force) = reading(world)?;
        let since = cpu();
        let newer = credentials(&files[round / 2 % 2])?;
        parsing.push(nanoseconds(since));
        let since = cpu();
        let reload = Reload::new(newer, &in_force);
        comparing.push(nanoseconds(since));
        drop(in_force);
        let changes = usize::from(!reload.gone.is_empty());
        let since = cpu();
        apply(world, serial, reload);
        applying[changes].push(nanoseconds(since));
        let old = take_old(world)?;
        let since = cpu();
        drop(old);
        dropping.push(nanoseconds(since));
        world.turn();
    }
    let [same, changed] = applying;
    for (name, values) in [
        ("accounts read again: nothing has changed", same),
        ("accounts read again: 100 other passwords", changed),
        (
            "  not in the loop: reading, at most 100,000 accounts",
            parsing,
        ),
        ("  not in the loop: comparing", comparing),
        ("  not in the loop: dropping the old", dropping),
    ] {
        Row::print(name, median(values), "ns");
    }
    Ok(())
}
