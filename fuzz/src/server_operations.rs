//! A server with tiny limits under any operations of several clients. The messages each client received are its picture
//! of the rooms; it must match the server's state, and be the same for all clients.
//!
//! An input whose first byte is [`LATE`] or one more has a server whose backend answers late, and more clients. One whose
//! first byte is [`REVOKED`] or up to three more has a server of which all tokens are known, and what has become of them;
//! with two more its backend answers late, too.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use sarang::config::cidr::Cidr;
use sarang::config::{Config, RoomLimits, SHARED_FROM};

use super::clients::{Clients, Say};
use super::late::Late;
use super::late_operations::LateOperation;
use super::requests::Request;
use super::revoked::RevokingOperation;
use super::world::{PROXY, World, configured};

/// More operations would only be slower.
const OPERATIONS_MAX: usize = 400;
/// The first byte of inputs with a late backend, without its lowest bit: no older input of the corpus has it.
const LATE: u8 = 0xa4;
/// The same of inputs with tokens, without its two lowest bits. The second of them is for a late backend.
const REVOKED: u8 = 0xb4;
/// The number of clients.
const CLIENTS: usize = 8;
/// Clients of a server with a late backend: enough that a pass over them is done in slices when sends take time.
const LATE_CLIENTS: usize = 24;
/// The limit of rooms, one less than there are names.
const ROOMS_MAX: usize = 3;

/// The next operation. Clients, rooms and names are picked out of a few.
#[derive(Debug, Arbitrary)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operation {
    Connect {
        client: u8,
        address: u8,
    },
    /// A guest connects and is welcomed at once: how most inputs begin.
    Enter {
        client: u8,
        name: u8,
    },
    Request {
        client: u8,
        request: Request,
    },
    Say {
        client: u8,
        say: Say,
    },
    /// Sends a message many times.
    Repeat {
        client: u8,
        say: Say,
        count: u8,
    },
    /// Arbitrary bytes.
    Send {
        client: u8,
        bytes: [u8; 6],
    },
    /// From here on the client's socket accepts this much more.
    Take {
        client: u8,
        bytes: u8,
    },
    TakeEverything {
        client: u8,
    },
    HalfClose {
        client: u8,
    },
    Reset {
        client: u8,
    },
    Turn,
    Pass {
        tenths: u8,
    },
    PassSeconds {
        seconds: u8,
    },
    JumpClock {
        days: i16,
    },
    FinishCheck {
        index: u8,
        is_accepted: bool,
    },
    Reload {
        has_account: bool,
    },
    Drain,
}

/// How the server is configured.
#[derive(Debug, Arbitrary)]
struct Start {
    is_configured: bool,
    is_public: bool,
    auto_rooms: bool,
    has_small_outboxes: bool,
}

/// Fuzzes a [`sarang::server::Server`].
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let first = data.first().copied().unwrap_or_default();
    let is_revoked = first & !3 == REVOKED;
    let is_late = first & !1 == LATE || (is_revoked && first & 2 != 0);
    let Ok(start) = Start::arbitrary(&mut input) else {
        return;
    };
    let mut config = config(&start);
    if is_late {
        config.connections = LATE_CLIENTS - 1;
        // So many that whispers to a user are a topic of their own.
        config.connections_per_user = SHARED_FROM + 2;
        config.rooms.room_users = 4;
    }
    let mut graces = Graces::new(config.presence_grace);
    let mut clients = Clients::of(config.outbox_bytes, config.connections + 1);
    let mut world = match (is_revoked, is_late) {
        (true, _) => World::with_truth(config, is_late),
        (false, true) => World::with_late_backend(config),
        (false, false) => World::new(config),
    };
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(operation) = next(&mut input, is_revoked, is_late) else {
            break;
        };
        world.is_settled = false;
        world.is_settled = false;
        match operation {
            RevokingOperation::Usual(operation) => carry_out(operation, &mut world, &mut clients),
            RevokingOperation::Late(late) => late.carry_out(&mut world, &mut clients),
            RevokingOperation::Revoking(one) => one.carry_out(&mut world, &mut clients),
        }
        clients.check(&mut world);
        check_limits(&world, clients.count() - 1);
        graces.check(&world);
    }
    clients.leave(&mut world);
    world.assert_empty();
    clients.check_old_tokens(&mut world);
}

fn next(
    input: &mut Unstructured<'_>,
    is_revoked: bool,
    is_late: bool,
) -> arbitrary::Result<RevokingOperation> {
    match (is_revoked, is_late) {
        (true, _) => RevokingOperation::arbitrary(input),
        (false, true) => LateOperation::arbitrary(input).map(|operation| match operation {
            LateOperation::Usual(operation) => RevokingOperation::Usual(operation),
            LateOperation::Late(late) => RevokingOperation::Late(late),
        }),
        (false, false) => Operation::arbitrary(input).map(RevokingOperation::Usual),
    }
}

fn config(start: &Start) -> Config {
    Config {
        users: configured().filter(|_| start.is_configured),
        public_dashboard: start.is_public,
        guests: true,
        hosts: vec!["x".to_owned()],
        token_ttl_secs: 20,
        ticket_ttl: Duration::from_secs(5),
        messages_per_second: 4,
        // One less than the number of clients.
        connections: CLIENTS - 1,
        connections_per_address: 2,
        trusted_proxies: vec![Cidr::parse(&format!("192.0.2.{PROXY}")).expect("is one")],
        connections_per_user: 2,
        presence_grace: match start.is_public {
            true => Duration::ZERO,
            false => Duration::from_secs(1),
        },
        outbox_bytes: if start.has_small_outboxes {
            300
        } else {
            100_000
        },
        rooms: RoomLimits {
            auto_rooms: start.auto_rooms,
            rooms: ROOMS_MAX,
            rooms_per_connection: 2,
            room_users: 2,
            content_chars: 8,
            lobby: None,
        },
        ..Config::default()
    }
}

fn carry_out(operation: Operation, world: &mut World, clients: &mut Clients) {
    match operation {
        Operation::Connect { client, address } => clients.connect(client, address % 4, world),
        Operation::Enter { client, name } => {
            clients.connect(client, 0, world);
            clients.request(client, &Request::Guest { name }, world);
            world.turn();
        }
        Operation::Request { client, request } => clients.request(client, &request, world),
        Operation::Say { client, say } => clients.say(client, &say, world),
        Operation::Repeat { client, say, count } => {
            for _ in 0..count % 32 {
                clients.say(client, &say, world);
            }
        }
        Operation::Send { client, bytes } => clients.send(client, &bytes, world),
        Operation::Take { client, bytes } => {
            clients.take(client, Some(8 * usize::from(bytes)), world)
        }
        Operation::TakeEverything { client } => clients.take(client, None, world),
        Operation::HalfClose { client } => clients.half_close(client, world),
        Operation::Reset { client } => clients.reset(client, world),
        Operation::Turn => world.turn(),
        Operation::Pass { tenths } => world.pass(Duration::from_millis(100 * u64::from(tenths))),
        Operation::PassSeconds { seconds } => world.pass(Duration::from_secs(seconds.into())),
        Operation::JumpClock { days } => {
            if let Some(truth) = &mut world.truth {
                truth.is_steady = false;
                if days < 0 {
                    truth.register.clock_goes_back(world.now.unix.as_secs());
                }
            }
            let by = Duration::from_secs(86_400 * u64::from(days.unsigned_abs()));
            world.now.unix = match days < 0 {
                true => world.now.unix.saturating_sub(by),
                false => world.now.unix.saturating_add(by),
            };
        }
        Operation::FinishCheck { index, is_accepted } => {
            world.finish_check(index.into(), is_accepted)
        }
        Operation::Reload { has_account } => world.reload(has_account),
        Operation::Drain => world.server.drain(world.now),
    }
}

/// Users who are in rooms without a connection, with the time since when that is known.
struct Graces {
    grace: Duration,
    gone: BTreeMap<(Rc<str>, Rc<str>), Duration>,
}

impl Graces {
    fn new(grace: Duration) -> Self {
        let gone = BTreeMap::new();
        Self { grace, gone }
    }

    /// A user whose connection has ended stays in the room for the grace, and until their last messages are stored.
    fn check(&mut self, world: &World) {
        let rooms = world.server.rooms();
        let now = world.now.monotonic;
        let is_asked = world.late.as_ref().is_some_and(Late::is_asked);
        let is_due = rooms.next_timeout().is_some_and(|due| due <= now);
        let before = std::mem::take(&mut self.gone);
        for room in rooms.list() {
            let (_, online) = rooms.get_room_info(&room.name).expect("is listed");
            for name in online {
                if rooms.people().find(&name).is_some() {
                    continue;
                }
                let member = (room.name.clone(), name);
                let since = before.get(&member).copied().unwrap_or(now);
                let may_stay = is_asked || is_due || now < since + self.grace;
                assert!(may_stay, "{member:?} is gone since {since:?}");
                self.gone.insert(member, since);
            }
        }
    }
}

/// No limit is exceeded, and the server's own state is consistent.
fn check_limits(world: &World, connections_max: usize) {
    let server = &world.server;
    assert!(server.connection_count() <= connections_max);
    let rooms = server.rooms().list();
    assert!(rooms.len() <= ROOMS_MAX);
    for room in &rooms {
        let (info, online) = server.rooms().get_room_info(&room.name).expect("is listed");
        assert_eq!(&info, room);
        assert_eq!(online.len(), room.users);
        assert!(room.users <= room.max_users as usize);
    }
    assert!(server.rooms().people().count() <= server.connection_count());
    if let Some(late) = &world.late {
        late.check(server);
    }
}
