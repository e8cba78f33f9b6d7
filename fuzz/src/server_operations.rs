//! A server with tiny limits under any operations of several clients. What each client was told is its picture of the
//! rooms; it must be the same as the server's, and the same for all.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use sarang::config::{Config, RoomLimits};

use super::clients::{Clients, Say};
use super::requests::Request;
use super::world::{World, configured, credentials};

/// More would only be slower.
const OPERATIONS_MAX: usize = 400;
/// Connections at most, one less than there are clients.
const CONNECTIONS_MAX: usize = 7;
/// Rooms at most, one less than there are names.
const ROOMS_MAX: usize = 3;

/// What happens next. Clients, rooms and names are picked out of a few.
#[derive(Debug, Arbitrary)]
enum Operation {
    Connect {
        client: u8,
        address: u8,
    },
    /// A guest comes in at once: what most inputs begin with.
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
    /// Says something often.
    Repeat {
        client: u8,
        say: Say,
        count: u8,
    },
    /// Bytes that need not mean anything.
    Send {
        client: u8,
        bytes: [u8; 6],
    },
    /// From here on the client's socket takes this much more.
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

/// How the server is started.
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
    let Ok(start) = Start::arbitrary(&mut input) else {
        return;
    };
    let config = config(&start);
    let mut clients = Clients::of(config.outbox_bytes);
    let mut world = World::new(config);
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(operation) = Operation::arbitrary(&mut input) else {
            break;
        };
        world.is_settled = false;
        carry_out(operation, &mut world, &mut clients);
        clients.check(&mut world);
        check_limits(&world);
    }
    clients.leave(&mut world);
    world.assert_empty();
}

fn config(start: &Start) -> Config {
    Config {
        users: configured().filter(|_| start.is_configured),
        public_dashboard: start.is_public,
        guests: true,
        token_ttl_secs: 20,
        ticket_ttl: Duration::from_secs(5),
        messages_per_second: 4,
        connections: CONNECTIONS_MAX,
        connections_per_address: 2,
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
        },
        ..Config::default()
    }
}

fn carry_out(operation: Operation, world: &mut World, clients: &mut Clients) {
    match operation {
        Operation::Connect { client, address } => clients.connect(client, address % 3, world),
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
            let by = Duration::from_secs(86_400 * u64::from(days.unsigned_abs()));
            world.now.unix = match days < 0 {
                true => world.now.unix.saturating_sub(by),
                false => world.now.unix.saturating_add(by),
            };
        }
        Operation::FinishCheck { index, is_accepted } => {
            world.finish_check(index.into(), is_accepted)
        }
        Operation::Reload { has_account } => {
            world.server.reload(credentials(has_account), world.now)
        }
        Operation::Drain => world.server.drain(world.now),
    }
}

/// No limit is passed, and the server's own books agree with each other.
fn check_limits(world: &World) {
    let server = &world.server;
    assert!(server.connection_count() <= CONNECTIONS_MAX);
    let rooms = server.rooms().list();
    assert!(rooms.len() <= ROOMS_MAX);
    for room in &rooms {
        let (info, online) = server.rooms().get_room_info(&room.name).expect("is listed");
        assert_eq!(&info, room);
        assert_eq!(online.len(), room.users);
        assert!(room.users <= room.max_users as usize);
        for name in online {
            assert!(
                server.rooms().people().find(&name).is_some(),
                "{name} is here"
            );
        }
    }
    assert!(server.rooms().people().count() <= server.connection_count());
}
