//! Who creates rooms with `POST /rooms`. It is remembered for limits only, and never shown.

use std::net::IpAddr;
use std::rc::Rc;

use super::throttle::network;

/// Whoever has an allowance of creations, and a share of the kept rooms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A user who signed in.
    User(Rc<str>),
    /// An address; of IPv6 its 64-bit network.
    Address(IpAddr),
}

/// Who creates a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creator {
    /// The name in the bearer token, if there is one.
    user: Option<Rc<str>>,
    address: IpAddr,
}

impl Creator {
    /// The user of the request's bearer token, and the address of its connection.
    pub fn new(user: Option<Rc<str>>, address: IpAddr) -> Self {
        Self {
            user,
            address: network(address),
        }
    }

    /// The name in the bearer token, if there is one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The address; of IPv6 its 64-bit network.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whose allowance a creation uses: the user's, without one the address's.
    pub fn payer(&self) -> Owner {
        match &self.user {
            Some(user) => Owner::User(user.clone()),
            None => Owner::Address(self.address),
        }
    }

    /// In whose shares the room counts: the user's and the address's. Loopback may be a proxy with all users behind it,
    /// so there a user who signed in counts alone.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        let user = self.user.clone().map(Owner::User);
        let is_counted = user.is_none() || !self.address.is_loopback();
        let address = is_counted.then_some(Owner::Address(self.address));
        user.into_iter().chain(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_counts_for_the_user_and_the_address_but_not_for_a_proxy() {
        let owners = |user: Option<&str>, address: &str| {
            let address = address.parse().expect("is an address");
            let creator = Creator::new(user.map(Into::into), address);
            let owners: Vec<Owner> = creator.owners().collect();
            assert_eq!(creator.payer(), owners[0]);
            owners
        };
        let user = || Owner::User("kim".into());
        let address = |text: &str| Owner::Address(text.parse().expect("is an address"));
        assert_eq!(
            owners(Some("kim"), "192.0.2.1"),
            [user(), address("192.0.2.1")]
        );
        assert_eq!(owners(Some("kim"), "127.0.0.1"), [user()]);
        assert_eq!(owners(None, "127.0.0.1"), [address("127.0.0.1")]);
        assert_eq!(owners(None, "::ffff:192.0.2.1"), owners(None, "192.0.2.1"));
        let network = [address("2001:db8:1:2::")];
        assert_eq!(owners(None, "2001:db8:1:2:3::4"), network);
        assert_ne!(owners(None, "2001:db8:1:3::4"), network);
    }
}
