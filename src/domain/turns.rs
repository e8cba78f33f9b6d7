//! A queue in which addresses take turns, and at each address the accounts: who sends many waits behind them, and
//! others wait for one of each address that is ahead.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

/// What waits. Its owner bounds the number ([`Self::len`]); every operation visits all at most.
#[derive(Debug)]
pub struct Turns<T> {
    /// In the order of their turns. Each has something that waits, and so has each of its accounts.
    addresses: VecDeque<Address<T>>,
}

#[derive(Debug)]
struct Address<T> {
    address: IpAddr,
    /// In the order of their turns.
    accounts: VecDeque<Account<T>>,
}

#[derive(Debug)]
struct Account<T> {
    name: Rc<str>,
    /// The oldest first.
    waiting: VecDeque<T>,
}

impl<T> Address<T> {
    fn len(&self) -> usize {
        self.accounts.iter().map(|of| of.waiting.len()).sum()
    }
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            addresses: VecDeque::new(),
        }
    }
}

impl<T: PartialEq> Turns<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.addresses.iter().map(Address::len).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Adds one. If none of its address waits, that has its turn after those that do.
    pub fn push(&mut self, address: IpAddr, account: Rc<str>, item: T) {
        let of_address = entry(
            &mut self.addresses,
            |of| of.address == address,
            || Address {
                address,
                accounts: VecDeque::new(),
            },
        );
        let of_account = entry(
            &mut of_address.accounts,
            |of| of.name == account,
            || Account {
                name: account.clone(),
                waiting: VecDeque::new(),
            },
        );
        of_account.waiting.push_back(item);
    }

    /// Takes the one whose turn it is. Its address then has its next turn after all others, and its account after the
    /// others of the address.
    pub fn pop(&mut self) -> Option<T> {
        let mut of_address = self.addresses.pop_front()?;
        let mut of_account = of_address.accounts.pop_front()?;
        let item = of_account.waiting.pop_front();
        if !of_account.waiting.is_empty() {
            of_address.accounts.push_back(of_account);
        }
        if !of_address.accounts.is_empty() {
            self.addresses.push_back(of_address);
        }
        item
    }

    /// Makes room for one from this address: takes the newest of the account with the most at the address with the most,
    /// if that would still have at least as many as this one. So no address loses what is its fair share.
    pub fn displace(&mut self, address: IpAddr) -> Option<T> {
        let own = self.addresses.iter().find(|of| of.address == address);
        let own = own.map_or(0, Address::len);
        let most = self.addresses.iter_mut().max_by_key(|of| of.len())?;
        if most.len() < own + 2 {
            return None;
        }
        let accounts = most.accounts.iter_mut();
        let item = accounts
            .max_by_key(|of| of.waiting.len())?
            .waiting
            .pop_back();
        self.tidy();
        item
    }

    /// Removes one that need not wait any more; false if it does not wait.
    pub fn remove(&mut self, item: &T) -> bool {
        let accounts = self.addresses.iter_mut().flat_map(|of| &mut of.accounts);
        for of_account in accounts {
            if let Some(place) = of_account.waiting.iter().position(|other| other == item) {
                of_account.waiting.remove(place);
                self.tidy();
                return true;
            }
        }
        false
    }

    /// Drops accounts and addresses of which nothing waits.
    fn tidy(&mut self) {
        for of_address in &mut self.addresses {
            of_address.accounts.retain(|of| !of.waiting.is_empty());
        }
        self.addresses.retain(|of| !of.accounts.is_empty());
    }
}

/// The entry that `is_it`, or a new one at the end.
fn entry<T>(all: &mut VecDeque<T>, is_it: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> &mut T {
    let place = all.iter().position(is_it).unwrap_or_else(|| {
        all.push_back(new());
        all.len() - 1
    });
    &mut all[place]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    /// A queue of items in order of arrival: the address, the account, and how many.
    fn queue(items: &[(u8, &str, usize)]) -> Turns<String> {
        let mut turns = Turns::default();
        for (n, account, count) in items {
            for number in 1..=*count {
                turns.push(
                    address(*n),
                    (*account).into(),
                    format!("{n}{account}{number}"),
                );
            }
        }
        turns
    }

    fn order(mut turns: Turns<String>) -> String {
        let items: Vec<String> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!((turns.len(), turns.is_empty()), (0, true));
        items.join(" ")
    }

    #[test]
    fn addresses_take_turns_and_at_each_address_its_accounts() {
        for (items, expected) in [
            (&[(1, "a", 3)][..], "1a1 1a2 1a3"),
            (&[(1, "a", 3), (2, "a", 1)], "1a1 2a1 1a2 1a3"),
            (
                &[(1, "a", 3), (1, "b", 1), (1, "c", 2)],
                "1a1 1b1 1c1 1a2 1c2 1a3",
            ),
            (
                &[(1, "a", 2), (1, "b", 1), (2, "b", 2), (3, "c", 1)],
                "1a1 2b1 3c1 1b1 2b2 1a2",
            ),
        ] {
            assert_eq!(order(queue(items)), expected);
        }
    }

    #[test]
    fn who_comes_back_at_once_waits_behind_those_who_are_there() {
        let mut turns = queue(&[(1, "a", 2), (2, "b", 1)]);
        assert_eq!(turns.pop().as_deref(), Some("1a1"));
        turns.push(address(1), "z".into(), "1z1".to_owned());
        turns.push(address(3), "c".into(), "3c1".to_owned());
        assert_eq!(order(turns), "2b1 1a2 3c1 1z1");
    }

    #[test]
    fn the_newest_of_the_largest_gives_way_to_an_address_with_less() {
        for (items, newcomer, displaced) in [
            (&[(1, "a", 2), (1, "b", 3), (2, "c", 4)][..], 3, Some("1b3")),
            (&[(1, "a", 2)], 2, Some("1a2")),
            // It would have less than the newcomer, or is the newcomer.
            (&[(1, "a", 1), (2, "b", 1)], 3, None),
            (&[(1, "a", 3), (2, "b", 2)], 2, None),
            (&[(1, "a", 3), (2, "b", 1)], 2, Some("1a3")),
            (&[(1, "a", 9)], 1, None),
            (&[], 1, None),
        ] {
            let mut turns = queue(items);
            let before = turns.len();
            let gone = turns.displace(address(newcomer));
            assert_eq!(gone.as_deref(), displaced, "{items:?} {newcomer}");
            assert_eq!(turns.len(), before - usize::from(displaced.is_some()));
        }
    }

    #[test]
    fn what_is_removed_leaves_no_empty_place_in_the_order() {
        let mut turns = queue(&[(1, "a", 1), (2, "b", 2), (2, "c", 1)]);
        for (item, is_there) in [("1a1", true), ("1a1", false), ("2c1", true), ("x", false)] {
            assert_eq!(turns.remove(&item.to_owned()), is_there, "{item}");
        }
        assert_eq!((turns.addresses.len(), turns.len()), (1, 2));
        assert_eq!(order(turns), "2b1 2b2");
    }
}
