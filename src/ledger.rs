//! The memory buffered for all peers, in bytes: a sum that each buffer updates with its [`Charge`]. Reading it takes
//! constant time, so the limit [`Config::buffer_bytes`](crate::config::Config::buffer_bytes) is checked in every turn.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

/// The sum of all charges.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Rc<Cell<usize>>);

impl Ledger {
    /// The sum of all charges, in bytes.
    pub fn total(&self) -> usize {
        self.0.get()
    }
}

/// The part of one owner in the sum; subtracted when dropped.
#[derive(Debug, Default)]
pub struct Charge {
    ledger: OnceCell<Ledger>,
    bytes: Cell<usize>,
}

impl Charge {
    /// Sets the part to `bytes`. The first call determines the ledger.
    pub fn set(&self, ledger: &Ledger, bytes: usize) {
        let sum = &self.ledger.get_or_init(|| ledger.clone()).0;
        sum.set(sum.get() - self.bytes.replace(bytes) + bytes);
    }

    /// The value last set, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }
}

impl Drop for Charge {
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
        let (one, other) = (Charge::default(), Charge::default());
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
