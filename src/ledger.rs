//! Memory that is held for peers, in bytes: one sum, kept by whoever holds some. It costs the same to ask however many
//! do, so the ceiling over all of them ([`Config::buffer_bytes`](crate::config::Config::buffer_bytes)) can be looked at
//! in every turn.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

/// The sum.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Rc<Cell<usize>>);

impl Ledger {
    /// What all hold together, in bytes.
    pub fn total(&self) -> usize {
        self.0.get()
    }
}

/// What one holds, as it stands in the sum; taken from it when dropped.
#[derive(Debug, Default)]
pub struct Held {
    ledger: OnceCell<Ledger>,
    bytes: Cell<usize>,
}

impl Held {
    /// Enters how much it is now.
    pub fn set(&self, ledger: &Ledger, bytes: usize) {
        let sum = &self.ledger.get_or_init(|| ledger.clone()).0;
        sum.set(sum.get() - self.bytes.replace(bytes) + bytes);
    }

    /// How much it was when it was last entered, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(Ledger(sum)) = self.ledger.get() {
            sum.set(sum.get() - self.bytes.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_of_those_who_hold_something_now() {
        let ledger = Ledger::default();
        let (one, other) = (Held::default(), Held::default());
        one.set(&ledger, 10);
        other.set(&ledger, 5);
        assert_eq!(ledger.total(), 15);
        one.set(&ledger, 3);
        assert_eq!((ledger.total(), one.bytes()), (8, 3));
        drop(one);
        assert_eq!(ledger.total(), 5);
        other.set(&ledger, 0);
        assert_eq!(ledger.total(), 0);
    }
}
