//! The additional operations on a server whose backend answers late.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::clients::{Clients, Say};
use super::late::Answer;
use super::requests::Request;
use super::server_operations::Operation;
use super::world::World;

/// The next operation.
#[derive(Debug)]
pub enum LateOperation {
    /// An operation that works with any backend.
    Usual(Operation),
    /// An operation for a late backend.
    Late(Late),
}

/// An operation for a late backend. Clients and rooms are picked out of a few.
#[derive(Debug, Arbitrary)]
pub enum Late {
    /// The backend answers.
    Answer(Answer),
    /// The backend answers many requests, and only then there is a turn.
    AnswerMany {
        /// How much.
        count: u8,
    },
    /// Many clients connect and join a room.
    Crowd {
        /// The first of them.
        client: u8,
        /// How many.
        count: u8,
        /// The room.
        room: u8,
    },
    /// A client repeats the last message of a user of its name, with the same `id`.
    SayAgain {
        /// The client that sends it.
        client: u8,
        /// The client that sent it before.
        author: u8,
    },
    /// From here on each send takes so much time.
    SendTime {
        /// In sixteenths of a millisecond.
        sixteenths: u8,
    },
}

impl<'a> Arbitrary<'a> for LateOperation {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        // Most are the usual operations.
        match u8::arbitrary(input)? % 8 {
            0..5 => Operation::arbitrary(input).map(Self::Usual),
            _ => Late::arbitrary(input).map(Self::Late),
        }
    }
}

impl Late {
    /// Carries it out.
    pub fn carry_out(self, world: &mut World, clients: &mut Clients) {
        match self {
            Self::Answer(answer) => {
                world.answer(&answer);
                world.turn();
            }
            Self::AnswerMany { count } => {
                for _ in 0..count {
                    world.answer(&Answer::FIRST);
                }
                world.turn();
            }
            Self::Crowd {
                client,
                count,
                room,
            } => {
                for n in 0..count % 32 {
                    let client = client.wrapping_add(n);
                    clients.connect(client, 0, world);
                    clients.request(client, &Request::Guest { name: n }, world);
                    world.turn();
                    clients.check(world);
                    clients.say(client, &Say::Join { room, since: None }, world);
                }
                world.turn();
            }
            Self::SayAgain { client, author } => clients.say_again(client, author, world),
            Self::SendTime { sixteenths } => {
                let time = Duration::from_millis(1) / 16 * u32::from(sixteenths);
                world.set_send_time(time);
            }
        }
    }
}
