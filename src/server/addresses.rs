//! Connections by address. The clients of trusted proxies have the addresses that these tell, each for as long as its
//! request is under way.
//!
//! Loopback is a proxy or this machine itself: it has no limit, and 127.0.0.1 is not kept. A trusted proxy has
//! no limit either, but its clients have. The peers of unix sockets are trusted proxies: without a client to tell of, they
//! count as this machine.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::config::listen::UNIX_PEER;
use crate::config::{Config, TABLE_KEPT};
use crate::domain::ids::ConnectionId;
use crate::domain::throttle::network;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The addresses of connections, and how many each has.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Those of the peers, by connection, up to the last one kept: a hash table would be rehashed as a whole when it
    /// grows.
    peers: Vec<Option<IpAddr>>,
    /// How many of `peers` are kept.
    kept: usize,
    /// Those of the clients whose requests are under way, by connection of a trusted proxy.
    clients: Vec<Option<IpAddr>>,
    /// Connections and requests under way of each address that has a limit; of IPv6 of each 64-bit network.
    counts: HashMap<IpAddr, u32>,
}

/// Whether as many connections as there can be may come from this address.
fn is_exempt(address: IpAddr, config: &Config) -> bool {
    address.is_loopback() || config.trusts(address)
}

/// The address that a peer counts as.
pub fn counted_as(peer: IpAddr) -> IpAddr {
    match peer {
        UNIX_PEER => LOCALHOST,
        other => other,
    }
}

/// Sets the entry of a connection.
fn keep(table: &mut Vec<Option<IpAddr>>, id: ConnectionId, address: IpAddr) {
    if table.len() <= id.index() {
        table.resize(id.index() + 1, None);
    }
    table[id.index()] = Some(address);
}

impl Addresses {
    /// Counts a connection; false if its address already has [`Config::connections_per_address`].
    pub fn add(&mut self, id: ConnectionId, address: IpAddr, config: &Config) -> bool {
        let address = address.to_canonical();
        if address == LOCALHOST && !config.trusts(address) {
            return true;
        }
        if !self.count(address, config) {
            return false;
        }
        keep(&mut self.peers, id, address);
        self.kept += 1;
        true
    }

    /// The address of a connection before its first request is this one, which a trusted proxy tells, for all of its life.
    /// False if that address already has [`Config::connections_per_address`]: then it keeps that of the proxy.
    pub fn replace(&mut self, id: ConnectionId, told: IpAddr, config: &Config) -> bool {
        let before = self.peer(id);
        self.remove(id, config);
        let is_counted = self.add(id, told, config);
        if let Some(proxy) = before.filter(|_| !is_counted) {
            // A proxy has no limit.
            self.add(id, proxy, config);
        }
        is_counted
    }

    /// The address of a connection: that of the client whose request is under way there, else of the peer; 127.0.0.1 if
    /// it is not kept.
    pub fn of(&self, id: ConnectionId) -> IpAddr {
        let client = self.client(id).or(self.peer(id));
        client.map_or(LOCALHOST, counted_as)
    }

    /// The address of the peer, if it is that of a trusted proxy; 127.0.0.1 of one behind a unix socket.
    pub fn proxy(&self, id: ConnectionId, config: &Config) -> Option<IpAddr> {
        let proxy = self.peer(id).filter(|address| config.trusts(*address));
        proxy.map(counted_as)
    }

    /// Whether a request of another client than the peer itself is under way.
    pub fn has_client(&self, id: ConnectionId) -> bool {
        self.client(id).is_some()
    }

    fn client(&self, id: ConnectionId) -> Option<IpAddr> {
        self.clients.get(id.index()).copied().flatten()
    }

    fn peer(&self, id: ConnectionId) -> Option<IpAddr> {
        self.peers.get(id.index()).copied().flatten()
    }

    /// A request of this client begins on the connection of a trusted proxy, and the one before is over. False if the
    /// client's address already has [`Config::connections_per_address`]: then it is not counted.
    pub fn begin_request(&mut self, id: ConnectionId, client: IpAddr, config: &Config) -> bool {
        self.end_request(id, config);
        if self.peer(id).map(counted_as) == Some(client) {
            return true;
        }
        let is_counted = self.count(client, config);
        if is_counted {
            keep(&mut self.clients, id, client);
        }
        is_counted
    }

    /// The request under way on this connection is over, if it has a client.
    pub fn end_request(&mut self, id: ConnectionId, config: &Config) {
        if let Some(client) = self.clients.get_mut(id.index()).and_then(Option::take) {
            self.discount(client, config);
        }
    }

    /// Removes a connection.
    pub fn remove(&mut self, id: ConnectionId, config: &Config) {
        let Some(address) = self.peers.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        self.end_request(id, config);
        self.discount(address, config);
        self.kept -= 1;
        if self.kept == 0 && self.peers.capacity() > TABLE_KEPT {
            *self = Self::default();
        }
    }

    fn count(&mut self, address: IpAddr, config: &Config) -> bool {
        if is_exempt(address, config) {
            return true;
        }
        let network = network(address);
        let count = self.counts.get(&network).copied().unwrap_or(0);
        let is_free = (count as usize) < config.connections_per_address;
        if is_free {
            self.counts.insert(network, count + 1);
        }
        is_free
    }

    fn discount(&mut self, address: IpAddr, config: &Config) {
        if is_exempt(address, config) {
            return;
        }
        let network = network(address);
        if let Some(count) = self.counts.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&network);
            }
        }
    }

    /// Asserts the invariants: entries are those of open connections, and the counts are their sum.
    pub fn check(&self, config: &Config, is_open: impl Fn(ConnectionId) -> bool) {
        let kept = |table: &[Option<IpAddr>]| -> Vec<(ConnectionId, IpAddr)> {
            let ids = (0..).map(ConnectionId).zip(table);
            ids.filter_map(|(id, address)| Some((id, (*address)?)))
                .collect()
        };
        let (peers, clients) = (kept(&self.peers), kept(&self.clients));
        assert_eq!(peers.len(), self.kept, "kept addresses");
        let mut counts: HashMap<IpAddr, u32> = HashMap::new();
        for (id, address) in peers.iter().chain(&clients) {
            assert!(is_open(*id), "an address of a connection");
            if !is_exempt(*address, config) {
                *counts.entry(network(*address)).or_default() += 1;
            }
        }
        assert_eq!(counts, self.counts, "connections by address");
        for (id, _) in clients {
            assert!(self.proxy(id, config).is_some(), "a client of a proxy");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::config::cidr::Cidr;

    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    /// A configuration with this limit, and with 10.0.0.0/8 and ::1 as proxies.
    fn config(max: usize) -> Config {
        let trusted = ["10.0.0.0/8", "::1"].map(|text| Cidr::parse(text).expect("is one"));
        Config {
            connections_per_address: max,
            trusted_proxies: trusted.to_vec(),
            ..Config::default()
        }
    }

    #[test]
    fn an_address_has_as_many_connections_as_came_and_did_not_go() {
        let config = &config(2);
        let mut addresses = Addresses::default();
        let id = ConnectionId;
        assert!(addresses.add(id(7), THERE, config));
        assert!(addresses.add(id(3), THERE, config));
        assert!(!addresses.add(id(9), THERE, config));
        // The same address, mapped to IPv6.
        let mapped = "::ffff:192.0.2.1".parse().expect("is one");
        assert!(!addresses.add(id(9), mapped, config));
        assert_eq!(
            (addresses.of(id(7)), addresses.of(id(9))),
            (THERE, LOCALHOST)
        );
        // Removing a refused connection must not reduce the count.
        addresses.remove(id(9), config);
        assert!(!addresses.add(id(9), THERE, config));
        addresses.remove(id(7), config);
        assert!(addresses.add(id(9), THERE, config));
        addresses.check(config, |_| true);
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let config = &config(1);
        let mut addresses = Addresses::default();
        let add = |addresses: &mut Addresses, n: u32, text: &str| {
            addresses.add(ConnectionId(n), text.parse().expect("is one"), config)
        };
        assert!(add(&mut addresses, 0, "2001:db8::1"));
        assert!(!add(&mut addresses, 1, "2001:db8::2:3"));
        assert!(add(&mut addresses, 2, "2001:db8:0:1::1"));
        addresses.remove(ConnectionId(0), config);
        assert!(add(&mut addresses, 1, "2001:db8::2:3"));
        addresses.check(config, |_| true);
    }

    #[test]
    fn loopback_has_no_limit_and_its_usual_address_costs_nothing() {
        let config = &Config {
            connections_per_address: 1,
            ..Config::default()
        };
        let mut addresses = Addresses::default();
        assert!(addresses.add(ConnectionId(100_000), LOCALHOST, config));
        assert_eq!(addresses.of(ConnectionId(100_000)), LOCALHOST);
        assert_eq!(addresses.peers.capacity(), 0);
        let other = IpAddr::from([127, 0, 0, 2]);
        assert!((0..9).all(|n| addresses.add(ConnectionId(n), other, config)));
        assert_eq!(addresses.of(ConnectionId(8)), other);
        assert_eq!(addresses.of(ConnectionId(9)), LOCALHOST);
        (0..8).for_each(|n| addresses.remove(ConnectionId(n), config));
        assert_eq!(addresses.of(ConnectionId(8)), other);
        addresses.check(config, |id| id == ConnectionId(8));
    }

    #[test]
    fn the_clients_of_a_proxy_count_while_their_requests_are_under_way_and_the_proxy_does_not() {
        let config = &config(2);
        let mut addresses = Addresses::default();
        let id = ConnectionId;
        assert!((0..9).all(|n| addresses.add(id(n), PROXY, config)));
        assert_eq!(addresses.proxy(id(0), config), Some(PROXY));
        assert!(addresses.begin_request(id(0), THERE, config));
        assert!(addresses.begin_request(id(1), THERE, config));
        assert!(!addresses.begin_request(id(2), THERE, config));
        // A refused request has the address of the proxy; the next one of another client on its connection its own.
        assert_eq!(addresses.of(id(2)), PROXY);
        let other = IpAddr::from([192, 0, 2, 2]);
        assert!(addresses.begin_request(id(2), other, config));
        assert_eq!((addresses.of(id(1)), addresses.of(id(2))), (THERE, other));
        // A request of its own address ends the one before on its connection, and is not counted.
        assert!(addresses.begin_request(id(1), PROXY, config));
        assert_eq!(addresses.of(id(1)), PROXY);
        assert!(addresses.add(id(9), THERE, config), "a direct connection");
        assert!(!addresses.begin_request(id(3), THERE, config));
        addresses.check(config, |_| true);
        // Other proxies and loopback have no limit as clients either, but their addresses.
        for exempt in [[10, 9, 9, 9], [127, 0, 0, 2]].map(IpAddr::from) {
            assert!((3..9).all(|n| addresses.begin_request(id(n), exempt, config)));
            assert_eq!(addresses.of(id(5)), exempt);
        }
        addresses.end_request(id(0), config);
        addresses.end_request(id(0), config);
        assert_eq!(addresses.of(id(0)), PROXY);
        (0..10).for_each(|n| addresses.remove(id(n), config));
        addresses.check(config, |_| false);
        assert!(addresses.counts.is_empty());
    }

    #[test]
    fn a_told_address_counts_in_place_of_the_proxys_until_the_connection_ends() {
        let config = &config(1);
        let mut addresses = Addresses::default();
        let id = ConnectionId;
        assert!((0..5).all(|n| addresses.add(id(n), PROXY, config)));
        assert!(addresses.replace(id(0), THERE, config));
        assert_eq!(
            (addresses.of(id(0)), addresses.proxy(id(0), config)),
            (THERE, None)
        );
        assert!(!addresses.replace(id(1), THERE, config));
        assert_eq!(addresses.of(id(1)), PROXY);
        // Another proxy, and the two usual addresses of loopback, one of which is trusted.
        let other = IpAddr::from([10, 9, 9, 9]);
        assert!(addresses.replace(id(2), other, config));
        assert_eq!(addresses.proxy(id(2), config), Some(other));
        assert!(addresses.begin_request(id(2), IpAddr::from([192, 0, 2, 2]), config));
        assert!(addresses.replace(id(3), LOCALHOST, config));
        assert!(addresses.replace(id(4), Ipv6Addr::LOCALHOST.into(), config));
        assert_eq!(addresses.proxy(id(3), config), None);
        assert!(addresses.proxy(id(4), config).is_some());
        addresses.check(config, |_| true);
        addresses.remove(id(0), config);
        assert!(addresses.replace(id(1), THERE, config));
        (1..5).for_each(|n| addresses.remove(id(n), config));
        addresses.check(config, |_| false);
        assert!(addresses.counts.is_empty());
    }

    #[test]
    fn a_usual_address_of_loopback_is_a_proxy_only_if_it_is_trusted() {
        let config = &config(2);
        let mut addresses = Addresses::default();
        assert!(addresses.add(ConnectionId(0), LOCALHOST, config));
        assert!(addresses.add(ConnectionId(1), Ipv6Addr::LOCALHOST.into(), config));
        assert_eq!(addresses.proxy(ConnectionId(0), config), None);
        let proxy = addresses.proxy(ConnectionId(1), config);
        assert_eq!(proxy, Some(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn a_peer_of_a_unix_socket_is_a_proxy_that_counts_as_this_machine() {
        let config = &Config {
            connections_per_address: 1,
            ..Config::default()
        };
        let mut addresses = Addresses::default();
        let id = ConnectionId;
        assert!((0..3).all(|n| addresses.add(id(n), UNIX_PEER, config)));
        assert_eq!(addresses.proxy(id(0), config), Some(LOCALHOST));
        assert_eq!(addresses.of(id(0)), LOCALHOST);
        // Without a client to tell of, its requests are its own.
        assert!((0..3).all(|n| addresses.begin_request(id(n), LOCALHOST, config)));
        assert!(!addresses.has_client(id(0)));
        assert!(addresses.begin_request(id(0), THERE, config));
        assert!(!addresses.begin_request(id(1), THERE, config));
        assert_eq!(
            (addresses.of(id(0)), addresses.of(id(1))),
            (THERE, LOCALHOST)
        );
        addresses.check(config, |_| true);
        (0..3).for_each(|n| addresses.remove(id(n), config));
        assert!(addresses.counts.is_empty());
    }

    #[test]
    fn the_table_of_a_crowd_is_freed_when_the_last_has_gone() {
        let config = &config(usize::MAX);
        for from in [THERE, PROXY] {
            let mut addresses = Addresses::default();
            let ids = || (0..2 * TABLE_KEPT as u32).map(ConnectionId);
            assert!(ids().all(|id| addresses.add(id, from, config)));
            if from == PROXY {
                assert!(ids().all(|id| addresses.begin_request(id, THERE, config)));
            }
            ids().for_each(|id| addresses.remove(id, config));
            assert_eq!(addresses.peers.capacity(), 0);
            assert_eq!(addresses.clients.capacity(), 0);
            assert_eq!(addresses.counts.capacity(), 0);
        }
    }
}
