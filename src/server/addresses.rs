//! Connections by address. Loopback is a proxy or this machine itself: it is not counted.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::config::TABLE_KEPT;
use crate::domain::ids::ConnectionId;

/// The addresses of connections, and how many each has.
#[derive(Debug, Default)]
pub struct Addresses {
    /// By connection, up to the last counted one: a hash table would be rehashed as a whole when it grows.
    of: Vec<Option<IpAddr>>,
    counts: HashMap<IpAddr, u32>,
}

impl Addresses {
    /// Counts a connection; false if its address already has `max`.
    pub fn add(&mut self, id: ConnectionId, address: IpAddr, max: usize) -> bool {
        let address = address.to_canonical();
        if address.is_loopback() {
            return true;
        }
        let count = self.counts.entry(address).or_default();
        if *count as usize >= max {
            return false;
        }
        *count += 1;
        if self.of.len() <= id.index() {
            self.of.resize(id.index() + 1, None);
        }
        self.of[id.index()] = Some(address);
        true
    }

    /// The address of a connection; loopback if it is not counted.
    pub fn of(&self, id: ConnectionId) -> IpAddr {
        let counted = self.of.get(id.index()).copied().flatten();
        counted.unwrap_or(IpAddr::from([127, 0, 0, 1]))
    }

    /// Removes a connection.
    pub fn remove(&mut self, id: ConnectionId) {
        let Some(address) = self.of.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
        if self.counts.is_empty() && self.of.capacity() > TABLE_KEPT {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn an_address_has_as_many_connections_as_came_and_did_not_go() {
        let mut addresses = Addresses::default();
        let id = ConnectionId;
        assert!(addresses.add(id(7), THERE, 2));
        assert!(addresses.add(id(3), THERE, 2));
        assert!(!addresses.add(id(9), THERE, 2));
        // The same address, mapped to IPv6.
        assert!(!addresses.add(id(9), "::ffff:192.0.2.1".parse().expect("is one"), 2));
        assert_eq!((addresses.of(id(7)), addresses.of(id(9))), (THERE, HERE));
        // Removing a refused connection must not reduce the count.
        addresses.remove(id(9));
        assert!(!addresses.add(id(9), THERE, 2));
        addresses.remove(id(7));
        assert!(addresses.add(id(9), THERE, 2));
    }

    #[test]
    fn loopback_is_not_counted_and_costs_nothing() {
        let mut addresses = Addresses::default();
        assert!(addresses.add(ConnectionId(100_000), HERE, 0));
        assert_eq!(addresses.of(ConnectionId(100_000)), HERE);
        assert_eq!(addresses.of.capacity(), 0);
    }

    #[test]
    fn the_table_of_a_crowd_is_freed_when_the_last_has_gone() {
        let mut addresses = Addresses::default();
        let ids = || (0..2 * TABLE_KEPT as u32).map(ConnectionId);
        assert!(ids().all(|id| addresses.add(id, THERE, usize::MAX)));
        ids().for_each(|id| addresses.remove(id));
        assert_eq!(
            (addresses.of.capacity(), addresses.counts.capacity()),
            (0, 0)
        );
    }
}
