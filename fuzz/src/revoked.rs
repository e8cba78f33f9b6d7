//! The additional operations on a server whose tokens are revoked in all ways, with or without a late backend. Every token
//! is known to a model of the truth: see [`super::register`].

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::clients::Clients;
use super::files::{CONTESTED, Change};
use super::late_operations::Late;
use super::register::FAR;
use super::requests::{Request, pick};
use super::server_operations::Operation;
use super::world::World;

/// Users with tokens: those with accounts, and one that guests are called, too.
const USERS: [&str; 4] = ["admin", "계정", CONTESTED, "가"];

/// The next operation.
#[derive(Debug)]
pub enum RevokingOperation {
    /// An operation that works with any server.
    Usual(Operation),
    /// An operation for a late backend.
    Late(Late),
    /// One of these.
    Revoking(Revoking),
}

/// An operation with tokens. Clients, names and tokens are picked out of a few.
#[derive(Debug, Arbitrary)]
pub enum Revoking {
    /// Another back end issues a token, which is the newest one from here on.
    Mint {
        /// For whom.
        name: u8,
        /// With which secret.
        key: u8,
        /// How many seconds ago that was; 255 is not known.
        age: u8,
        /// How long it lives, in seconds; 255 is for ever.
        life: u8,
    },
    /// An older token is the newest one from here on.
    Remember {
        /// Which; an even number for one that may be good.
        token: u8,
    },
    /// The operator changes the files, and has them read again.
    Change {
        /// What kind of change.
        kind: u8,
        /// Of what.
        which: u8,
    },
    /// A client signs in.
    SignIn {
        /// The client.
        client: u8,
        /// Who it says it is.
        account: u8,
        /// Which of the account's passwords it knows.
        version: u8,
    },
    /// A password check ends as the password deserves.
    Finish {
        /// Which check.
        index: u8,
    },
    /// A client refreshes the newest token many times.
    Refreshes {
        /// The client.
        client: u8,
        /// How often.
        count: u8,
    },
    /// A client logs many tokens of one user out.
    Logouts {
        /// The client.
        client: u8,
        /// Whose.
        name: u8,
        /// How many.
        count: u8,
    },
    /// A client shows its token for a ticket, which opens a WebSocket at once.
    Open {
        /// The client that asks.
        asker: u8,
        /// The client that comes.
        client: u8,
        /// The token.
        token: u8,
    },
    /// Everybody goes, and hours pass.
    Night {
        /// How many.
        hours: u8,
    },
}

impl<'a> Arbitrary<'a> for RevokingOperation {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        match u8::arbitrary(input)? % 8 {
            0..3 => Operation::arbitrary(input).map(Self::Usual),
            3 => Late::arbitrary(input).map(Self::Late),
            _ => Revoking::arbitrary(input).map(Self::Revoking),
        }
    }
}

impl Revoking {
    /// Carries it out.
    pub fn carry_out(self, world: &mut World, clients: &mut Clients) {
        match self {
            Self::Mint {
                name,
                key,
                age,
                life,
            } => {
                let unix_secs = world.now.unix.as_secs();
                let issued_at = (age < 255).then(|| unix_secs.saturating_sub(u64::from(age)));
                let expires_at = match life {
                    255 => FAR,
                    seconds => unix_secs + u64::from(seconds),
                };
                let times = (issued_at, expires_at);
                clients.mint(pick(&USERS, name), usize::from(key), times, world);
            }
            Self::Remember { token } => clients.remember(token.into(), world),
            Self::Change { kind, which } => world.change(Change::of(kind, which)),
            Self::SignIn {
                client,
                account,
                version,
            } => {
                clients.sign_in(client, pick(&USERS, account), version % 4, world);
                world.turn();
            }
            Self::Finish { index } => world.finish_check_rightly(index.into()),
            Self::Refreshes { client, count } => {
                for _ in 0..count % 48 {
                    clients.request(client, &Request::Refresh { token: 0 }, world);
                }
                world.turn();
            }
            Self::Logouts {
                client,
                name,
                count,
            } => {
                for n in 0..count % 80 {
                    let times = (Some(world.now.unix.as_secs()), FAR);
                    clients.mint(pick(&USERS, name), 0, times, world);
                    clients.request(client, &Request::Logout { token: 0 }, world);
                    if n % 8 == 7 {
                        world.turn();
                        clients.check(world);
                    }
                }
                world.turn();
            }
            Self::Open {
                asker,
                client,
                token,
            } => {
                clients.connect(asker, 0, world);
                clients.request(asker, &Request::Ticket { token }, world);
                world.turn();
                clients.check(world);
                clients.connect(client, 0, world);
                clients.request(client, &Request::Member { ticket: 0 }, world);
                world.turn();
            }
            Self::Night { hours } => {
                clients.leave(world);
                world.pass(Duration::from_secs(200));
                clients.check(world);
                world.pass(Duration::from_secs(3_600 * u64::from(hours % 32)));
            }
        }
    }
}
