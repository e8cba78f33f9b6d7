//! The durations of the turns of the server's loop, from its metrics.

use std::fmt;
use std::net::SocketAddr;

use crate::Result;
use crate::abuser::{connect, converse, get};

/// The bounds of the histogram that are read, as the metrics write them, in seconds.
const BOUNDS: [&str; 3] = ["0.01", "0.05", "0.25"];

/// The turns since the start, or since an earlier reading.
pub struct Turns {
    all: u64,
    /// The turns within each of [`BOUNDS`].
    within: [u64; BOUNDS.len()],
}

impl Turns {
    /// Reads the metrics of a server.
    pub fn read(address: SocketAddr) -> Result<Self> {
        let (_, page) = converse(&mut connect(address)?, &get("/metrics"))?;
        let within = |bound: &str| -> Result<u64> {
            let name = format!("sarang_turn_duration_seconds_bucket{{le=\"{bound}\"}} ");
            let mut lines = page.lines();
            let count = lines.find_map(|line| line.strip_prefix(&name));
            Ok(count.ok_or("no such metric")?.parse()?)
        };
        let [first, second, third] = BOUNDS;
        Ok(Self {
            all: within("+Inf")?,
            within: [within(first)?, within(second)?, within(third)?],
        })
    }

    /// The turns since an earlier reading.
    pub fn since(mut self, earlier: &Self) -> Self {
        self.all -= earlier.all;
        for (count, before) in self.within.iter_mut().zip(earlier.within) {
            *count -= before;
        }
        self
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = self.within.map(|count| (self.all - count).to_string());
        write!(f, "{}, {}", self.all, over.join("/"))
    }
}
