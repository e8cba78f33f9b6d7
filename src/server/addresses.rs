//! How many connections each address has. Loopback is a proxy or ourselves: it is not counted, and costs nothing.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::domain::ConnectionId;

/// Who comes from where.
#[derive(Debug, Default)]
pub struct Addresses {
    of: HashMap<ConnectionId, IpAddr>,
    counts: HashMap<IpAddr, usize>,
}

impl Addresses {
    /// Counts a connection; false when its address has `max` already.
    pub fn add(&mut self, id: ConnectionId, address: IpAddr, max: usize) -> bool {
        let address = address.to_canonical();
        if address.is_loopback() {
            return true;
        }
        let count = self.counts.entry(address).or_default();
        if *count >= max {
            return false;
        }
        *count += 1;
        self.of.insert(id, address);
        true
    }

    /// Where a connection comes from.
    pub fn of(&self, id: ConnectionId) -> IpAddr {
        self.of
            .get(&id)
            .copied()
            .unwrap_or(IpAddr::from([127, 0, 0, 1]))
    }

    /// A connection is over.
    pub fn remove(&mut self, id: ConnectionId) {
        let Some(address) = self.of.remove(&id) else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
    }
}
