//! The scenarios: which clients write how much, and when the next message may be sent.

/// What to measure.
pub enum Scenario {
    /// The cost of a delivery under some traffic.
    FanOut(Traffic),
    /// The cost of a connection that does nothing.
    Idle,
}

/// When a sender may write its next message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// When every client has received all messages written so far.
    Together,
    /// When it receives one of its own, keeping this many in flight.
    InFlight(usize),
}

/// One round of messages in a room.
pub struct Traffic {
    pub name: &'static str,
    pub clients: usize,
    /// The number of clients that write: the first ones.
    pub senders: usize,
    pub messages_per_sender: usize,
    pub pace: Pace,
    /// Whether `bare` is measured with it too.
    pub has_floor: bool,
}

impl Traffic {
    /// Messages that arrive in one round, over all clients.
    pub fn deliveries(&self) -> usize {
        self.senders * self.messages_per_sender * self.clients
    }
}

const CLIENTS: usize = 1_000;
const SENDERS: usize = 8;

/// The names the command line knows, in the order in which they are measured.
pub const NAMES: [&str; 5] = ["lone", "saturated-32", "saturated-64", "everybody", "idle"];

/// The scenario with this name.
pub fn scenario(name: &str) -> Option<Scenario> {
    let traffic = match name {
        "lone" => Traffic {
            name: "lone",
            clients: CLIENTS,
            senders: 1,
            messages_per_sender: 60,
            pace: Pace::Together,
            has_floor: true,
        },
        "saturated-32" => saturated("saturated-32", 32),
        "saturated-64" => saturated("saturated-64", 64),
        "everybody" => Traffic {
            name: "everybody",
            clients: 32,
            senders: 32,
            messages_per_sender: 400,
            pace: Pace::Together,
            has_floor: false,
        },
        "idle" => return Some(Scenario::Idle),
        _ => return None,
    };
    Some(Scenario::FanOut(traffic))
}

fn saturated(name: &'static str, in_flight: usize) -> Traffic {
    Traffic {
        name,
        clients: CLIENTS,
        senders: SENDERS,
        messages_per_sender: in_flight * 10,
        pace: Pace::InFlight(in_flight),
        has_floor: false,
    }
}
