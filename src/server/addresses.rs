//! Connections by address. Loopback is a proxy or this machine itself: it has no limit, and its usual addresses are
//! not kept.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::TABLE_KEPT;
use crate::domain::ids::ConnectionId;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The addresses of connections, and how many each has.
#[derive(Debug, Default)]
pub struct Addresses {
    /// By connection, up to the last one kept: a hash table would be rehashed as a whole when it grows.
    of: Vec<Option<IpAddr>>,
    counts: HashMap<IpAddr, u32>,
}

impl Addresses {
    /// Counts a connection; false if its address already has `max`.
    pub fn add(&mut self, id: ConnectionId, address: IpAddr, max: usize) -> bool {
        let address = address.to_canonical();
        if address == LOCALHOST || address == Ipv6Addr::LOCALHOST {
            return true;
        }
        let count = self.counts.entry(address).or_default();
        if *count as usize >= max && !address.is_loopback() {
            return false;
        }
        *count += 1;
        if self.of.len() <= id.index() {
            self.of.resize(id.index() + 1, None);
        }
        self.of[id.index()] = Some(address);
        true
    }

    /// The address of a connection; 127.0.0.1 if it is not kept.
    pub fn of(&self, id: ConnectionId) -> IpAddr {
        let kept = self.of.get(id.index()).copied().flatten();
        kept.unwrap_or(LOCALHOST)
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

    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn an_address_has_as_many_connections_as_came_and_did_not_go() {
        let mut addresses = Addresses::default();
        let id = ConnectionId;
        assert!(addresses.add(id(7), THERE, 2));
        assert!(addresses.add(id(3), THERE, 2));
        assert!(!addresses.add(id(9), THERE, 2));
        // The same address, mapped to IPv6.
        assert!(!addresses.add(id(9), "::ffff:192.0.2.1".parse().expect("is one"), 2));
        assert_eq!(
            (addresses.of(id(7)), addresses.of(id(9))),
            (THERE, LOCALHOST)
        );
        // Removing a refused connection must not reduce the count.
        addresses.remove(id(9));
        assert!(!addresses.add(id(9), THERE, 2));
        addresses.remove(id(7));
        assert!(addresses.add(id(9), THERE, 2));
    }

    #[test]
    fn loopback_has_no_limit_and_its_usual_addresses_cost_nothing() {
        let mut addresses = Addresses::default();
        for usual in [LOCALHOST, Ipv6Addr::LOCALHOST.into()] {
            assert!(addresses.add(ConnectionId(100_000), usual, 0));
            assert_eq!(addresses.of(ConnectionId(100_000)), LOCALHOST);
            assert_eq!(addresses.of.capacity(), 0);
        }
        let other = IpAddr::from([127, 0, 0, 2]);
        assert!((0..9).all(|n| addresses.add(ConnectionId(n), other, 1)));
        assert_eq!(addresses.of(ConnectionId(8)), other);
        assert_eq!(addresses.of(ConnectionId(9)), LOCALHOST);
        (0..8).for_each(|n| addresses.remove(ConnectionId(n)));
        assert_eq!(addresses.of(ConnectionId(8)), other);
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
